//! One machine: its peer or tracker, and a pretended disk.
//!
//! Does for a peer what the shell does: carries out what a get wants, says what
//! became of it, and serves files from a disk that is a set of numbers. Bytes of
//! files are never there; a file that travels is its number.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use thorp_core::get::{Chore, Ending, FetchId, GetId, Looked, News, Output as Told};
use thorp_core::lookup::Source;
use thorp_core::peer::{Peer, SurveyId};
use thorp_core::remembered::Known;
use thorp_core::time::Instant;
use thorp_core::tracker::Tracker;

use crate::trace::FileId;

/// A machine, switched on or not.
pub struct Host {
    pub program: Program,
    /// How often it was started: what was meant for an earlier run does not arrive.
    pub runs: u32,
    /// When it was started last.
    pub since: Instant,
    /// Until when it is counted that it is online.
    pub counted_until: Instant,
    /// The earliest time at which it is woken, of those that are in the queue.
    pub wakes_at: Option<Instant>,
    /// Its open connections.
    pub links: Vec<u64>,
    /// How long it was online in earlier runs of its peer.
    pub online_before: Duration,
    /// What it has fetched, and at which time online it is deleted.
    pub kept: VecDeque<(Duration, FileId)>,
    /// The neighbours that it has written down for its next start.
    pub remembers: Vec<Known>,
}

/// What runs on a machine.
#[expect(clippy::large_enum_variant, reason = "nearly all are peers")]
pub enum Program {
    Off,
    Peer(Household),
    Tracker(Tracker),
}

/// A peer, and what it has to do with its user.
pub struct Household {
    pub peer: Peer,
    /// What its user waits for, as places in the list of requests.
    pub gets: BTreeMap<GetId, usize>,
    pub surveys: BTreeMap<SurveyId, usize>,
    /// How many files each of these has found so far.
    pub listed: BTreeMap<SurveyId, usize>,
    /// Files whose bytes have arrived, until they are on the disk; and which were wanted.
    pub storing: BTreeMap<FetchId, (FileId, FileId)>,
    /// Files whose bytes are on the disk, until the user is told.
    pub stored: BTreeMap<FetchId, FileId>,
}

/// What is to be done about what a get says.
pub enum Errand {
    /// All these places are free.
    Looked(GetId, Vec<Looked>),
    /// The file is there, as this source has said.
    Fetched {
        request: usize,
        source: Source,
        tracker_asked: bool,
        /// As which file it is told of.
        told: FileId,
        /// Which file's bytes are on the disk.
        bytes: Option<FileId>,
    },
    /// The request is over.
    Ended(usize, Ending),
    /// Nothing.
    Nothing,
}

impl Host {
    pub fn new() -> Self {
        Self {
            program: Program::Off,
            runs: 0,
            since: Instant::default(),
            counted_until: Instant::default(),
            wakes_at: None,
            links: Vec::new(),
            online_before: Duration::ZERO,
            kept: VecDeque::new(),
            remembers: Vec::new(),
        }
    }

    /// How long it has been online so far. Its peer runs.
    pub fn online(&self, now: Instant) -> Duration {
        self.online_before + (now - self.since)
    }

    pub fn peer(&mut self) -> Option<&mut Household> {
        match &mut self.program {
            Program::Peer(household) => Some(household),
            Program::Off | Program::Tracker(_) => None,
        }
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        match &self.program {
            Program::Off => None,
            Program::Peer(household) => household.peer.next_deadline(),
            Program::Tracker(tracker) => tracker.next_deadline(),
        }
    }
}

impl Household {
    pub fn new(peer: Peer) -> Self {
        Self {
            peer,
            gets: BTreeMap::new(),
            surveys: BTreeMap::new(),
            listed: BTreeMap::new(),
            storing: BTreeMap::new(),
            stored: BTreeMap::new(),
        }
    }

    /// What is to be done about what a get says.
    pub fn on_told(&mut self, get: GetId, told: Told) -> Errand {
        match told {
            Told::Do(Chore::Look(looks)) => Errand::Looked(get, vec![Looked::Free; looks.len()]),
            Told::Tell(News::Fetched {
                fetch,
                answer,
                item,
                ..
            }) => match self.gets.get(&get) {
                Some(request) => Errand::Fetched {
                    request: *request,
                    source: answer.source,
                    tracker_asked: answer.tracker_asked,
                    told: FileId::of(item.content),
                    bytes: fetch.and_then(|fetch| self.stored.remove(&fetch)),
                },
                None => Errand::Nothing,
            },
            Told::Ended(end) => match self.gets.remove(&get) {
                Some(request) => Errand::Ended(request, end),
                None => Errand::Nothing,
            },
            _ => Errand::Nothing,
        }
    }
}

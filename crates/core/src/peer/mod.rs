//! A peer: a machine that shares, looks up and fetches files.
//!
//! [`Peer::handle`] takes one input; then [`Peer::poll_output`] must be drained. The peer routes;
//! each question of substance is decided in a smaller machine.
//!
//! The parts of the peer:
//!
//! ```text
//! io          inputs, outputs and settings
//! events      passes events of the links on
//! linking     dials, neighbours, lost links
//! wanted      links that are wanted, and what is to be done on them
//! answering   answers questions of other members
//! asking      asks members for files that this peer's user wants
//! surveying   lists all files or members, for this peer's user or for a get
//! hearing     asks neighbours in advance for files that this peer does not know of
//! seeking     finds the holders of files that are fetched in pieces
//! due         what runs at the end of every input, in which order
//! home        the connection to the tracker: when to dial it
//! standing    membership: renews the certificate
//! publishing  which links get this peer's listing, and how far each has got
//! ```
//!
//! The machines that decide:
//!
//! ```text
//! links       connections: hellos, updates, answers, records, goodbyes;
//!             the listings of the neighbours and of this peer
//! neighbours  which links are worth keeping
//! remembered  which members to dial again when their links are gone
//! publisher   what to tell other members about this peer's share
//! hearsay     what neighbours say of their neighbours' files
//! lookup      finds names: memory, neighbours, tracker
//! survey      finds patterns and members: the tracker, page by page
//! get         gets files by name: which, from which holder, and how it ends
//! ```

mod answering;
mod asking;
mod due;
mod events;
mod hearing;
mod home;
#[cfg(any(test, feature = "testing"))]
mod invariants;
mod io;
mod linking;
mod publishing;
mod seeking;
mod standing;
mod surveying;
mod wanted;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use thorp_wire::frame::{Holder, MemberRow, RequestId};
use thorp_wire::{Entry, Name, PeerId};

use crate::answer::member_row;
use crate::bound::Account;
use crate::catalogue::Catalogue;
use crate::changes::Row;
use crate::get::small::Fetches;
use crate::get::sought::SoughtFiles;
use crate::get::{self, Gets, Inquiry};
use crate::hearsay::Hearsay;
use crate::links::{LinkId, Links, Role};
use crate::lookup::{Lookup, TrackerState};
use crate::matching::{Fit, Pattern};
use crate::neighbours::Neighbours;
use crate::presence::Presences;
use crate::publisher::Publisher;
use crate::remembered::Remembered;
use crate::spared::{Lookups, Spared, SparedMeter};
use crate::survey::Survey;
use crate::time::Instant;

use answering::Hashing;
use asking::Question;
use home::Home;
pub use io::{
    Cause, Config, Exchange, Hearing, Input, Notice, Output, Rules, SurveyId, Tally, Target,
    Unanswered, Unreached, Wish,
};
use publishing::Publishing;
use surveying::Wished;
use wanted::{Surveyor, Wanted};

/// The state machine of a peer.
#[derive(Debug)]
pub struct Peer {
    config: Config,
    links: Links,
    home: Home,
    neighbours: Neighbours,
    hearsay: Hearsay,
    remembered: Remembered,
    publisher: Publisher,
    publishing: Publishing,
    gets: Gets,
    /// The state of the neighbours' listings when they were last searched for what gets wait for.
    listings_seen: Option<u64>,
    lookups: BTreeMap<Inquiry, Lookup>,
    surveys: BTreeMap<Surveyor, Survey>,
    /// The user's requests for listings that are not answered yet.
    wishes: BTreeMap<SurveyId, Wished>,
    fetches: Fetches,
    sought: SoughtFiles,
    /// The members to which links are wanted, and what for.
    wanted: Wanted,
    /// Whether the group has removed this peer.
    removed: bool,
    /// The request for a new certificate, while it has no answer.
    renewing: Option<(LinkId, RequestId)>,
    /// Questions that have no answer yet.
    questions: BTreeMap<(LinkId, RequestId), Question>,
    /// Questions of other members that wait for a file to be hashed, the oldest first.
    hashing: Vec<Hashing>,
    /// Bytes read so far of each file that is hashed before others because a member waits for its
    /// root.
    hashed: BTreeMap<Name, u64>,
    tally: Tally,
    spared: SparedMeter,
    /// Lookups that were not reported to the tracker yet.
    untold: Lookups,
    /// The state of this peer's listing that the tracker has acknowledged.
    acknowledged: u64,
    out: VecDeque<Output>,
}

impl Peer {
    /// Creates a peer with an empty share.
    pub fn new(now: Instant, mut config: Config) -> Self {
        let me = config.me.clone();
        let (id, epoch) = (me.id, me.epoch);
        let mut links = Links::new(me, Role::Peer);
        if config.rules.exchange == Exchange::Nothing {
            links.keep_no_listings();
        }
        Self {
            home: Home::new(
                now,
                config.has_tracker,
                config.tracker_interval,
                config.seed,
            ),
            neighbours: Neighbours::new(config.max_neighbours, config.seed),
            hearsay: Hearsay::new(hearing::manner(&config), config.seed),
            remembered: Remembered::new(
                now,
                std::mem::take(&mut config.remembered),
                2 * config.max_neighbours,
                config.neighbour_interval,
                config.seed,
            ),
            publisher: Publisher::new(id, epoch, links.catalogue_mut()),
            publishing: Publishing::default(),
            gets: Gets::default(),
            listings_seen: None,
            links,
            config,
            lookups: BTreeMap::new(),
            surveys: BTreeMap::new(),
            wishes: BTreeMap::new(),
            fetches: Fetches::default(),
            sought: SoughtFiles::default(),
            wanted: Wanted::default(),
            removed: false,
            renewing: None,
            questions: BTreeMap::new(),
            hashing: Vec::new(),
            hashed: BTreeMap::new(),
            tally: Tally::default(),
            spared: SparedMeter::default(),
            untold: Lookups::default(),
            acknowledged: 0,
            out: VecDeque::new(),
        }
    }

    /// Handles one input. Nothing else changes the state, except
    /// [`claim_contents`](Self::claim_contents).
    pub fn handle(&mut self, now: Instant, input: Input) {
        let share_changed = matches!(input, Input::ShareChanged { .. });
        match input {
            Input::Link(input) => self.on_link_input(now, input),
            Input::DialFailed { target, trouble } => self.on_dial_failed(now, &target, trouble),
            Input::TurnedAway { link, trouble } => {
                self.on_turned_away_by_tracker(now, link, trouble);
            }
            Input::Served { link } => {
                self.links.said(now, link);
                self.publishing.release(link);
                if let Some(link) = self.links.get(link) {
                    self.neighbours.on_use(now, link.member.id);
                }
            }
            Input::ShareChanged { added, removed } => {
                self.publisher
                    .share_changed(now, self.links.catalogue_mut(), added, removed);
                self.out.push_back(Output::Changed(Row::Share));
            }
            Input::LookBegun => self.publisher.begin_look(now),
            Input::LookOver => self.publisher.end_look(now),
            Input::TorrentsChanged(torrents) => self.publisher.torrents_changed(now, torrents),
            Input::Hashed { name, bytes } => self.hashed_so_far(name, bytes),
            Input::Survey {
                survey,
                wish,
                itself,
            } => self.on_wish(now, survey, wish, itself),
            Input::Taken { survey } => self.on_taken(Surveyor::Shell(survey)),
            Input::AbandonSurvey { survey } => self.abandon_survey(survey),
            Input::Stored(files) => {
                for (fetch, storage) in files {
                    self.stored(now, fetch, storage);
                }
            }
            Input::Get { get, request } => {
                self.gets.handle(now, get::Input::Begin(get, request));
            }
            Input::Looked { get, looked } => {
                self.gets.handle(now, get::Input::Looked(get, looked));
            }
            Input::Large { fetch, event } => {
                self.gets.handle(now, get::Input::Large(fetch, event));
            }
            Input::AbandonGet { get } => self.gets.handle(now, get::Input::Abandon(get)),
            Input::InUse(member) => self.neighbours.on_use(now, member),
            Input::Readdressed {
                claimed,
                advertised,
            } => self.on_readdressed(now, claimed, advertised),
            Input::Renew { join } => self.renew(now, join),
        }
        self.advance(now, share_changed);
    }

    /// Whether the tracker knows of the torrents that were given last with
    /// [`Input::TorrentsChanged`].
    pub fn has_told_torrents(&self) -> bool {
        let published = self.publisher.torrents_published_at();
        published.is_some_and(|at| at <= self.acknowledged)
    }

    /// Whether the tracker knows a file of the share with these hashes.
    pub fn has_told(&self, entry: &Entry) -> bool {
        let own = self.own_entry(&entry.name);
        let is_so =
            |own: Entry| own.root == entry.root && (entry.v1.is_none() || own.v1 == entry.v1);
        own.is_some_and(is_so) && self.publisher.has_told(&entry.name, self.acknowledged)
    }

    /// Returns the next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// Returns when to send [`Tick`](crate::links::Input::Tick) if nothing happens before.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.lookups
            .values()
            .filter_map(Lookup::deadline)
            .chain(self.surveys.values().filter_map(Survey::deadline))
            .chain(self.next_hashing_deadline())
            .chain(self.links.next_deadline())
            .chain(self.home.next_dial())
            .chain(self.remembered.next_deadline())
            .chain(self.hearsay.next_deadline())
            .chain(self.publisher.publish_at())
            .chain(self.publishing.next_release())
            .chain(self.fetches.deadline())
            .chain(self.gets.next_deadline())
            .min()
    }

    /// Returns the neighbours, in the order of their ids.
    pub fn neighbours(&self) -> impl Iterator<Item = MemberRow> + '_ {
        let listed = self.links.present().listed();
        listed.map(|presence| member_row(presence, self.links.catalogue()))
    }

    /// Returns the members that are present; the neighbours are listed in the order in which they
    /// are shown.
    pub fn present(&self) -> &Presences {
        self.links.present()
    }

    /// Returns the member with this id, if there is a link to it.
    pub fn member(&self, id: PeerId) -> Option<Holder> {
        Some(self.links.present().get(id)?.holder())
    }

    /// Returns the account that is charged for what comes on a link.
    pub fn account(&self, link: LinkId) -> Account {
        self.links.account(link)
    }

    /// Returns the catalogue: the listings of this peer and of its neighbours.
    pub fn catalogue(&self) -> &Catalogue {
        self.links.catalogue()
    }

    /// Returns the state of the connection to the tracker.
    pub fn tracker(&self) -> TrackerState {
        self.home.tracker()
    }

    /// Returns the number of questions that wait for their turn.
    pub fn waiting(&self) -> usize {
        self.links.waiting()
    }

    /// Returns the smoothed time until an answer of a member, and when it was heard last, if there
    /// is a link to it.
    pub fn liveness(&self, id: PeerId) -> Option<(Option<Duration>, Instant)> {
        let (_, link) = self.links.to(id)?;
        Some((link.rtt, link.liveness.heard_at()))
    }

    /// Returns how many lookups were answered, by who answered.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Returns how many lookups the tracker was spared.
    pub fn spared(&self, now: Instant) -> Spared {
        self.spared.spared(now)
    }

    /// Returns the file that this peer shares under a name as a user types it, if there is exactly
    /// one.
    fn own_named(&self, typed: &str) -> Option<Entry> {
        let me = self.config.me.id;
        let own = |peer| peer == me;
        let (fit, files) = self.links.catalogue().named(typed, &own)?;
        match &files[..] {
            [file] if fit != Fit::Normalised => Some(file.entry.clone()),
            _ => None,
        }
    }

    /// Whether this peer itself shares files beneath a folder of this name, and none of the name.
    fn has_folder(&self, typed: &str) -> bool {
        let me = self.config.me.id;
        let own = |peer| peer == me;
        let beneath = Pattern::beneath(typed);
        let has_any = |beneath| {
            (self.links.catalogue().matching(&beneath, None, &own))
                .next()
                .is_some()
        };
        self.own_named(typed).is_none() && beneath.is_ok_and(has_any)
    }

    fn own_entry(&self, name: &Name) -> Option<Entry> {
        self.links
            .catalogue()
            .listing(self.config.me.id)?
            .entry(name)
    }
}

#[cfg(test)]
mod tests;

//! When this peer announces itself to which tracker of a torrent, as a client does (BEP 3, 12, 27).
//!
//! Owns the order of the trackers, when each may be asked again, and what it is told. Which of the
//! addresses it names may be dialled is decided in [`dialled`](crate::dialled). Does not know how a
//! tracker is asked.
//!
//! ```text
//! order    tiers of trackers, and which one is asked next
//! ```
//!
//! Trackers are not trusted: what they say of intervals has bounds, and so has their number.

mod order;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use thorp_wire::announce::url::Transport;
use thorp_wire::announce::{AnnounceEvent, TrackerUrl, TrackerUrlError};
use thorp_wire::torrent::MOST_TRACKERS;

use crate::dialled::{HeardOver, may_be_dialled};
use crate::time::Instant;

use order::Order;

/// The bounds on an interval, and what it is where the tracker has not said.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(30);
const LONGEST_INTERVAL: Duration = Duration::from_hours(2);
const USUAL_INTERVAL: Duration = Duration::from_mins(30);
/// How soon a tracker is asked again that has not said how soon it may be. Over UDP none can say
/// so, and the interval has to pass (BEP 15): it is asked sooner only for a fetch that has no
/// source.
const USUAL_LEAST: Duration = Duration::from_mins(2);
/// A tracker that has failed is not asked again for so long, twice as long after each further
/// failure, up to the longest wait.
const FIRST_WAIT: Duration = Duration::from_secs(15);
const LONGEST_WAIT: Duration = Duration::from_mins(30);
/// For how long trackers are told at the end that this peer goes.
const GOING: Duration = Duration::from_secs(10);
/// How many peers a fetch wants to be told, and how many if it has too few.
const WANTED: u32 = 50;
const WANTED_MORE: u32 = 200;

/// The trackers of a torrent, in tiers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trackers {
    /// Those that the torrent names.
    named: Vec<Vec<TrackerUrl>>,
    /// Those of this peer's group.
    own: Vec<TrackerUrl>,
    /// Those of this peer's group, though the torrent may name them as well.
    trusted: BTreeSet<TrackerUrl>,
    refused: Vec<(String, TrackerUrlError)>,
}

impl Trackers {
    /// Returns those that are asked for a torrent which names trackers: these, and the group's own
    /// beside them. A private torrent's clients are told of one another by its own trackers alone
    /// (BEP 27), though these may be such as cannot be asked; where it names none, they can only be
    /// those of the group.
    pub fn of_torrent(
        tiers: &[Vec<String>],
        is_private: bool,
        own: impl IntoIterator<Item = TrackerUrl>,
    ) -> Self {
        let named = Self::named(tiers);
        let names_any = tiers.iter().flatten().next().is_some();
        if is_private && names_any {
            named.trusting(own)
        } else {
            named.and_own(own)
        }
    }

    /// Reads the trackers that a torrent or a magnet link names.
    pub fn named(tiers: &[Vec<String>]) -> Self {
        let (mut all, mut room) = (Self::default(), MOST_TRACKERS);
        let mut seen = BTreeSet::new();
        for tier in tiers {
            let mut read = Vec::new();
            for text in tier {
                match text.parse::<TrackerUrl>() {
                    _ if room == 0 => break,
                    Ok(url) if seen.insert(url.clone()) => read.push(url),
                    Ok(_) => continue,
                    Err(why) => all.refused.push((text.clone(), why)),
                }
                room -= 1;
            }
            if !read.is_empty() {
                all.named.push(read);
            }
        }
        all
    }

    /// Adds the trackers of this peer's group. They are asked beside those that the torrent names.
    #[must_use]
    pub fn and_own(mut self, own: impl IntoIterator<Item = TrackerUrl>) -> Self {
        self = self.trusting(own);
        let is_new = |url: &&TrackerUrl| !self.named.iter().flatten().any(|named| named == *url);
        let own = self.trusted.iter().filter(is_new).take(MOST_TRACKERS);
        self.own = own.cloned().collect();
        self
    }

    /// Says which are the trackers of this peer's group, if the torrent names them. Only those may
    /// be at any address.
    #[must_use]
    pub fn trusting(mut self, own: impl IntoIterator<Item = TrackerUrl>) -> Self {
        self.trusted.extend(own);
        self
    }

    /// Returns those that are asked one after the other: the torrent's, and the group's.
    pub fn rows(&self) -> [BTreeSet<TrackerUrl>; 2] {
        let named = self.named.iter().flatten().cloned().collect();
        [named, self.own.iter().cloned().collect()]
    }

    /// Returns the URLs that cannot be asked, and why not.
    pub fn refused(&self) -> &[(String, TrackerUrlError)] {
        &self.refused
    }

    /// Whether there is none that can be asked.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty() && self.own.is_empty()
    }
}

/// Identifies a tracker in an [`Announces`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TrackerNumber(usize);

/// The inputs of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// A tracker has answered an [`Output::Announce`].
    Answered(TrackerNumber, TrackerAnswer),
    /// A tracker has not answered an [`Output::Announce`], or has refused it.
    Failed(TrackerNumber),
    /// The fetch has too few sources.
    WantsMore {
        /// Whether it has none at all.
        has_none: bool,
    },
    /// The torrent has turned out to be private, as its info dictionary says.
    IsPrivate,
    /// The last piece has come.
    Completed,
    /// The torrent is neither fetched nor served any more.
    Stop,
}

/// What a tracker has answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackerAnswer {
    /// Seconds until this peer should announce itself again, if the tracker has said.
    pub interval: Option<u32>,
    /// Seconds until this peer may announce itself again, if the tracker has said.
    pub min_interval: Option<u32>,
    /// What the tracker wants to be told the next time.
    pub tracker_id: Option<Vec<u8>>,
    /// The peers that it names.
    pub peers: Vec<SocketAddr>,
    /// Over what it was reached.
    pub heard: HeardOver,
}

/// What the shell is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Announce this peer to a tracker, then report [`Input::Answered`] or [`Input::Failed`].
    Announce(Asking),
    /// These peers may be dialled.
    Peers(Vec<SocketAddr>),
    /// There is nothing more to do. What is not answered yet can be given up.
    Over,
}

/// An announce to one tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asking {
    /// The tracker.
    pub tracker: TrackerNumber,
    /// Where it is.
    pub url: TrackerUrl,
    /// What has happened.
    pub event: AnnounceEvent,
    /// How many peers are wanted.
    pub wanted: u32,
    /// What the tracker wanted to be told.
    pub tracker_id: Option<Vec<u8>>,
    /// Whether it is a tracker of this peer's group.
    pub is_own: bool,
}

/// The state machine. Call [`handle`](Self::handle) with an input, then drain
/// [`poll_output`](Self::poll_output); call again at [`next_deadline`](Self::next_deadline).
#[derive(Debug)]
pub struct Announces {
    trackers: Vec<Tracker>,
    /// The trackers that the torrent names, then those of the group.
    orders: [Order; 2],
    phase: Phase,
    is_complete: bool,
    /// A tracker has named peers that may be dialled.
    has_peers: bool,
    wants_more: bool,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Tracker {
    url: TrackerUrl,
    is_own: bool,
    /// Whether it has answered, and so lists this peer.
    knows: bool,
    /// What it was told in the announce that it has not answered yet.
    asked: Option<AnnounceEvent>,
    /// Whether it is still to be told that the last piece has come.
    has_news: bool,
    /// How many times in a row it has failed.
    failures: u32,
    not_before: Instant,
    /// The same for a fetch that has no source.
    not_before_at_need: Instant,
    id: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// The trackers are told until then that this peer goes.
    Going(Instant),
    Over,
}

impl Announces {
    /// Creates the machine of a torrent. `is_complete` says whether all of it is there already.
    pub fn new(now: Instant, trackers: Trackers, is_complete: bool, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut all = Vec::new();
        let mut order = |tiers: Vec<Vec<TrackerUrl>>| {
            let tiers = tiers.into_iter().map(|tier| {
                let first = all.len();
                all.extend(tier.into_iter().map(|url| {
                    let is_own = trackers.trusted.contains(&url);
                    Tracker::new(now, url, is_own)
                }));
                let mut tier: Vec<_> = (first..all.len()).map(TrackerNumber).collect();
                rng.shuffle(&mut tier);
                tier
            });
            Order::new(now, tiers.filter(|tier| !tier.is_empty()).collect())
        };
        let orders = [order(trackers.named), order(vec![trackers.own])];
        Self {
            trackers: all,
            orders,
            phase: Phase::Running,
            is_complete,
            has_peers: false,
            wants_more: false,
            outputs: VecDeque::new(),
        }
    }

    /// Handles an input. Drain [`poll_output`](Self::poll_output) afterwards.
    pub fn handle(&mut self, now: Instant, input: Input) {
        if self.phase == Phase::Over {
            // An answer that comes late would have its tracker told that this peer goes.
            return;
        }
        match input {
            Input::Tick => {}
            Input::Answered(tracker, answer) => self.answered(now, tracker, answer),
            Input::Failed(tracker) => self.failed(now, tracker),
            Input::WantsMore { has_none } => self.on_wants_more(now, has_none),
            Input::IsPrivate => self.on_private(),
            Input::Completed => self.completed(now),
            Input::Stop => self.stop(now),
        }
        self.settle(now);
    }

    /// Returns the next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns when to call [`handle`](Self::handle) with [`Input::Tick`] if nothing happens
    /// before.
    pub fn next_deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running => {
                let orders = self.orders.iter();
                orders
                    .filter_map(|order| order.deadline(&self.trackers))
                    .min()
            }
            Phase::Going(until) => Some(until),
            Phase::Over => None,
        }
    }

    fn answered(&mut self, now: Instant, number: TrackerNumber, answer: TrackerAnswer) {
        let Some(event) = self.ended(number) else {
            return;
        };
        let interval = bounded(answer.interval, USUAL_INTERVAL, LONGEST_INTERVAL);
        let least = bounded(answer.min_interval, USUAL_LEAST, interval);
        let tracker = &mut self.trackers[number.0];
        tracker.failures = 0;
        tracker.not_before = match tracker.url.transport() {
            Transport::Http => now + least,
            Transport::Udp => now + interval,
        };
        tracker.not_before_at_need = now + least;
        tracker.knows = event != AnnounceEvent::Stopped;
        tracker.has_news &= event != AnnounceEvent::Completed;
        tracker.id = answer.tracker_id.or(tracker.id.take());
        let mut peers = answer.peers;
        peers.retain(|peer| may_be_dialled(*peer, answer.heard));
        let are_sought = !self.is_complete && (self.wants_more || !self.has_peers);
        let ends_round = !are_sought || !peers.is_empty();
        let mut orders = self.orders.iter_mut();
        let order = orders.find(|order| order.has(number));
        let is_in_use = order.is_some();
        if let Some(order) = order {
            order.answered(number, now + interval, ends_round);
            order.on_news(now, &self.trackers);
        }
        if !is_in_use || self.phase != Phase::Running {
            return self.take_leave_of(number);
        }
        self.wants_more &= !ends_round;
        if !peers.is_empty() && !self.is_complete {
            self.has_peers = true;
            self.outputs.push_back(Output::Peers(peers));
        }
    }

    fn failed(&mut self, now: Instant, number: TrackerNumber) {
        if self.ended(number).is_some() {
            let tracker = &mut self.trackers[number.0];
            let wait = FIRST_WAIT * 2_u32.saturating_pow(tracker.failures.min(10));
            tracker.not_before = now + wait.min(LONGEST_WAIT);
            tracker.not_before_at_need = tracker.not_before;
            tracker.failures = tracker.failures.saturating_add(1);
        }
    }

    /// Returns what the tracker was told in the announce that has ended.
    fn ended(&mut self, number: TrackerNumber) -> Option<AnnounceEvent> {
        self.trackers.get_mut(number.0)?.asked.take()
    }

    /// Asks sooner, as soon as the trackers allow it.
    fn on_wants_more(&mut self, now: Instant, has_none: bool) {
        self.wants_more = true;
        if has_none {
            for tracker in &mut self.trackers {
                tracker.not_before = tracker.not_before.min(tracker.not_before_at_need);
            }
        }
        for order in &mut self.orders {
            order.hurry(now, &self.trackers);
        }
    }

    fn on_private(&mut self) {
        for number in self.orders[1].take() {
            self.take_leave_of(number);
        }
    }

    fn completed(&mut self, now: Instant) {
        if self.is_complete || self.phase != Phase::Running {
            return;
        }
        self.is_complete = true;
        for tracker in &mut self.trackers {
            tracker.has_news = tracker.knows || tracker.asked.is_some();
        }
        for order in &mut self.orders {
            order.on_news(now, &self.trackers);
        }
    }

    fn stop(&mut self, now: Instant) {
        if self.phase != Phase::Running {
            return;
        }
        self.phase = Phase::Going(now + GOING);
        for number in (0..self.trackers.len()).map(TrackerNumber) {
            self.take_leave_of(number);
        }
    }

    /// Tells a tracker that this peer goes, if it lists it. One that has still to answer is told
    /// once it has.
    fn take_leave_of(&mut self, number: TrackerNumber) {
        let tracker = &self.trackers[number.0];
        if tracker.knows && tracker.asked.is_none() {
            self.ask(number, AnnounceEvent::Stopped);
        }
    }

    /// Does what follows from the last input and from the time.
    fn settle(&mut self, now: Instant) {
        match self.phase {
            Phase::Running => {
                for order in 0..self.orders.len() {
                    if let Some(number) = self.orders[order].next(now, &self.trackers) {
                        let event = self.trackers[number.0].event();
                        self.ask(number, event);
                    }
                }
            }
            Phase::Going(until) => {
                let is_told = self.trackers.iter().all(|tracker| tracker.asked.is_none());
                if is_told || now >= until {
                    self.phase = Phase::Over;
                    self.outputs.push_back(Output::Over);
                }
            }
            Phase::Over => {}
        }
    }

    fn ask(&mut self, number: TrackerNumber, event: AnnounceEvent) {
        let wanted = match event {
            AnnounceEvent::Stopped => 0,
            _ if self.is_complete => 0,
            _ if self.wants_more => WANTED_MORE,
            _ => WANTED,
        };
        let tracker = &mut self.trackers[number.0];
        tracker.asked = Some(event);
        self.outputs.push_back(Output::Announce(Asking {
            tracker: number,
            url: tracker.url.clone(),
            event,
            wanted,
            tracker_id: tracker.id.clone(),
            is_own: tracker.is_own,
        }));
    }
}

impl Tracker {
    fn new(now: Instant, url: TrackerUrl, is_own: bool) -> Self {
        Self {
            url,
            is_own,
            knows: false,
            asked: None,
            has_news: false,
            failures: 0,
            not_before: now,
            not_before_at_need: now,
            id: None,
        }
    }

    /// Returns what the tracker is told next.
    fn event(&self) -> AnnounceEvent {
        if !self.knows {
            AnnounceEvent::Started
        } else if self.has_news {
            AnnounceEvent::Completed
        } else {
            AnnounceEvent::None
        }
    }

    /// Returns when it may be asked. News of the last piece need not wait for an interval.
    fn ready(&self, now: Instant) -> Instant {
        if self.is_news_ready() {
            now
        } else {
            self.not_before
        }
    }

    fn is_news_ready(&self) -> bool {
        self.has_news && self.knows && self.failures == 0 && self.asked.is_none()
    }
}

fn bounded(seconds: Option<u32>, usual: Duration, longest: Duration) -> Duration {
    let said = seconds.map_or(usual, |seconds| Duration::from_secs(seconds.into()));
    said.clamp(SHORTEST_INTERVAL, longest)
}

#[cfg(any(test, feature = "testing"))]
impl Announces {
    /// Asserts what must hold after every input.
    pub fn check(&self) {
        let mut seen = BTreeSet::new();
        for order in &self.orders {
            order.check(&mut seen);
            if self.phase == Phase::Running {
                order.check_round(&self.trackers);
            }
        }
        for tracker in &self.trackers {
            assert!(!tracker.has_news || self.is_complete);
        }
    }
}

#[cfg(test)]
mod tests;

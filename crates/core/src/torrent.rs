//! The fetch of a torrent: when it is given up, and why.
//!
//! Owns what is known of its trackers and clients, and what its user waits for. Which bytes are
//! asked of which client is decided in its [swarm](crate::swarm); where there is only a magnet
//! link, clients are asked for the info dictionary first, and there is no swarm yet.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::get::Patience;
use crate::swarm::{Contact, SourceId, Stuck};
use crate::time::Instant;

/// A fetch that has no client to ask waits for so long for one that comes by itself.
const LONELY: Duration = Duration::from_secs(10);
/// A fetch is not given up before all trackers have said something, but for so long only.
const TRACKERS: Duration = Duration::from_mins(1);
/// Clients that were named a moment ago are not dialled yet: that no client has what is missing is
/// older then.
const SETTLING: Duration = Duration::from_secs(1);

/// The state of a fetch.
#[derive(Debug)]
pub struct TorrentFetch {
    since: Instant,
    patience: Patience,
    /// How many rows of trackers are asked.
    rows: usize,
    /// What has come of the rows of which that is known: why a tracker has not answered, or
    /// `None` if one has named clients or all have answered.
    heard: BTreeMap<TrackerRow, Option<String>>,
    /// Why a tracker cannot be asked at all.
    refused: Option<String>,
    /// A client was named, by the torrent, a tracker or another client; or has called.
    has_clients: bool,
    /// Who has sent what is not of the torrent, if nothing has been verified since.
    liar: Option<SourceId>,
    stuck: Option<Stuck>,
    /// Before that nothing is given up.
    settled: Instant,
    /// Bytes that are verified.
    there: u64,
}

/// Trackers that are asked one after the other until one names clients, by their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TrackerRow(pub usize);

/// What happens to a fetch.
#[derive(Clone, Debug)]
pub enum TorrentEvent {
    /// A tracker has named clients, or all trackers of the row have answered.
    Answered(TrackerRow),
    /// No tracker of the row has named clients, and at least one has not answered or has refused.
    Failed {
        /// The trackers.
        row: TrackerRow,
        /// Which one, and why, for the user.
        why: String,
    },
    /// A tracker that the torrent names cannot be asked.
    Refused {
        /// Which one, and why, for the user.
        why: String,
    },
    /// Clients are known that were not known before.
    Clients,
    /// A client that has called sends what is missing.
    Called,
    /// What is missing may come from a client that is known: it is stuck no more.
    GoesOn,
    /// This source has sent what is not of the torrent.
    Blamed(SourceId),
    /// So many bytes are verified.
    There(u64),
    /// No client that is known can provide what is missing.
    Stuck(Stuck),
}

/// Why a torrent cannot be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TorrentMissed {
    /// Not all of its trackers have answered, and no client is known.
    NoTracker(String),
    /// Its trackers know no client that has it.
    NoClient,
    /// No client can be reached.
    Unreachable(String),
    /// A client has sent something else, and no other one is left.
    WrongFrom(SourceId),
    /// No client is left to send the rest.
    Unfinished {
        /// How the last attempt failed, for the user.
        reason: String,
        /// Bytes that are verified.
        there: u64,
    },
}

impl TorrentFetch {
    /// Creates the fetch of a torrent. So many rows of trackers are asked.
    pub fn new(now: Instant, patience: Patience, rows: usize) -> Self {
        Self {
            since: now,
            patience,
            rows,
            heard: BTreeMap::new(),
            refused: None,
            has_clients: false,
            liar: None,
            stuck: None,
            settled: now,
            there: 0,
        }
    }

    /// Takes what has happened. Ask for the [verdict](Self::verdict) now and then.
    pub fn handle(&mut self, now: Instant, event: TorrentEvent) {
        match event {
            TorrentEvent::Answered(row) => {
                self.heard.insert(row, None);
            }
            TorrentEvent::Failed { row, why } => {
                self.heard.insert(row, Some(why));
            }
            TorrentEvent::Refused { why } => self.refused = Some(why),
            TorrentEvent::Clients => {
                self.has_clients = true;
                self.settled = now + SETTLING;
            }
            TorrentEvent::Called => self.has_clients = true,
            TorrentEvent::GoesOn => self.stuck = None,
            TorrentEvent::Blamed(source) => self.liar = Some(source),
            TorrentEvent::There(bytes) => {
                // Not the liar is to blame if what comes from others does not come to its end.
                if bytes > self.there {
                    self.liar = None;
                }
                self.there = bytes;
            }
            TorrentEvent::Stuck(stuck) => self.stuck = Some(stuck),
        }
    }

    /// Whether it is to be given up now, and why.
    pub fn verdict(&self, now: Instant) -> Option<TorrentMissed> {
        let is_lonely = !self.has_clients && now >= self.since + LONELY;
        let are_awaited = self.heard.len() < self.rows && now < self.since + TRACKERS;
        if are_awaited || now < self.settled || !(is_lonely || self.stuck.is_some()) {
            return None;
        }
        let goes_on = match self.patience {
            Patience::None => false,
            Patience::Begun => self.there > 0,
            Patience::For(limit) => limit.is_none_or(|limit| now < self.since + limit),
        };
        (!goes_on).then(|| self.missed())
    }

    fn missed(&self) -> TorrentMissed {
        if let Some(liar) = self.liar {
            return TorrentMissed::WrongFrom(liar);
        }
        let there = self.there;
        let (reason, contact) = match &self.stuck {
            Some(stuck) => (stuck.reason.clone(), stuck.contact),
            None => ("no client has it".to_owned(), Contact::None),
        };
        match contact {
            _ if there > 0 => TorrentMissed::Unfinished { reason, there },
            _ if !self.has_clients => match self.trouble() {
                Some(why) => TorrentMissed::NoTracker(why),
                None => TorrentMissed::NoClient,
            },
            Contact::None => TorrentMissed::Unreachable(reason),
            Contact::Reached | Contact::Session => TorrentMissed::Unfinished { reason, there },
        }
    }

    /// Why a tracker has not answered that could name clients; `None` if all have answered.
    fn trouble(&self) -> Option<String> {
        let failed = self.heard.values().flatten().next();
        let why = failed.or(self.refused.as_ref()).cloned();
        let is_one_silent = self.heard.len() < self.rows;
        why.or_else(|| is_one_silent.then(|| "one of them is silent".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::after_start(Duration::from_secs(seconds))
    }

    fn fetch(patience: Patience, trackers: usize) -> TorrentFetch {
        TorrentFetch::new(at(0), patience, trackers)
    }

    fn stuck(contact: Contact) -> TorrentEvent {
        TorrentEvent::Stuck(Stuck {
            reason: "it is gone".into(),
            there: 0,
            contact,
            sources: Vec::new(),
            changed: None,
        })
    }

    fn failed(row: usize) -> TorrentEvent {
        TorrentEvent::Failed {
            row: TrackerRow(row),
            why: "no route".into(),
        }
    }

    fn answered(row: usize) -> TorrentEvent {
        TorrentEvent::Answered(TrackerRow(row))
    }

    #[test]
    fn nothing_is_given_up_before_all_trackers_have_said_something_or_a_minute_has_gone() {
        let mut fetch = fetch(Patience::None, 2);
        fetch.handle(at(0), stuck(Contact::None));
        assert_eq!(fetch.verdict(at(59)), None);
        fetch.handle(at(0), answered(0));
        assert_eq!(fetch.verdict(at(59)), None);
        assert!(fetch.verdict(at(60)).is_some());
        fetch.handle(at(0), answered(1));
        assert_eq!(fetch.verdict(at(1)), Some(TorrentMissed::NoClient));
    }

    #[test]
    fn that_no_client_has_it_is_said_only_if_every_tracker_has_answered() {
        let silent = fetch(Patience::None, 1);
        let why = TorrentMissed::NoTracker("one of them is silent".into());
        assert_eq!(silent.verdict(at(59)), None);
        assert_eq!(silent.verdict(at(60)), Some(why.clone()));

        let mut half = fetch(Patience::None, 2);
        half.handle(at(0), answered(1));
        assert_eq!(half.verdict(at(60)), Some(why));
        half.handle(at(5), failed(0));
        let why = TorrentMissed::NoTracker("no route".into());
        assert_eq!(half.verdict(at(10)), Some(why), "whatever the other says");
        half.handle(at(20), answered(0));
        let why = TorrentMissed::NoClient;
        assert_eq!(half.verdict(at(20)), Some(why), "it has answered later");
    }

    #[test]
    fn a_tracker_that_cannot_be_asked_takes_the_place_of_no_other_one() {
        let mut fetch = fetch(Patience::None, 1);
        fetch.handle(at(0), TorrentEvent::Refused { why: "TLS".into() });
        assert_eq!(fetch.verdict(at(59)), None, "the other one is awaited");
        fetch.handle(at(59), answered(0));
        let why = TorrentMissed::NoTracker("TLS".into());
        assert_eq!(fetch.verdict(at(59)), Some(why));
    }

    #[test]
    fn what_a_client_sends_that_has_called_is_not_given_up() {
        let mut fetch = fetch(Patience::None, 1);
        fetch.handle(at(0), answered(0));
        fetch.handle(at(9), TorrentEvent::Called);
        fetch.handle(at(9), TorrentEvent::There(5));
        assert_eq!(fetch.verdict(at(10)), None);
        assert_eq!(fetch.verdict(at(1000)), None);
        fetch.handle(at(1000), stuck(Contact::Session));
        assert!(fetch.verdict(at(1000)).is_some());
    }

    #[test]
    fn where_no_tracker_answers_and_no_client_is_known_that_is_no_answer_that_nobody_has_it() {
        let mut unanswered = fetch(Patience::None, 1);
        unanswered.handle(at(0), failed(0));
        assert_eq!(unanswered.verdict(at(9)), None, "a client may call");
        let why = TorrentMissed::NoTracker("no route".into());
        assert_eq!(unanswered.verdict(at(10)), Some(why));
        unanswered.handle(at(10), TorrentEvent::Clients);
        unanswered.handle(at(10), stuck(Contact::None));
        assert_eq!(unanswered.verdict(at(10)), None, "it is not dialled yet");
        let why = TorrentMissed::Unreachable("it is gone".into());
        assert_eq!(unanswered.verdict(at(11)), Some(why));
        unanswered.handle(at(11), TorrentEvent::GoesOn);
        assert_eq!(unanswered.verdict(at(30)), None);
    }

    #[test]
    fn what_has_come_is_told_as_unfinished_and_waited_for_if_its_user_waits() {
        let mut fetches = [Patience::None, Patience::Begun, Patience::For(None)]
            .map(|patience| fetch(patience, 0));
        for fetch in &mut fetches {
            fetch.handle(at(0), TorrentEvent::Clients);
            fetch.handle(at(0), TorrentEvent::There(5));
            fetch.handle(at(0), stuck(Contact::Session));
        }
        let unfinished = TorrentMissed::Unfinished {
            reason: "it is gone".into(),
            there: 5,
        };
        let verdicts = fetches.each_ref().map(|fetch| fetch.verdict(at(100)));
        assert_eq!(verdicts, [Some(unfinished), None, None]);
    }

    #[test]
    fn a_limit_ends_what_is_stuck_and_not_what_comes() {
        let mut limited = fetch(Patience::For(Some(Duration::from_mins(1))), 0);
        assert_eq!(limited.verdict(at(59)), None);
        assert_eq!(limited.verdict(at(60)), Some(TorrentMissed::NoClient));
        limited.handle(at(0), TorrentEvent::Clients);
        assert_eq!(limited.verdict(at(61)), None);
    }

    #[test]
    fn a_client_that_lied_is_not_named_if_others_have_sent_something_since() {
        let mut fetch = fetch(Patience::None, 0);
        let liar = SourceId::Client(([10, 0, 0, 1], 1).into());
        fetch.handle(at(0), TorrentEvent::Clients);
        fetch.handle(at(0), TorrentEvent::Blamed(liar));
        fetch.handle(at(1), TorrentEvent::There(5));
        fetch.handle(at(2), stuck(Contact::Session));
        let why = TorrentMissed::Unfinished {
            reason: "it is gone".into(),
            there: 5,
        };
        assert_eq!(fetch.verdict(at(30)), Some(why));
    }

    #[test]
    fn a_client_that_lied_is_named_if_no_other_one_is_left() {
        let mut fetch = fetch(Patience::None, 0);
        let liar = SourceId::Client(([10, 0, 0, 1], 1).into());
        fetch.handle(at(0), TorrentEvent::Clients);
        fetch.handle(at(0), TorrentEvent::Blamed(liar));
        assert_eq!(fetch.verdict(at(30)), None);
        fetch.handle(at(0), stuck(Contact::Session));
        let why = TorrentMissed::WrongFrom(liar);
        assert_eq!(fetch.verdict(at(30)), Some(why));
    }
}

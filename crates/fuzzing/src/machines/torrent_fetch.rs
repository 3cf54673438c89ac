//! When the fetch of a torrent is given up, as trackers and clients answer and time passes.
//!
//! Whatever happens, that nobody has it is said only where every tracker has answered.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use thorp_core::get::Patience;
use thorp_core::swarm::{Contact, SourceId, Stuck};
use thorp_core::time::Instant;
use thorp_core::torrent::{TorrentEvent, TorrentFetch, TorrentMissed, TrackerRow};

use crate::source::Source;

/// After so long all that is awaited has come or is given up.
const LONG: Duration = Duration::from_hours(1);

pub(crate) fn torrent_fetch(bytes: &[u8]) {
    let mut source = Source::of(bytes);
    let patience = match source.byte() % 4 {
        0 => Patience::None,
        1 => Patience::Begun,
        2 => Patience::For(None),
        _ => Patience::For(Some(Duration::from_secs(source.byte().into()))),
    };
    let rows = source.below(4);
    let mut play = Play {
        fetch: TorrentFetch::new(Instant::default(), patience, rows),
        patience,
        rows,
        now: Duration::ZERO,
        has_answered: BTreeMap::new(),
        is_one_refused: false,
        has_clients: false,
        blamed: BTreeSet::new(),
        there: 0,
        is_stuck: false,
    };
    while !source.is_empty() {
        play.step(&mut source);
        play.judge();
    }
    play.now += LONG;
    play.judge();
    assert!(play.is_judged(), "it goes on for ever");
}

struct Play {
    fetch: TorrentFetch,
    patience: Patience,
    rows: usize,
    now: Duration,
    /// What each row of trackers has said last: whether it has answered.
    has_answered: BTreeMap<usize, bool>,
    is_one_refused: bool,
    has_clients: bool,
    blamed: BTreeSet<SourceId>,
    there: u64,
    is_stuck: bool,
}

impl Play {
    fn step(&mut self, source: &mut Source<'_>) {
        let row = source.below(self.rows);
        let event = match source.byte() % 10 {
            0 => return self.now += Duration::from_millis(source.short().into()),
            1 if self.rows > 0 => {
                self.has_answered.insert(row, true);
                TorrentEvent::Answered(TrackerRow(row))
            }
            2 if self.rows > 0 => {
                self.has_answered.insert(row, false);
                let (row, why) = (TrackerRow(row), "no route".to_owned());
                TorrentEvent::Failed { row, why }
            }
            3 => {
                self.is_one_refused = true;
                let why = "TLS".to_owned();
                TorrentEvent::Refused { why }
            }
            4 => {
                self.has_clients = true;
                TorrentEvent::Clients
            }
            5 => {
                self.has_clients = true;
                TorrentEvent::Called
            }
            6 => {
                self.is_stuck = false;
                TorrentEvent::GoesOn
            }
            7 => {
                let liar = SourceId::Client(SocketAddr::from(([10, 0, 0, source.byte()], 1)));
                self.blamed.insert(liar);
                TorrentEvent::Blamed(liar)
            }
            8 => {
                self.there = source.short().into();
                TorrentEvent::There(self.there)
            }
            _ => {
                self.is_stuck = true;
                let contacts = [Contact::None, Contact::Reached, Contact::Session];
                let contact = source.one(&contacts).copied();
                TorrentEvent::Stuck(Stuck {
                    reason: "it is gone".to_owned(),
                    there: self.there,
                    contact: contact.unwrap_or(Contact::None),
                    sources: Vec::new(),
                    changed: None,
                })
            }
        };
        self.fetch.handle(Instant::after_start(self.now), event);
    }

    /// Whether it is given up, or its user waits, or something comes.
    fn is_judged(&self) -> bool {
        let verdict = self.fetch.verdict(Instant::after_start(self.now));
        verdict.is_some() || !self.is_over() || self.waits()
    }

    fn is_over(&self) -> bool {
        self.is_stuck || !self.has_clients
    }

    fn waits(&self) -> bool {
        match self.patience {
            Patience::None => false,
            Patience::Begun => self.there > 0,
            Patience::For(limit) => limit.is_none_or(|limit| self.now < limit),
        }
    }

    fn judge(&self) {
        let verdict = self.fetch.verdict(Instant::after_start(self.now));
        let may_end = self.is_over() && !self.waits();
        assert!(verdict.is_none() || may_end, "it is given up");
        let have_answered =
            self.has_answered.len() == self.rows && self.has_answered.values().all(|has| *has);
        match verdict {
            Some(TorrentMissed::NoClient) => {
                assert!(have_answered && !self.is_one_refused && !self.has_clients);
            }
            Some(TorrentMissed::NoTracker(_)) => {
                assert!((!have_answered || self.is_one_refused) && !self.has_clients);
            }
            Some(TorrentMissed::WrongFrom(liar)) => assert!(self.blamed.contains(&liar)),
            Some(TorrentMissed::Unfinished { there, .. }) => assert_eq!(there, self.there),
            Some(TorrentMissed::Unreachable(_)) => assert!(self.has_clients && self.there == 0),
            None => {}
        }
    }
}

//! The log of a tracker without a terminal: a line for each peer that comes or goes, and for how
//! much it shares.
//!
//! A log is kept for months, so the number of lines is bounded, whatever peers do: a peer's coming
//! and going is told at most every [`STEADY`], and how much it shares every [`SHARES_EVERY`], or
//! less often if there are many peers. What is told is the state at that time. Owns what is told
//! and when; `lines` owns the streams.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use thorp_node::api::Member;
use thorp_node::snapshot::{Ask, Change, Fresh, Gone, Part, SnapshotRow, TrackedPeer, Viewer};
use tokio::time::{Duration, Instant};

use crate::{units, words};
use thorp_node::printable::printable;

/// How many peers' rows are read from the tracker at a time.
const PEERS_AT_ONCE: usize = 1000;
/// A peer that comes and goes within this time is not logged again.
const STEADY: Duration = Duration::from_secs(5);
/// A listing must have been unchanged for this long before its size is logged.
const SETTLED_AFTER: Duration = Duration::from_secs(2);
/// How often the size of a peer's share is logged at most.
const SHARES_EVERY: Duration = Duration::from_mins(1);
/// How often the size of any peer's share is logged at most: one line in this time.
const SHARES_OF_ALL: Duration = Duration::from_secs(1);

/// Follows the peers of a tracker.
#[derive(Debug, Default)]
pub struct Log {
    /// The number of the last change that was read.
    number: Option<u64>,
    peers: BTreeMap<String, Known>,
    /// The ids of the peers that have news, or that may be forgotten.
    pending: BTreeSet<String>,
    present: u32,
}

/// An event to tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Happening {
    /// A machine has become a member.
    Admitted(Member),
    /// A peer has come.
    Came(Member),
    /// A peer has gone.
    Went(Member),
    /// A peer lists this much.
    Shares {
        /// The peer.
        #[serde(flatten)]
        member: Member,
        /// The number of files.
        files: u64,
        /// The number of bytes in them.
        bytes: u64,
    },
}

/// What is known of a peer, and what was logged about it.
#[derive(Debug)]
struct Known {
    member: Member,
    is_present: bool,
    shares: Offer,
    shares_since: Instant,
    was_present: bool,
    presence_told: Option<Instant>,
    shared: Offer,
    shares_told: Option<Instant>,
}

/// The numbers of files and bytes.
type Offer = (u64, u64);

impl Log {
    /// Returns what there is to tell now; `None` if the tracker has ended.
    pub async fn look(&mut self, viewer: &Viewer) -> Option<Vec<Happening>> {
        let fresh = match self.number {
            Some(number) => viewer.since(number).await?,
            None => Fresh::StartAgain { number: 0 },
        };
        let now = Instant::now();
        match fresh {
            Fresh::Changes { number, changes } => {
                self.number = Some(number);
                for change in changes {
                    match change {
                        Change::Now(row) => self.on_row(now, *row),
                        Change::Gone(Gone::Peer { id }) => self.on_gone(&id),
                        Change::Gone(Gone::Transfer { .. } | Gone::Upload { .. }) => {}
                    }
                }
            }
            Fresh::StartAgain { .. } => {
                let ask = Ask {
                    names: 0,
                    ..Ask::first(Part::Peers, PEERS_AT_ONCE)
                };
                let [mut page] = viewer.pages([ask.clone()]).await?;
                // Rows that change in the meantime are read again.
                self.number = Some(page.number);
                viewer.read_on(&ask, &mut page, usize::MAX).await?;
                self.on_all(now, page.rows);
            }
        }
        Some(self.told(now))
    }

    /// Returns when there will be something to tell or to forget if nothing else happens.
    pub fn next(&self) -> Option<Instant> {
        let due = |id| Some(self.peers.get(id)?.due(self.shares_every()));
        self.pending.iter().filter_map(due).min()
    }

    /// Records that these peers are present, and no others.
    fn on_all(&mut self, now: Instant, rows: Vec<SnapshotRow>) {
        let mut gone: BTreeSet<String> = self.peers.keys().cloned().collect();
        for row in rows {
            if let SnapshotRow::Peer(peer) = &row {
                gone.remove(&peer.member.id);
            }
            self.on_row(now, row);
        }
        for id in gone {
            self.on_gone(&id);
        }
    }

    fn on_row(&mut self, now: Instant, row: SnapshotRow) {
        let SnapshotRow::Peer(TrackedPeer {
            member,
            files,
            bytes,
            ..
        }) = row
        else {
            return;
        };
        let id = member.id.clone();
        let known = self.peers.entry(id.clone()).or_insert_with(|| Known {
            member: member.clone(),
            is_present: false,
            shares: (0, 0),
            shares_since: now,
            was_present: false,
            presence_told: None,
            shared: (0, 0),
            shares_told: None,
        });
        known.member = member;
        if !known.is_present {
            known.is_present = true;
            self.present += 1;
        }
        if known.shares != (files, bytes) {
            known.shares = (files, bytes);
            known.shares_since = now;
        }
        if known.is_news() {
            self.pending.insert(id);
        }
    }

    fn on_gone(&mut self, id: &str) {
        if let Some(known) = self.peers.get_mut(id)
            && known.is_present
        {
            known.is_present = false;
            self.present -= 1;
            self.pending.insert(id.to_owned());
        }
    }

    /// Returns what is due to be logged.
    fn told(&mut self, now: Instant) -> Vec<Happening> {
        let every = self.shares_every();
        let mut happenings = Vec::new();
        let (peers, pending) = (&mut self.peers, &mut self.pending);
        pending.retain(|id| {
            let Some(known) = peers.get_mut(id) else {
                return false;
            };
            while known.is_news() && known.due(every) <= now {
                happenings.push(known.tell(now));
            }
            let is_over = !known.is_present && !known.is_news() && known.due(every) <= now;
            if is_over {
                peers.remove(id);
                return false;
            }
            known.is_news() || !known.is_present
        });
        happenings
    }

    fn shares_every(&self) -> Duration {
        SHARES_EVERY.max(SHARES_OF_ALL * self.present)
    }
}

impl Known {
    fn is_news(&self) -> bool {
        self.is_present != self.was_present || (self.is_present && self.shares != self.shared)
    }

    /// Returns when news of the peer may be logged or, without news, when it may be forgotten.
    fn due(&self, shares_every: Duration) -> Instant {
        if self.is_present == self.was_present && self.is_present {
            let settled = self.shares_since + SETTLED_AFTER;
            self.shares_told
                .map_or(settled, |told| settled.max(told + shares_every))
        } else {
            self.presence_told
                .map_or(self.shares_since, |told| told + STEADY)
        }
    }

    fn tell(&mut self, now: Instant) -> Happening {
        let member = self.member.clone();
        if self.is_present != self.was_present {
            self.was_present = self.is_present;
            self.presence_told = Some(now);
            return if self.is_present {
                Happening::Came(member)
            } else {
                // It is logged again once the peer is back.
                self.shared = (0, 0);
                Happening::Went(member)
            };
        }
        self.shared = self.shares;
        self.shares_told = Some(now);
        let (files, bytes) = self.shares;
        Happening::Shares {
            member,
            files,
            bytes,
        }
    }
}

impl Happening {
    /// Returns the line of a log, without its date.
    pub fn line(&self) -> String {
        let (Self::Admitted(member)
        | Self::Came(member)
        | Self::Went(member)
        | Self::Shares { member, .. }) = self;
        let who = words::called(member);
        let who = printable(&who);
        match self {
            Self::Admitted(member) => admitted(member),
            Self::Came(_) => format!("{who} came"),
            Self::Went(_) => format!("{who} went"),
            Self::Shares { files, bytes, .. } => format!(
                "{who} shares {}, {}",
                units::count(*files, "file"),
                units::size(*bytes)
            ),
        }
    }
}

/// Returns what is said of a machine that has become a member.
pub fn admitted(member: &Member) -> String {
    let name = member.name.as_deref().unwrap_or(&member.id[..8]);
    format!(
        "{} ({}) has joined the group",
        printable(name),
        member.address
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn peer(id: char, files: u64) -> SnapshotRow {
        let mut peer = samples::tracked_peer();
        peer.member.id = id.to_string().repeat(52);
        (peer.files, peer.bytes) = (files, files * 100);
        SnapshotRow::Peer(peer)
    }

    fn lines(log: &mut Log, now: Instant) -> Vec<String> {
        log.told(now).iter().map(Happening::line).collect()
    }

    #[test]
    fn a_peer_that_comes_shares_and_goes_is_told_of_once_each() {
        let (mut log, start) = (Log::default(), Instant::now());
        log.on_row(start, peer('a', 0));
        assert_eq!(lines(&mut log, start), ["oak (192.168.198.138) came"]);
        log.on_row(start, peer('a', 2));
        assert_eq!(lines(&mut log, start), [""; 0]);
        let settled = log.next().expect("its share");
        assert_eq!(settled, start + SETTLED_AFTER);
        assert_eq!(
            lines(&mut log, settled),
            ["oak (192.168.198.138) shares 2 files, 200 B"]
        );
        assert_eq!(log.next(), None);
        let later = start + 2 * STEADY;
        log.on_gone(&"a".repeat(52));
        assert_eq!(lines(&mut log, later), ["oak (192.168.198.138) went"]);
        // The peer is not remembered for ever.
        let forgotten = log.next().expect("a peer that is gone");
        assert_eq!(lines(&mut log, forgotten), [""; 0]);
        assert!(log.peers.is_empty() && log.pending.is_empty());
        assert_eq!(log.present, 0);
    }

    #[test]
    fn the_log_is_bounded_whatever_peers_do() {
        const HOUR: Duration = Duration::from_hours(1);
        const TICK: Duration = Duration::from_millis(500);
        let (mut log, start) = (Log::default(), Instant::now());
        let (mut bytes, mut last, mut now) = (0, String::new(), start);
        let mut files = 0;
        while now < start + HOUR {
            // One peer edits a file all the time, another one comes and goes.
            files += 1;
            log.on_row(now, peer('a', files));
            if files % 2 == 0 {
                log.on_row(now, peer('b', 1));
            } else {
                log.on_gone(&"b".repeat(52));
            }
            for line in lines(&mut log, now) {
                bytes += line.len() + "2026-11-28T18:12:40Z \n".len();
                last = line;
            }
            now += TICK;
        }
        assert!(bytes < 125_000, "{bytes} bytes an hour, 3 MB a day");
        assert!(!last.is_empty());
        // The last line tells the final state.
        let now = now + SHARES_EVERY;
        let said = lines(&mut log, now).join("\n");
        let expected = format!("shares {files} files");
        assert!(said.contains(&expected), "{said}");
    }

    #[test]
    fn the_more_peers_the_less_often_each_is_told() {
        let (mut log, start) = (Log::default(), Instant::now());
        let peers = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
        log.present = 600;
        for id in peers {
            log.on_row(start, peer(id, 1));
        }
        let count = |log: &mut Log, now| lines(log, now).len();
        assert_eq!(count(&mut log, start + SETTLED_AFTER), 2 * peers.len());
        for id in peers {
            log.on_row(start + SETTLED_AFTER, peer(id, 2));
        }
        assert_eq!(count(&mut log, start + 5 * SHARES_EVERY), 0);
        assert_eq!(count(&mut log, start + 11 * SHARES_EVERY), peers.len());
    }
}

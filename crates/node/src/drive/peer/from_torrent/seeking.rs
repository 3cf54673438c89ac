//! The trackers of a torrent, asked for clients that have it.
//!
//! Those that the torrent names, and those of the group: it may be one that members know. When
//! which of them is asked is decided in [`thorp_core::announces`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};

use thorp_core::announces::{Announces, Trackers};
use thorp_core::torrent::{TorrentEvent, TrackerRow};
use thorp_wire::announce::{Announce, TrackerUrl};
use thorp_wire::{InfoHash, printable};
use tokio::sync::mpsc;

use super::Peer;
use crate::drive::peer::torrents::{own_trackers, trusted_trackers};
use crate::net::announcing::{Amounts, Announcing, Told};
use crate::sessions::Transfer;
use crate::system;

/// Of so many clients it is remembered that they were named before.
const MOST_NAMED: usize = 4096;

/// Asks until it is dropped.
pub(super) struct Seeking {
    asked: BTreeMap<InfoHash, Announcing>,
    /// How many rows of trackers are asked.
    rows: usize,
    /// What each row has said last; of no row what keeps a tracker from being asked.
    said: BTreeMap<Option<TrackerRow>, TorrentEvent>,
    /// Of which trackers are told how much has come. It is not known as long as nobody has said
    /// what the torrent is.
    transfer: Arc<OnceLock<Weak<Transfer>>>,
    /// As much as the trackers' intervals allow, so the channel needs no bound of its own.
    heard: mpsc::UnboundedReceiver<Heard>,
    /// Held, so that it is never closed.
    speaks: mpsc::UnboundedSender<Heard>,
}

/// Which torrent is sought.
pub(super) struct Seeks<'a> {
    pub tiers: &'a [Vec<String>],
    pub info_hashes: Vec<InfoHash>,
    /// Whether clients get to know of one another from its own trackers alone (BEP 27).
    pub is_private: bool,
}

/// What a tracker has said.
pub(super) enum Heard {
    /// These clients may have the torrent of this info-hash.
    Clients(InfoHash, Vec<SocketAddr>),
    /// What this says of the trackers.
    Trackers(TorrentEvent),
}

impl Seeking {
    /// Begins to ask.
    pub fn start(peer: &Peer, seeks: &Seeks<'_>) -> Self {
        let (speaks, heard) = mpsc::unbounded_channel();
        let mut seeking = Self {
            asked: BTreeMap::new(),
            rows: 0,
            said: BTreeMap::new(),
            transfer: Arc::default(),
            heard,
            speaks,
        };
        for (url, why) in trackers(peer, seeks).refused() {
            let why = format!("{}: {why}", printable(url));
            tracing::debug!(%why, "a tracker of a torrent cannot be asked");
            // It may be the only one.
            let refused = Heard::Trackers(TorrentEvent::Refused { why });
            let _ = seeking.speaks.send(refused);
        }
        seeking.ask(peer, seeks);
        seeking
    }

    /// Goes on with what was asked `before` it was known what the torrent is, where there is
    /// such: a tracker that was told the end and the beginning within a moment names no clients.
    /// For a private torrent it starts anew, since not all trackers may be asked for it.
    pub fn go_on(
        peer: &Peer,
        seeks: &Seeks<'_>,
        before: Option<Self>,
        transfer: &Arc<Transfer>,
    ) -> Self {
        let is_of_it = |before: &Self| {
            let mut asked = before.asked.keys();
            !seeks.is_private && asked.all(|torrent| seeks.info_hashes.contains(torrent))
        };
        let mut seeking = match before.filter(is_of_it) {
            Some(before) => before,
            None => Self::start(peer, seeks),
        };
        // A link need not name both versions.
        seeking.ask(peer, seeks);
        let _ = seeking.transfer.set(Arc::downgrade(transfer));
        seeking
    }

    /// Asks for those torrents for which it does not ask yet.
    fn ask(&mut self, peer: &Peer, seeks: &Seeks<'_>) {
        let trackers = trackers(peer, seeks);
        for torrent in seeks.info_hashes.iter().copied() {
            if self.asked.contains_key(&torrent) {
                continue;
            }
            let rows = trackers.rows().map(|urls| Row::new(&mut self.rows, urls));
            let about = (torrent, trackers.clone());
            let asked = ask(peer, &self.transfer, about, rows, &self.speaks);
            self.asked.insert(torrent, asked);
        }
    }

    /// How many rows of trackers are asked.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// What the trackers have said so far, as it is by now.
    pub fn said(&self) -> impl Iterator<Item = TorrentEvent> {
        self.said.values().cloned()
    }

    /// What is said next.
    pub async fn heard(&mut self) -> Heard {
        let Some(heard) = self.heard.recv().await else {
            return std::future::pending().await;
        };
        if let Heard::Trackers(event) = &heard {
            let row = match event {
                TorrentEvent::Answered(row) | TorrentEvent::Failed { row, .. } => Some(*row),
                _ => None,
            };
            self.said.insert(row, event.clone());
        }
        heard
    }

    /// More sources are wanted; perhaps there are none.
    pub fn wants_more(&self, has_none: bool) {
        let asked = self.asked.values();
        asked.for_each(|announcing| announcing.wants_more(has_none));
    }

    /// All of it is there.
    pub fn completed(&self) {
        self.asked.values().for_each(Announcing::completed);
    }
}

/// The clients that were named.
#[derive(Debug, Default)]
pub(super) struct Named(BTreeSet<SocketAddr>);

impl Named {
    /// Whether there are clients among these that were not named before. Where too many were, they
    /// are forgotten, and count as new once more.
    pub fn are_new_among(&mut self, clients: &[SocketAddr]) -> bool {
        let mut are_new = false;
        for client in clients {
            if self.0.contains(client) {
                continue;
            }
            if self.0.len() >= MOST_NAMED {
                self.0.clear();
            }
            are_new |= self.0.insert(*client);
        }
        are_new
    }
}

/// Whether this peer's group may be told of a private torrent: its trackers alone tell clients of
/// one another (BEP 27). One that names none can only be the group's.
pub(super) fn may_group_know(peer: &Peer, tiers: &[Vec<String>]) -> bool {
    let own = trusted_trackers(peer);
    let is_own = |url: &String| url.parse().is_ok_and(|url| own.contains(&url));
    let mut named = tiers.iter().flatten().peekable();
    named.peek().is_none() || named.any(is_own)
}

fn trackers(peer: &Peer, seeks: &Seeks<'_>) -> Trackers {
    let trackers = Trackers::of_torrent(seeks.tiers, seeks.is_private, own_trackers(peer));
    trackers.trusting(trusted_trackers(peer))
}

fn ask(
    peer: &Peer,
    transfer: &Arc<OnceLock<Weak<Transfer>>>,
    (torrent, trackers): (InfoHash, Trackers),
    mut rows: [Row; 2],
    speaks: &mpsc::UnboundedSender<Heard>,
) -> Announcing {
    let transfer = Arc::clone(transfer);
    let speaks = speaks.clone();
    Announcing::start(
        peer.transfers.announcer(torrent),
        |now| Announces::new(now, trackers, false, system::random()),
        move || amounts(transfer.get()),
        move |told| match told {
            Told::Peers(clients) => {
                tracing::debug!(%torrent, clients = clients.len(), "clients are known");
                // If nobody listens, it is over.
                drop(speaks.send(Heard::Clients(torrent, clients)));
            }
            Told::Answered(url, names_clients) => {
                let said = rows
                    .iter_mut()
                    .find_map(|row| row.answered(&url, names_clients));
                drop(said.map(|said| speaks.send(Heard::Trackers(said))));
            }
            Told::Failed(url, why) => {
                tracing::debug!(%torrent, %url, %why, "a tracker names no clients");
                let said = rows
                    .iter_mut()
                    .find_map(|row| row.failed(&url, &why.to_string()));
                drop(said.map(|said| speaks.send(Heard::Trackers(said))));
            }
        },
    )
}

/// What has come of trackers that are asked one after the other until one names clients.
struct Row {
    number: TrackerRow,
    all: BTreeSet<TrackerUrl>,
    /// Those that have said nothing yet, as long as none has named clients.
    silent: BTreeSet<TrackerUrl>,
    /// Those that have not answered when they were asked last, and why.
    failed: BTreeMap<TrackerUrl, String>,
}

impl Row {
    /// Creates a row, and counts it in `rows` unless it is empty.
    fn new(rows: &mut usize, all: BTreeSet<TrackerUrl>) -> Self {
        let number = TrackerRow(*rows);
        *rows += usize::from(!all.is_empty());
        Self {
            number,
            silent: all.clone(),
            all,
            failed: BTreeMap::new(),
        }
    }

    /// A tracker has answered, and has named clients or not. Returns what that says of the row.
    fn answered(&mut self, url: &TrackerUrl, names_clients: bool) -> Option<TorrentEvent> {
        if names_clients && self.all.contains(url) {
            self.silent.clear();
            self.failed.clear();
        }
        self.silent.remove(url);
        self.failed.remove(url);
        self.said(url)
    }

    fn failed(&mut self, url: &TrackerUrl, why: &str) -> Option<TorrentEvent> {
        if self.all.contains(url) {
            self.silent.remove(url);
            self.failed.insert(url.clone(), format!("{url}: {why}"));
        }
        self.said(url)
    }

    fn said(&self, url: &TrackerUrl) -> Option<TorrentEvent> {
        if !self.all.contains(url) || !self.silent.is_empty() {
            return None;
        }
        let row = self.number;
        Some(match self.failed.values().next() {
            Some(why) => TorrentEvent::Failed {
                row,
                why: why.clone(),
            },
            None => TorrentEvent::Answered(row),
        })
    }
}

fn amounts(transfer: Option<&Weak<Transfer>>) -> Amounts {
    match transfer.and_then(Weak::upgrade) {
        Some(transfer) => Amounts {
            uploaded: transfer.sent(),
            downloaded: transfer.progress().received,
            // Files that are left out are not to come.
            left: transfer.to_come(),
        },
        None => Amounts {
            uploaded: 0,
            downloaded: 0,
            left: Announce::NOT_KNOWN,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(host: &str) -> TrackerUrl {
        format!("udp://{host}:1").parse().expect("a URL")
    }

    fn row() -> Row {
        Row::new(&mut 0, ["a", "b", "c"].map(url).into())
    }

    #[test]
    fn a_client_that_is_named_for_the_first_time_is_new_however_many_were_named_before() {
        let client = |number: u32| SocketAddr::from((number.to_be_bytes(), 6881));
        let mut named = Named::default();
        for number in 0..3 * 4096 {
            assert!(named.are_new_among(&[client(number)]), "{number}");
            assert!(!named.are_new_among(&[client(number)]), "{number}");
            assert!(named.0.len() <= MOST_NAMED);
        }
        assert!(!named.are_new_among(&[]));
    }

    fn why_of(said: Option<TorrentEvent>) -> Option<String> {
        match said? {
            TorrentEvent::Failed { why, .. } => Some(why),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_row_of_trackers_has_answered_once_each_has_or_one_names_clients() {
        let mut row = row();
        assert!(row.answered(&url("a"), false).is_none());
        assert!(row.answered(&url("a"), false).is_none(), "again");
        assert!(row.failed(&url("b"), "it is off").is_none());
        let why = why_of(row.answered(&url("c"), false));
        assert_eq!(why.as_deref(), Some("udp://b:1: it is off"));
        let said = row.answered(&url("b"), false);
        assert!(matches!(said, Some(TorrentEvent::Answered(_))), "{said:?}");
        let why = why_of(row.failed(&url("a"), "it is gone"));
        assert_eq!(why.as_deref(), Some("udp://a:1: it is gone"));
        let said = row.answered(&url("c"), true);
        assert!(matches!(said, Some(TorrentEvent::Answered(_))), "{said:?}");
    }

    #[test]
    fn a_row_is_told_nothing_of_a_tracker_of_another_one() {
        let mut row = row();
        assert!(row.answered(&url("x"), true).is_none());
        for host in ["a", "b"] {
            assert!(row.failed(&url(host), "it is off").is_none());
        }
        assert!(row.failed(&url("x"), "it is off").is_none());
        assert!(row.failed(&url("c"), "it is off").is_some());
    }
}

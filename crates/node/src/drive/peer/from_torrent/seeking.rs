//! The trackers of a torrent, asked for clients that have it.
//!
//! Those that the torrent names, and those of the group: it may be one that members know. When
//! which of them is asked is decided in [`thorp_core::announces`].

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use thorp_core::announces::{Announces, Trackers};
use thorp_wire::InfoHash;
use thorp_wire::announce::{Announce, TrackerUrl};
use tokio::sync::mpsc;

use super::Peer;
use crate::net::announcing::{Amounts, Announcing, Told};
use crate::sessions::Transfer;
use crate::system;

/// Asks until it is dropped.
pub(super) struct Seeking {
    asked: Vec<Announcing>,
    /// How many trackers are asked at a time that have not said anything yet.
    awaited: usize,
    /// As much as the trackers' intervals allow, so the channel needs no bound of its own.
    heard: mpsc::UnboundedReceiver<Heard>,
    /// So that it is never closed.
    _speaks: mpsc::UnboundedSender<Heard>,
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
    /// One of those that are asked one after the other has answered.
    Answered,
    /// None of them has, and why not.
    Failed(String),
}

impl Seeking {
    /// Begins to ask. There is no transfer as long as it is not known what the torrent is.
    pub fn start(peer: &Peer, seeks: &Seeks<'_>, transfer: Option<&Arc<Transfer>>) -> Self {
        let (speaks, heard) = mpsc::unbounded_channel();
        let mut seeking = Self {
            asked: Vec::new(),
            awaited: 0,
            heard,
            _speaks: speaks.clone(),
        };
        let named = Trackers::named(seeks.tiers);
        for (url, why) in named.refused() {
            let why = format!("{url}: {why}");
            tracing::debug!(%why, "a tracker of a torrent cannot be asked");
            // It may be the only one.
            let _ = speaks.send(Heard::Failed(why));
        }
        let own = peer.trackers.iter().filter_map(|tracker| {
            let url = format!("http://{tracker}/announce");
            url.parse::<TrackerUrl>().ok()
        });
        let is_named = !named.is_empty();
        let mut own: BTreeSet<TrackerUrl> = own.collect();
        let urls = seeks.tiers.iter().flatten();
        let urls: BTreeSet<TrackerUrl> = urls.filter_map(|url| url.parse().ok()).collect();
        own.retain(|url| !urls.contains(url));
        // A private torrent's clients are told of one another by its own trackers alone (BEP 27);
        // but where it names none, they can only be those of the group.
        let trackers = if seeks.is_private && is_named {
            own.clear();
            named
        } else {
            named.and_own(own.iter().cloned())
        };
        for torrent in seeks.info_hashes.iter().copied() {
            let orders = Orders {
                silent: [urls.len(), own.len()],
                own: own.clone(),
                speaks: speaks.clone(),
            };
            seeking.awaited += orders.number();
            let asked = ask(peer, transfer, (torrent, trackers.clone()), orders, &speaks);
            seeking.asked.push(asked);
        }
        seeking
    }

    /// How many trackers are asked at a time.
    pub fn awaited(&self) -> usize {
        self.awaited
    }

    /// What is said next.
    pub async fn heard(&mut self) -> Heard {
        match self.heard.recv().await {
            Some(heard) => heard,
            None => std::future::pending().await,
        }
    }

    /// More sources are wanted.
    pub fn wants_more(&self) {
        self.asked.iter().for_each(Announcing::wants_more);
    }

    /// All of it is there.
    pub fn completed(&self) {
        self.asked.iter().for_each(Announcing::completed);
    }
}

fn ask(
    peer: &Peer,
    transfer: Option<&Arc<Transfer>>,
    (torrent, trackers): (InfoHash, Trackers),
    mut orders: Orders,
    speaks: &mpsc::UnboundedSender<Heard>,
) -> Announcing {
    let amounts_of = transfer.map(Arc::downgrade);
    let speaks = speaks.clone();
    Announcing::start(
        peer.swarms.announcer(torrent),
        |now| Announces::new(now, trackers, false, system::random()),
        move || amounts(amounts_of.as_ref()),
        move |told| match told {
            Told::Peers(clients) => {
                tracing::debug!(%torrent, clients = clients.len(), "clients are known");
                // If nobody listens, it is over.
                let _ = speaks.send(Heard::Clients(torrent, clients));
            }
            Told::Answered(url) => orders.answered(&url),
            Told::Failed(url, why) => {
                tracing::debug!(%torrent, %url, %why, "a tracker names no clients");
                orders.failed(&url, &format!("{url}: {why}"));
            }
        },
    )
}

/// Trackers that are asked one after the other, until one answers: those of the torrent, and those
/// of the group.
struct Orders {
    own: BTreeSet<TrackerUrl>,
    /// How many of each have not said anything yet; none once one has answered.
    silent: [usize; 2],
    speaks: mpsc::UnboundedSender<Heard>,
}

impl Orders {
    fn number(&self) -> usize {
        self.silent.iter().filter(|silent| **silent > 0).count()
    }

    fn answered(&mut self, url: &TrackerUrl) {
        if std::mem::take(self.of(url)) > 0 {
            let _ = self.speaks.send(Heard::Answered);
        }
    }

    fn failed(&mut self, url: &TrackerUrl, why: &str) {
        let silent = self.of(url);
        *silent = silent.saturating_sub(1);
        if *silent == 0 {
            let _ = self.speaks.send(Heard::Failed(why.to_owned()));
        }
    }

    fn of(&mut self, url: &TrackerUrl) -> &mut usize {
        let [named, own] = &mut self.silent;
        if self.own.contains(url) { own } else { named }
    }
}

fn amounts(transfer: Option<&Weak<Transfer>>) -> Amounts {
    let (downloaded, left) = match transfer.and_then(Weak::upgrade) {
        Some(transfer) => {
            let progress = transfer.progress();
            let left = transfer.content().length.saturating_sub(progress.verified);
            (progress.received, left)
        }
        None => (0, Announce::NOT_KNOWN),
    };
    Amounts {
        uploaded: 0,
        downloaded,
        left,
    }
}

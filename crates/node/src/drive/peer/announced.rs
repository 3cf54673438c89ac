//! Clients of BitTorrent that may have a large file of the group.
//!
//! Owns how the group's tracker is asked for them: as clients ask, by announces for each torrent
//! that there may be of the file. Only a peer that serves clients does so. What is known of the
//! file otherwise decides whether what they send is right.

use std::sync::{Arc, Weak};

use thorp_core::announces::{Announces, Trackers};
use thorp_wire::announce::Announce;
use thorp_wire::torrent::build::v2_info_hashes;
use thorp_wire::{InfoHash, Name};

use super::Peer;
use super::torrents::own_trackers;
use crate::net::announcing::{Amounts, Announcing, Told};
use crate::sessions::Transfer;
use crate::system;

/// Tells the transfer of clients as the tracker names them, until this is dropped.
pub(super) struct Seeking(Vec<Announcing>);

impl Seeking {
    /// Begins, where clients are asked for files. The file has this name, and perhaps a v1 torrent
    /// of which its holders say the info-hash.
    pub(super) fn start(
        peer: &Peer,
        transfer: &Arc<Transfer>,
        (name, v1): (&Name, Option<InfoHash>),
    ) -> Self {
        if !peer.transfers.serves_clients() || peer.transfers.port().is_none() {
            return Self(Vec::new());
        }
        let [private, public] = v2_info_hashes(name, transfer.content());
        transfer.is_in_torrents(Some(public), v1);
        let torrents = [private, public].into_iter().chain(v1);
        let seeking = torrents.map(|torrent| seek(peer, transfer, torrent));
        Self(seeking.collect())
    }

    /// More sources are wanted; perhaps there are none.
    pub(super) fn wants_more(&self, has_none: bool) {
        let asked = self.0.iter();
        asked.for_each(|announcing| announcing.wants_more(has_none));
    }

    /// All of the file is there.
    pub(super) fn completed(&self) {
        self.0.iter().for_each(Announcing::completed);
    }
}

fn seek(peer: &Peer, transfer: &Arc<Transfer>, torrent: InfoHash) -> Announcing {
    let trackers = Trackers::default().and_own(own_trackers(peer));
    let told_to = Arc::downgrade(transfer);
    let amounts_of = Arc::downgrade(transfer);
    Announcing::start(
        peer.transfers.announcer(torrent),
        |now| Announces::new(now, trackers, false, system::random()),
        move || amounts(&amounts_of),
        move |told| match told {
            Told::Peers(clients) => {
                if let Some(transfer) = told_to.upgrade() {
                    transfer.clients(torrent, clients);
                }
            }
            Told::Answered(url, _) => tracing::debug!(%torrent, %url, "the tracker has answered"),
            Told::Failed(url, why) => {
                tracing::debug!(%torrent, %url, %why, "the tracker names no clients");
            }
        },
    )
}

fn amounts(transfer: &Weak<Transfer>) -> Amounts {
    let (downloaded, left) = match transfer.upgrade() {
        Some(transfer) => {
            let progress = transfer.progress();
            let left = transfer.content().length - progress.verified;
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

//! What a transfer hashes on threads for the disk: leaves that others ask for, and the pieces of a
//! torrent.
//!
//! What is to be hashed, and what follows from it, is decided in the swarm.

use std::sync::Arc;

use thorp_core::swarm::{Input, SessionId};
use thorp_wire::layout::Piece;
use thorp_wire::session::{HashRange, Message};

use super::outbox::Outbox;
use super::transfer::{Happening, Transfer};

impl Transfer {
    /// Hashes the leaves of these pieces, for a member that asks for a range of them.
    pub(super) fn hash_leaves(
        &self,
        (session, range): (SessionId, HashRange),
        pieces: Vec<Piece>,
        outbox: Arc<Outbox>,
    ) {
        let Some(transfer) = self.itself.upgrade() else {
            return;
        };
        outbox.hashing();
        tokio::spawn(async move {
            // It is never closed.
            let Ok(_place) = Arc::clone(&transfer.hashers).acquire_owned().await else {
                return;
            };
            let hashing = thorp_disk::spawn(move |disk| {
                let leaves = transfer.bytes().leaves(disk, transfer.layout(), &pieces);
                if let Err(error) = &leaves {
                    tracing::debug!(%error, "leaves cannot be hashed");
                }
                transfer.handle(Input::LeavesHashed {
                    session,
                    range,
                    leaves: leaves.ok(),
                });
                outbox.hashed();
            });
            // The place is taken until it is done; the runtime ends with the peer.
            let _ = hashing.await;
        });
    }

    /// Answers a client that asks for hashes of a torrent's file.
    pub(super) fn answer_hashes(&self, range: HashRange, outbox: Arc<Outbox>) {
        let Some(kept) = self.kept().cloned() else {
            return;
        };
        let places = Arc::clone(&self.hashers);
        outbox.hashing();
        tokio::spawn(async move {
            // It is never closed.
            let Ok(_place) = places.acquire_owned().await else {
                return;
            };
            let hashing = thorp_disk::spawn(move |disk| {
                outbox.say(&match kept.hashes(disk, &range) {
                    Some(hashes) => Message::Hashes(range, hashes),
                    None => Message::HashReject(range),
                });
                outbox.hashed();
            });
            // The place is taken until it is done; the runtime ends with the peer.
            let _ = hashing.await;
        });
    }

    /// Hashes a piece of a torrent, all of which is on disk.
    pub(super) fn hash_piece(&self, piece: Piece) {
        let Some(transfer) = self.itself.upgrade() else {
            return;
        };
        thorp_disk::spawn(move |disk| {
            let Some(torrent) = transfer.torrent() else {
                return;
            };
            let bytes = transfer.bytes();
            match torrent.is_right_on_disk(piece, |room, at| bytes.read(disk, room, at)) {
                Ok(is_right) => transfer.handle(Input::PieceHashed { piece, is_right }),
                Err(error) => {
                    let reason = error.to_string();
                    let error = bytes.failed(error);
                    transfer.report(Happening::Failed(error));
                    transfer.stop(&reason);
                }
            }
        });
    }
}

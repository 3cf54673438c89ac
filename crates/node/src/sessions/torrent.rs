//! A torrent that is being fetched: what its transfer knows that a file's does not.
//!
//! Owns how its pieces are proven, from the disk. Which are fetched is decided by its swarm.

use std::io;
use std::sync::Arc;

use thorp_wire::layout::{Layout, Piece};
use thorp_wire::merkle::{self, LEAF, leaf_hashes};
use thorp_wire::torrent::{Info, PieceHasher, PieceProofs, PieceSpace};
use thorp_wire::{Content, InfoHash};

/// How much of a piece is read at once.
const READ: usize = 16 * LEAF;

/// See the module.
#[derive(Debug)]
pub(crate) struct TorrentBytes {
    pub info: Info,
    /// Of the info dictionary, as it is sent to clients.
    pub raw: Arc<[u8]>,
    pub space: Arc<PieceSpace>,
    proofs: PieceProofs,
    content: Content,
}

impl TorrentBytes {
    pub fn new(info: Info, space: PieceSpace, proofs: PieceProofs) -> Self {
        Self {
            content: Content {
                length: space.layout().length(),
                root: merkle::content_of(info.raw()).root,
            },
            raw: info.raw().into(),
            space: Arc::new(space),
            info,
            proofs,
        }
    }

    /// What it is known by on this machine: how long it is, and what would be the root of its info
    /// dictionary. Its bytes as a whole have another root, which nobody knows.
    pub fn content(&self) -> Content {
        self.content
    }

    pub fn layout(&self) -> Layout {
        self.space.layout()
    }

    pub fn has(&self, info_hash: InfoHash) -> bool {
        self.info.info_hashes().any(|own| own == info_hash)
    }

    /// Whether this info-hash is that of version 2.
    pub fn is_v2(&self, info_hash: InfoHash) -> bool {
        let v2 = self.info.v2();
        v2.is_some_and(|v2| v2.truncated() == info_hash)
    }

    /// The same of a piece that is in memory.
    pub fn is_right_in(&self, piece: Piece, bytes: &[u8]) -> io::Result<bool> {
        let begin = self.layout().begin_of(piece);
        self.is_right(piece, |room, at| {
            let at = usize::try_from(at - begin).unwrap_or(usize::MAX);
            let there = bytes.get(at..).and_then(|there| there.get(..room.len()));
            room.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    /// Whether the bytes of a piece are the right ones. `read` fills a buffer from so far on.
    pub fn is_right(
        &self,
        piece: Piece,
        mut read: impl FnMut(&mut [u8], u64) -> io::Result<()>,
    ) -> io::Result<bool> {
        let of_leaves = self.proofs.are_of_leaves();
        let length = if of_leaves {
            self.space.asked_length_of(piece)
        } else {
            self.layout().length_of(piece)
        };
        let (mut leaves, mut sha1) = (Vec::new(), PieceHasher::new(length));
        let mut buffer = vec![0; READ.min(length as usize)];
        let (mut left, mut at) = (length as usize, self.layout().begin_of(piece));
        while left > 0 {
            let some = left.min(READ);
            let bytes = &mut buffer[..some];
            read(bytes, at)?;
            if of_leaves {
                leaves.extend(leaf_hashes(bytes));
            } else {
                sha1.update(bytes);
            }
            left -= some;
            at += some as u64;
        }
        let number = piece.number();
        Ok(if of_leaves {
            self.proofs.is_proven_by_leaves(number, &leaves)
        } else {
            let sha1 = sha1.finish();
            sha1.first()
                .is_some_and(|sha1| self.proofs.is_proven_by(number, sha1))
        })
    }
}

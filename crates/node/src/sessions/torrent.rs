//! A torrent that is being fetched: what its transfer knows that a file's does not.
//!
//! Owns how its pieces are proven, from the disk. Which are fetched is decided by its swarm.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thorp_disk::DiskThread;
use thorp_wire::layout::{Layout, Piece};
use thorp_wire::merkle::{self, Hash, LEAF, UnorderedHasher, leaf_hashes};
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
    /// The hashes by which members know its only file, if it has no other: of the pieces that are
    /// on disk.
    file: Mutex<Option<UnorderedHasher>>,
}

impl TorrentBytes {
    pub fn new(info: Info, space: PieceSpace, proofs: PieceProofs) -> Self {
        Self {
            content: Content {
                length: space.layout().length(),
                root: merkle::content_of(info.raw()).root,
            },
            raw: info.raw().into(),
            file: Mutex::new(hasher_of_file(&info, space.layout())),
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

    /// What its only file is to members, with the hashes of its pieces, if it has no other and all
    /// pieces were found right [on disk](Self::is_right_on_disk). Once: what it was made of goes.
    pub fn take_hashes_of_file(&self, _: DiskThread) -> Option<(Content, Vec<Hash>)> {
        let hasher = self.file().take();
        hasher?.finish()
    }

    /// Whether the bytes of a piece of the partial file are the right ones. They are not read again
    /// to know what its only file is.
    pub fn is_right_on_disk(
        &self,
        piece: Piece,
        read: impl FnMut(&mut [u8], u64) -> io::Result<()>,
    ) -> io::Result<bool> {
        let wants_leaves = self.file().is_some();
        let Hashed { is_right, leaves } = self.hashed(piece, wants_leaves, read)?;
        if let Some(hasher) = self.file().as_mut().filter(|_| is_right) {
            hasher.put(piece.number(), &leaves);
        }
        Ok(is_right)
    }

    fn file(&self) -> MutexGuard<'_, Option<UnorderedHasher>> {
        // Each step leaves it whole.
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the bytes of a piece are the right ones. `read` fills a buffer from so far on.
    pub fn is_right(
        &self,
        piece: Piece,
        read: impl FnMut(&mut [u8], u64) -> io::Result<()>,
    ) -> io::Result<bool> {
        Ok(self.hashed(piece, false, read)?.is_right)
    }

    fn hashed(
        &self,
        piece: Piece,
        wants_leaves: bool,
        mut read: impl FnMut(&mut [u8], u64) -> io::Result<()>,
    ) -> io::Result<Hashed> {
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
            if of_leaves || wants_leaves {
                leaves.extend(leaf_hashes(bytes));
            }
            if !of_leaves {
                sha1.update(bytes);
            }
            left -= some;
            at += some as u64;
        }
        let number = piece.number();
        let is_right = if of_leaves {
            self.proofs.is_proven_by_leaves(number, &leaves)
        } else {
            let sha1 = sha1.finish();
            sha1.first()
                .is_some_and(|sha1| self.proofs.is_proven_by(number, sha1))
        };
        Ok(Hashed { is_right, leaves })
    }
}

/// What the bytes of a piece are.
struct Hashed {
    is_right: bool,
    /// The hashes of its leaves, if they were wanted.
    leaves: Vec<Hash>,
}

/// Reads what of a piece is in memory: bytes of the torrent from `begin` on.
pub(crate) fn from_memory(
    begin: u64,
    bytes: &[u8],
) -> impl FnMut(&mut [u8], u64) -> io::Result<()> + '_ {
    move |room, at| {
        let at = usize::try_from(at - begin).unwrap_or(usize::MAX);
        let there = bytes.get(at..).and_then(|there| there.get(..room.len()));
        room.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

fn hasher_of_file(info: &Info, layout: Layout) -> Option<UnorderedHasher> {
    let hasher = || UnorderedHasher::new(layout.length(), layout.piece_length());
    info.is_one_file().then(hasher).flatten()
}

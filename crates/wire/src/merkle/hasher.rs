//! Computes the hashes of a file from its bytes, in order.

use sha2::{Digest, Sha256};

use super::levels::Peaks;
use super::{Hash, LEAF, leaf_hashes, root_of_layer};
use crate::content::{Content, Root};
use crate::layout::Layout;

/// How many leaves are hashed together. Larger batches are not faster, and no longer fit
/// the processor's caches.
const AT_ONCE: usize = 32;

/// Cuts bytes into leaves and hashes each leaf.
#[derive(Clone, Debug, Default)]
pub struct Leaves {
    length: u64,
    leaf: Sha256,
}

impl Leaves {
    /// Hashes the next bytes, and passes the hash of each leaf that they complete to `each`.
    pub fn update(&mut self, mut bytes: &[u8], mut each: impl FnMut(Hash)) {
        while !bytes.is_empty() {
            #[expect(clippy::cast_possible_truncation, reason = "less than a leaf")]
            let filled = (self.length % LEAF as u64) as usize;
            if filled == 0 && bytes.len() >= LEAF {
                let whole = bytes.len() - bytes.len() % LEAF;
                let (now, rest) = bytes.split_at(whole.min(AT_ONCE * LEAF));
                leaf_hashes(now).into_iter().for_each(&mut each);
                self.length += now.len() as u64;
                bytes = rest;
                continue;
            }
            let (now, rest) = bytes.split_at(bytes.len().min(LEAF - filled));
            self.leaf.update(now);
            self.length += now.len() as u64;
            if filled + now.len() == LEAF {
                each(self.leaf.finalize_reset().into());
            }
            bytes = rest;
        }
    }

    /// Returns the number of bytes hashed so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns the hash of the last leaf if it is shorter than the others, otherwise `None`.
    pub fn finish(self) -> Option<Hash> {
        let short = !self.length.is_multiple_of(LEAF as u64);
        short.then(|| self.leaf.finalize().into())
    }
}

/// Computes the [`Content`] of a file.
///
/// It keeps one leaf in progress and one hash for each level of the tree, a few hundred bytes for
/// a file of any length.
#[derive(Clone, Debug, Default)]
pub struct Hasher {
    leaves: Leaves,
    peaks: Peaks,
}

impl Hasher {
    /// Hashes the next bytes of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        self.leaves.update(bytes, |leaf| self.peaks.push(leaf));
    }

    /// Returns the number of bytes hashed so far.
    pub fn length(&self) -> u64 {
        self.leaves.length()
    }

    /// Returns the content of all bytes hashed.
    pub fn finish(mut self) -> Content {
        let length = self.length();
        if length == 0 {
            return Content::EMPTY;
        }
        if let Some(leaf) = self.leaves.finish() {
            self.peaks.push(leaf);
        }
        Content {
            length,
            root: Root::new(self.peaks.top(0, Layout::of(length).height())),
        }
    }
}

/// Computes the [`Content`] of a file and, in the same pass, the hashes of its pieces, 32 bytes
/// each.
#[derive(Clone, Debug)]
pub struct LayerHasher {
    layout: Layout,
    leaves: Leaves,
    /// The hashes of the leaves of the piece in progress.
    piece: Peaks,
    layer: Vec<Hash>,
}

impl LayerHasher {
    /// Makes a hasher for a file of this length.
    pub fn new(length: u64) -> Self {
        Self {
            layout: Layout::of(length),
            leaves: Leaves::default(),
            piece: Peaks::default(),
            layer: Vec::new(),
        }
    }

    /// Hashes the next bytes of the file. Returns `false`, and hashes none of them, if the file
    /// would exceed its length.
    #[must_use]
    pub fn update(&mut self, bytes: &[u8]) -> bool {
        let fits = bytes.len() as u64 <= self.layout.length() - self.length();
        if fits {
            self.leaves.update(bytes, |leaf| {
                self.piece.push(leaf);
                if self.piece.count() == self.layout.leaves_per_piece().into() {
                    self.layer
                        .push(self.piece.top(0, self.layout.piece_height()));
                    self.piece.clear();
                }
            });
        }
        fits
    }

    /// Returns the number of bytes hashed so far.
    pub fn length(&self) -> u64 {
        self.leaves.length()
    }

    /// Returns the content of the file and the hash of each piece, which is the root if there is
    /// one piece. `None` if bytes are missing.
    pub fn finish(mut self) -> Option<(Content, Vec<Hash>)> {
        let length = self.length();
        if let Some(leaf) = self.leaves.finish() {
            self.piece.push(leaf);
        }
        if self.piece.count() > 0 {
            self.layer
                .push(self.piece.top(0, self.layout.piece_height()));
        }
        let all = length == self.layout.length();
        let root = root_of_layer(self.layout, &self.layer).filter(|_| all)?;
        Some((Content { length, root }, self.layer))
    }
}

//! From the bytes of a file, in order, to its hashes.

use sha2::{Digest, Sha256};

use super::levels::Peaks;
use super::{Hash, LEAF, root_of_layer};
use crate::content::{Content, Root};
use crate::layout::Layout;

/// Cuts bytes into leaves, and hashes each.
#[derive(Clone, Debug, Default)]
pub struct Leaves {
    length: u64,
    leaf: Sha256,
}

impl Leaves {
    /// Takes the next bytes, and passes the hash of each leaf that they
    /// complete to the caller.
    pub fn update(&mut self, mut bytes: &[u8], mut each: impl FnMut(Hash)) {
        while !bytes.is_empty() {
            #[expect(clippy::cast_possible_truncation, reason = "less than a leaf")]
            let filled = (self.length % LEAF as u64) as usize;
            let (now, rest) = bytes.split_at(bytes.len().min(LEAF - filled));
            self.leaf.update(now);
            self.length += now.len() as u64;
            if filled + now.len() == LEAF {
                each(self.leaf.finalize_reset().into());
            }
            bytes = rest;
        }
    }

    /// Bytes taken so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The hash of the last leaf, if it is a short one.
    pub fn finish(self) -> Option<Hash> {
        let short = !self.length.is_multiple_of(LEAF as u64);
        short.then(|| self.leaf.finalize().into())
    }
}

/// Computes the [`Content`] of a file.
///
/// Holds one leaf in progress and one hash for each level of the tree: 16 KiB
/// of file or 16 EiB, it is the same few hundred bytes.
#[derive(Clone, Debug, Default)]
pub struct Hasher {
    leaves: Leaves,
    peaks: Peaks,
}

impl Hasher {
    /// Takes the next bytes of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        self.leaves.update(bytes, |leaf| self.peaks.push(leaf));
    }

    /// Bytes taken so far.
    pub fn length(&self) -> u64 {
        self.leaves.length()
    }

    /// The content of all that was taken.
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

/// Computes the [`Content`] of a file and, in the same pass, the hashes of its
/// pieces: 32 bytes for each.
#[derive(Clone, Debug)]
pub struct LayerHasher {
    layout: Layout,
    leaves: Leaves,
    /// The leaves of the piece in progress.
    piece: Peaks,
    layer: Vec<Hash>,
}

impl LayerHasher {
    /// For a file that is to be of this length.
    pub fn new(length: u64) -> Self {
        Self {
            layout: Layout::of(length),
            leaves: Leaves::default(),
            piece: Peaks::default(),
            layer: Vec::new(),
        }
    }

    /// Takes the next bytes of the file. `false`, and none of them taken, if
    /// the file would be longer than announced.
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

    /// Bytes taken so far.
    pub fn length(&self) -> u64 {
        self.leaves.length()
    }

    /// The content of the file and a hash for each of its pieces (the root, where
    /// it is one piece); `None` if bytes are missing.
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

//! Computes the hashes of a file from the pieces of a torrent, in any order.

use super::{Hash, merged_layer, piece_hash, root_of_layer};
use crate::content::Content;
use crate::layout::Layout;

/// Computes the [`Content`] of a file and the hashes of its own pieces, from pieces of another
/// length that come in any order. Keeps a hash for each piece of the shorter length.
#[derive(Clone, Debug)]
pub struct UnorderedHasher {
    /// The file in pieces of the shorter of both lengths.
    layout: Layout,
    /// How many of these make a piece that comes.
    together: u32,
    hashes: Vec<Option<Hash>>,
}

impl UnorderedHasher {
    /// Makes a hasher for a file of this length that comes in pieces of that length. `None` if
    /// leaves go over their ends: the length of a piece is a power of two of at least a leaf.
    pub fn new(length: u64, piece_length: u32) -> Option<Self> {
        let shorter = piece_length.min(Layout::of(length).piece_length());
        // That a piece which comes is cut there, too.
        Layout::cut(length, piece_length)?;
        let layout = Layout::cut(length, shorter)?;
        Some(Self {
            layout,
            together: piece_length / shorter,
            hashes: vec![None; layout.pieces()? as usize],
        })
    }

    /// Takes the hashes of all leaves of the piece of this number.
    pub fn put(&mut self, piece: u32, leaves: &[Hash]) {
        let parts = leaves.chunks(self.layout.leaves_per_piece() as usize);
        for (number, leaves) in (u64::from(piece) * u64::from(self.together)..).zip(parts) {
            let part = u32::try_from(number).ok();
            if let Some(part) = part.and_then(|part| self.layout.piece(part))
                && let Some(hash) = self.hashes.get_mut(part.number() as usize)
            {
                *hash = piece_hash(self.layout, part, leaves);
            }
        }
    }

    /// Returns the content of the file and the hashes of its own pieces, once all pieces have
    /// come.
    pub fn finish(&self) -> Option<(Content, Vec<Hash>)> {
        let hashes: Vec<Hash> = self.hashes.iter().copied().collect::<Option<_>>()?;
        let length = self.layout.length();
        let own = Layout::of(length);
        let layer = merged_layer(self.layout, &hashes, own)?;
        let root = root_of_layer(own, &layer)?;
        Some((Content { length, root }, layer))
    }
}

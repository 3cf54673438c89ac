//! Where a range of hashes is in the tree of a file, and which ranges exist.

use thiserror::Error;

use super::Hash;
use crate::content::Root;
use crate::layout::Layout;
use crate::session::HashRange;
use crate::session::message::MOST_HASHES;

/// Where a range of hashes is in the tree of a file. A `Place` is always inside the tree.
pub(super) struct Place {
    /// The height of the hashes.
    pub(super) base: u32,
    /// The height of the single hash that they combine to.
    pub(super) joined: u32,
    /// The index of that single hash in its layer.
    index: u64,
    /// The number of uncles in the proof.
    pub(super) uncles: u32,
    /// How many of the hashes belong to the file; the others are padding.
    of_file: usize,
}

impl Place {
    /// Finds a range in the tree of a file that is cut like this and has this root.
    pub(super) fn of(layout: Layout, file: Root, range: &HashRange) -> Result<Self, NoHashes> {
        let HashRange {
            root,
            base,
            index,
            length,
            proofs,
        } = *range;
        if root != file {
            return Err(NoHashes::OtherFile);
        }
        if base != 0 && base != layout.piece_height() {
            return Err(NoHashes::OtherLayer);
        }
        let aligned = length.is_power_of_two() && index.is_multiple_of(length);
        if !aligned || length > MOST_HASHES {
            return Err(NoHashes::NotAligned);
        }
        let above = layout.height() - base;
        let there = layout.leaves().div_ceil(1 << base);
        if u64::from(index) >= there || u64::from(length) > 1 << above {
            return Err(NoHashes::BehindTheEnd);
        }
        if proofs > above.saturating_sub(1) {
            return Err(NoHashes::TooManyProofs);
        }
        let joins = length.trailing_zeros();
        let of_file = (there - u64::from(index)).min(length.into());
        Ok(Self {
            base,
            joined: base + joins,
            index: u64::from(index) >> joins,
            // BEP 52: "the first log2(length)-1 proof layers are omitted". With a length of 1,
            // that makes one uncle more than there are proof layers.
            uncles: (proofs + 1).saturating_sub(joins).min(above - joins),
            of_file: usize::try_from(of_file).unwrap_or(usize::MAX),
        })
    }

    /// Returns height and index of each uncle, from the lowest up.
    pub(super) fn uncles(&self) -> impl Iterator<Item = (u32, u64)> {
        let (joined, index) = (self.joined, self.index);
        (0..self.uncles).map(move |up| (joined + up, (index >> up) ^ 1))
    }

    /// Returns the height of the hash that the hashes and their uncles combine to.
    pub(super) fn top(&self) -> u32 {
        self.joined + self.uncles
    }

    /// Returns those of the hashes that belong to the file.
    pub(super) fn of_file<'a>(&self, answer: &'a [Hash]) -> &'a [Hash] {
        &answer[..self.of_file.min(answer.len())]
    }
}

/// Why hashes are refused. Answer `HashReject`; the session stays open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoHashes {
    /// The hashes belong to another file.
    #[error("hashes of another file")]
    OtherFile,
    /// The layer is neither that of the leaves nor that of the pieces.
    #[error("hashes of a layer that nobody has to keep")]
    OtherLayer,
    /// Their number is not a power of two up to 512, or their index not a multiple of it.
    #[error("a number of hashes that is no power of two up to 512, or begins beside one")]
    NotAligned,
    /// The range begins or reaches beyond the end of the layer.
    #[error("hashes behind the end of the file")]
    BehindTheEnd,
    /// The proof would include the root or go beyond it, which has no uncle.
    #[error("more proof layers than the tree has")]
    TooManyProofs,
    /// The hashes of the leaves do not combine to those of their pieces.
    #[error("the file has changed since it was hashed")]
    Changed,
}

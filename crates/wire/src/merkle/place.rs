//! Where a range of hashes is in the tree of a file, and which ranges there are.

use thiserror::Error;

use super::Hash;
use crate::content::Content;
use crate::layout::Layout;
use crate::session::HashRange;
use crate::session::message::MOST_HASHES;

/// Where a range is in the tree of a file. A `Place` that exists is inside the
/// tree.
pub(super) struct Place {
    /// The height of the hashes.
    pub(super) base: u32,
    /// The height of the one hash that they make.
    pub(super) joined: u32,
    /// That hash, counted in its layer.
    index: u64,
    /// How many uncles prove it.
    pub(super) uncles: u32,
    /// How many of the hashes are of the file.
    of_file: usize,
}

impl Place {
    pub(super) fn of(content: Content, range: &HashRange) -> Result<Self, NoHashes> {
        let layout = Layout::of(content.length);
        let HashRange {
            root,
            base,
            index,
            length,
            proofs,
        } = *range;
        if root != content.root {
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
            // BEP 52: "the first log2(length)-1 proof layers are omitted". With a
            // length of 1, that is one uncle more than there are proof layers.
            uncles: (proofs + 1).saturating_sub(joins).min(above - joins),
            of_file: usize::try_from(of_file).unwrap_or(usize::MAX),
        })
    }

    /// Height and index of each uncle, from below.
    pub(super) fn uncles(&self) -> impl Iterator<Item = (u32, u64)> {
        let (joined, index) = (self.joined, self.index);
        (0..self.uncles).map(move |up| (joined + up, (index >> up) ^ 1))
    }

    /// The height of the hash that hashes and uncles make.
    pub(super) fn top(&self) -> u32 {
        self.joined + self.uncles
    }

    /// Those of the hashes that are of the file.
    pub(super) fn of_file<'a>(&self, answer: &'a [Hash]) -> &'a [Hash] {
        &answer[..self.of_file.min(answer.len())]
    }
}

/// Why hashes are not given out. Answer `HashReject`; the session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoHashes {
    /// They are of another file.
    #[error("hashes of another file")]
    OtherFile,
    /// Of a layer that is neither that of the leaves nor that of the pieces.
    #[error("hashes of a layer that nobody has to keep")]
    OtherLayer,
    /// Not a power of two up to 512, or not beginning at a multiple of it.
    #[error("a number of hashes that is no power of two up to 512, or begins beside one")]
    NotAligned,
    /// Beyond the end of the layer.
    #[error("hashes behind the end of the file")]
    BehindTheEnd,
    /// Proved up to the root or beyond: it has no uncle.
    #[error("more proof layers than the tree has")]
    TooManyProofs,
    /// The leaves do not make the hashes of their pieces.
    #[error("the file has changed since it was hashed")]
    Changed,
}

//! Answers peers that ask for hashes.

use std::ops::Range;

use super::levels::Levels;
use super::place::{NoHashes, Place};
use super::{Hash, root_of_layer};
use crate::content::{Content, Root};
use crate::layout::{Layout, Piece};
use crate::session::HashRange;

/// The hashes of a file's pieces and all hashes above them. A tree exists only if they lead to
/// the root, so every answer from it is right.
///
/// Leaves are not kept: an answer about leaves waits until they are hashed again.
#[derive(Clone, Debug)]
pub struct Tree {
    layout: Layout,
    root: Root,
    levels: Levels,
}

/// The answer to a peer that asks for hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashReply {
    /// The hashes, followed by the uncles.
    Hashes(Vec<Hash>),
    /// The caller has to hash all leaves of these pieces, which are as few as have them, and call
    /// [`Tree::answer_with`].
    AfterHashing(Vec<Piece>),
}

impl Tree {
    /// Makes the tree of this file from the hashes of its pieces. `None` if they do not lead to
    /// its root.
    pub fn of(content: Content, layer: Vec<Hash>) -> Option<Self> {
        Self::cut(Layout::of(content.length), content.root, layer)
    }

    /// Makes the tree of a file that is cut like this, as in a torrent with pieces of another
    /// length. `None` if the hashes of the pieces do not lead to the root.
    pub fn cut(layout: Layout, root: Root, layer: Vec<Hash>) -> Option<Self> {
        let is_its_own = root_of_layer(layout, &layer) == Some(root);
        is_its_own.then(|| Self {
            layout,
            root,
            levels: Levels::of(layer, layout.piece_height(), layout.height()),
        })
    }

    /// Returns the content of its file.
    pub fn content(&self) -> Content {
        Content {
            length: self.layout.length(),
            root: self.root,
        }
    }

    /// Returns the hash of each piece, in order.
    pub fn layer(&self) -> &[Hash] {
        self.levels.row(self.layout.piece_height())
    }

    /// Answers a peer that asks for these hashes.
    ///
    /// Only ranges in the layers of the leaves and of the pieces are answered, as BEP 52 demands.
    /// The part of a range beyond the end of the file is filled with the tree's padding.
    pub fn answer(&self, range: &HashRange) -> Result<HashReply, NoHashes> {
        let place = Place::of(self.layout, self.root, range)?;
        if range.base < self.layout.piece_height() {
            let pieces = self.pieces_under(range);
            let pieces = pieces.filter_map(|piece| self.layout.piece(piece));
            return Ok(HashReply::AfterHashing(pieces.collect()));
        }
        let mut hashes = run(&self.levels, range);
        hashes.extend(
            place
                .uncles()
                .map(|(height, index)| self.levels.at(height, index)),
        );
        Ok(HashReply::Hashes(hashes))
    }

    /// Answers a peer that asks for leaves, with the hashes followed by the uncles.
    ///
    /// `leaves` are the hashes of all leaves of the pieces in [`HashReply::AfterHashing`], in
    /// order.
    pub fn answer_with(&self, range: &HashRange, leaves: Vec<Hash>) -> Result<Vec<Hash>, NoHashes> {
        let place = Place::of(self.layout, self.root, range)?;
        if range.base != 0 {
            return Err(NoHashes::OtherLayer);
        }
        let top = self.layout.piece_height();
        let below = Levels::of(leaves, 0, top);
        let Range { start, end } = self.pieces_under(range);
        if self.layer().get(start as usize..end as usize) != Some(below.row(top)) {
            return Err(NoHashes::Changed);
        }
        // The indices in `below` are counted from the first leaf of the first piece.
        let first = u64::from(start) << top;
        let within = HashRange {
            index: range.index - u32::try_from(first).unwrap_or(range.index),
            ..*range
        };
        let mut hashes = run(&below, &within);
        hashes.extend(place.uncles().map(|(height, index)| {
            if height < top {
                below.at(height, index - (first >> height))
            } else {
                self.levels.at(height, index)
            }
        }));
        Ok(hashes)
    }

    /// Returns the numbers of the pieces that contain these leaves.
    fn pieces_under(&self, range: &HashRange) -> Range<u32> {
        let top = self.layout.piece_height();
        let last = (range.index + (range.length - 1)) >> top;
        let pieces = self.layout.pieces().unwrap_or(0);
        range.index >> top..pieces.min(last + 1)
    }
}

fn run(levels: &Levels, range: &HashRange) -> Vec<Hash> {
    let from = u64::from(range.index);
    (from..from + u64::from(range.length))
        .map(|index| levels.at(range.base, index))
        .collect()
}

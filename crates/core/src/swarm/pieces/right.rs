//! Leaves of pieces under way, one by one: those that are asked for, and those that are known to
//! be right because the hashes of the piece's leaves are known.

use std::ops::Range;

use thorp_wire::layout::Block;

use super::{LEAF_LENGTH, Leaf, LeafState, Pieces, leaves_of};

impl Pieces {
    /// Returns at most `longest` of the next bytes among some leaves of a piece that are neither
    /// present nor asked for, and counts them as asked.
    pub fn ask_within(&mut self, piece: u32, among: Range<usize>, longest: u32) -> Option<Block> {
        let begun = self.begun.get(&piece).filter(|begun| !begun.doubted)?;
        let leaves = &begun.leaves[..among.end.min(begun.leaves.len())];
        let skipped = leaves.get(among.start..)?;
        let first = among.start + skipped.iter().position(Leaf::is_open)?;
        let most = (longest / LEAF_LENGTH).max(1) as usize;
        let run = leaves[first..].iter().take(most);
        let count = run.take_while(|leaf| leaf.is_open()).count();
        let block = self.block(piece, first, count)?;
        self.ask(block);
        Some(block)
    }

    /// Whether some of these leaves of a piece under way are neither present nor asked for.
    pub fn has_open(&self, piece: u32, among: Range<usize>) -> bool {
        let begun = self.begun.get(&piece);
        let Some(begun) = begun.filter(|begun| begun.open > 0 && !begun.doubted) else {
            return false;
        };
        let leaves = &begun.leaves[..among.end.min(begun.leaves.len())];
        let leaves = leaves.get(among.start..).unwrap_or_default();
        leaves.iter().any(Leaf::is_open)
    }

    /// Whether the right hashes of the leaves of a piece under way are known.
    pub fn knows_leaves(&self, piece: u32) -> bool {
        let begun = self.begun.get(&piece);
        begun.is_some_and(|begun| begun.right.is_some())
    }

    /// Returns how many bytes of a piece are not present, in whole leaves.
    pub fn absent_in(&self, piece: u32) -> u32 {
        let Some(whole) = self.layout.piece(piece).filter(|_| self.lacks(piece)) else {
            return 0;
        };
        let absent = self.begun.get(&piece).map(|begun| begun.absent);
        let absent = absent.and_then(|leaves| u32::try_from(leaves).ok());
        let length = self.length_of(whole);
        absent.map_or(length, |leaves| leaves.saturating_mul(LEAF_LENGTH))
    }

    /// Returns how many bytes from `at` on, up to `end`, are verified: pieces as a whole, or
    /// leaves whose right hashes are known.
    pub fn readable(&self, at: u64, end: u64) -> u64 {
        let leaf = u64::from(LEAF_LENGTH);
        let mut to = at;
        while to < end {
            let number = u32::try_from(to / u64::from(self.layout.piece_length())).ok();
            let Some(piece) = number.and_then(|number| self.layout.piece(number)) else {
                break;
            };
            let begin = self.layout.begin_of(piece);
            let piece_end = begin + u64::from(self.layout.length_of(piece));
            if !self.had.has(piece.number()) {
                let first = (to - begin) / leaf;
                let right = self.right_from(piece.number(), first);
                let come = (begin + (first + right) * leaf).min(piece_end);
                if right == 0 || come < piece_end {
                    to = to.max(come);
                    break;
                }
            }
            to = piece_end;
        }
        to.min(end).saturating_sub(at)
    }

    /// Returns how many leaves from this one on are present and known to be right.
    fn right_from(&self, piece: u32, first: u64) -> u64 {
        let begun = self.begun.get(&piece);
        let leaves = begun
            .filter(|begun| begun.right.is_some())
            .and_then(|begun| {
                let first = usize::try_from(first).ok()?;
                begun.leaves.get(first..)
            });
        let leaves = leaves.unwrap_or_default().iter();
        leaves.take_while(|leaf| !leaf.is_absent()).count() as u64
    }

    /// Forgets a piece under way of which nothing is present, asked for or being written. Returns
    /// whether it was one.
    pub fn forget_untouched(&mut self, piece: u32) -> bool {
        let is_untouched = |leaf: &Leaf| leaf.is_open();
        let begun = self.begun.get(&piece);
        let is_untouched =
            begun.is_some_and(|begun| !begun.alone && begun.leaves.iter().all(is_untouched));
        if is_untouched {
            self.begun.remove(&piece);
            self.open.remove(&piece);
        }
        is_untouched
    }

    /// Drops the leaves of a block that are present and wrong, where that is known. Returns whether
    /// there are such.
    pub fn drop_wrong(&mut self, block: Block) -> bool {
        let piece = block.piece().number();
        let Some(begun) = self.begun.get_mut(&piece) else {
            return false;
        };
        let (Some(right), Some(leaves)) = (
            begun
                .right
                .as_ref()
                .and_then(|all| all.get(leaves_of(block))),
            begun.leaves.get_mut(leaves_of(block)),
        ) else {
            return false;
        };
        let mut has_wrong = false;
        for (leaf, right) in leaves.iter_mut().zip(right) {
            if matches!(leaf.state, LeafState::There { hash, .. } if hash != *right) {
                leaf.state = LeafState::Absent;
                has_wrong = true;
            }
        }
        if has_wrong {
            self.settle(piece);
        }
        has_wrong
    }
}

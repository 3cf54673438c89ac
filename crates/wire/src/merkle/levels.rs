//! Computes the hashes above the hashes of one layer.

use super::{Hash, padding, parent};

/// Takes the hashes of one layer from left to right and merges them as far as possible: it keeps
/// one subtree for each bit set in their number. Its memory grows with the height of the tree,
/// not with the number of hashes.
#[derive(Clone, Debug, Default)]
pub(super) struct Peaks {
    count: u64,
    /// `subtrees[n]` is the root of `2^n` hashes. It is valid only if bit `n` of `count` is set.
    subtrees: Vec<Hash>,
}

impl Peaks {
    pub(super) fn of(hashes: &[Hash]) -> Self {
        let mut peaks = Self::default();
        for hash in hashes {
            peaks.push(*hash);
        }
        peaks
    }

    /// Appends the next hash.
    pub(super) fn push(&mut self, hash: Hash) {
        let mut subtree = hash;
        let height = self.count.trailing_ones() as usize;
        for left in &self.subtrees[..height] {
            subtree = parent(left, &subtree);
        }
        match self.subtrees.get_mut(height) {
            Some(place) => *place = subtree,
            None => self.subtrees.push(subtree),
        }
        self.count += 1;
    }

    /// Returns the number of hashes appended.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Removes all hashes.
    pub(super) fn clear(&mut self) {
        self.count = 0;
    }

    /// Returns the hash at height `to` over the hashes, which are at height `from`, padded on the
    /// right. There must be at most `2^(to - from)` hashes.
    pub(super) fn top(&self, from: u32, to: u32) -> Hash {
        debug_assert!(self.count <= 1 << (to - from));
        let mut right = None;
        for height in from..to {
            right = match (self.subtree(height - from), right) {
                (Some(left), Some(right)) => Some(parent(left, &right)),
                (Some(left), None) => Some(parent(left, padding(height))),
                (None, Some(left)) => Some(parent(&left, padding(height))),
                (None, None) => None,
            };
        }
        *self
            .subtree(to - from)
            .or(right.as_ref())
            .unwrap_or(padding(to))
    }

    fn subtree(&self, height: u32) -> Option<&Hash> {
        let there = self.count >> height & 1 == 1;
        self.subtrees.get(height as usize).filter(|_| there)
    }
}

/// Some hashes of one layer and all layers above them; the padding is implied.
#[derive(Clone, Debug)]
pub(super) struct Levels {
    /// The height of the lowest row.
    base: u32,
    /// The rows without padding: each half as long as the row below, rounded up.
    rows: Vec<Vec<Hash>>,
}

impl Levels {
    /// Computes all rows from these hashes, which are at height `from`, up to height `to`.
    pub(super) fn of(hashes: Vec<Hash>, from: u32, to: u32) -> Self {
        let mut rows = vec![hashes];
        for height in from..to {
            let below = rows.last().map_or(&[][..], |row| row);
            let join = |pair: &[Hash]| match pair {
                [left, right] => parent(left, right),
                pair => parent(&pair[0], padding(height)),
            };
            let row = below.chunks(2).map(join).collect();
            rows.push(row);
        }
        Self { base: from, rows }
    }

    /// Returns the row at this height, or an empty slice if there is none.
    pub(super) fn row(&self, height: u32) -> &[Hash] {
        let row = height.checked_sub(self.base);
        row.and_then(|row| self.rows.get(row as usize))
            .map_or(&[], |row| row)
    }

    /// Returns the hash at this index of a row, or the padding if there is none.
    pub(super) fn at(&self, height: u32, index: u64) -> Hash {
        let index = usize::try_from(index).ok();
        *index
            .and_then(|index| self.row(height).get(index))
            .unwrap_or(padding(height))
    }
}

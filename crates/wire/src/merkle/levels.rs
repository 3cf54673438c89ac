//! Computes the hashes above the hashes of one layer.

use super::{Hash, padding, parent, zeros};

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
        self.push_tree(0, hash);
    }

    /// Takes the next `2^height` hashes, which make this one. Their number so far is a
    /// multiple of that.
    fn push_tree(&mut self, height: u32, hash: Hash) {
        debug_assert!(self.count.is_multiple_of(1 << height));
        let mut subtree = hash;
        let mut at = height as usize;
        while self.count >> at & 1 == 1 {
            subtree = parent(&self.subtrees[at], &subtree);
            at += 1;
        }
        if self.subtrees.len() <= at {
            self.subtrees.resize(at + 1, [0; 32]);
        }
        self.subtrees[at] = subtree;
        self.count += 1 << height;
    }

    /// Takes the next hashes, which are all those of zeros; `base` is their height. It
    /// takes no more time for many than for few.
    pub(super) fn push_zeros(&mut self, base: u32, mut number: u64) {
        while number > 0 {
            let fits = self.count.trailing_zeros().min(number.ilog2());
            self.push_tree(fits, *zeros(base + fits));
            number -= 1 << fits;
        }
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

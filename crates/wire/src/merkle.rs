//! The Merkle root of a file (BEP 52: SHA-256 leaves of 16 KiB, the last one
//! hashed as short as it is, missing leaves zero up to a power of two).

use sha2::{Digest, Sha256};

use crate::content::{Content, Root};

/// Bytes in a leaf.
pub const LEAF: usize = 16 * 1024;

/// The content of bytes that are all at hand.
pub fn content_of(bytes: &[u8]) -> Content {
    let mut hasher = Hasher::default();
    hasher.update(bytes);
    hasher.finish()
}

/// Computes the [`Content`] of a file from its bytes in order.
///
/// Holds one leaf in progress and one hash for each level of the tree: 16 KiB
/// of file or 16 EiB, it is the same few hundred bytes.
#[derive(Clone, Debug, Default)]
pub struct Hasher {
    length: u64,
    leaf: Sha256,
    /// `levels[n]` is a finished subtree of `2^n` leaves that waits for its right sibling.
    levels: Vec<Option<[u8; 32]>>,
}

impl Hasher {
    /// Takes the next bytes of the file.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            #[expect(clippy::cast_possible_truncation, reason = "less than a leaf")]
            let filled = (self.length % LEAF as u64) as usize;
            let (now, rest) = bytes.split_at(bytes.len().min(LEAF - filled));
            self.leaf.update(now);
            self.length += now.len() as u64;
            if filled + now.len() == LEAF {
                self.finish_leaf();
            }
            bytes = rest;
        }
    }

    /// Bytes taken so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The content of all that was taken.
    pub fn finish(mut self) -> Content {
        if self.length == 0 {
            return Content::EMPTY;
        }
        if !self.length.is_multiple_of(LEAF as u64) {
            self.finish_leaf();
        }
        Content {
            length: self.length,
            root: Root::new(self.padded_root()),
        }
    }

    fn finish_leaf(&mut self) {
        let mut subtree: [u8; 32] = self.leaf.finalize_reset().into();
        for level in &mut self.levels {
            let Some(left) = level.take() else {
                *level = Some(subtree);
                return;
            };
            subtree = parent(&left, &subtree);
        }
        self.levels.push(Some(subtree));
    }

    /// Joins the waiting subtrees, each padded on its right with zero leaves.
    fn padded_root(&self) -> [u8; 32] {
        let mut padding = [0; 32];
        let mut right: Option<[u8; 32]> = None;
        let top = self.levels.len() - 1;
        for (height, level) in self.levels.iter().enumerate() {
            right = match (level, right) {
                (Some(left), None) if height == top => return *left,
                (Some(left), None) => Some(parent(left, &padding)),
                (Some(left), Some(right)) => Some(parent(left, &right)),
                (None, Some(right)) => Some(parent(&right, &padding)),
                (None, None) => None,
            };
            padding = parent(&padding, &padding);
        }
        right.unwrap_or(padding)
    }
}

fn parent(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(left);
    hash.update(right);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// BEP 52 as it is written: all leaves, padded with zeros, halved until one is left.
    fn root_by_the_book(bytes: &[u8]) -> [u8; 32] {
        let mut layer: Vec<[u8; 32]> = bytes
            .chunks(LEAF)
            .map(|leaf| Sha256::digest(leaf).into())
            .collect();
        layer.resize(layer.len().next_power_of_two(), [0; 32]);
        while layer.len() > 1 {
            layer = layer
                .chunks(2)
                .map(|pair| parent(&pair[0], &pair[1]))
                .collect();
        }
        layer[0]
    }

    fn bytes(length: usize) -> Vec<u8> {
        (0..=250).cycle().take(length).collect()
    }

    #[test]
    fn the_empty_file_has_a_root_of_zeros() {
        assert_eq!(content_of(&[]), Content::EMPTY);
    }

    #[test]
    fn a_file_of_one_leaf_has_the_leaf_s_hash_for_root() {
        for length in [1, LEAF - 1, LEAF] {
            let root: [u8; 32] = Sha256::digest(bytes(length)).into();
            assert_eq!(content_of(&bytes(length)).root, Root::new(root));
        }
    }

    #[test]
    fn roots_around_every_leaf_boundary_are_those_of_the_book() {
        for leaves in 1..=17 {
            for length in [leaves * LEAF - 1, leaves * LEAF, leaves * LEAF + 1] {
                let bytes = bytes(length);
                let content = content_of(&bytes);
                assert_eq!(content.length, length as u64);
                assert_eq!(
                    content.root,
                    Root::new(root_by_the_book(&bytes)),
                    "{length}"
                );
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_root_does_not_depend_on_how_the_bytes_arrive(
            length in 1usize..200_000,
            cuts in prop::collection::vec(1usize..40_000, 1..8),
        ) {
            let bytes = bytes(length);
            let mut hasher = Hasher::default();
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at(rest.len().min(*cut));
                hasher.update(now);
                rest = later;
                if rest.is_empty() { break; }
            }
            prop_assert_eq!(hasher.finish().root, Root::new(root_by_the_book(&bytes)));
        }
    }
}

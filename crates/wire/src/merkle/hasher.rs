//! Computes the hashes of a file from its bytes, in order.

use sha2::{Digest, Sha256};

use super::levels::Peaks;
use super::{Hash, LEAF, ZEROS, leaf_hashes, root_of_layer, zeros};
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

    /// Returns how many bytes of the last leaf have been hashed, if that is not complete.
    fn begun(&self) -> u64 {
        self.length % LEAF as u64
    }

    /// Counts whole leaves that the caller has hashed.
    fn pass(&mut self, leaves: u64) {
        debug_assert!(leaves == 0 || self.begun() == 0);
        self.length += leaves * LEAF as u64;
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

    /// Hashes this many zeros as the next bytes. A long run takes no more time than a short one.
    pub fn update_zeros(&mut self, number: u64) {
        let Run { head, leaves, tail } = Run::of(&self.leaves, number);
        self.update(&ZEROS[..head]);
        self.peaks.push_zeros(0, leaves);
        self.leaves.pass(leaves);
        self.update(&ZEROS[..tail]);
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

/// A run of zeros, cut where leaves begin and end.
struct Run {
    /// Bytes that belong to the last leaf.
    head: usize,
    /// Whole leaves.
    leaves: u64,
    /// Bytes behind these, fewer than a leaf.
    tail: usize,
}

impl Run {
    fn of(leaves: &Leaves, number: u64) -> Self {
        const WHOLE: u64 = LEAF as u64;
        let head = ((WHOLE - leaves.begun()) % WHOLE).min(number);
        let rest = number - head;
        Self {
            head: head as usize,
            leaves: rest / WHOLE,
            tail: (rest % WHOLE) as usize,
        }
    }
}

/// Computes the [`Content`] of a file and, in the same pass, the hashes of its pieces, 32 bytes
/// each. Of a file that is too long to be fetched, it keeps no hashes of pieces.
#[derive(Clone, Debug)]
pub struct LayerHasher {
    layout: Layout,
    leaves: Leaves,
    /// The hashes of the leaves of the piece in progress.
    piece: Peaks,
    layer: Layer,
}

/// The hashes of the pieces so far.
#[derive(Clone, Debug)]
enum Layer {
    /// The hash of each piece.
    Whole(Vec<Hash>),
    /// The hashes above them: there are too many pieces to keep each hash.
    Folded(Peaks),
}

impl LayerHasher {
    /// Makes a hasher for a file of this length.
    pub fn new(length: u64) -> Self {
        let layout = Layout::of(length);
        Self {
            layout,
            leaves: Leaves::default(),
            piece: Peaks::default(),
            layer: match layout.pieces() {
                Some(_) => Layer::Whole(Vec::new()),
                None => Layer::Folded(Peaks::default()),
            },
        }
    }

    /// Hashes the next bytes of the file. Returns `false`, and hashes none of them, if the file
    /// would exceed its length.
    #[must_use]
    pub fn update(&mut self, bytes: &[u8]) -> bool {
        let fits = bytes.len() as u64 <= self.missing();
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

    /// Hashes this many zeros as the next bytes, as [`update`](Self::update) does. A long run
    /// takes no more time than a short one.
    #[must_use]
    pub fn update_zeros(&mut self, number: u64) -> bool {
        if number > self.missing() {
            return false;
        }
        let Run { head, leaves, tail } = Run::of(&self.leaves, number);
        let each = u64::from(self.layout.leaves_per_piece());
        let fits = self.update(&ZEROS[..head]);
        let mut left = leaves;
        while left > 0 {
            let begun = self.piece.count();
            if begun == 0 && left >= each {
                let height = self.layout.piece_height();
                self.layer.push_zeros(height, left / each);
                left %= each;
                continue;
            }
            let some = left.min(each - begun);
            self.piece.push_zeros(0, some);
            left -= some;
            if self.piece.count() == each {
                self.layer
                    .push(self.piece.top(0, self.layout.piece_height()));
                self.piece.clear();
            }
        }
        self.leaves.pass(leaves);
        fits && self.update(&ZEROS[..tail])
    }

    /// Returns the number of bytes hashed so far.
    pub fn length(&self) -> u64 {
        self.leaves.length()
    }

    fn missing(&self) -> u64 {
        self.layout.length() - self.length()
    }

    /// Returns the content of the file and the hash of each piece, which is the root if there is
    /// one piece; no hashes if there are too many pieces. `None` if bytes are missing.
    pub fn finish(mut self) -> Option<(Content, Vec<Hash>)> {
        let length = self.length();
        if let Some(leaf) = self.leaves.finish() {
            self.piece.push(leaf);
        }
        if self.piece.count() > 0 {
            self.layer
                .push(self.piece.top(0, self.layout.piece_height()));
        }
        if length != self.layout.length() {
            return None;
        }
        let (root, layer) = match self.layer {
            Layer::Whole(layer) => (root_of_layer(self.layout, &layer)?, layer),
            Layer::Folded(peaks) => {
                let (base, top) = (self.layout.piece_height(), self.layout.height());
                (Root::new(peaks.top(base, top)), Vec::new())
            }
        };
        Some((Content { length, root }, layer))
    }
}

impl Layer {
    fn push(&mut self, hash: Hash) {
        match self {
            Self::Whole(layer) => layer.push(hash),
            Self::Folded(peaks) => peaks.push(hash),
        }
    }

    /// Takes this many pieces of zeros, whose hashes are at this height.
    fn push_zeros(&mut self, height: u32, number: u64) {
        match self {
            Self::Whole(layer) => {
                let all = usize::try_from(number).unwrap_or(usize::MAX);
                layer.extend(std::iter::repeat_n(*zeros(height), all));
            }
            Self::Folded(peaks) => peaks.push_zeros(height, number),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::layout::PIECE_OF_SHORT_FILE;
    use crate::merkle::{content_of, zero_piece_hash};

    const PIECE: u64 = PIECE_OF_SHORT_FILE as u64;

    proptest! {
        #[test]
        fn zeros_that_are_counted_are_hashed_as_zeros_that_are_read(
            parts in vec((any::<bool>(), prop_oneof![0..40_u64, 16_380..16_390_u64, 0..3 * PIECE]), 0..6),
        ) {
            let length: u64 = parts.iter().map(|(_, length)| length).sum();
            let (mut read, mut whole, mut pieces) = (Vec::new(), Hasher::default(), LayerHasher::new(length));
            let mut all = LayerHasher::new(length);
            for (hole, length) in parts {
                let bytes = vec![u8::from(!hole); usize::try_from(length).expect("small")];
                read.extend(&bytes);
                if hole {
                    whole.update_zeros(length);
                    prop_assert!(pieces.update_zeros(length));
                } else {
                    whole.update(&bytes);
                    prop_assert!(pieces.update(&bytes));
                }
                prop_assert!(all.update(&bytes));
            }
            prop_assert!(!pieces.clone().update_zeros(1), "longer than announced");
            prop_assert_eq!(whole.finish(), content_of(&read));
            prop_assert_eq!(pieces.finish(), all.finish());
        }
    }

    #[test]
    fn a_piece_of_zeros_is_known_by_its_hash_also_a_short_one() {
        for length in [
            1,
            16_383,
            16_384,
            16_385,
            PIECE - 1,
            PIECE,
            PIECE + 1,
            3 * PIECE - 20_000,
        ] {
            let mut hasher = LayerHasher::new(length);
            assert!(hasher.update(&vec![0; usize::try_from(length).expect("small")]));
            let (content, layer) = hasher.finish().expect("all of it");
            let layout = Layout::of(content.length);
            for (number, hash) in (0..).zip(layer) {
                let piece = layout.piece(number).expect("a piece");
                assert_eq!(zero_piece_hash(layout, piece), hash, "{length}: {number}");
            }
        }
    }

    #[test]
    fn the_longest_file_of_zeros_is_hashed_at_once_and_has_no_layer() {
        let length = i64::MAX.cast_unsigned();
        let mut at_once = LayerHasher::new(length);
        assert!(at_once.update_zeros(length));
        let mut in_two = LayerHasher::new(length);
        assert!(
            in_two.update_zeros(12_345_678_901) && in_two.update_zeros(length - 12_345_678_901)
        );
        let (content, layer) = at_once.finish().expect("all of it");
        assert_eq!(in_two.finish(), Some((content, Vec::new())));
        let mut plain = Hasher::default();
        plain.update_zeros(length);
        assert_eq!(plain.finish(), content);
        assert_eq!(layer, Vec::<Hash>::new());
    }
}

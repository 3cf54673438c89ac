//! Compares the module with BEP 52 taken literally: all leaves, padded with zeros, combined in
//! pairs until one hash is left.

use proptest::prelude::*;

use super::*;
use crate::layout::PIECE_OF_SHORT_FILE;
use crate::session::HashRange;

const PIECE: u64 = PIECE_OF_SHORT_FILE as u64;
const LEAVES: usize = PIECE_OF_SHORT_FILE as usize / LEAF;

/// Computes every layer of the tree over these leaves, from the lowest up.
fn by_the_book(mut leaves: Vec<Hash>) -> Vec<Vec<Hash>> {
    leaves.resize(leaves.len().next_power_of_two(), [0; 32]);
    let mut layers = vec![leaves];
    while let Some(below) = layers.last().filter(|layer| layer.len() > 1) {
        let pairs = below.chunks(2).map(<[Hash]>::concat);
        layers.push(pairs.map(|pair| Sha256::digest(pair).into()).collect());
    }
    layers
}

fn bytes(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

fn leaves_of(bytes: &[u8]) -> Vec<Hash> {
    bytes.chunks(LEAF).map(leaf_hash).collect()
}

/// A file of which only the hashes of the leaves are known.
struct File {
    content: Content,
    layout: Layout,
    leaves: Vec<Hash>,
    book: Vec<Vec<Hash>>,
}

impl File {
    /// Makes a file of this many leaves, the last of which is short.
    fn of(leaves: usize) -> Self {
        let length = (leaves * LEAF - 1) as u64;
        let leaves: Vec<_> = (0..leaves).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        let book = by_the_book(leaves.clone());
        let root = Root::new(book[book.len() - 1][0]);
        Self {
            content: Content { length, root },
            layout: Layout::of(length),
            leaves,
            book,
        }
    }

    /// The same file in a torrent with pieces of this length.
    fn in_pieces_of(self, piece_length: u32) -> Self {
        let layout = Layout::cut(self.content.length, piece_length).expect("a length of pieces");
        Self { layout, ..self }
    }

    fn layer(&self) -> Vec<Hash> {
        let pieces = self.layout.pieces().expect("few pieces") as usize;
        self.book[self.layout.piece_height() as usize][..pieces].to_vec()
    }

    fn tree(&self) -> Tree {
        Tree::cut(self.layout, self.content.root, self.layer()).expect("its own layer")
    }

    fn pieces(&self) -> impl Iterator<Item = Piece> {
        (0..).map_while(|number| self.layout.piece(number))
    }

    fn leaves_of(&self, piece: Piece) -> &[Hash] {
        let per_piece = self.layout.leaves_per_piece() as usize;
        let chunks: Vec<_> = self.leaves.chunks(per_piece).collect();
        chunks[piece.number() as usize]
    }

    /// Returns the final answer, with leaves hashed again if necessary.
    fn answer(&self, range: &HashRange) -> Result<Vec<Hash>, NoHashes> {
        match self.tree().answer(range)? {
            HashReply::Hashes(hashes) => Ok(hashes),
            HashReply::AfterHashing(pieces) => {
                let leaves = pieces.iter().flat_map(|piece| self.leaves_of(*piece));
                self.tree().answer_with(range, leaves.copied().collect())
            }
        }
    }

    /// Computes the answer as BEP 52 describes it.
    fn answer_by_the_book(&self, range: &HashRange) -> Vec<Hash> {
        let mut row = range.base as usize;
        let (mut first, mut last) = (
            range.index as usize,
            (range.index + range.length - 1) as usize,
        );
        let mut answer = self.book[row][first..=last].to_vec();
        // The layers above, one by one, up to the last one that was asked for.
        for proof in 0..=range.proofs {
            // A layer adds an uncle only if the known part of the layer is a single hash.
            if first == last && row + 1 < self.book.len() {
                answer.push(self.book[row][first ^ 1]);
            }
            if proof < range.proofs {
                (row, first, last) = (row + 1, first / 2, last / 2);
            }
        }
        answer
    }

    /// Returns all ranges that can be asked for.
    fn ranges(&self) -> Vec<HashRange> {
        let mut ranges = Vec::new();
        let mut bases = vec![0, self.layout.piece_height()];
        bases.dedup();
        for base in bases {
            let row = self.book[base as usize].len();
            let there = self.leaves.len().div_ceil(1 << base);
            let proofs = (self.layout.height() - base).saturating_sub(1);
            for power in 0..=9.min(row.trailing_zeros()) {
                for index in (0..there).step_by(1 << power) {
                    ranges.extend((0..=proofs).map(|proofs| HashRange {
                        root: self.content.root,
                        base,
                        index: u32::try_from(index).expect("few leaves"),
                        length: 1 << power,
                        proofs,
                    }));
                }
            }
        }
        ranges
    }
}

/// Numbers of leaves around every boundary: leaves, pieces, powers of two of both, runs of 512
/// pieces, and the length at which pieces get longer (16,384 leaves).
const SIZES: [usize; 24] = [
    1, 2, 3, 4, 5, 15, 16, 17, 18, 31, 32, 33, 48, 49, 63, 64, 65, 83, 8191, 8192, 8193, 8209,
    16384, 16385,
];
const SMALL: usize = 83;

#[test]
fn leaves_hashed_together_have_the_hashes_that_each_has_alone() {
    let bytes = bytes(70 * LEAF + 8);
    let alone = |bytes: &[u8]| -> Vec<Hash> { bytes.chunks(LEAF).map(leaf_hash).collect() };
    for leaves in 0..70 {
        for last in [0, 1, 55, 56, 63, 64, 65, LEAF - 1] {
            let begin = leaves % 8;
            let some = &bytes[begin..begin + leaves * LEAF + last];
            assert_eq!(leaf_hashes(some), alone(some), "{leaves} leaves and {last}");
        }
    }
}

#[test]
fn the_empty_file_has_a_root_of_zeros() {
    assert_eq!(content_of(&[]), Content::EMPTY);
    let hasher = LayerHasher::new(0);
    assert_eq!(hasher.finish(), Some((Content::EMPTY, Vec::new())));
    assert!(Tree::of(Content::EMPTY, Vec::new()).is_some());
    assert_eq!(layer_ranges(Content::EMPTY).count(), 0);
}

#[test]
fn a_file_of_one_leaf_has_the_leaf_s_hash_for_root() {
    for length in [1, LEAF - 1, LEAF] {
        let root: Hash = Sha256::digest(bytes(length)).into();
        assert_eq!(content_of(&bytes(length)).root, Root::new(root));
    }
}

#[test]
fn contents_and_piece_layers_around_every_boundary_are_those_of_the_book() {
    let leaves = (1..=17).flat_map(|n| [n * LEAF - 1, n * LEAF, n * LEAF + 1]);
    let piece = PIECE_OF_SHORT_FILE as usize;
    let pieces = (1..=5).flat_map(|n| [n * piece - 1, n * piece, n * piece + 1]);
    for length in leaves.chain(pieces).chain([1, 20 * piece + 1]) {
        let bytes = bytes(length);
        let book = by_the_book(leaves_of(&bytes));
        let content = Content {
            length: length as u64,
            root: Root::new(book[book.len() - 1][0]),
        };
        assert_eq!(content_of(&bytes), content, "{length}");

        let mut hasher = LayerHasher::new(content.length);
        assert!(hasher.update(&bytes));
        let layout = Layout::of(content.length);
        let row = &book[layout.piece_height() as usize];
        let layer = row[..length.div_ceil(piece)].to_vec();
        assert_eq!(hasher.finish(), Some((content, layer)), "{length}");
    }
}

#[test]
fn a_file_that_became_longer_or_shorter_has_no_piece_layer() {
    let mut hasher = LayerHasher::new(PIECE);
    assert!(hasher.update(&bytes(LEAF)));
    assert_eq!(hasher.clone().finish(), None);
    assert!(!hasher.update(&bytes(LEAVES * LEAF)));
    assert_eq!(hasher.length(), LEAF as u64);
    assert!(hasher.update(&bytes((LEAVES - 1) * LEAF)));
    assert!(hasher.clone().finish().is_some());
    assert!(!hasher.update(&[0]));
}

#[test]
fn a_piece_s_hash_comes_out_of_all_its_leaves_and_no_others() {
    for size in SIZES {
        let file = File::of(size);
        let layer = file.layer();
        assert_eq!(file.pieces().count(), layer.len());
        for piece in file.pieces() {
            let leaves = file.leaves_of(piece);
            let hash = Some(layer[piece.number() as usize]);
            assert_eq!(piece_hash(file.layout, piece, leaves), hash);
            let padded = [leaves, &[[0; 32]]].concat();
            assert_eq!(piece_hash(file.layout, piece, &padded), None);
            assert_eq!(piece_hash(file.layout, piece, &leaves[1..]), None);
        }
    }
}

#[test]
fn the_root_comes_out_of_all_pieces_and_no_others() {
    for size in SIZES {
        let file = File::of(size);
        let layer = file.layer();
        assert_eq!(root_of_layer(file.layout, &layer), Some(file.content.root));
        let more = [&layer[..], &[[0; 32]]].concat();
        assert_eq!(root_of_layer(file.layout, &more), None);
        assert_eq!(root_of_layer(file.layout, &layer[1..]), None);
    }
}

#[test]
fn there_is_no_tree_of_a_layer_that_is_not_the_file_s() {
    let file = File::of(83);
    let mut layer = file.layer();
    layer[5][31] ^= 1;
    assert!(Tree::of(file.content, layer).is_none());
    // The same root, but the file's length includes another leaf.
    let longer = Content {
        length: file.content.length + LEAF as u64,
        ..file.content
    };
    assert!(
        Tree::of(longer, file.layer()).is_some(),
        "a last piece as long as before"
    );
    let longer = Content {
        length: file.content.length + PIECE,
        ..file.content
    };
    assert!(Tree::of(longer, file.layer()).is_none());
}

#[test]
fn every_answer_about_a_small_file_is_that_of_the_book() {
    for size in SIZES.into_iter().filter(|size| *size <= SMALL) {
        let file = File::of(size);
        for range in file.ranges() {
            let answer = file.answer(&range);
            assert_eq!(
                answer,
                Ok(file.answer_by_the_book(&range)),
                "{size}: {range:?}"
            );
        }
    }
}

#[test]
fn every_answer_about_a_file_in_pieces_of_another_length_is_that_of_the_book() {
    for size in [1, 2, 5, 17, 33, 83] {
        for leaves in [1, 2, 8, 64, 4096] {
            let file = File::of(size).in_pieces_of(leaves * 16 * 1024);
            for range in file.ranges() {
                let answer = file.answer(&range);
                let by_the_book = Ok(file.answer_by_the_book(&range));
                assert_eq!(answer, by_the_book, "{size}, {leaves}: {range:?}");
            }
        }
    }
}

#[test]
fn every_answer_that_is_proved_up_to_the_root_is_believed() {
    for size in SIZES.into_iter().filter(|size| *size <= SMALL) {
        let file = File::of(size);
        for range in file.ranges() {
            let answer = file.answer(&range).expect("an answer");
            let row = &file.book[range.base as usize];
            let there = file.leaves.len().div_ceil(1 << range.base);
            let first = range.index as usize;
            let of_file = &row[first..there.min(first + range.length as usize)];
            let whole = range.length as usize == row.len();
            let proved = whole || range.base + range.proofs + 1 == file.layout.height();
            let believed = if proved {
                Ok(of_file)
            } else {
                Err(Lie::NotProved)
            };
            assert_eq!(
                verify(file.content, &range, &answer),
                believed,
                "{size}: {range:?}"
            );
        }
    }
}

#[test]
fn what_a_fetcher_asks_for_is_the_whole_piece_layer_and_proved() {
    for size in SIZES {
        let file = File::of(size);
        let mut layer = Vec::<Hash>::new();
        for range in layer_ranges(file.content) {
            assert!(range.length >= 2, "BEP 52");
            let answer = file.answer(&range).expect("an answer");
            assert_eq!(answer, file.answer_by_the_book(&range));
            layer.extend(verify(file.content, &range, &answer).expect("the truth"));
        }
        if file.layout.pieces() == Some(1) {
            assert_eq!(layer, [[0; 32]; 0]);
        } else {
            assert_eq!(layer, file.layer(), "{size}");
        }
    }
}

#[test]
fn the_ranges_of_a_layer_are_aligned_runs_of_at_most_512() {
    let runs = |length: u64| {
        let root = Root::new([1; 32]);
        let ranges = layer_ranges(Content { length, root });
        let runs: Vec<_> = ranges
            .map(|range| (range.base, range.index, range.length, range.proofs))
            .collect();
        runs
    };
    assert_eq!(runs(PIECE), []);
    assert_eq!(runs(2 * PIECE), [(4, 0, 2, 0)]);
    assert_eq!(runs(3 * PIECE), [(4, 0, 4, 1)]);
    // From 16 MiB on pieces have 64 KiB.
    let piece = 64 * 1024;
    assert_eq!(runs(512 * piece), [(2, 0, 512, 8)]);
    assert_eq!(runs(513 * piece), [(2, 0, 512, 9), (2, 512, 2, 9)]);
    assert_eq!(runs(1000 * piece), [(2, 0, 512, 9), (2, 512, 512, 9)]);
    // Pieces of 128 KiB.
    assert_eq!(runs(1025 * piece), [(3, 0, 512, 9), (3, 512, 2, 9)]);
    // 16 TiB: 2^21 pieces of 8 MiB. Longer files have no sessions.
    assert_eq!(runs(1 << 44).len(), 1 << 12);
    assert_eq!(runs((1 << 44) + 1), []);
}

#[test]
fn what_a_fetcher_asks_of_a_piece_is_all_its_leaves() {
    for size in SIZES {
        let file = File::of(size);
        let layer = file.layer();
        let pieces: Vec<_> = file.pieces().collect();
        for piece in [
            pieces[0],
            pieces[pieces.len() / 2],
            pieces[pieces.len() - 1],
        ] {
            let Some(range) = leaf_range(file.content, piece) else {
                assert_eq!(size, 1);
                continue;
            };
            let asked = file.tree().answer(&range);
            assert_eq!(asked, Ok(HashReply::AfterHashing(vec![piece])));
            let answer = file.answer(&range).expect("an answer");
            let hash = layer[piece.number() as usize];
            let leaves = verify_leaves(file.content, &range, &hash, &answer);
            assert_eq!(leaves, Ok(file.leaves_of(piece)));
        }
    }
}

#[test]
fn a_bit_that_is_wrong_is_found() {
    for size in [2, 17, 83, 300] {
        let file = File::of(size);
        let ranges = layer_ranges(file.content);
        // A run in the middle, whose uncles include some on either side.
        let inner = HashRange {
            root: file.content.root,
            base: 0,
            index: if size > 16 { 12 } else { 0 },
            length: 2,
            proofs: file.layout.height() - 1,
        };
        for range in ranges.chain([inner]) {
            let answer = file.answer(&range).expect("an answer");
            assert!(verify(file.content, &range, &answer).is_ok());
            every_bit(&answer, |lie| {
                assert_eq!(verify(file.content, &range, lie), Err(Lie::OtherHashes));
            });
        }
        let piece = file.pieces().last().expect("a piece");
        let range = leaf_range(file.content, piece).expect("leaves");
        let hash = file.layer()[piece.number() as usize];
        every_bit(&file.answer(&range).expect("an answer"), |lie| {
            let refused = verify_leaves(file.content, &range, &hash, lie);
            assert_eq!(refused, Err(Lie::OtherHashes));
        });
    }
}

fn every_bit(hashes: &[Hash], refused: impl Fn(&[Hash])) {
    let mut lie = hashes.to_vec();
    for at in 0..hashes.len() {
        for bit in 0..256 {
            lie[at][bit / 8] ^= 1 << (bit % 8);
            refused(&lie);
            lie[at] = hashes[at];
        }
    }
}

#[test]
fn an_answer_of_another_length_is_no_answer() {
    let file = File::of(83);
    for range in layer_ranges(file.content) {
        let answer = file.answer(&range).expect("an answer");
        let expected = answer.len();
        for other in [&answer[1..], &[&answer[..], &[[0; 32]]].concat(), &[]] {
            let hashes = other.len();
            let refused = verify(file.content, &range, other);
            assert_eq!(refused, Err(Lie::OtherNumber { hashes, expected }));
        }
    }
}

#[test]
fn a_part_of_a_piece_s_leaves_is_not_proved_by_the_piece_s_hash() {
    let file = File::of(83);
    let piece = file.layout.piece(2).expect("a piece");
    let whole = leaf_range(file.content, piece).expect("leaves");
    let hash = file.layer()[2];
    for (length, proofs) in [(8, 0), (8, 2), (8, 4), (16, 4)] {
        let range = HashRange {
            length,
            proofs,
            ..whole
        };
        let answer = file.answer(&range).expect("an answer");
        let refused = verify_leaves(file.content, &range, &hash, &answer);
        assert_eq!(refused, Err(Lie::NotProved), "{range:?}");
    }
}

#[test]
fn what_nobody_has_to_answer_is_refused_with_the_reason() {
    let file = File::of(83); // 6 pieces; 128 and 8 hashes in the padded layers
    let good = HashRange {
        root: file.content.root,
        base: 4,
        index: 0,
        length: 4,
        proofs: 2,
    };
    assert!(file.answer(&good).is_ok());
    let root = Root::new([9; 32]);
    for (range, reason) in [
        (HashRange { root, ..good }, NoHashes::OtherFile),
        (HashRange { base: 1, ..good }, NoHashes::OtherLayer),
        (HashRange { base: 5, ..good }, NoHashes::OtherLayer),
        (
            HashRange {
                base: u32::MAX,
                ..good
            },
            NoHashes::OtherLayer,
        ),
        (HashRange { length: 0, ..good }, NoHashes::NotAligned),
        (HashRange { length: 3, ..good }, NoHashes::NotAligned),
        (HashRange { index: 2, ..good }, NoHashes::NotAligned),
        (
            HashRange {
                length: 1024,
                ..good
            },
            NoHashes::NotAligned,
        ),
        (
            HashRange {
                length: 1 << 31,
                ..good
            },
            NoHashes::NotAligned,
        ),
        (HashRange { length: 16, ..good }, NoHashes::BehindTheEnd),
        (HashRange { index: 8, ..good }, NoHashes::BehindTheEnd),
        (
            HashRange {
                index: 0x8000_0000,
                ..good
            },
            NoHashes::BehindTheEnd,
        ),
        (HashRange { proofs: 3, ..good }, NoHashes::TooManyProofs),
        (
            HashRange {
                proofs: u32::MAX,
                ..good
            },
            NoHashes::TooManyProofs,
        ),
        (
            HashRange {
                base: 0,
                index: 84,
                ..good
            },
            NoHashes::BehindTheEnd,
        ),
        (
            HashRange {
                base: 0,
                length: 256,
                ..good
            },
            NoHashes::BehindTheEnd,
        ),
        (
            HashRange {
                base: 0,
                proofs: 7,
                ..good
            },
            NoHashes::TooManyProofs,
        ),
    ] {
        assert_eq!(file.answer(&range), Err(reason), "{range:?}");
        let lie = verify(file.content, &range, &[]);
        assert_eq!(lie, Err(Lie::NotAsked(reason)));
    }
}

#[test]
fn leaves_of_a_file_that_has_changed_are_not_given_out() {
    let file = File::of(83);
    let range = HashRange {
        root: file.content.root,
        base: 0,
        index: 32,
        length: 32,
        proofs: 6,
    };
    let leaves = file.leaves[32..64].to_vec();
    let answer = |leaves: &[Hash]| file.tree().answer_with(&range, leaves.to_vec());
    assert_eq!(answer(&leaves), Ok(file.answer_by_the_book(&range)));
    let mut changed = leaves.clone();
    changed[31][0] ^= 1;
    let more = [&leaves[..], &file.leaves[64..]].concat();
    for other in [&changed[..], &leaves[1..], &more, &[]] {
        assert_eq!(answer(other), Err(NoHashes::Changed));
    }
}

#[test]
fn the_largest_file_has_a_tree_like_any_other() {
    let content = Content {
        length: u64::MAX,
        root: Root::new([1; 32]),
    };
    assert_eq!(Layout::of(content.length).height(), 50);
    assert_eq!(
        layer_ranges(content).count(),
        0,
        "too many pieces to be named"
    );
    let range = HashRange {
        root: content.root,
        base: 9,
        index: u32::MAX - 511,
        length: 512,
        proofs: 40,
    };
    let answer = vec![[0; 32]; 512 + 32];
    assert_eq!(verify(content, &range, &answer), Err(Lie::OtherHashes));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn neither_root_nor_layer_depends_on_how_the_bytes_arrive(
        length in 1usize..700_000,
        cuts in prop::collection::vec(1usize..40_000, 1..8),
    ) {
        let bytes = bytes(length);
        let mut hasher = Hasher::default();
        let mut layered = LayerHasher::new(length as u64);
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            let (now, later) = rest.split_at(rest.len().min(*cut));
            hasher.update(now);
            prop_assert!(layered.update(now));
            rest = later;
            if rest.is_empty() { break; }
        }
        let content = hasher.finish();
        let book = by_the_book(leaves_of(&bytes));
        prop_assert_eq!(content.root, Root::new(book[book.len() - 1][0]));
        let (same, layer) = layered.finish().expect("all bytes");
        prop_assert_eq!(same, content);
        prop_assert_eq!(root_of_layer(Layout::of(content.length), &layer), Some(content.root));
    }

    #[test]
    fn no_range_makes_an_answer_panic_or_grow(
        size in 1usize..100,
        (base, index, length, proofs) in prop_oneof![
            any::<(u32, u32, u32, u32)>(),
            (0u32..10, 0u32..200, 0u32..600, 0u32..12),
        ],
        answer in prop::collection::vec(any::<Hash>(), 0..5),
    ) {
        let file = File::of(size);
        let range = HashRange { root: file.content.root, base, index, length, proofs };
        if let Ok(answer) = file.answer(&range) {
            prop_assert!(answer.len() <= 512 + 64);
        }
        let _ = verify(file.content, &range, &answer);
        let _ = verify_leaves(file.content, &range, &[0; 32], &answer);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn pieces_of_any_length_that_come_in_any_order_make_the_same_content_as_bytes_in_order(
        (length, short) in (1_usize..40, 0_usize..LEAF),
        height in 0_u32..8,
        order in Just((0..40_u32).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let bytes: Vec<u8> = (0..=250).cycle().take(length * LEAF - short).collect();
        let piece_length = (16 * 1024_u32) << height;
        let mut hasher = UnorderedHasher::new(bytes.len() as u64, piece_length).expect("is cut");
        for number in order {
            if let Some(piece) = bytes.chunks(piece_length as usize).nth(number as usize) {
                prop_assert_eq!(hasher.finish(), None, "not all have come");
                hasher.put(number, &leaf_hashes(piece));
            }
        }
        let mut in_order = LayerHasher::new(bytes.len() as u64);
        prop_assert!(in_order.update(&bytes));
        prop_assert_eq!(hasher.finish(), in_order.finish());
    }
}

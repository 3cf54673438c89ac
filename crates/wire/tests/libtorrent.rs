//! Compares roots, piece layers and answers about hashes with those of libtorrent.
//!
//! `libtorrent.txt` contains what libtorrent computed for files around every boundary; `.ci/run`
//! computes it again.

use data_encoding::HEXLOWER;
use thorp_wire::layout::Layout;
use thorp_wire::merkle::{Hash, HashReply, LEAF, LayerHasher, Tree, content_of, leaf_hash};
use thorp_wire::session::HashRange;

#[test]
fn roots_and_piece_layers_are_those_of_libtorrent() {
    let lines = said("content ");
    assert!(lines.len() >= 20, "too few to say anything");
    for line in lines {
        let size = numbers(line)[0];
        let tree = tree(size);
        // A torrent has no layer for a file of one piece, since it would be the root.
        let layer = match tree.layer() {
            [_] => "-".to_owned(),
            layer => digest(layer),
        };
        let piece_length = Layout::of(size).piece_length();
        let root = tree.content().root;
        assert_eq!(format!("{size} {piece_length} {root} {layer}"), line);
    }
}

#[test]
fn a_small_file_has_the_same_content_when_it_is_hashed_without_its_pieces() {
    for line in said("content ") {
        let size = numbers(line)[0];
        if size < 1 << 20 {
            assert_eq!(content_of(&bytes(0, size)), tree(size).content());
        }
    }
}

#[test]
fn hashes_are_answered_as_libtorrent_answers_them() {
    let lines = said("hashes ");
    assert!(lines.len() >= 20, "too few to say anything");
    let mut tree = tree(1);
    for line in lines {
        let size = numbers(line)[0];
        if tree.content().length != size {
            tree = self::tree(size);
        }
        let [base, index, length, proofs] = std::array::from_fn(|n| small(numbers(line)[n + 1]));
        let range = HashRange {
            root: tree.content().root,
            base,
            index,
            length,
            proofs,
        };
        let hashes = match tree.answer(&range).expect("an answer") {
            HashReply::Hashes(hashes) => hashes,
            HashReply::AfterHashing(pieces) => {
                let layout = Layout::of(size);
                let leaves = pieces.into_iter().flat_map(|piece| {
                    let from = layout.begin_of(piece);
                    let bytes = bytes(from, from + u64::from(layout.length_of(piece)));
                    bytes.chunks(LEAF).map(leaf_hash).collect::<Vec<_>>()
                });
                tree.answer_with(&range, leaves.collect()).expect("leaves")
            }
        };
        let (count, digest) = (hashes.len(), digest(&hashes));
        assert_eq!(
            format!("{size} {base} {index} {length} {proofs} {count} {digest}"),
            line
        );
    }
}

/// Returns the lines of this kind.
fn said(kind: &str) -> Vec<&'static str> {
    let lines = include_str!("libtorrent.txt").lines();
    lines.filter_map(|line| line.strip_prefix(kind)).collect()
}

fn numbers(line: &str) -> Vec<u64> {
    let words = line.split(' ');
    words.map_while(|word| word.parse().ok()).collect()
}

fn small(number: u64) -> u32 {
    number.try_into().expect("a small number")
}

fn digest(hashes: &[Hash]) -> String {
    HEXLOWER.encode(&leaf_hash(hashes.as_flattened()))
}

/// Computes the tree of the file of this size.
fn tree(size: u64) -> Tree {
    let mut hasher = LayerHasher::new(size);
    while hasher.length() < size {
        let from = hasher.length();
        assert!(hasher.update(&bytes(from, size.min(from + (4 << 20)))));
    }
    let (content, layer) = hasher.finish().expect("all bytes");
    Tree::of(content, layer).expect("its own layer")
}

/// Returns the bytes of the test file from one offset to another.
fn bytes(from: u64, to: u64) -> Vec<u8> {
    let skipped = usize::try_from(from % 251).expect("less than 251");
    let length = usize::try_from(to - from).expect("few bytes");
    let counting: Vec<u8> = (0..=250).collect();
    let mut bytes = counting.repeat(length / 251 + 2);
    bytes.drain(..skipped);
    bytes.truncate(length);
    bytes
}

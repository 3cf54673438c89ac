//! Compares roots, piece layers, answers about hashes and torrents with those of libtorrent.
//!
//! `libtorrent.txt` contains what libtorrent computed for files around every boundary; `.ci/run`
//! computes it again.

use data_encoding::HEXLOWER;
use thorp_wire::layout::Layout;
use thorp_wire::merkle::{Hash, HashReply, LEAF, LayerHasher, Tree, content_of, leaf_hash};
use thorp_wire::session::HashRange;
use thorp_wire::torrent::build::{self, Privacy};
use thorp_wire::torrent::{Torrent, info_hash_v1, info_hash_v2};

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

#[test]
fn the_torrents_of_a_file_have_the_info_hashes_that_libtorrent_gives_them() {
    let lines = said("info ");
    assert!(lines.len() >= 15, "too few to say anything");
    for line in lines {
        let size = numbers(line)[0];
        let piece_length = Layout::of(size).piece_length() as usize;
        let content = bytes(0, size);
        let pieces: Vec<[u8; 20]> = content
            .chunks(piece_length)
            .map(|piece| *info_hash_v1(piece).as_bytes())
            .collect();
        let v1 = build::v1_info("file", size, &pieces, Privacy::Private);
        let v2 = build::v2_info("file", content_of(&content), Privacy::Private);
        assert_eq!(
            format!("{size} {} {}", info_hash_v1(&v1), info_hash_v2(&v2)),
            line
        );
    }
}

#[test]
fn torrents_that_libtorrent_makes_are_read() {
    let lines = said("torrent ");
    assert_eq!(lines.len(), 6, "v1, v2 and both, of a file and of a folder");
    for line in lines {
        let words: Vec<_> = line.split(' ').collect();
        let torrent = HEXLOWER.decode(words[2].as_bytes()).expect("hex");
        let torrent = Torrent::decode(&torrent).expect("a torrent");
        let info = torrent.info();
        let v1 = info.v1().map(|v1| v1.info_hash.to_string());
        let v2 = info.v2().map(|v2| v2.to_string());
        assert_eq!([v1, v2].map(|hash| hash.unwrap_or("-".into())), words[..2]);
        assert_eq!(info.piece_length(), 16 * 1024);
        assert!(!info.is_private());
        let tiers = [
            "http://tracker.example:6969/announce",
            "udp://tracker.example:6969",
        ];
        assert_eq!(torrent.tiers(), tiers.map(|url| vec![url.to_owned()]));

        let expected: &[(&str, u64)] = if info.name().as_str() == "file" {
            &[("file", 81_919)]
        } else {
            &[
                ("folder/a", 100_000),
                ("folder/b/c d.txt", 49_152),
                ("folder/b/empty", 0),
                ("folder/e/f/g", 1),
            ]
        };
        let files = info.files().iter().filter(|file| !file.padding);
        let files: Vec<_> = files
            .map(|file| (file.name.as_str(), file.length))
            .collect();
        assert_eq!(files, expected);
        for file in info.files().iter().filter(|file| file.root.is_some()) {
            let content = content_of(&bytes(0, file.length));
            assert_eq!(file.root, Some(content.root), "{}", file.name);
            let has_layer = torrent.layer(&content.root).is_some();
            assert_eq!(has_layer, file.length > 16 * 1024, "{}", file.name);
        }
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

//! Roots and piece layers are those that other programs compute.
//!
//! `roots.txt` is what libtorrent says of files around every boundary; `.ci/run`
//! asks it again.

use data_encoding::HEXLOWER;
use thorp_wire::layout::Layout;
use thorp_wire::merkle::{LayerHasher, content_of, leaf_hash};

#[test]
fn roots_and_piece_layers_are_those_of_libtorrent() {
    let lines = include_str!("roots.txt").lines();
    let mut files = 0;
    for line in lines.filter(|line| !line.starts_with('#')) {
        let size = line.split(' ').next().and_then(|size| size.parse().ok());
        assert_eq!(ours(size.expect("a size")), line);
        files += 1;
    }
    assert!(files >= 20, "{files} files are too few to say anything");
}

/// The line that is there for a file of this size.
fn ours(size: u64) -> String {
    let mut hasher = LayerHasher::new(size);
    let counting: Vec<u8> = (0..=250).cycle().take(251 * 4096).collect();
    while hasher.length() < size {
        let more = counting
            .len()
            .min(usize::try_from(size - hasher.length()).expect("a size that fits"));
        assert!(hasher.update(&counting[..more]));
    }
    let (content, layer) = hasher.finish().expect("all bytes");
    assert_eq!(content.length, size);
    if let Ok(small @ ..0x10_0000) = usize::try_from(size) {
        assert_eq!(content_of(&counting[..small]), content);
    }
    // Torrents have no layer of a file of one piece: it would be the root.
    let layer = match &layer[..] {
        [_] => "-".to_owned(),
        layer => HEXLOWER.encode(&leaf_hash(layer.as_flattened())),
    };
    let piece_length = Layout::of(size).piece_length();
    format!("{size} {piece_length} {} {layer}", content.root)
}

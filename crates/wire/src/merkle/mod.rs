//! Merkle trees of files (BEP 52): SHA-256 leaves of 16 KiB, the last one hashed at its actual
//! length, and missing leaves zero up to a power of two.
//!
//! ```text
//! hashed     files that are in memory, several at a time -> contents
//! hasher     bytes in order -> leaf hashes, root, piece layer
//! unordered  pieces in any order, as a torrent cuts them -> root, piece layer
//! levels     hashes of one layer -> all hashes above them, padded
//! place      where a range of hashes is in the tree
//! tree       answers to other peers: a file's piece layer and all above it
//! request    which hashes to ask for, and whether the answer is right
//! ```
//!
//! Heights, which BEP 52 calls layers, are counted from the leaves at 0. The root is at
//! [`Layout::height`], the hashes of the pieces at [`Layout::piece_height`]. In a file of at most
//! one piece, the hash of the piece is the root.

mod hashed;
mod hasher;
mod levels;
mod place;
mod request;
mod tree;
mod unordered;

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

pub use hashed::Hashed;
pub use hasher::{Hasher, LayerHasher, Leaves};
pub use place::NoHashes;
pub use request::{
    Lie, layer_ranges, layer_ranges_in, leaf_range, verify, verify_in, verify_leaves,
};
pub use tree::{HashReply, Tree};
pub use unordered::UnorderedHasher;

use crate::content::{Content, Root};
pub use crate::layout::LEAF;
use crate::layout::{Layout, Piece};
use levels::Peaks;

/// A SHA-256 hash of a leaf or of two hashes, or 32 zero bytes for a leaf beyond the end of the
/// file.
pub type Hash = [u8; 32];

/// Computes the content of a file that is in memory.
pub fn content_of(bytes: &[u8]) -> Content {
    let mut hasher = Hasher::default();
    hasher.update(bytes);
    hasher.finish()
}

/// Computes the hash of one leaf: [`LEAF`] bytes, or fewer at the end of a file.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::digest(leaf).into()
}

/// Returns the hash of each leaf of `bytes`, in order. The last leaf may be short.
///
/// Leaves do not depend on one another, so several are hashed at a time: in a batch of four
/// or more, each takes about half as long as alone.
pub fn leaf_hashes(bytes: &[u8]) -> Vec<Hash> {
    let leaves: Vec<&[u8]> = bytes.chunks(LEAF).collect();
    let mut hashes = vec![[0; 32]; leaves.len()];
    tape_sha256::hash_many(&leaves, &mut hashes);
    hashes
}

/// Computes the hash of a piece from the hashes of all its leaves. `None` if their number is
/// wrong.
pub fn piece_hash(layout: Layout, piece: Piece, leaves: &[Hash]) -> Option<Hash> {
    let all = leaves.len() == layout.leaves_of(piece) as usize;
    all.then(|| Peaks::of(leaves).top(0, layout.piece_height()))
}

/// Computes the root of a file from the hashes of all its pieces. `None` if their number is
/// wrong.
pub fn root_of_layer(layout: Layout, layer: &[Hash]) -> Option<Root> {
    if layer.is_empty() && layout.length() == 0 {
        return Some(Root::EMPTY);
    }
    let all = layout
        .pieces()
        .is_some_and(|all| all as usize == layer.len());
    let base = layout.piece_height();
    all.then(|| Root::new(Peaks::of(layer).top(base, layout.height())))
}

/// Computes the layer of a file in pieces of another length, from its layer in shorter pieces.
/// `None` if the number of hashes is wrong, or the other pieces are not longer.
pub fn merged_layer(layout: Layout, layer: &[Hash], longer: Layout) -> Option<Vec<Hash>> {
    let all = layout
        .pieces()
        .is_some_and(|all| all as usize == layer.len());
    let together = longer.piece_length() / layout.piece_length();
    if !all || together == 0 || layout.length() != longer.length() {
        return None;
    }
    let (from, to) = (layout.piece_height(), longer.piece_height());
    let pieces = layer.chunks(together as usize);
    Some(
        pieces
            .map(|pieces| Peaks::of(pieces).top(from, to))
            .collect(),
    )
}

/// Returns the hash that a piece has if all its bytes are zeros.
pub fn zero_piece_hash(layout: Layout, piece: Piece) -> Hash {
    let length = layout.length_of(piece) as usize;
    let mut leaves = Peaks::default();
    leaves.push_zeros(0, (length / LEAF) as u64);
    let short = length % LEAF;
    if short > 0 {
        leaves.push(leaf_hash(&ZEROS[..short]));
    }
    leaves.top(0, layout.piece_height())
}

static ZEROS: [u8; LEAF] = [0; LEAF];

/// Returns the hash of a subtree of this height whose leaves are all complete, and zeros.
fn zeros(height: u32) -> &'static Hash {
    static HASHES: LazyLock<[Hash; 64]> = LazyLock::new(|| {
        let mut hashes = [leaf_hash(&ZEROS); 64];
        for height in 1..hashes.len() {
            hashes[height] = parent(&hashes[height - 1], &hashes[height - 1]);
        }
        hashes
    });
    // No file of 2^64 bytes has a tree that is higher than 50.
    &HASHES[height as usize % 64]
}

/// Returns the hash of a subtree of this height that is wholly beyond the end of the file.
fn padding(height: u32) -> &'static Hash {
    static PADDING: LazyLock<[Hash; 64]> = LazyLock::new(|| {
        let mut padding = [[0; 32]; 64];
        for height in 1..padding.len() {
            padding[height] = parent(&padding[height - 1], &padding[height - 1]);
        }
        padding
    });
    // Lengths are of 64 bits, so no tree is higher than 50.
    &PADDING[height as usize % 64]
}

fn parent(left: &Hash, right: &Hash) -> Hash {
    let mut hash = Sha256::new();
    hash.update(left);
    hash.update(right);
    hash.finalize().into()
}

#[cfg(test)]
mod tests;

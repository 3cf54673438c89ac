//! Merkle trees of files (BEP 52): SHA-256 leaves of 16 KiB, the last one hashed
//! as short as it is, missing leaves zero up to a power of two.
//!
//! ```text
//! hasher   bytes in order -> leaf hashes, root, piece layer
//! levels   hashes of one layer -> all above them, padded
//! place    where a range of hashes is in the tree, if it can be
//! tree     answers what others ask: a file's piece layer and all above it
//! request  what to ask others for, and whether what they answer is true
//! ```
//!
//! Heights are counted from the leaves, which are at 0; BEP 52 calls them layers.
//! The root is at [`Layout::height`], a hash for each piece at
//! [`Layout::piece_height`]. A file of at most one piece has one such hash: its
//! root.

mod hasher;
mod levels;
mod place;
mod request;
mod tree;

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

pub use hasher::{Hasher, LayerHasher, Leaves};
pub use place::NoHashes;
pub use request::{Lie, layer_ranges, leaf_range, verify, verify_leaves};
pub use tree::{HashReply, Tree};

use crate::content::{Content, Root};
pub use crate::layout::LEAF;
use crate::layout::{Layout, Piece};
use levels::Peaks;

/// A SHA-256 hash: of a leaf, of two hashes, or 32 zero bytes for a leaf beyond
/// the end of the file.
pub type Hash = [u8; 32];

/// The content of a file that is in memory.
pub fn content_of(bytes: &[u8]) -> Content {
    let mut hasher = Hasher::default();
    hasher.update(bytes);
    hasher.finish()
}

/// The hash of one leaf: all its bytes, [`LEAF`] of them or, at the end of a
/// file, fewer.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::digest(leaf).into()
}

/// The hash of a piece, out of the hashes of all its leaves. `None` if there are
/// not as many as the piece has.
pub fn piece_hash(layout: Layout, piece: Piece, leaves: &[Hash]) -> Option<Hash> {
    let all = leaves.len() == layout.leaves_of(piece) as usize;
    all.then(|| Peaks::of(leaves).top(0, layout.piece_height()))
}

/// The root of a file, out of the hashes of all its pieces. `None` if there are
/// not as many as the file has.
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

/// The hash of a subtree of this height that is wholly beyond the end of the
/// file.
fn padding(height: u32) -> &'static Hash {
    static PADDING: LazyLock<[Hash; 64]> = LazyLock::new(|| {
        let mut padding = [[0; 32]; 64];
        for height in 1..padding.len() {
            padding[height] = parent(&padding[height - 1], &padding[height - 1]);
        }
        padding
    });
    // No file of 2^64 bytes has a tree that is higher than 50.
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

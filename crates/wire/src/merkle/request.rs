//! Which hashes to ask a source for, and whether its answer is right.

use thiserror::Error;

use super::levels::Peaks;
use super::place::{NoHashes, Place};
use super::{Hash, parent};
use crate::content::{Content, Root};
use crate::layout::{Layout, Piece};
use crate::session::HashRange;
use crate::session::message::MOST_HASHES;

/// Returns the fewest ranges that yield the hash of each piece, proved up to the root. There are
/// none for a file of at most one piece, since that piece's hash is the root.
pub fn layer_ranges(content: Content) -> impl Iterator<Item = HashRange> {
    layer_ranges_in(Layout::of(content.length), content.root)
}

/// The same of a file that is cut like this, as a torrent may say.
pub fn layer_ranges_in(layout: Layout, root: Root) -> impl Iterator<Item = HashRange> {
    let pieces = layout.pieces().filter(|pieces| *pieces > 1).unwrap_or(0);
    let base = layout.piece_height();
    let runs = pieces.div_ceil(MOST_HASHES);
    (0..runs).map(move |run| {
        let index = run * MOST_HASHES;
        HashRange {
            root,
            base,
            index,
            length: (pieces - index).next_power_of_two().clamp(2, MOST_HASHES),
            proofs: layout.height() - base - 1,
        }
    })
}

/// Returns the range that yields the hash of each leaf of a piece, without proof, since the hash
/// of the piece is known. `None` for a file of one leaf, whose hash is the root, and for leaves
/// whose index exceeds 32 bits (beyond 64 TiB).
pub fn leaf_range(content: Content, piece: Piece) -> Option<HashRange> {
    let layout = Layout::of(content.length);
    let height = layout.piece_height();
    let index = u64::from(piece.number()) << height;
    (height > 0).then_some(HashRange {
        root: content.root,
        base: 0,
        index: u32::try_from(index).ok()?,
        length: 1 << height,
        proofs: 0,
    })
}

/// Checks an answer whose proof goes up to the root. Returns the hashes that belong to the file,
/// without padding and uncles.
pub fn verify<'a>(
    content: Content,
    range: &HashRange,
    answer: &'a [Hash],
) -> Result<&'a [Hash], Lie> {
    verify_in(Layout::of(content.length), content.root, range, answer)
}

/// The same of a file that is cut like this, as a torrent may say.
pub fn verify_in<'a>(
    layout: Layout,
    root: Root,
    range: &HashRange,
    answer: &'a [Hash],
) -> Result<&'a [Hash], Lie> {
    let place = Place::of(layout, root, range)?;
    let top = place.climb(range, answer)?;
    if place.top() != layout.height() {
        return Err(Lie::NotProved);
    }
    if top != *root.as_bytes() {
        return Err(Lie::OtherHashes);
    }
    Ok(place.of_file(answer))
}

/// Checks the answer to a [`leaf_range`] against the known hash of the piece. Returns the hash of
/// each leaf of the piece.
pub fn verify_leaves<'a>(
    content: Content,
    range: &HashRange,
    piece_hash: &Hash,
    answer: &'a [Hash],
) -> Result<&'a [Hash], Lie> {
    let layout = Layout::of(content.length);
    let place = Place::of(layout, content.root, range)?;
    let top = place.climb(range, answer)?;
    if place.top() != layout.piece_height() {
        return Err(Lie::NotProved);
    }
    if top != *piece_hash {
        return Err(Lie::OtherHashes);
    }
    Ok(place.of_file(answer))
}

impl Place {
    /// Computes the hash that the hashes and the uncles combine to.
    fn climb(&self, range: &HashRange, answer: &[Hash]) -> Result<Hash, Lie> {
        let expected = range.length as usize + self.uncles as usize;
        if answer.len() != expected {
            let hashes = answer.len();
            return Err(Lie::OtherNumber { hashes, expected });
        }
        let (hashes, uncles) = answer.split_at(range.length as usize);
        let joined = Peaks::of(hashes).top(self.base, self.joined);
        let step = |below: Hash, (uncle, (_, place)): (&Hash, (u32, u64))| {
            // An uncle with an odd index is the right one of the pair.
            if place % 2 == 1 {
                parent(&below, uncle)
            } else {
                parent(uncle, &below)
            }
        };
        Ok(uncles.iter().zip(self.uncles()).fold(joined, step))
    }
}

/// What is wrong with the hashes in an answer. Drop the source that sent them, unless the
/// question itself was wrong ([`Lie::NotAsked`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Lie {
    /// The range of the question does not exist.
    #[error("an answer that nobody can have asked for: {0}")]
    NotAsked(#[from] NoHashes),
    /// The answer has fewer or more hashes than were asked for.
    #[error("{hashes} hashes, where {expected} were asked for")]
    OtherNumber {
        /// How many hashes the answer has.
        hashes: usize,
        /// How many it should have, including uncles.
        expected: usize,
    },
    /// The proof ends below the known hash: the question asked for too few uncles.
    #[error("a proof that ends below what is known")]
    NotProved,
    /// The hashes are not those of this file.
    #[error("hashes that are not of this file")]
    OtherHashes,
}

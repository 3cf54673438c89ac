//! Blocks that follow one another, on their way from a connection to the disk.
//!
//! A client sends 16 KiB at a time. What of it is here already is written at once, as a longer
//! block of a member is: a thread for the disk is woken once, not for each.
//!
//! Owns their bytes, and the hashes of their leaves, which are made while the bytes are still in
//! the processor's cache.

use thorp_wire::layout::Block;
use thorp_wire::merkle::{Hash, LEAF, leaf_hashes};
use thorp_wire::session::Span;

use super::buffers::{Buffer, SHORT};

/// Bytes that are hashed together, as soon as they have arrived. With AVX-512 sixteen leaves take
/// the time of ten that are hashed four at a time, and with other instructions no longer.
const TOGETHER: usize = 16 * LEAF;

/// See the module. Its bytes begin with those of its first block.
pub(super) struct Run {
    buffer: Buffer,
    blocks: Vec<Block>,
    /// How many bytes these have.
    length: usize,
    leaves: Vec<Hash>,
    /// Whether these are of use.
    is_hashed: bool,
}

impl Run {
    pub fn new(buffer: Buffer, is_hashed: bool) -> Self {
        Self {
            buffer,
            blocks: Vec::new(),
            length: 0,
            leaves: Vec::new(),
            is_hashed,
        }
    }

    /// The place for so many bytes behind the last block.
    pub fn room(&mut self, length: usize) -> &mut [u8] {
        let end = self.length + length;
        let bytes = &mut self.buffer.bytes;
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        &mut bytes[self.length..end]
    }

    /// The bytes of this block are in the room behind the last one.
    pub fn push(&mut self, block: Block) {
        self.length += block.length() as usize;
        self.blocks.push(block);
    }

    /// Whether these bytes may be its next block.
    pub fn is_followed_by(&self, span: Span) -> bool {
        let follows = |last: &Block| {
            last.piece().number() == span.piece && last.begin() + last.length() == span.begin
        };
        let is_short = self.length + span.length as usize <= SHORT;
        is_short && self.length.is_multiple_of(LEAF) && self.blocks.last().is_some_and(follows)
    }

    /// Hashes what of the first block has arrived, as far as it fills groups of leaves.
    pub fn hash_groups(&mut self, arrived: usize) {
        self.hash_to(arrived - arrived % TOGETHER);
    }

    /// Hashes what is not hashed yet.
    pub fn hash(&mut self) {
        self.hash_to(self.length);
    }

    fn hash_to(&mut self, end: usize) {
        let hashed = self.leaves.len() * LEAF;
        if self.is_hashed && hashed < end {
            self.leaves
                .extend(leaf_hashes(&self.buffer.bytes[hashed..end]));
        }
    }

    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    pub fn bytes(&self) -> &[u8] {
        &self.buffer.bytes[..self.length]
    }

    /// Each block, with the hashes of its leaves, if they are of use; zeros otherwise.
    pub fn leaves(&self) -> impl Iterator<Item = (Block, Vec<Hash>)> {
        let mut leaves = self
            .leaves
            .iter()
            .copied()
            .chain(std::iter::repeat([0; 32]));
        self.blocks.iter().map(move |block| {
            let number = (block.length() as usize).div_ceil(LEAF);
            (*block, leaves.by_ref().take(number).collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use thorp_wire::layout::Layout;

    use super::*;
    use crate::sessions::buffers::Buffers;

    const PIECE: u32 = 512 * 1024;
    const SHORT_BLOCK: u32 = 16 * 1024;

    fn span(piece: u32, begin: u32, length: u32) -> Span {
        Span {
            piece,
            begin,
            length,
        }
    }

    /// A run of blocks of this length from the beginning of the first piece.
    async fn run_of(blocks: u32, length: u32, is_hashed: bool) -> Run {
        let layout = Layout::cut(u64::from(3 * PIECE), PIECE).expect("is cut");
        let buffers = Buffers::default();
        let mut run = Run::new(buffers.take(length as usize).await, is_hashed);
        for number in 0..blocks {
            let room = run.room(length as usize);
            room.fill(u8::try_from(number).expect("are few"));
            let block = layout.block(0, number * length, length);
            run.push(block.expect("is in it"));
        }
        run
    }

    #[tokio::test]
    async fn only_the_next_bytes_of_the_piece_follow_up_to_256_kib_and_nothing_follows_half_a_leaf()
    {
        let next = |begin| span(0, begin, SHORT_BLOCK);
        let run = run_of(3, SHORT_BLOCK, false).await;
        assert!(run.is_followed_by(next(3 * SHORT_BLOCK)));
        assert!(!run.is_followed_by(next(4 * SHORT_BLOCK)));
        assert!(!run.is_followed_by(next(2 * SHORT_BLOCK)));
        assert!(!run.is_followed_by(span(1, 3 * SHORT_BLOCK, SHORT_BLOCK)));
        let full = run_of(16, SHORT_BLOCK, false).await;
        assert!(!full.is_followed_by(next(16 * SHORT_BLOCK)));
        let odd = run_of(1, SHORT_BLOCK / 2, false).await;
        assert!(!odd.is_followed_by(next(SHORT_BLOCK / 2)));
        let none = run_of(0, SHORT_BLOCK, false).await;
        assert!(!none.is_followed_by(next(0)));
    }

    #[tokio::test]
    async fn each_block_has_the_hashes_of_its_own_leaves() {
        for length in [SHORT_BLOCK, 3 * SHORT_BLOCK] {
            let mut run = run_of(5, length, true).await;
            run.hash();
            assert_eq!(run.bytes().len(), 5 * length as usize);
            let blocks: Vec<_> = run.leaves().collect();
            assert_eq!(blocks.len(), 5);
            for (number, (block, leaves)) in (0_u8..).zip(blocks) {
                assert_eq!(block.begin(), u32::from(number) * length);
                assert_eq!(leaves, leaf_hashes(&vec![number; length as usize]));
            }
        }
    }
}

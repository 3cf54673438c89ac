//! Blocks that follow one another, on their way from a connection to the disk.
//!
//! A client sends 16 KiB at a time. What of it is here already is written at once, as a longer block
//! of a member is: a thread for the disk is woken once, not for each.
//!
//! Owns their bytes, and the hashes of their leaves, which are made while the bytes are still in the
//! processor's cache.

use thorp_wire::layout::Block;
use thorp_wire::merkle::{Hash, LEAF, leaf_hashes};
use thorp_wire::session::Span;

use super::buffers::{Buffer, SHORT};

/// Bytes that are hashed together, as soon as they have arrived. Four leaves at once take the time
/// of two.
const TOGETHER: usize = 4 * LEAF;

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

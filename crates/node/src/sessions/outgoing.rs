//! Blocks that are read to be sent, and the messages that they become.
//!
//! The bytes of the file begin in the [middle of a page](crate::net::pages).

use thorp_wire::layout::Block;
use thorp_wire::session::message::PIECE_HEAD;
use thorp_wire::session::{Message, Span};

use crate::net::pages::{PAGE, to_middle};

/// See the module. Used again for the next blocks.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    room: Vec<u8>,
    /// Where the bytes of the file begin, and how many they are.
    begin: usize,
    length: usize,
}

impl Outgoing {
    /// The place for the bytes of blocks that follow one another in the file.
    pub fn room_for(&mut self, blocks: &[Block]) -> &mut [u8] {
        let heads = blocks.len() * PIECE_HEAD;
        self.length = blocks.iter().map(|block| block.length() as usize).sum();
        self.room.resize(2 * PAGE + heads + self.length, 0);
        let middle = to_middle(&self.room);
        self.begin = middle + heads.saturating_sub(middle).next_multiple_of(PAGE);
        &mut self.room[self.begin..][..self.length]
    }

    /// The blocks as `piece` messages, once their bytes are there.
    pub fn messages(&mut self, blocks: &[Block]) -> &[u8] {
        let begin = self.begin - blocks.len() * PIECE_HEAD;
        let messages = &mut self.room[begin..self.begin + self.length];
        put_heads(blocks, messages);
        messages
    }
}

/// Makes `piece` messages of blocks whose bytes follow one another behind the room for all heads.
fn put_heads(blocks: &[Block], bytes: &mut [u8]) {
    let mut head = Vec::with_capacity(PIECE_HEAD);
    let (mut to, mut from) = (0, blocks.len() * PIECE_HEAD);
    for block in blocks {
        let length = block.length();
        let span = Span {
            piece: block.piece().number(),
            begin: block.begin(),
            length,
        };
        head.clear();
        Message::Piece(span).encode(&mut head);
        bytes[to..to + PIECE_HEAD].copy_from_slice(&head);
        to += PIECE_HEAD;
        let end = from + length as usize;
        // The last one is where it belongs already.
        if to < from {
            bytes.copy_within(from..end, to);
        }
        (to, from) = (to + length as usize, end);
    }
}

#[cfg(test)]
mod tests {
    use thorp_wire::layout::Layout;

    use super::*;
    use crate::net::pages::MIDDLE;

    #[test]
    fn the_bytes_of_a_file_begin_in_the_middle_of_a_page() {
        let layout = Layout::of(1 << 30);
        let mut outgoing = Outgoing::default();
        for number in [1, 2, 157, 158, 512, 1] {
            let blocks: Vec<_> = (0..number)
                .map(|at| layout.block(3, at * 100, 100).expect("is in it"))
                .collect();
            let bytes = outgoing.room_for(&blocks);
            assert_eq!(bytes.as_ptr().addr() % PAGE, MIDDLE);
            bytes.fill(7);
            let mut sent = outgoing.messages(&blocks);
            assert_eq!(sent.len(), blocks.len() * (PIECE_HEAD + 100));
            while let Some((head, rest)) = sent.split_at_checked(PIECE_HEAD) {
                assert_eq!(head[..5], [0, 0, 0, 109, 7], "a piece, of 100 bytes");
                let (bytes, rest) = rest.split_at(100);
                assert_eq!(bytes, [7; 100]);
                sent = rest;
            }
        }
    }

    #[test]
    fn blocks_that_are_read_together_become_a_message_each() {
        let layout = Layout::of(100_000);
        let block = |begin, length| layout.block(0, begin, length).expect("is in it");
        let blocks = [block(16_384, 100), block(16_484, 7), block(16_491, 50)];
        let file: Vec<u8> = (0..157).collect();
        let mut bytes = vec![0; 3 * PIECE_HEAD];
        bytes.extend(&file);
        put_heads(&blocks, &mut bytes);
        let mut expected = Vec::new();
        for (begin, length, of) in [
            (16_384, 100, 0..100),
            (16_484, 7, 100..107),
            (16_491, 50, 107..157),
        ] {
            let (piece, of) = (0, &file[of]);
            Message::Piece(Span {
                piece,
                begin,
                length,
            })
            .encode(&mut expected);
            expected.extend(of);
        }
        assert_eq!(bytes, expected);
    }
}

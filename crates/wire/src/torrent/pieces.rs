//! The SHA-1 of each piece of a v1 torrent, of bytes as they come.

use sha1::{Digest, Sha1};

/// The length of the zeros that are hashed at once, in bytes.
const ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];

/// Takes the bytes of a torrent in order, and hashes them piece by piece.
#[derive(Clone)]
pub struct PieceHasher {
    piece_length: u64,
    piece: Sha1,
    /// Bytes taken of the present piece.
    taken: u64,
    hashes: Vec<[u8; 20]>,
    /// The hash of a piece of zeros, once there was one: a hole may have a million of them.
    zeros: Option<[u8; 20]>,
}

impl PieceHasher {
    /// Begins with the first byte. The length of a piece is at least 1.
    pub fn new(piece_length: u32) -> Self {
        Self {
            piece_length: piece_length.max(1).into(),
            piece: Sha1::new(),
            taken: 0,
            hashes: Vec::new(),
            zeros: None,
        }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = usize::try_from(self.piece_length - self.taken).unwrap_or(usize::MAX);
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.piece.update(now);
            self.on_taken(now.len() as u64);
            bytes = rest;
        }
    }

    /// Takes so many bytes that are zero.
    pub fn update_zeros(&mut self, mut number: u64) {
        while number > 0 {
            let is_whole = self.taken == 0 && number >= self.piece_length;
            if let Some(hash) = self.zeros.filter(|_| is_whole) {
                self.hashes.push(hash);
                number -= self.piece_length;
                continue;
            }
            let piece = number.min(self.piece_length - self.taken);
            let mut left = piece;
            while left > 0 {
                let now = left.min(ZEROS.len() as u64);
                self.piece
                    .update(&ZEROS[..usize::try_from(now).unwrap_or(0)]);
                left -= now;
            }
            self.on_taken(piece);
            if is_whole {
                self.zeros = self.hashes.last().copied();
            }
            number -= piece;
        }
    }

    /// Returns the hash of each piece.
    pub fn finish(mut self) -> Vec<[u8; 20]> {
        if self.taken > 0 {
            self.end_piece();
        }
        self.hashes
    }

    fn on_taken(&mut self, bytes: u64) {
        self.taken += bytes;
        if self.taken == self.piece_length {
            self.end_piece();
        }
    }

    fn end_piece(&mut self) {
        self.taken = 0;
        self.hashes.push(self.piece.finalize_reset().into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(bytes: &[u8], piece_length: usize) -> Vec<[u8; 20]> {
        let pieces = bytes.chunks(piece_length);
        pieces.map(|piece| Sha1::digest(piece).into()).collect()
    }

    #[test]
    fn nothing_has_no_pieces() {
        assert!(PieceHasher::new(16_384).finish().is_empty());
    }

    proptest! {
        #[test]
        fn pieces_are_hashed_however_their_bytes_come(
            runs in prop::collection::vec((any::<u8>(), 0usize..40_000), 0..8),
            piece_length in prop_oneof![1u32..50, Just(16_384), 1000u32..40_000],
        ) {
            let mut bytes = Vec::new();
            let mut hasher = PieceHasher::new(piece_length);
            for (byte, length) in runs {
                let byte = byte % 3;
                let length = if piece_length < 50 { length % 500 } else { length };
                if byte == 0 {
                    hasher.update_zeros(length as u64);
                } else {
                    hasher.update(&vec![byte; length]);
                }
                bytes.extend(std::iter::repeat_n(byte, length));
            }
            prop_assert_eq!(hasher.finish(), plain(&bytes, piece_length as usize));
        }
    }
}

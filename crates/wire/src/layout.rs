//! How a file is cut into pieces, and these into the blocks that peers ask for.
//!
//! A [`Piece`] or [`Block`] that exists is inside its file: only [`Layout`]
//! makes them, and it refuses any other. (BEP 3 for pieces and blocks, BEP 52
//! for the alignment.)

/// Bytes in a leaf of the tree that a file's root is made of (BEP 52).
pub const LEAF: usize = 16 * 1024;
/// The smallest piece, in bytes.
pub const SMALLEST_PIECE: u32 = 256 * 1024;
/// The largest piece, in bytes.
pub const LARGEST_PIECE: u32 = 8 * 1024 * 1024;
/// Files of more pieces are not fetched: they would take too much memory. With
/// pieces of 8 MiB, that is beyond 16 TiB.
pub const MOST_PIECES: u32 = 1 << 21;
/// A file is cut into about this many pieces, if the bounds on a piece allow
/// it.
const PIECES: u64 = 1024;

/// How a file of a certain length is cut. It follows from the length alone, so
/// that all peers cut the same file alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    length: u64,
    piece_length: u32,
}

/// A piece of a certain file, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Piece(u32);

/// Bytes within one piece: at most a piece, at least one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    piece: Piece,
    begin: u32,
    length: u32,
}

impl Layout {
    /// The layout of a file of this length; the piece length is
    /// `clamp(next_pow2(ceil(length / 1024)), 256 KiB, 8 MiB)`.
    #[expect(clippy::cast_possible_truncation, reason = "clamped to 8 MiB")]
    pub fn of(length: u64) -> Self {
        let ideal = length
            .div_ceil(PIECES)
            .checked_next_power_of_two()
            .unwrap_or(u64::MAX);
        let piece_length = ideal.clamp(SMALLEST_PIECE.into(), LARGEST_PIECE.into()) as u32;
        Self {
            length,
            piece_length,
        }
    }

    /// Bytes in the file.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Bytes in each piece but the last: a power of two.
    pub fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// Leaves in each piece but the last: a power of two.
    #[expect(clippy::cast_possible_truncation, reason = "a leaf is of 16 KiB")]
    pub fn leaves_per_piece(&self) -> u32 {
        self.piece_length / LEAF as u32
    }

    /// Leaves in the file.
    pub fn leaves(&self) -> u64 {
        self.length.div_ceil(LEAF as u64)
    }

    /// How high the root of the file is above the leaves (BEP 52): 0 if the
    /// file has one leaf.
    pub fn height(&self) -> u32 {
        self.leaves().next_power_of_two().trailing_zeros()
    }

    /// How high the hash of a piece is above the leaves: BEP 52's piece layer. In
    /// a file of at most one piece it is the root.
    pub fn piece_height(&self) -> u32 {
        self.leaves_per_piece().trailing_zeros().min(self.height())
    }

    /// How many pieces there are. `None` for a file of more than [`MOST_PIECES`]:
    /// it can be listed, but not be fetched.
    pub fn pieces(&self) -> Option<u32> {
        let pieces = self.length.div_ceil(self.piece_length.into());
        u32::try_from(pieces).ok().filter(|all| *all <= MOST_PIECES)
    }

    /// The piece of that number, if there is one.
    pub fn piece(&self, number: u32) -> Option<Piece> {
        let begin = u64::from(number) * u64::from(self.piece_length);
        (begin < self.length).then_some(Piece(number))
    }

    /// Where a piece begins in the file.
    pub fn begin_of(&self, piece: Piece) -> u64 {
        u64::from(piece.0) * u64::from(self.piece_length)
    }

    /// Bytes in a piece: fewer in the last one.
    #[expect(clippy::cast_possible_truncation, reason = "at most a piece")]
    pub fn length_of(&self, piece: Piece) -> u32 {
        (self.length - self.begin_of(piece)).min(self.piece_length.into()) as u32
    }

    /// Leaves in a piece: fewer in the last one.
    #[expect(clippy::cast_possible_truncation, reason = "a leaf is of 16 KiB")]
    pub fn leaves_of(&self, piece: Piece) -> u32 {
        self.length_of(piece).div_ceil(LEAF as u32)
    }

    /// These bytes of a piece, if they are all in it and there is at least one.
    pub fn block(&self, piece: u32, begin: u32, length: u32) -> Option<Block> {
        let piece = self.piece(piece)?;
        let end = begin.checked_add(length)?;
        (length > 0 && end <= self.length_of(piece)).then_some(Block {
            piece,
            begin,
            length,
        })
    }

    /// Where a block begins in the file.
    pub fn offset_of(&self, block: Block) -> u64 {
        self.begin_of(block.piece) + u64::from(block.begin)
    }
}

impl Piece {
    /// Its number, counted from 0.
    pub fn number(self) -> u32 {
        self.0
    }
}

impl Block {
    /// The piece it is in.
    pub fn piece(self) -> Piece {
        self.piece
    }

    /// Where it begins in its piece.
    pub fn begin(self) -> u32 {
        self.begin
    }

    /// Bytes in it.
    pub fn length(self) -> u32 {
        self.length
    }
}

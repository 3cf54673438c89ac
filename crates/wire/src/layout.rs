//! How a file is cut into pieces, and pieces into the blocks that peers ask for.
//!
//! A [`Piece`] or [`Block`] is always inside its file, since only [`Layout`] makes them. Pieces
//! and blocks are those of BEP 3, their alignment that of BEP 52.

/// The length in bytes of a leaf of a file's Merkle tree (BEP 52).
pub const LEAF: usize = 16 * 1024;
/// The length of the smallest piece of a file that is not short, in bytes.
const SMALLEST_PIECE: u32 = 64 * 1024;
/// A file of less than so many bytes is short.
const SHORT_FILE: u64 = 16 * 1024 * 1024;
/// The length of a short file's pieces, in bytes.
pub(crate) const PIECE_OF_SHORT_FILE: u32 = 256 * 1024;
/// The length of the largest piece, in bytes.
pub const LARGEST_PIECE: u32 = 8 * 1024 * 1024;
/// The length of the longest piece of a torrent that is fetched, in bytes.
pub const LONGEST_PIECE: u32 = 64 * 1024 * 1024;
/// The maximum number of pieces: a file of more would take too much memory to fetch. With pieces
/// of 8 MiB, the maximum is reached at 16 TiB.
pub const MOST_PIECES: u32 = 1 << 21;
/// The approximate number of pieces of a file, if the bounds on a piece's length allow it.
const PIECES: u64 = 1024;

/// How a file of a certain length is cut. Among members it depends on the length alone, so that
/// all peers cut a file alike; the pieces of a torrent may have another length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    length: u64,
    piece_length: u32,
}

/// A piece of a file, identified by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Piece(u32);

/// A range of bytes within one piece, at least one byte long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    piece: Piece,
    begin: u32,
    length: u32,
}

impl Layout {
    /// Returns the layout of a file of this length. The piece length is
    /// `clamp(next_pow2(ceil(length / 1024)), 64 KiB, 8 MiB)`, and 256 KiB below 16 MiB.
    ///
    /// The shorter its pieces are, the sooner those who fetch a file at the same time have
    /// something for one another, and the more work it is. A short file is there soon in any case.
    #[expect(clippy::cast_possible_truncation, reason = "clamped to 8 MiB")]
    pub fn of(length: u64) -> Self {
        if length < SHORT_FILE {
            return Self {
                length,
                piece_length: PIECE_OF_SHORT_FILE,
            };
        }
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

    /// Returns the layout of a file in a v2 torrent that has pieces of this length. `None` unless
    /// the length is a power of two from 16 KiB to 64 MiB (BEP 52).
    pub fn cut(length: u64, piece_length: u32) -> Option<Self> {
        let is_possible = piece_length.is_power_of_two()
            && piece_length as usize >= LEAF
            && piece_length <= LONGEST_PIECE;
        is_possible.then_some(Self {
            length,
            piece_length,
        })
    }

    /// Returns the layout of a v1 torrent's bytes, which has pieces of this length (BEP 3). `None`
    /// unless it is from one byte to 64 MiB. What is said of leaves holds for no such layout.
    pub fn cut_anyhow(length: u64, piece_length: u32) -> Option<Self> {
        let is_possible = (1..=LONGEST_PIECE).contains(&piece_length);
        is_possible.then_some(Self {
            length,
            piece_length,
        })
    }

    /// Returns the length of the file, in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns the length in bytes of each piece but the last: a power of two, but for a v1
    /// torrent.
    pub fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// Returns the number of leaves of each piece but the last, a power of two.
    #[expect(clippy::cast_possible_truncation, reason = "a leaf is of 16 KiB")]
    pub fn leaves_per_piece(&self) -> u32 {
        self.piece_length / LEAF as u32
    }

    /// Returns the number of leaves of the file.
    pub fn leaves(&self) -> u64 {
        self.length.div_ceil(LEAF as u64)
    }

    /// Returns the height of the file's root above the leaves (BEP 52): 0 if the file has one
    /// leaf.
    pub fn height(&self) -> u32 {
        self.leaves().next_power_of_two().trailing_zeros()
    }

    /// Returns the height of a piece's hash above the leaves, which is that of BEP 52's piece
    /// layer. In a file of at most one piece it is the height of the root.
    pub fn piece_height(&self) -> u32 {
        self.leaves_per_piece().trailing_zeros().min(self.height())
    }

    /// Returns the number of pieces. `None` if there are more than [`MOST_PIECES`]: the file can
    /// be listed but not fetched.
    pub fn pieces(&self) -> Option<u32> {
        let pieces = self.length.div_ceil(self.piece_length.into());
        u32::try_from(pieces).ok().filter(|all| *all <= MOST_PIECES)
    }

    /// Returns the piece of this number, if there is one.
    pub fn piece(&self, number: u32) -> Option<Piece> {
        let begin = u64::from(number) * u64::from(self.piece_length);
        (begin < self.length).then_some(Piece(number))
    }

    /// Returns the offset of a piece in the file, in bytes.
    pub fn begin_of(&self, piece: Piece) -> u64 {
        u64::from(piece.0) * u64::from(self.piece_length)
    }

    /// Returns the length of a piece in bytes; the last piece may be shorter than the others.
    #[expect(clippy::cast_possible_truncation, reason = "at most a piece")]
    pub fn length_of(&self, piece: Piece) -> u32 {
        (self.length - self.begin_of(piece)).min(self.piece_length.into()) as u32
    }

    /// Returns the number of leaves of a piece; the last piece may have fewer than the others.
    #[expect(clippy::cast_possible_truncation, reason = "a leaf is of 16 KiB")]
    pub fn leaves_of(&self, piece: Piece) -> u32 {
        self.length_of(piece).div_ceil(LEAF as u32)
    }

    /// Returns this block of a piece, or `None` if it is empty or not wholly inside the piece.
    pub fn block(&self, piece: u32, begin: u32, length: u32) -> Option<Block> {
        let piece = self.piece(piece)?;
        let end = begin.checked_add(length)?;
        (length > 0 && end <= self.length_of(piece)).then_some(Block {
            piece,
            begin,
            length,
        })
    }

    /// Returns the offset of a block in the file, in bytes.
    pub fn offset_of(&self, block: Block) -> u64 {
        self.begin_of(block.piece) + u64::from(block.begin)
    }
}

impl Piece {
    /// Returns its number, counted from 0.
    pub fn number(self) -> u32 {
        self.0
    }
}

impl Block {
    /// Returns the piece that contains it.
    pub fn piece(self) -> Piece {
        self.piece
    }

    /// Returns its offset in the piece, in bytes.
    pub fn begin(self) -> u32 {
        self.begin
    }

    /// Returns its length in bytes.
    pub fn length(self) -> u32 {
        self.length
    }
}

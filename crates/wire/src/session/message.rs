//! Messages of the peer wire: four bytes of length, one of type, then the fields (BEP 3, 6, 10,
//! 52).
//!
//! A reader of a socket decodes in two steps. [`Head::parse`] takes the first bytes and says what
//! follows and how long it is, before any room is made for it; [`Message::decode`] takes a
//! message that has arrived completely. The bytes of a block are never read here: only their head
//! is.

use thiserror::Error;

use super::handshake::PROTOCOL;
use crate::Root;
use crate::layout::Layout;

/// The length in bytes of the prefix of a message, which contains the message's length.
pub const PREFIX: usize = 4;
/// The number of bytes of a `piece` message before the bytes of the file.
pub const PIECE_HEAD: usize = PREFIX + 9;
/// The longest request, in bytes, that every client answers (BEP 3).
pub const ORDINARY_REQUEST: u32 = 16 * 1024;
/// The longest request, in bytes, between members.
pub const LONGEST_REQUEST: u32 = 1024 * 1024;
/// The maximum length of an extended message in bytes, including its type and number: a block of
/// an info dictionary has 16 KiB (BEP 9), and some bytes precede it.
pub const LONGEST_EXTENDED: u32 = 17 * 1024;
/// The maximum number of hashes in one message, not counting uncles (BEP 52: "SHOULD NOT be
/// greater than 512").
pub const MOST_HASHES: u32 = 512;
/// The maximum number of uncles in one message: no tree is higher than 64.
pub const MOST_UNCLES: u32 = 64;

/// A range of bytes of a piece, as in a message. [`Layout::block`] checks whether it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The number of the piece.
    pub piece: u32,
    /// The offset in the piece, in bytes.
    pub begin: u32,
    /// The length in bytes.
    pub length: u32,
}

/// A range of hashes of a Merkle tree, as in a message (BEP 52). [`merkle`](crate::merkle) checks
/// whether it exists and answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashRange {
    /// The root of the file.
    pub root: Root,
    /// The height of the layer; the leaves are at 0.
    pub base: u32,
    /// The index of the first hash in its layer.
    pub index: u32,
    /// The number of hashes: a power of two that divides `index`.
    pub length: u32,
    /// The number of layers above the base layer for which an uncle hash is asked as proof. The
    /// first `log2(length) - 1` count, but their uncles are left out, since they follow from the
    /// hashes themselves.
    pub proofs: u32,
}

/// One message of the peer wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// An empty message that keeps the connection open.
    KeepAlive,
    /// The sender will answer no requests.
    Choke,
    /// The sender will answer requests.
    Unchoke,
    /// The sender wants something of the receiver.
    Interested,
    /// The sender wants nothing of the receiver.
    NotInterested,
    /// The sender has verified this piece, and it can be asked for.
    Have(u32),
    /// The pieces that the sender has: the high bit of the first byte is piece 0.
    Bitfield(Vec<u8>),
    /// Asks for a range of bytes.
    Request(Span),
    /// The head of a message with bytes of the file. The bytes themselves follow, and never go
    /// through the swarm.
    Piece(Span),
    /// Withdraws a request.
    Cancel(Span),
    /// A piece that the receiver should ask for (BEP 6).
    Suggest(u32),
    /// The sender has all pieces (BEP 6).
    HaveAll,
    /// The sender has no pieces (BEP 6).
    HaveNone,
    /// The sender will not send these bytes (BEP 6).
    Reject(Span),
    /// A piece that the receiver may ask for even while choked (BEP 6).
    AllowedFast(u32),
    /// An extended message (BEP 10); number 0 is its handshake.
    Extended {
        /// Its number, as the receiver has assigned it.
        number: u8,
        /// The message's content.
        payload: Vec<u8>,
    },
    /// Asks for hashes (BEP 52).
    HashRequest(HashRange),
    /// The hashes of the range, then the uncles (BEP 52).
    Hashes(HashRange, Vec<[u8; 32]>),
    /// The sender will not send these hashes (BEP 52).
    HashReject(HashRange),
}

/// The maximum lengths of incoming messages, which depend on the session's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageLimits {
    /// The maximum length of a message other than `piece`, in bytes, without its prefix.
    message: u32,
    /// The maximum number of bytes of the file in a `piece`.
    block: u32,
}

impl MessageLimits {
    /// Returns the limits of a session about a file of this layout, in which this end asks for at
    /// most `request` bytes at once. `None` if the file has more than
    /// [`MOST_PIECES`](crate::layout::MOST_PIECES).
    pub fn of(layout: Layout, request: u32) -> Option<Self> {
        Some(Self::of_pieces(layout.pieces()?, request))
    }

    /// Returns the limits of a session about a torrent of so many pieces.
    pub fn of_pieces(pieces: u32, request: u32) -> Self {
        let bitfield = pieces.div_ceil(8);
        let hashes = RANGE + 32 * (MOST_HASHES + MOST_UNCLES);
        Self {
            message: (1 + hashes.max(bitfield)).max(LONGEST_EXTENDED),
            block: request,
        }
    }
}

/// What the first bytes say about what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// A complete [`Message::KeepAlive`].
    KeepAlive,
    /// The head of a [`Message::Piece`]; the bytes of the span follow.
    Piece(Span),
    /// Any other message: this many bytes follow, to be passed to [`Message::decode`].
    Message(usize),
    /// The handshake for the next file begins here, instead of a message.
    Handshake,
}

impl Head {
    /// Parses the head of what comes next. Returns `None` if `bytes` are too few; [`PIECE_HEAD`]
    /// bytes are always enough.
    pub fn parse(bytes: &[u8], limits: MessageLimits) -> Result<Option<Self>, MessageError> {
        let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        // As a length these bytes would be 323,119,476, which no limit allows.
        if PROTOCOL.starts_with(prefix) {
            return Ok(Some(Self::Handshake));
        }
        let length = u32::from_be_bytes(*prefix);
        if length == 0 {
            return Ok(Some(Self::KeepAlive));
        }
        let Some((kind, rest)) = rest.split_first() else {
            return Ok(None);
        };
        if *kind != kind::PIECE {
            within(length, limits.message)?;
            return Ok(Some(Self::Message(length as usize)));
        }
        let length = match length.checked_sub(9) {
            Some(length @ 1..) => within(length, limits.block)?,
            _ => return Err(MessageError::malformed("a piece without bytes")),
        };
        let mut place = Body(rest);
        let (Ok(piece), Ok(begin)) = (place.number(), place.number()) else {
            return Ok(None);
        };
        Ok(Some(Self::Piece(Span {
            piece,
            begin,
            length,
        })))
    }

    /// Returns how many of the parsed bytes belong to the head.
    pub fn length(&self) -> usize {
        match self {
            Self::Handshake => 0,
            Self::KeepAlive | Self::Message(_) => PREFIX,
            Self::Piece(_) => PIECE_HEAD,
        }
    }
}

impl Message {
    /// Appends the message with its prefix to `out`. Of a [`Message::Piece`] only the head is
    /// written, and the caller appends the bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; PREFIX]);
        self.encode_body(out);
        let mut length = out.len() - start - PREFIX;
        if let Self::Piece(span) = self {
            length += span.length as usize;
        }
        #[expect(clippy::cast_possible_truncation, reason = "no message is of 4 GiB")]
        out[start..start + PREFIX].copy_from_slice(&(length as u32).to_be_bytes());
    }

    fn encode_body(&self, out: &mut Vec<u8>) {
        match self {
            Self::KeepAlive => {}
            Self::Choke => out.push(kind::CHOKE),
            Self::Unchoke => out.push(kind::UNCHOKE),
            Self::Interested => out.push(kind::INTERESTED),
            Self::NotInterested => out.push(kind::NOT_INTERESTED),
            Self::Have(piece) => numbers(out, kind::HAVE, &[*piece]),
            Self::Bitfield(bits) => {
                out.push(kind::BITFIELD);
                out.extend_from_slice(bits);
            }
            Self::Request(span) => span.encode(kind::REQUEST, out),
            Self::Piece(span) => numbers(out, kind::PIECE, &[span.piece, span.begin]),
            Self::Cancel(span) => span.encode(kind::CANCEL, out),
            Self::Suggest(piece) => numbers(out, kind::SUGGEST, &[*piece]),
            Self::HaveAll => out.push(kind::HAVE_ALL),
            Self::HaveNone => out.push(kind::HAVE_NONE),
            Self::Reject(span) => span.encode(kind::REJECT, out),
            Self::AllowedFast(piece) => numbers(out, kind::ALLOWED_FAST, &[*piece]),
            Self::Extended { number, payload } => {
                out.extend_from_slice(&[kind::EXTENDED, *number]);
                out.extend_from_slice(payload);
            }
            Self::HashRequest(range) => range.encode(kind::HASH_REQUEST, out),
            Self::Hashes(range, hashes) => {
                range.encode(kind::HASHES, out);
                out.extend_from_slice(hashes.as_flattened());
            }
            Self::HashReject(range) => range.encode(kind::HASH_REJECT, out),
        }
    }

    /// Decodes a message that [`Head::Message`] has announced, given without its prefix.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let Some((kind, body)) = bytes.split_first() else {
            return Ok(Self::KeepAlive);
        };
        let mut body = Body(body);
        let message = match *kind {
            kind::CHOKE => Self::Choke,
            kind::UNCHOKE => Self::Unchoke,
            kind::INTERESTED => Self::Interested,
            kind::NOT_INTERESTED => Self::NotInterested,
            kind::HAVE => Self::Have(body.number()?),
            kind::BITFIELD => Self::Bitfield(body.rest().to_vec()),
            kind::REQUEST => Self::Request(body.span()?),
            kind::CANCEL => Self::Cancel(body.span()?),
            kind::SUGGEST => Self::Suggest(body.number()?),
            kind::HAVE_ALL => Self::HaveAll,
            kind::HAVE_NONE => Self::HaveNone,
            kind::REJECT => Self::Reject(body.span()?),
            kind::ALLOWED_FAST => Self::AllowedFast(body.number()?),
            kind::EXTENDED => {
                within(length_of(bytes), LONGEST_EXTENDED)?;
                let [number] = body.array()?;
                let payload = body.rest().to_vec();
                Self::Extended { number, payload }
            }
            kind::HASH_REQUEST => Self::HashRequest(body.range()?),
            kind::HASHES => Self::Hashes(body.range()?, body.hashes()?),
            kind::HASH_REJECT => Self::HashReject(body.range()?),
            kind::PIECE => return Err(MessageError::malformed("a piece where none can be")),
            unknown => return Err(MessageError::Unknown(unknown)),
        };
        match body.0 {
            [] => Ok(message),
            more => Err(MessageError::Malformed(format!(
                "{} bytes too many in a message of type {kind}",
                more.len()
            ))),
        }
    }
}

/// What is wrong with a message; each variant says what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MessageError {
    /// This version does not know the type. Ignore the message; the session stays open.
    #[error("a message of type {0} says what this version does not know")]
    Unknown(u8),
    /// The bytes are not a message. Close the session with this reason.
    #[error("malformed message: {0}")]
    Malformed(String),
    /// The message is too long. Close the session with this reason.
    #[error("a message with {length} bytes is over the limit of {limit}")]
    TooLong {
        /// The message's length in bytes.
        length: u32,
        /// The maximum length in bytes.
        limit: u32,
    },
}

impl MessageError {
    fn malformed(what: &str) -> Self {
        Self::Malformed(what.to_owned())
    }
}

/// The numbers of the message types.
mod kind {
    // BEP 3
    pub const CHOKE: u8 = 0;
    pub const UNCHOKE: u8 = 1;
    pub const INTERESTED: u8 = 2;
    pub const NOT_INTERESTED: u8 = 3;
    pub const HAVE: u8 = 4;
    pub const BITFIELD: u8 = 5;
    pub const REQUEST: u8 = 6;
    pub const PIECE: u8 = 7;
    pub const CANCEL: u8 = 8;
    // BEP 6
    pub const SUGGEST: u8 = 13;
    pub const HAVE_ALL: u8 = 14;
    pub const HAVE_NONE: u8 = 15;
    pub const REJECT: u8 = 16;
    pub const ALLOWED_FAST: u8 = 17;
    // BEP 10
    pub const EXTENDED: u8 = 20;
    // BEP 52
    pub const HASH_REQUEST: u8 = 21;
    pub const HASHES: u8 = 22;
    pub const HASH_REJECT: u8 = 23;
}

/// The length in bytes of an encoded [`HashRange`].
const RANGE: u32 = 48;

impl Span {
    fn encode(self, kind: u8, out: &mut Vec<u8>) {
        numbers(out, kind, &[self.piece, self.begin, self.length]);
    }
}

impl HashRange {
    fn encode(&self, kind: u8, out: &mut Vec<u8>) {
        out.push(kind);
        out.extend_from_slice(self.root.as_bytes());
        for number in [self.base, self.index, self.length, self.proofs] {
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}

fn numbers(out: &mut Vec<u8>, kind: u8, numbers: &[u32]) {
    out.push(kind);
    for number in numbers {
        out.extend_from_slice(&number.to_be_bytes());
    }
}

/// The bytes of a message that have not been decoded yet.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], MessageError> {
        let cut = || MessageError::malformed("cut short");
        let (array, rest) = self.0.split_first_chunk().ok_or_else(cut)?;
        self.0 = rest;
        Ok(*array)
    }

    fn number(&mut self) -> Result<u32, MessageError> {
        self.array().map(u32::from_be_bytes)
    }

    fn span(&mut self) -> Result<Span, MessageError> {
        Ok(Span {
            piece: self.number()?,
            begin: self.number()?,
            length: self.number()?,
        })
    }

    fn range(&mut self) -> Result<HashRange, MessageError> {
        Ok(HashRange {
            root: Root::new(self.array()?),
            base: self.number()?,
            index: self.number()?,
            length: self.number()?,
            proofs: self.number()?,
        })
    }

    fn hashes(&mut self) -> Result<Vec<[u8; 32]>, MessageError> {
        let (hashes, []) = self.rest().as_chunks() else {
            return Err(MessageError::malformed("a part of a hash"));
        };
        if hashes.len() > (MOST_HASHES + MOST_UNCLES) as usize {
            return Err(MessageError::Malformed(format!(
                "{} hashes, at most {MOST_HASHES} and {MOST_UNCLES} uncles are allowed",
                hashes.len()
            )));
        }
        Ok(hashes.to_vec())
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

fn within(length: u32, limit: u32) -> Result<u32, MessageError> {
    if length > limit {
        return Err(MessageError::TooLong { length, limit });
    }
    Ok(length)
}

fn length_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

//! Messages of the peer wire: four bytes of length, one of type, the rest
//! (BEP 3, 6, 10, 52).
//!
//! Reading is in two steps, as suits a reader of a socket. [`Head::parse`]
//! looks at the first bytes and says what follows and how long it is, before
//! any room is made for it; [`Message::decode`] reads one that has arrived as a
//! whole. The bytes of a block never get here: their head is all there is to
//! read.

use thiserror::Error;

use super::handshake::PROTOCOL;
use crate::Root;
use crate::layout::Layout;

/// Bytes of the length in front of a message.
pub const PREFIX: usize = 4;
/// Bytes of a `piece` message in front of the bytes of the file.
pub const PIECE_HEAD: usize = PREFIX + 9;
/// The longest request, in bytes, that every client answers (BEP 3).
pub const ORDINARY_REQUEST: u32 = 16 * 1024;
/// The longest request, in bytes, that members make of one another.
pub const LONGEST_REQUEST: u32 = 1024 * 1024;
/// The longest extended message, in bytes, with its type and number.
pub const LONGEST_EXTENDED: u32 = 16 * 1024;
/// Hashes in one message, at most, without the uncles (BEP 52: "SHOULD NOT be greater than 512").
pub const MOST_HASHES: u32 = 512;
/// Uncles in one message, at most: a tree is never higher than 64.
pub const MOST_UNCLES: u32 = 64;

/// Bytes of a piece as a message names them. Whether there are such bytes is
/// for [`Layout::block`] to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The number of the piece.
    pub piece: u32,
    /// Where in the piece it begins.
    pub begin: u32,
    /// Bytes in it.
    pub length: u32,
}

/// Hashes of a Merkle tree as a message names them (BEP 52). Whether there are
/// such hashes, and what is answered, is for [`merkle`](crate::merkle) to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashRange {
    /// The root of the file.
    pub root: Root,
    /// The layer: 0 is that of the leaves.
    pub base: u32,
    /// The first hash of that layer.
    pub index: u32,
    /// How many hashes: a power of two, of which `index` is a multiple.
    pub length: u32,
    /// Up to how many layers above the base layer the hashes are to be proved,
    /// by one uncle hash each. The first `log2(length) - 1` are counted, but
    /// their uncles are left out: they come out of the hashes themselves.
    pub proofs: u32,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Nothing, to stay connected.
    KeepAlive,
    /// No requests will be answered.
    Choke,
    /// Requests will be answered.
    Unchoke,
    /// There is something to ask for.
    Interested,
    /// There is nothing to ask for.
    NotInterested,
    /// A piece has been verified and can be asked for.
    Have(u32),
    /// Which pieces there are: the high bit of the first byte is piece 0.
    Bitfield(Vec<u8>),
    /// Asks for bytes.
    Request(Span),
    /// Bytes of the file follow. Only the head is here: the bytes never go
    /// through the swarm.
    Piece(Span),
    /// Does not ask for bytes any more.
    Cancel(Span),
    /// A piece that would be good to ask for (BEP 6).
    Suggest(u32),
    /// All pieces are there (BEP 6).
    HaveAll,
    /// No piece is there (BEP 6).
    HaveNone,
    /// These bytes will not come (BEP 6).
    Reject(Span),
    /// A piece that may be asked for even when choked (BEP 6).
    AllowedFast(u32),
    /// An extended message (BEP 10); number 0 is its handshake.
    Extended {
        /// Its number, as the receiver has given it out.
        number: u8,
        /// What it says.
        payload: Vec<u8>,
    },
    /// Asks for hashes (BEP 52).
    HashRequest(HashRange),
    /// The hashes, then the uncles (BEP 52).
    Hashes(HashRange, Vec<[u8; 32]>),
    /// These hashes will not come (BEP 52).
    HashReject(HashRange),
}

/// How long incoming messages may be. It follows from the file that a session
/// is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageLimits {
    /// Bytes in a message that is no `piece`, without its prefix.
    message: u32,
    /// Bytes of the file in a `piece`.
    block: u32,
}

impl MessageLimits {
    /// For a session about a file of this layout, in which this end asks for at
    /// most `request` bytes at once. `None` for a file of too many pieces
    /// ([`MOST_PIECES`](crate::layout::MOST_PIECES)).
    pub fn of(layout: Layout, request: u32) -> Option<Self> {
        let bitfield = layout.pieces()?.div_ceil(8);
        let hashes = RANGE + 32 * (MOST_HASHES + MOST_UNCLES);
        Some(Self {
            message: (1 + hashes.max(bitfield)).max(LONGEST_EXTENDED),
            block: request,
        })
    }
}

/// What the first bytes say of what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// [`Message::KeepAlive`], the whole of it.
    KeepAlive,
    /// The head of [`Message::Piece`]; as many bytes as the span is long follow.
    Piece(Span),
    /// Any other message: this many bytes follow, for [`Message::decode`].
    Message(usize),
    /// No message: the handshake for the next file begins here.
    Handshake,
}

impl Head {
    /// Reads the head of what comes next; `None` if that takes more bytes than
    /// there are. [`PIECE_HEAD`] are always enough.
    pub fn parse(bytes: &[u8], limits: MessageLimits) -> Result<Option<Self>, MessageError> {
        let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        // As a length it would be 323,119,476, which no limit allows.
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

    /// How many bytes of what was parsed are the head.
    pub fn length(&self) -> usize {
        match self {
            Self::Handshake => 0,
            Self::KeepAlive | Self::Message(_) => PREFIX,
            Self::Piece(_) => PIECE_HEAD,
        }
    }
}

impl Message {
    /// Appends the message with its prefix to `out`; of [`Message::Piece`] the
    /// head, which the bytes are to follow.
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

    /// Reads a message that [`Head::Message`] has announced, given without its
    /// prefix.
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

/// What is wrong with a message, sorted by what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MessageError {
    /// Of a type that this version does not know. Pass it over; the session goes on.
    #[error("a message of type {0} says what this version does not know")]
    Unknown(u8),
    /// Not a message. Close the session with this reason.
    #[error("malformed message: {0}")]
    Malformed(String),
    /// Over the limit. Close the session with this reason.
    #[error("a message with {length} bytes is over the limit of {limit}")]
    TooLong {
        /// As announced.
        length: u32,
        /// As allowed.
        limit: u32,
    },
}

impl MessageError {
    fn malformed(what: &str) -> Self {
        Self::Malformed(what.to_owned())
    }
}

/// The types of messages, as they are numbered.
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

/// Bytes in a [`HashRange`].
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

/// What is still to be read of a message.
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

//! Messages of the peer wire: four bytes of length, one of type, the rest.

use crate::Root;

/// Bytes of a piece as a message names them. Whether there are such bytes is
/// for [`Layout::block`](crate::layout::Layout::block) to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The number of the piece.
    pub piece: u32,
    /// Where in the piece it begins.
    pub begin: u32,
    /// Bytes in it.
    pub length: u32,
}

/// Hashes of a Merkle tree as a message names them (BEP 52).
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
    /// How many uncle hashes follow, from below, to prove them: counted in
    /// layers above the base layer, of which the first `log2(length)` come out
    /// of the hashes themselves.
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
    /// Bytes follow. Only the head: the bytes are moved past the machine.
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

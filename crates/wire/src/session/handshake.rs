//! The first 68 bytes, from both sides (BEP 3).
//!
//! ```text
//! 20  the byte 19, and "BitTorrent protocol"
//!  8  reserved: one bit for each extension
//! 20  which file: an info-hash; between members the start of its root
//! 20  who: the peer id; between members the start of the key
//! ```
//!
//! Members do not believe the last 20 bytes: the certificate says who they are.
//! They are there because other programs expect a peer id that differs from
//! their own.

use thiserror::Error;

use crate::{PeerId, Root};

/// Bytes in a handshake.
pub const HANDSHAKE: usize = 68;
/// How a handshake begins, and no other message on a session.
pub const PROTOCOL: [u8; 20] = *b"\x13BitTorrent protocol";

/// The first message on a session, from both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// What the sender understands beyond BEP 3.
    pub extensions: Extensions,
    /// Which file: the info-hash of a torrent, or [`name_of`] a root.
    pub name: [u8; 20],
    /// The peer id.
    pub peer: [u8; 20],
}

/// The reserved bits that mean something here. Others are passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// Extended messages (BEP 10).
    pub extended: bool,
    /// Have all, have none, reject and their kin (BEP 6).
    pub fast: bool,
    /// BitTorrent v2 (BEP 52).
    pub v2: bool,
}

impl Extensions {
    /// All of them: what thorp understands.
    pub const ALL: Self = Self {
        extended: true,
        fast: true,
        v2: true,
    };
}

/// The twenty bytes by which members name a file: the first of its root. They
/// do not say how long it is; that is in the
/// [extension handshake](super::extended::ExtendedHandshake::length).
pub fn name_of(root: &Root) -> [u8; 20] {
    first_twenty(root.as_bytes())
}

impl Handshake {
    /// What a member says to another one about the file with this root.
    pub fn of_member(root: &Root, member: &PeerId) -> Self {
        Self {
            extensions: Extensions::ALL,
            name: name_of(root),
            peer: first_twenty(member.as_bytes()),
        }
    }

    /// As it is sent.
    pub fn encode(&self) -> [u8; HANDSHAKE] {
        let mut bytes = [0; HANDSHAKE];
        bytes[..20].copy_from_slice(&PROTOCOL);
        bytes[20..28].copy_from_slice(&self.extensions.encode());
        bytes[28..48].copy_from_slice(&self.name);
        bytes[48..].copy_from_slice(&self.peer);
        bytes
    }

    /// Reads a whole handshake.
    pub fn decode(bytes: &[u8; HANDSHAKE]) -> Result<Self, NotBitTorrent> {
        let (protocol, rest) = bytes.split_at(PROTOCOL.len());
        if protocol != PROTOCOL {
            return Err(NotBitTorrent);
        }
        let (reserved, rest) = rest.split_at(8);
        let mut handshake = Self {
            extensions: Extensions::decode(reserved[5], reserved[7]),
            name: [0; 20],
            peer: [0; 20],
        };
        handshake.name.copy_from_slice(&rest[..20]);
        handshake.peer.copy_from_slice(&rest[20..]);
        Ok(handshake)
    }
}

/// In the sixth of the eight bytes (BEP 10).
const EXTENDED: u8 = 0x10;
/// In the last one (BEP 6).
const FAST: u8 = 0x04;
/// In the last one: "the 4th most significant bit" (BEP 52).
const V2: u8 = 0x10;

impl Extensions {
    fn encode(self) -> [u8; 8] {
        let bit = |set, bit| if set { bit } else { 0 };
        let sixth = bit(self.extended, EXTENDED);
        let last = bit(self.fast, FAST) | bit(self.v2, V2);
        [0, 0, 0, 0, 0, sixth, 0, last]
    }

    fn decode(sixth: u8, last: u8) -> Self {
        Self {
            extended: sixth & EXTENDED != 0,
            fast: last & FAST != 0,
            v2: last & V2 != 0,
        }
    }
}

fn first_twenty(bytes: &[u8; 32]) -> [u8; 20] {
    let mut first = [0; 20];
    first.copy_from_slice(&bytes[..20]);
    first
}

/// Does not begin as a handshake does. Close the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a BitTorrent handshake: it begins otherwise")]
pub struct NotBitTorrent;

//! The handshake: the first 68 bytes, from both ends (BEP 3).
//!
//! ```text
//! 20  the byte 19 and "BitTorrent protocol"
//!  8  reserved: one bit for each extension
//! 20  the file: an info-hash; between members, the first bytes of its root
//! 20  the sender: its peer id; between members, the first bytes of its key
//! ```
//!
//! Members ignore the last 20 bytes, since the certificate identifies the sender. They are set
//! because other programs expect a peer id that differs from their own.

use thiserror::Error;

use crate::{ClientId, InfoHash, PeerId, Root};

/// The length of a handshake, in bytes.
pub const HANDSHAKE: usize = 68;
/// The first bytes of a handshake, and of no other message on a session.
pub const PROTOCOL: [u8; 20] = *b"\x13BitTorrent protocol";

/// The first message on a session, from both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The extensions of BEP 3 that the sender supports.
    pub extensions: Extensions,
    /// The file: the info-hash of a torrent, or [`name_of`] a root.
    pub name: [u8; 20],
    /// The peer id.
    pub peer: [u8; 20],
}

/// The reserved bits that are understood here. Others are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// Extended messages (BEP 10).
    pub extended: bool,
    /// The messages of the fast extension, such as `have all` and `reject` (BEP 6).
    pub fast: bool,
    /// BitTorrent v2 (BEP 52).
    pub v2: bool,
}

impl Extensions {
    /// All extensions, which thorp supports.
    pub const ALL: Self = Self {
        extended: true,
        fast: true,
        v2: true,
    };
}

/// Returns the twenty bytes by which members name a file: the first bytes of its root. The length
/// of the file is in the [extension handshake](super::extended::ExtendedHandshake::length).
pub fn name_of(root: &Root) -> [u8; 20] {
    first_twenty(root.as_bytes())
}

impl Handshake {
    /// Makes the handshake with which a member asks another for the file with this root.
    pub fn of_member(root: &Root, member: &PeerId) -> Self {
        Self {
            extensions: Extensions::ALL,
            name: name_of(root),
            peer: first_twenty(member.as_bytes()),
        }
    }

    /// Makes the handshake with which a client asks another for this torrent.
    pub fn of_client(torrent: InfoHash, client: ClientId) -> Self {
        Self {
            extensions: Extensions::ALL,
            name: *torrent.as_bytes(),
            peer: *client.as_bytes(),
        }
    }

    /// Encodes the handshake.
    pub fn encode(&self) -> [u8; HANDSHAKE] {
        let mut bytes = [0; HANDSHAKE];
        bytes[..20].copy_from_slice(&PROTOCOL);
        bytes[20..28].copy_from_slice(&self.extensions.encode());
        bytes[28..48].copy_from_slice(&self.name);
        bytes[48..].copy_from_slice(&self.peer);
        bytes
    }

    /// Decodes a handshake.
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

/// The bit in the sixth of the eight reserved bytes (BEP 10).
const EXTENDED: u8 = 0x10;
/// The bit in the last reserved byte (BEP 6).
const FAST: u8 = 0x04;
/// The bit in the last reserved byte: "the 4th most significant bit" (BEP 52).
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

/// The bytes do not begin like a handshake. Close the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a BitTorrent handshake: it begins otherwise")]
pub struct NotBitTorrent;

//! What identifies a torrent and a client among clients of BitTorrent. Members of a group are
//! identified by a [`PeerId`](crate::PeerId), and files by a [`Content`](crate::Content).

use std::fmt;

use data_encoding::HEXLOWER;
use minicbor::{Decode, Encode};

/// The 20 bytes by which trackers and clients name a torrent: the SHA-1 of its info dictionary
/// (BEP 3), or the first 20 bytes of its SHA-256 (BEP 52).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct InfoHash(#[cbor(with = "minicbor::bytes")] [u8; 20]);

impl InfoHash {
    /// The length in bytes.
    pub const LENGTH: usize = 20;

    /// Makes an info-hash of these bytes.
    pub const fn new(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// Truncates the info-hash of a v2 torrent (BEP 52), as announces and handshakes contain it.
    pub fn truncated(whole: &[u8; 32]) -> Self {
        let (first, _) = whole.split_first_chunk().unwrap_or((&[0; 20], &[]));
        Self(*first)
    }

    /// Returns the bytes.
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

impl fmt::Display for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0[..4]))
    }
}

/// The info-hash of a v2 torrent: the SHA-256 of its info dictionary (BEP 52). Among clients it is
/// [truncated](Self::truncated).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHashV2([u8; 32]);

impl InfoHashV2 {
    /// Makes an info-hash of these bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns its first 20 bytes, as announces and handshakes contain them.
    pub fn truncated(&self) -> InfoHash {
        InfoHash::truncated(&self.0)
    }
}

impl fmt::Display for InfoHashV2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for InfoHashV2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0[..4]))
    }
}

/// The 20 bytes by which a client names itself, chosen anew at each of its starts. BEP 3 calls it
/// a peer id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId([u8; 20]);

impl ClientId {
    /// How the ids of this program begin (BEP 20).
    pub const PREFIX: [u8; 8] = *b"-TH0100-";

    /// Makes an id of these bytes.
    pub const fn new(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// Makes an id of this program from random bytes.
    pub fn of_thorp(random: [u8; 12]) -> Self {
        let mut bytes = [0; 20];
        bytes[..8].copy_from_slice(&Self::PREFIX);
        bytes[8..].copy_from_slice(&random);
        Self(bytes)
    }

    /// Returns the bytes.
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

/// Shows the part that names the client's program, escaped.
impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0[..8].escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_v2_info_hash_is_named_by_its_first_twenty_bytes() {
        let mut whole = [7; 32];
        whole[20..].fill(9);
        assert_eq!(InfoHash::truncated(&whole), InfoHash::new([7; 20]));
        assert_eq!(InfoHash::new([0xab; 20]).to_string(), "ab".repeat(20));
    }

    #[test]
    fn our_client_ids_begin_as_bep_20_wants() {
        let id = ClientId::of_thorp([0xff; 12]);
        assert_eq!(&id.as_bytes()[..8], b"-TH0100-");
        assert_eq!(id.as_bytes()[8..], [0xff; 12]);
        assert_eq!(format!("{id:?}"), "-TH0100-");
    }
}

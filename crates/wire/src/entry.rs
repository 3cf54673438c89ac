//! One file on offer.

use minicbor::{Decode, Encode};

use crate::content::{Content, Root};
use crate::info_hash::InfoHash;
use crate::name::Name;

/// One file on offer, as its holder lists it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Entry {
    /// Where it lies in the share.
    #[n(0)]
    pub name: Name,
    /// Bytes in it.
    #[n(1)]
    pub length: u64,
    /// When it was last modified, in seconds since 1970 (UTC).
    #[n(2)]
    pub mtime: i64,
    /// Its Merkle root, once it has been hashed.
    #[n(3)]
    pub root: Option<Root>,
    /// Its holder is still fetching it, has a part of it and serves that. Only
    /// if the root is known.
    #[n(4)]
    #[cbor(default, skip_if = "core::ops::Not::not")]
    pub partial: bool,
    /// Nanoseconds beyond the second of `mtime`, fewer than [`SECOND`].
    #[n(5)]
    #[cbor(default, skip_if = "is_zero")]
    pub nanos: u32,
    /// Its owner may execute it, where it lies.
    #[n(6)]
    #[cbor(default, skip_if = "core::ops::Not::not")]
    pub executable: bool,
    /// The info-hash of its v1 torrent, as members make it (see
    /// [`v1_info`](crate::torrent::build::v1_info)): private, and named by the last part of the
    /// path. Only of a holder that serves its share to BitTorrent clients, once it knows it.
    #[n(7)]
    pub v1: Option<InfoHash>,
}

/// Nanoseconds in a second.
pub const SECOND: u32 = 1_000_000_000;

/// What a file has besides a name and a content. Files that differ in nothing else
/// are the same file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// When it was last modified, in seconds since 1970 (UTC).
    pub mtime: i64,
    /// Nanoseconds beyond that second, fewer than [`SECOND`].
    pub nanos: u32,
    /// Its owner may execute it.
    pub executable: bool,
}

impl Entry {
    /// What there is to it besides its name and what it is.
    pub fn attributes(&self) -> Attributes {
        Attributes {
            mtime: self.mtime,
            nanos: self.nanos,
            executable: self.executable,
        }
    }

    /// What the file is, once that is known.
    pub fn content(&self) -> Option<Content> {
        let root = self.root?;
        Some(Content {
            length: self.length,
            root,
        })
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the encoder passes a reference"
)]
fn is_zero(nanos: &u32) -> bool {
    *nanos == 0
}

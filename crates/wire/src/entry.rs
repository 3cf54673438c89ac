//! One file on offer.

use minicbor::{Decode, Encode};

use crate::content::{Content, Root};
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
}

impl Entry {
    /// What the file is, once that is known.
    pub fn content(&self) -> Option<Content> {
        let root = self.root?;
        Some(Content {
            length: self.length,
            root,
        })
    }
}

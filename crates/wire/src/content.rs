//! What identifies a file's bytes, whatever the file is called.

use std::fmt;

use data_encoding::HEXLOWER;
use minicbor::{Decode, Encode};

/// A file's Merkle root: SHA-256 over 16 KiB leaves (BEP 52, "file tree").
///
/// BEP 52 defines no root for an empty file; here it is 32 zero bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Root(#[cbor(with = "minicbor::bytes")] [u8; 32]);

impl Root {
    /// The root of the empty file.
    pub const EMPTY: Self = Self([0; 32]);

    /// Makes a root of these bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the raw hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether its hexadecimal form starts with `prefix`, in any case. An empty prefix matches
    /// nothing.
    pub fn has_hex_prefix(&self, prefix: &str) -> bool {
        !prefix.is_empty() && self.to_string().starts_with(&prefix.to_ascii_lowercase())
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0[..4]))
    }
}

/// A length and a root. Two files with equal contents are the same file.
///
/// The root alone is not enough: BEP 52 does not distinguish leaves from inner nodes, so a short
/// file can be made that has the root of a long one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(array)]
pub struct Content {
    /// The file's length in bytes.
    #[n(0)]
    pub length: u64,
    /// The file's Merkle root.
    #[n(1)]
    pub root: Root,
}

impl Content {
    /// The empty file, which is never fetched, only created.
    pub const EMPTY: Self = Self {
        length: 0,
        root: Root::EMPTY,
    };
}

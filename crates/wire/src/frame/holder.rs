//! A member that has a file, as answers name it.

use std::net::SocketAddr;

use minicbor::{Decode, Encode};

use super::addresses;
use crate::{MemberName, PeerId};

/// A peer that lists a file.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Holder {
    /// Its key.
    #[n(0)]
    pub id: PeerId,
    /// Its human name, as its certificate has it.
    #[n(1)]
    pub name: Option<MemberName>,
    /// Where to reach it, the best address first.
    #[n(2)]
    #[cbor(with = "addresses")]
    pub addresses: Vec<SocketAddr>,
    /// It has a part of the file only.
    #[n(3)]
    #[cbor(default)]
    pub partial: bool,
}

impl Holder {
    /// The most addresses named for a holder.
    pub const MAX_ADDRESSES: usize = 1 + super::Hello::MAX_CLAIMED;

    /// A member of which no more is known than its key, or no more is needed: there is a link to
    /// it.
    pub fn bare(id: PeerId) -> Self {
        Self {
            id,
            name: None,
            addresses: Vec::new(),
            partial: false,
        }
    }
}

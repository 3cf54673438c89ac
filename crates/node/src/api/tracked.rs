//! Rows of those who are there and of what they have, and what each value comes from.
//!
//! What a row says of others than its own peer or file is found out in
//! [`snapshot`](crate::snapshot).

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use thorp_core::catalogue::{Listing, NamedFile};
use thorp_core::presence::Presence;

use super::rows::{Member, PeerRow};

/// Digits of an id that tell one member from another to a person.
const ID_DIGITS: usize = 8;

/// A peer that is present, or a neighbour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackedPeer {
    /// Who.
    #[serde(flatten)]
    pub member: Member,
    /// Whether another one in this part has the same address.
    pub shares_address: bool,
    /// Files it lists.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// The state of its listing: another one after each change of it.
    pub listing: Option<u64>,
    /// Names of its files in order, the first ones.
    pub names: Vec<String>,
    /// Its neighbours: those that are known here by address, then the others.
    pub neighbours: Vec<MemberRef>,
    /// How many neighbours it has in all.
    pub neighbours_total: u64,
}

/// A file, as several members may list it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackedFile {
    /// Its name.
    pub name: String,
    /// Its number, from 0, among the files of this name.
    pub nth: usize,
    /// Whether another content goes by the same name.
    pub has_twin: bool,
    /// In bytes.
    pub length: u64,
    /// Last modified, in seconds since 1970.
    pub mtime: i64,
    /// Nanoseconds beyond that second.
    #[serde(default)]
    pub mtime_ns: u32,
    /// Its owner may execute it, where it lies.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
    /// 64 hexadecimal digits, once it has been hashed.
    pub root: Option<String>,
    /// Who has all of it: the first ones by address.
    pub holders: Vec<MemberRef>,
    /// How many have all of it.
    pub holders_total: u64,
    /// How many are fetching it and have a part of it.
    pub partial_total: u64,
}

/// A member that a row names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRef {
    /// 52 characters of base32.
    pub id: String,
    /// Its human name, where its address alone does not tell it from another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its address, if it is known here.
    pub address: Option<SocketAddr>,
    /// Whether another one in the part of peers has the same address.
    pub shares_address: bool,
}

/// What a peer's row says beyond the peer.
pub(crate) struct Around {
    /// Whether another one has the same address.
    pub shares_address: bool,
    /// Its neighbours, the first ones.
    pub neighbours: Vec<MemberRef>,
    /// At most so many names of its files.
    pub names: usize,
}

impl TrackedPeer {
    /// What is known of a peer: that it is there, and what it lists.
    pub(crate) fn of(presence: &Presence, listing: Option<&Listing>, around: Around) -> Self {
        let (address, _) = presence.place();
        let first = listing.into_iter().flat_map(Listing::names);
        Self {
            member: Member {
                id: presence.id.to_string(),
                name: presence.name.as_ref().map(ToString::to_string),
                address: address.ip().to_string(),
                port: address.port(),
            },
            shares_address: around.shares_address,
            files: listing.map_or(0, |listing| listing.len() as u64),
            bytes: listing.map_or(0, Listing::bytes),
            listing: presence.position,
            names: first.take(around.names).map(ToString::to_string).collect(),
            neighbours: around.neighbours,
            neighbours_total: listing.map_or(0, |listing| listing.neighbours().len() as u64),
        }
    }

    /// Its address and port.
    pub fn place(&self) -> Option<SocketAddr> {
        let address: IpAddr = self.member.address.parse().ok()?;
        Some(SocketAddr::new(address, self.member.port))
    }
}

impl TrackedFile {
    /// What is known of a file, of which these are named as holders.
    pub(crate) fn of(stop: &NamedFile, holders: Vec<MemberRef>) -> Self {
        let NamedFile { file, wholes, .. } = stop;
        Self {
            name: file.entry.name.to_string(),
            nth: stop.nth,
            has_twin: stop.has_twin,
            length: file.entry.length,
            mtime: file.entry.mtime,
            mtime_ns: file.entry.nanos,
            executable: file.entry.executable,
            root: file.entry.root.map(|root| root.to_string()),
            holders_total: wholes.len() as u64,
            partial_total: (file.holders.len() - wholes.len()) as u64,
            holders,
        }
    }
}

impl From<TrackedPeer> for PeerRow {
    fn from(peer: TrackedPeer) -> Self {
        let called = |of: &MemberRef| match of.address {
            Some(address) => address.ip().to_string(),
            None => of.id.chars().take(ID_DIGITS).collect(),
        };
        Self {
            member: peer.member,
            files: peer.files,
            bytes: peer.bytes,
            neighbours: peer.neighbours.iter().map(called).collect(),
        }
    }
}

//! The rows of peers and of files, and where each value comes from.
//!
//! [`snapshot`](crate::snapshot) finds out what a row says about members other than its own.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use thorp_core::catalogue::{Listing, NamedFile};
use thorp_core::presence::Presence;

use super::rows::{Member, PeerRow};

/// The number of digits of an id that a user needs to tell members apart.
const ID_DIGITS: usize = 8;

/// A present peer, or a neighbour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackedPeer {
    /// The peer.
    #[serde(flatten)]
    pub member: Member,
    /// Whether another peer in this part has the same address.
    pub shares_address: bool,
    /// The number of files that it lists.
    pub files: u64,
    /// The bytes in these files.
    pub bytes: u64,
    /// The state of its listing: a number that changes whenever the listing does.
    pub listing: Option<u64>,
    /// The names of its first files, in order.
    pub names: Vec<String>,
    /// Its neighbours: first those whose address is known here, then the others.
    pub neighbours: Vec<MemberRef>,
    /// The number of all its neighbours.
    pub neighbours_total: u64,
    /// At a peer: how the link to it was when the row was made. A row is not made anew for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<PeerLink>,
}

/// How the link to a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerLink {
    /// The time until an answer, smoothed, in microseconds; `None` until there was one.
    pub rtt_us: Option<u64>,
    /// How long the peer has been silent, in milliseconds.
    pub silent_ms: u64,
}

/// A file that one or several members list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackedFile {
    /// The file's name.
    pub name: String,
    /// Its number, from 0, among the files of this name.
    pub nth: usize,
    /// Whether another content has the same name.
    pub has_twin: bool,
    /// The length in bytes.
    pub length: u64,
    /// The time of the last modification, in seconds since 1970.
    pub mtime: i64,
    /// The nanoseconds beyond that second.
    #[serde(default)]
    pub mtime_ns: u32,
    /// Whether its owner may execute it, on the machine that lists it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
    /// The root, 64 hexadecimal digits, once the file has been hashed.
    pub root: Option<String>,
    /// Members that have all of it, the first ones by address.
    pub holders: Vec<MemberRef>,
    /// The number of members that have all of it.
    pub holders_total: u64,
    /// The number of members that are fetching it and have a part of it.
    pub partial_total: u64,
}

/// A member that a row names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRef {
    /// Its key, 52 characters of base32.
    pub id: String,
    /// Its human name, if its address alone does not distinguish it from another member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its address, if it is known here.
    pub address: Option<SocketAddr>,
    /// Whether another member in the part of peers has the same address.
    pub shares_address: bool,
}

/// What a peer's row says about other members, and how many names it may have.
pub(crate) struct Around {
    /// Whether another peer has the same address.
    pub shares_address: bool,
    /// Its first neighbours.
    pub neighbours: Vec<MemberRef>,
    /// The maximum number of names of its files.
    pub names: usize,
    /// How the link to it is.
    pub link: Option<PeerLink>,
}

impl TrackedPeer {
    /// Makes the row of a peer from its presence and its listing.
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
            link: around.link,
        }
    }

    /// Returns its address and port.
    pub fn place(&self) -> Option<SocketAddr> {
        let address: IpAddr = self.member.address.parse().ok()?;
        Some(SocketAddr::new(address, self.member.port))
    }
}

impl TrackedFile {
    /// Makes the row of a file. `holders` are the members that it names.
    pub(crate) fn of(named: &NamedFile, holders: Vec<MemberRef>) -> Self {
        let NamedFile { file, wholes, .. } = named;
        Self {
            name: file.entry.name.to_string(),
            nth: named.nth,
            has_twin: named.has_twin,
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

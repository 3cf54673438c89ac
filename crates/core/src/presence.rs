//! Who is there: members of the group as the others are told of them.
//!
//! Answers name holders and members by what is here, and need no link for that:
//! a presence says all there is to say of a member. Today each follows from a
//! link of this node ([`links`](crate::links) keeps them in step); a tracker
//! that shares what it knows with others can learn of some elsewhere.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use thorp_wire::frame::Holder;
use thorp_wire::{MemberName, PeerId};

use crate::time::Instant;

/// One member that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Its key.
    pub id: PeerId,
    /// Its human name.
    pub name: Option<MemberName>,
    /// The address it is seen at.
    pub seen_at: IpAddr,
    /// Where it can be reached, the best address first: nowhere, if it does not
    /// listen.
    pub addresses: Vec<SocketAddr>,
    /// Random at each of its starts.
    pub epoch: u64,
    /// The state of its listing that the catalogue has, if it has one.
    pub position: Option<u64>,
    /// Whether it counts as a member that may list files: a visitor does not,
    /// and at a peer only a neighbour does.
    pub is_listed: bool,
    /// It counts as present until then without further news.
    pub until: Instant,
}

/// All members that are there.
#[derive(Debug, Default)]
pub struct Presences {
    all: BTreeMap<PeerId, Presence>,
}

impl Presence {
    /// This member as a holder of files.
    pub fn holder(&self) -> Holder {
        holder(self.id, self.name.clone(), self.addresses.clone())
    }
}

impl Presences {
    /// A member, if it is there.
    pub fn get(&self, id: PeerId) -> Option<&Presence> {
        self.all.get(&id)
    }

    /// Those that may list files, in the order of their ids.
    pub fn listed(&self) -> impl Iterator<Item = &Presence> {
        self.all.values().filter(|presence| presence.is_listed)
    }

    /// How many members are there, whatever they may do.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn insert(&mut self, presence: Presence) {
        self.all.insert(presence.id, presence);
    }

    pub(crate) fn remove(&mut self, id: PeerId) {
        self.all.remove(&id);
    }

    pub(crate) fn get_mut(&mut self, id: PeerId) -> Option<&mut Presence> {
        self.all.get_mut(&id)
    }
}

/// A member as a holder of files: with its best addresses, where it has many.
pub(crate) fn holder(
    id: PeerId,
    name: Option<MemberName>,
    mut addresses: Vec<SocketAddr>,
) -> Holder {
    addresses.truncate(Holder::MAX_ADDRESSES);
    Holder {
        id,
        name,
        addresses,
        partial: false,
    }
}

/// Where a member can be reached that is seen at one address and claims others.
///
/// A member that is seen on loopback is on this machine; for the others it is
/// where it says it is.
pub(crate) fn addresses(
    seen_at: IpAddr,
    port: Option<u16>,
    claimed: &[SocketAddr],
) -> Vec<SocketAddr> {
    let Some(port) = port else {
        return Vec::new();
    };
    let seen = SocketAddr::new(seen_at, port);
    let claimed: Vec<SocketAddr> = claimed
        .iter()
        .map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()))
        .filter(|address| {
            *address != seen && !address.ip().is_loopback() && !address.ip().is_unspecified()
        })
        .collect();
    if seen.ip().is_loopback() && !claimed.is_empty() {
        return claimed;
    }
    std::iter::once(seen).chain(claimed).collect()
}

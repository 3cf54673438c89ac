//! The group's members in swarms: they do not announce, their listings say what they have.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use thorp_wire::InfoHash;
use thorp_wire::announce::Compact;
use thorp_wire::announce::compact::{V4, V6};

/// Stands for a member in a store. Its owner chooses the numbers: low ones, which may be used
/// again once the member has left all swarms.
pub type MemberNumber = u32;

/// That a member has a torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Has {
    pub(super) member: MemberNumber,
    /// Whether an entry from which the torrent follows is whole, if the member lists one.
    pub(super) listed: Option<bool>,
    /// Whether the member names the torrent beside its entries: then it has all of it.
    pub(super) is_named: bool,
}

impl Has {
    pub(super) fn is_whole(self) -> bool {
        self.is_named || self.listed == Some(true)
    }
}

/// Where members are reached, and which torrents of this store they have.
#[derive(Debug, Default)]
pub(super) struct Members(Vec<Place>);

#[derive(Debug, Default)]
struct Place {
    v4: Option<[u8; V4]>,
    v6: Option<[u8; V6]>,
    torrents: BTreeSet<InfoHash>,
}

impl Members {
    /// Sets where a member is reached: the first address of each family counts.
    pub(super) fn set(&mut self, member: MemberNumber, addresses: &[SocketAddr]) {
        let (mut first_v4, mut first_v6) = (None, None);
        for address in addresses {
            match Compact::of(*address) {
                Compact::V4(v4) => first_v4 = first_v4.or(Some(v4)),
                Compact::V6(v6) => first_v6 = first_v6.or(Some(v6)),
            }
        }
        let place = self.place(member);
        (place.v4, place.v6) = (first_v4, first_v6);
    }

    /// Returns the torrents that a member has.
    pub(super) fn torrents_mut(&mut self, member: MemberNumber) -> &mut BTreeSet<InfoHash> {
        &mut self.place(member).torrents
    }

    fn place(&mut self, member: MemberNumber) -> &mut Place {
        let member = member as usize;
        if self.0.len() <= member {
            self.0.resize_with(member + 1, Place::default);
        }
        &mut self.0[member]
    }

    pub(super) fn v4(&self, member: MemberNumber) -> Option<&[u8; V4]> {
        self.0.get(member as usize)?.v4.as_ref()
    }

    pub(super) fn v6(&self, member: MemberNumber) -> Option<&[u8; V6]> {
        self.0.get(member as usize)?.v6.as_ref()
    }

    /// Whether one of these members is reached at this address.
    pub(super) fn is_at(&self, has: &[Has], address: Compact) -> bool {
        has.iter().any(|has| match &address {
            Compact::V4(v4) => self.v4(has.member) == Some(v4),
            Compact::V6(v6) => self.v6(has.member) == Some(v6),
        })
    }
}

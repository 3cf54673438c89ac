//! The machine's values in the words of the interface.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use thorp_core::links;
use thorp_core::peer;
use thorp_group::address::NetAddress;
use thorp_group::authority::NewMember;
use thorp_group::certificate;
use thorp_wire::PeerId;
use thorp_wire::frame::{Holder, MemberRow, Variant};

use crate::api::{self, FileRow, Member, Notice, PeerRow, Warning};

pub(crate) fn member(member: certificate::Certified) -> links::Party {
    links::Party {
        id: member.id,
        name: member.name,
        tracker: member.tracker,
    }
}

pub(crate) fn holder(holder: &Holder) -> Member {
    let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    let address = holder.addresses.first().copied().unwrap_or(nowhere);
    Member {
        id: holder.id.to_string(),
        name: holder.name.as_ref().map(ToString::to_string),
        address: address.ip().to_string(),
        port: address.port(),
    }
}

pub(super) fn file(variant: &Variant) -> FileRow {
    let mut holders: Vec<&Holder> = variant.holders.iter().collect();
    holders.sort_by_key(|holder| holder.addresses.first().copied());
    FileRow {
        name: variant.entry.name.to_string(),
        length: variant.entry.length,
        mtime: variant.entry.mtime,
        mtime_ns: variant.entry.nanos,
        executable: variant.entry.executable,
        root: variant.entry.root.map(|root| root.to_string()),
        holders: holders
            .into_iter()
            .map(|has| api::HolderRow {
                member: holder(has),
                partial: has.partial,
            })
            .collect(),
    }
}

/// Members with their neighbours' addresses, in the order of their own. Of the
/// neighbours, those are known that have a row, and `itself`.
pub(crate) fn peers(mut rows: Vec<MemberRow>, itself: Option<&Holder>) -> Vec<PeerRow> {
    // Addresses at which a peer would reach itself are not taken from other members.
    for row in &mut rows {
        if let Some(itself) = itself.filter(|itself| itself.id == row.member.id)
            && row.member.addresses.is_empty()
        {
            row.member.addresses.clone_from(&itself.addresses);
        }
    }
    rows.sort_by_key(|row| row.member.addresses.first().copied());
    let known = rows.iter().map(|row| &row.member).chain(itself);
    let addresses = known.map(|holder| (holder.id, holder.addresses.first().copied()));
    // Where one has two rows, the first one counts.
    let mut known = BTreeMap::new();
    for (id, address) in addresses {
        known.entry(id).or_insert(address);
    }
    let address = |id: &PeerId| known.get(id).copied().flatten();
    rows.iter()
        .map(|row| {
            let (mut seen, mut unseen) = (Vec::new(), Vec::new());
            for id in &row.neighbours {
                match address(id) {
                    Some(address) => seen.push(address),
                    None => unseen.push(id.short()),
                }
            }
            seen.sort();
            let seen = seen.into_iter().map(|address| address.ip().to_string());
            PeerRow {
                member: holder(&row.member),
                files: row.files,
                bytes: row.bytes,
                neighbours: seen.chain(unseen).collect(),
            }
        })
        .collect()
}

/// A machine that has become a member: it is not known where it listens.
pub(crate) fn new_member(new: &NewMember) -> Member {
    Member {
        id: new.id.to_string(),
        name: new.name.as_ref().map(ToString::to_string),
        address: new.from.to_string(),
        port: 0,
    }
}

pub(crate) fn connecting(tracker: &NetAddress) -> Notice {
    Notice::Connecting {
        address: tracker.host_text(),
        port: tracker.port(),
    }
}

/// What the machine says of a member.
pub(super) fn warning(notice: &peer::Notice) -> Option<Warning> {
    Some(match notice {
        peer::Notice::TrackerUp
        | peer::Notice::TrackerLost(_)
        | peer::Notice::TrackerTrouble(_) => return None,
        peer::Notice::Unlisted(by) => Warning::NotListed { by: holder(by) },
        peer::Notice::ListingTooLarge(who) => Warning::ListsTooMuch {
            member: holder(who),
        },
        peer::Notice::Liar(who) => Warning::Liar {
            member: holder(who),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u8, addresses: &[&str]) -> MemberRow {
        let addresses = addresses.iter().map(|at| at.parse().expect("an address"));
        MemberRow {
            member: Holder {
                id: PeerId::new([id; 32]),
                name: None,
                addresses: addresses.collect(),
                partial: false,
            },
            files: 1,
            bytes: 1,
            neighbours: Vec::new(),
        }
    }

    #[test]
    fn a_peer_shows_its_own_address_among_the_others() {
        let itself = row(1, &["10.0.0.1:3334"]).member;
        let mut neighbour = row(2, &["10.0.0.2:3334"]);
        neighbour.neighbours.push(itself.id);
        let shown = peers(vec![row(1, &[]), neighbour], Some(&itself));
        let addresses: Vec<_> = shown
            .iter()
            .map(|row| (row.member.address.as_str(), row.member.port))
            .collect();
        assert_eq!(addresses, [("10.0.0.1", 3334), ("10.0.0.2", 3334)]);
        assert_eq!(shown[1].neighbours, ["10.0.0.1"]);
    }
}

//! Which members are present, as other members are told.
//!
//! Answers name holders and members from here, without looking at links: a presence has all there
//! is to tell of a member. Today each one comes from a link of this node ([`links`](crate::links)
//! keeps them in step); a tracker that shares its knowledge with others could learn of some
//! elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::ops::Bound;

use thorp_wire::frame::{Hello, Holder};
use thorp_wire::{MemberName, PeerId};

use crate::dialled::{HeardOver, is_link_local, may_be_dialled};

/// A member that is present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Its public key.
    pub id: PeerId,
    /// Its name for people.
    pub name: Option<MemberName>,
    /// The address from which it is connected.
    pub seen_at: IpAddr,
    /// Where it can be reached, the best address first; empty if it does not listen.
    pub addresses: Vec<SocketAddr>,
    /// The state of its listing in the catalogue, if it is there.
    pub position: Option<u64>,
    /// Whether it counts as a member that may list files. A visitor does not, and at a peer only
    /// neighbours do.
    pub is_listed: bool,
    /// Whether it serves its share to ordinary BitTorrent clients.
    pub bittorrent: bool,
}

/// The most claimed addresses of one member that are used: all that a hello has room for. A machine
/// with a LAN, some bridges of containers and a VPN may be reached at the last of them only.
const MOST_BELIEVED: usize = Hello::MAX_CLAIMED;

/// All members that are present.
///
/// Invariant: `places` contains exactly the listed members, each at its place.
#[derive(Debug, Default)]
pub struct Presences {
    all: BTreeMap<PeerId, Presence>,
    places: BTreeSet<Place>,
    /// Listed members that began or ceased to share their address with another one, since they
    /// were last taken.
    regrouped: BTreeSet<PeerId>,
}

/// The position of a member in the order in which members are shown: by address, then by id.
pub type Place = (SocketAddr, PeerId);

impl Presence {
    /// Returns this member as a holder of files.
    pub fn holder(&self) -> Holder {
        holder(self.id, self.name.clone(), self.addresses.clone())
    }

    /// Returns its place: at its best address, or where it connects from if it does not listen.
    pub fn place(&self) -> Place {
        let unreachable = SocketAddr::new(self.seen_at, 0);
        let best = self.addresses.first().copied();
        (best.unwrap_or(unreachable), self.id)
    }
}

impl Presences {
    /// Returns a member, if it is present.
    pub fn get(&self, id: PeerId) -> Option<&Presence> {
        self.all.get(&id)
    }

    /// Returns the members that may list files, in the order of their ids.
    pub fn listed(&self) -> impl Iterator<Item = &Presence> {
        self.listed_behind(None)
    }

    /// Returns those of them with an id greater than this.
    pub fn listed_behind(&self, after: Option<PeerId>) -> impl Iterator<Item = &Presence> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = self.all.range((from, Bound::Unbounded));
        behind
            .map(|(_, presence)| presence)
            .filter(|presence| presence.is_listed)
    }

    /// Returns the members that may list files in the order of their addresses, from this place
    /// on.
    pub fn from_place(&self, from: Option<Place>) -> impl Iterator<Item = &Presence> {
        let from = from.map_or(Bound::Unbounded, Bound::Included);
        let places = self.places.range((from, Bound::Unbounded));
        places.filter_map(|(_, id)| self.all.get(id))
    }

    /// Returns those before a place in descending order; all of them if no place is given.
    pub fn before_place(&self, before: Option<Place>) -> impl Iterator<Item = &Presence> {
        let before = before.map_or(Bound::Unbounded, Bound::Excluded);
        let places = self.places.range((Bound::Unbounded, before)).rev();
        places.filter_map(|(_, id)| self.all.get(id))
    }

    /// Whether more than one of the members that may list files is at this address, on any ports.
    pub fn is_shared(&self, address: IpAddr) -> bool {
        self.at(address).take(2).count() == 2
    }

    /// Returns the number of members that may list files.
    pub fn listed_count(&self) -> usize {
        self.places.len()
    }

    /// Returns the number of members that are present.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn insert(&mut self, presence: Presence) {
        let after = presence.is_listed.then(|| presence.place());
        let was = self.all.insert(presence.id, presence);
        self.on_place(listed_place(was.as_ref()), after);
    }

    pub(crate) fn remove(&mut self, id: PeerId) {
        let was = self.all.remove(&id);
        self.on_place(listed_place(was.as_ref()), None);
    }

    /// Changes a member that is present. Must not change whether it is listed.
    pub(crate) fn change(&mut self, id: PeerId, change: impl FnOnce(&mut Presence)) {
        let Some(presence) = self.all.get_mut(&id) else {
            return;
        };
        let before = listed_place(Some(presence));
        change(presence);
        let after = listed_place(Some(presence));
        self.on_place(before, after);
    }

    /// Takes the listed members that began or ceased to share their address with another one.
    pub(crate) fn take_regrouped(&mut self) -> BTreeSet<PeerId> {
        std::mem::take(&mut self.regrouped)
    }

    /// A listed member has come, moved or gone.
    fn on_place(&mut self, before: Option<Place>, after: Option<Place>) {
        if before == after {
            return;
        }
        if let Some(before) = before {
            self.places.remove(&before);
        }
        if let Some(after) = after {
            self.places.insert(after);
        }
        let address = |place: Option<Place>| place.map(|(at, _)| at.ip());
        if address(before) == address(after) {
            return;
        }
        if let Some((at, _)) = before {
            self.regrouped.extend(self.only_other_at(at.ip(), None));
        }
        if let Some((at, id)) = after {
            self.regrouped.extend(self.only_other_at(at.ip(), Some(id)));
        }
    }

    fn only_other_at(&self, address: IpAddr, than: Option<PeerId>) -> Option<PeerId> {
        let mut others = self.at(address).filter(|id| Some(*id) != than);
        let only = others.next()?;
        others.next().is_none().then_some(only)
    }

    /// Returns the listed members at an address, on any ports.
    fn at(&self, address: IpAddr) -> impl Iterator<Item = PeerId> + '_ {
        let first = (SocketAddr::new(address, 0), PeerId::new([0; 32]));
        let here = self.places.range(first..);
        let here = here.take_while(move |(place, _)| place.ip() == address);
        here.map(|(_, id)| *id)
    }

    /// Asserts the invariant. For tests: it walks over all members.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn check(&self) {
        let places: BTreeSet<Place> = self.listed().map(Presence::place).collect();
        assert_eq!(self.places, places);
    }
}

fn listed_place(presence: Option<&Presence>) -> Option<Place> {
    let listed = presence.filter(|presence| presence.is_listed);
    listed.map(Presence::place)
}

/// Returns a member as a holder of files, with as many of its best addresses as a holder may have.
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

/// Returns those addresses claimed by a member that are worth dialling. Any member can claim any
/// address, and this node must not be used to probe other machines.
///
/// Loopback addresses are accepted only over loopback, since they mean another machine elsewhere;
/// link-local addresses only over a link-local connection, or from a node of this machine, which
/// is on the same links (such as the tracker inside it); this node's own addresses never. A few
/// addresses of each member are enough.
pub(crate) fn believed(
    heard_from: IpAddr,
    own: &[SocketAddr],
    named: &[SocketAddr],
) -> Vec<SocketAddr> {
    let heard_from = heard_from.to_canonical();
    let named = named.iter();
    let canonical = named.map(|at| SocketAddr::new(at.ip().to_canonical(), at.port()));
    let heard = HeardOver::of(heard_from);
    let over_loopback = heard == HeardOver::Loopback;
    let is_believed = |at: &SocketAddr| match at.ip() {
        // Two nodes of one machine may share a port.
        _ if own.contains(at) => over_loopback,
        ip if is_link_local(ip) => at.port() != 0 && (is_link_local(heard_from) || over_loopback),
        _ => may_be_dialled(*at, heard),
    };
    canonical.filter(is_believed).take(MOST_BELIEVED).collect()
}

/// Returns the addresses of a member that is seen at one address and claims others, of which its
/// user has named the first `advertised`: those come first.
///
/// A member that is seen on loopback is on this machine; to other members only the addresses that
/// it claims are of use.
pub(crate) fn addresses(
    seen_at: IpAddr,
    port: Option<u16>,
    claimed: &[SocketAddr],
    advertised: usize,
) -> Vec<SocketAddr> {
    let Some(port) = port else {
        return Vec::new();
    };
    let seen = SocketAddr::new(seen_at, port);
    let usable = |claimed: &[SocketAddr]| -> Vec<SocketAddr> {
        claimed
            .iter()
            .map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()))
            .filter(|address| {
                *address != seen && !address.ip().is_loopback() && !address.ip().is_unspecified()
            })
            .collect()
    };
    let (advertised, others) = claimed.split_at(advertised.min(claimed.len()));
    let (mut addresses, others) = (usable(advertised), usable(others));
    if !seen.ip().is_loopback() || (addresses.is_empty() && others.is_empty()) {
        addresses.push(seen);
    }
    addresses.extend(others);
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presence(id: u8, address: &str) -> Presence {
        let address: SocketAddr = address.parse().expect("an address");
        Presence {
            id: PeerId::new([id; 32]),
            name: None,
            seen_at: address.ip(),
            addresses: vec![address],
            position: None,
            is_listed: true,
            bittorrent: false,
        }
    }

    fn ids<'a>(present: impl Iterator<Item = &'a Presence>) -> Vec<u8> {
        present.map(|presence| presence.id.as_bytes()[0]).collect()
    }

    #[test]
    fn members_are_walked_by_address_from_any_place_either_way() {
        let mut present = Presences::default();
        for (id, address) in [
            (1, "10.0.0.10:5"),
            (2, "10.0.0.9:7"),
            (3, "10.0.0.9:6"),
            (4, "[fd00::7]:1"),
            (5, "[fd00::7]:2"),
            (6, "10.0.0.10:5"),
        ] {
            present.insert(presence(id, address));
        }
        let visitor = Presence {
            is_listed: false,
            ..presence(7, "10.0.0.1:1")
        };
        present.insert(visitor);
        assert_eq!(ids(present.listed()), [1, 2, 3, 4, 5, 6]);
        let behind = |n: u8| ids(present.listed_behind(Some(PeerId::new([n; 32]))));
        assert_eq!((behind(4), behind(6)), (vec![5, 6], vec![]));
        assert_eq!(ids(present.from_place(None)), [3, 2, 1, 6, 4, 5]);
        assert_eq!(ids(present.before_place(None)), [5, 4, 6, 1, 2, 3]);
        let oak = presence(1, "10.0.0.10:5").place();
        assert_eq!(ids(present.from_place(Some(oak))), [1, 6, 4, 5]);
        assert_eq!(ids(present.before_place(Some(oak))), [2, 3]);
        assert_eq!((present.listed_count(), present.count()), (6, 7));
        let is_shared =
            |present: &Presences, ip: &str| present.is_shared(ip.parse().expect("an address"));
        for ip in ["10.0.0.9", "10.0.0.10", "fd00::7"] {
            assert!(is_shared(&present, ip), "{ip}");
        }
        present.change(PeerId::new([2; 32]), |presence| {
            presence.addresses = vec!["10.0.0.1:7".parse().expect("an address")];
        });
        present.check();
        assert_eq!(ids(present.from_place(None)), [2, 3, 1, 6, 4, 5]);
        assert!(!is_shared(&present, "10.0.0.9") && !is_shared(&present, "10.0.0.1"));
        present.remove(PeerId::new([3; 32]));
        present.insert(presence(1, "10.0.0.2:2"));
        present.check();
        assert_eq!(ids(present.from_place(None)), [2, 1, 6, 4, 5]);
    }

    #[test]
    fn claimed_addresses_that_mean_other_machines_there_or_this_node_are_not_dialled() {
        let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let heard = |from: &str, named: &[&str]| -> Vec<String> {
            let named: Vec<SocketAddr> = named.iter().map(|text| at(text)).collect();
            let own = [at("10.0.0.1:3334")];
            let believed = believed(from.parse().expect("an address"), &own, &named);
            believed.iter().map(ToString::to_string).collect()
        };
        let odd = [
            "127.0.0.1:22",
            "[::1]:22",
            "169.254.1.1:80",
            "[fe80::1]:80",
            "0.0.0.0:1",
            "0.1.2.3:1",
            "[::]:1",
            "[::127.0.0.1]:22",
            "[::ffff:127.0.0.1]:22",
            "[ff02::1]:1",
            "224.0.0.1:1",
            "255.255.255.255:1",
            "10.0.0.2:0",
            "10.0.0.1:3334",
            "[::ffff:10.0.0.1]:3334",
            "10.0.0.1:3335",
        ];
        assert_eq!(heard("10.0.0.9", &odd), ["10.0.0.1:3335"]);
        let own = "10.0.0.1:3334";
        let loopback = ["127.0.0.1:22", "[::1]:22", "127.0.0.1:22"];
        let at_home = [&loopback[..], &[own, own, "10.0.0.1:3335"]].concat();
        let (link_local, without) = (&odd[2..4], [&odd[..2], &odd[4..]].concat());
        assert_eq!(heard("127.0.0.1", &without), at_home);
        assert_eq!(heard("127.0.0.1", link_local), link_local, "the same links");
        let on_the_link = ["169.254.1.1:80", "[fe80::1]:80", "10.0.0.1:3335"];
        assert_eq!(heard("fe80::7", &odd), on_the_link);
        let many: Vec<String> = (1..20).map(|n| format!("10.0.1.{n}:1")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(heard("10.0.0.9", &many).len(), MOST_BELIEVED);
    }

    #[test]
    fn what_a_user_advertises_comes_before_where_the_member_is_seen() {
        let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let seen = |from: &str, advertised| -> Vec<String> {
            let claimed = [
                at("203.0.113.5:4000"),
                at("10.0.0.2:3334"),
                at("[fd00::2]:3334"),
            ];
            let from = from.parse().expect("an address");
            let addresses = addresses(from, Some(3334), &claimed, advertised);
            addresses.iter().map(ToString::to_string).collect()
        };
        let [outer, inner, six] = ["203.0.113.5:4000", "10.0.0.2:3334", "[fd00::2]:3334"];
        let nat = "203.0.113.5:3334";
        assert_eq!(seen("203.0.113.5", 1), [outer, nat, inner, six]);
        assert_eq!(seen("203.0.113.5", 0), [nat, outer, inner, six]);
        assert_eq!(seen("10.0.0.2", 1), [outer, inner, six]);
        assert_eq!(seen("10.0.0.2", 0), [inner, outer, six]);
        assert_eq!(seen("127.0.0.1", 1), [outer, inner, six]);
    }

    #[test]
    fn a_member_that_begins_or_ceases_to_share_its_address_is_reported() {
        let mut present = Presences::default();
        let mut regrouped = |change: &dyn Fn(&mut Presences)| {
            change(&mut present);
            let taken = present.take_regrouped().into_iter();
            taken.map(|id| id.as_bytes()[0]).collect::<Vec<_>>()
        };
        let comes = |id, address: &'static str| {
            move |present: &mut Presences| present.insert(presence(id, address))
        };
        let goes = |id| move |present: &mut Presences| present.remove(PeerId::new([id; 32]));
        assert_eq!(regrouped(&comes(1, "10.0.0.1:1")), []);
        assert_eq!(regrouped(&comes(2, "10.0.0.1:2")), [1]);
        assert_eq!(regrouped(&comes(2, "10.0.0.1:3")), [], "another port");
        assert_eq!(regrouped(&comes(3, "10.0.0.1:4")), [], "it was shared");
        assert_eq!(regrouped(&comes(4, "10.0.0.4:1")), []);
        assert_eq!(regrouped(&goes(1)), []);
        assert_eq!(regrouped(&comes(2, "10.0.0.4:2")), [3, 4], "it has moved");
        assert_eq!(regrouped(&goes(4)), [2]);
        let visits = |present: &mut Presences| {
            present.insert(Presence {
                is_listed: false,
                ..presence(5, "10.0.0.4:5")
            });
        };
        assert_eq!(regrouped(&visits), [], "it is not shown");
    }
}

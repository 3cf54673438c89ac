//! What a store is told of the group's members: which of them serve their share to ordinary
//! clients, and which torrents follow from what these list.
//!
//! A file is in up to three torrents: one of v2 that is private, one that is not, and one of v1
//! if its entry says so. The info-hashes of v2 follow from name, length and root. Of other
//! torrents, of folders and of what came from elsewhere, a member says the info-hashes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use thorp_wire::torrent::build::v2_info_hashes;
use thorp_wire::{InfoHash, Name, PeerId};

use super::MemberNumber;
use crate::catalogue::{Catalogue, Watched};
use crate::presence::Presences;

/// A change of what members have, for every store ([`Swarms`](super::Swarms)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// A member is reached here.
    Reached(MemberNumber, Vec<SocketAddr>),
    /// A member lists entries from which a torrent follows: it has it, whole or in part, by this
    /// name.
    Lists(MemberNumber, InfoHash, bool, Name),
    /// A member does not list such an entry any more.
    Unlists(MemberNumber, InfoHash),
    /// A member names a torrent beside its entries: it has it.
    Names(MemberNumber, InfoHash),
    /// A member does not name a torrent any more. It may still have it by its entries.
    Unnames(MemberNumber, InfoHash),
    /// A member has no torrent any more.
    Left(MemberNumber),
}

/// The members that serve ordinary clients, by the numbers that stores know them by.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    numbers: BTreeMap<PeerId, MemberNumber>,
    free: BTreeSet<MemberNumber>,
}

impl Feed {
    /// A member has come, moved or gone.
    pub(crate) fn on_member(
        &mut self,
        id: PeerId,
        present: &Presences,
        catalogue: &mut Catalogue,
    ) -> Option<MemberChange> {
        let serves = present.get(id).filter(|member| member.bittorrent);
        if let Some(member) = serves {
            let next = MemberNumber::try_from(self.numbers.len()).unwrap_or(MemberNumber::MAX);
            let Self { numbers, free } = self;
            let number = numbers
                .entry(id)
                .or_insert_with(|| free.pop_first().unwrap_or(next));
            catalogue.watch(id);
            return Some(MemberChange::Reached(*number, member.addresses.clone()));
        }
        let number = self.numbers.remove(&id)?;
        self.free.insert(number);
        catalogue.unwatch(id);
        Some(MemberChange::Left(number))
    }

    /// Returns what has changed in the listings of these members.
    pub(crate) fn changes(&self, catalogue: &mut Catalogue) -> Vec<MemberChange> {
        let mut changes = Vec::new();
        for change in catalogue.take_watched() {
            match change {
                Watched::Listing {
                    peer,
                    name,
                    content,
                    has,
                    v1,
                } => {
                    let Some(number) = self.numbers.get(&peer) else {
                        continue;
                    };
                    let v2 = v2_info_hashes(&name, content).map(|torrent| (torrent, has));
                    changes.extend(v2.into_iter().chain(v1).map(|(torrent, has)| match has {
                        Some(is_whole) => {
                            MemberChange::Lists(*number, torrent, is_whole, name.clone())
                        }
                        None => MemberChange::Unlists(*number, torrent),
                    }));
                }
                Watched::Torrents { peer, come, gone } => {
                    let Some(number) = self.numbers.get(&peer) else {
                        continue;
                    };
                    let gone = gone.into_iter();
                    changes.extend(gone.map(|gone| MemberChange::Unnames(*number, gone)));
                    let come = come.into_iter();
                    changes.extend(come.map(|come| MemberChange::Names(*number, come)));
                }
                Watched::Forgotten(peer) => {
                    let number = self.numbers.get(&peer);
                    changes.extend(number.map(|number| MemberChange::Left(*number)));
                }
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::collection::vec;
    use proptest::prelude::*;
    use thorp_wire::frame::Update;
    use thorp_wire::{Entry, Root};

    use super::*;
    use crate::catalogue::Applied;
    use crate::presence::Presence;
    use crate::testing::cases;

    fn id(n: u8) -> PeerId {
        PeerId::new([n; 32])
    }

    fn member(n: u8, bittorrent: bool) -> Presence {
        let ip: IpAddr = Ipv4Addr::new(10, 0, 0, n).into();
        Presence {
            id: id(n),
            name: None,
            seen_at: ip,
            addresses: vec![(ip, 3334).into()],
            position: None,
            is_listed: true,
            bittorrent,
        }
    }

    fn entry(name: &str, root: Option<u8>, partial: bool) -> Entry {
        Entry {
            name: name.parse().expect("a name"),
            length: 7,
            mtime: 0,
            root: root.map(|root| Root::new([root; 32])),
            partial: partial && root.is_some(),
            nanos: 0,
            executable: false,
            v1: root.filter(|_| !partial).map(|root| v1_of(name, root)),
        }
    }

    /// Some entries say it.
    fn v1_of(name: &str, root: u8) -> InfoHash {
        let mut bytes = [root; 20];
        bytes[0] = name.as_bytes()[name.len() - 1];
        InfoHash::new(bytes)
    }

    fn update(since: Option<u64>, seq: u64, added: Vec<Entry>, removed: Vec<Name>) -> Update {
        Update {
            since,
            added,
            removed,
            ..Update::heartbeat(seq)
        }
    }

    /// What a store is told, as plainly as it can be said.
    #[derive(Default)]
    struct Told {
        has: BTreeMap<(InfoHash, MemberNumber), (bool, Name)>,
        named: BTreeSet<(InfoHash, MemberNumber)>,
        at: BTreeMap<MemberNumber, Vec<SocketAddr>>,
    }

    impl Told {
        fn take(&mut self, changes: impl IntoIterator<Item = MemberChange>) {
            for change in changes {
                match change {
                    MemberChange::Reached(member, at) => {
                        self.at.insert(member, at);
                    }
                    MemberChange::Lists(member, torrent, is_whole, name) => {
                        self.has.insert((torrent, member), (is_whole, name));
                    }
                    MemberChange::Unlists(member, torrent) => {
                        self.has.remove(&(torrent, member));
                    }
                    MemberChange::Names(member, torrent) => {
                        self.named.insert((torrent, member));
                    }
                    MemberChange::Unnames(member, torrent) => {
                        self.named.remove(&(torrent, member));
                    }
                    MemberChange::Left(left) => {
                        self.has.retain(|(_, member), _| *member != left);
                        self.named.retain(|(_, member)| *member != left);
                    }
                }
            }
        }
    }

    #[test]
    fn a_number_is_given_again_only_once_its_member_has_left() {
        let (mut feed, mut present) = (Feed::default(), Presences::default());
        let mut catalogue = Catalogue::default();
        let mut numbers = Vec::new();
        for n in [1, 2, 3] {
            present.insert(member(n, n != 2));
            numbers.push(feed.on_member(id(n), &present, &mut catalogue));
        }
        let at = |n: u8| vec![SocketAddr::from(([10, 0, 0, n], 3334))];
        let reached = |number, n| Some(MemberChange::Reached(number, at(n)));
        assert_eq!(
            numbers,
            [reached(0, 1), None, reached(1, 3)],
            "one does not serve"
        );
        present.remove(id(1));
        let left = feed.on_member(id(1), &present, &mut catalogue);
        assert_eq!(left, Some(MemberChange::Left(0)));
        assert_eq!(feed.on_member(id(1), &present, &mut catalogue), None);
        present.insert(member(4, true));
        assert_eq!(
            feed.on_member(id(4), &present, &mut catalogue),
            reached(0, 4)
        );
        present.insert(member(5, true));
        assert_eq!(
            feed.on_member(id(5), &present, &mut catalogue),
            reached(2, 5)
        );
    }

    /// A step of the test below.
    #[derive(Clone, Debug)]
    enum Did {
        /// These entries come and these names go.
        Changed(u8, Vec<(usize, Option<u8>, bool)>, Vec<usize>),
        /// All of the listing is another one.
        Relisted(u8, Vec<(usize, Option<u8>, bool)>),
        Forgotten(u8),
        Serves(u8, bool),
        /// These torrents are named beside the entries.
        Named(u8, Vec<u8>),
    }

    /// Some have the same last part.
    const NAMES: [&str; 5] = ["x", "a/x", "b/x", "y", "a/y"];

    fn did() -> impl Strategy<Value = Did> {
        let entries = || vec((0..NAMES.len(), any::<Option<bool>>(), any::<bool>()), 0..4);
        let entries = move || {
            entries().prop_map(|all| {
                let of = |(name, root, partial): (usize, Option<bool>, bool)| {
                    (name, root.map(u8::from), partial)
                };
                all.into_iter().map(of).collect::<Vec<_>>()
            })
        };
        prop_oneof![
            4 => (1..3_u8, entries(), vec(0..NAMES.len(), 0..3))
                .prop_map(|(n, added, removed)| Did::Changed(n, added, removed)),
            1 => (1..3_u8, entries()).prop_map(|(n, added)| Did::Relisted(n, added)),
            1 => (1..3_u8).prop_map(Did::Forgotten),
            1 => (1..3_u8, any::<bool>()).prop_map(|(n, serves)| Did::Serves(n, serves)),
            2 => (1..3_u8, vec(0xf0..0xf4_u8, 0..3)).prop_map(|(n, named)| Did::Named(n, named)),
        ]
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn a_store_knows_what_the_members_that_serve_clients_list(all in vec(did(), 1..60)) {
            let (mut feed, mut present) = (Feed::default(), Presences::default());
            let mut catalogue = Catalogue::default();
            let mut told = Told::default();
            let mut seq = 1;
            for did in all {
                let names = |all: Vec<(usize, Option<u8>, bool)>| -> Vec<Entry> {
                    let of = |(name, root, partial)| entry(NAMES[name], root, partial);
                    all.into_iter().map(of).collect()
                };
                seq += 1;
                match did {
                    Did::Changed(n, added, removed) => {
                        let removed = removed.into_iter().map(|name| NAMES[name].parse().expect("a name"));
                        let since = catalogue.position(id(n)).map(|position| position.seq);
                        let update = update(since, seq, names(added), removed.collect());
                        prop_assert_eq!(catalogue.apply(id(n), 1, update), Applied::Yes);
                    }
                    Did::Relisted(n, added) => {
                        catalogue.apply(id(n), 1, update(None, seq, names(added), vec![]));
                    }
                    Did::Named(n, torrents) => {
                        let torrents = torrents.into_iter().map(|n| match n {
                            // Some are those of entries, too.
                            0xf0 => v1_of("x", 0),
                            0xf1 => v1_of("y", 1),
                            n => InfoHash::new([n; 20]),
                        });
                        let since = catalogue.position(id(n)).map(|position| position.seq);
                        let update = Update {
                            torrents: Some(torrents.collect()),
                            ..update(since, seq, vec![], vec![])
                        };
                        catalogue.apply(id(n), 1, update);
                    }
                    Did::Forgotten(n) => catalogue.forget(id(n)),
                    Did::Serves(n, serves) => {
                        told.take(feed.changes(&mut catalogue));
                        present.insert(member(n, serves));
                        told.take(feed.on_member(id(n), &present, &mut catalogue));
                    }
                }
                // Some of what is being forgotten is still there later.
                catalogue.forget_some(1);
                catalogue.check();
                told.take(feed.changes(&mut catalogue));
                let (mut expected, mut named) = (BTreeMap::new(), BTreeSet::new());
                for (peer, listing) in catalogue.listings() {
                    let Some(number) = feed.numbers.get(&peer) else {
                        continue;
                    };
                    named.extend(listing.torrents().iter().map(|torrent| (*torrent, *number)));
                    for entry in listing.entries() {
                        let Some(content) = entry.content() else {
                            continue;
                        };
                        let v2 = v2_info_hashes(&entry.name, content);
                        for torrent in v2.into_iter().chain(entry.v1) {
                            expected
                                .entry((torrent, *number))
                                .or_insert_with(BTreeSet::new)
                                .insert((!entry.partial, entry.name.base().to_owned()));
                        }
                    }
                }
                let keys: Vec<_> = told.has.keys().copied().collect();
                prop_assert_eq!(&told.named, &named);
                prop_assert_eq!(keys, expected.keys().copied().collect::<Vec<_>>());
                for (torrent, (is_whole, name)) in &told.has {
                    // Under two names, one may be whole and the other not.
                    prop_assert!(expected[torrent].contains(&(*is_whole, name.base().to_owned())));
                }
            }
        }
    }
}

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use proptest::collection::vec;
use proptest::prelude::*;

use thorp_wire::ClientId;

use super::*;
use crate::testing::cases;

const INTERVAL: Duration = Duration::from_mins(20);
const ALL: Wanted = Wanted { v4: 1000, v6: 1000 };
const WIDE: StoreLimits = StoreLimits {
    torrents: 1000,
    peers: 100_000,
    of_one_torrent: 10_000,
    at_one_address: 200,
};

fn policy(is_any: bool) -> Policy {
    Policy {
        is_any,
        interval: INTERVAL,
    }
}

fn open(limits: StoreLimits) -> Swarms {
    Swarms::new(limits, policy(true), 7)
}

fn at(after: Duration) -> Instant {
    Instant::default() + after
}

fn film() -> Name {
    named("films/film.mkv")
}

fn named(name: &str) -> Name {
    name.parse().expect("a name")
}

fn torrent(n: u8) -> InfoHash {
    InfoHash::new([n; 20])
}

/// A client, and what it says.
#[derive(Clone, Copy, Debug)]
struct Client {
    torrent: InfoHash,
    address: SocketAddr,
    id: ClientId,
    key: u32,
    is_seeder: bool,
    /// What it has sent to others.
    uploaded: u64,
    event: AnnounceEvent,
    is_local: bool,
}

impl Client {
    fn says(
        &self,
        swarms: &mut Swarms,
        now: Instant,
        wanted: Wanted,
        handed: &mut Handed,
    ) -> Result<SwarmCounts, NotTracked> {
        let said = Announce {
            torrent: self.torrent,
            client: self.id,
            port: self.address.port(),
            uploaded: self.uploaded,
            downloaded: 0,
            left: if self.is_seeder { 0 } else { 1000 },
            event: self.event,
            wanted: None,
            key: self.key,
        };
        let from = AnnouncedFrom {
            ip: self.address.ip(),
            is_local: self.is_local,
        };
        swarms.announce(now, &said, from, wanted, handed)
    }
}

/// A leecher at this address, which is there.
fn leecher(address: &str) -> Client {
    Client {
        torrent: torrent(1),
        address: address.parse().expect("an address"),
        id: ClientId::new([1; 20]),
        key: 1,
        is_seeder: false,
        uploaded: 0,
        event: AnnounceEvent::None,
        is_local: false,
    }
}

fn seeder(address: &str) -> Client {
    Client {
        is_seeder: true,
        uploaded: 1,
        ..leecher(address)
    }
}

fn stopped(said: Client) -> Client {
    Client {
        event: AnnounceEvent::Stopped,
        ..said
    }
}

/// Announces, and returns who was handed out, in order.
fn say(swarms: &mut Swarms, now: Duration, said: &Client, wanted: Wanted) -> Vec<SocketAddr> {
    let mut handed = Handed::default();
    let _ = said.says(swarms, at(now), wanted, &mut handed);
    swarms.check();
    read(&handed)
}

fn read(handed: &Handed) -> Vec<SocketAddr> {
    let (v4, rest) = handed.v4.as_chunks::<6>();
    let (v6, rest_v6) = handed.v6.as_chunks::<18>();
    assert!(rest.is_empty() && rest_v6.is_empty());
    let v4 = v4.iter().map(|[a, b, c, d, high, low]| {
        let port = u16::from_be_bytes([*high, *low]);
        SocketAddrV4::new(Ipv4Addr::new(*a, *b, *c, *d), port).into()
    });
    let v6 = v6.iter().map(|bytes| {
        let (ip, port) = bytes.split_first_chunk::<16>().expect("18 bytes");
        let port = u16::from_be_bytes([port[0], port[1]]);
        SocketAddrV6::new(Ipv6Addr::from(*ip), port, 0, 0).into()
    });
    let mut all: Vec<SocketAddr> = v4.chain(v6).collect();
    all.sort();
    all
}

fn addresses<const N: usize>(texts: [&str; N]) -> Vec<SocketAddr> {
    let mut all = texts.map(|text| text.parse().expect("an address"));
    all.sort();
    all.to_vec()
}

#[expect(clippy::unnecessary_wraps, reason = "as a scrape says it")]
fn counts(seeders: u32, leechers: u32, downloaded: u32) -> Option<SwarmCounts> {
    Some(SwarmCounts {
        seeders,
        leechers,
        downloaded,
    })
}

#[test]
fn the_busiest_torrents_come_first_and_no_more_than_are_asked_for() {
    let mut swarms = open(WIDE);
    let clients = [3, 1, 5, 4, 1];
    for (number, clients) in (1_u8..).zip(clients) {
        for client in 1..=clients {
            let said = Client {
                torrent: torrent(number),
                is_seeder: client == 1,
                ..leecher(&format!("10.0.0.{client}:1"))
            };
            say(&mut swarms, Duration::ZERO, &said, ALL);
        }
    }
    let busiest = |most| -> Vec<(InfoHash, u32)> {
        let found = swarms.busiest(most).into_iter();
        found.map(|busy| (busy.torrent, busy.peers())).collect()
    };
    let first = [(torrent(3), 5), (torrent(4), 4), (torrent(1), 3)];
    assert_eq!(busiest(3), first);
    assert_eq!(busiest(100)[..3], first);
    assert_eq!(busiest(100).len(), clients.len());
    assert_eq!(busiest(0), []);
}

#[test]
fn a_torrent_goes_by_the_shortest_name_that_members_list_and_by_none_without_them() {
    use MemberChange::{Left, Lists, Names, Unlists};
    let mut swarms = open(WIDE);
    let client = leecher("10.0.0.1:1");
    say(&mut swarms, Duration::ZERO, &client, ALL);
    let name_of = |swarms: &Swarms| swarms.busiest(1)[0].name.clone();
    assert_eq!(name_of(&swarms), None, "a client says no name");
    let first = torrent(1);
    let lists = |member, name| Lists(member, first, true, named(name));
    for (change, name) in [
        (Names(1, first), None),
        (lists(1, "films/a.mkv"), Some("films/a.mkv")),
        (lists(2, "a.mkv"), Some("a.mkv")),
        (lists(3, "old/films/a.mkv"), Some("a.mkv")),
        (Unlists(2, first), Some("a.mkv")),
        (Left(3), Some("a.mkv")),
        (Unlists(1, first), None),
        (lists(3, "old/a.mkv"), Some("old/a.mkv")),
        (Left(3), None),
    ] {
        swarms.on_member(&change);
        swarms.check();
        assert_eq!(name_of(&swarms), name.map(named), "{change:?}");
    }
}

#[test]
fn two_clients_are_told_of_each_other_and_not_of_themselves() {
    let mut swarms = open(WIDE);
    let now = Duration::ZERO;
    assert_eq!(say(&mut swarms, now, &leecher("10.0.0.1:1"), ALL), []);
    let told = say(&mut swarms, now, &leecher("10.0.0.2:1"), ALL);
    assert_eq!(told, addresses(["10.0.0.1:1"]));
    let told = say(&mut swarms, now, &leecher("10.0.0.1:1"), ALL);
    assert_eq!(told, addresses(["10.0.0.2:1"]));
    assert_eq!(swarms.scrape(at(now), &torrent(1)), counts(0, 2, 0));
    assert_eq!(swarms.scrape(at(now), &torrent(2)), None);
}

#[test]
fn a_mapped_address_is_an_ipv4_address_and_families_are_apart() {
    let mut swarms = open(WIDE);
    let now = Duration::ZERO;
    say(&mut swarms, now, &leecher("[::ffff:10.0.0.1]:1"), ALL);
    say(&mut swarms, now, &leecher("10.0.0.1:1"), ALL);
    say(&mut swarms, now, &leecher("[fd00::1]:1"), ALL);
    assert_eq!(swarms.scrape(at(now), &torrent(1)), counts(0, 2, 0));
    let mut handed = Handed::default();
    let wanted = Wanted { v4: 10, v6: 0 };
    let third = leecher("[fd00::3]:1");
    third
        .says(&mut swarms, at(now), wanted, &mut handed)
        .expect("tracked");
    assert_eq!(read(&handed), addresses(["10.0.0.1:1"]));
    assert!(handed.v6.is_empty(), "none were wanted");
}

#[test]
fn a_client_becomes_a_seeder_once_and_counts_once_as_a_download() {
    let mut swarms = open(WIDE);
    let now = Duration::ZERO;
    let completed = Client {
        event: AnnounceEvent::Completed,
        ..seeder("10.0.0.1:1")
    };
    say(&mut swarms, now, &completed, ALL);
    assert_eq!(
        swarms.scrape(at(now), &torrent(1)),
        counts(1, 0, 0),
        "it was never seen to lack anything"
    );
    say(&mut swarms, now, &leecher("10.0.0.1:1"), ALL);
    say(&mut swarms, now, &completed, ALL);
    say(&mut swarms, now, &completed, ALL);
    assert_eq!(swarms.scrape(at(now), &torrent(1)), counts(1, 0, 1));
}

#[test]
fn a_seeder_is_told_of_leechers_only() {
    let mut swarms = open(WIDE);
    let now = Duration::ZERO;
    say(&mut swarms, now, &seeder("10.0.0.1:1"), ALL);
    say(&mut swarms, now, &leecher("10.0.0.2:1"), ALL);
    swarms.members.set(0, &addresses(["10.0.0.9:3334"]));
    swarms.on_member(&MemberChange::Lists(0, torrent(1), true, film()));
    let told = say(&mut swarms, now, &seeder("10.0.0.3:1"), ALL);
    assert_eq!(told, addresses(["10.0.0.2:1"]));
    let told = say(&mut swarms, now, &leecher("10.0.0.4:1"), ALL);
    assert_eq!(told.len(), 4, "{told:?}");
}

#[test]
fn a_client_that_begins_with_a_magnet_link_and_says_that_nothing_is_left_is_told_of_seeders() {
    let mut swarms = open(WIDE);
    let now = Duration::ZERO;
    say(&mut swarms, now, &seeder("10.0.0.1:1"), ALL);
    swarms.members.set(0, &addresses(["10.0.0.9:3334"]));
    swarms.on_member(&MemberChange::Lists(0, torrent(1), true, film()));
    let begins = Client {
        event: AnnounceEvent::Started,
        ..seeder("10.0.0.3:1")
    };
    let told = say(&mut swarms, now, &begins, ALL);
    assert_eq!(told, addresses(["10.0.0.1:1", "10.0.0.9:3334"]));
    // As does one of which the tracker over UDP never hears that it begins: rqbit.
    let silent = Client {
        uploaded: 0,
        ..seeder("10.0.0.4:1")
    };
    for _ in 0..2 {
        let told = say(&mut swarms, now, &silent, ALL);
        assert!(
            told.len() == 3 && told.contains(&begins.address),
            "{told:?}"
        );
    }
    // Later it is a seeder like others.
    say(&mut swarms, now, &leecher("10.0.0.5:1"), ALL);
    let goes_on = seeder("10.0.0.3:1");
    for event in [AnnounceEvent::None, AnnounceEvent::Completed] {
        let told = say(&mut swarms, now, &Client { event, ..goes_on }, ALL);
        assert_eq!(told, addresses(["10.0.0.5:1"]), "{event:?}");
    }
}

#[test]
fn silence_and_a_goodbye_remove_a_peer_and_the_last_one_its_torrent() {
    let mut swarms = open(WIDE);
    let begun = Duration::ZERO;
    say(&mut swarms, begun, &leecher("10.0.0.1:1"), ALL);
    say(&mut swarms, begun, &leecher("10.0.0.2:1"), ALL);
    say(&mut swarms, begun, &stopped(leecher("10.0.0.1:1")), ALL);
    assert_eq!(swarms.scrape(at(begun), &torrent(1)), counts(0, 1, 0));
    let later = INTERVAL * 2;
    assert_eq!(swarms.scrape(at(later), &torrent(1)), counts(0, 1, 0));
    let too_late = later + 3 * TICK;
    swarms.sweep(at(too_late));
    swarms.check();
    assert_eq!(swarms.totals().torrents, 0);
    assert_eq!(swarms.scrape(at(too_late), &torrent(1)), None);
}

#[test]
fn who_shares_an_address_cannot_remove_or_change_the_peer_of_another() {
    let mut swarms = open(WIDE);
    let mine = seeder("10.0.0.1:6881");
    let by_key = Client { key: 2, ..mine };
    let by_id = Client {
        id: ClientId::new([9; 20]),
        ..mine
    };
    say(&mut swarms, Duration::ZERO, &mine, ALL);
    for others in [by_key, by_id] {
        say(&mut swarms, INTERVAL / 2, &stopped(others), ALL);
        let as_leecher = Client {
            is_seeder: false,
            ..others
        };
        say(&mut swarms, INTERVAL / 2, &as_leecher, ALL);
    }
    assert_eq!(
        swarms.scrape(at(INTERVAL / 2), &torrent(1)),
        counts(1, 0, 0)
    );
    // The same user's next run, once the first one has not come back in time.
    let late = INTERVAL + 2 * TICK;
    let next_run = Client {
        is_seeder: false,
        ..by_id
    };
    say(&mut swarms, late, &next_run, ALL);
    assert_eq!(swarms.scrape(at(late), &torrent(1)), counts(0, 1, 0));
    say(&mut swarms, late, &stopped(next_run), ALL);
    assert_eq!(swarms.scrape(at(late), &torrent(1)), None);
}

#[test]
fn only_torrents_of_the_group_are_tracked_unless_any_is() {
    let mut swarms = Swarms::new(WIDE, policy(false), 7);
    let now = Duration::ZERO;
    let mut handed = Handed::default();
    let said = leecher("10.0.0.1:1");
    let answer = said.says(&mut swarms, at(now), ALL, &mut handed);
    assert_eq!(answer, Err(NotTracked));
    swarms
        .members
        .set(3, &addresses(["10.0.0.9:3334", "[fd00::9]:3334"]));
    swarms.on_member(&MemberChange::Lists(3, torrent(1), true, film()));
    let told = say(&mut swarms, now, &said, ALL);
    assert_eq!(told, addresses(["10.0.0.9:3334", "[fd00::9]:3334"]));
    assert_eq!(swarms.scrape(at(now), &torrent(1)), counts(1, 1, 0));
    // The member lists its part only, then nothing; the client is still there.
    swarms.on_member(&MemberChange::Lists(3, torrent(1), false, film()));
    assert_eq!(swarms.scrape(at(now), &torrent(1)), counts(0, 2, 0));
    swarms.on_member(&MemberChange::Unlists(3, torrent(1)));
    assert_eq!(swarms.scrape(at(now), &torrent(1)), counts(0, 1, 0));
    say(&mut swarms, now, &stopped(said), ALL);
    let answer = said.says(&mut swarms, at(now), ALL, &mut handed);
    assert_eq!(answer, Err(NotTracked), "nobody has it any more");
}

#[test]
fn a_member_has_a_torrent_as_long_as_it_lists_an_entry_of_it_or_names_it() {
    use MemberChange::{Lists, Names, Unlists, Unnames};
    let (first, now) = (torrent(1), at(Duration::ZERO));
    for changes in [
        // It names what an entry gives later on, and no more once it has noticed.
        [
            Names(3, first),
            Lists(3, first, true, film()),
            Unnames(3, first),
        ],
        [
            Lists(3, first, true, film()),
            Names(3, first),
            Unlists(3, first),
        ],
        [
            Lists(3, first, false, film()),
            Names(3, first),
            Lists(3, first, false, film()),
        ],
    ] {
        let mut swarms = open(WIDE);
        swarms.members.set(3, &addresses(["10.0.0.9:3334"]));
        for change in &changes {
            swarms.on_member(change);
            swarms.check();
        }
        assert_eq!(swarms.scrape(now, &first), counts(1, 0, 0), "{changes:?}");
        swarms.on_member(&Unlists(3, first));
        swarms.on_member(&Unnames(3, first));
        swarms.check();
        assert_eq!(swarms.scrape(now, &first), None, "{changes:?}");
    }
    let mut swarms = open(WIDE);
    for change in [
        Names(3, first),
        Lists(3, first, true, film()),
        MemberChange::Left(3),
    ] {
        swarms.on_member(&change);
        swarms.check();
    }
    assert_eq!(swarms.scrape(now, &first), None);
}

#[test]
fn a_member_that_announces_as_well_is_there_once() {
    let mut swarms = open(WIDE);
    swarms.members.set(0, &addresses(["10.0.0.9:3334"]));
    swarms.on_member(&MemberChange::Lists(0, torrent(1), true, film()));
    say(&mut swarms, Duration::ZERO, &seeder("10.0.0.9:3334"), ALL);
    assert_eq!(
        swarms.scrape(at(Duration::ZERO), &torrent(1)),
        counts(1, 0, 0)
    );
    // Also where it begins to fetch, and is listed afterwards.
    let none = Wanted::default();
    let mut handed = Handed::default();
    let other = Client {
        torrent: torrent(2),
        ..leecher("10.0.0.9:3334")
    };
    other
        .says(&mut swarms, at(Duration::ZERO), none, &mut handed)
        .expect("tracked");
    swarms.on_member(&MemberChange::Lists(0, torrent(2), false, film()));
    swarms.check();
    assert_eq!(
        swarms.scrape(at(Duration::ZERO), &torrent(2)),
        counts(0, 1, 0)
    );
    // When it has left, nothing of it is there.
    swarms.on_member(&MemberChange::Left(0));
    swarms.check();
    assert_eq!(swarms.totals().torrents, 0);
}

#[test]
fn members_leave_room_in_an_answer_for_others() {
    let mut swarms = open(WIDE);
    for n in 0..100_u8 {
        swarms
            .members
            .set(n.into(), &[SocketAddr::from(([10, 1, 0, n], 3334))]);
        swarms.on_member(&MemberChange::Lists(n.into(), torrent(1), true, film()));
        let other = format!("10.2.0.{n}:1");
        let mut handed = Handed::default();
        let none = Wanted::default();
        leecher(&other)
            .says(&mut swarms, at(Duration::ZERO), none, &mut handed)
            .expect("tracked");
    }
    let wanted = Wanted { v4: 30, v6: 30 };
    let told = say(&mut swarms, Duration::ZERO, &leecher("10.9.0.1:1"), wanted);
    let is_member = |address: &&SocketAddr| address.port() == 3334;
    assert_eq!(told.len(), 30);
    assert_eq!(told.iter().filter(is_member).count(), 15);
}

#[test]
fn every_other_peer_is_handed_out_about_as_often() {
    const PEERS: u16 = 200;
    const ROUNDS: u32 = 4000;
    let mut swarms = open(WIDE);
    let peer = |n: u16| leecher(&format!("10.0.{}.{}:1", n / 200, n % 200));
    let mut handed = Handed::default();
    for n in 0..PEERS {
        let none = Wanted::default();
        peer(n)
            .says(&mut swarms, at(Duration::ZERO), none, &mut handed)
            .expect("tracked");
    }
    let mut often: BTreeMap<SocketAddr, u32> = BTreeMap::new();
    let wanted = Wanted { v4: 20, v6: 0 };
    for _ in 0..ROUNDS {
        handed.v4.clear();
        peer(7)
            .says(&mut swarms, at(Duration::ZERO), wanted, &mut handed)
            .expect("tracked");
        for address in read(&handed) {
            *often.entry(address).or_default() += 1;
        }
    }
    assert_eq!(often.len(), usize::from(PEERS) - 1, "all but the asker");
    let mean = f64::from(ROUNDS) * 20.0 / f64::from(PEERS - 1);
    for (address, often) in often {
        let ratio = f64::from(often) / mean;
        assert!((0.7..1.4).contains(&ratio), "{address}: {often} of {mean}");
    }
}

#[test]
fn one_address_takes_an_eighth_of_what_is_free_and_leaves_something_to_everyone() {
    let limits = StoreLimits {
        torrents: 3000,
        peers: 3000,
        of_one_torrent: 3000,
        at_one_address: 10,
    };
    let mut swarms = open(limits);
    let mut flood = |ip: [u8; 4]| {
        let mut handed = Handed::default();
        for n in 0..100_u8 {
            for port in 1..=20 {
                let said = Client {
                    torrent: torrent(n),
                    address: SocketAddr::from((ip, port)),
                    ..leecher("10.0.0.1:1")
                };
                let _ = said.says(&mut swarms, at(Duration::ZERO), ALL, &mut handed);
            }
        }
        swarms.check();
        u32::try_from(swarms.totals().leechers).expect("few")
    };
    let mut before = 0;
    let mut held = Vec::new();
    for n in 0..40 {
        let after = flood([10, 0, n, 1]);
        held.push(after - before);
        before = after;
    }
    assert_eq!(held[0], 333, "an eighth of the rest");
    assert!(held.is_sorted_by(|one, next| one >= next), "{held:?}");
    assert!(held[39] >= LEAST_SHARE.into(), "{held:?}");
    assert!(before < 3000);
}

#[test]
fn a_torrent_takes_few_peers_of_one_address_and_no_more_than_its_bound() {
    let limits = StoreLimits {
        of_one_torrent: 120,
        at_one_address: 32,
        ..WIDE
    };
    let mut swarms = open(limits);
    let mut handed = Handed::default();
    for port in 1..200 {
        for ip in ["10.0.0.1", "fd00::1", "fd00::2"] {
            let ip: IpAddr = ip.parse().expect("an address");
            let said = Client {
                address: (ip, port).into(),
                ..leecher("10.0.0.1:1")
            };
            said.says(&mut swarms, at(Duration::ZERO), ALL, &mut handed)
                .expect("tracked");
        }
    }
    swarms.check();
    assert_eq!(
        swarms.scrape(at(Duration::ZERO), &torrent(1)),
        counts(0, 64, 0),
        "a /64 is one address"
    );
    for port in 1..=100 {
        let said = Client {
            is_local: true,
            address: ([10, 0, 0, 2], port).into(),
            ..leecher("10.0.0.1:1")
        };
        said.says(&mut swarms, at(Duration::ZERO), ALL, &mut handed)
            .expect("tracked");
    }
    swarms.check();
    assert_eq!(
        swarms.scrape(at(Duration::ZERO), &torrent(1)),
        counts(0, 120, 0),
        "this machine's own users have no bound but the torrent's"
    );
}

#[test]
fn torrents_are_spread_over_stores_as_nobody_can_foresee() {
    let mut by_seed = BTreeSet::new();
    for seed in 0..8 {
        let mut stores = [0; 16];
        let which: Vec<usize> = (0..=255)
            .map(|n| Assignment::new(16, seed).store_of(&torrent(n)))
            .collect();
        for store in &which {
            stores[*store] += 1;
        }
        assert!(stores.iter().all(|n| (4..40).contains(n)), "{stores:?}");
        by_seed.insert(which);
    }
    assert_eq!(by_seed.len(), 8);
}

#[test]
fn a_peer_takes_at_most_60_bytes_of_a_large_tracker() {
    // One of 16 stores that have a million peers in 100,000 torrents.
    const TORRENTS: u32 = 6250;
    for is_v4 in [true, false] {
        let mut swarms = open(StoreLimits::of_tracker(16));
        let mut handed = Handed::default();
        let mut random = fastrand::Rng::with_seed(3);
        for n in 0..10 * TORRENTS {
            let mut info_hash = [0; 20];
            info_hash[..4].copy_from_slice(&(n % TORRENTS).to_be_bytes());
            let ip = if is_v4 {
                IpAddr::V4(Ipv4Addr::from(random.u32(..)))
            } else {
                IpAddr::V6(Ipv6Addr::from(random.u128(..)))
            };
            let said = Client {
                torrent: InfoHash::new(info_hash),
                address: (ip, random.u16(1..)).into(),
                is_seeder: random.bool(),
                uploaded: random.u64(0..2),
                ..leecher("10.0.0.1:1")
            };
            said.says(
                &mut swarms,
                at(Duration::ZERO),
                Wanted::default(),
                &mut handed,
            )
            .expect("tracked");
        }
        assert_eq!(swarms.totals().torrents, u64::from(TORRENTS));
        let peers = swarms.peers as usize;
        assert_eq!(peers, 10 * TORRENTS as usize);
        let rows = swarms.torrents.iter().map(Torrent::bytes);
        let bytes = rows.sum::<usize>()
            + swarms.torrents.capacity() * size_of::<Torrent>()
            + swarms.index.allocation_size()
            + size_of_val(&*swarms.charges);
        let each = bytes.div_ceil(peers);
        println!("{each} bytes a peer, IPv4: {is_v4}");
        assert!(each <= 60, "{each} bytes a peer, IPv4: {is_v4}");
    }
}

/// A step of a model test.
#[derive(Clone, Debug)]
enum Did {
    Announced(Client, Wanted),
    Scraped(u8),
    Listed(u8, u32, Option<bool>),
    Waited(u32),
}

/// Few of each, so that they meet.
fn did() -> impl Strategy<Value = Did> {
    let ip = prop_oneof![
        (0..3_u8).prop_map(|n| IpAddr::from([10, 0, 0, n])),
        (0..3_u16).prop_map(|n| IpAddr::from([0xfd00, 0, 0, n, 0, 0, 0, n])),
        (0..3_u8).prop_map(|n| Ipv4Addr::new(10, 0, 0, n).to_ipv6_mapped().into()),
    ];
    let event = prop_oneof![
        6 => Just(AnnounceEvent::None),
        2 => Just(AnnounceEvent::Completed),
        2 => Just(AnnounceEvent::Stopped),
    ];
    let announced = (
        (0..3_u8, ip, 1..40_u16, 0..2_u8),
        (any::<bool>(), 0..2_u64, event, any::<bool>()),
        (0..60_usize, 0..60_usize),
    );
    let announced = announced.prop_map(|((n, ip, port, client), said, (v4, v6))| {
        let (is_seeder, uploaded, event, is_local) = said;
        let said = Client {
            torrent: torrent(n),
            address: (ip, port).into(),
            id: ClientId::new([client; 20]),
            key: 0,
            is_seeder,
            uploaded,
            event,
            is_local,
        };
        Did::Announced(said, Wanted { v4, v6 })
    });
    let listed = (0..3_u8, 0..3_u32, any::<Option<bool>>());
    prop_oneof![
        20 => announced,
        1 => (0..4_u8).prop_map(Did::Scraped),
        1 => listed.prop_map(|(n, member, has)| Did::Listed(n, member, has)),
        1 => (1..200_u32).prop_map(Did::Waited),
    ]
}

/// The same as a store, as plainly as it can be said.
#[derive(Default)]
struct Model {
    peers: BTreeMap<(InfoHash, SocketAddr), Known>,
    downloaded: BTreeMap<InfoHash, u32>,
    members: BTreeMap<(InfoHash, u32), bool>,
}

struct Known {
    client: ClientId,
    due: u32,
    is_seeder: bool,
}

impl Model {
    const LIFETIME: u32 = 2 * 20 * 60 / 16 + 1;

    fn is_tracked(&self, torrent: InfoHash) -> bool {
        let mut peers = self.peers.keys().map(|(of, _)| of);
        let mut members = self.members.keys().map(|(of, _)| of);
        peers.any(|of| *of == torrent) || members.any(|of| *of == torrent)
    }

    fn announced(&mut self, now: u32, said: &Client) {
        let at = canonical(said.address);
        let is_member = self
            .members
            .keys()
            .any(|(of, member)| *of == said.torrent && member_at(*member).contains(&at));
        let key = (said.torrent, at);
        let Some(known) = self.peers.get_mut(&key) else {
            if said.event != AnnounceEvent::Stopped && !is_member {
                let known = Known {
                    client: said.id,
                    due: now + Self::LIFETIME,
                    is_seeder: said.is_seeder,
                };
                self.peers.insert(key, known);
            }
            return;
        };
        if known.client != said.id && known.due - now > Self::LIFETIME / 2 {
            return;
        }
        if said.event == AnnounceEvent::Stopped {
            self.peers.remove(&key);
            return;
        }
        if !known.is_seeder && said.is_seeder && said.event == AnnounceEvent::Completed {
            *self.downloaded.entry(said.torrent).or_default() += 1;
        }
        *known = Known {
            client: said.id,
            due: now + Self::LIFETIME,
            is_seeder: said.is_seeder,
        };
    }

    fn forget(&mut self, now: u32) {
        self.peers.retain(|_, known| known.due > now);
        let torrents: Vec<InfoHash> = self.downloaded.keys().copied().collect();
        for torrent in torrents {
            if !self.is_tracked(torrent) {
                self.downloaded.remove(&torrent);
            }
        }
    }

    fn counts(&self, torrent: InfoHash) -> SwarmCounts {
        let of = |is_seeder: bool| {
            let peers = self.peers.iter();
            let peers =
                peers.filter(|((of, _), known)| *of == torrent && known.is_seeder == is_seeder);
            let members = self.members.iter();
            let members =
                members.filter(|((of, _), is_whole)| *of == torrent && **is_whole == is_seeder);
            u32::try_from(peers.count() + members.count()).expect("few")
        };
        SwarmCounts {
            seeders: of(true),
            leechers: of(false),
            downloaded: self.downloaded.get(&torrent).copied().unwrap_or(0),
        }
    }

    /// Who may be handed out to this client, of one family.
    fn others(&self, said: &Client, is_v4: bool) -> BTreeSet<SocketAddr> {
        let own = canonical(said.address);
        let begins = match said.event {
            AnnounceEvent::Started => true,
            AnnounceEvent::None => said.uploaded == 0,
            _ => false,
        };
        let wants = |is_seeder: bool| begins || !(said.is_seeder && is_seeder);
        let peers = self.peers.iter();
        let peers = peers
            .filter(|((of, _), known)| *of == said.torrent && wants(known.is_seeder))
            .map(|((_, at), _)| *at);
        let members = self.members.iter();
        let members = members
            .filter(|((of, _), is_whole)| *of == said.torrent && wants(**is_whole))
            .flat_map(|((_, member), _)| member_at(*member));
        peers
            .chain(members)
            .filter(|at| *at != own && at.is_ipv4() == is_v4)
            .collect()
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Where a member is: at addresses that clients announce from as well.
fn member_at(member: u32) -> Vec<SocketAddr> {
    let port = 7;
    match member {
        0 => vec![([10, 0, 0, 1], port).into()],
        1 => vec![([0xfd00, 0, 0, 1, 0, 0, 0, 1], port).into()],
        _ => vec![
            ([10, 0, 0, 2], port).into(),
            ([0xfd00, 0, 0, 2, 0, 0, 0, 2], port).into(),
        ],
    }
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn a_store_is_as_its_model(all in vec(did(), 1..400), is_any: bool, seed: u64) {
        let mut swarms = Swarms::new(WIDE, policy(is_any), seed);
        let mut model = Model::default();
        let mut now = 0;
        for member in 0..3 {
            swarms.members.set(member, &member_at(member));
        }
        for did in all {
            let moment = at(TICK * now);
            match did {
                Did::Announced(said, wanted) => {
                    let mut handed = Handed::default();
                    model.forget(now);
                    let was_tracked = is_any || model.is_tracked(said.torrent);
                    if was_tracked {
                        model.announced(now, &said);
                    }
                    let answer = said.says(&mut swarms, moment, wanted, &mut handed);
                    prop_assert_eq!(answer.is_ok(), was_tracked);
                    if let Ok(counts) = answer {
                        prop_assert_eq!(counts, model.counts(said.torrent));
                    }
                    let told = read(&handed);
                    let apart: BTreeSet<SocketAddr> = told.iter().copied().collect();
                    let is_told = was_tracked && said.event != AnnounceEvent::Stopped;
                    for (is_v4, wanted) in [(true, wanted.v4), (false, wanted.v6)] {
                        let others = model.others(&said, is_v4);
                        let told: BTreeSet<_> =
                            apart.iter().copied().filter(|at| at.is_ipv4() == is_v4).collect();
                        prop_assert!(told.is_subset(&others));
                        let least = if is_told { wanted.min(others.len()) } else { 0 };
                        let given = if is_v4 { handed.v4.len() / 6 } else { handed.v6.len() / 18 };
                        prop_assert!(given <= wanted && given >= least, "{} of {}", given, least);
                    }
                }
                Did::Scraped(n) => {
                    model.forget(now);
                    let tracked = model.is_tracked(torrent(n));
                    let expected = tracked.then(|| model.counts(torrent(n)));
                    prop_assert_eq!(swarms.scrape(moment, &torrent(n)), expected);
                }
                Did::Listed(n, member, has) => {
                    // So that what the sweep has not come to yet is gone here as well.
                    swarms.sweep(moment);
                    model.forget(now);
                    if let Some(is_whole) = has {
                        swarms.on_member(&MemberChange::Lists(member, torrent(n), is_whole, film()));
                        for at in member_at(member) {
                            model.peers.remove(&(torrent(n), at));
                        }
                        model.members.insert((torrent(n), member), is_whole);
                    } else {
                        swarms.on_member(&MemberChange::Unlists(member, torrent(n)));
                        model.members.remove(&(torrent(n), member));
                    }
                }
                Did::Waited(ticks) => now += ticks,
            }
            model.forget(now);
            swarms.check();
        }
        swarms.sweep(at(TICK * (now + 10_000)));
        swarms.check();
        prop_assert_eq!(swarms.peers, 0);
    }

    #[test]
    fn whatever_is_announced_a_store_stays_within_its_limits(
        all in vec(did(), 1..300),
        torrents in 1..4_u32,
        peers in 1..60_u32,
        of_one_torrent in 1..40_u32,
        at_one_address in 1..20_u8,
    ) {
        let limits = StoreLimits { torrents, peers, of_one_torrent, at_one_address };
        let mut swarms = Swarms::new(limits, policy(true), 1);
        let mut now = 0;
        let mut handed = Handed::default();
        for did in all {
            match did {
                Did::Announced(said, wanted) => {
                    let _ = said.says(&mut swarms, at(TICK * now), wanted, &mut handed);
                }
                Did::Waited(ticks) => now += ticks,
                Did::Scraped(_) | Did::Listed(..) => swarms.sweep(at(TICK * now)),
            }
            swarms.check();
            prop_assert!(swarms.totals().torrents <= u64::from(torrents));
        }
    }
}

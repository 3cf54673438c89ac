//! Sources that are slow, silent, lying, or gone.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use proptest::prelude::*;
use thorp_wire::PeerId;
use thorp_wire::frame::Holder;
use thorp_wire::session::{Message, Span};

use super::world::{File, Manner, World};
use crate::bound::Account;
use crate::swarm::{
    Config, Contact, Have, Input, Offer, Output, SessionId, SourceId, Swarm, SwarmLimits,
};
use crate::testing::cases;
use crate::time::Instant;

const MIB: u64 = 1024 * 1024;
/// In bytes a second; 100 Mb/s.
const LINK: u64 = 12_500_000;
const DELAY: Duration = Duration::from_millis(1);

/// Creates a fetcher of a file of this many bytes and its sources. The fetcher is the last node.
fn fetch(length: u64, sources: &[(u64, Manner)]) -> (World, usize) {
    let mut world = World::new(length, DELAY);
    world.careful = true;
    for (rate, manner) in sources {
        world.add(*rate, *manner != Manner::Boasts, *manner);
    }
    let fetcher = world.add(LINK, false, Manner::Honest);
    world.tell_holders(fetcher);
    (world, fetcher)
}

fn seconds(world: &mut World, node: usize, most: u64) -> f64 {
    world.run(Duration::from_secs(most), |world| {
        world.nodes[node].complete.is_some()
    });
    let done = world.nodes[node].complete;
    done.map_or(f64::INFINITY, |micros| micros as f64 / 1e6)
}

#[test]
fn a_holder_that_is_killed_in_mid_fetch_leaves_the_rest_to_the_others() {
    let (mut world, fetcher) = fetch(
        40 * MIB,
        &[(LINK, Manner::Honest), (LINK / 4, Manner::Honest)],
    );
    world.run(Duration::from_secs(1), |_| false);
    world.kill(0);
    assert!(seconds(&mut world, fetcher, 60) < 12.0);
    assert_eq!(world.nodes[fetcher].stuck, []);
}

#[test]
fn a_piece_fetched_from_one_alone_is_not_held_up_by_sources_that_drip() {
    let (mut world, fetcher) = fetch(MIB / 2, &[(LINK, Manner::Conspires); 6]);
    world.run(Duration::from_secs(20), |world| world.suspicion);
    assert!(world.suspicion, "several have sent a piece that is wrong");
    world.run(Duration::from_secs(5), |_| false);
    world.add(LINK, true, Manner::Honest);
    world.tell_holders(fetcher);
    assert!(seconds(&mut world, fetcher, 300) < 120.0);
}

#[test]
fn of_a_file_that_only_clients_of_v1_have_it_is_told_that_nobody_knows_its_hashes() {
    let config = Config {
        content: File::of(8 * MIB).content,
        me: PeerId::new([0; 32]),
        seed: 1,
        have: Have::Nothing,
        limits: SwarmLimits::default(),
    };
    let mut swarm = Swarm::new(Instant::default(), config).expect("it has pieces");
    let client: SocketAddr = "192.0.2.7:6881".parse().expect("an address");
    let session = SessionId(1);
    swarm.handle(Instant::default(), Input::Holders(Vec::new()));
    let opened = Input::Opened {
        session,
        source: SourceId::Client(client),
        account: Account::Address(client.ip()),
        dialled: true,
        offer: Offer {
            fast: true,
            longest_request: 16 * 1024,
            most_requests: None,
            member: false,
            hashes: false,
        },
    };
    swarm.handle(Instant::default(), opened);
    for message in [Message::HaveAll, Message::Unchoke] {
        swarm.handle(Instant::default(), Input::Message { session, message });
    }
    let mut why = Vec::new();
    for millis in (0..20_000).step_by(250) {
        let now = Instant::after_start(Duration::from_millis(millis));
        swarm.handle(now, Input::Tick);
        while let Some(output) = swarm.poll_output() {
            match output {
                Output::Stuck(stuck) => why.push(stuck.reason),
                Output::Send(_, Message::Request(_)) => panic!("what cannot be verified is asked"),
                _ => {}
            }
        }
    }
    assert!(
        matches!(&why[..], [why] if why.contains("its v2 torrent")),
        "{why:?}"
    );
}

/// The swarm of a file that is all there, with two places.
struct Crowded(Swarm);

impl Crowded {
    fn new() -> Self {
        let file = File::of(MIB);
        let config = Config {
            content: file.content,
            me: PeerId::new([0; 32]),
            seed: 1,
            have: Have::Everything { layer: file.layer },
            limits: SwarmLimits {
                sessions: 2,
                ..SwarmLimits::default()
            },
        };
        Self(Swarm::new(Self::at(0), config).unwrap())
    }

    fn at(seconds: u64) -> Instant {
        Instant::after_start(Duration::from_secs(seconds))
    }

    /// Another peer connects. Returns the session that is closed then.
    fn come(&mut self, second: u64, number: u8, account: Account) -> Option<SessionId> {
        let opened = Input::Opened {
            session: SessionId(number.into()),
            source: PeerId::new([number; 32]).into(),
            account,
            dialled: false,
            offer: Offer {
                fast: true,
                longest_request: 16 * 1024,
                most_requests: None,
                member: true,
                hashes: true,
            },
        };
        self.0.handle(Self::at(second), opened);
        let mut closed = None;
        while let Some(output) = self.0.poll_output() {
            if let Output::Close(session, _) = output {
                closed = Some(session);
            }
        }
        closed
    }

    fn say(&mut self, second: u64, session: u64, message: Message) {
        let session = SessionId(session);
        self.0
            .handle(Self::at(second), Input::Message { session, message });
    }
}

const SPAN: Span = Span {
    piece: 0,
    begin: 0,
    length: 16 * 1024,
};

#[test]
fn a_peer_that_wants_bytes_and_asks_for_none_makes_room_for_another() {
    let mut crowded = Crowded::new();
    let come = |crowded: &mut Crowded, second, number| {
        crowded.come(second, number, Account::Member(PeerId::new([number; 32])))
    };
    for number in [1, 2] {
        assert_eq!(come(&mut crowded, 0, number), None);
        crowded.say(0, number.into(), Message::Interested);
    }
    crowded.say(20, 1, Message::Request(SPAN));
    crowded.say(40, 2, Message::KeepAlive);
    assert_eq!(
        come(&mut crowded, 29, 3),
        Some(SessionId(3)),
        "both are new"
    );
    assert_eq!(come(&mut crowded, 41, 4), Some(SessionId(2)));
    assert_eq!(come(&mut crowded, 42, 5), Some(SessionId(5)));
}

#[test]
fn an_account_with_all_places_of_a_file_gives_one_to_an_account_with_none() {
    let mut crowded = Crowded::new();
    let address = |last| Account::Address(Ipv4Addr::new(10, 0, last, 1).into());
    for number in [1, 2] {
        assert_eq!(crowded.come(0, number, address(1)), None);
        crowded.say(0, number.into(), Message::Interested);
        crowded.say(1, number.into(), Message::Request(SPAN));
    }
    assert_eq!(crowded.come(2, 3, address(2)), Some(SessionId(1)));
    assert_eq!(
        crowded.come(2, 4, address(3)),
        Some(SessionId(4)),
        "all have one"
    );
}

#[test]
fn a_fetch_without_holders_is_stuck_and_continues_when_one_returns() {
    let (mut world, fetcher) = fetch(40 * MIB, &[(LINK, Manner::Honest)]);
    world.run(Duration::from_secs(2), |_| false);
    world.kill(0);
    world.run(Duration::from_secs(20), |world| {
        !world.nodes[fetcher].stuck.is_empty()
    });
    assert!(
        (11..=16).contains(&(world.now / 1_000_000)),
        "{}",
        world.now
    );
    assert!(
        world.nodes[fetcher].stuck[0]
            .reason
            .contains("nobody answers there")
    );
    let stuck = &world.nodes[fetcher].stuck[0];
    assert_eq!(stuck.there, world.progress(fetcher).verified);
    assert_eq!(stuck.sources, [world.nodes[0].id.into()]);
    world.restart(0);
    seconds(&mut world, fetcher, 60);
    let progress = world.progress(fetcher);
    assert_eq!(progress.verified, 40 * MIB);
    // Only what was under way when the connection broke may be sent again.
    assert!(progress.received < 43 * MIB, "{}", progress.received);
}

#[test]
fn pieces_that_an_earlier_fetch_left_on_disk_are_not_fetched_again() {
    let (mut world, fetcher) = fetch(40 * MIB, &[(LINK, Manner::Honest)]);
    for number in 0..100 {
        let piece = world.file.layout.piece(number).unwrap();
        let mut leaves = world.file.leaves_of(number);
        if number == 7 {
            leaves[3][0] ^= 1;
        }
        world.input(fetcher, Input::Rechecked { piece, leaves });
    }
    seconds(&mut world, fetcher, 60);
    let left = 99 * u64::from(world.file.layout.piece_length());
    assert_eq!(world.progress(fetcher).received, 40 * MIB - left);
}

#[test]
fn a_source_of_wrong_blocks_is_found_and_dropped_and_no_wrong_byte_is_accepted() {
    let honest = (LINK / 2, Manner::Honest);
    let (mut world, fetcher) = fetch(
        40 * MIB,
        &[honest, (LINK / 2, Manner::WrongLeaves(40)), honest],
    );
    assert!(seconds(&mut world, fetcher, 60) < 10.0);
    let liar = world.nodes[1].id;
    assert_eq!(world.nodes[fetcher].blamed, [liar].into());
    let sources = world.nodes[fetcher].swarm.sources();
    assert_eq!(sources.len(), 2, "its bytes do not count: {sources:?}");
    assert!(
        sources
            .iter()
            .all(|(source, _)| source.member() != Some(liar))
    );
}

#[test]
fn two_peers_that_send_wrong_blocks_of_the_same_pieces_are_both_found() {
    let sources = [
        (LINK / 2, Manner::WrongLeaves(16)),
        (LINK / 9, Manner::Honest),
        (LINK / 2, Manner::WrongLeaves(5)),
    ];
    let (mut world, fetcher) = fetch(20 * MIB, &sources);
    assert!(seconds(&mut world, fetcher, 60) < 20.0);
    let liars = [world.nodes[0].id, world.nodes[2].id];
    assert_eq!(world.nodes[fetcher].blamed, liars.into());
}

#[test]
fn from_a_liar_alone_no_piece_is_accepted() {
    let (mut world, fetcher) = fetch(20 * MIB, &[(LINK, Manner::WrongLeaves(1))]);
    seconds(&mut world, fetcher, 60);
    assert_eq!(world.nodes[fetcher].complete, None);
    assert_eq!(world.progress(fetcher).verified, 0);
    let [stuck] = &world.nodes[fetcher].stuck[..] else {
        panic!("{:?}", world.nodes[fetcher].stuck);
    };
    assert_eq!((stuck.there, stuck.contact), (0, Contact::Session));
    assert_eq!(stuck.sources, []);
}

#[test]
fn a_source_whose_file_has_changed_is_left_and_not_called_a_liar() {
    let changed = (LINK, Manner::Changed(40));
    let (mut world, fetcher) = fetch(40 * MIB, &[changed, (LINK / 2, Manner::Honest)]);
    assert!(seconds(&mut world, fetcher, 60) < 20.0);
    assert_eq!(world.nodes[fetcher].blamed, [].into());
    assert!(world.nodes[fetcher].complete.is_some());
    // Alone it makes no file, and that is said before all the rest has come.
    let (mut world, fetcher) = fetch(40 * MIB, &[changed]);
    seconds(&mut world, fetcher, 10);
    assert_eq!(world.nodes[fetcher].blamed, [].into());
    let stuck = world.nodes[fetcher].stuck.first().expect("is stuck");
    assert_eq!(stuck.changed, Some(world.nodes[0].id.into()));
    assert!(world.progress(fetcher).received < 20 * MIB);
}

#[test]
fn where_one_source_has_changed_another_holder_that_does_not_answer_yet_is_waited_for() {
    let sources = [(LINK, Manner::Changed(40)), (LINK, Manner::Honest)];
    let (mut world, fetcher) = fetch(40 * MIB, &sources);
    world.kill(1);
    world.run(Duration::from_secs(6), |_| false);
    assert_eq!(world.nodes[fetcher].stuck, []);
    world.restart(1);
    seconds(&mut world, fetcher, 60);
    assert!(world.nodes[fetcher].complete.is_some());
    assert_eq!(world.nodes[fetcher].stuck, []);
    // One that never answers is not waited for long.
    let (mut world, fetcher) = fetch(40 * MIB, &sources);
    world.kill(1);
    seconds(&mut world, fetcher, 20);
    let stuck = world.nodes[fetcher].stuck.first().expect("is stuck");
    assert_eq!(stuck.changed, Some(world.nodes[0].id.into()));
}

#[test]
fn what_others_sent_of_a_piece_is_kept_where_one_of_its_sources_has_changed() {
    // Each piece comes from two: whichever leaf is wrong, the other's are not fetched again.
    // (The world checks after every input that no piece without a wrong leaf is in doubt.)
    for one_in in [3, 10, 40] {
        let sources = [
            (LINK / 4, Manner::Changed(one_in)),
            (LINK / 4, Manner::Changed(one_in)),
            (LINK / 4, Manner::Honest),
        ];
        let (mut world, fetcher) = fetch(20 * MIB, &sources);
        seconds(&mut world, fetcher, 60);
        assert_eq!(world.nodes[fetcher].blamed, [].into());
        assert!(world.nodes[fetcher].complete.is_some());
    }
}

#[test]
fn one_that_cannot_prove_what_it_sent_and_sends_wrong_leaves_again_is_found_to_lie() {
    let (mut world, fetcher) = fetch(20 * MIB, &[(LINK, Manner::Denies(40))]);
    seconds(&mut world, fetcher, 60);
    assert_eq!(world.nodes[fetcher].blamed, [world.nodes[0].id].into());
    let stuck = world.nodes[fetcher].stuck.last().expect("is stuck");
    assert_eq!((stuck.changed, &stuck.sources[..]), (None, &[][..]));
}

#[test]
fn a_source_of_wrong_hashes_is_dropped_and_the_next_one_is_asked() {
    let mut world = World::new(20 * MIB, DELAY);
    world.careful = true;
    let liar = world.add(LINK, true, Manner::WrongHashes);
    let fetcher = world.add(LINK, false, Manner::Honest);
    // The liar is known first, and so it is asked first.
    world.tell_holders(fetcher);
    world.add(LINK, true, Manner::Honest);
    assert!(seconds(&mut world, fetcher, 60) < 10.0);
    assert_eq!(world.nodes[fetcher].blamed, [world.nodes[liar].id].into());
    let (mut world, fetcher) = fetch(20 * MIB, &[(LINK, Manner::WrongHashes)]);
    seconds(&mut world, fetcher, 60);
    assert_eq!(world.nodes[fetcher].blamed, [world.nodes[0].id].into());
    assert_eq!(world.nodes[fetcher].stuck.len(), 1);
}

#[test]
fn a_silent_or_idle_source_is_not_waited_for() {
    for manner in [Manner::Mute, Manner::Idle, Manner::Boasts, Manner::Refuses] {
        let (mut world, fetcher) = fetch(40 * MIB, &[(LINK, manner), (LINK, Manner::Honest)]);
        let took = seconds(&mut world, fetcher, 60);
        assert!(took < 10.5, "{took} s beside one who is {manner:?}");
        let (mut world, fetcher) = fetch(40 * MIB, &[(LINK, manner)]);
        seconds(&mut world, fetcher, 90);
        assert!(world.nodes[fetcher].blamed.is_empty());
        assert_eq!(
            world.nodes[fetcher].stuck.len(),
            1,
            "with one who is {manner:?}"
        );
    }
}

#[test]
fn holders_that_do_not_say_the_hashes_are_not_waited_for_one_after_another() {
    let mut sources = vec![(LINK, Manner::Promises); 3];
    sources.push((LINK, Manner::Honest));
    let (mut world, fetcher) = fetch(MIB, &sources);
    let took = seconds(&mut world, fetcher, 60);
    assert!(took < 0.5, "{took} s");
}

#[test]
fn a_source_at_ten_bytes_a_second_is_not_waited_for() {
    let (mut world, fetcher) = fetch(40 * MIB, &[(10, Manner::Honest), (LINK, Manner::Honest)]);
    let took = seconds(&mut world, fetcher, 60);
    assert!(took < 4.5, "{took} s");
}

#[test]
fn what_a_slow_source_owes_comes_from_one_that_accepts_only_short_requests() {
    let mut world = World::new(2 * MIB, DELAY);
    world.add(20_000, true, Manner::Honest);
    let quick = world.add(LINK, true, Manner::Honest);
    world.nodes[quick].plain = true;
    let fetcher = world.add(LINK, false, Manner::Honest);
    world.tell_holders(fetcher);
    let took = seconds(&mut world, fetcher, 60);
    assert!(took < 1.5, "{took} s");
}

#[test]
fn three_holders_give_three_times_as_much() {
    let third = (LINK / 3, Manner::Honest);
    let (mut world, fetcher) = fetch(40 * MIB, &[third, third, third]);
    let took = seconds(&mut world, fetcher, 60);
    assert!(took < 3.7, "{took} s");
}

#[test]
fn every_length_around_a_boundary_is_fetched_to_the_last_byte() {
    let piece = 256 * 1024;
    for length in [
        1,
        16 * 1024,
        16 * 1024 + 1,
        piece - 1,
        piece,
        piece + 1,
        2 * piece,
        5 * MIB + 1,
    ] {
        let honest = (LINK, Manner::Honest);
        let (mut world, fetcher) = fetch(length, &[honest, honest, honest]);
        seconds(&mut world, fetcher, 60);
        assert_eq!(world.progress(fetcher).verified, length);
    }
}

#[test]
fn when_more_peers_want_bytes_than_are_served_all_get_their_turn() {
    let mut world = World::new(20 * MIB, DELAY);
    let limits = SwarmLimits {
        uploads: 2,
        ..SwarmLimits::default()
    };
    world.add_limited(LINK, true, Manner::Honest, limits);
    for _ in 0..6 {
        let node = world.add_limited(LINK, false, Manner::Honest, limits);
        world.tell_holders(node);
    }
    world.run(Duration::from_mins(5), |world| {
        world.nodes[1..].iter().all(|node| node.complete.is_some())
    });
    assert!(world.nodes[1..].iter().all(|node| node.complete.is_some()));
    assert!(world.nodes[1..].iter().all(|node| node.stuck.is_empty()));
}

#[test]
fn a_holder_that_refuses_the_last_pieces_leaves_the_fetch_stuck_and_not_waiting_for_ever() {
    let (mut world, fetcher) = fetch(MIB, &[(LINK, Manner::Refuses)]);
    seconds(&mut world, fetcher, 20);
    assert_eq!(world.nodes[fetcher].stuck.len(), 1);
}

#[test]
fn two_peers_that_dial_each_other_at_once_keep_one_connection() {
    let (mut world, fetcher) = fetch(20 * MIB, &[]);
    let other = world.add(LINK, false, Manner::Honest);
    let holder = |world: &World, node: usize| Holder {
        id: world.nodes[node].id,
        name: None,
        addresses: Vec::new(),
        partial: true,
    };
    let holders = [holder(&world, fetcher), holder(&world, other)].to_vec();
    for node in [fetcher, other] {
        world.input(node, Input::Holders(holders.clone()));
    }
    world.run(Duration::from_millis(500), |_| false);
    assert_eq!(world.links_between(fetcher, other), (1, 1));
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn one_honest_source_is_enough_whatever_the_other_sources_do(seed: u64) {
        one_of_many_worlds(seed);
    }
}

/// Plays one honest holder, one fetcher, and other nodes of any kind, some of which leave.
fn one_of_many_worlds(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let length = rng.u64(1..6 * MIB);
    let mut world = World::new(length, Duration::from_millis(rng.u64(1..60)));
    world.careful = true;
    let honest = world.add(rng.u64(200_000..LINK), true, Manner::Honest);
    let mut leavers = Vec::new();
    for _ in 0..rng.usize(0..6) {
        let manner = match rng.u32(0..10) {
            0 => Manner::Mute,
            1 => Manner::Idle,
            2 => Manner::WrongLeaves(rng.u32(1..30)),
            3 => Manner::WrongHashes,
            4 => Manner::Boasts,
            5 => Manner::Refuses,
            6 => Manner::Promises,
            _ => Manner::Honest,
        };
        let whole = manner != Manner::Boasts && rng.bool();
        let rate = if rng.u32(0..4) == 0 {
            10
        } else {
            rng.u64(50_000..LINK)
        };
        let node = world.add(rate, whole, manner);
        world.nodes[node].plain = rng.u32(0..4) == 0;
        if rng.u32(0..3) == 0 {
            leavers.push(node);
        }
    }
    let fetcher = world.add(LINK, false, Manner::Honest);
    for node in 0..world.nodes.len() {
        if node != honest && world.nodes[node].manner == Manner::Honest {
            world.tell_holders(node);
        }
    }
    for node in leavers {
        world.run(Duration::from_millis(rng.u64(0..3000)), |_| false);
        world.kill(node);
    }
    let took = seconds(&mut world, fetcher, 600);
    assert!(took < 200.0, "seed {seed}: {took} s for {length} bytes");
    for node in &world.nodes {
        let unnamed: Vec<_> = node.lied_to_by.difference(&node.blamed).collect();
        assert!(
            unnamed.is_empty(),
            "seed {seed}: {unnamed:?} were not blamed"
        );
    }
    let liars = &world.nodes[fetcher].blamed;
    let wrong = world.nodes.iter().filter(|node| liars.contains(&node.id));
    for node in wrong {
        let lies = matches!(node.manner, Manner::WrongLeaves(_) | Manner::WrongHashes);
        assert!(lies, "seed {seed}: an honest one was blamed");
    }
}

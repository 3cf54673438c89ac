//! Torrents in virtual time, from clients that are slow, lie or leave.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use thorp_wire::layout::Piece;
use thorp_wire::session::{HashRange, Message, Span};
use thorp_wire::torrent::{Info, PieceHasher, PieceProofs, PieceSpace};
use thorp_wire::{Content, PeerId, Root};

use crate::bound::Account;
use crate::swarm::{
    Config, Have, Input, NamedSource, Offer, Output, SessionId, SourceId, Stuck, Swarm,
    SwarmLimits, TorrentConfig,
};
use crate::time::Instant;

/// A fetch is given up by a test after this long.
const LATE: Duration = Duration::from_hours(1);

/// A client that has all of the torrent.
#[derive(Clone, Copy, Debug)]
struct Client {
    /// How long it takes to send a block.
    pace: Duration,
    /// One in this many of its blocks is wrong.
    lies: Option<u32>,
    /// After so many blocks it is there no more.
    leaves: Option<u32>,
    /// It hangs up as soon as all of a piece is written.
    hangs_up: bool,
    /// How long it lets this peer wait before it sends anything.
    lets_wait: Duration,
    /// How many requests it accepts, as it says at first and then again with each block: one of
    /// these and the other in turn.
    accepts: [u32; 2],
}

const GOOD: Client = Client {
    pace: Duration::from_millis(5),
    lies: None,
    leaves: None,
    hangs_up: false,
    lets_wait: Duration::ZERO,
    accepts: [250, 250],
};

struct World {
    now: Instant,
    swarm: Swarm,
    space: Arc<PieceSpace>,
    proofs: PieceProofs,
    right: Vec<u8>,
    disk: Vec<u8>,
    clients: Vec<Client>,
    /// How many blocks each has sent, and until when the last of them takes.
    sent: Vec<(u32, Instant)>,
    events: BTreeMap<(Instant, u64), Event>,
    number: u64,
    asked: Vec<Span>,
    /// What the swarm has said of each piece to the first client.
    told: Vec<Message>,
    to_come: Option<u64>,
    blamed: BTreeSet<SourceId>,
    /// Each time that clients were wanted of trackers: whether there were no sources.
    wants_clients: Vec<bool>,
    stuck: Option<Stuck>,
    /// Whether this peer has closed a session.
    is_closed: bool,
    complete: bool,
    /// Whether a piece is being hashed that was not when a block last came.
    is_hashing: bool,
}

#[derive(Clone, Copy)]
enum Event {
    Open(usize),
    Unchoke(usize),
    Block(usize, Span),
    Hash(Piece),
}

impl Event {
    /// Whether it is that this client sends something.
    fn is_of(self, of: usize) -> bool {
        matches!(self, Self::Unchoke(client) | Self::Block(client, _) if client == of)
    }
}

impl World {
    /// Files of these lengths, those that pad with a negative one. All with even numbers are
    /// wanted, or all.
    fn new(piece_length: u32, lengths: &[i64], only_even: bool, clients: &[Client]) -> Self {
        let mut right = Vec::new();
        let mut files = Vec::new();
        for (at, length) in lengths.iter().enumerate() {
            let attr = if *length < 0 { "4:attr1:p" } else { "" };
            let bytes = usize::try_from(length.unsigned_abs()).expect("is short");
            let some = (0..=250u8).cycle().skip(at * 7).take(bytes);
            right.extend(some.map(|byte| if *length < 0 { 0 } else { byte }));
            files.extend(format!("d{attr}6:lengthi{bytes}e4:pathl4:f{at:03}ee").into_bytes());
        }
        let mut hasher = PieceHasher::new(piece_length);
        hasher.update(&right);
        let pieces = hasher.finish();
        let mut raw = [b"d5:filesl", &files[..], b"e4:name1:n12:piece length"].concat();
        raw.extend(format!("i{piece_length}e6:pieces{}:", pieces.len() * 20).into_bytes());
        raw.extend(pieces.as_flattened());
        raw.push(b'e');
        let info = Info::decode(&raw).expect("a torrent");
        let space = Arc::new(PieceSpace::of(&info).expect("fits"));
        let proofs = PieceProofs::of(&info, |_| None).expect("is of v1");
        let now = Instant::after_start(Duration::ZERO);
        let files = (0..lengths.len()).filter(|file| !only_even || file % 2 == 0);
        let config = TorrentConfig {
            space: Arc::clone(&space),
            files: files.collect(),
            me: PeerId::new([1; 32]),
            seed: 7,
            limits: SwarmLimits::default(),
        };
        Self {
            now,
            swarm: Swarm::of_torrent(now, config).expect("fits"),
            space,
            proofs,
            disk: vec![0; right.len()],
            right,
            clients: clients.to_vec(),
            sent: vec![(0, now); clients.len()],
            events: BTreeMap::new(),
            number: 0,
            asked: Vec::new(),
            told: Vec::new(),
            to_come: None,
            blamed: BTreeSet::new(),
            wants_clients: Vec::new(),
            stuck: None,
            is_closed: false,
            complete: false,
            is_hashing: false,
        }
    }

    /// Plays until all of it is there, or the swarm is stuck.
    fn play(&mut self) {
        let clients = (0..self.clients.len()).map(address).collect();
        self.input(Input::Clients(clients));
        while !self.complete && self.stuck.is_none() {
            assert!(self.now < Instant::after_start(LATE), "takes for ever");
            let next = self.events.keys().next().map(|(at, _)| *at);
            let deadline = self.swarm.next_deadline();
            let tick = deadline.filter(|at| next.is_none_or(|next| *at < next));
            if let Some(at) = tick {
                self.now = self.now.max(at);
                self.input(Input::Tick);
                continue;
            }
            let ((at, _), event) = self.events.pop_first().expect("something is to come");
            self.now = self.now.max(at);
            self.happens(event);
        }
    }

    /// Lets so much time go by, in which no client does anything.
    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.swarm.next_deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.input(Input::Tick);
        }
        self.now = until;
    }

    fn later(&mut self, at: Instant, event: Event) {
        self.number += 1;
        self.events.insert((at, self.number), event);
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Open(client) => {
                let session = SessionId(client as u64);
                self.input(opening(client, session));
                self.says_how_many(client, 0);
                let message = Message::HaveAll;
                self.input(Input::Message { session, message });
                let wait = self.clients[client].lets_wait;
                if wait.is_zero() {
                    self.happens(Event::Unchoke(client));
                } else {
                    self.later(self.now + wait, Event::Unchoke(client));
                }
            }
            Event::Unchoke(client) => {
                let session = SessionId(client as u64);
                let message = Message::Unchoke;
                self.input(Input::Message { session, message });
            }
            Event::Block(client, span) => self.block(client, span),
            Event::Hash(piece) => {
                let is_right = self.is_right(piece);
                self.input(Input::PieceHashed { piece, is_right });
            }
        }
    }

    fn says_how_many(&mut self, client: usize, at: usize) {
        let session = SessionId(client as u64);
        let most = self.clients[client].accepts[at % 2];
        self.input(Input::MostRequests { session, most });
    }

    fn block(&mut self, client: usize, span: Span) {
        let session = SessionId(client as u64);
        let Client {
            lies,
            leaves,
            hangs_up,
            ..
        } = self.clients[client];
        self.sent[client].0 += 1;
        let sent = self.sent[client].0;
        if leaves.is_some_and(|leaves| sent > leaves) {
            let reason = "it has gone".to_owned();
            return self.input(Input::Closed { session, reason });
        }
        self.says_how_many(client, sent as usize);
        let Some(block) = self.swarm.on_piece(self.now, session, span) else {
            return self.drain();
        };
        if !self.swarm.claim(self.now, session, block) {
            return self.drain();
        }
        self.drain();
        let begin = usize::try_from(self.space.layout().offset_of(block)).expect("is short");
        let range = begin..begin + span.length as usize;
        self.disk[range.clone()].copy_from_slice(&self.right[range.clone()]);
        if lies.is_some_and(|lies| sent.is_multiple_of(lies)) {
            self.disk[range.start] ^= 1;
        }
        let leaves = vec![[0; 32]; (span.length as usize).div_ceil(16 * 1024)];
        self.is_hashing = false;
        self.input(Input::Written {
            session,
            block,
            leaves,
        });
        if hangs_up && self.is_hashing {
            let reason = "it has hung up".to_owned();
            self.input(Input::Closed { session, reason });
        }
    }

    fn is_right(&self, piece: Piece) -> bool {
        let layout = self.space.layout();
        let begin = usize::try_from(layout.begin_of(piece)).expect("is short");
        let length = layout.length_of(piece);
        let mut hasher = PieceHasher::new(length);
        hasher.update(&self.disk[begin..begin + length as usize]);
        self.proofs
            .is_proven_by(piece.number(), &hasher.finish()[0])
    }

    fn input(&mut self, input: Input) {
        self.swarm.handle(self.now, input);
        self.drain();
        self.swarm.check();
    }

    fn drain(&mut self) {
        while let Some(output) = self.swarm.poll_output() {
            match output {
                Output::Dial(source) => {
                    let NamedSource::Client(to) = source else {
                        panic!("a member is dialled");
                    };
                    let client = (0..self.clients.len()).find(|client| address(*client) == to);
                    let client = client.expect("is one of them");
                    let is_gone = self.clients[client].leaves;
                    if is_gone.is_some_and(|leaves| self.sent[client].0 > leaves) {
                        let (source, reason) = (source.id(), "it has gone".to_owned());
                        self.swarm
                            .handle(self.now, Input::DialFailed { source, reason });
                    } else {
                        let soon = self.now + Duration::from_millis(20);
                        self.later(soon, Event::Open(client));
                    }
                }
                Output::Send(session, Message::Request(span)) => {
                    let client = usize::try_from(session.0).expect("is small");
                    let free = self.sent[client].1.max(self.now) + self.clients[client].pace;
                    self.sent[client].1 = free;
                    self.asked.push(span);
                    self.later(free, Event::Block(client, span));
                }
                Output::Send(_, Message::HashRequest(_)) => panic!("a hash is asked for"),
                Output::Send(SessionId(0), message) => self.told.push(message),
                Output::HashPiece(piece) => {
                    self.is_hashing = true;
                    let soon = self.now + Duration::from_millis(1);
                    self.later(soon, Event::Hash(piece));
                }
                Output::Close(session, _) => {
                    self.is_closed = true;
                    let reason = "closed".to_owned();
                    self.swarm
                        .handle(self.now, Input::Closed { session, reason });
                }
                Output::ToCome(bytes) => self.to_come = Some(bytes),
                Output::Complete { .. } => self.complete = true,
                Output::Stuck(stuck) => self.stuck = Some(stuck),
                Output::WantsClients { has_none } => self.wants_clients.push(has_none),
                Output::Blame(liar) => {
                    self.blamed.insert(liar);
                }
                _ => {}
            }
        }
    }
}

fn opening(client: usize, session: SessionId) -> Input {
    Input::Opened {
        session,
        source: SourceId::Client(address(client)),
        account: Account::Address(address(client).ip()),
        dialled: true,
        offer: Offer {
            fast: true,
            longest_request: 16 * 1024,
            most_requests: None,
            member: false,
            // As a hybrid torrent's: it is not asked for any.
            hashes: true,
        },
    }
}

fn address(client: usize) -> SocketAddr {
    let last = u8::try_from(client + 1).expect("is small");
    SocketAddr::from(([10, 0, 0, last], 6881))
}

#[test]
fn a_torrent_comes_from_a_slow_a_lying_and_a_leaving_client_and_the_liar_is_blamed() {
    let clients = [
        Client {
            pace: Duration::from_millis(400),
            ..GOOD
        },
        Client {
            lies: Some(5),
            ..GOOD
        },
        Client {
            leaves: Some(9),
            ..GOOD
        },
    ];
    let mut world = World::new(100_000, &[70_000, 0, 500_000, 1, 300_000], false, &clients);
    world.play();
    assert!(world.complete && world.disk == world.right);
    assert_eq!(world.to_come, Some(870_001));
    assert_eq!(world.blamed, BTreeSet::from([SourceId::Client(address(1))]));
}

#[test]
fn where_all_lie_nothing_is_taken_and_the_fetch_is_stuck() {
    let liar = Client {
        lies: Some(1),
        ..GOOD
    };
    let mut world = World::new(32_768, &[200_000], false, &[liar, liar]);
    world.play();
    assert!(!world.complete && world.stuck.is_some());
    assert_eq!(world.swarm.progress().verified, 0);
    assert_eq!(world.blamed.len(), 2);
}

#[test]
fn a_client_that_hangs_up_before_its_wrong_piece_is_hashed_is_blamed_and_not_dialled_again() {
    let liar = Client {
        lies: Some(1),
        hangs_up: true,
        ..GOOD
    };
    let mut world = World::new(32_768, &[200_000], false, &[liar]);
    world.play();
    assert!(!world.complete && world.stuck.is_some());
    assert_eq!(world.blamed, BTreeSet::from([SourceId::Client(address(0))]));
    assert_eq!(world.swarm.sources(), [], "nothing of it is of use");
}

/// A client that lets this peer wait for so many minutes.
fn busy(minutes: u64) -> Client {
    Client {
        lets_wait: Duration::from_mins(minutes),
        ..GOOD
    }
}

#[test]
fn clients_that_have_it_are_waited_for_for_a_quarter_of_an_hour_until_they_send_something() {
    let mut world = World::new(32_768, &[200_000], false, &[busy(20), busy(14)]);
    world.play();
    assert!(world.complete && world.disk == world.right);

    for (clients, reason) in [
        (1, "one client has it and lets this peer wait"),
        (2, "2 clients have it and let this peer wait"),
    ] {
        let mut world = World::new(32_768, &[200_000], false, &vec![busy(16); clients]);
        world.play();
        let stuck = world.stuck.expect("is given up");
        assert_eq!(stuck.reason, reason);
        let waited = world.now - Instant::after_start(Duration::ZERO);
        let minutes = waited.as_secs() / 60;
        assert!((2..=15).contains(&minutes), "{minutes}");
    }
}

#[test]
fn a_client_that_has_it_is_waited_for_though_it_could_not_be_reached_before() {
    let mut world = World::new(32_768, &[200_000], false, &[busy(1)]);
    world.input(Input::Clients(vec![address(0)]));
    world.events.clear();
    let (source, reason) = (SourceId::Client(address(0)), "it is off".to_owned());
    world.input(Input::DialFailed { source, reason });
    world.play();
    assert!(world.complete, "{:?}", world.stuck);
}

#[test]
fn clients_that_come_and_go_and_never_send_anything_are_waited_for_no_longer() {
    let mut world = World::new(32_768, &[200_000], false, &[busy(60), busy(60)]);
    world.input(Input::Clients(vec![address(0), address(1)]));
    // They go by turns, and the one is back before the other one goes.
    let turn = Duration::from_secs(40);
    let (mut goes, mut next) = (0, world.now + turn);
    while world.stuck.is_none() {
        let opened = world.events.keys().next().map(|(at, _)| *at);
        let deadline = world.swarm.next_deadline().expect("it goes on");
        world.now = world.now.max(deadline.min(opened.unwrap_or(deadline)));
        assert!(world.now < Instant::after_start(Duration::from_mins(20)));
        if world.now >= next {
            next = world.now + turn;
            world.events.retain(|_, event| !event.is_of(goes));
            let (session, reason) = (SessionId(goes as u64), "it has gone".to_owned());
            world.input(Input::Closed { session, reason });
            goes = 1 - goes;
        } else if opened.is_some_and(|at| at <= world.now) {
            let (_, event) = world.events.pop_first().expect("there is one");
            world.happens(event);
        } else {
            world.input(Input::Tick);
        }
    }
    let waited = world.now - Instant::after_start(Duration::ZERO);
    let minutes = waited.as_secs() / 60;
    assert!((2..=15).contains(&minutes), "{minutes}");
}

#[test]
fn a_client_that_was_silent_and_lets_this_peer_wait_then_is_not_left() {
    let silent = Client {
        pace: Duration::from_mins(40),
        ..GOOD
    };
    let mut world = World::new(32_768, &[200_000], false, &[silent]);
    world.input(Input::Clients(vec![address(0)]));
    let (_, event) = world.events.pop_first().expect("it is dialled");
    world.happens(event);
    assert!(!world.asked.is_empty());
    let session = SessionId(0);
    world.wait(Duration::from_secs(11));
    let message = Message::Choke;
    world.input(Input::Message { session, message });
    for span in std::mem::take(&mut world.asked) {
        let message = Message::Reject(span);
        world.input(Input::Message { session, message });
    }
    world.wait(Duration::from_mins(1));
    assert!(world.stuck.is_none() && !world.is_closed);
    let message = Message::Unchoke;
    world.input(Input::Message { session, message });
    assert!(!world.asked.is_empty(), "it is asked again");
}

#[test]
fn trackers_are_asked_for_clients_only_while_there_are_fewer_sources_than_may_be_dialled() {
    let slow = Client {
        pace: Duration::from_millis(400),
        ..GOOD
    };
    for (clients, are_few) in [(3, true), (30, false)] {
        let mut world = World::new(32_768, &[2_000_000], false, &vec![slow; clients]);
        world.play();
        assert!(world.complete);
        assert_eq!(!world.wants_clients.is_empty(), are_few, "{clients}");
        assert!(!world.wants_clients.contains(&true), "there are some");
    }
    let mut world = World::new(32_768, &[2_000_000], false, &[]);
    world.play();
    assert!(world.stuck.is_some() && !world.wants_clients.is_empty());
    assert!(!world.wants_clients.contains(&false), "there are none");
}

#[test]
fn a_client_is_never_asked_for_more_at_once_than_it_says_that_it_accepts() {
    let client = Client {
        accepts: [3, 3],
        ..GOOD
    };
    let mut world = World::new(65_536, &[1_000_000], false, &[client]);
    world.happens(Event::Open(0));
    assert_eq!(world.asked.len(), 3);
    for came in 0..2 {
        world.happens(Event::Block(0, world.asked[came]));
        assert_eq!(world.asked.len(), 4 + came, "one for each that has come");
    }
    // It accepts fewer from now on: what it would not answer any more is cancelled.
    let session = SessionId(0);
    world.told.clear();
    for (most, cancelled) in [(3, 0), (1, 2), (0, 2)] {
        world.input(Input::MostRequests { session, most });
        let cancels = world.told.iter();
        let cancels = cancels.filter(|said| matches!(said, Message::Cancel(_)));
        assert_eq!(cancels.count(), cancelled, "{:?}", world.told);
    }
    assert_eq!(world.asked.len(), 5);
    world.clients[0].accepts = [2, 1];
    world.play();
    assert!(world.complete && world.disk == world.right);
}

#[test]
fn pieces_that_only_unwanted_files_have_are_not_asked_for_and_not_announced() {
    let lengths = [50_000, 100_000, 50_000];
    let mut world = World::new(20_000, &lengths, true, &[GOOD]);
    assert_eq!(world.swarm.to_come(), 120_000);
    world.play();
    assert_eq!(
        world.swarm.to_come(),
        0,
        "trackers are told that it is complete"
    );
    let asked: BTreeSet<u32> = world.asked.iter().map(|span| span.piece).collect();
    assert_eq!(asked, BTreeSet::from([0, 1, 2, 7, 8, 9]));
    assert_eq!(world.to_come, Some(120_000));
    assert_eq!(world.disk[..60_000], world.right[..60_000]);
    assert_eq!(world.disk[140_000..], world.right[140_000..]);
    let last = world.told.last();
    assert_eq!(last, Some(&Message::NotInterested), "{:?}", world.told);
}

#[test]
fn what_an_earlier_fetch_has_left_is_not_asked_for_again_if_it_is_right() {
    let mut world = World::new(20_000, &[100_000], false, &[GOOD]);
    world.disk[..60_000].copy_from_slice(&world.right[..60_000]);
    world.disk[30_000] ^= 1;
    for number in 0..3 {
        let piece = world.space.layout().piece(number).expect("is there");
        if world.is_right(piece) {
            world.input(Input::PieceLeft { piece });
        }
    }
    world.play();
    assert!(world.complete && world.disk == world.right);
    assert_eq!(world.to_come, Some(60_000));
    assert!(!world.asked.iter().any(|span| [0, 2].contains(&span.piece)));
}

#[test]
fn what_is_found_of_a_piece_that_a_caller_is_asked_for_meanwhile_decides_nothing() {
    let mut world = World::new(40_000, &[100_000], false, &[GOOD]);
    world.disk.copy_from_slice(&world.right);
    world.happens(Event::Open(0));
    let asked: BTreeSet<u32> = world.asked.iter().map(|span| span.piece).collect();
    assert!(!asked.is_empty(), "the caller is asked");
    let pieces = || {
        asked
            .iter()
            .filter_map(|number| world.space.layout().piece(*number))
    };
    let pieces: Vec<Piece> = pieces().collect();
    for piece in pieces {
        world.input(Input::PieceLeft { piece });
    }
    assert_eq!(world.swarm.progress().verified, 0);
    // Nor does what was found before all of it had come, and nobody is blamed for that.
    let piece = world.space.layout().piece(0).expect("is there");
    world.input(Input::PieceHashed {
        piece,
        is_right: false,
    });
    world.play();
    assert!(world.complete && world.blamed.is_empty());
}

#[test]
fn a_torrent_that_is_there_already_is_complete_without_a_client() {
    let mut world = World::new(20_000, &[30_000], false, &[]);
    world.disk = world.right.clone();
    for number in 0..2 {
        let piece = world.space.layout().piece(number).expect("is there");
        if world.is_right(piece) {
            world.input(Input::PieceLeft { piece });
        }
    }
    world.play();
    assert!(world.complete);
}

/// A v1 torrent's pieces may be shorter than a leaf, or no whole number of leaves.
fn any_piece_length() -> impl Strategy<Value = u32> {
    prop_oneof![1u32..40_000, Just(16_384), Just(65_536)]
}

fn any_range() -> impl Strategy<Value = HashRange> {
    let small = prop_oneof![0u32..40, any::<u32>()];
    let root = prop_oneof![Just(Root::EMPTY), any::<[u8; 32]>().prop_map(Root::new)];
    let rest = (small.clone(), 0u32..12, small);
    (root, 0u32..20, rest).prop_map(|(root, base, (index, length, proofs))| HashRange {
        root,
        base,
        index,
        length: 1 << length,
        proofs,
    })
}

/// What a client may say of hashes, whether it was asked or not.
fn any_hash_message() -> impl Strategy<Value = Message> {
    (any_range(), 0..3).prop_map(|(range, kind)| match kind {
        0 => Message::HashRequest(range),
        1 => Message::Hashes(range, vec![[7; 32]; 4]),
        _ => Message::HashReject(range),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_clients_say_of_hashes_a_torrent_is_fetched_and_served(
        piece_length in any_piece_length(),
        messages in prop::collection::vec(any_hash_message(), 1..12),
    ) {
        let mut world = World::new(piece_length, &[50_000], false, &[GOOD]);
        let layout = world.space.layout();
        let kept = Config {
            content: Content { length: layout.length(), root: Root::EMPTY },
            me: PeerId::new([1; 32]),
            seed: 7,
            have: Have::Torrent(layout),
            limits: SwarmLimits::default(),
        };
        let mut kept = Swarm::new(world.now, kept).expect("fits");
        world.happens(Event::Open(0));
        let session = SessionId(0);
        kept.handle(world.now, opening(0, session));
        for message in messages {
            world.input(Input::Message { session, message: message.clone() });
            kept.handle(world.now, Input::Message { session, message });
            kept.check();
        }
        world.play();
        prop_assert!(world.complete);
    }

    #[test]
    fn any_torrent_comes_whole_if_one_honest_client_stays(
        lengths in prop::collection::vec(-40_000i64..120_000, 1..6),
        piece_length in prop_oneof![1000u32..70_000, Just(16_384), Just(65_536)],
        only_even in any::<bool>(),
        good_accepts in [0u32..300, 0u32..300],
        others in prop::collection::vec(
            (
                1u64..300,
                prop::option::of(1u32..9),
                prop::option::of(0u32..30),
                any::<bool>(),
                [0u32..20, 0u32..20],
            ),
            0..4,
        ),
    ) {
        prop_assume!(lengths.iter().step_by(2).any(|length| *length > 0));
        let mut clients: Vec<Client> = others
            .into_iter()
            .map(|(pace, lies, leaves, hangs_up, accepts)| Client {
                pace: Duration::from_millis(pace),
                lies,
                leaves,
                hangs_up,
                accepts,
                ..GOOD
            })
            .collect();
        clients.push(Client { accepts: good_accepts, ..GOOD });
        let mut world = World::new(piece_length, &lengths, only_even, &clients);
        world.play();
        prop_assert!(world.complete, "{:?}", world.stuck);
        let mut begin = 0;
        for (at, length) in lengths.iter().enumerate() {
            let end = begin + usize::try_from(length.unsigned_abs()).expect("is short");
            if *length > 0 && (!only_even || at % 2 == 0) {
                prop_assert_eq!(&world.disk[begin..end], &world.right[begin..end]);
            }
            begin = end;
        }
        for span in &world.asked {
            let piece = world.space.layout().piece(span.piece).expect("is there");
            prop_assert!(span.begin + span.length <= world.space.asked_length_of(piece));
        }
        let honest = SourceId::Client(address(clients.len() - 1));
        prop_assert!(!world.blamed.contains(&honest));
    }
}

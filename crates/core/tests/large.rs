//! Large files from the name to the last byte: gets in a village, with a real swarm at each end of
//! each session.
//!
//! The test takes the place of the shell: it carries messages and blocks, and reports between a
//! get and its swarm. Of the data only hashes are sent.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use support::{Node, Village, id, request};
use thorp_core::bound::Account;
use thorp_core::get::{
    Chore, Ending, FetchId, GetId, LargeEvent, Missed, MissedKind, News, Output as Told,
};
use thorp_core::peer::Notice;
use thorp_core::swarm::{Config, Have, Input, Offer, Output, SessionId, Swarm, SwarmLimits};
use thorp_core::time::Instant;
use thorp_wire::layout::{Block, LEAF, Layout, Piece};
use thorp_wire::merkle::{self, Hash};
use thorp_wire::session::Span;
use thorp_wire::{Content, PeerId};

const ONE: [u8; 4] = [192, 168, 198, 138];
const OTHERS: [[u8; 4]; 2] = [[192, 168, 198, 139], [192, 168, 198, 137]];
const SECOND: Duration = Duration::from_secs(1);
const DELAY: Duration = Duration::from_millis(1);
/// The bytes a second that a holder sends.
const RATE: u64 = 1024 * 1024;
const LENGTH: u64 = 4 * 1024 * 1024;

/// How a holder behaves on a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Honest,
    /// Sends wrong data.
    Lying,
    /// Sends nothing.
    Mute,
}

/// A village in which peer 1 gets the file `large`, and the swarms of all peers.
struct World {
    village: Village,
    one: Node,
    get: GetId,
    fetch: Option<FetchId>,
    /// How many outputs of the get have been handled.
    seen: usize,
    text: String,
    content: Content,
    leaves: Vec<Vec<Hash>>,
    ends: BTreeMap<Node, End>,
    queue: BTreeMap<(Instant, u64), (Node, Event)>,
    counter: u64,
}

/// The swarm of a peer, and the other ends of its sessions.
struct End {
    swarm: Swarm,
    manner: Manner,
    sessions: BTreeMap<SessionId, (Node, SessionId)>,
    /// When everything queued will have been sent.
    free: Instant,
}

enum Event {
    Input(Input),
    Connect(PeerId),
    Block(SessionId, Block, Manner),
}

impl World {
    /// Creates a village with holders that behave as given, where peer 1 gets the file.
    fn new(manners: &[Manner]) -> (Self, Vec<Node>) {
        let text = "0123456789abcdef".repeat(usize::try_from(LENGTH / 16).expect("fits"));
        let content = support::content(&text);
        let layout = Layout::of(LENGTH);
        let pieces = (0..layout.pieces().expect("not too long")).map(|n| layout.piece(n));
        let leaves = pieces.flatten().map(|piece| {
            let begin = usize::try_from(layout.begin_of(piece)).expect("fits");
            let bytes = &text.as_bytes()[begin..][..layout.length_of(piece) as usize];
            bytes.chunks(LEAF).map(merkle::leaf_hash).collect()
        });
        let leaves = leaves.collect();
        let mut village = Village::new();
        let one = village.peer(ONE, &[]);
        let mut world = Self {
            village,
            one,
            get: GetId(0),
            fetch: None,
            seen: 0,
            text,
            content,
            leaves,
            ends: BTreeMap::new(),
            queue: BTreeMap::new(),
            counter: 0,
        };
        let others = manners.iter().zip(OTHERS);
        let others = others
            .map(|(manner, ip)| world.holder(ip, *manner))
            .collect();
        world.village.run(SECOND);
        world.get = world.village.want(one, request(&["large"]));
        (world, others)
    }

    /// Adds a peer that shares the file.
    fn holder(&mut self, ip: [u8; 4], manner: Manner) -> Node {
        let node = self.village.peer(ip, &[]);
        self.share(node, manner);
        node
    }

    fn share(&mut self, node: Node, manner: Manner) {
        self.village.share(node, &[("large", &self.text)]);
        let layout = Layout::of(LENGTH);
        let hash = |(number, leaves): (u32, &Vec<Hash>)| {
            merkle::piece_hash(layout, layout.piece(number)?, leaves)
        };
        let layer = (0..).zip(&self.leaves).filter_map(hash).collect();
        self.attach(node, manner, Have::Everything { layer });
    }

    fn attach(&mut self, node: Node, manner: Manner, have: Have) {
        let config = Config {
            content: self.content,
            me: id(node),
            seed: node as u64,
            have,
            limits: SwarmLimits::default(),
        };
        let end = End {
            swarm: Swarm::new(self.village.now, config).expect("a swarm"),
            manner,
            sessions: BTreeMap::new(),
            free: self.village.now,
        };
        self.ends.insert(node, end);
    }

    /// Ends the process of a holder without goodbyes.
    fn kill(&mut self, node: Node) {
        self.village.kill(node);
        for (far, session) in self
            .ends
            .remove(&node)
            .expect("it runs")
            .sessions
            .into_values()
        {
            self.closed(far, session);
        }
    }

    /// Returns the number of verified bytes.
    fn verified(&self) -> u64 {
        let end = self.ends.get(&self.one);
        end.map_or(0, |end| end.swarm.progress().verified)
    }

    /// Runs until the get has ended, and returns how.
    fn end(&mut self) -> Ending {
        self.until(|world| world.village.ended(world.one, world.get).is_some());
        let end = self.village.ended(self.one, self.get);
        end.expect("it has ended")
    }

    /// Returns the members that have sent the file.
    fn sources(&mut self) -> Vec<PeerId> {
        let told = self.village.told(self.one, self.get).iter();
        let sources = told.filter_map(|wanted| match wanted {
            Told::Tell(News::Fetched { sources, .. }) => Some(sources),
            _ => None,
        });
        sources.flatten().map(|holder| holder.id).collect()
    }

    /// Runs until the condition holds.
    fn until(&mut self, so: impl Fn(&mut Self) -> bool) {
        let end = self.village.now + 120 * SECOND;
        loop {
            self.obey();
            if so(self) {
                return;
            }
            let own = self.queue.keys().next().map(|(at, _)| *at);
            let village = self.village.next_event();
            let swarms = self.ends.values();
            let due = swarms.filter_map(|end| end.swarm.next_deadline()).min();
            let next = own.into_iter().chain(village).chain(due).min();
            let at = next.expect("something will happen");
            assert!(at <= end, "not within two minutes");
            if village == Some(at) {
                self.village.step(at);
                continue;
            }
            self.village.now = self.village.now.max(at);
            if let Some(queued) = self.queue.first_entry().filter(|e| e.key().0 <= at) {
                let (node, event) = queued.remove();
                self.happen(node, event);
                continue;
            }
            let nodes: Vec<Node> = self.ends.keys().copied().collect();
            for node in nodes {
                let deadline = self.ends[&node].swarm.next_deadline();
                if deadline.is_some_and(|due| due <= at) {
                    self.input(node, Input::Tick);
                }
            }
        }
    }

    /// Passes the get's requests to the swarm.
    fn obey(&mut self) {
        if self.fetch.is_none()
            && let Some((fetch, _)) = self.village.host(self.one).begun.first()
        {
            let fetch = *fetch;
            self.fetch = Some(fetch);
            self.attach(self.one, Manner::Honest, Have::Nothing);
            self.tell(LargeEvent::Begun { there: 0 });
        }
        while let Some(wanted) = self.village.told(self.one, self.get).get(self.seen) {
            let wanted = wanted.clone();
            self.seen += 1;
            match wanted {
                Told::Do(Chore::Holders(_, holders)) => {
                    self.input(self.one, Input::Holders(holders));
                }
                Told::Do(Chore::GiveUp(_)) => {
                    self.ends.remove(&self.one);
                }
                _ => {}
            }
        }
    }

    /// Reports an event of the swarm to the get.
    fn tell(&mut self, event: LargeEvent) {
        let fetch = self.fetch.expect("it has begun");
        self.village.large(self.one, fetch, event);
    }

    fn happen(&mut self, node: Node, event: Event) {
        match event {
            Event::Input(input) => self.input(node, input),
            Event::Connect(peer) => self.connect(node, peer),
            Event::Block(session, block, manner) => self.come(node, session, block, manner),
        }
    }

    fn connect(&mut self, node: Node, peer: PeerId) {
        let mut others = self.ends.keys().copied();
        let Some(other) = others.find(|other| id(*other) == peer) else {
            let reason = "no answer".to_owned();
            return self.input(
                node,
                Input::DialFailed {
                    source: peer.into(),
                    reason,
                },
            );
        };
        self.input(node, Input::Reached);
        self.counter += 2;
        let (here, there) = (SessionId(self.counter), SessionId(self.counter + 1));
        for (end, session, far, dialled) in [
            (node, here, (other, there), true),
            (other, there, (node, here), false),
        ] {
            let Some(attached) = self.ends.get_mut(&end) else {
                return;
            };
            attached.sessions.insert(session, far);
            let opened = Input::Opened {
                session,
                source: id(far.0).into(),
                account: Account::Member(id(far.0)),
                dialled,
                offer: Offer {
                    fast: true,
                    longest_request: 256 * 1024,
                    most_requests: None,
                    member: true,
                    hashes: true,
                },
            };
            self.later(DELAY, end, Event::Input(opened));
        }
    }

    fn come(&mut self, node: Node, session: SessionId, block: Block, manner: Manner) {
        let mut leaves = self.leaves_in(block);
        if manner == Manner::Lying {
            leaves[0][0] ^= 1;
        }
        let now = self.village.now;
        let Some(end) = self.ends.get_mut(&node) else {
            return;
        };
        let span = Span {
            piece: block.piece().number(),
            begin: block.begin(),
            length: block.length(),
        };
        let is_expected = end.swarm.on_piece(now, session, span).is_some();
        if is_expected && end.swarm.claim(now, session, block) {
            let written = Input::Written {
                session,
                block,
                leaves,
            };
            self.input(node, written);
        }
        self.drain(node);
    }

    fn input(&mut self, node: Node, input: Input) {
        let now = self.village.now;
        if let Some(end) = self.ends.get_mut(&node) {
            end.swarm.handle(now, input);
            self.drain(node);
        }
    }

    fn drain(&mut self, node: Node) {
        while let Some(end) = self.ends.get_mut(&node)
            && let Some(output) = end.swarm.poll_output()
        {
            self.carry_out(node, output);
        }
    }

    fn carry_out(&mut self, node: Node, output: Output) {
        let Some(end) = self.ends.get_mut(&node) else {
            return;
        };
        let is_mute = end.manner == Manner::Mute;
        match output {
            Output::Dial(source) => {
                let holder = source.id().member().expect("all are members");
                self.later(2 * DELAY, node, Event::Connect(holder));
            }
            Output::Send(..) | Output::Upload(..) if is_mute => {}
            Output::Send(session, message) => {
                if let Some((far, session)) = end.sessions.get(&session).copied() {
                    self.later(
                        DELAY,
                        far,
                        Event::Input(Input::Message { session, message }),
                    );
                }
            }
            Output::Upload(session, block) => {
                let Some((far, there)) = end.sessions.get(&session).copied() else {
                    return;
                };
                let micros = u64::from(block.length()) * 1_000_000 / RATE;
                end.free = end.free.max(self.village.now) + Duration::from_micros(micros);
                let (manner, wait) = (end.manner, end.free - self.village.now);
                self.later(wait, far, Event::Block(there, block, manner));
                self.later(wait, node, Event::Input(Input::Served { session, block }));
            }
            // It is sent anyway, and not expected any more.
            Output::Withdraw(..) | Output::ToCome(_) | Output::HashPiece(_) => {}
            Output::HashLeaves(session, range, pieces) => {
                let leaves = pieces.iter().flat_map(|piece| self.leaves_of(*piece));
                let leaves = Some(leaves.collect());
                let hashed = Input::LeavesHashed {
                    session,
                    range,
                    leaves,
                };
                self.later(DELAY, node, Event::Input(hashed));
            }
            Output::Close(session, _) => {
                if let Some((far, there)) = end.sessions.remove(&session) {
                    self.closed(far, there);
                    let reason = "closed".to_owned();
                    self.later(DELAY, node, Event::Input(Input::Closed { session, reason }));
                }
            }
            Output::Readable(_) => unreachable!("there are no readers"),
            _ if node != self.one => {}
            Output::Complete { sources } => self.tell(LargeEvent::Complete { sources }),
            Output::Stuck(stuck) => self.tell(LargeEvent::Stuck(stuck)),
            Output::Blame(liar) => self.tell(LargeEvent::Lied(liar)),
            Output::Widen => self.tell(LargeEvent::WantsHolders),
            // There are no clients here.
            Output::WantsClients { .. } => {}
        }
    }

    /// The other end has closed a session.
    fn closed(&mut self, node: Node, session: SessionId) {
        if let Some(end) = self.ends.get_mut(&node) {
            end.sessions.remove(&session);
        }
        let reason = "the connection broke".to_owned();
        self.later(DELAY, node, Event::Input(Input::Closed { session, reason }));
    }

    fn leaves_of(&self, piece: Piece) -> Vec<Hash> {
        self.leaves[piece.number() as usize].clone()
    }

    fn leaves_in(&self, block: Block) -> Vec<Hash> {
        let first = block.begin() as usize / LEAF;
        let end = (block.begin() + block.length()) as usize;
        self.leaves_of(block.piece())[first..end.div_ceil(LEAF)].to_vec()
    }

    fn later(&mut self, delay: Duration, node: Node, event: Event) {
        self.counter += 2;
        let at = self.village.now + delay;
        self.queue.insert((at, self.counter), (node, event));
    }
}

const DONE: Ending = Ending::Done {
    files: 1,
    bytes: LENGTH,
    left_out: 0,
};

#[test]
fn two_holders_share_the_work() {
    let (mut world, others) = World::new(&[Manner::Honest, Manner::Honest]);
    let began = world.village.now;
    assert_eq!(world.end(), DONE);
    let mut sources = world.sources();
    sources.sort();
    assert_eq!(sources, [id(others[0]), id(others[1])]);
    let took = world.village.now - began;
    assert!(took < 3 * SECOND, "four seconds from one alone: {took:?}");
}

#[test]
fn a_holder_that_leaves_is_followed_by_one_that_comes() {
    let (mut world, others) = World::new(&[Manner::Honest]);
    world.until(|world| world.verified() >= LENGTH / 2);
    world.kill(others[0]);
    let new = world.holder(OTHERS[1], Manner::Honest);
    assert_eq!(world.end(), DONE);
    let mut sources = world.sources();
    sources.sort();
    assert_eq!(sources, [id(others[0]), id(new)]);
}

#[test]
fn a_liar_is_named_and_the_file_comes_from_the_other() {
    let (mut world, others) = World::new(&[Manner::Lying, Manner::Honest]);
    assert_eq!(world.end(), DONE);
    assert_eq!(world.sources(), [id(others[1])]);
    let liar = world.village.holder(others[0]);
    let notices = &world.village.host(world.one).notices;
    assert!(notices.contains(&Notice::Liar(liar)), "{notices:?}");
}

#[test]
fn where_nothing_comes_the_verdict_says_how_far_the_holder_was_reached() {
    let missed = |world: &mut World| match world.end() {
        Ending::Missed { why, .. } => why,
        end => panic!("{end:?}"),
    };
    // The holder has a session, but sends nothing.
    let (mut world, _) = World::new(&[Manner::Mute]);
    let why = missed(&mut world);
    let unfinished = matches!(
        why,
        Missed::Unfinished {
            there: 0,
            of: LENGTH,
            ..
        }
    );
    assert!(unfinished, "{why:?}");
    // The holder does not answer a dial.
    let (mut world, others) = World::new(&[Manner::Honest]);
    world.ends.remove(&others[0]);
    let why = missed(&mut world);
    assert_eq!(why.kind(), MissedKind::Network, "{why:?}");
    // The holder lies, and no other peer has the file.
    let (mut world, others) = World::new(&[Manner::Lying]);
    let liar = world.village.holder(others[0]);
    assert_eq!(missed(&mut world), Missed::Mismatch(liar));
    // The holder leaves in the middle.
    let (mut world, others) = World::new(&[Manner::Honest]);
    world.until(|world| world.verified() >= LENGTH / 2);
    world.kill(others[0]);
    let why = missed(&mut world);
    let half = matches!(why, Missed::Unfinished { there, .. } if there >= LENGTH / 2);
    assert!(half, "{why:?}");
}

#[test]
fn a_neighbour_that_comes_to_list_the_file_is_used() {
    let (mut world, others) = World::new(&[Manner::Honest]);
    let near = world.village.peer(OTHERS[1], &[("small", "small")]);
    world.village.run(SECOND);
    world.village.get(world.one, "small");
    world.until(|world| world.verified() > 0);
    world.village.kill(support::TRACKER);
    assert!(world.village.neighbours(world.one).contains(&id(near)));
    world.share(near, Manner::Honest);
    assert_eq!(world.end(), DONE);
    let mut sources = world.sources();
    sources.sort();
    assert_eq!(sources, [id(others[0]), id(near)]);
}

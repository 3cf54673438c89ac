//! A simulated network in virtual time: nodes with a link each, and their misbehaviour.
//!
//! A link has a rate in each direction. Its connections take turns to send, 16 KiB at a time; what
//! arrives waits for its turn to be received. A connection may have a limited number of bytes
//! under way, as with TCP. Messages take only the delay.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use thorp_wire::frame::Holder;
use thorp_wire::layout::{Block, Layout, Piece};
use thorp_wire::merkle::{self, Hash};
use thorp_wire::session::Message;
use thorp_wire::{Content, PeerId};

use crate::bound::Account;
use crate::swarm::pieces::LEAF_LENGTH;
use crate::swarm::session::span_of;
use crate::swarm::{
    Config, Have, Input, Offer, Output, ReaderId, SessionId, SourceId, Stuck, Swarm, SwarmLimits,
    SwarmProgress,
};
use crate::time::Instant;

/// The most bytes of one connection that may be under way.
const UNDER_WAY: u64 = 512 * 1024;
/// The bytes of a turn on a link.
const TURN: u32 = 16 * 1024;

/// How a node misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Honest,
    /// Sends nothing once connected.
    Mute,
    /// Announces its pieces and answers hash requests, but sends no block.
    Idle,
    /// Announces its pieces and sends neither hashes nor blocks.
    Promises,
    /// One in this many leaves that it sends is wrong.
    WrongLeaves(u32),
    /// The hashes that it sends are wrong.
    WrongHashes,
    /// Announces all pieces without having them.
    Boasts,
    /// Announces all pieces but rejects each request, because its file has changed.
    Refuses,
    /// One in this many leaves that it sends is wrong, for its file has changed; it notices
    /// when it is asked for leaves of such a piece, and offers the file no more: 0 from then on.
    Changed(u32),
    /// The same, and goes on to offer it.
    Denies(u32),
    /// Sends wrong leaves, rejects requests for leaf hashes, and sends one byte a second when the
    /// piece is fetched again.
    Conspires,
    /// Rejects requests for leaf hashes, as it has no time for them.
    WithoutLeaves,
}

pub struct World {
    pub now: u64,
    pub file: File,
    pub nodes: Vec<Node>,
    /// The delay in one direction, in microseconds.
    delay: u64,
    events: BinaryHeap<Reverse<(u64, u64)>>,
    what: BTreeMap<u64, Event>,
    next: u64,
    /// Whether a conspirator was asked for leaf hashes.
    pub suspicion: bool,
    /// Whether to print everything that happens.
    pub trace: bool,
    /// Whether to check the invariants after every input.
    pub careful: bool,
}

pub struct Node {
    pub id: PeerId,
    pub swarm: Swarm,
    pub manner: Manner,
    pub alive: bool,
    /// Whether it is an ordinary client: without the fast extension, with short requests, choked
    /// at first.
    pub plain: bool,
    /// The rates in bytes a second.
    up: u64,
    down: u64,
    sending: bool,
    free: u64,
    links: BTreeMap<SessionId, Link>,
    turn: SessionId,
    tick: Option<u64>,
    disk: BTreeMap<(u32, usize), Hash>,
    /// Verified bytes when they were last compared with the disk.
    verified: u64,
    /// Bytes of blocks that it has sent.
    pub sent: u64,
    /// How many messages it has sent, and how many of them are requests.
    pub said: usize,
    pub asked: usize,
    /// Bytes that were to be written, as the swarm has said.
    pub to_come: Option<u64>,
    pub complete: Option<u64>,
    /// Who has sent it, as was said at the end.
    pub from: Vec<PeerId>,
    pub stuck: Vec<Stuck>,
    pub blamed: BTreeSet<PeerId>,
    /// The nodes that answered with wrong hashes while the true ones were not known.
    pub lied_to_by: BTreeSet<PeerId>,
    /// Bytes of blocks that arrived and were not taken.
    pub wasted: u64,
    /// Readers that were told to go on.
    pub told: BTreeSet<ReaderId>,
}

/// One end of a connection.
struct Link {
    node: usize,
    there: SessionId,
    uploads: VecDeque<(Block, u32)>,
    under_way: u64,
    /// When bytes were last reported as flowing, and how many have arrived since.
    told: u64,
    untold: u32,
}

pub struct File {
    pub content: Content,
    pub layout: Layout,
    pub layer: Vec<Hash>,
    leaves: Vec<Vec<Hash>>,
}

enum Event {
    Tick(usize),
    Input(usize, Input),
    Connect(usize, PeerId),
    /// The link of a node is free to send again.
    Free(usize),
    /// Bytes of a block reach a node: from which node, and whether they are the last.
    Reach(usize, usize, SessionId, Block, u32, bool),
    Come(usize, usize, SessionId, Block, u32, bool),
}

impl File {
    pub fn of(length: u64) -> Self {
        Self::sparse(length, |_| true)
    }

    /// One with zeros in all other pieces than these.
    pub fn sparse(length: u64, has_data: impl Fn(u32) -> bool) -> Self {
        let layout = Layout::of(length);
        let pieces = pieces_of(layout);
        let zero = merkle::leaf_hash(&vec![0; LEAF_LENGTH as usize]);
        let leaf = |piece: Piece, leaf: u32| {
            if !has_data(piece.number()) {
                let begin = leaf * LEAF_LENGTH;
                let zeros = LEAF_LENGTH.min(layout.length_of(piece) - begin);
                if zeros == LEAF_LENGTH {
                    return zero;
                }
                return merkle::leaf_hash(&vec![0; zeros as usize]);
            }
            let mut hash = [1; 32];
            hash[..4].copy_from_slice(&piece.number().to_be_bytes());
            hash[4..8].copy_from_slice(&leaf.to_be_bytes());
            hash
        };
        let leaves: Vec<Vec<Hash>> = pieces
            .clone()
            .map(|piece| {
                (0..layout.leaves_of(piece))
                    .map(|at| leaf(piece, at))
                    .collect()
            })
            .collect();
        let layer: Vec<Hash> = pieces
            .zip(&leaves)
            .map(|(piece, leaves)| merkle::piece_hash(layout, piece, leaves).unwrap())
            .collect();
        let root = merkle::root_of_layer(layout, &layer).unwrap();
        Self {
            content: Content { length, root },
            layout,
            layer,
            leaves,
        }
    }

    fn pieces(&self) -> impl Iterator<Item = Piece> + Clone {
        pieces_of(self.layout)
    }

    pub fn leaves_of(&self, piece: u32) -> Vec<Hash> {
        self.leaves[piece as usize].clone()
    }

    pub fn leaves_in(&self, block: Block) -> Vec<Hash> {
        let first = (block.begin() / LEAF_LENGTH) as usize;
        let end = (block.begin() + block.length()).div_ceil(LEAF_LENGTH) as usize;
        self.leaves[block.piece().number() as usize][first..end].to_vec()
    }
}

fn pieces_of(layout: Layout) -> impl Iterator<Item = Piece> + Clone {
    (0..layout.pieces().unwrap()).map(move |piece| layout.piece(piece).unwrap())
}

impl World {
    pub fn new(length: u64, delay: Duration) -> Self {
        Self::of(File::of(length), delay)
    }

    pub fn of(file: File, delay: Duration) -> Self {
        Self {
            now: 0,
            file,
            nodes: Vec::new(),
            delay: u64::try_from(delay.as_micros()).unwrap(),
            events: BinaryHeap::new(),
            what: BTreeMap::new(),
            next: 0,
            suspicion: false,
            careful: false,
            trace: false,
        }
    }

    /// Adds a node with a link of this many bytes a second in each direction. It has the whole
    /// file, or nothing and fetches it.
    pub fn add(&mut self, rate: u64, whole: bool, manner: Manner) -> usize {
        self.add_limited(rate, whole, manner, SwarmLimits::default())
    }

    pub fn add_limited(
        &mut self,
        rate: u64,
        whole: bool,
        manner: Manner,
        limits: SwarmLimits,
    ) -> usize {
        let number = self.nodes.len();
        let mut id = [0; 32];
        id[0] = u8::try_from(number * 37 % 251).unwrap();
        id[1] = u8::try_from(number).unwrap();
        let id = PeerId::new(id);
        let have = if whole {
            let layer = self.file.layer.clone();
            Have::Everything { layer }
        } else {
            Have::Nothing
        };
        let config = Config {
            content: self.file.content,
            me: id,
            seed: number as u64 + 1,
            have,
            limits,
        };
        self.nodes.push(Node {
            id,
            swarm: Swarm::new(self.instant(), config).unwrap(),
            manner,
            alive: true,
            plain: false,
            up: rate,
            down: rate,
            sending: false,
            free: 0,
            links: BTreeMap::new(),
            turn: SessionId(0),
            tick: None,
            disk: BTreeMap::new(),
            verified: 0,
            sent: 0,
            said: 0,
            asked: 0,
            to_come: None,
            complete: None,
            from: Vec::new(),
            stuck: Vec::new(),
            blamed: BTreeSet::new(),
            lied_to_by: BTreeSet::new(),
            wasted: 0,
            told: BTreeSet::new(),
        });
        number
    }

    /// Tells a node of all other nodes that have something now.
    pub fn tell_holders(&mut self, node: usize) {
        let holders = self.holders();
        self.input(node, Input::Holders(holders));
    }

    fn holders(&self) -> Vec<Holder> {
        let all = self.nodes.iter().filter(|node| node.alive);
        let some = |node: &&Node| {
            node.manner != Manner::Honest || self.file.pieces().any(|piece| node.swarm.has(piece))
        };
        all.filter(some)
            .map(|node| Holder {
                id: node.id,
                name: None,
                addresses: Vec::new(),
                partial: !node.swarm.is_complete() && node.manner != Manner::Boasts,
            })
            .collect()
    }

    /// Ends a node without closing its connections properly.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].alive = false;
        for link in std::mem::take(&mut self.nodes[node].links).into_values() {
            let reason = "the connection broke".into();
            let session = link.there;
            self.later(
                self.delay,
                Event::Input(link.node, Input::Closed { session, reason }),
            );
        }
    }

    /// Starts a node that was killed again, with what it has on disk.
    pub fn restart(&mut self, node: usize) {
        let layer = self.file.layer.clone();
        let config = Config {
            content: self.file.content,
            me: self.nodes[node].id,
            seed: 1,
            have: Have::Everything { layer },
            limits: SwarmLimits::default(),
        };
        let swarm = Swarm::new(self.instant(), config).unwrap();
        self.nodes[node].swarm = swarm;
        self.nodes[node].alive = true;
    }

    pub fn progress(&self, node: usize) -> SwarmProgress {
        self.nodes[node].swarm.progress()
    }

    /// Returns how many connections to the other one each of two nodes has.
    pub fn links_between(&self, a: usize, b: usize) -> (usize, usize) {
        let count = |from: usize, to: usize| {
            let links = self.nodes[from].links.values();
            links.filter(|link| link.node == to).count()
        };
        (count(a, b), count(b, a))
    }

    pub fn instant(&self) -> Instant {
        Instant::after_start(Duration::from_micros(self.now))
    }

    /// Runs until `done`, or for at most this long.
    pub fn run(&mut self, most: Duration, done: impl Fn(&Self) -> bool) {
        let end = self.now + u64::try_from(most.as_micros()).unwrap();
        for node in 0..self.nodes.len() {
            self.drain(node);
        }
        while !done(self) {
            let Some(Reverse((at, number))) = self.events.pop() else {
                return;
            };
            if at > end {
                self.events.push(Reverse((at, number)));
                self.now = end;
                return;
            }
            self.now = at;
            if let Some(event) = self.what.remove(&number) {
                self.happen(event);
            }
        }
    }

    fn later(&mut self, delay: u64, event: Event) {
        self.next += 1;
        self.events.push(Reverse((self.now + delay, self.next)));
        self.what.insert(self.next, event);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Tick(node) => {
                self.nodes[node].tick = None;
                self.input(node, Input::Tick);
            }
            Event::Input(node, input) => self.input(node, input),
            Event::Connect(node, peer) => self.connect(node, peer),
            Event::Free(node) => {
                self.nodes[node].sending = false;
                self.send_next(node);
            }
            Event::Reach(from, to, session, block, bytes, last) => {
                let node = &mut self.nodes[to];
                let free = node.free.max(self.now) + u64::from(bytes) * 1_000_000 / node.down;
                node.free = free;
                let come = Event::Come(from, to, session, block, bytes, last);
                self.later(free - self.now, come);
            }
            Event::Come(from, to, session, block, bytes, last) => {
                self.come(from, to, session, block, bytes, last);
            }
        }
    }

    /// Passes an input to a node, and carries out its outputs.
    pub fn input(&mut self, node: usize, input: Input) {
        if !self.nodes[node].alive {
            return;
        }
        if self.trace {
            println!("{:>10} {node} < {input:?}", self.now);
        }
        // Misbehaviour on receiving.
        if self.nodes[node].manner == Manner::Mute && matches!(input, Input::Message { .. }) {
            return;
        }
        if let Some(liar) = self.lies(node, &input) {
            self.nodes[node].lied_to_by.insert(liar);
        }
        let now = self.instant();
        self.nodes[node].swarm.handle(now, input);
        self.drain(node);
    }

    /// Returns the sender of wrong hashes that reach a node which still needs hashes.
    fn lies(&self, node: usize, input: &Input) -> Option<PeerId> {
        let Input::Message { session, message } = input else {
            return None;
        };
        let Message::Hashes(..) = message else {
            return None;
        };
        let swarm = &self.nodes[node].swarm;
        let from = swarm.sessions.get(session)?.source.member()?;
        let lies = |other: &Node| other.id == from && other.manner == Manner::WrongHashes;
        let needed = swarm.layer().is_none();
        (needed && self.nodes.iter().any(lies)).then_some(from)
    }

    /// Asserts that these bytes of a file that is being fetched are right on the node's disk.
    pub fn hold_against_disk(&self, node: usize, range: Range<u64>) {
        let piece_length = u64::from(self.file.layout.piece_length());
        let leaf = u64::from(LEAF_LENGTH);
        for at in range.start / leaf..range.end.div_ceil(leaf) {
            let piece = u32::try_from(at * leaf / piece_length).unwrap();
            let number = usize::try_from(at * leaf % piece_length / leaf).unwrap();
            let there = self.nodes[node].disk.get(&(piece, number));
            let right = self.file.leaves[piece as usize][number];
            assert_eq!(there, Some(&right), "a wrong byte can be read");
        }
    }

    /// Asserts that everything verified since the last time is on the node's disk.
    fn hold_verified_against_disk(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        let verified = node.swarm.progress().verified;
        if std::mem::replace(&mut node.verified, verified) == verified {
            return;
        }
        for piece in self.file.pieces().filter(|piece| node.swarm.has(*piece)) {
            for (at, leaf) in self.file.leaves_of(piece.number()).iter().enumerate() {
                if let Some(there) = node.disk.get(&(piece.number(), at)) {
                    assert_eq!(there, leaf, "a wrong byte was taken for a right one");
                }
            }
        }
    }

    fn drain(&mut self, node: usize) {
        while let Some(output) = self.nodes[node].swarm.poll_output() {
            if self.trace {
                println!("{:>10} {node} > {output:?}", self.now);
            }
            self.act(node, output);
        }
        self.hold_verified_against_disk(node);
        if self.careful {
            self.nodes[node].swarm.check();
        }
        let deadline = self.nodes[node].swarm.next_deadline();
        if let Some(deadline) = deadline {
            let at = u64::try_from((deadline - Instant::default()).as_micros()).unwrap();
            if self.nodes[node].tick.is_none_or(|tick| at < tick) && self.nodes[node].alive {
                self.nodes[node].tick = Some(at);
                self.later(at.saturating_sub(self.now), Event::Tick(node));
            }
        }
    }

    fn act(&mut self, node: usize, output: Output) {
        match output {
            Output::Dial(source) => {
                let holder = source.id().member().expect("all are members");
                self.later(2 * self.delay, Event::Connect(node, holder));
            }
            Output::Send(session, message) => {
                self.nodes[node].said += 1;
                self.nodes[node].asked += usize::from(matches!(message, Message::Request(_)));
                self.message(node, session, message);
            }
            Output::Close(session, _) => self.close(node, session),
            Output::Upload(session, block) => self.upload(node, session, block),
            Output::Withdraw(session, block) => {
                let Some(link) = self.nodes[node].links.get_mut(&session) else {
                    return;
                };
                let queued = link
                    .uploads
                    .iter()
                    .position(|(queued, sent)| *queued == block && *sent == 0);
                if let Some(place) = queued {
                    link.uploads.remove(place);
                    self.later(0, Event::Input(node, Input::NotServed { session, block }));
                }
            }
            Output::HashLeaves(session, range, pieces) => {
                let leaves = pieces
                    .iter()
                    .flat_map(|piece| self.file.leaves_of(piece.number()));
                let manner = self.nodes[node].manner;
                let proves = !matches!(manner, Manner::Changed(_) | Manner::Denies(_));
                let leaves = Some(leaves.collect()).filter(|_| proves);
                if matches!(manner, Manner::Changed(_)) {
                    self.nodes[node].manner = Manner::Changed(0);
                }
                let input = Input::LeavesHashed {
                    session,
                    range,
                    leaves,
                };
                self.later(1000, Event::Input(node, input));
            }
            Output::HashPiece(_) => unreachable!("it is no torrent"),
            Output::ToCome(bytes) => self.nodes[node].to_come = Some(bytes),
            Output::Complete { sources } => {
                self.nodes[node].complete = Some(self.now);
                let members = sources.into_iter().filter_map(SourceId::member);
                self.nodes[node].from = members.collect();
            }
            // There are no clients here.
            Output::WantsClients { .. } => {}
            Output::Readable(reader) => {
                self.nodes[node].told.insert(reader);
            }
            Output::Stuck(stuck) => self.nodes[node].stuck.push(stuck),
            Output::Blame(source) => {
                let peer = source.member().expect("all are members");
                self.nodes[node].blamed.insert(peer);
            }
            Output::Widen => {
                let holders = self.holders();
                self.later(2 * self.delay, Event::Input(node, Input::Holders(holders)));
            }
        }
    }

    fn message(&mut self, node: usize, session: SessionId, message: Message) {
        let message = match (self.nodes[node].manner, message) {
            (Manner::Mute, _) | (Manner::Promises, Message::Hashes(..)) => return,
            (Manner::Boasts, Message::HaveNone) => Message::HaveAll,
            (Manner::WrongHashes, Message::Hashes(range, mut hashes)) => {
                hashes[0][0] ^= 0xff;
                Message::Hashes(range, hashes)
            }
            (Manner::Conspires, Message::Hashes(range, _)) if range.base == 0 => {
                self.suspicion = true;
                Message::HashReject(range)
            }
            (Manner::WithoutLeaves, Message::Hashes(range, _)) if range.base == 0 => {
                Message::HashReject(range)
            }
            (_, message) => message,
        };
        if let Some(link) = self.nodes[node].links.get(&session) {
            let (to, session) = (link.node, link.there);
            self.later(
                self.delay,
                Event::Input(to, Input::Message { session, message }),
            );
        }
    }

    fn connect(&mut self, node: usize, peer: PeerId) {
        let other = self.nodes.iter().position(|other| {
            other.id == peer && other.alive && other.manner != Manner::Changed(0)
        });
        let Some(other) = other.filter(|_| self.nodes[node].alive) else {
            let reason = "nobody answers there".into();
            return self.input(
                node,
                Input::DialFailed {
                    source: peer.into(),
                    reason,
                },
            );
        };
        self.next += 2;
        let (here, there) = (SessionId(self.next), SessionId(self.next + 1));
        self.next += 2;
        let link = |node, there| Link {
            node,
            there,
            uploads: VecDeque::new(),
            under_way: 0,
            told: 0,
            untold: 0,
        };
        self.nodes[node].links.insert(here, link(other, there));
        self.nodes[other].links.insert(there, link(node, here));
        for (end, session, far, dialled) in [(other, there, node, false), (node, here, other, true)]
        {
            let peer = self.nodes[far].id;
            let plain = [end, far].iter().any(|end| self.nodes[*end].plain);
            let offer = Offer {
                fast: !plain,
                longest_request: if plain { 16 } else { 1024 } * 1024,
                most_requests: plain.then_some(50),
                member: !plain,
                hashes: true,
            };
            let opened = Input::Opened {
                session,
                source: peer.into(),
                account: Account::Member(peer),
                dialled,
                offer,
            };
            self.input(end, opened);
        }
    }

    fn close(&mut self, node: usize, session: SessionId) {
        if let Some(link) = self.nodes[node].links.remove(&session) {
            let reason = || "the other end has closed it".to_string();
            let there = Input::Closed {
                session: link.there,
                reason: reason(),
            };
            self.later(self.delay, Event::Input(link.node, there));
            self.later(
                0,
                Event::Input(
                    node,
                    Input::Closed {
                        session,
                        reason: reason(),
                    },
                ),
            );
        }
    }

    fn upload(&mut self, node: usize, session: SessionId, block: Block) {
        if matches!(
            self.nodes[node].manner,
            Manner::Idle | Manner::Mute | Manner::Promises
        ) {
            return;
        }
        if self.nodes[node].manner == Manner::Refuses {
            return self.later(100, Event::Input(node, Input::NotServed { session, block }));
        }
        if self.nodes[node].manner == Manner::Conspires && self.suspicion {
            return self.drip(node, session);
        }
        if let Some(link) = self.nodes[node].links.get_mut(&session) {
            link.uploads.push_back((block, 0));
            self.send_next(node);
        }
    }

    /// Sends one byte a second for ten minutes.
    fn drip(&mut self, node: usize, session: SessionId) {
        let Some(link) = self.nodes[node].links.get(&session) else {
            return;
        };
        let (to, session) = (link.node, link.there);
        for second in 0..600 {
            let byte = Input::Flowing { session, bytes: 1 };
            self.later(second * 1_000_000, Event::Input(to, byte));
        }
    }

    /// Sends the next bytes over a node's link, from the connection whose turn it is.
    fn send_next(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        if node.sending || !node.alive {
            return;
        }
        let ready = |(_, link): &(&SessionId, &Link)| {
            !link.uploads.is_empty() && link.under_way < UNDER_WAY
        };
        let after = node.links.range((
            std::ops::Bound::Excluded(node.turn),
            std::ops::Bound::Unbounded,
        ));
        let session = after
            .chain(node.links.range(..=node.turn))
            .find(ready)
            .map(|(id, _)| *id);
        let Some(session) = session else {
            return;
        };
        node.turn = session;
        let link = node.links.get_mut(&session).unwrap();
        let (block, sent) = link.uploads.front_mut().unwrap();
        let bytes = TURN.min(block.length() - *sent);
        *sent += bytes;
        let (block, last) = (*block, *sent == block.length());
        link.under_way += u64::from(bytes);
        if last {
            link.uploads.pop_front();
        }
        let (to, there) = (link.node, link.there);
        node.sending = true;
        node.sent += u64::from(bytes);
        let time = u64::from(bytes) * 1_000_000 / node.up;
        self.later(time, Event::Free(number));
        self.later(
            time + self.delay,
            Event::Reach(number, to, there, block, bytes, last),
        );
        if last {
            self.later(time, Event::Input(number, Input::Served { session, block }));
        }
    }

    fn come(
        &mut self,
        from: usize,
        to: usize,
        session: SessionId,
        block: Block,
        bytes: u32,
        last: bool,
    ) {
        let Some(link) = self.nodes[to].links.get_mut(&session) else {
            return;
        };
        link.untold += bytes;
        let far = link.there;
        let slow = self.now - link.told >= 1_000_000;
        if let Some(link) = self.nodes[from].links.get_mut(&far) {
            link.under_way -= u64::from(bytes);
            self.send_next(from);
        }
        if !self.nodes[to].alive {
            return;
        }
        let now = self.instant();
        let expected = self.nodes[to]
            .swarm
            .on_piece(now, session, span_of(block))
            .is_some();
        let link = self.nodes[to].links.get_mut(&session).unwrap();
        if !last {
            if slow && expected {
                link.told = self.now;
                let bytes = std::mem::take(&mut link.untold);
                self.input(to, Input::Flowing { session, bytes });
            }
            return self.drain(to);
        }
        link.told = self.now;
        link.untold = 0;
        if !expected || !self.nodes[to].swarm.claim(now, session, block) {
            self.nodes[to].wasted += u64::from(block.length());
            return self.drain(to);
        }
        self.drain(to);
        let mut leaves = self.file.leaves_in(block);
        let one_in = match self.nodes[from].manner {
            Manner::WrongLeaves(one_in) | Manner::Changed(one_in) | Manner::Denies(one_in) => {
                Some(one_in)
            }
            Manner::Conspires => Some(1),
            _ => None,
        };
        if let Some(one_in) = one_in {
            for (at, leaf) in (0..).zip(&mut leaves) {
                let place = block.begin() / LEAF_LENGTH + at + block.piece().number() * 7;
                if place.is_multiple_of(one_in) {
                    leaf[31] ^= 0x55;
                }
            }
        }
        let first = (block.begin() / LEAF_LENGTH) as usize;
        for (at, leaf) in leaves.iter().enumerate() {
            let place = (block.piece().number(), first + at);
            self.nodes[to].disk.insert(place, *leaf);
        }
        self.input(
            to,
            Input::Written {
                session,
                block,
                leaves,
            },
        );
    }
}

//! Many peers that want one large file at the same moment, in virtual time: the swarms of
//! `core` on machines with a link each.
//!
//! A link sends 16 KiB at a time, its connections in turns, and takes in what arrives in
//! the same way; a little waits in front of it at either end, as in a router. A connection is a
//! stream: what is said goes behind the block that is being written, and behind what the system
//! has taken of earlier ones and not sent yet. A block is its place in the file and the hashes of
//! its leaves; there are no bytes.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use thorp_core::bound::Account;
use thorp_core::swarm::{
    Config, Have, Input, NamedSource, Offer, Output, SessionId, Swarm, SwarmLimits,
};
use thorp_core::time::Instant;
use thorp_wire::frame::Holder;
use thorp_wire::layout::{Block, Layout, Piece};
use thorp_wire::merkle::{self, Hash};
use thorp_wire::session::{Message, Span};
use thorp_wire::{Content, PeerId};

use crate::chance::as_f64;
use crate::network::{Node, id_of, node_of};

const TURN: u32 = 16 * 1024;
/// What a short message takes on the wire, with all that is around it.
const MESSAGE: u32 = 128;
const LEAF: u32 = 16 * 1024;
/// How often it is kept how the crowd stands, in microseconds.
const MOMENT: u64 = 500_000;
/// The node that has the file at the beginning.
const HOLDER: Node = 0;

/// Who wants what, over which links.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// How many fetch it, from one holder.
    pub fetchers: usize,
    /// The length of the file in bytes.
    pub length: u64,
    /// Bytes a second of each link, in each direction.
    pub rate: u64,
    /// One way between any two.
    pub delay: Duration,
    /// How long a byte waits at most in front of a link that is busy, at either end of it.
    pub queue: Duration,
    /// How many times as much one connection of a busy link gets as another at most: 1 or more.
    pub uneven: u32,
    /// How many bytes of a connection the system takes that it cannot send yet.
    pub unsent: u32,
    /// How long after the first fetcher the last one begins.
    pub over: Duration,
    /// How peers treat one another.
    pub habits: Habits,
}

/// How peers treat one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habits {
    /// As members do: all are served, in requests of up to 256 KiB.
    Members,
    /// As ordinary clients of BitTorrent do: four are served at a time and the others are choked,
    /// requests are of 16 KiB, and fifty of them may be open.
    Clients,
}

/// How it went.
#[derive(Clone, Debug, PartialEq)]
pub struct Spreading {
    /// The longest that any of them took, from its own beginning.
    pub last: Duration,
    /// Half of them took no longer.
    pub half: Duration,
    /// No way to spread it is quicker than this.
    pub fluid_bound: Duration,
    /// How often the holder has sent the whole file.
    pub copies: f64,
    /// The share of bytes that were sent in vain.
    pub in_vain: f64,
    /// When the holder had sent each piece at least once.
    pub all_given: Duration,
    /// Messages that a fetcher has sent, on average.
    pub said: f64,
    /// How many of them are requests.
    pub asked: f64,
    /// The piece that came last, to any fetcher.
    pub last_piece: LastPiece,
    /// What has happened.
    pub events: u64,
    /// How it stood at the end of each half second.
    pub moments: Vec<Moment>,
}

/// How the last piece came to the last fetcher.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LastPiece {
    /// Whether the holder has sent the last of it.
    pub from_holder: bool,
    /// When the holder has sent the first byte of it to anybody.
    pub first_given: Duration,
    /// When its last byte was asked for.
    pub asked: Duration,
    /// When its last byte came.
    pub came: Duration,
}

/// How a crowd stands at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moment {
    /// How often the holder has sent the whole file so far.
    pub copies: f64,
    /// The share of all pieces that it has sent at least once.
    pub given: f64,
    /// The share of the file that a fetcher has, on average.
    pub there: f64,
    /// How much of the time since the last moment the holder's link was sending.
    pub holder_busy: f64,
    /// The same of the fetchers' links, on average.
    pub fetchers_busy: f64,
    /// How many fetchers have begun and have no piece yet.
    pub with_nothing: usize,
    /// Connections of a fetcher, on average.
    pub connections: f64,
    /// Bytes that a fetcher was asked for and has not sent, on average.
    pub waiting: f64,
}

impl Crowd {
    /// Plays it to the end, or for an hour. Nothing if some do not have it by then.
    pub fn play(&self, seed: u64) -> Option<Spreading> {
        let mut scene = Scene::new(self, seed);
        scene.run(Duration::from_hours(1));
        let fetchers = scene.nodes[1..].iter();
        let ends = fetchers.map(|node| Some(node.complete? - node.begins));
        let mut ends = ends.collect::<Option<Vec<u64>>>()?;
        ends.sort_unstable();
        let sent: u64 = scene.nodes.iter().map(|node| node.sent).sum();
        Some(Spreading {
            last: Duration::from_micros(*ends.last()?),
            half: Duration::from_micros(*ends.get(ends.len() / 2)?),
            fluid_bound: self.fluid_bound(),
            copies: as_f64(scene.nodes[HOLDER].sent) / as_f64(self.length),
            in_vain: as_f64(scene.in_vain) / as_f64(sent),
            all_given: Duration::from_micros(scene.given.values().copied().max().unwrap_or(0)),
            said: as_f64(scene.said) / as_f64(self.fetchers as u64),
            asked: as_f64(scene.asked) / as_f64(self.fetchers as u64),
            last_piece: scene.last_piece,
            events: scene.events,
            moments: scene.moments,
        })
    }

    /// The holder sends all of it once, each fetcher receives all of it, and all links together
    /// send as many copies as there are fetchers.
    fn fluid_bound(&self) -> Duration {
        let fetchers = as_f64(self.fetchers as u64);
        let one = as_f64(self.length) / as_f64(self.rate);
        Duration::from_secs_f64(one.max(one * fetchers / (fetchers + 1.0)))
    }
}

struct Scene {
    crowd: Crowd,
    now: u64,
    content: Content,
    layer: Vec<Hash>,
    /// By piece.
    leaves: Vec<Vec<Hash>>,
    nodes: Vec<Machine>,
    chance: fastrand::Rng,
    queue: BinaryHeap<Event>,
    number: u64,
    in_vain: u64,
    events: u64,
    /// How many fetchers have all of it.
    complete: usize,
    /// The pieces that the holder has sent, and when it began to.
    given: BTreeMap<Piece, u64>,
    /// When each block was last asked for, by whom.
    asked_at: BTreeMap<(Node, Block), u64>,
    last_piece: LastPiece,
    said: u64,
    asked: u64,
    moments: Vec<Moment>,
    /// What the links had sent at the last of them.
    sent_before: Vec<u64>,
}

struct Machine {
    swarm: Swarm,
    /// When it begins to fetch.
    begins: u64,
    links: BTreeMap<SessionId, Link>,
    /// The `turn` of the connection that was last to send.
    turn: u64,
    /// When all is sent that was put on the link so far.
    busy_until: u64,
    /// When it looks for more to put there.
    sends_at: Option<u64>,
    /// When all that has arrived so far is taken in.
    taken_in: u64,
    wakes_at: Option<u64>,
    sent: u64,
    complete: Option<u64>,
}

/// One end of a connection.
struct Link {
    far: Node,
    there: SessionId,
    uploads: VecDeque<Block>,
    /// The next block, which is read already.
    ahead: Option<Block>,
    /// The block that is being written, and how much of it the system has taken.
    writing: Option<(Block, u32)>,
    messages: VecDeque<Message>,
    /// What the system has taken and not sent.
    unsent: VecDeque<Item>,
    unsent_bytes: u32,
    /// Which of several connections sends next: the one with the lowest. It grows with what is sent,
    /// divided by the connection's share.
    turn: u64,
    share: u32,
    /// When bytes were last reported as flowing, and how many have arrived since.
    told: u64,
    untold: u32,
}

/// What happens next is the greatest.
struct Event {
    at: u64,
    number: u64,
    what: What,
}

enum What {
    Begins(Node),
    Moment,
    Wake(Node),
    Input(Node, Box<Input>),
    Connect(Node, PeerId),
    LinkFree(Node),
    TakenIn(Node, SessionId, Item),
}

/// A part of a stream.
enum Item {
    Message(Message),
    /// Some bytes of a block.
    Part(Part),
}

#[derive(Clone, Copy)]
struct Part {
    block: Block,
    bytes: u32,
    is_last: bool,
}

impl Scene {
    fn new(crowd: &Crowd, seed: u64) -> Self {
        let layout = Layout::of(crowd.length);
        let pieces = layout.pieces().expect("not too long");
        let pieces = (0..pieces).map(|number| layout.piece(number).expect("a piece"));
        let leaves: Vec<Vec<Hash>> = pieces
            .clone()
            .map(|piece| leaves_of(layout, piece))
            .collect();
        let layer: Vec<Hash> = pieces
            .zip(&leaves)
            .map(|(piece, leaves)| merkle::piece_hash(layout, piece, leaves).expect("all leaves"))
            .collect();
        let root = merkle::root_of_layer(layout, &layer).expect("all pieces");
        let mut scene = Self {
            crowd: *crowd,
            now: 0,
            content: Content {
                length: crowd.length,
                root,
            },
            layer,
            leaves,
            nodes: Vec::new(),
            chance: fastrand::Rng::with_seed(seed),
            queue: BinaryHeap::new(),
            number: 0,
            in_vain: 0,
            events: 0,
            complete: 0,
            given: BTreeMap::new(),
            asked_at: BTreeMap::new(),
            last_piece: LastPiece::default(),
            said: 0,
            asked: 0,
            moments: Vec::new(),
            sent_before: vec![0; crowd.fetchers + 1],
        };
        for node in 0..=crowd.fetchers {
            let machine = scene.machine(node, seed);
            scene.nodes.push(machine);
        }
        for node in 1..=crowd.fetchers {
            scene.later(scene.nodes[node].begins, What::Begins(node));
        }
        scene.later(MOMENT, What::Moment);
        scene
    }

    fn machine(&self, node: Node, seed: u64) -> Machine {
        let have = if node == HOLDER {
            let layer = self.layer.clone();
            Have::Everything { layer }
        } else {
            Have::Nothing
        };
        let limits = match self.crowd.habits {
            Habits::Members => SwarmLimits::default(),
            Habits::Clients => SwarmLimits {
                uploads: 4,
                ..SwarmLimits::default()
            },
        };
        let gap = micros(self.crowd.over) / (self.crowd.fetchers.max(2) as u64 - 1);
        let begins = gap * (node as u64).saturating_sub(1);
        let config = Config {
            content: self.content,
            me: id_of(node),
            seed: seed ^ (node as u64) << 20,
            have,
            limits,
        };
        Machine {
            swarm: Swarm::new(Instant::after_start(Duration::from_micros(begins)), config)
                .expect("a file that fits"),
            begins,
            links: BTreeMap::new(),
            turn: 0,
            busy_until: 0,
            sends_at: None,
            taken_in: 0,
            wakes_at: None,
            sent: 0,
            complete: None,
        }
    }

    fn run(&mut self, most: Duration) {
        while self.complete < self.crowd.fetchers
            && let Some(event) = self.queue.pop()
            && Duration::from_micros(event.at) <= most
        {
            self.now = event.at;
            self.events += 1;
            self.happen(event.what);
        }
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Begins(node) => {
                let holders = self.holders();
                self.give(node, Input::Holders(holders));
            }
            What::Moment => self.look(),
            What::Wake(node) => {
                self.nodes[node].wakes_at = None;
                self.give(node, Input::Tick);
            }
            What::Input(node, input) => {
                if let Input::Closed { session, .. } = *input {
                    self.nodes[node].links.remove(&session);
                }
                self.give(node, *input);
            }
            What::Connect(node, to) => self.connect(node, to),
            What::LinkFree(node) => {
                // Not if it was to be sooner meanwhile.
                if self.nodes[node].sends_at == Some(self.now) {
                    self.nodes[node].sends_at = None;
                    self.send_next(node);
                }
            }
            What::TakenIn(node, session, item) => match item {
                Item::Message(message) => self.give(node, Input::Message { session, message }),
                Item::Part(part) => self.take_in(node, session, part),
            },
        }
    }

    fn give(&mut self, node: Node, input: Input) {
        let now = self.instant();
        self.nodes[node].swarm.handle(now, input);
        self.drain(node);
    }

    fn drain(&mut self, node: Node) {
        while let Some(output) = self.nodes[node].swarm.poll_output() {
            self.carry_out(node, output);
        }
        let Some(due) = self.nodes[node].swarm.next_deadline() else {
            return;
        };
        let at = micros(due - Instant::default()).max(self.now);
        if self.nodes[node]
            .wakes_at
            .is_none_or(|wakes_at| at < wakes_at)
        {
            self.nodes[node].wakes_at = Some(at);
            self.later(at - self.now, What::Wake(node));
        }
    }

    fn carry_out(&mut self, node: Node, output: Output) {
        let delay = micros(self.crowd.delay);
        match output {
            Output::Dial(NamedSource::Member(holder)) => {
                self.later(2 * delay, What::Connect(node, holder.id));
            }
            Output::Send(session, message) => {
                self.said += u64::from(node != HOLDER);
                if let Message::Request(span) = message {
                    self.asked += 1;
                    let layout = Layout::of(self.crowd.length);
                    let block = layout.block(span.piece, span.begin, span.length);
                    self.asked_at
                        .insert((node, block.expect("a block")), self.now);
                }
                if let Some(link) = self.nodes[node].links.get_mut(&session) {
                    link.messages.push_back(message);
                    self.write(node, session);
                }
            }
            Output::Close(session, _) => self.close(node, session),
            Output::Upload(session, block) => {
                if let Some(link) = self.nodes[node].links.get_mut(&session) {
                    link.uploads.push_back(block);
                    self.write(node, session);
                }
            }
            Output::Withdraw(session, block) => self.withdraw(node, session, block),
            Output::HashLeaves(session, range, pieces) => {
                let leaves = pieces.iter().flat_map(|piece| self.leaves_of(*piece));
                let leaves = Some(leaves.copied().collect());
                let hashed = Input::LeavesHashed {
                    session,
                    range,
                    leaves,
                };
                self.input(1000, node, hashed);
            }
            Output::Complete { .. } => {
                self.nodes[node].complete = Some(self.now);
                self.complete += usize::from(node != HOLDER);
            }
            Output::Widen => {
                // The tracker is as far away as all others.
                let holders = self.holders();
                self.input(2 * delay, node, Input::Holders(holders));
            }
            // There are no clients, no torrents and no readers here.
            Output::Dial(NamedSource::Client(_))
            | Output::HashPiece(_)
            | Output::Readable(_)
            | Output::ToCome(_)
            | Output::Stuck(_)
            | Output::Blame(_) => {}
        }
    }

    fn connect(&mut self, node: Node, to: PeerId) {
        let Some(far) = node_of(to) else {
            return;
        };
        self.number += 2;
        let ends = [SessionId(self.number - 1), SessionId(self.number)];
        for (at, session, far, there, dialled) in [
            (far, ends[1], node, ends[0], false),
            (node, ends[0], far, ends[1], true),
        ] {
            let share = 1 << self.chance.u32(0..=self.crowd.uneven.ilog2());
            let link = Link::to(far, there, share);
            self.nodes[at].links.insert(session, link);
            let peer = id_of(far);
            let opened = Input::Opened {
                session,
                peer: peer.into(),
                account: Account::Member(peer),
                dialled,
                offer: self.crowd.habits.offer(),
            };
            self.input(0, at, opened);
        }
    }

    fn close(&mut self, node: Node, session: SessionId) {
        if let Some(link) = self.nodes[node].links.remove(&session) {
            let closed = |session| Input::Closed {
                session,
                reason: "closed".to_owned(),
            };
            self.input(micros(self.crowd.delay), link.far, closed(link.there));
            self.input(0, node, closed(session));
        }
    }

    fn withdraw(&mut self, node: Node, session: SessionId, block: Block) {
        let Some(link) = self.nodes[node].links.get_mut(&session) else {
            return;
        };
        if let Some(place) = link.uploads.iter().position(|queued| *queued == block) {
            link.uploads.remove(place);
            self.input(0, node, Input::NotServed { session, block });
        }
    }

    fn write(&mut self, from: Node, session: SessionId) {
        self.fill(from, session);
        self.send_next(from);
    }

    /// Gives the system what it takes of a connection: messages first, but none within a block.
    fn fill(&mut self, from: Node, session: SessionId) {
        let Some(link) = self.nodes[from].links.get_mut(&session) else {
            return;
        };
        let mut served = Vec::new();
        while link.unsent_bytes < self.crowd.unsent {
            if let Some((block, written)) = &mut link.writing {
                let bytes = TURN.min(block.length() - *written);
                *written += bytes;
                let is_last = *written == block.length();
                let block = *block;
                link.unsent_bytes += bytes;
                let part = Part {
                    block,
                    bytes,
                    is_last,
                };
                link.unsent.push_back(Item::Part(part));
                if is_last {
                    link.writing = None;
                    served.push(block);
                }
            } else if let Some(message) = link.messages.pop_front() {
                link.unsent_bytes += MESSAGE;
                link.unsent.push_back(Item::Message(message));
            } else if let Some(block) = link.ahead.take().or_else(|| link.uploads.pop_front()) {
                link.writing = Some((block, 0));
                link.ahead = link.uploads.pop_front();
            } else {
                break;
            }
        }
        for block in served {
            self.input(0, from, Input::Served { session, block });
        }
    }

    /// Sends the next bytes over a node's link, from the connection whose turn it is and that gets
    /// through at the other end.
    fn send_next(&mut self, from: Node) {
        let (delay, queue) = (micros(self.crowd.delay), micros(self.crowd.queue));
        while self.nodes[from].busy_until <= self.now + queue {
            let node = &self.nodes[from];
            let (mut next, mut soonest) = (None, u64::MAX);
            for (session, link) in &node.links {
                if link.unsent.is_empty() {
                    continue;
                }
                let arrives = node.busy_until.max(self.now) + delay;
                let late = self.nodes[link.far]
                    .taken_in
                    .saturating_sub(arrives + queue);
                if late > 0 {
                    soonest = soonest.min(self.now + late);
                } else if next.is_none_or(|(turn, _)| link.turn < turn) {
                    next = Some((link.turn, *session));
                }
            }
            let Some((_, session)) = next else {
                if soonest < u64::MAX {
                    self.send_at(from, soonest);
                }
                return;
            };
            self.put_on_link(from, session);
        }
        let at = self.nodes[from].busy_until - queue;
        self.send_at(from, at);
    }

    fn send_at(&mut self, node: Node, at: u64) {
        let at = at.max(self.now + 1);
        if self.nodes[node]
            .sends_at
            .is_none_or(|sends_at| at < sends_at)
        {
            self.nodes[node].sends_at = Some(at);
            self.later(at - self.now, What::LinkFree(node));
        }
    }

    fn put_on_link(&mut self, from: Node, session: SessionId) {
        let node = &mut self.nodes[from];
        let Some(link) = node.links.get_mut(&session) else {
            return;
        };
        let Some(item) = link.unsent.pop_front() else {
            return;
        };
        let bytes = match &item {
            Item::Message(_) => MESSAGE,
            Item::Part(part) => part.bytes,
        };
        link.unsent_bytes -= bytes;
        // One that had nothing to send has saved nothing for later.
        link.turn = link.turn.max(node.turn);
        node.turn = link.turn;
        link.turn += u64::from(bytes) * u64::from(self.crowd.uneven) / u64::from(link.share);
        let (far, there) = (link.far, link.there);
        let takes = u64::from(bytes) * 1_000_000 / self.crowd.rate;
        node.busy_until = node.busy_until.max(self.now) + takes;
        let arrives = node.busy_until + micros(self.crowd.delay);
        if let Item::Part(part) = &item {
            node.sent += u64::from(bytes);
            if from == HOLDER {
                self.given.entry(part.block.piece()).or_insert(self.now);
            }
        }
        // All ways are equally long: what is sent first arrives first.
        let to = &mut self.nodes[far];
        to.taken_in = to.taken_in.max(arrives) + takes;
        let taken_in = to.taken_in;
        self.later(taken_in - self.now, What::TakenIn(far, there, item));
        self.fill(from, session);
    }

    fn take_in(&mut self, to: Node, session: SessionId, part: Part) {
        let block = part.block;
        let Some(link) = self.nodes[to].links.get_mut(&session) else {
            return;
        };
        link.untold += part.bytes;
        let from = link.far;
        let span = Span {
            piece: block.piece().number(),
            begin: block.begin(),
            length: block.length(),
        };
        let (now, at) = (self.now, self.instant());
        let expected = self.nodes[to].swarm.on_piece(at, session, span);
        let is_expected = expected.is_some();
        let Some(link) = self.nodes[to].links.get_mut(&session) else {
            return;
        };
        let is_slow = now - link.told >= 1_000_000;
        if is_slow || part.is_last {
            link.told = now;
            let bytes = std::mem::take(&mut link.untold);
            if is_expected && !part.is_last {
                self.give(to, Input::Flowing { session, bytes });
            }
        }
        if !part.is_last {
            return self.drain(to);
        }
        if !is_expected || !self.nodes[to].swarm.claim(at, session, block) {
            self.in_vain += u64::from(block.length());
            return self.drain(to);
        }
        let came = Duration::from_micros(self.now);
        let since = |at: Option<&u64>| Duration::from_micros(at.copied().unwrap_or(0));
        self.last_piece = LastPiece {
            from_holder: from == HOLDER,
            first_given: since(self.given.get(&block.piece())),
            asked: since(self.asked_at.get(&(to, block))),
            came,
        };
        let first = (block.begin() / LEAF) as usize;
        let end = (block.begin() + block.length()).div_ceil(LEAF) as usize;
        let leaves = self.leaves_of(block.piece())[first..end].to_vec();
        self.give(
            to,
            Input::Written {
                session,
                block,
                leaves,
            },
        );
    }

    /// Who has some of it now, as a tracker would say.
    fn holders(&self) -> Vec<Holder> {
        let nodes = self.nodes.iter().enumerate();
        let with_some = nodes.filter(|(_, node)| node.swarm.progress().verified > 0);
        let holder = |(node, machine): (Node, &Machine)| Holder {
            id: id_of(node),
            name: None,
            addresses: Vec::new(),
            partial: !machine.swarm.is_complete(),
        };
        with_some.map(holder).collect()
    }

    /// Keeps how the crowd stands.
    fn look(&mut self) {
        let begun = self.nodes.iter().skip(1);
        let begun: Vec<&Machine> = begun.filter(|node| node.begins <= self.now).collect();
        let number = as_f64(begun.len() as u64);
        let sum = |of: &dyn Fn(&Machine) -> u64| as_f64(begun.iter().map(|node| of(node)).sum());
        let could = as_f64(self.crowd.rate) * as_f64(MOMENT) / 1e6;
        let sent: u64 = self.sent_before[1..].iter().sum();
        let holder = &self.nodes[HOLDER];
        let busy = |now: f64, before: u64| (now - as_f64(before)) / could;
        self.moments.push(Moment {
            copies: as_f64(holder.sent) / as_f64(self.crowd.length),
            given: as_f64(self.given.len() as u64) / as_f64(self.layer.len() as u64),
            there: sum(&|node| node.swarm.progress().verified) / as_f64(self.crowd.length) / number,
            holder_busy: busy(as_f64(holder.sent), self.sent_before[HOLDER]),
            fetchers_busy: busy(sum(&|node| node.sent), sent) / number,
            with_nothing: begun
                .iter()
                .filter(|node| node.swarm.progress().verified == 0)
                .count(),
            connections: sum(&|node| node.links.len() as u64) / number,
            waiting: sum(&|node| node.links.values().map(Link::waiting).sum()) / number,
        });
        self.sent_before = self.nodes.iter().map(|node| node.sent).collect();
        self.later(MOMENT, What::Moment);
    }

    fn leaves_of(&self, piece: Piece) -> &[Hash] {
        &self.leaves[piece.number() as usize]
    }

    fn input(&mut self, delay: u64, node: Node, input: Input) {
        self.later(delay, What::Input(node, Box::new(input)));
    }

    fn later(&mut self, delay: u64, what: What) {
        self.number += 1;
        self.queue.push(Event {
            at: self.now + delay,
            number: self.number,
            what,
        });
    }

    fn instant(&self) -> Instant {
        Instant::after_start(Duration::from_micros(self.now))
    }
}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Event {}

impl Link {
    /// Bytes that the far end has asked for and that are not sent.
    fn waiting(&self) -> u64 {
        let queued = self.uploads.iter().chain(&self.ahead);
        let queued: u64 = queued.map(|block| u64::from(block.length())).sum();
        let rest = self
            .writing
            .map_or(0, |(block, written)| block.length() - written);
        queued + u64::from(rest + self.unsent_bytes)
    }

    fn to(far: Node, there: SessionId, share: u32) -> Self {
        Self {
            far,
            there,
            uploads: VecDeque::new(),
            ahead: None,
            writing: None,
            messages: VecDeque::new(),
            unsent: VecDeque::new(),
            unsent_bytes: 0,
            turn: 0,
            share,
            told: 0,
            untold: 0,
        }
    }
}

impl Habits {
    fn offer(self) -> Offer {
        let is_member = self == Self::Members;
        Offer {
            fast: true,
            longest_request: if is_member { 256 } else { 16 } * 1024,
            most_requests: (!is_member).then_some(50),
            member: is_member,
            hashes: true,
        }
    }
}

/// Hashes that no other piece has.
fn leaves_of(layout: Layout, piece: Piece) -> Vec<Hash> {
    let leaf = |at: u32| {
        let mut hash = [1; 32];
        hash[..4].copy_from_slice(&piece.number().to_be_bytes());
        hash[4..8].copy_from_slice(&at.to_be_bytes());
        hash
    };
    (0..layout.leaves_of(piece)).map(leaf).collect()
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

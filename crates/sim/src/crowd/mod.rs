//! Many peers that want one large file at the same moment, in virtual time: the swarms of
//! `core` on machines with a link each.
//!
//! A link sends 16 KiB at a time, its connections in turns, and takes in what arrives in
//! the same way; a little waits in front of it at either end, as in a router. A connection is a
//! stream: what is said goes behind the block that is being written, and behind what the system
//! has taken of earlier ones and not sent yet. A block is its place in the file and the hashes of
//! its leaves; there are no bytes.

mod spreading;
mod wires;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use thorp_core::bound::Account;
use thorp_core::swarm::{
    Config, Have, Input, NamedSource, Offer, Output, SessionId, Swarm, SwarmLimits,
};
use thorp_core::time::Instant;
use thorp_wire::frame::Holder;
use thorp_wire::layout::{Block, Layout, Piece};
use thorp_wire::merkle::{self, Hash};
use thorp_wire::session::Message;
use thorp_wire::{Content, PeerId};

use crate::chance::as_f64;
use crate::network::{Node, id_of, node_of};
pub use spreading::{LastPiece, Moment, Spreading};
use wires::{Item, Link};

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
            | Output::WantsClients { .. }
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
                source: peer.into(),
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

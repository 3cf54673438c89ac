//! A village in virtual time: peers and a tracker joined by links in memory.
//!
//! Every frame is really encoded and decoded. Nothing is decided here: this module delivers frames
//! with a delay, dials by address, serves `Get`s from a simulated store, and records the outputs
//! of the machines.

// Each test program has its own copy of this module and uses a part of it.
#![allow(dead_code, unused_imports)]

mod gets;
mod shown;
mod values;
mod wires;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use thorp_core::catalogue::Catalogue;
use thorp_core::get::{self, FetchId, GetId, Look, Looked, NotStored, Output as Told};
use thorp_core::links::{self, LinkId, Me, Party};
use thorp_core::peer::{self, Hearing, Notice, Peer, SurveyId, Target, Unanswered};
use thorp_core::remembered::Known;
use thorp_core::survey::Coverage;
use thorp_core::time::Instant;
use thorp_core::tracker::{self, Tracker};
use thorp_wire::frame::{MemberRow, Variant};
use thorp_wire::{Attributes, Content, Entry, Frame, Name, PeerId};

pub use gets::{request, request_from};
pub use values::{GENUINE, content, entry, id, name_of, record};

pub const TRACKER_INTERVAL: Duration = Duration::from_secs(5);
pub const NEIGHBOUR_INTERVAL: Duration = Duration::from_secs(15);
const DELAY: Duration = Duration::from_millis(1);
/// How long a dial to a machine that does not answer takes to fail.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);

/// The index of a node in the village. The tracker is the first one.
pub type Node = usize;
pub const TRACKER: Node = 0;

/// How the store of a peer answers a `Get`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Honest,
    /// Answers that it does not have the file.
    Without,
    /// Sends wrong data.
    Lying,
    /// Sends nothing.
    Mute,
    /// Answers that it is too busy.
    Busy,
    /// Answers that the file has changed.
    Changing,
}

pub struct Village {
    pub now: Instant,
    nodes: Vec<Host>,
    cables: BTreeMap<u64, Cable>,
    queue: BTreeMap<(Instant, u64), (Node, Event)>,
    counter: u64,
    /// How many bytes all listings may take at a tracker that is started.
    pub tracker_room: u64,
    /// How many frames of each type have reached each node.
    pub frames: BTreeMap<(Node, &'static str), u64>,
}

/// Everything that a survey has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    pub files: Vec<Variant>,
    pub members: Vec<MemberRow>,
    pub coverage: Coverage,
}

struct Host {
    ip: IpAddr,
    port: u16,
    machine: Machine,
    /// Whether it is cut off: nothing is sent or received, and no other node notices.
    cut: bool,
    epochs: u64,
    /// The settings of its last start.
    config: Option<peer::Config>,
    /// What it has stored for its next start.
    disk: Vec<Known>,
    /// The nodes it has dialled, and when; `None` stands for the tracker.
    dials: Vec<(Instant, Option<PeerId>)>,
}

#[expect(clippy::large_enum_variant, reason = "a handful of them in a test")]
enum Machine {
    Peer(PeerHost),
    Tracker(Tracker),
    /// It does not run: a node that dials it is refused.
    Off,
}

pub struct PeerHost {
    pub peer: Peer,
    config: peer::Config,
    pub manner: Manner,
    /// How much longer it takes to send a file than it takes others.
    pub lag: Duration,
    /// The bytes a second that it can send in all.
    pub uplink: Option<u64>,
    /// When everything queued will have been sent.
    sent: Instant,
    store: BTreeMap<Content, Vec<u8>>,
    unhashed: BTreeMap<Name, Entry>,
    /// Whether its disk waits for [`Village::disk_is_done`].
    pub slow_disk: bool,
    /// The files that its disk is storing.
    storing: Vec<(FetchId, Content, String)>,
    names: BTreeMap<FetchId, Name>,
    /// The files that exist where its gets put files.
    pub files: BTreeMap<Name, String>,
    /// Names at which nothing can be stored, and why.
    pub blocked: BTreeMap<Name, NotStored>,
    /// The places that were looked at, one element for each look.
    pub looks: Vec<Vec<Look>>,
    /// Gets that wait for a look.
    looking: Vec<GetId>,
    /// Whether it hashes requested files slowly.
    pub hashes_slowly: bool,
    /// Large files that were begun, for the test to fetch.
    pub begun: Vec<(FetchId, get::Item)>,
    /// The outputs of its gets.
    pub told: BTreeMap<GetId, Vec<Told>>,
    pub findings: BTreeMap<SurveyId, Result<Findings, Unanswered>>,
    /// The findings of surveys that are not over.
    pub found: BTreeMap<SurveyId, Findings>,
    pub notices: Vec<Notice>,
    pub removed: bool,
    pub closed: Vec<String>,
}

struct Cable {
    ends: [Node; 2],
}

enum Event {
    Connected {
        link: u64,
        member: Party,
        dialled: bool,
        remote: IpAddr,
    },
    DialFailed(Target),
    Bytes {
        link: u64,
        bytes: Vec<u8>,
    },
    /// A part of a file has arrived.
    Some {
        link: u64,
        content: u32,
    },
    Disconnected {
        link: u64,
    },
}

impl Village {
    /// Creates a village with a tracker at 192.168.198.138:3333 and no peers.
    pub fn new() -> Self {
        let mut village = Self {
            now: Instant::default(),
            nodes: Vec::new(),
            cables: BTreeMap::new(),
            queue: BTreeMap::new(),
            counter: 0,
            tracker_room: tracker::ROOM,
            frames: BTreeMap::new(),
        };
        village.nodes.push(Host {
            ip: Ipv4Addr::new(192, 168, 198, 138).into(),
            port: 3333,
            machine: Machine::Off,
            cut: false,
            epochs: 0,
            config: None,
            disk: Vec::new(),
            dials: Vec::new(),
        });
        village.start_tracker();
        village
    }

    pub fn start_tracker(&mut self) {
        let me = self.me(TRACKER);
        self.nodes[TRACKER].machine = Machine::Tracker(Tracker::new(tracker::Config {
            me,
            interval: TRACKER_INTERVAL,
            small_group: tracker::SMALL_GROUP,
            room: self.tracker_room,
            longest_interval: TRACKER_INTERVAL,
            bittorrent: false,
        }));
    }

    /// Ends the process; its connections are closed.
    pub fn kill(&mut self, node: Node) {
        self.nodes[node].machine = Machine::Off;
        self.break_links_of(node);
    }

    /// Adds a peer at this address that shares these files (name, text), with changed settings.
    pub fn peer_with(
        &mut self,
        ip: [u8; 4],
        files: &[(&str, &str)],
        set: impl FnOnce(&mut peer::Config),
    ) -> Node {
        let node = self.nodes.len();
        self.nodes.push(Host {
            ip: Ipv4Addr::from(ip).into(),
            port: 3334,
            machine: Machine::Off,
            cut: false,
            epochs: 0,
            config: None,
            disk: Vec::new(),
            dials: Vec::new(),
        });
        let mut config = peer::Config {
            me: self.me(node),
            has_tracker: true,
            hops: 1,
            hearing: Hearing {
                every: Duration::ZERO,
                ..Hearing::default()
            },
            tracker_interval: TRACKER_INTERVAL,
            neighbour_interval: NEIGHBOUR_INTERVAL,
            max_neighbours: 32,
            rules: peer::Rules::default(),
            remembered: Vec::new(),
            seed: node as u64,
        };
        set(&mut config);
        self.nodes[node].config = Some(config.clone());
        self.nodes[node].machine = Machine::Peer(PeerHost::new(self.now, config));
        self.share(node, files);
        self.give(node, links::Input::Tick);
        node
    }

    /// Restarts the machine after a power failure: no member notices. Its disk was wiped, so that
    /// it remembers no member.
    pub fn reboot(&mut self, node: Node, files: &[(&str, &str)]) {
        for link in self.links_of(node) {
            self.cables.remove(&link);
        }
        self.nodes[node].disk.clear();
        self.start(node, files);
    }

    /// Stops the program with goodbyes.
    pub fn stop(&mut self, node: Node) {
        let reason = "stopped by its user".to_owned();
        self.give(node, links::Input::Stop { reason });
        self.nodes[node].machine = Machine::Off;
    }

    /// Starts the program (again), with what it has stored.
    pub fn start(&mut self, node: Node, files: &[(&str, &str)]) {
        self.set_up(node, files);
        self.give(node, links::Input::Tick);
    }

    /// Starts the programs of all these nodes at the same instant.
    pub fn start_together(&mut self, nodes: &[Node]) {
        for node in nodes {
            self.set_up(*node, &[]);
        }
        for node in nodes {
            self.give(*node, links::Input::Tick);
        }
    }

    fn set_up(&mut self, node: Node, files: &[(&str, &str)]) {
        let mut config = self.nodes[node].config.clone().expect("it was started");
        config.me = self.me(node);
        config.remembered.clone_from(&self.nodes[node].disk);
        self.nodes[node].machine = Machine::Peer(PeerHost::new(self.now, config));
        self.share(node, files);
    }

    /// Gives the machine another address: its connections are dead, and only it knows.
    pub fn move_to(&mut self, node: Node, ip: [u8; 4]) {
        let links = self.links_of(node);
        for link in &links {
            self.cables.remove(link);
        }
        let host = &mut self.nodes[node];
        host.ip = Ipv4Addr::from(ip).into();
        let claimed = vec![SocketAddr::new(host.ip, host.port)];
        for link in links {
            let link = LinkId(link);
            let reason = "its address is gone".to_owned();
            self.give(node, links::Input::Disconnected { link, reason });
        }
        self.give(
            node,
            peer::Input::Readdressed {
                claimed,
                advertised: 0,
            },
        );
    }

    /// Gives the machine another address in addition to its present one.
    pub fn claim(&mut self, node: Node, ip: [u8; 4]) {
        let host = &self.nodes[node];
        let more = SocketAddr::new(Ipv4Addr::from(ip).into(), host.port);
        let claimed = vec![SocketAddr::new(host.ip, host.port), more];
        self.give(
            node,
            peer::Input::Readdressed {
                claimed,
                advertised: 0,
            },
        );
    }

    pub fn peer(&mut self, ip: [u8; 4], files: &[(&str, &str)]) -> Node {
        self.peer_with(ip, files, |_| {})
    }

    /// Lists these files, hashed.
    pub fn share(&mut self, node: Node, files: &[(&str, &str)]) {
        let mut added = Vec::new();
        for (name, text) in files {
            let content = content(text);
            let host = self.host(node);
            host.store.insert(content, text.as_bytes().to_vec());
            host.files.insert(name_of(name), (*text).to_owned());
            added.push(entry(name, text));
        }
        if !added.is_empty() {
            self.give(
                node,
                peer::Input::ShareChanged {
                    added,
                    removed: Vec::new(),
                },
            );
        }
    }

    /// Lists a file with a time and a mode.
    pub fn share_as(&mut self, node: Node, name: &str, text: &str, attributes: Attributes) {
        let content = content(text);
        let host = self.host(node);
        host.store.insert(content, text.as_bytes().to_vec());
        host.files.insert(name_of(name), text.to_owned());
        let added = vec![Entry {
            mtime: attributes.mtime,
            nanos: attributes.nanos,
            executable: attributes.executable,
            ..entry(name, text)
        }];
        let removed = Vec::new();
        self.give(node, peer::Input::ShareChanged { added, removed });
    }

    /// Lists these files without a root until a peer asks for it.
    pub fn share_unhashed(&mut self, node: Node, files: &[(&str, &str)]) {
        let mut added = Vec::new();
        for (name, text) in files {
            let entry = entry(name, text);
            let host = self.host(node);
            host.store.insert(content(text), text.as_bytes().to_vec());
            host.unhashed.insert(entry.name.clone(), entry.clone());
            added.push(Entry {
                root: None,
                ..entry
            });
        }
        self.give(
            node,
            peer::Input::ShareChanged {
                added,
                removed: Vec::new(),
            },
        );
    }

    pub fn host(&mut self, node: Node) -> &mut PeerHost {
        match &mut self.nodes[node].machine {
            Machine::Peer(host) => host,
            _ => panic!("node {node} is not a running peer"),
        }
    }

    pub fn tracker(&self) -> &Tracker {
        match &self.nodes[TRACKER].machine {
            Machine::Tracker(tracker) => tracker,
            _ => panic!("the tracker is not running"),
        }
    }

    pub fn tracker_mut(&mut self) -> &mut Tracker {
        match &mut self.nodes[TRACKER].machine {
            Machine::Tracker(tracker) => tracker,
            _ => panic!("the tracker is not running"),
        }
    }

    /// Cuts the machine off, or connects it again; no other node notices.
    pub fn cut_off(&mut self, node: Node, cut: bool) {
        self.nodes[node].cut = cut;
    }

    /// Passes an input to a peer.
    pub fn give(&mut self, node: Node, input: impl Into<peer::Input>) {
        let now = self.now;
        self.host(node).peer.handle(now, input.into());
        self.drain(node);
    }

    /// Adopts at one node a record that removes these nodes from the group.
    pub fn remove(&mut self, teller: Node, number: u64, removed: &[Node]) {
        let record = record(number, removed, GENUINE);
        self.on_link(teller, links::Input::Adopted { record });
        self.drain(teller);
    }

    /// Passes an event on a link to a machine. It is the same for peer and tracker.
    fn on_link(&mut self, node: Node, input: links::Input) {
        let now = self.now;
        match &mut self.nodes[node].machine {
            Machine::Peer(host) => host.peer.handle(now, input.into()),
            Machine::Tracker(tracker) => tracker.handle(now, input),
            Machine::Off => {}
        }
    }

    /// Sends any frame on the only link between two nodes.
    pub fn say(&mut self, from: Node, to: Node, frame: &Frame) {
        let of = self.links_of(to);
        let links = self.links_of(from);
        let link = links.iter().find(|link| of.contains(link));
        self.transmit(from, *link.expect("there is a link"), frame);
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.next_event().filter(|at| *at <= end) {
            self.step(at);
        }
        self.now = end;
    }

    /// Puts every machine to sleep: time passes, and nothing happens.
    pub fn sleep(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// Lets time pass until the condition holds. Returns how long it took.
    pub fn until(&mut self, most: Duration, so: impl Fn(&mut Self) -> bool) -> Duration {
        let start = self.now;
        while !so(self) {
            let at = self.next_event().expect("something will happen");
            assert!(at - start <= most, "not within {most:?}");
            self.step(at);
        }
        self.now - start
    }

    /// Breaks all connections of a node; both ends notice.
    pub fn break_links_of(&mut self, node: Node) {
        for link in self.links_of(node) {
            self.hang_up(link);
        }
    }

    fn me(&mut self, node: Node) -> Me {
        let host = &mut self.nodes[node];
        host.epochs += 1;
        Me {
            id: id(node),
            epoch: node as u64 * 1000 + host.epochs,
            port: Some(host.port),
            claimed: Vec::new(),
            visitor: false,
            bittorrent: false,
            advertised: 0,
        }
    }

    fn number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub fn next_event(&self) -> Option<Instant> {
        let timers = self.nodes.iter().filter_map(|host| match &host.machine {
            Machine::Peer(host) => host.peer.next_deadline(),
            Machine::Tracker(tracker) => tracker.next_deadline(),
            Machine::Off => None,
        });
        timers
            .chain(self.queue.keys().map(|(at, _)| *at).take(1))
            .min()
    }

    pub fn step(&mut self, at: Instant) {
        self.now = self.now.max(at);
        if let Some(queued) = self.queue.first_entry().filter(|entry| entry.key().0 <= at) {
            let (node, event) = queued.remove();
            self.happen(node, event);
            return;
        }
        for node in 0..self.nodes.len() {
            if self.is_due(node) {
                self.tick(node);
            }
        }
    }

    fn is_due(&self, node: usize) -> bool {
        let deadline = match &self.nodes[node].machine {
            Machine::Peer(host) => host.peer.next_deadline(),
            Machine::Tracker(tracker) => tracker.next_deadline(),
            Machine::Off => None,
        };
        deadline.is_some_and(|at| at <= self.now)
    }

    /// Lets a machine finish costly work, which is done in small parts.
    fn tick(&mut self, node: usize) {
        for _ in 0..10_000 {
            match &mut self.nodes[node].machine {
                Machine::Peer(host) => host.peer.handle(self.now, links::Input::Tick.into()),
                Machine::Tracker(tracker) => tracker.handle(self.now, links::Input::Tick),
                Machine::Off => return,
            }
            if !self.is_due(node) {
                return self.drain(node);
            }
        }
        panic!("node {node} would spin");
    }
}

impl PeerHost {
    fn new(now: Instant, config: peer::Config) -> Self {
        Self {
            peer: Peer::new(now, config.clone()),
            config,
            manner: Manner::Honest,
            lag: Duration::ZERO,
            uplink: None,
            sent: now,
            store: BTreeMap::new(),
            unhashed: BTreeMap::new(),
            slow_disk: false,
            storing: Vec::new(),
            names: BTreeMap::new(),
            files: BTreeMap::new(),
            blocked: BTreeMap::new(),
            looks: Vec::new(),
            looking: Vec::new(),
            hashes_slowly: false,
            begun: Vec::new(),
            told: BTreeMap::new(),
            findings: BTreeMap::new(),
            found: BTreeMap::new(),
            notices: Vec::new(),
            removed: false,
            closed: Vec::new(),
        }
    }

    pub fn catalogue(&self) -> &Catalogue {
        self.peer.catalogue()
    }

    fn look(&self, look: &Look) -> Looked {
        if let Some(why) = self.blocked.get(&look.target) {
            return Looked::Blocked(*why);
        }
        match self.files.get(&look.target) {
            None => Looked::Free,
            Some(text) if look.content == Some(content(text)) => Looked::Equal,
            Some(_) => Looked::SameName,
        }
    }

    pub fn shared(&self) -> BTreeSet<String> {
        let own = self
            .catalogue()
            .listing(self.config.me.id)
            .expect("its own");
        own.names().map(ToString::to_string).collect()
    }
}

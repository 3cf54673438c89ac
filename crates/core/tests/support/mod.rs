//! A village in virtual time: peers and a tracker joined by links in memory.
//!
//! Every frame is really encoded and decoded. Nothing here decides anything:
//! it moves frames with a delay, dials by address, serves `Get`s from a
//! pretend store, and keeps what the machines say of themselves.

// Each test program has its own copy of this module and uses a part of it.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use thorp_core::catalogue::Catalogue;
use thorp_core::get::{
    self, Chore, Claimed, Existing, FetchId, GetId, Look, Looked, Missed, News, NotStored,
    Output as Told, Request, Storage,
};
use thorp_core::links::{self, LinkId, Me, Party};
use thorp_core::lookup::{Only, Source};
use thorp_core::peer::{self, AskId, Cause, Notice, Peer, Target, Unreached};
use thorp_core::remembered::Known;
use thorp_core::survey::{Findings, Subject};
use thorp_core::time::Instant;
use thorp_core::tracker::{self, Tracker};
use thorp_wire::frame::{
    Body, Bytes, GroupRecord, Holder, PREFIX, Reason, Refused, SignedRecord, Variant,
};
use thorp_wire::{Content, Entry, Frame, MemberName, Name, PeerId, merkle};

pub const TRACKER_INTERVAL: Duration = Duration::from_secs(5);
pub const NEIGHBOUR_INTERVAL: Duration = Duration::from_secs(15);
const DELAY: Duration = Duration::from_millis(1);
/// A dial to a machine that does not answer takes this long to fail.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);

/// A node, by its place in the village. The tracker is the first.
pub type Node = usize;
pub const TRACKER: Node = 0;

/// What a peer's store does with a `Get`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Honest,
    /// Says that it does not have it.
    Without,
    /// Sends something else.
    Lying,
    /// Says nothing at all.
    Mute,
}

pub struct Village {
    pub now: Instant,
    nodes: Vec<Host>,
    cables: BTreeMap<u64, Cable>,
    queue: BTreeMap<(Instant, u64), (Node, Event)>,
    counter: u64,
    /// Frames that reached a node, by their kind.
    pub frames: BTreeMap<(Node, &'static str), u64>,
}

struct Host {
    ip: IpAddr,
    port: u16,
    machine: Machine,
    /// Cut off: nothing goes in or out, and no other node is told.
    cut: bool,
    epochs: u64,
    /// With which settings it was started last.
    config: Option<peer::Config>,
    /// What it has written down for its next start.
    disk: Vec<Known>,
    /// Everything it dialled, and when; the tracker has no id.
    dials: Vec<(Instant, Option<PeerId>)>,
}

#[expect(clippy::large_enum_variant, reason = "a handful of them in a test")]
enum Machine {
    Peer(PeerHost),
    Tracker(Tracker),
    /// Not running: a node that dials it is refused.
    Off,
}

pub struct PeerHost {
    pub peer: Peer,
    config: peer::Config,
    pub manner: Manner,
    /// How much longer than others it takes to send a file.
    pub lag: Duration,
    store: BTreeMap<Content, Vec<u8>>,
    unhashed: BTreeMap<Name, Entry>,
    /// Whether its disk takes its time, until [`Village::disk_is_done`].
    pub slow_disk: bool,
    /// What its disk is busy with.
    storing: Vec<(FetchId, Content, String)>,
    names: BTreeMap<FetchId, Name>,
    /// What lies where its gets put their files.
    pub files: BTreeMap<Name, String>,
    /// Names that nothing can be put at, and why.
    pub blocked: BTreeMap<Name, NotStored>,
    /// Places that were looked at, once for each look.
    pub looks: Vec<Vec<Look>>,
    /// Gets that wait for the last of these.
    looking: Vec<GetId>,
    /// Whether it takes its time to hash a file that is asked for.
    pub hashes_slowly: bool,
    /// Large files that were begun, for the test to fetch.
    pub begun: Vec<(FetchId, get::Item)>,
    /// What was told of its gets.
    pub told: BTreeMap<GetId, Vec<Told>>,
    pub findings: BTreeMap<AskId, Findings>,
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
    Disconnected {
        link: u64,
    },
}

impl Village {
    /// A tracker at 192.168.198.138:3333, and no peer.
    pub fn new() -> Self {
        let mut village = Self {
            now: Instant::default(),
            nodes: Vec::new(),
            cables: BTreeMap::new(),
            queue: BTreeMap::new(),
            counter: 0,
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
        }));
    }

    /// The process dies; its connections close.
    pub fn kill(&mut self, node: Node) {
        self.nodes[node].machine = Machine::Off;
        self.break_links_of(node);
    }

    /// A peer at this address, sharing these (name, text), with these settings.
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
            tracker_interval: TRACKER_INTERVAL,
            neighbour_interval: NEIGHBOUR_INTERVAL,
            max_neighbours: 32,
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

    /// The machine loses its power and starts again: no member is told. Its
    /// disk was wiped, so it remembers no member.
    pub fn reboot(&mut self, node: Node, files: &[(&str, &str)]) {
        for link in self.links_of(node) {
            self.cables.remove(&link);
        }
        self.nodes[node].disk.clear();
        self.start(node, files);
    }

    /// The program says goodbye and ends.
    pub fn stop(&mut self, node: Node) {
        let reason = "stopped by its user".to_owned();
        self.give(node, links::Input::Stop { reason });
        self.nodes[node].machine = Machine::Off;
    }

    /// The program is started (again), with what it has written down.
    pub fn start(&mut self, node: Node, files: &[(&str, &str)]) {
        self.set_up(node, files);
        self.give(node, links::Input::Tick);
    }

    /// The programs of all these are started at the same instant.
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

    /// The machine gets another address: its connections are dead, and only it knows.
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
        self.give(node, peer::Input::Readdressed { claimed });
    }

    /// The machine gets another address besides the one it has.
    pub fn claim(&mut self, node: Node, ip: [u8; 4]) {
        let host = &self.nodes[node];
        let more = SocketAddr::new(Ipv4Addr::from(ip).into(), host.port);
        let claimed = vec![SocketAddr::new(host.ip, host.port), more];
        self.give(node, peer::Input::Readdressed { claimed });
    }

    /// Which members a peer has dialled since then, in its order; the tracker has no id.
    pub fn dialled_since(&self, node: Node, since: Instant) -> Vec<Option<PeerId>> {
        let dials = self.nodes[node].dials.iter();
        let dials = dials.filter(|(at, _)| *at >= since);
        dials.map(|(_, whom)| *whom).collect()
    }

    /// What a peer has written down for its next start.
    pub fn written_down(&self, node: Node) -> Vec<PeerId> {
        let disk = self.nodes[node].disk.iter();
        disk.map(|known| known.member.id).collect()
    }

    /// How long after `since` a peer dialled another one, each time.
    pub fn dials_of(&self, node: Node, whom: Node, since: Instant) -> Vec<Duration> {
        let dials = self.nodes[node].dials.iter();
        dials
            .filter(|(at, id)| *at >= since && *id == Some(self::id(whom)))
            .map(|(at, _)| *at - since)
            .collect()
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

    /// Lists these files without a root, until a peer asks for it.
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

    /// Nothing goes in or out of this machine any more; no other one is told.
    pub fn cut_off(&mut self, node: Node, cut: bool) {
        self.nodes[node].cut = cut;
    }

    /// Gives one input to a peer.
    pub fn give(&mut self, node: Node, input: impl Into<peer::Input>) {
        let now = self.now;
        self.host(node).peer.handle(now, input.into());
        self.drain(node);
    }

    /// The group decides that these nodes are no members any more, and one node
    /// hears of it.
    pub fn remove(&mut self, teller: Node, number: u64, removed: &[Node]) {
        let record = record(number, removed, GENUINE);
        self.on_link(teller, links::Input::Adopted { record });
        self.drain(teller);
    }

    /// Tells a machine what has happened on a link. Peer and tracker hear the same.
    fn on_link(&mut self, node: Node, input: links::Input) {
        let now = self.now;
        match &mut self.nodes[node].machine {
            Machine::Peer(host) => host.peer.handle(now, input.into()),
            Machine::Tracker(tracker) => tracker.handle(now, input.into()),
            Machine::Off => {}
        }
    }

    /// Says any frame on the one link between two nodes.
    pub fn say(&mut self, from: Node, to: Node, frame: &Frame) {
        let of = self.links_of(to);
        let links = self.links_of(from);
        let link = links.iter().find(|link| of.contains(link));
        self.transmit(from, *link.expect("there is a link"), frame);
    }

    pub fn survey(&mut self, node: Node, subject: Subject) -> Findings {
        let ask = AskId(self.number());
        self.give(
            node,
            peer::Input::Survey {
                ask,
                subject,
                only: Only::default(),
                itself: None,
            },
        );
        self.until(Duration::from_mins(1), |village| {
            village.host(node).findings.contains_key(&ask)
        });
        self.host(node).findings.remove(&ask).expect("findings")
    }

    /// What `thorp get NAME` does. Returns who said where it is, and who sent it.
    pub fn get(&mut self, node: Node, name: &str) -> (Source, PeerId) {
        let got = self.get_all(node, request(&[name]));
        // The listings follow the file.
        self.run(Duration::from_millis(300));
        match &got.fetched()[..] {
            [fetched] => (fetched.answer.source, fetched.sources[0]),
            _ => panic!("{name}: {:?}", got.end),
        }
    }

    /// Gets files, to the end.
    pub fn get_all(&mut self, node: Node, request: Request) -> Got {
        let get = self.want(node, request);
        self.outcome_of(node, get)
    }

    /// What has become of a get, whose end is waited for.
    pub fn outcome_of(&mut self, node: Node, get: GetId) -> Got {
        let end = self.end_of(node, get);
        let told = self.host(node).told.remove(&get).unwrap_or_default();
        Got { end, told }
    }

    /// Starts to get files.
    pub fn want(&mut self, node: Node, request: Request) -> GetId {
        let get = GetId(self.number());
        self.give(node, peer::Input::Get { get, request });
        get
    }

    /// How a get has ended, which is waited for.
    pub fn end_of(&mut self, node: Node, get: GetId) -> get::Ending {
        self.until(Duration::from_mins(5), |village| {
            village.ended(node, get).is_some()
        });
        self.ended(node, get).expect("it has ended")
    }

    /// How a get has ended, if it has.
    pub fn ended(&mut self, node: Node, get: GetId) -> Option<get::Ending> {
        match self.told(node, get).last() {
            Some(Told::Ended(end)) => Some(end.clone()),
            _ => None,
        }
    }

    /// Who was named as a holder of the large file of a get, in order.
    pub fn named(&mut self, node: Node, get: GetId) -> Vec<PeerId> {
        let told = self.told(node, get).iter();
        let named = told.filter_map(|told| match told {
            Told::Do(Chore::Holders(_, holders)) => Some(holders.iter().map(|holder| holder.id)),
            _ => None,
        });
        named.flatten().collect()
    }

    /// All that was told of a get.
    pub fn told(&mut self, node: Node, get: GetId) -> &[Told] {
        self.host(node).told.entry(get).or_default()
    }

    /// Something has become of a large file that was begun.
    pub fn large(&mut self, node: Node, fetch: FetchId, event: get::LargeEvent) {
        self.give(node, peer::Input::Large { fetch, event });
    }

    /// Does for a get what its shell does, and writes down the rest.
    fn for_get(&mut self, node: Node, get: GetId, told: Told) {
        let host = self.host(node);
        let ended = matches!(
            host.told.entry(get).or_default().last(),
            Some(Told::Ended(_))
        );
        assert!(!ended, "{get:?} goes on after its end: {told:?}");
        host.told.entry(get).or_default().push(told.clone());
        match told {
            Told::Do(Chore::Look(looks)) => {
                host.looks.push(looks);
                if host.slow_disk {
                    host.looking.push(get);
                } else {
                    self.look(node, get);
                }
            }
            Told::Make(fetch, item) => {
                assert_eq!(item.content, Content::EMPTY);
                host.names.insert(fetch, item.target);
                host.storing.push((fetch, item.content, String::new()));
                self.disk_is_done(node);
            }
            Told::Begin(fetch, item) => host.begun.push((fetch, item)),
            Told::Do(Chore::Finish(fetch)) => {
                let (_, item) = host
                    .begun
                    .iter()
                    .find(|(id, _)| *id == fetch)
                    .expect("begun");
                let received = item.content.length;
                self.large(node, fetch, get::LargeEvent::Kept { received });
                self.large(node, fetch, get::LargeEvent::Released);
            }
            Told::Do(Chore::GiveUp(fetch)) => self.large(node, fetch, get::LargeEvent::Released),
            _ => {}
        }
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.next_event().filter(|at| *at <= end) {
            self.step(at);
        }
        self.now = end;
    }

    /// Every machine sleeps: time passes, and nothing happens.
    pub fn sleep(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// Lets time pass until something is so. Returns how long it took.
    pub fn until(&mut self, most: Duration, so: impl Fn(&mut Self) -> bool) -> Duration {
        let start = self.now;
        while !so(self) {
            let at = self.next_event().expect("something will happen");
            assert!(at - start <= most, "not within {most:?}");
            self.step(at);
        }
        self.now - start
    }

    pub fn links_of(&self, node: Node) -> Vec<u64> {
        let of = |cable: &&Cable| cable.ends.contains(&node);
        let links = self.cables.iter().filter(|(_, cable)| of(cable));
        links.map(|(link, _)| *link).collect()
    }

    /// All connections of a node break, and both ends notice.
    pub fn break_links_of(&mut self, node: Node) {
        for link in self.links_of(node) {
            self.hang_up(link);
        }
    }

    /// A peer as the tracker names it.
    pub fn holder(&self, node: Node) -> Holder {
        let mut peers = self.tracker().peers();
        let peer = peers.find(|peer| peer.id == id(node));
        peer.expect("the tracker knows it").holder()
    }

    /// How many connections there are between two nodes.
    pub fn links_between(&self, a: Node, b: Node) -> usize {
        let links = self.links_of(a);
        links
            .iter()
            .filter(|link| self.links_of(b).contains(link))
            .count()
    }

    /// The tracker's first table: each peer's address, its names, its neighbours' addresses.
    pub fn peers_table(&self) -> Vec<(String, String, String)> {
        let tracker = self.tracker();
        let address: BTreeMap<PeerId, IpAddr> = tracker
            .peers()
            .map(|peer| (peer.id, peer.seen_at))
            .collect();
        let mut rows: Vec<_> = tracker
            .peers()
            .map(|peer| {
                let listing = tracker.catalogue().listing(peer.id);
                let names = listing.map_or(String::new(), |listing| {
                    joined(&listing.names().map(ToString::to_string).collect::<Vec<_>>())
                });
                let neighbours = listing.map_or(&[][..], |listing| listing.neighbours());
                let mut near: Vec<IpAddr> = neighbours
                    .iter()
                    .filter_map(|id| address.get(id).copied())
                    .collect();
                near.sort();
                (
                    peer.seen_at,
                    names,
                    joined(&near.iter().map(ToString::to_string).collect::<Vec<_>>()),
                )
            })
            .collect();
        rows.sort();
        let row = |(ip, names, near): (IpAddr, String, String)| (ip.to_string(), names, near);
        rows.into_iter().map(row).collect()
    }

    /// The tracker's second table: each name, and its holders' addresses.
    pub fn files_table(&self) -> Vec<(String, String)> {
        let tracker = self.tracker();
        let address: BTreeMap<PeerId, IpAddr> = tracker
            .peers()
            .map(|peer| (peer.id, peer.seen_at))
            .collect();
        let rows = tracker.catalogue().files().map(|file| {
            let mut held: Vec<IpAddr> = file.holders.iter().map(|id| address[id]).collect();
            held.sort();
            (
                file.entry.name.to_string(),
                joined(&held.iter().map(ToString::to_string).collect::<Vec<_>>()),
            )
        });
        rows.collect()
    }

    /// A peer's neighbours, by id.
    pub fn neighbours(&mut self, node: Node) -> Vec<PeerId> {
        self.host(node)
            .peer
            .neighbours()
            .map(|row| row.member.id)
            .collect()
    }

    pub fn received(&self, node: Node, kind: &'static str) -> u64 {
        self.frames.get(&(node, kind)).copied().unwrap_or(0)
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
            let now = self.now;
            let deadline = match &mut self.nodes[node].machine {
                Machine::Peer(host) if host.peer.next_deadline().is_some_and(|at| at <= now) => {
                    host.peer.handle(now, links::Input::Tick.into());
                    host.peer.next_deadline()
                }
                Machine::Tracker(tracker)
                    if tracker.next_deadline().is_some_and(|at| at <= now) =>
                {
                    tracker.handle(now, links::Input::Tick.into());
                    tracker.next_deadline()
                }
                _ => continue,
            };
            assert!(deadline.is_none_or(|at| at > now), "node {node} would spin");
            self.drain(node);
        }
    }

    fn happen(&mut self, node: Node, event: Event) {
        let now = self.now;
        match event {
            Event::Connected {
                link,
                member,
                dialled,
                remote,
            } => {
                if !self.cables.contains_key(&link) {
                    return;
                }
                let link = LinkId(link);
                let connected = links::Input::Connected {
                    link,
                    member,
                    dialled,
                    remote,
                };
                self.on_link(node, connected);
            }
            Event::DialFailed(target) => {
                if let Machine::Peer(host) = &mut self.nodes[node].machine {
                    let trouble = Unreached {
                        cause: Cause::Network,
                        reason: "no answer".to_owned(),
                    };
                    host.peer
                        .handle(now, peer::Input::DialFailed { target, trouble });
                }
            }
            Event::Bytes { link, bytes } => self.bytes(node, link, &bytes),
            Event::Disconnected { link } => {
                let link = LinkId(link);
                let reason = "connection closed".to_owned();
                if let Machine::Peer(host) = &mut self.nodes[node].machine {
                    host.closed.push(reason.clone());
                }
                self.on_link(node, links::Input::Disconnected { link, reason });
            }
        }
        self.drain(node);
    }

    /// A frame arrives: `Get` and `Content` are the shell's, the rest the core's.
    fn bytes(&mut self, node: Node, link: u64, bytes: &[u8]) {
        let now = self.now;
        let frame = Frame::decode(&bytes[PREFIX..]).expect("what was encoded decodes");
        *self.frames.entry((node, frame.body.name())).or_default() += 1;
        let id = LinkId(link);
        let host = match &mut self.nodes[node].machine {
            Machine::Tracker(tracker) => {
                tracker.handle(now, links::Input::Frame { link: id, frame }.into());
                return;
            }
            Machine::Off => return,
            Machine::Peer(host) => host,
        };
        match (frame.body, frame.request) {
            (Body::Get(get), Some(request)) => {
                host.peer
                    .handle(now, links::Input::Heard { link: id }.into());
                let answer: Body = match (host.manner, host.store.get(&get.content)) {
                    (Manner::Mute, _) => return,
                    (Manner::Lying, _) => Bytes {
                        bytes: b"lies".to_vec(),
                    }
                    .into(),
                    (Manner::Honest, Some(bytes)) => Bytes {
                        bytes: bytes.clone(),
                    }
                    .into(),
                    (Manner::Honest | Manner::Without, _) => Refused {
                        reason: Reason::NotHere,
                        text: String::new(),
                    }
                    .into(),
                };
                host.peer.handle(now, peer::Input::Served { link: id });
                let delay = DELAY + host.lag;
                self.transmit_in(delay, node, link, &Frame::with_request(request, answer));
            }
            (Body::Content(bytes), Some(request)) => {
                host.peer
                    .handle(now, links::Input::Heard { link: id }.into());
                if let Some(claimed) = host.peer.claim_content(now, id, request) {
                    let text = String::from_utf8(bytes.bytes).expect("texts only");
                    let Claimed { fetch, item, .. } = claimed;
                    host.names.insert(fetch, item.target);
                    host.storing.push((fetch, item.content, text));
                    if !host.slow_disk {
                        self.disk_is_done(node);
                    }
                }
            }
            (body, request) => {
                let frame = Frame { request, body };
                host.peer
                    .handle(now, links::Input::Frame { link: id, frame }.into());
            }
        }
    }

    fn look(&mut self, node: Node, get: GetId) {
        let host = self.host(node);
        let looks = host.looks.last().into_iter().flatten();
        let looked = looks.map(|look| host.look(look)).collect();
        self.give(node, peer::Input::Looked { get, looked });
    }

    /// What was to be looked at or stored has been. Returns how many files were stored.
    pub fn disk_is_done(&mut self, node: Node) -> usize {
        for get in std::mem::take(&mut self.host(node).looking) {
            self.look(node, get);
        }
        let storing = std::mem::take(&mut self.host(node).storing);
        for (fetch, wanted, text) in &storing {
            let verified = content(text) == *wanted;
            let fetch = *fetch;
            let host = self.host(node);
            let target = host.names.get(&fetch);
            let blocked = target.and_then(|name| host.blocked.get(name).copied());
            let storage = match blocked {
                _ if !verified => Storage::Mismatch,
                Some(why) => Storage::Failed(why),
                None => Storage::Kept,
            };
            let verified = storage == Storage::Kept;
            self.give(node, peer::Input::Stored { fetch, storage });
            if verified && let Some(name) = self.host(node).names.remove(&fetch) {
                self.share(node, &[(name.as_str(), text)]);
            }
        }
        storing.len()
    }

    fn drain(&mut self, node: Node) {
        loop {
            let output = match &mut self.nodes[node].machine {
                Machine::Peer(host) => match host.peer.poll_output() {
                    Some(output) => output,
                    None => return,
                },
                Machine::Tracker(tracker) => match tracker.poll_output() {
                    Some(tracker::Output::Link(output)) => peer::Output::Link(output),
                    Some(
                        tracker::Output::Renew { .. }
                        | tracker::Output::Unlisted(_)
                        | tracker::Output::Changed(_),
                    ) => continue,
                    None => return,
                },
                Machine::Off => return,
            };
            self.carry_out(node, output);
        }
    }

    fn carry_out(&mut self, node: Node, output: peer::Output) {
        match output {
            peer::Output::Dial(target) => self.dial(node, target),
            peer::Output::Link(output) => self.carry_out_on_link(node, output),
            peer::Output::HashNow(_) if self.host(node).hashes_slowly => {}
            peer::Output::HashNow(name) => {
                if let Some(entry) = self.host(node).unhashed.remove(&name) {
                    let added = vec![entry];
                    let now = self.now;
                    let changed = peer::Input::ShareChanged {
                        added,
                        removed: Vec::new(),
                    };
                    self.host(node).peer.handle(now, changed);
                }
            }
            peer::Output::Surveyed(ask, findings) => {
                self.host(node).findings.insert(ask, findings);
            }
            peer::Output::Removed => self.host(node).removed = true,
            peer::Output::Notice(notice) => self.host(node).notices.push(notice),
            peer::Output::Remember(known) => self.nodes[node].disk = known,
            // No clock is turned here, and nothing is shown.
            peer::Output::Get(get, told) => self.for_get(node, get, told),
            peer::Output::Renewed(_) | peer::Output::NoTracker(_) | peer::Output::Changed(_) => {}
        }
    }

    fn carry_out_on_link(&mut self, node: Node, output: links::Output) {
        match output {
            links::Output::Send(link, frame) => self.transmit(node, link.0, &frame),
            links::Output::Close(link, reason) => {
                if let Machine::Peer(host) = &mut self.nodes[node].machine {
                    host.closed.push(reason);
                }
                self.hang_up(link.0);
            }
            links::Output::Verify(link, record) => {
                let is_genuine = record.signature_and_message().0 == GENUINE;
                let verified = if is_genuine {
                    links::Input::Adopted { record }
                } else {
                    links::Input::Forged { link }
                };
                self.on_link(node, verified);
                self.drain(node);
            }
        }
    }

    fn dial(&mut self, node: Node, target: Target) {
        let whom = match &target {
            Target::Tracker => None,
            Target::Member { id, .. } => Some(*id),
        };
        let dial = (self.now, whom);
        self.nodes[node].dials.push(dial);
        let callee = match &target {
            Target::Tracker => Some(TRACKER),
            Target::Member {
                id: wanted,
                addresses,
            } => (0..self.nodes.len()).find(|callee| {
                let host = &self.nodes[*callee];
                id(*callee) == *wanted && addresses.contains(&SocketAddr::new(host.ip, host.port))
            }),
        };
        let reached = callee.filter(|callee| !self.nodes[*callee].cut && !self.nodes[node].cut);
        let Some(callee) = reached else {
            self.later(DIAL_TIMEOUT, node, Event::DialFailed(target));
            return;
        };
        if matches!(self.nodes[callee].machine, Machine::Off) {
            self.later(DELAY, node, Event::DialFailed(target));
            return;
        }
        let link = self.number();
        self.cables.insert(
            link,
            Cable {
                ends: [node, callee],
            },
        );
        for (end, other, dialled) in [(node, callee, true), (callee, node, false)] {
            let member = Party {
                id: id(other),
                name: Some(MemberName::nearest(&format!("peer-{other}"))),
                tracker: other == TRACKER,
            };
            let remote = self.nodes[other].ip;
            self.later(
                DELAY * 2,
                end,
                Event::Connected {
                    link,
                    member,
                    dialled,
                    remote,
                },
            );
        }
    }

    fn transmit(&mut self, node: Node, link: u64, frame: &Frame) {
        self.transmit_in(DELAY, node, link, frame);
    }

    fn transmit_in(&mut self, delay: Duration, node: Node, link: u64, frame: &Frame) {
        let Some(cable) = self.cables.get(&link) else {
            return;
        };
        let far = *cable
            .ends
            .iter()
            .find(|end| **end != node)
            .expect("two ends");
        let mut bytes = Vec::new();
        frame
            .encode(&mut bytes)
            .expect("what a machine says fits in a frame");
        if !self.nodes[node].cut && !self.nodes[far].cut {
            self.later(delay, far, Event::Bytes { link, bytes });
        }
    }

    fn hang_up(&mut self, link: u64) {
        let Some(cable) = self.cables.get(&link) else {
            return;
        };
        let ends = cable.ends;
        let silent = ends.iter().any(|end| self.nodes[*end].cut);
        if !silent {
            for end in ends {
                self.later(DELAY, end, Event::Disconnected { link });
            }
        }
        self.cables.remove(&link);
    }

    fn later(&mut self, delay: Duration, node: Node, event: Event) {
        let number = self.number();
        self.queue.insert((self.now + delay, number), (node, event));
    }
}

impl PeerHost {
    fn new(now: Instant, config: peer::Config) -> Self {
        Self {
            peer: Peer::new(now, config.clone()),
            config,
            manner: Manner::Honest,
            lag: Duration::ZERO,
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

pub fn id(node: Node) -> PeerId {
    let mut key = [0; 32];
    key[30..].copy_from_slice(&u16::try_from(node).expect("few nodes").to_be_bytes());
    PeerId::new(key)
}

/// The signature of a record that this village takes for its own.
pub const GENUINE: [u8; 64] = [7; 64];

pub fn record(number: u64, removed: &[Node], signature: [u8; 64]) -> SignedRecord {
    let removed: BTreeSet<PeerId> = removed.iter().map(|node| id(*node)).collect();
    let record = GroupRecord {
        number,
        open: false,
        bittorrent: false,
        removed: removed.into_iter().collect(),
    };
    SignedRecord::sign(record, |_| Some(signature))
        .expect("is within bounds")
        .expect("is signed")
}

/// What was told of a get, and how it ended.
pub struct Got {
    pub end: get::Ending,
    pub told: Vec<Told>,
}

/// One file of a get.
#[derive(Clone, Debug)]
pub struct Fetched {
    pub item: get::Item,
    pub answer: get::Answered,
    pub sources: Vec<PeerId>,
}

impl Got {
    /// What was fetched, in the order of coming.
    pub fn fetched(&self) -> Vec<Fetched> {
        let fetched = self.told.iter().filter_map(|told| match told {
            Told::Tell(News::Fetched {
                item,
                answer,
                sources,
                ..
            }) => Some(Fetched {
                item: item.clone(),
                answer: answer.clone(),
                sources: sources.iter().map(|holder| holder.id).collect(),
            }),
            _ => None,
        });
        fetched.collect()
    }

    /// What one name could have been.
    pub fn choice(&self) -> &[Variant] {
        let mut choices = self.told.iter().filter_map(|told| match told {
            Told::Tell(News::Choice { variants, .. }) => Some(variants),
            _ => None,
        });
        choices.next().map(Vec::as_slice).unwrap_or_default()
    }

    /// Why the only file is missed.
    pub fn missed(&self) -> &Missed {
        match &self.end {
            get::Ending::Missed { why, .. } => why,
            end => panic!("{end:?}"),
        }
    }
}

/// A request for these, from one peer only.
pub fn request_from(names: &[&str], from: &str) -> Request {
    let only = Only {
        from: Some(from.to_owned()),
        root: None,
    };
    Request {
        only,
        ..request(names)
    }
}

/// A plain request for these.
pub fn request(names: &[&str]) -> Request {
    Request {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        only: Only::default(),
        rename: None,
        existing: Existing::Keep,
        elsewhere: false,
    }
}

pub fn content(text: &str) -> Content {
    merkle::content_of(text.as_bytes())
}

pub fn name_of(text: &str) -> Name {
    text.parse().expect("a name")
}

pub fn entry(name: &str, text: &str) -> Entry {
    Entry {
        name: name_of(name),
        length: text.len() as u64,
        mtime: 0,
        root: Some(content(text).root),
        partial: false,
    }
}

fn joined(parts: &[String]) -> String {
    parts.join(" ")
}

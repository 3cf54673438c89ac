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
use thorp_core::fetch::{Failure, FetchId, Wanted};
use thorp_core::links::{self, LinkId, Me, Party};
use thorp_core::lookup::{Answer, Only, Outcome, Source};
use thorp_core::peer::{self, AskId, Cause, Notice, Peer, Target, Unreached};
use thorp_core::remembered::Known;
use thorp_core::survey::{Findings, Subject};
use thorp_core::time::Instant;
use thorp_core::tracker::{self, Tracker};
use thorp_wire::frame::{
    Body, Bytes, Get, GroupRecord, Holder, PREFIX, Reason, Refused, RequestId, SignedRecord,
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
    /// Cut off: nothing goes in or out, and nobody is told.
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
    /// Not running: whoever dials is refused.
    Off,
}

pub struct PeerHost {
    pub peer: Peer,
    config: peer::Config,
    pub manner: Manner,
    store: BTreeMap<Content, Vec<u8>>,
    unhashed: BTreeMap<Name, Entry>,
    asked: BTreeMap<(LinkId, RequestId), Content>,
    /// What has come and is to be stored, or at once dropped.
    in_hand: Option<(Content, String)>,
    /// Whether its disk takes its time, until [`Village::disk_is_done`].
    pub slow_disk: bool,
    /// What its disk is busy with.
    storing: Vec<(FetchId, Content, String)>,
    names: BTreeMap<FetchId, Name>,
    pub outcomes: BTreeMap<AskId, Outcome>,
    pub findings: BTreeMap<AskId, Findings>,
    pub fetched: BTreeMap<FetchId, Holder>,
    /// Who was named for files in pieces, in order.
    pub holders: BTreeMap<FetchId, Vec<Holder>>,
    pub failed: BTreeMap<FetchId, Failure>,
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
    /// A tracker at 192.168.198.138:3333 and nobody else.
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

    /// The machine loses its power and starts again: nobody is told. Its disk
    /// was wiped, so it remembers nobody.
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

    /// Whom a peer has dialled since then, in its order; the tracker has no id.
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

    /// How long after `since` a peer dialled somebody, each time.
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
            self.host(node)
                .store
                .insert(content, text.as_bytes().to_vec());
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

    /// Lists these files without a root, until somebody wants it.
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

    /// Nothing goes in or out of this machine any more; nobody is told.
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

    /// Whatever somebody wants to say on the one link between two nodes.
    pub fn say(&mut self, from: Node, to: Node, frame: &Frame) {
        let of = self.links_of(to);
        let links = self.links_of(from);
        let link = links.iter().find(|link| of.contains(link));
        self.transmit(from, *link.expect("there is a link"), frame);
    }

    /// Looks names up and waits for the answer.
    pub fn look_up(&mut self, node: Node, names: &[&str], from: Option<&str>) -> Outcome {
        let ask = self.ask_for(node, names, from);
        self.until(Duration::from_mins(1), |village| {
            village.host(node).outcomes.contains_key(&ask)
        });
        self.host(node).outcomes.remove(&ask).expect("an outcome")
    }

    /// Starts to look names up.
    pub fn ask_for(&mut self, node: Node, names: &[&str], from: Option<&str>) -> AskId {
        let ask = AskId(self.number());
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let from = from.map(ToOwned::to_owned);
        self.give(
            node,
            peer::Input::LookUp {
                ask,
                names,
                only: Only { from, root: None },
            },
        );
        ask
    }

    pub fn survey(&mut self, node: Node, subject: Subject) -> Findings {
        let ask = AskId(self.number());
        self.give(
            node,
            peer::Input::Survey {
                ask,
                subject,
                only: Only::default(),
            },
        );
        self.until(Duration::from_mins(1), |village| {
            village.host(node).findings.contains_key(&ask)
        });
        self.host(node).findings.remove(&ask).expect("findings")
    }

    /// Starts a fetch of a content; what arrives is listed under `name`.
    pub fn fetch(
        &mut self,
        node: Node,
        name: &str,
        content: Content,
        holders: Vec<Holder>,
    ) -> FetchId {
        let fetch = FetchId(self.number());
        self.host(node).names.insert(fetch, name_of(name));
        let wanted = Wanted {
            content,
            holders,
            widen: true,
        };
        self.give(node, peer::Input::Fetch { fetch, wanted });
        fetch
    }

    /// Wants to know who has a file that is fetched in pieces.
    pub fn seek(&mut self, node: Node, content: Content, holders: Vec<Holder>) -> FetchId {
        let fetch = FetchId(self.number());
        let wanted = Wanted {
            content,
            holders,
            widen: true,
        };
        self.give(node, peer::Input::Seek { fetch, wanted });
        fetch
    }

    /// Who was named for it so far, in order.
    pub fn named(&mut self, node: Node, fetch: FetchId) -> Vec<PeerId> {
        let named = self.host(node).holders.get(&fetch).into_iter().flatten();
        named.map(|holder| holder.id).collect()
    }

    pub fn fetch_done(&mut self, node: Node, fetch: FetchId) -> Result<Holder, Failure> {
        self.until(Duration::from_secs(200), |village| {
            let host = village.host(node);
            host.fetched.contains_key(&fetch) || host.failed.contains_key(&fetch)
        });
        let host = self.host(node);
        match host.fetched.remove(&fetch) {
            Some(holder) => Ok(holder),
            None => Err(host.failed.remove(&fetch).expect("one of both")),
        }
    }

    /// What `thorp get NAME` does: looks up, fetches the only choice, lists it.
    /// Returns who said where it is, and who sent it.
    pub fn get(&mut self, node: Node, name: &str) -> (Source, PeerId) {
        let outcome = self.look_up(node, &[name], None);
        let Answer::Found(source, variants) = &outcome.names[0].1 else {
            panic!("{name}: {outcome:?}");
        };
        let [variant] = &variants[..] else {
            panic!("{name} is ambiguous: {variants:?}");
        };
        let content = variant.entry.content().expect("hashed");
        let fetch = self.fetch(node, name, content, variant.holders.clone());
        let holder = self.fetch_done(node, fetch).expect("fetched");
        // The listings follow the file.
        self.run(Duration::from_millis(300));
        (*source, holder.id)
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

    fn next_event(&self) -> Option<Instant> {
        let timers = self.nodes.iter().filter_map(|host| match &host.machine {
            Machine::Peer(host) => host.peer.next_deadline(),
            Machine::Tracker(tracker) => tracker.next_deadline(),
            Machine::Off => None,
        });
        timers
            .chain(self.queue.keys().map(|(at, _)| *at).take(1))
            .min()
    }

    fn step(&mut self, at: Instant) {
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
                self.transmit(node, link, &Frame::with_request(request, answer));
            }
            (Body::Content(bytes), Some(request)) => {
                host.peer
                    .handle(now, links::Input::Heard { link: id }.into());
                let Some(wanted) = host.asked.remove(&(id, request)) else {
                    return;
                };
                let text = String::from_utf8(bytes.bytes).expect("texts only");
                host.in_hand = Some((wanted, text));
                host.peer
                    .handle(now, peer::Input::Arrived { link: id, request });
                self.drain(node);
                self.host(node).in_hand = None;
            }
            (body, request) => {
                let frame = Frame { request, body };
                host.peer
                    .handle(now, links::Input::Frame { link: id, frame }.into());
            }
        }
    }

    /// What was to be stored has been. Returns how many files that were.
    pub fn disk_is_done(&mut self, node: Node) -> usize {
        let storing = std::mem::take(&mut self.host(node).storing);
        for (fetch, wanted, text) in &storing {
            let verified = content(text) == *wanted;
            let fetch = *fetch;
            self.give(node, peer::Input::Stored { fetch, verified });
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
            peer::Output::Get {
                link,
                request,
                content,
            } => {
                self.host(node).asked.insert((link, request), content);
                self.transmit(node, link.0, &Frame::with_request(request, Get { content }));
            }
            peer::Output::Store(fetch) => {
                let host = self.host(node);
                let (wanted, text) = host.in_hand.take().expect("it has just come");
                host.storing.push((fetch, wanted, text));
                if !host.slow_disk {
                    self.disk_is_done(node);
                }
            }
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
            peer::Output::LookedUp(ask, outcome) => {
                self.host(node).outcomes.insert(ask, outcome);
            }
            peer::Output::Surveyed(ask, findings) => {
                self.host(node).findings.insert(ask, findings);
            }
            peer::Output::Fetched(fetch, holder) => {
                self.host(node).fetched.insert(fetch, holder);
            }
            peer::Output::Holders(fetch, holders) => {
                let known = self.host(node).holders.entry(fetch).or_default();
                known.extend(holders);
            }
            peer::Output::FetchFailed(fetch, failure) => {
                self.host(node).failed.insert(fetch, failure);
            }
            peer::Output::Removed => self.host(node).removed = true,
            peer::Output::Notice(notice) => self.host(node).notices.push(notice),
            peer::Output::Remember(known) => self.nodes[node].disk = known,
            // No clock is turned here, and nothing is shown.
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
            self.later(DELAY, far, Event::Bytes { link, bytes });
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
            store: BTreeMap::new(),
            unhashed: BTreeMap::new(),
            asked: BTreeMap::new(),
            in_hand: None,
            slow_disk: false,
            storing: Vec::new(),
            names: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            findings: BTreeMap::new(),
            fetched: BTreeMap::new(),
            holders: BTreeMap::new(),
            failed: BTreeMap::new(),
            notices: Vec::new(),
            removed: false,
            closed: Vec::new(),
        }
    }

    pub fn catalogue(&self) -> &Catalogue {
        self.peer.catalogue()
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

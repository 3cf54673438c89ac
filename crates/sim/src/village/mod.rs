//! Machines, the links between them, and what is on its way: the loop.
//!
//! One queue holds all that will happen, in the order of time. Each step gives one
//! machine one input, carries out what it wants, and notes when it is to be woken.
//! No step walks over all machines.
//!
//! ```text
//! agreement  whether tracker and neighbours know who is there
//! machines   who is switched on, and what it lists
//! poison     members that deceive
//! requests   what users ask for, and what becomes of it
//! shell      what is done for a machine: frames, files, and what it wants
//! wires      connections, and what is on its way on them
//! ```

mod agreement;
mod machines;
mod poison;
mod requests;
mod shell;
mod wires;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use thorp_core::get::FetchId;
use thorp_core::links::{self, Me, Party};
use thorp_core::peer::{self, Cause, Target, Unreached};
use thorp_core::time::Instant;
use thorp_wire::frame::RequestId;
use thorp_wire::{Entry, Frame};

use crate::arm::Arm;
use crate::chance::as_f64;
use crate::host::{Host, Program};
use crate::laws::Laws;
use crate::network::{self, Network, Node, TRACKER, id_of};
use crate::oracle::Oracle;
use crate::trace::{FileId, Incident, Machine, Origin, Trace};
use crate::traffic::Traffic;
use crate::truth::Truth;
use poison::Poisons;
pub use requests::{Fate, Requested};
use wires::Cable;

/// A village, and what is on its way in it.
pub struct World {
    now: Instant,
    arm: Arm,
    seed: u64,
    files: Vec<Origin>,
    /// How holders list each: the text of a name is there once, however many list it.
    entries: Vec<Entry>,
    /// For how long online a machine keeps what it has fetched.
    keep: Duration,
    hosts: Vec<Host>,
    cables: HashMap<u64, Cable>,
    queue: BinaryHeap<Reverse<Due>>,
    /// Numbers everything that needs a number.
    count: u64,
    /// Room for a frame that is being written.
    scratch: Vec<u8>,
    network: Network,
    pub truth: Truth,
    pub oracle: Oracle,
    pub traffic: Traffic,
    pub laws: Laws,
    pub requests: Vec<Requested>,
    pub counts: Observed,
    poisons: Poisons,
    /// By node: where the tracker has said that a file is, whatever was asked.
    cached: Vec<BTreeMap<FileId, BTreeSet<Node>>>,
    /// What has happened.
    pub events: u64,
    /// What has happened, in one number.
    pub digest: u64,
}

/// What is counted besides frames.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Files that were asked for where they are no more.
    pub not_here: u64,
    /// Files that were asked for on links whose other end was gone.
    pub gone: u64,
    /// Files that came with other bytes than were wanted.
    pub corrupt: u64,
    /// Holders that were dialled and were gone.
    pub dialled_in_vain: u64,
    /// After how long the tracker noticed that a machine had crashed.
    pub tracker_noticed: Vec<Duration>,
    /// The same of neighbours.
    pub neighbours_noticed: Vec<Duration>,
    /// Links that were given up whose other end was there.
    pub false_evictions: u64,
}

struct Due {
    at: Instant,
    number: u64,
    node: Node,
    run: u32,
    what: What,
}

enum What {
    Wake,
    Connected {
        link: u64,
        dialled: bool,
    },
    DialFailed(Target),
    Frame {
        link: u64,
        frame: Box<Frame>,
    },
    File {
        link: u64,
        request: RequestId,
        file: FileId,
    },
    OnDisk(FetchId),
    /// The file that a machine has kept for longest is deleted, if it has been online
    /// for long enough since.
    Clear,
    Announce,
    /// Tracker and peers should agree by now.
    Settled,
    /// Neighbours should.
    NeighboursSettled,
    Disconnected {
        link: u64,
        reason: &'static str,
    },
}

impl World {
    /// The machines of a trace, all switched off, and a tracker.
    pub fn new(trace: &Trace, arm: Arm, loss: f64, seed: u64) -> Self {
        let regions: Vec<_> = trace
            .machines
            .iter()
            .map(|machine| machine.region)
            .collect();
        let nodes = regions.len() + 1;
        let mut village = Self {
            now: Instant::default(),
            arm,
            seed,
            files: trace.files.clone(),
            entries: entries_of(&trace.files),
            keep: trace.keep,
            hosts: (0..nodes).map(|_| Host::new()).collect(),
            cables: HashMap::new(),
            queue: BinaryHeap::new(),
            count: 0,
            scratch: Vec::new(),
            network: Network::new(&regions, loss, seed),
            truth: Truth::new(trace.machines.clone(), trace.files.len()),
            oracle: Oracle::new(regions.len()),
            traffic: Traffic::new(nodes, arm.announces.is_some()),
            laws: Laws::new(arm.forgotten_after()),
            requests: Vec::new(),
            counts: Observed::default(),
            poisons: Poisons::new(),
            cached: vec![BTreeMap::new(); nodes],
            events: 0,
            digest: 0xcbf2_9ce4_8422_2325,
        };
        village.start_tracker();
        village
    }

    /// Lets time pass, with all that happens meanwhile.
    pub fn run_until(&mut self, end: Instant) {
        while self.queue.peek().is_some_and(|Reverse(due)| due.at <= end) {
            if let Some(Reverse(due)) = self.queue.pop() {
                self.step(due);
            }
        }
        self.now = end;
    }

    /// Counts how long the machines were online that are.
    pub fn count_online(&mut self) {
        for node in 1..self.hosts.len() {
            if !matches!(self.hosts[node].program, Program::Off) {
                self.count_online_of(node);
            }
        }
    }

    fn count_online_of(&mut self, node: Node) {
        let since = std::mem::replace(&mut self.hosts[node].counted_until, self.now);
        self.traffic.was_online(node, since, self.now);
    }

    /// By peer that is online: bytes of the listings that it keeps, its own among them.
    pub fn memory(&mut self) -> Vec<f64> {
        let peers = self.hosts.iter_mut().filter_map(Host::peer);
        let kept = peers.map(|at| {
            let ids = at.peer.present().listed().map(|presence| presence.id);
            let listings = ids.filter_map(|id| at.peer.catalogue().listing(id));
            as_f64(listings.map(|listing| listing.size().bytes).sum())
        });
        kept.collect()
    }

    /// Something happens from outside.
    pub fn on_event(&mut self, event: Incident) {
        match event {
            Incident::Online(machine) => self.start(machine),
            Incident::Offline(machine, how) => self.end(machine, how),
            Incident::Appears(file) => {
                let owner = self.files[file.index()].owner;
                self.truth.on_stored(owner, file);
                let entry = self.entry(file);
                self.list(owner, vec![entry], &[]);
            }
            Incident::Retires(file) => {
                for owner in self.truth.on_deleted(file) {
                    self.list(owner, Vec::new(), &[file]);
                }
            }
            Incident::Asks(machine, file, wording) => self.ask(machine, file, wording),
            Incident::CutOff(region) => self.network.cut(region, true),
            Incident::Joined(region) => {
                self.network.cut(region, false);
                self.on_disturbance_over();
            }
            Incident::Poisons(machine, file, how) => self.poison(machine, file, how),
            Incident::TrackerGone => self.switch_off(TRACKER),
            Incident::TrackerBack => {
                self.start_tracker();
                self.on_disturbance_over();
            }
        }
    }

    fn step(&mut self, due: Due) {
        self.now = due.at;
        let node = due.node;
        if let What::Wake = due.what {
            self.wake(node, due.at, due.run);
            return;
        }
        if self.hosts[node].runs != due.run {
            return;
        }
        self.events += 1;
        match due.what {
            What::Wake => {}
            What::Connected { link, dialled } => self.connected(node, link, dialled),
            What::DialFailed(target) => {
                let trouble = Unreached {
                    cause: Cause::Network,
                    reason: "it does not answer".to_owned(),
                };
                self.give(node, peer::Input::DialFailed { target, trouble });
            }
            What::Frame { link, frame } => self.frame(node, link, *frame),
            What::File {
                link,
                request,
                file,
            } => self.file(node, link, request, file),
            What::OnDisk(fetch) => self.on_disk(node, fetch),
            What::Clear => self.clear(node),
            What::Announce => self.announce(node),
            What::Settled => self.on_settled(),
            What::NeighboursSettled => self.on_neighbours_settled(),
            What::Disconnected { link, reason } => self.disconnected(node, link, reason),
        }
    }

    fn wake(&mut self, node: Node, at: Instant, run: u32) {
        let host = &mut self.hosts[node];
        if host.runs != run || host.wakes_at != Some(at) {
            return;
        }
        host.wakes_at = None;
        if host.next_deadline().is_some_and(|due| due <= at) {
            self.events += 1;
            self.on_link(node, links::Input::Tick);
        } else {
            self.set_alarm(node);
        }
    }

    /// The machine is woken when it wants to be, unless it is before.
    fn set_alarm(&mut self, node: Node) {
        let host = &mut self.hosts[node];
        let Some(due) = host.next_deadline() else {
            return;
        };
        let at = due.max(self.now);
        if host.wakes_at.is_none_or(|wakes_at| at < wakes_at) {
            host.wakes_at = Some(at);
            self.happens(at, node, What::Wake);
        }
    }

    fn happens(&mut self, at: Instant, node: Node, what: What) {
        let number = self.number();
        let run = self.hosts[node].runs;
        self.queue.push(Reverse(Due {
            at,
            number,
            node,
            run,
            what,
        }));
    }

    fn number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    fn entry(&self, file: FileId) -> Entry {
        let honest = file.honest();
        if honest == file {
            return self.entries[file.index()].clone();
        }
        file.entry(self.files[honest.index()].region)
    }

    fn me(&self, node: Node) -> Me {
        Me {
            id: id_of(node),
            epoch: (node as u64) << 32 | u64::from(self.hosts[node].runs),
            port: Some(network::PORT),
            claimed: Vec::<SocketAddr>::new(),
            visitor: false,
            bittorrent: false,
            advertised: 0,
        }
    }

    /// Takes this into the digest of the run (FNV-1a).
    fn note(&mut self, node: Node, what: &str) {
        let time = (self.now - Instant::default()).as_nanos().to_le_bytes();
        let node = node.to_le_bytes();
        for byte in time.iter().chain(&node).chain(what.as_bytes()) {
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

fn entries_of(files: &[Origin]) -> Vec<Entry> {
    let ids = (0..).map(FileId);
    let entries = ids
        .zip(files)
        .map(|(file, origin)| file.entry(origin.region));
    entries.collect()
}

/// The node of a machine.
fn node(machine: Machine) -> Node {
    machine.index() + 1
}

/// The machine at a node; the tracker is none.
fn machine(node: Node) -> Option<Machine> {
    u32::try_from(node.checked_sub(1)?).ok().map(Machine)
}

fn party(node: Node) -> Party {
    Party {
        id: id_of(node),
        name: machine(node).map(Machine::name),
        tracker: node == TRACKER,
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

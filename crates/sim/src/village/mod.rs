//! Machines, the links between them, and what is on its way: the loop.
//!
//! One queue holds all that will happen, in the order of time. Each step gives one
//! machine one input, carries out what it wants, and notes when it is to be woken.
//! No step walks over all machines.
//!
//! ```text
//! agreement  whether the tracker knows who is there
//! poison     members that deceive
//! requests   what users ask for, and what becomes of it
//! wires      connections, and what is on its way on them
//! ```

mod agreement;
mod poison;
mod requests;
mod wires;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use thorp_core::get::{Claimed, Existing, FetchId, Folders, GetId, Patience, Request, Storage};
use thorp_core::links::{self, Closing, LinkId, Me, Party};
use thorp_core::lookup::Only;
use thorp_core::matching::Pattern;
use thorp_core::peer::{self, AskId, Cause, Peer, Target, Unanswered, Unreached, Wish};
use thorp_core::survey::{Coverage, Findings};
use thorp_core::time::Instant;
use thorp_core::tracker::{self, Tracker};
use thorp_wire::frame::{Body, Found, Reason, Refused, RequestId};
use thorp_wire::{Content, Entry, Frame};

use crate::arm::Arm;
use crate::chance::as_f64;
use crate::host::{Errand, Host, Household, Program};
use crate::laws::Laws;
use crate::network::{self, Network, Node, TRACKER, id_of, node_of};
use crate::oracle::Oracle;
use crate::trace::{Departure, FileId, Incident, Machine, Origin, Trace, Wording};
use crate::traffic::Traffic;
use crate::truth::Truth;
use poison::{Poisons, Sent};
use requests::outcome;
pub use requests::{Fate, Requested};
use wires::Cable;

/// How fast a machine sends a file, in bytes a second: 100 Mb/s.
const UPLINK: f64 = 12_500_000.0;
/// How long a disk takes for a small file.
const DISK: Duration = Duration::from_millis(1);

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

    /// The run is over: what is still open stays so, and who is online was.
    pub fn finish(&mut self) {
        for node in 1..self.hosts.len() {
            if !matches!(self.hosts[node].program, Program::Off) {
                self.traffic
                    .was_online(node, self.hosts[node].since, self.now);
            }
        }
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

    fn start_tracker(&mut self) {
        self.hosts[TRACKER].runs += 1;
        self.hosts[TRACKER].wakes_at = None;
        let me = self.me(TRACKER);
        self.hosts[TRACKER].program = Program::Tracker(Tracker::new(tracker::Config {
            me,
            interval: self.arm.tracker_interval,
            small_group: tracker::SMALL_GROUP,
            room: tracker::ROOM,
            longest_interval: self.arm.longest_tracker_interval,
            bittorrent: false,
        }));
    }

    fn start(&mut self, machine: Machine) {
        let node = node(machine);
        if self.truth.is_online(machine) {
            return;
        }
        self.hosts[node].runs += 1;
        self.hosts[node].since = self.now;
        self.hosts[node].wakes_at = None;
        let config = peer::Config {
            me: self.me(node),
            has_tracker: true,
            hops: self.arm.hops,
            compare_interval: self.arm.compare_interval,
            tracker_interval: self.arm.tracker_interval,
            neighbour_interval: self.arm.neighbour_interval,
            max_neighbours: self.arm.neighbours,
            exchange: self.arm.exchange,
            hearsay: self.arm.hearsay,
            remembered: self.hosts[node].remembers.clone(),
            seed: self.seed ^ (node as u64) << 20 ^ u64::from(self.hosts[node].runs),
        };
        let peer = Peer::new(self.now, config);
        self.hosts[node].program = Program::Peer(Household::new(peer));
        self.truth.on_online(machine);
        let files = self.truth.disk(machine).iter();
        let mut entries: Vec<Entry> = files.map(|file| self.entry(*file)).collect();
        entries.extend(self.poisoned(machine));
        self.list(machine, entries, &[]);
        self.on_link(node, links::Input::Tick);
        self.clear_later(node);
        if self.arm.announces.is_some() {
            self.announce(node);
        }
    }

    /// Plain BitTorrent: the tracker is told of each file by itself, again and again.
    fn announce(&mut self, node: Node) {
        let (Some(every), Some(machine)) = (self.arm.announces, machine(node)) else {
            return;
        };
        self.announce_all(machine);
        self.happens(self.now + every, node, What::Announce);
    }

    fn announce_all(&mut self, machine: Machine) {
        if self.arm.announces.is_some() && self.truth.lists(machine) {
            let files = self.truth.disk(machine).len();
            self.traffic.announced(self.now, node(machine), files);
        }
    }

    fn end(&mut self, machine: Machine, how: Departure) {
        let node = node(machine);
        if !self.truth.is_online(machine) {
            return;
        }
        if how == Departure::Goodbye {
            self.announce_all(machine);
            let reason = "stopped by its user".to_owned();
            self.on_link(node, links::Input::Stop { reason });
            for link in self.hosts[node].links.clone() {
                self.hang_up(node, link);
            }
        }
        if let Some(household) = self.hosts[node].peer() {
            let gets = std::mem::take(&mut household.gets).into_values();
            let surveys = std::mem::take(&mut household.surveys).into_values();
            for request in gets.chain(surveys) {
                self.requests[request].fate = Fate::Left;
            }
        }
        self.hosts[node].online_before = self.hosts[node].online(self.now);
        self.switch_off(node);
        self.truth.on_offline(self.now, machine);
        self.traffic
            .was_online(node, self.hosts[node].since, self.now);
    }

    /// The program at a node ends, and nothing more is sent or heard by it.
    fn switch_off(&mut self, node: Node) {
        for link in std::mem::take(&mut self.hosts[node].links) {
            self.let_go(node, link);
        }
        self.hosts[node].program = Program::Off;
        self.hosts[node].runs += 1;
    }

    /// A machine lists other files than before, if it lists any.
    fn list(&mut self, machine: Machine, added: Vec<Entry>, removed: &[FileId]) {
        if !self.truth.is_online(machine) || !self.truth.lists(machine) {
            return;
        }
        if added.is_empty() && removed.is_empty() {
            return;
        }
        let removed = removed.iter().map(|file| self.entry(*file).name).collect();
        self.give(node(machine), peer::Input::ShareChanged { added, removed });
    }

    fn ask(&mut self, machine: Machine, file: FileId, wording: Wording) {
        let request = self.requests.len();
        self.requests.push(Requested {
            at: self.now,
            file,
            wording,
            available: self.truth.available(machine, file),
            is_cached: self.is_cached(machine, file),
            fate: Fate::Open,
        });
        if wording != Wording::Folder && self.oracle.samples(machine) {
            let holders = self.truth.holders(file, machine).collect();
            self.oracle.on_asked(self.now, machine, holders);
        }
        let number = self.number();
        let region = self.files[file.index()].region;
        let node = node(machine);
        let Some(household) = self.hosts[node].peer() else {
            self.requests[request].fate = Fate::Left;
            return;
        };
        let name = match wording {
            Wording::Path => file.path(region).to_string(),
            Wording::BaseName => file.base_name(),
            Wording::Folder => {
                let ask = AskId(number);
                household.surveys.insert(ask, request);
                let pattern = Pattern::new(&file.pattern(region)).expect("a glob");
                let survey = peer::Input::Survey {
                    ask,
                    wish: Wish::Files(pattern),
                    itself: None,
                };
                self.give(node, survey);
                return;
            }
        };
        let get = GetId(number);
        household.gets.insert(get, request);
        let request = Request {
            names: vec![name],
            only: Only::default(),
            rename: None,
            existing: Existing::Keep,
            elsewhere: false,
            patience: Patience::None,
            hidden: false,
            folders: Folders::No,
            executable: true,
        };
        self.give(node, peer::Input::Get { get, request });
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

    /// A frame arrives: files are the shell's, the rest the core's.
    fn frame(&mut self, node: Node, link: u64, frame: Frame) {
        let id = LinkId(link);
        self.note(node, frame.body.name());
        if let Body::Found(found) = &frame.body {
            self.laws.on_found(self.now, found, &self.truth);
            self.cache(node, link, found);
        }
        let (Body::Get(get), Some(request)) = (&frame.body, frame.request) else {
            self.on_link(node, links::Input::Frame { link: id, frame });
            return;
        };
        self.on_link(node, links::Input::heard(id));
        let sent = machine(node).map(|machine| self.sent_for(machine, get.content));
        if let Some(Sent::File(file)) = sent {
            #[expect(clippy::cast_precision_loss, reason = "some kilobytes")]
            let sending = Duration::from_secs_f64(get.content.length as f64 / UPLINK);
            self.traffic.served(self.now, node);
            self.give(node, peer::Input::Served { link: id });
            self.transmit(node, link, sending, |link| What::File {
                link,
                request,
                file,
            });
        } else {
            self.counts.not_here += 1;
            let refused = Refused {
                reason: Reason::NotHere,
                text: String::new().into(),
            };
            self.send(node, link, Frame::with_request(request, refused));
        }
    }

    fn file(&mut self, node: Node, link: u64, request: RequestId, file: FileId) {
        let id = LinkId(link);
        self.on_link(node, links::Input::heard(id));
        let now = self.now;
        let Some(household) = self.hosts[node].peer() else {
            return;
        };
        if let Some(Claimed { fetch, item, .. }) = household.peer.claim_content(now, id, request) {
            let wanted = FileId::of(item.content);
            household.storing.insert(fetch, (file, wanted));
            self.happens(now + DISK, node, What::OnDisk(fetch));
        }
        self.drain(node);
    }

    fn on_disk(&mut self, node: Node, fetch: FetchId) {
        let stored = self.hosts[node]
            .peer()
            .and_then(|at| at.storing.remove(&fetch));
        let (Some((file, wanted)), Some(machine)) = (stored, machine(node)) else {
            return;
        };
        if file != wanted {
            // The shell has hashed it.
            self.counts.corrupt += 1;
            let storage = Storage::Mismatch;
            self.give(node, peer::Input::Stored { fetch, storage });
            return;
        }
        if let Some(household) = self.hosts[node].peer() {
            household.stored.insert(fetch, file);
        }
        let storage = Storage::Kept;
        if self.arm.announces.is_some() && self.truth.lists(machine) {
            // That it has begun, and that it is complete.
            self.traffic.announced(self.now, node, 2);
        }
        self.give(node, peer::Input::Stored { fetch, storage });
        if file.is_forged() {
            self.on_forged_stored(machine, file);
            return;
        }
        self.truth.on_stored(machine, file);
        let entry = self.entry(file);
        self.list(machine, vec![entry], &[]);
        let online = self.hosts[node].online(self.now);
        let kept = &mut self.hosts[node].kept;
        kept.push_back((online + self.keep, file));
        if kept.len() == 1 {
            self.happens(self.now + self.keep, node, What::Clear);
        }
    }

    /// Copies that a machine has had for long enough, while online, are deleted.
    fn clear(&mut self, node: Node) {
        let online = self.hosts[node].online(self.now);
        let Some(machine) = machine(node) else {
            return;
        };
        while let Some((_, file)) = self.hosts[node].kept.pop_front_if(|(at, _)| *at <= online) {
            if self.truth.on_deleted_at(machine, file) {
                self.list(machine, Vec::new(), &[file]);
            }
        }
        self.clear_later(node);
    }

    fn clear_later(&mut self, node: Node) {
        let online = self.hosts[node].online(self.now);
        if let Some((until, _)) = self.hosts[node].kept.front() {
            let at = self.now + until.saturating_sub(online);
            self.happens(at, node, What::Clear);
        }
    }

    /// Gives a peer one input.
    fn give(&mut self, node: Node, input: peer::Input) {
        let now = self.now;
        if let Some(household) = self.hosts[node].peer() {
            household.peer.handle(now, input);
        }
        self.drain(node);
    }

    /// Tells a machine what has happened on its links.
    fn on_link(&mut self, node: Node, input: links::Input) {
        let now = self.now;
        match &mut self.hosts[node].program {
            Program::Peer(household) => household.peer.handle(now, input.into()),
            Program::Tracker(tracker) => tracker.handle(now, input.into()),
            Program::Off => return,
        }
        self.drain(node);
    }

    fn drain(&mut self, node: Node) {
        loop {
            let output = match &mut self.hosts[node].program {
                Program::Peer(household) => household.peer.poll_output(),
                Program::Tracker(tracker) => match tracker.poll_output() {
                    Some(tracker::Output::Link(output)) => Some(peer::Output::Link(output)),
                    Some(_) => continue,
                    None => None,
                },
                Program::Off => return,
            };
            match output {
                Some(output) => self.carry_out(node, output),
                None => break,
            }
        }
        self.set_alarm(node);
    }

    fn carry_out(&mut self, node: Node, output: peer::Output) {
        match output {
            peer::Output::Link(links::Output::Send(link, frame)) => self.send(node, link.0, frame),
            peer::Output::Link(links::Output::Close(link, why)) => {
                if let Closing::Silence(_) = why {
                    self.on_given_up(node, link.0);
                }
                self.hang_up(node, link.0);
            }
            peer::Output::Dial(target) => self.dial(node, target),
            peer::Output::Remember(known) => self.hosts[node].remembers = known,
            peer::Output::Get(get, told) => {
                if let Some(household) = self.hosts[node].peer() {
                    let errand = household.on_told(get, told);
                    self.for_user(node, errand);
                }
            }
            peer::Output::Surveyed(ask, findings) => {
                let now = self.now;
                if let Some(household) = self.hosts[node].peer() {
                    if let Findings::Files(files) = &findings {
                        *household.listed.entry(ask).or_default() += files.len();
                    }
                    household.peer.handle(now, peer::Input::Taken { ask });
                }
            }
            peer::Output::SurveyOver(ask, end) => self.on_survey_over(node, ask, &end),
            // No record changes here, all files are hashed, and nothing is shown.
            _ => {}
        }
    }

    /// A machine takes another one for gone, for its silence.
    fn on_given_up(&mut self, node: Node, link: u64) {
        let Some(far) = self.far_end(node, link) else {
            return;
        };
        let gone_since = machine(far).and_then(|far| self.truth.gone_since(far));
        if let Some(since) = gone_since {
            let noticed = if node == TRACKER {
                &mut self.counts.tracker_noticed
            } else {
                &mut self.counts.neighbours_noticed
            };
            noticed.push(self.now - since);
        } else if self.has_open(far, link) && self.owes_signs_of_life(far, node) {
            self.counts.false_evictions += 1;
        }
    }

    /// Whether a node keeps its link to another one alive. Where it does not, the link
    /// is left to end by its silence.
    fn owes_signs_of_life(&mut self, node: Node, to: Node) -> bool {
        let keeps = |at: &mut Household| {
            let mut neighbours = at.peer.present().listed();
            to == TRACKER || neighbours.any(|presence| presence.id == id_of(to))
        };
        node == TRACKER || self.hosts[node].peer().is_some_and(keeps)
    }

    /// Where the tracker says that files are is kept for ever: what a cache of its
    /// answers is worth. Only where there is nothing else to ask.
    fn cache(&mut self, node: Node, link: u64, found: &Found) {
        if self.arm.neighbours > 0 || self.far_end(node, link) != Some(TRACKER) {
            return;
        }
        for variant in &found.variants {
            let Some(root) = variant.entry.root else {
                continue;
            };
            let file = FileId::of(Content {
                length: variant.entry.length,
                root,
            });
            let holders = variant.holders.iter().filter_map(|at| node_of(at.id));
            self.cached[node].entry(file).or_default().extend(holders);
        }
    }

    /// Whether a machine has been told by the tracker of a holder that has the file now.
    fn is_cached(&self, machine: Machine, file: FileId) -> bool {
        let holders = self.cached[node(machine)].get(&file).into_iter().flatten();
        holders
            .filter_map(|at| self::machine(*at))
            .any(|at| self.truth.is_online(at) && self.truth.has(at, file))
    }

    fn on_survey_over(&mut self, node: Node, ask: AskId, end: &Result<Coverage, Unanswered>) {
        let Some(household) = self.hosts[node].peer() else {
            return;
        };
        let files = household.listed.remove(&ask).unwrap_or_default();
        if let Some(request) = household.surveys.remove(&ask) {
            self.requests[request].fate = Fate::Listed {
                files,
                is_whole: *end == Ok(Coverage::Whole),
                after: self.now - self.requests[request].at,
            };
        }
    }

    fn for_user(&mut self, node: Node, errand: Errand) {
        match errand {
            Errand::Looked(get, looked) => {
                let now = self.now;
                if let Some(household) = self.hosts[node].peer() {
                    household
                        .peer
                        .handle(now, peer::Input::Looked { get, looked });
                }
            }
            Errand::Fetched {
                request,
                source,
                tracker_asked,
                told,
                bytes,
            } => {
                let asked = &mut self.requests[request];
                self.laws.on_fetched(self.now, asked.file, told, bytes);
                asked.fate = Fate::Fetched {
                    source,
                    tracker_asked,
                    is_forged: told.is_forged(),
                    after: self.now - asked.at,
                };
            }
            Errand::Ended(request, end) => {
                let asked = &mut self.requests[request];
                if asked.fate == Fate::Open {
                    asked.fate = outcome(&end);
                }
            }
            Errand::Nothing => {}
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

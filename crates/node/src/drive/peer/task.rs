//! The shell around the peer's machine: it turns what happens into inputs, and
//! outputs into what is to happen. It decides nothing.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use thorp_core::catalogue::File;
use thorp_core::fetch::FetchId;
use thorp_core::links::{self, LinkId, Me};
use thorp_core::lookup::is_called;
use thorp_core::peer::{self as machine, Input, Output, Target};
use thorp_core::survey::Subject;
use thorp_files::disk::Disk;
use thorp_files::share::{Share, ShareEvent};
use thorp_files::store::{StoreError, Stored};
use thorp_group::address::NetAddress;
use thorp_group::certificate::CertificateError;
use thorp_group::clock::{Clock, unix_seconds};
use thorp_group::join::Admitted;
use thorp_group::record::REMOVED;
use thorp_group::renewal;
use thorp_group::tls::MemberTls;
use thorp_wire::frame::{Body, Frame, Get, Holder, Reason, Refused, Variant};
use thorp_wire::{Name, PeerId};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use crate::api::{ErrorKind, Lookups, Notice, PeerView, Status, Trouble, Warning};
use crate::net::Purpose;
use crate::net::addresses::{self, Whereabouts};
use crate::net::dial::{self, Connected, DialError, Expected};
use crate::net::join::NotJoined;
use crate::net::link::{self, Arrival, Arrivals, Inbox, LinkEnd, LinkEvent, LinkSender, Term};
use crate::net::listener::Incoming;
use crate::rows;
use crate::sessions::Swarms;
use crate::system::{now, random, sleep};

use super::fetching::{Fetching, answer};
use super::memory::Writer;
use super::serve::Server;
use super::standing::{Change, Standing};
use super::{Request, Role, Setup, source};

/// Events of dials and disk that wait for the task.
const EVENTS: usize = 256;

/// How often this machine's addresses are compared with those it has told.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How often it is told how far a file is that is hashed for somebody.
const HASHED_EVERY: Duration = Duration::from_millis(500);

pub(crate) struct Task {
    machine: machine::Peer,
    standing: Standing,
    clock: Clock,
    tls: MemberTls,
    trackers: Vec<NetAddress>,
    listen: Option<SocketAddr>,
    /// This peer as others see it; nothing for a visitor.
    itself: watch::Sender<Option<Holder>>,
    /// Where this machine is, unless it listens at one address whatever happens.
    whereabouts: Option<Whereabouts>,
    memory: Option<Writer>,
    share: Option<Share>,
    changes: Option<mpsc::Receiver<ShareEvent>>,
    incoming: Option<mpsc::Receiver<Incoming>>,
    server: Option<Server>,
    /// Links over which a file was sent.
    served: mpsc::Receiver<LinkId>,
    swarms: Swarms,
    /// Members that pieces of a file were sent to.
    fed: mpsc::Receiver<PeerId>,
    /// What callers of this peer ask for and fetch.
    fetching: Fetching,
    links: HashMap<LinkId, LinkSender>,
    /// This machine's address at this end of each.
    local: HashMap<LinkId, IpAddr>,
    last_link: u64,
    /// Files that are hashed for somebody.
    hashing: HashSet<Name>,
    inbox: Inbox,
    arrivals: Arrivals,
    events: Channel<Event>,
    view: watch::Sender<Arc<PeerView>>,
    notices: mpsc::Sender<Notice>,
    /// Whether somebody knows that the tracker is being dialled.
    announced: bool,
    /// Why there is no link to the tracker, as far as that is known.
    trouble: watch::Sender<Option<Trouble>>,
    /// Links that this peer has dialled to its tracker.
    to_tracker: HashMap<LinkId, SocketAddr>,
    /// Whether a person was told just now that the tracker is lost.
    lost_was_told: bool,
    changed: bool,
}

/// Where the task shows how things are.
pub(super) struct Shown {
    pub itself: watch::Sender<Option<Holder>>,
    pub view: watch::Sender<Arc<PeerView>>,
    pub trouble: watch::Sender<Option<Trouble>>,
}

/// Both ends of one.
pub(crate) type Channel<T> = (mpsc::Sender<T>, mpsc::Receiver<T>);

/// Something that was going on elsewhere has come to an end.
pub(super) enum Event {
    /// So much was read of a file that is hashed for somebody; nothing, at the end.
    Hashed(Name, Option<u64>),
    Dialled(Target, Result<Box<Connected>, Trouble>),
    /// The tracker has ended this link over a certificate, and this is why.
    TurnedAway(LinkId, Trouble),
    Rejoined(Result<Admitted, NotJoined>),
    Stored {
        fetch: FetchId,
        result: Result<Stored, StoreError>,
    },
}

impl Task {
    pub(super) fn new(
        setup: Setup,
        (swarms, fed): (Swarms, mpsc::Receiver<PeerId>),
        Shown {
            itself,
            view,
            trouble,
        }: Shown,
        notices: mpsc::Sender<Notice>,
    ) -> Self {
        let Setup {
            tls,
            trackers,
            config,
            clock,
            role,
            announced,
            renewal,
        } = setup;
        let (share, changes, listen, incoming, memory) = match role {
            Role::Sharing {
                share,
                changes,
                listen,
                incoming,
                memory,
            } => (
                Some(share),
                Some(changes),
                Some(listen),
                Some(incoming),
                Some(memory),
            ),
            Role::Visiting(_) => (None, None, None, None, None),
        };
        let remembered = memory.as_ref().map(|memory| memory.known.clone());
        let events = mpsc::channel(EVENTS);
        let served = mpsc::channel(EVENTS);
        let disk = Disk::default();
        let (inbox, arrivals) = link::inbox();
        let me = Me {
            id: tls.member().id,
            epoch: random(),
            port: listen.map(|listen| listen.port()),
            claimed: listen.map(addresses::own).unwrap_or_default(),
            visitor: share.is_none(),
        };
        let config = machine::Config {
            me,
            has_tracker: !trackers.is_empty(),
            hops: config.hops,
            tracker_interval: config.tracker_interval,
            neighbour_interval: config.neighbour_interval,
            max_neighbours: config.max_neighbours,
            remembered: remembered.unwrap_or_default(),
            seed: random(),
        };
        Self {
            machine: machine::Peer::new(now(&clock), config),
            standing: Standing::new(tls.clone(), clock.clone(), renewal),
            clock,
            tls,
            trackers,
            listen,
            server: share
                .clone()
                .map(|share| Server::new(share, disk.clone(), served.0.clone())),
            served: served.1,
            swarms,
            fed,
            fetching: Fetching::new(disk, events.0.clone()),
            itself,
            whereabouts: listen
                .filter(|listen| listen.ip().is_unspecified())
                .map(Whereabouts::new),
            memory: memory.map(|memory| memory.start(notices.clone())),
            share,
            changes,
            incoming,
            links: HashMap::new(),
            local: HashMap::new(),
            last_link: 0,
            hashing: HashSet::new(),
            inbox,
            arrivals,
            events,
            view,
            notices,
            announced,
            trouble,
            to_tracker: HashMap::new(),
            lost_was_told: false,
            changed: true,
        }
    }

    pub(super) async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        mut abandoned: mpsc::UnboundedReceiver<FetchId>,
    ) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        if let Some(record) = self.standing.kept() {
            self.handle(links::Input::Adopted { record });
        }
        self.handle(links::Input::Tick);
        loop {
            if self.standing.removed {
                return self.stop(REMOVED.to_owned()).await;
            }
            let tracker_is_up = self.tracker_is_up();
            let deadline = self.machine.next_deadline().map(|at| at - now(&self.clock));
            tokio::select! {
                Some(arrival) = self.arrivals.recv() => self.arrived(arrival),
                Some(event) = self.events.1.recv() => self.event(event),
                Some(link) = self.served.recv() => self.handle(Input::Served { link }),
                Some(member) = self.fed.recv() => self.handle(Input::InUse(member)),
                Some(incoming) = next(&mut self.incoming) => self.called(incoming),
                change = self.standing.change(tracker_is_up) => self.standing_changed(change),
                Some(change) = next(&mut self.changes) => self.share_event(change),
                Some(fetch) = abandoned.recv() => {
                    let input = self.fetching.abandon(fetch);
                    self.handle(input);
                }
                request = requests.recv() => match request {
                    Some(Request::Stop(reason)) => return self.stop(reason).await,
                    Some(request) => self.request(request),
                    None => return self.stop("the program ends".to_owned()).await,
                },
                _ = look.tick(), if self.whereabouts.is_some() => self.look_around(),
                () = sleep(deadline) => self.handle(links::Input::Tick),
            }
            if std::mem::take(&mut self.changed) {
                self.show();
            }
        }
    }

    async fn stop(mut self, reason: String) {
        self.swarms.close();
        self.handle(links::Input::Stop { reason });
        link::farewell(self.links.len(), &mut self.arrivals).await;
        if let Some(memory) = self.memory {
            memory.finish().await;
        }
        self.standing.finish().await;
        if let Some(share) = self.share {
            // The disk may take its time; there is nothing else left to do.
            let _ = tokio::task::spawn_blocking(move || share.save()).await;
        }
    }

    fn handle(&mut self, input: impl Into<Input>) {
        self.machine.handle(now(&self.clock), input.into());
        while let Some(output) = self.machine.poll_output() {
            self.output(output);
        }
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Dial(target) => self.dial(target),
            Output::Link(links::Output::Send(link, frame)) => self.send(link, frame),
            Output::Link(links::Output::Close(link, reason)) => {
                if let Some(sender) = self.links.get(&link) {
                    tracing::debug!(link = link.0, %reason, "closing");
                    sender.close();
                }
            }
            Output::Get {
                link,
                request,
                content,
            } => {
                self.fetching.on_asked(link, request, content);
                self.send(link, Frame::with_request(request, Get { content }));
            }
            Output::Store(fetch) => {
                if let Some(input) = self.fetching.store(fetch) {
                    self.handle(input);
                }
            }
            Output::HashNow(name) => self.hash_now(name),
            Output::LookedUp(ask, outcome) => self.fetching.on_looked_up(ask, outcome),
            Output::Surveyed(ask, findings) => self.fetching.on_surveyed(ask, findings),
            Output::Fetched(fetch, holder) => self.fetching.on_fetched(fetch, holder),
            Output::Holders(fetch, holders) => self.fetching.on_holders(fetch, holders),
            Output::FetchFailed(fetch, failure) => self.fetching.on_fetch_failed(fetch, failure),
            Output::Remember(known) => {
                if let Some(memory) = &self.memory {
                    memory.write(known);
                }
            }
            Output::Notice(machine::Notice::TrackerUp) => {
                self.trouble.send_replace(None);
                self.announced = false;
                self.notify(Notice::Connected);
            }
            Output::Notice(machine::Notice::TrackerLost(why)) => self.tracker_lost(&why),
            Output::Notice(notice) => {
                if let Some(warning) = rows::warning(&notice) {
                    self.notify(Notice::Warning(warning));
                }
            }
            Output::Link(links::Output::Verify(link, record)) => {
                if self.standing.verify(record).is_err() {
                    self.handle(links::Input::Forged { link });
                }
            }
            Output::Renewed(answer) => self.standing.answered(answer),
            Output::Removed => self.standing.removed = true,
            Output::Changed => self.changed = true,
        }
    }

    fn standing_changed(&mut self, change: Change) {
        match change {
            Change::Adopted(record) => self.handle(links::Input::Adopted { record }),
            Change::RenewalDue => {
                if let Some(join) = self.standing.ask() {
                    self.handle(Input::Renew { join });
                }
            }
            Change::Ended => {
                let rejoined = self.standing.rejoin();
                let events = self.events.0.clone();
                tokio::spawn(async move {
                    // Nobody to tell: the peer is gone.
                    let _ = events.send(Event::Rejoined(rejoined.await)).await;
                });
            }
        }
    }

    fn send(&self, link: LinkId, frame: Frame) {
        if let Some(link) = self.links.get(&link) {
            link.send(frame);
        }
    }

    fn dial(&mut self, target: Target) {
        // Trying again is not news.
        if target == Target::Tracker && !std::mem::replace(&mut self.announced, true) {
            for tracker in &self.trackers {
                self.notify(rows::connecting(tracker));
            }
        }
        let tls = self.tls.clone();
        let trackers = self.trackers.clone();
        let source = source(self.listen);
        let events = self.events.0.clone();
        tokio::spawn(async move {
            let result = reach(&target, &trackers, &tls, source).await;
            // Nobody to tell: the peer is gone.
            let _ = events.send(Event::Dialled(target, result)).await;
        });
    }

    /// There is no link to the tracker, and why. Of another kind of reason than
    /// before a person is told, though it is no news that there is none.
    fn no_tracker(&mut self, trouble: Trouble, input: Input) {
        let kind = trouble.kind();
        let before = self.trouble.send_replace(Some(trouble.clone()));
        self.lost_was_told = false;
        self.handle(input);
        let is_new = before.is_none_or(|before| before.kind() != kind);
        if is_new && !self.lost_was_told && kind != ErrorKind::Network {
            self.notify(Notice::Warning(Warning::Tracker(trouble)));
        }
    }

    /// The machine says that the tracker is lost. What is known better of the
    /// reason than its text stays.
    fn tracker_lost(&mut self, why: &str) {
        let known = self.trouble.borrow().clone();
        let lost = Trouble::Lost {
            why: why.to_owned(),
        };
        if known.is_none() {
            self.trouble.send_replace(Some(lost.clone()));
        }
        let told = known.filter(|known| known.to_string() == why);
        self.lost_was_told = true;
        self.notify(Notice::TrackerLost(told.unwrap_or(lost)));
    }

    /// The tracker does not trust this machine's certificate. It is asked what it
    /// shows to newcomers, which may say why.
    fn turned_away(&self, link: LinkId, address: SocketAddr, why: CertificateError) {
        let (tls, events) = (self.tls.clone(), self.events.0.clone());
        tokio::spawn(async move {
            let why = DialError::Certificate { address, why };
            let why = dial::explain(why, Some(tls.ca()), tls.clock()).await;
            // Nobody to tell: the peer is gone.
            let _ = events
                .send(Event::TurnedAway(link, Trouble::from(&why)))
                .await;
        });
    }

    fn called(&mut self, incoming: Incoming) {
        if incoming.purpose == Purpose::Session {
            return self.swarms.called(incoming);
        }
        let connected = Connected {
            stream: incoming.stream,
            member: incoming.member,
            address: incoming.remote,
        };
        self.connected(connected, false);
    }

    fn connected(&mut self, connected: Connected, dialled: bool) {
        let Connected {
            stream,
            member,
            address,
        } = connected;
        let link = self.next_link();
        if dialled && member.tracker {
            self.to_tracker.insert(link, address);
        }
        if let Ok(local) = stream.get_ref().0.local_addr() {
            self.local.insert(link, local.ip());
        }
        let term = Term {
            clock: self.clock.clone(),
            ends: member.ends.min(self.tls.member().ends),
        };
        let sender = link::start(link, stream, term, self.inbox.clone());
        self.links.insert(link, sender);
        self.handle(links::Input::Connected {
            link,
            member: rows::member(member),
            dialled,
            remote: address.ip(),
        });
    }

    /// Tells the machine when this one has other addresses. A connection from
    /// an address that is gone is dead, though nobody will ever say so.
    fn look_around(&mut self) {
        let Some(here) = &mut self.whereabouts else {
            return;
        };
        if !here.look() {
            return;
        }
        let own = here.own();
        let gone = self.local.iter().filter(|(_, ip)| !here.has(**ip));
        let gone: Vec<(LinkId, IpAddr)> = gone.map(|(link, ip)| (*link, *ip)).collect();
        for (link, ip) in gone {
            self.local.remove(&link);
            if let Some(sender) = self.links.get(&link) {
                sender.close();
            }
            let reason = format!("this machine has left the address {}", ip.to_canonical());
            self.handle(links::Input::Disconnected { link, reason });
        }
        self.itself.send_if_modified(|itself| {
            let Some(itself) = itself.as_mut() else {
                return false;
            };
            let moved = itself.addresses != own;
            itself.addresses.clone_from(&own);
            moved
        });
        self.handle(Input::Readdressed { claimed: own });
        self.changed = true;
    }

    fn arrived(&mut self, arrival: Arrival) {
        // Its room is given back when it has been dealt with.
        let Arrival { link, event, .. } = arrival;
        match event {
            LinkEvent::Frame(frame) => self.frame(link, frame),
            LinkEvent::Unknown { request, kind } => {
                if let Some(request) = request {
                    let refused = Refused {
                        reason: Reason::Unknown,
                        text: format!("frames of type {kind} are not known here"),
                    };
                    self.send(link, Frame::with_request(request, refused));
                }
                self.handle(links::Input::Heard { link });
            }
            LinkEvent::Heard => self.handle(links::Input::Heard { link }),
            LinkEvent::Expiring => self.handle(links::Input::Expiring { link }),
            LinkEvent::Closed(end) => {
                let reason = end.to_string();
                self.links.remove(&link);
                self.local.remove(&link);
                if let Some(server) = &mut self.server {
                    server.forget(link);
                }
                self.fetching.on_link_closed(link);
                match (self.to_tracker.remove(&link), end) {
                    (Some(address), LinkEnd::Certificate(why)) => {
                        self.turned_away(link, address, why);
                    }
                    _ => self.handle(links::Input::Disconnected { link, reason }),
                }
            }
        }
    }

    fn frame(&mut self, link: LinkId, frame: Frame) {
        match (frame.body, frame.request) {
            (Body::Get(get), Some(request)) => {
                if let Some(sender) = self.links.get(&link) {
                    match &mut self.server {
                        Some(server) => server.serve(link, sender, request, get.content),
                        None => sender.send(Frame::with_request(
                            request,
                            Refused {
                                reason: Reason::NotServed,
                                text: "a visitor shares nothing".to_owned(),
                            },
                        )),
                    }
                }
                self.handle(links::Input::Heard { link });
            }
            (Body::Content(bytes), Some(request)) => {
                self.handle(links::Input::Heard { link });
                if let Some(input) = self.fetching.on_content(link, request, bytes) {
                    self.handle(input);
                    self.fetching.drop_content();
                }
            }
            (body, request) => {
                if let (Body::Refused(_), Some(request)) = (&body, request) {
                    self.fetching.on_refused(link, request);
                }
                self.handle(links::Input::Frame {
                    link,
                    frame: Frame { request, body },
                });
            }
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Hashed(name, bytes) => {
                if bytes.is_none() {
                    self.hashing.remove(&name);
                }
                self.handle(Input::Hashed { name, bytes });
            }
            Event::Dialled(_, Ok(connected)) => self.connected(*connected, true),
            Event::Dialled(target, Err(trouble)) => {
                let reason = trouble.to_string();
                let is_tracker = target == Target::Tracker;
                let input = Input::DialFailed { target, reason };
                if is_tracker && !self.tracker_is_up() {
                    self.no_tracker(trouble, input);
                } else {
                    self.handle(input);
                }
            }
            Event::TurnedAway(link, trouble) => {
                let reason = trouble.to_string();
                self.no_tracker(trouble, links::Input::Disconnected { link, reason }.into());
            }
            Event::Rejoined(answer) => self.standing.rejoined(answer),
            Event::Stored { fetch, result } => {
                let input = self.fetching.on_stored(fetch, result);
                self.handle(input);
            }
        }
    }

    fn share_event(&mut self, event: ShareEvent) {
        match event {
            ShareEvent::Delta { added, removed } => {
                self.handle(Input::ShareChanged { added, removed });
            }
            ShareEvent::Scanned { .. } | ShareEvent::Progress(_) => self.changed = true,
            ShareEvent::Warning(warning) => {
                self.notify(Notice::Warning(Warning::Share(warning)));
            }
        }
    }

    fn hash_now(&mut self, name: Name) {
        let Some(share) = self.share.clone() else {
            return;
        };
        if !self.hashing.insert(name.clone()) {
            return;
        }
        let events = self.events.0.clone();
        tokio::spawn(async move {
            // The root comes as a change of the share.
            let mut hashed = std::pin::pin!(share.hash_now(&name));
            let mut ticks = tokio::time::interval(HASHED_EVERY);
            loop {
                let bytes = tokio::select! {
                    _ = &mut hashed => None,
                    _ = ticks.tick() => Some(share.hashed_so_far(&name)),
                };
                let told = events.send(Event::Hashed(name.clone(), bytes)).await;
                if bytes.is_none() || told.is_err() {
                    return;
                }
            }
        });
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Survey {
                subject,
                only,
                own_too,
                reply,
            } => {
                let own = if own_too {
                    self.own_files(&subject, only.from.as_deref())
                } else {
                    Vec::new()
                };
                let input = self.fetching.on_survey(subject, only, own, reply);
                self.handle(input);
            }
            Request::Member(id, reply) => answer(Some(reply), self.machine.member(id)),
            Request::Neighbours(reply) => answer(Some(reply), self.machine.neighbours().collect()),
            Request::Status(reply) => answer(Some(reply), self.status()),
            // Handled where the task can end.
            Request::Stop(_) => {}
            request => {
                if let Some(input) = self.fetching.on_request(request) {
                    self.handle(input);
                }
            }
        }
    }

    fn own_files(&self, subject: &Subject, from: Option<&str>) -> Vec<Variant> {
        let itself = self.itself.borrow();
        let (Subject::Files(pattern), Some(itself)) = (subject, itself.as_ref()) else {
            return Vec::new();
        };
        if from.is_some_and(|from| !is_called(itself, from)) {
            return Vec::new();
        }
        let own = |peer| peer == itself.id;
        let files = self.machine.catalogue().matching(pattern, None, &own);
        let has_a_part = |name: &Name| self.machine.catalogue().has_a_part(itself.id, name);
        let variant = |file: File| Variant {
            holders: vec![Holder {
                partial: has_a_part(&file.entry.name),
                ..itself.clone()
            }],
            entry: file.entry,
            hashed: None,
        };
        files.map(variant).collect()
    }

    fn status(&self) -> Status {
        let member = self.tls.member();
        let certificate_ends_soon = renewal::ends_soon(&member, &self.clock);
        let totals = self.share.as_ref().map(Share::totals).unwrap_or_default();
        let tally = self.machine.tally();
        let (sent, received) = self.swarms.tally();
        Status {
            id: member.id.to_string(),
            name: member.name.map(|name| name.to_string()),
            share: self.share.as_ref().map(|share| share.path().to_owned()),
            listen: self.listen.map(|listen| listen.to_string()),
            tracker: self.trackers.first().map(ToString::to_string),
            tracker_connected: self.tracker_is_up(),
            ca: self.tls.ca().to_string(),
            files: totals.files,
            bytes: totals.bytes,
            unhashed: totals.unhashed,
            skipped: totals.skipped.total(),
            opened: totals.opened,
            neighbours: self.machine.neighbours().count() as u64,
            sent,
            received,
            lookups: Lookups {
                neighbours: tally.neighbours,
                tracker: tally.tracker,
                nobody: tally.nobody,
            },
            certificate_ends: i64::try_from(unix_seconds(member.ends)).unwrap_or(i64::MAX),
            certificate_ends_soon,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn show(&self) {
        let totals = self.share.as_ref().map(Share::totals).unwrap_or_default();
        let view = PeerView {
            neighbours: rows::peers(
                self.machine.neighbours().collect(),
                self.itself.borrow().as_ref(),
            ),
            tracker_connected: self.tracker_is_up(),
            files: totals.files,
            unhashed: totals.unhashed,
        };
        self.view.send_if_modified(|shown| {
            let changed = **shown != view;
            if changed {
                *shown = Arc::new(view);
            }
            changed
        });
    }

    fn tracker_is_up(&self) -> bool {
        matches!(self.machine.tracker(), thorp_core::lookup::Tracker::Up(_))
    }

    fn notify(&self, notice: Notice) {
        // Whoever does not read its notices misses some.
        let _ = self.notices.try_send(notice);
    }

    /// A number that was not used before.
    fn next_link(&mut self) -> LinkId {
        self.last_link += 1;
        LinkId(self.last_link)
    }
}

async fn reach(
    target: &Target,
    trackers: &[NetAddress],
    tls: &MemberTls,
    source: Option<IpAddr>,
) -> Result<Box<Connected>, Trouble> {
    let (addresses, expected) = match target {
        Target::Tracker => {
            let addresses = addresses::resolve(trackers).await;
            let addresses = addresses.map_err(|error| Trouble::Unreachable {
                why: error.to_string(),
            });
            (addresses?, Expected::Tracker)
        }
        Target::Member { id, addresses } => (addresses.clone(), Expected::Peer(*id)),
    };
    match dial::dial(&addresses, expected, tls, source).await {
        Ok(connected) => Ok(Box::new(connected)),
        Err(why) if *target == Target::Tracker => {
            let why = dial::explain(why, Some(tls.ca()), tls.clock()).await;
            Err(Trouble::from(&why))
        }
        Err(why) => Err(Trouble::from(&why)),
    }
}

/// The next of what may not be there at all.
async fn next<T>(channel: &mut Option<mpsc::Receiver<T>>) -> Option<T> {
    match channel {
        Some(open) => {
            let item = open.recv().await;
            if item.is_none() {
                *channel = None;
            }
            item
        }
        None => std::future::pending().await,
    }
}

//! A running tracker: what only a tracker does.

mod listings;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thorp_core::changes::Row;
use thorp_core::links::{self, Me};
use thorp_core::matching::PatternError;
use thorp_core::swarms::SwarmTotals;
use thorp_core::tracker::{self as machine, Output};
use thorp_disk::DiskThread;
use thorp_group::authority::{NewMember, Tracks};
use thorp_group::clock::{Clock, unix_seconds};
use thorp_group::renewal::{OwnRenewal, RenewalTime};
use thorp_group::sightings::Sightings;
use thorp_group::tls::MemberTls;
use thorp_wire::frame::{Find, Found, Join, SignedRecord};
use thorp_wire::{Body, Frame, PeerId};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::api::{self, Command, Done, Failure, Notice, TrackerStatus, Warning};
use crate::config::Config;
use crate::net::addresses::Reach;
use crate::net::face::Face;
use crate::net::listener::{Inbound, Incoming, Refusals};
use crate::rows;
use crate::snapshot::{
    CountsRow, Keeper, Knowledge, PageRows, Part, SnapshotRow, SwarmRow, ViewRequest, Viewer,
    waiting, whole,
};
use crate::system::{self, random};

use super::engine::Engine;
use super::{Node, Wires};

/// Requests that wait for it.
const REQUESTS: usize = 64;
/// The most torrents of a page.
const MOST_SWARMS: usize = 1000;
/// How often clients that are silent are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// After how many of these the addresses of this machine are looked for again.
const ADDRESSES_AFTER: u32 = 10;

/// What a tracker is made of.
pub struct TrackerSetup {
    /// Its certificate and its group's.
    pub tls: MemberTls,
    /// Its settings.
    pub config: Config,
    /// Its clock.
    pub clock: Clock,
    /// Where it listens, and where others reach it.
    pub reach: Reach,
    /// Members that dialled it.
    pub inbound: Inbound,
    /// Whether any machine that asks is let in.
    pub open: bool,
    /// Which torrents are tracked for ordinary clients.
    pub tracks: Tracks,
    /// Its face for them, where it is on.
    pub face: Option<Face>,
    /// Its certificate's renewal, and its group's authority.
    pub renewal: OwnRenewal,
    /// When members were seen last.
    pub seen: Arc<Sightings>,
}

/// A running tracker: a handle, cheap to clone.
#[derive(Clone)]
pub struct Tracker {
    requests: mpsc::Sender<Request>,
    viewer: Viewer,
}

enum Request {
    Present(oneshot::Sender<BTreeSet<PeerId>>),
    Find(Find, oneshot::Sender<Result<Found, PatternError>>),
    Stop(String),
}

impl Tracker {
    /// Starts a tracker. It ends when it is stopped, or when the last handle is gone.
    /// A caller that does not read `notices` in time misses some.
    pub fn start(setup: TrackerSetup, notices: mpsc::Sender<Notice>) -> (Self, JoinHandle<()>) {
        let (requests, requests_in) = mpsc::channel(REQUESTS);
        let (keeper, viewer) = Keeper::new();
        let (task, engine) = Task::new(setup, requests_in, keeper, notices);
        let task = tokio::spawn(super::run(task, engine));
        (Self { requests, viewer }, task)
    }

    /// What it shows of itself.
    pub fn viewer(&self) -> &Viewer {
        &self.viewer
    }

    /// How it is; nothing, if it is stopping.
    pub async fn status(&self) -> Option<TrackerStatus> {
        match self.viewer.node().await? {
            SnapshotRow::Tracker(status) => Some(status),
            _ => None,
        }
    }

    /// Who is present; nothing, if it is stopping.
    pub async fn present(&self) -> Option<BTreeSet<PeerId>> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Present(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Answers its own user about files and peers, event by event, but for the last one.
    pub(crate) async fn list(
        &self,
        command: Command,
        events: &mpsc::Sender<api::Event>,
    ) -> Result<Done, Failure> {
        listings::answer(self, command, events).await
    }

    /// A page of an answer; nothing, if it is stopping.
    async fn find(&self, find: Find) -> Option<Result<Found, PatternError>> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Find(find, reply)).await.ok()?;
        answer.await.ok()
    }

    /// Says goodbye to every member with a link, and ends.
    pub async fn stop(&self, reason: &str) {
        // If the task is gone, so is what it had to say.
        let _ = self.requests.send(Request::Stop(reason.to_owned())).await;
    }
}

/// What only a tracker does.
struct Task {
    clock: Clock,
    tls: MemberTls,
    listen: SocketAddr,
    open: bool,
    tracks: Tracks,
    face: Option<Face>,
    renewal: OwnRenewal,
    /// When the own certificate is renewed.
    renewal_due: RenewalTime,
    seen: Arc<Sightings>,
    /// When it is written.
    seen_due: Instant,
    /// When clients that are silent are looked for.
    sweep_due: Instant,
    /// How many seconds the addresses of this machine were not looked for.
    unlooked: u32,
    /// What was counted of clients when a reader was last told.
    totals: SwarmTotals,
    newest: watch::Receiver<Option<SignedRecord>>,
    unsaved: watch::Receiver<Option<String>>,
    new_members: broadcast::Receiver<NewMember>,
    incoming: mpsc::Receiver<Incoming>,
    refusals: Refusals,
    requests: mpsc::Receiver<Request>,
    keeper: Keeper,
    notices: mpsc::Sender<Notice>,
}

enum Event {
    Incoming(Box<Incoming>),
    /// There is a newer group record.
    NewRecord,
    /// What the group decides does not get to the disk, or does so again.
    Unsaved,
    /// A machine has become a member.
    Joined(NewMember),
    RenewalDue,
    SeenDue,
    /// A second has passed, where there is a face.
    Swept,
    Request(Request),
    /// The last handle is gone.
    Forgotten,
    /// A reader asks for what the tracker shows.
    Look(ViewRequest),
}

impl Node for Task {
    type Machine = machine::Tracker;
    type Event = Event;

    async fn next_event(&mut self, _: &machine::Tracker) -> Event {
        tokio::select! {
            Some(incoming) = self.incoming.recv() => Event::Incoming(Box::new(incoming)),
            // The sender is in `tls`, which we hold.
            _ = self.newest.changed() => Event::NewRecord,
            // The sender is in `renewal`, which we hold.
            _ = self.unsaved.changed() => Event::Unsaved,
            Ok(new) = self.new_members.recv() => Event::Joined(new),
            () = self.renewal_due.clone().comes(&self.clock) => Event::RenewalDue,
            () = sleep_until(self.seen_due) => Event::SeenDue,
            () = sleep_until(self.sweep_due), if self.face.is_some() => Event::Swept,
            request = self.requests.recv() => request.map_or(Event::Forgotten, Event::Request),
            Some(look) = self.keeper.look() => Event::Look(look),
        }
    }

    fn on_event(&mut self, engine: &mut Engine<machine::Tracker>, event: Event) {
        match event {
            Event::Incoming(incoming) => engine.on_called(*incoming),
            Event::NewRecord => {
                let newest = self.newest.borrow_and_update().clone();
                if let Some(record) = newest {
                    engine.handle(links::Input::Adopted { record });
                }
            }
            Event::Unsaved => {
                let why = self.unsaved.borrow_and_update().clone();
                if let Some(why) = why {
                    self.notify(Notice::Warning(Warning::GroupUnsaved { why }));
                }
            }
            Event::Joined(new) => {
                self.notify(Notice::Admitted(rows::new_member(&new)));
            }
            Event::RenewalDue => self.renew(),
            Event::SeenDue => {
                self.see_all(&engine.machine);
                self.seen_due = Instant::now() + Sightings::WRITTEN_EVERY;
                thorp_disk::spawn(keep(Arc::clone(&self.seen)));
            }
            Event::Swept => self.sweep(),
            Event::Request(Request::Present(reply)) => {
                let present = engine.machine.present().listed().map(|peer| peer.id);
                drop(reply.send(present.collect()));
            }
            Event::Request(Request::Find(find, reply)) => {
                drop(reply.send(engine.machine.answer(&find)));
            }
            Event::Request(Request::Stop(reason)) => {
                self.see_all(&engine.machine);
                engine.stop(reason);
            }
            Event::Forgotten => {
                self.see_all(&engine.machine);
                engine.stop("the program ends");
            }
            Event::Look(look) => self.on_look(engine, look),
        }
    }

    fn on_output(&mut self, engine: &mut Engine<machine::Tracker>, output: Output) {
        match output {
            Output::Link(output) => engine.carry_out(output, |record| self.verify(record)),
            Output::Unlisted(holder) => {
                let member = rows::holder(&holder);
                self.notify(Notice::Warning(Warning::TooMuchForTracker { member }));
            }
            Output::Renew {
                link,
                request,
                member,
                join,
            } => {
                let answer = self.renew_for(member, &join);
                engine
                    .wires
                    .send(link, Frame::with_request(request, answer));
            }
            Output::Member(change) => {
                if let Some(face) = &self.face {
                    face.on_member(&change);
                }
            }
            Output::Changed(row) => {
                if let Row::Member(id) = row {
                    self.seen.saw(id, unix_seconds(self.clock.wall()));
                }
                self.keeper.mark(row);
            }
        }
    }

    async fn finish(self) {
        // Its end has no reader any more.
        let _ = thorp_disk::spawn(keep(self.seen)).await;
    }
}

impl Task {
    fn new(
        setup: TrackerSetup,
        requests: mpsc::Receiver<Request>,
        keeper: Keeper,
        notices: mpsc::Sender<Notice>,
    ) -> (Self, Engine<machine::Tracker>) {
        let me = Me {
            id: setup.tls.member().id,
            epoch: random(),
            port: Some(setup.reach.listen().port()),
            claimed: setup.reach.addresses(),
            visitor: false,
            bittorrent: false,
            advertised: setup.reach.advertised(),
        };
        let mut machine = machine::Tracker::new(machine::Config {
            room: setup.config.tracker_listings_mib * 1024 * 1024,
            me,
            interval: setup.config.tracker_interval,
            small_group: machine::SMALL_GROUP,
            longest_interval: setup.config.longest_tracker_interval,
            bittorrent: setup.face.is_some(),
        });
        machine.expect(system::now(&setup.clock), setup.seen.present_before());
        let wires = Wires::new(setup.tls.clone(), setup.clock.clone());
        let engine = Engine::new(machine, wires, setup.clock.clone());
        let mut newest = setup.tls.records().changes();
        newest.mark_changed();
        let task = Self {
            clock: setup.clock,
            tls: setup.tls,
            listen: setup.reach.listen(),
            open: setup.open,
            tracks: setup.tracks,
            face: setup.face,
            renewal_due: setup.renewal.due(),
            unsaved: setup.renewal.authority.unsaved(),
            new_members: setup.renewal.authority.new_members(),
            renewal: setup.renewal,
            seen: setup.seen,
            seen_due: Instant::now() + Sightings::WRITTEN_EVERY,
            sweep_due: Instant::now() + SWEEP_EVERY,
            unlooked: 0,
            totals: SwarmTotals::default(),
            newest,
            incoming: setup.inbound.members,
            refusals: setup.inbound.refusals,
            requests,
            keeper,
            notices,
        };
        (task, engine)
    }

    fn notify(&mut self, notice: Notice) {
        self.keeper.notice(&notice);
        // A program that does not read the notices in time misses some.
        let _ = self.notices.try_send(notice);
    }

    /// Whether a record is the group's. What the authority learns from it comes
    /// back as the newest.
    fn verify(&self, record: SignedRecord) -> bool {
        if self.tls.records().verify(&record).is_err() {
            return false;
        }
        let authority = Arc::clone(&self.renewal.authority);
        thorp_disk::spawn(move |disk| {
            if let Err(error) = authority.learn(disk, &record) {
                tracing::error!(%error, "a newer group record is not taken over");
            }
        });
        true
    }

    /// Those that are here are seen now.
    fn see_all(&self, machine: &machine::Tracker) {
        let now = unix_seconds(self.clock.wall());
        self.seen
            .saw_all(machine.present().listed().map(|peer| peer.id), now);
    }

    /// Forgets clients that are silent, and tells readers what is counted of the others.
    fn sweep(&mut self) {
        self.sweep_due = Instant::now() + SWEEP_EVERY;
        let Some(face) = &self.face else {
            return;
        };
        face.sweep();
        self.unlooked += 1;
        if self.unlooked == ADDRESSES_AFTER {
            self.unlooked = 0;
            face.look_for_addresses();
        }
        let totals = face.totals();
        if totals != self.totals {
            self.totals = totals;
            self.keeper.mark(Row::Node);
        }
    }

    fn renew(&mut self) {
        self.renewal_due = match self.renewal.renew() {
            Ok(()) => self.renewal.due(),
            Err(error) => {
                tracing::error!(%error, "the tracker's own certificate is not renewed yet");
                self.renewal.due_again()
            }
        };
    }

    /// A member gets a new certificate, if it still is one.
    fn renew_for(&self, member: PeerId, join: &Join) -> Body {
        let answer = self
            .renewal
            .authority
            .renew_for(member, join, self.clock.wall());
        match answer {
            Ok(joined) => Body::Joined(joined),
            Err(why) => {
                tracing::info!(%member, %why, "no new certificate");
                Body::Refused(why.refusal())
            }
        }
    }

    fn on_look(&self, engine: &Engine<machine::Tracker>, look: ViewRequest) {
        let machine = &engine.machine;
        let known = Knowledge::of_tracker(machine);
        self.keeper.answer(look, &known, |ask| match ask.part {
            Part::Node => whole([SnapshotRow::Tracker(self.status(machine))]),
            Part::Counts => whole([SnapshotRow::Counts(self.counts(engine))]),
            Part::Swarms => self.swarms(ask.limit),
            _ => PageRows::default(),
        });
    }

    fn counts(&self, engine: &Engine<machine::Tracker>) -> CountsRow {
        let [messages_sent, messages_received] = engine.wires.counted().messages();
        let machine = &engine.machine;
        CountsRow {
            links: engine.wires.count() as u64,
            entries: machine.catalogue().entries() as u64,
            messages_sent,
            messages_received,
            handshakes_refused: self.refusals.by_reason(),
            waiting: waiting([
                ("questions", machine.waiting()),
                ("requests", self.requests.len()),
                ("dialled", self.incoming.len()),
                ("readers", self.keeper.waiting()),
            ]),
            ..CountsRow::default()
        }
    }

    fn swarms(&self, limit: usize) -> PageRows {
        let Some(face) = &self.face else {
            return PageRows::default();
        };
        let busiest = face.busiest(limit.min(MOST_SWARMS)).into_iter();
        let rows: Vec<_> = busiest
            .map(|busy| {
                SnapshotRow::Swarm(SwarmRow {
                    info_hash: busy.torrent.to_string(),
                    name: busy.name.map(|name| name.base().to_owned()),
                    seeders: busy.counts.seeders.into(),
                    leechers: busy.counts.leechers.into(),
                    downloaded: busy.counts.downloaded.into(),
                })
            })
            .collect();
        let total = face.totals().torrents;
        let more = total > rows.len() as u64;
        (rows, total, more)
    }

    fn status(&self, machine: &machine::Tracker) -> TrackerStatus {
        TrackerStatus {
            id: self.tls.member().id.to_string(),
            listen: self.listen.to_string(),
            ca: self.tls.ca().to_string(),
            open: self.open,
            bittorrent: self.tracks,
            swarms: self.face.as_ref().map(Face::totals).unwrap_or_default(),
            peers: machine.present().listed_count() as u64,
            entries: machine.catalogue().entries() as u64,
            counts: machine.counts(system::now(&self.clock)),
            page: None,
            token_file: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

fn keep(seen: Arc<Sightings>) -> impl FnOnce(DiskThread) {
    move |disk| {
        if let Err(error) = seen.save(disk) {
            tracing::warn!(%error, "when members were seen is not kept");
        }
    }
}

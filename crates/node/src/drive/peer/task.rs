//! What only a peer does: its events and its machine's outputs, each brought to
//! the part that it is for. It decides nothing.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use thorp_core::changes::Row;
use thorp_core::get::LargeEvent;
use thorp_core::links::{self, LinkId, Me};
use thorp_core::lookup::TrackerState;
use thorp_core::peer::{self as machine, Input, Output, Target};
use thorp_files::share::{Share, ShareEvent};
use thorp_group::clock::{Clock, unix_seconds};
use thorp_group::record::REMOVED;
use thorp_group::renewal;
use thorp_group::tls::MemberTls;
use thorp_wire::frame::{Body, Frame, Holder, Reason, Refused, RequestId, SignedRecord};
use thorp_wire::{Content, Entry, InfoHash, PeerId};
use tokio::sync::{mpsc, oneshot, watch};

use crate::api::{Notice, Status, Trouble, Warning};
use crate::drive::engine::Engine;
use crate::drive::{Node, Wires};
use crate::net::Purpose;
use crate::net::addresses::Reach;
use crate::net::dial::Connected;
use crate::net::link::LinkEnd;
use crate::net::listener::Refusals;
use crate::rows;
use crate::sessions::Transfers;
use crate::snapshot::{FilesMoved, Keeper};
use crate::system::{now, random};
use crate::waiting::if_any;

use super::dialling::Dialling;
use super::event::{EVENTS, Event};
use super::gets::Gets;
use super::listings::Surveys;
use super::own_addresses::{Here, OwnAddresses};
use super::pace::{Paces, UploadPaces};
use super::sharing::Sharing;
use super::standing::{Change, Standing};
use super::{Abandoned, PeerSetup, Request, Role, source};

/// What only a peer does.
pub(super) struct Task {
    tls: MemberTls,
    pub(super) clock: Clock,
    listen: Option<SocketAddr>,
    /// Whether the share is to be served to ordinary BitTorrent clients.
    wants_face: bool,
    /// Whether it is not, because the group is not.
    is_face_off: bool,
    standing: Standing,
    dialling: Dialling,
    own_addresses: OwnAddresses,
    /// Nothing for a visitor.
    sharing: Option<Sharing>,
    surveys: Surveys,
    gets: Gets,
    came: Came,
    pub(super) transfers: Transfers,
    pub(super) asked: Asked,
    pub(super) events: Channel<Event>,
    pub(super) shown: Shown,
    /// Torrents that the share serves beside those that follow from its files.
    torrents: Arc<Vec<InfoHash>>,
    /// Whose callers wait until the tracker knows them.
    untold: Vec<(Entry, oneshot::Sender<()>)>,
    /// How fast large files come, as long as a reader looks.
    pub(super) paces: Paces,
    pub(super) upload_paces: UploadPaces,
    notices: mpsc::Sender<Notice>,
    /// Small files that were sent.
    pub(super) small_sent: FilesMoved,
    /// Connections that were refused at the port.
    pub(super) refusals: Refusals,
}

/// Small files that have come or are asked for, of which the machine is not told yet: it is told
/// of all that came together.
#[derive(Default)]
struct Came {
    /// Links over which files are asked for.
    asked: BTreeSet<LinkId>,
    contents: Vec<((LinkId, RequestId), Vec<u8>)>,
}

/// What the handles ask, and what comes of their transfers.
pub(super) struct Asked {
    pub requests: mpsc::Receiver<Request>,
    pub abandoned: mpsc::UnboundedReceiver<Abandoned>,
    /// Members with which there is a session, or that pieces of a file were sent to.
    pub in_use: mpsc::Receiver<PeerId>,
}

/// Where the task shows how things are.
pub(super) struct Shown {
    /// This peer as others see it; nothing for a visitor.
    pub itself: watch::Sender<Option<Holder>>,
    pub keeper: Keeper,
    /// Why there is no link to the tracker, as far as that is known.
    pub trouble: watch::Sender<Option<Trouble>>,
    /// Torrents of which the tracker knows that this peer serves them, beside those that follow
    /// from its files.
    pub torrents: watch::Sender<Arc<Vec<InfoHash>>>,
}

/// Both ends of one.
type Channel<T> = (mpsc::Sender<T>, mpsc::Receiver<T>);

impl Node for Task {
    type Machine = machine::Peer;
    type Event = Event;

    fn on_start(&mut self, engine: &mut Engine<machine::Peer>) {
        if let Some(record) = self.standing.kept() {
            self.compare_faces(&record);
            engine.handle(links::Input::Adopted { record });
        }
        if self.sharing.is_some() {
            engine.handle(Input::LookBegun);
        }
        engine.handle(links::Input::Tick);
    }

    async fn next_event(&mut self, machine: &machine::Peer) -> Event {
        let tracker_is_up = tracker_is_up(machine);
        self.show_torrents(machine);
        self.tell_callers(machine);
        tokio::select! {
            Some(event) = self.events.1.recv() => event,
            Some(member) = self.asked.in_use.recv() => Event::InUse(member),
            Some(what) = self.asked.abandoned.recv() => Event::Abandoned(what),
            fetch = self.gets.released() => Event::Released(fetch),
            Some(look) = self.shown.keeper.look() => Event::Look(look),
            request = self.asked.requests.recv() => request.map_or(Event::Forgotten, Event::Request),
            // Nothing happens to the share of a visitor.
            event = if_any(self.sharing.as_mut().map(Sharing::next_event)) => event,
            change = self.standing.change(tracker_is_up) => Event::Standing(change),
            here = self.own_addresses.change() => Event::Moved(here),
        }
    }

    fn on_event(&mut self, engine: &mut Engine<machine::Peer>, event: Event) {
        match event {
            Event::Request(request) => self.on_request(engine, request),
            Event::Look(look) => self.on_look(engine, look),
            Event::Forgotten => engine.stop("the program ends"),
            Event::Abandoned(Abandoned::Get(get)) => engine.handle(self.gets.abandon(get)),
            Event::Abandoned(Abandoned::Survey(survey)) => {
                engine.handle(self.surveys.abandon(survey));
            }
            Event::Released(fetch) => {
                let event = LargeEvent::Released;
                engine.handle(Input::Large { fetch, event });
            }
            Event::Called(incoming) if incoming.purpose == Purpose::Session => {
                self.transfers.on_caller(*incoming);
            }
            Event::Called(incoming) => engine.on_called(*incoming),
            Event::Dialled(_, Ok(connected)) => self.on_dialled(engine, *connected),
            Event::Dialled(target, Err(trouble)) => {
                let trouble = self.dialling.on_failed(&target, trouble);
                engine.handle(Input::DialFailed { target, trouble });
            }
            Event::TurnedAway(link, trouble) => {
                let trouble = self.dialling.on_failed(&Target::Tracker, trouble);
                engine.handle(Input::TurnedAway { link, trouble });
            }
            Event::Standing(change) => self.on_standing(engine, change),
            Event::Rejoined(answer) => self.standing.rejoined(answer),
            Event::Moved(here) => self.on_moved(engine, here),
            Event::Share(change) => self.on_share(engine, change),
            Event::Hashed(name, bytes) => {
                if let (Some(sharing), None) = (&mut self.sharing, bytes) {
                    sharing.on_hashed(&name);
                }
                engine.handle(Input::Hashed { name, bytes });
            }
            Event::Served(files) => {
                let mut links = BTreeSet::new();
                for (link, bytes) in files {
                    self.small_sent.files += 1;
                    self.small_sent.bytes += bytes;
                    links.insert(link);
                }
                for link in links {
                    engine.handle(Input::Served { link });
                }
            }
            Event::InUse(member) => engine.handle(Input::InUse(member)),
            Event::Stored(files) => engine.handle(Input::Stored(files)),
        }
    }

    fn on_frame(&mut self, engine: &mut Engine<machine::Peer>, link: LinkId, frame: Frame) {
        match (frame.body, frame.request) {
            (Body::Get(get), Some(request)) => {
                self.serve(engine, link, request, get.content);
                self.came.asked.insert(link);
            }
            (Body::Content(bytes), Some(request)) => {
                self.came.contents.push(((link, request), bytes.bytes));
            }
            (body, request) => {
                // What came before it is told before it.
                self.on_all_came(engine);
                engine.handle(links::Input::Frame {
                    link,
                    frame: Frame { request, body },
                });
            }
        }
    }

    fn on_all_came(&mut self, engine: &mut Engine<machine::Peer>) {
        for link in std::mem::take(&mut self.came.asked) {
            engine.handle(links::Input::heard(link));
        }
        if self.came.contents.is_empty() {
            return;
        }
        let contents = std::mem::take(&mut self.came.contents);
        let (came, bytes): (Vec<_>, Vec<_>) = contents.into_iter().unzip();
        let claimed = engine.claim_contents(&came);
        for (claimed, bytes) in claimed.into_iter().zip(bytes) {
            // What no get wants is dropped.
            if let Some(claimed) = claimed {
                self.gets.store(claimed, bytes);
            }
        }
    }

    fn on_closed(&mut self, engine: &mut Engine<machine::Peer>, link: LinkId, end: LinkEnd) {
        self.on_all_came(engine);
        if let Some(sharing) = &mut self.sharing {
            sharing.on_closed(link);
        }
        if !self.dialling.on_closed(link, &end) {
            let reason = end.to_string();
            engine.handle(links::Input::Disconnected { link, reason });
        }
    }

    fn on_output(&mut self, engine: &mut Engine<machine::Peer>, output: Output) {
        match output {
            Output::Link(output) => {
                let mut adopted = None;
                engine.carry_out(output, |record| match self.standing.verify(record) {
                    Ok(newer) => {
                        adopted = newer;
                        true
                    }
                    Err(_) => false,
                });
                // Before anything else happens: its links may end next, over this very record.
                if let Some(record) = adopted {
                    engine.handle(links::Input::Adopted { record });
                }
            }
            Output::Dial(target) => self.dial(target),
            Output::Get(get, output) => self.gets.on_output(get, output),
            Output::HashNow(name) => {
                if let Some(sharing) = &mut self.sharing {
                    sharing.hash_now(name);
                }
            }
            Output::Surveyed(survey, part) => {
                if let Some(abandoned) = self.surveys.on_part(survey, part) {
                    engine.handle(abandoned);
                }
            }
            Output::SurveyOver(survey, end) => self.surveys.on_over(survey, end),
            Output::Remember(known) => {
                if let Some(sharing) = &self.sharing {
                    sharing.remember(known);
                }
            }
            Output::NoTracker(why) => {
                let trouble = self.dialling.meant(why);
                self.shown.trouble.send_replace(Some(trouble));
            }
            Output::Notice(notice) => self.on_notice(notice),
            Output::Renewed(answer) => self.standing.answered(answer),
            Output::Removed => engine.stop(REMOVED),
            Output::Changed(row) => {
                // The node's own row counts its neighbours and what it shares.
                self.shown.keeper.mark(Row::Node);
                self.shown.keeper.mark(row);
            }
        }
    }

    fn on_stop(&mut self) {
        self.transfers.close();
    }

    async fn finish(self) {
        let share = match self.sharing {
            Some(sharing) => Some(sharing.finish().await),
            None => None,
        };
        self.standing.finish().await;
        if let Some(share) = share {
            // The disk may take its time; there is nothing else left to do.
            let _ = thorp_disk::spawn(move |disk| share.close_cache(disk)).await;
        }
    }
}

impl Task {
    pub(super) fn new(
        setup: PeerSetup,
        transfers: Transfers,
        asked: Asked,
        shown: Shown,
        notices: mpsc::Sender<Notice>,
    ) -> (Self, Engine<machine::Peer>) {
        let PeerSetup {
            tls,
            trackers,
            config,
            clock,
            role,
            announced,
            renewal,
            reading: _,
            page: _,
        } = setup;
        let refusals = match &role {
            Role::Sharing { inbound, .. } => inbound.refusals.clone(),
            Role::Visiting(_) => Refusals::default(),
        };
        let reach = match &role {
            Role::Sharing { reach, .. } => Some(reach.clone()),
            Role::Visiting(_) => None,
        };
        let listen = reach.as_ref().map(Reach::listen);
        let events = mpsc::channel(EVENTS);
        let (sharing, remembered) = Sharing::new(role, &events.0, &notices).unzip();
        let me = Me {
            id: tls.member().id,
            epoch: random(),
            port: listen.map(|listen| listen.port()),
            claimed: reach.as_ref().map(Reach::addresses).unwrap_or_default(),
            visitor: sharing.is_none(),
            bittorrent: sharing.is_some() && config.share_bittorrent,
            advertised: reach.as_ref().map_or(0, Reach::advertised),
        };
        let wants_face = me.bittorrent;
        let config = machine::Config {
            me,
            has_tracker: !trackers.is_empty(),
            hops: config.hops,
            hearing: machine::Hearing {
                every: config.compare_interval,
                ..machine::Hearing::default()
            },
            tracker_interval: config.tracker_interval,
            neighbour_interval: config.neighbour_interval,
            max_neighbours: config.max_neighbours,
            rules: machine::Rules::default(),
            remembered: remembered.unwrap_or_default(),
            seed: random(),
        };
        let machine = machine::Peer::new(now(&clock), config);
        let wires = Wires::new(tls.clone(), clock.clone());
        let engine = Engine::new(machine, wires, clock.clone());
        let (to, source) = (events.0.clone(), source(listen));
        let task = Self {
            wants_face,
            is_face_off: false,
            torrents: Arc::default(),
            untold: Vec::new(),
            standing: Standing::new(tls.clone(), clock.clone(), renewal, notices.clone()),
            dialling: Dialling::new(tls.clone(), trackers, source, announced, to),
            own_addresses: OwnAddresses::new(reach),
            gets: Gets::new(
                sharing.as_ref().map(Sharing::share).cloned(),
                events.0.clone(),
            ),
            came: Came::default(),
            sharing,
            surveys: Surveys::default(),
            transfers,
            asked,
            events,
            shown,
            paces: Paces::default(),
            upload_paces: UploadPaces::default(),
            notices,
            small_sent: FilesMoved::default(),
            refusals,
            tls,
            clock,
            listen,
        };
        (task, engine)
    }

    fn on_request(&mut self, engine: &mut Engine<machine::Peer>, request: Request) {
        match request {
            Request::Survey(survey) => {
                let itself = self.shown.itself.borrow().clone();
                engine.handle(self.surveys.on_survey(survey, itself));
            }
            Request::Taken(survey) => engine.handle(Input::Taken { survey }),
            Request::Get(begun) => {
                if let Some(wanted) = self.gets.on_begun(begun) {
                    engine.handle(wanted);
                }
            }
            Request::Awaited(get) => {
                let awaited = engine.machine.awaited(now(&self.clock), get);
                self.gets.on_awaited(get, awaited);
            }
            Request::Looked(get, looked) => engine.handle(Input::Looked { get, looked }),
            Request::Large(fetch, event) => engine.handle(Input::Large { fetch, event }),
            Request::Told(entry, heard) => self.untold.push((entry, heard)),
            Request::Stop(reason) => engine.stop(reason),
        }
    }

    fn dial(&mut self, target: Target) {
        for tracker in self.dialling.announce(&target) {
            // A program that does not read the notices in time misses some.
            let _ = self.notices.try_send(rows::connecting(tracker));
        }
        self.dialling.dial(target);
    }

    fn on_dialled(&mut self, engine: &mut Engine<machine::Peer>, connected: Connected) {
        let tracker = connected.member.tracker.then_some(connected.address);
        let link = engine.on_dialled(connected);
        if let Some(address) = tracker {
            self.dialling.on_tracker_reached(link, address);
        }
    }

    fn on_standing(&mut self, engine: &mut Engine<machine::Peer>, change: Change) {
        match change {
            Change::Adopted(record) => {
                self.compare_faces(&record);
                engine.handle(links::Input::Adopted { record });
            }
            Change::RenewalDue => {
                if let Some(join) = self.standing.ask() {
                    engine.handle(Input::Renew { join });
                }
            }
            Change::Ended => {
                let rejoined = self.standing.rejoin();
                let events = self.events.0.clone();
                tokio::spawn(async move {
                    // If the peer is gone it needs no certificate.
                    let _ = events.send(Event::Rejoined(rejoined.await)).await;
                });
            }
        }
    }

    /// Warns the user where the share is to be served to ordinary clients, but the group is not.
    fn compare_faces(&mut self, record: &SignedRecord) {
        let is_off = self.wants_face && !record.record().bittorrent;
        if is_off && !self.is_face_off {
            self.notify(Notice::Warning(Warning::FaceOff));
        }
        self.is_face_off = is_off;
    }

    fn on_notice(&mut self, notice: machine::Notice) {
        let notice = match notice {
            machine::Notice::TrackerUp => {
                self.shown.trouble.send_replace(None);
                self.dialling.on_tracker_up();
                Notice::Connected
            }
            machine::Notice::TrackerLost(why) => Notice::TrackerLost(self.dialling.meant(why)),
            machine::Notice::TrackerTrouble(why) => {
                Notice::Warning(Warning::Tracker(self.dialling.meant(why)))
            }
            of_a_member => match rows::warning(&of_a_member) {
                Some(warning) => Notice::Warning(warning),
                None => return,
            },
        };
        self.notify(notice);
    }

    /// This machine has other addresses. A link from one that is gone is dead.
    fn on_moved(&mut self, engine: &mut Engine<machine::Peer>, here: Here) {
        for (link, ip) in engine.wires.leave(|ip| self.own_addresses.has(ip)) {
            let reason = format!("this machine has left the address {}", ip.to_canonical());
            engine.handle(links::Input::Disconnected { link, reason });
        }
        self.shown.itself.send_if_modified(|itself| {
            let Some(itself) = itself.as_mut() else {
                return false;
            };
            let moved = itself.addresses != here.addresses;
            itself.addresses.clone_from(&here.addresses);
            moved
        });
        engine.handle(Input::Readdressed {
            claimed: here.addresses,
            advertised: here.advertised,
        });
        self.shown.keeper.mark(Row::Node);
    }

    /// Shows those torrents that the tracker knows by now.
    fn show_torrents(&self, machine: &machine::Peer) {
        self.shown.torrents.send_if_modified(|known| {
            let is_news = !Arc::ptr_eq(known, &self.torrents) && machine.has_told_torrents();
            if is_news {
                known.clone_from(&self.torrents);
            }
            is_news
        });
    }

    /// Tells callers that the tracker knows their files by now.
    fn tell_callers(&mut self, machine: &machine::Peer) {
        let is_over = |(entry, heard): &mut (Entry, oneshot::Sender<()>)| {
            heard.is_closed() || machine.has_told(entry)
        };
        for (_, heard) in self.untold.extract_if(.., is_over) {
            // A caller that has waited long enough is gone.
            let _ = heard.send(());
        }
    }

    fn on_share(&mut self, engine: &mut Engine<machine::Peer>, event: ShareEvent) {
        match event {
            ShareEvent::Delta { added, removed } => {
                engine.handle(Input::ShareChanged { added, removed });
            }
            ShareEvent::Torrents(torrents) => {
                self.torrents = Arc::new(torrents.clone());
                engine.handle(Input::TorrentsChanged(torrents));
            }
            ShareEvent::Scanned { .. } | ShareEvent::Progress(_) => {
                if matches!(event, ShareEvent::Scanned { .. }) {
                    engine.handle(Input::LookOver);
                }
                self.shown.keeper.mark(Row::Node);
                self.shown.keeper.mark(Row::Share);
            }
            ShareEvent::Warning(warning) => {
                self.notify(Notice::Warning(Warning::Share(warning)));
            }
        }
    }

    fn serve(
        &mut self,
        engine: &Engine<machine::Peer>,
        link: LinkId,
        request: RequestId,
        content: Content,
    ) {
        let Some(sender) = engine.wires.get(link) else {
            return;
        };
        match &mut self.sharing {
            Some(sharing) => {
                let account = engine.machine.account(link);
                sharing.serve(account, sender, request, content);
            }
            None => sender.send(Frame::with_request(
                request,
                Refused {
                    reason: Reason::NotServed,
                    text: "a visitor shares nothing".into(),
                },
            )),
        }
    }

    pub(super) fn share(&self) -> Option<&Share> {
        self.sharing.as_ref().map(Sharing::share)
    }

    pub(super) fn status(&self, machine: &machine::Peer) -> Status {
        let member = self.tls.member();
        let certificate_ends_soon = renewal::ends_soon(&member, &self.clock);
        let totals = self.share().map(Share::totals).unwrap_or_default();
        let (sent, received) = self.transfers.tally();
        Status {
            partial: None,
            id: member.id.to_string(),
            name: member.name.map(|name| name.to_string()),
            share: self.share().map(|share| share.path().to_owned()),
            listen: self.listen.map(|listen| listen.to_string()),
            tracker: self.dialling.tracker().map(ToString::to_string),
            tracker_connected: tracker_is_up(machine),
            tracker_dialled: machine.tracker() == TrackerState::Trying,
            ca: self.tls.ca().to_string(),
            offered: totals.into(),
            neighbours: machine.present().listed_count() as u64,
            sent,
            received,
            lookups: machine.tally(),
            spared: machine.spared(now(&self.clock)),
            certificate_ends: i64::try_from(unix_seconds(member.ends)).unwrap_or(i64::MAX),
            certificate_ends_soon,
            page: None,
            token_file: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn notify(&mut self, notice: Notice) {
        self.shown.keeper.notice(&notice);
        // A program that does not read the notices in time misses some.
        let _ = self.notices.try_send(notice);
    }
}

fn tracker_is_up(machine: &machine::Peer) -> bool {
    matches!(machine.tracker(), TrackerState::Up(_))
}

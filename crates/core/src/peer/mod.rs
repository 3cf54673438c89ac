//! A peer: a machine that shares, looks up and fetches.
//!
//! [`Peer::handle`] takes one input; then [`Peer::poll_output`] is drained. It
//! routes: each question of substance is decided in a smaller machine.
//!
//! ```text
//! links       who is connected, and who is to be given up
//! home        the way to the tracker
//! neighbours  which links are worth keeping
//! publisher   what to tell others of the own share
//! catalogue   what the neighbours have, and oneself
//! lookup      names: memory, neighbours, tracker
//! survey      patterns and members: the tracker, page by page
//! fetch       from whom next
//! ```

mod home;
mod publishing;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use thorp_wire::frame::{
    Ack, Body, Find, Found, Frame, Hello, Holder, Leave, MemberRow, Query, Reason, Refused,
    RequestId, Update, Variant,
};
use thorp_wire::{Content, Entry, Name, PeerId};

use crate::answer::{Library, member_row};
use crate::catalogue::{Applied, Bounds, Catalogue};
use crate::fetch::{self, Failure, FetchId, Fetches, Wanted};
use crate::links::{Greeted, LinkId, Links, Me, Member, Opening};
use crate::lookup::{self, Lookup, Source, Surroundings, Tracker, TrackerUse};
use crate::neighbours::{Neighbours, Room};
use crate::publisher::Publisher;
use crate::survey::{self, Findings, Subject, Survey};
use crate::time::Instant;

use home::Home;
use publishing::Publishing;

/// A neighbour's listing may have this many entries; all of them together this many bytes.
const NEIGHBOUR_BOUNDS: Bounds = Bounds {
    entries: 100_000,
    bytes: 256 * 1024 * 1024,
};
/// How many neighbours are asked about a name that memory does not have.
const ASKED_NEIGHBOURS: usize = 8;
/// How long somebody who asked for a file's root waits for it.
const HASHING_WITHIN: Duration = Duration::from_secs(8);
/// Questions of one member that may wait for a hash.
const HASHING_EACH: usize = 64;

/// What a peer is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it says of itself.
    pub me: Me,
    /// Whether there is a tracker to dial.
    pub has_tracker: bool,
    /// 0: neighbours answer for themselves; 1: for their neighbours too.
    pub hops: u8,
    /// What it promises the tracker until that grants another interval.
    pub tracker_interval: Duration,
    /// What it promises its neighbours.
    pub neighbour_interval: Duration,
    /// The most neighbours.
    pub max_neighbours: usize,
    /// For what is left to chance.
    pub seed: u64,
}

/// Names a lookup or a survey, for as long as somebody waits for it. Chosen by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u64);

/// What a peer is told.
#[derive(Debug)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// A connection to a member is there, encrypted and authenticated.
    Connected {
        /// Its number from now on.
        link: LinkId,
        /// Who is at the other end.
        member: Member,
        /// Whether this end dialled.
        dialled: bool,
        /// The address the other end is seen at.
        remote: IpAddr,
    },
    /// A connection is gone.
    Disconnected {
        /// Which.
        link: LinkId,
        /// Why, for a person.
        reason: String,
    },
    /// A [`Output::Dial`] came to nothing.
    DialFailed {
        /// Whom it was for.
        target: Target,
        /// Why, for a person.
        reason: String,
    },
    /// A frame has arrived (any but `Content`, which the shell keeps).
    Frame {
        /// On this link.
        link: LinkId,
        /// The frame.
        frame: Frame,
    },
    /// Bytes have arrived that are no whole frame yet, or no business of the core's.
    Heard {
        /// On this link.
        link: LinkId,
    },
    /// A file was sent to somebody.
    Served {
        /// On this link.
        link: LinkId,
    },
    /// The share has changed.
    ShareChanged {
        /// New, different or newly hashed.
        added: Vec<Entry>,
        /// Gone.
        removed: Vec<Name>,
    },
    /// Somebody wants to know where these names are.
    LookUp {
        /// Its number from now on.
        ask: AskId,
        /// As they were typed.
        names: Vec<String>,
        /// Only holders called so.
        from: Option<String>,
    },
    /// Somebody wants to know all there is.
    Survey {
        /// Its number from now on.
        ask: AskId,
        /// Of what.
        subject: Subject,
        /// Only holders called so.
        from: Option<String>,
    },
    /// Somebody wants a file.
    Fetch {
        /// Its number from now on.
        fetch: FetchId,
        /// Which, and who has it.
        wanted: Wanted,
    },
    /// What became of the bytes that came for a fetch.
    Received {
        /// Which fetch.
        fetch: FetchId,
        /// On this link.
        link: LinkId,
        /// In answer to this question.
        request: RequestId,
        /// Whether they were what they should be.
        verified: bool,
    },
    /// Nobody waits for this fetch any more.
    Abandon {
        /// Which.
        fetch: FetchId,
    },
    /// Say goodbye to everybody.
    Stop {
        /// Why, for a person.
        reason: String,
    },
}

/// What a peer wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Connect to somebody.
    Dial(Target),
    /// Send a frame.
    Send(LinkId, Frame),
    /// Close a connection once what was sent before is on its way.
    Close(LinkId, String),
    /// Ask for a file on this link; what comes back is checked and kept by the
    /// shell, which then says [`Input::Received`].
    Get {
        /// For which fetch.
        fetch: FetchId,
        /// On this link.
        link: LinkId,
        /// With this number.
        request: RequestId,
        /// The file.
        content: Content,
    },
    /// Hash this file before others.
    HashNow(Name),
    /// A lookup is done.
    LookedUp(AskId, lookup::Outcome),
    /// A survey is done.
    Surveyed(AskId, Findings),
    /// A file was fetched from this member.
    Fetched(FetchId, Holder),
    /// A file cannot be fetched.
    FetchFailed(FetchId, Failure),
    /// Something happened that a person may want to know.
    Notice(Notice),
    /// What is shown of this peer has changed.
    Changed,
}

/// Whom to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The group's tracker, wherever the shell knows it to be.
    Tracker,
    /// This member.
    Member {
        /// Its key: whoever answers must have it.
        id: PeerId,
        /// Where it may be, the best address first.
        addresses: Vec<SocketAddr>,
    },
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The tracker has accepted this peer.
    TrackerUp,
    /// The tracker is gone or cannot be reached.
    TrackerLost(String),
    /// A member does not keep this peer's listing, because it is too large.
    Unlisted(Holder),
    /// A member sent something else than it was asked for, and was dropped.
    Liar(Holder),
}

/// Who answered this peer's lookups, counted by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Neighbours, from memory or when asked.
    pub neighbours: u64,
    /// The tracker.
    pub tracker: u64,
    /// Nobody.
    pub nobody: u64,
}

/// A peer.
#[derive(Debug)]
pub struct Peer {
    config: Config,
    links: Links,
    home: Home,
    neighbours: Neighbours,
    publisher: Publisher,
    publishing: Publishing,
    catalogue: Catalogue,
    lookups: BTreeMap<AskId, Lookup>,
    surveys: BTreeMap<AskId, Survey>,
    fetches: Fetches,
    /// Members that are being dialled, and what for.
    dialling: BTreeMap<PeerId, Vec<Errand>>,
    /// Questions without an answer yet.
    questions: BTreeMap<(LinkId, RequestId), Question>,
    /// Others' questions that wait for a file to be hashed.
    hashing: Vec<Hashing>,
    tally: Tally,
    out: VecDeque<Output>,
}

/// What a link is wanted for.
#[derive(Debug)]
enum Errand {
    Ask(Asker, Find),
    Get(FetchId, Content),
}

#[derive(Clone, Copy, Debug)]
enum Asker {
    Lookup(AskId, u32),
    Survey(AskId),
    Widening(FetchId),
    Fetch(FetchId),
}

#[derive(Debug)]
struct Question {
    asker: Asker,
    asked: Instant,
}

#[derive(Debug)]
struct Hashing {
    link: LinkId,
    request: RequestId,
    find: Find,
    until: Instant,
}

impl Peer {
    /// A peer with an empty share.
    pub fn new(now: Instant, config: Config) -> Self {
        let me = config.me.clone();
        let mut catalogue = Catalogue::new(NEIGHBOUR_BOUNDS, Some(me.id));
        Self {
            home: Home::new(
                now,
                config.has_tracker,
                config.tracker_interval,
                config.seed,
            ),
            neighbours: Neighbours::new(config.max_neighbours, config.seed),
            publisher: Publisher::new(me.id, me.epoch, &mut catalogue),
            publishing: Publishing::default(),
            catalogue,
            links: Links::new(me),
            config,
            lookups: BTreeMap::new(),
            surveys: BTreeMap::new(),
            fetches: Fetches::default(),
            dialling: BTreeMap::new(),
            questions: BTreeMap::new(),
            hashing: Vec::new(),
            tally: Tally::default(),
            out: VecDeque::new(),
        }
    }

    /// Takes one input. Nothing else changes the machine.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Tick => {}
            Input::Connected {
                link,
                member,
                dialled,
                remote,
            } => self.connected(now, link, member, dialled, remote),
            Input::Disconnected { link, reason } => self.disconnected(now, link, &reason),
            Input::DialFailed { target, reason } => self.dial_failed(now, target, reason),
            Input::Frame { link, frame } => self.frame(now, link, frame),
            Input::Heard { link } => self.heard(now, link),
            Input::Served { link } => {
                if let Some(link) = self.links.get_mut(link) {
                    link.liveness.said(now);
                }
                self.publishing.release(link);
            }
            Input::ShareChanged { added, removed } => {
                self.publisher
                    .share_changed(now, &mut self.catalogue, added, removed);
                self.out.push_back(Output::Changed);
            }
            Input::LookUp { ask, names, from } => {
                self.lookups.insert(ask, Lookup::new(now, names, from));
            }
            Input::Survey { ask, subject, from } => self.survey(now, ask, subject, from),
            Input::Fetch { fetch, wanted } => self.fetches.want(fetch, wanted),
            Input::Received {
                fetch,
                link,
                request,
                verified,
            } => self.received(now, fetch, link, request, verified),
            Input::Abandon { fetch } => self.fetches.drop(fetch),
            Input::Stop { reason } => self.stop(&reason),
        }
        self.advance(now);
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to come back with [`Input::Tick`], if nothing happens before.
    pub fn next_deadline(&self) -> Option<Instant> {
        let heard = |peer| self.last_heard(peer);
        let hashing = self.hashing.iter().map(|hashing| hashing.until);
        self.lookups
            .values()
            .filter_map(Lookup::deadline)
            .chain(self.surveys.values().filter_map(Survey::deadline))
            .chain(hashing)
            .chain(self.links.next_deadline())
            .chain(self.home.next_dial())
            .chain(self.publisher.publish_at())
            .chain(self.publishing.next_release())
            .chain(self.fetches.deadline(&heard))
            .min()
    }

    /// The neighbours, in the order of their ids.
    pub fn neighbours(&self) -> impl Iterator<Item = MemberRow> + '_ {
        self.neighbours
            .ids()
            .filter_map(|id| Some(member_row(self.links.to(id)?.1, &self.catalogue)))
    }

    /// The member with this id, if there is a link to it.
    pub fn member(&self, id: PeerId) -> Option<Holder> {
        Some(self.links.to(id)?.1.holder())
    }

    /// The own listing and the neighbours'.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Whether this peer lists a file by exactly this name.
    pub fn shares(&self, name: &Name) -> bool {
        self.own_entry(name).is_some()
    }

    /// How it is with the tracker.
    pub fn tracker(&self) -> Tracker {
        self.home.tracker()
    }

    /// Who answered the lookups so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    fn own_entry(&self, name: &Name) -> Option<Entry> {
        self.catalogue.listing(self.config.me.id)?.entry(name)
    }

    fn last_heard(&self, peer: PeerId) -> Option<Instant> {
        Some(self.links.to(peer)?.1.liveness.last_heard())
    }
}

/// Links come and go.
impl Peer {
    fn connected(
        &mut self,
        now: Instant,
        link: LinkId,
        member: Member,
        dialled: bool,
        remote: IpAddr,
    ) {
        let id = member.id;
        let willing = !member.tracker && !self.config.me.visitor && self.has_room_for(now, id);
        let interval = match member.tracker {
            true => self.config.tracker_interval,
            false => self.config.neighbour_interval,
        };
        let opening = Opening {
            member,
            dialled,
            remote,
            willing,
            interval,
            applied: self.catalogue.position(id),
        };
        let hello = self.links.opened(now, link, opening);
        self.send(now, link, Frame::plain(hello));
    }

    fn has_room_for(&self, now: Instant, id: PeerId) -> bool {
        let promised = self
            .links
            .all()
            .filter(|(_, link)| link.willing && link.hello.is_none());
        match self.neighbours.room(now) {
            _ if self.neighbours.contains(id) => true,
            Room::Free => self.neighbours.len() + promised.count() < self.config.max_neighbours,
            Room::Replacing(_) => true,
            Room::Full => false,
        }
    }

    fn greeted(&mut self, now: Instant, link: LinkId, hello: Hello) {
        let position = hello
            .applied
            .filter(|position| position.epoch == self.config.me.epoch);
        match self.links.greeted(now, link, hello) {
            Greeted::Up { replaces } => {
                self.up(now, link, position.map(|position| position.seq));
                if let Some(old) = replaces {
                    self.close(now, old, "replaced by a newer link");
                }
            }
            Greeted::Redundant => self.close(now, link, "there is another link already"),
            Greeted::NoCommonVersion => self.close(now, link, "no common version of the protocol"),
            Greeted::Twice => self.close(now, link, "a second hello"),
        }
    }

    fn up(&mut self, now: Instant, id: LinkId, their_copy: Option<u64>) {
        let Some(link) = self.links.get(id) else {
            return;
        };
        let member = link.member.clone();
        let is_neighbour = link.is_neighbour();
        if member.tracker {
            self.home.up(id, member.id);
            self.out.push_back(Output::Notice(Notice::TrackerUp));
            self.out.push_back(Output::Changed);
            if !self.config.me.visitor {
                self.publishing.begin(id, their_copy, None);
            }
        } else if is_neighbour {
            self.make_room(now, member.id);
            self.neighbours.add(now, member.id);
            self.publishing.begin(id, their_copy, Some(now));
            self.neighbours_changed(now);
        }
        for errand in self.dialling.remove(&member.id).unwrap_or_default() {
            self.run(now, id, errand);
        }
    }

    /// Lets the least useful neighbour go if the place is needed. Both ends have
    /// agreed by now, so the newcomer is taken in any case.
    fn make_room(&mut self, now: Instant, id: PeerId) {
        if self.neighbours.contains(id) {
            return;
        }
        if let Room::Replacing(worst) = self.neighbours.room(now) {
            if let Some((link, _)) = self.links.to(worst) {
                self.leave(now, link, "its place as a neighbour is needed");
            }
            self.neighbours.remove(worst);
        }
    }

    fn neighbours_changed(&mut self, now: Instant) {
        let ids: Vec<PeerId> = self.neighbours.ids().collect();
        self.publisher.neighbours_changed(now, ids);
        self.out.push_back(Output::Changed);
    }

    fn disconnected(&mut self, now: Instant, id: LinkId, reason: &str) {
        let Some((link, in_use)) = self.links.closed(id) else {
            return;
        };
        self.publishing.end(id);
        self.hashing.retain(|hashing| hashing.link != id);
        let peer = link.member.id;
        let unanswered: Vec<_> = self
            .questions
            .range((id, RequestId(0))..=(id, RequestId(u32::MAX)))
            .map(|(key, _)| *key)
            .collect();
        for key in unanswered {
            if let Some(question) = self.questions.remove(&key) {
                self.no_answer(
                    question.asker,
                    peer,
                    Failure::Unreachable(reason.to_owned()),
                );
            }
        }
        if link.dialled && link.hello.is_none() {
            self.dial_came_to_nothing(peer, reason);
        }
        if self.home.lost(now, id) {
            self.out
                .push_back(Output::Notice(Notice::TrackerLost(reason.to_owned())));
            self.out.push_back(Output::Changed);
        } else if link.member.tracker && link.dialled && link.hello.is_none() {
            self.home.dial_failed(now);
        }
        if in_use && !link.member.tracker {
            self.catalogue.forget(peer);
            self.publishing.relist(peer);
            if self.neighbours.remove(peer) {
                self.neighbours_changed(now);
            }
        }
    }

    fn dial_failed(&mut self, now: Instant, target: Target, reason: String) {
        match target {
            Target::Tracker => {
                let already_said = self.home.tracker() == Tracker::Down;
                self.home.dial_failed(now);
                if !already_said {
                    self.out
                        .push_back(Output::Notice(Notice::TrackerLost(reason)));
                    self.out.push_back(Output::Changed);
                }
            }
            Target::Member { id, .. } => self.dial_came_to_nothing(id, &reason),
        }
    }

    fn dial_came_to_nothing(&mut self, id: PeerId, reason: &str) {
        for errand in self.dialling.remove(&id).unwrap_or_default() {
            let asker = match errand {
                Errand::Ask(asker, _) => asker,
                Errand::Get(fetch, _) => Asker::Fetch(fetch),
            };
            self.no_answer(asker, id, Failure::Unreachable(reason.to_owned()));
        }
    }

    fn heard(&mut self, now: Instant, link: LinkId) {
        if let Some(link) = self.links.get_mut(link) {
            link.liveness.heard(now);
        }
    }

    fn stop(&mut self, reason: &str) {
        let all: Vec<LinkId> = self.links.all().map(|(id, _)| id).collect();
        for link in all {
            let leave = Leave {
                reason: reason.to_owned(),
            };
            self.out.push_back(Output::Send(link, Frame::plain(leave)));
            self.out.push_back(Output::Close(link, reason.to_owned()));
        }
    }

    fn leave(&mut self, now: Instant, link: LinkId, reason: &str) {
        let leave = Leave {
            reason: reason.to_owned(),
        };
        self.send(now, link, Frame::plain(leave));
        self.close(now, link, reason);
    }

    fn close(&mut self, now: Instant, link: LinkId, reason: &str) {
        self.out.push_back(Output::Close(link, reason.to_owned()));
        self.disconnected(now, link, reason);
    }

    fn send(&mut self, now: Instant, link: LinkId, frame: Frame) {
        if let Some(link) = self.links.get_mut(link) {
            link.liveness.said(now);
        }
        self.out.push_back(Output::Send(link, frame));
    }
}

/// Frames.
impl Peer {
    fn frame(&mut self, now: Instant, id: LinkId, frame: Frame) {
        self.heard(now, id);
        let Some(link) = self.links.get(id) else {
            return;
        };
        if link.hello.is_none() && !matches!(frame.body, Body::Hello(_)) {
            self.close(now, id, "no hello first");
            return;
        }
        match (frame.body, frame.request) {
            (Body::Hello(hello), _) => self.greeted(now, id, hello),
            (Body::Update(update), _) => self.update(now, id, update),
            (Body::Ack(ack), _) => self.acknowledged(id, &ack),
            (Body::Find(find), Some(request)) => self.asked(now, id, request, find),
            (Body::Found(found), Some(request)) => self.found(now, id, request, found),
            (Body::Refused(refused), Some(request)) => self.refused(id, request, &refused),
            (Body::Leave(leave), _) => self.close(now, id, &format!("it left: {}", leave.reason)),
            // Questions without a number cannot be answered. Get and Content
            // are the shell's, joining has a protocol of its own.
            _ => {}
        }
    }

    fn update(&mut self, now: Instant, id: LinkId, frame: Update) {
        let Some(link) = self.links.get_mut(id) else {
            return;
        };
        let peer = link.member.id;
        let Some(epoch) = link.hello.as_ref().map(|hello| hello.epoch) else {
            return;
        };
        let update = match link.gathering.push(frame, NEIGHBOUR_BOUNDS.entries) {
            Ok(Some(update)) => update,
            Ok(None) => return,
            Err(error) => {
                self.close(now, id, &error.to_string());
                return;
            }
        };
        if !self.neighbours.contains(peer) || self.publishing.is_unlisted(peer) {
            return;
        }
        let changes = update.since != Some(update.seq);
        let answer = match self.catalogue.apply(peer, epoch, update) {
            Applied::Yes => None,
            Applied::NeedsFull => Some(Ack {
                seq: None,
                interval: None,
                unlisted: false,
                record: None,
            }),
            Applied::OverBounds => {
                self.publishing.unlist(peer);
                Some(Ack {
                    seq: None,
                    interval: None,
                    unlisted: true,
                    record: None,
                })
            }
        };
        if let Some(ack) = answer {
            self.send(now, id, Frame::plain(ack));
        }
        if changes {
            self.out.push_back(Output::Changed);
        }
    }

    fn acknowledged(&mut self, id: LinkId, ack: &Ack) {
        let Some(link) = self.links.get_mut(id) else {
            return;
        };
        if let (true, Some(interval)) = (link.member.tracker, ack.interval) {
            let granted = Duration::from_millis(interval.into());
            link.liveness.promise(granted);
            link.liveness.expect(granted);
        }
        if ack.unlisted {
            let holder = link.holder();
            if self.publishing.stop(id) {
                self.out.push_back(Output::Notice(Notice::Unlisted(holder)));
            }
        } else if ack.seq.is_none() {
            self.publishing.start_over(id);
        }
    }

    fn asked(&mut self, now: Instant, id: LinkId, request: RequestId, find: Find) {
        let Some(link) = self.links.get_mut(id) else {
            return;
        };
        if !link.allowance.take(now) {
            let refused = Refused {
                reason: Reason::Busy,
                text: "too many questions".to_owned(),
            };
            self.send(now, id, Frame::with_request(request, refused));
            return;
        }
        let unhashed = self.own_unhashed(&find);
        let waiting = self
            .hashing
            .iter()
            .filter(|hashing| hashing.link == id)
            .count();
        if unhashed.is_empty() || waiting >= HASHING_EACH {
            self.answer(now, id, request, &find);
            return;
        }
        self.out.extend(unhashed.into_iter().map(Output::HashNow));
        self.hashing.push(Hashing {
            link: id,
            request,
            find,
            until: now + HASHING_WITHIN,
        });
    }

    fn answer(&mut self, now: Instant, id: LinkId, request: RequestId, find: &Find) {
        let Some(asker) = self.links.get(id).map(|link| link.member.id) else {
            return;
        };
        let found = match &find.query {
            Query::Members(after) => {
                let neighbours = self.neighbours.ids().filter(|peer| *peer != asker);
                let links = neighbours.filter_map(|peer| Some(self.links.to(peer)?.1));
                Ok(crate::answer::members(links, *after, &self.catalogue))
            }
            _ => {
                let me = self.config.me.id;
                let among = |peer| peer == me || (find.hops > 0 && peer != asker);
                self.library(&among).files(find)
            }
        };
        let answer: Body = match found {
            Ok(found) => found.into(),
            Err(error) => Refused {
                reason: Reason::NotServed,
                text: error.to_string(),
            }
            .into(),
        };
        self.send(now, id, Frame::with_request(request, answer));
    }

    fn own_unhashed(&self, find: &Find) -> Vec<Name> {
        let (true, Query::Names(names)) = (find.hash_now, &find.query) else {
            return Vec::new();
        };
        let unhashed = names.iter().filter_map(|name| {
            let name: Name = name.parse().ok()?;
            self.own_entry(&name).filter(|entry| entry.root.is_none())?;
            Some(name)
        });
        unhashed.collect()
    }

    fn found(&mut self, now: Instant, id: LinkId, request: RequestId, mut found: Found) {
        let Some(question) = self.questions.remove(&(id, request)) else {
            return;
        };
        let Some(link) = self.links.get_mut(id) else {
            return;
        };
        link.answered_in(now - question.asked);
        let who = link.member.id;
        let tracker = link.member.tracker;
        // Whoever answers does not know by which address it is reached.
        let itself = link.holder();
        for holder in found
            .variants
            .iter_mut()
            .flat_map(|variant| &mut variant.holders)
        {
            if holder.id == who {
                *holder = itself.clone();
            }
        }
        let me = self.config.me.id;
        for variant in &mut found.variants {
            variant.holders.retain(|holder| holder.id != me);
        }
        match question.asker {
            Asker::Lookup(ask, round) => {
                let Some(lookup) = self
                    .lookups
                    .get_mut(&ask)
                    .filter(|lookup| lookup.round() == round)
                else {
                    return;
                };
                for find in lookup.found(who, tracker, found) {
                    self.ask(now, id, Asker::Lookup(ask, round), find);
                }
            }
            Asker::Survey(ask) => {
                let more = self
                    .surveys
                    .get_mut(&ask)
                    .and_then(|survey| survey.found(now, who, found));
                if let Some(find) = more {
                    self.ask(now, id, Asker::Survey(ask), find);
                }
            }
            Asker::Widening(fetch) => self.fetches.widened(fetch, Some(found)),
            Asker::Fetch(fetch) => self.fetches.failed(fetch, Failure::NotHere),
        }
    }

    fn refused(&mut self, id: LinkId, request: RequestId, refused: &Refused) {
        let Some(question) = self.questions.remove(&(id, request)) else {
            return;
        };
        let Some(who) = self.links.get(id).map(|link| link.member.id) else {
            return;
        };
        self.no_answer(question.asker, who, refused.reason.into());
    }

    fn no_answer(&mut self, asker: Asker, who: PeerId, failure: Failure) {
        match asker {
            Asker::Lookup(ask, round) => {
                if let Some(lookup) = self
                    .lookups
                    .get_mut(&ask)
                    .filter(|lookup| lookup.round() == round)
                {
                    lookup.no_answer(who);
                }
            }
            Asker::Survey(ask) => {
                if let Some(survey) = self.surveys.get_mut(&ask) {
                    survey.no_answer(who);
                }
            }
            Asker::Widening(fetch) => self.fetches.widened(fetch, None),
            Asker::Fetch(fetch) => self.fetches.failed(fetch, failure),
        }
    }
}

/// Questions of our own.
impl Peer {
    fn survey(&mut self, now: Instant, ask: AskId, subject: Subject, from: Option<String>) {
        let me = self.config.me.id;
        let remembered = match &subject {
            Subject::Files(pattern) => {
                let among = |peer| peer != me;
                let library = self.library(&among);
                let files = self.catalogue.matching(pattern, None, &among);
                Found {
                    variants: files.map(|file| library.variant(file)).collect(),
                    ..Found::default()
                }
            }
            Subject::Members => Found {
                members: self.neighbours().collect(),
                ..Found::default()
            },
        };
        self.surveys
            .insert(ask, Survey::new(now, subject, from, remembered));
    }

    fn library<'a>(&'a self, among: &'a dyn Fn(PeerId) -> bool) -> Library<'a> {
        Library {
            catalogue: &self.catalogue,
            links: &self.links,
            among,
        }
    }

    /// Sends an errand's question on a link that is up.
    fn run(&mut self, now: Instant, link: LinkId, errand: Errand) {
        match errand {
            Errand::Ask(asker, find) => self.ask(now, link, asker, find),
            Errand::Get(fetch, content) => {
                let request = self.question(now, link, Asker::Fetch(fetch));
                if let Some(link) = self.links.get_mut(link) {
                    link.liveness.said(now);
                }
                self.out.push_back(Output::Get {
                    fetch,
                    link,
                    request,
                    content,
                });
            }
        }
    }

    fn ask(&mut self, now: Instant, link: LinkId, asker: Asker, find: Find) {
        let request = self.question(now, link, asker);
        self.send(now, link, Frame::with_request(request, find));
    }

    fn question(&mut self, now: Instant, link: LinkId, asker: Asker) -> RequestId {
        let request = self.links.next_request(link);
        self.questions
            .insert((link, request), Question { asker, asked: now });
        request
    }

    /// Runs an errand to a member, over a new link if there is none.
    fn send_to(&mut self, now: Instant, whom: Holder, errand: Errand) {
        if let Some((link, _)) = self.links.to(whom.id) {
            self.run(now, link, errand);
            return;
        }
        let errands = self.dialling.entry(whom.id).or_default();
        errands.push(errand);
        if errands.len() == 1 {
            self.out.push_back(Output::Dial(Target::Member {
                id: whom.id,
                addresses: whom.addresses,
            }));
        }
    }

    fn received(
        &mut self,
        now: Instant,
        fetch: FetchId,
        id: LinkId,
        request: RequestId,
        verified: bool,
    ) {
        let question = self.questions.remove(&(id, request));
        let (Some(link), Some(question)) = (self.links.get_mut(id), question) else {
            return;
        };
        let holder = link.holder();
        if !verified {
            if self.fetches.asked_of(fetch) == Some(holder.id) {
                self.fetches.failed(fetch, Failure::Mismatch(holder.id));
            }
            self.out.push_back(Output::Notice(Notice::Liar(holder)));
            self.close(now, id, "what it sent is not what it listed");
            return;
        }
        link.answered_in(now - question.asked);
        let rtt = link.rtt;
        self.neighbours.was_useful(now, holder.id, rtt);
        self.publishing.release(id);
        self.fetches.drop(fetch);
        self.out.push_back(Output::Fetched(fetch, holder));
    }
}

/// What time and events have made due.
impl Peer {
    fn advance(&mut self, now: Instant) {
        for (link, reason) in self.links.lost(now) {
            self.leave(now, link, &reason);
        }
        if self.home.dial(now) {
            self.out.push_back(Output::Dial(Target::Tracker));
        }
        self.advance_lookups(now);
        self.advance_surveys(now);
        self.advance_fetches(now);
        self.answer_hashed(now);
        self.publish(now);
    }

    fn advance_lookups(&mut self, now: Instant) {
        for ask in self.lookups.keys().copied().collect::<Vec<_>>() {
            let Some(mut lookup) = self.lookups.remove(&ask) else {
                continue;
            };
            let mut finished = false;
            loop {
                let actions = lookup.advance(now, &Around { now, peer: self });
                if actions.is_empty() {
                    break;
                }
                let asker = Asker::Lookup(ask, lookup.round());
                for action in actions {
                    match action {
                        lookup::Action::Ask(whom, find) => {
                            self.send_to(now, whom, Errand::Ask(asker, find))
                        }
                        lookup::Action::Finish(outcome) => {
                            finished = true;
                            self.count(now, &outcome);
                            self.out.push_back(Output::LookedUp(ask, outcome));
                        }
                    }
                }
            }
            if !finished {
                self.lookups.insert(ask, lookup);
            }
        }
    }

    fn count(&mut self, now: Instant, outcome: &lookup::Outcome) {
        for (_, answer) in &outcome.names {
            match answer {
                lookup::Answer::Found(Source::Memory, _) => self.tally.neighbours += 1,
                lookup::Answer::Found(Source::Neighbour(via), _) => {
                    self.tally.neighbours += 1;
                    let rtt = self.links.to(*via).and_then(|(_, link)| link.rtt);
                    self.neighbours.was_useful(now, *via, rtt);
                }
                lookup::Answer::Found(Source::Tracker, _) => self.tally.tracker += 1,
                lookup::Answer::Alike(_) | lookup::Answer::Nobody => match outcome.tracker {
                    TrackerUse::Asked => self.tally.tracker += 1,
                    TrackerUse::Spared | TrackerUse::Unreachable => self.tally.nobody += 1,
                },
            }
        }
    }

    fn advance_surveys(&mut self, now: Instant) {
        let neighbours: Vec<PeerId> = self.neighbours.ids().collect();
        for ask in self.surveys.keys().copied().collect::<Vec<_>>() {
            loop {
                let tracker = self.home.tracker();
                let Some(survey) = self.surveys.get_mut(&ask) else {
                    break;
                };
                let actions = survey.advance(now, tracker, &neighbours);
                if actions.is_empty() {
                    break;
                }
                for action in actions {
                    match action {
                        survey::Action::Ask(whom, find) => match self.links.to(whom) {
                            Some((link, _)) => self.ask(now, link, Asker::Survey(ask), find),
                            None => self.no_answer(Asker::Survey(ask), whom, Failure::NotHere),
                        },
                        survey::Action::Finish(findings) => {
                            self.surveys.remove(&ask);
                            self.out.push_back(Output::Surveyed(ask, findings));
                        }
                    }
                }
            }
        }
    }

    fn advance_fetches(&mut self, now: Instant) {
        loop {
            let links = &self.links;
            let linked = |peer| links.to(peer).is_some();
            let heard = |peer| Some(links.to(peer)?.1.liveness.last_heard());
            let actions = self.fetches.advance(now, &linked, &heard);
            if actions.is_empty() {
                return;
            }
            for action in actions {
                match action {
                    fetch::Action::Get(fetch, whom, content) => {
                        self.send_to(now, whom, Errand::Get(fetch, content))
                    }
                    fetch::Action::Widen(fetch, find) => match self.home.link() {
                        Some(tracker) => self.ask(now, tracker, Asker::Widening(fetch), find),
                        None => self.fetches.widened(fetch, None),
                    },
                    fetch::Action::Fail(fetch, failure) => {
                        self.out.push_back(Output::FetchFailed(fetch, failure))
                    }
                }
            }
        }
    }

    /// Answers questions that waited for files to be hashed, once they are.
    fn answer_hashed(&mut self, now: Instant) {
        for hashing in std::mem::take(&mut self.hashing) {
            if hashing.until <= now || self.own_unhashed(&hashing.find).is_empty() {
                self.answer(now, hashing.link, hashing.request, &hashing.find);
            } else {
                self.hashing.push(hashing);
            }
        }
    }

    fn publish(&mut self, now: Instant) {
        if self.publisher.publish(now, &mut self.catalogue) {
            self.out.push_back(Output::Changed);
        }
        for (link, since) in self.publishing.due(now, self.publisher.seq()) {
            for update in self.publisher.update_since(since, &self.catalogue) {
                self.send(now, link, Frame::plain(update));
            }
            self.publishing.sent(link, self.publisher.seq());
        }
        for link in self.links.silent(now) {
            let about_us = self.links.get(link).is_some_and(|link| {
                link.member.tracker || self.neighbours.contains(link.member.id)
            });
            if about_us {
                let heartbeat = Update::heartbeat(self.publishing.position(link).unwrap_or(0));
                self.send(now, link, Frame::plain(heartbeat));
            } else if let Some(link) = self.links.get_mut(link) {
                // A link that is no longer needed is left to fall silent.
                link.liveness.said(now);
            }
        }
    }
}

/// What a lookup sees of the peer.
struct Around<'a> {
    now: Instant,
    peer: &'a Peer,
}

impl Surroundings for Around<'_> {
    fn remembered(&self, typed: &str) -> Vec<Variant> {
        let me = self.peer.config.me.id;
        let among = |peer| peer != me;
        let library = self.peer.library(&among);
        let files = self
            .peer
            .catalogue
            .named(typed, &among)
            .map(|(_, files)| files);
        files
            .into_iter()
            .flatten()
            .map(|file| library.variant(file))
            .collect()
    }

    fn worth_asking(&self) -> Vec<(PeerId, Option<Duration>)> {
        let peer = self.peer;
        let best = peer.neighbours.best(self.now);
        let (listed, unlisted): (Vec<_>, Vec<_>) = best
            .into_iter()
            .partition(|id| peer.catalogue.position(*id).is_some());
        let listed = listed.into_iter().filter(|_| peer.config.hops > 0);
        let rtt = |id: PeerId| peer.links.to(id).map(|(_, link)| (id, link.rtt));
        unlisted
            .into_iter()
            .chain(listed)
            .take(ASKED_NEIGHBOURS)
            .filter_map(rtt)
            .collect()
    }

    fn hops(&self) -> u8 {
        self.peer.config.hops
    }

    fn tracker(&self) -> Tracker {
        self.peer.home.tracker()
    }
}

#[cfg(test)]
mod tests;

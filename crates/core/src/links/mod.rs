//! The connections to other members: connecting, hellos, updates, answers, group records, closing.
//! The same code for tracker and peer.
//!
//! ```text
//! frames    handles each frame that arrives
//! listing   keeps the listings that members send, or turns them down
//! turns     queues the work that is not done at once
//! io        inputs, outputs, and events for tracker and peer
//! role      the differences between tracker and peer, as values
//! table     the links themselves, their hellos and their deadlines
//! records   the group record, and which members to send it to
//! ```
//!
//! Owns the links, the listings that members send over them, which members are unlisted and which
//! are [present](crate::presence). Does not decide which members to dial, which links to keep and
//! what to do with answers: the tracker or peer does, which gets [`Event`]s in order.
//! [`Links::poll_output`] returns what to send and close.

mod closing;
mod frames;
mod io;
mod listing;
mod records;
mod role;
mod table;
mod turns;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use thorp_wire::PeerId;
use thorp_wire::frame::{
    Body, Find, Found, Frame, Leave, Query, Reason, Refused, RequestId, SignedRecord,
};

use crate::answer::{Library, Unlisted, members, too_busy};
use crate::bound::{Account, SharedBound};
use crate::budget::{Budgets, Work};
use crate::catalogue::{Among, Catalogue};
use crate::presence::Presences;
use crate::time::Instant;

pub use closing::Closing;
pub(crate) use io::{Down, Event, Terms};
pub use io::{Input, Output};
use listing::TurnedDown;
use records::RecordRelay;
pub use role::TRACKER_ROOM;
pub(crate) use role::{NEIGHBOUR_BOUNDS, Role, TRACKER_ENTRIES};
use table::Opening;
pub use table::{HELLO_WITHIN, LinkId, Me, Party};
pub(crate) use table::{Link, Table};
use turns::Turns;

/// The reason given to a removed member when its link is closed.
const REMOVED: &str = "this machine was removed from the group";

/// Decides what this node offers the member at the other end of a new connection.
pub(crate) type Offer<'a> = &'a dyn Fn(&Table, &Party) -> Terms;

/// A node's links, and what it knows from them.
#[derive(Debug)]
pub(crate) struct Links {
    role: Role,
    /// Whether listings of others are kept, where the role is to keep them.
    keeps_listings: bool,
    table: Table,
    /// The listings of the other members, and this node's own if it is a peer.
    catalogue: Catalogue,
    /// How much each member's listing takes.
    listed: SharedBound<PeerId>,
    /// Members whose listings do not fit: present, but not in the catalogue.
    unlisted: BTreeMap<PeerId, TurnedDown>,
    /// Members that were present before this node started, and are not back yet.
    expected: BTreeSet<PeerId>,
    /// Members that still look through their shares: their listings lack what is there.
    looking: BTreeSet<PeerId>,
    /// The unlisted member that was named last in an answer; the next answer goes on from there.
    named_last: Option<PeerId>,
    turns: Turns,
    budgets: Budgets,
    present: Presences,
    records: RecordRelay,
    events: Vec<Event>,
    out: VecDeque<Output>,
}

impl Links {
    /// Creates a state without links.
    pub(crate) fn new(me: Me, role: Role) -> Self {
        Self {
            role,
            keeps_listings: true,
            catalogue: Catalogue::default(),
            table: Table::new(me, role.waiting()),
            listed: SharedBound::new(role.bounds().bytes),
            unlisted: BTreeMap::new(),
            expected: BTreeSet::new(),
            looking: BTreeSet::new(),
            named_last: None,
            turns: Turns::default(),
            budgets: Budgets::new(Instant::default()),
            present: Presences::default(),
            records: RecordRelay::default(),
            events: Vec::new(),
            out: VecDeque::new(),
        }
    }

    /// Keeps no listing but the own one, whatever is sent.
    pub(crate) fn keep_no_listings(&mut self) {
        self.keeps_listings = false;
    }

    /// Sets the members that are expected back, with their listings.
    pub(crate) fn expect(&mut self, members: BTreeSet<PeerId>) {
        self.expected = members;
    }

    /// Adds to them.
    pub(crate) fn expect_also(&mut self, members: BTreeSet<PeerId>) {
        self.expected.extend(members);
    }

    /// Whether any member is expected back.
    pub(crate) fn expects_any(&self) -> bool {
        !self.expected.is_empty()
    }

    /// Grants another interval from now on. Each member learns it with the next answer
    /// to an update of its own.
    pub(crate) fn grant(&mut self, interval: Duration) {
        if let Role::Tracker {
            interval: before, ..
        } = &mut self.role
        {
            *before = interval;
        }
    }

    fn keeps_listing_of(&self, link: &Link) -> bool {
        self.keeps_listings && self.role.keeps_listing_of(link)
    }

    /// Handles an input. Returns the resulting events, in order.
    pub(crate) fn handle(&mut self, now: Instant, input: Input, offer: Offer<'_>) -> Vec<Event> {
        match input {
            Input::Tick | Input::Room { .. } => {}
            Input::Connected {
                link,
                member,
                dialled,
                remote,
            } => self.on_connected(now, link, member, dialled, remote, offer),
            Input::Disconnected { link, reason } => self.on_link_down(link, &reason, false),
            Input::Frame { link, frame } => self.on_frame(now, link, frame),
            Input::Heard { link, content } => self.on_heard(now, link, content),
            Input::Reads { link } => self.table.heard(now, link),
            Input::Expiring { link } => {
                if self.table.get(link).is_some_and(|link| link.dialled) {
                    self.events.push(Event::Expiring { link });
                }
            }
            Input::Adopted { record } => self.on_adopted(now, record),
            Input::Forged { link } => {
                self.shut(
                    now,
                    link,
                    "its group record is not signed by this group's CA",
                );
            }
            Input::Stop { reason } => {
                let all: Vec<LinkId> = self.table.all().map(|(id, _)| id).collect();
                for link in all {
                    self.shut(now, link, &reason);
                }
            }
        }
        self.take_events()
    }

    fn on_heard(&mut self, now: Instant, id: LinkId, content: u32) {
        self.table.heard(now, id);
        if let (Some(link), 1..) = (self.table.get(id), content) {
            self.events.push(Event::Flowing {
                member: link.member.id,
                bytes: content,
            });
        }
    }

    /// Does what is due: gives up silent members, and reports the links on which a sign of life is
    /// due.
    pub(crate) fn advance(&mut self, now: Instant) -> Vec<Event> {
        let due = self.table.due(now);
        for (link, why) in due.lost {
            let reason = why.to_string();
            self.say_goodbye(now, link, why);
            self.on_link_down(link, &reason, false);
        }
        let silent = due.silent.into_iter();
        self.events
            .extend(silent.map(|link| Event::Silent { link }));
        // Only a little at a time, so that new input need not wait long.
        while let Some(question) = self.turns.next_question(now, &mut self.budgets) {
            if self.on_question_turn(now, question) {
                break;
            }
        }
        self.go_on_forgetting(now);
        self.continue_changes(now);
        self.take_events()
    }

    /// Returns the number of questions that wait for their turn.
    pub fn waiting(&self) -> usize {
        self.turns.waiting()
    }

    /// Returns the next thing to do.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// Returns when to call [`advance`](Self::advance) next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let links = self.table.next_deadline().into_iter();
        let questions = self.turns.next_question_at(&self.budgets);
        // No listing changes as long as any is being forgotten.
        let listings = if self.catalogue.leaving() > 0 {
            Some(self.budgets.ready_to_forget_at())
        } else {
            self.turns.next_change_at(&self.budgets)
        };
        links.chain(questions).chain(listings).min()
    }

    /// Sends a frame.
    pub(crate) fn send(&mut self, now: Instant, link: LinkId, frame: Frame) {
        self.table.said(now, link);
        self.out.push_back(Output::Send(link, frame));
    }

    /// Closes a link for good and tells the other end why.
    pub(crate) fn close(&mut self, now: Instant, link: LinkId, reason: &str) -> Option<Down> {
        self.table.get(link)?;
        self.say_goodbye(now, link, reason.into());
        self.take_down(link, reason, true)
    }

    /// Answers a member's question. `finish` adds to the files found what only the caller knows:
    /// how far they are hashed.
    pub(crate) fn answer(
        &mut self,
        now: Instant,
        id: LinkId,
        request: RequestId,
        find: &Find,
        finish: impl FnOnce(&mut Found),
    ) {
        let Some(asker) = self.table.get(id).map(|link| link.member.id) else {
            return;
        };
        let (answer, work) = if let Query::Members(after) = find.query {
            let is_told = |member: PeerId| match self.role {
                Role::Tracker { .. } => true,
                Role::Peer => member != asker,
            };
            let listed = self.present.listed_behind(after);
            let told = listed.filter(|presence| is_told(presence.id));
            let (found, work) = members(told, &self.catalogue);
            (Ok(found), work)
        } else if let (Query::Beyond(..), Role::Tracker { .. }) = (&find.query, self.role) {
            // It would be most of the catalogue.
            (
                Err("only peers say what their neighbours have".to_owned()),
                Work::QUESTION,
            )
        } else {
            let me = self.me().id;
            let among = |peer| match self.role {
                Role::Tracker { .. } => peer != asker,
                Role::Peer => peer == me || (find.hops > 0 && peer != asker),
            };
            let account = self.account(id);
            let most = self
                .budgets
                .most_at_once(now, account, turns::effort_of(find));
            let unlisted = || self.some_unlisted(asker);
            let mut library = self.library(asker, &among);
            library.most = most;
            if let Role::Tracker { .. } = self.role {
                library.unlisted = &unlisted;
            }
            let (found, work) = library.files(find);
            (found.map_err(|error| error.to_string()), work)
        };
        let account = self.account(id);
        self.budgets
            .on_answered(now, account, turns::effort_of(find), work);
        let answer: Body = match answer {
            Ok(mut found) => {
                if let Some(last) = found.unlisted.last() {
                    self.named_last = Some(last.id);
                }
                finish(&mut found);
                found.into()
            }
            Err(error) => Refused {
                reason: Reason::NotServed,
                text: error.into(),
            }
            .into(),
        };
        self.send(now, id, Frame::with_request(request, answer));
    }

    /// Returns what this node knows, for an answer.
    pub(crate) fn library<'a>(&'a self, asker: PeerId, among: Among<'a>) -> Library<'a> {
        Library {
            catalogue: &self.catalogue,
            present: &self.present,
            me: self.me().id,
            among,
            asker,
            unlisted: &Unlisted::default,
            most: Work::ENOUGH,
        }
    }

    /// Sets the additional addresses of this node and announces them on all links. Returns whether
    /// they are new.
    pub(crate) fn readdress(
        &mut self,
        now: Instant,
        claimed: Vec<SocketAddr>,
        advertised: u8,
    ) -> bool {
        if !self.table.readdress(claimed, advertised) {
            return false;
        }
        let all: Vec<LinkId> = self.table.all().map(|(id, _)| id).collect();
        for link in all {
            if let Some(hello) = self.table.hello_again(link) {
                self.send(now, link, Frame::plain(hello));
            }
        }
        true
    }

    fn on_connected(
        &mut self,
        now: Instant,
        link: LinkId,
        member: Party,
        dialled: bool,
        remote: IpAddr,
        offer: Offer<'_>,
    ) {
        let id = member.id;
        let refuse = match id {
            id if id == self.me().id => Some(self.role.itself()),
            id if self.records.removes(id) => Some(REMOVED),
            id if self.table.is_crowding(id) => Some("too many links that say no hello"),
            _ => None,
        };
        if let Some(reason) = refuse {
            self.out.push_back(Output::Close(link, reason.into()));
            self.events.push(Event::TurnedAway { member: id, reason });
            return;
        }
        let Terms { willing, interval } = offer(&self.table, &member);
        let opening = Opening {
            member,
            dialled,
            remote,
            willing,
            interval,
            applied: self.catalogue.position(id),
            record: self.records.number(),
        };
        let hello = self.table.opened(now, link, opening);
        self.send(now, link, Frame::plain(hello));
    }

    fn on_adopted(&mut self, now: Instant, record: SignedRecord) {
        if !self.records.is_news(&record) {
            return;
        }
        let removed = record.record().removed.clone();
        let is_expelled = record.record().removes(&self.me().id);
        self.events.push(Event::Adopted { removed });
        let spread = self.records.adopt(&mut self.table, record);
        for (link, frame) in spread.tell {
            self.send(now, link, frame);
        }
        for link in spread.part {
            self.shut(now, link, REMOVED);
        }
        if is_expelled {
            self.events.push(Event::Expelled);
        }
    }

    fn take_events(&mut self) -> Vec<Event> {
        let regrouped = self.present.take_regrouped().into_iter();
        self.events
            .extend(regrouped.map(|member| Event::Regrouped { member }));
        std::mem::take(&mut self.events)
    }

    /// Closes a link for good and reports that as an event.
    fn shut(&mut self, now: Instant, link: LinkId, reason: &str) {
        let down = self.close(now, link, reason);
        self.events.extend(down.map(Event::Down));
    }

    /// Closes a link without a goodbye. A goodbye would keep the other end from dialling again,
    /// though it may know that the link which is kept here is dead.
    fn hang_up(&mut self, link: LinkId, reason: &str) {
        self.out.push_back(Output::Close(link, reason.into()));
        self.on_link_down(link, reason, false);
    }

    fn on_link_down(&mut self, link: LinkId, reason: &str, on_purpose: bool) {
        let down = self.take_down(link, reason, on_purpose);
        self.events.extend(down.map(Event::Down));
    }

    fn say_goodbye(&mut self, now: Instant, link: LinkId, why: Closing) {
        let reason = why.to_string().into();
        self.send(now, link, Frame::plain(Leave { reason }));
        self.out.push_back(Output::Close(link, why));
    }

    /// Removes a link and, if its member has no other one, all that the member has listed.
    fn take_down(&mut self, link: LinkId, reason: &str, on_purpose: bool) -> Option<Down> {
        let (was, was_in_use) = self.table.closed(link)?;
        let member = was.member.id;
        self.turns.on_link_down(link, member);
        if was_in_use {
            self.forget_listing(member);
            self.unlisted.remove(&member);
            self.looking.remove(&member);
            self.present.remove(member);
        } else {
            self.forget_torso(member);
        }
        Some(Down {
            link,
            was: Box::new(was),
            was_in_use,
            on_purpose,
            reason: reason.to_owned(),
        })
    }

    /// Starts on a queued question. Returns whether it is to be answered: its account may have
    /// exceeded its budget in the meantime.
    fn on_question_turn(&mut self, now: Instant, question: turns::Question) -> bool {
        let turns::Question {
            link,
            request,
            find,
        } = question;
        let account = self.account(link);
        self.table.unqueue(link, account, turns::size_of(&find));
        if self.budgets.has_asked_enough(now, account) {
            self.send(now, link, Frame::with_request(request, too_busy()));
            return false;
        }
        self.events.push(Event::Asked {
            link,
            request,
            find,
        });
        true
    }

    /// Returns the account that is charged for what comes on a link.
    pub(crate) fn account(&self, id: LinkId) -> Account {
        let is_open = self.records.is_open();
        match self.table.get(id) {
            Some(link) => Account::of(link.member.id, link.remote, is_open),
            None => Account::Member(self.me().id),
        }
    }

    /// A member has announced new addresses in another hello.
    fn on_readdressed(&mut self, id: LinkId) {
        if let Some(link) = self.table.get(id).filter(|link| link.hello.is_some()) {
            self.present.change(link.member.id, |presence| {
                presence.addresses = link.addresses();
            });
            self.events.push(Event::Moved { link: id });
        }
    }
}

/// Read access for tracker and peer.
impl Links {
    /// Returns what this node announces of itself.
    pub(crate) fn me(&self) -> &Me {
        self.table.me()
    }

    /// Returns the members that are present.
    pub(crate) fn present(&self) -> &Presences {
        &self.present
    }

    /// Returns the catalogue of the listings.
    pub(crate) fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Returns the members that are present, and the catalogue to be changed.
    pub(crate) fn present_and_catalogue(&mut self) -> (&Presences, &mut Catalogue) {
        (&self.present, &mut self.catalogue)
    }

    /// Returns the catalogue, so that a peer can keep its own listing in it.
    pub(crate) fn catalogue_mut(&mut self) -> &mut Catalogue {
        &mut self.catalogue
    }

    /// Returns a link, up or not.
    pub(crate) fn get(&self, id: LinkId) -> Option<&Link> {
        self.table.get(id)
    }

    /// Returns a link, to change what is known of it.
    pub(crate) fn get_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.table.get_mut(id)
    }

    /// Returns the link in use for a member.
    pub(crate) fn to(&self, member: PeerId) -> Option<(LinkId, &Link)> {
        self.table.to(member)
    }

    /// Whether a connection to this member is open on which it has not sent its hello yet.
    pub(crate) fn is_opening(&self, member: PeerId) -> bool {
        self.table.is_opening(member)
    }

    /// Returns an unused request number for this link.
    pub(crate) fn next_request(&mut self, id: LinkId) -> RequestId {
        self.table.next_request(id)
    }

    /// Records that the shell has sent bytes that did not come from here.
    pub(crate) fn said(&mut self, now: Instant, id: LinkId) {
        self.table.said(now, id);
    }
}

#[cfg(any(test, feature = "testing"))]
impl Links {
    /// Asserts the invariants.
    pub(crate) fn check(&self) {
        self.catalogue.check();
        self.present.check();
        let up: Vec<LinkId> = self.table.up().map(|(id, _)| id).collect();
        for (id, link) in self.table.all() {
            assert!(
                !self.records.removes(link.member.id),
                "it is no member any more"
            );
            assert!(
                link.hello.is_none() || up.contains(&id),
                "one link a member"
            );
        }
        assert_eq!(self.present.count(), up.len());
        for (_, link) in self.table.up() {
            let id = link.member.id;
            let position = self.catalogue.position(id).map(|position| position.seq);
            let is_listed = self.role.keeps_listing_of(link);
            assert_eq!(
                self.present.get(id),
                link.presence(position, is_listed).as_ref(),
                "a presence says what its link says"
            );
            assert!(is_listed || position.is_none());
            assert!(!self.unlisted.contains_key(&id) || position.is_none());
        }
        for id in self.unlisted.keys() {
            assert!(self.present.get(*id).is_some(), "it is gone");
        }
        self.listed.check();
        self.table.check();
        let mut kept = 0;
        for (id, listing) in self.catalogue.listings() {
            if id != self.me().id && !self.turns.is_changing(id) {
                assert_eq!(self.listed.amount(id), listing.size().bytes);
            }
            kept += self.listed.amount(id);
        }
        assert_eq!(self.listed.total(), kept);
    }
}

#[cfg(test)]
impl Links {
    /// Returns the number of links, up or not.
    pub(crate) fn len(&self) -> usize {
        self.table.all().count()
    }
}

#[cfg(test)]
mod tests;

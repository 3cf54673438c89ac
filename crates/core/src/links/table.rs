//! The links of a node, their hellos, and when they are given up.
//!
//! Owns what holds for any link: the rule for two links to one member, the signs of life, the
//! updates that are arriving. What follows from a frame is decided in [`links`](super).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use thorp_wire::frame::{Found, Hello, Holder, Position, RequestId, Update, VERSION};
use thorp_wire::{MemberName, PeerId};

use super::closing::Closing;
use crate::bound::{Account, Full, SharedBound};
use crate::budget::{Allowance, Work};
use crate::catalogue::Bounds;
use crate::gather::{GatherError, Gathered, Gathering};
use crate::liveness::Liveness;
use crate::presence::{self, Presence};
use crate::time::Instant;

/// How soon a link must be up after it was opened.
pub const HELLO_WITHIN: Duration = Duration::from_secs(10);

/// A node that checks its links this much too late was asleep with its machine, and must not blame
/// other members for their silence.
const AWAY: Duration = Duration::from_millis(100);

/// How many links to one member may be open at once without being up.
const MOST_OPENING: usize = 8;

/// Identifies a connection between two members while the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// The member at the other end, according to its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// Its public key.
    pub id: PeerId,
    /// Its name for people.
    pub name: Option<MemberName>,
    /// Whether it is the group's tracker.
    pub tracker: bool,
}

/// What this node announces of itself on every link.
#[derive(Clone, Debug)]
pub struct Me {
    /// The public key of this node.
    pub id: PeerId,
    /// A random number drawn at each start.
    pub epoch: u64,
    /// The port on which it accepts links, if it does.
    pub port: Option<u16>,
    /// Other addresses where it may be reached.
    pub claimed: Vec<SocketAddr>,
    /// Whether it is a visitor.
    pub visitor: bool,
    /// Whether it serves its share to ordinary BitTorrent clients.
    pub bittorrent: bool,
    /// How many of the claimed addresses, from the first on, its user has named.
    pub advertised: u8,
}

/// One connection to a member.
#[derive(Debug)]
pub struct Link {
    /// The member at the other end.
    pub member: Party,
    /// Whether this node dialled.
    pub dialled: bool,
    /// The address from which the member is connected.
    pub remote: IpAddr,
    /// The member's hello; the link is up once it has arrived.
    pub hello: Option<Hello>,
    /// Whether this node offered to be a neighbour.
    pub willing: bool,
    /// The signs of life of both ends.
    pub liveness: Liveness,
    /// The number of the newest group record that the other end is known to have.
    pub record: u64,
    /// Whether the other end was told that its record omits a removed member.
    pub objected: bool,
    /// The smoothed time until an answer.
    pub rtt: Option<Duration>,
    /// The update that is arriving.
    gathering: Gathering,
    /// The size of the queued work of this link, in bytes.
    queued: u64,
    /// The allowance for further changes of the other end's addresses.
    moves: Allowance,
    opened: Instant,
    next_request: u32,
    /// The position of this link in [`Table::watch`].
    watched: Instant,
}

/// What has become due on the links.
#[derive(Debug, Default)]
pub struct Due {
    /// Links to close, each with the reason: silent for too long, or without a hello.
    pub lost: Vec<(LinkId, Closing)>,
    /// Links on which to give a sign of life now.
    pub silent: Vec<LinkId>,
}

/// The result of a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeted {
    /// The link is up.
    Up {
        /// The older link to the same member, which this one replaces and which must be closed.
        replaces: Option<LinkId>,
    },
    /// The member has other addresses from now on.
    Readdressed,
    /// The hello says nothing new.
    Again,
    /// The member changes its addresses too often: close this link.
    Restless,
    /// There is a better link to this member: close this link.
    Redundant,
    /// There is no protocol version that both ends speak: close this link.
    NoCommonVersion,
    /// A second hello contradicts the first: close this link.
    Twice,
}

/// All links of a node.
#[derive(Debug)]
pub struct Table {
    me: Me,
    all: BTreeMap<LinkId, Link>,
    /// The size of arriving updates and of queued work, in bytes.
    waiting: SharedBound<LinkId>,
    /// The link in use for each member that has one up.
    up: BTreeMap<PeerId, LinkId>,
    /// The number of links to each member that are open and not up yet.
    opening: BTreeMap<PeerId, usize>,
    /// When to check each link next: never later than its deadline. Traffic in either direction
    /// only postpones deadlines, so it need not touch this set, and ten thousand busy links cost
    /// nothing.
    watch: BTreeSet<(Instant, LinkId)>,
}

impl Table {
    /// Creates a table without links. Arriving updates and queued work on all links may take
    /// `waiting` bytes, and one frame each.
    pub fn new(me: Me, waiting: u64) -> Self {
        Self {
            me,
            all: BTreeMap::new(),
            waiting: SharedBound::new(waiting),
            up: BTreeMap::new(),
            opening: BTreeMap::new(),
            watch: BTreeSet::new(),
        }
    }

    /// Returns what this node announces of itself.
    pub fn me(&self) -> &Me {
        &self.me
    }

    /// Sets the additional addresses of this node. Returns whether they are new.
    pub fn readdress(&mut self, claimed: Vec<SocketAddr>, advertised: u8) -> bool {
        let is_news = self.me.claimed != claimed || self.me.advertised != advertised;
        self.me.claimed = claimed;
        self.me.advertised = advertised;
        is_news
    }

    /// Returns the hello with the new addresses, for a link on which an earlier one was sent.
    pub fn hello_again(&self, id: LinkId) -> Option<Hello> {
        let link = self.all.get(&id)?;
        Some(self.hello(link, None, None))
    }

    /// Whether a member has so many open links that are not up that it may open no more for the
    /// moment.
    pub fn is_crowding(&self, member: PeerId) -> bool {
        self.opening
            .get(&member)
            .is_some_and(|links| *links >= MOST_OPENING)
    }

    /// Adds an open connection. Returns the hello to send first on it.
    pub fn opened(&mut self, now: Instant, id: LinkId, opening: Opening) -> Hello {
        let Opening {
            member,
            dialled,
            remote,
            willing,
            interval,
            applied,
            record,
        } = opening;
        let link = Link {
            member,
            dialled,
            remote: remote.to_canonical(),
            hello: None,
            willing,
            liveness: Liveness::new(now, interval, interval),
            record: 0,
            objected: false,
            rtt: None,
            gathering: Gathering::default(),
            queued: 0,
            moves: Allowance::new(now),
            opened: now,
            next_request: 0,
            watched: now,
        };
        let hello = self.hello(&link, applied, record);
        *self.opening.entry(link.member.id).or_default() += 1;
        self.all.insert(id, link);
        self.watch(now, id);
        hello
    }

    fn hello(&self, link: &Link, applied: Option<Position>, record: Option<u64>) -> Hello {
        Hello {
            oldest: VERSION,
            newest: VERSION,
            port: self.me.port,
            claimed: self.me.claimed.clone(),
            epoch: self.me.epoch,
            applied,
            neighbour: link.willing,
            visitor: self.me.visitor,
            interval: millis(link.liveness.ours()),
            record,
            bittorrent: self.me.bittorrent,
            advertised: self.me.advertised,
        }
    }

    /// Removes from an answer the addresses that are not worth dialling, of every member that it
    /// names.
    pub fn believe(&self, id: LinkId, found: &mut Found) {
        let Some(link) = self.all.get(&id) else {
            return;
        };
        let variants = found.variants.iter_mut();
        let holders = variants.flat_map(|variant| &mut variant.holders);
        let members = found.members.iter_mut().map(|row| &mut row.member);
        for holder in holders.chain(members).chain(&mut found.unlisted) {
            holder.addresses = presence::believed(link.remote, &self.me.claimed, &holder.addresses);
        }
    }

    /// Handles a hello.
    pub fn greeted(&mut self, now: Instant, id: LinkId, mut hello: Hello) -> Greeted {
        let me = self.me.id;
        let Some(link) = self.all.get(&id) else {
            return Greeted::Redundant;
        };
        let believed = |named| presence::believed(link.remote, &self.me.claimed, named);
        let named = usize::from(hello.advertised).min(hello.claimed.len());
        let advertised = believed(&hello.claimed[..named]).len();
        hello.claimed = believed(&hello.claimed);
        hello.advertised = u8::try_from(advertised).unwrap_or(0);
        if link.hello.is_some() {
            return self.greeted_again(now, id, hello);
        }
        if hello.common_version().is_none() {
            return Greeted::NoCommonVersion;
        }
        let them = link.member.id;
        let replaces = self.up.get(&them).copied();
        if let Some(other) = replaces.and_then(|other| self.all.get(&other)) {
            let restarted = other
                .hello
                .as_ref()
                .is_none_or(|old| old.epoch != hello.epoch);
            // A node does not dial a member that it has a link with, so two links that open at
            // about the same time were dialled at the same time. If one opens later, its dialler
            // has lost the earlier one.
            let at_once = link.opened - other.opened < HELLO_WITHIN;
            let crossed = at_once && !restarted && other.dialled != link.dialled;
            // Both ends keep the link that the member with the lower id dialled.
            let ours_is_right = me < them;
            if crossed && link.dialled != ours_is_right {
                return Greeted::Redundant;
            }
        }
        self.up.insert(them, id);
        self.no_longer_opening(them);
        if let Some(link) = self.all.get_mut(&id) {
            link.liveness.heard(now);
            link.liveness
                .expect(Duration::from_millis(hello.interval.into()));
            link.hello = Some(hello);
        }
        self.watch(now, id);
        Greeted::Up { replaces }
    }

    fn greeted_again(&mut self, now: Instant, id: LinkId, hello: Hello) -> Greeted {
        let Some(link) = self.all.get_mut(&id) else {
            return Greeted::Redundant;
        };
        let Some(first) = link
            .hello
            .as_mut()
            .filter(|first| first.epoch == hello.epoch)
        else {
            return Greeted::Twice;
        };
        if (first.port, &first.claimed) == (hello.port, &hello.claimed) {
            return Greeted::Again;
        }
        if link.moves.is_spent(now) {
            return Greeted::Restless;
        }
        link.moves.charge(Work::MOVE);
        // Everything but the addresses was agreed in the first hello.
        first.port = hello.port;
        first.claimed = hello.claimed;
        first.advertised = hello.advertised;
        Greeted::Readdressed
    }

    /// Removes a connection. Returns it, and whether it was the one in use for its member.
    pub fn closed(&mut self, id: LinkId) -> Option<(Link, bool)> {
        let link = self.all.remove(&id)?;
        self.waiting.give_back(id);
        self.watch.remove(&(link.watched, id));
        if link.hello.is_none() {
            self.no_longer_opening(link.member.id);
        }
        let in_use = self.up.get(&link.member.id) == Some(&id);
        if in_use {
            self.up.remove(&link.member.id);
        }
        Some((link, in_use))
    }

    /// Returns a link, up or not.
    pub fn get(&self, id: LinkId) -> Option<&Link> {
        self.all.get(&id)
    }

    /// Returns a link, to change what is known of it.
    pub fn get_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.all.get_mut(&id)
    }

    /// Returns the link in use for a member.
    pub fn to(&self, member: PeerId) -> Option<(LinkId, &Link)> {
        let id = *self.up.get(&member)?;
        Some((id, self.all.get(&id)?))
    }

    /// Returns all links that are up, in the order of their members' ids.
    #[cfg(any(test, feature = "testing"))]
    pub fn up(&self) -> impl Iterator<Item = (LinkId, &Link)> {
        self.up
            .values()
            .filter_map(|id| Some((*id, self.all.get(id)?)))
    }

    /// Returns every link, up or not.
    pub fn all(&self) -> impl Iterator<Item = (LinkId, &Link)> {
        self.all.iter().map(|(id, link)| (*id, link))
    }

    /// Whether a connection to this member is open on which it has not sent its hello yet.
    pub fn is_opening(&self, member: PeerId) -> bool {
        self.opening.contains_key(&member)
    }

    fn no_longer_opening(&mut self, member: PeerId) {
        if let Some(links) = self.opening.get_mut(&member) {
            *links -= 1;
            if *links == 0 {
                self.opening.remove(&member);
            }
        }
    }

    /// Adds a frame to the update that is arriving. Returns the whole update after its last frame,
    /// and the links for which there is no room any more: their arriving updates were dropped, and
    /// the caller must drop their queued work.
    pub fn gather(
        &mut self,
        id: LinkId,
        account: Account,
        frame: Update,
        bounds: Bounds,
    ) -> (Result<Option<Gathered>, GatherError>, Vec<LinkId>) {
        let Some(link) = self.all.get_mut(&id) else {
            return (Ok(None), Vec::new());
        };
        let gathered = link.gathering.push(frame, bounds);
        (gathered, self.on_waiting(id, account))
    }

    /// Drops the update that is arriving on a link; its other frames are not gathered either.
    pub fn drop_gathering(&mut self, id: LinkId, account: Account) {
        if let Some(link) = self.all.get_mut(&id).filter(|link| link.is_gathering()) {
            link.gathering = Gathering::default();
            // There is always room for less.
            self.on_waiting(id, account);
        }
    }

    /// Counts more queued work of a link. Returns the links for which there is no room any more,
    /// as [`gather`](Self::gather) does.
    pub fn queue(&mut self, id: LinkId, account: Account, bytes: u64) -> Vec<LinkId> {
        if let Some(link) = self.all.get_mut(&id) {
            link.queued = link.queued.saturating_add(bytes);
        }
        self.on_waiting(id, account)
    }

    /// Counts less queued work of a link.
    pub fn unqueue(&mut self, id: LinkId, account: Account, bytes: u64) {
        if let Some(link) = self.all.get_mut(&id) {
            link.queued = link.queued.saturating_sub(bytes);
        }
        // There is always room for less.
        self.on_waiting(id, account);
    }

    /// Updates the room that an arriving update and queued work of a link take.
    fn on_waiting(&mut self, id: LinkId, account: Account) -> Vec<LinkId> {
        let Some(link) = self.all.get(&id) else {
            return Vec::new();
        };
        let amount = link.gathering.cost().saturating_add(link.queued);
        let crowded = self.waiting.ask(id, account, amount);
        let crowded = crowded.unwrap_or_else(|Full| {
            self.waiting.give_back(id);
            vec![id]
        });
        for link in &crowded {
            if let Some(link) = self.all.get_mut(link) {
                link.gathering.throw_away();
                link.queued = 0;
            }
        }
        crowded
    }

    /// Records that bytes have arrived.
    pub fn heard(&mut self, now: Instant, id: LinkId) {
        if let Some(link) = self.all.get_mut(&id) {
            link.liveness.heard(now);
        }
    }

    /// Records that bytes were sent.
    pub fn said(&mut self, now: Instant, id: LinkId) {
        if let Some(link) = self.all.get_mut(&id) {
            link.liveness.said(now);
        }
    }

    /// Sets the interval that both ends promise from now on.
    pub fn agree(&mut self, now: Instant, id: LinkId, interval: Duration) {
        if let Some(link) = self.all.get_mut(&id) {
            link.liveness.promise(interval);
            link.liveness.expect(interval);
        }
        self.watch(now, id);
    }

    /// Returns an unused request number for this link.
    pub fn next_request(&mut self, id: LinkId) -> RequestId {
        let Some(link) = self.all.get_mut(&id) else {
            return RequestId(0);
        };
        link.next_request = link.next_request.wrapping_add(1);
        RequestId(link.next_request)
    }

    /// Returns what is due. Each lost link and each silent one is reported only once.
    pub fn due(&mut self, now: Instant) -> Due {
        self.excuse_if_away(now);
        let mut due = Due::default();
        while let Some(&(at, id)) = self.watch.first() {
            if at > now {
                break;
            }
            self.watch.pop_first();
            let Some(link) = self.all.get_mut(&id) else {
                continue;
            };
            if link.lost_at() <= now {
                due.lost.push((id, link.loss(now)));
                continue;
            }
            if link.speak_at().is_some_and(|at| at <= now) {
                link.liveness.said(now);
                due.silent.push(id);
            }
            self.watch(now, id);
        }
        due
    }

    /// Returns when to call [`due`](Self::due) next.
    pub fn next_deadline(&self) -> Option<Instant> {
        Some(self.watch.first()?.0)
    }

    /// Schedules the next check of a link, no earlier than `now`: if an agreement moved its
    /// deadline into the past, the other end has not missed it.
    fn watch(&mut self, now: Instant, id: LinkId) {
        if let Some(link) = self.all.get_mut(&id) {
            self.watch.remove(&(link.watched, id));
            let deadline = link.speak_at().unwrap_or(link.lost_at());
            link.watched = deadline.min(link.lost_at()).max(now);
            self.watch.insert((link.watched, id));
        }
    }

    fn excuse_if_away(&mut self, now: Instant) {
        let Some(due) = self.next_deadline() else {
            return;
        };
        let away = now - due;
        if away > AWAY {
            for link in self.all.values_mut() {
                link.opened = (link.opened + away).min(now);
                link.liveness.excuse(now, away);
            }
        }
    }
}

/// What is known of a connection when it opens.
#[derive(Debug)]
pub struct Opening {
    /// The member at the other end.
    pub member: Party,
    /// Whether this node dialled.
    pub dialled: bool,
    /// The address from which the member is connected.
    pub remote: IpAddr,
    /// Whether this node offers to be neighbours.
    pub willing: bool,
    /// The interval that this node promises on it.
    pub interval: Duration,
    /// The state of the member's listing that this node has.
    pub applied: Option<Position>,
    /// The number of this node's group record.
    pub record: Option<u64>,
}

impl Link {
    /// Returns the member's addresses, the best one first; none if it does not listen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.hello.as_ref().map_or_else(Vec::new, |hello| {
            let advertised = usize::from(hello.advertised);
            presence::addresses(self.remote, hello.port, &hello.claimed, advertised)
        })
    }

    /// Returns the member as a holder of files.
    pub fn holder(&self) -> Holder {
        presence::holder(self.member.id, self.member.name.clone(), self.addresses())
    }

    /// Returns the member's presence, once the link is up.
    pub fn presence(&self, position: Option<u64>, is_listed: bool) -> Option<Presence> {
        let hello = self.hello.as_ref()?;
        Some(Presence {
            id: self.member.id,
            name: self.member.name.clone(),
            seen_at: self.remote,
            addresses: self.addresses(),
            position,
            is_listed,
            bittorrent: hello.bittorrent,
        })
    }

    /// Whether both ends agreed to be neighbours.
    pub fn is_neighbour(&self) -> bool {
        self.willing
            && self
                .hello
                .as_ref()
                .is_some_and(|hello| hello.neighbour && !hello.visitor)
    }

    /// Whether the member is a visitor.
    pub fn is_visitor(&self) -> bool {
        self.hello.as_ref().is_some_and(|hello| hello.visitor)
    }

    /// Whether a part of an update has arrived on it, and not yet all.
    pub fn is_gathering(&self) -> bool {
        self.gathering.has_begun()
    }

    /// Records how long an answer took.
    pub fn answered_in(&mut self, took: Duration) {
        self.rtt = Some(match self.rtt {
            Some(smoothed) => (smoothed * 7 + took) / 8,
            None => took,
        });
    }

    /// Returns when the link is given up if nothing arrives on it before.
    pub fn lost_at(&self) -> Instant {
        match self.hello {
            Some(_) => self.liveness.lost_at(),
            None => self.opened + HELLO_WITHIN,
        }
    }

    fn speak_at(&self) -> Option<Instant> {
        self.hello.as_ref()?;
        Some(self.liveness.speak_at())
    }

    fn loss(&self, now: Instant) -> Closing {
        match self.hello {
            Some(_) => Closing::Silence(now - self.liveness.last_heard()),
            None => "no hello".into(),
        }
    }
}

/// Returns an interval as frames carry it, in milliseconds.
pub(crate) fn millis(interval: Duration) -> u32 {
    u32::try_from(interval.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
impl Link {
    /// Whether the queued work of this link is small.
    pub(crate) fn is_modest(&self) -> bool {
        self.queued < 16 * 1024
    }
}

#[cfg(any(test, feature = "testing"))]
impl Table {
    /// Asserts that queued work is counted correctly. For tests: it walks over all links.
    pub(crate) fn check(&self) {
        self.waiting.check();
        for (id, link) in &self.all {
            let amount = link.gathering.cost() + link.queued;
            assert_eq!(self.waiting.amount(*id), amount);
        }
    }
}

#[cfg(test)]
mod tests;

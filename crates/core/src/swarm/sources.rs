//! Which holders to dial, what each has given, and when none is left.
//!
//! Owns the sources that may have the file, whether there is a connection to each, how often
//! dialling failed, and how many bytes each has given. Does not know what a connection is used
//! for; it is told whether there is still hope.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use thorp_wire::PeerId;
use thorp_wire::frame::Holder;

use crate::time::Instant;

use super::io::{Contact, NamedSource, SessionId, SourceId, SwarmLimits};

/// The most sources that are remembered.
const KNOWN: usize = 1024;
/// A client that has failed so often in a row gives way to another source if there are too many.
const HOPELESS: u32 = 2;
/// Of how many machines it is remembered that their clients sent wrong data.
const LYING_CLIENTS: usize = 1024;
/// A holder that could not be reached is dialled again after this long; the wait doubles with each
/// failure, up to the longest. Of clients there are many, and most of those that trackers name have
/// gone.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const LONGEST_CLIENT_WAIT: Duration = Duration::from_mins(10);
/// When to look for more holders first; the interval doubles each time, up to the longest. The
/// first is short because peers that fetch the file at the same time soon have pieces for one
/// another, and the tracker soon lists them.
const FIRST_WIDEN: Duration = Duration::from_millis(125);
/// How long a source that broke the protocol, or was of little use, is not dialled.
const LEFT_ALONE: Duration = Duration::from_mins(5);
/// How long a fetch may be without hope before it is reported as stuck.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The sources of the file.
#[derive(Debug)]
pub struct Sources {
    me: PeerId,
    known: BTreeMap<SourceId, Known>,
    contact: Contact,
    /// Machines of clients that sent wrong data.
    lying_clients: BTreeSet<IpAddr>,
    /// The bytes on disk that came from each source, including sources that are not known any more,
    /// and those of verified pieces among them.
    kept: BTreeMap<SourceId, u64>,
    given: BTreeMap<SourceId, u64>,
    widen_at: Instant,
    widen_gap: Duration,
    hopeless_since: Option<Instant>,
    stuck: bool,
    last_failure: Option<String>,
}

#[derive(Debug)]
struct Known {
    /// How to reach the source, if that is known.
    named: Option<NamedSource>,
    state: State,
    /// How many attempts in a row failed.
    failures: u32,
    not_before: Instant,
    /// Whether it had no free place when it was last dialled.
    busy: bool,
    lied: bool,
    /// A random number that decides between equals.
    lot: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Dialling,
    Connected {
        dialled: bool,
    },
    /// There is another session with this client: it is not dialled while that lasts, or until
    /// then.
    Twin {
        session: SessionId,
        until: Instant,
    },
    /// It is this peer.
    Itself,
}

/// What a connection was worth while it lasted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Was {
    /// Bytes of the file came over it.
    Useful,
    /// No bytes came.
    Fruitless,
    /// The other end misbehaved: it is not dialled for a while.
    Bad,
}

impl Sources {
    /// Creates an empty set of sources.
    pub fn new(now: Instant, me: PeerId) -> Self {
        Self {
            me,
            known: BTreeMap::new(),
            contact: Contact::None,
            lying_clients: BTreeSet::new(),
            kept: BTreeMap::new(),
            given: BTreeMap::new(),
            widen_at: now + FIRST_WIDEN,
            widen_gap: FIRST_WIDEN,
            hopeless_since: None,
            stuck: false,
            last_failure: None,
        }
    }

    /// Adds members that may have the file.
    pub fn add(&mut self, now: Instant, holders: Vec<Holder>, rng: &mut fastrand::Rng) {
        for holder in holders {
            if holder.id != self.me {
                for address in &holder.addresses {
                    self.forget_idle_client(*address);
                }
                self.add_source(now, NamedSource::Member(holder), rng);
            }
        }
    }

    /// Adds clients that may have the file. Members are in swarms, too, and are asked as members.
    pub fn add_clients(&mut self, now: Instant, of: Vec<SocketAddr>, rng: &mut fastrand::Rng) {
        let members = self.addresses_of_members();
        for address in of {
            if !members.contains(&address) {
                self.add_source(now, NamedSource::Client(address), rng);
            }
        }
    }

    fn forget_idle_client(&mut self, address: SocketAddr) {
        let id = SourceId::Client(address);
        if self
            .known
            .get(&id)
            .is_some_and(|known| known.state == State::Idle)
        {
            self.known.remove(&id);
        }
    }

    fn add_source(&mut self, now: Instant, source: NamedSource, rng: &mut fastrand::Rng) {
        let id = source.id();
        // Strangers may announce any number of clients: they leave room for members.
        let most = match source {
            NamedSource::Member(_) => KNOWN,
            NamedSource::Client(_) => KNOWN / 2,
        };
        if let Some(known) = self.known.get_mut(&id) {
            known.named = Some(source);
        } else if self.known.len() < most || self.forget_a_hopeless_client() {
            let known = Known {
                named: Some(source),
                ..Known::unknown(now, rng.u32(..))
            };
            self.known.insert(id, known);
        }
    }

    /// Whether this source may be dialled, now or later. Clients that cannot be reached are
    /// forgotten when others need their places.
    pub fn knows(&self, id: SourceId) -> bool {
        let known = self.known.get(&id);
        known.is_some_and(|known| known.named.is_some())
    }

    /// Forgets a client that was dialled and is not to be.
    pub fn forget_dialled(&mut self, client: SourceId) {
        self.known.remove(&client);
    }

    /// Whether the client at this address is a member that may have the file.
    pub fn is_a_member(&self, client: SourceId) -> bool {
        let at = client.client();
        at.is_some_and(|at| self.addresses_of_members().contains(&at))
    }

    fn addresses_of_members(&self) -> BTreeSet<SocketAddr> {
        let named = self.known.values().filter_map(|known| known.named.as_ref());
        let addresses = named.filter_map(|named| match named {
            NamedSource::Member(holder) => Some(&holder.addresses),
            NamedSource::Client(_) => None,
        });
        addresses.flatten().copied().collect()
    }

    /// Forgets the client that has failed most often or lied, so that another source has its place.
    /// Returns whether there was such a client.
    fn forget_a_hopeless_client(&mut self) -> bool {
        let clients = self.known.iter().filter(|(id, _)| id.member().is_none());
        let hopeless = clients.filter(|(_, known)| known.is_hopeless());
        let worst = hopeless.max_by_key(|(_, known)| (known.lied, known.failures));
        let worst = worst.map(|(id, _)| *id);
        worst.is_some_and(|worst| self.known.remove(&worst).is_some())
    }

    /// Returns which sources to dial now: those with the fewest failures first and, of equal ones,
    /// members before clients, and members with the whole file first.
    pub fn dial(&mut self, now: Instant, limits: &SwarmLimits) -> Vec<NamedSource> {
        let state = |state: State| {
            self.known
                .values()
                .filter(move |s| s.state == state)
                .count()
        };
        let ours = state(State::Dialling) + state(State::Connected { dialled: true });
        // Clients that have come themselves have places of their own.
        let theirs = self.known.iter().filter(|(id, source)| {
            id.member().is_some() && source.state == State::Connected { dialled: false }
        });
        let theirs = theirs.count();
        let room = limits
            .dialled
            .saturating_sub(ours)
            .min(limits.sessions.saturating_sub(ours + theirs));
        let mut candidates: Vec<_> = self.known.iter_mut().collect();
        candidates.retain(|(_, source)| source.is_candidate(now));
        candidates.sort_by_key(|(_, source)| {
            let worth = match &source.named {
                Some(NamedSource::Member(holder)) => u8::from(holder.partial),
                Some(NamedSource::Client(_)) | None => 2,
            };
            (source.failures, worth, source.lot)
        });
        let chosen = candidates.into_iter().take(room);
        chosen
            .filter_map(|(_, source)| {
                source.state = State::Dialling;
                source.named.clone()
            })
            .collect()
    }

    /// Whether there is a holder to dial that has not failed.
    pub fn has_fresh(&self, now: Instant) -> bool {
        let mut sources = self.known.values();
        sources.any(|source| source.failures == 0 && source.is_candidate(now))
    }

    /// Returns how many sources there is no connection to, of which no attempt has failed.
    pub fn untried(&self) -> usize {
        let is_untried = |source: &&Known| {
            let is_away = matches!(source.state, State::Idle | State::Dialling);
            is_away && source.failures == 0 && source.named.is_some() && !source.lied
        };
        self.known.values().filter(is_untried).count()
    }

    /// A dialled holder could not be reached.
    pub fn dial_failed(&mut self, now: Instant, id: SourceId, reason: &str) {
        if let Some(source) = self.known.get_mut(&id)
            && source.state == State::Dialling
        {
            source.state = State::Idle;
            source.failed(now, longest_wait(id));
            source.busy = false;
            self.failed(id, reason);
        }
    }

    /// A dialled holder was reached but has no free place. It is dialled again, and counts as hope
    /// while it answers so.
    pub fn on_busy(&mut self, now: Instant, id: SourceId) {
        self.on_reached();
        if let Some(source) = self.known.get_mut(&id)
            && source.state == State::Dialling
        {
            source.state = State::Idle;
            source.failed(now, longest_wait(id));
            source.busy = true;
            self.failed(id, "it has no place for one more now");
        }
    }

    /// Returns how many holders had no free place when last dialled.
    pub fn busy(&self) -> u32 {
        let busy = self.known.values().filter(|source| source.busy);
        u32::try_from(busy.count()).unwrap_or(u32::MAX)
    }

    /// A holder has answered a dial.
    pub fn on_reached(&mut self) {
        self.contact = Contact::Reached.max(self.contact);
    }

    /// There is a session with a holder, whatever becomes of it.
    pub fn on_session(&mut self) {
        self.contact = Contact::Session;
    }

    /// Returns how close to a session this peer got with any holder.
    pub fn contact(&self) -> Contact {
        self.contact
    }

    /// Counts bytes from a peer that are on disk.
    pub fn on_kept(&mut self, id: SourceId, bytes: u32) {
        if !self.is_liar(id) {
            *self.kept.entry(id).or_default() += u64::from(bytes);
        }
    }

    /// Counts bytes of a verified piece that came from a peer.
    pub fn on_given(&mut self, id: SourceId, bytes: u32) {
        if !self.is_liar(id) {
            *self.given.entry(id).or_default() += u64::from(bytes);
        }
    }

    /// Returns the peers from which verified bytes came and how many, the largest first.
    pub fn givers(&self) -> Vec<(SourceId, u64)> {
        largest_first(&self.given)
    }

    /// Returns the peers from which bytes came that are on disk, verified or not, and how many, the
    /// largest first.
    pub fn senders(&self) -> Vec<(SourceId, u64)> {
        largest_first(&self.kept)
    }

    /// A connection to the source was opened.
    pub fn connected(&mut self, now: Instant, id: SourceId, dialled: bool) {
        let source = self.known.entry(id);
        let source = source.or_insert_with(|| Known::unknown(now, 0));
        source.state = State::Connected { dialled };
        source.busy = false;
    }

    /// The connection to the source was closed.
    pub fn disconnected(&mut self, now: Instant, id: SourceId, was: Was, reason: &str) {
        let Some(source) = self.known.get_mut(&id) else {
            return;
        };
        source.state = State::Idle;
        match was {
            Was::Useful => {
                source.failures = 0;
                source.not_before = now + FIRST_WAIT;
            }
            Was::Fruitless => source.failed(now, longest_wait(id)),
            Was::Bad => {
                source.failures += 1;
                source.not_before = now + LEFT_ALONE;
            }
        }
        let is_to_be_known = source.lied && id.member().is_some();
        if source.named.is_none() && !is_to_be_known {
            self.known.remove(&id);
        }
        self.failed(id, reason);
    }

    /// There is a session with this client, from or to another address. Who is the same is what
    /// clients say of themselves, so it is dialled again after a while, though that session lasts.
    pub fn set_aside(&mut self, now: Instant, id: SourceId, session: SessionId) {
        if let Some(source) = self.known.get_mut(&id)
            && matches!(source.state, State::Idle | State::Dialling)
        {
            let until = now + LONGEST_CLIENT_WAIT;
            source.state = State::Twin { session, until };
        }
    }

    /// A session with a client is over: its other addresses may be dialled.
    pub fn parted(&mut self, now: Instant, session: SessionId) {
        for source in self.known.values_mut() {
            if matches!(source.state, State::Twin { session: of, .. } if of == session) {
                source.state = State::Idle;
                source.not_before = source.not_before.max(now + FIRST_WAIT);
            }
        }
    }

    /// A dialled source is this peer itself.
    pub fn on_itself(&mut self, id: SourceId) {
        if let Some(source) = self.known.get_mut(&id) {
            source.state = State::Itself;
        }
    }

    /// Excludes a source that sent wrong data, and discounts what it gave. A client is excluded by
    /// its machine, since its next connection comes from another port.
    pub fn lied(&mut self, now: Instant, id: SourceId) {
        self.kept.remove(&id);
        self.given.remove(&id);
        if let SourceId::Client(address) = id {
            if self.lying_clients.len() >= LYING_CLIENTS {
                self.lying_clients.pop_first();
            }
            self.lying_clients.insert(place_of(address));
            if !self.known.contains_key(&id) {
                return;
            }
        }
        let known = self.known.entry(id);
        known.or_insert_with(|| Known::unknown(now, 0)).lied = true;
    }

    /// Whether the source sent wrong data.
    pub fn is_liar(&self, id: SourceId) -> bool {
        let lied = self.known.get(&id).is_some_and(|known| known.lied);
        match id {
            SourceId::Member(_) => lied,
            SourceId::Client(address) => lied || self.lying_clients.contains(&place_of(address)),
        }
    }

    /// Returns a member as it was named; one that has connected by itself may never have been.
    /// `None` for a client.
    pub fn holder(&self, id: SourceId) -> Option<Holder> {
        let member = id.member()?;
        let named = self.known.get(&id).and_then(|known| known.named.clone());
        if let Some(NamedSource::Member(holder)) = named {
            return Some(holder);
        }
        Some(Holder::bare(member))
    }

    /// Members that may be connected to, and are not.
    pub fn without_session(&self) -> Vec<Holder> {
        let is_away =
            |known: &&Known| !known.lied && !matches!(known.state, State::Connected { .. });
        let away = self.known.values().filter(is_away);
        away.filter_map(|known| match &known.named {
            Some(NamedSource::Member(holder)) => Some(holder.clone()),
            Some(NamedSource::Client(_)) | None => None,
        })
        .collect()
    }

    /// Returns how many attempts with the source failed in a row.
    pub fn failures(&self, id: SourceId) -> u32 {
        self.known.get(&id).map_or(0, |source| source.failures)
    }

    /// Whether it is time to look for more holders. If so, schedules the next time.
    pub fn widens(&mut self, now: Instant) -> bool {
        if now < self.widen_at {
            return false;
        }
        self.widen_gap = (self.widen_gap * 2).min(LONGEST_WAIT);
        self.widen_at = now + self.widen_gap;
        true
    }

    /// Returns when to call [`widens`](Self::widens) next.
    pub fn widen_at(&self) -> Instant {
        self.widen_at
    }

    /// Returns why the fetch is stuck, for the user, once there has been no hope for `patience`.
    /// To be called regularly with whether any connection may bring missing data.
    pub fn why_stuck(&mut self, now: Instant, hope: bool, patience: Duration) -> Option<String> {
        let dialling = |source: &Known| source.state == State::Dialling && source.failures == 0;
        let waits = |source: &Known| source.busy && !source.lied;
        if hope
            || self
                .known
                .values()
                .any(|source| dialling(source) || waits(source))
        {
            self.hopeless_since = None;
            self.stuck = false;
            return None;
        }
        let since = *self.hopeless_since.get_or_insert(now);
        if self.stuck || now - since < patience {
            return None;
        }
        self.stuck = true;
        let nobody = || "no peer that is online has the missing part".into();
        Some(self.last_failure.clone().unwrap_or_else(nobody))
    }

    /// Whether that was so when it was called last.
    pub fn is_stuck(&self) -> bool {
        self.stuck
    }

    fn failed(&mut self, id: SourceId, reason: &str) {
        let name = self.holder(id).and_then(|holder| holder.name);
        let name = match (name, id) {
            (Some(name), _) => name.to_string(),
            (None, SourceId::Member(id)) => id.short(),
            (None, SourceId::Client(address)) => address.to_string(),
        };
        self.last_failure = Some(format!("{name}: {reason}"));
    }
}

fn largest_first(of: &BTreeMap<SourceId, u64>) -> Vec<(SourceId, u64)> {
    let mut sorted: Vec<_> = of.iter().map(|(id, bytes)| (*id, *bytes)).collect();
    sorted.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    sorted
}

impl Known {
    fn unknown(now: Instant, lot: u32) -> Self {
        Self {
            named: None,
            state: State::Idle,
            failures: 0,
            not_before: now,
            busy: false,
            lied: false,
            lot,
        }
    }

    fn is_candidate(&self, now: Instant) -> bool {
        let is_free = match self.state {
            State::Idle => true,
            State::Twin { until, .. } => now >= until,
            State::Dialling | State::Connected { .. } | State::Itself => false,
        };
        self.named.is_some() && is_free && !self.lied && now >= self.not_before
    }

    /// Whether others are more likely to have something.
    fn is_hopeless(&self) -> bool {
        let fails = self.failures >= HOPELESS && !self.busy;
        match self.state {
            State::Idle => self.lied || fails,
            State::Twin { .. } | State::Itself => true,
            State::Dialling | State::Connected { .. } => false,
        }
    }

    fn failed(&mut self, now: Instant, longest: Duration) {
        let wait = FIRST_WAIT * 2u32.saturating_pow(self.failures.min(10));
        self.failures += 1;
        self.not_before = now + wait.min(longest);
    }
}

fn longest_wait(id: SourceId) -> Duration {
    match id {
        SourceId::Member(_) => LONGEST_WAIT,
        SourceId::Client(_) => LONGEST_CLIENT_WAIT,
    }
}

/// The machine of a client: of an IPv6 address its network, of which a machine has all addresses.
pub fn place_of(client: SocketAddr) -> IpAddr {
    match client.ip().to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        ip @ IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::after_start(Duration::from_secs(seconds))
    }

    fn id(number: u8) -> PeerId {
        PeerId::new([number; 32])
    }

    fn source(number: u8) -> SourceId {
        id(number).into()
    }

    fn holder(number: u8, partial: bool) -> Holder {
        Holder {
            id: id(number),
            name: None,
            addresses: Vec::new(),
            partial,
        }
    }

    #[test]
    fn a_holder_without_a_free_place_is_dialled_again_and_counts_as_hope() {
        let mut sources = sources(vec![holder(1, false)]);
        let limits = SwarmLimits::default();
        let mut seconds = 0;
        for wait in [1, 2, 4, 8, 16, 30, 30, 30] {
            assert_eq!(sources.dial(at(seconds), &limits).len(), 1);
            sources.on_busy(at(seconds), source(1));
            assert_eq!(sources.busy(), 1);
            assert_eq!(sources.dial(at(seconds + wait - 1), &limits), []);
            assert_eq!(
                sources.why_stuck(at(seconds + wait - 1), false, PATIENCE),
                None
            );
            seconds += wait;
        }
        // Once the holder is unreachable, that becomes the reason.
        assert_eq!(sources.dial(at(seconds), &limits).len(), 1);
        sources.dial_failed(at(seconds), source(1), "gone");
        assert_eq!(sources.busy(), 0);
        assert_eq!(sources.why_stuck(at(seconds), false, PATIENCE), None);
        let stuck = sources.why_stuck(at(seconds + 10), false, PATIENCE);
        assert!(stuck.is_some_and(|why| why.ends_with("gone")));
    }

    fn sources(holders: Vec<Holder>) -> Sources {
        let mut sources = Sources::new(at(0), id(0));
        sources.add(at(0), holders, &mut fastrand::Rng::with_seed(1));
        sources
    }

    fn dialled(sources: &mut Sources, now: Instant, most: usize) -> Vec<SourceId> {
        let limits = SwarmLimits {
            dialled: most,
            ..SwarmLimits::default()
        };
        let holders = sources.dial(now, &limits);
        holders.iter().map(NamedSource::id).collect()
    }

    #[test]
    fn whole_holders_are_dialled_before_partial_ones_and_none_twice() {
        let mut sources = sources(vec![holder(1, true), holder(2, false), holder(3, true)]);
        assert_eq!(dialled(&mut sources, at(0), 1), [source(2)]);
        assert_eq!(dialled(&mut sources, at(0), 3).len(), 2);
        assert_eq!(dialled(&mut sources, at(0), 9), []);
    }

    #[test]
    fn this_peer_does_not_dial_itself_though_it_is_listed_as_a_holder() {
        let mut sources = sources(vec![holder(0, false)]);
        assert_eq!(dialled(&mut sources, at(0), 9), []);
    }

    #[test]
    fn clients_that_cannot_be_reached_give_way_to_later_ones() {
        let mut sources = sources(Vec::new());
        let mut rng = fastrand::Rng::with_seed(1);
        let client = |at: usize| {
            let port = u16::try_from(at + 1).expect("is small");
            SocketAddr::from(([10, 0, 0, 1], port))
        };
        let all = KNOWN / 2;
        sources.add_clients(at(0), (0..all).map(client).collect(), &mut rng);
        let late = SourceId::Client(client(all));
        let limits = SwarmLimits {
            dialled: all,
            sessions: all,
            ..SwarmLimits::default()
        };
        for now in [0, 10] {
            sources.add_clients(at(now), vec![client(all)], &mut rng);
            assert!(!sources.known.contains_key(&late), "all may still be there");
            for source in sources.dial(at(now), &limits) {
                sources.dial_failed(at(now), source.id(), "refused");
            }
        }
        sources.add_clients(at(20), vec![client(all)], &mut rng);
        assert_eq!(sources.known.len(), all);
        assert_eq!(dialled(&mut sources, at(20), 1), [late]);
    }

    #[test]
    fn a_member_is_not_dialled_as_a_client_too_whichever_is_named_first() {
        let at_its_face = SocketAddr::from(([10, 0, 0, 1], 3334));
        let member = Holder {
            addresses: vec![at_its_face],
            ..holder(1, false)
        };
        let mut rng = fastrand::Rng::with_seed(1);
        for client_first in [false, true] {
            let mut sources = sources(Vec::new());
            if client_first {
                sources.add_clients(at(0), vec![at_its_face], &mut rng);
            }
            sources.add(at(0), vec![member.clone()], &mut rng);
            sources.add_clients(at(0), vec![at_its_face], &mut rng);
            assert_eq!(dialled(&mut sources, at(0), 9), [source(1)]);
            assert!(sources.is_a_member(SourceId::Client(at_its_face)));
        }
    }

    #[test]
    fn a_failed_dial_is_tried_again_at_growing_intervals() {
        let mut sources = sources(vec![holder(1, false)]);
        let mut now = 0;
        for wait in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(dialled(&mut sources, at(now), 9), [source(1)]);
            sources.dial_failed(at(now), source(1), "refused");
            assert_eq!(dialled(&mut sources, at(now + wait - 1), 9), []);
            now += wait;
        }
    }

    #[test]
    fn a_client_that_is_not_there_is_dialled_less_and_less_often_down_to_every_ten_minutes() {
        let (mut sources, client) = one_client();
        let mut now = 0;
        for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600] {
            assert_eq!(dialled(&mut sources, at(now), 9), [client]);
            sources.dial_failed(at(now), client, "refused");
            assert_eq!(dialled(&mut sources, at(now + wait - 1), 9), []);
            now += wait;
        }
        // One that is there, and has something, is not waited for.
        assert_eq!(dialled(&mut sources, at(now), 9), [client]);
        sources.connected(at(now), client, true);
        sources.disconnected(at(now), client, Was::Useful, "it has gone");
        assert_eq!(dialled(&mut sources, at(now + 1), 9), [client]);
    }

    fn one_client() -> (Sources, SourceId) {
        let mut sources = sources(Vec::new());
        let client = SocketAddr::from(([10, 0, 0, 1], 6881));
        let mut rng = fastrand::Rng::with_seed(1);
        sources.add_clients(at(0), vec![client], &mut rng);
        (sources, SourceId::Client(client))
    }

    #[test]
    fn an_address_that_is_this_peer_itself_is_not_dialled_again_though_it_is_named_again() {
        let (mut sources, client) = one_client();
        assert_eq!(dialled(&mut sources, at(0), 9), [client]);
        sources.on_itself(client);
        sources.dial_failed(at(0), client, "it is this peer itself");
        let again = client.client().into_iter().collect();
        sources.add_clients(at(1), again, &mut fastrand::Rng::with_seed(1));
        assert_eq!(dialled(&mut sources, at(100_000), 9), []);
    }

    #[test]
    fn a_liar_is_never_dialled_again() {
        let mut sources = sources(vec![holder(1, false)]);
        sources.connected(at(0), source(1), true);
        sources.lied(at(0), source(1));
        sources.disconnected(at(0), source(1), Was::Bad, "it lied");
        sources.add(
            at(1),
            vec![holder(1, false)],
            &mut fastrand::Rng::with_seed(1),
        );
        assert_eq!(dialled(&mut sources, at(10_000), 9), []);
        assert!(sources.is_liar(source(1)));
    }

    #[test]
    fn a_liar_that_dialled_this_peer_is_remembered() {
        let mut sources = sources(Vec::new());
        sources.connected(at(0), source(1), false);
        sources.lied(at(0), source(1));
        sources.disconnected(at(0), source(1), Was::Bad, "it lied");
        assert!(sources.is_liar(source(1)));
    }

    #[test]
    fn the_bytes_of_each_peer_are_counted_until_it_lies() {
        let mut sources = sources(vec![holder(1, false)]);
        for (number, bytes) in [(1, 5), (2, 6), (1, 2), (3, 1)] {
            sources.on_given(source(number), bytes);
        }
        assert_eq!(
            sources.givers(),
            [(source(1), 7), (source(2), 6), (source(3), 1)]
        );
        sources.lied(at(0), source(1));
        // A piece that was still being hashed when the lie was found.
        sources.on_given(source(1), 9);
        assert_eq!(sources.givers(), [(source(2), 6), (source(3), 1)]);
    }

    #[test]
    fn a_session_counts_more_than_an_answer_whichever_comes_last() {
        let mut sources = sources(Vec::new());
        assert_eq!(sources.contact(), Contact::None);
        sources.on_reached();
        assert_eq!(sources.contact(), Contact::Reached);
        sources.on_session();
        sources.on_reached();
        assert_eq!(sources.contact(), Contact::Session);
    }

    #[test]
    fn after_ten_seconds_without_hope_the_reason_is_told_once() {
        let mut sources = sources(vec![holder(1, false)]);
        assert_eq!(sources.why_stuck(at(0), true, PATIENCE), None);
        dialled(&mut sources, at(0), 9);
        sources.dial_failed(at(1), source(1), "refused");
        assert_eq!(sources.why_stuck(at(1), false, PATIENCE), None);
        let reason = sources
            .why_stuck(at(11), false, PATIENCE)
            .expect("there is no hope");
        assert!(reason.contains("refused"), "{reason}");
        assert_eq!(sources.why_stuck(at(30), false, PATIENCE), None);
        assert_eq!(sources.why_stuck(at(31), true, PATIENCE), None);
        assert_eq!(sources.why_stuck(at(32), false, PATIENCE), None);
        assert!(sources.why_stuck(at(42), false, PATIENCE).is_some());
    }

    #[test]
    fn more_holders_are_looked_for_after_an_eighth_of_a_second_and_then_at_growing_intervals() {
        let mut sources = sources(Vec::new());
        let mut asked = Vec::new();
        while asked.len() < 11 {
            let now = sources.widen_at();
            assert!(sources.widens(now));
            assert!(!sources.widens(now), "once each time");
            asked.push((now - at(0)).as_millis());
        }
        let expected = [
            125, 375, 875, 1875, 3875, 7875, 15_875, 31_875, 61_875, 91_875, 121_875,
        ];
        assert_eq!(asked, expected);
    }
}

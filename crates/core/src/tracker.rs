//! A tracker: a catalogue of all members.
//!
//! It only listens. Everything it knows came with updates, and is forgotten
//! with the links they came on. So it can be restarted at any time.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thorp_wire::PeerId;
use thorp_wire::frame::{Find, Found, Holder, Join, Query, RequestId};

use crate::answer::members;
use crate::catalogue::Catalogue;
use crate::changes::Row;
use crate::links::{self, Event, LinkId, Links, Me, Role, Terms};
use crate::liveness::INTERVALS_TO_LOSS;
use crate::matching::PatternError;
use crate::presence::Presences;
use crate::spared::{Spared, SparedMeter};
use crate::swarms::MemberChange;
use crate::swarms::feed::Feed;
use crate::time::Instant;

pub use crate::links::TRACKER_ROOM as ROOM;

/// How many members are a small group, if there is no reason for another number.
pub const SMALL_GROUP: u32 = 400;

/// The configuration of a tracker.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it says of itself.
    pub me: Me,
    /// The interval it grants to a small group.
    pub interval: Duration,
    /// To this many members it grants that interval; to twice as many twice that, so that
    /// it hears no more signs of life a second than from these.
    pub small_group: u32,
    /// The longest that it grants, however large the group is.
    pub longest_interval: Duration,
    /// Whether it serves ordinary BitTorrent clients: then it tells which members have which
    /// torrents.
    pub bittorrent: bool,
    /// What all listings may take, in bytes; [`ROOM`], if there is no reason for another.
    pub room: u64,
}

/// The inputs of a tracker: what happens on its links, and nothing else.
pub type Input = links::Input;

/// What a tracker wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// What is to be done on links.
    Link(links::Output),
    /// A peer's listing is over the bounds and is not kept.
    Unlisted(Holder),
    /// A member asks for a new certificate. The shell's answer is sent to it
    /// unchanged.
    Renew {
        /// On this link.
        link: LinkId,
        /// With this number.
        request: RequestId,
        /// The member that asks.
        member: PeerId,
        /// What it asks.
        join: Join,
    },
    /// What members have has changed, for the stores of swarms.
    Member(MemberChange),
    /// This row of what is shown of it has changed.
    Changed(Row),
}

/// What it has counted since it started. Shown as it is, in the status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Questions about files that it was asked.
    pub finds: u64,
    /// Lookups that its members tell of, and how many of them it was spared.
    #[serde(default)]
    pub spared: Spared,
}

/// A tracker.
#[derive(Debug)]
pub struct Tracker {
    interval: Duration,
    small_group: u32,
    longest_interval: Duration,
    links: Links,
    finds: u64,
    spared: SparedMeter,
    /// Until when members are expected back that were there before it started, or before it
    /// lost them together.
    expects_until: Instant,
    lost: LostTogether,
    /// For ordinary clients, if it serves any.
    feed: Option<Feed>,
    out: VecDeque<Output>,
}

impl Tracker {
    /// A tracker that knows no member yet.
    pub fn new(config: Config) -> Self {
        let Config {
            me,
            interval,
            small_group,
            longest_interval,
            bittorrent,
            room,
        } = config;
        Self {
            interval,
            small_group: small_group.max(1),
            longest_interval: longest_interval.max(interval),
            links: Links::new(me, Role::Tracker { interval, room }),
            finds: 0,
            spared: SparedMeter::default(),
            expects_until: Instant::default(),
            lost: LostTogether::default(),
            feed: bittorrent.then(Feed::default),
            out: VecDeque::new(),
        }
    }

    /// These members were present when this tracker last ran, or had a network. Until their
    /// listings have come back, or as long as a silent member is waited for, answers are not told
    /// as complete.
    pub fn expect(&mut self, now: Instant, members: BTreeSet<PeerId>) {
        self.links.expect(BTreeSet::new());
        self.expect_also(now, members);
    }

    fn expect_also(&mut self, now: Instant, members: BTreeSet<PeerId>) {
        self.expects_until = now + self.until_loss();
        self.links.expect_also(members);
    }

    /// Takes one input. Besides [`expect`](Self::expect), nothing else changes the machine.
    pub fn handle(&mut self, now: Instant, input: Input) {
        let interval = self.granted();
        self.links.grant(interval);
        if now >= self.expects_until {
            self.links.expect(BTreeSet::new());
        }
        let offer = |_: &_, _: &_| Terms {
            willing: false,
            interval,
        };
        for event in self.links.handle(now, input, &offer) {
            self.on_event(now, event);
        }
        for event in self.links.advance(now) {
            self.on_event(now, event);
        }
        if let Some(feed) = &self.feed {
            let changes = feed.changes(self.links.catalogue_mut());
            self.out.extend(changes.into_iter().map(Output::Member));
        }
    }

    /// The next thing to do, until there is none. A member is told that its update is known only
    /// after the stores of swarms were told: a client may announce right after.
    pub fn poll_output(&mut self) -> Option<Output> {
        let here = self.out.pop_front();
        here.or_else(|| self.links.poll_output().map(Output::Link))
    }

    /// When to come back with [`links::Input::Tick`], if nothing happens before.
    pub fn next_deadline(&self) -> Option<Instant> {
        let expects = self.links.expects_any().then_some(self.expects_until);
        self.links.next_deadline().into_iter().chain(expects).min()
    }

    /// Who is present.
    pub fn present(&self) -> &Presences {
        self.links.present()
    }

    /// The catalogue of all listings.
    pub fn catalogue(&self) -> &Catalogue {
        self.links.catalogue()
    }

    /// A page of the answer to its own user, as a member would be given it.
    pub fn answer(&self, find: &Find) -> Result<Found, PatternError> {
        if let Query::Members(after) = find.query {
            let listed = self.links.present().listed_behind(after);
            return Ok(members(listed, self.links.catalogue()).0);
        }
        let everybody = |_| true;
        let asker = self.links.me().id;
        let unlisted = || self.links.some_unlisted(asker);
        let mut library = self.links.library(asker, &everybody);
        library.unlisted = &unlisted;
        library.files(find).0
    }

    /// The number of questions that wait for their turn.
    pub fn waiting(&self) -> usize {
        self.links.waiting()
    }

    /// What it has counted so far.
    pub fn counts(&self, now: Instant) -> Counts {
        Counts {
            finds: self.finds,
            spared: self.spared.spared(now),
        }
    }

    fn until_loss(&self) -> Duration {
        self.interval * INTERVALS_TO_LOSS
    }

    /// The interval that it grants to as many members as there are.
    fn granted(&self) -> Duration {
        let members = u32::try_from(self.links.present().count()).unwrap_or(u32::MAX);
        let steps = members.div_ceil(self.small_group).max(1);
        self.interval
            .saturating_mul(steps)
            .min(self.longest_interval)
    }

    fn on_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Up { link, .. } | Event::Moved { link } => {
                if let Some(id) = self.links.get(link).map(|link| link.member.id) {
                    let others = self.lost.on_back(id);
                    if !others.is_empty() {
                        self.expect_also(now, others);
                    }
                    self.on_member(id);
                    self.on_changed(id);
                }
            }
            Event::Down(down) => {
                let id = down.was.member.id;
                self.on_member(id);
                if down.was_in_use {
                    self.on_changed(id);
                    if !down.on_purpose && !down.was.is_visitor() {
                        self.lost.on_lost(now, self.until_loss(), id);
                    }
                }
            }
            Event::ListingChanged { member } | Event::Regrouped { member } => {
                self.on_changed(member);
            }
            Event::Unlisted(holder) => self.out.push_back(Output::Unlisted(holder)),
            Event::LookedUp(lookups) => {
                self.spared.count(now, lookups);
                self.out.push_back(Output::Changed(Row::Node));
            }
            Event::Asked {
                link,
                request,
                find,
            } => {
                self.finds += u64::from(!matches!(find.query, Query::Members(_)));
                self.links.answer(now, link, request, &find, |_| {});
            }
            Event::RenewalAsked {
                link,
                request,
                member,
                join,
            } => self.out.push_back(Output::Renew {
                link,
                request,
                member,
                join,
            }),
            // The tracker acknowledges every update, which is a sign of life, so a
            // silent link needs no other. A tracker dials no member and asks none.
            Event::Silent { .. }
            | Event::TurnedAway { .. }
            | Event::Flowing { .. }
            | Event::Found { .. }
            | Event::Refused { .. }
            | Event::Joined { .. }
            | Event::Acknowledged { .. }
            | Event::Adopted { .. }
            | Event::Expelled
            | Event::Expiring { .. } => {}
        }
    }

    /// A member has come, moved or gone.
    fn on_member(&mut self, id: PeerId) {
        if let Some(feed) = &mut self.feed {
            // What was told of it before comes first.
            let before = feed.changes(self.links.catalogue_mut());
            let (present, catalogue) = self.links.present_and_catalogue();
            let change = feed.on_member(id, present, catalogue);
            let all = before.into_iter().chain(change);
            self.out.extend(all.map(Output::Member));
        }
    }

    fn on_changed(&mut self, member: PeerId) {
        self.out.push_back(Output::Changed(Row::Member(member)));
    }
}

/// How many members are remembered that were lost together.
const MOST_LOST: usize = 10_000;

/// Members that were lost one soon after another, as where this machine slept or its own network
/// was gone. When one of them is back, the others may be soon.
#[derive(Debug, Default)]
struct LostTogether {
    members: BTreeSet<PeerId>,
    last: Instant,
}

impl LostTogether {
    fn on_lost(&mut self, now: Instant, soon: Duration, id: PeerId) {
        if now >= self.last + soon {
            self.members.clear();
        }
        if self.members.len() < MOST_LOST {
            self.members.insert(id);
        }
        self.last = now;
    }

    /// Returns the others, if this one was lost with them.
    fn on_back(&mut self, id: PeerId) -> BTreeSet<PeerId> {
        if self.members.remove(&id) {
            std::mem::take(&mut self.members)
        } else {
            BTreeSet::new()
        }
    }
}

#[cfg(any(test, feature = "testing"))]
impl Tracker {
    /// Asserts the invariants. For tests: it walks over everything.
    pub fn check(&self) {
        self.links.check();
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use thorp_wire::frame::{Body, Frame, Hello, Leave, Update, VERSION};
    use thorp_wire::{Entry, Root};

    use super::*;
    use crate::links::Party;

    const SECOND: Duration = Duration::from_secs(1);

    fn me(n: u8) -> Me {
        Me {
            id: PeerId::new([n; 32]),
            epoch: 1,
            port: Some(3334),
            claimed: Vec::new(),
            visitor: false,
            bittorrent: false,
            advertised: 0,
        }
    }

    /// Two members are a small group to it.
    fn of_a_small_group() -> Tracker {
        Tracker::new(Config {
            small_group: 2,
            ..config()
        })
    }

    fn config() -> Config {
        Config {
            me: me(99),
            interval: SECOND,
            small_group: SMALL_GROUP,
            longest_interval: SECOND * 3,
            bittorrent: false,
            room: ROOM,
        }
    }

    fn say(tracker: &mut Tracker, now: Instant, n: u8, body: impl Into<Body>) -> Vec<Frame> {
        let said = outputs(tracker, now, n, body).into_iter();
        let sent = said.filter_map(|output| match output {
            Output::Link(links::Output::Send(_, frame)) => Some(frame),
            _ => None,
        });
        sent.collect()
    }

    /// What it wants done once this was said on a link.
    fn outputs(tracker: &mut Tracker, now: Instant, n: u8, body: impl Into<Body>) -> Vec<Output> {
        let input = links::Input::Frame {
            link: LinkId(n.into()),
            frame: Frame::plain(body),
        };
        tracker.handle(now, input);
        std::iter::from_fn(|| tracker.poll_output()).collect()
    }

    fn join(tracker: &mut Tracker, now: Instant, n: u8) {
        connect(tracker, now, n, n, false);
    }

    /// A member opens this link.
    fn connect(tracker: &mut Tracker, now: Instant, n: u8, link: u8, bittorrent: bool) {
        let input = links::Input::Connected {
            link: LinkId(link.into()),
            member: Party {
                id: me(n).id,
                name: None,
                tracker: false,
            },
            dialled: false,
            remote: IpAddr::V4(Ipv4Addr::new(10, 0, 0, n)),
        };
        tracker.handle(now, input);
        let hello = Hello {
            oldest: VERSION,
            newest: VERSION,
            port: Some(3334),
            claimed: Vec::new(),
            epoch: 1,
            applied: None,
            neighbour: false,
            visitor: false,
            interval: 1000,
            record: None,
            bittorrent,
            advertised: 0,
        };
        say(tracker, now, link, hello);
    }

    /// Which interval it grants this member, in seconds.
    fn granted(tracker: &mut Tracker, now: Instant, n: u8) -> u32 {
        let answers = say(tracker, now, n, Update::heartbeat(0));
        let granted = answers.into_iter().find_map(|frame| match frame.body {
            Body::Ack(ack) => ack.interval,
            _ => None,
        });
        granted.expect("an acknowledgement") / 1000
    }

    #[test]
    fn the_more_members_there_are_the_less_often_each_has_to_give_a_sign_of_life() {
        let mut tracker = of_a_small_group();
        let at = Instant::default();
        let mut intervals = Vec::new();
        for n in 1..=10 {
            join(&mut tracker, at, n);
            intervals.push(granted(&mut tracker, at, 1));
        }
        assert_eq!(intervals, [1, 1, 2, 2, 3, 3, 3, 3, 3, 3]);
        let parting = Leave { reason: "".into() };
        for n in 3..=10 {
            say(&mut tracker, at, n, parting.clone());
        }
        assert_eq!(granted(&mut tracker, at, 1), 1, "few are left");
    }

    #[test]
    fn a_member_is_given_up_after_three_of_the_intervals_that_it_was_told_last() {
        let mut tracker = of_a_small_group();
        let at = Instant::default();
        for n in 1..=6 {
            join(&mut tracker, at, n);
        }
        for n in 1..=6 {
            granted(&mut tracker, at, n);
        }
        let mut lost_at = at;
        while let Some(next) = tracker.next_deadline() {
            lost_at = next;
            tracker.handle(next, links::Input::Tick);
            let left = tracker.present().listed().count();
            assert!(left == 0 || next < at + SECOND * 9, "{left} at {next:?}");
        }
        assert_eq!(lost_at, at + SECOND * 9);
    }

    #[test]
    fn members_that_were_lost_long_apart_or_are_too_many_are_not_expected_together() {
        let id = |n: usize| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&n.to_be_bytes());
            PeerId::new(id)
        };
        let (at, soon) = (Instant::default(), SECOND * 3);
        let mut lost = LostTogether::default();
        lost.on_lost(at, soon, id(1));
        lost.on_lost(at + SECOND * 2, soon, id(2));
        lost.on_lost(at + SECOND * 5, soon, id(3));
        assert_eq!(lost.on_back(id(2)), [].into(), "the third was lost later");
        for n in 0..MOST_LOST * 2 {
            lost.on_lost(at + SECOND * 6, soon, id(n));
        }
        assert_eq!(lost.on_back(id(0)).len(), MOST_LOST - 1);
        assert_eq!(lost.on_back(id(1)), [].into(), "these are expected already");
    }

    #[test]
    fn members_that_are_expected_after_a_restart_stay_so_when_others_are() {
        let mut tracker = of_a_small_group();
        let at = Instant::default();
        let expected = |tracker: &Tracker| tracker.links.expects_any();
        tracker.expect(at, [me(5).id].into());
        for n in 1..=2 {
            join(&mut tracker, at, n);
            tracker.lost.on_lost(at, SECOND * 3, me(n).id);
        }
        join(&mut tracker, at, 1);
        for n in [1, 2] {
            let listing = Update {
                since: None,
                ..Update::heartbeat(1)
            };
            say(&mut tracker, at, n, listing);
        }
        assert!(expected(&tracker), "the one of before the restart");
        tracker.handle(at + SECOND * 3, links::Input::Tick);
        assert!(!expected(&tracker));
    }

    #[test]
    fn a_member_that_begins_to_serve_clients_without_starting_anew_has_to_list_its_files_again() {
        let mut tracker = of_a_small_group();
        let at = Instant::default();
        join(&mut tracker, at, 1);
        let listing = Update {
            since: None,
            ..Update::heartbeat(3)
        };
        say(&mut tracker, at, 1, listing);
        let position = |tracker: &Tracker| tracker.catalogue().position(me(1).id);
        assert!(position(&tracker).is_some());
        connect(&mut tracker, at, 1, 2, false);
        assert!(position(&tracker).is_some(), "it is the same member");
        connect(&mut tracker, at, 1, 3, true);
        assert_eq!(position(&tracker), None);
    }

    #[test]
    fn a_member_hears_that_its_file_is_known_once_clients_are_told_of_it() {
        let mut tracker = Tracker::new(Config {
            bittorrent: true,
            ..config()
        });
        let at = Instant::default();
        connect(&mut tracker, at, 1, 1, true);
        let file = Entry {
            name: "a".parse().expect("a name"),
            length: 7,
            mtime: 0,
            root: Some(Root::new([1; 32])),
            partial: false,
            nanos: 0,
            executable: false,
            v1: None,
        };
        let listing = Update {
            since: None,
            added: vec![file],
            ..Update::heartbeat(1)
        };
        let outputs = outputs(&mut tracker, at, 1, listing);
        let lists = |output: &Output| matches!(output, Output::Member(MemberChange::Lists(..)));
        let is_known = |output: &Output| {
            matches!(
                output,
                Output::Link(links::Output::Send(_, Frame { body: Body::Ack(ack), .. })) if ack.seq == Some(1)
            )
        };
        let told = outputs.iter().rposition(lists);
        let acknowledged = outputs.iter().position(is_known);
        assert!(told.is_some() && told < acknowledged, "{outputs:?}");
    }
}

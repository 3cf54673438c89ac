//! Links that come up and go down: which members to dial, which become neighbours or cease to be,
//! and what is done after a link is lost.
//!
//! What happens on a link that is up is decided in [`links`](crate::links), when to dial the
//! tracker in [`home`](super::home), the worth of neighbours in [`neighbours`](crate::neighbours).

use std::cell::LazyCell;
use std::net::SocketAddr;

use thorp_wire::PeerId;
use thorp_wire::frame::{Frame, Holder, RequestId};

use super::wanted::Wanted;
use super::{Config, Exchange, Notice, Output, Peer, Target, Unreached};
use crate::catalogue::Listing;
use crate::changes::Row;
use crate::get::small::{Fetches, NotSent};
use crate::get::sought::SoughtFiles;
use crate::get::{self, Missed};
use crate::links::{self, Down, LinkId, Party, Table, Terms};
use crate::lookup::TrackerState;
use crate::neighbours::{Neighbours, Room};
use crate::time::Instant;

/// The members that neighbours name as theirs, in order: each as often as it is named.
#[derive(Debug, Default)]
pub(super) struct Named(Vec<PeerId>);

impl Named {
    /// Whether any neighbour names a member.
    pub(super) fn is_named(&self, id: PeerId) -> bool {
        self.0.binary_search(&id).is_ok()
    }

    /// How many neighbours name a member.
    pub(super) fn namers(&self, id: PeerId) -> usize {
        let from_it = &self.0[self.0.partition_point(|other| *other < id)..];
        from_it.iter().take_while(|other| **other == id).count()
    }
}

/// Returns what the member at the other end of a new connection is offered.
pub(super) fn terms(
    now: Instant,
    config: &Config,
    neighbours: &Neighbours,
    fetches: &Fetches,
    links: &Table,
    member: &Party,
) -> Terms {
    // A place counts as taken once it was promised in a hello.
    let has_room = || {
        let promised = links.all().filter(|(_, link)| {
            link.willing && link.hello.is_none() && link.member.id != member.id
        });
        match neighbours.room(now) {
            _ if neighbours.contains(member.id) => true,
            Room::Free => neighbours.len() + promised.count() < config.max_neighbours,
            Room::Replacing(_) => promised.count() == 0,
            Room::Full => false,
        }
    };
    Terms {
        willing: !member.tracker && !config.me.visitor && !fetches.is_liar(member.id) && has_room(),
        interval: if member.tracker {
            config.tracker_interval
        } else {
            config.neighbour_interval
        },
    }
}

impl Peer {
    pub(super) fn on_turned_away(&mut self, now: Instant, member: PeerId, reason: &str) {
        self.remembered.failed(now, member);
        self.give_up(now, member, reason);
    }

    pub(super) fn on_up(&mut self, now: Instant, id: LinkId, their_copy: Option<u64>) {
        let Some(link) = self.links.get(id) else {
            return;
        };
        let peer = link.member.id;
        if link.member.tracker {
            // A link that replaces another one is no news.
            if self.home.link().is_none() {
                self.out.push_back(Output::Notice(Notice::TrackerUp));
                self.out.push_back(Output::Changed(Row::Node));
            }
            self.home.up(now, id, peer);
            self.remembered.hurry(now);
            self.remembered.forget(now, peer);
            if !self.config.me.visitor {
                self.publishing.begin(id, their_copy, None);
            }
        } else if link.is_neighbour() {
            self.remembered.met(now, link.holder());
            self.make_room(now, peer);
            self.neighbours.add(now, peer);
            self.hearsay.on_neighbour(now, peer);
            if self.config.rules.exchange == Exchange::Listings {
                self.publishing.begin(id, their_copy, Some(now));
            }
            self.neighbours_changed(now, peer, false);
        } else {
            match link {
                link if link.is_visitor() => self.remembered.failed(now, peer),
                link if link.willing => self.remembered.forget(now, peer),
                _ => self.remembered.parted(now, peer),
            }
            self.no_neighbour_any_more(now, peer, false);
        }
        if self.links.present().count() == 1 {
            // The network may be back.
            self.remembered.hurry(now);
        }
        for errand in self.wanted.errands(peer) {
            self.run(now, id, errand);
        }
    }

    pub(super) fn on_down(&mut self, now: Instant, down: Down) {
        let Down {
            link: id,
            was,
            was_in_use,
            on_purpose,
            reason,
        } = down;
        let peer = was.member.id;
        let came_up = was.hello.is_some();
        if was_in_use && on_purpose {
            // Neither end should dial again at once.
            self.remembered.parted(now, peer);
        }
        self.publishing.end(id);
        self.hashing.retain(|hashing| hashing.link != id);
        if was_in_use && !was.member.tracker {
            self.remembered.lost(now, peer);
            self.no_neighbour_any_more(now, peer, !on_purpose);
        }
        let lost = self.home.lost(now, id);
        let not_reached = !came_up && was.member.tracker && was.dialled;
        let is_lost = lost || (not_reached && self.home.dial_failed(now));
        match self.home.explanation() {
            Some(trouble) => self.no_tracker(trouble, is_lost),
            None if is_lost => self.tracker_broken(&reason),
            None => {}
        }
        self.not_renewed(id);
        self.ask_elsewhere(now, id, peer, &reason);
        if !came_up {
            self.remembered.failed(now, peer);
            self.give_up(now, peer, &reason);
        }
    }

    pub(super) fn on_dial_failed(&mut self, now: Instant, target: &Target, trouble: Unreached) {
        match target {
            Target::Tracker => {
                let is_lost = self.home.dial_failed(now);
                self.no_tracker(trouble, is_lost);
            }
            Target::Member { id, .. } => {
                self.wanted.dialled(*id);
                self.remembered.failed(now, *id);
                self.give_up(now, *id, &trouble.reason);
            }
        }
    }

    /// The tracker has ended a link because of a certificate, and the reason has become known
    /// since.
    pub(super) fn on_turned_away_by_tracker(
        &mut self,
        now: Instant,
        link: LinkId,
        trouble: Unreached,
    ) {
        let reason = trouble.reason.clone();
        self.home.explain(trouble);
        self.on_link_input(now, links::Input::Disconnected { link, reason });
        // A link that was given up before does not go down again.
        if let Some(trouble) = self.home.explanation() {
            self.no_tracker(trouble, false);
        }
    }

    /// Dials the remembered neighbours that are due, and emits the list of neighbours to store.
    pub(super) fn dial_remembered(&mut self, now: Instant) {
        let most = self.config.max_neighbours;
        let room = most.saturating_sub(self.neighbours.len());
        for member in self.remembered.dial(now, room) {
            if self.links.to(member.id).is_some() {
                // Linked but no neighbour: it is a visit, which will end.
                self.remembered.failed(now, member.id);
            } else {
                self.reach(member);
            }
        }
        if let Some(known) = self.remembered.keep(now) {
            self.out.push_back(Output::Remember(known));
        }
    }

    /// Dials a member, unless a link to it is being made.
    pub(super) fn reach(&mut self, member: Holder) {
        if self.links.is_opening(member.id) {
            return;
        }
        if self.wanted.dial(member.id) {
            self.out.push_back(Output::Dial(Target::Member {
                id: member.id,
                addresses: member.addresses,
            }));
        }
    }

    /// The addresses of this machine have changed: announces them on all links, and dials the
    /// members whose links were lost in the change.
    pub(super) fn on_readdressed(
        &mut self,
        now: Instant,
        claimed: Vec<SocketAddr>,
        advertised: u8,
    ) {
        if !self.links.readdress(now, claimed, advertised) {
            return;
        }
        self.pass_on();
        self.remembered.hurry(now);
        self.home.hurry(now);
    }

    /// The addresses of a member have changed.
    pub(super) fn on_moved(&mut self, now: Instant, id: LinkId) {
        if let Some(link) = self.links.get(id)
            && self.neighbours.contains(link.member.id)
        {
            self.remembered.met(now, link.holder());
            let row = Row::Member(link.member.id);
            self.out.push_back(Output::Changed(row));
        }
    }

    /// Ends all questions, dials and fetches, because all links are about to be closed.
    pub(super) fn on_stop(&mut self, now: Instant) {
        self.home.stop();
        let why = if self.removed {
            Missed::Removed
        } else {
            Missed::Stopping
        };
        self.gets.handle(now, get::Input::Stop(why));
        self.lookups.clear();
        self.end_surveys();
        self.fetches = Fetches::default();
        self.sought = SoughtFiles::default();
        self.wanted = Wanted::default();
        if !self.config.me.visitor {
            let known = self.remembered.stop(now);
            self.out.push_back(Output::Remember(known));
        }
    }

    /// Closes a link for good and tells the other end why.
    pub(super) fn close(&mut self, now: Instant, link: LinkId, reason: &str) {
        let down = self.links.close(now, link, reason);
        self.pass_on();
        if let Some(down) = down {
            self.on_down(now, down);
        }
    }

    pub(super) fn send(&mut self, now: Instant, link: LinkId, frame: Frame) {
        self.links.send(now, link, frame);
        self.pass_on();
    }

    /// Moves the outputs of the links to the outputs of the peer, in order.
    pub(super) fn pass_on(&mut self) {
        while let Some(output) = self.links.poll_output() {
            self.out.push_back(Output::Link(output));
        }
    }

    /// Closes the link of the least useful neighbour if its place is needed. Both ends have agreed
    /// by now, so the newcomer is taken in any case.
    fn make_room(&mut self, now: Instant, id: PeerId) {
        if self.neighbours.contains(id) {
            return;
        }
        let named = LazyCell::new(|| {
            let is_of_use = self.config.rules.spread.then(|| self.named_by_neighbours());
            is_of_use.unwrap_or_default()
        });
        let adds = |id| self.added_by(id, &named);
        if let Some(worst) = self.neighbours.surplus(now, &adds) {
            if let Some((link, _)) = self.links.to(worst) {
                self.close(now, link, "its place as a neighbour is needed");
            }
            self.no_neighbour_any_more(now, worst, false);
        }
    }

    pub(super) fn named_by_neighbours(&self) -> Named {
        let neighbours = self.neighbours.ids();
        let listings = neighbours.filter_map(|id| self.links.catalogue().listing(id));
        let mut named: Vec<PeerId> = listings.flat_map(Listing::neighbours).copied().collect();
        named.sort_unstable();
        Named(named)
    }

    /// How many members this peer would hear nothing of without a neighbour: it, if no other one
    /// names it, and those that it alone names.
    fn added_by(&self, id: PeerId, named: &Named) -> usize {
        let listing = self.links.catalogue().listing(id);
        let neighbours = listing.map_or(&[][..], Listing::neighbours);
        let is_unknown = |member: &&PeerId| {
            let is_its_own = !self.neighbours.contains(**member);
            named.namers(**member) == 1 && is_its_own && **member != self.config.me.id
        };
        let others = neighbours.iter().filter(is_unknown).count();
        others + usize::from(self.config.rules.spread && !named.is_named(id))
    }

    fn no_neighbour_any_more(&mut self, now: Instant, peer: PeerId, is_lost: bool) {
        if self.neighbours.remove(peer) {
            self.hearsay.on_parted(peer);
            self.neighbours_changed(now, peer, is_lost);
        }
    }

    /// A peer has become a neighbour, or has ceased to be one. One that was lost was silent for
    /// three intervals already, so the others hear of it at once.
    fn neighbours_changed(&mut self, now: Instant, peer: PeerId, is_lost: bool) {
        let ids: Vec<PeerId> = self.neighbours.ids().collect();
        self.publisher.neighbours_changed(now, ids, is_lost);
        self.out.push_back(Output::Changed(Row::Member(peer)));
    }

    /// Reports why there is no link to the tracker, unless there is another one.
    fn no_tracker(&mut self, trouble: Unreached, is_lost: bool) {
        if self.home.link().is_some() {
            return;
        }
        self.out.push_back(Output::NoTracker(trouble.clone()));
        if let Some(notice) = self.home.on_trouble(trouble, is_lost) {
            self.out.push_back(Output::Notice(notice));
        }
        if is_lost {
            self.out.push_back(Output::Changed(Row::Node));
        }
    }

    /// The link to the tracker broke.
    fn tracker_broken(&mut self, reason: &str) {
        let (notice, trouble) = self.home.on_broken(reason);
        self.out.extend(trouble.map(Output::NoTracker));
        self.out.push_back(Output::Notice(notice));
        self.out.push_back(Output::Changed(Row::Node));
        debug_assert!(!matches!(self.home.tracker(), TrackerState::Up(_)));
    }

    /// Repeats the questions of a lost link on another link to the same member that is up or being
    /// made. (Two members that dialled each other at once give up one link.)
    fn ask_elsewhere(&mut self, now: Instant, gone: LinkId, peer: PeerId, reason: &str) {
        let unanswered: Vec<_> = self
            .questions
            .range((gone, RequestId(0))..=(gone, RequestId(u32::MAX)))
            .map(|(key, _)| *key)
            .collect();
        let other = self.links.to(peer).map(|(link, _)| link);
        let coming = self.links.is_opening(peer);
        for key in unanswered {
            let Some(question) = self.questions.remove(&key) else {
                continue;
            };
            let errand = question.errand;
            if let Some(other) = other {
                self.run(now, other, errand);
            } else if coming {
                self.wanted.add(peer, errand);
            } else {
                let failure = NotSent::Unreachable(reason.to_owned());
                self.no_answer(now, errand.asker(), peer, failure);
            }
        }
    }

    /// Fails the errands for a member that cannot be reached, unless another link to it is being
    /// made.
    fn give_up(&mut self, now: Instant, peer: PeerId, reason: &str) {
        if self.wanted.is_dialling(peer) || self.links.is_opening(peer) {
            return;
        }
        for errand in self.wanted.errands(peer) {
            let failure = NotSent::Unreachable(reason.to_owned());
            self.no_answer(now, errand.asker(), peer, failure);
        }
    }
}

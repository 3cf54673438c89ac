//! Keeps the listings that members send, turns them down, or asks for them again; charges members
//! for what they make this node send of its own.
//!
//! How much may be kept follows the [rule for every bound](crate::bound); whose listings are kept
//! follows the [role](super::role).

use std::ops::Bound;

use thorp_wire::PeerId;
use thorp_wire::frame::{Ack, Found, Frame, Holder, Position, Update};

use super::table::{LinkId, millis};
use super::turns::{ChangeProgress, ListingChange};
use super::{Event, Links};
use crate::answer::{Unlisted, too_busy};
use crate::bound::{Account, Again};
use crate::budget::{Effort, Work};
use crate::catalogue::{Applied, Listing, ListingSize};
use crate::gather::Gathered;
use crate::spared::Lookups;
use crate::time::Instant;

/// The most unlisted members that are considered for one answer.
const MOST_LOOKED_AT: usize = 64;

/// The most entries of an update of which it is found out at once how large a listing is with them.
const MEASURED_AT_ONCE: usize = if cfg!(test) { 100 } else { 10_000 };

/// A listing that is not kept for lack of room. Its member is asked directly instead.
#[derive(Clone, Copy, Debug)]
pub struct TurnedDown {
    /// When to try again.
    again: Again,
    /// How large the listing was.
    size: ListingSize,
    /// Whether its member was asked to send it once more.
    is_awaited: bool,
}

impl Links {
    pub(super) fn on_update(&mut self, now: Instant, id: LinkId, mut frame: Update) {
        let Some(link) = self.table.get(id) else {
            return;
        };
        let peer = link.member.id;
        let Some(epoch) = link.hello.as_ref().map(|hello| hello.epoch) else {
            return;
        };
        let is_wanted = self.keeps_listing_of(link);
        let is_gathering = link.is_gathering();
        if frame.lookups > 0 {
            self.events.push(Event::LookedUp(Lookups {
                lookups: frame.lookups.into(),
                spared: frame.spared.into(),
            }));
        }
        let looking = frame.looking;
        if looking {
            self.on_look(peer, looking);
        }
        let is_at = Some(Position {
            epoch,
            seq: frame.seq,
        });
        if is_wanted
            && frame.is_heartbeat()
            && !is_gathering
            && self.catalogue.position(peer) == is_at
        {
            // Most of what arrives: nothing changes by it.
            self.on_look(peer, looking);
            return self.acknowledge(now, id, Some(frame.seq));
        }
        let account = self.account(id);
        // Between the frames of an update that is not kept nothing new can begin.
        let is_alone = frame.first && frame.last && !is_gathering;
        if is_wanted && is_alone && self.is_worth_another_try(now, peer, account, &frame) {
            return self.acknowledge(now, id, None);
        }
        let is_kept = is_wanted && !self.is_turned_down(peer);
        if !is_kept {
            if self.role.grants().is_none() {
                self.table.drop_gathering(id, account);
                return;
            }
            frame.added.clear();
            frame.removed.clear();
            frame.torrents = None;
        }
        let (gathered, crowded) = self.table.gather(id, account, frame, self.role.bounds());
        for link in crowded {
            self.crowd_out(now, link);
        }
        match gathered {
            Ok(Some(gathered)) if is_kept => self.on_whole_update(now, id, (peer, epoch), gathered),
            Ok(Some(gathered)) => {
                self.on_look(peer, looking);
                self.acknowledge(now, id, Some(gathered.update.seq));
                if gathered.update.since != Some(gathered.update.seq) {
                    self.events.push(Event::ListingChanged { member: peer });
                }
            }
            Ok(None) => {}
            Err(error) => self.shut(now, id, &error.to_string()),
        }
    }

    /// Handles a whole update of a listing that is kept.
    fn on_whole_update(&mut self, now: Instant, id: LinkId, of: (PeerId, u64), gathered: Gathered) {
        let (peer, epoch) = of;
        let account = self.account(id);
        if gathered.too_long {
            let size = ListingSize {
                entries: usize::MAX,
                bytes: u64::MAX,
            };
            self.turn_down(now, peer, size);
            return self.on_refused(now, id, peer);
        }
        if gathered.crowded_out {
            return self.on_refused(now, id, peer);
        }
        let cost = gathered.cost();
        let update = &gathered.update;
        let (seq, looking) = (update.seq, update.looking);
        let is_change = update.since != Some(seq);
        let is_changing = self.turns.is_changing(peer);
        if !is_change && is_changing {
            // A sign of life that refers to a state which is still being applied.
            return self.acknowledge(now, id, Some(seq));
        }
        let replaced = match update.since {
            None => self.catalogue.listing(peer).map_or(0, Listing::len),
            Some(_) => 0,
        };
        let torrents = update.torrents.as_deref().map_or(0, <[_]>::len);
        let entries = update.added.len() + update.removed.len() + torrents + replaced;
        let may_go_first = !is_changing
            && entries <= Work::FEW_ENTRIES
            && !self.budgets.has_asked_enough(now, account)
            && !self.budgets.is_spent(now, account, Effort::Named);
        if is_change && !may_go_first {
            if update.since.is_none() {
                self.drop_superseded(account, peer);
            }
            let change = ListingChange {
                link: id,
                peer,
                epoch,
                seq,
                looking,
                cost,
                progress: ChangeProgress::Waits(gathered),
            };
            if !self.turns.change(now, account, change, &mut self.budgets) {
                return self.on_refused(now, id, peer);
            }
            for link in self.table.queue(id, account, cost) {
                self.crowd_out(now, link);
            }
            return;
        }
        if !self.make_room(now, peer, account, &gathered) {
            return self.on_refused(now, id, peer);
        }
        let before = (self.catalogue.moved(), self.catalogue.told());
        let applied = self.catalogue.apply(peer, epoch, gathered.update);
        if is_change {
            let moved = self.catalogue.moved() - before.0;
            let hashed = (self.catalogue.told() - before.1) * Work::INFO_HASHES;
            let work = Work::QUESTION.plus(work_of(entries as u64, moved) + hashed);
            self.budgets.on_answered(now, account, Effort::Named, work);
        }
        self.on_applied(peer, applied);
        if applied == Applied::Yes {
            self.on_look(peer, looking);
        }
        self.acknowledge(now, id, (applied == Applied::Yes).then_some(seq));
        if is_change {
            self.events.push(Event::ListingChanged { member: peer });
        }
    }

    /// Takes some of the listings that are being forgotten out of the catalogue. It does not
    /// wait until their accounts may list again: what they held is others' by now.
    pub(super) fn go_on_forgetting(&mut self, now: Instant) {
        if self.catalogue.leaving() == 0 || self.budgets.is_spent_for_forgetting(now) {
            return;
        }
        let forgotten = self.catalogue.forget_some(Work::ENTRIES_AT_ONCE);
        let work = Work(forgotten * Work::ENTRY);
        self.budgets.on_forgotten(work);
    }

    /// Applies a part of the change that is next. As long as anything is being forgotten none
    /// is, so that the memory of all listings stays within its bound.
    pub(super) fn continue_changes(&mut self, now: Instant) {
        if self.catalogue.leaving() > 0 {
            return;
        }
        let Some((account, mut change)) = self.turns.next_change(now, &mut self.budgets) else {
            return;
        };
        let (link, peer, epoch) = (change.link, change.peer, change.epoch);
        let begun = match change.progress {
            ChangeProgress::Begun(applying) => Some(applying),
            ChangeProgress::Waits(gathered) => {
                let has_room = self.make_room(now, peer, account, &gathered);
                let in_order = gathered.is_in_order();
                let begin = || self.catalogue.begin(peer, epoch, gathered.update, in_order);
                has_room.then(begin).flatten()
            }
        };
        let Some(mut applying) = begun else {
            self.table.unqueue(link, account, change.cost);
            self.on_applied(peer, Applied::NeedsFull);
            return self.on_refused(now, link, peer);
        };
        let told = self.catalogue.told();
        let moved = self.catalogue.go_on(&mut applying, Work::ENTRIES_AT_ONCE);
        let hashed = (self.catalogue.told() - told) * Work::INFO_HASHES;
        let work = Work(work_of(Work::ENTRIES_AT_ONCE, moved) + hashed);
        self.budgets.on_listed(now, account, work);
        if applying.is_done() {
            self.table.unqueue(link, account, change.cost);
            if self.catalogue.position(peer).is_none() {
                // The listing was dropped meanwhile, so nothing of the change is kept.
                self.on_applied(peer, Applied::NeedsFull);
                return self.on_refused(now, link, peer);
            }
            self.on_applied(peer, Applied::Yes);
            self.on_look(peer, change.looking);
            self.acknowledge(now, link, Some(change.seq));
            self.events.push(Event::ListingChanged { member: peer });
            return;
        }
        self.on_position(peer);
        change.progress = ChangeProgress::Begun(applying);
        self.turns.put_back(now, account, change, &mut self.budgets);
    }

    /// An update was not taken: the listing must be sent as a whole, or is not kept.
    fn on_refused(&mut self, now: Instant, id: LinkId, peer: PeerId) {
        self.acknowledge(now, id, None);
        self.events.push(Event::ListingChanged { member: peer });
    }

    /// Reserves room for a listing with this update, at the cost of other listings if necessary.
    /// If there is none, the listing is turned down.
    ///
    /// How large a listing is with a long update in it is not found out in one step: as much room
    /// is reserved as it may take. If that is too much, the listing has to be sent as a whole.
    fn make_room(
        &mut self,
        now: Instant,
        peer: PeerId,
        account: Account,
        gathered: &Gathered,
    ) -> bool {
        let update = &gathered.update;
        let is_long = update.added.len() + update.removed.len() > MEASURED_AT_ONCE;
        let before = self.catalogue.listing(peer).map(Listing::size);
        let before = before.filter(|_| update.since.is_some());
        let size = if is_long {
            gathered.size_at_most(before.unwrap_or_default())
        } else {
            self.catalogue.size_after(peer, update)
        };
        if size.entries <= self.role.bounds().entries
            && let Ok(gave_way) = self.listed.ask(peer, account, size.bytes)
        {
            for other in gave_way {
                let size = self.catalogue.listing(other).map(Listing::size);
                self.turn_down(now, other, size.unwrap_or_default());
                if let Some((link, _)) = self.table.to(other) {
                    self.acknowledge(now, link, None);
                }
                self.events.push(Event::ListingChanged { member: other });
            }
            return true;
        }
        if is_long && before.is_some() {
            return false;
        }
        self.turn_down(now, peer, size);
        false
    }

    /// Records the result of an update: it was applied, or it did not fit the known state and
    /// changed nothing.
    fn on_applied(&mut self, peer: PeerId, applied: Applied) {
        if applied == Applied::Yes {
            self.unlisted.remove(&peer);
            self.expected.remove(&peer);
        }
        self.settle(peer);
        self.on_position(peer);
    }

    /// A member says whether it still looks through its share. While one does, a tracker says of
    /// no file that nobody has it.
    fn on_look(&mut self, peer: PeerId, looking: bool) {
        if self.role.grants().is_none() {
            return;
        }
        if looking {
            self.looking.insert(peer);
        } else {
            self.looking.remove(&peer);
        }
    }

    /// Corrects the room reserved for a listing to what it takes.
    fn settle(&mut self, peer: PeerId) {
        let account = self.table.to(peer).map(|(id, _)| self.account(id));
        let listing = self.catalogue.listing(peer);
        match (account, listing.map(|listing| listing.size().bytes)) {
            (Some(account), Some(bytes)) if self.listed.amount(peer) != bytes => {
                // Cannot fail: it is at most what was reserved before.
                let _ = self.listed.ask(peer, account, bytes);
            }
            (Some(_), Some(_)) => {}
            _ => self.listed.give_back(peer),
        }
    }

    /// Drops a listing for lack of room.
    fn turn_down(&mut self, now: Instant, peer: PeerId, size: ListingSize) {
        self.forget_listing(peer);
        let before = self.unlisted.get(&peer);
        let again = before.map_or_else(|| Again::new(now), |before| before.again.later(now));
        let is_news = before.is_none();
        let turned_down = TurnedDown {
            again,
            size,
            is_awaited: false,
        };
        self.unlisted.insert(peer, turned_down);
        self.expected.remove(&peer);
        self.drop_changes(peer);
        self.on_position(peer);
        if is_news && let Some(presence) = self.present.get(peer) {
            self.events.push(Event::Unlisted(presence.holder()));
        }
    }

    /// Drops a listing that a change has left half applied: only a full listing can follow it,
    /// and the room reserved for it is that of the finished change. A change that came on another
    /// link of its member goes on.
    pub(super) fn forget_torso(&mut self, peer: PeerId) {
        if self.catalogue.position(peer).is_none() && !self.turns.is_changing(peer) {
            self.forget_listing(peer);
        }
        self.on_position(peer);
    }

    /// Drops all that a member has listed.
    pub(super) fn forget_listing(&mut self, peer: PeerId) {
        self.catalogue.forget(peer);
        self.listed.give_back(peer);
    }

    /// Drops what waits of a link because there is no room for it; the member has to ask or send
    /// again.
    pub(super) fn crowd_out(&mut self, now: Instant, link: LinkId) {
        for question in self.turns.take_questions(link) {
            let refused = Frame::with_request(question.request, too_busy());
            self.send(now, link, refused);
        }
        let peer = self.table.get(link).map(|link| link.member.id);
        if let Some(peer) = peer.filter(|peer| self.turns.is_changing(*peer)) {
            self.turns.take_changes(peer);
            self.forget_torso(peer);
            self.on_refused(now, link, peer);
        }
    }

    /// Drops the waiting changes of a member's listing that came before all of it came anew.
    fn drop_superseded(&mut self, account: Account, peer: PeerId) {
        for (link, cost) in self.turns.take_superseded(account, peer) {
            let account = self.account(link);
            self.table.unqueue(link, account, cost);
        }
    }

    /// Drops the changes of a member's listing that wait to be applied.
    pub(super) fn drop_changes(&mut self, peer: PeerId) {
        if let (Some(cost), Some((link, _))) = (self.turns.take_changes(peer), self.table.to(peer))
        {
            let account = self.account(link);
            self.table.unqueue(link, account, cost);
        }
    }

    /// Whether to ask again for a listing that was turned down: it is time, and there is room for
    /// the size that its member announces.
    fn is_worth_another_try(
        &mut self,
        now: Instant,
        peer: PeerId,
        account: Account,
        frame: &Update,
    ) -> bool {
        let Some(turned_down) = self.unlisted.get_mut(&peer) else {
            return false;
        };
        if turned_down.is_awaited || !turned_down.again.is_due(now) {
            return false;
        }
        if let (Some(entries), Some(bytes)) = (frame.entries, frame.bytes) {
            turned_down.size = ListingSize {
                entries: usize::try_from(entries).unwrap_or(usize::MAX),
                bytes,
            };
        }
        let size = turned_down.size;
        turned_down.is_awaited = size.entries <= self.role.bounds().entries
            && self.listed.would_fit(peer, account, size.bytes);
        if !turned_down.is_awaited {
            turned_down.again = turned_down.again.postponed(now);
        }
        turned_down.is_awaited
    }

    /// Returns the unlisted members that an asker should ask directly; they take turns.
    pub(crate) fn some_unlisted(&self, asker: PeerId) -> Unlisted {
        let last = self.named_last.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = self.unlisted.range((last, Bound::Unbounded));
        let all = behind.chain(&self.unlisted).take(self.unlisted.len());
        let others = all.map(|(id, _)| *id).filter(|id| *id != asker);
        let mut members: Vec<Holder> = Vec::new();
        let is_other = |member: &PeerId| *member != asker;
        let mut are_more = self.unlisted.len() > MOST_LOOKED_AT
            || self.expects_any()
            || self.looking.iter().any(is_other);
        let mut looked_at = 0;
        for presence in others
            .take(MOST_LOOKED_AT)
            .filter_map(|id| self.present.get(id))
        {
            looked_at += 1;
            // A member that does not listen cannot be asked, so the asker does not learn what it
            // has.
            if presence.addresses.is_empty() || members.len() == Found::MAX_UNLISTED {
                are_more = true;
            } else {
                members.push(presence.holder());
            }
        }
        Unlisted {
            members,
            are_more,
            looked_at,
        }
    }

    /// Whether a member's listing is not kept and was not asked for again.
    fn is_turned_down(&self, peer: PeerId) -> bool {
        let turned_down = self.unlisted.get(&peer);
        turned_down.is_some_and(|turned_down| !turned_down.is_awaited)
    }

    /// Tells a member how its listing stands here: at `seq`, or to be sent as a whole, or not
    /// kept.
    fn acknowledge(&mut self, now: Instant, id: LinkId, seq: Option<u64>) {
        let Some(link) = self.table.get(id) else {
            return;
        };
        let unlisted = self.is_turned_down(link.member.id);
        let granted = self.role.grants();
        if let Some(interval) = granted.filter(|granted| *granted != link.liveness.theirs()) {
            self.table.agree(now, id, interval);
        }
        if seq.is_some() && !unlisted && granted.is_none() {
            return;
        }
        let ack = Ack {
            seq,
            interval: granted.map(millis),
            unlisted,
            record: self.records.number(),
        };
        self.send(now, id, Frame::plain(ack));
    }

    /// Returns when the member at the other end may be sent this node's listing once more, if not
    /// now.
    pub(crate) fn may_be_sent_at(&mut self, now: Instant, id: LinkId) -> Option<Instant> {
        self.budgets.may_be_sent_at(now, self.account(id))
    }

    /// Charges the member at the other end for entries of this node's listing that it was sent.
    pub(crate) fn on_sent(&mut self, now: Instant, id: LinkId, entries: usize) {
        let work = Work(entries as u64 / Work::SENT);
        self.budgets.on_listed(now, self.account(id), work);
    }

    /// Updates the member's presence with the position of its listing in the catalogue.
    fn on_position(&mut self, peer: PeerId) {
        let position = self.catalogue.position(peer);
        self.present.change(peer, |presence| {
            presence.position = position.map(|position| position.seq);
        });
    }
}

/// The cost of handling `entries` entries, of which `moved` were changes.
fn work_of(entries: u64, moved: u64) -> u64 {
    moved * Work::ENTRY + entries.saturating_sub(moved) * Work::ENTRY_AGAIN
}

//! What is due by time or because of events; runs at the end of every input.
//!
//! Each machine knows its own deadlines; only the order in which they run is decided here.

use thorp_wire::frame::{Body, Frame, Update};

use super::publishing::Next;
use super::{Output, Peer, Target};
use crate::catalogue::Listing;
use crate::changes::Row;
use crate::links::{self, LinkId, NEIGHBOUR_BOUNDS, TRACKER_ENTRIES};
use crate::publisher::Reader;
use crate::time::Instant;

/// Up to so many neighbours each change of them is told at once: that costs little, and users see
/// it.
const FEW_NEIGHBOURS: usize = 8;

impl Peer {
    pub(super) fn advance(&mut self, now: Instant, share_changed: bool) {
        // First, so that an update serves as the sign of life.
        self.publish(now);
        let events = self.links.advance(now);
        self.on_events(now, events);
        // Neighbours before the tracker, so that a group forms even while its tracker is down.
        self.dial_remembered(now);
        self.ask_in_advance(now);
        if self.home.dial(now) {
            self.out.push_back(Output::Dial(Target::Tracker));
        }
        self.advance_gets(now);
        self.answer_hashed(now, share_changed);
    }

    /// A sign of life is due on a link. A link that is neither to the tracker nor to a neighbour
    /// gets none once it is no longer needed, and so ends. It is needed as long as a file arrives
    /// over it, which may take a while on a slow one.
    pub(super) fn on_silent(&mut self, now: Instant, id: LinkId) {
        if self.publishing.is_under_way(id) {
            // The bytes that wait to be written are the sign of life; that the other end reads
            // them is its own. One more update between the frames of this one could not be read.
            return;
        }
        let is_kept = self.links.get(id).is_some_and(|link| {
            let member = link.member.id;
            link.member.tracker
                || self.neighbours.contains(member)
                || self.fetches.is_asking(member)
        });
        if is_kept && self.publishing.is_behind(id, self.publisher.seq()) {
            self.update(now, id);
        } else if is_kept {
            let mut heartbeat = Update::heartbeat(self.publishing.position(id).unwrap_or(0));
            if self.links.get(id).is_some_and(|link| link.member.tracker) {
                self.report_lookups(&mut heartbeat);
                heartbeat.looking = self.publisher.is_looking();
            }
            if self.publishing.is_stopped(id) {
                // Lets the other end know when there is room for it.
                let own = self.links.catalogue().listing(self.config.me.id);
                let size = own.map(Listing::size).unwrap_or_default();
                heartbeat.entries = Some(size.entries as u64);
                heartbeat.bytes = Some(size.bytes);
            }
            self.send(now, id, Frame::plain(heartbeat));
        }
    }

    fn publish(&mut self, now: Instant) {
        if self.publisher.publish(now, self.links.catalogue_mut()) {
            self.out.push_back(Output::Changed(Row::Share));
        }
        let may_wait = self.config.rules.unhurried && self.neighbours.len() > FEW_NEIGHBOURS;
        for link in self.publishing.due(now, self.publisher.seq()) {
            let (_, reader) = self.reader(link);
            if may_wait && self.publishing.may_wait(link, reader, &self.publisher) {
                self.publishing.wait(link);
            } else {
                self.update(now, link);
            }
        }
    }

    /// How many entries of a listing the member at the other end keeps, and who it is.
    fn reader(&self, link: LinkId) -> (usize, Reader) {
        match self.links.get(link) {
            Some(link) if link.member.tracker => (TRACKER_ENTRIES, Reader::Tracker),
            _ => (NEIGHBOUR_BOUNDS.entries, Reader::Peer),
        }
    }

    /// Brings the copy of the other end of a link nearer to the published state, as far as there is
    /// room on the link.
    fn update(&mut self, now: Instant, link: LinkId) {
        let reader = self.reader(link);
        loop {
            // The tracker is the group's own; any other member pays for what it makes this peer
            // send, before the first of it: an update is not interrupted.
            if let (most, Reader::Peer) = reader
                && let Some(lacking) = self.publishing.catching_up(link)
            {
                if let Some(until) = self.links.may_be_sent_at(now, link) {
                    return self.publishing.hold(link, until);
                }
                let catalogue = self.links.catalogue();
                let entries = self.publisher.entries_since(lacking.from, most, catalogue);
                self.links.on_sent(now, link, entries);
            }
            let catalogue = self.links.catalogue();
            match self
                .publishing
                .next(link, reader, &self.publisher, catalogue)
            {
                Next::Send(mut frame) => {
                    if let (Body::Update(update), (_, Reader::Tracker)) = (&mut frame.body, reader)
                    {
                        self.report_lookups(update);
                    }
                    self.send(now, link, *frame);
                }
                Next::AwaitRoom => {
                    let awaits = links::Output::AwaitRoom(link);
                    return self.out.push_back(Output::Link(awaits));
                }
                Next::Nothing => return,
            }
        }
    }

    /// Tells the tracker of the lookups that it was not told of yet.
    fn report_lookups(&mut self, update: &mut Update) {
        let untold = std::mem::take(&mut self.untold);
        update.lookups = u32::try_from(untold.lookups).unwrap_or(u32::MAX);
        update.spared = u32::try_from(untold.spared).unwrap_or(u32::MAX);
    }
}

//! What time and events have made due: runs at the end of every input.
//!
//! Each small machine knows its own deadlines; this is only the order in which
//! they get their turn.

use thorp_wire::frame::{Frame, Update};

use super::frames::NEIGHBOUR_BOUNDS;
use super::{Output, Peer, Target};
use crate::links::LinkId;
use crate::time::Instant;
use crate::tracker;

impl Peer {
    pub(super) fn advance(&mut self, now: Instant, share_changed: bool) {
        // First, so that an update serves as the sign of life.
        self.publish(now);
        let due = self.links.due(now);
        for (link, reason) in due.lost {
            self.give_up_on(now, link, &reason);
        }
        for link in due.silent {
            self.give_sign_of_life(now, link);
        }
        // Neighbours first: a group whose tracker is down comes up anyway.
        self.dial_remembered(now);
        if self.home.dial(now) {
            self.out.push_back(Output::Dial(Target::Tracker));
        }
        self.advance_lookups(now);
        self.advance_surveys(now);
        self.advance_fetches(now);
        self.look_for_sources();
        self.answer_hashed(now, share_changed);
    }

    /// A link that is neither the tracker's nor a neighbour's is left to fall
    /// silent when it is no longer needed, and so to end.
    fn give_sign_of_life(&mut self, now: Instant, id: LinkId) {
        let is_kept = self
            .links
            .get(id)
            .is_some_and(|link| link.member.tracker || self.neighbours.contains(link.member.id));
        if is_kept {
            let heartbeat = Update::heartbeat(self.publishing.position(id).unwrap_or(0));
            self.send(now, id, Frame::plain(heartbeat));
        }
    }

    fn publish(&mut self, now: Instant) {
        if self.publisher.publish(now, &mut self.catalogue) {
            self.out.push_back(Output::Changed);
        }
        for (link, since) in self.publishing.due(now, self.publisher.seq()) {
            let most = match self.links.get(link) {
                Some(link) if link.member.tracker => tracker::BOUNDS.entries,
                _ => NEIGHBOUR_BOUNDS.entries,
            };
            for update in self.publisher.update_since(since, most, &self.catalogue) {
                self.send(now, link, Frame::plain(update));
            }
            self.publishing.sent(link, self.publisher.seq());
        }
    }
}

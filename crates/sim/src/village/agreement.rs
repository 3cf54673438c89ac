//! Whether the tracker knows who is there, when it should: some time after a disturbance has
//! ended. This walks over all nodes, once for each disturbance.

use std::time::Duration;

use thorp_core::tracker::SMALL_GROUP;

use super::{What, World, machine};
use crate::host::Program;
use crate::network::{Node, TRACKER, id_of};

/// Files that may be on their way into or out of a listing at any moment.
const ON_THEIR_WAY: usize = 3;

impl World {
    /// A disturbance has ended: tracker and peers should agree soon.
    pub(super) fn on_disturbance_over(&mut self) {
        self.happens(self.now + self.settled_within(), TRACKER, What::Settled);
    }

    /// Two intervals, and the way of a message.
    fn settled_within(&self) -> Duration {
        let interval = if self.hosts.len() > SMALL_GROUP as usize {
            self.arm.longest_tracker_interval
        } else {
            self.arm.tracker_interval
        };
        interval * 2 + Duration::from_secs(1)
    }

    /// The tracker lists all who have been online for long enough, with what they have.
    pub(super) fn on_settled(&mut self) {
        let unlisted: Vec<String> = (TRACKER + 1..self.hosts.len())
            .filter_map(|node| self.disagreement(node))
            .collect();
        for what in unlisted {
            self.laws.on_disagreement(self.now, &what);
        }
    }

    fn disagreement(&self, node: Node) -> Option<String> {
        let machine = machine(node)?;
        let host = &self.hosts[node];
        let is_new = self.now - host.since < self.settled_within();
        let Program::Tracker(tracker) = &self.hosts[TRACKER].program else {
            return None;
        };
        if is_new || matches!(host.program, Program::Off) {
            return None;
        }
        if !tracker.peers().any(|presence| presence.id == id_of(node)) {
            return Some(format!(
                "the tracker does not know that {machine:?} is there"
            ));
        }
        let listing = tracker.catalogue().listing(id_of(node));
        let listed = listing.map_or(0, |listing| listing.size().entries);
        let has = if self.truth.lists(machine) {
            self.truth.disk(machine).len() + self.poisoned(machine).len()
        } else {
            0
        };
        (listed.abs_diff(has) > ON_THEIR_WAY)
            .then(|| format!("the tracker lists {listed} files of {machine:?}, which has {has}"))
    }
}

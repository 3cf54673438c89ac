//! Whether the tracker knows who is there, and neighbours what the other has, when they should:
//! some time after a disturbance has ended. This walks over all nodes, twice for each disturbance.

use std::time::Duration;

use super::{What, World, machine};
use crate::host::Program;
use crate::network::{Node, TRACKER, id_of, node_of};
use crate::trace::Machine;

/// Files that may be on their way into or out of a listing at any moment.
const ON_THEIR_WAY: usize = 3;

impl World {
    /// A disturbance has ended: tracker and peers should agree soon.
    pub(super) fn on_disturbance_over(&mut self) {
        self.happens(self.now + self.settled_within(), TRACKER, What::Settled);
        let neighbours = self.now + self.neighbours_settled_within();
        self.happens(neighbours, TRACKER, What::NeighboursSettled);
    }

    fn neighbours_settled_within(&self) -> Duration {
        self.arm.neighbour_interval * 2 + Duration::from_secs(1)
    }

    /// Two intervals, and the way of a message.
    fn settled_within(&self) -> Duration {
        let interval = if self.hosts.len() > self.arm.small_group as usize {
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

    /// Whoever a peer counts among its neighbours is there, or has not been gone for long, and
    /// lists what the peer has of it.
    pub(super) fn on_neighbours_settled(&mut self) {
        let mut wrong = Vec::new();
        for node in TRACKER + 1..self.hosts.len() {
            let Program::Peer(household) = &self.hosts[node].program else {
                continue;
            };
            let neighbours = household.peer.present().listed();
            let copies = neighbours.filter_map(|neighbour| {
                let listing = household.peer.catalogue().listing(neighbour.id)?;
                Some((node_of(neighbour.id)?, listing.size().entries))
            });
            wrong.extend(copies.filter_map(|(of, listed)| self.disagreement_of(node, of, listed)));
        }
        for what in wrong {
            self.laws.on_disagreement(self.now, &what);
        }
    }

    fn disagreement_of(&self, node: Node, of: Node, listed: usize) -> Option<String> {
        let (at, of_whom) = (machine(node)?, machine(of)?);
        if let Some(since) = self.truth.gone_since(of_whom) {
            let gone = self.now - since;
            return (gone > self.arm.forgotten_after()).then(|| {
                format!("{at:?} has {of_whom:?} as a neighbour, which is gone for {gone:?}")
            });
        }
        // Both have been there for long enough that the link is of this time.
        let newer = self.hosts[node].since.max(self.hosts[of].since);
        if self.now - newer < self.neighbours_settled_within() {
            return None;
        }
        let has = self.listed_by(of_whom);
        (listed.abs_diff(has) > ON_THEIR_WAY).then(|| {
            format!("{at:?} lists {listed} files of its neighbour {of_whom:?}, which has {has}")
        })
    }

    /// How many files a machine lists.
    fn listed_by(&self, machine: Machine) -> usize {
        if self.truth.lists(machine) {
            self.truth.disk(machine).len() + self.poisoned(machine).len()
        } else {
            0
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
        if !tracker
            .present()
            .listed()
            .any(|presence| presence.id == id_of(node))
        {
            return Some(format!(
                "the tracker does not know that {machine:?} is there"
            ));
        }
        let listing = tracker.catalogue().listing(id_of(node));
        let listed = listing.map_or(0, |listing| listing.size().entries);
        let has = self.listed_by(machine);
        (listed.abs_diff(has) > ON_THEIR_WAY)
            .then(|| format!("the tracker lists {listed} files of {machine:?}, which has {has}"))
    }
}

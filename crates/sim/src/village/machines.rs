//! Machines that are switched on and off, and what they list.

use thorp_core::links;
use thorp_core::peer::{self, Peer};
use thorp_core::tracker::{self, Tracker};
use thorp_wire::Entry;

use super::requests::Fate;
use super::{What, World, machine, node};
use crate::host::{Household, Program};
use crate::network::{Node, TRACKER};
use crate::trace::{Departure, FileId, Machine};

impl World {
    pub(super) fn start_tracker(&mut self) {
        self.hosts[TRACKER].runs += 1;
        self.hosts[TRACKER].wakes_at = None;
        let me = self.me(TRACKER);
        self.hosts[TRACKER].program = Program::Tracker(Tracker::new(tracker::Config {
            me,
            interval: self.arm.tracker_interval,
            small_group: self.arm.small_group,
            room: tracker::ROOM,
            longest_interval: self.arm.longest_tracker_interval,
            bittorrent: false,
        }));
    }

    pub(super) fn start(&mut self, machine: Machine) {
        let node = node(machine);
        if self.truth.is_online(machine) {
            return;
        }
        self.hosts[node].runs += 1;
        self.hosts[node].since = self.now;
        self.hosts[node].counted_until = self.now;
        self.hosts[node].wakes_at = None;
        let config = peer::Config {
            me: self.me(node),
            has_tracker: true,
            hops: self.arm.hops,
            hearing: self.arm.hearing,
            tracker_interval: self.arm.tracker_interval,
            neighbour_interval: self.arm.neighbour_interval,
            max_neighbours: self.arm.neighbours,
            rules: self.arm.rules,
            remembered: self.hosts[node].remembers.clone(),
            seed: self.seed ^ (node as u64) << 20 ^ u64::from(self.hosts[node].runs),
        };
        let peer = Peer::new(self.now, config);
        self.hosts[node].program = Program::Peer(Household::new(peer));
        self.truth.on_online(machine);
        let files = self.truth.disk(machine).iter();
        let mut entries: Vec<Entry> = files.map(|file| self.entry(*file)).collect();
        entries.extend(self.poisoned(machine));
        self.list(machine, entries, &[]);
        self.on_link(node, links::Input::Tick);
        self.clear_later(node);
        if self.arm.announces.is_some() {
            self.announce(node);
        }
    }

    /// Plain BitTorrent: the tracker is told of each file by itself, again and again.
    pub(super) fn announce(&mut self, node: Node) {
        let (Some(every), Some(machine)) = (self.arm.announces, machine(node)) else {
            return;
        };
        self.announce_all(machine);
        self.happens(self.now + every, node, What::Announce);
    }

    pub(super) fn announce_all(&mut self, machine: Machine) {
        if self.arm.announces.is_some() && self.truth.lists(machine) {
            let files = self.truth.disk(machine).len();
            self.traffic.announced(self.now, node(machine), files);
        }
    }

    pub(super) fn end(&mut self, machine: Machine, how: Departure) {
        let node = node(machine);
        if !self.truth.is_online(machine) {
            return;
        }
        if how == Departure::Goodbye {
            self.announce_all(machine);
            let reason = "stopped by its user".to_owned();
            self.on_link(node, links::Input::Stop { reason });
            for link in self.hosts[node].links.clone() {
                self.hang_up(node, link);
            }
        }
        if let Some(household) = self.hosts[node].peer() {
            let gets = std::mem::take(&mut household.gets).into_values();
            let surveys = std::mem::take(&mut household.surveys).into_values();
            for request in gets.chain(surveys) {
                self.requests[request].fate = Fate::Left;
            }
        }
        self.count_online_of(node);
        self.hosts[node].online_before = self.hosts[node].online(self.now);
        self.switch_off(node);
        self.truth.on_offline(self.now, machine);
    }

    /// The program at a node ends, and nothing more is sent or heard by it.
    pub(super) fn switch_off(&mut self, node: Node) {
        for link in std::mem::take(&mut self.hosts[node].links) {
            self.let_go(node, link);
        }
        self.hosts[node].program = Program::Off;
        self.hosts[node].runs += 1;
    }

    /// A machine lists other files than before, if it lists any.
    pub(super) fn list(&mut self, machine: Machine, added: Vec<Entry>, removed: &[FileId]) {
        if !self.truth.is_online(machine) || !self.truth.lists(machine) {
            return;
        }
        if added.is_empty() && removed.is_empty() {
            return;
        }
        let removed = removed.iter().map(|file| self.entry(*file).name).collect();
        self.give(node(machine), peer::Input::ShareChanged { added, removed });
    }
}

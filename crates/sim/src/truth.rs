//! What is really there, whatever a machine believes: who is online, who has which
//! file. Oracles answer from this, and laws are checked against it. No machine of
//! `core` sees it.

use std::collections::BTreeSet;

use thorp_core::time::Instant;

use crate::trace::{FileId, Machine, Region, Settled};

/// What is really there.
#[derive(Debug)]
pub struct Truth {
    machines: Vec<Settled>,
    presence: Vec<Presence>,
    /// By machine: what is on its disk.
    disks: Vec<BTreeSet<FileId>>,
    /// By file: on whose disks it is.
    copies: Vec<BTreeSet<Machine>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Online,
    /// Since then; never online yet, if there is no time.
    Offline(Option<Instant>),
}

/// Where a file could be had from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Available {
    /// From a machine of the own region.
    pub in_region: bool,
    /// From any machine.
    pub anywhere: bool,
    /// From two machines at least.
    pub twice: bool,
}

impl Truth {
    /// No machine is online, and nothing is there.
    pub fn new(machines: Vec<Settled>, files: usize) -> Self {
        Self {
            presence: vec![Presence::Offline(None); machines.len()],
            disks: vec![BTreeSet::new(); machines.len()],
            copies: vec![BTreeSet::new(); files],
            machines,
        }
    }

    pub fn on_online(&mut self, machine: Machine) {
        self.presence[machine.index()] = Presence::Online;
    }

    pub fn on_offline(&mut self, now: Instant, machine: Machine) {
        self.presence[machine.index()] = Presence::Offline(Some(now));
    }

    /// A machine has a file from now on.
    pub fn on_stored(&mut self, machine: Machine, file: FileId) {
        self.disks[machine.index()].insert(file);
        self.copies[file.index()].insert(machine);
    }

    /// No machine has it any more. Who had it.
    pub fn on_deleted(&mut self, file: FileId) -> BTreeSet<Machine> {
        let owners = std::mem::take(&mut self.copies[file.index()]);
        for owner in &owners {
            self.disks[owner.index()].remove(&file);
        }
        owners
    }

    /// A machine has deleted its copy. Whether it had one.
    pub fn on_deleted_at(&mut self, machine: Machine, file: FileId) -> bool {
        self.copies[file.index()].remove(&machine);
        self.disks[machine.index()].remove(&file)
    }

    /// What is on a machine's disk.
    pub fn disk(&self, machine: Machine) -> &BTreeSet<FileId> {
        &self.disks[machine.index()]
    }

    /// Whether a machine has this file on its disk.
    pub fn has(&self, machine: Machine, file: FileId) -> bool {
        self.disks[machine.index()].contains(&file)
    }

    pub fn is_online(&self, machine: Machine) -> bool {
        self.presence[machine.index()] == Presence::Online
    }

    /// Since when a machine is gone, if it was there once and is not now.
    pub fn gone_since(&self, machine: Machine) -> Option<Instant> {
        match self.presence[machine.index()] {
            Presence::Offline(since) => since,
            Presence::Online => None,
        }
    }

    pub fn region(&self, machine: Machine) -> Region {
        self.machines[machine.index()].region
    }

    /// Whether a machine lists what it has.
    pub fn lists(&self, machine: Machine) -> bool {
        !self.machines[machine.index()].is_free_rider
    }

    /// The machines that list a file and are online, but for one.
    pub fn holders(&self, file: FileId, but: Machine) -> impl Iterator<Item = Machine> {
        let copies = self.copies[file.index()].iter().copied();
        copies.filter(move |at| *at != but && self.is_online(*at) && self.lists(*at))
    }

    /// From where a machine could have a file now.
    pub fn available(&self, to: Machine, file: FileId) -> Available {
        let home = self.region(to);
        Available {
            in_region: self.holders(file, to).any(|at| self.region(at) == home),
            anywhere: self.holders(file, to).next().is_some(),
            twice: self.holders(file, to).nth(1).is_some(),
        }
    }
}

//! Members that list what they do not have, or something else by its name. What a user
//! fetches of it is listed at home, as everything else is, and so goes on from there.

use std::collections::BTreeMap;

use thorp_wire::{Content, Entry};

use super::{World, node};
use crate::network::Node;
use crate::trace::{FileId, Machine, Poison};

/// By node and listed content: how it is poisoned.
pub(super) type Poisons = BTreeMap<(Node, FileId), Poison>;

/// What a machine sends when it is asked for a content.
pub(super) enum Sent {
    /// This: the content that was asked for, or another one.
    File(FileId),
    /// That it has no such file.
    NotHere,
}

impl World {
    /// A machine begins to poison a file.
    pub(super) fn poison(&mut self, machine: Machine, file: FileId, how: Poison) {
        let listed = match how {
            Poison::Absent | Poison::Corrupt => file,
            Poison::Forged => file.forged(),
        };
        self.poisons.insert((node(machine), listed), how);
        let entry = self.entry(listed);
        self.list(machine, vec![entry], &[]);
    }

    /// A machine has fetched a forged file, and has it from now on.
    pub(super) fn on_forged_stored(&mut self, machine: Machine, forged: FileId) {
        self.poison(machine, forged.honest(), Poison::Forged);
    }

    /// What a machine lists besides what it has.
    pub(super) fn poisoned(&self, machine: Machine) -> Vec<Entry> {
        let node = node(machine);
        let its = self.poisons.range((node, FileId(0))..(node + 1, FileId(0)));
        its.map(|((_, listed), _)| self.entry(*listed)).collect()
    }

    /// What a machine sends when it is asked for a content.
    pub(super) fn sent_for(&self, machine: Machine, content: Content) -> Sent {
        let wanted = FileId::of(content);
        if self.truth.has(machine, wanted) {
            return Sent::File(wanted);
        }
        match self.poisons.get(&(node(machine), wanted)) {
            Some(Poison::Corrupt) => Sent::File(wanted.forged()),
            Some(Poison::Forged) => Sent::File(wanted),
            Some(Poison::Absent) | None => Sent::NotHere,
        }
    }
}

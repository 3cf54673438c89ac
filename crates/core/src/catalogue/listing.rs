//! One peer's entries.

use std::collections::BTreeMap;

use thorp_wire::frame::Position;
use thorp_wire::{Content, Entry, Name, PeerId, Root};

use super::ListingSize;
use super::slots::Slot;

/// One peer's entries.
#[derive(Debug)]
pub struct Listing {
    pub(super) slot: Slot,
    /// Nothing, while an update is on its way into it.
    pub(super) position: Option<Position>,
    pub(super) entries: BTreeMap<Name, Facts>,
    pub(super) neighbours: Vec<PeerId>,
    /// Wide enough for any lengths that a peer may claim.
    pub(super) bytes: u128,
    pub(super) cost: u64,
}

/// What is known of a file, besides its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) length: u64,
    pub(super) mtime: i64,
    pub(super) nanos: u32,
    pub(super) executable: bool,
    pub(super) root: Option<Root>,
    pub(super) partial: bool,
}

impl Listing {
    pub(super) fn new(slot: Slot) -> Self {
        Self {
            slot,
            position: None,
            entries: BTreeMap::new(),
            neighbours: Vec::new(),
            bytes: 0,
            cost: 0,
        }
    }

    /// Its entries, in the order of their names.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        self.entries.iter().map(|(name, facts)| facts.entry(name))
    }

    /// Its names, in order.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.entries.keys()
    }

    /// One entry.
    pub fn entry(&self, name: &Name) -> Option<Entry> {
        self.entries.get(name).map(|facts| facts.entry(name))
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How large it is.
    pub fn size(&self) -> ListingSize {
        ListingSize {
            entries: self.entries.len(),
            bytes: self.cost,
        }
    }

    /// The sum of its files' lengths.
    pub fn bytes(&self) -> u64 {
        u64::try_from(self.bytes).unwrap_or(u64::MAX)
    }

    /// The neighbours its peer names.
    pub fn neighbours(&self) -> &[PeerId] {
        &self.neighbours
    }
}

impl Facts {
    pub(super) fn content(&self) -> Option<Content> {
        let root = self.root?;
        Some(Content {
            length: self.length,
            root,
        })
    }

    pub(super) fn entry(&self, name: &Name) -> Entry {
        Entry {
            name: name.clone(),
            length: self.length,
            mtime: self.mtime,
            root: self.root,
            partial: self.partial,
            nanos: self.nanos,
            executable: self.executable,
        }
    }
}

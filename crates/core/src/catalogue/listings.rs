//! The listings by peer and by slot, and where an entry stands among them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use thorp_wire::{Content, InfoHash, Name, PeerId};

use super::listing::{Facts, Listing, Row};

/// Names one peer within the indices: the lowest number that is free.
pub(super) type Slot = u32;

/// An entry: in whose listing it stands, and there in which row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub slot: Slot,
    pub row: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Listings {
    slots: BTreeMap<PeerId, Slot>,
    by_slot: Vec<Option<Listing>>,
    free: BTreeSet<Slot>,
    /// Listings that are being forgotten, in order. Their entries are still in the indices,
    /// and passed over there.
    leaving: VecDeque<Slot>,
}

impl Listings {
    pub fn get(&self, peer: PeerId) -> Option<&Listing> {
        self.at(*self.slots.get(&peer)?)
    }

    pub fn get_mut(&mut self, peer: PeerId) -> Option<&mut Listing> {
        let slot = *self.slots.get(&peer)?;
        self.by_slot.get_mut(slot as usize)?.as_mut()
    }

    pub fn of(&self, peer: PeerId) -> Option<(Slot, &Listing)> {
        let slot = *self.slots.get(&peer)?;
        Some((slot, self.at(slot)?))
    }

    pub fn at(&self, slot: Slot) -> Option<&Listing> {
        self.by_slot.get(slot as usize)?.as_ref()
    }

    /// Changes the listing of a peer that is present.
    pub fn change<T>(&mut self, slot: Slot, change: impl FnOnce(&mut Listing) -> T) -> T {
        let listing = self.by_slot[slot as usize].as_mut();
        change(listing.expect("an index names peers that are present"))
    }

    /// In the order of their peers' ids.
    pub fn iter(&self) -> impl Iterator<Item = (PeerId, Slot, &Listing)> {
        let slots = self.slots.iter();
        slots.filter_map(|(peer, slot)| Some((*peer, *slot, self.at(*slot)?)))
    }

    /// Begins a listing for a peer that has none.
    pub fn begin(&mut self, peer: PeerId) -> &mut Listing {
        let slot = self.free.pop_first().unwrap_or_else(|| {
            self.by_slot.push(None);
            Slot::try_from(self.by_slot.len() - 1).expect("fewer peers than 2^32")
        });
        self.slots.insert(peer, slot);
        self.by_slot[slot as usize].insert(Listing::new(peer))
    }

    /// Begins to forget a peer's listing. Returns whether it had one.
    pub fn leave(&mut self, peer: PeerId) -> bool {
        let Some(slot) = self.slots.remove(&peer) else {
            return false;
        };
        self.change(slot, Listing::leave);
        self.leaving.push_back(slot);
        true
    }

    /// The last entry of a listing that is being forgotten.
    pub fn next_to_leave(&mut self) -> Option<At> {
        loop {
            let slot = *self.leaving.front()?;
            let last = self.at(slot).and_then(|listing| listing.numbers().last());
            if let Some(row) = last {
                return Some(At { slot, row });
            }
            self.leaving.pop_front();
            self.by_slot[slot as usize] = None;
            self.free.insert(slot);
        }
    }

    /// The listings that are being forgotten.
    pub fn leaving(&self) -> impl Iterator<Item = (Slot, &Listing)> {
        let slots = self.leaving.iter();
        slots.filter_map(|slot| Some((*slot, self.at(*slot)?)))
    }

    /// What the listing of this entry takes.
    pub fn bytes_of(&self, at: At) -> u64 {
        self.listing(at).size().bytes
    }

    /// Whether the listing of this entry is being forgotten.
    pub fn is_leaving(&self, at: At) -> bool {
        self.at(at.slot).is_none_or(Listing::is_leaving)
    }

    pub fn row(&self, at: At) -> &Row {
        self.listing(at).row(at.row)
    }

    pub fn name(&self, at: At) -> &Name {
        &self.row(at).name
    }

    /// The info-hash of the file's v1 torrent, if its holder says one.
    pub fn v1(&self, at: At) -> Option<InfoHash> {
        self.listing(at).v1(self.name(at))
    }

    pub fn facts(&self, at: At) -> &Facts {
        &self.row(at).facts
    }

    pub fn peer(&self, at: At) -> PeerId {
        self.listing(at).peer
    }

    /// Its place among names.
    pub fn name_key(&self, at: At) -> (&Name, Slot) {
        (self.name(at), at.slot)
    }

    /// Its place among the last parts of names.
    pub fn base_key(&self, at: At) -> (&str, &Name, Slot) {
        let name = self.name(at);
        (name.base(), name, at.slot)
    }

    /// Its place among contents.
    pub fn content_key(&self, at: At) -> (Option<Content>, &Name, Slot) {
        let Row { name, facts } = self.row(at);
        (facts.content(), name, at.slot)
    }

    fn listing(&self, at: At) -> &Listing {
        self.at(at.slot)
            .expect("an index names peers that are present")
    }
}

//! Walks over files from any place among them, forwards and backwards: what is
//! shown a page at a time.
//!
//! A walk goes from name to name without looking at all the holders of each, and
//! gathers the holders of a name only when its files are taken.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use thorp_wire::{Entry, Name, PeerId, Root};

use super::keys::rows_of;
use super::slots::Slot;
use super::{Catalogue, File, Listing};

/// Where a file stands among all: its name, and its number, from 0, among the
/// files that go by that name.
pub type Spot<'a> = (&'a Name, usize);

/// Files of a catalogue from some place on, in the order of their names or
/// against it.
pub struct Walk<'a> {
    catalogue: &'a Catalogue,
    /// The next name, if its files are not in `ready`.
    next: Option<&'a Name>,
    is_backwards: bool,
    ready: VecDeque<NamedFile>,
}

/// A file on a walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// The file.
    pub file: File,
    /// Of its holders, those that have all of it.
    pub wholes: Vec<PeerId>,
    /// Its number, from 0, among the files of its name.
    pub nth: usize,
    /// Whether another content goes by the same name.
    pub has_twin: bool,
}

impl Catalogue {
    /// All files from this place on.
    pub fn files_from(&self, from: Option<Spot<'_>>) -> Walk<'_> {
        let Some((name, nth)) = from else {
            return self.walk(self.by_name.first().map(|(name, _)| name), false);
        };
        let first = self.by_name.range((name.clone(), 0)..).next();
        let mut walk = self.walk(first.map(|(name, _)| name), false);
        if walk.next == Some(name) {
            walk.ready_next();
            walk.ready.retain(|stop| stop.nth >= nth);
        }
        walk
    }

    /// All files before this place, or before the end, the last one first.
    pub fn files_before(&self, before: Option<Spot<'_>>) -> Walk<'_> {
        let Some((name, nth)) = before else {
            return self.walk(self.by_name.last().map(|(name, _)| name), true);
        };
        let last = self.by_name.range(..(name.clone(), Slot::MAX)).next_back();
        let mut walk = self.walk(last.map(|(name, _)| name), true);
        if walk.next == Some(name) {
            walk.ready_next();
            walk.ready.retain(|stop| stop.nth < nth);
        }
        walk
    }

    fn walk<'a>(&'a self, next: Option<&'a Name>, is_backwards: bool) -> Walk<'a> {
        Walk {
            catalogue: self,
            next,
            is_backwards,
            ready: VecDeque::new(),
        }
    }

    /// The file of a name that all holders list with the same root.
    fn only_stop(&self, name: &Name) -> Option<NamedFile> {
        let slots: Vec<Slot> = rows_of(&self.by_name, name).map(|(_, slot)| slot).collect();
        let first = self.slots.peer(*slots.first()?);
        let facts = self.listings.get(&first)?.entries.get(name)?;
        let content = facts.content()?;
        let first = (content, Some(name.clone()), 0);
        let last = (content, Some(name.clone()), Slot::MAX);
        if self.by_content.range(first..=last).count() != slots.len() {
            return None;
        }
        let has_all = |slot: &&Slot| {
            let may_lack = self.parts.contains_key(slot);
            !(may_lack && self.has_a_part(self.slots.peer(**slot), name))
        };
        let peer = |slot: &Slot| self.slots.peer(*slot);
        let entry = Entry {
            partial: false,
            ..facts.entry(name)
        };
        Some(NamedFile {
            file: File {
                entry,
                holders: slots.iter().map(peer).collect(),
            },
            wholes: slots.iter().filter(has_all).map(peer).collect(),
            nth: 0,
            has_twin: false,
        })
    }

    /// The files of a name. As a rule there is one, and no holder has to be looked
    /// up to see that: there may be as many holders as there are members.
    fn stops(&self, name: &Name) -> Vec<NamedFile> {
        if let Some(stop) = self.only_stop(name) {
            return vec![stop];
        }
        let mut stops: Vec<NamedFile> = Vec::new();
        let mut contents: BTreeMap<(u64, Option<Root>), usize> = BTreeMap::new();
        for (_, slot) in rows_of(&self.by_name, name) {
            let peer = self.slots.peer(slot);
            let listing = self.listings.get(&peer);
            let Some(facts) = listing.and_then(|listing| listing.entries.get(name)) else {
                continue;
            };
            let content = (facts.length, facts.root);
            // As a rule all have the same.
            let is_last =
                |stop: &NamedFile| (stop.file.entry.length, stop.file.entry.root) == content;
            let nth = match stops.last().filter(|stop| is_last(stop)) {
                Some(last) => last.nth,
                None => *contents.entry(content).or_insert(stops.len()),
            };
            if nth == stops.len() {
                let entry = Entry {
                    partial: false,
                    ..facts.entry(name)
                };
                let holders = Vec::new();
                stops.push(NamedFile {
                    file: File { entry, holders },
                    wholes: Vec::new(),
                    nth,
                    has_twin: false,
                });
            }
            stops[nth].file.holders.push(peer);
            if !facts.partial {
                stops[nth].wholes.push(peer);
            }
        }
        if stops.len() > 1 {
            for stop in &mut stops {
                stop.has_twin = true;
            }
        }
        stops
    }
}

impl Listing {
    /// Its entries in the order of their names, behind this one.
    pub fn entries_after(&self, after: Option<&Name>) -> impl Iterator<Item = Entry> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let entries = self.entries.range::<Name, _>((after, Bound::Unbounded));
        entries.map(|(name, facts)| facts.entry(name))
    }

    /// Its entries before this name, or before the end, the last one first.
    pub fn entries_before(&self, before: Option<&Name>) -> impl Iterator<Item = Entry> {
        let before = before.map_or(Bound::Unbounded, Bound::Excluded);
        let entries = self.entries.range::<Name, _>((Bound::Unbounded, before));
        entries.rev().map(|(name, facts)| facts.entry(name))
    }
}

impl Walk<'_> {
    /// Gathers the files of the next name, and goes on to the one behind it.
    fn ready_next(&mut self) {
        let Some(name) = self.next.take() else {
            return;
        };
        self.ready.extend(self.catalogue.stops(name));
        let names = &self.catalogue.by_name;
        let next = if self.is_backwards {
            names.range(..(name.clone(), 0)).next_back()
        } else {
            names.range((name.clone(), Slot::MAX)..).next()
        };
        self.next = next.map(|(name, _)| name);
    }
}

impl Iterator for Walk<'_> {
    type Item = NamedFile;

    fn next(&mut self) -> Option<NamedFile> {
        if self.ready.is_empty() {
            self.ready_next();
        }
        if self.is_backwards {
            self.ready.pop_back()
        } else {
            self.ready.pop_front()
        }
    }
}

//! Walks over files from any place among them, forwards and backwards: what is
//! shown a page at a time.
//!
//! A walk goes from name to name without looking at all the holders of each, and
//! gathers the holders of a name only when its files are taken.

use std::collections::{BTreeMap, VecDeque};

use thorp_wire::{Name, PeerId, Root};

use super::listings::{At, Slot};
use super::{Catalogue, File};

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
            return self.walk(self.indices.all_names(&self.listings).next(), false);
        };
        let first = self.indices.names_from(&self.listings, name, 0).next();
        let mut walk = self.walk(first, false);
        if walk.next == Some(name) {
            walk.ready_next();
            walk.ready.retain(|stop| stop.nth >= nth);
        }
        walk
    }

    /// All files before this place, or before the end, the last one first.
    pub fn files_before(&self, before: Option<Spot<'_>>) -> Walk<'_> {
        let Some((name, nth)) = before else {
            return self.walk(self.indices.all_names(&self.listings).next_back(), true);
        };
        let mut last = self.indices.names_before(&self.listings, name, Slot::MAX);
        let mut walk = self.walk(last.next(), true);
        if walk.next == Some(name) {
            walk.ready_next();
            walk.ready.retain(|stop| stop.nth < nth);
        }
        walk
    }

    fn walk<'a>(&'a self, next: Option<(&'a Name, At)>, is_backwards: bool) -> Walk<'a> {
        Walk {
            catalogue: self,
            next: next.map(|(name, _)| name),
            is_backwards,
            ready: VecDeque::new(),
        }
    }

    /// The files of a name.
    pub(super) fn stops(&self, name: &Name) -> Vec<NamedFile> {
        let mut stops: Vec<NamedFile> = Vec::new();
        let mut contents: BTreeMap<(u64, Option<Root>), usize> = BTreeMap::new();
        for (_, at) in self.indices.of_name(&self.listings, name) {
            let (peer, row) = (self.listings.peer(at), self.listings.row(at));
            let content = row.facts.what();
            // As a rule all have the same.
            let is_last =
                |stop: &NamedFile| (stop.file.entry.length, stop.file.entry.root) == content;
            let nth = match stops.last().filter(|stop| is_last(stop)) {
                Some(last) => last.nth,
                None => *contents.entry(content).or_insert(stops.len()),
            };
            if nth == stops.len() {
                let (entry, holders) = (row.entry_of_file(), Vec::new());
                stops.push(NamedFile {
                    file: File { entry, holders },
                    wholes: Vec::new(),
                    nth,
                    has_twin: false,
                });
            }
            let file = &mut stops[nth].file;
            file.entry.v1 = file.entry.v1.or_else(|| self.listings.v1(at));
            file.holders.push(peer);
            if !row.facts.partial {
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

impl Walk<'_> {
    /// Gathers the files of the next name, and goes on to the one behind it.
    fn ready_next(&mut self) {
        let Some(name) = self.next.take() else {
            return;
        };
        self.ready.extend(self.catalogue.stops(name));
        let Catalogue {
            indices, listings, ..
        } = self.catalogue;
        let next = if self.is_backwards {
            indices.names_before(listings, name, 0).next()
        } else {
            indices.names_from(listings, name, Slot::MAX).next()
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

//! The walk over files in the order of their names: all of them, those that match a
//! pattern, or those that a filter does not contain, until it has cost as much as it may.

use thorp_wire::Name;
use thorp_wire::frame::NameFilter;

use super::listings::Slot;
use super::{Among, Catalogue, File};
use crate::matching::Pattern;

/// Files of a catalogue in the order of their names.
pub struct Files<'a> {
    pub(super) catalogue: &'a Catalogue,
    pub(super) next: Option<(Name, Slot)>,
    pub(super) pattern: Option<&'a Pattern>,
    /// Names that are left out.
    pub(super) known: Option<&'a NameFilter>,
    /// The last name that is looked at.
    pub(super) until: Option<&'a Name>,
    pub(super) among: Among<'a>,
    /// Files of the current name, last first.
    pub(super) ready: Vec<File>,
    /// What the search has cost so far, and what it may cost.
    pub(super) steps: u64,
    pub(super) most: u64,
    pub(super) behind: Option<Name>,
}

impl<'a> Files<'a> {
    /// Steps for a row of the index.
    const ROW: u64 = 32;

    pub(super) fn none(catalogue: &'a Catalogue) -> Self {
        Self {
            catalogue,
            next: None,
            pattern: None,
            known: None,
            until: None,
            among: &|_| true,
            steps: 0,
            most: u64::MAX,
            behind: None,
            ready: Vec::new(),
        }
    }

    /// The same, up to the name at which it has taken this many steps.
    #[must_use]
    pub fn taking(self, most: u64) -> Self {
        Self { most, ..self }
    }

    /// What it has cost so far, in the steps of [`Pattern::steps`].
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The name behind which to continue, if it stopped before the end.
    pub fn behind(self) -> Option<Name> {
        self.behind
    }

    /// Gathers the files of the next name that is wanted; `None` if there is
    /// none.
    fn advance(&mut self) -> Option<()> {
        let (start, slot) = self.next.take()?;
        let Catalogue {
            indices, listings, ..
        } = self.catalogue;
        let prefix = self.pattern.map_or("", Pattern::prefix);
        let wanted = |name: &Name| {
            self.pattern.is_none_or(|pattern| pattern.matches(name))
                && self.known.is_none_or(|known| !known.contains(name))
        };
        let mut last: Option<&Name> = None;
        for (name, _) in indices.names_from(listings, &start, slot) {
            if self.steps >= self.most && last.is_some_and(|last| last != name) {
                self.behind = last.cloned();
                return None;
            }
            self.steps += Self::ROW;
            if last == Some(name) {
                continue;
            }
            if !name.as_str().starts_with(prefix) {
                if name.as_str() < prefix {
                    continue;
                }
                return None;
            }
            if self.until.is_some_and(|until| name > until) {
                return None;
            }
            last = Some(name);
            self.steps += self.pattern.map_or(0, |pattern| pattern.steps(name));
            if !wanted(name) {
                continue;
            }
            self.ready = self.catalogue.spelt(name, self.among);
            if !self.ready.is_empty() {
                self.ready.reverse();
                self.next = Some((name.clone(), Slot::MAX));
                return Some(());
            }
        }
        None
    }
}

impl Iterator for Files<'_> {
    type Item = File;

    fn next(&mut self) -> Option<File> {
        loop {
            if let Some(file) = self.ready.pop() {
                return Some(file);
            }
            self.advance()?;
        }
    }
}

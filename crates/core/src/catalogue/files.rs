//! The walk over files in the order of their names: all of them, those that match a
//! pattern, or those that a filter does not contain, until it has cost as much as it may.

use thorp_wire::Name;
use thorp_wire::frame::NameFilter;

use super::by_name::SameName;
use super::{Among, Catalogue, File};
use crate::ahead::{ahead, first_byte};
use crate::matching::Pattern;

/// Names in their order, each with all its entries.
pub(super) type SameNames<'a> = Box<dyn Iterator<Item = SameName<'a>> + 'a>;

/// Files of a catalogue in the order of their names.
pub struct Files<'a> {
    pub(super) catalogue: &'a Catalogue,
    /// The names that were not looked at yet.
    pub(super) names: SameNames<'a>,
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
    /// Steps for a name, and for each entry that is looked at in vain.
    const ROW: u64 = 32;

    /// All files of these names.
    pub(super) fn of(catalogue: &'a Catalogue, names: SameNames<'a>) -> Self {
        let names = ahead(names, |same| first_byte(same.name.as_str()));
        Self {
            catalogue,
            names: Box::new(names),
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
        let prefix = self.pattern.map_or("", Pattern::prefix);
        let mut last: Option<&Name> = None;
        for same in self.names.by_ref() {
            let name = same.name;
            if self.steps >= self.most && last.is_some() {
                self.behind = last.cloned();
                return None;
            }
            self.steps += Self::ROW + same.steps();
            if !name.as_str().starts_with(prefix) {
                return None;
            }
            if self.until.is_some_and(|until| name > until) {
                return None;
            }
            last = Some(name);
            self.steps += self.pattern.map_or(0, |pattern| pattern.steps(name));
            let is_wanted = self.pattern.is_none_or(|pattern| pattern.matches(name))
                && self.known.is_none_or(|known| !known.contains(name));
            if !is_wanted {
                continue;
            }
            let listings = &self.catalogue.listings;
            let places = same.places().filter(|at| !listings.is_leaving(*at));
            self.catalogue.group(places, self.among, &mut self.ready);
            if !self.ready.is_empty() {
                self.ready.reverse();
                return Some(());
            }
            self.steps += Self::ROW * same.others as u64;
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

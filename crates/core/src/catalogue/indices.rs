//! In which orders the entries of all listings are found.
//!
//! An index has each entry's place and nothing of it: what comes before what is looked
//! up in the listings. Entries of a listing that is being forgotten are in it until they
//! have been taken out, and are not found.

use std::collections::BTreeSet;

use thorp_packed::{Between, Ordered};
use thorp_wire::{Content, Name, Root};

use super::by_name::{ByName, SameName};
use super::keys::nfc_keys;
use super::listings::{At, Listings, Slot};

/// Entries in an index: the name, and where it is listed, in the order of these.
pub(super) type Rows<'a> = Box<dyn Iterator<Item = (&'a Name, At)> + 'a>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Indices {
    names: ByName,
    /// Names that have a folder, by their base.
    bases: Ordered<At>,
    /// Entries with a root, each with the beginning of it: few have the same, so that
    /// nothing is looked up to tell which of two is before the other.
    contents: Ordered<(u32, At)>,
    /// Names whose path or base is not in form C, by their form C: few, as a rule.
    composed: BTreeSet<(Name, Option<Name>, Slot)>,
}

impl Indices {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Where a name of this peer is among names, or belongs there; and the same name, if
    /// any peer lists it.
    pub fn look_for<'a>(
        &self,
        listings: &'a Listings,
        name: &Name,
        slot: Slot,
    ) -> (Between, Option<&'a Name>) {
        let is_before = |at| listings.name_key(at) < (name, slot);
        let place = self.names.place(is_before);
        let around = self.names.around(place).into_iter().flatten();
        let mut around = around.map(|at| listings.name(at));
        (place, around.find(|known| *known == name))
    }

    /// An entry has come, with a name that belongs here.
    pub fn insert(&mut self, listings: &Listings, place: Between, at: At) {
        self.names.insert(listings, place, at);
        if let Some(place) = self.base_place(listings, at) {
            self.bases.insert(place, at);
        }
        let name = listings.name(at);
        let keys = nfc_keys(name).map(|key| (key, Some(name.clone()), at.slot));
        self.composed.extend(keys);
    }

    /// An entry goes, with its name.
    pub fn remove(&mut self, listings: &Listings, at: At) {
        let place = self.name_place(listings, at);
        self.names.remove(listings, place);
        if let Some(place) = self.base_place(listings, at) {
            self.bases.remove(place);
        }
        let name = listings.name(at);
        for key in nfc_keys(name) {
            self.composed.remove(&(key, Some(name.clone()), at.slot));
        }
    }

    /// What is known of an entry's content has come. Returns whether no other peer lists
    /// just this content under just this name.
    pub fn insert_content(&mut self, listings: &Listings, at: At) -> bool {
        let Some(place) = self.content_place(listings, at) else {
            return true;
        };
        let around = [self.contents.get_before(place), self.contents.get(place)];
        let start = beginning(listings, at);
        self.contents.insert(place, (start, at));
        !is_same_as_any(listings, at, around)
    }

    /// What is known of an entry's content goes. Returns the same.
    pub fn remove_content(&mut self, listings: &Listings, at: At) -> bool {
        let Some(place) = self.content_place(listings, at) else {
            return true;
        };
        let next = self.contents.from(place).nth(1);
        let around = [self.contents.get_before(place), next];
        self.contents.remove(place);
        !is_same_as_any(listings, at, around)
    }

    /// An entry is going to have another number.
    pub fn renumber(&mut self, listings: &Listings, at: At, row: u32) {
        let now = At { row, ..at };
        self.names.renumber(self.name_place(listings, at), now);
        if let Some(place) = self.base_place(listings, at) {
            self.bases.replace(place, now);
        }
        if let Some(place) = self.content_place(listings, at) {
            self.contents.replace(place, (beginning(listings, at), now));
        }
    }

    /// Entries by name, from the first that is not before this one.
    pub fn names_from<'a>(
        &'a self,
        listings: &'a Listings,
        from: &Name,
        slot: Slot,
    ) -> impl Iterator<Item = (&'a Name, At)> + use<'a> {
        let is_before = |at| listings.name_key(at) < (from, slot);
        named(listings, self.names.from(self.names.place(is_before)))
    }

    /// Entries by name, from the first whose name is not before this text.
    pub fn texts_from<'a>(
        &'a self,
        listings: &'a Listings,
        from: &str,
    ) -> impl Iterator<Item = (&'a Name, At)> + use<'a> {
        let is_before = |at| listings.name(at).as_str() < from;
        named(listings, self.names.from(self.names.place(is_before)))
    }

    /// Names behind this one, each with all its entries. Those of a listing that is being
    /// forgotten are among them.
    pub fn names_behind<'a>(
        &'a self,
        listings: &'a Listings,
        after: Option<&Name>,
    ) -> impl Iterator<Item = SameName<'a>> + use<'a> {
        let is_before = |at| after.is_some_and(|after| listings.name(at) <= after);
        let place = self.names.place(is_before);
        self.names.names_from(listings, place)
    }

    /// The same from the first name that is not before this text.
    pub fn same_names_from<'a>(
        &'a self,
        listings: &'a Listings,
        from: &str,
    ) -> impl Iterator<Item = SameName<'a>> + use<'a> {
        let place = self.names.place(|at| listings.name(at).as_str() < from);
        self.names.names_from(listings, place)
    }

    /// Entries by name, from the last that is before this one, backwards.
    pub fn names_before<'a>(
        &'a self,
        listings: &'a Listings,
        before: &Name,
        slot: Slot,
    ) -> impl Iterator<Item = (&'a Name, At)> + use<'a> {
        let is_before = |at| listings.name_key(at) < (before, slot);
        let place = self.names.place(is_before);
        named(listings, self.names.backwards_from(place))
    }

    /// All entries by name, from either end.
    pub fn all_names<'a>(
        &'a self,
        listings: &'a Listings,
    ) -> impl DoubleEndedIterator<Item = (&'a Name, At)> {
        named(listings, self.names.all())
    }

    /// Who lists exactly this name.
    pub fn of_name<'a>(&'a self, listings: &'a Listings, name: &Name) -> Rows<'a> {
        let name = name.clone();
        let rows = self.names_from(listings, &name, 0);
        Box::new(rows.take_while(move |(found, _)| **found == name))
    }

    /// Who lists names with this last part, behind `after`.
    pub fn of_base<'a>(
        &'a self,
        listings: &'a Listings,
        base: &Name,
        after: Option<&Name>,
    ) -> Rows<'a> {
        let base = base.clone();
        let is_before = |at| {
            let (of, name, _) = listings.base_key(at);
            (of, Some(name)) <= (base.as_str(), after)
        };
        let rows = named(listings, self.bases.from(self.bases.place(is_before)));
        Box::new(rows.take_while(move |(name, _)| name.base() == base.as_str()))
    }

    /// Who lists names with this form C, or with a last part of this form C, behind `after`.
    pub fn of_nfc<'a>(
        &'a self,
        listings: &'a Listings,
        key: &Name,
        after: Option<&Name>,
    ) -> Rows<'a> {
        let key = key.clone();
        let start = match after {
            Some(after) => (key.clone(), Some(after.clone()), Slot::MAX),
            None => (key.clone(), None, 0),
        };
        let keys = self.composed.range(start..);
        let keys = keys.take_while(move |(found, _, _)| *found == key);
        Box::new(keys.filter_map(|(_, name, slot)| {
            let (slot, name) = (*slot, name.as_ref()?);
            let row = listings.at(slot)?.find(name)?;
            Some((name, At { slot, row }))
        }))
    }

    /// Who lists this content, in the order of the names.
    pub fn of_content<'a>(
        &'a self,
        listings: &'a Listings,
        content: Content,
    ) -> impl Iterator<Item = (&'a Name, At)> {
        let key = (beginning_of(content.root), Some(content));
        let is_before =
            |(start, at)| start < key.0 || start == key.0 && listings.facts(at).content() < key.1;
        let values = self.contents.from(self.contents.place(is_before));
        let places = values.map(|(_, at)| at);
        let is_of_it = move |at: &At| listings.facts(*at).content() == Some(content);
        named(listings, places.take_while(is_of_it))
    }

    fn name_place(&self, listings: &Listings, at: At) -> Between {
        let key = listings.name_key(at);
        self.names.place(|other| listings.name_key(other) < key)
    }

    fn base_place(&self, listings: &Listings, at: At) -> Option<Between> {
        listings.name(at).folder()?;
        let key = listings.base_key(at);
        Some(self.bases.place(|other| listings.base_key(other) < key))
    }

    fn content_place(&self, listings: &Listings, at: At) -> Option<Between> {
        listings.facts(at).content()?;
        let (start, key) = (beginning(listings, at), listings.content_key(at));
        Some(self.contents.place(|(other_start, other)| {
            other_start < start || other_start == start && listings.content_key(other) < key
        }))
    }

    /// Asserts that these are the entries of the listings, and in order.
    pub fn check(&self, listings: &Listings) {
        let (mut names, mut bases, mut contents) = (Vec::new(), Vec::new(), Vec::new());
        let mut composed = BTreeSet::new();
        let there = listings.iter().map(|(_, slot, listing)| (slot, listing));
        for (slot, listing) in there.chain(listings.leaving()) {
            for row in listing.numbers() {
                let at = At { slot, row };
                let name = listings.name(at);
                names.push(at);
                bases.extend(name.folder().map(|_| at));
                contents.extend(listings.facts(at).content().map(|_| at));
                composed.extend(nfc_keys(name).map(|key| (key, Some(name.clone()), slot)));
            }
        }
        names.sort_by_key(|at| listings.name_key(*at));
        bases.sort_by_key(|at| listings.base_key(*at));
        contents.sort_by_key(|at| (beginning(listings, *at), listings.content_key(*at)));
        self.names.check(listings, &names);
        assert!(self.bases.all().eq(bases));
        let contents = contents.into_iter();
        let contents = contents.map(|at| (beginning(listings, at), at));
        assert!(self.contents.all().eq(contents));
        assert_eq!(self.composed, composed);
    }

    #[cfg(test)]
    pub fn room(&self) -> usize {
        self.names.room()
            + self.bases.capacity() * size_of::<At>()
            + self.contents.capacity() * size_of::<(u32, At)>()
    }
}

/// All of these rows, in the order of their names.
pub(super) fn merged(sources: Vec<Rows<'_>>) -> Rows<'_> {
    let mut sources: Vec<_> = sources.into_iter().map(Iterator::peekable).collect();
    Box::new(std::iter::from_fn(move || {
        let first = sources
            .iter_mut()
            .filter_map(|source| Some((*source.peek()?, source)))
            .min_by_key(|((name, at), _)| (*name, at.slot));
        first.and_then(|(_, source)| source.next())
    }))
}

fn named<'a, I: Iterator<Item = At>>(
    listings: &'a Listings,
    values: I,
) -> std::iter::FilterMap<I, impl FnMut(At) -> Option<(&'a Name, At)>> {
    values.filter_map(|at| {
        let is_leaving = listings.is_leaving(at);
        if is_leaving {
            return None;
        }
        Some((listings.name(at), at))
    })
}

/// The beginning of an entry's root.
fn beginning(listings: &Listings, at: At) -> u32 {
    let content = listings.facts(at).content();
    content.map_or(0, |content| beginning_of(content.root))
}

fn beginning_of(root: Root) -> u32 {
    let [a, b, c, d, ..] = *root.as_bytes();
    u32::from_be_bytes([a, b, c, d])
}

fn is_same_as_any(listings: &Listings, at: At, others: [Option<(u32, At)>; 2]) -> bool {
    let what = |at| {
        let (content, name, _) = listings.content_key(at);
        (content, name)
    };
    let mut others = others.into_iter().flatten();
    others.any(|(start, other)| start == beginning(listings, at) && what(other) == what(at))
}

//! The order of entries by name, in which a walk goes from name to name without looking at all
//! that list each.

use thorp_packed::{Between, Ordered, Values};
use thorp_wire::Name;

use super::listings::{At, Listings, Slot};

/// Entries in the order of their names, those of a name in the order of the slots.
#[derive(Debug, Default)]
pub(super) struct ByName {
    rows: Ordered<Row>,
}

/// An entry, and whether the one before it has another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    slot: Slot,
    /// The number of the row, which is less than [`FIRST`].
    row: u32,
}

/// Set in the number of the first row of a name: a listing has fewer rows.
const FIRST: u32 = 1 << 31;

/// All entries of one name.
pub(super) struct SameName<'a> {
    pub name: &'a Name,
    /// How many there are besides the first.
    pub others: usize,
    rows: Values<'a, Row>,
}

impl Row {
    fn new(at: At, is_first: bool) -> Self {
        debug_assert!(at.row < FIRST);
        Self {
            slot: at.slot,
            row: at.row | if is_first { FIRST } else { 0 },
        }
    }

    fn is_first(self) -> bool {
        self.row & FIRST != 0
    }

    fn at(self) -> At {
        At {
            slot: self.slot,
            row: self.row & !FIRST,
        }
    }
}

impl ByName {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The place behind all entries that are before it.
    pub fn place(&self, mut is_before: impl FnMut(At) -> bool) -> Between {
        self.rows.place(|row| is_before(row.at()))
    }

    /// The entry before a place, and the one behind it.
    pub fn around(&self, place: Between) -> [Option<At>; 2] {
        let around = [self.rows.get_before(place), self.rows.get(place)];
        around.map(|row| row.map(Row::at))
    }

    /// Puts an entry where it belongs.
    pub fn insert(&mut self, listings: &Listings, place: Between, at: At) {
        let name = listings.name(at);
        let has_name = |row: &Row| listings.name(row.at()) == name;
        let is_first = !self.rows.get_before(place).as_ref().is_some_and(has_name);
        if let Some(next) = self.rows.get(place).filter(|row| is_first && has_name(row)) {
            self.rows.replace(place, Row::new(next.at(), false));
        }
        self.rows.insert(place, Row::new(at, is_first));
    }

    /// Removes the entry behind a place.
    pub fn remove(&mut self, listings: &Listings, place: Between) {
        let mut rows = self.rows.from(place);
        let gone = rows.next().filter(|row| row.is_first());
        let next = rows.next().filter(|row| !row.is_first());
        if let Some((gone, next)) = gone.zip(next) {
            let key = listings.name_key(gone.at());
            let behind = self.place(|other| listings.name_key(other) <= key);
            self.rows.replace(behind, Row::new(next.at(), true));
        }
        self.rows.remove(place);
    }

    /// The entry behind a place has another number now.
    pub fn renumber(&mut self, place: Between, at: At) {
        let is_first = self.rows.get(place).is_some_and(Row::is_first);
        self.rows.replace(place, Row::new(at, is_first));
    }

    /// All entries.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = At> {
        self.rows.all().map(Row::at)
    }

    /// Those behind a place.
    pub fn from(&self, place: Between) -> impl Iterator<Item = At> + use<'_> {
        self.rows.from(place).map(Row::at)
    }

    /// Those before a place, the last one first.
    pub fn backwards_from(&self, place: Between) -> impl Iterator<Item = At> + use<'_> {
        self.rows.before(place).rev().map(Row::at)
    }

    /// Name by name, those behind a place between two names.
    pub fn names_from<'a>(
        &'a self,
        listings: &'a Listings,
        place: Between,
    ) -> impl Iterator<Item = SameName<'a>> + use<'a> {
        let mut rows = self.rows.from(place);
        std::iter::from_fn(move || {
            let from_here = rows.clone();
            let first = rows.next()?;
            Some(SameName {
                name: listings.name(first.at()),
                others: rows.pass_while(|row| !row.is_first()),
                rows: from_here.before(&rows),
            })
        })
    }

    /// Asserts that these are the entries, in order, and that the first of each name is known.
    pub fn check(&self, listings: &Listings, entries: &[At]) {
        assert!(self.all().eq(entries.iter().copied()));
        let mut last = None;
        for row in self.rows.all() {
            let name = Some(listings.name(row.at()));
            assert_eq!(row.is_first(), name != last);
            last = name;
        }
    }

    #[cfg(test)]
    pub fn room(&self) -> usize {
        self.rows.capacity() * size_of::<Row>()
    }
}

impl SameName<'_> {
    /// What it cost to pass all of its entries, in the steps of
    /// [`Pattern::steps`](crate::matching::Pattern::steps).
    pub fn steps(&self) -> u64 {
        self.others as u64 / 4
    }

    /// Where it is listed.
    pub fn places(&self) -> impl Iterator<Item = At> {
        self.rows.clone().map(Row::at)
    }
}

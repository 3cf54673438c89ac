//! One peer's entries.

use std::collections::BTreeMap;

use thorp_packed::{Between, Dense, Ordered};
use thorp_wire::frame::Position;
use thorp_wire::{Content, Entry, InfoHash, Name, PeerId, Root};

use super::ListingSize;
use super::keys::{cost_of_entry, cost_of_torrents};

/// One peer's entries.
#[derive(Debug)]
pub struct Listing {
    pub(super) peer: PeerId,
    /// Nothing, while an update is on its way into it.
    pub(super) position: Option<Position>,
    rows: Dense<Row>,
    /// How many of these are of files of which the peer has only a part.
    parts: usize,
    by_name: Ordered<u32>,
    /// The info-hashes of v1 torrents, of the entries that have one: of most peers none.
    v1: BTreeMap<Name, InfoHash>,
    pub(super) neighbours: Vec<PeerId>,
    /// In order.
    torrents: Vec<InfoHash>,
    is_leaving: bool,
    /// Wide enough for any lengths that a peer may claim.
    bytes: u128,
    cost: u64,
}

/// One entry.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: Name,
    pub(super) facts: Facts,
}

/// What is known of a file, besides its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    length: u64,
    mtime: i64,
    nanos: u32,
    executable: bool,
    root: Option<Root>,
    pub(super) partial: bool,
}

impl Listing {
    pub(super) fn new(peer: PeerId) -> Self {
        Self {
            peer,
            position: None,
            rows: Dense::default(),
            parts: 0,
            by_name: Ordered::default(),
            v1: BTreeMap::new(),
            neighbours: Vec::new(),
            torrents: Vec::new(),
            is_leaving: false,
            bytes: 0,
            cost: 0,
        }
    }

    /// Its entries, in the order of their names.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        self.entries_from(self.by_name.all())
    }

    /// Its entries in the order of their names, behind this one.
    pub fn entries_after(&self, after: Option<&Name>) -> impl Iterator<Item = Entry> {
        let is_before = |row| after.is_some_and(|after| self.rows[row].name <= *after);
        let place = self.by_name.place(is_before);
        self.entries_from(self.by_name.from(place))
    }

    /// Its entries before this name, or before the end, the last one first.
    pub fn entries_before(&self, before: Option<&Name>) -> impl Iterator<Item = Entry> {
        let is_before = |row| before.is_none_or(|before| self.rows[row].name < *before);
        let place = self.by_name.place(is_before);
        let rows = self.by_name.before(place).rev();
        self.entries_from(rows)
    }

    /// Its names, in order.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.rows_from(self.by_name.all()).map(|row| &row.name)
    }

    /// Its names before this one, or before the end, the last one first.
    pub(super) fn names_before(&self, before: Option<&Name>) -> impl Iterator<Item = &Name> {
        let is_before = |row| before.is_none_or(|before| self.rows[row].name < *before);
        let place = self.by_name.place(is_before);
        self.rows_from(self.by_name.before(place).rev())
            .map(|row| &row.name)
    }

    /// One entry.
    pub fn entry(&self, name: &Name) -> Option<Entry> {
        self.find(name).map(|row| self.with_v1(&self.rows[row]))
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How large it is.
    pub fn size(&self) -> ListingSize {
        ListingSize {
            entries: self.rows.len(),
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

    /// The torrents that its peer serves to clients, beside those that follow from its entries.
    pub fn torrents(&self) -> &[InfoHash] {
        &self.torrents
    }

    /// The peer names other torrents, which are in order. Returns those that it named before.
    pub(super) fn replace_torrents(&mut self, torrents: Vec<InfoHash>) -> Vec<InfoHash> {
        self.cost += cost_of_torrents(&torrents);
        self.cost -= cost_of_torrents(&self.torrents);
        std::mem::replace(&mut self.torrents, torrents)
    }

    /// Whether the peer has only a part of this file.
    pub(super) fn has_a_part(&self, name: &Name) -> bool {
        let is_a_part = |row| self.rows[row].facts.partial;
        self.parts > 0 && self.find(name).is_some_and(is_a_part)
    }

    /// The number of the row of this name.
    pub(super) fn find(&self, name: &Name) -> Option<u32> {
        self.look_for(name).ok()
    }

    /// The number of the row of this name, or where it belongs.
    pub(super) fn look_for(&self, name: &Name) -> Result<u32, Between> {
        let place = self.by_name.place(|row| self.rows[row].name < *name);
        let row = self.by_name.get(place);
        row.filter(|row| self.rows[*row].name == *name).ok_or(place)
    }

    pub(super) fn row(&self, row: u32) -> &Row {
        &self.rows[row]
    }

    /// The numbers that rows have.
    pub(super) fn numbers(&self) -> std::ops::Range<u32> {
        0..u32::try_from(self.rows.len()).unwrap_or(u32::MAX)
    }

    /// Adds an entry that is not there and belongs here, and returns its number.
    pub(super) fn insert(&mut self, place: Between, name: Name, facts: Facts) -> u32 {
        self.count(&facts);
        self.cost += cost_of_entry(&name, false);
        let number = self.rows.push(Row { name, facts });
        self.by_name.insert(place, number);
        number
    }

    /// Other facts of an entry.
    pub(super) fn replace(&mut self, row: u32, facts: Facts) {
        let before = std::mem::replace(&mut self.rows[row].facts, facts);
        self.count(&facts);
        self.uncount(&before);
    }

    fn count(&mut self, facts: &Facts) {
        self.bytes += u128::from(facts.length);
        self.parts += usize::from(facts.partial);
    }

    fn uncount(&mut self, facts: &Facts) {
        self.bytes -= u128::from(facts.length);
        self.parts -= usize::from(facts.partial);
    }

    /// The info-hash of the v1 torrent of an entry, if the peer says it.
    pub(super) fn v1(&self, name: &Name) -> Option<InfoHash> {
        self.v1.get(name).copied()
    }

    /// Another info-hash of an entry, or none.
    pub(super) fn set_v1(&mut self, row: u32, v1: Option<InfoHash>) {
        let name = self.rows[row].name.clone();
        self.cost -= self.cost_of(&name);
        match v1 {
            Some(v1) => self.v1.insert(name.clone(), v1),
            None => self.v1.remove(&name),
        };
        self.cost += self.cost_of(&name);
    }

    /// An estimate of what an entry of this name takes here.
    pub(super) fn cost_of(&self, name: &Name) -> u64 {
        cost_of_entry(name, self.v1.contains_key(name))
    }

    /// Removes a row; the last one has its number from now on.
    pub(super) fn swap_remove(&mut self, row: u32) {
        self.by_name.remove(self.place(&self.rows[row].name));
        if let Some(last) = self.numbers().last().filter(|last| *last != row) {
            let place = self.place(&self.rows[last].name);
            self.by_name.replace(place, row);
        }
        let removed = self.rows.swap_remove(row);
        self.uncount(&removed.facts);
        self.cost -= self.cost_of(&removed.name);
        self.v1.remove(&removed.name);
    }

    /// The listing is going to be forgotten, from its last row on: nothing is looked for in
    /// it any more.
    pub(super) fn leave(&mut self) {
        self.is_leaving = true;
        self.position = None;
        self.by_name = Ordered::default();
        self.replace_torrents(Vec::new());
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    /// Removes the last row of a listing that is being forgotten.
    pub(super) fn forget_last(&mut self) {
        let Some(last) = self.numbers().last() else {
            return;
        };
        let removed = self.rows.swap_remove(last);
        self.uncount(&removed.facts);
        self.cost -= self.cost_of(&removed.name);
        self.v1.remove(&removed.name);
    }

    /// Before the first name that is not before this one.
    fn place(&self, name: &Name) -> Between {
        self.by_name.place(|row| self.rows[row].name < *name)
    }

    fn entries_from(&self, numbers: impl Iterator<Item = u32>) -> impl Iterator<Item = Entry> {
        self.rows_from(numbers).map(|row| self.with_v1(row))
    }

    fn with_v1(&self, row: &Row) -> Entry {
        Entry {
            v1: self.v1(&row.name),
            ..row.entry()
        }
    }

    fn rows_from(&self, numbers: impl Iterator<Item = u32>) -> impl Iterator<Item = &Row> {
        numbers.map(|number| &self.rows[number])
    }

    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.rows.capacity() * size_of::<Row>() + self.by_name.capacity() * size_of::<u32>()
    }
}

impl Row {
    /// The entry, without the info-hash of its v1 torrent.
    pub(super) fn entry(&self) -> Entry {
        Entry {
            name: self.name.clone(),
            length: self.facts.length,
            mtime: self.facts.mtime,
            root: self.facts.root,
            partial: self.facts.partial,
            nanos: self.facts.nanos,
            executable: self.facts.executable,
            v1: None,
        }
    }

    /// The same, whether all of the file is there or not: answers are made of these.
    pub(super) fn entry_of_file(&self) -> Entry {
        Entry {
            partial: false,
            ..self.entry()
        }
    }
}

impl Facts {
    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            length: entry.length,
            mtime: entry.mtime,
            nanos: entry.nanos,
            executable: entry.executable,
            root: entry.root,
            partial: entry.partial,
        }
    }

    pub(super) fn content(&self) -> Option<Content> {
        let (length, root) = self.what();
        Some(Content {
            length,
            root: root?,
        })
    }

    /// What tells files of one name apart.
    pub(super) fn what(&self) -> (u64, Option<Root>) {
        (self.length, self.root)
    }
}

//! Which peer has what: many peers' listings, indexed by name and by content.
//!
//! This is the one idea of thorp, used twice: a tracker keeps a catalogue of
//! all members, a peer keeps the same catalogue of itself and its neighbours.
//! Both are fed by the same updates. Which peers are in it, and for how long,
//! is decided elsewhere (`links`, `liveness`).
//!
//! ```text
//! listing   one peer's entries
//! applying  an update on its way into the listing it changes, a part at a time
//! slots     small numbers for peers, which the indices name them by
//! keys      under which names an entry is found, and what that takes
//! files     the walk over all files, or those that match a pattern
//! pages     the walks from any place among files, forwards and backwards
//! ```
//!
//! Invariant: every index holds exactly the entries of the listings, and a
//! [`Slot`] in an index belongs to a peer that is present.
//! [`Catalogue::check`] asserts it in tests.

mod applying;
mod files;
mod keys;
mod listing;
mod pages;
mod slots;

use std::collections::{BTreeMap, BTreeSet};

use thorp_wire::frame::{Position, Update};
use thorp_wire::{Content, Entry, Name, PeerId, Root};

use crate::matching::{Fit, Pattern, fit, nfc};

pub(crate) use applying::Applying;
pub use files::Files;
pub(crate) use keys::ROWS;
use keys::{Rows, base_key, cost_of, first_name, merged, nfc_keys, rows_of, rows_under};
use listing::Facts;
pub use listing::Listing;
pub use pages::{NamedFile, Spot, Walk};
use slots::{Slot, Slots};

/// What listings may grow to where they are kept.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Entries of one peer.
    pub entries: usize,
    /// Bytes in all, as [`Catalogue::cost`] estimates them.
    pub bytes: u64,
}

/// How large a listing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListingSize {
    /// Its entries.
    pub entries: usize,
    /// An estimate of the memory it takes, in bytes.
    pub bytes: u64,
}

/// Many peers' listings. How large it may grow is decided where it is kept.
#[derive(Debug, Default)]
pub struct Catalogue {
    listings: BTreeMap<PeerId, Listing>,
    slots: Slots,
    by_name: BTreeSet<(Name, Slot)>,
    /// Names that have a folder, by their base.
    by_base: BTreeSet<(Name, Option<Name>, Slot)>,
    /// Names whose path or base is not in form C, by their form C.
    by_nfc: BTreeSet<(Name, Option<Name>, Slot)>,
    by_content: BTreeSet<(Content, Option<Name>, Slot)>,
    /// How many files each peer lists of which it has only a part; none, for most.
    parts: BTreeMap<Slot, usize>,
    /// Different (name, content) pairs; a file without a root counts once for
    /// each peer that lists it.
    rows: u64,
    cost: u64,
    /// Entries that were put in, changed or taken out by updates so far.
    moved: u64,
    /// How often a content has got a holder, or lost one.
    holder_changes: u64,
}

/// A file in the catalogue: one content under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// As its first holder lists it. Which holders have only a part of it is
    /// not said here: see [`Catalogue::has_a_part`].
    pub entry: Entry,
    /// All peers that list it so, in the order in which their listings came.
    pub holders: Vec<PeerId>,
}

/// What was found for a name as a person typed it, and how far the search came.
#[derive(Debug, Default)]
pub struct Named {
    /// The best fits among the rows that were looked at.
    pub found: Option<(Fit, Vec<File>)>,
    /// How many rows of the indices were looked at, whether they fit or not.
    pub looked_at: u64,
    /// The search stopped here before the end: there may be more behind this
    /// name.
    pub behind: Option<Name>,
}

/// What came of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is in the catalogue.
    Yes,
    /// It changes a state that the catalogue does not have: ask for a full
    /// listing.
    NeedsFull,
}

/// A question with one name finds at most this many files: more would not fit
/// into an answer, and one question must not cost seconds.
pub const MOST_NAMED: usize = 1000;

/// Which peers count, if not all do.
pub type Among<'a> = &'a dyn Fn(PeerId) -> bool;

impl Catalogue {
    /// Takes a whole update (see [`gather`](crate::gather)) of `peer`'s listing.
    pub fn apply(&mut self, peer: PeerId, epoch: u64, update: Update) -> Applied {
        match self.begin(peer, epoch, update) {
            Some(mut applying) => {
                self.go_on(&mut applying, u64::MAX);
                Applied::Yes
            }
            None => Applied::NeedsFull,
        }
    }

    /// Drops a peer's listing, if there is one.
    pub fn forget(&mut self, peer: PeerId) {
        let Some(listing) = self.listings.remove(&peer) else {
            return;
        };
        let slot = listing.slot;
        for (name, facts) in &listing.entries {
            self.unindex(slot, name, facts);
        }
        self.cost -= listing.cost;
        self.slots.release(slot);
    }

    /// Where a peer's listing stands; nowhere, while an update is on its way into it.
    pub fn position(&self, peer: PeerId) -> Option<Position> {
        self.listings.get(&peer)?.position
    }

    /// How many entries have come, changed or gone by updates so far.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// Another number whenever the holders of any content may be others than
    /// before.
    pub fn holder_changes(&self) -> u64 {
        self.holder_changes
    }

    /// One peer's listing.
    pub fn listing(&self, peer: PeerId) -> Option<&Listing> {
        self.listings.get(&peer)
    }

    /// All listings, in the order of their peers' ids.
    pub fn listings(&self) -> impl Iterator<Item = (PeerId, &Listing)> {
        self.listings.iter().map(|(peer, listing)| (*peer, listing))
    }

    /// What best fits a name as a person typed it: files that all fit it equally
    /// well, held by those peers that `among` allows.
    pub fn named(&self, typed: &str, among: Among<'_>) -> Option<(Fit, Vec<File>)> {
        self.named_within(typed, None, u64::MAX, among).found
    }

    /// The same, behind `after`, looking at about `most` rows of the indices.
    pub fn named_within(
        &self,
        typed: &str,
        after: Option<&Name>,
        most: u64,
        among: Among<'_>,
    ) -> Named {
        let mut named = Named::default();
        let Ok(typed) = typed.parse::<Name>() else {
            return named;
        };
        if after.is_none() {
            let exact = rows_of(&self.by_name, &typed);
            if self.gather_named(Fit::Path, exact, most, among, &|_| false, &mut named) {
                return named;
            }
        }
        // How well the name fits tells in which index the search had stopped.
        let come_to = after.and_then(|after| fit(after, typed.as_str()));
        if come_to != Some(Fit::Normalised) {
            let based = rows_under(&self.by_base, &typed, after);
            if self.gather_named(Fit::Base, based, most, among, &|_| false, &mut named) {
                return named;
            }
        }
        let after = after.filter(|_| come_to == Some(Fit::Normalised));
        let Ok(normal) = nfc(typed.as_str()).parse::<Name>() else {
            return named;
        };
        let mut alike: Vec<Rows<'_>> = vec![rows_under(&self.by_nfc, &normal, after)];
        if normal != typed {
            alike.push(rows_under(&self.by_base, &normal, after));
            if after.is_none_or(|after| *after < normal) {
                alike.push(rows_of(&self.by_name, &normal));
            }
        }
        let was_looked_at = |name: &Name| *name == typed || name.base() == typed.as_str();
        let alike = merged(alike);
        self.gather_named(
            Fit::Normalised,
            alike,
            most,
            among,
            &was_looked_at,
            &mut named,
        );
        named
    }

    /// Files whose names match a pattern, in the order of their names, behind
    /// `after`, held by those peers that `among` allows.
    pub fn matching<'a>(
        &'a self,
        pattern: &'a Pattern,
        after: Option<&Name>,
        among: Among<'a>,
    ) -> Files<'a> {
        let prefix = pattern.prefix();
        let start = match (after, first_name(prefix)) {
            (Some(after), Some(first)) if *after < first => (first, 0),
            (Some(after), _) => (after.clone(), Slot::MAX),
            (None, Some(first)) => (first, 0),
            (None, None) => return Files::none(self),
        };
        Files {
            catalogue: self,
            next: Some(start),
            pattern: Some(pattern),
            among,
            steps: 0,
            most: u64::MAX,
            behind: None,
            ready: Vec::new(),
        }
    }

    /// All files, in the order of their names.
    pub fn files(&self) -> impl Iterator<Item = File> + '_ {
        Files {
            next: self.by_name.first().cloned(),
            ..Files::none(self)
        }
    }

    /// How many entries are listed, those of equal files counted each.
    pub fn entries(&self) -> usize {
        self.by_name.len()
    }

    /// How many files there are: different (name, content) pairs. A file
    /// without a root counts once for each peer that lists it.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Which peers list this content, under which names.
    pub fn holders_of(&self, content: Content) -> impl Iterator<Item = (PeerId, &Name)> {
        self.by_content
            .range((content, None, 0)..)
            .take_while(move |(found, _, _)| *found == content)
            .filter_map(|(_, name, slot)| Some((self.slots.peer(*slot), name.as_ref()?)))
    }

    /// Whether this peer lists that name as a file of which it has only a part.
    pub fn has_a_part(&self, peer: PeerId, name: &Name) -> bool {
        let facts = |listing: &Listing| listing.entries.get(name).is_some_and(|f| f.partial);
        self.listings.get(&peer).is_some_and(facts)
    }

    /// An estimate of the memory it takes, in bytes.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    fn insert(&mut self, peer: PeerId, entry: Entry) {
        let facts = Facts {
            length: entry.length,
            mtime: entry.mtime,
            nanos: entry.nanos,
            executable: entry.executable,
            root: entry.root,
            partial: entry.partial,
        };
        let listing = self.listings.get_mut(&peer).expect("the peer is listed");
        let slot = listing.slot;
        if let Some(known) = listing.entries.get_mut(&entry.name) {
            if *known == facts {
                return;
            }
            self.moved += 1;
            listing.bytes += u128::from(facts.length);
            let before = std::mem::replace(known, facts);
            listing.bytes -= u128::from(before.length);
            self.unindex_content(slot, &entry.name, &before);
            self.index_content(slot, &entry.name, &facts);
            return;
        }
        // One allocation for each name, however many peers list it.
        let name = match self.by_name.range((entry.name.clone(), 0)..).next() {
            Some((known, _)) if *known == entry.name => known.clone(),
            _ => entry.name,
        };
        self.moved += 1;
        listing.bytes += u128::from(facts.length);
        let cost = cost_of(&name);
        listing.entries.insert(name.clone(), facts);
        listing.cost += cost;
        self.cost += cost;
        self.index_content(slot, &name, &facts);
        if let Some(base) = base_key(&name) {
            self.by_base.insert((base, Some(name.clone()), slot));
        }
        for normal in nfc_keys(&name) {
            self.by_nfc.insert((normal, Some(name.clone()), slot));
        }
        self.by_name.insert((name, slot));
    }

    fn remove(&mut self, peer: PeerId, name: &Name) {
        let listing = self.listings.get_mut(&peer).expect("the peer is listed");
        let Some(facts) = listing.entries.remove(name) else {
            return;
        };
        self.moved += 1;
        let cost = cost_of(name);
        listing.bytes -= u128::from(facts.length);
        listing.cost -= cost;
        self.cost -= cost;
        let slot = listing.slot;
        self.unindex(slot, name, &facts);
    }

    fn unindex(&mut self, slot: Slot, name: &Name, facts: &Facts) {
        self.by_name.remove(&(name.clone(), slot));
        self.unindex_content(slot, name, facts);
        if let Some(base) = base_key(name) {
            self.by_base.remove(&(base, Some(name.clone()), slot));
        }
        for normal in nfc_keys(name) {
            self.by_nfc.remove(&(normal, Some(name.clone()), slot));
        }
    }

    fn index_content(&mut self, slot: Slot, name: &Name, facts: &Facts) {
        if !self.is_listed(name, facts) {
            self.rows += 1;
        }
        if let Some(content) = facts.content() {
            self.by_content.insert((content, Some(name.clone()), slot));
            self.holder_changes += 1;
        }
        if facts.partial {
            *self.parts.entry(slot).or_default() += 1;
        }
    }

    fn unindex_content(&mut self, slot: Slot, name: &Name, facts: &Facts) {
        if let Some(content) = facts.content() {
            self.by_content.remove(&(content, Some(name.clone()), slot));
            self.holder_changes += 1;
        }
        if !self.is_listed(name, facts) {
            self.rows -= 1;
        }
        if facts.partial
            && let Some(parts) = self.parts.get_mut(&slot)
        {
            *parts -= 1;
            if *parts == 0 {
                self.parts.remove(&slot);
            }
        }
    }

    /// Whether any peer lists just this content under just this name.
    fn is_listed(&self, name: &Name, facts: &Facts) -> bool {
        let Some(content) = facts.content() else {
            return false;
        };
        let first = (content, Some(name.clone()), 0);
        let last = (content, Some(name.clone()), Slot::MAX);
        self.by_content.range(first..=last).next().is_some()
    }

    /// Gathers files that fit equally well. Returns whether the search is over.
    ///
    /// All rows of one name are looked at together, so the search makes
    /// progress however small `most` is.
    fn gather_named<'a>(
        &self,
        fit: Fit,
        rows: impl Iterator<Item = (&'a Name, Slot)>,
        most: u64,
        among: Among<'_>,
        leave_out: &dyn Fn(&Name) -> bool,
        named: &mut Named,
    ) -> bool {
        let mut files = Vec::new();
        let mut rows = rows.peekable();
        while let Some((name, slot)) = rows.next() {
            let mut slots = vec![slot];
            while let Some((_, slot)) = rows.next_if(|(next, _)| *next == name) {
                slots.push(slot);
            }
            named.looked_at += slots.len() as u64;
            // The search does not stop there either: a question that continues behind
            // this name would take it for a better fit.
            if leave_out(name) {
                continue;
            }
            let holders = slots.into_iter().map(|slot| self.slots.peer(slot));
            self.group(name, holders.filter(|peer| among(*peer)), &mut files);
            if files.len() >= MOST_NAMED {
                break;
            }
            if named.looked_at >= most && rows.peek().is_some() {
                named.behind = Some(name.clone());
                break;
            }
        }
        if !files.is_empty() {
            named.found = Some((fit, files));
        }
        named.found.is_some() || named.behind.is_some()
    }

    /// The files that go by just this name.
    fn spelt(&self, name: &Name, among: Among<'_>) -> Vec<File> {
        let mut files = Vec::new();
        let holders = rows_of(&self.by_name, name).map(|(_, slot)| self.slots.peer(slot));
        self.group(name, holders.filter(|peer| among(*peer)), &mut files);
        files
    }

    /// Sorts the holders of one name by content.
    fn group(&self, name: &Name, holders: impl Iterator<Item = PeerId>, files: &mut Vec<File>) {
        let mut contents: BTreeMap<(u64, Option<Root>), usize> = BTreeMap::new();
        for peer in holders {
            let Some(facts) = self
                .listings
                .get(&peer)
                .and_then(|listing| listing.entries.get(name))
            else {
                continue;
            };
            let at = *contents
                .entry((facts.length, facts.root))
                .or_insert(files.len());
            if at == files.len() {
                files.push(File {
                    entry: Entry {
                        partial: false,
                        ..facts.entry(name)
                    },
                    holders: Vec::new(),
                });
            }
            files[at].holders.push(peer);
        }
    }

    /// Asserts the invariant in the module's head. For tests: it looks at everything.
    #[doc(hidden)]
    pub fn check(&self) {
        let mut by_name = BTreeSet::new();
        let mut by_base = BTreeSet::new();
        let mut by_nfc = BTreeSet::new();
        let mut by_content = BTreeSet::new();
        let mut parts = BTreeMap::new();
        let mut cost = 0;
        for (peer, listing) in &self.listings {
            assert_eq!(self.slots.peer(listing.slot), *peer);
            let mut bytes = 0;
            for (name, facts) in &listing.entries {
                by_name.insert((name.clone(), listing.slot));
                by_base.extend(base_key(name).map(|base| (base, Some(name.clone()), listing.slot)));
                by_nfc.extend(nfc_keys(name).map(|key| (key, Some(name.clone()), listing.slot)));
                by_content.extend(
                    facts
                        .content()
                        .map(|content| (content, Some(name.clone()), listing.slot)),
                );
                if facts.partial {
                    *parts.entry(listing.slot).or_default() += 1;
                }
                cost += cost_of(name);
                bytes += u128::from(facts.length);
            }
            assert_eq!(listing.bytes, bytes);
        }
        assert_eq!(self.by_name, by_name);
        assert_eq!(self.by_base, by_base);
        assert_eq!(self.by_nfc, by_nfc);
        assert_eq!(self.by_content, by_content);
        assert_eq!(self.parts, parts);
        assert_eq!(self.cost, cost);
        assert_eq!(self.rows, self.files().map(|file| file.rows()).sum::<u64>());
    }
}

impl File {
    fn rows(&self) -> u64 {
        match self.entry.root {
            Some(_) => 1,
            None => self.holders.len() as u64,
        }
    }
}

#[cfg(test)]
mod tests;

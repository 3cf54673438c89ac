//! Which peer has what: many peers' listings, indexed by name and by content.
//!
//! This is the one idea of thorp, used twice: a tracker keeps a catalogue of
//! all members, a peer keeps the same catalogue of itself and its neighbours.
//! Both are fed by the same updates. Which peers are in it, and for how long,
//! is decided elsewhere (`links`, `liveness`).
//!
//! ```text
//! listing   one peer's entries
//! listings  all of these, by peer and by the small numbers that indices know peers by
//! indices   the orders in which entries are found: by name, by content and others
//! by_name   the order by name, with the first entry of each name
//! keys      under which other names an entry is found, and what it takes
//! applying  an update on its way into the listing it changes, a part at a time
//! files     the walk over all files, or those that match a pattern
//! watched   what changes in some listings, for an index that is kept elsewhere
//! pages     the walks from any place among files, forwards and backwards
//! searching files whose names contain words, a part at a time; what is in a folder
//! ```
//!
//! An entry is held once, in the listing of its peer; a name is held once, however many
//! peers list it.
//!
//! Invariant: every index holds exactly the entries of the listings.
//! [`Catalogue::check`] asserts it in tests.

mod applying;
mod by_name;
mod files;
mod indices;
mod keys;
mod listing;
mod listings;
mod pages;
mod searching;
mod watched;

use std::collections::{BTreeMap, BTreeSet};

use thorp_wire::frame::{NameFilter, Position, Update};
use thorp_wire::{Content, Entry, Name, PeerId, Root};

use crate::ahead::{ahead, first_byte};
use crate::matching::{Fit, Pattern, fit, nfc};

pub(crate) use applying::Applying;
pub use files::Files;
use files::SameNames;
use indices::{Indices, Rows, merged};
pub(crate) use keys::{cost_of_entry, cost_of_text, cost_of_torrents};
use listing::Facts;
pub use listing::Listing;
use listings::{At, Listings};
pub use pages::{NamedFile, Spot, Walk};
pub use searching::{Children, ChildrenFrom, FolderChild, SearchSlice};
pub(crate) use watched::Watched;

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
    listings: Listings,
    indices: Indices,
    /// Different (name, content) pairs; a file without a root counts once for
    /// each peer that lists it. Files of listings that are being forgotten count.
    rows: u64,
    cost: u64,
    /// Entries of listings that are being forgotten.
    leaving: usize,
    /// Entries that were put in, changed or taken out by updates so far.
    moved: u64,
    /// How often a content has got a holder, or lost one.
    holder_changes: u64,
    /// Peers of whose listings [`take_watched`](Self::take_watched) tells.
    watched: BTreeSet<PeerId>,
    changed: Vec<Watched>,
    /// How many changes of these were told so far.
    told: u64,
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

/// What was found for a name as the user typed it, and how far the search came.
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
    pub fn apply(&mut self, peer: PeerId, epoch: u64, mut update: Update) -> Applied {
        if update.since.is_none() {
            // The last word on a name counts.
            update.added.sort_by(|one, next| one.name.cmp(&next.name));
        }
        match self.begin(peer, epoch, update, true) {
            Some(mut applying) => {
                self.go_on(&mut applying, u64::MAX);
                Applied::Yes
            }
            None => Applied::NeedsFull,
        }
    }

    /// Begins to forget a peer's listing, if there is one. Nothing of it is found any more,
    /// but its entries have to be taken out of the indices yet
    /// ([`forget_some`](Self::forget_some)): a million of them take seconds.
    pub fn forget(&mut self, peer: PeerId) {
        let entries = self.listings.get(peer).map_or(0, Listing::len);
        let torrents = self.listings.get(peer).map_or(&[][..], Listing::torrents);
        let cost = cost_of_torrents(torrents);
        if self.listings.leave(peer) {
            self.cost -= cost;
            self.leaving += entries;
            self.holder_changes += 1;
            self.on_listing_forgotten(peer);
        }
    }

    /// Takes out the next `most` entries of listings that are being forgotten. Returns how
    /// many these were.
    pub fn forget_some(&mut self, most: u64) -> u64 {
        for number in 0..most {
            let Some(at) = self.listings.next_to_leave() else {
                return number;
            };
            let before = self.listings.bytes_of(at);
            self.unindex(at);
            self.listings.change(at.slot, Listing::forget_last);
            self.cost -= before - self.listings.bytes_of(at);
            self.leaving -= 1;
        }
        most
    }

    /// How many entries are still to be taken out.
    pub fn leaving(&self) -> usize {
        self.leaving
    }

    /// Where a peer's listing stands; nowhere, while an update is on its way into it.
    pub fn position(&self, peer: PeerId) -> Option<Position> {
        self.listings.get(peer)?.position
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
        self.listings.get(peer)
    }

    /// All listings, in the order of their peers' ids.
    pub fn listings(&self) -> impl Iterator<Item = (PeerId, &Listing)> {
        self.listings
            .iter()
            .map(|(peer, _, listing)| (peer, listing))
    }

    /// What best fits a name as the user typed it: files that all fit it equally
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
            let exact = self.indices.of_name(&self.listings, &typed);
            if self.gather_named(Fit::Path, exact, most, among, &|_| false, &mut named) {
                return named;
            }
        }
        // How well the name fits tells in which index the search had stopped.
        let come_to = after.and_then(|after| fit(after, typed.as_str()));
        if come_to != Some(Fit::Normalised) {
            let based = self.indices.of_base(&self.listings, &typed, after);
            if self.gather_named(Fit::Base, based, most, among, &|_| false, &mut named) {
                return named;
            }
        }
        let after = after.filter(|_| come_to == Some(Fit::Normalised));
        let Ok(normal) = nfc(typed.as_str()).parse::<Name>() else {
            return named;
        };
        let mut alike: Vec<Rows<'_>> = vec![self.indices.of_nfc(&self.listings, &normal, after)];
        if normal != typed {
            alike.push(self.indices.of_base(&self.listings, &normal, after));
            if after.is_none_or(|after| *after < normal) {
                alike.push(self.indices.of_name(&self.listings, &normal));
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
        let names: SameNames<'a> = match after {
            Some(after) if after.as_str() >= prefix => {
                Box::new(self.indices.names_behind(&self.listings, Some(after)))
            }
            _ => Box::new(self.indices.same_names_from(&self.listings, prefix)),
        };
        Files {
            pattern: Some(pattern),
            among,
            ..Files::of(self, names)
        }
    }

    /// Files whose names a filter does not contain, in the order of their names behind `after`
    /// and up to `until`, held by those peers that `among` allows.
    pub fn beyond<'a>(
        &'a self,
        known: &'a NameFilter,
        after: Option<&Name>,
        until: Option<&'a Name>,
        among: Among<'a>,
    ) -> Files<'a> {
        let names = self.indices.names_behind(&self.listings, after);
        Files {
            known: Some(known),
            until,
            among,
            ..Files::of(self, Box::new(names))
        }
    }

    /// Every name that is listed behind `after`, in order, and the only peer that lists it: none,
    /// if it is `me` or if there are two.
    pub fn names(
        &self,
        me: PeerId,
        after: Option<&Name>,
    ) -> impl Iterator<Item = (&Name, Option<PeerId>)> {
        let own = self.listings.of(me).map(|(slot, _)| slot);
        let names = self.indices.names_behind(&self.listings, after);
        let names = ahead(names, |same| first_byte(same.name.as_str()));
        names.filter_map(move |same| {
            let mut places = same.places().filter(|at| !self.listings.is_leaving(*at));
            let first = places.next()?;
            let is_only = places.next().is_none() && Some(first.slot) != own;
            Some((same.name, is_only.then(|| self.listings.peer(first))))
        })
    }

    /// All files, in the order of their names.
    pub fn files(&self) -> impl Iterator<Item = File> + '_ {
        Files::of(
            self,
            Box::new(self.indices.names_behind(&self.listings, None)),
        )
    }

    /// How many entries are listed, those of equal files counted each.
    pub fn entries(&self) -> usize {
        self.indices.len() - self.leaving
    }

    /// How many files there are: different (name, content) pairs. A file
    /// without a root counts once for each peer that lists it. Those of a listing that is
    /// being forgotten count until they have been taken out.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Which peers list this content, under which names.
    pub fn holders_of(&self, content: Content) -> impl Iterator<Item = (PeerId, &Name)> {
        let rows = self.indices.of_content(&self.listings, content);
        rows.map(|(name, at)| (self.listings.peer(at), name))
    }

    /// Whether this peer lists that name as a file of which it has only a part.
    pub fn has_a_part(&self, peer: PeerId, name: &Name) -> bool {
        let listing = self.listings.get(peer);
        listing.is_some_and(|listing| listing.has_a_part(name))
    }

    /// An estimate of the memory it takes, in bytes, with what is being forgotten.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    fn insert(&mut self, peer: PeerId, entry: Entry) {
        let facts = Facts::of(&entry);
        let (slot, listing) = self.listings.of(peer).expect("the peer is listed");
        let place = match listing.look_for(&entry.name) {
            Ok(row) if listing.row(row).facts == facts && listing.v1(&entry.name) == entry.v1 => {
                return;
            }
            Ok(row) => {
                let before = &listing.row(row).facts;
                let is_same_file = before.what() == facts.what()
                    && before.partial == facts.partial
                    && listing.v1(&entry.name) == entry.v1;
                self.moved += 1;
                self.cost -= listing.cost_of(&entry.name);
                self.cost += cost_of_entry(&entry.name, entry.v1.is_some());
                let at = At { slot, row };
                // Only its times have changed: what has that content, has it.
                if is_same_file {
                    self.listings
                        .change(slot, |listing| listing.replace(row, facts));
                    return;
                }
                self.unindex_content(at);
                self.listings.change(slot, |listing| {
                    listing.replace(row, facts);
                    listing.set_v1(row, entry.v1);
                });
                return self.index_content(at);
            }
            Err(place) => place,
        };
        self.moved += 1;
        let (among_names, known) = self.indices.look_for(&self.listings, &entry.name, slot);
        // One allocation for each name, however many peers list it.
        let name = known.cloned().unwrap_or(entry.name);
        self.cost += cost_of_entry(&name, entry.v1.is_some());
        let row = self.listings.change(slot, |listing| {
            let row = listing.insert(place, name, facts);
            if entry.v1.is_some() {
                listing.set_v1(row, entry.v1);
            }
            row
        });
        let at = At { slot, row };
        self.indices.insert(&self.listings, among_names, at);
        self.index_content(at);
    }

    fn remove(&mut self, peer: PeerId, name: &Name) {
        let (slot, listing) = self.listings.of(peer).expect("the peer is listed");
        let Some(row) = listing.find(name) else {
            return;
        };
        let last = listing.numbers().last();
        self.moved += 1;
        self.cost -= listing.cost_of(name);
        self.unindex(At { slot, row });
        // The last one takes its number.
        if let Some(last) = last.filter(|last| *last != row) {
            let last = At { slot, row: last };
            self.indices.renumber(&self.listings, last, row);
        }
        self.listings
            .change(slot, |listing| listing.swap_remove(row));
    }

    fn unindex(&mut self, at: At) {
        self.unindex_content(at);
        self.indices.remove(&self.listings, at);
    }

    fn index_content(&mut self, at: At) {
        let is_a_row = self.indices.insert_content(&self.listings, at);
        self.rows += u64::from(is_a_row);
        self.on_holder_changed(at);
        self.on_content_listed(at);
    }

    fn unindex_content(&mut self, at: At) {
        let was_a_row = self.indices.remove_content(&self.listings, at);
        self.rows -= u64::from(was_a_row);
        self.on_holder_changed(at);
        self.on_content_unlisted(at);
    }

    fn on_holder_changed(&mut self, at: At) {
        let has_root = self.listings.facts(at).content().is_some();
        self.holder_changes += u64::from(has_root);
    }

    /// Gathers files that fit equally well. Returns whether the search is over.
    ///
    /// All rows of one name are looked at together, so the search makes
    /// progress however small `most` is.
    fn gather_named<'a>(
        &self,
        fit: Fit,
        rows: Rows<'a>,
        most: u64,
        among: Among<'_>,
        leave_out: &dyn Fn(&Name) -> bool,
        named: &mut Named,
    ) -> bool {
        let mut files = Vec::new();
        let mut rows = rows.peekable();
        while let Some((name, at)) = rows.next() {
            let mut places = vec![at];
            while let Some((_, at)) = rows.next_if(|(next, _)| *next == name) {
                places.push(at);
            }
            named.looked_at += places.len() as u64;
            // The search does not stop there either: a question that continues behind
            // this name would take it for a better fit.
            if leave_out(name) {
                continue;
            }
            self.group(places.into_iter(), among, &mut files);
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

    /// Sorts the holders of one name by content.
    fn group(&self, places: impl Iterator<Item = At>, among: Among<'_>, files: &mut Vec<File>) {
        let mut contents: BTreeMap<(u64, Option<Root>), usize> = BTreeMap::new();
        for at in places {
            let peer = self.listings.peer(at);
            if !among(peer) {
                continue;
            }
            let row = self.listings.row(at);
            let nth = *contents.entry(row.facts.what()).or_insert(files.len());
            if nth == files.len() {
                files.push(File {
                    entry: row.entry_of_file(),
                    holders: Vec::new(),
                });
            }
            let file = &mut files[nth];
            // Holders that serve no clients say none.
            file.entry.v1 = file.entry.v1.or_else(|| self.listings.v1(at));
            file.holders.push(peer);
        }
    }

    /// Asserts the invariant in the module's head. For tests: it looks at everything.
    #[doc(hidden)]
    pub fn check(&self) {
        let (mut cost, mut leaving) = (0, 0);
        for (_, listing) in self.listings.leaving() {
            cost += listing.size().bytes;
            leaving += listing.len();
        }
        assert_eq!(self.leaving, leaving);
        for (peer, _, listing) in self.listings.iter() {
            assert_eq!(listing.peer, peer);
            assert!(listing.names().is_sorted());
            assert_eq!(listing.names().count(), listing.len());
            let costs: u64 = listing.names().map(|name| listing.cost_of(name)).sum();
            let costs = costs + cost_of_torrents(listing.torrents());
            assert_eq!(listing.size().bytes, costs);
            let bytes = listing.entries().map(|entry| u128::from(entry.length));
            let bytes = u64::try_from(bytes.sum::<u128>()).unwrap_or(u64::MAX);
            assert_eq!(listing.bytes(), bytes);
            cost += costs;
        }
        assert_eq!(self.cost, cost);
        self.indices.check(&self.listings);
        let listings = self.listings.iter().map(|(_, _, listing)| listing);
        let leaving = self.listings.leaving().map(|(_, listing)| listing);
        let rows = listings
            .chain(leaving)
            .flat_map(|listing| listing.numbers().map(|row| listing.row(row)));
        let (mut contents, mut without_root) = (BTreeSet::new(), 0);
        for row in rows {
            match row.facts.content() {
                Some(content) => _ = contents.insert((content, &row.name)),
                None => without_root += 1,
            }
        }
        assert_eq!(self.rows, contents.len() as u64 + without_root);
    }
}

#[cfg(test)]
mod tests;

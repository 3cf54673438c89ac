//! What neighbours say of their neighbours' files: asked for in advance, so that a lookup need not
//! ask.
//!
//! Owns which neighbour is asked next, and for how long what each has said counts. Whether it is
//! enough for a lookup is decided in [`lookup`](crate::lookup); who is a neighbour of whom is in
//! the catalogue.
//!
//! ```text
//! claims  what was said, by name
//! ```

mod claims;

use std::collections::BTreeMap;
use std::time::Duration;

use thorp_wire::frame::{Find, Holder, NameFilter, Query, Told, Variant};
use thorp_wire::{Entry, Name, PeerId};

use crate::catalogue::Catalogue;
use crate::time::Instant;

use claims::Claims;

/// The first few neighbours are asked after this time each.
const SOON: Duration = Duration::from_secs(3);
/// How many neighbours are the first few.
const FIRST: u32 = 8;
/// Files that are taken in one answer of variants.
const AT_ONCE: u32 = 500;
/// Pairs of teller and holder that are looked at to see whether two of them are enough: a name of
/// which so many are known without that is said by one member, and is asked for again.
const MOST_PAIRS: usize = 24;
/// What does not count any more is forgotten once in this time, since that looks at everything.
const REFRESHED_EVERY: Duration = Duration::from_mins(10);
/// The most memory for what one neighbour has said, in bytes.
const EACH: usize = 1024 * 1024;
/// Neighbours that have gone and whose claims are kept.
const MOST_GONE: usize = 32;

/// How neighbours are asked in advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hearing {
    /// How often one is asked; never, if it is zero.
    pub every: Duration,
    /// Whether they may answer with a table of holders, and not with variants.
    pub tables: bool,
    /// How many holders of a file are kept of one answer.
    pub holders: usize,
    /// After this time what was said is forgotten, for nothing tells when a file is there no more.
    pub lasts: Duration,
    /// Whether what a neighbour said counts as long as any neighbour names the holder as its own:
    /// else as long as the one does that said so.
    pub outlasts: bool,
    /// Until so many neighbours have answered, or all, they are also asked when a name is looked
    /// up.
    pub few: usize,
}

impl Default for Hearing {
    fn default() -> Self {
        Self {
            every: Duration::from_mins(1),
            tables: true,
            holders: 3,
            lasts: Duration::from_hours(1),
            outlasts: true,
            few: 4,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Hearsay {
    how: Hearing,
    ask_at: Option<Instant>,
    asked: u32,
    /// There were too many names here to ask the last time.
    knows_too_much: bool,
    tellers: BTreeMap<PeerId, Teller>,
    /// Counts the neighbours that have gone.
    parted: u64,
    claims: Claims,
    refreshed: Option<Instant>,
    random: fastrand::Rng,
}

/// A neighbour, or one that was.
#[derive(Clone, Copy, Debug, Default)]
struct Teller {
    asked: Option<Instant>,
    /// It has answered since it is a neighbour.
    has_answered: bool,
    /// It does not know the question: its version is older.
    refuses: bool,
    /// An estimate of the memory that its claims take.
    bytes: usize,
    /// It is no neighbour any more: it was the so manieth that went.
    parted: Option<u64>,
}

/// Whether a claim of a teller about a holder still counts.
pub type Believed<'a> = &'a dyn Fn(PeerId, PeerId) -> bool;

impl Hearsay {
    /// Nothing was said yet.
    pub fn new(how: Hearing, seed: u64) -> Self {
        Self {
            how,
            ask_at: None,
            asked: 0,
            knows_too_much: false,
            tellers: BTreeMap::new(),
            parted: 0,
            claims: Claims::default(),
            refreshed: None,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// Whether neighbours are asked in advance.
    pub fn is_on(&self) -> bool {
        !self.how.every.is_zero()
    }

    /// Whether a lookup need not ask this neighbour: some have answered in advance, and it answers
    /// too.
    pub fn is_told_by(&self, id: PeerId) -> bool {
        let answers = |teller: &Teller| teller.parted.is_none() && !teller.refuses;
        let willing = self.tellers.values().filter(|teller| answers(teller));
        let answered = willing.clone().filter(|teller| teller.has_answered).count();
        let is_enough = answered >= willing.count().min(self.how.few);
        let is_willing = self.tellers.get(&id).is_some_and(answers);
        self.is_on() && is_willing && is_enough && !self.knows_too_much
    }

    /// A peer has become a neighbour, or is one over a new link.
    pub fn on_neighbour(&mut self, now: Instant, id: PeerId) {
        if !self.is_on() {
            return;
        }
        let teller = self.tellers.entry(id).or_default();
        *teller = Teller {
            bytes: teller.bytes,
            asked: teller.asked.filter(|_| teller.parted.is_none()),
            has_answered: teller.has_answered && teller.parted.is_none(),
            ..Teller::default()
        };
        let soon = now + SOON;
        if self.asked < FIRST {
            let at = self.ask_at.map_or(soon, |at| at.min(soon));
            self.ask_at = Some(at);
        } else {
            self.ask_at.get_or_insert(soon);
        }
    }

    /// A peer is no neighbour any more.
    pub fn on_parted(&mut self, id: PeerId) {
        let Some(teller) = self.tellers.get_mut(&id) else {
            return;
        };
        if teller.bytes > 0 && self.how.outlasts {
            self.parted += 1;
            teller.parted = Some(self.parted);
            let gone = self
                .tellers
                .iter()
                .filter(|(_, teller)| teller.parted.is_some());
            if gone.clone().count() > MOST_GONE
                && let Some((first, _)) = gone.min_by_key(|(_, teller)| teller.parted)
            {
                self.forget(*first);
            }
        } else {
            self.forget(id);
        }
    }

    fn forget(&mut self, teller: PeerId) {
        let tellers = &mut self.tellers;
        let freed = &mut |teller, bytes| freed_of(tellers, teller, bytes);
        self.claims.forget(teller, freed);
        self.tellers.remove(&teller);
    }

    /// A neighbour does not answer such questions.
    pub fn on_refused(&mut self, id: PeerId) {
        if let Some(teller) = self.tellers.get_mut(&id) {
            teller.refuses = true;
        }
    }

    /// Returns when [`due`](Self::due) may have a neighbour to ask.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.ask_at
    }

    /// Returns the neighbour to ask now: the one that was not asked for longest.
    pub fn due(&mut self, now: Instant) -> Option<PeerId> {
        self.ask_at.filter(|at| *at <= now)?;
        let willing = self
            .tellers
            .iter_mut()
            .filter(|(_, teller)| !teller.refuses && teller.parted.is_none());
        let Some((id, teller)) = willing.min_by_key(|(_, teller)| teller.asked) else {
            self.ask_at = None;
            return None;
        };
        teller.asked = Some(now);
        let id = *id;
        self.asked = self.asked.saturating_add(1);
        let is_new =
            |teller: &Teller| teller.asked.is_none() && !teller.refuses && teller.parted.is_none();
        let early = self.asked < FIRST && self.tellers.values().any(is_new);
        let every = self.how.every;
        self.ask_at = Some(now + if early { SOON.min(every) } else { every });
        Some(id)
    }

    /// Returns the question: which files are there that this peer does not know enough of?
    /// `None`, if there are too many names here to say that.
    pub fn question(
        &mut self,
        now: Instant,
        me: PeerId,
        catalogue: &Catalogue,
        counts: Believed<'_>,
    ) -> Option<Find> {
        let is_due = |at| now - at >= REFRESHED_EVERY;
        if self.refreshed.is_none_or(is_due) {
            self.refreshed = Some(now);
            self.refresh(now, counts);
        }
        let lasts = self.how.lasts;
        let mut known: Vec<&Name> = Vec::new();
        // Of these another holder is of use, and the same one is not.
        let mut held: Vec<(&Name, PeerId)> = Vec::new();
        let mut pairs: Vec<(PeerId, PeerId)> = Vec::new();
        let mut listed = catalogue.names(me).peekable();
        let mut told = self.claims.by_name().peekable();
        loop {
            self.knows_too_much = known.len() + held.len() > NameFilter::MAX_ITEMS;
            if self.knows_too_much {
                return None;
            }
            // Both are in the order of names.
            let name = match (listed.peek(), told.peek()) {
                (Some((listed, _)), Some((told, _))) => *listed.min(told),
                (Some((listed, _)), None) => listed,
                (None, Some((told, _))) => told,
                (None, None) => break,
            };
            let holders = listed.next_if(|(listed, _)| *listed == name);
            let claims = told.next_if(|(told, _)| *told == name);
            let holders = holders.map(|(_, holders)| holders).unwrap_or_default();
            let is_listed_twice = holders.iter().all(Option::is_some);
            if is_listed_twice || holders.contains(&Some(me)) {
                known.push(name);
                continue;
            }
            pairs.clear();
            pairs.extend(holders.into_iter().flatten().map(|holder| (holder, holder)));
            let claims = claims.into_iter().flat_map(|(_, claims)| claims);
            let claims = claims.filter(|told| told.age(now) < lasts);
            let claims = claims.map(|told| (told.teller, told.holder.id));
            let claims = claims.filter(|(teller, holder)| counts(*teller, *holder));
            pairs.extend(claims.take(MOST_PAIRS));
            if are_enough(&pairs) {
                known.push(name);
            } else {
                held.extend(pairs.iter().map(|(_, holder)| (name, *holder)));
            }
        }
        let items = known.len() + held.len();
        let mut filter = NameFilter::new(self.random.u64(..), items);
        for name in known {
            filter.insert(name);
        }
        for (name, holder) in held {
            filter.insert_holder(name, holder);
        }
        let told = self.how.tables.then_some(Told::MAX_FILES);
        Some(Find {
            query: Query::Beyond(filter, told.and_then(|told| u32::try_from(told).ok())),
            hops: 1,
            hash_now: false,
            after: None,
            most: Some(AT_ONCE),
        })
    }

    /// A neighbour has answered with a table.
    pub fn learn_told(&mut self, now: Instant, me: PeerId, teller: PeerId, told: &Told) {
        self.on_answered(teller);
        for file in &told.files {
            let holders = told.holders_of(file).filter(|holder| holder.id != me);
            self.keep(now, teller, &file.entry, holders);
        }
    }

    /// A neighbour has answered with variants: its version is older.
    pub fn learn(&mut self, now: Instant, teller: PeerId, variants: &[Variant]) {
        self.on_answered(teller);
        for variant in variants {
            self.keep(now, teller, &variant.entry, variant.holders.iter());
        }
    }

    fn on_answered(&mut self, teller: PeerId) {
        if let Some(teller) = self.tellers.get_mut(&teller) {
            teller.has_answered = true;
        }
    }

    fn keep<'a>(
        &mut self,
        now: Instant,
        id: PeerId,
        entry: &Entry,
        holders: impl Iterator<Item = &'a Holder>,
    ) {
        let teller = self.tellers.get_mut(&id);
        let Some(teller) = teller.filter(|teller| teller.parted.is_none()) else {
            return;
        };
        if entry.root.is_none() {
            return;
        }
        let others = holders.filter(|holder| holder.id != id);
        let others = others.filter(|holder| !holder.partial && !holder.addresses.is_empty());
        for holder in others.take(self.how.holders) {
            let free = EACH.saturating_sub(teller.bytes);
            if self.claims.has_room(id, &entry.name, free) {
                teller.bytes += self.claims.insert(now, id, holder, entry.clone());
            }
        }
    }

    /// Returns what is said of a name as a user typed it, each by its teller and with one holder.
    pub fn said(&self, now: Instant, typed: &str, counts: Believed<'_>) -> Vec<(PeerId, Variant)> {
        let exact = typed.parse::<Name>().ok();
        let names = exact.iter().chain(self.claims.based(typed));
        let told = names.flat_map(|name| self.claims.of(name));
        let told = told
            .filter(|told| told.age(now) < self.how.lasts && counts(told.teller, told.holder.id));
        let said = told.map(|told| {
            let variant = Variant {
                entry: told.entry.clone(),
                holders: vec![told.holder.clone()],
                hashed: None,
            };
            (told.teller, variant)
        });
        said.collect()
    }

    /// Forgets what is too old, and what does not count any more.
    fn refresh(&mut self, now: Instant, counts: Believed<'_>) {
        let tellers = &mut self.tellers;
        let freed = &mut |teller, bytes| freed_of(tellers, teller, bytes);
        self.claims.refresh(now, self.how.lasts, counts, freed);
        let is_of_use = |teller: &Teller| teller.parted.is_none() || teller.bytes > 0;
        self.tellers.retain(|_, teller| is_of_use(teller));
    }

    /// Asserts that the memory of each teller's claims is counted.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn check(&self) {
        let bytes = self.claims.check();
        let gone = self
            .tellers
            .values()
            .filter(|teller| teller.parted.is_some());
        assert!(gone.count() <= MOST_GONE);
        for (id, teller) in &self.tellers {
            assert_eq!(teller.bytes, bytes.get(id).copied().unwrap_or_default());
            assert!(teller.bytes <= EACH);
        }
        assert!(bytes.keys().all(|teller| self.tellers.contains_key(teller)));
    }
}

fn freed_of(tellers: &mut BTreeMap<PeerId, Teller>, teller: PeerId, bytes: usize) {
    if let Some(teller) = tellers.get_mut(&teller) {
        teller.bytes -= bytes;
    }
}

/// Whether two of these pairs of teller and holder have no member in common: that is what a
/// lookup wants to hear of a base name.
fn are_enough(pairs: &[(PeerId, PeerId)]) -> bool {
    let are_apart = |(teller, holder): &(PeerId, PeerId), of: &(PeerId, PeerId)| {
        ![of.0, of.1].contains(teller) && ![of.0, of.1].contains(holder)
    };
    let before = |at| pairs.get(..at).unwrap_or_default();
    let pairs = (0..).zip(pairs);
    pairs
        .into_iter()
        .any(|(at, pair)| before(at).iter().any(|other| are_apart(pair, other)))
}

#[cfg(test)]
mod tests;

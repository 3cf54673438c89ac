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

use std::cmp::Ordering;
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
#[expect(
    clippy::struct_excessive_bools,
    reason = "rules that can be left out, one by one"
)]
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
    /// How many names, and names with a holder, one question may say to be known.
    pub items: usize,
    /// Bits of the filter for each of these. With fewer, more seems to be known that is not: it is
    /// told by another neighbour, or the next time.
    pub bits: usize,
    /// Whether a holder that one neighbour has told of is asked for again, where another
    /// neighbour that says the same would be the second witness.
    pub seconds: bool,
    /// A neighbour that was not asked yet is asked this long after the last one.
    pub fresh: Duration,
    /// Whether a member is dialled of which neighbours have said something, one in each
    /// [`every`](Self::every), while there is room for neighbours.
    pub meets: bool,
}

impl Hearing {
    /// What a node uses, if its user changes nothing.
    pub const USUAL: Self = Self {
        every: Duration::from_mins(1),
        tables: true,
        holders: 3,
        lasts: Duration::from_hours(1),
        outlasts: true,
        few: 4,
        items: 4096,
        bits: 8,
        seconds: true,
        fresh: Duration::from_secs(15),
        meets: true,
    };
}

impl Default for Hearing {
    fn default() -> Self {
        Self::USUAL
    }
}

/// See the module.
#[derive(Debug)]
pub struct Hearsay {
    how: Hearing,
    ask_at: Option<Instant>,
    asked: u32,
    tellers: BTreeMap<PeerId, Teller>,
    /// Counts the neighbours that have gone.
    parted: u64,
    claims: Claims,
    refreshed: Option<Instant>,
    /// When another member may be dialled to become a neighbour.
    meet_at: Option<Instant>,
    random: fastrand::Rng,
}

/// A neighbour, or one that was.
#[derive(Clone, Debug, Default)]
struct Teller {
    asked: Option<Instant>,
    /// The last question was about names up to this one, and the next one is about those behind.
    asked_until: Option<Name>,
    /// It has answered since it is a neighbour.
    has_answered: bool,
    /// It does not know the question: its version is older.
    refuses: bool,
    /// An estimate of the memory that its claims take.
    bytes: usize,
    /// Set once it is no neighbour any more: how many had gone, it included.
    parted: Option<u64>,
}

/// What a question says to be known.
struct Known<'a> {
    /// Names of which no other holder is of use.
    names: Vec<&'a Name>,
    /// Of these names another holder is of use, and this one is not.
    held: Vec<(&'a Name, PeerId)>,
    /// The last name that was looked at, if there are more.
    until: Option<Name>,
}

/// Whether a claim of a teller about a holder still counts. Of what [outlasts](Hearing::outlasts)
/// its teller each holder is asked for once, with any of those that told of it.
pub type Believed<'a> = &'a dyn Fn(PeerId, PeerId) -> bool;

impl Hearsay {
    /// Nothing was said yet.
    pub fn new(how: Hearing, seed: u64) -> Self {
        Self {
            how,
            ask_at: None,
            asked: 0,
            tellers: BTreeMap::new(),
            parted: 0,
            claims: Claims::default(),
            refreshed: None,
            meet_at: None,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// Whether neighbours are asked in advance.
    pub fn is_on(&self) -> bool {
        !self.how.every.is_zero()
    }

    /// Whether a lookup need not ask this neighbour: enough have answered in advance, and it
    /// answers such questions too.
    pub fn need_not_be_asked(&self, id: PeerId) -> bool {
        let answers = |teller: &Teller| teller.parted.is_none() && !teller.refuses;
        let willing = self.tellers.values().filter(|teller| answers(teller));
        let answered = willing.clone().filter(|teller| teller.has_answered).count();
        let is_enough = answered >= willing.count().min(self.how.few);
        let is_willing = self.tellers.get(&id).is_some_and(answers);
        self.is_on() && is_willing && is_enough
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
        let soon = now + self.until_fresh();
        let at = self.ask_at.map_or(now + SOON, |at| at.min(soon));
        self.ask_at = Some(at);
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
        let wait = if self.tellers.values().any(is_new) {
            self.until_fresh()
        } else {
            self.how.every
        };
        self.ask_at = Some(now + wait);
        Some(id)
    }

    /// How long a neighbour that was not asked yet waits.
    fn until_fresh(&self) -> Duration {
        let wait = if self.asked < FIRST {
            SOON
        } else {
            self.how.fresh
        };
        wait.min(self.how.every)
    }

    /// Returns the question to a neighbour: which files are there that this peer does not know
    /// enough of? If more names are known here than a question has room for, it is about some of
    /// them, and the next one to this neighbour goes on behind these.
    pub fn question(
        &mut self,
        now: Instant,
        me: PeerId,
        asked: PeerId,
        catalogue: &Catalogue,
        counts: Believed<'_>,
    ) -> Find {
        let is_due = |at| now - at >= REFRESHED_EVERY;
        if self.refreshed.is_none_or(is_due) {
            self.refreshed = Some(now);
            self.refresh(now, counts);
        }
        let teller = self.tellers.get(&asked);
        let after = teller.and_then(|teller| teller.asked_until.clone());
        let salt = self.random.u64(..);
        let known = self.known(now, me, asked, after.as_ref(), catalogue, counts);
        let items = known.names.len() + known.held.len();
        let mut filter = NameFilter::new(salt, (items * self.how.bits).div_ceil(8));
        for name in known.names {
            filter.insert(name);
        }
        for (name, holder) in known.held {
            filter.insert_holder(name, holder);
        }
        let until = known.until;
        if let Some(teller) = self.tellers.get_mut(&asked) {
            teller.asked_until.clone_from(&until);
        }
        let told = self.how.tables.then_some(Told::MAX_FILES);
        let most = told.and_then(|told| u32::try_from(told).ok());
        Find {
            after,
            most: Some(AT_ONCE),
            until,
            ..Find::new(Query::Beyond(filter, most), 1)
        }
    }

    /// Returns what is known here, and need not be told by `asked`, of the names behind `after`.
    fn known<'a>(
        &'a self,
        now: Instant,
        me: PeerId,
        asked: PeerId,
        after: Option<&Name>,
        catalogue: &'a Catalogue,
        counts: Believed<'_>,
    ) -> Known<'a> {
        let mut names: Vec<&Name> = Vec::new();
        let mut held: Vec<(&Name, PeerId)> = Vec::new();
        let mut pairs = Vec::new();
        let mut until = None;
        let mut last: Option<&Name> = None;
        let mut counted = self.claims.counted(now, &self.how, counts);
        let mut listed = catalogue.names(me, after).peekable();
        let mut told = self.claims.behind(after).peekable();
        loop {
            // Both are in the order of names.
            let order = match (listed.peek(), told.peek()) {
                (Some((listed, _)), Some((told, _))) => listed.cmp(told),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            if names.len() + held.len() >= self.how.items {
                until = last.cloned();
                break;
            }
            let listing = listed.next_if(|_| order.is_le());
            let claims = told.next_if(|_| order.is_ge());
            let of_listing = listing.map(|(name, _)| name);
            let Some(name) = of_listing.or(claims.map(|(name, _)| name)) else {
                break;
            };
            last = Some(name);
            pairs.clear();
            match listing {
                Some((_, Some(only))) => {
                    let number = counted.number_of(only);
                    pairs.push((number, number));
                }
                Some((_, None)) => {
                    names.push(name);
                    continue;
                }
                None => {}
            }
            let claims = claims.map_or(&[][..], |(_, files)| files);
            let mut told = counted.pairs(claims).take(MOST_PAIRS);
            // Most names have many claims, and the first few are enough.
            let is_known = told.any(|pair| {
                let is_enough = is_second(&pairs, pair);
                pairs.push(pair);
                is_enough
            });
            drop(told);
            if is_known {
                names.push(name);
                continue;
            }
            let teller = counted.number_of(asked);
            let is_of_use = |holder| self.how.seconds && is_second(&pairs, (teller, holder));
            let holders = pairs.iter().map(|(_, holder)| *holder);
            let holders = holders.filter(|holder| !is_of_use(*holder));
            let holders = holders.filter_map(|holder| counted.member(holder));
            held.extend(holders.map(|holder| (name, holder)));
        }
        Known { names, held, until }
    }

    /// Returns a member to dial, so that it may become a neighbour, if it is time for another one:
    /// the one that fewest neighbours name as theirs, of those for which `named` says how many do.
    pub fn next_to_meet(
        &mut self,
        now: Instant,
        named: &dyn Fn(PeerId) -> Option<usize>,
    ) -> Option<Holder> {
        let is_first = self.meet_at.is_none();
        let at = *self.meet_at.get_or_insert(now + self.how.every);
        if !self.how.meets || is_first || now < at {
            return None;
        }
        self.meet_at = Some(now + self.how.every);
        let random = &mut self.random;
        let holders = self.claims.holders();
        let worth = holders.filter_map(|holder| Some((named(holder.id)?, random.u64(..), holder)));
        let first = worth.min_by_key(|(named, drawn, _)| (*named, *drawn));
        first.map(|(_, _, holder)| holder.clone())
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
            teller.bytes += self.claims.insert(now, id, holder, entry, free);
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
        self.claims.refresh(now, &self.how, counts, freed);
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

/// Whether one of these pairs of teller and holder has no member in common with another pair: two
/// such are what a lookup wants to hear of a base name.
fn is_second<Id: Copy + PartialEq>(pairs: &[(Id, Id)], another: (Id, Id)) -> bool {
    let is_other = |member: &Id| *member != another.0 && *member != another.1;
    let mut pairs = pairs.iter();
    pairs.any(|(teller, holder)| is_other(teller) && is_other(holder))
}

#[cfg(test)]
mod tests;

//! What neighbours say of their neighbours' files: asked for in advance, so that a lookup need not
//! ask.
//!
//! Owns which neighbour is asked next and what each has said. What is said counts for as long as
//! its teller is a neighbour and names the holder as its own neighbour, and for half an hour at
//! most. Whether it is enough for a lookup is decided in [`lookup`](crate::lookup); who is a
//! neighbour of whom is in the catalogue.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use thorp_wire::frame::{Find, Holder, NameFilter, Query, Variant};
use thorp_wire::{Entry, Name, PeerId};

use crate::catalogue::Catalogue;
use crate::time::Instant;

/// The first few neighbours are asked after this time each.
const SOON: Duration = Duration::from_secs(3);
/// How many neighbours are the first few.
const FIRST: u32 = 8;
/// After this time what was said is forgotten, for nothing tells when a file is there no more.
const LASTS: Duration = Duration::from_mins(30);
/// Files that are taken in one answer.
const AT_ONCE: u32 = 500;
/// Holders of one file that are kept of one answer.
const HOLDERS: usize = 2;
/// A name about which so many pairs of teller and holder agree, all of them different members, is
/// not asked for: two are what a lookup wants to hear of a base name.
const ENOUGH: usize = 2;
/// The most memory for what one neighbour has said, in bytes, and what a claim takes besides its
/// name.
const EACH: usize = 256 * 1024;
const CLAIM: usize = 512;

/// See the module.
#[derive(Debug)]
pub struct Hearsay {
    /// How often a neighbour is asked; never, if it is zero.
    every: Duration,
    ask_at: Option<Instant>,
    asked: u32,
    /// There were too many names here to ask the last time.
    knows_too_much: bool,
    tellers: BTreeMap<PeerId, Teller>,
    claims: BTreeMap<Name, Vec<Claim>>,
    /// Names that have a folder, by their base.
    bases: BTreeMap<String, BTreeSet<Name>>,
    random: fastrand::Rng,
}

/// A neighbour.
#[derive(Clone, Copy, Debug, Default)]
struct Teller {
    asked: Option<Instant>,
    /// It does not know the question: its version is older.
    refuses: bool,
    /// An estimate of the memory that its claims take.
    bytes: usize,
}

/// A neighbour has said that another member has a file.
#[derive(Debug)]
struct Claim {
    teller: PeerId,
    holder: Holder,
    entry: Entry,
    heard: Instant,
}

/// Whether a claim of a teller about a holder still counts.
pub type Believed<'a> = &'a dyn Fn(PeerId, PeerId) -> bool;

impl Hearsay {
    /// Nothing was said yet. A neighbour is asked each time that this interval has passed; never,
    /// if it is zero.
    pub fn new(every: Duration, seed: u64) -> Self {
        Self {
            every,
            ask_at: None,
            asked: 0,
            knows_too_much: false,
            tellers: BTreeMap::new(),
            claims: BTreeMap::new(),
            bases: BTreeMap::new(),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// Whether neighbours are asked in advance.
    pub fn is_on(&self) -> bool {
        !self.every.is_zero()
    }

    /// Whether this neighbour is asked in advance, and answers.
    pub fn is_told_by(&self, id: PeerId) -> bool {
        let answers = self.tellers.get(&id).is_some_and(|teller| !teller.refuses);
        self.is_on() && answers && !self.knows_too_much
    }

    /// A peer has become a neighbour, or is one over a new link.
    pub fn on_neighbour(&mut self, now: Instant, id: PeerId) {
        if !self.is_on() {
            return;
        }
        self.tellers.entry(id).or_default().refuses = false;
        let soon = now + SOON;
        if self.asked < FIRST {
            let at = self.ask_at.map_or(soon, |at| at.min(soon));
            self.ask_at = Some(at);
        } else {
            self.ask_at.get_or_insert(soon);
        }
    }

    /// A peer is no neighbour any more: what it said does not count.
    pub fn on_parted(&mut self, id: PeerId) {
        if self
            .tellers
            .remove(&id)
            .is_some_and(|teller| teller.bytes > 0)
        {
            self.retain(&|claim| claim.teller != id);
        }
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
            .filter(|(_, teller)| !teller.refuses);
        let Some((id, teller)) = willing.min_by_key(|(_, teller)| teller.asked) else {
            self.ask_at = None;
            return None;
        };
        teller.asked = Some(now);
        let id = *id;
        self.asked = self.asked.saturating_add(1);
        let is_new = |teller: &Teller| teller.asked.is_none() && !teller.refuses;
        let early = self.asked < FIRST && self.tellers.values().any(is_new);
        self.ask_at = Some(
            now + if early {
                SOON.min(self.every)
            } else {
                self.every
            },
        );
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
        self.retain(&|claim| now - claim.heard < LASTS && counts(claim.teller, claim.holder.id));
        let mut known: Vec<&Name> = Vec::new();
        // Of these another holder is of use, and the same one is not.
        let mut held: Vec<(&Name, PeerId)> = Vec::new();
        let mut listed = catalogue.names(me).peekable();
        let mut told = self.claims.iter().peekable();
        loop {
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
            let is_own = holders.contains(&Some(me));
            let listed = holders.into_iter().flatten().map(|holder| (holder, holder));
            let told = claims.into_iter().flat_map(|(_, claims)| claims);
            let told = told.map(|claim| (claim.teller, claim.holder.id));
            let both = listed.chain(told);
            if is_own || are_enough(both.clone()) {
                known.push(name);
            } else {
                held.extend(both.map(|(_, holder)| (name, holder)));
            }
            self.knows_too_much = known.len() + held.len() > NameFilter::MAX_ITEMS;
            if self.knows_too_much {
                return None;
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
        Some(Find {
            query: Query::Beyond(filter),
            hops: 1,
            hash_now: false,
            after: None,
            most: Some(AT_ONCE),
        })
    }

    /// A neighbour has answered.
    pub fn learn(&mut self, now: Instant, teller: PeerId, variants: Vec<Variant>) {
        for variant in variants {
            let Variant { entry, holders, .. } = variant;
            if entry.root.is_none() {
                continue;
            }
            let others = holders.into_iter().filter(|holder| holder.id != teller);
            let others = others.filter(|holder| !holder.partial && !holder.addresses.is_empty());
            for holder in others.take(HOLDERS) {
                let claim = Claim {
                    teller,
                    holder,
                    entry: entry.clone(),
                    heard: now,
                };
                self.keep(claim);
            }
        }
    }

    fn keep(&mut self, claim: Claim) {
        let Some(teller) = self.tellers.get_mut(&claim.teller) else {
            return;
        };
        let name = &claim.entry.name;
        let is_same =
            |other: &Claim| other.teller == claim.teller && other.holder.id == claim.holder.id;
        if let Some(claims) = self.claims.get_mut(name)
            && let Some(same) = claims.iter_mut().find(|other| is_same(other))
        {
            *same = claim;
            return;
        }
        let bytes = cost_of(name);
        if teller.bytes + bytes > EACH {
            return;
        }
        teller.bytes += bytes;
        if name.base() != name.as_str() {
            let based = self.bases.entry(name.base().to_owned()).or_default();
            based.insert(name.clone());
        }
        let claims = self.claims.entry(name.clone()).or_default();
        // Most have one or two: room for four would be most of what they take.
        claims.reserve_exact(1);
        claims.push(claim);
    }

    /// Returns what is said of a name as a user typed it, each by its teller and with one holder.
    pub fn said(&self, now: Instant, typed: &str, counts: Believed<'_>) -> Vec<(PeerId, Variant)> {
        let exact = typed.parse::<Name>().ok();
        let based = self.bases.get(typed).into_iter().flatten();
        let names = exact.iter().chain(based);
        let claims = names.filter_map(|name| self.claims.get(name)).flatten();
        let claims = claims
            .filter(|claim| now - claim.heard < LASTS && counts(claim.teller, claim.holder.id));
        let said = claims.map(|claim| {
            let variant = Variant {
                entry: claim.entry.clone(),
                holders: vec![claim.holder.clone()],
                hashed: None,
            };
            (claim.teller, variant)
        });
        said.collect()
    }

    /// Forgets all claims but these.
    fn retain(&mut self, is_kept: &dyn Fn(&Claim) -> bool) {
        let (tellers, bases) = (&mut self.tellers, &mut self.bases);
        self.claims.retain(|name, claims| {
            claims.retain(|claim| {
                let is_kept = is_kept(claim);
                if !is_kept && let Some(teller) = tellers.get_mut(&claim.teller) {
                    teller.bytes -= cost_of(name);
                }
                is_kept
            });
            if claims.is_empty()
                && let Some(based) = bases.get_mut(name.base())
            {
                based.remove(name);
                if based.is_empty() {
                    bases.remove(name.base());
                }
            }
            !claims.is_empty()
        });
    }

    /// Asserts that the memory of each teller's claims is counted.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn check(&self) {
        for (id, teller) in &self.tellers {
            let claims = self.claims.iter().flat_map(|(name, claims)| {
                let its = claims.iter().filter(|claim| claim.teller == *id);
                its.map(move |_| cost_of(name))
            });
            assert_eq!(teller.bytes, claims.sum::<usize>());
            assert!(teller.bytes <= EACH);
        }
        let has_folder = |name: &&Name| name.base() != name.as_str();
        let bases: usize = self.bases.values().map(BTreeSet::len).sum();
        assert_eq!(bases, self.claims.keys().filter(has_folder).count());
    }
}

fn cost_of(name: &Name) -> usize {
    CLAIM + 2 * name.as_str().len()
}

/// Whether among these pairs of teller and holder there are enough that have no member in common.
fn are_enough(claims: impl Iterator<Item = (PeerId, PeerId)>) -> bool {
    let mut members = Vec::new();
    let mut apart = 0;
    for (teller, holder) in claims {
        if members.contains(&teller) || members.contains(&holder) {
            continue;
        }
        members.extend([teller, holder]);
        apart += 1;
        if apart == ENOUGH {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests;

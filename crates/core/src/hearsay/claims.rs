//! What neighbours have said, by name: which member has which file, who said so and when.
//!
//! Owns the memory that it takes: members are kept once and known by small numbers, and a file
//! once, however many members are said to have it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use thorp_wire::frame::Holder;
use thorp_wire::{Entry, Name, PeerId};

use super::{Believed, Hearing};
use crate::ahead::{ahead, first_byte};
use crate::time::Instant;

/// The memory that a name takes of which something is said, besides its text, and a claim about
/// it: estimates, in bytes.
const NAME: usize = 384;
const CLAIM: usize = 16;

/// The place of a member in [`Members`].
type Slot = u32;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Claims {
    members: Members,
    files: BTreeMap<Name, Vec<Said>>,
    /// Names that have a folder, by their base.
    bases: BTreeMap<Box<str>, Vec<Name>>,
}

/// A file of which something is said.
#[derive(Debug)]
pub(super) struct Said {
    entry: Entry,
    claims: Vec<Claim>,
}

/// A member has said that another one has a file.
#[derive(Clone, Copy, Debug)]
struct Claim {
    teller: Slot,
    holder: Slot,
    /// In seconds since the start.
    heard: u32,
}

/// A claim, as it is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    pub teller: PeerId,
    pub holder: &'a Holder,
    pub entry: &'a Entry,
    heard: u32,
}

impl Told<'_> {
    /// How long ago it was said.
    pub fn age(&self, now: Instant) -> Duration {
        Duration::from_secs(seconds(now).saturating_sub(self.heard).into())
    }
}

impl Claims {
    /// Adds a claim, in the place of one that the teller has made of this name and holder, if it
    /// takes no more memory than is free. Returns how much more the teller's claims take.
    pub fn insert(
        &mut self,
        now: Instant,
        teller: PeerId,
        holder: &Holder,
        entry: &Entry,
        free: usize,
    ) -> usize {
        let name = &entry.name;
        let (mut is_first, is_same) = self.is_first_or_same(name, teller, holder.id);
        let cost = |is_first| CLAIM + if is_first { cost_of(name) } else { 0 };
        if cost(is_first) > free {
            return 0;
        }
        let mut freed = 0;
        if is_same {
            let is_other = |told: &Told<'_>| told.teller != teller || told.holder.id != holder.id;
            self.retain_of(name, &mut |_, told| is_other(told), &mut |_, bytes| {
                freed += bytes;
            });
            is_first = !self.of(name).any(|told| told.teller == teller);
        }
        let claim = Claim {
            teller: self.members.add(&Holder::bare(teller)),
            holder: self.members.add(holder),
            heard: seconds(now),
        };
        let files = self.files.entry(name.clone()).or_default();
        if files.is_empty() && name.base() != name.as_str() {
            let based = self.bases.entry(name.base().into()).or_default();
            based.reserve_exact(1);
            based.push(name.clone());
        }
        let content = entry.content();
        let same = files
            .iter_mut()
            .find(|said| said.entry.content() == content);
        if let Some(said) = same {
            said.claims.push(claim);
        } else {
            files.reserve_exact(1);
            files.push(Said {
                entry: entry.clone(),
                claims: vec![claim],
            });
        }
        cost(is_first).saturating_sub(freed)
    }

    /// Whether a teller has said nothing of this name yet, and whether it has said this.
    fn is_first_or_same(&self, name: &Name, teller: PeerId, holder: PeerId) -> (bool, bool) {
        let members = &self.members;
        let (teller, holder) = (members.number_of(teller), members.number_of(holder));
        let (mut is_first, mut is_same) = (true, false);
        let files = self.files.get(name).into_iter().flatten();
        for claim in files.flat_map(|said| &said.claims) {
            if Some(members.first[claim.teller as usize]) == teller {
                is_first = false;
                is_same |= Some(members.first[claim.holder as usize]) == holder;
            }
        }
        (is_first, is_same)
    }

    /// Returns what is said of a name.
    pub fn of(&self, name: &Name) -> impl Iterator<Item = Told<'_>> {
        let files = self.files.get(name).into_iter().flatten();
        files.flat_map(|said| self.told(said))
    }

    /// Returns what is said of each name behind this one, in the order of names.
    pub fn behind(&self, after: Option<&Name>) -> impl Iterator<Item = (&Name, &[Said])> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let files = self.files.range::<Name, _>((start, Bound::Unbounded));
        ahead(files, |(name, files)| {
            let claims = files.first().and_then(|said| said.claims.first());
            let [heard, ..] = claims.map_or(0, |claim| claim.heard).to_le_bytes();
            first_byte(name.as_str()) ^ heard
        })
        .map(|(name, files)| (name, &files[..]))
    }

    /// Returns which claims count now, for a walk over many names.
    pub fn counted<'a>(&'a self, now: Instant, how: &Hearing, counts: Believed<'a>) -> Counted<'a> {
        Counted {
            now: seconds(now),
            lasts: how.lasts.as_secs(),
            asked: Asked::new(&self.members, how, counts),
            others: Vec::new(),
        }
    }

    /// Returns what is said of each name, in the order of names.
    fn by_name(&self) -> impl Iterator<Item = (&Name, impl Iterator<Item = Told<'_>> + Clone)> {
        let told = |said| self.told(said);
        self.files
            .iter()
            .map(move |(name, files)| (name, files.iter().flat_map(told)))
    }

    /// Returns the members of which it is said where they are, and that they have something.
    pub fn holders(&self) -> impl Iterator<Item = &Holder> {
        let used = self.members.known.iter().filter(|known| known.uses > 0);
        let holders = used.map(|known| &known.holder);
        holders.filter(|holder| !holder.addresses.is_empty())
    }

    /// Returns the names with a folder that end in this.
    pub fn based(&self, base: &str) -> impl Iterator<Item = &Name> {
        self.bases.get(base).into_iter().flatten()
    }

    /// Forgets claims that are this old, and those that do not count any more. Tells of each
    /// teller how much less memory its claims take.
    pub fn refresh(
        &mut self,
        now: Instant,
        how: &Hearing,
        counts: Believed<'_>,
        freed: &mut dyn FnMut(PeerId, usize),
    ) {
        let mut asked = Asked::new(&self.members, how, counts);
        let (now, lasts) = (seconds(now), how.lasts.as_secs());
        let is_fresh = |claim: &Claim| u64::from(now.saturating_sub(claim.heard)) < lasts;
        let mut stale = Vec::new();
        for (name, files) in &self.files {
            let mut claims = files.iter().flat_map(|said| &said.claims);
            if claims.any(|claim| !is_fresh(claim) || !asked.counts(claim)) {
                stale.push(name.clone());
            }
        }
        for name in stale {
            let mut counts = |claim: &Claim, told: &Told<'_>| {
                is_fresh(claim) && counts(told.teller, told.holder.id)
            };
            self.retain_of(&name, &mut counts, freed);
        }
    }

    /// Forgets all that a member has said. Tells how much less memory its claims take.
    pub fn forget(&mut self, teller: PeerId, freed: &mut dyn FnMut(PeerId, usize)) {
        let is_its = |told: Told<'_>| told.teller == teller;
        let of_it = self.by_name().filter(|(_, told)| told.clone().any(is_its));
        let names: Vec<Name> = of_it.map(|(name, _)| name.clone()).collect();
        for name in names {
            self.retain_of(&name, &mut |_, told| told.teller != teller, freed);
        }
    }

    fn retain_of(
        &mut self,
        name: &Name,
        is_kept: &mut dyn FnMut(&Claim, &Told<'_>) -> bool,
        freed: &mut dyn FnMut(PeerId, usize),
    ) {
        let Some(mut files) = self.files.remove(name) else {
            return;
        };
        let mut gone: Vec<Claim> = Vec::new();
        for said in &mut files {
            let Said { entry, claims } = said;
            let members = &self.members;
            claims.retain(|claim| {
                let is_kept = is_kept(claim, &members.told(claim, entry));
                if !is_kept {
                    gone.push(*claim);
                }
                is_kept
            });
        }
        files.retain(|said| !said.claims.is_empty());
        let mut whole: Vec<Slot> = gone.iter().map(|claim| claim.teller).collect();
        whole.sort_unstable();
        whole.dedup();
        let remain = files.iter().flat_map(|said| &said.claims);
        for claim in remain {
            whole.retain(|teller| *teller != claim.teller);
        }
        for teller in whole {
            freed(self.members.known[teller as usize].holder.id, cost_of(name));
        }
        for claim in gone {
            freed(self.members.known[claim.teller as usize].holder.id, CLAIM);
            self.members.remove(claim.teller);
            self.members.remove(claim.holder);
        }
        if !files.is_empty() {
            self.files.insert(name.clone(), files);
            return;
        }
        if let Some(based) = self.bases.get_mut(name.base()) {
            based.retain(|other| other != name);
            if based.is_empty() {
                self.bases.remove(name.base());
            }
        }
    }

    fn told<'a>(&'a self, said: &'a Said) -> impl Iterator<Item = Told<'a>> + Clone {
        let claims = said.claims.iter();
        claims.map(|claim| self.members.told(claim, &said.entry))
    }

    /// How many names something is said of.
    #[cfg(test)]
    pub fn names(&self) -> usize {
        self.files.len()
    }

    /// Asserts that all is counted. Returns what the claims of each teller take.
    #[cfg(any(test, feature = "testing"))]
    pub fn check(&self) -> BTreeMap<PeerId, usize> {
        let mut uses = vec![0_usize; self.members.known.len()];
        let mut bytes: BTreeMap<PeerId, usize> = BTreeMap::new();
        for (name, files) in &self.files {
            let claims = files.iter().flat_map(|said| &said.claims);
            let mut tellers = std::collections::BTreeSet::new();
            for claim in claims {
                uses[claim.teller as usize] += 1;
                uses[claim.holder as usize] += 1;
                let teller = self.members.known[claim.teller as usize].holder.id;
                let is_first = tellers.insert(teller);
                *bytes.entry(teller).or_default() +=
                    CLAIM + if is_first { cost_of(name) } else { 0 };
            }
            assert!(!tellers.is_empty(), "nothing is said of it");
        }
        let counted = self.members.known.iter().map(|known| known.uses);
        assert_eq!(uses, counted.collect::<Vec<_>>());
        for slots in self.members.slots.values() {
            let first = slots.iter().map(|slot| self.members.first[*slot as usize]);
            assert!(first.into_iter().all(|first| first == slots[0]));
        }
        let has_folder = |name: &&Name| name.base() != name.as_str();
        let based: usize = self.bases.values().map(Vec::len).sum();
        assert_eq!(based, self.files.keys().filter(has_folder).count());
        bytes
    }
}

/// Which claims count, with members as small numbers: a walk over all names compares these some
/// hundred thousand times.
pub(super) struct Counted<'a> {
    /// In seconds since the start.
    now: u32,
    lasts: u64,
    asked: Asked<'a>,
    /// Members of which nothing is said, numbered behind the slots.
    others: Vec<PeerId>,
}

impl Counted<'_> {
    /// Returns the number of a member.
    pub fn number_of(&mut self, id: PeerId) -> Slot {
        let members = self.asked.members;
        if let Some(number) = members.number_of(id) {
            return number;
        }
        let place = self.others.iter().position(|other| *other == id);
        let place = place.unwrap_or_else(|| {
            self.others.push(id);
            self.others.len() - 1
        });
        Slot::try_from(members.known.len() + place).unwrap_or(Slot::MAX)
    }

    /// Returns the member with this number.
    pub fn member(&self, number: Slot) -> Option<PeerId> {
        let number = number as usize;
        let known = &self.asked.members.known;
        match known.get(number) {
            Some(known) => Some(known.holder.id),
            None => self.others.get(number - known.len()).copied(),
        }
    }

    /// Returns the numbers of teller and holder of each claim that counts.
    pub fn pairs<'b>(&'b mut self, files: &'b [Said]) -> impl Iterator<Item = (Slot, Slot)> + 'b {
        let Self {
            now, lasts, asked, ..
        } = self;
        let first = &asked.members.first;
        let is_fresh = |claim: &&Claim| u64::from(now.saturating_sub(claim.heard)) < *lasts;
        let claims = files.iter().flat_map(|said| &said.claims);
        let counts = claims.filter(is_fresh).filter(|claim| asked.counts(claim));
        let number = |slot: Slot| first.get(slot as usize).copied().unwrap_or(slot);
        counts.map(move |claim| (number(claim.teller), number(claim.holder)))
    }
}

/// Whether claims count, asked once for each holder, or for each pair of teller and holder.
struct Asked<'a> {
    members: &'a Members,
    counts: Believed<'a>,
    is_for_all_tellers: bool,
    /// By slot: the place of a teller in `known`.
    tellers: Vec<Option<usize>>,
    /// By teller, and by the slot of a holder.
    known: Vec<Vec<Option<bool>>>,
}

impl<'a> Asked<'a> {
    fn new(members: &'a Members, how: &Hearing, counts: Believed<'a>) -> Self {
        Self {
            is_for_all_tellers: how.outlasts,
            tellers: vec![None; members.known.len()],
            known: Vec::new(),
            members,
            counts,
        }
    }

    fn counts(&mut self, claim: &Claim) -> bool {
        let (teller, holder) = (claim.teller as usize, claim.holder as usize);
        let row = if self.is_for_all_tellers { 0 } else { teller };
        let row = *self.tellers[row].get_or_insert_with(|| {
            self.known.push(vec![None; self.members.known.len()]);
            self.known.len() - 1
        });
        let id = |slot: usize| self.members.known[slot].holder.id;
        *self.known[row][holder].get_or_insert_with(|| (self.counts)(id(teller), id(holder)))
    }
}

/// Members as they were told of: of one that was told of in several ways, each is kept, or one
/// teller could change where another one's holder is dialled.
#[derive(Debug, Default)]
struct Members {
    slots: BTreeMap<PeerId, Vec<Slot>>,
    known: Vec<Known>,
    /// By slot that is used: the first slot of the same member, which is the member's number.
    first: Vec<Slot>,
    free: Vec<Slot>,
}

#[derive(Debug)]
struct Known {
    holder: Holder,
    /// By how many claims.
    uses: usize,
}

impl Members {
    fn number_of(&self, id: PeerId) -> Option<Slot> {
        self.slots.get(&id)?.first().copied()
    }

    fn add(&mut self, holder: &Holder) -> Slot {
        let slots = self.slots.entry(holder.id).or_default();
        let is_it = |slot: &&Slot| self.known[**slot as usize].holder == *holder;
        if let Some(slot) = slots.iter().find(is_it) {
            self.known[*slot as usize].uses += 1;
            return *slot;
        }
        let known = Known {
            holder: holder.clone(),
            uses: 1,
        };
        let slot = if let Some(slot) = self.free.pop() {
            self.known[slot as usize] = known;
            slot
        } else {
            self.known.push(known);
            self.first.push(Slot::MAX);
            Slot::try_from(self.known.len() - 1).unwrap_or(Slot::MAX)
        };
        slots.push(slot);
        self.first[slot as usize] = slots[0];
        slot
    }

    fn remove(&mut self, slot: Slot) {
        let known = &mut self.known[slot as usize];
        known.uses -= 1;
        if known.uses > 0 {
            return;
        }
        let id = known.holder.id;
        self.free.push(slot);
        if let Some(slots) = self.slots.get_mut(&id) {
            slots.retain(|other| *other != slot);
            for other in &*slots {
                self.first[*other as usize] = slots[0];
            }
            if slots.is_empty() {
                self.slots.remove(&id);
            }
        }
    }

    fn told<'a>(&'a self, claim: &Claim, entry: &'a Entry) -> Told<'a> {
        Told {
            teller: self.known[claim.teller as usize].holder.id,
            holder: &self.known[claim.holder as usize].holder,
            entry,
            heard: claim.heard,
        }
    }
}

fn cost_of(name: &Name) -> usize {
    NAME + 2 * name.as_str().len()
}

fn seconds(now: Instant) -> u32 {
    let since_start = now - Instant::default();
    u32::try_from(since_start.as_secs()).unwrap_or(u32::MAX)
}

//! Looking names up: neighbours first, tracker second.
//!
//! One [`Lookup`] takes some names through the stages, each of which sees only
//! what the one before could not answer:
//!
//! 1. memory: the neighbours' listings, no message at all;
//! 2. neighbours: some are asked, all at once, and not waited for long;
//! 3. the tracker;
//! 4. if only files are found that are not hashed yet, their holders are asked
//!    to hash them now.
//!
//! It owns the order and the waiting. Which members can be asked, and what
//! memory holds, it learns from its [`Surroundings`].

use std::collections::BTreeMap;
use std::time::Duration;

use thorp_wire::frame::{Find, Found, Holder, Query, Variant};
use thorp_wire::{Name, PeerId};

use crate::matching::{Fit, fit, nfc};
use crate::time::Instant;

/// How long neighbours are waited for: at least, and at most.
const NEIGHBOURS_WITHIN: (Duration, Duration) =
    (Duration::from_millis(50), Duration::from_millis(250));
/// How long the tracker is waited for, to be there and to answer.
const TRACKER_WITHIN: Duration = Duration::from_secs(5);
/// How long to wait for neighbours that are being dialled, if there is no
/// tracker to ask.
const BACK_WITHIN: Duration = Duration::from_secs(2);
/// How long holders may take to hash a file.
const HASHED_WITHIN: Duration = Duration::from_secs(10);
/// How many answers a lookup takes before it stops asking for the rest: so no
/// member is asked for ever.
const MOST_PAGES: usize = 4000;
/// Holders that are asked to hash one file.
const HASHERS: usize = 4;

/// What a lookup needs to know of its node.
pub trait Surroundings {
    /// What the neighbours' listings have for a typed name.
    fn remembered(&self, typed: &str) -> Vec<Variant>;
    /// Neighbours to ask, and how long each takes to answer.
    fn worth_asking(&self) -> Vec<(PeerId, Option<Duration>)>;
    /// Whether neighbours should answer for their neighbours too.
    fn hops(&self) -> u8;
    /// How it is with the tracker.
    fn tracker(&self) -> TrackerState;
    /// Whether neighbours from earlier may be here in a moment.
    fn expects_neighbours(&self) -> bool;
}

/// How it is with the tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackerState {
    /// There is a link.
    Up(PeerId),
    /// There may be one soon.
    Trying,
    /// It cannot be reached, or there is none.
    Down,
}

/// A lookup of some names, in progress.
#[derive(Debug)]
pub struct Lookup {
    started: Instant,
    only: Only,
    names: Vec<Named>,
    index: Index,
    stage: Stage,
    /// Counts the stages that asked members, so that a late answer to an
    /// earlier stage is recognised.
    round: u32,
    /// How many answers came.
    pages: usize,
    tracker: TrackerUse,
    /// When to stop waiting for the tracker, or for neighbours that are being
    /// dialled.
    patience_ends: Instant,
    /// Whether neighbours may have come since memory was looked at.
    waited: bool,
}

#[derive(Debug)]
struct Named {
    typed: String,
    answer: Option<Known>,
    /// What differs from the name only in Unicode normalisation.
    alike: Vec<Variant>,
}

/// What is known of a name: all of it fits equally well.
#[derive(Debug)]
struct Known {
    source: Source,
    fit: Fit,
    variants: Vec<Variant>,
}

/// Finds the names that a file's name fits, without trying them all.
#[derive(Debug)]
struct Index {
    typed: BTreeMap<String, Vec<usize>>,
    normalised: BTreeMap<String, Vec<usize>>,
}

#[derive(Debug)]
enum Stage {
    Memory,
    Neighbours(Waiting),
    BeforeTracker,
    Tracker(Waiting),
    BeforeHashing,
    Hashing(Waiting),
    Done,
}

/// How many answers each asked member still owes, and until when they are
/// waited for.
#[derive(Debug)]
struct Waiting {
    owed: BTreeMap<PeerId, usize>,
    until: Instant,
}

/// What the machine that runs a lookup has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupAction {
    /// Ask this member. Where there is no link to it, make one.
    Ask(Holder, Find),
    /// The lookup is over.
    Finish(Outcome),
}

/// What a caller limits its question to, if anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Only {
    /// Only holders called so (see [`is_called`]).
    pub from: Option<String>,
    /// Only contents with a root whose hexadecimal form starts like this.
    pub root: Option<String>,
}

impl Only {
    /// Drops the holders that do not count: all of them, if the content does
    /// not.
    pub fn keep(&self, variant: &mut Variant) {
        if let Some(from) = &self.from {
            variant.holders.retain(|holder| is_called(holder, from));
        }
        if let Some(prefix) = &self.root {
            let root = variant.entry.root;
            if !root.is_some_and(|root| root.has_hex_prefix(prefix)) {
                variant.holders.clear();
            }
        }
    }
}

/// What a lookup has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// For each name, in the order they were given.
    pub names: Vec<(String, Answer)>,
    /// Whether the tracker was asked, or could not be.
    pub tracker: TrackerUse,
}

/// What was found for one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These variants, as this source says. If they are of several contents,
    /// the user chooses.
    Found(Source, Vec<Variant>),
    /// Nothing by that name, but these differ in Unicode normalisation only.
    Alike(Vec<Variant>),
    /// No member that was asked knows the name.
    Nobody,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The neighbours' listings in memory.
    Memory,
    /// A neighbour that was asked.
    Neighbour(PeerId),
    /// The tracker.
    Tracker,
}

/// Whether the tracker was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackerUse {
    /// It was not needed.
    Spared,
    /// It was asked.
    Asked,
    /// It was needed and could not be asked.
    Unreachable,
}

impl Lookup {
    /// Starts to look these names up, limited to what the caller wants.
    pub fn new(now: Instant, names: Vec<String>, only: Only) -> Self {
        let unanswered = |typed: String| Named {
            typed,
            answer: None,
            alike: Vec::new(),
        };
        Self {
            started: now,
            only,
            index: Index::new(&names),
            names: names.into_iter().map(unanswered).collect(),
            stage: Stage::Memory,
            round: 0,
            pages: 0,
            tracker: TrackerUse::Spared,
            patience_ends: now + TRACKER_WITHIN,
            waited: false,
        }
    }

    /// What is to be done now. The caller repeats it until it returns nothing:
    /// after every answer, at every deadline, and when the surroundings change.
    pub fn advance(&mut self, now: Instant, around: &dyn Surroundings) -> Vec<LookupAction> {
        loop {
            match &self.stage {
                Stage::Memory => {
                    self.remember(around);
                    let ask = if self.all_answered() {
                        Vec::new()
                    } else {
                        around.worth_asking()
                    };
                    if ask.is_empty() {
                        self.stage = Stage::BeforeTracker;
                        continue;
                    }
                    let until = now + patience(&ask);
                    let members: Vec<_> = ask.iter().map(|(peer, _)| linked(*peer)).collect();
                    let finds = self.finds(around.hops());
                    return self.ask(Stage::Neighbours, members, &finds, until);
                }
                Stage::Neighbours(waiting) if waiting.goes_on(now) && !self.all_answered() => {
                    return Vec::new();
                }
                Stage::Neighbours(_) => self.stage = Stage::BeforeTracker,
                Stage::BeforeTracker if self.all_answered() => self.stage = Stage::BeforeHashing,
                Stage::BeforeTracker => match around.tracker() {
                    TrackerState::Up(tracker) => {
                        self.tracker = TrackerUse::Asked;
                        let finds = self.finds(0);
                        return self.ask(
                            Stage::Tracker,
                            vec![linked(tracker)],
                            &finds,
                            now + TRACKER_WITHIN,
                        );
                    }
                    TrackerState::Trying if now < self.started + TRACKER_WITHIN => {
                        return self.wait_until(self.started + TRACKER_WITHIN);
                    }
                    TrackerState::Trying | TrackerState::Down
                        if around.expects_neighbours() && now < self.started + BACK_WITHIN =>
                    {
                        return self.wait_until(self.started + BACK_WITHIN);
                    }
                    // A neighbour that has come meanwhile may know.
                    TrackerState::Trying | TrackerState::Down
                        if std::mem::take(&mut self.waited) =>
                    {
                        self.stage = Stage::Memory;
                    }
                    TrackerState::Trying | TrackerState::Down => {
                        self.tracker = TrackerUse::Unreachable;
                        self.stage = Stage::BeforeHashing;
                    }
                },
                Stage::Tracker(waiting) if waiting.goes_on(now) => return Vec::new(),
                Stage::Tracker(waiting) => {
                    if waiting.somebody_owes() {
                        self.tracker = TrackerUse::Unreachable;
                    }
                    self.stage = Stage::BeforeHashing;
                }
                Stage::BeforeHashing => {
                    let asks = self.hash_requests();
                    if asks.is_empty() {
                        self.stage = Stage::Done;
                        return vec![LookupAction::Finish(self.outcome())];
                    }
                    self.round += 1;
                    let mut owed = BTreeMap::new();
                    for (holder, _) in &asks {
                        *owed.entry(holder.id).or_default() += 1;
                    }
                    self.stage = Stage::Hashing(Waiting {
                        owed,
                        until: now + HASHED_WITHIN,
                    });
                    return asks
                        .into_iter()
                        .map(|(holder, find)| LookupAction::Ask(holder, find))
                        .collect();
                }
                Stage::Hashing(waiting) if waiting.goes_on(now) => return Vec::new(),
                Stage::Hashing(_) => {
                    self.stage = Stage::Done;
                    return vec![LookupAction::Finish(self.outcome())];
                }
                Stage::Done => return Vec::new(),
            }
        }
    }

    /// When [`advance`](Self::advance) has something to do even if nothing happens.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Neighbours(waiting) | Stage::Tracker(waiting) | Stage::Hashing(waiting) => {
                Some(waiting.until)
            }
            Stage::BeforeTracker => Some(self.patience_ends),
            Stage::Memory | Stage::BeforeHashing | Stage::Done => None,
        }
    }

    /// The number of the current round of questions. An answer to another round
    /// is ignored.
    pub fn round(&self) -> u32 {
        self.round
    }

    /// A member has answered this question. Returns what else to ask it.
    /// `tracker` tells whether the member is a tracker.
    pub fn found(
        &mut self,
        now: Instant,
        who: PeerId,
        tracker: bool,
        asked: &Find,
        found: Found,
    ) -> Option<Find> {
        if !self.stage.waiting()?.answered(who) {
            return None;
        }
        self.pages += 1;
        let more = found.more && self.pages < MOST_PAGES;
        let rest = more.then(|| rest(asked, &found)).flatten();
        let hashing = matches!(self.stage, Stage::Hashing(_));
        let source = if tracker {
            Source::Tracker
        } else {
            Source::Neighbour(who)
        };
        for mut variant in found.variants {
            self.only.keep(&mut variant);
            if variant.holders.is_empty() {
                continue;
            }
            for (named, fit) in self.index.fitting(&variant.entry.name) {
                let named = &mut self.names[named];
                if hashing {
                    named.hashed(variant.clone());
                } else {
                    named.take(source, fit, variant.clone());
                }
            }
        }
        let longer = match self.stage {
            Stage::Tracker(_) => Some(now + TRACKER_WITHIN),
            Stage::Hashing(_) => Some(now + HASHED_WITHIN),
            _ => None,
        };
        let waiting = self.stage.waiting()?;
        // Tracker and holders are waited for as long as they go on answering;
        // neighbours are not.
        waiting.until = longer.unwrap_or(waiting.until);
        let rest = rest?;
        *waiting.owed.entry(who).or_default() += 1;
        Some(rest)
    }

    /// A member will not answer.
    pub fn no_answer(&mut self, who: PeerId) {
        let owed = self
            .stage
            .waiting()
            .is_some_and(|waiting| waiting.answered(who));
        if owed && matches!(self.stage, Stage::Tracker(_)) {
            self.tracker = TrackerUse::Unreachable;
        }
    }

    fn wait_until(&mut self, time: Instant) -> Vec<LookupAction> {
        self.patience_ends = time;
        self.waited = true;
        Vec::new()
    }

    fn remember(&mut self, around: &dyn Surroundings) {
        for named in &mut self.names {
            for mut variant in around.remembered(&named.typed) {
                self.only.keep(&mut variant);
                let fit = fit(&variant.entry.name, &named.typed);
                if let (Some(fit), false) = (fit, variant.holders.is_empty()) {
                    named.take(Source::Memory, fit, variant);
                }
            }
        }
    }

    fn ask(
        &mut self,
        stage: fn(Waiting) -> Stage,
        members: Vec<Holder>,
        finds: &[Find],
        until: Instant,
    ) -> Vec<LookupAction> {
        let owed = members
            .iter()
            .map(|holder| (holder.id, finds.len()))
            .collect();
        self.round += 1;
        self.stage = stage(Waiting { owed, until });
        members
            .into_iter()
            .flat_map(|holder| {
                finds
                    .iter()
                    .map(move |find| LookupAction::Ask(holder.clone(), find.clone()))
            })
            .collect()
    }

    fn finds(&self, hops: u8) -> Vec<Find> {
        let names: Vec<String> = self.unanswered().map(|named| named.typed.clone()).collect();
        let find = |names: &[String]| Find {
            query: Query::Names(names.to_vec()),
            hops,
            hash_now: false,
            after: None,
        };
        names.chunks(Find::MAX_NAMES).map(find).collect()
    }

    /// Which holders to ask to hash which files, for names that have only files
    /// without a root.
    fn hash_requests(&self) -> Vec<(Holder, Find)> {
        let mut requests: BTreeMap<PeerId, (Holder, Vec<String>)> = BTreeMap::new();
        for named in &self.names {
            for variant in named.unhashed() {
                for holder in variant.holders.iter().take(HASHERS) {
                    let (_, names) = requests
                        .entry(holder.id)
                        .or_insert_with(|| (holder.clone(), Vec::new()));
                    names.push(variant.entry.name.to_string());
                }
            }
        }
        let mut asks = Vec::new();
        for (holder, names) in requests.into_values() {
            for names in names.chunks(Find::MAX_NAMES) {
                let find = Find {
                    query: Query::Names(names.to_vec()),
                    hops: 0,
                    hash_now: true,
                    after: None,
                };
                asks.push((holder.clone(), find));
            }
        }
        asks
    }

    fn outcome(&mut self) -> Outcome {
        let answer = |named: Named| {
            let answer = match named.answer {
                Some(known) => Answer::Found(known.source, known.variants),
                None if named.alike.is_empty() => Answer::Nobody,
                None => Answer::Alike(named.alike),
            };
            (named.typed, answer)
        };
        Outcome {
            names: std::mem::take(&mut self.names)
                .into_iter()
                .map(answer)
                .collect(),
            tracker: self.tracker,
        }
    }

    fn unanswered(&self) -> impl Iterator<Item = &Named> {
        self.names.iter().filter(|named| named.answer.is_none())
    }

    fn all_answered(&self) -> bool {
        self.unanswered().next().is_none()
    }
}

impl Named {
    /// Takes a file that fits. A better fit displaces a worse one; an equal
    /// one is another choice, or adds its holders.
    fn take(&mut self, source: Source, fit: Fit, variant: Variant) {
        if fit == Fit::Normalised {
            merge(&mut self.alike, variant);
            return;
        }
        match &mut self.answer {
            Some(known) if known.fit < fit => {}
            Some(known) if known.fit == fit => merge(&mut known.variants, variant),
            answer => {
                *answer = Some(Known {
                    source,
                    fit,
                    variants: vec![variant],
                });
            }
        }
    }

    /// Takes a holder's answer about a file that had no root: the file's old
    /// entry goes.
    fn hashed(&mut self, variant: Variant) {
        let Some(known) = &mut self.answer else {
            return;
        };
        let had_none =
            |old: &Variant| old.entry.root.is_none() && old.entry.name == variant.entry.name;
        if !known.variants.iter().any(had_none) {
            return;
        }
        let answered = |holder: &Holder| variant.holders.iter().any(|new| new.id == holder.id);
        if variant.entry.root.is_none() {
            // Not hashed yet: the holder says how far it is.
            let asked = |old: &&mut Variant| had_none(old) && old.holders.iter().any(answered);
            for old in known.variants.iter_mut().filter(asked) {
                old.hashed = old.hashed.max(variant.hashed);
            }
            return;
        }
        for old in known.variants.iter_mut().filter(|old| had_none(old)) {
            old.holders.retain(|holder| !answered(holder));
        }
        known.variants.retain(|variant| !variant.holders.is_empty());
        merge(&mut known.variants, variant);
    }

    /// The files without a root, where there are no others.
    fn unhashed(&self) -> impl Iterator<Item = &Variant> {
        let variants = match &self.answer {
            Some(known) if known.variants.iter().all(|v| v.entry.root.is_none()) => {
                &known.variants[..]
            }
            _ => &[],
        };
        variants.iter()
    }
}

impl Index {
    fn new(names: &[String]) -> Self {
        let mut index = Self {
            typed: BTreeMap::new(),
            normalised: BTreeMap::new(),
        };
        for (i, name) in names.iter().enumerate() {
            index.typed.entry(name.clone()).or_default().push(i);
            index.normalised.entry(nfc(name)).or_default().push(i);
        }
        index
    }

    /// The names that this one fits, and how well: what [`fit`] says of each.
    fn fitting(&self, name: &Name) -> BTreeMap<usize, Fit> {
        let mut fitting = BTreeMap::new();
        for (names, text, fit) in [
            (&self.typed, name.as_str().to_owned(), Fit::Path),
            (&self.typed, name.base().to_owned(), Fit::Base),
            (&self.normalised, nfc(name.as_str()), Fit::Normalised),
            (&self.normalised, nfc(name.base()), Fit::Normalised),
        ] {
            for i in names.get(&text).into_iter().flatten() {
                fitting.entry(*i).or_insert(fit);
            }
        }
        fitting
    }
}

impl Stage {
    fn waiting(&mut self) -> Option<&mut Waiting> {
        match self {
            Self::Neighbours(waiting) | Self::Tracker(waiting) | Self::Hashing(waiting) => {
                Some(waiting)
            }
            Self::Memory | Self::BeforeTracker | Self::BeforeHashing | Self::Done => None,
        }
    }
}

impl Waiting {
    fn goes_on(&self, now: Instant) -> bool {
        now < self.until && self.somebody_owes()
    }

    fn somebody_owes(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Whether the member owed this answer.
    fn answered(&mut self, who: PeerId) -> bool {
        let Some(owed) = self.owed.get_mut(&who) else {
            return false;
        };
        *owed -= 1;
        if *owed == 0 {
            self.owed.remove(&who);
        }
        true
    }
}

/// The part of a question that an incomplete answer left out: the names behind
/// those that it says it answers or, if it does not say, behind the last one
/// that it has files for.
fn rest(asked: &Find, found: &Found) -> Option<Find> {
    let Query::Names(names) = &asked.query else {
        return None;
    };
    let known = |name: &String| {
        let fits = |variant: &Variant| fit(&variant.entry.name, name).is_some();
        found.variants.iter().any(fits)
    };
    let answered = match found.answered {
        Some(answered) => usize::try_from(answered).ok()?,
        None => names.iter().rposition(known)? + 1,
    };
    let rest = names.get(answered..)?;
    let first = rest.first()?;
    // A member whose answers make no progress would be asked for ever.
    let come_to = |name: &Name| Some((fit(name, first)?, name.clone()));
    let behind = found.behind.as_ref().and_then(come_to);
    let ahead = answered > 0 || behind > asked.after.as_ref().and_then(come_to);
    ahead.then(|| Find {
        query: Query::Names(rest.to_vec()),
        after: behind.map(|(_, name)| name),
        ..asked.clone()
    })
}

/// Adds a variant to those known, or its holders to the one that it is.
pub fn merge(known: &mut Vec<Variant>, variant: Variant) {
    let same = |v: &&mut Variant| {
        v.entry.name == variant.entry.name
            && v.entry.length == variant.entry.length
            && v.entry.root == variant.entry.root
    };
    match known.iter_mut().find(same) {
        Some(same) => add_holders(same, variant.holders),
        None => known.push(variant),
    }
}

/// Adds those holders that are not known yet. If one member says that a holder
/// has all of the file, it has all of it: a file that is being fetched only
/// grows.
pub fn add_holders(variant: &mut Variant, holders: Vec<Holder>) {
    for holder in holders {
        match variant.holders.iter_mut().find(|h| h.id == holder.id) {
            Some(known) => known.partial &= holder.partial,
            None => variant.holders.push(holder),
        }
    }
}

/// Whether a user may mean this member by `text`: its name, its address (with
/// or without the port), its id or the start of that.
pub fn is_called(holder: &Holder, text: &str) -> bool {
    const ENOUGH_OF_AN_ID: usize = 4;
    holder
        .name
        .as_ref()
        .is_some_and(|name| name.as_str() == text)
        || holder
            .addresses
            .iter()
            .any(|address| address.ip().to_string() == text || address.to_string() == text)
        || (text.len() >= ENOUGH_OF_AN_ID && holder.id.to_string().starts_with(text))
}

fn patience(asked: &[(PeerId, Option<Duration>)]) -> Duration {
    let (least, most) = NEIGHBOURS_WITHIN;
    let slowest = asked
        .iter()
        .filter_map(|(_, rtt)| *rtt)
        .max()
        .unwrap_or_default();
    (slowest * 2).clamp(least, most)
}

/// A member with a link to this node: its address is not needed.
fn linked(id: PeerId) -> Holder {
    Holder {
        id,
        name: None,
        addresses: Vec::new(),
        partial: false,
    }
}

#[cfg(test)]
mod tests;

//! Looking names up: neighbours first, tracker second.
//!
//! One [`Lookup`] takes some names through the stages, each of which sees only
//! what the one before could not answer:
//!
//! 1. memory: the neighbours' listings, no message at all;
//! 2. neighbours: some are asked, all at once, and not waited for long;
//! 3. the tracker;
//! 4. for names that it does not know, some members that it names, as it has no room
//!    for what they list;
//! 5. for a few names that no member knows, what resembles them, once;
//! 6. if only files are found that are not hashed yet, their holders are asked
//!    to hash them now.
//!
//! It owns the order and the waiting. Which members can be asked, and what
//! memory holds, it learns from its [`Surroundings`].
//!
//! ```text
//! stage     what each stage waits for, and how long
//! names     what is known of each name so far
//! unlisted  members for whose listings the tracker has no room
//! likes     what resembles a name that no member knows
//! outcome   what a lookup comes to
//! ```

mod likes;
mod names;
mod outcome;
mod stage;
mod unlisted;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use thorp_wire::PeerId;
use thorp_wire::frame::{Find, Found, Holder, Query, Variant};

use crate::matching::{Pattern, fit};
use crate::time::Instant;

use names::{Index, Named};
pub use outcome::{Answer, Only, Outcome, Source, TrackerUse, add_holders, is_called};
use stage::{Stage, Waiting, patience, rest};

/// How long the tracker is waited for, to be there and to answer.
const TRACKER_WITHIN: Duration = Duration::from_secs(5);
/// How long to wait for neighbours that are being dialled, if there is no
/// tracker to ask.
const BACK_WITHIN: Duration = Duration::from_secs(2);
/// How long holders may take to hash a file.
const HASHED_WITHIN: Duration = Duration::from_secs(10);
/// A member that is too busy is asked again after this long, and given up when it has
/// been for so long.
const ASK_AGAIN: Duration = Duration::from_secs(1);
const BUSY_FOR: Duration = Duration::from_mins(1);
/// How many answers a lookup takes before it stops asking for the rest: so no
/// member is asked for ever.
const MOST_PAGES: usize = 4000;
/// How many holders a neighbour is believed to know of one file.
const MOST_CLAIMS: usize = 16;
/// Holders that are asked to hash one file.
const HASHERS: usize = 4;

/// What a lookup needs to know of its node.
pub trait Surroundings {
    /// What the neighbours' listings have for a typed name.
    fn remembered(&self, typed: &str) -> Vec<Variant>;
    /// What the neighbours' listings have that matches, as much of it as that.
    fn matching(&self, pattern: &Pattern, most: usize) -> Vec<Variant>;
    /// Whether this peer has chosen a neighbour: it has fetched from it.
    fn has_chosen(&self, neighbour: PeerId) -> bool;
    /// What neighbours have said in advance of their neighbours' files by a typed name, each with
    /// one holder.
    fn said(&self, typed: &str) -> Vec<(PeerId, Variant)>;
    /// Neighbours to ask, and how long each takes to answer.
    fn worth_asking(&self) -> Vec<(PeerId, Option<Duration>)>;
    /// Whether they are asked one after another, and not all at once.
    fn asks_in_turn(&self) -> bool;
    /// Whether a base name may be taken because two neighbours say of two other
    /// members that they have the same by it.
    fn counts_hearsay(&self) -> bool;
    /// Whether neighbours should answer for their neighbours too.
    fn hops(&self) -> u8;
    /// Whether this is the peer itself.
    fn is_me(&self, id: PeerId) -> bool;
    /// How it is with the tracker.
    fn tracker(&self) -> TrackerState;
    /// Whether neighbours from earlier may be here in a moment.
    fn expects_neighbours(&self) -> bool;
}

/// What a member that answers is to this peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witness {
    /// Its group's tracker.
    Tracker,
    /// A neighbour.
    Neighbour {
        /// Whether this peer has fetched from it.
        is_chosen: bool,
    },
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
    /// Members that the tracker names, as it does not know what they list.
    unlisted: BTreeMap<PeerId, Holder>,
    /// In which round the tracker was asked which member the user has named, if it was.
    asked_for_member: Option<u32>,
    /// Neighbours that are asked when those before them have not answered.
    in_line: VecDeque<(PeerId, Option<Duration>)>,
    /// Whether what neighbours say of others counts.
    counts_hearsay: bool,
    /// Whether what neighbours have said in advance is taken.
    takes_hearsay: bool,
    /// Names of which it is looked what resembles them.
    most_likes: usize,
    /// Questions to members that were too busy, and when to ask them again.
    resting: Vec<(Instant, Holder, Find)>,
    /// Since when no member has answered because of that.
    busy_since: Option<Instant>,
    /// When to stop waiting for the tracker, or for neighbours that are being
    /// dialled.
    patience_ends: Instant,
    /// Whether neighbours may have come since memory was looked at.
    waited: bool,
}

/// What the machine that runs a lookup has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupAction {
    /// Ask this member. Where there is no link to it, make one.
    Ask(Holder, Find),
    /// The lookup is over.
    Finish(Outcome),
}

impl Lookup {
    /// Starts to look these names up, limited to what the caller wants.
    pub fn new(now: Instant, names: Vec<String>, only: Only) -> Self {
        Self {
            started: now,
            only,
            index: Index::new(&names),
            names: names.into_iter().map(Named::new).collect(),
            stage: Stage::Memory,
            round: 0,
            pages: 0,
            tracker: TrackerUse::Spared,
            unlisted: BTreeMap::new(),
            asked_for_member: None,
            in_line: VecDeque::new(),
            counts_hearsay: false,
            takes_hearsay: true,
            most_likes: likes::MOST,
            resting: Vec::new(),
            busy_since: None,
            patience_ends: now + TRACKER_WITHIN,
            waited: false,
        }
    }

    /// The same, where these names were looked up before: members are asked what is there now,
    /// and what resembles a name is not looked for.
    #[must_use]
    pub fn again(mut self) -> Self {
        self.most_likes = 0;
        self.takes_hearsay = false;
        self
    }

    /// What is to be done now. The caller repeats it until it returns nothing:
    /// after every answer, at every deadline, and when the surroundings change.
    pub fn advance(&mut self, now: Instant, around: &dyn Surroundings) -> Vec<LookupAction> {
        loop {
            let actions = match &self.stage {
                Stage::Memory => self.look_into_memory(now, around),
                Stage::Neighbours(waiting) if waiting.goes_on(now) && !self.is_settled() => {
                    Some(Vec::new())
                }
                Stage::Neighbours(_) => self.ask_the_next(now, around),
                Stage::BeforeTracker => self.turn_to_tracker(now, around),
                Stage::Tracker(waiting) if waiting.goes_on(now) => Some(self.ask_the_rested(now)),
                Stage::Tracker(waiting) => {
                    if waiting.is_owed() {
                        self.tracker = TrackerUse::Unreachable;
                    }
                    self.go_on_to(Stage::BeforeUnlisted)
                }
                Stage::BeforeUnlisted => self.turn_to_unlisted(now, around),
                Stage::Members(waiting) if waiting.goes_on(now) => Some(self.ask_the_rested(now)),
                Stage::Members(waiting) => {
                    if waiting.is_owed() {
                        self.on_unlisted_passed_over();
                    }
                    self.go_on_to(Stage::BeforeUnlisted)
                }
                Stage::Unlisted(waiting) if waiting.goes_on(now) => Some(Vec::new()),
                Stage::Unlisted(waiting) => {
                    if waiting.is_owed() {
                        self.on_unlisted_passed_over();
                    }
                    self.go_on_to(Stage::BeforeLikes)
                }
                Stage::BeforeLikes => self.look_for_likes(now, around),
                Stage::Likes(waiting) if waiting.goes_on(now) => Some(Vec::new()),
                Stage::Likes(_) => self.go_on_to(Stage::BeforeHashing),
                Stage::BeforeHashing => Some(self.have_hashed(now)),
                Stage::Hashing(waiting) if waiting.goes_on(now) => Some(self.ask_the_rested(now)),
                Stage::Hashing(_) => Some(self.finish()),
                Stage::Done => Some(Vec::new()),
            };
            if let Some(actions) = actions {
                return actions;
            }
        }
    }

    /// When [`advance`](Self::advance) has something to do even if nothing happens.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Neighbours(waiting)
            | Stage::Tracker(waiting)
            | Stage::Members(waiting)
            | Stage::Unlisted(waiting)
            | Stage::Likes(waiting)
            | Stage::Hashing(waiting) => {
                let rested = self.resting.iter().map(|(until, ..)| *until);
                rested.chain([waiting.until]).min()
            }
            Stage::BeforeTracker => Some(self.patience_ends),
            Stage::Memory
            | Stage::BeforeUnlisted
            | Stage::BeforeLikes
            | Stage::BeforeHashing
            | Stage::Done => None,
        }
    }

    /// The number of the current round of questions. An answer to another round
    /// is ignored.
    pub fn round(&self) -> u32 {
        self.round
    }

    /// A member has answered this question. Returns what else to ask it.
    /// `of` tells what that member is to this peer.
    pub fn found(
        &mut self,
        now: Instant,
        who: PeerId,
        of: Witness,
        asked: &Find,
        found: Found,
    ) -> Option<Find> {
        if !self.stage.waiting()?.answered(who) {
            return None;
        }
        self.pages += 1;
        self.busy_since = None;
        if let Stage::Members(_) = self.stage {
            return self.take_members(now, who, found);
        }
        let more = found.more && self.pages < MOST_PAGES;
        let rest = more.then(|| rest(asked, &found)).flatten();
        if let Stage::Likes(_) = self.stage {
            // The first page is enough to know that there is something.
            for mut variant in found.variants {
                self.only.keep(&mut variant);
                if !variant.holders.is_empty() {
                    self.take_like(&variant);
                }
            }
            return None;
        }
        match self.stage {
            Stage::Tracker(_) => {
                if found.more && rest.is_none() {
                    self.tracker = TrackerUse::InPart;
                }
                self.take_unlisted(found.unlisted, found.more_unlisted);
            }
            Stage::Unlisted(_) if found.more && rest.is_none() => self.on_unlisted_passed_over(),
            _ => {}
        }
        self.take_variants(who, of, found.variants);
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

    /// A member has answered with these.
    fn take_variants(&mut self, who: PeerId, of: Witness, variants: Vec<Variant>) {
        let hashing = matches!(self.stage, Stage::Hashing(_));
        let is_asked_for_itself = matches!(self.stage, Stage::Unlisted(_));
        let source = match of {
            Witness::Neighbour { .. } if !is_asked_for_itself => Source::Neighbour(who),
            // It named the member.
            Witness::Neighbour { .. } | Witness::Tracker => Source::Tracker,
        };
        for mut variant in variants {
            if is_asked_for_itself {
                variant.holders.retain(|holder| holder.id == who);
            }
            self.only.keep(&mut variant);
            if variant.holders.is_empty() {
                continue;
            }
            for (named, fit) in self.index.fitting(&variant.entry.name) {
                let named = &mut self.names[named];
                if hashing {
                    named.hashed(variant.clone());
                } else {
                    let counts = named.take(source, fit, variant.clone());
                    let Witness::Neighbour { is_chosen } = of else {
                        continue;
                    };
                    let claims = variant.holders.iter().filter(|_| counts);
                    for holder in claims.take(MOST_CLAIMS) {
                        if holder.id == who || self.counts_hearsay {
                            named.vouch(who, holder.id, is_chosen);
                        }
                    }
                }
            }
        }
    }

    /// A member has too much to do to answer this question now. It is asked again for a
    /// while; neighbours only spare the tracker work, and are not, and what resembles a
    /// name is a hint.
    pub fn on_busy(&mut self, now: Instant, who: PeerId, asked: Find) {
        let is_spared = matches!(
            self.stage,
            Stage::Neighbours(_) | Stage::Unlisted(_) | Stage::Likes(_)
        );
        let since = *self.busy_since.get_or_insert(now);
        let again = now + ASK_AGAIN;
        let Some(waiting) = self.stage.waiting().filter(|waiting| waiting.owes(who)) else {
            return;
        };
        if is_spared || again > since + BUSY_FOR {
            waiting.answered(who);
            match self.stage {
                Stage::Tracker(_) => self.tracker = TrackerUse::InPart,
                Stage::Members(_) | Stage::Unlisted(_) => self.on_unlisted_passed_over(),
                _ => {}
            }
            return;
        }
        waiting.until = waiting.until.max(again + TRACKER_WITHIN);
        self.resting.push((again, Holder::bare(who), asked));
    }

    /// Those that were too busy are asked again, where it is time.
    fn ask_the_rested(&mut self, now: Instant) -> Vec<LookupAction> {
        let (due, resting) = std::mem::take(&mut self.resting)
            .into_iter()
            .partition::<Vec<_>, _>(|(until, ..)| *until <= now);
        self.resting = resting;
        let ask = |(_, holder, find)| LookupAction::Ask(holder, find);
        due.into_iter().map(ask).collect()
    }

    /// A member will not answer.
    pub fn no_answer(&mut self, who: PeerId) {
        let owed = self
            .stage
            .waiting()
            .is_some_and(|waiting| waiting.answered(who));
        match self.stage {
            Stage::Tracker(_) if owed => self.tracker = TrackerUse::Unreachable,
            Stage::Members(_) | Stage::Unlisted(_) if owed => self.on_unlisted_passed_over(),
            _ => {}
        }
    }

    /// What memory has, and then the neighbours are asked; `None`, as in the
    /// stages below, where the next stage has its turn at once.
    fn look_into_memory(
        &mut self,
        now: Instant,
        around: &dyn Surroundings,
    ) -> Option<Vec<LookupAction>> {
        self.counts_hearsay = around.counts_hearsay();
        self.remember(around);
        if self.takes_hearsay {
            self.hear(around);
        }
        let mut ask = if self.is_settled() {
            Vec::new()
        } else {
            around.worth_asking()
        };
        if around.asks_in_turn() && ask.len() > 1 {
            self.in_line = ask.split_off(1).into();
        }
        if ask.is_empty() {
            return self.go_on_to(Stage::BeforeTracker);
        }
        let until = now + patience(&ask);
        let members: Vec<_> = ask.iter().map(|(peer, _)| Holder::bare(*peer)).collect();
        let finds = self.finds(around.hops());
        Some(self.ask(Stage::Neighbours, members, &finds, until))
    }

    /// The next neighbour in line is asked, if something is open still.
    fn ask_the_next(
        &mut self,
        now: Instant,
        around: &dyn Surroundings,
    ) -> Option<Vec<LookupAction>> {
        let next = self.in_line.pop_front().filter(|_| !self.is_settled());
        let Some(next) = next else {
            self.in_line.clear();
            return self.go_on_to(Stage::BeforeTracker);
        };
        let until = now + patience(&[next]);
        let finds = self.finds(around.hops());
        Some(self.ask(Stage::Neighbours, vec![Holder::bare(next.0)], &finds, until))
    }

    /// The tracker is asked once it is there; it is waited for, and so are
    /// neighbours that are being dialled.
    fn turn_to_tracker(
        &mut self,
        now: Instant,
        around: &dyn Surroundings,
    ) -> Option<Vec<LookupAction>> {
        if self.is_settled() {
            return self.go_on_to(Stage::BeforeLikes);
        }
        // What is there already is not kept back for a tracker that may not come.
        let all_answered = self.all_answered();
        match around.tracker() {
            TrackerState::Up(tracker) => {
                self.tracker = TrackerUse::Asked;
                let (members, finds) = (vec![Holder::bare(tracker)], self.finds(0));
                self.open_mut().for_each(Named::on_asked_of_tracker);
                Some(self.ask(Stage::Tracker, members, &finds, now + TRACKER_WITHIN))
            }
            TrackerState::Trying if !all_answered && now < self.started + TRACKER_WITHIN => {
                Some(self.wait_until(self.started + TRACKER_WITHIN))
            }
            TrackerState::Trying | TrackerState::Down
                if !all_answered
                    && around.expects_neighbours()
                    && now < self.started + BACK_WITHIN =>
            {
                Some(self.wait_until(self.started + BACK_WITHIN))
            }
            // A neighbour that has come meanwhile may know.
            TrackerState::Trying | TrackerState::Down if std::mem::take(&mut self.waited) => {
                self.go_on_to(Stage::Memory)
            }
            TrackerState::Trying | TrackerState::Down => {
                self.tracker = TrackerUse::Unreachable;
                self.go_on_to(Stage::BeforeLikes)
            }
        }
    }

    /// Holders are asked to hash what has no root yet, and that is the last.
    fn have_hashed(&mut self, now: Instant) -> Vec<LookupAction> {
        let asks = self.hash_requests();
        if asks.is_empty() {
            return self.finish();
        }
        self.round += 1;
        let mut owed = BTreeMap::new();
        for (holder, _) in &asks {
            *owed.entry(holder.id).or_default() += 1;
        }
        let until = now + HASHED_WITHIN;
        self.stage = Stage::Hashing(Waiting { owed, until });
        let ask = |(holder, find)| LookupAction::Ask(holder, find);
        asks.into_iter().map(ask).collect()
    }

    fn finish(&mut self) -> Vec<LookupAction> {
        self.stage = Stage::Done;
        vec![LookupAction::Finish(self.outcome())]
    }

    fn go_on_to(&mut self, stage: Stage) -> Option<Vec<LookupAction>> {
        self.resting.clear();
        self.stage = stage;
        None
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
                    let holders: Vec<PeerId> = variant.holders.iter().map(|h| h.id).collect();
                    if named.take(Source::Memory, fit, variant) {
                        for holder in holders {
                            named.vouch(holder, holder, around.has_chosen(holder));
                        }
                    }
                }
            }
        }
    }

    /// Takes what neighbours have said in advance, where it leaves nothing to be asked: it may be
    /// half an hour old, and must not stand beside what is known now.
    fn hear(&mut self, around: &dyn Surroundings) {
        let is_said = self.is_said();
        for named in self
            .names
            .iter_mut()
            .filter(|named| is_still_open(named, is_said))
        {
            let mut said = around.said(&named.typed);
            said.retain_mut(|(_, variant)| {
                self.only.keep(variant);
                !variant.holders.is_empty()
            });
            named.hear(said, self.counts_hearsay);
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
        let names: Vec<String> = self.open().map(|named| named.typed.clone()).collect();
        let find = |names: &[String]| Find::new(Query::Names(names.to_vec()), hops);
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
                    hash_now: true,
                    ..Find::new(Query::Names(names.to_vec()), 0)
                };
                asks.push((holder.clone(), find));
            }
        }
        asks
    }

    fn outcome(&mut self) -> Outcome {
        let names = std::mem::take(&mut self.names);
        Outcome {
            spared: names.iter().filter(|named| named.is_spared()).count(),
            names: names.into_iter().map(Named::into_answer).collect(),
            tracker: self.tracker,
        }
    }

    /// The names of which others are to be asked.
    fn open(&self) -> impl Iterator<Item = &Named> {
        let is_said = self.is_said();
        let names = self.names.iter();
        names.filter(move |named| is_still_open(named, is_said))
    }

    fn open_mut(&mut self) -> impl Iterator<Item = &mut Named> {
        let is_said = self.is_said();
        let names = self.names.iter_mut();
        names.filter(move |named| is_still_open(named, is_said))
    }

    /// Whether the user has said which file is meant, whichever peer has it.
    fn is_said(&self) -> bool {
        self.only.from.is_some() || self.only.root.is_some()
    }

    fn is_settled(&self) -> bool {
        self.open().next().is_none()
    }

    /// Whether something is known of each name, be it from a neighbour that came by
    /// itself.
    fn all_answered(&self) -> bool {
        !self.names.iter().any(Named::is_unanswered)
    }
}

fn is_still_open(named: &Named, is_said: bool) -> bool {
    named.is_unanswered() || (named.is_open() && !is_said)
}

#[cfg(test)]
mod tests;

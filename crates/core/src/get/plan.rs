//! What names and patterns come to, up to the first byte: one content each, a
//! choice, or nothing.
//!
//! Each pattern is listed, part by part, then the names are looked up; what was found is
//! looked for on the disk, in one go for each answer. Owns which names are taken
//! and which are left out, and whether a file fits where it is to go. What is
//! there already it is told: it reads no disk. Nothing is fetched yet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use thorp_wire::frame::{Holder, Variant};
use thorp_wire::{Name, PeerId, reserved};

use super::again::Postponed;
use super::wait::Wait;
use super::{
    AT_ONCE, Action, Answered, AskedAs, Candidate, Chore, Ending, Existing, Get, GetId, Gets,
    Inquiry, Item, Listed, Look, Looked, Missed, NAMES_AT_ONCE, News, Output, Request, Step, Task,
};
use crate::lookup::{Answer, Only, Outcome, Source, TrackerUse};
use crate::matching::{Pattern, looks_like_a_pattern};
use crate::survey::Coverage;
use crate::time::Instant;

/// On what terms files are fetched: the same for all files of a request.
#[derive(Debug)]
pub(super) struct Terms {
    /// The name for the one file, where it is not the listed one.
    rename: Option<Name>,
    only: Only,
    /// Whether what goes by a target's name stays where it is.
    keeps: bool,
    /// Whether equal content that is there already counts as fetched.
    equal_will_do: bool,
    /// Whether one file was asked for by its name, so that its failure is the
    /// failure of the request.
    pub(super) is_single: bool,
}

/// What a name comes to.
#[derive(Debug)]
pub(super) enum Verdict {
    /// This file is meant.
    Take(Planned),
    /// One of these is meant. They may look like the name without being called so.
    Choose {
        variants: Vec<Variant>,
        look_alike: bool,
    },
    Miss(Missed),
}

/// A file of which it is known where to get it and where to put it.
#[derive(Debug)]
pub(super) struct Planned {
    pub item: Item,
    pub holders: Vec<Holder>,
    pub answer: Answered,
    /// Whether others may be looked for when none of these delivers.
    pub widen: bool,
    /// It is there already, and need not be fetched.
    pub is_there: bool,
    /// Since when it does not come, where it did not before.
    pub late: Option<Instant>,
}

impl Gets {
    pub(super) fn begin(&mut self, now: Instant, id: GetId, request: &Request) {
        let terms = match self
            .stopped
            .clone()
            .map_or_else(|| Terms::new(request), Err)
        {
            Ok(terms) => terms,
            Err(why) => {
                let name = request.names.first().cloned().unwrap_or_default();
                let end = Ending::Missed { name, why };
                return self.tell(id, Output::Ended(end));
            }
        };
        let (mut agenda, mut names) = (VecDeque::new(), BTreeSet::new());
        for name in &request.names {
            match pattern(name) {
                Some(pattern) => agenda.push_back(Task::Pattern(pattern)),
                None => {
                    names.insert(name.clone());
                }
            }
        }
        let names: Vec<String> = names.into_iter().collect();
        let some = names.chunks(NAMES_AT_ONCE);
        agenda.extend(some.map(|some| Task::Names(some.to_vec())));
        let postponed = Postponed::new(now, request.patience);
        let typed = request.names.first().filter(|_| terms.is_single);
        let look = typed.and_then(|typed| Some((typed.clone(), terms.target_of(typed)?)));
        let mut get = Get::new(request.only.clone(), terms, agenda, postponed);
        if let Some((typed, target)) = look {
            get.step = Step::TypedName(typed);
            get.free = Some(target.clone());
            self.requests.insert(id, get);
            let content = None;
            self.tell(id, Chore::Look(vec![Look { target, content }]));
            return;
        }
        self.requests.insert(id, get);
        self.go_on(now, id);
    }

    /// Finds what is next on the agenda; fetches, once all is found, or so much that
    /// the rest has to wait.
    pub(super) fn go_on(&mut self, now: Instant, id: GetId) {
        let Some(get) = self.requests.get_mut(&id) else {
            return;
        };
        if get.planned.len() >= AT_ONCE / 2 {
            self.fetch_planned(id);
        }
        let Some(get) = self.requests.get_mut(&id) else {
            return;
        };
        if let Some(listed) = get.listed.as_mut().filter(|_| !get.postponed.is_due(now)) {
            if let Some(coverage) = listed.over {
                return self.on_listed(now, id, coverage);
            }
            if !listed.is_asked {
                listed.is_asked = true;
                let inquiry = listed.inquiry;
                if !get.has_room() {
                    if let Some(listed) = &mut get.listed {
                        listed.is_asked = false;
                    }
                    get.step = Step::Room;
                    return;
                }
                self.out.push_back(Action::GoOn(inquiry));
            }
            get.step = Step::Survey;
            return;
        }
        let again = get.postponed.due(now);
        if again.is_empty() && !get.agenda.is_empty() && !get.has_room() {
            get.step = Step::Room;
            return;
        }
        let only = get.only.clone();
        let next = if again.is_empty() {
            get.agenda.pop_front()
        } else {
            Some(Task::Again(again))
        };
        let (asked, names) = match next {
            Some(Task::Again(names)) => (AskedAs::Again, names),
            Some(Task::Names(names)) => (AskedAs::Name, names),
            Some(Task::Unhashed(names)) => (AskedAs::Unhashed, names),
            Some(Task::Pattern(pattern)) => {
                get.step = Step::Survey;
                let inquiry = get.ask(id);
                get.listed = Some(Listed {
                    pattern: pattern.clone(),
                    inquiry,
                    nothing: true,
                    is_asked: true,
                    over: None,
                });
                self.out.push_back(Action::Survey(inquiry, pattern, only));
                return;
            }
            None => return self.fetch_the_rest(id),
        };
        get.step = Step::LookUp {
            asked,
            since: now,
            wait: None,
        };
        let inquiry = get.ask(id);
        self.out.push_back(Action::LookUp(inquiry, names, only));
    }

    pub(super) fn on_looked_up(
        &mut self,
        now: Instant,
        inquiry: Inquiry,
        outcome: Outcome,
        known: BTreeMap<PeerId, Holder>,
    ) {
        let Inquiry { get: id, number } = inquiry;
        let Some(get) = self.requests.get_mut(&id).filter(|get| get.asked == number) else {
            return;
        };
        let Step::LookUp { asked, since, wait } = &mut get.step else {
            return;
        };
        let asked = *asked;
        let is_being_hashed = |(_, answer): &(_, Answer)| answer.being_hashed().is_some();
        if wait.is_none() && !outcome.names.iter().any(is_being_hashed) {
            return self.choose_each(now, id, asked, outcome, &known);
        }
        let wait = wait.get_or_insert_with(|| Wait::new(*since));
        let heard = wait.on_looked_up(now, outcome, known);
        if let Some(far) = heard.getting_on {
            let hashing = News::Hashing {
                name: far.name,
                length: far.length,
                hashed: far.hashed,
                by: far.by,
            };
            self.out.push_back(Action::Tell(id, hashing.into()));
        }
        if !heard.is_enough {
            // The answer may have taken longer than is waited.
            return self.ask_again(now);
        }
        if let Step::LookUp {
            wait: Some(wait), ..
        } = std::mem::replace(&mut get.step, Step::Files)
            && let (Some(outcome), known) = wait.into_answers()
        {
            self.choose_each(now, id, asked, outcome, &known);
        }
    }

    /// What each name comes to, now that all answers are here.
    fn choose_each(
        &mut self,
        now: Instant,
        id: GetId,
        asked: AskedAs,
        outcome: Outcome,
        known: &BTreeMap<PeerId, Holder>,
    ) {
        let Some(get) = self.requests.get(&id) else {
            return;
        };
        let Outcome { names, tracker } = outcome;
        let candidates = names.into_iter().map(|(name, answer)| {
            let verdict = get.terms.verdict(answer, tracker, known);
            Candidate::new(name, verdict)
        });
        let candidates = candidates.collect();
        self.look(now, id, asked, candidates);
    }

    /// Some of the files that match a pattern.
    pub(super) fn on_surveyed(
        &mut self,
        now: Instant,
        inquiry: Inquiry,
        files: Vec<Variant>,
        so_far: Coverage,
    ) {
        let id = inquiry.get;
        let is_awaited = |get: &&mut Get| matches!(get.step, Step::Survey);
        let Some(get) = self.requests.get_mut(&id).filter(is_awaited) else {
            return;
        };
        let Some(listed) = get.listed.as_mut().filter(|it| it.inquiry == inquiry) else {
            return;
        };
        listed.nothing = false;
        listed.is_asked = false;
        let tracker_asked = so_far.has_asked_tracker();
        let source = if tracker_asked {
            Source::Tracker
        } else {
            Source::Memory
        };
        let mut candidates = Vec::new();
        let mut by_name: BTreeMap<Name, Vec<Variant>> = BTreeMap::new();
        for variant in files {
            let name = variant.entry.name.clone();
            by_name.entry(name).or_default().push(variant);
        }
        let mut unhashed = Vec::new();
        for (name, variants) in by_name {
            if reserved::changes_what_is_shared(&name) {
                let left_out = News::LeftOut(name);
                self.out.push_back(Action::Tell(id, left_out.into()));
                continue;
            }
            // What two patterns mean is fetched once.
            if get.done.iter().any(|done| done.matches(&name)) {
                continue;
            }
            if variants.iter().all(|variant| variant.entry.root.is_none()) {
                unhashed.push(name.to_string());
                continue;
            }
            let answer = Answered {
                source,
                via: None,
                tracker_asked,
            };
            let verdict = get.terms.choose(variants, answer);
            candidates.push(Candidate::new(name.to_string(), verdict));
        }
        if !unhashed.is_empty() {
            get.agenda.push_back(Task::Unhashed(unhashed));
        }
        self.look(now, id, AskedAs::Pattern, candidates);
    }

    /// No more files match than were told.
    pub(super) fn on_survey_over(&mut self, now: Instant, inquiry: Inquiry, coverage: Coverage) {
        let id = inquiry.get;
        let Some(get) = self.requests.get_mut(&id) else {
            return;
        };
        let Some(listed) = get.listed.as_mut().filter(|it| it.inquiry == inquiry) else {
            return;
        };
        listed.over = Some(coverage);
        if matches!(get.step, Step::Survey) {
            self.go_on(now, id);
        }
    }

    /// All that a pattern comes to was found.
    fn on_listed(&mut self, now: Instant, id: GetId, coverage: Coverage) {
        let Some(get) = self.requests.get_mut(&id) else {
            return;
        };
        let Some(Listed {
            pattern, nothing, ..
        }) = get.listed.take()
        else {
            return;
        };
        let name = pattern.text().to_owned();
        get.done.push(pattern);
        let is_partial = match coverage {
            Coverage::Whole => false,
            Coverage::TrackerInPart | Coverage::TrackerBusy | Coverage::NeighboursOnly => true,
            Coverage::NoAnswer => {
                let why = Missed::TrackerUnreachable { listing: true };
                if get.found == 0 && get.planned.is_empty() {
                    return self.end(id, Ending::Missed { name, why });
                }
                self.miss_unplanned(id, name, why);
                return self.go_on(now, id);
            }
        };
        let missed = match (nothing, coverage) {
            (true, Coverage::NeighboursOnly) => Some(get.terms.nobody(TrackerUse::Unreachable)),
            (true, coverage) if coverage.is_cut() => Some(Missed::InPart(coverage)),
            (true, _) => Some(get.terms.nobody(TrackerUse::Asked)),
            (false, _) => None,
        };
        if is_partial {
            if missed.is_none() {
                let in_part = (name.clone(), Missed::InPart(coverage));
                get.in_part.get_or_insert(in_part);
            }
            self.tell(id, News::Partial(coverage));
        }
        if let Some(why) = missed {
            self.miss_unplanned(id, name, why);
        }
        self.go_on(now, id);
    }

    /// A name comes to no file.
    fn miss_unplanned(&mut self, id: GetId, name: String, why: Missed) {
        if let Some(get) = self.requests.get_mut(&id) {
            get.unplanned += 1;
        }
        self.miss(id, name, why);
    }

    /// Looks whether files that were found fit where they are to go: all in one go.
    fn look(&mut self, now: Instant, id: GetId, asked: AskedAs, mut candidates: Vec<Candidate>) {
        let Some(get) = self.requests.get_mut(&id) else {
            return;
        };
        let mut looks = Vec::new();
        for candidate in &mut candidates {
            let Verdict::Take(planned) = &candidate.verdict else {
                continue;
            };
            let target = &planned.item.target;
            if reserved::is_reserved(target) {
                candidate.verdict = Verdict::Miss(Missed::Reserved(target.clone()));
            } else if let Some(look) = get.terms.look(planned)
                && get.free.as_ref() != Some(target)
            {
                candidate.is_looked_at = true;
                looks.push(look);
            }
        }
        get.step = Step::Places(asked, candidates);
        if looks.is_empty() {
            self.on_looked(now, id, Vec::new());
        } else {
            self.tell(id, Chore::Look(looks));
        }
    }

    pub(super) fn on_looked(&mut self, now: Instant, id: GetId, looked: Vec<Looked>) {
        let Some(get) = self.requests.get_mut(&id) else {
            return;
        };
        let mut looked = looked.into_iter();
        match std::mem::replace(&mut get.step, Step::Files) {
            Step::TypedName(typed) => {
                let why = match looked.next().unwrap_or(Looked::Free) {
                    Looked::Free => None,
                    Looked::SameName | Looked::Equal => Some(Missed::exists()),
                    Looked::Blocked(why) => Some(Missed::NotStored(why)),
                };
                if let Some(why) = why {
                    get.agenda.clear();
                    self.miss_unplanned(id, typed, why);
                }
            }
            Step::Places(asked, candidates) => {
                for candidate in candidates {
                    let looked = if candidate.is_looked_at {
                        looked.next().unwrap_or(Looked::Free)
                    } else {
                        Looked::Free
                    };
                    self.plan(now, id, asked, candidate, looked);
                }
            }
            // Nothing was to be looked at.
            step => {
                get.step = step;
                return;
            }
        }
        self.go_on(now, id);
    }

    fn plan(
        &mut self,
        now: Instant,
        id: GetId,
        asked_as: AskedAs,
        candidate: Candidate,
        looked: Looked,
    ) {
        let candidate = if asked_as == AskedAs::Again {
            match self.on_asked_again(now, id, candidate) {
                Some(candidate) => candidate,
                None => return,
            }
        } else {
            candidate
        };
        let Some(get) = self.requests.get_mut(&id) else {
            return;
        };
        let Candidate { asked, verdict, .. } = candidate;
        match verdict {
            Verdict::Take(mut planned) => match get.terms.fits(&mut planned, looked) {
                // What a pattern and a name both mean is fetched once.
                Ok(()) if get.is_planned(asked_as, &planned) => {}
                Ok(()) => get.planned.push(planned),
                Err(why) => self.miss_unplanned(id, asked, why),
            },
            Verdict::Choose {
                variants,
                look_alike,
            } => {
                let name = asked.clone();
                self.tell(id, News::Choice { name, variants });
                self.miss_unplanned(id, asked, Missed::Ambiguous { look_alike });
            }
            Verdict::Miss(why) => {
                if get.postponed.put(now, &asked, &why, None, None) {
                    self.say_what_is_waited_for(id, &asked, why, None);
                } else {
                    self.miss_unplanned(id, asked, why);
                }
            }
        }
    }

    /// What did not come before was asked for again: what is to be planned of it. If
    /// there is still nothing, it is asked for later.
    fn on_asked_again(
        &mut self,
        now: Instant,
        id: GetId,
        candidate: Candidate,
    ) -> Option<Candidate> {
        let get = self.requests.get_mut(&id)?;
        let waited = get.postponed.take(&candidate.asked)?;
        let Candidate {
            asked,
            mut verdict,
            is_looked_at,
        } = candidate;
        match &mut verdict {
            Verdict::Choose { .. } => {}
            // Another file that goes by its name is not the one that was begun, and in
            // doubt only another content is news.
            Verdict::Take(planned)
                if (waited.begun.is_none() || planned.item.listed.as_str() == asked)
                    && !(waited.is_doubted && waited.begun == Some(planned.item.content)) =>
            {
                planned.late = Some(waited.since);
            }
            Verdict::Take(_) | Verdict::Miss(_) if waited.is_doubted => {
                self.miss_at_last(id, asked, waited.why, true);
                return None;
            }
            // It was removed, or is no longer shared.
            Verdict::Miss(why @ Missed::NobodyShares(_))
                if matches!(waited.why, Missed::Changed(_)) && waited.tries > 0 =>
            {
                let why = why.clone();
                self.miss_at_last(id, asked, why, waited.begun.is_some());
                return None;
            }
            Verdict::Take(_) | Verdict::Miss(_) => {
                get.postponed.put_back(now, asked, waited);
                return None;
            }
        }
        if waited.begun.is_some() {
            // It is planned once more.
            get.found -= 1;
            get.found_bytes -= waited.begun.map_or(0, |content| content.length);
        }
        Some(Candidate {
            asked,
            verdict,
            is_looked_at,
        })
    }

    /// Asks once more for what is still being hashed, where it is time.
    pub(super) fn ask_again(&mut self, now: Instant) {
        for (id, get) in &mut self.requests {
            if let Some(names) = get.due_again(now) {
                let (inquiry, only) = (get.ask(*id), get.only.clone());
                self.out.push_back(Action::LookUp(inquiry, names, only));
            }
        }
    }
}

impl Get {
    /// Whether a file was planned before, under whichever name. Those of patterns are
    /// not written down, for there may be a million of them.
    fn is_planned(&mut self, asked: AskedAs, file: &Planned) -> bool {
        let listed = &file.item.listed;
        let has_come = || {
            let mut done = self.done.iter();
            !reserved::changes_what_is_shared(listed) && done.any(|done| done.matches(listed))
        };
        match asked {
            AskedAs::Pattern | AskedAs::Again => false,
            AskedAs::Name => has_come() || !self.targets.insert(file.item.target.clone()),
            AskedAs::Unhashed => !self.targets.insert(file.item.target.clone()),
        }
    }
}

impl Terms {
    /// The terms of a request, if it can be served at all.
    pub fn new(request: &Request) -> Result<Self, Missed> {
        let is_single = match &request.names[..] {
            [name] => pattern(name).is_none(),
            _ => false,
        };
        let for_one = request.rename.is_some() || request.existing == Existing::SetAside;
        if for_one && !is_single {
            return Err(Missed::OneNameOnly);
        }
        if request.names.is_empty() {
            return Err(Missed::NoNames);
        }
        let rename = request.rename.as_ref().map(|text| {
            text.parse().map_err(|why| Missed::BadName {
                text: text.clone(),
                why,
            })
        });
        Ok(Self {
            rename: rename.transpose()?,
            only: request.only.clone(),
            keeps: request.existing == Existing::Keep,
            equal_will_do: request.elsewhere || !is_single,
            is_single,
        })
    }

    /// Where to look before any peer is asked: a file that has no place need not
    /// be looked for.
    pub fn target_of(&self, typed: &str) -> Option<Name> {
        if !self.is_single || !self.keeps || self.equal_will_do {
            return None;
        }
        self.rename.clone().or_else(|| typed.parse().ok())
    }

    /// What an answer comes to.
    pub fn verdict(
        &self,
        answer: Answer,
        tracker: TrackerUse,
        known: &BTreeMap<PeerId, Holder>,
    ) -> Verdict {
        let tracker_asked = matches!(tracker, TrackerUse::Asked | TrackerUse::InPart);
        match answer {
            Answer::Found(source, variants) => {
                let via = match source {
                    Source::Neighbour(id) => known.get(&id).cloned(),
                    Source::Memory | Source::Tracker => None,
                };
                let answer = Answered {
                    source,
                    via,
                    tracker_asked,
                };
                self.choose(variants, answer)
            }
            Answer::Alike(variants) => {
                let answer = Answered {
                    source: Source::Tracker,
                    via: None,
                    tracker_asked,
                };
                self.choose_alike(variants, answer)
            }
            Answer::Nobody => Verdict::Miss(self.nobody(tracker)),
        }
    }

    /// The one content that goes by a name, or the choice between several.
    pub fn choose(&self, variants: Vec<Variant>, answer: Answered) -> Verdict {
        let is_hashed = |variant: &Variant| variant.entry.root.is_some();
        let (hashed, unhashed): (Vec<_>, Vec<_>) = variants.into_iter().partition(is_hashed);
        let first = hashed.iter().min_by_key(|variant| &variant.entry.name);
        let content = first.and_then(|first| first.entry.content());
        let (Some(first), Some(content)) = (first, content) else {
            let by = unhashed.into_iter().flat_map(|v| v.holders).next();
            return Verdict::Miss(Missed::StillHashing { by });
        };
        let is_other = |variant: &Variant| variant.entry.content() != Some(content);
        if hashed.iter().any(is_other) {
            return several(hashed, false);
        }
        let listed = first.entry.name.clone();
        let item = Item {
            target: self.rename.clone().unwrap_or_else(|| listed.clone()),
            listed,
            mtime: first.entry.mtime,
            content,
        };
        let mut known = BTreeSet::new();
        let holders = hashed.into_iter().flat_map(|variant| variant.holders);
        Verdict::Take(Planned {
            item,
            holders: holders.filter(|holder| known.insert(holder.id)).collect(),
            answer,
            widen: self.only.from.is_none(),
            is_there: false,
            late: None,
        })
    }

    /// Names that differ from the typed one in Unicode normalisation only are
    /// offered, not taken, unless the person has said by its root which one is meant.
    fn choose_alike(&self, variants: Vec<Variant>, answer: Answered) -> Verdict {
        if self.only.root.is_some() {
            return self.choose(variants, answer);
        }
        several(variants, true)
    }

    /// No peer has it, as far as could be asked.
    pub fn nobody(&self, tracker: TrackerUse) -> Missed {
        match tracker {
            TrackerUse::Unreachable => Missed::TrackerUnreachable { listing: false },
            TrackerUse::InPart => Missed::TrackerBusy,
            TrackerUse::Spared | TrackerUse::Asked => Missed::NobodyShares(self.only.clone()),
        }
    }

    /// Whether to look at what is where a file is to go, and how closely.
    pub fn look(&self, planned: &Planned) -> Option<Look> {
        let content = self.equal_will_do.then_some(planned.item.content);
        (self.keeps || self.equal_will_do).then(|| Look {
            target: planned.item.target.clone(),
            content,
        })
    }

    /// Whether a file fits where it is to go, now that it is known what is there.
    pub fn fits(&self, planned: &mut Planned, looked: Looked) -> Result<(), Missed> {
        match looked {
            Looked::Equal if self.equal_will_do => {
                planned.is_there = true;
                Ok(())
            }
            Looked::Equal | Looked::SameName if self.keeps => Err(Missed::exists()),
            Looked::Free | Looked::Equal | Looked::SameName => Ok(()),
            Looked::Blocked(why) => Err(Missed::NotStored(why)),
        }
    }
}

/// The pattern that a text is. What looks like one and is none (`photo [1`) can
/// still be a file's name.
pub(super) fn pattern(text: &str) -> Option<Pattern> {
    looks_like_a_pattern(text)
        .then(|| Pattern::new(text).ok())
        .flatten()
}

fn several(mut variants: Vec<Variant>, look_alike: bool) -> Verdict {
    variants.sort_by_key(|variant| std::cmp::Reverse(variant.holders.len()));
    Verdict::Choose {
        variants,
        look_alike,
    }
}

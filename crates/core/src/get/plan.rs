//! What names and patterns come to, up to the first byte: one content each, a
//! choice, or nothing.
//!
//! Each pattern is listed, then all names are looked up at once; what was found is
//! looked for on the disk, in one go for each answer. Owns which names are taken
//! and which are left out, and whether a file fits where it is to go. What is
//! there already it is told: it reads no disk. Nothing is fetched yet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use thorp_wire::frame::{Holder, Variant};
use thorp_wire::{Name, PeerId, reserved};

use super::wait::Wait;
use super::{
    Action, Answered, Candidate, Chore, Ending, Existing, Get, GetId, Gets, Inquiry, Item, Look,
    Looked, Missed, News, Output, Request, Step, Task,
};
use crate::lookup::{Answer, Only, Outcome, Source, TrackerUse};
use crate::matching::{Pattern, looks_like_a_pattern};
use crate::survey::{Coverage, Findings};
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
        agenda.push_back(Task::Names(names.into_iter().collect()));
        let typed = request.names.first().filter(|_| terms.is_single);
        let look = typed.and_then(|typed| Some((typed.clone(), terms.target_of(typed)?)));
        let mut get = Get::new(request.only.clone(), terms, agenda);
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

    /// Finds what is next on the agenda; fetches, once all is found.
    fn go_on(&mut self, now: Instant, id: GetId) {
        let Some(get) = self.requests.get_mut(&id) else {
            return;
        };
        loop {
            let only = get.only.clone();
            match get.agenda.pop_front() {
                Some(Task::Names(names)) if names.is_empty() => {}
                Some(Task::Names(names)) => {
                    get.step = Step::LookUp {
                        since: now,
                        wait: None,
                    };
                    let inquiry = get.ask(id);
                    self.out.push_back(Action::LookUp(inquiry, names, only));
                    return;
                }
                Some(Task::Pattern(pattern)) => {
                    get.step = Step::Survey(pattern.clone());
                    let inquiry = get.ask(id);
                    self.out.push_back(Action::Survey(inquiry, pattern, only));
                    return;
                }
                None => return self.fetch_all(id),
            }
        }
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
        let Step::LookUp { since, wait } = &mut get.step else {
            return;
        };
        let is_being_hashed = |(_, answer): &(_, Answer)| answer.being_hashed().is_some();
        if wait.is_none() && !outcome.names.iter().any(is_being_hashed) {
            return self.choose_each(now, id, outcome, &known);
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
            self.choose_each(now, id, outcome, &known);
        }
    }

    /// What each name comes to, now that all answers are here.
    fn choose_each(
        &mut self,
        now: Instant,
        id: GetId,
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
        self.look(now, id, candidates);
    }

    pub(super) fn on_surveyed(&mut self, now: Instant, inquiry: Inquiry, findings: Findings) {
        let Inquiry { get: id, number } = inquiry;
        let Some(get) = self.requests.get_mut(&id).filter(|get| get.asked == number) else {
            return;
        };
        let Step::Survey(pattern) = std::mem::replace(&mut get.step, Step::Files) else {
            return;
        };
        let Findings {
            files, coverage, ..
        } = findings;
        let asked_tracker = coverage.has_asked_tracker();
        match coverage {
            Coverage::Whole => {}
            Coverage::TrackerInPart | Coverage::NeighboursOnly => {
                self.tell(id, News::Partial { asked_tracker });
            }
            Coverage::NoAnswer => {
                let name = pattern.text().to_owned();
                let why = Missed::TrackerUnreachable { listing: true };
                return self.end(id, Ending::Missed { name, why });
            }
        }
        let Some(get) = self.requests.get_mut(&id) else {
            return;
        };
        let (source, tracker) = if asked_tracker {
            (Source::Tracker, TrackerUse::Asked)
        } else {
            (Source::Memory, TrackerUse::Unreachable)
        };
        let mut candidates = Vec::new();
        let mut by_name: BTreeMap<Name, Vec<Variant>> = BTreeMap::new();
        for variant in files {
            let name = variant.entry.name.clone();
            by_name.entry(name).or_default().push(variant);
        }
        if by_name.is_empty() {
            let verdict = Verdict::Miss(get.terms.nobody(tracker));
            candidates.push(Candidate::new(pattern.text().to_owned(), verdict));
        }
        let mut unhashed = Vec::new();
        for (name, variants) in by_name {
            if reserved::changes_what_is_shared(&name) {
                let left_out = News::LeftOut(name);
                self.out.push_back(Action::Tell(id, left_out.into()));
                continue;
            }
            if variants.iter().all(|variant| variant.entry.root.is_none()) {
                unhashed.push(name.to_string());
                continue;
            }
            let answer = Answered {
                source,
                via: None,
                tracker_asked: asked_tracker,
            };
            let verdict = get.terms.choose(variants, answer);
            candidates.push(Candidate::new(name.to_string(), verdict));
        }
        // Asked for by name they are hashed first.
        get.agenda.push_front(Task::Names(unhashed));
        self.look(now, id, candidates);
    }

    /// Looks whether files that were found fit where they are to go: all in one go.
    fn look(&mut self, now: Instant, id: GetId, mut candidates: Vec<Candidate>) {
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
        get.step = Step::Places(candidates);
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
                    self.miss(id, typed, why);
                }
            }
            Step::Places(candidates) => {
                for candidate in candidates {
                    let looked = if candidate.is_looked_at {
                        looked.next().unwrap_or(Looked::Free)
                    } else {
                        Looked::Free
                    };
                    self.plan(id, candidate, looked);
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

    fn plan(&mut self, id: GetId, candidate: Candidate, looked: Looked) {
        let Some(get) = self.requests.get_mut(&id) else {
            return;
        };
        let Candidate { asked, verdict, .. } = candidate;
        match verdict {
            Verdict::Take(mut planned) => match get.terms.fits(&mut planned, looked) {
                // What a pattern and a name both mean is fetched once.
                Ok(()) if !get.targets.insert(planned.item.target.clone()) => {}
                Ok(()) => get.planned.push(planned),
                Err(why) => self.miss(id, asked, why),
            },
            Verdict::Choose {
                variants,
                look_alike,
            } => {
                let name = asked.clone();
                self.tell(id, News::Choice { name, variants });
                self.miss(id, asked, Missed::Ambiguous { look_alike });
            }
            Verdict::Miss(why) => self.miss(id, asked, why),
        }
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
        let tracker_asked = tracker == TrackerUse::Asked;
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

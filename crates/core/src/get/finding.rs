//! The first half of a request: what its names and patterns come to.
//!
//! Each pattern is listed, then all names are looked up at once; what was found is
//! looked for on the disk, in one go for each answer. Nothing is fetched yet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use thorp_wire::frame::{Holder, Variant};
use thorp_wire::{Name, PeerId, reserved};

use super::plan::{self, Terms, Verdict};
use super::wait::Wait;
use super::{
    Action, Answered, Candidate, Chore, Ending, Get, GetId, Gets, Inquiry, Look, Looked, Missed,
    News, Output, Request, Step, Task,
};
use crate::lookup::{Outcome, Source, TrackerUse};
use crate::survey::{Coverage, Findings};
use crate::time::Instant;

impl Gets {
    pub(super) fn begin(&mut self, now: Instant, id: GetId, request: &Request) {
        let terms = match Terms::new(request) {
            Ok(terms) => terms,
            Err(why) => {
                let name = request.names.first().cloned().unwrap_or_default();
                let end = Ending::Missed { name, why };
                return self.tell(id, Output::Ended(end));
            }
        };
        let (mut agenda, mut names) = (VecDeque::new(), BTreeSet::new());
        for name in &request.names {
            match plan::pattern(name) {
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
                    get.step = Step::LookUp(Wait::new(now));
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
        let Step::LookUp(wait) = &mut get.step else {
            return;
        };
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
        let Step::LookUp(wait) = std::mem::replace(&mut get.step, Step::Files) else {
            return;
        };
        let (outcome, known) = wait.into_answers();
        let mut candidates = Vec::new();
        if let Some(Outcome { names, tracker }) = outcome {
            for (name, answer) in names {
                let verdict = get.terms.verdict(answer, tracker, &known);
                candidates.push(Candidate::new(name, verdict));
            }
        }
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

//! What a name comes to, up to the first byte: one content, a choice, a folder, or
//! nothing.
//!
//! Each pattern is listed ([`listing`](super::listing)), then the names are looked up;
//! what was found is looked for on the disk, in one go for each answer. Owns which names
//! are taken and which are offered, and whether a file fits where it is to go. What is
//! there already it is told: it reads no disk. Nothing is fetched yet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use thorp_wire::frame::{Holder, Variant};
use thorp_wire::{Attributes, Entry, Name, PeerId, reserved};

use super::again::Postponed;
use super::doing::{Planned, Verdict};
use super::typed::Wanted;
use super::wait::Wait;
use super::{
    AT_ONCE, Action, Answered, AskedAs, Candidate, Chore, Doubt, Ending, Existing, Folder, Folders,
    Get, GetId, Gets, Inquiry, Item, Look, Looked, Missed, NAMES_AT_ONCE, News, Output, Request,
    Step, Task,
};
use crate::lookup::{Answer, Only, Outcome, Source, TrackerUse};
use crate::matching::{Pattern, looks_like_a_pattern};
use crate::time::Instant;

/// On what terms files are fetched: the same for all files of a request.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a term by itself")]
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
    /// Whether all is by one name or pattern.
    pub(super) is_only: bool,
    /// Whether this peer's own files are copied where no other member has one.
    pub(super) copies: bool,
    /// Whether files that may act by lying there come without being named.
    pub(super) hidden: bool,
    pub(super) folders: Folders,
    /// Whether files of others may arrive as ones to execute.
    executable: bool,
    /// Whether no pattern was meant.
    is_exact: bool,
    /// Whether a reader waits for the file.
    pub(super) is_read: bool,
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
        for typed in &request.names {
            match Wanted::meant_by(typed, request) {
                Wanted::Pattern(pattern) => agenda.push_back(Task::Pattern(pattern)),
                Wanted::Folder(folder) => agenda.push_back(Task::Folder(folder)),
                Wanted::Name(name) => {
                    names.insert(name);
                }
            }
        }
        let names: Vec<String> = names.into_iter().collect();
        let some = names.chunks(NAMES_AT_ONCE);
        agenda.extend(some.map(|some| Task::Names(some.to_vec())));
        let postponed = Postponed::new(now, request.patience);
        let typed = names.first().filter(|_| terms.is_single);
        let look = typed.and_then(|typed| Some((typed.clone(), terms.target_of(typed)?)));
        let mut get = Get::new(request.only.clone(), terms, agenda, postponed);
        if let Some((typed, target)) = look {
            get.step = Step::TypedName(typed);
            get.free = Some(target.clone());
            self.requests.insert(id, get);
            let look = Look {
                target,
                content: None,
                mtime: None,
            };
            self.tell(id, Chore::Look(vec![look]));
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
        let has_room = get.has_room();
        if let Some(listed) = get.listed.as_mut().filter(|_| !get.postponed.is_due(now)) {
            if let Some(coverage) = listed.over {
                return self.on_listed(now, id, coverage);
            }
            if !listed.is_asked {
                if !has_room {
                    get.step = Step::Room;
                    return;
                }
                listed.is_asked = true;
                self.out.push_back(Action::GoOn(listed.inquiry));
            }
            get.step = Step::Survey;
            return;
        }
        let again = get.postponed.due(now);
        if again.is_empty() && !get.agenda.is_empty() && !has_room {
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
            Some(Task::Unmatched(name)) => (AskedAs::Unmatched, vec![name]),
            Some(Task::Unhashed(names)) => (AskedAs::Unhashed, names),
            Some(Task::Pattern(pattern)) => return self.list(id, pattern, None),
            Some(Task::Folder(name)) => {
                return match Pattern::beneath(&name) {
                    Ok(pattern) => self.list(id, pattern, Some(Folder::new(name))),
                    Err(why) => {
                        self.miss_all(id, name, Missed::NotAPattern(why));
                        self.go_on(now, id);
                    }
                };
            }
            None => return self.fetch_the_rest(id),
        };
        get.step = Step::LookUp {
            asked,
            since: now,
            wait: None,
        };
        let inquiry = get.ask(id);
        self.out.push_back(match asked {
            AskedAs::Again => Action::LookUpAgain(inquiry, names, only),
            _ => Action::LookUp(inquiry, names, only),
        });
    }

    pub(super) fn on_looked_up(
        &mut self,
        now: Instant,
        inquiry: Inquiry,
        outcome: Outcome,
        known: BTreeMap<PeerId, Holder>,
        own: &BTreeMap<String, Entry>,
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
            return self.choose_each(now, id, asked, outcome, &known, own);
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
            self.choose_each(now, id, asked, outcome, &known, own);
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
        own: &BTreeMap<String, Entry>,
    ) {
        let Some(get) = self.requests.get_mut(&id) else {
            return;
        };
        let Outcome { names, tracker, .. } = outcome;
        let mut candidates = Vec::new();
        for (name, answer) in names {
            let own = own.get(&name);
            let is_asked = tracker.is_asked_in_full();
            let verdict = match own.and_then(|own| get.terms.own(&name, own, is_asked)) {
                Some(planned) => Verdict::Take(planned),
                None => get.terms.verdict(&name, answer, tracker, known),
            };
            let verdict = match (verdict, own) {
                (Verdict::Miss(Missed::NobodyShares(only)), Some(own))
                    if only == Only::default() =>
                {
                    Verdict::Miss(Missed::OnlyHere(own.name.clone()))
                }
                (verdict, _) => verdict,
            };
            if let Verdict::Folder = verdict {
                get.terms.on_several_meant();
                get.postponed.take(&name);
                get.agenda.push_back(Task::Folder(name));
            } else {
                candidates.push(Candidate::new(name, verdict));
            }
        }
        self.look(now, id, asked, candidates);
    }

    /// A name comes to no file.
    pub(super) fn miss_unplanned(&mut self, id: GetId, name: String, why: Missed) {
        if let Some(get) = self.requests.get_mut(&id) {
            get.unplanned += 1;
        }
        self.miss(id, name, why);
    }

    /// Looks whether files that were found fit where they are to go: all in one go.
    pub(super) fn look(
        &mut self,
        now: Instant,
        id: GetId,
        asked: AskedAs,
        mut candidates: Vec<Candidate>,
    ) {
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
                    // It may be a folder that is wanted, and is here in part.
                    Looked::Folder(_) => {
                        get.free = None;
                        None
                    }
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
            Verdict::Choose { variants, doubt } => {
                let name = asked.clone();
                self.tell(id, News::Choice { name, variants });
                self.miss_unplanned(id, asked, Missed::Ambiguous(doubt));
            }
            // It is on the agenda.
            Verdict::Folder => {}
            Verdict::Miss(why) => {
                if asked_as == AskedAs::Unmatched {
                    self.miss_all(id, asked, why);
                } else if get.postponed.put(now, &asked, &why, None, None) {
                    self.say_what_is_waited_for(id, &asked, why, None);
                } else {
                    self.miss_unplanned(id, asked, why);
                }
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
            AskedAs::Name | AskedAs::Unmatched => {
                has_come() || !self.targets.insert(file.item.target.clone())
            }
            AskedAs::Unhashed => !self.targets.insert(file.item.target.clone()),
        }
    }
}

impl Terms {
    /// The terms of a request, if it can be served at all.
    pub fn new(request: &Request) -> Result<Self, Missed> {
        let is_single = match &request.names[..] {
            [name] => matches!(Wanted::meant_by(name, request), Wanted::Name(_)),
            _ => false,
        };
        let is_elsewhere = request.elsewhere || request.rename.is_some();
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
            is_only: request.names.len() == 1,
            copies: is_elsewhere && request.only.from.is_none(),
            hidden: request.hidden,
            folders: request.folders,
            executable: request.executable,
            is_exact: request.exact || request.is_read,
            is_read: request.is_read,
        })
    }

    /// What was taken for a file's name is a folder's.
    pub fn on_several_meant(&mut self) {
        self.is_single = false;
        self.equal_will_do = true;
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
        typed: &str,
        answer: Answer,
        tracker: TrackerUse,
        known: &BTreeMap<PeerId, Holder>,
    ) -> Verdict {
        let tracker_asked = tracker.is_asked_in_full() || tracker == TrackerUse::InPart;
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
                self.choose_named(typed, variants, answer)
            }
            Answer::Alike(variants) => {
                let answer = Answered {
                    source: Source::Tracker,
                    via: None,
                    tracker_asked,
                };
                self.choose_alike(typed, variants, answer)
            }
            Answer::OtherCase(variants) => several(variants, Doubt::OtherCase),
            // One name is given to one file.
            Answer::Folder if self.rename.is_some() => Verdict::Miss(Missed::OneNameOnly),
            Answer::Folder => Verdict::Folder,
            Answer::Nobody => {
                let error = Pattern::new(typed).err();
                match error
                    .filter(|_| !self.is_exact && looks_like_a_pattern(typed) && tracker_asked)
                {
                    Some(why) => Verdict::Miss(Missed::NotAPattern(why)),
                    None => Verdict::Miss(self.nobody(tracker)),
                }
            }
        }
    }

    /// What this peer shares itself, where no other member has it.
    pub fn own(&self, typed: &str, own: &Entry, tracker_asked: bool) -> Option<Planned> {
        let is_free = self.copies && !self.is_guarded(typed, &own.name);
        let content = own.content().filter(|_| is_free)?;
        let root = self.only.root.as_deref();
        if root.is_some_and(|prefix| !content.root.has_hex_prefix(prefix)) {
            return None;
        }
        let item = Item {
            target: self.rename.clone().unwrap_or_else(|| own.name.clone()),
            listed: own.name.clone(),
            // It is this user's own already.
            attributes: own.attributes(),
            content,
            v1: own.v1,
        };
        Some(Planned {
            item,
            holders: Vec::new(),
            answer: Answered {
                source: Source::Memory,
                via: None,
                tracker_asked,
            },
            widen: false,
            is_there: false,
            late: None,
            is_own: true,
        })
    }

    /// What this peer shares itself under a name that matches, and no other member does.
    pub fn own_listed(&self, own: &Entry, tracker_asked: bool) -> Verdict {
        let planned = self.own(own.name.as_str(), own, tracker_asked);
        planned.map_or_else(
            || {
                Verdict::Miss(match own.root {
                    None => Missed::StillHashing { by: None },
                    Some(_) => Missed::OnlyHere(own.name.clone()),
                })
            },
            Verdict::Take,
        )
    }

    /// What may act by lying there is not taken by the last part of its path alone.
    fn choose_named(&self, typed: &str, variants: Vec<Variant>, answer: Answered) -> Verdict {
        let is_free = |variant: &Variant| !self.is_guarded(typed, &variant.entry.name);
        let (free, guarded): (Vec<_>, Vec<_>) = variants.into_iter().partition(is_free);
        if free.is_empty() && !guarded.is_empty() {
            return several(guarded, Doubt::Hidden);
        }
        self.choose(free, answer)
    }

    /// Whether a file of this name is offered with its path, and not taken.
    fn is_guarded(&self, typed: &str, name: &Name) -> bool {
        // By another name it does nothing.
        let is_named = self.hidden || self.rename.is_some() || name.as_str() == typed;
        !is_named && reserved::acts_unasked(name)
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
            return several(hashed, Doubt::Several);
        }
        let listed = first.entry.name.clone();
        let target = self.rename.clone().unwrap_or_else(|| listed.clone());
        let attributes = first.entry.attributes();
        let acts = reserved::acts_unasked(&listed) || reserved::acts_unasked(&target);
        let item = Item {
            target,
            listed,
            attributes: Attributes {
                executable: attributes.executable && self.executable && !acts,
                ..attributes
            },
            content,
            v1: hashed.iter().find_map(|variant| variant.entry.v1),
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
            is_own: false,
        })
    }

    /// Names that differ from the typed one in Unicode normalisation only are
    /// offered, not taken, unless the user has said by its root which one is meant.
    fn choose_alike(&self, typed: &str, variants: Vec<Variant>, answer: Answered) -> Verdict {
        if self.only.root.is_some() {
            return self.choose_named(typed, variants, answer);
        }
        several(variants, Doubt::LookAlike)
    }

    /// No peer has it, as far as could be asked.
    pub fn nobody(&self, tracker: TrackerUse) -> Missed {
        match tracker {
            TrackerUse::Unreachable => Missed::TrackerUnreachable { listing: false },
            TrackerUse::InPart => Missed::TrackerBusy,
            TrackerUse::AskedWithoutUnlisted => Missed::NotAllAsked,
            TrackerUse::Spared | TrackerUse::Asked => Missed::NobodyShares(self.only.clone()),
        }
    }

    /// Whether to look at what is where a file is to go, and how closely.
    pub fn look(&self, planned: &Planned) -> Option<Look> {
        let content = self.equal_will_do.then_some(planned.item.content);
        (self.keeps || self.equal_will_do).then(|| Look {
            target: planned.item.target.clone(),
            content,
            mtime: content.map(|_| planned.item.attributes.mtime),
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
            Looked::Folder(why) | Looked::Blocked(why) => Err(Missed::NotStored(why)),
        }
    }
}

fn several(mut variants: Vec<Variant>, doubt: Doubt) -> Verdict {
    variants.sort_by_key(|variant| std::cmp::Reverse(variant.holders.len()));
    Verdict::Choose { variants, doubt }
}

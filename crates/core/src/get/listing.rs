//! All that a pattern comes to, or a folder that was asked for by its name: part by
//! part, as the survey brings it.
//!
//! Owns what of it is left out, and whether a folder is small enough to be fetched
//! unasked. Which content goes by a name, and whether it fits, is in
//! [`plan`](super::plan).

use std::collections::{BTreeMap, BTreeSet};

use thorp_wire::frame::Variant;
use thorp_wire::{Name, reserved};

use super::{
    Action, Answered, AskedAs, Candidate, Ending, Folder, Folders, Get, GetId, Gets, Inquiry,
    Listed, Missed, News, Step, Task,
};
use crate::lookup::{Source, TrackerUse};
use crate::matching::Pattern;
use crate::survey::Coverage;
use crate::time::Instant;

/// Up to here a folder is small.
const SMALL_FILES: u64 = 1000;
const SMALL_BYTES: u64 = 1 << 30;

/// What becomes of files that were found beneath a folder.
enum Held {
    /// They are fetched.
    No(Vec<Variant>),
    /// It is seen first how many there are.
    Yes,
    /// The folder of this name is not fetched.
    Refused(String, Missed),
}

impl Gets {
    pub(super) fn list(&mut self, id: GetId, pattern: Pattern, folder: Option<Folder>) {
        let Some(get) = self.requests.get_mut(&id) else {
            return;
        };
        get.step = Step::Survey;
        let (inquiry, only) = (get.ask(id), get.only.clone());
        get.listed = Some(Listed {
            pattern: pattern.clone(),
            folder,
            inquiry,
            nothing: true,
            is_asked: true,
            over: None,
        });
        self.out.push_back(Action::Survey(inquiry, pattern, only));
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
        let text = listed.pattern.text().to_owned();
        let files = self.without_hidden(id, &text, files);
        match self.held_back(id, files) {
            Held::No(files) => self.take_files(now, id, files, so_far),
            Held::Yes => self.go_on(now, id),
            Held::Refused(name, why) => {
                if let Some(get) = self.requests.get_mut(&id) {
                    get.listed = None;
                }
                self.out.push_back(Action::Enough(inquiry));
                self.miss_all(id, name, why);
                self.go_on(now, id);
            }
        }
    }

    /// Leaves out what may act by lying there, and counts it.
    fn without_hidden(&mut self, id: GetId, text: &str, mut files: Vec<Variant>) -> Vec<Variant> {
        let Some(get) = self.requests.get_mut(&id) else {
            return files;
        };
        let mut hidden = BTreeSet::new();
        files.retain(|file| {
            let name = &file.entry.name;
            let is_named = get.terms.hidden || name.as_str() == text;
            let stays =
                is_named || !reserved::acts_unasked(name) || reserved::changes_what_is_shared(name);
            if !stays {
                hidden.insert(name.clone());
            }
            stays
        });
        get.hidden += hidden.len() as u64;
        files
    }

    /// A folder that was asked for by its name is fetched once it is known that it is
    /// small, or the user has said so.
    fn held_back(&mut self, id: GetId, files: Vec<Variant>) -> Held {
        let Some(get) = self.requests.get_mut(&id) else {
            return Held::No(files);
        };
        let consent = get.terms.folders;
        let folder = get
            .listed
            .as_mut()
            .and_then(|listed| listed.folder.as_mut());
        let Some(folder) = folder.filter(|_| consent != Folders::All) else {
            return Held::No(files);
        };
        for file in &files {
            if folder.last.as_ref() != Some(&file.entry.name) {
                folder.files += 1;
                folder.bytes = folder.bytes.saturating_add(file.entry.length);
                folder.last = Some(file.entry.name.clone());
            }
        }
        folder.held.extend(files);
        if folder.files <= SMALL_FILES && folder.bytes <= SMALL_BYTES {
            return Held::Yes;
        }
        let (files, bytes) = (folder.files, folder.bytes);
        Held::Refused(folder.name.clone(), Missed::Folder { files, bytes })
    }

    /// Some of the files that match a pattern are to be fetched.
    fn take_files(&mut self, now: Instant, id: GetId, files: Vec<Variant>, so_far: Coverage) {
        let Some(get) = self.requests.get_mut(&id) else {
            return;
        };
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
        for (name, mut variants) in by_name {
            if reserved::changes_what_is_shared(&name) {
                get.left_out += 1;
                let left_out = News::LeftOut(name);
                self.out.push_back(Action::Tell(id, left_out.into()));
                continue;
            }
            // What two patterns mean is fetched once.
            if get.done.iter().any(|done| done.matches(&name)) {
                continue;
            }
            let own: Vec<Variant> = variants
                .extract_if(.., |it| it.holders.is_empty())
                .collect();
            if let (true, Some(own)) = (variants.is_empty(), own.first()) {
                let verdict = get.terms.own_listed(&own.entry, tracker_asked);
                candidates.push(Candidate::new(name.to_string(), verdict));
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
    pub(super) fn on_listed(&mut self, now: Instant, id: GetId, coverage: Coverage) {
        let Some(get) = self.requests.get_mut(&id) else {
            return;
        };
        // What was held back of a folder is small.
        let consent = get.terms.folders;
        let folder = get
            .listed
            .as_mut()
            .and_then(|listed| listed.folder.as_mut());
        let mut refused = None;
        if let Some(folder) = folder.filter(|folder| !folder.held.is_empty()) {
            let held = std::mem::take(&mut folder.held);
            if consent != Folders::No {
                return self.take_files(now, id, held, coverage);
            }
            let (files, bytes) = (folder.files, folder.bytes);
            refused = Some(Missed::Folder { files, bytes });
        }
        let Some(Listed {
            pattern,
            folder,
            nothing,
            ..
        }) = get.listed.take()
        else {
            return;
        };
        let is_pattern = folder.is_none();
        let name = match folder {
            Some(folder) => folder.name,
            None => pattern.text().to_owned(),
        };
        get.done.push(pattern);
        if is_pattern && nothing && coverage == Coverage::Whole {
            get.agenda.push_front(Task::Unmatched(name));
            return self.go_on(now, id);
        }
        let hidden = std::mem::take(&mut get.hidden);
        get.left_out += hidden;
        get.hidden_left_out += hidden;
        if get.left_out > 0 {
            get.left_out_of.get_or_insert_with(|| name.clone());
        }
        if hidden > 0 {
            let left_out = News::HiddenLeftOut(hidden);
            self.out.push_back(Action::Tell(id, left_out.into()));
        }
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
            _ if refused.is_some() => refused,
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
            self.miss_all(id, name, why);
        }
        self.go_on(now, id);
    }

    /// A pattern or a folder comes to no file. Where nothing else was asked for, that
    /// is what the end tells.
    pub(super) fn miss_all(&mut self, id: GetId, name: String, why: Missed) {
        let Some(get) = self.requests.get_mut(&id) else {
            return;
        };
        if get.terms.is_only {
            get.unplanned += 1;
            self.note_miss(id, name, why);
        } else {
            self.miss_unplanned(id, name, why);
        }
    }
}

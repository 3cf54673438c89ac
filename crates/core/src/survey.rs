//! Everything there is: all files that match a pattern, or all members.
//!
//! Unlike a name, a pattern is never fully answered by the neighbourhood, so a
//! [`Survey`] asks the tracker, page by page, and adds what memory has. Without
//! a tracker the neighbours are asked instead, and the answer is marked as a
//! part of the whole.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use thorp_wire::frame::{Find, Found, MemberRow, Query, Variant};
use thorp_wire::{Name, PeerId, Root};

use crate::lookup::{Only, TrackerState, add_holders};
use crate::matching::Pattern;
use crate::time::Instant;

/// How long a page is waited for.
const PAGE_WITHIN: Duration = Duration::from_secs(5);
/// How long all of it may take, and how many pages: so no member is asked for
/// ever.
const ALL_WITHIN: Duration = Duration::from_mins(1);
const MOST_PAGES: usize = 4000;
/// How many files a survey finds before it stops and says that there is more.
const MOST_FILES: usize = 200_000;
/// The same for members.
const MOST_MEMBERS: usize = 100_000;

/// What to survey.
#[derive(Clone, Debug)]
pub enum Subject {
    /// The files that match.
    Files(Pattern),
    /// The members that are present.
    Members,
}

impl Subject {
    fn is_about(&self, name: &Name) -> bool {
        match self {
            Self::Files(pattern) => pattern.matches(name),
            Self::Members => false,
        }
    }
}

/// By what files are told apart: each once, with all its holders.
type Key = (Name, u64, Option<Root>);

/// A survey in progress.
#[derive(Debug)]
pub struct Survey {
    subject: Subject,
    only: Only,
    started: Instant,
    /// Whether this peer is a visitor, which knows no other peer but the tracker.
    is_visitor: bool,
    files: BTreeMap<Key, Variant>,
    /// What this peer has itself, where that is wanted too.
    own: Vec<Variant>,
    members: BTreeMap<PeerId, MemberRow>,
    owed: BTreeMap<PeerId, Instant>,
    pages: usize,
    stage: Stage,
    asked_tracker: bool,
    complete: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Beginning,
    Asking,
    Done,
}

/// What a survey found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Files, in the order of their names.
    pub files: Vec<Variant>,
    /// Members, in the order of their ids.
    pub members: Vec<MemberRow>,
    /// How much of all there is that is.
    pub coverage: Coverage,
}

/// How much of all there is a survey has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coverage {
    /// All that the tracker knows of.
    Whole,
    /// The tracker has told a part of what it knows.
    TrackerInPart,
    /// The tracker could not be asked, so it is what the neighbours have.
    #[default]
    NeighboursOnly,
    /// The tracker could not be asked, and a visitor has no neighbours: it is
    /// nothing to rely on.
    NoAnswer,
}

impl Coverage {
    /// Whether the tracker was asked.
    pub fn has_asked_tracker(self) -> bool {
        match self {
            Self::Whole | Self::TrackerInPart => true,
            Self::NeighboursOnly | Self::NoAnswer => false,
        }
    }
}

/// What the machine that runs a survey has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SurveyAction {
    /// Ask this member, to which there is a link.
    Ask(PeerId, Find),
    /// The survey is over.
    Finish(Findings),
}

impl Survey {
    /// Starts a survey with what memory has, limited to what the caller wants.
    pub fn new(now: Instant, subject: Subject, only: Only, remembered: Found) -> Self {
        let mut survey = Self {
            subject,
            only,
            started: now,
            is_visitor: false,
            own: Vec::new(),
            files: BTreeMap::new(),
            members: BTreeMap::new(),
            owed: BTreeMap::new(),
            pages: 0,
            stage: Stage::Beginning,
            asked_tracker: false,
            complete: false,
        };
        survey.add(remembered);
        survey
    }

    /// The same for a visitor: without the tracker it gets no answer.
    #[must_use]
    pub fn by_visitor(mut self) -> Self {
        self.is_visitor = true;
        self
    }

    /// The same with the files that this peer has itself.
    #[must_use]
    pub fn with_own(mut self, own: impl Iterator<Item = Variant>) -> Self {
        self.own = own.filter_map(|file| self.wanted(file)).collect();
        self
    }

    /// What is to be done now. The caller repeats it until it returns nothing:
    /// after every answer, at every deadline, and when the surroundings change.
    pub fn advance(
        &mut self,
        now: Instant,
        tracker: TrackerState,
        neighbours: impl IntoIterator<Item = PeerId>,
    ) -> Vec<SurveyAction> {
        if self.stage == Stage::Beginning {
            let members = match tracker {
                TrackerState::Up(tracker) => {
                    self.complete = true;
                    self.asked_tracker = true;
                    vec![tracker]
                }
                TrackerState::Trying if now < self.started + PAGE_WITHIN => return Vec::new(),
                // This node knows its neighbours without asking them.
                TrackerState::Trying | TrackerState::Down
                    if matches!(self.subject, Subject::Members) =>
                {
                    Vec::new()
                }
                TrackerState::Trying | TrackerState::Down => neighbours.into_iter().collect(),
            };
            self.stage = Stage::Asking;
            self.owed = members
                .iter()
                .map(|peer| (*peer, now + PAGE_WITHIN))
                .collect();
            let find = self.page(None, None);
            let asks: Vec<_> = members
                .into_iter()
                .map(|peer| SurveyAction::Ask(peer, find.clone()))
                .collect();
            if !asks.is_empty() {
                return asks;
            }
        }
        if self.owed.values().any(|until| *until <= now) {
            self.complete = false;
            self.owed.retain(|_, until| *until > now);
        }
        if self.stage == Stage::Asking && self.owed.is_empty() {
            self.stage = Stage::Done;
            return vec![SurveyAction::Finish(self.findings())];
        }
        Vec::new()
    }

    /// When [`advance`](Self::advance) has something to do even if nothing happens.
    pub fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Beginning => Some(self.started + PAGE_WITHIN),
            Stage::Asking => self.owed.values().copied().min(),
            Stage::Done => None,
        }
    }

    /// A member has answered this question. Returns the question for its next
    /// page.
    pub fn found(&mut self, now: Instant, who: PeerId, asked: &Find, found: Found) -> Option<Find> {
        self.owed.remove(&who)?;
        let last_variant = found.variants.last();
        let last_variant = last_variant.map(|variant| variant.entry.name.clone());
        let last_name = found.behind.clone().or(last_variant);
        let last_member = found.members.last().map(|row| row.member.id);
        // A member whose pages make no progress would be asked for ever.
        let ahead = match asked.query {
            Query::Members(after) => last_member > after,
            _ => last_name > asked.after,
        };
        let more = found.more && ahead;
        self.complete &= more || !found.more;
        self.add(found);
        if !more {
            return None;
        }
        self.pages += 1;
        let enough = self.pages >= MOST_PAGES || now >= self.started + ALL_WITHIN;
        if enough || self.files.len() >= MOST_FILES || self.members.len() >= MOST_MEMBERS {
            self.complete = false;
            return None;
        }
        self.owed.insert(who, now + PAGE_WITHIN);
        Some(self.page(last_name, last_member))
    }

    /// A member will not answer.
    pub fn no_answer(&mut self, who: PeerId) {
        if self.owed.remove(&who).is_some() {
            self.complete = false;
        }
    }

    fn add(&mut self, found: Found) {
        for variant in found.variants {
            let Some(variant) = self.wanted(variant) else {
                continue;
            };
            match self.files.entry(key(&variant)) {
                Entry::Occupied(known) => add_holders(known.into_mut(), variant.holders),
                Entry::Vacant(free) => {
                    free.insert(variant);
                }
            }
        }
        for row in found.members {
            self.members.insert(row.member.id, row);
        }
    }

    /// The file with the holders that count. Members answer what they like: the
    /// caller gets nothing that it has not asked for.
    fn wanted(&self, mut variant: Variant) -> Option<Variant> {
        self.only.keep(&mut variant);
        let is_wanted = !variant.holders.is_empty() && self.subject.is_about(&variant.entry.name);
        is_wanted.then_some(variant)
    }

    /// All that was found. This peer comes last: among the holders of a file, and
    /// among the files of one name.
    fn findings(&mut self) -> Findings {
        let mut files = std::mem::take(&mut self.files);
        let mut only_here = Vec::new();
        for own in std::mem::take(&mut self.own) {
            match files.get_mut(&key(&own)) {
                Some(known) => add_holders(known, own.holders),
                None => only_here.push(own),
            }
        }
        let mut files: Vec<Variant> = files.into_values().collect();
        if !only_here.is_empty() {
            files.append(&mut only_here);
            files.sort_by(|a, b| a.entry.name.cmp(&b.entry.name));
        }
        Findings {
            files,
            members: std::mem::take(&mut self.members).into_values().collect(),
            coverage: match (self.complete, self.asked_tracker) {
                (true, _) => Coverage::Whole,
                (false, true) => Coverage::TrackerInPart,
                (false, false) if self.is_visitor => Coverage::NoAnswer,
                (false, false) => Coverage::NeighboursOnly,
            },
        }
    }

    fn page(&self, after: Option<Name>, after_member: Option<PeerId>) -> Find {
        let query = match &self.subject {
            Subject::Files(pattern) => Query::Pattern(pattern.text().to_owned()),
            Subject::Members => Query::Members(after_member),
        };
        Find {
            query,
            hops: 1,
            hash_now: false,
            after,
        }
    }
}

fn key(variant: &Variant) -> Key {
    let entry = &variant.entry;
    (entry.name.clone(), entry.length, entry.root)
}

#[cfg(test)]
mod tests;

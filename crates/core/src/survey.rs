//! Lists all files that match a pattern, or all members.
//!
//! Unlike a name, a pattern is never fully answered by the neighbours, so a [`Survey`] asks the
//! tracker, page by page, and adds what is in memory. Without a tracker it asks the neighbours,
//! and marks the answer as incomplete.
//!
//! Findings are told in parts, in the order of names, and the next part follows when the caller
//! has taken the last one, so that a survey of a million files takes no more memory than one of a
//! thousand. A member that is too busy is asked again.
//!
//! ```text
//! stream   the files of one source, in the order of their names
//! ```

mod stream;

use std::collections::BTreeMap;
use std::time::Duration;

use thorp_wire::frame::{Find, Found, Holder, MemberRow, Query, Variant};
use thorp_wire::{Name, PeerId, Root};

use crate::lookup::{Only, TrackerState, add_holders, is_called};
use crate::matching::Pattern;
use crate::time::Instant;

use stream::{Page, Stream};

/// How long to wait for a page while nothing arrives from its member; `PAGE_AT_MOST` in all.
const PAGE_WITHIN: Duration = Duration::from_secs(5);
const PAGE_AT_MOST: Duration = Duration::from_mins(1);
/// A member that is too busy is asked again after the first of these times, and then each time
/// after the second. It is given up when it has sent no page for `BUSY_FOR`.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(2));
const BUSY_FOR: Duration = Duration::from_mins(1);
/// The most pages of one member, so that no member is asked for ever.
const MOST_PAGES: usize = 100_000;
/// How long to wait each time for an unlisted member, which may have to be dialled first. The
/// tracker has no room for its listing.
const UNLISTED_WITHIN: Duration = Duration::from_secs(2);
/// The most unlisted members that are asked, and the most pages of each: as many as the longest
/// listing at a tracker has.
const MOST_UNLISTED: usize = Found::MAX_UNLISTED;
const MOST_PAGES_OF_UNLISTED: usize = 1000;
/// The most files of memory that are read at once.
pub const MOST_AT_ONCE: usize = 256;

/// What to survey.
#[expect(clippy::large_enum_variant, reason = "nearly all are of files")]
#[derive(Clone, Debug)]
pub enum Subject {
    /// The files that match a pattern.
    Files(Pattern),
    /// The members that are present.
    Members,
}

/// Returns files in memory with names greater than the given one.
type Memory<'a> = &'a dyn Fn(Option<&Name>) -> Vec<Variant>;

/// What identifies a file in the findings: each is told once, with all its holders.
type Key = (Name, u64, Option<Root>);

/// What a survey sees of its node.
pub trait Territory {
    /// Returns the state of the connection to the tracker.
    fn tracker(&self) -> TrackerState;
    /// Returns the members to ask if there is no tracker.
    fn neighbours(&self) -> Vec<PeerId>;
    /// Returns when a byte last arrived from a member.
    fn heard(&self, member: PeerId) -> Option<Instant>;
    /// Returns matching files that the neighbours list, in the order of names, with names greater
    /// than `behind`: at most [`MOST_AT_ONCE`], and all there are if it returns fewer.
    fn remembered(&self, pattern: &Pattern, behind: Option<&Name>) -> Vec<Variant>;
    /// Returns the same of this peer's own listing, if that is wanted.
    fn own(&self, pattern: &Pattern, behind: Option<&Name>) -> Vec<Variant>;
    /// Returns the neighbours as rows of a table.
    fn members(&self) -> Vec<MemberRow>;
}

/// A survey in progress.
#[derive(Debug)]
pub struct Survey {
    subject: Subject,
    only: Only,
    started: Instant,
    /// Whether this peer is a visitor, which knows no other member than the tracker.
    is_visitor: bool,
    stage: Stage,
    /// The members that are asked.
    asked: BTreeMap<PeerId, Asked>,
    remembered: Stream,
    own: Stream,
    /// Members that were found and not told yet.
    members: BTreeMap<PeerId, MemberRow>,
    /// Whether the caller has taken the last findings.
    is_wanted: bool,
    coverage: Coverage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Beginning,
    Asking,
    Done,
}

/// A member that is asked for one page after another.
#[derive(Debug)]
struct Asked {
    /// How to reach it, if it is an unlisted member, which answers only for itself.
    unlisted: Option<Holder>,
    files: Stream,
    behind: Option<PeerId>,
    pages: usize,
    state: State,
    /// When its last page arrived.
    progress: Instant,
    /// How often it was too busy since then.
    rests: u32,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// The next page may be asked for.
    Ready,
    /// A page was asked for at `since`.
    Waiting {
        since: Instant,
        look_at: Instant,
    },
    /// The member was too busy, and is asked again at `until`.
    Resting {
        until: Instant,
    },
    Over,
}

/// Some of the findings of a survey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Findings {
    /// Files in the order of their names. All files of one name are in one part.
    Files(Vec<Variant>),
    /// Members in the order of their ids.
    Members(Vec<MemberRow>),
}

/// How complete the findings of a survey are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coverage {
    /// Everything that the tracker knows.
    Whole,
    /// The tracker has told only a part of what it knows.
    TrackerInPart,
    /// The tracker has told only a part of what it knows, and was then too busy.
    TrackerBusy,
    /// The tracker could not be asked: only what the neighbours have.
    #[default]
    NeighboursOnly,
    /// The tracker could not be asked, and a visitor has no neighbours: the findings mean nothing.
    NoAnswer,
}

impl Coverage {
    /// Whether the tracker has told only a part.
    pub fn is_cut(self) -> bool {
        matches!(self, Self::TrackerInPart | Self::TrackerBusy)
    }

    /// Whether the tracker was asked.
    pub fn has_asked_tracker(self) -> bool {
        match self {
            Self::Whole | Self::TrackerInPart | Self::TrackerBusy => true,
            Self::NeighboursOnly | Self::NoAnswer => false,
        }
    }
}

/// What the caller of a survey has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SurveyAction {
    /// Ask this member, over a new link if there is none and the member has an address.
    Ask(Holder, Find),
    /// Tell these findings. The next part follows after [`taken`](Survey::taken).
    Tell(Findings),
    /// The survey is over.
    Finish(Coverage),
}

impl Survey {
    /// Starts a survey; `only` restricts the findings.
    pub fn new(now: Instant, subject: Subject, only: Only) -> Self {
        Self {
            subject,
            only,
            started: now,
            is_visitor: false,
            stage: Stage::Beginning,
            asked: BTreeMap::new(),
            remembered: Stream::default(),
            own: Stream::default(),
            members: BTreeMap::new(),
            is_wanted: true,
            coverage: Coverage::NeighboursOnly,
        }
    }

    /// Makes it a visitor's survey, which gets no answer without the tracker.
    #[must_use]
    pub fn by_visitor(mut self) -> Self {
        self.is_visitor = true;
        self
    }

    /// Returns how complete the findings are, as far as known.
    pub fn coverage(&self) -> Coverage {
        self.coverage
    }

    /// The caller has taken the last findings, and wants more.
    pub fn taken(&mut self) {
        self.is_wanted = true;
    }

    /// Returns what to do now. The caller repeats it until nothing is returned: after every
    /// answer, at every deadline, and whenever the surroundings have changed.
    pub fn advance(&mut self, now: Instant, around: &dyn Territory) -> Vec<SurveyAction> {
        match self.stage {
            Stage::Beginning if self.is_awaiting_tracker(now, around) => return Vec::new(),
            Stage::Beginning => self.begin(now, around),
            Stage::Asking => self.give_up_the_silent(now, around),
            Stage::Done => return Vec::new(),
        }
        if self.has_lost_tracker() {
            self.do_without_tracker(now, around);
        }
        let mut actions = Vec::new();
        if self.is_wanted {
            self.recall(around);
            if let Some(part) = self.next_part() {
                self.is_wanted = false;
                actions.push(SurveyAction::Tell(part));
            }
        }
        actions.extend(self.questions(now));
        if actions.is_empty() && self.is_over() {
            self.stage = Stage::Done;
            actions.push(SurveyAction::Finish(self.coverage));
        }
        actions
    }

    /// Returns when to call [`advance`](Self::advance) even if nothing happens.
    pub fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Beginning => Some(self.started + PAGE_WITHIN),
            Stage::Asking => self.asked.values().filter_map(Asked::due).min(),
            Stage::Done => None,
        }
    }

    /// A member has answered this question.
    pub fn found(&mut self, now: Instant, who: PeerId, asked: &Find, found: Found) {
        let (subject, only) = (&self.subject, &self.only);
        let Some(member) = self.asked.get_mut(&who).filter(|asked| asked.is_waiting()) else {
            return;
        };
        member.on_page(now);
        let mut more = found.more && member.pages < member.most_pages();
        if let Query::Members(behind) = asked.query {
            let last = found.members.last().map(|row| row.member.id);
            // A member whose pages make no progress would be asked for ever.
            more &= last > behind;
            member.behind = last.or(behind);
            let rows = found.members.into_iter();
            self.members.extend(rows.map(|row| (row.member.id, row)));
        } else {
            let page = Page::new(asked.after.as_ref(), &found.variants, found.behind, more);
            let itself = member.unlisted.as_ref().map(|_| who);
            let variants = found.variants.into_iter().map(|mut variant| {
                let speaks_for = |id| itself.is_none_or(|itself| itself == id);
                variant.holders.retain(|holder| speaks_for(holder.id));
                variant
            });
            let is_wanted = |variant| wanted(subject, only, variant);
            more = member.files.push(page, variants.filter_map(is_wanted));
        }
        if !more {
            member.state = State::Over;
            if found.more {
                self.coverage = self.coverage.in_part();
            }
        }
        if self.asked.len() == 1 && self.coverage.has_asked_tracker() {
            self.take_unlisted(now, found.unlisted, found.more_unlisted);
        }
    }

    /// Also asks the unlisted members that the tracker names. It names them with its first page, so
    /// no findings were told yet.
    fn take_unlisted(&mut self, now: Instant, named: Vec<Holder>, are_more: bool) {
        if are_more {
            self.coverage = self.coverage.in_part();
        }
        let from = self.only.from.as_deref();
        let wanted = named
            .into_iter()
            .filter(|member| from.is_none_or(|from| is_called(member, from)));
        for member in wanted.take(MOST_UNLISTED) {
            let asked = || Asked {
                unlisted: Some(member.clone()),
                ..Asked::new(now)
            };
            self.asked.entry(member.id).or_insert_with(asked);
        }
    }

    /// A member is too busy to answer now. Unless it was asked for its own listing, it is asked
    /// again, for a while.
    pub fn on_busy(&mut self, now: Instant, who: PeerId) {
        let Some(member) = self.asked.get_mut(&who).filter(|asked| asked.is_waiting()) else {
            return;
        };
        if member.unlisted.is_some() {
            return self.no_answer(who);
        }
        if !member.rest(now) {
            member.give_up();
            self.coverage = match self.coverage {
                Coverage::Whole => Coverage::TrackerBusy,
                coverage => coverage.in_part(),
            };
        }
    }

    /// A member will not answer.
    pub fn no_answer(&mut self, who: PeerId) {
        if let Some(member) = self.asked.get_mut(&who).filter(|asked| asked.is_waiting()) {
            member.give_up();
            self.coverage = self.coverage.in_part();
        }
    }

    /// Whether to wait for the tracker, since a link to it may come up soon.
    fn is_awaiting_tracker(&self, now: Instant, around: &dyn Territory) -> bool {
        around.tracker() == TrackerState::Trying && now < self.started + PAGE_WITHIN
    }

    fn begin(&mut self, now: Instant, around: &dyn Territory) {
        self.stage = Stage::Asking;
        if matches!(self.subject, Subject::Members) {
            let rows = around.members().into_iter();
            self.members = rows.map(|row| (row.member.id, row)).collect();
        }
        match around.tracker() {
            TrackerState::Up(tracker) => {
                self.coverage = Coverage::Whole;
                self.asked = BTreeMap::from([(tracker, Asked::new(now))]);
            }
            TrackerState::Trying | TrackerState::Down => self.do_without_tracker(now, around),
        }
    }

    fn do_without_tracker(&mut self, now: Instant, around: &dyn Territory) {
        self.coverage = if self.is_visitor {
            Coverage::NoAnswer
        } else {
            Coverage::NeighboursOnly
        };
        let members = match &self.subject {
            // This node knows its neighbours without asking them.
            Subject::Members => Vec::new(),
            Subject::Files(_) => around.neighbours(),
        };
        let asked = members.into_iter().map(|member| (member, Asked::new(now)));
        self.asked = asked.collect();
    }

    /// Whether the tracker was asked and has not answered at all.
    fn has_lost_tracker(&self) -> bool {
        // Others are asked only once the tracker has named them.
        let mut asked = self.asked.values();
        let is_lost = |asked: &Asked| asked.is_over() && asked.pages == 0;
        self.coverage == Coverage::TrackerInPart
            && asked.len() == 1
            && asked.all(|asked| asked.unlisted.is_none() && is_lost(asked))
    }

    fn give_up_the_silent(&mut self, now: Instant, around: &dyn Territory) {
        for (id, member) in &mut self.asked {
            if let State::Waiting { since, look_at } = &mut member.state
                && *look_at <= now
            {
                if member.unlisted.is_none() {
                    let sign = around.heard(*id).map_or(*since, |heard| heard.max(*since));
                    *look_at = (sign + PAGE_WITHIN).min(*since + PAGE_AT_MOST);
                }
                if *look_at <= now {
                    member.give_up();
                    self.coverage = self.coverage.in_part();
                }
            }
        }
    }

    /// Reads more from memory once all that was read has been told.
    fn recall(&mut self, around: &dyn Territory) {
        let Subject::Files(pattern) = &self.subject else {
            self.remembered.end();
            self.own.end();
            return;
        };
        let neighbours: Memory<'_> = &|behind| around.remembered(pattern, behind);
        let own: Memory<'_> = &|behind| around.own(pattern, behind);
        for (stream, memory) in [(&mut self.remembered, neighbours), (&mut self.own, own)] {
            while stream.is_drained() && stream.has_more() {
                let behind = stream.reached().cloned();
                let variants = memory(behind.as_ref());
                let more = variants.len() >= MOST_AT_ONCE;
                let page = Page::new(behind.as_ref(), &variants, None, more);
                let is_wanted = |variant| wanted(&self.subject, &self.only, variant);
                stream.push(page, variants.into_iter().filter_map(is_wanted));
            }
        }
    }

    /// Returns what can be told now: the findings to which nothing can be added any more.
    fn next_part(&mut self) -> Option<Findings> {
        if matches!(self.subject, Subject::Members) {
            return self.next_members();
        }
        let streams = self.asked.values().map(|asked| &asked.files);
        let streams = streams.chain([&self.remembered, &self.own]);
        let open = streams.filter(|stream| stream.has_more());
        let up_to = match open.map(Stream::reached).min() {
            // Nothing is known of one source yet.
            Some(None) => return None,
            Some(Some(name)) => Some(name.clone()),
            None => None,
        };
        let up_to = up_to.as_ref();
        let mut files: BTreeMap<Key, Variant> = BTreeMap::new();
        let asked = self.asked.values_mut().map(|asked| &mut asked.files);
        for variant in asked
            .chain([&mut self.remembered])
            .flat_map(|stream| stream.take(up_to))
        {
            files
                .entry(key(&variant))
                .and_modify(|known| add_holders(known, variant.holders.clone()))
                .or_insert(variant);
        }
        // This peer comes last among the holders of a file, and its files come last among those of
        // a name.
        let mut only_here = Vec::new();
        for own in self.own.take(up_to) {
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
        (!files.is_empty()).then_some(Findings::Files(files))
    }

    fn next_members(&mut self) -> Option<Findings> {
        let open = self.asked.values().filter(|asked| !asked.is_over());
        let rest = match open.map(|asked| asked.behind).min() {
            Some(None) => return None,
            Some(Some(behind)) => {
                let mut rest = self.members.split_off(&behind);
                if let Some(row) = rest.remove(&behind) {
                    self.members.insert(behind, row);
                }
                rest
            }
            None => BTreeMap::new(),
        };
        let told = std::mem::replace(&mut self.members, rest);
        (!told.is_empty()).then(|| Findings::Members(told.into_values().collect()))
    }

    /// Returns the questions to ask now: for the next page of each member whose files have all been
    /// passed to the caller.
    fn questions(&mut self, now: Instant) -> Vec<SurveyAction> {
        let mut asks = Vec::new();
        for (id, member) in &mut self.asked {
            let is_due = match member.state {
                State::Ready => member.files.is_drained(),
                State::Resting { until } => until <= now,
                State::Waiting { .. } | State::Over => false,
            };
            if !is_due {
                continue;
            }
            let within = match member.unlisted {
                Some(_) => UNLISTED_WITHIN,
                None => PAGE_WITHIN,
            };
            member.state = State::Waiting {
                since: now,
                look_at: now + within,
            };
            let query = match &self.subject {
                Subject::Files(pattern) => Query::Pattern(pattern.text().to_owned()),
                Subject::Members => Query::Members(member.behind),
            };
            let find = Find {
                after: member.files.reached().cloned(),
                most: u32::try_from(Found::MAX_VARIANTS).ok(),
                ..Find::new(query, u8::from(member.unlisted.is_none()))
            };
            let member = member.unlisted.clone().unwrap_or_else(|| Holder::bare(*id));
            asks.push(SurveyAction::Ask(member, find));
        }
        asks
    }

    fn is_over(&self) -> bool {
        let is_told = |stream: &Stream| !stream.has_more() && stream.is_drained();
        let is_over = |asked: &Asked| asked.is_over() && asked.files.is_drained();
        self.asked.values().all(is_over)
            && is_told(&self.remembered)
            && is_told(&self.own)
            && self.members.is_empty()
    }
}

impl Asked {
    fn new(now: Instant) -> Self {
        Self {
            unlisted: None,
            files: Stream::default(),
            behind: None,
            pages: 0,
            state: State::Ready,
            progress: now,
            rests: 0,
        }
    }

    fn most_pages(&self) -> usize {
        match self.unlisted {
            Some(_) => MOST_PAGES_OF_UNLISTED,
            None => MOST_PAGES,
        }
    }

    fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting { .. })
    }

    fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    fn due(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { look_at, .. } => Some(look_at),
            State::Resting { until } => Some(until),
            State::Ready | State::Over => None,
        }
    }

    fn on_page(&mut self, now: Instant) {
        self.state = State::Ready;
        self.pages += 1;
        self.progress = now;
        self.rests = 0;
    }

    /// Lets a busy member rest. Returns `false` if it has been too busy for too long.
    fn rest(&mut self, now: Instant) -> bool {
        let (first, longest) = ASK_AGAIN;
        let wait = if self.rests == 0 { first } else { longest };
        let until = now + wait;
        if until > self.progress + BUSY_FOR {
            return false;
        }
        self.rests += 1;
        self.state = State::Resting { until };
        true
    }

    fn give_up(&mut self) {
        self.state = State::Over;
        self.files.end();
    }
}

impl Coverage {
    /// Returns the coverage after something turned out to be missing.
    fn in_part(self) -> Self {
        match self {
            Self::Whole => Self::TrackerInPart,
            less => less,
        }
    }
}

/// Returns the file with the wanted holders, if it was asked for. Members may answer anything, but
/// the caller gets only what it asked for.
fn wanted(subject: &Subject, only: &Only, mut variant: Variant) -> Option<Variant> {
    only.keep(&mut variant);
    let is_about = match subject {
        Subject::Files(pattern) => pattern.matches(&variant.entry.name),
        Subject::Members => false,
    };
    (is_about && !variant.holders.is_empty()).then_some(variant)
}

fn key(variant: &Variant) -> Key {
    let entry = &variant.entry;
    (entry.name.clone(), entry.length, entry.root)
}

#[cfg(test)]
mod tests;

//! Fetching small files: from whom next.
//!
//! [`Fetches`] owns which holders of each wanted file have been tried, how many
//! are asked at once, and how long each is waited for. The bytes never come by
//! here: the shell sends them from link to disk and says what became of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use thorp_wire::frame::{Find, Found, Holder, Query, Reason};
use thorp_wire::{Content, PeerId};

use crate::time::Instant;

/// A holder that sends nothing for this long is passed over.
const SILENT: Duration = Duration::from_secs(10);
/// A holder that has not sent the file after this long is passed over.
const SLOW: Duration = Duration::from_secs(60);
/// Files under way at once, in all and from one holder.
const AT_ONCE: usize = 128;
const AT_ONCE_FROM_ONE: usize = 32;

/// Names a wanted file, for as long as it is wanted. Chosen by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchId(pub u64);

/// A file that is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What it is.
    pub content: Content,
    /// Who has it.
    pub holders: Vec<Holder>,
    /// Whether others may be looked for when none of these delivers.
    pub widen: bool,
}

/// All files that are wanted.
#[derive(Debug, Default)]
pub struct Fetches {
    fetches: BTreeMap<FetchId, Fetch>,
    waiting: VecDeque<FetchId>,
    busy: BTreeMap<PeerId, usize>,
    active: usize,
}

#[derive(Debug)]
struct Fetch {
    content: Content,
    untried: Vec<Holder>,
    tried: BTreeSet<PeerId>,
    state: State,
    widen: bool,
    failure: Option<Failure>,
}

#[derive(Debug)]
enum State {
    Waiting,
    Asking { holder: PeerId, since: Instant },
    Widening { until: Instant },
}

/// What to do for the fetches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask this holder for this content. Where there is no link to it, make one.
    Get(FetchId, Holder, Content),
    /// Ask the tracker who else has it.
    Widen(FetchId, Find),
    /// It cannot be had.
    Fail(FetchId, Failure),
}

/// Why a file could not be fetched. Where several holders failed in different
/// ways, the one that says most.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// Whoever had it has it no more.
    NotHere,
    /// A holder had too much to do.
    Busy,
    /// A holder could not read it.
    Unreadable,
    /// It is too large for this way of fetching.
    TooLarge,
    /// No holder could be reached.
    Unreachable(String),
    /// A holder was reached and said nothing.
    Silent(PeerId),
    /// A holder sent something else.
    Mismatch(PeerId),
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Busy => Self::Busy,
            Reason::TooLarge => Self::TooLarge,
            Reason::Unreadable => Self::Unreadable,
            Reason::NotHere | Reason::Unknown | Reason::NotInvited | Reason::NotServed => {
                Self::NotHere
            }
        }
    }
}

impl Fetches {
    /// A file is wanted.
    pub fn want(&mut self, id: FetchId, wanted: Wanted) {
        let fetch = Fetch {
            content: wanted.content,
            untried: wanted.holders,
            tried: BTreeSet::new(),
            state: State::Waiting,
            widen: wanted.widen,
            failure: None,
        };
        self.fetches.insert(id, fetch);
        self.waiting.push_back(id);
    }

    /// A file is wanted no more: it is there, or nobody waits for it.
    pub fn drop(&mut self, id: FetchId) {
        if let Some(fetch) = self.fetches.remove(&id) {
            self.release(&fetch.state);
        }
    }

    /// The content of a fetch under way from this holder.
    pub fn asked_of(&self, id: FetchId) -> Option<PeerId> {
        match self.fetches.get(&id)?.state {
            State::Asking { holder, .. } => Some(holder),
            State::Waiting | State::Widening { .. } => None,
        }
    }

    /// This holder did not deliver: the next one's turn.
    pub fn failed(&mut self, id: FetchId, failure: Failure) {
        let Some(fetch) = self.fetches.get_mut(&id) else {
            return;
        };
        if fetch.failure.as_ref().is_none_or(|known| *known < failure) {
            fetch.failure = Some(failure);
        }
        let state = std::mem::replace(&mut fetch.state, State::Waiting);
        self.release(&state);
        self.waiting.push_front(id);
    }

    /// The tracker answered who else has it; nothing, if it did not.
    pub fn widened(&mut self, id: FetchId, found: Option<Found>) {
        let Some(fetch) = self.fetches.get_mut(&id) else {
            return;
        };
        if !matches!(fetch.state, State::Widening { .. }) {
            return;
        }
        let variants = found.unwrap_or_default().variants;
        for holder in variants.into_iter().flat_map(|variant| variant.holders) {
            if !fetch.tried.contains(&holder.id) && !fetch.untried.iter().any(|h| h.id == holder.id)
            {
                fetch.untried.push(holder);
            }
        }
        fetch.state = State::Waiting;
        self.waiting.push_front(id);
    }

    /// What is to be done now. `linked` tells to whom there is a link, `heard`
    /// when a byte last came from somebody.
    pub fn advance(
        &mut self,
        now: Instant,
        linked: &dyn Fn(PeerId) -> bool,
        heard: &dyn Fn(PeerId) -> Option<Instant>,
    ) -> Vec<Action> {
        self.pass_over_the_silent(now, heard);
        let mut actions = Vec::new();
        let mut crowded = VecDeque::new();
        while self.active < AT_ONCE && crowded.len() < AT_ONCE {
            let Some(id) = self.waiting.pop_front() else {
                break;
            };
            match self.start(now, id, linked) {
                Started::Crowded => crowded.push_back(id),
                Started::Gone => {}
                Started::With(action) => actions.push(action),
            }
        }
        crowded.append(&mut self.waiting);
        self.waiting = crowded;
        actions
    }

    /// When [`advance`](Self::advance) has something to do even if nothing happens.
    pub fn deadline(&self, heard: &dyn Fn(PeerId) -> Option<Instant>) -> Option<Instant> {
        let until = |fetch: &Fetch| match fetch.state {
            State::Waiting => None,
            State::Asking { holder, since } => Some(patience(since, heard(holder))),
            State::Widening { until } => Some(until),
        };
        self.fetches.values().filter_map(until).min()
    }

    fn start(&mut self, now: Instant, id: FetchId, linked: &dyn Fn(PeerId) -> bool) -> Started {
        let Some(fetch) = self.fetches.get_mut(&id) else {
            return Started::Gone;
        };
        if fetch.untried.is_empty() {
            if std::mem::take(&mut fetch.widen) {
                fetch.state = State::Widening {
                    until: now + SILENT,
                };
                let find = Find {
                    query: Query::Content(fetch.content),
                    hops: 1,
                    hash_now: false,
                    after: None,
                };
                return Started::With(Action::Widen(id, find));
            }
            let failure = fetch.failure.take().unwrap_or(Failure::NotHere);
            self.fetches.remove(&id);
            return Started::With(Action::Fail(id, failure));
        }
        let busy = &self.busy;
        let burden = |holder: &Holder| {
            let files = busy.get(&holder.id).copied().unwrap_or(0);
            (files >= AT_ONCE_FROM_ONE, !linked(holder.id), files)
        };
        let easiest = (0..fetch.untried.len()).min_by_key(|i| burden(&fetch.untried[*i]));
        let Some(easiest) = easiest else {
            return Started::Gone;
        };
        let (crowded, ..) = burden(&fetch.untried[easiest]);
        if crowded {
            return Started::Crowded;
        }
        let holder = fetch.untried.remove(easiest);
        fetch.tried.insert(holder.id);
        fetch.state = State::Asking {
            holder: holder.id,
            since: now,
        };
        *self.busy.entry(holder.id).or_default() += 1;
        self.active += 1;
        Started::With(Action::Get(id, holder, fetch.content))
    }

    fn pass_over_the_silent(&mut self, now: Instant, heard: &dyn Fn(PeerId) -> Option<Instant>) {
        let mut silent = Vec::new();
        let mut unwidened = Vec::new();
        for (id, fetch) in &self.fetches {
            match fetch.state {
                State::Asking { holder, since } if patience(since, heard(holder)) <= now => {
                    silent.push((*id, holder))
                }
                State::Widening { until } if until <= now => unwidened.push(*id),
                _ => {}
            }
        }
        for (id, holder) in silent {
            self.failed(id, Failure::Silent(holder));
        }
        for id in unwidened {
            self.widened(id, None);
        }
    }

    fn release(&mut self, state: &State) {
        let State::Asking { holder, .. } = state else {
            return;
        };
        self.active -= 1;
        if let Some(busy) = self.busy.get_mut(holder) {
            *busy -= 1;
            if *busy == 0 {
                self.busy.remove(holder);
            }
        }
    }
}

enum Started {
    With(Action),
    /// Every holder has enough to do.
    Crowded,
    Gone,
}

/// A holder is waited for as long as bytes keep coming from it, up to a limit:
/// they might be about something else.
fn patience(since: Instant, heard: Option<Instant>) -> Instant {
    let last_sign = heard.map_or(since, |heard| heard.max(since));
    (last_sign + SILENT).min(since + SLOW)
}

#[cfg(test)]
mod tests;

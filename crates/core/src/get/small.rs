//! Fetching small files: from which holder next.
//!
//! [`Fetches`] owns which holders of each wanted file have been tried; how many
//! are asked of one at once, and how long it is waited for, is decided by its
//! [`AskedHolder`]. The bytes never come by here: the shell says that it has them, is
//! told whether to store them, and says what became of them.

mod asked;
mod fetch;
mod not_sent;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use thorp_wire::frame::{Find, Found, Holder, Query};
use thorp_wire::merkle::{Hash, leaf_hash};
use thorp_wire::{Content, PeerId};

use super::io::{FetchId, Storage};
use crate::swarm::Awaited;
use crate::time::Instant;
pub use asked::LinkTo;
use asked::{AskedHolder, SILENT};
use fetch::{Fetch, State};
pub use not_sent::NotSent;

/// Files under way at once, in all: those whose holders the tracker is asked
/// for among them, and those that are being stored.
const AT_ONCE: usize = 128;
/// How many members are remembered that were passed over.
const MOST_MUTE: usize = 1000;

/// A file that is wanted.
#[derive(Clone, Debug)]
pub struct WantedFile {
    /// What it is.
    pub content: Content,
    /// Who has it.
    pub holders: Vec<Holder>,
    /// Whether others may be looked for when none of these delivers.
    pub widen: bool,
}

/// All files that are wanted.
///
/// Invariant: a fetch is in `under_way`, or being stored, or in `waiting`, or in
/// the crowds of all its holders that may be asked next; `asked` count those
/// under way that are asked of each holder. After [`advance`](Self::advance)
/// no holder with a crowd has room for its first. (Queues may also hold numbers of
/// fetches that have started elsewhere or were dropped; they are passed over.)
#[derive(Debug, Default)]
pub struct Fetches {
    wanted: BTreeMap<FetchId, Fetch>,
    waiting: VecDeque<FetchId>,
    /// Those that wait for a place at this holder or another, because all had
    /// enough to do.
    crowding: BTreeMap<PeerId, VecDeque<FetchId>>,
    /// Those that a holder or the tracker was asked for, and when to look at them.
    under_way: BTreeSet<(Instant, FetchId)>,
    /// Holders that files were asked of, as long as any file is wanted.
    asked: BTreeMap<PeerId, AskedHolder>,
    /// How many are being stored.
    storing: usize,
    /// Who sent something else than it listed. They are asked last.
    liars: BTreeSet<PeerId>,
    /// Who was passed over for others, since it sent nothing, or next to nothing. They are
    /// asked after these until a whole file has come from them, or one that lists
    /// everything would hold up each get anew.
    mute: BTreeSet<PeerId>,
}

/// What to do for the fetches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask this holder for this content. Where there is no link to it, make one.
    Get(FetchId, Holder, Content),
    /// Ask the tracker who else has it.
    Widen(FetchId, Find),
    /// It cannot be had.
    Fail(FetchId, NotSent),
}

impl Fetches {
    /// A file is wanted.
    pub fn want(&mut self, id: FetchId, wanted: WantedFile) {
        self.drop(id);
        let fetch = Fetch {
            content: wanted.content,
            untried: wanted.holders.into_iter().filter(has_all).collect(),
            tried: BTreeSet::new(),
            state: State::Waiting,
            widen: wanted.widen,
            failure: None,
            busy: None,
            passed_over: BTreeSet::new(),
        };
        self.wanted.insert(id, fetch);
        self.waiting.push_back(id);
    }

    /// A file is wanted no more: it is there, or its get is over. Whether it was wanted.
    pub fn drop(&mut self, id: FetchId) -> bool {
        let Some(fetch) = self.wanted.remove(&id) else {
            return false;
        };
        // Where it is queued its number stays, and is passed over in its turn.
        self.stopped(id, &fetch.state);
        true
    }

    /// A file is wanted no more, unless its bytes have come. Whether it was dropped.
    pub fn drop_unless_it_came(&mut self, id: FetchId) -> bool {
        let fetch = self.wanted.get(&id);
        let is_to_come = |fetch: &Fetch| !matches!(fetch.state, State::Storing { .. });
        fetch.is_some_and(is_to_come) && self.drop(id)
    }

    /// From which holder a file is awaited at this moment.
    pub fn asked_of(&self, id: FetchId) -> Option<PeerId> {
        match &self.wanted.get(&id)?.state {
            State::Asking { holder, .. } => Some(holder.id),
            State::Waiting | State::Widening { .. } | State::Storing { .. } => None,
        }
    }

    /// From which holders these are awaited, and since when these have sent no byte of any
    /// file; nothing, where no holder is asked for one of them.
    pub fn awaited(&self, now: Instant, files: impl Iterator<Item = FetchId>) -> Option<Awaited> {
        let mut from: BTreeMap<PeerId, Holder> = BTreeMap::new();
        let mut came = None;
        for file in files {
            if let Some(Fetch {
                state: State::Asking { holder, ask, .. },
                ..
            }) = self.wanted.get(&file)
            {
                let asked = self.asked.get(&holder.id);
                came = came.max(asked.map(|asked| asked.delivered_or_asked(*ask)));
                from.entry(holder.id).or_insert_with(|| holder.clone());
            }
        }
        Some(Awaited {
            silent: now - came?,
            from: from.into_values().collect(),
        })
    }

    /// Whether any file is awaited from this member.
    pub fn is_asking(&self, id: PeerId) -> bool {
        self.asked.get(&id).is_some_and(AskedHolder::is_asked)
    }

    /// Bytes have come of a file that is not whole yet.
    pub fn flowing(&mut self, now: Instant, from: PeerId, bytes: u32) {
        if let Some(asked) = self.asked.get_mut(&from) {
            asked.flowing(now, bytes);
        }
    }

    /// Bytes for a file have come. Whether to store them: late ones from a holder
    /// that was passed over are as good as any, but one file is stored once.
    pub fn arrived(&mut self, now: Instant, id: FetchId, from: Holder) -> bool {
        self.mute.remove(&from.id);
        let Some(fetch) = self.wanted.get_mut(&id) else {
            return false;
        };
        let length = fetch.content.length;
        let asked = self.asked.get_mut(&from.id);
        if matches!(fetch.state, State::Storing { .. }) {
            // Should those that came first be wrong, it can be asked again.
            if fetch.tried.remove(&from.id) {
                fetch.untried.push(from);
            }
            if let Some(asked) = asked {
                asked.on_late(now, length);
            }
            return false;
        }
        let sender = from.id;
        fetch.take_late_answer(sender);
        let before = std::mem::replace(&mut fetch.state, State::Storing { from });
        self.storing += 1;
        match (asked, before) {
            (
                Some(asked),
                State::Asking {
                    holder,
                    ask,
                    look_at,
                },
            ) if holder.id == sender => {
                asked.on_file(now, ask);
                self.under_way.remove(&(look_at, id));
            }
            (asked, before) => {
                if let Some(asked) = asked {
                    asked.on_late(now, length);
                }
                self.stopped(id, &before);
            }
        }
        true
    }

    /// What was stored was what it should be (or there was no place for it), and
    /// the fetch is over; or it was not, and the next holder's turn has come.
    /// Returns who sent it, if it was still wanted.
    pub fn stored(&mut self, id: FetchId, storage: Storage) -> Option<Holder> {
        let fetch = self.wanted.get_mut(&id)?;
        let State::Storing { from } = &fetch.state else {
            return None;
        };
        let from = from.clone();
        if storage == Storage::Mismatch {
            fetch.failed(NotSent::Mismatch(from.id));
            self.wait_again(id);
        } else {
            self.drop(id);
        }
        Some(from)
    }

    /// This holder did not deliver: the next one's turn. Of a holder that was passed
    /// over it is noted; from another one that is not awaited any more, it is no news.
    pub fn failed(&mut self, id: FetchId, holder: PeerId, failure: NotSent) {
        if self.asked_of(id) != Some(holder) {
            let fetch = self.wanted.get_mut(&id);
            if let Some(fetch) = fetch.filter(|_| failure != NotSent::Busy)
                && fetch.take_late_answer(holder)
            {
                fetch.failed(failure);
            }
            return;
        }
        if let Some(fetch) = self.wanted.get_mut(&id) {
            if failure == NotSent::Busy
                && let State::Asking { holder, .. } = &fetch.state
            {
                // It is asked again once it has rested.
                fetch.tried.remove(&holder.id);
                fetch.untried.push(holder.clone());
                if let Some(asked) = self.asked.get_mut(&holder.id) {
                    asked.on_busy();
                }
            } else {
                fetch.failed(failure);
            }
        }
        self.wait_again(id);
    }

    /// A holder sent something else than it listed: it is asked last from now on.
    pub fn lied(&mut self, liar: PeerId) {
        self.liars.insert(liar);
    }

    /// Whether a holder once sent something else than it listed.
    pub fn is_liar(&self, id: PeerId) -> bool {
        self.liars.contains(&id)
    }

    /// The tracker answered who else has it; nothing, if it did not.
    pub fn widened(&mut self, id: FetchId, found: Option<Found>) {
        let Some(fetch) = self.wanted.get_mut(&id) else {
            return;
        };
        let is_awaited = match &fetch.state {
            State::Widening { .. } => true,
            // Its holder is slow: there may be a better one.
            State::Asking { .. } => false,
            State::Waiting | State::Storing { .. } => return,
        };
        let variants = found.unwrap_or_default().variants;
        let holders = variants.into_iter().flat_map(|variant| variant.holders);
        for holder in holders.filter(has_all) {
            if !fetch.tried.contains(&holder.id) && !fetch.untried.iter().any(|h| h.id == holder.id)
            {
                fetch.untried.push(holder);
            }
        }
        if is_awaited {
            self.wait_again(id);
        } else if let State::Asking { look_at, .. } = &mut fetch.state {
            // At once: for better ones the slow one is passed over.
            self.under_way.remove(&(*look_at, id));
            *look_at = Instant::default();
            self.under_way.insert((*look_at, id));
        }
    }

    /// What is to be done now. `link_to` tells to which holders there is a link, `heard` when
    /// a byte last came from one.
    pub fn advance(
        &mut self,
        now: Instant,
        link_to: &dyn Fn(PeerId) -> LinkTo,
        heard: &dyn Fn(PeerId) -> Option<Instant>,
    ) -> Vec<Action> {
        let mut actions = self.pass_over_the_silent(now, heard);
        for asked in self.asked.values_mut() {
            asked.begin_rest(now);
        }
        while self.under_way.len() + self.storing < AT_ONCE {
            let Some(id) = self
                .waiting
                .pop_front()
                .or_else(|| self.next_of_a_crowd(now))
            else {
                break;
            };
            match self.start(now, id, link_to) {
                Started::With(action) => actions.push(action),
                Started::Crowded(holders) => {
                    for holder in holders {
                        self.crowding.entry(holder).or_default().push_back(id);
                    }
                }
                Started::Gone => {}
            }
        }
        if self.wanted.is_empty() {
            self.asked.clear();
        }
        actions
    }

    /// The first that waits for a holder that has room for it again.
    fn next_of_a_crowd(&mut self, now: Instant) -> Option<FetchId> {
        let (asked, wanted) = (&self.asked, &self.wanted);
        let has_room = |holder: &PeerId, crowd: &VecDeque<FetchId>| {
            let first = crowd.front().and_then(|first| wanted.get(first));
            first.is_none_or(|first| has_room(asked, now, *holder, first.content))
        };
        let mut crowds = self.crowding.iter_mut();
        let (holder, crowd) = crowds.find(|(holder, crowd)| has_room(holder, crowd))?;
        let holder = *holder;
        let next = crowd.pop_front();
        if crowd.is_empty() {
            self.crowding.remove(&holder);
        }
        next
    }

    /// When [`advance`](Self::advance) has something to do even if nothing happens.
    pub fn deadline(&self) -> Option<Instant> {
        let look_at = self.under_way.first().map(|(look_at, _)| *look_at);
        let crowded = self.crowding.keys();
        let rested = crowded.filter_map(|holder| self.asked.get(holder)?.rests_until());
        let has_place = self.under_way.len() + self.storing < AT_ONCE;
        look_at
            .into_iter()
            .chain(rested.filter(|_| has_place))
            .min()
    }

    /// Starts a fetch that was taken from the queue.
    fn start(&mut self, now: Instant, id: FetchId, link_to: &dyn Fn(PeerId) -> LinkTo) -> Started {
        let Some(fetch) = self.wanted.get_mut(&id) else {
            return Started::Gone;
        };
        if !matches!(fetch.state, State::Waiting) {
            return Started::Gone;
        }
        fetch.leave_the_busy(now, &self.asked);
        let (asked, liars, mute) = (&self.asked, &self.liars, &self.mute);
        let repute = |holder: &Holder| (liars.contains(&holder.id), mute.contains(&holder.id));
        let is_choice = fetch.untried.len() > 1;
        let burden = |holder: &Holder| {
            let files = asked.get(&holder.id).map_or(0, AskedHolder::files);
            let crowded = !has_room(asked, now, holder.id, fetch.content);
            let unlinked = link_to(holder.id) == LinkTo::Unlinked;
            // Of one there is no choice.
            let turn = is_choice.then(|| turn(fetch.content, holder.id));
            (repute(holder), crowded, unlinked, files, turn)
        };
        let easiest = (0..fetch.untried.len()).min_by_key(|i| burden(&fetch.untried[*i]));
        // Before one is asked that has sent nothing, others are looked for.
        let is_better = |i: &usize| !fetch.widen || !mute.contains(&fetch.untried[*i].id);
        let Some(easiest) = easiest.filter(is_better) else {
            if !std::mem::take(&mut fetch.widen) {
                let failure = fetch.failure.take().unwrap_or(NotSent::NotHere);
                self.wanted.remove(&id);
                return Started::With(Action::Fail(id, failure));
            }
            let until = now + SILENT;
            fetch.state = State::Widening { until };
            let find = who_else(fetch.content);
            self.under_way.insert((until, id));
            return Started::With(Action::Widen(id, find));
        };
        let (_, crowded, ..) = burden(&fetch.untried[easiest]);
        if crowded {
            // Its place comes up with whichever of them has room first; but not
            // with one of less repute, unless only such are left.
            let best = repute(&fetch.untried[easiest]);
            let next = fetch.untried.iter().filter(|holder| repute(holder) == best);
            return Started::Crowded(next.map(|holder| holder.id).collect());
        }
        let holder = fetch.untried.remove(easiest);
        fetch.tried.insert(holder.id);
        let may_have_others = fetch.widen || !fetch.untried.is_empty();
        let asked = self.asked.entry(holder.id);
        let asked = asked.or_insert_with(|| AskedHolder::new(now));
        let ask = asked.ask(now, fetch.content.length, link_to(holder.id));
        let patience = if may_have_others { ask.mute() } else { SILENT };
        let look_at = now + patience;
        fetch.state = State::Asking {
            holder: holder.clone(),
            ask,
            look_at,
        };
        self.under_way.insert((look_at, id));
        Started::With(Action::Get(id, holder, fetch.content))
    }

    /// Looks at those whose time has come. Who was heard in the meantime is
    /// given more of it.
    fn pass_over_the_silent(
        &mut self,
        now: Instant,
        heard: &dyn Fn(PeerId) -> Option<Instant>,
    ) -> Vec<Action> {
        let mut widens = Vec::new();
        while let Some((_, id)) = self.under_way.first().filter(|(at, _)| *at <= now).copied() {
            let Some(fetch) = self.wanted.get(&id) else {
                self.under_way.pop_first();
                continue;
            };
            match fetch.state {
                State::Asking { .. } => widens.extend(self.look_at_asked(now, id, heard)),
                State::Widening { .. } => self.widened(id, None),
                State::Waiting | State::Storing { .. } => {
                    self.under_way.pop_first();
                }
            }
        }
        widens
    }

    /// Looks at one that a holder was asked for: passes the holder over, gives it up, or waits on.
    /// Returns what else is to be done.
    fn look_at_asked(
        &mut self,
        now: Instant,
        id: FetchId,
        heard: &dyn Fn(PeerId) -> Option<Instant>,
    ) -> Option<Action> {
        let fetch = self.wanted.get_mut(&id)?;
        let State::Asking {
            holder,
            ask,
            look_at,
        } = &mut fetch.state
        else {
            return None;
        };
        let holder = holder.id;
        let Some(asked) = self.asked.get(&holder) else {
            self.under_way.pop_first();
            return None;
        };
        let mut until = asked.patience(*ask, heard(holder));
        let given_up_at = asked.given_up_at(*ask);
        let mute = &self.mute;
        let is_better = |other: &Holder| !mute.contains(&other.id);
        let has_better = fetch.untried.iter().any(is_better);
        if !fetch.untried.is_empty() {
            until = until.min(given_up_at);
        }
        let better_at = asked.passed_over_at(*ask);
        if has_better && better_at <= now && fetch.passed_over.insert(holder) {
            self.pass_over(id, holder);
            return None;
        }
        if until <= now {
            self.failed(id, holder, NotSent::Silent(holder));
            return None;
        }
        let mut widens = None;
        let mut next = until;
        if has_better && !fetch.passed_over.contains(&holder) {
            next = until.min(better_at);
        } else if fetch.widen && !has_better {
            next = until.min(better_at);
            if better_at <= now {
                // It goes on, unless there is a better one in a moment.
                fetch.widen = false;
                widens = Some(Action::Widen(id, who_else(fetch.content)));
                next = until.min(now + ask.mute());
            }
        }
        *look_at = next;
        self.under_way.pop_first();
        self.under_way.insert((next, id));
        widens
    }

    /// A holder has sent next to nothing, and there are others: these are asked first, and
    /// it again should they fail. What it sends meanwhile is as good as any.
    fn pass_over(&mut self, id: FetchId, silent: PeerId) {
        if self.mute.len() < MOST_MUTE {
            self.mute.insert(silent);
        }
        if let Some(fetch) = self.wanted.get_mut(&id)
            && let State::Asking { holder, .. } = &fetch.state
        {
            fetch.tried.remove(&silent);
            fetch.untried.push(holder.clone());
        }
        self.wait_again(id);
    }

    fn wait_again(&mut self, id: FetchId) {
        if let Some(fetch) = self.wanted.get_mut(&id) {
            let state = std::mem::replace(&mut fetch.state, State::Waiting);
            self.stopped(id, &state);
            self.waiting.push_front(id);
        }
    }

    /// Keeps the books when a fetch is no longer under way.
    fn stopped(&mut self, id: FetchId, state: &State) {
        let (look_at, asking) = match state {
            State::Waiting => return,
            State::Storing { .. } => {
                self.storing -= 1;
                return;
            }
            State::Asking {
                holder,
                ask,
                look_at,
            } => (*look_at, Some((holder.id, *ask))),
            State::Widening { until } => (*until, None),
        };
        self.under_way.remove(&(look_at, id));
        if let Some((holder, ask)) = asking
            && let Some(asked) = self.asked.get_mut(&holder)
        {
            asked.on_given_up(ask);
        }
    }
}

/// What came of starting a fetch.
enum Started {
    With(Action),
    /// Every holder that may be asked has enough to do: these are they.
    Crowded(Vec<PeerId>),
    /// It is not wanted any more, or is under way already.
    Gone,
}

/// Asks for all holders of a content that a member knows.
pub(super) fn who_else(content: Content) -> Find {
    Find::new(Query::Content(content), 1)
}

/// A holder of a part of a file cannot send it whole.
fn has_all(holder: &Holder) -> bool {
    !holder.partial
}

/// Among equals another holder comes first for each content, or the one with the lowest id
/// would be asked first for all of them.
fn turn(content: Content, holder: PeerId) -> Hash {
    let both = [*content.root.as_bytes(), *holder.as_bytes()];
    leaf_hash(both.as_flattened())
}

/// Whether this holder may be asked for this one now.
fn has_room(
    asked: &BTreeMap<PeerId, AskedHolder>,
    now: Instant,
    holder: PeerId,
    content: Content,
) -> bool {
    let asked = asked.get(&holder);
    asked.is_none_or(|asked| asked.has_room_for(now, content.length))
}

#[cfg(test)]
mod tests;

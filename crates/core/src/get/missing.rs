//! What a get misses: who is told, what is counted for its end, and what an answer
//! means for a name that was missed before.
//!
//! When such a name is asked for again is decided in [`again`](super::again).

use thorp_wire::frame::MAX_INLINE;

use super::again::Postponed;
use super::doing::Verdict;
use super::io::{
    Ending, FetchId, GetId, Missed, MissedKind, News, NotStored, Patience, WithoutRoom,
};
use super::{Action, Candidate, Get, Gets, OnItsWay, Step};
use crate::time::Instant;

/// What a request has missed.
#[derive(Debug, Default)]
pub(super) struct Misses {
    pub first: Option<(String, Missed)>,
    pub number: u64,
    pub kind: Option<MissedKind>,
    pub without_room: Option<WithoutRoom>,
    /// The shortest of the small files that had no room.
    shortest_without_room: Option<u64>,
}

impl Misses {
    /// Whether a file of this length need not be fetched: it is small, and one that is not longer
    /// had no room. Of a large one it is found out by itself, before any of it comes.
    pub fn leave_no_room_for(&self, length: u64) -> bool {
        let shortest = self.shortest_without_room;
        length <= MAX_INLINE && shortest.is_some_and(|shortest| length >= shortest)
    }

    fn has_no_room(&mut self, length: u64, why: NotStored) {
        let known = self.without_room.get_or_insert(WithoutRoom {
            first: why,
            bytes: 0,
        });
        known.bytes = known.bytes.saturating_add(length);
        if length <= MAX_INLINE {
            let shortest = self.shortest_without_room.get_or_insert(length);
            *shortest = length.min(*shortest);
        }
    }
}

impl Gets {
    pub(super) fn on_lost(&mut self, now: Instant, fetch: FetchId, why: Missed) {
        let Some(coming) = self.fetches.remove(&fetch) else {
            return;
        };
        if let Missed::NotStored(full @ NotStored::Full(_)) = why {
            self.on_full(coming.get, coming.item.content.length, full);
        }
        let name = coming.item.listed.as_str();
        if let Some(get) = self.requests.get_mut(&coming.get) {
            get.coming.remove(&fetch);
            let begun = Some(coming.item.content);
            if get.postponed.put(now, name, &why, begun, coming.late) {
                self.tell(coming.get, News::Postponed(fetch));
                return self.say_what_is_waited_for(coming.get, name, why, coming.late);
            }
        }
        let why = self.restless(&coming, why);
        self.miss(coming.get, coming.item.listed.to_string(), why);
        let over = self.over(coming.get);
        self.tell(coming.get, News::Lost { fetch, over });
        self.end_if_over(coming.get);
    }

    /// One that was begun anew because it had changed, and changed again, does not hold
    /// still.
    fn restless(&self, coming: &OnItsWay, why: Missed) -> Missed {
        let get = self.requests.get(&coming.get);
        let is_impatient = get.is_some_and(|get| get.postponed.is_impatient());
        match why {
            why if coming.late.is_none() => why,
            Missed::Changed(at) => Missed::Restless(at),
            why @ (Missed::Unfinished { .. } | Missed::NobodyShares(_)) if is_impatient => {
                let at = coming.holders.first().cloned();
                at.map_or(why, Missed::Restless)
            }
            why => why,
        }
    }

    /// The disk has no room for a file of this length. Other small files that are as long have none
    /// either: of these no more come.
    fn on_full(&mut self, id: GetId, length: u64, why: NotStored) {
        let Some(get) = self.requests.get_mut(&id) else {
            return;
        };
        get.misses.has_no_room(length, why);
        let fetches = &self.fetches;
        let has_no_room = |fetch: &&FetchId| {
            let coming = fetches.get(fetch);
            coming.is_some_and(|it| get.misses.leave_no_room_for(it.item.content.length))
        };
        let unfit: Vec<FetchId> = get.coming.iter().filter(has_no_room).copied().collect();
        if !unfit.is_empty() {
            self.out.push_back(Action::NoRoomFor(unfit));
        }
    }

    /// A small file that has not come is not fetched, for there is no room for it.
    pub(super) fn on_no_room_for(&mut self, now: Instant, fetch: FetchId) {
        let Some(coming) = self.fetches.get(&fetch) else {
            return;
        };
        self.count_without_room(coming.get, coming.item.content.length);
        self.on_lost(now, fetch, Missed::NoRoomEither);
    }

    pub(super) fn count_without_room(&mut self, id: GetId, length: u64) {
        if let Some(get) = self.requests.get_mut(&id)
            && let Some(without_room) = &mut get.misses.without_room
        {
            without_room.bytes = without_room.bytes.saturating_add(length);
        }
    }

    pub(super) fn miss(&mut self, id: GetId, name: String, why: Missed) {
        let is_single = |get: &Get| get.terms.is_single;
        if !self.requests.get(&id).is_none_or(is_single) {
            let (name, why) = (name.clone(), why.clone());
            self.tell(id, News::Failed { name, why });
        }
        self.note_miss(id, name, why);
    }

    /// It is missed in the end; not for a name, if it was begun.
    pub(super) fn miss_at_last(&mut self, id: GetId, name: String, why: Missed, was_begun: bool) {
        if let Some(get) = self.requests.get_mut(&id).filter(|_| !was_begun) {
            get.unplanned += 1;
        }
        self.miss(id, name, why);
    }

    /// Counts what is missed; of the only thing that was asked for, the end tells.
    pub(super) fn note_miss(&mut self, id: GetId, name: String, why: Missed) {
        let Some(get) = self.requests.get_mut(&id) else {
            return;
        };
        let misses = &mut get.misses;
        let kind = why.kind();
        misses.number += 1;
        misses.kind = Some(misses.kind.map_or(kind, |known| known.and(kind)));
        misses.first.get_or_insert((name, why));
    }

    /// Its caller is told once what is waited for; not where that is a file which
    /// changes, and is asked for at once, nor what is asked for just once more.
    pub(super) fn say_what_is_waited_for(
        &mut self,
        id: GetId,
        name: &str,
        why: Missed,
        late: Option<Instant>,
    ) {
        let get = self.requests.get(&id);
        let is_waited_for = get.is_some_and(|get| get.postponed.is_waited_for(name));
        if late.is_none() && is_waited_for && !matches!(why, Missed::Changed(_)) {
            let name = name.to_owned();
            self.tell(id, News::Waiting { name, why });
        }
    }

    /// What is waited for no longer is missed.
    pub(super) fn give_up_the_late(&mut self, now: Instant) {
        let is_idle = |get: &&mut Get| matches!(get.step, Step::Files | Step::Room);
        let mut late = Vec::new();
        for (id, get) in &mut self.requests {
            if let Some(get) = Some(get).filter(is_idle) {
                let names = get.postponed.take_late(now).into_iter();
                late.extend(names.map(|(name, waited)| (*id, name, waited)));
            }
        }
        for (id, name, waited) in late {
            let why = match waited.why {
                Missed::Changed(at) if waited.is_unhashed => Missed::Restless(at),
                why => why,
            };
            self.miss_at_last(id, name, why, waited.begun.is_some());
            self.end_if_over(id);
        }
    }

    pub(super) fn stop(&mut self, now: Instant, why: &Missed) {
        self.stopped = Some(why.clone());
        let all: Vec<GetId> = self.requests.keys().copied().collect();
        for id in all {
            let Some(get) = self.requests.get(&id) else {
                continue;
            };
            let coming: Vec<FetchId> = get.coming.iter().copied().collect();
            for fetch in &coming {
                self.large.drop(*fetch);
            }
            if let Some(get) = self.requests.get_mut(&id) {
                get.step = Step::Files;
                get.postponed = Postponed::new(now, Patience::None);
            }
            // Before it has come so far, that is all there is to say.
            if coming.is_empty() {
                let (name, why) = (String::new(), why.clone());
                self.end(id, Ending::Missed { name, why });
            }
            for fetch in coming {
                self.on_lost(now, fetch, why.clone());
            }
        }
    }

    /// What did not come before was asked for again: what is to be planned of it. If
    /// there is still nothing, it is asked for later.
    pub(super) fn on_asked_again(
        &mut self,
        now: Instant,
        id: GetId,
        candidate: Candidate,
    ) -> Option<Candidate> {
        let get = self.requests.get_mut(&id)?;
        let mut waited = get.postponed.take(&candidate.asked)?;
        let Candidate {
            asked,
            mut verdict,
            is_looked_at,
        } = candidate;
        let has_changed = matches!(waited.why, Missed::Changed(_));
        match &mut verdict {
            Verdict::Choose { .. } | Verdict::Folder => {}
            // Its holder said that it has this no more, and the listing comes after that.
            Verdict::Take(planned)
                if has_changed
                    && waited.begun == Some(planned.item.content)
                    && planned.item.content.length > MAX_INLINE =>
            {
                get.postponed.put_back(now, asked, waited);
                return None;
            }
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
                waited.is_unhashed = matches!(verdict, Verdict::Miss(Missed::StillHashing { .. }));
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

//! Which former neighbours to dial again, and when.
//!
//! Owns what is kept of a neighbour beyond its link, and the rule of dialling: at the start all
//! are dialled. A neighbour whose link broke is dialled within a second, then after an interval,
//! then less and less often. A neighbour that said goodbye is not dialled before the next start.
//! Making links, and deciding which peers become neighbours, happens elsewhere. The shell keeps
//! the list on disk.
//!
//! How long a neighbour has been away is counted in time that this node was running, not by the
//! calendar, so that neither a wrong date nor a long time switched off makes this node forget it.

use std::collections::BTreeMap;
use std::time::Duration;

use thorp_wire::PeerId;
use thorp_wire::frame::Holder;

use crate::liveness::JITTER;
use crate::time::Instant;

/// The longest time between two attempts, however many have failed.
const LONGEST_WAIT: Duration = Duration::from_mins(10);
/// A neighbour that was away for longer than this is forgotten.
pub const FORGOTTEN_AFTER: Duration = Duration::from_hours(30 * 24);
/// How long changes are collected before they are written to disk.
const GATHERED_FOR: Duration = Duration::from_secs(5);
/// The most dials under way at once.
const AT_ONCE: usize = 8;

/// A former neighbour, as it is kept from one run to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its key, name and last addresses.
    pub member: Holder,
    /// How long it has not been a neighbour, in time that this node was running.
    pub away: Duration,
    /// Whether this node has fetched from it.
    pub chosen: bool,
}

/// Former and present neighbours.
#[derive(Debug)]
pub struct Remembered {
    all: BTreeMap<PeerId, Place>,
    /// The most neighbours that are remembered.
    most: usize,
    /// How long to wait after the first failed attempt.
    every: Duration,
    random: fastrand::Rng,
    /// When to write the changes to disk.
    keep_at: Option<Instant>,
    /// The earliest time at which a peer is to be dialled, and how many are being dialled.
    due_at: Option<Instant>,
    under_way: usize,
}

#[derive(Debug)]
struct Place {
    member: Holder,
    /// Whether this node has fetched from it: it did not come uninvited, or it proved its worth.
    chosen: bool,
    state: State,
    /// How often it was dialled since it was last a neighbour for any length of time.
    attempts: u32,
    /// How long it had already been away at `away_since`.
    away_before: Duration,
    away_since: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is a neighbour.
    Here {
        since: Instant,
    },
    Waiting {
        until: Instant,
    },
    Dialling,
    /// Not to be dialled before the next start.
    Resting,
}

impl Remembered {
    /// Remembers these neighbours, to be dialled at once. At most `most` are remembered; `every`
    /// is how long to wait after the first failed attempt.
    pub fn new(now: Instant, known: Vec<Known>, most: usize, every: Duration, seed: u64) -> Self {
        let place = |known: Known| Place {
            member: known.member,
            chosen: known.chosen,
            state: State::Waiting { until: now },
            attempts: 0,
            away_before: known.away,
            away_since: now,
        };
        let mut known = known;
        known.sort_by_key(|known| known.away);
        known.truncate(most);
        let mut remembered = Self {
            all: known
                .into_iter()
                .map(|known| (known.member.id, place(known)))
                .collect(),
            most,
            every,
            random: fastrand::Rng::with_seed(seed),
            keep_at: None,
            due_at: None,
            under_way: 0,
        };
        remembered.note_due();
        remembered
    }

    /// A peer has become a neighbour. If it announces no addresses, it cannot be dialled and is
    /// forgotten, whatever was known before.
    pub fn met(&mut self, now: Instant, member: Holder) {
        if member.addresses.is_empty() {
            return self.forget(now, member.id);
        }
        let before = self.all.remove(&member.id);
        let is_news = before.as_ref().is_none_or(|before| before.member != member);
        let since = match before.as_ref().map(|before| before.state) {
            Some(State::Here { since }) => since,
            _ => now,
        };
        let place = Place {
            state: State::Here { since },
            attempts: before.as_ref().map_or(0, |before| before.attempts),
            chosen: before.is_some_and(|before| before.chosen),
            away_before: Duration::ZERO,
            away_since: now,
            member,
        };
        self.all.insert(place.member.id, place);
        self.forget_surplus(now);
        self.note_due();
        if is_news {
            self.keep_soon(now);
        }
    }

    /// The link to a neighbour broke without a goodbye.
    pub fn lost(&mut self, now: Instant, id: PeerId) {
        let jitter = self.jitter();
        let Some(place) = self.all.get_mut(&id) else {
            return;
        };
        let State::Here { since } = place.state else {
            return;
        };
        place.away_since = now;
        // A peer that comes and goes all the time is not dialled at once each time.
        if now - since >= self.every {
            place.attempts = 0;
        }
        let wait = match place.attempts {
            0 => jitter,
            attempts => waiting(self.every, attempts),
        };
        place.state = State::Waiting { until: now + wait };
        self.note_due();
    }

    /// A member said goodbye, or was told to go: it is not dialled again soon.
    pub fn parted(&mut self, now: Instant, id: PeerId) {
        if let Some(place) = self.all.get_mut(&id) {
            if matches!(place.state, State::Here { .. }) {
                place.away_since = now;
            }
            place.state = State::Resting;
            self.note_due();
        }
    }

    /// Forgets a peer that declines to be a neighbour, or that this node declines.
    pub fn forget(&mut self, now: Instant, id: PeerId) {
        if self.all.remove(&id).is_some() {
            self.keep_soon(now);
            self.note_due();
        }
    }

    /// An attempt to reach a peer failed.
    pub fn failed(&mut self, now: Instant, id: PeerId) {
        let Some(place) = self.all.get_mut(&id) else {
            return;
        };
        if place.state != State::Dialling {
            return;
        }
        if place.away(now) >= FORGOTTEN_AFTER {
            return self.forget(now, id);
        }
        place.state = State::Waiting {
            until: now + waiting(self.every, place.attempts),
        };
        self.note_due();
    }

    /// Schedules all peers to be dialled soon, since they may be reachable again.
    pub fn hurry(&mut self, now: Instant) {
        for place in self.all.values_mut() {
            if let State::Waiting { until } = place.state {
                let soon = now + JITTER.mul_f64(self.random.f64());
                place.attempts = 0;
                place.state = State::Waiting {
                    until: until.min(soon),
                };
            }
        }
        self.note_due();
    }

    /// Returns the peers to dial now, given room for `room` more neighbours. The caller reports
    /// the result with [`met`](Self::met), [`failed`](Self::failed) or a similar function.
    pub fn dial(&mut self, now: Instant, room: usize) -> Vec<Holder> {
        if self.due_at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        let under_way = self.under_way;
        let room = room.saturating_sub(under_way);
        let mut due: Vec<(Duration, PeerId)> = self
            .all
            .values()
            .filter(|place| matches!(place.state, State::Waiting { until } if until <= now))
            .map(|place| (place.away(now), place.member.id))
            .collect();
        due.sort();
        let mut dialled = Vec::new();
        for (place_in_line, (_, id)) in due.into_iter().enumerate() {
            let Some(place) = self.all.get_mut(&id) else {
                continue;
            };
            if place_in_line >= room {
                // It is not known when there will be room.
                place.state = State::Waiting {
                    until: now + self.every,
                };
            } else if under_way + dialled.len() < AT_ONCE {
                place.state = State::Dialling;
                place.attempts = place.attempts.saturating_add(1);
                dialled.push(place.member.clone());
            }
        }
        self.note_due();
        dialled
    }

    /// Whether a peer is being dialled for the first time since it was a neighbour, or since the
    /// start.
    pub fn is_dialling_first(&self) -> bool {
        let first = |place: &Place| place.state == State::Dialling && place.attempts <= 1;
        self.all.values().any(first)
    }

    /// Returns what to write to disk now, if anything.
    pub fn keep(&mut self, now: Instant) -> Option<Vec<Known>> {
        self.keep_at.filter(|at| *at <= now)?;
        self.keep_at = None;
        Some(self.known(now))
    }

    /// Ends all dialling. Returns what to write to disk at the end.
    pub fn stop(&mut self, now: Instant) -> Vec<Known> {
        let known = self.known(now);
        self.all.clear();
        self.keep_at = None;
        self.note_due();
        known
    }

    /// Returns when to call [`dial`](Self::dial) or [`keep`](Self::keep) next.
    pub fn next_deadline(&self) -> Option<Instant> {
        let due_at = self.due_at.filter(|_| self.under_way < AT_ONCE);
        due_at.into_iter().chain(self.keep_at).min()
    }

    /// Records that a file was fetched from this member, and was what the member lists.
    pub fn chose(&mut self, now: Instant, id: PeerId) {
        let place = self.all.get_mut(&id);
        if place.is_some_and(|place| !std::mem::replace(&mut place.chosen, true)) {
            self.keep_soon(now);
        }
    }

    /// Whether this node has fetched from a member, in this run or an earlier one.
    pub fn has_chosen(&self, id: PeerId) -> bool {
        self.all.get(&id).is_some_and(|place| place.chosen)
    }

    /// Asserts that the result of every dial under way will be reported.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn check(&self, is_being_reached: impl Fn(PeerId) -> bool) {
        assert!(self.all.len() <= self.most);
        let dialling = |place: &&Place| place.state == State::Dialling;
        assert_eq!(self.under_way, self.all.values().filter(dialling).count());
        for (id, place) in &self.all {
            assert!(place.state != State::Dialling || is_being_reached(*id));
        }
    }

    /// Whether a peer is counted as a neighbour.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn is_here(&self, id: PeerId) -> bool {
        let place = self.all.get(&id);
        place.is_some_and(|place| matches!(place.state, State::Here { .. }))
    }

    fn known(&self, now: Instant) -> Vec<Known> {
        let known = |place: &Place| Known {
            member: place.member.clone(),
            away: place.away(now),
            chosen: place.chosen,
        };
        self.all.values().map(known).collect()
    }

    /// A place may have another state: notes what is asked for after every input.
    fn note_due(&mut self) {
        let states = || self.all.values().map(|place| place.state);
        let until = states().filter_map(|state| match state {
            State::Waiting { until } => Some(until),
            State::Here { .. } | State::Dialling | State::Resting => None,
        });
        let (due_at, under_way) = (
            until.min(),
            states().filter(|state| *state == State::Dialling).count(),
        );
        (self.due_at, self.under_way) = (due_at, under_way);
    }

    /// Forgets the peers that have been away longest, until the rest fits the bound.
    fn forget_surplus(&mut self, now: Instant) {
        while self.all.len() > self.most {
            let away = self.all.values().map(|place| {
                let is_here = matches!(place.state, State::Here { .. });
                (!is_here, place.away(now), place.member.id)
            });
            let Some((_, _, id)) = away.max() else {
                return;
            };
            self.all.remove(&id);
        }
    }

    /// Who is remembered has changed: that is kept with what follows soon.
    fn keep_soon(&mut self, now: Instant) {
        self.keep_at.get_or_insert(now + GATHERED_FOR);
    }

    fn jitter(&mut self) -> Duration {
        JITTER.mul_f64(self.random.f64())
    }
}

impl Place {
    fn away(&self, now: Instant) -> Duration {
        match self.state {
            State::Here { .. } => Duration::ZERO,
            _ => self.away_before.saturating_add(now - self.away_since),
        }
    }
}

/// Returns how long to wait after this many failed attempts in a row.
fn waiting(every: Duration, attempts: u32) -> Duration {
    let doubled = attempts.saturating_sub(1).min(16);
    every
        .saturating_mul(1 << doubled)
        .min(LONGEST_WAIT.max(every))
}

#[cfg(test)]
mod tests;

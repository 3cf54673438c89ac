//! Which peers are worth keeping a link with.
//!
//! Owns the scores and the rule of replacement; the links themselves are in `links`. The score of
//! a neighbour is the number of its useful answers, with a half-life of ten minutes, divided by
//! the time until its answers arrive.

use std::collections::BTreeMap;
use std::time::Duration;

use thorp_wire::PeerId;

use crate::time::Instant;

/// The time after which a useful answer counts half.
const HALF_LIFE: Duration = Duration::from_mins(10);
/// How many neighbours are kept whatever their score, so that the group does not fall apart into
/// cliques.
const KEPT_AT_RANDOM: usize = 2;
/// How many times better a new neighbour must be than the one it replaces.
const CLEARLY: f64 = 2.0;
/// A neighbour that was in use this recently is not replaced.
const IN_USE: Duration = Duration::from_mins(1);
/// The assumed time until an answer while none was measured.
const USUAL_RTT: Duration = Duration::from_millis(25);
/// Shorter times until an answer count as this long, since a user would not notice the difference.
const QUICK: Duration = Duration::from_millis(1);

/// The neighbours' scores.
#[derive(Debug)]
pub struct Neighbours {
    max: usize,
    scores: BTreeMap<PeerId, Score>,
    random: fastrand::Rng,
}

#[derive(Clone, Copy, Debug)]
struct Score {
    useful: f64,
    counted: Instant,
    /// When a file was last sent to it or fetched from it.
    used: Instant,
    rtt: Duration,
    protected: bool,
}

/// Whether there is room for one more neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// There is room.
    Free,
    /// There is room if this one is replaced.
    Replacing(PeerId),
    /// There is no room.
    Full,
}

impl Neighbours {
    /// Creates an empty set with room for `max` neighbours.
    pub fn new(max: usize, seed: u64) -> Self {
        Self {
            max,
            scores: BTreeMap::new(),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// Returns whether there is room for a new neighbour, which is assumed to be useful once.
    pub fn room(&self, now: Instant) -> Room {
        if self.scores.len() < self.max {
            return Room::Free;
        }
        let newcomer = Score::newcomer(now);
        match self.worst(now) {
            Some((id, score)) if newcomer.value(now) > score.value(now) * CLEARLY => {
                Room::Replacing(*id)
            }
            _ => Room::Full,
        }
    }

    /// Returns which neighbour must go when one more is taken; `None` while there is room. Of those
    /// that a new neighbour may replace it is the one that adds least, as `adds` says.
    pub fn surplus(&self, now: Instant, adds: &dyn Fn(PeerId) -> usize) -> Option<PeerId> {
        if self.scores.len() < self.max {
            return None;
        }
        let newcomer = Score::newcomer(now).value(now);
        let replaceable = self
            .replaceable(now)
            .filter(|(_, score)| newcomer > score.value(now) * CLEARLY);
        let worth = replaceable.map(|(id, score)| (adds(*id), score.value(now), *id));
        let least = worth.min_by(|(adds, value, _), (others_adds, other, _)| {
            adds.cmp(others_adds).then_with(|| value.total_cmp(other))
        });
        let least = least.map(|(_, _, id)| id);
        least.or_else(|| self.worst(now).map(|(id, _)| *id))
    }

    /// Adds a neighbour.
    pub fn add(&mut self, now: Instant, id: PeerId) {
        self.scores.entry(id).or_insert(Score::fresh(now));
        let protected = self.scores.values().filter(|score| score.protected).count();
        // Gives each new neighbour the same chance to be one of those kept at random.
        let chance = self.random.usize(..self.scores.len()) < KEPT_AT_RANDOM;
        if protected < KEPT_AT_RANDOM.min(self.max / 2)
            && chance
            && let Some(score) = self.scores.get_mut(&id)
        {
            score.protected = true;
        }
    }

    /// Removes a neighbour. Returns whether it was one.
    pub fn remove(&mut self, id: PeerId) -> bool {
        self.scores.remove(&id).is_some()
    }

    /// Whether a peer is a neighbour.
    pub fn contains(&self, id: PeerId) -> bool {
        self.scores.contains_key(&id)
    }

    /// Returns all neighbours, in the order of their ids.
    pub fn ids(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.scores.keys().copied()
    }

    /// Returns the number of neighbours.
    pub fn len(&self) -> usize {
        self.scores.len()
    }

    /// Whether there are no neighbours.
    pub fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }

    /// Records that a file was sent to a neighbour or fetched from it.
    pub fn on_use(&mut self, now: Instant, id: PeerId) {
        if let Some(score) = self.scores.get_mut(&id) {
            score.used = now;
        }
    }

    /// Records that a neighbour gave a useful answer.
    pub fn was_useful(&mut self, now: Instant, id: PeerId, rtt: Option<Duration>) {
        if let Some(score) = self.scores.get_mut(&id) {
            score.useful = score.useful_now(now) + 1.0;
            score.counted = now;
            score.rtt = rtt.unwrap_or(score.rtt);
        }
    }

    /// Returns the neighbours, the best first.
    pub fn best(&self, now: Instant) -> Vec<PeerId> {
        let mut ranked: Vec<_> = self.scores.iter().collect();
        ranked.sort_by(|(_, a), (_, b)| b.value(now).total_cmp(&a.value(now)));
        ranked.into_iter().map(|(id, _)| *id).collect()
    }
}

impl Neighbours {
    fn worst(&self, now: Instant) -> Option<(&PeerId, &Score)> {
        self.replaceable(now)
            .min_by(|(_, a), (_, b)| a.value(now).total_cmp(&b.value(now)))
    }

    fn replaceable(&self, now: Instant) -> impl Iterator<Item = (&PeerId, &Score)> {
        let idle = move |score: &Score| now - score.used >= IN_USE;
        let scores = self.scores.iter();
        scores.filter(move |(_, score)| !score.protected && idle(score))
    }
}

impl Score {
    fn fresh(now: Instant) -> Self {
        Self {
            useful: 0.0,
            counted: now,
            used: now,
            rtt: USUAL_RTT,
            protected: false,
        }
    }

    /// A new neighbour, which is assumed to be useful once.
    fn newcomer(now: Instant) -> Self {
        Self {
            useful: 1.0,
            ..Self::fresh(now)
        }
    }

    fn useful_now(&self, now: Instant) -> f64 {
        let halves = (now - self.counted).as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.useful * 0.5f64.powf(halves)
    }

    fn value(&self, now: Instant) -> f64 {
        self.useful_now(now) / self.rtt.max(QUICK).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Option<Duration> = Some(Duration::from_millis(25));

    fn id(n: u8) -> PeerId {
        PeerId::new([n; 32])
    }

    fn at(seconds: u64) -> Instant {
        Instant::after_start(Duration::from_secs(seconds))
    }

    #[test]
    fn a_full_table_of_useful_neighbours_declines() {
        let mut table = Neighbours::new(3, 7);
        for n in 1..=3 {
            assert_eq!(table.room(at(0)), Room::Free);
            table.add(at(0), id(n));
            table.was_useful(at(0), id(n), RTT);
        }
        assert_eq!(table.room(at(1)), Room::Full);
    }

    #[test]
    fn a_neighbour_that_was_not_useful_for_a_long_time_makes_room() {
        let mut table = Neighbours::new(4, 7);
        for n in 1..=4 {
            table.add(at(0), id(n));
            table.was_useful(at(0), id(n), RTT);
        }
        let hour = at(3600);
        for n in 1..=3 {
            table.was_useful(hour, id(n), RTT);
        }
        match table.room(hour) {
            Room::Replacing(worst) => assert_eq!(worst, id(4)),
            // Unless it is one of those that are kept whatever their score.
            room => assert!(room == Room::Full && table.scores[&id(4)].protected),
        }
    }

    #[test]
    fn a_neighbour_in_use_keeps_its_place_however_little_it_gave() {
        let mut table = Neighbours::new(3, 7);
        for n in 1..=3 {
            table.add(at(0), id(n));
        }
        assert_eq!(table.room(at(59)), Room::Full);
        for n in 1..=3 {
            table.on_use(at(59), id(n));
        }
        assert_eq!(table.room(at(118)), Room::Full);
        assert!(matches!(table.room(at(119)), Room::Replacing(_)));
    }

    #[test]
    fn of_neighbours_that_were_of_little_use_the_one_goes_that_adds_least() {
        let mut table = Neighbours::new(6, 7);
        for n in 1..=6 {
            table.add(at(0), id(n));
            table.was_useful(at(0), id(n), RTT);
        }
        let hour = at(3600);
        table.was_useful(hour, id(1), RTT);
        let replaceable = |n: &u8| *n > 1 && !table.scores[&id(*n)].protected;
        let adds = |of: PeerId| 10 - usize::from(of.as_bytes()[0]);
        let last = (1..=6).filter(replaceable).max().map(id);
        assert_eq!(table.surplus(hour, &adds), last);
        let first = (1..=6).filter(replaceable).min().map(id);
        assert_eq!(
            table.surplus(hour, &|of| 10 - adds(of)),
            first,
            "1 is of use"
        );
        for n in 2..=6 {
            table.was_useful(hour, id(n), RTT);
        }
        assert!(
            table.surplus(hour, &adds).is_some(),
            "one must go in any case"
        );
    }

    #[test]
    fn quick_and_useful_neighbours_come_first() {
        let mut table = Neighbours::new(8, 7);
        for n in 1..=3 {
            table.add(at(0), id(n));
        }
        table.was_useful(at(0), id(2), Some(Duration::from_millis(2)));
        table.was_useful(at(0), id(3), Some(Duration::from_millis(20)));
        assert_eq!(table.best(at(0)), [id(2), id(3), id(1)]);
    }

    #[test]
    fn at_most_two_are_protected() {
        let mut table = Neighbours::new(32, 7);
        for n in 1..=32 {
            table.add(at(0), id(n));
        }
        let protected = table
            .scores
            .values()
            .filter(|score| score.protected)
            .count();
        assert!((1..=KEPT_AT_RANDOM).contains(&protected), "{protected}");
    }
}

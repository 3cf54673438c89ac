//! Tiers of trackers, and which one is asked next (BEP 12).
//!
//! A round asks one tracker, and the next one where that fails or is late. The first answer ends
//! the round; while peers are sought, the first one that names some.

#[cfg(any(test, feature = "testing"))]
use std::collections::BTreeSet;
use std::time::Duration;

use super::{FIRST_WAIT, Tracker, TrackerNumber};
use crate::time::Instant;

/// A tracker that has not answered for so long is not waited for alone: the next one is asked.
pub(super) const LATE: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Order {
    /// In each, the tracker that has answered last comes first.
    tiers: Vec<Vec<TrackerNumber>>,
    /// When the next round begins.
    due: Instant,
    round: Option<Round>,
}

#[derive(Debug)]
struct Round {
    asked: Vec<TrackerNumber>,
    /// When the tracker that was asked last is late.
    late: Instant,
    /// When the first tracker is to be asked again that has answered and not ended the round.
    again: Option<Instant>,
}

impl Order {
    /// Creates the order of these tiers; the first round begins at once.
    pub(super) fn new(now: Instant, tiers: Vec<Vec<TrackerNumber>>) -> Self {
        Self {
            tiers,
            due: now,
            round: None,
        }
    }

    /// Returns when to call [`next`](Self::next) if nothing happens before.
    pub(super) fn deadline(&self, trackers: &[Tracker]) -> Option<Instant> {
        if self.tiers.is_empty() {
            return None;
        }
        let Some(round) = &self.round else {
            return Some(self.due);
        };
        let rest = self.rest(trackers, &round.asked);
        let ready = rest
            .map(|number| trackers[number.0].ready(round.late))
            .min();
        ready.map(|ready| ready.max(round.late))
    }

    /// Returns the tracker to ask now, if there is one.
    pub(super) fn next(&mut self, now: Instant, trackers: &[Tracker]) -> Option<TrackerNumber> {
        if self.tiers.is_empty() || self.round.is_none() && now < self.due {
            return None;
        }
        let begun = Round {
            asked: Vec::new(),
            late: now,
            again: None,
        };
        let mut round = self.round.take().unwrap_or(begun);
        let is_awaited = |number: &TrackerNumber| trackers[number.0].asked.is_some();
        let awaits = round.asked.iter().any(is_awaited);
        if awaits && now < round.late {
            self.round = Some(round);
            return None;
        }
        let ready = self.rest(trackers, &round.asked);
        let mut ready = ready.filter(|number| now >= trackers[number.0].ready(now));
        let first = ready.next();
        let has_news = |number: &TrackerNumber| trackers[number.0].is_news_ready();
        let next = first.into_iter().chain(ready).find(has_news).or(first);
        if let Some(number) = next {
            round.asked.push(number);
            round.late = now + LATE;
            self.round = Some(round);
        } else if awaits {
            self.round = Some(round);
        } else {
            self.due = round.again.unwrap_or_else(|| self.retry(now, trackers));
        }
        next
    }

    /// Whether the tracker is one of these.
    pub(super) fn has(&self, number: TrackerNumber) -> bool {
        self.tiers.iter().flatten().any(|other| *other == number)
    }

    /// A tracker has answered, and is to be asked again then. The next one is asked now unless the
    /// answer ends the round.
    pub(super) fn answered(&mut self, number: TrackerNumber, again: Instant, ends_round: bool) {
        if !ends_round && let Some(round) = &mut self.round {
            round.again = Some(round.again.map_or(again, |other| other.min(again)));
            return;
        }
        for tier in &mut self.tiers {
            if let Some(place) = tier.iter().position(|other| *other == number) {
                tier[..=place].rotate_right(1);
            }
        }
        self.due = match self.round.take() {
            Some(_) => again,
            // Another one has answered before; this one comes first in its tier now.
            None => self.due.max(again),
        };
    }

    /// Begins the next round as soon as a tracker that has answered may be asked again.
    pub(super) fn hurry(&mut self, now: Instant, trackers: &[Tracker]) {
        let all = self
            .tiers
            .iter()
            .flatten()
            .map(|number| &trackers[number.0]);
        let allowed = all
            .filter(|tracker| tracker.knows)
            .map(|tracker| tracker.not_before);
        if let Some(allowed) = allowed.min() {
            self.due = self.due.min(allowed.max(now));
        }
    }

    /// Begins the next round now if there is a tracker that has to hear of the last piece.
    pub(super) fn on_news(&mut self, now: Instant, trackers: &[Tracker]) {
        let mut all = self
            .tiers
            .iter()
            .flatten()
            .map(|number| &trackers[number.0]);
        if all.any(Tracker::is_news_ready) {
            self.due = now;
        }
    }

    /// Returns all trackers, of which none is asked any more.
    pub(super) fn take(&mut self) -> Vec<TrackerNumber> {
        self.round = None;
        std::mem::take(&mut self.tiers)
            .into_iter()
            .flatten()
            .collect()
    }

    /// Returns the trackers that are not asked yet, in order.
    fn rest(
        &self,
        trackers: &[Tracker],
        asked: &[TrackerNumber],
    ) -> impl Iterator<Item = TrackerNumber> {
        let all = self.tiers.iter().flatten().copied();
        all.filter(|number| trackers[number.0].asked.is_none() && !asked.contains(number))
    }

    /// Returns when to begin again after a round in which no tracker has answered.
    fn retry(&self, now: Instant, trackers: &[Tracker]) -> Instant {
        let ready = self.tiers.iter().flatten().map(|number| {
            let tracker = &trackers[number.0];
            match tracker.asked {
                // It is late from an earlier round, and may answer meanwhile.
                Some(_) => now + FIRST_WAIT,
                None => tracker.ready(now).max(now + Duration::from_secs(1)),
            }
        });
        ready.min().unwrap_or(now)
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn check(&self, seen: &mut BTreeSet<TrackerNumber>) {
        for tier in &self.tiers {
            assert!(!tier.is_empty());
            for number in tier {
                assert!(seen.insert(*number), "a tracker is in an order twice");
            }
        }
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn check_round(&self, trackers: &[Tracker]) {
        if let Some(round) = &self.round {
            let is_awaited = |number: &TrackerNumber| trackers[number.0].asked.is_some();
            assert!(
                round.asked.iter().any(is_awaited),
                "a round waits for nothing"
            );
        }
    }
}

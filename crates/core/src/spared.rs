//! How many lookups the tracker was spared, since the start and in the last hour.
//!
//! A lookup is spared if it was answered without a message to the tracker. A peer counts its own
//! lookups; a tracker adds up what the peers report.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Instant;

/// The resolution of the last hour.
const SLOT: Duration = Duration::from_mins(1);
const SLOTS_AN_HOUR: u64 = 60;

/// The number of names looked up, and how many of them spared the tracker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookups {
    /// Names that were looked up.
    pub lookups: u64,
    /// How many of them were answered without a message to the tracker.
    pub spared: u64,
}

/// The numbers for the two periods that are shown to a user. Serialised as part of the status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spared {
    /// Since the node started.
    pub since_start: Lookups,
    /// In the last sixty minutes.
    pub last_hour: Lookups,
}

/// Counts lookups over time.
#[derive(Debug, Default)]
pub(crate) struct SparedMeter {
    since_start: Lookups,
    /// Lookups by the minute in which they ended, the oldest first; at most an hour of them.
    minutes: VecDeque<(u64, Lookups)>,
}

impl Lookups {
    /// Returns the percentage of spared lookups; `None` if there were no lookups.
    pub fn percent_spared(self) -> Option<u64> {
        let spared = u128::from(self.spared.min(self.lookups)) * 100;
        let percent = spared.checked_div(u128::from(self.lookups))?;
        u64::try_from(percent).ok()
    }

    /// Adds other lookups to these.
    pub(crate) fn add(&mut self, others: Self) {
        self.lookups = self.lookups.saturating_add(others.lookups);
        self.spared = self.spared.saturating_add(others.spared);
    }
}

impl SparedMeter {
    /// Counts lookups that have ended.
    pub fn count(&mut self, now: Instant, lookups: Lookups) {
        self.since_start.add(lookups);
        let minute = minute_of(now);
        match self.minutes.back_mut() {
            Some((last, counted)) if *last == minute => counted.add(lookups),
            _ => self.minutes.push_back((minute, lookups)),
        }
        let is_old = |(at, _): &(u64, Lookups)| at + SLOTS_AN_HOUR <= minute;
        while self.minutes.front().is_some_and(is_old) {
            self.minutes.pop_front();
        }
    }

    /// Returns the numbers up to now.
    pub fn spared(&self, now: Instant) -> Spared {
        let minute = minute_of(now);
        let mut last_hour = Lookups::default();
        for (at, lookups) in &self.minutes {
            if at + SLOTS_AN_HOUR > minute {
                last_hour.add(*lookups);
            }
        }
        Spared {
            since_start: self.since_start,
            last_hour,
        }
    }
}

fn minute_of(now: Instant) -> u64 {
    (now - Instant::default()).as_secs() / SLOT.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> Instant {
        Instant::after_start(Duration::from_mins(minutes))
    }

    fn of(lookups: u64, spared: u64) -> Lookups {
        Lookups { lookups, spared }
    }

    #[test]
    fn what_is_older_than_an_hour_counts_since_the_start_only() {
        let mut meter = SparedMeter::default();
        meter.count(at(0), of(10, 1));
        meter.count(at(30), of(2, 2));
        meter.count(at(30), of(1, 0));
        let both = meter.spared(at(59));
        assert_eq!((both.since_start, both.last_hour), (of(13, 3), of(13, 3)));
        let later = meter.spared(at(60));
        assert_eq!((later.since_start, later.last_hour), (of(13, 3), of(3, 2)));
        assert_eq!(meter.spared(at(90)).last_hour, of(0, 0));
    }

    #[test]
    fn no_more_than_an_hour_is_kept() {
        let mut meter = SparedMeter::default();
        for minute in 0..10_000 {
            meter.count(at(minute), of(1, 1));
        }
        assert_eq!(meter.minutes.len() as u64, SLOTS_AN_HOUR);
        let spared = meter.spared(at(9_999));
        assert_eq!(spared.since_start, of(10_000, 10_000));
        assert_eq!(spared.last_hour, of(60, 60));
    }

    #[test]
    fn a_share_of_nothing_is_none_and_a_lie_is_at_most_all() {
        assert_eq!(of(0, 0).percent_spared(), None);
        assert_eq!(of(3, 2).percent_spared(), Some(66));
        assert_eq!(of(1, u64::MAX).percent_spared(), Some(100));
    }
}

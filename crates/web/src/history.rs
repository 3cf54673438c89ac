//! What a node has counted over the last hour and the last day. A node counts from its start; the
//! differences are kept here, in steps of five minutes.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;
use thorp_node::snapshot::SnapshotRow;

/// One step.
const STEP: Duration = Duration::from_mins(5);
const STEPS_AN_HOUR: usize = 12;
const HOURS: usize = 24;

/// What is counted. Serialised as API.md describes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Figures {
    /// Lookups that have ended; at a tracker the questions it was asked.
    pub(crate) lookups: u64,
    /// Of them, those that were answered from memory, by neighbours, and by the tracker.
    pub(crate) memory: u64,
    pub(crate) neighbours: u64,
    pub(crate) tracker: u64,
    /// Those that no member had an answer to.
    pub(crate) nobody: u64,
    /// Bytes of files.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Messages to and from the tracker; at a tracker, to and from its members.
    pub(crate) messages_sent: u64,
    pub(crate) messages_received: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct History {
    last: Figures,
    /// The differences by the step in which they were seen, the oldest first; of a day at most.
    steps: VecDeque<(u64, Figures)>,
}

impl History {
    /// The node has counted this much from its start.
    pub(crate) fn see(&mut self, elapsed: Duration, totals: Figures) {
        let more = totals.minus(self.last);
        self.last = totals;
        let step = step_of(elapsed);
        match self.steps.back_mut() {
            Some((last, figures)) if *last == step => *figures = figures.plus(more),
            _ => self.steps.push_back((step, more)),
        }
        let day = (STEPS_AN_HOUR * HOURS) as u64;
        while self.steps.front().is_some_and(|(at, _)| at + day <= step) {
            self.steps.pop_front();
        }
    }

    /// Returns what was counted since the start of the node.
    pub(crate) fn since_start(&self) -> Figures {
        self.last
    }

    /// Returns the last hour in steps of five minutes, the current one last.
    pub(crate) fn hour(&self, elapsed: Duration) -> Vec<Figures> {
        self.in_steps(elapsed, STEPS_AN_HOUR, 1)
    }

    /// Returns the last day by the hour, the current one last.
    pub(crate) fn day(&self, elapsed: Duration) -> Vec<Figures> {
        self.in_steps(elapsed, HOURS, STEPS_AN_HOUR as u64)
    }

    fn in_steps(&self, elapsed: Duration, count: usize, width: u64) -> Vec<Figures> {
        let now = step_of(elapsed);
        let mut all = vec![Figures::default(); count];
        for (step, figures) in &self.steps {
            let ago = usize::try_from(now.saturating_sub(*step) / width).unwrap_or(usize::MAX);
            if let Some(at) = count.checked_sub(1).and_then(|last| last.checked_sub(ago)) {
                all[at] = all[at].plus(*figures);
            }
        }
        all
    }
}

impl Figures {
    /// Returns what these rows say: a node's own, and the one of what it has counted.
    pub(crate) fn of(rows: &[SnapshotRow]) -> Self {
        let mut figures = Self::default();
        for row in rows {
            figures.add_row(row);
        }
        figures
    }

    fn add_row(&mut self, row: &SnapshotRow) {
        match row {
            SnapshotRow::Node(status) => {
                let lookups = status.lookups;
                self.lookups = status.spared.since_start.lookups;
                self.memory = lookups.memory;
                self.neighbours = lookups.neighbours.saturating_sub(lookups.memory);
                self.tracker = lookups.tracker;
                self.nobody = lookups.nobody;
                self.sent += status.sent;
                self.received += status.received;
            }
            SnapshotRow::Tracker(status) => self.lookups = status.counts.finds,
            SnapshotRow::Counts(counts) => {
                self.sent += counts.small_sent.bytes;
                self.received += counts.small_received.bytes;
                self.messages_sent = counts.messages_sent.values().sum();
                self.messages_received = counts.messages_received.values().sum();
            }
            _ => {}
        }
    }

    fn each(self, other: Self, f: fn(u64, u64) -> u64) -> Self {
        Self {
            lookups: f(self.lookups, other.lookups),
            memory: f(self.memory, other.memory),
            neighbours: f(self.neighbours, other.neighbours),
            tracker: f(self.tracker, other.tracker),
            nobody: f(self.nobody, other.nobody),
            sent: f(self.sent, other.sent),
            received: f(self.received, other.received),
            messages_sent: f(self.messages_sent, other.messages_sent),
            messages_received: f(self.messages_received, other.messages_received),
        }
    }

    fn plus(self, more: Self) -> Self {
        self.each(more, u64::saturating_add)
    }

    fn minus(self, less: Self) -> Self {
        self.each(less, u64::saturating_sub)
    }
}

fn step_of(elapsed: Duration) -> u64 {
    elapsed.as_secs() / STEP.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> Duration {
        Duration::from_mins(minutes)
    }

    fn lookups(lookups: u64) -> Figures {
        Figures {
            lookups,
            ..Figures::default()
        }
    }

    fn counts(all: &[Figures]) -> Vec<u64> {
        all.iter().map(|figures| figures.lookups).collect()
    }

    #[test]
    fn differences_are_kept_by_five_minutes_and_by_the_hour() {
        let mut history = History::default();
        for (minute, total) in [(0, 3), (1, 5), (7, 6), (59, 10), (61, 12)] {
            history.see(at(minute), lookups(total));
        }
        assert_eq!(history.since_start().lookups, 12);
        // The step that began the hour, with five lookups, is over.
        let hour = counts(&history.hour(at(61)));
        assert_eq!(hour, [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 2]);
        let day = counts(&history.day(at(61)));
        assert_eq!((day.len(), day[23], day[22]), (24, 7, 5));
    }

    #[test]
    fn no_more_than_a_day_is_kept() {
        let mut history = History::default();
        for minute in 0..3 * 24 * 60 {
            history.see(at(minute), lookups(minute));
        }
        assert_eq!(history.steps.len(), HOURS * STEPS_AN_HOUR);
        assert_eq!(counts(&history.day(at(3 * 24 * 60 - 1))), [60; 24]);
        assert_eq!(counts(&history.day(at(9 * 24 * 60))), [0; 24]);
    }
}

//! When to send a sign of life, and when to give a member up.
//!
//! The same rule for tracker and neighbours: each end of a link promises to send something at
//! least once an interval. A member that was silent for three intervals is given up. Closed
//! connections and goodbyes are noticed at once, elsewhere.

use std::time::Duration;

use crate::time::Instant;

/// After how many silent intervals a member is given up.
pub const INTERVALS_TO_LOSS: u32 = 3;

/// The first dial after a loss comes at a random moment within this time, so that the peers that
/// lost the same member do not all come back at once.
pub const JITTER: Duration = Duration::from_secs(1);

/// The shortest interval that is accepted, since bytes take time to travel.
const SHORTEST: Duration = Duration::from_millis(100);
/// The longest interval that is accepted, so that a member cannot stay for ever by promising
/// little.
const LONGEST: Duration = Duration::from_mins(10);

/// The promises of both ends of a link, and when each end last kept its own.
#[derive(Clone, Copy, Debug)]
pub struct Liveness {
    ours: Duration,
    theirs: Duration,
    said: Instant,
    heard: Instant,
}

impl Liveness {
    /// Creates the state of a link that came up now. `ours` is this end's promise, `theirs` the
    /// other end's.
    pub fn new(now: Instant, ours: Duration, theirs: Duration) -> Self {
        Self {
            ours: within_reason(ours),
            theirs: within_reason(theirs),
            said: now,
            heard: now,
        }
    }

    /// Records that a byte arrived.
    pub fn heard(&mut self, now: Instant) {
        self.heard = self.heard.max(now);
    }

    /// Records that a byte was sent.
    pub fn said(&mut self, now: Instant) {
        self.said = self.said.max(now);
    }

    /// Sets the interval that this end promises, as granted by the other end.
    pub fn promise(&mut self, ours: Duration) {
        self.ours = within_reason(ours);
    }

    /// Sets the interval that the other end promises, as granted by this end.
    pub fn expect(&mut self, theirs: Duration) {
        self.theirs = within_reason(theirs);
    }

    /// Excuses the other end for the time that this node was asleep with its machine: what was
    /// sent in the meantime is not lost, only unread.
    pub fn excuse(&mut self, now: Instant, away: Duration) {
        self.heard = (self.heard + away).min(now);
    }

    /// Returns when a byte arrived last.
    pub fn heard_at(&self) -> Instant {
        self.heard
    }

    /// Returns the interval that this end promises.
    pub fn ours(&self) -> Duration {
        self.ours
    }

    /// Returns the interval that the other end promises.
    pub fn theirs(&self) -> Duration {
        self.theirs
    }

    /// Returns when a byte last arrived.
    pub fn last_heard(&self) -> Instant {
        self.heard
    }

    /// Returns when to send a sign of life, unless something else is sent before.
    pub fn speak_at(&self) -> Instant {
        self.said + self.ours
    }

    /// Returns when to give the other end up, unless a byte arrives before.
    pub fn lost_at(&self) -> Instant {
        self.heard + self.theirs * INTERVALS_TO_LOSS
    }
}

fn within_reason(interval: Duration) -> Duration {
    interval.clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::after_start(Duration::from_secs(seconds))
    }

    #[test]
    fn a_member_is_lost_after_three_silent_intervals_and_any_byte_counts() {
        let mut link = Liveness::new(at(0), Duration::from_secs(5), Duration::from_secs(15));
        assert_eq!(link.lost_at(), at(45));
        link.heard(at(44));
        assert_eq!(link.lost_at(), at(89));
        link.expect(Duration::from_secs(2));
        assert_eq!(link.lost_at(), at(50));
    }

    #[test]
    fn a_sign_of_life_is_due_an_interval_after_the_last_word() {
        let mut link = Liveness::new(at(0), Duration::from_secs(5), Duration::from_secs(5));
        assert_eq!(link.speak_at(), at(5));
        link.said(at(3));
        assert_eq!(link.speak_at(), at(8));
        link.promise(Duration::from_mins(1));
        assert_eq!(link.speak_at(), at(63));
    }

    #[test]
    fn a_node_that_was_asleep_does_not_blame_other_members() {
        let mut link = Liveness::new(at(0), Duration::from_secs(5), Duration::from_secs(5));
        link.excuse(at(3600), Duration::from_secs(3590));
        assert_eq!(link.lost_at(), at(3605));
        link.excuse(at(3600), Duration::from_secs(3590));
        assert_eq!(link.last_heard(), at(3600), "never in the future");
    }

    #[test]
    fn a_member_that_promises_too_little_is_still_given_up() {
        let link = Liveness::new(at(0), Duration::ZERO, Duration::MAX);
        assert_eq!(link.lost_at(), at(1800));
        assert!(link.speak_at() > at(0));
    }
}

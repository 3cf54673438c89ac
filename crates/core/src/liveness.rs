//! When to give a sign of life, and when to give a member up.
//!
//! One rule for tracker and neighbours alike: each end of a link promises to
//! send something at least once an interval. A member that was silent for three
//! intervals is gone. Closed connections and goodbyes are noticed elsewhere, at
//! once.

use std::time::Duration;

use crate::time::Instant;

/// How many silent intervals it takes to give a member up.
pub const INTERVALS_TO_LOSS: u32 = 3;

/// The first dial after a loss comes at a random moment within this time, so
/// that the peers that lost the same member do not all come back at once.
pub const JITTER: Duration = Duration::from_secs(1);

/// No promise is taken to be shorter than this: a byte needs time to travel.
const SHORTEST: Duration = Duration::from_millis(100);
/// No promise is taken to be longer: a member could stay for ever by promising
/// little.
const LONGEST: Duration = Duration::from_mins(10);

/// The two promises on one link, and how well they are kept.
#[derive(Clone, Copy, Debug)]
pub struct Liveness {
    ours: Duration,
    theirs: Duration,
    said: Instant,
    heard: Instant,
}

impl Liveness {
    /// A link that came up now. `ours` is this end's promise, `theirs` the
    /// other end's.
    pub fn new(now: Instant, ours: Duration, theirs: Duration) -> Self {
        Self {
            ours: within_reason(ours),
            theirs: within_reason(theirs),
            said: now,
            heard: now,
        }
    }

    /// A byte arrived.
    pub fn heard(&mut self, now: Instant) {
        self.heard = self.heard.max(now);
    }

    /// A byte was sent.
    pub fn said(&mut self, now: Instant) {
        self.said = self.said.max(now);
    }

    /// This end promises another interval from now on, because the other end
    /// granted it.
    pub fn promise(&mut self, ours: Duration) {
        self.ours = within_reason(ours);
    }

    /// The other end promises another interval from now on, because this end
    /// granted it.
    pub fn expect(&mut self, theirs: Duration) {
        self.theirs = within_reason(theirs);
    }

    /// This node was away for this long (the machine slept): what the other end
    /// sent in the meantime is not lost, only unread.
    pub fn excuse(&mut self, now: Instant, away: Duration) {
        self.heard = (self.heard + away).min(now);
    }

    /// What this end promises.
    pub fn ours(&self) -> Duration {
        self.ours
    }

    /// What the other end promises.
    pub fn theirs(&self) -> Duration {
        self.theirs
    }

    /// When a byte last arrived.
    pub fn last_heard(&self) -> Instant {
        self.heard
    }

    /// When to give a sign of life, unless something else is sent before.
    pub fn speak_at(&self) -> Instant {
        self.said + self.ours
    }

    /// When to give the other end up, unless a byte arrives before.
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
    fn a_member_is_lost_after_three_silent_intervals_and_any_byte_saves_it() {
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
    fn whoever_was_away_does_not_blame_the_others() {
        let mut link = Liveness::new(at(0), Duration::from_secs(5), Duration::from_secs(5));
        link.excuse(at(3600), Duration::from_secs(3590));
        assert_eq!(link.lost_at(), at(3605));
        link.excuse(at(3600), Duration::from_secs(3590));
        assert_eq!(link.last_heard(), at(3600), "never in the future");
    }

    #[test]
    fn nobody_can_promise_so_little_that_it_is_never_given_up() {
        let link = Liveness::new(at(0), Duration::ZERO, Duration::MAX);
        assert_eq!(link.lost_at(), at(1800));
        assert!(link.speak_at() > at(0));
    }
}

//! Time as the machines know it: a number that only grows, handed in from outside.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment, counted from an arbitrary start that is the same for one machine.
///
/// `std`'s own `Instant` can only be read from a clock; this one can be made by
/// a test or a simulator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(Duration);

impl Instant {
    /// The moment this long after the start.
    pub const fn after_start(since_start: Duration) -> Self {
        Self(since_start)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// How long after `earlier` this is; zero if it is not after it.
    fn sub(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

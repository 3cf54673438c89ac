//! Time as the state machines know it: a value that only grows and comes from outside.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment, as the time since an arbitrary start that is the same for one machine.
///
/// The `Instant` of `std` can only be read from a clock; this one can be made by a test or a
/// simulator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(Duration);

impl Instant {
    /// Returns the moment this long after the start.
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

    /// Returns the time since `earlier`; zero if `earlier` is not earlier.
    fn sub(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

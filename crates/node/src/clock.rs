//! What time it is.
//!
//! The one place that reads a clock for certificates, invites and the machines.
//! A test turns its own clock with [`Clock::turn`]; nothing else changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use tokio::time::Instant;

/// A monotonic clock and a wall clock. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct Clock {
    start: Instant,
    /// Seconds that the wall clock is off the system's.
    skew: Arc<AtomicI64>,
}

impl Clock {
    /// The system's clocks. The monotonic one starts now, at zero.
    pub fn system() -> Self {
        Self {
            start: Instant::now(),
            skew: Arc::default(),
        }
    }

    /// Time since this clock was made: never runs backwards.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// The date and time, as far as this machine knows it.
    pub fn wall(&self) -> SystemTime {
        let now = SystemTime::now();
        let skew = self.skew.load(Ordering::Relaxed);
        let by = Duration::from_secs(skew.unsigned_abs());
        let turned = if skew < 0 {
            now.checked_sub(by)
        } else {
            now.checked_add(by)
        };
        turned.unwrap_or(now)
    }

    /// Turns the wall clock this many seconds off the system's.
    pub fn turn(&self, seconds: i64) {
        self.skew.store(seconds, Ordering::Relaxed);
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(
            unix_seconds(self.wall()),
        )))
    }
}

/// Seconds since 1970; a time before it counts as 1970.
pub fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_turned_clock_is_off_by_as_much_in_every_clone() {
        let clock = Clock::system();
        let other = clock.clone();
        let day = 24 * 3600;
        clock.turn(40 * day);
        let off = other.wall().duration_since(SystemTime::now());
        assert!(off.expect("ahead") > Duration::from_hours(39 * 24));
        clock.turn(-40 * day);
        assert!(other.wall() < SystemTime::now());
    }
}

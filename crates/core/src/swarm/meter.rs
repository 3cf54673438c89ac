//! How fast bytes come, over the last seconds.

use std::time::Duration;

use crate::time::Instant;

/// Seconds that are looked back at.
const SECONDS: usize = 5;

/// Bytes of each of the last seconds.
#[derive(Debug)]
pub struct Meter {
    start: Instant,
    second: u64,
    bytes: [u64; SECONDS],
}

impl Meter {
    /// Nothing has come yet.
    pub fn new(start: Instant) -> Self {
        Self {
            start,
            second: 0,
            bytes: [0; SECONDS],
        }
    }

    /// So many have come.
    pub fn add(&mut self, now: Instant, bytes: u64) {
        self.turn(now);
        self.bytes[0] += bytes;
    }

    /// Bytes a second.
    pub fn rate(&mut self, now: Instant) -> u64 {
        self.turn(now);
        let span = (now - self.start).min(self.covered(now));
        let total: u64 = self.bytes.iter().sum();
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        total.saturating_mul(1000) / millis.max(200)
    }

    /// How far back the seconds kept reach.
    fn covered(&self, now: Instant) -> Duration {
        let into = (now - self.start).saturating_sub(Duration::from_secs(self.second));
        Duration::from_secs(SECONDS as u64 - 1) + into
    }

    fn turn(&mut self, now: Instant) {
        let second = (now - self.start).as_secs();
        let passed = usize::try_from(second.saturating_sub(self.second)).unwrap_or(SECONDS);
        let passed = passed.min(SECONDS);
        self.bytes.rotate_right(passed);
        self.bytes[..passed].fill(0);
        self.second = self.second.max(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::after_start(Duration::from_millis(millis))
    }

    #[test]
    fn a_steady_stream_has_its_rate_from_the_first_second_on() {
        let mut meter = Meter::new(at(0));
        for tick in 1..=100 {
            meter.add(at(tick * 100), 1000);
            if tick > 2 {
                let rate = meter.rate(at(tick * 100));
                assert!((9_500..=10_500).contains(&rate), "{rate} at {tick}");
            }
        }
    }

    #[test]
    fn what_came_long_ago_counts_no_more() {
        let mut meter = Meter::new(at(0));
        meter.add(at(100), 1_000_000);
        assert_eq!(meter.rate(at(20_000)), 0);
    }
}

//! The monotonic clock and the wall clock.
//!
//! This is the only place that reads a clock for certificates, invites and the machines of
//! `core`. Tests set the wall clock with [`Clock::turn`].

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// Clocks that differ by less than this, in seconds, count as equal.
const TOLERATED: u64 = 300;

/// A monotonic clock and a wall clock. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct Clock {
    start: Instant,
    /// Seconds by which the wall clock is ahead of the system's.
    skew: Arc<watch::Sender<i64>>,
}

/// How often a task that waits for a time of day checks the clock: timers stand still while a
/// machine sleeps, and users set clocks.
const LOOK_EVERY: Duration = Duration::from_mins(1);

impl Clock {
    /// Returns the system's clocks. The monotonic one starts now, at zero.
    pub fn system() -> Self {
        Self {
            start: Instant::now(),
            skew: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Returns the time since this clock was made, which never runs backwards.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Returns the date and time, as far as this machine knows it.
    pub fn wall(&self) -> SystemTime {
        let now = SystemTime::now();
        let skew = *self.skew.borrow();
        let by = Duration::from_secs(skew.unsigned_abs());
        let turned = if skew < 0 {
            now.checked_sub(by)
        } else {
            now.checked_add(by)
        };
        turned.unwrap_or(now)
    }

    /// Sets the wall clock this many seconds ahead of the system's.
    pub fn turn(&self, seconds: i64) {
        self.skew.send_replace(seconds);
    }

    /// Waits until this much time has passed since this clock was made, whatever the time of day.
    pub async fn has_run(&self, time: Duration) {
        let left = time.saturating_sub(self.elapsed());
        // Without time left, do not even wait for one tick of the timer.
        if !left.is_zero() {
            sleep(left).await;
        }
    }

    /// Waits until the wall clock shows this time or a later one.
    pub async fn reaches(&self, time: SystemTime) {
        self.waits_while(time, |now| now < time).await;
    }

    /// Waits until the wall clock is outside this range: after it, or before it because the clock
    /// was set back.
    pub async fn leaves(&self, times: Range<SystemTime>) {
        self.waits_while(times.end, |now| times.contains(&now))
            .await;
    }

    async fn waits_while(&self, end: SystemTime, so: impl Fn(SystemTime) -> bool) {
        let mut turned = self.skew.subscribe();
        loop {
            let now = self.wall();
            if !so(now) {
                return;
            }
            let left = end.duration_since(now).unwrap_or_default();
            tokio::select! {
                () = sleep(left.min(LOOK_EVERY)) => {}
                // This clock holds the sender, so the channel is never closed.
                _ = turned.changed() => {}
            }
        }
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(
            unix_seconds(self.wall()),
        )))
    }
}

/// Two clocks that disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Apart {
    /// This machine's time, in seconds since 1970.
    pub here: u64,
    /// The tracker's time, in seconds since 1970.
    pub there: u64,
}

impl Apart {
    /// Compares two times. Returns `None` if they differ by too little to matter.
    pub fn of(here: SystemTime, there: u64) -> Option<Self> {
        let here = unix_seconds(here);
        (here.abs_diff(there) >= TOLERATED).then_some(Self { here, there })
    }
}

impl fmt::Display for Apart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { here, there } = *self;
        let by = span(Duration::from_secs(here.abs_diff(there)));
        let way = if here > there { "ahead of" } else { "behind" };
        write!(
            f,
            "this machine's clock is {by} {way} the tracker's (here it is {}, there it is {}): set the one that is wrong, then try again",
            utc(here),
            utc(there)
        )
    }
}

/// Returns seconds since 1970, or 0 for an earlier time.
pub fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Formats a span of time, rounded, for a user.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (number, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds.saturating_add(30) / 60, "minute"),
        7200..172_800 => (seconds.saturating_add(1800) / 3600, "hour"),
        _ => (seconds.saturating_add(43_200) / 86_400, "day"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

/// Formats a date and time in UTC, for a user.
pub(crate) fn utc(seconds: u64) -> String {
    let fits = i64::try_from(seconds).ok();
    let time = fits.and_then(|s| x509_parser::time::ASN1Time::from_timestamp(s).ok());
    time.map_or_else(
        || format!("{seconds} s after 1970"),
        |time| time.to_string(),
    )
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

    #[test]
    fn spans_are_said_the_way_people_say_them() {
        for (seconds, says) in [
            (1, "1 second"),
            (119, "119 seconds"),
            (3600, "60 minutes"),
            (3 * 86_400 + 5, "3 days"),
            (40 * 86_400 - 1, "40 days"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), says);
        }
    }

    #[test]
    fn the_clock_is_named_in_utc() {
        let text = utc(1_700_000_000);
        assert!(text.contains("2023") && text.contains("14"), "{text}");
    }

    #[test]
    fn clocks_that_are_apart_are_told_by_how_much_and_which_is_ahead() {
        let start = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let forty = Duration::from_hours(40 * 24);
        let told = |here| Apart::of(here, 1_700_000_000).map(|apart| apart.to_string());
        assert_eq!(told(start), None);
        assert_eq!(told(start + Duration::from_secs(299)), None);
        for (here, says) in [
            (start + forty, "40 days ahead of"),
            (start - forty, "40 days behind"),
        ] {
            let text = told(here).expect("is far off");
            assert!(
                text.contains(&format!("this machine's clock is {says} the tracker's")),
                "{text}"
            );
            assert!(text.contains("there it is Nov 14"), "{text}");
        }
    }
}

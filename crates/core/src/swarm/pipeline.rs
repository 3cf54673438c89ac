//! How much to ask of one source at once.
//!
//! Owns the window of one session, or of one link for small files: how many bytes may be
//! outstanding. The window begins small and is doubled as long as that increases the rate, so that
//! a fast link is kept full whatever its delay. Where its bytes come at once and nothing does for
//! most of the time it grows more, up to eightfold, and where nothing does for nearly all of the
//! time it is doubled even if that did not increase the rate. A slow source is asked for no more
//! than a second's worth.

use std::time::Duration;

use thorp_wire::session::message::LONGEST_REQUEST;

use crate::time::Instant;

use super::pieces::LEAF_LENGTH;

/// The first window, before the rate of a source is known.
const FIRST: u64 = 128 * 1024;
/// The smallest window: one request, and the next behind it.
const SMALLEST: u64 = 2 * LEAF_LENGTH as u64;
/// The largest window of a source that keeps this many requests waiting, for each of them; and of
/// any source. They are numbers only, until they are answered.
const LARGEST_EACH: u64 = 128 * 1024;
const USUAL_REQUESTS: u32 = 256;
pub(super) const LARGEST: u64 = 128 * 1024 * 1024;
/// The window holds what arrives in a time between these two.
const SHORTEST_WORTH: Duration = Duration::from_millis(100);
const LONGEST_WORTH: Duration = Duration::from_secs(1);
/// The window grows again if the rate has grown by this factor since the last time.
const PAYS: f64 = 1.2;
/// How much it grows at once, as a factor.
const GROWS_LEAST: u64 = 2;
const GROWS_MOST: u64 = 8;
/// A rate measured longer ago than this does not count any more.
const MEMORY: Duration = Duration::from_secs(1);
/// The longest request to a source of any rate. A longer one costs both ends less a byte, but
/// what is asked of a source cannot be asked of another one meanwhile: so a request is longer only
/// as far as it arrives in `NO_TIME`, and never longer than `LONGEST`.
const USUAL: u32 = 256 * 1024;
const LONGEST: u32 = LONGEST_REQUEST;
const NO_TIME: Duration = Duration::from_millis(10);
/// The shortest time that a clock is trusted to measure.
const TICK: Duration = Duration::from_micros(20);

/// The window of one session.
#[derive(Clone, Debug)]
pub struct Pipeline {
    window: u64,
    /// The largest one.
    largest: u64,
    /// Bytes that are outstanding.
    out: u64,
    /// Bytes of blocks that have arrived.
    delivered: u64,
    /// When the last of them arrived, or when the first was asked for.
    last: Instant,
    /// Bytes that have arrived of an incomplete block.
    flowed: u64,
    rate: Rate,
    /// The values of `delivered` and of the rate when the window was last adjusted.
    round: u64,
    rate_before: f64,
    /// How long something was awaited since then, and the longest silence in it: where the window
    /// is too small, its bytes come at once, and nothing does until the next ones were asked for.
    awaited: Duration,
    silence: Duration,
}

/// The state of the pipeline when a request was made.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    delivered: u64,
    since: Instant,
}

/// The best recent rate, in bytes a second.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    now: f64,
    before: f64,
    latest: f64,
    began: Instant,
}

impl Pipeline {
    /// Creates the window of a source that was never measured, and that keeps this many requests
    /// waiting.
    pub fn new(now: Instant, most_requests: Option<u32>) -> Self {
        let most_requests = most_requests.unwrap_or(USUAL_REQUESTS);
        Self {
            window: FIRST,
            largest: (u64::from(most_requests) * LARGEST_EACH).clamp(FIRST, LARGEST),
            out: 0,
            delivered: 0,
            last: now,
            flowed: 0,
            rate: Rate::default(),
            round: 0,
            rate_before: 0.0,
            awaited: Duration::ZERO,
            silence: Duration::ZERO,
        }
    }

    /// Returns how many more bytes may be asked for. Zero if the next request would be short only
    /// because the window is nearly full.
    pub fn room(&self) -> u64 {
        let room = self.window.saturating_sub(self.out);
        if self.out > 0 && room < u64::from(self.request_length(u32::MAX)) {
            return 0;
        }
        room
    }

    /// Returns how many bytes may be outstanding.
    pub fn window(&self) -> u64 {
        self.window
    }

    /// Whether a request of this length, which cannot be shortened, fits into the window.
    pub fn has_room_for(&self, bytes: u64) -> bool {
        self.out.saturating_add(bytes) <= self.window
    }

    /// Returns how long a request should be: a quarter of the window, at most `longest`, and more
    /// than 256 KiB only where that arrives in no time.
    pub fn request_length(&self, longest: u32) -> u32 {
        let quarter = u32::try_from(self.window / 4).unwrap_or(u32::MAX);
        power_below(quarter)
            .min(self.longest())
            .min(longest)
            .max(LEAF_LENGTH)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate, and clamped"
    )]
    fn longest(&self) -> u32 {
        let at_once = self.rate.best() * NO_TIME.as_secs_f64();
        power_below(at_once as u32).clamp(USUAL, LONGEST)
    }

    /// Records a request.
    pub fn asked(&mut self, now: Instant, bytes: u32) -> Mark {
        if self.out == 0 {
            // The source is not to blame for the time without requests.
            self.last = now;
        }
        self.out += u64::from(bytes);
        Mark {
            delivered: self.delivered,
            since: self.last,
        }
    }

    /// Removes outstanding bytes that will not arrive or are not awaited any more.
    pub fn released(&mut self, bytes: u32) {
        self.out = self.out.saturating_sub(bytes.into());
    }

    /// Records bytes of an incomplete block.
    pub fn flowing(&mut self, bytes: u32) {
        self.flowed += u64::from(bytes);
    }

    /// Records a complete block and the mark of its request. Returns how many of its bytes were
    /// not reported by [`flowing`](Self::flowing).
    pub fn on_block_received(&mut self, now: Instant, mark: Mark, bytes: u32) -> u64 {
        let untold = u64::from(bytes).saturating_sub(self.flowed);
        self.flowed = 0;
        self.released(bytes);
        self.delivered += u64::from(bytes);
        let time = (now - mark.since).max(TICK);
        let silence = now - self.last;
        self.awaited += silence;
        self.silence = self.silence.max(silence);
        self.last = now;
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let sample = (self.delivered - mark.delivered) as f64 / time.as_secs_f64();
        self.rate.sample(now, sample);
        if self.delivered - self.round >= self.window {
            self.round = self.delivered;
            self.grow();
        }
        self.fit();
        untold
    }

    /// Returns the best recent rate in bytes a second, but no more than the current silence
    /// allows.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn rate(&self, now: Instant) -> f64 {
        let best = self.rate.best();
        let silence = now - self.last;
        if self.out == 0 || silence < MEMORY {
            return best;
        }
        let since = (self.flowed + u64::from(LEAF_LENGTH)) as f64 / silence.as_secs_f64();
        best.min(since)
    }

    /// Estimates how long this many more bytes would take if they were asked for now.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn awaited(&self, now: Instant, more: u32) -> Duration {
        let rate = self.rate(now);
        let bytes = (self.out + u64::from(more)).saturating_sub(self.flowed);
        if rate < 1.0 {
            // Nothing was measured: the longer the silence, the longer the estimate.
            return Duration::from_millis(500) + (now - self.last);
        }
        Duration::try_from_secs_f64(bytes as f64 / rate).unwrap_or(Duration::MAX)
    }

    fn grow(&mut self) {
        let rate = self.rate.best();
        let flowing = self.awaited.saturating_sub(self.silence).max(TICK);
        let more = self.awaited.as_nanos() / flowing.as_nanos();
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        (self.awaited, self.silence) = (Duration::ZERO, Duration::ZERO);
        if rate > self.rate_before * PAYS {
            self.rate_before = rate;
            self.window *= more.clamp(GROWS_LEAST, GROWS_MOST);
        } else if more >= GROWS_MOST {
            // A source that sends twice a second, as some clients do, may seem to be fast at first:
            // a rate that does not grow from there says nothing. In a crowd all sources are silent
            // for a while, but send for longer than this.
            self.window *= GROWS_LEAST;
        } else if rate < self.rate_before / 2.0 {
            // The source has become slower, so a larger window may pay again from here.
            self.rate_before = rate;
        }
    }

    /// Keeps the window within its bounds.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate, and clamped"
    )]
    fn fit(&mut self) {
        let rate = self.rate.best();
        let least = (rate * SHORTEST_WORTH.as_secs_f64()) as u64;
        let most = ((rate * LONGEST_WORTH.as_secs_f64()) as u64).max(least);
        self.window = self.window.clamp(least, most).clamp(SMALLEST, self.largest);
    }
}

/// Returns the largest power of two that is not larger; 1 for 0.
fn power_below(number: u32) -> u32 {
    1 << number.max(1).ilog2()
}

impl Rate {
    fn sample(&mut self, now: Instant, sample: f64) {
        if now - self.began > MEMORY {
            self.before = if now - self.began > 2 * MEMORY {
                0.0
            } else {
                self.now
            };
            self.now = 0.0;
            self.began = now;
        }
        self.now = self.now.max(sample);
        self.latest = sample;
    }

    fn best(&self) -> f64 {
        self.now.max(self.before).max(self.latest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    fn at(micros: u64) -> Instant {
        Instant::after_start(Duration::from_micros(micros))
    }

    /// Fetches over a link of that rate (bytes a second) and round-trip delay (microseconds) for
    /// that long (seconds). Returns the pipeline and the bytes that arrived.
    fn over(rate: u64, delay: u64, seconds: u64) -> (Pipeline, u64) {
        let mut pipeline = Pipeline::new(at(0), Some(1024));
        let mut waiting: VecDeque<(u64, Mark, u32)> = VecDeque::new();
        let (mut now, mut free, mut came) = (0, 0, 0);
        loop {
            while pipeline.room() > 0 {
                let length = pipeline.request_length(1024 * 1024);
                let mark = pipeline.asked(at(now), length);
                free = free.max(now + delay) + u64::from(length) * 1_000_000 / rate;
                waiting.push_back((free, mark, length));
            }
            let (when, mark, length) = waiting.pop_front().expect("something is asked for");
            now = when;
            if now > seconds * 1_000_000 {
                return (pipeline, came);
            }
            came += pipeline.on_block_received(at(now), mark, length);
        }
    }

    #[test]
    fn a_link_is_kept_full_whatever_its_rate_and_delay() {
        for (rate, delay) in [
            (12_500_000, 200),
            (12_500_000, 100_000),
            (125_000_000, 20_000),
            (1_000_000_000, 100),
            (100_000, 50_000),
        ] {
            let (_, came) = over(rate, delay, 10);
            assert!(
                came > rate * 9,
                "{came} of {} at a delay of {delay} us",
                rate * 10
            );
        }
    }

    /// Fetches for ten seconds from a source that sends what was asked for twice a second, up to 2
    /// MB at a time, the first time after so long (microseconds). Returns the bytes that arrived.
    fn in_pulses(first: u64) -> u64 {
        const AT_ONCE: u64 = 2_000_000;
        let mut pipeline = Pipeline::new(at(0), None);
        let mut waiting: VecDeque<(Mark, u32)> = VecDeque::new();
        let (mut now, mut came) = (first, 0);
        let ask = |pipeline: &mut Pipeline, waiting: &mut VecDeque<_>, now| {
            while pipeline.room() > 0 {
                let length = pipeline.request_length(LEAF_LENGTH);
                waiting.push_back((pipeline.asked(at(now), length), length));
            }
        };
        ask(&mut pipeline, &mut waiting, 0);
        while now < 10_000_000 {
            let mut left = AT_ONCE;
            // What is asked for meanwhile is sent the next time.
            for _ in 0..waiting.len() {
                let Some((mark, length)) =
                    waiting.pop_front_if(|(_, length)| u64::from(*length) <= left)
                else {
                    break;
                };
                left -= u64::from(length);
                came += u64::from(length);
                pipeline.on_block_received(at(now), mark, length);
                now += 10;
            }
            ask(&mut pipeline, &mut waiting, now);
            now = first + ((now - first) / 500_000 + 1) * 500_000;
        }
        came
    }

    #[test]
    fn a_source_that_sends_twice_a_second_is_soon_asked_for_all_it_can_send() {
        for first in (1000..500_000).step_by(7_300) {
            let came = in_pulses(first);
            assert!(came > 20_000_000, "{came} of 40 MB, first after {first} us");
        }
    }

    #[test]
    fn a_long_way_is_full_after_six_times_there_and_back() {
        for (rate, delay) in [
            (1_000_000_000, 100_000),
            (125_000_000, 100_000),
            (1_000_000_000, 20_000),
        ] {
            let (_, came) = over(rate, delay, 1);
            let full = rate - 6 * delay * rate / 1_000_000;
            assert!(came > full, "{came} of {full} at a delay of {delay} us");
        }
    }

    #[test]
    fn what_comes_a_little_at_a_time_lets_the_window_grow_twofold_at_once() {
        // As a connection is at its start: the window takes four times there and back.
        let mut pipeline = Pipeline::new(at(0), None);
        let (mut now, before) = (0, pipeline.window);
        let marks: Vec<Mark> = (0..4).map(|_| pipeline.asked(at(0), 32 * 1024)).collect();
        for mark in marks {
            now += 100_000;
            pipeline.on_block_received(at(now), mark, 32 * 1024);
        }
        assert_eq!(pipeline.window, 2 * before);
    }

    #[test]
    fn a_source_is_asked_for_no_more_than_it_keeps_waiting() {
        let mut pipeline = Pipeline::new(at(0), Some(USUAL_REQUESTS));
        pipeline.rate.sample(at(0), 1e12);
        pipeline.fit();
        assert_eq!(pipeline.window, 32 * 1024 * 1024);
        let mut pipeline = Pipeline::new(at(0), Some(u32::MAX));
        pipeline.rate.sample(at(0), 1e12);
        pipeline.fit();
        assert_eq!(pipeline.window, LARGEST);
    }

    #[test]
    fn a_very_fast_link_has_several_mib_asked_for() {
        let (pipeline, _) = over(1_000_000_000, 100, 2);
        assert!(pipeline.window >= 4 * 1024 * 1024);
        assert_eq!(pipeline.request_length(u32::MAX), LONGEST);
        assert_eq!(pipeline.request_length(USUAL), USUAL, "as it answers");
    }

    #[test]
    fn a_request_is_longer_than_256_kib_only_where_it_arrives_within_10_ms() {
        for (rate, longest) in [
            (12_500_000, USUAL),
            (40_000_000, USUAL),
            (60_000_000, 2 * USUAL),
            (125_000_000, LONGEST),
        ] {
            let (pipeline, _) = over(rate, 1000, 5);
            assert_eq!(pipeline.request_length(u32::MAX), longest, "at {rate}");
        }
    }

    #[test]
    fn a_source_at_ten_bytes_a_second_is_asked_for_next_to_nothing() {
        let (pipeline, _) = over(10, 1000, 60_000);
        assert_eq!(pipeline.window, SMALLEST);
        assert_eq!(pipeline.request_length(u32::MAX), LEAF_LENGTH);
    }

    #[test]
    fn no_more_than_a_second_s_worth_is_asked() {
        let (pipeline, _) = over(1_000_000, 400_000, 30);
        assert!(pipeline.window <= 1_100_000, "{}", pipeline.window);
    }

    #[test]
    fn a_source_that_falls_silent_counts_as_slow() {
        let (pipeline, _) = over(12_500_000, 200, 2);
        assert!(pipeline.rate(at(2_100_000)) > 12_000_000.0);
        assert!(pipeline.rate(at(12_000_000)) < 2_000.0);
        assert!(pipeline.awaited(at(12_000_000), 0) > Duration::from_mins(1));
    }
}

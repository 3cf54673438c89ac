//! One trace played in one arm, and what it came to.

use std::ops::Range;
use std::time::{Duration, Instant as Clock};

use thorp_core::lookup::Source;
use thorp_core::time::Instant;

use crate::arm::Arm;
use crate::chance::as_f64;
use crate::network::TRACKER;
use crate::trace::{Trace, Wording};
use crate::traffic::{ByKind, FrameKind, Hour};
use crate::village::{Fate, Requested, World};

/// How a run ended.
pub struct Run {
    requests: Vec<Requested>,
    hours: Vec<Hour>,
    /// How laws were broken, if they were.
    pub broken: Vec<String>,
    /// All that has happened, in one number: the same for the same seed.
    pub digest: u64,
    /// How many things have happened.
    pub events: u64,
    /// How long it took to play.
    pub took: Duration,
    /// Files that were asked for where they are no more.
    pub stale: u64,
}

/// What some hours of a run came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Lookups of names that somewhere online has had; patterns are none.
    pub answerable: usize,
    /// Lookups of names that no machine online has had.
    pub unanswerable: usize,
    /// The share of answerable lookups without a message to the tracker.
    pub spared: f64,
    /// The same that no machine can exceed which asks its region only: those whose
    /// file is there.
    pub region_oracle: f64,
    /// The share of answerable lookups that ended without the file.
    pub missed: f64,
    /// The share of patterns that were answered with less than the tracker knows.
    pub partial: f64,
    /// Questions sent to peers for each lookup.
    pub questions: f64,
    /// Messages of every kind that a peer sends the tracker in an hour online.
    pub to_tracker: f64,
    /// Of these: signs of life.
    pub beats: f64,
    /// Bytes that a peer sends in a second online, files left out: the mean.
    pub bytes: f64,
    /// The same of the peer in the middle, and of the one that 99 of 100 stay below.
    pub bytes_of: (f64, f64),
    /// How long a fetch takes from the request on: in the middle, and for 99 of 100.
    pub latency: (Duration, Duration),
}

/// Plays a trace.
pub fn play(trace: &Trace, arm: Arm, loss: f64, seed: u64) -> Run {
    let started = Clock::now();
    let mut village = World::new(trace, arm, loss, seed);
    for (at, event) in &trace.events {
        village.run_until(Instant::after_start(*at));
        village.on_event(*event);
    }
    village.run_until(Instant::after_start(trace.length));
    village.finish();
    let hours = trace.length.as_secs().div_ceil(3600);
    let hours = village
        .traffic
        .hours(0..usize::try_from(hours).unwrap_or(usize::MAX));
    Run {
        hours: hours.to_vec(),
        broken: village.laws.broken().to_vec(),
        requests: village.requests,
        digest: village.digest,
        events: village.events,
        took: started.elapsed(),
        stale: village.stale,
    }
}

impl Run {
    /// What these hours came to.
    pub fn summary(&self, hours: Range<usize>) -> Summary {
        let within = |at: Instant| {
            let hour = (at - Instant::default()).as_secs() / 3600;
            usize::try_from(hour).is_ok_and(|hour| hours.contains(&hour))
        };
        // What its user did not wait for is no lookup.
        let asked = self.requests.iter();
        let asked = asked.filter(|asked| within(asked.at) && asked.fate != Fate::Left);
        let (patterns, lookups): (Vec<&Requested>, Vec<&Requested>) =
            asked.partition(|asked| asked.wording == Wording::Folder);
        let answerable: Vec<_> = lookups
            .iter()
            .filter(|asked| asked.available.anywhere)
            .collect();
        let share = |so: &dyn Fn(&Requested) -> bool| {
            let count = answerable.iter().filter(|asked| so(asked)).count();
            ratio(count, answerable.len())
        };
        let partial =
            |asked: &&&Requested| !matches!(asked.fate, Fate::Listed { is_whole: true, .. });
        let mut waits: Vec<Duration> = answerable
            .iter()
            .filter_map(|asked| match asked.fate {
                Fate::Fetched { after, .. } => Some(after),
                _ => None,
            })
            .collect();
        waits.sort_unstable();
        let of = &self.hours[hours.start.min(self.hours.len())..hours.end.min(self.hours.len())];
        let online: Vec<f64> = sums(of, |hour, node| hour.online[node].as_secs_f64());
        let sent: Vec<f64> = sums(of, |hour, node| as_f64(hour.bytes[node]));
        let all_online: f64 = online.iter().sum();
        let mut rates: Vec<f64> = sent
            .iter()
            .zip(&online)
            .filter(|(_, online)| **online >= 60.0)
            .map(|(sent, online)| sent / online)
            .collect();
        rates.sort_by(f64::total_cmp);
        let messages = |counts: &dyn Fn(&Hour) -> ByKind| {
            let mut all = ByKind::default();
            for hour in of {
                for (sum, count) in all.iter_mut().zip(counts(hour)) {
                    *sum += count;
                }
            }
            all
        };
        let to_tracker = messages(&|hour| hour.to_tracker);
        let among_peers = messages(&|hour| hour.among_peers);
        let an_hour = |count: u64| as_f64(count) / (all_online / 3600.0).max(1e-9);
        Summary {
            answerable: answerable.len(),
            unanswerable: lookups.len() - answerable.len(),
            spared: share(&is_spared),
            region_oracle: share(&|asked| asked.available.in_region),
            missed: share(&|asked| !matches!(asked.fate, Fate::Fetched { .. })),
            partial: ratio(patterns.iter().filter(partial).count(), patterns.len()),
            questions: as_f64(among_peers[FrameKind::Find as usize])
                / as_f64(lookups.len() as u64).max(1.0),
            to_tracker: an_hour(to_tracker.iter().sum()),
            beats: an_hour(to_tracker[FrameKind::Beat as usize]),
            bytes: sent.iter().sum::<f64>() / all_online.max(1e-9),
            bytes_of: (quantile(&rates, 0.5), quantile(&rates, 0.99)),
            latency: (quantile(&waits, 0.5), quantile(&waits, 0.99)),
        }
    }

    /// How many things have happened in a second of playing.
    pub fn events_a_second(&self) -> f64 {
        as_f64(self.events) / self.took.as_secs_f64().max(1e-9)
    }

    /// How the answered lookups of all hours were answered: from memory, by a
    /// neighbour that was asked, by the tracker.
    pub fn sources(&self) -> [usize; 3] {
        let mut sources = [0; 3];
        for asked in &self.requests {
            if let Fate::Fetched { source, .. } = asked.fate {
                sources[match source {
                    Source::Memory => 0,
                    Source::Neighbour(_) => 1,
                    Source::Tracker => 2,
                }] += 1;
            }
        }
        sources
    }
}

/// A lookup is spared if no message about it reaches the tracker.
fn is_spared(asked: &Requested) -> bool {
    matches!(
        asked.fate,
        Fate::Fetched {
            tracker_asked: false,
            ..
        }
    )
}

/// By peer: the sum over some hours.
fn sums(hours: &[Hour], of: impl Fn(&Hour, usize) -> f64) -> Vec<f64> {
    let nodes = hours.first().map_or(0, |hour| hour.bytes.len());
    let sum = |node| hours.iter().map(|hour| of(hour, node)).sum();
    (TRACKER + 1..nodes).map(sum).collect()
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    as_f64(part as u64) / as_f64(whole as u64)
}

/// The value that this share of all stays below; they are in order.
fn quantile<T: Copy + Default>(sorted: &[T], share: f64) -> T {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the number of values"
    )]
    let place = (as_f64(sorted.len() as u64) * share) as usize;
    let last = sorted.len().saturating_sub(1);
    sorted.get(place.min(last)).copied().unwrap_or_default()
}

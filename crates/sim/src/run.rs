//! One trace played in one arm, and what it came to.

use std::ops::Range;
use std::time::{Duration, Instant as Clock};

use thorp_core::lookup::Source;
use thorp_core::time::Instant;

use crate::arm::Arm;
use crate::chance::{as_f64, ratio};
use crate::network::TRACKER;
use crate::oracle::{Best, Oracle};
use crate::trace::{Trace, Wording};
pub use crate::traffic::FrameKind;
use crate::traffic::{ByKind, Hour};
use crate::village::{Fate, Observed, Requested, World};

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
    counts: Observed,
    oracle: Oracle,
    /// By peer that is online at the end: bytes of the listings that it keeps.
    memory: Vec<f64>,
    /// How long all peers together were online.
    pub peer_hours: f64,
}

/// What some hours of a run came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Lookups of names that somewhere online has had; patterns are none.
    pub answerable: usize,
    /// Lookups of names that no machine online has had.
    pub unanswerable: usize,
    /// The share of answerable lookups without a message to the tracker.
    pub spared: f64,
    /// The same of lookups by path, and of those by base name.
    pub spared_by: (f64, f64),
    /// The share of answerable lookups of which a cache of the tracker's answers would
    /// have known a holder. Counted where there are no neighbours.
    pub cached: f64,
    /// The same that no machine can exceed which asks its region only: those whose
    /// file is there.
    pub region_oracle: f64,
    /// The share of answerable lookups that no rule could answer better without the tracker, if
    /// no single member is believed of a base name: those by path, and those by a base name that
    /// two machines have.
    pub witnessed: f64,
    /// The same where only neighbours and their neighbours at that moment are counted.
    pub within_reach: f64,
    /// How many members these are for a lookup, the mean.
    pub reached: f64,
    /// The same as [`region_oracle`](Self::region_oracle) of the best eight neighbours that a peer
    /// could have had in each hour, and of the best 32.
    pub best_neighbours: (Best, Best),
    /// The share of answerable lookups that ended without the file.
    pub missed: f64,
    /// The share of answerable lookups that brought a forged file.
    pub forged: f64,
    /// The share of answerable lookups whose user had to choose between contents.
    pub ambiguous: f64,
    /// The share of patterns that were answered with less than the tracker knows.
    pub partial: f64,
    /// Questions sent to peers for each lookup.
    pub questions: f64,
    /// Messages of every kind that a peer sends the tracker in an hour online.
    pub to_tracker: f64,
    /// Of these: signs of life.
    pub beats: f64,
    /// The same messages by kind, and those that a peer sends other peers.
    pub messages_by: Vec<(FrameKind, f64, f64)>,
    /// Bytes that a peer sends in a second online, files left out: the mean.
    pub bytes: f64,
    /// The same of the peer in the middle, and of the one that 99 of 100 stay below.
    pub bytes_of: (f64, f64),
    /// Of these bytes, how many were sent by each kind of message.
    pub bytes_by: Vec<(FrameKind, f64)>,
    /// How long a fetch takes from the request on: in the middle, and for 99 of 100.
    pub latency: (Duration, Duration),
    /// The same of fetches without a message to the tracker, in the middle and for 95 of 100.
    pub latency_near: (Duration, Duration),
    /// The same of those for which the tracker was asked.
    pub latency_far: (Duration, Duration),
    /// Questions in advance that a peer asks its neighbours in an hour online.
    pub compared: f64,
    /// How unevenly the sending of files falls on peers (Gini): 0 where all send as many.
    pub gini: f64,
    /// Of all hours: holders that were asked for a file and were gone, or had it no more,
    /// for each answered lookup.
    pub in_vain: f64,
    /// Of all hours: files that came with other bytes than were wanted, for each answered
    /// lookup.
    pub corrupt: f64,
    /// Of all hours: dials of members that were gone, by a peer in an hour online.
    pub dials_in_vain: f64,
    /// Of all hours: how long the tracker took to notice a crash, in the middle; and
    /// a neighbour.
    pub noticed: (Duration, Duration),
    /// Of all hours: links to members that were there, given up for their silence.
    pub false_evictions: u64,
    /// At the end: bytes of the listings that a peer keeps, the mean.
    pub memory: f64,
}

/// Plays a trace.
pub fn play(trace: &Trace, arm: Arm, loss: f64, seed: u64) -> Run {
    let mut playing = Playing::new(trace, arm, loss, seed);
    while playing.play_an_hour() {}
    playing.over()
}

/// A trace that is being played, an hour at a time.
pub struct Playing<'a> {
    trace: &'a Trace,
    village: World,
    started: Clock,
    /// How many events of the trace have happened.
    happened: usize,
    hours: usize,
}

impl<'a> Playing<'a> {
    /// Nothing was played yet.
    pub fn new(trace: &'a Trace, arm: Arm, loss: f64, seed: u64) -> Self {
        Self {
            trace,
            village: World::new(trace, arm, loss, seed),
            started: Clock::now(),
            happened: 0,
            hours: 0,
        }
    }

    /// Plays one more hour, or what is left of the last one. Returns whether more is left.
    pub fn play_an_hour(&mut self) -> bool {
        self.hours += 1;
        let end = Duration::from_hours(self.hours as u64).min(self.trace.length);
        while let Some((at, event)) = self.trace.events.get(self.happened)
            && *at <= end
        {
            self.village.run_until(Instant::after_start(*at));
            self.village.on_event(*event);
            self.happened += 1;
        }
        self.village.run_until(Instant::after_start(end));
        end < self.trace.length
    }

    /// Returns the number of the last hour that was played, and what it came to, in a line.
    pub fn last_hour(&mut self) -> String {
        let (requests, oracle) = (self.village.requests.clone(), self.village.oracle.clone());
        let run = self.so_far(requests, oracle);
        let last = run.summary(self.hours.saturating_sub(1)..self.hours);
        format!(
            "hour {}: {:.1} % of {} answerable lookups spared the tracker, the region has {:.1} %; {:.2} questions \
             a lookup, {:.0} B/s, {:.0} messages to the tracker an hour; {}",
            self.hours,
            last.spared * 100.0,
            last.answerable,
            last.region_oracle * 100.0,
            last.questions,
            last.bytes,
            last.to_tracker,
            run.speed(),
        )
    }

    /// Returns how it ended.
    pub fn over(mut self) -> Run {
        let oracle = std::mem::replace(&mut self.village.oracle, Oracle::new(0));
        let requests = std::mem::take(&mut self.village.requests);
        self.so_far(requests, oracle)
    }

    fn so_far(&mut self, requests: Vec<Requested>, oracle: Oracle) -> Run {
        self.village.count_online();
        let memory = self.village.memory();
        let village = &self.village;
        let hours = village.traffic.hours(0..self.hours);
        let online = hours.iter().flat_map(|hour| &hour.online);
        let peer_hours = online.sum::<Duration>().as_secs_f64() / 3600.0;
        Run {
            hours: hours.to_vec(),
            broken: village.laws.broken().to_vec(),
            requests,
            digest: village.digest,
            events: village.events,
            took: self.started.elapsed(),
            memory,
            counts: village.counts.clone(),
            oracle,
            peer_hours,
        }
    }
}

impl Run {
    /// What these hours came to.
    #[expect(clippy::too_many_lines, reason = "a figure each")]
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
        let waits = waits_of(&answerable, |_| true);
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
        let by = |wording: Wording| {
            let of_it = answerable.iter().filter(|asked| asked.wording == wording);
            let count = of_it.clone().filter(|asked| is_spared(asked)).count();
            ratio(count, of_it.count())
        };
        let served: Vec<f64> = sums(of, |hour, node| f64::from(hour.served[node]));
        let rates_of_service = served.iter().zip(&online);
        let rates_of_service = rates_of_service
            .filter(|(_, online)| **online >= 3600.0)
            .map(|(served, online)| served / online)
            .collect();
        let an_hour = |count: u64| as_f64(count) / (all_online / 3600.0).max(1e-9);
        Summary {
            answerable: answerable.len(),
            unanswerable: lookups.len() - answerable.len(),
            spared: share(&is_spared),
            spared_by: (by(Wording::Path), by(Wording::BaseName)),
            cached: share(&|asked| asked.is_cached),
            region_oracle: share(&|asked| asked.available.in_region),
            witnessed: share(&|asked| asked.wording == Wording::Path || asked.available.twice),
            within_reach: share(&|asked| asked.vicinity.is_enough_for(asked.wording)),
            reached: as_f64(
                answerable
                    .iter()
                    .map(|asked| asked.vicinity.members as u64)
                    .sum(),
            ) / as_f64(answerable.len().max(1) as u64),
            best_neighbours: (self.oracle.best(&hours, 8), self.oracle.best(&hours, 32)),
            missed: share(&|asked| !matches!(asked.fate, Fate::Fetched { .. })),
            forged: share(&|asked| {
                matches!(
                    asked.fate,
                    Fate::Fetched {
                        is_forged: true,
                        ..
                    }
                )
            }),
            ambiguous: share(&|asked| asked.fate == Fate::Ambiguous),
            partial: ratio(patterns.iter().filter(partial).count(), patterns.len()),
            questions: as_f64(among_peers[FrameKind::Find as usize])
                / as_f64(lookups.len() as u64).max(1.0),
            to_tracker: an_hour(to_tracker.iter().sum()),
            beats: an_hour(to_tracker[FrameKind::Beat as usize]),
            messages_by: FrameKind::ALL
                .into_iter()
                .map(|kind| {
                    let nth = kind as usize;
                    (kind, an_hour(to_tracker[nth]), an_hour(among_peers[nth]))
                })
                .collect(),
            bytes: sent.iter().sum::<f64>() / all_online.max(1e-9),
            bytes_of: (quantile(&rates, 0.5), quantile(&rates, 0.99)),
            bytes_by: bytes_by(of, all_online),
            latency: (quantile(&waits, 0.5), quantile(&waits, 0.99)),
            latency_near: middle_and_most(&waits_of(&answerable, |asked| !asked)),
            latency_far: middle_and_most(&waits_of(&answerable, |asked| asked)),
            compared: an_hour(among_peers[FrameKind::Compare as usize]),
            gini: gini(rates_of_service),
            in_vain: self.for_each_answer(self.counts.not_here + self.counts.gone),
            corrupt: self.for_each_answer(self.counts.corrupt),
            dials_in_vain: as_f64(self.counts.dialled_in_vain) / self.peer_hours.max(1e-9),
            noticed: (
                middle(&self.counts.tracker_noticed),
                middle(&self.counts.neighbours_noticed),
            ),
            false_evictions: self.counts.false_evictions,
            memory: self.memory.iter().sum::<f64>() / as_f64(self.memory.len().max(1) as u64),
        }
    }

    fn for_each_answer(&self, count: u64) -> f64 {
        let answered: usize = self.sources().iter().sum();
        as_f64(count) / as_f64(answered.max(1) as u64)
    }

    /// The share of answerable lookups that have brought their file, of those between these
    /// moments.
    pub fn answered(&self, from: Duration, until: Duration) -> f64 {
        let within = Instant::after_start(from)..Instant::after_start(until);
        let asked = self.requests.iter();
        let asked = asked.filter(|asked| within.contains(&asked.at) && is_answerable(asked));
        let fetched = |asked: &&Requested| matches!(asked.fate, Fate::Fetched { .. });
        ratio(asked.clone().filter(fetched).count(), asked.count())
    }

    /// How many messages of this kind a peer sent the tracker in an hour online, in these
    /// hours.
    pub fn sent_to_tracker(&self, hours: Range<usize>, kind: FrameKind) -> f64 {
        let hours = &self.hours[hours];
        let sent = hours.iter().map(|hour| hour.to_tracker[kind as usize]);
        let online = hours.iter().flat_map(|hour| &hour.online);
        let online = online.sum::<Duration>().as_secs_f64() / 3600.0;
        as_f64(sent.sum()) / online.max(1e-9)
    }

    /// Bytes that all nodes have sent, the tracker too, files left out.
    pub fn bytes_sent(&self) -> u64 {
        self.hours.iter().flat_map(|hour| &hour.bytes).sum()
    }

    /// By hour: the share of answerable lookups without a message to the tracker.
    pub fn spared_by_hour(&self) -> Vec<f64> {
        let hours = 0..self.hours.len();
        hours
            .map(|hour| self.summary(hour..hour + 1).spared)
            .collect()
    }

    /// How fast it was played.
    pub fn speed(&self) -> String {
        format!(
            "{} events in {:.1} s: {:.0} a second, and {:.1} hours of peers online a second",
            self.events,
            self.took.as_secs_f64(),
            self.events_a_second(),
            self.peer_hours_a_second(),
        )
    }

    /// How many hours of a peer's life are played in a second.
    pub fn peer_hours_a_second(&self) -> f64 {
        self.peer_hours / self.took.as_secs_f64().max(1e-9)
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

/// How long fetches took, in order, by whether the tracker was asked for them.
fn waits_of(lookups: &[&&Requested], is_meant: impl Fn(bool) -> bool) -> Vec<Duration> {
    let waits = lookups.iter().filter_map(|asked| match asked.fate {
        Fate::Fetched {
            tracker_asked,
            after,
            ..
        } if is_meant(tracker_asked) => Some(after),
        _ => None,
    });
    let mut waits: Vec<Duration> = waits.collect();
    waits.sort_unstable();
    waits
}

/// The value in the middle, and the one that 95 of 100 stay below.
fn middle_and_most(sorted: &[Duration]) -> (Duration, Duration) {
    (quantile(sorted, 0.5), quantile(sorted, 0.95))
}

/// Bytes of each kind that a peer sent in a second online.
fn bytes_by(hours: &[Hour], all_online: f64) -> Vec<(FrameKind, f64)> {
    let by = |kind: FrameKind| {
        let sent: u64 = hours.iter().map(|hour| hour.bytes_by[kind as usize]).sum();
        (kind, as_f64(sent) / all_online.max(1e-9))
    };
    FrameKind::ALL.into_iter().map(by).collect()
}

/// A pattern is no lookup, and neither is what its user did not wait for.
fn is_lookup(asked: &Requested) -> bool {
    asked.wording != Wording::Folder && asked.fate != Fate::Left
}

fn is_answerable(asked: &Requested) -> bool {
    is_lookup(asked) && asked.available.anywhere
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

/// How unevenly something falls on those that share it (Gini).
fn gini(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let all: f64 = values.iter().sum();
    let count = as_f64(values.len() as u64);
    if all <= 0.0 {
        return 0.0;
    }
    let ranked = (1..).zip(&values);
    let weighted: f64 = ranked.map(|(rank, value)| as_f64(rank) * value).sum();
    2.0 * weighted / (count * all) - (count + 1.0) / count
}

fn middle(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    quantile(&times, 0.5)
}

/// By peer: the sum over some hours.
fn sums(hours: &[Hour], of: impl Fn(&Hour, usize) -> f64) -> Vec<f64> {
    let nodes = hours.first().map_or(0, |hour| hour.bytes.len());
    let sum = |node| hours.iter().map(|hour| of(hour, node)).sum();
    (TRACKER + 1..nodes).map(sum).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_falls_on_one_of_four_is_uneven_and_what_falls_on_all_is_not() {
        assert!(gini(vec![3.0; 4]).abs() < 1e-9);
        assert!((gini(vec![0.0, 0.0, 0.0, 8.0]) - 0.75).abs() < 1e-9);
    }
}

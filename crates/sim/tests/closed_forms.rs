//! What the simulator comes to where it can be calculated: with no churn, in one region.
//! The formulas are derived in docs/claim/closed-forms.md.

use std::time::Duration;

use thorp_sim::arm::Arm;
use thorp_sim::run::{FrameKind, Run, play};
use thorp_sim::workload::Workload;

const SEED: u64 = 5;
const HOURS: usize = 3;
const MACHINES: u32 = 100;
const NAMES: u32 = 400;
const ALPHA: f64 = 0.8;
const Q: f64 = 20.0;
/// Requests of a machine in an hour.
const REQUESTS: f64 = 30.0;

/// One region in which nothing comes or goes but requests.
fn still() -> Workload {
    Workload {
        regions: 1,
        machines: MACHINES,
        names: NAMES as usize,
        alpha: ALPHA,
        q: Q,
        locality: 1.0,
        requests: REQUESTS,
        renewal: 0.0,
        churn: false,
        patterns: 0.0,
        length: Duration::from_hours(HOURS as u64),
        ..Workload::reference()
    }
}

/// An arm with signs of life so rare that they take little time to play.
fn quiet(arm: &str, neighbours: usize) -> Arm {
    Arm {
        neighbours,
        tracker_interval: Duration::from_mins(1),
        longest_tracker_interval: Duration::from_mins(1),
        neighbour_interval: Duration::from_mins(10),
        ..Arm::named(arm).expect("an arm")
    }
}

fn played(arm: Arm, seed: u64) -> Run {
    let run = play(&still().trace(seed), arm, 0.0, seed);
    assert!(run.broken.is_empty(), "seed {seed}: {:?}", run.broken);
    run
}

#[test]
fn past_partners_answer_as_often_as_the_recurrence_says() {
    for (neighbours, seed) in [(16, 5), (32, 6)] {
        let run = played(quiet("partners", neighbours), seed);
        for (hour, expected) in Partners::new(neighbours).hours().into_iter().enumerate() {
            let (by_path, by_base_name) = run.summary(hour..hour + 1).spared_by;
            for (found, expected) in [
                (by_path, expected.by_path),
                (by_base_name, expected.by_base_name),
            ] {
                assert!(
                    (found - expected).abs() < 0.03,
                    "seed {seed}, {neighbours} neighbours, hour {hour}: {found:.3} and not {expected:.3}"
                );
            }
        }
    }
}

#[test]
fn a_tracker_that_is_asked_for_everything_hears_as_many_messages_as_the_formulas_say() {
    let arm = Arm::named("tracker").expect("an arm");
    let run = played(arm, SEED);
    let interval = arm.tracker_interval.as_secs_f64() / 3600.0;
    // A Poisson process of lookups, and signs of life in the gaps that are long enough.
    let silent = (-REQUESTS * interval).exp();
    let beats = REQUESTS * silent / (1.0 - silent);
    for hour in 0..HOURS {
        let sent = |kind| run.sent_to_tracker(hour..hour + 1, kind);
        assert_near(sent(FrameKind::Find), REQUESTS, hour, "questions");
        // What was fetched is listed.
        assert_near(sent(FrameKind::Update), REQUESTS, hour, "updates");
        assert_near(sent(FrameKind::Beat), beats, hour, "signs of life");
    }
}

#[test]
fn plain_bittorrent_announces_what_the_formula_says() {
    let run = played(Arm::named("bittorrent").expect("an arm"), SEED);
    for (hour, since) in (0..HOURS).zip((0..).map(f64::from)) {
        let sent = |kind| run.sent_to_tracker(hour..hour + 1, kind);
        assert_near(sent(FrameKind::Find), REQUESTS, hour, "questions");
        // All files twice in the hour, and for each new one that it begins and ends.
        let first = f64::from(NAMES) / f64::from(MACHINES);
        let announces = 2.0 * first + REQUESTS * (since + since + 0.5) + 2.0 * REQUESTS;
        assert_near(sent(FrameKind::Announce), announces, hour, "announces");
    }
}

#[track_caller]
fn assert_near(found: f64, expected: f64, hour: usize, what: &str) {
    assert!(
        (found / expected - 1.0).abs() < 0.03,
        "seed {SEED}, hour {hour}: {found:.1} {what} a peer and hour, and not {expected:.1}"
    );
}

/// The recurrence: what machines have, and how many past partners each can ask.
struct Partners {
    /// By rank: the weight of a name, and the share of machines that have fetched it.
    names: Vec<(f64, f64)>,
    /// By number: the share of machines that have so many neighbours.
    neighbours: Vec<f64>,
    /// How many of its neighbours a machine has fetched from, in the mean.
    chosen: f64,
}

/// The share of lookups that the tracker is spared.
#[derive(Clone, Copy, Default)]
struct Spared {
    by_path: f64,
    by_base_name: f64,
}

/// What the lookups of one moment come to.
struct Moment {
    spared: Spared,
    /// By number of neighbours: the chance that one of them has the file.
    found: Vec<f64>,
    /// The chance that one has it, and none from which this machine has fetched.
    found_at_unchosen: f64,
}

impl Partners {
    fn new(most: usize) -> Self {
        let weight = |rank: u32| (f64::from(rank) + 1.0 + Q).powf(-ALPHA);
        let mut neighbours = vec![0.0; most + 1];
        neighbours[0] = 1.0;
        Self {
            names: (0..NAMES).map(|rank| (weight(rank), 0.0)).collect(),
            neighbours,
            chosen: 0.0,
        }
    }

    /// By hour: the mean of what is spared.
    fn hours(mut self) -> Vec<Spared> {
        const STEPS: u32 = 600;
        let step = 1.0 / f64::from(STEPS);
        let mut hours = vec![Spared::default(); HOURS];
        for hour in &mut hours {
            for _ in 0..STEPS {
                let moment = self.moment();
                self.ask(step);
                self.meet(step, &moment);
                hour.by_path += moment.spared.by_path * step;
                hour.by_base_name += moment.spared.by_base_name * step;
            }
        }
        hours
    }

    fn moment(&self) -> Moment {
        let open = self.open();
        let chosen = self.chosen_share();
        let mut spared = Spared::default();
        let mut found = vec![0.0; self.neighbours.len()];
        let mut found_at_unchosen = 0.0;
        for (weight, had) in &self.names {
            let asked = weight * (1.0 - had) / open;
            // Another machine has neither fetched it nor had it from the beginning.
            let lacks = (1.0 - had) * (1.0 - 1.0 / (f64::from(MACHINES) - 1.0));
            for ((k, share), found) in counted(&self.neighbours).zip(&mut found) {
                let none = lacks.powf(k);
                let one = k * (1.0 - lacks) * lacks.powf(k - 1.0);
                *found += asked * (1.0 - none);
                spared.by_path += share * asked * (1.0 - none);
                spared.by_base_name += share * asked * (1.0 - none - (1.0 - chosen) * one);
                found_at_unchosen += share * asked * (lacks.powf(k * chosen) - none);
            }
        }
        Moment {
            spared,
            found,
            found_at_unchosen,
        }
    }

    /// Machines fetch what they have not yet.
    fn ask(&mut self, hours: f64) {
        let open = self.open();
        for (weight, had) in &mut self.names {
            *had += hours * REQUESTS * *weight * (1.0 - *had) / open;
        }
    }

    /// Where no neighbour has a file, the machine that sends it becomes one.
    fn meet(&mut self, hours: f64, moment: &Moment) {
        let most = self.neighbours.len() - 1;
        let mean = self.mean();
        // A full machine makes room while it has a neighbour that it has not fetched from.
        let full = 1.0 - self.chosen_share().powi(i32::try_from(most).expect("few"));
        let room = |k: usize| if k == most { full } else { 1.0 };
        let asks = |k: usize| (1.0 - moment.found[k]) * room(k);
        let all = || self.neighbours.iter().enumerate();
        let asking: f64 = all().map(|(k, share)| share * asks(k)).sum();
        let willing: f64 = all().map(|(k, share)| share * room(k)).sum();
        let met = |k: usize| REQUESTS * (asks(k) * willing + asking * room(k));
        let dropped = self.neighbours[most] * met(most);
        let meeting = REQUESTS * asking * willing;
        let chosen = meeting + REQUESTS * moment.found_at_unchosen - dropped;
        let moves: Vec<(f64, f64)> = counted(&self.neighbours)
            .enumerate()
            .map(|(k, (number, share))| {
                let up = if k == most { 0.0 } else { share * met(k) };
                (
                    up * hours,
                    share * dropped * number / mean.max(1e-9) * hours,
                )
            })
            .collect();
        for (k, (up, down)) in moves.into_iter().enumerate() {
            self.neighbours[k] -= up + down;
            if k < most {
                self.neighbours[k + 1] += up;
            }
            if k > 0 {
                self.neighbours[k - 1] += down;
            }
        }
        self.chosen = (self.chosen + chosen * hours).clamp(0.0, self.mean());
    }

    /// The weight of all names that a machine has not yet.
    fn open(&self) -> f64 {
        let names = self.names.iter();
        names.map(|(weight, had)| weight * (1.0 - had)).sum()
    }

    /// How many neighbours a machine has, in the mean.
    fn mean(&self) -> f64 {
        counted(&self.neighbours).map(|(k, share)| k * share).sum()
    }

    fn chosen_share(&self) -> f64 {
        (self.chosen / self.mean().max(1e-9)).min(1.0)
    }
}

/// With the number of each place.
fn counted(shares: &[f64]) -> impl Iterator<Item = (f64, f64)> {
    (0_u32..).map(f64::from).zip(shares.iter().copied())
}

//! Many runs, as tables and plots that a person understands.
//!
//! ```text
//! stats      means over seeds, and how sure they are
//! table      what is put into tables, and how it is written
//! plot       the same as pictures
//! ```
//!
//! What it writes says of which workload and seeds it is, so that it can be played
//! again. The text beside it is written by hand.

mod plot;
mod stats;
mod table;

use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context, Result, anyhow, bail};

use crate::arm::Arm;
use crate::run::{Playing, Summary};
use crate::workload::Workload;

/// How much is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// A small village and few seeds, in all arms.
    Small,
    /// The reference's first three hours, plain BitTorrent beside the program as it is.
    Quick,
    /// The reference.
    Full,
}

/// What is played for a report.
struct Plan {
    workload: Workload,
    seeds: Vec<u64>,
    /// The first is what the others are compared with.
    arms: Vec<Arm>,
    /// One thing is varied at a time, with this many seeds.
    variations: Vec<Variation>,
    varied_seeds: Vec<u64>,
}

/// One value is another one than in the reference.
struct Variation {
    /// What is varied, for people.
    what: &'static str,
    /// The values, and the workload with each.
    values: Vec<(f64, Workload)>,
}

/// What one arm came to, by seed.
pub struct ArmPlayed {
    /// Which.
    pub arm: Arm,
    /// In the order of the seeds: the steady state.
    pub steady: Vec<Summary>,
    /// The same of the first two hours.
    pub cold: Vec<Summary>,
    /// By seed and hour: the share of answerable lookups that spare the tracker.
    pub spared_by_hour: Vec<Vec<f64>>,
    /// How fast the last one was played.
    pub speed: String,
}

/// What became of one value of a variation.
pub struct Varied {
    /// What is varied.
    pub what: &'static str,
    /// By value: the steady state of each seed.
    pub values: Vec<(f64, Vec<Summary>)>,
}

impl Extent {
    /// What is played.
    pub fn workload(self) -> Workload {
        match self {
            Self::Small => Workload::small(),
            Self::Quick => Workload {
                length: Duration::from_hours(3),
                ..Workload::reference()
            },
            Self::Full => Workload::reference(),
        }
    }

    /// With so many seeds.
    pub fn seeds(self) -> u64 {
        match self {
            Self::Small => 2,
            Self::Quick => 1,
            Self::Full => 5,
        }
    }

    /// The arms, by their names. The first is what the others are compared with.
    fn arms(self) -> &'static [&'static str] {
        match self {
            Self::Quick => &["bittorrent", "thorp"],
            Self::Small | Self::Full => &[
                "before",
                "bittorrent",
                "tracker",
                "partners",
                "listings",
                "hearsay",
                "asking",
                "thorp",
            ],
        }
    }
}

/// Plays all of it, and writes tables and plots into a directory: first of the arms,
/// and again with each thing that is varied. So many runs are played at once.
pub fn write(
    extent: Extent,
    workload: Workload,
    seeds: u64,
    at_once: NonZero<usize>,
    with_variations: bool,
    to: &Path,
) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("{}", to.display()))?;
    let plan = Plan::of(extent, workload, seeds);
    let seeds = |workload, arm| plan.seeds.iter().map(move |seed| (workload, arm, *seed));
    let runs = plan.arms.iter().flat_map(|arm| seeds(&plan.workload, *arm));
    let played = play_all(&runs.collect::<Vec<_>>(), at_once)?;
    let played = played.chunks(plan.seeds.len().max(1));
    let arms: Vec<_> = plan.arms.iter().zip(played).map(of_arm).collect();
    plot::spared(&to.join("spared.svg"), &arms)?;
    plot::tracker(&to.join("tracker.svg"), &arms)?;
    plot::hours(&to.join("hours.svg"), &arms)?;
    let tables = to.join("tables.md");
    let tell = |varied: &[Varied]| {
        let text = table::report(&plan.workload, &plan.seeds, &arms, varied);
        fs::write(&tables, text).with_context(|| format!("{}", tables.display()))
    };
    let mut varied = Vec::new();
    tell(&varied)?;
    let thorp = Arm::named("thorp").context("the program as it is")?;
    for variation in plan.variations.iter().filter(|_| with_variations) {
        let what = variation.what;
        let seeds = |workload| {
            plan.varied_seeds
                .iter()
                .map(move |seed| (workload, thorp, *seed))
        };
        let runs = variation
            .values
            .iter()
            .flat_map(|(_, workload)| seeds(workload));
        let played = play_all(&runs.collect::<Vec<_>>(), at_once)?;
        let played = played.chunks(plan.varied_seeds.len().max(1));
        let values = variation
            .values
            .iter()
            .zip(played)
            .map(|((value, _), played)| {
                let steady = played.iter().map(|played| played.steady.clone());
                (*value, steady.collect())
            });
        let values = values.collect();
        let one = Varied { what, values };
        plot::variation(&to.join(format!("{}.svg", what.replace(' ', "-"))), &one)?;
        varied.push(one);
        tell(&varied)?;
    }
    Ok(())
}

/// The same rows for one run of each arm, side by side.
pub fn side_by_side(runs: &[(Arm, Summary)]) -> String {
    table::side_by_side(runs)
}

/// What is kept of one run.
struct Played {
    steady: Summary,
    cold: Summary,
    spared_by_hour: Vec<f64>,
    speed: String,
}

fn of_arm((arm, played): (&Arm, &[Played])) -> ArmPlayed {
    ArmPlayed {
        arm: *arm,
        steady: played.iter().map(|played| played.steady.clone()).collect(),
        cold: played.iter().map(|played| played.cold.clone()).collect(),
        spared_by_hour: played
            .iter()
            .map(|played| played.spared_by_hour.clone())
            .collect(),
        speed: played
            .last()
            .map(|played| played.speed.clone())
            .unwrap_or_default(),
    }
}

/// Plays these runs, some at once, and returns what became of them in the same order.
fn play_all(runs: &[(&Workload, Arm, u64)], at_once: NonZero<usize>) -> Result<Vec<Played>> {
    let next = AtomicUsize::new(0);
    let some = || -> Result<Vec<(usize, Played)>> {
        let mut some = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((workload, arm, seed)) = runs.get(at) else {
                return Ok(some);
            };
            some.push((at, played(workload, *arm, *seed)?));
        }
    };
    let mut all = thread::scope(|scope| -> Result<Vec<_>> {
        let threads: Vec<_> = (0..at_once.get()).map(|_| scope.spawn(some)).collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().map_err(|_| anyhow!("a run has panicked"))??);
        }
        Ok(all)
    })?;
    all.sort_by_key(|(at, _)| *at);
    Ok(all.into_iter().map(|(_, played)| played).collect())
}

#[expect(clippy::print_stderr, reason = "a report takes long")]
fn played(workload: &Workload, arm: Arm, seed: u64) -> Result<Played> {
    let trace = workload.trace(seed);
    let mut playing = Playing::new(&trace, arm, 0.0, seed);
    while playing.play_an_hour() {
        eprintln!("{}, seed {seed}: {}", arm.name, playing.last_hour());
    }
    let run = playing.over();
    eprintln!("{}, seed {seed}: {}", arm.name, run.speed());
    if let Some(broken) = run.broken.first() {
        bail!("{}, seed {seed}: a law was broken: {broken}", arm.name);
    }
    Ok(Played {
        steady: run.summary(steady(workload)),
        cold: run.summary(0..2),
        spared_by_hour: run.spared_by_hour(),
        speed: run.speed(),
    })
}

/// The last third of a run, or its last hour.
fn steady(workload: &Workload) -> std::ops::Range<usize> {
    let hours = usize::try_from(workload.length.as_secs() / 3600).unwrap_or(usize::MAX);
    hours.saturating_sub((hours / 3).max(1))..hours
}

impl Plan {
    fn of(extent: Extent, workload: Workload, seeds: u64) -> Self {
        let arms = extent.arms().iter();
        let arms = arms.filter_map(|name| Arm::named(name)).collect();
        let seeds: Vec<u64> = (1..=seeds).collect();
        let varied_seeds = match extent {
            Extent::Small | Extent::Quick => vec![1],
            Extent::Full => seeds.clone(),
        };
        let varied = |what, values: &[f64], set: &dyn Fn(&mut Workload, f64)| Variation {
            what,
            values: values
                .iter()
                .map(|value| {
                    let mut varied = workload.clone();
                    set(&mut varied, *value);
                    (*value, varied)
                })
                .collect(),
        };
        let locality = varied("locality", &[0.0, 0.5, 0.9, 1.0], &|varied, value| {
            varied.locality = value;
        });
        let others = || {
            vec![
                varied("free riders", &[0.0, 0.5, 0.7], &|varied, value| {
                    varied.free_riders = value;
                }),
                varied("alpha", &[0.6, 0.8, 1.0], &|varied, value| {
                    varied.alpha = value;
                }),
                varied("hours of a session", &[0.5, 1.0, 4.0], &|varied, value| {
                    // A mean of so many hours: 1.5385 times the scale.
                    varied.scale = Duration::from_secs_f64(value * 3600.0 / 1.5385);
                }),
            ]
        };
        let variations = match extent {
            Extent::Quick => Vec::new(),
            Extent::Small => vec![locality],
            Extent::Full => std::iter::once(locality).chain(others()).collect(),
        };
        Self {
            workload,
            seeds,
            arms,
            variations,
            varied_seeds,
        }
    }
}

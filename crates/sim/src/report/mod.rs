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

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::arm::Arm;
use crate::run::{Run, Summary, play};
use crate::workload::Workload;

/// How much is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// A small village and few seeds.
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
            Self::Quick => Workload::small(),
            Self::Full => Workload::reference(),
        }
    }

    /// With so many seeds.
    pub fn seeds(self) -> u64 {
        match self {
            Self::Quick => 2,
            Self::Full => 5,
        }
    }
}

/// Plays all of it, and writes tables and plots into a directory: first of the arms,
/// and again with each thing that is varied.
pub fn write(
    extent: Extent,
    workload: Workload,
    seeds: u64,
    with_variations: bool,
    to: &Path,
) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("{}", to.display()))?;
    let plan = Plan::of(extent, workload, seeds);
    let mut arms = Vec::new();
    for arm in &plan.arms {
        arms.push(played(&plan.workload, *arm, &plan.seeds)?);
    }
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
        let mut values = Vec::new();
        for (value, workload) in &variation.values {
            let played = played(workload, thorp, &plan.varied_seeds)?;
            values.push((*value, played.steady));
        }
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

#[expect(clippy::print_stderr, reason = "a report takes long")]
fn played(workload: &Workload, arm: Arm, seeds: &[u64]) -> Result<ArmPlayed> {
    let mut played = ArmPlayed {
        arm,
        steady: Vec::new(),
        cold: Vec::new(),
        spared_by_hour: Vec::new(),
        speed: String::new(),
    };
    for seed in seeds {
        let run = play(&workload.trace(*seed), arm, 0.0, *seed);
        eprintln!("{}, seed {seed}: {}", arm.name, run.speed());
        if let Some(broken) = run.broken.first() {
            bail!("{}, seed {seed}: a law was broken: {broken}", arm.name);
        }
        played.steady.push(run.summary(steady(workload)));
        played.cold.push(run.summary(0..2));
        played.spared_by_hour.push(run.spared_by_hour());
        played.speed = Run::speed(&run);
    }
    Ok(played)
}

/// The last third of a run, or its last hour.
fn steady(workload: &Workload) -> std::ops::Range<usize> {
    let hours = usize::try_from(workload.length.as_secs() / 3600).unwrap_or(usize::MAX);
    hours.saturating_sub((hours / 3).max(1))..hours
}

impl Plan {
    fn of(extent: Extent, workload: Workload, seeds: u64) -> Self {
        let named = |name: &&str| Arm::named(name);
        let arms = [
            "before",
            "bittorrent",
            "tracker",
            "partners",
            "listings",
            "hearsay",
            "asking",
            "thorp",
        ];
        let arms = arms.iter().filter_map(named).collect();
        let seeds: Vec<u64> = (1..=seeds).collect();
        let varied_seeds = match extent {
            Extent::Quick => vec![1],
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
            Extent::Quick => vec![locality],
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

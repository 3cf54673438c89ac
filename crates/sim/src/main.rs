//! Plays a village in virtual time, and prints what its neighbours were worth.

use std::fs;
use std::io::{self, Write};
use std::num::NonZero;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use thorp_sim::arm::{ARMS, Arm};
use thorp_sim::crowd::{Crowd, Habits};
use thorp_sim::recorded;
use thorp_sim::report::{self, Extent};
use thorp_sim::run::{Playing, Run};
use thorp_sim::trace::Trace;
use thorp_sim::workload::Workload;

/// Play a village in virtual time, with the program's own decisions, and print what
/// its neighbours were worth.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    one: One,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Let many peers fetch one file at once: as members do, and as ordinary clients do.
    Crowd(Flash),
    /// Play many runs, and write tables and plots of them.
    Report {
        #[command(flatten)]
        extent: How,
        /// Instead of so many regions as these have.
        #[arg(long)]
        regions: Option<u16>,
        /// Instead of so many machines of a region.
        #[arg(long)]
        machines: Option<u32>,
        /// Instead of so many names of a region.
        #[arg(long)]
        names: Option<usize>,
        /// Instead of so many hours. The last third is the steady state.
        #[arg(long)]
        hours: Option<u64>,
        /// Instead of so many seeds.
        #[arg(long)]
        seeds: Option<u64>,
        /// So many runs are played at once: each has a processor to itself, and the reference
        /// takes 6 GB.
        #[arg(long, default_value = "2")]
        at_once: NonZero<usize>,
        /// Nothing is varied.
        #[arg(long)]
        no_variations: bool,
        /// Where they go.
        #[arg(long, default_value = "docs/claim")]
        to: PathBuf,
    },
}

/// How much is played.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct How {
    /// A small village and few seeds, in all arms: half an hour on two cores.
    #[arg(long)]
    small: bool,
    /// The reference's first three hours, plain BitTorrent and thorp: an hour or two on two cores.
    #[arg(long)]
    quick: bool,
    /// The reference: ten regions of 1,000 machines. It takes a week on two cores.
    #[arg(long)]
    full: bool,
}

impl How {
    fn extent(&self) -> Extent {
        match self {
            Self { small: true, .. } => Extent::Small,
            Self { quick: true, .. } => Extent::Quick,
            _ => Extent::Full,
        }
    }
}

/// Many peers that fetch one large file from one holder at the same moment.
#[derive(Debug, clap::Args)]
struct Flash {
    /// How many.
    #[arg(long, default_value_t = 500)]
    fetchers: usize,
    /// The length of the file, in MiB.
    #[arg(long, default_value_t = 100)]
    mib: u64,
    /// What each link carries, in Mb/s each way.
    #[arg(long, default_value_t = 100)]
    mbit: u64,
    /// One way between any two, in ms.
    #[arg(long, default_value_t = 20)]
    ms: u64,
    /// How long a byte waits at most in front of a busy link, at either end of it, in ms.
    #[arg(long, default_value_t = 25)]
    queue: u64,
    /// How many times as much one connection of a busy link gets as another at most.
    #[arg(long, default_value_t = 1)]
    uneven: u32,
    /// How much of a connection the system takes that it cannot send yet, in KiB.
    #[arg(long, default_value_t = 64)]
    unsent: u32,
    /// They begin one after another, within so many seconds.
    #[arg(long, default_value_t = 0)]
    over: u64,
    /// Only as members do, and how it stood twice a second.
    #[arg(long)]
    moments: bool,
    /// Which run it is.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// One trace, played in some arms.
#[derive(Debug, clap::Args)]
struct One {
    /// Which ways to find files are compared; all play the same requests.
    #[arg(long, value_delimiter = ',', default_value = "tracker,thorp")]
    arms: Vec<String>,
    /// Which run it is. The same seed plays the same run again.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Regions: machines near to one another, with names of their own.
    #[arg(long, default_value_t = 1)]
    regions: u16,
    /// Machines of each region; about half of them are online.
    #[arg(long, default_value_t = 200)]
    machines: u32,
    /// Names of each region.
    #[arg(long, default_value_t = 2000)]
    names: usize,
    /// How steeply popularity falls with the rank.
    #[arg(long, default_value_t = 0.8)]
    alpha: f64,
    /// How flat popularity is for the first ranks.
    #[arg(long, default_value_t = 20.0)]
    q: f64,
    /// The chance that a request draws from the names of its own region.
    #[arg(long, default_value_t = 0.9)]
    locality: f64,
    /// Requests of a machine for each hour online.
    #[arg(long, default_value_t = 30.0)]
    requests: f64,
    /// The share of names that are replaced each hour.
    #[arg(long, default_value_t = 0.01)]
    renewal: f64,
    /// For how many hours online a machine keeps what it has fetched.
    #[arg(long, default_value_t = 24.0)]
    keep: f64,
    /// The share of machines that list nothing.
    #[arg(long, default_value_t = 0.0)]
    free_riders: f64,
    /// All machines stay online.
    #[arg(long)]
    no_churn: bool,
    /// The shape of sessions and absences (Weibull).
    #[arg(long, default_value_t = 0.59)]
    shape: f64,
    /// Their scale, in minutes (Weibull).
    #[arg(long, default_value_t = 42.0)]
    scale: f64,
    /// The share of sessions that end with a goodbye; the others end in a crash.
    #[arg(long, default_value_t = 0.7)]
    goodbyes: f64,
    /// The share of requests by a pattern; the others are half by path, half by base name.
    #[arg(long, default_value_t = 0.02)]
    patterns: f64,
    /// The share of packets that are lost, and come late.
    #[arg(long, default_value_t = 0.0)]
    loss: f64,
    /// How long it lasts, in hours.
    #[arg(long, default_value_t = 18)]
    hours: u64,
    /// The shape of a published trace, instead of what is said of regions, names, popularity,
    /// locality, renewal and patterns.
    #[arg(long, value_enum)]
    like: Option<Published>,
    /// Plays what is recorded in this file, instead of what the workload makes.
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Writes what is played to this file; crates/sim/src/recorded.rs says what is in it.
    #[arg(long)]
    record: Option<PathBuf>,
    /// The hours that are summed up begin here.
    #[arg(long, default_value_t = 12)]
    from: usize,
}

/// Whose shape a workload can have.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Published {
    /// Kazaa at a university (Gummadi and others, SOSP 2003).
    Kazaa,
}

/// As in the program.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let args = Args::parse();
    let mut out = io::stdout().lock();
    match args.what {
        Some(What::Report {
            extent,
            regions,
            machines,
            names,
            hours,
            seeds,
            at_once,
            no_variations,
            to,
        }) => {
            let extent = extent.extent();
            let workload = extent.workload();
            let workload = Workload {
                regions: regions.unwrap_or(workload.regions),
                machines: machines.unwrap_or(workload.machines),
                names: names.unwrap_or(workload.names),
                length: hours.map_or(workload.length, Duration::from_hours),
                ..workload
            };
            let seeds = seeds.unwrap_or(extent.seeds());
            report::write(extent, workload, seeds, at_once, !no_variations, &to)
        }
        Some(What::Crowd(flash)) => crowd(&flash, &mut out),
        None => one(&args.one, &mut out),
    }
}

fn crowd(flash: &Flash, out: &mut impl Write) -> Result<()> {
    for habits in [Habits::Members, Habits::Clients] {
        let crowd = Crowd {
            fetchers: flash.fetchers,
            length: flash.mib * 1024 * 1024,
            rate: flash.mbit * 125_000,
            delay: Duration::from_millis(flash.ms),
            queue: Duration::from_millis(flash.queue),
            uneven: flash.uneven.max(1),
            unsent: flash.unsent * 1024,
            over: Duration::from_secs(flash.over),
            habits,
        };
        let Some(end) = crowd.play(flash.seed) else {
            bail!(
                "{habits:?}: not all have it after an hour; seed {} replays it",
                flash.seed
            );
        };
        writeln!(
            out,
            "{habits:?}: the last has it after {:.2?}, half of them after {:.2?}; no way is quicker than \
             {:.2?}, so that is {:.3} of it. The holder has sent {:.2} copies, all pieces once after {:.2?}; \
             {:.2} % of all was sent in vain; {:.0} messages of each, {:.0} of them requests; the last piece: \
             {:?}; {} events",
            end.last,
            end.half,
            end.fluid_bound,
            end.last.div_duration_f64(end.fluid_bound),
            end.copies,
            end.all_given,
            end.in_vain * 100.0,
            end.said,
            end.asked,
            end.last_piece,
            end.events,
        )?;
        if flash.moments {
            for (at, moment) in (1..).zip(&end.moments) {
                writeln!(
                    out,
                    "{:5.1} s: the holder has sent {:.2} copies and {:3.0} % of the pieces; each has {:3.0} %, \
                     {:3} have nothing; links {:3.0} % and {:3.0} % in use; {:.1} connections, \
                     {:.0} KiB asked for and not sent",
                    f64::from(at) / 2.0,
                    moment.copies,
                    moment.given * 100.0,
                    moment.there * 100.0,
                    moment.with_nothing,
                    moment.holder_busy * 100.0,
                    moment.fetchers_busy * 100.0,
                    moment.connections,
                    moment.waiting / 1024.0,
                )?;
            }
            return Ok(());
        }
    }
    Ok(())
}

fn one(args: &One, out: &mut impl Write) -> Result<()> {
    let workload = Workload {
        regions: args.regions,
        machines: args.machines,
        names: args.names,
        alpha: args.alpha,
        q: args.q,
        locality: args.locality,
        requests: args.requests,
        renewal: args.renewal,
        keep: Duration::from_secs_f64(args.keep * 3600.0),
        free_riders: args.free_riders,
        churn: !args.no_churn,
        shape: args.shape,
        scale: Duration::from_secs_f64(args.scale * 60.0),
        goodbyes: args.goodbyes,
        patterns: args.patterns,
        length: Duration::from_hours(args.hours),
    };
    let workload = match args.like {
        Some(Published::Kazaa) => workload.like_kazaa(),
        None => workload,
    };
    let trace = match &args.trace {
        Some(file) => {
            let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
            recorded::read(&text).with_context(|| file.display().to_string())?
        }
        None => workload.trace(args.seed),
    };
    if let Some(file) = &args.record {
        let text = recorded::write(&trace);
        fs::write(file, text).with_context(|| file.display().to_string())?;
    }
    let hours = usize::try_from(trace.length.as_secs().div_ceil(3600)).unwrap_or(usize::MAX);
    for name in &args.arms {
        let Some(arm) = Arm::named(name) else {
            let names: Vec<_> = ARMS.iter().map(|arm| arm.name).collect();
            bail!("there is no arm {name}; there are {}", names.join(", "));
        };
        let run = play(&trace, arm, args);
        print(
            args.from.min(hours.saturating_sub(1))..hours,
            &arm,
            &run,
            out,
        )?;
        if !run.broken.is_empty() {
            for broken in &run.broken {
                writeln!(out, "  broken: {broken}")?;
            }
            bail!("laws were broken; seed {} replays it", args.seed);
        }
    }
    Ok(())
}

/// Large villages take hours, so each hour is told of when it was played.
#[expect(clippy::print_stderr, reason = "a large village takes hours")]
fn play(trace: &Trace, arm: Arm, args: &One) -> Run {
    let mut playing = Playing::new(trace, arm, args.loss, args.seed);
    while playing.play_an_hour() {
        eprintln!("{}: {}", arm.name, playing.last_hour());
    }
    playing.over()
}

fn print(hours: Range<usize>, arm: &Arm, run: &Run, out: &mut impl Write) -> io::Result<()> {
    let summary = run.summary(hours);
    writeln!(out, "{}: {}", arm.name, arm.what)?;
    writeln!(out, "  {summary:#?}")?;
    let [memory, neighbours, tracker] = run.sources();
    writeln!(
        out,
        "  answered from memory {memory}, by neighbours {neighbours}, by the tracker {tracker}"
    )?;
    writeln!(out, "  {}", run.speed())?;
    writeln!(out, "  digest {:016x}", run.digest)
}

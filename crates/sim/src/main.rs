//! Plays a village in virtual time, and prints what its neighbours were worth.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser;
use thorp_sim::arm::{ARMS, Arm};
use thorp_sim::run::{Run, play};
use thorp_sim::workload::Workload;

/// Play a village in virtual time, with the program's own decisions, and print what
/// its neighbours were worth.
#[derive(Debug, Parser)]
struct Args {
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
    /// The share of machines that list nothing.
    #[arg(long, default_value_t = 0.0)]
    free_riders: f64,
    /// All machines stay online.
    #[arg(long)]
    no_churn: bool,
    /// The share of packets that are lost, and come late.
    #[arg(long, default_value_t = 0.0)]
    loss: f64,
    /// How long it lasts, in hours.
    #[arg(long, default_value_t = 18)]
    hours: u64,
    /// The hours that are summed up begin here.
    #[arg(long, default_value_t = 12)]
    from: usize,
}

#[expect(clippy::print_stdout, reason = "this is what it is for")]
fn main() -> Result<()> {
    let args = Args::parse();
    let workload = Workload {
        regions: args.regions,
        machines: args.machines,
        names: args.names,
        alpha: args.alpha,
        q: args.q,
        locality: args.locality,
        free_riders: args.free_riders,
        churn: !args.no_churn,
        length: Duration::from_hours(args.hours),
        ..Workload::reference()
    };
    let trace = workload.trace(args.seed);
    for name in &args.arms {
        let Some(arm) = Arm::named(name) else {
            let names: Vec<_> = ARMS.iter().map(|arm| arm.name).collect();
            bail!("there is no arm {name}; there are {}", names.join(", "));
        };
        let run = play(&trace, arm, args.loss, args.seed);
        print(&args, &arm, &run);
        if !run.broken.is_empty() {
            for broken in &run.broken {
                println!("  broken: {broken}");
            }
            bail!("laws were broken; seed {} replays it", args.seed);
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this is what it is for")]
fn print(args: &Args, arm: &Arm, run: &Run) {
    let hours = usize::try_from(args.hours).unwrap_or(usize::MAX);
    let summary = run.summary(args.from.min(hours.saturating_sub(1))..hours);
    println!("{}: {}", arm.name, arm.what);
    println!("  {summary:#?}");
    let [memory, neighbours, tracker] = run.sources();
    println!(
        "  answered from memory {memory}, by neighbours {neighbours}, by the tracker {tracker}"
    );
    println!("  files asked for where they are no more: {}", run.stale);
    let seconds = run.took.as_secs_f64();
    println!(
        "  {} events in {seconds:.1} s, {:.0} a second; digest {:016x}",
        run.events,
        run.events_a_second(),
        run.digest,
    );
}

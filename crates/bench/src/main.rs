//! How fast thorp is, beside other programs and what this machine can do at best.
//!
//! ```text
//! cargo build --release --workspace && target/release/thorp-bench
//! ```
//!
//! Nothing is installed: what is there runs, in turn, each time after the machine was idle.
//! The program is run as a user runs it: time counts from `thorp get` to its end.
//!
//! ```text
//! cases     what is measured        ways      by which program
//! machine   time, the processors' time of all programs, whether the machine is idle
//! results     medians, spreads, ratios
//! fleet     a tracker and members on loopback or on hosts, each a process
//! hosts     a thin network of namespaces for these
//! relay     a longer way between them
//! stream    a bare TLS stream
//! tracker   a tracker with ten thousand members, in this process:
//!           thorp-bench tracker
//! clients   a tracker for ordinary BitTorrent clients, beside others: thorp-bench clients
//! http      what asks a tracker over HTTP
//! costs     the cost of a unit of each kind of work: thorp-bench costs
//! ```

mod cases;
mod clients;
mod costs;
mod fleet;
mod hosts;
mod http;
mod machine;
mod relay;
mod results;
mod stream;
mod tracker;
mod ways;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum as _};

use cases::{Bench, Case};
use results::Results;

const MIB: u64 = 1024 * 1024;

/// The same allocator as in the program.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures thorp on this machine.
#[derive(Parser)]
struct Args {
    /// How often each is measured.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Size of the large file, in MiB.
    #[arg(long, default_value_t = 1024)]
    large: u64,
    /// How many small files, of 10 KiB each.
    #[arg(long, default_value_t = 10_000)]
    small: u32,
    /// How much is hashed, in MiB.
    #[arg(long, default_value_t = 10 * 1024)]
    hashed: u64,
    /// Where to work: needs room for what is hashed, and for four large files. Best a tmpfs.
    #[arg(long, default_value = "/dev/shm")]
    scratch: PathBuf,
    /// How many seconds to wait for an idle machine before each measurement.
    #[arg(long, default_value_t = 30)]
    patience: u64,
    /// A directory on a disk, to measure what is synced to it.
    #[arg(long)]
    disk: Option<PathBuf>,
    /// A Python that has libtorrent.
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Where rqbit is.
    #[arg(long, default_value = "rqbit")]
    rqbit: PathBuf,
    /// Which cases are measured, if not all.
    #[arg(long, value_delimiter = ',')]
    cases: Vec<Case>,
    #[command(subcommand)]
    only: Option<Only>,
}

/// Whom to ask, and about what.
#[derive(clap::Args)]
struct Load {
    /// The address of the tracker.
    at: SocketAddr,
    #[arg(long)]
    peers: u32,
    #[arg(long)]
    torrents: u32,
    #[arg(long)]
    seconds: u64,
}

/// What is measured alone.
#[derive(Subcommand)]
enum Only {
    /// How fast a tracker answers ordinary BitTorrent clients.
    Clients {
        /// How many clients there are.
        #[arg(long, default_value_t = 200_000)]
        peers: u32,
        /// In how many torrents.
        #[arg(long, default_value_t = 100_000)]
        torrents: u32,
        /// For how long each tracker is asked.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
    /// What asks, in a process of its own.
    #[command(hide = true)]
    Load(Load),
    /// The same over HTTP.
    #[command(hide = true)]
    LoadHttp {
        #[command(flatten)]
        load: Load,
        /// On connections that are kept.
        #[arg(long)]
        kept: bool,
    },
    /// What answers with canned bytes, in a process of its own.
    #[command(hide = true)]
    Echo {
        /// How many.
        #[arg(long)]
        length: usize,
    },
    /// What a unit of work takes, by kind, and what is left in memory.
    Costs,
    /// What a change costs a tracker with many members, and a look at it.
    Tracker {
        /// How many.
        #[arg(long, default_value_t = 10_000)]
        members: u32,
        /// How many files each lists.
        #[arg(long, default_value_t = 100)]
        files: u32,
    },
}

fn main() -> Result<()> {
    let args = Args::parse();
    match args.only {
        Some(Only::Tracker { members, files }) => return tracker::run(members, files),
        Some(Only::Costs) => return costs::run(),
        Some(Only::Clients {
            peers,
            torrents,
            seconds,
        }) => return clients::run(peers, torrents, seconds),
        Some(Only::Load(load)) => return clients::load(&load),
        Some(Only::LoadHttp { load, kept }) => return http::load(&load, kept),
        Some(Only::Echo { length }) => return clients::echo(length),
        None => {}
    }
    let mut bench = Bench {
        rounds: args.rounds,
        large: args.large * MIB,
        small: args.small,
        hashed: args.hashed * MIB,
        patience: Duration::from_secs(args.patience),
        scratch: args.scratch,
        disk: args.disk,
        python: args.python,
        rqbit: args.rqbit,
        table: Results::default(),
    };
    let has_disk = bench.disk.is_some();
    let all = || Case::value_variants().iter().copied();
    let cases: Vec<Case> = if args.cases.is_empty() {
        all()
            .filter(|case| *case != Case::Disk || has_disk)
            .collect()
    } else {
        args.cases
    };
    for case in cases {
        bench.measure(case)?;
    }
    println!("{}", bench.table);
    Ok(())
}

/// Returns the rate in bytes a second.
fn rate(bytes: u64, took: Duration) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a figure to be read by a person"
    )]
    let bytes = bytes as f64;
    bytes / took.as_secs_f64()
}

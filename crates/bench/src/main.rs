//! How fast thorp is, compared with what this machine can do at best.
//!
//! ```text
//! cargo build --release --workspace && target/release/thorp-bench
//! ```
//!
//! thorp and the ceilings are measured in turn in the same run, so that a busy machine slows all
//! of them alike. Medians are printed. The program is run as a user runs it: time counts from
//! `thorp get` to its end.
//!
//! ```text
//! trio      a tracker and two members on loopback, each a process
//! ceilings  the same bytes without a protocol: a TLS stream, a copy
//! report    medians and ratios
//! tracker   a tracker with ten thousand members, in this process:
//!           thorp-bench tracker
//! clients   a tracker for ordinary BitTorrent clients, beside others: thorp-bench clients
//! costs     the cost of a unit of each kind of work: thorp-bench costs
//! ```

mod ceilings;
mod clients;
mod costs;
mod report;
mod tracker;
mod trio;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

use report::Report;
use trio::Trio;

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
    /// Where to work: needs room for four large files. Best a tmpfs.
    #[arg(long, default_value = "/dev/shm")]
    scratch: PathBuf,
    #[command(subcommand)]
    only: Option<Only>,
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
    Load {
        /// The address of the tracker.
        at: SocketAddr,
        #[arg(long)]
        peers: u32,
        #[arg(long)]
        torrents: u32,
        #[arg(long)]
        seconds: u64,
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
        Some(Only::Load {
            at,
            peers,
            torrents,
            seconds,
        }) => return clients::load(at, peers, torrents, seconds),
        Some(Only::Echo { length }) => return clients::echo(length),
        None => {}
    }
    let scratch = tempfile::Builder::new()
        .prefix("thorp-bench-")
        .tempdir_in(&args.scratch)
        .with_context(|| format!("cannot work in {}", args.scratch.display()))?;
    let mut trio = Trio::start(scratch.path())?;
    let mut report = Report::default();
    for round in 0..args.rounds {
        eprintln!("round {} of {}", round + 1, args.rounds);
        large(&mut trio, &mut report, round, args.large * MIB)?;
        small(&mut trio, &mut report, round, args.small)?;
    }
    println!("{report}");
    Ok(())
}

/// Measures one large file from one member to another.
fn large(trio: &mut Trio, report: &mut Report, round: u32, length: u64) -> Result<()> {
    let case = format!("1 file of {} MiB", length / MIB);
    let name = format!("large-{round}.bin");
    let source = trio.holder_share().join(&name);
    write_random(&source, length, u64::from(round))?;
    trio.wait_until_listed(&name, 1)?;
    report.took(&case, "thorp get", length, trio.get(&name)?);
    let fetched = trio.asker_share().join(&name);
    report.took(
        &case,
        "thorp get -o (2nd)",
        length,
        trio.get_elsewhere(&name)?,
    );
    same(&source, &fetched)?;
    report.took(
        &case,
        "TLS 1.3 stream",
        length,
        ceilings::tls_stream(length)?,
    );
    let copy = trio.elsewhere().join("copy.bin");
    report.took(&case, "cp", length, ceilings::copy(&source, &copy)?);
    for path in [&source, &fetched, &copy] {
        fs::remove_file(path)?;
    }
    trio.clear_elsewhere()
}

/// Measures many small files.
fn small(trio: &mut Trio, report: &mut Report, round: u32, count: u32) -> Result<()> {
    const EACH: u64 = 10 * 1024;
    let case = format!("{count} files of 10 KiB");
    let folder = format!("small-{round}");
    let source = trio.holder_share().join(&folder);
    fs::create_dir_all(&source)?;
    for number in 0..count {
        let seed = u64::from(round) << 32 | u64::from(number);
        write_random(&source.join(number.to_string()), EACH, seed)?;
    }
    let files = format!("{folder}/**");
    trio.wait_until_listed(&files, count as usize)?;
    let length = EACH * u64::from(count);
    let took = trio.get(&files)?;
    report.took(&case, "thorp get", length, took);
    let fetched = trio.asker_share().join(&folder);
    let arrived = fs::read_dir(&fetched)?.count();
    anyhow::ensure!(arrived == count as usize, "{arrived} of {count} arrived");
    let copy = trio.elsewhere().join("copy");
    report.took(
        &case,
        "TLS 1.3 stream",
        length,
        ceilings::tls_stream(length)?,
    );
    report.took(&case, "cp -r", length, ceilings::copy(&source, &copy)?);
    for path in [&source, &fetched, &copy] {
        fs::remove_dir_all(path)?;
    }
    Ok(())
}

fn write_random(path: &Path, length: u64, seed: u64) -> Result<()> {
    use std::io::Write as _;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut file = std::io::BufWriter::with_capacity(1 << 20, fs::File::create(path)?);
    let mut left = length;
    let mut buffer = vec![0; 1 << 16];
    while left > 0 {
        let now = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        random.fill(&mut buffer[..now]);
        file.write_all(&buffer[..now])?;
        left -= now as u64;
    }
    file.flush()?;
    Ok(())
}

fn same(one: &Path, other: &Path) -> Result<()> {
    let equal = std::process::Command::new("cmp")
        .args([one, other])
        .status()?;
    anyhow::ensure!(equal.success(), "{} differs", other.display());
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

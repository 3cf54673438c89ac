//! What is measured: files that are brought, in every way that there is, in turn.
//!
//! ```text
//! bringing  files from one member to another: one large, many small, over a longer way, to a disk
//! crowd     one file for many at once, and from many, over thin lines
//! first     a single small file: from the command to its end
//! hashing   a share that has never been hashed
//! many      a share of many files: until they are listed, after a restart, in memory
//! ```

mod bringing;
mod crowd;
mod first;
mod hashing;
mod many;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;

use crate::machine;
use crate::results::Results;
use crate::ways::{Freight, Way};

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Case {
    /// One large file.
    Large,
    /// Many files of 10 KiB.
    Small,
    /// Ten times as many files of 1 KiB.
    Tiny,
    /// One file of 1 KiB, again and again.
    First,
    /// One large file over a way of 20 and of 100 ms.
    Delay,
    /// A new share that is hashed.
    Hashing,
    /// A share of as many files as the many of 1 KiB, and of ten times as many.
    Many,
    /// One file for eight at once, and from four for one, over thin lines. Needs root.
    Crowd,
    /// One large file onto a disk, with its sync. Needs `--disk`.
    Disk,
}

/// How much there is of each, and where.
pub struct Bench {
    /// How often each way is measured.
    pub rounds: u32,
    /// The length of the large file, in bytes.
    pub large: u64,
    /// How many small files there are.
    pub small: u32,
    /// How much is hashed, in bytes.
    pub hashed: u64,
    /// How long to wait for an idle machine before each measurement.
    pub patience: Duration,
    /// A directory in memory.
    pub scratch: PathBuf,
    /// A directory on a disk.
    pub disk: Option<PathBuf>,
    /// A Python that has libtorrent.
    pub python: PathBuf,
    /// rqbit.
    pub rqbit: PathBuf,
    /// What was measured.
    pub table: Results,
}

impl Bench {
    /// Measures one kind of work.
    pub fn measure(&mut self, case: Case) -> Result<()> {
        // The directory is a new one, so that each case has memory of its own.
        let scratch = tempfile::Builder::new()
            .prefix("thorp-bench-")
            .tempdir_in(&self.scratch)
            .with_context(|| format!("cannot work in {}", self.scratch.display()))?;
        match case {
            Case::Large => bringing::large(self, scratch.path()),
            Case::Small => bringing::small(self, scratch.path(), self.small, 10 * 1024),
            Case::Tiny => bringing::small(self, scratch.path(), self.small * 10, 1024),
            Case::First => first::measure(self, scratch.path()),
            Case::Delay => bringing::delayed(self, scratch.path()),
            Case::Hashing => hashing::measure(self, scratch.path()),
            Case::Many => many::measure(self, scratch.path()),
            Case::Crowd => crowd::measure(self, scratch.path()),
            Case::Disk => bringing::onto_disk(self, scratch.path()),
        }
    }

    /// Brings files once in each way, checks what has come, and removes it.
    fn round(&mut self, case: &str, ways: &mut [Box<dyn Way>], freight: &Freight) -> Result<()> {
        for way in ways {
            match way.prepare(freight) {
                Ok(()) => {}
                // Not every program takes as many files.
                Err(error) if !way.name().starts_with("thorp") => {
                    eprintln!("  {case}, {}: not measured: {error}", way.name());
                    continue;
                }
                Err(error) => return Err(error),
            }
            let cost = machine::measure(self.patience, || way.fetch(freight))
                .with_context(|| format!("{case}, {}", way.name()))?;
            self.table.add(case, way.name(), freight.bytes, cost);
            if let Some(fetched) = way.fetched(freight) {
                same(&freight.source(), &fetched)?;
                remove(&fetched)?;
            }
            way.clear(freight)?;
        }
        remove(&freight.source())
    }
}

/// Writes files that no program can compress. Memory that was never touched is slower: a file
/// as large is written first and removed.
fn write(freight: &Freight, seed: u64) -> Result<()> {
    let each = freight.bytes / u64::from(freight.files);
    if freight.files == 1 {
        return write_random(&freight.source(), each, seed);
    }
    fs::create_dir_all(freight.source())?;
    for number in 0..freight.files {
        let seed = seed << 32 | u64::from(number);
        write_random(&freight.source().join(number.to_string()), each, seed)?;
    }
    Ok(())
}

/// Touches as much memory of a tmpfs as will be written to.
fn warm(directory: &Path, bytes: u64) -> Result<()> {
    let path = directory.join("warm");
    write_random(&path, bytes, 0)?;
    remove(&path)
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

fn remove(path: &Path) -> Result<()> {
    if path.is_dir() {
        fs::remove_dir_all(path)?;
    } else {
        fs::remove_file(path)?;
    }
    Ok(())
}

fn same(one: &Path, other: &Path) -> Result<()> {
    let equal = std::process::Command::new("diff")
        .arg("-rq")
        .args([one, other])
        .status()?;
    ensure!(equal.success(), "{} differs", other.display());
    Ok(())
}

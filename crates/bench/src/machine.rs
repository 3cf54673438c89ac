//! What a piece of work costs this machine: time, and the processors' time of all programs
//! together.
//!
//! The processors' time is read for the machine as a whole, so that daemons, threads of the kernel
//! and programs that have ended are in it. That is right only while nothing else runs, which is
//! checked before each measurement.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// How long the machine must have been idle before a measurement.
const IDLE_FOR: Duration = Duration::from_millis(500);
/// Which share of the processors' time may be used in that time.
const IDLE: f64 = 0.1;
/// How many ticks the kernel counts in a second of a processor (`USER_HZ`, fixed by the ABI).
const TICKS: f64 = 100.0;

/// What a piece of work took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// From its start to its end.
    pub time: Duration,
    /// Of all processors together, in steps of a hundredth of a second.
    pub processors: Duration,
    /// Whether other programs kept the machine busy before.
    pub is_disturbed: bool,
}

impl Cost {
    /// Returns the mean of as many pieces of work as were measured together.
    pub fn each(self, pieces: u32) -> Self {
        Self {
            time: self.time / pieces,
            processors: self.processors / pieces,
            is_disturbed: self.is_disturbed,
        }
    }
}

/// Waits for an idle machine, no longer than `patience`, and measures a piece of work.
pub fn measure(patience: Duration, work: impl FnOnce() -> Result<()>) -> Result<Cost> {
    let is_disturbed = !is_idle_in_time(patience)?;
    let (before, begun) = (busy()?, Instant::now());
    work()?;
    let time = begun.elapsed();
    Ok(Cost {
        time,
        processors: busy()?.saturating_sub(before),
        is_disturbed,
    })
}

/// Returns how many bytes of memory a process has.
pub fn resident(process: u32) -> Result<u64> {
    let path = format!("/proc/{process}/statm");
    let statm = fs::read_to_string(&path).with_context(|| format!("no {path}"))?;
    let pages = statm.split_whitespace().nth(1).context("another statm")?;
    Ok(pages.parse::<u64>()? * rustix::param::page_size() as u64)
}

fn is_idle_in_time(patience: Duration) -> Result<bool> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let until = Instant::now() + patience;
    while Instant::now() < until {
        let (before, begun) = (busy()?, Instant::now());
        std::thread::sleep(IDLE_FOR);
        let used = busy()?.saturating_sub(before).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a number of processors")]
        let there = begun.elapsed().as_secs_f64() * processors as f64;
        if used < IDLE * there {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns how long the processors have worked since the machine's start, together.
fn busy() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/stat").context("/proc/stat cannot be read")?;
    let line = stat.lines().next().context("/proc/stat is empty")?;
    // user nice system idle iowait irq softirq ..., see proc_stat(5).
    let ticks: Vec<u64> = line
        .split_ascii_whitespace()
        .skip(1)
        .flat_map(str::parse)
        .collect();
    let busy = [0, 1, 2, 5, 6]
        .into_iter()
        .filter_map(|kind| ticks.get(kind));
    #[expect(clippy::cast_precision_loss, reason = "hundredths of seconds")]
    let ticks = busy.sum::<u64>() as f64;
    Ok(Duration::from_secs_f64(ticks / TICKS))
}

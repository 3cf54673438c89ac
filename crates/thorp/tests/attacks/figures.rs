//! What is measured of an attack, and whether its bound held.

use std::fmt::Display;
use std::time::Duration;

pub const MIB: u64 = 1024 * 1024;

/// The lines of one attack in the table.
pub struct Figures {
    attack: &'static str,
    broken: Vec<String>,
}

impl Figures {
    pub fn of(attack: &'static str) -> Self {
        Self {
            attack,
            broken: Vec::new(),
        }
    }

    /// A line of the table, as `.ci/attacks` looks for it.
    pub fn line(&mut self, what: &str, measured: impl Display, bound: impl Display, held: bool) {
        let Self { attack, broken } = self;
        let verdict = if held { "held" } else { "**not held**" };
        let line = format!("{attack} | {what} | {measured} | {bound} | {verdict}");
        eprintln!("figure: | {line} |");
        if !held {
            broken.push(line);
        }
    }

    pub fn mib(&mut self, what: &str, bytes: u64, bound: u64) {
        let show = |bytes| format!("{} MiB", bytes / MIB);
        self.line(what, show(bytes), show(bound), bytes <= bound);
    }

    pub fn time(&mut self, what: &str, time: Duration, bound: Duration) {
        self.line(what, shown(time), shown(bound), time <= bound);
    }

    pub fn all(&mut self, what: &str, good: usize, of: usize) {
        self.line(what, format!("{good} of {of}"), "all", good == of && of > 0);
    }

    /// What is measured to be compared with.
    pub fn usual(&mut self, what: &str, measured: impl Display) {
        self.line(what, measured, "", true);
    }

    #[track_caller]
    pub fn end(self) {
        assert!(self.broken.is_empty(), "{:#?}", self.broken);
    }
}

pub fn shown(time: Duration) -> String {
    if time < Duration::from_secs(10) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{} s", time.as_secs())
    }
}

pub fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or(Duration::MAX)
}

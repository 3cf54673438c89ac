//! The signals that end the program with goodbyes (SIGINT, SIGTERM, SIGHUP), and one that must not
//! end it.

use std::fs;
use std::sync::LazyLock;
use std::time::Duration;

use rustix::process;
use thorp_node::api::ErrorKind;
use thorp_node::if_any;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use crate::exit::{Exit, Result, failure};
use crate::node::Stop;

/// How long a signal may be without effect before [`LastResort`] ends the process.
const WITHOUT_EFFECT: Duration = Duration::from_secs(2);

/// The meaning of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// End the current activity; without one, the program.
    Interrupt,
    /// End the program.
    End,
}

/// Receives signals from its creation on; until then a signal ends the process at once.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` if SIGHUP was ignored from the start, as by `nohup`.
    hangup: Option<Signal>,
}

/// Ends the process if a signal has no effect: the task that waits for it may be blocked, because
/// standard output is a pipe that is not read.
pub struct LastResort(JoinHandle<()>);

impl LastResort {
    /// Waits for a signal from now on, until this is dropped.
    pub fn listen() -> Result<Self> {
        let mut signals = Signals::listen()?;
        Ok(Self(tokio::spawn(async move {
            signals.next().await;
            tokio::time::sleep(WITHOUT_EFFECT).await;
            std::process::exit(ErrorKind::Unfinished.exit_code().into());
        })))
    }
}

impl Drop for LastResort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Makes a write beyond the file size limit (`ulimit -f`) fail like one on a full disk, which is
/// reported. By default SIGXFSZ would end the process.
pub fn outlive_file_limit() -> Result<()> {
    on(SignalKind::from_raw(process::Signal::XFSZ.as_raw())).map(drop)
}

impl Signals {
    /// Starts to receive signals.
    pub fn listen() -> Result<Self> {
        let hears_hangup = !is_ignored(process::Signal::HUP);
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            hangup: hears_hangup.then(|| on(SignalKind::hangup())).transpose()?,
        })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) {
        self.which().await;
    }

    /// Waits for the next signal and returns its meaning.
    pub async fn which(&mut self) -> Means {
        tokio::select! {
            _ = self.interrupt.recv() => Means::Interrupt,
            _ = self.terminate.recv() => Means::End,
            Some(()) = if_any(self.hangup.as_mut().map(Signal::recv)) => Means::End,
        }
    }

    /// Stops the node with its goodbyes; a second signal ends the process at once.
    pub async fn goodbye(&mut self, stop: Stop) -> Exit {
        tokio::select! {
            () = stop => Exit::DONE,
            () = self.next() => ErrorKind::Unfinished.into(),
        }
    }
}

fn on(kind: SignalKind) -> Result<Signal> {
    signal(kind).map_err(|e| failure(ErrorKind::Other, format!("listening to signals: {e}")))
}

/// Whether a signal was ignored when the program was started.
fn is_ignored(signal: process::Signal) -> bool {
    static AT_START: LazyLock<String> =
        LazyLock::new(|| fs::read_to_string("/proc/self/status").unwrap_or_default());
    is_in(&AT_START, signal)
}

fn is_in(status: &str, signal: process::Signal) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal.as_raw() - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_signal_is_read_off_the_mask() {
        let status = "SigBlk:\t0000000000000001\nSigIgn:\t0000000000001001\nSigCgt:\tffff\n";
        assert!(is_in(status, process::Signal::HUP));
        assert!(is_in(status, process::Signal::PIPE));
        assert!(!is_in(status, process::Signal::INT));
        assert!(!is_in("", process::Signal::HUP));
    }
}

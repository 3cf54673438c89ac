//! Standard output and standard error, written so that a closed stream does no harm.
//!
//! Data goes to standard output, which is flushed when no more is there, for a reader that follows
//! it. If that reader has gone (`thorp ls | head`), this is the end, not an error. Talk goes to
//! standard error, which may be closed. Owns which streams are terminals and whether colour is
//! wanted, and whether there was a standard output at all when the program was started.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;
use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;
use thorp_node::api;

use crate::exit::{Complaint, Result, failure};
use crate::quoting::printable_lines;
use crate::wrap;

/// Whether standard output can still be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// It is open.
    Open,
    /// Its reader has gone.
    Closed,
}

/// Whether there was no standard output when this program was started (`>&-`).
static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Before `main` the standard library opens `/dev/null` in the place of a stream that is closed. So
/// this is looked at earlier.
#[cfg(target_os = "linux")]
#[used]
#[unsafe(link_section = ".init_array")]
#[expect(
    unsafe_code,
    reason = "it makes one call of the system, and needs nothing of the runtime"
)]
static AT_THE_START: extern "C" fn() = look_at_standard_output;

#[cfg(target_os = "linux")]
extern "C" fn look_at_standard_output() {
    let is_closed = rustix::io::fcntl_getfd(rustix::stdio::stdout()) == Err(Errno::BADF);
    WAS_CLOSED.store(is_closed, Ordering::Relaxed);
}

/// Standard output. What is written to it fails where it was closed from the start.
#[derive(Debug)]
pub struct StandardOutput {
    open: io::Stdout,
    otherwise: Errno,
}

/// Returns standard output, for data: without it nothing is told.
pub fn standard() -> StandardOutput {
    StandardOutput {
        open: io::stdout(),
        otherwise: Errno::BADF,
    }
}

/// Returns standard output, for what only tells of work that is done all the same: where it is
/// closed, that is as if its reader had gone.
pub fn standard_if_any() -> StandardOutput {
    StandardOutput {
        open: io::stdout(),
        otherwise: Errno::PIPE,
    }
}

impl Write for StandardOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.there()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.there()?.flush()
    }
}

impl StandardOutput {
    fn there(&mut self) -> io::Result<&mut io::Stdout> {
        if WAS_CLOSED.load(Ordering::Relaxed) {
            return Err(self.otherwise.into());
        }
        Ok(&mut self.open)
    }
}

/// Writes a text and a line break to `out`.
pub fn line(out: &mut impl Write, text: &str) -> io::Result<Flow> {
    lines(out, &format!("{text}\n"))
}

/// Writes lines, each with its line break, to `out`.
pub fn lines(out: &mut impl Write, text: &str) -> io::Result<Flow> {
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written {
        Ok(()) => Ok(Flow::Open),
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(Flow::Closed),
        Err(e) => Err(e),
    }
}

/// Writes a line of data to standard output.
pub fn data(text: &str) -> Result<Flow> {
    line(&mut standard(), text).map_err(|error| unwritten(&error))
}

/// The failure of data that could not be written, for example because the disk is full.
pub fn unwritten(error: &io::Error) -> Complaint {
    let why = format!("standard output cannot be written ({error}): not all of it is there");
    failure(api::ErrorKind::Other, why)
}

/// Writes a line of talk to standard error, wrapped to the width of a terminal.
pub fn talk(text: &str) {
    let mut talk = io::stderr().lock();
    let text = wrap::fitted(text, &talk);
    let _ = line(&mut talk, &text);
}

/// Writes an error to standard error.
pub fn complain(failure: &Complaint) {
    talk(&complaint(failure));
}

/// Returns what [`complain`] writes.
pub fn complaint(failure: &Complaint) -> String {
    format!("thorp: {}", printable_lines(&failure.message))
}

/// What the three standard streams are connected to.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, not a state"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminals {
    /// Whether standard input is a terminal.
    pub stdin: bool,
    /// Whether standard output is a terminal.
    pub stdout: bool,
    /// Whether standard error is a terminal.
    pub stderr: bool,
    /// Whether the terminal can move its cursor.
    pub able: bool,
    /// Whether colour is wanted.
    pub colour: bool,
    /// Whether the program runs in the foreground of its terminal.
    pub in_foreground: bool,
}

/// Whether this program may read from the terminal; in the background of a shell it would be
/// suspended.
pub fn is_in_foreground() -> bool {
    // The terminal of another session does not suspend this process.
    tcgetpgrp(io::stdin()).map_or(true, |group| group == getpgrp())
}

impl Terminals {
    /// Detects the current connections.
    pub fn detect() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        Self {
            stdin: io::stdin().is_terminal(),
            stdout: io::stdout().is_terminal(),
            stderr: io::stderr().is_terminal(),
            able: std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb"),
            colour: !set("NO_COLOR"),
            in_foreground: is_in_foreground(),
        }
    }

    /// Whether a log may be coloured.
    pub fn colour_on_stderr(self) -> bool {
        self.colour && self.stderr && self.able
    }

    /// Whether the user can be asked on standard error and can answer.
    pub fn can_ask(self) -> bool {
        self.stdin && self.stderr && self.in_foreground
    }

    /// Erases the `^C` that a terminal shows when the user interrupts the program, and what was
    /// typed before, so that the next message begins a line.
    pub fn erase_interrupt(self) {
        if self.stderr && self.in_foreground {
            let erased: &[u8] = if self.able { b"\r\x1b[K" } else { b"\n" };
            let _ = io::stderr().lock().write_all(erased);
        }
    }

    /// Whether a menu can be shown, and a screen if the terminal is able to. A log on the same
    /// terminal would disturb both, so with `logging` there are plain lines.
    pub fn can_converse(self, logging: bool) -> bool {
        self.stdin && self.stdout && !(logging && self.stderr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::failure;

    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_ends_the_output() {
        assert_eq!(line(&mut Gone, "x").expect("no error"), Flow::Closed);
        let mut out = Vec::new();
        assert_eq!(line(&mut out, "x").expect("no error"), Flow::Open);
        assert_eq!(out, b"x\n");
    }

    #[test]
    fn errors_carry_the_prefix_and_no_escapes() {
        let failure = failure(api::ErrorKind::Other, "no such thing: a\x1bb");
        assert_eq!(complaint(&failure), "thorp: no such thing: a\\x1bb");
    }
}

//! Standard output and standard error, written so that a closed stream does no harm.
//!
//! Data goes to standard output, which is flushed when no more is there, for a reader that follows
//! it. If that reader has gone (`thorp ls | head`), this is the end, not an error. Talk goes to
//! standard error, which may be closed. Owns which streams are terminals and whether colour is
//! wanted.

use std::io::{self, ErrorKind, IsTerminal, Write};

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
    line(&mut io::stdout().lock(), text).map_err(|error| unwritten(&error))
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

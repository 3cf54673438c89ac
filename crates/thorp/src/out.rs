//! Standard output and standard error, written so that nothing can hurt.
//!
//! Data goes to standard output and is flushed at every line, for a reader that
//! follows it; when that reader has gone (`thorp ls | head`) this is an end, not
//! an error. Talk goes to standard error, which may be closed. Owns what is a
//! terminal and whether colour is wanted.

use std::io::{self, ErrorKind, IsTerminal, Write};

use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;
use thorp_node::api;

use crate::exit::{Complaint, Result, failure};
use crate::quoting::printable_lines;
use crate::wrap;

/// What standard output does with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// Go on.
    Open,
    /// The reader has gone.
    Closed,
}

/// Writes a text and a line break to `out`.
pub fn line(out: &mut impl Write, text: &str) -> io::Result<Flow> {
    let written = out
        .write_all(text.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush());
    match written {
        Ok(()) => Ok(Flow::Open),
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(Flow::Closed),
        Err(e) => Err(e),
    }
}

/// A line of data.
pub fn data(text: &str) -> Result<Flow> {
    line(&mut io::stdout().lock(), text).map_err(|error| unwritten(&error))
}

/// Data that was not written, because the disk is full or the like.
pub fn unwritten(error: &io::Error) -> Complaint {
    let why = format!("standard output cannot be written ({error}): not all of it is there");
    failure(api::ErrorKind::Other, why)
}

/// A line of talk; in a terminal as many as it takes.
pub fn talk(text: &str) {
    let mut talk = io::stderr().lock();
    let text = wrap::fitted(text, &talk);
    let _ = line(&mut talk, &text);
}

/// An error, the way every error is shown.
pub fn complain(failure: &Complaint) {
    talk(&complaint(failure));
}

/// What [`complain`] shows.
pub fn complaint(failure: &Complaint) -> String {
    format!("thorp: {}", printable_lines(&failure.message))
}

/// What the three standard streams lead to.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, not a state"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminals {
    /// Standard input is a terminal.
    pub stdin: bool,
    /// Standard output is one.
    pub stdout: bool,
    /// Standard error is one.
    pub stderr: bool,
    /// The terminal can move its cursor.
    pub able: bool,
    /// Colour is welcome.
    pub colour: bool,
    /// The terminal's shell waits for this program: it was not put in the background.
    pub in_foreground: bool,
}

/// Whether this program may read from the terminal: one that a shell has put in the
/// background would be suspended.
pub fn is_in_foreground() -> bool {
    // A terminal of another session suspends nobody.
    tcgetpgrp(io::stdin()).map_or(true, |group| group == getpgrp())
}

impl Terminals {
    /// As they are now.
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

    /// Whether the user can be asked on standard error, and answer.
    pub fn can_ask(self) -> bool {
        self.stdin && self.stderr && self.in_foreground
    }

    /// Whether a screen or a menu can be shown. A log on the same terminal
    /// would tear it, so `logging` means plain lines.
    pub fn can_draw(self, logging: bool) -> bool {
        self.stdin && self.stdout && self.able && !(logging && self.stderr)
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
    fn a_reader_that_has_gone_is_an_end() {
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

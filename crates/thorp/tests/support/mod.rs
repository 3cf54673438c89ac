//! What the tests that play with the real program share.
//!
//! ```text
//! process  a running program, its lines as they come, its end
//! village  directories for nodes, the program's arguments, its JSON
//! net      hosts of our own: network namespaces on a bridge
//! picture  the tracker's two tables, out of its lines
//! hostile  a member that says what it likes
//! seeder   an ordinary BitTorrent client that has a torrent of its own
//! tmux     a terminal, played by tmux
//! ```
//!
//! Nothing here waits for a fixed time: it waits for a line, for the end of a
//! process, or for a command to answer as expected, and a limit only says when
//! to give up.

pub mod hostile;
pub mod net;
pub mod picture;
pub mod process;
pub mod seeder;
pub mod tmux;
pub mod village;

use std::io::{self, Write as _};
use std::time::Duration;

pub use hostile::Hostile;
pub use net::{Host, Net};
pub use picture::Picture;
pub use process::{Finished, Running};
pub use tmux::Tmux;
pub use village::{Node, Village};

/// When to give up waiting for something that has no promised time.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What a promised time may be late by: the tests run side by side on a machine
/// that has other things to do.
pub const SLACK: Duration = Duration::from_secs(1);

/// Does this again where a signal has come in between: a read from a socket with a time limit is
/// interrupted by any that the process handles, such as one about a child of another test.
pub fn uninterrupted<T>(mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match work() {
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Changes some bytes, and cuts some off.
pub fn mutated(random: &mut fastrand::Rng, said: &[u8]) -> Vec<u8> {
    let mut said = said.to_vec();
    for _ in 0..random.usize(1..6) {
        let at = random.usize(..said.len());
        said[at] = random.u8(..);
    }
    if random.bool() {
        said.truncate(random.usize(..=said.len()));
    }
    said
}

/// Says that `test` cannot run here, and why. With `THORP_REQUIRE_ALL=1`, as in
/// CI, that is a failure.
///
/// Written past the test runner's capture, so that it is seen when all is well.
pub fn skip(test: &str, reason: &str) {
    assert!(
        std::env::var_os("THORP_REQUIRE_ALL").is_none_or(|value| value != "1"),
        "THORP_REQUIRE_ALL=1, but {test} needs {reason}"
    );
    // One write, so that two of these do not mix.
    let line = format!("skipped: {test}: needs {reason}\n");
    _ = io::stderr().write_all(line.as_bytes());
}

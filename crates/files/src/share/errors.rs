//! What the system's errors say.

use std::io;

use rustix::io::Errno;

/// Whether this says something about the machine now and nothing about the file.
pub(super) fn passes(error: &io::Error) -> bool {
    let busy = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN];
    Errno::from_io_error(error).is_some_and(|errno| busy.contains(&errno))
}

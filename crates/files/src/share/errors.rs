//! What the system's errors say.

use std::io;

use rustix::io::Errno;

/// Whether this is an answer: what was looked for is not there, or not for this user.
/// Any other error says that the disk does not tell now.
pub(super) fn says_no(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied
    )
}

/// Whether this says something about the machine now and nothing about the file.
pub(super) fn passes(error: &io::Error) -> bool {
    let busy = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN];
    Errno::from_io_error(error).is_some_and(|errno| busy.contains(&errno))
}

/// What the user can do about a directory or file that cannot be read.
pub(super) fn advice(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE) => "raise the limit of open files (ulimit -n)",
        _ if passes(error) => "end other programs and try again",
        _ => "check its permissions",
    }
}

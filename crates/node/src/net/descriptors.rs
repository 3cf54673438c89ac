//! How many files and connections this process may have open.

use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that incoming connections leave for the node's own use: the files it reads and
/// writes, its local socket, the connections it dials, and those of its page (64).
const RESERVE: u64 = 192;

/// Raises the limit of open files to the maximum: many systems start a program with 1024 but
/// allow far more.
pub fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// Returns the number from which a connection's descriptor is one too many. The system assigns
/// the lowest free number, so at that number nearly all are in use.
pub(crate) fn most_for_connections() -> u64 {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    // If the limit is small, incoming connections get half of it.
    limit.saturating_sub(RESERVE).max(limit / 2)
}

/// Whether something failed because this process, or the whole system, may open no more files.
pub(crate) fn are_used_up(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_reserve_below_what_the_system_allows() {
        raise();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
        let most = most_for_connections();
        assert!(current.is_none_or(|limit| most < limit), "{most}");
    }
}

//! How many files and connections this process may have open.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustix::io::Errno;

/// Descriptors that incoming connections leave for the node's own use: the files it reads and
/// writes, its local socket, the connections it dials, and those of its page (64).
const RESERVE: u64 = 192;
/// The limit of most systems, where this one does not say.
const USUAL: u64 = 1024;

/// Raises the limit of open files to the maximum: many systems start a program with 1024 but
/// allow far more.
pub fn raise() {
    // A sandbox may allow neither.
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    if let Err(error) = raised {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// Returns the number from which a connection's descriptor is one too many. The system assigns
/// the lowest free number, so at that number nearly all are in use.
pub(crate) fn most_for_connections() -> u64 {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(USUAL, |(limit, _)| limit);
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
        let (limit, maximum) = getrlimit(Resource::RLIMIT_NOFILE).expect("it is known");
        assert_eq!(limit, maximum);
        let most = most_for_connections();
        assert!(most < limit, "{most}");
    }
}

//! How many files and connections this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that connections of others leave for the node's own use: files
/// that are read and written, its socket, what it dials.
const RESERVE: u64 = 128;

/// Asks the system for as many as it allows: many systems start a program with
/// 1024 and would give it far more.
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

/// A connection whose descriptor has this number, or a higher one, is one too
/// many: the system gives out the lowest free number, so nearly all are in use.
pub(crate) fn most_for_connections() -> u64 {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    // Where there are few, others get half of them.
    limit.saturating_sub(RESERVE).max(limit / 2)
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

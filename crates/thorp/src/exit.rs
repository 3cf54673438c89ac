//! How the process ends: the exit codes people's scripts rely on.
//!
//! Owns the mapping from outcomes to numbers, nothing else. The numbers of
//! failures are [`ErrorKind`]'s own.

use std::process::ExitCode;

use thorp_node::api::{ErrorKind, Failure};

/// What `main` hands to the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(u8);

impl Exit {
    /// It did what was asked.
    pub const DONE: Self = Self(0);

    /// The number itself.
    #[cfg(test)]
    pub const fn code(self) -> u8 {
        self.0
    }
}

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        Self(kind.exit_code())
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}

/// What a verb returns: how it ended, or a failure still to be told.
pub type Result<T = Exit> = std::result::Result<T, Failure>;

/// A failure in one line.
pub fn failure(kind: ErrorKind, message: impl Into<String>) -> Failure {
    Failure {
        kind,
        message: message.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_documented_ones() {
        let codes = [
            (ErrorKind::Other, 1),
            (ErrorKind::Usage, 2),
            (ErrorKind::NotFound, 3),
            (ErrorKind::Exists, 4),
            (ErrorKind::Ambiguous, 5),
            (ErrorKind::Network, 6),
            (ErrorKind::Unfinished, 7),
            (ErrorKind::Verification, 8),
            (ErrorKind::NotAMember, 9),
        ];
        assert_eq!(Exit::DONE.code(), 0);
        for (kind, code) in codes {
            assert_eq!(Exit::from(kind).code(), code, "{kind:?}");
        }
    }
}

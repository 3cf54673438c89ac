//! The exit codes that scripts rely on.
//!
//! Owns the mapping from outcomes to numbers, and the failures of an answer that was cut short.
//! The numbers of failures are those of [`ErrorKind`].

use std::process::ExitCode;

use serde::Serialize;
use thorp_node::api::{self, ErrorKind, Get};
use thorp_node::backup::BackupError;
use thorp_node::launch::LaunchError;

use crate::words;

/// The exit code of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(u8);

impl Exit {
    /// The command was carried out.
    pub const DONE: Self = Self(0);

    /// Returns the exit code of another process.
    pub const fn of_another(code: u8) -> Self {
        Self(code)
    }

    /// Returns the number.
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

/// A failure and its sentence. The fields are part of the interface (`docs/json.md`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Complaint {
    /// The kind of failure, for programs.
    pub kind: ErrorKind,
    /// The sentence for users: what went wrong, with which thing, and what to do now.
    pub message: String,
}

impl From<&api::Failure> for Complaint {
    fn from(failure: &api::Failure) -> Self {
        Self {
            kind: failure.kind(),
            message: words::plain(&words::failure(failure)),
        }
    }
}

impl From<api::Failure> for Complaint {
    fn from(failure: api::Failure) -> Self {
        Self::from(&failure)
    }
}

impl From<LaunchError> for Complaint {
    fn from(error: LaunchError) -> Self {
        Self {
            kind: error.kind(),
            message: words::plain(&words::launch(&error)),
        }
    }
}

impl From<BackupError> for Complaint {
    fn from(error: BackupError) -> Self {
        LaunchError::from(error).into()
    }
}

/// The result of a verb: its exit code, or a failure still to be shown.
pub type Result<T = Exit> = std::result::Result<T, Complaint>;

/// Creates a failure.
pub fn failure(kind: ErrorKind, message: impl Into<String>) -> Complaint {
    Complaint {
        kind,
        message: words::plain(&message.into()),
    }
}

/// The failure of an answer that ended without its last event.
pub fn broken_off() -> Complaint {
    let why = "the answer broke off: the peer has ended; see whether it still runs (thorp status)";
    failure(ErrorKind::Unfinished, why)
}

/// The failure of an answer that the user interrupted; `fetch` if it was that of a fetch.
pub fn interrupted(fetch: Option<&Get>) -> Complaint {
    let Some(get) = fetch else {
        return failure(ErrorKind::Unfinished, "interrupted");
    };
    if get.names == ["-"] {
        let why = "interrupted: what has arrived is kept, and the same torrent, given once more, \
                   goes on from there";
        return failure(ErrorKind::Unfinished, why);
    }
    let why = "interrupted: what has arrived is kept, and the same command goes on from there";
    failure(ErrorKind::Unfinished, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_to_go_on_is_said_as_far_as_it_is_true() {
        let said = |name: &str| {
            let get = Get {
                names: vec![name.into()],
                ..Get::default()
            };
            interrupted(Some(&get)).message
        };
        assert!(said("a.torrent").contains("the same command goes on from there"));
        // Standard input has been read.
        assert!(!said("-").contains("command"), "{}", said("-"));
    }

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

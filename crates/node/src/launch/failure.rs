//! What a person is told when a node cannot be started, and which exit code it is.

use thorp_files::share::ShareError;
use thorp_files::store::StoreError;
use thorp_group::backup::BackupError;
use thorp_group::identity::IdentityError;
use thorp_group::join::JoinError;
use thorp_group::state::StateError;
use thorp_group::tls::TlsError;
use thorp_wire::frame::Reason;

use crate::api::{ErrorKind, Failure};
use crate::config::ConfigError;
use crate::local::LocalError;
use crate::net::dial::DialError;
use crate::net::join::NotJoined;
use crate::net::listener::ListenError;

pub(super) fn other(error: impl std::error::Error) -> Failure {
    Failure {
        kind: ErrorKind::Other,
        message: error.to_string(),
    }
}

macro_rules! other_failures {
    ($($error:ty),* $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                other(error)
            }
        })*
    };
}
other_failures!(
    IdentityError,
    ListenError,
    LocalError,
    ShareError,
    StateError,
    StoreError,
    TlsError
);

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        let kind = match &error {
            BackupError::Exists(_) | BackupError::NotEmpty { .. } | BackupError::Twice { .. } => {
                ErrorKind::Exists
            }
            BackupError::Newer(_)
            | BackupError::Damaged(_)
            | BackupError::Authority(_)
            | BackupError::State(_)
            | BackupError::File { .. } => ErrorKind::Other,
        };
        Self {
            kind,
            message: error.to_string(),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self {
            kind: ErrorKind::Usage,
            message: error.to_string(),
        }
    }
}

impl From<NotJoined> for Failure {
    fn from(error: NotJoined) -> Self {
        let kind = match error {
            NotJoined::Join(error) => return error.into(),
            NotJoined::Dial(ref why) => why.kind(),
            NotJoined::Address(_) => ErrorKind::Network,
        };
        let message = match error {
            NotJoined::Dial(DialError::Unreachable { .. }) => format!(
                "the tracker is out of reach: {error}. Check its address and port, and that it is running there (thorp tracker, or thorp share where the group was made)"
            ),
            _ => error.to_string(),
        };
        Self { kind, message }
    }
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        let kind = match &error {
            // In a while it will be let in, or can ask again.
            JoinError::Refused {
                reason: Reason::Busy,
                ..
            }
            | JoinError::Broken(..)
            | JoinError::Odd(..) => ErrorKind::Network,
            JoinError::Refused { .. } | JoinError::Certificate(_) | JoinError::Record(_) => {
                ErrorKind::NotAMember
            }
            JoinError::Clock(_) | JoinError::Identity(_) | JoinError::Tls(_) => ErrorKind::Other,
        };
        let message = match &error {
            JoinError::Refused { text, .. } => {
                format!(
                    "the tracker refused: {}",
                    thorp_wire::printable::printable(text)
                )
            }
            _ => error.to_string(),
        };
        Self { kind, message }
    }
}

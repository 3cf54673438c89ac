//! What a person is told when a node cannot be started, and which exit code it is.

use thorp_wire::frame::Reason;

use crate::api::{ErrorKind, Failure};
use crate::backup::BackupError;
use crate::config::ConfigError;
use crate::dial::DialError;
use crate::identity::IdentityError;
use crate::join::JoinError;
use crate::listener::ListenError;
use crate::local::LocalError;
use crate::share::ShareError;
use crate::state::StateError;
use crate::store::StoreError;
use crate::tls::TlsError;

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

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        let kind = match &error {
            // In a while it will be let in.
            JoinError::Refused {
                reason: Reason::Busy,
                ..
            } => ErrorKind::Network,
            JoinError::Refused { .. } | JoinError::Certificate(_) | JoinError::Record(_) => {
                ErrorKind::NotAMember
            }
            JoinError::Clock(_) | JoinError::Identity(_) | JoinError::Tls(_) => ErrorKind::Other,
            JoinError::Dial(why) => why.kind(),
            JoinError::Address(_) | JoinError::Broken(..) | JoinError::Odd(..) => {
                ErrorKind::Network
            }
        };
        let message = match &error {
            JoinError::Refused { text, .. } => {
                format!(
                    "the tracker refused: {}",
                    thorp_wire::printable::printable(text)
                )
            }
            JoinError::Dial(DialError::Unreachable { .. }) => format!(
                "the tracker is out of reach: {error}. Check its address and port, and that it is running there (thorp tracker, or thorp share where the group was made)"
            ),
            _ => error.to_string(),
        };
        Self { kind, message }
    }
}

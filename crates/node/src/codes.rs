//! Converts the errors of a node's parts to codes of the interface.
//!
//! Only errors that may go over the local socket are converted. Those that keep a node from
//! starting stay as they are: see [`LaunchError`](crate::launch::LaunchError).

use std::error::Error;
use std::io;
use std::path::PathBuf;

use thorp_files::store::StoreError;
use thorp_group::authority::{AuthorityError, MAX_INVITES};
use thorp_group::backup::BackupError;
use thorp_group::certificate::CertificateError;
use thorp_group::state::StateError;
use thorp_wire::frame::GroupRecord;

use crate::api::{ErrorKind, Failure, Obstacle, Trouble};
use crate::net::descriptors;
use crate::net::dial::DialError;

impl From<&DialError> for Trouble {
    fn from(error: &DialError) -> Self {
        match error {
            DialError::NoAddress
            | DialError::Unreachable { .. }
            | DialError::TooManyOpen { .. }
            | DialError::Mute { .. }
            | DialError::HungUp { .. }
            | DialError::NotThorp { .. } => Self::Unreachable {
                why: error.to_string(),
            },
            DialError::Clock(apart) => Self::ClocksApart(*apart),
            DialError::Certificate {
                address,
                why: CertificateError::ChangedCa { pinned, shown },
            } => Self::ChangedCa {
                address: *address,
                pinned: pinned.to_string(),
                shown: shown.to_string(),
            },
            DialError::Certificate { address, why } => Self::Untrusted {
                address: *address,
                why: why.to_string(),
            },
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let (path, obstacle) = match error {
            StoreError::Exists { .. } => return Self::Exists,
            StoreError::Mismatch { path } => (path, Obstacle::Mismatch),
            StoreError::FileInTheWay { path } => (path, Obstacle::File),
            StoreError::FolderInTheWay { path } => (path, Obstacle::Folder),
            StoreError::SpecialInTheWay { path } => (path, Obstacle::Special),
            StoreError::Moved { path } => (path, Obstacle::Moved),
            StoreError::FolderMoved { path } => (path, Obstacle::FolderMoved),
            StoreError::PartMoved { path, part, bytes } => {
                (path, Obstacle::PartMoved { part, bytes })
            }
            StoreError::LeadsOutside { path } => (path, Obstacle::LeadsOutside),
            StoreError::NameTooLong { path } => (path, Obstacle::NameTooLong),
            StoreError::NameRefused { path } => (path, Obstacle::NameRefused),
            StoreError::ReadOnly { path } => (path, Obstacle::ReadOnly),
            StoreError::Denied { path } => (path, Obstacle::Denied),
            StoreError::Full { path } => (path, Obstacle::Full),
            StoreError::NoDirectory { path } => (path, Obstacle::NoDirectory),
            StoreError::Io { path, source } if descriptors::are_used_up(&source) => {
                (path, Obstacle::TooManyOpen)
            }
            StoreError::Io { path, source } => (path, Obstacle::Other(source.to_string())),
        };
        Self::Unstorable {
            path,
            obstacle,
            room: None,
        }
    }
}

impl From<AuthorityError> for Failure {
    fn from(error: AuthorityError) -> Self {
        match error {
            AuthorityError::State(error) => error.into(),
            AuthorityError::TooManyRemoved => Self::TooManyRemoved {
                most: GroupRecord::MAX_REMOVED,
            },
            AuthorityError::TooManyInvites => Self::TooManyInvites { most: MAX_INVITES },
            AuthorityError::KeyMissing => Self::CaKeyMissing,
            other => library(&other),
        }
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Corrupt { path, why } => Self::Damaged { path, why },
            StateError::Io {
                action,
                path,
                error,
            } => disk_failed(action, path, &error),
            other => library(&other),
        }
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::State(error) => error.into(),
            BackupError::Authority(error) => error.into(),
            BackupError::File {
                action,
                path,
                error,
            } => disk_failed(action, path, &error),
            other => library(&other),
        }
    }
}

fn disk_failed(action: &str, path: PathBuf, error: &io::Error) -> Failure {
    Failure::DiskFailed {
        action: action.to_owned(),
        path,
        obstacle: Obstacle::from_io(error),
    }
}

/// Wraps a library's error for which there is no code.
fn library(error: &dyn Error) -> Failure {
    Failure::Library {
        kind: ErrorKind::Other,
        text: error.to_string(),
    }
}

//! Why a node cannot be started, or be asked; why a group cannot be left.
//!
//! Keeps the errors of the parts as they are: the program, in whose process they
//! came up, says them in its own words.

use std::io;
use std::path::PathBuf;

use thiserror::Error;
use thorp_files::share::ShareError;
use thorp_group::address::NetAddress;
use thorp_group::authority::AuthorityError;
use thorp_group::backup::BackupError;
use thorp_group::certificate::CertificateError;
use thorp_group::identity::IdentityError;
use thorp_group::join::JoinError;
use thorp_group::state::StateError;
use thorp_group::tls::TlsError;
use thorp_wire::frame::Reason;
use tokio::task::JoinError as TaskError;

use crate::api::{ErrorKind, Failure, Trouble};
use crate::config::ConfigError;
use crate::local::LocalError;
use crate::net::join::NotJoined;
use crate::net::listener::ListenError;

/// Why a node cannot be started or asked, sorted by what to do next.
#[derive(Debug, Error)]
pub enum LaunchError {
    /// Join a group, or name the tracker of an open one.
    #[error("this machine is not a member of a group")]
    NotAMember,
    /// The same, where the group's own machine is asked for: make a group, or join one.
    #[error("this machine is not a member of a group, and keeps none")]
    NoGroupHere,
    /// Get a new key and a new invite.
    #[error("this machine was removed from its group")]
    Removed,
    /// Ask there.
    #[error("the group's CA is on another machine")]
    CaElsewhere {
        /// Where its tracker is.
        trackers: Vec<NetAddress>,
    },
    /// Start it: only a tracker that runs makes invites.
    #[error("no tracker runs on {}", state.display())]
    NoTrackerRuns {
        /// Its state directory.
        state: PathBuf,
    },
    /// Start one: a visitor cannot answer this.
    #[error("no peer runs on {}", state.display())]
    NoPeerRuns {
        /// Its state directory.
        state: PathBuf,
    },
    /// For another group use another state directory.
    #[error("{tracker} is not the tracker of this machine's group: {why}")]
    OtherTracker {
        /// As it was named.
        tracker: NetAddress,
        /// What is wrong with its certificate.
        why: CertificateError,
    },
    /// There is nothing to leave.
    #[error("there is no group in {}", state.display())]
    NothingToLeave {
        /// The state directory.
        state: PathBuf,
    },
    /// Save the group's CA first, or end the group.
    #[error("{} keeps the CA of its group", state.display())]
    KeepsTheGroup {
        /// The state directory.
        state: PathBuf,
    },
    /// What a node says, here or elsewhere.
    #[error("{0:?}")]
    Failure(Failure),
    /// The tracker does not let this machine in, or cannot be asked to.
    #[error(transparent)]
    Join(#[from] NotJoined),
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// This machine has no key.
    #[error(transparent)]
    Identity(IdentityError),
    /// This machine's certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There is no port to listen at.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// There is no socket to be asked at.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// The directory cannot be shared.
    #[error(transparent)]
    Share(#[from] ShareError),
    /// The backup cannot be put back.
    #[error(transparent)]
    Backup(BackupError),
    /// A setting is none.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The disk said no.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What was done on another thread did not come to its end.
    #[error(transparent)]
    Task(#[from] TaskError),
}

impl LaunchError {
    /// For programs.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotAMember
            | Self::NoGroupHere
            | Self::Removed
            | Self::OtherTracker { .. }
            | Self::NothingToLeave { .. } => ErrorKind::NotAMember,
            Self::Failure(failure) => failure.kind(),
            Self::Join(NotJoined::Join(error)) => kind_of_join(error),
            Self::Join(NotJoined::Dial(why)) => Trouble::from(why).kind(),
            Self::Join(NotJoined::Address(_)) => ErrorKind::Network,
            Self::Backup(error) => kind_of_backup(error),
            Self::Config(_) => ErrorKind::Usage,
            Self::CaElsewhere { .. }
            | Self::NoTrackerRuns { .. }
            | Self::NoPeerRuns { .. }
            | Self::KeepsTheGroup { .. }
            | Self::State(_)
            | Self::Identity(_)
            | Self::Tls(_)
            | Self::Listen(_)
            | Self::Local(_)
            | Self::Share(_)
            | Self::Io(_)
            | Self::Task(_) => ErrorKind::Other,
        }
    }
}

fn kind_of_join(error: &JoinError) -> ErrorKind {
    match error {
        JoinError::Refused {
            reason: Reason::NotInvited,
            ..
        }
        | JoinError::Certificate(_)
        | JoinError::Record(_) => ErrorKind::NotAMember,
        // The tracker cannot do it now; it has not said no.
        JoinError::Refused { .. } | JoinError::Broken(..) | JoinError::Odd(..) => {
            ErrorKind::Network
        }
        JoinError::Clock(_) | JoinError::Identity(_) | JoinError::Tls(_) => ErrorKind::Other,
    }
}

fn kind_of_backup(error: &BackupError) -> ErrorKind {
    match error {
        BackupError::Exists(_) | BackupError::NotEmpty { .. } | BackupError::Twice { .. } => {
            ErrorKind::Exists
        }
        BackupError::Newer(_)
        | BackupError::Damaged(_)
        | BackupError::Authority(_)
        | BackupError::State(_)
        | BackupError::File { .. } => ErrorKind::Other,
    }
}

impl From<Failure> for LaunchError {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<IdentityError> for LaunchError {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::State(error) => Self::State(error),
            IdentityError::NoKey => Self::Identity(error),
        }
    }
}

impl From<BackupError> for LaunchError {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::State(error) => Self::State(error),
            BackupError::Authority(error) => error.into(),
            error => Self::Backup(error),
        }
    }
}

impl From<AuthorityError> for LaunchError {
    fn from(error: AuthorityError) -> Self {
        match error {
            AuthorityError::State(error) => Self::State(error),
            error => Self::Failure(error.into()),
        }
    }
}

//! Why a node cannot be started or asked, and why a group cannot be left.
//!
//! The errors of the parts are kept as they are: the program has its own words for them.

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

/// Why a node cannot be started or asked; each variant says what the user can do.
#[derive(Debug, Error)]
pub enum LaunchError {
    /// This machine is in no group: join one, or name the tracker of an open one.
    #[error("this machine is not a member of a group")]
    NotAMember,
    /// This machine is in no group, and the command needs the one with the CA: make a group, or
    /// join one.
    #[error("this machine is not a member of a group, and keeps none")]
    NoGroupHere,
    /// The group has removed this machine: get a new key and a new invite.
    #[error("this machine was removed from its group")]
    Removed,
    /// Another machine keeps the group's CA: ask there.
    #[error("the group's CA is on another machine")]
    CaElsewhere {
        /// The addresses of that machine's tracker.
        trackers: Vec<NetAddress>,
    },
    /// Only a running tracker makes invites: start it.
    #[error("no tracker runs on {}", state.display())]
    NoTrackerRuns {
        /// The tracker's state directory.
        state: PathBuf,
    },
    /// Only a running peer answers this, not a visitor: start one.
    #[error("no peer runs on {}", state.display())]
    NoPeerRuns {
        /// The peer's state directory.
        state: PathBuf,
    },
    /// The tracker belongs to another group: use another state directory for that group.
    #[error("{tracker} is not the tracker of this machine's group: {why}")]
    OtherTracker {
        /// The tracker as the user named it.
        tracker: NetAddress,
        /// What is wrong with its certificate.
        why: CertificateError,
    },
    /// The state directory belongs to no group.
    #[error("there is no group in {}", state.display())]
    NothingToLeave {
        /// The state directory.
        state: PathBuf,
    },
    /// The state directory keeps the group's CA: save it first, or end the group.
    #[error("{} keeps the CA of its group", state.display())]
    KeepsTheGroup {
        /// The state directory.
        state: PathBuf,
    },
    /// A tracker is to start on the state directory of a peer, where its group's tracker may be.
    #[error("{} is the state directory of a peer", state.display())]
    PeersState {
        /// The state directory.
        state: PathBuf,
    },
    /// A peer is to start on the state directory of a tracker that runs alone.
    #[error("{} is the state directory of a tracker", state.display())]
    TrackersState {
        /// The state directory.
        state: PathBuf,
    },
    /// A failure that a node reports, this one or another.
    #[error("{0:?}")]
    Failure(Failure),
    /// The tracker does not admit this machine, or cannot be reached.
    #[error(transparent)]
    Join(#[from] NotJoined),
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// This machine's key cannot be made.
    #[error(transparent)]
    Identity(IdentityError),
    /// This machine's certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The node cannot listen on any port.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The local socket cannot be made.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// The directory cannot be shared.
    #[error(transparent)]
    Share(#[from] ShareError),
    /// The backup cannot be restored.
    #[error(transparent)]
    Backup(BackupError),
    /// A setting is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The system reported an I/O error.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Work on another thread was cancelled or panicked.
    #[error(transparent)]
    Task(#[from] TaskError),
}

impl LaunchError {
    /// Returns the kind of the failure, which decides the exit code.
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
            | Self::PeersState { .. }
            | Self::TrackersState { .. }
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
        // The tracker has not refused for good; it may admit this machine later.
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

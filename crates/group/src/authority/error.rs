//! Why a certificate is not given.

use thiserror::Error;
use thorp_wire::frame::{GroupRecord, Reason, Refused};

use crate::record::{REMOVED, RecordError};
use crate::state::StateError;

use super::limits::{MAX_INVITES, MAX_MEMBERS};

/// Why a certificate is not given, sorted by what to do next.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// Ask the group's owner for an invite.
    #[error(transparent)]
    NotInvited(#[from] NotInvited),
    /// The group's owner does not want this machine.
    #[error("{REMOVED}")]
    Removed,
    /// Remove another one, or stop the tracker for good.
    #[error("that is the machine that keeps the group: without it there is no group")]
    Own,
    /// Make a new group.
    #[error(
        "{} machines were removed already, and no more can be told of",
        GroupRecord::MAX_REMOVED
    )]
    TooManyRemoved,
    /// The record is forged.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The asking machine's program is at fault.
    #[error("the certificate request is not one: {0}")]
    Request(&'static str),
    /// Remove some members first.
    #[error("the group is full: it has {MAX_MEMBERS} members; the others have to be removed first")]
    Full,
    /// Wait until some of them have ended.
    #[error("there are {MAX_INVITES} invites already")]
    TooManyInvites,
    /// The tables are there, but the key is not.
    #[error("the group's key (ca.p8) is missing though it has members")]
    KeyMissing,
    /// The tracker's disk.
    #[error(transparent)]
    State(#[from] StateError),
    /// The tracker's random generator, or its library.
    #[error("the tracker could not sign the certificate; see its log")]
    Signing,
}

/// What the asking machine is told where the tracker's disk is full or fails.
const UNSAVED: &str = "the tracker cannot write to its disk now: try again later";

impl AuthorityError {
    /// What the asking machine is told. The state of the tracker's disk is not
    /// its business.
    pub fn refusal(&self) -> Refused {
        let (reason, text) = match self {
            Self::NotInvited(_) | Self::Removed => (Reason::NotInvited, self.to_string()),
            Self::Request(_) => (Reason::NotServed, self.to_string()),
            Self::Full | Self::TooManyInvites | Self::Signing => (Reason::Busy, self.to_string()),
            // It may be let in as soon as the disk takes it.
            Self::State(_) => (Reason::Busy, UNSAVED.to_owned()),
            Self::KeyMissing | Self::Own | Self::TooManyRemoved | Self::Record(_) => {
                (Reason::NotServed, Self::Signing.to_string())
            }
        };
        let text = text.into();
        Refused { reason, text }
    }
}

/// Why an invite does not let a machine in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotInvited {
    /// No token came with the request.
    #[error("this group is by invitation: ask its owner for an invite (`thorp invite`)")]
    None,
    /// No invite has this token.
    #[error("this invite is not known (any more); ask for a new one (`thorp invite`)")]
    Wrong,
    /// Other machines have used it up.
    #[error("this invite has been used already; ask for a new one (`thorp invite`)")]
    Used,
    /// It has expired.
    #[error("this invite has expired; ask for a new one (`thorp invite`)")]
    Expired,
}

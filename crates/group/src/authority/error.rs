//! Why a certificate is not issued.

use thiserror::Error;
use thorp_wire::frame::{GroupRecord, Reason, Refused};

use crate::record::{REMOVED, RecordError};
use crate::state::StateError;

use super::limits::{MAX_INVITES, MAX_MEMBERS};

/// Why a certificate is not issued; each variant says what can be done.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// The machine has no valid invite: ask the group's owner for one.
    #[error(transparent)]
    NotInvited(#[from] NotInvited),
    /// The group's owner has removed this machine.
    #[error("{REMOVED}")]
    Removed,
    /// The key belongs to the CA's machine: remove another one, or end the tracker for good.
    #[error("that is the machine that keeps the group: without it there is no group")]
    Own,
    /// The list of removed members is full: make a new group.
    #[error(
        "{} machines were removed already, and no more can be told of",
        GroupRecord::MAX_REMOVED
    )]
    TooManyRemoved,
    /// A record that a member has sent is forged.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The certificate request is invalid, through a fault of the asking machine's program.
    #[error("the certificate request is not one: {0}")]
    Request(&'static str),
    /// The group is full, and removals make no room: make a new group.
    #[error(
        "the group is full: its table has {MAX_MEMBERS} machines, and those that were removed stay \
         in it; its owner has to make a new group"
    )]
    Full,
    /// Too many invites can still be used: wait until some have expired.
    #[error("there are {MAX_INVITES} invites already that can still be used")]
    TooManyInvites,
    /// The tables exist, but the CA's key does not.
    #[error("the group's key (ca.p8) is missing though it has members")]
    KeyMissing,
    /// The tracker's state directory cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// The tracker's random generator or its cryptographic library failed.
    #[error("the tracker could not sign the certificate; see its log")]
    Signing,
}

/// The refusal while the tracker's disk is full or fails.
const UNSAVED: &str = "the tracker cannot write to its disk now: try again later";

impl AuthorityError {
    /// Makes the answer to the asking machine, which does not reveal the state of the tracker's
    /// disk.
    pub fn refusal(&self) -> Refused {
        let (reason, text) = match self {
            Self::NotInvited(_) | Self::Removed => (Reason::NotInvited, self.to_string()),
            Self::Request(_) => (Reason::NotServed, self.to_string()),
            // `Busy` would say that others came first, and that waiting helps.
            Self::Full | Self::TooManyInvites | Self::Signing => {
                (Reason::NotServed, self.to_string())
            }
            Self::State(_) => (Reason::NotServed, UNSAVED.to_owned()),
            Self::KeyMissing | Self::Own | Self::TooManyRemoved | Self::Record(_) => {
                (Reason::NotServed, Self::Signing.to_string())
            }
        };
        let text = text.into();
        Refused { reason, text }
    }
}

/// Why an invite does not admit a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotInvited {
    /// The request has no token.
    #[error("this group is by invitation: ask its owner for an invite (`thorp invite`)")]
    None,
    /// No invite has this token.
    #[error("this invite is not known (any more); ask for a new one (`thorp invite`)")]
    Wrong,
    /// Other machines have used the invite up.
    #[error("this invite has been used already; ask for a new one (`thorp invite`)")]
    Used,
    /// The invite has expired.
    #[error("this invite has expired; ask for a new one (`thorp invite`)")]
    Expired,
}

//! Why a file is missed, in the codes of the interface.

use thorp_core::get::{Missed, MissedKind};

use super::Peer;
use super::delivery::Errors;
use super::telling::{in_part, no_tracker};
use crate::api::{ErrorKind, Failure, Inquiry, Miss, Obstacle, Trouble};
use crate::rows;

/// Of more failures than are kept for a caller that does not read.
const FORGOTTEN: &str = "too many have failed at once to know why each did";

/// Why the file that goes by `name` is missed.
pub(super) fn failure(peer: &Peer, errors: &Errors, name: String, why: Missed) -> Failure {
    let miss = match why {
        Missed::Stopping => return peer.ended(),
        Missed::Removed => return Failure::Removed,
        Missed::NoNames => return Failure::NothingNamed,
        Missed::OneNameOnly => return Failure::NotOneFile,
        Missed::BadName { text, why } => {
            return Failure::NotAName {
                name: text,
                why: why.to_string(),
            };
        }
        Missed::TrackerUnreachable { listing } => {
            let inquiry = match peer.share() {
                _ if listing => Inquiry::Group,
                Some(_) => Inquiry::Beyond,
                None => Inquiry::File,
            };
            return no_tracker(peer, inquiry);
        }
        Missed::InPart(coverage) => {
            return in_part(peer, coverage).unwrap_or(Failure::TrackerBusy);
        }
        Missed::TrackerBusy => return Failure::TrackerBusy,
        Missed::NotAllAsked => return Failure::NotAllAsked,
        Missed::NobodyShares(only) => {
            return Failure::NobodyShares {
                from: only.from,
                root: only.root,
            };
        }
        Missed::OnlyHere(at) => {
            return Failure::OnlyHere {
                name,
                at: at.to_string(),
            };
        }
        Missed::Ambiguous(doubt) => return Failure::Ambiguous { name, doubt },
        Missed::Folder { files, bytes } => return Failure::IsFolder { name, files, bytes },
        Missed::NotAPattern(why) => {
            return Failure::NotAPattern {
                pattern: name,
                why: why.to_string(),
            };
        }
        Missed::Reserved(name) => {
            return Failure::Reserved {
                name: name.to_string(),
            };
        }
        Missed::NotStored(why) => {
            return errors.meant(&why).unwrap_or_else(|| Failure::Unstorable {
                path: name.into(),
                obstacle: Obstacle::Other(FORGOTTEN.to_owned()),
                room: None,
            });
        }
        Missed::NoRoomEither => {
            return Failure::Unstorable {
                path: name.into(),
                obstacle: Obstacle::Full,
                room: None,
            };
        }
        Missed::AllLeftOut { files, hidden } => Miss::AllLeftOut { files, hidden },
        Missed::StillHashing { by } => Miss::StillHashing {
            by: by.as_ref().map(rows::holder),
        },
        Missed::Busy => Miss::Busy,
        Missed::Unreadable => Miss::Unreadable,
        Missed::TooLarge => Miss::TooLarge,
        Missed::Unreachable(why) => Miss::Unreachable { why },
        Missed::Silent(by) => Miss::Silent {
            by: rows::holder(&by),
        },
        Missed::Mismatch(by) => Miss::Mismatch {
            by: rows::holder(&by),
        },
        Missed::Changed(at) => Miss::Changed {
            at: rows::holder(&at),
        },
        Missed::Restless(at) => Miss::Restless {
            at: rows::holder(&at),
        },
        Missed::Unfinished { reason, there, of } => Miss::Unfinished {
            why: reason,
            there,
            of,
        },
        Missed::Unfit(why) => Miss::Unfit {
            why: why.to_string(),
        },
    };
    Failure::Missed { name, miss }
}

/// What kind of failure that is.
pub(super) fn kind(peer: &Peer, kind: MissedKind) -> ErrorKind {
    match kind {
        MissedKind::Usage => ErrorKind::Usage,
        MissedKind::NotFound => ErrorKind::NotFound,
        MissedKind::Exists => ErrorKind::Exists,
        MissedKind::Ambiguous => ErrorKind::Ambiguous,
        MissedKind::Network => ErrorKind::Network,
        // As for one file: why it cannot be asked says more.
        MissedKind::Tracker => {
            let trouble = peer.trouble();
            trouble.as_ref().map_or(ErrorKind::Network, Trouble::kind)
        }
        MissedKind::Unfinished => ErrorKind::Unfinished,
        MissedKind::NotAMember => ErrorKind::NotAMember,
        MissedKind::Verification => ErrorKind::Verification,
        MissedKind::Other => ErrorKind::Other,
    }
}

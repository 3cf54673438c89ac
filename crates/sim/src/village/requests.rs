//! What users ask for, and what becomes of it.

use std::time::Duration;

use thorp_core::get::{Ending, Missed};
use thorp_core::lookup::Source;
use thorp_core::time::Instant;

use crate::trace::{FileId, Wording};
use crate::truth::Available;

/// A request of a user, and what has become of it.
#[derive(Clone, Debug)]
pub struct Requested {
    pub at: Instant,
    pub file: FileId,
    pub wording: Wording,
    /// Where it could have been had when it was asked for.
    pub available: Available,
    /// Whether a cache of the tracker's answers would have known a holder.
    pub is_cached: bool,
    pub fate: Fate,
}

/// What has become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing yet.
    Open,
    /// The file is there.
    Fetched {
        /// Who has said where it is.
        source: Source,
        /// Whether the tracker was asked on the way.
        tracker_asked: bool,
        /// Whether it is a poisoner's file by that name.
        is_forged: bool,
        /// How long it took.
        after: Duration,
    },
    /// A pattern was answered.
    Listed {
        /// With so many files.
        files: usize,
        /// Whether that is all that the tracker knows.
        is_whole: bool,
        /// How long it took.
        after: Duration,
    },
    /// No member that could be asked has it.
    Nobody {
        /// Whether the tracker could not be asked.
        without_tracker: bool,
    },
    /// Several contents go by the name, and the user has to choose.
    Ambiguous,
    /// It was found, and not fetched.
    Failed,
    /// Its machine went away first.
    Left,
}

/// How a get has ended, where its file has not come.
pub(super) fn outcome(end: &Ending) -> Fate {
    match end {
        Ending::Missed {
            why: Missed::NobodyShares(_),
            ..
        } => Fate::Nobody {
            without_tracker: false,
        },
        Ending::Missed {
            why: Missed::TrackerUnreachable { .. },
            ..
        } => Fate::Nobody {
            without_tracker: true,
        },
        Ending::Missed {
            why: Missed::Ambiguous(_),
            ..
        } => Fate::Ambiguous,
        _ => Fate::Failed,
    }
}

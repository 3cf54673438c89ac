//! Why a holder did not send a small file.

use thorp_wire::PeerId;
use thorp_wire::frame::{Holder, Reason};

use crate::get::io::Missed;

/// Why a file could not be fetched. Where several holders failed in different
/// ways, the one that says most.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotSent {
    /// The holders that had it have it no more.
    NotHere,
    /// A holder had too much to do.
    Busy,
    /// A holder could not read it.
    Unreadable,
    /// It is too large for this way of fetching.
    TooLarge,
    /// No holder could be reached.
    Unreachable(String),
    /// A holder was reached and said nothing.
    Silent(PeerId),
    /// A holder sent something else.
    Mismatch(PeerId),
    /// It has changed at a holder since that listed it.
    Changed(PeerId),
}

impl NotSent {
    /// What the user misses then. `named` are the holders that were known.
    pub(crate) fn missed(self, named: &[Holder]) -> Missed {
        let holder = |id| {
            let known = named.iter().find(|holder| holder.id == id).cloned();
            known.unwrap_or_else(|| Holder::bare(id))
        };
        match self {
            Self::NotHere => Missed::not_here(),
            Self::Busy => Missed::Busy,
            Self::Unreadable => Missed::Unreadable,
            Self::TooLarge => Missed::TooLarge,
            Self::Unreachable(why) => Missed::Unreachable(why),
            Self::Silent(who) => Missed::Silent(holder(who)),
            Self::Mismatch(who) => Missed::Mismatch(holder(who)),
            Self::Changed(who) => Missed::Changed(holder(who)),
        }
    }
}

impl NotSent {
    /// What it means that this member refuses.
    pub fn of(reason: Reason, who: PeerId) -> Self {
        match reason {
            Reason::Changed => Self::Changed(who),
            Reason::Busy => Self::Busy,
            Reason::TooLarge => Self::TooLarge,
            Reason::Unreadable => Self::Unreadable,
            Reason::NotHere | Reason::Unknown | Reason::NotInvited | Reason::NotServed => {
                Self::NotHere
            }
        }
    }
}

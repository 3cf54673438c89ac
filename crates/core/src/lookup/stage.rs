//! The stages of a lookup: which answers each waits for, for how long, and what
//! an answer has left out.

use std::collections::BTreeMap;
use std::time::Duration;

use thorp_wire::frame::{Find, Found, Query, Variant};
use thorp_wire::{Name, PeerId};

use crate::matching::fit;
use crate::time::Instant;

/// How long neighbours are waited for: at least, and at most.
const NEIGHBOURS_WITHIN: (Duration, Duration) =
    (Duration::from_millis(50), Duration::from_millis(250));

#[derive(Debug)]
pub(super) enum Stage {
    Memory,
    Neighbours(Waiting),
    BeforeTracker,
    Tracker(Waiting),
    BeforeUnlisted,
    /// The tracker is asked which member the user has named.
    Members(Waiting),
    Unlisted(Waiting),
    BeforeLikes,
    Likes(Waiting),
    BeforeHashing,
    Hashing(Waiting),
    Done,
}

/// How many answers each asked member still owes, and until when they are
/// waited for.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) owed: BTreeMap<PeerId, usize>,
    pub(super) until: Instant,
}

impl Stage {
    pub(super) fn waiting(&mut self) -> Option<&mut Waiting> {
        match self {
            Self::Neighbours(waiting)
            | Self::Tracker(waiting)
            | Self::Members(waiting)
            | Self::Unlisted(waiting)
            | Self::Likes(waiting)
            | Self::Hashing(waiting) => Some(waiting),
            Self::Memory
            | Self::BeforeTracker
            | Self::BeforeUnlisted
            | Self::BeforeLikes
            | Self::BeforeHashing
            | Self::Done => None,
        }
    }
}

impl Waiting {
    pub(super) fn goes_on(&self, now: Instant) -> bool {
        now < self.until && self.is_owed()
    }

    pub(super) fn is_owed(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Whether the member owes an answer.
    pub(super) fn owes(&self, who: PeerId) -> bool {
        self.owed.contains_key(&who)
    }

    /// Whether the member owed this answer.
    pub(super) fn answered(&mut self, who: PeerId) -> bool {
        let Some(owed) = self.owed.get_mut(&who) else {
            return false;
        };
        *owed -= 1;
        if *owed == 0 {
            self.owed.remove(&who);
        }
        true
    }
}

/// The part of a question that an incomplete answer left out: the names behind
/// those that it says it answers or, if it does not say, behind the last one
/// that it has files for.
pub(super) fn rest(asked: &Find, found: &Found) -> Option<Find> {
    let Query::Names(names) = &asked.query else {
        return None;
    };
    let known = |name: &String| {
        let fits = |variant: &Variant| fit(&variant.entry.name, name).is_some();
        found.variants.iter().any(fits)
    };
    let answered = match found.answered {
        Some(answered) => usize::try_from(answered).ok()?,
        None => names.iter().rposition(known)? + 1,
    };
    let rest = names.get(answered..)?;
    let first = rest.first()?;
    // A member whose answers make no progress would be asked for ever.
    let come_to = |name: &Name| Some((fit(name, first)?, name.clone()));
    let behind = found.behind.as_ref().and_then(come_to);
    let ahead = answered > 0 || behind > asked.after.as_ref().and_then(come_to);
    ahead.then(|| Find {
        query: Query::Names(rest.to_vec()),
        after: behind.map(|(_, name)| name),
        ..asked.clone()
    })
}

pub(super) fn patience(asked: &[(PeerId, Option<Duration>)]) -> Duration {
    let (least, most) = NEIGHBOURS_WITHIN;
    let slowest = asked
        .iter()
        .filter_map(|(_, rtt)| *rtt)
        .max()
        .unwrap_or_default();
    (slowest * 2).clamp(least, most)
}

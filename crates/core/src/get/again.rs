//! Files that did not come, and when they are asked for again.
//!
//! One that has changed while it was fetched is asked for anew, as what it is now,
//! for a while; everything else only where its caller waits. Owns that patience;
//! what a name comes to when it is asked for again is decided as the first time.

use std::collections::BTreeMap;
use std::time::Duration;

use thorp_wire::Content;

use super::io::{Missed, Patience};
use crate::time::Instant;

/// A file that changes is asked for again after this long, then after twice as long,
/// up to the longest, until it has held still for no fetch in all this time.
const CHANGED_AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(4));
const CHANGING_FOR: Duration = Duration::from_secs(30);
/// The same for one that is waited for: the tracker is asked that often. Neighbours say
/// themselves what they have.
const WAITED_AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(1));

/// What did not come of one get.
#[derive(Debug)]
pub(super) struct Postponed {
    patience: Patience,
    /// When its caller's patience ends.
    ends: Option<Instant>,
    names: BTreeMap<String, Waited>,
}

/// A name that is asked for again.
#[derive(Clone, Debug)]
pub(super) struct Waited {
    /// Why it did not come.
    pub why: Missed,
    /// What did not come, where it was begun.
    pub begun: Option<Content>,
    /// Whether it is only found out whether it has changed: its holders have it no more as
    /// it was listed, and another content would say why.
    pub is_doubted: bool,
    /// Whether it was still being hashed when it was asked for last.
    pub is_unhashed: bool,
    /// Since when it does not.
    pub since: Instant,
    /// How often it was asked for since.
    pub tries: u32,
    due: Instant,
    gap: Duration,
    ends: Option<Instant>,
}

impl Postponed {
    pub fn new(now: Instant, patience: Patience) -> Self {
        let ends = match patience {
            Patience::For(Some(time)) => Some(now + time),
            Patience::For(None) | Patience::Begun | Patience::None => None,
        };
        Self {
            patience,
            ends,
            names: BTreeMap::new(),
        }
    }

    /// A name did not come: whether it is asked for again. `since` is when it did not for
    /// the first time, if this is not the first.
    pub fn put(
        &mut self,
        now: Instant,
        name: &str,
        why: &Missed,
        begun: Option<Content>,
        since: Option<Instant>,
    ) -> bool {
        let since = since.unwrap_or(now);
        let is_waited_for = match self.patience {
            Patience::None => false,
            // One that changes all the time would be fetched again and again.
            Patience::Begun => {
                begun.is_some() && why.may_end() && !matches!(why, Missed::Changed(_))
            }
            Patience::For(_) => why.may_end() || matches!(why, Missed::NobodyShares(_)),
        };
        let may_have_changed = matches!(why, Missed::Unfinished { .. } | Missed::NobodyShares(_));
        let is_doubted = !is_waited_for && may_have_changed;
        let ends = match why {
            _ if is_waited_for => self.ends,
            Missed::Changed(_) | Missed::Unfinished { .. } | Missed::NobodyShares(_)
                if begun.is_some() =>
            {
                Some(since + CHANGING_FOR)
            }
            _ => return false,
        };
        // What changes is asked for soon, whether its caller waits or not.
        let gap = match why {
            Missed::Changed(_) => CHANGED_AGAIN.0,
            _ if is_doubted => CHANGED_AGAIN.0,
            _ => WAITED_AGAIN.0,
        };
        if ends.is_some_and(|ends| ends <= now) {
            return false;
        }
        let waited = Waited {
            why: why.clone(),
            begun,
            is_doubted,
            is_unhashed: false,
            since,
            tries: 0,
            due: now + gap,
            gap,
            ends,
        };
        self.names.insert(name.to_owned(), waited);
        true
    }

    /// It was asked for, and there is still nothing: later again.
    pub fn put_back(&mut self, now: Instant, name: String, waited: Waited) {
        let longest = match waited.why {
            Missed::Changed(_) => CHANGED_AGAIN.1,
            _ => WAITED_AGAIN.1,
        };
        let gap = (2 * waited.gap).min(longest);
        let due = now + gap;
        let tries = waited.tries + 1;
        let waited = Waited {
            tries,
            due,
            gap,
            ..waited
        };
        self.names.insert(name, waited);
    }

    /// Whether only what changes is asked for again.
    pub fn is_impatient(&self) -> bool {
        self.patience == Patience::None
    }

    /// Whether it is waited for, and not only asked for once more.
    pub fn is_waited_for(&self, name: &str) -> bool {
        let waited = self.names.get(name);
        waited.is_some_and(|waited| !waited.is_doubted)
    }

    /// A holder has come to list it: it is asked for at once.
    pub fn on_listed(&mut self, now: Instant, name: &str) {
        if let Some(waited) = self.names.get_mut(name) {
            waited.due = now;
        }
    }

    /// Names that are waited for.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// How many of them were begun.
    pub fn begun(&self) -> usize {
        self.names
            .values()
            .filter(|waited| waited.begun.is_some())
            .count()
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Takes one that was asked for again.
    pub fn take(&mut self, name: &str) -> Option<Waited> {
        self.names.remove(name)
    }

    /// Takes those that are waited for no longer.
    pub fn take_late(&mut self, now: Instant) -> Vec<(String, Waited)> {
        let is_late = |waited: &Waited| waited.ends.is_some_and(|ends| ends <= now);
        let late = self.names.extract_if(.., |_, waited| is_late(waited));
        late.collect()
    }

    pub fn is_due(&self, now: Instant) -> bool {
        self.names.values().any(|waited| waited.due <= now)
    }

    /// Those to ask for now; not before the next time of each.
    pub fn due(&self, now: Instant) -> Vec<String> {
        let due = self.names.iter().filter(|(_, waited)| waited.due <= now);
        due.map(|(name, _)| name.clone()).collect()
    }

    /// When any of them is due, or late.
    pub fn deadline(&self) -> Option<Instant> {
        let of = |waited: &Waited| waited.ends.into_iter().chain([waited.due]).min();
        self.names.values().filter_map(of).min()
    }
}

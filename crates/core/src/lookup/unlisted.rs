//! Members for whose listings the tracker has no room: it names some, and they are asked
//! themselves for what no other member has.
//!
//! Owns how many are asked, and for how long they are waited for.

use std::time::Duration;

use thorp_wire::frame::{Find, Holder, Query};

use super::outcome::{TrackerUse, is_called};
use super::stage::Stage;
use super::{Lookup, LookupAction};
use crate::time::Instant;

/// How long members are waited for whose listings the tracker does not keep: to be
/// dialled, and to answer.
pub(super) const WITHIN: Duration = Duration::from_secs(2);
/// How many of those are asked, each once.
const MOST: usize = 8;

impl Lookup {
    /// Members that the tracker cannot answer for are asked themselves, a few of them
    /// and each once, for names that no other member has.
    pub(super) fn turn_to_unlisted(&mut self, now: Instant) -> Option<Vec<LookupAction>> {
        let missed = self.names.iter().filter(|named| named.is_missed());
        let mut missed: Vec<String> = missed.map(|named| named.typed.clone()).collect();
        let unlisted = std::mem::take(&mut self.unlisted).into_values();
        let from = self.only.from.as_deref();
        let members: Vec<Holder> = unlisted
            .filter(|member| from.is_none_or(|from| is_called(member, from)))
            .collect();
        if missed.is_empty() || members.is_empty() {
            return self.go_on_to(Stage::BeforeLikes);
        }
        if missed.len() > Find::MAX_NAMES {
            missed.truncate(Find::MAX_NAMES);
            self.has_passed_over_unlisted();
        }
        let find = Find {
            query: Query::Names(missed),
            hops: 0,
            hash_now: false,
            after: None,
            most: None,
        };
        let until = now + WITHIN;
        Some(self.ask(Stage::Unlisted, members, &[find], until))
    }

    /// The tracker names members whose listings it does not keep.
    pub(super) fn take_unlisted(&mut self, named: Vec<Holder>, are_more: bool) {
        let mut is_passed_over = are_more;
        for member in named {
            if self.unlisted.len() < MOST || self.unlisted.contains_key(&member.id) {
                self.unlisted.insert(member.id, member);
            } else {
                is_passed_over = true;
            }
        }
        if is_passed_over {
            self.has_passed_over_unlisted();
        }
    }

    /// A member that may have what is looked for was not asked, or has not answered.
    pub(super) fn has_passed_over_unlisted(&mut self) {
        if self.tracker == TrackerUse::Asked {
            self.tracker = TrackerUse::AskedWithoutUnlisted;
        }
    }
}

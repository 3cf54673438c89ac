//! Members that answer for themselves: those for whose listings the tracker has no room, of which
//! it names some, are asked for what no other member has; the one that the user has named is asked
//! for what the tracker does not know it to have.
//!
//! Owns how many are asked, and for how long they are waited for.

use std::time::Duration;

use thorp_wire::PeerId;
use thorp_wire::frame::{Find, Found, Holder, Query};

use super::outcome::{TrackerUse, is_called};
use super::stage::Stage;
use super::{Lookup, LookupAction, MOST_PAGES, Surroundings, TrackerState};
use crate::time::Instant;

/// How long members are waited for whose listings the tracker does not keep: to be
/// dialled, and to answer.
pub(super) const WITHIN: Duration = Duration::from_secs(2);
/// How many of those are asked, each once.
const MOST: usize = 8;

impl Lookup {
    /// Members that the tracker cannot answer for are asked themselves, a few of them
    /// and each once, for names that no other member has.
    pub(super) fn turn_to_unlisted(
        &mut self,
        now: Instant,
        around: &dyn Surroundings,
    ) -> Option<Vec<LookupAction>> {
        let missed = self.names.iter().filter(|named| named.is_missed());
        let mut missed: Vec<String> = missed.map(|named| named.typed.clone()).collect();
        let from = self.only.from.as_deref();
        let is_meant = |member: &Holder| from.is_none_or(|from| is_called(member, from));
        self.unlisted.retain(|_, member| is_meant(member));
        if let TrackerState::Up(tracker) = around.tracker()
            && from.is_some()
            && !missed.is_empty()
            && self.unlisted.is_empty()
            && self.tracker.is_asked_in_full()
            && self.asked_for_member.replace(self.round).is_none()
        {
            // Where the tracker knows other holders it names no unlisted member, and of many
            // holders it names some.
            let (until, find) = (now + WITHIN, members_after(None));
            return Some(self.ask(Stage::Members, vec![Holder::bare(tracker)], &[find], until));
        }
        let unlisted = std::mem::take(&mut self.unlisted).into_values();
        let members: Vec<Holder> = unlisted.filter(|member| !around.is_me(member.id)).collect();
        if missed.is_empty() || members.is_empty() {
            return self.go_on_to(Stage::BeforeLikes);
        }
        if missed.len() > Find::MAX_NAMES {
            missed.truncate(Find::MAX_NAMES);
            self.on_unlisted_passed_over();
        }
        let find = Find::new(Query::Names(missed), 0);
        let until = now + WITHIN;
        Some(self.ask(Stage::Unlisted, members, &[find], until))
    }

    /// The tracker has told of some members. Returns what else to ask it.
    pub(super) fn take_members(
        &mut self,
        now: Instant,
        tracker: PeerId,
        found: Found,
    ) -> Option<Find> {
        let last = found.members.last().map(|row| row.member.id);
        let from = self.only.from.as_deref()?;
        let members = found.members.into_iter().map(|row| row.member);
        for member in members.filter(|member| is_called(member, from)) {
            if self.unlisted.len() < MOST {
                self.unlisted.insert(member.id, member);
            }
        }
        let last = last.filter(|_| found.more && self.unlisted.is_empty())?;
        if self.pages >= MOST_PAGES {
            self.on_unlisted_passed_over();
            return None;
        }
        let waiting = self.stage.waiting()?;
        waiting.until = now + WITHIN;
        *waiting.owed.entry(tracker).or_default() += 1;
        Some(members_after(Some(last)))
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
            self.on_unlisted_passed_over();
        }
    }

    /// A member that may have what is looked for was not asked, or has not answered.
    pub(super) fn on_unlisted_passed_over(&mut self) {
        if self.tracker == TrackerUse::Asked {
            self.tracker = TrackerUse::AskedWithoutUnlisted;
        }
    }
}

/// Asks for the members behind this one.
fn members_after(last: Option<PeerId>) -> Find {
    Find::new(Query::Members(last), 0)
}

//! What resembles a name that no member knows: a folder that is called so, or a name in
//! other letters.
//!
//! Owns how much is looked at and asked for that.

use std::time::Duration;

use thorp_wire::frame::{Find, Holder, Query, Variant};

use super::names::Named;
use super::stage::Stage;
use super::{Lookup, LookupAction, Surroundings, TrackerState};
use crate::matching::Pattern;
use crate::time::Instant;

/// How long the tracker is waited for when it is asked what resembles a name: a miss is
/// said soon.
const WITHIN: Duration = Duration::from_secs(2);
/// Names of a lookup of which it is looked what resembles them: each costs the tracker
/// as much as a pattern.
pub(super) const MOST: usize = 3;
/// How many files of the neighbours are looked at for that, of those that match.
const IN_MEMORY: usize = 100;

impl Lookup {
    /// Of a name that no member knows it is looked what resembles it: in memory, and
    /// if there is nothing, at the tracker, once.
    pub(super) fn look_for_likes(
        &mut self,
        now: Instant,
        around: &dyn Surroundings,
    ) -> Option<Vec<LookupAction>> {
        let missed = self.names.iter().filter(|named| named.is_missed());
        let patterns: Vec<Pattern> = missed
            .take(self.most_likes)
            .filter_map(|named| Pattern::resembling(&named.typed).ok())
            .collect();
        for pattern in &patterns {
            for mut variant in around.matching(pattern, IN_MEMORY) {
                self.only.keep(&mut variant);
                if !variant.holders.is_empty() {
                    self.take_like(&variant);
                }
            }
        }
        let missed = self.names.iter().filter(|named| named.is_missed());
        let unlike = missed.take(self.most_likes).map(Named::has_likeness);
        let finds: Vec<Find> = patterns
            .into_iter()
            .zip(unlike)
            .filter(|(_, has_likeness)| !has_likeness)
            .map(|(pattern, _)| Find::new(Query::Pattern(pattern.text().to_owned()), 0))
            .collect();
        match around.tracker() {
            TrackerState::Up(tracker) if !finds.is_empty() && self.tracker.is_asked_in_full() => {
                let until = now + WITHIN;
                Some(self.ask(Stage::Likes, vec![Holder::bare(tracker)], &finds, until))
            }
            _ => self.go_on_to(Stage::BeforeHashing),
        }
    }

    pub(super) fn take_like(&mut self, variant: &Variant) {
        for named in self.names.iter_mut().filter(|named| named.is_missed()) {
            named.resembles(variant.clone());
        }
    }
}

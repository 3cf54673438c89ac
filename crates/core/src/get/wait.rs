//! What is still being hashed: asked for again as long as it gets on.
//!
//! A holder that is asked to hash a file answers after a few seconds, with its
//! root or with how much it has read. Owns the patience with such holders, and
//! the answers so far.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use thorp_wire::PeerId;
use thorp_wire::frame::Holder;

use crate::lookup::Outcome;
use crate::time::Instant;

/// A holder that has read nothing more for this long is not waited for.
pub(super) const STALLED: Duration = Duration::from_secs(30);

/// No holder is asked more often than this.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Some names, looked up until their files have roots.
#[derive(Debug)]
pub(super) struct Wait {
    outcome: Option<Outcome>,
    /// Neighbours that have answered.
    known: BTreeMap<PeerId, Holder>,
    /// How much was read of each file that has no root yet.
    furthest: BTreeMap<String, Option<u64>>,
    asked: Instant,
    moved: Instant,
    /// Whether the next question is due at all.
    is_resting: bool,
}

/// What came of an answer.
#[derive(Debug)]
pub(super) struct Heard {
    /// One of perhaps many that got on: they are read one after the other.
    pub getting_on: Option<GettingOn>,
    /// Whether nothing more is waited for.
    pub is_enough: bool,
}

/// How far a file is that is hashed for this peer.
#[derive(Debug)]
pub(super) struct GettingOn {
    pub name: String,
    pub length: u64,
    pub hashed: u64,
    pub by: Option<Holder>,
}

impl Wait {
    /// The names were asked for at this time.
    pub fn new(asked: Instant) -> Self {
        Self {
            outcome: None,
            known: BTreeMap::new(),
            furthest: BTreeMap::new(),
            asked,
            moved: asked,
            is_resting: false,
        }
    }

    /// What was asked for last was answered. `known` are the neighbours that did.
    pub fn on_looked_up(
        &mut self,
        now: Instant,
        outcome: Outcome,
        known: BTreeMap<PeerId, Holder>,
    ) -> Heard {
        self.known.extend(known);
        self.take(outcome);
        let mut getting_on = None;
        let mut unhashed = BTreeSet::new();
        let answers = self.outcome.iter().flat_map(|outcome| &outcome.names);
        for (name, answer) in answers {
            let Some((variant, hashed)) = answer.being_hashed() else {
                continue;
            };
            unhashed.insert(name.clone());
            let furthest = self.furthest.entry(name.clone()).or_default();
            if *furthest < Some(hashed) {
                *furthest = Some(hashed);
                self.moved = now;
                getting_on = Some(GettingOn {
                    name: name.clone(),
                    length: variant.entry.length,
                    hashed: hashed.min(variant.entry.length),
                    by: variant.holders.first().cloned(),
                });
            }
        }
        // One that has its root by now has got on too.
        let before = self.furthest.len();
        self.furthest.retain(|name, _| unhashed.contains(name));
        if self.furthest.len() < before {
            self.moved = now;
        }
        let is_enough = unhashed.is_empty() || now - self.moved > STALLED;
        self.is_resting = !is_enough;
        Heard {
            getting_on,
            is_enough,
        }
    }

    /// When to ask again, if nothing is asked at the moment.
    pub fn deadline(&self) -> Option<Instant> {
        self.is_resting.then(|| self.asked + ASK_AGAIN)
    }

    /// The names to ask for again, if it is time.
    pub fn ask_again(&mut self, now: Instant) -> Option<Vec<String>> {
        self.deadline().filter(|at| *at <= now)?;
        self.asked = now;
        self.is_resting = false;
        Some(self.furthest.keys().cloned().collect())
    }

    /// All answers, and the neighbours that gave some.
    pub fn into_answers(self) -> (Option<Outcome>, BTreeMap<PeerId, Holder>) {
        (self.outcome, self.known)
    }

    /// The first answer, or what is newer of it.
    fn take(&mut self, outcome: Outcome) {
        let Some(known) = &mut self.outcome else {
            self.outcome = Some(outcome);
            return;
        };
        let mut newer: BTreeMap<_, _> = outcome.names.into_iter().collect();
        for (name, answer) in &mut known.names {
            if let Some(new) = newer.remove(name) {
                *answer = new;
            }
        }
    }
}

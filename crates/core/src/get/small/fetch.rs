//! One small file that is wanted: which holders were tried, and what it waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use thorp_wire::frame::Holder;
use thorp_wire::{Content, PeerId};

use super::asked::{Ask, AskedHolder};
use super::not_sent::NotSent;
use crate::time::Instant;

/// A file whose holders are all too busy to send it is asked for again for this long.
pub(super) const BUSY_FOR: Duration = Duration::from_mins(2);

#[derive(Debug)]
pub(super) struct Fetch {
    pub content: Content,
    pub untried: Vec<Holder>,
    pub tried: BTreeSet<PeerId>,
    pub state: State,
    pub widen: bool,
    pub failure: Option<NotSent>,
    /// Since when its holders are too busy.
    pub busy: Option<Instant>,
    /// Who was passed over for others, and is asked once more when these have failed.
    pub passed_over: BTreeSet<PeerId>,
}

#[derive(Debug)]
pub(super) enum State {
    Waiting,
    Asking {
        holder: Holder,
        ask: Ask,
        look_at: Instant,
    },
    Widening {
        until: Instant,
    },
    /// Its bytes are here. Whatever becomes of the link they came on, no holder is
    /// asked for them again unless they turn out to be wrong.
    Storing {
        from: Holder,
    },
}

impl Fetch {
    /// Of several failures the one that says most is kept.
    pub fn failed(&mut self, failure: NotSent) {
        if self.failure.as_ref().is_none_or(|known| *known < failure) {
            self.failure = Some(failure);
        }
    }

    /// A holder that was passed over has answered after all: it is not asked again.
    /// Whether it is one.
    pub fn take_late_answer(&mut self, holder: PeerId) -> bool {
        let waiting = self.untried.len();
        if self.passed_over.contains(&holder) {
            self.untried.retain(|other| other.id != holder);
        }
        let is_late = self.untried.len() < waiting;
        if is_late {
            self.tried.insert(holder);
        }
        is_late
    }

    /// Holders that have been too busy for too long are not asked any more.
    pub fn leave_the_busy(&mut self, now: Instant, asked: &BTreeMap<PeerId, AskedHolder>) {
        let is_busy = |holder: &Holder| asked.get(&holder.id).is_some_and(AskedHolder::is_busy);
        if !self.untried.iter().any(is_busy) {
            self.busy = None;
        } else if now - *self.busy.get_or_insert(now) >= BUSY_FOR {
            let (busy, others) = self.untried.drain(..).partition(is_busy);
            self.untried = others;
            self.tried
                .extend(Vec::from_iter(busy).iter().map(|holder: &Holder| holder.id));
            self.failed(NotSent::Busy);
        }
    }
}

//! The way to the tracker: when to dial it, and how it is with it now.

use std::time::Duration;

use thorp_wire::PeerId;

use crate::links::LinkId;
use crate::lookup::Tracker;
use crate::time::Instant;

/// The first attempt after a loss comes after at most this long, so that
/// those who lost the same tracker do not all come back at once.
const JITTER: Duration = Duration::from_secs(1);

/// The connection to the tracker, or the attempts at it.
#[derive(Debug)]
pub(super) struct Home {
    every: Duration,
    random: fastrand::Rng,
    state: State,
    /// Whether the last attempt failed, or none was made because there is no tracker.
    failed: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// There is no tracker to dial.
    Nowhere,
    Waiting {
        until: Instant,
    },
    Dialling,
    Up {
        link: LinkId,
        tracker: PeerId,
    },
}

impl Home {
    pub(super) fn new(now: Instant, has_tracker: bool, every: Duration, seed: u64) -> Self {
        Self {
            every,
            random: fastrand::Rng::with_seed(seed),
            state: if has_tracker {
                State::Waiting { until: now }
            } else {
                State::Nowhere
            },
            failed: !has_tracker,
        }
    }

    /// Whether to dial now.
    pub(super) fn dial(&mut self, now: Instant) -> bool {
        let due = matches!(self.state, State::Waiting { until } if until <= now);
        if due {
            self.state = State::Dialling;
        }
        due
    }

    pub(super) fn next_dial(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until } => Some(until),
            State::Nowhere | State::Dialling | State::Up { .. } => None,
        }
    }

    /// An attempt came to nothing. Whether that is news.
    pub(super) fn dial_failed(&mut self, now: Instant) -> bool {
        if !matches!(self.state, State::Dialling) {
            return false;
        }
        self.state = State::Waiting {
            until: now + self.every,
        };
        !std::mem::replace(&mut self.failed, true)
    }

    /// No more attempts.
    pub(super) fn stop(&mut self) {
        self.state = State::Nowhere;
        self.failed = true;
    }

    pub(super) fn up(&mut self, link: LinkId, tracker: PeerId) {
        self.failed = false;
        self.state = State::Up { link, tracker };
    }

    /// A link is gone. Whether it was the tracker's.
    pub(super) fn lost(&mut self, now: Instant, link: LinkId) -> bool {
        let was_up = matches!(self.state, State::Up { link: up, .. } if up == link);
        if was_up {
            let jitter = JITTER.mul_f64(self.random.f64());
            self.state = State::Waiting {
                until: now + jitter,
            };
        }
        was_up
    }

    pub(super) fn link(&self) -> Option<LinkId> {
        match self.state {
            State::Up { link, .. } => Some(link),
            State::Nowhere | State::Waiting { .. } | State::Dialling => None,
        }
    }

    pub(super) fn tracker(&self) -> Tracker {
        match self.state {
            State::Up { tracker, .. } => Tracker::Up(tracker),
            _ if self.failed => Tracker::Down,
            _ => Tracker::Trying,
        }
    }
}

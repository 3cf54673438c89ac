//! The way to the tracker: when to dial it, and how it is with it now.

use std::time::Duration;

use thorp_wire::PeerId;

use crate::links::LinkId;
use crate::liveness::JITTER;
use crate::lookup::Tracker;
use crate::time::Instant;

/// However long an attempt took, the next one does not follow it sooner.
const SHORTEST: Duration = Duration::from_millis(100);

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
    Dialling {
        since: Instant,
    },
    Up {
        link: LinkId,
        tracker: PeerId,
        since: Instant,
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
            self.state = State::Dialling { since: now };
        }
        due
    }

    pub(super) fn next_dial(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until } => Some(until),
            State::Nowhere | State::Dialling { .. } | State::Up { .. } => None,
        }
    }

    /// An attempt came to nothing. Whether that is news.
    ///
    /// The next one begins an interval after this one has begun: to be refused
    /// takes no time, to be met with silence takes long.
    pub(super) fn dial_failed(&mut self, now: Instant) -> bool {
        let State::Dialling { since } = self.state else {
            return false;
        };
        self.state = State::Waiting {
            until: (since + self.every).max(now + SHORTEST),
        };
        !std::mem::replace(&mut self.failed, true)
    }

    /// The way may be open again: the next attempt is now.
    pub(super) fn hurry(&mut self, now: Instant) {
        if let State::Waiting { until } = &mut self.state {
            *until = now.min(*until);
        }
    }

    /// No more attempts.
    pub(super) fn stop(&mut self) {
        self.state = State::Nowhere;
        self.failed = true;
    }

    pub(super) fn up(&mut self, now: Instant, link: LinkId, tracker: PeerId) {
        self.failed = false;
        self.state = State::Up {
            link,
            tracker,
            since: now,
        };
    }

    /// A link is gone. Whether it was the tracker's.
    ///
    /// A tracker that comes and goes is dialled once an interval at most.
    pub(super) fn lost(&mut self, now: Instant, link: LinkId) -> bool {
        let State::Up {
            link: up, since, ..
        } = self.state
        else {
            return false;
        };
        if up == link {
            let jitter = JITTER.mul_f64(self.random.f64());
            self.state = State::Waiting {
                until: (now + jitter).max(since + self.every),
            };
        }
        up == link
    }

    pub(super) fn link(&self) -> Option<LinkId> {
        match self.state {
            State::Up { link, .. } => Some(link),
            State::Nowhere | State::Waiting { .. } | State::Dialling { .. } => None,
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

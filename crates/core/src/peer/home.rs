//! The connection to the tracker: when to dial it, its state, and what to tell the user about it.

use std::time::Duration;

use thorp_wire::PeerId;

use crate::links::LinkId;
use crate::liveness::JITTER;
use crate::lookup::TrackerState;
use crate::time::Instant;

use super::io::{Cause, Notice, Unreached};

/// The next attempt follows the end of the last one no sooner than this.
const SHORTEST: Duration = Duration::from_millis(100);

/// The connection to the tracker, or the attempts to make it.
#[derive(Debug)]
pub(super) struct Home {
    every: Duration,
    random: fastrand::Rng,
    state: State,
    /// Whether the last attempt failed, or there is no tracker to dial.
    failed: bool,
    /// Why there is no link, if known.
    trouble: Option<Unreached>,
    /// Why the tracker ends the link that is about to go down, if it has told.
    explanation: Option<Unreached>,
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
            trouble: None,
            explanation: None,
        }
    }

    /// Returns whether to dial now.
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

    /// An attempt to dial failed. Returns whether the attempt before it had not.
    ///
    /// The interval until the next attempt counts from the beginning of this one, because a
    /// refused connection fails at once, while silence takes long to be noticed.
    pub(super) fn dial_failed(&mut self, now: Instant) -> bool {
        let State::Dialling { since } = self.state else {
            return false;
        };
        self.state = State::Waiting {
            until: (since + self.every).max(now + SHORTEST),
        };
        !std::mem::replace(&mut self.failed, true)
    }

    /// Schedules the next attempt for now, since the tracker may be reachable again.
    pub(super) fn hurry(&mut self, now: Instant) {
        if let State::Waiting { until } = &mut self.state {
            *until = now.min(*until);
        }
    }

    /// Ends all attempts.
    pub(super) fn stop(&mut self) {
        self.state = State::Nowhere;
        self.failed = true;
    }

    pub(super) fn up(&mut self, now: Instant, link: LinkId, tracker: PeerId) {
        self.failed = false;
        self.trouble = None;
        self.state = State::Up {
            link,
            tracker,
            since: now,
        };
    }

    /// A link is gone. Returns whether it was the tracker's.
    ///
    /// A tracker that comes and goes is dialled at most once an interval.
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

    /// Records why there is no link. Returns the notice for the user, if any: that the tracker is
    /// lost, and later each new kind of reason, except network failures, about which the user can
    /// only wait.
    pub(super) fn on_trouble(&mut self, trouble: Unreached, is_lost: bool) -> Option<Notice> {
        let before = self.trouble.replace(trouble.clone());
        let is_another = before.is_none_or(|before| before.cause != trouble.cause);
        if is_lost {
            Some(Notice::TrackerLost(trouble))
        } else if is_another && trouble.cause != Cause::Network {
            Some(Notice::TrackerTrouble(trouble))
        } else {
            None
        }
    }

    /// Records that the link broke without any explanation. Returns the notice for the user and,
    /// unless a better one is known, the reason why there is no link now.
    pub(super) fn on_broken(&mut self, reason: &str) -> (Notice, Option<Unreached>) {
        let broken = Unreached {
            cause: Cause::Network,
            reason: reason.to_owned(),
        };
        let is_news = self.trouble.is_none();
        self.trouble.get_or_insert_with(|| broken.clone());
        let news = is_news.then(|| broken.clone());
        (Notice::TrackerLost(broken), news)
    }

    /// Records why the tracker ends a link that is about to go down.
    pub(super) fn explain(&mut self, trouble: Unreached) {
        self.explanation = Some(trouble);
    }

    /// Takes the recorded explanation.
    pub(super) fn explanation(&mut self) -> Option<Unreached> {
        self.explanation.take()
    }

    pub(super) fn link(&self) -> Option<LinkId> {
        match self.state {
            State::Up { link, .. } => Some(link),
            State::Nowhere | State::Waiting { .. } | State::Dialling { .. } => None,
        }
    }

    pub(super) fn tracker(&self) -> TrackerState {
        match self.state {
            State::Up { tracker, .. } => TrackerState::Up(tracker),
            _ if self.failed => TrackerState::Down,
            _ => TrackerState::Trying,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(cause: Cause) -> Unreached {
        Unreached {
            cause,
            reason: format!("{cause:?}"),
        }
    }

    fn home() -> Home {
        Home::new(Instant::default(), true, Duration::from_secs(1), 1)
    }

    #[test]
    fn a_user_is_told_of_the_loss_and_then_only_of_what_they_can_mend() {
        use Cause::{Certificate, Clocks, Network};
        let mut home = home();
        let mut told = |cause, is_lost| home.on_trouble(trouble(cause), is_lost);
        let lost = |cause| Some(Notice::TrackerLost(trouble(cause)));
        let other = |cause| Some(Notice::TrackerTrouble(trouble(cause)));
        assert_eq!(told(Network, true), lost(Network));
        assert_eq!(told(Network, false), None);
        assert_eq!(told(Clocks, false), other(Clocks));
        assert_eq!(told(Clocks, false), None, "the same once more");
        assert_eq!(told(Certificate, false), other(Certificate));
        assert_eq!(told(Network, false), None, "there is nothing to be done");
        assert_eq!(told(Certificate, false), other(Certificate));
    }

    #[test]
    fn a_link_that_breaks_does_not_hide_a_better_reason() {
        let mut home = home();
        let (told, news) = home.on_broken("gone");
        let Notice::TrackerLost(broken) = told else {
            panic!("{told:?}");
        };
        assert_eq!(news, Some(broken), "nothing else is known");
        home.on_trouble(trouble(Cause::Clocks), false);
        assert_eq!(home.on_broken("gone").1, None);
        home.up(Instant::default(), LinkId(1), PeerId::new([1; 32]));
        assert!(home.on_broken("gone").1.is_some(), "it was up since");
    }
}

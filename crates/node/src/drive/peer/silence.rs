//! When nothing comes for a get, and which members it is awaited from.

use std::sync::Arc;
use std::time::{Duration, Instant};

use thorp_core::swarm::Awaited;

use crate::api::{Member, Progress};
use crate::rows;

use super::pace::Meter;

/// Silence is told after this long.
const SILENT_AFTER: Duration = Duration::from_secs(2);
/// Then it is asked that often who should send small files.
const ASKED_EVERY: Duration = Duration::from_secs(1);

/// See the [module](self).
pub(super) struct Silence {
    received: u64,
    /// When it was more than before, or the get began.
    since: Instant,
    asked: Instant,
    /// Of small files, what the peer's task has answered last.
    pub(super) small: Option<Awaited>,
}

impl Silence {
    pub(super) fn new(since: Instant) -> Self {
        Self {
            received: 0,
            since,
            asked: since,
            small: None,
        }
    }

    /// So much has come by now.
    pub(super) fn see(&mut self, now: Instant, received: u64) {
        if self.received != received {
            (self.received, self.since, self.small) = (received, now, None);
        }
    }

    /// Whether it is time to ask who should send small files.
    pub(super) fn is_to_be_asked(&mut self) -> bool {
        let is_due = self.since.elapsed() >= SILENT_AFTER && self.asked.elapsed() >= ASKED_EVERY;
        if is_due {
            self.asked = Instant::now();
        }
        is_due
    }

    /// For how many seconds nothing has come, and from which members.
    pub(super) fn said<'a>(
        &self,
        large: impl Iterator<Item = &'a Arc<Meter>>,
    ) -> (Option<u64>, Vec<Member>) {
        let nothing_comes = self.since.elapsed();
        let (mut silent, mut from) = (nothing_comes, Vec::new());
        let (mut is_awaited, mut is_large) = (false, false);
        let awaited = large.map(|meter| {
            is_large = true;
            meter.awaited()
        });
        for awaited in awaited.chain([self.small.clone()]).flatten() {
            is_awaited = true;
            silent = silent.min(awaited.silent);
            from.extend(awaited.from.iter().map(rows::holder));
        }
        // What is here from before is being hashed.
        let is_at_rest = is_large && !is_awaited;
        if is_at_rest || silent < SILENT_AFTER {
            return (None, Vec::new());
        }
        from.sort_by(|one, other| one.id.cmp(&other.id));
        from.dedup();
        from.truncate(Progress::MOST_NAMED);
        (Some(silent.as_secs()), from)
    }
}

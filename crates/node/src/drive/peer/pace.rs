//! How far, how fast, how long yet.
//!
//! Each file that is fetched keeps its [`Meter`]; a [`Pace`] makes one figure
//! of all of them, a few times a second.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use thorp_core::swarm::{Awaited, SessionId, SwarmProgress};
use thorp_wire::Content;

/// How often it is told.
pub(super) const TOLD_EVERY: Duration = Duration::from_millis(250);
/// What the rate is taken over.
const WINDOW: Duration = Duration::from_secs(5);

/// How far one file is.
#[derive(Debug, Default)]
pub(super) struct Meter {
    bytes: AtomicU64,
    received: AtomicU64,
    sources: AtomicU32,
    busy: AtomicU32,
    /// Once holders are sought.
    awaited: Mutex<Option<Awaited>>,
}

impl Meter {
    pub fn set(&self, progress: &SwarmProgress) {
        self.bytes.store(progress.verified, Ordering::Relaxed);
        self.received.store(progress.received, Ordering::Relaxed);
        self.sources.store(progress.sources, Ordering::Relaxed);
        self.busy.store(progress.busy, Ordering::Relaxed);
    }

    /// The holders it waits for.
    pub fn wait_for(&self, awaited: Awaited) {
        *self.awaited.lock().unwrap_or_else(PoisonError::into_inner) = Some(awaited);
    }

    /// The holders it waited for when it was looked at last.
    pub fn awaited(&self) -> Option<Awaited> {
        let awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        awaited.clone()
    }

    /// Bytes that are there and verified, those from an earlier fetch too.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Bytes that have come over the network.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub fn sources(&self) -> u32 {
        self.sources.load(Ordering::Relaxed)
    }

    /// Holders that have no place for this fetch now.
    pub fn busy(&self) -> u32 {
        self.busy.load(Ordering::Relaxed)
    }
}

/// How fast each large file comes, from one look at it to the next.
pub(super) type Paces = BTreeMap<Content, Pace>;

/// How fast bytes go out on each connection.
pub(super) type UploadPaces = BTreeMap<SessionId, Pace>;

/// How fast bytes have come, over the last seconds.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Bytes at some moments, the latest last.
    seen: VecDeque<(Instant, u64)>,
}

impl Pace {
    /// There are so many bytes now.
    pub fn see(&mut self, now: Instant, bytes: u64) {
        self.seen.push_back((now, bytes));
        while self.seen.len() > 2 && now.duration_since(self.seen[1].0) >= WINDOW {
            self.seen.pop_front();
        }
    }

    /// Bytes a second.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rate is for eyes"
    )]
    pub fn rate(&self) -> u64 {
        let (Some((since, before)), Some((now, bytes))) = (self.seen.front(), self.seen.back())
        else {
            return 0;
        };
        let seconds = now.duration_since(*since).as_secs_f64();
        if seconds <= 0.0 {
            return 0;
        }
        (bytes.saturating_sub(*before) as f64 / seconds) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let mut pace = Pace::default();
        let start = Instant::now();
        assert_eq!(pace.rate(), 0);
        for second in 0..10 {
            pace.see(start + Duration::from_secs(second), second * 1000);
            // From the first second on: before that there is nothing to measure.
            assert_eq!(pace.rate(), if second == 0 { 0 } else { 1000 });
        }
        for second in 10..20 {
            pace.see(start + Duration::from_secs(second), 9000);
        }
        assert_eq!(pace.rate(), 0);
    }
}

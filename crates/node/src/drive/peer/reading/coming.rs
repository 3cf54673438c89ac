//! A file that is on its way for its readers.
//!
//! Owns who reads it, how far its fetch is, and its place in the cache. It goes on for a moment
//! without readers: a player that goes to another place in a film hangs up and comes back. If
//! another reader needs the place meanwhile, the moment is over.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::cache::{Hold, Stored};
use crate::api::Failure;
use crate::sessions::Transfer;

/// How long a fetch goes on without readers. Nothing is fetched meanwhile.
const WITHOUT_READERS: Duration = Duration::from_secs(30);

/// See the module.
pub(super) struct Coming {
    phase: watch::Sender<Phase>,
    readers: watch::Sender<Readers>,
    /// Until its fetch is over: then its readers hold what has come.
    room: Mutex<Option<Hold>>,
}

/// How many readers there are, and since when.
#[derive(Clone, Copy)]
struct Readers {
    number: usize,
    since: Instant,
    /// Whether there has been any.
    have_come: bool,
    /// Whether another reader has taken its place in the cache.
    is_dismissed: bool,
}

/// How far the fetch is.
#[derive(Clone)]
pub(super) enum Phase {
    /// It has not begun.
    Waiting,
    /// Bytes are on their way.
    Fetching(Arc<Transfer>),
    /// Another get brings it.
    Joined(Arc<Transfer>),
    /// All of it is there.
    Stored(Arc<Stored>),
    /// It cannot be fetched.
    Failed(Failure),
    /// It was given up for want of readers.
    Over,
}

/// A reader's hold on it.
pub(super) struct Handle {
    coming: Arc<Coming>,
    phase: watch::Receiver<Phase>,
}

impl Coming {
    pub fn new() -> Self {
        Self {
            phase: watch::channel(Phase::Waiting).0,
            readers: watch::channel(Readers {
                number: 0,
                since: Instant::now(),
                have_come: false,
                is_dismissed: false,
            })
            .0,
            room: Mutex::default(),
        }
    }

    /// It has its place in the cache.
    pub fn keep(&self, room: Hold) {
        *self.room.lock().unwrap_or_else(PoisonError::into_inner) = Some(room);
    }

    /// Its place in the cache is not needed any more.
    pub fn give_room(&self) -> Option<Hold> {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        room.take()
    }

    /// Since when it keeps a place in the cache for readers that have gone.
    pub fn is_left_since(&self) -> Option<Instant> {
        let room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        let readers = *self.readers.borrow();
        let is_left = room.is_some() && readers.have_come && readers.number == 0;
        is_left.then_some(readers.since)
    }

    /// Ends it, since another reader needs its place in the cache.
    pub fn dismiss(&self) {
        drop(self.give_room());
        self.readers
            .send_modify(|readers| readers.is_dismissed = true);
    }

    pub fn handle(self: &Arc<Self>) -> Handle {
        self.readers.send_modify(|readers| {
            readers.number += 1;
            readers.have_come = true;
        });
        Handle {
            phase: self.phase.subscribe(),
            coming: Arc::clone(self),
        }
    }

    pub fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// Waits until there was no reader for a while, or its place in the cache is needed.
    pub async fn is_left(&self) {
        let mut readers = self.readers.subscribe();
        loop {
            let now = *readers.borrow_and_update();
            if now.number == 0 && now.is_dismissed {
                return;
            }
            let left = now.since + WITHOUT_READERS;
            tokio::select! {
                () = sleep_until(left), if now.number == 0 => return,
                // The sender is here.
                _ = readers.changed() => {}
            }
        }
    }
}

impl Handle {
    pub fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    /// Waits for the next phase.
    pub async fn changed(&mut self) {
        // The sender is held with it.
        let _ = self.phase.changed().await;
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.coming.readers.send_modify(|readers| {
            readers.number -= 1;
            readers.since = Instant::now();
        });
    }
}

#[cfg(test)]
mod tests {
    use thorp_disk::testing::DISK;
    use thorp_wire::merkle;

    use super::super::cache::Cache;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_left_a_file_may_come_back_for_a_moment_unless_its_place_is_needed() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = Arc::new(Cache::new(dir.path().to_owned(), 10));
        let [one, two] = [[1; 8], [2; 8]].map(|bytes| merkle::content_of(&bytes));
        let begun = Instant::now();
        for is_needed in [false, true] {
            let coming = Arc::new(Coming::new());
            coming.keep(cache.make_room(DISK, one, |_| None).expect("there is room"));
            assert_eq!(coming.is_left_since(), None, "its reader is still to come");
            let reader = coming.handle();
            assert_eq!(coming.is_left_since(), None, "it is read");
            assert!(cache.make_room(DISK, two, |_| None).is_err());
            drop(reader);
            assert!(coming.is_left_since().is_some());
            if is_needed {
                coming.dismiss();
                assert!(cache.make_room(DISK, two, |_| None).is_ok());
            }
            coming.is_left().await;
            assert_eq!(begun.elapsed(), WITHOUT_READERS);
        }
    }
}

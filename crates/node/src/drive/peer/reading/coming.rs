//! A file that is on its way for its readers.
//!
//! Owns who reads it, and how far its fetch is. It goes on for a moment without readers: a player
//! that goes to another place in a film hangs up and comes back.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::cache::Stored;
use crate::api::Failure;
use crate::sessions::Transfer;

/// How long a fetch goes on without readers. Nothing is fetched meanwhile.
const WITHOUT_READERS: Duration = Duration::from_secs(30);

/// See the module.
pub(super) struct Coming {
    phase: watch::Sender<Phase>,
    readers: watch::Sender<Readers>,
}

/// How many readers there are, and since when.
#[derive(Clone, Copy)]
struct Readers {
    number: usize,
    since: Instant,
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
            })
            .0,
        }
    }

    pub fn handle(self: &Arc<Self>) -> Handle {
        self.readers.send_modify(|readers| readers.number += 1);
        Handle {
            phase: self.phase.subscribe(),
            coming: Arc::clone(self),
        }
    }

    pub fn is_now(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// Waits until there was no reader for a while.
    pub async fn is_left(&self) {
        let mut readers = self.readers.subscribe();
        loop {
            let now = *readers.borrow_and_update();
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

//! Buffers for blocks that arrive on a session, and the bound on their bytes.
//!
//! A session has at most [`PLACES`] buffers of blocks that have arrived, or are arriving, and are
//! not on disk yet: it waits before it reads one more. Buffers are used again, since memory that is
//! new costs more than what is done with it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thorp_wire::session::message::LONGEST_REQUEST;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Blocks up to this length take one place, alone or together; longer ones [`LONG`].
pub(super) const SHORT: usize = 256 * 1024;
const LONG: u32 = LONGEST_REQUEST / (256 * 1024);
/// Places: three of the longest blocks. One arrives while another one is written.
const PLACES: u32 = 3 * LONG;

/// The buffers of one session.
#[derive(Debug)]
pub(super) struct Buffers {
    places: Arc<Semaphore>,
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// Goes back to be used again when it is dropped.
pub(super) struct Buffer {
    pub bytes: Vec<u8>,
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
    _places: OwnedSemaphorePermit,
}

impl Default for Buffers {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(PLACES as usize)),
            spare: Arc::default(),
        }
    }
}

impl Buffers {
    /// Waits for a buffer that holds as many bytes, at least.
    pub async fn take(&self, length: usize) -> Buffer {
        let places = if length > SHORT { LONG } else { 1 };
        let places = Arc::clone(&self.places).acquire_many_owned(places).await;
        let mut bytes = self.used_before(length);
        if bytes.len() < length {
            bytes.resize(length, 0);
        }
        Buffer {
            bytes,
            spare: Arc::clone(&self.spare),
            _places: places.expect("is never closed"),
        }
    }

    /// Those of another kind go: the bound is for all of them together.
    fn used_before(&self, length: usize) -> Vec<u8> {
        let mut spare = lock(&self.spare);
        spare.retain(|bytes| (bytes.len() > SHORT) == (length > SHORT));
        spare.pop().unwrap_or_default()
    }

    /// Waits until nothing is being written.
    pub async fn done(&self) {
        let _all = self.places.acquire_many(PLACES).await;
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        lock(&self.spare).push(std::mem::take(&mut self.bytes));
    }
}

fn lock(spare: &Mutex<Vec<Vec<u8>>>) -> MutexGuard<'_, Vec<Vec<u8>>> {
    spare.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const LONGEST: usize = LONGEST_REQUEST as usize;

    async fn waits(buffers: &Buffers, length: usize) -> bool {
        timeout(Duration::ZERO, buffers.take(length)).await.is_err()
    }

    #[tokio::test]
    async fn three_of_the_longest_blocks_are_held_at_once_or_twelve_of_256_kib() {
        let buffers = Buffers::default();
        for (length, most) in [(LONGEST, 3), (SHORT, 12), (16 * 1024, 12)] {
            let mut held = Vec::new();
            for _ in 0..most {
                assert!(!waits(&buffers, length).await);
                held.push(buffers.take(length).await);
            }
            assert!(waits(&buffers, length).await);
            let bytes: usize = held.iter().map(|buffer| buffer.bytes.len()).sum();
            assert_eq!(bytes, most * length);
            held.pop();
            held.push(buffers.take(length).await);
            drop(held);
            let spare: usize = lock(&buffers.spare).iter().map(Vec::len).sum();
            assert_eq!(spare, most * length, "they are used again");
            // What the next kind takes is new, and shorter than these.
            lock(&buffers.spare).retain(|bytes| bytes.len() > SHORT);
        }
    }

    #[tokio::test]
    async fn long_buffers_are_not_kept_for_short_blocks() {
        let buffers = Buffers::default();
        drop(buffers.take(LONGEST).await);
        let short = buffers.take(1000).await;
        assert_eq!(short.bytes.len(), 1000);
        assert!(lock(&buffers.spare).is_empty());
    }
}

//! Determines how many threads the system lets this program have.
//!
//! A limit on all processes of a user (`ulimit -u`) or of a container takes effect when a thread
//! is started, possibly deep in a library. So it is tried beforehand.

use std::num::NonZero;
use std::sync::mpsc;
use std::thread;

use thorp_node::api::ErrorKind;

use crate::exit::{Result, failure};

/// The number of threads besides those that do the work: they watch the share, hash, read and
/// write files, and wait for keys.
const BESIDES: usize = 8;

/// Returns how many threads should do the work: one for each processor, or fewer if the system
/// does not allow that many.
pub fn for_work() -> Result<usize> {
    let wanted = thread::available_parallelism().map_or(1, NonZero::get);
    let allowed = allowed(wanted + BESIDES);
    if let Some(left @ 1..) = allowed.checked_sub(BESIDES) {
        return Ok(left);
    }
    let why = format!(
        "this system lets the program start only {allowed} threads more, and it needs {}: \
         raise the limit (ulimit -u, or that of the container), or end other programs",
        BESIDES + 1
    );
    Err(failure(ErrorKind::Other, why))
}

/// Returns how many of `wanted` threads can exist at the same time.
fn allowed(wanted: usize) -> usize {
    let mut started = Vec::with_capacity(wanted);
    for _ in 0..wanted {
        let (end, ended) = mpsc::channel::<()>();
        // Each thread waits until all have been started.
        let wait = move || ended.recv().is_ok();
        match thread::Builder::new().spawn(wait) {
            Ok(thread) => started.push((end, thread)),
            Err(_) => break,
        }
    }
    let allowed = started.len();
    for (end, thread) in started {
        drop(end);
        let _ = thread.join();
    }
    allowed
}

//! What the machines of `core` need from the system: the time, a timer, a seed.

use std::time::Duration;

use thorp_core::time::Instant;
use thorp_group::clock::Clock;

use crate::waiting::if_any;

/// Returns the time for a machine that uses this clock.
pub(crate) fn now(clock: &Clock) -> Instant {
    Instant::after_start(clock.elapsed())
}

/// Waits for this long; `None` means forever.
pub(crate) async fn sleep(duration: Option<Duration>) {
    if_any(duration.map(tokio::time::sleep)).await;
}

/// Returns 32 random bytes for a secret, if the system has any.
pub(crate) fn secret() -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes)
}

/// Returns a random seed.
pub(crate) fn random() -> u64 {
    // Without the system's random generator, no key could have been made either.
    getrandom::u64().unwrap_or_default()
}

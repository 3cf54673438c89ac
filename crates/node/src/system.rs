//! What a machine of the core is handed from the system: the time, a wait, a seed.

use std::time::Duration;

use thorp_core::time::Instant;
use thorp_group::clock::Clock;

/// What time it is to a machine that lives by this clock.
pub(crate) fn now(clock: &Clock) -> Instant {
    Instant::after_start(clock.elapsed())
}

/// Waits this long, or forever.
pub(crate) async fn sleep(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

/// A seed.
pub(crate) fn random() -> u64 {
    // Without the system's randomness no key could have been made either.
    getrandom::u64().unwrap_or_default()
}

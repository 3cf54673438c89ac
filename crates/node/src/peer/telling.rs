//! What every answer to a person is told with.

use std::time::Instant;

use tokio::sync::mpsc;

use crate::api::{ErrorKind, Event, Failure};

/// Whoever asked, and what they are told.
pub(super) type Events = mpsc::Sender<Event>;

/// If nobody listens any more, the job is dropped by whoever runs it.
pub(super) async fn tell(events: &Events, event: Event) {
    let _ = events.send(event).await;
}

pub(super) fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

pub(super) fn stopping() -> Failure {
    Failure {
        kind: ErrorKind::Unfinished,
        message: "The peer is stopping. Start it again: thorp share".to_owned(),
    }
}

//! The caller of a node, and what it is told.

use tokio::sync::mpsc;

use crate::api::Event;

/// What the caller is told.
pub(super) type Events = mpsc::Sender<Event>;

/// A caller that listens no more misses the rest: the task that does the job drops it.
pub(super) async fn tell(events: &Events, event: Event) {
    let _ = events.send(event).await;
}

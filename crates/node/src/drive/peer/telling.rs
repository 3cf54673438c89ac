//! What every answer to a user is sent with.

use std::time::Instant;

use thorp_core::survey::{Coverage, Findings};
use tokio::sync::mpsc;

use super::Peer;
use crate::api::{Event, Failure, Inquiry, Note};

/// What the caller is told.
pub(super) type Events = mpsc::Sender<Event>;

/// If the caller listens no more, the task that does the job drops it.
pub(super) async fn tell(events: &Events, event: Event) {
    let _ = events.send(event).await;
}

pub(super) fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

/// Why the tracker cannot be asked.
pub(super) fn no_tracker(peer: &Peer, inquiry: Inquiry) -> Failure {
    Failure::NoTracker {
        inquiry,
        trouble: peer.trouble(),
    }
}

/// Says that what was found is not all there is, where that is so.
pub(super) async fn say_if_partial(
    peer: &Peer,
    findings: &Findings,
    events: &Events,
) -> Result<(), Failure> {
    match findings.coverage {
        Coverage::Whole => Ok(()),
        Coverage::NoAnswer => Err(no_tracker(peer, Inquiry::Group)),
        in_part @ (Coverage::TrackerInPart | Coverage::NeighboursOnly) => {
            let note = partial(peer, in_part.has_asked_tracker());
            tell(events, Event::Note(note)).await;
            Ok(())
        }
    }
}

/// That what was found is not all there is.
pub(super) fn partial(peer: &Peer, asked_tracker: bool) -> Note {
    if asked_tracker {
        Note::TrackerInPart
    } else {
        Note::NeighboursOnly {
            trouble: peer.trouble(),
        }
    }
}

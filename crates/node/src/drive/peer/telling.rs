//! What every answer to a user is sent with.

use std::time::Instant;

use thorp_core::survey::Findings;
use tokio::sync::mpsc;

use super::Peer;
use crate::api::{Event, Failure, Inquiry, Note};

/// The way to the caller.
pub(super) type Events = mpsc::Sender<Event>;

/// If the caller is gone, this is lost: the job is dropped by the task that runs it.
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

/// Says that what was found is not all there is, where that is so. A visitor
/// knows no other member: without a tracker it has no answer.
pub(super) async fn say_if_partial(
    peer: &Peer,
    findings: &Findings,
    events: &Events,
) -> Result<(), Failure> {
    if findings.complete {
        return Ok(());
    }
    if !findings.asked_tracker && peer.share().is_none() {
        return Err(no_tracker(peer, Inquiry::Group));
    }
    tell(events, Event::Note(partial(peer, findings.asked_tracker))).await;
    Ok(())
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

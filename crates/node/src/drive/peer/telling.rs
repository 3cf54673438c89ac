//! What every answer to a user is sent with.

use std::net::SocketAddr;
use std::time::Instant;

use thorp_core::survey::Coverage;

use super::Peer;
use crate::api::{Event, Failure, Gap, Inquiry, Note};
use crate::drive::caller::{Events, tell};

/// Of how many clients a caller is told that a file came from them.
const MOST_CLIENTS: usize = 8;

pub(super) fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

/// Returns the clients that a file came from, as a caller is told of them.
pub(super) fn clients(from: impl IntoIterator<Item = SocketAddr>) -> Vec<String> {
    let first = from.into_iter().take(MOST_CLIENTS);
    first.map(|client| client.to_string()).collect()
}

/// Why the tracker cannot be asked.
pub(super) fn no_tracker(peer: &Peer, inquiry: Inquiry) -> Failure {
    Failure::NoTracker {
        inquiry,
        trouble: peer.trouble(),
    }
}

/// Says that what was found is not all there is, where that is so. It is a failure,
/// whatever was found: what is incomplete is never told as complete.
pub(super) async fn say_if_partial(
    peer: &Peer,
    coverage: Coverage,
    events: &Events,
) -> Result<(), Failure> {
    if let Some(note) = partial(peer, coverage) {
        tell(events, Event::Note(note)).await;
    }
    match in_part(peer, coverage) {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

/// The remark that what was found is not all there is.
pub(super) fn partial(peer: &Peer, coverage: Coverage) -> Option<Note> {
    match coverage {
        Coverage::Whole | Coverage::NoAnswer => None,
        Coverage::TrackerInPart | Coverage::TrackerBusy => Some(Note::TrackerInPart),
        Coverage::NeighboursOnly => Some(Note::NeighboursOnly {
            trouble: peer.trouble(),
        }),
    }
}

/// Why it is not all there is.
pub(super) fn in_part(peer: &Peer, coverage: Coverage) -> Option<Failure> {
    let why = match coverage {
        Coverage::Whole => return None,
        Coverage::NoAnswer => return Some(no_tracker(peer, Inquiry::Group)),
        Coverage::TrackerInPart => Gap::Cut,
        Coverage::TrackerBusy => Gap::Busy,
        Coverage::NeighboursOnly => Gap::NoTracker {
            trouble: peer.trouble(),
        },
    };
    Some(Failure::InPart { why })
}

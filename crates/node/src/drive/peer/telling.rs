//! What every answer to a person is told with.

use std::time::Instant;

use thorp_core::survey::Findings;
use thorp_group::record::REMOVED;
use tokio::sync::mpsc;

use super::Peer;
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

/// Nothing can be done with this key in this group any more.
pub(crate) fn removed() -> Failure {
    Failure {
        kind: ErrorKind::NotAMember,
        message: REMOVED.to_owned(),
    }
}

/// Why the tracker cannot be asked, and what to do about it.
pub(super) fn no_tracker(peer: &Peer, asked: &str) -> Failure {
    let (kind, message) = match peer.trouble() {
        None => (
            ErrorKind::Network,
            format!("{asked}. Check that the tracker runs, and the network, and try again."),
        ),
        Some(Failure {
            kind: ErrorKind::Network,
            message,
        }) => (
            ErrorKind::Network,
            format!(
                "{asked}: {message}. Check that the tracker runs, and the network, and try again."
            ),
        ),
        // It says what to do itself.
        Some(Failure { kind, message }) => (kind, format!("{asked}: {message}.")),
    };
    Failure { kind, message }
}

/// Says that what was found is not all there is, where that is so. To a
/// visitor, who knows nobody else, no tracker is no answer.
pub(super) async fn say_if_partial(
    peer: &Peer,
    findings: &Findings,
    events: &Events,
) -> Result<(), Failure> {
    if findings.complete {
        return Ok(());
    }
    let message = match (findings.asked_tracker, peer.share()) {
        (true, _) => "The tracker did not answer in full: there may be more than this.".to_owned(),
        (false, Some(_)) => {
            let why = peer.trouble().map(|failure| failure.message);
            let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
            format!("The tracker cannot be asked now{why}: this is what the neighbours know.")
        }
        (false, None) => return Err(no_tracker(peer, "The tracker cannot be asked")),
    };
    tell(events, Event::Note { message }).await;
    Ok(())
}

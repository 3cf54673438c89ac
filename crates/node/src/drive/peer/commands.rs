//! What a person asks, answered event by event.

use std::time::Instant;

use thorp_core::lookup::Only;
use thorp_core::matching::Pattern;
use thorp_core::survey::Subject;
use thorp_wire::frame::MemberRow;

use crate::api::{AskedOf, Command, Done, Event, Failure, PeerRow};
use crate::rows;
use crate::snapshot::{self, Ask, SnapshotRow};

use super::telling::{Events, milliseconds, say_if_partial, tell};
use super::{Peer, get};

pub(super) async fn run(peer: &Peer, command: Command, events: Events) {
    let begun = Instant::now();
    let asks_others = command.asked_of() != AskedOf::RunningNode;
    let end = match command {
        Command::Get(get) => get::run(peer, get, &events).await,
        Command::Find { pattern } => files(peer, &pattern, None, &events).await,
        Command::Ls { peer: whose } => ls(peer, whose, &events).await,
        Command::Peers => peers(peer, &events).await,
        Command::Neighbours => neighbours(peer, &events).await,
        Command::Status => status(peer, &events).await,
        Command::Stop => {
            peer.stop("stopped by its user").await;
            Ok(Done::default())
        }
        Command::Snapshot(ask) => page(peer, ask, &events).await,
        Command::Watch { since } => Ok(snapshot::watch(&peer.viewer, since, &events).await),
        // The keeper of the group's CA is asked these.
        Command::Invite { .. } | Command::Members | Command::Remove { .. } | Command::Backup => {
            Err(Failure::NotTheKeeper)
        }
    };
    let end = match end {
        // Whatever came in between, that is why there is nothing.
        Err(_) | Ok(Done { count: 0, .. }) if asks_others && peer.was_removed() => {
            Event::Error(Failure::Removed)
        }
        Ok(done) => Event::Done(Done {
            ms: milliseconds(begun),
            ..done
        }),
        Err(failure) => Event::Error(failure),
    };
    tell(&events, end).await;
}

async fn page(peer: &Peer, ask: Ask, events: &Events) -> Result<Done, Failure> {
    let page = snapshot::page(&peer.viewer, ask, Failure::PeerStopping).await?;
    let done = page.done();
    tell(events, Event::Page(page)).await;
    Ok(done)
}

async fn ls(peer: &Peer, whose: Option<String>, events: &Events) -> Result<Done, Failure> {
    let done = files(peer, "**", whose.clone(), events).await?;
    let (0, Some(whose)) = (done.count, whose) else {
        return Ok(done);
    };
    let findings = peer
        .survey(Subject::Members, Only::default(), false)
        .await
        .ok_or(Failure::PeerStopping)?;
    let present = findings.members.iter();
    let here = |row: &MemberRow| thorp_core::lookup::is_called(&row.member, &whose);
    if present.into_iter().any(here) {
        return Ok(done);
    }
    Err(Failure::NoPeerCalled { who: whose })
}

async fn files(
    peer: &Peer,
    pattern: &str,
    from: Option<String>,
    events: &Events,
) -> Result<Done, Failure> {
    let pattern = Pattern::new(pattern).map_err(|error| Failure::NotAPattern {
        pattern: pattern.to_owned(),
        why: error.to_string(),
    })?;
    let only = Only { from, root: None };
    let findings = peer
        .survey(Subject::Files(pattern), only, true)
        .await
        .ok_or(Failure::PeerStopping)?;
    say_if_partial(peer, &findings, events).await?;
    let mut done = Done::default();
    for variant in &findings.files {
        done.count += 1;
        done.bytes += variant.entry.length;
        tell(events, Event::File(rows::file(variant))).await;
    }
    Ok(done)
}

async fn peers(peer: &Peer, events: &Events) -> Result<Done, Failure> {
    let findings = peer
        .survey(Subject::Members, Only::default(), false)
        .await
        .ok_or(Failure::PeerStopping)?;
    say_if_partial(peer, &findings, events).await?;
    Ok(list(
        rows::peers(findings.members, peer.itself().as_ref()),
        events,
    )
    .await)
}

async fn neighbours(peer: &Peer, events: &Events) -> Result<Done, Failure> {
    let neighbours = peer.viewer.neighbours().await;
    Ok(list(neighbours.ok_or(Failure::PeerStopping)?, events).await)
}

async fn list(peers: Vec<PeerRow>, events: &Events) -> Done {
    let count = peers.len() as u64;
    for row in peers {
        tell(events, Event::Peer(row)).await;
    }
    Done {
        count,
        ..Done::default()
    }
}

async fn status(peer: &Peer, events: &Events) -> Result<Done, Failure> {
    let Some(SnapshotRow::Node(status)) = peer.viewer.node().await else {
        return Err(Failure::PeerStopping);
    };
    tell(events, Event::Status(status)).await;
    Ok(Done::default())
}

//! What a person asks, answered event by event.

use std::time::Instant;

use thorp_core::lookup::Only;
use thorp_core::matching::Pattern;
use thorp_core::survey::{Coverage, Subject};
use thorp_wire::frame::MemberRow;

use crate::api::{AskedOf, Command, Done, Event, Failure, Note, PeerRow};
use crate::rows;
use crate::snapshot::{self, Ask, SnapshotRow};

use super::telling::{Events, milliseconds, say_if_partial, tell};
use super::{Peer, get};

pub(super) async fn run(peer: &Peer, command: Command, events: Events) {
    let begun = Instant::now();
    let asks_others = command.asked_of() != AskedOf::RunningNode;
    let end = match command {
        Command::Get(get) => get::run(peer, get, &events).await,
        Command::Find { pattern } => find(peer, &pattern, &events).await,
        Command::Ls {
            peer: whose,
            folder,
        } => ls(peer, whose, folder, &events).await,
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

async fn ls(
    peer: &Peer,
    whose: Option<String>,
    folder: Option<String>,
    events: &Events,
) -> Result<Done, Failure> {
    let Some(called) = &whose else {
        let done = list_files(peer, &beneath(folder.as_deref())?, None, events).await?;
        return match folder {
            Some(folder) if done.count == 0 => Err(Failure::NoFolderCalled { folder }),
            _ => Ok(done),
        };
    };
    let is_peer = is_here(peer, called).await?;
    if !is_peer && folder.is_none() {
        // No peer is called so: then it is a folder.
        let done = list_files(peer, &beneath(Some(called))?, None, events).await?;
        if done.count > 0 {
            return Ok(done);
        }
    }
    // Without the tracker, members are known by their files alone.
    let pattern = beneath(folder.as_deref())?;
    let done = list_files(peer, &pattern, whose.clone(), events).await?;
    match (done.count, is_peer, &folder) {
        (0, false, None) => Err(Failure::NoPeerOrFolderCalled {
            called: called.clone(),
        }),
        (0, false, Some(_)) => Err(Failure::NoPeerCalled {
            who: called.clone(),
        }),
        (0, true, Some(folder)) => Err(Failure::NoFolderCalled {
            folder: folder.clone(),
        }),
        _ => Ok(done),
    }
}

/// Whether a peer is present that is called so, this one too.
async fn is_here(peer: &Peer, called: &str) -> Result<bool, Failure> {
    let findings = peer
        .survey(Subject::Members, Only::default(), false)
        .await
        .ok_or(Failure::PeerStopping)?;
    let itself = peer.itself();
    let present = findings.members.iter().map(|row: &MemberRow| &row.member);
    let mut present = present.chain(itself.as_ref());
    Ok(present.any(|member| thorp_core::lookup::is_called(member, called)))
}

/// The files of a folder, or all.
fn beneath(folder: Option<&str>) -> Result<Pattern, Failure> {
    let made = folder.map_or_else(|| Pattern::new("**"), Pattern::beneath);
    made.map_err(|error| Failure::NotAPattern {
        pattern: folder.unwrap_or("**").to_owned(),
        why: error.to_string(),
    })
}

async fn find(peer: &Peer, pattern: &str, events: &Events) -> Result<Done, Failure> {
    let compiled = Pattern::new(pattern).map_err(|error| Failure::NotAPattern {
        pattern: pattern.to_owned(),
        why: error.to_string(),
    })?;
    let done = list_files(peer, &compiled, None, events).await?;
    if done.count == 0 && shares_nothing(peer).await? {
        tell(events, Event::Note(Note::NoFiles)).await;
    }
    Ok(done)
}

/// Whether there is no file in the whole group, as far as that can be told now.
async fn shares_nothing(peer: &Peer) -> Result<bool, Failure> {
    let findings = peer
        .survey(Subject::Members, Only::default(), false)
        .await
        .ok_or(Failure::PeerStopping)?;
    let own = match peer.viewer.node().await {
        Some(SnapshotRow::Node(status)) => status.offered.files,
        _ => 0,
    };
    let is_whole = findings.coverage == Coverage::Whole;
    Ok(is_whole && own == 0 && findings.members.iter().all(|row| row.files == 0))
}

async fn list_files(
    peer: &Peer,
    pattern: &Pattern,
    from: Option<String>,
    events: &Events,
) -> Result<Done, Failure> {
    let only = Only { from, root: None };
    let findings = peer
        .survey(Subject::Files(pattern.clone()), only, true)
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

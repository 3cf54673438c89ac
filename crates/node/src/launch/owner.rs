//! Which process uses a state directory, and waiting for that process to end.
//!
//! This module owns how a running node is asked, and how long it waits for a process that is
//! starting or ending. The caller decides what is asked and what becomes of the directory.

use std::path::Path;
use std::time::Duration;

use thorp_group::state::{StateDir, StateError};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::LaunchError;
use crate::api::{Command, Event, Failure};
use crate::local;
use crate::process::is_suspended;

/// How long to wait for a state directory that another process is about to release.
const STATE_WITHIN: Duration = Duration::from_secs(10);
/// How long to wait if that process is suspended and so will not release it.
const SUSPENDED_AFTER: Duration = Duration::from_secs(2);
/// How long a node may take from its goodbye until it has released its directory.
pub(super) const GOODBYE_WITHIN: Duration = Duration::from_secs(10);
/// How often to check whether a directory is free.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Returns the answer of the node that runs on a state directory, or else the directory, locked.
pub(super) async fn running_or_state(
    path: &Path,
    command: &Command,
) -> Result<Result<mpsc::Receiver<Event>, StateDir>, LaunchError> {
    let begun = Instant::now();
    loop {
        if let Some(events) = local::ask(path, command).await {
            return Ok(Ok(events));
        }
        match opened(path).await? {
            Ok(state) => return Ok(Err(state)),
            Err(error) => still_in_use(error, begun).await?,
        }
    }
}

/// Locks a state directory for a node. Waits for a process that uses it only briefly or is about
/// to end, but not for a running node.
pub(super) async fn free_state(path: &Path) -> Result<StateDir, LaunchError> {
    let begun = Instant::now();
    loop {
        let error = match opened(path).await? {
            Ok(state) => return Ok(state),
            Err(error) => error,
        };
        let answer = match local::ask(path, &Command::Status).await {
            Some(mut events) => events.recv().await,
            None => None,
        };
        match answer {
            None | Some(Event::Error(Failure::PeerStopping | Failure::TrackerStopping)) => {
                still_in_use(error, begun).await?;
            }
            Some(Event::Error(failure @ Failure::NotAnswering { .. })) => {
                return Err(failure.into());
            }
            Some(_) => return Err(error.into()),
        }
    }
}

async fn opened(path: &Path) -> Result<Result<StateDir, StateError>, LaunchError> {
    let path = path.to_owned();
    Ok(thorp_disk::spawn(move |disk| StateDir::open(disk, path)).await?)
}

/// Waits a little while a state directory is in use by a visitor, or by a node that is starting
/// or ending. Fails once it is clear that it will stay in use.
async fn still_in_use(error: StateError, begun: Instant) -> Result<(), LaunchError> {
    let StateError::InUse { by, .. } = &error else {
        return Err(error.into());
    };
    if begun.elapsed() >= SUSPENDED_AFTER && by.is_some_and(is_suspended) {
        let failure = Failure::NotAnswering {
            process: *by,
            is_suspended: true,
        };
        return Err(failure.into());
    }
    if begun.elapsed() >= STATE_WITHIN {
        return Err(error.into());
    }
    sleep(LOOK_EVERY).await;
    Ok(())
}

/// Passes on the answer to [`Command::Stop`], and holds back its end until the node has released
/// its state directory, so that the next node can be started on it at once.
pub(super) fn until_let_go(
    mut answer: mpsc::Receiver<Event>,
    path: &Path,
) -> mpsc::Receiver<Event> {
    let path = path.to_owned();
    let (events, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        // Remembered now, since the next node may start on the directory quickly.
        let before = Owner::of(&path).await;
        while let Some(event) = answer.recv().await {
            let event = match event {
                Event::Done(done) => match let_go(&path, &before).await {
                    Ok(()) => Event::Done(done),
                    Err(failure) => Event::Error(failure),
                },
                event => event,
            };
            if events.send(event).await.is_err() {
                return;
            }
        }
    });
    receiver
}

async fn let_go(path: &Path, before: &Result<Option<Owner>, StateError>) -> Result<(), Failure> {
    let deadline = Instant::now() + GOODBYE_WITHIN;
    loop {
        let now = Owner::of(path).await;
        let is_another = |owner| matches!(before, Ok(before) if *before != Some(owner));
        match now {
            Ok(None) => return Ok(()),
            Ok(Some(owner)) if is_another(owner) => return Ok(()),
            Ok(Some(_)) | Err(_) if Instant::now() < deadline => sleep(LOOK_EVERY).await,
            Ok(Some(owner)) => {
                return Err(Failure::StillEnding {
                    process: owner.0,
                    waited: GOODBYE_WITHIN.as_secs(),
                });
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The process that uses a state directory, by its id if that is known.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Owner(Option<u32>);

impl Owner {
    /// Fails where the directory cannot be looked at: then it is not known whether one uses it.
    async fn of(path: &Path) -> Result<Option<Self>, StateError> {
        let at = path.to_owned();
        let free = thorp_disk::spawn(move |disk| StateDir::must_be_free(disk, &at)).await;
        let lost = |lost: tokio::task::JoinError| StateError::Io {
            action: "look at",
            path: path.into(),
            error: lost.into(),
        };
        match free.map_err(lost)? {
            Ok(()) => Ok(None),
            Err(StateError::InUse { by, .. }) => Ok(Some(Self(by))),
            Err(error) => Err(error),
        }
    }
}

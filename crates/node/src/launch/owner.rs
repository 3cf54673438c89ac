//! Which process has a state directory, and waiting for it to let go.
//!
//! Owns who is asked where a node runs, and how long a process that is about to come or
//! to go is waited for. What is asked, and what is done with the directory, is the
//! caller's.

use std::path::Path;
use std::time::Duration;

use thorp_group::state::{StateDir, StateError};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::LaunchError;
use crate::api::{Command, Event, Failure};
use crate::local;
use crate::process::is_suspended;

/// How long to wait for a state directory that another process is about to leave.
const STATE_WITHIN: Duration = Duration::from_secs(10);
/// The same where that process is suspended, and so will not.
const SUSPENDED_AFTER: Duration = Duration::from_secs(2);
/// How long a node may take from its goodbye until it has let go of its directory.
pub(super) const GOODBYE_WITHIN: Duration = Duration::from_secs(10);
/// How often to look whether a directory is free.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The answer of the node that runs on a state directory, or else the directory.
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

/// A state directory for a node. A process that has it for a moment only, or is about to
/// end, is waited for; a node that runs on it is not.
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

/// Waits a little where a state directory is in use: a node is starting or stopping, or
/// there is another visitor. Fails once it is clear that it will stay so.
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

/// The answer to [`Command::Stop`], whose end comes once the node has let go of its
/// state directory, so that the next one can be started on it at once.
pub(super) fn until_let_go(
    mut answer: mpsc::Receiver<Event>,
    path: &Path,
) -> mpsc::Receiver<Event> {
    let path = path.to_owned();
    let (events, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        // The next node on it may be quick.
        let before = Owner::of(&path).await;
        while let Some(event) = answer.recv().await {
            let event = match event {
                Event::Done(done) => match let_go(&path, before).await {
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

async fn let_go(path: &Path, before: Option<Owner>) -> Result<(), Failure> {
    let deadline = Instant::now() + GOODBYE_WITHIN;
    while let Some(owner) = Owner::of(path).await
        && Some(owner) == before
    {
        if Instant::now() >= deadline {
            return Err(Failure::StillEnding {
                process: owner.0,
                waited: GOODBYE_WITHIN.as_secs(),
            });
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// The process that has a state directory, with its number where that is known.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Owner(Option<u32>);

impl Owner {
    async fn of(path: &Path) -> Option<Self> {
        let path = path.to_owned();
        match thorp_disk::spawn(move |disk| StateDir::must_be_free(disk, &path)).await {
            Ok(Err(StateError::InUse { by, .. })) => Some(Self(by)),
            _ => None,
        }
    }
}

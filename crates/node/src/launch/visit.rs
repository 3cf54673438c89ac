//! A peer for the moment: it joins, does what was asked, and leaves.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use thorp_files::store::Store;
use thorp_group::address::NetAddress;
use thorp_group::identity::{Identity, Membership};
use thorp_group::state::{StateDir, StateError};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::LaunchError;
use super::common::Common;
use super::joining::{Group, join_group};
use super::leaving::until_let_go;
use super::member::Credentials;
use super::running::{Held, RunningPeer};
use crate::api::{AskedOf, Command, Event, Failure, Notice};
use crate::local;
use crate::peer::{Peer, PeerSetup, Role};
use crate::process::is_suspended;

/// Things that happen while a visitor joins.
const NOTICES: usize = 16;
/// How long to wait for a state directory that another process is about to leave.
const STATE_WITHIN: Duration = Duration::from_secs(10);
/// The same where that process is suspended, and so will not.
const SUSPENDED_AFTER: Duration = Duration::from_secs(2);
/// How often to look.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Sends a command to the node that runs on the state directory. With none
/// running, joins for the moment, and puts what is fetched into `directory`.
pub async fn ask(
    common: Common,
    tracker: Option<NetAddress>,
    directory: &Path,
    command: Command,
) -> Result<mpsc::Receiver<Event>, LaunchError> {
    let state = loop {
        match running_or_state(&common.state, &command).await? {
            Ok(events) => match begun(events).await {
                Some(events) if command == Command::Stop => {
                    return Ok(until_let_go(events, &common.state));
                }
                Some(events) => return Ok(events),
                // It was about to end, and has not read the command.
                None => {}
            },
            Err(state) => break Arc::new(state),
        }
    };
    if command.asked_of() != AskedOf::Peer {
        return Err(LaunchError::NoPeerRuns {
            state: common.state,
        });
    }
    let (notices, mut told) = mpsc::channel(NOTICES);
    let visitor = visit(common, state, tracker, directory, notices).await?;
    let mut answer = visitor.peer.command(command);
    let (events, receiver) = mpsc::channel(256);
    tokio::spawn(async move {
        // Of what happens, a visitor's user is told what is about the group; why
        // there is no answer, the answer says.
        while let Ok(notice) = told.try_recv() {
            if let Notice::Note(note) = notice {
                let _ = events.send(Event::Note(note)).await;
            }
        }
        drop(told);
        while let Some(event) = answer.recv().await {
            let last = matches!(event, Event::Done(_) | Event::Error(_));
            if last {
                // The goodbye first: once the last word is out, the program ends.
                visitor.stop("its visit is over").await;
                let _ = events.send(event).await;
                return;
            }
            if events.send(event).await.is_err() {
                break;
            }
        }
        visitor.stop("its visit is over").await;
    });
    Ok(receiver)
}

/// The same answer once it has begun; nothing if it ends before.
async fn begun(mut events: mpsc::Receiver<Event>) -> Option<mpsc::Receiver<Event>> {
    let first = events.recv().await?;
    let (sender, receiver) = mpsc::channel(256);
    tokio::spawn(async move {
        let mut next = Some(first);
        while let Some(event) = next {
            if sender.send(event).await.is_err() {
                return;
            }
            next = tokio::select! {
                event = events.recv() => event,
                () = sender.closed() => return,
            };
        }
    });
    Some(receiver)
}

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
        match StateDir::open(path) {
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
        let error = match StateDir::open(path) {
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

async fn visit(
    common: Common,
    state: Arc<StateDir>,
    tracker: Option<NetAddress>,
    directory: &Path,
    notices: mpsc::Sender<Notice>,
) -> Result<RunningPeer, LaunchError> {
    let config = common.config()?;
    let identity = Identity::load_or_create(&state)?;
    let remembered = Membership::load(&state, &identity)?;
    let group = match tracker {
        Some(tracker) => Group::Open(tracker),
        None if remembered.is_some() => Group::Remembered,
        None => {
            return Err(LaunchError::NotAMember);
        }
    };
    let (membership, announced) =
        join_group(&common, &state, &identity, remembered, group, &notices).await?;
    let store = Store::open(directory).map_err(Failure::from)?;
    store.sweep();
    let credentials = Credentials::new(&state, identity, membership, &common.clock)?;
    let setup = PeerSetup {
        tls: credentials.tls,
        trackers: credentials.trackers,
        config,
        clock: common.clock,
        role: Role::Visiting(Arc::new(store)),
        announced,
        renewal: credentials.renewal,
    };
    let (peer, task) = Peer::start(setup, notices);
    let held = Held {
        states: vec![state],
        ..Held::default()
    };
    Ok(RunningPeer {
        peer,
        listen: None,
        access: None,
        task,
        tracker: None,
        held,
    })
}

//! A visitor: it joins, carries out one command, and leaves.

use std::path::Path;
use std::sync::Arc;

use thorp_disk::LetGo;
use thorp_files::store::Store;
use thorp_group::address::NetAddress;
use thorp_group::identity::{Identity, Membership};
use thorp_group::state::StateDir;
use tokio::sync::mpsc;

use super::common::Common;
use super::joining::{Group, join_group};
use super::member::Credentials;
use super::owner::{running_or_state, until_let_go};
use super::running::{Held, RunningPeer};
use super::{LaunchError, on_disk};
use crate::api::{AskedOf, Command, Event, Failure, Note, Notice};
use crate::local;
use crate::page::{self, PageSlot};
use crate::peer::{Peer, PeerSetup, Role};

/// The maximum number of notices that wait while a visitor joins.
const NOTICES: usize = 16;
/// The maximum number of events that wait for the caller.
const EVENTS: usize = 256;

/// Sends a command to the node that runs on the state directory, if one runs and goes on to run.
/// Makes nothing.
pub async fn ask_node(state: &Path, command: &Command) -> Option<mpsc::Receiver<Event>> {
    let events = local::ask(state, command).await?;
    answered(state, command, events).await
}

/// Sends a command to the node that runs on the state directory. If none runs, starts a visitor,
/// which puts fetched files into `directory`. What there is to say while the visitor waits to be
/// let in is given to `on_note`.
pub async fn ask(
    common: Common,
    tracker: Option<NetAddress>,
    directory: &Path,
    command: Command,
    mut on_note: impl FnMut(Note),
) -> Result<mpsc::Receiver<Event>, LaunchError> {
    let state = loop {
        match running_or_state(&common.state, &command).await? {
            Ok(events) => {
                // Without one the node was about to end and has not read the command.
                if let Some(events) = answered(&common.state, &command, events).await {
                    return Ok(events);
                }
            }
            Err(state) => break Arc::new(state),
        }
    };
    if command.asked_of() != AskedOf::Peer {
        return Err(LaunchError::NoPeerRuns {
            state: common.state,
        });
    }
    tracing::info!(state = ?common.state, "no peer runs here: a visitor asks");
    let (notices, mut told) = mpsc::channel(NOTICES);
    let visitor = {
        let mut visitor = std::pin::pin!(visit(common, state, tracker, directory, notices));
        loop {
            tokio::select! {
                visitor = &mut visitor => break visitor?,
                Some(notice) = told.recv() => {
                    if let Notice::Note(note) = notice {
                        on_note(note);
                    }
                }
            }
        }
    };
    let (events, receiver) = mpsc::channel(command.events_that_wait(EVENTS));
    let answer = visitor.peer.command(command);
    tokio::spawn(pass_on(visitor, answer, told, events));
    Ok(receiver)
}

/// Passes on what a visitor answers, and ends it.
async fn pass_on(
    visitor: RunningPeer,
    mut answer: mpsc::Receiver<Event>,
    mut told: mpsc::Receiver<Notice>,
    events: mpsc::Sender<Event>,
) {
    // The user of a visitor is told only remarks; why there is no answer is part of the answer.
    while let Ok(notice) = told.try_recv() {
        if let Notice::Note(note) = notice {
            let _ = events.send(Event::Note(note)).await;
        }
    }
    drop(told);
    let mut last = None;
    while let Some(event) = answer.recv().await {
        if event.is_last() {
            last = Some(event);
            break;
        }
        if events.send(event).await.is_err() {
            break;
        }
    }
    // Say goodbye first: the program ends when it has the last event.
    visitor.stop("its visit is over").await;
    if let Some(last) = last {
        let _ = events.send(last).await;
    }
}

/// Returns the answer of the node that runs on this state directory, if it has read the command.
async fn answered(
    state: &Path,
    command: &Command,
    events: mpsc::Receiver<Event>,
) -> Option<mpsc::Receiver<Event>> {
    let events = begun(command, events).await?;
    tracing::info!(?state, "the peer that runs here is asked");
    Some(match command {
        Command::Stop => until_let_go(events, state),
        _ => events,
    })
}

/// Returns the same answer once it has begun, or `None` if it ends before.
async fn begun(
    command: &Command,
    mut events: mpsc::Receiver<Event>,
) -> Option<mpsc::Receiver<Event>> {
    let first = events.recv().await?;
    let (sender, receiver) = mpsc::channel(command.events_that_wait(EVENTS));
    tokio::spawn(async move {
        let mut gathered = vec![first];
        while !gathered.is_empty() {
            for event in gathered.drain(..) {
                if sender.send(event).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                _ = events.recv_many(&mut gathered, EVENTS) => {}
                () = sender.closed() => return,
            }
        }
    });
    Some(receiver)
}

async fn visit(
    common: Common,
    state: Arc<StateDir>,
    tracker: Option<NetAddress>,
    directory: &Path,
    notices: mpsc::Sender<Notice>,
) -> Result<RunningPeer, LaunchError> {
    let (config, identity, remembered) = {
        let (common, state) = (common.clone(), Arc::clone(&state));
        on_disk(move |disk| {
            let config = common.config(disk)?;
            let identity = Arc::new(Identity::load_or_create(disk, &state)?);
            let remembered = Membership::load(disk, &state, &identity)?;
            Ok((config, identity, remembered))
        })
        .await?
    };
    let group = match tracker {
        Some(tracker) => Group::Open(tracker),
        None if remembered.is_some() => Group::Remembered,
        None => {
            return Err(LaunchError::NotAMember);
        }
    };
    let (membership, announced) =
        join_group(&common, &state, &identity, remembered, group, &notices).await?;
    let (store, credentials) = {
        let (directory, state) = (directory.to_owned(), Arc::clone(&state));
        let clock = common.clock.clone();
        on_disk(move |disk| {
            let store = Store::open(disk, &directory).map_err(Failure::from)?;
            store.sweep(disk);
            let credentials = Credentials::new(disk, &state, identity, membership, &clock)?;
            Ok((store, credentials))
        })
        .await?
    };
    let setup = PeerSetup {
        tls: credentials.tls,
        trackers: credentials.trackers,
        config,
        clock: common.clock,
        role: Role::Visiting(Arc::new(store)),
        announced,
        renewal: credentials.renewal,
        reading: state.file(page::CACHE),
        page: PageSlot::default(),
    };
    let (peer, task) = Peer::start(setup, notices);
    let held = Held {
        states: vec![state],
        ..Held::default()
    };
    Ok(RunningPeer {
        clerk: None,
        page: None,
        peer,
        listen: None,
        access: None,
        task,
        tracker: None,
        held: LetGo::new(held),
    })
}

//! The seam between the program and the node under it.
//!
//! Everything the program wants from a node is named here, and nowhere else:
//! the verbs take the values below and never see a socket or a file of the
//! state directory. Until the node is connected each function answers that it
//! is not there.

#![expect(
    dead_code,
    reason = "the node that reads the options is not connected yet"
)]

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use thorp_node::api::{Command, ErrorKind, Event, Notice, PeerView, TrackerView};
use tokio::sync::{mpsc, watch};

use crate::args::address::{Address, Listen};
use crate::exit::{Result, failure};
use crate::settings::Settings;

/// An answer, event by event; dropping it gives the request up.
pub type Answers = mpsc::Receiver<Event>;

/// A future that says goodbye to everybody and ends the node.
pub type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How to get into a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// Whatever the state directory remembers; with nothing there, make one
    /// with a tracker in this process.
    Remembered,
    /// Join by a tracker's address (open groups).
    Tracker(Address),
    /// Join by an invite.
    Invite(String),
}

/// What `thorp share` was told.
#[derive(Debug)]
pub struct PeerOptions {
    /// The state directory.
    pub state: PathBuf,
    /// The share: an absolute, existing directory.
    pub share: PathBuf,
    /// How to get into a group.
    pub group: Group,
    /// The human name to ask for.
    pub name: Option<String>,
    /// Where to listen; the default depends on the role.
    pub listen: Option<Listen>,
    /// What overrides `config.toml`.
    pub settings: Settings,
}

/// What `thorp tracker` was told.
#[derive(Debug)]
pub struct TrackerOptions {
    /// The state directory.
    pub state: PathBuf,
    /// Where to listen.
    pub listen: Option<Listen>,
    /// Sign whoever asks. Nothing: as the group was made.
    pub open: bool,
    /// The human name of this machine.
    pub name: Option<String>,
    /// What overrides `config.toml`.
    pub settings: Settings,
}

/// How another machine gets in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Door {
    /// The tracker's address, with the port where it is not the default one.
    pub tracker: String,
    /// Whether that address is enough.
    pub open: bool,
}

/// A peer that runs in this process. It has ended once `view`'s sender is gone.
pub struct Peer {
    /// What its screen shows.
    pub view: watch::Receiver<Arc<PeerView>>,
    /// What happens.
    pub notices: mpsc::Receiver<Notice>,
    /// Asks it something.
    pub request: Box<dyn Fn(Command) -> Answers + Send>,
    /// Ends it.
    pub stop: Stop,
    /// How to get into the group, where this process is its tracker.
    pub door: Option<Door>,
}

/// A tracker that runs in this process. It has ended once `view`'s sender is gone.
pub struct Tracker {
    /// The two tables.
    pub view: watch::Receiver<Arc<TrackerView>>,
    /// What happens.
    pub notices: mpsc::Receiver<Notice>,
    /// Ends it.
    pub stop: Stop,
    /// How to get into the group.
    pub door: Door,
}

/// Whom to ask, and as whom.
#[derive(Clone, Debug)]
pub struct Asking {
    /// The state directory of the running peer, or of the visitor.
    pub state: PathBuf,
    /// The tracker of an open group, for a visitor that is no member yet.
    pub tracker: Option<Address>,
    /// What overrides `config.toml` for a visitor.
    pub settings: Settings,
}

/// Sends `command` to the peer running on the state directory, or else to a
/// visitor that joins for the moment.
#[expect(clippy::unused_async, reason = "the node will have to be waited for")]
pub async fn ask(_asking: &Asking, _command: Command) -> Result<Answers> {
    Err(absent())
}

/// Starts a peer.
#[expect(clippy::unused_async, reason = "the node will have to be waited for")]
pub async fn share(_options: PeerOptions) -> Result<Peer> {
    Err(absent())
}

/// Starts a tracker.
#[expect(clippy::unused_async, reason = "the node will have to be waited for")]
pub async fn tracker(_options: TrackerOptions) -> Result<Tracker> {
    Err(absent())
}

/// Makes an invite, in the first of these state directories that has a CA.
#[expect(clippy::unused_async, reason = "the node will have to be waited for")]
pub async fn invite(_states: &[PathBuf], _uses: u32, _expires: Duration) -> Result<String> {
    Err(absent())
}

/// Becomes a member by an invite; answers with a sentence about the group.
#[expect(clippy::unused_async, reason = "the node will have to be waited for")]
pub async fn join(_state: &Path, _invite: &str, _settings: &Settings) -> Result<String> {
    Err(absent())
}

fn absent() -> thorp_node::api::Failure {
    failure(
        ErrorKind::Other,
        "this build has no node in it: build it from a complete checkout",
    )
}

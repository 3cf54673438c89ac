//! The program's way to a node: what was typed in, a running node out.
//!
//! Everything the program wants from a node is named here, and nowhere else:
//! the verbs take the values below and never see a socket or a file of the
//! state directory.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use thorp_node::MemberName;
use thorp_node::addresses::{NetAddress, PEER_PORT, TRACKER_PORT};
use thorp_node::api::{Command, ErrorKind, Event, Notice, PeerView, TrackerView};
use thorp_node::clock::Clock;
use thorp_node::launch::{self, Common, RunningPeer};
use thorp_node::share;
use tokio::sync::{mpsc, watch};

use crate::args::address::{Address, Listen};
use crate::exit::{Result, failure};
use crate::settings::Settings;

/// An answer, event by event; dropping it gives the request up.
pub type Answers = mpsc::Receiver<Event>;

/// A future that says goodbye to everybody and ends the node.
pub type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Notices that wait to be shown; later ones are dropped.
const NOTICES: usize = 64;
/// What others are told when somebody leaves by the menu or a signal.
const LEAVING: &str = "stopped by its user";

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
    /// Whether it may be `/` or a home directory.
    pub broad: bool,
    /// Share hidden files as well.
    pub hidden: bool,
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
    /// Where it is not, an invite for one machine, if one was made.
    pub invite: Option<String>,
}

/// A peer that runs in this process. It has ended once `view`'s sender is gone.
pub struct Peer {
    /// Where it listens, and what it shares.
    pub place: String,
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
    /// Where it listens.
    pub place: String,
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
pub async fn ask(asking: &Asking, command: Command) -> Result<Answers> {
    let common = common(asking.state.clone(), None, None, &asking.settings)?;
    let tracker = asking.tracker.as_ref().map(net_address).transpose()?;
    let here = std::env::current_dir().map_err(|error| {
        let why = format!("the current directory cannot be used ({error}): go to another");
        failure(ErrorKind::Other, why)
    })?;
    launch::ask(common, tracker, &here, command).await
}

/// Starts a peer. What happens on the way can be read from `notices` at once.
pub async fn share(options: PeerOptions) -> Result<Peer> {
    let port = match options.group {
        Group::Remembered => TRACKER_PORT,
        Group::Tracker(_) | Group::Invite(_) => PEER_PORT,
    };
    let listen = options.listen.map(|listen| (listen, port));
    let common = common(
        options.state,
        options.name.as_deref(),
        listen,
        &options.settings,
    )?;
    let group = match options.group {
        Group::Remembered => launch::Group::Remembered,
        Group::Tracker(address) => launch::Group::Open(net_address(&address)?),
        Group::Invite(text) => launch::Group::Invited(invite_of(&text)?),
    };
    let share_options = share::Options {
        hidden: options.hidden,
        broad: options.broad,
        ..share::Options::default()
    };
    let (sender, notices) = mpsc::channel(NOTICES);
    let running = launch::share(common, &options.share, share_options, group, sender).await?;
    let place = match running.listen {
        Some(listen) => format!("{} on {listen}", options.share.display()),
        None => options.share.display().to_string(),
    };
    let RunningPeer { peer, door, .. } = &running;
    let (asked, view, door) = (peer.clone(), peer.view(), door.as_ref().map(shown));
    Ok(Peer {
        place,
        view,
        notices,
        request: Box::new(move |command| asked.command(command)),
        stop: Box::pin(running.stop(LEAVING)),
        door,
    })
}

/// Starts a tracker.
pub async fn tracker(options: TrackerOptions) -> Result<Tracker> {
    let listen = options.listen.map(|listen| (listen, TRACKER_PORT));
    let common = common(
        options.state,
        options.name.as_deref(),
        listen,
        &options.settings,
    )?;
    let (sender, notices) = mpsc::channel(NOTICES);
    let running = launch::tracker(common, options.open, sender).await?;
    Ok(Tracker {
        place: running.listen.to_string(),
        view: running.tracker.view(),
        notices,
        door: shown(&running.door),
        stop: Box::pin(running.stop(LEAVING)),
    })
}

/// Makes an invite, in the first of these state directories that has a CA.
pub async fn invite(states: &[PathBuf], uses: u32, expires: Duration) -> Result<String> {
    launch::invite(states, uses, expires).await
}

/// Becomes a member by an invite; answers with a sentence about the group.
pub async fn join(state: &Path, invite: &str, settings: &Settings) -> Result<String> {
    let common = common(state.to_owned(), None, None, settings)?;
    let name = launch::join(common, invite_of(invite)?).await?;
    Ok(format!(
        "This machine is a member now, called {name}. Share a directory: thorp share DIR; fetch a file: thorp get NAME"
    ))
}

fn common(
    state: PathBuf,
    name: Option<&str>,
    listen: Option<(Listen, u16)>,
    settings: &Settings,
) -> Result<Common> {
    let name = name.map(str::parse::<MemberName>).transpose();
    Ok(Common {
        state,
        settings: settings.assignments(),
        name: name.map_err(|error| failure(ErrorKind::Usage, error.to_string()))?,
        listen: listen.map(|(listen, default)| listen.for_node(default)),
        clock: Clock::system(),
    })
}

fn net_address(address: &Address) -> Result<NetAddress> {
    NetAddress::parse(&address.to_string(), address.port)
        .map_err(|error| failure(ErrorKind::Usage, error.to_string()))
}

fn invite_of(text: &str) -> Result<thorp_node::invite::Invite> {
    text.trim()
        .parse()
        .map_err(|error: thorp_node::invite::InviteError| {
            failure(ErrorKind::Usage, error.to_string())
        })
}

fn shown(door: &launch::Door) -> Door {
    let tracker = door.trackers.first().map(|address| match address.port() {
        TRACKER_PORT => address.ip().to_string(),
        _ => address.to_string(),
    });
    Door {
        tracker: tracker.unwrap_or_default(),
        open: door.open,
        invite: door.invite.clone(),
    }
}

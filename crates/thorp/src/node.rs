//! Starts nodes for the program.
//!
//! Thin: `thorp_node::launch` does the work. Adds the program's wording for goodbyes and doors,
//! and the form from which screens and lines are drawn.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;

use thorp_node::MemberName;
use thorp_node::address::{ListenAddress, OuterAddress, TRACKER_PORT};
use thorp_node::api::{Command, ErrorKind, Event, Note, Notice, STOPPED_BY_USER};
use thorp_node::clock::Clock;
use thorp_node::config::Setting;
use thorp_node::invite::{Invite, InviteError};
use thorp_node::launch::{self, Clerk, Common, Decided, EMBEDDED, Group, INVITE_VALIDITY};
use thorp_node::net::addresses;
use thorp_node::share;
use thorp_node::snapshot::Viewer;
use thorp_web::{AskNode, PageOf, ServedNode, WebServer};
use tokio::sync::mpsc;

use crate::exit::{Result, failure};
use crate::state::{self, NodeKind};
use crate::{json, words};

/// The events of an answer; dropping it abandons the request.
pub type Answers = mpsc::Receiver<Event>;

/// A future that says goodbye to every linked member and ends the node.
pub type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A future that makes an invite.
pub type Inviting = Pin<Box<dyn Future<Output = Result<String>> + Send>>;

/// The most notices that wait to be shown; further ones are dropped.
const NOTICES: usize = 64;

/// How another machine joins the group, as its user has to type it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Door {
    /// The tracker's address, with the port unless it is the default one.
    pub tracker: String,
    /// Whether the address is enough to join.
    pub open: bool,
    /// The public key of the group's CA.
    pub ca: String,
    /// An invite for one machine, if the address is not enough and an invite was made.
    pub invite: Option<String>,
    /// What a command that is typed on this machine ends with, so that it is about this group.
    pub at: String,
}

/// A peer that runs in this process. It has ended once its `viewer` has no more news.
pub struct LocalPeer {
    /// The directory that it shares.
    pub directory: PathBuf,
    /// The address where it listens, as other members reach it.
    pub listen: Option<SocketAddr>,
    /// What a command that is typed on this machine ends with, so that it is about this peer.
    pub at: String,
    /// The view of its state.
    pub viewer: Viewer,
    /// Its notices.
    pub notices: mpsc::Receiver<Notice>,
    /// Sends it a command.
    pub request: Box<dyn Fn(Command) -> Answers + Send>,
    /// Makes an invite for one machine, if this process is the group's tracker.
    pub invite: Box<dyn Fn() -> Inviting + Send>,
    /// Ends it.
    pub stop: Stop,
    /// How to join the group, if this process is its tracker.
    pub door: Option<Door>,
    /// Whether it has a page.
    pub has_page: bool,
    /// Returns whether it has ended because the group has removed this machine.
    pub was_removed: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// What a node shows and says while it runs.
pub struct NodeNews {
    /// The view of its state.
    pub viewer: Viewer,
    /// Its notices.
    pub notices: mpsc::Receiver<Notice>,
    /// Returns whether it has ended because the group has removed this machine.
    pub was_removed: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// A tracker that runs in this process. It has ended once its `viewer` has no more news.
pub struct LocalTracker {
    /// The address where it listens, as other members reach it.
    pub listen: SocketAddr,
    /// The view of its state.
    pub viewer: Viewer,
    /// Its notices.
    pub notices: mpsc::Receiver<Notice>,
    /// Ends it.
    pub stop: Stop,
    /// How to join the group.
    pub door: Door,
    /// Whether it has a page.
    pub has_page: bool,
}

impl LocalPeer {
    /// Takes its notices, for a follower that needs nothing else of it.
    pub fn news(&mut self) -> NodeNews {
        NodeNews {
            viewer: self.viewer.clone(),
            notices: taken(&mut self.notices),
            was_removed: Arc::clone(&self.was_removed),
        }
    }
}

impl LocalTracker {
    /// Takes its notices, for a follower that needs nothing else of it.
    pub fn news(&mut self) -> NodeNews {
        NodeNews {
            viewer: self.viewer.clone(),
            notices: taken(&mut self.notices),
            was_removed: Arc::new(|| false),
        }
    }
}

/// Leaves notices that have ended.
fn taken(notices: &mut mpsc::Receiver<Notice>) -> mpsc::Receiver<Notice> {
    std::mem::replace(notices, mpsc::channel(1).1)
}

/// Returns what every node needs to start.
pub fn common(
    state: PathBuf,
    settings: Vec<Setting>,
    name: Option<MemberName>,
    listen: Option<ListenAddress>,
    advertise: Vec<OuterAddress>,
) -> Common {
    Common {
        state,
        settings,
        name,
        listen,
        advertise,
        clock: Clock::system(),
    }
}

/// Whether no node has ever run on a state directory. Does not create it.
pub async fn is_new(state: &Path) -> bool {
    let state = state.to_owned();
    let is_there = thorp_disk::spawn(move |_| state.try_exists()).await;
    matches!(is_there, Ok(Ok(false)))
}

/// Starts a peer. Joining may take a while: `show` gets the notices until the peer is ready.
pub async fn share(
    common: Common,
    dir: &Path,
    options: share::Options,
    group: Group,
    mut show: impl FnMut(&Notice),
) -> Result<LocalPeer> {
    let (sender, mut notices) = mpsc::channel(NOTICES);
    let keeper = [common.state.join(EMBEDDED)];
    let at = state::told(&common.state, NodeKind::Peer);
    let mut starting = pin!(launch::share(common, dir, options, group, sender));
    let started = loop {
        tokio::select! {
            biased;
            Some(notice) = notices.recv() => show(&notice),
            started = &mut starting => break started,
        }
    };
    let mut running = started.inspect_err(|_| {
        while let Ok(notice) = notices.try_recv() {
            show(&notice);
        }
    })?;
    let asked = running.peer.clone();
    let web = match running.page.take() {
        Some(setup) => {
            let (peer, clerk) = (running.peer.clone(), running.clerk.clone());
            let node = ServedNode {
                kind: PageOf::Peer,
                viewer: peer.viewer().clone(),
                peer: Some(peer.clone()),
                ask: Arc::new(move |command| peer.command(command)),
                ask_keeper: clerk.map(asking_clerk),
                say: json::value,
            };
            WebServer::start(node, setup).await
        }
        None => None,
    };
    Ok(LocalPeer {
        directory: dir.to_owned(),
        listen: running.listen.map(reachable),
        viewer: asked.viewer().clone(),
        notices,
        request: Box::new(move |command| asked.command(command)),
        invite: Box::new(move || {
            let keeper = keeper.clone();
            Box::pin(async move { Ok(launch::invite(&keeper, 1, INVITE_VALIDITY).await?) })
        }),
        door: running
            .access
            .as_ref()
            .map(|access| Door::of(access, at.clone())),
        at,
        was_removed: {
            let peer = running.peer.clone();
            Arc::new(move || peer.was_removed())
        },
        has_page: web.is_some(),
        stop: Box::pin(async move {
            running.stop(STOPPED_BY_USER).await;
            drop(web);
        }),
    })
}

fn asking_clerk(clerk: Arc<Clerk>) -> AskNode {
    Arc::new(move |command| clerk.command(command))
}

/// Starts a tracker, as its owner has decided.
pub async fn tracker(common: Common, decided: Decided) -> Result<LocalTracker> {
    let (sender, notices) = mpsc::channel(NOTICES);
    let at = state::told(&common.state, NodeKind::Tracker);
    let mut running = launch::tracker(common, decided, sender).await?;
    let web = match running.page.take() {
        Some(setup) => {
            let ask = asking_clerk(Arc::clone(&running.clerk));
            let node = ServedNode {
                kind: PageOf::Tracker,
                viewer: running.tracker.viewer().clone(),
                peer: None,
                ask_keeper: Some(Arc::clone(&ask)),
                ask,
                say: json::value,
            };
            WebServer::start(node, setup).await
        }
        None => None,
    };
    Ok(LocalTracker {
        listen: reachable(running.listen),
        viewer: running.tracker.viewer().clone(),
        notices,
        door: Door::of(&running.access, at),
        has_page: web.is_some(),
        stop: Box::pin(async move {
            running.stop(STOPPED_BY_USER).await;
            drop(web);
        }),
    })
}

/// Joins a group with an invite. Returns a sentence about the group. `note` is told what there is
/// to know besides.
pub async fn join(common: Common, invite: Invite, note: impl FnMut(Note)) -> Result<String> {
    let (name, was_member) = launch::join(common, invite, note).await?;
    let since = if was_member {
        "was a member of that group already"
    } else {
        "is a member now"
    };
    Ok(format!(
        "This machine {since}, called {name}. \
         Share a directory: thorp share DIR; fetch a file: thorp get NAME"
    ))
}

/// Parses an invite that the user pasted.
pub fn invite(text: &str) -> Result<Invite> {
    let wrong = |error: InviteError| failure(ErrorKind::Usage, words::invite(error));
    text.trim().parse().map_err(wrong)
}

impl Door {
    fn of(access: &launch::Access, at: String) -> Self {
        let tracker = access.trackers.first().map(|address| match address.port() {
            TRACKER_PORT => address.host_text(),
            _ => address.to_string(),
        });
        Self {
            tracker: tracker.unwrap_or_default(),
            open: access.open,
            ca: access.ca.to_string(),
            invite: access.invite.clone(),
            at,
        }
    }
}

/// Returns one address for users to type, if the node listens on all of them.
fn reachable(listen: SocketAddr) -> SocketAddr {
    addresses::own(listen).first().copied().unwrap_or(listen)
}

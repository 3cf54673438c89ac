//! The program's way to a node: what was typed in, a running node out.
//!
//! Thin: `thorp_node::launch` does the work. Here it gets the program's words
//! for goodbyes and doors, and the shape that screens and lines are drawn from.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::time::Duration;

use thorp_node::MemberName;
use thorp_node::address::{ListenAddress, OuterAddress, TRACKER_PORT};
use thorp_node::api::{Command, ErrorKind, Event, Notice};
use thorp_node::clock::Clock;
use thorp_node::config::Setting;
use thorp_node::invite::{Invite, InviteError};
use thorp_node::launch::{self, Common, EMBEDDED, Group};
use thorp_node::net::addresses;
use thorp_node::share;
use thorp_node::snapshot::Viewer;
use tokio::sync::mpsc;

use crate::exit::{Result, failure};
use crate::words;

/// An answer, event by event; dropping it gives the request up.
pub type Answers = mpsc::Receiver<Event>;

/// A future that says goodbye to every member with a link, and ends the node.
pub type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A future that makes an invite.
pub type Inviting = Pin<Box<dyn Future<Output = Result<String>> + Send>>;

/// Notices that wait to be shown; later ones are dropped.
const NOTICES: usize = 64;
/// How long an invite is good for.
const INVITE_VALIDITY: Duration = Duration::from_hours(24);
/// The reason that other members are told when the user ends this node.
const LEAVING: &str = "stopped by its user";

/// How another machine gets into the group, as its user has to type it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Door {
    /// The tracker's address, with the port where it is not the default one.
    pub tracker: String,
    /// Whether that address is enough to join.
    pub open: bool,
    /// The key of the group's CA.
    pub ca: String,
    /// Where an address is not enough, an invite for one machine, if one was made.
    pub invite: Option<String>,
}

/// A peer that runs in this process. It has ended once its `viewer` has no news any more.
pub struct LocalPeer {
    /// What it shares.
    pub directory: PathBuf,
    /// Where it listens, as others reach it.
    pub listen: Option<SocketAddr>,
    /// What it shows of itself.
    pub viewer: Viewer,
    /// What happens.
    pub notices: mpsc::Receiver<Notice>,
    /// Asks it something.
    pub request: Box<dyn Fn(Command) -> Answers + Send>,
    /// Makes an invite for one machine, where this process is the group's tracker.
    pub invite: Box<dyn Fn() -> Inviting + Send>,
    /// Ends it.
    pub stop: Stop,
    /// How to get into the group, where this process is its tracker.
    pub door: Option<Door>,
    /// Whether it has ended because the group has removed this machine.
    pub was_removed: Box<dyn Fn() -> bool + Send>,
}

/// A tracker that runs in this process. It has ended once its `viewer` has no news any more.
pub struct LocalTracker {
    /// Where it listens, as others reach it.
    pub listen: SocketAddr,
    /// What it shows of itself.
    pub viewer: Viewer,
    /// What happens.
    pub notices: mpsc::Receiver<Notice>,
    /// Ends it.
    pub stop: Stop,
    /// How to get into the group.
    pub door: Door,
}

/// What a node is started with.
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

/// Whether nothing has ever run on a state directory; asking leaves it so.
pub async fn is_new(state: &Path) -> bool {
    let state = state.to_owned();
    let is_there = thorp_disk::spawn(move |_| state.try_exists()).await;
    matches!(is_there, Ok(Ok(false)))
}

/// Starts a peer. Joining may take a while: `show` is given what happens until
/// the peer is there.
pub async fn share(
    common: Common,
    dir: &Path,
    options: share::Options,
    group: Group,
    mut show: impl FnMut(&Notice),
) -> Result<LocalPeer> {
    let (sender, mut notices) = mpsc::channel(NOTICES);
    let keeper = [common.state.join(EMBEDDED)];
    let mut starting = pin!(launch::share(common, dir, options, group, sender));
    let started = loop {
        tokio::select! {
            biased;
            Some(notice) = notices.recv() => show(&notice),
            started = &mut starting => break started,
        }
    };
    let running = started.inspect_err(|_| {
        while let Ok(notice) = notices.try_recv() {
            show(&notice);
        }
    })?;
    let asked = running.peer.clone();
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
        door: running.access.as_ref().map(Door::from),
        was_removed: {
            let peer = running.peer.clone();
            Box::new(move || peer.was_removed())
        },
        stop: Box::pin(running.stop(LEAVING)),
    })
}

/// Starts a tracker: open, or by invitation, or as it was where neither is said.
pub async fn tracker(common: Common, open: Option<bool>) -> Result<LocalTracker> {
    let (sender, notices) = mpsc::channel(NOTICES);
    let running = launch::tracker(common, open, sender).await?;
    Ok(LocalTracker {
        listen: reachable(running.listen),
        viewer: running.tracker.viewer().clone(),
        notices,
        door: Door::from(&running.access),
        stop: Box::pin(running.stop(LEAVING)),
    })
}

/// Becomes a member by an invite; answers with a sentence about the group.
pub async fn join(common: Common, invite: Invite) -> Result<String> {
    let (name, was_member) = launch::join(common, invite).await?;
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

/// What was pasted, read.
pub fn invite(text: &str) -> Result<Invite> {
    let wrong = |error: InviteError| failure(ErrorKind::Usage, words::invite(error));
    text.trim().parse().map_err(wrong)
}

impl From<&launch::Access> for Door {
    fn from(access: &launch::Access) -> Self {
        let tracker = access.trackers.first().map(|address| match address.port() {
            TRACKER_PORT => address.host_text(),
            _ => address.to_string(),
        });
        Self {
            tracker: tracker.unwrap_or_default(),
            open: access.open,
            ca: access.ca.to_string(),
            invite: access.invite.clone(),
        }
    }
}

/// One address for a user to type, for what listens at all of them.
fn reachable(listen: SocketAddr) -> SocketAddr {
    addresses::own(listen).first().copied().unwrap_or(listen)
}

//! A node that runs in this process: what is known of it, and how it ends.

use std::net::SocketAddr;
use std::sync::Arc;

use thorp_disk::LetGo;
use thorp_group::address::NetAddress;
use thorp_group::certificate::CaKey;
use thorp_group::state::StateDir;
use tokio::task::JoinHandle;

use crate::local::Answering;
use crate::net::listener::Running;
use crate::peer::Peer;
use crate::tracker::Tracker;

/// A peer that runs in this process, perhaps with its group's tracker.
pub struct RunningPeer {
    /// The peer.
    pub peer: Peer,
    /// Where it listens.
    pub listen: Option<SocketAddr>,
    /// What to type on another machine, where this peer has made its own group.
    pub access: Option<Access>,
    pub(super) task: JoinHandle<()>,
    pub(super) tracker: Option<(Tracker, JoinHandle<()>)>,
    pub(super) held: LetGo<Held>,
}

/// A tracker that runs in this process.
pub struct RunningTracker {
    /// The tracker.
    pub tracker: Tracker,
    /// Where it listens.
    pub listen: SocketAddr,
    /// How others get in.
    pub access: Access,
    pub(super) task: JoinHandle<()>,
    pub(super) held: LetGo<Held>,
}

impl RunningPeer {
    /// Says goodbye to every member with a link, and waits until that is said.
    pub async fn stop(self, reason: &str) {
        self.peer.stop(reason).await;
        if let Some((tracker, _)) = &self.tracker {
            tracker.stop(reason).await;
        }
        self.ended().await;
    }

    /// Waits until it has ended, however it was stopped.
    pub async fn ended(self) {
        let Self {
            task,
            tracker,
            held,
            ..
        } = self;
        // The peer is what was asked for; without it the tracker goes too. A task
        // that was cancelled has ended as well.
        let _ = task.await;
        if let Some((tracker, task)) = tracker {
            tracker.stop("its peer has stopped").await;
            let _ = task.await;
        }
        Held::end(held).await;
    }
}

impl RunningTracker {
    /// Says goodbye to every member with a link, and waits until that is said.
    pub async fn stop(self, reason: &str) {
        self.tracker.stop(reason).await;
        self.ended().await;
    }

    /// Waits until it has ended, however it was stopped.
    pub async fn ended(self) {
        let Self { task, held, .. } = self;
        let _ = task.await;
        Held::end(held).await;
    }
}

/// How another machine gets into the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The tracker's addresses, as others see them, the best first.
    pub trackers: Vec<NetAddress>,
    /// Whether an address is enough.
    pub open: bool,
    /// The key of the group's CA, for users to compare where it is.
    pub ca: CaKey,
    /// An invite for one machine, where an address is not enough and one was made.
    pub invite: Option<String>,
}

/// What must stay for as long as the node runs.
#[derive(Default)]
pub(super) struct Held {
    // Dropped in this order: the directory is free only when its socket is gone.
    pub(super) sockets: Vec<Answering>,
    #[expect(dead_code, reason = "dropping it closes the port")]
    pub(super) port: Option<Running>,
    pub(super) states: Vec<Arc<StateDir>>,
}

impl Held {
    /// Gives everything back, once those who have asked this node something
    /// (such as to stop) have their answer.
    async fn end(held: LetGo<Self>) {
        let Some(mut held) = held.into_inner() else {
            return;
        };
        for socket in &mut held.sockets {
            socket.finish().await;
        }
        // Once this is over another process may have the directory.
        let _ = thorp_disk::spawn(move |_| drop(held)).await;
    }
}

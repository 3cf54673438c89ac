//! A node that runs in this process, and how it ends.

use std::net::SocketAddr;
use std::sync::Arc;

use thorp_disk::LetGo;
use thorp_group::address::NetAddress;
use thorp_group::certificate::CaKey;
use thorp_group::state::StateDir;
use tokio::task::JoinHandle;

use super::clerk::Clerk;
use crate::local::Answering;
use crate::net::face::udp::UdpThreads;
use crate::net::listener::Running;
use crate::page::PageSetup;
use crate::peer::Peer;
use crate::tracker::Tracker;

/// A peer that runs in this process, perhaps with its group's tracker.
pub struct RunningPeer {
    /// The peer.
    pub peer: Peer,
    /// The address at which it listens.
    pub listen: Option<SocketAddr>,
    /// How other machines join, if this peer keeps its own group.
    pub access: Option<Access>,
    /// What answers where the group's CA is, if this peer keeps its own group.
    pub clerk: Option<Arc<Clerk>>,
    /// What its page needs, if it is to have one.
    pub page: Option<Box<PageSetup>>,
    pub(super) task: JoinHandle<()>,
    pub(super) tracker: Option<(Tracker, JoinHandle<()>)>,
    pub(super) held: LetGo<Held>,
}

/// A tracker that runs in this process.
pub struct RunningTracker {
    /// The tracker.
    pub tracker: Tracker,
    /// The address at which it listens.
    pub listen: SocketAddr,
    /// How other machines get into the group.
    pub access: Access,
    /// What answers its own user.
    pub clerk: Arc<Clerk>,
    /// What its page needs, if it is to have one.
    pub page: Option<Box<PageSetup>>,
    pub(super) task: JoinHandle<()>,
    pub(super) held: LetGo<Held>,
}

impl RunningPeer {
    /// Says goodbye to every member with a link, and waits until the node has ended.
    pub async fn stop(self, reason: &str) {
        self.peer.stop(reason).await;
        if let Some((tracker, _)) = &self.tracker {
            tracker.stop(reason).await;
        }
        self.ended().await;
    }

    /// Waits until the node has ended, however it was stopped.
    pub async fn ended(self) {
        let Self {
            peer,
            task,
            tracker,
            held,
            ..
        } = self;
        // The tracker ends with its peer, for which it was started. A cancelled task has ended as
        // well.
        let _ = task.await;
        if let Some((tracker, task)) = tracker {
            tracker.stop("its peer has stopped").await;
            let _ = task.await;
        }
        if peer.is_visitor() {
            peer.remove_what_was_read().await;
        }
        Held::end(held).await;
    }
}

impl RunningTracker {
    /// Says goodbye to every member with a link, and waits until the node has ended.
    pub async fn stop(self, reason: &str) {
        self.tracker.stop(reason).await;
        self.ended().await;
    }

    /// Waits until the node has ended, however it was stopped.
    pub async fn ended(self) {
        let Self { task, held, .. } = self;
        let _ = task.await;
        Held::end(held).await;
    }
}

/// How another machine gets into the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The tracker's addresses, as others see them, the best one first.
    pub trackers: Vec<NetAddress>,
    /// Whether an address is enough, because the group admits every machine.
    pub open: bool,
    /// The key of the group's CA, which users can compare on both machines.
    pub ca: CaKey,
    /// An invite for one machine, if one was made.
    pub invite: Option<String>,
}

/// Resources that a node holds while it runs.
#[derive(Default)]
pub(super) struct Held {
    // Fields are dropped in this order: the directory is free only once its socket is gone.
    pub(super) sockets: Vec<Answering>,
    #[expect(dead_code, reason = "dropping it closes the port")]
    pub(super) port: Option<Running>,
    #[expect(dead_code, reason = "dropping it closes the port")]
    pub(super) udp: Option<UdpThreads>,
    pub(super) states: Vec<Arc<StateDir>>,
}

impl Held {
    /// Releases the resources once all callers, such as one that asked this node to stop, have
    /// their answers.
    async fn end(held: LetGo<Self>) {
        let Some(mut held) = held.into_inner() else {
            return;
        };
        for socket in &mut held.sockets {
            socket.finish().await;
        }
        // Only now may another process lock the directory.
        let _ = thorp_disk::spawn(move |_| drop(held)).await;
    }
}

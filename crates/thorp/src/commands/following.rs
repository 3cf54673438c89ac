//! Follows a node on a thread of its own.
//!
//! A pipe whose reader does not read (a pager that waits for a key, a logger that hangs) blocks a
//! write for as long as that lasts. Signals and the end of the node must not wait for it.

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use thorp_node::api::Notice;
use thorp_node::snapshot::Viewer;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::lines::{self, Manner, Streams};
use crate::out::{Flow, StandardOutput};
use crate::signals::Signals;
use crate::tables::Following;

/// The streams of the process.
pub type Standard = Streams<StandardOutput, io::Stderr>;

/// Tells what happens while a node starts.
pub struct StartLines {
    notices: SyncSender<Notice>,
    telling: JoinHandle<Standard>,
}

/// How many notices wait to be told; those that come when there are more are left out.
const WAITING: usize = 64;

impl StartLines {
    /// Starts a thread that writes what it is told.
    pub fn start(manner: Manner) -> Self {
        let (notices, told) = sync_channel(WAITING);
        let telling = thorp_disk::spawn(move |_| {
            let mut streams = Streams::standard();
            while let Ok(notice) = told.recv() {
                // A reader that misses what happens before the start may still read what follows.
                let _ = lines::tell_notice(&notice, &mut streams, manner);
            }
            streams
        });
        Self { notices, telling }
    }

    /// Tells of this, without waiting until it is read.
    pub fn tell(&self, notice: &Notice) {
        let _ = self.notices.try_send(notice.clone());
    }

    /// Returns the streams once all is written, so that what is said only once is said once in
    /// all.
    pub async fn streams(self) -> Standard {
        drop(self.notices);
        self.telling.await.unwrap_or_else(|_| Streams::standard())
    }

    /// Waits a little until all is written.
    pub async fn end(self) {
        let _ = timeout(LAST_LINES, self.streams()).await;
    }
}

/// How long the last lines of a node that has ended may take.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Why a node is followed no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// It has ended.
    Ended,
    /// The reader of its lines has gone.
    Unread,
    /// A signal has come.
    Signalled,
}

/// Runs `follow`, which writes the lines of the node with this `viewer`, until it returns, the
/// node has ended, or a signal comes.
pub async fn until_end(
    viewer: Viewer,
    signals: &mut Signals,
    follow: impl Future<Output = Flow> + Send + 'static,
) -> Followed {
    // Dropped at the end, it ends a follower that is not blocked.
    let (_on, off) = oneshot::channel::<()>();
    let runtime = Handle::current();
    let mut following = thorp_disk::spawn(move |_| {
        runtime.block_on(async {
            tokio::select! {
                flow = follow => flow,
                _ = off => Flow::Open,
            }
        })
    });
    tokio::select! {
        flow = &mut following => match flow {
            Ok(Flow::Closed) => Followed::Unread,
            Ok(Flow::Open) | Err(_) => Followed::Ended,
        },
        () = signals.next() => Followed::Signalled,
        () = ended(&viewer) => {
            let _ = timeout(LAST_LINES, following).await;
            Followed::Ended
        }
    }
}

/// Waits until the node with this viewer has ended.
async fn ended(viewer: &Viewer) {
    let mut following = Following::of(viewer);
    while following.is_due().await {}
}

//! What every route has: the node, the door, and the room for streams.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use thorp_node::page::PageSetup;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::keys::{BearerId, Doorkeeper};
use crate::refusal::Refusal;
use crate::served::ServedNode;
use crate::village::Village;

/// The most answers that go on for long at once: event streams, files on their way.
const STREAMS: usize = 16;

/// What every route has.
pub(crate) struct Shared {
    pub(crate) node: ServedNode,
    pub(crate) door: Doorkeeper,
    pub(crate) port: u16,
    /// The node's state directory.
    pub(crate) state: PathBuf,
    pub(crate) readers: Readers,
    pub(crate) village: Arc<Village>,
    /// A search that goes through all files of a tracker: one at a time.
    pub(crate) search: tokio::sync::Mutex<()>,
    streams: Arc<Semaphore>,
}

impl Shared {
    pub(crate) fn new(node: ServedNode, port: u16, setup: &PageSetup) -> Self {
        Self {
            node,
            door: Doorkeeper::new(setup.token.clone()),
            port,
            state: setup.state.clone(),
            readers: Readers::default(),
            village: Arc::default(),
            search: tokio::sync::Mutex::default(),
            streams: Arc::new(Semaphore::new(STREAMS)),
        }
    }

    /// Returns the room for an answer that goes on for long, which is taken until it is dropped.
    pub(crate) fn stream(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let room = Arc::clone(&self.streams).try_acquire_owned();
        room.map_err(|_| Refusal::TooMany)
    }

    /// Waits until the node has ended.
    pub(crate) async fn ended(&self) {
        let mut news = self.node.viewer.news();
        while news.changed().await.is_ok() {}
    }
}

/// The pages that read the stream of events: each reads one.
#[derive(Default)]
pub(crate) struct Readers(Mutex<Vec<(BearerId, oneshot::Sender<()>)>>);

impl Readers {
    /// Begins a stream for a page. The receiver closes when the page begins another one.
    pub(crate) fn begin(&self, bearer: BearerId) -> oneshot::Receiver<()> {
        let (reading, elsewhere) = oneshot::channel();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(of, reading)| *of != bearer && !reading.is_closed());
        all.push((bearer, reading));
        elsewhere
    }
}

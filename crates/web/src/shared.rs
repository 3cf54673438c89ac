//! What every route has: the node, the door, and the room for streams.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thorp_node::api::Spared;
use thorp_node::page::PageSetup;
use thorp_node::snapshot::{Ask, Part, SnapshotRow};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::history::{Figures, History};
use crate::jobs::Jobs;
use crate::keys::{self, BearerId, Doorkeeper};
use crate::refusal::Refusal;
use crate::served::ServedNode;
use crate::tickets::Tickets;
use crate::village::Village;
use crate::village::survey::Surveys;
use crate::village::tracked::Searches;

/// The most answers with files, folders or archives at once.
const STREAMS: usize = 16;
/// The most event streams at once: as many as there are bearers.
const READERS: usize = keys::BEARERS;
/// How often is seen what the node counts.
const COUNTED_EVERY: Duration = Duration::from_mins(1);

/// What every route has.
pub(crate) struct Shared {
    pub(crate) node: ServedNode,
    pub(crate) door: Doorkeeper,
    pub(crate) port: u16,
    /// The node's state directory.
    pub(crate) state: PathBuf,
    pub(crate) readers: Readers,
    pub(crate) village: Arc<Village>,
    pub(crate) searches: Searches,
    pub(crate) surveys: Surveys,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) tickets: Tickets,
    begun: Instant,
    history: Mutex<History>,
    streams: Arc<Semaphore>,
}

impl Shared {
    pub(crate) fn new(node: ServedNode, port: u16, setup: &PageSetup) -> Self {
        Self {
            door: Doorkeeper::new(setup.token.clone()),
            port,
            state: setup.state.clone(),
            readers: Readers::default(),
            village: Arc::default(),
            searches: Searches::default(),
            surveys: Surveys::default(),
            jobs: Arc::new(Jobs::new(node.clone())),
            tickets: Tickets::default(),
            begun: Instant::now(),
            history: Mutex::default(),
            streams: Arc::new(Semaphore::new(STREAMS)),
            node,
        }
    }

    /// Returns the room for an answer with what others share, which is taken until it is dropped.
    pub(crate) fn stream(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let room = Arc::clone(&self.streams).try_acquire_owned();
        room.map_err(|_| Refusal::TooMany)
    }

    /// Sees what the node has counted; `None` if it has ended. Returns how many lookups the
    /// tracker was spared.
    pub(crate) async fn count(&self) -> Option<Spared> {
        let asks = [Part::Node, Part::Counts].map(|part| Ask::first(part, 1));
        let pages = self.node.viewer.pages(asks).await?;
        let rows: Vec<_> = pages.into_iter().flat_map(|page| page.rows).collect();
        self.history().see(self.begun.elapsed(), Figures::of(&rows));
        rows.into_iter().find_map(|row| match row {
            SnapshotRow::Node(status) => Some(status.spared),
            SnapshotRow::Tracker(status) => Some(status.counts.spared),
            _ => None,
        })
    }

    /// Returns what was counted since the start, in the steps of the last hour, and in the hours
    /// of the last day.
    pub(crate) fn counted(&self) -> (Figures, Vec<Figures>, Vec<Figures>) {
        let (history, elapsed) = (self.history(), self.begun.elapsed());
        (
            history.since_start(),
            history.hour(elapsed),
            history.day(elapsed),
        )
    }

    /// Sees what the node counts until it has ended.
    pub(crate) async fn count_on(&self) {
        let mut ticks = interval(COUNTED_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut news = self.node.viewer.news();
        loop {
            tokio::select! {
                _ = ticks.tick() => if self.count().await.is_none() {
                    return;
                },
                changed = news.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
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
        // A bearer that ended may still have one.
        if all.len() == READERS {
            all.remove(0);
        }
        all.push((bearer, reading));
        elsewhere
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_reads_one_stream_and_there_are_no_more_than_bearers() {
        let readers = Readers::default();
        let id = |number: usize| BearerId(number as u64);
        let mut all: Vec<_> = (0..READERS).map(|n| readers.begin(id(n))).collect();
        let is_over = |stream: &mut oneshot::Receiver<()>| {
            stream.try_recv() == Err(oneshot::error::TryRecvError::Closed)
        };
        assert!(!all.iter_mut().any(is_over));
        let _again = readers.begin(id(3));
        assert!(is_over(&mut all[3]) && !is_over(&mut all[0]));
        let _one_more = readers.begin(id(READERS));
        assert!(is_over(&mut all[0]) && !is_over(&mut all[1]));
    }
}

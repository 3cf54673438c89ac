//! A reader's end of a node's snapshot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;

use crate::api::PeerRow;
use crate::api::snapshot::{Ask, Fresh, Page, Part, SnapshotRow};

/// How long to wait before a busy node is asked again.
const BUSY: Duration = Duration::from_millis(250);

/// A reader's handle to a node in this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Viewer {
    looks: mpsc::Sender<ViewRequest>,
    news: watch::Receiver<u64>,
    made: Arc<AtomicU64>,
}

/// A reader's request to the node.
#[derive(Debug)]
pub enum ViewRequest {
    /// Make these pages, all from the same moment.
    Pages(Vec<Ask>, oneshot::Sender<Vec<Page>>),
    /// Return what has changed since a number.
    Since(u64, oneshot::Sender<Fresh>),
}

impl Viewer {
    pub(super) fn new(
        looks: mpsc::Sender<ViewRequest>,
        news: watch::Receiver<u64>,
        made: Arc<AtomicU64>,
    ) -> Self {
        Self { looks, news, made }
    }

    /// Returns these pages, all from the same moment, or `None` if the node has ended.
    pub async fn pages<const N: usize>(&self, asks: [Ask; N]) -> Option<[Page; N]> {
        self.all_pages(asks.into()).await?.try_into().ok()
    }

    /// Returns these pages, as many as there are, all from the same moment.
    pub async fn all_pages(&self, asks: Vec<Ask>) -> Option<Vec<Page>> {
        let (reply, answer) = oneshot::channel();
        let look = ViewRequest::Pages(asks, reply);
        self.looks.send(look).await.ok()?;
        answer.await.ok()
    }

    /// Extends a page with those after it, until it has `most` rows. The pages are requested one
    /// by one, so that the node does other work in between; a change meanwhile shows only in
    /// later pages. While the node is busy, it is asked again a little later. Returns `None` if the
    /// node has ended.
    pub async fn read_on(&self, ask: &Ask, page: &mut Page, most: usize) -> Option<()> {
        let mut next = page.next(ask);
        let mut is_busy = page.busy;
        while page.rows.len() < most
            && let Some(ask) = next
        {
            if is_busy {
                sleep(BUSY).await;
            }
            let [more] = self.pages([ask.clone()]).await?;
            next = more.next(&ask);
            is_busy = more.busy;
            (page.total, page.more, page.busy) = (more.total, more.more, more.busy);
            if !more.busy {
                page.reached = more.reached;
            }
            page.rows.extend(more.rows);
        }
        if page.rows.len() > most {
            page.rows.truncate(most);
            (page.more, page.reached) = (true, None);
        }
        Some(())
    }

    /// Returns the node's own row, or `None` if the node has ended.
    pub async fn node(&self) -> Option<SnapshotRow> {
        let [page] = self.pages([Ask::first(Part::Node, 1)]).await?;
        page.rows.into_iter().next()
    }

    /// Returns a peer's neighbours, or `None` if the peer has ended.
    pub async fn neighbours(&self) -> Option<Vec<PeerRow>> {
        let [page] = self.pages([Ask::neighbours()]).await?;
        Some(page.neighbours().collect())
    }

    /// Returns what has changed since a number, or `None` if the node has ended.
    pub async fn since(&self, number: u64) -> Option<Fresh> {
        let (reply, answer) = oneshot::channel();
        self.looks
            .send(ViewRequest::Since(number, reply))
            .await
            .ok()?;
        answer.await.ok()
    }

    /// Returns the number of the latest change, and its later values. The channel closes when the
    /// node ends.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.clone()
    }

    /// Returns how many rows the node has made for readers since its start.
    pub fn rows_made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }
}

//! A reader's end of a node's snapshot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot, watch};

use crate::api::PeerRow;
use crate::api::snapshot::{Ask, Fresh, Page, Part, SnapshotRow};

/// Looks at a node in this process: a handle, cheap to clone.
#[derive(Clone, Debug)]
pub struct Viewer {
    looks: mpsc::Sender<ViewRequest>,
    news: watch::Receiver<u64>,
    made: Arc<AtomicU64>,
}

/// What a reader asks of the node.
#[derive(Debug)]
pub enum ViewRequest {
    /// These pages, all as of one moment.
    Pages(Vec<Ask>, oneshot::Sender<Vec<Page>>),
    /// What has changed since a number.
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

    /// These pages, all as of one moment; nothing, if the node has ended.
    pub async fn pages<const N: usize>(&self, asks: [Ask; N]) -> Option<[Page; N]> {
        let (reply, answer) = oneshot::channel();
        let look = ViewRequest::Pages(asks.into(), reply);
        self.looks.send(look).await.ok()?;
        answer.await.ok()?.try_into().ok()
    }

    /// Adds the pages behind this one to it, until it has so many rows. They are
    /// asked for one after the other, so that the node does other work in between;
    /// what changes meanwhile is in the later ones only. Nothing, if the node has
    /// ended.
    pub async fn read_on(&self, ask: &Ask, page: &mut Page, most: usize) -> Option<()> {
        while page.rows.len() < most
            && let Some(next) = page.next(ask)
        {
            let [more] = self.pages([next]).await?;
            (page.total, page.more) = (more.total, more.more);
            page.rows.extend(more.rows);
        }
        page.rows.truncate(most);
        Some(())
    }

    /// The node's own row; nothing, if the node has ended.
    pub async fn node(&self) -> Option<SnapshotRow> {
        let [page] = self.pages([Ask::first(Part::Node, 1)]).await?;
        page.rows.into_iter().next()
    }

    /// A peer's neighbours; nothing, if it has ended.
    pub async fn neighbours(&self) -> Option<Vec<PeerRow>> {
        let [page] = self.pages([Ask::neighbours()]).await?;
        Some(page.neighbours().collect())
    }

    /// What has changed since a number; nothing, if the node has ended.
    pub async fn since(&self, number: u64) -> Option<Fresh> {
        let (reply, answer) = oneshot::channel();
        self.looks
            .send(ViewRequest::Since(number, reply))
            .await
            .ok()?;
        answer.await.ok()
    }

    /// The number of the latest change, and news of later ones. It closes when
    /// the node ends.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.clone()
    }

    /// How many rows the node has made for its readers since it started.
    pub fn rows_made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }
}

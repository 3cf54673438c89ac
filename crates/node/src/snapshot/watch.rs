//! Answers [`Command::Snapshot`](crate::api::Command::Snapshot) and
//! [`Command::Watch`](crate::api::Command::Watch).

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::viewer::Viewer;
use crate::api::snapshot::{Ask, Change, Fresh, Gone, Page, Part, SnapshotRow};
use crate::api::{Done, Event, Failure};

/// The shortest time between two answers about changes.
const TOLD_EVERY: Duration = Duration::from_millis(100);
/// How often a reader is sent the progress of transfers.
const TRANSFERS_EVERY: Duration = Duration::from_millis(500);
/// One in this many of these looks also compares mere counters, such as bytes sent.
const COUNTS_EACH: u32 = 2;

/// The maximum number of rows in a page, and of names in a row, over the socket.
const MOST: usize = 10_000;

/// What was last sent of rows that change without a number.
#[derive(Default)]
struct Told {
    looks: u32,
    /// The rows of transfers and of uploads.
    transfers: Vec<SnapshotRow>,
    /// The rows of the node and of its share.
    counts: Vec<SnapshotRow>,
}

/// Returns one page, or the failure `stopping` if the node has ended.
pub(crate) async fn page(viewer: &Viewer, ask: Ask, stopping: Failure) -> Result<Page, Failure> {
    if !ask.is_possible() {
        return Err(Failure::NotAPage);
    }
    let ask = Ask {
        // A page without rows would claim forever that there are more.
        limit: ask.limit.clamp(1, MOST),
        names: ask.names.min(MOST),
        ..ask
    };
    let pages = viewer.pages([ask]).await;
    let [page] = pages.ok_or(stopping)?;
    Ok(page)
}

/// Sends changes after a number until the reader hangs up or the node ends. Nothing is collected
/// for a slow reader: once it has taken the last answer, what has changed meanwhile is looked up,
/// each row once.
pub(crate) async fn watch(viewer: &Viewer, mut since: u64, events: &mpsc::Sender<Event>) -> Done {
    let mut news = viewer.news();
    let mut ticks = interval(TRANSFERS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = Told::default();
    let mut next = Instant::now();
    loop {
        // An answer is made only once there is room for it.
        let Ok(room) = events.reserve().await else {
            return Done::default();
        };
        let is_behind = *news.borrow_and_update() != since;
        tokio::select! {
            biased;
            () = sleep_until(next), if is_behind => {
                next = Instant::now() + TOLD_EVERY;
                let Some(fresh) = viewer.since(since).await else {
                    return Done::default();
                };
                let (Fresh::Changes { number, .. } | Fresh::StartAgain { number }) = &fresh;
                since = *number;
                room.send(fresh.into());
            }
            // This branch also gets its turn while changes never stop.
            _ = ticks.tick() => {
                let Some(changes) = told.look(viewer).await else {
                    return Done::default();
                };
                if !changes.is_empty() {
                    room.send(Event::Changes {
                        number: since,
                        changes,
                    });
                }
            }
            changed = news.changed(), if !is_behind => if changed.is_err() {
                return Done::default();
            },
            () = events.closed() => return Done::default(),
        }
    }
}

impl Told {
    /// Returns what differs from what was last sent, or `None` if the node has ended.
    async fn look(&mut self, viewer: &Viewer) -> Option<Vec<Change>> {
        self.looks = self.looks.wrapping_add(1);
        let all = |part| Ask::first(part, usize::MAX);
        if !self.looks.is_multiple_of(COUNTS_EACH) {
            let asks = [Part::Transfers, Part::Uploads].map(all);
            let [transfers, uploads] = viewer.pages(asks).await?;
            let rows = [transfers.rows, uploads.rows].concat();
            return Some(changed_rows(&mut self.transfers, rows));
        }
        let asks = [Part::Transfers, Part::Uploads, Part::Node, Part::Share].map(all);
        let [transfers, uploads, node, share] = viewer.pages(asks).await?;
        let rows = [transfers.rows, uploads.rows].concat();
        let mut changes = changed_rows(&mut self.transfers, rows);
        let counts = node.rows.into_iter().chain(share.rows).collect();
        changes.extend(changed_rows(&mut self.counts, counts));
        Some(changes)
    }
}

/// Returns the rows that differ from what was last sent, and the transfers that have ended.
fn changed_rows(told: &mut Vec<SnapshotRow>, now: Vec<SnapshotRow>) -> Vec<Change> {
    let different = now.iter().filter(|row| !told.contains(row)).cloned();
    let mut changes: Vec<_> = different.map(|row| Change::Now(Box::new(row))).collect();
    let over = told.iter().filter_map(end_of);
    let over = over.filter(|end| !now.iter().any(|row| end_of(row).as_ref() == Some(end)));
    changes.extend(over.map(Change::Gone));
    *told = now;
    changes
}

/// Returns what is told of a transfer or an upload once it is over.
fn end_of(row: &SnapshotRow) -> Option<Gone> {
    match row {
        SnapshotRow::Transfer(transfer) => Some(Gone::Transfer {
            root: transfer.root.clone(),
        }),
        SnapshotRow::Upload(upload) => Some(Gone::Upload {
            upload: upload.upload,
        }),
        _ => None,
    }
}

impl From<Fresh> for Event {
    fn from(fresh: Fresh) -> Self {
        match fresh {
            Fresh::Changes { number, changes } => Self::Changes { number, changes },
            Fresh::StartAgain { number } => Self::StartAgain { number },
        }
    }
}

//! The answers to [`Command::Snapshot`](crate::api::Command::Snapshot) and
//! [`Command::Watch`](crate::api::Command::Watch).

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::viewer::Viewer;
use crate::api::snapshot::{Ask, Change, Fresh, Gone, Page, Part, SnapshotRow};
use crate::api::{Done, Event, Failure};

/// How often a reader is told of changes at most.
const TOLD_EVERY: Duration = Duration::from_millis(100);
/// How often a reader is told how far transfers are.
const TRANSFERS_EVERY: Duration = Duration::from_millis(500);
/// One in so many looks at the transfers is one at what only counts too, such as
/// bytes that were sent.
const COUNTS_EACH: u32 = 2;

/// Rows, and names in a row, that one page over the socket has at most.
const MOST: usize = 10_000;

/// What was told of rows that change without a number.
#[derive(Default)]
struct Told {
    looks: u32,
    transfers: Vec<SnapshotRow>,
    /// The node and its share.
    counts: Vec<SnapshotRow>,
}

/// One page. Where the node has ended, that is `stopping`.
pub(crate) async fn page(viewer: &Viewer, ask: Ask, stopping: Failure) -> Result<Page, Failure> {
    if !ask.is_possible() {
        return Err(Failure::NotAPage);
    }
    let ask = Ask {
        // A page without rows would say that there are more for ever.
        limit: ask.limit.clamp(1, MOST),
        names: ask.names.min(MOST),
        ..ask
    };
    let pages = viewer.pages([ask]).await;
    let [page] = pages.ok_or(stopping)?;
    Ok(page)
}

/// Tells what changes after a number until the reader hangs up or the node
/// ends. While the reader is slow nothing is gathered for it: what has changed
/// meanwhile is looked up when it has taken the answer before, each row once.
pub(crate) async fn watch(viewer: &Viewer, mut since: u64, events: &mpsc::Sender<Event>) -> Done {
    let mut news = viewer.news();
    let mut ticks = interval(TRANSFERS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = Told::default();
    let mut next = Instant::now();
    loop {
        // Room first: an answer is made when there is a reader for it.
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
            // Next to changes that never end, too.
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
    /// What is not as it was told before; nothing, if the node has ended.
    async fn look(&mut self, viewer: &Viewer) -> Option<Vec<Change>> {
        self.looks = self.looks.wrapping_add(1);
        let all = |part| Ask::first(part, usize::MAX);
        if !self.looks.is_multiple_of(COUNTS_EACH) {
            let [transfers] = viewer.pages([all(Part::Transfers)]).await?;
            return Some(moved(&mut self.transfers, transfers.rows));
        }
        let asks = [Part::Transfers, Part::Node, Part::Share].map(all);
        let [transfers, node, share] = viewer.pages(asks).await?;
        let mut changes = moved(&mut self.transfers, transfers.rows);
        let counts = node.rows.into_iter().chain(share.rows).collect();
        changes.extend(moved(&mut self.counts, counts));
        Some(changes)
    }
}

/// The rows that are not as they were told before, and the transfers that are over.
fn moved(told: &mut Vec<SnapshotRow>, now: Vec<SnapshotRow>) -> Vec<Change> {
    let moved = now.iter().filter(|row| !told.contains(row)).cloned();
    let mut changes: Vec<_> = moved.map(|row| Change::Now(Box::new(row))).collect();
    let is_there = |root: &String| now.iter().any(|row| root_of(row) == Some(root));
    let over = told
        .iter()
        .filter_map(root_of)
        .filter(|root| !is_there(root));
    let gone = |root: &String| Change::Gone(Gone::Transfer { root: root.clone() });
    changes.extend(over.map(gone));
    *told = now;
    changes
}

fn root_of(row: &SnapshotRow) -> Option<&String> {
    match row {
        SnapshotRow::Transfer(transfer) => Some(&transfer.root),
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

//! The answers to [`Command::Snapshot`](crate::api::Command::Snapshot) and
//! [`Command::Watch`](crate::api::Command::Watch).

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::viewer::Viewer;
use crate::api::snapshot::{Ask, Change, Fresh, Page, Part, SnapshotRow};
use crate::api::{Done, Event};

/// How often a reader is told of changes at most.
const TOLD_EVERY: Duration = Duration::from_millis(100);
/// How often a reader is told how far transfers are.
const TRANSFERS_EVERY: Duration = Duration::from_millis(500);

/// Rows, and names in a row, that one page over the socket has at most.
const MOST: usize = 10_000;

/// One page; nothing, if the node has ended.
pub(crate) async fn page(viewer: &Viewer, ask: Ask) -> Option<Page> {
    let ask = Ask {
        limit: ask.limit.min(MOST),
        names: ask.names.min(MOST),
        ..ask
    };
    let [page] = viewer.pages([ask]).await?;
    Some(page)
}

/// Tells what changes after a number until the reader hangs up or the node
/// ends. While the reader is slow nothing is gathered for it: what has changed
/// meanwhile is looked up when it has taken the answer before, each row once.
pub(crate) async fn watch(viewer: &Viewer, mut since: u64, events: &mpsc::Sender<Event>) -> Done {
    let mut news = viewer.news();
    let mut ticks = interval(TRANSFERS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut transfers = Vec::new();
    let mut next = Instant::now();
    loop {
        // Room first: an answer is made when there is a reader for it.
        let Ok(room) = events.reserve().await else {
            return Done::default();
        };
        let latest = *news.borrow_and_update();
        if latest != since {
            sleep_until(next).await;
            next = Instant::now() + TOLD_EVERY;
            let Some(fresh) = viewer.since(since).await else {
                return Done::default();
            };
            let (Fresh::Changes { number, .. } | Fresh::StartAgain { number }) = &fresh;
            since = *number;
            room.send(fresh.into());
            continue;
        }
        tokio::select! {
            changed = news.changed() => if changed.is_err() {
                return Done::default();
            },
            _ = ticks.tick() => {
                let Some(page) = page(viewer, Ask::first(Part::Transfers, usize::MAX)).await else {
                    return Done::default();
                };
                let moved = moved(&mut transfers, page.rows);
                if !moved.is_empty() {
                    room.send(Event::Changes {
                        number: since,
                        changes: moved,
                    });
                }
            }
            () = events.closed() => return Done::default(),
        }
    }
}

/// The transfers that are not as they were told before.
fn moved(told: &mut Vec<SnapshotRow>, now: Vec<SnapshotRow>) -> Vec<Change> {
    let moved = now.iter().filter(|row| !told.contains(row)).cloned();
    let moved = moved.map(|row| Change::Now(Box::new(row))).collect();
    *told = now;
    moved
}

impl From<Fresh> for Event {
    fn from(fresh: Fresh) -> Self {
        match fresh {
            Fresh::Changes { number, changes } => Self::Changes { number, changes },
            Fresh::StartAgain { number } => Self::StartAgain { number },
        }
    }
}

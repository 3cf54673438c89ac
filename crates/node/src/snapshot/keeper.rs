//! The node's end of its snapshot: numbers changes, keeps warnings, and counts the rows made for
//! readers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use thorp_core::budget::{Allowance, Work};
use thorp_core::changes::{Changes, Row};
use thorp_core::time::Instant;
use tokio::sync::{mpsc, watch};

use super::known::{Knowledge, PageRows};
use super::viewer::{ViewRequest, Viewer};
use crate::api::snapshot::{Ask, Change, Fresh, Gone, Page, Part, SnapshotRow, WarningRow};
use crate::api::{Notice, Warning};

/// The maximum number of requests that wait for the node.
const LOOKS: usize = 64;
/// The maximum number of warnings that are kept.
const WARNINGS: usize = 100;
/// The maximum size of a reader's missed changes, in bytes. A reader that missed more has to
/// start again.
const BEHIND: usize = 1024 * 1024;

/// What a part of a search may cost: 5 ms.
const SLICE: Work = Work(5_000);

/// What a node keeps for its readers: only numbers, as long as there are no readers.
pub struct Keeper {
    changes: Changes,
    news: watch::Sender<u64>,
    warnings: VecDeque<(u64, Warning)>,
    looks: mpsc::Receiver<ViewRequest>,
    made: Arc<AtomicU64>,
    begun: std::time::Instant,
    /// What searches may still cost.
    searches: Mutex<Allowance>,
}

impl Keeper {
    /// Makes the node's end, and the viewer for its readers.
    pub fn new() -> (Self, Viewer) {
        // The time of day makes all numbers higher than those of an earlier start.
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let millis = since.map_or(0, |since| since.as_millis());
        let start = u64::try_from(millis).unwrap_or(0);
        let (news, news_in) = watch::channel(start);
        let (looks_in, looks) = mpsc::channel(LOOKS);
        let made = Arc::new(AtomicU64::new(0));
        let keeper = Self {
            changes: Changes::starting_at(start),
            news,
            warnings: VecDeque::new(),
            looks,
            made: Arc::clone(&made),
            begun: std::time::Instant::now(),
            searches: Mutex::new(Allowance::new(Instant::default())),
        };
        (keeper, Viewer::new(looks_in, news_in, made))
    }

    /// A row has changed. The row itself is not made yet.
    pub fn mark(&mut self, row: Row) {
        self.news.send_replace(self.changes.mark(row));
    }

    /// A notice was sent to the user; warnings are kept for readers.
    pub fn notice(&mut self, notice: &Notice) {
        let Notice::Warning(warning) = notice else {
            return;
        };
        let number = self.changes.number() + 1;
        if self.warnings.len() == WARNINGS {
            self.warnings.pop_front();
        }
        self.warnings.push_back((number, warning.clone()));
        self.mark(Row::Warning(number));
    }

    /// Waits for the next request of a reader.
    pub async fn look(&mut self) -> Option<ViewRequest> {
        self.looks.recv().await
    }

    /// Answers a reader. `own` makes pages of the node's own parts.
    pub fn answer(
        &self,
        look: ViewRequest,
        known: &Knowledge<'_>,
        mut own: impl FnMut(&Ask) -> PageRows,
    ) {
        // The reader may have gone.
        match look {
            ViewRequest::Pages(asks, reply) => {
                let pages = asks.iter().map(|ask| self.page(ask, known, &mut own));
                let _ = reply.send(pages.collect());
            }
            ViewRequest::Since(number, reply) => {
                let _ = reply.send(self.since(number, known, &mut own));
            }
        }
    }

    /// Makes one page.
    pub fn page(
        &self,
        ask: &Ask,
        known: &Knowledge<'_>,
        own: &mut dyn FnMut(&Ask) -> PageRows,
    ) -> Page {
        if let Part::Found { .. } = &ask.part {
            return self.search(ask, known);
        }
        let (rows, total, more) = match (known.page(ask), &ask.part) {
            (Some(found), _) => found,
            (None, Part::Warnings) => whole(self.warnings.iter().map(warning)),
            (None, _) => own(ask),
        };
        self.count(rows.len());
        Page {
            number: self.changes.number(),
            total,
            rows,
            more,
            reached: None,
            busy: false,
        }
    }

    /// Makes a part of a search, which takes a few milliseconds at most. All searches together
    /// may cost what a member's questions may; beyond that a page is empty, and the reader asks
    /// for it again.
    fn search(&self, ask: &Ask, known: &Knowledge<'_>) -> Page {
        let now = Instant::after_start(self.begun.elapsed());
        let mut allowance = self.searches.lock().unwrap_or_else(PoisonError::into_inner);
        let busy = allowance.is_spent(now);
        let (rows, reached) = if busy {
            (Vec::new(), None)
        } else {
            let (rows, reached, steps) = known.search(ask, SLICE.0 * Work::STEPS);
            allowance.charge(Work(steps / Work::STEPS));
            (rows, reached)
        };
        drop(allowance);
        self.count(rows.len());
        Page {
            number: self.changes.number(),
            total: 0,
            more: busy || reached.is_some(),
            rows,
            reached,
            busy,
        }
    }

    /// Returns the rows that have changed since a number.
    pub fn since(
        &self,
        number: u64,
        known: &Knowledge<'_>,
        own: &mut dyn FnMut(&Ask) -> PageRows,
    ) -> Fresh {
        let now = self.changes.number();
        let start_again = Fresh::StartAgain { number: now };
        let Some(rows) = self.changes.since(number) else {
            return start_again;
        };
        let (mut changes, mut cost) = (Vec::new(), 0);
        let mut only = |part| own(&Ask::first(part, 1)).0.pop();
        for row in rows {
            let row = match row {
                Row::Member(id) => {
                    let row = known.peer(id, 0);
                    if row.is_none() {
                        let id = id.to_string();
                        cost += 2 * id.len();
                        changes.push(Change::Gone(Gone::Peer { id }));
                    }
                    row
                }
                Row::Node => only(Part::Node),
                Row::Share => only(Part::Share),
                Row::Warning(number) => {
                    let kept = self.warnings.iter().find(|(kept, _)| *kept == number);
                    kept.map(warning)
                }
            };
            if let Some(row) = row {
                self.count(1);
                cost += row.cost();
                changes.push(Change::Now(Box::new(row)));
            }
            if cost > BEHIND {
                return start_again;
            }
        }
        Fresh::Changes {
            number: now,
            changes,
        }
    }

    /// Returns the number of requests that wait for the node.
    pub fn waiting(&self) -> usize {
        self.looks.len()
    }

    fn count(&self, rows: usize) {
        self.made.fetch_add(rows as u64, Ordering::Relaxed);
    }
}

fn warning((number, warning): &(u64, Warning)) -> SnapshotRow {
    SnapshotRow::Warning(WarningRow::of(*number, warning))
}

/// Returns the lengths of queues by their names.
pub fn waiting<const N: usize>(queues: [(&str, usize); N]) -> BTreeMap<String, u64> {
    let queues = queues.into_iter();
    queues
        .map(|(name, length)| (name.to_owned(), length as u64))
        .collect()
}

/// Returns all rows of a part that has few.
pub fn whole(rows: impl IntoIterator<Item = SnapshotRow>) -> PageRows {
    let rows: Vec<_> = rows.into_iter().collect();
    let total = rows.len() as u64;
    (rows, total, false)
}

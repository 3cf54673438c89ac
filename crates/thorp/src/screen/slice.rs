//! The rows of a table that the screen keeps: those around the visible ones.
//!
//! A slice follows a row, not a number: whatever is added or removed above it, the row at the top
//! stays at the top. Its number is exact at both ends of the table, and counted from there in
//! between. If all rows are kept, files are in natural order (`2.txt` before `10.txt`); otherwise
//! they are in the order of their names' bytes.

use std::cmp::Ordering;

use thorp_node::snapshot::{Ask, At, Page, Part, RowKey, SnapshotRow};

use crate::sorting::names;

/// A column becomes narrower only if it can lose at least this many columns of the terminal at
/// once.
const NARROWER: usize = 8;

/// Some rows of a table.
#[derive(Debug)]
pub(super) struct Slice<R> {
    pub rows: Vec<R>,
    /// The key of each of them.
    keys: Vec<RowKey>,
    /// The number of rows in the whole table.
    pub total: u64,
    /// Whether these are all rows of the table.
    pub is_whole: bool,
    pub scroll: Scroll,
    /// The width of the column whose cells must not be cut: see [`Slice::see_widest`].
    pub widest: usize,
}

/// Which rows of the slice are visible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Scroll {
    /// The number of the first row of the slice among all rows.
    pub start: u64,
    /// The first visible row, as an index into the slice.
    pub first: usize,
    /// How many rows were visible when last drawn.
    pub shown: usize,
    goal: Goal,
}

/// Where to scroll to next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Goal {
    /// To the first row, whichever it is.
    #[default]
    Start,
    /// To the last row.
    End,
    /// Around the first visible row.
    Here,
}

impl<R> Default for Slice<R> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            keys: Vec::new(),
            total: 0,
            is_whole: true,
            scroll: Scroll::default(),
            widest: 0,
        }
    }
}

impl<R> Slice<R> {
    /// Returns the requests for `rows` rows before the first visible one, and twice as many from
    /// it on.
    pub fn asks(&self, part: &Part, rows: usize, names: usize) -> [Ask; 2] {
        let ask = |at, limit| Ask {
            part: part.clone(),
            at,
            limit,
            names,
        };
        let top = self.keys.get(self.scroll.first).or(self.keys.last());
        let all_fit = self.is_whole && self.keys.len() <= 2 * rows;
        match (self.scroll.goal, top) {
            (Goal::Here | Goal::End, Some(_)) if all_fit => {
                [ask(At::Start, 0), ask(At::Start, 2 * rows)]
            }
            (Goal::Here, Some(key)) => [
                ask(At::Before(key.clone()), rows),
                ask(At::From(key.clone()), 2 * rows),
            ],
            (Goal::End, _) => [ask(At::End, 2 * rows), ask(At::Start, 0)],
            (Goal::Start | Goal::Here, _) => [ask(At::Start, 0), ask(At::Start, 2 * rows)],
        }
    }

    /// Takes the answers to the requests.
    pub fn take(&mut self, before: Page, from: Page, line: impl Fn(&SnapshotRow) -> Option<R>) {
        let goal = self.scroll.goal;
        if from.rows.len() as u64 == from.total && before.rows.is_empty() {
            self.take_all(from.rows, line);
            return;
        }
        let top = self.scroll.first.min(self.rows.len().saturating_sub(1));
        let top = self.scroll.start + top as u64;
        let is_at_start = match goal {
            Goal::Start => true,
            Goal::Here | Goal::End => !before.more,
        };
        let is_at_end = match goal {
            Goal::End => true,
            Goal::Here | Goal::Start => !from.more,
        };
        self.is_whole = is_at_start && is_at_end;
        let earlier = before.rows.len();
        self.total = from.total;
        let rows: Vec<SnapshotRow> = before.rows.into_iter().chain(from.rows).collect();
        let count = rows.len() as u64;
        self.keys = rows.iter().filter_map(SnapshotRow::key).collect();
        self.rows = rows.iter().filter_map(line).collect();
        self.scroll.start = if is_at_start {
            0
        } else if is_at_end {
            self.total.saturating_sub(count)
        } else {
            top.saturating_sub(earlier as u64)
        };
        self.scroll.first = match goal {
            Goal::Start => 0,
            Goal::Here => earlier,
            // The furthest possible position, which is found while drawing.
            Goal::End => self.rows.len(),
        };
    }

    /// Takes all rows of a table. They are so few that they can be sorted in natural order.
    fn take_all(&mut self, mut rows: Vec<SnapshotRow>, line: impl Fn(&SnapshotRow) -> Option<R>) {
        let before = std::mem::take(&mut self.keys);
        let top = before.get(self.scroll.first).or(before.last());
        rows.sort_by(|a, b| match (a, b) {
            (SnapshotRow::File(a), SnapshotRow::File(b)) => {
                names(&a.name, &b.name).then(a.nth.cmp(&b.nth))
            }
            // Peers are sorted by their addresses.
            _ => Ordering::Equal,
        });
        let keys: Vec<RowKey> = rows.iter().filter_map(SnapshotRow::key).collect();
        self.scroll.start = 0;
        self.scroll.first = match self.scroll.goal {
            Goal::Start => 0,
            // If the row at the top is gone, the next one takes its place.
            Goal::Here => top
                .and_then(|top| keys.iter().position(|key| key == top))
                .unwrap_or(self.scroll.first),
            Goal::End => rows.len(),
        };
        self.is_whole = true;
        self.total = rows.len() as u64;
        self.rows = rows.iter().filter_map(line).collect();
        self.keys = keys;
    }

    /// Notes the width of the widest cell. While only some rows are kept, the column shrinks only
    /// by large steps, so that it does not change with each row that is scrolled past.
    pub fn see_widest(&mut self, widest: usize) {
        let is_much_narrower = widest + NARROWER <= self.widest;
        if self.is_whole || is_much_narrower || widest > self.widest {
            self.widest = widest;
        }
    }

    /// Records how the slice was drawn: the first visible row, and how many rows are visible.
    pub fn settle(&mut self, first: usize, shown: usize) {
        self.scroll.first = first;
        self.scroll.shown = shown;
        self.scroll.goal = if self.scroll.start == 0 && first == 0 {
            Goal::Start
        } else {
            Goal::Here
        };
    }
}

impl Scroll {
    pub fn up(&mut self, rows: usize) {
        self.first = self.first.saturating_sub(rows);
        self.goal = Goal::Here;
    }

    pub fn down(&mut self, rows: usize) {
        self.first = self.first.saturating_add(rows);
        self.goal = Goal::Here;
    }

    pub fn go_to_start(&mut self) {
        self.first = 0;
        self.goal = Goal::Start;
    }

    pub fn go_to_end(&mut self) {
        self.goal = Goal::End;
    }
}

//! Which rows of what a node shows have changed since a given number, but not how.
//!
//! Owns the numbers. Each change of a [`Row`] gets the next one, and only the newest number of a
//! row is remembered, so that a thousand changes of a row are one. A reader that knows everything
//! up to a number is told which rows to read again; the shell makes their content for that reader.

use std::collections::BTreeMap;

use thorp_wire::PeerId;

/// The most rows that are remembered. A reader that is further behind has to start again.
const MOST_ROWS: usize = 1 << 16;

/// Something that is shown of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Row {
    /// A member: whether it is present, its addresses, its listing, its neighbours. At a tracker
    /// any peer, at a peer its neighbours.
    Member(PeerId),
    /// The node itself: its link to the tracker, and the count of its lookups. Bytes transferred
    /// on sessions are not marked here, since they change with each block; the shell compares the
    /// row once a second while a reader watches.
    Node,
    /// The share: what is offered and what was left out.
    Share,
    /// A warning, by its number.
    Warning(u64),
}

/// Which rows have changed, and when.
#[derive(Debug)]
pub struct Changes {
    /// The number of the latest change.
    number: u64,
    /// Changes up to this number may have been forgotten.
    forgotten: u64,
    newest: BTreeMap<Row, u64>,
    rows: BTreeMap<u64, Row>,
    most: usize,
}

impl Changes {
    /// Creates an empty record. `start` is the number of the current state. If it grows from one
    /// start of the program to the next, as a time does, a reader with a number of an earlier run
    /// is told to start again.
    pub fn starting_at(start: u64) -> Self {
        Self {
            number: start,
            forgotten: start,
            newest: BTreeMap::new(),
            rows: BTreeMap::new(),
            most: MOST_ROWS,
        }
    }

    /// Records that a row has changed, was added or was removed. Returns the number of the change.
    pub fn mark(&mut self, row: Row) -> u64 {
        self.number += 1;
        if let Some(before) = self.newest.insert(row, self.number) {
            self.rows.remove(&before);
        }
        self.rows.insert(self.number, row);
        if self.rows.len() > self.most
            && let Some((number, row)) = self.rows.pop_first()
        {
            self.newest.remove(&row);
            self.forgotten = number;
        }
        self.number
    }

    /// Returns the number of the latest change.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns the rows that have changed since a number, the latest change last. `None` if that
    /// is not known any more, so that the reader has to start again.
    pub fn since(&self, number: u64) -> Option<impl Iterator<Item = Row> + '_> {
        let is_known = (self.forgotten..=self.number).contains(&number);
        is_known.then(|| self.rows.range(number + 1..).map(|(_, row)| *row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(n: u8) -> Row {
        Row::Member(PeerId::new([n; 32]))
    }

    fn since(changes: &Changes, number: u64) -> Option<Vec<Row>> {
        changes.since(number).map(Iterator::collect)
    }

    #[test]
    fn many_changes_of_a_row_are_one() {
        let mut changes = Changes::starting_at(7);
        assert_eq!(since(&changes, 7), Some(vec![]));
        let first = changes.mark(member(1));
        for _ in 0..1000 {
            changes.mark(member(2));
        }
        changes.mark(Row::Node);
        assert_eq!(
            since(&changes, 7),
            Some(vec![member(1), member(2), Row::Node])
        );
        assert_eq!(since(&changes, first), Some(vec![member(2), Row::Node]));
        assert_eq!(since(&changes, changes.number()), Some(vec![]));
        assert_eq!(changes.rows.len(), 3);
    }

    #[test]
    fn a_reader_from_another_run_starts_again() {
        let mut changes = Changes::starting_at(1000);
        changes.mark(Row::Share);
        assert_eq!(since(&changes, 999), None);
        assert_eq!(since(&changes, 1002), None);
        assert_eq!(since(&changes, u64::MAX), None);
    }

    #[test]
    fn a_reader_that_is_too_far_behind_starts_again() {
        let mut changes = Changes {
            most: 3,
            ..Changes::starting_at(0)
        };
        for n in 0..4 {
            changes.mark(member(n));
        }
        assert_eq!(since(&changes, 0), None);
        assert_eq!(
            since(&changes, 1),
            Some(vec![member(1), member(2), member(3)])
        );
        assert_eq!((changes.rows.len(), changes.newest.len()), (3, 3));
    }
}

//! The order in which files are shown to a user.
//!
//! A node reports files in the order of their names' bytes, and streams keep that order. For a
//! user, numbers in names are compared as numbers. Sorting requires keeping all rows, so their
//! memory is bounded. Owns no layout.

use std::cmp::{Ordering, Reverse};

use clap::ValueEnum;
use thorp_node::api::FileRow;

/// The most memory that rows to be sorted may take, in bytes.
const MOST_KEPT: usize = 64 << 20;

/// By what files are put in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// Names, with numbers as people count them.
    Name,
    /// The largest first.
    Size,
    /// The newest first.
    Time,
}

/// An order, and whether the user has asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sorting {
    pub order: Order,
    pub is_asked_for: bool,
}

/// Rows that are kept until all have arrived.
#[derive(Debug)]
pub struct RowsToSort {
    order: Order,
    rows: Vec<FileRow>,
    size: usize,
}

impl RowsToSort {
    pub fn new(order: Order) -> Self {
        Self {
            order,
            rows: Vec::new(),
            size: 0,
        }
    }

    pub fn push(&mut self, row: FileRow) {
        self.size += size_of(&row);
        self.rows.push(row);
    }

    /// Whether the rows exceed the bound.
    pub fn is_too_much(&self) -> bool {
        self.size > MOST_KEPT
    }

    pub fn sorted(mut self) -> Vec<FileRow> {
        let order = self.order;
        self.rows.sort_by(|a, b| match order {
            Order::Name => names(&a.name, &b.name),
            Order::Size => {
                (Reverse(a.length).cmp(&Reverse(b.length))).then_with(|| names(&a.name, &b.name))
            }
            Order::Time => {
                (Reverse(a.mtime).cmp(&Reverse(b.mtime))).then_with(|| names(&a.name, &b.name))
            }
        });
        self.rows
    }

    pub fn unsorted(self) -> Vec<FileRow> {
        self.rows
    }
}

/// Compares names so that `h2` comes before `h10`; equal ones by their bytes.
pub fn names(a: &str, b: &str) -> Ordering {
    alphanumeric_sort::compare_str(a, b).then_with(|| a.cmp(b))
}

/// Estimates the memory that a row takes, in bytes.
fn size_of(row: &FileRow) -> usize {
    const ROW: usize = 200;
    const HOLDER: usize = 250;
    ROW + row.name.len() + row.holders.len() * HOLDER
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn sorted(order: Order, rows: Vec<FileRow>) -> Vec<String> {
        let mut kept = RowsToSort::new(order);
        for row in rows {
            kept.push(row);
        }
        kept.sorted().into_iter().map(|row| row.name).collect()
    }

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let names = ["h10.txt", "h2.txt", "a/9/x", "a/10/x", "h02.txt", "h1"];
        let rows = names.map(samples::file).to_vec();
        let expected = ["a/9/x", "a/10/x", "h1", "h2.txt", "h02.txt", "h10.txt"];
        assert_eq!(sorted(Order::Name, rows), expected);
        let huge = ["9".repeat(40), format!("1{}", "0".repeat(40))];
        assert_eq!(names_of(&huge), huge);
    }

    fn names_of(names: &[String]) -> Vec<String> {
        let rows = names.iter().rev().map(|name| samples::file(name));
        sorted(Order::Name, rows.collect())
    }

    #[test]
    fn the_largest_and_the_newest_come_first() {
        let row = |name: &str, length, mtime| FileRow {
            length,
            mtime,
            ..samples::file(name)
        };
        let rows = vec![
            row("a", 1, 3),
            row("b", 3, 1),
            row("c", 2, 2),
            row("d", 3, 3),
        ];
        assert_eq!(sorted(Order::Size, rows.clone()), ["b", "d", "c", "a"]);
        assert_eq!(sorted(Order::Time, rows), ["a", "d", "c", "b"]);
    }
}

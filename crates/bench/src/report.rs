//! The results: medians, and how each compares with thorp's.

use std::fmt;
use std::time::Duration;

use comfy_table::{CellAlignment, Table};

/// All measurements, in the order in which each kind first came.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
}

struct Row {
    case: String,
    what: &'static str,
    bytes: u64,
    took: Vec<Duration>,
}

impl Report {
    /// Adds a measurement. The other measurements of its case are compared with the first one.
    pub fn took(&mut self, case: &str, what: &'static str, bytes: u64, took: Duration) {
        eprintln!("  {case}, {what}: {:.3} s", took.as_secs_f64());
        let known = self
            .rows
            .iter_mut()
            .find(|row| row.case == case && row.what == what);
        match known {
            Some(row) => row.took.push(took),
            None => self.rows.push(Row {
                case: case.to_owned(),
                what,
                bytes,
                took: vec![took],
            }),
        }
    }
}

impl Row {
    fn median(&self) -> Duration {
        let mut took = self.took.clone();
        took.sort();
        took[took.len() / 2]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header(["what", "by", "median", "MB/s", "beside ours"]);
        for column in 2..5 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for row in &self.rows {
            let ours = self.rows.iter().find(|other| other.case == row.case);
            let ours = ours.map_or(row.median(), Row::median);
            table.add_row([
                row.case.clone(),
                row.what.to_owned(),
                format!("{:.3} s", row.median().as_secs_f64()),
                format!("{:.0}", crate::rate(row.bytes, row.median()) / 1e6),
                format!("{:.2}x", ours.as_secs_f64() / row.median().as_secs_f64()),
            ]);
        }
        write!(f, "{table}")
    }
}

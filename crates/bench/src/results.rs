//! The results: medians and spreads, how each compares with thorp's, and what took memory.

use std::fmt;
use std::time::Duration;

use comfy_table::{CellAlignment, Table};

use crate::machine::Cost;

/// All measurements, in the order in which each kind first came.
#[derive(Default)]
pub struct Results {
    rows: Vec<Row>,
    notes: Vec<String>,
}

struct Row {
    case: String,
    way: &'static str,
    bytes: u64,
    costs: Vec<Cost>,
}

impl Results {
    /// Adds a measurement. The other ways of its case are compared with the first one.
    pub fn add(&mut self, case: &str, way: &'static str, bytes: u64, cost: Cost) {
        eprintln!(
            "  {case}, {way}: {}, {:.2} core-seconds{}",
            for_people(cost.time),
            cost.processors.as_secs_f64(),
            if cost.is_disturbed {
                ", on a busy machine"
            } else {
                ""
            },
        );
        let known = |row: &&mut Row| row.case == case && row.way == way;
        match self.rows.iter_mut().find(known) {
            Some(row) => row.costs.push(cost),
            None => self.rows.push(Row {
                case: case.to_owned(),
                way,
                bytes,
                costs: vec![cost],
            }),
        }
    }
}

impl Results {
    /// Adds what is said below the table.
    pub fn note(&mut self, note: String) {
        eprintln!("  {note}");
        self.notes.push(note);
    }
}

impl Row {
    fn median(&self) -> Duration {
        middle(self.costs.iter().map(|cost| cost.time))
    }

    fn processors(&self) -> Duration {
        middle(self.costs.iter().map(|cost| cost.processors))
    }

    fn spread(&self) -> String {
        let times = || self.costs.iter().map(|cost| cost.time);
        let (least, most) = (times().min(), times().max());
        let text = |time: Option<Duration>| for_people(time.unwrap_or_default());
        format!("{} - {}", text(least), text(most))
    }

    fn is_disturbed(&self) -> bool {
        self.costs.iter().any(|cost| cost.is_disturbed)
    }
}

fn middle(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<_> = times.collect();
    times.sort();
    times[times.len() / 2]
}

/// Returns a time in the unit that suits it.
fn for_people(time: Duration) -> String {
    if time < Duration::from_millis(100) {
        format!("{:.2} ms", time.as_secs_f64() * 1e3)
    } else {
        format!("{:.3} s", time.as_secs_f64())
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::ASCII_MARKDOWN);
        table.set_header([
            "what",
            "by",
            "median",
            "from - to",
            "MB/s",
            "core-seconds",
            "time beside thorp's",
        ]);
        for column in 2..7 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for row in &self.rows {
            let ours = self.rows.iter().find(|other| other.case == row.case);
            let ours = ours.map_or(row.median(), Row::median);
            let mark = if row.is_disturbed() { " *" } else { "" };
            table.add_row([
                row.case.clone(),
                row.way.to_owned(),
                for_people(row.median()) + mark,
                row.spread(),
                format!("{:.0}", crate::rate(row.bytes, row.median()) / 1e6),
                format!("{:.3}", row.processors().as_secs_f64()),
                format!("{:.2}", row.median().as_secs_f64() / ours.as_secs_f64()),
            ]);
        }
        write!(f, "{table}")?;
        if self.rows.iter().any(Row::is_disturbed) {
            write!(f, "\n\n\\* other programs kept the machine busy")?;
        }
        for note in &self.notes {
            write!(f, "\n\n{note}")?;
        }
        Ok(())
    }
}

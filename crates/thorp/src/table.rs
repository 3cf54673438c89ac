//! The two tables of the tracker as plain lines.
//!
//! ```text
//! List of Peers
//! | Peer            | File List    | Neighbours      |
//! |-----------------|--------------|-----------------|
//! | 192.168.198.138 | 1.txt client | 192.168.198.139 |
//! ```
//!
//! Owns what is cut: a cell shows at most [`CELL_NAMES`] names, and then how many more there are.
//! Names in a cell are separated by spaces; a name that contains a space is quoted (see
//! `quoting`). The columns are defined in `tables`; the live screen (`screen`) shows the same
//! ones.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{ContentArrangement, Table};
use std::fmt::Write as _;

use crate::fit::{columns, middle};
use crate::quoting::quoted;
use crate::tables::{self, Cell, Column, Tables};
use crate::units;

/// The title of the first table.
pub const PEERS: &str = "List of Peers";
/// The title of the second table.
pub const FILES: &str = "List of Files";

/// The most names in a cell of the plain lines.
pub const CELL_NAMES: usize = 20;
/// The greatest width of a name, in columns. Longer names of a member are shortened in the middle,
/// because a cell widens all cells above and below it.
const WIDEST_NAME: usize = 80;
const WIDEST_CELL: usize = 400;

/// Returns both tables with their titles.
pub fn both(tables: &Tables) -> String {
    format!("{}\n\n{}\n", peers(tables), files(tables))
}

/// Returns the List of Peers.
pub fn peers(tables: &Tables) -> String {
    table(PEERS, &tables::PEERS, &tables.peers)
}

/// Returns the List of Files.
pub fn files(tables: &Tables) -> String {
    let mut text = table(FILES, &tables::FILES, &tables.files);
    let hidden = tables.files_total.saturating_sub(tables.files.len() as u64);
    if hidden > 0 {
        let _ = write!(text, "\n… and {hidden} more; `thorp ls` lists them all");
    }
    text
}

/// Returns a cell with these names, of which `total` exist.
fn cell(names: &[String], total: u64) -> String {
    let mut cell = String::new();
    let mut shown = 0;
    for name in names.iter().take(CELL_NAMES) {
        let name = middle(&quoted(name), WIDEST_NAME);
        if shown > 0 {
            if columns(&cell) + 1 + columns(&name) > WIDEST_CELL {
                break;
            }
            cell.push(' ');
        }
        cell.push_str(&name);
        shown += 1;
    }
    let hidden = total.saturating_sub(shown);
    if hidden > 0 {
        cell.push_str(&more(hidden));
    }
    cell
}

/// Returns the end of a cell that was cut.
pub fn more(hidden: u64) -> String {
    format!(" … and {hidden} more")
}

/// Returns a text such as `3 peers, 8 files`.
pub fn counts(peers: u64, files: u64) -> String {
    let (peers, files) = (units::count(peers, "peer"), units::count(files, "file"));
    format!("{peers}, {files}")
}

fn table<R>(title: &str, columns: &[Column<R>], rows: &[R]) -> String {
    let mut table = Table::new();
    table
        .load_style(ASCII_MARKDOWN)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(columns.iter().map(|column| column.head));
    for row in rows {
        table.add_row(columns.iter().map(|column| match (column.cell)(row) {
            Cell::Text(text) => middle(&text, WIDEST_NAME),
            Cell::Names(names, total) => cell(names, total),
        }));
    }
    format!("{title}\n{table}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story;

    #[test]
    fn the_first_tables_of_the_story() {
        let expected = "\
List of Peers
| Peer            | File List                | Neighbours      |
|-----------------|--------------------------|-----------------|
| 192.168.198.138 | 1.txt 2.txt 3.txt client | 192.168.198.139 |
| 192.168.198.139 | 3.txt 4.txt client       | 192.168.198.138 |

List of Files
| File Name | Held by                         |
|-----------|---------------------------------|
| 1.txt     | 192.168.198.138                 |
| 2.txt     | 192.168.198.138                 |
| 3.txt     | 192.168.198.138 192.168.198.139 |
| 4.txt     | 192.168.198.139                 |
| client    | 192.168.198.138 192.168.198.139 |
";
        assert_eq!(both(&story::first().tables()), expected);
    }

    #[test]
    fn the_tables_with_three_peers() {
        let expected = "\
List of Peers
| Peer            | File List                      | Neighbours                      |
|-----------------|--------------------------------|---------------------------------|
| 192.168.198.137 | 2.txt 5.txt 6.txt client       | 192.168.198.138 192.168.198.139 |
| 192.168.198.138 | 1.txt 2.txt 3.txt 5.txt client | 192.168.198.137 192.168.198.139 |
| 192.168.198.139 | 3.txt 4.txt 6.txt client       | 192.168.198.137 192.168.198.138 |

List of Files
| File Name | Held by                                         |
|-----------|-------------------------------------------------|
| 1.txt     | 192.168.198.138                                 |
| 2.txt     | 192.168.198.137 192.168.198.138                 |
| 3.txt     | 192.168.198.138 192.168.198.139                 |
| 4.txt     | 192.168.198.139                                 |
| 5.txt     | 192.168.198.137 192.168.198.138                 |
| 6.txt     | 192.168.198.137 192.168.198.139                 |
| client    | 192.168.198.137 192.168.198.138 192.168.198.139 |
";
        assert_eq!(both(&story::then().tables()), expected);
    }

    #[test]
    fn the_tables_with_one_peer_left() {
        let expected = "\
List of Peers
| Peer            | File List                | Neighbours |
|-----------------|--------------------------|------------|
| 192.168.198.137 | 2.txt 5.txt 6.txt client |            |

List of Files
| File Name | Held by         |
|-----------|-----------------|
| 2.txt     | 192.168.198.137 |
| 5.txt     | 192.168.198.137 |
| 6.txt     | 192.168.198.137 |
| client    | 192.168.198.137 |
";
        assert_eq!(both(&story::alone().tables()), expected);
    }

    #[test]
    fn awkward_names_stay_one_name() {
        let view = story::Shown::of(&[("10.0.0.1", &["a b", "x\x1b[2J", "a|b"], &[])]).tables();
        assert!(
            peers(&view).contains("| 10.0.0.1 | \"a b\" x\\x1b[2J \"a|b\" |"),
            "{}",
            peers(&view)
        );
    }

    #[test]
    fn long_cells_and_long_tables_say_what_they_leave_out() {
        let names: Vec<String> = (0..30).map(|n| format!("{n:02}")).collect();
        assert!(cell(&names, 5000).ends_with("18 19 … and 4980 more"));
        assert_eq!(cell(&names[..20], 20).split(' ').count(), 20);
        let mut view = story::first().tables();
        view.files_total = 2000;
        assert!(files(&view).ends_with("\n… and 1995 more; `thorp ls` lists them all"));
    }

    #[test]
    fn one_members_long_names_do_not_pad_all_rows() {
        let long: Vec<String> = (0..20).map(|n| "n".repeat(4000) + &n.to_string()).collect();
        let files: Vec<&str> = long.iter().map(String::as_str).collect();
        let rows = [
            ("10.0.0.1", &files[..], &[][..]),
            ("10.0.0.2", &["1.txt"], &[]),
        ];
        let text = both(&story::Shown::of(&rows).tables());
        assert!(
            text.contains(&format!("{}…", "n".repeat(10))),
            "shortened in the middle"
        );
        assert!(text.contains("nn19 "), "its end is shown");
        assert!(
            text.lines().all(|line| columns(line) < 500),
            "and no row is long"
        );
    }

    #[test]
    fn two_contents_of_one_name_are_told_apart() {
        let mut view = story::first().tables();
        view.files[4].root_prefix = Some("3f2a9c01".into());
        assert!(files(&view).contains("| client (3f2a9c01) |"));
    }
}

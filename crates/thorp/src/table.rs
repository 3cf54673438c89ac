//! The two tables of the village, in plain lines.
//!
//! ```text
//! List of Peers
//! | Peer            | File List    | Neighbours      |
//! |-----------------|--------------|-----------------|
//! | 192.168.198.138 | 1.txt client | 192.168.198.139 |
//! ```
//!
//! Owns rows, order of columns, and what is cut: a cell shows at most
//! [`CELL_NAMES`] names and then says how many more there are. Several names in
//! a cell are separated by a space; one that holds a space is quoted
//! (`printable::quoted`). The live screen (`screen`) shows the same tables.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{ContentArrangement, Table};
use std::fmt::Write as _;
use thorp_node::api::{TrackedFile, TrackerView};

use crate::quoting::quoted;
use crate::units;
use thorp_node::printable::printable;

/// The title of the first table.
pub const PEERS: &str = "List of Peers";
/// Its columns.
pub const PEERS_HEAD: [&str; 3] = ["Peer", "File List", "Neighbours"];
/// The title of the second table.
pub const FILES: &str = "List of Files";
/// Its columns.
pub const FILES_HEAD: [&str; 2] = ["File Name", "Held by"];

/// The most names in a cell of the lines form.
pub const CELL_NAMES: usize = 20;

/// Both tables, with their titles.
pub fn both(view: &TrackerView) -> String {
    format!("{}\n\n{}\n", peers(view), files(view))
}

/// The List of Peers.
pub fn peers(view: &TrackerView) -> String {
    let mut table = plain(&PEERS_HEAD);
    for peer in &view.peers {
        table.add_row([
            printable(&peer.address).to_string(),
            cell(&peer.files, peer.files_total),
            cell(&peer.neighbours, peer.neighbours.len() as u64),
        ]);
    }
    titled(PEERS, &table)
}

/// The List of Files.
pub fn files(view: &TrackerView) -> String {
    let mut table = plain(&FILES_HEAD);
    for file in &view.files {
        table.add_row([
            file_name(file),
            cell(&file.holders, file.holders.len() as u64),
        ]);
    }
    let mut text = titled(FILES, &table);
    let hidden = view.files_total.saturating_sub(view.files.len() as u64);
    if hidden > 0 {
        let _ = write!(text, "\n… and {hidden} more; `thorp ls` lists them all");
    }
    text
}

/// A file's cell: its name, and the start of its root where another content
/// goes by the same name.
pub fn file_name(file: &TrackedFile) -> String {
    let name = quoted(&file.name);
    match &file.root_prefix {
        Some(root) => format!("{name} ({})", printable(root)),
        None => name,
    }
}

/// Names in one cell; `total` of them exist.
fn cell(names: &[String], total: u64) -> String {
    let shown = &names[..names.len().min(CELL_NAMES)];
    let mut cell = shown
        .iter()
        .map(|name| quoted(name))
        .collect::<Vec<_>>()
        .join(" ");
    let hidden = total.saturating_sub(shown.len() as u64);
    if hidden > 0 {
        cell.push_str(&more(hidden));
    }
    cell
}

/// What ends a cell that was cut.
pub fn more(hidden: u64) -> String {
    format!(" … and {hidden} more")
}

/// `3 peers, 8 files`.
pub fn counts(view: &TrackerView) -> String {
    format!(
        "{}, {}",
        units::count(view.peers.len() as u64, "peer"),
        units::count(view.files_total, "file")
    )
}

fn plain(head: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(ASCII_MARKDOWN)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(head.to_vec());
    table
}

fn titled(title: &str, table: &Table) -> String {
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
        assert_eq!(both(&story::first()), expected);
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
        assert_eq!(both(&story::then()), expected);
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
        assert_eq!(both(&story::alone()), expected);
    }

    #[test]
    fn awkward_names_stay_one_name() {
        let view = story::view(&[("10.0.0.1", &["a b", "x\x1b[2J", "a|b"], &[])]);
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
        let mut view = story::first();
        view.files_total = 2000;
        assert!(files(&view).ends_with("\n… and 1995 more; `thorp ls` lists them all"));
    }

    #[test]
    fn two_contents_of_one_name_are_told_apart() {
        let mut view = story::first();
        view.files[4].root_prefix = Some("3f2a9c01".into());
        assert!(files(&view).contains("| client (3f2a9c01) |"));
    }
}

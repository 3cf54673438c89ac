//! Rows on standard output: files, peers, and how a peer is.
//!
//! Owns columns and wording. Rows are gathered in batches so that a listing of
//! a million files starts at once and needs little memory; the columns of later
//! batches are at least as wide as those of the first. Scripts want `--json`.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width};
use std::fmt::Write as _;
use thorp_node::api::{
    FileRow, GroupMember, HolderRow, Member, MemberRole, PeerRow, Status, TrackerStatus,
};

use crate::screen::fit::{clip, columns};
use crate::units;
use thorp_node::printable::printable;

/// Between two columns.
const GAP_WIDTH: u16 = 2;
const GAP: usize = GAP_WIDTH as usize;
/// A name is never shortened to less.
const NAME: usize = 24;
/// Rows that are laid out together.
const BATCH: usize = 1000;
/// The most holders or neighbours in a row.
const CELL_MEMBERS: usize = 8;
/// Digits of a root that are shown, and enough for `--root`.
pub const ROOT_DIGITS: usize = 12;

const FILE_HEAD: [&str; 5] = ["Name", "Size", "Modified (UTC)", "Root", "Held by"];
const MEMBER_HEAD: [&str; 5] = ["Member", "Since (UTC)", "Now", "Role", "Id"];
const PEER_HEAD: [&str; 6] = ["Peer", "Address", "Files", "Size", "Neighbours", "Id"];

/// Rows of one kind on their way to standard output.
#[derive(Debug, Default)]
pub struct RowTable {
    head: Vec<&'static str>,
    right: &'static [usize],
    rows: Vec<Vec<String>>,
    widths: Vec<u16>,
    /// Columns of the terminal that shows them, if one does.
    terminal: Option<usize>,
}

impl RowTable {
    /// For a terminal of so many columns: one long name does not push the other
    /// columns of every row out of it.
    pub fn within(terminal: Option<usize>) -> Self {
        Self {
            terminal,
            ..Self::default()
        }
    }

    /// Adds a file; the text of a full batch comes back.
    pub fn file(&mut self, row: &FileRow) -> Option<String> {
        self.start(&FILE_HEAD, &[1]);
        self.push(vec![
            printable(&row.name).to_string(),
            units::size(row.length),
            units::time(row.mtime),
            root(row).to_owned(),
            holders(&row.holders),
        ])
    }

    /// Adds a peer; the text of a full batch comes back.
    pub fn peer(&mut self, row: &PeerRow) -> Option<String> {
        self.start(&PEER_HEAD, &[2, 3]);
        let name = row.member.name.as_deref().unwrap_or("-");
        self.push(vec![
            printable(name).to_string(),
            endpoint(&row.member),
            row.files.to_string(),
            units::size(row.bytes),
            cut(row.neighbours.iter().map(|n| printable(n).to_string()), " "),
            row.member.id.chars().take(8).collect(),
        ])
    }

    /// Adds a member of the group; the text of a full batch comes back.
    pub fn group_member(&mut self, row: &GroupMember) -> Option<String> {
        self.start(&MEMBER_HEAD, &[]);
        let now = match (row.removed, row.present) {
            (true, _) => "removed",
            (false, Some(true)) => "here",
            (false, Some(false)) => "away",
            (false, None) => "-",
        };
        let role = match row.role {
            MemberRole::Tracker => "tracker",
            MemberRole::Host => "peer with the tracker",
            MemberRole::Member => "",
        };
        let since = match row.since {
            0 => "-".to_owned(),
            since => units::time(i64::try_from(since).unwrap_or(i64::MAX)),
        };
        self.push(vec![
            printable(&row.name).to_string(),
            since,
            now.to_owned(),
            role.to_owned(),
            row.id.chars().take(8).collect(),
        ])
    }

    /// The text of what is left.
    pub fn finish(&mut self) -> Option<String> {
        (!self.rows.is_empty()).then(|| self.flush())
    }

    fn start(&mut self, head: &'static [&'static str], right: &'static [usize]) {
        if self.widths.is_empty() && self.rows.is_empty() {
            self.head = head.to_vec();
            self.right = right;
        }
    }

    fn push(&mut self, row: Vec<String>) -> Option<String> {
        self.rows.push(row);
        (self.rows.len() >= BATCH).then(|| self.flush())
    }

    /// Shortens the names to what the other columns leave of a terminal.
    fn shorten(&mut self) {
        let Some(terminal) = self.terminal else {
            return;
        };
        let widest = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let head = self.head.get(column).map_or(0, |head| columns(head));
            let batch = cells.map(|cell| columns(cell)).max().unwrap_or(0).max(head);
            let before = self
                .widths
                .get(column)
                .map_or(0, |width| usize::from(*width) - GAP);
            batch.max(before)
        };
        let last = self.rows.first().map_or(0, Vec::len).saturating_sub(1);
        // The last column may go on in the next line.
        let others: usize = (1..last).map(|column| widest(column) + GAP).sum();
        let others = others + GAP + widest(last).min(NAME);
        let room = terminal.saturating_sub(others).max(NAME);
        for row in &mut self.rows {
            if let Some(name) = row.first_mut() {
                *name = clip(name, room);
            }
        }
    }

    fn flush(&mut self) -> String {
        self.shorten();
        let mut table = Table::new();
        table
            .load_style(NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled);
        if !self.head.is_empty() {
            table.set_header(std::mem::take(&mut self.head));
        }
        table.add_rows(self.rows.drain(..));
        for (column, width) in table.column_iter_mut().zip(&self.widths) {
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(*width)));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, GAP_WIDTH));
        }
        for index in self.right {
            if let Some(column) = table.column_mut(*index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        if self.widths.is_empty() {
            let widths = table.column_max_content_widths();
            self.widths = widths.into_iter().map(|width| width + GAP_WIDTH).collect();
        }
        table.trim_fmt()
    }
}

/// A file as one line of a choice: `1.2 KiB  2026-11-23 04:44 UTC  3f2a9c01d2e4  oak (10.0.0.7)`.
pub fn variant(row: &FileRow) -> String {
    format!(
        "{}  {} UTC  {}  {}",
        units::size(row.length),
        units::time(row.mtime),
        root(row),
        holders(&row.holders)
    )
}

/// A tracker's status.
pub fn tracker_status(status: &TrackerStatus) -> String {
    let door = if status.open {
        "open: whoever asks is let in"
    } else {
        "members only: thorp invite lets another machine in"
    };
    let files = format!("{}, each counted for each peer", status.entries);
    let questions = format!("{} about files so far", status.counts.finds);
    lines([
        ("Tracker", status.id.clone()),
        ("Listening", status.listen.clone()),
        ("Group", status.ca.clone()),
        ("Door", door.to_owned()),
        ("Peers", status.peers.to_string()),
        ("Files", files),
        ("Questions", questions),
        ("Version", status.version.clone()),
    ])
}

/// How a peer is, a line for each thing. `now` in seconds since 1970.
pub fn status(status: &Status, now: i64) -> String {
    let name = status.name.as_deref().unwrap_or("no name");
    let offered = status.offered;
    let mut files = format!(
        "{}, {}",
        units::count(offered.files, "file"),
        units::size(offered.bytes)
    );
    if offered.unhashed > 0 {
        let _ = write!(files, ", {} still to be hashed", offered.unhashed);
    }
    if offered.skipped > 0 {
        let _ = write!(files, ", {} left out", offered.skipped);
    }
    let tracker = match (&status.tracker, status.tracker_connected) {
        (Some(address), true) => format!("{address}, connected"),
        (Some(address), false) => format!("{address}, out of reach"),
        (None, _) => "none".into(),
    };
    let lookups = status.lookups;
    let ends = status.certificate_ends;
    let mut certificate = format!("until {} UTC", units::time(ends));
    if ends <= now {
        certificate.push_str(": it has ended; join again");
    } else if status.certificate_ends_soon {
        certificate.push_str(": it ends soon, and is renewed once the tracker can be reached");
    }
    let share = status.share.as_ref().map_or_else(
        || "none: a visitor".to_owned(),
        |path| path.display().to_string(),
    );
    let rows = [
        ("Peer", format!("{name}, {}", status.id)),
        ("Share", share),
        ("Offers", files),
        (
            "Listens",
            status.listen.clone().unwrap_or_else(|| "nowhere".into()),
        ),
        ("Tracker", tracker),
        ("Group", status.ca.clone()),
        ("Neighbours", status.neighbours.to_string()),
        (
            "Large files",
            format!(
                "{} sent, {} received",
                units::size(status.sent),
                units::size(status.received)
            ),
        ),
        (
            "Lookups",
            format!(
                "{} answered by neighbours, {} by the tracker, {} by nobody",
                lookups.neighbours, lookups.tracker, lookups.nobody
            ),
        ),
        ("Certificate", certificate),
        ("Version", status.version.clone()),
    ];
    lines(rows)
}

/// A line for each thing, with its label.
fn lines<const N: usize>(rows: [(&str, String); N]) -> String {
    rows.map(|(what, how)| format!("{what:<12}{}", printable(&how)))
        .join("\n")
}

/// `oak (192.168.198.138)`, or only the address.
pub fn member(member: &Member) -> String {
    let address = printable(&member.address);
    match &member.name {
        Some(name) => format!("{} ({address})", printable(name)),
        None => address.to_string(),
    }
}

fn endpoint(member: &Member) -> String {
    let address = printable(&member.address);
    if member.address.contains(':') {
        format!("[{address}]:{}", member.port)
    } else {
        format!("{address}:{}", member.port)
    }
}

fn root(row: &FileRow) -> &str {
    match &row.root {
        Some(root) => root.get(..ROOT_DIGITS).unwrap_or(root),
        None => "not hashed",
    }
}

fn holders(holders: &[HolderRow]) -> String {
    let holder = |holder: &HolderRow| {
        let part = if holder.partial { ", a part" } else { "" };
        format!("{}{part}", member(&holder.member))
    };
    cut(holders.iter().map(holder), ", ")
}

fn cut(names: impl ExactSizeIterator<Item = String>, separator: &str) -> String {
    let hidden = names.len().saturating_sub(CELL_MEMBERS);
    let shown: Vec<_> = names.take(CELL_MEMBERS).collect();
    let mut cell = shown.join(separator);
    if hidden > 0 {
        let _ = write!(cell, " … and {hidden} more");
    }
    cell
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn files_are_aligned() {
        let mut listing = RowTable::default();
        assert!(listing.file(&samples::file("2.txt")).is_none());
        let mut long = samples::file("a longer name.pdf");
        long.root = None;
        long.holders.push(HolderRow {
            member: samples::elm(),
            partial: true,
        });
        assert!(listing.file(&long).is_none());
        let expected = "\
Name                  Size  Modified (UTC)    Root          Held by
2.txt              1.2 KiB  2026-11-23 04:44  3f2a9c01d2e4  oak (192.168.198.138)
a longer name.pdf  1.2 KiB  2026-11-23 04:44  not hashed    oak (192.168.198.138), 192.168.198.139, a part";
        assert_eq!(listing.finish().expect("rows"), expected);
        assert!(listing.finish().is_none());
    }

    #[test]
    fn in_a_terminal_one_long_name_does_not_widen_every_row() {
        let long = "a very long name indeed ".repeat(8);
        let listed = |terminal| {
            let mut listing = RowTable::within(terminal);
            listing.file(&samples::file("2.txt"));
            listing.file(&samples::file(&long));
            listing.finish().expect("rows")
        };
        let text = listed(Some(100));
        assert!(text.lines().all(|line| columns(line) <= 100), "{text}");
        assert!(
            text.contains("a very long name indeed a very long…  "),
            "{text}"
        );
        assert!(listed(None).contains(long.trim_end()));
    }

    #[test]
    fn peers_are_aligned() {
        let mut listing = RowTable::default();
        listing.peer(&samples::peer());
        let expected = "\
Peer  Address               Files     Size  Neighbours       Id
oak   192.168.198.138:3334      4  1.2 MiB  192.168.198.139  aaaaaaaa";
        assert_eq!(listing.finish().expect("rows"), expected);
    }

    #[test]
    fn members_are_aligned() {
        let mut listing = RowTable::default();
        let oak = samples::group_member();
        listing.group_member(&oak);
        listing.group_member(&GroupMember {
            name: "hall-tracker".into(),
            role: MemberRole::Tracker,
            ..oak.clone()
        });
        listing.group_member(&GroupMember {
            removed: true,
            ..oak.clone()
        });
        listing.group_member(&GroupMember {
            present: None,
            since: 0,
            ..oak
        });
        let expected = "\
Member        Since (UTC)       Now      Role     Id
oak           2026-11-23 04:44  here              aaaaaaaa
hall-tracker  2026-11-23 04:44  here     tracker  aaaaaaaa
oak           2026-11-23 04:44  removed           aaaaaaaa
oak           -                 -                 aaaaaaaa";
        assert_eq!(listing.finish().expect("rows"), expected);
    }

    #[test]
    fn later_batches_keep_the_columns() {
        let mut listing = RowTable::default();
        let mut first = None;
        for n in 0..BATCH {
            first = listing.file(&samples::file(&format!("number {n:04}")));
        }
        let first = first.expect("a full batch");
        listing.file(&samples::file("x"));
        let second = listing.finish().expect("the rest");
        assert_eq!(first.lines().count(), BATCH + 1);
        assert_eq!(second.lines().count(), 1);
        let column = |line: &str| line.find("1.2 KiB");
        assert_eq!(column(&second), first.lines().nth(1).and_then(column));
    }

    #[test]
    fn a_status_in_lines() {
        let text = status(&samples::status(), 1_795_000_000);
        let expected = "\
Peer        oak, aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
Share       /home/oak/papers
Offers      4 files, 1.2 MiB, 1 still to be hashed, 2 left out
Listens     [::]:3334
Tracker     192.168.198.138:3333, connected
Group       dddddddddddddddddddddddddddddddddddddddddddddddddddd
Neighbours  2
Large files 700.0 MiB sent, 4.0 KiB received
Lookups     7 answered by neighbours, 2 by the tracker, 1 by nobody
Certificate until 2026-12-23 04:44 UTC
Version     0.1.0";
        assert_eq!(text, expected);
        let soon = Status {
            certificate_ends_soon: true,
            ..samples::status()
        };
        let soon = status(&soon, soon.certificate_ends - 86_400);
        assert!(soon.contains("it ends soon"), "{soon}");
    }
}

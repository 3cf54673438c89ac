//! Formats rows for standard output: files, peers, and the status of nodes.
//!
//! Owns the wording and the columns; `columns` lays them out. Rows are formatted in batches, so
//! that a listing of a million files starts at once and needs little memory. Scripts should use
//! `--json`.

use std::fmt::Write as _;
use thorp_node::api::{
    FileRow, GroupMember, HolderRow, Member, MemberRole, Offered, PeerRow, ShareLook, Spared,
    Status, SwarmTotals, TrackerStatus,
};
use thorp_node::launch::Tracks;

use crate::columns::{ColumnLayout, Field, Form, Kind};
use crate::{units, words};
use thorp_node::leftovers::Leftover;
use thorp_node::printable::printable;
use thorp_node::snapshot::LeftOutRow;

/// How many rows are laid out together.
const BATCH: usize = 1000;
/// The most holders of a content that a choice shows.
const CHOICE_HOLDERS: usize = 8;
/// How many digits of a root are shown; enough for `--root`.
pub const ROOT_DIGITS: usize = 12;

const FILES: Kind = Kind {
    head: &[
        "Name",
        "Size",
        "Modified (UTC)",
        "Root",
        "Held by",
        "Held by",
    ],
    right: &[1],
    // Forms with addresses, then with names alone.
    forms: &[
        form(&[0, 1, 2, 3, 4], 24),
        form(&[0, 1, 2, 4], 24),
        form(&[0, 1, 2, 5], 12),
        form(&[0, 1, 5], 8),
        form(&[0, 1], 8),
    ],
};
const MEMBERS: Kind = Kind {
    head: &[
        "Member",
        "Since (UTC)",
        "Now",
        "Last seen (UTC)",
        "Role",
        "Id",
    ],
    right: &[],
    forms: &[
        form(&[0, 1, 2, 3, 4, 5], 8),
        form(&[0, 2, 3, 4, 5], 8),
        form(&[0, 2, 3, 5], 8),
    ],
};
const LEFTOVERS: Kind = Kind {
    head: &["Partial file", "Size", "Written (UTC)"],
    right: &[1],
    forms: &[form(&[0, 1, 2], 16), form(&[0, 1], 8)],
};
const LEFT_OUT: Kind = Kind {
    head: &["Not shared", "Why"],
    right: &[],
    forms: &[form(&[0, 1], 60)],
};
const PEERS: Kind = Kind {
    head: &["Peer", "Address", "Files", "Size", "Id", "Neighbours"],
    right: &[2, 3],
    forms: &[
        form(&[0, 1, 2, 3, 5, 4], 8),
        form(&[0, 1, 2, 3, 4, 5], 12),
        form(&[0, 1, 2, 3, 5], 12),
        form(&[0, 1, 2, 3], 8),
    ],
};

const fn form(shown: &'static [usize], least: usize) -> Form {
    Form { shown, least }
}

/// Rows of one kind on their way to standard output.
#[derive(Debug, Default)]
pub struct RowTable {
    layout: Option<ColumnLayout>,
    rows: Vec<Vec<Field>>,
    /// The width of the terminal that shows them, if one does.
    terminal: Option<usize>,
}

impl RowTable {
    /// Creates a table for a terminal of this width.
    pub fn within(terminal: Option<usize>) -> Self {
        Self {
            terminal,
            ..Self::default()
        }
    }

    /// Adds a file. Returns the text of a batch once it is full.
    pub fn file(&mut self, row: &FileRow) -> Option<String> {
        let holders = |label: fn(&HolderRow) -> String| {
            Field::Several(row.holders.iter().map(label).collect(), ", ")
        };
        let cells = vec![
            text(printable(&row.name)),
            text(units::size(row.length)),
            text(units::time(row.mtime)),
            text(root(row)),
            holders(holder),
            holders(holder_in_short),
        ];
        self.push(&FILES, cells)
    }

    /// Adds a peer. Returns the text of a batch once it is full.
    pub fn peer(&mut self, row: &PeerRow) -> Option<String> {
        let name = row.member.name.as_deref().unwrap_or("-");
        let neighbours = row.neighbours.iter();
        let neighbours = neighbours.map(|neighbour| printable(neighbour).to_string());
        let cells = vec![
            text(printable(name)),
            text(endpoint(&row.member)),
            text(row.files),
            text(units::size(row.bytes)),
            text(short(&row.member.id)),
            Field::Several(neighbours.collect(), " "),
        ];
        self.push(&PEERS, cells)
    }

    /// Adds a member of the group. Returns the text of a batch once it is full.
    pub fn group_member(&mut self, row: &GroupMember) -> Option<String> {
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
        let seen = match (row.present, row.last_seen) {
            (Some(true), _) if !row.removed => "now".to_owned(),
            (_, Some(seen)) => units::time(i64::try_from(seen).unwrap_or(i64::MAX)),
            (_, None) => "-".to_owned(),
        };
        let since = match row.since {
            0 => "-".to_owned(),
            since => units::time(i64::try_from(since).unwrap_or(i64::MAX)),
        };
        let cells = vec![
            text(printable(&row.name)),
            text(since),
            text(now),
            text(seen),
            text(role),
            text(short(&row.id)),
        ];
        self.push(&MEMBERS, cells)
    }

    /// Adds a file left by an interrupted fetch. Returns the text of a batch once it is full.
    pub fn leftover(&mut self, file: &Leftover) -> Option<String> {
        let cells = vec![
            text(words::escaped(&file.path)),
            text(units::size(file.bytes)),
            text(units::time(file.written)),
        ];
        self.push(&LEFTOVERS, cells)
    }

    /// Adds a path that is not shared. Returns the text of a batch once it is full.
    pub fn left_out(&mut self, row: &LeftOutRow) -> Option<String> {
        let path = if row.path.is_empty() { "." } else { &row.path };
        let cells = vec![text(printable(path)), text(words::why_left_out(row.why))];
        self.push(&LEFT_OUT, cells)
    }

    /// Returns the text of the remaining rows.
    pub fn finish(&mut self) -> Option<String> {
        (!self.rows.is_empty()).then(|| self.flush())?
    }

    fn push(&mut self, kind: &'static Kind, row: Vec<Field>) -> Option<String> {
        let terminal = self.terminal;
        self.layout
            .get_or_insert_with(|| ColumnLayout::new(kind, terminal));
        self.rows.push(row);
        (self.rows.len() >= BATCH).then(|| self.flush())?
    }

    fn flush(&mut self) -> Option<String> {
        let rows = std::mem::take(&mut self.rows);
        Some(self.layout.as_mut()?.lines(&rows))
    }
}

fn text(of: impl std::fmt::Display) -> Field {
    Field::Text(of.to_string())
}

/// Returns a prefix of an id that is long enough to be typed instead of it.
fn short(id: &str) -> String {
    id.chars().take(8).collect()
}

/// Formats a file as a line of a choice: `1.2 KiB  2026-11-23 04:44 UTC  3f2a9c01d2e4  oak
/// (10.0.0.7)`.
pub fn variant(row: &FileRow) -> String {
    format!(
        "{}  {} UTC  {}  {}",
        units::size(row.length),
        units::time(row.mtime),
        root(row),
        holders(&row.holders)
    )
}

/// Formats the status of a tracker.
pub fn tracker_status(status: &TrackerStatus) -> String {
    let door = if status.open {
        "open: every machine that asks is let in"
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
        ("BitTorrent", torrents(status)),
        ("Peers", status.peers.to_string()),
        ("Files", files),
        ("Questions", questions),
        ("Spared", spared(status.counts.spared)),
        ("Version", status.version.clone()),
    ])
}

/// Says which torrents are tracked for ordinary clients, and what is counted of them.
fn torrents(status: &TrackerStatus) -> String {
    let which = match status.bittorrent {
        Tracks::Off => return "off: ordinary clients get no answer".into(),
        Tracks::Group => "for what the group shares",
        Tracks::Any => "for any torrent",
    };
    format!("{which}: {}", swarms(status.swarms))
}

/// Says how many torrents and clients there are.
pub fn swarms(totals: SwarmTotals) -> String {
    format!(
        "{}, {}, {}",
        units::count(totals.torrents, "torrent"),
        units::count(totals.seeders, "seeder"),
        units::count(totals.leechers, "leecher")
    )
}

/// Formats the status of a peer, one fact a line. `now` is in seconds since 1970.
pub fn status(status: &Status, now: i64) -> String {
    let name = status.name.as_deref().unwrap_or("no name");
    let partial = match status.partial {
        Some(left) if left.files > 0 => {
            let least = if left.in_part { "at least " } else { "" };
            let files = units::count(left.files, "file");
            let size = units::size(left.bytes);
            format!("{least}{files} of interrupted fetches, {size} (thorp clean)")
        }
        Some(left) if left.in_part => "none seen; not every folder could be looked through".into(),
        _ => String::new(),
    };
    let tracker = match &status.tracker {
        Some(address) if status.tracker_connected => format!("{address}, connected"),
        Some(address) if status.tracker_dialled => format!("{address}, being dialled"),
        Some(address) => format!("{address}, out of reach"),
        None => "none".into(),
    };
    let lookups = status.lookups;
    let ends = status.certificate_ends;
    let mut certificate = format!("until {} UTC", units::time(ends));
    if ends <= now {
        certificate.push_str(": it has ended, and is renewed once the tracker can be reached");
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
        ("Offers", offers(status.offered)),
        ("Partial", partial),
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
                "{} answered by neighbours, {} by the tracker, {} not at all",
                lookups.neighbours, lookups.tracker, lookups.nobody
            ),
        ),
        ("Spared", spared(status.spared)),
        ("Certificate", certificate),
        ("Version", status.version.clone()),
    ];
    lines(rows)
}

fn offers(offered: Offered) -> String {
    if offered.look == ShareLook::Away {
        return "nothing: the directory was moved, replaced or removed".into();
    }
    let mut files = format!(
        "{}, {}",
        units::count(offered.files, "file"),
        units::size(offered.bytes)
    );
    match offered.links {
        0 => {}
        1 => files.push_str(", 1 of them by a link"),
        links => {
            let _ = write!(files, ", {links} of them by links");
        }
    }
    if offered.unhashed > 0 {
        let _ = write!(files, ", {} still to be hashed", offered.unhashed);
    }
    if offered.skipped > 0 {
        let links = match offered.skipped_links {
            0 => String::new(),
            links => format!("{}; ", units::count(links, "link")),
        };
        let _ = write!(
            files,
            ", {} left out ({links}thorp status --left-out)",
            offered.skipped
        );
    }
    if offered.look == ShareLook::First {
        files.push_str("; it is being looked through");
    }
    files
}

/// Formats which share of the lookups the tracker was spared; empty before the first lookup.
fn spared(spared: Spared) -> String {
    let Some(percent) = spared.since_start.percent_spared() else {
        return String::new();
    };
    let lookups = units::count(spared.since_start.lookups, "lookup");
    let last_hour = match spared.last_hour.percent_spared() {
        Some(percent) => format!("{percent}% of {}", spared.last_hour.lookups),
        None => "none".to_owned(),
    };
    format!("{percent}% of {lookups} did not need the tracker (in the last hour: {last_hour})")
}

/// As wide as the labels of a status: how its lines go on in a narrow terminal.
pub const BESIDE_LABELS: &str = "            ";

/// Formats labelled lines, without those that are empty.
fn lines<const N: usize>(rows: [(&str, String); N]) -> String {
    let said = rows.into_iter().filter(|(_, how)| !how.is_empty());
    let lines = said.map(|(what, how)| format!("{what:<12}{}", printable(&how)));
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns `oak (192.168.198.138)`, or only the address if there is no name.
pub fn member(member: &Member) -> String {
    let address = printable(&member.address);
    match &member.name {
        Some(name) => format!("{} ({address})", printable(name)),
        None => address.to_string(),
    }
}

fn endpoint(member: &Member) -> String {
    // None of its addresses can be reached from here.
    if member.port == 0 {
        return "-".to_owned();
    }
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

fn holder(holder: &HolderRow) -> String {
    let part = if holder.partial { ", a part" } else { "" };
    format!("{}{part}", member(&holder.member))
}

/// Returns the name of a holder, or its address if it has none.
fn holder_in_short(holder: &HolderRow) -> String {
    let name = holder
        .member
        .name
        .as_ref()
        .unwrap_or(&holder.member.address);
    let part = if holder.partial { " (a part)" } else { "" };
    format!("{}{part}", printable(name))
}

fn holders(holders: &[HolderRow]) -> String {
    let hidden = holders.len().saturating_sub(CHOICE_HOLDERS);
    let shown: Vec<_> = holders.iter().take(CHOICE_HOLDERS).map(holder).collect();
    let mut text = shown.join(", ");
    if hidden > 0 {
        let _ = write!(text, " … and {hidden} more");
    }
    text
}

#[cfg(test)]
mod tests {
    use thorp_node::api::PartialFiles;

    use super::*;
    use crate::fit::columns;
    use crate::samples;

    #[test]
    fn of_interrupted_fetches_only_what_was_seen_is_counted() {
        let row = |files, in_part| {
            let status = Status {
                partial: Some(PartialFiles {
                    files,
                    bytes: 1024 * files,
                    in_part,
                }),
                ..samples::status()
            };
            let text = super::status(&status, 0);
            let row = text.lines().find_map(|line| line.strip_prefix("Partial "));
            row.map(|row| row.trim().to_owned())
        };
        assert_eq!(row(0, false), None);
        let seen = "at least 1 file of interrupted fetches, 1.0 KiB (thorp clean)";
        assert_eq!(row(1, true).as_deref(), Some(seen));
        let none = "none seen; not every folder could be looked through";
        assert_eq!(row(0, true).as_deref(), Some(none));
    }

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
    fn at_80_columns_a_name_is_whole_and_no_line_goes_on_in_the_next() {
        let name = "photos/2026-11-23 birthday/IMG_20261123_044400.jpg";
        let mut listing = RowTable::within(Some(80));
        listing.file(&samples::file(name));
        listing.file(&samples::file("photos/1.jpg"));
        let text = listing.finish().expect("rows");
        let expected = format!("{name}  1.2 KiB  oak");
        assert_eq!(text.lines().nth(1), Some(&*expected), "{text}");
        assert!(text.lines().all(|line| columns(line) <= 80), "{text}");
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
            last_seen: None,
            ..oak
        });
        let expected = "\
Member        Since (UTC)       Now      Last seen (UTC)   Role     Id
oak           2026-11-23 04:44  here     now                        aaaaaaaa
hall-tracker  2026-11-23 04:44  here     now               tracker  aaaaaaaa
oak           2026-11-23 04:44  removed  2026-11-23 04:44           aaaaaaaa
oak           -                 -        -                          aaaaaaaa";
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
Offers      4 files, 1.2 MiB, 1 of them by a link, 1 still to be hashed, 2 left out (1 link; thorp status --left-out)
Partial     1 file of interrupted fetches, 1.2 MiB (thorp clean)
Listens     [::]:3334
Tracker     192.168.198.138:3333, connected
Group       dddddddddddddddddddddddddddddddddddddddddddddddddddd
Neighbours  2
Large files 700.0 MiB sent, 4.0 KiB received
Lookups     7 answered by neighbours, 2 by the tracker, 1 not at all
Spared      70% of 10 lookups did not need the tracker (in the last hour: 75% of 4)
Certificate until 2026-12-23 04:44 UTC
Version     0.1.0";
        assert_eq!(text, expected);
        let soon = Status {
            certificate_ends_soon: true,
            tracker_connected: false,
            tracker_dialled: true,
            offered: Offered {
                look: ShareLook::First,
                ..Offered::default()
            },
            ..samples::status()
        };
        let soon = status(&soon, soon.certificate_ends - 86_400);
        assert!(soon.contains("it ends soon"), "{soon}");
        assert!(soon.contains("3333, being dialled"), "{soon}");
        assert!(
            soon.contains("0 files, 0 B; it is being looked through"),
            "{soon}"
        );
    }
}

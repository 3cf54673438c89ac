//! What is shown of a node to a user who follows it: the tracker's two tables, a peer's
//! neighbourhood.
//!
//! It is read from the node's snapshot when it is to be shown, with readable labels: an address,
//! with the port only where two peers share one; the start of a root, only where two contents have
//! one name. The same values are the objects of `tracker --json` and `share --json`. Owns the
//! columns; the layout is in `table` and `screen`.

use serde::Serialize;
use thorp_node::api::{Member, PeerRow};
use thorp_node::printable::printable;
use thorp_node::snapshot::{Ask, MemberRef, Part, SnapshotRow, TrackedFile, Viewer};
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep_until};

use crate::quoting::quoted;

/// How many digits of a root are shown to tell contents apart.
const ROOT_PREFIX: usize = 8;
/// More neighbours than a peer can report to its tracker.
const MOST_NEIGHBOURS: usize = 1024;
/// How many peers' rows are read from the tracker at a time for the plain tables.
const PEERS_AT_ONCE: usize = 100;
/// How many holders are read from the tracker at a time: all members may have all files, and each
/// row of a file names all its holders.
const HOLDERS_AT_ONCE: usize = 10_000;
/// How often the view is renewed at most, and so how late it may be.
const SHOWN_EVERY: Duration = Duration::from_millis(100);

/// The two tables of a tracker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tables {
    /// The peers, in numerical order of their addresses.
    pub peers: Vec<PeerLine>,
    /// The files in the order of their names, with a row for each (name, content); at most
    /// [`Tables::MAX_ROWS`].
    pub files: Vec<FileLine>,
    /// The number of rows in the complete List of Files.
    pub files_total: u64,
}

/// A row in the List of Peers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PeerLine {
    /// Its address, with the port only if two peers share the address.
    pub address: String,
    /// Its name for people.
    pub name: Option<String>,
    /// The names of its first files, in order.
    pub files: Vec<String>,
    /// The number of its files.
    pub files_total: u64,
    /// The labels of its neighbours, in the order of the rows.
    pub neighbours: Vec<String>,
    /// The same for display: by name where two peers share an address.
    #[serde(skip)]
    pub neighbours_by_name: Vec<String>,
    /// The number of its neighbours.
    #[serde(skip)]
    pub neighbours_total: u64,
}

/// A row in the List of Files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FileLine {
    /// The name of the file.
    pub name: String,
    /// The start of its root, if another content has the same name.
    pub root_prefix: Option<String>,
    /// The labels of its holders, in the order of the rows.
    pub holders: Vec<String>,
    /// The same for display: by name where two peers share an address.
    #[serde(skip)]
    pub holders_by_name: Vec<String>,
    /// The number of its holders.
    #[serde(skip)]
    pub holders_total: u64,
}

/// What a peer knows of its neighbours and of its share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Neighbourhood {
    /// Its neighbours, in numerical order of their addresses.
    pub neighbours: Vec<PeerRow>,
    /// Whether there is a link to the tracker.
    pub tracker_connected: bool,
    /// The number of files in its share.
    pub files: u64,
    /// How many of them are not hashed yet.
    pub unhashed: u64,
}

/// A column of one of the tables.
pub struct Column<R> {
    /// The title of the column.
    pub head: &'static str,
    /// Returns the content of a cell in plain lines.
    pub cell: fn(&R) -> Cell<'_>,
    /// Returns the content of a cell on the screen.
    pub on_screen: fn(&R) -> Cell<'_>,
    /// The width of the column on the screen.
    pub width: Width,
}

/// The content of a cell.
pub enum Cell<'a> {
    /// This text.
    Text(String),
    /// As many of these names as fit; the number is how many exist.
    Names(&'a [String], u64),
}

/// The width of a column on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// As wide as its longest cell, but at most the width of the table divided by this.
    Longest(usize),
    /// This many parts of the width that the other columns leave.
    Rest(usize),
}

/// The columns of the List of Peers.
pub const PEERS: [Column<PeerLine>; 3] = [
    Column {
        head: "Peer",
        cell: |peer| Cell::Text(printable(&peer.address).to_string()),
        on_screen: |peer| Cell::Text(peer.label()),
        width: Width::Longest(3),
    },
    Column {
        head: "File List",
        cell: PeerLine::files_cell,
        on_screen: PeerLine::files_cell,
        width: Width::Rest(3),
    },
    Column {
        head: "Neighbours",
        cell: PeerLine::neighbours_cell,
        on_screen: |peer| Cell::Names(&peer.neighbours_by_name, peer.neighbours_total),
        width: Width::Rest(2),
    },
];

/// The columns of the List of Files.
pub const FILES: [Column<FileLine>; 2] = [
    Column {
        head: "File Name",
        cell: |file| Cell::Text(file.label()),
        on_screen: |file| Cell::Text(file.label()),
        width: Width::Longest(2),
    },
    Column {
        head: "Held by",
        cell: FileLine::holders_cell,
        on_screen: |file| Cell::Names(&file.holders_by_name, file.holders_total),
        width: Width::Rest(1),
    },
];

/// Waits for something new to show, and collects what follows soon after. A wait can be dropped
/// without losing anything.
#[derive(Debug)]
pub struct Following {
    news: watch::Receiver<u64>,
    due: Option<Instant>,
}

impl Tables {
    /// The most rows of files, and the most file names in a peer's row.
    pub const MAX_ROWS: usize = 1000;

    /// Reads the current tables; `None` if the tracker has ended.
    pub async fn of(viewer: &Viewer) -> Option<Self> {
        let ask_peers = Ask {
            names: MOST_NEIGHBOURS,
            ..Ask::first(Part::Peers, PEERS_AT_ONCE)
        };
        let [counted] = viewer.pages([Ask::first(Part::Peers, 0)]).await?;
        let members = usize::try_from(counted.total).unwrap_or(usize::MAX);
        let files_at_once = (HOLDERS_AT_ONCE / members.max(1)).clamp(1, Self::MAX_ROWS);
        let ask_files = Ask {
            names: usize::MAX,
            ..Ask::first(Part::Files, files_at_once)
        };
        let asks = [ask_peers.clone(), ask_files.clone()];
        let [mut peers, mut files] = viewer.pages(asks).await?;
        viewer.read_on(&ask_peers, &mut peers, usize::MAX).await?;
        viewer
            .read_on(&ask_files, &mut files, Self::MAX_ROWS)
            .await?;
        let mut peers: Vec<_> = peers.rows.iter().filter_map(PeerLine::of).collect();
        for peer in &mut peers {
            peer.files.truncate(Self::MAX_ROWS);
        }
        Some(Self {
            peers,
            files_total: files.total,
            files: files.rows.iter().filter_map(FileLine::of).collect(),
        })
    }
}

impl PeerLine {
    /// Returns what the tables show of a row, if it is a peer's.
    pub fn of(row: &SnapshotRow) -> Option<Self> {
        let SnapshotRow::Peer(peer) = row else {
            return None;
        };
        let neighbours = labels(&peer.neighbours);
        let is_cut = (peer.neighbours.len() as u64) < peer.neighbours_total;
        Some(Self {
            address: match peer.place() {
                Some(place) if peer.shares_address => place.to_string(),
                _ => peer.member.address.clone(),
            },
            name: peer.member.name.clone(),
            files: peer.names.clone(),
            files_total: peer.files,
            neighbours_total: if is_cut {
                peer.neighbours_total
            } else {
                // Neighbours that are not present are not shown.
                neighbours.len() as u64
            },
            neighbours,
            neighbours_by_name: names(&peer.neighbours),
        })
    }

    /// Returns `192.168.198.138`, with the peer's name if it has one.
    fn label(&self) -> String {
        let address = printable(&self.address);
        match &self.name {
            Some(name) => format!("{address} {}", printable(name)),
            None => address.to_string(),
        }
    }

    fn files_cell(&self) -> Cell<'_> {
        Cell::Names(&self.files, self.files_total)
    }

    fn neighbours_cell(&self) -> Cell<'_> {
        Cell::Names(&self.neighbours, self.neighbours_total)
    }
}

impl FileLine {
    /// Returns what the tables show of a row, if it is a file's.
    pub fn of(row: &SnapshotRow) -> Option<Self> {
        let SnapshotRow::File(file) = row else {
            return None;
        };
        Some(Self {
            name: file.name.clone(),
            root_prefix: file.has_twin.then(|| root_prefix(file)),
            holders: labels(&file.holders),
            holders_by_name: names(&file.holders),
            holders_total: file.holders_total,
        })
    }

    /// Returns the name and, if another content has the same name, the start of the root.
    fn label(&self) -> String {
        let name = quoted(&self.name);
        match &self.root_prefix {
            Some(root) => format!("{name} ({})", printable(root)),
            None => name,
        }
    }

    fn holders_cell(&self) -> Cell<'_> {
        Cell::Names(&self.holders, self.holders_total)
    }
}

impl Neighbourhood {
    /// Reads the current neighbourhood; `None` if the peer has ended.
    pub async fn of(viewer: &Viewer) -> Option<Self> {
        let neighbours = Ask::neighbours();
        let [node, share] = [Part::Node, Part::Share].map(|part| Ask::first(part, 1));
        let [neighbours, node, share] = viewer.pages([neighbours, node, share]).await?;
        let mut shown = Self {
            neighbours: neighbours.neighbours().collect(),
            ..Self::default()
        };
        if let [SnapshotRow::Node(status)] = &node.rows[..] {
            shown.tracker_connected = status.tracker_connected;
        }
        if let [SnapshotRow::Share(share)] = &share.rows[..] {
            (shown.files, shown.unhashed) = (share.offered.files, share.offered.unhashed);
        }
        Some(shown)
    }

    /// Which neighbours these are, and where.
    pub fn members(&self) -> Vec<Member> {
        let rows = self.neighbours.iter();
        rows.map(|row| row.member.clone()).collect()
    }
}

impl Following {
    /// Follows a node.
    pub fn of(viewer: &Viewer) -> Self {
        Self {
            news: viewer.news(),
            due: None,
        }
    }

    /// Waits until there is something new to read. Returns `false` if there never will be.
    pub async fn is_due(&mut self) -> bool {
        if self.due.is_none() {
            if self.news.changed().await.is_err() {
                return false;
            }
            self.due = Some(Instant::now() + SHOWN_EVERY);
        }
        if let Some(due) = self.due {
            sleep_until(due).await;
        }
        self.due = None;
        self.news.borrow_and_update();
        true
    }
}

/// Returns the labels of those members that are present.
fn labels(of: &[MemberRef]) -> Vec<String> {
    let label = |of: &MemberRef| {
        let address = of.address?;
        Some(if of.shares_address {
            address.to_string()
        } else {
            address.ip().to_string()
        })
    };
    of.iter().filter_map(label).collect()
}

/// Returns the same, but names where an address does not identify a peer.
fn names(of: &[MemberRef]) -> Vec<String> {
    let called = labels(of).into_iter();
    let present = of.iter().filter(|of| of.address.is_some());
    let by_name = present.map(|of| of.name.clone().filter(|_| of.shares_address));
    called
        .zip(by_name)
        .map(|(label, name)| name.unwrap_or(label))
        .collect()
}

fn root_prefix(file: &TrackedFile) -> String {
    let prefix = |root: &String| root.chars().take(ROOT_PREFIX).collect();
    let unhashed = || "not hashed yet".to_owned();
    file.root.as_ref().map_or_else(unhashed, prefix)
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::story::{self, Shown};

    #[tokio::test]
    async fn tables_read_in_slices_are_those_read_at_once() {
        let addresses: Vec<String> = (0..250).map(|n| format!("10.0.0.{n}")).collect();
        let names: Vec<String> = (0..130).map(|n| format!("{n:03}")).collect();
        let files: Vec<&str> = names.iter().map(String::as_str).collect();
        let rows = addresses
            .iter()
            .map(|address| (address.as_str(), &files[..], &[][..]));
        let shown = Shown::of(&rows.collect::<Vec<_>>());
        let expected = shown.tables();
        let (to, from) = mpsc::channel(1);
        let viewer = story::node(from);
        let mut news = viewer.news();
        to.send(shown).await.expect("it is there");
        news.changed().await.expect("it shows it");
        assert_eq!(Tables::of(&viewer).await, Some(expected));
    }
}

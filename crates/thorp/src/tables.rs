//! What is shown of a node to a person who follows it: the tracker's two tables, a
//! peer's neighbourhood.
//!
//! Read from the node's snapshot, when there is something to show it to, and
//! called as people know it: an address, with the port only where two peers
//! share one; the start of a root, only where two contents have one name. The
//! same values are the objects of `tracker --json` and `share --json`. Owns the
//! columns; how they are laid out is in `table` and `screen`.

use serde::Serialize;
use thorp_node::api::PeerRow;
use thorp_node::printable::printable;
use thorp_node::snapshot::{Ask, MemberRef, Part, SnapshotRow, TrackedFile, Viewer};
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep_until};

use crate::quoting::quoted;

/// Digits of a root that tell one content from another to a person.
const ROOT_PREFIX: usize = 8;
/// More neighbours than a peer can name to its tracker.
const MOST_NEIGHBOURS: usize = 1024;
/// Peers' rows that the tracker makes at a time for the plain tables.
const PEERS_AT_ONCE: usize = 100;
/// Holders that it names at a time: all members may have all files, and each file's
/// row names all its holders.
const HOLDERS_AT_ONCE: usize = 10_000;
/// How often what is shown is made anew at most, and so how late it may be.
const SHOWN_EVERY: Duration = Duration::from_millis(100);

/// The two tables of a tracker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tables {
    /// Peers, addresses in numerical order.
    pub peers: Vec<PeerLine>,
    /// Files, names in order, a row for each (name, content); the first
    /// [`Tables::MAX_ROWS`] of them.
    pub files: Vec<FileLine>,
    /// Rows in all.
    pub files_total: u64,
}

/// A row in the List of Peers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PeerLine {
    /// Its address, with the port only where two peers share an address.
    pub address: String,
    /// Its human name.
    pub name: Option<String>,
    /// Names of its files in order, the first ones.
    pub files: Vec<String>,
    /// How many there are in all.
    pub files_total: u64,
    /// Its neighbours, as their rows are called, in the rows' order.
    pub neighbours: Vec<String>,
    /// The same for a person: by name where two share an address.
    #[serde(skip)]
    pub neighbours_by_name: Vec<String>,
    /// How many there are in all.
    #[serde(skip)]
    pub neighbours_total: u64,
}

/// A row in the List of Files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FileLine {
    /// Its name.
    pub name: String,
    /// The start of its root, where another content goes by the same name.
    pub root_prefix: Option<String>,
    /// Who has it, as their rows are called, in the rows' order.
    pub holders: Vec<String>,
    /// The same for a person: by name where two share an address.
    #[serde(skip)]
    pub holders_by_name: Vec<String>,
    /// How many there are in all.
    #[serde(skip)]
    pub holders_total: u64,
}

/// What a peer knows of those around it, and of its own share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Neighbourhood {
    /// Its neighbours, addresses in numerical order.
    pub neighbours: Vec<PeerRow>,
    /// Whether there is a link to the tracker.
    pub tracker_connected: bool,
    /// Files in its share.
    pub files: u64,
    /// Of these, still to be hashed.
    pub unhashed: u64,
}

/// A column of one of the tables.
pub struct Column<R> {
    /// What it is called.
    pub head: &'static str,
    /// What is in a plain line.
    pub cell: fn(&R) -> Cell<'_>,
    /// What is on the screen.
    pub on_screen: fn(&R) -> Cell<'_>,
    /// How wide it is there.
    pub width: Width,
}

/// What is in a cell.
pub enum Cell<'a> {
    /// This, as it is.
    Text(String),
    /// As many of these names as there is room for; so many exist.
    Names(&'a [String], u64),
}

/// How wide a column of the screen is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// As its longest cell, but at most one part in so many.
    Longest(usize),
    /// So many parts of what the others leave.
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

/// Waits for something new to show, and gathers what comes soon after it. Dropping
/// a wait loses nothing.
#[derive(Debug)]
pub struct Following {
    news: watch::Receiver<u64>,
    due: Option<Instant>,
}

impl Tables {
    /// The most file rows, and the most file names in a peer's row.
    pub const MAX_ROWS: usize = 1000;

    /// As they are now; nothing, if the tracker has ended.
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
    /// What the tables show of a row, if it is a peer's.
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
                // Those that are not present are not shown.
                neighbours.len() as u64
            },
            neighbours,
            neighbours_by_name: names(&peer.neighbours),
        })
    }

    /// `192.168.198.138`, with its human name where it has one.
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
    /// What the tables show of a row, if it is a file's.
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

    /// Its name, and the start of its root where another content goes by the
    /// same name.
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
    /// As it is now; nothing, if the peer has ended.
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
}

impl Following {
    /// Follows a node.
    pub fn of(viewer: &Viewer) -> Self {
        Self {
            news: viewer.news(),
            due: None,
        }
    }

    /// Waits until there is something new to look at; whether there ever will be.
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

/// Those that are present, as their rows are called.
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

/// Those that are present, by name where the address alone does not tell which.
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

//! The nodes of the story, for tests of tables and screens.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use thorp_node::Words;
use thorp_node::api::{Member, Offered, Status};
use thorp_node::snapshot::{
    Ask, At, FolderRow, Fresh, Keeper, MemberRef, Page, Part, Row, RowKey, ShareRow, SnapshotRow,
    TrackedFile, TrackedPeer, ViewRequest, Viewer,
};
use tokio::sync::mpsc;

use crate::samples;
use crate::tables::{FileLine, PeerLine, Tables};

const P1: &str = "192.168.198.138";
const P2: &str = "192.168.198.139";
const P3: &str = "192.168.198.137";

/// The state after peer 1 has fetched `3.txt` from peer 2.
pub fn first() -> Shown {
    Shown::of(&[
        (P1, &["1.txt", "2.txt", "3.txt", "client"], &[P2]),
        (P2, &["3.txt", "4.txt", "client"], &[P1]),
    ])
}

/// The state after every peer has fetched something from every other one.
pub fn then() -> Shown {
    Shown::of(&[
        (P3, &["2.txt", "5.txt", "6.txt", "client"], &[P1, P2]),
        (
            P1,
            &["1.txt", "2.txt", "3.txt", "5.txt", "client"],
            &[P3, P2],
        ),
        (P2, &["3.txt", "4.txt", "6.txt", "client"], &[P3, P1]),
    ])
}

/// The state after peer 1 has left and peer 2 was cut off.
pub fn alone() -> Shown {
    Shown::of(&[(P3, &["2.txt", "5.txt", "6.txt", "client"], &[])])
}

/// Peers by address, with their files and neighbours.
pub type Rows<'a> = &'a [(&'a str, &'a [&'a str], &'a [&'a str])];

/// The state that a simulated node shows.
#[derive(Clone, Default)]
pub struct Shown {
    pub peers: Vec<TrackedPeer>,
    pub files: Vec<TrackedFile>,
    pub node: Option<Status>,
    pub share: Option<ShareRow>,
}

impl Shown {
    /// Returns what a tracker shows of these peers, in this order.
    pub fn of(rows: Rows<'_>) -> Self {
        let mut held: BTreeMap<&str, Vec<MemberRef>> = BTreeMap::new();
        for (address, files, _) in rows {
            for file in *files {
                held.entry(file).or_default().push(called(address));
            }
        }
        Self {
            peers: rows
                .iter()
                .map(|(address, files, neighbours)| TrackedPeer {
                    member: member(address),
                    files: files.len() as u64,
                    names: files.iter().map(|name| (*name).to_owned()).collect(),
                    neighbours: neighbours.iter().map(|of| called(of)).collect(),
                    neighbours_total: neighbours.len() as u64,
                    ..samples::tracked_peer()
                })
                .collect(),
            files: held
                .into_iter()
                .map(|(name, holders)| TrackedFile {
                    name: name.to_owned(),
                    holders_total: holders.len() as u64,
                    holders,
                    ..samples::tracked_file()
                })
                .collect(),
            ..Self::default()
        }
    }

    /// Returns what a peer shows with these neighbours and this number of files.
    pub fn of_peer(neighbours: &[&str], files: u64) -> Self {
        let rows: Vec<_> = neighbours
            .iter()
            .map(|of| (*of, &[][..], &[][..]))
            .collect();
        Self {
            node: Some(samples::status()),
            share: Some(ShareRow {
                offered: Offered {
                    files,
                    ..Offered::default()
                },
                ..ShareRow::default()
            }),
            ..Self::of(&rows)
        }
    }

    /// Returns all of it as tables.
    pub fn tables(&self) -> Tables {
        let peers = self.rows(&Part::Peers).into_iter();
        let files = self.rows(&Part::Files).into_iter();
        Tables {
            peers: peers.filter_map(|row| PeerLine::of(&row)).collect(),
            files_total: self.files.len() as u64,
            files: files.filter_map(|row| FileLine::of(&row)).collect(),
        }
    }

    /// Returns a page of it.
    pub fn page(&self, ask: &Ask) -> Page {
        let rows = self.rows(&ask.part);
        let total = rows.len();
        // The place of a file is where it would be, if it is not there.
        let is_at_or_behind = |row: &SnapshotRow, key: &RowKey| match (row, key) {
            (SnapshotRow::File(file), RowKey::File { name, nth }) => {
                (&file.name, file.nth) >= (name, *nth)
            }
            _ => row.key().as_ref() == Some(key),
        };
        let at = |key: &RowKey| rows.iter().position(|row| is_at_or_behind(row, key));
        let at = |key: &RowKey| at(key).unwrap_or(total);
        let range = match &ask.at {
            At::Start => 0..ask.limit.min(total),
            At::End => total.saturating_sub(ask.limit)..total,
            At::From(key) => at(key)..at(key).saturating_add(ask.limit).min(total),
            At::After(key) => {
                let is_it = |row: &SnapshotRow| row.key().as_ref() == Some(key);
                let behind = at(key) + usize::from(rows.get(at(key)).is_some_and(is_it));
                behind..behind.saturating_add(ask.limit).min(total)
            }
            At::Before(key) => at(key).saturating_sub(ask.limit)..at(key),
        };
        let more = match ask.at {
            At::End | At::Before(_) => range.start > 0,
            _ => range.end < total,
        };
        Page {
            number: 1,
            total: total as u64,
            rows: rows[range].to_vec(),
            more,
            reached: None,
            busy: false,
        }
    }

    fn rows(&self, part: &Part) -> Vec<SnapshotRow> {
        match part {
            Part::Peers => self.peers.iter().cloned().map(SnapshotRow::Peer).collect(),
            Part::Files => self.files.iter().cloned().map(SnapshotRow::File).collect(),
            Part::Node => self.node.iter().cloned().map(SnapshotRow::Node).collect(),
            Part::Share => self.share.iter().cloned().map(SnapshotRow::Share).collect(),
            Part::Found { words } => {
                let words = Words::new(words).expect("few words");
                let found = self.files.iter().filter(|file| words.matches(&file.name));
                found.cloned().map(SnapshotRow::File).collect()
            }
            Part::Folder { path } => self.children(path),
            _ => Vec::new(),
        }
    }

    /// What is directly in a folder, in the order of names.
    fn children(&self, path: &str) -> Vec<SnapshotRow> {
        let above = match path {
            "" => String::new(),
            path => format!("{path}/"),
        };
        let mut children: Vec<SnapshotRow> = Vec::new();
        for file in &self.files {
            let Some(rest) = file.name.strip_prefix(&above) else {
                continue;
            };
            let child = match rest.split_once('/') {
                Some((child, _)) => SnapshotRow::Folder(FolderRow {
                    name: format!("{above}{child}"),
                }),
                None => SnapshotRow::File(file.clone()),
            };
            if children.last() != Some(&child) {
                children.push(child);
            }
        }
        children
    }
}

/// Starts a simulated node that shows each state it is given, and ends after the last one.
pub fn node(mut shown: mpsc::Receiver<Shown>) -> Viewer {
    let (mut keeper, viewer) = Keeper::new();
    tokio::spawn(async move {
        let mut now = Shown::default();
        loop {
            tokio::select! {
                biased;
                look = keeper.look() => match look {
                    Some(ViewRequest::Pages(asks, reply)) => {
                        let _ = reply.send(asks.iter().map(|ask| now.page(ask)).collect());
                    }
                    // It does not record changes.
                    Some(ViewRequest::Since(number, reply)) => {
                        let _ = reply.send(Fresh::StartAgain { number });
                    }
                    None => {}
                },
                next = shown.recv() => match next {
                    Some(next) => {
                        now = next;
                        keeper.mark(Row::Node);
                    }
                    None => return,
                },
            }
        }
    });
    viewer
}

fn member(address: &str) -> Member {
    Member {
        // Any id will do, as long as it is unique.
        id: format!("{address:a<52}"),
        name: None,
        address: address.to_owned(),
        port: 3334,
    }
}

fn called(address: &str) -> MemberRef {
    MemberRef {
        id: member(address).id,
        name: None,
        address: address.parse().ok().map(|ip| SocketAddr::new(ip, 3334)),
        shares_address: false,
    }
}

//! The values of a snapshot, and how a reader asks for a page of them.
//!
//! Field names are part of the interface: see `docs/json.md`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use thorp_files::share::LeftOutCause;
use thorp_wire::{Name, PeerId};

use super::failure::Trouble;
use super::rows::{Done, FileRow, Member, Offered, PeerRow, Status, TrackerStatus};
use super::tracked::{TrackedFile, TrackedPeer};

/// Neighbours that a peer lists of each of its own.
const LISTED_NEIGHBOURS: usize = 64;
/// Which page a reader asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Of what.
    pub part: Part,
    /// From where, and in which direction.
    #[serde(default)]
    pub at: At,
    /// At most so many rows.
    #[serde(default = "usual_limit")]
    pub limit: usize,
    /// In each row, at most so many names of files or members.
    #[serde(default = "usual_names")]
    pub names: usize,
}

/// What there are pages of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// At a tracker the peers that are present, at a peer its neighbours; by
    /// address, then by id.
    Peers,
    /// Files, by name: a row for each name and content.
    Files,
    /// What one of them lists, by name.
    FilesOf {
        /// Its key: 52 characters of base32.
        id: String,
    },
    /// The node itself, in one row: its link to the tracker, its lookups by who
    /// answered.
    Node,
    /// What a peer offers, and what was left out and why, in one row.
    Share,
    /// The files and folders that a peer does not offer, each with why; by path.
    LeftOut,
    /// The large files that are on their way at this moment.
    Transfers,
    /// The last warnings.
    Warnings,
}

/// Where a page is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum At {
    /// The first rows.
    #[default]
    Start,
    /// The last rows.
    End,
    /// The rows behind this one.
    After(RowKey),
    /// This row and those behind it.
    From(RowKey),
    /// The rows before this one, those next to it.
    Before(RowKey),
}

/// Where a row stands among the others, whether it is still there or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowKey {
    /// A member's.
    Peer {
        /// Its address.
        address: SocketAddr,
        /// Its id.
        id: String,
    },
    /// A file's.
    File {
        /// Its name.
        name: String,
        /// Its number, from 0, among the files of this name.
        nth: usize,
    },
    /// Of something that is left out.
    Path {
        /// Relative to the share.
        path: String,
        /// The same in hexadecimal digits, where it is not UTF-8.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes: Option<String>,
    },
}

/// A page, rows always in the order of their part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// Everything up to the change with this number is in it.
    pub number: u64,
    /// How many rows there are in all. A file without a root counts for each
    /// member that lists it.
    pub total: u64,
    /// The rows.
    pub rows: Vec<SnapshotRow>,
    /// Whether there are more in the direction that was asked for.
    pub more: bool,
}

/// A row of a page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "row", rename_all = "kebab-case")]
pub enum SnapshotRow {
    /// Of [`Part::Peers`].
    Peer(TrackedPeer),
    /// Of [`Part::Files`].
    File(TrackedFile),
    /// Of [`Part::FilesOf`].
    Listed(FileRow),
    /// Of [`Part::Node`] at a peer.
    Node(Status),
    /// Of [`Part::Node`] at a tracker.
    Tracker(TrackerStatus),
    /// Of [`Part::Share`].
    Share(ShareRow),
    /// Of [`Part::LeftOut`].
    LeftOut(LeftOutRow),
    /// Of [`Part::Transfers`].
    Transfer(TransferRow),
    /// Of [`Part::Warnings`].
    Warning(WarningRow),
}

/// What a peer offers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareRow {
    /// The directory.
    pub directory: PathBuf,
    /// What is listed of it.
    #[serde(flatten)]
    pub offered: Offered,
    /// Files and folders that were left out, by why.
    pub left_out: LeftOut,
}

/// How much was left out of a share, by why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Their names start with a dot.
    pub hidden: u64,
    /// A `.thorpignore` says so.
    pub ignored: u64,
    /// Their names are not UTF-8, or too long.
    pub unnameable: u64,
    /// They cannot be opened.
    pub unreadable: u64,
    /// They are folders whose `.thorpignore` cannot be read.
    #[serde(default)]
    pub ignore_files: u64,
    /// They are symbolic links that lead to no file of the share.
    pub symlinks: u64,
    /// They are devices, sockets or pipes.
    pub special: u64,
    /// There are thorp's keys in them.
    pub keys: u64,
}

/// Something that is not shared. What is beneath a folder that is left out has no
/// row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOutRow {
    /// Its path relative to the share; of the share itself an empty one.
    pub path: String,
    /// The same in hexadecimal digits, where it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<String>,
    /// Why it is not shared.
    pub why: WhyLeftOut,
}

/// Why something is not shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhyLeftOut {
    /// Its name starts with a dot.
    Hidden,
    /// A `.thorpignore` says so.
    Ignored,
    /// A folder whose `.thorpignore` cannot be read.
    IgnoreFile,
    /// Its name is not UTF-8, or its path too long.
    Unnameable,
    /// It cannot be opened.
    Unreadable,
    /// A symbolic link that leads out of the share.
    LinkOut,
    /// A symbolic link that leads nowhere, or in a circle.
    LinkBroken,
    /// A symbolic link to a folder.
    LinkToFolder,
    /// A symbolic link to something that is left out itself.
    LinkToLeftOut,
    /// It is a device, a socket or a pipe.
    Special,
    /// There are thorp's keys in it.
    Keys,
}

/// A large file on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferRow {
    /// Its name, as this peer or a neighbour lists it.
    pub name: Option<String>,
    /// 64 hexadecimal digits.
    pub root: String,
    /// Bytes in it.
    pub length: u64,
    /// Bytes of it that are here and verified.
    pub verified: u64,
    /// Bytes that have come over the network for it.
    pub received: u64,
    /// Bytes a second that come, over the seconds since it was first looked at.
    pub rate: u64,
    /// Members that pieces come from now.
    pub sources: u32,
    /// Who has sent how many bytes of it, most first.
    pub sent_by: Vec<(String, u64)>,
}

/// A warning: which one, and what it is about. What it has no value for is
/// `null`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarningRow {
    /// Its number: later ones have higher ones.
    pub number: u64,
    /// Which one it is, in a word.
    pub warning: String,
    /// The member that it is about.
    pub member: Option<Member>,
    /// A name that it is about.
    pub name: Option<String>,
    /// A file or directory that it is about.
    pub path: Option<String>,
    /// How many there are of what it is about.
    pub count: Option<u64>,
    /// Why, as the system says.
    pub why: Option<String>,
    /// Why there is no link to the tracker.
    pub trouble: Option<Trouble>,
}

/// What has become of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It is new, or different.
    Now(Box<SnapshotRow>),
    /// It is not there any more.
    Gone(Gone),
}

/// Which row is not there any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Gone {
    /// A peer's.
    Peer {
        /// Its key: 52 characters of base32.
        id: String,
    },
    /// That of a transfer which is over, whether all of the file is here or not.
    Transfer {
        /// Its root: 64 hexadecimal digits.
        root: String,
    },
}

/// What a reader is told that knows everything up to a number.
#[derive(Clone, Debug, PartialEq)]
pub enum Fresh {
    /// Rows that have changed since, those that changed last at the end.
    Changes {
        /// Everything up to the change with this number is in it.
        number: u64,
        /// The rows.
        changes: Vec<Change>,
    },
    /// It is too far behind: pages anew, and then what changes after this number.
    StartAgain {
        /// That of the latest change.
        number: u64,
    },
}

impl Ask {
    /// The first rows of a part.
    pub fn first(part: Part, limit: usize) -> Self {
        Self {
            part,
            at: At::Start,
            limit,
            names: usual_names(),
        }
    }

    /// A peer's neighbours, as [`Page::neighbours`] lists them.
    pub fn neighbours() -> Self {
        Self {
            names: LISTED_NEIGHBOURS,
            ..Self::first(Part::Peers, usize::MAX)
        }
    }

    /// Whether ids are ids, and the place is one in its part.
    pub(crate) fn is_possible(&self) -> bool {
        let is_id = |id: &str| id.parse::<PeerId>().is_ok();
        let has_part = match &self.part {
            Part::FilesOf { id } => is_id(id),
            _ => true,
        };
        let has_place = match &self.at {
            At::Start | At::End => true,
            At::After(key) | At::From(key) | At::Before(key) => match (&self.part, key) {
                (Part::Peers, RowKey::Peer { id, .. }) => is_id(id),
                (Part::Files | Part::FilesOf { .. }, RowKey::File { name, .. }) => {
                    name.parse::<Name>().is_ok()
                }
                (Part::LeftOut, key) => key.as_path().is_some(),
                _ => false,
            },
        };
        has_part && has_place
    }
}

impl Page {
    /// That it is all that was asked for.
    pub(crate) fn done(&self) -> Done {
        Done {
            count: self.rows.len() as u64,
            ..Done::default()
        }
    }

    /// For the page behind this one, which was asked for so; none behind the last.
    pub fn next(&self, ask: &Ask) -> Option<Ask> {
        let last = self.rows.last().filter(|_| self.more)?;
        Some(Ask {
            at: At::After(last.key()?),
            ..ask.clone()
        })
    }

    /// The neighbours in it, as `thorp neighbours` lists them.
    pub fn neighbours(self) -> impl Iterator<Item = PeerRow> {
        self.rows.into_iter().filter_map(|row| match row {
            SnapshotRow::Peer(peer) => Some(peer.into()),
            _ => None,
        })
    }
}

impl SnapshotRow {
    /// Where it stands, in a part with many rows.
    pub fn key(&self) -> Option<RowKey> {
        match self {
            Self::Peer(peer) => Some(RowKey::Peer {
                address: peer.place()?,
                id: peer.member.id.clone(),
            }),
            Self::File(file) => Some(RowKey::File {
                name: file.name.clone(),
                nth: file.nth,
            }),
            Self::Listed(file) => Some(RowKey::File {
                name: file.name.clone(),
                nth: 0,
            }),
            Self::LeftOut(row) => Some(RowKey::Path {
                path: row.path.clone(),
                bytes: row.bytes.clone(),
            }),
            _ => None,
        }
    }

    /// About how many bytes it takes on the local socket.
    pub(crate) fn cost(&self) -> usize {
        const ROW: usize = 300;
        const MEMBER: usize = 130;
        let names = |names: &[String]| names.iter().map(|name| name.len() + 3).sum::<usize>();
        ROW + match self {
            Self::Peer(peer) => names(&peer.names) + MEMBER * peer.neighbours.len(),
            Self::File(file) => file.name.len() + MEMBER * file.holders.len(),
            Self::Listed(file) => file.name.len() + MEMBER,
            Self::Node(_) | Self::Tracker(_) | Self::Share(_) => ROW,
            Self::LeftOut(row) => 3 * row.path.len(),
            Self::Transfer(transfer) => MEMBER * transfer.sent_by.len(),
            Self::Warning(warning) => warning.cost(),
        }
    }
}

impl RowKey {
    /// The path in it, if there is one.
    pub(crate) fn as_path(&self) -> Option<PathBuf> {
        match self {
            Self::Path { path, bytes: None } => Some(path.into()),
            Self::Path {
                bytes: Some(bytes), ..
            } => {
                let bytes = HEXLOWER.decode(bytes.as_bytes()).ok()?;
                Some(OsString::from_vec(bytes).into())
            }
            Self::Peer { .. } | Self::File { .. } => None,
        }
    }
}

impl LeftOutRow {
    /// About something at this path, relative to the share.
    pub(crate) fn new(path: &Path, why: WhyLeftOut) -> Self {
        let bytes = match path.to_str() {
            Some(_) => None,
            None => Some(HEXLOWER.encode(path.as_os_str().as_bytes())),
        };
        Self {
            path: path.to_string_lossy().into(),
            bytes,
            why,
        }
    }
}

impl From<LeftOutCause> for WhyLeftOut {
    fn from(cause: LeftOutCause) -> Self {
        match cause {
            LeftOutCause::Hidden => Self::Hidden,
            LeftOutCause::Ignored => Self::Ignored,
            LeftOutCause::Unnameable => Self::Unnameable,
            LeftOutCause::Unreadable => Self::Unreadable,
            LeftOutCause::IgnoreFile => Self::IgnoreFile,
            LeftOutCause::LinkOut => Self::LinkOut,
            LeftOutCause::LinkBroken => Self::LinkBroken,
            LeftOutCause::LinkToFolder => Self::LinkToFolder,
            LeftOutCause::LinkToLeftOut => Self::LinkToLeftOut,
            LeftOutCause::Special => Self::Special,
            LeftOutCause::Keys => Self::Keys,
        }
    }
}

impl WarningRow {
    /// About how many bytes its texts take.
    fn cost(&self) -> usize {
        let texts = [&self.name, &self.path, &self.why];
        texts.into_iter().flatten().map(String::len).sum()
    }
}

fn usual_limit() -> usize {
    100
}

fn usual_names() -> usize {
    20
}

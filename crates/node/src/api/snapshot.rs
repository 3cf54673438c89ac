//! The values of a snapshot, and how a reader asks for a page of them.
//!
//! Field names are part of the interface: see `docs/json.md`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use thorp_core::words::Words;
use thorp_files::share::LeftOutCause;
use thorp_wire::{Name, PeerId};

use super::failure::Trouble;
use super::rows::{Done, FileRow, Member, Offered, PeerRow, Status, TrackerStatus};
use super::tracked::{TrackedFile, TrackedPeer};

/// The maximum number of neighbours in the row of a peer that `thorp neighbours` lists.
const LISTED_NEIGHBOURS: usize = 64;

/// A reader's request for a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The part of the snapshot.
    pub part: Part,
    /// The place of the page.
    #[serde(default)]
    pub at: At,
    /// The maximum number of rows.
    #[serde(default = "usual_limit")]
    pub limit: usize,
    /// The maximum number of names of files or members in each row.
    #[serde(default = "usual_names")]
    pub names: usize,
}

/// A part of a snapshot, which has its own pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// At a tracker the present peers, at a peer its neighbours; ordered by address, then by id.
    Peers,
    /// Files, ordered by name: one row for each name and content.
    Files,
    /// The files that one peer lists, ordered by name.
    FilesOf {
        /// The peer's key, 52 characters of base32.
        id: String,
    },
    /// The files whose paths contain these words, in any case, ordered by name. A page is what a
    /// few milliseconds of search have found, which may be nothing: it goes on after
    /// [`Page::reached`].
    Found {
        /// The words, separated by spaces.
        words: String,
    },
    /// The files and folders that are directly in a folder, ordered by name.
    Folder {
        /// The folder's path; empty for all that is in no folder.
        path: String,
    },
    /// The node itself, in one row: its link to the tracker, and its lookups by which member
    /// answered.
    Node,
    /// What a peer shares, and how much is left out for which reason, in one row.
    Share,
    /// The files and folders that a peer leaves out, each with the reason; ordered by path.
    LeftOut,
    /// The large files that are being fetched.
    Transfers,
    /// What goes out at this moment of large files, and to which members and clients.
    Uploads,
    /// At a tracker that serves clients, the torrents with the most of them, those with more
    /// first; at most a thousand.
    Swarms,
    /// The latest warnings.
    Warnings,
    /// What the node has counted, and how much waits in it, in one row.
    Counts,
}

/// The place of a page in its part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum At {
    /// The first rows.
    #[default]
    Start,
    /// The last rows.
    End,
    /// The rows after this one.
    After(RowKey),
    /// This row and the rows after it.
    From(RowKey),
    /// The last rows before this one.
    Before(RowKey),
}

/// The place of a row among the others, whether or not the row still exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowKey {
    /// The place of a member's row.
    Peer {
        /// The member's address.
        address: SocketAddr,
        /// The member's id.
        id: String,
    },
    /// The place of a file's row.
    File {
        /// The file's name.
        name: String,
        /// Its number, from 0, among the files of this name.
        nth: usize,
    },
    /// The place of a folder's row.
    Folder {
        /// The folder's path.
        name: String,
    },
    /// The place of a row about something left out.
    Path {
        /// Its path, relative to the share.
        path: String,
        /// The path in hexadecimal digits, if it is not UTF-8.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes: Option<String>,
    },
}

/// A page. Its rows are in the order of their part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// The number of the latest change that is included.
    pub number: u64,
    /// The number of rows in the part; 0 where they are not counted, in [`Part::Found`] and
    /// [`Part::Folder`]. A file without a root counts for each member that lists
    /// it.
    pub total: u64,
    /// The rows.
    pub rows: Vec<SnapshotRow>,
    /// Whether there are more rows in the requested direction.
    pub more: bool,
    /// Of [`Part::Found`], if there is more: the place after which the search goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<RowKey>,
    /// Of [`Part::Found`]: searches have cost so much lately that nothing was done. The same page
    /// can be asked for again in a moment.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub busy: bool,
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
    /// Of [`Part::Folder`].
    Folder(FolderRow),
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
    /// Of [`Part::Uploads`].
    Upload(UploadRow),
    /// Of [`Part::Swarms`].
    Swarm(SwarmRow),
    /// Of [`Part::Warnings`].
    Warning(WarningRow),
    /// Of [`Part::Counts`].
    Counts(CountsRow),
}

/// A folder of which some file is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderRow {
    /// Its whole path.
    pub name: String,
}

/// What a peer shares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareRow {
    /// The shared directory.
    #[serde(with = "super::path")]
    pub directory: PathBuf,
    /// The figures of what is listed.
    #[serde(flatten)]
    pub offered: Offered,
    /// The number of files and folders that are left out, by reason.
    pub left_out: LeftOut,
}

/// How much is left out of a share, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Names that start with a dot.
    pub hidden: u64,
    /// Files and folders that a `.thorpignore` excludes.
    pub ignored: u64,
    /// Names that are not UTF-8 or too long.
    pub unnameable: u64,
    /// Files and folders that cannot be opened.
    pub unreadable: u64,
    /// Folders whose `.thorpignore` cannot be read.
    #[serde(default)]
    pub ignore_files: u64,
    /// Symbolic links that do not lead to a file of the share.
    pub symlinks: u64,
    /// Devices, sockets and pipes.
    pub special: u64,
    /// Folders that contain thorp's keys.
    pub keys: u64,
}

/// Something that is not shared. The content of a folder that is left out has no rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOutRow {
    /// Its path relative to the share; empty for the share itself.
    pub path: String,
    /// The path in hexadecimal digits, if it is not UTF-8.
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
    /// A `.thorpignore` excludes it.
    Ignored,
    /// It is a folder whose `.thorpignore` cannot be read.
    IgnoreFile,
    /// Its name is not UTF-8, or its path is too long.
    Unnameable,
    /// It cannot be opened.
    Unreadable,
    /// It is a symbolic link that leads out of the share.
    LinkOut,
    /// It is a symbolic link that leads nowhere or in a circle.
    LinkBroken,
    /// It is a symbolic link to a folder.
    LinkToFolder,
    /// It is a symbolic link to something that is left out.
    LinkToLeftOut,
    /// It is a device, a socket or a pipe.
    Special,
    /// It contains thorp's keys.
    Keys,
}

/// A large file that is being fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferRow {
    /// Its name, as this peer or a neighbour lists it.
    pub name: Option<String>,
    /// Its root, 64 hexadecimal digits.
    pub root: String,
    /// Its length in bytes.
    pub length: u64,
    /// Bytes of it that are here and verified.
    pub verified: u64,
    /// Bytes received for it over the network.
    pub received: u64,
    /// Bytes received per second, over the last seconds. It is measured only while readers ask
    /// for it.
    pub rate: u64,
    /// The number of members from which pieces arrive now.
    pub sources: u32,
    /// The members that have sent accepted bytes, and how many each; those that sent most first.
    pub sent_by: Vec<(String, u64)>,
    /// How much of each part of it is here and verified, a digit for each, from 0 (nothing) to 9
    /// (all).
    #[serde(default)]
    pub pieces: String,
}

/// Bytes of a large file that go to a member or to an ordinary BitTorrent client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadRow {
    /// Its number, as long as the node runs.
    pub upload: u64,
    /// The file's name, as this peer or a neighbour lists it.
    pub name: Option<String>,
    /// Its root, 64 hexadecimal digits.
    pub root: String,
    /// Its length in bytes.
    pub length: u64,
    /// The member that receives it.
    pub member: Option<Member>,
    /// The address of the client that receives it.
    pub client: Option<SocketAddr>,
    /// Bytes that went there.
    pub sent: u64,
    /// Bytes per second, over the last seconds. It is measured only while readers ask for it.
    pub rate: u64,
}

/// What is counted of one torrent. A client counts once in each of its torrents, and so does a
/// member that has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwarmRow {
    /// Its info-hash, 40 hexadecimal digits.
    pub info_hash: String,
    /// The name of its file, where a member lists it.
    pub name: Option<String>,
    /// Who have all of it.
    pub seeders: u64,
    /// Who do not have all of it yet.
    pub leechers: u64,
    /// How many have come to have all of it.
    pub downloaded: u64,
}

/// A warning: its code and what it is about. Values that do not apply are `null`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarningRow {
    /// Its number; later warnings have higher numbers.
    pub number: u64,
    /// Its code.
    pub warning: String,
    /// The member that it is about.
    pub member: Option<Member>,
    /// The name that it is about.
    pub name: Option<String>,
    /// The file or directory that it is about.
    pub path: Option<String>,
    /// The number of things that it is about.
    pub count: Option<u64>,
    /// The reason, as the system reports it.
    pub why: Option<String>,
    /// Why there is no link to the tracker.
    pub trouble: Option<Trouble>,
}

/// What a node has counted since its start, beside what its own row tells, and how much waits in it
/// now. It has no names of members or files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CountsRow {
    /// The number of links to members.
    pub links: u64,
    /// The number of files in the listings that it keeps, each counted for each member.
    pub entries: u64,
    /// Small files sent over links.
    pub small_sent: FilesMoved,
    /// Small files received over links.
    pub small_received: FilesMoved,
    /// Large files of which bytes were sent, each counted for each session.
    pub large_sent: u64,
    /// Large files that were fetched.
    pub large_received: u64,
    /// Messages on links between a member and the tracker, sent by this node, by kind.
    pub messages_sent: BTreeMap<String, u64>,
    /// The same, received by this node.
    pub messages_received: BTreeMap<String, u64>,
    /// Connections to its port that were refused during the handshake, by reason.
    pub handshakes_refused: BTreeMap<String, u64>,
    /// What waits for the node, by queue.
    pub waiting: BTreeMap<String, u64>,
}

/// Files that went one way, whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesMoved {
    /// Their number.
    pub files: u64,
    /// The bytes in them.
    pub bytes: u64,
}

/// What has happened to a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// The row is new or different.
    Now(Box<SnapshotRow>),
    /// The row no longer exists.
    Gone(Gone),
}

/// Identifies a row that no longer exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Gone {
    /// The row of a peer.
    Peer {
        /// Its key: 52 characters of base32.
        id: String,
    },
    /// The row of a transfer that has ended, successfully or not.
    Transfer {
        /// The file's root, 64 hexadecimal digits.
        root: String,
    },
    /// The row of an upload on which nothing goes any more.
    Upload {
        /// Its number.
        upload: u64,
    },
}

/// The news for a reader that knows everything up to a number.
#[derive(Clone, Debug, PartialEq)]
pub enum Fresh {
    /// The rows that have changed since, the latest change last.
    Changes {
        /// The number of the latest change that is included.
        number: u64,
        /// The changed rows.
        changes: Vec<Change>,
    },
    /// The reader is too far behind: it has to read all pages again, and then the changes after
    /// this number.
    StartAgain {
        /// The number of the latest change.
        number: u64,
    },
}

impl Ask {
    /// Asks for the first rows of a part.
    pub fn first(part: Part, limit: usize) -> Self {
        Self {
            part,
            at: At::Start,
            limit,
            names: usual_names(),
        }
    }

    /// Asks for all neighbours of a peer, as needed by [`Page::neighbours`].
    pub fn neighbours() -> Self {
        Self {
            names: LISTED_NEIGHBOURS,
            ..Self::first(Part::Peers, usize::MAX)
        }
    }

    /// Whether ids are valid, and the place belongs to the part.
    pub fn is_possible(&self) -> bool {
        let is_id = |id: &str| id.parse::<PeerId>().is_ok();
        let has_part = match &self.part {
            Part::FilesOf { id } => is_id(id),
            Part::Found { words } => Words::new(words).is_some(),
            _ => true,
        };
        let has_place = match &self.at {
            At::Start | At::End => true,
            At::After(key) | At::From(key) | At::Before(key) => match (&self.part, key) {
                (Part::Peers, RowKey::Peer { id, .. }) => is_id(id),
                (Part::Files | Part::FilesOf { .. }, RowKey::File { name, .. }) => {
                    name.parse::<Name>().is_ok()
                }
                (Part::Found { .. }, RowKey::File { name, .. }) => {
                    name.parse::<Name>().is_ok() && matches!(self.at, At::After(_))
                }
                (Part::Folder { .. }, RowKey::File { .. } | RowKey::Folder { .. }) => {
                    matches!(self.at, At::After(_))
                }
                (Part::LeftOut, key) => key.as_path().is_some(),
                _ => false,
            },
        };
        let is_forwards = match &self.part {
            Part::Found { .. } | Part::Folder { .. } => self.at != At::End,
            _ => true,
        };
        has_part && has_place && is_forwards
    }
}

impl Page {
    /// Returns the end of an answer that consists of this page.
    pub(crate) fn done(&self) -> Done {
        Done {
            count: self.rows.len() as u64,
            ..Done::default()
        }
    }

    /// Returns the request for the page after this one, given this page's request; `None` after
    /// the last page. After a [`busy`](Self::busy) page that is the same request once more.
    pub fn next(&self, ask: &Ask) -> Option<Ask> {
        if self.busy {
            return Some(ask.clone());
        }
        let last = || self.rows.last().filter(|_| self.more)?.key();
        let after = self.reached.clone().or_else(last)?;
        Some(Ask {
            at: At::After(after),
            ..ask.clone()
        })
    }

    /// Returns the neighbours in it, as `thorp neighbours` lists them.
    pub fn neighbours(self) -> impl Iterator<Item = PeerRow> {
        self.rows.into_iter().filter_map(|row| match row {
            SnapshotRow::Peer(peer) => Some(peer.into()),
            _ => None,
        })
    }
}

impl SnapshotRow {
    /// Returns its place, in a part with many rows.
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
            Self::Folder(folder) => Some(RowKey::Folder {
                name: folder.name.clone(),
            }),
            Self::LeftOut(row) => Some(RowKey::Path {
                path: row.path.clone(),
                bytes: row.bytes.clone(),
            }),
            _ => None,
        }
    }

    /// Returns its approximate size on the local socket, in bytes.
    pub(crate) fn cost(&self) -> usize {
        const ROW: usize = 300;
        const MEMBER: usize = 130;
        let names = |names: &[String]| names.iter().map(|name| name.len() + 3).sum::<usize>();
        ROW + match self {
            Self::Peer(peer) => names(&peer.names) + MEMBER * peer.neighbours.len(),
            Self::File(file) => file.name.len() + MEMBER * file.holders.len(),
            Self::Listed(file) => file.name.len() + MEMBER,
            Self::Folder(folder) => folder.name.len(),
            Self::Node(_) | Self::Tracker(_) | Self::Share(_) => ROW,
            Self::Counts(_) => 4 * ROW,
            Self::LeftOut(row) => 3 * row.path.len(),
            Self::Transfer(transfer) => MEMBER * transfer.sent_by.len() + transfer.pieces.len(),
            Self::Upload(_) | Self::Swarm(_) => MEMBER,
            Self::Warning(warning) => warning.cost(),
        }
    }
}

impl RowKey {
    /// Returns its path, if it has one.
    pub(crate) fn as_path(&self) -> Option<PathBuf> {
        match self {
            Self::Path { path, bytes: None } => Some(path.into()),
            Self::Path {
                bytes: Some(bytes), ..
            } => {
                let bytes = HEXLOWER.decode(bytes.as_bytes()).ok()?;
                Some(OsString::from_vec(bytes).into())
            }
            Self::Peer { .. } | Self::File { .. } | Self::Folder { .. } => None,
        }
    }
}

impl LeftOutRow {
    /// Makes the row of something at this path, relative to the share.
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
    /// Returns the approximate size of its texts, in bytes.
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

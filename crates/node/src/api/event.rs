//! The events of which an answer consists.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::notice::Note;
use super::rows::{
    Done, Fetched, FileRow, GroupMember, Hashing, MadeTorrent, PeerRow, Progress, Status,
    TrackerStatus,
};
use super::snapshot::{Change, Page};

/// Bytes of a file. On a line there is only how many they are: they follow it as they are.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileBytes {
    /// How many.
    pub length: usize,
    /// The bytes.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

impl FileBytes {
    /// These bytes.
    pub fn of(bytes: Vec<u8>) -> Self {
        Self {
            length: bytes.len(),
            bytes,
        }
    }
}

impl fmt::Debug for FileBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.length)
    }
}

/// A part of an answer. Every answer ends with exactly one [`Event::Done`] or [`Event::Error`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A file, in answer to `find` and `ls`.
    File(FileRow),
    /// A peer, in answer to `peers` and `neighbours`.
    Peer(PeerRow),
    /// The answer to `status`.
    Status(Status),
    /// Several contents have this name. [`Failure::Ambiguous`] follows.
    Choice {
        /// The name as the user gave it.
        name: String,
        /// The contents, those with the most holders first.
        variants: Vec<FileRow>,
    },
    /// The answer to `status` from a tracker.
    Tracker(TrackerStatus),
    /// The answer to `invite`.
    Invite {
        /// The line to paste on another machine. Any machine that has it can join.
        invite: String,
    },
    /// How a browser gets to the node's page, in answer to
    /// [`Command::Page`](super::Command::Page).
    Link {
        /// The address with a code, which is good once and soon.
        link: String,
        /// The same without the code.
        address: String,
    },
    /// A member of the group, in answer to `members` and `remove`.
    Member(GroupMember),
    /// The group's hard state, in answer to [`Command::Backup`].
    Backup {
        /// The text of a file for `--restore`. It contains the group's CA.
        backup: String,
    },
    /// A torrent of a shared file, in answer to [`Command::Torrent`](super::Command::Torrent).
    Torrent(MadeTorrent),
    /// A part of a large file is there from an earlier fetch; only the rest is fetched.
    Resumed {
        /// The file's name as it is listed.
        name: String,
        /// Bytes that are there. Some may turn out not to belong to the file.
        bytes: u64,
        /// The file's length in bytes.
        of_bytes: u64,
    },
    /// The get waits for a wanted file that its holder is still hashing.
    Hashing(Hashing),
    /// The progress of a get.
    Progress(Progress),
    /// A file has been fetched, verified and stored under its name.
    Fetched(Fetched),
    /// One of several files could not be fetched; the get of the others continues.
    Failed {
        /// The name as the user gave it, or as the file is listed.
        name: String,
        /// Why it could not be fetched.
        failure: Failure,
    },
    /// A file cannot be fetched now, and the get waits for it.
    Waiting {
        /// The name as the user gave it, or as the file is listed.
        name: String,
        /// Why it cannot be fetched now.
        failure: Failure,
    },
    /// A remark without any effect on the answer.
    Note(Note),
    /// The answer to [`Command::Snapshot`](super::Command::Snapshot).
    Page(Page),
    /// Which rows have changed, in answer to [`Command::Watch`](super::Command::Watch).
    Changes {
        /// The number of the latest change that is included.
        number: u64,
        /// The changed rows, the latest change last.
        changes: Vec<Change>,
    },
    /// A caller that watches is too far behind and has to read all pages again. Only changes
    /// after this number will be sent.
    StartAgain {
        /// The number of the latest change.
        number: u64,
    },
    /// The next bytes of a file, in answer to [`Command::Read`](super::Command::Read).
    Bytes(FileBytes),
    /// The command succeeded.
    Done(Done),
    /// The command failed.
    Error(Failure),
}

impl Event {
    /// Whether the answer ends with it.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Done(_) | Self::Error(_))
    }
}

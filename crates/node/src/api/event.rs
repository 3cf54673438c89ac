//! Answers, a piece at a time.

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::notice::Note;
use super::rows::{
    Done, Fetched, FileRow, GroupMember, Hashing, PeerRow, Progress, Status, TrackerStatus,
};
use super::snapshot::{Change, Page};

/// Part of an answer. Every answer ends with one [`Event::Done`] or one
/// [`Event::Error`], and nothing follows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A file, in answer to `find` and `ls`.
    File(FileRow),
    /// A peer, in answer to `peers` and `neighbours`.
    Peer(PeerRow),
    /// The answer to `status`.
    Status(Status),
    /// Several contents go by this name: [`Failure::Ambiguous`] follows.
    Choice {
        /// As it was asked for.
        name: String,
        /// What it could be, most holders first.
        variants: Vec<FileRow>,
    },
    /// The answer to `status` from a tracker.
    Tracker(TrackerStatus),
    /// The answer to `invite`.
    Invite {
        /// A line to paste on another machine. Any machine that has it can join.
        invite: String,
    },
    /// A member of the group, in answer to `members` and `remove`.
    Member(GroupMember),
    /// The group's hard state, in answer to [`Command::Backup`].
    Backup {
        /// The text of a file for `--restore`. Its owner has the group's CA.
        backup: String,
    },
    /// Much of a large file is there from an earlier fetch; only the rest travels.
    Resumed {
        /// As it is listed.
        name: String,
        /// Bytes that are there, but for what turns out not to be of the file.
        bytes: u64,
        /// Bytes in the file.
        of_bytes: u64,
    },
    /// A wanted file is still being hashed by its holder, and is waited for.
    Hashing(Hashing),
    /// How far a fetch has come.
    Progress(Progress),
    /// A file has arrived, verified, under its name.
    Fetched(Fetched),
    /// One of several files could not be fetched; the others go on.
    Failed {
        /// As it was asked for, or as it is listed.
        name: String,
        /// Why.
        failure: Failure,
    },
    /// A file does not come now, and is waited for.
    Waiting {
        /// As it was asked for, or as it is listed.
        name: String,
        /// Why it does not come.
        failure: Failure,
    },
    /// A remark that changes nothing.
    Note(Note),
    /// The answer to [`Command::Snapshot`](super::Command::Snapshot).
    Page(Page),
    /// What has changed, in answer to [`Command::Watch`](super::Command::Watch).
    Changes {
        /// Everything up to the change with this number is in it.
        number: u64,
        /// The rows, those that changed last at the end.
        changes: Vec<Change>,
    },
    /// A caller that watches is too far behind for that: it pages anew. What
    /// changes after this number will be told.
    StartAgain {
        /// That of the latest change.
        number: u64,
    },
    /// All went well.
    Done(Done),
    /// It did not go well.
    Error(Failure),
}

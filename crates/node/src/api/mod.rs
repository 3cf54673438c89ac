//! What a user can ask of a running node, and what it answers.
//!
//! ```text
//! mod      commands, and which node answers which
//! event    answers, a piece at a time
//! line     the same as lines of the local socket, and of another version
//! rows     what answers are made of
//! snapshot what a node shows of itself
//! tracked  in it: who is there and who has what, and what each value comes from
//! notice   what happens without being asked for
//! failure  what went wrong, and which exit code that is
//! ```
//!
//! These values travel as JSON lines over the local socket. Nothing here is a
//! sentence: what went wrong and what is remarked are codes with their values,
//! and the program says it in its own words. `--json` prints the same rows, with
//! the fields that `docs/json.md` has, and the program's sentences.

mod event;
mod failure;
mod line;
mod notice;
mod rows;
pub mod snapshot;
pub(crate) mod tracked;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use snapshot::Ask;

pub use event::Event;
pub use failure::{Doubt, ErrorKind, Failure, Gap, Inquiry, Miss, Obstacle, Trouble};
pub use line::{command_of, event_of, line_of, line_of_command};
pub use notice::{Note, Notice, Warning};
pub use rows::{
    AnswerSource, Done, Fetched, FileRow, GroupMember, Hashing, HolderRow, Member, MemberRole,
    Offered, PartialFiles, PeerRow, Progress, Provenance, Status, TrackerStatus,
};
pub use thorp_core::get::Folders;
pub use thorp_core::spared::{Lookups, Spared};

/// A request to a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Command {
    /// Fetch files.
    Get(Get),
    /// List the files that match a pattern, wherever they are.
    Find {
        /// A glob, on the full path or, without `/`, on the base name.
        pattern: String,
    },
    /// List one peer's files, or those of all peers.
    Ls {
        /// A name, an address, or the start of an id; where no folder is named and
        /// no peer is called so, a folder.
        peer: Option<String>,
        /// Only what is in this folder.
        #[serde(default)]
        folder: Option<String>,
    },
    /// List the peers that are present.
    Peers,
    /// List this peer's neighbours.
    Neighbours,
    /// Say how this peer is.
    Status,
    /// Say goodbye to every member with a link, and end.
    Stop,
    /// Make an invite.
    Invite {
        /// How many machines may join with it.
        uses: u32,
        /// How long it is good for.
        seconds: u64,
    },
    /// List the members of the group.
    Members,
    /// Remove a member.
    Remove {
        /// Its key: 52 characters of base32.
        id: String,
    },
    /// Copy the group's hard state.
    Backup,
    /// Show a page of what the node shows of itself.
    Snapshot(Ask),
    /// Tell which rows of it have changed since a number, and go on telling.
    Watch {
        /// That of a page, or of changes told before.
        since: u64,
    },
}

/// Which files to fetch, and where to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Get {
    /// File names or globs.
    pub names: Vec<String>,
    /// An absolute directory to write to, instead of the share.
    pub dir: Option<PathBuf>,
    /// Another name for the file (with one name only).
    pub rename: Option<String>,
    /// Replace what is there.
    pub overwrite: bool,
    /// What is in the way gets this name, beside where it was, once the wanted
    /// file has arrived (with one name only).
    pub set_aside: Option<String>,
    /// Only from this peer: a name, an address, or the start of an id.
    pub from: Option<String>,
    /// Only the content whose root starts so.
    pub root: Option<String>,
    /// What is waited for.
    pub wait: Wait,
    /// Files that may act by lying there come by a pattern or a base name too.
    pub hidden: bool,
    /// Whether a name may be a folder's.
    pub folders: Folders,
}

/// What a fetch waits for when it does not come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    /// Nothing.
    #[default]
    No,
    /// Files that were begun, until they come.
    Begun,
    /// All, those too that no peer has yet, for so many seconds; or until they come.
    All(Option<u64>),
}

/// Which node answers a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedOf {
    /// A peer: the one that runs, or a visitor in its place.
    Peer,
    /// The peer that runs: a visitor knows nothing of it.
    RunningPeer,
    /// The node that runs, peer or tracker.
    RunningNode,
    /// The machine that keeps the group's CA, while its tracker runs.
    RunningTracker,
    /// The machine that keeps the group's CA, whether its tracker runs or not.
    Keeper,
}

impl Command {
    /// Which node answers it.
    pub fn asked_of(&self) -> AskedOf {
        match self {
            Self::Get(_) | Self::Find { .. } | Self::Ls { .. } | Self::Peers => AskedOf::Peer,
            Self::Neighbours => AskedOf::RunningPeer,
            Self::Status | Self::Stop | Self::Snapshot(_) | Self::Watch { .. } => {
                AskedOf::RunningNode
            }
            Self::Invite { .. } => AskedOf::RunningTracker,
            Self::Members | Self::Remove { .. } | Self::Backup => AskedOf::Keeper,
        }
    }
}

/// Commands of each kind.
#[cfg(test)]
pub(crate) fn one_of_each() -> Vec<Command> {
    let text = String::new;
    let all = vec![
        Command::Get(Get::default()),
        Command::Find { pattern: text() },
        Command::Ls {
            peer: None,
            folder: None,
        },
        Command::Peers,
        Command::Neighbours,
        Command::Status,
        Command::Stop,
        Command::Invite {
            uses: 1,
            seconds: 1,
        },
        Command::Members,
        Command::Remove { id: text() },
        Command::Backup,
        Command::Snapshot(Ask::first(snapshot::Part::Node, 1)),
        Command::Watch { since: 0 },
    ];
    // A new one is not compiled before it stands above.
    for command in &all {
        match command {
            Command::Get(_)
            | Command::Find { .. }
            | Command::Ls { .. }
            | Command::Peers
            | Command::Neighbours
            | Command::Status
            | Command::Stop
            | Command::Invite { .. }
            | Command::Members
            | Command::Remove { .. }
            | Command::Backup
            | Command::Snapshot(_)
            | Command::Watch { .. } => {}
        }
    }
    all
}

//! What a user can ask of a running node, and what it answers.
//!
//! ```text
//! mod      commands, and which node answers each
//! event    the events of which an answer consists
//! line     events as lines of the local socket, also those of another version
//! rows     the rows of answers
//! path     paths in JSON, also those that are no UTF-8
//! snapshot what a node shows of itself
//! tracked  its rows of peers and files, and where each value comes from
//! notice   what a node reports unasked
//! failure  what went wrong, and the exit code
//! ```
//!
//! These values travel as JSON lines over the local socket. Failures and remarks are codes with
//! their values, not sentences: the program has its own words for them. `--json` prints the same
//! rows, with the fields described in `docs/json.md`, and the program's sentences.

mod event;
mod failure;
mod line;
mod notice;
mod path;
mod rows;
pub mod snapshot;
pub(crate) mod tracked;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thorp_core::get::Patience;

use snapshot::Ask;

pub use event::{Event, FileBytes};
pub use failure::{
    Doubt, ErrorKind, Failure, Gap, Inquiry, Miss, NoRoom, Obstacle, PageTrouble, Trouble,
};
pub use line::{add_line, command_of, event_of, line_of, line_of_command};
pub use notice::{Note, Notice, Warning};
pub use path::JsonPath;
pub use rows::{
    AnswerSource, Done, Fetched, FileRow, GroupMember, Hashing, HolderRow, MadeTorrent, Member,
    MemberRole, Offered, PartialFiles, PeerRow, Progress, Provenance, ShareLook, Status,
    TrackerStatus,
};
pub use thorp_core::get::Folders;
pub use thorp_core::spared::{Lookups, Spared};
pub use thorp_core::swarms::SwarmTotals;

/// The reason that other members are given when its user stops a node.
pub const STOPPED_BY_USER: &str = "stopped by its user";

/// A request to a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Command {
    /// Fetch files.
    Get(Get),
    /// List the files that match a pattern, of all peers.
    Find {
        /// A glob that is matched with the whole path or, without `/`, with the base name.
        pattern: String,
    },
    /// List one peer's files, or those of all peers.
    Ls {
        /// A name, an address, or the start of an id. If no peer matches and `folder` is `None`,
        /// it is taken for a folder.
        peer: Option<String>,
        /// List only this folder.
        #[serde(default)]
        folder: Option<String>,
    },
    /// List the peers that are present.
    Peers,
    /// List this peer's neighbours.
    Neighbours,
    /// Report the node's state.
    Status,
    /// Say goodbye to every member with a link, and end.
    Stop,
    /// Make a link to the node's page, and wait until a browser has used it.
    Page,
    /// Make an invite.
    Invite {
        /// How many machines may join with it.
        uses: u32,
        /// How long the invite is valid.
        seconds: u64,
    },
    /// List the members of the group.
    Members,
    /// Remove a member.
    Remove {
        /// The member's key: 52 characters of base32.
        id: String,
    },
    /// Copy the group's hard state.
    Backup,
    /// Read a file while it arrives: its bytes follow one another in [`Event::Bytes`].
    Read(Read),
    /// Fetch the files of a torrent.
    GetTorrent(GetTorrent),
    /// Make a torrent of a file in this peer's share, for ordinary BitTorrent clients.
    Torrent(TorrentOf),
    /// Return a page of the node's snapshot.
    Snapshot(Ask),
    /// Send the rows of the snapshot that have changed since a number, and go on doing so.
    Watch {
        /// The number of a page, or of changes sent before.
        since: u64,
    },
}

/// Which files to fetch, and where to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Get {
    /// File names or globs.
    pub names: Vec<String>,
    /// Whether they are names only: a `*` or `[` in one is a character of it.
    pub exact: bool,
    /// An absolute path of the directory to write to, instead of the share.
    #[serde(default, with = "path::optional")]
    pub dir: Option<PathBuf>,
    /// Another name for the file. Allowed with a single name only.
    pub rename: Option<String>,
    /// Whether existing files are replaced.
    pub overwrite: bool,
    /// The name that an existing file gets, in the same directory, once the wanted file has
    /// arrived. Allowed with a single name only.
    pub set_aside: Option<String>,
    /// The only peer to fetch from: a name, an address, or the start of an id.
    pub from: Option<String>,
    /// The beginning of the content's root.
    pub root: Option<String>,
    /// What the get waits for.
    pub wait: Wait,
    /// Whether a pattern or a base name also matches files that may act by merely being there
    /// (see [`thorp_wire::reserved::acts_unasked`]).
    pub hidden: bool,
    /// Whether a name may be that of a folder.
    pub folders: Folders,
}

/// Which file to read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Read {
    /// The file's name, or the last part of it. It is no pattern.
    pub name: String,
    /// The only peer to read from: a name, an address, or the start of an id.
    pub from: Option<String>,
    /// The beginning of the content's root.
    pub root: Option<String>,
    /// Whether the last part of a path also means files that may act by merely being there.
    pub hidden: bool,
}

/// Of which torrent the files are fetched, and where to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetTorrent {
    /// The torrent.
    pub torrent: TorrentSource,
    /// By what the user named it, for messages.
    pub given: String,
    /// An absolute path of the directory to write to, instead of the share.
    #[serde(default, with = "path::optional")]
    pub dir: Option<PathBuf>,
    /// Whether existing files are replaced.
    #[serde(default)]
    pub overwrite: bool,
    /// Whether files are fetched as well that may act by merely being there.
    #[serde(default)]
    pub hidden: bool,
    /// What the get waits for.
    #[serde(default)]
    pub wait: Wait,
}

/// What a user has of a torrent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TorrentSource {
    /// The torrent itself, in base64.
    Torrent(LongText),
    /// A magnet link.
    Magnet(String),
}

/// A text that may have mebibytes, which those share who hold the same command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct LongText(Arc<str>);

impl LongText {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for LongText {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<LongText> for String {
    fn from(text: LongText) -> Self {
        text.as_str().to_owned()
    }
}

/// Which torrent is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TorrentOf {
    /// The path of a file or a folder in the share, or the last part of it.
    pub name: String,
    /// Whether the torrent is one of v2; otherwise it is one of v1.
    #[serde(default)]
    pub v2: bool,
    /// Whether clients may learn of one another elsewhere than from the group's tracker.
    #[serde(default)]
    pub public: bool,
    /// Whether the torrent itself is wanted, beside the magnet link.
    #[serde(default)]
    pub whole: bool,
}

/// What a get waits for if a file cannot be fetched at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    /// The get waits for nothing.
    #[default]
    No,
    /// The get waits for files that it has begun to fetch.
    Begun,
    /// The get waits for all files, even those that no peer has yet, for this many seconds or
    /// without a limit.
    All(Option<u64>),
}

impl From<Wait> for Patience {
    fn from(wait: Wait) -> Self {
        match wait {
            Wait::No => Self::None,
            Wait::Begun => Self::Begun,
            Wait::All(seconds) => Self::For(seconds.map(Duration::from_secs)),
        }
    }
}

/// Which node answers a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedOf {
    /// A peer: the running one, or a visitor in its place.
    Peer,
    /// The running peer: a visitor has nothing to answer.
    RunningPeer,
    /// The running node, peer or tracker.
    RunningNode,
    /// The machine that keeps the group's CA, while its tracker runs.
    RunningTracker,
    /// The machine that keeps the group's CA, whether its tracker runs or not.
    Keeper,
}

impl Command {
    /// Returns how many events of an answer may wait for the caller, which are `most` as a rule.
    /// Bytes of a file take more memory than others.
    pub(crate) fn events_that_wait(&self, most: usize) -> usize {
        match self {
            // It is told more when it has taken what was told before.
            Self::Watch { .. } | Self::Read(_) => 1,
            _ => most,
        }
    }

    /// Returns which node answers it.
    pub fn asked_of(&self) -> AskedOf {
        match self {
            Self::Get(_)
            | Self::Read(_)
            | Self::GetTorrent(_)
            | Self::Find { .. }
            | Self::Ls { .. }
            | Self::Peers => AskedOf::Peer,
            Self::Neighbours | Self::Torrent(_) => AskedOf::RunningPeer,
            Self::Status | Self::Stop | Self::Page | Self::Snapshot(_) | Self::Watch { .. } => {
                AskedOf::RunningNode
            }
            Self::Invite { .. } => AskedOf::RunningTracker,
            Self::Members | Self::Remove { .. } | Self::Backup => AskedOf::Keeper,
        }
    }
}

/// Returns one command of each kind.
#[cfg(test)]
pub(crate) fn one_of_each() -> Vec<Command> {
    let text = String::new;
    let all = vec![
        Command::Get(Get::default()),
        Command::Read(Read::default()),
        Command::GetTorrent(GetTorrent {
            torrent: TorrentSource::Torrent(text().into()),
            given: text(),
            dir: None,
            overwrite: false,
            hidden: false,
            wait: Wait::No,
        }),
        Command::Find { pattern: text() },
        Command::Ls {
            peer: None,
            folder: None,
        },
        Command::Peers,
        Command::Neighbours,
        Command::Status,
        Command::Stop,
        Command::Page,
        Command::Invite {
            uses: 1,
            seconds: 1,
        },
        Command::Members,
        Command::Remove { id: text() },
        Command::Backup,
        Command::Torrent(TorrentOf {
            name: text(),
            v2: true,
            public: true,
            whole: true,
        }),
        Command::Snapshot(Ask::first(snapshot::Part::Node, 1)),
        Command::Watch { since: 0 },
    ];
    // A new command does not compile until it is also in the list above.
    for command in &all {
        match command {
            Command::Get(_)
            | Command::Read(_)
            | Command::GetTorrent(_)
            | Command::Find { .. }
            | Command::Ls { .. }
            | Command::Peers
            | Command::Neighbours
            | Command::Status
            | Command::Stop
            | Command::Page
            | Command::Invite { .. }
            | Command::Members
            | Command::Remove { .. }
            | Command::Backup
            | Command::Torrent(_)
            | Command::Snapshot(_)
            | Command::Watch { .. } => {}
        }
    }
    all
}

//! What a person can ask of a running node, and what it answers.
//!
//! The same values travel as JSON lines over the local socket and out of
//! `--json`: their field names are part of the interface, documented in
//! `docs/json.md`. Nothing here talks to a person; texts for people are made in
//! the program, from these.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A request to a running peer.
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
    /// List one peer's files, or everybody's.
    Ls {
        /// A name, an address, or the start of an id.
        peer: Option<String>,
    },
    /// List the peers that are present.
    Peers,
    /// List this peer's neighbours.
    Neighbours,
    /// Say how this peer is.
    Status,
    /// Say goodbye to everybody and end.
    Stop,
    /// Make an invite. A tracker does.
    Invite {
        /// How many machines may join with it.
        uses: u32,
        /// How long it is good for.
        seconds: u64,
    },
    /// List the members of the group. Whoever keeps the group's CA does.
    Members,
    /// Remove a member. Whoever keeps the group's CA does.
    Remove {
        /// Its key: 52 characters of base32.
        id: String,
    },
    /// Copy the group's hard state. Whoever keeps the group's CA does.
    Backup,
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
}

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
    /// Several contents go by this name: an error with [`ErrorKind::Ambiguous`] follows.
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
        /// A line to paste on another machine. Whoever has it can join.
        invite: String,
    },
    /// A member of the group, in answer to `members` and `remove`.
    Member(GroupMember),
    /// The group's hard state, in answer to [`Command::Backup`].
    Backup {
        /// The text of a file for `--restore`. Whoever has it is the group.
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
    /// A wanted file is still being hashed by whoever has it, and is waited for.
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
        #[serde(flatten)]
        failure: Failure,
    },
    /// A remark that changes nothing.
    Note {
        /// For a person.
        message: String,
    },
    /// All went well.
    Done(Done),
    /// It did not go well.
    Error(Failure),
}

/// A file somebody has: one row for each (name, content).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRow {
    /// Its path in the share.
    pub name: String,
    /// In bytes.
    pub length: u64,
    /// Last modified, in seconds since 1970.
    pub mtime: i64,
    /// 64 hexadecimal digits, once it has been hashed.
    pub root: Option<String>,
    /// Who has it.
    pub holders: Vec<Holder>,
}

/// Somebody who has a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Who.
    #[serde(flatten)]
    pub member: Member,
    /// It is fetching the file, and has a part of it so far.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
}

/// Somebody in the group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// 52 characters of base32.
    pub id: String,
    /// Its human name.
    pub name: Option<String>,
    /// Its IP address.
    pub address: String,
    /// Its port.
    pub port: u16,
}

/// A peer that is present.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRow {
    /// Who.
    #[serde(flatten)]
    pub member: Member,
    /// Files it lists.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// The addresses (or ids, where unknown) of its neighbours.
    pub neighbours: Vec<String>,
}

/// A member of the group, present or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMember {
    /// 52 characters of base32.
    pub id: String,
    /// Its human name.
    pub name: String,
    /// What it is to the group.
    pub role: MemberRole,
    /// When it joined, in seconds since 1970.
    pub since: u64,
    /// Whether it has been removed.
    pub removed: bool,
    /// Whether it is there now; unknown while the tracker does not run.
    pub present: Option<bool>,
}

/// What a member is to the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberRole {
    /// The tracker itself.
    Tracker,
    /// The peer that the tracker is inside of.
    Host,
    /// Any other machine.
    Member,
}

/// How a peer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Itself.
    pub id: String,
    /// Its human name.
    pub name: Option<String>,
    /// The share; nothing for a visitor.
    pub share: Option<PathBuf>,
    /// Where it listens.
    pub listen: Option<String>,
    /// Its tracker's address.
    pub tracker: Option<String>,
    /// Whether there is a link to the tracker now.
    pub tracker_connected: bool,
    /// The key of the group's CA.
    pub ca: String,
    /// Files it lists.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Files still to be hashed.
    pub unhashed: u64,
    /// Files and folders that were left out of the share.
    pub skipped: u64,
    /// Files of the share that were opened since it started, to be hashed or
    /// sent. What is remembered from an earlier start is not hashed again.
    pub opened: u64,
    /// Number of neighbours.
    pub neighbours: u64,
    /// Bytes of large files that were sent since the start.
    pub sent: u64,
    /// Bytes of large files that were received since the start.
    pub received: u64,
    /// Lookups so far, by who answered.
    pub lookups: Lookups,
    /// When its certificate ends, in seconds since 1970.
    pub certificate_ends: i64,
    /// Whether that is in less than ten days, though it is renewed daily.
    pub certificate_ends_soon: bool,
    /// The program's version.
    pub version: String,
}

/// How a tracker is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackerStatus {
    /// Itself.
    pub id: String,
    /// Where it listens.
    pub listen: String,
    /// The key of the group's CA.
    pub ca: String,
    /// Whether whoever asks is let in.
    pub open: bool,
    /// Peers that are present.
    pub peers: u64,
    /// Files they list, each counted for each peer.
    pub entries: u64,
    /// Questions about files that it was asked since it started.
    pub finds: u64,
    /// The program's version.
    pub version: String,
}

/// Who answered this peer's lookups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookups {
    /// Neighbours: from memory of their listings, or when asked.
    pub neighbours: u64,
    /// The tracker.
    pub tracker: u64,
    /// Nobody.
    pub nobody: u64,
}

/// How far the hashing of a wanted file has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashing {
    /// As it was asked for.
    pub name: String,
    /// Bytes in it.
    pub length: u64,
    /// Bytes that were hashed.
    pub hashed: u64,
    /// Who is at it.
    pub by: Option<Member>,
}

/// How far a fetch has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Files that have arrived or failed.
    pub files: u64,
    /// Files wanted.
    pub of_files: u64,
    /// Bytes that are there and verified.
    pub bytes: u64,
    /// Bytes wanted.
    pub of_bytes: u64,
    /// Bytes a second, over the last seconds.
    pub rate: u64,
    /// Seconds that the rest takes at this rate; nothing where nothing comes.
    pub eta: Option<u64>,
    /// Members that pieces of large files are coming from.
    pub sources: u32,
}

/// A file that has arrived.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fetched {
    /// As it is listed.
    pub name: String,
    /// Where it is now.
    pub path: PathBuf,
    /// In bytes.
    pub length: u64,
    /// 64 hexadecimal digits.
    pub root: String,
    /// Who sent it, or most of it; nobody for an empty file or one that was
    /// there already.
    pub from: Option<Member>,
    /// Everybody who sent some of it, whoever sent most first.
    pub sources: Vec<Member>,
    /// Bytes of it that came over the network: fewer than its length where some
    /// were there before, more where some came twice.
    pub received: u64,
    /// Who said where it is.
    pub answer: Provenance,
    /// From asking to having it, in milliseconds.
    pub ms: f64,
}

/// Who said where a file is, and whether the tracker was asked on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Which stage of the lookup answered.
    pub source: AnswerSource,
    /// The neighbour that answered when it was asked; nothing otherwise.
    pub via: Option<Member>,
    /// Whether the tracker was asked.
    pub tracker_asked: bool,
}

/// A stage of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerSource {
    /// This peer's own memory of a neighbour's listing: nobody was asked.
    Memory,
    /// A neighbour, when it was asked.
    Neighbour,
    /// The tracker.
    Tracker,
    /// It was there already.
    Local,
}

/// The end of an answer that went well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// Files fetched, or rows listed.
    pub count: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// How long it took, in milliseconds.
    pub ms: f64,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// For programs.
    pub kind: ErrorKind,
    /// For people: what, with which thing, and what to do now.
    pub message: String,
}

/// Kinds of failure; each is an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// Anything else.
    Other = 1,
    /// The command was not well-formed.
    Usage = 2,
    /// Nobody shares it now.
    NotFound = 3,
    /// Something is in the way at the target.
    Exists = 4,
    /// Several contents go by that name.
    Ambiguous = 5,
    /// The tracker, or every holder, is out of reach.
    Network = 6,
    /// Interrupted, or not finished.
    Unfinished = 7,
    /// What arrived was not what was listed.
    Verification = 8,
    /// This machine is not a member of a group.
    NotAMember = 9,
}

impl ErrorKind {
    /// The process's exit code.
    pub fn exit_code(self) -> u8 {
        self as u8
    }
}

/// What a peer's screen shows. A new one is published after every change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PeerView {
    /// Its neighbours, addresses in numerical order.
    pub neighbours: Vec<PeerRow>,
    /// Whether there is a link to the tracker.
    pub tracker_connected: bool,
    /// Files in its share.
    pub files: u64,
    /// Of these, still to be hashed.
    pub unhashed: u64,
}

/// What a tracker's screen shows: the two tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TrackerView {
    /// Peers, addresses in numerical order.
    pub peers: Vec<TrackedPeer>,
    /// Files, names in order, a row for each (name, content); the first
    /// [`TrackerView::MAX_ROWS`] of them.
    pub files: Vec<TrackedFile>,
    /// Rows in all.
    pub files_total: u64,
}

impl TrackerView {
    /// The most file rows, and the most file names in a peer's row, of a view.
    pub const MAX_ROWS: usize = 1000;
}

/// A row in the List of Peers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrackedPeer {
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
}

/// A row in the List of Files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrackedFile {
    /// Its name.
    pub name: String,
    /// The start of its root, where another content goes by the same name.
    pub root_prefix: Option<String>,
    /// Who has it, as their rows are called, in the rows' order.
    pub holders: Vec<String>,
}

/// Something that happened, worth a line for whoever watches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Notice {
    /// Dialling the tracker.
    Connecting {
        /// Its address.
        address: String,
        /// Its port.
        port: u16,
    },
    /// The tracker has accepted this peer.
    Connected,
    /// The tracker is out of reach or gone; trying goes on.
    TrackerLost {
        /// Why, for a person.
        reason: String,
    },
    /// Something to know, with nothing to do.
    Note {
        /// For a person.
        message: String,
    },
    /// A warning: what, with which thing, and what to do.
    Warning {
        /// For a person.
        message: String,
    },
}

//! What went wrong, as a code with its values, and which exit code that is.
//!
//! No sentences and no advice: those are the program's.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
pub use thorp_core::get::Doubt;
use thorp_group::clock::Apart;

use super::rows::{Member, MemberRole};

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Failure {
    /// No file was named.
    NothingNamed,
    /// Another name was given for more than one file.
    NotOneFile,
    /// A text that is to be a file's name is none.
    NotAName {
        /// The text.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// A text that is to be a pattern is none.
    NotAPattern {
        /// The text.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// The node that runs does not know the command: it is another version.
    UnknownCommand {
        /// What it says.
        why: String,
    },
    /// A page was asked for whose place is none in its part, or an id that is none.
    NotAPage,
    /// A peer was asked what the keeper of the group's CA is asked.
    NotTheKeeper,
    /// A tracker was asked what a peer is asked.
    NotAPeer,

    /// No peer shares the file now.
    NobodyShares {
        /// The only peer that it was to come from, as it was called.
        from: Option<String>,
        /// How the content's root was to begin.
        root: Option<String>,
    },
    /// No peer of this name is present.
    NoPeerCalled {
        /// As it was called.
        who: String,
    },
    /// Nobody lists a file in this folder.
    NoFolderCalled {
        /// As it was called.
        folder: String,
    },
    /// No peer of this name is present, and nobody lists a file in a folder of this name.
    NoPeerOrFolderCalled {
        /// As it was called.
        called: String,
    },
    /// The group has no member of this name, nor one whose id begins so.
    NoMemberCalled {
        /// As it was called.
        who: String,
        /// Of an id, this many characters are enough.
        least: usize,
    },
    /// The group has no member with this id.
    NoMemberWithId {
        /// The id.
        id: String,
    },
    /// Several members are called so, or have ids that begin so.
    SeveralMembers {
        /// As it was called.
        who: String,
    },
    /// This member keeps the group: without it the group ends.
    KeepsTheGroup {
        /// Its human name.
        name: String,
        /// The tracker, or its host.
        role: MemberRole,
    },
    /// It is not clear which file is meant.
    Ambiguous {
        /// As it was asked for.
        name: String,
        /// Why those that are offered are not taken.
        doubt: Doubt,
    },
    /// The name is a folder's, which is not fetched by it.
    IsFolder {
        /// The folder.
        name: String,
        /// Files in it.
        files: u64,
        /// Bytes in these.
        bytes: u64,
    },

    /// A file of that name is there already.
    Exists,
    /// thorp keeps the name for its own files.
    Reserved {
        /// The name.
        name: String,
    },
    /// A file cannot be put where it should be.
    Unstorable {
        /// The path that stands in the way, or was asked for.
        path: PathBuf,
        /// Why.
        obstacle: Obstacle,
    },

    /// The tracker cannot be asked.
    NoTracker {
        /// What for.
        inquiry: Inquiry,
        /// Why not, if that is known.
        trouble: Option<Trouble>,
    },
    /// What was found is not all there is.
    InPart {
        /// Why not.
        why: Gap,
    },
    /// The tracker has too much to do to be asked for a file.
    TrackerBusy,
    /// The tracker has no room for what some members share, and not all of these have
    /// answered.
    NotAllAsked,
    /// A file that others share does not come.
    Missed {
        /// As it was asked for, or as it is listed.
        name: String,
        /// Why.
        miss: Miss,
    },
    /// Several files have failed; each was told.
    Several {
        /// So many.
        failed: u64,
        /// Of so many.
        of: u64,
        /// The kind of all, or [`ErrorKind::Unfinished`].
        kind: ErrorKind,
    },

    /// The node that runs does not read what it is asked.
    NotAnswering {
        /// Its process, where that is known.
        process: Option<u32>,
        /// Whether that is suspended.
        is_suspended: bool,
    },
    /// A node that was told to stop has its state directory still.
    StillEnding {
        /// Its process, where that is known.
        process: Option<u32>,
        /// How long it was waited for, in seconds.
        waited: u64,
    },
    /// The peer is stopping.
    PeerStopping,
    /// The tracker is stopping.
    TrackerStopping,
    /// The group has removed this machine.
    Removed,
    /// The node gave an answer that is none.
    AnswerGarbled,
    /// The node's answer has no end.
    AnswerCutShort,
    /// The node that runs is another version, and this is a code of its own.
    OfAnotherVersion {
        /// The kind of it.
        kind: ErrorKind,
        /// As that version has it.
        said: String,
    },

    /// As many machines were removed as a group record can tell of.
    TooManyRemoved {
        /// So many.
        most: usize,
    },
    /// There are as many invites as there may be.
    TooManyInvites {
        /// So many.
        most: usize,
    },
    /// The group's tables are there, and its key is not.
    CaKeyMissing,
    /// A file in the state directory does not hold what it should.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file outside the share cannot be read or written.
    DiskFailed {
        /// What was tried, as a verb: `read`, `write`, `rename`.
        action: String,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        obstacle: Obstacle,
    },
    /// What a library says, where that is all there is to say.
    Library {
        /// For programs.
        kind: ErrorKind,
        /// Its own text.
        text: String,
    },
}

impl Failure {
    /// For programs.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NothingNamed
            | Self::NotOneFile
            | Self::NotAName { .. }
            | Self::NotAPattern { .. }
            | Self::UnknownCommand { .. }
            | Self::NotAPage
            | Self::NotTheKeeper
            | Self::NotAPeer
            | Self::IsFolder { .. } => ErrorKind::Usage,
            Self::NobodyShares { .. }
            | Self::NoPeerCalled { .. }
            | Self::NoFolderCalled { .. }
            | Self::NoPeerOrFolderCalled { .. }
            | Self::NoMemberCalled { .. }
            | Self::NoMemberWithId { .. } => ErrorKind::NotFound,
            Self::Ambiguous { .. } | Self::SeveralMembers { .. } => ErrorKind::Ambiguous,
            Self::Exists => ErrorKind::Exists,
            Self::Unstorable { obstacle, .. } => obstacle.kind(),
            Self::NoTracker { trouble, .. } => {
                trouble.as_ref().map_or(ErrorKind::Network, Trouble::kind)
            }
            Self::Missed { miss, .. } => miss.kind(),
            Self::InPart { .. }
            | Self::TrackerBusy
            | Self::NotAllAsked
            | Self::StillEnding { .. }
            | Self::PeerStopping
            | Self::TrackerStopping
            | Self::AnswerGarbled
            | Self::AnswerCutShort => ErrorKind::Unfinished,
            Self::Several { kind, .. }
            | Self::OfAnotherVersion { kind, .. }
            | Self::Library { kind, .. } => *kind,
            Self::Removed => ErrorKind::NotAMember,
            Self::NotAnswering { .. }
            | Self::KeepsTheGroup { .. }
            | Self::Reserved { .. }
            | Self::TooManyRemoved { .. }
            | Self::TooManyInvites { .. }
            | Self::CaKeyMissing
            | Self::Damaged { .. }
            | Self::DiskFailed { .. } => ErrorKind::Other,
        }
    }
}

/// Why a file cannot be put where it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Obstacle {
    /// What arrived is not what was listed.
    Mismatch,
    /// A file goes by the name of a folder that is needed.
    File,
    /// A folder goes by the name of the file.
    Folder,
    /// A pipe, a device or a socket goes by the name of the file.
    Special,
    /// The directory is no longer where it was.
    Moved,
    /// A symbolic link on the way leads out of the directory.
    LeadsOutside,
    /// The file system has no names that long.
    NameTooLong,
    /// The file system is mounted read-only.
    ReadOnly,
    /// There is no permission.
    Denied,
    /// The disk is full.
    Full,
    /// There is no such directory.
    NoDirectory,
    /// What the system says otherwise.
    Other(String),
}

impl Obstacle {
    /// What the system's error means for the user.
    pub fn from_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::Denied,
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            io::ErrorKind::NotFound => Self::NoDirectory,
            io::ErrorKind::InvalidFilename => Self::NameTooLong,
            _ => Self::Other(error.to_string()),
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::File | Self::Folder | Self::Special => ErrorKind::Exists,
            Self::Mismatch => ErrorKind::Verification,
            _ => ErrorKind::Other,
        }
    }
}

/// Why a file that others share does not come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Miss {
    /// It is still being hashed, and that does not get on.
    StillHashing {
        /// The holder that hashes it.
        by: Option<Member>,
    },
    /// Its holders have too much to do.
    Busy,
    /// Its holders cannot read it.
    Unreadable,
    /// It is too large for its holders to send.
    TooLarge,
    /// No holder can be reached.
    Unreachable {
        /// Why not the last one.
        why: String,
    },
    /// A holder did not answer.
    Silent {
        /// The holder.
        by: Member,
    },
    /// What a holder sent is not the file, and no other holder is left.
    Mismatch {
        /// The holder.
        by: Member,
    },
    /// It has changed at a holder since that listed it, and no other holder is left.
    Changed {
        /// The holder.
        at: Member,
    },
    /// No holder is left to send the rest.
    Unfinished {
        /// Why the last one is of no use.
        why: String,
        /// Bytes that have come and are kept.
        there: u64,
        /// Bytes in the file.
        of: u64,
    },
    /// No program could fetch it.
    Unfit {
        /// What is wrong with it.
        why: String,
    },
}

impl Miss {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::StillHashing { .. }
            | Self::Busy
            | Self::Changed { .. }
            | Self::Unfinished { .. } => ErrorKind::Unfinished,
            Self::Unreadable | Self::TooLarge | Self::Unfit { .. } => ErrorKind::Other,
            Self::Unreachable { .. } | Self::Silent { .. } => ErrorKind::Network,
            Self::Mismatch { .. } => ErrorKind::Verification,
        }
    }
}

/// Why what was found is not all there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "gap", rename_all = "kebab-case")]
pub enum Gap {
    /// The tracker has not answered in full.
    Cut,
    /// Nor has it, for it had too much to do.
    Busy,
    /// The tracker cannot be asked: it is what the neighbours know.
    NoTracker {
        /// Why, if that is known.
        trouble: Option<Trouble>,
    },
}

/// What the tracker was to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Inquiry {
    /// A file that no neighbour knows.
    Beyond,
    /// A file, by a visitor that has no neighbours.
    File,
    /// What there is in the group.
    Group,
}

/// Why there is no link to the tracker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "trouble", rename_all = "kebab-case")]
pub enum Trouble {
    /// It has ended.
    Lost {
        /// What the tracker or the connection said last.
        why: String,
    },
    /// None can be made.
    Unreachable {
        /// What was tried, and what came of it.
        why: String,
    },
    /// One of two clocks is wrong.
    ClocksApart(Apart),
    /// The group at that address has another CA than the one that was there.
    ChangedCa {
        /// The address.
        address: SocketAddr,
        /// The key that this machine knows.
        pinned: String,
        /// The key that was shown.
        shown: String,
    },
    /// Its certificate is not believed, or this machine's is not.
    Untrusted {
        /// The address.
        address: SocketAddr,
        /// What is wrong.
        why: String,
    },
}

impl Trouble {
    /// For programs.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Lost { .. } | Self::Unreachable { .. } => ErrorKind::Network,
            Self::ClocksApart(_) => ErrorKind::Other,
            Self::ChangedCa { .. } | Self::Untrusted { .. } => ErrorKind::NotAMember,
        }
    }
}

/// For logs and for other machines; the program tells its user.
impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { why } | Self::Unreachable { why } => f.write_str(why),
            Self::ClocksApart(apart) => apart.fmt(f),
            Self::ChangedCa { address, .. } => write!(f, "{address} has another CA"),
            Self::Untrusted { address, why } => write!(f, "{address} is not trusted: {why}"),
        }
    }
}

/// Kinds of failure; each is an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// Anything else.
    Other = 1,
    /// The command was not well-formed.
    Usage = 2,
    /// No peer shares it now.
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

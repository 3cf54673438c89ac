//! What went wrong, as a code with its values, and the exit code.
//!
//! There are no sentences and no advice here: those are in the program.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
pub use thorp_core::get::Doubt;
use thorp_group::clock::Apart;

use super::rows::{Member, MemberRole};
use crate::net::descriptors;

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Failure {
    /// The node serves no page.
    NoPage {
        /// Why it cannot, unless it was not asked to.
        why: Option<PageTrouble>,
    },
    /// A link to the page was made, and no browser has used it in time.
    LinkUnused,
    /// No file was named.
    NothingNamed,
    /// Another name was given for more than one file.
    NotOneFile,
    /// A text that should be a file's name is not valid.
    NotAName {
        /// The text.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// A text that should be a pattern is not valid.
    NotAPattern {
        /// The text.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// The running node does not know the command, because it is another version.
    UnknownCommand {
        /// The node's own message.
        why: String,
    },
    /// The command is longer than a node reads.
    CommandTooLong {
        /// The most bytes of a command.
        most: u64,
    },
    /// The place of the requested page does not fit its part, or an id is invalid.
    NotAPage,
    /// A peer was asked something that only the keeper of the group's CA answers.
    NotTheKeeper,
    /// A tracker was asked something that only a peer answers.
    NotAPeer,

    /// No peer shares the file now.
    NobodyShares {
        /// The only peer that it may come from, as the user named it.
        from: Option<String>,
        /// The beginning of the content's root, if the user gave one.
        root: Option<String>,
    },
    /// No other peer shares the file; this one does.
    OnlyHere {
        /// The name as the user gave it.
        name: String,
        /// The file's path in the share.
        at: String,
    },
    /// No peer of this name is present.
    NoPeerCalled {
        /// The peer as the user named it.
        who: String,
    },
    /// No peer lists a file in this folder.
    NoFolderCalled {
        /// The folder as the user named it.
        folder: String,
    },
    /// No peer of this name is present, and no peer lists a file in a folder of this name.
    NoPeerOrFolderCalled {
        /// The peer or folder as the user named it.
        called: String,
    },
    /// The group has no member of this name, nor one whose id begins like this.
    NoMemberCalled {
        /// The member as the user named it.
        who: String,
        /// The number of characters of an id that are enough to identify a member.
        least: usize,
    },
    /// The group has no member with this id.
    NoMemberWithId {
        /// The id.
        id: String,
    },
    /// Several members have this name, or ids that begin like this.
    SeveralMembers {
        /// The member as the user named it.
        who: String,
    },
    /// The member keeps the group, which would end without it.
    KeepsTheGroup {
        /// Its human name.
        name: String,
        /// Whether it is the tracker or its host.
        role: MemberRole,
    },
    /// It is not clear which file the user means.
    Ambiguous {
        /// The name as the user gave it.
        name: String,
        /// Why none of the files on offer is taken.
        doubt: Doubt,
    },
    /// The name is a folder's, which this get does not fetch.
    IsFolder {
        /// The folder's name.
        name: String,
        /// The number of files in the folder.
        files: u64,
        /// The bytes in these files.
        bytes: u64,
    },

    /// So many files are read already that no other one can be.
    TooManyReaders {
        /// How many may be read at once.
        most: usize,
    },
    /// A file is longer than all files together may be that are read while they arrive.
    NoRoomToRead {
        /// Its length in bytes.
        length: u64,
        /// The most bytes that such files may take (`read.cache_mib`).
        most: u64,
    },
    /// A file that is read while it arrives does not fit beside those that others read now.
    ReadersInTheWay {
        /// Its length in bytes.
        length: u64,
        /// The most bytes that such files may take (`read.cache_mib`).
        most: u64,
    },
    /// A file that is to be read while it arrives has no room on the disk with the state, by way of
    /// which it comes.
    NoDiskToRead {
        /// The state directory.
        #[serde(with = "super::path")]
        state: PathBuf,
        /// What is missing there, if that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<NoRoom>,
    },
    /// A file of this name exists already.
    Exists,
    /// thorp reserves the name for its own files.
    Reserved {
        /// The name.
        name: String,
    },
    /// A file cannot be stored where it should be.
    Unstorable {
        /// The path that is in the way, or that was requested.
        #[serde(with = "super::path")]
        path: PathBuf,
        /// Why the file cannot be stored.
        obstacle: Obstacle,
        /// Where the disk is full: what is missing there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<NoRoom>,
    },

    /// The group serves no ordinary BitTorrent clients.
    GroupServesNoClients,
    /// This peer does not serve its share to ordinary BitTorrent clients.
    ShareServesNoClients,
    /// What the user has given is no torrent, or none that can be fetched.
    NotATorrent {
        /// Why not.
        why: String,
    },
    /// This peer does not share a file of this name.
    NotInShare {
        /// The name as the user gave it.
        name: String,
    },
    /// This peer shares several files of this name.
    SeveralInShare {
        /// The name as the user gave it.
        name: String,
        /// The paths of some of them.
        paths: Vec<String>,
    },
    /// A folder has no file that is shared.
    NothingShared {
        /// The name as the user gave it.
        name: String,
    },
    /// A file is empty, or all files of a folder are, and so there is no torrent of it.
    Empty {
        /// The path in the share.
        name: String,
    },
    /// A torrent cannot be kept, and so this peer could not serve it.
    TorrentNotKept {
        /// The path of the file or folder in the share.
        name: String,
        /// Why not.
        why: String,
    },
    /// A torrent's info dictionary is longer than what clients are sent of a magnet link.
    TooLongForLink {
        /// The path of the file or folder in the share.
        name: String,
        /// How long the info dictionary is.
        bytes: u64,
    },
    /// A file of the share cannot be hashed.
    Unhashed {
        /// The file's path in the share.
        name: String,
        /// Why not.
        why: String,
    },

    /// The tracker cannot be asked.
    NoTracker {
        /// What it would have been asked for.
        inquiry: Inquiry,
        /// Why it cannot be asked, if that is known.
        trouble: Option<Trouble>,
    },
    /// The answer may be incomplete.
    InPart {
        /// Why.
        why: Gap,
    },
    /// The tracker has too much to do to look for a file.
    TrackerBusy,
    /// The tracker has no room for the listings of some members, and not all of these members
    /// have answered.
    NotAllAsked,
    /// A file that other peers share cannot be fetched.
    Missed {
        /// The name as the user gave it, or as the file is listed.
        name: String,
        /// Why it cannot be fetched.
        miss: Miss,
    },
    /// Several files have failed, each with its own event.
    Several {
        /// The number of files that have failed.
        failed: u64,
        /// The number of all files.
        of: u64,
        /// The kind of all failures if they are alike, otherwise [`ErrorKind::Unfinished`].
        kind: ErrorKind,
        /// Where the disk is full: what is missing there for those that do not fit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<NoRoom>,
    },

    /// The running node does not read the command.
    NotAnswering {
        /// The node's process id, if it is known.
        process: Option<u32>,
        /// Whether the process is suspended.
        is_suspended: bool,
    },
    /// A node that was told to stop still uses its state directory.
    StillEnding {
        /// The node's process id, if it is known.
        process: Option<u32>,
        /// How long the caller waited, in seconds.
        waited: u64,
    },
    /// The peer is stopping.
    PeerStopping,
    /// The tracker is stopping.
    TrackerStopping,
    /// The group has removed this machine.
    Removed,
    /// An answer of the node cannot be understood.
    AnswerGarbled,
    /// The node's answer has no end.
    AnswerCutShort,
    /// The running node is another version, with a code that this version does not know.
    OfAnotherVersion {
        /// The kind of the failure.
        kind: ErrorKind,
        /// The message or the code of that version.
        said: String,
    },

    /// The number of removed machines has reached the maximum of a group record.
    TooManyRemoved {
        /// That maximum.
        most: usize,
    },
    /// The number of invites has reached its maximum.
    TooManyInvites {
        /// That maximum.
        most: usize,
    },
    /// The group's tables exist, but the CA's key does not.
    CaKeyMissing,
    /// A file in the state directory has wrong content.
    Damaged {
        /// The file.
        #[serde(with = "super::path")]
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file outside the share cannot be read or written.
    DiskFailed {
        /// What was attempted, as a verb: `read`, `write`, `rename`.
        action: String,
        /// The file.
        #[serde(with = "super::path")]
        path: PathBuf,
        /// Why it failed.
        obstacle: Obstacle,
    },
    /// A library's error for which there is no code.
    Library {
        /// The kind of the failure.
        kind: ErrorKind,
        /// The library's own text.
        text: String,
    },
}

/// Why a node cannot serve its page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "trouble", rename_all = "kebab-case")]
pub enum PageTrouble {
    /// The port on loopback cannot be used.
    Port {
        /// Which one, at which of loopback's addresses.
        at: SocketAddr,
        /// What the system says.
        error: String,
    },
    /// The token by which programs read can be neither read nor written.
    Token {
        /// What the system says, with the file.
        error: String,
    },
    /// The system gives no random bytes for a token.
    NoRandomBytes,
}

impl Failure {
    /// Returns the kind of the failure, which decides the exit code.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NothingNamed
            | Self::NotOneFile
            | Self::NotAName { .. }
            | Self::NotAPattern { .. }
            | Self::UnknownCommand { .. }
            | Self::CommandTooLong { .. }
            | Self::NotAPage
            | Self::NotTheKeeper
            | Self::NotAPeer
            | Self::IsFolder { .. } => ErrorKind::Usage,
            Self::NobodyShares { .. }
            | Self::OnlyHere { .. }
            | Self::NoPeerCalled { .. }
            | Self::NoFolderCalled { .. }
            | Self::NoPeerOrFolderCalled { .. }
            | Self::NoMemberCalled { .. }
            | Self::NoMemberWithId { .. }
            | Self::NotInShare { .. }
            | Self::NothingShared { .. } => ErrorKind::NotFound,
            Self::Ambiguous { .. } | Self::SeveralMembers { .. } | Self::SeveralInShare { .. } => {
                ErrorKind::Ambiguous
            }
            Self::Exists => ErrorKind::Exists,
            Self::Unstorable { obstacle, .. } => obstacle.kind(),
            Self::NoTracker { trouble, .. } => {
                trouble.as_ref().map_or(ErrorKind::Network, Trouble::kind)
            }
            Self::Missed { miss, .. } => miss.kind(),
            Self::InPart { .. }
            | Self::TrackerBusy
            | Self::TooManyReaders { .. }
            | Self::ReadersInTheWay { .. }
            | Self::NotAllAsked
            | Self::StillEnding { .. }
            | Self::PeerStopping
            | Self::TrackerStopping
            | Self::AnswerGarbled
            | Self::AnswerCutShort
            | Self::Unhashed { .. } => ErrorKind::Unfinished,
            Self::Several { kind, .. }
            | Self::OfAnotherVersion { kind, .. }
            | Self::Library { kind, .. } => *kind,
            Self::Removed => ErrorKind::NotAMember,
            Self::NoPage { .. }
            | Self::LinkUnused
            | Self::NotAnswering { .. }
            | Self::KeepsTheGroup { .. }
            | Self::Reserved { .. }
            | Self::NoRoomToRead { .. }
            | Self::NoDiskToRead { .. }
            | Self::TooManyRemoved { .. }
            | Self::TooManyInvites { .. }
            | Self::CaKeyMissing
            | Self::Damaged { .. }
            | Self::GroupServesNoClients
            | Self::ShareServesNoClients
            | Self::NotATorrent { .. }
            | Self::Empty { .. }
            | Self::TorrentNotKept { .. }
            | Self::TooLongForLink { .. }
            | Self::DiskFailed { .. } => ErrorKind::Other,
        }
    }
}

/// Why a file cannot be stored where it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Obstacle {
    /// The bytes that arrived do not match the listed content.
    Mismatch,
    /// A file has the name of a folder that is needed.
    File,
    /// A folder has the name of the file.
    Folder,
    /// A pipe, a device or a socket has the name of the file.
    Special,
    /// The directory was moved or removed.
    Moved,
    /// A folder that a file was on its way into was moved or removed, or what had come of it.
    FolderMoved,
    /// The directory or a folder in it was moved, and has taken along what had come of the file.
    PartMoved {
        /// What had come, where that is now.
        #[serde(with = "super::path")]
        part: PathBuf,
        /// How much of the file that is.
        bytes: u64,
    },
    /// A symbolic link on the path leads out of the directory.
    LeadsOutside,
    /// The name is too long for the file system.
    NameTooLong,
    /// The name has characters that the file system has in no name.
    NameRefused,
    /// The file system is mounted read-only.
    ReadOnly,
    /// Permission was denied.
    Denied,
    /// The disk is full.
    Full,
    /// The directory does not exist.
    NoDirectory,
    /// The process may open no more files.
    TooManyOpen,
    /// Another error of the system.
    Other(String),
}

impl Obstacle {
    /// Translates an error of the system.
    pub fn from_io(error: &io::Error) -> Self {
        if descriptors::are_used_up(error) {
            return Self::TooManyOpen;
        }
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

/// A disk that is full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoRoom {
    /// Where its file system is mounted.
    #[serde(with = "super::path")]
    pub file_system: PathBuf,
    /// Bytes that it takes yet, beside those of other files that are being fetched.
    pub free: u64,
    /// Bytes that are still to come.
    pub needed: u64,
}

/// Why a file that other peers share cannot be fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Miss {
    /// A holder is still hashing it, without progress.
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
    /// None of its holders can be reached.
    Unreachable {
        /// Why the last holder could not be reached.
        why: String,
    },
    /// A holder did not answer.
    Silent {
        /// The holder.
        by: Member,
    },
    /// A holder sent something other than the file, and no other holder is left.
    Mismatch {
        /// The holder.
        by: Member,
    },
    /// The file has changed since a holder listed it, and no other holder is left.
    Changed {
        /// The holder.
        at: Member,
    },
    /// It changes at a holder again and again: it did not hold still for a fetch.
    Restless {
        /// The holder.
        at: Member,
    },
    /// No holder is left to send the rest of the file.
    Unfinished {
        /// Why the last holder cannot send it.
        why: String,
        /// Bytes that have arrived and are kept.
        there: u64,
        /// The file's length in bytes.
        of: u64,
    },
    /// All files of a torrent, or all that match a pattern, are left out, because of their names.
    AllLeftOut {
        /// How many they are.
        files: u64,
        /// How many of them come if hidden files are asked for.
        #[serde(default)]
        hidden: u64,
    },
    /// Not all trackers of a torrent have answered, and no client that may have it is known.
    NoTrackerOfIt {
        /// Why one of them has not.
        why: String,
    },
    /// The trackers of a torrent name no client that has it.
    NoClient,
    /// No client that may have a torrent can be reached.
    NoClientReached {
        /// Why the last one could not be reached.
        why: String,
    },
    /// A client has sent something other than the torrent, and no other one is left.
    WrongFromClient {
        /// Its address.
        client: String,
    },
    /// No program could fetch the file, for example because it is too long.
    Unfit {
        /// What is wrong with the file.
        why: String,
    },
}

impl Miss {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::StillHashing { .. }
            | Self::Busy
            | Self::Changed { .. }
            | Self::Restless { .. }
            | Self::Unfinished { .. } => ErrorKind::Unfinished,
            Self::Unreadable | Self::TooLarge | Self::Unfit { .. } => ErrorKind::Other,
            Self::AllLeftOut { .. } => ErrorKind::Ambiguous,
            Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::NoTrackerOfIt { .. }
            | Self::NoClientReached { .. } => ErrorKind::Network,
            Self::NoClient => ErrorKind::NotFound,
            Self::Mismatch { .. } | Self::WrongFromClient { .. } => ErrorKind::Verification,
        }
    }
}

/// Why an answer may be incomplete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "gap", rename_all = "kebab-case")]
pub enum Gap {
    /// The tracker has not answered in full.
    Cut,
    /// The tracker has not answered in full because it had too much to do.
    Busy,
    /// The tracker cannot be asked, so only the neighbours have answered.
    NoTracker {
        /// Why, if that is known.
        trouble: Option<Trouble>,
    },
}

/// What the tracker would have been asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Inquiry {
    /// A file that no neighbour knows.
    Beyond,
    /// A file that a visitor, which has no neighbours, wants.
    File,
    /// All files or peers of the group.
    Group,
}

/// Why there is no link to the tracker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "trouble", rename_all = "kebab-case")]
pub enum Trouble {
    /// The link was closed.
    Lost {
        /// The last error of the connection, or the tracker's last remark.
        why: String,
    },
    /// No link can be made.
    Unreachable {
        /// What was tried, and with what result.
        why: String,
    },
    /// This machine's clock and the tracker's disagree.
    ClocksApart(Apart),
    /// The group at that address has another CA than before.
    ChangedCa {
        /// The address.
        address: SocketAddr,
        /// The key that this machine knows.
        pinned: String,
        /// The key that the tracker has shown.
        shown: String,
    },
    /// The tracker's certificate or this machine's is not trusted.
    Untrusted {
        /// The address.
        address: SocketAddr,
        /// What is wrong.
        why: String,
    },
}

impl Trouble {
    /// Returns the kind of the failure, which decides the exit code.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Lost { .. } | Self::Unreachable { .. } => ErrorKind::Network,
            Self::ClocksApart(_) => ErrorKind::Other,
            Self::ChangedCa { .. } | Self::Untrusted { .. } => ErrorKind::NotAMember,
        }
    }
}

/// For logs and for other machines. The program has its own sentences for users.
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

/// The kinds of failure. Each is an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// Any other failure.
    Other = 1,
    /// The command was not well-formed.
    Usage = 2,
    /// No peer shares the file now.
    NotFound = 3,
    /// Something exists already at the target.
    Exists = 4,
    /// Several contents have the name.
    Ambiguous = 5,
    /// The tracker, or every holder, is unreachable.
    Network = 6,
    /// The command was interrupted or could not finish.
    Unfinished = 7,
    /// What arrived does not match what was listed.
    Verification = 8,
    /// This machine is not a member of a group.
    NotAMember = 9,
}

impl ErrorKind {
    /// Returns the process's exit code.
    pub fn exit_code(self) -> u8 {
        self as u8
    }
}

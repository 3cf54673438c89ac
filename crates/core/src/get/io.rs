//! What goes into a get, and what comes out.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thorp_wire::frame::{Holder, Variant};
use thorp_wire::{Attributes, Content, InfoHash, Name, NameError};

use crate::lookup::{Only, Source};
use crate::matching::PatternError;
use crate::survey::Coverage;
use crate::swarm::Unfit;

/// Names a request for files, for as long as it is served. Chosen by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GetId(pub u64);

/// Names a file on its way, for as long as it is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchId(pub u64);

/// Which files are wanted, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a term by itself")]
pub struct Request {
    /// Names and patterns, as they were typed.
    pub names: Vec<String>,
    /// Whether they are names only, whatever is in them.
    pub exact: bool,
    /// Whose, and which content.
    pub only: Only,
    /// Another name for the file (with one name only).
    pub rename: Option<String>,
    /// What becomes of a file that is in the way.
    pub existing: Existing,
    /// Whether the files go elsewhere than is usual.
    pub elsewhere: bool,
    /// What is waited for.
    pub patience: Patience,
    /// Whether files that may act by lying there come by a pattern or a base name too
    /// ([`acts_unasked`](thorp_wire::reserved::acts_unasked)).
    pub hidden: bool,
    /// Whether a name may be a folder's.
    pub folders: Folders,
    /// Whether a file that its holders may execute arrives as one.
    pub executable: bool,
    /// Whether a reader waits for the file while it arrives: it does not wait for its turn among
    /// those that are fetched at once.
    pub is_read: bool,
}

/// How long a get waits for what does not come. (A file that changes meanwhile is
/// asked for anew in any case.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Patience {
    /// Not at all.
    #[default]
    None,
    /// For files that were begun, until they come.
    Begun,
    /// For everything, those too that no member has yet, for so long; or until it comes.
    For(Option<Duration>),
}

/// Whether a folder is fetched by its name. Part of what is asked of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Folders {
    /// It is not: a program says what it wants by a pattern.
    #[default]
    No,
    /// It is, up to 1,000 files and 1 GiB.
    Small,
    /// It is, whatever is in it.
    All,
}

/// What becomes of a file that goes by the name of a wanted one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and nothing is fetched.
    Keep,
    /// The wanted one replaces it.
    Replace,
    /// It gets another name (with one name only).
    SetAside,
}

/// A file that is to be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its name at its holders'.
    pub listed: Name,
    /// Its name here.
    pub target: Name,
    /// What it gets besides its bytes.
    pub attributes: Attributes,
    /// What it is.
    pub content: Content,
    /// The info-hash of its v1 torrent, as members make it, if a holder says one.
    pub v1: Option<InfoHash>,
}

/// A place to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// By this name.
    pub target: Name,
    /// What equals what is there, if that is to be found out.
    pub content: Option<Content>,
    /// When that was modified, as its holder says.
    pub mtime: Option<i64>,
}

/// What was seen there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// Nothing.
    Free,
    /// A file that differs, or was not compared.
    SameName,
    /// A file with this content.
    Equal,
    /// A folder, and this is what that means for a file.
    Folder(NotStored),
    /// No file can be put there.
    Blocked(NotStored),
}

/// A small file whose bytes have come and are to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// What is to be said of it then.
    pub fetch: FetchId,
    /// For which get.
    pub get: GetId,
    /// Which.
    pub item: Item,
}

/// What became of a small file that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// It is there.
    Kept,
    /// It is not what was listed.
    Mismatch,
    /// The disk does not take it.
    Failed(NotStored),
    /// It was to be copied from the own share, which cannot be read now.
    NotNow,
}

/// Names an error of the disk. Chosen by the shell, which knows the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskError(pub usize);

/// Why the disk does not take a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStored {
    /// A file goes by its name.
    Exists,
    /// There is a file where a folder is needed, or the other way round.
    InTheWay(DiskError),
    /// The bytes were those of another file.
    Changed(DiskError),
    /// There is no room, neither for it nor for what else is to come.
    Full(DiskError),
    /// Anything else.
    Other(DiskError),
}

impl NotStored {
    /// What the disk has said; nothing, where a file is there.
    pub fn error(self) -> Option<DiskError> {
        match self {
            Self::Exists => None,
            Self::InTheWay(error)
            | Self::Changed(error)
            | Self::Full(error)
            | Self::Other(error) => Some(error),
        }
    }
}

/// Who has said where a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Which stage of the lookup.
    pub source: Source,
    /// The neighbour that did when it was asked, where there still is a link to it.
    pub via: Option<Holder>,
    /// Whether the tracker was asked on the way.
    pub tracker_asked: bool,
}

/// What a get wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Make this file: it is empty, so nothing is fetched. Its [`Storage`] is the answer.
    Make(FetchId, Item),
    /// Copy this file from where this peer shares it. Its [`Storage`] is the answer.
    Copy(FetchId, Item),
    /// Make a place for this large file, and begin to fetch it. What becomes of it
    /// is told as [`LargeEvent`](super::LargeEvent)s.
    Begin(FetchId, Item),
    /// Do this for it.
    Do(Chore),
    /// Tell the caller.
    Tell(News),
    /// That was all. Nothing more is said of this request.
    Ended(Ending),
}

/// What is to be done where the files of a get are put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chore {
    /// Look at these places, and say in the same order what is there.
    Look(Vec<Look>),
    /// These have a large file, wholly or in part.
    Holders(FetchId, Vec<Holder>),
    /// All of a large file is verified: give it its name.
    Finish(FetchId),
    /// A large file is not fetched any further.
    GiveUp(FetchId),
}

/// What the caller of a get is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Not all files that match a pattern are known now.
    Partial(Coverage),
    /// This one matches a pattern and is not fetched: it would change what is
    /// shared from here.
    LeftOut(Name),
    /// So many match a pattern and are not fetched: they may act by lying there.
    HiddenLeftOut(u64),
    /// A file is being hashed for this request.
    Hashing {
        /// As it was asked for.
        name: String,
        /// Bytes in it.
        length: u64,
        /// How many were read.
        hashed: u64,
        /// Who is at it.
        by: Option<Holder>,
    },
    /// Several contents go by a name.
    Choice {
        /// As it was asked for.
        name: String,
        /// What it could be, most holders first.
        variants: Vec<Variant>,
    },
    /// One of several files is missed; the others go on.
    Failed {
        /// As it was asked for, or as it is listed.
        name: String,
        /// Why.
        why: Missed,
    },
    /// So much is found. Told again where more is found when some of it is here.
    Planned {
        /// Names that come to no file.
        missed: u64,
        /// Files that are here or come.
        files: u64,
        /// Bytes in these.
        bytes: u64,
    },
    /// Much of a large file is there from an earlier fetch.
    Resumed {
        /// Which.
        item: Item,
        /// Bytes that are there.
        bytes: u64,
    },
    /// A file is there.
    Fetched {
        /// Its number; none, where it was there already.
        fetch: Option<FetchId>,
        /// Which.
        item: Item,
        /// Who sent some of it, who sent most first.
        sources: Vec<Holder>,
        /// The clients that sent some of it, the one that sent most first.
        clients: Vec<SocketAddr>,
        /// Bytes that came over the network for it.
        received: u64,
        /// Who has said where it is.
        answer: Answered,
        /// Whether it was copied from this peer's own share.
        is_own: bool,
        /// Files of this get that are there or missed by now.
        over: u64,
    },
    /// This one does not come now, and is waited for.
    Waiting {
        /// As it was asked for, or as it is listed.
        name: String,
        /// Why it does not come.
        why: Missed,
    },
    /// A file that comes for readers is wanted by another get as well, which waits for its content:
    /// the reader is to give it up, and to read what that get brings.
    IsWanted(FetchId),
    /// A file that was on its way is asked for again later.
    Postponed(FetchId),
    /// A file is missed that was on its way.
    Lost {
        /// Its number.
        fetch: FetchId,
        /// Files of this get that are there or missed by now.
        over: u64,
    },
}

impl From<Chore> for Output {
    fn from(chore: Chore) -> Self {
        Self::Do(chore)
    }
}

impl From<News> for Output {
    fn from(news: News) -> Self {
        Self::Tell(news)
    }
}

/// How a request has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All its files are there.
    Done {
        /// How many.
        files: u64,
        /// Bytes in them.
        bytes: u64,
        /// Files that match a pattern and were left out.
        left_out: u64,
    },
    /// The one that it was about is missed.
    Missed {
        /// As it was asked for, or as it is listed.
        name: String,
        /// Why.
        why: Missed,
    },
    /// Several are missed.
    SeveralMissed {
        /// What is common to the reasons.
        kind: MissedKind,
        /// How many are missed.
        missed: u64,
        /// Of how many.
        of: u64,
        /// Those of them that have no room, if any.
        without_room: Option<WithoutRoom>,
    },
}

/// Files for which the disk has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WithoutRoom {
    /// What was said of the first of them.
    pub first: NotStored,
    /// Bytes in all of them.
    pub bytes: u64,
}

/// Why a file is not fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missed {
    /// No file was asked for.
    NoNames,
    /// What was asked for can be done with one name only.
    OneNameOnly,
    /// This is no name for a file.
    BadName {
        /// As it was typed.
        text: String,
        /// Why it is none.
        why: NameError,
    },
    /// No member shares it now.
    NobodyShares(Only),
    /// No other member shares it; this one does, under this name.
    OnlyHere(Name),
    /// The tracker cannot be asked, and no other member knows.
    TrackerUnreachable {
        /// Whether it was to list all files that match a pattern.
        listing: bool,
    },
    /// The tracker has too much to do to say who has it.
    TrackerBusy,
    /// The tracker has no room for the listings of some members, of which not all have
    /// answered: one of those may have it.
    NotAllAsked,
    /// Of what matches a pattern so much is known only.
    InPart(Coverage),
    /// Its holder has not hashed it yet.
    StillHashing {
        /// Who is at it.
        by: Option<Holder>,
    },
    /// It is not clear which file is meant. [`News::Choice`] has said which it may be.
    Ambiguous(Doubt),
    /// All files that match the pattern are left out, because of their names.
    AllLeftOut {
        /// How many they are.
        files: u64,
        /// How many of them come if hidden files are asked for.
        hidden: u64,
    },
    /// It is a folder, which is not fetched by its name alone.
    Folder {
        /// Files in it: at least so many, where it is not small.
        files: u64,
        /// Bytes in these.
        bytes: u64,
    },
    /// No file is called so, and it is no pattern, though it looks like one.
    NotAPattern(PatternError),
    /// thorp keeps this name for its own files.
    Reserved(Name),
    /// A holder has too much to do.
    Busy,
    /// A holder cannot read it.
    Unreadable,
    /// A holder finds it too large to be sent.
    TooLarge,
    /// No holder can be reached.
    Unreachable(String),
    /// This holder was reached and said nothing.
    Silent(Holder),
    /// This holder sent something else, and no other has it.
    Mismatch(Holder),
    /// It has changed at this holder since that listed it, and no other has it.
    Changed(Holder),
    /// It changes at this holder again and again: it did not hold still for a fetch.
    Restless(Holder),
    /// No source is left for the rest of it.
    Unfinished {
        /// What became of the last ones.
        reason: String,
        /// Bytes that are there, and will not be fetched again.
        there: u64,
        /// Bytes in it.
        of: u64,
    },
    /// It cannot be fetched from any peer.
    Unfit(Unfit),
    /// It cannot be put where it should be.
    NotStored(NotStored),
    /// There was no room for another one that is not longer, so it is not fetched.
    NoRoomEither,
    /// This peer stops.
    Stopping,
    /// The group has removed this peer.
    Removed,
}

/// Why files that are offered are not taken. Told to the user as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doubt {
    /// Several contents go by the name.
    Several,
    /// None is called so: these differ in Unicode normalisation.
    LookAlike,
    /// None is called so: these differ in small and large letters.
    OtherCase,
    /// These may act by lying there, and are fetched by their whole path only.
    Hidden,
}

/// Kinds of [`Missed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MissedKind {
    /// What was asked for makes no sense.
    Usage,
    /// No member has it.
    NotFound,
    /// Something is in the way.
    Exists,
    /// It could be one of several.
    Ambiguous,
    /// Holders are out of reach.
    Network,
    /// The tracker is out of reach.
    Tracker,
    /// It may come later.
    Unfinished,
    /// This peer is no member any more.
    NotAMember,
    /// What was sent is not what was listed.
    Verification,
    /// Anything else.
    Other,
}

impl Missed {
    /// What kind of reason this is.
    pub fn kind(&self) -> MissedKind {
        match self {
            Self::NoNames
            | Self::OneNameOnly
            | Self::BadName { .. }
            | Self::Folder { .. }
            | Self::NotAPattern(_) => MissedKind::Usage,
            Self::NobodyShares(_) | Self::OnlyHere(_) => MissedKind::NotFound,
            Self::TrackerUnreachable { .. } => MissedKind::Tracker,
            Self::Ambiguous(_) | Self::AllLeftOut { .. } => MissedKind::Ambiguous,
            Self::NotStored(NotStored::Exists | NotStored::InTheWay(_)) => MissedKind::Exists,
            Self::Mismatch(_) | Self::NotStored(NotStored::Changed(_)) => MissedKind::Verification,
            Self::Unreachable(_) | Self::Silent(_) => MissedKind::Network,
            Self::StillHashing { .. }
            | Self::InPart(_)
            | Self::TrackerBusy
            | Self::NotAllAsked
            | Self::Busy
            | Self::Changed(_)
            | Self::Restless(_)
            | Self::Unfinished { .. }
            | Self::Stopping => MissedKind::Unfinished,
            Self::Removed => MissedKind::NotAMember,
            Self::Reserved(_)
            | Self::Unreadable
            | Self::TooLarge
            | Self::Unfit(_)
            | Self::NoRoomEither
            | Self::NotStored(NotStored::Full(_) | NotStored::Other(_)) => MissedKind::Other,
        }
    }

    /// Whether a holder that has the file may send it later.
    pub(super) fn may_end(&self) -> bool {
        match self {
            Self::TrackerUnreachable { .. }
            | Self::TrackerBusy
            | Self::NotAllAsked
            | Self::StillHashing { .. }
            | Self::Busy
            | Self::Unreachable(_)
            | Self::Silent(_)
            | Self::Changed(_)
            | Self::Unfinished { .. } => true,
            Self::NoNames
            | Self::OneNameOnly
            | Self::BadName { .. }
            | Self::NobodyShares(_)
            | Self::OnlyHere(_)
            | Self::InPart(_)
            | Self::Ambiguous(_)
            | Self::AllLeftOut { .. }
            | Self::Folder { .. }
            | Self::NotAPattern(_)
            | Self::Reserved(_)
            | Self::Unreadable
            | Self::TooLarge
            | Self::Mismatch(_)
            | Self::Restless(_)
            | Self::Unfit(_)
            | Self::NotStored(_)
            | Self::NoRoomEither
            | Self::Removed
            | Self::Stopping => false,
        }
    }

    pub(super) fn exists() -> Self {
        Self::NotStored(NotStored::Exists)
    }

    /// It was listed, and no holder has it any more.
    pub(super) fn not_here() -> Self {
        Self::NobodyShares(Only::default())
    }
}

impl MissedKind {
    /// What is common to both.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (one, other) if one == other => one,
            (Self::Network | Self::Tracker, Self::Network | Self::Tracker) => Self::Network,
            _ => Self::Unfinished,
        }
    }
}

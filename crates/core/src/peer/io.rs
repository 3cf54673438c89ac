//! The inputs and outputs of a peer.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thorp_wire::frame::{Holder, Join, Joined};
use thorp_wire::{Entry, InfoHash, Name, PeerId};

use crate::changes::Row;
use crate::get::{self, FetchId, GetId, Looked, Storage};
pub use crate::hearsay::Hearing;
use crate::links::{self, LinkId, Me};
use crate::matching::{Pattern, PatternError};
use crate::remembered::Known;
use crate::survey::{Coverage, Findings};

/// The settings of a peer.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it announces of itself.
    pub me: Me,
    /// Whether there is a tracker to dial.
    pub has_tracker: bool,
    /// How far questions to neighbours go: with 0 neighbours answer for themselves, with 1 also
    /// for their neighbours.
    pub hops: u8,
    /// How it asks neighbours in advance which files they know of and it does not.
    pub hearing: Hearing,
    /// The interval that it promises the tracker until the tracker grants another one.
    pub tracker_interval: Duration,
    /// The interval that it promises its neighbours.
    pub neighbour_interval: Duration,
    /// The most neighbours it has.
    pub max_neighbours: usize,
    /// Rules that only the simulator leaves out.
    pub rules: Rules,
    /// Neighbours of earlier runs, to be dialled before the tracker.
    pub remembered: Vec<Known>,
    /// The seed for all random choices.
    pub seed: u64,
}

/// Rules that only the simulator leaves out, to measure what each is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// What neighbours tell each other unasked.
    pub exchange: Exchange,
    /// Whether the last part of a path is taken where two neighbours each say of another member
    /// that it lists the same content.
    pub counts_hearsay: bool,
    /// Whether, of the neighbours that a new one may replace, the one goes that names fewest
    /// members whom no other neighbour names; else, the one with the lowest score.
    pub spread: bool,
    /// Whether, with more than a few neighbours, a change of them waits for the next message on
    /// each link, a sign of life at the latest. That a neighbour was lost is told to other peers at
    /// once all the same.
    pub unhurried: bool,
}

impl Rules {
    /// What a node uses.
    pub const USUAL: Self = Self {
        exchange: Exchange::Listings,
        counts_hearsay: true,
        spread: true,
        unhurried: true,
    };
}

impl Default for Rules {
    fn default() -> Self {
        Self::USUAL
    }
}

/// What neighbours tell each other unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// Their listings. For what these do not have, some neighbours are asked at once.
    Listings,
    /// Nothing: all neighbours are asked, one after another.
    Nothing,
}

/// Identifies a survey while its caller waits. Chosen by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SurveyId(pub u64);

/// What a user wants listed.
#[derive(Clone, Debug)]
pub enum Wish {
    /// The members that are present.
    Members,
    /// The files that match a pattern.
    Files(Pattern),
    /// The files of a member, of a folder, or of a folder at a member. If no member has the name,
    /// it may be the name of a folder.
    Listing {
        /// The name of the member.
        whose: Option<String>,
        /// The folder.
        folder: Option<String>,
    },
}

/// The inputs of a peer.
#[derive(Debug)]
pub enum Input {
    /// Something happened on the links.
    Link(links::Input),
    /// An [`Output::Dial`] failed.
    DialFailed {
        /// The node that was dialled.
        target: Target,
        /// Why.
        trouble: Unreached,
    },
    /// A link that this peer dialled to the tracker has ended because of a certificate.
    TurnedAway {
        /// The link.
        link: LinkId,
        /// Why, according to the tracker.
        trouble: Unreached,
    },
    /// A file was sent to a member.
    Served {
        /// The link.
        link: LinkId,
    },
    /// The share has changed.
    ShareChanged {
        /// Entries that are new, changed or newly hashed.
        added: Vec<Entry>,
        /// Names that are gone.
        removed: Vec<Name>,
    },
    /// The share is looked through for the first time: its files come once that is over.
    LookBegun,
    /// The share was looked through. What was found was said before.
    LookOver,
    /// Other torrents are served to clients, beside those that follow from the share's entries.
    TorrentsChanged(Vec<InfoHash>),
    /// An [`Output::HashNow`] has made progress.
    Hashed {
        /// The file.
        name: Name,
        /// How many bytes were read; `None` once the file has a root or cannot get one.
        bytes: Option<u64>,
    },
    /// The user wants something listed.
    Survey {
        /// The id of the survey from now on.
        survey: SurveyId,
        /// What to list.
        wish: Wish,
        /// This peer as other members see it, if its own files are wanted too.
        itself: Option<Box<Holder>>,
    },
    /// The user has taken the last findings of a survey, and more may follow.
    Taken {
        /// The survey.
        survey: SurveyId,
    },
    /// The caller does not wait for this survey any more.
    AbandonSurvey {
        /// The survey.
        survey: SurveyId,
    },
    /// Claimed bytes ([`Peer::claim_contents`](super::Peer::claim_contents)), or empty files
    /// ([`get::Output::Make`]), were stored or could not be: for which fetches, and the results.
    Stored(Vec<(FetchId, Storage)>),
    /// Files are wanted. [`Output::Get`] tells what to do for the get, and how it ends.
    Get {
        /// The id of the get from now on.
        get: GetId,
        /// The files.
        request: get::Request,
    },
    /// The places of a [`get::Chore::Look`] were looked at.
    Looked {
        /// The get.
        get: GetId,
        /// What was found, in the order of the places.
        looked: Vec<Looked>,
    },
    /// A large file that was begun ([`get::Output::Begin`]) has made progress.
    Large {
        /// The fetch.
        fetch: FetchId,
        /// What happened.
        event: get::LargeEvent,
    },
    /// The caller does not wait for this get any more.
    AbandonGet {
        /// The get.
        get: GetId,
    },
    /// Pieces of a file are sent to this member, or fetched from it.
    InUse(PeerId),
    /// The addresses of this machine have changed.
    Readdressed {
        /// Where it may be reached, besides the address from which it connects.
        claimed: Vec<SocketAddr>,
        /// So many of these, from the first on, were named by its user.
        advertised: u8,
    },
    /// A new certificate is needed. Answered with [`Output::Renewed`].
    Renew {
        /// The request.
        join: Join,
    },
}

/// The outputs of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Something to do on the links.
    Link(links::Output),
    /// Connect to a node.
    Dial(Target),
    /// Something to do for a get, or its result.
    Get(GetId, get::Output),
    /// Hash this file before other files.
    HashNow(Name),
    /// Some of the findings of a survey. More follow after [`Input::Taken`].
    Surveyed(SurveyId, Findings),
    /// A survey is over: with all that there is, or without an answer.
    SurveyOver(SurveyId, Result<Coverage, Unanswered>),
    /// Store these neighbours for the next start.
    Remember(Vec<Known>),
    /// The tracker's answer to [`Input::Renew`], which may be a refusal; `None` if its link is
    /// gone or was not there, so that another attempt may succeed.
    Renewed(Option<Result<Joined, String>>),
    /// There is no link to the tracker, for this reason. Holds until [`Notice::TrackerUp`].
    NoTracker(Unreached),
    /// This peer was removed from the group. It says goodbye on all its links.
    Removed,
    /// Something happened that the user may want to know.
    Notice(Notice),
    /// This row of what is shown of the peer has changed.
    Changed(Row),
}

/// Why a survey has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// Nothing matches, because no member shares anything.
    NoFiles,
    /// No present member has this name.
    NoPeerCalled(String),
    /// No folder with files has this name.
    NoFolderCalled(String),
    /// Neither a present member nor a folder with files has this name.
    NoPeerOrFolderCalled(String),
    /// The name of a folder cannot be made a pattern.
    NoPattern {
        /// The name of the folder.
        folder: String,
        /// Why not.
        why: PatternError,
    },
    /// The group has removed this peer.
    Removed,
    /// This peer is stopping.
    Stopping,
}

/// Which node to dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The group's tracker, at the addresses that the shell knows.
    Tracker,
    /// A member.
    Member {
        /// Its public key; the node that answers must have it.
        id: PeerId,
        /// Its addresses, the best one first.
        addresses: Vec<SocketAddr>,
    },
}

/// Why a node was not reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreached {
    /// The kind of the reason.
    pub cause: Cause,
    /// The reason, for the user.
    pub reason: String,
}

/// The kinds of reasons why nodes are not reached, by what the user can do about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The node does not answer, or not as a member does. It may come back by itself.
    Network,
    /// The clock of one of the two machines is wrong.
    Clocks,
    /// One of the two nodes does not trust the other one's certificate.
    Certificate,
}

/// Something that the user may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The tracker has accepted this peer.
    TrackerUp,
    /// The tracker is gone or cannot be reached.
    TrackerLost(Unreached),
    /// The tracker is still lost, and now for a reason that the user has to see to.
    TrackerTrouble(Unreached),
    /// A member does not keep this peer's listing, because it is too large.
    Unlisted(Holder),
    /// A neighbour's listing is too large to be kept here: the neighbour is asked instead.
    ListingTooLarge(Holder),
    /// A member sent something other than what was asked for, and was disconnected.
    Liar(Holder),
}

/// How many of this peer's lookups were answered, by who answered. Serialised as part of the
/// status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Answered by neighbours, from memory or when asked.
    pub neighbours: u64,
    /// How many of these were answered from memory.
    #[serde(default)]
    pub memory: u64,
    /// Answered by the tracker.
    pub tracker: u64,
    /// Not answered: no member had the file.
    pub nobody: u64,
}

impl From<links::Input> for Input {
    fn from(input: links::Input) -> Self {
        Self::Link(input)
    }
}

//! What goes into a peer, and what comes out.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thorp_wire::frame::{Holder, Join, Joined};
use thorp_wire::{Entry, Name, PeerId};

use crate::changes::Row;
use crate::get::{self, FetchId, GetId, Looked, Storage};
use crate::links::{self, LinkId, Me};
use crate::matching::{Pattern, PatternError};
use crate::remembered::Known;
use crate::survey::{Coverage, Findings};

/// What a peer is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it says of itself.
    pub me: Me,
    /// Whether there is a tracker to dial.
    pub has_tracker: bool,
    /// 0: neighbours answer for themselves; 1: for their neighbours too.
    pub hops: u8,
    /// What it promises the tracker until that grants another interval.
    pub tracker_interval: Duration,
    /// What it promises its neighbours.
    pub neighbour_interval: Duration,
    /// The most neighbours.
    pub max_neighbours: usize,
    /// Neighbours from earlier, to be dialled before the tracker.
    pub remembered: Vec<Known>,
    /// For what is left to chance.
    pub seed: u64,
}

/// Names a survey, for as long as its caller waits. Chosen by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u64);

/// What a user wants to know all of.
#[derive(Clone, Debug)]
pub enum Wish {
    /// The members that are present.
    Members,
    /// The files that match.
    Files(Pattern),
    /// The files of a member, of a folder, or of a member's folder. What is called
    /// like no member may be a folder.
    Listing {
        /// As the member is called.
        whose: Option<String>,
        /// The folder.
        folder: Option<String>,
    },
}

/// What a peer is told.
#[derive(Debug)]
pub enum Input {
    /// What happens on links.
    Link(links::Input),
    /// A [`Output::Dial`] came to nothing.
    DialFailed {
        /// The node that was dialled.
        target: Target,
        /// Why.
        trouble: Unreached,
    },
    /// A link that this end has dialled to the tracker is gone, over a certificate.
    TurnedAway {
        /// Which.
        link: LinkId,
        /// What the tracker shows of the reason.
        trouble: Unreached,
    },
    /// A file was sent to a member.
    Served {
        /// On this link.
        link: LinkId,
    },
    /// The share has changed.
    ShareChanged {
        /// New, different or newly hashed.
        added: Vec<Entry>,
        /// Gone.
        removed: Vec<Name>,
    },
    /// What has become of an [`Output::HashNow`] so far.
    Hashed {
        /// Which file.
        name: Name,
        /// How much of it was read; nothing, once it has a root or can have none.
        bytes: Option<u64>,
    },
    /// The user wants to know all there is of something.
    Survey {
        /// Its number from now on.
        ask: AskId,
        /// Of what.
        wish: Wish,
        /// This peer as others see it, where its own files are wanted too.
        itself: Option<Box<Holder>>,
    },
    /// The user has taken what was told of a survey, and more may come.
    Taken {
        /// Of which.
        ask: AskId,
    },
    /// The caller does not wait for this survey any more.
    AbandonSurvey {
        /// Which.
        ask: AskId,
    },
    /// What became of bytes that were claimed
    /// ([`Peer::claim_content`](super::Peer::claim_content)), or of an empty file
    /// ([`get::Output::Make`]).
    Stored {
        /// For which fetch.
        fetch: FetchId,
        /// How it went.
        storage: Storage,
    },
    /// Files are wanted. [`Output::Get`] says what is to be done, and how it ends.
    Get {
        /// Its number from now on.
        get: GetId,
        /// Which files.
        request: get::Request,
    },
    /// What was seen where [`get::Chore::Look`] wanted to have looked.
    Looked {
        /// For which get.
        get: GetId,
        /// In the order of the places.
        looked: Vec<Looked>,
    },
    /// What has become of a large file that was begun ([`get::Output::Begin`]).
    Large {
        /// Which fetch.
        fetch: FetchId,
        /// What.
        event: get::LargeEvent,
    },
    /// The caller does not wait for this get any more.
    AbandonGet {
        /// Which.
        get: GetId,
    },
    /// Pieces of a file go to this member, or come from it.
    InUse(PeerId),
    /// This machine has other addresses now.
    Readdressed {
        /// Where it may be reached, besides where it is seen.
        claimed: Vec<SocketAddr>,
    },
    /// It is time for a new certificate. [`Output::Renewed`] is the answer.
    Renew {
        /// The request.
        join: Join,
    },
}

/// What a peer wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// What is to be done on links.
    Link(links::Output),
    /// Connect to a node.
    Dial(Target),
    /// What a get wants, or has to say.
    Get(GetId, get::Output),
    /// Hash this file before others.
    HashNow(Name),
    /// Some of what a survey found. More comes once it is [`Input::Taken`].
    Surveyed(AskId, Findings),
    /// A survey is over: that was all, or it has no answer.
    SurveyOver(AskId, Result<Coverage, Unanswered>),
    /// Write these down, for the next start.
    Remember(Vec<Known>),
    /// The tracker's answer to [`Input::Renew`], which may be no; nothing where its
    /// link is gone and another one may do better.
    Renewed(Option<Result<Joined, String>>),
    /// There is no link to the tracker, and this is why, as far as that is known.
    /// It holds until [`Notice::TrackerUp`].
    NoTracker(Unreached),
    /// This peer was removed from the group. It says goodbye on all its links.
    Removed,
    /// Something happened that a person may want to know.
    Notice(Notice),
    /// This row of what is shown of it has changed.
    Changed(Row),
}

/// Why a survey has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// Nothing matches, for no member shares anything.
    NoFiles,
    /// No member is here that is called so.
    NoPeerCalled(String),
    /// No folder with files is called so.
    NoFolderCalled(String),
    /// Neither is.
    NoPeerOrFolderCalled(String),
    /// A folder's name is too long for a pattern.
    NoPattern {
        /// As it is called.
        folder: String,
        /// What is wrong with it.
        why: PatternError,
    },
    /// The group has removed this peer.
    Removed,
    /// This peer stops.
    Stopping,
}

/// Which node to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The group's tracker, wherever the shell knows it to be.
    Tracker,
    /// This member.
    Member {
        /// Its key: the node that answers must have it.
        id: PeerId,
        /// Where it may be, the best address first.
        addresses: Vec<SocketAddr>,
    },
}

/// Why a member was not reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreached {
    /// Of which kind it is.
    pub cause: Cause,
    /// What it is, for a person.
    pub reason: String,
}

/// Why members are not reached, by what a person does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It does not answer, or not as a member does. It may come back by itself.
    Network,
    /// One of two clocks is to be set.
    Clocks,
    /// One of both does not trust the other's certificate.
    Certificate,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The tracker has accepted this peer.
    TrackerUp,
    /// The tracker is gone or cannot be reached.
    TrackerLost(Unreached),
    /// It is still lost, and by now for a reason that a person has to see to.
    TrackerTrouble(Unreached),
    /// A member does not keep this peer's listing, because it is too large.
    Unlisted(Holder),
    /// A neighbour's listing is too large to be kept here: it is asked instead.
    ListingTooLarge(Holder),
    /// A member sent something else than it was asked for, and was dropped.
    Liar(Holder),
}

/// How many of this peer's lookups were answered, by whose answer it was. Shown as
/// it is, in the status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Neighbours, from memory or when asked.
    pub neighbours: u64,
    /// The tracker.
    pub tracker: u64,
    /// No member: none had it.
    pub nobody: u64,
}

impl From<links::Input> for Input {
    fn from(input: links::Input) -> Self {
        Self::Link(input)
    }
}

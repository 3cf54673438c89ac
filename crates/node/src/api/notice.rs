//! What a node reports unasked, for a user who watches it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thorp_files::share;
use thorp_wire::MemberName;

use super::failure::{PageTrouble, Trouble};
use super::rows::Member;

/// An event of interest to the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The peer dials the tracker.
    Connecting {
        /// Its address.
        address: String,
        /// Its port.
        port: u16,
    },
    /// The tracker has accepted this peer.
    Connected,
    /// This node's tracker has admitted a machine to the group.
    Admitted(Member),
    /// The tracker is unreachable or gone. The peer goes on trying.
    TrackerLost(Trouble),
    /// Something to know that needs no action.
    Note(Note),
    /// Something to know that may need action.
    Warning(Warning),
}

/// A remark without any effect on the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "kebab-case")]
pub enum Note {
    /// A node has read the command and answers it. This is the first line of every answer, and is
    /// not passed on to callers.
    Taken,
    /// The running node has not read the command yet, and the caller waits.
    Unanswered {
        /// The node's process id, if it is known.
        process: Option<u32>,
    },
    /// The group's CA was unknown to this machine until now, and only the tracker's word vouches
    /// for it.
    TakenOnTrust {
        /// The key of the group's CA.
        ca: String,
    },
    /// Many machines are joining the group. This one waits for its turn, and then joins by
    /// itself.
    WaitsToJoin,
    /// This machine has joined another group than the one that it was in.
    LeftGroup {
        /// The addresses of the former group's tracker.
        trackers: Vec<String>,
        /// Whether this machine keeps that group, whose tracker it does not run any more.
        keeps: bool,
    },
    /// The group admits every machine that asks, so a removed member can come back with another
    /// key.
    OpenGroup,
    /// A file that a pattern matches is not fetched: under this name it would change what is
    /// shared.
    LeftOut {
        /// The file's name.
        name: String,
    },
    /// The file system cannot rename without replacing: a file that another program creates under
    /// the same name at the same moment may be lost.
    LooksFirst {
        /// The directory.
        #[serde(with = "super::path")]
        path: PathBuf,
    },
    /// Files that a pattern matches are not fetched, since they may act by merely being there.
    HiddenLeftOut {
        /// The number of these files.
        files: u64,
    },
    /// A file of a torrent is not fetched: under this name it would change what is shared.
    LeftOutOfTorrent {
        /// The file's name.
        name: String,
    },
    /// Files of a torrent are not fetched, since they may act by merely being there.
    HiddenLeftOutOfTorrent {
        /// The number of these files.
        files: u64,
    },
    /// Of a torrent only the info-hash is known, and clients are asked what it is.
    AsksWhatItIs {
        /// How the torrent is called, or its info-hash.
        name: String,
    },
    /// Nothing matches, because no peer shares a file.
    NoFiles,
    /// The tracker has not answered in full, so there may be more.
    TrackerInPart,
    /// The tracker cannot be asked, so only the neighbours have answered.
    NeighboursOnly {
        /// Why, if that is known.
        trouble: Option<Trouble>,
    },
}

/// Something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// There is no link to the tracker, and waiting will not bring one.
    Tracker(Trouble),
    /// This machine has another name in its group than the user has now given.
    CalledOtherwise {
        /// Its name in the group.
        called: MemberName,
        /// The name that the user has given.
        wanted: MemberName,
    },
    /// A member refuses this peer's listing because it is too long.
    NotListed {
        /// The member.
        by: Member,
    },
    /// A neighbour's listing is too long for this peer.
    ListsTooMuch {
        /// The member.
        member: Member,
    },
    /// A peer's listing is too long for this tracker.
    TooMuchForTracker {
        /// The member.
        member: Member,
    },
    /// A member has sent something other than the file it lists.
    Liar {
        /// The member.
        member: Member,
    },
    /// The file that remembers neighbours is damaged.
    NeighboursDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// Its new name, in the same directory.
        set_aside: String,
    },
    /// The tracker's disk cannot record the group's decisions. No machine becomes a member until
    /// it can.
    GroupUnsaved {
        /// The system's error.
        why: String,
    },
    /// The file that remembers neighbours cannot be read.
    NeighboursUnread {
        /// The system's error.
        why: String,
    },
    /// The neighbours cannot be saved for the next start.
    NeighboursUnsaved {
        /// The system's error.
        why: String,
    },
    /// A new certificate or group record cannot be saved for the next start. It is tried again.
    StandingUnsaved {
        /// The system's error.
        why: String,
    },
    /// The user wants the share served to ordinary BitTorrent clients, but the group's owner has
    /// not said that the group serves any.
    FaceOff,
    /// The page cannot be served.
    NoPage {
        /// Why not.
        why: PageTrouble,
    },
    /// A warning about the share.
    Share(share::ShareWarning),
}

//! What happens without being asked for, worth a line for a user who watches.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thorp_files::share;
use thorp_wire::MemberName;

use super::failure::Trouble;
use super::rows::Member;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    TrackerLost(Trouble),
    /// Something to know, with nothing to do.
    Note(Note),
    /// Something to know, and perhaps to mend.
    Warning(Warning),
}

/// A remark that changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "kebab-case")]
pub enum Note {
    /// A node has read the command, and answers it. The first line of every answer;
    /// callers are not shown it.
    Taken,
    /// The node that runs has not read the command yet, and is waited for.
    Unanswered {
        /// Its process, where that is known.
        process: Option<u32>,
    },
    /// The key of a group that this machine has just come to know. Nothing but
    /// the tracker's word says that it is the right one.
    TakenOnTrust {
        /// The key of the group's CA.
        ca: String,
    },
    /// Many machines join the group at this moment. This one waits for its turn, and goes
    /// on by itself.
    WaitsToJoin,
    /// The group lets in any machine that asks: a removed member can come back
    /// with another key.
    OpenGroup,
    /// A file that a pattern matches is not fetched: under this name it would
    /// change what is shared.
    LeftOut {
        /// Its name.
        name: String,
    },
    /// The file system there cannot rename without replacing: what another program
    /// puts by the same name at the same moment may be lost.
    LooksFirst {
        /// The directory.
        path: PathBuf,
    },
    /// Files that a pattern matches are not fetched: they may act by lying there.
    HiddenLeftOut {
        /// So many.
        files: u64,
    },
    /// Nothing matches, for no peer shares a file.
    NoFiles,
    /// The tracker has not answered in full: there may be more.
    TrackerInPart,
    /// The tracker cannot be asked: this is what the neighbours know.
    NeighboursOnly {
        /// Why, if that is known.
        trouble: Option<Trouble>,
    },
}

/// Something that does not go as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// There is no link to the tracker, and waiting will not bring one.
    Tracker(Trouble),
    /// This machine has another name in its group than the one it was given now.
    CalledOtherwise {
        /// In the group.
        called: MemberName,
        /// Now.
        wanted: MemberName,
    },
    /// A member does not keep this peer's listing: it is too long.
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
    /// A member has sent something else than the file it lists.
    Liar {
        /// The member.
        member: Member,
    },
    /// The file with the neighbours from earlier is damaged.
    NeighboursDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// What it is called now, beside where it was.
        set_aside: String,
    },
    /// The tracker's disk does not take what the group decides: no machine becomes a
    /// member until it does.
    GroupUnsaved {
        /// What the system says.
        why: String,
    },
    /// The neighbours from earlier cannot be read.
    NeighboursUnread {
        /// What the system says.
        why: String,
    },
    /// Neighbours cannot be written down for the next start.
    NeighboursUnsaved {
        /// What the system says.
        why: String,
    },
    /// About the share.
    Share(share::ShareWarning),
}

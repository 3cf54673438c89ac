//! The differences between tracker and peer on their links, as values.

use std::time::Duration;

use super::table::Link;
use crate::catalogue::Bounds;

const MIB: u64 = 1024 * 1024;

/// The most entries of one listing that a tracker keeps.
pub(crate) const TRACKER_ENTRIES: usize = 1_000_000;
/// The default bound on all listings together at a tracker, in bytes.
pub const TRACKER_ROOM: u64 = 4096 * MIB;
/// The bounds on one neighbour's listing and on all together at a peer.
pub(crate) const NEIGHBOUR_BOUNDS: Bounds = Bounds {
    entries: 100_000,
    bytes: if cfg!(test) { MIB } else { 256 * MIB },
};

/// Which kind of node this is, as far as its links are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A tracker: keeps the listing of every member but visitors, and acknowledges every update.
    Tracker {
        /// The interval that it grants.
        interval: Duration,
        /// The bound on all listings together, in bytes.
        room: u64,
    },
    /// A peer: keeps its neighbours' listings, and only reports those that it does not keep.
    Peer,
}

impl Role {
    /// Returns the bounds on the listings of other members.
    pub(crate) fn bounds(self) -> Bounds {
        match self {
            Self::Tracker { room, .. } => Bounds {
                entries: TRACKER_ENTRIES,
                bytes: room,
            },
            Self::Peer => NEIGHBOUR_BOUNDS,
        }
    }

    /// Returns how many bytes arriving updates and queued work may take together, besides the
    /// listings.
    pub(crate) fn waiting(self) -> u64 {
        match self {
            _ if cfg!(test) => MIB,
            Self::Tracker { .. } => 1024 * MIB,
            Self::Peer => 64 * MIB,
        }
    }

    /// Returns the interval that this node grants for both ends, if it does. It then acknowledges
    /// every update, since the `Ack` carries the interval.
    pub(crate) fn grants(self) -> Option<Duration> {
        match self {
            Self::Tracker { interval, .. } => Some(interval),
            Self::Peer => None,
        }
    }

    /// Whether the listing of the member at the other end is kept.
    pub(crate) fn keeps_listing_of(self, link: &Link) -> bool {
        match self {
            Self::Tracker { .. } => !link.is_visitor(),
            Self::Peer => link.is_neighbour(),
        }
    }

    /// Returns the reason for closing a link of this node to itself.
    pub(crate) fn itself(self) -> &'static str {
        match self {
            Self::Tracker { .. } => "that is this tracker itself",
            Self::Peer => "that is this peer itself",
        }
    }
}

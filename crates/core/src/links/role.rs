//! What differs on links between a tracker and a peer, as values.

use std::time::Duration;

use super::table::Link;
use crate::catalogue::Bounds;

const MIB: u64 = 1024 * 1024;

/// The bounds on one listing, and on all together, at a tracker.
pub(crate) const TRACKER_BOUNDS: Bounds = Bounds {
    entries: 1_000_000,
    bytes: if cfg!(test) { MIB } else { 4096 * MIB },
};
/// The bounds on one neighbour's listing, and on all together, at a peer.
pub(crate) const NEIGHBOUR_BOUNDS: Bounds = Bounds {
    entries: 100_000,
    bytes: if cfg!(test) { MIB } else { 256 * MIB },
};

/// Which kind of node this is, as far as its links are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It keeps the listing of every member but visitors, and acknowledges
    /// every update.
    Tracker {
        /// The interval it grants.
        interval: Duration,
    },
    /// It keeps its neighbours' listings, and says only where one is not kept.
    Peer,
}

impl Role {
    /// How much of the other members' listings is kept.
    pub(crate) fn bounds(self) -> Bounds {
        match self {
            Self::Tracker { .. } => TRACKER_BOUNDS,
            Self::Peer => NEIGHBOUR_BOUNDS,
        }
    }

    /// How many bytes all updates that are arriving, and all that waits for its turn,
    /// may take besides.
    pub(crate) fn waiting(self) -> u64 {
        match self {
            _ if cfg!(test) => MIB,
            Self::Tracker { .. } => 1024 * MIB,
            Self::Peer => 64 * MIB,
        }
    }

    /// The interval that this end grants for both, if it grants one. Then every
    /// update is acknowledged, since the `Ack` carries it.
    pub(crate) fn grants(self) -> Option<Duration> {
        match self {
            Self::Tracker { interval } => Some(interval),
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

    /// Why a link of this node to itself is closed.
    pub(crate) fn itself(self) -> &'static str {
        match self {
            Self::Tracker { .. } => "that is this tracker itself",
            Self::Peer => "that is this peer itself",
        }
    }
}

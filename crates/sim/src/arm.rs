//! What is compared: the program with these or those settings.

use std::time::Duration;

use thorp_core::peer;

/// One way to find files, by the program's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arm {
    /// What it is called in tables and on the command line.
    pub name: &'static str,
    /// What it is, in a few words.
    pub what: &'static str,
    /// The most neighbours of a peer.
    pub neighbours: usize,
    /// Whether neighbours answer for their neighbours.
    pub hops: u8,
    /// The silence that a peer promises its neighbours not to exceed.
    pub neighbour_interval: Duration,
    /// The same to the tracker.
    pub tracker_interval: Duration,
}

/// The program as it is.
const AS_IT_IS: Arm = Arm {
    name: "thorp",
    what: "the program as it is: 32 neighbours, their listings, one hop",
    neighbours: 32,
    hops: 1,
    neighbour_interval: Duration::from_secs(15),
    tracker_interval: Duration::from_secs(5),
};

/// All arms.
pub const ARMS: [Arm; 4] = [
    Arm {
        name: "tracker",
        what: "no neighbours: every lookup asks the tracker",
        neighbours: 0,
        hops: 0,
        ..AS_IT_IS
    },
    Arm {
        name: "listings",
        what: "neighbours' listings, and no neighbour answers for others",
        hops: 0,
        ..AS_IT_IS
    },
    AS_IT_IS,
    Arm {
        name: "slow",
        what: "as thorp, with a sign of life a minute among neighbours",
        neighbour_interval: Duration::from_mins(1),
        ..AS_IT_IS
    },
];

impl Arm {
    /// The arm of this name.
    pub fn named(name: &str) -> Option<Self> {
        ARMS.into_iter().find(|arm| arm.name == name)
    }

    /// How long a machine that is gone may still be named as a holder: what the
    /// tracker or a neighbour promises three times, and the way of an answer.
    pub fn forgotten_after(&self) -> Duration {
        self.neighbour_interval.max(self.tracker_interval) * 3 + Duration::from_secs(1)
    }

    pub(crate) fn set(&self, config: &mut peer::Config) {
        config.max_neighbours = self.neighbours;
        config.hops = self.hops;
        config.neighbour_interval = self.neighbour_interval;
        config.tracker_interval = self.tracker_interval;
    }
}

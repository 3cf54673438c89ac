//! What is compared: the program with these or those settings.

use std::time::Duration;

use thorp_core::peer::{Exchange, Hearing, Rules};
use thorp_core::tracker::SMALL_GROUP;

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
    /// The rules that peers follow.
    pub rules: Rules,
    /// How neighbours are asked in advance what they know of others.
    pub hearing: Hearing,
    /// The silence that a peer promises its neighbours not to exceed.
    pub neighbour_interval: Duration,
    /// The same to the tracker of a small group.
    pub tracker_interval: Duration,
    /// How many members are a small group to the tracker.
    pub small_group: u32,
    /// The longest that the tracker grants to a large one.
    pub longest_tracker_interval: Duration,
    /// Plain BitTorrent: each file is announced by itself, once in this time, and that
    /// is all that the tracker is told.
    pub announces: Option<Duration>,
}

/// Neighbours are asked when a name is looked up.
const NEVER: Hearing = Hearing {
    every: Duration::ZERO,
    ..Hearing::USUAL
};

/// None of the rules that were made by what was measured here.
const WITHOUT: Rules = Rules {
    counts_hearsay: false,
    spread: false,
    unhurried: false,
    ..Rules::USUAL
};

/// The program as it is.
const AS_IT_IS: Arm = Arm {
    name: "thorp",
    what: "the program as it is: 32 neighbours, their listings, and what one of them knows of others, each minute",
    neighbours: 32,
    hops: 1,
    rules: Rules::USUAL,
    hearing: Hearing::USUAL,
    neighbour_interval: Duration::from_mins(1),
    tracker_interval: Duration::from_secs(5),
    small_group: SMALL_GROUP,
    longest_tracker_interval: Duration::from_mins(1),
    announces: None,
};

/// As it was before this was measured.
const BEFORE: Arm = Arm {
    name: "before",
    what: "thorp before this was measured: signs of life every 5 s to the tracker and every 15 s to neighbours, and what a neighbour says of others counts for nothing",
    rules: WITHOUT,
    hearing: NEVER,
    neighbour_interval: Duration::from_secs(15),
    longest_tracker_interval: Duration::from_secs(5),
    ..AS_IT_IS
};

const TRACKER_ONLY: Arm = Arm {
    name: "tracker",
    what: "no neighbours: every lookup asks the tracker",
    neighbours: 0,
    hops: 0,
    ..BEFORE
};

/// All arms.
pub const ARMS: [Arm; 23] = [
    Arm {
        name: "bittorrent",
        what: "plain BitTorrent: every lookup asks the tracker, each file is announced every 30 min",
        announces: Some(Duration::from_mins(30)),
        ..TRACKER_ONLY
    },
    TRACKER_ONLY,
    Arm {
        name: "partners",
        what: "past partners are asked one after another; no listings are sent",
        rules: Rules {
            exchange: Exchange::Nothing,
            ..WITHOUT
        },
        hops: 0,
        ..BEFORE
    },
    Arm {
        name: "listings",
        what: "neighbours' listings, and no neighbour answers for others",
        hops: 0,
        ..BEFORE
    },
    BEFORE,
    Arm {
        name: "slow",
        what: "as before, with a sign of life a minute among neighbours",
        neighbour_interval: Duration::from_mins(1),
        ..BEFORE
    },
    Arm {
        name: "hearsay",
        what: "as before, and two neighbours that say the same of two others are believed",
        rules: Rules {
            counts_hearsay: true,
            ..WITHOUT
        },
        ..BEFORE
    },
    Arm {
        name: "asking",
        what: "as thorp, but neighbours are asked when a name is looked up, and not in advance",
        hearing: NEVER,
        ..AS_IT_IS
    },
    AS_IT_IS,
    Arm {
        name: "variants",
        what: "as thorp was: it is told variants in advance and not tables, and what is said goes with its teller and lasts for half an hour",
        hearing: Hearing {
            tables: false,
            holders: 2,
            lasts: Duration::from_mins(30),
            outlasts: false,
            ..Hearing::USUAL
        },
        ..AS_IT_IS
    },
    Arm {
        name: "fleeting",
        what: "as thorp, but what a neighbour has said goes with it",
        hearing: Hearing {
            outlasts: false,
            ..Hearing::USUAL
        },
        ..AS_IT_IS
    },
    Arm {
        name: "brief",
        what: "as thorp, but what was said is forgotten after half an hour",
        hearing: Hearing {
            lasts: Duration::from_mins(30),
            ..Hearing::USUAL
        },
        ..AS_IT_IS
    },
    Arm {
        name: "lasting",
        what: "as thorp, but what was said is forgotten after three hours",
        hearing: Hearing {
            lasts: Duration::from_hours(3),
            ..Hearing::USUAL
        },
        ..AS_IT_IS
    },
    Arm {
        name: "coarse",
        what: "as thorp, with five bits for each name in the filter of a question, not eight",
        hearing: Hearing {
            bits: 5,
            ..Hearing::USUAL
        },
        ..AS_IT_IS
    },
    Arm {
        name: "sparing",
        what: "as thorp, with five bits for each name, and what was said is forgotten after three hours",
        hearing: Hearing {
            bits: 5,
            lasts: Duration::from_hours(3),
            ..Hearing::USUAL
        },
        ..AS_IT_IS
    },
    Arm {
        name: "few",
        what: "as thorp, but neighbours are asked when a name is looked up until all have answered in advance",
        hearing: Hearing {
            few: usize::MAX,
            ..Hearing::USUAL
        },
        ..AS_IT_IS
    },
    Arm {
        name: "clustered",
        what: "as thorp, but the neighbour goes that was of least use, whatever its own neighbours are",
        rules: Rules {
            spread: false,
            ..Rules::USUAL
        },
        ..AS_IT_IS
    },
    Arm {
        name: "drawn",
        what: "as thorp, but neighbours come by what is fetched only, and no member is dialled to become one",
        hearing: Hearing {
            meets: false,
            ..Hearing::USUAL
        },
        ..AS_IT_IS
    },
    Arm {
        name: "unseconded",
        what: "as thorp, but a holder that one neighbour has told of is asked for no more, even where a second witness is missing",
        hearing: Hearing {
            seconds: false,
            ..Hearing::USUAL
        },
        ..AS_IT_IS
    },
    Arm {
        name: "late",
        what: "as thorp, but a new neighbour is asked in advance when its turn comes, one each minute",
        hearing: Hearing {
            fresh: Duration::from_mins(1),
            ..Hearing::USUAL
        },
        ..AS_IT_IS
    },
    Arm {
        name: "hasty",
        what: "as thorp, but each change of the neighbours is told at once",
        rules: Rules {
            unhurried: false,
            ..Rules::USUAL
        },
        ..AS_IT_IS
    },
    Arm {
        name: "crowded",
        what: "as thorp, with a tracker that grants each peer what it grants where fifty times as many are online",
        small_group: SMALL_GROUP / 50,
        ..AS_IT_IS
    },
    Arm {
        name: "wide",
        what: "as thorp, with 64 neighbours",
        neighbours: 64,
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
        let promised = self.neighbour_interval.max(self.longest_tracker_interval);
        promised * 3 + Duration::from_secs(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the manual says that a setting is, if a user changes nothing.
    fn default_of(setting: &str) -> u64 {
        let begin = format!("| `{setting}` | ");
        let mut lines = include_str!("../../../docs/manual.md").lines();
        let rest = lines.find_map(|line| line.strip_prefix(&begin));
        let number = rest.and_then(|rest| rest.split(' ').next());
        number.expect("a setting").parse().expect("a number")
    }

    #[test]
    fn the_arm_that_is_the_program_has_the_program_s_defaults() {
        let millis = |time: Duration| u64::try_from(time.as_millis()).expect("fits");
        assert_eq!(u64::from(AS_IT_IS.hops), default_of("lookup.hops"));
        assert_eq!(AS_IT_IS.neighbours as u64, default_of("neighbours.max"));
        for (interval, setting) in [
            (AS_IT_IS.tracker_interval, "interval.tracker_ms"),
            (
                AS_IT_IS.longest_tracker_interval,
                "interval.tracker_most_ms",
            ),
            (AS_IT_IS.neighbour_interval, "interval.neighbour_ms"),
            (AS_IT_IS.hearing.every, "lookup.compare_ms"),
        ] {
            assert_eq!(millis(interval), default_of(setting), "{setting}");
        }
    }
}

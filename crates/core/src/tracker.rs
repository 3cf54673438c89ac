//! A tracker: a catalogue of all members.
//!
//! It only listens. Everything it knows came with updates, and is forgotten
//! with the links they came on. So it can be restarted at any time.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thorp_wire::PeerId;
use thorp_wire::frame::{Find, Found, Holder, Join, Query, RequestId};

use crate::answer::members;
use crate::catalogue::Catalogue;
use crate::changes::Row;
use crate::links::{self, Event, LinkId, Links, Me, Role, Terms};
use crate::matching::PatternError;
use crate::presence::{Presence, Presences};
use crate::spared::{Spared, SparedMeter};
use crate::time::Instant;

pub use crate::links::TRACKER_ROOM as ROOM;

/// The configuration of a tracker.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it says of itself.
    pub me: Me,
    /// The interval it grants.
    pub interval: Duration,
    /// What all listings may take, in bytes; [`ROOM`], if there is no reason for another.
    pub room: u64,
}

/// The inputs of a tracker: what happens on its links, and nothing else.
#[derive(Debug)]
pub enum Input {
    /// What happens on links.
    Link(links::Input),
}

/// What a tracker wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// What is to be done on links.
    Link(links::Output),
    /// A peer's listing is over the bounds and is not kept.
    Unlisted(Holder),
    /// A member asks for a new certificate. The shell's answer is sent to it
    /// unchanged.
    Renew {
        /// On this link.
        link: LinkId,
        /// With this number.
        request: RequestId,
        /// The member that asks.
        member: PeerId,
        /// What it asks.
        join: Join,
    },
    /// This row of what is shown of it has changed.
    Changed(Row),
}

/// What it has counted since it started. Shown as it is, in the status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Questions about files that it was asked.
    pub finds: u64,
    /// Lookups that its members tell of, and how many of them it was spared.
    #[serde(default)]
    pub spared: Spared,
}

/// A tracker.
#[derive(Debug)]
pub struct Tracker {
    interval: Duration,
    links: Links,
    finds: u64,
    spared: SparedMeter,
    out: VecDeque<Output>,
}

impl Tracker {
    /// A tracker that knows no member yet.
    pub fn new(config: Config) -> Self {
        let Config { me, interval, room } = config;
        Self {
            interval,
            links: Links::new(me, Role::Tracker { interval, room }),
            finds: 0,
            spared: SparedMeter::default(),
            out: VecDeque::new(),
        }
    }

    /// Takes one input. Nothing else changes the machine.
    pub fn handle(&mut self, now: Instant, input: Input) {
        let Input::Link(input) = input;
        let interval = self.interval;
        let offer = |_: &_, _: &_| Terms {
            willing: false,
            interval,
        };
        for event in self.links.handle(now, input, &offer) {
            self.on_event(now, event);
        }
        for event in self.links.advance(now) {
            self.on_event(now, event);
        }
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        let on_links = self.links.poll_output().map(Output::Link);
        on_links.or_else(|| self.out.pop_front())
    }

    /// When to come back with [`links::Input::Tick`], if nothing happens before.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.links.next_deadline()
    }

    /// Peers that are present, in the order of their ids; visitors are none.
    pub fn peers(&self) -> impl Iterator<Item = &Presence> {
        self.links.present().listed()
    }

    /// The same, in the order in which people see them.
    pub fn present(&self) -> &Presences {
        self.links.present()
    }

    /// The catalogue of all listings.
    pub fn catalogue(&self) -> &Catalogue {
        self.links.catalogue()
    }

    /// A page of the answer to its own user, as a member would be given it.
    pub fn answer(&self, find: &Find) -> Result<Found, PatternError> {
        if let Query::Members(after) = find.query {
            let listed = self.links.present().listed_behind(after);
            return Ok(members(listed, self.links.catalogue()).0);
        }
        let everybody = |_| true;
        let asker = self.links.me().id;
        let mut library = self.links.library(asker, &everybody);
        library.unlisted = self.links.some_unlisted(asker);
        library.files(find).0
    }

    /// What it has counted so far.
    pub fn counts(&self, now: Instant) -> Counts {
        Counts {
            finds: self.finds,
            spared: self.spared.spared(now),
        }
    }

    fn on_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Up { link, .. } | Event::Moved { link } => {
                if let Some(link) = self.links.get(link) {
                    self.on_changed(link.member.id);
                }
            }
            Event::ListingChanged { member } | Event::Regrouped { member } => {
                self.on_changed(member);
            }
            Event::Down(down) if down.was_in_use => self.on_changed(down.was.member.id),
            Event::Unlisted(holder) => self.out.push_back(Output::Unlisted(holder)),
            Event::LookedUp(lookups) => {
                self.spared.count(now, lookups);
                self.out.push_back(Output::Changed(Row::Node));
            }
            Event::Asked {
                link,
                request,
                find,
            } => {
                self.finds += u64::from(!matches!(find.query, Query::Members(_)));
                self.links.answer(now, link, request, &find, |_| {});
            }
            Event::RenewalAsked {
                link,
                request,
                member,
                join,
            } => self.out.push_back(Output::Renew {
                link,
                request,
                member,
                join,
            }),
            // The tracker acknowledges every update, which is a sign of life, so a
            // silent link needs no other. A tracker dials no member and asks none.
            Event::Down(_)
            | Event::Silent { .. }
            | Event::TurnedAway { .. }
            | Event::Flowing { .. }
            | Event::Found { .. }
            | Event::Refused { .. }
            | Event::Joined { .. }
            | Event::Acknowledged { .. }
            | Event::Adopted { .. }
            | Event::Expelled
            | Event::Expiring { .. } => {}
        }
    }

    fn on_changed(&mut self, member: PeerId) {
        self.out.push_back(Output::Changed(Row::Member(member)));
    }
}

#[cfg(any(test, feature = "testing"))]
impl Tracker {
    /// Asserts the invariants. For tests: it walks over everything.
    pub fn check(&self) {
        self.links.check();
    }
}

impl From<links::Input> for Input {
    fn from(input: links::Input) -> Self {
        Self::Link(input)
    }
}

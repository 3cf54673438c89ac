//! Asks neighbours in advance for files of which this peer does not know enough.
//!
//! Which neighbour is asked when, and what is kept of its answer, is decided in
//! [`hearsay`](crate::hearsay).

use std::time::Duration;

use thorp_wire::PeerId;

use super::linking::Named;
use super::wanted::{Asker, Errand};
use super::{Config, Peer};
use crate::catalogue::Catalogue;
use crate::hearsay::Hearing;
use crate::time::Instant;

/// Returns how neighbours are asked in advance: never, where they may not answer for others.
pub(super) fn manner(config: &Config) -> Hearing {
    match config.hops {
        0 => Hearing {
            every: Duration::ZERO,
            ..config.hearing
        },
        _ => config.hearing,
    }
}

impl Peer {
    /// Asks the neighbour whose turn it is, if it is time.
    pub(super) fn ask_in_advance(&mut self, now: Instant) {
        let Some(neighbour) = self.hearsay.due(now) else {
            return;
        };
        let Some((link, _)) = self.links.to(neighbour) else {
            return;
        };
        let catalogue = self.links.catalogue();
        let (me, neighbours) = (self.config.me.id, &self.neighbours);
        let named = self.named_by_neighbours();
        let counts = |teller, holder| {
            if self.config.hearing.outlasts {
                named.is_named(holder) || neighbours.contains(holder)
            } else {
                neighbours.contains(teller) && names(catalogue, teller, holder)
            }
        };
        let find = self
            .hearsay
            .question(now, me, neighbour, catalogue, &counts);
        self.run(now, link, Errand::Ask(Asker::Hearsay, find));
        if self.neighbours.len() < self.config.max_neighbours * 7 / 8 {
            self.meet(now, &named);
        }
    }

    /// Dials a member of which neighbours have said something, so that it may become a neighbour.
    fn meet(&mut self, now: Instant, named: &Named) {
        let named = |id| {
            let is_free = || {
                id != self.config.me.id
                    && self.links.to(id).is_none()
                    && !self.links.is_opening(id)
                    && !self.fetches.is_liar(id)
            };
            let namers = named.namers(id);
            (namers > 0 && is_free()).then_some(namers)
        };
        if let Some(holder) = self.hearsay.next_to_meet(now, &named) {
            self.send_to(now, holder, Errand::Meet);
        }
    }
}

/// Whether what a teller has said of a holder still counts: the teller has a link to it, or, if
/// what is said outlasts its teller, any neighbour has one.
pub(super) fn counts(peer: &Peer, teller: PeerId, holder: PeerId) -> bool {
    let catalogue = peer.links.catalogue();
    if peer.config.hearing.outlasts {
        let mut neighbours = peer.neighbours.ids();
        peer.neighbours.contains(holder) || neighbours.any(|of| names(catalogue, of, holder))
    } else {
        names(catalogue, teller, holder)
    }
}

/// Whether a member names another one as its neighbour.
fn names(catalogue: &Catalogue, member: PeerId, other: PeerId) -> bool {
    let listing = catalogue.listing(member);
    listing.is_some_and(|listing| listing.neighbours().contains(&other))
}

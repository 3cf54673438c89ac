//! Asks neighbours in advance for files of which this peer does not know enough.
//!
//! Which neighbour is asked when, and what is kept of its answer, is decided in
//! [`hearsay`](crate::hearsay).

use std::time::Duration;

use thorp_wire::PeerId;

use super::wanted::{Asker, Errand};
use super::{Config, Peer};
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
        let (me, outlasts) = (self.config.me.id, self.config.hearing.outlasts);
        // Holders first: they tell pairs apart sooner.
        let named_by = |holder, teller| (holder, if outlasts { me } else { teller });
        let mut named: Vec<(PeerId, PeerId)> = Vec::new();
        for teller in self.neighbours.ids() {
            let listing = catalogue.listing(teller);
            let neighbours = listing.map_or(&[][..], |listing| listing.neighbours());
            named.extend(neighbours.iter().map(|holder| named_by(*holder, teller)));
            named.push(named_by(teller, teller));
        }
        named.sort_unstable();
        named.dedup();
        let counts = |teller, holder| named.binary_search(&named_by(holder, teller)).is_ok();
        let find = self
            .hearsay
            .question(now, me, neighbour, catalogue, &counts);
        self.run(now, link, Errand::Ask(Asker::Hearsay, find));
        if self.neighbours.len() < self.config.max_neighbours * 7 / 8 {
            self.meet(now);
        }
    }

    /// Dials a member of which neighbours have said something, so that it may become a neighbour.
    fn meet(&mut self, now: Instant) {
        let namers = self.named_by_neighbours();
        let named = |id| {
            let is_free = id != self.config.me.id
                && self.links.to(id).is_none()
                && !self.links.is_opening(id)
                && !self.fetches.is_liar(id);
            namers.get(&id).copied().filter(|_| is_free)
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
    let names = |teller: PeerId| {
        let listing = catalogue.listing(teller);
        listing.is_some_and(|listing| listing.neighbours().contains(&holder))
    };
    if peer.config.hearing.outlasts {
        peer.neighbours.contains(holder) || peer.neighbours.ids().any(names)
    } else {
        names(teller)
    }
}

//! Asks neighbours in advance for files of which this peer does not know enough.
//!
//! Which neighbour is asked when, and what is kept of its answer, is decided in
//! [`hearsay`](crate::hearsay).

use std::time::Duration;

use thorp_wire::PeerId;

use super::wanted::{Asker, Errand};
use super::{Config, Peer};
use crate::catalogue::Catalogue;
use crate::time::Instant;

/// Returns how often a neighbour is asked in advance: never, where it may not answer for others.
pub(super) fn interval(config: &Config) -> Duration {
    match config.hops {
        0 => Duration::ZERO,
        _ => config.compare_interval,
    }
}

impl Peer {
    /// Asks the neighbour whose turn it is, if it is time.
    pub(super) fn compare(&mut self, now: Instant) {
        let Some(neighbour) = self.hearsay.due(now) else {
            return;
        };
        let Some((link, _)) = self.links.to(neighbour) else {
            return;
        };
        let catalogue = self.links.catalogue();
        let counts = |teller, holder| counts(catalogue, teller, holder);
        let question = self
            .hearsay
            .question(now, self.config.me.id, catalogue, &counts);
        if let Some(find) = question {
            self.run(now, link, Errand::Ask(Asker::Comparison, find));
        }
    }
}

/// Whether what a teller has said of a holder still counts: the teller has a link to it.
pub(super) fn counts(catalogue: &Catalogue, teller: PeerId, holder: PeerId) -> bool {
    let listing = catalogue.listing(teller);
    listing.is_some_and(|listing| listing.neighbours().contains(&holder))
}

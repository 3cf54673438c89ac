//! The invariants of a swarm, checked after every input.

use std::collections::BTreeMap;

use thorp_wire::session::message::LONGEST_REQUEST;

use super::pieces::LEAF_LENGTH;
use super::session::MOST_REQUESTS;
use super::{Swarm, pipeline};

impl Swarm {
    /// Asserts them. For tests: it walks over every block that was requested.
    pub fn check(&self) {
        let mut asked: BTreeMap<(u32, u32), u8> = BTreeMap::new();
        for session in self.sessions.values() {
            let mut end = (0, 0);
            let mut bytes = 0;
            for block in session.asked() {
                let piece = block.piece().number();
                assert!(
                    (piece, block.begin()) >= end,
                    "bytes are asked twice of one source at once"
                );
                end = (piece, block.begin() + block.length());
                bytes += u64::from(block.length());
                assert!(
                    session.has.has(piece),
                    "a piece is asked of one who has it not"
                );
                if !session.silent {
                    for leaf in 0..block.length().div_ceil(LEAF_LENGTH) {
                        *asked
                            .entry((piece, block.begin() / LEAF_LENGTH + leaf))
                            .or_default() += 1;
                    }
                }
            }
            let most = pipeline::LARGEST + u64::from(LONGEST_REQUEST);
            assert!(bytes <= most, "too much is outstanding: {bytes}");
            assert!(session.asked_number() <= MOST_REQUESTS);
            let accepts = session.offer.most_requests.unwrap_or(u32::MAX).max(1);
            assert!(
                session.asked_number() <= accepts as usize,
                "more is asked of a source at once than it accepts"
            );
        }
        let (members, clients) = (self.places.total(), self.client_places.total());
        assert!(members <= self.limits.sessions as u64);
        assert!(clients <= self.limits.clients as u64);
        assert_eq!(members + clients, self.sessions.len() as u64);
        self.pieces.check(&asked);
        for piece in self.doubts.pieces() {
            assert!(self.pieces.is_doubted(piece), "{piece} is doubted no more");
        }
    }
}

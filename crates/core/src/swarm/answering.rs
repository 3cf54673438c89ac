//! Serves blocks and hashes to other peers.

use thorp_wire::layout::Block;
use thorp_wire::merkle::HashReply;
use thorp_wire::session::{HashRange, Message};

use crate::time::Instant;

use super::Swarm;
use super::choke::{self, Wanting};
use super::io::{Output, SessionId};
use super::session::{Consequence, Session};

/// The most leaf requests of one session that are hashed for at a time.
const LEAF_REQUESTS: usize = 4;

impl Swarm {
    pub(super) fn not_served(&mut self, id: SessionId, block: Block) {
        if let Some(session) = self.sessions.get_mut(&id)
            && let Consequence::Answer(message) = session.not_served(block)
        {
            self.send(id, message);
        }
    }

    /// Tells the members of a crowd what to ask for.
    pub(super) fn suggest(&mut self) {
        if !self.pieces.is_complete() || self.suggesting.is_over() {
            return;
        }
        let may = |(id, session): (&SessionId, &Session)| {
            let may = session.is_interested && session.offer.member && session.offer.fast;
            (may && !session.choking).then_some(*id)
        };
        let members: Vec<SessionId> = self.sessions.iter().filter_map(may).collect();
        if members.len() < 2 {
            return;
        }
        for id in members {
            while let Some(piece) = self.suggesting.next(id, &mut self.rng) {
                self.outputs
                    .push_back(Output::Send(id, Message::Suggest(piece)));
            }
        }
    }

    pub(super) fn hash_request(&mut self, id: SessionId, range: HashRange) {
        match self.hashes.answer(&range) {
            Some(HashReply::Hashes(hashes)) => {
                return self.send(id, Message::Hashes(range, hashes));
            }
            Some(HashReply::AfterHashing(pieces)) => {
                let had = self.pieces.had();
                if pieces.iter().all(|piece| had.has(piece.number()))
                    && let Some(session) = self.sessions.get_mut(&id)
                    && session.leaf_requests.len() < LEAF_REQUESTS
                    && session.leaf_requests.insert(range)
                {
                    let output = Output::HashLeaves(id, range, pieces);
                    return self.outputs.push_back(output);
                }
            }
            None => {}
        }
        self.send(id, Message::HashReject(range));
    }

    pub(super) fn leaves_hashed(
        &mut self,
        id: SessionId,
        range: HashRange,
        leaves: Option<Vec<[u8; 32]>>,
    ) {
        let session = self.sessions.get_mut(&id);
        if session.is_some_and(|session| session.leaf_requests.remove(&range)) {
            let refused = || Message::HashReject(range);
            let hashes = leaves.and_then(|leaves| self.hashes.answer_with(&range, leaves));
            let answer = hashes.map(|hashes| Message::Hashes(range, hashes));
            self.send(id, answer.unwrap_or_else(refused));
        }
    }

    /// Whether more peers want bytes than are served at a time.
    pub(super) fn is_crowded(&self) -> bool {
        let wanting = self
            .sessions
            .values()
            .filter(|session| session.is_interested);
        wanting.count() > self.limits.uploads
    }

    /// Gives away free places after a session has begun or ceased to want bytes, or was closed. No
    /// peer loses its place, except one that has just come.
    pub(super) fn rechoke(&mut self, now: Instant, came: Option<SessionId>) {
        let mut wanting = self.wanting();
        for one in &mut wanting {
            one.unchoked &= came != Some(one.session);
        }
        let chosen = choke::fill(&wanting, self.limits.uploads);
        self.choke_all_but(now, &chosen);
    }

    /// Chooses anew which peers are served.
    pub(super) fn choke_anew(&mut self, now: Instant) {
        let wanting = self.wanting();
        let (places, complete) = (self.limits.uploads, self.pieces.is_complete());
        let chosen = choke::choose(&wanting, places, complete, &mut self.rng);
        self.choke_all_but(now, &chosen);
        for session in self.sessions.values_mut() {
            session.received_before = session.received;
        }
    }

    fn wanting(&self) -> Vec<Wanting> {
        let wanting = self
            .sessions
            .iter()
            .filter(|(_, session)| session.is_interested);
        wanting
            .map(|(id, session)| Wanting {
                session: *id,
                member: session.offer.member,
                came: session.received - session.received_before,
                got: session.taken,
                unchoked: !session.choking,
            })
            .collect()
    }

    fn choke_all_but(&mut self, now: Instant, chosen: &std::collections::BTreeSet<SessionId>) {
        for (id, session) in self
            .sessions
            .iter_mut()
            .filter(|(_, session)| session.is_interested)
        {
            let choke = !chosen.contains(id);
            if session.choking == choke {
                continue;
            }
            session.choking = choke;
            session.worked = now;
            let message = if choke {
                Message::Choke
            } else {
                Message::Unchoke
            };
            self.outputs.push_back(Output::Send(*id, message));
            if choke {
                // Each block is rejected once it is known that its upload was not begun.
                for block in session.withdraw_all() {
                    self.outputs.push_back(Output::Withdraw(*id, block));
                }
            }
        }
    }
}

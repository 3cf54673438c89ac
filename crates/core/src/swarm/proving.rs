//! Verifies received data, and data found on disk, against the hashes.

use thorp_wire::layout::Piece;
use thorp_wire::merkle;
use thorp_wire::session::{HashRange, Message};

use crate::time::Instant;

use super::doubts::Next;
use super::hashes::Worth;
use super::io::{Output, SessionId, SourceId, Why};
use super::pieces::Verdict;
use super::{Swarm, Zeros};

impl Swarm {
    /// Records the hash of a piece that an earlier fetch left on disk.
    pub(super) fn on_piece_rechecked(&mut self, piece: Piece, leaves: &[[u8; 32]]) {
        if let Some(hash) = merkle::piece_hash(self.layout, piece, leaves) {
            self.rechecked.insert(piece.number(), hash);
        }
        self.take_rechecked();
    }

    /// Takes those pieces found on disk that are right, once the hashes are known.
    fn take_rechecked(&mut self) {
        if !self.hashes.are_known() {
            return;
        }
        for (number, hash) in std::mem::take(&mut self.rechecked) {
            if self.hashes.of(number) != Some(hash) {
                self.left_wrong.insert(number);
            } else if let Some(piece) = self.layout.piece(number) {
                self.take_as_it_is(piece);
            }
        }
    }

    /// Records that all pieces on disk have been reported.
    pub(super) fn on_disk_looked_through(&mut self) {
        if self.zeros == Zeros::Unsought {
            self.zeros = Zeros::Sought;
            if self.torrent.is_some() {
                let bytes = self.pieces.to_come();
                self.outputs.push_back(Output::ToCome(bytes));
            }
            self.take_zeros();
        }
    }

    /// Verifies the pieces that are all zeros, once the hashes are known. Such a piece need not be
    /// requested: on disk it is a hole, unless an earlier fetch has left other bytes there.
    fn take_zeros(&mut self) {
        if self.zeros != Zeros::Sought || !self.hashes.are_known() {
            return;
        }
        self.zeros = Zeros::Taken;
        let pieces = (0..self.pieces.count()).filter_map(|number| self.layout.piece(number));
        // All but the last one have the same length, and so the same hash.
        let (mut whole, mut zeros) = (None, Vec::new());
        for piece in pieces {
            let is_whole = self.layout.length_of(piece) == self.layout.piece_length();
            let of_zeros = match whole {
                Some(hash) if is_whole => hash,
                _ => merkle::zero_piece_hash(self.layout, piece),
            };
            if is_whole {
                whole = Some(of_zeros);
            }
            let number = piece.number();
            if self.hashes.of(number) == Some(of_zeros) && !self.left_wrong.contains(&number) {
                zeros.push(piece);
            }
        }
        for piece in zeros {
            self.take_as_it_is(piece);
        }
        self.left_wrong.clear();
        let bytes = self.layout.length() - self.pieces.verified();
        self.outputs.push_back(Output::ToCome(bytes));
    }

    /// Verifies a piece that is on disk, unless it was begun: its bytes are being written then.
    pub(super) fn take_as_it_is(&mut self, piece: Piece) {
        let number = piece.number();
        if self.picker.is_wanted(number) {
            self.picker.take(number);
            self.pieces.verify(piece);
            self.tell_verified(piece);
        }
    }

    /// Requests the hashes of the pieces while they are not known.
    pub(super) fn ask_for_hashes(&mut self, now: Instant) {
        if self.can_verify() {
            return;
        }
        let having = self.sessions.iter();
        let mut having: Vec<_> = having
            .filter(|(_, session)| session.offer.hashes && session.has.count() > 0)
            .collect();
        having.sort_by_key(|(_, session)| !session.is_whole());
        let having: Vec<SessionId> = having.into_iter().map(|(id, _)| *id).collect();
        for (id, range) in self.hashes.ask(now, &having) {
            self.send(id, Message::HashRequest(range));
        }
    }

    pub(super) fn hashes_came(
        &mut self,
        now: Instant,
        id: SessionId,
        range: HashRange,
        hashes: &[[u8; 32]],
    ) {
        if range.base == 0 {
            return self.leaves_came(now, id, range, hashes);
        }
        match self.hashes.answered(id, &range, hashes) {
            Worth::NoNews | Worth::True => {}
            Worth::Complete => {
                self.proven_by = self.sessions.get(&id).map(|session| session.source);
                self.take_rechecked();
                self.take_zeros();
                self.wake = true;
            }
            Worth::False => self.blame_session(now, id),
        }
    }

    /// Handles the leaf hashes of a piece in doubt, or that a reader waits for.
    fn leaves_came(&mut self, now: Instant, id: SessionId, range: HashRange, hashes: &[[u8; 32]]) {
        let Some(piece) = self.piece_of(&range) else {
            return;
        };
        if self.leaf_range(piece) != Some(range) {
            return;
        }
        let suspect = self.suspects.take(piece, id);
        let is_awaited = self.doubts.awaits(id, piece) || self.readers.awaits(id, piece);
        if suspect.is_none() && !is_awaited {
            return;
        }
        let Some(hash) = self.hashes.of(piece) else {
            return;
        };
        let Ok(leaves) = merkle::verify_leaves(self.content, &range, &hash, hashes) else {
            self.doubts.refused(id, piece);
            self.readers.refused(id, piece);
            return self.blame_session(now, id);
        };
        // One that has the piece, and sent something else, lied.
        let itself = self.sessions.get(&id).map(|session| session.source);
        self.doubts.resolved(piece);
        self.readers.resolved(piece);
        let mut wrong = self.pieces.sort_out(piece, leaves);
        wrong.extend(suspect);
        for source in wrong {
            if Some(source) == itself {
                self.blame(now, source);
            } else {
                self.suspect(now, piece, source);
            }
        }
        self.wake = true;
    }

    /// This source sent wrong leaves of a piece: it is asked for what it has there.
    pub(super) fn suspect(&mut self, now: Instant, piece: u32, source: SourceId) {
        let Some(id) = self.by_source.get(&source).copied() else {
            return self.cannot_prove(now, piece, source);
        };
        // It was believed once, or can prove nothing.
        let session = self.sessions.get(&id);
        if self.suspects.has_changed(source) || session.is_some_and(|session| !session.offer.hashes)
        {
            return self.blame(now, source);
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            session.deny(piece);
        }
        self.pieces.abandon(piece, id);
        if let Some(range) = self.leaf_range(piece)
            && self.suspects.add(now, piece, source, id)
        {
            self.send(id, Message::HashRequest(range));
        }
    }

    /// This source has not the piece that it lists: its file has changed. No leaf of it is
    /// of use.
    pub(super) fn cannot_prove(&mut self, now: Instant, piece: u32, source: SourceId) {
        let is_news = !self.suspects.has_changed(source);
        self.suspects.cannot_prove(piece, source);
        for piece in self.pieces.drop_sent_by(source) {
            self.doubts.resolved(piece);
        }
        if let Some(id) = self.by_source.get(&source).copied().filter(|_| is_news) {
            let why = "its file has changed";
            self.drop_session(now, id, Why::Useless(why.into()));
        }
        self.wake = true;
    }

    pub(super) fn hashes_refused(&mut self, now: Instant, id: SessionId, range: HashRange) {
        self.hashes.refused(now, id, &range);
        let Some(piece) = self.piece_of(&range) else {
            return;
        };
        self.wake |= self.doubts.awaits(id, piece);
        self.doubts.refused(id, piece);
        self.wake |= self.readers.awaits(id, piece);
        self.readers.refused(id, piece);
        if let Some(source) = self.suspects.take(piece, id) {
            self.cannot_prove(now, piece, source);
        }
    }

    /// Sources that were asked for leaves and do not answer have nothing to prove with.
    pub(super) fn judge_the_silent(&mut self, now: Instant) {
        for (piece, source) in self.suspects.take_silent(now) {
            self.cannot_prove(now, piece, source);
        }
    }

    fn blame_session(&mut self, now: Instant, id: SessionId) {
        if let Some(session) = self.sessions.get(&id) {
            self.blame(now, session.source);
        }
    }

    /// Verifies a piece whose leaves are all written.
    pub(super) fn judge(&mut self, now: Instant, piece: Piece) {
        let number = piece.number();
        if self.torrent.is_some() {
            return self.hash_piece(piece);
        }
        let (Some(leaves), Some(hash)) = (self.pieces.hashes(number), self.hashes.of(number))
        else {
            return;
        };
        let good = merkle::piece_hash(self.layout, piece, &leaves) == Some(hash);
        self.judged(now, piece, good);
    }

    /// A piece was verified, or is wrong.
    pub(super) fn judged(&mut self, now: Instant, piece: Piece, good: bool) {
        let number = piece.number();
        match self.pieces.judge(piece, good) {
            Verdict::Good(given) => {
                self.on_given(&given);
                self.doubts.resolved(number);
                self.tell_verified(piece);
            }
            Verdict::Bad(senders) => {
                match senders.as_slice() {
                    // There are no leaves to ask it for, and it may have hung up meanwhile.
                    [sender] if self.torrent.is_some() => self.blame(now, *sender),
                    [sender] => self.suspect(now, number, *sender),
                    _ => self.doubts.add(number),
                }
                self.wake = true;
            }
        }
    }

    /// A piece was verified: what came of it counts for those who sent it.
    fn on_given(&mut self, given: &[(SourceId, u32)]) {
        for (source, bytes) in given {
            self.sources.on_given(*source, *bytes);
        }
    }

    /// Requests the leaf hashes of pieces in doubt, or starts to fetch these pieces again.
    pub(super) fn resolve_doubts(&mut self, now: Instant) {
        let sessions = &self.sessions;
        let having = |piece: u32| {
            let having = sessions
                .iter()
                .filter(|(_, session)| session.offer.hashes && session.has.has(piece));
            let mut having: Vec<_> = having.collect();
            having.sort_by_key(|(_, session)| {
                (session.silent, session.received == 0, !session.is_whole())
            });
            having
                .into_iter()
                .map(|(id, session)| (*id, session.source))
                .collect()
        };
        for next in self.doubts.advance(now, having) {
            match next {
                Next::Ask(id, piece) => match self.leaf_range(piece) {
                    Some(range) => self.send(id, Message::HashRequest(range)),
                    None => self.doubts.refused(id, piece),
                },
                Next::Alone(piece) => {
                    self.pieces.start_alone(piece);
                    self.wake = true;
                }
            }
        }
    }

    /// Returns the piece that has the first leaf of a range. `None` if pieces are shorter than a
    /// leaf, as those of a v1 torrent may be.
    fn piece_of(&self, range: &HashRange) -> Option<u32> {
        range.index.checked_div(self.layout.leaves_per_piece())
    }

    pub(super) fn leaf_range(&self, piece: u32) -> Option<HashRange> {
        merkle::leaf_range(self.content, self.layout.piece(piece)?)
    }
}

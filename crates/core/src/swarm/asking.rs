//! Requests blocks and takes the blocks that arrive.

use std::time::Duration;

use thorp_wire::layout::Block;
use thorp_wire::session::Message;

use crate::time::Instant;

use super::Swarm;
use super::io::{SessionId, SourceId, Why};
use super::picker::Turn;
use super::pieces::LEAF_LENGTH;
use super::session::{Session, longest_of, span_of};

/// How many pieces may be under way at once; `BEGUN_EACH` more for each session.
const BEGUN: usize = 8;
const BEGUN_EACH: usize = 2;
/// Until this many pieces are verified, any piece is picked instead of the rarest, so that this
/// peer soon has something to give.
const FIRST_PIECES: u32 = 2;
/// A source that would need longer than this for a piece, in seconds, helps with pieces under way
/// instead of beginning another.
const LONG_PIECE: f64 = 10.0;
/// Near the end, the same bytes are requested from at most `TWICE` sources, or from `OFTEN` if
/// one of them would take longer than `TOO_LONG`.
const TWICE: u8 = 2;
const OFTEN: u8 = 8;
const TOO_LONG: Duration = Duration::from_secs(2);
/// Bytes that a reader waits for are requested again after a shorter time.
const LONG_FOR_READER: Duration = Duration::from_millis(300);

impl Swarm {
    /// Requests blocks from a session until its window is full.
    pub(super) fn fill(&mut self, now: Instant, id: SessionId) {
        if self.pieces.is_complete() || !self.can_verify() {
            return;
        }
        while let Some(session) = self.sessions.get(&id) {
            let room = session.pipeline.room();
            let gives = session.has_more_to_give() && !session.silent && session.may_ask();
            if room == 0 || !gives {
                return;
            }
            let longest = session.pipeline.request_length(longest_of(&session.offer));
            let Some(block) = self.pick(now, id, longest) else {
                return;
            };
            if let Some(session) = self.sessions.get_mut(&id) {
                session.ask(now, block);
            }
            self.send(id, Message::Request(span_of(block)));
        }
    }

    /// Requests blocks from all sessions that have room in their windows.
    pub(super) fn fill_all(&mut self, now: Instant) {
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            self.fill(now, id);
        }
    }

    /// Picks the next block to request from a session; it counts as asked from now on. In this
    /// order: what a reader waits for; the session's own piece; a piece that its holder suggests
    /// (while suggestions come, nothing else is begun); a piece without an owner; a new piece, and
    /// then a piece of another session (the other way round for a slow source, or where many pieces
    /// are under way); bytes that were requested elsewhere already.
    fn pick(&mut self, now: Instant, id: SessionId, longest: u32) -> Option<Block> {
        let read = self.ask_read(now, id, longest);
        if read.is_some() || self.readers.on_demand {
            return read;
        }
        let session = self.sessions.get(&id)?;
        let slow = {
            let rate = session.pipeline.rate(now);
            rate > 0.0 && rate * LONG_PIECE < f64::from(self.layout.piece_length())
        };
        if let Some(piece) = session.current {
            if session.offers(piece)
                && let Some(block) = self.ask_there(id, piece, longest)
            {
                return Some(block);
            }
            self.pieces.all_asked(piece, id);
            self.sessions.get_mut(&id)?.current = None;
        }
        if let Some(block) = self.ask_suggested(id, longest) {
            return Some(block);
        }
        if self.sessions.get(&id)?.is_guided(now) {
            return None;
        }
        let orphan = self.ask_begun(now, id, longest, |owner| {
            owner.is_none_or(|owner| owner == id)
        });
        if orphan.is_some() {
            return orphan;
        }
        let few = self.pieces.begun() < BEGUN + BEGUN_EACH * self.sessions.len();
        let block = if few && !slow {
            let block = self.ask_new(id, longest);
            block.or_else(|| self.ask_begun(now, id, longest, |_| true))
        } else {
            let block = self.ask_begun(now, id, longest, |_| true);
            block.or_else(|| self.ask_new(id, longest))
        };
        block.or_else(|| self.ask_again(now, id, longest, false))
    }

    /// Returns the next bytes of a piece for this session.
    fn ask_there(&mut self, id: SessionId, piece: u32, longest: u32) -> Option<Block> {
        let session = self.sessions.get(&id)?;
        let is_free = |block| !session.touches(block);
        self.pieces.ask_next(piece, longest, is_free)
    }

    /// Returns bytes of a piece under way, if `by` accepts the session that owns it.
    fn ask_begun(
        &mut self,
        now: Instant,
        id: SessionId,
        longest: u32,
        by: impl Fn(Option<SessionId>) -> bool,
    ) -> Option<Block> {
        let session = self.sessions.get(&id)?;
        let open = self.pieces.open();
        let pieces: Vec<u32> = open
            .filter(|(piece, owner)| by(*owner) && session.offers(*piece))
            .map(|(piece, _)| piece)
            .collect();
        for piece in pieces {
            if self.pieces.adopt(now, piece, id)
                && let Some(block) = self.ask_there(id, piece, longest)
            {
                self.sessions.get_mut(&id)?.current = Some(piece);
                return Some(block);
            }
            self.pieces.all_asked(piece, id);
        }
        None
    }

    /// Begins a piece that the other end suggests.
    fn ask_suggested(&mut self, id: SessionId, longest: u32) -> Option<Block> {
        while let Some(piece) = self.sessions.get_mut(&id)?.suggested.pop_front() {
            if self.picker.is_wanted(piece) && self.sessions.get(&id)?.offers(piece) {
                return self.begin(id, piece, longest);
            }
        }
        None
    }

    /// Begins a new piece and returns its first bytes.
    fn ask_new(&mut self, id: SessionId, longest: u32) -> Option<Block> {
        let turn = self.turn();
        let session = self.sessions.get(&id)?;
        let has = |piece| session.offers(piece);
        let any = self.pieces.had().count() < FIRST_PIECES && !session.is_whole();
        let piece = if any {
            self.picker.any(&mut self.rng, has)
        } else {
            self.picker.next(turn, has)
        }?;
        self.begin(id, piece, longest)
    }

    fn begin(&mut self, id: SessionId, piece: u32, longest: u32) -> Option<Block> {
        self.picker.take(piece);
        self.pieces.begin(self.layout.piece(piece)?, id);
        self.sessions.get_mut(&id)?.current = Some(piece);
        self.ask_there(id, piece, longest)
    }

    /// Returns bytes that were requested from another session, but that would take far longer
    /// there: only such as a reader waits for, or any.
    pub(super) fn ask_again(
        &mut self,
        now: Instant,
        id: SessionId,
        longest: u32,
        only_read: bool,
    ) -> Option<Block> {
        let urgent = if only_read { self.urgent() } else { Vec::new() };
        if only_read && urgent.is_empty() {
            return None;
        }
        let is_wanted = |block: Block| {
            let begin = self.layout.offset_of(block);
            let end = begin + u64::from(block.length());
            let mut urgent = urgent.iter();
            !only_read || urgent.any(|wanted| begin < wanted.end && wanted.start < end)
        };
        let too_long = if only_read { LONG_FOR_READER } else { TOO_LONG };
        let session = self.sessions.get(&id)?;
        let here = session.pipeline.awaited(now, longest);
        let at_the_end = self.picker.is_exhausted();
        let others = self.sessions.iter().filter(|(other, _)| **other != id);
        let mut slower: Vec<_> = others
            .filter(|(_, other)| other.asked_number() > 0)
            .map(|(_, other)| (other.pipeline.awaited(now, 0), other))
            .filter(|(there, _)| *there > 2 * here && (at_the_end || *there > too_long))
            .collect();
        slower.sort_by_key(|(there, _)| std::cmp::Reverse(*there));
        let again = |(most, block): (u8, Block)| {
            let piece = block.piece().number();
            if !session.offers(piece) || !self.pieces.may_share(piece, id) {
                return None;
            }
            // The other source may accept longer requests than this one.
            let end = block.begin() + block.length();
            let length = (longest / LEAF_LENGTH * LEAF_LENGTH).max(LEAF_LENGTH);
            let begins = (block.begin()..end).step_by(length as usize);
            let part = |begin| self.layout.block(piece, begin, length.min(end - begin));
            let mut parts = begins.filter_map(part);
            parts.find(|part| {
                is_wanted(*part)
                    && self.pieces.wants(*part)
                    && self.pieces.asked_of(*part) < most
                    && !session.touches(*part)
            })
        };
        let mut blocks = slower.iter().flat_map(|(there, other)| {
            let most = if *there > TOO_LONG { OFTEN } else { TWICE };
            other.asked().map(move |block| (most, block))
        });
        let block = blocks.find_map(again)?;
        self.pieces.ask(block);
        Some(block)
    }

    /// Returns this peer's share of the pieces that all members in the swarm want.
    fn turn(&mut self) -> Turn {
        if let Some(turn) = self.turn {
            return turn;
        }
        let wanting = self.sessions.values();
        let wanting = wanting.filter(|session| session.offer.member && !session.is_whole());
        let (mut mine, mut of) = (0, 1);
        for session in wanting {
            of += 1;
            mine += u32::from(session.source < SourceId::Member(self.me));
        }
        let turn = Turn { mine, of };
        self.turn = Some(turn);
        turn
    }

    /// Records bytes of a block that has not arrived in full.
    pub(super) fn flowing(&mut self, now: Instant, id: SessionId, bytes: u32) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.heard = now;
            session.pipeline.flowing(bytes);
            self.received_at = now;
            self.received += u64::from(bytes);
            self.revive(id);
        }
    }

    /// Takes a block whose bytes have all arrived. Returns whether to write it.
    pub(super) fn claimed(&mut self, now: Instant, id: SessionId, block: Block) -> bool {
        self.revive(id);
        let Some(session) = self.sessions.get_mut(&id) else {
            return false;
        };
        let Some(untold) = session.on_block_received(now, block) else {
            // It was cancelled while it was arriving.
            self.wake |= session.on_dropped(span_of(block));
            return false;
        };
        self.received += untold;
        self.received_at = now;
        self.pieces.release(block);
        let claimed = self.pieces.claim(block);
        if claimed {
            session.claim(block);
            if self.pieces.asked_of(block) > 0 {
                self.cancel_elsewhere(now, id, block);
            }
        }
        self.fill(now, id);
        claimed
    }

    /// Cancels the requests to other sessions for bytes that have arrived.
    fn cancel_elsewhere(&mut self, now: Instant, from: SessionId, came: Block) {
        let mut cancels = Vec::new();
        for (id, session) in &mut self.sessions {
            if *id == from || !session.touches(came) {
                continue;
            }
            let same_piece = session
                .asked()
                .filter(|block| block.piece() == came.piece());
            let done = same_piece.filter(|block| !self.pieces.wants(*block));
            let done: Vec<Block> = done.collect();
            for block in done {
                session.cancel(now, block);
                cancels.push((*id, block, session.silent));
            }
        }
        for (id, block, silent) in cancels {
            if !silent {
                self.pieces.release(block);
            }
            self.send(id, Message::Cancel(span_of(block)));
            self.wake = true;
        }
    }

    /// Records that a block is on disk.
    pub(super) fn on_block_written(
        &mut self,
        now: Instant,
        id: SessionId,
        block: Block,
        leaves: &[[u8; 32]],
    ) {
        let mut is_of_use = true;
        let source = if let Some(session) = self.sessions.get_mut(&id) {
            session.written(block).then_some(session.source)
        } else if let Some((source, blocks)) = self.ended.get_mut(&id) {
            is_of_use = !self.suspects.has_changed(*source);
            blocks.remove(&block).then_some(*source)
        } else {
            None
        };
        let Some(source) = source else {
            return;
        };
        if self
            .ended
            .get(&id)
            .is_some_and(|(_, blocks)| blocks.is_empty())
        {
            self.ended.remove(&id);
        }
        if !is_of_use {
            self.pieces.unclaim(block);
            self.wake = true;
            return;
        }
        self.sources.on_kept(source, block.length());
        let is_there = self.pieces.on_block_written(block, leaves, source);
        if self.pieces.drop_wrong(block) {
            self.suspect(now, block.piece().number(), source);
            self.wake = true;
        } else if is_there {
            self.judge(now, block.piece());
        }
    }

    /// Handles the rejection of a block.
    pub(super) fn rejected(&mut self, now: Instant, id: SessionId, block: Block) {
        self.not_coming(id, &[block]);
        self.abandon(id);
        let session = self.sessions.get(&id);
        if session.is_some_and(Session::refuses_too_often) {
            let why = "it does not send what it lists: the file may be gone there";
            self.drop_session(now, id, Why::Useless(why.into()));
        }
    }

    /// Releases blocks that this session will not send.
    pub(super) fn not_coming(&mut self, id: SessionId, blocks: &[Block]) {
        let silent = self.sessions.get(&id).is_some_and(|session| session.silent);
        if !silent {
            for block in blocks {
                self.pieces.release(*block);
            }
        }
        self.wake |= !blocks.is_empty();
    }

    /// Takes a piece away from a session. The session may work on it again only once all sessions
    /// that have the piece have lost it in this way.
    pub(super) fn take_away(&mut self, now: Instant, piece: u32, id: SessionId) {
        self.pieces.abandon(piece, id);
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.bar(piece);
        session.current = session.current.filter(|current| *current != piece);
        let owed = session.asked();
        let owed: Vec<Block> = owed
            .filter(|block| block.piece().number() == piece)
            .collect();
        self.cancel(now, id, &owed);
        if !self.sessions.values().any(|session| session.offers(piece)) {
            for session in self.sessions.values_mut() {
                session.unbar(piece);
            }
        }
        self.wake = true;
    }

    /// Cancels requests to a session.
    fn cancel(&mut self, now: Instant, id: SessionId, blocks: &[Block]) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        for block in blocks {
            session.cancel(now, *block);
        }
        self.not_coming(id, blocks);
        for block in blocks {
            self.send(id, Message::Cancel(span_of(*block)));
        }
    }

    /// A client has said how many requests it accepts: it would not answer those beyond.
    pub(super) fn on_most_requests(&mut self, now: Instant, id: SessionId, most: u32) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.offer.most_requests = Some(most);
        let beyond: Vec<Block> = session.asked().skip(session.most_asked()).collect();
        self.cancel(now, id, &beyond);
    }

    /// Lets other sessions work on this session's pieces.
    pub(super) fn abandon(&mut self, id: SessionId) {
        self.pieces.abandon_all(id);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.current = None;
        }
    }

    /// A silent session has sent something: the blocks that it owes count as asked of it again.
    fn revive(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id)
            && std::mem::take(&mut session.silent)
        {
            for block in session.asked() {
                self.pieces.ask(block);
            }
            self.wake = true;
        }
    }

    /// Emits [`Output::Complete`](super::Output::Complete) once the file is complete, and closes
    /// sessions with peers that also have all of it.
    pub(super) fn complete(&mut self, now: Instant) {
        if self.done || !self.pieces.is_complete() {
            return;
        }
        self.done = true;
        let mut sources = self.source_ids();
        if sources.is_empty() {
            // All of it is zeros, or was here: its hashes came from there.
            sources.extend(self.proven_by);
        }
        self.outputs.push_back(super::Output::Complete { sources });
        let sessions = self.sessions.iter();
        let whole = sessions.filter(|(_, session)| session.is_whole());
        let whole: Vec<SessionId> = whole.map(|(id, _)| *id).collect();
        for id in whole {
            self.end_session(now, id);
        }
    }

    /// Ends all sessions and the swarm.
    pub(super) fn stop(&mut self, now: Instant, reason: &str) {
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            self.drop_session(now, id, Why::Stopping(reason.into()));
        }
        self.stopped = true;
    }
}

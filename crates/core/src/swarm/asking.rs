//! Asking for blocks, and taking those that come.

use std::time::Duration;

use thorp_wire::layout::Block;
use thorp_wire::session::Message;

use crate::time::Instant;

use super::Swarm;
use super::io::{SessionId, Why};
use super::picker::Turn;
use super::pieces::LEAF_LENGTH;
use super::session::{Session, longest_of, span_of};

/// How many pieces may be begun at once, and how many more for each session.
const BEGUN: usize = 8;
const BEGUN_EACH: usize = 2;
/// Until this many pieces are had, any piece will do, so that this end soon has
/// some to give.
const FIRST_PIECES: u32 = 2;
/// A source that would take longer than this for a piece, in seconds, helps
/// with begun pieces instead of beginning another.
const LONG_PIECE: f64 = 10.0;
/// How many sources are asked for the same bytes near the end, at most; and how
/// many if one of them would take longer than this.
const TWICE: u8 = 2;
const OFTEN: u8 = 8;
const TOO_LONG: Duration = Duration::from_secs(2);

impl Swarm {
    /// Asks a session for as much as it should be asked for.
    pub(super) fn fill(&mut self, now: Instant, id: SessionId) {
        if self.pieces.is_complete() || !self.hashes.are_known() {
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

    /// Asks all sessions that have room in their window.
    pub(super) fn fill_all(&mut self, now: Instant) {
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            self.fill(now, id);
        }
    }

    /// The next block to ask of a session, which counts as asked from now on.
    /// In this order: of its own piece, of a piece that no session works on, of
    /// a new piece, of a piece that others work on, and in the end of what
    /// others were asked for already.
    fn pick(&mut self, now: Instant, id: SessionId, longest: u32) -> Option<Block> {
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
        block.or_else(|| self.ask_again(now, id, longest))
    }

    /// The next bytes of a piece, for this session.
    fn ask_there(&mut self, id: SessionId, piece: u32, longest: u32) -> Option<Block> {
        let block = self.pieces.ask_next(piece, longest)?;
        if self.sessions.get(&id)?.touches(block) {
            self.pieces.release(block);
            return None;
        }
        Some(block)
    }

    /// Bytes of a begun piece, if `by` allows the session that works on it.
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

    /// Bytes of a piece that is not begun.
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
        self.picker.take(piece);
        self.pieces.begin(self.layout.piece(piece)?, id);
        self.sessions.get_mut(&id)?.current = Some(piece);
        self.ask_there(id, piece, longest)
    }

    /// Bytes that another session was asked for already, but would take far
    /// longer to send.
    fn ask_again(&mut self, now: Instant, id: SessionId, longest: u32) -> Option<Block> {
        let session = self.sessions.get(&id)?;
        let here = session.pipeline.awaited(now, longest);
        let at_the_end = self.picker.is_exhausted();
        let others = self.sessions.iter().filter(|(other, _)| **other != id);
        let mut slower: Vec<_> = others
            .filter(|(_, other)| other.asked_number() > 0)
            .map(|(_, other)| (other.pipeline.awaited(now, 0), other))
            .filter(|(there, _)| *there > 2 * here && (at_the_end || *there > TOO_LONG))
            .collect();
        slower.sort_by_key(|(there, _)| std::cmp::Reverse(*there));
        let again = |(most, block): (u8, Block)| {
            let piece = block.piece().number();
            let length = block.length().min(longest / LEAF_LENGTH * LEAF_LENGTH);
            let block = self.layout.block(piece, block.begin(), length)?;
            let may = session.offers(piece)
                && self.pieces.may_share(piece, id)
                && self.pieces.wants(block)
                && self.pieces.asked_of(block) < most
                && !session.touches(block);
            may.then_some(block)
        };
        let mut blocks = slower.iter().flat_map(|(there, other)| {
            let most = if *there > TOO_LONG { OFTEN } else { TWICE };
            other.asked().map(move |block| (most, block))
        });
        let block = blocks.find_map(again)?;
        self.pieces.ask(block);
        Some(block)
    }

    /// This end's share of the pieces that all members in the swarm want.
    fn turn(&mut self) -> Turn {
        if let Some(turn) = self.turn {
            return turn;
        }
        let wanting = self.sessions.values();
        let wanting = wanting.filter(|session| session.offer.member && !session.is_whole());
        let (mut mine, mut of) = (0, 1);
        for session in wanting {
            of += 1;
            mine += u32::from(session.peer < self.me);
        }
        let turn = Turn { mine, of };
        self.turn = Some(turn);
        turn
    }

    /// Bytes of a block come.
    pub(super) fn flowing(&mut self, now: Instant, id: SessionId, bytes: u32) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.heard = now;
            session.pipeline.flowing(bytes);
            self.received += u64::from(bytes);
            self.revive(id);
        }
    }

    /// All bytes of a block have come. Returns whether to write them.
    pub(super) fn claimed(&mut self, now: Instant, id: SessionId, block: Block) -> bool {
        self.revive(id);
        let Some(session) = self.sessions.get_mut(&id) else {
            return false;
        };
        let Some(untold) = session.came(now, block) else {
            return false;
        };
        self.received += untold;
        self.pieces.release(block);
        let claimed = self.pieces.claim(block);
        if claimed {
            session.claim(block);
            if self.pieces.asked_of(block) > 0 {
                self.take_back(now, id, block);
            }
        }
        self.fill(now, id);
        claimed
    }

    /// Takes back from other sessions the requests for bytes that have come
    /// now.
    fn take_back(&mut self, now: Instant, from: SessionId, came: Block) {
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
                session.take_back(now, block);
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

    /// A block is on disk.
    pub(super) fn on_block_written(
        &mut self,
        now: Instant,
        id: SessionId,
        block: Block,
        leaves: &[[u8; 32]],
    ) {
        let peer = if let Some(session) = self.sessions.get_mut(&id) {
            session.written(block).then_some(session.peer)
        } else if let Some((peer, blocks)) = self.ended.get_mut(&id) {
            blocks.remove(&block).then_some(*peer)
        } else {
            None
        };
        let Some(peer) = peer else {
            return;
        };
        if self
            .ended
            .get(&id)
            .is_some_and(|(_, blocks)| blocks.is_empty())
        {
            self.ended.remove(&id);
        }
        self.sources.on_kept(peer, block.length());
        if self.pieces.on_block_written(block, leaves, peer) {
            self.judge(now, block.piece());
        }
    }

    /// A block was refused.
    pub(super) fn rejected(&mut self, now: Instant, id: SessionId, block: Block) {
        self.not_coming(id, &[block]);
        self.abandon(id);
        let session = self.sessions.get(&id);
        if session.is_some_and(Session::refuses_too_often) {
            let why = "it refuses what it says it has";
            self.drop_session(now, id, Why::Useless(why.into()));
        }
    }

    /// These blocks, which were asked of this session, will not come from it.
    pub(super) fn not_coming(&mut self, id: SessionId, blocks: &[Block]) {
        let silent = self.sessions.get(&id).is_some_and(|session| session.silent);
        if !silent {
            for block in blocks {
                self.pieces.release(*block);
            }
        }
        self.wake |= !blocks.is_empty();
    }

    /// A piece is not awaited from this session any more. It is asked again
    /// only if the piece was taken away from all sessions that have it.
    pub(super) fn take_away(&mut self, now: Instant, piece: u32, id: SessionId) {
        self.pieces.abandon(piece, id);
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.bar(piece, true);
        session.current = session.current.filter(|current| *current != piece);
        let owed = session.asked();
        let owed: Vec<Block> = owed
            .filter(|block| block.piece().number() == piece)
            .collect();
        let silent = session.silent;
        for block in owed {
            session.take_back(now, block);
            self.outputs
                .push_back(super::Output::Send(id, Message::Cancel(span_of(block))));
            if !silent {
                self.pieces.release(block);
            }
        }
        if !self.sessions.values().any(|session| session.offers(piece)) {
            for session in self.sessions.values_mut() {
                session.bar(piece, false);
            }
        }
        self.wake = true;
    }

    /// Lets other sessions work on this session's piece.
    pub(super) fn abandon(&mut self, id: SessionId) {
        self.pieces.abandon_all(id);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.current = None;
        }
    }

    /// A silent session sends again: the blocks that it owes are awaited from
    /// it again.
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

    /// Says that the file is complete, once it is, and closes sessions with
    /// peers that also have all of it.
    pub(super) fn complete(&mut self, now: Instant) {
        if self.done || !self.pieces.is_complete() {
            return;
        }
        self.done = true;
        let sources = self.source_ids();
        self.outputs.push_back(super::Output::Complete { sources });
        let sessions = self.sessions.iter();
        let whole = sessions.filter(|(_, session)| session.is_whole());
        let whole: Vec<SessionId> = whole.map(|(id, _)| *id).collect();
        for id in whole {
            self.end_session(now, id);
        }
    }

    /// Ends everything.
    pub(super) fn stop(&mut self, now: Instant, reason: &str) {
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            self.drop_session(now, id, Why::Stopping(reason.into()));
        }
        self.stopped = true;
    }
}

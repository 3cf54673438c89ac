//! Readers of the file while it arrives: what each waits for comes first.
//!
//! Owns where each reader is, which bytes are fetched ahead of it, and which sessions are asked
//! for the leaf hashes of the pieces that readers wait for. A piece may have 8 MiB, of which a
//! reader could not use a byte before all of it has come; with its leaf hashes (BEP 52) each
//! 16 KiB are verified by themselves. Bytes do not pass through here: the shell reads what
//! [`Swarm::readable`] says from the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use thorp_wire::layout::Block;
use thorp_wire::session::Message;

use crate::time::Instant;

use super::Swarm;
use super::inquiry::HashInquiry;
use super::io::{Output, ReaderId, SessionId};
use super::pieces::LEAF_LENGTH;
use super::session::{Session, span_of};

/// How far ahead of a reader its bytes are fetched before all others: twice as much as all
/// sessions may have outstanding, so that none of them runs dry, within these bounds.
const LEAST_AHEAD: u64 = 4 * 1024 * 1024;
const MOST_AHEAD: u64 = 64 * 1024 * 1024;
/// What is so close to a reader comes before what is further ahead of another one.
const CLOSE: u64 = 1024 * 1024;
/// Leaf hashes of a piece are asked for if the rest of the piece would take longer than this.
const LONG_PIECE: Duration = Duration::from_millis(100);
/// A session that needs so many times as long as the best one is asked for what is further ahead.
const FAR_SLOWER: u32 = 4;
/// The most sessions that are asked for the leaf hashes of one piece.
const TRIED: usize = 3;

/// The readers of a file.
#[derive(Debug, Default)]
pub struct Readers {
    all: BTreeMap<ReaderId, Reader>,
    /// Pieces whose leaf hashes were asked for.
    leaves: BTreeMap<u32, Leaves>,
    /// Pieces that were begun for a reader.
    begun: BTreeSet<u32>,
    /// Whether nothing is fetched but what readers wait for.
    pub on_demand: bool,
}

/// One reader, and the bytes that it still wants, in their order.
#[derive(Debug)]
struct Reader {
    wants: Range<u64>,
    /// Whether none of them could be read when that was looked at last.
    waits: bool,
}

/// The leaf hashes of a piece: which sessions were asked for them, and which still are.
#[derive(Debug, Default)]
struct Leaves {
    tried: BTreeSet<SessionId>,
    asked: HashInquiry,
}

impl Readers {
    /// Places a reader. Returns where it was before, if it was there.
    fn place(&mut self, reader: ReaderId, wants: Range<u64>) -> Option<u64> {
        let reading = Reader { wants, waits: true };
        let before = self.all.insert(reader, reading);
        before.map(|before| before.wants.start)
    }

    /// Returns the bytes that readers wait for, up to so many ahead of each; those of readers
    /// that can read nothing come first.
    fn windows(&self, ahead: u64) -> Vec<Range<u64>> {
        let mut readers: Vec<&Reader> = self.all.values().collect();
        readers.sort_by_key(|reader| !reader.waits);
        let wanted = readers.into_iter().map(|reader| {
            let Range { start, end } = reader.wants;
            start..end.min(start.saturating_add(ahead))
        });
        wanted.filter(|window| !window.is_empty()).collect()
    }

    /// Whether the leaf hashes of a piece are awaited from this session.
    pub fn awaits(&self, session: SessionId, piece: u32) -> bool {
        let leaves = self.leaves.get(&piece);
        leaves.is_some_and(|leaves| leaves.tried.contains(&session))
    }

    /// Whether the leaf hashes of a piece are on their way.
    fn asks_for(&self, now: Instant, piece: u32) -> bool {
        let leaves = self.leaves.get(&piece);
        leaves.is_some_and(|leaves| leaves.asked.is_awaited(now))
    }

    /// A session refused the leaf hashes of a piece, or sent other ones.
    pub fn refused(&mut self, session: SessionId, piece: u32) {
        if let Some(leaves) = self.leaves.get_mut(&piece) {
            leaves.asked.forget(session);
        }
    }

    /// A session was closed.
    pub fn closed(&mut self, session: SessionId) {
        for leaves in self.leaves.values_mut() {
            leaves.tried.remove(&session);
            leaves.asked.forget(session);
        }
    }

    /// The leaf hashes of a piece are known, or all of it is verified.
    pub fn resolved(&mut self, piece: u32) {
        self.leaves.remove(&piece);
        self.begun.remove(&piece);
    }
}

impl Swarm {
    /// Returns how many bytes from `at` on are verified, without a gap and up to `end`.
    pub fn readable(&self, at: u64, end: u64) -> u64 {
        self.pieces.readable(at, end.min(self.layout.length()))
    }

    /// A reader waits for these bytes.
    pub(super) fn on_read(&mut self, now: Instant, reader: ReaderId, wants: &Range<u64>) {
        let length = self.layout.length();
        let wants = wants.start.min(length)..wants.end.min(length);
        let at = wants.start;
        let before = self.readers.place(reader, wants);
        let goes_on = before.is_some_and(|before| {
            (before..=before.saturating_add(self.read_ahead())).contains(&at)
        });
        if !goes_on {
            self.leave_all_but_what_is_read(now);
        }
        self.wake = true;
    }

    pub(super) fn on_read_over(&mut self, reader: ReaderId) {
        self.readers.all.remove(&reader);
        self.wake = true;
    }

    /// Tells the shell of readers that can go on.
    pub(super) fn tell_readers(&mut self) {
        for (id, reader) in &mut self.readers.all {
            let Range { start, end } = reader.wants;
            if reader.waits && start < end && self.pieces.readable(start, start + 1) > 0 {
                reader.waits = false;
                self.outputs.push_back(Output::Readable(*id));
            }
        }
    }

    /// Picks the next bytes to request from a session that a reader waits for; they count as
    /// asked from now on. The order of preference is: what is close to a reader, the same once
    /// more where a slow session owes it, and what is further ahead.
    pub(super) fn ask_read(&mut self, now: Instant, id: SessionId, longest: u32) -> Option<Block> {
        if self.readers.all.is_empty() {
            return None;
        }
        let late = self.comes_late(now, id, longest);
        if late == 0 {
            let close = self.ask_ahead(now, id, longest, 0..CLOSE);
            let close = close.or_else(|| self.ask_again(now, id, longest, true));
            if close.is_some() {
                return close;
            }
        }
        self.ask_ahead(now, id, longest, late..self.read_ahead())
    }

    fn ask_ahead(
        &mut self,
        now: Instant,
        id: SessionId,
        longest: u32,
        ahead: Range<u64>,
    ) -> Option<Block> {
        let windows = self.readers.windows(ahead.end).into_iter();
        let mut windows =
            windows.map(|window| window.start.saturating_add(ahead.start)..window.end);
        windows.find_map(|window| self.ask_in(now, id, longest, &window))
    }

    /// Returns how many bytes the other sessions send before this one can, if it is far slower
    /// than the best of them: it is of no help with these.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate, and not negative"
    )]
    fn comes_late(&self, now: Instant, id: SessionId, longest: u32) -> u64 {
        let Some(session) = self.sessions.get(&id) else {
            return 0;
        };
        let here = session.pipeline.awaited(now, longest);
        let others = self.sessions.iter().filter(|(other, session)| {
            **other != id && !session.silent && session.has_more_to_give()
        });
        let (mut best, mut rate) = (Duration::MAX, 0.0);
        for (_, other) in others {
            best = best.min(other.pipeline.awaited(now, longest));
            rate += other.pipeline.rate(now);
        }
        if here <= LONG_PIECE || here <= best.saturating_mul(FAR_SLOWER) {
            return 0;
        }
        (here.as_secs_f64() * rate) as u64
    }

    /// Returns the bytes for which readers cannot wait until a slow source sends them.
    pub(super) fn urgent(&self) -> Vec<Range<u64>> {
        let waiting = self.readers.all.values().filter(|reader| reader.waits);
        let close = waiting.map(|reader| {
            let Range { start, end } = reader.wants;
            start..end.min(start.saturating_add(CLOSE))
        });
        close.collect()
    }

    /// Requests the leaf hashes of the pieces that readers wait for, where that is worth it.
    pub(super) fn ask_for_leaves(&mut self, now: Instant) {
        if self.readers.all.is_empty() || !self.hashes.are_known() {
            return;
        }
        for window in self.readers.windows(CLOSE) {
            if self.pieces.readable(window.start, window.end) < window.end - window.start {
                for piece in self.pieces_in(&window) {
                    self.ask_for_leaves_of(now, piece);
                }
            }
        }
    }

    fn ask_for_leaves_of(&mut self, now: Instant, piece: u32) {
        if !self.pieces.lacks(piece) || self.pieces.knows_leaves(piece) {
            return;
        }
        let leaves = self.readers.leaves.get(&piece);
        let may_ask = match leaves {
            Some(leaves) => leaves.tried.len() < TRIED && leaves.asked.is_open(now, 1),
            None => self.takes_long(now, piece),
        };
        if !may_ask {
            return;
        }
        let having = self.sessions.iter().filter(|(id, session)| {
            let is_new = leaves.is_none_or(|leaves| !leaves.tried.contains(id));
            is_new && session.offer.hashes && !session.silent && session.has.has(piece)
        });
        let best = having.min_by_key(|(_, session)| {
            let wait = session.pipeline.awaited(now, 0);
            (!session.offer.member, wait)
        });
        let Some((id, range)) = best.map(|(id, _)| *id).zip(self.leaf_range(piece)) else {
            return;
        };
        self.begin_for_reader(piece, id);
        let leaves = self.readers.leaves.entry(piece).or_default();
        leaves.tried.insert(id);
        leaves.asked.ask(now, id);
        self.send(id, Message::HashRequest(range));
    }

    /// Whether the rest of a piece takes long enough that its leaf hashes are worth their while.
    fn takes_long(&self, now: Instant, piece: u32) -> bool {
        let having = self.sessions.values();
        let having = having.filter(|session| session.offers(piece) && !session.silent);
        let rate: f64 = having.map(|session| session.pipeline.rate(now)).sum();
        let bytes = f64::from(self.pieces.absent_in(piece));
        rate < 1.0 || bytes / rate > LONG_PIECE.as_secs_f64()
    }

    fn begin_for_reader(&mut self, piece: u32, by: SessionId) {
        if let Some(wanted) = self.layout.piece(piece).filter(|_| {
            // Of a torrent it may be verified, or not wanted.
            self.picker.is_wanted(piece)
        }) {
            self.picker.take(piece);
            self.pieces.begin(wanted, by);
            self.pieces.abandon(piece, by);
            self.readers.begun.insert(piece);
        }
    }

    fn ask_in(
        &mut self,
        now: Instant,
        id: SessionId,
        longest: u32,
        window: &Range<u64>,
    ) -> Option<Block> {
        for piece in self.pieces_in(window) {
            let session = self.sessions.get(&id)?;
            if !self.pieces.lacks(piece) || !session.offers(piece) {
                continue;
            }
            self.begin_for_reader(piece, id);
            let leaves = self.leaves_in(piece, window);
            let block = self.ask_leaves(now, id, piece, leaves, longest);
            // Without leaf hashes, no byte of it is of use before all of it is there.
            let needs_all = !self.pieces.knows_leaves(piece) && !self.readers.asks_for(now, piece);
            let block = block.or_else(|| {
                let all = 0..usize::MAX;
                needs_all.then(|| self.ask_leaves(now, id, piece, all, longest))?
            });
            if block.is_some() {
                return block;
            }
        }
        None
    }

    fn ask_leaves(
        &mut self,
        now: Instant,
        id: SessionId,
        piece: u32,
        leaves: Range<usize>,
        longest: u32,
    ) -> Option<Block> {
        if !self.pieces.has_open(piece, leaves.clone()) || !self.pieces.adopt(now, piece, id) {
            return None;
        }
        let block = self.pieces.ask_within(piece, leaves, longest)?;
        self.pieces.all_asked(piece, id);
        let session = self.sessions.get(&id)?;
        // The other end answers each request, also one that was cancelled: the first answer is
        // taken, and a second one is dropped.
        let is_asked = if session.offer.fast {
            session.owes(block)
        } else {
            session.touches(block)
        };
        if is_asked {
            self.pieces.release(block);
            return None;
        }
        Some(block)
    }

    /// A reader has gone elsewhere: cancels what is outstanding that no reader waits for, of
    /// sessions that have something that one waits for.
    fn leave_all_but_what_is_read(&mut self, now: Instant) {
        let windows = self.readers.windows(self.read_ahead());
        let mut wanted: BTreeSet<u32> = BTreeSet::new();
        for window in &windows {
            let lacking = self.pieces_in(window);
            wanted.extend(lacking.filter(|piece| self.pieces.lacks(*piece)));
        }
        let layout = self.layout;
        let is_read = |block: &Block| {
            let begin = layout.offset_of(*block);
            let end = begin + u64::from(block.length());
            windows
                .iter()
                .any(|window| begin < window.end && window.start < end)
        };
        let mut cancels = Vec::new();
        for (id, session) in &mut self.sessions {
            if session.silent || !wanted.iter().any(|piece| session.offers(*piece)) {
                continue;
            }
            let elsewhere: Vec<Block> = session.asked().filter(|block| !is_read(block)).collect();
            for block in elsewhere {
                session.cancel(now, block);
                cancels.push((*id, block));
            }
        }
        for (id, block) in cancels {
            self.pieces.release(block);
            self.send(id, Message::Cancel(span_of(block)));
        }
        // Of what was begun for a reader and left untouched, nothing is remembered, unless a silent
        // source owes some of it: that counts as asked again once the source sends something.
        let silent = self.sessions.values().filter(|session| session.silent);
        let owed = silent.flat_map(Session::asked);
        let owed: BTreeSet<u32> = owed.map(|block| block.piece().number()).collect();
        let left = self
            .readers
            .begun
            .extract_if(.., |piece| !wanted.contains(piece) && !owed.contains(piece));
        for piece in left.collect::<Vec<_>>() {
            if self.pieces.forget_untouched(piece) {
                self.readers.leaves.remove(&piece);
                self.picker.put_back(piece, &mut self.rng);
            }
        }
    }

    fn read_ahead(&self) -> u64 {
        let sessions = self.sessions.values();
        let windows: u64 = sessions.map(|session| session.pipeline.window()).sum();
        windows.saturating_mul(2).clamp(LEAST_AHEAD, MOST_AHEAD)
    }

    /// Returns the pieces that have bytes of a window.
    fn pieces_in(&self, window: &Range<u64>) -> impl Iterator<Item = u32> + use<> {
        let length = u64::from(self.layout.piece_length());
        let number = |at: u64| u32::try_from(at / length).unwrap_or(u32::MAX);
        let end = number(window.end.saturating_sub(1)).saturating_add(1);
        number(window.start)..if window.is_empty() { 0 } else { end }
    }

    /// Returns which leaves of a piece have bytes of a window.
    fn leaves_in(&self, piece: u32, window: &Range<u64>) -> Range<usize> {
        let begin = u64::from(piece) * u64::from(self.layout.piece_length());
        let leaf = u64::from(LEAF_LENGTH);
        let first = window.start.saturating_sub(begin) / leaf;
        let end = window.end.saturating_sub(begin).div_ceil(leaf);
        let leaf = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        leaf(first)..leaf(end)
    }
}

//! The state of one connection: what each end may do, has, and owes the other.
//!
//! Owns the flags (BEP 3), which pieces the other end has, the outstanding requests of both ends,
//! and the rules for messages (BEP 3, BEP 6). It takes a message and returns its consequence.
//! Acting on that may involve other sessions, and is not done here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use thorp_wire::layout::{Block, Layout};
use thorp_wire::session::{HashRange, Message, Span};

use crate::time::Instant;

use super::bits::Bits;
use super::io::{Offer, SourceId};
use super::pieces::LEAF_LENGTH;
use super::pipeline::{Mark, Pipeline};

/// The most requests that wait at one end, in number and in bytes.
pub const MOST_REQUESTS: usize = 1024;
const MOST_BYTES: u64 = 192 * 1024 * 1024;
/// How many are made of an end that does not say how many it keeps waiting.
const UNTOLD_REQUESTS: usize = 512;
/// How many requests in a row may be refused, with none served in between, before the other end is
/// treated as an attacker.
const MOST_REFUSED: u32 = 2048;
/// How many requests in a row the other end may refuse for pieces that it has announced.
const MOST_DENIALS: u32 = 32;
/// How many suggestions are kept, and for how long after one of them the next is waited for.
const MOST_SUGGESTED: usize = 64;
const GUIDED: Duration = Duration::from_secs(1);
/// A session that sends nothing for this long, with requests outstanding, is silent.
pub const SILENT: Duration = Duration::from_secs(10);
/// A cancelled request is not made again for this long.
const CANCELLED_FOR: Duration = Duration::from_secs(10);

/// The piece and offset at which a block begins: outstanding requests of one session never
/// overlap.
type BlockBegin = (u32, u32);

/// One connection.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "BEP 3 has four of them")]
pub struct Session {
    /// The other end.
    pub source: SourceId,
    /// Whether this peer dialled.
    pub dialled: bool,
    /// What the other end supports.
    pub offer: Offer,
    /// The pieces that the other end has, and how many of those this peer lacks.
    pub has: Bits,
    pub lacking_here: u32,
    /// Whether its pieces count towards the rarity of each piece.
    pub counted: bool,
    /// Whether the other end has said which pieces it has.
    told: bool,
    /// Whether the other end chokes this peer.
    pub choked: bool,
    /// Whether this peer chokes the other end.
    pub choking: bool,
    /// Whether this peer has told the other end that it is interested.
    pub am_interested: bool,
    /// Whether the other end is interested.
    pub is_interested: bool,
    /// How much to ask for at once.
    pub pipeline: Pipeline,
    /// The piece that this session works on first.
    pub current: Option<u32>,
    /// Whether it owes blocks and sends nothing; other sessions are asked for these blocks.
    pub silent: bool,
    /// When bytes of a block last arrived, or since when they are awaited.
    pub heard: Instant,
    /// When this connection was opened.
    pub since: Instant,
    /// When the other end last asked for bytes, or was last choked or unchoked.
    pub worked: Instant,
    /// Since when the other end chokes this peer, if it does.
    pub choked_since: Option<Instant>,
    /// Bytes of blocks that have come from the other end. A piece may take long to be whole, so
    /// they count before it is verified; who sends wrong ones is left altogether.
    pub received: u64,
    /// The value of `received` when the sessions to serve were last chosen.
    pub received_before: u64,
    /// Bytes sent to the other end.
    pub taken: u64,
    /// Pieces that the other end, which has all of them, suggests to be asked for, and when it has
    /// suggested the last one.
    pub suggested: VecDeque<u32>,
    suggested_at: Option<Instant>,
    asked: BTreeMap<BlockBegin, Asked>,
    claimed: BTreeSet<Block>,
    cancelled: BTreeMap<BlockBegin, (Block, Instant)>,
    /// The blocks that the other end has requested, and whether each was withdrawn.
    uploads: BTreeMap<Block, bool>,
    upload_bytes: u64,
    refused: u32,
    /// Pieces that the other end has announced but refused to send, and how many refusals since a
    /// block last arrived.
    denied: BTreeSet<u32>,
    denials: u32,
    /// Pieces that had to come from it alone and took too long. They are not requested from it
    /// again while other sessions may have them.
    barred: BTreeSet<u32>,
    /// How many hash requests the other end may still make.
    hash_requests: u32,
    /// The leaf requests of the other end that are being hashed for.
    pub leaf_requests: BTreeSet<HashRange>,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    block: Block,
    mark: Mark,
}

/// What is to be done about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consequence {
    Nothing,
    /// The other end has announced these new pieces.
    Has(Vec<u32>),
    /// The other end chokes this peer: these blocks will not arrive.
    Choked(Vec<Block>),
    Unchoked,
    /// The other end has begun or ceased to be interested.
    Wants,
    /// The other end suggests a piece to ask for.
    Suggested,
    /// Send this block.
    Upload(Block),
    /// Do not send this block, unless its upload has begun.
    Withdraw(Block),
    /// Send this message.
    Answer(Message),
    /// The other end will not send this block.
    Rejected(Block),
    /// A cancelled request is over: its bytes can be asked for again.
    Freed,
    /// The other end asks for hashes.
    HashRequest(HashRange),
    Hashes(HashRange, Vec<[u8; 32]>),
    HashReject(HashRange),
}

impl Session {
    /// Creates the state of a connection that was just opened.
    pub fn new(now: Instant, source: SourceId, dialled: bool, offer: Offer, pieces: u32) -> Self {
        Self {
            source,
            dialled,
            offer,
            has: Bits::none(pieces),
            lacking_here: 0,
            counted: false,
            told: false,
            choked: !offer.member,
            choking: !offer.member,
            am_interested: false,
            is_interested: false,
            pipeline: Pipeline::new(now, offer.most_requests),
            current: None,
            silent: false,
            heard: now,
            since: now,
            worked: now,
            choked_since: (!offer.member).then_some(now),
            received: 0,
            received_before: 0,
            taken: 0,
            suggested: VecDeque::new(),
            suggested_at: None,
            asked: BTreeMap::new(),
            claimed: BTreeSet::new(),
            cancelled: BTreeMap::new(),
            uploads: BTreeMap::new(),
            upload_bytes: 0,
            refused: 0,
            denied: BTreeSet::new(),
            denials: 0,
            barred: BTreeSet::new(),
            // Allows the whole layer to be requested twice, and the leaves of each piece, as a
            // reader of the whole file does.
            hash_requests: 64 + 2 * pieces.div_ceil(512) + pieces,
            leaf_requests: BTreeSet::new(),
        }
    }

    /// Whether a piece can be requested from it.
    pub fn offers(&self, piece: u32) -> bool {
        self.has.has(piece) && !self.denied.contains(&piece) && !self.barred.contains(&piece)
    }

    /// Whether it has missing pieces that it does not refuse, or may still announce some.
    pub fn gives_hope(&self, now: Instant) -> bool {
        let may_tell = !self.told && now - self.since < SILENT;
        may_tell || self.has_more_to_give()
    }

    /// Whether it has missing pieces that can be requested.
    pub fn has_more_to_give(&self) -> bool {
        let denied = self.denied.union(&self.barred).count();
        self.lacking_here as usize > denied
    }

    /// It has not that piece, though it said so.
    pub fn deny(&mut self, piece: u32) {
        self.denied.insert(piece);
    }

    /// A piece must not be requested from it.
    pub fn bar(&mut self, piece: u32) {
        self.barred.insert(piece);
    }

    /// A piece may be requested from it again.
    pub fn unbar(&mut self, piece: u32) {
        self.barred.remove(&piece);
    }

    /// Records that a piece that the other end has is not missing any more.
    pub fn on_piece_had(&mut self, piece: u32) {
        self.lacking_here = self.lacking_here.saturating_sub(1);
        self.denied.remove(&piece);
        self.barred.remove(&piece);
    }

    /// Allows requests again for pieces that it has refused.
    pub fn forgive(&mut self) {
        self.denied.clear();
    }

    /// Whether it keeps refusing pieces that it has announced.
    pub fn refuses_too_often(&self) -> bool {
        self.denials > MOST_DENIALS
    }

    /// Whether it occupies a place without using it: the other end is interested and unchoked, but
    /// has not asked for bytes for this long.
    pub fn is_idle_for(&self, now: Instant, for_long: Duration) -> bool {
        let may_ask = self.is_interested && !self.choking && self.uploads.is_empty();
        may_ask && !self.am_interested && now - self.worked >= for_long
    }

    /// Whether the other end has the whole file.
    pub fn is_whole(&self) -> bool {
        self.has.is_full()
    }

    /// Handles a message. An error is a fault of the other end, for which its session is dropped.
    pub fn take(
        &mut self,
        now: Instant,
        message: Message,
        at: &Serving<'_>,
    ) -> Result<Consequence, String> {
        Ok(match message {
            Message::KeepAlive
            | Message::Extended { .. }
            | Message::AllowedFast(_)
            // The shell moves its bytes and calls `Swarm::on_piece` first.
            | Message::Piece(_) => Consequence::Nothing,
            Message::Suggest(piece) => self.on_suggest(now, piece),
            Message::Choke => self.on_choke(now),
            // A message that changes nothing costs nothing, however often it is sent.
            Message::Unchoke if !self.choked => Consequence::Nothing,
            Message::Unchoke => {
                self.choked = false;
                self.choked_since = None;
                Consequence::Unchoked
            }
            Message::Interested => self.on_interest(true),
            Message::NotInterested => self.on_interest(false),
            Message::Have(piece) => self.on_have(piece)?,
            Message::Bitfield(bytes) => {
                let size = at.pieces;
                let has = Bits::from_bitfield(&bytes, size);
                self.on_bitfield(has.ok_or("a bitfield that is not of this file")?)?
            }
            // A few bytes for which all pieces would be looked at: only where that is news.
            Message::HaveNone if self.may_repeat() => Consequence::Nothing,
            Message::HaveAll if self.may_repeat() && self.has.is_full() => Consequence::Nothing,
            Message::HaveAll => self.on_bitfield(Bits::all(at.pieces))?,
            Message::HaveNone => self.on_bitfield(Bits::none(at.pieces))?,
            Message::Request(span) => {
                self.worked = now;
                self.on_request(span, at)?
            }
            Message::Cancel(span) => self.on_cancel(span, at.layout),
            Message::Reject(span) => self.on_reject(span, at.had),
            Message::HashRequest(range) => match self.hash_requests.checked_sub(1) {
                Some(left) => {
                    self.hash_requests = left;
                    Consequence::HashRequest(range)
                }
                None => Consequence::Answer(Message::HashReject(range)),
            },
            Message::Hashes(range, hashes) => Consequence::Hashes(range, hashes),
            Message::HashReject(range) => Consequence::HashReject(range),
        })
    }

    fn on_suggest(&mut self, now: Instant, piece: u32) -> Consequence {
        if !self.offer.member || !self.is_whole() || self.suggested.len() >= MOST_SUGGESTED {
            return Consequence::Nothing;
        }
        self.suggested.push_back(piece);
        self.suggested_at = Some(now);
        Consequence::Suggested
    }

    /// Whether to wait for what the other end suggests next.
    pub fn is_guided(&self, now: Instant) -> bool {
        let lately = self.suggested_at.is_some_and(|at| now - at < GUIDED);
        lately && !self.asked.is_empty()
    }

    fn on_choke(&mut self, now: Instant) -> Consequence {
        self.choked = true;
        self.choked_since.get_or_insert(now);
        // With the fast extension the other end rejects each request explicitly.
        let gone = if self.offer.fast {
            Vec::new()
        } else {
            self.forget_asked()
        };
        Consequence::Choked(gone)
    }

    fn on_interest(&mut self, is_interested: bool) -> Consequence {
        if std::mem::replace(&mut self.is_interested, is_interested) == is_interested {
            return Consequence::Nothing;
        }
        Consequence::Wants
    }

    fn on_have(&mut self, piece: u32) -> Result<Consequence, String> {
        self.told = true;
        if self.has.insert(piece) {
            return Ok(Consequence::Has(vec![piece]));
        }
        if self.has.has(piece) {
            return Ok(Consequence::Nothing);
        }
        Err(format!(
            "it has piece {piece}, which is beyond the end of the file"
        ))
    }

    /// Whether it has said what it has and may say so again: aria2 does, in place of many single
    /// pieces.
    fn may_repeat(&self) -> bool {
        self.told && !self.offer.member
    }

    fn on_bitfield(&mut self, has: Bits) -> Result<Consequence, String> {
        if self.may_repeat() {
            let more = has.iter().filter(|piece| self.has.insert(*piece));
            return Ok(Consequence::Has(more.collect()));
        }
        if std::mem::replace(&mut self.told, true) {
            return Err("it says what it has for a second time".into());
        }
        let pieces = has.iter().collect();
        self.has = has;
        Ok(Consequence::Has(pieces))
    }

    fn on_request(&mut self, span: Span, at: &Serving<'_>) -> Result<Consequence, String> {
        let block = at.layout.block(span.piece, span.begin, span.length);
        let waiting = self.upload_bytes + u64::from(span.length);
        match block {
            Some(block)
                if !self.choking
                    && at.had.has(span.piece)
                    && span.length <= at.longest_request
                    && self.uploads.len() < MOST_REQUESTS
                    && waiting <= MOST_BYTES
                    && !self.uploads.contains_key(&block) =>
            {
                self.uploads.insert(block, false);
                self.upload_bytes = waiting;
                Ok(Consequence::Upload(block))
            }
            Some(_) => {
                self.refused += 1;
                if self.refused > MOST_REFUSED {
                    return Err("it goes on to ask for what it is refused".into());
                }
                Ok(self.refuse(span))
            }
            None => Err(format!(
                "it asks for {} bytes at {} of piece {}, which the file does not have",
                span.length, span.begin, span.piece
            )),
        }
    }

    fn on_cancel(&mut self, span: Span, layout: &Layout) -> Consequence {
        let block = layout.block(span.piece, span.begin, span.length);
        let upload = block.and_then(|block| Some((block, self.uploads.get_mut(&block)?)));
        match upload {
            Some((block, withdrawn)) if !*withdrawn => {
                *withdrawn = true;
                Consequence::Withdraw(block)
            }
            _ => Consequence::Nothing,
        }
    }

    fn on_reject(&mut self, span: Span, had: &Bits) -> Consequence {
        let place = (span.piece, span.begin);
        if self.on_dropped(span) {
            return Consequence::Freed;
        }
        let asked = self.asked.get(&place);
        match asked.map(|asked| asked.block) {
            Some(block) if span_of(block) == span => {
                self.forget(block);
                // An end that chokes rejects all outstanding requests; that says nothing about the
                // piece.
                if !self.choked && !had.has(span.piece) {
                    self.denied.insert(span.piece);
                    self.denials += 1;
                }
                Consequence::Rejected(block)
            }
            _ => Consequence::Nothing,
        }
    }

    /// Returns the answer to a request that is not served: nothing without the fast extension.
    fn refuse(&self, span: Span) -> Consequence {
        if self.offer.fast {
            Consequence::Answer(Message::Reject(span))
        } else {
            Consequence::Nothing
        }
    }

    /// Records that an upload was sent.
    pub fn served(&mut self, block: Block) {
        if self.uploads.remove(&block).is_some() {
            self.upload_bytes -= u64::from(block.length());
            self.taken += u64::from(block.length());
            self.refused = 0;
        }
    }

    /// Records that an upload was not sent. Returns the answer to its request.
    pub fn not_served(&mut self, block: Block) -> Consequence {
        if self.uploads.remove(&block).is_none() {
            return Consequence::Nothing;
        }
        self.upload_bytes -= u64::from(block.length());
        self.refuse(span_of(block))
    }

    /// Withdraws all uploads. Returns those that were not withdrawn before.
    pub fn withdraw_all(&mut self) -> Vec<Block> {
        let standing = self
            .uploads
            .iter_mut()
            .filter(|(_, withdrawn)| !**withdrawn);
        standing
            .map(|(block, withdrawn)| {
                *withdrawn = true;
                *block
            })
            .collect()
    }

    /// Whether one more request may be made, whatever its length.
    pub fn may_ask(&self) -> bool {
        !self.choked && self.asked.len() < self.most_asked()
    }

    /// Returns how many requests may be outstanding: as many as the other end accepts, but one at
    /// least.
    pub fn most_asked(&self) -> usize {
        let most = self.offer.most_requests;
        let most = most.map_or(UNTOLD_REQUESTS, |most| most as usize);
        most.clamp(1, MOST_REQUESTS)
    }

    /// Records a request for a block.
    pub fn ask(&mut self, now: Instant, block: Block) {
        if self.asked.is_empty() {
            self.heard = now;
        }
        let mark = self.pipeline.asked(now, block.length());
        self.asked.insert(begin_of(block), Asked { block, mark });
    }

    /// Returns the outstanding blocks.
    pub fn asked(&self) -> impl DoubleEndedIterator<Item = Block> + '_ {
        self.asked.values().map(|asked| asked.block)
    }

    /// Returns the number of outstanding requests.
    pub fn asked_number(&self) -> usize {
        self.asked.len()
    }

    /// Whether some of these bytes are, or recently were, requested from it.
    pub fn touches(&self, block: Block) -> bool {
        let (piece, begin) = begin_of(block);
        let end = (piece, begin + block.length());
        let overlaps = |other: Block| other.begin() + other.length() > begin;
        let begins = (piece, 0)..end;
        let mut asked = self
            .asked
            .range(begins.clone())
            .rev()
            .map(|(_, asked)| asked.block);
        let mut cancelled = self.cancelled.range(begins).map(|(_, (block, _))| *block);
        asked.next().is_some_and(overlaps) || cancelled.any(overlaps)
    }

    /// Whether some of these bytes are requested from it and have not come.
    pub fn owes(&self, block: Block) -> bool {
        let (piece, begin) = begin_of(block);
        let before = self
            .asked
            .range((piece, 0)..(piece, begin + block.length()));
        let last = before.map(|(_, asked)| asked.block).next_back();
        last.is_some_and(|other| other.begin() + other.length() > begin)
    }

    /// Returns the requested block that a `Piece` message with this span answers.
    pub fn expects(&self, span: Span) -> Option<Block> {
        let asked = self.asked.get(&(span.piece, span.begin))?;
        (span_of(asked.block) == span).then_some(asked.block)
    }

    /// Records that all bytes of a block have arrived. Returns how many of them were not reported
    /// as flowing; `None` if the block was not asked for.
    pub fn on_block_received(&mut self, now: Instant, block: Block) -> Option<u64> {
        self.expects(span_of(block))?;
        let asked = self.asked.remove(&begin_of(block))?;
        self.heard = now;
        self.denials = 0;
        let length = block.length();
        self.received += u64::from(length);
        Some(self.pipeline.on_block_received(now, asked.mark, length))
    }

    /// Records that a block is being written.
    pub fn claim(&mut self, block: Block) {
        self.claimed.insert(block);
    }

    /// Records that a block is written. Returns whether it was being written.
    pub fn written(&mut self, block: Block) -> bool {
        self.claimed.remove(&block)
    }

    /// Returns the blocks that are being written.
    pub fn claimed(&self) -> impl Iterator<Item = Block> + '_ {
        self.claimed.iter().copied()
    }

    /// Cancels the request for a block that is no longer wanted from here.
    pub fn cancel(&mut self, now: Instant, block: Block) {
        if self.forget(block) && self.offer.fast {
            self.cancelled.insert(begin_of(block), (block, now));
        }
    }

    /// Bytes have come that are not expected. Returns whether they answer a cancelled request,
    /// which is over by that.
    pub fn on_dropped(&mut self, span: Span) -> bool {
        let place = (span.piece, span.begin);
        let cancelled = self.cancelled.get(&place);
        let is_answer = cancelled.is_some_and(|(block, _)| span_of(*block) == span);
        is_answer && self.cancelled.remove(&place).is_some()
    }

    /// Forgets requests that were cancelled long ago.
    pub fn sweep(&mut self, now: Instant) {
        self.cancelled
            .retain(|_, (_, at)| now - *at < CANCELLED_FOR);
    }

    /// Removes an outstanding request. Returns whether there was one.
    pub fn forget(&mut self, block: Block) -> bool {
        let was = self.expects(span_of(block)).is_some();
        if was {
            self.asked.remove(&begin_of(block));
            self.pipeline.released(block.length());
        }
        was
    }

    /// Removes all outstanding requests and returns them.
    pub fn forget_asked(&mut self) -> Vec<Block> {
        let blocks: Vec<Block> = self.asked().collect();
        for block in &blocks {
            self.forget(*block);
        }
        blocks
    }
}

/// What a session must know of this peer to judge the other end's requests.
#[derive(Clone, Copy, Debug)]
pub struct Serving<'a> {
    pub layout: &'a Layout,
    pub pieces: u32,
    pub had: &'a Bits,
    pub longest_request: u32,
}

/// Returns the span of a block, as messages name it.
pub fn span_of(block: Block) -> Span {
    Span {
        piece: block.piece().number(),
        begin: block.begin(),
        length: block.length(),
    }
}

/// Returns the longest request that the other end accepts, in whole leaves.
pub fn longest_of(offer: &Offer) -> u32 {
    (offer.longest_request / LEAF_LENGTH * LEAF_LENGTH).max(LEAF_LENGTH)
}

fn begin_of(block: Block) -> BlockBegin {
    (block.piece().number(), block.begin())
}

#[cfg(test)]
mod tests;

//! One file, and the peers that have it or want it.
//!
//! Owns which pieces of the file are had, and which bytes to ask of which peer
//! next. The same machine fetches, serves, or does both. The bytes never come
//! by here: the shell moves them between connection and disk, and says which
//! have arrived and what their hashes are.
//!
//! ```text
//! io         what goes in and what comes out
//! pieces     what is had, and how far each piece is that is begun
//! picker     which piece next: the rarest first
//! hashes     what the pieces must hash to
//! doubts     which leaf of a wrong piece is wrong
//! pipeline   how much to ask of one source at once
//! session    the state of one connection
//! choke      which peers are served when many want bytes
//! sources    which holders to dial, what each has given, and when none is left
//! ```
//!
//! [`Swarm`] only routes between them: `linking` when connections come and go,
//! `asking` for what it wants, `proving` what has come, `answering` what others
//! ask for, `keeping` for what is due by time.

mod answering;
mod asking;
mod bits;
mod choke;
mod doubts;
mod hashes;
mod io;
mod keeping;
mod linking;
mod picker;
mod pieces;
pub(crate) mod pipeline;
mod proving;
mod session;
mod sources;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use thiserror::Error;
use thorp_wire::layout::{Block, Layout, Piece};
use thorp_wire::session::{Message, Span};
use thorp_wire::{Content, PeerId};

use crate::time::Instant;

pub use io::{
    Config, Contact, Have, Input, Offer, Output, SessionId, Stuck, SwarmLimits, SwarmProgress, Why,
};

use doubts::Doubts;
use hashes::Hashes;
use picker::{Picker, Turn};
use pieces::Pieces;
use session::{Consequence, Serving, Session};
use sources::Sources;

/// Why there can be no swarm for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unfit {
    /// Nothing is fetched of the empty file.
    #[error("the file is empty")]
    Empty,
    /// It has more pieces than are kept in memory.
    #[error("the file is longer than 16 TiB")]
    TooLong,
    /// The given hashes are not those of its pieces: hash the file again.
    #[error("the hashes of the pieces do not make the root of the file")]
    Layer,
}

/// The machine. [`handle`](Self::handle) an input, then drain
/// [`poll_output`](Self::poll_output); come back at [`next_deadline`](Self::next_deadline).
#[derive(Debug)]
pub struct Swarm {
    me: PeerId,
    content: Content,
    layout: Layout,
    limits: SwarmLimits,
    rng: fastrand::Rng,
    pieces: Pieces,
    picker: Picker,
    hashes: Hashes,
    doubts: Doubts,
    sources: Sources,
    sessions: BTreeMap<SessionId, Session>,
    by_peer: BTreeMap<PeerId, SessionId>,
    /// Blocks of ended sessions that are still being written, and which peer
    /// sent them.
    ended: BTreeMap<SessionId, (PeerId, BTreeSet<Block>)>,
    /// The hashes of pieces found on disk, until it is known what they must be.
    rechecked: BTreeMap<u32, [u8; 32]>,
    /// This end's share in what a crowd wants, until the crowd changes.
    turn: Option<Turn>,
    /// Something became possible to ask for: all sessions have to be looked at.
    wake: bool,
    received: u64,
    next_look: Instant,
    next_choke: Instant,
    next_swap: Instant,
    /// [`Output::Complete`] was said, or there was nothing to fetch.
    done: bool,
    stopped: bool,
    outputs: VecDeque<Output>,
}

impl Swarm {
    /// The swarm of a file.
    pub fn new(now: Instant, config: Config) -> Result<Self, Unfit> {
        let content = config.content;
        let layout = Layout::of(content.length);
        let number = layout.pieces().ok_or(Unfit::TooLong)?;
        if number == 0 {
            return Err(Unfit::Empty);
        }
        let mut rng = fastrand::Rng::with_seed(config.seed);
        let everything = matches!(config.have, Have::Everything { .. });
        let hashes = match config.have {
            Have::Nothing => Hashes::unknown(content),
            Have::Everything { layer } => Hashes::known(content, layer).ok_or(Unfit::Layer)?,
        };
        let pieces = Pieces::new(layout, number, everything);
        Ok(Self {
            me: config.me,
            content,
            layout,
            limits: config.limits,
            picker: Picker::new(pieces.had(), number, &mut rng),
            rng,
            pieces,
            hashes,
            doubts: Doubts::default(),
            sources: Sources::new(now, config.me),
            sessions: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            ended: BTreeMap::new(),
            rechecked: BTreeMap::new(),
            turn: None,
            wake: false,
            received: 0,
            next_look: now,
            next_choke: now + choke::EVERY,
            next_swap: now + keeping::SWAP_EVERY,
            done: everything,
            stopped: false,
            outputs: VecDeque::new(),
        })
    }

    /// Takes an input. Then drain [`poll_output`](Self::poll_output).
    pub fn handle(&mut self, now: Instant, input: Input) {
        if self.stopped {
            return;
        }
        match input {
            Input::Tick => {}
            Input::Holders(holders) => {
                self.sources.add(now, holders, &mut self.rng);
                self.dial(now);
            }
            Input::DialFailed { peer, reason } => self.sources.dial_failed(now, peer, &reason),
            Input::HolderBusy { peer } => self.sources.is_busy(now, peer),
            Input::Reached => self.sources.on_reached(),
            Input::Opened {
                session,
                peer,
                dialled,
                offer,
            } => self.opened(now, session, peer, dialled, offer),
            Input::Closed { session, reason } => self.closed(now, session, &reason),
            Input::Message { session, message } => self.message(now, session, message),
            Input::Flowing { session, bytes } => self.flowing(now, session, bytes),
            Input::Written {
                session,
                block,
                leaves,
            } => self.on_block_written(now, session, block, &leaves),
            Input::Rechecked { piece, leaves } => self.on_piece_rechecked(piece, &leaves),
            Input::Served { session, block } => {
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.served(block);
                }
            }
            Input::NotServed { session, block } => self.not_served(session, block),
            Input::LeavesHashed {
                session,
                range,
                leaves,
            } => self.leaves_hashed(session, range, leaves),
            Input::Stop { reason } => self.stop(now, &reason),
        }
        self.settle(now);
    }

    /// What is to be done next, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to come back, if nothing happens before.
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.stopped {
            None
        } else if !self.pieces.is_complete() {
            Some(self.next_look.min(self.sources.widen_at()))
        } else if self.is_crowded() {
            Some(self.next_choke.max(self.next_look))
        } else {
            None
        }
    }

    /// The block that a `Piece` of this span brings, if it is asked for there.
    /// Otherwise the shell drops its bytes, and says nothing of them.
    pub fn expects(&self, session: SessionId, span: Span) -> Option<Block> {
        self.sessions.get(&session)?.expects(span)
    }

    /// All bytes of an expected block have come. Returns whether to write them;
    /// until [`Input::Written`] no other session may write these bytes.
    /// Otherwise drop them. Drain [`poll_output`](Self::poll_output) after it,
    /// too.
    pub fn claim(&mut self, now: Instant, session: SessionId, block: Block) -> bool {
        let claimed = !self.stopped && self.claimed(now, session, block);
        self.settle(now);
        claimed
    }

    /// How far the fetch is.
    pub fn progress(&self) -> SwarmProgress {
        let asked = self
            .sessions
            .values()
            .filter(|session| session.asked_number() > 0 && !session.silent);
        SwarmProgress {
            verified: self.pieces.verified(),
            received: self.received,
            sources: u32::try_from(asked.count()).unwrap_or(u32::MAX),
            busy: self.sources.busy(),
        }
    }

    /// Who sent how many bytes that were kept, who sent most first. Liars are none.
    pub fn sources(&self) -> Vec<(PeerId, u64)> {
        self.sources.givers()
    }

    /// Whether a piece is verified.
    pub fn has(&self, piece: Piece) -> bool {
        self.pieces.had().has(piece.number())
    }

    /// Whether all of the file is verified.
    pub fn is_complete(&self) -> bool {
        self.pieces.is_complete()
    }

    /// The hash of each piece, once they are known; of a file of one piece, its root.
    pub fn layer(&self) -> Option<&[[u8; 32]]> {
        self.hashes.layer()
    }

    fn source_ids(&self) -> Vec<PeerId> {
        let sources = self.sources().into_iter();
        sources.map(|(peer, _)| peer).collect()
    }

    fn message(&mut self, now: Instant, id: SessionId, message: Message) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let serving = Serving {
            layout: &self.layout,
            pieces: self.pieces.number(),
            had: self.pieces.had(),
            longest_request: self.limits.longest_request,
        };
        match session.take(now, message, &serving) {
            Ok(told) => self.route(now, id, told),
            Err(fault) => self.drop_session(now, id, Why::Fault(fault)),
        }
    }

    fn route(&mut self, now: Instant, id: SessionId, told: Consequence) {
        match told {
            Consequence::Nothing => {}
            Consequence::Has(pieces) => self.has_more(now, id, &pieces),
            Consequence::Choked(blocks) => {
                self.not_coming(id, &blocks);
                self.abandon(id);
            }
            Consequence::Unchoked => self.fill(now, id),
            Consequence::Wants => self.rechoke(now, Some(id)),
            Consequence::Upload(block) => self.outputs.push_back(Output::Upload(id, block)),
            Consequence::Withdraw(block) => self.outputs.push_back(Output::Withdraw(id, block)),
            Consequence::Answer(message) => self.send(id, message),
            Consequence::Rejected(block) => self.rejected(now, id, block),
            Consequence::HashRequest(range) => self.hash_request(id, range),
            Consequence::Hashes(range, hashes) => self.hashes_came(now, id, range, &hashes),
            Consequence::HashReject(range) => self.hashes_refused(now, id, range),
        }
    }

    fn send(&mut self, id: SessionId, message: Message) {
        self.outputs.push_back(Output::Send(id, message));
    }

    /// Does what follows from the last input, and from the time.
    fn settle(&mut self, now: Instant) {
        if self.stopped {
            return;
        }
        self.ask_for_hashes(now);
        if now >= self.next_look {
            self.look_around(now);
        }
        if !self.pieces.is_complete() && self.sources.widens(now) {
            self.outputs.push_back(Output::Widen);
        }
        if std::mem::take(&mut self.wake) {
            self.resolve_doubts(now);
            self.fill_all(now);
        }
        self.complete(now);
    }
}

#[cfg(test)]
mod tests;

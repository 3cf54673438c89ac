//! The state machine of one file: fetches it from other peers, serves it to them, or both.
//!
//! Owns which pieces of the file are verified and which bytes are asked of which peer next. File
//! data does not pass through here: the shell moves it between connection and disk, and reports
//! which blocks have arrived and what their hashes are.
//!
//! ```text
//! io         inputs and outputs
//! bits       a set of piece numbers
//! pieces     which pieces are verified, and the state of each one under way
//! torrent    the same of a torrent, whose pieces are verified as a whole
//! picker     which piece to begin next: the rarest first
//! hashes     the expected hashes of the pieces
//! inquiry    which sessions are asked for the same hashes
//! doubts     which leaf of a wrong piece is wrong
//! suspects   whether the source of a wrong leaf lies
//! reading    what readers of the file wait for, which comes first
//! pipeline   how much to ask of one source at once
//! session    the state of one connection
//! choke      which peers are served when many want bytes
//! suggesting which pieces the members of a crowd are told to ask for
//! sources    which holders to dial, what each has given, and when none is left
//! twins      which of two connections with a client stays
//! ```
//!
//! [`Swarm`] routes between them. Its methods are in `linking` (connections open and close),
//! `asking` (requests to sources), `proving` (verification), `answering` (requests of other peers),
//! `reading` (readers), `torrent` (a torrent's pieces) and `keeping` (timers).

mod answering;
mod asking;
mod bits;
mod choke;
mod doubts;
mod hashes;
mod inquiry;
#[cfg(any(test, feature = "testing"))]
mod invariants;
mod io;
mod keeping;
mod linking;
mod picker;
mod pieces;
pub(crate) mod pipeline;
mod proving;
mod reading;
mod session;
mod sources;
mod suggesting;
mod suspects;
mod torrent;
mod twins;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use thiserror::Error;
use thorp_wire::layout::{Block, Layout, Piece};
use thorp_wire::session::{Message, Span};
use thorp_wire::{Content, PeerId};

use crate::bound::SharedBound;
use crate::time::Instant;

pub use io::{
    Awaited, Config, Contact, Have, Input, NamedSource, Offer, Output, ReaderId, SessionId,
    SourceId, Stuck, SwarmLimits, SwarmProgress, TorrentConfig, Why,
};
pub use twins::GreetedClient;

use doubts::Doubts;
use hashes::Hashes;
use picker::{Picker, Turn};
use pieces::Pieces;
use reading::Readers;
use session::{Consequence, Serving, Session};
use sources::Sources;
use suggesting::Suggesting;
use suspects::Suspects;
use torrent::PieceHashing;
use twins::Twins;

/// Why a swarm cannot be made for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unfit {
    /// The file is empty, so there is nothing to fetch.
    #[error("the file is empty")]
    Empty,
    /// The file has more pieces than are kept in memory.
    #[error("the file is longer than 16 TiB")]
    TooLong,
    /// The given piece hashes do not lead to the file's root; the file has to be hashed again.
    #[error("the hashes of the pieces do not make the root of the file")]
    Layer,
}

/// The state machine. Call [`handle`](Self::handle) with an input, then drain
/// [`poll_output`](Self::poll_output); call again at [`next_deadline`](Self::next_deadline).
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
    suspects: Suspects,
    readers: Readers,
    /// The pieces of a torrent that are being hashed; `None` for a file of the group.
    torrent: Option<PieceHashing>,
    sources: Sources,
    twins: Twins,
    suggesting: Suggesting,
    sessions: BTreeMap<SessionId, Session>,
    /// The accounts charged for the places of members' sessions, and of clients'.
    places: SharedBound<SessionId>,
    client_places: SharedBound<SessionId>,
    by_source: BTreeMap<SourceId, SessionId>,
    /// Blocks of closed sessions that are still being written, with the source that sent them.
    ended: BTreeMap<SessionId, (SourceId, BTreeSet<Block>)>,
    /// The hashes of pieces found on disk, kept until the expected hashes are known.
    rechecked: BTreeMap<u32, [u8; 32]>,
    /// Pieces on disk whose bytes are not the expected ones.
    left_wrong: BTreeSet<u32>,
    zeros: Zeros,
    /// The source that sent the last of the hashes.
    proven_by: Option<SourceId>,
    /// This peer's share of the pieces that all connected members want; `None` once the members
    /// have changed.
    turn: Option<Turn>,
    /// Whether something may have become possible to ask for, so that all sessions must be
    /// checked.
    wake: bool,
    received: u64,
    /// When the last of that came; before, when the fetch began.
    received_at: Instant,
    /// Since when clients let this peer wait that have something that is missing, if no byte has
    /// come since.
    let_wait_since: Option<Instant>,
    next_look: Instant,
    next_choke: Instant,
    next_swap: Instant,
    /// Whether [`Output::Complete`] was emitted, or there was nothing to fetch.
    done: bool,
    stopped: bool,
    outputs: VecDeque<Output>,
}

/// What is known of the pieces that are all zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Zeros {
    /// Nothing: other bytes may be on disk in their places.
    Unsought,
    /// What is on disk. The hashes are not known.
    Sought,
    /// Which they are. They are verified.
    Taken,
}

impl Swarm {
    /// Creates the swarm of a file.
    pub fn new(now: Instant, config: Config) -> Result<Self, Unfit> {
        let content = config.content;
        let layout = match &config.have {
            Have::Torrent(layout) => *layout,
            Have::Nothing | Have::Everything { .. } => Layout::of(content.length),
        };
        let number = layout.pieces().ok_or(Unfit::TooLong)?;
        if number == 0 {
            return Err(Unfit::Empty);
        }
        let everything = config.have != Have::Nothing;
        let hashes = match config.have {
            Have::Nothing => Hashes::unknown(content),
            Have::Everything { layer } => Hashes::known(content, layer).ok_or(Unfit::Layer)?,
            // There is nothing that its root could be.
            Have::Torrent(_) => Hashes::unknown(Content::EMPTY),
        };
        let pieces = Pieces::new(layout, number, everything);
        let zeros = if everything {
            Zeros::Taken
        } else {
            Zeros::Unsought
        };
        let swarm = Self::about(
            now,
            (content, layout),
            (pieces, hashes),
            (config.me, config.seed, config.limits),
        );
        Ok(Self {
            zeros,
            done: everything,
            ..swarm
        })
    }

    fn about(
        now: Instant,
        (content, layout): (Content, Layout),
        (pieces, hashes): (Pieces, Hashes),
        (me, seed, limits): (PeerId, u64, SwarmLimits),
    ) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let number = pieces.count();
        Self {
            me,
            content,
            layout,
            limits,
            picker: Picker::new(pieces.had(), pieces.count(), &mut rng),
            rng,
            pieces,
            hashes,
            doubts: Doubts::default(),
            suspects: Suspects::default(),
            readers: Readers::default(),
            torrent: None,
            sources: Sources::new(now, me),
            twins: Twins::default(),
            suggesting: Suggesting::new(number),
            sessions: BTreeMap::new(),
            places: SharedBound::new(limits.sessions as u64),
            client_places: SharedBound::new(limits.clients as u64),
            by_source: BTreeMap::new(),
            ended: BTreeMap::new(),
            rechecked: BTreeMap::new(),
            left_wrong: BTreeSet::new(),
            zeros: Zeros::Unsought,
            proven_by: None,
            turn: None,
            wake: false,
            received: 0,
            received_at: now,
            let_wait_since: None,
            next_look: now,
            next_choke: now + choke::EVERY,
            next_swap: now + keeping::SWAP_EVERY,
            done: false,
            stopped: false,
            outputs: VecDeque::new(),
        }
    }

    /// Handles an input. Drain [`poll_output`](Self::poll_output) afterwards.
    pub fn handle(&mut self, now: Instant, input: Input) {
        if self.stopped {
            return;
        }
        match input {
            Input::Tick => {}
            Input::Holders(holders) => {
                self.on_disk_looked_through();
                self.sources.add(now, holders, &mut self.rng);
                self.dial(now);
            }
            Input::Clients(clients) => {
                if self.torrent.is_some() {
                    self.on_disk_looked_through();
                }
                self.sources.add_clients(now, clients, &mut self.rng);
                self.dial(now);
            }
            Input::DialFailed { source, reason } => self.sources.dial_failed(now, source, &reason),
            Input::HolderBusy { source } => self.sources.on_busy(now, source),
            Input::Reached => self.sources.on_reached(),
            Input::Itself { source } => self.sources.on_itself(source),
            Input::Opened {
                session,
                source,
                account,
                dialled,
                offer,
            } => self.opened(now, session, source, account, dialled, offer),
            Input::MostRequests { session, most } => self.on_most_requests(now, session, most),
            Input::Closed { session, reason } => self.closed(now, session, &reason),
            Input::Message { session, message } => self.message(now, session, message),
            Input::Flowing { session, bytes } => self.flowing(now, session, bytes),
            Input::Written {
                session,
                block,
                leaves,
            } => self.on_block_written(now, session, block, &leaves),
            Input::Rechecked { piece, leaves } => self.on_piece_rechecked(piece, &leaves),
            Input::PieceLeft { piece } => self.on_piece_left(piece),
            Input::PieceHashed { piece, is_right } => self.on_piece_hashed(now, piece, is_right),
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
            Input::Read { reader, range } => self.on_read(now, reader, &range),
            Input::ReadOver { reader } => self.on_read_over(reader),
            Input::OnDemand(on_demand) => {
                self.readers.on_demand = on_demand;
                self.wake = true;
            }
            Input::Stop { reason } => self.stop(now, &reason),
        }
        self.settle(now);
    }

    /// Returns the next thing to do. Outputs must be carried out in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns when to call [`handle`](Self::handle) with [`Input::Tick`] if nothing happens
    /// before.
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

    /// A `Piece` message with this span is arriving. Returns the requested block that it answers.
    /// If there is none, the shell drops the bytes and reports nothing more. Drain
    /// [`poll_output`](Self::poll_output) afterwards.
    pub fn on_piece(&mut self, now: Instant, session: SessionId, span: Span) -> Option<Block> {
        let of = self.sessions.get_mut(&session)?;
        let block = of.expects(span);
        if block.is_none() && of.on_dropped(span) {
            self.wake = true;
            self.settle(now);
        }
        block
    }

    /// Reports that all bytes of an expected block have arrived. Returns whether the shell must
    /// write them; no other session may write these bytes until [`Input::Written`]. If not, the
    /// shell drops them. Drain [`poll_output`](Self::poll_output) afterwards.
    pub fn claim(&mut self, now: Instant, session: SessionId, block: Block) -> bool {
        let claimed = !self.stopped && self.claimed(now, session, block);
        self.settle(now);
        claimed
    }

    /// Whether this source was named and is not forgotten: it may be dialled.
    pub fn knows(&self, source: SourceId) -> bool {
        self.sources.knows(source)
    }

    /// Whether no source that is known can provide what is missing, as [`Output::Stuck`] has said.
    pub fn is_stuck(&self) -> bool {
        self.sources.is_stuck()
    }

    /// Returns the number of bytes that are still to be fetched.
    pub fn to_come(&self) -> u64 {
        self.pieces.to_come()
    }

    /// Returns how far the fetch has got.
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

    /// The holders it waits for: those that were asked, or may be; where there is no session, those
    /// that are dialled.
    pub fn awaited(&self, now: Instant) -> Awaited {
        let may_send = |session: &&Session| session.asked_number() > 0 || session.gives_hope(now);
        let sessions = self.sessions.values().filter(may_send);
        let mut from: Vec<_> = sessions
            .filter_map(|session| self.sources.holder(session.source))
            .collect();
        if from.is_empty() {
            from = self.sources.without_session();
        }
        Awaited {
            from,
            silent: now - self.received_at,
        }
    }

    /// Returns the sources that sent verified data and how many bytes each, the largest first.
    /// Those that sent wrong data are left out.
    pub fn sources(&self) -> Vec<(SourceId, u64)> {
        self.sources.givers()
    }

    /// Returns the sources whose data is on disk, verified or not, and how many bytes each has
    /// sent, the largest first. Those that sent wrong data are left out.
    pub fn senders(&self) -> Vec<(SourceId, u64)> {
        self.sources.senders()
    }

    /// Returns how much of each part of the file is verified, from 0 (nothing) to 9 (all): as many
    /// parts as there are pieces, and `most` of them at most.
    pub fn parts(&self, most: u32) -> Vec<u8> {
        self.pieces.had().parts(most)
    }

    /// Whether a piece is verified.
    pub fn has(&self, piece: Piece) -> bool {
        self.pieces.had().has(piece.number())
    }

    /// Whether the other end of a connection has the whole file.
    pub fn is_whole(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(Session::is_whole)
    }

    /// Whether the whole file is verified.
    pub fn is_complete(&self) -> bool {
        self.pieces.is_complete()
    }

    /// Returns the hash of each piece once all are known; the root for a file of one piece.
    pub fn layer(&self) -> Option<&[[u8; 32]]> {
        self.hashes.layer()
    }

    /// Whether what arrives can be verified: the hashes are known, or are those of a torrent.
    fn can_verify(&self) -> bool {
        self.torrent.is_some() || self.hashes.are_known()
    }

    fn source_ids(&self) -> Vec<SourceId> {
        let sources = self.sources().into_iter();
        sources.map(|(source, _)| source).collect()
    }

    fn message(&mut self, now: Instant, id: SessionId, message: Message) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let serving = Serving {
            layout: &self.layout,
            pieces: self.pieces.count(),
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
            Consequence::Has(pieces) => self.on_have(now, id, &pieces),
            Consequence::Choked(blocks) => {
                self.not_coming(id, &blocks);
                self.abandon(id);
            }
            Consequence::Unchoked | Consequence::Suggested => self.fill(now, id),
            Consequence::Wants => self.rechoke(now, Some(id)),
            Consequence::Upload(block) => {
                self.suggesting.on_asked(id, block.piece().number());
                self.outputs.push_back(Output::Upload(id, block));
            }
            Consequence::Withdraw(block) => self.outputs.push_back(Output::Withdraw(id, block)),
            Consequence::Answer(message) => self.send(id, message),
            Consequence::Rejected(block) => self.rejected(now, id, block),
            Consequence::Freed => self.wake = true,
            Consequence::HashRequest(range) => self.hash_request(id, range),
            Consequence::Hashes(range, hashes) => self.hashes_came(now, id, range, &hashes),
            Consequence::HashReject(range) => self.hashes_refused(now, id, range),
        }
    }

    fn send(&mut self, id: SessionId, message: Message) {
        self.outputs.push_back(Output::Send(id, message));
    }

    /// Does what follows from the last input and from the time.
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
            self.ask_for_clients();
        }
        self.ask_for_leaves(now);
        if std::mem::take(&mut self.wake) {
            self.resolve_doubts(now);
            self.fill_all(now);
        }
        self.tell_readers();
        self.suggest();
        self.complete(now);
    }
}

#[cfg(test)]
mod tests;

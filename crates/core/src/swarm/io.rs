//! What goes into a swarm, and what comes out.
//!
//! The order of things on one connection: the shell makes or accepts the
//! connection, exchanges both handshakes, then says [`Input::Opened`]. It
//! passes on every incoming message as [`Input::Message`], except `Piece`:
//!
//! 1. its head has come: [`Swarm::expects`](super::Swarm::expects). If the
//!    block is not expected, the shell reads and drops its bytes: an answer
//!    that comes too late is no fault;
//! 2. its bytes are coming, and take long: [`Input::Flowing`] about once a
//!    second;
//! 3. all its bytes have come and are hashed:
//!    [`Swarm::claim`](super::Swarm::claim). If that says no, the shell drops
//!    them: another source was faster;
//! 4. they are on disk: [`Input::Written`].
//!
//! From `claim` to `Written` no other session writes these bytes. So the shell
//! says [`Input::Closed`] of a connection only when no write for it is under
//! way any more, also after an [`Output::Close`].
//!
//! Outgoing messages are sent in the order of [`Output::Send`]; uploads are
//! read from disk and sent in their own order, beside them. The shell does not
//! read from a peer that does not read what is sent to it: that bounds what
//! waits to be sent.

use thorp_wire::frame::Holder;
use thorp_wire::layout::{Block, Piece};
use thorp_wire::session::{HashRange, Message};
use thorp_wire::{Content, PeerId};

/// Which file a swarm is about, and how it is fetched or served.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file. Not the empty one, which is never fetched.
    pub content: Content,
    /// This end's id. Of two connections between the same two peers, both ends
    /// keep the one that the lower id has dialled.
    pub me: PeerId,
    /// What chance is drawn from.
    pub seed: u64,
    /// What there is of the file.
    pub have: Have,
    /// How much at once.
    pub limits: SwarmLimits,
}

/// What there is of a file at the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Have {
    /// Nothing that is known of: it is to be fetched.
    Nothing,
    /// All of it: it is to be served.
    Everything {
        /// The hash of each piece, in order; of a file of one piece, its root.
        layer: Vec<[u8; 32]>,
    },
}

/// How much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwarmLimits {
    /// Connections made by this end.
    pub dialled: usize,
    /// Connections, made by either end.
    pub sessions: usize,
    /// How many peers are served at the same time.
    pub uploads: usize,
    /// The longest request that is answered, in bytes.
    pub longest_request: u32,
}

impl Default for SwarmLimits {
    fn default() -> Self {
        Self {
            dialled: 24,
            sessions: 48,
            uploads: 32,
            longest_request: 256 * 1024,
        }
    }
}

/// Names a connection for as long as it is about this file. Chosen by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// What the other end of a connection can do, from its handshakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The fast extension (BEP 6).
    pub fast: bool,
    /// The longest request it answers, in bytes: 16 KiB unless it says more.
    pub longest_request: u32,
    /// How many requests it keeps waiting, if it says so (`reqq`, BEP 10).
    pub most_requests: Option<u32>,
    /// It is a member: unchoked from the start.
    pub member: bool,
}

/// The inputs of a swarm.
#[derive(Clone, Debug)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// These may have the file, wholly or in part. Those known already are no news.
    Holders(Vec<Holder>),
    /// An [`Output::Dial`] came to nothing.
    DialFailed {
        /// The peer it was for.
        peer: PeerId,
        /// Why, for a person.
        reason: String,
    },
    /// An [`Output::Dial`] led to a holder that has no place for one more at the moment.
    HolderBusy {
        /// The peer it was for.
        peer: PeerId,
    },
    /// A peer that should have the file has answered a dial. Whether it has it,
    /// its handshake will tell.
    Reached,
    /// A connection is about this file now: both handshakes are done.
    Opened {
        /// Its number from now on.
        session: SessionId,
        /// The peer at the other end.
        peer: PeerId,
        /// Whether this end dialled.
        dialled: bool,
        /// What the other end can do.
        offer: Offer,
    },
    /// A connection is gone, or about another file now.
    Closed {
        /// Which.
        session: SessionId,
        /// Why, for a person.
        reason: String,
    },
    /// A message has arrived: any but `Piece`.
    Message {
        /// On this connection.
        session: SessionId,
        /// The message.
        message: Message,
    },
    /// Some bytes of a block have come, but not all yet: a sign of life.
    Flowing {
        /// On this connection.
        session: SessionId,
        /// How many more since the last time.
        bytes: u32,
    },
    /// A block that was claimed is on disk.
    Written {
        /// On this connection.
        session: SessionId,
        /// Which.
        block: Block,
        /// The hashes of its leaves, in order. Blocks begin and end at leaves,
        /// or at the end of the file.
        leaves: Vec<[u8; 32]>,
    },
    /// A piece that an earlier fetch has left on disk was hashed: these are its
    /// leaves. Comes before the first [`Input::Holders`].
    Rechecked {
        /// Which piece.
        piece: Piece,
        /// The hashes of all its leaves, in order.
        leaves: Vec<[u8; 32]>,
    },
    /// A block was sent.
    Served {
        /// On this connection.
        session: SessionId,
        /// Which.
        block: Block,
    },
    /// An [`Output::Upload`] cannot be done (withdrawn, or the file has changed
    /// or cannot be read).
    NotServed {
        /// On this connection.
        session: SessionId,
        /// Which.
        block: Block,
    },
    /// What became of an [`Output::HashLeaves`].
    LeavesHashed {
        /// On this connection.
        session: SessionId,
        /// What was asked.
        range: HashRange,
        /// The hashes of all leaves of those pieces, in order; nothing, if the
        /// file could not be read.
        leaves: Option<Vec<[u8; 32]>>,
    },
    /// The disk cannot be written, or the file to serve is gone: everything
    /// ends.
    Stop {
        /// Why, for a person.
        reason: String,
    },
}

/// What a swarm wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Connect to this holder, for this file.
    Dial(Holder),
    /// Send a message.
    Send(SessionId, Message),
    /// This connection is not about this file any more. If there is no reason,
    /// it may be kept for the next file.
    Close(SessionId, Option<Why>),
    /// Read these bytes and send them as `Piece`; then [`Input::Served`]. In order.
    Upload(SessionId, Block),
    /// Take this upload back if it was not begun ([`Input::NotServed`] then).
    Withdraw(SessionId, Block),
    /// Hash all leaves of these pieces, from disk (8 MiB at most): they are asked
    /// for by this range.
    HashLeaves(SessionId, HashRange, Vec<Piece>),
    /// Everything is verified. Sessions may go on, to serve others.
    Complete {
        /// Who sent some of it, who sent most first.
        sources: Vec<PeerId>,
    },
    /// The fetch is stuck: no holder is left that has what is missing.
    Stuck(Stuck),
    /// This peer sent bytes or hashes that are not of this file. It is not
    /// asked again.
    Blame(PeerId),
    /// Find more holders. Repeated, ever more seldom, as long as the fetch goes
    /// on.
    Widen,
}

/// How it is with a fetch that gets no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// How the last attempt failed, for a person.
    pub reason: String,
    /// Bytes that are verified.
    pub there: u64,
    /// How far any peer that should have the file was got hold of.
    pub contact: Contact,
    /// Who sent some of it, who sent most first.
    pub sources: Vec<PeerId>,
}

/// How far any peer that should have a file was got hold of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contact {
    /// None has answered.
    None,
    /// One has, and does not have the file (any more).
    Reached,
    /// There was a session.
    Session,
}

/// Why a connection ends, by what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It broke the protocol, or lied: drop it.
    Fault(String),
    /// It is of no use now: silent, slow, has nothing, or the table is full.
    Useless(String),
    /// This end stops.
    Stopping(String),
}

/// How far a fetch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SwarmProgress {
    /// Bytes verified.
    pub verified: u64,
    /// Bytes that have come over the network for it.
    pub received: u64,
    /// Sources that something is asked of.
    pub sources: u32,
    /// Holders that have no place for this end at the moment. They are asked again.
    pub busy: u32,
}

//! The inputs and outputs of a swarm.
//!
//! On one connection the shell proceeds as follows. It makes or accepts the connection, exchanges
//! both handshakes, then sends [`Input::Opened`]. It passes on every incoming message as
//! [`Input::Message`], except `Piece`:
//!
//! 1. When its header has arrived, the shell calls [`Swarm::on_piece`](super::Swarm::on_piece). If
//!    the block is not expected, the shell reads and drops its bytes: a late answer is no fault.
//! 2. While its bytes arrive slowly, the shell sends [`Input::Flowing`] about once a second.
//! 3. When all its bytes have arrived and are hashed, the shell calls
//!    [`Swarm::claim`](super::Swarm::claim). If the result is `false`, another source was faster
//!    and the shell drops the bytes.
//! 4. When they are on disk, the shell sends [`Input::Written`].
//!
//! Between `claim` and `Written` no other session writes these bytes. The shell therefore sends
//! [`Input::Closed`] only when no write for that connection is under way any more, also after an
//! [`Output::Close`].
//!
//! The shell sends messages in the order of [`Output::Send`]. It reads uploads from disk and sends
//! them in their own order, independently of messages. It stops reading from a peer that does not
//! read what is sent to it, which bounds the send queue.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::bound::Account;
use thorp_wire::frame::Holder;
use thorp_wire::layout::{Block, Layout, Piece};
use thorp_wire::session::message::LONGEST_REQUEST;
use thorp_wire::session::{HashRange, Message};
use thorp_wire::torrent::PieceSpace;
use thorp_wire::{Content, PeerId};

/// Which file a swarm handles, and how.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file; must not be empty. Of a torrent, only its length counts.
    pub content: Content,
    /// This peer's id. Of two connections between the same two peers, both ends keep the one that
    /// the peer with the lower id dialled.
    pub me: PeerId,
    /// The seed for all random choices.
    pub seed: u64,
    /// What this peer has of the file.
    pub have: Have,
    /// The bounds on concurrent work.
    pub limits: SwarmLimits,
}

/// Which torrent a swarm fetches, and how.
#[derive(Clone, Debug)]
pub struct TorrentConfig {
    /// Its bytes, at least one.
    pub space: Arc<PieceSpace>,
    /// Which of its files are wanted, by their numbers.
    pub files: BTreeSet<usize>,
    /// This peer's id.
    pub me: PeerId,
    /// The seed for all random choices.
    pub seed: u64,
    /// The bounds on concurrent work.
    pub limits: SwarmLimits,
}

/// What this peer has of a file at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Have {
    /// Nothing: the file is to be fetched.
    Nothing,
    /// The whole file: it is to be served.
    Everything {
        /// The hash of each piece, in order; the root for a file of one piece.
        layer: Vec<[u8; 32]>,
    },
    /// All of a torrent, which is cut like this: it is to be served. The shell answers those that
    /// ask for the hashes of its files.
    Torrent(Layout),
}

/// Bounds on concurrent work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwarmLimits {
    /// The most connections that this peer dials.
    pub dialled: usize,
    /// The most connections with members, dialled by either end.
    pub sessions: usize,
    /// The most connections with clients.
    pub clients: usize,
    /// The most peers that are served at the same time.
    pub uploads: usize,
    /// The longest request that is answered, in bytes. The shell may answer a connection only
    /// shorter ones, as it has said there.
    pub longest_request: u32,
}

impl Default for SwarmLimits {
    fn default() -> Self {
        Self {
            dialled: 24,
            sessions: 48,
            clients: 48,
            uploads: 32,
            longest_request: LONGEST_REQUEST,
        }
    }
}

/// Identifies a connection while it is used for this file. Chosen by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// Identifies a reader of the file while it arrives. Chosen by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReaderId(pub u64);

/// Identifies the other end of a connection, which may be a source of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceId {
    /// A member of the group: its certificate says so.
    Member(PeerId),
    /// A BitTorrent client that is no member, by the address of its end of the connection.
    Client(SocketAddr),
}

/// A source, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedSource {
    /// A member.
    Member(Holder),
    /// A client that listens at this address. Whether it has all of the file is not known.
    Client(SocketAddr),
}

impl NamedSource {
    /// Returns what the source is identified by.
    pub fn id(&self) -> SourceId {
        match self {
            Self::Member(holder) => SourceId::Member(holder.id),
            Self::Client(address) => SourceId::Client(*address),
        }
    }
}

impl SourceId {
    /// Returns the member's id; `None` for a client.
    pub fn member(self) -> Option<PeerId> {
        match self {
            Self::Member(id) => Some(id),
            Self::Client(_) => None,
        }
    }

    /// Returns the client's address; `None` for a member.
    pub fn client(self) -> Option<SocketAddr> {
        match self {
            Self::Member(_) => None,
            Self::Client(address) => Some(address),
        }
    }
}

impl From<PeerId> for SourceId {
    fn from(id: PeerId) -> Self {
        Self::Member(id)
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(id) => id.fmt(f),
            Self::Client(address) => address.fmt(f),
        }
    }
}

/// What the peer at the other end of a connection supports, from its handshakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Whether it supports the fast extension (BEP 6).
    pub fast: bool,
    /// The longest request that it answers, in bytes: 16 KiB unless it announces more.
    pub longest_request: u32,
    /// How many outstanding requests it accepts, if it announces a limit (`reqq`, BEP 10).
    pub most_requests: Option<u32>,
    /// Whether it is a member of the group; members are unchoked from the start.
    pub member: bool,
    /// Whether it can be asked for hashes (BEP 52).
    pub hashes: bool,
}

/// The inputs of a swarm.
#[derive(Clone, Debug)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// Peers that may have the file, wholly or in part. Peers that are known already have no
    /// effect.
    Holders(Vec<Holder>),
    /// Clients that may have the file, wholly or in part. They are told of after the holders.
    Clients(Vec<SocketAddr>),
    /// An [`Output::Dial`] failed.
    DialFailed {
        /// The source it was for.
        source: SourceId,
        /// Why, for the user.
        reason: String,
    },
    /// An [`Output::Dial`] reached a holder that has no free place at the moment.
    HolderBusy {
        /// The source it was for.
        source: SourceId,
    },
    /// A dialled holder has answered; its handshake will tell whether it has the file.
    Reached,
    /// A dialled source is this peer itself. It is not dialled again.
    Itself {
        /// The source.
        source: SourceId,
    },
    /// Both handshakes of a connection are done: it is used for this file now.
    Opened {
        /// The id of the connection from now on.
        session: SessionId,
        /// The other end.
        source: SourceId,
        /// The account charged for its place.
        account: Account,
        /// Whether this peer dialled.
        dialled: bool,
        /// What the other end supports.
        offer: Offer,
    },
    /// A client has said how many requests it accepts, after its handshake. Of those that are
    /// outstanding, the ones beyond are cancelled.
    MostRequests {
        /// The connection.
        session: SessionId,
        /// How many.
        most: u32,
    },
    /// A connection is closed, or used for another file now.
    Closed {
        /// The connection.
        session: SessionId,
        /// Why, for the user.
        reason: String,
    },
    /// A message has arrived, of any type except `Piece`.
    Message {
        /// The connection.
        session: SessionId,
        /// The message.
        message: Message,
    },
    /// Some bytes of a block have arrived, but not all yet.
    Flowing {
        /// The connection.
        session: SessionId,
        /// How many bytes since the last report.
        bytes: u32,
    },
    /// A claimed block is on disk.
    Written {
        /// The connection.
        session: SessionId,
        /// The block.
        block: Block,
        /// The hashes of its leaves, in order. Blocks begin and end at leaf boundaries or at the
        /// end of the file. Of a torrent's block any hashes, as many as it has leaves.
        leaves: Vec<[u8; 32]>,
    },
    /// A piece of a torrent that an earlier fetch left on disk has the hash that the torrent says.
    /// Comes before the first [`Input::Clients`].
    PieceLeft {
        /// The piece.
        piece: Piece,
    },
    /// An [`Output::HashPiece`] is done.
    PieceHashed {
        /// The piece.
        piece: Piece,
        /// Whether it has the hash that the torrent says.
        is_right: bool,
    },
    /// A piece that an earlier fetch left on disk was hashed. Comes before the first
    /// [`Input::Holders`].
    Rechecked {
        /// The piece.
        piece: Piece,
        /// The hashes of all its leaves, in order.
        leaves: Vec<[u8; 32]>,
    },
    /// A block was sent.
    Served {
        /// The connection.
        session: SessionId,
        /// The block.
        block: Block,
    },
    /// An [`Output::Upload`] was not done: it was withdrawn, or the file has changed or cannot be
    /// read.
    NotServed {
        /// The connection.
        session: SessionId,
        /// The block.
        block: Block,
    },
    /// An [`Output::HashLeaves`] is done.
    LeavesHashed {
        /// The connection.
        session: SessionId,
        /// The requested range.
        range: HashRange,
        /// The hashes of all leaves of those pieces, in order; `None` if the file could not be
        /// read.
        leaves: Option<Vec<[u8; 32]>>,
    },
    /// A reader of the file waits for these bytes, in their order: they are fetched before others.
    /// Replaces what it waited for before. [`Output::Readable`] follows once the first byte is
    /// verified.
    Read {
        /// The reader.
        reader: ReaderId,
        /// The bytes, by their places in the file.
        range: Range<u64>,
    },
    /// A reader wants nothing more.
    ReadOver {
        /// The reader.
        reader: ReaderId,
    },
    /// Whether only what readers wait for is fetched, from now on. At first all of the file is.
    OnDemand(bool),
    /// The disk cannot be written, or the file to serve is gone: the swarm ends.
    Stop {
        /// Why, for the user.
        reason: String,
    },
}

/// What the shell is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Dial this source for this file.
    Dial(NamedSource),
    /// Send a message.
    Send(SessionId, Message),
    /// Stop using this connection for this file. Without a reason the shell may keep it for the
    /// next file.
    Close(SessionId, Option<Why>),
    /// Read these bytes and send them as `Piece`, in the order of the outputs; then send
    /// [`Input::Served`].
    Upload(SessionId, Block),
    /// Cancel this upload unless it was begun; if cancelled, send [`Input::NotServed`].
    Withdraw(SessionId, Block),
    /// Hash all leaves of these pieces from disk (8 MiB at most) to answer a request for this
    /// range.
    HashLeaves(SessionId, HashRange, Vec<Piece>),
    /// All of a torrent's piece is on disk: hash it, then send [`Input::PieceHashed`].
    HashPiece(Piece),
    /// The hashes are known, and this many bytes are to be written. All others are on disk
    /// already, or are zeros and stay a hole.
    ToCome(u64),
    /// The first byte that this reader waits for is verified.
    Readable(ReaderId),
    /// The whole file is verified. Sessions may go on, to serve other peers.
    Complete {
        /// The sources that sent verified data, the largest share first.
        sources: Vec<SourceId>,
    },
    /// The fetch is stuck: no known holder can provide the missing data.
    Stuck(Stuck),
    /// This source sent data or hashes that are not of this file. It is not asked again.
    Blame(SourceId),
    /// Find more holders. Repeated at growing intervals while the fetch goes on.
    Widen,
    /// Find clients: there are fewer sources than this peer would dial. Comes with
    /// [`Widen`](Self::Widen), as long as that is so.
    WantsClients {
        /// Whether no session has anything that is missing.
        has_none: bool,
    },
}

/// The state of a fetch that makes no progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// How the last attempt failed, for the user.
    pub reason: String,
    /// Bytes that are verified.
    pub there: u64,
    /// How close to a session this peer got with any holder.
    pub contact: Contact,
    /// The sources that sent verified data, the largest share first.
    pub sources: Vec<SourceId>,
    /// The source whose file has changed, where that is why.
    pub changed: Option<SourceId>,
}

/// How close to a session this peer got with any holder of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contact {
    /// No holder has answered.
    None,
    /// A holder has answered, but does not have the file (any more).
    Reached,
    /// There was a session with a holder.
    Session,
}

/// Why a connection ends; determines what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The other end broke the protocol or sent wrong data: close the connection.
    Fault(String),
    /// The other end is of no use now: silent, slow, without missing pieces, or one too many.
    Useless(String),
    /// This peer stops.
    Stopping(String),
}

/// The holders a fetch waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// These members should send something.
    pub from: Vec<Holder>,
    /// How long no byte has come from any of them.
    pub silent: Duration,
}

/// The progress of a fetch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SwarmProgress {
    /// Bytes verified.
    pub verified: u64,
    /// Bytes received over the network for this file.
    pub received: u64,
    /// The number of sources with outstanding requests.
    pub sources: u32,
    /// The number of holders that have no free place for this peer at the moment. They are dialled
    /// again.
    pub busy: u32,
}

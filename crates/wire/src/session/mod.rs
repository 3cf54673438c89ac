//! What the two ends of a BitTorrent connection say (BEP 3, 6, 9, 10, 11, 52).
//!
//! ```text
//! handshake  the first 68 bytes, from both ends
//! message    everything after the handshake
//! extended   the handshake of extended messages
//! metadata   extended messages: the info dictionary of a torrent, in blocks
//! exchange   an extended message: which other clients there are
//! utp        that this peer does not speak uTP
//! ```
//!
//! `sessions.md` beside this crate's manifest describes what the BEPs leave open, and what
//! members say beyond them.
//!
//! The bytes of blocks are not handled here: only the head of a `piece` message is read, and the
//! node moves the bytes themselves.

pub mod exchange;
pub mod extended;
pub mod handshake;
pub mod message;
pub mod metadata;
pub mod utp;

pub use exchange::{ExchangedPeer, PeerExchange};
pub use extended::ExtendedHandshake;
pub use handshake::Handshake;
pub use message::{HashRange, Head, Message, MessageError, MessageLimits, Span};
pub use metadata::MetadataMessage;

//! What the two ends of a BitTorrent connection say (BEP 3, 6, 10, 52).
//!
//! ```text
//! handshake  the first 68 bytes, from both ends
//! message    everything after the handshake
//! extended   the one extended message that is understood: its handshake
//! ```
//!
//! `sessions.md` beside this crate's manifest describes what the BEPs leave open, and what
//! members say beyond them.
//!
//! The bytes of blocks are not handled here: only the head of a `piece` message is read, and the
//! node moves the bytes themselves.

pub mod extended;
pub mod handshake;
pub mod message;

pub use extended::ExtendedHandshake;
pub use handshake::Handshake;
pub use message::{HashRange, Head, Message, MessageError, MessageLimits, Span};

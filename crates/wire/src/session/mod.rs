//! What two ends of a BitTorrent connection say (BEP 3, 6, 10, 52).
//!
//! ```text
//! handshake  the first 68 bytes, from both sides
//! message    everything after it
//! extended   the one extended message that is understood: its handshake
//! bencode    how that one is written
//! ```
//!
//! `sessions.md` beside this crate's manifest has what the BEPs leave open, and
//! what members say beyond them.
//!
//! The bytes of blocks are not values here: of a `piece` message only the head
//! is read, and the node moves the bytes past this module.

pub mod bencode;
pub mod extended;
pub mod handshake;
pub mod message;

pub use extended::ExtendedHandshake;
pub use handshake::Handshake;
pub use message::{HashRange, Head, Message, MessageError, MessageLimits, Span};

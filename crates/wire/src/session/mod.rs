//! What two ends of a BitTorrent connection say (BEP 3, 6, 10, 52).
//!
//! ```text
//! handshake  the first 68 bytes, from both sides
//! message    everything after it
//! extended   the one extended message that is understood: its handshake
//! bencode    how that one is written
//! ```
//!
//! The bytes of blocks are not values here: of a `piece` message only the head
//! is read, and whoever moves the bytes moves them past this module.

pub mod message;

pub use message::{HashRange, Message, Span};

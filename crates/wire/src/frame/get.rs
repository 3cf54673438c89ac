//! `Get`, its answers, and the goodbye.

use std::fmt;

use minicbor::{Decode, Encode};

use crate::Content;

/// Asks for a whole small file (at most [`MAX_INLINE`](super::MAX_INLINE) bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Get {
    /// Which one.
    #[n(2)]
    pub content: Content,
}

/// `Content`: the bytes of a file, in answer to a [`Get`]. The receiver checks them.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Bytes {
    /// All of them.
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({})", self.bytes.len())
    }
}

/// A question that gets no better answer.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Refused {
    /// For the program.
    #[n(2)]
    pub reason: Reason,
    /// For a person; escaped before it is shown.
    #[n(3)]
    #[cbor(default, skip_if = "String::is_empty")]
    pub text: String,
}

/// Why a question was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Reason {
    /// A frame of a type that the receiver does not know.
    #[n(0)]
    Unknown,
    /// It does not have this file (any more).
    #[n(1)]
    NotHere,
    /// The file is too large to go inline: open a session.
    #[n(2)]
    TooLarge,
    /// Too many questions: wait and ask again.
    #[n(3)]
    Busy,
    /// The token is wrong, used up or expired.
    #[n(4)]
    NotInvited,
    /// The file is there but could not be read.
    #[n(5)]
    Unreadable,
    /// The request is not one this member can serve.
    #[n(6)]
    NotServed,
}

/// Goodbye: the sender will be gone when this link closes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Leave {
    /// For a person; escaped before it is shown.
    #[n(2)]
    pub reason: String,
}

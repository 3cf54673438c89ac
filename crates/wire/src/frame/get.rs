//! `Get`, its answers, and the goodbye.

use std::fmt;

use minicbor::{Decode, Decoder, Encode};

use super::body::{FrameBody, THING};
use super::{FrameError, MAX_INLINE, at_most_bytes, possible};
use crate::{Content, Remark};

/// Asks for a whole small file (at most [`MAX_INLINE`](super::MAX_INLINE) bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Get {
    /// Which one.
    #[n(2)]
    pub content: Content,
}

impl FrameBody for Get {
    // Its length is fixed.
    const GROWS: usize = 1;

    /// Also a file over [`MAX_INLINE`] may be asked for: the answer is
    /// [`Reason::TooLarge`], and the link stays.
    fn check(&self) -> Result<(), FrameError> {
        possible(self.content)
    }

    fn size(&self) -> usize {
        THING
    }
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

impl FrameBody for Bytes {
    // It takes as much memory as on the wire; so do the texts below.
    const GROWS: usize = 1;

    fn check(&self) -> Result<(), FrameError> {
        if self.bytes.len() as u64 > MAX_INLINE {
            return Err(FrameError::malformed(format_args!(
                "{} bytes of a file, at most {MAX_INLINE} are allowed",
                self.bytes.len()
            )));
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.bytes.len()
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({})", self.bytes.len())
    }
}

/// A question that cannot be answered otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Refused {
    /// For the program.
    #[n(2)]
    pub reason: Reason,
    /// For a person.
    #[n(3)]
    #[cbor(default, skip_if = "Remark::is_empty")]
    pub text: Remark,
}

impl Refused {
    /// The longest text, in bytes: room for a path and a sentence about it.
    pub const MAX_TEXT: usize = 8192;
}

impl FrameBody for Refused {
    const GROWS: usize = 1;

    fn check(&self) -> Result<(), FrameError> {
        at_most_bytes(Self::MAX_TEXT, self.text.len(), "a text")
    }

    fn size(&self) -> usize {
        self.text.len()
    }
}

/// Why a question was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode)]
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
    /// The request is not one this member can serve. A reason that is not in
    /// this list, from a newer version, is read as this one.
    #[n(6)]
    NotServed,
    /// The file was listed, and has changed since.
    #[n(7)]
    Changed,
}

impl<'b, C> Decode<'b, C> for Reason {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Ok(match d.u64()? {
            0 => Self::Unknown,
            1 => Self::NotHere,
            2 => Self::TooLarge,
            3 => Self::Busy,
            4 => Self::NotInvited,
            5 => Self::Unreadable,
            7 => Self::Changed,
            _ => Self::NotServed,
        })
    }
}

/// Goodbye: the sender will be gone when this link closes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Leave {
    /// For a person.
    #[n(2)]
    pub reason: Remark,
}

impl Leave {
    /// The longest reason, in bytes.
    pub const MAX_TEXT: usize = Refused::MAX_TEXT;
}

impl FrameBody for Leave {
    const GROWS: usize = 1;

    fn check(&self) -> Result<(), FrameError> {
        at_most_bytes(Self::MAX_TEXT, self.reason.len(), "a reason")
    }

    fn size(&self) -> usize {
        self.reason.len()
    }
}

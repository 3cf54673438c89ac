//! `Get` and its answers, and the goodbye.

use std::fmt;

use minicbor::{Decode, Decoder, Encode};

use super::body::{FrameBody, THING};
use super::{FrameError, MAX_INLINE, at_most_bytes, possible};
use crate::{Content, Remark};

/// Asks for a whole small file (at most [`MAX_INLINE`](super::MAX_INLINE) bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Get {
    /// The content that is asked for.
    #[n(2)]
    pub content: Content,
}

impl FrameBody for Get {
    // The length of a `Get` is bounded.
    const GROWS: usize = 1;

    /// A file longer than [`MAX_INLINE`] may be asked for too: the answer is
    /// [`Reason::TooLarge`], and the link stays open.
    fn check(&self) -> Result<(), FrameError> {
        possible(self.content)
    }

    fn size(&self) -> usize {
        THING
    }
}

/// `Content`: the bytes of a file, in answer to a [`Get`]. The receiver verifies them.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Bytes {
    /// All bytes of the file.
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub bytes: Vec<u8>,
}

impl FrameBody for Bytes {
    // A byte string, like the texts below, takes as much memory as on the wire.
    const GROWS: usize = 1;
    const IS_CONTENT: bool = true;

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

/// A question was refused.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Refused {
    /// The reason, as a code.
    #[n(2)]
    pub reason: Reason,
    /// The reason, in words for a user.
    #[n(3)]
    #[cbor(default, skip_if = "Remark::is_empty")]
    pub text: Remark,
}

impl Refused {
    /// The maximum length of the text, in bytes: room for a path and a sentence about it.
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
    /// The receiver does not know the type of the question.
    #[n(0)]
    Unknown,
    /// The receiver does not have this file, or no longer.
    #[n(1)]
    NotHere,
    /// The file is too large for a frame: open a session.
    #[n(2)]
    TooLarge,
    /// The receiver has too many questions: ask again later.
    #[n(3)]
    Busy,
    /// The token is wrong, used up or expired.
    #[n(4)]
    NotInvited,
    /// The file exists but could not be read.
    #[n(5)]
    Unreadable,
    /// This member cannot serve the request. A reason that this version does not know decodes as
    /// this one.
    #[n(6)]
    NotServed,
    /// The file has changed since it was listed.
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

/// A goodbye: the sender will be gone when this link closes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Leave {
    /// The reason, in words for a user.
    #[n(2)]
    pub reason: Remark,
}

impl Leave {
    /// The maximum length of the reason, in bytes.
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

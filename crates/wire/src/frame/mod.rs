//! What two members say over a link.
//!
//! A frame is a 4-byte big-endian length and a CBOR map with integer keys. Key 0 is the type, key
//! 1 the request id, and the body's own fields start at 2; `frames.md` beside this crate's
//! manifest has a table of all of them. Unknown keys are skipped, so that fields can be added.
//!
//! This module owns the envelope and the list of frames; each body has its own module.
//! `thorp-core` decides when a frame is sent, and what follows from one.

mod addresses;
mod body;
mod filter;
mod find;
mod get;
mod head;
mod hello;
mod holder;
mod join;
mod record;
mod shape;
mod told;
mod update;

use std::fmt;

use minicbor::encode::Write;
use minicbor::{Decode, Encode, Encoder};
use thiserror::Error;

pub use filter::NameFilter;
pub use find::{Find, Found, MemberRow, Query, Variant};
pub use get::{Bytes, Get, Leave, Reason, Refused};
pub use hello::{Hello, Position, VERSION};
pub use holder::Holder;
pub use join::{Join, Joined, Token};
pub use record::{GroupRecord, Record, SignedRecord};
pub use told::{Told, ToldFile};
pub use update::{Ack, Update};

use crate::content::{Content, Root};
use crate::entry::{Entry, SECOND};
use body::{FrameBody, THING};

/// The maximum length of a frame, in bytes, without its length prefix.
pub const MAX_FRAME: usize = 1024 * 1024;
/// The maximum length of a [`Join`], in bytes. Its sender may not yet be a member.
pub const MAX_JOIN_FRAME: usize = 16 * 1024;
/// The maximum length of a file that is sent in a frame, in bytes. A longer one needs a session.
pub const MAX_INLINE: u64 = 256 * 1024;
/// The length in bytes of the prefix of a frame, which contains the frame's length.
pub const PREFIX: usize = 4;

/// Matches an answer to its question. The asker chooses it, unique among its unanswered questions
/// on one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct RequestId(pub u32);

/// One message on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The request id of a question or of its answer; otherwise `None`.
    pub request: Option<RequestId>,
    /// The frame's own fields.
    pub body: Body,
}

// Every type of frame: its number, its name and its body.
body::frames!(
    0 Hello(Hello),
    1 Join(Join),
    2 Joined(Joined),
    3 Update(Update),
    4 Ack(Ack),
    5 Find(Find),
    6 Found(Found),
    7 Get(Get),
    8 Content(Bytes),
    9 Refused(Refused),
    10 Leave(Leave),
    11 Record(Record),
);

impl Frame {
    /// Makes a frame that is neither a question nor an answer.
    pub fn plain(body: impl Into<Body>) -> Self {
        Self {
            request: None,
            body: body.into(),
        }
    }

    /// Makes a question, or the answer to one.
    pub fn with_request(request: RequestId, body: impl Into<Body>) -> Self {
        Self {
            request: Some(request),
            body: body.into(),
        }
    }

    /// Appends the frame with its length prefix to `out`.
    ///
    /// Fails if the receiver would close the link because of the frame, with the same error as
    /// there. On an error `out` is unchanged.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        self.body.check()?;
        let start = out.len();
        out.extend_from_slice(&[0; PREFIX]);
        head::encode(self, out);
        let length = out.len() - start - PREFIX;
        if let Err(too_long) = within(length as u64, self.body.max_length()) {
            out.truncate(start);
            return Err(too_long);
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most MAX_FRAME")]
        out[start..start + PREFIX].copy_from_slice(&(length as u32).to_be_bytes());
        Ok(())
    }

    /// Returns the approximate maximum of memory that an encoded frame takes once it is decoded,
    /// in bytes. The receiver uses it to make room before decoding.
    pub fn memory(bytes: &[u8]) -> usize {
        head::memory(bytes)
    }

    /// Whether a frame that has arrived in part carries a file's content.
    pub fn brings_content(beginning: &[u8]) -> bool {
        head::kind(beginning).is_some_and(Body::is_content)
    }

    /// Returns the frame's approximate size in bytes, in memory and on the wire.
    pub fn size(&self) -> usize {
        THING + self.body.size()
    }

    /// Decodes one frame, given without its length prefix.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        within(bytes.len() as u64, MAX_FRAME)?;
        let frame = head::decode(bytes)?;
        within(bytes.len() as u64, frame.body.max_length())?;
        frame.body.check()?;
        Ok(frame)
    }
}

/// Returns the length that a prefix announces. Fails if it is more than `limit` bytes.
pub fn announced_length(prefix: [u8; PREFIX], limit: usize) -> Result<usize, FrameError> {
    within(u32::from_be_bytes(prefix).into(), limit)
}

fn within(length: u64, limit: usize) -> Result<usize, FrameError> {
    match usize::try_from(length) {
        Ok(fits) if fits <= limit => Ok(fits),
        _ => Err(FrameError::TooLong { length, limit }),
    }
}

/// What is wrong with a frame; each variant says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FrameError {
    /// A type, or a kind of [`Query`], that this version does not know. If the frame is a
    /// question, answer [`Reason::Unknown`], otherwise ignore it; the link stays open.
    #[error("a frame of type {kind} says what this version does not know")]
    Unknown {
        /// The type, key 0.
        kind: u16,
        /// The request id, key 1.
        request: Option<RequestId>,
    },
    /// The bytes are not a frame. Close the link with this reason.
    #[error("malformed frame: {0}")]
    Malformed(String),
    /// The frame is too long. Close the link with this reason.
    #[error("a frame of {length} bytes is over the limit of {limit}")]
    TooLong {
        /// The frame's length in bytes.
        length: u64,
        /// The maximum length in bytes.
        limit: usize,
    },
}

impl FrameError {
    fn malformed(what: impl fmt::Display) -> Self {
        Self::Malformed(what.to_string())
    }
}

/// Refuses a list with more than `limit` elements.
fn at_most<T>(limit: usize, list: &[T], what: &str) -> Result<(), FrameError> {
    if list.len() > limit {
        return Err(FrameError::malformed(format_args!(
            "{} {what}, at most {limit} are allowed",
            list.len()
        )));
    }
    Ok(())
}

/// Refuses a text of more than `limit` bytes.
fn at_most_bytes(limit: usize, length: usize, what: &str) -> Result<(), FrameError> {
    if length > limit {
        return Err(FrameError::malformed(format_args!(
            "{what} of {length} bytes, at most {limit} are allowed"
        )));
    }
    Ok(())
}

/// Refuses an entry that cannot describe a file.
fn possible_entry(entry: &Entry) -> Result<(), FrameError> {
    if entry.partial && entry.root.is_none() {
        return Err(FrameError::malformed("a part of a file without its root"));
    }
    if entry.nanos >= SECOND {
        return Err(FrameError::malformed("a second or more beyond the second"));
    }
    entry.content().map_or(Ok(()), possible)
}

/// Refuses a content that no file can have.
fn possible(content: Content) -> Result<(), FrameError> {
    if (content.length == 0) != (content.root == Root::EMPTY) {
        return Err(FrameError::malformed(
            "a root of zeros and a length other than 0, or the other way round",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Body;

    #[test]
    fn the_page_lists_the_frames_there_are() {
        let page = include_str!("../../frames.md");
        let (_, types) = page.split_once("## The types").expect("the list of types");
        let rows = types.lines().filter_map(|line| line.strip_prefix("| "));
        let listed: Vec<(u16, &str)> = rows
            .filter_map(|row| {
                let (kind, rest) = row.split_once(" | ")?;
                Some((kind.parse().ok()?, rest.split(" |").next()?))
            })
            .take(Body::TYPES.len())
            .collect();
        assert_eq!(listed, Body::TYPES);
        for (kind, name) in Body::TYPES {
            assert!(
                page.contains(&format!("\n### {kind} {name}\n")),
                "{name} has no table"
            );
        }
    }
}

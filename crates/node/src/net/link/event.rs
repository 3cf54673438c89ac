//! The events of a link, and how a link ends.

use std::io;
use std::time::Duration;

use thiserror::Error;
use thorp_group::certificate::CertificateError;
use thorp_wire::{Frame, FrameError, RequestId};

/// How long the other side may go without reading.
pub(super) const STUCK: Duration = Duration::from_secs(30);

/// An event of a link.
#[derive(Debug)]
pub enum LinkEvent {
    /// A frame has arrived.
    Frame(Frame),
    /// A frame of a type that this version does not know: to be refused if it is a question,
    /// otherwise ignored.
    Unknown {
        /// The frame's type.
        kind: u16,
        /// The request id, if the frame is a question.
        request: Option<RequestId>,
    },
    /// The link will soon end, because a certificate that it was established with expires.
    Expiring,
    /// Bytes have arrived, but not yet a whole frame: a sign of life, sent at most once a second.
    Heard {
        /// How many of these bytes belong to a file's content. Each byte is counted in one event
        /// only.
        content: u32,
    },
    /// Few bytes of updates wait to be written, which was [awaited](super::LinkSender::await_room).
    Room,
    /// The other side reads: bytes of a long update were written. Sent at most once a second.
    Reads,
    /// The link has ended. This is its last event, but for [`Room`](Self::Room) and
    /// [`Reads`](Self::Reads), which may overtake others.
    Closed(LinkEnd),
}

/// Why a link has ended, ordered by what that says about the other side.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LinkEnd {
    /// This side closed the link.
    #[error("closed by this side")]
    Here,
    /// The other side closed the link.
    #[error("closed by the other side")]
    There,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// One side does not trust the other's certificate, or no longer does.
    #[error("{0}")]
    Certificate(CertificateError),
    /// A certificate expired while the link was up.
    #[error("the certificate it stood on has ended")]
    Expired,
    /// The other side sent something that is not a frame.
    #[error("{0}")]
    Malformed(FrameError),
    /// The other side does not read.
    #[error("the other side has read nothing for {} s", STUCK.as_secs())]
    Stuck,
    /// The other side reads too slowly.
    #[error("too much is queued for the other side")]
    Overflow,
}

pub(super) fn broken(error: &io::Error) -> LinkEnd {
    if let Some(why) = CertificateError::from_io(error) {
        return LinkEnd::Certificate(why);
    }
    match error.kind() {
        // The connection ended without TLS's close_notify, mostly because a process was killed.
        io::ErrorKind::UnexpectedEof => LinkEnd::There,
        _ => LinkEnd::Broken(error.to_string()),
    }
}

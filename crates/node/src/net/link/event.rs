//! What comes out of a link, and how it ends.

use std::io;
use std::time::Duration;

use thiserror::Error;
use thorp_group::certificate::CertificateError;
use thorp_wire::{Frame, FrameError, RequestId};

/// How long the other side may read nothing.
pub(super) const STUCK: Duration = Duration::from_secs(30);

/// What comes out of a link.
#[derive(Debug)]
pub enum LinkEvent {
    /// A frame.
    Frame(Frame),
    /// A frame of a type this version does not know: to be refused if it asked
    /// something, ignored otherwise.
    Unknown {
        /// Its type.
        kind: u16,
        /// Its question.
        request: Option<RequestId>,
    },
    /// It will end before long, with a certificate that it was made with.
    Expiring,
    /// Bytes, but not a whole frame yet: a sign of life, at most once a second.
    Heard {
        /// How many of them are a file's, and were not told of before.
        content: u32,
    },
    /// The end, and why. The last event of a link.
    Closed(LinkEnd),
}

/// Why a link has ended, sorted by what it says about the other side.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LinkEnd {
    /// We have closed it.
    #[error("closed by this side")]
    Here,
    /// The other side has closed it.
    #[error("closed by the other side")]
    There,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// One side does not trust the other's certificate (any more).
    #[error("{0}")]
    Certificate(CertificateError),
    /// A certificate has ended while the link was up.
    #[error("the certificate it stood on has ended")]
    Expired,
    /// The other side sent what is no frame.
    #[error("{0}")]
    Malformed(FrameError),
    /// The other side does not read.
    #[error("the other side has read nothing for {} s", STUCK.as_secs())]
    Stuck,
    /// The other side does not read fast enough.
    #[error("too much is queued for the other side")]
    Overflow,
}

pub(super) fn broken(error: &io::Error) -> LinkEnd {
    if let Some(why) = CertificateError::from_io(error) {
        return LinkEnd::Certificate(why);
    }
    match error.kind() {
        // Gone without TLS's goodbye: a process that was killed, mostly.
        io::ErrorKind::UnexpectedEof => LinkEnd::There,
        _ => LinkEnd::Broken(error.to_string()),
    }
}

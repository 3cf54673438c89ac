//! Sockets: listening, dialling, and what becomes of a connection.
//!
//! ```text
//! listener     one port: accepts connections and assigns them to services
//! dial         connects to a member
//! announcing   asks a BitTorrent tracker for clients, as a client
//! join         dials a tracker and asks it to make a key a member
//! face         announces and scrapes of ordinary BitTorrent clients
//! datagrams    many of them read and answered at once, each from the address that was asked
//! link         an authenticated stream as a queue of frames in both directions
//! addresses    host names, and this machine's addresses
//! read_ahead   a session's socket, read in larger parts than rustls asks for
//! pages        where in a page of memory bytes begin that are sent
//! descriptors  how many connections and files may be open
//! ```
//!
//! [`thorp_group::tls`] identifies the member at the other end.

pub mod addresses;
pub(crate) mod announcing;
pub(crate) mod datagrams;
pub mod descriptors;
pub mod dial;
pub mod face;
pub mod join;
pub(crate) mod link;
pub mod listener;
pub(crate) mod pages;
pub mod read_ahead;

#[cfg(test)]
pub(crate) mod testing;

use read_ahead::ReadAhead;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// How much a session reads from its socket at once: four records.
const READ_AT_ONCE: usize = 64 * 1024;
/// How much of what a session sends is encrypted before the system has taken it: 64 KiB of a
/// block and its head, which would be a record and a call of their own otherwise.
const ENCRYPTED_AT_ONCE: usize = 65 * 1024;

/// An authenticated connection to another member.
pub type MemberStream = TlsStream<ReadAhead<TcpStream>>;

/// How many bytes the system takes of a connection that it cannot send yet. What is said waits
/// behind them, and it is not known that the other end reads before they have gone.
const FEW_UNSENT: u32 = 64 * 1024;

/// Has the system take little of a connection that it cannot send yet.
pub(crate) fn keep_few_unsent(stream: &TcpStream) {
    if let Err(error) = SockRef::from(stream).set_tcp_notsent_lowat(FEW_UNSENT) {
        tracing::debug!(%error, "the system takes more of a connection than it can send");
    }
}

/// A connection that large files will go over.
pub(crate) fn for_files(mut stream: MemberStream) -> MemberStream {
    keep_few_unsent(stream.get_ref().0.get_ref());
    stream.get_mut().0.begin(READ_AT_ONCE);
    match &mut stream {
        TlsStream::Client(stream) => {
            let (_, connection) = stream.get_mut();
            connection.set_buffer_limit(Some(ENCRYPTED_AT_ONCE));
        }
        TlsStream::Server(stream) => {
            let (_, connection) = stream.get_mut();
            connection.set_buffer_limit(Some(ENCRYPTED_AT_ONCE));
        }
    }
    stream
}

/// The purpose of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A link, for frames.
    Link,
    /// A session, for a large file.
    Session,
}

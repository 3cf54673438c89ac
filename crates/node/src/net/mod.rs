//! Sockets: listening, dialling, and what becomes of a connection.
//!
//! ```text
//! listener     one port: accepts connections and assigns them to services
//! dial         connects to a member
//! announcing   asks a BitTorrent tracker for clients, as a client
//! join         dials a tracker and asks it to make a key a member
//! face         announces and scrapes of ordinary BitTorrent clients
//! link         an authenticated stream as a queue of frames in both directions
//! addresses    host names, and this machine's addresses
//! descriptors  how many connections and files may be open
//! ```
//!
//! [`thorp_group::tls`] identifies the member at the other end.

pub mod addresses;
pub(crate) mod announcing;
pub mod descriptors;
pub mod dial;
pub mod face;
pub mod join;
pub(crate) mod link;
pub mod listener;

#[cfg(test)]
pub(crate) mod testing;

use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// An authenticated connection to another member.
pub type MemberStream = TlsStream<TcpStream>;

/// The purpose of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A link, for frames.
    Link,
    /// A session, for a large file.
    Session,
}

//! Which machine is a member of a group, and how it becomes one.
//!
//! ```text
//! identity     this machine's key, and its membership in a group
//! authority    the group's own CA: which keys are members, and their names
//! record       the newest record of the group: which members were removed
//! backup       the group's hard state in one file
//! sightings    when the tracker last saw each member
//!
//! join         the conversation in which a machine becomes a member
//! invite       a line to paste: the tracker's addresses, its CA and a token
//! newcomers    how fast unknown machines may become members of an open group
//! renewal      certificates that are renewed while a node runs
//!
//! certificate  what a verified certificate says, and why one is not trusted
//! tls          rustls configurations of these certificates
//!
//! state        a directory that one process at a time owns
//! address      addresses as users write them
//! clock        the monotonic clock and the wall clock
//! testing      a group to test with
//! ```
//!
//! No module here opens a socket: `thorp-node` provides the streams.

pub mod address;
pub mod authority;
pub mod backup;
pub mod certificate;
pub mod clock;
pub mod identity;
pub mod invite;
pub mod join;
mod newcomers;
pub mod record;
pub mod renewal;
pub mod sightings;
pub mod state;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tls;

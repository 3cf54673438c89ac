//! Which machine is a member of a group, and how it becomes one.
//!
//! ```text
//! identity     this machine's key, and its membership in a group
//! authority    the group's own CA: which keys are members, and their names
//! record       the newest record of the group: which members were removed
//! backup       the group's hard state in one file
//! sightings    when the tracker saw each member last
//!
//! join         the conversation in which a machine becomes a member
//! invite       a line to paste: where the tracker is, whose CA, which token
//! newcomers    how fast strangers may become members of an open group
//! renewal      certificates that are renewed while a node runs
//!
//! certificate  what a verified one says, and why one is not believed
//! tls          certificates into rustls configurations
//!
//! state        a directory that one process at a time owns
//! address      addresses as people write them
//! clock        what time it is
//! testing      a group to test with
//! ```
//!
//! Nothing here has a socket: streams are handed in, by `thorp-node`.

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

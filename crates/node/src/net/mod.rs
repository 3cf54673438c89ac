//! Sockets: listening, dialling, and what a connection becomes.
//!
//! ```text
//! listener     one port: what arrives, and which service it is for
//! dial         the same from the other end
//! join         a tracker dialled, and asked to make a key a member
//! link         an authenticated stream as a queue of frames, both ways
//! addresses    names looked up, and where this machine can be reached
//! descriptors  how many connections and files may be open
//! ```
//!
//! Who is at the other end is read in [`thorp_group::tls`].

pub mod addresses;
pub mod descriptors;
pub mod dial;
pub mod join;
pub(crate) mod link;
pub mod listener;

#[cfg(test)]
pub(crate) mod testing;

/// What a member wants with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A link: frames.
    Link,
    /// A session: a large file.
    Session,
}

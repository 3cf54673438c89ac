//! Sockets, disk and clock around the pure machines: a running peer or tracker.
//!
//! ```text
//! state      a directory that one process at a time owns
//! config     what may be tuned, and where a value came from
//! clock      what time it is
//!
//! identity   this machine's key, and its membership in a group
//! authority  the group's own CA: who is a member, and under which name
//! invite     a line to paste: where the tracker is, whose CA, which token
//! tls        certificates into rustls configurations, and back into members
//!
//! listener   one port: what arrives, and which service it is for
//! dial       the same from the other end
//! join       how a key becomes a member
//! link       an authenticated stream as a queue of frames, both ways
//! addresses  where a machine can be reached
//!
//! api        what a person can ask of a running node
//! ```
//!
//! Nothing here decides what to say to whom: that is `thorp-core`.

pub mod addresses;
pub mod api;
pub mod authority;
pub mod clock;
pub mod config;
pub mod dial;
pub mod identity;
pub mod invite;
pub mod join;
pub mod link;
pub mod listener;
pub mod state;
pub mod tls;

#[cfg(test)]
mod village;

//! Sockets, disk and clock around the pure machines: a running peer or tracker.
//!
//! ```text
//! launch     a node put together from its state directory
//! peer       a running peer: the machine's shell, and what a person asks of it
//! tracker    a running tracker: the machine's shell, and its two tables
//! local      the socket by which other processes of this machine ask a node
//! api        what a person can ask of a running node
//! rows       the machines' values in the words of the interface
//!
//! share      the directory a peer offers: scanned, watched, hashed, served
//! store      where fetched files arrive
//! disk       small pieces of work for it, done by few threads
//! swarm      large files: sessions, and the transfers they are about
//! stamp      how a file is told from what it was before
//!
//! listener   one port: what arrives, and which service it is for
//! dial       the same from the other end
//! join       how a key becomes a member
//! newcomers  how fast strangers may become members of an open group
//! link       an authenticated stream as a queue of frames, both ways
//! addresses  where a machine can be reached
//! descriptors  how many connections and files may be open
//!
//! identity   this machine's key, and its membership in a group
//! authority  the group's own CA: who is a member, and under which name
//! backup     the group's hard state in one file
//! invite     a line to paste: where the tracker is, whose CA, which token
//! certificate  what one says once it is verified, and why one is not
//! renewal    certificates that are renewed while a node runs
//! record     who is no member any more: the newest record of the group
//! tls        certificates into rustls configurations
//!
//! state      a directory that one process at a time owns
//! config     what may be tuned, and where a value came from
//! clock      what time it is
//! system     the time, a wait and a seed, as a machine is handed them
//! units      bytes as people read them
//! ```
//!
//! Nothing here decides what to say to whom: that is `thorp-core`.

pub mod addresses;
pub mod api;
pub mod authority;
pub mod backup;
pub mod certificate;
pub mod clock;
pub mod config;
pub mod descriptors;
pub mod dial;
mod disk;
pub mod identity;
pub mod invite;
pub mod join;
pub mod launch;
pub mod link;
pub mod listener;
pub mod local;
mod newcomers;
pub mod peer;
pub mod record;
pub mod renewal;
mod rows;
pub mod share;
pub mod stamp;
pub mod state;
pub mod store;
mod swarm;
mod system;
pub mod tls;
pub mod tracker;
pub mod units;

pub use thorp_wire::{MemberName, printable};

#[cfg(test)]
mod village;

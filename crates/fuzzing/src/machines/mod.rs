//! Sequences of inputs to the pure machines, as a shell may give them.
//!
//! What a shell promises is kept: a number names one link or session only, a block
//! is written once it was claimed. All else is up to the bytes: members say any frame
//! that can be read, at any time.

mod announces;
mod clients;
mod nodes;
mod swarm;
mod swarms;
mod torrent;
mod torrent_fetch;

pub(crate) use announces::announces;
pub(crate) use clients::clients;
pub(crate) use nodes::{peer, tracker};
pub(crate) use swarm::swarm;
pub(crate) use swarms::swarms;
pub(crate) use torrent::torrent_swarm;
pub(crate) use torrent_fetch::torrent_fetch;

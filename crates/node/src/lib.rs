//! Sockets around the pure machines: a running peer or tracker.
//!
//! ```text
//! launch     a node put together from its state directory
//! drive      the shell around the machines of a running peer or tracker
//! sessions   large files: sessions, and the transfers they are about
//! net        listening, dialling, and what a connection becomes
//!
//! local      the socket by which other processes of this machine ask a node
//! api        what a user can ask of a running node
//! log        what a node without a terminal says, in its state directory
//! codes      what its parts could not do, as codes of the api
//! snapshot   what a node shows of itself, a page at a time
//! rows       the machines' values in the words of the interface
//!
//! config     what may be tuned, and where a value came from
//! page       whether a node has a page, and where the program serves it
//! process    whether another process of this machine can answer at all
//! system     the time, a wait and a seed, as a machine is handed them
//! waiting    what may not be there is waited for
//! ```
//!
//! Nothing here decides which member is told what: that is `thorp-core`. Which
//! machines are members is `thorp-group`'s, what is on the disk `thorp-files`'.

pub mod api;
mod codes;
pub mod config;
mod drive;
pub mod launch;
pub mod local;
pub mod log;
pub mod net;
pub mod page;
mod process;
mod rows;
mod sessions;
pub mod snapshot;
mod system;
mod waiting;

pub use drive::{peer, tracker};
pub use thorp_core::matching::{all_beneath, looks_like_a_pattern};
pub use thorp_core::words::Words;
// What the program needs from below.
pub use thorp_files::{leftovers, share};
pub use thorp_group::{address, backup, certificate, clock, identity, invite, join, state};
pub use thorp_wire::{MemberName, Name, printable, reserved, torrent};
pub use waiting::if_any;

//! Files on this machine's disk: those on offer, and those that arrive.
//!
//! ```text
//! share  the directory a peer offers: scanned, watched, hashed, served
//! store  where fetched files arrive
//! stamp  how a change of a file is noticed
//! disk   small pieces of work for it, done by few threads
//! ```
//!
//! Nothing here has a socket, or knows which peer asks for a file.

pub mod disk;
pub mod share;
pub mod stamp;
pub mod store;

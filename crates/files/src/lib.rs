//! Files on this machine's disk: those on offer, and those that arrive.
//!
//! ```text
//! share  the directory a peer offers: scanned, watched, hashed, served
//! store  where fetched files arrive
//! leftovers  what interrupted fetches have left
//! room   how much a disk takes yet
//! stamp  how a change of a file is noticed
//! attributes  what a file is given besides its bytes
//! holes  zeros that were never written
//! ```
//!
//! Nothing here has a socket, or knows which peer asks for a file.

mod attributes;
mod holes;
pub mod leftovers;
pub mod room;
pub mod share;
pub mod stamp;
pub mod store;

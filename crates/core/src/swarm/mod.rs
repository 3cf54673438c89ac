//! One file and everybody who has it or wants it.
//!
//! Owns what is had of the file and from whom to ask which bytes next; one
//! machine for whoever fetches, whoever serves, and whoever does both. The bytes
//! never come by here: the shell moves them between connection and disk, and
//! says which have arrived and how they hashed.

mod io;

pub use io::{Config, Have, Input, Limits, Offer, Output, Progress, SessionId, Why};

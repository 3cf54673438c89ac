//! Attacks that take minutes, by members with real keys that say their frames by hand,
//! on the real program; what becomes of those who mean well is measured.
//!
//! `.ci/attacks` plays them, one at a time, with a release build, as root for hosts of
//! their own, and writes docs/attacks.md.
//!
//! ```text
//! figures    what is measured, and whether its bound held
//! scene      an open group on hosts of its own; a visitor that fetches
//! listings   names that fill memory
//! questions  patterns, and listings in turn, that fill a tracker's time
//! bytes      places for sessions, and contents that are not read
//! doors      connections of strangers
//! village    twelve peers, and two members that do all of it
//! ```

mod bytes;
mod doors;
mod figures;
mod listings;
mod questions;
mod scene;
mod village;

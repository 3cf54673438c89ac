//! Several nodes in one process, on loopback, through the public interface.
//!
//! ```text
//! support   a village to test with: its tracker, its peers, and waiting for things
//! mallory   a member that says whatever a test wants it to say
//! teller    its end of a session
//!
//! works     what people do, and what they get
//! counting  how many messages it takes
//! large     files in pieces: from one, from many, after an interruption
//! liars     the same from members that lie, stall or say nothing
//! changing  files that are written to in ways that show late
//! disk      what becomes of them when the disk under them changes
//! bad       members that lie, flood, stall or talk nonsense
//! clocks    what is said where two clocks do not agree
//! shown     what a node shows of itself, in its process and over its socket
//! standing  being a member, and being one no longer
//! replay    what the simulator says of a village, beside real nodes
//! comings   starting, stopping, being killed, falling silent
//! ```
//!
//! Nothing here sleeps: everything waited for is an event, with a deadline that
//! is far beyond what it takes.

mod bad;
mod changing;
mod clocks;
mod comings;
mod counting;
mod disk;
mod large;
mod liars;
mod mallory;
mod replay;
mod shown;
mod standing;
mod support;
mod teller;
mod works;

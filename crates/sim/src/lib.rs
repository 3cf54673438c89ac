//! A village in virtual time: hundreds or thousands of peers and a tracker, which
//! decide with the program's own `core` and say it with its own `wire`, in one thread.
//!
//! ```text
//! workload   who is online when, and who asks for what: made from settings and a seed
//! trace      the same, recorded: every arm of a comparison plays the same one
//! recorded   the same as a text file
//! village    machines, links and what is on its way between them: the loop
//! host       one machine: its peer or tracker, and a pretended disk
//! network    where machines are, how long bytes take, what a frame costs on the wire
//! truth      what is really there, whatever a machine believes; the oracles' answers
//! oracle     what the best neighbours could have been worth
//! laws       what must be true in every run
//! traffic    what was sent: by which machine, of which kind, in which hour
//! arm        what is compared: the program's settings, and others' ways
//! run        one trace played in one arm, and what it came to
//! report     many runs, as tables and plots
//! scenario   disturbances, put into a trace
//! crowd      many peers that want one large file: swarms, and no village
//! chance     the distributions that a workload draws from
//! ```
//!
//! It invents no decision: what a node says, keeps and forgets is `core`'s. What
//! the shell does there (open connections, move bytes, look at a disk) is pretended
//! here, with a delay. The same seed gives the same run, to the last event.

pub mod arm;
mod chance;
pub mod crowd;
mod host;
mod laws;
mod network;
mod oracle;
pub mod recorded;
pub mod report;
pub mod run;
pub mod scenario;
pub mod trace;
mod traffic;
mod truth;
mod village;
pub mod workload;

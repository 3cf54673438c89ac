//! Swarms as a whole: many machines in one world.

#![expect(clippy::cast_precision_loss, reason = "figures to be compared")]

mod crowd;
mod invariants;
mod trouble;
mod world;

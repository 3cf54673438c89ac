//! Swarms as a whole: many machines in one world.

mod crowd;
mod invariants;
mod trouble;
mod world;

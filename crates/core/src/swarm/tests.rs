//! Tests of whole swarms: many machines in one simulated network.

#![expect(clippy::cast_precision_loss, reason = "figures to be compared")]

mod cancelled;
mod clients;
mod costs;
mod crowd;
mod reading;
mod sparse;
mod torrent;
mod trouble;
mod world;

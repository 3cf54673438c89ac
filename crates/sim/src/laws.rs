//! What must be true in every run, whatever happens in it. A law that is broken is
//! written down with the time; the run fails with the seed that replays it.

use std::time::Duration;

use thorp_core::time::Instant;
use thorp_wire::frame::Found;

use crate::network::node_of;
use crate::trace::{FileId, Machine};
use crate::truth::Truth;

/// How many broken laws are written down.
const MOST: usize = 20;

/// The laws, and how they were broken.
#[derive(Debug)]
pub struct Laws {
    /// After this long without a sign of life no machine is named as a holder.
    forgotten_after: Duration,
    broken: Vec<String>,
}

impl Laws {
    pub fn new(forgotten_after: Duration) -> Self {
        Self {
            forgotten_after,
            broken: Vec::new(),
        }
    }

    /// How laws were broken, if they were.
    pub fn broken(&self) -> &[String] {
        &self.broken
    }

    /// Nothing is found at a machine that is gone for longer than the forgetting
    /// time.
    pub fn on_found(&mut self, now: Instant, found: &Found, truth: &Truth) {
        let in_variants = found.variants.iter().flat_map(|variant| &variant.holders);
        let in_tables = found.told.iter().flat_map(|told| &told.holders);
        for holder in in_variants.chain(in_tables) {
            let Some(machine) = machine_of(node_of(holder.id)) else {
                continue;
            };
            if let Some(since) = truth.gone_since(machine)
                && now - since > self.forgotten_after
            {
                let gone = now - since;
                let what =
                    format!("a file is said to be at {machine:?}, which is gone for {gone:?}");
                self.break_one(now, &what);
            }
        }
    }

    /// What a user is told of has the name that was asked for, even if it is forged, and
    /// its bytes are those on the disk.
    pub fn on_fetched(&mut self, now: Instant, asked: FileId, told: FileId, bytes: Option<FileId>) {
        if told.honest() != asked || bytes != Some(told) {
            let what = format!("{bytes:?} is kept as {told:?} for one who wants {asked:?}");
            self.break_one(now, &what);
        }
    }

    /// The tracker knows who is there and what they have, soon after a disturbance.
    pub fn on_disagreement(&mut self, now: Instant, what: &str) {
        self.break_one(now, what);
    }

    fn break_one(&mut self, now: Instant, what: &str) {
        if self.broken.len() < MOST {
            let at = now - Instant::default();
            self.broken.push(format!("after {at:?}: {what}"));
        }
    }
}

fn machine_of(node: Option<usize>) -> Option<Machine> {
    let machine = node?.checked_sub(1)?;
    u32::try_from(machine).ok().map(Machine)
}

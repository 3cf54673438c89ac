//! Small numbers for peers, which the indices name them by.

use std::collections::BTreeSet;

use thorp_wire::PeerId;

/// Names one peer within the indices.
pub(super) type Slot = u32;

/// Gives out small numbers for peers, the lowest free one first.
#[derive(Debug, Default)]
pub(super) struct Slots {
    peers: Vec<PeerId>,
    free: BTreeSet<Slot>,
}

impl Slots {
    pub(super) fn take(&mut self, peer: PeerId) -> Slot {
        if let Some(slot) = self.free.pop_first() {
            self.peers[slot as usize] = peer;
            return slot;
        }
        self.peers.push(peer);
        Slot::try_from(self.peers.len() - 1).expect("fewer peers than 2^32")
    }

    pub(super) fn release(&mut self, slot: Slot) {
        self.free.insert(slot);
    }

    pub(super) fn peer(&self, slot: Slot) -> PeerId {
        self.peers[slot as usize]
    }
}

//! The readers of a file that is on its way, and how each is told to go on.

use std::collections::BTreeMap;
use std::sync::Arc;

use thorp_core::swarm::ReaderId;
use tokio::sync::Notify;

/// See the module.
#[derive(Default)]
pub(super) struct Readers {
    last: u64,
    all: BTreeMap<ReaderId, Arc<Notify>>,
}

impl Readers {
    pub fn add(&mut self, ready: Arc<Notify>) -> ReaderId {
        self.last += 1;
        let reader = ReaderId(self.last);
        self.all.insert(reader, ready);
        reader
    }

    pub fn remove(&mut self, reader: ReaderId) {
        self.all.remove(&reader);
    }

    /// A reader can go on.
    pub fn wake(&self, reader: ReaderId) {
        if let Some(ready) = self.all.get(&reader) {
            ready.notify_one();
        }
    }

    /// Nothing more will come.
    pub fn wake_all(&self) {
        for ready in self.all.values() {
            ready.notify_one();
        }
    }
}

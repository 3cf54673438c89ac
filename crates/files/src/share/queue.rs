//! The files to be hashed, in the order in which they are hashed.
//!
//! Small files come first, so that most names get their roots soon and one film does not hold up
//! ten thousand letters. A file that a caller waits for comes before all others: even a thread
//! that is reading a large file checks for it between two reads.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};

use thiserror::Error;
use thorp_wire::{Entry, Name};
use tokio::sync::oneshot;

use super::locks::lock;

/// Why a file gets no root.
#[derive(Debug, Error)]
pub enum HashError {
    /// The file is no longer in the share.
    #[error("{} is no longer in the share", name.as_str().escape_debug())]
    Gone {
        /// The file's name.
        name: Name,
    },
    /// The file changed while it was read. It is hashed again once it no longer changes.
    #[error("{} is being written to: try again when that has ended", name.as_str().escape_debug())]
    Changed {
        /// The file's name.
        name: Name,
    },
    /// The file cannot be read.
    #[error("{} cannot be read ({reason}): check its permissions", name.as_str().escape_debug())]
    Unreadable {
        /// The file's name.
        name: Name,
        /// The system's error.
        reason: String,
    },
    /// The disk does not give it now. It is hashed again a little later.
    #[error("{} cannot be read now ({reason}): try again", name.as_str().escape_debug())]
    NotNow {
        /// The file's name.
        name: Name,
        /// The system's error.
        reason: String,
    },
    /// The share was closed meanwhile.
    #[error("the share has been closed")]
    Closed,
}

/// The files to be hashed.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    bell: Condvar,
    /// Bytes read so far of the files that are being hashed.
    pub under_way: AtomicU64,
}

#[derive(Default)]
struct State {
    urgent: VecDeque<Name>,
    /// Ordered by length, then by name.
    waiting: BTreeSet<(u64, Name)>,
    /// The files that a thread is reading, each with the number of bytes read.
    busy: BTreeMap<Name, u64>,
    asked: BTreeMap<Name, Vec<Answer>>,
    stopped: bool,
}

type Answer = oneshot::Sender<Result<Entry, HashError>>;

impl Queue {
    /// Adds a file, to be hashed in its turn.
    pub fn push(&self, name: Name, length: u64) {
        lock(&self.state).waiting.insert((length, name));
        self.bell.notify_one();
    }

    /// Adds many files.
    pub fn extend(&self, files: Vec<(Name, u64)>) {
        let files = files.into_iter().map(|(name, length)| (length, name));
        lock(&self.state).waiting.extend(files);
        self.bell.notify_all();
    }

    /// Removes a file for now, because it is being written to.
    pub fn withdraw(&self, name: &Name, length: u64) {
        lock(&self.state).waiting.remove(&(length, name.clone()));
    }

    /// Has a file hashed before all others.
    pub fn ask(&self, name: &Name) -> oneshot::Receiver<Result<Entry, HashError>> {
        let (answer, receiver) = oneshot::channel();
        let mut state = lock(&self.state);
        if !state.stopped {
            let asked = state.asked.entry(name.clone()).or_default();
            asked.push(answer);
            if asked.len() == 1 && !state.busy.contains_key(name) {
                state.urgent.push_back(name.clone());
            }
        }
        drop(state);
        self.bell.notify_one();
        receiver
    }

    /// Whether a caller waits for this file.
    pub fn is_awaited(&self, name: &Name) -> bool {
        lock(&self.state).asked.contains_key(name)
    }

    /// Ends the threads, each after at most one more read.
    pub fn stop(&self) {
        let mut state = lock(&self.state);
        state.stopped = true;
        state.asked.clear();
        self.bell.notify_all();
    }

    /// Returns the bytes read so far of the files that are being hashed.
    pub fn under_way(&self) -> u64 {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Returns the bytes read so far of this file; 0 while it waits.
    pub fn read_of(&self, name: &Name) -> u64 {
        lock(&self.state).busy.get(name).copied().unwrap_or(0)
    }

    pub fn on_read(&self, name: &Name, bytes: u64) {
        if let Some(read) = lock(&self.state).busy.get_mut(name) {
            *read = bytes;
        }
    }

    pub fn stopped(&self) -> bool {
        lock(&self.state).stopped
    }

    /// Waits for the next file. `None` means that the queue was stopped.
    pub fn next(&self) -> Option<Name> {
        let mut state = lock(&self.state);
        loop {
            if state.stopped {
                return None;
            }
            if let Some(name) = state.take_urgent().or_else(|| state.take_waiting()) {
                return Some(name);
            }
            state = self
                .bell
                .wait(state)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    pub fn next_urgent(&self) -> Option<Name> {
        lock(&self.state).take_urgent()
    }

    pub fn done(&self, name: &Name, mut answer: impl FnMut() -> Result<Entry, HashError>) {
        let mut state = lock(&self.state);
        state.busy.remove(name);
        let asked = state.asked.remove(name).unwrap_or_default();
        drop(state);
        self.bell.notify_one();
        for waiting in asked {
            // The caller may have gone; the root is known all the same.
            let _ = waiting.send(answer());
        }
    }
}

impl State {
    fn take_urgent(&mut self) -> Option<Name> {
        while let Some(name) = self.urgent.pop_front() {
            if self.busy.insert(name.clone(), 0).is_none() {
                return Some(name);
            }
        }
        None
    }

    /// Takes the next waiting file that no thread is reading. If a file waits again while it is
    /// read, it has changed meanwhile, and stays in the queue.
    fn take_waiting(&mut self) -> Option<Name> {
        let next = self
            .waiting
            .iter()
            .find(|(_, name)| !self.busy.contains_key(name))?
            .clone();
        self.waiting.remove(&next);
        self.busy.insert(next.1.clone(), 0);
        Some(next.1)
    }
}

#[cfg(test)]
mod tests;

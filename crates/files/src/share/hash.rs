//! Roots: computed in the background, those asked for first.
//!
//! Owns the queue of files to hash, the threads that work on it, and the rule
//! that a file which changes under the reader's eyes gets no root. What a
//! change leads to is decided in `keeper`.
//!
//! Small files come first: most names get their roots soonest, and one film
//! does not hold up ten thousand letters. A file somebody waits for comes
//! before all others, even in the middle of one: a thread that reads a large
//! file looks up between two reads.
//!
//! What was hashed before comes here only if `cache` does not know it; what is
//! hashed is told there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;
use rustix::io::Errno;
use thiserror::Error;
use thorp_wire::merkle::{Hash, LayerHasher};
use thorp_wire::{Content, Entry, Name};
use tokio::sync::oneshot;

use super::{Shared, lock, read, write};
use crate::stamp::{Stamp, TICK};

/// Large enough that a read costs nothing beside its hash, small enough to
/// stay in the processor's cache.
const BUFFER: usize = 256 * 1024;

/// Why a file that was asked for has no root.
#[derive(Debug, Error)]
pub enum HashError {
    /// There is no such file in the share.
    #[error("{} is no longer in the share", name.as_str().escape_debug())]
    Gone {
        /// Which one.
        name: Name,
    },
    /// It changed while it was read; it is hashed again once it is at rest.
    #[error("{} is being written to: try again when that has ended", name.as_str().escape_debug())]
    Changed {
        /// Which one.
        name: Name,
    },
    /// It cannot be read.
    #[error("{} cannot be read ({reason}): check its permissions", name.as_str().escape_debug())]
    Unreadable {
        /// Which one.
        name: Name,
        /// What the system says.
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
    /// Bytes read so far of the files that are being read now.
    under_way: AtomicU64,
}

#[derive(Default)]
struct State {
    urgent: VecDeque<Name>,
    /// By length, then name.
    waiting: BTreeSet<(u64, Name)>,
    /// Being read by one of the threads, and how far it is.
    busy: BTreeMap<Name, u64>,
    asked: BTreeMap<Name, Vec<Answer>>,
    stopped: bool,
}

type Answer = oneshot::Sender<Result<Entry, HashError>>;

impl Queue {
    /// To be hashed when its turn comes.
    pub fn push(&self, name: Name, length: u64) {
        lock(&self.state).waiting.insert((length, name));
        self.bell.notify_one();
    }

    /// Many of them.
    pub fn extend(&self, files: Vec<(Name, u64)>) {
        let files = files.into_iter().map(|(name, length)| (length, name));
        lock(&self.state).waiting.extend(files);
        self.bell.notify_all();
    }

    /// Not to be hashed for now: it is being written to.
    pub fn withdraw(&self, name: &Name, length: u64) {
        lock(&self.state).waiting.remove(&(length, name.clone()));
    }

    /// To be hashed at once.
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

    /// Lets the threads end, after at most one more read each.
    pub fn stop(&self) {
        let mut state = lock(&self.state);
        state.stopped = true;
        state.asked.clear();
        self.bell.notify_all();
    }

    /// Bytes read so far of the files that are being read now.
    pub fn under_way(&self) -> u64 {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Bytes read so far of this file: none, while it waits.
    pub fn read_of(&self, name: &Name) -> u64 {
        lock(&self.state).busy.get(name).copied().unwrap_or(0)
    }

    fn has_read(&self, name: &Name, bytes: u64) {
        if let Some(read) = lock(&self.state).busy.get_mut(name) {
            *read = bytes;
        }
    }

    fn stopped(&self) -> bool {
        lock(&self.state).stopped
    }

    /// The next file; waits for one. `None` means stop.
    fn next(&self) -> Option<Name> {
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

    fn next_urgent(&self) -> Option<Name> {
        lock(&self.state).take_urgent()
    }

    fn done(&self, name: &Name, mut answer: impl FnMut() -> Result<Entry, HashError>) {
        let mut state = lock(&self.state);
        state.busy.remove(name);
        let asked = state.asked.remove(name).unwrap_or_default();
        drop(state);
        self.bell.notify_one();
        for waiting in asked {
            // Whoever asked may have gone; the root is known all the same.
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

    /// What is being read and waits again has changed meanwhile: it stays.
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

/// Starts the threads: two, or one where there is one core. More would only
/// take the disk and the processor from those who are fetching.
pub(super) fn start(shared: &Arc<Shared>) -> io::Result<()> {
    let threads = thread::available_parallelism().map_or(1, |cores| cores.get().min(2));
    for number in 0..threads {
        let shared = Arc::clone(shared);
        thread::Builder::new()
            .name(format!("thorp-hash-{number}"))
            .spawn(move || work(&shared))?;
    }
    Ok(())
}

fn work(shared: &Shared) {
    let mut buffer = vec![0; BUFFER];
    let mut second = Vec::new();
    while let Some(name) = shared.queue.next() {
        hash_one(shared, &name, &mut buffer, &mut |_| {
            while let Some(urgent) = shared.queue.next_urgent() {
                second.resize(BUFFER, 0);
                hash_one(shared, &urgent, &mut second, &mut |_| {
                    !shared.queue.stopped()
                });
            }
            !shared.queue.stopped()
        });
    }
}

/// Hashes one file and settles what follows from it.
fn hash_one(shared: &Shared, name: &Name, buffer: &mut [u8], go_on: &mut dyn FnMut(u64) -> bool) {
    let Some(record) = read(&shared.index).record(name) else {
        return shared
            .queue
            .done(name, || Err(HashError::Gone { name: name.clone() }));
    };
    if record.root.is_none() {
        let mut counted = 0;
        shared.opened.fetch_add(1, Ordering::Relaxed);
        let read = hash_file(&shared.dir, name, buffer, &mut |bytes| {
            shared
                .queue
                .under_way
                .fetch_add(bytes - counted, Ordering::Relaxed);
            counted = bytes;
            shared.queue.has_read(name, bytes);
            go_on(bytes)
        });
        shared.queue.under_way.fetch_sub(counted, Ordering::Relaxed);
        if let Err(error) = shared.take_hashed(name, read) {
            return shared.queue.done(name, || Err(error.again()));
        }
    }
    shared.queue.done(name, || {
        let entry = read(&shared.index).entry(name);
        entry.ok_or_else(|| HashError::Gone { name: name.clone() })
    });
}

impl Shared {
    /// Puts the outcome of reading a file where it belongs.
    fn take_hashed(&self, name: &Name, outcome: Outcome) -> Result<(), HashError> {
        match outcome {
            Outcome::Read(stamp, content, layer) => {
                if write(&self.index).hashed(name, stamp, content.root) {
                    self.remembered(self.cache.keep(name, &stamp, content.root, &layer));
                    self.inbox.poke();
                    return Ok(());
                }
                // Not the file that is listed: it is looked at anew.
                self.inbox.changed(name);
                Err(HashError::Changed { name: name.clone() })
            }
            Outcome::Failed(error) if passes(&error) => {
                self.inbox.changed(name);
                let reason = error.to_string();
                Err(HashError::Unreadable {
                    name: name.clone(),
                    reason,
                })
            }
            Outcome::Changed => {
                self.inbox.changed(name);
                Err(HashError::Changed { name: name.clone() })
            }
            Outcome::Gone => {
                self.inbox.changed(name);
                Err(HashError::Gone { name: name.clone() })
            }
            Outcome::Failed(error) => {
                let reason = error.to_string();
                write(&self.index).unreadable(name);
                self.inbox.unreadable(name, &reason);
                Err(HashError::Unreadable {
                    name: name.clone(),
                    reason,
                })
            }
            Outcome::Stopped => Err(HashError::Closed),
        }
    }
}

impl HashError {
    /// The same for one more who asked.
    fn again(&self) -> Self {
        match self {
            Self::Gone { name } => Self::Gone { name: name.clone() },
            Self::Changed { name } => Self::Changed { name: name.clone() },
            Self::Unreadable { name, reason } => Self::Unreadable {
                name: name.clone(),
                reason: reason.clone(),
            },
            Self::Closed => Self::Closed,
        }
    }
}

/// Whether this says something about the machine now and nothing about the file.
fn passes(error: &io::Error) -> bool {
    let busy = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN];
    Errno::from_io_error(error).is_some_and(|errno| busy.contains(&errno))
}

/// What came of reading a file from end to end.
#[derive(Debug)]
enum Outcome {
    /// Its content and the hashes of its pieces, while it had this stamp.
    Read(Stamp, Content, Vec<Hash>),
    Changed,
    Gone,
    Failed(io::Error),
    Stopped,
}

/// Reads a file from end to end; `go_on` is told after each read how many bytes
/// that were so far.
fn hash_file(
    dir: &Dir,
    name: &Name,
    buffer: &mut [u8],
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Outcome {
    let outcome = open(dir, name).and_then(|mut file| {
        let stamp = Stamp::of(&file)?;
        let_the_clock_tick(&stamp);
        let mut hasher = LayerHasher::new(stamp.length);
        loop {
            let read = match file.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if read == 0 {
                break;
            }
            if !hasher.update(&buffer[..read]) {
                return Ok(Outcome::Changed);
            }
            if !go_on(hasher.length()) {
                return Ok(Outcome::Stopped);
            }
            // Here and not only at the end, so that a file which grows for an
            // hour is not read for an hour in vain.
            if Stamp::of(&file)? != stamp {
                return Ok(Outcome::Changed);
            }
        }
        match hasher.finish() {
            Some((content, layer)) if Stamp::of(&file)? == stamp => {
                Ok(Outcome::Read(stamp, content, layer))
            }
            _ => Ok(Outcome::Changed),
        }
    });
    outcome.unwrap_or_else(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Outcome::Gone,
        _ => Outcome::Failed(error),
    })
}

/// Opens a file beneath the share. Not blocking: it may have become a pipe.
pub(super) fn open(dir: &Dir, name: &Name) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let file = dir.open_with(name.as_str(), &options)?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(file)
}

/// Waits until a further change would bear another time than the last one.
fn let_the_clock_tick(stamp: &Stamp) {
    let changed = u64::try_from(stamp.ctime).unwrap_or(0);
    let age = SystemTime::now()
        .duration_since(UNIX_EPOCH + Duration::from_nanos(changed))
        .unwrap_or(TICK);
    if age < TICK {
        thread::sleep(TICK.saturating_sub(age));
    }
}

#[cfg(test)]
mod tests;

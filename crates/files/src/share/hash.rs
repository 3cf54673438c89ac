//! Computes roots in the background.
//!
//! This module owns the threads that work on the queue, and the rule that a file which changes
//! while it is read gets no root; but if a caller waits for it, it gets the root of what was
//! read: a log may never be at rest, and each piece of what is served is proven. `keeper`
//! decides what follows from a change.
//!
//! A file that was hashed before comes here only if `cache` does not know it. Every new root is
//! written to `cache`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;
use thorp_wire::layout::Layout;
use thorp_wire::merkle::{Hash, LayerHasher};
use thorp_wire::torrent::PieceHasher;
use thorp_wire::{Content, Name};

use super::errors::{passes, says_no};
use super::locks::{read, write};
use super::queue::HashError;
use super::shared::Shared;
use crate::holes::{self, Run};
use crate::stamp::{Stamp, TICK};

/// Large enough that a read costs little compared with its hash, small enough to stay in the
/// processor's cache.
const BUFFER: usize = 512 * 1024;

/// Starts two threads, or one if there is only one core. More would only take the disk and the
/// processor away from fetches.
pub(super) fn start(shared: &Arc<Shared>) -> io::Result<()> {
    let threads = thread::available_parallelism().map_or(1, |cores| cores.get().min(2));
    for number in 0..threads {
        let shared = Arc::clone(shared);
        thorp_disk::spawn_thread(format!("thorp-hash-{number}"), move |_| work(&shared))?;
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

/// Hashes one file and records the result.
fn hash_one(shared: &Shared, name: &Name, buffer: &mut [u8], go_on: &mut dyn FnMut(u64) -> bool) {
    let Some(record) = read(&shared.index).record(name) else {
        return shared
            .queue
            .done(name, || Err(HashError::Gone { name: name.clone() }));
    };
    let wanted = shared.wants_v1(name, record);
    if record.root.is_none() || wanted {
        let mut counted = 0;
        shared.opened.fetch_add(1, Ordering::Relaxed);
        let is_awaited = || shared.queue.is_awaited(name);
        let read = hash_file(
            &shared.dir,
            name,
            buffer,
            wanted,
            &is_awaited,
            &mut |bytes| {
                shared
                    .queue
                    .under_way
                    .fetch_add(bytes - counted, Ordering::Relaxed);
                counted = bytes;
                shared.queue.on_read(name, bytes);
                go_on(bytes)
            },
        );
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
    /// Records the result of reading a file.
    fn take_hashed(&self, name: &Name, outcome: Outcome) -> Result<(), HashError> {
        match outcome {
            Outcome::Read(stamp, content, layer, pieces) => {
                if write(&self.index).hashed(name, stamp, content.root) {
                    self.remembered(self.cache.keep(name, &stamp, content.root, &layer));
                    if let Some(pieces) = pieces {
                        self.on_v1(name, &stamp, content, &pieces);
                    }
                    self.inbox.poke();
                    return Ok(());
                }
                if self.queue.is_awaited(name) {
                    // It was written to before it was read: the caller gets it as it is now.
                    return self.take_hashed(name, Outcome::AsItWas(stamp, content, layer));
                }
                // This is no longer the listed file, so the keeper examines it again.
                self.inbox.changed(name);
                Err(HashError::Changed { name: name.clone() })
            }
            Outcome::AsItWas(stamp, content, layer) => {
                let is_held = self.hold(name, stamp, content, layer);
                // So that the keeper looks again and again, until it is at rest.
                self.inbox.changed(name);
                is_held
                    .then_some(())
                    .ok_or_else(|| HashError::Changed { name: name.clone() })
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
            Outcome::Failed(error) if !says_no(&error) => {
                self.inbox.not_now(name, &error);
                let reason = error.to_string();
                Err(HashError::NotNow {
                    name: name.clone(),
                    reason,
                })
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
    /// Copies the error for another caller.
    fn again(&self) -> Self {
        match self {
            Self::Gone { name } => Self::Gone { name: name.clone() },
            Self::Changed { name } => Self::Changed { name: name.clone() },
            Self::Unreadable { name, reason } => Self::Unreadable {
                name: name.clone(),
                reason: reason.clone(),
            },
            Self::NotNow { name, reason } => Self::NotNow {
                name: name.clone(),
                reason: reason.clone(),
            },
            Self::Closed => Self::Closed,
        }
    }
}

/// The result of reading a whole file.
#[derive(Debug)]
enum Outcome {
    /// The stamp that the file had throughout, its content, and the hashes of its pieces; those
    /// of a v1 torrent too, if they are wanted.
    Read(Stamp, Content, Vec<Hash>, Option<Vec<[u8; 20]>>),
    /// The same of a file that was written to meanwhile, and has grown if anything.
    AsItWas(Stamp, Content, Vec<Hash>),
    Changed,
    Gone,
    Failed(io::Error),
    Stopped,
}

/// Reads a whole file, except for its holes, and hashes it for a v1 torrent too if `v1`. After
/// each read, `go_on` gets the number of bytes hashed so far and returns whether to continue. A
/// file that is written to meanwhile is read as far as it went in the beginning, if `is_awaited`.
fn hash_file(
    dir: &Dir,
    name: &Name,
    buffer: &mut [u8],
    v1: bool,
    is_awaited: &dyn Fn() -> bool,
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Outcome {
    let outcome = open(dir, name).and_then(|(file, stamp)| {
        let_the_clock_tick(&stamp);
        let mut hasher = LayerHasher::new(stamp.length);
        let piece_length = Layout::of(stamp.length).piece_length();
        let mut pieces = v1.then(|| PieceHasher::new(piece_length));
        let may_go_on =
            |now: Stamp| now == stamp || (now.may_have_grown_from(&stamp) && is_awaited());
        let mut ended = None;
        holes::read(&file, stamp.length, buffer, |run| {
            let fits = match run {
                Run::Bytes(bytes) => hasher.update(bytes),
                Run::Zeros(number) => hasher.update_zeros(number),
            };
            match (&mut pieces, run) {
                (Some(pieces), Run::Bytes(bytes)) => pieces.update(bytes),
                (Some(pieces), Run::Zeros(number)) => pieces.update_zeros(number),
                (None, _) => {}
            }
            // Checked here and not only at the end, so that a file which keeps growing is not
            // read for an hour in vain.
            if !go_on(hasher.length()) {
                ended = Some(Outcome::Stopped);
            } else if !fits || !may_go_on(Stamp::of(&file)?) {
                ended = Some(Outcome::Changed);
            }
            Ok(ended.is_none())
        })?;
        if let Some(ended) = ended {
            return Ok(ended);
        }
        let now = Stamp::of(&file)?;
        match hasher.finish() {
            Some((content, layer)) if now == stamp => {
                let pieces = pieces.map(PieceHasher::finish);
                Ok(Outcome::Read(stamp, content, layer, pieces))
            }
            Some((content, layer)) if may_go_on(now) => Ok(Outcome::AsItWas(stamp, content, layer)),
            _ => Ok(Outcome::Changed),
        }
    });
    outcome.unwrap_or_else(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Outcome::Gone,
        _ => Outcome::Failed(error),
    })
}

/// Opens a file of the share, and looks at it. NONBLOCK, since the file may have been replaced by a
/// named pipe.
pub(super) fn open(dir: &Dir, name: &Name) -> io::Result<(File, Stamp)> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let file = dir.open_with(name.as_str(), &options)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok((file, Stamp::new(&meta)))
}

/// Waits until any further change would get a later time than the last one.
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

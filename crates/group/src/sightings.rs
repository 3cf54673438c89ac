//! When the tracker last saw each member.
//!
//! The times are held in memory while the tracker runs, and in a small file, owned by this
//! module, for the next start. Nothing depends on the file: if it is lost, the times of members
//! that have not come back since are unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thorp_disk::DiskThread;
use thorp_wire::PeerId;

use crate::authority::MAX_MEMBERS;
use crate::state::{StateDir, StateError};

/// When each member was last seen, in seconds since 1970.
#[derive(Debug)]
pub struct Sightings {
    state: Arc<StateDir>,
    seen: Mutex<BTreeMap<PeerId, u64>>,
    /// When those that were present were last recorded together.
    present_at: Mutex<Option<u64>>,
    /// The members that were present when an earlier run wrote the file last.
    before: Mutex<BTreeSet<PeerId>>,
    /// Whether what the file says is in `seen`. Until then the file is not written.
    is_read: AtomicBool,
}

impl Sightings {
    /// The key of the time at which all that were present were recorded. An older version takes it
    /// for no member's, and passes it over.
    const PRESENT_AT: &str = "present-at";
    /// The file's name in a state directory.
    pub const FILE: &str = "seen.json";
    /// Where a file that cannot be read is kept.
    pub const UNREAD: &str = "seen.json.damaged";
    /// The shortest time between two writes of the file, which is always written as a whole.
    pub const WRITTEN_EVERY: Duration = Duration::from_mins(5);

    /// Loads the file of a state directory. A damaged file counts as empty and is set aside, since
    /// another one is going to be written in its place. One that the disk does not give now is
    /// read later, before it is written.
    pub fn load(disk: DiskThread, state: Arc<StateDir>) -> Self {
        let sightings = Self {
            state,
            seen: Mutex::default(),
            present_at: Mutex::default(),
            before: Mutex::default(),
            is_read: AtomicBool::new(false),
        };
        if let Err(error) = sightings.read(disk) {
            tracing::warn!(%error, "when members were last seen is not known now");
        }
        sightings
    }

    /// Adds what the file says to what was seen since.
    fn read(&self, disk: DiskThread) -> Result<(), StateError> {
        let stored = match self
            .state
            .read_json::<BTreeMap<String, u64>>(disk, Self::FILE)
        {
            Err(error @ StateError::Corrupt { .. }) => {
                self.state.rename(disk, Self::FILE, Self::UNREAD)?;
                let aside = Self::UNREAD;
                tracing::warn!(%error, aside, "when members were last seen is not known any more");
                None
            }
            stored => stored?,
        };
        let stored = stored.unwrap_or_default();
        let present_at = stored.get(Self::PRESENT_AT).copied();
        let (mut seen, mut before) = (lock(&self.seen), lock(&self.before));
        for (id, at) in stored {
            if let Ok(id) = id.parse()
                && seen.len() < MAX_MEMBERS
            {
                seen.entry(id).or_insert(at);
                // At the end of a run each member is seen once more, as its link ends.
                if present_at.is_some_and(|together| at >= together) {
                    before.insert(id);
                }
            }
        }
        drop((seen, before));
        self.is_read.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Records that a member was connected at this time.
    pub fn saw(&self, id: PeerId, at: u64) {
        let mut seen = lock(&self.seen);
        // Only members are recorded, but an open group admits any machine.
        if seen.len() < MAX_MEMBERS || seen.contains_key(&id) {
            seen.insert(id, at);
        }
    }

    /// Records that these are all that are connected at this time.
    pub fn saw_all(&self, present: impl Iterator<Item = PeerId>, at: u64) {
        present.for_each(|id| self.saw(id, at));
        *lock(&self.present_at) = Some(at);
    }

    /// Returns when a member was last seen, if that is known.
    pub fn last(&self, id: PeerId) -> Option<u64> {
        lock(&self.seen).get(&id).copied()
    }

    /// Returns the members that were present when an earlier run ended or, if it was killed, at
    /// most [`WRITTEN_EVERY`](Self::WRITTEN_EVERY) before.
    pub fn present_before(&self) -> BTreeSet<PeerId> {
        lock(&self.before).clone()
    }

    /// Writes the file.
    pub fn save(&self, disk: DiskThread) -> Result<(), StateError> {
        if !self.is_read.load(Ordering::Relaxed) {
            self.read(disk)?;
        }
        let seen = lock(&self.seen).clone();
        let mut stored: BTreeMap<String, u64> = seen
            .into_iter()
            .map(|(id, at)| (id.to_string(), at))
            .collect();
        let present_at = *lock(&self.present_at);
        stored.extend(present_at.map(|at| (Self::PRESENT_AT.to_owned(), at)));
        self.state.write_json(disk, Self::FILE, &stored)
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use thorp_disk::testing::DISK;

    use super::*;
    use crate::testing::state;

    #[test]
    fn what_was_seen_is_known_at_the_next_start_and_damage_is_no_trouble() {
        let (_temporary, state) = state();
        let state = Arc::new(state);
        let [oak, elm] = [1, 2].map(|n| PeerId::new([n; 32]));
        let seen = Sightings::load(DISK, Arc::clone(&state));
        seen.saw(oak, 100);
        seen.saw(oak, 200);
        assert_eq!((seen.last(oak), seen.last(elm)), (Some(200), None));
        seen.save(DISK).expect("written");
        let again = Sightings::load(DISK, Arc::clone(&state));
        assert_eq!((again.last(oak), again.last(elm)), (Some(200), None));
        state.write(DISK, Sightings::FILE, b"{").expect("written");
        let unread = Sightings::load(DISK, Arc::clone(&state));
        assert_eq!(unread.last(oak), None);
        // What could not be read is not written over.
        unread.saw(oak, 300);
        unread.save(DISK).expect("written");
        let aside = state.read(DISK, Sightings::UNREAD).expect("is read");
        assert_eq!(aside.as_deref(), Some(&b"{"[..]));
    }

    #[test]
    fn members_that_were_present_at_the_end_are_known_at_the_next_start() {
        let (_temporary, state) = state();
        let state = Arc::new(state);
        let [oak, elm] = [1, 2].map(|n| PeerId::new([n; 32]));
        let seen = Sightings::load(DISK, Arc::clone(&state));
        assert!(seen.present_before().is_empty(), "the first start");
        seen.saw(oak, 100);
        seen.saw_all([elm].into_iter(), 200);
        // Its link ended a second after the run did.
        seen.saw(elm, 201);
        seen.save(DISK).expect("written");
        let again = Sightings::load(DISK, Arc::clone(&state));
        assert_eq!(again.present_before(), BTreeSet::from([elm]));
        again.saw_all([].into_iter(), 300);
        again.save(DISK).expect("written");
        let last = Sightings::load(DISK, Arc::clone(&state));
        assert!(last.present_before().is_empty(), "nobody was there");
        assert_eq!(last.last(elm), Some(201));
    }

    #[test]
    fn what_the_disk_does_not_give_now_is_read_before_it_is_written_over() {
        let (temporary, state) = state();
        let state = Arc::new(state);
        let [oak, elm] = [1, 2].map(|n| PeerId::new([n; 32]));
        let seen = Sightings::load(DISK, Arc::clone(&state));
        seen.saw(oak, 100);
        seen.save(DISK).expect("written");
        // A link is not opened, wherever it leads: as good as a disk that says no.
        let path = state.path().join(Sightings::FILE);
        let away = temporary.path().join("away");
        std::fs::rename(&path, &away).expect("moved");
        std::os::unix::fs::symlink(&away, &path).expect("a link");
        let seen = Sightings::load(DISK, Arc::clone(&state));
        seen.saw(elm, 200);
        assert!(seen.save(DISK).is_err(), "it is not written over");
        assert_eq!((seen.last(oak), seen.last(elm)), (None, Some(200)));
        std::fs::rename(&away, &path).expect("moved back");
        seen.save(DISK).expect("written");
        assert_eq!((seen.last(oak), seen.last(elm)), (Some(100), Some(200)));
        let again = Sightings::load(DISK, Arc::clone(&state));
        assert_eq!((again.last(oak), again.last(elm)), (Some(100), Some(200)));
    }
}

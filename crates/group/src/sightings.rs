//! When the tracker saw each member last.
//!
//! Kept in memory while the tracker runs, and in a small file for the next start.
//! Owns that file. Nothing depends on it: it may be lost, and then it is not known
//! for a while when members were seen.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thorp_disk::DiskThread;
use thorp_wire::PeerId;

use crate::authority::MAX_MEMBERS;
use crate::state::{StateDir, StateError};

/// When each member was seen last, in seconds since 1970.
#[derive(Debug)]
pub struct Sightings {
    state: Arc<StateDir>,
    seen: Mutex<BTreeMap<PeerId, u64>>,
}

impl Sightings {
    /// Where it is kept.
    pub const FILE: &str = "seen.json";
    /// How often it is written at most: whole, whatever has changed.
    pub const WRITTEN_EVERY: Duration = Duration::from_mins(5);

    /// What is kept in a state directory. What cannot be read counts as not known.
    pub fn load(disk: DiskThread, state: Arc<StateDir>) -> Self {
        let stored = state.read_json::<BTreeMap<String, u64>>(disk, Self::FILE);
        let stored = stored.ok().flatten().unwrap_or_default();
        let seen = stored
            .into_iter()
            .filter_map(|(id, at)| Some((id.parse().ok()?, at)))
            .take(MAX_MEMBERS)
            .collect();
        Self {
            state,
            seen: Mutex::new(seen),
        }
    }

    /// A member is there at this moment, or was until now.
    pub fn saw(&self, id: PeerId, at: u64) {
        let mut seen = self.seen();
        // Only members come so far, but open groups let in any machine.
        if seen.len() < MAX_MEMBERS || seen.contains_key(&id) {
            seen.insert(id, at);
        }
    }

    /// When a member was seen last, if that is known.
    pub fn last(&self, id: PeerId) -> Option<u64> {
        self.seen().get(&id).copied()
    }

    /// Writes it.
    pub fn save(&self, disk: DiskThread) -> Result<(), StateError> {
        let seen = self.seen().clone();
        let stored: BTreeMap<String, u64> = seen
            .into_iter()
            .map(|(id, at)| (id.to_string(), at))
            .collect();
        self.state.write_json(disk, Self::FILE, &stored)
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<PeerId, u64>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        assert_eq!(Sightings::load(DISK, state).last(oak), None);
    }
}

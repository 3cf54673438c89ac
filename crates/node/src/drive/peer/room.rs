//! Room on disks that is promised to large files on their way.
//!
//! Owns how much each of them still takes: or every one that begins would be told that all that is
//! free is for it alone. Nothing is reserved. A promise is what is counted when the next file
//! begins, less with each byte that arrives, and it ends with its fetch.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use thorp_disk::DiskThread;
use thorp_files::room::DiskRoom;
use thorp_files::store::{Partial, StoreError};

/// What is promised of each disk, by its number. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Promises(Arc<Mutex<BTreeMap<u64, Arc<OfDisk>>>>);

/// What is promised of one disk. Locked while it is asked how much is free, so that two that begin
/// at once are counted one after the other; a disk that does not answer holds up no other one.
type OfDisk = Mutex<Vec<Weak<Promise>>>;

/// Room that a file is promised for as long as this is held.
pub(super) struct Promise {
    partial: Arc<Partial>,
    /// How many of its bytes are still to come.
    to_come: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Bytes in other files that are made of it.
    beside: AtomicU64,
}

impl Promises {
    /// Promises room to a file, or says that the disk has none for `bytes` of it that are to come
    /// and what is beside it, as well as for all that was promised before. From now on `to_come`
    /// says how many bytes these are.
    pub fn promise(
        &self,
        disk: DiskThread,
        partial: &Arc<Partial>,
        (bytes, beside): (u64, u64),
        to_come: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<Arc<Promise>, StoreError> {
        let of_disk = self.of_disk(device_of(disk, partial)?);
        let mut promised = lock(&of_disk);
        let all = sum(disk, &mut promised, None).saturating_add(beside);
        partial.must_have_room(disk, bytes, all)?;
        let promise = Arc::new(Promise {
            partial: Arc::clone(partial),
            to_come: Box::new(to_come),
            beside: beside.into(),
        });
        promised.push(Arc::downgrade(&promise));
        Ok(promise)
    }

    /// Whether there is room for so many bytes beside a file, and beside all that is promised to
    /// others than itself.
    pub fn has_room_beside(
        &self,
        disk: DiskThread,
        partial: &Partial,
        bytes: u64,
        itself: Option<&Arc<Promise>>,
    ) -> bool {
        let Ok(device) = device_of(disk, partial) else {
            return false;
        };
        let of_disk = self.of_disk(device);
        let others = sum(disk, &mut lock(&of_disk), itself);
        partial.has_room_beside(disk, bytes.saturating_add(others))
    }

    /// How much room there is at a path but for what is promised.
    pub fn left_at(&self, disk: DiskThread, path: &Path) -> Option<DiskRoom> {
        let room = DiskRoom::at(disk, path)?;
        let of_disk = self.of_disk(room.device);
        let promised = sum(disk, &mut lock(&of_disk), None);
        Some(DiskRoom {
            free: room.free.saturating_sub(promised),
            ..room
        })
    }

    fn of_disk(&self, device: u64) -> Arc<OfDisk> {
        Arc::clone(lock(&self.0).entry(device).or_default())
    }
}

impl Promise {
    /// So many bytes are in another file now.
    pub fn on_made(&self, bytes: u64) {
        let less = |beside: u64| Some(beside.saturating_sub(bytes));
        let order = Ordering::Relaxed;
        // It always has a value.
        let _ = self.beside.fetch_update(order, order, less);
    }

    /// How much of the disk it still takes.
    fn takes(&self, disk: DiskThread) -> u64 {
        let to_come = (self.to_come)();
        let missing = self.partial.missing(disk, to_come).unwrap_or(to_come);
        missing.saturating_add(self.beside.load(Ordering::Relaxed))
    }
}

fn device_of(disk: DiskThread, partial: &Partial) -> Result<u64, StoreError> {
    let stamp = partial.stamp(disk).map_err(|error| partial.failed(error))?;
    Ok(stamp.device)
}

/// How much is promised, but for one promise.
fn sum(disk: DiskThread, promised: &mut Vec<Weak<Promise>>, but: Option<&Arc<Promise>>) -> u64 {
    promised.retain(|promise| promise.strong_count() > 0);
    let promised = promised.iter().filter_map(Weak::upgrade);
    let others = promised.filter(|promise| but.is_none_or(|but| !Arc::ptr_eq(promise, but)));
    let takes = others.map(|promise| promise.takes(disk));
    takes.fold(0, u64::saturating_add)
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use thorp_disk::testing::DISK;
    use thorp_files::store::Store;
    use thorp_wire::{Content, merkle};

    use super::*;

    #[test]
    fn files_on_their_way_share_what_is_free_and_what_one_takes_no_more_is_another_one_s() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(DISK, dir.path()).expect("a store");
        let free = || DiskRoom::at(DISK, dir.path()).expect("has a size").free;
        // Each of them fits, and two do not, whatever others write meanwhile.
        let length = free() / 3 * 2;
        let partial = |number: u8| {
            let root = merkle::content_of(&[number]).root;
            let name = format!("{number}").parse().expect("a name");
            let partial = store.partial(DISK, &name, Content { root, length });
            Arc::new(partial.expect("is made"))
        };
        let (promises, [one, two]) = (Promises::default(), [partial(1), partial(2)]);
        let to_come = Arc::new(AtomicU64::new(length));
        let still = Arc::clone(&to_come);
        let first = promises.promise(DISK, &one, (length, 0), move || {
            still.load(Ordering::Relaxed)
        });
        let first = first.expect("fits");
        let second = |bytes, beside| promises.promise(DISK, &two, (bytes, beside), move || bytes);
        let is_full = |promise: Result<Arc<Promise>, StoreError>| {
            matches!(promise, Err(StoreError::Full { .. }))
        };
        assert!(is_full(second(length, 0)));
        let left = promises.left_at(DISK, dir.path()).expect("has a size");
        assert!(left.free < free() / 2, "{left:?}");
        assert!(!promises.has_room_beside(DISK, &two, length, None));
        assert!(promises.has_room_beside(DISK, &one, length, Some(&first)));
        second(length / 8, 0).expect("fits beside the first");
        // Most of the first one need not come any more.
        to_come.store(length / 8, Ordering::Relaxed);
        second(length, 0).expect("fits now");
        assert!(is_full(second(0, 2 * length)));
        let made = second(0, length).expect("what is made of it fits too");
        assert!(is_full(promises.promise(DISK, &one, (length, 0), || 0)));
        made.on_made(length);
        promises
            .promise(DISK, &one, (length, 0), || 0)
            .expect("is made");
        to_come.store(length, Ordering::Relaxed);
        assert!(is_full(second(length, 0)));
        drop(first);
        second(length, 0).expect("the first one has ended");
    }
}

//! Where files are that are read while they arrive, and for how long.
//!
//! Owns a directory beside the state: never the share, and nothing in it is listed. A file in it is
//! named by its content. What no reader holds stays until there is no room for what is read next,
//! least lately used first; whole files go when a node starts, and parts after a day.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use thorp_disk::{DiskThread, LetGo};
use thorp_files::store::{Store, StoreError};
use thorp_wire::Content;
use thorp_wire::reserved::large_part_of;

use crate::api::Failure;
use crate::drive::peer::delivery::name_of;

/// A part of a file that nobody has read for so long is removed when a node starts to read.
const PART_KEPT: Duration = Duration::from_hours(24);

/// See the module.
pub(in crate::drive::peer) struct Cache {
    directory: PathBuf,
    /// The most bytes in it.
    most: u64,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// Once it is there.
    store: Option<Arc<Store>>,
    /// How many readings need each content.
    contents: BTreeMap<Content, usize>,
}

/// Keeps a content in the cache, or its place there.
pub(super) struct Hold {
    cache: Arc<Cache>,
    content: Content,
}

/// A file of the cache, whole and verified.
pub(super) struct Stored {
    file: LetGo<File>,
    _hold: Hold,
}

impl Cache {
    pub fn new(directory: PathBuf, most: u64) -> Self {
        Self {
            directory,
            most,
            held: Mutex::default(),
        }
    }

    /// The directory, made where it is not there yet.
    pub fn store(&self, disk: DiskThread) -> Result<Arc<Store>, StoreError> {
        if let Some(store) = &self.held().store {
            return Ok(Arc::clone(store));
        }
        let io = |source| StoreError::Io {
            path: self.directory.clone(),
            source,
        };
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&self.directory);
        made.map_err(io)?;
        let store = Arc::new(Store::open(disk, &self.directory)?);
        let mut held = self.held();
        if let Some(store) = &held.store {
            return Ok(Arc::clone(store));
        }
        self.sweep(disk);
        held.store = Some(Arc::clone(&store));
        Ok(store)
    }

    /// Opens a file that is here already.
    pub fn open(self: &Arc<Self>, _: DiskThread, content: Content) -> Option<Stored> {
        let hold = self.hold(content);
        let path = self.path_of(content)?;
        let file = File::open(path).ok()?;
        let meta = file.metadata().ok()?;
        if !meta.is_file() || meta.len() != content.length {
            return None;
        }
        // It was of use just now; if that cannot be noted, it goes sooner.
        let _ = file.set_modified(SystemTime::now());
        Some(Stored {
            file: LetGo::new(file),
            _hold: hold,
        })
    }

    /// Makes room for a content. Removes what no reader needs for it.
    pub fn make_room(
        self: &Arc<Self>,
        disk: DiskThread,
        content: Content,
    ) -> Result<Hold, Failure> {
        let mut held = self.held();
        let others = held.contents.keys().filter(|other| **other != content);
        let needed: u64 = others.map(|content| content.length).sum();
        let needed = needed.saturating_add(content.length);
        if needed > self.most {
            return Err(Failure::NoRoomToRead {
                length: content.length,
                most: self.most,
            });
        }
        *held.contents.entry(content).or_default() += 1;
        self.evict(disk, &held, self.most - needed);
        drop(held);
        Ok(Hold {
            cache: Arc::clone(self),
            content,
        })
    }

    fn hold(self: &Arc<Self>, content: Content) -> Hold {
        *self.held().contents.entry(content).or_default() += 1;
        Hold {
            cache: Arc::clone(self),
            content,
        }
    }

    /// Removes what no reader holds until no more than `most` bytes are left of it.
    fn evict(&self, disk: DiskThread, held: &Held, most: u64) {
        let is_held = |name: &str| {
            let mut held = held.contents.keys();
            held.any(|content| is_of(name, *content))
        };
        let mut left = self.files(disk);
        left.retain(|left| !is_held(&left.name));
        left.sort_by_key(|left| left.used);
        let mut bytes: u64 = left.iter().map(|left| left.bytes).sum();
        for file in left {
            if bytes <= most {
                return;
            }
            if fs::remove_file(self.directory.join(&file.name)).is_ok() {
                bytes = bytes.saturating_sub(file.bytes);
            }
        }
    }

    /// Removes what an earlier node has left: a file that was not synced to disk may be another
    /// one after a power cut. Parts are verified before they are used.
    fn sweep(&self, disk: DiskThread) {
        let now = SystemTime::now();
        for file in self.files(disk) {
            let age = now.duration_since(file.used).unwrap_or_default();
            if !file.name.starts_with('.') || age > PART_KEPT {
                // What cannot be removed now is removed when room is made.
                let _ = fs::remove_file(self.directory.join(file.name));
            }
        }
    }

    fn files(&self, _: DiskThread) -> Vec<Left> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten();
        let files = entries.flatten().filter_map(|entry| {
            let meta = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some(Left {
                name: entry.file_name().into_string().ok()?,
                bytes: meta.blocks().saturating_mul(512),
                used: meta.modified().ok()?,
            })
        });
        files.collect()
    }

    fn path_of(&self, content: Content) -> Option<PathBuf> {
        let name = name_of(content)?;
        Some(self.directory.join(name.as_str()))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file in the directory.
struct Left {
    name: String,
    bytes: u64,
    used: SystemTime,
}

/// Whether this is the file of a content, or a part of it.
fn is_of(name: &str, content: Content) -> bool {
    let part = large_part_of(content, 0);
    let stem = Path::new(&part).file_stem().unwrap_or_default();
    let is_part = stem.to_str().is_some_and(|stem| name.starts_with(stem));
    is_part || name_of(content).is_some_and(|whole| whole.as_str() == name)
}

impl Stored {
    pub fn read(&self, _: DiskThread, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.cache.held();
        if let Some(number) = held.contents.get_mut(&self.content) {
            *number -= 1;
            if *number == 0 {
                held.contents.remove(&self.content);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use thorp_disk::testing::DISK;
    use thorp_files::store::Replace;
    use thorp_wire::merkle;

    use super::*;

    fn put(cache: &Arc<Cache>, bytes: &[u8]) -> Content {
        let content = merkle::content_of(bytes);
        let room = cache.make_room(DISK, content).expect("there is room");
        let (store, name) = (cache.store(DISK), name_of(content).expect("a name"));
        let stored =
            store
                .expect("a directory")
                .put(DISK, &name, content, None, bytes, Replace::Yes);
        stored.expect("is stored");
        drop(room);
        content
    }

    #[test]
    fn what_is_read_next_takes_the_room_of_what_was_not_used_for_longest_and_nobody_reads() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = Arc::new(Cache::new(dir.path().join("a/cache"), 3 * 8192));
        let bytes = |number: u8| vec![number; 8192];
        let one = put(&cache, &bytes(1));
        let read = cache.open(DISK, one).expect("is here");
        let two = put(&cache, &bytes(2));
        let three = put(&cache, &bytes(3));
        let old = SystemTime::now() - Duration::from_mins(1);
        let path = cache.path_of(one).expect("a path");
        File::open(path)
            .expect("opens")
            .set_modified(old)
            .expect("is set");
        let path = cache.path_of(two).expect("a path");
        File::open(path)
            .expect("opens")
            .set_modified(old)
            .expect("is set");
        put(&cache, &bytes(4));
        assert!(cache.open(DISK, two).is_none(), "it was used least lately");
        assert!(cache.open(DISK, three).is_some());
        let mut first = [0; 8192];
        read.read(DISK, &mut first, 0).expect("is read");
        assert_eq!(first[..], bytes(1), "who reads it keeps it");
        let too_long = Content {
            length: 2 * 8192 + 1,
            ..three
        };
        let refused = cache.make_room(DISK, too_long).err();
        let most = 3 * 8192;
        let length = too_long.length;
        assert_eq!(refused, Some(Failure::NoRoomToRead { length, most }));
        drop(read);
        assert!(cache.make_room(DISK, too_long).is_ok());
        assert!(cache.open(DISK, one).is_none(), "it has made room");
    }

    #[test]
    fn of_what_an_earlier_node_has_left_only_parts_stay_and_only_for_a_day() {
        let dir = tempfile::tempdir().expect("a directory");
        let content = merkle::content_of(&[1; 100]);
        let whole = name_of(content).expect("a name").to_string();
        let (new, old) = (large_part_of(content, 0), large_part_of(content, 1));
        for name in [&whole, &new, &old] {
            fs::write(dir.path().join(name), [1; 100]).expect("is written");
        }
        let day = SystemTime::now() - PART_KEPT - Duration::from_secs(1);
        let file = File::open(dir.path().join(&old)).expect("opens");
        file.set_modified(day).expect("is set");
        let cache = Arc::new(Cache::new(dir.path().to_owned(), 1000));
        cache.store(DISK).expect("a directory");
        let left: Vec<String> = cache
            .files(DISK)
            .into_iter()
            .map(|left| left.name)
            .collect();
        assert_eq!(left, [new]);
    }

    #[test]
    fn only_its_user_may_enter_the_directory() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("reading");
        Cache::new(path.clone(), 1).store(DISK).expect("is made");
        let mode = fs::metadata(path).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}

//! Where files are that are read while they arrive, and for how long.
//!
//! Owns a directory beside the state: never the share, and nothing in it is listed. A file in it is
//! named by its content. What no reader holds stays until there is no room for what is read next,
//! least lately used first; whole files go when a node starts and when a visitor ends, parts after
//! a day. The directory is listed once: from then on it is remembered what is in it, so that each
//! file costs the same, however many there are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
#[cfg(test)]
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;
use thorp_disk::{DiskThread, LetGo};
use thorp_files::stamp::last_written;
use thorp_files::store::{Store, StoreError};
use thorp_wire::Content;
use thorp_wire::reserved::large_part_of;

use crate::api::Failure;
use crate::drive::peer::delivery::name_of;

/// A part of a file that nobody has read for so long is removed when a node starts to read.
const PART_KEPT: Duration = Duration::from_hours(24);

/// The most files of which no reader holds any: a directory finds each among so many soon enough.
const MOST_FILES: usize = 100_000;
/// The most parts that fetches of one content leave.
const MOST_PARTS: u32 = 16;

/// See the module.
pub(in crate::drive::peer) struct Cache {
    directory: PathBuf,
    /// The most bytes in it.
    most: u64,
    /// Never locked while the disk is waited for: readers on async threads lock it as well.
    held: Mutex<Held>,
    /// Locked by the thread that removes files, until they are gone. Whether an earlier node's
    /// files were looked at.
    removing: Mutex<bool>,
    #[cfg(test)]
    looked_at: AtomicUsize,
}

#[derive(Default)]
struct Held {
    /// Once it is there.
    store: Option<Arc<Store>>,
    /// How many readings need each content.
    contents: BTreeMap<Content, usize>,
    /// What no reading needs, and may be there.
    left: BTreeMap<Leftover, Left>,
    /// The same, the least lately used first.
    order: BTreeSet<(u64, Leftover)>,
    /// That of it whose bytes are to be looked up on the disk.
    unmeasured: BTreeSet<Leftover>,
    /// Whether any of it is a part that an earlier node has left.
    has_earlier: bool,
    /// Bytes of all that no reading needs.
    bytes: u64,
    /// What was read to its end last.
    read_through: Option<Content>,
    /// Numbers the uses.
    uses: u64,
}

/// What may be there and no reading needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Leftover {
    /// A content: its whole file, or parts of it.
    Of(Content),
    /// The file of this name, which an earlier node has left.
    Earlier(String),
}

struct Left {
    used: u64,
    bytes: u64,
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
            removing: Mutex::default(),
            #[cfg(test)]
            looked_at: AtomicUsize::default(),
        }
    }

    /// The state that it is beside.
    pub fn state(&self) -> &Path {
        self.directory.parent().unwrap_or(&self.directory)
    }

    /// The most bytes that may be in it.
    pub fn most(&self) -> u64 {
        self.most
    }

    /// The directory, made where it is not there yet.
    pub fn store(&self, disk: DiskThread) -> Result<Arc<Store>, StoreError> {
        if let Some(store) = &self.held().store {
            return Ok(Arc::clone(store));
        }
        let io = |source: io::Error| {
            let path = self.directory.clone();
            match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    StoreError::Full { path }
                }
                _ => StoreError::Io { path, source },
            }
        };
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&self.directory);
        made.map_err(io)?;
        // Through a link files would be written, and removed, elsewhere.
        if !fs::symlink_metadata(&self.directory).map_err(io)?.is_dir() {
            return Err(io(io::ErrorKind::NotADirectory.into()));
        }
        let store = Arc::new(Store::open(disk, &self.directory)?);
        self.sweep(disk);
        Ok(Arc::clone(self.held().store.get_or_insert(store)))
    }

    /// Opens a file that is here already.
    pub fn open(self: &Arc<Self>, _: DiskThread, content: Content) -> Option<Stored> {
        let path = self.path_of(content)?;
        // Opening a named pipe would wait for its other end.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mut options = File::options();
        let options = options.read(true).custom_flags(flags.bits().cast_signed());
        let file = options.open(path).ok()?;
        let meta = file.metadata().ok()?;
        if !meta.is_file() || meta.len() != content.length {
            return None;
        }
        // If it makes room just now, it can be read all the same until it is closed.
        Some(Stored {
            file: LetGo::new(file),
            _hold: self.hold(&mut self.held(), content),
        })
    }

    /// Makes room for a content. Removes what no reader needs for it. `free` says how much the disk
    /// with this directory takes yet, if it does.
    pub fn make_room(
        self: &Arc<Self>,
        disk: DiskThread,
        content: Content,
        free: impl FnOnce(&Path) -> Option<u64>,
    ) -> Result<Hold, Failure> {
        let hold = {
            let mut held = self.held();
            let others = held.contents.keys().filter(|other| **other != content);
            let lengths = others.map(|other| other.length);
            let needed = lengths.fold(content.length, u64::saturating_add);
            let (length, most) = (content.length, self.most);
            if length > most {
                return Err(Failure::NoRoomToRead { length, most });
            }
            if needed > most {
                return Err(Failure::ReadersInTheWay { length, most });
            }
            self.hold(&mut held, content)
        };
        // If this content makes room for another one just now, that is over before it is fetched.
        self.evict(disk, |cache| {
            let free = free(&cache.directory);
            free.map_or(0, |free| cache.lacking(disk, free))
        });
        Ok(hold)
    }

    /// Gives back so many bytes of this disk to what is not read, if what no reader needs takes so
    /// many of it. Returns whether it does.
    pub fn give_way(&self, disk: DiskThread, device: u64, bytes: u64) -> bool {
        let is_there = fs::metadata(&self.directory).is_ok_and(|meta| meta.dev() == device);
        let mut has_so_much = false;
        if is_there {
            self.evict(disk, |cache| {
                has_so_much = cache.held().bytes >= bytes;
                if has_so_much { bytes } else { 0 }
            });
        }
        has_so_much
    }

    /// For how many bytes that are still to come of what readers hold there is no room, where so
    /// many are free.
    fn lacking(&self, disk: DiskThread, free: u64) -> u64 {
        let contents: Vec<Content> = self.held().contents.keys().copied().collect();
        let lengths = contents.iter().map(|content| content.length);
        if lengths.fold(0, u64::saturating_add) <= free {
            return 0;
        }
        let to_come = contents.into_iter().map(|content| {
            let there = self.bytes_of(disk, &Leftover::Of(content));
            content.length.saturating_sub(there)
        });
        to_come.fold(0, u64::saturating_add).saturating_sub(free)
    }

    fn hold(self: &Arc<Self>, held: &mut Held, content: Content) -> Hold {
        held.hold(content);
        Hold {
            cache: Arc::clone(self),
            content,
        }
    }

    /// Removes what no reader holds until what is left of it fits beside what readers hold, and the
    /// disk has got back what it is `lacking`.
    fn evict(&self, disk: DiskThread, lacking: impl FnOnce(&Self) -> u64) {
        let _removing = self.removing();
        let unmeasured = std::mem::take(&mut self.held().unmeasured);
        for leftover in unmeasured {
            let bytes = self.bytes_of(disk, &leftover);
            self.held().measured(&leftover, bytes);
        }
        let mut lacking = lacking(self);
        let mut stays = Vec::new();
        loop {
            let victim = self.held().victim(self.most, lacking > 0);
            let Some((leftover, bytes)) = victim else {
                break;
            };
            let mut is_gone = true;
            for name in leftover.names() {
                is_gone &= self.remove(disk, &name);
            }
            if is_gone {
                lacking = lacking.saturating_sub(bytes);
            } else {
                stays.push(leftover);
            }
        }
        // What cannot be removed takes its room still.
        let mut held = self.held();
        for leftover in stays {
            held.leave(leftover);
        }
    }

    /// Removes a file. Returns whether there is none then.
    fn remove(&self, _: DiskThread, name: &str) -> bool {
        let removed = fs::remove_file(self.directory.join(name));
        removed.map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |()| true)
    }

    /// Removes what an earlier node has left, unless that was done: a file that was not synced to
    /// disk may be another one after a power cut. Parts are verified before they are used.
    pub fn sweep(&self, disk: DiskThread) {
        self.sweep_at(disk, SystemTime::now());
    }

    fn sweep_at(&self, disk: DiskThread, now: SystemTime) {
        let mut is_swept = self.removing();
        if std::mem::replace(&mut *is_swept, true) {
            return;
        }
        let mut files = self.files(disk);
        files.sort_by_key(|(_, used)| *used);
        for (name, used) in files {
            let age = now.duration_since(used).unwrap_or_default();
            let goes = !name.starts_with('.') || age > PART_KEPT;
            if !goes || !self.remove(disk, &name) {
                let mut held = self.held();
                held.leave(Leftover::Earlier(name));
                held.has_earlier = true;
            }
        }
    }

    /// A content was read to its end.
    pub fn on_read_through(&self, content: Content) {
        self.held().read_through = Some(content);
    }

    /// Removes the whole files, and what was read to its end last: the next node would not trust
    /// them.
    pub fn remove_whole(&self, disk: DiskThread) {
        let _removing = self.removing();
        let read_through = self.held().read_through.take();
        for name in read_through
            .into_iter()
            .flat_map(|content| Leftover::Of(content).names())
        {
            self.remove(disk, &name);
        }
        for (name, _) in self.files(disk) {
            if !name.starts_with('.') {
                // What cannot be removed now is removed by the next node.
                self.remove(disk, &name);
            }
        }
    }

    /// Returns the files that are there, and when each was used last.
    fn files(&self, _: DiskThread) -> Vec<(String, SystemTime)> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten();
        let files = entries.flatten().filter_map(|entry| {
            #[cfg(test)]
            self.looked_at.fetch_add(1, Ordering::Relaxed);
            let meta = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            let modified = (meta.mtime(), meta.mtime_nsec());
            let used = last_written(modified, (meta.ctime(), meta.ctime_nsec()));
            Some((entry.file_name().into_string().ok()?, used))
        });
        files.collect()
    }

    /// Returns how many bytes this takes on the disk.
    fn bytes_of(&self, _: DiskThread, leftover: &Leftover) -> u64 {
        let files = leftover.names().filter_map(|name| {
            #[cfg(test)]
            self.looked_at.fetch_add(1, Ordering::Relaxed);
            let meta = fs::symlink_metadata(self.directory.join(name)).ok()?;
            Some(meta.blocks().saturating_mul(512))
        });
        files.fold(0, u64::saturating_add)
    }

    fn path_of(&self, content: Content) -> Option<PathBuf> {
        let name = name_of(content)?;
        Some(self.directory.join(name.as_str()))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn removing(&self) -> MutexGuard<'_, bool> {
        self.removing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn hold(&mut self, content: Content) {
        let readings = self.contents.entry(content).or_default();
        *readings += 1;
        if *readings > 1 {
            return;
        }
        let leftover = Leftover::Of(content);
        self.forget(&leftover);
        if self.has_earlier {
            for name in leftover.names() {
                self.forget(&Leftover::Earlier(name));
            }
        }
    }

    /// One reading does not need a content any more.
    fn let_go(&mut self, content: Content) {
        let Some(readings) = self.contents.get_mut(&content) else {
            return;
        };
        *readings -= 1;
        if *readings == 0 {
            self.contents.remove(&content);
            self.leave(Leftover::Of(content));
        }
    }

    /// No reading needs this. How many bytes it takes is looked up when room is made.
    fn leave(&mut self, leftover: Leftover) {
        let is_held = |content| self.contents.contains_key(content);
        if matches!(&leftover, Leftover::Of(content) if is_held(content)) {
            return;
        }
        self.forget(&leftover);
        self.uses += 1;
        let used = self.uses;
        self.left.insert(leftover.clone(), Left { used, bytes: 0 });
        self.order.insert((used, leftover.clone()));
        self.unmeasured.insert(leftover);
    }

    fn measured(&mut self, leftover: &Leftover, bytes: u64) {
        match self.left.get_mut(leftover) {
            Some(_) if bytes == 0 => self.forget(leftover),
            Some(left) => {
                self.bytes = self.bytes.saturating_sub(left.bytes).saturating_add(bytes);
                left.bytes = bytes;
            }
            // Another reading needs it by now.
            None => {}
        }
    }

    fn forget(&mut self, leftover: &Leftover) {
        if let Some((leftover, Left { used, bytes })) = self.left.remove_entry(leftover) {
            self.bytes = self.bytes.saturating_sub(bytes);
            self.unmeasured.remove(&leftover);
            self.order.remove(&(used, leftover));
        }
    }

    /// Forgets what goes next, with its bytes, if what no reading needs does not fit beside the
    /// rest, or the disk is short of room.
    fn victim(&mut self, most: u64, is_short: bool) -> Option<(Leftover, u64)> {
        let lengths = self.contents.keys().map(|content| content.length);
        let needed = lengths.fold(0, u64::saturating_add);
        let fits = self.bytes <= most.saturating_sub(needed) && self.left.len() <= MOST_FILES;
        if fits && !is_short {
            return None;
        }
        let (_, leftover) = self.order.first()?.clone();
        let bytes = self.left.get(&leftover).map_or(0, |left| left.bytes);
        self.forget(&leftover);
        Some((leftover, bytes))
    }
}

impl Leftover {
    /// Returns the names that its files may have.
    fn names(&self) -> impl Iterator<Item = String> + use<> {
        let (content, name) = match self {
            Self::Of(content) => (
                Some(*content),
                name_of(*content).map(|name| name.to_string()),
            ),
            Self::Earlier(name) => (None, Some(name.clone())),
        };
        let of_parts = |content| (0..MOST_PARTS).map(move |part| large_part_of(content, part));
        // A part that is whole may get its name just now.
        content.into_iter().flat_map(of_parts).chain(name)
    }
}

impl Stored {
    pub fn read(&self, _: DiskThread, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.cache.held().let_go(self.content);
    }
}

#[cfg(test)]
mod tests {
    use thorp_disk::testing::DISK;
    use thorp_files::store::{Replace, SmallFile};
    use thorp_wire::merkle::{self, Hashed};

    use super::*;

    /// What a disk says that does not say how large it is.
    fn no_size(_: &Path) -> Option<u64> {
        None
    }

    fn put(cache: &Arc<Cache>, bytes: &[u8]) -> Content {
        let content = merkle::content_of(bytes);
        let room = cache
            .make_room(DISK, content, no_size)
            .expect("there is room");
        let (store, name) = (cache.store(DISK), name_of(content).expect("a name"));
        let stored = store.expect("a directory").put(
            DISK,
            SmallFile {
                name: &name,
                content,
                attributes: None,
                came: Hashed::of(bytes),
                replace: Replace::Yes,
                set_aside: None,
            },
        );
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
        let refused = cache.make_room(DISK, too_long, no_size).err();
        let most = 3 * 8192;
        let length = too_long.length;
        assert_eq!(refused, Some(Failure::ReadersInTheWay { length, most }));
        drop(read);
        assert!(cache.make_room(DISK, too_long, no_size).is_ok());
        assert!(cache.open(DISK, one).is_none(), "it has made room");
        let length = most + 1;
        let never = Content { length, ..three };
        let refused = cache.make_room(DISK, never, no_size).err();
        assert_eq!(refused, Some(Failure::NoRoomToRead { length, most }));
    }

    #[test]
    fn where_the_disk_is_short_what_nobody_reads_makes_room_though_more_may_be_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = Arc::new(Cache::new(dir.path().join("cache"), 100 * 8192));
        let [one, two, three] = [1, 2, 3].map(|number| put(&cache, &[number; 8192]));
        let read = cache.open(DISK, two).expect("is here");
        let next = |number| Content {
            length: 2 * 8192,
            ..merkle::content_of(&[number])
        };
        let room = cache.make_room(DISK, next(4), |_| Some(2 * 8192));
        drop(room.expect("there is room"));
        let is_there = |content| cache.path_of(content).is_some_and(|path| path.exists());
        assert_eq!([one, two, three].map(is_there), [true; 3], "all fits");
        let _room = cache.make_room(DISK, next(5), |_| Some(8192));
        let left = [one, two, three].map(is_there);
        assert_eq!(left, [false, true, true], "it was used least lately");
        // What is on its way for the other reader takes the disk as well.
        let _other = cache.make_room(DISK, next(6), |_| Some(2 * 8192));
        let left = [one, two, three].map(is_there);
        assert_eq!(left, [false, true, false], "who reads it keeps it");
        drop(read);

        // It makes room for what is not read, too, where that is enough.
        let device = fs::metadata(dir.path()).expect("is there").dev();
        for (device, bytes) in [(device + 1, 8192), (device, 3 * 8192)] {
            assert!(!cache.give_way(DISK, device, bytes));
            assert!(is_there(two));
        }
        assert!(cache.give_way(DISK, device, 8192));
        assert!(!is_there(two));
    }

    #[test]
    fn a_file_costs_the_same_however_many_there_are() {
        let dir = tempfile::tempdir().expect("a directory");
        let (files, most) = (2000_u64, 1000);
        let cache = Arc::new(Cache::new(dir.path().to_owned(), most * 4096));
        for number in 0..files {
            put(&cache, &[&number.to_be_bytes()[..], &[0; 4088]].concat());
        }
        let looked_at = cache.looked_at.load(Ordering::Relaxed) as u64;
        // A whole file, and parts that may be there of it.
        assert!(
            looked_at <= files * u64::from(1 + MOST_PARTS),
            "{looked_at}"
        );
        let there = cache.files(DISK).len() as u64;
        assert!(there > most / 2 && there <= most, "{there}");
    }

    #[test]
    fn what_is_read_again_stays_longer() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = Arc::new(Cache::new(dir.path().to_owned(), 3 * 8192));
        let [one, two, _] = [1, 2, 3].map(|number| put(&cache, &[number; 8192]));
        drop(cache.open(DISK, one).expect("is here"));
        put(&cache, &[4; 8192]);
        assert!(cache.open(DISK, two).is_none());
        assert!(cache.open(DISK, one).is_some());
    }

    #[test]
    fn while_files_are_removed_readers_come_and_go() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = Arc::new(Cache::new(dir.path().to_owned(), 3 * 8192));
        let one = put(&cache, &[1; 8192]);
        let removing = cache.removing();
        let read = cache.open(DISK, one).expect("is opened");
        let mut bytes = [0; 8192];
        read.read(DISK, &mut bytes, 0).expect("is read");
        drop(read);
        drop(removing);
        assert!(cache.make_room(DISK, one, no_size).is_ok());
    }

    #[test]
    fn a_part_of_an_earlier_node_makes_room_first() {
        let dir = tempfile::tempdir().expect("a directory");
        let gone = large_part_of(merkle::content_of(&[7; 8192]), 0);
        let read = merkle::content_of(&[8; 8192]);
        let stays = large_part_of(read, 0);
        for name in [&gone, &stays] {
            fs::write(dir.path().join(name), [0; 4096]).expect("is written");
        }
        let cache = Arc::new(Cache::new(dir.path().to_owned(), 2 * 8192));
        cache.store(DISK).expect("a directory");
        let hold = cache.make_room(DISK, read, no_size).expect("there is room");
        assert!(dir.path().join(&gone).exists(), "both fit");
        put(&cache, &[9; 8192]);
        assert!(!dir.path().join(&gone).exists());
        assert!(dir.path().join(&stays).exists(), "it is held");
        drop(hold);
        put(&cache, &[10; 8192]);
        put(&cache, &[11; 8192]);
        assert!(
            !dir.path().join(&stays).exists(),
            "it was used least lately"
        );
    }

    #[test]
    fn lengths_that_nobody_can_have_are_added_up_without_harm() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = Arc::new(Cache::new(dir.path().to_owned(), u64::MAX));
        let root = merkle::content_of(&[1]).root;
        let [one, two] = [u64::MAX, u64::MAX - 1].map(|length| Content { root, length });
        let _one = cache.make_room(DISK, one, no_size).expect("fits");
        assert!(
            cache.make_room(DISK, two, no_size).is_ok(),
            "it is full at most"
        );
    }

    #[test]
    fn when_a_visitor_ends_no_whole_file_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = Arc::new(Cache::new(dir.path().to_owned(), 3 * 8192));
        put(&cache, &[1; 8192]);
        let part = large_part_of(merkle::content_of(&[2; 8192]), 0);
        fs::write(dir.path().join(&part), [0; 4096]).expect("is written");
        let read = merkle::content_of(&[3; 8192]);
        let is_named_soon = dir.path().join(large_part_of(read, 1));
        fs::write(is_named_soon, [3; 8192]).expect("is written");
        cache.on_read_through(read);
        cache.remove_whole(DISK);
        let left = cache.files(DISK);
        assert!(matches!(&left[..], [(name, ..)] if *name == part));
    }

    #[test]
    fn of_what_an_earlier_node_has_left_only_parts_stay_and_only_for_a_day() {
        let dir = tempfile::tempdir().expect("a directory");
        let content = merkle::content_of(&[1; 100]);
        let whole = name_of(content).expect("a name").to_string();
        let [complete, begun] = [0, 1].map(|part| large_part_of(content, part));
        for name in [&whole, &complete, &begun] {
            fs::write(dir.path().join(name), [1; 100]).expect("is written");
        }
        // What has come whole has its holder's time before it gets its name.
        let file = File::open(dir.path().join(&complete)).expect("opens");
        file.set_modified(SystemTime::UNIX_EPOCH).expect("is set");
        let left = |now| {
            // As another node does that starts then.
            let cache = Cache::new(dir.path().to_owned(), 1000);
            cache.sweep_at(DISK, now);
            let files = cache.files(DISK).into_iter();
            let names = files.map(|(name, _)| name);
            names.collect::<BTreeSet<String>>()
        };
        let now = SystemTime::now();
        let parts = BTreeSet::from([complete, begun]);
        assert_eq!(left(now), parts);
        let moment = Duration::from_mins(1);
        assert_eq!(left(now + PART_KEPT - moment), parts);
        let later = now + PART_KEPT + moment;
        assert_eq!(left(later), BTreeSet::new());
    }

    #[test]
    fn nothing_is_removed_through_a_link_that_stands_for_the_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        let (elsewhere, link) = (dir.path().join("mine"), dir.path().join("reading"));
        fs::create_dir(&elsewhere).expect("is made");
        let name = name_of(merkle::content_of(&[3; 8192])).expect("a name");
        let name = name.to_string();
        fs::write(elsewhere.join(&name), [3; 8192]).expect("is written");
        std::os::unix::fs::symlink(&elsewhere, &link).expect("a link");
        let cache = Cache::new(link, 1);
        assert!(cache.store(DISK).is_err());
        assert!(elsewhere.join(name).exists());
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

//! A large file that is being fetched: written in any order, kept if the fetch
//! is interrupted.
//!
//! Owns the file beside the target, `.thorp-<16 hex of the
//! root>-<length>.part`: sparse, locked while a fetch writes it, and kept for
//! the next fetch of the same content. Its bytes are not trusted: that fetch
//! hashes them first, and the file gets its final name only once the caller
//! says that all of it is verified.
//!
//! Its folder may be moved or removed meanwhile, and takes the open file along: whoever writes to
//! it [waits for that](Store::moved), and it is looked at once more before it gets its name.
//!
//! It is synced to disk before it gets that name, unlike small files: one sync
//! costs little beside fetching it, and without it the cache of roots would
//! trust a stamp whose bytes a power cut has taken.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use cap_std::fs::{Dir, Metadata, MetadataExt as _, OpenOptions};
use rustix::fs::{FallocateFlags, FlockOperation, Mode, OFlags, StatVfs};
use rustix::io::Errno;
use thorp_disk::{DiskThread, LetGo};
use thorp_wire::layout::{Layout, Piece};
use thorp_wire::merkle::{LEAF, leaf_hashes};
use thorp_wire::reserved::large_part_of;
use thorp_wire::{Attributes, Content, Name};
use tokio::time::sleep;

use super::naming::must_be_taken;
use super::{Aside, BUFFER, FileIdentity, Replace, Store, StoreError, Stored, failed};
use crate::attributes;
use crate::holes;
use crate::stamp::Stamp;

/// How many fetches of the same content there may be at once, in one folder.
const MOST_AT_ONCE: u32 = 16;

/// How often to check that it is in its place, while it is written.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(250);

/// See the module. Read and written from several threads.
#[derive(Debug)]
pub struct Partial(LetGo<Open>);

#[derive(Debug)]
struct Open {
    folder: Dir,
    part: String,
    file: File,
    target: Name,
    content: Content,
    /// For messages.
    path: PathBuf,
    /// Whether no earlier fetch has left it.
    is_new: bool,
    /// Whether there is something in it that is worth keeping.
    worth_keeping: AtomicBool,
    named: AtomicBool,
    /// The last field: dropped when the file is closed and another fetch may have it.
    held: Mutex<Vec<Box<dyn Send + Debug>>>,
}

impl Store {
    /// The file in which this content arrives before it gets the name `name`: a
    /// new one, or one that an earlier fetch has left.
    pub fn partial(
        &self,
        _: DiskThread,
        name: &Name,
        content: Content,
    ) -> Result<Partial, StoreError> {
        let folder = self.folder(name)?;
        // What is known to fail is not fetched first.
        must_be_taken(&folder, name.base()).map_err(|error| self.failed(name, error))?;
        let (part, file) =
            take(&folder, content).map_err(|error| failed(self.path_of(name), error))?;
        let there = file.metadata();
        let there = there
            .map_err(|error| failed(self.path_of(name), error))?
            .len();
        let partial = Partial(LetGo::new(Open {
            folder,
            part,
            file,
            target: name.clone(),
            content,
            path: self.path_of(name),
            is_new: there == 0,
            worth_keeping: AtomicBool::new(false),
            named: AtomicBool::new(false),
            held: Mutex::default(),
        }));
        partial.set_length(there)?;
        Ok(partial)
    }

    /// Removes what earlier fetches have left of this content, but for what a fetch holds.
    pub fn discard_left(
        &self,
        _: DiskThread,
        name: &Name,
        content: Content,
    ) -> Result<(), StoreError> {
        let folder = self.folder(name)?;
        let parts = (0..MOST_AT_ONCE).map(|number| large_part_of(content, number));
        for part in parts.filter(|part| folder.symlink_metadata(part).is_ok()) {
            let discarded = take_one(&folder, Path::new(&part)).and_then(|held| match held {
                Some(_) => folder.remove_file(&part),
                None => Ok(()),
            });
            discarded.map_err(|error| failed(self.path_of(name), error))?;
        }
        Ok(())
    }

    /// Gives a file its name, now that all of it has been verified; with
    /// `set_aside`, what is in the way is renamed right before.
    pub fn finish(
        &self,
        disk: DiskThread,
        partial: &Partial,
        attributes: Option<Attributes>,
        replace: Replace,
        set_aside: Option<&str>,
    ) -> Result<Stored, StoreError> {
        let io = |error| partial.failed(error);
        attributes::give(&partial.0.file, attributes);
        thorp_disk::synced(partial.0.file.sync_all()).map_err(io)?;
        self.must_be_in_place(disk, partial)?;
        if partial.0.file.metadata().map_err(io)?.len() != partial.0.content.length {
            return Err(io(io::Error::other(
                "another program has changed its length while it was fetched; get it again",
            )));
        }
        let aside = self.set_aside(disk, &partial.0.target, set_aside)?;
        let named = self.give_name(
            &partial.0.folder,
            &partial.0.part,
            partial.0.target.base(),
            replace,
        );
        if named.is_err() {
            // It stays a part, which is as old as it was written.
            attributes::give_time_of_now(&partial.0.file);
        }
        named.map_err(io)?;
        Aside::stays(aside);
        partial.0.named.store(true, Ordering::Relaxed);
        partial.0.sync_name();
        Ok(Stored {
            path: partial.0.path.clone(),
            // After the rename, which changes the time of change.
            stamp: partial.stamp(disk).map_err(io)?,
        })
    }

    /// Refuses to go on where a file is not where it is to get its name: its folder, the directory
    /// or the file itself was moved, replaced or removed since.
    pub fn must_be_in_place(&self, _: DiskThread, partial: &Partial) -> Result<(), StoreError> {
        let Open {
            folder,
            part,
            file,
            target,
            ..
        } = &*partial.0;
        let open = Metadata::from_file(file).map_err(|error| partial.failed(error))?;
        self.must_lead_to(target, folder, part, FileIdentity::of(&open))
    }

    /// Waits until a file is not where it is to get its name: nothing may be written to it then.
    pub async fn moved(self: &Arc<Self>, partial: &Arc<Partial>) -> StoreError {
        let (store, partial) = (Arc::clone(self), Arc::clone(partial));
        until_moved(move |disk| store.must_be_in_place(disk, &partial)).await
    }
}

/// Looks now and then, until that says that something has moved.
pub(crate) async fn until_moved(
    look: impl Fn(DiskThread) -> Result<(), StoreError> + Send + Sync + 'static,
) -> StoreError {
    let look = Arc::new(look);
    loop {
        sleep(LOOK_EVERY).await;
        let look = Arc::clone(&look);
        let looked = thorp_disk::spawn(move |disk| look(disk)).await;
        if let Ok(Err(moved @ (StoreError::Moved { .. } | StoreError::FolderMoved { .. }))) = looked
        {
            return moved;
        }
    }
}

impl Partial {
    /// The content it is to have.
    pub fn content(&self) -> Content {
        self.0.content
    }

    /// The name that it will have.
    pub fn target(&self) -> &Name {
        &self.0.target
    }

    /// Where it is to be, for messages.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Drops this when the file is closed, and another fetch may have it.
    pub fn keep_until_closed(&self, thing: impl Send + Debug + 'static) {
        let held = self.0.held.lock();
        held.unwrap_or_else(PoisonError::into_inner)
            .push(Box::new(thing));
    }

    /// Its state now.
    pub fn stamp(&self, _: DiskThread) -> io::Result<Stamp> {
        let file = self.0.file.try_clone()?;
        Stamp::of(&cap_std::fs::File::from_std(file))
    }

    /// Reads bytes that were written before.
    pub fn read(&self, _: DiskThread, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.file.read_exact_at(bytes, offset)
    }

    /// Writes bytes at their place in the file. Whole leaves of zeros stay holes, where
    /// nothing else was written before.
    pub fn write(&self, _: DiskThread, bytes: &[u8], offset: u64) -> Result<(), StoreError> {
        self.0
            .write(bytes, offset)
            .map_err(|error| self.failed(error))
    }

    /// Hashes the pieces that an earlier fetch has left, one by one. `each`
    /// gets a piece and the hashes of its leaves, and returns whether to go on.
    /// Pieces of which nothing was written are passed over.
    pub fn recheck(
        &self,
        disk: DiskThread,
        mut each: impl FnMut(Piece, Vec<[u8; 32]>) -> bool,
    ) -> io::Result<()> {
        let layout = Layout::of(self.0.content.length);
        self.reread(disk, layout, |piece, bytes| each(piece, leaf_hashes(bytes)))
    }

    /// Reads the pieces that an earlier fetch has left, where they are cut like this. The rest is
    /// as for [`recheck`](Self::recheck).
    pub fn reread(
        &self,
        disk: DiskThread,
        layout: Layout,
        mut each: impl FnMut(Piece, &[u8]) -> bool,
    ) -> io::Result<()> {
        if self.0.is_new && !self.0.worth_keeping.load(Ordering::Relaxed) {
            // Where a file system has no holes, it is full of zeros.
            return Ok(());
        }
        let mut bytes = vec![0; layout.piece_length() as usize];
        let mut next = 0;
        while let Some(data) = self.0.data_from(next)? {
            let number = data / u64::from(layout.piece_length());
            let Some(piece) = u32::try_from(number).ok().and_then(|n| layout.piece(n)) else {
                break;
            };
            let bytes = &mut bytes[..layout.length_of(piece) as usize];
            let begin = layout.begin_of(piece);
            self.read(disk, bytes, begin)?;
            self.0.worth_keeping.store(true, Ordering::Relaxed);
            if !each(piece, bytes) {
                break;
            }
            next = begin + bytes.len() as u64;
        }
        Ok(())
    }

    /// Where its folder was moved, says where to, if so many `bytes` of it are kept there.
    pub fn followed(&self, disk: DiskThread, error: StoreError, bytes: u64) -> StoreError {
        let (StoreError::Moved { path } | StoreError::FolderMoved { path }) = &error else {
            return error;
        };
        let path = path.clone();
        match self.part_now(disk).filter(|_| bytes > 0) {
            Some(part) => StoreError::PartMoved { path, part, bytes },
            None => error,
        }
    }

    /// Where it is now, if it is anywhere and the system says so.
    fn part_now(&self, _: DiskThread) -> Option<PathBuf> {
        let folder = format!("/proc/self/fd/{}", self.0.folder.as_raw_fd());
        let part = std::fs::read_link(folder).ok()?.join(&self.0.part);
        let there = std::fs::symlink_metadata(&part).ok()?;
        let open = self.0.file.metadata().ok()?;
        ((there.dev(), there.ino()) == (open.dev(), open.ino())).then_some(part)
    }

    /// Removes it: what was wanted of it is elsewhere now. It can still be read.
    pub fn discard(&self, _: DiskThread) -> io::Result<()> {
        if self.0.named.swap(true, Ordering::Relaxed) || !self.0.is_in_place()? {
            return Ok(());
        }
        self.0.folder.remove_file(&self.0.part)
    }

    /// What an error of this file means.
    pub fn failed(&self, error: io::Error) -> StoreError {
        failed(self.0.path.clone(), error)
    }

    /// Refuses to go on where the disk has no room for so many bytes that are to come, and for
    /// `beside` in other files.
    pub fn must_have_room(
        &self,
        disk: DiskThread,
        to_come: u64,
        beside: u64,
    ) -> Result<(), StoreError> {
        let missing = self.missing(disk, to_come);
        let missing = missing.map_err(|error| self.failed(error))?;
        self.must_hold(missing.saturating_add(beside), |disk| disk.f_bavail)
    }

    /// Whether the disk has room for so many bytes in other files, as far as it says.
    pub fn has_room_beside(&self, _: DiskThread, bytes: u64) -> bool {
        self.must_hold(bytes, |disk| disk.f_bavail).is_ok()
    }

    /// Whether it can give back the room of bytes that are elsewhere: not every file system makes
    /// holes in a file that has none.
    pub fn can_give_back(&self, _: DiskThread) -> bool {
        // Behind its end there is nothing to lose.
        self.0.make_hole(self.0.content.length, LEAF as u64).is_ok()
    }

    /// Gives back the room of bytes that are elsewhere now, if it [can](Self::can_give_back).
    pub fn give_back(&self, _: DiskThread, offset: u64, length: u64) -> io::Result<()> {
        self.0.make_hole(offset, length)
    }

    /// Returns for how many of the bytes that are to come no room is taken yet.
    pub fn missing(&self, _: DiskThread, to_come: u64) -> io::Result<u64> {
        let taken = self.0.file.metadata()?.blocks().saturating_mul(512);
        // A file system without holes has taken all of it already.
        Ok(to_come.min(self.0.content.length.saturating_sub(taken)))
    }

    /// Where a file system does not say how large it is, writing will tell.
    fn must_hold(&self, bytes: u64, blocks: impl Fn(&StatVfs) -> u64) -> Result<(), StoreError> {
        match rustix::fs::fstatvfs(&self.0.file) {
            Ok(disk) if disk.f_blocks > 0 => {
                let has_room = blocks(&disk).saturating_mul(disk.f_frsize) >= bytes;
                let path = self.0.path.clone();
                has_room.then_some(()).ok_or(StoreError::Full { path })
            }
            _ => Ok(()),
        }
    }

    /// Makes the file as long as it will be, without taking the space yet: how much it
    /// takes is not known before its hashes are, since zeros take none. But one that is
    /// longer than the whole disk is not even begun.
    fn set_length(&self, there: u64) -> Result<(), StoreError> {
        self.must_hold(self.0.content.length, |disk| disk.f_blocks)?;
        if there == self.0.content.length {
            return Ok(());
        }
        match self.0.file.set_len(self.0.content.length) {
            // Some FUSE file systems cannot make a file longer without writing to it.
            Err(error) if is_barred(&error) && there < self.0.content.length => self.fill_up(there),
            lengthened => lengthened.map_err(|error| self.failed(error)),
        }
    }

    /// Takes all the space now.
    fn fill_up(&self, there: u64) -> Result<(), StoreError> {
        let missing = self.0.content.length.saturating_sub(there);
        self.must_hold(missing, |disk| disk.f_bavail)?;
        self.0.write_zeros(there).map_err(|error| {
            // If it cannot be cut either, it is removed, unless it was there before.
            let _ = self.0.file.set_len(there);
            self.failed(error)
        })
    }
}

impl Open {
    fn make_hole(&self, offset: u64, length: u64) -> io::Result<()> {
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(rustix::fs::fallocate(&self.file, hole, offset, length)?)
    }

    fn write_zeros(&self, mut there: u64) -> io::Result<()> {
        let zeros = vec![0; BUFFER];
        while there < self.content.length {
            let missing = usize::try_from(self.content.length - there).unwrap_or(BUFFER);
            let some = &zeros[..missing.min(BUFFER)];
            self.file.write_all_at(some, there)?;
            there += some.len() as u64;
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        // What is to be written, from here to the leaf that is looked at.
        let (mut run, mut at) = (0..0, offset);
        for leaf in bytes.chunks(LEAF) {
            let stays = is_zero(leaf) && self.is_hole(at, leaf.len() as u64)?;
            at += leaf.len() as u64;
            if stays {
                self.write_run(bytes, run.clone(), offset)?;
                run.start = run.end + leaf.len();
                run.end = run.start;
            } else {
                run.end += leaf.len();
            }
        }
        self.write_run(bytes, run, offset)
    }

    fn write_run(&self, bytes: &[u8], run: Range<usize>, offset: u64) -> io::Result<()> {
        if run.is_empty() {
            return Ok(());
        }
        self.worth_keeping.store(true, Ordering::Relaxed);
        let at = offset + run.start as u64;
        self.file.write_all_at(&bytes[run], at)
    }

    fn is_hole(&self, offset: u64, length: u64) -> io::Result<bool> {
        holes::is_hole(&self.file, offset, length)
    }

    /// Where the next byte is that was ever written, at or behind this offset.
    fn data_from(&self, offset: u64) -> io::Result<Option<u64>> {
        if offset >= self.content.length {
            return Ok(None);
        }
        holes::data_from(&self.file, offset)
    }

    /// Has its name on disk before anybody is told that it is there. Not every file system can do
    /// that for a folder; then it does so in its own time, and until then the part is what a power
    /// cut leaves.
    fn sync_name(&self) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(&self.folder, ".", flags, Mode::empty());
        let _ = folder.and_then(rustix::fs::fsync);
    }

    /// Whether its temporary name still means this file, wherever the folder is by now.
    fn is_in_place(&self) -> io::Result<bool> {
        let named = self.folder.symlink_metadata(&self.part)?;
        let open = self.file.metadata()?;
        Ok(named.is_file() && named.ino() == open.ino() && named.dev() == open.dev())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let worthless = !self.worth_keeping.load(Ordering::Relaxed);
        let named = self.named.load(Ordering::Relaxed);
        if worthless && !named && self.holds_nothing() {
            // If it cannot be removed now, a later sweep does it.
            let _ = self.folder.remove_file(&self.part);
        }
    }
}

impl Open {
    fn holds_nothing(&self) -> bool {
        let holds_nothing = self.is_new || matches!(self.data_from(0), Ok(None));
        holds_nothing && self.is_in_place().unwrap_or(false)
    }
}

/// Whether the file system refuses this on any file: the file was opened to be written.
fn is_barred(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::PERM | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL)
    )
}

pub(super) fn is_zero(leaf: &[u8]) -> bool {
    leaf == &[0; LEAF][..leaf.len()]
}

/// Makes the file, or takes an existing one that no fetch holds.
fn take(folder: &Dir, content: Content) -> io::Result<(String, File)> {
    for number in 0..MOST_AT_ONCE {
        let part = large_part_of(content, number);
        if let Some(file) = take_one(folder, Path::new(&part))? {
            return Ok((part, file));
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// `None` if another fetch holds it, or if it is no file.
fn take_one(folder: &Dir, part: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    // If a sweep removes the file meanwhile, it is made again.
    loop {
        match folder.symlink_metadata(part) {
            Ok(meta) if !meta.is_file() => return Ok(None),
            _ => {}
        }
        let file = match folder.open_with(part, &options) {
            Ok(file) => file,
            // Another user has it.
            Err(error)
                if error.kind() == io::ErrorKind::PermissionDenied
                    && folder.symlink_metadata(part).is_ok() =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if !lock(&file) {
            return Ok(None);
        }
        let open = file.metadata()?;
        match folder.symlink_metadata(part) {
            Ok(named) if named.is_file() && named.ino() == open.ino() => {
                return Ok(Some(file.into_std()));
            }
            Ok(named) if !named.is_file() => return Ok(None),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

/// Locks a part for one fetch; `false` if another fetch has it.
fn lock(file: impl AsFd) -> bool {
    let would_block = |lock| rustix::fs::flock(&file, lock) == Err(Errno::WOULDBLOCK);
    // Where a file system has no locks, nothing is swept either.
    while would_block(FlockOperation::NonBlockingLockExclusive) {
        // Those who only look for leftovers share the lock, and let go of it at once.
        if would_block(FlockOperation::NonBlockingLockShared) {
            return false;
        }
        thread::yield_now();
    }
    true
}

#[cfg(test)]
mod tests;

//! Where fetched files arrive: a share, or any other directory.
//!
//! Owns how bytes become a file: verified first, written under a temporary
//! name, then renamed without replacing. No reader ever sees a byte under the
//! final name that is not the file's. Decides nothing about where to fetch
//! from, nor what to do when something is there already.
//!
//! A large file arrives in a [`Partial`], which is kept for a week if the fetch
//! is interrupted. Of a small file nothing is kept.
//!
//! Small files are not synced to disk. They come by the thousand, and a sync for
//! each would cost more than fetching it again after a power cut; what is in
//! the share then is hashed as it is, so a damaged file is never offered as the
//! whole one.

mod looking;
mod naming;
mod partial;
mod parts;
mod small;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, FileExt, Metadata, MetadataExt, OpenOptions, OpenOptionsExt};
use rustix::fs::{FlockOperation, OFlags};
use thiserror::Error;
use thorp_disk::DiskThread;
use thorp_wire::frame::MAX_INLINE;
use thorp_wire::merkle::Hasher;
use thorp_wire::reserved::{is_part, part_of, probe_of};
use thorp_wire::{Attributes, Content, Name};

use crate::attributes;
use crate::holes::{self, Run};
use crate::stamp::{Stamp, last_written};

pub use looking::Looking;
use naming::{Naming, is_refusal_of_a_name, must_be_taken};
pub use partial::Partial;
pub(crate) use partial::{LOOK_EVERY, until_moved};
pub use parts::{Placed, TorrentPart};
pub use small::{Batch, SmallFile};

/// How long the part of a large file is kept, for the next fetch of the same
/// content.
const KEPT: Duration = Duration::from_hours(7 * 24);

/// How much is read at once.
const BUFFER: usize = 256 * 1024;
/// Parts of a name that are no longer than this, in bytes, are not too long for any file system.
const SHORT_PART: usize = 64;

/// A directory to put files into, and nothing outside it.
pub struct Store {
    dir: Dir,
    /// For messages only; every path is opened beneath `dir`.
    path: PathBuf,
    naming: Naming,
}

/// Whether to replace what goes by the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// Never.
    No,
    /// Because the user said so.
    Yes,
}

/// A file as its file system numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
        }
    }
}

/// What is at the place where a file is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Nothing.
    Free,
    /// Something.
    Exists {
        /// Bytes in it.
        length: u64,
        /// Last modified, in seconds since 1970.
        mtime: i64,
    },
}

/// A file that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where it is now.
    pub path: PathBuf,
    /// Its state on arrival.
    pub stamp: Stamp,
}

/// Why a file was not stored. Nothing was changed then.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Something goes by that name already.
    #[error("{} exists already", shown(path))]
    Exists {
        /// Its path.
        path: PathBuf,
    },
    /// The bytes are not those that were promised.
    #[error("what arrived for {} is not what was listed", shown(path))]
    Mismatch {
        /// Where they were to go.
        path: PathBuf,
    },
    /// A file goes by the name of a folder that is needed.
    #[error("{} is a file, and a folder is needed there", shown(path))]
    FileInTheWay {
        /// Its path.
        path: PathBuf,
    },
    /// The directory itself is no longer where it was.
    #[error("{} was moved, replaced or removed", shown(path))]
    Moved {
        /// Where it was.
        path: PathBuf,
    },
    /// A folder that a file is on its way into, or what has come of it, is no longer where it was.
    #[error("{} was moved, replaced or removed while a file came", shown(path))]
    FolderMoved {
        /// Where it was.
        path: PathBuf,
    },
    /// The directory or a folder in it is no longer where it was, and has taken along what has come
    /// of a file.
    #[error("{} was moved or replaced, and {} with it", shown(path), shown(part))]
    PartMoved {
        /// Where it was.
        path: PathBuf,
        /// What has come, where that is now.
        part: PathBuf,
        /// How much of the file that is.
        bytes: u64,
    },
    /// A folder goes by the name of the file.
    #[error("{} is a folder", shown(path))]
    FolderInTheWay {
        /// Its path.
        path: PathBuf,
    },
    /// A pipe, a device or a socket goes by the name of the file.
    #[error("{} is no file and no folder", shown(path))]
    SpecialInTheWay {
        /// Its path.
        path: PathBuf,
    },
    /// A symbolic link on the way leads out of the directory.
    #[error("{} leads out of the directory through a link", shown(path))]
    LeadsOutside {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// The file system has no names that long.
    #[error("{} is too long a name for this file system", shown(path))]
    NameTooLong {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// The file system has no names with such characters.
    #[error("{} has characters that this file system has in no name", shown(path))]
    NameRefused {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// Mounted read-only.
    #[error("{} cannot be written, the file system is read-only", shown(path))]
    ReadOnly {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// No permission.
    #[error("{} cannot be written", shown(path))]
    Denied {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// No space, or the quota is used up.
    #[error("{} does not fit, the disk is full", shown(path))]
    Full {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// There is no such directory.
    #[error("there is no directory {}", shown(path))]
    NoDirectory {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// Anything else.
    #[error("{} cannot be written ({source})", shown(path))]
    Io {
        /// The path that was asked for.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Store {
    /// A store in this directory, which goes by `path` in messages.
    pub fn new(dir: Dir, path: PathBuf) -> Self {
        let naming = Naming::default();
        Self { dir, path, naming }
    }

    /// A store in the directory at `path`, which must be there.
    pub fn open(_: DiskThread, path: &Path) -> Result<Self, StoreError> {
        let opened = path.canonicalize().and_then(|full| {
            let dir = Dir::open_ambient_dir(&full, ambient_authority())?;
            Ok(Self::new(dir, full))
        });
        opened.map_err(|source| {
            let path = path.to_owned();
            match source.kind() {
                io::ErrorKind::NotFound => StoreError::NoDirectory { path },
                io::ErrorKind::NotADirectory => StoreError::FileInTheWay { path },
                _ => failed(path, source),
            }
        })
    }

    /// The directory's path, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The full path of a name, for messages.
    pub fn path_of(&self, name: &Name) -> PathBuf {
        self.path.join(name.as_str())
    }

    /// What is at the place of this file. Writes nothing.
    pub fn check(&self, _: DiskThread, name: &Name) -> Result<Destination, StoreError> {
        match self.destination(name, self.dir.symlink_metadata(name.as_str()))? {
            Destination::Free => self.free_if_not_too_long(name),
            there @ Destination::Exists { .. } => Ok(there),
        }
    }

    /// Of a name whose folder is not there, nothing is said of the rest. It is made on the file
    /// system of the folders above, which says there whether a part is too long.
    fn free_if_not_too_long(&self, name: &Name) -> Result<Destination, StoreError> {
        let parts = name.as_str().split('/').filter(|_| name.folder().is_some());
        let mut parts = parts.filter(|part| part.len() > SHORT_PART);
        let too_long = parts.find_map(|part| {
            let error = self.dir.symlink_metadata(part).err()?;
            (error.kind() == io::ErrorKind::InvalidFilename).then_some(error)
        });
        match too_long {
            Some(error) => Err(self.failed(name, error)),
            None => Ok(Destination::Free),
        }
    }

    /// Which file goes by that name, as its file system numbers it. `None` if none does, or it
    /// cannot be looked at.
    pub fn identity(&self, _: DiskThread, name: &Name) -> Option<FileIdentity> {
        let meta = self.dir.symlink_metadata(name.as_str()).ok()?;
        Some(FileIdentity::of(&meta))
    }

    /// What is at the place of this file, by what was seen there.
    fn destination(
        &self,
        name: &Name,
        seen: io::Result<Metadata>,
    ) -> Result<Destination, StoreError> {
        match seen {
            Ok(meta) if meta.is_dir() => Err(StoreError::FolderInTheWay {
                path: self.path_of(name),
            }),
            Ok(meta) if !meta.is_file() && !meta.is_symlink() => Err(StoreError::SpecialInTheWay {
                path: self.path_of(name),
            }),
            Ok(meta) => {
                let stamp = Stamp::new(&meta);
                Ok(Destination::Exists {
                    length: stamp.length,
                    mtime: stamp.mtime,
                })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Destination::Free),
            Err(error) => Err(self.failed(name, error)),
        }
    }

    /// Whether exactly this content goes by that name. Reads the file where the
    /// length is right, for as long as `go_on` says.
    pub fn holds(
        &self,
        disk: DiskThread,
        name: &Name,
        content: Content,
        go_on: impl Fn() -> bool,
    ) -> Result<bool, StoreError> {
        match self.check(disk, name)? {
            Destination::Exists { length, .. } if length == content.length => {}
            _ => return Ok(false),
        }
        self.content(name, content.length, go_on)
            .map(|found| found == Some(content))
            .map_err(|error| self.failed(name, error))
    }

    /// Stores a copy of `from`, of any length, as [`put`](Self::put) does. It is
    /// verified while it is copied, and gets its name afterwards; with `set_aside`,
    /// what is in the way is renamed right before.
    pub fn copy(
        &self,
        disk: DiskThread,
        name: &Name,
        content: Content,
        attributes: Option<Attributes>,
        from: &File,
        (replace, set_aside): (Replace, Option<&str>),
    ) -> Result<Stored, StoreError> {
        // What is known to fail is not copied first.
        let is_taken = |name: &Name| -> Result<bool, StoreError> {
            Ok(self.check(disk, name)? != Destination::Free)
        };
        if (replace == Replace::No || set_aside.is_some()) && is_taken(name)? {
            let other = set_aside.map(|other| self.aside(name, other));
            let other = other.transpose()?;
            if other.as_ref().map_or(Ok(true), is_taken)? {
                let path = self.path_of(other.as_ref().unwrap_or(name));
                return Err(StoreError::Exists { path });
            }
        }
        let folder = self.folder(name)?;
        let failed = |error| self.failed(name, error);
        must_be_taken(&folder, name.base()).map_err(failed)?;
        let (file, mut part) = Part::create(&folder, content).map_err(failed)?;
        if copied(from, &file, content.length).map_err(failed)? != content {
            return Err(StoreError::Mismatch {
                path: self.path_of(name),
            });
        }
        attributes::give(&file, attributes);
        if content.length > MAX_INLINE {
            thorp_disk::synced(file.sync_all()).map_err(failed)?;
        }
        let identity = FileIdentity::of(&file.metadata().map_err(failed)?);
        self.must_lead_to(name, &folder, &part.name, identity)?;
        let aside = self.set_aside(disk, name, set_aside)?;
        self.give_name(&folder, &part.name, name.base(), replace)
            .map_err(failed)?;
        Aside::stays(aside);
        part.renamed = true;
        Ok(Stored {
            path: self.path_of(name),
            stamp: Stamp::of(&file).map_err(failed)?,
        })
    }

    /// Renames the file `name`, if there is one and it is to be: gives it another last part.
    /// Nothing is replaced. It has its name back unless [`Aside::stays`] says that another file
    /// has it now.
    fn set_aside(
        &self,
        disk: DiskThread,
        name: &Name,
        base: Option<&str>,
    ) -> Result<Option<Aside<'_>>, StoreError> {
        let Some(base) = base else {
            return Ok(None);
        };
        let other = self.aside(name, base)?;
        if self.check(disk, name)? == Destination::Free {
            return Ok(None);
        }
        let folder = match name.folder() {
            Some(folder) => self.dir.open_dir(folder),
            None => self.dir.try_clone(),
        };
        let folder = folder.map_err(|error| self.failed(name, error))?;
        self.naming
            .rename_new(&folder, name.base(), other.base())
            .map_err(|error| self.failed(&other, error))?;
        Ok(Some(Aside {
            store: self,
            folder,
            base: name.base().to_owned(),
            meanwhile: other.base().to_owned(),
            stays: false,
        }))
    }

    /// The name of a file with another last part.
    fn aside(&self, name: &Name, base: &str) -> Result<Name, StoreError> {
        match name.with_base(base) {
            Ok(other) if !base.contains('/') => Ok(other),
            _ => Err(StoreError::NameTooLong {
                path: self.path.join(base),
            }),
        }
    }

    /// Removes the temporary files of interrupted fetches from the directory
    /// itself; those of large files only after a week. Does not look beneath
    /// it: it may be a user's home. A share finds those in its folders while it
    /// is scanned.
    pub fn sweep(&self, _: DiskThread) {
        self.sweep_at(SystemTime::now());
    }

    fn sweep_at(&self, now: SystemTime) {
        let Ok(entries) = self.dir.entries() else {
            return;
        };
        for entry in entries.flatten() {
            if is_part(&entry.file_name()) {
                // What cannot be removed now is tried again at the next start.
                let _ = sweep_part(&self.dir, Path::new(&entry.file_name()), now);
            }
        }
    }

    /// Removes a temporary file, unless a fetch that is running holds it.
    pub(crate) fn sweep_part(&self, part: &Path) {
        let _ = sweep_part(&self.dir, part, SystemTime::now());
    }

    fn give_name(&self, folder: &Dir, part: &str, base: &str, replace: Replace) -> io::Result<()> {
        match replace {
            Replace::No => self.naming.rename_new(folder, part, base),
            Replace::Yes => folder.rename(part, folder, base),
        }
    }

    /// The folder of that name, made where it is not there.
    fn folder(&self, name: &Name) -> Result<Dir, StoreError> {
        let Some(folder) = name.folder() else {
            return self
                .dir
                .try_clone()
                .map_err(|error| self.failed(name, error));
        };
        let opened = self
            .dir
            .open_dir(folder)
            .or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => {
                    // If this fails because something is in the way, opening says what.
                    match self.dir.create_dir_all(folder) {
                        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
                        _ => self.dir.open_dir(folder),
                    }
                }
                _ => Err(error),
            });
        opened.map_err(|error| self.failed(name, error))
    }

    /// Whether the directory's path still leads to it. Its handle goes along where it is moved.
    pub(crate) fn is_in_place(&self) -> io::Result<bool> {
        let there = Metadata::from_just_metadata(std::fs::metadata(&self.path)?);
        let open = self.dir.dir_metadata()?;
        Ok(FileIdentity::of(&there) == FileIdentity::of(&open))
    }

    /// Refuses to go on where the directory is not where it was, or the folder of this name not
    /// the one that has this temporary file: what is moved takes its handle along.
    fn must_lead_to(
        &self,
        name: &Name,
        folder: &Dir,
        part: &str,
        file: FileIdentity,
    ) -> Result<(), StoreError> {
        match self.is_in_place() {
            Ok(true) => {}
            Err(error) if !has_moved(&error) => return Err(failed(self.path.clone(), error)),
            Ok(false) | Err(_) => {
                let path = self.path.clone();
                return Err(StoreError::FolderMoved { path });
            }
        }
        let inside = Path::new(name.folder().unwrap_or_default());
        match self.dir.symlink_metadata(inside.join(part)) {
            Ok(there) if FileIdentity::of(&there) == file => return Ok(()),
            Err(error) if !has_moved(&error) => return Err(failed(self.path_of(name), error)),
            Ok(_) | Err(_) => {}
        }
        let path = self.path.join(inside);
        let is_this = |there: &Metadata| {
            let held = folder.dir_metadata();
            held.is_ok_and(|held| FileIdentity::of(&held) == FileIdentity::of(there))
        };
        let there = match name.folder() {
            Some(folder) => self.dir.metadata(folder),
            None => self.dir.dir_metadata(),
        };
        // The folder is there: somebody has taken the file alone.
        let is_there = there.as_ref().is_ok_and(is_this);
        let path = if is_there { path.join(part) } else { path };
        Err(StoreError::FolderMoved { path })
    }

    fn opened(&self, name: &Name) -> io::Result<File> {
        let mut options = OpenOptions::new();
        // It may be a pipe by now, or a link.
        let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
        options.read(true).custom_flags(flags.bits().cast_signed());
        self.dir.open_with(name.as_str(), &options)
    }

    /// What is in a file of this length; nothing, if it has another one or is none.
    fn content(
        &self,
        name: &Name,
        length: u64,
        go_on: impl Fn() -> bool,
    ) -> io::Result<Option<Content>> {
        let file = self.opened(name)?;
        let meta = file.metadata()?;
        if !meta.is_file() || meta.len() != length {
            return Ok(None);
        }
        let mut hasher = Hasher::default();
        let read = holes::read(&file, length, &mut vec![0; BUFFER], |run| {
            match run {
                Run::Bytes(bytes) => hasher.update(bytes),
                Run::Zeros(number) => hasher.update_zeros(number),
            }
            Ok(go_on())
        })?;
        Ok((read == length && file.metadata()?.len() == length).then(|| hasher.finish()))
    }

    /// Whether a file was given its name by looking and then renaming, because the
    /// file system cannot do both in one step.
    pub fn has_looked_first(&self) -> bool {
        self.naming.has_looked()
    }

    /// What an error on the way to this name means.
    fn failed(&self, name: &Name, error: io::Error) -> StoreError {
        match error.kind() {
            io::ErrorKind::NotADirectory | io::ErrorKind::NotFound => {
                match self.file_in_the_way(name) {
                    Some(path) => StoreError::FileInTheWay {
                        path: self.path.join(path),
                    },
                    None => failed(self.path_of(name), error),
                }
            }
            _ if is_refusal_of_a_name(&error) && probe_of(name.as_str()).is_some() => {
                StoreError::NameRefused {
                    path: self.path_of(name),
                }
            }
            _ => failed(self.path_of(name), error),
        }
    }

    /// The first part of a name's folder that is there and is no folder.
    fn file_in_the_way<'a>(&self, name: &'a Name) -> Option<&'a str> {
        let ends = name.as_str().match_indices('/').map(|(end, _)| end);
        ends.map(|end| &name.as_str()[..end])
            .find(|part| self.dir.symlink_metadata(part).is_ok() && !self.dir.is_dir(part))
    }
}

fn failed(path: PathBuf, error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::AlreadyExists => StoreError::Exists { path },
        io::ErrorKind::IsADirectory => StoreError::FolderInTheWay { path },
        io::ErrorKind::InvalidFilename => StoreError::NameTooLong { path },
        io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly { path },
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full { path },
        // The system has a number for its own refusals; cap-std's have none.
        io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => {
            StoreError::LeadsOutside { path }
        }
        io::ErrorKind::PermissionDenied => StoreError::Denied { path },
        _ => StoreError::Io {
            path,
            source: error,
        },
    }
}

/// Whether this says that a path leads somewhere else by now, and nothing about the disk.
fn has_moved(error: &io::Error) -> bool {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => true,
        // Out of the directory, by a link; the system's own refusals have a number.
        io::ErrorKind::PermissionDenied => error.raw_os_error().is_none(),
        _ => false,
    }
}

/// Copies a file of this length, and says what it was. Its holes stay holes.
fn copied(from: &File, to: &File, length: u64) -> io::Result<Content> {
    let mut hasher = Hasher::default();
    holes::read(from, length, &mut vec![0; BUFFER], |run| {
        match run {
            Run::Bytes(bytes) => {
                to.write_all_at(bytes, hasher.length())?;
                hasher.update(bytes);
            }
            Run::Zeros(number) => hasher.update_zeros(number),
        }
        Ok(true)
    })?;
    to.set_len(hasher.length())?;
    Ok(hasher.finish())
}

/// A file that has made way for another one. Dropped, it has its name back, if that is free.
struct Aside<'a> {
    store: &'a Store,
    folder: Dir,
    base: String,
    /// What it is called instead.
    meanwhile: String,
    stays: bool,
}

impl Aside<'_> {
    /// What it has made way for has its name.
    fn stays(aside: Option<Self>) {
        if let Some(mut aside) = aside {
            aside.stays = true;
        }
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        if !self.stays {
            // Where it cannot be, it stays under the name that its user chose for it.
            let naming = &self.store.naming;
            let _ = naming.rename_new(&self.folder, &self.meanwhile, &self.base);
        }
    }
}

/// The temporary name of a file that is being written. Dropping it removes the file.
struct Part<'a> {
    folder: &'a Dir,
    name: String,
    renamed: bool,
}

impl<'a> Part<'a> {
    /// Makes the file. As long as it is open it is locked, so that no sweep takes it for a
    /// leftover.
    fn create(folder: &'a Dir, content: Content) -> io::Result<(File, Self)> {
        let mut number = 0;
        loop {
            // The same content may be fetched twice at once.
            let name = part_of(content, number);
            let mut options = OpenOptions::new();
            match folder.open_with(&name, options.write(true).create_new(true)) {
                Ok(file) => {
                    // Where the file system has no locks, nothing is swept either.
                    let _ = rustix::fs::flock(&file, FlockOperation::LockExclusive);
                    // A sweep may have removed it between these two steps.
                    if file.metadata()?.nlink() > 0 {
                        let part = Self {
                            folder,
                            name,
                            renamed: false,
                        };
                        return Ok((file, part));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let now = SystemTime::now();
                    let in_use = sweep_part(folder, Path::new(&name), now).is_err();
                    number += u32::from(in_use);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        if !self.renamed {
            // If it cannot be removed it is swept at the next start.
            let _ = self.folder.remove_file(&self.name);
        }
    }
}

/// Removes a temporary file that no fetch holds. An error if a fetch holds it,
/// or if it is a young part of a large file.
fn sweep_part(dir: &Dir, part: &Path, now: SystemTime) -> io::Result<()> {
    let meta = dir.symlink_metadata(part)?;
    if !meta.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    if meta.len() > MAX_INLINE && is_young(&meta, now) {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    let file = dir.open_with(part, OpenOptions::new().write(true))?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    // Renamed since it was opened: its fetch was complete.
    let named = dir.symlink_metadata(part)?;
    if Stamp::new(&named).inode != Stamp::of(&file)?.inode {
        return Err(io::ErrorKind::NotFound.into());
    }
    dir.remove_file(part)
}

fn is_young(meta: &Metadata, now: SystemTime) -> bool {
    let modified = (meta.mtime(), meta.mtime_nsec());
    let written = last_written(modified, (meta.ctime(), meta.ctime_nsec()));
    // Its time is in the future: it counts as young.
    !matches!(now.duration_since(written), Ok(age) if age > KEPT)
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}

#[cfg(test)]
mod tests;

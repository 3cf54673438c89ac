//! Where fetched files arrive: a share, or any other directory.
//!
//! Owns how bytes become a file: verified first, written under a temporary
//! name, then renamed without replacing. Nobody ever sees a byte under the
//! final name that is not the file's. Decides nothing about where to fetch
//! from, nor what to do when something is there already.
//!
//! A large file arrives in a [`Partial`], which is kept for a week when it is
//! interrupted; of a small one nothing is.
//!
//! Small files are not synced to disk. They come by the thousand, and a sync for
//! each would cost more than fetching it again after a power cut; what is in
//! the share then is hashed as it is, so a damaged file is never offered as the
//! whole one.

mod partial;

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, Metadata, MetadataExt, OpenOptions};
use rustix::fs::{AtFlags, FlockOperation, RenameFlags, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;
use thiserror::Error;
use thorp_wire::frame::MAX_INLINE;
use thorp_wire::merkle::{self, Hasher};
use thorp_wire::reserved::{is_part, part_of};
use thorp_wire::{Content, Name};

use crate::stamp::Stamp;

pub use partial::Partial;

/// How long what is there of a large file is kept for whoever fetches it again.
const KEPT: Duration = Duration::from_hours(7 * 24);

/// A directory to put files into, and nothing outside it.
pub struct Store {
    dir: Dir,
    /// For messages only; every path is opened beneath `dir`.
    path: PathBuf,
}

/// Whether to replace what goes by the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// Never.
    No,
    /// Because the person said so.
    Yes,
}

/// What is where a file is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
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
    #[error("{} exists already: rename it, or choose another name", shown(path))]
    Exists {
        /// Its path.
        path: PathBuf,
    },
    /// The bytes are not those that were promised.
    #[error(
        "what arrived for {} is not what was listed: fetch it from another peer",
        shown(path)
    )]
    Mismatch {
        /// Where they were to go.
        path: PathBuf,
    },
    /// A file goes by the name of a folder that is needed.
    #[error(
        "{} is a file, and a folder is needed there: rename it, or choose another name",
        shown(path)
    )]
    FileInTheWay {
        /// Its path.
        path: PathBuf,
    },
    /// The directory itself is no longer where it was.
    #[error(
        "{} was moved, replaced or removed: share the directory again where it is now",
        shown(path)
    )]
    Moved {
        /// Where it was.
        path: PathBuf,
    },
    /// A folder goes by the name of the file.
    #[error(
        "{} is a folder: rename it, or choose another name for the file",
        shown(path)
    )]
    FolderInTheWay {
        /// Its path.
        path: PathBuf,
    },
    /// A symbolic link on the way leads out of the directory.
    #[error(
        "{} leads out of the directory through a link: choose another name",
        shown(path)
    )]
    LeadsOutside {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// The file system has no names that long.
    #[error(
        "{} is too long a name for this file system: choose a shorter one",
        shown(path)
    )]
    NameTooLong {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// Mounted read-only.
    #[error(
        "{} cannot be written, the file system is read-only: choose another directory",
        shown(path)
    )]
    ReadOnly {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// No permission.
    #[error("{} cannot be written: check the directory's permissions", shown(path))]
    Denied {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// No space, or the quota is used up.
    #[error(
        "{} does not fit, the disk is full: make room and try again",
        shown(path)
    )]
    Full {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// There is no such directory.
    #[error("there is no directory {}: create it or name another", shown(path))]
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
        Self { dir, path }
    }

    /// A store in the directory at `path`, which must be there.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
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

    /// The full path of a name, for people.
    pub fn path_of(&self, name: &Name) -> PathBuf {
        self.path.join(name.as_str())
    }

    /// What is where this file would go. Writes nothing.
    pub fn check(&self, name: &Name) -> Result<Target, StoreError> {
        match self.dir.symlink_metadata(name.as_str()) {
            Ok(meta) if meta.is_dir() => Err(StoreError::FolderInTheWay {
                path: self.path_of(name),
            }),
            Ok(meta) => {
                let stamp = Stamp::new(&meta);
                Ok(Target::Exists {
                    length: stamp.length,
                    mtime: stamp.mtime_seconds(),
                })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Target::Free),
            Err(error) => Err(self.failed(name, error)),
        }
    }

    /// Whether exactly this content goes by that name. Reads the file where the
    /// length is right.
    pub fn holds(&self, name: &Name, content: Content) -> Result<bool, StoreError> {
        match self.check(name)? {
            Target::Exists { length, .. } if length == content.length => {}
            _ => return Ok(false),
        }
        self.content(name)
            .map(|found| found == content)
            .map_err(|error| self.failed(name, error))
    }

    /// Stores a file. It has the bytes and, where given, the modification time
    /// of the listed one: sorted by date it lies where it lay at its holder's,
    /// and the same file listed by both is shown as one.
    ///
    /// The bytes are verified before anything is written.
    pub fn put(
        &self,
        name: &Name,
        content: Content,
        mtime: Option<i64>,
        bytes: &[u8],
        replace: Replace,
    ) -> Result<Stored, StoreError> {
        if merkle::content_of(bytes) != content {
            return Err(StoreError::Mismatch {
                path: self.path_of(name),
            });
        }
        if replace == Replace::No && self.check(name)? != Target::Free {
            return Err(StoreError::Exists {
                path: self.path_of(name),
            });
        }
        let folder = self.folder(name)?;
        let stamp = write_file(&folder, name.base(), content, mtime, bytes, replace)
            .map_err(|error| self.failed(name, error))?;
        Ok(Stored {
            path: self.path_of(name),
            stamp,
        })
    }

    /// Gives what goes by `name`, if anything does, another last part. Nothing
    /// is replaced.
    pub fn set_aside(&self, name: &Name, base: &str) -> Result<(), StoreError> {
        let other = match name.with_base(base) {
            Ok(other) if !base.contains('/') => other,
            _ => {
                return Err(StoreError::NameTooLong {
                    path: self.path.join(base),
                });
            }
        };
        if self.check(name)? == Target::Free {
            return Ok(());
        }
        let folder = match name.folder() {
            Some(folder) => self.dir.open_dir(folder),
            None => self.dir.try_clone(),
        };
        let folder = folder.map_err(|error| self.failed(name, error))?;
        rename_new(&folder, name.base(), other.base()).map_err(|error| self.failed(&other, error))
    }

    /// Removes what interrupted fetches have left in the directory itself; of
    /// large files, only what nobody has come back for in a week. Not
    /// beneath it: it may be somebody's home. A share finds those of its folders
    /// while it is scanned.
    pub fn sweep(&self) {
        let Ok(entries) = self.dir.entries() else {
            return;
        };
        for entry in entries.flatten() {
            if is_part(&entry.file_name()) {
                self.sweep_part(Path::new(&entry.file_name()));
            }
        }
    }

    /// Removes a temporary file, unless a fetch that is running holds it.
    pub(crate) fn sweep_part(&self, part: &Path) {
        // What cannot be removed now is tried again at the next start.
        let _ = sweep_part(&self.dir, part);
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

    fn content(&self, name: &Name) -> io::Result<Content> {
        let mut file = self.dir.open(name.as_str())?;
        let mut hasher = Hasher::default();
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(hasher.finish()),
                Ok(read) => hasher.update(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
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

fn write_file(
    folder: &Dir,
    base: &str,
    content: Content,
    mtime: Option<i64>,
    bytes: &[u8],
    replace: Replace,
) -> io::Result<Stamp> {
    let mut part = Part::create(folder, content)?;
    part.file.write_all(bytes)?;
    set_mtime(&part.file, mtime);
    give_name(folder, &part.name, base, replace)?;
    part.renamed = true;
    // After the rename, which changes the time of change.
    Stamp::of(&part.file)
}

fn set_mtime(file: impl AsFd, mtime: Option<i64>) {
    let Some(tv_sec) = mtime else { return };
    let keep = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_OMIT,
    };
    let times = Timestamps {
        last_access: keep,
        last_modification: Timespec { tv_sec, tv_nsec: 0 },
    };
    // A file system that has no such time loses nothing but the time.
    let _ = rustix::fs::futimens(file, &times);
}

fn give_name(folder: &Dir, part: &str, base: &str, replace: Replace) -> io::Result<()> {
    match replace {
        Replace::No => rename_new(folder, part, base),
        Replace::Yes => folder.rename(part, folder, base),
    }
}

/// A small file on its way, under its temporary name; gone when it is given up.
struct Part<'a> {
    folder: &'a Dir,
    name: String,
    /// Locked, so that nobody takes it for a leftover.
    file: File,
    renamed: bool,
}

impl<'a> Part<'a> {
    fn create(folder: &'a Dir, content: Content) -> io::Result<Self> {
        let mut number = 0;
        loop {
            // The same content may be on its way twice.
            let name = part_of(content, number);
            let mut options = OpenOptions::new();
            match folder.open_with(&name, options.write(true).create_new(true)) {
                Ok(file) => {
                    // Where the file system has no locks, nothing is swept either.
                    let _ = rustix::fs::flock(&file, FlockOperation::LockExclusive);
                    // Between these two steps a sweep may have come by.
                    if file.metadata()?.nlink() > 0 {
                        return Ok(Self {
                            folder,
                            name,
                            file,
                            renamed: false,
                        });
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let in_use = sweep_part(folder, Path::new(&name)).is_err();
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

/// Removes a temporary file that nobody holds; an error where somebody does, or
/// where it is much of a large file and young.
fn sweep_part(dir: &Dir, part: &Path) -> io::Result<()> {
    let meta = dir.symlink_metadata(part)?;
    if !meta.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    if meta.len() > MAX_INLINE && is_young(&meta) {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    let file = dir.open_with(part, OpenOptions::new().write(true))?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    // Renamed since it was opened: that was the end of a fetch.
    let named = dir.symlink_metadata(part)?;
    if Stamp::new(&named).inode != Stamp::of(&file)?.inode {
        return Err(io::ErrorKind::NotFound.into());
    }
    dir.remove_file(part)
}

fn is_young(meta: &Metadata) -> bool {
    let written = meta.modified().map(cap_std::time::SystemTime::into_std);
    let age = written.map(|written| SystemTime::now().duration_since(written));
    // Written in the future: young.
    !matches!(age, Ok(Ok(age)) if age > KEPT)
}

/// Renames within a folder; an error where the new name is taken.
fn rename_new(folder: &Dir, from: &str, to: &str) -> io::Result<()> {
    match rustix::fs::renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => link_new(folder, from, to),
        renamed => Ok(renamed?),
    }
}

/// The same where the file system cannot rename without replacing: a second
/// name for the file, then not the first.
fn link_new(folder: &Dir, from: &str, to: &str) -> io::Result<()> {
    rustix::fs::linkat(folder, from, folder, to, AtFlags::empty())?;
    rustix::fs::unlinkat(folder, from, AtFlags::empty())?;
    Ok(())
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::Barrier;
    use tempfile::TempDir;
    use thorp_wire::merkle::content_of;

    fn store() -> (TempDir, Store) {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path()).expect("a store");
        (dir, store)
    }

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    fn put(store: &Store, to: &str, bytes: &[u8], replace: Replace) -> Result<Stored, StoreError> {
        store.put(&name(to), content_of(bytes), None, bytes, replace)
    }

    /// Every file and folder beneath, names in order.
    fn everything(dir: &Path) -> Vec<String> {
        let walk = ignore::WalkBuilder::new(dir)
            .standard_filters(false)
            .build();
        let paths = walk.filter_map(Result::ok).map(ignore::DirEntry::into_path);
        let mut paths: Vec<_> = paths
            .filter_map(|path| Some(path.strip_prefix(dir).ok()?.to_string_lossy().into_owned()))
            .filter(|path| !path.is_empty())
            .collect();
        paths.sort();
        paths
    }

    #[test]
    fn files_of_every_size_and_name_arrive_whole() {
        let (dir, store) = store();
        let longest = "x".repeat(255);
        let names = [
            "a b",
            "-rf",
            "ü",
            "u\u{308}",
            "line\nbreak",
            &longest,
            "deep/er/and deeper",
        ];
        let sizes = [0, 1, 16_383, 16_384, 16_385, 262_144, 262_145];
        for (to, size) in names.iter().zip(sizes) {
            let bytes: Vec<u8> = (0..=250).cycle().take(size).collect();
            let content = content_of(&bytes);
            let stored = store.put(&name(to), content, Some(-7), &bytes, Replace::No);
            let stored = stored.expect("stored");
            assert_eq!(fs::read(&stored.path).expect("there"), bytes);
            assert_eq!(stored.stamp.mtime_seconds(), -7, "the holder's time");
            let now = store.dir.metadata(to).expect("there");
            assert_eq!(
                stored.stamp,
                Stamp::new(&now),
                "nothing changes it afterwards"
            );
            assert!(store.holds(&name(to), content).expect("read"));
            assert!(!store.holds(&name(to), content_of(b"no")).expect("read"));
        }
        assert_eq!(
            everything(dir.path()).len(),
            names.len() + 2,
            "no temporary file is left"
        );
    }

    #[test]
    fn bytes_that_are_not_the_content_leave_no_trace() {
        let (dir, store) = store();
        let wrong = store.put(
            &name("a/b"),
            content_of(b"right"),
            None,
            b"wrong",
            Replace::Yes,
        );
        assert!(
            matches!(wrong, Err(StoreError::Mismatch { .. })),
            "{wrong:?}"
        );
        // A root alone is not enough: the length is part of what was promised.
        let mut longer = content_of(b"right");
        longer.length += 1;
        let wrong = store.put(&name("a/b"), longer, None, b"right", Replace::Yes);
        assert!(
            matches!(wrong, Err(StoreError::Mismatch { .. })),
            "{wrong:?}"
        );
        assert_eq!(everything(dir.path()), [""; 0]);
    }

    #[test]
    fn nothing_is_replaced_unless_asked() {
        let (dir, store) = store();
        fs::write(dir.path().join("a"), "mine").expect("written");
        symlink("nowhere", dir.path().join("dangling")).expect("linked");
        for taken in ["a", "dangling"] {
            assert!(matches!(
                store.check(&name(taken)),
                Ok(Target::Exists { .. })
            ));
            let kept = put(&store, taken, b"theirs", Replace::No);
            assert!(matches!(kept, Err(StoreError::Exists { .. })), "{kept:?}");
        }
        assert_eq!(fs::read(dir.path().join("a")).expect("there"), b"mine");
        assert_eq!(store.check(&name("free/b")).expect("free"), Target::Free);
        put(&store, "a", b"theirs", Replace::Yes).expect("replaced");
        put(&store, "dangling", b"theirs", Replace::Yes).expect("replaced");
        assert_eq!(fs::read(dir.path().join("a")).expect("there"), b"theirs");
        assert_eq!(everything(dir.path()), ["a", "dangling"]);
    }

    #[test]
    fn of_many_that_store_at_once_one_wins_and_the_others_are_told() {
        let (dir, store) = store();
        for round in 0..20 {
            let to = format!("{round}");
            let start = Barrier::new(4);
            // Two of them with equal content, and so with equal temporary names.
            let results: Vec<_> = std::thread::scope(|scope| {
                let put = |bytes: &'static [u8]| {
                    let (store, to, start) = (&store, &to, &start);
                    scope.spawn(move || {
                        start.wait();
                        put(store, to, bytes, Replace::No).map(|_| bytes)
                    })
                };
                let threads = [put(b"same"), put(b"same"), put(b"another"), put(b"third")];
                threads
                    .map(|thread| thread.join().expect("no panic"))
                    .into_iter()
                    .collect()
            });
            let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
            assert_eq!(won.len(), 1, "{won:?} {lost:?}");
            for error in lost {
                assert!(matches!(error, Err(StoreError::Exists { .. })), "{error:?}");
            }
            let bytes = fs::read(dir.path().join(&to)).expect("there");
            assert_eq!(won[0].as_ref().ok(), Some(&&*bytes));
        }
        assert_eq!(everything(dir.path()).len(), 20);
    }

    #[test]
    fn no_link_leads_out_of_the_directory() {
        let (dir, store) = store();
        let outside = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("inside")).expect("made");
        symlink(outside.path(), dir.path().join("absolute")).expect("linked");
        symlink("../..", dir.path().join("relative")).expect("linked");
        symlink("inside", dir.path().join("fine")).expect("linked");
        for to in ["absolute/a", "absolute/b/c", "relative/a", "relative/tmp/a"] {
            for replace in [Replace::No, Replace::Yes] {
                let refused = put(&store, to, b"x", replace);
                assert!(
                    matches!(refused, Err(StoreError::LeadsOutside { .. })),
                    "{to}: {refused:?}"
                );
            }
        }
        assert_eq!(everything(outside.path()), [""; 0]);
        put(&store, "fine/a", b"x", Replace::No).expect("stays inside");
        assert!(dir.path().join("inside/a").exists());
    }

    #[test]
    fn what_is_in_the_way_is_named() {
        let (dir, store) = store();
        fs::write(dir.path().join("file"), "").expect("written");
        fs::create_dir_all(dir.path().join("folder/below")).expect("made");
        for to in ["file/a", "file/a/b"] {
            for error in [
                put(&store, to, b"x", Replace::Yes).err(),
                store.check(&name(to)).err(),
            ] {
                let Some(StoreError::FileInTheWay { path }) = error else {
                    panic!("{error:?}")
                };
                assert!(path.ends_with("file"), "{}", path.display());
            }
        }
        for replace in [Replace::No, Replace::Yes] {
            let error = put(&store, "folder/below", b"x", replace);
            assert!(
                matches!(error, Err(StoreError::FolderInTheWay { .. })),
                "{error:?}"
            );
        }
        assert_eq!(everything(dir.path()), ["file", "folder", "folder/below"]);
    }

    #[test]
    fn the_system_s_refusals_become_advice() {
        let advice = |errno: Errno| failed(PathBuf::from("a\u{1b}b"), errno.into()).to_string();
        assert!(advice(Errno::NOSPC).contains("disk is full"));
        assert!(advice(Errno::DQUOT).contains("disk is full"));
        assert!(advice(Errno::ROFS).contains("read-only"));
        assert!(advice(Errno::ACCESS).contains("permissions"));
        assert!(advice(Errno::PERM).contains("permissions"));
        assert!(advice(Errno::NAMETOOLONG).contains("shorter"));
        assert!(advice(Errno::IO).starts_with("a\\u{1b}b cannot be written"));
    }

    #[test]
    fn a_path_too_long_for_the_system_is_said_to_be_so() {
        let (_dir, store) = store();
        // A name of its own right, but for the directory before it.
        let long = format!(
            "{}/{}",
            vec!["d".repeat(255); 15].join("/"),
            "f".repeat(255)
        );
        let stored = put(&store, &long, b"x", Replace::No);
        assert!(
            matches!(stored, Ok(_) | Err(StoreError::NameTooLong { .. })),
            "{stored:?}"
        );
    }

    #[test]
    fn leftovers_are_swept_and_running_fetches_are_not() {
        let (dir, store) = store();
        let content = content_of(b"x");
        fs::write(dir.path().join(".thorp-0000000000000000.part"), "old").expect("written");
        fs::write(dir.path().join("thorp-0.part"), "mine").expect("written");
        let running = Part::create(&store.dir, content).expect("made");
        store.sweep();
        assert_eq!(
            everything(dir.path()),
            [running.name.clone(), "thorp-0.part".into()]
        );

        let second = Part::create(&store.dir, content).expect("made");
        assert_ne!(running.name, second.name);
        let name = running.name.clone();
        drop((running, second));
        assert_eq!(everything(dir.path()), ["thorp-0.part"]);

        // What a crash left under that very name is taken over.
        fs::write(dir.path().join(&name), "old").expect("written");
        assert_eq!(Part::create(&store.dir, content).expect("made").name, name);
    }

    #[test]
    fn what_is_set_aside_takes_the_other_name_and_replaces_nothing() {
        let (dir, store) = store();
        for existing in ["a.txt", "deep/b", "taken"] {
            put(&store, existing, existing.as_bytes(), Replace::No).expect("stored");
        }
        for (from, base, to) in [("a.txt", "old.txt", "old.txt"), ("deep/b", "c", "deep/c")] {
            store.set_aside(&name(from), base).expect("set aside");
            assert_eq!(store.check(&name(from)).expect("free"), Target::Free);
            let there = fs::read(dir.path().join(to)).expect("there");
            assert_eq!(there, from.as_bytes());
        }
        let refused = store.set_aside(&name("old.txt"), "taken");
        assert!(
            matches!(refused, Err(StoreError::Exists { .. })),
            "{refused:?}"
        );
        assert!(store.set_aside(&name("old.txt"), "../out").is_err());
        assert!(store.set_aside(&name("old.txt"), "deep/in").is_err());
        let kept = fs::read(dir.path().join("old.txt")).expect("still there");
        assert_eq!(kept, b"a.txt");
        store
            .set_aside(&name("missing"), "x")
            .expect("nothing in the way");
    }

    #[test]
    fn where_renaming_cannot_refuse_to_replace_linking_does() {
        let (dir, store) = store();
        fs::write(dir.path().join("from"), "new").expect("written");
        fs::write(dir.path().join("taken"), "old").expect("written");
        let taken = link_new(&store.dir, "from", "taken").map_err(|error| error.kind());
        assert_eq!(taken, Err(io::ErrorKind::AlreadyExists));
        link_new(&store.dir, "from", "free").expect("renamed");
        assert_eq!(everything(dir.path()), ["free", "taken"]);
        assert_eq!(fs::read(dir.path().join("taken")).expect("there"), b"old");
    }

    #[test]
    fn a_store_needs_a_directory() {
        let (dir, _) = store();
        let open = |path: &str| Store::open(&dir.path().join(path)).map(|_| ());
        fs::write(dir.path().join("file"), "").expect("written");
        assert!(matches!(
            open("missing"),
            Err(StoreError::NoDirectory { .. })
        ));
        assert!(matches!(open("file"), Err(StoreError::FileInTheWay { .. })));
    }
}

//! What interrupted fetches have left in a directory: found, and removed.
//!
//! Owns how a partial file is told from one that a fetch writes at this moment: that
//! one is locked. Those who look share the lock, so that a fetch that begins meanwhile
//! knows them from another fetch. Links are not followed, and a directory with keys is not entered.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Instant, UNIX_EPOCH};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, MetadataExt as _, OpenOptions, OpenOptionsExt as _};
use rustix::fs::{FlockOperation, OFlags};
use thorp_disk::DiskThread;
use thorp_wire::reserved::{VERSION_FILE, is_part};

use crate::stamp::last_written;

/// A partial file that no fetch writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Beneath the directory.
    pub path: PathBuf,
    /// What it takes on the disk, in bytes.
    pub bytes: u64,
    /// Last written, in seconds since 1970.
    pub written: i64,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// By path.
    pub files: Vec<Leftover>,
    /// Whether there may be more: the time was up, or a folder could not be read.
    pub in_part: bool,
}

/// More are not told of.
const MOST: usize = 100_000;

impl Leftovers {
    /// Looks through a directory and its folders, no longer than until `deadline`.
    pub fn find(_: DiskThread, directory: &Path, deadline: Option<Instant>) -> io::Result<Self> {
        let root = Dir::open_ambient_dir(directory, ambient_authority())?;
        let mut found = Self::default();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            let is_late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if is_late || found.files.len() >= MOST {
                found.in_part = true;
                break;
            }
            match found.look_into(&root, &folder, &mut folders) {
                Ok(()) => {}
                // Folders come and go.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(_) => found.in_part = true,
            }
        }
        found.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// How much they take on the disk, in bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    fn look_into(
        &mut self,
        root: &Dir,
        folder: &Path,
        folders: &mut Vec<PathBuf>,
    ) -> io::Result<()> {
        let dir = if folder.as_os_str().is_empty() {
            root.try_clone()?
        } else {
            root.open_dir(folder)?
        };
        if dir.symlink_metadata(VERSION_FILE).is_ok() {
            return Ok(());
        }
        for entry in dir.entries()? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            // Where a folder does not say what its entries are, each is looked at.
            let Ok(meta) = dir.symlink_metadata(entry.file_name()) else {
                continue;
            };
            if meta.is_dir() {
                folders.push(path);
            } else if meta.is_file()
                && is_part(&entry.file_name())
                && is_free(&dir, Path::new(&entry.file_name()))
            {
                let modified = (meta.mtime(), meta.mtime_nsec());
                let written = last_written(modified, (meta.ctime(), meta.ctime_nsec()));
                let written = written.duration_since(UNIX_EPOCH).ok();
                self.files.push(Leftover {
                    path,
                    bytes: meta.blocks() * 512,
                    written: written
                        .map_or(0, |at| i64::try_from(at.as_secs()).unwrap_or(i64::MAX)),
                });
            }
        }
        Ok(())
    }
}

impl Leftover {
    /// Removes it, unless a fetch has taken it up since it was found.
    pub fn remove(&self, _: DiskThread, directory: &Path) -> io::Result<()> {
        let root = Dir::open_ambient_dir(directory, ambient_authority())?;
        let base = self.path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let dir = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => root.open_dir(folder)?,
            _ => root,
        };
        // The lock is held until it is gone.
        let file = open(&dir, Path::new(base), OpenOptions::new().write(true))?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        let named = dir.symlink_metadata(base)?;
        if named.ino() != file.metadata()?.ino() {
            return Err(io::ErrorKind::NotFound.into());
        }
        dir.remove_file(base)
    }
}

/// Whether no fetch has a partial file, as far as is known: not every file system has locks.
fn is_free(dir: &Dir, part: &Path) -> bool {
    let file = open(dir, part, OpenOptions::new().read(true));
    file.is_ok_and(|file| rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_ok())
}

fn open(dir: &Dir, part: &Path, options: &mut OpenOptions) -> io::Result<File> {
    // What has become a pipe meanwhile is not waited for.
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
    dir.open_with(part, options.custom_flags(flags.bits().cast_signed()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use thorp_disk::testing::DISK;

    use super::*;

    const PART: &str = ".thorp-0123456789abcdef-300000.part";

    #[test]
    fn what_is_left_is_found_beneath_and_removed_but_not_what_is_being_fetched() {
        let dir = tempfile::tempdir().expect("a directory");
        let elsewhere = tempfile::tempdir().expect("a directory");
        let put = |at: &Path, name: &str| {
            let path = at.join(name).join(PART);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(&path, vec![1; 10_000]).expect("written");
            path
        };
        let left = put(dir.path(), "a/b");
        let fetched = put(dir.path(), "c");
        let keys = put(dir.path(), "state");
        fs::write(dir.path().join("state").join(VERSION_FILE), "1").expect("written");
        let outside = put(elsewhere.path(), "");
        symlink(elsewhere.path(), dir.path().join("link")).expect("linked");
        symlink(&outside, dir.path().join(".thorp-1-2.part")).expect("linked");
        fs::write(dir.path().join("a/mine.part"), "mine").expect("written");

        let writing = fs::File::open(&fetched).expect("opened");
        rustix::fs::flock(&writing, FlockOperation::LockExclusive).expect("locked");
        let found = Leftovers::find(DISK, dir.path(), None).expect("found");
        let [only] = &found.files[..] else {
            panic!("{found:?}");
        };
        assert_eq!(only.path, Path::new("a/b").join(PART));
        assert!(!found.in_part && found.bytes() >= 10_000, "{found:?}");
        // A fetch may take it up before it is removed.
        let taken = fs::File::open(&left).expect("opened");
        rustix::fs::flock(&taken, FlockOperation::LockExclusive).expect("locked");
        only.remove(DISK, dir.path())
            .expect_err("it is being fetched");
        drop(taken);
        only.remove(DISK, dir.path()).expect("removed");
        assert!(!left.exists());
        for kept in [&fetched, &keys, &outside, &dir.path().join("a/mine.part")] {
            assert!(kept.exists(), "{kept:?}");
        }
    }

    #[test]
    fn a_count_that_has_no_time_says_so() {
        let dir = tempfile::tempdir().expect("a directory");
        let found = Leftovers::find(DISK, dir.path(), Some(Instant::now())).expect("found");
        assert!(found.in_part);
    }
}

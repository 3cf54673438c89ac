//! How a complete file gets its name, so that no other file loses it by that.
//!
//! A file without a name is given a free one in one step. Renaming without replacing is one step,
//! too, where the file system can do it, and a second name for the file does the same where it has
//! those. Elsewhere thorp looks, then renames, under a lock of its own: only another program can
//! come in between.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use cap_std::fs::{Dir, OpenOptions};
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use thorp_wire::reserved::probe_of;

/// Of the threads of this process. The folder's own lock is for other processes.
static LOOKING: Mutex<()> = Mutex::new(());

/// The ways to a free name that are tried, one after the other.
#[derive(Debug)]
pub(super) struct Naming {
    ways: &'static [Way],
    begins_nameless: bool,
    has_looked: AtomicBool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    NoReplace,
    Link,
    Look,
}

impl Default for Naming {
    fn default() -> Self {
        Self {
            begins_nameless: true,
            ..Self::by(&[Way::NoReplace, Way::Link, Way::Look])
        }
    }
}

impl Naming {
    /// Gives names in these ways only, to files that have a temporary one.
    pub(super) fn by(ways: &'static [Way]) -> Self {
        Self {
            ways,
            begins_nameless: false,
            has_looked: AtomicBool::new(false),
        }
    }

    /// Whether a file may begin without a name.
    pub(super) fn begins_nameless(&self) -> bool {
        self.begins_nameless
    }

    /// Renames within a folder; an error where the new name is taken.
    pub(super) fn rename_new(&self, folder: &Dir, from: &str, to: &str) -> io::Result<()> {
        let mut unable = Errno::NOSYS;
        for way in self.ways {
            match way.rename(folder, from, to) {
                Err(error) if way.is_barred_by(error) => unable = error,
                renamed => {
                    if *way == Way::Look {
                        self.has_looked.store(true, Ordering::Relaxed);
                    }
                    return Ok(renamed?);
                }
            }
        }
        Err(unable.into())
    }

    /// Whether the file system has offered no better way.
    pub(super) fn has_looked(&self) -> bool {
        self.has_looked.load(Ordering::Relaxed)
    }
}

/// An error where the file system takes no such name, which it may say only when a file gets it.
/// An empty file is there for a moment, under a name by which it is neither shared nor kept.
pub(super) fn must_be_taken(folder: &Dir, base: &str) -> io::Result<()> {
    match folder.symlink_metadata(base) {
        Err(error) if error.kind() == io::ErrorKind::InvalidFilename => return Err(error),
        _ => {}
    }
    let Some(probe) = probe_of(base) else {
        return Ok(());
    };
    let mut options = OpenOptions::new();
    match folder.open_with(&probe, options.write(true).create_new(true)) {
        Ok(_) => {
            // If it stays, a sweep removes it.
            let _ = folder.remove_file(&probe);
            Ok(())
        }
        Err(error) if is_refusal_of_a_name(&error) => Err(error),
        // Whatever else is wrong is said where the file itself is made.
        Err(_) => Ok(()),
    }
}

/// Whether a file system may say by this that it has no such characters in a name.
pub(super) fn is_refusal_of_a_name(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::INVAL | Errno::ILSEQ))
}

/// Gives a file that has no name one in this folder; an error where it is taken.
pub(super) fn name_nameless(file: impl AsFd, folder: &Dir, to: &str) -> rustix::io::Result<()> {
    let file = file.as_fd();
    match rustix::fs::linkat(file, "", folder, to, AtFlags::EMPTY_PATH) {
        // Before Linux 6.10 only the superuser may do it that way.
        Err(Errno::NOENT) => {
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            rustix::fs::linkat(CWD, path, folder, to, AtFlags::SYMLINK_FOLLOW)
        }
        named => named,
    }
}

impl Way {
    fn rename(self, folder: &Dir, from: &str, to: &str) -> rustix::io::Result<()> {
        match self {
            Self::NoReplace => {
                rustix::fs::renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE)
            }
            Self::Link => {
                rustix::fs::linkat(folder, from, folder, to, AtFlags::empty())?;
                rustix::fs::unlinkat(folder, from, AtFlags::empty())
            }
            Self::Look => {
                let _alone = LOOKING.lock().unwrap_or_else(PoisonError::into_inner);
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let lock = rustix::fs::openat(folder, ".", flags, Mode::empty())?;
                // Where the file system has no locks, it is this process alone.
                let _ = rustix::fs::flock(&lock, FlockOperation::LockExclusive);
                match rustix::fs::statat(folder, to, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(_) => Err(Errno::EXIST),
                    Err(Errno::NOENT) => rustix::fs::renameat(folder, from, folder, to),
                    Err(error) => Err(error),
                }
            }
        }
    }

    /// Whether the file system cannot do it this way, whatever the names are.
    fn is_barred_by(self, error: Errno) -> bool {
        let by: &[Errno] = match self {
            // A sandbox that bars this call says that it is not permitted.
            Self::NoReplace => &[Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP, Errno::PERM],
            // Those without second names say that they are not permitted.
            Self::Link => &[
                Errno::INVAL,
                Errno::NOSYS,
                Errno::OPNOTSUPP,
                Errno::PERM,
                Errno::MLINK,
            ],
            Self::Look => &[],
        };
        by.contains(&error)
    }
}

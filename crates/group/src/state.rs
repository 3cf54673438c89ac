//! A state directory, owned by one process at a time.
//!
//! This module owns the directory, its version, its lock, and how a small file in it is read and
//! written as a whole. The modules that write the files own their meaning. `folder` opens the
//! files.
//!
//! A file is replaced by renaming a complete, synced one over it. After a crash, either the old
//! or the new file is there, never half of one.

mod folder;

use std::fmt;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use thorp_disk::DiskThread;
use thorp_wire::reserved::VERSION_FILE;

use folder::Folder;

/// The version of the state format that this program writes.
pub(crate) const VERSION: u32 = 1;
/// The name of the state directory of a tracker inside a peer, within the peer's own directory.
pub const EMBEDDED: &str = "tracker";
pub(crate) const LOCK_FILE: &str = "lock";
/// The only file that a user may put into the directory before the first start.
const CONFIG_FILE: &str = "config.toml";

/// A locked state directory, unlocked when dropped.
#[derive(Debug)]
pub struct StateDir {
    folder: Folder,
    /// Holds the lock for as long as it is open.
    lock: File,
}

impl StateDir {
    /// Creates the directory if needed, locks it and checks its version. Refuses a directory that
    /// belongs to another user.
    pub fn open(disk: DiskThread, path: impl Into<PathBuf>) -> Result<Self, StateError> {
        let path = path.into();
        let (folder, created) = match Folder::open(disk, &path)? {
            Some(folder) => (folder, false),
            None => (make(disk, &path)?, true),
        };
        if !created {
            refuse_foreign(&folder)?;
        }
        let lock = lock(&folder)?;
        let state = Self { folder, lock };
        match state.read(disk, VERSION_FILE)? {
            None => state.write(disk, VERSION_FILE, format!("{VERSION}\n").as_bytes())?,
            Some(bytes) => state.check_version(&bytes)?,
        }
        // Only now is it certain that this process may change the directory.
        state.folder.restrict()?;
        let pid = format!("{}\n", std::process::id());
        (&state.lock)
            .write_all(pid.as_bytes())
            .map_err(|e| StateError::io("write", &state.file(LOCK_FILE), e))?;
        Ok(state)
    }

    /// Whether `path` is a state directory, in use or not.
    pub fn is_there(disk: DiskThread, path: &Path) -> Result<bool, StateError> {
        Self::has(disk, path, VERSION_FILE)
    }

    /// Whether a state directory, possibly locked by another process, contains this file.
    pub fn has(disk: DiskThread, path: &Path, name: &str) -> Result<bool, StateError> {
        match Folder::open(disk, path)? {
            Some(folder) => folder.has(name),
            None => Ok(false),
        }
    }

    /// Reads a file of a state directory that another process may have locked. Returns `None` if
    /// there is no such file.
    pub fn peek(disk: DiskThread, path: &Path, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        match Folder::open(disk, path)? {
            Some(folder) => folder.read(name),
            None => Ok(None),
        }
    }

    /// Opens a file of a state directory for adding to its end, or makes it; only its owner may
    /// read it.
    pub fn append(disk: DiskThread, path: &Path, name: &str) -> Result<File, StateError> {
        match Folder::open(disk, path)? {
            Some(folder) => folder.append(name),
            None => Err(StateError::io("open", path, io::ErrorKind::NotFound.into())),
        }
    }

    /// Fails if a process has locked this directory.
    pub fn must_be_free(disk: DiskThread, path: &Path) -> Result<(), StateError> {
        let lock = match Folder::open(disk, path)? {
            Some(folder) => folder.open_file(LOCK_FILE)?,
            None => None,
        };
        let Some(lock) = lock else {
            return Ok(());
        };
        // A shared lock, so that two processes that check at once do not take each other for the
        // owner.
        match lock.try_lock_shared() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => Err(in_use(path, lock)),
            Err(TryLockError::Error(e)) => Err(StateError::io("lock", &path.join(LOCK_FILE), e)),
        }
    }

    /// Returns the directory's path.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the path of a file in the directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.file(name)
    }

    /// Reads a file. Returns `None` if there is no such file.
    pub fn read(&self, _: DiskThread, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        self.folder.read(name)
    }

    /// Reads a JSON file. Returns `None` if there is no such file.
    pub fn read_json<T: DeserializeOwned>(
        &self,
        disk: DiskThread,
        name: &str,
    ) -> Result<Option<T>, StateError> {
        let Some(bytes) = self.read(disk, name)? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| self.corrupt(name, e))
    }

    /// Replaces a file atomically.
    pub fn write(&self, _: DiskThread, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        self.replace(name, bytes, SECRET | Mode::RGRP | Mode::ROTH)
    }

    /// Replaces a file atomically; only its owner may read it.
    pub fn write_secret(&self, _: DiskThread, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        self.replace(name, bytes, SECRET)
    }

    /// Replaces a JSON file atomically; only its owner may read it.
    pub fn write_json<T: Serialize>(
        &self,
        disk: DiskThread,
        name: &str,
        value: &T,
    ) -> Result<(), StateError> {
        let mut bytes = serde_json::to_vec_pretty(value)
            .map_err(|e| StateError::io("write", &self.file(name), e.into()))?;
        bytes.push(b'\n');
        self.write_secret(disk, name, &bytes)
    }

    /// Renames a file, replacing any file of the new name.
    pub fn rename(&self, _: DiskThread, from: &str, to: &str) -> Result<(), StateError> {
        self.folder.rename(from, to)
    }

    /// Removes a file. Succeeds if there is no such file.
    pub fn remove(&self, _: DiskThread, name: &str) -> Result<(), StateError> {
        self.folder.remove(name)
    }

    /// Unlocks the directory, and removes it if no file of another module is left in it.
    pub fn end(self, disk: DiskThread) -> Result<(), StateError> {
        for name in [&Self::temporary(VERSION_FILE), VERSION_FILE, LOCK_FILE] {
            self.remove(disk, name)?;
        }
        match fs::remove_dir(self.path()) {
            Err(e) if e.kind() != io::ErrorKind::DirectoryNotEmpty => {
                Err(StateError::io("remove", self.path(), e))
            }
            _ => Ok(()),
        }
    }

    /// Returns the name that a file has until it is complete.
    pub fn temporary(name: &str) -> String {
        format!(".{name}.new")
    }

    /// Makes the error for a file with wrong content.
    pub fn corrupt(&self, name: &str, why: impl fmt::Display) -> StateError {
        StateError::Corrupt {
            path: self.file(name),
            why: why.to_string(),
        }
    }

    fn replace(&self, name: &str, bytes: &[u8], mode: Mode) -> Result<(), StateError> {
        let temporary = Self::temporary(name);
        self.folder.replace((name, &temporary), bytes, mode)
    }

    fn check_version(&self, bytes: &[u8]) -> Result<(), StateError> {
        let found = std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| text.trim().parse::<u32>().ok())
            .ok_or_else(|| self.corrupt(VERSION_FILE, "it should hold one number"))?;
        if found > VERSION {
            return Err(StateError::Newer {
                path: self.path().to_owned(),
                found,
            });
        }
        Ok(())
    }
}

const SECRET: Mode = Mode::RUSR.union(Mode::WUSR);

fn make(disk: DiskThread, path: &Path) -> Result<Folder, StateError> {
    let failed = |e| StateError::io("make", path, e);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed)?;
    let made = Folder::open(disk, path)?;
    made.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
}

/// Refuses a directory with other content, such as a user's home directory.
fn refuse_foreign(folder: &Folder) -> Result<(), StateError> {
    if folder.has(VERSION_FILE)? {
        return Ok(());
    }
    let left_over = StateDir::temporary(VERSION_FILE);
    match folder.holds_else(&[CONFIG_FILE, LOCK_FILE, &left_over])? {
        Some(holds) => Err(StateError::Foreign {
            path: folder.path().into(),
            holds,
        }),
        None => Ok(()),
    }
}

fn lock(folder: &Folder) -> Result<File, StateError> {
    let file = folder.open_or_make(LOCK_FILE)?;
    match file.try_lock() {
        Ok(()) => {
            // Otherwise a message could name the process id of an earlier owner.
            let _ = file.set_len(0);
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => Err(in_use(folder.path(), file)),
        Err(TryLockError::Error(e)) => Err(StateError::io("lock", &folder.file(LOCK_FILE), e)),
    }
}

fn in_use(directory: &Path, lock: File) -> StateError {
    let mut pid = String::new();
    let _ = lock.take(32).read_to_string(&mut pid);
    StateError::InUse {
        path: directory.into(),
        by: pid.trim().parse().ok(),
    }
}

/// Why a state directory cannot be used; each variant says what the user can do.
#[derive(Debug, Error)]
pub enum StateError {
    /// Another process uses the directory: stop that process, or use another directory.
    #[error("state directory {} is in use by {}", path.display(), process(*by))]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The id of that process, if the lock file contains it.
        by: Option<u32>,
    },
    /// A newer program wrote the directory: use that program.
    #[error("state directory {} was written by a newer thorp (state version {found}, this program knows {VERSION}); nothing was changed", path.display())]
    Newer {
        /// The directory.
        path: PathBuf,
        /// The version of its state format.
        found: u32,
    },
    /// The directory contains other things: use another directory.
    #[error("{} is not a state directory: it holds {holds:?}", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// The name of one of these things.
        holds: String,
    },
    /// The directory's owner could read and change the keys: use another directory.
    #[error("state directory {} belongs to another user (its number is {owner})", path.display())]
    OtherUser {
        /// The directory.
        path: PathBuf,
        /// The owner's user id.
        owner: u32,
    },
    /// The file is a symlink, a hard link, not a regular file or another user's, and could lead
    /// elsewhere or be read by somebody else: remove it.
    #[error("{} is a link, no plain file, or another user's, and thorp opens none there", path.display())]
    NotPlain {
        /// Its path.
        path: PathBuf,
    },
    /// A file has wrong content: restore it, or remove it and start afresh.
    #[error("{} is damaged: {why}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The system reported an I/O error.
    #[error("cannot {action} {}: {error}", path.display())]
    Io {
        /// What was attempted, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
}

impl StateError {
    fn io(action: &'static str, path: &Path, error: io::Error) -> Self {
        Self::Io {
            action,
            path: path.into(),
            error,
        }
    }
}

fn process(by: Option<u32>) -> String {
    by.map_or("another process".into(), |pid| format!("process {pid}"))
}

#[cfg(test)]
mod tests;

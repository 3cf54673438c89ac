//! A state directory, owned by one process at a time.
//!
//! This module owns the directory, its version, its lock and how a small file
//! is read and written whole. The modules that write the files own their
//! meaning.
//!
//! A file is replaced by renaming a complete, synced one over it: after a crash
//! there is the old one or the new one, never half of either.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use thorp_wire::reserved::VERSION_FILE;

/// The version of the state that this program writes.
pub(crate) const VERSION: u32 = 1;
/// The state directory of a tracker inside a peer, within the peer's own.
pub const EMBEDDED: &str = "tracker";
pub(crate) const LOCK_FILE: &str = "lock";
/// What users may put there before the first start.
const CONFIG_FILE: &str = "config.toml";
/// The longest file that is read.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// A locked state directory. Dropping it unlocks the directory.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// Locked as long as it is open.
    lock: File,
}

impl StateDir {
    /// Makes the directory where needed, locks it and checks its version.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StateError> {
        let path = path.into();
        let created = make(&path)?;
        if !created {
            refuse_foreign(&path)?;
        }
        let lock = lock(&path)?;
        let state = Self { path, lock };
        match state.read(VERSION_FILE)? {
            None => state.write(VERSION_FILE, format!("{VERSION}\n").as_bytes())?,
            Some(bytes) => state.check_version(&bytes)?,
        }
        // Only now is it certain that this process may change the directory.
        restrict(&state.path)?;
        let pid = format!("{}\n", std::process::id());
        (&state.lock)
            .write_all(pid.as_bytes())
            .map_err(|e| StateError::io("write", &state.file(LOCK_FILE), e))?;
        Ok(state)
    }

    /// Whether there is one, in use or not.
    pub fn is_there(path: &Path) -> Result<bool, StateError> {
        let version = path.join(VERSION_FILE).try_exists();
        version.map_err(|e| StateError::io("read", path, e))
    }

    /// Refuses a directory that a process has at this moment.
    pub fn must_be_free(path: &Path) -> Result<(), StateError> {
        let lock = match File::open(path.join(LOCK_FILE)) {
            Ok(lock) => lock,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(StateError::io("open", &path.join(LOCK_FILE), e)),
        };
        // Shared, so that two who look do not take each other for its owner.
        match lock.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Err(in_use(path, lock)),
            _ => Ok(()),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a file in it is.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads a file, if it is there.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let path = self.file(name);
        let failed = |e| StateError::io("read", &path, e);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed(e)),
        };
        let mut bytes = Vec::new();
        file.take(MAX_FILE + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(self.corrupt(name, "it is larger than 64 MiB"));
        }
        Ok(Some(bytes))
    }

    /// Reads a JSON file, if it is there.
    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StateError> {
        let Some(bytes) = self.read(name)? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| self.corrupt(name, e))
    }

    /// Replaces a file, in one step.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        self.replace(name, bytes, 0o644)
    }

    /// Replaces a file, in one step; only its owner may read it.
    pub fn write_secret(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        self.replace(name, bytes, 0o600)
    }

    /// Replaces a file with JSON, in one step; only its owner may read it.
    pub fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), StateError> {
        let mut bytes = serde_json::to_vec_pretty(value)
            .map_err(|e| StateError::io("write", &self.file(name), e.into()))?;
        bytes.push(b'\n');
        self.write_secret(name, &bytes)
    }

    /// Removes a file; it is no error if it was not there.
    pub fn remove(&self, name: &str) -> Result<(), StateError> {
        let path = self.file(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(StateError::io("remove", &path, e))
            }
            _ => Ok(()),
        }
    }

    /// Unlocks the directory and removes it, if it is empty: the caller has
    /// removed its files, and there are no others.
    pub fn end(self) -> Result<(), StateError> {
        self.remove(&Self::temporary(VERSION_FILE))?;
        self.remove(VERSION_FILE)?;
        self.remove(LOCK_FILE)?;
        match fs::remove_dir(&self.path) {
            Err(e) if e.kind() != io::ErrorKind::DirectoryNotEmpty => {
                Err(StateError::io("remove", &self.path, e))
            }
            _ => Ok(()),
        }
    }

    /// What a file is called until it is whole.
    pub fn temporary(name: &str) -> String {
        format!(".{name}.new")
    }

    /// The error for a file with wrong content.
    pub fn corrupt(&self, name: &str, why: impl fmt::Display) -> StateError {
        StateError::Corrupt {
            path: self.file(name),
            why: why.to_string(),
        }
    }

    fn replace(&self, name: &str, bytes: &[u8], mode: u32) -> Result<(), StateError> {
        let path = self.file(name);
        // Only one process owns the directory, so a file of this name is a leftover.
        let temporary = self.path.join(Self::temporary(name));
        write_whole(&temporary, bytes, mode)
            .and_then(|()| fs::rename(&temporary, &path))
            .and_then(|()| File::open(&self.path)?.sync_all())
            .map_err(|e| {
                let _ = fs::remove_file(&temporary);
                StateError::io("write", &path, e)
            })
    }

    fn check_version(&self, bytes: &[u8]) -> Result<(), StateError> {
        let found = std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| text.trim().parse::<u32>().ok())
            .ok_or_else(|| self.corrupt(VERSION_FILE, "it should hold one number"))?;
        if found > VERSION {
            return Err(StateError::Newer {
                path: self.path.clone(),
                found,
            });
        }
        Ok(())
    }
}

fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    let mut file = options.open(path)?;
    // The mode above applies to new files only.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Whether the directory was not there before.
fn make(path: &Path) -> Result<bool, StateError> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => return Ok(false),
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(StateError::io("open", path, e));
        }
        _ => {}
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map(|()| true)
        .map_err(|e| StateError::io("make", path, e))
}

/// Refuses a directory that holds other things, such as a user's home.
fn refuse_foreign(path: &Path) -> Result<(), StateError> {
    if path.join(VERSION_FILE).exists() {
        return Ok(());
    }
    let failed = |e| StateError::io("read", path, e);
    for entry in fs::read_dir(path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let left_over = StateDir::temporary(VERSION_FILE);
        if ![CONFIG_FILE, LOCK_FILE, &left_over]
            .iter()
            .any(|known| name == *known)
        {
            return Err(StateError::Foreign {
                path: path.into(),
                holds: name.to_string_lossy().into_owned(),
            });
        }
    }
    Ok(())
}

fn restrict(path: &Path) -> Result<(), StateError> {
    let failed = |e| StateError::io("restrict", path, e);
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode.trailing_zeros() >= 6 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(failed)
}

fn lock(directory: &Path) -> Result<File, StateError> {
    let path = directory.join(LOCK_FILE);
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    let file = options
        .open(&path)
        .map_err(|e| StateError::io("open", &path, e))?;
    match file.try_lock() {
        Ok(()) => {
            // So that no message names the process number of an earlier owner.
            let _ = file.set_len(0);
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => Err(in_use(directory, file)),
        Err(TryLockError::Error(e)) => Err(StateError::io("lock", &path, e)),
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

/// Why a state directory cannot be used, sorted by what to do next.
#[derive(Debug, Error)]
pub enum StateError {
    /// Another process has it: stop that one, or use another directory.
    #[error("state directory {} is in use by {}", path.display(), process(*by))]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The number of the process, if it has written it there.
        by: Option<u32>,
    },
    /// A newer program has been here: use that one.
    #[error("state directory {} was written by a newer thorp (state version {found}, this program knows {VERSION}); nothing was changed", path.display())]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// Other things live there: use another directory.
    #[error("{} is not a state directory: it holds {holds:?}", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// One of the things in it.
        holds: String,
    },
    /// A file has wrong content: restore it, or start anew without it.
    #[error("{} is damaged: {why}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The disk said no.
    #[error("cannot {action} {}: {error}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system says.
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

//! Opens the files of a state directory, relative to its handle and never through symlinks.
//!
//! Another user may have been able to write to the directory before it was restricted to this
//! user. A symlink left there could make thorp read, overwrite or truncate another file, and a
//! named pipe could block it for good.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use thorp_disk::DiskThread;

use super::StateError;

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// An open directory that belongs to the user of this process.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    handle: File,
}

impl Folder {
    /// Opens the directory. Returns `None` if it does not exist.
    pub(super) fn open(_: DiskThread, path: &Path) -> Result<Option<Self>, StateError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let failed = |e: Errno| StateError::io("open", path, e.into());
        let handle = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(handle) => File::from(handle),
            Err(Errno::NOENT) => return Ok(None),
            Err(e) => return Err(failed(e)),
        };
        let owner = handle.metadata().map(|meta| meta.uid());
        let owner = owner.map_err(|e| StateError::io("read", path, e))?;
        if owner != rustix::process::geteuid().as_raw() {
            let path = path.into();
            return Err(StateError::OtherUser { path, owner });
        }
        let path = path.into();
        Ok(Some(Self { path, handle }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of a file in the directory.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether something has this name.
    pub(super) fn has(&self, name: &str) -> Result<bool, StateError> {
        match rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(self.failed("read", name, e.into())),
        }
    }

    /// Opens a file for reading. Returns `None` if it does not exist.
    pub(super) fn open_file(&self, name: &str) -> Result<Option<File>, StateError> {
        self.opened(name, OFlags::RDONLY, Mode::empty())
    }

    /// Reads a file. Returns `None` if it does not exist.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let failed = |e| self.failed("read", name, e);
        let Some(file) = self.open_file(name)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.take(MAX_FILE + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(StateError::Corrupt {
                path: self.file(name),
                why: "it is larger than 64 MiB".into(),
            });
        }
        Ok(Some(bytes))
    }

    /// Opens a file for locking and writing, and creates it if it does not exist.
    pub(super) fn open_or_make(&self, name: &str) -> Result<File, StateError> {
        let flags = OFlags::RDWR | OFlags::CREATE;
        self.opened_to_change(name, flags)
    }

    /// Opens a file for adding to its end, and creates it if it does not exist.
    pub(super) fn append(&self, name: &str) -> Result<File, StateError> {
        self.opened_to_change(name, OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE)
    }

    /// Renames a file, replacing any file of the new name.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), StateError> {
        rustix::fs::renameat(&self.handle, from, &self.handle, to)
            .map_err(|e| self.failed("rename", from, e.into()))
    }

    /// Replaces a file atomically. `temporary` is its name until it is complete.
    pub(super) fn replace(
        &self,
        (name, temporary): (&str, &str),
        bytes: &[u8],
        mode: Mode,
    ) -> Result<(), StateError> {
        // Only one process owns the directory, so a file of this name is a leftover.
        self.remove(temporary)?;
        self.write_new(temporary, bytes, mode)
            .and_then(|()| {
                Ok(rustix::fs::renameat(
                    &self.handle,
                    temporary,
                    &self.handle,
                    name,
                )?)
            })
            .and_then(|()| thorp_disk::synced(self.handle.sync_all()))
            .map_err(|e| {
                let _ = self.remove(temporary);
                self.failed("write", name, e)
            })
    }

    /// Removes a file. Succeeds if it does not exist.
    pub(super) fn remove(&self, name: &str) -> Result<(), StateError> {
        match rustix::fs::unlinkat(&self.handle, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(self.failed("remove", name, e.into())),
        }
    }

    /// Returns the name of something in the directory that is not in `known`, if there is any.
    pub(super) fn holds_else(&self, known: &[&str]) -> Result<Option<String>, StateError> {
        let failed = |e: Errno| StateError::io("read", &self.path, e.into());
        let is_known = |name: &[u8]| {
            let known = known.iter().chain(&[".", ".."]);
            known.into_iter().any(|known| known.as_bytes() == name)
        };
        for entry in rustix::fs::Dir::read_from(&self.handle).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if !is_known(name.to_bytes()) {
                return Ok(Some(name.to_string_lossy().into_owned()));
            }
        }
        Ok(None)
    }

    /// Lets only the owner enter the directory.
    pub(super) fn restrict(&self) -> Result<(), StateError> {
        let failed = |e| StateError::io("restrict", &self.path, e);
        if self
            .handle
            .metadata()
            .map_err(failed)?
            .mode()
            .trailing_zeros()
            >= 6
        {
            return Ok(());
        }
        rustix::fs::fchmod(&self.handle, Mode::RWXU).map_err(|e| failed(e.into()))
    }

    fn opened_to_change(&self, name: &str, flags: OFlags) -> Result<File, StateError> {
        let failed = |e| self.failed("open", name, e);
        let file = self.opened(name, flags, Mode::RUSR | Mode::WUSR)?;
        let file = file.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        // A hard link elsewhere would be written to as well.
        if file.metadata().map_err(failed)?.nlink() > 1 {
            let path = self.file(name);
            return Err(StateError::NotPlain { path });
        }
        Ok(file)
    }

    /// Opens a regular file of this user, or of root. Returns `None` if it does not exist.
    fn opened(&self, name: &str, flags: OFlags, mode: Mode) -> Result<Option<File>, StateError> {
        // NONBLOCK, since opening a named pipe would wait for its other end.
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let path = self.file(name);
        let file = match rustix::fs::openat(&self.handle, name, flags, mode) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(StateError::NotPlain { path }),
            Err(e) => return Err(self.failed("open", name, e.into())),
        };
        let meta = file.metadata().map_err(|e| self.failed("read", name, e))?;
        // A key that another user has put here is known to that user.
        let owners = [rustix::process::geteuid(), rustix::process::Uid::ROOT];
        let is_trusted = owners.iter().any(|owner| owner.as_raw() == meta.uid());
        if !meta.is_file() || !is_trusted {
            return Err(StateError::NotPlain { path });
        }
        Ok(Some(file))
    }

    fn write_new(&self, name: &str, bytes: &[u8], mode: Mode) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(self.handle.as_fd(), name, flags, mode)?;
        let mut file = File::from(file);
        // The umask may have removed permissions.
        rustix::fs::fchmod(&file, mode)?;
        file.write_all(bytes)?;
        thorp_disk::synced(file.sync_all())
    }

    fn failed(&self, action: &'static str, name: &str, error: io::Error) -> StateError {
        StateError::io(action, &self.file(name), error)
    }
}

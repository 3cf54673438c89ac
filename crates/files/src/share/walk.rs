//! Finds all that belongs to the share beneath a folder.
//!
//! This module owns the walk, what it counts as left out, and which folders have to be looked at
//! again because some changes there are not reported. `rules` decides which paths belong to the
//! share. The walk does not consider what was listed before.
//!
//! The rules come from the `ignore` crate, but the walk does not: that crate walks paths of the
//! whole machine, while here every directory is opened relative to the share's handle, so that a
//! directory replaced by a symlink during the walk leads nowhere.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, DirEntry, FileType};
use thorp_wire::Name;

use super::errors::says_no;
use super::left_out::LeftOutCause;
use super::mounts::Devices;
use super::rules::{Ruled, Rules};
use crate::stamp::Stamp;

/// The result of a walk.
#[derive(Default)]
pub(super) struct Found {
    /// Shared files, ordered by name.
    pub files: Vec<(Name, Stamp)>,
    /// Symbolic links, in order, wherever they lead.
    pub links: Vec<PathBuf>,
    /// Partial files of fetches, some of which may be running.
    pub parts: Vec<PathBuf>,
    /// Folders in which some changes are not reported, or may not be, and those of which the disk
    /// does not tell now. A folder beneath one of them may be missing.
    pub unreported: Vec<PathBuf>,
    pub left_out: Vec<(PathBuf, LeftOutCause)>,
    /// What the walk has not seen through: what could not be read, and folders in which there is
    /// nothing at all, as where a disk is not mounted.
    unseen: BTreeSet<PathBuf>,
    /// One name that cannot be listed, to be shown to the user.
    pub unnameable: Option<PathBuf>,
    /// One folder that could not be read, and why.
    pub unreadable: Option<(PathBuf, io::Error)>,
}

impl Found {
    /// Whether a file may be there though it was not found, or is there and was not taken for one.
    pub fn may_have_missed(&self, path: &Path) -> bool {
        let is_link = self
            .links
            .binary_search_by(|link| (**link).cmp(path))
            .is_ok();
        is_link || path.ancestors().any(|at| self.unseen.contains(at))
    }
}

/// Finds all that is shared beneath a folder; the empty path is the share itself. `before` is
/// called for each folder before it is read.
pub(super) fn walk(
    dir: &Dir,
    folder: &Path,
    rules: &mut Rules,
    before: &mut dyn FnMut(&Path),
) -> Found {
    let mut walk = Walk {
        dir,
        rules,
        before,
        devices: Devices::default(),
        folders: Vec::new(),
        found: Found::default(),
    };
    match walk.rules.leave_out(dir, folder, true) {
        Some(Ruled::Out(cause)) => walk.leave_out(folder.to_owned(), true, cause),
        Some(Ruled::Part) => {}
        None => walk.folders.push((folder.to_owned(), None)),
    }
    while let Some((folder, device)) = walk.folders.pop() {
        (walk.before)(&folder);
        match walk.folder(&folder, device) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                walk.found.unseen.insert(folder);
            }
            Err(error) => {
                if !says_no(&error) {
                    walk.found.unreported.push(folder.clone());
                }
                walk.found.not_readable(folder, error);
            }
        }
    }
    let mut found = walk.found;
    found.files.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    found.links.sort_unstable();
    found
}

struct Walk<'a> {
    dir: &'a Dir,
    rules: &'a mut Rules,
    before: &'a mut dyn FnMut(&Path),
    devices: Devices,
    /// The folders still to be read, each with the device of the folder above it.
    folders: Vec<(PathBuf, Option<u64>)>,
    found: Found,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, above: Option<u64>) -> io::Result<()> {
        let opened;
        let handle = if folder.as_os_str().is_empty() {
            self.dir
        } else {
            opened = self.dir.open_dir(folder)?;
            &opened
        };
        let device = if let Ok((device, reports)) = self.devices.of(handle) {
            if !reports && above != Some(device) {
                self.found.unreported.push(folder.to_owned());
            }
            Some(device)
        } else {
            // What reports changes, or does not, is not known.
            self.found.unreported.push(folder.to_owned());
            above
        };
        let mut is_empty = true;
        for entry in handle.entries()? {
            is_empty = false;
            let entry = entry?;
            let path = folder.join(entry.file_name());
            let Some(kind) = self.found.kind(&path, &entry)? else {
                continue;
            };
            let is_dir = kind.is_dir();
            match self.rules.leave_out_of(self.dir, &path, is_dir) {
                Some(Ruled::Out(cause)) => self.leave_out(path, is_dir, cause),
                Some(Ruled::Part) => self.found.parts.push(path),
                None if is_dir => self.folders.push((path, device)),
                None if kind.is_file() => self.found.file(path, &entry),
                None if kind.is_symlink() => self.found.link(path),
                None => self.found.left_out.push((path, LeftOutCause::Special)),
            }
        }
        if is_empty {
            self.found.unseen.insert(folder.to_owned());
        }
        Ok(())
    }

    fn leave_out(&mut self, path: PathBuf, is_dir: bool, cause: LeftOutCause) {
        match cause {
            LeftOutCause::Unnameable => return self.found.not_nameable(path),
            LeftOutCause::IgnoreFile => {
                self.found.unseen.insert(path.clone());
                // The `.thorpignore` may become readable, so the folder is watched and looked at
                // again.
                if is_dir {
                    (self.before)(&path);
                    self.found.unreported.push(path.clone());
                }
            }
            _ => {}
        }
        self.found.left_out.push((path, cause));
    }
}

impl Found {
    /// Returns the type of an entry; `None` if it is gone or cannot be examined.
    fn kind(&mut self, path: &Path, entry: &DirEntry) -> io::Result<Option<FileType>> {
        let listed = entry.file_type()?;
        if listed.is_file() || listed.is_dir() || listed.is_symlink() {
            return Ok(Some(listed));
        }
        // Not every file system gives the type in a directory's entries.
        match entry.metadata() {
            Ok(meta) => Ok(Some(meta.file_type())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                self.not_readable(path.to_owned(), error);
                Ok(None)
            }
        }
    }

    fn file(&mut self, path: PathBuf, entry: &DirEntry) {
        let Some(name) = path.to_str().and_then(|path| path.parse().ok()) else {
            return self.not_nameable(path);
        };
        match entry.metadata() {
            Ok(meta) if meta.is_file() => self.files.push((name, Stamp::new(&meta))),
            // The file was removed or replaced since the directory was read. The watcher will
            // report that.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.not_readable(path, error),
        }
    }

    fn link(&mut self, path: PathBuf) {
        match path.to_str().map(str::parse::<Name>) {
            Some(Ok(_)) => self.links.push(path),
            _ => self.not_nameable(path),
        }
    }

    fn not_nameable(&mut self, path: PathBuf) {
        self.unnameable.get_or_insert_with(|| path.clone());
        self.left_out.push((path, LeftOutCause::Unnameable));
    }

    fn not_readable(&mut self, path: PathBuf, error: io::Error) {
        self.left_out.push((path.clone(), LeftOutCause::Unreadable));
        self.unseen.insert(path.clone());
        self.unreadable.get_or_insert((path, error));
    }
}

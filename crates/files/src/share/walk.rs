//! What in a directory belongs to the share.
//!
//! Owns the rules (hidden files, `.thorpignore`, only regular files, only names
//! that fit into a listing) and applies them to a whole tree or to one path, so
//! that a scan and the watcher never disagree. Decides nothing about what was
//! listed before.
//!
//! The rules come from the `ignore` crate; the walking does not, because that
//! crate walks paths of the whole machine, and here every directory is opened
//! beneath the share's handle: a directory swapped for a link during the walk
//! leads nowhere.

use std::io;
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, DirEntry, FileType};
use ignore::{IncrementalIgnore, WalkBuilder};
use thorp_wire::Name;
use thorp_wire::reserved::{IGNORE_FILE, VERSION_FILE, is_hidden, is_part};

use crate::stamp::Stamp;

/// How many files and folders were left out, by cause. What is beneath a
/// folder that was left out is not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Starts with a dot.
    pub hidden: u64,
    /// Matches a `.thorpignore`.
    pub ignored: u64,
    /// Its name is not UTF-8 or its path is over 4095 bytes.
    pub unnameable: u64,
    /// Could not be opened.
    pub unreadable: u64,
    /// A symbolic link. All are skipped: one that leads out must be, and one
    /// that stays inside names a file that is shared anyway.
    pub symlinks: u64,
    /// A device, a socket or a pipe.
    pub special: u64,
    /// A state directory of thorp: there are keys in it.
    pub keys: u64,
}

impl Skipped {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.hidden
            + self.ignored
            + self.unnameable
            + self.unreadable
            + self.symlinks
            + self.special
            + self.keys
    }

    /// The number that a cause is counted in.
    pub(super) fn of(&mut self, cause: Cause) -> &mut u64 {
        match cause {
            Cause::Hidden => &mut self.hidden,
            Cause::Ignored => &mut self.ignored,
            Cause::Unnameable => &mut self.unnameable,
            Cause::Unreadable => &mut self.unreadable,
            Cause::Symlink => &mut self.symlinks,
            Cause::Special => &mut self.special,
            Cause::Keys => &mut self.keys,
        }
    }
}

/// Why something is not shared, as [`Skipped`] counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Its name, or that of a folder it is in, starts with a dot.
    Hidden,
    /// A `.thorpignore` says so.
    Ignored,
    /// Its name is not UTF-8, or its path too long.
    Unnameable,
    /// It cannot be opened.
    Unreadable,
    /// It is a symbolic link.
    Symlink,
    /// It is a device, a socket or a pipe.
    Special,
    /// It is a state directory of thorp.
    Keys,
}

/// What the rules say of a path that is not shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ruled {
    Out(Cause),
    /// A temporary file of thorp: the user need not know.
    Part,
}

/// What a walk found.
#[derive(Default)]
pub(super) struct Found {
    /// Names in order.
    pub files: Vec<(Name, Stamp)>,
    /// Temporary files of fetches, perhaps of one that is running.
    pub parts: Vec<PathBuf>,
    pub left_out: Vec<(PathBuf, Cause)>,
    /// A name that cannot be listed, to show to the user.
    pub unnameable: Option<PathBuf>,
    /// A folder that could not be read, and why.
    pub unreadable: Option<(PathBuf, io::Error)>,
}

/// Which paths belong to the share.
///
/// Remembers the `.thorpignore` files it has read; when one changes, make new
/// rules.
pub(super) struct Rules {
    root: PathBuf,
    ignore: Option<IncrementalIgnore>,
    hidden: bool,
}

impl Rules {
    pub fn new(root: &Path, hidden: bool) -> Self {
        let ignore = WalkBuilder::new(root)
            .standard_filters(false)
            .add_custom_ignore_filename(IGNORE_FILE)
            .build_matchers()
            .pop();
        Self {
            root: root.to_owned(),
            ignore,
            hidden,
        }
    }

    /// Whether a folder is a state directory of thorp. It is never shared,
    /// whatever the user says: there are keys in it.
    fn holds_keys(&self, folder: &Path) -> bool {
        is_state_directory(&self.root.join(folder))
    }

    /// Why this path, relative to the share, is left out. Checks the path and
    /// all its folders.
    pub fn leave_out(&mut self, path: &Path, is_dir: bool) -> Option<Ruled> {
        let in_keys = path
            .ancestors()
            .skip(1)
            .any(|folder| self.holds_keys(folder));
        if in_keys {
            return Some(Ruled::Out(Cause::Keys));
        }
        self.leave_out_of(path, is_dir)
    }

    /// The same for something in a folder that is known to be shared.
    fn leave_out_of(&mut self, path: &Path, is_dir: bool) -> Option<Ruled> {
        if is_dir && self.holds_keys(path) {
            return Some(Ruled::Out(Cause::Keys));
        }
        if path.file_name().is_some_and(is_part) {
            return Some(Ruled::Part);
        }
        if !self.hidden && is_hidden(path) {
            return Some(Ruled::Out(Cause::Hidden));
        }
        if let Some(ignore) = &mut self.ignore
            && ignore.matched(path, is_dir).is_ignore()
        {
            return Some(Ruled::Out(Cause::Ignored));
        }
        path.to_str()
            .is_none()
            .then_some(Ruled::Out(Cause::Unnameable))
    }
}

/// Whether thorp keeps its keys in this directory.
pub(super) fn is_state_directory(path: &Path) -> bool {
    path.join(VERSION_FILE).symlink_metadata().is_ok()
}

/// All that is shared beneath a folder (the empty path is the share itself).
/// `before` is called for each folder before it is read.
pub(super) fn walk(
    dir: &Dir,
    folder: &Path,
    rules: &mut Rules,
    before: &mut dyn FnMut(&Path),
) -> Found {
    let mut found = Found::default();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        before(&folder);
        if let Err(error) = walk_folder(dir, &folder, rules, &mut found, &mut folders)
            && error.kind() != io::ErrorKind::NotFound
        {
            found.not_readable(folder, error);
        }
    }
    found.files.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    found
}

fn walk_folder(
    dir: &Dir,
    folder: &Path,
    rules: &mut Rules,
    found: &mut Found,
    folders: &mut Vec<PathBuf>,
) -> io::Result<()> {
    let entries = if folder.as_os_str().is_empty() {
        dir.entries()?
    } else {
        dir.open_dir(folder)?.entries()?
    };
    for entry in entries {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        let Some(kind) = found.kind(&path, &entry)? else {
            continue;
        };
        match rules.leave_out_of(&path, kind.is_dir()) {
            Some(Ruled::Out(Cause::Unnameable)) => found.not_nameable(path),
            Some(Ruled::Out(cause)) => found.left_out.push((path, cause)),
            Some(Ruled::Part) => found.parts.push(path),
            None if kind.is_dir() => folders.push(path),
            None if kind.is_file() => found.file(path, &entry),
            None if kind.is_symlink() => found.left_out.push((path, Cause::Symlink)),
            None => found.left_out.push((path, Cause::Special)),
        }
    }
    Ok(())
}

impl Found {
    /// What an entry is; `None` where it is gone, or cannot be looked at.
    fn kind(&mut self, path: &Path, entry: &DirEntry) -> io::Result<Option<FileType>> {
        let listed = entry.file_type()?;
        if listed.is_file() || listed.is_dir() || listed.is_symlink() {
            return Ok(Some(listed));
        }
        // Not every file system says in a folder's list what its entries are.
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
            // It was removed or replaced since the directory was read: the watcher will
            // report that.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.not_readable(path, error),
        }
    }

    fn not_nameable(&mut self, path: PathBuf) {
        self.unnameable.get_or_insert_with(|| path.clone());
        self.left_out.push((path, Cause::Unnameable));
    }

    fn not_readable(&mut self, path: PathBuf, error: io::Error) {
        self.left_out.push((path.clone(), Cause::Unreadable));
        self.unreadable.get_or_insert((path, error));
    }
}

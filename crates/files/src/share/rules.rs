//! Which paths belong to the share: hidden files, `.thorpignore`, thorp's keys, names that cannot
//! be listed.
//!
//! This module owns how a `.thorpignore` is read: relative to the share's handle, only a regular
//! file and not through a symlink, up to a maximum size. The `ignore` crate interprets its lines.
//! A folder whose `.thorpignore` cannot be read is left out with everything in it, because it is
//! unknown what its owner does not want to share.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rustix::fs::OFlags;
use thorp_wire::Name;
use thorp_wire::reserved::{IGNORE_FILE, VERSION_FILE, is_hidden, is_part};

use super::left_out::LeftOutCause;
use super::warning::{IgnoreProblem, ShareWarning};

/// The maximum size of a `.thorpignore` in bytes. A longer one is not read, since its compiled
/// lines take many times their length in memory.
pub(super) const LONGEST_IGNORE_FILE: u64 = 64 * 1024;

/// Why a path is not shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ruled {
    Out(LeftOutCause),
    /// It is a partial file of a fetch, which the user need not be told of.
    Part,
}

/// The rules that decide which paths belong to the share.
///
/// They keep what was read on the way to the last path: call [`forget`](Self::forget) when a
/// file that [they read](are_read_from) has changed.
pub(super) struct Rules {
    hidden: bool,
    /// The share itself and the folders on the way to the last path, each with its
    /// `.thorpignore`.
    levels: Vec<(PathBuf, Level)>,
    /// Those of these folders in which there were no keys.
    keyless: Vec<PathBuf>,
    /// The problems of the `.thorpignore` files that were read.
    warnings: Vec<ShareWarning>,
}

/// The `.thorpignore` of a folder.
enum Level {
    /// The folder has none.
    Absent,
    Lines(Gitignore),
    /// It cannot be read.
    Unread,
}

impl Rules {
    pub fn new(hidden: bool) -> Self {
        Self {
            hidden,
            levels: Vec::new(),
            keyless: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Forgets what was read of folders, so that it is read again when it is next needed.
    pub fn forget(&mut self) {
        self.levels.clear();
        self.keyless.clear();
    }

    /// Looks for keys in every folder anew: there may be file systems that do not report them.
    pub fn forget_keyless(&mut self) {
        self.keyless.clear();
    }

    /// Takes the warnings about the files that were read.
    pub fn take_warnings(&mut self) -> Vec<ShareWarning> {
        std::mem::take(&mut self.warnings)
    }

    /// Returns why this path, relative to the share, is left out. Checks the path and all its
    /// folders.
    pub fn leave_out(&mut self, dir: &Dir, path: &Path, is_dir: bool) -> Option<Ruled> {
        let folders: Vec<_> = path.ancestors().skip(1).collect();
        let mut folders = folders.into_iter().rev();
        let above = folders.find_map(|folder| self.leave_out_of(dir, folder, true));
        above.or_else(|| self.leave_out_of(dir, path, is_dir))
    }

    /// Returns why this path is left out, given that its folder is shared.
    pub fn leave_out_of(&mut self, dir: &Dir, path: &Path, is_dir: bool) -> Option<Ruled> {
        if is_dir && self.holds_keys(dir, path) {
            return Some(Ruled::Out(LeftOutCause::Keys));
        }
        if path.file_name().is_some_and(is_part) {
            return Some(Ruled::Part);
        }
        if !self.hidden && is_hidden(path) {
            return Some(Ruled::Out(LeftOutCause::Hidden));
        }
        if let Some(folder) = path.parent()
            && let Some(cause) = self.ignores(dir, folder, path, is_dir)
        {
            return Some(Ruled::Out(cause));
        }
        let is_nameable = path.to_str().is_some() && path.as_os_str().len() <= Name::MAX;
        if !is_nameable {
            return Some(Ruled::Out(LeftOutCause::Unnameable));
        }
        (is_dir && self.is_closed(dir, path)).then_some(Ruled::Out(LeftOutCause::IgnoreFile))
    }

    /// Whether a folder of a share contains thorp's keys. Such a folder is never shared, whatever
    /// the user says.
    fn holds_keys(&mut self, dir: &Dir, folder: &Path) -> bool {
        if self.keyless.iter().any(|known| known == folder) {
            return false;
        }
        let looked = look_in(dir, folder, VERSION_FILE)
            .and_then(|(dir, path)| dir.as_ref().symlink_metadata(path));
        if looked.is_ok() {
            return true;
        }
        let is_on_the_way = |known: &PathBuf| folder.starts_with(known);
        self.keyless.retain(is_on_the_way);
        self.keyless.push(folder.to_owned());
        false
    }

    /// Returns the cause if a `.thorpignore` in this folder or above it leaves the path out.
    fn ignores(
        &mut self,
        dir: &Dir,
        folder: &Path,
        path: &Path,
        is_dir: bool,
    ) -> Option<LeftOutCause> {
        for (at, level) in self.enter(dir, folder).iter().rev() {
            let lines = match level {
                Level::Absent => continue,
                Level::Unread => return Some(LeftOutCause::IgnoreFile),
                Level::Lines(lines) => lines,
            };
            let beneath = path.strip_prefix(at).unwrap_or(path);
            match lines.matched(beneath, is_dir) {
                Match::None => {}
                Match::Ignore(_) => return Some(LeftOutCause::Ignored),
                Match::Whitelist(_) => return None,
            }
        }
        None
    }

    /// Whether this folder has a `.thorpignore` that cannot be read.
    fn is_closed(&mut self, dir: &Dir, folder: &Path) -> bool {
        let here = self.enter(dir, folder).last();
        here.is_some_and(|(_, level)| matches!(level, Level::Unread))
    }

    /// Reads every `.thorpignore` on the way to this folder that has not been read, and returns
    /// them. Those beneath it are kept: the next path may be there again.
    fn enter(&mut self, dir: &Dir, folder: &Path) -> &[(PathBuf, Level)] {
        while let Some((last, _)) = self.levels.last()
            && !folder.starts_with(last)
            && !last.starts_with(folder)
        {
            self.levels.pop();
        }
        let depth = folder.ancestors().count();
        let missing = depth.saturating_sub(self.levels.len());
        let missing: Vec<_> = folder.ancestors().take(missing).collect();
        for folder in missing.into_iter().rev() {
            let level = self.read(dir, folder);
            self.levels.push((folder.to_owned(), level));
        }
        &self.levels[..depth]
    }

    fn read(&mut self, dir: &Dir, folder: &Path) -> Level {
        let path = folder.join(IGNORE_FILE);
        let lines = match read_lines(dir, folder) {
            Ok(Some(lines)) => lines,
            Ok(None) => return Level::Absent,
            Err(why) => {
                self.warnings.push(ShareWarning::IgnoreFile { path, why });
                return Level::Unread;
            }
        };
        // Paths are matched relative to the file's own folder.
        let mut builder = GitignoreBuilder::new(".");
        for (number, line) in (1..).zip(lines.lines()) {
            if let Err(error) = builder.add_line(None, line) {
                self.warnings.push(ShareWarning::IgnoreLine {
                    path: path.clone(),
                    line: number,
                    why: error.to_string(),
                });
            }
        }
        match builder.build() {
            Ok(built) => Level::Lines(built),
            Err(error) => {
                let why = IgnoreProblem::Unreadable(error.to_string());
                self.warnings.push(ShareWarning::IgnoreFile { path, why });
                Level::Unread
            }
        }
    }
}

/// Reads the text of a folder's `.thorpignore`, if there is one.
fn read_lines(dir: &Dir, folder: &Path) -> Result<Option<String>, IgnoreProblem> {
    let unreadable = |error: io::Error| IgnoreProblem::Unreadable(error.to_string());
    let found = look_in(dir, folder, IGNORE_FILE).and_then(|(dir, path)| {
        let meta = dir.as_ref().symlink_metadata(&path)?;
        Ok((dir, path, meta))
    });
    let (dir, path, meta) = match found {
        Ok(found) => found,
        Err(error) if has_nothing(&error) => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    if !meta.is_file() {
        return Err(IgnoreProblem::NotAFile);
    }
    // The file may have been replaced meanwhile: by a named pipe, which must not be waited for,
    // or by a symlink, which could lead only to another file of the share.
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed());
    let file = dir.as_ref().open_with(&path, &options);
    let file = file.map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(IgnoreProblem::NotAFile);
    }
    let mut bytes = Vec::new();
    file.take(LONGEST_IGNORE_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > LONGEST_IGNORE_FILE {
        return Err(IgnoreProblem::TooLong {
            most: LONGEST_IGNORE_FILE,
        });
    }
    let text = String::from_utf8(bytes);
    let text = text.map_err(|_| IgnoreProblem::Unreadable("it is not UTF-8".into()))?;
    Ok(Some(text.trim_start_matches('\u{feff}').to_owned()))
}

/// Whether an error means that there is no `.thorpignore`, or that nothing in its folder can be
/// opened anyway.
fn has_nothing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied
    )
}

/// Whether rules are read from a file at this path, by its name.
pub(super) fn are_read_from(path: &Path) -> bool {
    let name = path.file_name();
    name.is_some_and(|name| name == IGNORE_FILE || name == VERSION_FILE)
}

/// Whether a directory contains thorp's keys.
pub(super) fn is_state_directory(path: &Path) -> bool {
    path.join(VERSION_FILE).symlink_metadata().is_ok()
}

/// The handle of the share or of another directory.
enum Handle<'a> {
    Of(&'a Dir),
    Opened(Dir),
}

impl AsRef<Dir> for Handle<'_> {
    fn as_ref(&self) -> &Dir {
        match self {
            Self::Of(dir) => dir,
            Self::Opened(dir) => dir,
        }
    }
}

/// Returns a handle and a path by which a file of a folder can be opened. If the full path
/// exceeds the maximum length, the folder is opened first.
fn look_in<'a>(dir: &'a Dir, folder: &Path, file: &str) -> io::Result<(Handle<'a>, PathBuf)> {
    let path = folder.join(file);
    if path.as_os_str().len() <= Name::MAX {
        return Ok((Handle::Of(dir), path));
    }
    Ok((Handle::Opened(dir.open_dir(folder)?), file.into()))
}

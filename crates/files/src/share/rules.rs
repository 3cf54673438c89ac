//! Which paths belong to the share: hidden files, `.thorpignore`, thorp's keys,
//! names that cannot be listed.
//!
//! Owns the reading of each `.thorpignore`: beneath the share's handle, of a
//! regular file that is not behind a link, up to a bound. What its lines mean is
//! known to the `ignore` crate, which is given them. A folder whose
//! `.thorpignore` cannot be read is left out with all in it: what its owner did
//! not want to be shared is not known.

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

/// A longer `.thorpignore` is not read: its lines are compiled, which takes memory
/// many times their length.
pub(super) const LONGEST_IGNORE_FILE: u64 = 64 * 1024;

/// What the rules say of a path that is not shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ruled {
    Out(LeftOutCause),
    /// A temporary file of thorp: the user need not know.
    Part,
}

/// Which paths belong to the share.
///
/// Remembers what it has read on the way to the last path: when a `.thorpignore`
/// changes, make new rules.
pub(super) struct Rules {
    hidden: bool,
    /// The share itself, the folders on the way to the last path, and for each of
    /// them its `.thorpignore`.
    levels: Vec<(PathBuf, Level)>,
    /// What is wrong with those that were read.
    warnings: Vec<ShareWarning>,
}

/// A folder's `.thorpignore`.
enum Level {
    /// There is none.
    Absent,
    Lines(Gitignore),
    /// There is one that cannot be read.
    Unread,
}

impl Rules {
    pub fn new(hidden: bool) -> Self {
        Self {
            hidden,
            levels: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Forgets what was read, so that it is read again when it is needed next.
    pub fn forget(&mut self) {
        self.levels.clear();
    }

    /// What the user is to be told of what was read.
    pub fn take_warnings(&mut self) -> Vec<ShareWarning> {
        std::mem::take(&mut self.warnings)
    }

    /// Why this path, relative to the share, is left out. Checks the path and
    /// all its folders.
    pub fn leave_out(&mut self, dir: &Dir, path: &Path, is_dir: bool) -> Option<Ruled> {
        let folders: Vec<_> = path.ancestors().skip(1).collect();
        let mut folders = folders.into_iter().rev();
        let above = folders.find_map(|folder| self.leave_out_of(dir, folder, true));
        above.or_else(|| self.leave_out_of(dir, path, is_dir))
    }

    /// The same for something in a folder that is known to be shared.
    pub fn leave_out_of(&mut self, dir: &Dir, path: &Path, is_dir: bool) -> Option<Ruled> {
        if is_dir && holds_keys(dir, path) {
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

    /// Whether a `.thorpignore` on the way to something in this folder leaves it out.
    fn ignores(
        &mut self,
        dir: &Dir,
        folder: &Path,
        path: &Path,
        is_dir: bool,
    ) -> Option<LeftOutCause> {
        self.enter(dir, folder);
        for (at, level) in self.levels.iter().rev() {
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
        self.enter(dir, folder);
        let here = self.levels.last();
        here.is_some_and(|(_, level)| matches!(level, Level::Unread))
    }

    /// Reads what there is to be read on the way to this folder.
    fn enter(&mut self, dir: &Dir, folder: &Path) {
        while let Some((last, _)) = self.levels.last()
            && !folder.starts_with(last)
        {
            self.levels.pop();
        }
        let missing = folder.ancestors().count() - self.levels.len();
        if missing == 0 {
            return;
        }
        let missing: Vec<_> = folder.ancestors().take(missing).collect();
        for folder in missing.into_iter().rev() {
            let level = self.read(dir, folder);
            self.levels.push((folder.to_owned(), level));
        }
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

/// The text of the folder's `.thorpignore`, if there is one.
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
    // What it was may be something else by now: a pipe, which is not waited for, or a
    // link, which leads nowhere but to another file of the share.
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

/// Whether an error says that there is no `.thorpignore`, or that nothing in its
/// folder can be opened anyway.
fn has_nothing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied
    )
}

/// Whether thorp keeps its keys in this folder of a share. Such a one is never
/// shared, whatever the user says.
fn holds_keys(dir: &Dir, folder: &Path) -> bool {
    let looked = look_in(dir, folder, VERSION_FILE)
        .and_then(|(dir, path)| dir.as_ref().symlink_metadata(path));
    looked.is_ok()
}

/// Whether thorp keeps its keys in this directory.
pub(super) fn is_state_directory(path: &Path) -> bool {
    path.join(VERSION_FILE).symlink_metadata().is_ok()
}

/// A directory's handle, the share's or another one.
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

/// Where a file of a folder can be looked at: the two together may be longer than
/// a path may be.
fn look_in<'a>(dir: &'a Dir, folder: &Path, file: &str) -> io::Result<(Handle<'a>, PathBuf)> {
    let path = folder.join(file);
    if path.as_os_str().len() <= Name::MAX {
        return Ok((Handle::Of(dir), path));
    }
    Ok((Handle::Opened(dir.open_dir(folder)?), file.into()))
}

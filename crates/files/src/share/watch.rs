//! Passes the file system's reports on to the [`Inbox`].
//!
//! Asks for what changes, and not for what is opened or read: a peer that serves ten thousand files
//! is told nothing of it. This module never opens a file, and does not decide what a report means
//! for the listing.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{Config, EventKind, EventKindMask, RecommendedWatcher, RecursiveMode, Watcher};
use rustix::io::Errno;

use super::inbox::{Inbox, Report};

/// What is asked for.
const ASKED: EventKindMask = EventKindMask::CORE
    // By a writer.
    .union(EventKindMask::ACCESS_CLOSE);

/// Whether folders are watched one by one, as inotify requires. Other systems watch everything
/// beneath a folder.
const ONE_BY_ONE: bool = cfg!(target_os = "linux");

/// The longest full path that the system accepts, in bytes.
const LONGEST: usize = 4095;

/// Reports changes in folders, until it is dropped.
///
/// Folders are watched one by one, not recursively: otherwise one unreadable folder would end the
/// whole watch, and folders that are left out would use up watches. A walk has each folder
/// watched before it reads the folder. So it misses nothing, even if the folder is moved
/// meanwhile: the last change of each path is followed by a look at that path.
pub(super) struct Watch {
    watcher: RecommendedWatcher,
    /// The full path of the share.
    root: PathBuf,
}

/// Why nothing more, or not everything, is reported.
#[derive(Debug, thiserror::Error)]
pub(super) enum WatchError {
    #[error("the system's limit of watches is reached")]
    Limit,
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Without the path, which may be long and says nothing about the others.
    #[error("{0:?}")]
    Other(notify::ErrorKind),
}

impl From<notify::Error> for WatchError {
    fn from(error: notify::Error) -> Self {
        match error.kind {
            notify::ErrorKind::MaxFilesWatch => Self::Limit,
            notify::ErrorKind::Io(error) => Self::Io(error),
            other => Self::Other(other),
        }
    }
}

impl Watch {
    /// Makes a watch for the share at this path, which reports to the inbox.
    pub fn new(path: &Path, inbox: Arc<Inbox>) -> Result<Self, WatchError> {
        let root = path.to_owned();
        let config = Config::default()
            .with_event_kinds(ASKED)
            // The target of a symlink is not part of the share, so it is not watched.
            .with_follow_symlinks(false);
        let mut moves = Moves::default();
        let mut watcher = RecommendedWatcher::new(
            move |event: notify::Result<notify::Event>| match event {
                Ok(event) if event.need_rescan() => inbox.overflow(),
                Ok(event) => {
                    let reports = reports(&root, &event);
                    if let Some((from, to)) = moves.follow(&event, &reports) {
                        // First: whoever looks at the new place knows what has come there.
                        inbox.moved(&from, &to);
                    }
                    inbox.report(reports);
                }
                Err(error) => inbox.blind(&WatchError::from(error).to_string()),
            },
            config,
        )?;
        if !ONE_BY_ONE {
            watcher.watch(path, RecursiveMode::Recursive)?;
        }
        Ok(Self {
            watcher,
            root: path.to_owned(),
        })
    }

    /// Starts reporting changes in this folder, but not beneath it. A folder that is gone or
    /// unreadable has nothing to report: before it is read, it is watched. Returns `false` if the
    /// folder cannot be watched because its full path is too long for the system.
    pub fn folder(&mut self, folder: &Path) -> Result<bool, WatchError> {
        if !ONE_BY_ONE {
            return Ok(true);
        }
        let path = self.root.join(folder);
        if path.as_os_str().len() > LONGEST {
            return Ok(false);
        }
        match self.watcher.watch(&path, RecursiveMode::NonRecursive) {
            Err(error) if !has_nothing_to_report(&error) => Err(error.into()),
            _ => Ok(true),
        }
    }
}

/// Puts the two halves of a move within the share together.
#[derive(Default)]
struct Moves {
    /// What was moved away last, and the number that the system has given the move.
    begun: Option<(usize, PathBuf)>,
}

impl Moves {
    /// Returns from where to where, at the second half.
    fn follow(
        &mut self,
        event: &notify::Event,
        reports: &[(PathBuf, Report)],
    ) -> Option<(PathBuf, PathBuf)> {
        let number = event.attrs.tracker()?;
        let (path, _) = reports.first()?;
        match event.kind {
            EventKind::Modify(ModifyKind::Name(RenameMode::From)) => {
                self.begun = Some((number, path.clone()));
                None
            }
            EventKind::Modify(ModifyKind::Name(RenameMode::To)) => {
                let (_, from) = self.begun.take().filter(|(begun, _)| *begun == number)?;
                Some((from, path.clone()))
            }
            _ => None,
        }
    }
}

fn has_nothing_to_report(error: &notify::Error) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    match &error.kind {
        notify::ErrorKind::PathNotFound => true,
        notify::ErrorKind::Io(error) => {
            matches!(error.kind(), NotADirectory | NotFound | PermissionDenied)
                || Errno::from_io_error(error) == Some(Errno::IO)
        }
        _ => false,
    }
}

/// What an event says, of paths relative to the share.
fn reports(root: &Path, event: &notify::Event) -> Vec<(PathBuf, Report)> {
    let Some(report) = report(event.kind) else {
        return Vec::new();
    };
    let inside = event.paths.iter().filter_map(|path| {
        let path = beneath(root, path)?;
        Some((path.to_owned(), report))
    });
    inside.collect()
}

/// The rest of a path behind the root, if it begins with that. Both are as the watcher was given
/// them, so that they need not be compared part by part.
fn beneath<'a>(root: &Path, path: &'a Path) -> Option<&'a Path> {
    let root = root.as_os_str().as_bytes();
    let rest = path.as_os_str().as_bytes().strip_prefix(root)?;
    let rest = match rest {
        [] => rest,
        [b'/', rest @ ..] => rest,
        _ if root.ends_with(b"/") => rest,
        _ => return None,
    };
    Some(Path::new(OsStr::from_bytes(rest)))
}

/// Nothing for the one that repeats the two halves of a rename.
fn report(kind: EventKind) -> Option<Report> {
    Some(match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Report::Closed,
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => {
            return None;
        }
        EventKind::Modify(ModifyKind::Name(RenameMode::To)) => Report::MovedHere,
        EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) => Report::Written,
        EventKind::Create(_) => Report::Made,
        _ => Report::Other,
    })
}

//! Passes the file system's reports on to the [`Inbox`].
//!
//! This module never opens a file, and does not decide what a report means for the listing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{Config, RecommendedWatcher, RecursiveMode, Watcher};

use super::inbox::Inbox;

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
    root: PathBuf,
}

impl Watch {
    /// Makes a watch for the share at this path, which reports to the inbox.
    pub fn new(path: &Path, inbox: Arc<Inbox>) -> notify::Result<Self> {
        let root = path.to_owned();
        // The target of a symlink is not part of the share, so it is not watched.
        let config = Config::default().with_follow_symlinks(false);
        let mut watcher = RecommendedWatcher::new(
            move |event| match event {
                Ok(event) => inbox.report(&root, &event),
                Err(error) => inbox.blind(&error),
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
    /// unreadable has nothing to report. Returns `false` if the folder cannot be watched because
    /// its full path is too long for the system.
    pub fn folder(&mut self, folder: &Path) -> notify::Result<bool> {
        if !ONE_BY_ONE {
            return Ok(true);
        }
        let path = self.root.join(folder);
        if path.as_os_str().len() > LONGEST {
            return Ok(false);
        }
        match self.watcher.watch(&path, RecursiveMode::NonRecursive) {
            Err(error) if !has_nothing_to_report(&error) => Err(error),
            _ => Ok(true),
        }
    }
}

fn has_nothing_to_report(error: &notify::Error) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    match &error.kind {
        notify::ErrorKind::PathNotFound => true,
        notify::ErrorKind::Io(error) => {
            matches!(error.kind(), NotADirectory | NotFound | PermissionDenied)
        }
        _ => false,
    }
}

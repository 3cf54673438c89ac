//! Passes the file system's reports on to the [`Inbox`].
//!
//! Never touches a file and never decides what a report means for the listing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{Config, RecommendedWatcher, RecursiveMode, Watcher};

use super::inbox::Inbox;

/// Whether folders are watched one by one, as inotify has it. Elsewhere the
/// system watches all that is beneath one.
const ONE_BY_ONE: bool = cfg!(target_os = "linux");

/// The longest full path that the system takes, in bytes.
const LONGEST: usize = 4095;

/// Reports what happens in folders, until it is dropped.
///
/// Folder by folder and not recursively: otherwise a folder that may not be
/// read would end the whole watch, and one that is left out would use up
/// watches. A walk has each folder watched before it reads it. So it misses
/// nothing, even if the folder is moved meanwhile: the last change to each path
/// is followed by a look at that path.
pub(super) struct Watch {
    watcher: RecommendedWatcher,
    root: PathBuf,
}

impl Watch {
    /// What happens in folders of the share at this path will reach the inbox.
    pub fn new(path: &Path, inbox: Arc<Inbox>) -> notify::Result<Self> {
        let root = path.to_owned();
        // A link is not part of the share, so what is behind it is not watched.
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

    /// From now on, what happens in this folder (not beneath) is reported. One
    /// that is gone or may not be read has nothing to report. Returns whether it
    /// could be: the system takes full paths, and this one may be too long.
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

//! What the file system reports, into the [`Inbox`].
//!
//! Never touches a file and never decides what a report means for the listing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{Config, RecommendedWatcher, RecursiveMode, Watcher};

use super::inbox::Inbox;

/// Whether folders are watched one by one, as inotify has it. Elsewhere the
/// system watches all that is beneath one.
const ONE_BY_ONE: bool = cfg!(target_os = "linux");

/// Reports what happens in folders, for as long as it is held.
///
/// Folder by folder and not recursively: a folder that may not be read, or is
/// left out, would otherwise cost the whole watch, or watches that others need.
/// And whoever walks a folder has it watched first, so nothing is missed between,
/// wherever it was moved in the meantime: for each path, the last thing that
/// happened to it is followed by a walk of what is there.
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
    /// that is gone or may not be read has nothing to report.
    pub fn folder(&mut self, folder: &Path) -> notify::Result<()> {
        if !ONE_BY_ONE {
            return Ok(());
        }
        let path = self.root.join(folder);
        match self.watcher.watch(&path, RecursiveMode::NonRecursive) {
            Err(error) if !has_nothing_to_report(&error) => Err(error),
            _ => Ok(()),
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

//! Passes the file system's reports on to the [`Inbox`].
//!
//! Asks the kernel (inotify) for what changes, and not for what is opened or read: a peer that
//! serves ten thousand files is told nothing of it. What is done to a file through a descriptor
//! after its name has gone is not asked for either, so that a file which is written without a name
//! is reported when it gets one. Reports are read many at a time.
//!
//! This module never opens a file, and does not decide what a report means for the listing.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Bound;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use super::inbox::{Inbox, Report};
use super::locks::lock;

/// What is asked for.
const ASKED: WatchFlags = WatchFlags::ATTRIB
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::EXCL_UNLINK)
    .union(WatchFlags::ONLYDIR)
    // The target of a symlink is not part of the share.
    .union(WatchFlags::DONT_FOLLOW);

/// The longest full path that the system accepts, in bytes.
const LONGEST: usize = 4095;
/// How many bytes of reports are read at once. One takes 16, and its file's name.
const BUFFER: usize = 64 * 1024;
/// How long the reader rests once it has read. The keeper gathers for longer, and the kernel keeps
/// thousands of reports.
const REST: Duration = Duration::from_millis(10);

/// Reports changes in folders, until it is dropped.
///
/// Folders are watched one by one, not recursively: otherwise one unreadable folder would end the
/// whole watch, and folders that are left out would use up watches. A walk has each folder
/// watched before it reads the folder. So it misses nothing, even if the folder is moved
/// meanwhile: the last change of each path is followed by a look at that path.
pub(super) struct Watch {
    watched: Arc<Watched>,
    /// The full path of the share.
    root: PathBuf,
    _stop: OwnedFd,
}

/// Why nothing more, or not everything, is reported.
#[derive(Debug, thiserror::Error)]
pub(super) enum WatchError {
    #[error("the system's limit of watches is reached")]
    Limit,
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl From<Errno> for WatchError {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

struct Watched {
    inotify: OwnedFd,
    folders: Mutex<Folders>,
}

/// The folders that are watched, by their paths in the share.
#[derive(Default)]
struct Folders {
    paths: HashMap<i32, PathBuf>,
    watches: BTreeMap<PathBuf, i32>,
}

impl Watch {
    /// Makes a watch for the share at this path, which reports to the inbox.
    pub fn new(path: &Path, inbox: Arc<Inbox>) -> Result<Self, WatchError> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let watched = Arc::new(Watched {
            inotify,
            folders: Mutex::default(),
        });
        let (stopped, stop) = pipe_with(PipeFlags::CLOEXEC)?;
        let reader = Arc::clone(&watched);
        thread::Builder::new()
            .name("thorp-watch".into())
            .spawn(move || reader.read(&stopped, &inbox))?;
        Ok(Self {
            watched,
            root: path.to_owned(),
            _stop: stop,
        })
    }

    /// Starts reporting changes in this folder, but not beneath it. A folder that is gone or
    /// unreadable has nothing to report. Returns `false` if the folder cannot be watched because
    /// its full path is too long for the system.
    pub fn folder(&mut self, folder: &Path) -> Result<bool, WatchError> {
        let path = self.root.join(folder);
        if path.as_os_str().len() > LONGEST {
            return Ok(false);
        }
        // Locked before, so that no report comes of a watch that is not known.
        let mut folders = lock(&self.watched.folders);
        match inotify::add_watch(&self.watched.inotify, &path, ASKED) {
            Ok(watch) => folders.add(watch, folder),
            Err(Errno::NOTDIR | Errno::NOENT | Errno::ACCESS | Errno::PERM) => {}
            Err(Errno::NOSPC) => return Err(WatchError::Limit),
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }
}

impl Watched {
    fn read(&self, stopped: &OwnedFd, inbox: &Inbox) {
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER];
        loop {
            let mut either = [
                PollFd::new(&self.inotify, PollFlags::IN),
                PollFd::new(stopped, PollFlags::IN),
            ];
            match poll(&mut either, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return inbox.blind(&error.to_string()),
            }
            if !either[1].revents().is_empty() {
                return;
            }
            if let Err(error) = self.pass_on(&mut buffer, inbox) {
                return inbox.blind(&error.to_string());
            }
            thread::sleep(REST);
        }
    }

    /// Passes on what there is to be read.
    fn pass_on(&self, buffer: &mut [MaybeUninit<u8>], inbox: &Inbox) -> rustix::io::Result<()> {
        let mut reader = Reader::new(&self.inotify, buffer);
        let mut reports = Vec::new();
        let mut gone = Vec::new();
        let mut has_missed = false;
        let mut folders = lock(&self.folders);
        let read = loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN | Errno::INTR) => break Ok(()),
                Err(error) => break Err(error),
            };
            let happened = event.events();
            has_missed |= happened.contains(ReadFlags::QUEUE_OVERFLOW);
            if happened.contains(ReadFlags::IGNORED) {
                folders.remove_watch(event.wd());
                continue;
            }
            let Some(folder) = folders.paths.get(&event.wd()) else {
                continue;
            };
            let name = event
                .file_name()
                .map(|name| OsStr::from_bytes(name.to_bytes()));
            let path = match name {
                Some(name) => folder.join(name),
                None => folder.clone(),
            };
            if happened.contains(ReadFlags::MOVED_FROM | ReadFlags::ISDIR) {
                gone.extend(folders.take_beneath(&path));
            }
            reports.push((path, report(happened)));
        };
        drop(folders);
        if has_missed {
            inbox.overflow();
        }
        inbox.report(reports);
        for watch in gone {
            // It may have ended by itself.
            let _ = inotify::remove_watch(&self.inotify, watch);
        }
        read
    }
}

impl Folders {
    fn add(&mut self, watch: i32, folder: &Path) {
        if let Some(before) = self.watches.insert(folder.to_owned(), watch)
            && before != watch
        {
            self.paths.remove(&before);
        }
        // The same folder may have been watched by another path.
        self.paths.insert(watch, folder.to_owned());
    }

    fn remove_watch(&mut self, watch: i32) {
        if let Some(folder) = self.paths.remove(&watch)
            && self.watches.get(&folder) == Some(&watch)
        {
            self.watches.remove(&folder);
        }
    }

    /// Takes out what is watched at this path and beneath it, and by no other path.
    fn take_beneath(&mut self, path: &Path) -> Vec<i32> {
        let from = (Bound::Included(path), Bound::Unbounded);
        let from = self.watches.range::<Path, _>(from);
        let beneath = from.take_while(|(folder, _)| folder.starts_with(path));
        let beneath: Vec<_> = beneath.map(|(folder, _)| folder.clone()).collect();
        let mut taken = Vec::new();
        for folder in beneath {
            if let Some(watch) = self.watches.remove(&folder)
                && self.paths.get(&watch) == Some(&folder)
            {
                self.paths.remove(&watch);
                taken.push(watch);
            }
        }
        taken
    }
}

fn report(happened: ReadFlags) -> Report {
    if happened.contains(ReadFlags::CREATE) {
        Report::Made
    } else if happened.contains(ReadFlags::MODIFY) {
        Report::Written
    } else if happened.contains(ReadFlags::CLOSE_WRITE) {
        Report::Closed
    } else if happened.contains(ReadFlags::MOVED_TO) {
        Report::MovedHere
    } else {
        Report::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_moved_is_watched_by_its_new_path_alone() {
        let mut folders = Folders::default();
        for (watch, folder) in [(1, ""), (2, "a"), (3, "a/b"), (4, "a b")] {
            folders.add(watch, Path::new(folder));
        }
        // A walk has found it where it is now, before it is reported to be away.
        folders.add(3, Path::new("c"));
        assert_eq!(folders.take_beneath(Path::new("a")), [2]);
        let left: Vec<_> = folders.watches.keys().map(PathBuf::as_path).collect();
        assert_eq!(left, ["", "a b", "c"].map(Path::new));
        assert_eq!(folders.paths[&3], Path::new("c"));
        // Another one took its name.
        folders.add(5, Path::new("c"));
        folders.remove_watch(3);
        assert_eq!(folders.watches[Path::new("c")], 5);
        folders.remove_watch(5);
        assert!(!folders.watches.contains_key(Path::new("c")));
        assert_eq!(folders.paths.len(), folders.watches.len());
    }
}

//! Gathers what the keeper has to look at.
//!
//! Reports are merged until the keeper takes them: one mark a path, however often
//! it was reported. Bounded: beyond some number of paths the whole share is looked
//! at instead. Never decides what a report means for the listing.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use thorp_wire::Name;
use thorp_wire::reserved::is_part;

use super::locks::lock;
use super::warning::ShareWarning;
use crate::stamp::Stamp;

/// More paths than this at once, and walking the share is cheaper.
const PATHS: usize = 50_000;

/// Of how many moves at once it is remembered where they came from. What else was moved is hashed
/// anew.
const MOVES: usize = 1024;

/// Where watcher, hashing threads and readers leave messages for the keeper.
#[derive(Default)]
pub(super) struct Inbox {
    pending: Mutex<Pending>,
    bell: Condvar,
}

/// The messages, merged.
#[derive(Default)]
pub(super) struct Pending {
    /// Paths relative to the share. As bytes, they need not be compared part by part.
    pub paths: BTreeMap<OsString, Mark>,
    /// What was moved within the share, from where to where, in this order: folders perhaps.
    pub moved: Vec<(String, String)>,
    /// What files were called by the system before they had a name, of those that were stored.
    nameless: HashSet<OsString>,
    /// Files that changed while they were read.
    pub changed: BTreeSet<Name>,
    /// Files that the disk does not give now, and why.
    pub not_now: BTreeMap<Name, String>,
    /// What may have changed anywhere.
    pub rescan: Option<Rescan>,
    /// The watcher misses things from now on, and why.
    pub blind: Option<String>,
    /// A file that could not be read and why; one of perhaps many.
    pub unreadable: Option<(Name, String)>,
    /// What the user is to be told.
    pub warnings: Vec<ShareWarning>,
    /// The listing has changed without a look at the disk: a root has come.
    poked: bool,
    stopped: bool,
}

/// What to look at beside single paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rescan {
    /// Places where a file system has come or gone.
    Mounts,
    /// The share, and so all of these.
    Whole,
}

/// What was reported about a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is reported by itself")]
pub(super) struct Mark {
    /// Bytes were written: an old root is wrong, even where two changes within
    /// one tick of the clock leave the same stamp.
    pub written: bool,
    /// No process is writing to it any more: it was closed or moved here whole.
    pub complete: bool,
    /// It may be a new folder: more can be in it than was reported.
    pub new: bool,
    /// thorp has put a file there, and has listed it.
    pub stored: bool,
    /// More was reported than that something has got this name.
    pub more: bool,
    /// It was removed or moved away, or has got other permissions.
    pub may_be_gone: bool,
}

impl Inbox {
    /// A file was stored under this name, and is listed with this stamp. What is reported of that
    /// is no news: of its name, and of the file that it was before it had one.
    pub fn stored(&self, name: &Name, stamp: &Stamp) {
        let path = name.as_str();
        let folder = path.rfind('/').map_or("", |end| &path[..=end]);
        let nameless = OsString::from(format!("{folder}#{}", stamp.inode));
        self.add(|pending| {
            if pending.rescan == Some(Rescan::Whole) || pending.paths.len() >= PATHS {
                return;
            }
            pending.paths.remove(&nameless);
            pending.nameless.insert(nameless);
            pending.paths.entry(path.into()).or_default().stored = true;
        });
    }

    /// Asks the keeper to look at this path again.
    pub fn examine(&self, path: &Path) {
        self.add(|pending| {
            pending.paths.entry(path.into()).or_default().more = true;
        });
    }

    /// This file changed while it was read.
    pub fn changed(&self, name: &Name) {
        self.add(|pending| {
            pending.changed.insert(name.clone());
        });
    }

    /// The disk does not give this file now.
    pub fn not_now(&self, name: &Name, why: &io::Error) {
        self.add(|pending| {
            pending.not_now.insert(name.clone(), why.to_string());
        });
    }

    /// This file could not be read.
    pub fn unreadable(&self, name: &Name, reason: &str) {
        self.add(|pending| {
            pending
                .unreadable
                .get_or_insert_with(|| (name.clone(), reason.to_owned()));
        });
    }

    /// Tells the user.
    pub fn warn(&self, warning: ShareWarning) {
        self.add(|pending| pending.warnings.push(warning));
    }

    /// The listing has changed: the keeper is to publish it.
    pub fn poke(&self) {
        self.add(|_| ());
    }

    /// Lets the keeper end.
    pub fn stop(&self) {
        self.add(|pending| pending.stopped = true);
        self.bell.notify_all();
    }

    /// Waits until there is something to look at or `deadline` has come, and
    /// then for `gather` more, so that changes that come together are reported
    /// together. `None` means stop.
    pub fn take(&self, deadline: Option<Instant>, gather: Duration) -> Option<Pending> {
        let mut pending = lock(&self.pending);
        let mut until = deadline;
        let mut gathering = false;
        loop {
            if pending.stopped {
                return None;
            }
            let now = Instant::now();
            if pending.poked && !gathering {
                gathering = true;
                until = Some(now + gather);
            }
            pending = match until {
                Some(until) if until <= now => return Some(std::mem::take(&mut *pending)),
                Some(until) => {
                    let waited = self.bell.wait_timeout(pending, until - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self
                    .bell
                    .wait(pending)
                    .unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Keeps what could not be looked at for the next time, beneath what has come since.
    /// Wakes nobody.
    pub fn give_back(&self, earlier: Pending) {
        let mut pending = lock(&self.pending);
        pending.rescan = pending.rescan.max(earlier.rescan);
        pending.changed.extend(earlier.changed);
        pending.not_now.extend(earlier.not_now);
        let since = std::mem::replace(&mut pending.moved, earlier.moved);
        pending.moved.extend(since);
        pending.moved.truncate(MOVES);
        for (path, mark) in earlier.paths {
            let since = pending.paths.entry(path).or_default();
            *since = since.after(mark);
        }
        if pending.paths.len() > PATHS {
            pending.paths.clear();
            pending.rescan = Some(Rescan::Whole);
        }
    }

    /// This was reported, in this order, of paths relative to the share.
    pub fn report(&self, reports: Vec<(PathBuf, Report)>) {
        // Of the share itself the keeper looks only whether it is in its place, and a temporary
        // file of a fetch is no entry.
        let is_part = |path: &Path| path.file_name().is_some_and(is_part);
        let mut reports = reports
            .into_iter()
            .filter(|(path, _)| !is_part(path))
            .peekable();
        if reports.peek().is_none() {
            return;
        }
        self.add(|pending| {
            for (path, report) in reports {
                let path = path.into_os_string();
                if pending.paths.len() >= PATHS {
                    pending.paths.clear();
                    pending.rescan = Some(Rescan::Whole);
                }
                let is_of_stored = matches!(report, Report::Written | Report::Closed)
                    && pending.nameless.contains(&path);
                let is_entry = !path.is_empty();
                if pending.rescan != Some(Rescan::Whole) && is_entry && !is_of_stored {
                    pending.paths.entry(path).or_default().merge(report);
                }
            }
        });
    }

    /// This was moved within the share. It is reported of both paths as well, afterwards.
    pub fn moved(&self, from: &Path, to: &Path) {
        // What is no name was not listed, and a temporary file is none.
        let (Some(from), Some(to)) = (from.to_str(), to.to_str()) else {
            return;
        };
        if Path::new(from).file_name().is_none_or(is_part) {
            return;
        }
        self.add(|pending| {
            if pending.moved.len() < MOVES {
                pending.moved.push((from.to_owned(), to.to_owned()));
            }
        });
    }

    /// Reports were lost.
    pub fn overflow(&self) {
        self.add(|pending| pending.rescan = Some(Rescan::Whole));
    }

    /// File systems have come or gone, perhaps beneath the share.
    pub fn mounts_changed(&self) {
        self.add(|pending| pending.rescan = pending.rescan.max(Some(Rescan::Mounts)));
    }

    /// The watcher cannot see everything from now on.
    pub fn blind(&self, why: &str) {
        self.add(|pending| {
            pending.blind.get_or_insert_with(|| why.to_owned());
        });
    }

    #[cfg(test)]
    pub fn written(&self, path: &str) {
        self.report(vec![(path.into(), Report::Written)]);
    }

    fn add(&self, change: impl FnOnce(&mut Pending)) {
        let mut pending = lock(&self.pending);
        change(&mut pending);
        // Once for each batch: a keeper that is gathering wakes by itself.
        if !std::mem::replace(&mut pending.poked, true) {
            self.bell.notify_all();
        }
    }
}

/// What is reported about a file or folder.
#[derive(Clone, Copy, Debug)]
pub(super) enum Report {
    Made,
    Written,
    Closed,
    MovedHere,
    /// Removed, moved away, other permissions: looking tells.
    Other,
}

impl Mark {
    /// What holds of a path of which this was reported after `earlier`.
    fn after(self, earlier: Self) -> Self {
        Self {
            written: self.written || earlier.written,
            complete: self.complete || (earlier.complete && !self.written && !self.new),
            new: self.new || earlier.new,
            stored: self.stored || earlier.stored,
            more: self.more || earlier.more || self.new && earlier.new,
            may_be_gone: self.may_be_gone || earlier.may_be_gone,
        }
    }

    /// Whether nothing is known of it but that thorp has stored a file there.
    pub fn is_of_stored(self) -> bool {
        self.stored && !self.more
    }

    fn merge(&mut self, report: Report) {
        // A name is given to a file once, unless it was taken from it in between.
        self.more |= self.new || !matches!(report, Report::Made);
        match report {
            Report::Made => {
                *self = Self {
                    complete: false,
                    new: true,
                    ..*self
                }
            }
            Report::Written => {
                *self = Self {
                    complete: false,
                    written: true,
                    ..*self
                }
            }
            Report::Closed => self.complete = true,
            // Another file than the one that may have been written to: its stamp tells.
            Report::MovedHere => {
                *self = Self {
                    complete: true,
                    written: false,
                    new: true,
                    ..*self
                }
            }
            Report::Other => self.may_be_gone = true,
        }
    }
}

#[cfg(test)]
mod tests;

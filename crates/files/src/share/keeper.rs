//! Keeps the listing true: the one thread that looks at the disk and sends
//! events.
//!
//! ```text
//! looking     a look at the disk, and what it changes in the listing
//! known       files that are as they are listed
//! letters     names that lead to something and are not there
//! unreported  folders to be looked at again, and mounts
//! unsure      what the disk does not tell of now
//! unread      files that the disk does not give now
//! telling     changes, totals, progress and warnings, and when they are told
//! ```
//!
//! Owns when to look at what: a reported path, a file at rest, the whole share.
//! `rules` decides what belongs to the share, `index` what differs from before, and
//! roots come from `hash`.
//!
//! It is a thread of its own and not a task: it waits nearly all the time, and
//! asking the file system, which is the rest, would block a task.

mod known;
mod letters;
mod looking;
mod telling;
mod unread;
mod unreported;
mod unsure;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use thorp_wire::Name;
use tokio::sync::mpsc;

use super::inbox::{Mark, Pending, Rescan};
use super::links::Links;
use super::locks::{lock, read};
use super::rules::{Rules, are_read_from};
use super::shared::{HashingProgress, Place, ShareEvent, ShareState, Shared};
use super::warning::ShareWarning;
use super::watch::Watch;
use crate::stamp::Stamp;
use known::Folders;
use unread::Unread;
use unreported::{Mounted, Unreported, again};
use unsure::Unsure;

/// How long changes are gathered before an event is sent.
const GATHER: Duration = Duration::from_millis(100);

/// How often progress is reported.
const PROGRESS: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    events: mpsc::Sender<ShareEvent>,
    rules: Rules,
    /// Dropping it ends its reports.
    watcher: Option<Watch>,
    mounted: Mounted,
    unreported: Unreported,
    unsure: Unsure,
    unread: Unread,
    links: Links,
    /// Paths that may still be written to.
    settling: BTreeMap<PathBuf, Settling>,
    /// When to scan the share again, if the watcher cannot be relied on.
    next_scan: Option<Instant>,
    /// When to look again whether it is, though nothing is reported.
    place_due: Instant,
    told_progress: Option<(Instant, HashingProgress)>,
    warned: BTreeSet<ShareWarning>,
    /// A name that cannot be listed, to show to the user.
    unnameable: Option<PathBuf>,
}

/// A look at the directory's place costs a system call. That a directory above it was moved is not
/// reported, nor that it is back.
const PLACE_EVERY: Duration = if cfg!(test) {
    Duration::from_millis(200)
} else {
    Duration::from_secs(5)
};

/// Files up to this length are hashed whenever they are closed: that takes no
/// time.
const LARGE: u64 = 1024 * 1024;

/// A file that may still be written to, or a folder that may still be filled.
struct Settling {
    /// When it has been quiet for long enough.
    at: Instant,
    /// Its stamp when it was last examined.
    seen: Option<Stamp>,
    /// When the listing was last updated for it.
    listed: Instant,
}

/// No listener is left.
struct Closed;

impl Keeper {
    pub fn new(shared: Arc<Shared>, events: mpsc::Sender<ShareEvent>) -> Self {
        Self {
            rules: Rules::new(shared.options.hidden),
            shared,
            events,
            watcher: None,
            mounted: Mounted::default(),
            unreported: Unreported::default(),
            unsure: Unsure::default(),
            unread: Unread::default(),
            links: Links::default(),
            settling: BTreeMap::new(),
            next_scan: None,
            place_due: Instant::now() + PLACE_EVERY,
            told_progress: None,
            warned: BTreeSet::new(),
            unnameable: None,
        }
    }

    /// Until the share is closed.
    pub fn run(mut self) {
        // The program closes the channel when it is done.
        let _ = self.keep();
        self.shared.close();
    }

    fn keep(&mut self) -> Result<(), Closed> {
        let opened = self
            .shared
            .cache
            .open(self.shared.options.cache.as_deref(), &self.shared.path);
        if let Err(warning) = opened {
            self.warn(warning)?;
        }
        self.shared.remember_torrents();
        // The scan watches each folder before it reads it: so a change in between is
        // seen twice rather than never.
        self.watch()?;
        self.watch_mounts();
        self.scan()?;
        loop {
            let deadline = self.deadline();
            let Some(pending) = self.shared.inbox.take(deadline, GATHER) else {
                return Ok(());
            };
            self.remember()?;
            self.shared.forget_held(Instant::now());
            self.heed(&pending)?;
            self.place_due = Instant::now() + PLACE_EVERY;
            match self.shared.place_to_read() {
                Place::Here => {}
                Place::Unknown(error)
                    if !self.is_away() && self.stays(Path::new(""), &error)? =>
                {
                    // A scan sees what has another stamp, but not what is no longer believed.
                    self.shared.inbox.give_back(pending);
                    continue;
                }
                Place::Elsewhere => {
                    let path = self.shared.path.clone();
                    self.away(ShareWarning::Moved { path })?;
                    continue;
                }
                Place::Unknown(error) => {
                    let path = self.shared.path.clone();
                    let (count, why) = (1, error.to_string());
                    self.away(ShareWarning::Unread { path, count, why })?;
                    continue;
                }
            }
            let was_unsure = self.unsure.forget(Path::new(""));
            if self.is_away() {
                *lock(&self.shared.state) = ShareState::FirstLook;
                self.next_scan = None;
                self.watch()?;
                self.scan()?;
            } else if was_unsure {
                self.scan()?;
            }
            self.look_at(&pending)?;
            self.examine_settled()?;
            if self.next_scan.is_some_and(|at| at <= Instant::now()) {
                self.scan()?;
            }
            self.look_at_unreported()?;
            self.look_at_unsure()?;
            self.read_unread()?;
            self.tell_changes()?;
            self.tell_rules()?;
            self.tell_unnameable()?;
            self.tell_progress()?;
        }
    }

    fn remember(&mut self) -> Result<(), Closed> {
        let cache = &self.shared.cache;
        if cache.due().is_none_or(|due| due > Instant::now()) {
            return Ok(());
        }
        match cache.commit() {
            Err(warning) => self.warn(warning),
            Ok(()) => Ok(()),
        }
    }

    /// The directory was moved or removed, or cannot be read: nothing of it is shared until it is
    /// back in its place, and can be.
    fn away(&mut self, why: ShareWarning) -> Result<(), Closed> {
        let before = std::mem::replace(&mut *lock(&self.shared.state), ShareState::Away);
        if before == ShareState::Away {
            return Ok(());
        }
        let names = read(&self.shared.index).beneath(None);
        for name in &names {
            self.on_file_missing(name);
        }
        self.settling.clear();
        self.links = Links::default();
        self.unreported = Unreported::default();
        self.unsure = Unsure::default();
        self.unread = Unread::default();
        lock(&self.shared.left_out).replace(Path::new(""), None);
        self.tell_changes()?;
        self.warn(why)
    }

    fn is_away(&self) -> bool {
        *lock(&self.shared.state) == ShareState::Away
    }

    fn watch(&mut self) -> Result<(), Closed> {
        if !self.shared.options.watch {
            self.poll_after(Duration::ZERO);
            return Ok(());
        }
        match Watch::new(&self.shared.path, Arc::clone(&self.shared.inbox)) {
            Ok(watcher) => {
                self.watcher = Some(watcher);
                Ok(())
            }
            Err(error) => self.blind(&error.to_string()),
        }
    }

    /// The watcher misses changes from now on.
    fn blind(&mut self, why: &str) -> Result<(), Closed> {
        if self.next_scan.is_some() {
            return Ok(());
        }
        self.poll_after(Duration::ZERO);
        self.warn(ShareWarning::Unwatched {
            path: self.shared.path.clone(),
            why: why.to_owned(),
            every: self.shared.options.poll,
        })
    }

    /// The whole share is scanned again, after one that took so long.
    fn poll_after(&mut self, took: Duration) {
        self.next_scan = Some(again(self.shared.options.poll, took));
    }

    /// When to look at the disk though nothing is reported.
    fn deadline(&self) -> Option<Instant> {
        let unsaved = self.shared.cache.due();
        let look = if self.is_away() {
            None
        } else if self.unsure.is_of_all() {
            // Nothing else is looked at before the share itself is.
            self.unsure.due()
        } else {
            self.next_look()
        };
        let held = self.shared.held_until();
        let place = Some(self.place_due);
        [unsaved, held, look, place].into_iter().flatten().min()
    }

    fn next_look(&self) -> Option<Instant> {
        let settled = self.settling.values().map(|settling| settling.at).min();
        let busy = read(&self.shared.index).unhashed() > 0;
        let progress = self
            .told_progress
            .map(|(at, _)| at + PROGRESS)
            .filter(|_| busy);
        let look = self.next_scan.or(self.unreported.due());
        [
            settled,
            progress,
            look,
            self.unsure.due(),
            self.unread.due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Takes note of what is to be known whether the disk tells or not.
    fn heed(&mut self, pending: &Pending) -> Result<(), Closed> {
        if let Some(why) = &pending.blind {
            self.blind(why)?;
        }
        for warning in &pending.warnings {
            self.warn(warning.clone())?;
        }
        if let Some((name, reason)) = &pending.unreadable {
            self.warn_unreadable(name, reason)?;
        }
        Ok(())
    }

    fn warn_unreadable(&mut self, name: &Name, reason: &str) -> Result<(), Closed> {
        let unreadable = read(&self.shared.index).unreadable_files();
        self.warn(ShareWarning::FileUnread {
            name: name.clone(),
            more: unreadable.saturating_sub(1),
            why: reason.to_owned(),
        })
    }

    fn look_at(&mut self, pending: &Pending) -> Result<(), Closed> {
        // First: what is found under a new name is known then.
        if let Err(warning) = self.shared.cache.follow(&pending.moved) {
            self.warn(warning)?;
        }
        if pending.rescan == Some(Rescan::Mounts) {
            self.on_mounts_changed()?;
        }
        let have_rules_changed = || {
            let mut paths = pending.paths.keys().map(Path::new);
            paths.any(are_read_from)
        };
        if pending.rescan == Some(Rescan::Whole) || have_rules_changed() {
            self.scan()?;
        }
        let mut folders = Folders::default();
        for (path, mark) in &pending.paths {
            let path = Path::new(path);
            let mark = self.patient(path, *mark);
            if mark.may_be_gone && folders.has_in_other_letters(&self.shared.dir, path) {
                let gone = Err(io::ErrorKind::NotFound.into());
                self.examine_as(path, mark, gone)?;
            } else if !self.is_as_listed(&mut folders, path, mark) {
                self.examine(path, mark)?;
            }
        }
        for name in &pending.changed {
            self.examine(
                Path::new(name.as_str()),
                Mark {
                    written: true,
                    ..Mark::default()
                },
            )?;
        }
        for (name, why) in &pending.not_now {
            self.on_not_given(name, why)?;
        }
        Ok(())
    }

    /// A large file that was there before is hashed when it has been quiet, even
    /// if it was closed: a log is opened, written to and closed every second.
    fn patient(&self, path: &Path, mark: Mark) -> Mark {
        let known = || name_of(path).and_then(|name| read(&self.shared.index).record(&name));
        let wait = mark.written && !mark.new && known().is_some_and(|r| r.stamp.length > LARGE);
        Mark {
            complete: mark.complete && !wait,
            ..mark
        }
    }

    /// Examines files that have been quiet for long enough once more, and has
    /// them hashed unless they have changed after all.
    fn examine_settled(&mut self) -> Result<(), Closed> {
        let now = Instant::now();
        let settled: Vec<PathBuf> = self
            .settling
            .iter()
            .filter(|(_, settling)| settling.at <= now)
            .map(|(path, _)| path.clone())
            .collect();
        for path in settled {
            let before = self
                .settling
                .remove(&path)
                .and_then(|settling| settling.seen);
            let stamp = self
                .shared
                .dir
                .symlink_metadata(&path)
                .ok()
                .map(|meta| Stamp::new(&meta));
            let quiet = before.is_some() && before == stamp;
            self.examine(
                &path,
                Mark {
                    complete: quiet,
                    ..Mark::default()
                },
            )?;
        }
        Ok(())
    }
}

fn name_of(path: &Path) -> Option<Name> {
    path.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests;

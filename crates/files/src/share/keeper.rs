//! Keeps the listing true: the one thread that looks at the disk and sends
//! events.
//!
//! Owns when to look at what (a reported path, a file at rest, the whole share)
//! and which events follow. `walk` decides what belongs to the share, `index`
//! what differs from before, and roots come from `hash`.
//!
//! It is a thread of its own and not a task: it waits nearly all the time, and
//! asking the file system, which is the rest, would block a task.

mod telling;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use thorp_wire::Name;
use thorp_wire::reserved::IGNORE_FILE;
use tokio::sync::mpsc;

use super::inbox::{Mark, Pending};
use super::locks::{lock, read, write};
use super::shared::{HashingProgress, ShareEvent, Shared};
use super::walk::{Cause, Found, Ruled, Rules, walk};
use super::warning::ShareWarning;
use super::watch::Watch;
use crate::stamp::Stamp;

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
    /// Paths that may still be written to.
    settling: BTreeMap<PathBuf, Settling>,
    /// When to scan the share again, if the watcher cannot be relied on.
    next_scan: Option<Instant>,
    /// The directory is not where it was.
    is_away: bool,
    told_progress: Option<(Instant, HashingProgress)>,
    warned: BTreeSet<ShareWarning>,
    /// A name that cannot be listed, to show to the user.
    unnameable: Option<PathBuf>,
}

/// Files up to this length are hashed whenever they are closed: that takes no
/// time.
const LARGE: u64 = 1024 * 1024;

/// How many files are listed in one step, during which no peer is served.
const LOCKED: usize = 1024;

/// How many new files one event has. So the first files of a large share are
/// published soon, and the events take little memory.
const TOLD: usize = 16 * LOCKED;

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
            rules: shared.new_rules(),
            shared,
            events,
            watcher: None,
            settling: BTreeMap::new(),
            next_scan: None,
            is_away: false,
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
        // The scan watches each folder before it reads it: so a change in between is
        // seen twice rather than never.
        self.watch()?;
        self.scan()?;
        loop {
            let deadline = self.deadline();
            let Some(pending) = self.shared.inbox.take(deadline, GATHER) else {
                return Ok(());
            };
            if !self.shared.is_in_place() {
                self.away()?;
                continue;
            }
            if std::mem::take(&mut self.is_away) {
                self.next_scan = None;
                self.watch()?;
                self.scan()?;
            }
            self.look_at(&pending)?;
            self.examine_settled()?;
            if self.next_scan.is_some_and(|at| at <= Instant::now()) {
                self.scan()?;
            }
            self.tell_changes()?;
            self.tell_unnameable()?;
            self.tell_progress()?;
            self.remember()?;
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

    /// The directory was moved or removed: nothing of it is shared until it is
    /// back in its place. The keeper looks from time to time.
    fn away(&mut self) -> Result<(), Closed> {
        self.poll();
        if std::mem::replace(&mut self.is_away, true) {
            return Ok(());
        }
        let names = read(&self.shared.index).beneath(None);
        for name in &names {
            self.on_file_missing(name);
        }
        self.settling.clear();
        lock(&self.shared.left_out).replace(Path::new(""), None);
        self.tell_changes()?;
        self.warn(ShareWarning::Moved {
            path: self.shared.path.clone(),
        })
    }

    fn watch(&mut self) -> Result<(), Closed> {
        if !self.shared.options.watch {
            self.poll();
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
        self.poll();
        self.warn(ShareWarning::Unwatched {
            path: self.shared.path.clone(),
            why: why.to_owned(),
            every: self.shared.options.poll,
        })
    }

    fn poll(&mut self) {
        self.next_scan = Some(Instant::now() + self.shared.options.poll);
    }

    fn deadline(&self) -> Option<Instant> {
        let settled = self.settling.values().map(|settling| settling.at).min();
        let busy = read(&self.shared.index).unhashed() > 0;
        let progress = self
            .told_progress
            .map(|(at, _)| at + PROGRESS)
            .filter(|_| busy);
        let unsaved = self.shared.cache.due();
        [settled, progress, unsaved, self.next_scan]
            .into_iter()
            .flatten()
            .min()
    }

    fn look_at(&mut self, pending: &Pending) -> Result<(), Closed> {
        if let Some(why) = &pending.blind {
            self.blind(why)?;
        }
        for warning in &pending.warnings {
            self.warn(warning.clone())?;
        }
        if let Some((name, reason)) = &pending.unreadable {
            let more = read(&self.shared.index)
                .unreadable_files()
                .saturating_sub(1);
            self.warn(ShareWarning::FileUnread {
                name: name.clone(),
                more,
                why: reason.clone(),
            })?;
        }
        let rules_changed = |path: &PathBuf| path.file_name().is_some_and(|n| n == IGNORE_FILE);
        if pending.rescan || pending.paths.keys().any(rules_changed) {
            self.scan()?;
        }
        for (path, mark) in &pending.paths {
            self.examine(path, self.patient(path, *mark))?;
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

    /// Updates the listing for one path and what is beneath it.
    fn examine(&mut self, path: &Path, mark: Mark) -> Result<(), Closed> {
        let meta = match self.shared.dir.symlink_metadata(path) {
            Ok(meta) if self.rules.leave_out(path, meta.is_dir()).is_none() => Some(meta),
            _ => None,
        };
        let is_dir = meta.as_ref().is_some_and(cap_std::fs::Metadata::is_dir);
        if !is_dir {
            self.leave_out(path);
        }
        if is_dir {
            self.examine_beneath(path, mark)?;
        } else if let Some(folder) = path.to_str() {
            let gone = read(&self.shared.index).beneath(Some(folder));
            for name in &gone {
                self.on_file_missing(name);
            }
        }
        let Some(name) = name_of(path) else {
            return Ok(());
        };
        match meta {
            Some(meta) if meta.is_file() => self.on_file_found(&name, Stamp::new(&meta), mark),
            _ => self.on_file_missing(&name),
        }
        Ok(())
    }

    /// Updates the count of what is left out, for a path that is no folder of
    /// the share.
    fn leave_out(&mut self, path: &Path) {
        let left_out = self.left_out_at(path);
        let place = left_out
            .as_ref()
            .map_or(path, |(place, _)| place)
            .to_owned();
        let is_unnameable = matches!(left_out, Some((_, Cause::Unnameable)));
        let is_news = lock(&self.shared.left_out).replace(&place, left_out);
        if is_news && is_unnameable {
            self.unnameable.get_or_insert(place);
        }
    }

    /// What is left out here, and why: the path itself, or a folder that it is
    /// in.
    fn left_out_at(&mut self, path: &Path) -> Option<(PathBuf, Cause)> {
        let meta = self.shared.dir.symlink_metadata(path).ok()?;
        let cause = match self.rules.leave_out(path, meta.is_dir()) {
            Some(Ruled::Part) => return None,
            Some(Ruled::Out(cause)) => cause,
            None if meta.is_symlink() => Cause::Symlink,
            None if meta.is_file() && name_of(path).is_some() => return None,
            None if meta.is_file() => Cause::Unnameable,
            None => Cause::Special,
        };
        let mut folders: Vec<_> = path.ancestors().skip(1).collect();
        // Nothing is above the share itself.
        folders.pop();
        for folder in folders.into_iter().rev() {
            match self.rules.leave_out(folder, true) {
                Some(Ruled::Out(cause)) => return Some((folder.to_owned(), cause)),
                Some(Ruled::Part) => return None,
                None => {}
            }
        }
        Some((path.to_owned(), cause))
    }

    fn examine_beneath(&mut self, folder: &Path, mark: Mark) -> Result<(), Closed> {
        if mark.new {
            // Another folder may have gone by this name, with rules of its own.
            self.forget_rules();
        }
        let mut found = self.walk(folder);
        let new = self.reconcile(Some(folder), &found, mark)?;
        let left_out = std::mem::take(&mut found.left_out);
        let is_news = lock(&self.shared.left_out).replace(folder, left_out);
        self.hash_when_complete(new, mark);
        if is_news {
            self.tell_left_out(&found)?;
        }
        Ok(())
    }

    /// Updates the whole listing.
    fn scan(&mut self) -> Result<(), Closed> {
        if self.next_scan.is_some() {
            self.poll();
        }
        self.forget_rules();
        let mut found = self.walk(Path::new(""));
        // The rules remember every folder they have seen, which should not take memory
        // in an idle share.
        self.forget_rules();
        for part in &found.parts {
            self.shared.store.sweep_part(part);
        }
        // Every file found is taken to be complete: if it is not, hashing will notice.
        let mark = Mark {
            complete: true,
            ..Mark::default()
        };
        let new = self.reconcile(None, &found, mark)?;
        let left_out = std::mem::take(&mut found.left_out);
        lock(&self.shared.left_out).replace(Path::new(""), left_out);
        self.prune()?;
        // Names first, then the work on them.
        self.tell_changes()?;
        self.hash_when_complete(new, mark);
        self.tell_scanned(&found)
    }

    /// Removes the cache's rows of files that are gone.
    fn prune(&mut self) -> Result<(), Closed> {
        let files = read(&self.shared.index).files();
        let is_there = |name: &str| {
            let name = name.parse::<Name>();
            name.is_ok_and(|name| read(&self.shared.index).record(&name).is_some())
        };
        match self.shared.cache.prune(files, is_there) {
            Err(warning) => self.warn(warning),
            Ok(()) => Ok(()),
        }
    }

    /// Watches each folder, then reads it.
    fn walk(&mut self, folder: &Path) -> Found {
        let Self {
            shared,
            rules,
            watcher,
            ..
        } = self;
        let mut blind = None;
        let found = walk(&shared.dir, folder, rules, &mut |folder| {
            if let (Some(watcher), None) = (watcher.as_mut(), &blind) {
                blind = watcher.folder(folder).err();
            }
        });
        if let Some(error) = blind {
            shared.inbox.blind(&error);
        }
        found
    }

    /// Drops the rules, so that they are read again when they are needed next.
    fn forget_rules(&mut self) {
        self.rules = self.shared.new_rules();
        *lock(&self.shared.rules) = self.shared.new_rules();
    }

    /// Takes the result of a walk as the listing beneath a folder. Events may
    /// have come since the walk, so every difference is checked on the disk.
    /// Returns the files that are to be hashed, with their lengths.
    fn reconcile(
        &mut self,
        folder: Option<&Path>,
        found: &Found,
        mark: Mark,
    ) -> Result<Vec<(Name, u64)>, Closed> {
        let folder = match folder.map(Path::to_str) {
            None => None,
            Some(Some(folder)) => Some(folder),
            Some(None) => return Ok(Vec::new()),
        };
        let (mut new, mut differ) = (Vec::new(), Vec::new());
        for (number, files) in found.files.chunks(LOCKED).enumerate() {
            if number > 0 && number % (TOLD / LOCKED) == 0 {
                self.tell_changes()?;
            }
            let mut unhashed = Vec::new();
            let mut index = write(&self.shared.index);
            for (name, stamp) in files {
                match index.record(name) {
                    Some(record) if record.stamp == *stamp => {}
                    Some(_) => differ.push(name.clone()),
                    None if index.on_file_found(name, *stamp) => {
                        unhashed.push((name.clone(), *stamp));
                    }
                    None => {}
                }
            }
            drop(index);
            let known = self.shared.cache.roots(&unhashed);
            let mut index = write(&self.shared.index);
            for ((name, stamp), root) in unhashed.into_iter().zip(known) {
                match root {
                    Some(root) => {
                        index.hashed(&name, stamp, root);
                    }
                    None => new.push((name, stamp.length)),
                }
            }
        }
        let listed = read(&self.shared.index).beneath(folder);
        differ.extend(listed.into_iter().filter(|name| {
            let found = found.files.binary_search_by(|(found, _)| found.cmp(name));
            found.is_err()
        }));
        for name in differ {
            self.look_again(&name, mark);
        }
        Ok(new)
    }

    fn hash_when_complete(&mut self, files: Vec<(Name, u64)>, mark: Mark) {
        if mark.complete {
            self.shared.queue.extend(files);
        } else {
            for (name, _) in files {
                let record = read(&self.shared.index).record(&name);
                self.settle(Path::new(name.as_str()), record.map(|r| r.stamp));
            }
        }
    }

    fn look_again(&mut self, name: &Name, mark: Mark) {
        let path = Path::new(name.as_str());
        let shared = self.rules.leave_out(path, false).is_none();
        match self.shared.dir.symlink_metadata(path) {
            Ok(meta) if shared && meta.is_file() => {
                self.on_file_found(name, Stamp::new(&meta), mark);
            }
            _ => self.on_file_missing(name),
        }
    }

    /// A file was found on the disk.
    fn on_file_found(&mut self, name: &Name, stamp: Stamp, mark: Mark) {
        if !mark.complete && self.still_growing(name, stamp) {
            return;
        }
        let before = read(&self.shared.index).record(name);
        if mark.written {
            self.shared.doubt(name);
        }
        let mut index = write(&self.shared.index);
        let unhashed = index.on_file_found(name, stamp);
        drop(index);
        if let Some(before) = before
            && unhashed
        {
            self.shared.queue.withdraw(name, before.stamp.length);
        }
        let path = Path::new(name.as_str());
        if unhashed && mark.complete {
            self.settling.remove(path);
            self.shared.queue.push(name.clone(), stamp.length);
        } else if unhashed {
            self.settle(path, Some(stamp));
        }
    }

    /// Whether this is only the next step of a change that was published just
    /// now. A file that grows for an hour is not worth ten updates a second to
    /// all members.
    fn still_growing(&mut self, name: &Name, stamp: Stamp) -> bool {
        let (now, quiet) = (Instant::now(), self.shared.options.quiet);
        let record = read(&self.shared.index).record(name);
        match self.settling.get_mut(Path::new(name.as_str())) {
            Some(settling)
                if now < settling.listed + quiet && record.is_some_and(|r| r.root.is_none()) =>
            {
                settling.at = now + quiet;
                settling.seen = Some(stamp);
                true
            }
            _ => false,
        }
    }

    fn on_file_missing(&mut self, name: &Name) {
        self.settling.remove(Path::new(name.as_str()));
        let mut index = write(&self.shared.index);
        if let Some(record) = index.record(name) {
            self.shared.queue.withdraw(name, record.stamp.length);
        }
        index.on_file_missing(name);
    }

    fn settle(&mut self, path: &Path, seen: Option<Stamp>) {
        let listed = Instant::now();
        let at = listed + self.shared.options.quiet;
        self.settling
            .insert(path.to_owned(), Settling { at, seen, listed });
    }
}

fn name_of(path: &Path) -> Option<Name> {
    path.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests;

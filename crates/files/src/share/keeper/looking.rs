//! A look at the disk, and what it changes in the listing: one path, all beneath a
//! folder, or the whole share.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use cap_std::fs::Metadata;
use thorp_wire::Name;

use super::letters::in_other_letters_only;
use super::{Closed, Keeper, Mark, Settling, name_of};
use crate::share::left_out::LeftOutCause;
use crate::share::links::{self, NoFile};
use crate::share::locks::{lock, read, write};
use crate::share::rules::Ruled;
use crate::share::shared::ShareState;
use crate::share::walk::{Found, walk};
use crate::stamp::Stamp;

/// How many files are listed in one step, during which no peer is served.
const LOCKED: usize = 1024;

/// How many new files one event has. So the first files of a large share are
/// published soon, and the events take little memory.
const TOLD: usize = 16 * LOCKED;

impl Keeper {
    /// Updates the listing for one path and what is beneath it.
    pub(super) fn examine(&mut self, path: &Path, mark: Mark) -> Result<(), Closed> {
        let looked = self.shared.dir.symlink_metadata(path);
        self.examine_as(path, mark, looked)
    }

    /// The same, where this was seen there.
    pub(super) fn examine_as(
        &mut self,
        path: &Path,
        mark: Mark,
        looked: io::Result<Metadata>,
    ) -> Result<(), Closed> {
        self.examine_itself(path, mark, looked)?;
        for link in self.links.depending_on(path) {
            if link != path {
                self.follow(&link)?;
            }
        }
        Ok(())
    }

    fn examine_itself(
        &mut self,
        path: &Path,
        mark: Mark,
        looked: io::Result<Metadata>,
    ) -> Result<(), Closed> {
        match &looked {
            Err(error) if self.stays(path, error)? => return Ok(()),
            // Of a link it is known once it was followed.
            Ok(meta) if !meta.is_symlink() => {
                self.unsure.forget(path);
            }
            Ok(_) | Err(_) => {}
        }
        let meta = looked.ok();
        let meta = meta.filter(|meta| self.is_to_be_walked(path, meta.is_dir()));
        let name = name_of(path);
        let is_dir = meta.as_ref().is_some_and(Metadata::is_dir);
        let is_link = meta.as_ref().is_some_and(Metadata::is_symlink) && name.is_some();
        if !is_dir && !is_link {
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
        let Some(name) = name else {
            return Ok(());
        };
        match meta {
            Some(meta) if meta.is_file() => self.on_file_found(&name, Stamp::new(&meta), mark),
            Some(_) if is_link => self.follow(path)?,
            _ => self.on_file_missing(&name),
        }
        Ok(())
    }

    /// Whether something belongs to the share, or is a folder that only its own
    /// `.thorpignore` leaves out: that may be mended, so it is watched.
    fn is_to_be_walked(&mut self, path: &Path, is_dir: bool) -> bool {
        let Self { shared, rules, .. } = self;
        match rules.leave_out(&shared.dir, path, is_dir) {
            None => true,
            Some(Ruled::Out(LeftOutCause::IgnoreFile)) if is_dir => {
                let above = path.parent();
                above.is_none_or(|above| rules.leave_out(&shared.dir, above, true).is_none())
            }
            Some(_) => false,
        }
    }

    /// Looks where a link leads to. It is listed where that is a file of the share,
    /// and counted as left out otherwise.
    fn follow(&mut self, link: &Path) -> Result<(), Closed> {
        let shared = &*self.shared;
        let looked = shared.dir.symlink_metadata(link);
        let is_link = match looked {
            Ok(meta) => meta.is_symlink(),
            Err(error) if self.stays(link, &error)? => return Ok(()),
            Err(_) => false,
        };
        let Some(name) = name_of(link).filter(|_| is_link) else {
            self.links.forget(link);
            return Ok(());
        };
        let shared = &*self.shared;
        let followed = links::follow(&shared.dir, &shared.called, &mut self.rules, link);
        let end = match followed.end {
            Err(NoFile::NotNow(error)) => {
                if self.stays(link, &error)? {
                    return Ok(());
                }
                Err(LeftOutCause::LinkBroken)
            }
            Err(NoFile::LeftOut(cause)) => Err(cause),
            Ok(target) => Ok(target),
        };
        self.unsure.forget(link);
        self.links.on_followed(link, followed.by);
        let left_out = match end {
            Ok(target) => {
                let has_been_a_file = read(&self.shared.index).record(&name).is_some();
                if has_been_a_file {
                    self.on_file_missing(&name);
                }
                write(&self.shared.index).on_link_found(&name, &target);
                None
            }
            Err(cause) => {
                self.on_file_missing(&name);
                Some((link.to_owned(), cause))
            }
        };
        lock(&self.shared.left_out).replace(link, left_out);
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
        let is_unnameable = matches!(left_out, Some((_, LeftOutCause::Unnameable)));
        let is_news = lock(&self.shared.left_out).replace(&place, left_out);
        if is_news && is_unnameable {
            self.unnameable.get_or_insert(place);
        }
    }

    /// What is left out here, and why: the path itself, or a folder that it is
    /// in.
    fn left_out_at(&mut self, path: &Path) -> Option<(PathBuf, LeftOutCause)> {
        let Self { shared, rules, .. } = self;
        let meta = shared.dir.symlink_metadata(path).ok()?;
        let folders: Vec<_> = path.ancestors().skip(1).collect();
        for folder in folders.into_iter().rev() {
            match rules.leave_out_of(&shared.dir, folder, true) {
                Some(Ruled::Out(cause)) => return Some((folder.to_owned(), cause)),
                Some(Ruled::Part) => return None,
                None => {}
            }
        }
        let cause = match rules.leave_out_of(&shared.dir, path, meta.is_dir()) {
            Some(Ruled::Part) => return None,
            Some(Ruled::Out(cause)) => cause,
            None if meta.is_file() && name_of(path).is_some() => return None,
            None if meta.is_file() || meta.is_symlink() => LeftOutCause::Unnameable,
            None => LeftOutCause::Special,
        };
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
        for link in &found.links {
            self.follow(link)?;
        }
        self.hash_when_complete(new, mark);
        if is_news {
            self.tell_left_out(&found)?;
        }
        Ok(())
    }

    /// Updates the whole listing.
    pub(super) fn scan(&mut self) -> Result<(), Closed> {
        let begun = Instant::now();
        self.note_mounts();
        self.forget_rules();
        let mut found = self.walk(Path::new(""));
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
        for link in &found.links {
            self.follow(link)?;
        }
        self.prune(&found)?;
        let may_be_there = |name: &Name| found.may_have_missed(Path::new(name.as_str()));
        write(&self.shared.index).forget_torrents_of_gone(may_be_there);
        // Names first, then the work on them.
        self.tell_changes()?;
        *lock(&self.shared.state) = ShareState::Kept;
        self.hash_when_complete(new, mark);
        let took = begun.elapsed();
        self.unreported.rest(self.shared.options.poll, took);
        if self.next_scan.is_some() {
            self.poll_after(took);
        }
        self.tell_scanned(&found)
    }

    /// Removes the cache's rows of files that are gone for certain: a disk that is not mounted at
    /// one start may be there at the next.
    fn prune(&mut self, found: &Found) -> Result<(), Closed> {
        let files = read(&self.shared.index).files();
        let may_be_there = |name: &str| {
            found.may_have_missed(Path::new(name))
                || name.parse::<Name>().is_ok_and(|name| {
                    let index = read(&self.shared.index);
                    index.record(&name).is_some() || index.is_unreadable(&name)
                })
        };
        match self.shared.cache.prune(files, may_be_there) {
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
        rules.forget_keyless();
        let (mut blind, mut unwatched) = (None, Vec::new());
        let mut found = walk(&shared.dir, folder, rules, &mut |folder| {
            if let (Some(watcher), None) = (watcher.as_mut(), &blind) {
                match watcher.folder(folder) {
                    Ok(true) => {}
                    Ok(false) => unwatched.push(folder.to_owned()),
                    Err(error) => blind = Some(error),
                }
            }
        });
        if let Some(error) = blind {
            shared.inbox.blind(&error.to_string());
        }
        let mut unreported = std::mem::take(&mut found.unreported);
        unreported.extend(unwatched);
        self.unreported.replace(folder, unreported);
        found
    }

    /// Forgets what the rules have read, so that it is read again.
    fn forget_rules(&mut self) {
        self.rules.forget();
        lock(&self.shared.rules).forget();
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
                    // Nobody sees to it otherwise, if it was distrusted long ago.
                    Some(record) if record.stamp == *stamp => {
                        let is_settling = || self.settling.contains_key(Path::new(name.as_str()));
                        if record.root.is_none() && !is_settling() {
                            unhashed.push((name.clone(), *stamp));
                        }
                    }
                    Some(_) => differ.push(name.clone()),
                    None if index.on_file_found(name, *stamp) => {
                        unhashed.push((name.clone(), *stamp));
                    }
                    None => {}
                }
            }
            drop(index);
            let known = self.shared.cache.roots(&unhashed);
            let mut remembered = Vec::new();
            let mut index = write(&self.shared.index);
            for ((name, stamp), root) in unhashed.into_iter().zip(known) {
                match root {
                    Some(root) => {
                        index.hashed(&name, stamp, root);
                        remembered.push((name, stamp));
                    }
                    None => new.push((name, stamp.length)),
                }
            }
            drop(index);
            new.extend(self.shared.remember_v1(remembered));
        }
        let mut not_met = read(&self.shared.index).beneath(folder);
        not_met.retain(|name| {
            let files = found.files.binary_search_by(|(found, _)| found.cmp(name));
            let path = Path::new(name.as_str());
            let links = found.links.binary_search_by(|found| (**found).cmp(path));
            files.is_err() && links.is_err()
        });
        for name in in_other_letters_only(&self.shared.dir, &not_met) {
            self.on_file_missing(name);
        }
        for name in differ.iter().chain(&not_met) {
            if read(&self.shared.index).has_file_or_link(name) {
                self.look_again(name, mark)?;
            }
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

    fn look_again(&mut self, name: &Name, mark: Mark) -> Result<(), Closed> {
        let path = Path::new(name.as_str());
        let looked = self.shared.dir.symlink_metadata(path);
        if let Err(error) = &looked
            && self.stays(path, error)?
        {
            return Ok(());
        }
        let shared = self.rules.leave_out(&self.shared.dir, path, false);
        match looked {
            Ok(meta) if shared.is_none() && meta.is_file() => {
                self.on_file_found(name, Stamp::new(&meta), mark);
            }
            Ok(meta) if shared.is_none() && meta.is_symlink() => self.follow(path)?,
            _ => self.on_file_missing(name),
        }
        Ok(())
    }

    /// A file was found on the disk.
    fn on_file_found(&mut self, name: &Name, stamp: Stamp, mark: Mark) {
        if !mark.complete && self.still_growing(name, stamp) {
            return;
        }
        if !mark.complete && self.shared.is_held(name, &stamp) {
            return self.settle(Path::new(name.as_str()), Some(stamp));
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
        } else if mark.complete {
            self.shared.queue_for_v1(name);
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

    pub(super) fn on_file_missing(&mut self, name: &Name) {
        let path = Path::new(name.as_str());
        self.settling.remove(path);
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

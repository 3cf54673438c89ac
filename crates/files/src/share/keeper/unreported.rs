//! Where the system does not report all that happens: folders of network file
//! systems and the like, those that could not be read for lack of something, and
//! mounts that come and go.
//!
//! Owns which folders these are and when they are looked at again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Closed, Keeper, Mark};
use crate::share::mounts::{MountWatch, Mounts};

/// Looking takes at most one part in so many of the time.
const REST: u32 = 10;

/// See the module.
#[derive(Default)]
pub(super) struct Unreported {
    /// None of them is in another one.
    folders: BTreeSet<PathBuf>,
    due: Option<Instant>,
}

impl Unreported {
    /// When they are to be looked at again.
    pub fn due(&self) -> Option<Instant> {
        self.due.filter(|_| !self.folders.is_empty())
    }

    /// Those in a folder, that itself included, are these now.
    pub fn replace(&mut self, folder: &Path, now: Vec<PathBuf>) {
        self.folders.retain(|other| !other.starts_with(folder));
        for found in now {
            if !found.ancestors().any(|above| self.folders.contains(above)) {
                self.folders.insert(found);
            }
        }
    }

    /// Sets the time of the next look, after one that took so long.
    pub fn rest(&mut self, least: Duration, took: Duration) {
        self.due = Some(again(least, took));
    }
}

/// When to look again after a look that took so long, and at least so much later.
pub(super) fn again(least: Duration, took: Duration) -> Instant {
    Instant::now() + least.max(took * (REST - 1))
}

/// Which mounts there are beneath the share, and what tells of changes.
#[derive(Default)]
pub(super) struct Mounted {
    known: Mounts,
    _watch: Option<MountWatch>,
}

impl Keeper {
    pub(super) fn watch_mounts(&mut self) {
        if !self.shared.options.watch {
            return;
        }
        // The watch first: so a change in between is seen twice rather than never.
        // Where there is no table of mounts, they are found when the whole share is
        // looked through.
        let watch = MountWatch::start(self.shared.inbox.clone());
        self.mounted = Mounted {
            known: Mounts::default(),
            _watch: watch.ok(),
        };
    }

    /// Before the whole share is looked through.
    pub(super) fn note_mounts(&mut self) {
        self.mounted.known = Mounts::beneath(&self.shared.path);
    }

    /// Looks at each place where a file system has come or gone.
    pub(super) fn on_mounts_changed(&mut self) -> Result<(), Closed> {
        let now = Mounts::beneath(&self.shared.path);
        let before = std::mem::replace(&mut self.mounted.known, now);
        let places: Vec<_> = self.mounted.known.that_differ(&before);
        for place in places {
            self.examine(&place, FOUND)?;
        }
        Ok(())
    }

    /// Looks at all folders whose changes are not all reported, unless the whole
    /// share is scanned again and again anyway.
    pub(super) fn look_at_unreported(&mut self) -> Result<(), Closed> {
        let due = self.unreported.due();
        if self.next_scan.is_some() || due.is_none_or(|due| due > Instant::now()) {
            return Ok(());
        }
        let begun = Instant::now();
        for folder in self.unreported.folders.clone() {
            if folder.as_os_str().is_empty() {
                self.scan()?;
            } else {
                self.examine(&folder, FOUND)?;
            }
        }
        let least = self.shared.options.poll;
        self.unreported.rest(least, begun.elapsed());
        Ok(())
    }
}

/// Whatever is found there may be new, and is taken to be complete: if it is not,
/// hashing will notice.
pub(super) const FOUND: Mark = Mark {
    written: false,
    complete: true,
    new: true,
    stored: false,
    more: true,
    may_be_gone: false,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_folder_is_looked_at_twice_in_one_look() {
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        let mut unreported = Unreported::default();
        unreported.replace(Path::new(""), paths(&["a", "a/b", "c"]));
        assert_eq!(unreported.folders, paths(&["a", "c"]).into_iter().collect());
        unreported.replace(Path::new("a/b"), paths(&["a/b"]));
        assert_eq!(unreported.folders, paths(&["a", "c"]).into_iter().collect());
        unreported.replace(Path::new("a"), Vec::new());
        assert_eq!(unreported.folders, paths(&["c"]).into_iter().collect());
    }

    #[test]
    fn looking_takes_a_tenth_of_the_time_at_most() {
        let mut unreported = Unreported::default();
        unreported.replace(Path::new(""), vec![PathBuf::new()]);
        let (short, long) = (Duration::from_secs(1), Duration::from_mins(10));
        for (least, took, rest) in [(long, short, long), (short, long, 9 * long)] {
            let now = Instant::now();
            unreported.rest(least, took);
            assert!(unreported.due() >= Some(now + rest));
        }
    }
}

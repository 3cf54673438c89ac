//! What the disk does not say: whether something that is listed is still there. It
//! stays listed for a while, and is looked at again meanwhile.
//!
//! Owns what that is, and since when.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::unreported::{FOUND, again};
use super::{Closed, Keeper, name_of};
use crate::share::errors::says_no;
use crate::share::locks::read;
use crate::share::warning::ShareWarning;

/// How long it stays listed: a disk on the network comes back within a minute or two,
/// and a member that asks for its files is told to ask again.
pub(super) const STAYS: Duration = if cfg!(test) {
    Duration::from_secs(3)
} else {
    Duration::from_mins(2)
};
/// How often it is looked at.
pub(super) const LOOK_EVERY: Duration = if cfg!(test) {
    Duration::from_millis(100)
} else {
    Duration::from_secs(5)
};

/// See the module. The empty path is the share itself.
#[derive(Default)]
pub(super) struct Unsure {
    since: BTreeMap<PathBuf, Instant>,
    due: Option<Instant>,
}

impl Unsure {
    /// When to look again.
    pub fn due(&self) -> Option<Instant> {
        self.due.filter(|_| !self.since.is_empty())
    }

    /// Whether this is the share itself, and so all that is in it.
    pub fn is_of_all(&self) -> bool {
        self.since.contains_key(Path::new(""))
    }

    /// Whether it is waited for that the disk says how it is with this.
    pub fn waits_for(&self, path: &Path) -> bool {
        self.since.contains_key(path)
    }

    /// The disk has said how it is with this. Whether it was unsure.
    pub fn forget(&mut self, path: &Path) -> bool {
        self.since.remove(path).is_some()
    }

    /// The disk does not tell of this path. Returns whether that has lasted so long that it counts
    /// as gone.
    fn on_failed(&mut self, now: Instant, path: &Path) -> bool {
        let since = *self.since.entry(path.to_owned()).or_insert(now);
        let is_too_long = since + STAYS <= now;
        if is_too_long {
            self.since.remove(path);
        }
        if self.due.is_none_or(|due| due <= now) {
            self.due = Some(now + LOOK_EVERY);
        }
        is_too_long
    }
}

impl Keeper {
    /// Something cannot be looked at. Whether it stays listed all the same, for now.
    pub(super) fn stays(&mut self, path: &Path, error: &io::Error) -> Result<bool, Closed> {
        if says_no(error) || !self.is_listed(path) {
            self.unsure.forget(path);
            return Ok(false);
        }
        let is_news = self.unsure.since.is_empty();
        if self.unsure.on_failed(Instant::now(), path) {
            return Ok(false);
        }
        if is_news {
            self.warn_not_now(path, error.to_string())?;
        }
        Ok(true)
    }

    pub(super) fn warn_not_now(&mut self, path: &Path, why: String) -> Result<(), Closed> {
        self.warn(ShareWarning::NotNow {
            path: self.shared.path.join(path),
            why,
            stays: STAYS,
        })
    }

    /// Looks at what the disk said nothing of, where it is time.
    pub(super) fn look_at_unsure(&mut self) -> Result<(), Closed> {
        if self.unsure.due().is_none_or(|due| due > Instant::now()) {
            return Ok(());
        }
        let begun = Instant::now();
        let paths: Vec<PathBuf> = self.unsure.since.keys().cloned().collect();
        for path in paths {
            self.examine(&path, FOUND)?;
        }
        self.unsure.due = Some(again(LOOK_EVERY, begun.elapsed()));
        Ok(())
    }

    fn is_listed(&self, path: &Path) -> bool {
        let index = read(&self.shared.index);
        let folder = path.to_str().filter(|path| !path.is_empty());
        let is_entry = name_of(path).is_some_and(|name| index.has_file_or_link(&name));
        is_entry || index.lists_beneath(folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_disk_says_nothing_of_stays_for_a_while_from_the_first_time() {
        let mut unsure = Unsure::default();
        let (path, begun) = (Path::new("a"), Instant::now());
        assert!(!unsure.on_failed(begun, path));
        assert_eq!(unsure.due(), Some(begun + LOOK_EVERY));
        assert!(!unsure.on_failed(begun + STAYS / 2, path));
        assert!(unsure.on_failed(begun + STAYS, path));
        assert_eq!(unsure.due(), None, "it is gone");
        // Once it was seen, the time begins anew.
        assert!(!unsure.on_failed(begun + STAYS, path));
        assert!(unsure.forget(path));
        assert!(!unsure.on_failed(begun + 2 * STAYS, path));
    }
}

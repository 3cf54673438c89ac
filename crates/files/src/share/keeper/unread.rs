//! Listed files that the disk does not give now, though they are there.
//!
//! Owns which files these are, since when, and when each is read again. A file that has a
//! root stays listed: members that ask for it are told to ask again. One that has none is
//! hashed again, and after a while is not listed any more until that goes well.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use thorp_wire::Name;

use super::unreported::FOUND;
use super::unsure::{LOOK_EVERY, STAYS};
use super::{Closed, Keeper};
use crate::share::locks::{read, write};

/// The longest time until a file is read again.
const READ_AGAIN: Duration = Duration::from_mins(10);

/// See the module.
#[derive(Default)]
pub(super) struct Unread {
    files: BTreeMap<Name, Trouble>,
    due: Option<Instant>,
}

struct Trouble {
    /// When the disk first did not give the file.
    since: Instant,
    /// When the disk last did not give it.
    last: Instant,
    /// Whether it had a root then.
    had_root: bool,
    /// When it is to be hashed again, if it has no root and is not being hashed.
    again: Option<Instant>,
    /// Whether it was taken from the listing.
    is_unlisted: bool,
}

impl Unread {
    /// When to look again.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    fn has_listed(&self) -> bool {
        self.files.values().any(|trouble| !trouble.is_unlisted)
    }

    fn on_failed(&mut self, now: Instant, name: &Name, has_root: bool) -> &mut Trouble {
        if self.due.is_none() {
            self.due = Some(now + LOOK_EVERY);
        }
        let trouble = self.files.entry(name.clone()).or_insert(Trouble {
            since: now,
            last: now,
            had_root: has_root,
            again: None,
            is_unlisted: false,
        });
        trouble.on_failed(now, has_root);
        trouble
    }
}

impl Trouble {
    fn on_failed(&mut self, now: Instant, has_root: bool) {
        self.last = now;
        self.had_root = has_root;
        // Twice as late each time: a large file may be read for long before it fails.
        let wait = (now - self.since).clamp(LOOK_EVERY, READ_AGAIN);
        self.again = (!has_root).then_some(now + wait);
    }

    fn is_for_too_long(&self, now: Instant) -> bool {
        self.since + STAYS <= now
    }
}

impl Keeper {
    /// A file is there, but the disk does not give what is in it.
    pub(super) fn on_not_given(&mut self, name: &Name, why: &str) -> Result<(), Closed> {
        let Some(record) = read(&self.shared.index).record(name) else {
            return Ok(());
        };
        let (now, is_news) = (Instant::now(), !self.unread.has_listed());
        let trouble = self.unread.on_failed(now, name, record.root.is_some());
        let was_unlisted = trouble.is_unlisted;
        trouble.is_unlisted = record.root.is_none() && trouble.is_for_too_long(now);
        if trouble.is_unlisted {
            write(&self.shared.index).unreadable(name);
            if !was_unlisted {
                return self.warn_unreadable(name, why);
            }
        } else if is_news {
            return self.warn_not_now(Path::new(name.as_str()), why.to_owned());
        }
        Ok(())
    }

    /// Has files hashed again that the disk did not give, where it is time.
    pub(super) fn read_unread(&mut self) -> Result<(), Closed> {
        let now = Instant::now();
        if self.unread.due.is_none_or(|due| due > now) {
            return Ok(());
        }
        let mut files = std::mem::take(&mut self.unread.files);
        let mut to_be_found = Vec::new();
        files.retain(|name, trouble| self.is_still_unread(now, name, trouble, &mut to_be_found));
        self.unread.due = (!files.is_empty()).then(|| now + LOOK_EVERY);
        self.unread.files = files;
        for name in to_be_found {
            write(&self.shared.index).on_readable_again(&name);
            self.examine(Path::new(name.as_str()), FOUND)?;
        }
        Ok(())
    }

    fn is_still_unread(
        &self,
        now: Instant,
        name: &Name,
        trouble: &mut Trouble,
        to_be_found: &mut Vec<Name>,
    ) -> bool {
        let shared = &*self.shared;
        let index = read(&shared.index);
        let (record, is_unreadable) = (index.record(name), index.is_unreadable(name));
        drop(index);
        let is_due = trouble.again.is_some_and(|again| again <= now);
        match record {
            None => {
                if is_due && is_unreadable {
                    trouble.again = None;
                    to_be_found.push(name.clone());
                }
                is_unreadable
            }
            Some(record) if record.root.is_none() => {
                if is_due {
                    trouble.again = None;
                    shared.queue.push(name.clone(), record.stamp.length);
                }
                true
            }
            // It has been hashed since.
            Some(_) if !trouble.had_root => false,
            Some(_) if !trouble.is_for_too_long(now) => true,
            Some(_) => {
                let is_recent = trouble.last + STAYS / 2 > now;
                if is_recent {
                    // Members are still told to ask again: hashing it tells what to say of it.
                    shared.distrust(name);
                    trouble.had_root = false;
                } else {
                    shared.queue_for_v1(name);
                }
                is_recent
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_the_disk_does_not_give_is_read_again_after_twice_the_time_at_most() {
        let mut unread = Unread::default();
        let name: Name = "a".parse().expect("a name");
        let begun = Instant::now();
        let trouble = unread.on_failed(begun, &name, false);
        assert_eq!(trouble.again, Some(begun + LOOK_EVERY));
        for wait in [3 * LOOK_EVERY, STAYS, READ_AGAIN] {
            let trouble = unread.on_failed(begun + wait, &name, false);
            assert_eq!(trouble.again, Some(begun + 2 * wait));
            assert_eq!(trouble.is_for_too_long(begun + wait), wait >= STAYS);
        }
        let late = begun + 3 * READ_AGAIN;
        let trouble = unread.on_failed(late, &name, false);
        assert_eq!(trouble.again, Some(late + READ_AGAIN));
        // What has a root need not be hashed.
        assert_eq!(unread.on_failed(late, &name, true).again, None);
        assert_eq!(unread.due(), Some(begun + LOOK_EVERY));
    }
}

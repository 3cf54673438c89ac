//! What the keeper tells of the share: changes, totals, progress, warnings.
//!
//! Owns when each is told, and how often.

use std::time::Instant;

use super::{Closed, Keeper, PROGRESS};
use crate::share::locks::{lock, read, write};
use crate::share::shared::{HashingProgress, ShareEvent};
use crate::share::walk::Found;
use crate::share::warning::ShareWarning;

/// The most warnings: more would not help the user.
const WARNINGS: usize = 1000;

impl Keeper {
    pub(super) fn tell_changes(&mut self) -> Result<(), Closed> {
        let delta = write(&self.shared.index).take_delta();
        if !delta.added.is_empty() || !delta.removed.is_empty() {
            self.shared.changes.send_replace(());
            self.send(ShareEvent::Delta {
                added: delta.added,
                removed: delta.removed,
            })?;
        }
        self.tell_torrents()
    }

    /// Tells which kept torrents there are, and forgets those that are none any more.
    pub(super) fn tell_torrents(&mut self) -> Result<(), Closed> {
        let (news, is_forgotten) = self.shared.forget_torrents();
        self.shared.remembered(is_forgotten);
        match news {
            Some(torrents) => self.send(ShareEvent::Torrents(torrents)),
            None => Ok(()),
        }
    }

    pub(super) fn tell_scanned(&mut self, found: &Found) -> Result<(), Closed> {
        let totals = self.shared.totals();
        self.send(ShareEvent::Scanned {
            files: totals.files,
            bytes: totals.bytes,
            skipped: totals.skipped,
        })?;
        self.tell_rules()?;
        self.tell_left_out(found)
    }

    /// Warns the user of what the user can mend.
    pub(super) fn tell_left_out(&mut self, found: &Found) -> Result<(), Closed> {
        if let Some(path) = &found.unnameable {
            self.unnameable = Some(path.clone());
            self.tell_unnameable()?;
        }
        let Some((path, error)) = &found.unreadable else {
            return Ok(());
        };
        let count = lock(&self.shared.left_out).counted().unreadable;
        self.warn(ShareWarning::Unread {
            // That of the share itself is empty there.
            path: self.shared.path.join(path),
            count,
            why: error.to_string(),
        })
    }

    pub(super) fn tell_unnameable(&mut self) -> Result<(), Closed> {
        let Some(path) = self.unnameable.take() else {
            return Ok(());
        };
        let count = lock(&self.shared.left_out).counted().unnameable;
        self.warn(ShareWarning::Unnameable { path, count })
    }

    /// Warns of each `.thorpignore` that has something wrong in it.
    pub(super) fn tell_rules(&mut self) -> Result<(), Closed> {
        for warning in self.rules.take_warnings() {
            self.warn(warning)?;
        }
        Ok(())
    }

    /// At most every second while there is something to hash, and once at the end.
    pub(super) fn tell_progress(&mut self) -> Result<(), Closed> {
        let now = Instant::now();
        let index = read(&self.shared.index);
        let progress = HashingProgress {
            unhashed: index.unhashed(),
            bytes: index
                .unhashed_bytes()
                .saturating_sub(self.shared.queue.under_way()),
        };
        drop(index);
        if let Some((at, told)) = &mut self.told_progress
            && *told == progress
        {
            // The keeper wakes when it may report again, not at once.
            if *at + PROGRESS <= now {
                *at = now;
            }
            return Ok(());
        }
        let due = match self.told_progress {
            Some((at, _)) => progress.unhashed == 0 || at + PROGRESS <= now,
            None => progress.unhashed > 0,
        };
        if !due {
            return Ok(());
        }
        self.told_progress = Some((now, progress));
        self.send(ShareEvent::Progress(progress))
    }

    /// Warns the user, once.
    pub(super) fn warn(&mut self, warning: ShareWarning) -> Result<(), Closed> {
        if self.warned.len() >= WARNINGS || !self.warned.insert(warning.clone()) {
            return Ok(());
        }
        self.send(ShareEvent::Warning(warning))
    }

    /// Waits while the listener is busy: changes merge meanwhile.
    pub(super) fn send(&mut self, event: ShareEvent) -> Result<(), Closed> {
        self.events.blocking_send(event).map_err(|_| Closed)
    }
}

//! How a change of a file is noticed.
//!
//! Owns the comparison, not the decision what to do about a difference.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cap_std::fs::{File, Metadata, MetadataExt};
use thorp_wire::Attributes;
use thorp_wire::entry::SECOND;

/// What the file system says about a file's state, as cheap as `fstat`.
///
/// Equal stamps stand for equal bytes. The change time is part of it, because
/// the modification time can be set back and the change time cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes in the file.
    pub length: u64,
    /// Last modified, in seconds since 1970.
    pub mtime: i64,
    /// Nanoseconds beyond that second.
    pub mtime_nanos: u32,
    /// Whether its owner may execute it.
    pub executable: bool,
    /// Last changed (contents, name, permissions), in nanoseconds since 1970.
    pub ctime: i64,
    /// Which file of the device.
    pub inode: u64,
    /// Which device.
    pub device: u64,
}

/// Two changes within one tick of the kernel's clock can have the same time.
pub const TICK: Duration = Duration::from_millis(20);

impl Stamp {
    /// The stamp of what this metadata describes.
    pub fn new(meta: &Metadata) -> Self {
        Self {
            length: meta.size(),
            mtime: meta.mtime(),
            // A file system that says more than a second says nothing.
            mtime_nanos: u32::try_from(meta.mtime_nsec())
                .ok()
                .filter(|nanos| *nanos < SECOND)
                .unwrap_or(0),
            executable: meta.mode() & 0o100 != 0,
            ctime: nanoseconds(meta.ctime(), meta.ctime_nsec()),
            inode: meta.ino(),
            device: meta.dev(),
        }
    }

    /// The stamp of an open file, even if it was moved meanwhile.
    pub fn of(file: &File) -> io::Result<Self> {
        Ok(Self::new(&file.metadata()?))
    }

    /// Whether every later change will show in the stamp. It will if a tick has
    /// passed since the last change, or if that was a rename of a file written
    /// long before (a write would have set both times).
    pub fn is_settled(&self, now: SystemTime) -> bool {
        let tick = i64::try_from(TICK.as_nanos()).unwrap_or(i64::MAX);
        let now = now.duration_since(UNIX_EPOCH).map(|now| now.as_nanos());
        let now = now.map_or(i64::MIN, |now| i64::try_from(now).unwrap_or(i64::MAX));
        self.ctime.saturating_add(tick) <= now
            || (self.ctime <= now && self.modified().saturating_add(tick) <= self.ctime)
    }

    /// Whether this is the same file later, with nothing taken away from its end.
    pub fn may_have_grown_from(&self, before: &Self) -> bool {
        self.is_of_same_file(before) && self.length >= before.length
    }

    /// Whether this is the same file at another time, and not one that has taken its place.
    pub fn is_of_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// What an entry says of it besides name and content.
    pub fn attributes(&self) -> Attributes {
        Attributes {
            mtime: self.mtime,
            nanos: self.mtime_nanos,
            executable: self.executable,
        }
    }

    /// When it was last modified, in nanoseconds since 1970.
    pub fn modified(&self) -> i64 {
        nanoseconds(self.mtime, self.mtime_nanos.into())
    }
}

/// When something was done to a file last; of both times the seconds and nanoseconds since 1970.
/// A part of which all is here has been given its holder's time, which may be years ago: that shows
/// in the change time, which nobody can set back.
pub fn last_written(modified: (i64, i64), changed: (i64, i64)) -> SystemTime {
    let (seconds, nanos) = modified.max(changed);
    let seconds = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    let nanos = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
    let since = seconds.checked_add(nanos);
    let at = since.and_then(|since| UNIX_EPOCH.checked_add(since));
    at.unwrap_or(UNIX_EPOCH)
}

/// Saturates after the year 2262: still a number that differs from today's.
fn nanoseconds(seconds: i64, nanos: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

//! File systems beneath the share: which of them report their changes, and when one is mounted or
//! unmounted.
//!
//! This module owns the list of file systems that do report, and reads the system's mount table.
//! `keeper` decides what follows for the listing.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use cap_std::fs::{Dir, MetadataExt};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::FsWord;
use rustix::pipe::{PipeFlags, pipe_with};

use super::inbox::Inbox;

/// The types of file systems on which this machine makes and reports all changes. On all others
/// (network, FUSE, overlay, unknown ones) some changes are not reported.
const REPORTING: &[FsWord] = &[
    0xef53,      // ext2, ext3, ext4
    0x5846_5342, // XFS
    0x9123_683e, // Btrfs
    0x0102_1994, // tmpfs
    0x8584_58f6, // ramfs
    0xf2f5_2010, // F2FS
    0x2fc1_2fc1, // ZFS
    0xca45_1a4e, // bcachefs
    0x3153_464a, // JFS
    0x5265_4973, // ReiserFS
    0x3434,      // NILFS2
    0x4d44,      // FAT
    0x2011_bab0, // exFAT
    0x7366_746e, // NTFS
    0x482b,      // HFS+
    0x4244,      // HFS
    0x9660,      // ISO 9660
    0x1501_3346, // UDF
    0x7371_7368, // SquashFS
    0xe0f5_e1e2, // EROFS
];

const TABLE: &str = "/proc/self/mountinfo";

/// Whether each device reports its changes, as far as that has been looked up.
#[derive(Default)]
pub(super) struct Devices(BTreeMap<u64, bool>);

impl Devices {
    /// Returns the device of a folder, and whether all changes there are reported.
    pub fn of(&mut self, folder: &Dir) -> io::Result<(u64, bool)> {
        let device = folder.dir_metadata()?.dev();
        if let Some(reports) = self.0.get(&device) {
            return Ok((device, *reports));
        }
        let reports = reports(folder)?;
        self.0.insert(device, reports);
        Ok((device, reports))
    }
}

fn reports(folder: &Dir) -> io::Result<bool> {
    let kind = rustix::fs::fstatfs(folder)?.f_type;
    Ok(REPORTING.contains(&kind))
}

/// Distinguishes a mount from another one at the same place.
type MountId = String;

/// The mounts beneath the share, by path relative to the share.
#[derive(Default)]
pub(super) struct Mounts(BTreeMap<PathBuf, Vec<MountId>>);

impl Mounts {
    /// Reads the mounts beneath a directory, given by its full path. There are none if the system
    /// has no mount table.
    pub fn beneath(share: &Path) -> Self {
        let table = std::fs::read(TABLE).unwrap_or_default();
        Self::in_table(&table, share)
    }

    fn in_table(table: &[u8], share: &Path) -> Self {
        let mut mounts: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for line in table.split(|byte| *byte == b'\n') {
            let mut fields = line.split(|byte| *byte == b' ');
            // The fields are: id, parent id, device, root within the file system, mount point.
            let (Some(number), Some(_), Some(device), Some(part), Some(place)) = (
                fields.next(),
                fields.next(),
                fields.next(),
                fields.next(),
                fields.next(),
            ) else {
                continue;
            };
            let place = PathBuf::from(OsString::from_vec(unescaped(place)));
            let Ok(place) = place.strip_prefix(share) else {
                continue;
            };
            if place.as_os_str().is_empty() {
                continue;
            }
            let id = [number, device, part].join(&b' ');
            let id = String::from_utf8_lossy(&id).into_owned();
            mounts.entry(place.to_owned()).or_default().push(id);
        }
        Self(mounts)
    }

    /// Returns the paths whose mounts are not the same as before.
    pub fn that_differ(&self, before: &Self) -> Vec<PathBuf> {
        let paths: BTreeSet<_> = self.0.keys().chain(before.0.keys()).collect();
        let differ = |path: &&PathBuf| self.0.get(*path) != before.0.get(*path);
        paths.into_iter().filter(differ).cloned().collect()
    }
}

/// Decodes the octal escapes of the mount table, which stand for spaces and similar bytes.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        rest = tail;
        let octal = |digits: &[u8]| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        };
        match (first, tail.get(..3).and_then(octal)) {
            (b'\\', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            _ => bytes.push(*first),
        }
    }
    bytes
}

/// Tells the inbox of each change of the mount table, until it is dropped.
pub(super) struct MountWatch {
    _stop: OwnedFd,
}

impl MountWatch {
    /// Starts a thread that sleeps except when the mount table changes.
    pub fn start(inbox: Arc<Inbox>) -> io::Result<Self> {
        let table = std::fs::File::open(TABLE)?;
        let (stopped, stop) = pipe_with(PipeFlags::CLOEXEC)?;
        thread::Builder::new()
            .name("thorp-mounts".into())
            .spawn(move || follow(&table, &stopped, &inbox))?;
        Ok(Self { _stop: stop })
    }
}

fn follow(table: &std::fs::File, stopped: &OwnedFd, inbox: &Inbox) {
    loop {
        let mut either = [
            PollFd::new(table, PollFlags::PRI),
            PollFd::new(stopped, PollFlags::IN),
        ];
        match poll(&mut either, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
        if !either[1].revents().is_empty() {
            return;
        }
        // The kernel reports a change as an error condition (POLLERR and POLLPRI).
        if !either[0].revents().is_empty() {
            inbox.mounts_changed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "1 0 8:1 / / rw - ext4 /dev/sda rw\n\
        2 1 0:5 / /srv/my\\040share/a\\134b rw - tmpfs none rw\n\
        3 1 0:6 / /srv/my\\040share rw - tmpfs none rw\n\
        4 1 0:7 / /srv/my\\040shared rw - tmpfs none rw\n\
        odd\n";

    #[test]
    fn mounts_beneath_a_share_are_known_by_their_paths() {
        let share = Path::new("/srv/my share");
        let some = Mounts::in_table(TABLE.as_bytes(), share);
        let none = Mounts::default();
        assert_eq!(some.that_differ(&none), [Path::new("a\\b")]);
        assert_eq!(none.that_differ(&some), [Path::new("a\\b")]);
        let other = Mounts::in_table(TABLE.replace("0:5", "0:9").as_bytes(), share);
        assert!(!other.that_differ(&some).is_empty(), "another device");
        assert!(some.that_differ(&some).is_empty());
    }
}

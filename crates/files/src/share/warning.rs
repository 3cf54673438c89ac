//! What the user can mend, while the share goes on.

use std::path::PathBuf;
use std::time::Duration;

use thorp_wire::Name;

/// Something is wrong with the share. Each warning is sent once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShareWarning {
    /// The directory is not where it was: nothing of it is shared any more.
    Moved {
        /// Where it was.
        path: PathBuf,
    },
    /// The disk does not tell now whether something that is listed is still there. It
    /// stays listed for a while, and is looked at again.
    NotNow {
        /// The share's directory, or what of it.
        path: PathBuf,
        /// What the system says.
        why: String,
        /// For how long.
        stays: Duration,
    },
    /// The system does not report changes: the directory is scanned instead.
    Unwatched {
        /// The directory.
        path: PathBuf,
        /// Why not.
        why: String,
        /// How often it is scanned.
        every: Duration,
    },
    /// Listed files cannot be read.
    FileUnread {
        /// One of them.
        name: Name,
        /// How many more there are.
        more: u64,
        /// What the system says.
        why: String,
    },
    /// Files or folders cannot be read, and are not listed.
    Unread {
        /// One of them.
        path: PathBuf,
        /// How many there are.
        count: u64,
        /// What the system says.
        why: String,
    },
    /// A `.thorpignore` cannot be read: its folder is not shared, with all in it.
    IgnoreFile {
        /// The file, relative to the share.
        path: PathBuf,
        /// Why not.
        why: IgnoreProblem,
    },
    /// A line of a `.thorpignore` is no pattern; the others count.
    IgnoreLine {
        /// The file, relative to the share.
        path: PathBuf,
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// Files have names that cannot be listed.
    Unnameable {
        /// One of them.
        path: PathBuf,
        /// How many there are.
        count: u64,
    },
    /// The file system cannot rename without replacing: what another program puts
    /// by the same name at the same moment may be lost.
    LooksFirst {
        /// The directory.
        path: PathBuf,
    },
    /// The cache of roots is lost, and with it the kept torrents: its file was damaged.
    HashesDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// Where it is now.
        set_aside: PathBuf,
    },
    /// Roots are not cached: the file of the cache cannot be used.
    HashesUnusable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// Roots are not cached any more.
    HashesUnsaved {
        /// What the system says.
        why: String,
    },
}

/// Why a `.thorpignore` cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IgnoreProblem {
    /// It is a link, a folder, a pipe or a device.
    NotAFile,
    /// It is too long.
    TooLong {
        /// The most bytes that are read.
        most: u64,
    },
    /// As the system says.
    Unreadable(String),
}

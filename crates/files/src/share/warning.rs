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
    /// Files have names that cannot be listed.
    Unnameable {
        /// One of them.
        path: PathBuf,
        /// How many there are.
        count: u64,
    },
    /// The cache of roots is lost: its file was damaged.
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

//! What a person can do something about, while the share goes on.

use std::path::PathBuf;
use std::time::Duration;

use thorp_wire::Name;

/// Something about the share that is not as it should be. Told once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShareWarning {
    /// The directory is not where it was: nothing of it is shared any more.
    Moved {
        /// Where it was.
        path: PathBuf,
    },
    /// Changes are not reported: the directory is looked through instead.
    Unwatched {
        /// The directory.
        path: PathBuf,
        /// Why they are not.
        why: String,
        /// How often it is looked through.
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
    /// Names cannot be told to others, and are not listed.
    Unnameable {
        /// One of them.
        path: PathBuf,
        /// How many there are.
        count: u64,
    },
    /// What was hashed before is lost: the file with it was damaged.
    HashesDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// Where it is now.
        set_aside: PathBuf,
    },
    /// What is hashed cannot be remembered: the file cannot be used.
    HashesUnusable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// What is hashed cannot be remembered any more.
    HashesUnsaved {
        /// What the system says.
        why: String,
    },
}

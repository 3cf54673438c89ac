//! The state that a share's threads and callers have in common, and its events.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use cap_std::fs::Dir;
use rustix::fs::{Access, AtFlags, accessat};
use rustix::io::Errno;
use thorp_wire::merkle::Hash;
use thorp_wire::{Content, Entry, InfoHash, Name};
use tokio::sync::watch;

use super::cache::Cache;
use super::errors::says_no;
use super::inbox::Inbox;
use super::index::Index;
use super::left_out::LeftOut;
use super::left_out::Skipped;
use super::locks::{lock, read, write};
use super::queue::Queue;
use super::rules::Rules;
use super::warning::ShareWarning;
use crate::stamp::Stamp;
use crate::store::{Store, StoreError};

/// How a directory is shared.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch")]
pub struct Options {
    /// Hidden files too.
    pub hidden: bool,
    /// Even if the directory is `/` or a user's home.
    pub broad: bool,
    /// Follow changes as the system reports them; if this is off, the share is
    /// scanned every `poll`.
    pub watch: bool,
    /// How long a file must have been left alone before it is hashed.
    pub quiet: Duration,
    /// How often is looked for changes where the system does not report all of
    /// them: in network file systems and the like, and where the watcher has
    /// reached its limits. Less often where the look takes long.
    pub poll: Duration,
    /// A folder for the cache of roots. Without one, every file is hashed at
    /// every start.
    pub cache: Option<PathBuf>,
    /// Serve the files to BitTorrent clients: they are found by their torrents, and hashed for
    /// v1 torrents too.
    pub bittorrent: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hidden: false,
            broad: false,
            watch: true,
            quiet: Duration::from_secs(2),
            poll: Duration::from_mins(1),
            cache: None,
            bittorrent: false,
        }
    }
}

/// What has happened in the share.
#[derive(Clone, Debug, PartialEq)]
pub enum ShareEvent {
    /// The smallest change from the listing reported so far to the present one.
    /// The first one has every file; an empty share sends none.
    Delta {
        /// New or changed; names in order.
        added: Vec<Entry>,
        /// No longer there; names in order.
        removed: Vec<Name>,
    },
    /// The info-hashes of all kept torrents whose files are listed, where these are others than
    /// those reported so far. Comes after the listing that it is about.
    Torrents(Vec<InfoHash>),
    /// The whole share has been scanned. Its changes were sent before this.
    Scanned {
        /// Files listed.
        files: u64,
        /// Bytes in them.
        bytes: u64,
        /// What was left out.
        skipped: Skipped,
    },
    /// How much is still to be hashed; about every second, and at the end.
    Progress(HashingProgress),
    /// Something is wrong with the share, and the user can mend it.
    Warning(ShareWarning),
}

/// How much is still to be hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashingProgress {
    /// Files.
    pub unhashed: u64,
    /// Bytes in them that were not read yet.
    pub bytes: u64,
}

/// The share in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Files listed.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Of these files, symbolic links to others of them.
    pub links: u64,
    /// Of these files, still to be hashed.
    pub unhashed: u64,
    /// What was left out, as of the last scan.
    pub skipped: Skipped,
    /// Files opened since the start: to be hashed or handed out.
    pub opened: u64,
    /// What is known of the directory.
    pub state: ShareState,
}

/// What is known of the shared directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShareState {
    /// It is looked through for the first time, or for the first time since it is back.
    #[default]
    FirstLook,
    /// It was looked through, and changes are taken note of.
    Kept,
    /// It is not where it was.
    Away,
}

/// A directory on offer. Clones are the same share; it closes with the last one.
#[derive(Clone)]
pub struct Share {
    pub(super) shared: Arc<Shared>,
    pub(super) _life: Arc<Life>,
}

/// What the share's threads and callers have in common.
pub(super) struct Shared {
    pub(super) dir: Dir,
    /// The directory's full path: for the watcher and for messages.
    pub(super) path: PathBuf,
    /// The full paths by which it is known: that one, and as it was named.
    pub(super) called: Vec<PathBuf>,
    pub(super) options: Options,
    pub(super) index: RwLock<Index>,
    pub(super) left_out: Mutex<LeftOut>,
    pub(super) state: Mutex<ShareState>,
    /// Held while torrents are kept or forgotten: each is done in memory and on disk.
    pub(super) keeping: Mutex<()>,
    pub(super) queue: Queue,
    pub(super) cache: Cache,
    pub(super) opened: AtomicU64,
    pub(super) inbox: Arc<Inbox>,
    pub(super) store: Store,
    /// The keeper has its own, which it holds through a whole walk; these are
    /// for files that arrive meanwhile.
    pub(super) rules: Mutex<Rules>,
    /// Told whenever the listing has changed.
    pub(super) changes: watch::Sender<()>,
    /// Files that are listed as they were a moment ago, though they are written to.
    pub(super) held: Mutex<BTreeMap<Name, Held>>,
}

/// What a file was that is written to all the time.
pub(super) struct Held {
    pub(super) until: Instant,
    content: Content,
    layer: Vec<Hash>,
}

/// How long a caller has to open a file that is written to all the time, once it was
/// hashed for it.
const HELD: Duration = Duration::from_secs(10);

/// Closes the share when its last clone is dropped.
pub(super) struct Life(pub(super) Arc<Shared>);

impl Drop for Life {
    fn drop(&mut self) {
        // The keeper closes the rest: that may wait for the disk.
        self.0.queue.stop();
        self.0.inbox.stop();
    }
}

/// Where the share's directory is.
pub(super) enum Place {
    /// Where it was.
    Here,
    /// Not there any more.
    Elsewhere,
    /// The disk does not tell now.
    Unknown(io::Error),
}

impl Shared {
    pub(super) fn totals(&self) -> Totals {
        let mut skipped = lock(&self.left_out).counted();
        let index = read(&self.index);
        skipped.unreadable += index.unreadable_files();
        let (links, bytes_linked) = index.links();
        Totals {
            files: index.files() + links,
            bytes: index.bytes() + bytes_linked,
            links,
            unhashed: index.unhashed(),
            skipped,
            opened: self.opened.load(Ordering::Relaxed),
            state: *lock(&self.state),
        }
    }

    /// Lists a file that is written to as it was when it had this stamp, for a while.
    /// Returns whether it does: what is listed by now may be another file.
    pub(super) fn hold(
        &self,
        name: &Name,
        stamp: Stamp,
        content: Content,
        layer: Vec<Hash>,
    ) -> bool {
        let mut held = lock(&self.held);
        let file = Held {
            until: Instant::now() + HELD,
            content,
            layer,
        };
        // First, or the keeper might take the root away again as soon as it is listed.
        held.insert(name.clone(), file);
        drop(held);
        let is_held = write(&self.index).hold(name, stamp, content.root);
        if !is_held {
            lock(&self.held).remove(name);
        }
        is_held
    }

    /// The hashes of its pieces.
    pub(super) fn held_layer(&self, name: &Name, content: Content) -> Option<Vec<Hash>> {
        let (held, now) = (lock(&self.held), Instant::now());
        let is_it = |held: &&Held| held.until > now && held.content == content;
        let held = held.get(name).filter(is_it)?;
        Some(held.layer.clone())
    }

    /// When the first of them has been held for long enough.
    pub(super) fn held_until(&self) -> Option<Instant> {
        let held = lock(&self.held);
        held.values().map(|held| held.until).min()
    }

    /// Lets go of what has been held for long enough.
    pub(super) fn forget_held(&self, now: Instant) {
        lock(&self.held).retain(|_, held| held.until > now);
    }

    /// Whether what is listed of a file is kept, though it is this by now.
    pub(super) fn is_held(&self, name: &Name, now: &Stamp) -> bool {
        let until = lock(&self.held).get(name).map(|held| held.until);
        let listed = read(&self.index).record(name);
        until.is_some_and(|until| Instant::now() < until)
            && listed.is_some_and(|listed| {
                listed.root.is_some() && now.may_have_grown_from(&listed.stamp)
            })
    }

    /// If roots cannot be cached, the user is told.
    pub(super) fn remembered(&self, result: Result<(), ShareWarning>) {
        if let Err(warning) = result {
            self.inbox.warn(warning);
        }
    }

    /// Whether the directory's path still leads to the directory that is open.
    /// Otherwise it was moved, perhaps so that it is no longer shared.
    pub(super) fn place(&self) -> Place {
        match self.store.is_in_place() {
            Ok(true) => Place::Here,
            Err(error) if !says_no(&error) => Place::Unknown(error),
            Ok(false) | Err(_) => Place::Elsewhere,
        }
    }

    /// The same, for what reads it: where this user may not enter it now, nothing is known of what
    /// is in it. Of each file the system would say that the user may not read that one.
    pub(super) fn place_to_read(&self) -> Place {
        let access = Access::READ_OK | Access::EXEC_OK;
        match (
            self.place(),
            accessat(&self.dir, ".", access, AtFlags::EACCESS),
        ) {
            // A sandbox that does not know the question may say that it is not permitted.
            (Place::Here, Err(Errno::ACCESS)) => {
                let error = io::Error::from(Errno::ACCESS);
                Place::Unknown(io::Error::other(error.to_string()))
            }
            (place, _) => place,
        }
    }

    /// For what writes to it.
    pub(super) fn must_be_in_place(&self) -> Result<(), StoreError> {
        match self.place() {
            Place::Here => Ok(()),
            Place::Elsewhere => Err(StoreError::Moved {
                path: self.path.clone(),
            }),
            Place::Unknown(source) => Err(StoreError::Io {
                path: self.path.clone(),
                source,
            }),
        }
    }

    pub(super) fn lists(&self, name: &Name) -> bool {
        let mut rules = lock(&self.rules);
        let why_not = rules.leave_out(&self.dir, Path::new(name.as_str()), false);
        // The keeper reads the same, and warns.
        rules.take_warnings();
        why_not.is_none()
    }

    pub(super) fn close(&self) {
        self.queue.stop();
        self.inbox.stop();
        self.cache.close();
    }
}

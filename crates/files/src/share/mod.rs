//! The directory a peer offers: scanned, watched, hashed, served.
//!
//! ```text
//! rules    which paths belong to the share; `.thorpignore`
//! walk     all that does, beneath a folder
//! links    where a symbolic link leads
//! mounts   file systems that come and go, and which of them report changes
//! left_out what does not, so that it can be counted
//! index    what is on offer, in memory, and what has changed in it
//! table    the files of the index, by name and by content
//! torrents the same by the info-hashes of their torrents, for clients
//! kept     torrents of folders, and others that follow from no file
//! keeping  the same on disk
//! queue    the files to be hashed, those asked for first
//! hash     roots, in the background
//! cache    what was hashed before, on disk
//! v1       what BitTorrent clients of version 1 need to know of files
//! inbox    gathers what the keeper has to look at
//! watch    what the file system reports
//! shared   the state that a share's threads and callers have in common
//! locks    locks that stay usable after a thread has panicked
//! keeper   the thread that keeps the listing true and reports its changes
//! holding  opens hashed files, if they are still what was hashed
//! storing  fetched files, put into the share and listed at once
//! serve    small files, read for other peers
//! pieces   large files, read in pieces for other peers; parts of files that are being fetched
//! errors   what the system's errors say
//! warning  what the user can mend, while the share goes on
//! ```
//!
//! Every path is opened beneath the share's own handle, for reading and for
//! writing: nothing outside can be reached by any name, link or race. The share
//! is written to by fetches only, through [`Share::store`].
//!
//! Serving looks things up in the shared index and reads on the caller's
//! thread, which is one for the disk; it waits for no task and no queue. The index is locked for
//! single steps, never while a file is looked at. An idle share costs no processor time and holds
//! no file open but its directory and the watcher; its threads sleep.

mod cache;
mod errors;
mod hash;
mod holding;
mod inbox;
mod index;
mod keeper;
mod keeping;
mod kept;
mod left_out;
mod links;
mod locks;
mod mounts;
mod pieces;
mod queue;
mod rules;
mod serve;
mod shared;
mod storing;
mod table;
#[cfg(test)]
mod tests;
mod torrents;
mod v1;
mod walk;
mod warning;
mod watch;

use std::fmt;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use thiserror::Error;
use thorp_disk::DiskThread;
use thorp_wire::{Content, Entry, InfoHash, Name};
use tokio::sync::mpsc;

#[cfg(feature = "testing")]
pub use cache::fits as cached;
pub use holding::ReadError;
pub use keeping::{KeepError, KeptTorrent};
pub use pieces::{Arriving, Opened};
pub use queue::HashError;
pub use serve::ReadBatch;
pub use shared::{HashingProgress, Options, Share, ShareEvent, ShareState, Totals};
pub use storing::ShareBatch;
pub use torrents::SharedTorrent;
pub use v1::ReadSoFar;

pub use left_out::{LeftOutCause, Skipped};
pub use warning::{IgnoreProblem, ShareWarning};

use crate::stamp::Stamp;
use crate::store::{self, Partial, Store, StoreError};
use cache::Cache;
use index::Index;
use keeper::Keeper;
use locks::{lock, read};
use queue::Queue;
use rules::Rules;
use shared::{Life, Shared};

/// The folder of a state directory with the caches of roots.
pub const CACHE: &str = "hashes";

/// How many events may wait to be taken before the keeper waits.
const EVENTS: usize = 64;

/// Why a directory cannot be shared.
#[derive(Debug, Error)]
pub enum ShareError {
    /// It is not there.
    #[error("there is no directory {}: create it or name another", shown(path))]
    NotFound {
        /// As it was given.
        path: PathBuf,
    },
    /// It is a file, or something else.
    #[error("{} is not a directory: name the directory to share", shown(path))]
    NotADirectory {
        /// As it was given.
        path: PathBuf,
    },
    /// It cannot be opened or listed.
    #[error(
        "{} cannot be read ({source}): {}",
        shown(path),
        errors::advice(source)
    )]
    Unreadable {
        /// As it was given.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Sharing it would offer far more than most users mean to. Asks to be
    /// overridden with [`Options::broad`].
    #[error("{} is {what}: share a directory inside it", shown(path))]
    TooBroad {
        /// Its full path.
        path: PathBuf,
        /// What it is.
        what: Broad,
    },
    /// It is, or is in, a state directory of thorp.
    #[error(
        "{} is where thorp keeps its keys, which are never shared: share another directory",
        shown(path)
    )]
    Keys {
        /// Its full path.
        path: PathBuf,
    },
    /// The system has no threads left.
    #[error("a thread cannot be started ({0}): end other programs and try again")]
    Threads(#[source] io::Error),
}

/// A directory that is more than most users mean to share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broad {
    /// The root.
    Machine,
    /// The home directory of this user.
    OwnHome,
    /// A directory that home directories are in.
    Homes,
    /// The home directory of another user.
    OtherHome,
}

impl Broad {
    /// What a directory (its full path) is for a user with this home directory, if it is too much.
    pub fn of(_: DiskThread, path: &Path, home: Option<&Path>) -> Option<Self> {
        let home = home.and_then(|home| home.canonicalize().ok());
        let parent = path.parent();
        if parent.is_none() {
            return Some(Self::Machine);
        }
        if home.as_deref() == Some(path) {
            return Some(Self::OwnHome);
        }
        if home.is_some_and(|home| home.starts_with(path)) || path == "/home" || path == "/Users" {
            return Some(Self::Homes);
        }
        if path == "/root" || parent.is_some_and(|p| p == "/home" || p == "/Users") {
            return Some(Self::OtherHome);
        }
        None
    }
}

impl fmt::Display for Broad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Machine => "the whole machine",
            Self::OwnHome => "your home directory",
            Self::Homes => "where home directories are",
            Self::OtherHome => "somebody's home directory",
        })
    }
}

impl Share {
    /// Whether a directory can be shared. Changes nothing.
    pub fn check(disk: DiskThread, dir: &Path, options: &Options) -> Result<(), ShareError> {
        open_shareable(disk, dir, options).map(drop)
    }

    /// Opens a directory and starts to scan it.
    pub fn open(
        disk: DiskThread,
        dir: &Path,
        options: Options,
    ) -> Result<(Self, mpsc::Receiver<ShareEvent>), ShareError> {
        let (handle, path) = open_shareable(disk, dir, &options)?;
        let for_store = handle
            .try_clone()
            .map_err(|source| unreadable(dir, source))?;
        let shared = Arc::new(Shared {
            dir: handle,
            store: Store::new(for_store, path.clone()),
            rules: Mutex::new(Rules::new(options.hidden)),
            called: [Some(path.clone()), std::path::absolute(dir).ok()]
                .into_iter()
                .flatten()
                .collect(),
            path,
            index: RwLock::new(Index::new(options.bittorrent)),
            options,
            left_out: Mutex::default(),
            state: Mutex::default(),
            keeping: Mutex::default(),
            queue: Queue::default(),
            cache: Cache::default(),
            opened: AtomicU64::new(0),
            inbox: Arc::default(),
            changes: tokio::sync::watch::Sender::default(),
            held: Mutex::default(),
        });
        let life = Arc::new(Life(Arc::clone(&shared)));
        let (events, receiver) = mpsc::channel(EVENTS);
        hash::start(&shared).map_err(ShareError::Threads)?;
        let keeper = Keeper::new(Arc::clone(&shared), events);
        thorp_disk::spawn_thread("thorp-share", move |_| keeper.run())
            .map_err(ShareError::Threads)?;
        Ok((
            Self {
                shared,
                _life: life,
            },
            receiver,
        ))
    }

    /// The directory's full path.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Where fetched files go. Use [`Share::store`] to put one.
    pub fn as_store(&self) -> &Store {
        &self.shared.store
    }

    /// The contents on offer whose root begins with these bytes: what a session
    /// may be about.
    pub fn contents_named(&self, start: &[u8; 20]) -> Vec<Content> {
        read(&self.shared.index).contents_named(start)
    }

    /// The torrent that has this info-hash, if the share is served to clients.
    pub fn torrent(&self, info_hash: InfoHash) -> Option<SharedTorrent> {
        read(&self.shared.index).torrent(info_hash)
    }

    /// The share in numbers.
    pub fn totals(&self) -> Totals {
        self.shared.totals()
    }

    /// The first files and folders from here on that are left out, each with why.
    pub fn left_out_from(&self, from: Bound<&Path>, limit: usize) -> Vec<(PathBuf, LeftOutCause)> {
        let range = (from, Bound::Unbounded);
        let left_out = lock(&self.shared.left_out);
        let mut paths: Vec<_> = left_out.within(range).take(limit).collect();
        drop(left_out);
        let index = read(&self.shared.index);
        paths.extend(index.unreadable_within(range).take(limit).map(unread));
        drop(index);
        paths.sort_unstable();
        paths.truncate(limit);
        paths
    }

    /// The last of them before here, in order.
    pub fn left_out_before(
        &self,
        before: Bound<&Path>,
        limit: usize,
    ) -> Vec<(PathBuf, LeftOutCause)> {
        let range = (Bound::Unbounded, before);
        let left_out = lock(&self.shared.left_out);
        let mut paths: Vec<_> = left_out.within(range).rev().take(limit).collect();
        drop(left_out);
        let index = read(&self.shared.index);
        let unreadable = index.unreadable_within(range).rev();
        paths.extend(unreadable.take(limit).map(unread));
        drop(index);
        paths.sort_unstable();
        paths.drain(..paths.len().saturating_sub(limit));
        paths
    }

    /// Writes new roots to the cache, so that their files are not hashed again
    /// at the next start, and lets go of it.
    pub fn close_cache(&self, _: DiskThread) {
        self.shared.cache.close();
    }

    /// The entry of that name with its root. If the root is not known, the file
    /// is hashed now, before all files that wait in the background.
    pub async fn hash_now(&self, name: &Name) -> Result<Entry, HashError> {
        let (entry, file) = {
            let index = read(&self.shared.index);
            (index.entry(name), index.file_of(name).clone())
        };
        match entry {
            None => return Err(HashError::Gone { name: name.clone() }),
            Some(entry) if entry.root.is_some() => return Ok(entry),
            Some(_) => {}
        }
        let answer = self.shared.queue.ask(&file).await;
        let entry = answer.unwrap_or(Err(HashError::Closed))?;
        // A link is hashed as the file that it leads to.
        let name = name.clone();
        Ok(Entry { name, ..entry })
    }

    /// Bytes read so far of a file that is being hashed.
    pub fn hashed_so_far(&self, name: &Name) -> u64 {
        let file = read(&self.shared.index).file_of(name).clone();
        self.shared.queue.read_of(&file)
    }

    /// What is listed under this name.
    pub fn listed(&self, name: &Name) -> Option<Entry> {
        read(&self.shared.index).entry(name)
    }

    /// A file of the share, if it still is the one that was hashed. Its reader
    /// verifies it all the same.
    pub fn open_listed(
        &self,
        _: DiskThread,
        name: &Name,
        content: Content,
    ) -> Result<cap_std::fs::File, ReadError> {
        if let Some(why) = self.shared.not_in_place() {
            return Err(why);
        }
        let (file, _) = self.shared.open_as_hashed(name, content)?;
        Ok(file)
    }

    /// Whether the file of that name is known to have this content without being read: so it was
    /// hashed, and its stamp shows every change since. Where it does not, reading tells.
    pub fn is_known_to_hold(&self, _: DiskThread, name: &Name, content: Content) -> bool {
        let shared = &*self.shared;
        let Some(listed) = read(&shared.index).record(name) else {
            return false;
        };
        let there = shared.dir.symlink_metadata(name.as_str());
        let is_as_hashed = there.is_ok_and(|meta| {
            meta.is_file() && meta.len() == content.length && Stamp::new(&meta) == listed.stamp
        });
        // What is remembered had a stamp that a later change cannot bear.
        let remembered = || shared.cache.roots(&[(name.clone(), listed.stamp)]);
        is_as_hashed && listed.root == Some(content.root) && remembered() == [listed.root]
    }

    /// The file in which a large one arrives, as [`Store::partial`] has it.
    pub fn partial(
        &self,
        disk: DiskThread,
        name: &Name,
        content: Content,
    ) -> Result<Partial, StoreError> {
        self.shared.must_be_in_place()?;
        self.shared.store.partial(disk, name, content)
    }

    /// Waits until the directory is not where it was, or a large file that comes not where it is to
    /// get its name: nothing may be written to it then. A fetch that takes long waits for this
    /// meanwhile: if a directory above the share is moved, the watcher does not report it.
    pub async fn moved(&self, partial: &Arc<Partial>) -> StoreError {
        let (shared, partial) = (Arc::clone(&self.shared), Arc::clone(partial));
        let moved = store::until_moved(move |disk| {
            shared.must_be_in_place()?;
            shared.store.must_be_in_place(disk, &partial)
        });
        let moved = moved.await;
        self.shared.inbox.poke();
        moved
    }
}

fn open_shareable(
    disk: DiskThread,
    dir: &Path,
    options: &Options,
) -> Result<(Dir, PathBuf), ShareError> {
    let (handle, path) = open_dir(dir)?;
    if path.ancestors().any(rules::is_state_directory) {
        return Err(ShareError::Keys { path });
    }
    if !options.broad
        && let Some(what) = Broad::of(disk, &path, std::env::home_dir().as_deref())
    {
        return Err(ShareError::TooBroad { path, what });
    }
    Ok((handle, path))
}

fn open_dir(dir: &Path) -> Result<(Dir, PathBuf), ShareError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => ShareError::NotFound {
            path: dir.to_owned(),
        },
        io::ErrorKind::NotADirectory => ShareError::NotADirectory {
            path: dir.to_owned(),
        },
        _ => unreadable(dir, source),
    };
    let path = dir.canonicalize().map_err(failed)?;
    let handle = Dir::open_ambient_dir(&path, ambient_authority()).map_err(failed)?;
    // There are directories that may be entered but not listed.
    handle.entries().map_err(failed)?;
    Ok((handle, path))
}

fn unread(path: &Path) -> (PathBuf, LeftOutCause) {
    (path.to_owned(), LeftOutCause::Unreadable)
}

fn unreadable(dir: &Path, source: io::Error) -> ShareError {
    ShareError::Unreadable {
        path: dir.to_owned(),
        source,
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}

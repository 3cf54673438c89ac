//! A file that is read while it arrives: by its name, any part of it at any time.
//!
//! ```text
//! opening  which file is meant, and what brings it here
//! coming   a file that is on its way for its readers
//! cache    where such files are, and for how long
//! ```
//!
//! Owns where the bytes of a [`Reading`] come from: this peer's own share, a fetch that is under
//! way for another reason, or one for its readers into the [`Cache`]. Nothing of it is put into
//! the share or listed. Which content a name means is decided as for any get, in
//! [`thorp_core::get`]; what is fetched first in [`thorp_core::swarm`].

mod cache;
mod coming;
mod opening;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_encoding::HEXLOWER;
use thorp_disk::DiskThread;
use thorp_files::share::{Opened, ReadError};
use thorp_wire::{Content, Name, Root};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Peer;
use crate::api::{Done, Event, Failure, FileBytes, FileRow, Miss, Obstacle, Read};
use crate::drive::caller::{Events, tell};
use crate::sessions::{READ, TransferReader};

use cache::{Cache, Stored};
use coming::{Coming, Handle, Phase};
use opening::Way;

/// Files that are read at once, at most.
const MOST_READERS: usize = 64;
/// How often a file that cannot be read from where it was is looked for again.
const LOOKED_FOR_AGAIN: u32 = 3;

/// What all readings of a peer have in common.
pub(super) struct Readings {
    cache: Arc<Cache>,
    /// Files that are on their way for readers.
    coming: Mutex<BTreeMap<Content, Arc<Coming>>>,
    places: Arc<Semaphore>,
}

/// A file that a name means, not opened yet: nothing of it is fetched.
pub struct Unopened {
    peer: Peer,
    /// As it was asked for.
    wanted: Read,
    file: Meant,
    way: Way,
    place: OwnedSemaphorePermit,
}

/// A file that is read, wherever it is. Dropping it gives up the rest.
pub struct Reading {
    peer: Peer,
    /// As it was asked for.
    wanted: Read,
    file: Meant,
    source: Source,
    /// How often it was looked for again since bytes came last.
    again: u32,
    _place: OwnedSemaphorePermit,
}

/// Which file a name means.
#[derive(Clone, Debug)]
struct Meant {
    name: Name,
    content: Content,
    mtime: i64,
}

/// Why a file cannot be read.
#[derive(Clone, Debug, PartialEq)]
pub struct NotRead {
    /// Why.
    pub failure: Box<Failure>,
    /// The contents of that name, if there are several.
    pub variants: Vec<FileRow>,
}

/// Where its bytes come from.
enum Source {
    /// It has none.
    Empty,
    /// From this peer's share.
    Shared(Arc<Opened>),
    /// From the cache.
    Stored(Arc<Stored>),
    /// From a fetch into the cache.
    Coming(Handle, Option<TransferReader>),
    /// From a fetch that is under way for another reason.
    Fetched(TransferReader),
}

impl Readings {
    /// Nothing is read yet. Files that come for readers are put into `directory`, up to so many
    /// bytes.
    pub fn new(directory: PathBuf, most: u64) -> Self {
        Self {
            cache: Arc::new(Cache::new(directory, most)),
            coming: Mutex::default(),
            places: Arc::new(Semaphore::new(MOST_READERS)),
        }
    }

    /// Ends the fetch that was left by its readers first, if any was left by all. Returns whether
    /// its place in the cache is free now.
    fn dismiss_one(&self) -> bool {
        let mut all = self.coming();
        let left = all.iter().filter_map(|(content, coming)| {
            let since = coming.is_left_since()?;
            Some((since, *content))
        });
        let Some((_, content)) = left.min() else {
            return false;
        };
        // Who wants it from now on begins anew.
        if let Some(coming) = all.remove(&content) {
            coming.dismiss();
        }
        true
    }

    /// Removes so many bytes of what was read from this disk, if there are so many that no reader
    /// needs. Returns whether there were.
    pub fn give_way(&self, disk: DiskThread, device: u64, bytes: u64) -> bool {
        self.cache.give_way(disk, device, bytes)
    }

    fn coming(&self) -> MutexGuard<'_, BTreeMap<Content, Arc<Coming>>> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peer {
    /// Opens a file by its name, to be read while it arrives.
    pub async fn read(&self, wanted: Read) -> Result<Reading, NotRead> {
        self.find(wanted).await?.open().await
    }

    /// Finds the file that a name means. Nothing of it is fetched.
    pub async fn find(&self, wanted: Read) -> Result<Unopened, NotRead> {
        let places = Arc::clone(&self.readings.places);
        let Ok(place) = places.try_acquire_owned() else {
            return Err(Failure::TooManyReaders { most: MOST_READERS }.into());
        };
        let (file, way) = opening::find(self, &wanted).await?;
        Ok(Unopened {
            peer: self.clone(),
            wanted,
            file,
            way,
            place,
        })
    }

    /// Returns why a file cannot be read however long its reader waits: it is longer than all that
    /// is read may be, and it is not here, nor fetched into the share. `root` is in hex.
    pub async fn is_too_long_to_read(&self, length: u64, root: &str) -> Option<Failure> {
        let most = self.readings.cache.most();
        if length <= most {
            return None;
        }
        let too_long = Some(Failure::NoRoomToRead { length, most });
        let root = HEXLOWER.decode(root.as_bytes()).ok();
        let Some(root) = root.and_then(|root| root.try_into().ok()).map(Root::new) else {
            return too_long;
        };
        let content = Content { root, length };
        if self.transfers.fetch_of(content).is_some() {
            return None;
        }
        let Some(share) = self.share().cloned() else {
            return too_long;
        };
        let opened = thorp_disk::spawn(move |disk| share.open_content(disk, content).is_ok());
        match opened.await {
            Ok(true) => None,
            Ok(false) | Err(_) => too_long,
        }
    }

    /// Removes what an earlier node has left of files that were read.
    pub(super) fn sweep_what_was_read(&self) {
        let cache = Arc::clone(&self.readings.cache);
        thorp_disk::spawn(move |disk| cache.sweep(disk));
    }

    /// Removes the files that were read: a visitor reads no more.
    pub(crate) async fn remove_what_was_read(&self) {
        let cache = Arc::clone(&self.readings.cache);
        let removed = thorp_disk::spawn(move |disk| cache.remove_whole(disk));
        // What is not removed now is removed by the next node.
        let _ = removed.await;
    }
}

/// Sends a file to a caller, in its order and as it arrives.
pub(super) async fn send(peer: &Peer, wanted: Read, events: &Events) -> Result<Done, Failure> {
    let name = wanted.name.clone();
    let mut reading = match peer.read(wanted).await {
        Ok(reading) => reading,
        Err(NotRead { failure, variants }) => {
            if !variants.is_empty() {
                tell(events, Event::Choice { name, variants }).await;
            }
            return Err(*failure);
        }
    };
    let length = reading.length();
    let mut at = 0;
    while at < length {
        let bytes = reading.read(at..length).await?;
        at += bytes.len() as u64;
        tell(events, Event::Bytes(FileBytes::of(bytes))).await;
    }
    let content = reading.file.content;
    peer.readings.cache.on_read_through(content);
    Ok(Done {
        count: 1,
        bytes: length,
        ..Done::default()
    })
}

impl Unopened {
    /// The whole path of the file at its holders.
    pub fn name(&self) -> &str {
        self.file.name.as_str()
    }

    /// Bytes in it.
    pub fn length(&self) -> u64 {
        self.file.content.length
    }

    /// The root of its Merkle tree, in hex: two files with the same one are the same.
    pub fn root(&self) -> String {
        self.file.content.root.to_string()
    }

    /// When it was modified last, in seconds since 1970.
    pub fn mtime(&self) -> i64 {
        self.file.mtime
    }

    /// Opens it, to be read while it arrives.
    pub async fn open(self) -> Result<Reading, NotRead> {
        let (file, source) = opening::open(&self.peer, self.file, self.way).await?;
        Ok(Reading {
            peer: self.peer,
            wanted: self.wanted,
            file,
            source,
            again: 0,
            _place: self.place,
        })
    }
}

impl Reading {
    /// Bytes in the file.
    pub fn length(&self) -> u64 {
        self.file.content.length
    }

    /// Waits for the first bytes of a range, and returns as many as can be read at once. What
    /// this waits for is fetched before everything else. Empty at the end of the range, or of the
    /// file.
    pub async fn read(&mut self, range: Range<u64>) -> Result<Vec<u8>, Failure> {
        let range = range.start..range.end.min(self.length());
        if range.is_empty() {
            return Ok(Vec::new());
        }
        loop {
            match self.source.read(range.clone()).await {
                Ok(bytes) => {
                    self.again = 0;
                    return Ok(bytes);
                }
                Err(NotNow::Failed(failure)) => return Err(failure),
                Err(NotNow::Unreadable) => {
                    return Err(Failure::Missed {
                        name: self.file.name.to_string(),
                        miss: Miss::Unreadable,
                    });
                }
                Err(NotNow::Elsewhere) if self.again < LOOKED_FOR_AGAIN => {
                    self.reopen(range.start).await?;
                }
                Err(NotNow::Elsewhere) => {
                    let why = "it changes or goes away while it is read";
                    return Err(self.unfinished(why, range.start));
                }
            }
        }
    }

    fn unfinished(&self, why: &str, there: u64) -> Failure {
        Failure::Missed {
            name: self.file.name.to_string(),
            miss: Miss::Unfinished {
                why: why.to_owned(),
                there,
                of: self.length(),
            },
        }
    }

    /// The file is not where it was read up to here: looks for the same content once more.
    async fn reopen(&mut self, there: u64) -> Result<(), Failure> {
        self.again += 1;
        let wanted = Read {
            name: self.file.name.to_string(),
            root: Some(self.file.content.root.to_string()),
            from: self.wanted.from.clone(),
            hidden: true,
        };
        let gone = "no peer that is online has it any more";
        let opened = match opening::find(&self.peer, &wanted).await {
            Ok((file, way)) => opening::open(&self.peer, file, way).await,
            Err(not) => Err(not),
        };
        match opened {
            Ok((file, source)) if file.content == self.file.content => {
                self.source = source;
                Ok(())
            }
            Ok(_) => Err(self.unfinished(gone, there)),
            Err(not) => Err(match *not.failure {
                // It was there when it was begun.
                Failure::NobodyShares { .. } => self.unfinished(gone, there),
                failure => failure,
            }),
        }
    }
}

/// Why a source gives no bytes.
enum NotNow {
    Failed(Failure),
    /// The disk does not give them now.
    Unreadable,
    /// They may be somewhere else.
    Elsewhere,
}

impl Source {
    async fn read(&mut self, range: Range<u64>) -> Result<Vec<u8>, NotNow> {
        match self {
            Self::Empty => Ok(Vec::new()),
            Self::Shared(opened) => {
                let opened = Arc::clone(opened);
                let read = read_on_disk(range, move |disk, bytes, at| {
                    opened.read(disk, bytes, at).map_err(io::Error::other)
                });
                read.await.map_err(|error| {
                    let why = error.get_ref().and_then(|why| why.downcast_ref());
                    match why {
                        Some(ReadError::NotNow { .. }) => NotNow::Unreadable,
                        // Another holder may have what it was.
                        _ => NotNow::Elsewhere,
                    }
                })
            }
            Self::Stored(stored) => read_stored(stored, range).await,
            Self::Fetched(reader) => match reader.read(range).await {
                Some(read) => read.map_err(|error| NotNow::Failed(unreadable(&error))),
                // It has arrived in the share, or was given up.
                None => Err(NotNow::Elsewhere),
            },
            Self::Coming(handle, reader) => read_coming(handle, reader, range).await,
        }
    }
}

async fn read_coming(
    handle: &mut Handle,
    reader: &mut Option<TransferReader>,
    range: Range<u64>,
) -> Result<Vec<u8>, NotNow> {
    loop {
        match handle.phase() {
            Phase::Waiting => {}
            Phase::Fetching(transfer) => {
                let reads = reader.get_or_insert_with(|| transfer.reader());
                if let Some(read) = reads.read(range.clone()).await {
                    return read.map_err(|error| NotNow::Failed(unreadable(&error)));
                }
                // That transfer is over, and another one may follow.
                *reader = None;
            }
            Phase::Joined(transfer) => {
                let reader = reader.get_or_insert_with(|| transfer.reader());
                return match reader.read(range).await {
                    Some(read) => read.map_err(|error| NotNow::Failed(unreadable(&error))),
                    // It has arrived in the share, or was given up.
                    None => Err(NotNow::Elsewhere),
                };
            }
            Phase::Stored(stored) => {
                *reader = None;
                return read_stored(&stored, range).await;
            }
            Phase::Failed(failure) => return Err(NotNow::Failed(failure)),
            Phase::Over => return Err(NotNow::Elsewhere),
        }
        handle.changed().await;
    }
}

async fn read_stored(stored: &Arc<Stored>, range: Range<u64>) -> Result<Vec<u8>, NotNow> {
    let stored = Arc::clone(stored);
    let read = read_on_disk(range, move |disk, bytes, at| stored.read(disk, bytes, at));
    read.await
        .map_err(|error| NotNow::Failed(unreadable(&error)))
}

/// Reads the beginning of a range on a thread for the disk.
async fn read_on_disk(
    range: Range<u64>,
    read: impl FnOnce(DiskThread, &mut [u8], u64) -> io::Result<()> + Send + 'static,
) -> io::Result<Vec<u8>> {
    let length = usize::try_from((range.end - range.start).min(READ)).unwrap_or(0);
    let done = thorp_disk::spawn(move |disk| {
        let mut bytes = vec![0; length];
        read(disk, &mut bytes, range.start)?;
        Ok(bytes)
    });
    done.await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// A file in the cache cannot be read.
fn unreadable(error: &io::Error) -> Failure {
    Failure::Unstorable {
        path: PathBuf::new(),
        obstacle: Obstacle::from_io(error),
        room: None,
    }
}

impl From<Failure> for NotRead {
    fn from(failure: Failure) -> Self {
        Self {
            failure: Box::new(failure),
            variants: Vec::new(),
        }
    }
}

//! What BitTorrent clients of version 1 need to know of shared files: the SHA-1 of their pieces,
//! and the info-hash that follows.
//!
//! Owns when a file is hashed for it: in the same read as for its root, where that is not known
//! yet; otherwise in its turn, when clients have come to be served, or when the file has arrived
//! from another peer. Without [`Options::bittorrent`](super::Options::bittorrent) nothing of this
//! is done or kept.

use thorp_disk::DiskThread;
use thorp_wire::layout::Layout;
use thorp_wire::torrent::PieceHasher;
use thorp_wire::torrent::build::{Privacy, v1_info};
use thorp_wire::torrent::info_hash_v1;
use thorp_wire::{Content, Entry, Name};
use tokio::sync::watch;

use super::holding::{ReadError, refusal};
use super::locks::{read, write};
use super::queue::HashError;
use super::shared::{Share, Shared};
use super::table::Record;
use crate::holes::{self, Run};
use crate::stamp::Stamp;

/// The number of bytes read at once for hashing.
const BUFFER: usize = 512 * 1024;

impl Share {
    /// Whether the files are served to BitTorrent clients.
    pub fn serves_clients(&self) -> bool {
        self.shared.options.bittorrent
    }

    /// The files that a user means by a path, or by the last part of one where no path fits.
    /// Links are not among them: they have the torrents of their files.
    pub fn called(&self, text: &str) -> Vec<Name> {
        let index = read(&self.shared.index);
        match text.parse::<Name>() {
            Ok(name) if index.record(&name).is_some() => vec![name],
            _ => index.files_with_base(text),
        }
    }

    /// The folders that a user means by the last part of a path.
    pub fn folders_called(&self, base: &str) -> Vec<String> {
        read(&self.shared.index).folders_with_base(base)
    }

    /// The names of files, and of links to files, beneath a folder; of the whole share, if none is
    /// given.
    pub fn beneath(&self, folder: Option<&str>) -> Vec<Name> {
        let index = read(&self.shared.index);
        let mut names = index.beneath(folder);
        names.retain(|name| index.entry(name).is_some_and(|entry| !entry.partial));
        names
    }

    /// Notes each change of the listing from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.shared.changes.subscribe()
    }

    /// Whether there is a file in the directory, whatever is shared of it.
    pub fn has_file(&self, _: DiskThread, path: &str) -> bool {
        let there = self.shared.dir.metadata(path);
        there.is_ok_and(|there| there.is_file())
    }

    /// Whether there is a folder in the directory, whatever is shared of it.
    pub fn has_folder(&self, _: DiskThread, path: &str) -> bool {
        let there = self.shared.dir.metadata(path);
        there.is_ok_and(|there| there.is_dir())
    }

    /// The entry of a file with its root and the info-hash of its v1 torrent. What is not known
    /// is found out now, before all files that wait in the background.
    pub async fn hash_for_v1(&self, name: &Name) -> Result<Entry, HashError> {
        let gone = || HashError::Gone { name: name.clone() };
        let entry = || read(&self.shared.index).entry(name);
        let known = entry().ok_or_else(gone)?;
        if known.length > 0 && known.v1.is_none() {
            self.shared
                .queue
                .ask(name)
                .await
                .unwrap_or(Err(HashError::Closed))?;
        }
        entry().ok_or_else(gone)
    }

    /// The info dictionary of a v1 torrent of a file. `None` if the info-hash of the private one is
    /// not known yet. If the hashes of the pieces are not in the cache, the whole file is read.
    pub fn v1_info(
        &self,
        _: DiskThread,
        name: &Name,
        privacy: Privacy,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        let shared = &*self.shared;
        let (record, info_hash) = {
            let index = read(&shared.index);
            (index.record(name), index.v1(name))
        };
        let (Some(record), Some(info_hash)) = (record, info_hash) else {
            return Ok(None);
        };
        let content = Content {
            length: record.stamp.length,
            root: record.root.ok_or(ReadError::NotHere)?,
        };
        let info = |pieces: &[[u8; 20]]| {
            let of = |privacy| v1_info(name.base(), content.length, pieces, privacy);
            let private = of(Privacy::Private);
            let is_it = info_hash_v1(&private) == info_hash;
            is_it.then(|| match privacy {
                Privacy::Private => private,
                Privacy::Public => of(privacy),
            })
        };
        let remembered = shared.cache.pieces_v1(name, &record.stamp);
        if let Some(info) = remembered.and_then(|pieces| info(&pieces)) {
            return Ok(Some(info));
        }
        let (file, stamp) = shared.open_as_hashed(name, content)?;
        let mut hasher = PieceHasher::new(Layout::of(content.length).piece_length());
        let read = holes::read(&file, content.length, &mut vec![0; BUFFER], |run| {
            match run {
                Run::Bytes(bytes) => hasher.update(bytes),
                Run::Zeros(number) => hasher.update_zeros(number),
            }
            Ok(true)
        });
        read.map_err(|error| refusal(name, error))?;
        let pieces = hasher.finish();
        let Some(info) = info(&pieces) else {
            shared.distrust(name);
            return Err(ReadError::Changed { name: name.clone() });
        };
        // The stamp may not have been settled when the file was first hashed.
        let kept = shared.cache.keep_v1(name, &stamp, info_hash, &pieces);
        shared.remembered(kept);
        Ok(Some(info))
    }

    /// The hashes of the pieces of a v1 torrent of these files, which are read one after the other.
    /// `go_on` is told how far that has come, and says whether to continue. An error says which
    /// file cannot be read; the result is `None` if the reading was stopped.
    pub fn hash_together(
        &self,
        disk: DiskThread,
        files: &[(Name, Content)],
        piece_length: u32,
        mut go_on: impl FnMut(ReadSoFar) -> bool,
    ) -> Result<Option<Vec<[u8; 20]>>, (Name, ReadError)> {
        let mut hasher = PieceHasher::new(piece_length);
        let mut buffer = vec![0; BUFFER];
        let mut so_far = ReadSoFar::default();
        for (name, content) in files {
            let refused = |error| (name.clone(), error);
            if content.length > 0 {
                let opened = self.open_content(disk, *content).map_err(refused)?;
                let mut offset = 0;
                while offset < content.length {
                    let left = content.length - offset;
                    let now = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
                    let bytes = &mut buffer[..now];
                    opened.read(disk, bytes, offset).map_err(refused)?;
                    hasher.update(bytes);
                    offset += now as u64;
                    so_far.bytes += now as u64;
                    if !go_on(so_far) {
                        return Ok(None);
                    }
                }
            }
            so_far.files += 1;
        }
        Ok(Some(hasher.finish()))
    }
}

/// How far the reading of several files has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadSoFar {
    /// Files that were read to the end.
    pub files: u64,
    /// Bytes that were read.
    pub bytes: u64,
}

impl Shared {
    /// Whether a file is still to be hashed for a v1 torrent. An empty one has none.
    pub(super) fn wants_v1(&self, name: &Name, record: Record) -> bool {
        self.options.bittorrent && record.stamp.length > 0 && read(&self.index).v1(name).is_none()
    }

    /// A file was hashed for a v1 torrent while it had this stamp.
    pub(super) fn on_v1(&self, name: &Name, stamp: &Stamp, content: Content, pieces: &[[u8; 20]]) {
        let info = v1_info(name.base(), content.length, pieces, Privacy::Private);
        let info_hash = info_hash_v1(&info);
        write(&self.index).set_v1(name, *stamp, info_hash);
        self.remembered(self.cache.keep_v1(name, stamp, info_hash, pieces));
    }

    /// Has a file whose root is known hashed in its turn, if that is needed.
    pub(super) fn queue_for_v1(&self, name: &Name) {
        let record = read(&self.index).record(name);
        if let Some(record) = record.filter(|record| self.wants_v1(name, *record)) {
            self.queue.push(name.clone(), record.stamp.length);
        }
    }

    /// Lists what was found out earlier about files whose roots are known. Returns those about
    /// which nothing was.
    pub(super) fn remember_v1(&self, files: Vec<(Name, Stamp)>) -> Vec<(Name, u64)> {
        if !self.options.bittorrent {
            return Vec::new();
        }
        let known = self.cache.info_hashes(&files);
        let mut index = write(&self.index);
        let mut unknown = Vec::new();
        for ((name, stamp), known) in files.into_iter().zip(known) {
            match known {
                Some(info_hash) => index.set_v1(&name, stamp, info_hash),
                None if stamp.length > 0 => unknown.push((name, stamp.length)),
                None => {}
            }
        }
        unknown
    }
}

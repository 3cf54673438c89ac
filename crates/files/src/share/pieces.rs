//! Large files, read in pieces for other peers; and parts of files that are
//! being fetched.
//!
//! Owns the same promise as `serve`: what is handed out is the file that was
//! hashed. Its stamp is compared after each read, so that no byte goes out that
//! was written meanwhile.

use std::io;

use cap_std::fs::{File, FileExt};
use thorp_wire::merkle::{LEAF, LayerHasher};
use thorp_wire::{Content, Name};

use super::holding::{ReadError, refusal};
use super::locks::{read, write};
use super::shared::Share;
use crate::stamp::Stamp;

/// How much is read at once for hashing.
const BUFFER: usize = 16 * LEAF;

/// A file of the share, open to be read in pieces.
pub struct Opened {
    share: Share,
    name: Name,
    file: File,
    stamp: Stamp,
    content: Content,
    layer: Vec<[u8; 32]>,
}

/// Keeps the part of a file listed, until it is dropped.
pub struct Arriving {
    share: Share,
    name: Name,
    /// Another one that is on its way to the same name is listed already.
    listed: bool,
}

impl Share {
    /// Opens a file with this content, under any of its names. Blocks on the
    /// disk; if the hashes of its pieces are not in the cache, until the whole
    /// file is read.
    pub fn open_content(&self, content: Content) -> Result<Opened, ReadError> {
        let open = |name: &Name| self.open_named(name, content);
        self.shared.any_with(content, open)
    }

    /// Lists a file that is being fetched into the share: other peers may ask
    /// for the part of it that is there. The complete file is listed as any
    /// other.
    ///
    /// A name that the share's rules leave out is not listed.
    pub fn arriving(&self, name: &Name, content: Content, mtime: i64) -> Arriving {
        let shared = &*self.shared;
        let listed = shared.lists(name) && write(&shared.index).part(name, content, mtime);
        shared.inbox.poke();
        Arriving {
            share: self.clone(),
            name: name.clone(),
            listed,
        }
    }

    fn open_named(&self, name: &Name, content: Content) -> Result<Opened, ReadError> {
        let shared = &*self.shared;
        let (file, stamp) = shared.open_as_hashed(name, content)?;
        let remembered = shared.cache.layer(name, &stamp, content.root);
        let is_new = remembered.is_none();
        let layer = match remembered {
            Some(layer) => layer,
            None => layer(&file, content).map_err(|error| refusal(name, error))?,
        };
        let opened = Opened {
            share: self.clone(),
            name: name.clone(),
            file,
            stamp,
            content,
            layer,
        };
        opened.check()?;
        if is_new {
            // Its stamp may not have been settled when it was hashed. Without this row,
            // the file would be read whole again for the next peer.
            let kept = shared
                .cache
                .keep(name, &stamp, content.root, opened.layer());
            shared.remembered(kept);
        }
        Ok(opened)
    }
}

impl Opened {
    /// The file's content.
    pub fn content(&self) -> Content {
        self.content
    }

    /// The hash of each of its pieces, in order: of a file of one piece, its root.
    pub fn layer(&self) -> &[[u8; 32]] {
        &self.layer
    }

    /// Reads bytes of the file that was hashed. Blocks on the disk.
    ///
    /// After an error the file is not listed until it has been examined anew.
    /// The caller may open it again, perhaps under another name.
    pub fn read(&self, bytes: &mut [u8], offset: u64) -> Result<(), ReadError> {
        let read = self.file.read_exact_at(bytes, offset);
        let read = read.map_err(|error| refusal(&self.name, error));
        read.and_then(|()| self.check()).inspect_err(|_| {
            self.share.shared.distrust(&self.name);
        })
    }

    /// Whether it is still the listed file.
    fn check(&self) -> Result<(), ReadError> {
        let shared = &*self.share.shared;
        let listed = read(&shared.index).record(&self.name);
        let is_listed = listed.is_some_and(|record| {
            record.stamp == self.stamp && record.root == Some(self.content.root)
        });
        let now = Stamp::of(&self.file).map_err(|error| refusal(&self.name, error))?;
        if is_listed && now == self.stamp {
            return Ok(());
        }
        Err(ReadError::Changed {
            name: self.name.clone(),
        })
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if self.listed {
            let shared = &*self.share.shared;
            write(&shared.index).part_gone(&self.name);
            shared.inbox.poke();
        }
    }
}

/// Computes the hash of each piece from the bytes.
fn layer(file: &File, content: Content) -> io::Result<Vec<[u8; 32]>> {
    let mut hasher = LayerHasher::new(content.length);
    let mut bytes = vec![0; BUFFER];
    while hasher.length() < content.length {
        let left = usize::try_from(content.length - hasher.length()).unwrap_or(BUFFER);
        let some = &mut bytes[..left.min(BUFFER)];
        file.read_exact_at(some, hasher.length())?;
        if !hasher.update(some) {
            break;
        }
    }
    match hasher.finish() {
        Some((found, layer)) if found == content => Ok(layer),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

//! Reads large files in pieces for other peers, and lists parts of files that are being fetched.
//!
//! As in `serve`, the bytes handed out are those of the file that was hashed. The file's stamp is
//! compared after each read, so that no byte written meanwhile goes out. Once the stamp has
//! changed, each piece is hashed before any of it goes out: a file that was only touched, or
//! appended to, can still be served to its old end.

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use cap_std::fs::{File, FileExt};
use thorp_disk::{DiskThread, LetGo};
use thorp_wire::layout::{Layout, Piece};
use thorp_wire::merkle::{Hash, LEAF, LayerHasher, leaf_hashes, piece_hash};
use thorp_wire::{Attributes, Content, Name};

use super::holding::{ReadError, refusal};
use super::locks::{read, write};
use super::shared::Share;
use crate::holes::{self, Run};
use crate::stamp::Stamp;

/// The number of bytes read at once for hashing.
const BUFFER: usize = 16 * LEAF;

/// A file of the share, open to be read in pieces.
pub struct Opened {
    share: Share,
    name: Name,
    file: LetGo<File>,
    stamp: Stamp,
    content: Content,
    layer: Vec<[u8; 32]>,
    /// The number and the bytes of the last piece that was hashed because the file had changed.
    proven: Mutex<Option<(u32, Vec<u8>)>>,
}

/// Keeps the part of a file listed, until it is dropped.
pub struct Arriving {
    share: Share,
    name: Name,
    /// Whether this fetch has listed the part. It has not if another fetch of the same name did
    /// before.
    listed: bool,
}

impl Share {
    /// Opens a file with this content, under any of its names. If the hashes of its pieces are
    /// not in the cache, the whole file is read.
    pub fn open_content(&self, _: DiskThread, content: Content) -> Result<Opened, ReadError> {
        let open = |name: &Name| self.open_named(name, content);
        self.shared.any_with(content, open)
    }

    /// Lists a file that is being fetched into the share, so that other peers may ask for the
    /// part that is there. The complete file is listed as usual.
    ///
    /// A name that the share's rules leave out is not listed.
    pub fn arriving(
        &self,
        _: DiskThread,
        name: &Name,
        content: Content,
        attributes: Attributes,
    ) -> Arriving {
        let shared = &*self.shared;
        let listed = shared.lists(name) && write(&shared.index).part(name, content, attributes);
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
        let is_as_hashed = Stamp::of(&file).is_ok_and(|now| now == stamp);
        let remembered = shared.cache.layer(name, &stamp, content.root);
        let remembered = remembered.or_else(|| shared.held_layer(name, content));
        let is_new = remembered.is_none();
        let layer = match remembered {
            Some(layer) => layer,
            None => layer(&file, content).map_err(|error| refusal(name, error))?,
        };
        let opened = Opened {
            share: self.clone(),
            name: name.clone(),
            file: LetGo::new(file),
            stamp,
            content,
            layer,
            proven: Mutex::default(),
        };
        if is_as_hashed {
            opened.check()?;
        }
        if is_new {
            // The stamp may not have been settled when the file was first hashed. Without this
            // row, the whole file would be read again for the next peer.
            let kept = shared
                .cache
                .keep(name, &stamp, content.root, opened.layer());
            shared.remembered(kept);
        }
        Ok(opened)
    }
}

impl Opened {
    /// Returns the file's content.
    pub fn content(&self) -> Content {
        self.content
    }

    /// Returns the hash of each piece, in order. The hash of a single piece is the root.
    pub fn layer(&self) -> &[[u8; 32]] {
        &self.layer
    }

    /// Reads bytes of the file that was hashed.
    ///
    /// After an error the file is not listed until it has been examined again, unless the disk
    /// may give it later. The caller may open the content again, possibly under another name.
    pub fn read(&self, _: DiskThread, bytes: &mut [u8], offset: u64) -> Result<(), ReadError> {
        let read = self.read_there(bytes, offset);
        let read = read.map_err(|error| refusal(&self.name, error));
        if read.and_then(|()| self.check()).is_ok() {
            return Ok(());
        }
        let read = self.read_proven(bytes, offset);
        read.inspect_err(|why| self.on_refused(why))
    }

    fn read_there(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        if holes::is_hole(&*self.file, offset, bytes.len() as u64)? {
            bytes.fill(0);
            return Ok(());
        }
        self.file.read_exact_at(bytes, offset)
    }

    /// The hashes of a piece's leaves, read anew. A program that writes through a mapping
    /// leaves the stamp as it was for a while: that the piece has changed is noticed here,
    /// when a peer asks what its leaves are, because what it was sent was wrong.
    pub fn leaves(&self, _: DiskThread, piece: Piece) -> Result<Vec<Hash>, ReadError> {
        let read = self.read_piece(piece);
        let read = read.inspect_err(|why| self.on_refused(why));
        read.map(|(_, leaves)| leaves)
    }

    /// If this is what is listed, it is examined anew.
    fn on_refused(&self, why: &ReadError) {
        let shared = &*self.share.shared;
        let listed = read(&shared.index).record(&self.name);
        if listed.is_some_and(|record| record.root == Some(self.content.root)) {
            shared.on_refused(&self.name, why);
        }
    }

    /// A piece that is what it was when it was hashed, and the hashes of its leaves.
    fn read_piece(&self, piece: Piece) -> Result<(Vec<u8>, Vec<Hash>), ReadError> {
        let layout = Layout::of(self.content.length);
        let mut bytes = vec![0; layout.length_of(piece) as usize];
        let read = self.read_there(&mut bytes, layout.begin_of(piece));
        read.map_err(|error| refusal(&self.name, error))?;
        let leaves = leaf_hashes(&bytes);
        let hash = piece_hash(layout, piece, &leaves);
        if hash.is_none() || hash.as_ref() != self.layer.get(piece.number() as usize) {
            let name = self.name.clone();
            return Err(ReadError::Changed { name });
        }
        Ok((bytes, leaves))
    }

    /// Reads bytes of a file that has changed, if the pieces that contain them have not.
    fn read_proven(&self, mut bytes: &mut [u8], mut offset: u64) -> Result<(), ReadError> {
        let changed = || ReadError::Changed {
            name: self.name.clone(),
        };
        // A file that is no longer listed is no longer offered.
        read(&self.share.shared.index)
            .record(&self.name)
            .ok_or_else(changed)?;
        self.share
            .shared
            .inbox
            .examine(Path::new(self.name.as_str()));
        let layout = Layout::of(self.content.length);
        while !bytes.is_empty() {
            let number = offset / u64::from(layout.piece_length());
            let number = u32::try_from(number).map_err(|_| changed())?;
            let piece = layout.piece(number).ok_or_else(changed)?;
            let begin = layout.begin_of(piece);
            let mut proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
            let there = proven.take().filter(|(there, _)| *there == number);
            let there = if let Some((_, there)) = there {
                there
            } else {
                self.read_piece(piece)?.0
            };
            let from = usize::try_from(offset - begin).map_err(|_| changed())?;
            let some = there.len().saturating_sub(from).min(bytes.len());
            if some == 0 {
                return Err(changed());
            }
            let (now, rest) = bytes.split_at_mut(some);
            now.copy_from_slice(&there[from..from + some]);
            (bytes, offset) = (rest, offset + some as u64);
            *proven = Some((number, there));
        }
        Ok(())
    }

    /// Checks that this is still the listed file.
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

/// Computes the hash of each piece from the file's bytes.
fn layer(file: &File, content: Content) -> io::Result<Vec<[u8; 32]>> {
    let mut hasher = LayerHasher::new(content.length);
    holes::read(file, content.length, &mut vec![0; BUFFER], |run| {
        Ok(match run {
            Run::Bytes(bytes) => hasher.update(bytes),
            Run::Zeros(number) => hasher.update_zeros(number),
        })
    })?;
    match hasher.finish() {
        Some((found, layer)) if found == content => Ok(layer),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

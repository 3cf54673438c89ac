//! Large files, read in pieces for others.

use std::io;
use std::os::unix::fs::FileExt;

use cap_std::fs::File;
use thorp_wire::merkle::{LEAF, LayerHasher};
use thorp_wire::session::handshake::name_of;
use thorp_wire::{Content, Name};

use super::hash::open;
use super::serve::ReadError;
use super::{Share, read};
use crate::stamp::Stamp;

/// A file of the share, open to be read in pieces.
pub struct Opened {
    share: Share,
    name: Name,
    file: std::fs::File,
    stamp: Stamp,
    layer: Vec<[u8; 32]>,
}

impl Share {
    /// The contents whose root begins so.
    pub fn contents_named(&self, name: &[u8; 20]) -> Vec<Content> {
        let entries = self.entries().into_iter();
        entries
            .filter_map(|entry| entry.content())
            .filter(|content| name_of(&content.root) == *name)
            .collect()
    }

    /// Opens a file with this content.
    pub fn open_content(&self, content: Content) -> Result<Opened, ReadError> {
        let names: Vec<Name> = read(&self.shared.index).names(content).cloned().collect();
        let name = names.first().ok_or(ReadError::NotHere)?.clone();
        let record = read(&self.shared.index).record(&name);
        let record = record.ok_or(ReadError::NotHere)?;
        let failed = |source| ReadError::Io {
            name: name.clone(),
            source,
        };
        let file = open(&self.shared.dir, &name).map_err(failed)?;
        if Stamp::of(&file).map_err(failed)? != record.stamp {
            self.shared.distrust(&name);
            return Err(ReadError::Changed { name });
        }
        let file = file.into_std();
        let layer = layer(&file, content.length).map_err(failed)?;
        Ok(Opened {
            share: self.clone(),
            name,
            file,
            stamp: record.stamp,
            layer,
        })
    }
}

impl Opened {
    /// The hashes of its pieces; none for a file of one piece.
    pub fn layer(&self) -> &[[u8; 32]] {
        &self.layer
    }

    /// Reads bytes of the file that was hashed.
    pub fn read(&self, bytes: &mut [u8], offset: u64) -> Result<(), ReadError> {
        let read = self.file.read_exact_at(bytes, offset);
        let stamp = self
            .file
            .try_clone()
            .map(File::from_std)
            .and_then(|file| Stamp::of(&file));
        if stamp.is_ok_and(|stamp| stamp == self.stamp) && read.is_ok() {
            return Ok(());
        }
        self.share.shared.distrust(&self.name);
        Err(ReadError::Changed {
            name: self.name.clone(),
        })
    }
}

fn layer(file: &std::fs::File, length: u64) -> io::Result<Vec<[u8; 32]>> {
    let mut hasher = LayerHasher::new(length);
    let mut bytes = vec![0; 16 * LEAF];
    let mut offset = 0;
    while offset < length {
        let some = usize::try_from(length - offset).unwrap_or(usize::MAX);
        let some = &mut bytes[..some.min(16 * LEAF)];
        file.read_exact_at(some, offset)?;
        if !hasher.update(some) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        offset += some.len() as u64;
    }
    let (_, layer) = hasher.finish().ok_or(io::ErrorKind::InvalidData)?;
    Ok(layer)
}

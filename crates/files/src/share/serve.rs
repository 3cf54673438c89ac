//! Small files, read for other peers.
//!
//! Owns the promise that what is handed out is what was listed: it is hashed once
//! more. The receiver verifies it anyway; without this check an honest holder
//! could be taken for a liar. A file that was only touched, or to which something
//! was added behind, still has what was listed.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

use cap_std::fs::File;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use thorp_disk::DiskThread;
use thorp_wire::frame::MAX_INLINE;
use thorp_wire::merkle::Hashed;
use thorp_wire::{Content, Name, merkle};

use super::hash::open;
use super::holding::{ReadError, refusal};
use super::locks::read;
use super::shared::{Share, Shared};
use crate::store::LOOK_EVERY;

/// Small files that are read one right after the other. It is not to be kept for longer.
pub struct ReadBatch<'a> {
    shared: &'a Shared,
    /// When the share was seen in its place last.
    seen: Option<Instant>,
}

impl Share {
    /// Small files are read, one right after the other.
    pub fn reading(&self) -> ReadBatch<'_> {
        ReadBatch {
            shared: &self.shared,
            seen: None,
        }
    }

    /// The bytes of a small file.
    ///
    /// If several names have this content, any of them will do.
    pub fn read(&self, disk: DiskThread, content: Content) -> Result<Vec<u8>, ReadError> {
        self.reading().read(disk, content)
    }
}

impl ReadBatch<'_> {
    /// The bytes of small files, each as [`Share::read`] returns them. They are hashed together.
    pub fn read_all(
        &mut self,
        disk: DiskThread,
        contents: &[Content],
    ) -> Vec<Result<Vec<u8>, ReadError>> {
        let mut all: Vec<_> = contents
            .iter()
            .map(|content| self.begin(*content, Shared::read_listed))
            .collect();
        let read = all.iter().filter_map(|read| read.as_deref().ok());
        let hashed: Vec<Content> = Hashed::all(read).iter().map(Hashed::content).collect();
        let mut hashed = hashed.into_iter();
        for (read, content) in all.iter_mut().zip(contents) {
            if read.is_ok() && hashed.next() != Some(*content) {
                *read = self.read(disk, *content);
            }
        }
        all
    }

    /// The bytes of a small file, as [`Share::read`] returns them.
    pub fn read(&mut self, _: DiskThread, content: Content) -> Result<Vec<u8>, ReadError> {
        self.begin(content, Shared::read_as_hashed)
    }

    /// Reads a small file by one of its names.
    fn begin(
        &mut self,
        content: Content,
        read: impl Fn(&Shared, &Name, Content) -> Result<Vec<u8>, ReadError>,
    ) -> Result<Vec<u8>, ReadError> {
        if content.length > MAX_INLINE {
            return Err(ReadError::TooLarge {
                length: content.length,
            });
        }
        if content == Content::EMPTY {
            return Ok(Vec::new());
        }
        if self.seen.is_none_or(|seen| seen.elapsed() >= LOOK_EVERY) {
            if let Some(why) = self.shared.not_in_place() {
                return Err(why);
            }
            self.seen = Some(Instant::now());
        }
        let by_name = |name: &Name| read(self.shared, name, content);
        match self.shared.any_here(content, by_name) {
            Err(ReadError::NotHere) => self.shared.read_as_before(content),
            read => read,
        }
    }
}

impl Shared {
    /// Reads a file that has this content.
    fn read_as_hashed(&self, name: &Name, content: Content) -> Result<Vec<u8>, ReadError> {
        let bytes = self.read_listed(name, content)?;
        if merkle::content_of(&bytes) != content {
            return Err(ReadError::Changed { name: name.clone() });
        }
        Ok(bytes)
    }

    /// Reads a file that had this content when it was listed.
    fn read_listed(&self, name: &Name, content: Content) -> Result<Vec<u8>, ReadError> {
        let refused = |error| refusal(name, error);
        let changed = || ReadError::Changed { name: name.clone() };
        let listed = read(&self.index).record(name).ok_or(ReadError::NotHere)?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        let (file, now) = open(&self.dir, name).map_err(refused)?;
        if now != listed.stamp {
            self.inbox.examine(Path::new(name.as_str()));
        }
        let length = usize::try_from(content.length).map_err(|_| changed())?;
        first_bytes(&file, length).map_err(refused)
    }

    /// The file has changed since this was asked for, or is being hashed anew: it may
    /// still begin with what it was.
    fn read_as_before(&self, content: Content) -> Result<Vec<u8>, ReadError> {
        let name = read(&self.index).had(content).cloned();
        let name = name.ok_or(ReadError::NotHere)?;
        match self.not_in_place() {
            None => self.read_as_hashed(&name, content),
            Some(why) => Err(why),
        }
    }
}

/// The first bytes of a file, which has so many at least.
fn first_bytes(file: &File, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let room = spare_capacity(&mut bytes);
        match rustix::io::read(file, room) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

//! Small files, read for other peers.
//!
//! Owns the promise that what is handed out is what was listed: it is hashed once
//! more. The receiver verifies it anyway; without this check an honest holder
//! could be taken for a liar. A file that was only touched, or to which something
//! was added behind, still has what was listed.

use std::io::Read;
use std::path::Path;
use std::sync::atomic::Ordering;

use thorp_disk::DiskThread;
use thorp_wire::frame::MAX_INLINE;
use thorp_wire::{Content, Name, merkle};

use super::hash::open;
use super::holding::{ReadError, refusal};
use super::locks::read;
use super::shared::{Share, Shared};
use crate::stamp::Stamp;

impl Share {
    /// The bytes of a small file.
    ///
    /// If several names have this content, any of them will do.
    pub fn read(&self, _: DiskThread, content: Content) -> Result<Vec<u8>, ReadError> {
        if content.length > MAX_INLINE {
            return Err(ReadError::TooLarge {
                length: content.length,
            });
        }
        if content == Content::EMPTY {
            return Ok(Vec::new());
        }
        let read = |name: &Name| self.shared.read_as_hashed(name, content);
        match self.shared.any_with(content, read) {
            Err(ReadError::NotHere) => self.shared.read_as_before(content),
            read => read,
        }
    }
}

impl Shared {
    fn read_as_hashed(&self, name: &Name, content: Content) -> Result<Vec<u8>, ReadError> {
        let refused = |error| refusal(name, error);
        let changed = || ReadError::Changed { name: name.clone() };
        let listed = read(&self.index).record(name).ok_or(ReadError::NotHere)?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        let mut file = open(&self.dir, name).map_err(refused)?;
        if Stamp::of(&file).map_err(refused)? != listed.stamp {
            self.inbox.examine(Path::new(name.as_str()));
        }
        let length = usize::try_from(content.length).map_err(|_| changed())?;
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes).map_err(refused)?;
        if merkle::content_of(&bytes) != content {
            return Err(changed());
        }
        Ok(bytes)
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

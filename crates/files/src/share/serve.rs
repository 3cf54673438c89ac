//! Small files, read for other peers.
//!
//! Owns the promise that what is handed out is the file that was hashed: its
//! stamp is compared before and after. The receiver verifies it anyway; without
//! this check an honest holder could be taken for a liar.

use std::io::Read;

use thorp_wire::frame::MAX_INLINE;
use thorp_wire::{Content, Name};

use super::holding::{ReadError, refusal};
use super::shared::{Share, Shared};
use crate::stamp::Stamp;

impl Share {
    /// The bytes of a small file. Blocks for as long as the disk takes.
    ///
    /// If several names have this content, any of them will do.
    pub fn read(&self, content: Content) -> Result<Vec<u8>, ReadError> {
        if content.length > MAX_INLINE {
            return Err(ReadError::TooLarge {
                length: content.length,
            });
        }
        if content == Content::EMPTY {
            return Ok(Vec::new());
        }
        let read = |name: &Name| self.shared.read_as_hashed(name, content);
        self.shared.any_with(content, read)
    }
}

impl Shared {
    fn read_as_hashed(&self, name: &Name, content: Content) -> Result<Vec<u8>, ReadError> {
        let (mut file, stamp) = self.open_as_hashed(name, content)?;
        let refused = |error| refusal(name, error);
        let changed = || ReadError::Changed { name: name.clone() };
        let length = usize::try_from(content.length).map_err(|_| changed())?;
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes).map_err(refused)?;
        if Stamp::of(&file).map_err(refused)? != stamp {
            return Err(changed());
        }
        Ok(bytes)
    }
}

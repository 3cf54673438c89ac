//! Small files, read for others.
//!
//! Owns the promise that what is handed out is the file that was hashed: its
//! stamp is compared before and after. The receiver verifies it anyway; this is
//! so that an honest holder is not taken for a liar.

use std::io::{self, Read};
use std::path::Path;

use thiserror::Error;
use thorp_wire::frame::MAX_INLINE;
use thorp_wire::{Content, Name};

use super::pieces::refusal;
use super::{Share, Shared, write};
use crate::stamp::Stamp;

/// Why a file cannot be handed out.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It is not in the share (any more).
    #[error("the file is not here any more: ask another holder")]
    NotHere,
    /// It does not fit into one answer.
    #[error("the file has {length} bytes, at most {MAX_INLINE} go inline: open a session")]
    TooLarge {
        /// Its length.
        length: u64,
    },
    /// It is not what was hashed any more; it is being looked at anew.
    #[error("{} has changed since it was listed: ask another holder", name.as_str().escape_debug())]
    Changed {
        /// The file that was meant.
        name: Name,
    },
    /// The file system does not give it.
    #[error("{} cannot be read ({source}): ask another holder", name.as_str().escape_debug())]
    Io {
        /// The file that was meant.
        name: Name,
        /// What the system says.
        source: io::Error,
    },
}

impl Share {
    /// The bytes of a small file. Blocks for as long as the disk takes.
    ///
    /// Where several names have this content, any of them will do.
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

    /// A file's root is no longer to be believed.
    pub(super) fn doubt(&self, name: &Name) {
        if write(&self.index).doubt(name) {
            self.remembered(self.cache.forget(name));
        }
    }

    /// Takes a file's root from the listing and has it looked at anew.
    pub(super) fn distrust(&self, name: &Name) {
        self.doubt(name);
        self.inbox.look(Path::new(name.as_str()));
    }
}

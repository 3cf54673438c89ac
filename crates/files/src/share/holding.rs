//! Opens hashed files for other peers, if they are still what was hashed.
//!
//! Owns the reasons why a file cannot be handed out. A name whose file has
//! changed is examined anew.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use cap_std::fs::File;
use thiserror::Error;
use thorp_wire::frame::MAX_INLINE;
use thorp_wire::{Content, Name};

use super::errors::says_no;
use super::hash::open;
use super::locks::{read, write};
use super::shared::{Place, Shared};
use crate::stamp::Stamp;

/// Why a file cannot be handed out.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It is not in the share (any more).
    #[error("the file is not here any more: ask another holder")]
    NotHere,
    /// The disk does not tell now: whether the share is where it was, or what is in the
    /// file.
    #[error("the disk does not give it now ({source}): ask again")]
    NotNow {
        /// What the system says.
        source: io::Error,
    },
    /// It does not fit into one answer.
    #[error("the file has {length} bytes, at most {MAX_INLINE} go inline: open a session")]
    TooLarge {
        /// Its length.
        length: u64,
    },
    /// It is not what was hashed any more; it is being examined anew.
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

impl Shared {
    /// Tries the files with this content until `take` accepts one, and returns
    /// what `take` made of it. Those that it refuses are examined anew. If the disk does
    /// not give one of them now, the caller is to ask again.
    pub(super) fn any_with<T>(
        &self,
        content: Content,
        take: impl FnMut(&Name) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        match self.not_in_place() {
            None => self.any_here(content, take),
            Some(why) => Err(why),
        }
    }

    /// The same, where the share was seen in its place just now.
    pub(super) fn any_here<T>(
        &self,
        content: Content,
        mut take: impl FnMut(&Name) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let names: Vec<Name> = read(&self.index).names(content).cloned().collect();
        let mut why = ReadError::NotHere;
        for name in names {
            match take(&name) {
                Ok(taken) => return Ok(taken),
                Err(error) => {
                    self.on_refused(&name, &error);
                    if !matches!(why, ReadError::NotNow { .. }) {
                        why = error;
                    }
                }
            }
        }
        Err(why)
    }

    /// Why nothing can be read of it now; `None`, where it is in its place.
    pub(super) fn not_in_place(&self) -> Option<ReadError> {
        let why = match self.place_to_read() {
            Place::Here => return None,
            Place::Elsewhere => ReadError::NotHere,
            Place::Unknown(source) => ReadError::NotNow { source },
        };
        self.inbox.poke();
        Some(why)
    }

    /// Opens the file of that name, if it still is the one that was hashed, or may have
    /// been written to behind that: then its bytes are to be proven.
    pub(super) fn open_as_hashed(
        &self,
        name: &Name,
        content: Content,
    ) -> Result<(File, Stamp), ReadError> {
        let refused = |error| refusal(name, error);
        let Some(record) = read(&self.index).record(name) else {
            return Err(ReadError::NotHere);
        };
        self.opened.fetch_add(1, Ordering::Relaxed);
        let (file, now) = open(&self.dir, name).map_err(refused)?;
        let may_be_same = now == record.stamp || now.may_have_grown_from(&record.stamp);
        if !may_be_same || record.root != Some(content.root) {
            return Err(ReadError::Changed { name: name.clone() });
        }
        Ok((file, record.stamp))
    }

    /// A file's root is no longer to be believed.
    pub(super) fn doubt(&self, name: &Name) {
        if write(&self.index).doubt(name) {
            self.remembered(self.cache.forget(name));
        }
    }

    /// A file could not be handed out.
    pub(super) fn on_refused(&self, name: &Name, why: &ReadError) {
        match why {
            ReadError::NotNow { source } => self.inbox.not_now(name, source),
            _ => self.distrust(name),
        }
    }

    /// Takes a file's root from the listing and has it examined anew.
    pub(super) fn distrust(&self, name: &Name) {
        self.doubt(name);
        self.inbox.examine(Path::new(name.as_str()));
    }
}

/// What an error at opening a hashed file means.
pub(super) fn refusal(name: &Name, source: io::Error) -> ReadError {
    let name = name.clone();
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::UnexpectedEof => {
            ReadError::Changed { name }
        }
        _ if !says_no(&source) => ReadError::NotNow { source },
        _ => ReadError::Io { name, source },
    }
}

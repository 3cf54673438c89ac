//! Where a file's bytes are: in a partial file, or in the share. Those of a torrent are in several
//! files of the share.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thorp_disk::DiskThread;
use thorp_files::share::{Opened, ReadError, Share};
use thorp_files::store::{Partial, StoreError};
use thorp_wire::Content;
use thorp_wire::layout::{Layout, Piece};
use thorp_wire::merkle::{LEAF, leaf_hashes};

use super::kept::KeptBytes;

/// How much is read at once to be hashed.
const READ: usize = 16 * LEAF;

/// See the module. Clones are the same bytes.
#[derive(Clone)]
pub(super) enum FileBytes {
    /// On their way here.
    Partial(Arc<Partial>),
    /// On offer.
    Shared(Arc<Opened>),
    /// Those of a torrent, on offer.
    Kept(Arc<KeptBytes>),
}

impl FileBytes {
    /// The file of the share that has this content, or why there is none.
    pub fn open(
        disk: DiskThread,
        share: &Share,
        content: Content,
    ) -> Result<Arc<Opened>, ReadError> {
        let opened = share.open_content(disk, content).map(Arc::new);
        opened.inspect_err(|error| tracing::debug!(%error, "a file cannot be opened"))
    }

    /// Writes what has arrived.
    pub fn write(&self, disk: DiskThread, bytes: &[u8], offset: u64) -> Result<(), StoreError> {
        match self {
            Self::Partial(partial) => partial.write(disk, bytes, offset),
            // All of it is there: nothing was claimed.
            Self::Shared(_) | Self::Kept(_) => Ok(()),
        }
    }

    /// Reads what is there.
    pub fn read(&self, disk: DiskThread, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::Partial(partial) => partial.read(disk, bytes, offset),
            Self::Shared(opened) => opened.read(disk, bytes, offset).map_err(io::Error::other),
            Self::Kept(kept) => kept.read(disk, bytes, offset),
        }
    }

    /// What an error of a file that is on its way means.
    pub fn failed(&self, error: io::Error) -> StoreError {
        match self {
            Self::Partial(partial) => partial.failed(error),
            Self::Shared(_) | Self::Kept(_) => StoreError::Io {
                path: PathBuf::new(),
                source: error,
            },
        }
    }

    /// The hashes of all leaves of these pieces, in order.
    pub fn leaves(
        &self,
        disk: DiskThread,
        layout: Layout,
        pieces: &[Piece],
    ) -> io::Result<Vec<[u8; 32]>> {
        let mut leaves = Vec::new();
        if let Self::Shared(opened) = self {
            for piece in pieces {
                leaves.extend(opened.leaves(disk, *piece).map_err(io::Error::other)?);
            }
            return Ok(leaves);
        }
        let mut bytes = vec![0; READ];
        for piece in pieces {
            let mut offset = layout.begin_of(*piece);
            let mut left = layout.length_of(*piece) as usize;
            while left > 0 {
                let some = &mut bytes[..left.min(READ)];
                self.read(disk, some, offset)?;
                leaves.extend(leaf_hashes(some));
                offset += some.len() as u64;
                left -= some.len();
            }
        }
        Ok(leaves)
    }
}

/// Whether the disk may give later what it did not give now.
pub(super) fn is_not_now(error: &io::Error) -> bool {
    let why = error.get_ref().and_then(|why| why.downcast_ref());
    matches!(why, Some(ReadError::NotNow { .. }))
}

//! Torrents and magnet links: what a file or a link says of the content that it stands for
//! (BEP 3, 9, 12, 27, 47, 52).
//!
//! ```text
//! info      the info dictionary, of v1, v2 or both (hybrid), as it is read
//! files     the files that it names
//! metainfo  a whole torrent: info dictionary, trackers, piece layers
//! pieces    the hashes of the pieces of v1
//! space     where the bytes of its files are among its pieces
//! proofs    whether the bytes of a piece are the right ones
//! build     torrents of shared files, written
//! magnet    magnet links, read and written
//! ```
//!
//! An info dictionary is kept as it came, and its hash is computed of these bytes: nothing is
//! encoded again. Which names are hidden or reserved, and so are not fetched without being asked
//! for, is left to the caller.

pub mod build;
mod files;
mod info;
mod magnet;
mod metainfo;
mod pieces;
mod proofs;
mod space;

pub use files::TorrentFile;
pub use info::{Info, V1Pieces};
pub use magnet::{Magnet, MagnetError};
pub use metainfo::Torrent;
pub use pieces::PieceHasher;
pub use proofs::PieceProofs;
pub use space::{PieceSpace, SpacePart};

use sha1::Sha1;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::bencode::{NotBencode, Value};
use crate::{InfoHash, InfoHashV2, NameError};

/// The maximum length of a torrent, in bytes: enough for the layer of a file of 16 TiB.
pub const LONGEST_TORRENT: usize = 96 * 1024 * 1024;
/// The maximum number of files of a torrent, including those that only pad.
pub const MOST_FILES: usize = 200_000;
/// The maximum number of trackers that are read of a torrent or a magnet link; those beyond it are
/// ignored.
pub const MOST_TRACKERS: usize = 100;

/// Computes the info-hash of a v1 info dictionary (BEP 3).
pub fn info_hash_v1(info: &[u8]) -> InfoHash {
    InfoHash::new(Sha1::digest(info).into())
}

/// Computes the info-hash of a v2 info dictionary (BEP 52).
pub fn info_hash_v2(info: &[u8]) -> InfoHashV2 {
    InfoHashV2::new(Sha256::digest(info).into())
}

/// Whether clients of a torrent with this info dictionary, which is a right one, get to know of one
/// another from its trackers alone (BEP 27). Costs less than to read all that it says.
pub fn is_private(info: &[u8]) -> bool {
    let info = Value::parse_in_any_order(info).ok();
    let private = info.and_then(|info| info.get("private")?.integer());
    info.is_none() || private == Some(1)
}

/// Why bytes are no torrent that can be fetched. Refuse it with this reason.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TorrentError {
    /// It has more than [`LONGEST_TORRENT`] bytes.
    #[error("a torrent has at most 96 MiB, this one has {0} bytes")]
    TooLong(usize),
    /// It is not bencode.
    #[error("the torrent is {0}")]
    Malformed(#[from] NotBencode),
    /// A key that a torrent must have is missing.
    #[error("the torrent has no `{0}`")]
    Missing(&'static str),
    /// The value of a key is impossible.
    #[error("the torrent has no possible value under `{0}`")]
    Impossible(&'static str),
    /// It is of a later version of BitTorrent.
    #[error("the torrent is of version {0} of BitTorrent, 1 and 2 are known")]
    Version(i64),
    /// Its pieces are too long.
    #[error("the torrent has pieces of {0} bytes, at most 64 MiB can be fetched")]
    PieceTooLong(i64),
    /// Its pieces have a length that BEP 52 does not allow.
    #[error("the torrent has pieces of {0} bytes, a power of two from 16 KiB is needed")]
    PieceLength(u32),
    /// The files are longer than can be fetched, or the pieces are not as many as they need.
    #[error("the torrent has {pieces} pieces where its files need {needed}")]
    Pieces {
        /// How many it has.
        pieces: u64,
        /// How many the files need.
        needed: u64,
    },
    /// It is too large.
    #[error("the torrent has more than {MOST_FILES} files or 2097152 pieces")]
    TooLarge,
    /// It names no file.
    #[error("the torrent names no file")]
    NoFiles,
    /// A name is not UTF-8.
    #[error("the torrent names a file in letters that are not UTF-8")]
    NotUtf8,
    /// A name cannot be that of a file in a share. It must be escaped before it is shown.
    #[error("the torrent names a file {name:?}: {why}")]
    Name {
        /// The name.
        name: String,
        /// Why not.
        why: NameError,
    },
    /// Two files have the same name, or one is in a folder that is another file.
    #[error("the torrent has two files that are in each other's way: {0:?}")]
    Twice(String),
    /// A file is a symbolic link.
    #[error("the torrent has a symbolic link, {0:?}, and these are not fetched")]
    Link(String),
    /// The v1 and the v2 part of a hybrid torrent name different files.
    #[error("the v1 and the v2 part of the torrent do not describe the same files")]
    Halves,
    /// A piece layer is missing or does not lead to the root of its file.
    #[error("the piece layer of {0:?} is missing or does not make its root")]
    Layer(String),
}

//! The info dictionary of a torrent: what the info-hash is computed of.

use super::{LONGEST_TORRENT, TorrentError, TorrentFile, files};
use super::{info_hash_v1, info_hash_v2};
use crate::bencode::Value;
use crate::layout::{LEAF, LONGEST_PIECE, MOST_PIECES};
use crate::{InfoHash, InfoHashV2, Name};

/// An info dictionary, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    raw: Vec<u8>,
    name: Name,
    piece_length: u32,
    private: bool,
    files: Vec<TorrentFile>,
    v1: Option<V1Pieces>,
    v2: Option<InfoHashV2>,
}

/// What is known of the pieces of a v1 torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct V1Pieces {
    /// The info-hash.
    pub info_hash: InfoHash,
    /// The SHA-1 of each piece. Pieces go over the ends of files.
    pub hashes: Vec<[u8; 20]>,
}

impl Info {
    /// Reads an info dictionary: v1, v2 or both.
    pub fn decode(raw: &[u8]) -> Result<Self, TorrentError> {
        if raw.len() > LONGEST_TORRENT {
            return Err(TorrentError::TooLong(raw.len()));
        }
        let info = Value::parse_in_any_order(raw)?;
        if !info.is_dictionary() {
            return Err(TorrentError::Impossible("info"));
        }
        let is_v2 = match info.get("meta version").map(Value::integer) {
            None => false,
            Some(Some(2)) => true,
            Some(version) => return Err(TorrentError::Version(version.unwrap_or(0))),
        };
        let is_v1 = info.get("pieces").is_some();
        let name = files::own_name(info)?;
        let piece_length = piece_length(info)?;
        let mut of_v1 = Vec::new();
        let mut v1 = None;
        if is_v1 || !is_v2 {
            of_v1 = files::of_v1(info, &name)?;
            v1 = Some(V1Pieces {
                info_hash: info_hash_v1(raw),
                hashes: v1_hashes(info, &of_v1, piece_length)?,
            });
        }
        let mut files = of_v1;
        if is_v2 {
            let long_enough = piece_length as usize >= LEAF;
            if !long_enough || !piece_length.is_power_of_two() {
                return Err(TorrentError::PieceLength(piece_length));
            }
            let tree = info.get("file tree");
            let tree = tree.ok_or(TorrentError::Missing("file tree"))?;
            let of_v2 = files::of_v2(tree, &name, piece_length)?;
            check_pieces(&of_v2, piece_length)?;
            files = match v1 {
                Some(_) => both(files, &of_v2)?,
                None => of_v2,
            };
        }
        if files.is_empty() {
            return Err(TorrentError::NoFiles);
        }
        files::check_ways(&files)?;
        Ok(Self {
            name,
            piece_length,
            private: info.get("private").and_then(Value::integer) == Some(1),
            files,
            v1,
            v2: is_v2.then(|| info_hash_v2(raw)),
            raw: raw.to_vec(),
        })
    }

    /// Returns the bytes of the dictionary, as they came.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Returns the name of the only file, or of the folder with all files: one part of a path.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Returns the length of each piece in bytes; in a v1 torrent the last one may be shorter, in a
    /// v2 torrent the last one of each file.
    pub fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// Whether clients get to know of one another from the torrent's trackers alone (BEP 27).
    pub fn is_private(&self) -> bool {
        self.private
    }

    /// Returns the files, in the order of their bytes, with those that only pad.
    pub fn files(&self) -> &[TorrentFile] {
        &self.files
    }

    /// Whether it is a file, and not a folder with one.
    pub fn is_one_file(&self) -> bool {
        matches!(&self.files[..], [file] if file.name == self.name)
    }

    /// Returns the length of all files together in bytes, without those that only pad.
    pub fn length(&self) -> u64 {
        let files = self.files.iter().filter(|file| !file.padding);
        files.map(|file| file.length).sum()
    }

    /// Returns what is known of the pieces of v1, if the torrent is one of v1.
    pub fn v1(&self) -> Option<&V1Pieces> {
        self.v1.as_ref()
    }

    /// Returns the info-hash of v2, if the torrent is one of v2.
    pub fn v2(&self) -> Option<InfoHashV2> {
        self.v2
    }

    /// Returns the info-hashes by which clients name the torrent, that of v1 first.
    pub fn info_hashes(&self) -> impl Iterator<Item = InfoHash> {
        let v1 = self.v1.as_ref().map(|v1| v1.info_hash);
        v1.into_iter().chain(self.v2.map(|v2| v2.truncated()))
    }
}

fn piece_length(info: Value<'_>) -> Result<u32, TorrentError> {
    let length = info.get("piece length");
    let length = length.ok_or(TorrentError::Missing("piece length"))?;
    let length = length.integer().filter(|length| *length > 0);
    let length = length.ok_or(TorrentError::Impossible("piece length"))?;
    u32::try_from(length)
        .ok()
        .filter(|length| *length <= LONGEST_PIECE)
        .ok_or(TorrentError::PieceTooLong(length))
}

fn v1_hashes(
    info: Value<'_>,
    files: &[TorrentFile],
    piece_length: u32,
) -> Result<Vec<[u8; 20]>, TorrentError> {
    let pieces = info.get("pieces").ok_or(TorrentError::Missing("pieces"))?;
    let pieces = pieces.string().ok_or(TorrentError::Impossible("pieces"))?;
    let (hashes, []) = pieces.as_chunks() else {
        return Err(TorrentError::Impossible("pieces"));
    };
    // The offsets were computed without going over 64 bits.
    let end = files.last().map_or(0, |file| file.offset + file.length);
    let needed = end.div_ceil(piece_length.into());
    if hashes.len() as u64 != needed {
        return Err(TorrentError::Pieces {
            pieces: hashes.len() as u64,
            needed,
        });
    }
    if needed > MOST_PIECES.into() {
        return Err(TorrentError::TooLarge);
    }
    Ok(hashes.to_vec())
}

fn check_pieces(files: &[TorrentFile], piece_length: u32) -> Result<(), TorrentError> {
    let pieces = files.iter();
    let pieces = pieces.map(|file| file.length.div_ceil(piece_length.into()));
    // At most as many files as are allowed, each with at most 2^50 pieces.
    let too_many = pieces.sum::<u64>() > MOST_PIECES.into();
    if too_many {
        return Err(TorrentError::TooLarge);
    }
    Ok(())
}

/// Puts the two parts of a hybrid torrent together: the files of v1, which may pad, with the roots
/// of v2.
fn both(
    mut of_v1: Vec<TorrentFile>,
    of_v2: &[TorrentFile],
) -> Result<Vec<TorrentFile>, TorrentError> {
    let mut roots = of_v2.iter();
    for file in of_v1.iter_mut().filter(|file| !file.padding) {
        let same = roots.next().filter(|of_v2| {
            of_v2.name == file.name
                && of_v2.length == file.length
                && (of_v2.offset == file.offset || file.length == 0)
        });
        file.root = same.ok_or(TorrentError::Halves)?.root;
    }
    match roots.next() {
        None => Ok(of_v1),
        Some(_) => Err(TorrentError::Halves),
    }
}

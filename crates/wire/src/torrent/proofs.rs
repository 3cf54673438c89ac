//! Whether the bytes of a torrent's pieces are the right ones.
//!
//! Where a torrent is of v1 and of v2 (hybrid), its pieces are those of v1: their hashes are in the
//! info dictionary itself, so that a magnet link is enough.

use super::{Info, TorrentError};
use crate::Root;
use crate::layout::{Layout, Piece};
use crate::merkle::{self, Hash};

/// The hashes of a torrent's pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PieceProofs(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    V1(Vec<[u8; 20]>),
    V2(Vec<FileProof>),
}

/// The hashes of a file's pieces, in a v2 torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FileProof {
    /// The first of its pieces among those of the torrent.
    first: u32,
    layout: Layout,
    /// The root if the file has one piece.
    layer: Vec<Hash>,
}

impl PieceProofs {
    /// Returns the hashes of a torrent's pieces. `layer` has those of a v2 file of several pieces,
    /// and is asked for nothing else.
    pub fn of<'a>(
        info: &Info,
        layer: impl Fn(&Root) -> Option<&'a [Hash]>,
    ) -> Result<Self, TorrentError> {
        if let Some(v1) = info.v1() {
            return Ok(Self(Kind::V1(v1.hashes.clone())));
        }
        let piece_length = info.piece_length();
        let mut files = Vec::new();
        let mut first = 0u32;
        for file in info.files().iter().filter(|file| file.length > 0) {
            let layout = Layout::cut(file.length, piece_length);
            let layout = layout.ok_or(TorrentError::PieceLength(piece_length))?;
            let pieces = layout.pieces().ok_or(TorrentError::TooLarge)?;
            let missing = || TorrentError::Layer(file.name.to_string());
            let root = file.root.ok_or_else(missing)?;
            let layer = match pieces {
                1 => vec![*root.as_bytes()],
                _ => layer(&root).ok_or_else(missing)?.to_vec(),
            };
            if layer.len() != pieces as usize {
                return Err(missing());
            }
            files.push(FileProof {
                first,
                layout,
                layer,
            });
            let next = first.checked_add(pieces);
            first = next.ok_or(TorrentError::TooLarge)?;
        }
        Ok(Self(Kind::V2(files)))
    }

    /// Whether a piece is proven by the hashes of its leaves (BEP 52), not by its bytes.
    pub fn are_of_leaves(&self) -> bool {
        matches!(self.0, Kind::V2(_))
    }

    /// Whether a piece that has leaves of these hashes is right. `false` if it is
    /// [proven by its bytes](Self::are_of_leaves).
    pub fn is_proven_by_leaves(&self, piece: u32, leaves: &[Hash]) -> bool {
        let Kind::V2(files) = &self.0 else {
            return false;
        };
        let before = files.partition_point(|file| file.first <= piece);
        let file = before.checked_sub(1).and_then(|at| files.get(at));
        let proven = file.and_then(|file| {
            let number = piece - file.first;
            let own: Piece = file.layout.piece(number)?;
            let hash = merkle::piece_hash(file.layout, own, leaves)?;
            Some(file.layer.get(number as usize) == Some(&hash))
        });
        proven.unwrap_or(false)
    }

    /// Whether a piece whose bytes have this SHA-1 is right. `false` if it is
    /// [proven by its leaves](Self::are_of_leaves).
    pub fn is_proven_by(&self, piece: u32, sha1: &[u8; 20]) -> bool {
        match &self.0 {
            Kind::V1(hashes) => hashes.get(piece as usize) == Some(sha1),
            Kind::V2(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::LEAF;

    #[test]
    fn each_piece_of_a_v2_torrent_is_proven_by_its_leaves_and_by_no_others() {
        let long: Vec<u8> = (0..251u8).cycle().take(5 * LEAF / 2).collect();
        let short = vec![7; 100];
        let (layer, contents) = {
            let leaves = merkle::leaf_hashes(&long);
            let layout = Layout::cut(long.len() as u64, 32 * 1024).unwrap();
            let pieces = [&leaves[..2], &leaves[2..]];
            let layer: Vec<Hash> = (0..2)
                .map(|at| {
                    let piece = layout.piece(at).unwrap();
                    merkle::piece_hash(layout, piece, pieces[at as usize]).unwrap()
                })
                .collect();
            (
                layer,
                [merkle::content_of(&long), merkle::content_of(&short)],
            )
        };
        let mut raw = b"d9:file treed".to_vec();
        for (name, content) in ["a", "b"].iter().zip(&contents) {
            let length = content.length;
            raw.extend(format!("1:{name}d0:d6:lengthi{length}e11:pieces root32:").into_bytes());
            raw.extend(content.root.as_bytes());
            raw.extend(b"ee");
        }
        raw.extend(b"e12:meta versioni2e4:name1:n12:piece lengthi32768ee");
        let info = Info::decode(&raw).unwrap();
        let missing = PieceProofs::of(&info, |_| None);
        assert_eq!(missing, Err(TorrentError::Layer("n/a".into())));
        let proofs = PieceProofs::of(&info, |_| Some(&layer[..])).unwrap();
        assert!(proofs.are_of_leaves());
        let leaves = |bytes: &[u8]| merkle::leaf_hashes(bytes);
        let pieces = [&long[..2 * LEAF], &long[2 * LEAF..], &short[..]];
        for number in 0..3u32 {
            for (of, bytes) in (0..).zip(pieces) {
                let proven = proofs.is_proven_by_leaves(number, &leaves(bytes));
                assert_eq!(proven, number == of, "{number} by {of}");
            }
        }
        assert!(!proofs.is_proven_by_leaves(3, &leaves(&short)));
        assert!(!proofs.is_proven_by(0, &[0; 20]));
    }
}

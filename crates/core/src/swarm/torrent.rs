//! A torrent's bytes in place of a file's: its pieces are verified as a whole.
//!
//! Owns which pieces are being hashed. A v1 piece has no leaves of which each could be verified
//! (BEP 3), and of a v2 piece it is no use to know them, since clients are not asked for hashes: so
//! a piece is hashed from the disk once all of it is there. Of one that is wrong, the only source
//! is to blame; of several, none is, and the piece is fetched again from one of them alone.

use std::collections::{BTreeMap, BTreeSet};

use thorp_wire::layout::Piece;
use thorp_wire::torrent::PieceSpace;
use thorp_wire::{Content, Root};

use crate::time::Instant;

use super::bits::Bits;
use super::hashes::Hashes;
use super::io::{Output, TorrentConfig};
use super::pieces::Pieces;
use super::{Swarm, Unfit};

/// The pieces that are being hashed.
#[derive(Debug, Default)]
pub struct PieceHashing {
    /// Whether some of a piece was written again since its hashing was begun: what comes of that
    /// says nothing of what is on disk now.
    hashing: BTreeMap<u32, bool>,
}

impl Swarm {
    /// Creates the swarm of a torrent of which some files are to be fetched.
    pub fn of_torrent(now: Instant, config: TorrentConfig) -> Result<Self, Unfit> {
        let layout = config.space.layout();
        let number = layout.pieces().ok_or(Unfit::TooLong)?;
        if number == 0 {
            return Err(Unfit::Empty);
        }
        let wanted = wanted_of(&config.space, &config.files, number);
        let unwanted: Vec<u32> = (0..number).filter(|piece| !wanted.has(*piece)).collect();
        let pieces = Pieces::of_torrent(config.space, number, wanted);
        // No hash is asked for: there is nothing that this could be the root of.
        let content = Content {
            length: layout.length(),
            root: Root::EMPTY,
        };
        let none = Hashes::unknown(Content::EMPTY);
        let mut swarm = Self::about(
            now,
            (content, layout),
            (pieces, none),
            (config.me, config.seed, config.limits),
        );
        for piece in unwanted {
            swarm.picker.take(piece);
        }
        swarm.torrent = Some(PieceHashing::default());
        Ok(swarm)
    }

    /// All of a piece is written.
    pub(super) fn hash_piece(&mut self, piece: Piece) {
        let Some(torrent) = &mut self.torrent else {
            return;
        };
        if let Some(was_written) = torrent.hashing.get_mut(&piece.number()) {
            *was_written = true;
            return;
        }
        torrent.hashing.insert(piece.number(), false);
        self.outputs.push_back(Output::HashPiece(piece));
    }

    /// An earlier fetch has left a piece, and it is right. A client that has called may be asked
    /// for it already: then what it sends is hashed.
    pub(super) fn on_piece_left(&mut self, piece: Piece) {
        if self.torrent.is_some() && !self.pieces.is_begun(piece.number()) {
            self.take_as_it_is(piece);
        }
    }

    /// A piece was hashed after all of it has come.
    pub(super) fn on_piece_hashed(&mut self, now: Instant, piece: Piece, is_right: bool) {
        let Some(torrent) = &mut self.torrent else {
            return;
        };
        let Some(was_written) = torrent.hashing.remove(&piece.number()) else {
            return;
        };
        // If a part of it was dropped meanwhile, it is hashed when that has come again.
        if self.pieces.is_there(piece.number()) {
            if was_written {
                self.hash_piece(piece);
            } else {
                self.judged(now, piece, is_right);
            }
        }
    }
}

/// The pieces that have bytes of these files.
fn wanted_of(space: &PieceSpace, files: &BTreeSet<usize>, number: u32) -> Bits {
    let mut wanted = Bits::none(number);
    for file in files {
        for piece in space.pieces_of(*file) {
            wanted.insert(piece);
        }
    }
    wanted
}

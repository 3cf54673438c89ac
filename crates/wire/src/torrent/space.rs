//! Where the bytes of a torrent's files are among its pieces.
//!
//! The pieces of a torrent are cut from the bytes of all its files, which follow one another. In a
//! v2 torrent each file begins with a piece; the bytes between two files are nobody's there, and
//! those of files that only pad (BEP 47) are zeros.

use std::ops::Range;

use super::{Info, TorrentError};
use crate::layout::{Layout, Piece};

/// The bytes of all files of a torrent, cut into pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PieceSpace {
    layout: Layout,
    /// Files that have bytes and do not pad, in the order of their bytes.
    stretches: Vec<Stretch>,
    /// Pieces at whose end is padding, and how many bytes are before it.
    short: Vec<(u32, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    /// Its number among the torrent's files.
    file: usize,
    offset: u64,
    length: u64,
}

/// A run of bytes that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpacePart {
    /// The file that has them, by its number among the torrent's [files](Info::files). `None` if
    /// they pad and so are zeros.
    pub file: Option<usize>,
    /// Where they begin in that file; among the bytes of all pieces if they pad.
    pub begin: u64,
    /// How many they are, at least one.
    pub length: u64,
}

impl PieceSpace {
    /// Returns the piece space of this torrent.
    pub fn of(info: &Info) -> Result<Self, TorrentError> {
        let piece_length = info.piece_length();
        let mut stretches = Vec::new();
        let mut length = 0;
        for (file, listed) in info.files().iter().enumerate() {
            // Those of v1 pad to the very end.
            length = length.max(listed.offset.saturating_add(listed.length));
            if listed.length > 0 && !listed.padding {
                stretches.push(Stretch {
                    file,
                    offset: listed.offset,
                    length: listed.length,
                });
            }
        }
        let layout = match info.v1() {
            Some(_) => Layout::cut_anyhow(length, piece_length),
            None => Layout::cut(length, piece_length),
        };
        let layout = layout.ok_or(TorrentError::PieceLength(piece_length))?;
        if layout.pieces().is_none() {
            return Err(TorrentError::TooLarge);
        }
        let short = short_pieces(layout, &stretches);
        Ok(Self {
            layout,
            stretches,
            short,
        })
    }

    /// Returns how the bytes are cut, with those that pad.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Returns how many bytes of a piece are worth asking for: not those that pad at its end,
    /// which clients have in no file and some refuse to send.
    pub fn asked_length_of(&self, piece: Piece) -> u32 {
        let short = self
            .short
            .binary_search_by_key(&piece.number(), |(number, _)| *number);
        match short.ok().and_then(|at| self.short.get(at)) {
            Some((_, length)) => *length,
            None => self.layout.length_of(piece),
        }
    }

    /// Returns the pieces that have bytes of this file; none if it is empty or pads.
    #[expect(clippy::cast_possible_truncation, reason = "at most 2^21 pieces")]
    pub fn pieces_of(&self, file: usize) -> Range<u32> {
        let at = self.stretches.binary_search_by_key(&file, |own| own.file);
        let Some(own) = at.ok().and_then(|at| self.stretches.get(at)) else {
            return 0..0;
        };
        let piece_length = u64::from(self.layout.piece_length());
        let first = own.offset / piece_length;
        let end = (own.offset + own.length).div_ceil(piece_length);
        first as u32..end as u32
    }

    /// Returns to which files so many bytes from `begin` on belong, in order. What is beyond the
    /// end is left out.
    pub fn parts(&self, begin: u64, length: u64) -> impl Iterator<Item = SpacePart> + '_ {
        let end = begin.saturating_add(length).min(self.layout.length());
        let mut next = self
            .stretches
            .partition_point(|stretch| stretch.offset + stretch.length <= begin);
        let mut at = begin;
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let part = match self.stretches.get(next) {
                Some(stretch) if stretch.offset <= at => {
                    next += 1;
                    SpacePart {
                        file: Some(stretch.file),
                        begin: at - stretch.offset,
                        length: end.min(stretch.offset + stretch.length) - at,
                    }
                }
                following => SpacePart {
                    file: None,
                    begin: at,
                    length: following.map_or(end, |stretch| stretch.offset.min(end)) - at,
                },
            };
            at += part.length;
            Some(part)
        })
    }
}

/// Padding in the middle of a piece is asked for: it must come from somewhere.
#[expect(clippy::cast_possible_truncation, reason = "inside a piece")]
fn short_pieces(layout: Layout, stretches: &[Stretch]) -> Vec<(u32, u32)> {
    let mut short = Vec::new();
    let piece_length = u64::from(layout.piece_length());
    for (at, stretch) in stretches.iter().enumerate() {
        let end = stretch.offset + stretch.length;
        let number = (end - 1) / piece_length;
        let begin = number * piece_length;
        let piece_end = (begin + piece_length).min(layout.length());
        let next = stretches.get(at + 1).map_or(piece_end, |next| next.offset);
        if end < piece_end && next >= piece_end {
            short.push((number as u32, (end - begin) as u32));
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A v1 torrent with files of these lengths; those that pad are negative.
    fn v1(piece_length: u32, lengths: &[i64]) -> PieceSpace {
        let mut files = Vec::new();
        for (at, length) in lengths.iter().enumerate() {
            let attr = if *length < 0 { "4:attr1:p" } else { "" };
            let name = format!("f{at:03}");
            let length = length.abs();
            files.extend(format!("d{attr}6:lengthi{length}e4:pathl4:{name}ee").into_bytes());
        }
        let total: u64 = lengths.iter().map(|length| length.unsigned_abs()).sum();
        let pieces = total.div_ceil(piece_length.into()) * 20;
        let mut raw = b"d5:filesl".to_vec();
        raw.extend(files);
        raw.extend(format!("e4:name1:n12:piece lengthi{piece_length}e").into_bytes());
        raw.extend(format!("6:pieces{pieces}:").into_bytes());
        raw.extend(vec![7; usize::try_from(pieces).unwrap()]);
        raw.push(b'e');
        PieceSpace::of(&Info::decode(&raw).unwrap()).unwrap()
    }

    fn parts(space: &PieceSpace, begin: u64, length: u64) -> Vec<(Option<usize>, u64, u64)> {
        let parts = space.parts(begin, length);
        parts
            .map(|part| (part.file, part.begin, part.length))
            .collect()
    }

    fn asked(space: &PieceSpace) -> Vec<u32> {
        let layout = space.layout();
        let all = 0..layout.pieces().unwrap();
        all.map(|number| space.asked_length_of(layout.piece(number).unwrap()))
            .collect()
    }

    #[test]
    fn a_span_belongs_to_the_files_that_it_goes_over() {
        let space = v1(10, &[7, 0, 5, 20]);
        assert_eq!(space.layout().pieces(), Some(4));
        assert_eq!(parts(&space, 0, 3), [(Some(0), 0, 3)]);
        assert_eq!(
            parts(&space, 5, 10),
            [(Some(0), 5, 2), (Some(2), 0, 5), (Some(3), 0, 3)]
        );
        assert_eq!(parts(&space, 30, 99), [(Some(3), 18, 2)]);
        assert_eq!(parts(&space, 32, 1), []);
        assert_eq!(space.pieces_of(0), 0..1);
        assert_eq!(space.pieces_of(1), 0..0);
        assert_eq!(space.pieces_of(2), 0..2);
        assert_eq!(space.pieces_of(3), 1..4);
    }

    #[test]
    fn padding_at_the_end_of_a_piece_is_not_asked_for_and_padding_within_one_is() {
        let space = v1(10, &[7, -3, 12, -8, 4, -6]);
        assert_eq!(asked(&space), [7, 10, 2, 4]);
        assert_eq!(
            parts(&space, 5, 8),
            [(Some(0), 5, 2), (None, 7, 3), (Some(2), 0, 3)]
        );
        assert_eq!(parts(&space, 36, 99), [(None, 36, 4)]);
        assert_eq!(asked(&v1(10, &[3, -2, 9])), [10, 4]);
        // A piece of nothing but padding has to be asked for: what is in it is not known.
        assert_eq!(asked(&v1(10, &[3, -17, 1])), [3, 10, 1]);
    }

    #[test]
    fn the_files_of_a_v2_torrent_begin_with_pieces() {
        let mut raw = b"d9:file tree".to_vec();
        let mut tree = Vec::new();
        for (name, length) in [("a", 20_000), ("b", 16_384), ("c", 5)] {
            tree.extend(format!("1:{name}d0:d6:lengthi{length}e11:pieces root32:").into_bytes());
            tree.extend([9; 32]);
            tree.extend(b"ee");
        }
        raw.push(b'd');
        raw.extend(tree);
        raw.extend(b"e12:meta versioni2e4:name1:n12:piece lengthi16384ee");
        let space = PieceSpace::of(&Info::decode(&raw).unwrap()).unwrap();
        assert_eq!(asked(&space), [16_384, 3616, 16_384, 5]);
        assert_eq!(
            parts(&space, 19_000, 14_000),
            [
                (Some(0), 19_000, 1000),
                (None, 20_000, 12_768),
                (Some(1), 0, 232)
            ]
        );
        assert_eq!(space.pieces_of(1), 2..3);
    }

    proptest::proptest! {
        #[test]
        fn the_parts_of_any_span_are_all_its_bytes_each_where_it_belongs(
            lengths in proptest::collection::vec(-40i64..40, 1..8),
            piece_length in 1u32..50,
            begin in 0usize..200,
            length in 0usize..200,
        ) {
            proptest::prop_assume!(lengths.iter().any(|length| *length != 0));
            let space = v1(piece_length, &lengths);
            let mut owners = Vec::new();
            for (file, length) in lengths.iter().enumerate() {
                for at in 0..length.unsigned_abs() {
                    let own = (*length > 0).then_some((file, at));
                    owners.push(own);
                }
            }
            let mut found = Vec::new();
            for part in space.parts(begin as u64, length as u64) {
                proptest::prop_assert!(part.length > 0);
                for at in part.begin..part.begin + part.length {
                    found.push(part.file.map(|file| (file, at)));
                }
            }
            let expected = owners.iter().skip(begin).take(length);
            proptest::prop_assert!(found.iter().eq(expected));
            // What is not asked for pads.
            for number in 0..space.layout().pieces().unwrap_or(0) {
                let piece = space.layout().piece(number).unwrap();
                let (begin, asked) = (space.layout().begin_of(piece), space.asked_length_of(piece));
                let end = begin + u64::from(space.layout().length_of(piece));
                proptest::prop_assert!(asked > 0);
                let rest = begin + u64::from(asked);
                let parts = space.parts(rest, end - rest).collect::<Vec<_>>();
                proptest::prop_assert!(parts.iter().all(|part| part.file.is_none()));
            }
        }
    }
}

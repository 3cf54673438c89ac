//! Which pieces are verified, and the state of each piece under way.
//!
//! Owns, for every leaf of a piece under way, whether it is present, its hash, which source sent
//! it, and how many sources were asked for it. Does not decide which session to ask; it is told
//! what was asked, claimed and written.

mod right;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use thorp_wire::layout::{Block, Layout, Piece};
use thorp_wire::merkle::LEAF;
use thorp_wire::torrent::PieceSpace;

use crate::time::Instant;

use super::bits::Bits;
use super::io::{SessionId, SourceId};

/// The length of a leaf in bytes, in the type of lengths on the wire.
#[expect(clippy::cast_possible_truncation, reason = "16 KiB")]
pub const LEAF_LENGTH: u32 = LEAF as u32;

/// The pieces of a file.
///
/// Invariant: a piece is in `had`, in `begun`, or in neither. `open` contains the begun pieces
/// that are not in doubt and have a leaf that is neither present nor asked for.
#[derive(Debug)]
pub struct Pieces {
    layout: Layout,
    /// Of a torrent: where only padding is, which is not asked for.
    space: Option<Arc<PieceSpace>>,
    count: u32,
    had: Bits,
    /// The pieces that are fetched: of a torrent perhaps not all.
    wanted: Bits,
    /// How many of these are not verified.
    lacking: u32,
    verified: u64,
    begun: BTreeMap<u32, Begun>,
    open: BTreeSet<u32>,
}

/// A piece under way: some of its leaves were asked for.
#[derive(Debug)]
struct Begun {
    leaves: Vec<Leaf>,
    /// The number of leaves that are neither present nor asked for.
    open: usize,
    /// The number of leaves that are not present.
    absent: usize,
    /// The sources that sent leaves of this piece; leaves refer to them by index.
    senders: Vec<SourceId>,
    /// The session that works on this piece first.
    owner: Option<SessionId>,
    /// When the owner took the piece on from another session.
    since: Option<Instant>,
    /// Whether only the owner may work on it.
    alone: bool,
    /// All leaves are present but do not make the piece: which of them are wrong is being found
    /// out.
    doubted: bool,
    /// The right hashes of its leaves, if they are known. A leaf that is present is right then.
    right: Option<Vec<[u8; 32]>>,
}

#[derive(Clone, Copy, Debug)]
struct Leaf {
    state: LeafState,
    /// How many sources were asked for it.
    asked: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LeafState {
    Absent,
    /// The bytes from a session are being written.
    Claimed,
    There {
        hash: [u8; 32],
        sender: u16,
    },
}

/// The result of verifying a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The piece has the expected hash; so many bytes of it came from each of these sources.
    Good(Vec<(SourceId, u32)>),
    /// The piece is wrong; these sources sent leaves of it.
    Bad(Vec<SourceId>),
}

impl Pieces {
    /// Creates the state of a file of which all pieces are verified, or none.
    pub fn new(layout: Layout, count: u32, everything: bool) -> Self {
        Self {
            layout,
            space: None,
            count,
            wanted: Bits::all(count),
            lacking: if everything { 0 } else { count },
            had: if everything {
                Bits::all(count)
            } else {
                Bits::none(count)
            },
            verified: if everything { layout.length() } else { 0 },
            begun: BTreeMap::new(),
            open: BTreeSet::new(),
        }
    }

    /// Creates the state of a torrent of which these pieces are wanted and none is verified.
    pub fn of_torrent(space: Arc<PieceSpace>, count: u32, wanted: Bits) -> Self {
        let mut pieces = Self::new(space.layout(), count, false);
        pieces.lacking = wanted.count();
        pieces.wanted = wanted;
        pieces.space = Some(space);
        pieces
    }

    /// Whether a piece is to be fetched: wanted, and not verified.
    pub fn lacks(&self, piece: u32) -> bool {
        self.wanted.has(piece) && !self.had.has(piece)
    }

    /// Returns the number of bytes that are still to be fetched.
    pub fn to_come(&self) -> u64 {
        let lacking = self.wanted.iter().filter(|piece| !self.had.has(*piece));
        let lacking = lacking.filter_map(|piece| self.layout.piece(piece));
        lacking.map(|piece| u64::from(self.length_of(piece))).sum()
    }

    /// Returns how many bytes of a piece are asked for.
    fn length_of(&self, piece: Piece) -> u32 {
        match &self.space {
            Some(space) => space.asked_length_of(piece),
            None => self.layout.length_of(piece),
        }
    }

    /// Returns the verified pieces.
    pub fn had(&self) -> &Bits {
        &self.had
    }

    /// Returns the number of verified bytes.
    pub fn verified(&self) -> u64 {
        self.verified
    }

    /// Whether all pieces that are wanted are verified.
    pub fn is_complete(&self) -> bool {
        self.lacking == 0
    }

    /// Returns the number of pieces under way.
    pub fn begun(&self) -> usize {
        self.begun.len()
    }

    /// Whether a piece is under way: asked for in part, and not verified.
    pub fn is_begun(&self, piece: u32) -> bool {
        self.begun.contains_key(&piece)
    }

    /// Returns the pieces under way that have leaves to ask for, with the session that owns each.
    pub fn open(&self) -> impl Iterator<Item = (u32, Option<SessionId>)> + '_ {
        let owner = |piece: &u32| self.begun.get(piece).and_then(|begun| begun.owner);
        self.open.iter().map(move |piece| (*piece, owner(piece)))
    }

    /// Begins a piece, owned by a session.
    pub fn begin(&mut self, piece: Piece, owner: SessionId) {
        let leaves = self.length_of(piece).div_ceil(LEAF_LENGTH) as usize;
        if self.had.has(piece.number()) || self.is_begun(piece.number()) {
            return;
        }
        let leaf = Leaf {
            state: LeafState::Absent,
            asked: 0,
        };
        let begun = Begun {
            leaves: vec![leaf; leaves],
            open: leaves,
            absent: leaves,
            senders: Vec::new(),
            owner: Some(owner),
            since: None,
            alone: false,
            doubted: false,
            right: None,
        };
        self.begun.insert(piece.number(), begun);
        self.open.insert(piece.number());
    }

    /// Makes a session the owner of a piece that has none. Returns whether the session may ask for
    /// bytes of it.
    pub fn adopt(&mut self, now: Instant, piece: u32, by: SessionId) -> bool {
        let Some(begun) = self.begun.get_mut(&piece) else {
            return false;
        };
        if let Some(owner) = begun.owner {
            return !begun.alone || owner == by;
        }
        begun.owner = Some(by);
        begun.since = Some(now);
        if begun.alone {
            // Leaves from the previous owner must not be mixed with the new ones.
            begun.forget_all();
            self.settle(piece);
        }
        true
    }

    /// Returns the pieces that must come from one session alone, with that session and when it
    /// took each one on.
    pub fn alone(&self) -> impl Iterator<Item = (u32, SessionId, Instant)> + '_ {
        let alone = self.begun.iter().filter(|(_, begun)| begun.alone);
        alone.filter_map(|(piece, begun)| Some((*piece, begun.owner?, begun.since?)))
    }

    /// Removes a session as the owner of a piece.
    pub fn abandon(&mut self, piece: u32, by: SessionId) {
        if let Some(begun) = self.begun.get_mut(&piece)
            && begun.owner == Some(by)
        {
            begun.owner = None;
        }
    }

    /// Whether a session may help the owner of a piece.
    pub fn may_share(&self, piece: u32, with: SessionId) -> bool {
        let begun = self.begun.get(&piece);
        begun.is_some_and(|begun| !begun.alone || begun.owner == Some(with))
    }

    /// Records that the owner has asked for all open leaves of a piece, so that it owns the piece
    /// no longer. A piece that must come from one session alone stays with it.
    pub fn all_asked(&mut self, piece: u32, by: SessionId) {
        if let Some(begun) = self.begun.get_mut(&piece)
            && begun.owner == Some(by)
            && !begun.alone
        {
            begun.owner = None;
        }
    }

    /// Removes a session as the owner of all its pieces.
    pub fn abandon_all(&mut self, by: SessionId) {
        for begun in self.begun.values_mut() {
            if begun.owner == Some(by) {
                begun.owner = None;
            }
        }
    }

    /// Returns at most `longest` of the next bytes of a piece that are neither present nor asked
    /// for and that `may` be asked for, and counts them as asked.
    pub fn ask_next(
        &mut self,
        piece: u32,
        longest: u32,
        may: impl Fn(Block) -> bool,
    ) -> Option<Block> {
        let begun = self.begun.get(&piece).filter(|begun| !begun.doubted)?;
        let most = (longest / LEAF_LENGTH).max(1) as usize;
        let run = |first: usize, is_free: &dyn Fn(usize) -> bool| {
            let leaves = begun.leaves.iter().enumerate().skip(first).take(most);
            let free = leaves.take_while(|(at, leaf)| leaf.is_open() && is_free(*at));
            self.block(piece, first, free.count())
        };
        let first = begun.leaves.iter().position(Leaf::is_open)?;
        let block = run(first, &|_| true).filter(|block| may(*block));
        let block = block.or_else(|| {
            // Some of these may not: the next ones that may, leaf by leaf.
            let may_one = |at| self.block(piece, at, 1).is_some_and(&may);
            let mut open = (first..begun.leaves.len()).filter(|at| begun.leaves[*at].is_open());
            let first = open.find(|at| may_one(*at))?;
            run(first, &may_one)
        })?;
        self.ask(block);
        Some(block)
    }

    /// Counts one more source as asked for these bytes.
    pub fn ask(&mut self, block: Block) {
        self.each(block, |leaf| leaf.asked = leaf.asked.saturating_add(1));
    }

    /// Counts one source less as asked for these bytes.
    pub fn release(&mut self, block: Block) {
        self.each(block, |leaf| leaf.asked = leaf.asked.saturating_sub(1));
    }

    /// Whether some of these bytes are neither present nor being written.
    pub fn wants(&self, block: Block) -> bool {
        self.leaves(block)
            .is_some_and(|leaves| leaves.iter().any(|leaf| leaf.state == LeafState::Absent))
    }

    /// Returns the largest number of sources asked for any leaf of this block.
    pub fn asked_of(&self, block: Block) -> u8 {
        let leaves = self.leaves(block).unwrap_or_default();
        leaves.iter().map(|leaf| leaf.asked).max().unwrap_or(0)
    }

    /// Claims these bytes for one session to write. Returns whether it may write them. No other
    /// session may until they are [written](Self::on_block_written) or [unclaimed](Self::unclaim).
    pub fn claim(&mut self, block: Block) -> bool {
        let Some(leaves) = self.leaves(block) else {
            return false;
        };
        let taken = leaves.iter().any(|leaf| leaf.state == LeafState::Claimed);
        if taken || !self.wants(block) {
            return false;
        }
        self.each(block, |leaf| leaf.state = LeafState::Claimed);
        true
    }

    /// Releases claimed bytes that were not written, or possibly not.
    pub fn unclaim(&mut self, block: Block) {
        self.each(block, |leaf| {
            if leaf.state == LeafState::Claimed {
                leaf.state = LeafState::Absent;
            }
        });
    }

    /// Records that claimed bytes are written. Returns whether all leaves of the piece are present
    /// now.
    pub fn on_block_written(&mut self, block: Block, hashes: &[[u8; 32]], from: SourceId) -> bool {
        let number = block.piece().number();
        let Some(begun) = self.begun.get_mut(&number) else {
            return false;
        };
        let sender = begun.sender(from);
        if leaves_of(block).len() != hashes.len() {
            self.unclaim(block);
            return false;
        }
        let mut hashes = hashes.iter();
        self.each(block, |leaf| {
            if let (LeafState::Claimed, Some(hash)) = (leaf.state, hashes.next()) {
                let hash = *hash;
                leaf.state = LeafState::There { hash, sender };
            }
        });
        let begun = self.begun.get(&number);
        begun.is_some_and(|begun| begun.absent == 0)
    }

    /// Whether all leaves of a piece under way are present.
    pub fn is_there(&self, piece: u32) -> bool {
        self.begun
            .get(&piece)
            .is_some_and(|begun| begun.absent == 0)
    }

    /// Returns the hashes of the leaves of a piece, if all leaves are present.
    pub fn hashes(&self, piece: u32) -> Option<Vec<[u8; 32]>> {
        let leaves = self.begun.get(&piece)?.leaves.iter();
        leaves
            .map(|leaf| match leaf.state {
                LeafState::There { hash, .. } => Some(hash),
                LeafState::Absent | LeafState::Claimed => None,
            })
            .collect()
    }

    /// Records whether a complete piece has the expected hash.
    pub fn judge(&mut self, piece: Piece, good: bool) -> Verdict {
        let number = piece.number();
        if good {
            let begun = self.begun.remove(&number);
            self.open.remove(&number);
            self.verify(piece);
            let length = self.length_of(piece);
            let given = begun.map(|begun| begun.given_of(length));
            return Verdict::Good(given.unwrap_or_default());
        }
        let Some(begun) = self.begun.get_mut(&number) else {
            return Verdict::Bad(Vec::new());
        };
        let senders = begun.all_senders();
        if senders.len() > 1 {
            begun.doubted = true;
        } else {
            begun.forget_all();
        }
        self.settle(number);
        Verdict::Bad(senders)
    }

    /// Marks a piece as verified, wherever it came from.
    pub fn verify(&mut self, piece: Piece) {
        if self.had.insert(piece.number()) {
            self.verified += u64::from(self.length_of(piece));
            self.lacking -= u32::from(self.wanted.has(piece.number()));
        }
    }

    /// Keeps the right leaves of a piece under way and drops the wrong ones, now and when more of
    /// them come. Returns the sources that sent wrong ones.
    pub fn sort_out(&mut self, piece: u32, right: &[[u8; 32]]) -> BTreeSet<SourceId> {
        let mut liars = BTreeSet::new();
        let begun = self.begun.get_mut(&piece);
        let Some(begun) = begun.filter(|begun| begun.leaves.len() == right.len()) else {
            return liars;
        };
        begun.doubted = false;
        begun.right = Some(right.to_vec());
        for (leaf, right) in begun.leaves.iter_mut().zip(right) {
            match leaf.state {
                LeafState::There { hash, sender } if hash != *right => {
                    liars.extend(begun.senders.get(usize::from(sender)));
                    leaf.state = LeafState::Absent;
                }
                LeafState::There { .. } | LeafState::Absent | LeafState::Claimed => {}
            }
        }
        self.settle(piece);
        liars
    }

    /// Drops the leaves that this source sent, of all begun pieces: what they were compared
    /// with is not what it has. Returns the pieces that are in doubt no more.
    pub fn drop_sent_by(&mut self, source: SourceId) -> Vec<u32> {
        let mut resolved = Vec::new();
        let begun: Vec<u32> = self.begun.keys().copied().collect();
        for piece in begun {
            if let Some(begun) = self.begun.get_mut(&piece) {
                let was_doubted = begun.doubted;
                begun.forget_sent_by(source);
                if was_doubted && !begun.doubted {
                    resolved.push(piece);
                }
            }
            self.settle(piece);
        }
        resolved
    }

    /// Starts to fetch a doubted piece again, as a whole and from one session alone, because no
    /// peer told which leaves are wrong.
    pub fn start_alone(&mut self, piece: u32) {
        if let Some(begun) = self.begun.get_mut(&piece) {
            begun.forget_all();
            begun.owner = None;
            begun.alone = true;
            self.settle(piece);
        }
    }

    fn block(&self, piece: u32, first: usize, count: usize) -> Option<Block> {
        let begin = u32::try_from(first).ok()? * LEAF_LENGTH;
        let length = u32::try_from(count).ok()? * LEAF_LENGTH;
        let end = self.length_of(self.layout.piece(piece)?);
        let length = length.min(end.checked_sub(begin)?);
        self.layout.block(piece, begin, length)
    }

    fn leaves(&self, block: Block) -> Option<&[Leaf]> {
        let begun = self.begun.get(&block.piece().number())?;
        begun.leaves.get(leaves_of(block))
    }

    /// Changes each leaf of a block and updates the counts.
    fn each(&mut self, block: Block, change: impl FnMut(&mut Leaf)) {
        let piece = block.piece().number();
        let Some(begun) = self.begun.get_mut(&piece) else {
            return;
        };
        let Some(leaves) = begun.leaves.get_mut(leaves_of(block)) else {
            return;
        };
        let count = |leaves: &[Leaf]| {
            let open = leaves.iter().filter(|leaf| leaf.is_open()).count();
            let absent = leaves.iter().filter(|leaf| leaf.is_absent()).count();
            (open, absent)
        };
        let (open, absent) = count(leaves);
        leaves.iter_mut().for_each(change);
        let (now_open, now_absent) = count(leaves);
        begun.open = begun.open + now_open - open;
        begun.absent = begun.absent + now_absent - absent;
        let is_open = begun.open > 0 && !begun.doubted;
        self.reopen(piece, is_open);
    }

    /// Recounts the leaves of a piece under way.
    fn settle(&mut self, piece: u32) {
        let Some(begun) = self.begun.get_mut(&piece) else {
            return;
        };
        begun.open = begun.leaves.iter().filter(|leaf| leaf.is_open()).count();
        begun.absent = begun.leaves.iter().filter(|leaf| leaf.is_absent()).count();
        let is_open = begun.open > 0 && !begun.doubted;
        self.reopen(piece, is_open);
    }

    fn reopen(&mut self, piece: u32, is_open: bool) {
        if is_open {
            self.open.insert(piece);
        } else {
            self.open.remove(&piece);
        }
    }

    /// Returns the number of pieces of the file.
    pub fn count(&self) -> u32 {
        self.count
    }
}

impl Begun {
    fn sender(&mut self, source: SourceId) -> u16 {
        let known = self.senders.iter().position(|sender| *sender == source);
        let place = known.unwrap_or_else(|| {
            self.senders.push(source);
            self.senders.len() - 1
        });
        u16::try_from(place).unwrap_or(u16::MAX)
    }

    /// Returns the sources that sent the leaves that are present.
    fn all_senders(&self) -> Vec<SourceId> {
        let sender = |leaf: &Leaf| match leaf.state {
            LeafState::There { sender, .. } => self.senders.get(usize::from(sender)).copied(),
            LeafState::Absent | LeafState::Claimed => None,
        };
        let senders: BTreeSet<SourceId> = self.leaves.iter().filter_map(sender).collect();
        senders.into_iter().collect()
    }

    /// Returns how many bytes of the piece, which has this length, came from each source.
    fn given_of(&self, length: u32) -> Vec<(SourceId, u32)> {
        let mut given = vec![0; self.senders.len()];
        let mut left = length;
        for leaf in &self.leaves {
            let bytes = left.min(LEAF_LENGTH);
            left -= bytes;
            if let LeafState::There { sender, .. } = leaf.state
                && let Some(given) = given.get_mut(usize::from(sender))
            {
                *given += bytes;
            }
        }
        let given = self.senders.iter().copied().zip(given);
        given.filter(|(_, bytes)| *bytes > 0).collect()
    }

    fn forget_sent_by(&mut self, source: SourceId) {
        if self.right.is_some() {
            // What is present is right, whoever has sent it.
            return;
        }
        let place = self.senders.iter().position(|sender| *sender == source);
        for leaf in &mut self.leaves {
            if let LeafState::There { sender, .. } = leaf.state
                && Some(usize::from(sender)) == place
            {
                leaf.state = LeafState::Absent;
                self.doubted = false;
            }
        }
    }

    /// Drops the leaves that are present. Asked and claimed leaves stay so.
    fn forget_all(&mut self) {
        self.doubted = false;
        if self.right.is_some() {
            return;
        }
        for leaf in &mut self.leaves {
            if matches!(leaf.state, LeafState::There { .. }) {
                leaf.state = LeafState::Absent;
            }
        }
    }
}

impl Leaf {
    fn is_open(&self) -> bool {
        self.state == LeafState::Absent && self.asked == 0
    }

    fn is_absent(&self) -> bool {
        !matches!(self.state, LeafState::There { .. })
    }
}

/// Returns which leaves of its piece a block covers.
fn leaves_of(block: Block) -> Range<usize> {
    let first = block.begin() / LEAF_LENGTH;
    let end = (block.begin() + block.length()).div_ceil(LEAF_LENGTH);
    first as usize..end as usize
}

#[cfg(any(test, feature = "testing"))]
impl Pieces {
    /// Whether it is not known which leaves of a piece are wrong.
    pub fn is_doubted(&self, piece: u32) -> bool {
        self.begun.get(&piece).is_some_and(|begun| begun.doubted)
    }

    /// Asserts the invariants, given how many sources each leaf was requested from.
    pub fn check(&self, asked: &BTreeMap<(u32, u32), u8>) {
        for (piece, begun) in &self.begun {
            assert!(!self.had.has(*piece), "a piece is both had and begun");
            let open = begun.leaves.iter().filter(|leaf| leaf.is_open()).count();
            assert_eq!(open, begun.open, "open leaves are miscounted");
            assert_eq!(
                self.open.contains(piece),
                open > 0 && !begun.doubted,
                "piece {piece} is wrongly open or not"
            );
            for (at, leaf) in (0..).zip(&begun.leaves) {
                let asked = asked.get(&(*piece, at)).copied().unwrap_or(0);
                assert_eq!(
                    leaf.asked, asked,
                    "leaf {at} of piece {piece} is miscounted"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;

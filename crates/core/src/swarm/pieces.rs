//! Which pieces are had, and how far each piece is that was begun.
//!
//! Owns, for every leaf of a begun piece, whether it is there, its hash, which
//! peer sent it, and how many sources are asked for it. Does not decide which
//! session to ask; it is told what was asked, claimed and written.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use thorp_wire::PeerId;
use thorp_wire::layout::{Block, Layout, Piece};
use thorp_wire::merkle::LEAF;

use crate::time::Instant;

use super::bits::Bits;
use super::io::SessionId;

/// Bytes in a leaf, as lengths on the wire are counted.
#[expect(clippy::cast_possible_truncation, reason = "16 KiB")]
pub const LEAF_LENGTH: u32 = LEAF as u32;

/// The pieces of a file.
///
/// Invariant: a piece is in `had`, or in `begun`, or in neither; `open` are those
/// begun with a leaf that is neither there nor asked for, in a state to be asked.
#[derive(Debug)]
pub struct Pieces {
    layout: Layout,
    number: u32,
    had: Bits,
    verified: u64,
    begun: BTreeMap<u32, Begun>,
    open: BTreeSet<u32>,
}

/// A begun piece: some of its leaves were asked for.
#[derive(Debug)]
struct Begun {
    leaves: Vec<Leaf>,
    /// Leaves that are neither there nor asked for.
    open: usize,
    /// Leaves that are not there.
    absent: usize,
    /// The peers that sent leaves of it: a leaf names its sender by the place
    /// here.
    senders: Vec<PeerId>,
    /// The session that works on it first of all.
    owner: Option<SessionId>,
    /// Since when, if it was taken on from another session.
    since: Option<Instant>,
    /// No other session may.
    alone: bool,
    /// All leaves are there and do not make the piece: which ones are wrong is
    /// being found out.
    doubted: bool,
}

#[derive(Clone, Copy, Debug)]
struct Leaf {
    is: Is,
    /// How many sources are asked for it.
    asked: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    Absent,
    /// A session's bytes are being written there.
    Claimed,
    There {
        hash: [u8; 32],
        sender: u16,
    },
}

/// What a piece turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is what it should be.
    Good,
    /// It is not, and these peers sent leaves of it.
    Bad(Vec<PeerId>),
}

impl Pieces {
    /// A file of which nothing is had, or everything.
    pub fn new(layout: Layout, number: u32, everything: bool) -> Self {
        Self {
            layout,
            number,
            had: if everything {
                Bits::all(number)
            } else {
                Bits::none(number)
            },
            verified: if everything { layout.length() } else { 0 },
            begun: BTreeMap::new(),
            open: BTreeSet::new(),
        }
    }

    /// Which are had: verified.
    pub fn had(&self) -> &Bits {
        &self.had
    }

    /// Bytes verified.
    pub fn verified(&self) -> u64 {
        self.verified
    }

    /// Whether all are had.
    pub fn is_complete(&self) -> bool {
        self.had.is_full()
    }

    /// How many are begun.
    pub fn begun(&self) -> usize {
        self.begun.len()
    }

    /// Whether something of it was asked, and it is not verified.
    pub fn is_begun(&self, piece: u32) -> bool {
        self.begun.contains_key(&piece)
    }

    /// Begun pieces with leaves to ask for, and which session works on each.
    pub fn open(&self) -> impl Iterator<Item = (u32, Option<SessionId>)> + '_ {
        let owner = |piece: &u32| self.begun.get(piece).and_then(|begun| begun.owner);
        self.open.iter().map(move |piece| (*piece, owner(piece)))
    }

    /// Begins a piece, for one session to work on it.
    pub fn begin(&mut self, piece: Piece, owner: SessionId) {
        let leaves = self.layout.length_of(piece).div_ceil(LEAF_LENGTH) as usize;
        if self.had.has(piece.number()) || self.is_begun(piece.number()) {
            return;
        }
        let leaf = Leaf {
            is: Is::Absent,
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
        };
        self.begun.insert(piece.number(), begun);
        self.open.insert(piece.number());
    }

    /// Lets a session take on a piece that no session works on. Returns whether
    /// it may ask for it.
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
            // Leaves from the session before must not be mixed with the new ones.
            begun.forget_all();
            self.settle(piece);
        }
        true
    }

    /// The pieces that must come from one session alone, from which, and since
    /// when.
    pub fn alone(&self) -> impl Iterator<Item = (u32, SessionId, Instant)> + '_ {
        let alone = self.begun.iter().filter(|(_, begun)| begun.alone);
        alone.filter_map(|(piece, begun)| Some((*piece, begun.owner?, begun.since?)))
    }

    /// A session does not work on a piece any more.
    pub fn abandon(&mut self, piece: u32, by: SessionId) {
        if let Some(begun) = self.begun.get_mut(&piece)
            && begun.owner == Some(by)
        {
            begun.owner = None;
        }
    }

    /// Whether the session that works on a piece lets another one help.
    pub fn may_share(&self, piece: u32, with: SessionId) -> bool {
        let begun = self.begun.get(&piece);
        begun.is_some_and(|begun| !begun.alone || begun.owner == Some(with))
    }

    /// The session has asked for all there is to ask for of that piece. A piece
    /// that must come from one session alone stays with it.
    pub fn all_asked(&mut self, piece: u32, by: SessionId) {
        if let Some(begun) = self.begun.get_mut(&piece)
            && begun.owner == Some(by)
            && !begun.alone
        {
            begun.owner = None;
        }
    }

    /// The session works on nothing more.
    pub fn abandon_all(&mut self, by: SessionId) {
        for begun in self.begun.values_mut() {
            if begun.owner == Some(by) {
                begun.owner = None;
            }
        }
    }

    /// The next bytes of a piece that are neither there nor asked for, at most
    /// `longest` of them; they count as asked from now on.
    pub fn ask_next(&mut self, piece: u32, longest: u32) -> Option<Block> {
        let begun = self.begun.get(&piece).filter(|begun| !begun.doubted)?;
        let first = begun.leaves.iter().position(Leaf::is_open)?;
        let most = (longest / LEAF_LENGTH).max(1) as usize;
        let run = begun.leaves[first..].iter().take(most);
        let count = run.take_while(|leaf| leaf.is_open()).count();
        let block = self.block(piece, first, count)?;
        self.ask(block);
        Some(block)
    }

    /// One more source was asked for these bytes.
    pub fn ask(&mut self, block: Block) {
        self.each(block, |leaf| leaf.asked = leaf.asked.saturating_add(1));
    }

    /// One of the sources that were asked for these bytes is not waited for any
    /// more.
    pub fn release(&mut self, block: Block) {
        self.each(block, |leaf| leaf.asked = leaf.asked.saturating_sub(1));
    }

    /// Whether some of these bytes are wanted still: not there, not being written.
    pub fn wants(&self, block: Block) -> bool {
        self.leaves(block)
            .is_some_and(|leaves| leaves.iter().any(|leaf| leaf.is == Is::Absent))
    }

    /// How many sources are asked for the same of these bytes, at most.
    pub fn asked_of(&self, block: Block) -> u8 {
        let leaves = self.leaves(block).unwrap_or_default();
        leaves.iter().map(|leaf| leaf.asked).max().unwrap_or(0)
    }

    /// Claims these bytes for one session to write. Returns whether it may. No
    /// other session may until they are [written](Self::on_block_written) or
    /// [unclaimed](Self::unclaim).
    pub fn claim(&mut self, block: Block) -> bool {
        let Some(leaves) = self.leaves(block) else {
            return false;
        };
        let taken = leaves.iter().any(|leaf| leaf.is == Is::Claimed);
        if taken || !self.wants(block) {
            return false;
        }
        self.each(block, |leaf| leaf.is = Is::Claimed);
        true
    }

    /// Claimed bytes were not written after all, or not surely.
    pub fn unclaim(&mut self, block: Block) {
        self.each(block, |leaf| {
            if leaf.is == Is::Claimed {
                leaf.is = Is::Absent;
            }
        });
    }

    /// Claimed bytes are written. Returns whether the piece is complete with
    /// them.
    pub fn on_block_written(&mut self, block: Block, hashes: &[[u8; 32]], from: PeerId) -> bool {
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
            if let (Is::Claimed, Some(hash)) = (leaf.is, hashes.next()) {
                let hash = *hash;
                leaf.is = Is::There { hash, sender };
            }
        });
        let begun = self.begun.get(&number);
        begun.is_some_and(|begun| begun.absent == 0)
    }

    /// The hashes of the leaves of a piece that is all there.
    pub fn hashes(&self, piece: u32) -> Option<Vec<[u8; 32]>> {
        let leaves = self.begun.get(&piece)?.leaves.iter();
        leaves
            .map(|leaf| match leaf.is {
                Is::There { hash, .. } => Some(hash),
                Is::Absent | Is::Claimed => None,
            })
            .collect()
    }

    /// What a complete piece turned out to be, now that its hash is known.
    pub fn judge(&mut self, piece: Piece, good: bool) -> Verdict {
        let number = piece.number();
        if good {
            self.begun.remove(&number);
            self.open.remove(&number);
            self.verify(piece);
            return Verdict::Good;
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

    /// A piece is known to be right, wherever it came from.
    pub fn verify(&mut self, piece: Piece) {
        if self.had.insert(piece.number()) {
            self.verified += u64::from(self.layout.length_of(piece));
        }
    }

    /// Keeps the right leaves of a doubted piece, and drops the wrong ones.
    /// Returns the peers that sent these.
    pub fn sort_out(&mut self, piece: u32, right: &[[u8; 32]]) -> BTreeSet<PeerId> {
        let mut liars = BTreeSet::new();
        let Some(begun) = self.begun.get_mut(&piece).filter(|begun| begun.doubted) else {
            return liars;
        };
        begun.doubted = false;
        for (leaf, right) in begun.leaves.iter_mut().zip(right) {
            match leaf.is {
                Is::There { hash, sender } if hash != *right => {
                    liars.extend(begun.senders.get(usize::from(sender)));
                    leaf.is = Is::Absent;
                }
                Is::There { .. } | Is::Absent | Is::Claimed => {}
            }
        }
        self.settle(piece);
        liars
    }

    /// No peer says which leaves of a doubted piece are wrong: it is fetched
    /// again as a whole, from one session alone.
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
        let end = self.layout.length_of(self.layout.piece(piece)?);
        let length = length.min(end.checked_sub(begin)?);
        self.layout.block(piece, begin, length)
    }

    fn leaves(&self, block: Block) -> Option<&[Leaf]> {
        let begun = self.begun.get(&block.piece().number())?;
        begun.leaves.get(leaves_of(block))
    }

    /// Changes each leaf of a block, and the counts with them.
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

    /// Counts a begun piece anew.
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

    /// How many pieces there are.
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl Begun {
    fn sender(&mut self, peer: PeerId) -> u16 {
        let known = self.senders.iter().position(|sender| *sender == peer);
        let place = known.unwrap_or_else(|| {
            self.senders.push(peer);
            self.senders.len() - 1
        });
        u16::try_from(place).unwrap_or(u16::MAX)
    }

    /// The peers whose leaves are there.
    fn all_senders(&self) -> Vec<PeerId> {
        let sender = |leaf: &Leaf| match leaf.is {
            Is::There { sender, .. } => self.senders.get(usize::from(sender)).copied(),
            Is::Absent | Is::Claimed => None,
        };
        let senders: BTreeSet<PeerId> = self.leaves.iter().filter_map(sender).collect();
        senders.into_iter().collect()
    }

    /// Drops what is there. What is asked or being written stays so.
    fn forget_all(&mut self) {
        self.doubted = false;
        for leaf in &mut self.leaves {
            if matches!(leaf.is, Is::There { .. }) {
                leaf.is = Is::Absent;
            }
        }
    }
}

impl Leaf {
    fn is_open(&self) -> bool {
        self.is == Is::Absent && self.asked == 0
    }

    fn is_absent(&self) -> bool {
        !matches!(self.is, Is::There { .. })
    }
}

/// Which leaves of its piece a block covers.
fn leaves_of(block: Block) -> Range<usize> {
    let first = block.begin() / LEAF_LENGTH;
    let end = (block.begin() + block.length()).div_ceil(LEAF_LENGTH);
    first as usize..end as usize
}

#[cfg(test)]
mod tests;

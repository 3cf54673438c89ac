//! Which pieces the members of a crowd are told to ask for here.
//!
//! Owns to whom each piece was suggested (BEP 6). A peer with the whole file knows what it was
//! asked for, which those that ask learn of one another too late. So it suggests each piece to one
//! of them, and to each as many as it takes: a piece that nobody has goes out before another one
//! goes out twice.

use std::collections::BTreeMap;

use super::bits::Bits;
use super::io::SessionId;

/// How many pieces a member is told of before it has asked for them: at first, and at most.
const FIRST: usize = 1;
const MOST: usize = 32;
/// How many pieces are looked at for one suggestion.
const LOOKED_AT: usize = 1024;

/// The suggestions to all members.
#[derive(Debug)]
pub struct Suggesting {
    /// The pieces that a member has asked for here, or has.
    asked: Bits,
    pieces: u32,
    /// The pieces that are not suggested to any member yet, in random order, once there is a crowd.
    left: Option<Vec<u32>>,
    /// Those that are, and were not asked for yet.
    open: BTreeMap<u32, SessionId>,
    told: BTreeMap<SessionId, Told>,
}

/// How many pieces a member was told of and has not asked for, and how many there may be.
#[derive(Clone, Copy, Debug)]
struct Told {
    open: usize,
    most: usize,
}

impl Suggesting {
    pub fn new(pieces: u32) -> Self {
        Self {
            asked: Bits::none(pieces),
            pieces,
            left: None,
            open: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// Whether there is nothing to suggest.
    pub fn is_over(&self) -> bool {
        self.left.as_ref().is_some_and(Vec::is_empty)
    }

    /// Returns a piece to suggest to a member: one of which nobody has asked for any part. `None`
    /// if it was told of enough.
    pub fn next(&mut self, to: SessionId, rng: &mut fastrand::Rng) -> Option<u32> {
        let told = self.told.entry(to).or_insert(Told {
            open: 0,
            most: FIRST,
        });
        if told.open >= told.most {
            return None;
        }
        let left = self.left.get_or_insert_with(|| {
            let mut all: Vec<u32> = (0..self.pieces).collect();
            rng.shuffle(&mut all);
            all
        });
        let mut looked_at = std::iter::from_fn(|| left.pop()).take(LOOKED_AT);
        let piece = looked_at.find(|piece| !self.asked.has(*piece))?;
        told.open += 1;
        self.open.insert(piece, to);
        Some(piece)
    }

    /// A peer has asked for a piece, or has it.
    pub fn on_asked(&mut self, by: SessionId, piece: u32) {
        self.asked.insert(piece);
        let Some(to) = self.open.remove(&piece) else {
            return;
        };
        let Some(told) = self.told.get_mut(&to) else {
            return;
        };
        told.open -= 1;
        if told.open == 0 && to == by {
            // It might have taken more.
            told.most = (told.most * 2).min(MOST);
        }
    }

    /// A connection is closed: what was suggested there is suggested to others.
    pub fn closed(&mut self, session: SessionId) {
        if let (Some(_), Some(left)) = (self.told.remove(&session), &mut self.left) {
            let its = self.open.extract_if(.., |_, to| *to == session);
            let its = its.map(|(piece, _)| piece);
            left.extend(its);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: SessionId = SessionId(1);
    const OTHER: SessionId = SessionId(2);

    fn told(suggesting: &mut Suggesting, to: SessionId) -> Vec<u32> {
        let mut rng = fastrand::Rng::with_seed(1);
        std::iter::from_fn(|| suggesting.next(to, &mut rng)).collect()
    }

    #[test]
    fn each_piece_is_suggested_once_and_to_each_member_as_many_as_it_asks_for() {
        let mut suggesting = Suggesting::new(100);
        let mut all = Vec::new();
        let slow = told(&mut suggesting, OTHER);
        assert_eq!(slow.len(), 1);
        for turn in 0..4 {
            let more = told(&mut suggesting, ONE);
            assert_eq!(more.len(), 1 << turn);
            for piece in &more {
                suggesting.on_asked(ONE, *piece);
            }
            all.extend(more);
        }
        assert_eq!(told(&mut suggesting, OTHER), [], "it has not asked yet");
        all.extend(slow);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 16);
    }

    #[test]
    fn what_somebody_has_asked_for_or_has_is_suggested_to_nobody() {
        let mut suggesting = Suggesting::new(100);
        for piece in (0..100).filter(|piece| *piece != 7) {
            suggesting.on_asked(OTHER, piece);
        }
        assert_eq!(told(&mut suggesting, ONE), [7]);
        suggesting.on_asked(OTHER, 7);
        assert_eq!(told(&mut suggesting, ONE), []);
        assert!(suggesting.is_over());
    }

    #[test]
    fn what_was_suggested_to_a_member_that_goes_is_suggested_to_another() {
        let mut suggesting = Suggesting::new(1);
        assert_eq!(told(&mut suggesting, ONE).len(), 1);
        assert_eq!(told(&mut suggesting, OTHER), []);
        suggesting.closed(ONE);
        assert!(!suggesting.is_over());
        assert_eq!(told(&mut suggesting, OTHER), [0]);
    }
}

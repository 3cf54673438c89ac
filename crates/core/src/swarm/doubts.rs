//! Finds out who sent the wrong leaf of a piece that came from several sources.
//!
//! Owns which sessions are asked for the leaf hashes of such a piece. Any peer that has the piece
//! can send them (BEP 52), and cannot forge them, since they must lead to the piece's hash. If no
//! peer sends them, the piece is fetched again from one source alone.

use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

use super::inquiry::HashInquiry;
use super::io::{SessionId, SourceId};

/// The most sessions that are asked about one piece.
const TRIED: usize = 5;

/// The pieces in doubt.
#[derive(Debug, Default)]
pub struct Doubts {
    pieces: BTreeMap<u32, Doubt>,
}

#[derive(Debug, Default)]
struct Doubt {
    tried: BTreeSet<SourceId>,
    asked: HashInquiry,
}

/// What to do about a piece in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask this session for the leaf hashes of the piece.
    Ask(SessionId, u32),
    /// No peer sends the leaf hashes: fetch the piece from one session alone.
    Alone(u32),
}

impl Doubts {
    /// Adds a wrong piece of which several sources sent parts.
    pub fn add(&mut self, piece: u32) {
        self.pieces.entry(piece).or_default();
    }

    /// Returns what to do now. `having` returns the sessions with peers that have a piece, the
    /// best to ask first.
    pub fn advance(
        &mut self,
        now: Instant,
        having: impl Fn(u32) -> Vec<(SessionId, SourceId)>,
    ) -> Vec<Next> {
        let mut next = Vec::new();
        for (piece, doubt) in &mut self.pieces {
            if !doubt.asked.is_open(now, 1) {
                continue;
            }
            let enough = doubt.tried.len() >= TRIED;
            let untried = having(*piece).into_iter();
            let mut untried =
                untried.filter(|(_, source)| !enough && !doubt.tried.contains(source));
            match untried.next() {
                Some((session, source)) => {
                    doubt.tried.insert(source);
                    doubt.asked.ask(now, session);
                    next.push(Next::Ask(session, *piece));
                }
                None if doubt.asked.is_awaited(now) => {}
                None => next.push(Next::Alone(*piece)),
            }
        }
        for done in &next {
            if let Next::Alone(piece) = done {
                self.pieces.remove(piece);
            }
        }
        next
    }

    /// Whether the leaf hashes of the piece are awaited from this session.
    pub fn awaits(&self, session: SessionId, piece: u32) -> bool {
        let doubt = self.pieces.get(&piece);
        doubt.is_some_and(|doubt| doubt.asked.includes(session))
    }

    /// Removes a piece that is in doubt no more.
    pub fn resolved(&mut self, piece: u32) {
        self.pieces.remove(&piece);
    }

    /// A session refused the leaf hashes of the piece, so that the next one is asked.
    pub fn refused(&mut self, session: SessionId, piece: u32) {
        if let Some(doubt) = self.pieces.get_mut(&piece) {
            doubt.asked.forget(session);
        }
    }

    /// A session was closed.
    pub fn closed(&mut self, session: SessionId) {
        for doubt in self.pieces.values_mut() {
            doubt.asked.forget(session);
        }
    }
}

#[cfg(any(test, feature = "testing"))]
impl Doubts {
    /// Returns the pieces in doubt.
    pub fn pieces(&self) -> impl Iterator<Item = u32> + '_ {
        self.pieces.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use thorp_wire::PeerId;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::after_start(Duration::from_secs(seconds))
    }

    fn two(_: u32) -> Vec<(SessionId, SourceId)> {
        vec![
            (SessionId(1), SourceId::Member(PeerId::new([1; 32]))),
            (SessionId(2), SourceId::Member(PeerId::new([2; 32]))),
        ]
    }

    #[test]
    fn another_session_is_asked_where_none_answers_soon_and_then_one_alone_sends_the_piece() {
        let mut doubts = Doubts::default();
        doubts.add(7);
        assert_eq!(doubts.advance(at(0), two), [Next::Ask(SessionId(1), 7)]);
        assert_eq!(doubts.advance(at(0), two), []);
        assert_eq!(doubts.advance(at(1), two), [Next::Ask(SessionId(2), 7)]);
        doubts.refused(SessionId(2), 7);
        assert!(doubts.awaits(SessionId(1), 7));
        assert_eq!(doubts.advance(at(1), two), [], "the first may still answer");
        assert_eq!(doubts.advance(at(2), two), [Next::Alone(7)]);
        assert_eq!(doubts.advance(at(9), two), []);
    }

    #[test]
    fn if_no_peer_has_the_piece_it_is_fetched_from_one_alone_at_once() {
        let mut doubts = Doubts::default();
        doubts.add(7);
        assert_eq!(doubts.advance(at(0), |_| Vec::new()), [Next::Alone(7)]);
        assert_eq!(doubts.advance(at(0), two), []);
    }
}

//! The expected hashes of the pieces: which session to ask for them, and whether they are true.
//!
//! Owns the piece layer (BEP 52) and which session was asked for which part of it. No data of a
//! file is requested before the hashes of its pieces are known. A file of one piece has no layer:
//! the hash of that piece is the root.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use thorp_wire::Content;
use thorp_wire::merkle::{self, Hash, NoHashes, Tree};
use thorp_wire::session::HashRange;

use crate::time::Instant;

use super::inquiry::HashInquiry;
use super::io::SessionId;

/// A session that was passed over or has refused is asked again after this long.
const AGAIN: Duration = Duration::from_secs(5);
/// How many sessions that are not late are asked at a time, and for how many runs (`RUNS`) each.
const ASKED: usize = 2;
/// How many sessions are asked for the same run at once: the first may never answer.
const ASKED_EACH: usize = 2;
const RUNS: usize = 4;

/// The piece layer of a file.
///
/// Invariant: either the tree is known or a run is missing, since proven runs always make a tree.
#[derive(Debug)]
pub struct Hashes {
    content: Content,
    tree: Option<Tree>,
    /// The runs that have arrived and the missing ones, by their first piece.
    runs: BTreeMap<u32, Vec<Hash>>,
    missing: BTreeMap<u32, Run>,
    /// Sessions that did not answer or refused, and until when they are not asked.
    passed_over: BTreeMap<SessionId, Instant>,
}

#[derive(Clone, Debug)]
struct Run {
    range: HashRange,
    asked: HashInquiry,
}

/// The result of verifying an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// The answer was not asked for, or came too late.
    NoNews,
    /// The answer is true.
    True,
    /// The answer is true, and all hashes are known now.
    Complete,
    /// The answer does not lead to the root.
    False,
}

impl Hashes {
    /// Creates the unknown hashes of a file, which are to be asked for.
    pub fn unknown(content: Content) -> Self {
        let run = |range: HashRange| {
            let asked = HashInquiry::default();
            (range.index, Run { range, asked })
        };
        let missing: BTreeMap<u32, Run> = merkle::layer_ranges(content).map(run).collect();
        // Nothing is missing if the hash of the only piece is the root.
        let only = missing.is_empty().then(|| vec![*content.root.as_bytes()]);
        Self {
            content,
            tree: only.and_then(|only| Tree::of(content, only)),
            runs: BTreeMap::new(),
            missing,
            passed_over: BTreeMap::new(),
        }
    }

    /// Creates the known hashes of a file. `None` if they do not lead to its root.
    pub fn known(content: Content, layer: Vec<Hash>) -> Option<Self> {
        Some(Self {
            tree: Some(Tree::of(content, layer)?),
            missing: BTreeMap::new(),
            ..Self::unknown(content)
        })
    }

    /// Whether all hashes are known.
    pub fn are_known(&self) -> bool {
        self.tree.is_some()
    }

    /// Returns the hashes of all pieces, if they are known.
    pub fn layer(&self) -> Option<&[Hash]> {
        self.tree.as_ref().map(Tree::layer)
    }

    /// Returns the expected hash of a piece.
    pub fn of(&self, piece: u32) -> Option<Hash> {
        self.layer()?.get(piece as usize).copied()
    }

    /// Returns which runs to request from which of these sessions, which are sorted best first.
    pub fn ask(&mut self, now: Instant, of: &[SessionId]) -> Vec<(SessionId, HashRange)> {
        self.give_up(now);
        let mut requests = Vec::new();
        let mut owed: BTreeMap<SessionId, usize> = BTreeMap::new();
        let mut prompt = BTreeSet::new();
        for run in self.missing.values() {
            prompt.extend(run.asked.prompt(now));
            for session in run.asked.asked() {
                *owed.entry(session).or_default() += 1;
            }
        }
        let passed_over =
            |id: &SessionId| self.passed_over.get(id).is_some_and(|until| *until > now);
        let others: Vec<_> = of.iter().filter(|id| !passed_over(id)).collect();
        for session in others {
            if prompt.len() >= ASKED && !prompt.contains(session) {
                continue;
            }
            let mut owed = owed.get(session).copied().unwrap_or(0);
            // Another one's run only where none is left.
            for at_once in 1..=ASKED_EACH {
                let runs = self.missing.values_mut();
                let open = runs
                    .filter(|run| run.asked.is_open(now, at_once) && !run.asked.includes(*session));
                for run in open.take(RUNS.saturating_sub(owed)) {
                    run.asked.ask(now, *session);
                    prompt.insert(*session);
                    requests.push((*session, run.range));
                    owed += 1;
                }
            }
        }
        requests
    }

    /// Whether this session has failed to answer, while the hashes are not known.
    pub fn has_failed(&self, session: SessionId) -> bool {
        !self.are_known() && self.passed_over.contains_key(&session)
    }

    /// Verifies an answer.
    pub fn answered(&mut self, session: SessionId, range: &HashRange, answer: &[Hash]) -> Worth {
        let run = self.missing.get(&range.index);
        let asked =
            |run: &Run| run.asked.includes(session) || self.passed_over.contains_key(&session);
        if !run.is_some_and(|run| run.range == *range && asked(run)) {
            return Worth::NoNews;
        }
        let Ok(hashes) = merkle::verify(self.content, range, answer) else {
            return Worth::False;
        };
        self.runs.insert(range.index, hashes.to_vec());
        self.missing.remove(&range.index);
        if !self.missing.is_empty() {
            return Worth::True;
        }
        let layer = std::mem::take(&mut self.runs).into_values().flatten();
        self.tree = Tree::of(self.content, layer.collect());
        self.passed_over.clear();
        Worth::Complete
    }

    /// A session refused a range.
    pub fn refused(&mut self, now: Instant, session: SessionId, range: &HashRange) {
        if let Some(run) = self.missing.get_mut(&range.index)
            && run.asked.forget(session)
        {
            self.passed_over.insert(session, now + AGAIN);
        }
    }

    /// A session was closed.
    pub fn closed(&mut self, session: SessionId) {
        self.passed_over.remove(&session);
        for run in self.missing.values_mut() {
            run.asked.forget(session);
        }
    }

    /// Returns the answer to a peer's hash request; `None` if the hashes are not known or the
    /// request is invalid.
    pub fn answer(&self, range: &HashRange) -> Option<merkle::HashReply> {
        self.tree.as_ref()?.answer(range).ok()
    }

    /// Returns the same answer, given the leaves that had to be hashed for it.
    pub fn answer_with(&self, range: &HashRange, leaves: Vec<Hash>) -> Option<Vec<Hash>> {
        let answer: Result<_, NoHashes> = self.tree.as_ref()?.answer_with(range, leaves);
        answer.ok()
    }

    fn give_up(&mut self, now: Instant) {
        let runs = self.missing.values_mut();
        let silent = runs.flat_map(|run| run.asked.give_up(now));
        self.passed_over
            .extend(silent.map(|session| (session, now + AGAIN)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorp_wire::Root;
    use thorp_wire::layout::Layout;

    const SESSION: SessionId = SessionId(1);
    const OTHER: SessionId = SessionId(2);

    fn at(seconds: u64) -> Instant {
        Instant::after_start(Duration::from_secs(seconds))
    }

    /// Returns the hashes of a file of this many pieces of 8 MiB: as known and as unknown.
    fn of(pieces: u32) -> (Hashes, Hashes) {
        let layout = Layout::of(u64::from(pieces) * 8 * 1024 * 1024);
        let number = layout.pieces().unwrap();
        let layer: Vec<Hash> = (0..number)
            .map(|piece| {
                let mut hash = [7; 32];
                hash[..4].copy_from_slice(&piece.to_be_bytes());
                hash
            })
            .collect();
        let content = Content {
            length: layout.length(),
            root: merkle::root_of_layer(layout, &layer).unwrap(),
        };
        let known = Hashes::known(content, layer).unwrap();
        (Hashes::unknown(content), known)
    }

    fn answer_of(known: &Hashes, range: &HashRange) -> Vec<Hash> {
        match known.answer(range) {
            Some(merkle::HashReply::Hashes(hashes)) => hashes,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_layer_is_known_once_every_run_of_it_was_proven() {
        for pieces in [2, 3, 512, 1024, 1300] {
            let (mut unknown, known) = of(pieces);
            let mut last = Worth::NoNews;
            while !unknown.are_known() {
                for (session, range) in unknown.ask(at(0), &[SESSION, OTHER]) {
                    let answer = answer_of(&known, &range);
                    let worth = unknown.answered(session, &range, &answer);
                    // Both of those that were asked answer.
                    assert_ne!(worth, Worth::False);
                    if worth != Worth::NoNews {
                        last = worth;
                    }
                }
            }
            assert_eq!(last, Worth::Complete);
            assert_eq!(unknown.layer(), known.layer());
        }
    }

    #[test]
    fn a_false_answer_is_recognised_and_nothing_of_it_is_kept() {
        let (mut unknown, known) = of(700);
        let (session, range) = unknown.ask(at(0), &[SESSION])[0];
        let mut answer = answer_of(&known, &range);
        answer[3][0] ^= 1;
        assert_eq!(unknown.answered(session, &range, &answer), Worth::False);
        assert!(!unknown.are_known());
    }

    #[test]
    fn a_session_that_refuses_is_passed_over_and_asked_again_later() {
        let (mut unknown, _) = of(3);
        let (_, range) = unknown.ask(at(0), &[SESSION])[0];
        unknown.refused(at(0), SESSION, &range);
        assert_eq!(unknown.ask(at(1), &[SESSION]), []);
        assert_eq!(unknown.ask(at(5), &[SESSION]), [(SESSION, range)]);
    }

    #[test]
    fn a_silent_session_is_passed_over_and_may_answer_later() {
        let (mut unknown, known) = of(3);
        let (_, range) = unknown.ask(at(0), &[SESSION])[0];
        assert_eq!(unknown.ask(at(2), &[SESSION]), []);
        assert!(unknown.has_failed(SESSION));
        assert_eq!(unknown.ask(at(2), &[SESSION, OTHER]), [(OTHER, range)]);
        let late = answer_of(&known, &range);
        assert_eq!(unknown.answered(SESSION, &range, &late), Worth::Complete);
        assert_eq!(unknown.answered(OTHER, &range, &late), Worth::NoNews);
    }

    #[test]
    fn two_sessions_are_asked_at_once_and_two_more_where_they_do_not_answer_soon() {
        let (mut unknown, known) = of(3);
        let all: Vec<SessionId> = (1..9).map(SessionId).collect();
        let after = |millis| Instant::after_start(Duration::from_millis(millis));
        let mut asked = |millis| -> Vec<SessionId> {
            let asked = unknown.ask(after(millis), &all);
            asked.into_iter().map(|(session, _)| session).collect()
        };
        assert_eq!(asked(0), [SessionId(1), SessionId(2)]);
        assert_eq!(asked(199), []);
        assert_eq!(asked(200), [SessionId(3), SessionId(4)]);
        let range = merkle::layer_ranges(known.content).next().unwrap();
        let answer = answer_of(&known, &range);
        let worth = unknown.answered(SessionId(3), &range, &answer);
        assert_eq!(worth, Worth::Complete);
    }

    #[test]
    fn answers_from_sessions_that_were_not_asked_are_ignored() {
        let (mut unknown, known) = of(3);
        let (_, range) = unknown.ask(at(0), &[SESSION])[0];
        let answer = answer_of(&known, &range);
        assert_eq!(unknown.answered(OTHER, &range, &answer), Worth::NoNews);
    }

    #[test]
    fn at_most_two_sessions_are_asked_for_hashes_at_a_time() {
        let (mut unknown, _) = of(1024 * 64);
        let three = [SESSION, OTHER, SessionId(3)];
        let asked = unknown.ask(at(0), &three);
        assert!(asked.iter().all(|(session, _)| *session != SessionId(3)));
        let ranges: BTreeSet<u32> = asked.iter().map(|(_, range)| range.index).collect();
        assert_eq!(ranges.len(), 2 * RUNS, "not the same of both");
    }

    #[test]
    fn a_request_for_hashes_that_do_not_exist_is_not_answered() {
        let (_, known) = of(700);
        let (mut unknown, _) = of(700);
        let (_, range) = unknown.ask(at(0), &[SESSION])[0];
        for wrong in [
            HashRange {
                root: Root::EMPTY,
                ..range
            },
            HashRange {
                base: range.base + 1,
                ..range
            },
            HashRange { index: 1, ..range },
            HashRange {
                index: 1024,
                ..range
            },
            HashRange { length: 3, ..range },
            HashRange { length: 0, ..range },
            HashRange {
                length: 1024,
                ..range
            },
            HashRange {
                proofs: 40,
                ..range
            },
        ] {
            assert_eq!(known.answer(&wrong), None, "{wrong:?}");
        }
    }
}

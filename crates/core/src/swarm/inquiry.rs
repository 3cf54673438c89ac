//! One question that several sessions can answer, and whose answer proves itself.
//!
//! Owns which sessions were asked and when, and so when one more is asked. What is asked for are
//! hashes (BEP 52): they lead to a hash that is known, so it does not matter who sends them, and
//! they are far shorter than what they prove, so to ask twice costs less than to wait for one that
//! may never answer.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::Instant;

use super::io::SessionId;

/// What was not answered for this long is asked of one more session.
pub const LATE: Duration = Duration::from_millis(200);
/// A session that does not answer for this long is passed over. A late answer is still accepted.
pub const SILENT: Duration = Duration::from_secs(2);

/// The sessions that were asked.
#[derive(Clone, Debug, Default)]
pub struct HashInquiry {
    asked: BTreeMap<SessionId, Instant>,
}

impl HashInquiry {
    /// Whether one more session may be asked: fewer than `at_once` were asked just now.
    pub fn is_open(&self, now: Instant, at_once: usize) -> bool {
        self.prompt(now).count() < at_once
    }

    /// Records that a session is asked.
    pub fn ask(&mut self, now: Instant, session: SessionId) {
        self.asked.insert(session, now);
    }

    /// Returns the sessions that were asked, and have neither refused nor been passed over.
    pub fn asked(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.asked.keys().copied()
    }

    /// Returns those of them that are not late yet.
    pub fn prompt(&self, now: Instant) -> impl Iterator<Item = SessionId> + '_ {
        let prompt = self.asked.iter().filter(move |(_, at)| now < **at + LATE);
        prompt.map(|(session, _)| *session)
    }

    /// Whether this session was asked.
    pub fn includes(&self, session: SessionId) -> bool {
        self.asked.contains_key(&session)
    }

    /// Whether an answer is still waited for.
    pub fn is_awaited(&self, now: Instant) -> bool {
        self.asked.values().any(|at| now < *at + SILENT)
    }

    /// A session has refused, or was closed. Returns whether it was asked.
    pub fn forget(&mut self, session: SessionId) -> bool {
        self.asked.remove(&session).is_some()
    }

    /// Removes the sessions that have not answered for too long.
    pub fn give_up(&mut self, now: Instant) -> impl Iterator<Item = SessionId> + '_ {
        let silent = self.asked.extract_if(.., move |_, at| now >= *at + SILENT);
        silent.map(|(session, _)| session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: SessionId = SessionId(1);
    const OTHER: SessionId = SessionId(2);

    fn at(millis: u64) -> Instant {
        Instant::after_start(Duration::from_millis(millis))
    }

    #[test]
    fn one_more_is_asked_where_the_last_is_late_or_has_refused() {
        let mut inquiry = HashInquiry::default();
        assert!(inquiry.is_open(at(0), 1));
        inquiry.ask(at(0), ONE);
        assert!(!inquiry.is_open(at(199), 1) && inquiry.is_open(at(199), 2));
        assert!(inquiry.is_open(at(200), 1));
        inquiry.ask(at(200), OTHER);
        assert!(!inquiry.is_open(at(300), 1));
        assert!(inquiry.forget(OTHER) && !inquiry.forget(OTHER));
        assert!(inquiry.is_open(at(300), 1));
    }

    #[test]
    fn an_answer_is_waited_for_for_two_seconds_after_the_last_was_asked() {
        let mut inquiry = HashInquiry::default();
        assert!(!inquiry.is_awaited(at(0)));
        inquiry.ask(at(0), ONE);
        inquiry.ask(at(200), OTHER);
        assert!(inquiry.is_awaited(at(2199)) && !inquiry.is_awaited(at(2200)));
        assert_eq!(inquiry.give_up(at(2100)).collect::<Vec<_>>(), [ONE]);
        assert!(!inquiry.includes(ONE) && inquiry.includes(OTHER));
    }
}

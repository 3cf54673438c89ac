//! Sources that sent wrong leaves: do they lie, or has their file changed?
//!
//! Owns which of them are asked for the leaves of the piece. One that can prove the piece
//! has it, and sent something else: it lied. One that cannot says itself that it has not
//! what it lists: its file has changed, perhaps through a mapping, of which a file system
//! tells nothing for a while. It is believed once: its session ends, and what it sent is
//! dropped. An honest holder does not offer the file again as it was. One that does, and
//! sends wrong leaves again, lied.

use std::collections::BTreeMap;
use std::time::Duration;

use thorp_wire::PeerId;

use crate::time::Instant;

use super::io::{SessionId, SourceId};

/// One that does not answer for this long has nothing to prove with.
const SILENT: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug, Default)]
pub struct Suspects {
    asked: BTreeMap<(u32, SourceId), (SessionId, Instant)>,
    /// Those that could not prove a piece, and which one.
    changed: BTreeMap<SourceId, u32>,
}

impl Suspects {
    /// This source sent wrong leaves of a piece. Whether to ask it for them now.
    pub fn add(&mut self, now: Instant, piece: u32, source: SourceId, session: SessionId) -> bool {
        let key = (piece, source);
        let is_new = !self.asked.contains_key(&key);
        if is_new {
            self.asked.insert(key, (session, now));
        }
        is_new
    }

    /// A session has answered or refused what it was asked: which source that is.
    pub fn take(&mut self, piece: u32, session: SessionId) -> Option<SourceId> {
        let first = (piece, SourceId::Member(PeerId::new([0; 32])));
        let mut asked = self
            .asked
            .range(first..)
            .take_while(|(key, _)| key.0 == piece);
        let (key, _) = asked.find(|(_, (asked, _))| *asked == session)?;
        let key = *key;
        self.asked.remove(&key);
        Some(key.1)
    }

    /// Those that have not answered in time, and of which piece.
    pub fn take_silent(&mut self, now: Instant) -> Vec<(u32, SourceId)> {
        self.take_if(|(_, since)| now - *since >= SILENT)
    }

    /// This session is closed: what it was asked is not answered any more.
    pub fn closed(&mut self, session: SessionId) -> Vec<(u32, SourceId)> {
        self.take_if(|(asked, _)| *asked == session)
    }

    fn take_if(&mut self, is_over: impl Fn(&(SessionId, Instant)) -> bool) -> Vec<(u32, SourceId)> {
        let taken = self.asked.extract_if(.., |_, asked| is_over(asked));
        taken.map(|(key, _)| key).collect()
    }

    /// This source cannot prove a piece: its file has changed.
    pub fn cannot_prove(&mut self, piece: u32, source: SourceId) {
        self.changed.insert(source, piece);
    }

    /// Whether that was so before.
    pub fn has_changed(&self, source: SourceId) -> bool {
        self.changed.contains_key(&source)
    }

    /// Sources whose files have changed, and a piece that each has no more.
    pub fn changed(&self) -> impl Iterator<Item = (SourceId, u32)> + '_ {
        self.changed.iter().map(|(source, piece)| (*source, *piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::after_start(Duration::from_secs(seconds))
    }

    #[test]
    fn each_is_asked_once_for_a_piece_and_its_answer_its_end_or_its_silence_is_the_end_of_that() {
        let (one, two) = (
            SourceId::Member(PeerId::new([1; 32])),
            SourceId::Member(PeerId::new([2; 32])),
        );
        let mut suspects = Suspects::default();
        assert!(suspects.add(at(0), 7, one, SessionId(1)));
        assert!(!suspects.add(at(1), 7, one, SessionId(1)));
        assert!(suspects.add(at(1), 8, two, SessionId(2)));
        assert!(suspects.add(at(5), 9, two, SessionId(2)));
        assert_eq!(suspects.take(8, SessionId(1)), None, "it was not asked");
        assert_eq!(suspects.take(7, SessionId(1)), Some(one));
        assert_eq!(suspects.take(7, SessionId(1)), None);
        assert_eq!(suspects.take_silent(at(10)), []);
        assert_eq!(suspects.take_silent(at(11)), [(8, two)]);
        assert_eq!(suspects.closed(SessionId(2)), [(9, two)]);
        assert!(!suspects.has_changed(two));
        suspects.cannot_prove(9, two);
        assert!(suspects.has_changed(two));
        assert!(suspects.changed().eq([(two, 9)]));
    }
}

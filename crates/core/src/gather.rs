//! Puts an update that was cut into several frames together again.

use thiserror::Error;
use thorp_wire::frame::Update;

/// The update that is arriving on one link.
#[derive(Debug, Default)]
pub struct Gathering {
    begun: Option<Update>,
}

impl Gathering {
    /// Takes the next frame; returns the whole update with its last one.
    ///
    /// Holds at most `limit` entries and names, and one frame's worth more.
    pub fn push(&mut self, frame: Update, limit: usize) -> Result<Option<Update>, GatherError> {
        let mut update = match (self.begun.take(), frame.first) {
            (None, true) => frame,
            (Some(mut begun), false) => {
                if (begun.seq, begun.since) != (frame.seq, frame.since) {
                    return Err(GatherError::Mixed);
                }
                begun.added.extend(frame.added);
                begun.removed.extend(frame.removed);
                begun.neighbours = frame.neighbours.or(begun.neighbours);
                begun.load = frame.load;
                begun.last = frame.last;
                begun
            }
            (Some(_), true) => return Err(GatherError::Mixed),
            (None, false) => return Err(GatherError::NoBeginning),
        };
        // Over the limit the entries are dropped but the count is kept, so that
        // the whole is still found to be over the bounds at its last frame.
        if update.added.len() > limit {
            update.added.truncate(limit + 1);
        }
        if update.removed.len() > limit {
            update.removed.truncate(limit + 1);
        }
        if update.last {
            return Ok(Some(update));
        }
        self.begun = Some(update);
        Ok(None)
    }
}

/// The frames of an update do not fit together. Drop the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GatherError {
    /// A frame of one update within another.
    #[error("an update began before the last one had ended")]
    Mixed,
    /// A later frame of an update that never began.
    #[error("an update without its beginning")]
    NoBeginning,
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorp_wire::Entry;

    fn part(seq: u64, first: bool, last: bool, name: &str) -> Update {
        Update {
            first,
            last,
            since: None,
            added: vec![Entry {
                name: name.parse().expect("a name"),
                length: 0,
                mtime: 0,
                root: None,
            }],
            ..Update::heartbeat(seq)
        }
    }

    #[test]
    fn an_update_takes_effect_whole_at_its_last_frame() {
        let mut gathering = Gathering::default();
        assert_eq!(gathering.push(part(1, true, false, "a"), 9), Ok(None));
        assert_eq!(gathering.push(part(1, false, false, "b"), 9), Ok(None));
        let whole = gathering
            .push(part(1, false, true, "c"), 9)
            .expect("it fits")
            .expect("whole");
        assert_eq!(
            whole
                .added
                .iter()
                .map(|e| e.name.as_str())
                .collect::<Vec<_>>(),
            ["a", "b", "c"]
        );
        assert!(
            gathering
                .push(part(2, true, true, "d"), 9)
                .expect("it fits")
                .is_some()
        );
    }

    #[test]
    fn frames_that_do_not_fit_together_are_refused() {
        let mut gathering = Gathering::default();
        assert_eq!(
            gathering.push(part(1, false, true, "a"), 9),
            Err(GatherError::NoBeginning)
        );
        assert_eq!(gathering.push(part(1, true, false, "a"), 9), Ok(None));
        assert_eq!(
            gathering.push(part(2, false, true, "a"), 9),
            Err(GatherError::Mixed)
        );
        assert_eq!(gathering.push(part(1, true, false, "a"), 9), Ok(None));
        assert_eq!(
            gathering.push(part(1, true, true, "a"), 9),
            Err(GatherError::Mixed)
        );
    }

    #[test]
    fn an_endless_update_does_not_grow_and_is_still_seen_to_be_over_the_limit() {
        let mut gathering = Gathering::default();
        assert_eq!(gathering.push(part(1, true, false, "a"), 2), Ok(None));
        for _ in 0..100 {
            assert_eq!(gathering.push(part(1, false, false, "b"), 2), Ok(None));
        }
        let whole = gathering
            .push(part(1, false, true, "c"), 2)
            .expect("it fits")
            .expect("whole");
        assert_eq!(whole.added.len(), 3);
    }
}

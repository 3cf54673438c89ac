//! Which links get updates of this peer's listing, and how far each has got.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::links::LinkId;
use crate::time::Instant;

/// A new neighbour probably came for a file: the listing follows after the file, or after this
/// long.
const FILE_FIRST: Duration = Duration::from_secs(1);
/// How long a member that repeatedly asks for the whole listing waits for it, since it may be
/// large.
const WHOLE_AGAIN: Duration = Duration::from_secs(1);

/// The links on which this peer's listing is published.
#[derive(Debug, Default)]
pub(super) struct Publishing {
    readers: BTreeMap<LinkId, Reader>,
    /// The links that may need an update, now or once they are no longer held. The others need not
    /// be checked.
    behind: BTreeSet<LinkId>,
    /// The state of the listing with which the readers were compared.
    seq: u64,
}

#[derive(Clone, Copy, Debug)]
struct Reader {
    /// The state of the other end's copy.
    at: Option<u64>,
    held_until: Option<Instant>,
    /// Whether the other end wants no entries, only signs of life.
    stopped: bool,
    /// Whether it ever did so, in which case the user was told.
    is_known_to_stop: bool,
    /// When it last asked for the whole listing.
    started_over: Option<Instant>,
}

impl Publishing {
    /// Begins to publish on a link. If `file_first` is given, a file is sent before the listing.
    pub(super) fn begin(&mut self, link: LinkId, at: Option<u64>, file_first: Option<Instant>) {
        let reader = Reader {
            at,
            held_until: file_first.map(|now| now + FILE_FIRST),
            stopped: false,
            is_known_to_stop: false,
            started_over: None,
        };
        self.readers.insert(link, reader);
        self.behind.insert(link);
    }

    pub(super) fn end(&mut self, link: LinkId) {
        self.readers.remove(&link);
        self.behind.remove(&link);
    }

    /// The file that was to be sent first has been sent.
    pub(super) fn release(&mut self, link: LinkId) {
        if let Some(reader) = self.readers.get_mut(&link) {
            reader.held_until = None;
        }
    }

    pub(super) fn next_release(&self) -> Option<Instant> {
        let behind = self.behind.iter();
        behind
            .filter_map(|link| self.readers.get(link)?.held_until)
            .min()
    }

    /// Returns the links that are behind `seq` and may get an update, with the state of their
    /// copies.
    pub(super) fn due(&mut self, now: Instant, seq: u64) -> Vec<(LinkId, Option<u64>)> {
        let mut due = Vec::new();
        if std::mem::replace(&mut self.seq, seq) != seq {
            self.behind.extend(self.readers.keys());
        }
        self.behind.retain(|link| {
            let Some(reader) = self.readers.get_mut(link) else {
                return false;
            };
            if reader.held_until.is_some_and(|until| now < until) {
                return true;
            }
            reader.held_until = None;
            let is_due = !reader.stopped && reader.at != Some(seq);
            if is_due {
                due.push((*link, reader.at));
            }
            is_due
        });
        due
    }

    pub(super) fn sent(&mut self, link: LinkId, seq: u64) {
        if let Some(reader) = self.readers.get_mut(&link) {
            reader.at = Some(seq);
            self.behind.remove(&link);
        }
    }

    /// Returns the state of the other end's copy, if it has one.
    pub(super) fn position(&self, link: LinkId) -> Option<u64> {
        self.readers.get(&link)?.at
    }

    /// The other end has lost its copy, or has room for one now: sends the whole listing, without
    /// delay the first time.
    pub(super) fn start_over(&mut self, now: Instant, link: LinkId) {
        if let Some(reader) = self.readers.get_mut(&link) {
            reader.at = None;
            reader.stopped = false;
            self.behind.insert(link);
            if reader.started_over.replace(now).is_some() {
                reader.held_until = Some(now + WHOLE_AGAIN);
            }
        }
    }

    /// The other end does not keep a copy: it gets only signs of life until it asks for one.
    /// Returns whether this is news.
    pub(super) fn stop(&mut self, link: LinkId) -> bool {
        let Some(reader) = self.readers.get_mut(&link) else {
            return false;
        };
        reader.at = None;
        reader.stopped = true;
        !std::mem::replace(&mut reader.is_known_to_stop, true)
    }

    /// Whether the other end gets signs of life only.
    pub(super) fn is_stopped(&self, link: LinkId) -> bool {
        self.readers.get(&link).is_some_and(|reader| reader.stopped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: LinkId = LinkId(1);

    fn at(millis: u64) -> Instant {
        Instant::after_start(Duration::from_millis(millis))
    }

    #[test]
    fn each_reader_is_due_until_it_is_told_and_again_when_the_share_changes() {
        let mut publishing = Publishing::default();
        publishing.begin(LINK, Some(3), None);
        publishing.begin(LinkId(2), Some(4), None);
        publishing.begin(LinkId(3), None, None);
        let behind = [(LINK, Some(3)), (LinkId(3), None)];
        assert_eq!(publishing.due(at(0), 4), behind);
        assert_eq!(publishing.due(at(0), 4), behind, "they were not told");
        publishing.sent(LINK, 4);
        publishing.end(LinkId(3));
        assert_eq!(publishing.due(at(0), 4), []);
        assert!(publishing.stop(LinkId(2)));
        assert_eq!(publishing.due(at(0), 5), [(LINK, Some(4))]);
        publishing.sent(LINK, 5);
        publishing.start_over(at(0), LINK);
        assert_eq!(publishing.due(at(0), 5), [(LINK, None)], "at once");
        publishing.sent(LINK, 5);
        publishing.start_over(at(0), LINK);
        assert_eq!(publishing.due(at(999), 5), [], "not at once again");
        assert_eq!(publishing.next_release(), Some(at(1000)));
        assert_eq!(publishing.due(at(1000), 5), [(LINK, None)]);
    }

    #[test]
    fn a_reader_that_keeps_no_copy_gets_no_entries_until_it_asks() {
        let mut publishing = Publishing::default();
        publishing.begin(LINK, Some(3), None);
        assert!(publishing.stop(LINK) && publishing.is_stopped(LINK));
        assert_eq!(publishing.due(at(0), 4), []);
        publishing.start_over(at(0), LINK);
        assert_eq!(publishing.due(at(0), 4), [(LINK, None)]);
        publishing.sent(LINK, 4);
        assert!(!publishing.stop(LINK), "the user knows");
    }

    #[test]
    fn a_reader_that_came_for_a_file_gets_the_listing_after_it() {
        for served in [true, false] {
            let mut publishing = Publishing::default();
            publishing.begin(LINK, None, Some(at(0)));
            assert_eq!(publishing.due(at(1), 1), []);
            assert_eq!(publishing.next_release(), Some(at(1000)));
            let then = if served { at(2) } else { at(1000) };
            if served {
                publishing.release(LINK);
            }
            assert_eq!(publishing.due(then, 1), [(LINK, None)]);
            assert_eq!(publishing.next_release(), None);
        }
    }
}

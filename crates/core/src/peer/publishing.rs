//! Who gets updates of the own share, and how far each has come.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::links::LinkId;
use crate::time::Instant;

/// A new neighbour came for a file: the listing follows it, or comes after this long.
const FILE_FIRST: Duration = Duration::from_secs(1);
/// A member that asks for the whole listing again waits this long for it: it may be large.
const WHOLE_AGAIN: Duration = Duration::from_secs(1);

/// The links on which the own share is published.
#[derive(Debug, Default)]
pub(super) struct Publishing {
    readers: BTreeMap<LinkId, Reader>,
}

#[derive(Clone, Copy, Debug)]
struct Reader {
    /// The state of their copy.
    at: Option<u64>,
    held_until: Option<Instant>,
    /// They do not want entries, only signs of life.
    stopped: bool,
    /// When they last asked for the whole listing.
    started_over: Option<Instant>,
}

impl Publishing {
    /// The other end of this link reads from now on; where `file_first` is given, a file goes first.
    pub(super) fn begin(&mut self, link: LinkId, at: Option<u64>, file_first: Option<Instant>) {
        let reader = Reader {
            at,
            held_until: file_first.map(|now| now + FILE_FIRST),
            stopped: false,
            started_over: None,
        };
        self.readers.insert(link, reader);
    }

    pub(super) fn end(&mut self, link: LinkId) {
        self.readers.remove(&link);
    }

    /// The file that went first is through.
    pub(super) fn release(&mut self, link: LinkId) {
        if let Some(reader) = self.readers.get_mut(&link) {
            reader.held_until = None;
        }
    }

    pub(super) fn next_release(&self) -> Option<Instant> {
        self.readers
            .values()
            .filter_map(|reader| reader.held_until)
            .min()
    }

    /// Who is behind `seq` and may be told, and where each stands.
    pub(super) fn due(&mut self, now: Instant, seq: u64) -> Vec<(LinkId, Option<u64>)> {
        let mut due = Vec::new();
        for (link, reader) in &mut self.readers {
            if reader.held_until.is_some_and(|until| until <= now) {
                reader.held_until = None;
            }
            if !reader.stopped && reader.held_until.is_none() && reader.at != Some(seq) {
                due.push((*link, reader.at));
            }
        }
        due
    }

    pub(super) fn sent(&mut self, link: LinkId, seq: u64) {
        if let Some(reader) = self.readers.get_mut(&link) {
            reader.at = Some(seq);
        }
    }

    /// The state of their copy, if they have one.
    pub(super) fn position(&self, link: LinkId) -> Option<u64> {
        self.readers.get(&link)?.at
    }

    /// They have lost their copy: send a full one. At once the first time.
    pub(super) fn start_over(&mut self, now: Instant, link: LinkId) {
        if let Some(reader) = self.readers.get_mut(&link) {
            reader.at = None;
            if reader.started_over.replace(now).is_some() {
                reader.held_until = Some(now + WHOLE_AGAIN);
            }
        }
    }

    /// They do not keep a copy: only signs of life from now on. Whether that is new.
    pub(super) fn stop(&mut self, link: LinkId) -> bool {
        let reader = self.readers.get_mut(&link);
        reader.is_some_and(|reader| !std::mem::replace(&mut reader.stopped, true))
    }
}

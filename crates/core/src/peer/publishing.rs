//! Which links get updates of this peer's listing, how far each has got, and how much of an update
//! may wait to be sent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use thorp_wire::frame::Frame;

use crate::catalogue::Catalogue;
use crate::links::LinkId;
use crate::publisher::{self, OutgoingUpdate, Publisher};
use crate::time::Instant;

/// A new neighbour probably came for a file: the listing follows after the file, or after this
/// long.
const FILE_FIRST: Duration = Duration::from_secs(1);
/// How long a member that repeatedly asks for the whole listing waits for it, since it may be
/// large.
const WHOLE_AGAIN: Duration = Duration::from_secs(1);
/// After this many bytes of updates no more are made for a link until most of them are written: a
/// listing of a million entries is neither made in one step nor held in memory.
const AT_ONCE: usize = 4 * publisher::FRAME;

/// The links on which this peer's listing is published.
#[derive(Debug, Default)]
pub(super) struct Publishing {
    readers: BTreeMap<LinkId, Reader>,
    /// The links that may need an update, now or once they are no longer held or have room. The
    /// others need not be checked.
    behind: BTreeSet<LinkId>,
    /// The state of the listing with which the readers were compared.
    seq: u64,
}

#[derive(Debug)]
struct Reader {
    /// The state of the other end's copy.
    at: Option<u64>,
    held_until: Option<Instant>,
    wish: Wish,
    /// When it last asked for the whole listing.
    started_over: Option<Instant>,
    /// Whether it has not had the newest state since it came, or since it asked for the whole
    /// listing. What it is sent until then is its doing, and not the share's.
    catches_up: bool,
    /// The update of which some frames were sent.
    under_way: Option<UnderWay>,
    /// Bytes of updates that were sent since there was last room for them.
    sent: usize,
    awaits_room: bool,
}

/// What the other end wants beside signs of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Entries,
    /// Entries, after it had wanted none. The user was told.
    EntriesAgain,
    Nothing,
}

/// A copy that is about to be brought to the newest state because its owner has come, or has lost it.
#[derive(Clone, Copy, Debug)]
pub(super) struct CatchingUp {
    /// The state that it is at, if there is a copy.
    pub(super) from: Option<u64>,
}

/// An update of which some frames were sent.
#[derive(Debug)]
struct UnderWay {
    update: OutgoingUpdate,
    /// Whether the other end has asked for the whole listing since it began.
    starts_over: bool,
}

/// What to send next on a link.
#[derive(Debug)]
pub(super) enum Next {
    /// This frame, and then what is next.
    Send(Box<Frame>),
    /// Nothing until the shell reports that there is room again.
    AwaitRoom,
    /// Nothing: the other end is told all, or has to wait.
    Nothing,
}

impl Publishing {
    /// Begins to publish on a link. If `file_first` is given, a file is sent before the listing.
    pub(super) fn begin(&mut self, link: LinkId, at: Option<u64>, file_first: Option<Instant>) {
        let reader = Reader {
            at,
            held_until: file_first.map(|now| now + FILE_FIRST),
            wish: Wish::Entries,
            started_over: None,
            catches_up: true,
            under_way: None,
            sent: 0,
            awaits_room: false,
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

    /// Returns what the other end's copy lacks, if an update of it is about to begin that is its
    /// doing.
    pub(super) fn catching_up(&self, link: LinkId) -> Option<CatchingUp> {
        let reader = self.readers.get(&link)?;
        let begins = reader.may_begin() && reader.under_way.is_none() && reader.sent < AT_ONCE;
        (reader.catches_up && begins).then_some(CatchingUp { from: reader.at })
    }

    /// No update is begun on this link until then.
    pub(super) fn hold(&mut self, link: LinkId, until: Instant) {
        if let Some(reader) = self.readers.get_mut(&link) {
            reader.held_until = Some(until);
        }
    }

    pub(super) fn next_release(&self) -> Option<Instant> {
        let behind = self.behind.iter();
        let held = |reader: &Reader| reader.held_until.filter(|_| !reader.is_busy());
        behind
            .filter_map(|link| held(self.readers.get(link)?))
            .min()
    }

    /// Returns the links on which something of `seq` may be sent now.
    pub(super) fn due(&mut self, now: Instant, seq: u64) -> Vec<LinkId> {
        let mut due = Vec::new();
        if std::mem::replace(&mut self.seq, seq) != seq {
            self.behind.extend(self.readers.keys());
        }
        self.behind.retain(|link| {
            let Some(reader) = self.readers.get_mut(link) else {
                return false;
            };
            if reader.awaits_room {
                return true;
            }
            if reader.under_way.is_none() {
                if reader.held_until.is_some_and(|until| now < until) {
                    return true;
                }
                reader.held_until = None;
            }
            reader.catches_up &= reader.under_way.is_some() || reader.at != Some(seq);
            let is_due =
                reader.under_way.is_some() || reader.wants_entries() && reader.at != Some(seq);
            if is_due {
                due.push(*link);
            }
            is_due
        });
        due
    }

    /// Whether the other end lacks something that it may be sent now.
    pub(super) fn is_behind(&self, link: LinkId, seq: u64) -> bool {
        let reader = self.readers.get(&link);
        reader.is_some_and(|reader| {
            let is_held =
                !reader.wants_entries() || reader.held_until.is_some() || reader.awaits_room;
            !is_held && reader.at.is_some_and(|at| at != seq)
        })
    }

    /// Whether all that the other end lacks can wait for the next message.
    pub(super) fn may_wait(
        &self,
        link: LinkId,
        of: publisher::Reader,
        publisher: &Publisher,
    ) -> bool {
        let reader = self.readers.get(&link);
        reader
            .is_some_and(|reader| reader.under_way.is_none() && !publisher.is_urgent(reader.at, of))
    }

    /// A link is not told of this state of the listing, as it can wait for the next message.
    pub(super) fn wait(&mut self, link: LinkId) {
        self.behind.remove(&link);
    }

    /// Returns what to send next on a link that is due, to a reader that keeps at most `most`
    /// entries.
    pub(super) fn next(
        &mut self,
        link: LinkId,
        (most, of): (usize, publisher::Reader),
        publisher: &Publisher,
        catalogue: &Catalogue,
    ) -> Next {
        let Some(reader) = self.readers.get_mut(&link) else {
            return Next::Nothing;
        };
        if reader.sent >= AT_ONCE {
            reader.awaits_room = true;
            return Next::AwaitRoom;
        }
        let may_begin = reader.may_begin();
        let begin = |at| {
            let update = publisher.update_since(at, most, of, catalogue)?;
            let starts_over = false;
            Some(UnderWay {
                update,
                starts_over,
            })
        };
        let under_way = match reader.under_way.take() {
            None if may_begin => begin(reader.at),
            under_way => under_way,
        };
        let Some(mut under_way) = under_way else {
            return Next::Nothing;
        };
        let frame = if reader.wants_entries() {
            let frame = publisher.next_frame(&mut under_way.update, catalogue);
            if frame.last {
                let seq = under_way.update.seq();
                reader.at = (!under_way.starts_over).then_some(seq);
                reader.catches_up &= reader.at != Some(publisher.seq());
            } else {
                reader.under_way = Some(under_way);
            }
            frame
        } else {
            under_way.update.cut_short()
        };
        let frame = Frame::plain(frame);
        reader.sent += frame.size();
        Next::Send(Box::new(frame))
    }

    /// Most of the updates that were sent on this link are written.
    pub(super) fn on_room(&mut self, link: LinkId) {
        if let Some(reader) = self.readers.get_mut(&link) {
            reader.sent = 0;
            reader.awaits_room = false;
        }
    }

    /// Whether only some frames of an update were sent on this link, so that no other update may
    /// be sent there.
    pub(super) fn is_under_way(&self, link: LinkId) -> bool {
        let reader = self.readers.get(&link);
        reader.is_some_and(|reader| reader.under_way.is_some())
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
            if let Some(under_way) = &mut reader.under_way {
                under_way.starts_over = true;
            }
            if !reader.wants_entries() {
                reader.wish = Wish::EntriesAgain;
            }
            reader.catches_up = true;
            self.behind.insert(link);
            if reader.started_over.replace(now).is_some() {
                // Asking again while it waits makes the wait no longer.
                reader.held_until.get_or_insert(now + WHOLE_AGAIN);
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
        if reader.under_way.is_some() {
            self.behind.insert(link);
        }
        std::mem::replace(&mut reader.wish, Wish::Nothing) == Wish::Entries
    }

    /// Whether the other end gets signs of life only.
    pub(super) fn is_stopped(&self, link: LinkId) -> bool {
        let reader = self.readers.get(&link);
        reader.is_some_and(|reader| !reader.wants_entries())
    }
}

impl Reader {
    fn wants_entries(&self) -> bool {
        self.wish != Wish::Nothing
    }

    fn may_begin(&self) -> bool {
        self.wants_entries() && self.held_until.is_none()
    }

    /// Whether it gets nothing new before something else has happened than that time passes.
    fn is_busy(&self) -> bool {
        self.awaits_room || self.under_way.is_some()
    }
}

#[cfg(test)]
mod tests;

//! Which links get updates of this peer's listing, how far each has got, and how much of an update
//! may wait to be sent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use thorp_wire::frame::Frame;

use crate::catalogue::Catalogue;
use crate::links::LinkId;
use crate::publisher::{self, OutgoingUpdate, Publisher, Reader};
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
    copies: BTreeMap<LinkId, TheirCopy>,
    /// The links that may need an update, now or once they are no longer held or have room. The
    /// others need not be checked.
    behind: BTreeSet<LinkId>,
    /// The state of the listing with which the copies were compared.
    seq: u64,
}

#[derive(Debug)]
struct TheirCopy {
    /// The state of the other end's copy.
    at: Option<u64>,
    held_until: Option<Instant>,
    takes: Takes,
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
enum Takes {
    Entries,
    /// Entries, after it had wanted none. The user was told.
    EntriesAgain,
    Nothing,
}

/// A copy that is about to be brought to the newest state because its owner has come, or has lost
/// it.
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
        let copy = TheirCopy {
            at,
            held_until: file_first.map(|now| now + FILE_FIRST),
            takes: Takes::Entries,
            started_over: None,
            catches_up: true,
            under_way: None,
            sent: 0,
            awaits_room: false,
        };
        self.copies.insert(link, copy);
        self.behind.insert(link);
    }

    pub(super) fn end(&mut self, link: LinkId) {
        self.copies.remove(&link);
        self.behind.remove(&link);
    }

    /// The file that was to be sent first has been sent.
    pub(super) fn release(&mut self, link: LinkId) {
        if let Some(copy) = self.copies.get_mut(&link) {
            copy.held_until = None;
        }
    }

    /// Returns what the other end's copy lacks, if an update of it is about to begin that is its
    /// doing.
    pub(super) fn catching_up(&self, link: LinkId) -> Option<CatchingUp> {
        let copy = self.copies.get(&link)?;
        let begins = copy.may_begin() && copy.under_way.is_none() && copy.sent < AT_ONCE;
        (copy.catches_up && begins).then_some(CatchingUp { from: copy.at })
    }

    /// No update is begun on this link until then.
    pub(super) fn hold(&mut self, link: LinkId, until: Instant) {
        if let Some(copy) = self.copies.get_mut(&link) {
            copy.held_until = Some(until);
        }
    }

    pub(super) fn next_release(&self) -> Option<Instant> {
        let behind = self.behind.iter();
        let held = |copy: &TheirCopy| copy.held_until.filter(|_| !copy.is_busy());
        behind.filter_map(|link| held(self.copies.get(link)?)).min()
    }

    /// Returns the links on which something of `seq` may be sent now.
    pub(super) fn due(&mut self, now: Instant, seq: u64) -> Vec<LinkId> {
        let mut due = Vec::new();
        if std::mem::replace(&mut self.seq, seq) != seq {
            self.behind.extend(self.copies.keys());
        }
        self.behind.retain(|link| {
            let Some(copy) = self.copies.get_mut(link) else {
                return false;
            };
            if copy.awaits_room {
                return true;
            }
            if copy.under_way.is_none() {
                if copy.held_until.is_some_and(|until| now < until) {
                    return true;
                }
                copy.held_until = None;
            }
            copy.catches_up &= copy.under_way.is_some() || copy.at != Some(seq);
            let is_due = copy.under_way.is_some() || copy.wants_entries() && copy.at != Some(seq);
            if is_due {
                due.push(*link);
            }
            is_due
        });
        due
    }

    /// Whether the other end lacks something that it may be sent now.
    pub(super) fn is_behind(&self, link: LinkId, seq: u64) -> bool {
        let copy = self.copies.get(&link);
        copy.is_some_and(|copy| {
            let is_held = !copy.wants_entries() || copy.held_until.is_some() || copy.awaits_room;
            !is_held && copy.at.is_some_and(|at| at != seq)
        })
    }

    /// Whether all that the other end lacks can wait for the next message.
    pub(super) fn may_wait(&self, link: LinkId, reader: Reader, publisher: &Publisher) -> bool {
        let copy = self.copies.get(&link);
        copy.is_some_and(|copy| copy.under_way.is_none() && !publisher.is_urgent(copy.at, reader))
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
        (most, reader): (usize, Reader),
        publisher: &Publisher,
        catalogue: &Catalogue,
    ) -> Next {
        let Some(copy) = self.copies.get_mut(&link) else {
            return Next::Nothing;
        };
        if copy.sent >= AT_ONCE {
            copy.awaits_room = true;
            return Next::AwaitRoom;
        }
        let may_begin = copy.may_begin();
        let begin = |at| {
            let update = publisher.update_since(at, most, reader, catalogue)?;
            let starts_over = false;
            Some(UnderWay {
                update,
                starts_over,
            })
        };
        let under_way = match copy.under_way.take() {
            None if may_begin => begin(copy.at),
            under_way => under_way,
        };
        let Some(mut under_way) = under_way else {
            return Next::Nothing;
        };
        let frame = if copy.wants_entries() {
            let frame = publisher.next_frame(&mut under_way.update, catalogue);
            if frame.last {
                let seq = under_way.update.seq();
                copy.at = (!under_way.starts_over).then_some(seq);
                copy.catches_up &= copy.at != Some(publisher.seq());
            } else {
                copy.under_way = Some(under_way);
            }
            frame
        } else {
            under_way.update.cut_short()
        };
        let frame = Frame::plain(frame);
        copy.sent += frame.size();
        Next::Send(Box::new(frame))
    }

    /// Most of the updates that were sent on this link are written.
    pub(super) fn on_room(&mut self, link: LinkId) {
        if let Some(copy) = self.copies.get_mut(&link) {
            copy.sent = 0;
            copy.awaits_room = false;
        }
    }

    /// Whether only some frames of an update were sent on this link, so that no other update may
    /// be sent there.
    pub(super) fn is_under_way(&self, link: LinkId) -> bool {
        let copy = self.copies.get(&link);
        copy.is_some_and(|copy| copy.under_way.is_some())
    }

    /// Returns the state of the other end's copy, if it has one.
    pub(super) fn position(&self, link: LinkId) -> Option<u64> {
        self.copies.get(&link)?.at
    }

    /// The other end has lost its copy, or has room for one now: sends the whole listing, without
    /// delay the first time.
    pub(super) fn start_over(&mut self, now: Instant, link: LinkId) {
        if let Some(copy) = self.copies.get_mut(&link) {
            copy.at = None;
            if let Some(under_way) = &mut copy.under_way {
                under_way.starts_over = true;
            }
            if !copy.wants_entries() {
                copy.takes = Takes::EntriesAgain;
            }
            copy.catches_up = true;
            self.behind.insert(link);
            if copy.started_over.replace(now).is_some() {
                // Asking again while it waits makes the wait no longer.
                copy.held_until.get_or_insert(now + WHOLE_AGAIN);
            }
        }
    }

    /// The other end does not keep a copy: it gets only signs of life until it asks for one.
    /// Returns whether this is news.
    pub(super) fn stop(&mut self, link: LinkId) -> bool {
        let Some(copy) = self.copies.get_mut(&link) else {
            return false;
        };
        copy.at = None;
        if copy.under_way.is_some() {
            self.behind.insert(link);
        }
        std::mem::replace(&mut copy.takes, Takes::Nothing) == Takes::Entries
    }

    /// Whether the other end gets signs of life only.
    pub(super) fn is_stopped(&self, link: LinkId) -> bool {
        let copy = self.copies.get(&link);
        copy.is_some_and(|copy| !copy.wants_entries())
    }
}

impl TheirCopy {
    fn wants_entries(&self) -> bool {
        self.takes != Takes::Nothing
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

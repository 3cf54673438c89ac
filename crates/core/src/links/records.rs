//! The group record: which one this node has, and who is to be told of it.
//!
//! The same in tracker and peer. Any member tells any other, so a record goes
//! wherever links go, with or without a tracker; and as each end knows what the
//! other one has, it goes over each link once. Whether a record is genuine is
//! the shell's to find out: only then it is [adopted](Records::adopt).
//!
//! Removed keys only become more. A newer record that leaves one out was signed
//! by a tracker that does not know of it, as it was restored from a backup: it is
//! not adopted, and its sender is told of ours, so that the tracker can learn.

use thorp_wire::PeerId;
use thorp_wire::frame::{Frame, Record, SignedRecord};

use super::table::{Link, LinkId, Table};

/// The newest record that this node has.
#[derive(Debug, Default)]
pub struct Records {
    newest: Option<SignedRecord>,
}

/// What a newly adopted record leads to, to be done in this order.
#[derive(Debug, Default)]
pub struct Spread {
    /// Send these.
    pub tell: Vec<(LinkId, Frame)>,
    /// Close these: their members are none any more.
    pub part: Vec<LinkId>,
}

impl Records {
    /// The number of the newest record, if there is one.
    pub fn number(&self) -> Option<u64> {
        Some(self.newest.as_ref()?.record().number)
    }

    /// Whether this key is no member any more.
    pub fn removes(&self, id: PeerId) -> bool {
        self.newest
            .as_ref()
            .is_some_and(|newest| newest.record().removes(&id))
    }

    /// The other end says which record it has. Returns what to send it, if that
    /// is an older one.
    pub fn heard(&self, link: &mut Link, number: Option<u64>) -> Option<Frame> {
        link.record = link.record.max(number.unwrap_or(0));
        self.offer(link)
    }

    /// Whether a record that has arrived is worth being verified: a newer one,
    /// that lets no removed member in again. Others are dropped.
    pub fn is_news(&self, record: &SignedRecord) -> bool {
        let record = record.record();
        self.newest.as_ref().is_none_or(|newest| {
            let newest = newest.record();
            newest.number < record.number && record.removes_all_of(newest)
        })
    }

    /// Whether a record, new or old, removes a member that ours does not. If it
    /// is genuine, the tracker has to say so to all members.
    pub fn teaches(&self, record: &SignedRecord) -> bool {
        let record = record.record();
        match &self.newest {
            Some(newest) => !newest.record().removes_all_of(record),
            None => !record.removed.is_empty(),
        }
    }

    /// What to send back on a link that brought a newer record than ours, if that
    /// would let a removed member in again. Once on each link.
    pub fn objection(&self, link: &mut Link, record: &SignedRecord) -> Option<Frame> {
        let newest = self.newest.as_ref()?;
        let lets_in_again = !record.record().removes_all_of(newest.record());
        if !lets_in_again || std::mem::replace(&mut link.objected, true) {
            return None;
        }
        let record = newest.clone();
        Some(Frame::plain(Record { record }))
    }

    /// A record has been verified. Nothing happens if it is no news.
    pub fn adopt(&mut self, links: &mut Table, record: SignedRecord) -> Spread {
        let mut spread = Spread::default();
        if !self.is_news(&record) {
            return spread;
        }
        self.newest = Some(record);
        let all: Vec<LinkId> = links.all().map(|(id, _)| id).collect();
        for id in all {
            let Some(link) = links.get_mut(id) else {
                continue;
            };
            let removed = self.removes(link.member.id);
            // A removed member is told so at once. The others say first which
            // one they have.
            if removed || link.hello.is_some() {
                let offer = self.offer(link);
                spread.tell.extend(offer.map(|frame| (id, frame)));
            }
            if removed {
                spread.part.push(id);
            }
        }
        spread
    }

    fn offer(&self, link: &mut Link) -> Option<Frame> {
        let newest = self.newest.as_ref()?;
        if link.record >= newest.record().number {
            return None;
        }
        link.record = newest.record().number;
        let record = newest.clone();
        Some(Frame::plain(Record { record }))
    }
}

//! The group record: which one this node has, and which members to send it to.
//!
//! The same for tracker and peer. Any member passes a record on to any other, so it reaches every
//! linked member, with or without a tracker. Each end knows which record the other one has, so a
//! record crosses each link once. The shell verifies the signature of a record before it is
//! [adopted](RecordRelay::adopt).
//!
//! A removed key stays removed. A newer record without it comes from a tracker that was restored
//! from an older backup: this node does not adopt such a record, and sends its own back, so that
//! the tracker learns of the removed key.

use thorp_wire::PeerId;
use thorp_wire::frame::{Frame, Record, SignedRecord};

use super::table::{Link, LinkId, Table};

/// The newest record that this node has.
#[derive(Debug, Default)]
pub struct RecordRelay {
    newest: Option<SignedRecord>,
}

/// What follows from a newly adopted record, in this order.
#[derive(Debug, Default)]
pub struct Spread {
    /// Frames to send.
    pub tell: Vec<(LinkId, Frame)>,
    /// Links to close because their members were removed.
    pub part: Vec<LinkId>,
}

impl RecordRelay {
    /// Returns the number of the newest record, if there is one.
    pub fn number(&self) -> Option<u64> {
        Some(self.newest.as_ref()?.record().number)
    }

    /// Whether the newest record removes this key.
    pub fn removes(&self, id: PeerId) -> bool {
        self.newest
            .as_ref()
            .is_some_and(|newest| newest.record().removes(&id))
    }

    /// Whether the group is open: any machine that asks becomes a member.
    pub fn is_open(&self) -> bool {
        let newest = self.newest.as_ref();
        newest.is_some_and(|newest| newest.record().open)
    }

    /// Records which record the other end has. Returns the newest record to send, if the other
    /// end's is older.
    pub fn on_record_number(&self, link: &mut Link, number: Option<u64>) -> Option<Frame> {
        link.record = link.record.max(number.unwrap_or(0));
        self.offer(link)
    }

    /// Whether a received record is worth verifying: it is newer and lets no removed member in
    /// again. Other records are dropped.
    pub fn is_news(&self, record: &SignedRecord) -> bool {
        let record = record.record();
        self.newest.as_ref().is_none_or(|newest| {
            let newest = newest.record();
            newest.number < record.number && record.removes_all_of(newest)
        })
    }

    /// Whether a record, new or old, removes a member that the newest one does not. If it is
    /// genuine, the tracker has to issue a record that also removes that member.
    pub fn teaches(&self, record: &SignedRecord) -> bool {
        let record = record.record();
        match &self.newest {
            Some(newest) => !newest.record().removes_all_of(record),
            None => !record.removed.is_empty(),
        }
    }

    /// Returns the newest record, to be sent back on a link that brought a newer one which would
    /// let a removed member in again. Only once on each link.
    pub fn objection(&self, link: &mut Link, record: &SignedRecord) -> Option<Frame> {
        let newest = self.newest.as_ref()?;
        let lets_in_again = !record.record().removes_all_of(newest.record());
        if !lets_in_again || std::mem::replace(&mut link.objected, true) {
            return None;
        }
        let record = newest.clone();
        Some(Frame::plain(Record { record }))
    }

    /// Adopts a verified record. It is dropped if it is not news.
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
            // A removed member gets the record at once; other members first tell which record they
            // have.
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

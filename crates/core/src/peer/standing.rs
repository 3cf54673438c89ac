//! This peer as a member: its certificate is renewed, its links outlive the
//! certificates they were made with, and removed members are out of them.
//!
//! What a record says, and to whom it goes, is in [`relay`](crate::relay).

use thorp_wire::frame::{Body, Frame, Join, RequestId, SignedRecord};

use super::{Output, Peer, Target};
use crate::links::LinkId;
use crate::relay::{FORGED, REMOVED};
use crate::time::Instant;

impl Peer {
    /// Somebody tells of a group record.
    pub(super) fn told_of_record(&mut self, now: Instant, id: LinkId, record: SignedRecord) {
        self.heard_of_record(now, id, Some(record.record().number));
        if self.relay.is_news(&record) {
            self.out.push_back(Output::Verify(id, record));
        } else if let Some(link) = self.links.get_mut(id)
            && let Some(objection) = self.relay.objection(link, &record)
        {
            self.send(now, id, objection);
        }
    }

    /// Somebody says which group record it has.
    pub(super) fn heard_of_record(&mut self, now: Instant, id: LinkId, number: Option<u64>) {
        let Some(link) = self.links.get_mut(id) else {
            return;
        };
        if let Some(frame) = self.relay.heard(link, number) {
            self.send(now, id, frame);
        }
    }

    pub(super) fn adopt(&mut self, now: Instant, record: SignedRecord) {
        if !self.relay.is_news(&record) {
            return;
        }
        for removed in &record.record().removed {
            self.remembered.forget(now, *removed);
        }
        let spread = self.relay.adopt(&mut self.links, record);
        for (link, frame) in spread.tell {
            self.send(now, link, frame);
        }
        for link in spread.part {
            self.close(now, link, REMOVED);
        }
        if self.relay.removes(self.config.me.id) {
            self.out.push_back(Output::Removed);
            self.stop(now, "it was removed from the group");
        }
    }

    pub(super) fn forged(&mut self, now: Instant, link: LinkId) {
        self.close(now, link, FORGED);
    }

    /// Asks the tracker for a new certificate. One question at a time.
    pub(super) fn renew(&mut self, now: Instant, join: Join) {
        let Some(link) = self.home.link() else {
            self.out.push_back(Output::Renewed(None));
            return;
        };
        let request = self.links.next_request(link);
        self.renewing = Some((link, request));
        self.send(now, link, Frame::with_request(request, join));
    }

    /// Whether this answered the question for a new certificate.
    pub(super) fn renewed(&mut self, id: LinkId, request: RequestId, body: &Body) -> bool {
        let is_it = self.renewing == Some((id, request));
        let answer = match body {
            Body::Joined(joined) => Ok(joined.clone()),
            Body::Refused(refused) => Err(refused.text.clone()),
            _ => return false,
        };
        if is_it {
            self.renewing = None;
            self.out.push_back(Output::Renewed(Some(answer)));
        }
        is_it
    }

    pub(super) fn not_renewed(&mut self, id: LinkId) {
        if self.renewing.take_if(|(link, _)| *link == id).is_some() {
            self.out.push_back(Output::Renewed(None));
        }
    }

    /// A link will end with its certificate soon. Whoever dialled it makes another
    /// one in time, which replaces it at both ends.
    pub(super) fn remake(&mut self, id: LinkId) {
        let Some(link) = self.links.get(id).filter(|link| link.dialled) else {
            return;
        };
        let member = link.member.id;
        if self.home.link() == Some(id) {
            self.out.push_back(Output::Dial(Target::Tracker));
        } else if self.neighbours.contains(member)
            && self.links.to(member).is_some_and(|(up, _)| up == id)
        {
            let whom = link.holder();
            self.reach(whom);
        }
    }
}

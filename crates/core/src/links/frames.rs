//! Handles each frame that arrives on a link, and passes on as events what the tracker or peer has
//! to handle.

use std::time::Duration;

use thorp_wire::frame::{
    Ack, Body, Find, Frame, Hello, Join, Leave, Reason, Refused, RequestId, SignedRecord,
};

use super::table::{Greeted, Link, LinkId};
use super::turns::{self, Question};
use super::{Closing, Event, Links, Output, Role};
use crate::answer::too_busy;
use crate::budget::{Effort, Work};
use crate::time::Instant;

impl Links {
    pub(super) fn on_frame(&mut self, now: Instant, id: LinkId, frame: Frame) {
        self.table.heard(now, id);
        let Some(link) = self.table.get(id) else {
            return;
        };
        let may_come_first = matches!(
            frame.body,
            Body::Hello(_) | Body::Leave(_) | Body::Record(_)
        );
        if link.hello.is_none() && !may_come_first {
            self.shut(now, id, "no hello first");
            return;
        }
        match (frame.body, frame.request) {
            (Body::Hello(hello), _) => self.on_hello(now, id, hello),
            (Body::Update(update), _) => self.on_update(now, id, update),
            (Body::Ack(ack), _) => self.on_ack(now, id, ack),
            (Body::Record(record), _) => self.on_record(now, id, record.record),
            (Body::Leave(leave), _) => self.on_leave(id, &leave),
            (Body::Find(find), Some(request)) => self.on_find(now, id, request, find),
            (Body::Join(join), Some(request)) => self.on_join(now, id, request, join),
            (Body::Get(_), Some(request)) => self.on_get(now, id, request),
            (Body::Found(mut found), Some(request)) => {
                self.table.believe(id, &mut found);
                self.events.push(Event::Found {
                    link: id,
                    request,
                    found,
                });
            }
            (Body::Refused(refused), Some(request)) => self.events.push(Event::Refused {
                link: id,
                request,
                refused,
            }),
            (Body::Joined(joined), Some(request)) => self.events.push(Event::Joined {
                link: id,
                request,
                joined,
            }),
            // A question without a request number cannot be answered, and an answer without one
            // belongs to no question. The shell handles `Content` itself.
            _ => {}
        }
    }

    fn on_hello(&mut self, now: Instant, id: LinkId, hello: Hello) {
        let (epoch, record, applied) = (hello.epoch, hello.record, hello.applied);
        match self.table.greeted(now, id, hello) {
            Greeted::Up { replaces } => {
                self.on_record_number(now, id, record);
                self.on_up(now, id, epoch);
                let own_epoch = self.me().epoch;
                let their_copy = applied.filter(|position| position.epoch == own_epoch);
                self.events.push(Event::Up {
                    link: id,
                    their_copy: their_copy.map(|position| position.seq),
                });
                if let Some(old) = replaces {
                    self.shut(now, old, "replaced by a newer link");
                }
            }
            Greeted::Readdressed => self.on_readdressed(id),
            Greeted::Again => {}
            Greeted::Restless => {
                self.shut(now, id, "it says too often that its addresses have changed");
            }
            Greeted::Redundant => self.hang_up(id, "there is another link already"),
            Greeted::NoCommonVersion => self.shut(now, id, "no common version of the protocol"),
            Greeted::Twice => self.shut(now, id, "a second hello"),
        }
    }

    /// Brings a link up. The member gets a new chance to be listed; if it was restarted, its
    /// listing begins empty.
    fn on_up(&mut self, now: Instant, id: LinkId, epoch: u64) {
        let Some(link) = self.table.get(id) else {
            return;
        };
        let peer = link.member.id;
        let theirs = link.member.tracker.then(|| link.liveness.theirs());
        let is_listed = self.keeps_listing_of(link);
        if !is_listed {
            self.expected.remove(&peer);
        }
        self.unlisted.remove(&peer);
        let known = self.catalogue.position(peer);
        // What serving clients costs here is paid for with the listing, so that comes anew.
        let hello = link.hello.as_ref();
        let before = self.present.get(peer);
        let is_other_face = before
            .is_some_and(|before| hello.is_some_and(|hello| hello.bittorrent != before.bittorrent));
        let is_other = known.is_some_and(|position| position.epoch != epoch) || is_other_face;
        if !is_listed || is_other {
            self.forget_listing(peer);
        }
        if let Some(interval) = self.role.grants().or(theirs) {
            self.table.agree(now, id, interval);
        }
        let position = self.catalogue.position(peer).map(|position| position.seq);
        let link = self.table.get(id);
        if let Some(presence) = link.and_then(|link| link.presence(position, is_listed)) {
            self.present.insert(presence);
        }
    }

    fn on_ack(&mut self, now: Instant, id: LinkId, ack: Ack) {
        self.on_record_number(now, id, ack.record);
        let is_tracker = |link: &Link| link.member.tracker;
        if self.table.get(id).is_some_and(is_tracker)
            && let Some(interval) = ack.interval
        {
            let interval = Duration::from_millis(interval.into());
            self.table.agree(now, id, interval);
        }
        self.events.push(Event::Acknowledged { link: id, ack });
    }

    /// Answers a question at once if the budget allows, otherwise queues it.
    fn on_find(&mut self, now: Instant, id: LinkId, request: RequestId, find: Find) {
        if !self.may_ask(now, id, request) {
            return;
        }
        let account = self.account(id);
        if self
            .turns
            .is_next(now, account, turns::effort_of(&find), &mut self.budgets)
        {
            self.events.push(Event::Asked {
                link: id,
                request,
                find,
            });
            return;
        }
        if !self.turns.has_room_for(id) {
            self.send(now, id, Frame::with_request(request, too_busy()));
            return;
        }
        let size = turns::size_of(&find);
        let question = Question {
            link: id,
            request,
            find,
        };
        self.turns.ask(now, account, question, &mut self.budgets);
        for link in self.table.queue(id, account, size) {
            self.crowd_out(now, link);
        }
    }

    /// Only a tracker issues certificates; a peer does not answer.
    fn on_join(&mut self, now: Instant, id: LinkId, request: RequestId, join: Join) {
        if self.role == Role::Peer || !self.may_ask(now, id, request) {
            return;
        }
        let account = self.account(id);
        self.budgets
            .on_answered(now, account, Effort::Named, Work::CERTIFICATE);
        if let Some(link) = self.table.get(id) {
            self.events.push(Event::RenewalAsked {
                link: id,
                request,
                member: link.member.id,
                join,
            });
        }
    }

    /// Refuses `Get` at a tracker; at a peer the shell answers it.
    fn on_get(&mut self, now: Instant, id: LinkId, request: RequestId) {
        if self.role == Role::Peer {
            return;
        }
        let refused = Refused {
            reason: Reason::NotServed,
            text: "a tracker has no files".into(),
        };
        self.send(now, id, Frame::with_request(request, refused));
    }

    /// Whether a member may ask now. If not, sends it a refusal.
    fn may_ask(&mut self, now: Instant, id: LinkId, request: RequestId) -> bool {
        let account = self.account(id);
        let is_spent = self.budgets.has_asked_enough(now, account);
        if is_spent {
            self.send(now, id, Frame::with_request(request, too_busy()));
        }
        !is_spent
    }

    /// A member has sent a group record. A tracker learns even from an old record which members
    /// were removed. A peer sends its own record back if a newer one would let a removed member in
    /// again.
    fn on_record(&mut self, now: Instant, id: LinkId, record: SignedRecord) {
        self.on_record_number(now, id, Some(record.record().number));
        let is_tracker = self.role != Role::Peer;
        if self.records.is_news(&record) || (is_tracker && self.records.teaches(&record)) {
            self.out.push_back(Output::Verify(id, record));
        } else if !is_tracker
            && let Some(link) = self.table.get_mut(id)
            && let Some(objection) = self.records.objection(link, &record)
        {
            self.send(now, id, objection);
        }
    }

    /// A member has told which group record it has.
    fn on_record_number(&mut self, now: Instant, id: LinkId, number: Option<u64>) {
        let Some(link) = self.table.get_mut(id) else {
            return;
        };
        if let Some(frame) = self.records.on_record_number(link, number) {
            self.send(now, id, frame);
        }
    }

    fn on_leave(&mut self, id: LinkId, leave: &Leave) {
        let reason = format!("it left: {}", leave.reason);
        self.out
            .push_back(Output::Close(id, Closing::Because(reason.clone())));
        self.on_link_down(id, &reason, true);
    }
}

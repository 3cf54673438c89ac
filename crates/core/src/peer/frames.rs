//! Frames in: where each goes, and what updates and their answers do.
//!
//! Questions of others are answered in [`answering`](super::answering),
//! answers to our own go to [`asking`](super::asking).

use std::time::Duration;

use thorp_wire::frame::{Ack, Body, Frame, Update};

use super::{Notice, Output, Peer};
use crate::catalogue::{Applied, Bounds};
use crate::gather::Gathered;
use crate::links::LinkId;
use crate::time::Instant;

/// A neighbour's listing may have this many entries; all of them together this many bytes.
pub(super) const NEIGHBOUR_BOUNDS: Bounds = Bounds {
    entries: 100_000,
    bytes: 256 * 1024 * 1024,
};
/// What all updates that are arriving may come to, in bytes, besides.
const ARRIVING: u64 = 64 * 1024 * 1024;

impl Peer {
    pub(super) fn frame(&mut self, now: Instant, id: LinkId, frame: Frame) {
        self.links.heard(now, id);
        let Some(link) = self.links.get(id) else {
            return;
        };
        let greets = matches!(
            frame.body,
            Body::Hello(_) | Body::Leave(_) | Body::Record(_)
        );
        if link.hello.is_none() && !greets {
            self.close(now, id, "no hello first");
            return;
        }
        if let Some(request) = frame.request
            && self.renewed(id, request, &frame.body)
        {
            return;
        }
        match (frame.body, frame.request) {
            (Body::Record(record), _) => self.told_of_record(now, id, record.record),
            (Body::Hello(hello), _) => self.greeted(now, id, hello),
            (Body::Update(update), _) => self.update(now, id, update),
            (Body::Ack(ack), _) => self.acknowledged(now, id, &ack),
            (Body::Find(find), Some(request)) => self.asked(now, id, request, find),
            (Body::Found(found), Some(request)) => self.found(now, id, request, found),
            (Body::Refused(refused), Some(request)) => self.refused(id, request, &refused),
            (Body::Leave(leave), _) => {
                self.goodbye(now, id);
                self.left(now, id, &format!("it left: {}", leave.reason));
            }
            // Questions without a number cannot be answered. Get and Content
            // are the shell's, joining has a protocol of its own.
            _ => {}
        }
    }

    fn update(&mut self, now: Instant, id: LinkId, frame: Update) {
        let Some(link) = self.links.get(id) else {
            return;
        };
        let peer = link.member.id;
        let Some(epoch) = link.hello.as_ref().map(|hello| hello.epoch) else {
            return;
        };
        if !self.neighbours.contains(peer) || self.publishing.is_unlisted(peer) {
            return;
        }
        let Gathered {
            update,
            too_long,
            crowded_out,
            ..
        } = match self.links.gather(id, frame, NEIGHBOUR_BOUNDS, ARRIVING) {
            Ok(Some(gathered)) => gathered,
            Ok(None) => return,
            Err(error) => {
                self.close(now, id, &error.to_string());
                return;
            }
        };
        let changes = update.since != Some(update.seq);
        let applied = if too_long {
            self.catalogue.forget(peer);
            Applied::OverBounds
        } else if crowded_out {
            Applied::NeedsFull
        } else {
            self.catalogue.apply(peer, epoch, update)
        };
        if applied == Applied::OverBounds {
            self.publishing.unlist(peer);
            if let Some(link) = self.links.get(id) {
                let notice = Notice::ListingTooLarge(link.holder());
                self.out.push_back(Output::Notice(notice));
            }
        }
        if applied != Applied::Yes {
            let ack = Ack {
                seq: None,
                interval: None,
                unlisted: applied == Applied::OverBounds,
                record: self.relay.number(),
            };
            self.send(now, id, Frame::plain(ack));
        }
        if changes {
            self.out.push_back(Output::Changed);
        }
    }

    fn acknowledged(&mut self, now: Instant, id: LinkId, ack: &Ack) {
        let Some(link) = self.links.get(id) else {
            return;
        };
        let holder = link.holder();
        self.heard_of_record(now, id, ack.record);
        let Some(link) = self.links.get(id) else {
            return;
        };
        if let (true, Some(interval)) = (link.member.tracker, ack.interval) {
            self.links
                .agree(now, id, Duration::from_millis(interval.into()));
        }
        if ack.unlisted {
            if self.publishing.stop(id) {
                self.out.push_back(Output::Notice(Notice::Unlisted(holder)));
            }
        } else if ack.seq.is_none() {
            self.publishing.start_over(now, id);
        }
    }
}

//! Passes each event of the links on to where it is handled.
//!
//! The effect of frames on the link itself is decided in [`links`](crate::links). Questions of
//! other members are answered in [`answering`](super::answering), answers to this peer's questions
//! are handled in [`asking`](super::asking).

use thorp_wire::frame::Ack;

use super::{Notice, Output, Peer};
use crate::changes::Row;
use crate::links::{self, Event, LinkId, Party, Table};
use crate::time::Instant;

impl Peer {
    /// Handles an input about one link, or about all.
    pub(super) fn on_link_input(&mut self, now: Instant, input: links::Input) {
        match &input {
            links::Input::Connected {
                member, dialled, ..
            } if *dialled => self.wanted.dialled(member.id),
            links::Input::Room { link } => self.publishing.on_room(*link),
            links::Input::Stop { .. } => self.on_stop(now),
            _ => {}
        }
        let (config, neighbours, fetches) = (&self.config, &self.neighbours, &self.fetches);
        let offer = |table: &Table, member: &Party| {
            super::linking::terms(now, config, neighbours, fetches, table, member)
        };
        let events = self.links.handle(now, input, &offer);
        self.on_events(now, events);
    }

    pub(super) fn on_events(&mut self, now: Instant, events: Vec<Event>) {
        self.pass_on();
        for event in events {
            self.on_event(now, event);
        }
    }

    fn on_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::TurnedAway { member, reason } => self.on_turned_away(now, member, reason),
            Event::Up { link, their_copy } => self.on_up(now, link, their_copy),
            Event::Moved { link } => self.on_moved(now, link),
            Event::Down(down) => self.on_down(now, down),
            Event::ListingChanged { member } | Event::Regrouped { member } => {
                self.out.push_back(Output::Changed(Row::Member(member)));
            }
            Event::Unlisted(holder) => {
                let notice = Notice::ListingTooLarge(holder);
                self.out.push_back(Output::Notice(notice));
            }
            Event::Flowing { member, bytes } => self.fetches.flowing(now, member, bytes),
            Event::Asked {
                link,
                request,
                find,
            } => self.on_asked(now, link, request, find),
            Event::Found {
                link,
                request,
                found,
            } => self.found(now, link, request, found),
            Event::Refused {
                link,
                request,
                refused,
            } => {
                if self.is_about_renewal(link, request) {
                    self.on_renewed(Err(refused.text.to_string()));
                } else {
                    self.refused(now, link, request, &refused);
                }
            }
            Event::Joined {
                link,
                request,
                joined,
            } => {
                if self.is_about_renewal(link, request) {
                    self.on_renewed(Ok(joined));
                }
            }
            Event::Acknowledged { link, ack } => self.on_acknowledged(now, link, &ack),
            Event::Adopted { removed } => {
                for member in removed {
                    self.remembered.forget(now, member);
                }
            }
            Event::Expelled => {
                self.removed = true;
                self.out.push_back(Output::Removed);
                let reason = "it was removed from the group".to_owned();
                self.on_link_input(now, links::Input::Stop { reason });
            }
            Event::Expiring { link } => self.on_expiring(link),
            Event::Silent { link } => self.on_silent(now, link),
            // Only a tracker handles these.
            Event::RenewalAsked { .. } | Event::LookedUp(_) => {}
        }
    }

    fn on_acknowledged(&mut self, now: Instant, id: LinkId, ack: &Ack) {
        if ack.unlisted {
            if self.publishing.stop(id)
                && let Some(link) = self.links.get(id)
            {
                let notice = Notice::Unlisted(link.holder());
                self.out.push_back(Output::Notice(notice));
            }
        } else if let Some(seq) = ack.seq {
            if self.links.get(id).is_some_and(|link| link.member.tracker) {
                self.acknowledged = seq;
            }
        } else {
            self.publishing.start_over(now, id);
        }
    }
}

//! The links of a running node: frames go out over them, and what happens on
//! them comes in.
//!
//! Who is at the other end and what to say to them is decided in
//! [`thorp_core::links`]; how a stream becomes a queue of frames is
//! [`link`](crate::net::link)'s.

use std::collections::HashMap;
use std::net::IpAddr;

use thorp_core::bound::Account;
use thorp_core::links::LinkId;
use thorp_group::clock::Clock;
use thorp_group::tls::MemberTls;
use thorp_wire::frame::{Frame, Reason, Refused, RequestId};

use super::counting::Counted;
use super::talk;
use crate::net::dial::Connected;
use crate::net::keep_few_unsent;
use crate::net::link::{self, Arrival, Arrivals, Inbox, LinkSender, Term};

pub(super) struct Wires {
    tls: MemberTls,
    clock: Clock,
    all: HashMap<LinkId, Wire>,
    last: u64,
    inbox: Inbox,
    arrivals: Arrivals,
    counted: Counted,
}

struct Wire {
    sender: LinkSender,
    /// Who is at the other end, for the log.
    who: String,
    /// Whether one of its ends is the group's tracker.
    is_trackers: bool,
    /// This machine's address at this end, as long as it has that.
    local: Option<IpAddr>,
}

impl Wires {
    pub(super) fn new(tls: MemberTls, clock: Clock) -> Self {
        let (inbox, arrivals) = link::inbox();
        Self {
            tls,
            clock,
            all: HashMap::new(),
            last: 0,
            inbox,
            arrivals,
            counted: Counted::default(),
        }
    }

    /// Makes a connection into a link. It lasts no longer than both certificates.
    pub(super) fn open(&mut self, connected: Connected) -> LinkId {
        let Connected {
            stream,
            member,
            address,
        } = connected;
        self.last += 1;
        let link = LinkId(self.last);
        let socket = stream.get_ref().0.get_ref();
        let local = socket.local_addr();
        keep_few_unsent(socket);
        let term = Term {
            clock: self.clock.clone(),
            ends: member.ends.min(self.tls.member().ends),
        };
        let is_open = self.tls.records().is_open();
        let account = Account::of(member.id, address.ip(), is_open);
        let wire = Wire {
            sender: link::start(link, stream, term, self.inbox.of(account)),
            who: talk::called(member.name.as_ref(), member.id),
            is_trackers: member.tracker || self.tls.member().tracker,
            local: local.ok().map(|local| local.ip()),
        };
        self.all.insert(link, wire);
        link
    }

    /// Waits for what happens next on any link.
    pub(super) async fn arrival(&mut self) -> Arrival {
        match self.arrivals.recv().await {
            Some(arrival) => arrival,
            // The inbox is here, so there is always one that may still say something.
            None => std::future::pending().await,
        }
    }

    /// What has happened next on any link, if it has.
    pub(super) fn arrival_now(&mut self) -> Option<Arrival> {
        self.arrivals.try_recv()
    }

    pub(super) fn get(&self, link: LinkId) -> Option<&LinkSender> {
        self.all.get(&link).map(|wire| &wire.sender)
    }

    pub(super) fn send(&mut self, link: LinkId, frame: Frame) {
        if let Some(wire) = self.all.get(&link) {
            talk::log_sent(&wire.who, &frame);
            if wire.is_trackers {
                self.counted.on_sent(&frame);
            }
            wire.sender.send(frame);
        }
    }

    /// Has it reported once few bytes of updates wait to be written on a link.
    pub(super) fn await_room(&self, link: LinkId) {
        if let Some(sender) = self.get(link) {
            sender.await_room();
        }
    }

    /// A link has brought a message.
    pub(super) fn on_received(&mut self, link: LinkId, frame: &Frame) {
        self.counted.on_any(frame);
        if self.all.get(&link).is_some_and(|wire| wire.is_trackers) {
            self.counted.on_received(frame);
        }
    }

    /// Returns the number of links.
    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    pub(super) fn counted(&self) -> &Counted {
        &self.counted
    }

    /// Who is at the other end, for the log.
    pub(super) fn who(&self, link: LinkId) -> &str {
        self.all.get(&link).map_or("?", |wire| &wire.who)
    }

    /// Refuses a question of a type that this version does not know.
    pub(super) fn refuse(&mut self, link: LinkId, kind: u16, request: RequestId) {
        let refused = Refused {
            reason: Reason::Unknown,
            text: format!("frames of type {kind} are not known here").into(),
        };
        self.send(link, Frame::with_request(request, refused));
    }

    pub(super) fn close(&self, link: LinkId, reason: &str) {
        if let Some(sender) = self.get(link) {
            tracing::debug!(link = link.0, %reason, "closing");
            sender.close();
        }
    }

    /// Closes those from an address that this machine does not have any more: they
    /// are dead, though the other ends will never say so.
    pub(super) fn leave(&mut self, is_here: impl Fn(IpAddr) -> bool) -> Vec<(LinkId, IpAddr)> {
        let mut left = Vec::new();
        for (link, wire) in &mut self.all {
            if let Some(ip) = wire.local.take_if(|ip| !is_here(*ip)) {
                wire.sender.close();
                left.push((*link, ip));
            }
        }
        left
    }

    /// One has ended.
    pub(super) fn on_closed(&mut self, link: LinkId) {
        self.all.remove(&link);
    }

    /// Waits until the goodbyes are said on all links, which are being closed.
    pub(super) async fn farewell(mut self) {
        link::farewell(self.all.len(), &mut self.arrivals).await;
    }
}

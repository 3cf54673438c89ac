//! A tracker: a catalogue with everyone in it.
//!
//! It only listens. Everything it knows comes with updates and goes with the
//! links they came on, so it can be restarted at any time.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use thorp_wire::PeerId;
use thorp_wire::frame::{
    Ack, Body, Find, Frame, Hello, Holder, Join, Leave, Query, Reason, Refused, RequestId,
    SignedRecord, Update,
};

use crate::answer::{Library, members, too_busy};
use crate::budget::Work;
use crate::catalogue::{Applied, Bounds, Catalogue};
use crate::gather::Gathered;
use crate::links::{Greeted, Link, LinkId, Links, Me, Member, Opening, RESTLESS, millis};
use crate::relay::{FORGED, REMOVED, Relay};
use crate::time::Instant;

/// What one peer's listing, and all of them together, may come to.
pub(crate) const BOUNDS: Bounds = Bounds {
    entries: 1_000_000,
    bytes: 4 * 1024 * 1024 * 1024,
};
/// What all updates that are arriving may come to, in bytes, besides.
const ARRIVING: u64 = 1024 * 1024 * 1024;

/// What a tracker is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it says of itself.
    pub me: Me,
    /// The interval it grants.
    pub interval: Duration,
}

/// What a tracker is told.
#[derive(Debug)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// A connection to a member is there, encrypted and authenticated.
    Connected {
        /// Its number from now on.
        link: LinkId,
        /// Who is at the other end.
        member: Member,
        /// The address the other end is seen at.
        remote: IpAddr,
    },
    /// A connection is gone.
    Disconnected {
        /// Which.
        link: LinkId,
    },
    /// A frame has arrived.
    Frame {
        /// On this link.
        link: LinkId,
        /// The frame.
        frame: Frame,
    },
    /// Bytes have arrived that are no whole frame yet.
    Heard {
        /// On this link.
        link: LinkId,
    },
    /// A group record was verified and is in force: one that came on a link, or
    /// the authority's own.
    Adopted {
        /// The record.
        record: SignedRecord,
    },
    /// The group record that came on this link is not the group's.
    Forged {
        /// Which link.
        link: LinkId,
    },
    /// Say goodbye to everybody.
    Stop {
        /// Why, for a person.
        reason: String,
    },
}

/// What a tracker wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a frame.
    Send(LinkId, Frame),
    /// Close a connection once what was sent before is on its way.
    Close(LinkId, String),
    /// A peer's listing is over the bounds and is not kept.
    Unlisted(Holder),
    /// A group record has come on this link that is newer than the own. Verify it,
    /// then say [`Input::Adopted`] or [`Input::Forged`].
    Verify(LinkId, SignedRecord),
    /// A member asks for a new certificate. The answer goes to it as it is.
    Renew {
        /// On this link.
        link: LinkId,
        /// With this number.
        request: RequestId,
        /// Who asks.
        member: PeerId,
        /// What it asks.
        join: Join,
    },
    /// What is shown of this tracker has changed.
    Changed,
}

/// A tracker.
#[derive(Debug)]
pub struct Tracker {
    interval: Duration,
    links: Links,
    catalogue: Catalogue,
    unlisted: BTreeSet<PeerId>,
    relay: Relay,
    finds: u64,
    out: VecDeque<Output>,
}

impl Tracker {
    /// A tracker that knows nobody.
    pub fn new(config: Config) -> Self {
        Self {
            interval: config.interval,
            links: Links::new(config.me),
            catalogue: Catalogue::new(BOUNDS, None),
            unlisted: BTreeSet::new(),
            relay: Relay::default(),
            finds: 0,
            out: VecDeque::new(),
        }
    }

    /// Takes one input. Nothing else changes the machine.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Tick => {}
            Input::Connected {
                link,
                member,
                remote,
            } => self.connected(now, link, member, remote),
            Input::Disconnected { link } => self.disconnected(link),
            Input::Frame { link, frame } => self.frame(now, link, frame),
            Input::Heard { link } => self.links.heard(now, link),
            Input::Adopted { record } => self.adopt(now, record),
            Input::Forged { link } => self.close(link, FORGED),
            Input::Stop { reason } => self.stop(&reason),
        }
        // Every update is acknowledged, so members hear enough: the silent links
        // among those that are due need no sign of life.
        for (link, reason) in self.links.due(now).lost {
            self.close(link, &reason);
        }
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to come back with [`Input::Tick`], if nothing happens before.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.links.next_deadline()
    }

    /// Peers that are present, in the order of their ids.
    pub fn peers(&self) -> impl Iterator<Item = &Link> {
        let links = self.links.up().map(|(_, link)| link);
        links.filter(|link| !link.is_visitor())
    }

    /// Who has what.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// How many questions about files it was asked so far.
    pub fn finds(&self) -> u64 {
        self.finds
    }

    fn connected(&mut self, now: Instant, link: LinkId, member: Member, remote: IpAddr) {
        let refuse = match member.id {
            id if id == self.links.me().id => Some("that is this tracker itself"),
            id if self.relay.removes(id) => Some(REMOVED),
            id if self.links.is_crowding(id) => Some("too many links that say no hello"),
            _ => None,
        };
        if let Some(reason) = refuse {
            self.out.push_back(Output::Close(link, reason.to_owned()));
            return;
        }
        let applied = self.catalogue.position(member.id);
        let opening = Opening {
            member,
            dialled: false,
            remote,
            willing: false,
            interval: self.interval,
            applied,
            record: self.relay.number(),
        };
        let hello = self.links.opened(now, link, opening);
        self.send(now, link, Frame::plain(hello));
    }

    fn disconnected(&mut self, id: LinkId) {
        let Some((link, true)) = self.links.closed(id) else {
            return;
        };
        self.catalogue.forget(link.member.id);
        self.unlisted.remove(&link.member.id);
        self.out.push_back(Output::Changed);
    }

    fn frame(&mut self, now: Instant, id: LinkId, frame: Frame) {
        self.links.heard(now, id);
        let Some(link) = self.links.get(id) else {
            return;
        };
        let greets = matches!(
            frame.body,
            Body::Hello(_) | Body::Leave(_) | Body::Record(_)
        );
        if link.hello.is_none() && !greets {
            self.close(id, "no hello first");
            return;
        }
        match (frame.body, frame.request) {
            (Body::Hello(hello), _) => self.greeted(now, id, hello),
            (Body::Update(update), _) => self.update(now, id, update),
            (Body::Find(find), Some(request)) => self.asked(now, id, request, &find),
            (Body::Record(record), _) => self.told_of_record(now, id, record.record),
            (Body::Join(join), Some(request)) => self.asked_to_renew(now, id, request, join),
            (Body::Get(_), Some(request)) => {
                let refused = Refused {
                    reason: Reason::NotServed,
                    text: "a tracker has no files".to_owned(),
                };
                self.send(now, id, Frame::with_request(request, refused));
            }
            (Body::Leave(leave), _) => self.left(id, &format!("it left: {}", leave.reason)),
            _ => {}
        }
    }

    fn greeted(&mut self, now: Instant, id: LinkId, hello: Hello) {
        let epoch = hello.epoch;
        let record = hello.record;
        match self.links.greeted(now, id, hello) {
            Greeted::Up { replaces } => {
                self.heard_of_record(now, id, record);
                self.links.agree(now, id, self.interval);
                self.begin(id, epoch);
                if let Some(old) = replaces {
                    self.close(old, "replaced by a newer link");
                }
                self.out.push_back(Output::Changed);
            }
            Greeted::Readdressed => self.out.push_back(Output::Changed),
            Greeted::Again => {}
            Greeted::Restless => self.close(id, RESTLESS),
            Greeted::Redundant => self.close(id, "there is another link already"),
            Greeted::NoCommonVersion => self.close(id, "no common version of the protocol"),
            Greeted::Twice => self.close(id, "a second hello"),
        }
    }

    /// Whoever comes with a new link gets a new chance to be listed. After a
    /// restart it begins with nothing, and a visitor has nothing.
    fn begin(&mut self, id: LinkId, epoch: u64) {
        let Some(link) = self.links.get(id) else {
            return;
        };
        let (peer, visitor) = (link.member.id, link.is_visitor());
        self.unlisted.remove(&peer);
        let known = self.catalogue.position(peer);
        if visitor || known.is_some_and(|position| position.epoch != epoch) {
            self.catalogue.forget(peer);
        }
    }

    fn update(&mut self, now: Instant, id: LinkId, mut frame: Update) {
        let Some(link) = self.links.get(id) else {
            return;
        };
        let peer = link.member.id;
        let visitor = link.is_visitor();
        let Some(epoch) = link.hello.as_ref().map(|hello| hello.epoch) else {
            return;
        };
        let listed = !visitor && !self.unlisted.contains(&peer);
        if !listed {
            frame.added.clear();
            frame.removed.clear();
        }
        let Gathered {
            update,
            too_long,
            crowded_out,
            ..
        } = match self.links.gather(id, frame, BOUNDS, ARRIVING) {
            Ok(Some(gathered)) => gathered,
            Ok(None) => return,
            Err(error) => {
                self.close(id, &error.to_string());
                return;
            }
        };
        let seq = update.seq;
        let changes = update.since != Some(seq);
        let applied = if !listed {
            Applied::Yes
        } else if too_long {
            self.catalogue.forget(peer);
            Applied::OverBounds
        } else if crowded_out {
            Applied::NeedsFull
        } else {
            self.catalogue.apply(peer, epoch, update)
        };
        if applied == Applied::OverBounds {
            self.unlisted.insert(peer);
            if let Some(link) = self.links.get(id) {
                self.out.push_back(Output::Unlisted(link.holder()));
            }
        }
        let ack = Ack {
            seq: (applied == Applied::Yes).then_some(seq),
            interval: Some(millis(self.interval)),
            unlisted: self.unlisted.contains(&peer),
            record: self.relay.number(),
        };
        self.send(now, id, Frame::plain(ack));
        if changes {
            self.out.push_back(Output::Changed);
        }
    }

    fn asked(&mut self, now: Instant, id: LinkId, request: RequestId, find: &Find) {
        let Some(link) = self.links.get_mut(id) else {
            return;
        };
        let asker = link.member.id;
        if link.allowance.is_spent(now) {
            self.send(now, id, Frame::with_request(request, too_busy()));
            return;
        }
        let (answer, work) = if let Query::Members(after) = find.query {
            let (found, work) = members(self.peers(), after, &self.catalogue);
            (Ok(found), work)
        } else {
            self.finds += 1;
            let library = Library {
                catalogue: &self.catalogue,
                links: &self.links,
                among: &|peer| peer != asker,
                asker,
            };
            library.files(find)
        };
        if let Some(link) = self.links.get_mut(id) {
            link.allowance.charge(work);
        }
        let answer: Body = match answer {
            Ok(found) => found.into(),
            Err(error) => Refused {
                reason: Reason::NotServed,
                text: error.to_string(),
            }
            .into(),
        };
        self.send(now, id, Frame::with_request(request, answer));
    }

    fn asked_to_renew(&mut self, now: Instant, id: LinkId, request: RequestId, join: Join) {
        let Some(link) = self.links.get_mut(id) else {
            return;
        };
        if link.allowance.is_spent(now) {
            self.send(now, id, Frame::with_request(request, too_busy()));
            return;
        }
        link.allowance.charge(Work::CERTIFICATE);
        self.out.push_back(Output::Renew {
            link: id,
            request,
            member: link.member.id,
            join,
        });
    }

    fn told_of_record(&mut self, now: Instant, id: LinkId, record: SignedRecord) {
        self.heard_of_record(now, id, Some(record.record().number));
        if self.relay.is_news(&record) || self.relay.teaches(&record) {
            self.out.push_back(Output::Verify(id, record));
        }
    }

    fn heard_of_record(&mut self, now: Instant, id: LinkId, number: Option<u64>) {
        let Some(link) = self.links.get_mut(id) else {
            return;
        };
        if let Some(frame) = self.relay.heard(link, number) {
            self.send(now, id, frame);
        }
    }

    fn adopt(&mut self, now: Instant, record: SignedRecord) {
        let spread = self.relay.adopt(&mut self.links, record);
        for (link, frame) in spread.tell {
            self.send(now, link, frame);
        }
        for link in spread.part {
            self.close(link, REMOVED);
        }
    }

    fn stop(&mut self, reason: &str) {
        let all: Vec<LinkId> = self.links.all().map(|(id, _)| id).collect();
        for link in all {
            self.close(link, reason);
        }
    }

    /// Ends a link from this side, and says why.
    fn close(&mut self, link: LinkId, reason: &str) {
        let leave = Leave {
            reason: reason.to_owned(),
        };
        self.out.push_back(Output::Send(link, Frame::plain(leave)));
        self.left(link, reason);
    }

    /// Ends a link whose other side has left.
    fn left(&mut self, link: LinkId, reason: &str) {
        self.out.push_back(Output::Close(link, reason.to_owned()));
        self.disconnected(link);
    }

    fn send(&mut self, now: Instant, link: LinkId, frame: Frame) {
        self.links.said(now, link);
        self.out.push_back(Output::Send(link, frame));
    }
}

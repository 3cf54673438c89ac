//! Everything between nodes (dials, frames, ends of links), and the execution of outputs.

use std::net::SocketAddr;
use std::time::Duration;

use thorp_core::get::Claimed;
use thorp_core::links::{self, LinkId, Party};
use thorp_core::peer::{self, Cause, Target, Unreached};
use thorp_core::survey;
use thorp_core::tracker;
use thorp_wire::frame::{Body, Bytes, PREFIX, Reason, Refused};
use thorp_wire::{Frame, MemberName, Remark};

use super::{
    Cable, DELAY, DIAL_TIMEOUT, Event, Findings, GENUINE, Machine, Manner, Node, TRACKER, Village,
    id,
};

impl Village {
    pub(super) fn happen(&mut self, node: Node, event: Event) {
        let now = self.now;
        match event {
            Event::Connected {
                link,
                member,
                dialled,
                remote,
            } => {
                if !self.cables.contains_key(&link) {
                    return;
                }
                let link = LinkId(link);
                let connected = links::Input::Connected {
                    link,
                    member,
                    dialled,
                    remote,
                };
                self.on_link(node, connected);
            }
            Event::DialFailed(target) => {
                if let Machine::Peer(host) = &mut self.nodes[node].machine {
                    let trouble = Unreached {
                        cause: Cause::Network,
                        reason: "no answer".to_owned(),
                    };
                    host.peer
                        .handle(now, peer::Input::DialFailed { target, trouble });
                }
            }
            Event::Bytes { link, bytes } => self.bytes(node, link, &bytes),
            Event::Some { link, content } if self.cables.contains_key(&link) => {
                let link = LinkId(link);
                self.on_link(node, links::Input::Heard { link, content });
            }
            Event::Some { .. } => {}
            Event::Disconnected { link } => {
                let link = LinkId(link);
                let reason = "connection closed".to_owned();
                if let Machine::Peer(host) = &mut self.nodes[node].machine {
                    host.closed.push(reason.clone());
                }
                self.on_link(node, links::Input::Disconnected { link, reason });
            }
        }
        self.drain(node);
    }

    /// Delivers a frame: the shell handles `Get` and `Content`, the core the rest.
    pub(super) fn bytes(&mut self, node: Node, link: u64, bytes: &[u8]) {
        let now = self.now;
        let frame = Frame::decode(&bytes[PREFIX..]).expect("what was encoded decodes");
        *self.frames.entry((node, frame.body.name())).or_default() += 1;
        let id = LinkId(link);
        let host = match &mut self.nodes[node].machine {
            Machine::Tracker(tracker) => {
                tracker.handle(now, links::Input::Frame { link: id, frame });
                return;
            }
            Machine::Off => return,
            Machine::Peer(host) => host,
        };
        match (frame.body, frame.request) {
            (Body::Get(get), Some(request)) => {
                host.peer.handle(now, links::Input::heard(id).into());
                let answer: Body = match (host.manner, host.store.get(&get.content)) {
                    (Manner::Mute, _) => return,
                    (Manner::Lying, _) => Bytes {
                        bytes: b"lies".to_vec(),
                    }
                    .into(),
                    (Manner::Honest, Some(bytes)) => Bytes {
                        bytes: bytes.clone(),
                    }
                    .into(),
                    (Manner::Changing, _) => Refused {
                        reason: Reason::Changed,
                        text: Remark::default(),
                    }
                    .into(),
                    (Manner::Busy, _) => Refused {
                        reason: Reason::Busy,
                        text: Remark::default(),
                    }
                    .into(),
                    (Manner::Honest | Manner::Without, _) => Refused {
                        reason: Reason::NotHere,
                        text: Remark::default(),
                    }
                    .into(),
                };
                host.peer.handle(now, peer::Input::Served { link: id });
                let delay = DELAY + host.lag;
                self.transmit_in(delay, node, link, &Frame::with_request(request, answer));
            }
            (Body::Content(bytes), Some(request)) => {
                host.peer.handle(now, links::Input::heard(id).into());
                let mut claimed = host.peer.claim_contents(now, &[(id, request)]);
                if let Some(Some(claimed)) = claimed.pop() {
                    let text = String::from_utf8(bytes.bytes).expect("texts only");
                    let Claimed { fetch, item, .. } = claimed;
                    host.names.insert(fetch, item.target);
                    host.storing.push((fetch, item.content, text));
                    if !host.slow_disk {
                        self.disk_is_done(node);
                    }
                }
            }
            (body, request) => {
                let frame = Frame { request, body };
                host.peer
                    .handle(now, links::Input::Frame { link: id, frame }.into());
            }
        }
    }

    pub(super) fn drain(&mut self, node: Node) {
        loop {
            let output = match &mut self.nodes[node].machine {
                Machine::Peer(host) => match host.peer.poll_output() {
                    Some(output) => output,
                    None => return,
                },
                Machine::Tracker(tracker) => match tracker.poll_output() {
                    Some(tracker::Output::Link(output)) => peer::Output::Link(output),
                    Some(
                        tracker::Output::Renew { .. }
                        | tracker::Output::Unlisted(_)
                        | tracker::Output::Member(_)
                        | tracker::Output::Changed(_),
                    ) => continue,
                    None => return,
                },
                Machine::Off => return,
            };
            self.carry_out(node, output);
        }
    }

    fn carry_out(&mut self, node: Node, output: peer::Output) {
        match output {
            peer::Output::Dial(target) => self.dial(node, target),
            peer::Output::Link(output) => self.carry_out_on_link(node, output),
            peer::Output::HashNow(_) if self.host(node).hashes_slowly => {}
            peer::Output::HashNow(name) => {
                if let Some(entry) = self.host(node).unhashed.remove(&name) {
                    let added = vec![entry];
                    let now = self.now;
                    let changed = peer::Input::ShareChanged {
                        added,
                        removed: Vec::new(),
                    };
                    self.host(node).peer.handle(now, changed);
                }
            }
            peer::Output::Surveyed(survey, part) => {
                let found = self.host(node).found.entry(survey).or_default();
                match part {
                    survey::Findings::Files(files) => found.files.extend(files),
                    survey::Findings::Members(rows) => found.members.extend(rows),
                }
                let now = self.now;
                self.host(node)
                    .peer
                    .handle(now, peer::Input::Taken { survey });
            }
            peer::Output::SurveyOver(survey, end) => {
                let host = self.host(node);
                let found = host.found.remove(&survey).unwrap_or_default();
                let findings = end.map(|coverage| Findings { coverage, ..found });
                host.findings.insert(survey, findings);
            }
            peer::Output::Removed => self.host(node).removed = true,
            peer::Output::Notice(notice) => self.host(node).notices.push(notice),
            peer::Output::Remember(known) => self.nodes[node].disk = known,
            // No certificates are renewed here, and nothing is shown.
            peer::Output::Get(get, told) => self.for_get(node, get, told),
            peer::Output::Renewed(_) | peer::Output::NoTracker(_) | peer::Output::Changed(_) => {}
        }
    }

    fn carry_out_on_link(&mut self, node: Node, output: links::Output) {
        match output {
            links::Output::Send(link, frame) => self.transmit(node, link.0, &frame),
            links::Output::AwaitRoom(link) => {
                self.on_link(node, links::Input::Room { link });
                self.drain(node);
            }
            links::Output::Close(link, reason) => {
                if let Machine::Peer(host) = &mut self.nodes[node].machine {
                    host.closed.push(reason.to_string());
                }
                self.hang_up(link.0);
            }
            links::Output::Verify(link, record) => {
                let is_genuine = record.signature_and_message().0 == GENUINE;
                let verified = if is_genuine {
                    links::Input::Adopted { record }
                } else {
                    links::Input::Forged { link }
                };
                self.on_link(node, verified);
                self.drain(node);
            }
        }
    }

    fn dial(&mut self, node: Node, target: Target) {
        let whom = match &target {
            Target::Tracker => None,
            Target::Member { id, .. } => Some(*id),
        };
        let dial = (self.now, whom);
        self.nodes[node].dials.push(dial);
        let callee = match &target {
            Target::Tracker => Some(TRACKER),
            Target::Member {
                id: wanted,
                addresses,
            } => (0..self.nodes.len()).find(|callee| {
                let host = &self.nodes[*callee];
                id(*callee) == *wanted && addresses.contains(&SocketAddr::new(host.ip, host.port))
            }),
        };
        let reached = callee.filter(|callee| !self.nodes[*callee].cut && !self.nodes[node].cut);
        let Some(callee) = reached else {
            self.later(DIAL_TIMEOUT, node, Event::DialFailed(target));
            return;
        };
        if matches!(self.nodes[callee].machine, Machine::Off) {
            self.later(DELAY, node, Event::DialFailed(target));
            return;
        }
        let link = self.number();
        self.cables.insert(
            link,
            Cable {
                ends: [node, callee],
            },
        );
        for (end, other, dialled) in [(node, callee, true), (callee, node, false)] {
            let member = Party {
                id: id(other),
                name: Some(MemberName::nearest(&format!("peer-{other}"))),
                tracker: other == TRACKER,
            };
            let remote = self.nodes[other].ip;
            self.later(
                DELAY * 2,
                end,
                Event::Connected {
                    link,
                    member,
                    dialled,
                    remote,
                },
            );
        }
    }

    pub(super) fn transmit(&mut self, node: Node, link: u64, frame: &Frame) {
        self.transmit_in(DELAY, node, link, frame);
    }

    fn transmit_in(&mut self, delay: Duration, node: Node, link: u64, frame: &Frame) {
        let Some(cable) = self.cables.get(&link) else {
            return;
        };
        let far = *cable
            .ends
            .iter()
            .find(|end| **end != node)
            .expect("two ends");
        let mut bytes = Vec::new();
        frame
            .encode(&mut bytes)
            .expect("what a machine says fits in a frame");
        if !self.nodes[node].cut && !self.nodes[far].cut {
            let is_file = matches!(frame.body, Body::Content(_));
            let delay = delay + self.squeeze((node, far), link, bytes.len() as u64, is_file);
            self.later(delay, far, Event::Bytes { link, bytes });
        }
    }

    /// Returns how long a frame takes over a slow uplink. Files wait for one another there, and
    /// the other end gets some bytes of each once a second.
    fn squeeze(
        &mut self,
        (node, far): (Node, Node),
        link: u64,
        bytes: u64,
        is_file: bool,
    ) -> Duration {
        const SECOND: Duration = Duration::from_secs(1);
        let now = self.now;
        let Machine::Peer(host) = &mut self.nodes[node].machine else {
            return Duration::ZERO;
        };
        let Some(uplink) = host.uplink else {
            return Duration::ZERO;
        };
        let takes = Duration::from_micros(bytes * 1_000_000 / uplink);
        if !is_file {
            return takes;
        }
        let begun = host.sent.max(now);
        host.sent = begun + takes;
        let content = u32::try_from(uplink).expect("it is thin");
        let mut at = begun + SECOND;
        while at < begun + takes {
            self.later(at - now, far, Event::Some { link, content });
            at = at + SECOND;
        }
        begun + takes - now
    }

    pub(super) fn hang_up(&mut self, link: u64) {
        let Some(cable) = self.cables.get(&link) else {
            return;
        };
        let ends = cable.ends;
        let silent = ends.iter().any(|end| self.nodes[*end].cut);
        if !silent {
            for end in ends {
                self.later(DELAY, end, Event::Disconnected { link });
            }
        }
        self.cables.remove(&link);
    }

    fn later(&mut self, delay: Duration, node: Node, event: Event) {
        let number = self.number();
        self.queue.insert((self.now + delay, number), (node, event));
    }
}

//! Connections between nodes, and what is on its way on them.
//!
//! None of it is told to a machine but what its shell would see: that a connection is
//! open, that bytes have come, that it is gone.

use std::time::Duration;

use thorp_core::links::{self, LinkId};
use thorp_core::peer::Target;
use thorp_core::time::Instant;
use thorp_wire::Frame;
use thorp_wire::frame::Body;

use super::{What, World, party};
use crate::host::Program;
use crate::network::{DIAL_TIMEOUT, Node, TRACKER, address, cost, node_of};

/// A connection. Its ends are in the order of dialling.
pub(super) struct Cable {
    ends: [Node; 2],
    /// Whether the program at each end still has it.
    is_open: [bool; 2],
    /// Bytes were lost on it for good: nothing arrives any more.
    is_dead: bool,
    /// When the last bytes arrive at each end: none overtakes another.
    arrives: [Instant; 2],
}

impl World {
    pub(super) fn dial(&mut self, node: Node, target: Target) {
        let callee = match &target {
            Target::Tracker => Some(TRACKER),
            Target::Member { id, addresses } => node_of(*id)
                .filter(|callee| addresses.contains(&address(*callee)))
                .filter(|callee| *callee < self.hosts.len()),
        };
        // A machine that is off says nothing, as one does that is out of reach.
        let answers = |callee: &Node| {
            let is_on = !matches!(self.hosts[*callee].program, Program::Off);
            is_on && self.network.is_open(node, *callee)
        };
        let Some(callee) = callee.filter(answers) else {
            if callee.is_some_and(|callee| callee != TRACKER) {
                self.counts.dialled_in_vain += 1;
            }
            self.happens(self.now + DIAL_TIMEOUT, node, What::DialFailed(target));
            return;
        };
        let there = self.network.delay(node, callee);
        let round = there + self.network.delay(callee, node);
        let link = self.number();
        self.traffic.paid(self.now, node, callee, cost::OPENING);
        // TCP and TLS take a round trip each, and the callee learns with the next
        // packet that it was believed.
        let known = [self.now + round * 2, self.now + round * 2 + there];
        self.cables.insert(
            link,
            Cable {
                ends: [node, callee],
                is_open: [true; 2],
                is_dead: false,
                arrives: known,
            },
        );
        let dialled = true;
        self.happens(known[0], node, What::Connected { link, dialled });
        let dialled = false;
        self.happens(known[1], callee, What::Connected { link, dialled });
    }

    pub(super) fn connected(&mut self, node: Node, link: u64, dialled: bool) {
        let Some(cable) = self.cables.get(&link) else {
            return;
        };
        let far = cable.ends[usize::from(dialled)];
        self.hosts[node].links.push(link);
        let input = links::Input::Connected {
            link: LinkId(link),
            member: party(far),
            dialled,
            remote: address(far).ip(),
        };
        self.on_link(node, input);
    }

    pub(super) fn send(&mut self, node: Node, link: u64, frame: Frame) {
        let Some(far) = self.far_end(node, link) else {
            return;
        };
        self.scratch.clear();
        frame
            .encode(&mut self.scratch)
            .expect("what a machine says fits in a frame");
        if let Body::Get(_) = frame.body
            && !self.has_open(far, link)
        {
            self.counts.gone += 1;
        }
        let length = self.scratch.len();
        self.traffic.sent(self.now, node, far, &frame.body, length);
        let frame = Box::new(frame);
        self.transmit(node, link, Duration::ZERO, |link| What::Frame {
            link,
            frame,
        });
    }

    /// Something goes over a link, after the time that it takes to send.
    pub(super) fn transmit(
        &mut self,
        node: Node,
        link: u64,
        sending: Duration,
        what: impl FnOnce(u64) -> What,
    ) {
        let Some(far) = self.far_end(node, link) else {
            return;
        };
        let is_open = self.network.is_open(node, far);
        let delay = self.network.delay(node, far) + sending;
        let is_off = matches!(self.hosts[far].program, Program::Off);
        let Some(cable) = self.cables.get_mut(&link) else {
            return;
        };
        let end = usize::from(cable.ends[1] == far);
        if !is_open {
            cable.is_dead = true;
        }
        if cable.is_dead || !cable.is_open[1 - end] {
            return;
        }
        if !cable.is_open[end] {
            // Its machine has started anew, and knows nothing of this connection.
            if !is_off {
                let reason = "the other end has been restarted";
                self.happens(
                    self.now + delay * 2,
                    node,
                    What::Disconnected { link, reason },
                );
            }
            return;
        }
        let at = (self.now + delay).max(cable.arrives[end]);
        cable.arrives[end] = at;
        self.happens(at, far, what(link));
    }

    /// A program closes a connection: both ends learn it, the other one after all
    /// that was sent before.
    pub(super) fn hang_up(&mut self, node: Node, link: u64) {
        let reason = "closed";
        if let Some(far) = self.far_end(node, link) {
            self.traffic.paid(self.now, node, far, cost::CLOSING);
        }
        self.transmit(node, link, Duration::ZERO, |link| What::Disconnected {
            link,
            reason,
        });
        self.happens(self.now, node, What::Disconnected { link, reason });
        if let Some(cable) = self.cables.get_mut(&link) {
            cable.is_dead = true;
        }
    }

    pub(super) fn disconnected(&mut self, node: Node, link: u64, reason: &'static str) {
        if !self.has_open(node, link) {
            return;
        }
        self.let_go(node, link);
        self.hosts[node].links.retain(|other| *other != link);
        let reason = reason.to_owned();
        let link = LinkId(link);
        self.on_link(node, links::Input::Disconnected { link, reason });
    }

    /// A program has a connection no more, for whatever reason.
    pub(super) fn let_go(&mut self, node: Node, link: u64) {
        let Some(cable) = self.cables.get_mut(&link) else {
            return;
        };
        let end = usize::from(cable.ends[1] == node);
        cable.is_open[end] = false;
        if cable.is_open == [false; 2] {
            self.cables.remove(&link);
        }
    }

    /// Whether the program at a node still has this connection.
    pub(super) fn has_open(&self, node: Node, link: u64) -> bool {
        self.cables.get(&link).is_some_and(|cable| {
            let end = usize::from(cable.ends[1] == node);
            cable.is_open[end]
        })
    }

    pub(super) fn far_end(&self, node: Node, link: u64) -> Option<Node> {
        let ends = self.cables.get(&link)?.ends;
        Some(ends[usize::from(ends[0] == node)])
    }
}

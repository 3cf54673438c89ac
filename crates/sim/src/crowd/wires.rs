//! The links of the machines and the connections over them.
//!
//! Owns in which order bytes are sent, how long they wait, and when they are taken in.

use std::collections::VecDeque;
use std::time::Duration;

use thorp_core::swarm::{Input, SessionId};
use thorp_wire::layout::Block;
use thorp_wire::session::{Message, Span};

use super::{HOLDER, LastPiece, Scene, What, micros};
use crate::network::Node;

const TURN: u32 = 16 * 1024;
/// What a short message takes on the wire, with all that is around it.
const MESSAGE: u32 = 128;
const LEAF: u32 = 16 * 1024;

/// One end of a connection.
pub(super) struct Link {
    pub(super) far: Node,
    pub(super) there: SessionId,
    pub(super) uploads: VecDeque<Block>,
    /// The next block, which is read already.
    ahead: Option<Block>,
    /// The block that is being written, and how much of it the system has taken.
    writing: Option<(Block, u32)>,
    pub(super) messages: VecDeque<Message>,
    /// What the system has taken and not sent.
    unsent: VecDeque<Item>,
    unsent_bytes: u32,
    /// Which of several connections sends next: the one with the lowest. It grows with what is
    /// sent, divided by the connection's share.
    turn: u64,
    share: u32,
    /// When bytes were last reported as flowing, and how many have arrived since.
    told: u64,
    untold: u32,
}

/// A part of a stream.
pub(super) enum Item {
    Message(Message),
    /// Some bytes of a block.
    Part(Part),
}

#[derive(Clone, Copy)]
pub(super) struct Part {
    block: Block,
    bytes: u32,
    is_last: bool,
}

impl Scene {
    pub(super) fn write(&mut self, from: Node, session: SessionId) {
        self.fill(from, session);
        self.send_next(from);
    }

    /// Gives the system what it takes of a connection: messages first, but none within a block.
    fn fill(&mut self, from: Node, session: SessionId) {
        let Some(link) = self.nodes[from].links.get_mut(&session) else {
            return;
        };
        let mut served = Vec::new();
        while link.unsent_bytes < self.crowd.unsent {
            if let Some((block, written)) = &mut link.writing {
                let bytes = TURN.min(block.length() - *written);
                *written += bytes;
                let is_last = *written == block.length();
                let block = *block;
                link.unsent_bytes += bytes;
                let part = Part {
                    block,
                    bytes,
                    is_last,
                };
                link.unsent.push_back(Item::Part(part));
                if is_last {
                    link.writing = None;
                    served.push(block);
                }
            } else if let Some(message) = link.messages.pop_front() {
                link.unsent_bytes += MESSAGE;
                link.unsent.push_back(Item::Message(message));
            } else if let Some(block) = link.ahead.take().or_else(|| link.uploads.pop_front()) {
                link.writing = Some((block, 0));
                link.ahead = link.uploads.pop_front();
            } else {
                break;
            }
        }
        for block in served {
            self.input(0, from, Input::Served { session, block });
        }
    }

    /// Sends the next bytes over a node's link, from the connection whose turn it is and that gets
    /// through at the other end.
    pub(super) fn send_next(&mut self, from: Node) {
        let (delay, queue) = (micros(self.crowd.delay), micros(self.crowd.queue));
        while self.nodes[from].busy_until <= self.now + queue {
            let node = &self.nodes[from];
            let (mut next, mut soonest) = (None, u64::MAX);
            for (session, link) in &node.links {
                if link.unsent.is_empty() {
                    continue;
                }
                let arrives = node.busy_until.max(self.now) + delay;
                let late = self.nodes[link.far]
                    .taken_in
                    .saturating_sub(arrives + queue);
                if late > 0 {
                    soonest = soonest.min(self.now + late);
                } else if next.is_none_or(|(turn, _)| link.turn < turn) {
                    next = Some((link.turn, *session));
                }
            }
            let Some((_, session)) = next else {
                if soonest < u64::MAX {
                    self.send_at(from, soonest);
                }
                return;
            };
            self.put_on_link(from, session);
        }
        let at = self.nodes[from].busy_until - queue;
        self.send_at(from, at);
    }

    fn send_at(&mut self, node: Node, at: u64) {
        let at = at.max(self.now + 1);
        if self.nodes[node]
            .sends_at
            .is_none_or(|sends_at| at < sends_at)
        {
            self.nodes[node].sends_at = Some(at);
            self.later(at - self.now, What::LinkFree(node));
        }
    }

    fn put_on_link(&mut self, from: Node, session: SessionId) {
        let node = &mut self.nodes[from];
        let Some(link) = node.links.get_mut(&session) else {
            return;
        };
        let Some(item) = link.unsent.pop_front() else {
            return;
        };
        let bytes = match &item {
            Item::Message(_) => MESSAGE,
            Item::Part(part) => part.bytes,
        };
        link.unsent_bytes -= bytes;
        // One that had nothing to send has saved nothing for later.
        link.turn = link.turn.max(node.turn);
        node.turn = link.turn;
        link.turn += u64::from(bytes) * u64::from(self.crowd.uneven) / u64::from(link.share);
        let (far, there) = (link.far, link.there);
        let takes = u64::from(bytes) * 1_000_000 / self.crowd.rate;
        node.busy_until = node.busy_until.max(self.now) + takes;
        let arrives = node.busy_until + micros(self.crowd.delay);
        if let Item::Part(part) = &item {
            node.sent += u64::from(bytes);
            if from == HOLDER {
                self.given.entry(part.block.piece()).or_insert(self.now);
            }
        }
        // All ways are equally long: what is sent first arrives first.
        let to = &mut self.nodes[far];
        to.taken_in = to.taken_in.max(arrives) + takes;
        let taken_in = to.taken_in;
        self.later(taken_in - self.now, What::TakenIn(far, there, item));
        self.fill(from, session);
    }

    pub(super) fn take_in(&mut self, to: Node, session: SessionId, part: Part) {
        let block = part.block;
        let Some(link) = self.nodes[to].links.get_mut(&session) else {
            return;
        };
        link.untold += part.bytes;
        let from = link.far;
        let span = Span {
            piece: block.piece().number(),
            begin: block.begin(),
            length: block.length(),
        };
        let (now, at) = (self.now, self.instant());
        let expected = self.nodes[to].swarm.on_piece(at, session, span);
        let is_expected = expected.is_some();
        let Some(link) = self.nodes[to].links.get_mut(&session) else {
            return;
        };
        let is_slow = now - link.told >= 1_000_000;
        if is_slow || part.is_last {
            link.told = now;
            let bytes = std::mem::take(&mut link.untold);
            if is_expected && !part.is_last {
                self.give(to, Input::Flowing { session, bytes });
            }
        }
        if !part.is_last {
            return self.drain(to);
        }
        if !is_expected || !self.nodes[to].swarm.claim(at, session, block) {
            self.in_vain += u64::from(block.length());
            return self.drain(to);
        }
        let came = Duration::from_micros(self.now);
        let since = |at: Option<&u64>| Duration::from_micros(at.copied().unwrap_or(0));
        self.last_piece = LastPiece {
            from_holder: from == HOLDER,
            first_given: since(self.given.get(&block.piece())),
            asked: since(self.asked_at.get(&(to, block))),
            came,
        };
        let first = (block.begin() / LEAF) as usize;
        let end = (block.begin() + block.length()).div_ceil(LEAF) as usize;
        let leaves = self.leaves_of(block.piece())[first..end].to_vec();
        self.give(
            to,
            Input::Written {
                session,
                block,
                leaves,
            },
        );
    }
}

impl Link {
    /// Bytes that the far end has asked for and that are not sent.
    pub(super) fn waiting(&self) -> u64 {
        let queued = self.uploads.iter().chain(&self.ahead);
        let queued: u64 = queued.map(|block| u64::from(block.length())).sum();
        let rest = self
            .writing
            .map_or(0, |(block, written)| block.length() - written);
        queued + u64::from(rest + self.unsent_bytes)
    }

    pub(super) fn to(far: Node, there: SessionId, share: u32) -> Self {
        Self {
            far,
            there,
            uploads: VecDeque::new(),
            ahead: None,
            writing: None,
            messages: VecDeque::new(),
            unsent: VecDeque::new(),
            unsent_bytes: 0,
            turn: 0,
            share,
            told: 0,
            untold: 0,
        }
    }
}

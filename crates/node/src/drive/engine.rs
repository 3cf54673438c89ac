//! A machine, its time, and what it wants done.

use std::collections::VecDeque;
use std::time::Duration;

use thorp_core::get::Claimed;
use thorp_core::links::{self, LinkId};
use thorp_core::time::Instant;
use thorp_core::{peer, tracker};
use thorp_group::clock::Clock;
use thorp_wire::frame::{RequestId, SignedRecord};

use crate::net::dial::Connected;
use crate::net::listener::Incoming;
use crate::rows;
use crate::system;

use super::Wires;

/// What a machine of the core can do.
pub(super) trait Machine: Send + Sync {
    type Input: From<links::Input>;
    type Output: Send;

    fn handle(&mut self, now: Instant, input: Self::Input);
    fn poll_output(&mut self) -> Option<Self::Output>;
    fn next_deadline(&self) -> Option<Instant>;
}

/// A machine that is driven. What it says is kept in its order until it is done.
pub(super) struct Engine<M: Machine> {
    pub(super) machine: M,
    pub(super) wires: Wires,
    clock: Clock,
    outputs: VecDeque<M::Output>,
    /// Why the node is to stop.
    stop: Option<String>,
}

impl<M: Machine> Engine<M> {
    pub(super) fn new(machine: M, wires: Wires, clock: Clock) -> Self {
        Self {
            machine,
            wires,
            clock,
            outputs: VecDeque::new(),
            stop: None,
        }
    }

    /// Tells the machine what has happened.
    pub(super) fn handle(&mut self, input: impl Into<M::Input>) {
        let now = system::now(&self.clock);
        self.machine.handle(now, input.into());
        self.collect();
    }

    fn collect(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            self.outputs.push_back(output);
        }
    }

    /// This end has reached a member.
    pub(super) fn on_dialled(&mut self, connected: Connected) -> LinkId {
        self.on_connected(connected, true)
    }

    /// A member has reached this end.
    pub(super) fn on_called(&mut self, incoming: Incoming) {
        let connected = Connected {
            stream: incoming.stream,
            member: incoming.member,
            address: incoming.remote,
        };
        self.on_connected(connected, false);
    }

    fn on_connected(&mut self, connected: Connected, dialled: bool) -> LinkId {
        let member = rows::member(connected.member.clone());
        let remote = connected.address.ip();
        let address = connected.address;
        let link = self.wires.open(connected);
        let who = self.wires.who(link);
        let by = if dialled { "this end" } else { "the other end" };
        tracing::info!(%who, %address, by, "a link is made");
        self.handle(links::Input::Connected {
            link,
            member,
            dialled,
            remote,
        });
        link
    }

    /// Does what is to be done on links. A newer group record is shown to `verify`,
    /// which says whether it is the group's.
    pub(super) fn carry_out(
        &mut self,
        output: links::Output,
        verify: impl FnOnce(SignedRecord) -> bool,
    ) {
        match output {
            links::Output::Send(link, frame) => self.wires.send(link, frame),
            links::Output::AwaitRoom(link) => self.wires.await_room(link),
            links::Output::Close(link, reason) => self.wires.close(link, &reason.to_string()),
            links::Output::Verify(link, record) => {
                if !verify(record) {
                    self.handle(links::Input::Forged { link });
                }
            }
        }
    }

    /// The node is to stop once all that is to be done is done.
    pub(super) fn stop(&mut self, reason: impl Into<String>) {
        self.stop.get_or_insert_with(|| reason.into());
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }

    /// Why the node is to stop now, said once.
    pub(super) fn take_stop(&mut self) -> Option<String> {
        self.stop.take()
    }

    pub(super) fn next_output(&mut self) -> Option<M::Output> {
        self.outputs.pop_front()
    }

    /// How long until the machine wants to be told that time has passed.
    pub(super) fn until_deadline(&self) -> Option<Duration> {
        let now = system::now(&self.clock);
        self.machine.next_deadline().map(|at| at - now)
    }
}

impl Engine<peer::Peer> {
    /// Bytes of files have come: as what each is wanted, if it is.
    pub(super) fn claim_contents(&mut self, came: &[(LinkId, RequestId)]) -> Vec<Option<Claimed>> {
        let now = system::now(&self.clock);
        let claimed = self.machine.claim_contents(now, came);
        self.collect();
        claimed
    }
}

impl Machine for peer::Peer {
    type Input = peer::Input;
    type Output = peer::Output;

    fn handle(&mut self, now: Instant, input: peer::Input) {
        self.handle(now, input);
    }

    fn poll_output(&mut self) -> Option<peer::Output> {
        self.poll_output()
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.next_deadline()
    }
}

impl Machine for tracker::Tracker {
    type Input = tracker::Input;
    type Output = tracker::Output;

    fn handle(&mut self, now: Instant, input: tracker::Input) {
        self.handle(now, input);
    }

    fn poll_output(&mut self) -> Option<tracker::Output> {
        self.poll_output()
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.next_deadline()
    }
}

//! The shell around the pure machines: what happens becomes their inputs, and
//! their outputs become what is to happen.
//!
//! ```text
//! mod        the loop that drives a node, whichever it is
//! caller     what is told to the caller of a node
//! engine     a machine, its time, and what it wants done
//! counting   what goes over the links, in numbers
//! wires      the links of a node: frames out, arrivals in, the goodbye
//! talk       what is said and heard there, as a log shows it
//! peer       what only a peer does, and what its user asks of it
//! tracker    what only a tracker does
//! ```
//!
//! Decides nothing: that is `thorp-core`.

mod caller;
mod counting;
mod engine;
pub mod peer;
mod talk;
pub mod tracker;
mod wires;

use std::time::{Duration, Instant};

use thorp_core::links::{self, LinkId};
use thorp_wire::Frame;

use crate::net::link::{Arrival, LinkEnd, LinkEvent};
use crate::system::sleep;

use engine::{Engine, Machine};
use wires::Wires;

/// How many arrivals are dealt with together at most, and for how long others wait that come after
/// them, as does everything else.
const TOGETHER: usize = 64;
const MOMENT: Duration = Duration::from_millis(1);

/// What differs between the nodes that are driven.
trait Node: Send + Sized {
    type Machine: Machine;
    /// What happens here besides links and time.
    type Event: Send;

    /// The node has started.
    fn on_start(&mut self, _: &mut Engine<Self::Machine>) {}

    /// Waits for the next event. It is dropped and called again as often as
    /// something else happens before, and loses nothing by that.
    fn next_event(&mut self, machine: &Self::Machine) -> impl Future<Output = Self::Event> + Send;

    fn on_event(&mut self, engine: &mut Engine<Self::Machine>, event: Self::Event);

    fn on_frame(&mut self, engine: &mut Engine<Self::Machine>, link: LinkId, frame: Frame) {
        engine.handle(links::Input::Frame { link, frame });
    }

    /// All that came together on the links was told.
    fn on_all_came(&mut self, _: &mut Engine<Self::Machine>) {}

    /// A link has ended. The machine is told here.
    fn on_closed(&mut self, engine: &mut Engine<Self::Machine>, link: LinkId, end: LinkEnd) {
        let reason = end.to_string();
        engine.handle(links::Input::Disconnected { link, reason });
    }

    /// The machine wants something done.
    fn on_output(
        &mut self,
        engine: &mut Engine<Self::Machine>,
        output: <Self::Machine as Machine>::Output,
    );

    /// The goodbyes are about to be said.
    fn on_stop(&mut self) {}

    /// They are said: what is to be kept is kept.
    fn finish(self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// Drives a node until it is stopped.
async fn run<N: Node>(mut node: N, mut engine: Engine<N::Machine>) {
    node.on_start(&mut engine);
    let reason = loop {
        settle(&mut node, &mut engine);
        if let Some(reason) = engine.take_stop() {
            break reason;
        }
        let deadline = engine.until_deadline();
        tokio::select! {
            arrival = engine.wires.arrival() => on_arrivals(&mut node, &mut engine, arrival),
            event = node.next_event(&engine.machine) => node.on_event(&mut engine, event),
            () = sleep(deadline) => engine.handle(links::Input::Tick),
        }
    };
    node.on_stop();
    engine.handle(links::Input::Stop { reason });
    settle(&mut node, &mut engine);
    engine.wires.farewell().await;
    node.finish().await;
}

/// Does what the machine wants done.
fn settle<N: Node>(node: &mut N, engine: &mut Engine<N::Machine>) {
    while let Some(output) = engine.next_output() {
        node.on_output(engine, output);
    }
}

/// Deals with what has arrived, and with what is there behind it.
fn on_arrivals<N: Node>(node: &mut N, engine: &mut Engine<N::Machine>, first: Arrival) {
    let began = Instant::now();
    let (mut next, mut rooms) = (Some(first), Vec::new());
    while let Some(arrival) = next {
        let (link, event, room) = arrival.into_parts();
        on_arrival(node, engine, link, event);
        rooms.push(room);
        // What follows from one, such as that this machine was removed, holds for the next.
        settle(node, engine);
        let has_time = rooms.len() < TOGETHER && began.elapsed() < MOMENT;
        let goes_on = has_time && !engine.is_stopping();
        next = goes_on.then(|| engine.wires.arrival_now()).flatten();
    }
    node.on_all_came(engine);
    // Their room is given back when all have been dealt with.
    drop(rooms);
}

fn on_arrival<N: Node>(
    node: &mut N,
    engine: &mut Engine<N::Machine>,
    link: LinkId,
    event: LinkEvent,
) {
    match event {
        LinkEvent::Frame(frame) => {
            talk::log_heard(engine.wires.who(link), &frame);
            engine.wires.on_received(link, &frame);
            node.on_frame(engine, link, frame);
        }
        LinkEvent::Unknown { kind, request } => {
            if let Some(request) = request {
                engine.wires.refuse(link, kind, request);
            }
            engine.handle(links::Input::heard(link));
        }
        LinkEvent::Heard { content } => engine.handle(links::Input::Heard { link, content }),
        LinkEvent::Room => engine.handle(links::Input::Room { link }),
        LinkEvent::Reads => engine.handle(links::Input::Reads { link }),
        LinkEvent::Expiring => engine.handle(links::Input::Expiring { link }),
        LinkEvent::Closed(end) => {
            let who = engine.wires.who(link);
            tracing::info!(%who, %end, "a link has ended");
            engine.wires.on_closed(link);
            node.on_closed(engine, link, end);
        }
    }
}

//! The task that turns bytes into events, and ends a link when its certificate expires.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use thorp_core::links::LinkId;
use thorp_group::clock::Clock;
use thorp_wire::frame::{MAX_FRAME, PREFIX, announced_length};
use thorp_wire::{Frame, FrameError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadHalf};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep};

use super::event::{LinkEnd, LinkEvent, broken};
use super::inbox::{Arrival, FrameRoom, Inbox};
use super::queues::{IDLE, Shared};

/// The shortest time between two [`LinkEvent::Heard`].
const HEARD: Duration = Duration::from_secs(1);
/// How long before the end of a link [`LinkEvent::Expiring`] is sent.
const EXPIRING: Duration = Duration::from_hours(1);
/// The size of the read buffer while nothing large arrives, in bytes.
pub(super) const SMALL: usize = 4 * 1024;
/// The least by which the buffer grows for a large frame, in bytes.
const STEP: usize = 64 * 1024;

/// The latest end of a link.
#[derive(Clone, Debug)]
pub struct Term {
    /// The clock by which the end is measured.
    pub clock: Clock,
    /// The end of one of the two certificates, whichever comes first.
    pub ends: SystemTime,
}

pub(super) struct Reader<S> {
    pub(super) id: LinkId,
    pub(super) stream: ReadHalf<S>,
    pub(super) shared: Arc<Shared>,
    pub(super) inbox: Inbox,
    /// Bytes of this link's frames that may still wait in the inbox.
    pub(super) room: Arc<Semaphore>,
    pub(super) term: Term,
    pub(super) buffer: Vec<u8>,
    pub(super) heard: Option<Instant>,
    /// Bytes of the incomplete frame that [`LinkEvent::Heard`] has already counted.
    pub(super) counted: usize,
}

impl<S: AsyncRead + AsyncWrite> Reader<S> {
    pub(super) async fn run(mut self) {
        let shared = self.shared.clone();
        let expiry = expiry(self.id, self.term.clone(), self.inbox.events.clone());
        tokio::select! {
            why = self.read_all() => shared.end(why),
            why = expiry => shared.end(why),
            _ = shared.ended() => {}
        }
        let end = LinkEvent::Closed(shared.ended().await);
        let _ = self.put(end, None).await;
    }

    async fn read_all(&mut self) -> LinkEnd {
        loop {
            let needed = match self.deliver().await {
                Ok(needed) => needed,
                Err(why) => return why,
            };
            // Allocate by what has arrived, not by what was announced.
            let missing = needed.saturating_sub(self.buffer.len());
            self.buffer
                .reserve(missing.min(self.buffer.len().max(STEP)).max(SMALL));
            match self.read_some().await {
                Ok(0) => return LinkEnd::There,
                Ok(_) => {}
                Err(error) => return broken(&error),
            }
        }
    }

    async fn read_some(&mut self) -> io::Result<usize> {
        if self.buffer.is_empty() && self.buffer.capacity() > 2 * SMALL {
            // An idle link keeps no large buffer. The timer starts only if the read has to wait.
            tokio::select! {
                biased;
                read = self.stream.read_buf(&mut self.buffer) => return read,
                () = sleep(IDLE) => {}
            }
            self.buffer = Vec::with_capacity(SMALL);
        }
        self.stream.read_buf(&mut self.buffer).await
    }

    /// Delivers every complete frame in the buffer. Returns how many bytes the next frame takes,
    /// as far as that is known.
    async fn deliver(&mut self) -> Result<usize, LinkEnd> {
        let mut start = 0;
        let needed = loop {
            let rest = &self.buffer[start..];
            let Some((&prefix, body)) = rest.split_first_chunk::<PREFIX>() else {
                break PREFIX;
            };
            let length = announced_length(prefix, MAX_FRAME).map_err(LinkEnd::Malformed)?;
            let Some(body) = body.get(..length) else {
                break PREFIX + length;
            };
            let room = self.inbox.room_for(&self.room, Frame::memory(body)).await?;
            let event = match Frame::decode(body) {
                Ok(frame) => LinkEvent::Frame(frame),
                Err(FrameError::Unknown { kind, request }) => LinkEvent::Unknown { kind, request },
                Err(error) => return Err(LinkEnd::Malformed(error)),
            };
            start += PREFIX + length;
            self.counted = 0;
            self.put(event, Some(room)).await?;
        };
        self.buffer.drain(..start);
        if !self.buffer.is_empty() {
            let now = Instant::now();
            if self.heard.is_none_or(|heard| now - heard >= HEARD) {
                self.heard = Some(now);
                let heard = self.heard_in_part();
                self.put(heard, None).await?;
            }
        }
        Ok(needed)
    }

    /// Makes the event for an incomplete frame, which may be a file for which a fetch waits.
    fn heard_in_part(&mut self) -> LinkEvent {
        let is_content = self.buffer.get(PREFIX..).is_some_and(Frame::brings_content);
        let new = self.buffer.len() - self.counted;
        self.counted = self.buffer.len();
        let content = if is_content { new } else { 0 };
        LinkEvent::Heard {
            content: u32::try_from(content).unwrap_or(u32::MAX),
        }
    }

    async fn put(&mut self, event: LinkEvent, room: Option<FrameRoom>) -> Result<(), LinkEnd> {
        let arrival = Arrival {
            link: self.id,
            event,
            room,
        };
        let put = self.inbox.events.send(arrival).await;
        put.map_err(|_| LinkEnd::Here)
    }
}

/// Waits until a certificate expires, and announces that an hour before. A link established
/// within that last hour announces nothing, since another link would not last longer.
async fn expiry(link: LinkId, term: Term, events: mpsc::Sender<Arrival>) -> LinkEnd {
    let near = term.ends.checked_sub(EXPIRING);
    if let Some(near) = near.filter(|near| term.clock.wall() < *near) {
        term.clock.reaches(near).await;
        // If the node has ended, the reader ends the link.
        let expiring = Arrival {
            link,
            event: LinkEvent::Expiring,
            room: None,
        };
        let _ = events.send(expiring).await;
    }
    term.clock.reaches(term.ends).await;
    LinkEnd::Expired
}

//! An authenticated stream as a queue of frames in both directions.
//!
//! A reader task turns bytes into [`LinkEvent`]s and puts them into an [`Inbox`], which is
//! bounded in number and in bytes, for each link and for all links of a node: if the node does
//! not take them, the sender is slowed down. A writer task takes frames from three queues, each
//! in its order: control frames before `Content` before `Update`s. [`LinkSender`] is the handle
//! to these queues.
//!
//! ```text
//! event   the events of a link, and how a link ends
//! inbox   the bounded queue for the events of all links
//! room    how many bytes may wait there, over all links
//! queues  frames that wait to be written
//! reader  bytes to events
//! writer  queued frames to bytes
//! ```
//!
//! Invariant: for every link exactly one [`LinkEvent::Closed`] arrives, as its last event but for a
//! [`LinkEvent::Room`] or a [`LinkEvent::Reads`]. This module does not interpret frames.

mod event;
mod inbox;
mod queues;
mod reader;
mod room;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::sync::Arc;

use thorp_core::links::LinkId;
use thorp_wire::frame::{Reason, Refused};
use thorp_wire::{Frame, Remark, RequestId};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use inbox::MAX_WAITING;
use queues::{Shared, space_for};
use reader::{Reader, SMALL};
use writer::{GOODBYE, Writer};

pub use event::{LinkEnd, LinkEvent};
pub use inbox::{Arrival, Arrivals, Inbox, inbox};
pub use queues::Space;
pub use reader::Term;

/// Makes a stream into a link. Its events go to `inbox`.
pub fn start<S>(id: LinkId, stream: S, term: Term, inbox: Inbox) -> LinkSender
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (read, write) = tokio::io::split(stream);
    let shared = Arc::new(Shared::new());
    let progress = inbox.progress.clone();
    let reader = Reader {
        id,
        stream: read,
        shared: shared.clone(),
        inbox,
        room: Arc::new(Semaphore::new(MAX_WAITING)),
        term,
        buffer: Vec::with_capacity(SMALL),
        heard: None,
        counted: 0,
    };
    let writer = Writer {
        id,
        progress,
        stream: write,
        shared: shared.clone(),
        buffer: Vec::new(),
        begin: 0,
        spaces: Vec::new(),
        is_long: false,
        told: None,
    };
    tokio::spawn(reader.run());
    tokio::spawn(writer.run());
    LinkSender { id, shared }
}

/// Waits until this many links, all closed by this side, have ended. A member that does not read
/// the goodbye in time will notice that the connection is closed.
pub async fn farewell(mut links: usize, arrivals: &mut Arrivals) {
    let ended = async {
        while links > 0 {
            match arrivals.recv().await.map(|arrival| arrival.event) {
                Some(LinkEvent::Closed(_)) => links -= 1,
                Some(_) => {}
                None => return,
            }
        }
    };
    let _ = timeout(2 * GOODBYE, ended).await;
}

/// Sends frames over a link. Clones share the link, which stays up until it is closed, even if
/// all clones are dropped.
#[derive(Clone)]
pub struct LinkSender {
    id: LinkId,
    shared: Arc<Shared>,
}

impl LinkSender {
    /// Returns the id of the link.
    pub fn id(&self) -> LinkId {
        self.id
    }

    /// Queues a frame after others of its priority. Never waits: a queue that grows too long
    /// closes the link. Does nothing if the link is closed.
    pub fn send(&self, frame: Frame) {
        self.shared.push([(frame, None)]);
    }

    /// Has [`LinkEvent::Room`] sent once few bytes of updates wait to be written, perhaps at once.
    pub fn await_room(&self) {
        self.shared.await_room();
    }

    /// Waits until this link has space for this many bytes of a file. Returns `None` if the link
    /// has ended.
    pub async fn space(&self, bytes: u64) -> Option<Space> {
        let space = self.shared.room.clone();
        let permit = space.acquire_many_owned(space_for(bytes)).await.ok()?;
        Some(Space::new(permit))
    }

    /// Reserves space for this many bytes if there is space now.
    pub fn try_space(&self, bytes: u64) -> Option<Space> {
        let space = self.shared.room.clone();
        let permit = space.try_acquire_many_owned(space_for(bytes)).ok()?;
        Some(Space::new(permit))
    }

    /// Queues `Content` frames for which space was reserved, to be written together. Returns
    /// whether the link was still up.
    pub fn contents(&self, frames: Vec<(Frame, Space)>) -> bool {
        let frames = frames.into_iter();
        self.shared
            .push(frames.map(|(frame, space)| (frame, Some(space))))
    }

    /// Removes a `Content` frame from the queue, if it is still there, and answers its question
    /// with [`Reason::Busy`] instead: other links need the memory.
    pub fn take_back(&self, request: RequestId) {
        if self.shared.take_back(request) {
            let busy = Refused {
                reason: Reason::Busy,
                text: Remark::default(),
            };
            self.send(Frame::with_request(request, busy));
        }
    }

    /// Ends the link: queued control frames are still sent within a second, then the connection
    /// is closed.
    pub fn close(&self) {
        self.shared.end(LinkEnd::Here);
    }

    /// Whether the link has ended or is about to.
    #[cfg(test)]
    pub fn is_closed(&self) -> bool {
        self.shared.has_ended()
    }

    /// Waits until nothing more will be written, whether the goodbye was sent or not.
    #[cfg(test)]
    pub async fn finished(&self) {
        let mut finished = self.shared.finished.subscribe();
        // The channel is open, since `self` holds its sender.
        let _ = finished.wait_for(|finished| *finished).await;
    }
}

impl fmt::Debug for LinkSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkSender({})", self.id.0)
    }
}

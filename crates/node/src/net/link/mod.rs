//! An authenticated stream as a queue of frames, both ways.
//!
//! A reader task makes bytes into [`LinkEvent`]s and puts them into an
//! [`Inbox`], bounded in number and in bytes, for each link and for all of a
//! node: a node that does not take them slows the sender down. A writer task takes
//! frames out of three queues: control before `Content` before `Update`s, and
//! each in its order. [`LinkSender`] is the handle on it.
//!
//! ```text
//! event   what comes out of a link, and how it ends
//! inbox   where all links of a node put it, bounded
//! room    how much may wait there, over all links
//! queues  frames that wait to be written
//! reader  bytes into events
//! writer  queued frames into bytes
//! ```
//!
//! Invariant: of every link exactly one [`LinkEvent::Closed`] arrives, and
//! nothing after it. What the frames mean is none of this module's business.

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
    let reader = Reader {
        id,
        stream: read,
        shared: shared.clone(),
        inbox,
        room: Arc::new(Semaphore::new(MAX_WAITING)),
        term,
        buffer: Vec::with_capacity(SMALL),
        heard: None,
        told: 0,
    };
    let writer = Writer {
        stream: write,
        shared: shared.clone(),
        buffer: Vec::new(),
        spaces: Vec::new(),
    };
    tokio::spawn(reader.run());
    tokio::spawn(writer.run());
    LinkSender { id, shared }
}

/// Waits until so many links, all of which were closed from here, have ended.
/// A member that does not take the goodbye in time notices that this node is gone.
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

/// Sends frames over a link. Clones send over the same one; it stays up when
/// all of them are gone, until it is closed.
#[derive(Clone)]
pub struct LinkSender {
    id: LinkId,
    shared: Arc<Shared>,
}

impl LinkSender {
    /// Which link.
    pub fn id(&self) -> LinkId {
        self.id
    }

    /// Queues a frame, behind others of its priority. Never waits: a queue that
    /// grows too long closes the link. On a closed link nothing happens.
    pub fn send(&self, frame: Frame) {
        self.shared.push(frame, None);
    }

    /// Waits until this link has space for so many bytes of a file; nothing, if it has
    /// ended.
    pub async fn space(&self, bytes: u64) -> Option<Space> {
        let space = self.shared.room.clone();
        let permit = space.acquire_many_owned(space_for(bytes)).await.ok()?;
        Some(Space::new(permit))
    }

    /// The same, if there is space for them now.
    pub fn try_space(&self, bytes: u64) -> Option<Space> {
        let space = self.shared.room.clone();
        let permit = space.try_acquire_many_owned(space_for(bytes)).ok()?;
        Some(Space::new(permit))
    }

    /// Queues a `Content` frame, for which there is space. The answer is whether the
    /// link was still up.
    pub fn content(&self, frame: Frame, space: Space) -> bool {
        self.shared.push(frame, Some(space))
    }

    /// Takes a `Content` frame out of the queue, if it is still there, and refuses what
    /// it answers instead: others wait for the memory it takes.
    pub fn take_back(&self, request: RequestId) {
        if self.shared.take_back(request) {
            let busy = Refused {
                reason: Reason::Busy,
                text: Remark::default(),
            };
            self.send(Frame::with_request(request, busy));
        }
    }

    /// Ends the link: control frames that are queued still go out, within a
    /// second, then it is closed.
    pub fn close(&self) {
        self.shared.end(LinkEnd::Here);
    }

    /// Whether it has ended, or is about to.
    #[cfg(test)]
    pub fn is_closed(&self) -> bool {
        self.shared.has_ended()
    }

    /// Waits until nothing more will be written: the goodbye is out, or given up.
    #[cfg(test)]
    pub async fn finished(&self) {
        let mut finished = self.shared.finished.subscribe();
        // The sender is in `shared`, which we hold.
        let _ = finished.wait_for(|finished| *finished).await;
    }
}

impl fmt::Debug for LinkSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkSender({})", self.id.0)
    }
}

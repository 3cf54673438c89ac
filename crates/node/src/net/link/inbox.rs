//! The bounded queue into which all links of a node put their events.

use std::sync::Arc;

use thorp_core::bound::Account;
use thorp_core::links::LinkId;
use thorp_wire::PeerId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::event::{LinkEnd, LinkEvent};
use super::room::{Room, Taken};

/// The maximum number of events that wait for the node's task.
const MAX_EVENTS: usize = 256;
/// The maximum memory, in bytes, of frames that wait for the task: those of one link, and those
/// of all links. A longer frame waits until it is alone.
pub(super) const MAX_WAITING: usize = 4 * 1024 * 1024;
pub(super) const MAX_WAITING_IN_ALL: usize = 64 * 1024 * 1024;

/// The queue into which all links of a node put their events. Clones share it.
#[derive(Clone)]
pub struct Inbox {
    pub(super) events: mpsc::Sender<Arrival>,
    /// Bounded by the links: each reports room once for each time it is awaited, and once a second
    /// that the other side reads.
    pub(super) progress: mpsc::UnboundedSender<(LinkId, Progress)>,
    /// The memory of waiting frames, over all links.
    room: Room,
    /// The account that is charged for frames of this link.
    account: Account,
}

/// How writing gets on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Progress {
    /// There is room for updates again, which was awaited.
    Room,
    /// Bytes of a long update were written.
    Reads,
}

/// The events of all links of a node: what has arrived on each link in the order of arrival.
pub struct Arrivals {
    events: mpsc::Receiver<Arrival>,
    progress: mpsc::UnboundedReceiver<(LinkId, Progress)>,
}

impl Arrivals {
    /// Waits for the next event. Returns `None` if there is no inbox any more.
    pub async fn recv(&mut self) -> Option<Arrival> {
        tokio::select! {
            // There are few of them, and they do not wait behind what arrives.
            biased;
            Some((link, progress)) = self.progress.recv() => Some(Arrival {
                link,
                event: match progress {
                    Progress::Room => LinkEvent::Room,
                    Progress::Reads => LinkEvent::Reads,
                },
                room: None,
            }),
            arrival = self.events.recv() => arrival,
        }
    }

    /// Returns the next event of what has arrived, if it is there.
    pub fn try_recv(&mut self) -> Option<Arrival> {
        self.events.try_recv().ok()
    }
}

/// An event of a link. While it lives, it takes up room for which other events wait.
#[derive(Debug)]
pub struct Arrival {
    /// The link.
    pub link: LinkId,
    /// The event.
    pub event: LinkEvent,
    pub(super) room: Option<FrameRoom>,
}

impl Arrival {
    /// Returns the link, the event, and the room that it takes up.
    pub fn into_parts(self) -> (LinkId, LinkEvent, Option<FrameRoom>) {
        (self.link, self.event, self.room)
    }
}

/// Room for one frame: within the limit of its link, and within that of all links.
#[derive(Debug)]
pub struct FrameRoom {
    _own: OwnedSemaphorePermit,
    _in_all: Taken,
}

/// Makes an inbox and its receiving end.
pub fn inbox() -> (Inbox, Arrivals) {
    let (events, arrivals) = mpsc::channel(MAX_EVENTS);
    let (sends_progress, progress) = mpsc::unbounded_channel();
    let arrivals = Arrivals {
        events: arrivals,
        progress,
    };
    let inbox = Inbox {
        events,
        progress: sends_progress,
        room: Room::new(MAX_WAITING_IN_ALL),
        account: Account::Member(PeerId::new([0; 32])),
    };
    (inbox, arrivals)
}

impl Inbox {
    /// Returns this inbox for the links of this account.
    #[must_use]
    pub fn of(&self, account: Account) -> Self {
        Self {
            account,
            ..self.clone()
        }
    }

    /// Waits until there is room for this many bytes: first within the link's own limit, so that
    /// a link that has used it up does not block the others.
    pub(super) async fn room_for(
        &self,
        own: &Arc<Semaphore>,
        bytes: usize,
    ) -> Result<FrameRoom, LinkEnd> {
        let most = u32::try_from(bytes.min(MAX_WAITING)).unwrap_or(u32::MAX);
        let own = own.clone().acquire_many_owned(most).await;
        let own = own.map_err(|_| LinkEnd::Here)?;
        let taken = self.room.take(self.account, bytes).await;
        Ok(FrameRoom {
            _own: own,
            _in_all: taken.ok_or(LinkEnd::Here)?,
        })
    }
}

//! Where all links of a node put what happens on them, bounded.

use std::sync::Arc;

use thorp_core::bound::Account;
use thorp_core::links::LinkId;
use thorp_wire::PeerId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::event::{LinkEnd, LinkEvent};
use super::room::{Room, Taken};

/// Events of all links that wait for the task.
const MAX_EVENTS: usize = 256;
/// How much memory frames may take that wait for the task: those of one link,
/// and those of all. A longer frame waits until it is alone.
pub(super) const MAX_WAITING: usize = 4 * 1024 * 1024;
pub(super) const MAX_WAITING_IN_ALL: usize = 64 * 1024 * 1024;

/// Where all links of a node put what happens on them. Clones are the same one.
#[derive(Clone)]
pub struct Inbox {
    pub(super) events: mpsc::Sender<Arrival>,
    /// For what waits of all links.
    room: Room,
    /// Who is charged for what comes on this link.
    account: Account,
}

/// What happens on the links of a node, in the order of its arrival.
pub type Arrivals = mpsc::Receiver<Arrival>;

/// Something that has happened on a link. As long as this lives, it takes up
/// room that other events wait for.
#[derive(Debug)]
pub struct Arrival {
    /// On which link.
    pub link: LinkId,
    /// What.
    pub event: LinkEvent,
    pub(super) _room: Option<FrameRoom>,
}

/// Room for one frame: the link's own, and that of all links.
pub(super) type FrameRoom = (OwnedSemaphorePermit, Taken);

/// An inbox, and its other end.
pub fn inbox() -> (Inbox, Arrivals) {
    let (events, arrivals) = mpsc::channel(MAX_EVENTS);
    let inbox = Inbox {
        events,
        room: Room::new(MAX_WAITING_IN_ALL),
        account: Account::Member(PeerId::new([0; 32])),
    };
    (inbox, arrivals)
}

impl Inbox {
    /// The same, for the links of this account.
    #[must_use]
    pub fn of(&self, account: Account) -> Self {
        Self {
            account,
            ..self.clone()
        }
    }

    /// Waits for so much room: first the link's own, so that a link that has
    /// filled that does not stand in the others' way.
    pub(super) async fn room_for(
        &self,
        own: &Arc<Semaphore>,
        bytes: usize,
    ) -> Result<FrameRoom, LinkEnd> {
        let most = u32::try_from(bytes.min(MAX_WAITING)).unwrap_or(u32::MAX);
        let own = own.clone().acquire_many_owned(most).await;
        let own = own.map_err(|_| LinkEnd::Here)?;
        let taken = self.room.take(self.account, bytes).await;
        Ok((own, taken.ok_or(LinkEnd::Here)?))
    }
}

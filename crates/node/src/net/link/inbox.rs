//! Where all links of a node put what happens on them, bounded.

use std::sync::Arc;

use thorp_core::links::LinkId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::event::{LinkEnd, LinkEvent};

/// Events of all links that wait for the task.
const MAX_EVENTS: usize = 256;
/// How much memory frames may take that wait for the task: those of one link,
/// and those of all. A longer frame waits until it is alone.
pub(super) const MAX_WAITING: usize = 4 * 1024 * 1024;
pub(super) const MAX_WAITING_IN_ALL: usize = 64 * 1024 * 1024;

/// Where all links of a node put what happens on them. Clones are the same one.
///
/// Links get room in the order of asking, so that one that always has more to
/// say is one among many.
#[derive(Clone)]
pub struct Inbox {
    pub(super) events: mpsc::Sender<Arrival>,
    /// Bytes that may still wait.
    room: Arc<Semaphore>,
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
    pub(super) _room: Option<[OwnedSemaphorePermit; 2]>,
}

/// An inbox, and its other end.
pub fn inbox() -> (Inbox, Arrivals) {
    let (events, arrivals) = mpsc::channel(MAX_EVENTS);
    let room = Arc::new(Semaphore::new(MAX_WAITING_IN_ALL));
    (Inbox { events, room }, arrivals)
}

impl Inbox {
    /// Waits for so much room: first the link's own, so that a link that has
    /// filled that does not stand in the others' way.
    pub(super) async fn room_for(
        &self,
        own: &Arc<Semaphore>,
        bytes: usize,
    ) -> Result<[OwnedSemaphorePermit; 2], LinkEnd> {
        let take = async |room: &Arc<Semaphore>, most: usize| {
            let bytes = u32::try_from(bytes.min(most)).unwrap_or(u32::MAX);
            let taken = room.clone().acquire_many_owned(bytes).await;
            taken.map_err(|_| LinkEnd::Here)
        };
        let own = take(own, MAX_WAITING).await?;
        Ok([own, take(&self.room, MAX_WAITING_IN_ALL).await?])
    }
}

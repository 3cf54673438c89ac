//! Small files for others: read off the task, sent when the link has room.

use std::collections::HashMap;
use std::sync::Arc;

use thorp_core::links::LinkId;
use thorp_wire::Content;
use thorp_wire::frame::{Bytes, Frame, Reason, Refused, RequestId};
use tokio::sync::{Semaphore, mpsc};

use crate::link::LinkSender;
use crate::share::{ReadError, Share};

/// Files of one member that may be on their way to it at once.
const EACH: usize = 64;
/// Files that are read at once.
const READS: usize = 16;

pub(super) struct Server {
    share: Share,
    /// Told of each file that was sent, by the link it went over.
    served: mpsc::Sender<LinkId>,
    reads: Arc<Semaphore>,
    places: HashMap<LinkId, Arc<Semaphore>>,
}

impl Server {
    pub(super) fn new(share: Share, served: mpsc::Sender<LinkId>) -> Self {
        Self {
            share,
            served,
            reads: Arc::new(Semaphore::new(READS)),
            places: HashMap::new(),
        }
    }

    /// Sends a file, or says why not.
    pub(super) fn serve(
        &mut self,
        id: LinkId,
        link: &LinkSender,
        request: RequestId,
        content: Content,
    ) {
        let places = self
            .places
            .entry(id)
            .or_insert_with(|| Arc::new(Semaphore::new(EACH)));
        let Ok(place) = Arc::clone(places).try_acquire_owned() else {
            let busy = Refused {
                reason: Reason::Busy,
                text: format!("{EACH} files are on their way already"),
            };
            link.send(Frame::with_request(request, busy));
            return;
        };
        let (share, link) = (self.share.clone(), link.clone());
        let (reads, served) = (Arc::clone(&self.reads), self.served.clone());
        tokio::spawn(async move {
            let _place = place;
            let Ok(turn) = reads.acquire().await else {
                return;
            };
            let Ok(read) = tokio::task::spawn_blocking(move || share.read(content)).await else {
                return;
            };
            // Whoever takes its time to receive is not to keep others from reading.
            drop(turn);
            match read {
                Ok(bytes) => {
                    link.content(Frame::with_request(request, Bytes { bytes }))
                        .await;
                    // Nobody to tell: the peer is gone.
                    let _ = served.send(id).await;
                }
                Err(error) => link.send(Frame::with_request(request, refusal(&error))),
            }
        });
    }

    /// A link is gone.
    pub(super) fn forget(&mut self, link: LinkId) {
        self.places.remove(&link);
    }
}

fn refusal(error: &ReadError) -> Refused {
    let reason = match error {
        ReadError::NotHere | ReadError::Changed { .. } => Reason::NotHere,
        ReadError::TooLarge { .. } => Reason::TooLarge,
        ReadError::Io { .. } => Reason::Unreadable,
    };
    Refused {
        reason,
        // Without the name: it may be none of the asker's business.
        text: String::new(),
    }
}

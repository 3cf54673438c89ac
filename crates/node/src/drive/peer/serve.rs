//! Small files for others: read off the task, sent when the link has room.

use std::collections::HashMap;
use std::sync::Arc;

use thorp_core::links::LinkId;
use thorp_disk::Disk;
use thorp_files::share::{ReadError, Share};
use thorp_wire::frame::{Bytes, Frame, Reason, Refused, RequestId};
use thorp_wire::{Content, Remark};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::net::link::LinkSender;

/// Files of one member that may be on their way to it at once.
const EACH: usize = 64;

pub(super) struct Server {
    share: Share,
    disk: Disk,
    /// Told of each file that was sent, by the link it went over.
    served: mpsc::Sender<LinkId>,
    places: HashMap<LinkId, Arc<Semaphore>>,
}

impl Server {
    pub(super) fn new(share: Share, disk: Disk, served: mpsc::Sender<LinkId>) -> Self {
        Self {
            share,
            disk,
            served,
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
                text: format!("{EACH} files are on their way already").into(),
            };
            link.send(Frame::with_request(request, busy));
            return;
        };
        let share = self.share.clone();
        let reply = Reply {
            link: link.clone(),
            request,
            served: self.served.clone(),
            _place: place,
        };
        let runtime = Handle::current();
        self.disk.run(move |disk| match share.read(disk, content) {
            // A member that is slow to receive does not keep others from reading.
            Ok(bytes) => drop(runtime.spawn(reply.content(bytes))),
            Err(error) => reply.refuse(&error),
        });
    }

    /// A link is gone.
    pub(super) fn forget(&mut self, link: LinkId) {
        self.places.remove(&link);
    }
}

/// The way back for one file.
struct Reply {
    link: LinkSender,
    request: RequestId,
    served: mpsc::Sender<LinkId>,
    _place: OwnedSemaphorePermit,
}

impl Reply {
    async fn content(self, bytes: Vec<u8>) {
        let frame = Frame::with_request(self.request, Bytes { bytes });
        self.link.content(frame).await;
        // If the peer is gone, it need not know.
        let _ = self.served.send(self.link.id()).await;
    }

    fn refuse(self, error: &ReadError) {
        self.link
            .send(Frame::with_request(self.request, refusal(error)));
    }
}

fn refusal(error: &ReadError) -> Refused {
    let reason = match error {
        ReadError::NotHere => Reason::NotHere,
        ReadError::Changed { .. } => Reason::Changed,
        ReadError::TooLarge { .. } => Reason::TooLarge,
        ReadError::Io { .. } => Reason::Unreadable,
    };
    Refused {
        reason,
        // Without the name: it may be none of the asker's business.
        text: Remark::default(),
    }
}

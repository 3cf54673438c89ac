//! Frames that wait to be written, each behind others of its priority.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thorp_wire::{Body, Frame, RequestId};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

use super::event::LinkEnd;

/// How much an unread queue may hold before the link is closed.
const MAX_QUEUED_BYTES: usize = 4 * 1024 * 1024;
pub(super) const MAX_QUEUED_FRAMES: usize = 4096;
/// The same for updates: the whole listing of a share may wait there.
const MAX_QUEUED_UPDATES: usize = 256 * 1024 * 1024;
/// How much [`LinkSender::space`](super::LinkSender::space) there is for files.
pub(super) const MAX_CONTENT: usize = 1024 * 1024;

/// After how long without traffic a link gives its buffers back.
pub(super) const IDLE: Duration = Duration::from_secs(1);

/// What a link's two tasks and its handles have in common.
pub(super) struct Shared {
    queues: Mutex<Queues>,
    /// There is something for the writer.
    pub(super) wake: Notify,
    /// Bytes of content that may still be queued; closed with the link.
    pub(super) room: Arc<Semaphore>,
    /// The first reason counts.
    end: watch::Sender<Option<LinkEnd>>,
    pub(super) finished: watch::Sender<bool>,
}

impl Shared {
    pub(super) fn new() -> Self {
        let (end, _) = watch::channel(None);
        let (finished, _) = watch::channel(false);
        Self {
            queues: Mutex::default(),
            wake: Notify::new(),
            room: Arc::new(Semaphore::new(MAX_CONTENT)),
            end,
            finished,
        }
    }

    pub(super) fn push(&self, frame: Frame, space: Option<Space>) -> bool {
        if self.has_ended() {
            return false;
        }
        let fits = self.queues().push(frame, space);
        if fits {
            self.wake.notify_one();
        } else {
            self.end(LinkEnd::Overflow);
        }
        fits
    }

    pub(super) fn end(&self, why: LinkEnd) {
        let first = self.end.send_if_modified(|end| {
            let first = end.is_none();
            end.get_or_insert(why);
            first
        });
        if first {
            self.room.close();
            self.wake.notify_one();
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.end.borrow().is_some()
    }

    /// Waits for the end, and says why.
    pub(super) async fn ended(&self) -> LinkEnd {
        let mut end = self.end.subscribe();
        let why = end.wait_for(Option::is_some).await;
        why.ok()
            .and_then(|why| why.clone())
            .unwrap_or(LinkEnd::There)
    }

    /// Takes the content out that answers this, if it is still queued.
    pub(super) fn take_back(&self, request: RequestId) -> bool {
        let mut queues = self.queues();
        let content = &mut queues.content;
        let mut frames = content.frames.iter();
        let at = frames.position(|queued| queued.frame.request == Some(request));
        let taken = at.and_then(|at| content.frames.remove(at));
        if let Some(taken) = &taken {
            content.bytes -= taken.size;
        }
        // What goes with it may ask for this lock.
        drop(queues);
        taken.is_some()
    }

    pub(super) fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The three queues, the first one first.
#[derive(Default)]
pub(super) struct Queues {
    pub(super) control: Queue,
    pub(super) content: Queue,
    pub(super) updates: Queue,
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) frames: VecDeque<Queued>,
    bytes: usize,
}

pub(super) struct Queued {
    pub(super) frame: Frame,
    pub(super) size: usize,
    pub(super) space: Option<Space>,
}

/// Space on a link for the bytes of a file. It is given back when they are written, and
/// with it what goes with them.
pub struct Space {
    _permit: OwnedSemaphorePermit,
    _with: Option<Box<dyn Send>>,
}

impl Space {
    pub(super) fn new(permit: OwnedSemaphorePermit) -> Self {
        Self {
            _permit: permit,
            _with: None,
        }
    }

    /// The same, with what else is held until then.
    #[must_use]
    pub fn with(self, with: Box<dyn Send>) -> Self {
        Self {
            _with: Some(with),
            ..self
        }
    }
}

/// What so many bytes of a file take of a link's space.
pub(super) fn space_for(bytes: u64) -> u32 {
    u32::try_from(bytes.min(MAX_CONTENT as u64)).unwrap_or(u32::MAX)
}

impl Queues {
    /// Whether it is within the bounds.
    fn push(&mut self, frame: Frame, space: Option<Space>) -> bool {
        let (queue, frames, bytes) = match frame.body {
            // All of them, so that they stay in order.
            Body::Update(_) => (&mut self.updates, usize::MAX, MAX_QUEUED_UPDATES),
            Body::Content(_) => (&mut self.content, MAX_QUEUED_FRAMES, MAX_QUEUED_BYTES),
            _ => (&mut self.control, MAX_QUEUED_FRAMES, MAX_QUEUED_BYTES),
        };
        let size = frame.size();
        queue.bytes += size;
        queue.frames.push_back(Queued { frame, size, space });
        queue.frames.len() <= frames && queue.bytes <= bytes
    }

    pub(super) fn pop(&mut self) -> Option<Queued> {
        let queues = [&mut self.control, &mut self.content, &mut self.updates];
        queues.into_iter().find_map(Queue::pop)
    }
}

impl Queue {
    pub(super) fn pop(&mut self) -> Option<Queued> {
        let queued = self.frames.pop_front()?;
        self.bytes -= queued.size;
        Some(queued)
    }
}

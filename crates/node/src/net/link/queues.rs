//! The frames that wait to be written, in one queue per priority.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thorp_wire::{Body, Frame, RequestId};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

use super::event::LinkEnd;

/// The maximum size, in bytes and in frames, of a queue before the link is closed.
const MAX_QUEUED_BYTES: usize = 4 * 1024 * 1024;
pub(super) const MAX_QUEUED_FRAMES: usize = 4096;
/// If no more bytes of updates than this wait to be written, there is room for more of a listing.
pub(super) const FEW_UPDATES: usize = 256 * 1024;
/// The space, in bytes, that [`LinkSender::space`](super::LinkSender::space) distributes among
/// files.
pub(super) const MAX_CONTENT: usize = 1024 * 1024;

/// How long a link without traffic keeps its buffers.
pub(super) const IDLE: Duration = Duration::from_secs(1);

/// The state shared by a link's two tasks and its handles.
pub(super) struct Shared {
    queues: Mutex<Queues>,
    /// Notified when the writer has something to do.
    pub(super) wake: Notify,
    /// Bytes of content that may still be queued. Closed with the link.
    pub(super) room: Arc<Semaphore>,
    /// Why the link ends. Only the first reason is kept.
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

    /// Queues frames, so that the writer finds all of them there when it wakes.
    pub(super) fn push(&self, frames: impl IntoIterator<Item = (Frame, Option<Space>)>) -> bool {
        if self.has_ended() {
            return false;
        }
        // What is left of them is dropped without the lock, which that may need.
        let mut frames = frames.into_iter();
        let mut queues = self.queues();
        let fits = frames.all(|(frame, space)| queues.push(frame, space));
        drop(queues);
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

    pub(super) fn await_room(&self) {
        self.queues().awaits_room = true;
        self.wake.notify_one();
    }

    /// Waits for the end of the link, and returns the reason.
    pub(super) async fn ended(&self) -> LinkEnd {
        let mut end = self.end.subscribe();
        let why = end.wait_for(Option::is_some).await;
        why.ok()
            .and_then(|why| why.clone())
            .unwrap_or(LinkEnd::There)
    }

    /// Removes the content that answers this request, if it is still queued. Returns whether it
    /// was.
    pub(super) fn take_back(&self, request: RequestId) -> bool {
        let mut queues = self.queues();
        let content = &mut queues.content;
        let mut frames = content.frames.iter();
        let at = frames.position(|queued| queued.frame.request == Some(request));
        let taken = at.and_then(|at| content.frames.remove(at));
        if let Some(taken) = &taken {
            content.bytes -= taken.size;
        }
        // Dropping what the content holds may need this lock.
        drop(queues);
        taken.is_some()
    }

    pub(super) fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The three queues, the one with the highest priority first.
#[derive(Default)]
pub(super) struct Queues {
    pub(super) control: Queue,
    pub(super) content: Queue,
    pub(super) updates: Queue,
    /// Whether to report that few updates wait.
    awaits_room: bool,
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

/// Space on a link for the bytes of a file. It is released, with everything attached to it, when
/// the bytes are written.
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

    /// Attaches something that is to be held until then.
    #[must_use]
    pub fn with(self, with: Box<dyn Send>) -> Self {
        Self {
            _with: Some(with),
            ..self
        }
    }
}

/// Returns how much of a link's space this many bytes of a file take.
pub(super) fn space_for(bytes: u64) -> u32 {
    u32::try_from(bytes.min(MAX_CONTENT as u64)).unwrap_or(u32::MAX)
}

impl Queues {
    /// Queues a frame. Returns `false` if its queue exceeds a bound.
    fn push(&mut self, frame: Frame, space: Option<Space>) -> bool {
        let queue = match frame.body {
            // All updates share one queue, so that they stay in order.
            Body::Update(_) => &mut self.updates,
            Body::Content(_) => &mut self.content,
            _ => &mut self.control,
        };
        let size = frame.size();
        queue.bytes += size;
        queue.frames.push_back(Queued { frame, size, space });
        queue.frames.len() <= MAX_QUEUED_FRAMES && queue.bytes <= MAX_QUEUED_BYTES
    }

    /// Whether to report now that few updates wait. It is reported once.
    pub(super) fn has_room(&mut self) -> bool {
        let has_room = self.awaits_room && self.updates.bytes <= FEW_UPDATES;
        self.awaits_room &= !has_room;
        has_room
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

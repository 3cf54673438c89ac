//! The task that writes queued frames, and says goodbye.

use std::sync::Arc;
use std::time::Duration;

use thorp_core::links::LinkId;
use thorp_wire::frame::Leave;
use thorp_wire::{Body, Frame};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::event::{LinkEnd, STUCK, broken};
use super::inbox::Progress;
use super::queues::{IDLE, Queues, Shared, Space};
use crate::net::pages::{PAGE, to_middle};

/// The approximate number of bytes written at once.
pub(super) const BATCH: usize = 64 * 1024;
/// From how many bytes on an update is a part of a long one. A sign of life is far shorter: a dead
/// connection takes many of them.
const LONG: usize = 32 * 1024;
/// How often it is reported that the other side reads.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// How long the goodbye may take.
pub(super) const GOODBYE: Duration = Duration::from_secs(1);

pub(super) struct Writer<S> {
    pub(super) id: LinkId,
    /// Where it is reported how writing gets on.
    pub(super) progress: mpsc::UnboundedSender<(LinkId, Progress)>,
    pub(super) stream: WriteHalf<S>,
    pub(super) shared: Arc<Shared>,
    pub(super) buffer: Vec<u8>,
    /// Where the frames begin in it.
    pub(super) begin: usize,
    /// Space that is released once the buffer is written.
    pub(super) spaces: Vec<Space>,
    /// Whether an update is in the buffer that is too long to fit into a connection in which
    /// nothing is read.
    pub(super) is_long: bool,
    /// When it was last reported that the other side reads.
    pub(super) told: Option<Instant>,
}

impl<S: AsyncRead + AsyncWrite> Writer<S> {
    pub(super) async fn run(mut self) {
        let shared = self.shared.clone();
        while !shared.has_ended() {
            if !self.fill() {
                self.wait().await;
                continue;
            }
            let too_late = async {
                shared.ended().await;
                sleep(GOODBYE).await;
            };
            tokio::select! {
                written = self.write() => if let Err(why) = written {
                    shared.end(why);
                },
                () = too_late => {}
            }
        }
        let why = shared.ended().await;
        self.goodbye(&why).await;
        // Handles may live on, but unsent frames need not.
        *shared.queues() = Queues::default();
        self.shared.finished.send_replace(true);
    }

    /// Waits for something to do. An idle link keeps no buffer.
    async fn wait(&mut self) {
        let wake = self.shared.wake.notified();
        tokio::pin!(wake);
        if timeout(IDLE, wake.as_mut()).await.is_err() {
            self.buffer = Vec::new();
            wake.await;
        }
    }

    /// Encodes a batch of frames into the buffer. Returns whether there is anything to write.
    fn fill(&mut self) -> bool {
        // Nothing is encoded under the lock.
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut queues = self.shared.queues();
        while bytes < BATCH
            && let Some(queued) = queues.pop()
        {
            bytes += queued.size;
            self.is_long |= matches!(queued.frame.body, Body::Update(_)) && queued.size >= LONG;
            batch.push(queued);
        }
        let has_room = queues.has_room();
        drop(queues);
        if has_room {
            // Without a receiver the node has ended.
            let _ = self.progress.send((self.id, Progress::Room));
        }
        if batch.is_empty() {
            return false;
        }
        self.buffer.reserve(bytes + PAGE);
        self.begin = if bytes < PAGE {
            0
        } else {
            to_middle(&self.buffer)
        };
        self.buffer.resize(self.begin, 0);
        for queued in batch {
            self.encode(&queued.frame);
            self.spaces.extend(queued.space);
        }
        if self.buffer.len() == self.begin {
            self.buffer.clear();
        }
        !self.buffer.is_empty()
    }

    fn encode(&mut self, frame: &Frame) {
        if let Err(error) = frame.encode(&mut self.buffer) {
            // A bug on this side, since frames are split where they are made. The other side
            // would wait for the frame in vain, so the link ends.
            tracing::error!(%error, "a frame cannot be sent");
            self.shared.end(LinkEnd::Malformed(error));
        }
    }

    /// Writes the buffer. The link is not stuck as long as some bytes are accepted.
    async fn write(&mut self) -> Result<(), LinkEnd> {
        let mut rest = &self.buffer[self.begin..];
        while !rest.is_empty() {
            let written = timeout(STUCK, self.stream.write(rest)).await;
            let written = written
                .map_err(|_| LinkEnd::Stuck)?
                .map_err(|e| broken(&e))?;
            if written == 0 {
                return Err(LinkEnd::There);
            }
            rest = rest.get(written..).unwrap_or_default();
            if self.is_long && self.told.is_none_or(|at| at.elapsed() >= TOLD_EVERY) {
                self.told = Some(Instant::now());
                let _ = self.progress.send((self.id, Progress::Reads));
            }
        }
        self.is_long = false;
        let flushed = timeout(STUCK, self.stream.flush()).await;
        flushed
            .map_err(|_| LinkEnd::Stuck)?
            .map_err(|e| broken(&e))?;
        self.spaces.clear();
        self.buffer.clear();
        Ok(())
    }

    /// Sends what is left, if possible: control frames and TLS's `close_notify`.
    async fn goodbye(&mut self, why: &LinkEnd) {
        let deadline = Instant::now() + GOODBYE;
        let mut bytes = Vec::new();
        let words = match why {
            LinkEnd::Here | LinkEnd::Expired => true,
            LinkEnd::Malformed(_) => {
                let leave = Leave {
                    reason: why.to_string().into(),
                };
                let _ = Frame::plain(leave).encode(&mut bytes);
                true
            }
            _ => false,
        };
        // After a partly written frame, the other side could not read the goodbye.
        if words && self.buffer.is_empty() {
            while let Some(queued) = { self.shared.queues().control.pop() } {
                let _ = queued.frame.encode(&mut bytes);
            }
            let _ = timeout_at(deadline, self.stream.write_all(&bytes)).await;
        }
        let _ = timeout_at(deadline, self.stream.shutdown()).await;
    }
}

//! An authenticated stream as a queue of frames, both ways.
//!
//! A reader task makes bytes into [`LinkEvent`]s and puts them into an
//! [`Inbox`], bounded in number and in bytes, for each link and for all of a
//! node: who does not take them slows the sender down. A writer task takes
//! frames out of three queues: control before `Content` before `Update`s, and
//! each in its order. [`LinkSender`] is the handle on it.
//!
//! Invariant: of every link exactly one [`LinkEvent::Closed`] arrives, and
//! nothing after it. What the frames mean is none of this module's business.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use thiserror::Error;
use thorp_core::links::LinkId;
use thorp_wire::frame::{Leave, MAX_FRAME, PREFIX, announced_length};
use thorp_wire::{Body, Frame, FrameError, RequestId};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use thorp_group::certificate::CertificateError;
use thorp_group::clock::Clock;

/// What comes out of a link.
#[derive(Debug)]
pub enum LinkEvent {
    /// A frame.
    Frame(Frame),
    /// A frame of a type this version does not know: to be refused if it asked
    /// something, ignored otherwise.
    Unknown {
        /// Its type.
        kind: u16,
        /// Its question.
        request: Option<RequestId>,
    },
    /// It will end before long, with a certificate that it was made with.
    Expiring,
    /// Bytes, but not a whole frame yet: a sign of life, at most once a second.
    Heard,
    /// The end, and why. The last event of a link.
    Closed(LinkEnd),
}

/// Why a link has ended, sorted by what it says about the other side.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LinkEnd {
    /// We have closed it.
    #[error("closed by this side")]
    Here,
    /// The other side has closed it.
    #[error("closed by the other side")]
    There,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// One side does not trust the other's certificate (any more).
    #[error("{0}")]
    Certificate(CertificateError),
    /// A certificate has ended while the link was up.
    #[error("the certificate it stood on has ended")]
    Expired,
    /// The other side sent what is no frame.
    #[error("{0}")]
    Malformed(FrameError),
    /// The other side does not read.
    #[error("the other side has read nothing for {} s", STUCK.as_secs())]
    Stuck,
    /// The other side does not read fast enough.
    #[error("too much is queued for the other side")]
    Overflow,
}

/// Events of all links that wait for the task.
const MAX_EVENTS: usize = 256;
/// How much memory frames may take that wait for the task: those of one link,
/// and those of all. A longer frame waits until it is alone.
const MAX_WAITING: usize = 4 * 1024 * 1024;
const MAX_WAITING_IN_ALL: usize = 64 * 1024 * 1024;
/// How much an unread queue may hold before the link is closed.
const MAX_QUEUED_BYTES: usize = 4 * 1024 * 1024;
const MAX_QUEUED_FRAMES: usize = 4096;
/// The same for updates: the whole listing of a share may wait there.
const MAX_QUEUED_UPDATES: usize = 256 * 1024 * 1024;
/// How much [`LinkSender::content`] lets wait.
const MAX_CONTENT: usize = 1024 * 1024;
/// How much is written at once, about.
const BATCH: usize = 64 * 1024;
/// How long the other side may read nothing.
const STUCK: Duration = Duration::from_secs(30);
/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// How often `Heard` may be said.
const HEARD: Duration = Duration::from_secs(1);
/// How long before the end of a link it is said that it is near.
const EXPIRING: Duration = Duration::from_hours(1);
/// After how long without traffic a link gives its buffers back.
const IDLE: Duration = Duration::from_secs(1);
/// The read buffer's size while nothing large arrives.
const SMALL: usize = 4 * 1024;
/// By how much it grows at least, as bytes arrive.
const STEP: usize = 64 * 1024;

/// Until when a link may last.
#[derive(Clone, Debug)]
pub struct Term {
    /// By this clock.
    pub clock: Clock,
    /// The end of the one certificate or the other, whichever comes first.
    pub ends: SystemTime,
}

/// Where all links of a node put what happens on them. Clones are the same one.
///
/// Whoever waits for room gets it in the order of asking, so that a link that
/// always has more to say is one among many.
#[derive(Clone)]
pub struct Inbox {
    events: mpsc::Sender<Arrival>,
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
    _room: Option<[OwnedSemaphorePermit; 2]>,
}

/// An inbox, and its other end.
pub fn inbox() -> (Inbox, Arrivals) {
    let (events, arrivals) = mpsc::channel(MAX_EVENTS);
    let room = Arc::new(Semaphore::new(MAX_WAITING_IN_ALL));
    (Inbox { events, room }, arrivals)
}

/// Makes a stream into a link. Its events go to `inbox`.
pub fn start<S>(id: LinkId, stream: S, term: Term, inbox: Inbox) -> LinkSender
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (read, write) = tokio::io::split(stream);
    let (end, _) = watch::channel(None);
    let (finished, _) = watch::channel(false);
    let shared = Arc::new(Shared {
        queues: Mutex::default(),
        wake: Notify::new(),
        room: Arc::new(Semaphore::new(MAX_CONTENT)),
        end,
        finished,
    });
    let reader = Reader {
        id,
        stream: read,
        shared: shared.clone(),
        inbox,
        room: Arc::new(Semaphore::new(MAX_WAITING)),
        term,
        buffer: Vec::with_capacity(SMALL),
        heard: None,
    };
    let writer = Writer {
        stream: write,
        shared: shared.clone(),
        buffer: Vec::new(),
        permits: Vec::new(),
    };
    tokio::spawn(reader.run());
    tokio::spawn(writer.run());
    LinkSender { id, shared }
}

/// Waits until so many links, all of which were closed from here, have ended.
/// Whoever does not take the goodbye in time notices that we are gone.
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

    /// Queues a `Content` frame once there is room for it. The answer is whether
    /// the link was still up.
    pub async fn content(&self, frame: Frame) -> bool {
        let size = u32::try_from(frame.size().min(MAX_CONTENT)).unwrap_or(u32::MAX);
        let room = self.shared.room.clone().acquire_many_owned(size).await;
        match room {
            Ok(room) => self.shared.push(frame, Some(room)),
            Err(_) => false,
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

struct Shared {
    queues: Mutex<Queues>,
    /// There is something for the writer.
    wake: Notify,
    /// Bytes of content that may still be queued; closed with the link.
    room: Arc<Semaphore>,
    /// The first reason counts.
    end: watch::Sender<Option<LinkEnd>>,
    finished: watch::Sender<bool>,
}

impl Shared {
    fn push(&self, frame: Frame, room: Option<OwnedSemaphorePermit>) -> bool {
        if self.has_ended() {
            return false;
        }
        let fits = self.queues().push(frame, room);
        if fits {
            self.wake.notify_one();
        } else {
            self.end(LinkEnd::Overflow);
        }
        fits
    }

    fn end(&self, why: LinkEnd) {
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

    fn has_ended(&self) -> bool {
        self.end.borrow().is_some()
    }

    /// Waits for the end, and says why.
    async fn ended(&self) -> LinkEnd {
        let mut end = self.end.subscribe();
        let why = end.wait_for(Option::is_some).await;
        why.ok()
            .and_then(|why| why.clone())
            .unwrap_or(LinkEnd::There)
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The three queues, the first one first.
#[derive(Default)]
struct Queues {
    control: Queue,
    content: Queue,
    updates: Queue,
}

#[derive(Default)]
struct Queue {
    frames: VecDeque<Queued>,
    bytes: usize,
}

struct Queued {
    frame: Frame,
    size: usize,
    room: Option<OwnedSemaphorePermit>,
}

impl Queues {
    /// Whether it is within the bounds.
    fn push(&mut self, frame: Frame, room: Option<OwnedSemaphorePermit>) -> bool {
        let (queue, frames, bytes) = match frame.body {
            // All of them, so that they stay in order.
            Body::Update(_) => (&mut self.updates, usize::MAX, MAX_QUEUED_UPDATES),
            Body::Content(_) => (&mut self.content, MAX_QUEUED_FRAMES, MAX_QUEUED_BYTES),
            _ => (&mut self.control, MAX_QUEUED_FRAMES, MAX_QUEUED_BYTES),
        };
        let size = frame.size();
        queue.bytes += size;
        queue.frames.push_back(Queued { frame, size, room });
        queue.frames.len() <= frames && queue.bytes <= bytes
    }

    fn pop(&mut self) -> Option<Queued> {
        let queues = [&mut self.control, &mut self.content, &mut self.updates];
        queues.into_iter().find_map(Queue::pop)
    }
}

impl Queue {
    fn pop(&mut self) -> Option<Queued> {
        let queued = self.frames.pop_front()?;
        self.bytes -= queued.size;
        Some(queued)
    }
}

struct Writer<S> {
    stream: WriteHalf<S>,
    shared: Arc<Shared>,
    buffer: Vec<u8>,
    /// Room that is given back once the buffer is written.
    permits: Vec<OwnedSemaphorePermit>,
}

impl<S: AsyncRead + AsyncWrite> Writer<S> {
    async fn run(mut self) {
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
        // Handles may live on; what was not sent need not.
        *shared.queues() = Queues::default();
        self.shared.finished.send_replace(true);
    }

    /// Waits for something to do; an idle link keeps no buffer.
    async fn wait(&mut self) {
        let wake = self.shared.wake.notified();
        tokio::pin!(wake);
        if timeout(IDLE, wake.as_mut()).await.is_err() {
            self.buffer = Vec::new();
            wake.await;
        }
    }

    /// Moves a batch of frames into the buffer. Says whether there was one.
    fn fill(&mut self) -> bool {
        // Nothing is encoded under the lock.
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut queues = self.shared.queues();
        while bytes < BATCH
            && let Some(queued) = queues.pop()
        {
            bytes += queued.size;
            batch.push(queued);
        }
        drop(queues);
        self.buffer.reserve(bytes);
        for queued in batch {
            self.encode(&queued.frame);
            self.permits.extend(queued.room);
        }
        !self.buffer.is_empty()
    }

    fn encode(&mut self, frame: &Frame) {
        if let Err(error) = frame.encode(&mut self.buffer) {
            // A bug on this side: whoever made the frame has to cut it. The
            // other side would wait for it in vain, so the link ends.
            tracing::error!(%error, "a frame cannot be sent");
            self.shared.end(LinkEnd::Malformed(error));
        }
    }

    /// Writes the buffer. As long as some of it goes out, the other side lives.
    async fn write(&mut self) -> Result<(), LinkEnd> {
        let mut rest = &self.buffer[..];
        while !rest.is_empty() {
            let written = timeout(STUCK, self.stream.write(rest)).await;
            let written = written
                .map_err(|_| LinkEnd::Stuck)?
                .map_err(|e| broken(&e))?;
            if written == 0 {
                return Err(LinkEnd::There);
            }
            rest = rest.get(written..).unwrap_or_default();
        }
        let flushed = timeout(STUCK, self.stream.flush()).await;
        flushed
            .map_err(|_| LinkEnd::Stuck)?
            .map_err(|e| broken(&e))?;
        self.permits.clear();
        self.buffer.clear();
        Ok(())
    }

    /// Best effort: control frames and TLS's own goodbye.
    async fn goodbye(&mut self, why: &LinkEnd) {
        let deadline = Instant::now() + GOODBYE;
        let mut bytes = Vec::new();
        let words = match why {
            LinkEnd::Here | LinkEnd::Expired => true,
            LinkEnd::Malformed(_) => {
                let leave = Leave {
                    reason: why.to_string(),
                };
                let _ = Frame::plain(leave).encode(&mut bytes);
                true
            }
            _ => false,
        };
        // What is half written would turn the goodbye into nonsense.
        if words && self.buffer.is_empty() {
            while let Some(queued) = { self.shared.queues().control.pop() } {
                let _ = queued.frame.encode(&mut bytes);
            }
            let _ = timeout_at(deadline, self.stream.write_all(&bytes)).await;
        }
        let _ = timeout_at(deadline, self.stream.shutdown()).await;
    }
}

struct Reader<S> {
    id: LinkId,
    stream: ReadHalf<S>,
    shared: Arc<Shared>,
    inbox: Inbox,
    /// Bytes of this link's frames that may still wait.
    room: Arc<Semaphore>,
    term: Term,
    buffer: Vec<u8>,
    heard: Option<Instant>,
}

impl<S: AsyncRead + AsyncWrite> Reader<S> {
    async fn run(mut self) {
        let shared = self.shared.clone();
        let expiry = expiry(self.id, self.term.clone(), self.inbox.events.clone());
        tokio::select! {
            why = self.read_all() => shared.end(why),
            why = expiry => shared.end(why),
            _ = shared.ended() => {}
        }
        let end = LinkEvent::Closed(shared.ended().await);
        let _ = self.tell(end, None).await;
    }

    async fn read_all(&mut self) -> LinkEnd {
        loop {
            let needed = match self.deliver().await {
                Ok(needed) => needed,
                Err(why) => return why,
            };
            // Memory follows what has arrived, not what was announced.
            let missing = needed.saturating_sub(self.buffer.len());
            self.buffer
                .reserve(missing.min(self.buffer.len().max(STEP)).max(SMALL));
            match self.read_some().await {
                Ok(0) => return LinkEnd::There,
                Ok(_) => {}
                Err(error) => return broken(&error),
            }
        }
    }

    async fn read_some(&mut self) -> io::Result<usize> {
        if self.buffer.is_empty() && self.buffer.capacity() > 2 * SMALL {
            // An idle link keeps no buffer. The timer starts only where the
            // read has to wait.
            tokio::select! {
                biased;
                read = self.stream.read_buf(&mut self.buffer) => return read,
                () = sleep(IDLE) => {}
            }
            self.buffer = Vec::with_capacity(SMALL);
        }
        self.stream.read_buf(&mut self.buffer).await
    }

    /// Delivers every whole frame in the buffer. Says how many bytes the next
    /// one takes, as far as that is known.
    async fn deliver(&mut self) -> Result<usize, LinkEnd> {
        let mut start = 0;
        let needed = loop {
            let rest = &self.buffer[start..];
            let Some((&prefix, body)) = rest.split_first_chunk::<PREFIX>() else {
                break PREFIX;
            };
            let length = announced_length(prefix, MAX_FRAME).map_err(LinkEnd::Malformed)?;
            let Some(body) = body.get(..length) else {
                break PREFIX + length;
            };
            let room = self.inbox.room_for(&self.room, Frame::memory(body)).await?;
            let event = match Frame::decode(body) {
                Ok(frame) => LinkEvent::Frame(frame),
                Err(FrameError::Unknown { kind, request }) => LinkEvent::Unknown { kind, request },
                Err(error) => return Err(LinkEnd::Malformed(error)),
            };
            start += PREFIX + length;
            self.tell(event, Some(room)).await?;
        };
        self.buffer.drain(..start);
        if !self.buffer.is_empty() {
            let now = Instant::now();
            if self.heard.is_none_or(|heard| now - heard >= HEARD) {
                self.heard = Some(now);
                self.tell(LinkEvent::Heard, None).await?;
            }
        }
        Ok(needed)
    }

    async fn tell(
        &mut self,
        event: LinkEvent,
        room: Option<[OwnedSemaphorePermit; 2]>,
    ) -> Result<(), LinkEnd> {
        let arrival = Arrival {
            link: self.id,
            event,
            _room: room,
        };
        let told = self.inbox.events.send(arrival).await;
        told.map_err(|_| LinkEnd::Here)
    }
}

impl Inbox {
    /// Waits for so much room: first the link's own, so that whoever has filled
    /// that does not stand in the others' way.
    async fn room_for(
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

/// Ends with the certificate, and says before that the end is near. A link that
/// is made within its last hour says nothing: one more would not last longer.
async fn expiry(link: LinkId, term: Term, events: mpsc::Sender<Arrival>) -> LinkEnd {
    let near = term.ends.checked_sub(EXPIRING);
    if let Some(near) = near.filter(|near| term.clock.wall() < *near) {
        term.clock.reaches(near).await;
        // With nobody there any more, the reader ends the link.
        let expiring = Arrival {
            link,
            event: LinkEvent::Expiring,
            _room: None,
        };
        let _ = events.send(expiring).await;
    }
    term.clock.reaches(term.ends).await;
    LinkEnd::Expired
}

fn broken(error: &io::Error) -> LinkEnd {
    if let Some(why) = CertificateError::from_io(error) {
        return LinkEnd::Certificate(why);
    }
    match error.kind() {
        // Gone without TLS's goodbye: a process that was killed, mostly.
        io::ErrorKind::UnexpectedEof => LinkEnd::There,
        _ => LinkEnd::Broken(error.to_string()),
    }
}

#[cfg(test)]
mod tests;

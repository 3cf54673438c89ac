//! A connection, for as long as it is about one file.
//!
//! A reader and a writer take turns on one task. Blocks that come are read
//! into buffers that are used again, hashed a few leaves at a time while they are in the
//! processor's cache, and written by a blocking thread, a few at a time. Blocks
//! that go are read by a blocking thread while the one before them is sent.
//!
//! Bounds: of blocks that come those of [`Buffers`], two that go as long as [`Answers`] says,
//! and what [`Outbox`] lets wait.

use std::sync::Arc;
use std::time::Duration;

use thorp_core::bound::Account;
use thorp_core::swarm::{Offer, SessionId, SourceId};
use thorp_wire::layout::Block;
use thorp_wire::session::message::LONGEST_REQUEST;
use thorp_wire::session::{HashRange, Head, Message, MessageLimits, Span};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::buffers::Buffers;
use super::files;
use super::line::{Broken, Inward, Outward};
use super::outbox::{Ending, Next, Outbox};
use super::outgoing::Outgoing;
use super::run::Run;
use super::seats::LastUse;
use super::talk::{Said, Talk};
use super::transfer::Transfer;

/// The longest request that is answered on every session, and how much is read at once for it:
/// of shorter ones those that follow one another.
const USUAL_ANSWER: u32 = 256 * 1024;
/// How often the swarm hears of a block that takes long to arrive.
const FLOWING: Duration = Duration::from_secs(1);
/// An end that wants something of the other one says so after this long in silence.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Where nothing is wanted of the other end, it is let go after this long in silence.
pub(super) const IDLE: Duration = Duration::from_secs(30);
/// The same of a client, which says that it is there every two minutes (BEP 3), and expects us to.
const CLIENT_KEEP_ALIVE: Duration = Duration::from_mins(1);
const CLIENT_IDLE: Duration = Duration::from_secs(150);

/// What is known of both ends.
#[derive(Debug)]
pub(super) struct Opening {
    pub session: SessionId,
    pub source: SourceId,
    /// The account charged for its place.
    pub account: Account,
    pub dialled: bool,
    pub offer: Offer,
    /// What the other end was told.
    pub answers: Answers,
    /// What is said with a client beside the swarm's messages, and when its connection was last
    /// of use; `None` for a member.
    pub client: Option<(Talk, LastUse)>,
}

/// How long a request is answered on a session. Two answers of it are in memory at most.
#[derive(Debug, Default)]
pub(super) struct Answers(Option<OwnedSemaphorePermit>);

impl Answers {
    /// Longer ones, as long as the place is held.
    pub fn long(place: OwnedSemaphorePermit) -> Self {
        Self(Some(place))
    }

    /// In bytes.
    pub fn longest(&self) -> u32 {
        match &self.0 {
            Some(_) => LONGEST_REQUEST,
            None => USUAL_ANSWER,
        }
    }
}

/// How a session has ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The connection is good for another file.
    Kept,
    /// It is of no use any more.
    Gone,
    /// Neither is it, since the disk does not give this block now.
    NotGiven(Block),
}

/// Does what the swarm wants on this connection, until it wants nothing more, or
/// until `cut` says why it must end.
pub(super) async fn run<R, W>(
    inward: &mut Inward<R>,
    outward: &mut Outward<W>,
    transfer: &Arc<Transfer>,
    opening: Opening,
    cut: impl Future<Output = String>,
) -> Ended
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let session = opening.session;
    let Some(limits) = MessageLimits::of(transfer.layout(), LONGEST_REQUEST) else {
        return Ended::Gone;
    };
    let outbox = Arc::new(Outbox::default());
    let Opening {
        source,
        account,
        dialled,
        offer,
        answers,
        client,
        ..
    } = opening;
    let (longest, fast) = (answers.longest(), offer.fast);
    let (talk, used) = client.unzip();
    let shared = Arc::clone(&outbox);
    transfer.opened(session, source, account, dialled, offer, shared);
    if let Some(torrent) = talk.as_ref().and_then(Talk::exchanges) {
        transfer.exchanges(session, torrent, dialled);
    }
    let buffers = Buffers::default();
    let (ended, reason) = {
        let reader = Reader {
            inward,
            transfer,
            session,
            outbox: &outbox,
            buffers: &buffers,
            longest,
            fast,
            limits,
            talk,
            hash_requests: transfer.kept().map_or(0, |kept| kept.hash_requests()),
        };
        let writer = Writer {
            outward,
            transfer,
            session,
            outbox: &outbox,
            longest,
            used,
        };
        let mut writing = std::pin::pin!(writer.run());
        tokio::select! {
            end = reader.run() => match end {
                // The other end has come to the next file.
                Ok(()) => {
                    outbox.close(None);
                    end_of(writing.await)
                }
                Err(broken) => (Ended::Gone, broken.to_string()),
            },
            end = &mut writing => end_of(end),
            reason = cut => (Ended::Gone, reason),
            // Sending may take long where the other end does not read.
            reason = outbox.dropped() => (Ended::Gone, reason),
        }
    };
    // So that no other session writes what is still being written.
    buffers.done().await;
    tracing::debug!(session = session.0, %reason, "a session ends");
    transfer.closed(session, reason);
    if ended != Ended::Kept {
        outward.shut_down().await;
    }
    ended
}

fn end_of(end: Result<Ending, Broken>) -> (Ended, String) {
    match end {
        Ok(Ending::Kept) => (Ended::Kept, "there is nothing more to do".to_owned()),
        Ok(Ending::Dropped(reason)) => (Ended::Gone, reason),
        Err(broken) => {
            let reason = broken.to_string();
            match broken {
                Broken::NotGiven(block) => (Ended::NotGiven(block), reason),
                _ => (Ended::Gone, reason),
            }
        }
    }
}

struct Reader<'a, R> {
    inward: &'a mut Inward<R>,
    transfer: &'a Arc<Transfer>,
    session: SessionId,
    outbox: &'a Arc<Outbox>,
    buffers: &'a Buffers,
    /// The longest request that is answered.
    longest: u32,
    /// Whether the other end is told of what is not answered.
    fast: bool,
    limits: MessageLimits,
    talk: Option<Talk>,
    /// How many hashes of a torrent's files the client may still ask for.
    hash_requests: u32,
}

impl<R: AsyncRead + Unpin> Reader<'_, R> {
    /// Until the other end begins with another file.
    async fn run(mut self) -> Result<(), Broken> {
        loop {
            self.outbox.room().await;
            match self.next_head().await? {
                Head::Handshake if self.talk.is_some() => return Err(Broken::SecondHandshake),
                Head::Handshake => return Ok(()),
                head @ Head::Piece(span) => self.block(head, span).await?,
                head @ (Head::KeepAlive | Head::Message(_)) => {
                    if let Some(message) = self.message(head).await? {
                        self.on_message(message)?;
                    }
                }
            }
        }
    }

    /// The message that such a head announces. A client may not take forever to say it.
    async fn message(&mut self, head: Head) -> Result<Option<Message>, Broken> {
        let message = self.inward.message(head);
        match self.talk {
            Some(_) => timeout(CLIENT_IDLE, message)
                .await
                .unwrap_or(Err(Broken::Idle)),
            None => message.await,
        }
    }

    fn on_message(&mut self, message: Message) -> Result<(), Broken> {
        if let Message::HashRequest(range) = message
            && self.transfer.kept().is_some()
        {
            self.on_hash_request(range);
            return Ok(());
        }
        if let Message::Request(span) = message
            && span.length > self.longest
        {
            if self.fast {
                self.outbox.say(&Message::Reject(span));
            }
            return Ok(());
        }
        let (Some(talk), Message::Extended { number, payload }) = (&mut self.talk, &message) else {
            self.transfer.message(self.session, message);
            return Ok(());
        };
        match talk.on_message(*number, payload)? {
            Said::Nothing => {}
            Said::Handshake {
                most_requests,
                exchange,
                port,
            } => {
                if let Some(most) = most_requests {
                    self.transfer.most_requests(self.session, most);
                }
                self.transfer.on_handshake(self.session, exchange, port);
            }
            Said::Exchange(said) => self.transfer.exchanged(self.session, &said),
            Said::Answer(answer) => self.outbox.say(&answer),
        }
        Ok(())
    }

    /// The hashes of a torrent's files are not known to its swarm.
    fn on_hash_request(&mut self, range: HashRange) {
        match self.hash_requests.checked_sub(1) {
            Some(left) => {
                self.hash_requests = left;
                let outbox = Arc::clone(self.outbox);
                self.transfer.answer_hashes(range, outbox);
            }
            None => self.outbox.say(&Message::HashReject(range)),
        }
    }

    /// The head of what comes next. How long a fetch waits for it is the swarm's.
    async fn next_head(&mut self) -> Result<Head, Broken> {
        let idle = if self.talk.is_some() {
            CLIENT_IDLE
        } else {
            IDLE
        };
        loop {
            match timeout(idle, self.inward.head(self.limits)).await {
                Ok(head) => return head,
                Err(_) if self.talk.is_none() && self.transfer.wants_something() => {}
                Err(_) => return Err(Broken::Idle),
            }
        }
    }

    async fn block(&mut self, head: Head, span: Span) -> Result<(), Broken> {
        self.inward.begin_block(head, span.length);
        let Some(block) = self.transfer.on_piece(self.session, span) else {
            return Ok(());
        };
        if self.talk.is_some() {
            self.inward.more_like(block);
        }
        let buffer = self.buffers.take(block.length() as usize).await;
        let mut run = Run::new(buffer, self.transfer.goes_by_leaves());
        self.receive(block, &mut run).await?;
        if !self.transfer.claim(self.session, block) {
            return Ok(());
        }
        run.push(block);
        self.gather(&mut run);
        run.hash();
        let (transfer, session) = (Arc::clone(self.transfer), self.session);
        thorp_disk::spawn(move |disk| transfer.write(disk, session, &run));
        Ok(())
    }

    /// Reads all of a block, and hashes what has arrived.
    async fn receive(&mut self, block: Block, run: &mut Run) -> Result<(), Broken> {
        let length = block.length() as usize;
        let (mut told, mut since) = (0, Instant::now());
        let mut filled = 0;
        while filled < length {
            let room = &mut run.room(length)[filled..];
            filled += self.inward.some_of_block(room).await?;
            run.hash_groups(filled);
            if since.elapsed() >= FLOWING {
                #[expect(clippy::cast_possible_truncation, reason = "less than a block")]
                self.transfer.flowing(self.session, (filled - told) as u32);
                (told, since) = (filled, Instant::now());
            }
        }
        Ok(())
    }

    /// Takes the blocks that follow, as far as they are here already and are to be written.
    fn gather(&mut self, run: &mut Run) {
        while let Some((head, span)) = self.inward.whole_block(self.limits)
            && run.is_followed_by(span)
        {
            self.inward.begin_block(head, span.length);
            // What is not wanted is passed over.
            let Some(block) = self.transfer.on_whole_piece(self.session, span) else {
                return;
            };
            self.inward.some_here(run.room(span.length as usize));
            run.push(block);
        }
    }
}

struct Writer<'a, W> {
    outward: &'a mut Outward<W>,
    transfer: &'a Arc<Transfer>,
    session: SessionId,
    outbox: &'a Outbox,
    /// How much is read at once.
    longest: u32,
    /// Of a client.
    used: Option<LastUse>,
}

/// Blocks that are being read, or were: they follow one another in the file.
struct Ahead {
    blocks: Vec<Block>,
    read: JoinHandle<std::io::Result<Outgoing>>,
}

impl<W: AsyncWrite + Unpin> Writer<'_, W> {
    /// Until this end wants the session to end. What is sent is whole messages.
    async fn run(self) -> Result<Ending, Broken> {
        let mut spare = Outgoing::default();
        let mut ahead: Option<Ahead> = None;
        let keep_alive = if self.used.is_some() {
            CLIENT_KEEP_ALIVE
        } else {
            KEEP_ALIVE
        };
        loop {
            match self.outbox.next() {
                Next::Messages(bytes) => {
                    self.outward.send(&bytes).await?;
                    self.outward.flush().await?;
                    continue;
                }
                Next::End(ending) => return Ok(ending),
                Next::Nothing => {}
            }
            if ahead.is_none() {
                ahead = self.read_next(&mut spare);
            }
            let Some(reading) = &mut ahead else {
                tokio::select! {
                    () = self.outbox.more() => {}
                    () = sleep(keep_alive) => {
                        if self.used.is_some() || self.transfer.wants_something() {
                            self.outbox.say(&Message::KeepAlive);
                        }
                    }
                }
                continue;
            };
            let read = tokio::select! {
                read = &mut reading.read => read,
                () = self.outbox.more() => continue,
            };
            let blocks = std::mem::take(&mut reading.blocks);
            ahead = self.read_next(&mut spare);
            match read.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
                Ok(mut outgoing) => {
                    self.outward.send(outgoing.messages(&blocks)).await?;
                    if ahead.is_none() {
                        self.outward.flush().await?;
                    }
                    self.transfer.served(self.session, &blocks);
                    if let Some(used) = &self.used {
                        used.touch();
                    }
                    spare = outgoing;
                }
                Err(error) => {
                    tracing::debug!(%error, "a block cannot be read");
                    self.transfer.not_served(self.session, &blocks);
                    if let Some(block) = blocks.first().filter(|_| files::is_not_now(&error)) {
                        return Err(Broken::NotGiven(*block));
                    }
                }
            }
        }
    }

    fn read_next(&self, spare: &mut Outgoing) -> Option<Ahead> {
        let blocks = self.outbox.next_uploads(self.longest);
        let first = *blocks.first()?;
        let (transfer, mut outgoing) = (Arc::clone(self.transfer), std::mem::take(spare));
        let of = blocks.clone();
        let read = thorp_disk::spawn(move |disk| {
            transfer.read(disk, first, outgoing.room_for(&of))?;
            Ok(outgoing)
        });
        Some(Ahead { blocks, read })
    }
}

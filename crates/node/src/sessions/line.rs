//! One connection, whatever file it is about: bytes into messages and blocks.
//!
//! Owns where in the stream it is. Reading can be given up at any moment and
//! taken up again, by another session on the same connection: what was read and
//! not used is kept, and what is left of a block that is not wanted any more
//! is passed over.

use std::io;
use std::time::Duration;

use thiserror::Error;
use thorp_group::certificate::CertificateError;
use thorp_wire::layout::Block;
use thorp_wire::merkle::LEAF;
use thorp_wire::session::exchange::ExchangeError;
use thorp_wire::session::extended::ExtendedError;
use thorp_wire::session::handshake::{HANDSHAKE, NotBitTorrent};
use thorp_wire::session::metadata::MetadataError;
use thorp_wire::session::{Handshake, Head, Message, MessageError, MessageLimits, Span};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// How much is read at once where it is not known what comes.
const CHUNK: usize = 16 * 1024;
/// The same where short blocks come, one behind the other.
const BLOCKS: usize = 256 * 1024;
/// Beyond this, room that was made for a long message is given back.
const USUAL: usize = 2 * CHUNK;
/// How much is written at once, at most; and how long the other side may take
/// to read as much.
const WRITE: usize = 64 * 1024;
/// This little more is not written alone: a block is a power of two behind its head.
const HEADS: usize = 1024;
/// An end that takes nothing for so long is given up.
const STUCK: Duration = Duration::from_secs(30);

/// What comes in.
#[derive(Debug)]
pub(super) struct Inward<R> {
    stream: R,
    /// Read and not used: from `used` on.
    bytes: Vec<u8>,
    used: usize,
    /// How much is read at once.
    at_once: usize,
    /// Bytes of a block that are still to come, and that no session has taken.
    unwanted: u64,
}

/// What goes out.
#[derive(Debug)]
pub(super) struct Outward<W> {
    stream: W,
}

/// Why a connection is of no use any more.
#[derive(Debug, Error)]
pub(super) enum Broken {
    #[error("closed by the other side")]
    Closed,
    #[error("the connection broke: {0}")]
    Io(io::Error),
    #[error("{0}")]
    Certificate(CertificateError),
    #[error("{0}")]
    Message(#[from] MessageError),
    #[error("{0}")]
    Handshake(#[from] NotBitTorrent),
    #[error("{0}")]
    Extended(#[from] ExtendedError),
    #[error("{0}")]
    Metadata(#[from] MetadataError),
    #[error("{0}")]
    Exchange(#[from] ExchangeError),
    #[error("it begins anew, which only members do")]
    SecondHandshake,
    #[error("nothing was said for too long")]
    Idle,
    #[error("the other side has read nothing for {} s", STUCK.as_secs())]
    Stuck,
    #[error("the disk does not give a block of it now")]
    NotGiven(Block),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        match CertificateError::from_io(&error) {
            Some(why) => Self::Certificate(why),
            None if error.kind() == io::ErrorKind::UnexpectedEof => Self::Closed,
            None => Self::Io(error),
        }
    }
}

impl<R: AsyncRead + Unpin> Inward<R> {
    pub fn new(stream: R) -> Self {
        Self {
            stream,
            bytes: Vec::new(),
            used: 0,
            at_once: CHUNK,
            unwanted: 0,
        }
    }

    /// What comes next; it stays where it is.
    pub async fn head(&mut self, limits: MessageLimits) -> Result<Head, Broken> {
        self.pass_over().await?;
        loop {
            if let Some(head) = Head::parse(self.there(), limits)? {
                return Ok(head);
            }
            self.fill(self.at_once).await?;
        }
    }

    /// Reads many blocks at once from now on if they are as short as this one: there is a copy more
    /// of their bytes, and a call less to the system for each. Until a message comes.
    pub fn more_like(&mut self, block: Block) {
        let is_short = block.length() as usize <= LEAF;
        self.at_once = if is_short { BLOCKS } else { CHUNK };
    }

    /// The block that comes next, if all of it is here.
    pub fn whole_block(&self, limits: MessageLimits) -> Option<(Head, Span)> {
        let Ok(Some(head @ Head::Piece(span))) = Head::parse(self.there(), limits) else {
            return None;
        };
        let length = head.length() + span.length as usize;
        (self.unwanted == 0 && self.there().len() >= length).then_some((head, span))
    }

    /// The message that such a head announces; nothing for one of a type that
    /// is not known.
    pub async fn message(&mut self, head: Head) -> Result<Option<Message>, Broken> {
        let body = match head {
            Head::Message(length) => length,
            Head::KeepAlive | Head::Piece(_) | Head::Handshake => 0,
        };
        let length = head.length() + body;
        while self.there().len() < length {
            self.fill(length - self.there().len()).await?;
        }
        let message = match Message::decode(&self.there()[head.length()..length]) {
            Ok(message) => Some(message),
            Err(MessageError::Unknown(kind)) => {
                tracing::trace!(kind, "a message of a type that is not known");
                None
            }
            Err(error) => return Err(error.into()),
        };
        self.used += length;
        self.at_once = CHUNK;
        self.tidy();
        Ok(message)
    }

    /// The head of a block was read: this many bytes of it follow, which are
    /// passed over unless they are taken.
    pub fn begin_block(&mut self, head: Head, length: u32) {
        self.used += head.length();
        self.unwanted = length.into();
    }

    /// Some more bytes of the block, into `room`; how many.
    pub async fn some_of_block(&mut self, room: &mut [u8]) -> Result<usize, Broken> {
        if !self.there().is_empty() {
            return Ok(self.some_here(room));
        }
        let most = self.still_unwanted(room.len());
        let room = &mut room[..most];
        let read = match self.stream.read(room).await? {
            0 if !room.is_empty() => return Err(Broken::Closed),
            read => read,
        };
        self.unwanted -= read as u64;
        Ok(read)
    }

    /// The same, of what is here already.
    pub fn some_here(&mut self, room: &mut [u8]) -> usize {
        let there = self.there();
        let some = self.still_unwanted(room.len()).min(there.len());
        room[..some].copy_from_slice(&there[..some]);
        self.used += some;
        self.unwanted -= some as u64;
        self.tidy();
        some
    }

    /// Whether something was read that was not used.
    #[cfg(test)]
    pub fn has_more(&self) -> bool {
        !self.there().is_empty()
    }

    /// The handshake that comes next.
    pub async fn handshake(&mut self) -> Result<Handshake, Broken> {
        self.pass_over().await?;
        loop {
            if let Some(bytes) = self.there().first_chunk::<HANDSHAKE>() {
                let handshake = Handshake::decode(bytes)?;
                self.used += HANDSHAKE;
                self.tidy();
                return Ok(handshake);
            }
            self.fill(HANDSHAKE).await?;
        }
    }

    /// So many bytes of the block are still to come, as far as there is room for them.
    fn still_unwanted(&self, room: usize) -> usize {
        room.min(usize::try_from(self.unwanted).unwrap_or(usize::MAX))
    }

    fn there(&self) -> &[u8] {
        &self.bytes[self.used..]
    }

    async fn fill(&mut self, wanted: usize) -> Result<(), Broken> {
        if self.used > 0 {
            self.bytes.drain(..self.used);
            self.used = 0;
        }
        // Not all that was announced at once: it may never come.
        self.bytes
            .reserve_exact(wanted.clamp(CHUNK, WRITE.max(self.at_once)));
        match self.stream.read_buf(&mut self.bytes).await? {
            0 => Err(Broken::Closed),
            _ => Ok(()),
        }
    }

    /// Drops what is left of a block.
    async fn pass_over(&mut self) -> Result<(), Broken> {
        let mut nowhere = [0; 4096];
        while self.unwanted > 0 {
            self.some_of_block(&mut nowhere).await?;
        }
        Ok(())
    }

    fn tidy(&mut self) {
        if self.used == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(USUAL.max(self.at_once));
            self.used = 0;
        }
    }
}

impl<W: AsyncWrite + Unpin> Outward<W> {
    pub fn new(stream: W) -> Self {
        Self { stream }
    }

    /// Sends all of these bytes. An end that is given up in the middle of it
    /// leaves a connection of no use.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let mut left = bytes;
        while !left.is_empty() {
            let (mut chunk, rest) = left.split_at(chunk_of(left.len()));
            while !chunk.is_empty() {
                // A thin line takes a little at a time.
                let written = timeout(STUCK, self.stream.write(chunk)).await;
                match written.map_err(|_| Broken::Stuck)?? {
                    0 => return Err(Broken::Closed),
                    written => chunk = &chunk[written..],
                }
            }
            left = rest;
        }
        Ok(())
    }

    /// Sends these messages, at once.
    pub async fn say(&mut self, messages: &[Message]) -> Result<(), Broken> {
        let mut words = Vec::new();
        for message in messages {
            message.encode(&mut words);
        }
        self.send(&words).await?;
        self.flush().await
    }

    /// Sends on what may have been held back to be sent with more.
    pub async fn flush(&mut self) -> Result<(), Broken> {
        timeout(STUCK, self.stream.flush())
            .await
            .map_err(|_| Broken::Stuck)??;
        Ok(())
    }

    /// Says that nothing more will come. What cannot be said is no loss.
    pub async fn shut_down(&mut self) {
        let _ = timeout(Duration::from_secs(1), self.stream.shutdown()).await;
    }
}

/// How much of so many bytes is written next.
fn chunk_of(left: usize) -> usize {
    if left <= WRITE + HEADS { left } else { WRITE }
}

#[cfg(test)]
mod tests {
    use thorp_wire::layout::Layout;
    use thorp_wire::session::message::LONGEST_REQUEST;
    use thorp_wire::{PeerId, Root};
    use tokio::io::duplex;

    use super::*;

    fn limits() -> MessageLimits {
        MessageLimits::of(Layout::of(1 << 20), LONGEST_REQUEST).expect("is short")
    }

    fn bytes_of(message: &Message) -> Vec<u8> {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        bytes
    }

    #[tokio::test]
    async fn a_block_that_was_given_up_is_passed_over_and_the_next_file_begins_behind_it() {
        let (mut there, here) = duplex(1024);
        let mut inward = Inward::new(here);
        let span = Span {
            piece: 0,
            begin: 0,
            length: 100_000,
        };
        let handshake = Handshake::of_member(&Root::new([7; 32]), &PeerId::new([1; 32]));
        let mut words = bytes_of(&Message::Have(3));
        words.extend(bytes_of(&Message::Piece(span)));
        words.extend(vec![9; 100_000]);
        words.extend(bytes_of(&Message::KeepAlive));
        words.extend(handshake.encode());
        let says = tokio::spawn(async move { there.write_all(&words).await });

        let head = inward.head(limits()).await.expect("a head");
        let message = inward.message(head).await.expect("a message");
        assert_eq!(message, Some(Message::Have(3)));
        let head = inward.head(limits()).await.expect("a head");
        assert_eq!(head, Head::Piece(span));
        inward.begin_block(head, span.length);
        let mut some = [0; 2000];
        let read = inward.some_of_block(&mut some).await.expect("some");
        assert!(read > 0 && some[..read].iter().all(|byte| *byte == 9));
        // The session that was reading it has gone.
        let head = inward.head(limits()).await.expect("a head");
        assert_eq!(head, Head::KeepAlive);
        inward.message(head).await.expect("a message");
        assert_eq!(inward.head(limits()).await.expect("it"), Head::Handshake);
        assert_eq!(inward.handshake().await.expect("it"), handshake);
        says.await.expect("ends").expect("is read");
        let end = inward.head(limits()).await;
        assert!(matches!(end, Err(Broken::Closed)), "{end:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_takes_a_little_at_a_time_is_sent_all_and_one_that_takes_nothing_is_not() {
        let (mut there, here) = duplex(1024);
        let mut outward = Outward::new(here);
        let takes = tokio::spawn(async move {
            let (mut taken, mut some) = (0, [0; 1024]);
            while taken < WRITE {
                tokio::time::sleep(STUCK / 2).await;
                taken += there.read(&mut some).await.expect("more comes");
            }
            there
        });
        let bytes = vec![7; WRITE];
        let sent = outward.send(&bytes).await;
        assert!(sent.is_ok(), "{sent:?}");
        let _there = takes.await.expect("it ends");
        let begun = tokio::time::Instant::now();
        let sent = outward.send(&bytes).await;
        assert!(matches!(sent, Err(Broken::Stuck)), "{sent:?}");
        assert_eq!(begun.elapsed().as_secs(), STUCK.as_secs());
    }

    #[tokio::test]
    async fn what_is_announced_is_not_made_room_for_before_it_comes() {
        let (mut there, here) = duplex(1024);
        let mut inward = Inward::new(here);
        // A bitfield as long as one may be here, and nothing of it.
        there.write_all(&[0, 0, 0x40, 1, 5]).await.expect("is read");
        let head = inward.head(limits()).await.expect("a head");
        let waits = timeout(Duration::ZERO, inward.message(head)).await;
        assert!(waits.is_err() && inward.bytes.capacity() <= USUAL);
        // Beyond what may be, it is refused as soon as it is announced.
        let (mut there, here) = duplex(1024);
        there.write_all(&[0, 0xff, 0, 0, 5]).await.expect("is read");
        let refused = Inward::new(here).head(limits()).await;
        assert!(matches!(refused, Err(Broken::Message(_))), "{refused:?}");
    }
}

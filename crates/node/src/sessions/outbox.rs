//! What is still to be sent on one session.
//!
//! Owns the order: messages as they were said; blocks beside them, in their own
//! order. Put in by the swarm under its lock, taken out by the session's writer.
//!
//! Bounded by the session's reader: where [`Outbox::room`] has none, it reads
//! nothing more, so the other end gets what it has asked for, and can ask for
//! no more.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use thorp_core::swarm::Why;
use thorp_wire::layout::Block;
use thorp_wire::session::Message;
use tokio::sync::Notify;

/// Bytes of messages that may wait before nothing more is read.
const MOST_BYTES: usize = 1024 * 1024;
/// Ranges that may be hashed for one session before nothing more is read.
const MOST_HASHING: usize = 2;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queues: Mutex<Queues>,
    /// Wakes the writer when there is more to send.
    more: Notify,
    /// Wakes the reader when there is less.
    less: Notify,
    /// Wakes the session when it is to end.
    end: Notify,
}

#[derive(Debug, Default)]
struct Queues {
    messages: VecDeque<u8>,
    uploads: VecDeque<Block>,
    hashing: usize,
    end: Option<Ending>,
}

/// How this end wants the session to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// All is well: the connection may be kept for another file.
    Kept,
    /// The connection goes with it.
    Dropped(String),
}

/// What a writer has to do next.
#[derive(Debug)]
pub(super) enum Next {
    /// These bytes are whole messages.
    Messages(Vec<u8>),
    /// This is the end; nothing was left unsaid.
    End(Ending),
    /// Nothing.
    Nothing,
}

impl Outbox {
    pub fn say(&self, message: &Message) {
        let mut queues = self.lock();
        if queues.end.is_some() {
            return;
        }
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        queues.messages.extend(bytes);
        drop(queues);
        self.more.notify_one();
    }

    pub fn upload(&self, block: Block) {
        self.lock().uploads.push_back(block);
        self.more.notify_one();
    }

    /// Takes an upload back, unless it has begun. Whether it did.
    pub fn withdraw(&self, block: Block) -> bool {
        let mut queues = self.lock();
        let place = queues.uploads.iter().position(|waiting| *waiting == block);
        place.is_some_and(|place| queues.uploads.remove(place).is_some())
    }

    pub fn close(&self, why: Option<Why>) {
        let ending = match why {
            None => Ending::Kept,
            Some(Why::Fault(reason) | Why::Useless(reason) | Why::Stopping(reason)) => {
                Ending::Dropped(reason)
            }
        };
        let mut queues = self.lock();
        queues.uploads.clear();
        queues.end.get_or_insert(ending);
        drop(queues);
        self.more.notify_one();
        self.less.notify_one();
        self.end.notify_one();
    }

    /// Something is hashed for this session from now on.
    pub fn hashing(&self) {
        self.lock().hashing += 1;
    }

    /// Something was hashed for it.
    pub fn hashed(&self) {
        self.lock().hashing -= 1;
        self.less.notify_one();
    }

    /// What is to be sent before anything else.
    pub fn next(&self) -> Next {
        let mut queues = self.lock();
        if !queues.messages.is_empty() {
            let bytes = std::mem::take(&mut queues.messages).into();
            drop(queues);
            self.less.notify_one();
            return Next::Messages(bytes);
        }
        match &queues.end {
            Some(ending) => Next::End(ending.clone()),
            None => Next::Nothing,
        }
    }

    /// The next block to read, with those that follow it in its piece, up to this many bytes.
    /// They have begun with this.
    pub fn next_uploads(&self, most: u32) -> Vec<Block> {
        let mut queues = self.lock();
        let mut blocks: Vec<Block> = Vec::new();
        let mut length = 0;
        while let Some(next) = queues.uploads.front() {
            let follows = blocks.last().is_none_or(|last| {
                last.piece() == next.piece() && last.begin() + last.length() == next.begin()
            });
            length += next.length();
            if !follows || length > most && !blocks.is_empty() {
                break;
            }
            blocks.extend(queues.uploads.pop_front());
        }
        blocks
    }

    /// Waits for more to send. May wake for nothing.
    pub async fn more(&self) {
        self.more.notified().await;
    }

    /// Waits until the connection is to be dropped, and says why.
    pub async fn dropped(&self) -> String {
        loop {
            let end = self.lock().end.clone();
            if let Some(Ending::Dropped(reason)) = end {
                return reason;
            }
            self.end.notified().await;
        }
    }

    /// Waits until there is room for what the other end may ask for next.
    pub async fn room(&self) {
        loop {
            if self.has_room() {
                return;
            }
            self.less.notified().await;
        }
    }

    fn has_room(&self) -> bool {
        let queues = self.lock();
        let full = queues.messages.len() > MOST_BYTES || queues.hashing > MOST_HASHING;
        !full || queues.end.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        // Nothing in here can be left half done.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use thorp_wire::layout::Layout;

    use super::*;

    fn block(number: u32) -> Block {
        let layout = Layout::of(1 << 20);
        layout.block(number, 0, 16_384).expect("is in it")
    }

    #[test]
    fn only_what_was_not_begun_can_be_taken_back() {
        let outbox = Outbox::default();
        outbox.upload(block(0));
        outbox.upload(block(1));
        outbox.upload(block(2));
        assert_eq!(outbox.next_uploads(256 * 1024), [block(0)]);
        assert!(!outbox.withdraw(block(0)));
        assert!(outbox.withdraw(block(1)));
        assert_eq!(outbox.next_uploads(256 * 1024), [block(2)]);
    }

    #[test]
    fn blocks_that_follow_one_another_are_read_together_up_to_a_bound() {
        let layout = Layout::of(8 << 20);
        let leaf = |piece, leaf: u32| {
            layout
                .block(piece, leaf * 16_384, 16_384)
                .expect("is in it")
        };
        let outbox = Outbox::default();
        for number in [0, 1, 2, 5, 6] {
            outbox.upload(leaf(1, number));
        }
        outbox.upload(leaf(2, 7));
        for number in 0..16 {
            outbox.upload(leaf(3, number));
        }
        let whole = Layout::of(4 << 30)
            .block(0, 0, 512 * 1024)
            .expect("is in it");
        outbox.upload(whole);
        assert_eq!(
            outbox.next_uploads(256 * 1024),
            [leaf(1, 0), leaf(1, 1), leaf(1, 2)]
        );
        assert_eq!(outbox.next_uploads(256 * 1024), [leaf(1, 5), leaf(1, 6)]);
        assert_eq!(outbox.next_uploads(256 * 1024), [leaf(2, 7)]);
        assert_eq!(outbox.next_uploads(256 * 1024).len(), 16);
        assert_eq!(
            outbox.next_uploads(256 * 1024),
            [whole],
            "a longer one comes alone"
        );
        assert_eq!(outbox.next_uploads(256 * 1024), []);
    }

    #[test]
    fn what_was_said_before_the_end_is_sent_and_nothing_after_it_is() {
        let outbox = Outbox::default();
        outbox.say(&Message::Have(7));
        outbox.close(None);
        outbox.say(&Message::Have(8));
        outbox.close(Some(Why::Useless("too late".into())));
        let Next::Messages(bytes) = outbox.next() else {
            panic!("a message was said");
        };
        assert_eq!(bytes, [0, 0, 0, 5, 4, 0, 0, 0, 7]);
        assert!(matches!(outbox.next(), Next::End(Ending::Kept)));
    }

    #[tokio::test]
    async fn an_end_that_does_not_read_is_not_read_from() {
        let outbox = Outbox::default();
        let bitfield = Message::Bitfield(vec![0; 64 * 1024]);
        while is_ready(outbox.room()).await {
            outbox.say(&bitfield);
        }
        assert!(
            matches!(outbox.next(), Next::Messages(bytes) if bytes.len() <= MOST_BYTES + 65_541)
        );
        outbox.room().await;
    }

    /// Whether it need not wait.
    async fn is_ready(waiting: impl Future<Output = ()>) -> bool {
        let mut waiting = std::pin::pin!(waiting);
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(waiting.as_mut().poll(context).is_ready())
        })
        .await
    }
}

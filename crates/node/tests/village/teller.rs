//! A member's end of a session, that says what a test wants it to say.

use std::sync::Arc;
use std::time::Duration;

use thorp_node::net::dial::{self, Expected};
use thorp_node::net::{MemberStream, Purpose};
use thorp_wire::layout::Layout;
use thorp_wire::merkle::{Hash, HashReply, LayerHasher, Tree};
use thorp_wire::session::handshake::{HANDSHAKE, name_of};
use thorp_wire::session::message::LONGEST_REQUEST;
use thorp_wire::session::{
    ExtendedHandshake, Handshake, HashRange, Head, Message, MessageLimits, Span,
};
use thorp_wire::{Content, Entry, PeerId, Root};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::mallory::{Mallory, Wire, entry};
use super::support::{Village, Villager, bytes, within};

pub const PIECE: usize = 256 * 1024;
/// Many pieces, the last of one byte.
pub const LONG: usize = 5 * 1024 * 1024 + 1;

/// A file of that length.
pub fn long() -> File {
    File::new(bytes(7, LONG))
}

/// A file as its holder knows it.
#[derive(Clone)]
pub struct File {
    pub bytes: Arc<Vec<u8>>,
    pub tree: Arc<Tree>,
}

impl File {
    pub fn new(bytes: Vec<u8>) -> Self {
        let mut hasher = LayerHasher::new(bytes.len() as u64);
        assert!(hasher.update(&bytes));
        let (content, layer) = hasher.finish().expect("all bytes");
        Self {
            bytes: Arc::new(bytes),
            tree: Arc::new(Tree::of(content, layer).expect("is its own")),
        }
    }

    pub fn content(&self) -> Content {
        self.tree.content()
    }

    /// The same as a liar has it who says that it is a byte longer, and whose
    /// hashes lead to the same root.
    pub fn a_byte_longer(&self) -> Self {
        let content = Content {
            length: self.content().length + 1,
            ..self.content()
        };
        let layer = self.tree.layer().to_vec();
        Self {
            bytes: Arc::new([&**self.bytes, &[0]].concat()),
            tree: Arc::new(Tree::of(content, layer).expect("is as many pieces")),
        }
    }

    fn layout(&self) -> Layout {
        Layout::of(self.content().length)
    }

    /// The bytes that a request asks for.
    pub fn span(&self, span: Span) -> Vec<u8> {
        let block = self.layout().block(span.piece, span.begin, span.length);
        let begin = self.layout().offset_of(block.expect("is in the file"));
        let begin = usize::try_from(begin).expect("is short");
        self.bytes[begin..begin + span.length as usize].to_vec()
    }
}

/// A member that lists a file and serves it in some manner, to a member that dials it
/// for a session.
pub struct Holder {
    seen: watch::Receiver<Seen>,
    _link: Wire,
    serving: JoinHandle<()>,
}

/// What a holder has seen so far of those who dial it for sessions.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub calls: usize,
    /// Sessions that have ended.
    pub ended: usize,
    /// Messages after the handshakes, of all kinds.
    pub messages: usize,
    pub hash_requests: usize,
    pub requests: usize,
    pub longest_request: u32,
    /// Requests for which nothing was sent.
    pub unserved: usize,
    /// Bytes of blocks that it has sent.
    pub sent: usize,
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Holder {
    /// The tracker lists it with this file, as `f`, when this is done.
    pub async fn of(village: &Village, name: &str, file: &File, manner: Manner) -> Self {
        let files = vec![("f".to_owned(), file.clone())];
        Self::of_several(village, name, files, manner).await
    }

    /// The same with several files, under these names.
    pub async fn of_several(
        village: &Village,
        name: &str,
        files: Vec<(String, File)>,
        manner: Manner,
    ) -> Self {
        let mut mallory = Mallory::join(village, name).await;
        let entries = files.iter().map(|(name, file)| Entry {
            root: Some(file.content().root),
            length: file.content().length,
            ..entry(name, b"")
        });
        let link = mallory.list(village, entries.collect()).await;
        let me = mallory.id();
        let serves = Arc::new((files, manner));
        let (seeing, seen) = watch::channel(Seen::default());
        let seeing = Arc::new(seeing);
        let serving = tokio::spawn(async move {
            let mut sessions = JoinSet::new();
            while let Some(incoming) = mallory.next_call().await {
                if incoming.purpose == Purpose::Link {
                    // A peer that would like to be a neighbour is left waiting.
                    sessions.spawn(async move {
                        let _held = incoming;
                        std::future::pending::<()>().await;
                    });
                    continue;
                }
                let (serves, seeing) = (Arc::clone(&serves), Arc::clone(&seeing));
                sessions.spawn(async move {
                    let (files, manner) = &*serves;
                    seeing.send_modify(|seen| seen.calls += 1);
                    Teller::new(incoming.stream)
                        .attend(me, files, manner, &seeing)
                        .await;
                    seeing.send_modify(|seen| seen.ended += 1);
                });
            }
        });
        Self {
            seen,
            _link: link,
            serving,
        }
    }

    pub fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Waits until it has seen that.
    pub async fn sees(&self, what: &str, is_so: impl Fn(&Seen) -> bool) {
        let mut seen = self.seen.clone();
        let seen = within(what, seen.wait_for(|seen| is_so(seen))).await;
        seen.expect("it serves");
    }
}

/// What is said to a request.
pub enum Said {
    Bytes(Vec<u8>),
    /// So many of them a second.
    Slowly(Vec<u8>, usize),
    Nothing,
    Rejected,
}

/// What is said to a member (by its peer id) that asks for a span.
type Blocks = dyn Fn(&File, Span, &Seen, [u8; 20]) -> Said + Send + Sync;
type Hashes = dyn Fn(Vec<Hash>) -> Vec<Hash> + Send + Sync;

/// How a holder serves, as one that has all of a file.
pub struct Manner {
    blocks: Box<Blocks>,
    hashes: Box<Hashes>,
    /// Says nothing after the handshakes.
    mute: bool,
    /// So many calls are told first that there is no place for them.
    busy_for: usize,
    /// The length that it speaks of in its handshake is that much too large.
    longer: u64,
    /// Greets no member before that.
    after: Option<Turn>,
}

/// When another holder has seen that, or is gone.
struct Turn {
    of: watch::Receiver<Seen>,
    has_seen: fn(&Seen) -> bool,
}

impl Manner {
    pub fn honest() -> Self {
        Self::of_blocks(|file, span, _| Said::Bytes(file.span(span)))
    }

    /// Honest, but for what it says to requests.
    pub fn of_blocks(blocks: impl Fn(&File, Span, &Seen) -> Said + Send + Sync + 'static) -> Self {
        Self::of_blocks_by_member(move |file, span, seen, _| blocks(file, span, seen))
    }

    /// Honest, but for what it says to the requests of a member.
    pub fn of_blocks_by_member(
        blocks: impl Fn(&File, Span, &Seen, [u8; 20]) -> Said + Send + Sync + 'static,
    ) -> Self {
        Self {
            blocks: Box::new(blocks),
            hashes: Box::new(|hashes| hashes),
            mute: false,
            busy_for: 0,
            longer: 0,
            after: None,
        }
    }

    /// Honest for so many bytes of blocks.
    pub fn honest_for(
        bytes: usize,
        then: impl Fn(&File, Span) -> Said + Send + Sync + 'static,
    ) -> Self {
        Self::of_blocks(move |file, span, seen| {
            if seen.sent + span.length as usize > bytes {
                return then(file, span);
            }
            Said::Bytes(file.span(span))
        })
    }

    /// Honest, and after a megabyte at so many bytes a second.
    pub fn soon_slow(rate: usize) -> Self {
        Self::honest_for(1024 * 1024, move |file, span| {
            Said::Slowly(file.span(span), rate)
        })
    }

    /// Honest, at so many bytes a second.
    pub fn slow(rate: usize) -> Self {
        Self::of_blocks(move |file, span, _| Said::Slowly(file.span(span), rate))
    }

    /// The first byte of each block is wrong.
    pub fn wrong_blocks() -> Self {
        Self::of_blocks(|file, span, _| {
            let mut bytes = file.span(span);
            bytes[0] ^= 1;
            Said::Bytes(bytes)
        })
    }

    /// The first of the hashes is wrong whenever some are asked for.
    pub fn wrong_hashes() -> Self {
        let hashes = |mut hashes: Vec<Hash>| {
            hashes[0][0] ^= 1;
            hashes
        };
        Self {
            hashes: Box::new(hashes),
            ..Self::honest()
        }
    }

    /// Greets, and never says anything else.
    pub fn mute() -> Self {
        Self {
            mute: true,
            ..Self::honest()
        }
    }

    /// Has no place for the first calls, and says so.
    pub fn busy_for(calls: usize) -> Self {
        Self {
            busy_for: calls,
            ..Self::honest()
        }
    }

    /// Speaks of a longer file than it was asked for, in its greeting.
    pub fn of_another_length() -> Self {
        Self {
            longer: 1,
            ..Self::honest()
        }
    }

    /// The same, but no member is greeted before another holder has seen that, or is
    /// gone: so the other one comes first, however slow it is.
    pub fn after(mut self, other: &Holder, has_seen: fn(&Seen) -> bool) -> Self {
        let of = other.seen.clone();
        self.after = Some(Turn { of, has_seen });
        self
    }
}

pub struct Teller {
    stream: MemberStream,
    buffer: Vec<u8>,
    limits: MessageLimits,
}

impl Teller {
    pub fn new(stream: MemberStream) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            limits: MessageLimits::of(Layout::of(1 << 30), LONGEST_REQUEST).expect("is short"),
        }
    }

    /// A session with a peer about a file, greeted on both sides; nothing, where
    /// it hangs up.
    pub async fn dial(mallory: &Mallory, villager: &Villager, content: Content) -> Option<Self> {
        let status = villager.ask(thorp_node::api::Command::Status).await.done();
        let id: PeerId = status.status().id.parse().expect("an id");
        let address = [villager.address()];
        let dialled = dial::dial_session(&address, Expected::Peer(id), &mallory.tls, None);
        let connected = within("a connection", dialled).await.ok()?;
        let mut teller = Self::new(connected.stream);
        teller.greet(mallory.id(), content).await;
        teller.greeted().await.map(|_| teller)
    }

    pub async fn say(&mut self, message: &Message) -> bool {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.write(&bytes).await
    }

    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        within("bytes to be taken", write).await.is_ok()
    }

    pub async fn greet(&mut self, me: PeerId, content: Content) {
        let extended = ExtendedHandshake {
            requests: Some(256),
            longest_request: Some(256 * 1024),
            length: Some(content.length),
            ..ExtendedHandshake::default()
        };
        let handshake = Handshake::of_member(&content.root, &me).encode();
        self.write(&handshake).await;
        self.say(&extended.message()).await;
    }

    /// Waits for both handshakes of the other side; nothing, if it hangs up.
    pub async fn greeted(&mut self) -> Option<Handshake> {
        while self.buffer.len() < HANDSHAKE {
            self.more().await?;
        }
        let rest = self.buffer.split_off(HANDSHAKE);
        let bytes = std::mem::replace(&mut self.buffer, rest);
        let handshake = Handshake::decode(bytes.as_slice().try_into().expect("68 bytes"));
        match self.next().await? {
            (Message::Extended { number: 0, .. }, _) => handshake.ok(),
            other => panic!("{other:?}"),
        }
    }

    /// The next message, with the bytes of a piece; nothing once the other side
    /// has closed, or begins with another file.
    pub async fn next(&mut self) -> Option<(Message, Vec<u8>)> {
        loop {
            let head = Head::parse(&self.buffer, self.limits).expect("is a message");
            let length = match head {
                None => {
                    self.more().await?;
                    continue;
                }
                Some(Head::Handshake) => return None,
                Some(Head::KeepAlive) => 0,
                Some(Head::Piece(span)) => span.length as usize,
                Some(Head::Message(length)) => length,
            };
            let head = head.expect("was there");
            while self.buffer.len() < head.length() + length {
                self.more().await?;
            }
            let rest = self.buffer.split_off(head.length() + length);
            let whole = std::mem::replace(&mut self.buffer, rest);
            let body = whole[head.length()..].to_vec();
            return Some(match head {
                Head::Piece(span) => (Message::Piece(span), body),
                _ => (Message::decode(&body).expect("is a message"), Vec::new()),
            });
        }
    }

    async fn more(&mut self) -> Option<()> {
        match within("bytes", self.stream.read_buf(&mut self.buffer)).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(()),
        }
    }

    /// Serves one file after the other, to a member that has dialled.
    async fn attend(
        &mut self,
        me: PeerId,
        files: &[(String, File)],
        manner: &Manner,
        seeing: &watch::Sender<Seen>,
    ) {
        if seeing.borrow().calls <= manner.busy_for {
            let extended = ExtendedHandshake {
                busy: true,
                ..ExtendedHandshake::default()
            };
            self.write(&Handshake::of_member(&Root::EMPTY, &me).encode())
                .await;
            self.say(&extended.message()).await;
            // Until it hangs up.
            while self.more().await.is_some() {}
            return;
        }
        while let Some(handshake) = self.greeted().await {
            if let Some(turn) = &manner.after {
                let mut seen = turn.of.clone();
                // An error is that it is gone.
                let _ = within("another holder's turn", seen.wait_for(turn.has_seen)).await;
            }
            let meant =
                |(_, file): &&(String, File)| name_of(&file.content().root) == handshake.name;
            let (_, file) = files.iter().find(meant).expect("is listed");
            let mut content = file.content();
            content.length += manner.longer;
            self.greet(me, content).await;
            if !self.serve(file, handshake.peer, manner, seeing).await {
                return;
            }
        }
    }

    /// Serves a file as a holder of all of it, in this manner. Whether the
    /// connection may be about another one next.
    async fn serve(
        &mut self,
        file: &File,
        member: [u8; 20],
        manner: &Manner,
        seeing: &watch::Sender<Seen>,
    ) -> bool {
        if !manner.mute {
            self.say(&Message::HaveAll).await;
            self.say(&Message::Unchoke).await;
        }
        while let Some((message, _)) = self.next().await {
            seeing.send_modify(|seen| seen.messages += 1);
            match message {
                Message::Request(span) => {
                    let said = (manner.blocks)(file, span, &seeing.borrow(), member);
                    seeing.send_modify(|seen| {
                        seen.requests += 1;
                        seen.longest_request = seen.longest_request.max(span.length);
                    });
                    if !self.answer(span, said, seeing).await {
                        return false;
                    }
                }
                Message::HashRequest(range) => {
                    seeing.send_modify(|seen| seen.hash_requests += 1);
                    if !manner.mute {
                        let hashes = (manner.hashes)(hashes(file, &range));
                        self.say(&Message::Hashes(range, hashes)).await;
                    }
                }
                _ => {}
            }
        }
        !self.buffer.is_empty()
    }

    /// Whether the connection is still of use.
    async fn answer(&mut self, span: Span, said: Said, seeing: &watch::Sender<Seen>) -> bool {
        let mut head = Vec::new();
        Message::Piece(span).encode(&mut head);
        let (bytes, rate) = match said {
            Said::Bytes(bytes) => {
                seeing.send_modify(|seen| seen.sent += bytes.len());
                head.extend(bytes);
                return self.write(&head).await;
            }
            Said::Slowly(bytes, rate) => (bytes, rate),
            Said::Nothing | Said::Rejected => {
                seeing.send_modify(|seen| seen.unserved += 1);
                let is_told = matches!(said, Said::Rejected);
                return !is_told || self.say(&Message::Reject(span)).await;
            }
        };
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        let mut there = self.write(&head).await;
        for few in bytes.chunks(rate.div_ceil(10)) {
            ticks.tick().await;
            there = there && self.write(few).await;
            if !there {
                break;
            }
            seeing.send_modify(|seen| seen.sent += few.len());
        }
        there
    }
}

fn hashes(file: &File, range: &HashRange) -> Vec<Hash> {
    match file.tree.answer(range).expect("a range of the file") {
        HashReply::Hashes(hashes) => hashes,
        HashReply::AfterHashing(pieces) => {
            let leaves = pieces.into_iter().flat_map(|piece| {
                let layout = file.layout();
                let begin = usize::try_from(layout.begin_of(piece)).expect("is short");
                let end = begin + layout.length_of(piece) as usize;
                file.bytes[begin..end]
                    .chunks(16 * 1024)
                    .map(thorp_wire::merkle::leaf_hash)
                    .collect::<Vec<_>>()
            });
            let leaves = leaves.collect();
            file.tree.answer_with(range, leaves).expect("is its own")
        }
    }
}

//! A member's end of a session, that says what a test wants it to say.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use thorp_node::dial::{self, Expected};
use thorp_node::listener::Purpose;
use thorp_wire::layout::Layout;
use thorp_wire::merkle::{Answer, LayerHasher, Tree};
use thorp_wire::session::handshake::{HANDSHAKE, name_of};
use thorp_wire::session::message::LONGEST_REQUEST;
use thorp_wire::session::{ExtendedHandshake, Handshake, HashRange, Head, Limits, Message, Span};
use thorp_wire::{Content, PeerId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use super::mallory::{Mallory, Wire, entry};
use super::support::{Village, Villager, within};

/// A file as whoever serves it knows it.
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

/// A member that lists a file and serves it in some manner, to whoever dials it
/// for a session.
pub struct Holder {
    /// Connections that were made to it, for sessions.
    pub calls: Arc<AtomicUsize>,
    _link: Wire,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Holder {
    /// The tracker lists it when this is done.
    pub async fn of<S, H>(
        village: &Village,
        name: &str,
        file: &File,
        manner: impl Fn() -> Manner<S, H> + Send + Sync + 'static,
    ) -> Self
    where
        S: FnMut(Span) -> Said + Send + 'static,
        H: FnMut(HashRange, Vec<[u8; 32]>) -> Vec<[u8; 32]> + Send + 'static,
    {
        let files = vec![("f".to_owned(), file.clone())];
        Self::of_several(village, name, files, move |_| manner()).await
    }

    /// The same with several files, under these names.
    pub async fn of_several<S, H>(
        village: &Village,
        name: &str,
        files: Vec<(String, File)>,
        manner: impl Fn(&File) -> Manner<S, H> + Send + Sync + 'static,
    ) -> Self
    where
        S: FnMut(Span) -> Said + Send + 'static,
        H: FnMut(HashRange, Vec<[u8; 32]>) -> Vec<[u8; 32]> + Send + 'static,
    {
        let mut mallory = Mallory::join(village, name).await;
        let entries = files.iter().map(|(name, file)| entry(name, &file.bytes));
        let link = mallory.list(village, entries.collect()).await;
        let me = mallory.id();
        let (files, manner) = (Arc::new(files), Arc::new(manner));
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let serving = tokio::spawn(async move {
            let mut sessions = tokio::task::JoinSet::new();
            while let Some(incoming) = mallory.next_call().await {
                if incoming.purpose == Purpose::Link {
                    // Somebody who would like to be a neighbour is left waiting.
                    sessions.spawn(async move {
                        let _held = incoming;
                        std::future::pending::<()>().await;
                    });
                    continue;
                }
                counted.fetch_add(1, Ordering::Relaxed);
                let (files, manner) = (Arc::clone(&files), Arc::clone(&manner));
                sessions.spawn(async move {
                    let mut teller = Teller::new(incoming.stream);
                    // One file after the other.
                    while let Some(handshake) = teller.greeted().await {
                        let meant = |(_, file): &&(String, File)| {
                            name_of(&file.content().root) == handshake.name
                        };
                        let (_, file) = files.iter().find(meant).expect("is listed");
                        teller.greet(me, file.content()).await;
                        if !teller.serve(file, manner(file)).await {
                            return;
                        }
                    }
                });
            }
        });
        Self {
            calls,
            _link: link,
            serving,
        }
    }
}

/// Serves what it is asked for.
#[expect(clippy::type_complexity, reason = "closures have no shorter names")]
pub fn honestly(
    file: &File,
) -> Manner<
    impl FnMut(Span) -> Said + Send + use<>,
    impl FnMut(HashRange, Vec<[u8; 32]>) -> Vec<[u8; 32]> + Send + use<>,
> {
    let file = file.clone();
    Manner {
        blocks: move |span| Said::Bytes(file.span(span)),
        hashes: |_, hashes| hashes,
    }
}

/// What is said to a request.
pub enum Said {
    Bytes(Vec<u8>),
    Nothing,
    /// Ten bytes of it a second.
    Dribble(Vec<u8>),
    Rejected,
    /// The connection is closed.
    Goodbye,
}

/// How somebody serves.
pub struct Manner<S, H> {
    pub blocks: S,
    pub hashes: H,
}

pub struct Teller {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
    limits: Limits,
}

impl Teller {
    pub fn new(stream: TlsStream<TcpStream>) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            limits: Limits::of(Layout::of(1 << 30), LONGEST_REQUEST).expect("is short"),
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

    /// Serves a file as a holder of all of it, in this manner. Whether the
    /// connection may be about another one next.
    pub async fn serve<S, H>(&mut self, file: &File, mut manner: Manner<S, H>) -> bool
    where
        S: FnMut(Span) -> Said,
        H: FnMut(HashRange, Vec<[u8; 32]>) -> Vec<[u8; 32]>,
    {
        self.say(&Message::HaveAll).await;
        self.say(&Message::Unchoke).await;
        while let Some((message, _)) = self.next().await {
            match message {
                Message::Request(span) => match (manner.blocks)(span) {
                    Said::Bytes(bytes) => {
                        let mut whole = Vec::new();
                        Message::Piece(span).encode(&mut whole);
                        whole.extend(bytes);
                        self.write(&whole).await;
                    }
                    Said::Nothing => {}
                    Said::Dribble(bytes) => {
                        let mut head = Vec::new();
                        Message::Piece(span).encode(&mut head);
                        self.write(&head).await;
                        let mut second = tokio::time::interval(Duration::from_secs(1));
                        for few in bytes.chunks(10) {
                            second.tick().await;
                            if !self.write(few).await {
                                return false;
                            }
                        }
                    }
                    Said::Rejected => {
                        self.say(&Message::Reject(span)).await;
                    }
                    Said::Goodbye => return false,
                },
                Message::HashRequest(range) => {
                    let hashes = hashes(file, &range);
                    let hashes = (manner.hashes)(range, hashes);
                    self.say(&Message::Hashes(range, hashes)).await;
                }
                _ => {}
            }
        }
        !self.buffer.is_empty()
    }
}

fn hashes(file: &File, range: &HashRange) -> Vec<[u8; 32]> {
    match file.tree.answer(range).expect("a range of the file") {
        Answer::Hashes(hashes) => hashes,
        Answer::AfterHashing(pieces) => {
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

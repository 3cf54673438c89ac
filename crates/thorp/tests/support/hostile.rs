//! A member that says what it likes: with a real certificate, and no program behind it.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use thorp_group::identity::Identity;
use thorp_group::join::Ticket;
use thorp_group::tls::MemberTls;
use thorp_node::address::NetAddress;
use thorp_node::clock::Clock;
use thorp_node::net::MemberStream;
use thorp_node::net::dial::{self, Expected};
use thorp_node::net::join::{self, NotJoined};
use thorp_node::net::listener::{self, Incoming, Listen, Listener, Service};
use thorp_wire::frame::{Find, Hello, MAX_FRAME, PREFIX, Query, Update, VERSION, announced_length};
use thorp_wire::session::message::LONGEST_REQUEST;
use thorp_wire::session::{ExtendedHandshake, Handshake, Message};
use thorp_wire::{Body, Content, Entry, Frame, PeerId, RequestId, Root, merkle};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::mpsc;

/// When it gives up to reach the tracker at all.
const LONGEST_DIAL: Duration = Duration::from_mins(1);

/// A key that is a member's.
#[derive(Clone)]
pub struct Hostile {
    pub tls: MemberTls,
}

impl Hostile {
    /// Becomes a member of an open group, after waiting for its turn.
    pub async fn join(tracker: SocketAddr, name: &str) -> Self {
        let identity = Identity::generate().expect("a key");
        let ticket = Ticket::open(vec![NetAddress::Ip(tracker)]);
        let clock = Clock::system();
        let deadline = Instant::now() + LONGEST_DIAL;
        let admitted = loop {
            let name = name.parse().ok();
            match join::join_in_turn(&ticket, &identity, name, &clock, || {}).await {
                Ok(admitted) => break admitted,
                // The others that attack as well may be in its way.
                Err(NotJoined::Dial(_)) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(why) => panic!("the group is open: {why}"),
            }
        };
        let tls = MemberTls::new(&identity, &admitted.membership, clock).expect("fits");
        Self { tls }
    }

    /// Asks once to become a member of an open group.
    pub async fn join_now(tracker: SocketAddr) -> Result<(), NotJoined> {
        let identity = Identity::generate().expect("a key");
        let ticket = Ticket::open(vec![NetAddress::Ip(tracker)]);
        join::join(&ticket, &identity, None, &Clock::system()).await?;
        Ok(())
    }

    pub fn id(&self) -> PeerId {
        self.tls.member().id
    }

    /// A connection, and a hello on it that names this port.
    pub async fn link(
        &self,
        at: SocketAddr,
        expected: Expected,
        port: Option<u16>,
    ) -> io::Result<Link> {
        let connected = dial::dial(&[at], expected, &self.tls, None).await;
        let mut link = Link::new(connected.map_err(io::Error::other)?.stream);
        link.say(&encoded(&Frame::plain(hello(port)))).await?;
        Ok(link)
    }

    /// A session about a content of this peer: it is said that nothing of it is here, and that all
    /// of it is wanted.
    pub async fn session(
        &self,
        (at, id): (SocketAddr, PeerId),
        content: Content,
    ) -> io::Result<MemberStream> {
        let dialled = dial::dial_session(&[at], Expected::Peer(id), &self.tls, None).await;
        let mut stream = dialled.map_err(io::Error::other)?.stream;
        let extended = ExtendedHandshake {
            requests: Some(256),
            longest_request: Some(LONGEST_REQUEST),
            length: Some(content.length),
            ..ExtendedHandshake::default()
        };
        let handshake = Handshake::of_member(&content.root, &self.id());
        let mut bytes = handshake.encode().to_vec();
        for message in [extended.message(), Message::HaveNone, Message::Interested] {
            message.encode(&mut bytes);
        }
        stream.write_all(&bytes).await?;
        stream.flush().await?;
        Ok(stream)
    }

    /// Lets other members dial it.
    pub async fn listen(&self) -> Ambush {
        let any = Listen::Exactly("127.0.0.1:0".parse().expect("an address"));
        let listener = Listener::bind(any).await.expect("a port");
        let port = listener.address().port();
        let (sink, calls) = mpsc::channel(64);
        let service = Service {
            tls: self.tls.clone(),
            join: None,
            sink,
            clients: None,
            face: None,
        };
        Ambush {
            port,
            calls,
            _serving: listener.serve(vec![service]),
        }
    }
}

/// Where a hostile member is dialled.
pub struct Ambush {
    pub port: u16,
    pub calls: mpsc::Receiver<Incoming>,
    _serving: listener::Running,
}

/// A connection to a member, frame by frame.
pub struct Link {
    pub reads: Reads,
    pub says: Says,
}

/// What the other side says.
pub struct Reads {
    stream: ReadHalf<MemberStream>,
    buffer: Vec<u8>,
}

/// Where this side says what it likes.
pub struct Says(WriteHalf<MemberStream>);

impl Link {
    pub fn new(stream: MemberStream) -> Self {
        let (stream, says) = split(stream);
        Self {
            reads: Reads {
                stream,
                buffer: Vec::new(),
            },
            says: Says(says),
        }
    }

    pub async fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.says.say(bytes).await
    }

    /// Asks, and reads until this is answered; nothing once the other side has closed.
    pub async fn ask(&mut self, request: u32, body: impl Into<Body>) -> Option<Body> {
        let request = RequestId(request);
        let frame = encoded(&Frame::with_request(request, body));
        self.say(&frame).await.ok()?;
        loop {
            let frame = self.reads.next().await?;
            if frame.request == Some(request) {
                return Some(frame.body);
            }
        }
    }

    /// Says this and signs of life then, and reads and throws away what is answered,
    /// until the other side has had enough.
    pub async fn keep_saying(self, frames: impl IntoIterator<Item = Vec<u8>>) -> io::Result<()> {
        let Self { reads, mut says } = self;
        let saying = async {
            for frame in frames {
                says.say(&frame).await?;
            }
            loop {
                tokio::time::sleep(Duration::from_secs(2)).await;
                says.say(&encoded(&Frame::plain(Update::heartbeat(1))))
                    .await?;
            }
        };
        tokio::select! {
            ended = saying => ended,
            () = reads.until_closed() => Ok(()),
        }
    }
}

impl Reads {
    /// The next frame; nothing once the other side has closed.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((&prefix, body)) = self.buffer.split_first_chunk::<PREFIX>() {
                let length = announced_length(prefix, MAX_FRAME).expect("it is not too long");
                if let Some(body) = body.get(..length) {
                    let frame = Frame::decode(body).expect("they send good frames");
                    self.buffer.drain(..PREFIX + length);
                    return Some(frame);
                }
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Throws away what comes.
    pub async fn until_closed(mut self) {
        let mut buffer = vec![0; 64 * 1024];
        while matches!(self.stream.read(&mut buffer).await, Ok(1..)) {}
    }
}

impl Says {
    pub async fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await?;
        self.0.flush().await
    }

    /// As much as there is room for.
    pub async fn begin_to_say(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).await
    }
}

/// What a member says first that would like to be a neighbour.
pub fn hello(port: Option<u16>) -> Hello {
    Hello {
        oldest: VERSION,
        newest: VERSION,
        port,
        claimed: Vec::new(),
        epoch: 7,
        applied: None,
        neighbour: true,
        visitor: false,
        interval: 60_000,
        record: None,
        bittorrent: false,
        advertised: 0,
    }
}

pub fn encoded(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes).expect("it is a good frame");
    bytes
}

pub fn find(query: Query) -> Find {
    Find::new(query, 1)
}

/// A file with these bytes.
pub fn entry(name: &str, bytes: &[u8]) -> Entry {
    let content = merkle::content_of(bytes);
    Entry {
        root: Some(content.root),
        length: content.length,
        ..false_entry(name)
    }
}

/// A file that nobody has.
pub fn false_entry(name: &str) -> Entry {
    Entry {
        name: name.parse().expect("a name"),
        length: 1,
        mtime: 1_700_000_000,
        root: Some(Root::new([7; 32])),
        partial: false,
        nanos: 0,
        executable: false,
        v1: None,
    }
}

/// A whole listing, so many files a frame.
pub fn listing(
    files: usize,
    each: usize,
    file: impl Fn(usize) -> Entry,
) -> impl Iterator<Item = Vec<u8>> {
    (0..files).step_by(each).map(move |first| {
        let end = files.min(first + each);
        encoded(&Frame::plain(Update {
            since: None,
            first: first == 0,
            last: end == files,
            added: (first..end).map(&file).collect(),
            ..Update::heartbeat(1)
        }))
    })
}

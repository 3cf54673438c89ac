//! A member that says whatever a test wants it to say.

use std::net::SocketAddr;

use thorp_group::identity::Identity;
use thorp_group::join::Ticket;
use thorp_group::tls::MemberTls;
use thorp_node::address::NetAddress;
use thorp_node::net::MemberStream;
use thorp_node::net::dial::{self, Expected};
use thorp_node::net::join;
use thorp_node::net::listener::{Incoming, Listen, Listener, Running, Service};
use thorp_wire::frame::{
    Bytes, Get, Hello, MAX_FRAME, PREFIX, Query, Update, VERSION, announced_length,
};
use thorp_wire::{Body, Content, Entry, Frame, PeerId, RequestId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::support::{Village, Villager, within};

/// Whether this is a question that a user waits for, and not one that is asked in advance.
pub fn is_for_a_user(frame: &Frame) -> bool {
    match &frame.body {
        Body::Find(find) => !matches!(find.query, Query::Beyond(..)),
        _ => false,
    }
}

/// A member with a real certificate and a port, and no program behind them.
pub struct Mallory {
    pub identity: Identity,
    pub tls: MemberTls,
    pub listen: SocketAddr,
    incoming: mpsc::Receiver<Incoming>,
    _running: Running,
}

impl Mallory {
    pub async fn join(village: &Village, name: &str) -> Self {
        let identity = Identity::generate().expect("a key");
        let ticket = Ticket::open(vec![NetAddress::Ip(village.address())]);
        let clock = village.clock.clone();
        let wanted = name.parse().ok();
        let membership = within("joining", join::join(&ticket, &identity, wanted, &clock)).await;
        let tls =
            MemberTls::new(&identity, &membership.expect("joins").membership, clock).expect("fits");
        Self::listening(identity, tls).await
    }

    async fn listening(identity: Identity, tls: MemberTls) -> Self {
        let any = Listen::Exactly("127.0.0.1:0".parse().expect("an address"));
        let listener = Listener::bind(any).await.expect("binds");
        let listen = listener.address();
        let (sink, incoming) = mpsc::channel(64);
        let service = Service {
            tls: tls.clone(),
            join: None,
            sink,
            clients: None,
            face: None,
        };
        Self {
            identity,
            tls,
            listen,
            incoming,
            _running: listener.serve(vec![service]),
        }
    }

    pub fn id(&self) -> PeerId {
        self.tls.member().id
    }

    /// An honest hello, of a peer that would like to be a neighbour.
    pub fn hello(&self) -> Hello {
        Hello {
            oldest: VERSION,
            newest: VERSION,
            port: Some(self.listen.port()),
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

    pub async fn dial(&self, address: SocketAddr, expected: Expected) -> Wire {
        let connected = within(
            "a connection",
            dial::dial(&[address], expected, &self.tls, None),
        )
        .await;
        Wire::new(connected.expect("connects").stream)
    }

    pub async fn dial_tracker(&self, village: &Village) -> Wire {
        self.dial(village.address(), Expected::Tracker).await
    }

    pub async fn dial_peer(&self, villager: &Villager) -> Wire {
        let status = villager.ask(thorp_node::api::Command::Status).await.done();
        let id = status.status().id.parse().expect("an id");
        self.dial(villager.address(), Expected::Peer(id)).await
    }

    /// A link to the tracker that is up and lists these files.
    pub async fn list(&self, village: &Village, files: Vec<Entry>) -> Wire {
        let mut wire = self.dial_tracker(village).await;
        wire.greet(self.hello()).await;
        wire.send(listing(files)).await;
        wire.until("an ack", |frame| {
            matches!(frame.body, Body::Ack(_)).then_some(())
        })
        .await;
        wire
    }

    /// A link to a peer that is up.
    pub async fn befriend(&self, villager: &Villager) -> Wire {
        let mut wire = self.dial_peer(villager).await;
        wire.greet(self.hello()).await;
        wire
    }

    /// Whether no member has got through to it, that it has not answered.
    pub fn nobody_called(&mut self) -> bool {
        self.incoming.try_recv().is_err()
    }

    /// The next member that dials, for whatever it may be.
    pub async fn next_call(&mut self) -> Option<Incoming> {
        self.incoming.recv().await
    }

    /// The next member that dials, greeted.
    pub async fn called(&mut self) -> Wire {
        let incoming = within("a call", self.incoming.recv())
            .await
            .expect("listens");
        let mut wire = Wire::new(incoming.stream);
        wire.greet(self.hello()).await;
        wire
    }
}

/// A connection to a member, byte by byte.
pub struct Wire {
    stream: MemberStream,
    buffer: Vec<u8>,
}

impl Wire {
    pub fn new(stream: MemberStream) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    pub async fn send(&mut self, frame: Frame) {
        assert!(
            self.try_send(&encoded(&frame)).await,
            "{frame:?} cannot be sent"
        );
    }

    /// Writes bytes, and says whether the other side still took them.
    pub async fn try_send(&mut self, bytes: &[u8]) -> bool {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        within("bytes to be taken", write).await.is_ok()
    }

    /// The next frame; nothing once the other side has closed.
    pub async fn next(&mut self) -> Option<Frame> {
        within("a frame", async {
            loop {
                if let Some((&prefix, body)) = self.buffer.split_first_chunk::<PREFIX>() {
                    let length = announced_length(prefix, MAX_FRAME).expect("is not too long");
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
        })
        .await
    }

    /// Reads until a frame is what is looked for.
    pub async fn until<T>(&mut self, what: &str, mut is_it: impl FnMut(&Frame) -> Option<T>) -> T {
        while let Some(frame) = self.next().await {
            if let Some(found) = is_it(&frame) {
                return found;
            }
        }
        panic!("the link was closed before {what} came");
    }

    pub async fn greet(&mut self, hello: Hello) {
        self.send(Frame::plain(hello)).await;
        self.until("a hello", |frame| {
            matches!(frame.body, Body::Hello(_)).then_some(())
        })
        .await;
    }

    /// Waits for a question about a file.
    pub async fn asked_for(&mut self) -> (RequestId, Content) {
        self.until("a Get", |frame| match (&frame.body, frame.request) {
            (Body::Get(Get { content }), Some(request)) => Some((request, *content)),
            _ => None,
        })
        .await
    }

    pub async fn answer(&mut self, request: RequestId, body: impl Into<Body>) {
        self.send(Frame::with_request(request, body)).await;
    }

    pub async fn deliver(&mut self, request: RequestId, bytes: &[u8]) {
        let bytes = bytes.to_vec();
        self.answer(request, Bytes { bytes }).await;
    }

    /// Waits until the other side hangs up; the reason it gave, if it gave one.
    pub async fn closed(&mut self) -> Option<String> {
        let mut reason = None;
        while let Some(frame) = self.next().await {
            if let Body::Leave(leave) = frame.body {
                reason = Some(leave.reason.to_string());
            }
        }
        reason
    }
}

pub fn encoded(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes).expect("is a good frame");
    bytes
}

/// A whole listing in one frame.
pub fn listing(files: Vec<Entry>) -> Frame {
    Frame::plain(Update {
        since: None,
        added: files,
        ..Update::heartbeat(1)
    })
}

pub fn entry(name: &str, bytes: &[u8]) -> Entry {
    let content = thorp_wire::merkle::content_of(bytes);
    Entry {
        name: name.parse().expect("a name"),
        length: content.length,
        mtime: 1_700_000_000,
        root: Some(content.root),
        partial: false,
        nanos: 0,
        executable: false,
        v1: None,
    }
}

//! One port: accepts connections and assigns them to services.
//!
//! The first byte distinguishes TLS, and HTTP where there is a face for ordinary BitTorrent
//! clients, from everything else. Inside TLS, protocol (ALPN) and name
//! (SNI) select the service before any certificate is shown. A connection for no service is
//! closed at once, and so is the plain handshake of a BitTorrent client where no service is for
//! clients. A service receives only connections whose other end has proved to be a member;
//! other modules read what members send.
//!
//! Strangers cost at most [`Limits`]: a number of handshakes in all and per address, and ten
//! seconds for each. [`gate`] decides which handshake is dropped if there are too many. Clients
//! that try uTP first are told over UDP that it is not spoken here ([`utp`]).

mod gate;
mod refusals;
mod utp;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::{Acceptor, ClientHello};
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use thorp_group::address::{ListenAddress, canonical};
use thorp_group::certificate::{CertificateError, Certified, TRACKER_NAME};
use thorp_group::join::JoinService;
use thorp_group::record::{REMOVED, Records};
use thorp_group::tls::{ALPN_JOIN, ALPN_LINK, ALPN_SESSION, MemberTls};
use thorp_wire::frame::{Leave, Record};
use thorp_wire::session::Handshake;
use thorp_wire::session::handshake::{HANDSHAKE, NotBitTorrent, PROTOCOL};
use thorp_wire::{Frame, PeerId};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::LazyConfigAcceptor;

use super::face::{Face, http};
use super::read_ahead::ReadAhead;
use super::{MemberStream, Purpose, descriptors};
use gate::{Gate, Place};
use refusals::Refusal;
pub use refusals::Refusals;

/// The first byte of a TLS handshake record.
const TLS_HANDSHAKE: u8 = 0x16;
/// How many connections the system keeps before this process accepts them.
const BACKLOG: i32 = 1024;
/// How many ports after the default one are tried.
const NEXT_PORTS: u16 = 64;

/// How many bytes of a removed member are read before its link is closed.
const MAX_UNREAD: u64 = 64 * 1024;

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// On all addresses, IPv6 and IPv4, at exactly this port.
    Port(u16),
    /// On all addresses, at this port or the first free one of the 64 after it.
    PortOrNext(u16),
    /// At exactly this address and port.
    Exactly(SocketAddr),
}

impl Listen {
    /// Returns where the user asked to listen; without a port, at the port of `self`.
    #[must_use]
    pub fn unless(self, asked: ListenAddress) -> Self {
        let usual = match self {
            Self::Port(port) | Self::PortOrNext(port) => port,
            Self::Exactly(address) => address.port(),
        };
        match (asked.ip, asked.port) {
            (None, Some(port)) => Self::Port(port),
            (None, None) => self,
            (Some(IpAddr::V6(ip)), port) => {
                let port = port.unwrap_or(usual);
                Self::Exactly(SocketAddrV6::new(ip, port, 0, asked.zone).into())
            }
            (Some(ip), port) => Self::Exactly((ip, port.unwrap_or(usual)).into()),
        }
    }
}

/// What a node serves on a port. A node may contain a tracker and a peer.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its certificate: it answers to `<peerid>.thorp` and, if it is a tracker, to
    /// `tracker.thorp`.
    pub tls: MemberTls,
    /// The service for newcomers, which only a tracker has.
    pub join: Option<JoinService>,
    /// Receives its links, and also its sessions unless it is a tracker, which has no files.
    pub sink: mpsc::Sender<Incoming>,
    /// Receives clients of BitTorrent, if it serves them when the group does.
    pub clients: Option<mpsc::Sender<Client>>,
    /// Its face for ordinary BitTorrent clients, which only a tracker has, and only if its group's
    /// owner has said so.
    pub face: Option<Face>,
}

/// A BitTorrent client that has connected without TLS. Nothing was said to it yet.
#[derive(Debug)]
pub struct Client {
    /// The stream, after its handshake.
    pub stream: TcpStream,
    /// Its handshake.
    pub handshake: Handshake,
    /// The address from which it dialled.
    pub remote: SocketAddr,
}

/// An authenticated connection that another member has dialled.
#[derive(Debug)]
pub struct Incoming {
    /// What the member has dialled for.
    pub purpose: Purpose,
    /// The stream, ready for that purpose.
    pub stream: MemberStream,
    /// The member.
    pub member: Certified,
    /// The address from which it dialled. The port is not the one on which it listens.
    pub remote: SocketAddr,
}

/// What arrives at a peer's service.
#[derive(Debug)]
pub struct Inbound {
    /// Members that have dialled it.
    pub members: mpsc::Receiver<Incoming>,
    /// Clients of BitTorrent that have.
    pub clients: mpsc::Receiver<Client>,
    /// How many connections the port has refused.
    pub refusals: Refusals,
}

/// What strangers may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Concurrent handshakes from addresses at which no member was seen recently. Half as many
    /// are allowed from addresses at which one was.
    pub handshakes: u64,
    /// Concurrent handshakes from one address. Loopback is exempt.
    pub per_address: u64,
    /// The time limit from a connection's first byte to the end of its handshake.
    pub handshake: Duration,
    /// Concurrent HTTP connections of ordinary clients.
    pub clients: u64,
    /// The same from one address. Loopback is exempt.
    pub per_client: u64,
    /// A connection whose descriptor has this number or a higher one is refused.
    pub descriptors: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshakes: 512,
            per_address: 32,
            handshake: Duration::from_secs(10),
            clients: 1024,
            per_client: 64,
            descriptors: descriptors::most_for_connections(),
        }
    }
}

/// A bound port that does not accept connections yet.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    refusals: Refusals,
}

/// A port that accepts connections until this is dropped.
#[derive(Debug)]
pub struct Running(Vec<JoinHandle<()>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

impl Listener {
    /// Binds a port.
    #[expect(clippy::unused_async, reason = "must run inside the runtime")]
    pub async fn bind(listen: Listen) -> Result<Self, ListenError> {
        let (first, last) = match listen {
            Listen::Exactly(address) => {
                return Self::at(address).map_err(|error| ListenError::new(address, error));
            }
            Listen::Port(port) => (port, port),
            Listen::PortOrNext(port) => (port, port.saturating_add(NEXT_PORTS)),
        };
        for port in first..last {
            match Self::everywhere(port) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                other => return other.map_err(|error| ListenError::new(any(port), error)),
            }
        }
        Self::everywhere(last).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse if first < last => ListenError::AllTaken { first, last },
            _ => ListenError::new(any(last), error),
        })
    }

    /// Returns the address on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the counters of the connections that it will refuse.
    pub fn refusals(&self) -> Refusals {
        self.refusals.clone()
    }

    /// Accepts connections for these services.
    pub fn serve(self, services: Vec<Service>) -> Running {
        self.serve_within(services, Limits::default())
    }

    /// Accepts connections for these services, within these limits.
    pub fn serve_within(self, services: Vec<Service>, limits: Limits) -> Running {
        let reception = Arc::new(Reception {
            services,
            limits,
            refusals: self.refusals,
            gate: Gate::new(limits),
            clients: Gate::new(Limits {
                handshakes: limits.clients,
                per_address: limits.per_client,
                ..limits
            }),
        });
        // A tracker's face has this port for UDP, and refuses such clients there.
        let refuses = reception.face().is_none() && reception.may_serve_clients();
        let refusing =
            refuses.then(|| tokio::spawn(utp::refuse(self.address, Arc::clone(&reception))));
        let accepting = tokio::spawn(accept_all(self.socket, reception));
        Running([accepting].into_iter().chain(refusing).collect())
    }

    fn everywhere(port: u16) -> io::Result<Self> {
        match Self::at(any(port)) {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                // A system without IPv6. That the port is taken there counts, too.
                let v4 = Self::at((Ipv4Addr::UNSPECIFIED, port).into());
                v4.map_err(|other| match other.kind() {
                    io::ErrorKind::AddrInUse => other,
                    _ => error,
                })
            }
            other => other,
        }
    }

    fn at(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        // Lingering connections of an earlier run do not block the port.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let socket = TcpListener::from_std(socket.into())?;
        let address = socket.local_addr()?;
        Ok(Self {
            socket,
            address,
            refusals: Refusals::default(),
        })
    }
}

fn any(port: u16) -> SocketAddr {
    (Ipv6Addr::UNSPECIFIED, port).into()
}

async fn accept_all(socket: TcpListener, reception: Arc<Reception>) {
    // Dropping the set ends its tasks, so they end with the `Running`.
    let mut guests = tokio::task::JoinSet::new();
    loop {
        while guests.try_join_next().is_some() {}
        match socket.accept().await {
            Ok((stream, remote)) => {
                let remote = canonical(remote);
                if u64::try_from(stream.as_raw_fd())
                    .is_ok_and(|fd| fd >= reception.limits.descriptors)
                {
                    tracing::debug!(%remote, "too many connections are open: closed");
                    reception.refusals.count(Refusal::TooManyOpen);
                    continue;
                }
                let place = reception.gate.enter(remote.ip());
                guests.spawn(reception.clone().receive(stream, remote, place));
            }
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                // Descriptors or memory have run out: open connections have to end first.
                tracing::warn!(%error, "cannot accept connections now");
                sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// What every connection to the port goes through.
struct Reception {
    services: Vec<Service>,
    limits: Limits,
    refusals: Refusals,
    gate: Gate,
    /// The connections of ordinary clients.
    clients: Gate,
}

/// A connection whose purpose is known.
enum Arrived<'a> {
    /// A member's, which its service has.
    Delivered,
    /// A newcomer's.
    Newcomer(
        Box<tokio_rustls::server::TlsStream<ReadAhead<TcpStream>>>,
        &'a JoinService,
    ),
    /// An ordinary client's, of which nothing was read.
    Client(TcpStream, &'a Face),
}

/// The service that a connection is for.
enum Chosen<'a> {
    Member(&'a Service),
    Join(&'a JoinService),
}

impl Reception {
    async fn receive(self: Arc<Self>, stream: TcpStream, remote: SocketAddr, place: Place) {
        let client = tokio::select! {
            client = self.welcome(stream, remote) => client,
            () = place.given_away() => {
                tracing::debug!(%remote, "turned away: others are waiting");
                self.refusals.count(Refusal::Crowded);
                None
            }
        };
        drop(place);
        if let Some((stream, face)) = client {
            let place = self.clients.enter(remote.ip());
            tokio::select! {
                () = http::serve(stream, remote, face, http::Patience::default()) => {}
                () = place.given_away() => {}
            }
        }
    }

    /// Returns the connection of an ordinary client, with the face for it.
    async fn welcome(&self, stream: TcpStream, remote: SocketAddr) -> Option<(TcpStream, &Face)> {
        let handshake = self.limits.handshake;
        match timeout(handshake, self.handshake(stream, remote)).await {
            Ok(Ok(Arrived::Newcomer(stream, join))) => join.serve(*stream, remote).await,
            Ok(Ok(Arrived::Client(stream, face))) => return Some((stream, face)),
            Ok(Ok(Arrived::Delivered)) => {}
            Ok(Err(why)) => {
                tracing::debug!(%remote, %why, "turned away");
                self.refusals.count(why.refusal());
            }
            Err(_) => {
                tracing::debug!(%remote, "turned away: the handshake took too long");
                self.refusals.count(Refusal::TooSlow);
            }
        }
        None
    }

    /// Delivers a member's connection, and returns others.
    async fn handshake(
        &self,
        stream: TcpStream,
        remote: SocketAddr,
    ) -> Result<Arrived<'_>, TurnedAway> {
        // Where the system refuses that, it is only slower.
        let _ = stream.set_nodelay(true);
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(TurnedAway::NotTls);
        }
        match (first[0], self.client_service(), self.face()) {
            (TLS_HANDSHAKE, ..) => {}
            (byte, Some(clients), _) if byte == PROTOCOL[0] => {
                let client = greeted(stream, remote).await?;
                // If the node has ended, the connection is dropped and so closed.
                let _ = clients.send(client).await;
                return Ok(Arrived::Delivered);
            }
            (byte, _, Some(face)) if http::begins_with(byte) => {
                return Ok(Arrived::Client(stream, face));
            }
            _ => return Err(TurnedAway::NotTls),
        }
        let stream = ReadAhead::new(stream);
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        match self
            .choose(&start.client_hello())
            .ok_or(TurnedAway::ForNobody)?
        {
            Chosen::Join(join) => {
                let stream = start.into_stream(join.config()).await?;
                Ok(Arrived::Newcomer(Box::new(stream), join))
            }
            Chosen::Member(service) => {
                let mut stream = start.into_stream(service.tls.server()).await?;
                let purpose = match stream.get_ref().1.alpn_protocol() {
                    Some(ALPN_SESSION) => Purpose::Session,
                    _ => Purpose::Link,
                };
                let member = match service.tls.peer_of(stream.get_ref().1) {
                    Ok(member) => member,
                    Err(why) => {
                        if why == CertificateError::Removed && purpose == Purpose::Link {
                            dismiss(&mut stream, service.tls.records()).await?;
                        }
                        return Err(why.into());
                    }
                };
                self.gate.on_member(remote.ip());
                let incoming = Incoming {
                    purpose,
                    member,
                    stream: stream.into(),
                    remote,
                };
                // If the node has ended, the connection is dropped and so closed.
                let _ = service.sink.send(incoming).await;
                Ok(Arrived::Delivered)
            }
        }
    }

    /// Whether this node serves clients once its group does.
    fn may_serve_clients(&self) -> bool {
        let mut services = self.services.iter();
        services.any(|service| service.clients.is_some())
    }

    /// The service that clients are for, if this node and its group serve them.
    fn client_service(&self) -> Option<&mpsc::Sender<Client>> {
        let mut services = self.services.iter();
        services.find_map(|service| {
            let clients = service.clients.as_ref();
            clients.filter(|_| service.tls.records().serves_clients())
        })
    }

    /// The face for what ordinary clients ask a tracker.
    fn face(&self) -> Option<&Face> {
        let mut services = self.services.iter();
        services.find_map(|service| service.face.as_ref())
    }

    fn choose(&self, hello: &ClientHello<'_>) -> Option<Chosen<'_>> {
        let name = hello.server_name()?;
        let mut protocols = hello.alpn()?;
        let service = self
            .services
            .iter()
            .find(|service| service.answers_to(name))?;
        protocols.find_map(|protocol| match protocol {
            ALPN_LINK => Some(Chosen::Member(service)),
            ALPN_SESSION if service.join.is_none() => Some(Chosen::Member(service)),
            ALPN_JOIN => service.join.as_ref().map(Chosen::Join),
            _ => None,
        })
    }
}

/// Reads the handshake of a client. No more is read: what follows is for its session.
async fn greeted(mut stream: TcpStream, remote: SocketAddr) -> Result<Client, TurnedAway> {
    let mut bytes = [0; HANDSHAKE];
    stream.read_exact(&mut bytes).await?;
    Ok(Client {
        handshake: Handshake::decode(&bytes)?,
        stream,
        remote,
    })
}

/// Tells a removed member of its removal, with the record as proof, so that it stops dialling.
async fn dismiss<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    records: &Records,
) -> Result<(), io::Error> {
    let mut words = Vec::new();
    let record = records.newest().map(|record| Record { record });
    let leave = Leave {
        reason: REMOVED.into(),
    };
    for frame in record
        .map(Frame::plain)
        .into_iter()
        .chain([Frame::plain(leave)])
    {
        // Both frames are within their bounds.
        let _ = frame.encode(&mut words);
    }
    stream.write_all(&words).await?;
    stream.shutdown().await?;
    // The member's bytes are read first: the system would reset a connection with unread bytes,
    // and might discard what was sent.
    let mut rest = stream.take(MAX_UNREAD);
    tokio::io::copy(&mut rest, &mut tokio::io::sink())
        .await
        .map(drop)
}

impl Service {
    fn answers_to(&self, name: &str) -> bool {
        let member = self.tls.member();
        if name == TRACKER_NAME {
            return member.tracker;
        }
        let id = name.strip_suffix(".thorp").map(str::parse::<PeerId>);
        id == Some(Ok(member.id))
    }
}

/// Why a connection was closed during its handshake. Shown only in the log, and counted.
#[derive(Debug, Error)]
enum TurnedAway {
    #[error("it speaks neither TLS nor what is served here")]
    NotTls,
    #[error("it asks for a protocol or a name that is not here")]
    ForNobody,
    #[error("{0}")]
    NotBitTorrent(#[from] NotBitTorrent),
    #[error("{0}")]
    Certificate(#[from] CertificateError),
    #[error("{0}")]
    Io(io::Error),
}

impl TurnedAway {
    fn refusal(&self) -> Refusal {
        match self {
            Self::NotTls | Self::NotBitTorrent(_) => Refusal::NotTls,
            Self::ForNobody => Refusal::ForNobody,
            Self::Certificate(CertificateError::Removed) => Refusal::Removed,
            Self::Certificate(_) => Refusal::Certificate,
            Self::Io(_) => Refusal::Broken,
        }
    }
}

impl From<io::Error> for TurnedAway {
    fn from(error: io::Error) -> Self {
        CertificateError::from_io(&error).map_or(Self::Io(error), Self::Certificate)
    }
}

/// Why a port cannot be bound; each variant says what the user can do.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Another program uses the port: stop it, or choose another port.
    #[error("port {} is taken (at {})", address.port(), address.ip())]
    Taken {
        /// The requested address.
        address: SocketAddr,
    },
    /// Other programs use all these ports: choose another one.
    #[error("all ports from {first} to {last} are taken")]
    AllTaken {
        /// The default port.
        first: u16,
        /// The last port that was tried.
        last: u16,
    },
    /// The UDP port of that number cannot be used: choose another one, or serve no ordinary
    /// BitTorrent clients.
    #[error("cannot listen for UDP at {address}: {error}")]
    Udp {
        /// The address of the TCP port.
        address: SocketAddr,
        /// The system's error.
        error: io::Error,
    },
    /// This machine does not have the address, or permission was denied.
    #[error("cannot listen at {address}: {error}")]
    Other {
        /// The requested address.
        address: SocketAddr,
        /// The system's error.
        error: io::Error,
    },
}

impl ListenError {
    fn new(address: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::Taken { address },
            _ => Self::Other { address, error },
        }
    }
}

#[cfg(test)]
mod tests;

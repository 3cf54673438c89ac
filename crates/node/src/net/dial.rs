//! Dials a member at one of several addresses.
//!
//! The first address is tried at once, the next one 200 ms later or as soon as one has failed (as
//! in RFC 8305, Happy Eyeballs); the first handshake that completes wins. An address at which
//! another machine answers counts as failed, and the others are still tried.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use thiserror::Error;
use thorp_group::authority::BACKDATED;
use thorp_group::certificate::{self, CaKey, CertificateError, Certified};
use thorp_group::clock::{Apart, Clock};
use thorp_group::tls::{self, MemberTls};
use thorp_wire::PeerId;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_rustls::TlsConnector;

use super::addresses::zoned;
use super::read_ahead::ReadAhead;
use super::{MemberStream, Purpose, descriptors};

/// The delay after which the next address is tried as well.
const STAGGER: Duration = Duration::from_millis(200);
/// The time limit within which a machine must be reached, at any of the addresses.
const REACHED_WITHIN: Duration = Duration::from_secs(5);
/// The time limit of the handshake with a machine that was reached: over a line that is full, one
/// time there and back may take seconds.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// The maximum number of addresses that are tried.
const MAX_ADDRESSES: usize = 32;

/// The member that is expected to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The member with this key, whether or not it is a tracker.
    Peer(PeerId),
    /// The group's tracker, whatever its key is.
    Tracker,
}

impl Expected {
    fn name(self) -> String {
        match self {
            Self::Peer(id) => certificate::id_name(id),
            Self::Tracker => certificate::TRACKER_NAME.into(),
        }
    }
}

/// An authenticated connection to a member.
#[derive(Debug)]
pub struct Connected {
    /// The stream, ready for a link or a session.
    pub stream: MemberStream,
    /// The member at the other end.
    pub member: Certified,
    /// The address at which it was reached.
    pub address: SocketAddr,
}

/// Dials a member for a link; with `source`, from that address of this machine.
pub async fn dial(
    addresses: &[SocketAddr],
    expected: Expected,
    tls: &MemberTls,
    source: Option<IpAddr>,
) -> Result<Connected, DialError> {
    connect(addresses, expected, tls, Purpose::Link, source).await
}

/// Dials a member for a session; with `source`, from that address of this machine.
pub async fn dial_session(
    addresses: &[SocketAddr],
    expected: Expected,
    tls: &MemberTls,
    source: Option<IpAddr>,
) -> Result<Connected, DialError> {
    connect(addresses, expected, tls, Purpose::Session, source).await
}

/// Dials a BitTorrent client; with `source`, from that address of this machine.
pub(crate) async fn dial_client(
    address: SocketAddr,
    source: Option<IpAddr>,
) -> io::Result<TcpStream> {
    let opened = tokio::time::timeout(REACHED_WITHIN, open(address, source)).await;
    opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn connect(
    addresses: &[SocketAddr],
    expected: Expected,
    tls: &MemberTls,
    purpose: Purpose,
    source: Option<IpAddr>,
) -> Result<Connected, DialError> {
    let config = match purpose {
        Purpose::Link => tls.client(),
        Purpose::Session => tls.session_client(),
    };
    let (stream, address) = reach(addresses, &expected.name(), config, source).await?;
    let member = tls
        .peer_of(stream.get_ref().1)
        .map_err(|why| DialError::Certificate { address, why })?;
    Ok(Connected {
        stream,
        member,
        address,
    })
}

/// Adds to the reason why a tracker is not trusted, if more can be found out.
///
/// If a certificate has expired or not yet begun, one of the two clocks is wrong; if another CA
/// has signed it, the question is which. What the tracker shows to newcomers contains its time
/// and its CA (see [`JoinService`](thorp_group::join::JoinService)), so the tracker is dialled
/// again for that.
pub(crate) async fn explain(why: DialError, ca: Option<CaKey>, clock: &Clock) -> DialError {
    let DialError::Certificate {
        address,
        why: cause,
    } = &why
    else {
        return why;
    };
    let address = *address;
    if cause.is_about_time() {
        return match clock_at(address, ca, clock).await {
            Some(apart) => DialError::Clock(apart),
            None => why,
        };
    }
    if let (CertificateError::OtherGroup, Some(pinned)) = (cause, ca)
        && let Some(shown) = ca_at(address, clock).await
        && shown != pinned
    {
        let why = CertificateError::ChangedCa { pinned, shown };
        return DialError::Certificate { address, why };
    }
    why
}

/// Returns the clocks of this machine and of the tracker at this address, if they disagree.
async fn clock_at(address: SocketAddr, ca: Option<CaKey>, clock: &Clock) -> Option<Apart> {
    let shown = shown_at(address, ca, clock).await?;
    let shown = shown.get_ref().1.peer_certificates()?.first()?;
    let there = certificate::begins(shown)? + BACKDATED.as_secs();
    Apart::of(clock.wall(), there)
}

/// Returns the CA of the tracker at this address, whatever its group.
async fn ca_at(address: SocketAddr, clock: &Clock) -> Option<CaKey> {
    let shown = shown_at(address, None, clock).await?;
    tls::ca_of(shown.get_ref().1)
}

/// Connects as a newcomer, to read the certificates that a tracker shows, whatever the time.
async fn shown_at(address: SocketAddr, ca: Option<CaKey>, clock: &Clock) -> Option<MemberStream> {
    let config = tls::clock_client(ca, clock).ok()?;
    let reached = reach(&[address], certificate::TRACKER_NAME, config, None).await;
    reached.ok().map(|(stream, _)| stream)
}

/// Connects to the machine that shows a certificate for `name`.
pub(crate) async fn reach(
    addresses: &[SocketAddr],
    name: &str,
    config: Arc<ClientConfig>,
    source: Option<IpAddr>,
) -> Result<(MemberStream, SocketAddr), DialError> {
    let deadline = Instant::now() + REACHED_WITHIN;
    let mut waiting = zoned(addresses).into_iter().take(MAX_ADDRESSES);
    let mut attempts = JoinSet::new();
    let mut failures = Failures::default();
    let mut next_at = Instant::now();
    let mut more = true;
    while more || !attempts.is_empty() {
        let event = tokio::select! {
            biased;
            Some(ended) = attempts.join_next() => Event::Ended(ended),
            () = sleep_until(next_at.min(deadline)), if more => Event::Next,
        };
        match event {
            Event::Ended(Ok(Ok(reached))) => return Ok(reached),
            Event::Ended(Ok(Err(failure))) => {
                failures.on_failure(failure);
                next_at = Instant::now();
            }
            // Attempts do not panic, and are not cancelled before this function returns.
            Event::Ended(Err(_)) => {}
            Event::Next if Instant::now() >= deadline => more = false,
            Event::Next => match waiting.next() {
                Some(address) => {
                    failures.tried.push(address);
                    let (config, name) = (config.clone(), name.to_owned());
                    attempts.spawn(async move {
                        let stream = in_time(deadline, open(address, source)).await?;
                        let deadline = Instant::now() + HANDSHAKE_WITHIN;
                        let stream = shake_hands(address, stream, name, config);
                        let stream = timeout_at(deadline, stream).await;
                        stream.unwrap_or(Err(Failure::Mute(address)))
                    });
                    next_at = Instant::now() + STAGGER;
                }
                None => more = false,
            },
        }
    }
    Err(failures.into_error())
}

enum Event<T> {
    Ended(T),
    Next,
}

/// Returns what comes of this, or that it took too long.
async fn in_time<T, E: Into<Failure>>(
    deadline: Instant,
    what: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    let came = timeout_at(deadline, what).await;
    let late = |_| Err(Failure::Os(io::ErrorKind::TimedOut.into()));
    came.map_or_else(late, |came| came.map_err(E::into))
}

async fn shake_hands(
    address: SocketAddr,
    stream: TcpStream,
    name: String,
    config: Arc<ClientConfig>,
) -> Result<(MemberStream, SocketAddr), Failure> {
    let name = ServerName::try_from(name)
        .map_err(|_| Failure::NotThorp(address, "no name to expect".into()))?;
    let wanted = config.alpn_protocols.first().cloned();
    let stream = TlsConnector::from(config)
        .connect(name, ReadAhead::new(stream))
        .await
        .map_err(|e| Failure::tls(address, e))?;
    if stream.get_ref().1.alpn_protocol() != wanted.as_deref() {
        return Err(Failure::NotThorp(
            address,
            "it speaks TLS, but not thorp's protocol".into(),
        ));
    }
    Ok((stream.into(), address))
}

async fn open(address: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    let source = source.filter(|source| source.is_ipv4() == address.is_ipv4());
    let bound = source.map_or(Ok(()), |source| socket.bind((source, 0).into()));
    let connected = match bound {
        Ok(()) => socket.connect(address).await,
        Err(error) => Err(error),
    };
    let stream = match connected {
        // There is no way from that address, or this machine has it no more.
        Err(error) if source.is_some() && has_no_way(&error) => TcpStream::connect(address).await?,
        connected => connected?,
    };
    // Where the system refuses that, it is only slower.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

fn has_no_way(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput
            | io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::NetworkUnreachable
    )
}

/// Why an attempt at one address failed, the most informative kind last.
#[derive(Debug)]
enum Failure {
    Os(io::Error),
    /// Its system has taken the connection, and nothing came over it.
    Mute(SocketAddr),
    HungUp(SocketAddr),
    NotThorp(SocketAddr, String),
    Certificate(SocketAddr, CertificateError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Os(error)
    }
}

impl Failure {
    fn tls(address: SocketAddr, error: io::Error) -> Self {
        if let Some(why) = CertificateError::from_io(&error) {
            return Self::Certificate(address, why);
        }
        let is_tls = error
            .get_ref()
            .is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>);
        match error.kind() {
            _ if is_tls => Self::NotThorp(address, error.to_string()),
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Self::HungUp(address),
            _ => Self::Os(error),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Os(..) => 0,
            Self::Mute(_) => 1,
            Self::HungUp(_) => 2,
            Self::NotThorp(..) => 3,
            Self::Certificate(..) => 4,
        }
    }
}

#[derive(Default)]
struct Failures {
    tried: Vec<SocketAddr>,
    /// The latest failure of the most informative kind so far.
    worst: Option<Failure>,
}

impl Failures {
    fn on_failure(&mut self, failure: Failure) {
        if self
            .worst
            .as_ref()
            .is_none_or(|worst| failure.rank() >= worst.rank())
        {
            self.worst = Some(failure);
        }
    }

    fn into_error(self) -> DialError {
        match self.worst {
            Some(Failure::Certificate(address, why)) => DialError::Certificate { address, why },
            Some(Failure::Mute(address)) => DialError::Mute { address },
            Some(Failure::HungUp(address)) => DialError::HungUp { address },
            Some(Failure::NotThorp(address, why)) => DialError::NotThorp { address, why },
            Some(Failure::Os(error)) if descriptors::are_used_up(&error) => {
                DialError::TooManyOpen { tried: self.tried }
            }
            Some(Failure::Os(error)) => DialError::Unreachable {
                tried: self.tried,
                error,
            },
            None if self.tried.is_empty() => DialError::NoAddress,
            None => DialError::Unreachable {
                tried: self.tried,
                error: io::ErrorKind::TimedOut.into(),
            },
        }
    }
}

/// Why a member was not reached; each variant says what the user can do.
#[derive(Debug, Error)]
pub enum DialError {
    /// There is no address to try.
    #[error("no address is known")]
    NoAddress,
    /// No address answers: try again later, or check the address and the firewall.
    #[error("nobody answers at {}: {error}", listed(tried))]
    Unreachable {
        /// All addresses that were tried.
        tried: Vec<SocketAddr>,
        /// The system's last error.
        error: io::Error,
    },
    /// No connection could be opened: close files of this process, or raise its limit.
    #[error(
        "too many files are open here to connect to {}: raise this machine's limit (ulimit -n) where \
         the peer is started",
        listed(tried)
    )]
    TooManyOpen {
        /// All addresses that were tried.
        tried: Vec<SocketAddr>,
    },
    /// The other end's system has taken the connection, and its program says nothing: a node that
    /// may open no more files cannot take any. See to the machine there.
    #[error(
        "{address} is there and says nothing: its node is suspended, has too much to do, or may \
         open no more files (ulimit -n on that machine)"
    )]
    Mute {
        /// The address.
        address: SocketAddr,
    },
    /// The other end closed the connection: check the address, or try again. A node does so if
    /// another member was dialled, or if too many dial it at once.
    #[error("{address} hung up: it is another machine than the one that was dialled, or too busy")]
    HungUp {
        /// The address.
        address: SocketAddr,
    },
    /// The other end does not speak thorp: check the address and the port.
    #[error(
        "what answers at {address} does not speak thorp ({why}); check the address and the port"
    )]
    NotThorp {
        /// The address.
        address: SocketAddr,
        /// What it did instead.
        why: String,
    },
    /// The two clocks disagree: set the one that is wrong.
    #[error("{0}")]
    Clock(Apart),
    /// The other end is not the expected member, or no longer a member.
    #[error("{address} is not trusted: {why}")]
    Certificate {
        /// The address.
        address: SocketAddr,
        /// What is wrong with its certificate.
        why: CertificateError,
    },
}

fn listed(addresses: &[SocketAddr]) -> String {
    let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests;

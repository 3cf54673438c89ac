//! Reaching a member at one of several addresses.
//!
//! The first address is tried at once, the next one 200 ms later or as soon as
//! one has failed; the first handshake that completes wins. An address where
//! another machine answers has failed, and the others go on.

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
use tokio_rustls::{TlsConnector, TlsStream};

use super::Purpose;
use super::addresses::zoned;

/// After how long the next address is tried too.
const STAGGER: Duration = Duration::from_millis(200);
/// How long all of it may take.
const TOTAL: Duration = Duration::from_secs(5);
/// The most addresses that are tried.
const MAX_ADDRESSES: usize = 32;

/// Who is expected to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The member with this key, whatever else it is.
    Peer(PeerId),
    /// The group's tracker, whatever its key.
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
    /// Ready for what it was dialled for.
    pub stream: TlsStream<TcpStream>,
    /// Who it is.
    pub member: Certified,
    /// Where it was reached.
    pub address: SocketAddr,
}

/// Connects to a member, for a link. With `source`, from that address of this machine.
pub async fn dial(
    addresses: &[SocketAddr],
    expected: Expected,
    tls: &MemberTls,
    source: Option<IpAddr>,
) -> Result<Connected, DialError> {
    connect(addresses, expected, tls, Purpose::Link, source).await
}

/// The same, for a session.
pub async fn dial_session(
    addresses: &[SocketAddr],
    expected: Expected,
    tls: &MemberTls,
    source: Option<IpAddr>,
) -> Result<Connected, DialError> {
    connect(addresses, expected, tls, Purpose::Session, source).await
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

/// Says more of why a tracker is not trusted, where this machine can find out.
///
/// Where a certificate has expired or not begun, it is open which of the two
/// clocks is wrong, and by how much; where another CA has signed it, which CA. So
/// the tracker is asked: what it shows to newcomers has its time and its CA (see
/// [`JoinService`](thorp_group::join::JoinService)).
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

/// How far the clock of the tracker at this address is off ours, if it is.
async fn clock_at(address: SocketAddr, ca: Option<CaKey>, clock: &Clock) -> Option<Apart> {
    let shown = shown_at(address, ca, clock).await?;
    let shown = shown.get_ref().1.peer_certificates()?.first()?;
    let there = certificate::begins(shown)? + BACKDATED.as_secs();
    Apart::of(clock.wall(), there)
}

/// The CA of the tracker at this address, of this group or another.
async fn ca_at(address: SocketAddr, clock: &Clock) -> Option<CaKey> {
    let shown = shown_at(address, None, clock).await?;
    tls::ca_of(shown.get_ref().1)
}

/// What a tracker shows to newcomers, whatever the time.
async fn shown_at(
    address: SocketAddr,
    ca: Option<CaKey>,
    clock: &Clock,
) -> Option<TlsStream<TcpStream>> {
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
) -> Result<(TlsStream<TcpStream>, SocketAddr), DialError> {
    let deadline = Instant::now() + TOTAL;
    let mut waiting = zoned(addresses).into_iter().take(MAX_ADDRESSES);
    let mut attempts = JoinSet::new();
    let mut failures = Failures::default();
    let mut next_at = Instant::now();
    let mut more = true;
    while more || !attempts.is_empty() {
        let event = tokio::select! {
            biased;
            Some(ended) = attempts.join_next() => Event::Ended(ended),
            () = sleep_until(next_at), if more => Event::Next,
            () = sleep_until(deadline) => break,
        };
        match event {
            Event::Ended(Ok(Ok(reached))) => return Ok(reached),
            Event::Ended(Ok(Err(failure))) => {
                failures.on_failure(failure);
                next_at = Instant::now();
            }
            // Attempts neither panic nor are they cancelled before we return.
            Event::Ended(Err(_)) => {}
            Event::Next => match waiting.next() {
                Some(address) => {
                    failures.tried.push(address);
                    let (config, name) = (config.clone(), name.to_owned());
                    attempts.spawn(async move {
                        let attempt = attempt(address, name, config, source);
                        timeout_at(deadline, attempt).await.unwrap_or_else(|_| {
                            let error = io::Error::from(io::ErrorKind::TimedOut);
                            Err(Failure::Os(error))
                        })
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

async fn attempt(
    address: SocketAddr,
    name: String,
    config: Arc<ClientConfig>,
    source: Option<IpAddr>,
) -> Result<(TlsStream<TcpStream>, SocketAddr), Failure> {
    let stream = open(address, source).await.map_err(Failure::Os)?;
    let name = ServerName::try_from(name)
        .map_err(|_| Failure::NotThorp(address, "no name to expect".into()))?;
    let wanted = config.alpn_protocols.first().cloned();
    let stream = TlsConnector::from(config)
        .connect(name, stream)
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
    if let Some(source) = source.filter(|source| source.is_ipv4() == address.is_ipv4()) {
        socket.bind((source, 0).into())?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Why one address was no good, the most telling last.
#[derive(Debug)]
enum Failure {
    Os(io::Error),
    HungUp(SocketAddr),
    NotThorp(SocketAddr, String),
    Certificate(SocketAddr, CertificateError),
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
            Self::HungUp(_) => 1,
            Self::NotThorp(..) => 2,
            Self::Certificate(..) => 3,
        }
    }
}

#[derive(Default)]
struct Failures {
    tried: Vec<SocketAddr>,
    /// The latest of the most telling ones.
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
            Some(Failure::HungUp(address)) => DialError::HungUp { address },
            Some(Failure::NotThorp(address, why)) => DialError::NotThorp { address, why },
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

/// Why a member was not reached, sorted by what to do next.
#[derive(Debug, Error)]
pub enum DialError {
    /// Nothing to try.
    #[error("no address is known")]
    NoAddress,
    /// Try again later, or check address and firewall.
    #[error("nobody answers at {}: {error}", list(tried))]
    Unreachable {
        /// Every address that was tried.
        tried: Vec<SocketAddr>,
        /// What the system said last.
        error: io::Error,
    },
    /// Check the address, or try again: a node hangs up when it is not the one
    /// that was dialled, and when too many dial it at once.
    #[error("{address} hung up: it is another machine than the one that was dialled, or too busy")]
    HungUp {
        /// Where.
        address: SocketAddr,
    },
    /// Check address and port.
    #[error(
        "what answers at {address} does not speak thorp ({why}); check the address and the port"
    )]
    NotThorp {
        /// Where.
        address: SocketAddr,
        /// What it did instead.
        why: String,
    },
    /// Set one of the two clocks.
    #[error("{0}")]
    Clock(Apart),
    /// It is not who it should be, or no longer.
    #[error("{address} is not trusted: {why}")]
    Certificate {
        /// Where.
        address: SocketAddr,
        /// What is wrong with its certificate.
        why: CertificateError,
    },
}

fn list(addresses: &[SocketAddr]) -> String {
    let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests;

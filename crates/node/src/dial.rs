//! Reaching somebody at one of several addresses.
//!
//! The first address is tried at once, the next one 200 ms later or as soon as
//! one has failed; whoever completes the handshake first is it. An address
//! where somebody else answers is a failed one, and the others go on.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use thiserror::Error;
use thorp_wire::PeerId;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_rustls::{TlsConnector, TlsStream};

use crate::tls::{self, CertificateError, Member, MemberTls};

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
            Self::Peer(id) => tls::id_name(id),
            Self::Tracker => tls::TRACKER_NAME.into(),
        }
    }
}

/// An authenticated connection to a member.
#[derive(Debug)]
pub struct Connected {
    /// Ready for a link.
    pub stream: TlsStream<TcpStream>,
    /// Who it is.
    pub member: Member,
    /// Where it was reached.
    pub address: SocketAddr,
}

/// Connects to a member. With `source`, from that address of this machine.
pub async fn dial(
    addresses: &[SocketAddr],
    expected: Expected,
    tls: &MemberTls,
    source: Option<IpAddr>,
) -> Result<Connected, DialError> {
    let (stream, address) = reach(addresses, &expected.name(), tls.client(), source).await?;
    let member =
        tls::peer_of(stream.get_ref().1).map_err(|why| DialError::Certificate { address, why })?;
    Ok(Connected {
        stream,
        member,
        address,
    })
}

/// Connects to whoever shows a certificate for `name`.
pub(crate) async fn reach(
    addresses: &[SocketAddr],
    name: &str,
    config: Arc<ClientConfig>,
    source: Option<IpAddr>,
) -> Result<(TlsStream<TcpStream>, SocketAddr), DialError> {
    let deadline = Instant::now() + TOTAL;
    let mut waiting = addresses.iter().copied().take(MAX_ADDRESSES);
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
                failures.note(failure);
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
    let stream = connect(address, source).await.map_err(Failure::Os)?;
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

async fn connect(address: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
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
    NotThorp(SocketAddr, String),
    Certificate(SocketAddr, CertificateError),
}

impl Failure {
    fn tls(address: SocketAddr, error: io::Error) -> Self {
        if let Some(why) = CertificateError::from_io(&error) {
            return Self::Certificate(address, why);
        }
        let is_tls = error.get_ref().is_some_and(|e| e.is::<rustls::Error>());
        match error.kind() {
            _ if is_tls => Self::NotThorp(address, error.to_string()),
            io::ErrorKind::UnexpectedEof => {
                Self::NotThorp(address, "it hung up during the handshake".into())
            }
            _ => Self::Os(error),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Os(..) => 0,
            Self::NotThorp(..) => 1,
            Self::Certificate(..) => 2,
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
    fn note(&mut self, failure: Failure) {
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

/// Why somebody was not reached, sorted by what to do next.
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
    /// Check address and port.
    #[error(
        "whoever answers at {address} does not speak thorp ({why}); check the address and the port"
    )]
    NotThorp {
        /// Where.
        address: SocketAddr,
        /// What it did instead.
        why: String,
    },
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

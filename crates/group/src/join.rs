//! How a machine becomes a member: both ends of the conversation of ALPN `thorp-join/1`.
//!
//! The conversation is one question and one answer, over a stream that the caller provides. It is
//! limited to 16 KiB and ten seconds, since the newcomer is not yet a member.
//! [`authority`](crate::authority) decides whether the newcomer becomes one.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use thorp_wire::frame::{
    Join, Joined, MAX_FRAME, MAX_JOIN_FRAME, PREFIX, Reason, Refused, SignedRecord, Token,
    announced_length,
};
use thorp_wire::{Body, Frame, FrameError, MemberName, PeerId, Remark, RequestId};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::address::NetAddress;
use crate::authority::{Authority, NewMember};
use crate::certificate::{self, CaKey, CertificateError};
use crate::clock::{Apart, Clock, unix_seconds};
use crate::identity::{Identity, IdentityError, Membership};
use crate::invite::Invite;
use crate::newcomers::Newcomers;
use crate::record::{RecordError, Records};
use crate::tls::{self, TlsError};

/// How long the conversation may take once the connection is established.
const LIMIT: Duration = Duration::from_secs(10);

/// What a machine needs to join.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// The tracker's addresses.
    pub trackers: Vec<NetAddress>,
    /// The group's CA if it is known, from an invite or an earlier membership.
    pub ca: Option<CaKey>,
    /// The token of an invite.
    pub token: Option<Token>,
}

impl Ticket {
    /// Makes a ticket for an open group, which needs only the tracker's addresses.
    pub fn open(trackers: Vec<NetAddress>) -> Self {
        Self {
            trackers,
            ca: None,
            token: None,
        }
    }
}

impl From<Invite> for Ticket {
    fn from(invite: Invite) -> Self {
        Self {
            trackers: invite.trackers,
            ca: Some(invite.ca),
            token: Some(invite.token),
        }
    }
}

/// For renewal: the tracker knows a member by its key.
impl From<&Membership> for Ticket {
    fn from(membership: &Membership) -> Self {
        Self {
            trackers: membership.trackers.clone(),
            ca: Some(membership.ca),
            token: None,
        }
    }
}

/// What a tracker gives to a new member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The new membership.
    pub membership: Membership,
    /// The group's record, verified.
    pub record: Option<SignedRecord>,
}

/// A machine that wants to join.
#[derive(Clone, Debug)]
pub struct Newcomer<'a> {
    /// What it joins with.
    pub ticket: &'a Ticket,
    /// Its key and id.
    pub identity: &'a Identity,
    /// The human name that it asks for.
    pub wanted: Option<MemberName>,
    /// The clock by which the tracker's certificate is checked.
    pub clock: &'a Clock,
}

impl Newcomer<'_> {
    /// Asks the tracker at the other end of `stream` to make this machine a member. `ca` is the
    /// CA of the certificate that the tracker has shown. The caller has to save the result.
    pub async fn ask<S>(
        self,
        mut stream: S,
        tracker: SocketAddr,
        ca: CaKey,
    ) -> Result<Admitted, JoinError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let question = Join {
            token: self.ticket.token.clone(),
            request: self.identity.certificate_request()?,
            name: self.wanted,
        };
        let id = RequestId(1);
        let talk = async {
            write(&mut stream, &Frame::with_request(id, question)).await?;
            // The tracker's answer may be longer than a newcomer's question, since it carries the
            // group record.
            read(&mut stream, MAX_FRAME).await
        };
        let answer = timeout(LIMIT, talk)
            .await
            .map_err(|_| JoinError::Broken(tracker, io::ErrorKind::TimedOut.into()))?
            .map_err(|e| JoinError::broken(tracker, e))?;
        match answer.body {
            Body::Joined(joined) => {
                let trackers = self.ticket.trackers.clone();
                accept(self.identity, ca, trackers, &joined, self.clock)
            }
            Body::Refused(Refused { reason, text }) => Err(JoinError::Refused { reason, text }),
            _ => Err(JoinError::Odd(
                tracker,
                "another answer than expected".into(),
            )),
        }
    }
}

/// Checks that the tracker's answer makes this machine a member.
pub(crate) fn accept(
    identity: &Identity,
    ca: CaKey,
    trackers: Vec<NetAddress>,
    joined: &Joined,
    clock: &Clock,
) -> Result<Admitted, JoinError> {
    let here = clock.wall();
    let member = tls::verify_member(&joined.certificate, ca, here).map_err(|why| {
        let there = u64::try_from(joined.time).unwrap_or(0);
        Apart::of(here, there).map_or(JoinError::Certificate(why), JoinError::Clock)
    })?;
    if member.id != identity.id() {
        return Err(JoinError::Certificate(CertificateError::WrongPeer {
            expected: certificate::id_name(identity.id()),
            found: vec![certificate::id_name(member.id)],
        }));
    }
    if let Some(record) = &joined.record {
        Records::new(ca).verify(record)?;
    }
    Ok(Admitted {
        membership: Membership {
            certificate: joined.certificate.clone(),
            ca,
            trackers,
        },
        record: joined.record.clone(),
    })
}

/// A tracker's service for newcomers. Clones share its certificate.
///
/// The certificate is at most a minute old: a newcomer reads the tracker's time from it, and so
/// learns that a clock is wrong, before it trusts the certificate.
#[derive(Clone, Debug)]
pub struct JoinService {
    authority: Arc<Authority>,
    clock: Clock,
    tracker: PeerId,
    key: Arc<PrivateKeyDer<'static>>,
    shown: Arc<RwLock<Shown>>,
    newcomers: Arc<Mutex<Newcomers>>,
}

/// A certificate in use, and when it was made, in seconds since 1970.
#[derive(Debug)]
struct Shown {
    config: Arc<ServerConfig>,
    made: u64,
}

/// The age, in seconds, at which the certificate is replaced.
const STALE: u64 = 60;

impl JoinService {
    /// Makes the service for the group of `authority`. `identity` is the tracker's own.
    pub fn new(
        identity: &Identity,
        membership: &Membership,
        authority: Arc<Authority>,
        clock: Clock,
    ) -> Result<Self, TlsError> {
        let key = identity.private_key();
        let certificate = membership.certificate.clone();
        let ca = authority.ca_certificate();
        let shown = Shown {
            config: tls::join_server(key.clone_key(), certificate, ca, &clock)?,
            made: 0,
        };
        Ok(Self {
            authority,
            clock,
            tracker: identity.id(),
            key: Arc::new(key),
            shown: Arc::new(RwLock::new(shown)),
            newcomers: Arc::default(),
        })
    }

    /// Returns the configuration with the certificate that newcomers are shown now.
    pub fn config(&self) -> Arc<ServerConfig> {
        let now = self.clock.wall();
        let seconds = unix_seconds(now);
        let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner);
        let (config, made) = (shown.config.clone(), shown.made);
        drop(shown);
        if seconds.abs_diff(made) < STALE {
            return config;
        }
        let fresh = self.authority.tracker_certificate_again(self.tracker, now);
        let fresh = fresh.map_err(|error| error.to_string()).and_then(|der| {
            let (key, ca) = (self.key.clone_key(), self.authority.ca_certificate());
            tls::join_server(key, der, ca, &self.clock).map_err(|error| error.to_string())
        });
        match fresh {
            Ok(config) => {
                *self.shown.write().unwrap_or_else(PoisonError::into_inner) = Shown {
                    config: config.clone(),
                    made: seconds,
                };
                config
            }
            Err(error) => {
                tracing::error!(%error, "newcomers are shown an old certificate");
                config
            }
        }
    }

    /// Answers one question on an established connection, then closes the connection.
    pub async fn serve<S>(&self, mut stream: S, from: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let talk = async {
            let question = read(&mut stream, MAX_JOIN_FRAME).await?;
            let body = match question.body {
                Body::Join(join) => self.answer(join, from).await,
                _ => Body::Refused(Refused {
                    reason: Reason::NotServed,
                    text: "only Join is answered here".into(),
                }),
            };
            let answer = Frame {
                request: question.request,
                body,
            };
            write(&mut stream, &answer).await?;
            stream.shutdown().await.map_err(Broken::Io)
        };
        match timeout(LIMIT, talk).await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => tracing::debug!(%from, %why, "joining broke off"),
            Err(_) => tracing::debug!(%from, "joining took too long"),
        }
    }

    /// For tests: counts this many newcomers from this machine as just admitted.
    #[doc(hidden)]
    pub fn crowd(&self, newcomers: u32) {
        let here = std::net::Ipv4Addr::LOCALHOST.into();
        let mut before = self
            .newcomers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for _ in 0..newcomers {
            let _ = before.admit(self.clock.elapsed(), here);
        }
    }

    async fn answer(&self, join: Join, from: SocketAddr) -> Body {
        if let Err(refused) = self.pace(&join, from) {
            return refused.into();
        }
        let now: SystemTime = self.clock.wall();
        let is_new = self.authority.is_newcomer(&join);
        let authority = self.authority.clone();
        let admitted = thorp_disk::spawn(move |disk| authority.admit(disk, &join, now)).await;
        match admitted {
            Ok(Ok(certificate)) => {
                if let Ok(member) = certificate::member_of(&CertificateDer::from(&certificate[..]))
                    && is_new
                {
                    self.authority.on_joined(NewMember {
                        id: member.id,
                        name: member.name,
                        from: from.ip().to_canonical(),
                    });
                }
                Body::Joined(self.authority.joined(certificate, now))
            }
            Ok(Err(why)) => {
                tracing::info!(%from, %why, "not admitted");
                Body::Refused(why.refusal())
            }
            Err(why) => {
                tracing::error!(%from, %why, "not admitted");
                Body::Refused(Refused {
                    reason: Reason::Busy,
                    text: "the tracker is shutting down".into(),
                })
            }
        }
    }

    /// Refuses a newcomer without an invite if too many have joined recently.
    fn pace(&self, join: &Join, from: SocketAddr) -> Result<(), Refused> {
        if !self.authority.is_open() || !self.authority.is_newcomer(join) {
            return Ok(());
        }
        let mut newcomers = self
            .newcomers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let admitted = newcomers.admit(self.clock.elapsed(), from.ip());
        admitted.map_err(|wait| Refused {
            reason: Reason::Busy,
            text: format!(
                "too many new machines at once; try again in {} s",
                wait.as_secs() + 1
            )
            .into(),
        })
    }
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, frame: &Frame) -> Result<(), Broken> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes)?;
    stream.write_all(&bytes).await?;
    stream.flush().await?;
    Ok(())
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S, limit: usize) -> Result<Frame, Broken> {
    let mut prefix = [0; PREFIX];
    stream.read_exact(&mut prefix).await?;
    let mut bytes = vec![0; announced_length(prefix, limit)?];
    stream.read_exact(&mut bytes).await?;
    Ok(Frame::decode(&bytes)?)
}

#[derive(Debug, Error)]
enum Broken {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Why this machine did not become a member; each variant says what the user can do.
#[derive(Debug, Error)]
pub enum JoinError {
    /// The tracker refused and says why.
    #[error("the tracker refused: {text}")]
    Refused {
        /// The reason, as a code.
        reason: Reason,
        /// The reason, as the tracker worded it.
        text: Remark,
    },
    /// One of the two clocks is wrong: set it.
    #[error("{0}")]
    Clock(Apart),
    /// The tracker's answer does not make this machine a member.
    #[error("the tracker is not trusted: {0}")]
    Certificate(CertificateError),
    /// The tracker closed the connection early: ask again; a token is not used up.
    #[error("the tracker at {0} broke off: {1}; try again, with the same invite")]
    Broken(SocketAddr, io::Error),
    /// The tracker does not follow the protocol.
    #[error(
        "the tracker at {0} does not speak thorp as this program does: {1}; upgrade the older one"
    )]
    Odd(SocketAddr, String),
    /// The tracker's group record is forged.
    #[error("the tracker is not trusted: {0}")]
    Record(#[from] RecordError),
    /// This machine's files cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// This machine's TLS configuration cannot be made.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl JoinError {
    /// Whether the tracker will admit this machine later, since too many others came first.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Refused { reason, .. } if *reason == Reason::Busy)
    }

    fn broken(address: SocketAddr, why: Broken) -> Self {
        match why {
            Broken::Io(error) => Self::Broken(address, error),
            Broken::Frame(error) => Self::Odd(address, error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;

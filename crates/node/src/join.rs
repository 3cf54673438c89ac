//! How a key becomes a member: both ends of ALPN `thorp-join/1`.
//!
//! One question, one answer, 16 KiB and ten seconds: whoever asks is nobody
//! yet. Whether it becomes somebody is decided in
//! [`authority`](crate::authority).

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use thiserror::Error;
use thorp_wire::frame::{
    Join, Joined, MAX_FRAME, MAX_JOIN_FRAME, PREFIX, Reason, Refused, SignedRecord, Token,
    announced_length,
};
use thorp_wire::{Body, Frame, FrameError, MemberName, PeerId, RequestId};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::addresses::NetAddress;
use crate::authority::Authority;
use crate::certificate::{self, CaKey, CertificateError, TRACKER_NAME};
use crate::clock::{Apart, Clock, unix_seconds};
use crate::dial::{self, DialError};
use crate::identity::{Identity, IdentityError, Membership};
use crate::invite::Invite;
use crate::newcomers::Newcomers;
use crate::record::{RecordError, Records};
use crate::tls::{self, TlsError};

/// How long joining may take once the connection is there.
const LIMIT: Duration = Duration::from_secs(10);

/// What somebody has who wants to join.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Where the tracker is.
    pub trackers: Vec<NetAddress>,
    /// The group's CA, where it is known: from an invite, or from an earlier time.
    pub ca: Option<CaKey>,
    /// The secret of an invite.
    pub token: Option<Token>,
}

impl Ticket {
    /// For an open group: its tracker's addresses are enough.
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

/// To renew: a member's key is enough.
impl From<&Membership> for Ticket {
    fn from(membership: &Membership) -> Self {
        Self {
            trackers: membership.trackers.clone(),
            ca: Some(membership.ca),
            token: None,
        }
    }
}

/// What a tracker gives to whoever joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// What makes this machine a member.
    pub membership: Membership,
    /// What the group has decided, verified.
    pub record: Option<SignedRecord>,
}

/// Asks a tracker to make this machine's key a member. Nothing is kept yet:
/// that is the caller's.
pub async fn join(
    ticket: &Ticket,
    identity: &Identity,
    wanted: Option<MemberName>,
    clock: &Clock,
) -> Result<Admitted, JoinError> {
    let addresses = NetAddress::resolve(&ticket.trackers)
        .await
        .map_err(|e| JoinError::Address(e.to_string()))?;
    let config = tls::join_client(ticket.ca, clock)?;
    let reached = dial::reach(&addresses, TRACKER_NAME, config, None).await;
    let (mut stream, address) = match reached {
        Ok(reached) => reached,
        Err(why) => return Err(dial::explain(why, ticket.ca, clock).await.into()),
    };
    let ca = match ticket.ca {
        Some(ca) => ca,
        None => tls::ca_of(stream.get_ref().1).ok_or_else(|| {
            JoinError::Certificate(CertificateError::NotThorp("it shows no CA".into()))
        })?,
    };
    let question = Join {
        token: ticket.token.clone(),
        request: identity.certificate_request()?,
        name: wanted,
    };
    let id = RequestId(1);
    let talk = async {
        write(&mut stream, &Frame::with_request(id, question)).await?;
        // A tracker may say more than a newcomer: it has a record to tell.
        read(&mut stream, MAX_FRAME).await
    };
    let answer = timeout(LIMIT, talk)
        .await
        .map_err(|_| JoinError::Broken(address, io::ErrorKind::TimedOut.into()))?
        .map_err(|e| JoinError::broken(address, e))?;
    match answer.body {
        Body::Joined(joined) => {
            let trackers = ticket.trackers.clone();
            accept(identity, ca, trackers, &joined, clock)
        }
        Body::Refused(Refused { reason, text }) => Err(JoinError::Refused { reason, text }),
        _ => Err(JoinError::Odd(
            address,
            "another answer than expected".into(),
        )),
    }
}

/// Checks that what the tracker gave makes us a member.
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

/// A tracker's joining service. Clones share its certificate.
///
/// The certificate is never older than a minute, so that everybody can read the
/// tracker's time from it, and be told which clock is wrong, before any is trusted.
#[derive(Clone, Debug)]
pub struct JoinService {
    authority: Arc<Authority>,
    clock: Clock,
    tracker: PeerId,
    key: Arc<PrivateKeyDer<'static>>,
    shown: Arc<RwLock<Shown>>,
    newcomers: Arc<Mutex<Newcomers>>,
}

/// A certificate in use, and when it was made.
#[derive(Debug)]
struct Shown {
    config: Arc<ServerConfig>,
    made: u64,
}

/// A certificate of this age is replaced, in seconds.
const STALE: u64 = 60;

impl JoinService {
    /// Lets this CA's group be joined. `identity` is the tracker's own.
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

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
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

    /// Answers one question on an established connection, and hangs up.
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

    async fn answer(&self, join: Join, from: SocketAddr) -> Body {
        if let Err(refused) = self.pace(&join, from) {
            return refused.into();
        }
        let now: SystemTime = self.clock.wall();
        let authority = self.authority.clone();
        let admitted = tokio::task::spawn_blocking(move || authority.admit(&join, now)).await;
        match admitted {
            Ok(Ok(certificate)) => Body::Joined(self.authority.joined(certificate, now)),
            Ok(Err(why)) => {
                tracing::info!(%from, %why, "not admitted");
                Body::Refused(why.refusal())
            }
            Err(why) => {
                tracing::error!(%from, %why, "not admitted");
                Body::Refused(Refused {
                    reason: Reason::NotServed,
                    text: "the tracker is shutting down".into(),
                })
            }
        }
    }
}

impl JoinService {
    /// Without an invite, newcomers have to queue.
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
            ),
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

/// Why this machine did not become a member, sorted by what to do next.
#[derive(Debug, Error)]
pub enum JoinError {
    /// The tracker has said no; it says why.
    #[error("the tracker refused: {text}")]
    Refused {
        /// For the program.
        reason: Reason,
        /// For a person, as the tracker sent it: escape it.
        text: String,
    },
    /// Check address and port, or try again.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// Set the clock.
    #[error("{0}")]
    Clock(Apart),
    /// The tracker's host name leads nowhere.
    #[error("{0}")]
    Address(String),
    /// What came back does not make us a member.
    #[error("the tracker is not trusted: {0}")]
    Certificate(CertificateError),
    /// The tracker went away in the middle: ask again, a token is not lost.
    #[error("the tracker at {0} broke off: {1}; try again, with the same invite")]
    Broken(SocketAddr, io::Error),
    /// The tracker does not speak as it should.
    #[error(
        "the tracker at {0} does not speak thorp as this program does: {1}; upgrade the older one"
    )]
    Odd(SocketAddr, String),
    /// What the tracker says of the group is made up.
    #[error("the tracker is not trusted: {0}")]
    Record(#[from] RecordError),
    /// This machine's own files.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// This machine's own configuration.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl JoinError {
    fn broken(address: SocketAddr, why: Broken) -> Self {
        match why {
            Broken::Io(error) => Self::Broken(address, error),
            Broken::Frame(error) => Self::Odd(address, error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose, PKCS_ED25519,
    };

    use super::*;
    use crate::authority::INVITE_VALIDITY;
    use crate::dial::{Expected, dial};
    use crate::tls::MemberTls;
    use crate::village::{Group, Node};

    fn invite(group: &Group, node: &Node) -> Ticket {
        let now = SystemTime::now();
        let token = group
            .authority
            .invite(1, INVITE_VALIDITY, now)
            .expect("a token");
        let line = Invite {
            trackers: node.at(),
            ca: group.authority.ca(),
            token,
        }
        .to_string();
        line.parse::<Invite>().expect("reads back").into()
    }

    fn key() -> Identity {
        Identity::generate().expect("a key")
    }

    #[tokio::test]
    async fn an_invite_makes_a_key_a_member_that_can_link_up() {
        let group = Group::new();
        let mut hall = group.tracker(Clock::system()).await;
        let (clock, elm) = (Clock::system(), key());
        let ticket = invite(&group, &hall);
        let name: MemberName = "elm".parse().expect("a name");
        let membership = join(&ticket, &elm, Some(name.clone()), &clock)
            .await
            .expect("joins")
            .membership;
        assert_eq!(membership.ca, group.authority.ca());
        let member = membership.member().expect("is one");
        assert_eq!((member.id, member.name), (elm.id(), Some(name)));
        let tls = MemberTls::new(&elm, &membership, clock.clone()).expect("fits");
        dial(&[hall.address], Expected::Tracker, &tls, None)
            .await
            .expect("links up");
        assert_eq!(
            hall.incoming.recv().await.expect("arrives").member.id,
            elm.id()
        );

        // A lost answer: the same key asks again with the same invite.
        join(&ticket, &elm, None, &clock)
            .await
            .expect("joins again");
        // To renew, being a member is enough.
        let renewed = join(&(&membership).into(), &elm, None, &clock)
            .await
            .expect("renews")
            .membership;
        assert_eq!(
            renewed.member().expect("is one").name,
            membership.member().expect("is one").name
        );
        // Another key comes too late, and is told so.
        let error = join(&ticket, &key(), None, &clock)
            .await
            .expect_err("is used up");
        assert!(matches!(
            error,
            JoinError::Refused {
                reason: Reason::NotInvited,
                ..
            }
        ));
        assert!(error.to_string().contains("used already"), "{error}");
    }

    #[tokio::test]
    async fn an_open_group_shows_its_ca_and_a_changed_one_is_noticed() {
        let group = Group::new();
        let hall = group.tracker(Clock::system()).await;
        let (clock, elm) = (Clock::system(), key());
        let ticket = Ticket::open(hall.at());
        let error = join(&ticket, &elm, None, &clock)
            .await
            .expect_err("is not open");
        assert!(error.to_string().contains("by invitation"), "{error}");
        group.authority.set_open(true).expect("opens");
        let admitted = join(&ticket, &elm, None, &clock).await.expect("joins");
        let record = admitted.record.expect("the group has one");
        assert!(record.record().open);
        let membership = admitted.membership;
        assert_eq!(membership.ca, group.authority.ca());

        let usurper = Group::new();
        usurper.authority.set_open(true).expect("opens");
        let castle = usurper.tracker(Clock::system()).await;
        let ticket = Ticket {
            trackers: castle.at(),
            ..Ticket::from(&membership)
        };
        let error = join(&ticket, &elm, None, &clock)
            .await
            .expect_err("is another CA");
        let JoinError::Dial(DialError::Certificate { why, .. }) = error else {
            panic!("{error}");
        };
        let (pinned, shown) = (group.authority.ca(), usurper.authority.ca());
        assert_eq!(why, CertificateError::ChangedCa { pinned, shown });
        let text = why.to_string();
        assert!(text.contains(&pinned.to_string()) && text.contains(&shown.to_string()));
    }

    #[tokio::test]
    async fn a_member_cannot_pose_as_the_tracker_to_a_newcomer() {
        let group = Group::new();
        group.authority.set_open(true).expect("opens");
        let mallory = key();
        let membership = group.admit(&mallory, "mallory");
        let clock = Clock::system();
        let ca = group.authority.ca_certificate();
        let config = tls::join_server(mallory.private_key(), membership.certificate, ca, &clock)
            .expect("fits");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("binds");
        let address = listener.local_addr().expect("has one");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = tokio_rustls::TlsAcceptor::from(config.clone());
                let _ = acceptor.accept(stream).await;
            }
        });
        for ca in [None, Some(group.authority.ca())] {
            let ticket = Ticket {
                ca,
                ..Ticket::open(vec![address.into()])
            };
            let error = join(&ticket, &key(), None, &clock)
                .await
                .expect_err("is no tracker");
            assert!(error.to_string().contains("somebody else"), "{error}");
        }
    }

    /// Clocks that are so many days off, and what the newcomer is told.
    async fn told_with_clocks(here: i64, there: i64) -> String {
        const DAY: i64 = 24 * 3600;
        let group = Group::new();
        let (clock, tracker) = (Clock::system(), Clock::system());
        let hall = group.tracker(tracker.clone()).await;
        let ticket = invite(&group, &hall);
        clock.turn(here * DAY);
        tracker.turn(there * DAY);
        let error = join(&ticket, &key(), None, &clock).await;
        error.expect_err("the clocks are apart").to_string()
    }

    #[tokio::test]
    async fn clocks_far_apart_are_named_with_how_far_and_whose() {
        for (here, there, says) in [
            (
                40,
                0,
                "this machine's clock is 40 days ahead of the tracker's",
            ),
            (
                -40,
                0,
                "this machine's clock is 40 days behind the tracker's",
            ),
            (
                0,
                40,
                "this machine's clock is 40 days behind the tracker's",
            ),
            (
                0,
                -40,
                "this machine's clock is 40 days ahead of the tracker's",
            ),
        ] {
            let text = told_with_clocks(here, there).await;
            assert!(text.starts_with(says), "{here} {there}: {text}");
        }
    }

    #[tokio::test]
    async fn a_clock_that_is_only_a_few_days_off_does_not_matter() {
        let group = Group::new();
        let hall = group.tracker(Clock::system()).await;
        let clock = Clock::system();
        clock.turn(3 * 24 * 3600);
        let ticket = invite(&group, &hall);
        join(&ticket, &key(), None, &clock).await.expect("joins");
    }

    #[tokio::test]
    async fn nobody_but_the_tracker_is_asked_for_the_time() {
        // Another group's tracker, with another time, in the place of ours.
        let (group, other) = (Group::new(), Group::new());
        let tracker = Clock::system();
        let castle = other.tracker(tracker.clone()).await;
        tracker.turn(40 * 24 * 3600);
        let ticket = Ticket {
            ca: Some(group.authority.ca()),
            ..Ticket::open(castle.at())
        };
        let error = join(&ticket, &key(), None, &Clock::system()).await;
        let text = error.expect_err("is another group").to_string();
        assert!(!text.contains("this machine's clock"), "{text}");
    }

    #[tokio::test]
    async fn every_bad_token_is_refused_with_its_reason() {
        let group = Group::new();
        let tracker = Clock::system();
        let hall = group.tracker(tracker.clone()).await;
        let clock = Clock::system();
        let why = async |ticket: &Ticket| {
            let error = join(ticket, &key(), None, &clock).await;
            error.expect_err("is refused").to_string()
        };
        let mut ticket = invite(&group, &hall);
        // Two days later, by both clocks.
        tracker.turn(2 * 24 * 3600);
        clock.turn(2 * 24 * 3600);
        let text = why(&ticket).await;
        assert!(
            text.contains("has expired") && text.contains("thorp invite"),
            "{text}"
        );
        tracker.turn(0);
        clock.turn(0);
        join(&ticket, &key(), None, &clock).await.expect("joins");
        let text = why(&ticket).await;
        assert!(
            text.contains("used already") && text.contains("thorp invite"),
            "{text}"
        );
        ticket.token = Some(Token([7; 16]));
        let text = why(&ticket).await;
        assert!(
            text.contains("not known") && text.contains("thorp invite"),
            "{text}"
        );
        ticket.token = None;
        let text = why(&ticket).await;
        assert!(text.contains("by invitation"), "{text}");
    }

    #[tokio::test]
    async fn a_request_for_more_than_a_membership_gets_a_membership() {
        let group = Group::new();
        let hall = group.tracker(Clock::system()).await;
        group.authority.set_open(true).expect("opens");
        let clock = Clock::system();
        let greedy = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
        let names = [TRACKER_NAME, "oak.name.thorp", "*.thorp"].map(String::from);
        let mut params = CertificateParams::new(names).expect("are names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let request = params.serialize_request(&greedy).expect("a request");
        let config = tls::join_client(Some(group.authority.ca()), &clock).expect("fits");
        let reached = dial::reach(&[hall.address], TRACKER_NAME, config, None).await;
        let (mut stream, _) = reached.expect("reaches it");
        let question = Join {
            token: None,
            request: request.der().to_vec(),
            name: None,
        };
        write(&mut stream, &Frame::with_request(RequestId(1), question))
            .await
            .expect("writes");
        let Body::Joined(joined) = read(&mut stream, MAX_FRAME).await.expect("reads").body else {
            panic!("the group is open");
        };
        let member = tls::verify_member(&joined.certificate, group.authority.ca(), clock.wall());
        let member = member.expect("is a member");
        assert!(!member.tracker && member.name != "oak".parse().ok());
        let (_, parsed) = x509_parser::parse_x509_certificate(&joined.certificate).expect("parses");
        assert!(!parsed.is_ca());

        // What it signs with that is nobody's.
        let issuer = rcgen::Issuer::new(CertificateParams::default(), &greedy);
        let child = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
        let id = PeerId::new(child.public_key_raw().try_into().expect("32 bytes"));
        let names = vec![certificate::id_name(id), TRACKER_NAME.into()];
        let params = CertificateParams::new(names).expect("are names");
        let forged = params.signed_by(&child, &issuer).expect("is signed");
        let verified = tls::verify_member(forged.der(), group.authority.ca(), clock.wall());
        verified.expect_err("is signed by no CA");
    }

    #[tokio::test]
    async fn a_crowd_of_newcomers_is_told_to_wait_and_members_are_not() {
        let group = Group::new();
        group.authority.set_open(true).expect("opens");
        let clock = Clock::system();
        let hall = group.tracker(clock.clone()).await;
        let ticket = Ticket::open(hall.at());
        let (elm, member) = (key(), key());
        join(&ticket, &member, None, &clock).await.expect("joins");
        let identity = key();
        let membership = group.admit(&identity, "hall");
        let authority = group.authority.clone();
        let service = JoinService::new(&identity, &membership, authority, clock.clone());
        let service = service.expect("fits");
        let from: SocketAddr = "192.0.2.1:5".parse().expect("an address");
        let ask = |identity: &Identity| Join {
            token: None,
            request: identity.certificate_request().expect("a request"),
            name: None,
        };
        while service.pace(&ask(&elm), from).is_ok() {}
        let Body::Refused(refused) = service.answer(ask(&elm), from).await else {
            panic!("too many have come");
        };
        assert_eq!(refused.reason, Reason::Busy);
        assert!(refused.text.contains("try again in"), "{}", refused.text);
        assert!(group.authority.is_newcomer(&ask(&elm)), "nothing was kept");
        let answer = service.answer(ask(&member), from).await;
        assert!(matches!(answer, Body::Joined(_)), "{answer:?}");
        // An invite is somebody's word for it.
        group.authority.set_open(false).expect("closes");
        let token = group
            .authority
            .invite(1, INVITE_VALIDITY, SystemTime::now())
            .expect("a token");
        let invited = Join {
            token: Some(token),
            ..ask(&elm)
        };
        let answer = service.answer(invited, from).await;
        assert!(matches!(answer, Body::Joined(_)), "{answer:?}");
    }

    #[tokio::test]
    async fn a_newcomer_may_not_send_much_or_nonsense() {
        let group = Group::new();
        let hall = group.tracker(Clock::system()).await;
        let clock = Clock::system();
        for bytes in [&[0, 0, 0x40, 1][..], &[0, 0, 0, 1, 0xff]] {
            let config = tls::join_client(Some(group.authority.ca()), &clock).expect("fits");
            let reached = dial::reach(&[hall.address], TRACKER_NAME, config, None).await;
            let (mut stream, _) = reached.expect("reaches it");
            stream.write_all(bytes).await.expect("writes");
            stream.flush().await.expect("flushes");
            // At once, and not because time is up.
            let answer = timeout(LIMIT / 5, stream.read(&mut [0])).await;
            let answer = answer.expect("is hung up on");
            assert!(!matches!(answer, Ok(1..)), "{answer:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_newcomer_is_hung_up_on() {
        let group = Group::new();
        let identity = key();
        let clock = Clock::system();
        let membership = group.admit(&identity, "hall");
        let authority = group.authority.clone();
        let service = JoinService::new(&identity, &membership, authority, clock).expect("fits");
        let (_silent, stream) = tokio::io::duplex(64);
        let before = tokio::time::Instant::now();
        service
            .serve(stream, "127.0.0.1:1".parse().expect("an address"))
            .await;
        assert_eq!(before.elapsed().as_secs(), LIMIT.as_secs());
    }
}

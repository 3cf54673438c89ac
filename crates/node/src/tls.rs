//! Certificates into rustls configurations, and verified ones back into members.
//!
//! Who somebody is comes from here and from nowhere else: a [`Member`] is made
//! of a certificate that rustls has verified against the group's CA. TLS 1.3
//! only, and no resumption: a resumed connection would outlive its certificate.
//!
//! This module opens no connection; [`dial`](crate::dial) and
//! [`listener`](crate::listener) do.

use std::fmt;
use std::io;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, Der, ServerName, TrustAnchor, UnixTime};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    AlertDescription, CertificateError as Cause, ClientConfig, CommonState, DigitallySignedStruct,
    OtherError, RootCertStore, ServerConfig, SignatureScheme,
};
use thiserror::Error;
use thorp_wire::{MemberName, PeerId};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

use crate::clock::{Clock, unix_seconds};
use crate::identity::{CaKey, Identity, Membership};

/// The ALPN of a link.
pub const ALPN_LINK: &[u8] = b"thorp/1";
/// The ALPN of a session.
pub const ALPN_SESSION: &[u8] = b"bittorrent";
/// The ALPN of joining.
pub const ALPN_JOIN: &[u8] = b"thorp-join/1";
/// The name that only a tracker's certificate has.
pub const TRACKER_NAME: &str = "tracker.thorp";

/// `CN=thorp`: the subject of every group's CA, DER, without its outer tag.
const CA_SUBJECT: &[u8] = b"\x31\x0e\x30\x0c\x06\x03\x55\x04\x03\x0c\x05thorp";
/// What stands in front of the 32 bytes of an Ed25519 key in a public key
/// info, without its outer tag (RFC 8410).
const ED25519_INFO: &[u8] = b"\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
/// The object identifier 1.3.101.112, Ed25519.
const ED25519: &[u8] = b"\x2b\x65\x70";

/// aws-lc with the ciphers in the order of their speed on today's processors.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    use aws_lc_rs::cipher_suite as suite;
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            suite::TLS13_AES_128_GCM_SHA256,
            suite::TLS13_AES_256_GCM_SHA384,
            suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        ..aws_lc_rs::default_provider()
    })
});

/// Somebody whose certificate the group's CA has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its key.
    pub id: PeerId,
    /// Its human name.
    pub name: Option<MemberName>,
    /// Whether it is the group's tracker.
    pub tracker: bool,
    /// When its certificate ends, and a connection with it.
    pub ends: SystemTime,
}

/// What a certificate says. It must have been verified, or be our own.
pub fn member_of(certificate: &CertificateDer<'_>) -> Result<Member, CertificateError> {
    let odd = |what: &str| CertificateError::NotThorp(what.into());
    let (rest, certificate) =
        X509Certificate::from_der(certificate).map_err(|_| odd("it cannot be read"))?;
    if !rest.is_empty() {
        return Err(odd("there is something behind it"));
    }
    let key = ed25519_key(certificate.public_key()).ok_or_else(|| odd("its key is not Ed25519"))?;
    let names = certificate
        .subject_alternative_name()
        .ok()
        .flatten()
        .ok_or_else(|| odd("it has no names"))?;
    let (mut id, mut name, mut tracker) = (None, None, false);
    for general in &names.value.general_names {
        let GeneralName::DNSName(text) = general else {
            return Err(odd("it has a name that is not a DNS name"));
        };
        let label = text.strip_suffix(".thorp");
        let slot_was_taken = if *text == TRACKER_NAME {
            std::mem::replace(&mut tracker, true)
        } else if let Some(human) = label.and_then(|label| label.strip_suffix(".name")) {
            let human = human.parse().map_err(|_| odd("its human name is none"))?;
            name.replace(human).is_some()
        } else {
            let peer = label.and_then(|label| label.parse::<PeerId>().ok());
            id.replace(peer.ok_or_else(|| odd("it has a foreign name"))?)
                .is_some()
        };
        if slot_was_taken {
            return Err(odd("it has two names of a kind"));
        }
    }
    if id != Some(PeerId::new(key)) {
        return Err(odd("its name is not its key's"));
    }
    let ends = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
    let ends = UNIX_EPOCH.checked_add(Duration::from_secs(ends));
    Ok(Member {
        id: PeerId::new(key),
        name,
        tracker,
        ends: ends.ok_or_else(|| odd("it ends beyond all time"))?,
    })
}

/// Who is at the other end of an established connection.
pub fn peer_of(connection: &CommonState) -> Result<Member, CertificateError> {
    let chain = connection.peer_certificates().unwrap_or_default();
    member_of(chain.first().ok_or(CertificateError::Missing)?)
}

/// The DNS name that a member's certificate has for its key.
pub fn id_name(id: PeerId) -> String {
    format!("{id}.thorp")
}

/// The DNS name that a member's certificate has for its human name.
pub(crate) fn human_name(name: &MemberName) -> String {
    format!("{name}.name.thorp")
}

/// The key in a public key info, if it is an Ed25519 key.
pub(crate) fn ed25519_key(info: &SubjectPublicKeyInfo<'_>) -> Option<[u8; 32]> {
    let plain = is_ed25519(&info.algorithm) && info.subject_public_key.unused_bits == 0;
    plain.then_some(())?;
    info.subject_public_key.data.as_ref().try_into().ok()
}

/// Whether this names Ed25519, which has no parameters (RFC 8410).
pub(crate) fn is_ed25519(algorithm: &AlgorithmIdentifier<'_>) -> bool {
    algorithm.algorithm.as_bytes() == ED25519 && algorithm.parameters.is_none()
}

/// A member's configurations for links. Clones share them, so that a renewed
/// certificate counts for every later connection.
#[derive(Clone)]
pub struct MemberTls {
    clock: Clock,
    current: Arc<RwLock<Current>>,
}

struct Current {
    member: Member,
    ca: CaKey,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl MemberTls {
    /// The configurations of a member.
    pub fn new(
        identity: &Identity,
        membership: &Membership,
        clock: Clock,
    ) -> Result<Self, TlsError> {
        let current = Current::new(identity, membership, &clock)?;
        Ok(Self {
            clock,
            current: Arc::new(RwLock::new(current)),
        })
    }

    /// From now on, presents this membership's certificate.
    pub fn renew(&self, identity: &Identity, membership: &Membership) -> Result<(), TlsError> {
        let renewed = Current::new(identity, membership, &self.clock)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = renewed;
        Ok(())
    }

    /// Ourselves, as our certificate has it.
    pub fn member(&self) -> Member {
        self.with(|current| current.member.clone())
    }

    /// The group's CA.
    pub fn ca(&self) -> CaKey {
        self.with(|current| current.ca)
    }

    /// The clock that certificates are checked by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Demands a member's certificate, ALPN [`ALPN_LINK`].
    pub fn server(&self) -> Arc<ServerConfig> {
        self.with(|current| current.server.clone())
    }

    /// Presents ours, ALPN [`ALPN_LINK`].
    pub fn client(&self) -> Arc<ClientConfig> {
        self.with(|current| current.client.clone())
    }

    fn with<T>(&self, read: impl FnOnce(&Current) -> T) -> T {
        read(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for MemberTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemberTls({:?})", self.member())
    }
}

impl Current {
    fn new(identity: &Identity, membership: &Membership, clock: &Clock) -> Result<Self, TlsError> {
        let certificate = CertificateDer::from(membership.certificate.clone());
        let member = member_of(&certificate).map_err(TlsError::Certificate)?;
        let roots = roots(membership.ca);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), PROVIDER.clone())
            .build()
            .map_err(|e| TlsError::setup(&e))?;
        let server = server_builder(clock)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate.clone()], identity.private_key())
            .map_err(|e| TlsError::setup(&e))?;
        let client = client_builder(clock)?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate], identity.private_key())
            .map_err(|e| TlsError::setup(&e))?;
        Ok(Self {
            member,
            ca: membership.ca,
            server: finish_server(server, ALPN_LINK),
            client: finish_client(client, ALPN_LINK),
        })
    }
}

/// What a tracker shows to those who are no members yet: its own certificate,
/// and the CA's behind it so that a first contact can read the CA's key.
pub fn join_server(
    identity: &Identity,
    membership: &Membership,
    ca_certificate: CertificateDer<'static>,
    clock: &Clock,
) -> Result<Arc<ServerConfig>, TlsError> {
    let own = CertificateDer::from(membership.certificate.clone());
    let config = server_builder(clock)?
        .with_no_client_auth()
        .with_single_cert(vec![own, ca_certificate], identity.private_key())
        .map_err(|e| TlsError::setup(&e))?;
    Ok(finish_server(config, ALPN_JOIN))
}

/// Reaches the tracker of the group with this CA key or, without one, of
/// whichever group is there: then [`ca_of`] says which.
pub fn join_client(ca: Option<CaKey>, clock: &Clock) -> Result<Arc<ClientConfig>, TlsError> {
    let config = client_builder(clock)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(FirstContact { pinned: ca }))
        .with_no_client_auth();
    Ok(finish_client(config, ALPN_JOIN))
}

/// The CA key that a joining server has shown.
pub fn ca_of(connection: &CommonState) -> Option<CaKey> {
    shown_ca(connection.peer_certificates()?.get(1..)?)
}

/// Whether a certificate would be believed in this group now.
pub fn verify_member(
    certificate: &[u8],
    ca: CaKey,
    now: SystemTime,
) -> Result<Member, CertificateError> {
    let certificate = CertificateDer::from(certificate);
    let odd = |why: &dyn fmt::Display| CertificateError::NotThorp(why.to_string());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(ca), PROVIDER.clone())
        .build()
        .map_err(|e| odd(&e))?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(unix_seconds(now)));
    verifier
        .verify_client_cert(&certificate, &[], now)
        .map_err(|e| CertificateError::from_rustls(&e).unwrap_or_else(|| odd(&e)))?;
    member_of(&certificate)
}

type Builder<Side> = rustls::ConfigBuilder<Side, rustls::WantsVerifier>;

fn server_builder(clock: &Clock) -> Result<Builder<ServerConfig>, TlsError> {
    ServerConfig::builder_with_details(PROVIDER.clone(), Arc::new(clock.clone()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| TlsError::setup(&e))
}

fn client_builder(clock: &Clock) -> Result<Builder<ClientConfig>, TlsError> {
    ClientConfig::builder_with_details(PROVIDER.clone(), Arc::new(clock.clone()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| TlsError::setup(&e))
}

fn finish_server(mut config: ServerConfig, alpn: &[u8]) -> Arc<ServerConfig> {
    config.alpn_protocols = vec![alpn.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Arc::new(config)
}

fn finish_client(mut config: ClientConfig, alpn: &[u8]) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

pub(crate) fn roots(ca: CaKey) -> Arc<RootCertStore> {
    let anchor = TrustAnchor {
        subject: Der::from_slice(CA_SUBJECT),
        subject_public_key_info: Der::from([ED25519_INFO, &ca.0].concat()),
        name_constraints: None,
    };
    Arc::new(RootCertStore {
        roots: vec![anchor],
    })
}

/// The key of a CA certificate among these.
fn shown_ca(chain: &[CertificateDer<'_>]) -> Option<CaKey> {
    chain.iter().find_map(|certificate| {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let subject = certificate.subject().as_raw();
        // A short sequence: its tag and its length stand in front.
        (subject.get(2..) == Some(CA_SUBJECT)).then_some(())?;
        ed25519_key(certificate.public_key()).map(CaKey)
    })
}

/// Believes the CA whose key is pinned or, before there is one, the CA that the
/// server shows. Either way the server's own certificate must be that CA's.
#[derive(Debug)]
struct FirstContact {
    pinned: Option<CaKey>,
}

impl FirstContact {
    fn verifier(ca: CaKey) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
        WebPkiServerVerifier::builder_with_provider(roots(ca), PROVIDER.clone())
            .build()
            .map_err(|e| rustls::Error::General(e.to_string()))
    }
}

impl ServerCertVerifier for FirstContact {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = shown_ca(intermediates);
        let ca = match (self.pinned, shown) {
            (Some(pinned), Some(shown)) if pinned != shown => {
                let changed = CertificateError::ChangedCa { pinned, shown };
                return Err(Cause::Other(OtherError(Arc::new(changed))).into());
            }
            (Some(ca), _) | (None, Some(ca)) => ca,
            (None, None) => return Err(Cause::UnknownIssuer.into()),
        };
        Self::verifier(ca)?.verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken here".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &PROVIDER.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// A configuration that cannot be made: something is wrong with our own files.
#[derive(Debug, Error)]
pub enum TlsError {
    /// Our certificate.
    #[error("this machine's own certificate cannot be used: {0}; join the group again")]
    Certificate(CertificateError),
    /// Key and certificate do not fit, or the like.
    #[error("this machine's key and certificate cannot be used: {0}; join the group again")]
    Setup(String),
}

impl TlsError {
    fn setup(error: &dyn fmt::Display) -> Self {
        Self::Setup(error.to_string())
    }
}

/// Why a certificate is not believed, as a person can be told.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// It has ended.
    #[error("its certificate expired {} ago; it has to join again, unless one of the two clocks is wrong (here it is {})", span(*ago), utc(*now))]
    Expired {
        /// How long ago.
        ago: Duration,
        /// What our clock says, in seconds since 1970.
        now: u64,
    },
    /// It has not begun.
    #[error("its certificate is only valid in {}: one of the two clocks is wrong (here it is {})", span(*ahead), utc(*now))]
    NotYetValid {
        /// How far ahead.
        ahead: Duration,
        /// What our clock says, in seconds since 1970.
        now: u64,
    },
    /// Another CA has signed it.
    #[error("it belongs to another group: its certificate is signed by another CA")]
    OtherGroup,
    /// The group at that address is not the one that was there before.
    #[error(
        "the group's CA has changed: it was {pinned}, and is now {shown}; either the tracker was set up anew (then `thorp leave` and join again), or somebody stands in its place"
    )]
    ChangedCa {
        /// The one we know.
        pinned: CaKey,
        /// The one that was shown.
        shown: CaKey,
    },
    /// Somebody else of the group.
    #[error("it is somebody else: {expected} was expected, its certificate is for {}", found.join(" and "))]
    WrongPeer {
        /// The name that was asked for.
        expected: String,
        /// The names it has.
        found: Vec<String>,
    },
    /// None was shown.
    #[error("it shows no certificate")]
    Missing,
    /// Ours is not believed by the other side.
    #[error("it does not accept this machine's certificate: {0}")]
    OursRefused(&'static str),
    /// Not a certificate of the kind that thorp makes.
    #[error("its certificate is not thorp's: {0}")]
    NotThorp(String),
}

impl CertificateError {
    /// What an I/O error on a TLS stream says about a certificate, if anything.
    pub fn from_io(error: &io::Error) -> Option<Self> {
        Self::from_rustls(error.get_ref()?.downcast_ref::<rustls::Error>()?)
    }

    /// What a TLS error says about a certificate, if anything.
    pub fn from_rustls(error: &rustls::Error) -> Option<Self> {
        let cause = match error {
            rustls::Error::InvalidCertificate(cause) => cause,
            rustls::Error::NoCertificatesPresented => return Some(Self::Missing),
            rustls::Error::AlertReceived(alert) => return Self::from_alert(*alert),
            _ => return None,
        };
        Some(match cause {
            Cause::ExpiredContext { time, not_after } => Self::Expired {
                ago: apart(*time, *not_after),
                now: time.as_secs(),
            },
            Cause::NotValidYetContext { time, not_before } => Self::NotYetValid {
                ahead: apart(*not_before, *time),
                now: time.as_secs(),
            },
            // Every CA is called the same: another one shows in its signature.
            Cause::BadSignature => Self::OtherGroup,
            Cause::NotValidForNameContext {
                expected,
                presented,
            } => Self::WrongPeer {
                expected: expected.to_str().into_owned(),
                found: presented.clone(),
            },
            Cause::Other(OtherError(ours)) => ours
                .downcast_ref::<Self>()
                .cloned()
                .unwrap_or_else(|| Self::NotThorp(ours.to_string())),
            other => Self::NotThorp(other.to_string()),
        })
    }

    fn from_alert(alert: AlertDescription) -> Option<Self> {
        Some(Self::OursRefused(match alert {
            AlertDescription::CertificateExpired => {
                "by its clock the certificate has expired or is not valid yet; compare the two clocks, or join again"
            }
            AlertDescription::UnknownCA | AlertDescription::DecryptError => {
                "it belongs to another group"
            }
            AlertDescription::CertificateRequired => "none was shown",
            AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::AccessDenied => "it is not the kind it expects",
            _ => return None,
        }))
    }
}

fn apart(later: UnixTime, earlier: UnixTime) -> Duration {
    Duration::from_secs(later.as_secs().saturating_sub(earlier.as_secs()))
}

/// A span of time, roughly, for a person.
fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (number, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

/// A date and time in UTC, for a person.
fn utc(seconds: u64) -> String {
    let fits = i64::try_from(seconds).ok();
    let time = fits.and_then(|s| x509_parser::time::ASN1Time::from_timestamp(s).ok());
    time.map_or_else(
        || format!("{seconds} s after 1970"),
        |time| time.to_string(),
    )
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};

    use super::*;
    use crate::village::Group;

    #[test]
    fn spans_are_said_the_way_people_say_them() {
        for (seconds, says) in [
            (1, "1 second"),
            (119, "119 seconds"),
            (3600, "60 minutes"),
            (3 * 86_400 + 5, "3 days"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), says);
        }
    }

    #[test]
    fn a_certificate_that_is_not_whole_is_nobody() {
        let identity = Identity::generate().expect("a key");
        let good = Group::new().admit(&identity, "oak").certificate;
        let member = |der: &[u8]| member_of(&CertificateDer::from(der));
        assert_eq!(member(&good).expect("is whole").id, identity.id());
        for end in 0..good.len() {
            assert!(member(&good[..end]).is_err(), "cut at {end}");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x55;
            // Verification is rustls's; here, it must only not be read amiss.
            if let Ok(member) = member(&bad) {
                assert_eq!(member.id, identity.id(), "byte {at}");
            }
        }
    }

    #[test]
    fn names_that_do_not_go_together_are_nobody() {
        let key = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
        let id = PeerId::new(key.public_key_raw().try_into().expect("32 bytes"));
        let other = PeerId::new([7; 32]);
        let member = |names: &[String]| {
            let params = CertificateParams::new(names).expect("are names");
            member_of(params.self_signed(&key).expect("is signed").der())
        };
        let [id, other] = [id, other].map(id_name);
        let human = "oak.name.thorp".to_owned();
        let oak = member(&[id.clone(), human.clone()]).expect("go together");
        assert_eq!((oak.name, oak.tracker), ("oak".parse().ok(), false));
        for names in [
            vec![],
            vec![human.clone()],
            vec![other.clone()],
            vec![id.clone(), other],
            vec![id.clone(), "example.org".into()],
            vec![id.clone(), human.clone(), human],
            vec![id, "-.name.thorp".into()],
            vec!["127.0.0.1".into()],
        ] {
            let answer = member(&names);
            assert!(
                matches!(answer, Err(CertificateError::NotThorp(_))),
                "{names:?}"
            );
        }
    }

    #[test]
    fn the_clock_is_named_in_utc() {
        let text = utc(1_700_000_000);
        assert!(text.contains("2023") && text.contains("14"), "{text}");
    }
}

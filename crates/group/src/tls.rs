//! Makes rustls configurations of certificates, and identifies the member at the other end.
//!
//! A [`Certified`] is read from a certificate that rustls has verified against the group's CA.
//! Only TLS 1.3 is used, without resumption, since a resumed connection would outlive its
//! certificate. [`certificate`](crate::certificate) reads what a certificate says.
//!
//! This module opens no connection.

use std::fmt;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, Der, PrivateKeyDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    CertificateError as Cause, ClientConfig, CommonState, DigitallySignedStruct, OtherError,
    RootCertStore, ServerConfig, SignatureScheme,
};
use thiserror::Error;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::certificate::{self, CaKey, CertificateError, Certified, ed25519_key, member_of};
use crate::clock::{Clock, unix_seconds};
use crate::identity::{Identity, Membership};
use crate::record::Records;

/// The ALPN of a link.
pub const ALPN_LINK: &[u8] = b"thorp/1";
/// The ALPN of a session.
pub const ALPN_SESSION: &[u8] = b"bittorrent";
/// The ALPN of joining.
pub const ALPN_JOIN: &[u8] = b"thorp-join/1";
/// The subject of every group's CA, `CN=thorp`: DER without its outer tag and length.
const CA_SUBJECT: &[u8] = b"\x31\x0e\x30\x0c\x06\x03\x55\x04\x03\x0c\x05thorp";
/// What precedes the 32 bytes of an Ed25519 key in a public key info: DER without the outer tag
/// and length (RFC 8410).
const ED25519_INFO: &[u8] = b"\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
/// aws-lc, with the cipher suites in the order of their speed on today's processors.
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

/// A member's configurations for links and sessions, and the records that say which members it
/// admits. Clones share them: a renewed certificate is used for every later connection, and a
/// newer group record is in force for all connections at once.
#[derive(Clone)]
pub struct MemberTls {
    clock: Clock,
    records: Records,
    current: Arc<RwLock<Current>>,
}

struct Current {
    member: Certified,
    ca: CaKey,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    session_client: Arc<ClientConfig>,
}

impl MemberTls {
    /// Makes the configurations of a member that has no group record yet.
    pub fn new(
        identity: &Identity,
        membership: &Membership,
        clock: Clock,
    ) -> Result<Self, TlsError> {
        let current = Current::new(identity, membership, &clock)?;
        Ok(Self {
            clock,
            records: Records::new(membership.ca),
            current: Arc::new(RwLock::new(current)),
        })
    }

    /// Uses these records of its group.
    #[must_use]
    pub fn with_records(self, records: Records) -> Self {
        Self { records, ..self }
    }

    /// Returns the records that say which members were removed.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// Returns the member at the other end of an established connection, if it was not removed.
    /// The caller must ask right after every handshake, before it serves anything.
    pub fn peer_of(&self, connection: &CommonState) -> Result<Certified, CertificateError> {
        let chain = connection.peer_certificates().unwrap_or_default();
        let member = member_of(chain.first().ok_or(CertificateError::Missing)?)?;
        if !self.records.allows(&member.id) {
            return Err(CertificateError::Removed);
        }
        Ok(member)
    }

    /// Presents this membership's certificate on every later connection.
    pub fn renew(&self, identity: &Identity, membership: &Membership) -> Result<(), TlsError> {
        let renewed = Current::new(identity, membership, &self.clock)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = renewed;
        Ok(())
    }

    /// Returns this machine as its certificate describes it.
    pub fn member(&self) -> Certified {
        self.with(|current| current.member.clone())
    }

    /// Returns the group's CA.
    pub fn ca(&self) -> CaKey {
        self.with(|current| current.ca)
    }

    /// Returns the clock by which certificates are checked.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Returns the server configuration: demands a member's certificate, ALPN [`ALPN_LINK`] or
    /// [`ALPN_SESSION`].
    pub fn server(&self) -> Arc<ServerConfig> {
        self.with(|current| current.server.clone())
    }

    /// Returns the client configuration for links: presents this machine's certificate, ALPN
    /// [`ALPN_LINK`].
    pub fn client(&self) -> Arc<ClientConfig> {
        self.with(|current| current.client.clone())
    }

    /// Returns the client configuration for sessions: presents this machine's certificate, ALPN
    /// [`ALPN_SESSION`].
    pub fn session_client(&self) -> Arc<ClientConfig> {
        self.with(|current| current.session_client.clone())
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
            server: finish_server(server, &[ALPN_LINK, ALPN_SESSION]),
            client: finish_client(client.clone(), ALPN_LINK),
            session_client: finish_client(client, ALPN_SESSION),
        })
    }
}

/// Makes the configuration with which a tracker serves newcomers. It shows the tracker's
/// certificate and the CA's, from which a newcomer reads the CA's key.
pub fn join_server(
    key: PrivateKeyDer<'static>,
    certificate: Vec<u8>,
    ca_certificate: CertificateDer<'static>,
    clock: &Clock,
) -> Result<Arc<ServerConfig>, TlsError> {
    let config = server_builder(clock)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.into(), ca_certificate], key)
        .map_err(|e| TlsError::setup(&e))?;
    Ok(finish_server(config, &[ALPN_JOIN]))
}

/// Makes the configuration with which a newcomer connects to the tracker of the group with this
/// CA key or, without one, of any group: [`ca_of`] then returns the CA.
pub fn join_client(ca: Option<CaKey>, clock: &Clock) -> Result<Arc<ClientConfig>, TlsError> {
    let config = client_builder(clock)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(FirstContact {
            pinned: ca,
            by_its_own_time: false,
        }))
        .with_no_client_auth();
    Ok(finish_client(config, ALPN_JOIN))
}

/// Like [`join_client`], but accepts the tracker's certificate whatever the time. Use it only to
/// read that certificate: the connection must carry nothing secret.
pub fn clock_client(ca: Option<CaKey>, clock: &Clock) -> Result<Arc<ClientConfig>, TlsError> {
    let config = client_builder(clock)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(FirstContact {
            pinned: ca,
            by_its_own_time: true,
        }))
        .with_no_client_auth();
    Ok(finish_client(config, ALPN_JOIN))
}

/// Returns the CA key that a tracker has shown to a newcomer.
pub fn ca_of(connection: &CommonState) -> Option<CaKey> {
    shown_ca(connection.peer_certificates()?.get(1..)?)
}

/// Checks that a certificate is valid in this group at this time, and reads it.
pub fn verify_member(
    certificate: &[u8],
    ca: CaKey,
    now: SystemTime,
) -> Result<Certified, CertificateError> {
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

fn finish_server(mut config: ServerConfig, alpn: &[&[u8]]) -> Arc<ServerConfig> {
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Arc::new(config)
}

fn finish_client(mut config: ClientConfig, alpn: &[u8]) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

/// Returns the root store that trusts only this CA.
pub fn roots(ca: CaKey) -> Arc<RootCertStore> {
    let anchor = TrustAnchor {
        subject: Der::from_slice(CA_SUBJECT),
        subject_public_key_info: Der::from([ED25519_INFO, &ca.0].concat()),
        name_constraints: None,
    };
    Arc::new(RootCertStore {
        roots: vec![anchor],
    })
}

/// Returns the key of the first CA certificate in the chain.
fn shown_ca(chain: &[CertificateDer<'_>]) -> Option<CaKey> {
    chain.iter().find_map(|certificate| {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let subject = certificate.subject().as_raw();
        // The subject is a short sequence, with one byte each of tag and length.
        (subject.get(2..) == Some(CA_SUBJECT)).then_some(())?;
        ed25519_key(certificate.public_key()).map(CaKey)
    })
}

/// Trusts the pinned CA or, if none is pinned, the CA that the server shows. Either way that CA
/// must have signed the server's own certificate.
#[derive(Debug)]
struct FirstContact {
    pinned: Option<CaKey>,
    /// Whether the certificate is checked at the time of its own beginning instead of now.
    by_its_own_time: bool,
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
        let now = match certificate::begins(end_entity) {
            Some(begins) if self.by_its_own_time => {
                UnixTime::since_unix_epoch(Duration::from_secs(begins))
            }
            _ => now,
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

/// A configuration that cannot be made because this machine's own files are wrong.
#[derive(Debug, Error)]
pub enum TlsError {
    /// This machine's certificate cannot be read.
    #[error("this machine's own certificate cannot be used: {0}; join the group again")]
    Certificate(CertificateError),
    /// Key and certificate do not belong together, or rustls refuses them.
    #[error("this machine's key and certificate cannot be used: {0}; join the group again")]
    Setup(String),
}

impl TlsError {
    fn setup(error: &dyn fmt::Display) -> Self {
        Self::Setup(error.to_string())
    }
}

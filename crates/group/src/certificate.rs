//! What a verified certificate says, and why a certificate is not trusted.
//!
//! A member's identity is read here and nowhere else. [`tls`](crate::tls) verifies certificates,
//! and [`authority`](crate::authority) issues them.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{AlertDescription, CertificateError as Cause, OtherError};
use thiserror::Error;
use thorp_wire::{MemberName, PeerId, Remark};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

use crate::clock::{span, utc};

/// The DNS name that only a tracker's certificate contains.
pub const TRACKER_NAME: &str = "tracker.thorp";

const BY_ITS_CLOCK: &str = "by its clock the certificate has expired or is not valid yet; compare the two clocks, or join again";

/// The object identifier of Ed25519, 1.3.101.112 (RFC 8410), DER without tag and length.
const ED25519: &[u8] = b"\x2b\x65\x70";

/// A machine whose certificate the group's CA has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// Its key.
    pub id: PeerId,
    /// Its human name.
    pub name: Option<MemberName>,
    /// Whether it is the group's tracker.
    pub tracker: bool,
    /// When its certificate begins.
    pub begins: SystemTime,
    /// When its certificate ends. A connection with that certificate ends then as well.
    pub ends: SystemTime,
}

/// Reads a certificate, which must have been verified or be this machine's own.
pub fn member_of(certificate: &CertificateDer<'_>) -> Result<Certified, CertificateError> {
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
    let validity = certificate.validity();
    let [begins, ends] = [validity.not_before, validity.not_after].map(|time| {
        let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
        UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
    });
    Ok(Certified {
        id: PeerId::new(key),
        name,
        tracker,
        begins: begins.ok_or_else(|| odd("it begins beyond all time"))?,
        ends: ends.ok_or_else(|| odd("it ends beyond all time"))?,
    })
}

/// Returns when a certificate begins, in seconds since 1970, without checking the rest of it.
pub fn begins(certificate: &CertificateDer<'_>) -> Option<u64> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    u64::try_from(certificate.validity().not_before.timestamp()).ok()
}

/// A CA's raw Ed25519 public key, which identifies a group. Written like a peer id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CaKey(pub [u8; 32]);

impl fmt::Display for CaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        PeerId::new(self.0).fmt(f)
    }
}

impl fmt::Debug for CaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaKey({self})")
    }
}

impl FromStr for CaKey {
    type Err = thorp_wire::id::IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(*text.parse::<PeerId>()?.as_bytes()))
    }
}

/// Returns the DNS name of a member's key in its certificate.
pub fn id_name(id: PeerId) -> String {
    format!("{id}.thorp")
}

/// Returns the DNS name of a member's human name in its certificate.
pub(crate) fn human_name(name: &MemberName) -> String {
    format!("{name}.name.thorp")
}

/// Returns the key of a public key info, if it is an Ed25519 key.
pub(crate) fn ed25519_key(info: &SubjectPublicKeyInfo<'_>) -> Option<[u8; 32]> {
    let plain = is_ed25519(&info.algorithm) && info.subject_public_key.unused_bits == 0;
    plain.then_some(())?;
    info.subject_public_key.data.as_ref().try_into().ok()
}

/// Whether this is Ed25519, which has no parameters (RFC 8410).
pub(crate) fn is_ed25519(algorithm: &AlgorithmIdentifier<'_>) -> bool {
    algorithm.algorithm.as_bytes() == ED25519 && algorithm.parameters.is_none()
}

/// Why a certificate is not trusted, in words for a user.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// The certificate has ended.
    #[error("its certificate expired {} ago; it has to join again, unless one of the two clocks is wrong (here it is {})", span(*ago), utc(*now))]
    Expired {
        /// How long ago.
        ago: Duration,
        /// This machine's time, in seconds since 1970.
        now: u64,
    },
    /// The certificate has not yet begun.
    #[error("its certificate is only valid in {}: one of the two clocks is wrong (here it is {})", span(*ahead), utc(*now))]
    NotYetValid {
        /// How long until it begins.
        ahead: Duration,
        /// This machine's time, in seconds since 1970.
        now: u64,
    },
    /// Another CA has signed the certificate.
    #[error("it belongs to another group: its certificate is signed by another CA")]
    OtherGroup,
    /// The group at this address is not the one that was there before.
    #[error(
        "the group's CA has changed: it was {pinned}, and is now {shown}; either the tracker was set up anew, or another machine answers at its address"
    )]
    ChangedCa {
        /// The CA key that this machine knows.
        pinned: CaKey,
        /// The CA key that the server has shown.
        shown: CaKey,
    },
    /// The certificate is another member's.
    #[error("it is another machine: {expected} was expected, its certificate is for {}", found.join(" and "))]
    WrongPeer {
        /// The DNS name of the member that was dialled.
        expected: String,
        /// The DNS names in the certificate.
        found: Vec<String>,
    },
    /// The group has removed this member.
    #[error("it was removed from the group")]
    Removed,
    /// The other end has shown no certificate.
    #[error("it shows no certificate")]
    Missing,
    /// The other end does not accept this machine's certificate.
    #[error("it does not accept this machine's certificate: {0}")]
    OursRefused(&'static str),
    /// The certificate is not of the kind that thorp issues.
    #[error("its certificate is not thorp's: {0}")]
    NotThorp(String),
}

/// Escapes text of a stranger's certificate, so that it can be shown.
fn escaped(text: &(impl ToString + ?Sized)) -> String {
    Remark::from(text.to_string()).to_string()
}

impl CertificateError {
    /// Returns what an I/O error of a TLS stream says about a certificate, if anything.
    pub fn from_io(error: &io::Error) -> Option<Self> {
        Self::from_rustls(error.get_ref()?.downcast_ref::<rustls::Error>()?)
    }

    /// Whether a wrong clock could be the reason.
    pub fn is_about_time(&self) -> bool {
        match self {
            Self::Expired { .. } | Self::NotYetValid { .. } => true,
            Self::OursRefused(why) => *why == BY_ITS_CLOCK,
            _ => false,
        }
    }

    /// Returns what a TLS error says about a certificate, if anything.
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
            // All CAs have the same subject, so a wrong one shows only in the signature.
            Cause::BadSignature => Self::OtherGroup,
            Cause::NotValidForNameContext {
                expected,
                presented,
            } => Self::WrongPeer {
                expected: expected.to_str().into_owned(),
                found: presented.iter().map(escaped).collect(),
            },
            Cause::Other(OtherError(ours)) => ours
                .downcast_ref::<Self>()
                .cloned()
                .unwrap_or_else(|| Self::NotThorp(escaped(ours.as_ref()))),
            other => Self::NotThorp(escaped(other)),
        })
    }

    fn from_alert(alert: AlertDescription) -> Option<Self> {
        Some(Self::OursRefused(match alert {
            AlertDescription::CertificateExpired => BY_ITS_CLOCK,
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

#[cfg(test)]
mod tests;

//! Reads certificate requests and writes certificates.
//!
//! Only the key is taken from a request: everything else in a certificate is decided here.

use std::time::{Duration, SystemTime};

use aws_lc_rs::signature::{self, UnparsedPublicKey};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519, PublicKeyData, SanType, SerialNumber,
    SignatureAlgorithm,
};
use thorp_wire::{MemberName, PeerId};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use crate::certificate;
use crate::clock::unix_seconds;

use super::error::AuthorityError;

/// How long a certificate is valid.
pub const VALIDITY: Duration = Duration::from_hours(30 * 24);
/// How far a certificate is backdated, for clocks that are a little slow.
pub const BACKDATED: Duration = Duration::from_hours(1);
/// The latest issue time of a certificate, in seconds since 1970, so that it ends before the year
/// 10000.
const LAST_SECOND: u64 = 253_370_764_800;

/// Issues a certificate for this key, DER.
pub(super) fn certificate(
    id: PeerId,
    name: &MemberName,
    tracker: bool,
    now: SystemTime,
    issuer: &Issuer<'_, &KeyPair>,
) -> Result<Vec<u8>, AuthorityError> {
    let now = unix_seconds(now).min(LAST_SECOND);
    let at = |seconds| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
    let mut names = vec![certificate::id_name(id), certificate::human_name(name)];
    if tracker {
        names.push(certificate::TRACKER_NAME.into());
    }
    let names: Result<_, rcgen::Error> = names
        .into_iter()
        .map(|name| Ok(SanType::DnsName(name.try_into()?)))
        .collect();
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).map_err(|_| AuthorityError::Signing)?;
    // Positive, and without leading zero bytes (RFC 5280, 4.1.2.2).
    serial[0] = serial[0] & 0x7f | 0x40;

    let mut params = CertificateParams::default();
    params.not_before = at(now.saturating_sub(BACKDATED.as_secs()));
    params.not_after = at(now + VALIDITY.as_secs());
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name = common_name(&id.to_string());
    params.subject_alt_names = names.map_err(|_| AuthorityError::Signing)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ClientAuth,
        ExtendedKeyUsagePurpose::ServerAuth,
    ];
    let certificate = params
        .signed_by(&MemberKey(id), issuer)
        .map_err(|_| AuthorityError::Signing)?;
    Ok(certificate.der().to_vec())
}

pub(super) fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name("thorp");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

pub(super) fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// Returns the key of a certificate request, if the request is signed with it.
pub(super) fn requested_key(request: &[u8]) -> Result<PeerId, AuthorityError> {
    let (rest, request) = X509CertificationRequest::from_der(request)
        .map_err(|_| AuthorityError::Request("it cannot be read"))?;
    if !rest.is_empty() {
        return Err(AuthorityError::Request("there is something behind it"));
    }
    let info = &request.certification_request_info;
    let key = certificate::ed25519_key(&info.subject_pki)
        .ok_or(AuthorityError::Request("its key is not Ed25519"))?;
    if !certificate::is_ed25519(&request.signature_algorithm)
        || request.signature_value.unused_bits != 0
    {
        return Err(AuthorityError::Request("its signature is not Ed25519"));
    }
    UnparsedPublicKey::new(&signature::ED25519, key)
        .verify(info.raw, &request.signature_value.data)
        .map_err(|_| AuthorityError::Request("its signature is wrong"))?;
    Ok(PeerId::new(key))
}

/// A public key in the form that rcgen expects.
struct MemberKey(PeerId);

impl PublicKeyData for MemberKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

//! This machine's key, and its membership in a group.
//!
//! The key is made once and never leaves the state directory. A membership is what a tracker gave
//! this machine: a certificate, the CA key that proves it, and the tracker's addresses.
//! [`authority`](crate::authority) decides which machine may become a member.

use std::fmt;
use std::path::Path;

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ED25519, PublicKeyData as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use thorp_disk::DiskThread;
use thorp_wire::PeerId;

use crate::address::NetAddress;
use crate::certificate::{self, CaKey, Certified};
use crate::record::Records;
use crate::state::{StateDir, StateError};

/// The key's file in a state directory.
pub const KEY_FILE: &str = "key.p8";
/// The membership's file in a state directory.
pub const MEMBERSHIP_FILE: &str = "membership.json";

/// This machine's key pair.
pub struct Identity {
    key: KeyPair,
    id: PeerId,
}

impl Identity {
    /// Makes a new key and saves it nowhere.
    pub fn generate() -> Result<Self, IdentityError> {
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(|_| IdentityError::NoKey)?;
        let id = public_key(&key).ok_or(IdentityError::NoKey)?;
        Ok(Self { key, id })
    }

    /// Loads the key of a state directory, or makes and saves one if there is none.
    pub fn load_or_create(disk: DiskThread, state: &StateDir) -> Result<Self, IdentityError> {
        if let Some((key, id)) = load_key(disk, state, KEY_FILE)? {
            return Ok(Self { key, id });
        }
        let new = Self::generate()?;
        state.write_secret(disk, KEY_FILE, new.key.serialized_der())?;
        Ok(new)
    }

    /// Returns the public key.
    pub fn id(&self) -> PeerId {
        self.id
    }

    /// Makes a PKCS #10 request for a certificate. It asks for no name, since the CA assigns
    /// names.
    pub fn certificate_request(&self) -> Result<Vec<u8>, IdentityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params
            .serialize_request(&self.key)
            .map_err(|_| IdentityError::NoKey)?;
        Ok(request.der().to_vec())
    }

    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.id)
    }
}

/// Loads an Ed25519 key. Returns `None` if its file does not exist.
pub(crate) fn load_key(
    disk: DiskThread,
    state: &StateDir,
    name: &str,
) -> Result<Option<(KeyPair, PeerId)>, StateError> {
    let Some(bytes) = state.read(disk, name)? else {
        return Ok(None);
    };
    let key = read_key(bytes).ok_or_else(|| state.corrupt(name, "it holds no Ed25519 key"))?;
    Ok(Some(key))
}

/// Reads the public key of a key file in a state directory that another process may have locked.
pub fn peek_key(disk: DiskThread, state: &Path, name: &str) -> Result<Option<PeerId>, StateError> {
    Ok(StateDir::peek(disk, state, name)?.and_then(key_id))
}

/// Returns the public key of a key file's content.
pub(crate) fn key_id(der: Vec<u8>) -> Option<PeerId> {
    read_key(der).map(|(_, id)| id)
}

fn read_key(der: Vec<u8>) -> Option<(KeyPair, PeerId)> {
    let der = PrivatePkcs8KeyDer::from(der);
    let key = KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519).ok()?;
    let id = public_key(&key)?;
    Some((key, id))
}

pub(crate) fn public_key(key: &KeyPair) -> Option<PeerId> {
    key.der_bytes().try_into().ok().map(PeerId::new)
}

/// What makes this machine a member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The member's certificate, DER.
    pub certificate: Vec<u8>,
    /// The group's CA.
    pub ca: CaKey,
    /// The tracker's addresses.
    pub trackers: Vec<NetAddress>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    ca: String,
    trackers: Vec<String>,
    certificate: String,
}

impl Membership {
    /// Loads the membership of a state directory, if there is one, and checks it against the key.
    pub fn load(
        disk: DiskThread,
        state: &StateDir,
        identity: &Identity,
    ) -> Result<Option<Self>, IdentityError> {
        let Some(stored) = state.read_json::<Stored>(disk, MEMBERSHIP_FILE)? else {
            return Ok(None);
        };
        let damaged = |why: &str| state.corrupt(MEMBERSHIP_FILE, why);
        let ca = stored.ca.parse().map_err(|_| damaged("`ca` is no key"))?;
        let trackers = stored
            .trackers
            .iter()
            .map(|text| text.parse())
            .collect::<Result<_, _>>()
            .map_err(|_| damaged("`trackers` holds what is no address"))?;
        let certificate = data_encoding::BASE64
            .decode(stored.certificate.as_bytes())
            .map_err(|_| damaged("`certificate` is not base64"))?;
        let membership = Self {
            certificate,
            ca,
            trackers,
        };
        let member = membership
            .member()
            .ok_or_else(|| damaged("`certificate` is not a member's"))?;
        if member.id != identity.id {
            return Err(damaged("`certificate` is for another key than key.p8").into());
        }
        Ok(Some(membership))
    }

    /// Reads the group's CA and the tracker's addresses from a state directory that another
    /// process may have locked.
    pub fn peek(
        disk: DiskThread,
        state: &Path,
    ) -> Result<Option<(CaKey, Vec<NetAddress>)>, StateError> {
        let bytes = StateDir::peek(disk, state, MEMBERSHIP_FILE)?;
        Ok(bytes.and_then(|bytes| ca_and_trackers(&bytes)))
    }

    /// Reads the membership from a state directory that another process may have locked.
    pub fn peek_whole(disk: DiskThread, state: &Path) -> Result<Option<Self>, StateError> {
        let bytes = StateDir::peek(disk, state, MEMBERSHIP_FILE)?;
        Ok(bytes.and_then(|bytes| {
            let stored: Stored = serde_json::from_slice(&bytes).ok()?;
            let certificate = stored.certificate.as_bytes();
            let certificate = data_encoding::BASE64.decode(certificate).ok()?;
            let (ca, trackers) = ca_and_trackers(&bytes)?;
            Some(Self {
                certificate,
                ca,
                trackers,
            })
        }))
    }

    /// Saves the membership in a state directory.
    pub fn save(&self, disk: DiskThread, state: &StateDir) -> Result<(), StateError> {
        let stored = Stored {
            ca: self.ca.to_string(),
            trackers: self.trackers.iter().map(ToString::to_string).collect(),
            certificate: data_encoding::BASE64.encode(&self.certificate),
        };
        state.write_json(disk, MEMBERSHIP_FILE, &stored)
    }

    /// Removes the membership and the group's record from a state directory. The key stays.
    pub fn forget(disk: DiskThread, state: &StateDir) -> Result<(), StateError> {
        state.remove(disk, MEMBERSHIP_FILE)?;
        Records::forget(disk, state)
    }

    /// Returns what the certificate says about this machine.
    pub fn member(&self) -> Option<Certified> {
        certificate::member_of(&CertificateDer::from(&*self.certificate)).ok()
    }
}

fn ca_and_trackers(stored: &[u8]) -> Option<(CaKey, Vec<NetAddress>)> {
    let stored: Stored = serde_json::from_slice(stored).ok()?;
    let trackers = stored.trackers.iter().filter_map(|text| text.parse().ok());
    Some((stored.ca.parse().ok()?, trackers.collect()))
}

/// Why this machine has no identity.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The system gave no randomness.
    #[error("cannot make a key: the system's random generator does not answer")]
    NoKey,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Group, state};
    use thorp_disk::testing::DISK;

    #[test]
    fn a_key_is_made_once_and_kept() {
        let (_temporary, state) = state();
        let first = Identity::load_or_create(DISK, &state).expect("is made");
        let second = Identity::load_or_create(DISK, &state).expect("is there");
        assert_eq!(first.id(), second.id());
        state.write_secret(DISK, KEY_FILE, b"oops").expect("writes");
        let error = Identity::load_or_create(DISK, &state).expect_err("is damaged");
        assert!(error.to_string().contains("key.p8 is damaged"), "{error}");
    }

    #[test]
    fn a_membership_is_kept_and_belongs_to_its_key() {
        let (_temporary, state) = state();
        let identity = Identity::load_or_create(DISK, &state).expect("is made");
        assert_eq!(
            Membership::load(DISK, &state, &identity).expect("loads"),
            None
        );
        let membership = Group::new().admit(&identity, "oak");
        membership.save(DISK, &state).expect("saves");
        let loaded = Membership::load(DISK, &state, &identity).expect("loads");
        assert_eq!(loaded.as_ref(), Some(&membership));
        let other = Identity::generate().expect("a key");
        let error = Membership::load(DISK, &state, &other).expect_err("is another's");
        assert!(
            error.to_string().contains("membership.json is damaged"),
            "{error}"
        );
        Membership::forget(DISK, &state).expect("forgets");
        assert_eq!(
            Membership::load(DISK, &state, &identity).expect("loads"),
            None
        );
    }
}

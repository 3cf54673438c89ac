//! A group to test with: its CA and its members.

use std::sync::Arc;
use std::time::SystemTime;

use rcgen::{Issuer, KeyPair, SigningKey as _};
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;
use thorp_disk::testing::DISK;
use thorp_wire::frame::{GroupRecord, Join, SignedRecord};

use crate::authority::Authority;
use crate::clock::Clock;
use crate::identity::{Identity, Membership};
use crate::join::JoinService;
use crate::state::StateDir;
use crate::tls::MemberTls;

/// Returns a new state directory, which is removed when the first value is dropped.
pub fn state() -> (TempDir, StateDir) {
    let temporary = tempfile::tempdir().expect("a directory");
    let state = StateDir::open(DISK, temporary.path().join("state")).expect("a state directory");
    (temporary, state)
}

/// Returns a member's key, for tests that misuse it.
pub fn key_of(identity: &Identity) -> PrivateKeyDer<'static> {
    identity.private_key()
}

/// A group without members.
pub struct Group {
    /// Its authority, closed.
    pub authority: Arc<Authority>,
    state: Arc<StateDir>,
    _temporary: TempDir,
}

#[allow(
    clippy::new_without_default,
    reason = "a group is made, with keys and files"
)]
impl Group {
    /// Makes a group with its own CA.
    pub fn new() -> Self {
        let (temporary, state) = state();
        let state = Arc::new(state);
        let authority = Authority::load_or_create(DISK, state.clone()).expect("a CA");
        Self {
            authority: Arc::new(authority),
            state,
            _temporary: temporary,
        }
    }

    /// Returns the state directory of its authority.
    pub fn state(&self) -> &StateDir {
        &self.state
    }

    /// Makes a member, whatever the policy.
    pub fn admit(&self, identity: &Identity, name: &str) -> Membership {
        self.admit_at(identity, name, SystemTime::now())
    }

    /// Makes a member at the given time.
    pub fn admit_at(&self, identity: &Identity, name: &str, now: SystemTime) -> Membership {
        let was_open = self.authority.is_open();
        self.authority.set_open(DISK, true).expect("opens");
        let join = Join {
            token: None,
            request: identity.certificate_request().expect("a request"),
            name: name.parse().ok(),
        };
        let certificate = self.authority.admit(DISK, &join, now).expect("is open");
        self.authority
            .set_open(DISK, was_open)
            .expect("is as before");
        self.membership(certificate)
    }

    /// Returns the membership that a certificate of this group stands for.
    pub fn membership(&self, certificate: Vec<u8>) -> Membership {
        Membership {
            certificate,
            ca: self.authority.ca(),
            trackers: Vec::new(),
        }
    }

    /// Makes a new member, and returns its configurations.
    pub fn member(&self, name: &str) -> MemberTls {
        let identity = Identity::generate().expect("a key");
        let membership = self.admit(&identity, name);
        MemberTls::new(&identity, &membership, Clock::system()).expect("fits")
    }

    /// Makes a tracker: its configurations, and its service for newcomers.
    pub fn tracker_tls(&self, clock: Clock) -> (MemberTls, JoinService) {
        let identity = Identity::generate().expect("a key");
        let name = "hall".parse().expect("a name");
        let certificate = self
            .authority
            .tracker_certificate(DISK, &identity, &name, clock.wall())
            .expect("is signed");
        let membership = self.membership(certificate);
        let tls = MemberTls::new(&identity, &membership, clock.clone()).expect("fits");
        let authority = self.authority.clone();
        let join = JoinService::new(&identity, &membership, authority, clock).expect("fits");
        (tls, join)
    }

    /// Signs a record as its authority would.
    pub fn signed(&self, record: GroupRecord) -> SignedRecord {
        let issuer = self.issuer();
        let sign = |message: &[u8]| issuer.key().sign(message).ok()?.try_into().ok();
        let signed = SignedRecord::sign(record, sign).expect("is within its bounds");
        signed.expect("is signed")
    }

    /// Returns the CA's signing key, to sign what the authority would not.
    pub fn issuer(&self) -> Issuer<'_, &KeyPair> {
        self.authority.issuer()
    }
}

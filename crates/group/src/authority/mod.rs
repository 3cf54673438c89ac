//! The group's certificate authority: which keys are members, and their names.
//!
//! ```text
//! tables   members, invites and policy, in memory and on disk
//! signing  reading requests, writing certificates
//! limits   how much a group may hold
//! error    why no certificate is issued
//! ```
//!
//! Its key, the member table and the invites are the only hard state of a group. It composes
//! every certificate itself: from a request it takes only the key, after the request's signature
//! has proved that the asking machine has that key. A key is signed if it is a member's already,
//! if an invite lets it in, or if the group is open.
//!
//! Every decision is on disk before any machine is told of it.

mod error;
mod limits;
mod signing;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rcgen::{Issuer, KeyPair, PKCS_ED25519, SigningKey};
use rustls::pki_types::CertificateDer;
use thorp_disk::DiskThread;
use thorp_wire::frame::{GroupRecord, Join, Joined, SignedRecord, Token};
use thorp_wire::{MemberName, PeerId};
use tokio::sync::{broadcast, watch};

use crate::certificate::CaKey;
use crate::clock::unix_seconds;
use crate::identity::{self, Identity};
use crate::record::{self, Records};
use crate::state::{StateDir, StateError};

pub use limits::{MAX_INVITES, MAX_USES};
pub use tables::Tracks;
use tables::{INVITES_FILE, InviteRow, MEMBERS_FILE, POLICY_FILE, Policy, Tables};

pub use error::{AuthorityError, NotInvited};
pub use limits::MAX_MEMBERS;
pub use signing::{BACKDATED, VALIDITY};

/// The file of the CA's key. A state directory that contains it keeps a group.
pub const KEY_FILE: &str = "ca.p8";
/// The files of a group's hard state, in the order in which they are restored. The key comes
/// last: a directory with members but without a key is never used as a group's, and no new key is
/// made in it.
pub const FILES: [&str; 5] = [
    MEMBERS_FILE,
    INVITES_FILE,
    POLICY_FILE,
    record::FILE,
    KEY_FILE,
];

/// How long an invite is valid, unless the user says otherwise.
pub const INVITE_VALIDITY: Duration = Duration::from_hours(24);
/// How many new members wait to be told of; of more, the first ones are left out.
const NEW_MEMBERS_UNTOLD: usize = 16;

/// A machine that has become a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMember {
    /// Its key.
    pub id: PeerId,
    /// Its name, as it is in its certificate.
    pub name: Option<MemberName>,
    /// The address from which it came.
    pub from: IpAddr,
}

/// A group's CA and its tables.
pub struct Authority {
    state: Arc<StateDir>,
    key: KeyPair,
    public: CaKey,
    certificate: CertificateDer<'static>,
    /// Locked only for a moment, never during a write to the disk.
    tables: Mutex<Tables>,
    /// The records that tell all members of the policy and of removals.
    records: Records,
    /// Keys of this machine, which cannot be removed: the group could not exist without them.
    own: Mutex<BTreeSet<PeerId>>,
    /// Locked during a change, until the change is on disk.
    changing: Mutex<()>,
    /// Why the last change is not on disk; `None` if it is.
    unsaved: watch::Sender<Option<String>>,
    new_members: broadcast::Sender<NewMember>,
}

/// A row of the member table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// Its key.
    pub id: PeerId,
    /// Its human name.
    pub name: MemberName,
    /// When the machine became a member, in seconds since 1970.
    pub since: u64,
    /// Whether the member was removed.
    pub removed: bool,
}

/// Whether a state directory, possibly locked by another process, keeps a group that machines
/// enter by invitation.
pub fn is_by_invitation(disk: DiskThread, state: &Path) -> Result<bool, StateError> {
    let policy = StateDir::peek(disk, state, POLICY_FILE)?;
    let policy = policy.and_then(|bytes| serde_json::from_slice::<Policy>(&bytes).ok());
    Ok(StateDir::has(disk, state, KEY_FILE)? && !policy.unwrap_or_default().open)
}

impl Authority {
    /// Loads the CA of a state directory, or makes one if there is none.
    pub fn load_or_create(disk: DiskThread, state: Arc<StateDir>) -> Result<Self, AuthorityError> {
        let tables = Tables::load(disk, &state)?;
        let (key, id) = match identity::load_key(disk, &state, KEY_FILE)? {
            Some(found) => found,
            // A new key would silently lock out every member.
            None if !tables.members.is_empty() => return Err(AuthorityError::KeyMissing),
            None => {
                let key =
                    KeyPair::generate_for(&PKCS_ED25519).map_err(|_| AuthorityError::Signing)?;
                let id = identity::public_key(&key).ok_or(AuthorityError::Signing)?;
                state.write_secret(disk, KEY_FILE, key.serialized_der())?;
                (key, id)
            }
        };
        let certificate = signing::ca_params()
            .self_signed(&key)
            .map_err(|_| AuthorityError::Signing)?;
        let public = CaKey(*id.as_bytes());
        let authority = Self {
            records: Records::load(disk, &state, public)?,
            own: Mutex::default(),
            state,
            key,
            public,
            certificate: certificate.der().clone(),
            tables: Mutex::new(tables),
            changing: Mutex::default(),
            unsaved: watch::Sender::new(None),
            new_members: broadcast::Sender::new(NEW_MEMBERS_UNTOLD),
        };
        // If a crash came between a decision and its record, sign the record now.
        authority.change(disk, |_| Ok(()))?;
        Ok(authority)
    }

    /// Returns the CA's public key, which identifies the group.
    pub fn ca(&self) -> CaKey {
        self.public
    }

    /// Returns the CA's own certificate, which is read only at a first contact with an open
    /// group.
    pub fn ca_certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    /// Returns the group's records. Each change of the policy or of the removed members adds one,
    /// and a node that follows them can tell all members at once.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// Returns why the last decision could not be written, if it could not, and its changes.
    pub fn unsaved(&self) -> watch::Receiver<Option<String>> {
        self.unsaved.subscribe()
    }

    /// Adopts the removals of a record that a member has sent.
    ///
    /// After a restore from an old backup, members may have a newer record than this authority.
    /// The members that it removes stay removed. Its policy is not adopted, since the group's
    /// owner decides that again. The next record signed here has a higher number than theirs, and
    /// so replaces it.
    pub fn learn(&self, disk: DiskThread, record: &SignedRecord) -> Result<(), AuthorityError> {
        self.records.verify(record)?;
        let above = record.record().number;
        // If the record says the same as the tables, no new one has to be signed.
        self.records.adopt(record.clone())?;
        self.change_above(disk, above, |tables| {
            for id in &record.record().removed {
                tables.remove(*id);
            }
            Ok(())
        })
    }

    /// Whether every machine that asks becomes a member.
    pub fn is_open(&self) -> bool {
        self.tables().policy.open
    }

    /// Sets whether every machine that asks becomes a member.
    pub fn set_open(&self, disk: DiskThread, open: bool) -> Result<(), AuthorityError> {
        self.change(disk, |tables| {
            tables.policy.open = open;
            Ok(())
        })
    }

    /// Returns which torrents the tracker tracks for ordinary clients.
    pub fn tracks(&self) -> Tracks {
        self.tables().policy.tracks
    }

    /// Sets which torrents the tracker tracks for ordinary clients. Members learn whether it does
    /// at all.
    pub fn set_tracks(&self, disk: DiskThread, tracks: Tracks) -> Result<(), AuthorityError> {
        self.change(disk, |tables| {
            tables.policy.tracks = tracks;
            Ok(())
        })
    }

    /// Prepares the group for use after a restore from a backup; to be called once.
    ///
    /// Members may have records that were signed after the backup was made, and they ignore a
    /// record whose number is not higher than that of their own. So the next number is derived
    /// from the time of day, which makes it higher than all earlier ones.
    pub fn begin_anew(&self, disk: DiskThread, now: SystemTime) -> Result<(), AuthorityError> {
        /// Record numbers per second: far more than a group has changes.
        const A_SECOND: u64 = 1 << 24;
        self.change_above(disk, unix_seconds(now).saturating_mul(A_SECOND), |_| Ok(()))
    }

    /// Returns all members, including removed ones, in the order of their keys.
    pub fn members(&self) -> Vec<Enrolment> {
        let tables = self.tables();
        let rows = tables.members.iter();
        rows.map(|(id, row)| Enrolment {
            id: *id,
            name: row.name.clone(),
            since: row.since,
            removed: row.removed,
        })
        .collect()
    }

    /// Reads all files of the hard state, as names and bytes, while no change can be written.
    pub fn files(&self, disk: DiskThread) -> Result<Vec<(&'static str, Vec<u8>)>, AuthorityError> {
        let _no_change = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut files = Vec::new();
        for name in FILES {
            if let Some(bytes) = self.state.read(disk, name)? {
                files.push((name, bytes));
            }
        }
        Ok(files)
    }

    /// Whether this key has been removed.
    pub fn is_removed(&self, id: PeerId) -> bool {
        self.tables()
            .members
            .get(&id)
            .is_some_and(|row| row.removed)
    }

    /// Removes a member: its key gets no further certificate, even with an invite, and a new
    /// record tells all members. Its name stays taken. A key without a row is removed as well:
    /// after a restore the tables do not have a machine that joined after the backup, and its
    /// certificate is good nevertheless. Returns whether the key was not removed before.
    pub fn remove(&self, disk: DiskThread, id: PeerId) -> Result<bool, AuthorityError> {
        if self.own().contains(&id) {
            return Err(AuthorityError::Own);
        }
        self.change(disk, |tables| {
            if tables.removed().count() >= GroupRecord::MAX_REMOVED {
                return Err(AuthorityError::TooManyRemoved);
            }
            Ok(tables.remove(id))
        })
    }

    /// Makes an invite for `uses` machines, valid for `validity`, and returns its token.
    pub fn invite(
        &self,
        disk: DiskThread,
        uses: u32,
        validity: Duration,
        now: SystemTime,
    ) -> Result<Token, AuthorityError> {
        let mut token = Token([0; 16]);
        getrandom::fill(&mut token.0).map_err(|_| AuthorityError::Signing)?;
        let now = unix_seconds(now);
        let row = InviteRow {
            hash: tables::hash(&token),
            uses: uses.clamp(1, MAX_USES),
            ends: now.saturating_add(validity.as_secs()),
            used_by: Vec::new(),
        };
        self.change(disk, |tables| tables.add_invite(row, now))?;
        Ok(token)
    }

    /// Answers a machine that asks to become a member: returns its certificate, DER.
    pub fn admit(
        &self,
        disk: DiskThread,
        join: &Join,
        now: SystemTime,
    ) -> Result<Vec<u8>, AuthorityError> {
        let id = signing::requested_key(&join.request)?;
        self.check(id, join, now)?;
        let name = self.change(disk, |tables| {
            if let Some(row) = tables.members.get(&id) {
                return row.name_unless_removed();
            }
            if !tables.policy.open {
                tables.redeem(join.token.as_ref(), id, unix_seconds(now))?;
            }
            tables.add(id, join.name.as_ref(), now)
        })?;
        self.sign(id, &name, false, now)
    }

    /// Refuses a machine that [`admit`](Self::admit) would refuse, without copying the tables.
    fn check(&self, id: PeerId, join: &Join, now: SystemTime) -> Result<(), AuthorityError> {
        let tables = self.tables();
        if let Some(row) = tables.members.get(&id) {
            row.name_unless_removed()?;
        } else if !tables.policy.open {
            tables.invite_for(join.token.as_ref(), id, unix_seconds(now))?;
        }
        Ok(())
    }

    /// Whether the asking machine is a newcomer, whose key is not in the tables.
    pub fn is_newcomer(&self, join: &Join) -> bool {
        let id = signing::requested_key(&join.request);
        id.is_ok_and(|id| !self.tables().members.contains_key(&id))
    }

    /// Returns what tells of each machine that becomes a member from now on.
    pub fn new_members(&self) -> broadcast::Receiver<NewMember> {
        self.new_members.subscribe()
    }

    /// A machine has become a member.
    pub(crate) fn on_joined(&self, new: NewMember) {
        // There may be nobody to tell.
        let _ = self.new_members.send(new);
    }

    /// Answers a member that asks for a new certificate over its link.
    pub fn renew_for(
        &self,
        id: PeerId,
        join: &Join,
        now: SystemTime,
    ) -> Result<Joined, AuthorityError> {
        if signing::requested_key(&join.request)? != id {
            return Err(AuthorityError::Request("it is for another member's key"));
        }
        Ok(self.joined(self.renew(id, now)?, now))
    }

    /// Makes the answer that carries this certificate.
    pub fn joined(&self, certificate: Vec<u8>, now: SystemTime) -> Joined {
        Joined {
            certificate,
            record: self.records.newest(),
            time: i64::try_from(unix_seconds(now)).unwrap_or(i64::MAX),
        }
    }

    /// Issues a new certificate to a member that is known by its link.
    pub fn renew(&self, id: PeerId, now: SystemTime) -> Result<Vec<u8>, AuthorityError> {
        let name = match self.tables().members.get(&id) {
            Some(row) => row.name_unless_removed()?,
            None => return Err(AuthorityError::NotInvited(NotInvited::None)),
        };
        self.sign(id, &name, false, now)
    }

    /// Issues the tracker's own certificate as of `now`, without access to the disk.
    pub fn tracker_certificate_again(
        &self,
        tracker: PeerId,
        now: SystemTime,
    ) -> Result<Vec<u8>, AuthorityError> {
        let name = match self.tables().members.get(&tracker) {
            Some(row) => row.name.clone(),
            None => return Err(AuthorityError::NotInvited(NotInvited::None)),
        };
        self.sign(tracker, &name, true, now)
    }

    /// Issues the tracker's own certificate, the only one for the name `tracker.thorp`.
    pub fn tracker_certificate(
        &self,
        disk: DiskThread,
        tracker: &Identity,
        name: &MemberName,
        now: SystemTime,
    ) -> Result<Vec<u8>, AuthorityError> {
        self.own_certificate(disk, tracker, name, true, now)
    }

    /// Issues a certificate to a peer on the CA's machine, which needs no invite.
    pub fn local_certificate(
        &self,
        disk: DiskThread,
        peer: &Identity,
        name: &MemberName,
        now: SystemTime,
    ) -> Result<Vec<u8>, AuthorityError> {
        self.own_certificate(disk, peer, name, false, now)
    }

    fn own_certificate(
        &self,
        disk: DiskThread,
        own: &Identity,
        name: &MemberName,
        tracker: bool,
        now: SystemTime,
    ) -> Result<Vec<u8>, AuthorityError> {
        let id = own.id();
        self.own().insert(id);
        let known = self.tables().members.get(&id).map(|row| row.name.clone());
        let name = match known {
            Some(name) => name,
            None => self.change(disk, |tables| tables.add(id, Some(name), now))?,
        };
        self.sign(id, &name, tracker, now)
    }

    fn sign(
        &self,
        id: PeerId,
        name: &MemberName,
        tracker: bool,
        now: SystemTime,
    ) -> Result<Vec<u8>, AuthorityError> {
        signing::certificate(id, name, tracker, now, &self.issuer())
    }

    /// Returns the signing key; tests also use it to sign what no authority would.
    pub(crate) fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::new(signing::ca_params(), &self.key)
    }

    /// Changes a copy of the tables, which replaces the tables once it is on disk.
    fn change<T>(
        &self,
        disk: DiskThread,
        change: impl FnOnce(&mut Tables) -> Result<T, AuthorityError>,
    ) -> Result<T, AuthorityError> {
        self.change_above(disk, 0, change)
    }

    /// Like [`change`](Self::change), if members may have a record with the number `above`:
    /// afterwards the newest record's number is at least that.
    fn change_above<T>(
        &self,
        disk: DiskThread,
        above: u64,
        change: impl FnOnce(&mut Tables) -> Result<T, AuthorityError>,
    ) -> Result<T, AuthorityError> {
        let changed = self.apply(disk, above, change);
        let why = match &changed {
            Ok(_) => None,
            Err(AuthorityError::State(error)) => Some(error.to_string()),
            // The change was refused, so there was nothing to write.
            Err(_) => return changed,
        };
        self.unsaved.send_if_modified(|known| {
            let is_news = *known != why;
            *known = why;
            is_news
        });
        changed
    }

    fn apply<T>(
        &self,
        disk: DiskThread,
        above: u64,
        change: impl FnOnce(&mut Tables) -> Result<T, AuthorityError>,
    ) -> Result<T, AuthorityError> {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.tables().clone();
        let mut after = before.clone();
        let answer = change(&mut after)?;
        after.save(disk, &before, &self.state)?;
        *self.tables() = after;
        self.sign_record(disk, above)?;
        Ok(answer)
    }

    /// Signs a new record if there is none (its file was lost), if the newest one differs from
    /// the tables, or if its number is lower than `above`. The new number is higher than both.
    fn sign_record(&self, disk: DiskThread, above: u64) -> Result<(), AuthorityError> {
        let newest = self.records.newest();
        let newest = newest.as_ref().map(SignedRecord::record);
        let number = newest.map_or(0, |newest| newest.number);
        let record = {
            let tables = self.tables();
            // A key that an earlier record removes stays removed, even if the table has no row for
            // it: an older version made none where the table was full.
            let before = newest.map_or(&[][..], |newest| &newest.removed);
            let removed: BTreeSet<PeerId> =
                tables.removed().chain(before.iter().copied()).collect();
            GroupRecord {
                number: number.max(above).saturating_add(1),
                open: tables.policy.open,
                bittorrent: tables.policy.tracks.is_on(),
                removed: removed.into_iter().collect(),
            }
        };
        let is_news = newest.is_none_or(|newest| {
            GroupRecord {
                number,
                ..record.clone()
            } != *newest
        }) || above > number;
        if is_news {
            let sign = |message: &[u8]| self.key.sign(message).ok()?.try_into().ok();
            let signed = SignedRecord::sign(record, sign)
                .ok()
                .flatten()
                .ok_or(AuthorityError::Signing)?;
            self.records.adopt(signed)?;
        }
        Ok(self.records.save(disk, &self.state)?)
    }

    fn own(&self) -> MutexGuard<'_, BTreeSet<PeerId>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({})", self.public)
    }
}

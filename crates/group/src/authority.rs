//! The group's certificate authority: who is a member, and under which name.
//!
//! Its key, the member table and the invites are the only hard state of a
//! group. It writes every certificate itself: of a request it takes the key and
//! nothing else, once the request's signature has proved that the key is the
//! asker's. A key is signed if it is a member's already, if an invite lets it
//! in, or if the group is open.
//!
//! What has been decided is on disk before anybody is told. Calls that change
//! something wait for the disk: from async code, use a blocking thread for
//! them. The others ([`Authority::renew`], [`Authority::is_removed`], ...) do not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{self, UnparsedPublicKey};
use data_encoding::HEXLOWER;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519, PublicKeyData, SanType, SerialNumber,
    SignatureAlgorithm, SigningKey,
};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use thorp_wire::frame::{GroupRecord, Join, Joined, Reason, Refused, SignedRecord, Token};
use thorp_wire::{MemberName, PeerId};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use crate::certificate::{self, CaKey};
use crate::clock::unix_seconds;
use crate::identity::{self, Identity};
use crate::record::{self, REMOVED, RecordError, Records};
use crate::state::{StateDir, StateError};

/// Where there is one, there is a group's CA.
pub const KEY_FILE: &str = "ca.p8";
const MEMBERS_FILE: &str = "members.json";
const INVITES_FILE: &str = "invites.json";
const POLICY_FILE: &str = "policy.json";
/// A group's hard state. In this order they are put back: without the key, and
/// with members, nothing takes a directory for a group's or makes it one.
pub const FILES: [&str; 5] = [
    MEMBERS_FILE,
    INVITES_FILE,
    POLICY_FILE,
    record::FILE,
    KEY_FILE,
];

/// How long a certificate is valid.
pub const VALIDITY: Duration = Duration::from_hours(30 * 24);
/// How far it is backdated, for clocks that are a little behind.
pub const BACKDATED: Duration = Duration::from_hours(1);
/// How long an invite is good for, unless told otherwise.
pub const INVITE_VALIDITY: Duration = Duration::from_hours(24);
/// How long an invite that has ended is remembered, to say what became of it.
const INVITE_MEMORY: u64 = 30 * 24 * 3600;
/// The last second that a certificate can name (the year 9999), less some.
const LAST_SECOND: u64 = 253_370_764_800;

/// The most members of a group.
pub const MAX_MEMBERS: usize = 100_000;
/// The most invites that are remembered.
pub const MAX_INVITES: usize = 1_000;
/// The most uses of an invite.
pub const MAX_USES: u32 = 10_000;

/// A group's CA and its tables.
pub struct Authority {
    state: Arc<StateDir>,
    key: KeyPair,
    public: CaKey,
    certificate: CertificateDer<'static>,
    /// Held for a moment only, never over the disk.
    tables: Mutex<Tables>,
    /// What everybody is to know of the tables.
    records: Records,
    /// Keys that are this machine's: without them there would be no group.
    own: Mutex<BTreeSet<PeerId>>,
    /// Held over a change and its way to the disk.
    changing: Mutex<()>,
}

/// Everything that changes.
#[derive(Clone, Default)]
struct Tables {
    members: BTreeMap<PeerId, Row>,
    names: BTreeSet<MemberName>,
    invites: Vec<InviteRow>,
    policy: Policy,
}

#[derive(Clone)]
struct Row {
    name: MemberName,
    since: u64,
    removed: bool,
}

/// A member as the table has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRow {
    /// Its key.
    pub id: PeerId,
    /// Its human name.
    pub name: MemberName,
    /// When it became one, in seconds since 1970.
    pub since: u64,
    /// Whether it is one no longer.
    pub removed: bool,
}

/// Whether a state directory, which another process may have, keeps a group
/// that is entered by invitation.
pub fn is_by_invitation(state: &Path) -> bool {
    let policy = fs::read(state.join(POLICY_FILE)).ok();
    let policy = policy.and_then(|bytes| serde_json::from_slice::<Policy>(&bytes).ok());
    state.join(KEY_FILE).exists() && !policy.unwrap_or_default().open
}

impl Authority {
    /// The CA in a state directory, made where there is none.
    pub fn load_or_create(state: Arc<StateDir>) -> Result<Self, AuthorityError> {
        let tables = Tables::load(&state)?;
        let (key, id) = match identity::load_key(&state, KEY_FILE)? {
            Some(found) => found,
            // A new key would silently shut every member out.
            None if !tables.members.is_empty() => return Err(AuthorityError::KeyMissing),
            None => {
                let key =
                    KeyPair::generate_for(&PKCS_ED25519).map_err(|_| AuthorityError::Signing)?;
                let id = identity::public_key(&key).ok_or(AuthorityError::Signing)?;
                state.write_secret(KEY_FILE, key.serialized_der())?;
                (key, id)
            }
        };
        let certificate = ca_params()
            .self_signed(&key)
            .map_err(|_| AuthorityError::Signing)?;
        let public = CaKey(*id.as_bytes());
        let authority = Self {
            records: Records::load(&state, public)?,
            own: Mutex::default(),
            state,
            key,
            public,
            certificate: certificate.der().clone(),
            tables: Mutex::new(tables),
            changing: Mutex::default(),
        };
        // Whatever was decided before a crash is told now.
        authority.change(|_| Ok(()))?;
        Ok(authority)
    }

    /// The key that the group is known by.
    pub fn ca(&self) -> CaKey {
        self.public
    }

    /// The CA's own certificate: only a first contact with an open group reads it.
    pub fn ca_certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    /// The group's records: each change of what the group allows or of who was
    /// removed makes a new one. Whoever follows them can tell everybody at once.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// Takes over who was removed by a record of the members: after an older state
    /// was restored, they know better, whichever number theirs has. What the group
    /// allows is for its owner to say again.
    pub fn learn(&self, record: &SignedRecord) -> Result<(), AuthorityError> {
        self.records.verify(record)?;
        let above = record.record().number;
        // If that is all there is to it, nothing has to be signed.
        self.records.adopt(record.clone())?;
        self.change_above(above, |tables| {
            for id in &record.record().removed {
                if !tables.members.contains_key(id) {
                    let name = MemberName::nearest(&id.short());
                    tables.add(*id, Some(&name), SystemTime::UNIX_EPOCH)?;
                }
                if let Some(row) = tables.members.get_mut(id) {
                    row.removed = true;
                }
            }
            Ok(())
        })
    }

    /// Whether whoever asks is let in.
    pub fn is_open(&self) -> bool {
        self.tables().policy.open
    }

    /// Lets whoever asks in from now on, or no longer.
    pub fn set_open(&self, open: bool) -> Result<(), AuthorityError> {
        self.change(|tables| {
            tables.policy = Policy { open };
            Ok(())
        })
    }

    /// The tables are of an earlier time, and members may have records that were
    /// signed since: from now on numbers are above theirs, so that what they know is
    /// brought up wherever they meet a record of this one's.
    pub fn begin_anew(&self, now: SystemTime) -> Result<(), AuthorityError> {
        /// More than a group changes in a second.
        const A_SECOND: u64 = 1 << 24;
        self.change_above(unix_seconds(now).saturating_mul(A_SECOND), |_| Ok(()))
    }

    /// All members, and those that were removed, in the order of their keys.
    pub fn members(&self) -> Vec<MemberRow> {
        let tables = self.tables();
        let rows = tables.members.iter();
        rows.map(|(id, row)| MemberRow {
            id: *id,
            name: row.name.clone(),
            since: row.since,
            removed: row.removed,
        })
        .collect()
    }

    /// Reads all of its files while nothing changes in them: names and bytes.
    pub fn files(&self) -> Result<Vec<(&'static str, Vec<u8>)>, AuthorityError> {
        let _no_change = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut files = Vec::new();
        for name in FILES {
            if let Some(bytes) = self.state.read(name)? {
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

    /// Gives this key no certificate any more, invited or not, and has a record
    /// say so to everybody. Its name stays taken. Says whether it was a member.
    pub fn remove(&self, id: PeerId) -> Result<bool, AuthorityError> {
        if self.own().contains(&id) {
            return Err(AuthorityError::Own);
        }
        self.change(|tables| {
            if tables.removed().count() >= GroupRecord::MAX_REMOVED {
                return Err(AuthorityError::TooManyRemoved);
            }
            let row = tables.members.get_mut(&id).filter(|row| !row.removed);
            Ok(row.map(|row| row.removed = true).is_some())
        })
    }

    /// Makes an invite's secret, good for `uses` machines until `validity` is over.
    pub fn invite(
        &self,
        uses: u32,
        validity: Duration,
        now: SystemTime,
    ) -> Result<Token, AuthorityError> {
        let mut token = Token([0; 16]);
        getrandom::fill(&mut token.0).map_err(|_| AuthorityError::Signing)?;
        let now = unix_seconds(now);
        self.change(|tables| {
            tables
                .invites
                .retain(|row| row.ends.saturating_add(INVITE_MEMORY) > now);
            if tables.invites.len() >= MAX_INVITES {
                return Err(AuthorityError::TooManyInvites);
            }
            tables.invites.push(InviteRow {
                hash: hash(&token),
                uses: uses.clamp(1, MAX_USES),
                ends: now.saturating_add(validity.as_secs()),
                used_by: Vec::new(),
            });
            Ok(())
        })?;
        Ok(token)
    }

    /// Answers somebody who asks to become a member.
    pub fn admit(&self, join: &Join, now: SystemTime) -> Result<Vec<u8>, AuthorityError> {
        let id = requested_key(&join.request)?;
        self.look_up(id, join, now)?;
        let name = self.change(|tables| {
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

    /// Turns away whom [`admit`](Self::admit) would, before tables are copied for it.
    fn look_up(&self, id: PeerId, join: &Join, now: SystemTime) -> Result<(), AuthorityError> {
        let tables = self.tables();
        if let Some(row) = tables.members.get(&id) {
            row.name_unless_removed()?;
        } else if !tables.policy.open {
            tables.invite_for(join.token.as_ref(), id, unix_seconds(now))?;
        }
        Ok(())
    }

    /// Whether somebody asks to become a member whose key is none's yet.
    pub fn is_newcomer(&self, join: &Join) -> bool {
        let id = requested_key(&join.request);
        id.is_ok_and(|id| !self.tables().members.contains_key(&id))
    }

    /// Answers a member that is known by its link and asks for a new certificate.
    pub fn renew_for(
        &self,
        id: PeerId,
        join: &Join,
        now: SystemTime,
    ) -> Result<Joined, AuthorityError> {
        if requested_key(&join.request)? != id {
            return Err(AuthorityError::Request("it is for another member's key"));
        }
        Ok(self.joined(self.renew(id, now)?, now))
    }

    /// What is said to somebody who gets this certificate.
    pub fn joined(&self, certificate: Vec<u8>, now: SystemTime) -> Joined {
        Joined {
            certificate,
            record: self.records.newest(),
            time: i64::try_from(unix_seconds(now)).unwrap_or(i64::MAX),
        }
    }

    /// A new certificate for a member that is known by its link.
    pub fn renew(&self, id: PeerId, now: SystemTime) -> Result<Vec<u8>, AuthorityError> {
        let name = match self.tables().members.get(&id) {
            Some(row) => row.name_unless_removed()?,
            None => return Err(AuthorityError::NotInvited(InviteError::None)),
        };
        self.sign(id, &name, false, now)
    }

    /// The tracker's own certificate as of now, without a look at the disk.
    pub fn tracker_certificate_again(
        &self,
        tracker: PeerId,
        now: SystemTime,
    ) -> Result<Vec<u8>, AuthorityError> {
        let name = match self.tables().members.get(&tracker) {
            Some(row) => row.name.clone(),
            None => return Err(AuthorityError::NotInvited(InviteError::None)),
        };
        self.sign(tracker, &name, true, now)
    }

    /// The tracker's own certificate, the only one for `tracker.thorp`.
    pub fn tracker_certificate(
        &self,
        tracker: &Identity,
        name: &MemberName,
        now: SystemTime,
    ) -> Result<Vec<u8>, AuthorityError> {
        self.own_certificate(tracker, name, true, now)
    }

    /// A certificate for a peer on the CA's own machine, which needs no invite.
    pub fn local_certificate(
        &self,
        peer: &Identity,
        name: &MemberName,
        now: SystemTime,
    ) -> Result<Vec<u8>, AuthorityError> {
        self.own_certificate(peer, name, false, now)
    }

    fn own_certificate(
        &self,
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
            None => self.change(|tables| tables.add(id, Some(name), now))?,
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
        // Positive, and never with a zero in front (RFC 5280, 4.1.2.2).
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
            .signed_by(&MemberKey(id), &self.issuer())
            .map_err(|_| AuthorityError::Signing)?;
        Ok(certificate.der().to_vec())
    }

    /// What signs. A test signs with it what no authority would.
    pub(crate) fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::new(ca_params(), &self.key)
    }

    /// Changes a copy of the tables, and makes it the truth once it is on disk.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Tables) -> Result<T, AuthorityError>,
    ) -> Result<T, AuthorityError> {
        self.change_above(0, change)
    }

    /// The same, where members may have records up to this number.
    fn change_above<T>(
        &self,
        above: u64,
        change: impl FnOnce(&mut Tables) -> Result<T, AuthorityError>,
    ) -> Result<T, AuthorityError> {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.tables().clone();
        let mut after = before.clone();
        let answer = change(&mut after)?;
        after.save(&before, &self.state)?;
        *self.tables() = after;
        self.tell(above)?;
        Ok(answer)
    }

    /// Makes a new record, if the newest does not say what the tables do, or is not
    /// above this number. So it makes up for one that was lost, too.
    fn tell(&self, above: u64) -> Result<(), AuthorityError> {
        let newest = self.records.newest();
        let newest = newest.as_ref().map(SignedRecord::record);
        let number = newest.map_or(0, |newest| newest.number);
        let record = {
            let tables = self.tables();
            // Whom an earlier one removed stays removed, whatever the tables had
            // room for.
            let before = newest.map_or(&[][..], |newest| &newest.removed);
            let removed: BTreeSet<PeerId> =
                tables.removed().chain(before.iter().copied()).collect();
            GroupRecord {
                number: number.max(above).saturating_add(1),
                open: tables.policy.open,
                bittorrent: false,
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
        Ok(self.records.save(&self.state)?)
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

fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name("thorp");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// The key in a certificate request that has been signed with it.
fn requested_key(request: &[u8]) -> Result<PeerId, AuthorityError> {
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

/// A public key as rcgen wants it.
struct MemberKey(PeerId);

impl PublicKeyData for MemberKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl Row {
    fn name_unless_removed(&self) -> Result<MemberName, AuthorityError> {
        if self.removed {
            return Err(AuthorityError::Removed);
        }
        Ok(self.name.clone())
    }
}

impl Tables {
    fn load(state: &StateDir) -> Result<Self, AuthorityError> {
        let mut tables = Self {
            invites: state.read_json(INVITES_FILE)?.unwrap_or_default(),
            policy: state.read_json(POLICY_FILE)?.unwrap_or_default(),
            ..Self::default()
        };
        let stored: Vec<StoredMember> = state.read_json(MEMBERS_FILE)?.unwrap_or_default();
        for member in stored {
            let damaged = |why: &str| state.corrupt(MEMBERS_FILE, why);
            let id = member.id.parse().map_err(|_| damaged("an `id` is none"))?;
            let name: MemberName = member
                .name
                .parse()
                .map_err(|_| damaged("a `name` is none"))?;
            let row = Row {
                name: name.clone(),
                since: member.since,
                removed: member.removed,
            };
            if tables.members.insert(id, row).is_some() || !tables.names.insert(name) {
                return Err(damaged("a member is there twice").into());
            }
        }
        Ok(tables)
    }

    /// Writes what is different from `before`.
    fn save(&self, before: &Self, state: &StateDir) -> Result<(), StateError> {
        // A token that is written as used without its member can be used again
        // by the same key; the other way round it would be used twice.
        if self.invites != before.invites {
            state.write_json(INVITES_FILE, &self.invites)?;
        }
        if self.policy != before.policy {
            state.write_json(POLICY_FILE, &self.policy)?;
        }
        let removed = |tables: &Self| tables.removed().count();
        if self.members.len() != before.members.len() || removed(self) != removed(before) {
            let stored: Vec<_> = self.members.iter().map(StoredMember::new).collect();
            state.write_json(MEMBERS_FILE, &stored)?;
        }
        Ok(())
    }

    /// Keys that are no members any more, ascending.
    fn removed(&self) -> impl Iterator<Item = PeerId> {
        let removed = self.members.iter().filter(|(_, row)| row.removed);
        removed.map(|(id, _)| *id)
    }

    fn add(
        &mut self,
        id: PeerId,
        wanted: Option<&MemberName>,
        now: SystemTime,
    ) -> Result<MemberName, AuthorityError> {
        if self.members.len() >= MAX_MEMBERS {
            return Err(AuthorityError::Full);
        }
        let wanted = wanted.cloned().unwrap_or_else(|| MemberName::nearest(""));
        let mut name = wanted.clone();
        let mut number = 1;
        while !self.names.insert(name.clone()) {
            number += 1;
            name = wanted.numbered(number);
        }
        let row = Row {
            name: name.clone(),
            since: unix_seconds(now),
            removed: false,
        };
        self.members.insert(id, row);
        Ok(name)
    }

    /// Uses an invite up by one, unless this key has used it before.
    fn redeem(&mut self, token: Option<&Token>, id: PeerId, now: u64) -> Result<(), InviteError> {
        let (at, used_before) = self.invite_for(token, id, now)?;
        if !used_before {
            self.invites[at].used_by.push(id.to_string());
        }
        Ok(())
    }

    /// The invite that lets this key in, and whether it has done so before.
    fn invite_for(
        &self,
        token: Option<&Token>,
        id: PeerId,
        now: u64,
    ) -> Result<(usize, bool), InviteError> {
        let hash = hash(token.ok_or(InviteError::None)?);
        // Of a secret's hash, how long a comparison takes gives nothing away.
        let at = self.invites.iter().position(|row| row.hash == hash);
        let at = at.ok_or(InviteError::Wrong)?;
        let row = &self.invites[at];
        if row.used_by.contains(&id.to_string()) {
            return Ok((at, true));
        }
        if now >= row.ends {
            return Err(InviteError::Expired);
        }
        if row.used_by.len() >= row.uses as usize {
            return Err(InviteError::Used);
        }
        Ok((at, false))
    }
}

fn hash(token: &Token) -> String {
    HEXLOWER.encode(digest(&SHA256, &token.0).as_ref())
}

#[derive(Serialize, Deserialize)]
struct StoredMember {
    id: String,
    name: String,
    since: u64,
    #[serde(default)]
    removed: bool,
}

impl StoredMember {
    fn new((id, row): (&PeerId, &Row)) -> Self {
        Self {
            id: id.to_string(),
            name: row.name.to_string(),
            since: row.since,
            removed: row.removed,
        }
    }
}

/// An invite as it is remembered: without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct InviteRow {
    hash: String,
    uses: u32,
    ends: u64,
    used_by: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Policy {
    open: bool,
}

/// Why a certificate is not given, sorted by what to do next.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// Ask the group's owner for an invite.
    #[error(transparent)]
    NotInvited(#[from] InviteError),
    /// The group's owner does not want this machine.
    #[error("{REMOVED}")]
    Removed,
    /// Remove another one, or stop the tracker for good.
    #[error("that is the machine that keeps the group: without it there is no group")]
    Own,
    /// Make a new group.
    #[error(
        "{} machines were removed already, and no more can be told of; make a new group and invite the others",
        GroupRecord::MAX_REMOVED
    )]
    TooManyRemoved,
    /// A record that was made up.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The asker's program is at fault.
    #[error("the certificate request is not one: {0}")]
    Request(&'static str),
    /// Remove some members first.
    #[error("the group is full: it has {MAX_MEMBERS} members; the others have to be removed first")]
    Full,
    /// Wait until some of them have ended.
    #[error(
        "there are {MAX_INVITES} invites already; wait until some have expired, or make one for several machines"
    )]
    TooManyInvites,
    /// The tables are there, but the key is not.
    #[error(
        "the group's key (ca.p8) is missing though it has members; restore it from a backup, or move members.json away to make a new group"
    )]
    KeyMissing,
    /// The tracker's disk.
    #[error(transparent)]
    State(#[from] StateError),
    /// The tracker's random generator, or its library.
    #[error("the tracker could not sign the certificate; see its log")]
    Signing,
}

impl AuthorityError {
    /// What the asker is told. The state of the tracker's disk is not its business.
    pub fn refusal(&self) -> Refused {
        let (reason, text) = match self {
            Self::NotInvited(_) | Self::Removed => (Reason::NotInvited, self.to_string()),
            Self::Request(_) => (Reason::NotServed, self.to_string()),
            Self::Full | Self::TooManyInvites => (Reason::Busy, self.to_string()),
            Self::KeyMissing
            | Self::State(_)
            | Self::Signing
            | Self::Own
            | Self::TooManyRemoved
            | Self::Record(_) => (Reason::NotServed, Self::Signing.to_string()),
        };
        Refused { reason, text }
    }
}

/// Why an invite does not let somebody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InviteError {
    /// No token came with the request.
    #[error("this group is by invitation: ask its owner for an invite (`thorp invite`)")]
    None,
    /// Nobody knows this token.
    #[error("this invite is not known (any more); ask for a new one (`thorp invite`)")]
    Wrong,
    /// Others have used it.
    #[error("this invite has been used already; ask for a new one (`thorp invite`)")]
    Used,
    /// Too late.
    #[error("this invite has expired; ask for a new one (`thorp invite`)")]
    Expired,
}

#[cfg(test)]
mod tests;

//! The newest group record that this node has: who is no member any more.
//!
//! A [`Records`] is made once for a group and cloned to whoever lets members
//! in or keeps them: what is adopted through one clone counts for all of them
//! at once. It owns the check of a record's signature and its file; who is told
//! of a record is decided in `thorp-core`, and the CA's own are made in
//! [`authority`](crate::authority).
//!
//! Invariant: the number only grows, and so do the removed keys, here and on the
//! disk.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use thiserror::Error;
use thorp_wire::PeerId;
use thorp_wire::frame::SignedRecord;
use tokio::sync::watch;

use crate::certificate::CaKey;
use crate::state::{StateDir, StateError};

/// The signed bytes, as they came.
/// Where a state directory has it.
pub const FILE: &str = "group-record";

/// What is said to a removed member, by everybody who knows.
pub const REMOVED: &str = "this machine was removed from the group. To come back it needs a new key and a new invite: \
     thorp leave --purge, then thorp join";

/// The newest record of one group. Clones are the same.
#[derive(Clone)]
pub struct Records {
    ca: CaKey,
    newest: Arc<watch::Sender<Option<SignedRecord>>>,
    /// The number of the one on disk. Held over a write, so that they come in order.
    on_disk: Arc<Mutex<u64>>,
}

impl Records {
    /// Of this group, with no record yet.
    pub fn new(ca: CaKey) -> Self {
        Self {
            ca,
            newest: Arc::new(watch::Sender::new(None)),
            on_disk: Arc::default(),
        }
    }

    /// With the one in a state directory, if there is one.
    pub fn load(state: &StateDir, ca: CaKey) -> Result<Self, StateError> {
        let records = Self::new(ca);
        if let Some(bytes) = state.read(FILE)? {
            let damaged = |why: &dyn fmt::Display| state.corrupt(FILE, why);
            let found = SignedRecord::read(&bytes).map_err(|why| damaged(&why))?;
            let adopted = records.adopt(found).map_err(|why| damaged(&why))?;
            *records.on_disk() = adopted.map_or(0, |record| record.record().number);
        }
        Ok(records)
    }

    /// Forgets the one in a state directory: it leaves its group.
    pub fn forget(state: &StateDir) -> Result<(), StateError> {
        state.remove(FILE)
    }

    /// Whether this key may be a member. Cheap: to be asked wherever somebody
    /// comes in.
    pub fn allows(&self, id: &PeerId) -> bool {
        self.newest
            .borrow()
            .as_ref()
            .is_none_or(|newest| !newest.record().removes(id))
    }

    /// The newest, if there is one.
    pub fn newest(&self) -> Option<SignedRecord> {
        self.newest.borrow().clone()
    }

    /// The newest, now and whenever it has changed: then whoever has connections
    /// to members asks again whether they are allowed.
    pub fn changes(&self) -> watch::Receiver<Option<SignedRecord>> {
        self.newest.subscribe()
    }

    /// Makes a record the newest, if it is newer, lets nobody in again and is signed
    /// by the group's CA. Returns it, or nothing if it is no news. It is in force at once;
    /// [`save`](Self::save) keeps it.
    pub fn adopt(&self, record: SignedRecord) -> Result<Option<SignedRecord>, RecordError> {
        if !self.is_news(&record) {
            return Ok(None);
        }
        self.verify(&record)?;
        let adopted = self.newest.send_if_modified(|newest| {
            let follows = follows(newest.as_ref(), &record);
            if follows {
                *newest = Some(record.clone());
            }
            follows
        });
        Ok(adopted.then_some(record))
    }

    /// Writes the newest into a state directory, unless it is there already.
    /// Waits for the disk.
    pub fn save(&self, state: &StateDir) -> Result<(), StateError> {
        let mut on_disk = self.on_disk();
        let Some(newest) = self.newest() else {
            return Ok(());
        };
        if newest.record().number > *on_disk {
            state.write(FILE, newest.as_bytes())?;
            *on_disk = newest.record().number;
        }
        Ok(())
    }

    /// Whether the group's CA has signed it.
    pub fn verify(&self, record: &SignedRecord) -> Result<(), RecordError> {
        let (signature, message) = record.signature_and_message();
        UnparsedPublicKey::new(&ED25519, self.ca.0)
            .verify(&message, signature)
            .map_err(|_| RecordError::Forged)
    }

    /// Whether it is newer than ours, and removes whom ours does.
    fn is_news(&self, record: &SignedRecord) -> bool {
        follows(self.newest.borrow().as_ref(), record)
    }

    fn on_disk(&self) -> std::sync::MutexGuard<'_, u64> {
        self.on_disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Records({:?})", self.newest())
    }
}

/// Whether the one takes the place of the other.
fn follows(newest: Option<&SignedRecord>, record: &SignedRecord) -> bool {
    newest.is_none_or(|newest| {
        let (newest, record) = (newest.record(), record.record());
        newest.number < record.number && record.removes_all_of(newest)
    })
}

/// A record that is none. Close the link that it came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecordError {
    /// Whoever has sent it made it up, or belongs to another group.
    #[error("the group record is not signed by this group's CA")]
    Forged,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use thorp_wire::FrameError;
    use thorp_wire::frame::GroupRecord;

    use super::*;
    use crate::authority::Authority;
    use crate::identity::Identity;
    use crate::testing::{Group, state};

    fn removal(group: &Group, name: &str) -> (PeerId, SignedRecord) {
        let id = group.member(name).member().id;
        assert!(group.authority.remove(id).expect("removes"));
        let record = group.authority.records().newest().expect("is made");
        (id, record)
    }

    /// The same CA before it knew of anybody.
    fn before_all(group: &Group) -> Authority {
        let (temporary, dir) = state();
        let key = group.state().read("ca.p8").expect("reads");
        let key = key.expect("is there");
        dir.write_secret("ca.p8", &key).expect("writes");
        // What it writes later may be lost.
        let _ = temporary.keep();
        Authority::load_or_create(Arc::new(dir)).expect("a CA")
    }

    #[test]
    fn the_highest_number_counts_and_older_ones_change_nothing() {
        let group = Group::new();
        let (ash, first) = removal(&group, "ash");
        let (elm, second) = removal(&group, "elm");
        assert!(first.record().number < second.record().number);
        let records = Records::new(group.authority.ca());
        let changes = records.changes();
        for (record, is_news) in [(&first, true), (&second, true), (&first, false)] {
            let adopted = records.adopt(record.clone()).expect("is signed");
            assert_eq!(adopted.is_some(), is_news);
        }
        assert!(!records.allows(&ash) && !records.allows(&elm));
        assert!(records.allows(&PeerId::new([7; 32])));
        assert_eq!(changes.borrow().as_ref(), Some(&second));
    }

    #[test]
    fn a_record_of_somebody_else_is_forged() {
        let group = Group::new();
        let (_, good) = removal(&group, "ash");
        let (_, other) = removal(&Group::new(), "elm");
        let records = Records::new(group.authority.ca());
        assert_eq!(records.adopt(other), Err(RecordError::Forged));
        let bytes = good.as_bytes();
        for at in 0..bytes.len() {
            let mut bad = bytes.to_vec();
            bad[at] ^= 1;
            // Where it can still be read at all, it is not what was signed.
            if let Ok(bad) = SignedRecord::read(&bad) {
                let answer = records.adopt(bad);
                assert!(
                    matches!(answer, Err(RecordError::Forged) | Ok(None)),
                    "{at}"
                );
            }
        }
        assert_eq!(records.newest(), None);
    }

    #[test]
    fn it_is_kept_and_a_damaged_one_is_said() {
        let group = Group::new();
        let ca = group.authority.ca();
        let (ash, record) = removal(&group, "ash");
        let (_temporary, state) = state();
        let records = Records::load(&state, ca).expect("there is none");
        records.save(&state).expect("there is nothing to save");
        assert_eq!(records.newest(), None);
        records.adopt(record.clone()).expect("is signed");
        for _ in 0..2 {
            records.save(&state).expect("saves");
        }
        let again = Records::load(&state, ca).expect("is there");
        assert_eq!(again.newest(), Some(record.clone()));
        assert!(!again.allows(&ash));

        let mut bytes = record.as_bytes().to_vec();
        bytes[0] ^= 1;
        state.write(FILE, &bytes).expect("writes");
        let error = Records::load(&state, ca)
            .expect_err("is damaged")
            .to_string();
        assert!(error.contains("group-record is damaged"), "{error}");
        assert!(error.contains("not signed"), "{error}");
        Records::forget(&state).expect("forgets");
        assert!(Records::load(&state, ca).expect("is gone").allows(&ash));
    }

    #[test]
    fn a_record_with_too_many_keys_is_not_made() {
        let removed = (0..=GroupRecord::MAX_REMOVED)
            .map(|n| {
                let mut id = [0; 32];
                id[..8].copy_from_slice(&(n as u64).to_be_bytes());
                PeerId::new(id)
            })
            .collect();
        let record = GroupRecord {
            number: 1,
            open: false,
            bittorrent: false,
            removed,
        };
        let made = SignedRecord::sign(record, |_| Some([0; 64]));
        assert!(matches!(made, Err(FrameError::Malformed(_))));
    }

    #[test]
    fn the_authority_tells_what_it_decides_and_makes_up_for_a_lost_record() {
        let (temporary, dir) = state();
        let load = |dir| Authority::load_or_create(Arc::new(dir)).expect("a CA");
        let authority = load(dir);
        let said = |authority: &Authority| {
            let newest = authority.records().newest().expect("is made");
            newest.record().clone()
        };
        assert_eq!((said(&authority).number, said(&authority).open), (1, false));
        authority.set_open(true).expect("opens");
        assert_eq!((said(&authority).number, said(&authority).open), (2, true));
        authority.set_open(true).expect("is open");
        assert_eq!(said(&authority).number, 2, "nothing has changed");
        let ash = Identity::generate().expect("a key");
        let now = std::time::SystemTime::now();
        let join = thorp_wire::frame::Join {
            token: None,
            request: ash.certificate_request().expect("a request"),
            name: None,
        };
        authority.admit(&join, now).expect("is open");
        assert_eq!(said(&authority).number, 2, "who is in is nobody's business");
        authority.remove(ash.id()).expect("removes");
        let decided = said(&authority);
        assert_eq!((decided.number, &decided.removed[..]), (3, &[ash.id()][..]));
        drop(authority);

        let open = || StateDir::open(temporary.path().join("state")).expect("opens");
        let authority = load(open());
        assert_eq!(said(&authority), decided);
        drop(authority);
        let dir = open();
        Records::forget(&dir).expect("is lost");
        let authority = load(dir);
        assert_eq!(said(&authority).removed, decided.removed);
    }

    #[test]
    fn a_restored_authority_learns_from_its_members_who_was_removed() {
        let group = Group::new();
        let (ash, _) = removal(&group, "ash");
        let (elm, newer) = removal(&group, "elm");
        let restored = before_all(&group);
        assert_eq!(restored.ca(), group.authority.ca());
        restored.learn(&newer).expect("is signed");
        assert_eq!(restored.records().newest(), Some(newer));
        for id in [ash, elm] {
            assert!(restored.is_removed(id));
        }
        assert!(restored.members().iter().all(|row| row.removed));
        let ticket = std::time::SystemTime::now() + Duration::from_secs(1);
        assert!(restored.renew(ash, ticket).is_err());
    }

    #[test]
    fn a_record_that_would_let_somebody_in_again_is_not_adopted() {
        let group = Group::new();
        let (ash, known) = removal(&group, "ash");
        let restored = before_all(&group);
        for turn in 0..=known.record().number {
            restored.set_open(turn % 2 == 0).expect("is told");
        }
        let ignorant = restored.records().newest().expect("is made");
        assert!(known.record().number < ignorant.record().number);
        let records = Records::new(group.authority.ca());
        records.adopt(known.clone()).expect("is signed");
        assert_eq!(records.adopt(ignorant.clone()), Ok(None));
        assert!(!records.allows(&ash));
        // Told of what the members know, it says all of it.
        restored.learn(&known).expect("is signed");
        let merged = restored.records().newest().expect("is made");
        assert!(merged.record().removes(&ash) && merged.record().removes_all_of(ignorant.record()));
        assert_eq!(records.adopt(merged.clone()), Ok(Some(merged)));
    }

    #[test]
    fn the_machine_that_keeps_the_group_cannot_be_removed() {
        let group = Group::new();
        let own = Identity::generate().expect("a key");
        let now = std::time::SystemTime::now();
        let name = "hall".parse().expect("a name");
        let certificate = group.authority.tracker_certificate(&own, &name, now);
        certificate.expect("is signed");
        let error = group
            .authority
            .remove(own.id())
            .expect_err("is the tracker");
        assert!(error.to_string().contains("keeps the group"), "{error}");
    }
}

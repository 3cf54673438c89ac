//! The newest group record that this node knows: which members were removed.
//!
//! A [`Records`] is made once for a group and cloned for every part that admits members or keeps
//! links with them: a record that one clone adopts is in force for all of them at once. This
//! module owns the record's file and the check of its signature. `thorp-core` decides which
//! members a record is sent to, and [`authority`](crate::authority) signs records.
//!
//! Invariant: the record's number and its set of removed keys only grow, in memory and on the
//! disk.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use thiserror::Error;
use thorp_disk::DiskThread;
use thorp_wire::PeerId;
use thorp_wire::frame::SignedRecord;
use tokio::sync::watch;

use crate::certificate::CaKey;
use crate::state::{StateDir, StateError};

/// The record's file in a state directory.
pub const FILE: &str = "group-record";

/// What a removed member is told by any member that knows of the removal.
pub const REMOVED: &str = "this machine was removed from the group. To come back it needs a new key and a new invite: \
     thorp leave --purge, then thorp join";

/// The newest record of one group. Clones share it.
#[derive(Clone)]
pub struct Records {
    ca: CaKey,
    newest: Arc<watch::Sender<Option<SignedRecord>>>,
    /// The number of the record on disk. Locked during a write, so that records are written in
    /// order.
    on_disk: Arc<Mutex<u64>>,
}

impl Records {
    /// Makes a `Records` of this group that has no record yet.
    pub fn new(ca: CaKey) -> Self {
        Self {
            ca,
            newest: Arc::new(watch::Sender::new(None)),
            on_disk: Arc::default(),
        }
    }

    /// Loads the record of a state directory, if there is one.
    pub fn load(disk: DiskThread, state: &StateDir, ca: CaKey) -> Result<Self, StateError> {
        let records = Self::new(ca);
        if let Some(bytes) = state.read(disk, FILE)? {
            let damaged = |why: &dyn fmt::Display| state.corrupt(FILE, why);
            let found = SignedRecord::read(&bytes).map_err(|why| damaged(&why))?;
            let adopted = records.adopt(found).map_err(|why| damaged(&why))?;
            *records.on_disk() = adopted.map_or(0, |record| record.record().number);
        }
        Ok(records)
    }

    /// Whether the record in a state directory, which another process may have locked, says that
    /// this key was removed. A damaged record says nothing.
    pub fn peek_removes(
        disk: DiskThread,
        state: &Path,
        ca: CaKey,
        id: &PeerId,
    ) -> Result<bool, StateError> {
        let Some(bytes) = StateDir::peek(disk, state, FILE)? else {
            return Ok(false);
        };
        let records = Self::new(ca);
        let found = SignedRecord::read(&bytes);
        Ok(found.is_ok_and(|found| records.adopt(found).is_ok()) && !records.allows(id))
    }

    /// Removes the record of a state directory, because its machine leaves the group.
    pub fn forget(disk: DiskThread, state: &StateDir) -> Result<(), StateError> {
        state.remove(disk, FILE)
    }

    /// Whether this key may be a member. Cheap enough to be called for every connection.
    pub fn allows(&self, id: &PeerId) -> bool {
        self.newest
            .borrow()
            .as_ref()
            .is_none_or(|newest| !newest.record().removes(id))
    }

    /// Returns the newest record, if there is one.
    pub fn newest(&self) -> Option<SignedRecord> {
        self.newest.borrow().clone()
    }

    /// Whether there is a record, and it says that any machine that asks is let in.
    pub fn is_open(&self) -> bool {
        let newest = self.newest.borrow();
        newest.as_ref().is_some_and(|newest| newest.record().open)
    }

    /// Whether there is a record, and it says that members serve ordinary BitTorrent clients.
    pub fn serves_clients(&self) -> bool {
        let newest = self.newest.borrow();
        newest
            .as_ref()
            .is_some_and(|newest| newest.record().bittorrent)
    }

    /// Whether there is a record, and it says that machines come into the group by invitation
    /// only.
    pub fn is_by_invitation(&self) -> bool {
        let newest = self.newest.borrow();
        newest.as_ref().is_some_and(|newest| !newest.record().open)
    }

    /// Returns the newest record and its changes. After each, the owner of connections to members
    /// has to check whether these are still allowed.
    pub fn changes(&self) -> watch::Receiver<Option<SignedRecord>> {
        self.newest.subscribe()
    }

    /// Makes a record the newest if it is newer, readmits no removed member and is signed by the
    /// group's CA. Returns it, or `None` if it does not replace the newest. It is in force at
    /// once; [`save`](Self::save) makes it permanent.
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

    /// Writes the newest record into a state directory, unless it is on disk already.
    pub fn save(&self, disk: DiskThread, state: &StateDir) -> Result<(), StateError> {
        let mut on_disk = self.on_disk();
        let Some(newest) = self.newest() else {
            return Ok(());
        };
        if newest.record().number > *on_disk {
            state.write(disk, FILE, newest.as_bytes())?;
            *on_disk = newest.record().number;
        }
        Ok(())
    }

    /// Checks that the group's CA has signed a record.
    pub fn verify(&self, record: &SignedRecord) -> Result<(), RecordError> {
        let (signature, message) = record.signature_and_message();
        UnparsedPublicKey::new(&ED25519, self.ca.0)
            .verify(&message, signature)
            .map_err(|_| RecordError::Forged)
    }

    /// Whether a record would replace the newest one.
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

/// Whether a record is newer than the newest one and removes all members that that one removes.
fn follows(newest: Option<&SignedRecord>, record: &SignedRecord) -> bool {
    newest.is_none_or(|newest| {
        let (newest, record) = (newest.record(), record.record());
        newest.number < record.number && record.removes_all_of(newest)
    })
}

/// A record that is not the group's. The link that it came over has to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecordError {
    /// The sender forged the record, or belongs to another group.
    #[error("the group record is not signed by this group's CA")]
    Forged,
}

#[cfg(test)]
mod tests;

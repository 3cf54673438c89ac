//! The newest group record that this node has: which members were removed.
//!
//! A [`Records`] is made once for a group and cloned for everything that lets
//! members in or keeps links with them: a record that one clone adopts counts
//! for all at once. It owns the check of a record's signature and its file.
//! `thorp-core` decides which members a record is sent to, and
//! [`authority`](crate::authority) makes the records.
//!
//! Invariant: the number only grows, and so do the removed keys, here and on the
//! disk.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use thiserror::Error;
use thorp_disk::DiskThread;
use thorp_wire::PeerId;
use thorp_wire::frame::SignedRecord;
use tokio::sync::watch;

use crate::certificate::CaKey;
use crate::state::{StateDir, StateError};

/// Where a state directory has it.
pub const FILE: &str = "group-record";

/// What a removed member is told, by any member that knows.
pub const REMOVED: &str = "this machine was removed from the group. To come back it needs a new key and a new invite: \
     thorp leave --purge, then thorp join";

/// The newest record of one group. Clones are the same.
#[derive(Clone)]
pub struct Records {
    ca: CaKey,
    newest: Arc<watch::Sender<Option<SignedRecord>>>,
    /// The number of the one on disk. Locked during a write, so that records
    /// are written in order.
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

    /// Removes the one in a state directory, as its machine leaves the group.
    pub fn forget(disk: DiskThread, state: &StateDir) -> Result<(), StateError> {
        state.remove(disk, FILE)
    }

    /// Whether this key may be a member. Cheap, so that it can be asked for
    /// every connection.
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

    /// The newest, now and whenever it changes. An owner of connections to
    /// members has to ask then whether these are still allowed.
    pub fn changes(&self) -> watch::Receiver<Option<SignedRecord>> {
        self.newest.subscribe()
    }

    /// Makes a record the newest, if it is newer, lets no removed member in
    /// again and is signed by the group's CA. Returns it, or `None` if it is no
    /// news. It is in force at once; [`save`](Self::save) keeps it.
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

    /// Whether the group's CA has signed it.
    pub fn verify(&self, record: &SignedRecord) -> Result<(), RecordError> {
        let (signature, message) = record.signature_and_message();
        UnparsedPublicKey::new(&ED25519, self.ca.0)
            .verify(&message, signature)
            .map_err(|_| RecordError::Forged)
    }

    /// Whether it is newer than the newest one here, and removes all members
    /// that this one removes.
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

/// Whether a record may take the place of the newest one.
fn follows(newest: Option<&SignedRecord>, record: &SignedRecord) -> bool {
    newest.is_none_or(|newest| {
        let (newest, record) = (newest.record(), record.record());
        newest.number < record.number && record.removes_all_of(newest)
    })
}

/// A record that is not the group's. Close the link that it came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecordError {
    /// Its sender forged it, or belongs to another group.
    #[error("the group record is not signed by this group's CA")]
    Forged,
}

#[cfg(test)]
mod tests;

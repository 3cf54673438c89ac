//! The tables of a group: members, invites and policy, in memory and on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use thorp_disk::DiskThread;
use thorp_wire::frame::Token;
use thorp_wire::{MemberName, PeerId};

use crate::clock::unix_seconds;
use crate::state::{StateDir, StateError};

use super::error::{AuthorityError, NotInvited};
use super::limits::{MAX_INVITES, MAX_MEMBERS};

pub(super) const MEMBERS_FILE: &str = "members.json";
pub(super) const INVITES_FILE: &str = "invites.json";
pub(super) const POLICY_FILE: &str = "policy.json";

/// How long an expired invite is remembered, in seconds, if there is room, so that its user can be
/// told that it has expired.
const INVITE_MEMORY: u64 = 30 * 24 * 3600;

/// All tables.
#[derive(Clone, Default)]
pub(super) struct Tables {
    pub(super) members: BTreeMap<PeerId, Row>,
    names: BTreeSet<MemberName>,
    pub(super) invites: Vec<InviteRow>,
    pub(super) policy: Policy,
}

#[derive(Clone)]
pub(super) struct Row {
    pub(super) name: MemberName,
    pub(super) since: u64,
    pub(super) removed: bool,
}

impl Row {
    pub(super) fn name_unless_removed(&self) -> Result<MemberName, AuthorityError> {
        if self.removed {
            return Err(AuthorityError::Removed);
        }
        Ok(self.name.clone())
    }
}

impl Tables {
    pub(super) fn load(disk: DiskThread, state: &StateDir) -> Result<Self, AuthorityError> {
        let mut tables = Self {
            invites: state.read_json(disk, INVITES_FILE)?.unwrap_or_default(),
            policy: state.read_json(disk, POLICY_FILE)?.unwrap_or_default(),
            ..Self::default()
        };
        let stored: Vec<StoredMember> = state.read_json(disk, MEMBERS_FILE)?.unwrap_or_default();
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

    /// Writes the tables that differ from `before`.
    pub(super) fn save(
        &self,
        disk: DiskThread,
        before: &Self,
        state: &StateDir,
    ) -> Result<(), StateError> {
        // Invites go first. After a crash between the two writes, the key that used the token can
        // use it again; in the other order a second key could use it as well.
        if self.invites != before.invites {
            state.write_json(disk, INVITES_FILE, &self.invites)?;
        }
        if self.policy != before.policy {
            state.write_json(disk, POLICY_FILE, &self.policy)?;
        }
        let removed = |tables: &Self| tables.removed().count();
        if self.members.len() != before.members.len() || removed(self) != removed(before) {
            let stored: Vec<_> = self.members.iter().map(StoredMember::new).collect();
            state.write_json(disk, MEMBERS_FILE, &stored)?;
        }
        Ok(())
    }

    /// Returns the keys of removed members, ascending.
    pub(super) fn removed(&self) -> impl Iterator<Item = PeerId> {
        let removed = self.members.iter().filter(|(_, row)| row.removed);
        removed.map(|(id, _)| *id)
    }

    pub(super) fn add(
        &mut self,
        id: PeerId,
        wanted: Option<&MemberName>,
        now: SystemTime,
    ) -> Result<MemberName, AuthorityError> {
        if self.members.len() >= MAX_MEMBERS {
            return Err(AuthorityError::Full);
        }
        let name = wanted.cloned().unwrap_or_else(|| MemberName::nearest(""));
        Ok(self.insert(id, name, unix_seconds(now), false))
    }

    /// Marks a key as removed, also one that has no row: a machine that joined after the backup
    /// was made that was restored. A full table has room for that too, so that nobody is safe
    /// from removal; their number has a bound of its own. Returns whether the key was not marked
    /// before.
    pub(super) fn remove(&mut self, id: PeerId) -> bool {
        let Some(row) = self.members.get_mut(&id) else {
            self.insert(id, MemberName::nearest(&id.short()), 0, true);
            return true;
        };
        !std::mem::replace(&mut row.removed, true)
    }

    fn insert(&mut self, id: PeerId, wanted: MemberName, since: u64, removed: bool) -> MemberName {
        let name = self.free_name(wanted);
        self.names.insert(name.clone());
        let row = Row {
            name: name.clone(),
            since,
            removed,
        };
        self.members.insert(id, row);
        name
    }

    /// The name that is wanted, or one with a number that is free: the first one as a rule,
    /// but found in few steps also where a hundred thousand machines want the same name.
    fn free_name(&self, wanted: MemberName) -> MemberName {
        if !self.names.contains(&wanted) {
            return wanted;
        }
        let is_free = |number| !self.names.contains(&wanted.numbered(number));
        let (mut taken, mut free) = (1, 2);
        while !is_free(free) {
            (taken, free) = (free, free * 2);
        }
        while free - taken > 1 {
            let between = taken + (free - taken) / 2;
            if is_free(between) {
                free = between;
            } else {
                taken = between;
            }
        }
        wanted.numbered(free)
    }

    /// Adds an invite. Where there are as many as may be, the first one that lets no machine in any
    /// more is forgotten for it: one that has expired, or is used up.
    pub(super) fn add_invite(&mut self, row: InviteRow, now: u64) -> Result<(), AuthorityError> {
        self.invites
            .retain(|row| row.ends.saturating_add(INVITE_MEMORY) > now);
        if self.invites.len() >= MAX_INVITES {
            let over = self.invites.iter().position(|row| row.is_over(now));
            self.invites
                .remove(over.ok_or(AuthorityError::TooManyInvites)?);
        }
        self.invites.push(row);
        Ok(())
    }

    /// Uses an invite up by one, unless this key has used it before.
    pub(super) fn redeem(
        &mut self,
        token: Option<&Token>,
        id: PeerId,
        now: u64,
    ) -> Result<(), NotInvited> {
        let (at, used_before) = self.invite_for(token, id, now)?;
        if !used_before {
            self.invites[at].used_by.push(id.to_string());
        }
        Ok(())
    }

    /// Returns the index of the invite that admits this key, and whether the key has used it
    /// before.
    pub(super) fn invite_for(
        &self,
        token: Option<&Token>,
        id: PeerId,
        now: u64,
    ) -> Result<(usize, bool), NotInvited> {
        let hash = hash(token.ok_or(NotInvited::None)?);
        // Hashes need no constant-time comparison: its duration reveals nothing of the token.
        let at = self.invites.iter().position(|row| row.hash == hash);
        let at = at.ok_or(NotInvited::Wrong)?;
        let row = &self.invites[at];
        if row.used_by.contains(&id.to_string()) {
            return Ok((at, true));
        }
        if row.has_expired(now) {
            return Err(NotInvited::Expired);
        }
        if row.is_used_up() {
            return Err(NotInvited::Used);
        }
        Ok((at, false))
    }
}

pub(super) fn hash(token: &Token) -> String {
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

/// An invite as it is stored: without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InviteRow {
    pub(super) hash: String,
    pub(super) uses: u32,
    pub(super) ends: u64,
    pub(super) used_by: Vec<String>,
}

impl InviteRow {
    fn has_expired(&self, now: u64) -> bool {
        now >= self.ends
    }

    fn is_used_up(&self) -> bool {
        self.used_by.len() >= self.uses as usize
    }

    /// Whether it lets no other machine in.
    fn is_over(&self, now: u64) -> bool {
        self.has_expired(now) || self.is_used_up()
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Policy {
    pub(super) open: bool,
    /// Not in the files of older versions.
    #[serde(default)]
    pub(super) tracks: Tracks,
}

/// Which torrents the group's tracker tracks for ordinary BitTorrent clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tracks {
    /// None: such clients are not answered at all.
    #[default]
    Off,
    /// Those that members share.
    Group,
    /// Any.
    Any,
}

impl Tracks {
    /// Whether ordinary clients are answered.
    pub fn is_on(self) -> bool {
        self != Self::Off
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> PeerId {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        PeerId::new(id)
    }

    #[test]
    fn a_full_table_lets_nobody_in_but_keeps_nobody_from_being_removed() {
        let mut tables = Tables::default();
        for number in 0..MAX_MEMBERS {
            let number = u32::try_from(number).expect("is small");
            let name = MemberName::nearest(&format!("m{number}"));
            tables.insert(id(number), name, 0, false);
        }
        assert!(tables.remove(id(0)));
        let full = tables.add(id(u32::MAX), None, SystemTime::now());
        assert!(matches!(full, Err(AuthorityError::Full)));
        // One that joined after a backup has no row.
        assert!(tables.remove(id(u32::MAX)));
        assert!(!tables.remove(id(u32::MAX)));
        assert!(tables.removed().eq([id(0), id(u32::MAX)]));
    }

    #[test]
    fn machines_that_want_one_name_get_numbers_in_order_and_in_few_steps() {
        let mut tables = Tables::default();
        let wanted: MemberName = "vm".parse().expect("a name");
        let mut next = 0;
        let mut add = |wanted: &MemberName| {
            next += 1;
            let added = tables.add(id(next), Some(wanted), SystemTime::now());
            added.expect("there is room").to_string()
        };
        // One is taken by a machine that is called so.
        assert_eq!(add(&wanted.numbered(3)), "vm-3");
        let names: Vec<String> = (0..4).map(|_| add(&wanted)).collect();
        assert_eq!(names, ["vm", "vm-2", "vm-4", "vm-5"]);
        let mut all: BTreeSet<String> = names.into_iter().collect();
        // One by one it would be five thousand million steps.
        for _ in 0..90_000 {
            assert!(all.insert(add(&wanted)));
        }
        assert!(all.contains("vm-90004"));
        // A long name is cut for its number.
        let long: MemberName = "a".repeat(MemberName::MAX).parse().expect("a name");
        for _ in 0..1000 {
            assert!(all.insert(add(&long)));
        }
    }
}

//! How a state directory forgets its group, or everything.
//!
//! A node that runs on the directory is stopped first, with a goodbye. Only files that thorp has
//! made are ever removed, by their names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thorp_disk::DiskThread;
use thorp_files::share;
use thorp_group::identity::{self, Membership};
use thorp_group::record::Records;
use thorp_group::sightings::Sightings;
use thorp_group::state::{EMBEDDED, StateDir};
use thorp_group::{authority, backup, record};

use super::desk::keeps_ca;
use super::office::is_there;
use super::owner::{GOODBYE_WITHIN, LOOK_EVERY, running_or_state, until_let_go};
use super::{LaunchError, on_disk};
use crate::api::{Command, Event, Failure};
use crate::local;
use crate::log;
use crate::page;
use crate::peer::Memory;

/// The files that make a peer a member, and in which it remembers its group.
const GROUP: [&str; 4] = [
    identity::MEMBERSHIP_FILE,
    record::FILE,
    Memory::FILES[0],
    Memory::FILES[1],
];
/// An empty file that records that the user has been told where fetched files go.
pub const TOLD_WHERE: &str = "told-where";

/// What leaving a group would mean for a state directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is no state directory.
    Nothing,
    /// The state directory belongs to no group.
    Alone,
    /// The state directory is that of a member; another machine keeps the group.
    Member,
    /// The state directory keeps the CA of its group, which would end without it.
    Keeper,
    /// The state directory is that of a member of another machine's group, and keeps the CA of
    /// its own group as well.
    MemberAndKeeper,
}

/// What [`leave`] did not remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// The files that thorp has not made, if all of the state directory was to be removed.
    pub stays: Vec<PathBuf>,
    /// Whether the group had removed this machine's key, which has been kept.
    pub was_removed: bool,
}

/// Returns what leaving would mean for a state directory.
pub async fn standing(path: &Path) -> Result<Standing, LaunchError> {
    let path = path.to_owned();
    on_disk(move |disk| standing_of(disk, &path)).await
}

pub(super) fn standing_of(disk: DiskThread, path: &Path) -> Result<Standing, LaunchError> {
    if !StateDir::is_there(disk, path)? {
        return Ok(Standing::Nothing);
    }
    let embedded = path.join(EMBEDDED);
    let own = match path {
        path if keeps_ca(disk, path)? => Some(path),
        _ if keeps_ca(disk, &embedded)? => Some(&*embedded),
        _ => None,
    };
    let is_member = StateDir::has(disk, path, identity::MEMBERSHIP_FILE)?;
    Ok(match own {
        None if is_member => Standing::Member,
        None => Standing::Alone,
        Some(own) => {
            let key = identity::peek_key(disk, own, authority::KEY_FILE)?;
            let ca = Membership::peek(disk, path)?.map(|(ca, _)| ca);
            match (key, ca) {
                (Some(key), Some(ca)) if ca.0 != *key.as_bytes() => Standing::MemberAndKeeper,
                _ => Standing::Keeper,
            }
        }
    })
}

/// Reads the membership of a state directory, whether or not a node runs on it.
pub async fn membership(path: &Path) -> Result<Option<Membership>, LaunchError> {
    let path = path.to_owned();
    on_disk(move |disk| Ok(Membership::peek_whole(disk, &path)?)).await
}

/// Whether the group is known here to have removed this machine, whether or not a node runs on
/// the state directory.
pub async fn was_removed(path: &Path) -> Result<bool, LaunchError> {
    let path = path.to_owned();
    on_disk(move |disk| Ok(is_removed(disk, &path))).await
}

/// Stops the node that runs on a state directory, and forgets its group. With `purge`, removes
/// everything, including any group that is kept there.
pub async fn leave(path: &Path, purge: bool) -> Result<Left, LaunchError> {
    match standing(path).await? {
        Standing::Nothing if purge => return Ok(Left::default()),
        Standing::Nothing | Standing::Alone if !purge => {
            return Err(LaunchError::NothingToLeave { state: path.into() });
        }
        Standing::Keeper if !purge => {
            return Err(LaunchError::KeepsTheGroup { state: path.into() });
        }
        _ => {}
    }
    let mut states = vec![stopped(path).await?];
    let embedded = path.join(EMBEDDED);
    if purge && is_there(&embedded).await? {
        states.push(stopped(&embedded).await?);
    }
    let path = path.to_owned();
    on_disk(move |disk| {
        if !purge {
            let was_removed = is_removed(disk, states[0].path());
            for name in GROUP {
                states[0].remove(disk, name)?;
            }
            return Ok(Left {
                was_removed,
                ..Left::default()
            });
        }
        // The embedded directory goes first.
        while let Some(state) = states.pop() {
            clear(disk, state)?;
        }
        Ok(Left {
            stays: left_in(disk, &path),
            ..Left::default()
        })
    })
    .await
}

/// Whether the group's record says that this machine was removed. An unreadable record counts as
/// no, so that it does not prevent leaving.
fn is_removed(disk: DiskThread, state: &Path) -> bool {
    let id = identity::peek_key(disk, state, identity::KEY_FILE);
    let group = Membership::peek(disk, state);
    let (Ok(Some(id)), Ok(Some((ca, _)))) = (id, group) else {
        return false;
    };
    Records::peek_removes(disk, state, ca, &id).unwrap_or(false)
}

/// Stops the node that runs on a state directory, and returns the directory, locked.
async fn stopped(path: &Path) -> Result<StateDir, LaunchError> {
    let deadline = tokio::time::Instant::now() + GOODBYE_WITHIN;
    loop {
        match running_or_state(path, &Command::Stop).await? {
            Err(state) => return Ok(state),
            Ok(_) if tokio::time::Instant::now() >= deadline => {
                // The error names the process that still uses the directory.
                let path = path.to_owned();
                return on_disk(move |disk| Ok(StateDir::open(disk, path)?)).await;
            }
            Ok(answer) => {
                let mut answer = until_let_go(answer, path);
                while let Some(event) = answer.recv().await {
                    if let Event::Error(
                        failure @ (Failure::NotAnswering { .. } | Failure::StillEnding { .. }),
                    ) = event
                    {
                        return Err(failure.into());
                    }
                }
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Removes thorp's files from a directory, and the directory itself if it is empty then.
fn clear(disk: DiskThread, state: StateDir) -> Result<(), LaunchError> {
    for name in own_files() {
        state.remove(disk, name)?;
        state.remove(disk, &StateDir::temporary(name))?;
    }
    for folder in [backup::STAGING, share::CACHE, page::CACHE] {
        if let Err(error) = fs::remove_dir_all(state.file(folder))
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error.into());
        }
    }
    Ok(state.end(disk)?)
}

/// Returns every file that thorp makes in a state directory, except those of [`StateDir`] itself.
/// A file that is missing here outlives `leave --purge`.
fn own_files() -> impl Iterator<Item = &'static str> {
    let others = [
        identity::KEY_FILE,
        local::SOCKET,
        Sightings::FILE,
        Sightings::UNREAD,
        log::FILE,
        log::OLD_FILE,
        TOLD_WHERE,
        page::TOKEN_FILE,
        page::LINK_FILE,
    ];
    GROUP.into_iter().chain(authority::FILES).chain(others)
}

fn left_in(_: DiskThread, path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten();
    let mut left: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    left.sort();
    left
}

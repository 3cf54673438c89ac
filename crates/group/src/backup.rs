//! A group's hard state in one file: its CA, its tracker's key, its tables.
//!
//! This module owns the file's format, and how it is written and restored. The format is a JSON
//! object: the version of the state it was taken from, the state's files in base64, and a
//! checksum over all of that. The checksum detects damage but not an attacker: with the file, an
//! attacker controls the group anyway.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use thorp_disk::DiskThread;
use thorp_wire::reserved::VERSION_FILE;

use crate::authority::{self, Authority, AuthorityError};
use crate::identity;
use crate::state::{self, EMBEDDED, StateDir, StateError};

/// The largest backup file that is read, in bytes.
const MAX_FILE: u64 = 512 * 1024 * 1024;
/// The directory, within a state directory, for files that are being restored.
pub const STAGING: &str = ".restoring";

/// A group's hard state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The version of the state that the files were taken from.
    version: u32,
    files: BTreeMap<String, Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(rename = "thorp-backup")]
    version: u32,
    sha256: String,
    files: BTreeMap<String, String>,
}

/// The part that every version of the format has.
#[derive(Deserialize)]
struct Marker {
    #[serde(rename = "thorp-backup")]
    version: u32,
}

impl Backup {
    /// Copies the state of a tracker, which may be running in this process.
    pub fn of(
        disk: DiskThread,
        state: &StateDir,
        authority: &Authority,
    ) -> Result<Self, BackupError> {
        let files = authority.files(disk)?.into_iter();
        let mut files: BTreeMap<_, _> = files
            .map(|(name, bytes)| (name.to_owned(), bytes))
            .collect();
        if let Some(key) = state.read(disk, identity::KEY_FILE)? {
            files.insert(identity::KEY_FILE.to_owned(), key);
        }
        Ok(Self {
            version: state::VERSION,
            files,
        })
    }

    /// Encodes the backup as the content of a file.
    pub fn to_text(&self) -> String {
        let files = self.files.iter();
        let stored = Stored {
            version: self.version,
            sha256: self.checksum(),
            files: files
                .map(|(name, bytes)| (name.clone(), BASE64.encode(bytes)))
                .collect(),
        };
        // Strings and numbers can always be encoded.
        let mut text = serde_json::to_string_pretty(&stored).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Decodes the content of a backup file, and checks it.
    pub fn parse(text: &[u8]) -> Result<Self, BackupError> {
        let marker: Marker = serde_json::from_slice(text).map_err(|error| {
            if error.is_eof() {
                BackupError::Damaged("it ends too early")
            } else {
                BackupError::Damaged("it is no backup that thorp made")
            }
        })?;
        if marker.version > state::VERSION {
            return Err(BackupError::Newer(marker.version));
        }
        let damaged = BackupError::Damaged;
        let stored: Stored =
            serde_json::from_slice(text).map_err(|_| damaged("a part of it is missing"))?;
        let mut files = BTreeMap::new();
        for (name, bytes) in stored.files {
            let bytes = BASE64.decode(bytes.as_bytes());
            let bytes = bytes.map_err(|_| damaged("a file in it is not base64"))?;
            files.insert(name, bytes);
        }
        let backup = Self {
            version: stored.version,
            files,
        };
        if backup.checksum() != stored.sha256 {
            return Err(damaged("its checksum does not fit"));
        }
        let known = |name: &String| names().any(|known| known == name);
        if !backup.files.keys().all(known) {
            return Err(damaged("it holds a file that is none of a group's"));
        }
        let whole = [authority::KEY_FILE, identity::KEY_FILE];
        if !whole.iter().all(|name| backup.files.contains_key(*name)) {
            return Err(damaged("a key is not in it"));
        }
        Ok(backup)
    }

    /// Reads a backup file.
    pub fn read(disk: DiskThread, path: &Path) -> Result<Self, BackupError> {
        let file = File::open(path).map_err(|error| BackupError::file("read", path, error))?;
        Self::read_from(disk, file, path)
    }

    /// Reads a backup from a stream; `path` names the stream in messages.
    pub fn read_from(_: DiskThread, source: impl Read, path: &Path) -> Result<Self, BackupError> {
        let mut text = Vec::new();
        source
            .take(MAX_FILE + 1)
            .read_to_end(&mut text)
            .map_err(|error| BackupError::file("read", path, error))?;
        if text.len() as u64 > MAX_FILE {
            return Err(BackupError::Damaged("it is larger than any backup"));
        }
        Self::parse(&text)
    }

    /// Returns the first of these state directories that keeps the same group.
    pub fn kept_in<'a>(
        &self,
        disk: DiskThread,
        states: &'a [PathBuf],
    ) -> Result<Option<&'a PathBuf>, BackupError> {
        let key = self.files.get(authority::KEY_FILE).cloned();
        let id = key.and_then(identity::key_id);
        for state in states {
            let kept = identity::peek_key(disk, state, authority::KEY_FILE)?;
            if kept.is_some() && kept == id {
                return Ok(Some(state));
            }
        }
        Ok(None)
    }

    /// Restores the backup into a state directory without a group's state, and returns how many
    /// members the group has. Everything is checked before the first file gets its final name.
    pub fn restore(&self, disk: DiskThread, path: &Path) -> Result<usize, BackupError> {
        let target = StateDir::open(disk, path)?;
        let staging = target.file(STAGING);
        let is_broken_off = staging.exists() && !target.file(authority::KEY_FILE).exists();
        if !is_broken_off && let Some(holds) = names().find(|name| target.file(name).exists()) {
            return Err(BackupError::NotEmpty {
                path: path.into(),
                holds,
            });
        }
        let failed = |error| BackupError::file("write", &staging, error);
        remove_dir(&staging).map_err(failed)?;
        let members = self.stage(disk, &staging).inspect_err(|_| {
            // What is wrong with the backup matters more than a failure to remove the directory.
            let _ = remove_dir(&staging);
        })?;
        for name in names() {
            match fs::rename(staging.join(name), target.file(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(BackupError::file("write", &target.file(name), error));
                }
                _ => {}
            }
        }
        remove_dir(&staging)
            .and_then(|()| thorp_disk::synced(File::open(path)?.sync_all()))
            .map_err(failed)?;
        Ok(members)
    }

    /// Writes the files into a temporary state directory, and checks that they can be used.
    fn stage(&self, disk: DiskThread, staging: &Path) -> Result<usize, BackupError> {
        let failed = |error| BackupError::file("write", staging, error);
        let mut builder = DirBuilder::new();
        builder.mode(0o700).create(staging).map_err(failed)?;
        fs::write(staging.join(VERSION_FILE), format!("{}\n", self.version)).map_err(failed)?;
        let state = Arc::new(StateDir::open(disk, staging)?);
        for (name, bytes) in &self.files {
            state.write_secret(disk, name, bytes)?;
        }
        for name in [authority::KEY_FILE, identity::KEY_FILE] {
            identity::load_key(disk, &state, name)
                .map_err(|_| BackupError::Damaged("a key in it is none"))?;
        }
        let authority = Authority::load_or_create(disk, state).map_err(|error| match error {
            AuthorityError::State(StateError::Corrupt { .. }) => {
                BackupError::Damaged("its tables make no sense")
            }
            error => error.into(),
        })?;
        authority.begin_anew(disk, SystemTime::now())?;
        let members = authority.members().into_iter();
        Ok(members.filter(|row| !row.removed).count())
    }

    fn checksum(&self) -> String {
        let mut context = Context::new(&SHA256);
        context.update(&self.version.to_be_bytes());
        for (name, bytes) in &self.files {
            for part in [name.as_bytes(), bytes] {
                context.update(&(part.len() as u64).to_be_bytes());
                context.update(part);
            }
        }
        HEXLOWER.encode(context.finish().as_ref())
    }
}

/// Returns the state directory that contains a tracker's: for a tracker inside a peer the peer's,
/// otherwise the tracker's own.
fn owner(state: &Path) -> &Path {
    match state.parent() {
        Some(parent) if state.ends_with(EMBEDDED) && parent.join(VERSION_FILE).exists() => parent,
        _ => state,
    }
}

/// What a file's group and all others may do with it, of its mode.
const OTHERS: u32 = 0o077;

/// Writes a new file that only its owner may read. Returns whether that is so: some file systems
/// have no permissions.
pub fn write_new(_: DiskThread, path: &Path, text: &str) -> Result<bool, BackupError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists(path.into()),
        _ => BackupError::file("write", path, error),
    })?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| thorp_disk::synced(file.sync_all()))
        .and_then(|()| file.metadata());
    let is_private = written.map(|file| file.permissions().mode() & OTHERS == 0);
    is_private.map_err(|error| {
        // Leave no incomplete backup behind.
        let _ = fs::remove_file(path);
        BackupError::file("write", path, error)
    })
}

/// Returns the names of the files in the order in which they are restored: the CA's key last.
fn names() -> impl Iterator<Item = &'static str> {
    std::iter::once(identity::KEY_FILE).chain(authority::FILES)
}

fn remove_dir(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Why a backup cannot be made or restored; each variant says what the user can do.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The file exists already: choose another name.
    #[error("{} is there already, and a backup overwrites nothing: name another file", .0.display())]
    Exists(PathBuf),
    /// The directory has another group's state: use another directory, or end that group.
    #[error(
        "{} keeps a group already ({holds} is there), and nothing is overwritten",
        path.display()
    )]
    NotEmpty {
        /// The state directory.
        path: PathBuf,
        /// One of the files in it.
        holds: &'static str,
    },
    /// A state directory on this machine keeps the same group: use that one, or end it.
    #[error(
        "{} keeps this group already, and of two trackers of one group each would know half",
        path.display()
    )]
    Twice {
        /// That state directory.
        path: PathBuf,
        /// The state directory that contains it: for a tracker inside a peer, the peer's.
        owner: PathBuf,
    },
    /// A newer program made the backup: use that program.
    #[error("the backup was made by a newer thorp (state version {0}, this program knows {known}); nothing was changed: use the newer program", known = state::VERSION)]
    Newer(u32),
    /// The backup is damaged: use another copy.
    #[error("the backup is damaged: {0}; nothing was changed: try another copy of it")]
    Damaged(&'static str),
    /// The content of the backup is wrong, or the tracker's disk fails.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The system reported an I/O error.
    #[error("cannot {action} {}: {error}", path.display())]
    File {
        /// What was attempted, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
}

impl BackupError {
    /// Makes the error for a state directory that keeps the same group already.
    pub fn twice(_: DiskThread, path: &Path) -> Self {
        Self::Twice {
            path: path.into(),
            owner: owner(path).into(),
        }
    }

    fn file(action: &'static str, path: &Path, error: io::Error) -> Self {
        Self::File {
            action,
            path: path.into(),
            error,
        }
    }
}

#[cfg(test)]
mod tests;

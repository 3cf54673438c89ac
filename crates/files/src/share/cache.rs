//! What was hashed before, on disk: roots and piece layers across restarts.
//!
//! Owns one file for each share (redb: a B-tree with atomic commits) and what
//! is to be written to it next. A row gives a root for a name and the stamp
//! that the file had; the caller has to check that the file still has that
//! stamp. A folder that is moved takes its rows along: its files keep their stamps.
//!
//! If it is damaged, full or missing, files are hashed again. So are those that
//! were not committed when the machine lost power. Commits are for many files at
//! once, because each waits for the disk. Kept torrents, each with a commit of
//! its own, cannot be made anew from the files: those that are lost are served
//! no more until they are kept again.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTableMetadata, StorageError,
    TableDefinition, TableHandle,
};
use thorp_wire::layout::Layout;
use thorp_wire::merkle::{Hash, root_of_layer};
use thorp_wire::{InfoHash, Name, Root};

use super::locks::lock;
use super::warning::ShareWarning;
use crate::stamp::Stamp;

/// Names to values as [`value`] makes them. If the form changes, the table
/// needs another name.
const FILES: Rows = TableDefinition::new("files-1");
/// The same for v1 torrents, as [`v1_value`] makes them. Only where BitTorrent clients are served.
const V1: Rows = TableDefinition::new("v1-1");

/// Torrents that are kept, by their first info-hash in hexadecimal.
const TORRENTS: Rows = TableDefinition::new("torrents-1");

type Rows = TableDefinition<'static, &'static str, &'static [u8]>;

/// At most this much waits to be written, in files and in bytes.
const FILES_AT_ONCE: usize = 4096;
const BYTES_AT_ONCE: usize = 1024 * 1024;
/// Nor for longer than this.
const COMMIT_AFTER: Duration = Duration::from_secs(2);

/// Pages in memory, in bytes.
const PAGES: usize = 4 * 1024 * 1024;

/// A share that was not offered for this long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(90 * 24);

/// Rows of files that are gone are removed only if there are this many.
const STALE: u64 = 1024;

/// See the module.
#[derive(Default)]
pub(super) struct Cache(Mutex<State>);

#[derive(Default)]
struct State {
    file: File,
    /// Rows to write, and rows to remove.
    pending: Pending,
    /// The same for v1 torrents.
    pending_v1: Pending,
    pending_bytes: usize,
    since: Option<Instant>,
    /// How many rows there were, for so many files, after some were removed last.
    pruned: Option<(u64, u64)>,
}

type Pending = BTreeMap<Name, Option<Vec<u8>>>;

#[derive(Default)]
enum File {
    /// Not opened yet: rows wait.
    #[default]
    Closed,
    Open(Database),
    /// There is no database: nothing is kept.
    None,
}

impl Cache {
    /// Opens the file for the share with this path, in a folder for such files,
    /// or makes one. Without a folder nothing is kept.
    pub fn open(&self, folder: Option<&Path>, share: &Path) -> Result<(), ShareWarning> {
        let Some(folder) = folder else {
            lock(&self.0).file = File::None;
            return Ok(());
        };
        let path = file_of(folder, share);
        let (file, warning) = match make(folder)
            .map_err(Failed::from)
            .and_then(|()| database(&path))
        {
            Ok(database) => (File::Open(database), None),
            Err(Failed::Damaged(why)) => set_aside(&path, &why),
            Err(Failed::Unusable(why)) => (File::None, Some(unusable(&path, &why))),
        };
        if !matches!(file, File::None) {
            sweep(folder, &path);
        }
        let mut state = lock(&self.0);
        if matches!(file, File::None) {
            state.forget_pending();
        }
        state.file = file;
        warning.map_or(Ok(()), Err)
    }

    /// The roots of those files that were hashed when they had these stamps, in
    /// order.
    pub fn roots(&self, files: &[(Name, Stamp)]) -> Vec<Option<Root>> {
        let state = lock(&self.0);
        let mut roots = vec![None; files.len()];
        // A file whose row cannot be read is hashed anew.
        let _ = state.read(FILES, files.iter().map(|(name, _)| name), |number, row| {
            let (_, stamp) = &files[number];
            roots[number] = fits(row, stamp).map(|(root, _)| root);
        });
        roots
    }

    /// The hash of each piece of a file that was hashed when it had this stamp.
    pub fn layer(&self, name: &Name, stamp: &Stamp, root: Root) -> Option<Vec<Hash>> {
        let state = lock(&self.0);
        let mut layer = None;
        let read = state.read(FILES, std::iter::once(name), |_, row| {
            layer = fits(row, stamp).map(|(_, layer)| layer);
        });
        read.ok()?;
        let layer = layer?;
        let is_its = root_of_layer(Layout::of(stamp.length), &layer) == Some(root);
        is_its.then_some(layer)
    }

    /// A file was hashed while it had this stamp. Where the stamp does not settle
    /// what is in the file (see [`Stamp::is_settled`]) nothing is kept.
    pub fn keep(
        &self,
        name: &Name,
        stamp: &Stamp,
        root: Root,
        layer: &[Hash],
    ) -> Result<(), ShareWarning> {
        if stamp.length == 0 || !stamp.is_settled(SystemTime::now()) {
            return Ok(());
        }
        self.change(FILES, name, Some(value(stamp, root, layer)))
    }

    /// The info-hashes of the v1 torrents of those files that were hashed for one when they had
    /// these stamps, in order.
    pub fn info_hashes(&self, files: &[(Name, Stamp)]) -> Vec<Option<InfoHash>> {
        let state = lock(&self.0);
        let mut hashes = vec![None; files.len()];
        let _ = state.read(V1, files.iter().map(|(name, _)| name), |number, row| {
            let (_, stamp) = &files[number];
            hashes[number] = fits_v1(row, stamp).map(|(hash, _)| hash);
        });
        hashes
    }

    /// The hashes of the pieces of a file's v1 torrent, if it had this stamp when it was hashed
    /// for it.
    pub fn pieces_v1(&self, name: &Name, stamp: &Stamp) -> Option<Vec<[u8; 20]>> {
        let state = lock(&self.0);
        let mut pieces = None;
        let read = state.read(V1, std::iter::once(name), |_, row| {
            pieces = fits_v1(row, stamp).map(|(_, pieces)| pieces);
        });
        read.ok()?;
        pieces
    }

    /// A file was hashed for a v1 torrent while it had this stamp.
    pub fn keep_v1(
        &self,
        name: &Name,
        stamp: &Stamp,
        info_hash: InfoHash,
        pieces: &[[u8; 20]],
    ) -> Result<(), ShareWarning> {
        if !stamp.is_settled(SystemTime::now()) {
            return Ok(());
        }
        self.change(V1, name, Some(v1_value(stamp, info_hash, pieces)))
    }

    /// Writes a torrent, and waits until it is on disk. An error says why it is not.
    pub fn keep_torrent(&self, first: InfoHash, value: &[u8]) -> Result<(), String> {
        let state = lock(&self.0);
        let database = match &state.file {
            File::Open(database) => database,
            File::Closed => return Err("it has not been opened yet".to_owned()),
            File::None => return Err("there is none, or it cannot be used".to_owned()),
        };
        let written = || {
            let transaction = database.begin_write()?;
            let mut table = transaction.open_table(TORRENTS)?;
            table.insert(first.to_string().as_str(), value)?;
            drop(table);
            transaction.commit()?;
            Ok(())
        };
        written().map_err(|error: redb::Error| error.to_string())
    }

    /// Under which info-hashes torrents were written.
    pub fn torrents(&self) -> Vec<InfoHash> {
        let state = lock(&self.0);
        let File::Open(database) = &state.file else {
            return Vec::new();
        };
        let read = || {
            let table = database.begin_read()?.open_table(TORRENTS)?;
            let mut torrents = Vec::new();
            for row in table.range::<&str>(..)? {
                let first = HEXLOWER.decode(row?.0.value().as_bytes()).ok();
                let first = first.and_then(|first| first.try_into().ok());
                torrents.extend(first.map(InfoHash::new));
            }
            Ok(torrents)
        };
        // A torrent that cannot be read is made anew.
        read().unwrap_or_else(|_: redb::Error| Vec::new())
    }

    /// One of them.
    pub fn torrent(&self, first: InfoHash) -> Option<Vec<u8>> {
        let state = lock(&self.0);
        let File::Open(database) = &state.file else {
            return None;
        };
        let table = database.begin_read().ok()?.open_table(TORRENTS).ok()?;
        let row = table.get(first.to_string().as_str()).ok()??;
        Some(row.value().to_vec())
    }

    /// Removes some of them.
    pub fn forget_torrents(&self, firsts: &[InfoHash]) -> Result<(), ShareWarning> {
        let mut state = lock(&self.0);
        let File::Open(database) = &state.file else {
            return Ok(());
        };
        if firsts.is_empty() {
            return Ok(());
        }
        let removed = || {
            let transaction = database.begin_write()?;
            let mut table = transaction.open_table(TORRENTS)?;
            for first in firsts {
                table.remove(first.to_string().as_str())?;
            }
            drop(table);
            transaction.commit()?;
            Ok(())
        };
        let removed = removed();
        state.or_give_up(removed)
    }

    /// A file has changed, though its stamp is the same.
    pub fn forget(&self, name: &Name) -> Result<(), ShareWarning> {
        self.change(FILES, name, None)?;
        self.change(V1, name, None)
    }

    /// Folders were moved, in this order: what is known of a file is known of it under its new
    /// name, too. A row says by its stamp which file it is of, so one that is of another file by
    /// now does no harm.
    pub fn follow(&self, moved: &[(String, String)]) -> Result<(), ShareWarning> {
        let mut state = lock(&self.0);
        for (from, to) in moved {
            let from = format!("{from}/");
            if state.has_rows_beneath(&from) {
                // They are in the file then.
                state.commit()?;
                let followed = state.follow(&from, &format!("{to}/"));
                state.or_give_up(followed)?;
            }
        }
        Ok(())
    }

    /// When to [`commit`](Self::commit).
    pub fn due(&self) -> Option<Instant> {
        let state = lock(&self.0);
        let is_open = matches!(state.file, File::Open(_));
        state
            .since
            .filter(|_| is_open)
            .map(|since| since + COMMIT_AFTER)
    }

    /// Writes what waits. Blocks until it is on disk.
    pub fn commit(&self) -> Result<(), ShareWarning> {
        lock(&self.0).commit()
    }

    /// Removes the rows of files that are gone, where there are many of them beside those of the
    /// `files` that are listed.
    pub fn prune(
        &self,
        files: u64,
        may_be_there: impl Fn(&str) -> bool,
    ) -> Result<(), ShareWarning> {
        let mut state = lock(&self.0);
        state.commit()?;
        let mut now = state.pruned;
        let File::Open(database) = &mut state.file else {
            return Ok(());
        };
        let pruned = rows(database).and_then(|before| {
            // What was not certain to be gone then is not looked through again and again.
            let is_as_then = now == Some((before, files));
            if before <= files + files / 4 + STALE || is_as_then {
                return Ok(());
            }
            let transaction = database.begin_write()?;
            for table in [FILES, V1] {
                let mut table = transaction.open_table(table)?;
                table.retain(|name, _| may_be_there(name))?;
            }
            transaction.commit()?;
            let left = rows(database)?;
            now = Some((left, files));
            if left < before {
                database.compact()?;
            }
            Ok(())
        });
        state.pruned = now;
        state.or_give_up(pruned)
    }

    /// Writes what waits, and lets go of the file.
    pub fn close(&self) {
        let mut state = lock(&self.0);
        // No listener is left for this error.
        let _ = state.commit();
        state.file = File::None;
        state.forget_pending();
    }

    fn change(&self, table: Rows, name: &Name, row: Option<Vec<u8>>) -> Result<(), ShareWarning> {
        let mut state = lock(&self.0);
        if matches!(state.file, File::None) {
            return Ok(());
        }
        state.since.get_or_insert_with(Instant::now);
        state.pending_bytes += row.as_ref().map_or(0, Vec::len);
        state.pending_in(table).insert(name.clone(), row);
        let pending = state.pending.len() + state.pending_v1.len();
        if pending < FILES_AT_ONCE && state.pending_bytes < BYTES_AT_ONCE {
            return Ok(());
        }
        state.commit()
    }
}

impl State {
    /// Calls `each` for those that have a row, with their number.
    fn read<'a>(
        &self,
        of: Rows,
        names: impl Iterator<Item = &'a Name>,
        mut each: impl FnMut(usize, &[u8]),
    ) -> Result<(), redb::Error> {
        let table = match &self.file {
            File::Open(database) => Some(database.begin_read()?.open_table(of)?),
            File::Closed | File::None => None,
        };
        let pending = if is_v1(of) {
            &self.pending_v1
        } else {
            &self.pending
        };
        for (number, name) in names.enumerate() {
            match (pending.get(name), &table) {
                (Some(row), _) => {
                    if let Some(row) = row {
                        each(number, row);
                    }
                }
                (None, Some(table)) => {
                    if let Some(row) = table.get(name.as_str())? {
                        each(number, row.value());
                    }
                }
                (None, None) => {}
            }
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), ShareWarning> {
        let File::Open(database) = &self.file else {
            return Ok(());
        };
        if self.pending.is_empty() && self.pending_v1.is_empty() {
            return Ok(());
        }
        let written = write(database, [(FILES, &self.pending), (V1, &self.pending_v1)]);
        self.forget_pending();
        self.or_give_up(written)
    }

    /// Whether anything is known of a file whose name begins like this.
    fn has_rows_beneath(&self, prefix: &str) -> bool {
        let range = (Bound::Included(prefix), Bound::Unbounded);
        let waits = |pending: &Pending| {
            let next = pending.range::<str, _>(range).next();
            next.is_some_and(|(name, _)| name.as_str().starts_with(prefix))
        };
        if waits(&self.pending) || waits(&self.pending_v1) {
            return true;
        }
        let File::Open(database) = &self.file else {
            return false;
        };
        let has = |table: Rows| -> Result<bool, redb::Error> {
            let table = database.begin_read()?.open_table(table)?;
            let next = table.range::<&str>(prefix..)?.next().transpose()?;
            Ok(next.is_some_and(|(name, _)| name.value().starts_with(prefix)))
        };
        let mut tables = [FILES, V1].into_iter();
        tables.any(|table| has(table).unwrap_or(false))
    }

    /// Writes the rows of names that begin in one way under names that begin in another.
    fn follow(&self, from: &str, to: &str) -> Result<(), redb::Error> {
        let File::Open(database) = &self.file else {
            return Ok(());
        };
        let before = database.begin_read()?;
        let transaction = database.begin_write()?;
        for table in [FILES, V1] {
            let rows = before.open_table(table)?;
            let mut table = transaction.open_table(table)?;
            for row in rows.range::<&str>(from..)? {
                let (name, row) = row?;
                let Some(rest) = name.value().strip_prefix(from) else {
                    break;
                };
                table.insert(format!("{to}{rest}").as_str(), row.value())?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn pending_in(&mut self, table: Rows) -> &mut Pending {
        if is_v1(table) {
            &mut self.pending_v1
        } else {
            &mut self.pending
        }
    }

    fn forget_pending(&mut self) {
        self.pending.clear();
        self.pending_v1.clear();
        self.pending_bytes = 0;
        self.since = None;
    }

    fn or_give_up(&mut self, result: Result<(), redb::Error>) -> Result<(), ShareWarning> {
        result.map_err(|error| {
            self.file = File::None;
            ShareWarning::HashesUnsaved {
                why: error.to_string(),
            }
        })
    }
}

/// Why there is no database.
enum Failed {
    /// The file is no database, or a damaged one.
    Damaged(String),
    /// The file cannot be used, whatever is in it.
    Unusable(String),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                Self::Damaged(error.to_string())
            }
            _ => Self::Unusable(error.to_string()),
        }
    }
}

impl From<DatabaseError> for Failed {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Storage(StorageError::Io(error)) => error.into(),
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
                Self::Unusable(error.to_string())
            }
            error => Self::Damaged(error.to_string()),
        }
    }
}

/// Makes the folder. Another user may have been able to put something in its place before the
/// directory above was closed to others: a link there would have us write, and remove files,
/// elsewhere.
fn make(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let is_folder = fs::symlink_metadata(folder)?.is_dir();
            is_folder.then_some(()).ok_or_else(not_plain)
        }
        made => made,
    }
}

/// Whether a file is here. It must be no link, and no pipe, which would have to be waited for.
fn is_there(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() => Ok(true),
        Ok(_) => Err(not_plain()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn not_plain() -> io::Error {
    io::Error::other("it is a link, or no plain file")
}

/// Opens a file and checks every page of it: what is damaged is never trusted.
fn database(path: &Path) -> Result<Database, Failed> {
    let mut builder = Builder::new();
    builder
        .set_cache_size(PAGES)
        .set_check_integrity_on_open(true);
    let database = if is_there(path)? {
        builder.create(path)?
    } else {
        // Made under another name first, so that a process that is killed meanwhile
        // leaves no half-made database.
        let fresh = path.with_extension("new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let database = builder.create(&fresh)?;
        fs::rename(&fresh, path)?;
        database
    };
    let table = || {
        let transaction = database.begin_write()?;
        transaction.open_table(FILES)?;
        transaction.open_table(V1)?;
        transaction.open_table(TORRENTS)?;
        transaction.commit()?;
        Ok(())
    };
    match table() {
        Ok(()) => Ok(database),
        Err(redb::Error::Io(error)) => Err(error.into()),
        Err(error) => Err(Failed::Damaged(error.to_string())),
    }
}

/// Makes a new file in place of one that is damaged.
fn set_aside(path: &Path, why: &str) -> (File, Option<ShareWarning>) {
    let aside = path.with_extension("damaged");
    if let Err(error) = fs::rename(path, &aside) {
        return (File::None, Some(unusable(path, &error.to_string())));
    }
    match database(path) {
        Ok(database) => {
            let warning = ShareWarning::HashesDamaged {
                path: path.to_owned(),
                why: why.to_owned(),
                set_aside: aside,
            };
            (File::Open(database), Some(warning))
        }
        Err(Failed::Damaged(why) | Failed::Unusable(why)) => {
            (File::None, Some(unusable(path, &why)))
        }
    }
}

fn unusable(path: &Path, why: &str) -> ShareWarning {
    ShareWarning::HashesUnusable {
        path: path.to_owned(),
        why: why.to_owned(),
    }
}

/// Removes the databases of shares that were not offered for long.
fn sweep(folder: &Path, own: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let age = entry.metadata().and_then(|meta| meta.modified());
        let age = age.ok().and_then(|time| time.elapsed().ok());
        if path != own && age.is_some_and(|age| age > FORGOTTEN_AFTER) {
            // What cannot be removed now is tried again at the next start.
            let _ = fs::remove_file(path);
        }
    }
}

fn file_of(folder: &Path, share: &Path) -> PathBuf {
    let hash = digest(&SHA256, share.as_os_str().as_encoded_bytes());
    let name = HEXLOWER.encode(&hash.as_ref()[..8]);
    folder.join(format!("{name}.redb"))
}

fn rows(database: &Database) -> Result<u64, redb::Error> {
    Ok(database.begin_read()?.open_table(FILES)?.len()?)
}

fn write(database: &Database, tables: [(Rows, &Pending); 2]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    for (table, rows) in tables {
        let mut table = transaction.open_table(table)?;
        for (name, row) in rows {
            match row {
                Some(row) => table.insert(name.as_str(), &row[..])?,
                None => table.remove(name.as_str())?,
            };
        }
    }
    transaction.commit()?;
    Ok(())
}

/// Length, mtime, ctime and inode, 8 bytes each; the root; the piece layer,
/// where there are two pieces or more. Not the device: it may have another
/// number after a restart. Not the mode: a change of it shows in the ctime.
fn value(stamp: &Stamp, root: Root, layer: &[Hash]) -> Vec<u8> {
    let layer = if layer.len() > 1 { layer } else { &[] };
    let mut value = Vec::with_capacity(64 + 32 * layer.len());
    value.extend(stamp_value(stamp));
    value.extend(root.as_bytes());
    value.extend(layer.as_flattened());
    value
}

fn stamp_value(stamp: &Stamp) -> [u8; 32] {
    let mut value = [0; 32];
    value[..8].copy_from_slice(&stamp.length.to_be_bytes());
    value[8..16].copy_from_slice(&stamp.modified().to_be_bytes());
    value[16..24].copy_from_slice(&stamp.ctime.to_be_bytes());
    value[24..].copy_from_slice(&stamp.inode.to_be_bytes());
    value
}

/// The stamp as above; the info-hash; the hash of each piece.
fn v1_value(stamp: &Stamp, info_hash: InfoHash, pieces: &[[u8; 20]]) -> Vec<u8> {
    let mut value = Vec::with_capacity(52 + 20 * pieces.len());
    value.extend(stamp_value(stamp));
    value.extend(info_hash.as_bytes());
    value.extend(pieces.as_flattened());
    value
}

/// The info-hash and the hash of each piece, if the file had this stamp.
fn fits_v1(value: &[u8], stamp: &Stamp) -> Option<(InfoHash, Vec<[u8; 20]>)> {
    let rest = value.strip_prefix(&stamp_value(stamp)[..])?;
    let (info_hash, rest) = rest.split_first_chunk()?;
    let (pieces, odd) = rest.as_chunks();
    let all = Layout::of(stamp.length).pieces()? as usize;
    (odd.is_empty() && pieces.len() == all).then(|| (InfoHash::new(*info_hash), pieces.to_vec()))
}

fn is_v1(table: Rows) -> bool {
    table.name() == V1.name()
}

/// The root and the piece layer, if the file had this stamp.
pub fn fits(value: &[u8], stamp: &Stamp) -> Option<(Root, Vec<Hash>)> {
    let rest = value.strip_prefix(&stamp_value(stamp)[..])?;
    let (root, rest) = rest.split_first_chunk()?;
    let (layer, odd) = rest.as_chunks();
    let pieces = Layout::of(stamp.length).pieces()? as usize;
    let all = match pieces {
        0 | 1 => layer.is_empty(),
        pieces => layer.len() == pieces,
    };
    if !odd.is_empty() || !all {
        return None;
    }
    let layer = if pieces == 1 {
        vec![*root]
    } else {
        layer.to_vec()
    };
    Some((Root::new(*root), layer))
}

#[cfg(test)]
mod tests;

//! The kept torrents in memory: info-hashes, and the files of the share that have the bytes.
//!
//! Owns which of them this share has: those of which every file is listed as it was when the
//! torrent was kept. Where a file is not listed at the moment, the torrent rests. It is forgotten
//! when a file is listed as another content, or when the whole share was looked through and a file
//! was not there for certain. Its info dictionary is on disk (`keeping`).

use std::collections::{BTreeMap, BTreeSet};

use thorp_wire::{Content, Entry, InfoHash, Name};

/// How many torrents are kept, at most. Those that rest give way first, then the oldest.
pub(super) const MOST_KEPT: usize = 1024;
/// How many files they have together.
const MOST_FILES: usize = 400_000;
/// How many bytes they take on disk together.
const MOST_BYTES: usize = 256 * 1024 * 1024;

/// The kept torrents in memory.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// By numbers that grow.
    rows: BTreeMap<u64, Row>,
    by_hash: BTreeMap<InfoHash, u64>,
    by_file: BTreeSet<(Name, u64)>,
    files: usize,
    bytes: usize,
    /// The highest number that was given.
    last: u64,
    has_changed: bool,
    /// The info-hashes that were last taken, in order.
    told: Vec<InfoHash>,
    /// The first info-hashes of torrents that were forgotten.
    forgotten: Vec<InfoHash>,
}

#[derive(Debug)]
pub(super) struct Row {
    /// One, or two of a hybrid torrent.
    hashes: Vec<InfoHash>,
    /// In the order of their names.
    files: Vec<(Name, Content)>,
    /// How many of these are not listed so.
    lacking: usize,
    bytes: usize,
}

impl Row {
    pub fn of(hashes: Vec<InfoHash>, files: &[(Name, Content)], bytes: usize) -> Self {
        let mut files = files.to_vec();
        files.sort_unstable();
        files.dedup();
        files.shrink_to_fit();
        Self {
            hashes,
            lacking: files.len(),
            files,
            bytes,
        }
    }

    /// The info-hash by which it is found on disk.
    pub fn first_hash(&self) -> InfoHash {
        self.hashes[0]
    }

    /// Whether there could not be room for it.
    pub fn is_too_large(&self) -> bool {
        self.files.len() > MOST_FILES || self.bytes > MOST_BYTES
    }

    fn content_of(&self, name: &Name) -> Option<Content> {
        let at = self.files.binary_search_by(|(file, _)| file.cmp(name));
        at.ok().map(|at| self.files[at].1)
    }
}

impl Kept {
    /// A number for the next torrent.
    pub fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// A torrent is kept from now on. `listed` tells of each file what was last taken of it.
    pub fn insert(&mut self, number: u64, mut row: Row, listed: impl Fn(&Name) -> Option<Entry>) {
        self.last = self.last.max(number);
        for hash in &row.hashes {
            if let Some(other) = self.by_hash.get(hash).copied() {
                self.remove(other);
            }
        }
        // One with the same info-hash may have given way before: the new one has its place on disk.
        self.forgotten.retain(|first| *first != row.hashes[0]);
        let is_there = |(name, content): &&(Name, Content)| {
            listed(name).is_some_and(|entry| has(&entry, *content))
        };
        row.lacking -= row.files.iter().filter(is_there).count();
        while let Some(last) = self.next_to_go(&row) {
            self.remove(last);
        }
        self.files += row.files.len();
        self.bytes += row.bytes;
        for hash in &row.hashes {
            self.by_hash.insert(*hash, number);
        }
        let names = row.files.iter().map(|(name, _)| (name.clone(), number));
        self.by_file.extend(names);
        self.rows.insert(number, row);
        self.has_changed = true;
    }

    /// Which torrent gives way to a new one, if there is no room for both.
    fn next_to_go(&self, new: &Row) -> Option<u64> {
        let has_room = self.rows.len() < MOST_KEPT
            && self.files + new.files.len() <= MOST_FILES
            && self.bytes + new.bytes <= MOST_BYTES;
        if has_room {
            return None;
        }
        let resting = self.rows.iter().find(|(_, row)| row.lacking > 0);
        let next = resting.or_else(|| self.rows.first_key_value());
        next.map(|(number, _)| *number)
    }

    fn remove(&mut self, number: u64) {
        let Some(row) = self.rows.remove(&number) else {
            return;
        };
        self.files -= row.files.len();
        self.bytes -= row.bytes;
        for hash in &row.hashes {
            if self.by_hash.get(hash) == Some(&number) {
                self.by_hash.remove(hash);
            }
        }
        for (name, _) in row.files {
            self.by_file.remove(&(name, number));
        }
        self.forgotten.push(row.hashes[0]);
        self.has_changed = true;
    }

    /// Whether there is a torrent with this info-hash, and all its files are listed.
    pub fn has(&self, info_hash: InfoHash) -> bool {
        self.first_hash(info_hash).is_some()
    }

    /// The info-hash by which such a torrent is found on disk.
    pub fn first_hash(&self, info_hash: InfoHash) -> Option<InfoHash> {
        let row = self.rows.get(self.by_hash.get(&info_hash)?)?;
        (row.lacking == 0).then(|| row.hashes[0])
    }

    /// The torrents with these files, all of which are listed.
    pub fn with_files(&self, files: &[(Name, Content)]) -> Vec<InfoHash> {
        let Some((name, _)) = files.first() else {
            return Vec::new();
        };
        let mut files = files.to_vec();
        files.sort_unstable();
        files.dedup();
        let rows = self.of_file(name).filter_map(|at| self.rows.get(&at));
        let alike = rows.filter(|row| row.lacking == 0 && row.files == files);
        alike.map(|row| row.hashes[0]).collect()
    }

    fn of_file(&self, name: &Name) -> impl Iterator<Item = u64> + '_ {
        let range = (name.clone(), 0)..=(name.clone(), u64::MAX);
        self.by_file.range(range).map(|(_, number)| *number)
    }

    pub fn on_listed(&mut self, entry: &Entry) {
        let Some(content) = entry.content().filter(|_| !entry.partial) else {
            return;
        };
        let numbers: Vec<u64> = self.of_file(&entry.name).collect();
        for number in numbers {
            let Some(row) = self.rows.get_mut(&number) else {
                continue;
            };
            if row.content_of(&entry.name) == Some(content) {
                row.lacking -= 1;
                self.has_changed |= row.lacking == 0;
            } else {
                self.remove(number);
            }
        }
    }

    pub fn on_unlisted(&mut self, entry: &Entry) {
        let numbers: Vec<u64> = self.of_file(&entry.name).collect();
        for number in numbers {
            let row = self.rows.get_mut(&number);
            let Some(row) = row else { continue };
            let content = row.content_of(&entry.name);
            if content.is_some_and(|content| has(entry, content)) {
                row.lacking += 1;
                self.has_changed = true;
            }
        }
    }

    /// The whole share was looked through: torrents of which a file is not there are forgotten.
    pub fn on_looked_through(&mut self, is_there: impl Fn(&Name) -> bool) {
        let rows = self.rows.iter().filter(|(_, row)| row.lacking > 0);
        let gone = rows.filter(|(_, row)| row.files.iter().any(|(name, _)| !is_there(name)));
        let gone: Vec<u64> = gone.map(|(number, _)| *number).collect();
        for number in gone {
            self.remove(number);
        }
    }

    /// The info-hashes of all torrents whose files are listed, if they are others than before.
    pub fn take_news(&mut self) -> Option<Vec<InfoHash>> {
        if !std::mem::take(&mut self.has_changed) {
            return None;
        }
        let rows = self.rows.values().filter(|row| row.lacking == 0);
        let mut hashes: Vec<InfoHash> = rows.flat_map(|row| row.hashes.clone()).collect();
        hashes.sort_unstable();
        if hashes == self.told {
            return None;
        }
        self.told.clone_from(&hashes);
        Some(hashes)
    }

    /// The first info-hashes of torrents that are to be removed from the disk.
    pub fn take_forgotten(&mut self) -> Vec<InfoHash> {
        std::mem::take(&mut self.forgotten)
    }
}

fn has(entry: &Entry, content: Content) -> bool {
    !entry.partial && entry.content() == Some(content)
}

#[cfg(test)]
impl Kept {
    /// The first info-hashes of torrents that are to be removed from the disk.
    pub fn forgotten(&self) -> &[InfoHash] {
        &self.forgotten
    }

    /// Asserts that the indices and the sums are those of the rows.
    pub fn check(&self) {
        let files: usize = self.rows.values().map(|row| row.files.len()).sum();
        assert_eq!((self.files, self.by_file.len()), (files, files));
        let bytes: usize = self.rows.values().map(|row| row.bytes).sum();
        assert_eq!(self.bytes, bytes);
        let hashes = self.rows.iter();
        let hashes =
            hashes.flat_map(|(number, row)| row.hashes.iter().map(|hash| (*hash, *number)));
        assert_eq!(self.by_hash, hashes.collect());
    }
}

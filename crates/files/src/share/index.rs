//! What is on offer, in memory: files, links to them, and parts of files to come.
//!
//! Owns the listing, and what has changed in it since the last
//! [`Index::take_delta`]. Touches no file and no clock: its callers look at the
//! disk and tell it what is there.
//!
//! Invariants: the totals are those of the records; `touched` holds, for each name
//! changed since the last [`Index::take_delta`], its entry as it was then. A
//! part of a file is listed where no whole one goes by its name. A link is listed
//! while its file is, with what is known of that, and has no record of its own.
//!
//! A file costs its name and some 135 bytes, in the [`Table`]; what few files have is
//! beside it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::path::{Path, PathBuf};

use thorp_wire::{Attributes, Content, Entry, InfoHash, Name, Root};

use super::kept::{Kept, Row};
use super::table::{Record, Table};
use super::torrents::{SharedTorrent, Torrents};
use crate::stamp::Stamp;

/// Of how many changed files it is remembered what they were.
const MOST_BEFORE: usize = 1024;

/// See the module.
#[derive(Default)]
pub(super) struct Index {
    files: Table,
    /// Files that are being fetched and of which there is a part.
    parts: BTreeMap<Name, Part>,
    /// Links, each with the file that it is another name of, whether that is listed
    /// or not.
    links: BTreeMap<Name, Name>,
    /// The same from the other side: files, each with the links to it.
    linked: BTreeMap<Name, BTreeSet<Name>>,
    /// How many links lead to files that are listed, and bytes in these.
    links_listed: (u64, u128),
    touched: BTreeMap<Name, Option<Entry>>,
    /// The info-hashes of v1 torrents, where BitTorrent clients are served: those of files as
    /// they are listed.
    v1: BTreeMap<Name, InfoHash>,
    /// Of what was listed when it was last taken, where clients are served.
    torrents: Option<Torrents>,
    /// Torrents that follow from no entry, as of the same moment.
    kept: Kept,
    /// Files that could not be opened when they were to be hashed. They come
    /// back when their stamp changes: `chmod` changes it.
    /// Paths, as all that is left out has them: their order is another one than that
    /// of names.
    unreadable: BTreeMap<PathBuf, Stamp>,
    /// Contents that files had until they changed, the latest first.
    before: VecDeque<(Content, Name)>,
    /// Names that a store is about to fill; see [`Index::expect`].
    arriving: BTreeSet<Name>,
    /// Sparse files may pretend to have more bytes than 64 bits can count.
    bytes: u128,
    unhashed: u64,
    unhashed_bytes: u128,
}

/// A file that is being fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    content: Content,
    /// As its first holder lists it.
    attributes: Attributes,
}

/// What has changed in a listing since it was last taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Delta {
    pub added: Vec<Entry>,
    pub removed: Vec<Name>,
}

impl Index {
    /// Creates an empty index, in which files are found by their torrents if `bittorrent`.
    pub fn new(bittorrent: bool) -> Self {
        Self {
            torrents: bittorrent.then(Torrents::default),
            ..Self::default()
        }
    }

    /// A file is there, with this stamp. Keeps its root only if the stamp is
    /// unchanged. Returns whether it needs to be hashed.
    pub fn on_file_found(&mut self, name: &Name, stamp: Stamp) -> bool {
        if self.arriving.contains(name) || self.unreadable.get(as_path(name)) == Some(&stamp) {
            return false;
        }
        match self.files.get(name) {
            Some(record) if record.stamp == stamp => record.root.is_none(),
            _ => {
                self.put(name, stamp, None);
                stamp.length > 0
            }
        }
    }

    /// A file's root is no longer to be believed, whatever its stamp says.
    /// Returns whether it had one.
    pub fn doubt(&mut self, name: &Name) -> bool {
        match self.files.get(name) {
            Some(record) if record.stamp.length > 0 && record.root.is_some() => {
                self.put(name, record.stamp, None);
                true
            }
            _ => false,
        }
    }

    /// A file was read from end to end while it had this stamp. Returns whether
    /// it is still the listed one.
    pub fn hashed(&mut self, name: &Name, stamp: Stamp, root: Root) -> bool {
        match self.files.get(name) {
            Some(record) if record.stamp == stamp => {
                if record.root != Some(root) {
                    self.put(name, stamp, Some(root));
                }
                true
            }
            _ => false,
        }
    }

    /// The info-hash of the v1 torrent of a listed file has been found out.
    pub fn set_v1(&mut self, name: &Name, stamp: Stamp, v1: InfoHash) {
        let is_it = |record: Record| record.stamp == stamp && record.root.is_some();
        if self.files.get(name).is_some_and(is_it) && self.v1.get(name) != Some(&v1) {
            self.touch(name);
            self.v1.insert(name.clone(), v1);
        }
    }

    /// The info-hash of the v1 torrent of a file, once it is known.
    pub fn v1(&self, name: &Name) -> Option<InfoHash> {
        self.v1.get(name).copied()
    }

    /// A file is listed as it was a moment ago, though it is written to. Returns whether it
    /// is: not if another file has taken its place, or if it has been cut since.
    pub fn hold(&mut self, name: &Name, stamp: Stamp, root: Root) -> bool {
        let Some(listed) = self.files.get(name).map(|record| record.stamp) else {
            return false;
        };
        let is_newer = stamp.is_of_same_file(&listed) && stamp.ctime >= listed.ctime;
        let holds = is_newer || listed.may_have_grown_from(&stamp);
        if holds {
            self.put(name, stamp, Some(root));
        }
        holds
    }

    /// A file could not be opened: not listed until it changes.
    pub fn unreadable(&mut self, name: &Name) {
        if let Some(record) = self.files.get(name) {
            let stamp = record.stamp;
            self.on_file_missing(name);
            self.unreadable.insert(as_path(name).to_owned(), stamp);
        }
    }

    /// A file that could not be read is listed again once it is found.
    pub fn on_readable_again(&mut self, name: &Name) {
        self.unreadable.remove(as_path(name));
    }

    /// Whether a file is not listed because it could not be read.
    pub fn is_unreadable(&self, name: &Name) -> bool {
        self.unreadable.contains_key(as_path(name))
    }

    /// A file of that name is not there (any more).
    pub fn on_file_missing(&mut self, name: &Name) {
        self.unreadable.remove(as_path(name));
        if self.arriving.contains(name) {
            return;
        }
        self.unlink(name);
        if self.files.get(name).is_some() {
            self.touch(name);
        }
        if let Some(record) = self.files.remove(name) {
            self.v1.remove(name);
            self.forget(name, record);
        }
    }

    /// There is a link of that name, to a file that is listed or will be.
    pub fn on_link_found(&mut self, name: &Name, target: &Name) {
        let is_known = self.links.get(name) == Some(target);
        if is_known || self.arriving.contains(name) {
            return;
        }
        self.on_file_missing(name);
        self.touch(name);
        self.links.insert(name.clone(), target.clone());
        let others = self.linked.entry(target.clone()).or_default();
        others.insert(name.clone());
        if let Some(record) = self.files.get(target) {
            self.links_listed.0 += 1;
            self.links_listed.1 += u128::from(record.stamp.length);
        }
    }

    /// The file that this name stands for: another one's, if it is a link.
    pub fn file_of<'a>(&'a self, name: &'a Name) -> &'a Name {
        self.links.get(name).unwrap_or(name)
    }

    fn unlink(&mut self, name: &Name) {
        if self.links.contains_key(name) {
            self.touch(name);
        }
        let Some(target) = self.links.remove(name) else {
            return;
        };
        if let Some(record) = self.files.get(&target) {
            self.links_listed.0 -= 1;
            self.links_listed.1 -= u128::from(record.stamp.length);
        }
        if let Some(others) = self.linked.get_mut(&target) {
            others.remove(name);
            if others.is_empty() {
                self.linked.remove(&target);
            }
        }
    }

    /// The links to a file.
    fn links_to(&self, target: &Name) -> Vec<Name> {
        let links = self.linked.get(target);
        links.into_iter().flatten().cloned().collect()
    }

    fn count_links_to(&self, target: &Name) -> u64 {
        self.linked
            .get(target)
            .map_or(0, |links| links.len() as u64)
    }

    /// There is a part of a file that will have this name, and it can be
    /// served. Returns whether no other file is being fetched to this name.
    pub fn part(&mut self, name: &Name, content: Content, attributes: Attributes) -> bool {
        if self.parts.contains_key(name) {
            return false;
        }
        self.touch(name);
        let part = Part {
            content,
            attributes,
        };
        self.parts.insert(name.clone(), part);
        true
    }

    /// The part is not served any more.
    pub fn part_gone(&mut self, name: &Name) {
        self.touch(name);
        self.parts.remove(name);
    }

    /// A file is about to arrive under this name: until
    /// [`Index::on_file_stored`] or [`Index::expect_no_more`], what is seen on
    /// disk does not count, so that a file whose root is known is never listed
    /// without it. Returns whether no other file is about to arrive there.
    pub fn expect(&mut self, name: &Name) -> bool {
        self.arriving.insert(name.clone())
    }

    /// The expected file did not arrive.
    pub fn expect_no_more(&mut self, name: &Name) {
        self.arriving.remove(name);
    }

    /// The expected file has arrived, with a known root: it need not be read
    /// again.
    pub fn on_file_stored(&mut self, name: &Name, stamp: Stamp, root: Root) {
        self.arriving.remove(name);
        self.unreadable.remove(as_path(name));
        self.put(name, stamp, Some(root));
    }

    /// What is known about the file of that name.
    pub fn record(&self, name: &Name) -> Option<Record> {
        self.files.get(name)
    }

    /// Whether a file or a link of that name is known.
    pub fn has_file_or_link(&self, name: &Name) -> bool {
        self.files.get(name).is_some() || self.links.contains_key(name)
    }

    /// The listed entry of that name.
    pub fn entry(&self, name: &Name) -> Option<Entry> {
        let whole = self.files.get(self.file_of(name));
        let whole = whole.map(|record| Entry {
            v1: self.v1_as(name),
            ..entry(name, record)
        });
        whole.or_else(|| Some(part_entry(name, *self.parts.get(name)?)))
    }

    /// The info-hash that a name has. A link has none of its own, unless its file has the same
    /// last part: the torrent of a file is named by that.
    fn v1_as(&self, name: &Name) -> Option<InfoHash> {
        let file = self.file_of(name);
        self.v1(file).filter(|_| file.base() == name.base())
    }

    /// The names of this content, in order.
    pub fn names(&self, content: Content) -> impl Iterator<Item = &Name> {
        self.files.names_of(content)
    }

    /// A listed file that had this content until it changed.
    pub fn had(&self, content: Content) -> Option<&Name> {
        let (_, name) = self.before.iter().find(|(before, _)| *before == content)?;
        self.files.get(name).map(|_| name)
    }

    /// The contents whose root begins with these bytes.
    pub fn contents_named(&self, start: &[u8; 20]) -> Vec<Content> {
        self.files.contents_beginning(start)
    }

    /// The torrent with this info-hash.
    pub fn torrent(&self, info_hash: InfoHash) -> Option<SharedTorrent> {
        let torrents = self.torrents.as_ref()?;
        let mut torrent = torrents.find(info_hash, |name| self.entry(name))?;
        torrent.name = self.file_of(&torrent.name).clone();
        Some(torrent)
    }

    /// Whether a torrent with this info-hash follows from an entry.
    pub fn follows(&self, info_hash: InfoHash) -> bool {
        self.torrent(info_hash).is_some()
    }

    /// Torrents that follow from no entry.
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    pub fn kept_mut(&mut self) -> &mut Kept {
        &mut self.kept
    }

    /// A torrent that follows from no entry is kept from now on.
    pub fn keep(&mut self, number: u64, row: Row) {
        let mut kept = std::mem::take(&mut self.kept);
        // What has changed since is taken with the next delta.
        kept.insert(number, row, |name| match self.touched.get(name) {
            Some(before) => before.clone(),
            None => self.entry(name),
        });
        self.kept = kept;
    }

    /// The whole share was looked through: torrents of which a file is not there are forgotten.
    /// `may_be_there` tells of which that is not certain.
    pub fn forget_torrents_of_gone(&mut self, may_be_there: impl Fn(&Name) -> bool) {
        let mut kept = std::mem::take(&mut self.kept);
        kept.on_looked_through(|name| {
            self.has_file_or_link(name) || self.is_unreadable(name) || may_be_there(name)
        });
        self.kept = kept;
    }

    /// The names of files and links beneath a folder; all of them for none.
    pub fn beneath(&self, folder: Option<&str>) -> Vec<Name> {
        let Some(folder) = folder else {
            let names = self.files.names().chain(self.links.keys());
            return names.cloned().collect();
        };
        let prefix = format!("{folder}/");
        let files = self.files.names_beginning(&prefix);
        let names = files.chain(self.links_beginning(&prefix));
        names.cloned().collect()
    }

    /// The names of files whose last part is this, in order.
    pub fn files_with_base(&self, base: &str) -> Vec<Name> {
        let names = self.files.names();
        names.filter(|name| name.base() == base).cloned().collect()
    }

    /// The folders whose last part is this, in order, that have a file or a link in them.
    pub fn folders_with_base(&self, base: &str) -> Vec<String> {
        let mut folders = BTreeSet::new();
        for name in self.files.names().chain(self.links.keys()) {
            let name = name.as_str();
            for (end, _) in name.match_indices('/') {
                let folder = &name[..end];
                if folder.rsplit('/').next() == Some(base) && !folders.contains(folder) {
                    folders.insert(folder.to_owned());
                }
            }
        }
        folders.into_iter().collect()
    }

    /// Whether there are any.
    pub fn lists_beneath(&self, folder: Option<&str>) -> bool {
        let Some(folder) = folder else {
            return self.files.len() > 0 || !self.links.is_empty();
        };
        let prefix = format!("{folder}/");
        let mut names = self.files.names_beginning(&prefix);
        names.next().is_some() || self.links_beginning(&prefix).next().is_some()
    }

    fn links_beginning<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Name> {
        let range = (Bound::Included(prefix), Bound::Unbounded);
        let links = self.links.range::<str, _>(range).map(|(name, _)| name);
        links.take_while(move |name| name.as_str().starts_with(prefix))
    }

    /// Files, without the links to them.
    pub fn files(&self) -> u64 {
        self.files.len() as u64
    }

    /// Bytes in them, as far as they can be counted.
    pub fn bytes(&self) -> u64 {
        as_counted(self.bytes)
    }

    /// Links to files that are listed, and bytes in these.
    pub fn links(&self) -> (u64, u64) {
        let (links, bytes) = self.links_listed;
        (links, as_counted(bytes))
    }

    pub fn unhashed(&self) -> u64 {
        self.unhashed
    }

    pub fn unhashed_bytes(&self) -> u64 {
        as_counted(self.unhashed_bytes)
    }

    pub fn unreadable_files(&self) -> u64 {
        self.unreadable.len() as u64
    }

    /// Those of them in a range, in order.
    pub fn unreadable_within(
        &self,
        range: (Bound<&Path>, Bound<&Path>),
    ) -> impl DoubleEndedIterator<Item = &Path> {
        let paths = self.unreadable.range::<Path, _>(range);
        paths.map(|(path, _)| path.as_path())
    }

    /// The smallest change from the last taken listing to the present one.
    /// Files that came and went in between are not in it.
    pub fn take_delta(&mut self) -> Delta {
        let mut delta = Delta::default();
        for (name, before) in std::mem::take(&mut self.touched) {
            let now = self.entry(&name);
            if let Some(torrents) = &mut self.torrents {
                if let Some(entry) = &before {
                    torrents.on_unlisted(entry);
                    self.kept.on_unlisted(entry);
                }
                if let Some(entry) = &now {
                    torrents.on_listed(entry);
                    self.kept.on_listed(entry);
                }
            }
            match (before, now) {
                (before, now) if before == now => {}
                (_, Some(now)) => delta.added.push(now),
                (_, None) => delta.removed.push(name),
            }
        }
        delta
    }

    /// Lists a file, or changes what is listed.
    fn put(&mut self, name: &Name, stamp: Stamp, root: Option<Root>) {
        let root = if stamp.length == 0 {
            Some(Root::EMPTY)
        } else {
            root
        };
        let record = Record { stamp, root };
        self.unlink(name);
        self.unreadable.remove(as_path(name));
        self.touch(name);
        let before = self.files.insert(name, record);
        if before != Some(record) {
            self.v1.remove(name);
        }
        if let Some(before) = before {
            self.forget(name, before);
            if let Some(root) = before.root.filter(|known| root != Some(*known)) {
                self.before.truncate(MOST_BEFORE - 1);
                let length = before.stamp.length;
                self.before
                    .push_front((Content { length, root }, name.clone()));
            }
        }
        self.bytes += u128::from(stamp.length);
        let links = self.count_links_to(name);
        self.links_listed.0 += links;
        self.links_listed.1 += u128::from(links) * u128::from(stamp.length);
        if root.is_none() {
            self.unhashed += 1;
            self.unhashed_bytes += u128::from(stamp.length);
        }
    }

    /// Takes a record that is no longer listed out of the totals.
    fn forget(&mut self, name: &Name, record: Record) {
        self.bytes -= u128::from(record.stamp.length);
        let links = self.count_links_to(name);
        self.links_listed.0 -= links;
        self.links_listed.1 -= u128::from(links) * u128::from(record.stamp.length);
        if record.root.is_none() {
            self.unhashed -= 1;
            self.unhashed_bytes -= u128::from(record.stamp.length);
        }
    }

    /// Before each change of what is listed under a name.
    fn touch(&mut self, name: &Name) {
        for link in self.links_to(name) {
            self.touch_alone(&link);
        }
        self.touch_alone(name);
    }

    fn touch_alone(&mut self, name: &Name) {
        if !self.touched.contains_key(name) {
            let before = self.entry(name);
            self.touched.insert(name.clone(), before);
        }
    }
}

fn as_counted(bytes: u128) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn as_path(name: &Name) -> &Path {
    Path::new(name.as_str())
}

fn entry(name: &Name, record: Record) -> Entry {
    let Attributes {
        mtime,
        nanos,
        executable,
    } = record.stamp.attributes();
    Entry {
        name: name.clone(),
        length: record.stamp.length,
        mtime,
        root: record.root,
        partial: false,
        nanos,
        executable,
        v1: None,
    }
}

fn part_entry(name: &Name, part: Part) -> Entry {
    let Attributes {
        mtime,
        nanos,
        executable,
    } = part.attributes;
    Entry {
        name: name.clone(),
        length: part.content.length,
        mtime,
        root: Some(part.content.root),
        partial: true,
        nanos,
        executable,
        v1: None,
    }
}

#[cfg(test)]
mod tests;

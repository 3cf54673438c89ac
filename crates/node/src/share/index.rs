//! What is on offer, in memory: names to stamps and roots, contents to names.
//!
//! Owns the listing and the list of what has changed in it since it was last
//! told to anybody. Touches no file and takes no time from a clock; whoever
//! calls has looked at the disk and says what is there.
//!
//! Invariants: `contents` holds exactly the (content, name) of the records with
//! a root; the totals are those of the records; `touched` holds, for each name
//! changed since the last [`Index::take_delta`], its entry as it was then.
//!
//! A file costs its name and some 250 bytes: two B-tree slots (about 90 and 60
//! bytes, two thirds full on average) and the name's shared allocation.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use thorp_wire::{Content, Entry, Name, Root};

use super::stamp::Stamp;

/// See the module.
#[derive(Default)]
pub(super) struct Index {
    files: BTreeMap<Name, Record>,
    /// `None` sorts first and is never in it: it marks where a content begins.
    contents: BTreeSet<(Content, Option<Name>)>,
    touched: BTreeMap<Name, Option<Entry>>,
    /// Files that could not be opened when they were to be hashed. They come
    /// back when their stamp changes: `chmod` changes it.
    unreadable: BTreeMap<Name, Stamp>,
    /// Names that a store is about to fill; see [`Index::expect`].
    arriving: BTreeSet<Name>,
    bytes: u64,
    unhashed: u64,
    unhashed_bytes: u64,
}

/// What is known about one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub stamp: Stamp,
    pub root: Option<Root>,
}

/// A listing's change since it was last told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Delta {
    pub added: Vec<Entry>,
    pub removed: Vec<Name>,
}

impl Index {
    /// A file is there and looks like this. Keeps its root only where nothing
    /// has changed; answers whether it needs to be hashed.
    pub fn seen(&mut self, name: &Name, stamp: Stamp) -> bool {
        if self.arriving.contains(name) || self.unreadable.get(name) == Some(&stamp) {
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
    pub fn doubt(&mut self, name: &Name) {
        if let Some(record) = self.files.get(name).copied()
            && record.stamp.length > 0
            && record.root.is_some()
        {
            self.put(name, record.stamp, None);
        }
    }

    /// A file was read from end to end while it had this stamp. Answers whether
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

    /// A file could not be opened: not listed until it changes.
    pub fn unreadable(&mut self, name: &Name) {
        if let Some(record) = self.files.get(name) {
            let stamp = record.stamp;
            self.gone(name);
            self.unreadable.insert(name.clone(), stamp);
        }
    }

    /// A file of that name is not there (any more).
    pub fn gone(&mut self, name: &Name) {
        self.unreadable.remove(name);
        if self.arriving.contains(name) {
            return;
        }
        if let Some(record) = self.files.remove(name) {
            self.touch(name, Some(record));
            self.forget(name, record);
        }
    }

    /// A file is about to arrive under this name: until [`Index::arrived`] or
    /// [`Index::expect_no_more`], what is seen on disk does not count, so that
    /// a file whose root is known is never listed without it. Answers whether
    /// nothing else is arriving there.
    pub fn expect(&mut self, name: &Name) -> bool {
        self.arriving.insert(name.clone())
    }

    /// It did not arrive.
    pub fn expect_no_more(&mut self, name: &Name) {
        self.arriving.remove(name);
    }

    /// It did, and nobody needs to read it again.
    pub fn arrived(&mut self, name: &Name, stamp: Stamp, root: Root) {
        self.arriving.remove(name);
        self.unreadable.remove(name);
        self.put(name, stamp, Some(root));
    }

    /// What is known about the file of that name.
    pub fn record(&self, name: &Name) -> Option<Record> {
        self.files.get(name).copied()
    }

    /// The listed entry of that name.
    pub fn entry(&self, name: &Name) -> Option<Entry> {
        Some(entry(name, *self.files.get(name)?))
    }

    /// The names of this content, in order.
    pub fn names(&self, content: Content) -> impl Iterator<Item = &Name> {
        self.contents
            .range((content, None)..)
            .take_while(move |(c, _)| *c == content)
            .filter_map(|(_, name)| name.as_ref())
    }

    /// The names beneath a folder; all of them for none.
    pub fn beneath(&self, folder: Option<&str>) -> Vec<Name> {
        let Some(folder) = folder else {
            return self.files.keys().cloned().collect();
        };
        let prefix = format!("{folder}/");
        self.files
            .range::<str, _>((Bound::Included(&*prefix), Bound::Unbounded))
            .map(|(name, _)| name)
            .take_while(|name| name.as_str().starts_with(&prefix))
            .cloned()
            .collect()
    }

    /// Every listed entry, names in order.
    pub fn entries(&self) -> Vec<Entry> {
        self.files
            .iter()
            .map(|(name, record)| entry(name, *record))
            .collect()
    }

    pub fn files(&self) -> u64 {
        self.files.len() as u64
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn unhashed(&self) -> u64 {
        self.unhashed
    }

    pub fn unhashed_bytes(&self) -> u64 {
        self.unhashed_bytes
    }

    pub fn unreadable_files(&self) -> u64 {
        self.unreadable.len() as u64
    }

    /// The least that turns the listing of last time into that of now. What
    /// came and went in between is not in it.
    pub fn take_delta(&mut self) -> Delta {
        let mut delta = Delta::default();
        for (name, before) in std::mem::take(&mut self.touched) {
            match (before, self.entry(&name)) {
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
        self.unreadable.remove(name);
        let before = self.files.insert(name.clone(), record);
        self.touch(name, before);
        if let Some(before) = before {
            self.forget(name, before);
        }
        self.bytes += stamp.length;
        match root {
            Some(root) => {
                let length = stamp.length;
                self.contents
                    .insert((Content { length, root }, Some(name.clone())));
            }
            None => {
                self.unhashed += 1;
                self.unhashed_bytes += stamp.length;
            }
        }
    }

    /// Takes a record that is no longer listed out of totals and contents.
    fn forget(&mut self, name: &Name, record: Record) {
        let length = record.stamp.length;
        self.bytes -= length;
        match record.root {
            Some(root) => {
                self.contents
                    .remove(&(Content { length, root }, Some(name.clone())));
            }
            None => {
                self.unhashed -= 1;
                self.unhashed_bytes -= length;
            }
        }
    }

    fn touch(&mut self, name: &Name, before: Option<Record>) {
        if !self.touched.contains_key(name) {
            let before = before.map(|record| entry(name, record));
            self.touched.insert(name.clone(), before);
        }
    }
}

fn entry(name: &Name, record: Record) -> Entry {
    Entry {
        name: name.clone(),
        length: record.stamp.length,
        mtime: record.stamp.mtime_seconds(),
        root: record.root,
    }
}

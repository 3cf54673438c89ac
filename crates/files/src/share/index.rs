//! What is on offer, in memory: names to stamps and roots, contents to names.
//!
//! Owns the listing and the list of what has changed in it since it was last
//! told to anybody. Touches no file and takes no time from a clock; whoever
//! calls has looked at the disk and says what is there.
//!
//! Invariants: `contents` holds exactly the (content, name) of the records with
//! a root; the totals are those of the records; `touched` holds, for each name
//! changed since the last [`Index::take_delta`], its entry as it was then. A
//! part of a file is listed where no whole one goes by its name.
//!
//! A file costs its name and some 250 bytes: two B-tree slots (about 90 and 60
//! bytes, two thirds full on average) and the name's shared allocation.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use thorp_wire::{Content, Entry, Name, Root};

use crate::stamp::Stamp;

/// See the module.
#[derive(Default)]
pub(super) struct Index {
    files: BTreeMap<Name, Record>,
    /// By root first, because sessions name a file by the start of that. `None`
    /// sorts first and is never in it: it marks where a content begins.
    contents: BTreeSet<(Root, u64, Option<Name>)>,
    /// Files on their way here, of which there is a part.
    parts: BTreeMap<Name, Part>,
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

/// A file on its way here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    content: Content,
    /// As whoever has it lists it.
    mtime: i64,
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
    /// Answers whether it was.
    pub fn doubt(&mut self, name: &Name) -> bool {
        match self.files.get(name).copied() {
            Some(record) if record.stamp.length > 0 && record.root.is_some() => {
                self.put(name, record.stamp, None);
                true
            }
            _ => false,
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
        if self.files.contains_key(name) {
            self.touch(name);
        }
        if let Some(record) = self.files.remove(name) {
            self.forget(name, record);
        }
    }

    /// There is a part of a file that is to go by this name, and it can be
    /// served. Answers whether no other is on its way there.
    pub fn part(&mut self, name: &Name, content: Content, mtime: i64) -> bool {
        if self.parts.contains_key(name) {
            return false;
        }
        self.touch(name);
        self.parts.insert(name.clone(), Part { content, mtime });
        true
    }

    /// It is served no more.
    pub fn part_gone(&mut self, name: &Name) {
        self.touch(name);
        self.parts.remove(name);
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
        let whole = self.files.get(name).map(|record| entry(name, *record));
        whole.or_else(|| Some(part_entry(name, *self.parts.get(name)?)))
    }

    /// The names of this content, in order.
    pub fn names(&self, content: Content) -> impl Iterator<Item = &Name> {
        self.contents
            .range((content.root, content.length, None)..)
            .take_while(move |(root, length, _)| (*root, *length) == (content.root, content.length))
            .filter_map(|(_, _, name)| name.as_ref())
    }

    /// The contents whose root begins with these bytes.
    pub fn contents_named(&self, start: &[u8; 20]) -> Vec<Content> {
        let mut first = [0; 32];
        first[..start.len()].copy_from_slice(start);
        let mut contents: Vec<Content> = self
            .contents
            .range((Root::new(first), 0, None)..)
            .take_while(|(root, _, _)| root.as_bytes().starts_with(start))
            .map(|(root, length, _)| Content {
                length: *length,
                root: *root,
            })
            .collect();
        contents.dedup();
        contents
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
        self.touch(name);
        let before = self.files.insert(name.clone(), record);
        if let Some(before) = before {
            self.forget(name, before);
        }
        self.bytes += stamp.length;
        if let Some(root) = root {
            self.contents.insert(key(name, stamp, root));
        } else {
            self.unhashed += 1;
            self.unhashed_bytes += stamp.length;
        }
    }

    /// Takes a record that is no longer listed out of totals and contents.
    fn forget(&mut self, name: &Name, record: Record) {
        self.bytes -= record.stamp.length;
        if let Some(root) = record.root {
            self.contents.remove(&key(name, record.stamp, root));
        } else {
            self.unhashed -= 1;
            self.unhashed_bytes -= record.stamp.length;
        }
    }

    /// Before each change of what is listed under a name.
    fn touch(&mut self, name: &Name) {
        if !self.touched.contains_key(name) {
            let before = self.entry(name);
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
        partial: false,
    }
}

fn part_entry(name: &Name, part: Part) -> Entry {
    Entry {
        name: name.clone(),
        length: part.content.length,
        mtime: part.mtime,
        root: Some(part.content.root),
        partial: true,
    }
}

fn key(name: &Name, stamp: Stamp, root: Root) -> (Root, u64, Option<Name>) {
    (root, stamp.length, Some(name.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Index {
        /// Every listed entry, names in order.
        fn entries(&self) -> Vec<Entry> {
            let wholes = self.files.iter();
            let wholes = wholes.map(|(name, record)| (name, entry(name, *record)));
            let parts = self.parts.iter();
            let parts = parts.map(|(name, part)| (name, part_entry(name, *part)));
            let listed: BTreeMap<&Name, Entry> = parts.chain(wholes).collect();
            listed.into_values().collect()
        }
    }

    fn stamp(length: u64, ctime: i64) -> Stamp {
        Stamp {
            length,
            mtime: 0,
            ctime,
            inode: 1,
            device: 1,
        }
    }

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    const ROOT: Root = Root::new([7; 32]);

    #[test]
    fn what_came_and_went_between_two_deltas_is_not_told() {
        let mut index = Index::default();
        index.seen(&name("stays"), stamp(1, 1));
        index.take_delta();
        index.seen(&name("passes"), stamp(1, 1));
        index.gone(&name("passes"));
        index.gone(&name("stays"));
        index.seen(&name("stays"), stamp(1, 1));
        assert_eq!(index.take_delta(), Delta::default());
    }

    #[test]
    fn a_changed_file_loses_its_root_and_an_unchanged_one_keeps_it() {
        let mut index = Index::default();
        assert!(index.seen(&name("a"), stamp(3, 1)), "to be hashed");
        assert!(index.hashed(&name("a"), stamp(3, 1), ROOT));
        assert!(!index.seen(&name("a"), stamp(3, 1)), "known");
        assert!(
            index.seen(&name("a"), stamp(3, 2)),
            "the same length at another time"
        );
        assert!(
            !index.hashed(&name("a"), stamp(3, 1), ROOT),
            "the root of what it was"
        );
        assert_eq!(index.entry(&name("a")).and_then(|e| e.root), None);
    }

    #[test]
    fn the_empty_file_needs_no_hashing() {
        let mut index = Index::default();
        assert!(!index.seen(&name("empty"), stamp(0, 1)));
        index.doubt(&name("empty"));
        assert_eq!(index.unhashed(), 0);
        assert_eq!(
            index.names(Content::EMPTY).collect::<Vec<_>>(),
            [&name("empty")]
        );
    }

    #[test]
    fn a_file_that_arrives_is_never_seen_without_its_root() {
        let mut index = Index::default();
        index.expect(&name("a"));
        index.seen(&name("a"), stamp(3, 1));
        assert_eq!(index.take_delta(), Delta::default());
        index.arrived(&name("a"), stamp(3, 1), ROOT);
        let told = index.take_delta().added;
        assert_eq!(
            told.iter().map(|e| e.root).collect::<Vec<_>>(),
            [Some(ROOT)]
        );
    }

    #[test]
    fn a_part_is_listed_until_it_is_whole_and_never_instead_of_a_whole_file() {
        let mut index = Index::default();
        let content = Content {
            length: 9,
            root: ROOT,
        };
        let listed = |index: &Index| index.entry(&name("a")).map(|e| (e.length, e.partial));
        assert!(index.part(&name("a"), content, 5));
        assert!(!index.part(&name("a"), content, 5), "only one at a time");
        assert_eq!(listed(&index), Some((9, true)));
        assert_eq!(index.names(content).count(), 0, "nobody gets it whole");
        assert_eq!((index.files(), index.bytes()), (0, 0));
        index.seen(&name("a"), stamp(3, 1));
        assert_eq!(listed(&index), Some((3, false)));
        index.gone(&name("a"));
        assert_eq!(listed(&index), Some((9, true)));
        index.arrived(&name("a"), stamp(9, 2), ROOT);
        index.part_gone(&name("a"));
        assert_eq!(listed(&index), Some((9, false)));
    }

    #[test]
    fn contents_are_found_by_the_first_twenty_bytes_of_their_root() {
        let mut index = Index::default();
        let mut root = [7; 32];
        let mut hashed = |text: &str, length, root| {
            index.seen(&name(text), stamp(length, 1));
            index.hashed(&name(text), stamp(length, 1), Root::new(root));
        };
        hashed("a", 1, root);
        hashed("same", 1, root);
        hashed("longer", 2, root);
        root[20] = 8;
        hashed("other end", 1, root);
        root[19] = 8;
        hashed("other start", 1, root);
        let named = index.contents_named(&[7; 20]);
        let seen = named.iter().map(|c| (c.length, c.root.as_bytes()[20]));
        assert_eq!(seen.collect::<Vec<_>>(), [(1, 7), (2, 7), (1, 8)]);
        assert_eq!(index.contents_named(&[9; 20]), []);
    }

    #[test]
    fn an_unreadable_file_comes_back_when_it_changes() {
        let mut index = Index::default();
        index.seen(&name("a"), stamp(3, 1));
        index.unreadable(&name("a"));
        assert!(!index.seen(&name("a"), stamp(3, 1)));
        assert_eq!((index.files(), index.unreadable_files()), (0, 1));
        assert!(index.seen(&name("a"), stamp(3, 2)));
        assert_eq!((index.files(), index.unreadable_files()), (1, 0));
    }

    #[test]
    fn beneath_a_folder_is_not_beside_it() {
        let mut index = Index::default();
        for text in ["a", "a-b", "a/x", "a/y/z", "a0", "b"] {
            index.seen(&name(text), stamp(1, 1));
        }
        assert_eq!(index.beneath(Some("a")), [name("a/x"), name("a/y/z")]);
    }

    #[test]
    fn a_file_costs_less_than_its_name_and_300_bytes() {
        // B-trees are at least half full, and two thirds on average.
        let slots = size_of::<(Name, Record)>() + size_of::<(Root, u64, Option<Name>)>();
        let name = 2 * size_of::<usize>();
        assert!(slots * 3 / 2 + name < 300, "{slots}");
    }

    proptest! {
        /// Whatever happens, the totals are those of the files, contents those
        /// with a root, and a listener that applies the deltas knows it all.
        #[test]
        fn deltas_add_up_to_the_listing(
            steps in prop::collection::vec((0u8..8, 0u8..4, 0u64..3, 0i64..3), 1..60)
        ) {
            let mut index = Index::default();
            let mut told = BTreeMap::new();
            for (what, which, length, ctime) in steps {
                let name = name(&format!("f{which}"));
                let stamp = stamp(length, ctime);
                let root = if length == 0 { Root::EMPTY } else { ROOT };
                match what {
                    0 => { index.seen(&name, stamp); }
                    1 => { index.hashed(&name, stamp, root); }
                    2 => index.gone(&name),
                    3 => { index.doubt(&name); }
                    4 => index.unreadable(&name),
                    5 => { index.part(&name, Content { length: 9, root: ROOT }, ctime); }
                    6 => index.part_gone(&name),
                    _ => {
                        let delta = index.take_delta();
                        for entry in delta.added {
                            let before = told.insert(entry.name.clone(), entry.clone());
                            prop_assert_ne!(before, Some(entry), "nothing new");
                        }
                        for name in delta.removed {
                            prop_assert!(told.remove(&name).is_some(), "was not told");
                        }
                        prop_assert_eq!(told.values().cloned().collect::<Vec<_>>(), index.entries());
                    }
                }
                let mut entries = index.entries();
                for entry in &entries {
                    prop_assert_eq!(&index.entry(&entry.name), &Some(entry.clone()));
                }
                entries.retain(|entry| !entry.partial);
                let unhashed = entries.iter().filter(|e| e.root.is_none());
                prop_assert_eq!(index.files(), entries.len() as u64);
                prop_assert_eq!(index.bytes(), entries.iter().map(|e| e.length).sum::<u64>());
                prop_assert_eq!(index.unhashed(), unhashed.clone().count() as u64);
                prop_assert_eq!(index.unhashed_bytes(), unhashed.map(|e| e.length).sum::<u64>());
                let hashed = entries.iter().filter(|e| e.root.is_some()).count();
                prop_assert_eq!(index.contents.len(), hashed);
            }
        }
    }
}

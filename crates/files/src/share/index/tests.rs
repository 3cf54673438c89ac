use super::*;
use proptest::prelude::*;

impl Index {
    /// Every listed entry, names in order.
    fn entries(&self) -> Vec<Entry> {
        let wholes = self.files.names();
        let wholes = wholes.filter_map(|name| Some((name, entry(name, self.files.get(name)?))));
        let links = self.links.iter();
        let links = links.filter_map(|(name, to)| Some((name, entry(name, self.files.get(to)?))));
        let parts = self.parts.iter();
        let parts = parts.map(|(name, part)| (name, part_entry(name, *part)));
        let listed: BTreeMap<&Name, Entry> = parts.chain(links).chain(wholes).collect();
        listed.into_values().collect()
    }
}

fn stamp(length: u64, ctime: i64) -> Stamp {
    Stamp {
        length,
        mtime: 0,
        mtime_nanos: 0,
        executable: false,
        ctime,
        inode: 1,
        device: 1,
    }
}

fn at(mtime: i64) -> Attributes {
    Attributes {
        mtime,
        ..Attributes::default()
    }
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

const ROOT: Root = Root::new([7; 32]);

#[test]
fn what_came_and_went_between_two_deltas_is_not_told() {
    let mut index = Index::default();
    index.on_file_found(&name("stays"), stamp(1, 1));
    index.take_delta();
    index.on_file_found(&name("passes"), stamp(1, 1));
    index.on_file_missing(&name("passes"));
    index.on_file_missing(&name("stays"));
    index.on_file_found(&name("stays"), stamp(1, 1));
    assert_eq!(index.take_delta(), Delta::default());
}

#[test]
fn files_that_pretend_to_have_more_bytes_than_there_are_numbers_are_listed_and_go_again() {
    let mut index = Index::default();
    for (file, link) in [("a", "x"), ("b", "y"), ("c", "z")] {
        index.on_file_found(&name(file), stamp(u64::MAX / 2, 1));
        index.on_link_found(&name(link), &name(file));
    }
    assert_eq!(
        (index.bytes(), index.unhashed_bytes()),
        (u64::MAX, u64::MAX)
    );
    assert_eq!(index.links(), (3, u64::MAX));
    index.on_file_missing(&name("a"));
    index.on_file_missing(&name("b"));
    assert_eq!(index.bytes(), u64::MAX / 2);
    assert_eq!(index.links(), (1, u64::MAX / 2));
}

#[test]
fn a_changed_file_loses_its_root_and_an_unchanged_one_keeps_it() {
    let mut index = Index::default();
    assert!(index.on_file_found(&name("a"), stamp(3, 1)), "to be hashed");
    assert!(index.hashed(&name("a"), stamp(3, 1), ROOT));
    assert!(!index.on_file_found(&name("a"), stamp(3, 1)), "known");
    assert!(
        index.on_file_found(&name("a"), stamp(3, 2)),
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
    assert!(!index.on_file_found(&name("empty"), stamp(0, 1)));
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
    index.on_file_found(&name("a"), stamp(3, 1));
    assert_eq!(index.take_delta(), Delta::default());
    index.on_file_stored(&name("a"), stamp(3, 1), ROOT);
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
    assert!(index.part(&name("a"), content, at(5)));
    assert!(
        !index.part(&name("a"), content, at(5)),
        "only one at a time"
    );
    assert_eq!(listed(&index), Some((9, true)));
    assert_eq!(index.names(content).count(), 0, "nobody gets it whole");
    assert_eq!((index.files(), index.bytes()), (0, 0));
    index.on_file_found(&name("a"), stamp(3, 1));
    assert_eq!(listed(&index), Some((3, false)));
    index.on_file_missing(&name("a"));
    assert_eq!(listed(&index), Some((9, true)));
    index.on_file_stored(&name("a"), stamp(9, 2), ROOT);
    index.part_gone(&name("a"));
    assert_eq!(listed(&index), Some((9, false)));
}

#[test]
fn contents_are_found_by_the_first_twenty_bytes_of_their_root() {
    let mut index = Index::default();
    let mut root = [7; 32];
    let mut hashed = |text: &str, length, root| {
        index.on_file_found(&name(text), stamp(length, 1));
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
    index.on_file_found(&name("a"), stamp(3, 1));
    index.unreadable(&name("a"));
    assert!(!index.on_file_found(&name("a"), stamp(3, 1)));
    assert_eq!((index.files(), index.unreadable_files()), (0, 1));
    assert!(index.on_file_found(&name("a"), stamp(3, 2)));
    assert_eq!((index.files(), index.unreadable_files()), (1, 0));
}

#[test]
fn beneath_a_folder_is_not_beside_it() {
    let mut index = Index::default();
    for text in ["a", "a-b", "a/x", "a/y/z", "a0", "b"] {
        index.on_file_found(&name(text), stamp(1, 1));
    }
    assert_eq!(index.beneath(Some("a")), [name("a/x"), name("a/y/z")]);
    index.on_link_found(&name("links/x"), &name("a/x"));
    for (folder, lists) in [
        ("a", true),
        ("a/y", true),
        ("a-b", false),
        ("links", true),
        ("x", false),
    ] {
        assert_eq!(index.lists_beneath(Some(folder)), lists, "{folder}");
        assert_eq!(index.beneath(Some(folder)).is_empty(), !lists, "{folder}");
    }
    assert!(index.lists_beneath(None));
    assert!(!Index::default().lists_beneath(None));
}

proptest! {
    /// Whatever happens, the totals are those of the files, and a listener that applies the deltas
    /// knows it all.
    #[test]
    fn deltas_add_up_to_the_listing(
        steps in prop::collection::vec((0u8..10, 0u8..4, 0u64..3, 0i64..3), 1..60)
    ) {
        let mut index = Index::default();
        let mut told = BTreeMap::new();
        for (what, which, length, ctime) in steps {
            let other = name(&format!("f{}", (u64::from(which) + 1 + length) % 4));
            let name = name(&format!("f{which}"));
            let stamp = stamp(length, ctime);
            let root = if length == 0 { Root::EMPTY } else { ROOT };
            match what {
                0 => { index.on_file_found(&name, stamp); }
                1 => { index.hashed(&name, stamp, root); }
                2 => index.on_file_missing(&name),
                3 => { index.doubt(&name); }
                4 => index.unreadable(&name),
                5 => { index.part(&name, Content { length: 9, root: ROOT }, at(ctime)); }
                6 => index.part_gone(&name),
                7 | 8 => index.on_link_found(&name, &other),
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
            let (links, files): (Vec<_>, Vec<_>) = entries
                .into_iter()
                .partition(|entry| index.links.contains_key(&entry.name));
            let bytes = links.iter().map(|e| e.length).sum::<u64>();
            prop_assert_eq!(index.links(), (links.len() as u64, bytes));
            let entries = files;
            let unhashed = entries.iter().filter(|e| e.root.is_none());
            prop_assert_eq!(index.files(), entries.len() as u64);
            prop_assert_eq!(index.bytes(), entries.iter().map(|e| e.length).sum::<u64>());
            prop_assert_eq!(index.unhashed(), unhashed.clone().count() as u64);
            prop_assert_eq!(index.unhashed_bytes(), unhashed.map(|e| e.length).sum::<u64>());
        }
    }
}

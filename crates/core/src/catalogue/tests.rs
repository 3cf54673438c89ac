//! The catalogue against a model that looks at everything each time.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::keys::{KEY, ROWS};
use super::*;
use crate::matching::fit;
use crate::words::Words;
use thorp_wire::InfoHash;

/// Few names, so that they meet: in folders, with folders, composed and decomposed.
const NAMES: [&str; 14] = [
    "a",
    "b",
    "d/a",
    "d/b",
    "d/.a",
    "d/!x",
    "d/e/a",
    "d-/a",
    "\u{fc}",
    "u\u{308}",
    "d/u\u{308}",
    "d/\u{fc}",
    "u\u{308}/a",
    "\u{fc}/a",
];
const PATTERNS: [&str; 12] = [
    "*", "a", "d/*", "d/.*", "d/**", "**/a", "d/e/a", "d*/a", "[ab]", "x/*", "{a,d/a}", "\u{fc}/*",
];

type Model = BTreeMap<PeerId, (Position, BTreeMap<Name, (u64, Option<Root>)>)>;

#[derive(Clone, Debug)]
enum Op {
    Full(u8, Vec<(usize, u8)>),
    Delta {
        peer: u8,
        fits: bool,
        added: Vec<(usize, u8)>,
        removed: Vec<usize>,
    },
    Forget(u8),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let entries = || vec((0..NAMES.len(), 0..5u8), 0..6);
    let op = prop_oneof![
        2 => (0..4u8, entries()).prop_map(|(peer, entries)| Op::Full(peer, entries)),
        4 => (0..4u8, any::<bool>(), entries(), vec(0..NAMES.len(), 0..4)).prop_map(
            |(peer, fits, added, removed)| Op::Delta { peer, fits, added, removed }
        ),
        1 => (0..4u8).prop_map(Op::Forget),
    ];
    vec(op, 1..25)
}

fn name(i: usize) -> Name {
    NAMES[i].parse().expect("a name")
}

fn id(n: u8) -> PeerId {
    PeerId::new([n; 32])
}

/// Content 0 stands for a file that is not hashed.
fn entry((i, content): (usize, u8)) -> Entry {
    // The last one is a part of the one before.
    let (content, partial) = (content.min(3), content > 3);
    Entry {
        name: name(i),
        length: u64::from(content / 2),
        mtime: 0,
        root: (content > 0).then(|| Root::new([content; 32])),
        partial,
        nanos: 0,
        executable: false,
        v1: v1_of(content),
    }
}

/// Of the contents, one is in a torrent.
fn v1_of(content: u8) -> Option<InfoHash> {
    (content == 2).then(|| InfoHash::new([content; 20]))
}

fn full(entries: Vec<Entry>) -> Update {
    Update {
        since: None,
        added: entries,
        ..Update::heartbeat(1)
    }
}

/// Does the same to both, and returns whether they agree on what came of it.
fn apply(op: Op, catalogue: &mut Catalogue, model: &mut Model) {
    let facts = |entry: &Entry| (entry.name.clone(), (entry.length, entry.root));
    match op {
        Op::Full(peer, entries) => {
            let entries: Vec<Entry> = entries.into_iter().map(entry).collect();
            let files = entries.iter().map(facts).collect();
            model.insert(id(peer), (Position { epoch: 7, seq: 1 }, files));
            assert_eq!(catalogue.apply(id(peer), 7, full(entries)), Applied::Yes);
        }
        Op::Delta {
            peer,
            fits,
            added,
            removed,
        } => {
            let known = model.get_mut(&id(peer));
            let at = known.as_ref().map_or(0, |(position, _)| position.seq);
            let since = if fits { at } else { at + 1 };
            let update = Update {
                since: Some(since),
                added: added.into_iter().map(entry).collect(),
                removed: removed.into_iter().map(name).collect(),
                ..Update::heartbeat(at + 1)
            };
            let expected = match known {
                Some((position, files)) if fits => {
                    position.seq += 1;
                    for name in &update.removed {
                        files.remove(name);
                    }
                    files.extend(update.added.iter().map(facts));
                    Applied::Yes
                }
                _ => Applied::NeedsFull,
            };
            assert_eq!(catalogue.apply(id(peer), 7, update), expected);
        }
        Op::Forget(peer) => {
            model.remove(&id(peer));
            catalogue.forget(id(peer));
        }
    }
    // Others come and go while some of it is still to be taken out.
    catalogue.forget_some(1);
}

/// Files as a set that does not depend on the order of contents and holders.
type Seen = BTreeSet<(Name, u64, Option<Root>, BTreeSet<PeerId>)>;

fn seen(files: impl IntoIterator<Item = File>) -> Seen {
    let row = |file: File| {
        let holders: BTreeSet<PeerId> = file.holders.into_iter().collect();
        (file.entry.name, file.entry.length, file.entry.root, holders)
    };
    files.into_iter().map(row).collect()
}

/// What the model says of the names that are wanted, held by those allowed.
fn expected(model: &Model, among: Among<'_>, wanted: impl Fn(&Name) -> bool) -> Seen {
    let mut files: BTreeMap<(Name, u64, Option<Root>), BTreeSet<PeerId>> = BTreeMap::new();
    for (peer, (_, entries)) in model.iter().filter(|(peer, _)| among(**peer)) {
        for (name, (length, root)) in entries.iter().filter(|(name, _)| wanted(name)) {
            let key = (name.clone(), *length, *root);
            files.entry(key).or_default().insert(*peer);
        }
    }
    let row = |((name, length, root), holders)| (name, length, root, holders);
    files.into_iter().map(row).collect()
}

/// What is found for a name by looking at one name at a time.
fn bit_by_bit(catalogue: &Catalogue, typed: &str, among: Among<'_>) -> Option<(Fit, Seen)> {
    let mut best: Option<(Fit, Seen)> = None;
    let mut after = None;
    loop {
        let named = catalogue.named_within(typed, after.as_ref(), 1, among);
        if let Some((fit, files)) = named.found {
            match &mut best {
                Some((known, seen_so_far)) if *known == fit => seen_so_far.extend(seen(files)),
                Some((known, _)) if *known < fit => {}
                _ => best = Some((fit, seen(files))),
            }
        }
        match named.behind {
            Some(behind) => after = Some(behind),
            None => return best,
        }
    }
}

proptest! {
    #![proptest_config(crate::testing::cases(96))]

    #[test]
    fn whatever_is_applied_the_catalogue_says_what_the_model_says(ops in ops(), without in 0..5u8) {
        let mut catalogue = Catalogue::default();
        let mut model = Model::new();
        let among = |peer| peer != id(without);
        for op in ops {
            apply(op, &mut catalogue, &mut model);
            catalogue.check();
        }
        let entries: usize = model.values().map(|(_, files)| files.len()).sum();
        prop_assert_eq!(catalogue.entries(), entries);
        prop_assert_eq!(seen(catalogue.files()), expected(&model, &|_| true, |_| true));
        for File { entry, .. } in catalogue.files() {
            let content = entry.root.map_or(0, |root| root.as_bytes()[0]);
            prop_assert_eq!(entry.v1, v1_of(content), "{}", entry.name);
        }
        for (peer, (position, files)) in &model {
            prop_assert_eq!(catalogue.position(*peer), Some(*position));
            let listing = catalogue.listing(*peer).expect("listed");
            prop_assert!(listing.names().eq(files.keys()));
            for entry in listing.entries() {
                let content = entry.root.map_or(0, |root| root.as_bytes()[0]);
                prop_assert_eq!(entry.v1, v1_of(content), "{}", entry.name);
            }
        }
        for typed in NAMES.iter().chain(&["x", ".a", "e/a"]) {
            let names = model.iter().filter(|(peer, _)| among(**peer)).flat_map(|(_, (_, f))| f.keys());
            let best = names.filter_map(|name| fit(name, typed)).min();
            let files = best.map(|best| {
                (best, expected(&model, &among, |name| fit(name, typed) == Some(best)))
            });
            let found = catalogue.named(typed, &among).map(|(fit, files)| (fit, seen(files)));
            prop_assert_eq!(bit_by_bit(&catalogue, typed, &among), files, "{}", typed);
            prop_assert_eq!(found, bit_by_bit(&catalogue, typed, &among), "{}", typed);
        }
        for content in 1..4 {
            let content = entry((0, content)).content().expect("it has a root");
            let held: BTreeSet<_> = catalogue.holders_of(content).collect();
            let lists = |(peer, (_, files)): (&PeerId, &(Position, BTreeMap<Name, _>))| {
                let same = |facts: &(u64, Option<Root>)| *facts == (content.length, Some(content.root));
                files.iter().filter(|(_, facts)| same(facts)).map(|(n, _)| (*peer, n.clone())).collect::<Vec<_>>()
            };
            let expected: BTreeSet<_> = model.iter().flat_map(lists).collect();
            prop_assert!(held.into_iter().map(|(peer, name)| (peer, name.clone())).eq(expected));
        }
    }

    #[test]
    fn walks_from_any_place_give_exactly_the_rest_either_way(ops in ops()) {
        let mut catalogue = Catalogue::default();
        let mut model = Model::new();
        for op in ops {
            apply(op, &mut catalogue, &mut model);
        }
        let all: Vec<NamedFile> = catalogue.files_from(None).collect();
        let files: Vec<File> = all.iter().map(|stop| stop.file.clone()).collect();
        prop_assert_eq!(&files, &catalogue.files().collect::<Vec<_>>());
        let mut back: Vec<NamedFile> = catalogue.files_before(None).collect();
        back.reverse();
        prop_assert_eq!(&back, &all);
        for (at, stop) in all.iter().enumerate() {
            let here = Some((&stop.file.entry.name, stop.nth));
            prop_assert_eq!(catalogue.files_from(here).collect::<Vec<_>>(), &all[at..]);
            let mut before: Vec<NamedFile> = catalogue.files_before(here).collect();
            before.reverse();
            prop_assert_eq!(before, &all[..at]);
            let same = |other: &&NamedFile| other.file.entry.name == stop.file.entry.name;
            let has_all = |peer: &&PeerId| !catalogue.has_a_part(**peer, &stop.file.entry.name);
            let wholes: Vec<PeerId> = stop.file.holders.iter().filter(has_all).copied().collect();
            prop_assert_eq!(&stop.wholes, &wholes);
            prop_assert_eq!(stop.has_twin, all.iter().filter(same).count() > 1);
        }
        // A place where no file is any more.
        for name in NAMES {
            let name: Name = name.parse().expect("a name");
            let at = all.partition_point(|stop| stop.file.entry.name <= name);
            let behind = Some((&name, usize::MAX));
            prop_assert_eq!(catalogue.files_from(behind).collect::<Vec<_>>(), &all[at..]);
            prop_assert_eq!(catalogue.files_before(behind).count(), at);
        }
        for (_, listing) in catalogue.listings() {
            let entries: Vec<Entry> = listing.entries().collect();
            for at in 0..entries.len() {
                let rest: Vec<Entry> = listing.entries_after(Some(&entries[at].name)).collect();
                prop_assert_eq!(rest, &entries[at + 1..]);
                let mut before: Vec<Entry> = listing.entries_before(Some(&entries[at].name)).collect();
                before.reverse();
                prop_assert_eq!(before, &entries[..at]);
            }
        }
    }

    #[test]
    fn a_pattern_continued_behind_any_name_gives_exactly_the_rest(ops in ops(), pattern in select(&PATTERNS[..])) {
        let mut catalogue = Catalogue::default();
        let mut model = Model::new();
        for op in ops {
            apply(op, &mut catalogue, &mut model);
        }
        let pattern = Pattern::new(pattern).expect("a pattern");
        let whole: Vec<File> = catalogue.matching(&pattern, None, &|_| true).collect();
        prop_assert!(whole.is_sorted_by_key(|file| file.entry.name.clone()));
        prop_assert_eq!(seen(whole.clone()), expected(&model, &|_| true, |name| pattern.matches(name)));
        for after in NAMES {
            let after: Name = after.parse().expect("a name");
            let rest = whole.iter().filter(|file| file.entry.name > after).cloned();
            let found: Vec<File> = catalogue.matching(&pattern, Some(&after), &|_| true).collect();
            prop_assert_eq!(found, rest.collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_search_in_parts_finds_what_one_look_at_all_files_finds(ops in ops(), typed in select(&["", "a", "D A", "e/a", "\u{dc}", "x"][..]), limit in 0..4usize, most in 0..4u64) {
        let mut catalogue = Catalogue::default();
        let mut model = Model::new();
        for op in ops {
            apply(op, &mut catalogue, &mut model);
        }
        let words = Words::new(typed).expect("few");
        let all: Vec<NamedFile> = catalogue.files_from(None).collect();
        let matching = all.into_iter().filter(|file| words.matches(file.file.entry.name.as_str()));
        let (mut found, mut behind) = (Vec::new(), None);
        loop {
            let slice = catalogue.search(&words, behind.as_ref(), limit, most * 40);
            prop_assert!(behind < slice.reached || slice.reached.is_none(), "it goes on");
            found.extend(slice.files);
            behind = slice.reached;
            if behind.is_none() {
                break;
            }
        }
        prop_assert_eq!(found, matching.collect::<Vec<_>>());
    }

    #[test]
    fn the_children_of_a_folder_are_its_files_and_each_folder_once_from_any_of_them_on(ops in ops(), folder in select(&["", "d", "d/e", "d/a", "none"][..])) {
        let mut catalogue = Catalogue::default();
        let mut model = Model::new();
        for op in ops {
            apply(op, &mut catalogue, &mut model);
        }
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let mut expected: Vec<FolderChild> = Vec::new();
        for file in catalogue.files_from(None) {
            let Some(rest) = file.file.entry.name.as_str().strip_prefix(&prefix) else {
                continue;
            };
            let child = match rest.split_once('/') {
                Some((called, _)) => FolderChild::Folder(format!("{prefix}{called}")),
                None => FolderChild::File(file),
            };
            if expected.last() != Some(&child) {
                expected.push(child);
            }
        }
        let children: Vec<FolderChild> = catalogue.children(folder, ChildrenFrom::Start).collect();
        prop_assert_eq!(&children, &expected);
        for (at, child) in children.iter().enumerate() {
            let (from, at) = match child {
                FolderChild::Folder(path) => (ChildrenFrom::BehindFolder(path), at + 1),
                FolderChild::File(file) => {
                    let name = &file.file.entry.name;
                    let is_same = |child: &&FolderChild| matches!(child, FolderChild::File(file) if file.file.entry.name == *name);
                    let twins = children[at..].iter().take_while(is_same).count();
                    (ChildrenFrom::BehindFile(name.as_str()), at + twins)
                }
            };
            prop_assert_eq!(catalogue.children(folder, from).collect::<Vec<_>>(), &children[at..]);
        }
    }
}

fn numbered(n: usize) -> Vec<Entry> {
    let named = |i| Entry {
        name: format!("{i}").parse().expect("a name"),
        ..entry((0, 1))
    };
    (0..n).map(named).collect()
}

#[test]
fn what_a_listing_will_take_is_known_before_it_is_changed() {
    let mut catalogue = Catalogue::default();
    let changes = [
        full(numbered(100)),
        Update {
            since: Some(1),
            added: numbered(103),
            removed: ["5", "7", "7", "x"]
                .map(|text| text.parse().expect("a name"))
                .into(),
            ..Update::heartbeat(2)
        },
        Update {
            since: Some(2),
            added: vec![entry((0, 2)), entry((1, 2)), entry((1, 1)), entry((2, 2))],
            removed: numbered(50).into_iter().map(|entry| entry.name).collect(),
            ..Update::heartbeat(3)
        },
        Update {
            since: Some(3),
            added: vec![entry((0, 1)), entry((1, 2))],
            removed: vec![name(2)],
            ..Update::heartbeat(4)
        },
        full(numbered(3)),
    ];
    for update in changes {
        let expected = catalogue.size_after(id(1), &update);
        assert_eq!(catalogue.apply(id(1), 7, update), Applied::Yes);
        assert_eq!(catalogue.listing(id(1)).expect("listed").size(), expected);
        assert_eq!(catalogue.cost(), expected.bytes);
    }
}

#[test]
fn an_update_goes_in_part_by_part_and_nothing_can_follow_it_before_its_end() {
    let mut catalogue = Catalogue::default();
    catalogue.apply(id(1), 7, full(numbered(5)));
    let position = Some(Position { epoch: 7, seq: 1 });
    assert_eq!(catalogue.position(id(1)), position);
    let mut entries = numbered(10);
    entries.drain(..5);
    let mut applying = catalogue
        .begin(id(1), 7, full(entries), false)
        .expect("it follows");
    // Ten steps for comparing old and new, of which five take names out, and then five go in.
    let mut seen = Vec::new();
    while !applying.is_done() {
        let before = catalogue.moved;
        assert_eq!(catalogue.position(id(1)), None);
        let delta = Update {
            since: Some(1),
            ..Update::heartbeat(2)
        };
        assert_eq!(catalogue.apply(id(1), 7, delta), Applied::NeedsFull);
        catalogue.go_on(&mut applying, 3);
        catalogue.check();
        assert!(catalogue.moved - before <= 3, "so much at a time");
        seen.push(catalogue.moved);
    }
    assert!(seen.len() >= 5, "{seen:?}");
    assert_eq!(seen.last(), Some(&15));
    assert!(applying.is_done());
    assert_eq!(
        (catalogue.position(id(1)), catalogue.entries()),
        (position, 5)
    );
    // A listing that is forgotten meanwhile is not begun again by the rest.
    let mut applying = catalogue
        .begin(id(1), 7, full(numbered(5)), false)
        .expect("it follows");
    catalogue.go_on(&mut applying, 3);
    catalogue.forget(id(1));
    catalogue.go_on(&mut applying, 30);
    assert!(applying.is_done() && catalogue.listing(id(1)).is_none());
    catalogue.check();
}

#[test]
fn a_long_listing_out_of_order_takes_the_place_of_another_without_being_put_in_order() {
    let name = |n: u64| format!("{:05}", n * 7919 % 10_007).parse().expect("a name");
    let entries = |from: u64| {
        let entries = from..from + 3000;
        entries
            .map(|n| Entry {
                name: name(n),
                ..entry((0, 1))
            })
            .collect()
    };
    let mut catalogue = Catalogue::default();
    catalogue.apply(id(1), 7, full(entries(0)));
    let begun = catalogue.begin(id(1), 7, full(entries(1500)), false);
    let mut applying = begun.expect("it follows");
    assert_eq!(catalogue.leaving(), 3000);
    while !applying.is_done() {
        let before = catalogue.moved;
        catalogue.go_on(&mut applying, 100);
        assert!(catalogue.moved - before <= 100);
    }
    catalogue.forget_some(3000);
    catalogue.check();
    assert_eq!(catalogue.entries(), 3000);
    assert!(
        catalogue
            .listing(id(1))
            .expect("listed")
            .entry(&name(0))
            .is_none()
    );
}

#[test]
fn a_listing_is_forgotten_part_by_part_and_found_no_more_from_the_first_moment() {
    let mut catalogue = Catalogue::default();
    let numbered = |from: u64| {
        let entries = from..from + 10;
        entries.map(|n| Entry {
            name: format!("d/{n:03}").parse().expect("a name"),
            ..entry((0, 1))
        })
    };
    let full = |seq, from| Update {
        since: None,
        added: numbered(from).collect(),
        ..Update::heartbeat(seq)
    };
    catalogue.apply(id(1), 7, full(1, 0));
    catalogue.apply(id(2), 7, full(1, 5));
    let changes = catalogue.holder_changes();
    catalogue.forget(id(1));
    assert!(catalogue.holder_changes() > changes);
    assert_eq!((catalogue.entries(), catalogue.leaving()), (10, 10));
    let content = numbered(0).next().and_then(|entry| entry.content());
    let content = content.expect("it has a root");
    for left in (0..10).rev() {
        let of_second = seen(catalogue.files());
        assert_eq!(of_second.len(), 10);
        assert!(of_second.iter().all(|(_, _, _, by)| *by == [id(2)].into()));
        let backwards: Vec<_> = catalogue.files_before(None).collect();
        assert_eq!(backwards.len(), 10);
        assert!(catalogue.listing(id(1)).is_none() && catalogue.position(id(1)).is_none());
        for gone in ["d/001", "001"] {
            assert_eq!(catalogue.named(gone, &|_| true), None);
        }
        let holders = catalogue.holders_of(content);
        assert!(holders.map(|(peer, _)| peer).all(|peer| peer == id(2)));
        catalogue.check();
        assert_eq!(catalogue.forget_some(1), 1);
        assert_eq!(catalogue.leaving(), left);
        if left == 6 {
            // It comes back meanwhile, and something goes again.
            catalogue.apply(id(1), 8, full(1, 20));
            assert_eq!(catalogue.listing(id(1)).map(Listing::len), Some(10));
            catalogue.forget(id(1));
            catalogue.check();
            assert_eq!(catalogue.leaving(), 16);
            assert_eq!(catalogue.forget_some(100), 16);
            break;
        }
    }
    assert_eq!(catalogue.forget_some(5), 0);
    assert_eq!((catalogue.entries(), catalogue.rows()), (10, 10));
    catalogue.check();
}

#[test]
fn an_entry_is_thought_to_cost_at_least_what_it_takes_however_it_came() {
    const ENTRIES: u64 = 6000;
    /// What few entries begin, in two listings and three indices.
    const BEGUN: u64 = 2 * 8192 + 3 * 1024;
    let scattered = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let entry = |n: u64| {
        let mut root = [0; 32];
        root[..8].copy_from_slice(&scattered(!n).to_be_bytes());
        Entry {
            name: format!("d{}/{n:05}", n % 10).parse().expect("a name"),
            root: Some(Root::new(root)),
            ..entry((0, 1))
        }
    };
    let mut catalogue = Catalogue::default();
    let lists = |catalogue: &mut Catalogue, peer, mut numbers: Vec<u64>, is_in_order: bool| {
        if !is_in_order {
            numbers.sort_by_key(|n| scattered(*n));
        }
        let added = numbers.into_iter().map(entry).collect();
        catalogue.apply(id(peer), 7, full(added));
    };
    let takes_less_than_is_thought = |catalogue: &Catalogue, names: u64| {
        let listings = catalogue.listings().map(|(_, listing)| listing.room());
        let rows = listings.sum::<usize>() + catalogue.indices.room();
        let takes = rows as u64 + names * 24;
        let cost = catalogue.cost();
        assert!(takes <= cost + BEGUN, "{takes} of {cost}");
        assert!(2 * takes >= cost, "{takes} of {cost}");
    };
    lists(&mut catalogue, 1, (0..ENTRIES).collect(), true);
    takes_less_than_is_thought(&catalogue, ENTRIES);
    lists(&mut catalogue, 2, (ENTRIES..2 * ENTRIES).collect(), false);
    takes_less_than_is_thought(&catalogue, 2 * ENTRIES);
    for most in [0, 1, 2, 4, 8, 16] {
        let left = move |from| {
            (from..from + ENTRIES)
                .filter(move |n| n % 17 >= most)
                .collect()
        };
        lists(&mut catalogue, 1, left(0), false);
        lists(&mut catalogue, 2, left(ENTRIES), true);
        catalogue.check();
        takes_less_than_is_thought(&catalogue, catalogue.entries() as u64);
    }
}

#[test]
fn each_further_name_under_which_an_entry_is_found_costs_as_well() {
    let cost = |text: &str| cost_of_entry(&text.parse().expect("a name"), false);
    assert_eq!(
        cost("abc"),
        ROWS + 24,
        "two numbers before it, and rounded up"
    );
    assert_eq!(cost("d/abcdefgh"), ROWS + 32);
    assert_eq!(cost(&format!("d/{}", "a".repeat(200))), ROWS + 224);
    // Found under the composed forms of path and base.
    assert_eq!(
        cost(&format!("d/{}", "u\u{308}".repeat(60))),
        ROWS + 2 * KEY + 224 + 2 * 160
    );
    // B-trees are two thirds full on average.
    let slot = size_of::<(Name, Option<Name>, listings::Slot)>();
    assert!(
        (slot * 3 / 2 + 2 * size_of::<usize>()) as u64 <= KEY,
        "{slot}"
    );
}

#[test]
fn a_full_listing_moves_only_what_differs_from_the_one_before() {
    let mut catalogue = Catalogue::default();
    let neighbours = Some(vec![id(5)]);
    let first = Update {
        neighbours,
        ..full(numbered(100))
    };
    catalogue.apply(id(1), 7, first);
    assert_eq!(catalogue.moved, 100);
    let mut changed = numbered(101);
    changed.remove(7);
    changed[0].length += 1;
    changed.reverse();
    catalogue.apply(id(1), 7, full(changed.clone()));
    catalogue.check();
    assert_eq!(catalogue.moved, 103, "one gone, one changed, one new");
    let listing = catalogue.listing(id(1)).expect("listed");
    changed.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(listing.entries().eq(changed));
    assert!(
        listing.neighbours().is_empty(),
        "no neighbours were named this time"
    );
    catalogue.apply(id(1), 7, full(Vec::new()));
    catalogue.check();
    assert_eq!(catalogue.entries(), 0);
}

#[test]
fn parts_and_wholes_of_a_content_are_one_file() {
    let mut catalogue = Catalogue::default();
    let whole = entry((0, 3));
    let part = Entry {
        partial: true,
        ..whole.clone()
    };
    catalogue.apply(id(1), 7, full(vec![part.clone()]));
    catalogue.apply(id(2), 7, full(vec![whole.clone()]));
    catalogue.check();
    let (_, files) = catalogue.named("a", &|_| true).expect("it is there");
    let expected = File {
        entry: whole.clone(),
        holders: vec![id(1), id(2)],
    };
    assert_eq!(files, [expected]);
    assert_eq!(catalogue.rows(), 1);
    assert!(catalogue.has_a_part(id(1), &part.name));
    assert!(!catalogue.has_a_part(id(2), &part.name));
    assert_eq!(
        catalogue.listing(id(1)).and_then(|l| l.entry(&part.name)),
        Some(part)
    );
    let arrived = Update {
        since: Some(1),
        added: vec![whole.clone()],
        ..Update::heartbeat(2)
    };
    catalogue.apply(id(1), 7, arrived);
    catalogue.check();
    assert!(!catalogue.has_a_part(id(1), &whole.name));
}

#[test]
fn another_epoch_is_another_history() {
    let mut catalogue = Catalogue::default();
    catalogue.apply(id(1), 7, full(numbered(1)));
    let heartbeat = Update::heartbeat(1);
    assert_eq!(catalogue.apply(id(1), 7, heartbeat.clone()), Applied::Yes);
    assert_eq!(catalogue.apply(id(1), 8, heartbeat), Applied::NeedsFull);
}

#[test]
fn lengths_that_nobody_can_have_do_not_break_the_sum() {
    let mut catalogue = Catalogue::default();
    let mut entries = numbered(3);
    for entry in &mut entries {
        entry.length = u64::MAX;
    }
    let names: Vec<Name> = entries[1..]
        .iter()
        .map(|entry| entry.name.clone())
        .collect();
    catalogue.apply(id(1), 7, full(entries));
    assert_eq!(catalogue.listing(id(1)).expect("listed").bytes(), u64::MAX);
    let removed = Update {
        since: Some(1),
        removed: names,
        ..Update::heartbeat(2)
    };
    catalogue.apply(id(1), 7, removed);
    catalogue.check();
    assert_eq!(catalogue.listing(id(1)).expect("listed").bytes(), u64::MAX);
}

#[test]
fn one_name_never_yields_more_files_than_an_answer_could_ever_use() {
    let mut catalogue = Catalogue::default();
    let entries = (0..MOST_NAMED * 2).map(|i| Entry {
        name: format!("{i}/same").parse().expect("a name"),
        ..entry((0, 1))
    });
    catalogue.apply(id(1), 7, full(entries.collect()));
    let (fit, files) = catalogue.named("same", &|_| true).expect("there are many");
    assert_eq!((fit, files.len()), (Fit::Base, MOST_NAMED));
}

#[test]
fn no_more_names_are_looked_at_than_can_be_told_whether_they_are_it_or_only_alike() {
    let mut catalogue = Catalogue::default();
    let entries = (0..MOST_NAMED * 3).map(|i| Entry {
        name: format!("{i}/u\u{308}").parse().expect("a name"),
        ..entry((0, 1))
    });
    catalogue.apply(id(1), 7, full(entries.collect()));
    for (typed, expected) in [("u\u{308}", Fit::Base), ("\u{fc}", Fit::Normalised)] {
        let named = catalogue.named_within(typed, None, u64::MAX, &|_| true);
        let (fit, files) = named.found.expect("there are many");
        assert_eq!((fit, files.len()), (expected, MOST_NAMED));
        assert_eq!(named.looked_at, MOST_NAMED as u64);
    }
}

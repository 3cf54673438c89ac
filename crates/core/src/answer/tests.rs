//! However much there is to say, an answer fits in a frame and loses nothing.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use thorp_wire::frame::{PREFIX, RequestId, Update};
use thorp_wire::{Frame, InfoHash};

use super::*;
use crate::budget::Allowance;
use crate::catalogue::Applied;
use crate::presence;
use crate::time::Instant;

const EVERYBODY: u8 = 60;
const V1: InfoHash = InfoHash::new([255; 20]);
/// For it the holders of the village's files begin with the first.
const ASKER: PeerId = PeerId::new([255; 32]);

fn id(n: u8) -> PeerId {
    PeerId::new([n; 32])
}

/// A member with a long name and as many addresses as there can be.
fn present(n: u8) -> Presence {
    let claimed: Vec<_> = (0..8)
        .map(|i| (IpAddr::from([0xfd, n.into(), 0, 0, 0, 0, 0, i]), 3334).into())
        .collect();
    let seen_at = Ipv4Addr::new(192, 0, 2, n).into();
    Presence {
        id: id(n),
        name: Some("a234567890123456789012345678901x".parse().expect("a name")),
        seen_at,
        addresses: presence::addresses(seen_at, Some(3334), &claimed, 0),
        position: Some(1),
        is_listed: true,
        bittorrent: false,
    }
}

/// All members, each with as many addresses as there can be, list these names.
fn village(names: &[String]) -> (Catalogue, Presences) {
    let mut catalogue = Catalogue::default();
    let mut there = Presences::default();
    for n in 1..=EVERYBODY {
        there.insert(present(n));
        let entry = |name: &String| Entry {
            name: name.parse().expect("a name"),
            length: u64::MAX,
            mtime: i64::MIN,
            root: Some(Root::new([255; 32])),
            partial: false,
            nanos: 0,
            executable: false,
            // One holder says it.
            v1: (n == 7).then_some(V1),
        };
        let full = Update {
            since: None,
            added: names.iter().map(entry).collect(),
            neighbours: Some((0..200).map(id).collect()),
            ..Update::heartbeat(1)
        };
        catalogue.apply(id(n), 7, full);
    }
    (catalogue, there)
}

fn long_names(count: usize) -> Vec<String> {
    let folder = format!("{}/", "x".repeat(250)).repeat(16);
    (0..count).map(|n| format!("{folder}{n:04}")).collect()
}

fn sent(found: Found) -> Found {
    let mut bytes = Vec::new();
    let frame = Frame::with_request(RequestId(u32::MAX), found.clone());
    frame.encode(&mut bytes).expect("it fits");
    assert_eq!(Frame::decode(&bytes[PREFIX..]), Ok(frame));
    found
}

fn find(query: Query, after: Option<Name>) -> Find {
    Find {
        after,
        ..Find::new(query, 0)
    }
}

#[test]
fn a_file_is_told_with_the_info_hash_of_its_v1_torrent_if_one_holder_says_it() {
    let (catalogue, there) = village(&["a".to_owned()]);
    let library = Library {
        catalogue: &catalogue,
        present: &there,
        me: id(0),
        among: &|_| true,
        asker: ASKER,
        unlisted: &Unlisted::default,
        most: Work::ENOUGH,
    };
    for query in [
        Query::Names(vec!["a".to_owned()]),
        Query::Pattern("*".to_owned()),
    ] {
        let found = sent(library.files(&find(query, None)).0.expect("a pattern"));
        let told: Vec<_> = found
            .variants
            .iter()
            .map(|variant| variant.entry.v1)
            .collect();
        assert_eq!(told, [Some(V1)]);
    }
}

#[test]
fn a_table_has_each_holder_once_and_no_file_that_its_asker_knows() {
    let names: Vec<String> = ["a", "d/b", "d/c", "d/d"].map(str::to_owned).into();
    let (catalogue, there) = village(&names);
    let library = Library {
        catalogue: &catalogue,
        present: &there,
        me: id(0),
        among: &|_| true,
        asker: ASKER,
        unlisted: &Unlisted::default,
        most: Work::ENOUGH,
    };
    let mut known = NameFilter::new(7, 100);
    known.insert(&"d/b".parse().expect("a name"));
    known.insert_holder(&"d/c".parse().expect("a name"), id(1));
    let asks = |told| find(Query::Beyond(known.clone(), told), None);
    let answer = |told| sent(library.files(&asks(told)).0.expect("no pattern"));
    let found = answer(Some(2000));
    assert_eq!((found.variants.len(), found.more), (0, false));
    let told = found.told.expect("a table");
    let files: Vec<_> = told
        .files
        .iter()
        .map(|file| file.entry.name.as_str())
        .collect();
    assert_eq!(files, ["a", "d/c", "d/d"]);
    assert!(told.files.iter().all(|file| file.holders.len() == FEW_TOLD));
    assert_eq!(told.holders.len(), FEW_TOLD + 1, "they are the same ones");
    let holders = |file| told.holders_of(file).map(|holder| holder.id);
    let mut of_c = holders(&told.files[1]);
    assert!(of_c.all(|holder| holder != id(1)), "its asker knows that");
    assert!(holders(&told.files[0]).any(|holder| holder == id(1)));
    let cut = answer(Some(2));
    assert_eq!(cut.told.map(|told| told.files.len()), Some(2));
    assert!(cut.more);
    // The asker knows more names than its filter has room for.
    let part = Find {
        after: Some("a".parse().expect("a name")),
        until: Some("d/c".parse().expect("a name")),
        ..asks(Some(2000))
    };
    let found = sent(library.files(&part).0.expect("no pattern"));
    let files = found.told.expect("a table").files;
    let names: Vec<_> = files.iter().map(|file| file.entry.name.as_str()).collect();
    assert_eq!((names, found.more), (vec!["d/c"], false));
    // A version that knows no table.
    let variants = answer(None);
    assert_eq!((variants.variants.len(), variants.told), (3, None));
}

#[test]
fn a_table_of_the_longest_names_fits() {
    let names = long_names(1000);
    let (catalogue, there) = village(&names);
    let library = Library {
        catalogue: &catalogue,
        present: &there,
        me: id(0),
        among: &|_| true,
        asker: ASKER,
        unlisted: &Unlisted::default,
        most: Work::ENOUGH,
    };
    let query = Query::Beyond(NameFilter::new(7, 0), Some(u32::MAX));
    let found = sent(library.files(&find(query, None)).0.expect("no pattern"));
    let told = found.told.expect("a table");
    assert!(found.more && told.files.len() > 200, "{}", told.files.len());
}

#[test]
fn the_longest_names_with_the_most_holders_come_in_pages_that_fit() {
    let names = long_names(150);
    let (catalogue, there) = village(&names);
    let library = Library {
        catalogue: &catalogue,
        present: &there,
        me: id(0),
        among: &|_| true,
        asker: ASKER,
        unlisted: &Unlisted::default,
        most: Work::ENOUGH,
    };
    let mut after = None;
    let mut paged = Vec::new();
    loop {
        let query = Query::Pattern("**".to_owned());
        let found = sent(
            library
                .files(&find(query, after.take()))
                .0
                .expect("a pattern"),
        );
        paged.extend(found.variants.iter().map(|v| v.entry.name.to_string()));
        if !found.more {
            break;
        }
        after = found.variants.last().map(|v| v.entry.name.clone());
    }
    assert_eq!(paged, names);

    let answered = sent(
        library
            .files(&find(Query::Names(names.clone()), None))
            .0
            .expect("names"),
    );
    assert!(answered.more);
    let first = answered.variants.iter().map(|v| v.entry.name.to_string());
    let count = first.len();
    assert!(count > 50);
    assert_eq!(first.collect::<Vec<_>>(), names[..count]);
    assert!(
        answered
            .variants
            .iter()
            .all(|v| v.holders.len() == Variant::MAX_HOLDERS)
    );
}

#[test]
fn who_has_a_part_is_named_last_and_as_such() {
    let (mut catalogue, there) = village(&["a".to_owned()]);
    let whole = catalogue
        .listing(id(1))
        .and_then(|listing| listing.entries().next());
    let part = Entry {
        partial: true,
        ..whole.expect("listed")
    };
    for n in 1..=40 {
        let delta = Update {
            since: Some(1),
            added: vec![part.clone()],
            ..Update::heartbeat(2)
        };
        catalogue.apply(id(n), 7, delta);
    }
    let library = Library {
        catalogue: &catalogue,
        present: &there,
        me: id(0),
        among: &|_| true,
        asker: ASKER,
        unlisted: &Unlisted::default,
        most: Work::ENOUGH,
    };
    let content = part.content().expect("it has a root");
    for query in [
        Query::Names(vec!["a".to_owned()]),
        Query::Content(content),
        Query::Pattern("*".to_owned()),
    ] {
        let found = library.files(&find(query, None)).0.expect("an answer");
        let [variant] = &found.variants[..] else {
            panic!("parts and wholes are one file");
        };
        assert!(!variant.entry.partial);
        let named = variant.holders.iter().map(|h| (h.id, h.partial));
        let wholes = (41..=EVERYBODY).map(|n| (id(n), false));
        let parts = (1..=12).map(|n| (id(n), true));
        assert_eq!(
            named.collect::<Vec<_>>(),
            wholes.chain(parts).collect::<Vec<_>>()
        );
    }
}

#[test]
fn of_too_many_holders_each_asker_is_told_of_others_and_of_all_together() {
    let (catalogue, there) = village(&["a".to_owned()]);
    let named_to = |asker: PeerId| {
        let library = Library {
            catalogue: &catalogue,
            present: &there,
            me: id(0),
            among: &|peer| peer != asker,
            asker,
            unlisted: &Unlisted::default,
            most: Work::ENOUGH,
        };
        let question = find(Query::Names(vec!["a".to_owned()]), None);
        let found = library.files(&question).0.expect("an answer");
        let [variant] = &found.variants[..] else {
            panic!("one file");
        };
        let ids = variant.holders.iter().map(|holder| holder.id);
        ids.collect::<BTreeSet<PeerId>>()
    };
    let mut all = BTreeSet::new();
    for n in 1..=EVERYBODY {
        let told = named_to(id(n));
        assert_eq!(told.len(), Variant::MAX_HOLDERS);
        assert_eq!(told, named_to(id(n)), "the same whenever it asks");
        all.extend(told);
    }
    assert_eq!(all, (1..=EVERYBODY).map(id).collect());
}

#[test]
fn a_page_of_members_with_all_their_neighbours_fits() {
    let (catalogue, there) = village(&[]);
    let present: Vec<&Presence> = there.listed().collect();
    // More members than there are here: each of them several times.
    let crowd = present.iter().copied().cycle().take(Found::MAX_MEMBERS + 1);
    let found = sent(members(crowd, &catalogue).0);
    assert_eq!(found.members.len(), Found::MAX_MEMBERS);
    assert!(found.more);
    let rest = there.listed_behind(Some(id(EVERYBODY - 1)));
    let (rest, _) = members(rest, &catalogue);
    assert_eq!(rest.members.len(), 1);
}

#[test]
fn files_of_one_name_are_not_torn_apart() {
    let names: Vec<String> = (0..3).map(|n| format!("{n}")).collect();
    let (mut catalogue, there) = village(&names);
    for n in 1..=EVERYBODY {
        // Each member has another content under each name: 180 files.
        let entry = |name: &String| Entry {
            name: name.parse().expect("a name"),
            length: n.into(),
            mtime: 0,
            root: None,
            partial: false,
            nanos: 0,
            executable: false,
            v1: None,
        };
        let delta = Update {
            since: Some(1),
            added: names.iter().map(entry).collect(),
            ..Update::heartbeat(2)
        };
        catalogue.apply(id(n), 7, delta);
    }
    let library = Library {
        catalogue: &catalogue,
        present: &there,
        me: id(0),
        among: &|_| true,
        asker: ASKER,
        unlisted: &Unlisted::default,
        most: Work::ENOUGH,
    };
    for query in [Query::Names(names.clone()), Query::Pattern("*".to_owned())] {
        let found = library.files(&find(query, None)).0.expect("an answer");
        assert_eq!(found.variants.len(), usize::from(EVERYBODY));
        assert!(found.variants.iter().all(|v| v.entry.name.as_str() == "0"));
        assert!(found.more);
    }
}

/// Lists these names for a member that is in the village.
fn list(catalogue: &mut Catalogue, n: u8, names: impl Iterator<Item = String>) {
    let entry = |name: String| Entry {
        name: name.parse().expect("a name"),
        length: 1,
        mtime: 0,
        root: Some(Root::new([1; 32])),
        partial: false,
        nanos: 0,
        executable: false,
        v1: None,
    };
    let full = Update {
        since: None,
        added: names.map(entry).collect(),
        ..Update::heartbeat(1)
    };
    assert_eq!(catalogue.apply(id(n), 7, full), Applied::Yes);
}

/// Asks until there is no more. Says what was found, and what each answer cost.
fn ask(library: &Library<'_>, mut question: Find) -> (Vec<Variant>, Vec<u64>) {
    let (mut variants, mut costs) = (Vec::new(), Vec::new());
    loop {
        let (found, work) = library.files(&question);
        let found = sent(found.expect("an answer"));
        let last = found.variants.last().map(|last| last.entry.name.clone());
        variants.extend(found.variants);
        costs.push(work.0);
        if !found.more {
            return (variants, costs);
        }
        let stopped_at = found.behind.or(last).expect("it stopped at a name");
        assert!(question.after.replace(stopped_at) < question.after);
        if let Query::Names(names) = &mut question.query {
            names.drain(..found.answered.expect("of names") as usize);
        }
    }
}

#[test]
fn a_name_that_the_asker_lists_itself_a_thousandfold_is_paid_for_and_hides_nobody_else() {
    const OWN: u64 = 3 * Work::ROWS * Work::ENOUGH / 2;
    let (mut catalogue, there) = village(&[]);
    list(&mut catalogue, 1, (0..OWN).map(|n| format!("{n:x}/x")));
    list(&mut catalogue, 2, std::iter::once("y/x".to_owned()));
    let library = Library {
        catalogue: &catalogue,
        present: &there,
        me: id(0),
        among: &|peer| peer != id(1),
        asker: ASKER,
        unlisted: &Unlisted::default,
        most: Work::ENOUGH,
    };
    let (variants, costs) = ask(&library, find(Query::Names(vec!["x".to_owned()]), None));
    let [variant] = &variants[..] else {
        panic!("{variants:?}");
    };
    assert_eq!(variant.entry.name.as_str(), "y/x");
    assert_eq!(costs.len(), 2, "{costs:?}");
    assert!(costs.iter().sum::<u64>() > OWN / Work::ROWS, "{costs:?}");

    // The same name again and again is one name.
    let (_, again) = ask(
        &library,
        find(Query::Names(vec!["x".to_owned(); 256]), None),
    );
    assert_eq!(again, costs);
    // Others are answered when their turn comes.
    let two = vec!["absent".to_owned(), "x".to_owned(), "y/x".to_owned()];
    let (variants, costs) = ask(&library, find(Query::Names(two), None));
    assert_eq!(variants.len(), 2);
    let most = Work::ENOUGH + Work::QUESTION.0 + 3 * Work::NAME;
    assert!(costs.iter().all(|cost| *cost <= most), "{costs:?}");
}

#[test]
fn a_pattern_that_is_hard_to_compare_is_paid_for_and_comes_in_parts_that_end_soon() {
    let (mut catalogue, there) = village(&[]);
    let mut random = fastrand::Rng::with_seed(1);
    let mut either = || if random.bool() { 'a' } else { 'b' };
    let mut name = |n| format!("{n:04}{}", (0..200).map(|_| either()).collect::<String>());
    list(&mut catalogue, 1, (0..8000).map(&mut name));
    list(
        &mut catalogue,
        2,
        std::iter::once(format!("9a{}z", "b".repeat(230))),
    );
    let library = Library {
        catalogue: &catalogue,
        present: &there,
        me: id(0),
        among: &|_| true,
        asker: ASKER,
        unlisted: &Unlisted::default,
        most: Work::ENOUGH,
    };
    let hard = format!("*a{}z", "?".repeat(230));
    let (variants, costs) = ask(&library, find(Query::Pattern(hard), None));
    assert_eq!(variants.len(), 1);
    assert!(costs.len() > 1, "{costs:?}");
    // Four words of states for each of 204 characters.
    assert!(
        costs.iter().sum::<u64>() > 8000 * 4 * 204 / Work::STEPS,
        "{costs:?}"
    );
    let most = Work::ENOUGH + Work::NAME;
    assert!(costs.iter().all(|cost| *cost <= most), "{costs:?}");
    // An ordinary pattern costs little more than a look at each name.
    let (_, easy) = ask(&library, find(Query::Pattern("*.pdf".to_owned()), None));
    assert!(easy.iter().sum::<u64>() < 8000, "{easy:?}");
}

#[test]
fn a_million_names_are_told_within_a_minute_by_the_charges_there_are() {
    let (mut catalogue, there) = village(&[]);
    let number = 20_000;
    for n in 1..=2 {
        let name = |i| format!("some/folder/file-{n}-{i:06}.dat");
        list(&mut catalogue, n, (0..number).map(name));
    }
    let library = Library {
        catalogue: &catalogue,
        present: &there,
        me: id(0),
        among: &|_| true,
        asker: ASKER,
        unlisted: &Unlisted::default,
        most: Work::ENOUGH,
    };
    for pattern in ["**", "file-*.dat", "some/**"] {
        let mut find = Find {
            most: Some(u32::MAX),
            ..find(Query::Pattern(pattern.to_owned()), None)
        };
        let (mut told, mut cost, mut pages) = (0, 0, 0);
        loop {
            let (found, work) = library.files(&find);
            let found = found.expect("a pattern");
            told += found.variants.len();
            cost += work.0;
            pages += 1;
            let last = found.variants.last().map(|file| file.entry.name.clone());
            if !found.more {
                break;
            }
            find.after = found.behind.or(last);
        }
        assert_eq!(told, 2 * number);
        assert!(pages <= told / 1000 + 2, "{pages} pages");
        // What may be asked for at once, and in the rest of a minute.
        let mut allowance = Allowance::new(Instant::default());
        let mut charged = 0;
        for second in 0..50 {
            let now = Instant::after_start(Duration::from_secs(second));
            while !allowance.is_spent(now) {
                allowance.charge(Work(1000));
                charged += 1000;
            }
        }
        let million = cost * 1_000_000 / told as u64;
        assert!(million < charged, "{pattern}: {million} of {charged}");
    }
}

#[test]
fn an_asker_that_does_not_say_how_much_it_takes_gets_no_more_than_it_ever_did() {
    let (mut catalogue, there) = village(&[]);
    list(&mut catalogue, 1, (0..5000).map(|n| format!("f{n:04}")));
    let library = Library {
        catalogue: &catalogue,
        present: &there,
        me: id(0),
        among: &|_| true,
        asker: ASKER,
        unlisted: &Unlisted::default,
        most: Work::ENOUGH,
    };
    for (most, told) in [
        (None, 100),
        (Some(0), 100),
        (Some(500), 500),
        (Some(9999), 1000),
    ] {
        let find = Find {
            most,
            ..find(Query::Pattern("*".to_owned()), None)
        };
        let found = sent(library.files(&find).0.expect("a pattern"));
        assert_eq!((found.variants.len(), found.more), (told, true));
    }
}

#[test]
fn an_answer_costs_what_it_took_and_a_rare_pattern_as_much_as_looking_everywhere() {
    let names: Vec<String> = (0..1000).map(|n| format!("{n}")).collect();
    let (catalogue, there) = village(&names);
    let library = Library {
        catalogue: &catalogue,
        present: &there,
        me: id(0),
        among: &|_| true,
        asker: ASKER,
        unlisted: &Unlisted::default,
        most: Work::ENOUGH,
    };
    let cost = |query| library.files(&find(query, None)).1.0;
    let name = |name: &str| Query::Names(vec![name.to_owned()]);
    // Of the entries of a name the first one is looked at.
    let nothing = cost(Query::Pattern("*.rare".to_owned()));
    assert!(nothing >= names.len() as u64 / 8, "{nothing}");
    let (absent, present) = (cost(name("absent")), cost(name("7")));
    assert!(
        absent < present && 5 * absent < nothing,
        "{absent}, {nothing}"
    );
    let many = cost(Query::Names(names[..256].to_vec()));
    assert!(many > 10 * present, "{many}");
    // What is behind the page is not looked at.
    let page = cost(Query::Pattern("*".to_owned()));
    let holders = names.len() as u64 * u64::from(EVERYBODY);
    assert!(page < holders / 8, "{page}");
}

#[test]
fn members_to_ask_instead_are_looked_for_once_where_something_is_missed_and_that_is_paid_for() {
    let (mut catalogue, there) = village(&[]);
    list(&mut catalogue, 1, std::iter::once("a".to_owned()));
    let (times, looked_at) = (Cell::new(0), Cell::new(0));
    let unlisted = || {
        times.set(times.get() + 1);
        Unlisted {
            looked_at: looked_at.get(),
            ..Unlisted::default()
        }
    };
    let library = Library {
        catalogue: &catalogue,
        present: &there,
        me: id(0),
        among: &|_| true,
        asker: ASKER,
        unlisted: &unlisted,
        most: Work::ENOUGH,
    };
    let names = |names: &[&str]| Query::Names(names.iter().map(ToString::to_string).collect());
    let all = || Query::Pattern("*".to_owned());
    let behind = || Some("Z".parse().expect("a name"));
    for (query, after, expected) in [
        (names(&["a"]), None, 0),
        (names(&["a", "b", "c"]), None, 1),
        (all(), None, 1),
        (all(), behind(), 0),
    ] {
        let question = find(query, after);
        let costs = [0, 80 * Work::LINKS].map(|many| {
            looked_at.set(many);
            times.set(0);
            let (found, work) = library.files(&question);
            assert!(found.is_ok());
            assert_eq!(times.get(), expected, "{question:?}");
            work.0
        });
        assert_eq!(costs[1] - costs[0], 80 * expected, "{question:?}");
    }
}

//! The whole policy of a get, in virtual time: slow, lying, leaving and hashing
//! holders, names that mean several files, places that are taken.

mod support;

use std::time::Duration;

use support::{Manner, TRACKER, Village, content, id, name_of, request, request_from};
use thorp_core::get::{
    Chore, DiskError, Ending, Existing, GetId, LargeEvent, Missed, MissedKind, News, NotStored,
    Output, Request,
};
use thorp_core::links;
use thorp_core::lookup::{Only, Source};
use thorp_core::peer::{Input, Notice};
use thorp_core::swarm::{Contact, Stuck, Unfit};
use thorp_wire::PeerId;
use thorp_wire::frame::MAX_INLINE;

const ONE: [u8; 4] = [192, 168, 198, 138];
const TWO: [u8; 4] = [192, 168, 198, 139];
const THREE: [u8; 4] = [192, 168, 198, 137];
const FOUR: [u8; 4] = [192, 168, 198, 140];

const SECOND: Duration = Duration::from_secs(1);

/// A village with peer 1, who wants files, and others who share these.
fn village(shares: &[&[(&str, &str)]]) -> (Village, usize, Vec<usize>) {
    let mut village = Village::new();
    let one = village.peer(ONE, &[]);
    let addresses = [TWO, THREE, FOUR];
    let others = shares.iter().zip(addresses);
    let others = others.map(|(files, ip)| village.peer(ip, files)).collect();
    village.run(SECOND);
    (village, one, others)
}

/// Gets files and says how it ended.
fn get(village: &mut Village, node: usize, request: Request) -> (GetId, Ending) {
    let get = village.want(node, request);
    let end = village.end_of(node, get);
    (get, end)
}

fn missed(name: &str, why: Missed) -> Ending {
    let name = name.to_owned();
    Ending::Missed { name, why }
}

fn exists() -> Missed {
    Missed::NotStored(NotStored::Exists)
}

/// What was fetched, in the order of coming: its name here, and who sent it.
fn fetched(village: &mut Village, node: usize, get: GetId) -> Vec<(String, Vec<PeerId>)> {
    let told = village.told(node, get).iter();
    let fetched = told.filter_map(|told| match told {
        Output::Tell(News::Fetched { item, sources, .. }) => {
            let sources = sources.iter().map(|holder| holder.id).collect();
            Some((item.target.to_string(), sources))
        }
        _ => None,
    });
    fetched.collect()
}

/// What failed, and why.
fn failed(village: &mut Village, node: usize, get: GetId) -> Vec<(String, Missed)> {
    let told = village.told(node, get).iter();
    let failed = told.filter_map(|told| match told {
        Output::Tell(News::Failed { name, why }) => Some((name.clone(), why.clone())),
        _ => None,
    });
    failed.collect()
}

fn only_root(names: &[&str], text: &str) -> Request {
    let only = Only {
        from: None,
        root: Some(content(text).root.to_string()[..8].to_owned()),
    };
    Request {
        only,
        ..request(names)
    }
}

// What a name comes to.

#[test]
fn one_file_is_looked_for_fetched_and_told_of_in_this_order() {
    let (mut village, one, others) = village(&[&[("a.txt", "a")]]);
    let (get, end) = get(&mut village, one, request(&["a.txt"]));
    assert_eq!(end, Ending::Done { files: 1, bytes: 1 });
    let [
        Output::Do(Chore::Look(looks)),
        Output::Tell(News::Planned {
            missed: 0,
            files: 1,
            bytes: 1,
        }),
        Output::Tell(News::Fetched {
            item,
            sources,
            received: 1,
            answer,
            ..
        }),
        Output::Ended(_),
    ] = village.told(one, get)
    else {
        panic!("{:?}", village.told(one, get));
    };
    assert_eq!((looks.len(), &looks[0].content), (1, &None));
    assert_eq!(
        (&item.listed, &item.target),
        (&name_of("a.txt"), &name_of("a.txt"))
    );
    assert_eq!(item.content, content("a"));
    assert_eq!(sources[0].id, id(others[0]));
    assert_eq!(
        (answer.source, answer.tracker_asked),
        (Source::Tracker, true)
    );
}

#[test]
fn several_contents_are_a_choice_that_a_peer_or_a_root_makes() {
    let shares: [&[(&str, &str)]; 3] = [&[("a", "first")], &[("a", "second")], &[("a", "second")]];
    let (mut village, one, others) = village(&shares);
    let (id, end) = get(&mut village, one, request(&["a"]));
    assert_eq!(end, missed("a", Missed::Ambiguous { look_alike: false }));
    let choice = village.told(one, id).iter().find_map(|told| match told {
        Output::Tell(News::Choice { name, variants }) => Some((name.clone(), variants.clone())),
        _ => None,
    });
    let (name, variants) = choice.expect("a choice");
    let held: Vec<_> = variants
        .iter()
        .map(|v| (v.entry.content(), v.holders.len()))
        .collect();
    assert_eq!(name, "a");
    assert_eq!(
        held,
        [(Some(content("second")), 2), (Some(content("first")), 1)]
    );

    let (id, end) = get(&mut village, one, request_from(&["a"], "peer-2"));
    assert_eq!(end, Ending::Done { files: 1, bytes: 5 });
    assert_eq!(
        fetched(&mut village, one, id),
        [("a".to_owned(), vec![support::id(others[0])])]
    );
    village.host(one).files.clear();
    let (_, end) = get(&mut village, one, only_root(&["a"], "second"));
    assert_eq!(end, Ending::Done { files: 1, bytes: 6 });
}

#[test]
fn one_content_under_several_names_is_no_choice() {
    let (mut village, one, _) = village(&[&[("d/a", "same")], &[("c/a", "same")]]);
    let (get, end) = get(&mut village, one, request(&["a"]));
    assert_eq!(end, Ending::Done { files: 1, bytes: 4 });
    assert_eq!(
        fetched(&mut village, one, get)[0].0,
        "c/a",
        "the first name"
    );
}

#[test]
fn what_only_looks_like_the_name_is_offered_and_its_root_takes_it() {
    let (mut village, one, _) = village(&[&[("u\u{308}", "a")]]);
    let (_, end) = get(&mut village, one, request(&["\u{fc}"]));
    assert_eq!(
        end,
        missed("\u{fc}", Missed::Ambiguous { look_alike: true })
    );
    let (_, end) = get(&mut village, one, only_root(&["\u{fc}"], "a"));
    assert_eq!(end, Ending::Done { files: 1, bytes: 1 });
}

#[test]
fn what_nobody_shares_is_not_found_and_without_a_tracker_that_is_not_known() {
    let (mut village, one, others) = village(&[&[("a", "a")]]);
    let nobody = |only| missed("b", Missed::NobodyShares(only));
    let (_, end) = get(&mut village, one, request(&["b"]));
    assert_eq!(end, nobody(Only::default()));
    let of_one = request_from(&["b"], "peer-2");
    let (_, end) = get(&mut village, one, of_one.clone());
    assert_eq!(end, nobody(of_one.only));
    village.kill(TRACKER);
    village.run(20 * SECOND);
    let why = Missed::TrackerUnreachable { listing: false };
    let (_, end) = get(&mut village, one, request(&["b"]));
    assert_eq!(end, missed("b", why.clone()));
    assert_eq!(why.kind(), MissedKind::Tracker);
    // What a neighbour lists is there all the same.
    village.start_tracker();
    village.run(20 * SECOND);
    village.get(one, "a");
    village.share(others[0], &[("late", "late")]);
    village.run(SECOND);
    village.kill(TRACKER);
    village.run(20 * SECOND);
    assert_eq!(village.get(one, "late"), (Source::Memory, id(others[0])));
}

#[test]
fn a_pattern_without_a_tracker_is_answered_by_neighbours_and_a_visitor_is_told_at_once() {
    let (mut village, one, _) = village(&[&[("a.1", "1"), ("a.2", "2")]]);
    let visitor = village.peer_with(FOUR, &[], |config| {
        config.me.visitor = true;
        config.me.port = None;
    });
    village.run(SECOND);
    village.get(one, "a.1");
    village.kill(TRACKER);
    village.run(20 * SECOND);
    let (get_1, end) = get(&mut village, one, request(&["a.*"]));
    assert_eq!(end, Ending::Done { files: 2, bytes: 2 });
    let partial = Output::Tell(News::Partial {
        asked_tracker: false,
    });
    assert!(village.told(one, get_1).contains(&partial));
    let (get_2, end) = get(&mut village, visitor, request(&["a.*"]));
    let why = Missed::TrackerUnreachable { listing: true };
    assert_eq!(end, missed("a.*", why));
    assert_eq!(village.told(visitor, get_2).len(), 1);
    let (_, end) = get(&mut village, one, request(&["b.*"]));
    let why = Missed::TrackerUnreachable { listing: false };
    assert_eq!(end, missed("b.*", why), "neighbours do not know all");
}

#[test]
fn a_visitor_gets_files_too() {
    let (mut village, _, others) = village(&[&[("a", "a"), ("b", "b")]]);
    let visitor = village.peer_with(FOUR, &[], |config| {
        config.me.visitor = true;
        config.me.port = None;
    });
    village.run(SECOND);
    let (get, end) = get(&mut village, visitor, request(&["?"]));
    assert_eq!(end, Ending::Done { files: 2, bytes: 2 });
    let sources: Vec<_> = fetched(&mut village, visitor, get);
    assert!(sources.iter().all(|(_, from)| *from == [id(others[0])]));
}

#[test]
fn what_looks_like_a_pattern_and_is_none_is_a_name() {
    let (mut village, one, _) = village(&[&[("photo [1", "a")]]);
    let (_, end) = get(&mut village, one, request(&["photo [1"]));
    assert_eq!(end, Ending::Done { files: 1, bytes: 1 });
}

#[test]
fn names_that_thorp_keeps_are_left_out_of_patterns_and_not_fetched_by_name() {
    let files = [
        ("d/.thorpignore", "rules"),
        ("d/thorp-state", "1"),
        ("d/.thorp-x.part", "x"),
        ("d/ok", "ok"),
    ];
    let (mut village, one, _) = village(&[&files]);
    let (id, end) = get(&mut village, one, request(&["d/*"]));
    assert_eq!(end, Ending::Done { files: 1, bytes: 2 });
    let told = village.told(one, id).iter();
    let left_out = told.filter(|told| matches!(told, Output::Tell(News::LeftOut(_))));
    assert_eq!(left_out.count(), 3);
    let (_, end) = get(&mut village, one, request(&["d/thorp-state"]));
    assert_eq!(
        end,
        missed("d/thorp-state", Missed::Reserved(name_of("d/thorp-state")))
    );
    // Under another name it is a file like any other, and so are the rules.
    let renamed = Request {
        rename: Some("state".to_owned()),
        ..request(&["d/thorp-state"])
    };
    assert_eq!(
        get(&mut village, one, renamed).1,
        Ending::Done { files: 1, bytes: 1 }
    );
    let (_, end) = get(&mut village, one, request(&["d/.thorpignore"]));
    assert_eq!(end, Ending::Done { files: 1, bytes: 5 });
    let to_reserved = Request {
        rename: Some("thorp-state".to_owned()),
        ..request(&["d/ok"])
    };
    let (_, end) = get(&mut village, one, to_reserved);
    assert_eq!(
        end,
        missed("d/ok", Missed::Reserved(name_of("thorp-state")))
    );
}

#[test]
fn what_makes_no_sense_is_said_at_once() {
    let (mut village, one, _) = village(&[&[("a", "a")]]);
    let renamed = |names: &[&str], rename: &str| Request {
        rename: Some(rename.to_owned()),
        ..request(names)
    };
    let aside = Request {
        existing: Existing::SetAside,
        ..request(&["*"])
    };
    for (request, expected) in [
        (request(&[]), Missed::NoNames),
        (renamed(&["a", "b"], "c"), Missed::OneNameOnly),
        (renamed(&["*"], "c"), Missed::OneNameOnly),
        (aside, Missed::OneNameOnly),
    ] {
        assert_eq!(expected.kind(), MissedKind::Usage);
        let get = village.want(one, request);
        let Some(Ending::Missed { why, .. }) = village.ended(one, get) else {
            panic!("it has not ended");
        };
        assert_eq!(why, expected);
    }
    let get = village.want(one, renamed(&["a"], "../c"));
    let end = village.ended(one, get);
    assert!(
        matches!(
            end,
            Some(Ending::Missed {
                why: Missed::BadName { .. },
                ..
            })
        ),
        "{end:?}"
    );
}

// Where a file is to go.

#[test]
fn where_one_file_has_no_place_nobody_is_asked_for_it() {
    let (mut village, one, _) = village(&[&[("a", "a"), ("d/b", "b")]]);
    village
        .host(one)
        .files
        .insert(name_of("a"), "mine".to_owned());
    let finds = village.received(TRACKER, "Find");
    let (_, end) = get(&mut village, one, request(&["a"]));
    assert_eq!(end, missed("a", exists()));
    let why = NotStored::InTheWay(DiskError(7));
    village.host(one).blocked.insert(name_of("b"), why);
    let (_, end) = get(&mut village, one, request(&["b"]));
    assert_eq!(end, missed("b", Missed::NotStored(why)));
    assert_eq!(village.received(TRACKER, "Find"), finds);
    // Its listed name may be another than what was typed.
    village.host(one).blocked.clear();
    village
        .host(one)
        .files
        .insert(name_of("d/b"), "b".to_owned());
    let (_, end) = get(&mut village, one, request(&["b"]));
    assert_eq!(end, missed("b", exists()), "though it is the same");
    let renamed = Request {
        rename: Some("new".to_owned()),
        ..request(&["a"])
    };
    assert_eq!(
        get(&mut village, one, renamed.clone()).1,
        Ending::Done { files: 1, bytes: 1 }
    );
    assert_eq!(get(&mut village, one, renamed).1, missed("a", exists()));
}

#[test]
fn what_is_there_is_replaced_or_set_aside_where_that_was_said() {
    let (mut village, one, _) = village(&[&[("a", "a")]]);
    for existing in [Existing::Replace, Existing::SetAside] {
        village
            .host(one)
            .files
            .insert(name_of("a"), "mine".to_owned());
        let request = Request {
            existing,
            ..request(&["a"])
        };
        let (_, end) = get(&mut village, one, request);
        assert_eq!(end, Ending::Done { files: 1, bytes: 1 });
        assert_eq!(village.host(one).files[&name_of("a")], "a");
    }
    assert!(village.host(one).looks.is_empty(), "whatever is there");
}

#[test]
fn of_several_names_equal_content_counts_as_fetched_and_other_content_stays() {
    let files = [("a", "a"), ("b", "b"), ("c", "c")];
    let (mut village, one, others) = village(&[&files]);
    for (name, text) in [("a", "a"), ("b", "mine")] {
        village
            .host(one)
            .files
            .insert(name_of(name), text.to_owned());
    }
    let gets = village.received(others[0], "Get");
    let (id, end) = get(&mut village, one, request(&["a", "b", "c"]));
    let expected = Ending::SeveralMissed {
        kind: MissedKind::Exists,
        missed: 1,
        of: 3,
    };
    assert_eq!(end, expected);
    assert_eq!(failed(&mut village, one, id), [("b".to_owned(), exists())]);
    let names = fetched(&mut village, one, id);
    assert_eq!(names[0], ("a".to_owned(), vec![]), "it was there");
    assert_eq!(names[1].0, "c");
    assert_eq!(village.received(others[0], "Get"), gets + 1);
    assert_eq!(village.host(one).looks.len(), 1, "the disk is asked once");
    assert_eq!(village.host(one).looks[0].len(), 3);
    // The same where files are replaced: what is equal need not come again.
    let request = Request {
        existing: Existing::Replace,
        ..request(&["a", "b", "c"])
    };
    let (_, end) = get(&mut village, one, request);
    assert_eq!(end, Ending::Done { files: 3, bytes: 3 });
    assert_eq!(village.received(others[0], "Get"), gets + 2);
}

#[test]
fn in_a_directory_that_was_named_equal_content_counts_for_one_file_too() {
    let (mut village, one, others) = village(&[&[("a", "a")]]);
    let elsewhere = Request {
        elsewhere: true,
        ..request(&["a"])
    };
    village.host(one).files.insert(name_of("a"), "a".to_owned());
    let (id, end) = get(&mut village, one, elsewhere.clone());
    assert_eq!(end, Ending::Done { files: 1, bytes: 1 });
    assert_eq!(fetched(&mut village, one, id), [("a".to_owned(), vec![])]);
    assert_eq!(village.received(others[0], "Get"), 0);
    village
        .host(one)
        .files
        .insert(name_of("a"), "mine".to_owned());
    assert_eq!(get(&mut village, one, elsewhere).1, missed("a", exists()));
}

#[test]
fn a_file_that_a_pattern_and_a_name_both_mean_comes_once() {
    let (mut village, one, others) = village(&[&[("a", "a"), ("b", "b")]]);
    let (_, end) = get(&mut village, one, request(&["?", "a", "[ab]", "a"]));
    assert_eq!(end, Ending::Done { files: 2, bytes: 2 });
    assert_eq!(village.received(others[0], "Get"), 2);
}

#[test]
fn a_disk_that_takes_nothing_is_the_reason() {
    let (mut village, one, _) = village(&[&[("a", "a"), ("empty", "")]]);
    let full = NotStored::Other(DiskError(9));
    let all = Request {
        existing: Existing::Replace,
        ..request(&["a"])
    };
    let empty = Request {
        names: vec!["empty".to_owned()],
        ..all.clone()
    };
    assert_eq!(
        get(&mut village, one, empty.clone()).1,
        Ending::Done { files: 1, bytes: 0 }
    );
    for (name, request) in [("a", all), ("empty", empty)] {
        village.host(one).blocked.insert(name_of(name), full);
        let (_, end) = get(&mut village, one, request);
        assert_eq!(end, missed(name, Missed::NotStored(full)));
    }
}

// Who sends it.

#[test]
fn the_next_holder_is_asked_where_one_lies_has_left_or_says_nothing() {
    let files: [(&str, &str); 4] = [("a", "a"), ("b", "b"), ("c", "c"), ("d", "d")];
    for manner in [Manner::Lying, Manner::Mute, Manner::Without] {
        let (mut village, one, others) = village(&[&files, &files]);
        village.host(others[0]).manner = manner;
        let (get, end) = get(&mut village, one, request(&["?"]));
        assert_eq!(end, Ending::Done { files: 4, bytes: 4 }, "{manner:?}");
        let good = vec![id(others[1])];
        let fetched = fetched(&mut village, one, get);
        assert!(fetched.iter().all(|(_, from)| *from == good), "{manner:?}");
    }
    let (mut village, one, others) = village(&[&files, &files]);
    village.cut_off(others[0], true);
    let (_, end) = get(&mut village, one, request(&["?"]));
    assert_eq!(end, Ending::Done { files: 4, bytes: 4 });
}

#[test]
fn a_slow_holder_is_waited_for_and_one_that_is_too_slow_is_passed_over() {
    let files: Vec<(String, String)> = (0..100).map(|n| (format!("f{n}"), n.to_string())).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (&**n, &**t)).collect();
    let all = |end: &Ending| matches!(end, Ending::Done { files: 100, .. });
    let (mut village, one, others) = village(&[&files, &files]);
    village.host(others[0]).lag = 5 * SECOND;
    let (id, end) = get(&mut village, one, request(&["f*"]));
    assert!(all(&end), "{end:?}");
    let of_the_slow = |fetched: Vec<(String, Vec<PeerId>)>, slow| {
        let from_it = fetched.into_iter().filter(|(_, from)| *from == [slow]);
        from_it.count()
    };
    let slow = support::id(others[0]);
    let number = of_the_slow(fetched(&mut village, one, id), slow);
    assert!((1..50).contains(&number), "{number}");

    village.host(others[0]).lag = 25 * SECOND;
    village.host(one).files.clear();
    let before = village.now;
    let (id, end) = get(&mut village, one, request(&["f*"]));
    assert!(all(&end), "{end:?}");
    assert_eq!(of_the_slow(fetched(&mut village, one, id), slow), 0);
    assert!(village.now - before < 20 * SECOND);
}

#[test]
fn what_a_holder_that_leaves_had_begun_comes_from_the_others() {
    let files: Vec<(String, String)> = (0..300).map(|n| (format!("f{n}"), n.to_string())).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (&**n, &**t)).collect();
    for milliseconds in [3, 6, 8, 10, 12] {
        let (mut village, one, others) = village(&[&files, &files]);
        let get = village.want(one, request(&["*"]));
        village.run(Duration::from_millis(milliseconds));
        village.kill(others[0]);
        let end = village.end_of(one, get);
        assert!(matches!(end, Ending::Done { files: 300, .. }), "{end:?}");
    }
}

#[test]
fn where_no_holder_is_left_the_reason_says_most() {
    for manner in [Manner::Lying, Manner::Mute, Manner::Without] {
        let (mut village, one, others) = village(&[&[("a", "a")]]);
        village.host(others[0]).manner = manner;
        let holder = village.holder(others[0]);
        let (_, end) = get(&mut village, one, request(&["a"]));
        let why = match manner {
            Manner::Lying => Missed::Mismatch(holder),
            Manner::Mute => Missed::Silent(holder),
            _ => Missed::NobodyShares(Only::default()),
        };
        assert_eq!(end, missed("a", why));
    }
    let (mut village, one, others) = village(&[&[("a", "a")]]);
    village.cut_off(others[0], true);
    let (_, end) = get(&mut village, one, request(&["a"]));
    let Ending::Missed { why, .. } = end else {
        panic!("{end:?}");
    };
    assert_eq!(why.kind(), MissedKind::Network);
}

#[test]
fn with_one_peer_asked_for_no_other_one_is() {
    let (mut village, one, others) = village(&[&[("a", "a")], &[("a", "a")]]);
    village.host(others[0]).manner = Manner::Mute;
    let (_, end) = get(&mut village, one, request_from(&["a"], "peer-2"));
    let holder = village.holder(others[0]);
    assert_eq!(end, missed("a", Missed::Silent(holder)));
}

// What is still being hashed.

/// A village where a file of peer 2 has no root, and hashing it takes time.
fn unhashed(name: &str, text: &str) -> (Village, usize, usize) {
    let (mut village, one, others) = village(&[&[]]);
    village.host(others[0]).hashes_slowly = true;
    village.share_unhashed(others[0], &[(name, text)]);
    village.run(SECOND);
    (village, one, others[0])
}

fn read(village: &mut Village, node: usize, name: &str, bytes: u64) {
    let name = name_of(name);
    let bytes = Some(bytes);
    village.give(node, Input::Hashed { name, bytes });
}

#[test]
fn a_file_that_is_being_hashed_is_waited_for_as_long_as_it_gets_on() {
    for names in [["slow"], ["s*"]] {
        let text = "x".repeat(100);
        let (mut village, one, two) = unhashed("slow", &text);
        let get = village.want(one, request(&names));
        // Much longer than a holder that gets nowhere is waited for.
        for bytes in (0..90).step_by(10) {
            read(&mut village, two, "slow", bytes);
            village.run(20 * SECOND);
        }
        assert_eq!(village.ended(one, get), None);
        village.share(two, &[("slow", &text)]);
        let end = village.end_of(one, get);
        let bytes = 100;
        assert_eq!(end, Ending::Done { files: 1, bytes }, "{names:?}");
        let told = village.told(one, get).iter();
        let far = told.filter_map(|told| match told {
            Output::Tell(News::Hashing {
                name,
                length: 100,
                hashed,
                by,
            }) => {
                assert_eq!(name, "slow");
                assert_eq!(by.as_ref().map(|by| by.id), Some(id(two)));
                Some(*hashed)
            }
            _ => None,
        });
        let far: Vec<u64> = far.collect();
        assert!(far.is_sorted() && far.len() >= 9, "{far:?}");
    }
}

#[test]
fn a_holder_that_reads_nothing_more_is_not_waited_for() {
    let (mut village, one, two) = unhashed("slow", "12345");
    read(&mut village, two, "slow", 2);
    let before = village.now;
    let asked = village.received(two, "Find");
    let (_, end) = get(&mut village, one, request(&["slow"]));
    let Ending::Missed {
        name,
        why: Missed::StillHashing { by },
    } = end
    else {
        panic!("{end:?}");
    };
    assert_eq!((&*name, by.map(|by| by.id)), ("slow", Some(id(two))));
    let took = village.now - before;
    assert!(took > 30 * SECOND && took < 45 * SECOND, "{took:?}");
    // Asked no more than once a second, and by one question.
    let asked = village.received(two, "Find") - asked;
    assert!(asked <= took.as_secs(), "{asked} questions in {took:?}");
}

#[test]
fn one_of_several_that_gets_on_keeps_the_others_waiting() {
    let (mut village, one, two) = unhashed("a", "1234567890");
    village.share_unhashed(two, &[("b", "1234567890")]);
    village.share(two, &[("c", "c")]);
    village.run(SECOND);
    read(&mut village, two, "b", 1);
    let get = village.want(one, request(&["a", "b", "c"]));
    for bytes in 1..6 {
        read(&mut village, two, "a", bytes);
        village.run(20 * SECOND);
    }
    village.share(two, &[("a", "1234567890")]);
    let end = village.end_of(one, get);
    let expected = Ending::SeveralMissed {
        kind: MissedKind::Unfinished,
        missed: 1,
        of: 3,
    };
    assert_eq!(end, expected);
    let names: Vec<_> = fetched(&mut village, one, get);
    assert_eq!(names.len(), 2);
}

// How it ends.

#[test]
fn failures_of_one_kind_are_one_and_of_several_kinds_unfinished() {
    let (mut village, one, _) = village(&[&[("a", "a"), ("b", "b")], &[("a", "other")]]);
    let several = |kind, missed, of| Ending::SeveralMissed { kind, missed, of };
    let (id, end) = get(&mut village, one, request(&["x", "y"]));
    assert_eq!(end, several(MissedKind::NotFound, 2, 2));
    let names: Vec<_> = failed(&mut village, one, id);
    assert_eq!((&*names[0].0, &*names[1].0), ("x", "y"));
    let (_, end) = get(&mut village, one, request(&["x", "a"]));
    assert_eq!(end, several(MissedKind::Unfinished, 2, 2));
    let (_, end) = get(&mut village, one, request(&["x", "b"]));
    assert_eq!(
        end,
        several(MissedKind::NotFound, 1, 2),
        "the other one came"
    );
    // A pattern that comes to one failure alone ends with that.
    let (id, end) = get(&mut village, one, request(&["a*"]));
    assert_eq!(end, missed("a", Missed::Ambiguous { look_alike: false }));
    assert_eq!(failed(&mut village, one, id).len(), 1);
    let (_, end) = get(&mut village, one, request(&["z*"]));
    assert_eq!(end, missed("z*", Missed::NobodyShares(Only::default())));
}

#[test]
fn a_get_that_nobody_waits_for_is_over_and_leaves_nothing_behind() {
    let files: Vec<(String, String)> = (0..200).map(|n| (format!("f{n}"), n.to_string())).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (&**n, &**t)).collect();
    for milliseconds in [0, 1, 2, 3, 4, 5, 6, 8, 10] {
        let (mut village, one, others) = village(&[&files]);
        village.share(others[0], &[("large", &"x".repeat(300_000))]);
        village.run(SECOND);
        let get = village.want(one, request(&["*"]));
        village.run(Duration::from_millis(milliseconds));
        village.give(one, Input::AbandonGet { get });
        for (fetch, _) in std::mem::take(&mut village.host(one).begun) {
            village.large(one, fetch, LargeEvent::Released);
        }
        let told = village.told(one, get).len();
        let gets = village.received(others[0], "Get");
        village.run(60 * SECOND);
        assert_eq!(village.told(one, get).len(), told, "no caller is told");
        assert!(
            village.received(others[0], "Get") <= gets + 128,
            "what was on its way"
        );
        // Another get of the same works as if there had been none.
        let again = village.want(one, request(&["*"]));
        village.run(10 * SECOND);
        let (fetch, _) = village.host(one).begun.pop().expect("its turn has come");
        village.large(one, fetch, LargeEvent::NotStored(NotStored::Exists));
        village.large(one, fetch, LargeEvent::Released);
        let end = village.end_of(one, again);
        assert!(
            matches!(
                end,
                Ending::SeveralMissed {
                    missed: 1,
                    of: 201,
                    ..
                }
            ),
            "{end:?}"
        );
    }
}

#[test]
fn a_peer_that_stops_ends_its_gets() {
    let (mut village, one, others) = village(&[&[("a", "a"), ("b", "b")]]);
    village.host(others[0]).manner = Manner::Mute;
    let fetching = village.want(one, request(&["a", "b"]));
    village.run(SECOND);
    let looking = village.want(one, request(&["c"]));
    let reason = "done".to_owned();
    village.give(one, links::Input::Stop { reason });
    let several = Ending::SeveralMissed {
        kind: MissedKind::Unfinished,
        missed: 2,
        of: 2,
    };
    assert_eq!(village.ended(one, fetching), Some(several));
    assert_eq!(
        village.ended(one, looking),
        Some(missed("", Missed::Stopping))
    );
}

#[test]
fn ten_thousand_files_come_with_one_get() {
    let files: Vec<(String, String)> = (0..10_000)
        .map(|n| (format!("d{}/f{n}", n % 100), format!("text {n}")))
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (&**n, &**t)).collect();
    let (mut village, one, _) = village(&[&files, &files]);
    let (_, end) = get(&mut village, one, request(&["f*"]));
    assert!(matches!(end, Ending::Done { files: 10_000, .. }), "{end:?}");
    assert_eq!(village.host(one).looks.len(), 1);
}

// Large files.

/// A village where peers 2 and 3 have a large file, and peer 1 has begun it.
fn large() -> (Village, usize, Vec<usize>, GetId, thorp_core::get::FetchId) {
    let text = large_text();
    let (mut village, one, others) = village(&[&[("large", &text)], &[("large", &text)]]);
    let get = village.want(one, request(&["large"]));
    village.run(SECOND);
    let (fetch, item) = village.host(one).begun[0].clone();
    assert!(item.content.length > MAX_INLINE);
    (village, one, others, get, fetch)
}

fn large_text() -> String {
    "x".repeat(300_000)
}

#[test]
fn a_large_file_is_begun_gathered_and_given_its_name() {
    let (mut village, one, others, get, fetch) = large();
    assert_eq!(village.named(one, get), [], "there is no place for it yet");
    village.large(one, fetch, LargeEvent::Begun { there: 1000 });
    let resumed = |told: &Output| matches!(told, Output::Tell(News::Resumed { bytes: 1000, .. }));
    assert!(village.told(one, get).iter().any(resumed));
    assert_eq!(village.named(one, get), [id(others[0]), id(others[1])]);
    // One who has it in part by now is known by the tracker.
    let four = village.peer(FOUR, &[("copy", &large_text())]);
    village.run(SECOND);
    village.large(one, fetch, LargeEvent::WantsHolders);
    village.run(SECOND);
    assert!(village.named(one, get).contains(&id(four)));
    let sources = vec![id(others[1]), id(others[0])];
    village.large(
        one,
        fetch,
        LargeEvent::Complete {
            sources: sources.clone(),
        },
    );
    let end = village.end_of(one, get);
    let bytes = 300_000;
    assert_eq!(end, Ending::Done { files: 1, bytes });
    assert_eq!(
        fetched(&mut village, one, get),
        [("large".to_owned(), sources)]
    );
    village.run(SECOND);
    assert!(
        village.neighbours(one).contains(&id(others[1])),
        "who sent most is met"
    );
}

#[test]
fn a_large_file_that_gets_no_further_is_missed_for_what_is_known_of_its_holders() {
    let stuck = |there, contact, sources: &[PeerId]| {
        LargeEvent::Stuck(Stuck {
            reason: "gone".to_owned(),
            there,
            contact,
            sources: sources.to_vec(),
        })
    };
    let reason = || "gone".to_owned();
    let unfinished = |there| Missed::Unfinished {
        reason: reason(),
        there,
        of: 300_000,
    };
    for (lies, there, contact, by_honest, why) in [
        (
            false,
            0,
            Contact::None,
            false,
            Some(Missed::Unreachable(reason())),
        ),
        (
            false,
            0,
            Contact::Reached,
            false,
            Some(Missed::NobodyShares(Only::default())),
        ),
        (false, 0, Contact::Session, false, Some(unfinished(0))),
        (false, 7, Contact::None, true, Some(unfinished(7))),
        (true, 0, Contact::Session, true, None),
        (true, 7, Contact::Session, false, None),
        (true, 7, Contact::Session, true, Some(unfinished(7))),
    ] {
        let (mut village, one, others, get, fetch) = large();
        let liar = village.holder(others[0]);
        let sources = by_honest.then_some(id(others[1]));
        village.large(one, fetch, LargeEvent::Begun { there: 0 });
        if lies {
            village.large(one, fetch, LargeEvent::Lied(liar.id));
            let notices = &village.host(one).notices;
            assert!(notices.contains(&Notice::Liar(liar.clone())));
        }
        let sources: Vec<PeerId> = sources.into_iter().collect();
        village.large(one, fetch, stuck(there, contact, &sources));
        let expected = why.unwrap_or(Missed::Mismatch(liar));
        assert_eq!(village.ended(one, get), Some(missed("large", expected)));
        assert!(
            village
                .told(one, get)
                .contains(&Output::Do(Chore::GiveUp(fetch)))
        );
    }
}

#[test]
fn a_large_file_that_the_disk_does_not_take_is_missed_whenever_that_is_found_out() {
    let full = || NotStored::Other(DiskError(9));
    for (before, event, why) in [
        (
            vec![],
            LargeEvent::Unfit(Unfit::TooLong),
            Missed::Unfit(Unfit::TooLong),
        ),
        (vec![], LargeEvent::NotStored(NotStored::Exists), exists()),
        (
            vec![LargeEvent::Begun { there: 0 }],
            LargeEvent::NotStored(full()),
            Missed::NotStored(full()),
        ),
    ] {
        let (mut village, one, _, get, fetch) = large();
        for event in before {
            village.large(one, fetch, event);
        }
        village.large(one, fetch, event);
        assert_eq!(village.ended(one, get), Some(missed("large", why)));
        // What comes too late is no news.
        village.large(one, fetch, LargeEvent::WantsHolders);
        village.large(
            one,
            fetch,
            LargeEvent::Complete {
                sources: Vec::new(),
            },
        );
        village.large(one, fetch, LargeEvent::Released);
    }
}

#[test]
fn a_second_fetch_of_a_content_begins_where_the_first_has_left_it() {
    let (mut village, one, _, first, fetch) = large();
    let renamed = Request {
        rename: Some("copy".to_owned()),
        ..request(&["large"])
    };
    let second = village.want(one, renamed);
    village.run(SECOND);
    assert_eq!(village.host(one).begun.len(), 1);
    village.give(one, Input::AbandonGet { get: first });
    village.run(SECOND);
    assert_eq!(
        village.host(one).begun.len(),
        1,
        "it may still be written to"
    );
    village.large(one, fetch, LargeEvent::Released);
    assert_eq!(village.host(one).begun.len(), 2);
    let (fetch, _) = village.host(one).begun[1].clone();
    village.large(one, fetch, LargeEvent::Begun { there: 5 });
    village.large(
        one,
        fetch,
        LargeEvent::Complete {
            sources: Vec::new(),
        },
    );
    let bytes = 300_000;
    assert_eq!(
        village.end_of(one, second),
        Ending::Done { files: 1, bytes }
    );
}

#[test]
fn an_abandoned_get_of_many_large_files_bars_none_of_them() {
    let texts: Vec<String> = ('a'..='l').map(|c| c.to_string().repeat(300_000)).collect();
    let files: Vec<(&str, &str)> = texts.iter().map(|text| (&text[..1], &**text)).collect();
    let (mut village, one, _) = village(&[&files]);
    let first = village.want(one, request(&["?"]));
    village.run(SECOND);
    let begun = std::mem::take(&mut village.host(one).begun);
    assert_eq!(begun.len(), 8);
    village.give(one, Input::AbandonGet { get: first });
    for (fetch, _) in begun {
        village.large(one, fetch, LargeEvent::Released);
    }
    let again = village.want(one, request(&["?"]));
    village.run(SECOND);
    while let Some((fetch, _)) = village.host(one).begun.pop() {
        village.large(one, fetch, LargeEvent::NotStored(NotStored::Exists));
        village.large(one, fetch, LargeEvent::Released);
    }
    let expected = Ending::SeveralMissed {
        kind: MissedKind::Exists,
        missed: 12,
        of: 12,
    };
    assert_eq!(village.ended(one, again), Some(expected));
}

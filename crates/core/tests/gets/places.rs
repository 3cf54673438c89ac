//! Where files are stored.

use thorp_core::get::{
    DiskError, Ending, Existing, Missed, MissedKind, NotStored, Request, WithoutRoom,
};

use super::{SECOND, exists, failed, fetched, get, missed, village};
use crate::support::{TRACKER, name_of, request};

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
    // The listed name may differ from what was typed.
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
        Ending::Done {
            files: 1,
            bytes: 1,
            left_out: 0
        }
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
        assert_eq!(
            end,
            Ending::Done {
                files: 1,
                bytes: 1,
                left_out: 0
            }
        );
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
        without_room: None,
    };
    assert_eq!(end, expected);
    assert_eq!(failed(&mut village, one, id), [("b".to_owned(), exists())]);
    let names = fetched(&mut village, one, id);
    assert_eq!(names[0], ("a".to_owned(), vec![]), "it was there");
    assert_eq!(names[1].0, "c");
    assert_eq!(village.received(others[0], "Get"), gets + 1);
    assert_eq!(village.host(one).looks.len(), 1, "the disk is asked once");
    assert_eq!(village.host(one).looks[0].len(), 3);
    // The same if files are replaced: an equal file need not be fetched again.
    let request = Request {
        existing: Existing::Replace,
        ..request(&["a", "b", "c"])
    };
    let (_, end) = get(&mut village, one, request);
    assert_eq!(
        end,
        Ending::Done {
            files: 3,
            bytes: 3,
            left_out: 0
        }
    );
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
    assert_eq!(
        end,
        Ending::Done {
            files: 1,
            bytes: 1,
            left_out: 0
        }
    );
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
    assert_eq!(
        end,
        Ending::Done {
            files: 2,
            bytes: 2,
            left_out: 0
        }
    );
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
        Ending::Done {
            files: 1,
            bytes: 0,
            left_out: 0
        }
    );
    for (name, request) in [("a", all), ("empty", empty)] {
        village.host(one).blocked.insert(name_of(name), full);
        let (_, end) = get(&mut village, one, request);
        assert_eq!(end, missed(name, Missed::NotStored(full)));
    }
}

#[test]
fn where_a_small_file_has_no_room_none_that_is_as_long_is_fetched_after_it() {
    let names: Vec<String> = (0..400).map(|n| format!("{n:03}")).collect();
    let files: Vec<_> = names.iter().map(|name| (&**name, &**name)).collect();
    let (mut village, one, others) = village(&[&files]);
    village.host(one).slow_disk = true;
    let id = village.want(one, request(&["*"]));
    village.run(SECOND);
    village.disk_is_done(one);
    village.run(SECOND);
    // Some fit, and what comes next does not.
    assert!(village.disk_is_done(one) > 0);
    let full = NotStored::Full(DiskError(9));
    for name in &names {
        village.host(one).blocked.insert(name_of(name), full);
    }
    while village.ended(one, id).is_none() {
        village.run(SECOND);
        assert!(village.disk_is_done(one) > 0, "it waits for nothing else");
    }
    let here = fetched(&mut village, one, id).len();
    assert!(0 < here && here < names.len(), "{here}");
    let missed = names.len() - here;
    let end = Ending::SeveralMissed {
        kind: MissedKind::Other,
        missed: missed as u64,
        of: names.len() as u64,
        without_room: Some(WithoutRoom {
            first: full,
            bytes: 3 * missed as u64,
        }),
    };
    assert_eq!(village.ended(one, id), Some(end));
    let failed = failed(&mut village, one, id);
    assert_eq!(failed.len(), missed, "which did not fit is said of each");
    let not_fetched = |(_, why): &&(String, Missed)| *why == Missed::NoRoomEither;
    assert!(failed.iter().filter(not_fetched).count() > 0);
    // No holder is asked for the rest.
    let asked = village.received(others[0], "Get");
    assert!(asked < names.len() as u64, "{asked}");
    village.run(60 * SECOND);
    assert_eq!(village.received(others[0], "Get"), asked);
}

#[test]
fn what_is_shorter_than_a_file_without_room_comes_all_the_same() {
    let (mut village, one, _) = village(&[&[("a", "five5"), ("b", "longer"), ("c", "two")]]);
    village.host(one).slow_disk = true;
    let id = village.want(one, request(&["*"]));
    village.run(SECOND);
    village.disk_is_done(one);
    village.run(SECOND);
    let full = NotStored::Full(DiskError(9));
    for name in ["a", "b"] {
        village.host(one).blocked.insert(name_of(name), full);
    }
    while village.disk_is_done(one) > 0 {
        village.run(SECOND);
    }
    assert_eq!(fetched(&mut village, one, id).len(), 1);
    let end = Ending::SeveralMissed {
        kind: MissedKind::Other,
        missed: 2,
        of: 3,
        without_room: Some(WithoutRoom {
            first: full,
            bytes: 11,
        }),
    };
    assert_eq!(village.ended(one, id), Some(end));
}

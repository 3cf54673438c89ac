//! What a name is resolved to.

use thorp_core::get::{Chore, Doubt, Ending, Existing, Missed, MissedKind, News, Output, Request};
use thorp_core::lookup::{Only, Source};
use thorp_core::survey::Coverage;

use super::{FOUR, SECOND, fetched, get, missed, only_root, village};
use crate::support::{TRACKER, content, id, name_of, request, request_from};

#[test]
fn one_file_is_looked_for_fetched_and_told_of_in_this_order() {
    let (mut village, one, others) = village(&[&[("a.txt", "a")]]);
    let (get, end) = get(&mut village, one, request(&["a.txt"]));
    assert_eq!(
        end,
        Ending::Done {
            files: 1,
            bytes: 1,
            left_out: 0
        }
    );
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
    assert_eq!(end, missed("a", Missed::Ambiguous(Doubt::Several)));
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
    assert_eq!(
        end,
        Ending::Done {
            files: 1,
            bytes: 5,
            left_out: 0
        }
    );
    assert_eq!(
        fetched(&mut village, one, id),
        [("a".to_owned(), vec![crate::support::id(others[0])])]
    );
    village.host(one).files.clear();
    let (_, end) = get(&mut village, one, only_root(&["a"], "second"));
    assert_eq!(
        end,
        Ending::Done {
            files: 1,
            bytes: 6,
            left_out: 0
        }
    );
}

#[test]
fn one_content_under_several_names_is_no_choice() {
    let (mut village, one, _) = village(&[&[("d/a", "same")], &[("c/a", "same")]]);
    let (get, end) = get(&mut village, one, request(&["a"]));
    assert_eq!(
        end,
        Ending::Done {
            files: 1,
            bytes: 4,
            left_out: 0
        }
    );
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
    assert_eq!(end, missed("\u{fc}", Missed::Ambiguous(Doubt::LookAlike)));
    let (_, end) = get(&mut village, one, only_root(&["\u{fc}"], "a"));
    assert_eq!(
        end,
        Ending::Done {
            files: 1,
            bytes: 1,
            left_out: 0
        }
    );
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
    // A file that a neighbour lists is still found.
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
    let coverage = Coverage::NeighboursOnly;
    assert_eq!(end, missed("a.*", Missed::InPart(coverage)));
    assert_eq!(fetched(&mut village, one, get_1).len(), 2, "all the same");
    let partial = Output::Tell(News::Partial(coverage));
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
    assert_eq!(
        end,
        Ending::Done {
            files: 2,
            bytes: 2,
            left_out: 0
        }
    );
    let sources: Vec<_> = fetched(&mut village, visitor, get);
    assert!(sources.iter().all(|(_, from)| *from == [id(others[0])]));
}

#[test]
fn an_exact_name_means_itself_whatever_is_in_it() {
    // Longer than a pattern may be.
    let long = format!("{}[1].txt", "n/".repeat(600));
    let files = [
        ("[1].txt", "a"),
        ("1.txt", "b"),
        (".x/[2].txt", "c"),
        ("{d}/[1]", "d"),
        ("{d}/1", "dd"),
        (&*long, "long"),
        ("x", "x"),
    ];
    let (mut village, one, _) = village(&[&files]);
    let exact = |name: &str| Request {
        exact: true,
        ..request(&[name])
    };
    for (name, files, bytes) in [
        ("[1].txt", 1, 1),
        (".x/[2].txt", 1, 1),
        ("{d}/", 2, 3),
        (&*long, 1, 4),
    ] {
        let (_, end) = get(&mut village, one, exact(name));
        let left_out = 0;
        let all = Ending::Done {
            files,
            bytes,
            left_out,
        };
        assert_eq!(end, all, "{name}");
    }
    for none in ["[x]", "*", "?"] {
        let (_, end) = get(&mut village, one, exact(none));
        assert!(
            matches!(
                end,
                Ending::Missed {
                    why: Missed::NobodyShares(_),
                    ..
                }
            ),
            "{none}: {end:?}"
        );
    }
}

#[test]
fn what_looks_like_a_pattern_and_is_none_is_a_name() {
    let (mut village, one, _) = village(&[&[("photo [1", "a")]]);
    let (_, end) = get(&mut village, one, request(&["photo [1"]));
    assert_eq!(
        end,
        Ending::Done {
            files: 1,
            bytes: 1,
            left_out: 0
        }
    );
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
    assert_eq!(
        end,
        Ending::Done {
            files: 1,
            bytes: 2,
            left_out: 3
        }
    );
    let told = village.told(one, id).iter();
    let left_out = told.filter(|told| matches!(told, Output::Tell(News::LeftOut(_))));
    assert_eq!(left_out.count(), 3);
    let (_, end) = get(&mut village, one, request(&["d/thorp-state"]));
    assert_eq!(
        end,
        missed("d/thorp-state", Missed::Reserved(name_of("d/thorp-state")))
    );
    // Under another name it is an ordinary file, with the ordinary rules.
    let renamed = Request {
        rename: Some("state".to_owned()),
        ..request(&["d/thorp-state"])
    };
    assert_eq!(
        get(&mut village, one, renamed).1,
        Ending::Done {
            files: 1,
            bytes: 1,
            left_out: 0
        }
    );
    let (_, end) = get(&mut village, one, request(&["d/.thorpignore"]));
    assert_eq!(
        end,
        Ending::Done {
            files: 1,
            bytes: 5,
            left_out: 0
        }
    );
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

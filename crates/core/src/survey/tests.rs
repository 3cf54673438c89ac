//! Page by page, as long as there is progress.

use thorp_wire::Entry;
use thorp_wire::frame::Holder;

use super::*;

const TRACKER: PeerId = PeerId::new([99; 32]);

fn id(n: u8) -> PeerId {
    PeerId::new([n; 32])
}

fn at(millis: u64) -> Instant {
    Instant::after_start(Duration::from_millis(millis))
}

fn holder(n: u8) -> Holder {
    Holder {
        id: id(n),
        name: None,
        addresses: Vec::new(),
        partial: false,
    }
}

fn page(names: &[&str], more: bool) -> Found {
    let variant = |name: &&str| Variant {
        entry: Entry {
            name: name.parse().expect("a name"),
            length: 7,
            mtime: 0,
            root: None,
            partial: false,
        },
        holders: vec![holder(1)],
        hashed: None,
    };
    Found {
        variants: names.iter().map(variant).collect(),
        more,
        ..Found::default()
    }
}

fn files() -> Survey {
    let subject = Subject::Files(Pattern::new("*").expect("a pattern"));
    Survey::new(at(0), subject, Only::default(), Found::default())
}

#[test]
fn files_that_do_not_match_are_left_out_whoever_names_them() {
    let subject = Subject::Files(Pattern::new("a*").expect("a pattern"));
    let mut survey = Survey::new(at(0), subject, Only::default(), Found::default());
    let first = asked(
        survey.advance(at(0), TrackerState::Up(TRACKER), []),
        &[TRACKER],
    );
    let unasked = page(&["a1", "b", "d/a2"], false);
    assert_eq!(survey.found(at(1), TRACKER, &first, unasked), None);
    let actions = survey.advance(at(1), TrackerState::Up(TRACKER), []);
    let [SurveyAction::Finish(findings)] = &actions[..] else {
        panic!("{actions:?}");
    };
    let names = findings
        .files
        .iter()
        .map(|file| file.entry.name.to_string());
    assert_eq!(names.collect::<Vec<_>>(), ["a1", "d/a2"]);
}

#[test]
fn a_page_that_found_nothing_is_continued_where_the_search_stopped() {
    let mut survey = files();
    let first = asked(
        survey.advance(at(0), TrackerState::Up(TRACKER), []),
        &[TRACKER],
    );
    let stopped = Found {
        behind: Some("m".parse().expect("a name")),
        ..page(&[], true)
    };
    let second = survey.found(at(1), TRACKER, &first, stopped.clone());
    let second = second.expect("there is more");
    assert_eq!(second.after, stopped.behind);
    // The same again is no progress.
    assert_eq!(survey.found(at(2), TRACKER, &second, stopped), None);
    assert!(!finished(&survey.advance(at(2), TrackerState::Up(TRACKER), [])).0);
}

fn asked(actions: Vec<SurveyAction>, to: &[PeerId]) -> Find {
    let mut finds = Vec::new();
    let mut asked = Vec::new();
    for action in actions {
        match action {
            SurveyAction::Ask(peer, find) => {
                asked.push(peer);
                finds.push(find);
            }
            SurveyAction::Finish(findings) => panic!("finished: {findings:?}"),
        }
    }
    assert_eq!(asked, to);
    finds.remove(0)
}

/// Whether it is complete, and the names found.
fn finished(actions: &[SurveyAction]) -> (bool, Vec<String>) {
    match actions {
        [SurveyAction::Finish(findings)] => {
            let names = findings.files.iter().map(|v| v.entry.name.to_string());
            (findings.coverage == Coverage::Whole, names.collect())
        }
        other => panic!("not finished: {other:?}"),
    }
}

#[test]
fn the_tracker_is_asked_page_by_page() {
    let mut survey = files();
    let first = asked(
        survey.advance(at(0), TrackerState::Up(TRACKER), [id(1)]),
        &[TRACKER],
    );
    assert_eq!(first.after, None);
    let second = survey.found(at(1), TRACKER, &first, page(&["a", "b"], true));
    let second = second.expect("there is more");
    assert_eq!(second.after, Some("b".parse().expect("a name")));
    assert_eq!(survey.deadline(), Some(at(5001)));
    assert_eq!(
        survey.found(at(2), TRACKER, &second, page(&["c"], false)),
        None
    );
    let (complete, names) = finished(&survey.advance(at(2), TrackerState::Up(TRACKER), []));
    assert!(complete);
    assert_eq!(names, ["a", "b", "c"]);
}

#[test]
fn whoever_promises_more_but_does_not_get_ahead_is_not_asked_for_ever() {
    for repeated in [page(&["a", "b"], true), page(&["a"], true), page(&[], true)] {
        let mut survey = files();
        let first = asked(
            survey.advance(at(0), TrackerState::Up(TRACKER), []),
            &[TRACKER],
        );
        let second = survey.found(at(1), TRACKER, &first, page(&["a", "b"], true));
        let second = second.expect("there is more");
        assert_eq!(survey.found(at(2), TRACKER, &second, repeated), None);
        let (complete, _) = finished(&survey.advance(at(2), TrackerState::Up(TRACKER), []));
        assert!(!complete);
    }
}

#[test]
fn a_silent_tracker_leaves_a_part_and_what_it_says_later_is_ignored() {
    let mut survey = files();
    let first = asked(
        survey.advance(at(0), TrackerState::Up(TRACKER), []),
        &[TRACKER],
    );
    let second = survey.found(at(1), TRACKER, &first, page(&["a"], true));
    let second = second.expect("there is more");
    assert_eq!(survey.advance(at(5000), TrackerState::Up(TRACKER), []), []);
    let (complete, names) = finished(&survey.advance(at(5001), TrackerState::Up(TRACKER), []));
    assert_eq!((complete, names), (false, vec!["a".to_owned()]));
    assert_eq!(
        survey.found(at(5002), TRACKER, &second, page(&["b"], true)),
        None
    );
    assert_eq!(survey.advance(at(5002), TrackerState::Up(TRACKER), []), []);
    assert_eq!(survey.deadline(), None);
}

#[test]
fn without_a_tracker_the_neighbours_are_asked_and_it_is_a_part() {
    let mut survey = files();
    assert_eq!(
        survey.advance(at(0), TrackerState::Trying, [id(1), id(2)]),
        []
    );
    assert_eq!(survey.deadline(), Some(at(5000)));
    let find = asked(
        survey.advance(at(1), TrackerState::Down, [id(1), id(2)]),
        &[id(1), id(2)],
    );
    survey.found(at(2), id(1), &find, page(&["a"], false));
    survey.no_answer(id(2));
    let (complete, names) = finished(&survey.advance(at(2), TrackerState::Down, []));
    assert_eq!((complete, names), (false, vec!["a".to_owned()]));
}

#[test]
fn only_files_of_those_who_are_meant_are_counted() {
    let subject = Subject::Files(Pattern::new("*").expect("a pattern"));
    let other = Only {
        from: Some("oak".to_owned()),
        root: None,
    };
    let mut survey = Survey::new(at(0), subject, other, page(&["remembered"], false));
    let find = asked(
        survey.advance(at(0), TrackerState::Up(TRACKER), []),
        &[TRACKER],
    );
    let mut of_two = page(&["a", "b"], false);
    of_two.variants[1].holders[0].name = Some("oak".parse().expect("a name"));
    survey.found(at(1), TRACKER, &find, of_two);
    let (_, names) = finished(&survey.advance(at(1), TrackerState::Up(TRACKER), []));
    assert_eq!(names, ["b"]);
}

#[test]
fn own_files_come_with_the_others_this_peer_as_their_last_holder() {
    let own = |name: &str, length: u64| {
        let mut own = page(&[name], false).variants.remove(0);
        own.entry.length = length;
        own.holders = vec![Holder {
            name: Some("oak".parse().expect("a name")),
            ..holder(7)
        }];
        own
    };
    let mut everywhere = page(&["b", "d"], false);
    let length = everywhere.variants[0].entry.length;
    everywhere.variants[0].holders = vec![holder(9)];
    let survey = |from: Option<&str>| {
        let only = Only {
            from: from.map(str::to_owned),
            root: None,
        };
        let subject = Subject::Files(Pattern::new("?").expect("a pattern"));
        let mine = ["a", "b", "c", "no"].map(|name| own(name, length));
        let mine = mine.into_iter().chain([own("b", length - 1)]);
        let mut survey = Survey::new(at(0), subject, only, Found::default()).with_own(mine);
        let find = asked(
            survey.advance(at(0), TrackerState::Up(TRACKER), []),
            &[TRACKER],
        );
        survey.found(at(1), TRACKER, &find, everywhere.clone());
        let actions = survey.advance(at(1), TrackerState::Up(TRACKER), []);
        let [SurveyAction::Finish(findings)] = &actions[..] else {
            panic!("{actions:?}");
        };
        let row = |file: &Variant| {
            let holders = file.holders.iter().map(|h| h.id.as_bytes()[0]);
            let is_other = file.entry.length != length;
            (
                file.entry.name.to_string(),
                is_other,
                holders.collect::<Vec<_>>(),
            )
        };
        findings.files.iter().map(row).collect::<Vec<_>>()
    };
    let found = survey(None);
    let found: Vec<_> = found
        .iter()
        .map(|(name, is_other, holders)| (&name[..], *is_other, &holders[..]))
        .collect();
    assert_eq!(
        found,
        [
            ("a", false, &[7][..]),
            ("b", false, &[9, 7]),
            ("b", true, &[7]),
            ("c", false, &[7]),
            ("d", false, &[1]),
        ]
    );
    assert!(survey(Some("elm")).is_empty(), "this peer is not called so");
    assert_eq!(survey(Some("oak")).len(), 4);
}

#[test]
fn without_the_tracker_a_visitor_gets_no_answer() {
    let coverage = |survey: Survey, tracker| {
        let mut survey = survey;
        match &survey.advance(at(0), tracker, [])[..] {
            [SurveyAction::Ask(peer, _)] => survey.no_answer(*peer),
            actions => return covered(actions),
        }
        covered(&survey.advance(at(1), tracker, []))
    };
    let (up, down) = (TrackerState::Up(TRACKER), TrackerState::Down);
    assert_eq!(coverage(files(), down), Coverage::NeighboursOnly);
    assert_eq!(coverage(files().by_visitor(), down), Coverage::NoAnswer);
    // It may have told a part of what there is.
    assert_eq!(coverage(files(), up), Coverage::TrackerInPart);
    assert_eq!(coverage(files().by_visitor(), up), Coverage::TrackerInPart);
}

fn covered(actions: &[SurveyAction]) -> Coverage {
    match actions {
        [SurveyAction::Finish(findings)] => findings.coverage,
        other => panic!("not finished: {other:?}"),
    }
}

#[test]
fn whoever_always_has_one_page_more_is_not_asked_for_ever() {
    for step in [0, 100] {
        let mut survey = files();
        let mut find = asked(survey.advance(at(0), TrackerState::Down, [id(1)]), &[id(1)]);
        let mut pages = 0;
        let mut now = at(0);
        while let Some(next) = {
            pages += 1;
            now = now + Duration::from_millis(step);
            // New names every time, without holders.
            let mut found = page(&[&format!("{pages:08}")], true);
            found.variants[0].holders.clear();
            survey.found(now, id(1), &find, found)
        } {
            find = next;
        }
        assert!((100..=MOST_PAGES).contains(&pages), "{pages}");
        let (complete, names) = finished(&survey.advance(now, TrackerState::Down, []));
        assert_eq!((complete, names), (false, Vec::new()));
    }
}

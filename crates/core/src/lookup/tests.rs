//! Each stage of a lookup, what it waits for, and what it does with answers
//! that come late.

use proptest::prelude::*;
use proptest::sample::select;
use thorp_wire::{Entry, Name, Root};

use super::*;

#[derive(Default)]
struct Village {
    memory: Vec<Variant>,
    neighbours: Vec<(PeerId, Option<Duration>)>,
    tracker: Option<TrackerState>,
}

impl Surroundings for Village {
    fn remembered(&self, typed: &str) -> Vec<Variant> {
        let fits = |variant: &&Variant| fit(&variant.entry.name, typed).is_some();
        self.memory.iter().filter(fits).cloned().collect()
    }

    fn worth_asking(&self) -> Vec<(PeerId, Option<Duration>)> {
        self.neighbours.clone()
    }

    fn hops(&self) -> u8 {
        1
    }

    fn tracker(&self) -> TrackerState {
        self.tracker.unwrap_or(TrackerState::Up(TRACKER))
    }

    fn expects_neighbours(&self) -> bool {
        false
    }
}

const TRACKER: PeerId = PeerId::new([99; 32]);

fn id(n: u8) -> PeerId {
    PeerId::new([n; 32])
}

fn at(millis: u64) -> Instant {
    Instant::after_start(Duration::from_millis(millis))
}

/// A file called so with this content (0: not hashed), held by these.
fn variant(name: &str, content: u8, holders: &[u8]) -> Variant {
    Variant {
        entry: Entry {
            name: name.parse().expect("a name"),
            length: 7,
            mtime: 0,
            root: (content > 0).then(|| Root::new([content; 32])),
            partial: false,
        },
        holders: holders.iter().map(|n| linked(id(*n))).collect(),
        hashed: None,
    }
}

fn found(variants: &[Variant]) -> Found {
    Found {
        variants: variants.to_vec(),
        ..Found::default()
    }
}

fn lookup(names: &[&str]) -> Lookup {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Lookup::new(at(0), names, Only::default())
}

fn asks(actions: Vec<LookupAction>) -> Vec<(PeerId, Find)> {
    let ask = |action| match action {
        LookupAction::Ask(holder, find) => (holder.id, find),
        LookupAction::Finish(outcome) => panic!("finished: {outcome:?}"),
    };
    actions.into_iter().map(ask).collect()
}

/// The question to one member, all of them the same.
fn asked(actions: Vec<LookupAction>, to: &[PeerId]) -> Find {
    let asks = asks(actions);
    assert_eq!(asks.iter().map(|(id, _)| *id).collect::<Vec<_>>(), to);
    asks[0].1.clone()
}

fn finished(actions: &[LookupAction]) -> Outcome {
    match actions {
        [LookupAction::Finish(outcome)] => outcome.clone(),
        other => panic!("not finished: {other:?}"),
    }
}

fn answer(outcome: &Outcome) -> (Source, Vec<Variant>) {
    match &outcome.names[0].1 {
        Answer::Found(source, variants) => (*source, variants.clone()),
        other => panic!("not found: {other:?}"),
    }
}

#[test]
fn a_tracker_that_is_too_busy_is_asked_again_and_if_it_stays_so_that_is_said() {
    for answers in [true, false] {
        let mut lookup = lookup(&["a"]);
        let world = Village::default();
        let mut now = at(0);
        let mut find = asked(lookup.advance(now, &world), &[TRACKER]);
        for _ in 0..30 {
            lookup.busy(now, TRACKER, find);
            assert_eq!(lookup.advance(now, &world), []);
            now = lookup.deadline().expect("it rests");
            find = asked(lookup.advance(now, &world), &[TRACKER]);
        }
        if !answers {
            let outcome = loop {
                lookup.busy(now, TRACKER, find.clone());
                if let [LookupAction::Finish(outcome)] = &lookup.advance(now, &world)[..] {
                    break outcome.clone();
                }
                now = lookup.deadline().expect("it rests");
                find = asked(lookup.advance(now, &world), &[TRACKER]);
            };
            assert_eq!(outcome.tracker, TrackerUse::InPart);
            let took = now - at(0);
            assert!(took <= BUSY_FOR && took > BUSY_FOR / 2, "{took:?}");
            continue;
        }
        assert_eq!(lookup.found(now, TRACKER, true, &find, found(&[])), None);
        let outcome = finished(&lookup.advance(now, &world));
        assert_eq!(outcome.tracker, TrackerUse::Asked);
    }
}

#[test]
fn what_memory_has_is_answered_without_a_question() {
    let village = Village {
        memory: vec![variant("a", 1, &[1])],
        neighbours: vec![(id(1), None)],
        ..Village::default()
    };
    let outcome = finished(&lookup(&["a"]).advance(at(0), &village));
    assert_eq!(answer(&outcome).0, Source::Memory);
    assert_eq!(outcome.tracker, TrackerUse::Spared);
}

#[test]
fn neighbours_are_asked_at_once_and_the_first_answer_is_enough() {
    let village = Village {
        neighbours: vec![(id(1), None), (id(2), None)],
        ..Village::default()
    };
    let mut lookup = lookup(&["a"]);
    let find = asked(lookup.advance(at(0), &village), &[id(1), id(2)]);
    assert_eq!(find.hops, 1);
    assert_eq!(lookup.advance(at(1), &village), []);
    lookup.found(at(2), id(2), false, &find, found(&[variant("a", 1, &[5])]));
    let outcome = finished(&lookup.advance(at(2), &village));
    assert_eq!(answer(&outcome).0, Source::Neighbour(id(2)));
    assert_eq!(outcome.tracker, TrackerUse::Spared);
}

#[test]
fn neighbours_are_waited_for_no_longer_than_they_deserve() {
    for (rtt, patience) in [
        (None, 50),
        (Some(10), 50),
        (Some(60), 120),
        (Some(900), 250),
    ] {
        let village = Village {
            neighbours: vec![(id(1), rtt.map(Duration::from_millis)), (id(2), None)],
            ..Village::default()
        };
        let mut lookup = lookup(&["a"]);
        asks(lookup.advance(at(0), &village));
        assert_eq!(lookup.deadline(), Some(at(patience)), "{rtt:?}");
        assert_eq!(lookup.advance(at(patience - 1), &village), []);
        asked(lookup.advance(at(patience), &village), &[TRACKER]);
    }
}

#[test]
fn a_neighbour_that_answers_too_late_changes_nothing() {
    let village = Village {
        neighbours: vec![(id(1), None)],
        ..Village::default()
    };
    let mut lookup = lookup(&["a"]);
    let early = asked(lookup.advance(at(0), &village), &[id(1)]);
    let round = lookup.round();
    let find = asked(lookup.advance(at(50), &village), &[TRACKER]);
    assert_ne!(lookup.round(), round);
    let late = found(&[variant("a", 1, &[1])]);
    assert_eq!(lookup.found(at(51), id(1), false, &early, late), None);
    lookup.no_answer(id(1));
    assert_eq!(
        lookup.advance(at(51), &village),
        [],
        "the tracker still owes an answer"
    );
    lookup.found(
        at(52),
        TRACKER,
        true,
        &find,
        found(&[variant("a", 2, &[2])]),
    );
    let outcome = finished(&lookup.advance(at(52), &village));
    assert_eq!(
        answer(&outcome),
        (Source::Tracker, vec![variant("a", 2, &[2])])
    );
    assert_eq!(outcome.tracker, TrackerUse::Asked);
}

#[test]
fn only_what_neighbours_do_not_know_goes_to_the_tracker() {
    let village = Village {
        memory: vec![variant("a", 1, &[1])],
        neighbours: vec![(id(1), None)],
        ..Village::default()
    };
    let mut lookup = lookup(&["a", "b", "c"]);
    let find = asked(lookup.advance(at(0), &village), &[id(1)]);
    assert_eq!(find.query, Query::Names(vec!["b".into(), "c".into()]));
    lookup.found(
        at(1),
        id(1),
        false,
        &find,
        found(&[variant("x/b", 1, &[3])]),
    );
    let find = asked(lookup.advance(at(1), &village), &[TRACKER]);
    assert_eq!(find.query, Query::Names(vec!["c".into()]));
    lookup.found(at(2), TRACKER, true, &find, Found::default());
    let outcome = finished(&lookup.advance(at(2), &village));
    let sources = outcome.names.iter().map(|(_, answer)| match answer {
        Answer::Found(source, _) => Some(*source),
        _ => None,
    });
    let sources = sources.collect::<Vec<_>>();
    assert_eq!(
        sources,
        [Some(Source::Memory), Some(Source::Neighbour(id(1))), None]
    );
}

#[test]
fn a_tracker_that_is_away_or_silent_is_unreachable_but_not_waited_for_for_ever() {
    let down = Village {
        tracker: Some(TrackerState::Down),
        ..Village::default()
    };
    let outcome = finished(&lookup(&["a"]).advance(at(0), &down));
    assert_eq!(outcome.tracker, TrackerUse::Unreachable);

    let trying = Village {
        tracker: Some(TrackerState::Trying),
        ..Village::default()
    };
    let mut waits = lookup(&["a"]);
    assert_eq!(waits.advance(at(0), &trying), []);
    assert_eq!(waits.deadline(), Some(at(5000)));
    let outcome = finished(&waits.advance(at(5000), &trying));
    assert_eq!(outcome.tracker, TrackerUse::Unreachable);

    let mut comes = lookup(&["a"]);
    assert_eq!(comes.advance(at(0), &trying), []);
    asked(comes.advance(at(400), &Village::default()), &[TRACKER]);
    assert_eq!(comes.advance(at(5399), &Village::default()), []);
    let outcome = finished(&comes.advance(at(5400), &Village::default()));
    assert_eq!(outcome.tracker, TrackerUse::Unreachable);
    assert_eq!(outcome.names[0].1, Answer::Nobody);

    let mut refused = lookup(&["a"]);
    asked(refused.advance(at(0), &Village::default()), &[TRACKER]);
    refused.no_answer(TRACKER);
    let outcome = finished(&refused.advance(at(1), &Village::default()));
    assert_eq!(outcome.tracker, TrackerUse::Unreachable);
}

#[test]
fn a_better_fit_displaces_a_worse_one_and_an_equal_one_is_a_choice() {
    let village = Village {
        neighbours: vec![(id(1), None)],
        ..Village::default()
    };
    for (variants, expected) in [
        (
            [variant("x/a", 1, &[1]), variant("a", 2, &[2])],
            vec![variant("a", 2, &[2])],
        ),
        (
            [variant("a", 2, &[2]), variant("x/a", 1, &[1])],
            vec![variant("a", 2, &[2])],
        ),
        (
            [variant("x/a", 1, &[1]), variant("y/a", 2, &[2])],
            vec![variant("x/a", 1, &[1]), variant("y/a", 2, &[2])],
        ),
        (
            [variant("a", 1, &[1]), variant("a", 1, &[2])],
            vec![variant("a", 1, &[1, 2])],
        ),
    ] {
        let mut lookup = lookup(&["a"]);
        let find = asked(lookup.advance(at(0), &village), &[id(1)]);
        lookup.found(at(1), id(1), false, &find, found(&variants));
        assert_eq!(
            answer(&finished(&lookup.advance(at(1), &village))).1,
            expected
        );
    }
}

#[test]
fn files_that_were_not_asked_for_and_those_of_nobody_are_left_out() {
    let mut lookup = lookup(&["a"]);
    let village = Village::default();
    let find = asked(lookup.advance(at(0), &village), &[TRACKER]);
    let unwanted = [variant("b", 1, &[1]), variant("a", 1, &[])];
    lookup.found(at(1), TRACKER, true, &find, found(&unwanted));
    let outcome = finished(&lookup.advance(at(1), &village));
    assert_eq!(outcome.names[0].1, Answer::Nobody);
}

#[test]
fn a_cut_answer_is_continued_behind_its_last_name() {
    let mut lookup = lookup(&["a", "b", "c", "d"]);
    let village = Village::default();
    let find = asked(lookup.advance(at(0), &village), &[TRACKER]);
    let cut = Found {
        more: true,
        ..found(&[variant("b", 1, &[1])])
    };
    let rest = lookup.found(at(1), TRACKER, true, &find, cut.clone());
    let rest = rest.expect("there is more");
    assert_eq!(rest.query, Query::Names(vec!["c".into(), "d".into()]));
    assert_eq!(lookup.advance(at(1), &village), []);
    assert_eq!(
        lookup.deadline(),
        Some(at(5001)),
        "a holder that answers is waited for"
    );
    // The same again is no progress, and not a reason to ask for ever.
    assert_eq!(lookup.found(at(2), TRACKER, true, &rest, cut), None);
    finished(&lookup.advance(at(2), &village));
}

#[test]
fn a_search_that_stopped_on_its_way_is_continued_there() {
    let mut lookup = lookup(&["a", "b", "c"]);
    let village = Village::default();
    let find = asked(lookup.advance(at(0), &village), &[TRACKER]);
    let stopped = |answered, behind: &str| Found {
        more: true,
        answered: Some(answered),
        behind: Some(behind.parse().expect("a name")),
        ..Found::default()
    };
    let rest = lookup.found(at(1), TRACKER, true, &find, stopped(1, "m/b"));
    let rest = rest.expect("there is more");
    assert_eq!(rest.query, Query::Names(vec!["b".into(), "c".into()]));
    assert_eq!(rest.after, Some("m/b".parse().expect("a name")));
    let rest = lookup.found(at(2), TRACKER, true, &rest, stopped(0, "n/b"));
    let rest = rest.expect("it gets ahead");
    assert_eq!(rest.after, Some("n/b".parse().expect("a name")));
    // A member whose answers make no progress is not asked for ever.
    assert_eq!(
        lookup.found(at(3), TRACKER, true, &rest, stopped(0, "n/b")),
        None
    );
    finished(&lookup.advance(at(3), &village));
}

#[test]
fn holders_of_files_without_a_root_are_asked_to_hash_them_and_not_waited_for_for_ever() {
    let village = Village {
        memory: vec![variant("a", 0, &[1, 2])],
        ..Village::default()
    };
    let mut hashed = lookup(&["a"]);
    let find = asked(hashed.advance(at(0), &village), &[id(1), id(2)]);
    assert!(find.hash_now && find.hops == 0);
    hashed.found(at(1), id(1), false, &find, found(&[variant("a", 1, &[1])]));
    assert_eq!(hashed.advance(at(1), &village), []);
    hashed.found(at(2), id(2), false, &find, found(&[variant("a", 2, &[2])]));
    let (source, variants) = answer(&finished(&hashed.advance(at(2), &village)));
    assert_eq!(source, Source::Memory);
    assert_eq!(variants, [variant("a", 1, &[1]), variant("a", 2, &[2])]);

    let mut silent = lookup(&["a"]);
    asks(silent.advance(at(0), &village));
    assert_eq!(silent.advance(at(9999), &village), []);
    let (_, variants) = answer(&finished(&silent.advance(at(10_000), &village)));
    assert_eq!(variants, [variant("a", 0, &[1, 2])]);
}

#[test]
fn whoever_is_not_done_with_hashing_says_how_far_it_is() {
    let village = Village {
        memory: vec![variant("a", 0, &[1])],
        ..Village::default()
    };
    let mut lookup = lookup(&["a"]);
    let find = asked(lookup.advance(at(0), &village), &[id(1)]);
    let mut halfway = variant("a", 0, &[1]);
    halfway.hashed = Some(5);
    lookup.found(at(1), id(1), false, &find, found(&[halfway.clone()]));
    let (_, variants) = answer(&finished(&lookup.advance(at(1), &village)));
    assert_eq!(variants, [halfway]);
}

#[test]
fn nobody_is_asked_to_hash_where_another_has_done_it() {
    let village = Village {
        memory: vec![variant("a", 0, &[1]), variant("a", 3, &[2])],
        ..Village::default()
    };
    let (_, variants) = answer(&finished(&lookup(&["a"]).advance(at(0), &village)));
    assert_eq!(variants.len(), 2);
}

proptest! {
    #![proptest_config(crate::testing::cases(200))]

    #[test]
    fn the_index_says_what_fit_says(
        typed in proptest::collection::vec(select(&TEXTS[..]), 1..6),
        name in select(&TEXTS[..]),
    ) {
        let typed: Vec<String> = typed.into_iter().map(ToOwned::to_owned).collect();
        let name: Name = name.parse().expect("a name");
        let fitting = Index::new(&typed).fitting(&name);
        for (i, typed) in typed.iter().enumerate() {
            prop_assert_eq!(fitting.get(&i).copied(), fit(&name, typed), "{} {}", typed, name);
        }
    }

    /// Whether members answer, lie, are silent or refuse: each lookup ends,
    /// within the sum of its waits, and never asks to be woken in the past.
    #[test]
    fn every_lookup_ends(
        script in proptest::collection::vec((0..5u8, 0..6u64, any::<bool>()), 0..40),
        names in proptest::collection::vec(select(&TEXTS[..]), 0..5),
    ) {
        let names: Vec<&str> = names;
        let mut lookup = lookup(&names);
        let village = Village { neighbours: vec![(id(1), None), (id(2), None)], ..Village::default() };
        let mut now = 0;
        let mut open: Vec<(PeerId, Find)> = Vec::new();
        let mut script = script.into_iter();
        loop {
            let mut done = false;
            loop {
                let actions = lookup.advance(at(now), &village);
                if actions.is_empty() {
                    break;
                }
                for action in actions {
                    match action {
                        LookupAction::Ask(holder, find) => open.push((holder.id, find)),
                        LookupAction::Finish(outcome) => {
                            prop_assert_eq!(outcome.names.len(), names.len());
                            done = true;
                        }
                    }
                }
            }
            if done {
                prop_assert_eq!(lookup.deadline(), None);
                break;
            }
            let deadline = lookup.deadline().expect("it waits for something");
            prop_assert!(deadline > at(now));
            prop_assert!(now < 60_000, "it takes for ever");
            match script.next() {
                Some((who, wait, more)) if !open.is_empty() => {
                    now += wait;
                    let (to, find) = open.swap_remove(who as usize % open.len());
                    let variants = [variant("a", who, &[1]), variant("x/\u{fc}", 1, &[2])];
                    let answer = Found { more, ..found(&variants[..who as usize % 3]) };
                    if who == 4 {
                        lookup.no_answer(to);
                    } else {
                        let rest = lookup.found(at(now), to, to == TRACKER, &find, answer);
                        open.extend(rest.map(|find| (to, find)));
                    }
                }
                _ => now = u64::try_from((deadline - at(0)).as_millis()).expect("small"),
            }
        }
    }
}

const TEXTS: [&str; 10] = [
    "a",
    "x/a",
    "\u{fc}",
    "u\u{308}",
    "x/\u{fc}",
    "x/u\u{308}",
    "K",
    "\u{212a}",
    "x/\u{212a}",
    "b",
];

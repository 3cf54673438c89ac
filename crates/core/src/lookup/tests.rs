//! Each stage of a lookup, what it waits for, and what it does with answers
//! that come late.

use proptest::prelude::*;
use proptest::sample::select;
use thorp_wire::frame::MemberRow;
use thorp_wire::{Entry, Name, Root};

use super::*;

#[derive(Default)]
struct Village {
    memory: Vec<Variant>,
    neighbours: Vec<(PeerId, Option<Duration>)>,
    tracker: Option<TrackerState>,
    strangers: Vec<PeerId>,
    in_turn: bool,
    /// What neighbours have said in advance.
    said: Vec<(PeerId, Variant)>,
}

impl Surroundings for Village {
    fn remembered(&self, typed: &str) -> Vec<Variant> {
        let fits = |variant: &&Variant| fit(&variant.entry.name, typed).is_some();
        self.memory.iter().filter(fits).cloned().collect()
    }

    fn matching(&self, pattern: &Pattern, most: usize) -> Vec<Variant> {
        let matches = |variant: &&Variant| pattern.matches(&variant.entry.name);
        let matching = self.memory.iter().filter(matches);
        matching.take(most).cloned().collect()
    }

    fn has_chosen(&self, neighbour: PeerId) -> bool {
        !self.strangers.contains(&neighbour)
    }

    fn said(&self, typed: &str) -> Vec<(PeerId, Variant)> {
        let fits = |(_, variant): &&(PeerId, Variant)| fit(&variant.entry.name, typed).is_some();
        self.said.iter().filter(fits).cloned().collect()
    }

    fn worth_asking(&self) -> Vec<(PeerId, Option<Duration>)> {
        self.neighbours.clone()
    }

    fn asks_in_turn(&self) -> bool {
        self.in_turn
    }

    fn counts_hearsay(&self) -> bool {
        true
    }

    fn hops(&self) -> u8 {
        1
    }

    fn is_me(&self, _: PeerId) -> bool {
        false
    }

    fn tracker(&self) -> TrackerState {
        self.tracker.unwrap_or(TrackerState::Up(TRACKER))
    }

    fn expects_neighbours(&self) -> bool {
        false
    }
}

const TRACKER: PeerId = PeerId::new([99; 32]);

const NEIGHBOUR: Witness = Witness::Neighbour { is_chosen: true };
const STRANGER: Witness = Witness::Neighbour { is_chosen: false };

fn witness(member: PeerId) -> Witness {
    match member {
        TRACKER => Witness::Tracker,
        _ => NEIGHBOUR,
    }
}

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
            nanos: 0,
            executable: false,
            v1: None,
        },
        holders: holders.iter().map(|n| Holder::bare(id(*n))).collect(),
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

/// How a lookup ends, where the tracker knows nothing that resembles what is missed.
fn resembled_by_nothing(lookup: &mut Lookup, village: &Village, now: Instant) -> Outcome {
    let mut actions = lookup.advance(now, village);
    if let [LookupAction::Ask(..), ..] = actions[..] {
        for (_, find) in asks(actions) {
            assert!(matches!(find.query, Query::Pattern(_)));
            lookup.found(now, TRACKER, Witness::Tracker, &find, Found::default());
        }
        actions = lookup.advance(now, village);
    }
    finished(&actions)
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
            lookup.on_busy(now, TRACKER, find);
            assert_eq!(lookup.advance(now, &world), []);
            now = lookup.deadline().expect("it rests");
            find = asked(lookup.advance(now, &world), &[TRACKER]);
        }
        if !answers {
            let outcome = loop {
                lookup.on_busy(now, TRACKER, find.clone());
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
        assert_eq!(
            lookup.found(now, TRACKER, Witness::Tracker, &find, found(&[])),
            None
        );
        let outcome = resembled_by_nothing(&mut lookup, &world, now);
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
fn what_neighbours_have_said_in_advance_answers_where_it_leaves_no_question() {
    let said = |teller, name, content, holder| (id(teller), variant(name, content, &[holder]));
    let listed = |name, content| vec![variant(name, content, &[9])];
    let by_path = vec![said(1, "d/a", 1, 5)];
    let by_two = vec![said(1, "d/a", 1, 5), said(2, "d/a", 1, 6)];
    for (typed, memory, said, is_answered) in [
        ("d/a", vec![], by_path.clone(), true),
        ("a", vec![], by_path, false),
        ("a", vec![], by_two.clone(), true),
        // One member could have told both.
        (
            "a",
            vec![],
            vec![said(1, "d/a", 1, 5), said(2, "d/a", 1, 5)],
            false,
        ),
        (
            "a",
            vec![],
            vec![said(1, "d/a", 1, 5), said(5, "d/a", 1, 6)],
            false,
        ),
        (
            "a",
            vec![],
            vec![said(1, "d/a", 1, 5), said(2, "e/a", 2, 6)],
            false,
        ),
        (
            "d/a",
            vec![],
            vec![said(1, "d/a", 1, 5), said(2, "d/a", 2, 6)],
            false,
        ),
        // A neighbour that lists it itself is a witness too.
        ("a", listed("d/a", 1), vec![said(1, "d/a", 1, 5)], true),
        ("a", listed("d/a", 2), by_two, false),
    ] {
        let village = Village {
            memory,
            said,
            strangers: vec![id(9)],
            ..Village::default()
        };
        let mut first = lookup(&[typed]);
        let actions = first.advance(at(0), &village);
        if is_answered {
            assert_eq!(finished(&actions).tracker, TrackerUse::Spared, "{typed}");
        } else {
            asked(actions, &[TRACKER]);
        }
        // Of what did not come as it was said, members are asked what is there now.
        if village.memory.is_empty() {
            asked(
                lookup(&[typed]).again().advance(at(0), &village),
                &[TRACKER],
            );
        }
    }
}

#[test]
fn what_was_said_in_advance_and_is_not_enough_does_not_stand_beside_the_tracker_s_answer() {
    let village = Village {
        said: vec![(id(1), variant("d/a", 1, &[5]))],
        ..Village::default()
    };
    let mut lookup = lookup(&["a"]);
    let find = asked(lookup.advance(at(0), &village), &[TRACKER]);
    let now = [variant("d/a", 2, &[5])];
    lookup.found(at(1), TRACKER, Witness::Tracker, &find, found(&now));
    let outcome = finished(&lookup.advance(at(1), &village));
    assert_eq!(answer(&outcome), (Source::Tracker, now.to_vec()));
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
    lookup.found(
        at(2),
        id(2),
        NEIGHBOUR,
        &find,
        found(&[variant("a", 1, &[5])]),
    );
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
    assert_eq!(lookup.found(at(51), id(1), NEIGHBOUR, &early, late), None);
    lookup.no_answer(id(1));
    assert_eq!(
        lookup.advance(at(51), &village),
        [],
        "the tracker still owes an answer"
    );
    lookup.found(
        at(52),
        TRACKER,
        Witness::Tracker,
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
        NEIGHBOUR,
        &find,
        found(&[variant("b", 1, &[3])]),
    );
    let find = asked(lookup.advance(at(1), &village), &[TRACKER]);
    assert_eq!(find.query, Query::Names(vec!["c".into()]));
    lookup.found(at(2), TRACKER, Witness::Tracker, &find, Found::default());
    let outcome = resembled_by_nothing(&mut lookup, &village, at(2));
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
        lookup.found(at(1), id(1), NEIGHBOUR, &find, found(&variants));
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
    lookup.found(at(1), TRACKER, Witness::Tracker, &find, found(&unwanted));
    let outcome = resembled_by_nothing(&mut lookup, &village, at(1));
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
    let rest = lookup.found(at(1), TRACKER, Witness::Tracker, &find, cut.clone());
    let rest = rest.expect("there is more");
    assert_eq!(rest.query, Query::Names(vec!["c".into(), "d".into()]));
    assert_eq!(lookup.advance(at(1), &village), []);
    assert_eq!(
        lookup.deadline(),
        Some(at(5001)),
        "a holder that answers is waited for"
    );
    // The same again is no progress, and not a reason to ask for ever.
    assert_eq!(
        lookup.found(at(2), TRACKER, Witness::Tracker, &rest, cut),
        None
    );
    resembled_by_nothing(&mut lookup, &village, at(2));
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
    let rest = lookup.found(at(1), TRACKER, Witness::Tracker, &find, stopped(1, "m/b"));
    let rest = rest.expect("there is more");
    assert_eq!(rest.query, Query::Names(vec!["b".into(), "c".into()]));
    assert_eq!(rest.after, Some("m/b".parse().expect("a name")));
    let rest = lookup.found(at(2), TRACKER, Witness::Tracker, &rest, stopped(0, "n/b"));
    let rest = rest.expect("it gets ahead");
    assert_eq!(rest.after, Some("n/b".parse().expect("a name")));
    // A member whose answers make no progress is not asked for ever.
    assert_eq!(
        lookup.found(at(3), TRACKER, Witness::Tracker, &rest, stopped(0, "n/b")),
        None
    );
    resembled_by_nothing(&mut lookup, &village, at(3));
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
    hashed.found(
        at(1),
        id(1),
        NEIGHBOUR,
        &find,
        found(&[variant("a", 1, &[1])]),
    );
    assert_eq!(hashed.advance(at(1), &village), []);
    hashed.found(
        at(2),
        id(2),
        NEIGHBOUR,
        &find,
        found(&[variant("a", 2, &[2])]),
    );
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
    lookup.found(at(1), id(1), NEIGHBOUR, &find, found(&[halfway.clone()]));
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
                        let rest = lookup.found(at(now), to, witness(to), &find, answer);
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

/// Sees to it that the tracker answers, and returns how it ended.
fn told_by_tracker(lookup: &mut Lookup, village: &Village, variants: &[Variant]) -> Outcome {
    let find = asked(lookup.advance(at(1), village), &[TRACKER]);
    lookup.found(at(2), TRACKER, Witness::Tracker, &find, found(variants));
    finished(&lookup.advance(at(2), village))
}

#[test]
fn a_base_name_of_a_neighbour_that_came_by_itself_is_asked_of_the_tracker_too() {
    let village = Village {
        memory: vec![variant("sub/setup.sh", 1, &[1])],
        strangers: vec![id(1)],
        ..Village::default()
    };
    let honest = variant("setup.sh", 2, &[2]);
    let outcome = told_by_tracker(
        &mut lookup(&["setup.sh"]),
        &village,
        std::slice::from_ref(&honest),
    );
    assert_eq!(answer(&outcome), (Source::Tracker, vec![honest]));
    let other = variant("x/setup.sh", 2, &[2]);
    let outcome = told_by_tracker(
        &mut lookup(&["setup.sh"]),
        &village,
        std::slice::from_ref(&other),
    );
    let (_, variants) = answer(&outcome);
    assert_eq!(variants, [village.memory[0].clone(), other], "a choice");
    // That others say nothing is no contradiction.
    let outcome = told_by_tracker(&mut lookup(&["setup.sh"]), &village, &[]);
    assert_eq!(answer(&outcome), (Source::Memory, village.memory.clone()));
    assert_eq!(outcome.tracker, TrackerUse::Asked);
    // Its whole path is taken from any holder.
    let outcome = finished(&lookup(&["sub/setup.sh"]).advance(at(1), &village));
    assert_eq!(outcome.tracker, TrackerUse::Spared);
}

#[test]
fn a_base_name_is_taken_at_once_from_a_chosen_neighbour_or_where_two_have_the_same() {
    for (memory, strangers, spared) in [
        (vec![variant("x/a", 1, &[1])], vec![], true),
        (vec![variant("x/a", 1, &[1])], vec![id(1)], false),
        (vec![variant("x/a", 1, &[1, 2])], vec![id(1), id(2)], true),
        (
            vec![variant("x/a", 1, &[1]), variant("y/a", 1, &[2])],
            vec![id(1), id(2)],
            true,
        ),
        (
            vec![variant("x/a", 1, &[1]), variant("y/a", 2, &[2])],
            vec![id(1), id(2)],
            false,
        ),
        // Whether they have the same is known of what is hashed alone.
        (vec![variant("x/a", 0, &[1, 2])], vec![id(1), id(2)], false),
        // A choice that memory itself shows.
        (
            vec![variant("x/a", 1, &[1]), variant("y/a", 2, &[2])],
            vec![id(2)],
            true,
        ),
    ] {
        let village = Village {
            memory,
            strangers,
            ..Village::default()
        };
        let is_over = matches!(
            &lookup(&["a"]).advance(at(0), &village)[..],
            [LookupAction::Finish(_)]
        );
        assert_eq!(is_over, spared, "{:?}", village.memory);
    }
}

#[test]
fn two_strangers_that_say_the_same_of_two_others_are_believed_and_no_member_can_say_it_alone() {
    let village = Village {
        neighbours: vec![(id(1), None), (id(2), None)],
        ..Village::default()
    };
    // What neighbour 1 says, then what neighbour 2 does.
    for (first, second, spared) in [
        (variant("x/a", 1, &[3]), variant("y/a", 1, &[4]), true),
        (variant("x/a", 1, &[1]), variant("y/a", 1, &[4]), true),
        (variant("x/a", 1, &[3]), variant("y/a", 2, &[4]), false),
        // One member may have told both of them.
        (variant("x/a", 1, &[3]), variant("y/a", 1, &[3]), false),
        // Member 2 lists it to neighbour 1, and says the same of another one.
        (variant("x/a", 1, &[2]), variant("y/a", 1, &[4]), false),
        (variant("x/a", 1, &[1]), variant("y/a", 1, &[1]), false),
    ] {
        let mut lookup = lookup(&["a"]);
        let find = asked(lookup.advance(at(0), &village), &[id(1), id(2)]);
        lookup.found(
            at(1),
            id(1),
            STRANGER,
            &find,
            found(std::slice::from_ref(&first)),
        );
        lookup.found(
            at(2),
            id(2),
            STRANGER,
            &find,
            found(std::slice::from_ref(&second)),
        );
        let is_over = matches!(
            &lookup.advance(at(2), &village)[..],
            [LookupAction::Finish(_)]
        );
        assert_eq!(is_over, spared, "{first:?}, {second:?}");
    }
}

#[test]
fn what_one_neighbour_says_of_two_others_is_believed_as_little_as_before() {
    let village = Village {
        neighbours: vec![(id(1), None)],
        ..Village::default()
    };
    let mut lookup = lookup(&["a"]);
    let find = asked(lookup.advance(at(0), &village), &[id(1)]);
    let both = variant("x/a", 1, &[3, 4]);
    lookup.found(at(1), id(1), STRANGER, &find, found(&[both]));
    asked(lookup.advance(at(1), &village), &[TRACKER]);
}

#[test]
fn neighbours_in_line_are_asked_one_after_another_until_one_has_it() {
    let village = Village {
        neighbours: vec![(id(1), None), (id(2), None), (id(3), None)],
        in_turn: true,
        ..Village::default()
    };
    let mut first = lookup(&["a"]);
    let find = asked(first.advance(at(0), &village), &[id(1)]);
    first.found(at(1), id(1), NEIGHBOUR, &find, Found::default());
    let find = asked(first.advance(at(1), &village), &[id(2)]);
    let there = variant("a", 1, &[2]);
    first.found(at(2), id(2), NEIGHBOUR, &find, found(&[there]));
    finished(&first.advance(at(2), &village));

    let mut second = lookup(&["a"]);
    asked(second.advance(at(0), &village), &[id(1)]);
    let late = second.deadline().expect("it waits for one at a time");
    asked(second.advance(late, &village), &[id(2)]);
    let late = second.deadline().expect("it waits for one at a time");
    asked(second.advance(late, &village), &[id(3)]);
    let late = second.deadline().expect("it waits for one at a time");
    asked(second.advance(late, &village), &[TRACKER]);
}

#[test]
fn without_a_tracker_what_a_stranger_has_is_taken_and_at_once() {
    for tracker in [TrackerState::Down, TrackerState::Trying] {
        let village = Village {
            memory: vec![variant("x/a", 1, &[1])],
            strangers: vec![id(1)],
            tracker: Some(tracker),
            ..Village::default()
        };
        let outcome = finished(&lookup(&["a"]).advance(at(0), &village));
        assert_eq!(answer(&outcome), (Source::Memory, village.memory));
        assert_eq!(outcome.tracker, TrackerUse::Unreachable);
    }
}

#[test]
fn what_a_stranger_says_of_others_files_stands_for_nothing() {
    let village = Village {
        neighbours: vec![(id(1), None), (id(2), None)],
        strangers: vec![id(1)],
        ..Village::default()
    };
    for (who, of, holder, spared) in [
        (1, STRANGER, 1, false),
        (1, STRANGER, 9, false),
        // It lists the stranger's file for its neighbours; it has not got it.
        (2, NEIGHBOUR, 9, false),
        (2, NEIGHBOUR, 2, true),
    ] {
        let mut lookup = lookup(&["a"]);
        let find = asked(lookup.advance(at(0), &village), &[id(1), id(2)]);
        lookup.found(
            at(1),
            id(who),
            of,
            &find,
            found(&[variant("x/a", 1, &[holder])]),
        );
        let other = if who == 1 { id(2) } else { id(1) };
        lookup.found(at(1), other, STRANGER, &find, Found::default());
        let next = lookup.advance(at(1), &village);
        let is_over = matches!(&next[..], [LookupAction::Finish(_)]);
        assert_eq!(is_over, spared, "{who} {holder}");
    }
}

#[test]
fn of_a_name_that_no_member_knows_it_is_asked_once_what_resembles_it() {
    let village = Village::default();
    for (like, expected) in [
        (vec![], Answer::Nobody),
        (vec![variant("Notes.TXT/b", 1, &[1])], Answer::Nobody),
        (vec![variant("notes.txt/b", 1, &[1])], Answer::Folder),
        (
            vec![variant("x/Notes.TXT", 1, &[1])],
            Answer::OtherCase(vec![variant("x/Notes.TXT", 1, &[1])]),
        ),
        (
            vec![
                variant("NOTES.txt", 1, &[1]),
                variant("notes.txt/b", 1, &[1]),
            ],
            Answer::Folder,
        ),
    ] {
        let mut lookup = lookup(&["notes.txt"]);
        let find = asked(lookup.advance(at(0), &village), &[TRACKER]);
        assert_eq!(find.query, Query::Names(vec!["notes.txt".to_owned()]));
        lookup.found(at(1), TRACKER, Witness::Tracker, &find, Found::default());
        let find = asked(lookup.advance(at(1), &village), &[TRACKER]);
        assert!(matches!(find.query, Query::Pattern(_)));
        lookup.found(at(2), TRACKER, Witness::Tracker, &find, found(&like));
        let outcome = finished(&lookup.advance(at(2), &village));
        assert_eq!(outcome.names[0].1, expected);
    }
    // It is a hint: it is not waited for as a name is.
    let mut lookup = lookup(&["notes.txt"]);
    let find = asked(lookup.advance(at(0), &village), &[TRACKER]);
    lookup.found(at(1), TRACKER, Witness::Tracker, &find, Found::default());
    asked(lookup.advance(at(1), &village), &[TRACKER]);
    let outcome = finished(&lookup.advance(at(2001), &village));
    assert_eq!(outcome.names[0].1, Answer::Nobody);
    assert_eq!(outcome.tracker, TrackerUse::Asked);
}

/// A lookup of this name, whose tracker names these as members that it knows nothing of.
fn unknown_to_the_tracker(name: &str, named: &[u8], are_more: bool) -> (Lookup, Village) {
    let (mut lookup, village) = (lookup(&[name]), Village::default());
    let find = asked(lookup.advance(at(0), &village), &[TRACKER]);
    let answer = Found {
        unlisted: named.iter().map(|n| Holder::bare(id(*n))).collect(),
        more_unlisted: are_more,
        ..Found::default()
    };
    lookup.found(at(1), TRACKER, Witness::Tracker, &find, answer);
    (lookup, village)
}

#[test]
fn members_for_whose_listings_the_tracker_has_no_room_are_asked_themselves_and_only_for_themselves()
{
    let (mut lookup, village) = unknown_to_the_tracker("a.txt", &[1, 2], false);
    let find = asked(lookup.advance(at(1), &village), &[id(1), id(2)]);
    assert_eq!((find.hops, find.hash_now), (0, false));
    // What it says of others is no reason to dial them.
    let of_others = found(&[variant("a.txt", 1, &[1, 7]), variant("a.txt", 2, &[7])]);
    lookup.found(at(2), id(1), STRANGER, &find, of_others);
    assert_eq!(lookup.advance(at(2), &village), []);
    lookup.found(at(3), id(2), STRANGER, &find, Found::default());
    let outcome = finished(&lookup.advance(at(3), &village));
    assert_eq!(outcome.tracker, TrackerUse::Asked);
    assert_eq!(
        answer(&outcome),
        (Source::Tracker, vec![variant("a.txt", 1, &[1])])
    );
}

#[test]
fn where_one_of_them_says_nothing_or_is_not_named_nobody_is_no_answer() {
    // Whether all of them are named, and what the only one that is does.
    for (are_more, answers, expected) in [
        (false, true, TrackerUse::Asked),
        (true, true, TrackerUse::AskedWithoutUnlisted),
        (false, false, TrackerUse::AskedWithoutUnlisted),
    ] {
        let (mut lookup, village) = unknown_to_the_tracker("a.txt", &[1], are_more);
        let find = asked(lookup.advance(at(1), &village), &[id(1)]);
        let mut now = at(2);
        if answers {
            lookup.found(now, id(1), STRANGER, &find, Found::default());
        } else {
            assert_eq!(lookup.advance(now, &village), []);
            now = lookup.deadline().expect("it is waited for");
            assert_eq!(now, at(1) + unlisted::WITHIN);
        }
        let outcome = resembled_by_nothing(&mut lookup, &village, now);
        assert_eq!(outcome.tracker, expected);
        assert_eq!(outcome.names[0].1, Answer::Nobody);
    }
    // One that cannot be reached, or has too much to do, is not asked again.
    for is_busy in [false, true] {
        let (mut lookup, village) = unknown_to_the_tracker("a.txt", &[1], false);
        let find = asked(lookup.advance(at(1), &village), &[id(1)]);
        if is_busy {
            lookup.on_busy(at(2), id(1), find);
        } else {
            lookup.no_answer(id(1));
        }
        let outcome = resembled_by_nothing(&mut lookup, &village, at(2));
        assert_eq!(outcome.tracker, TrackerUse::AskedWithoutUnlisted);
    }
}

#[test]
fn a_member_that_the_user_has_named_is_asked_itself_where_the_tracker_knows_only_other_holders() {
    let oak = |n: u8| MemberRow {
        member: Holder {
            name: "oak".parse().ok(),
            ..Holder::bare(id(n))
        },
        files: 0,
        bytes: 0,
        neighbours: Vec::new(),
    };
    let page = |members: Vec<MemberRow>, more| Found {
        members,
        more,
        ..Found::default()
    };
    let elms = |n: u8| MemberRow {
        member: Holder::bare(id(n)),
        ..oak(n)
    };
    let begin = || {
        let only = Only {
            from: Some("oak".to_owned()),
            ..Only::default()
        };
        let mut lookup = Lookup::new(at(0), vec!["a.txt".to_owned()], only);
        let village = Village::default();
        let find = asked(lookup.advance(at(0), &village), &[TRACKER]);
        let others = found(&[variant("a.txt", 2, &[1, 2])]);
        lookup.found(at(1), TRACKER, Witness::Tracker, &find, others);
        let find = asked(lookup.advance(at(1), &village), &[TRACKER]);
        assert_eq!(find.query, Query::Members(None));
        (lookup, village, find)
    };
    let (mut lookup, village, find) = begin();
    let first = page(vec![elms(1), elms(2)], true);
    let next = lookup.found(at(2), TRACKER, Witness::Tracker, &find, first);
    let next = next.expect("the next page");
    assert_eq!(next.query, Query::Members(Some(id(2))));
    let second = page(vec![elms(3), oak(4), elms(5)], true);
    let next = lookup.found(at(3), TRACKER, Witness::Tracker, &next, second);
    assert_eq!(next, None);
    let find = asked(lookup.advance(at(3), &village), &[id(4)]);
    let own = Variant {
        holders: vec![oak(4).member],
        ..variant("a.txt", 1, &[])
    };
    let says = found(std::slice::from_ref(&own));
    lookup.found(at(4), id(4), STRANGER, &find, says);
    let outcome = finished(&lookup.advance(at(4), &village));
    assert_eq!(answer(&outcome), (Source::Tracker, vec![own]));
    // No member is called so; or the tracker does not say.
    for (says, expected) in [
        (true, TrackerUse::Asked),
        (false, TrackerUse::AskedWithoutUnlisted),
    ] {
        let (mut lookup, village, find) = begin();
        let mut now = at(2);
        if says {
            lookup.found(
                now,
                TRACKER,
                Witness::Tracker,
                &find,
                page(Vec::new(), false),
            );
        } else {
            assert_eq!(lookup.advance(now, &village), []);
            now = lookup.deadline().expect("it is waited for");
        }
        let outcome = resembled_by_nothing(&mut lookup, &village, now);
        assert_eq!(outcome.tracker, expected);
        assert_eq!(outcome.names[0].1, Answer::Nobody);
    }
}

#[test]
fn however_many_members_a_tracker_names_eight_are_asked_and_each_once() {
    let names: Vec<String> = (0..600).map(|n| format!("{n:03}")).collect();
    let village = Village::default();
    let mut lookup = Lookup::new(at(0), names, Only::default());
    let questions = asks(lookup.advance(at(0), &village));
    assert_eq!(questions.len(), 3);
    for (n, (_, find)) in (0..).zip(questions) {
        let unlisted = (8 * n..8 * n + 8).map(|n| Holder::bare(id(n))).collect();
        let answer = Found {
            unlisted,
            ..Found::default()
        };
        lookup.found(at(1), TRACKER, Witness::Tracker, &find, answer);
    }
    let questions = asks(lookup.advance(at(1), &village));
    let members: Vec<PeerId> = questions.iter().map(|(member, _)| *member).collect();
    assert_eq!(members, (0..8).map(id).collect::<Vec<_>>());
    for (member, find) in questions {
        lookup.found(at(2), member, STRANGER, &find, Found::default());
    }
    let outcome = resembled_by_nothing(&mut lookup, &village, at(2));
    assert_eq!(outcome.tracker, TrackerUse::AskedWithoutUnlisted);
}

#[test]
fn what_the_tracker_knows_and_what_a_caller_wants_of_another_is_not_asked_of_them() {
    let (mut lookup, village) = (lookup(&["a.txt"]), Village::default());
    let find = asked(lookup.advance(at(0), &village), &[TRACKER]);
    let known = Found {
        unlisted: vec![Holder::bare(id(1))],
        ..found(&[variant("a.txt", 1, &[5])])
    };
    lookup.found(at(1), TRACKER, Witness::Tracker, &find, known);
    assert_eq!(
        answer(&finished(&lookup.advance(at(1), &village))).0,
        Source::Tracker
    );

    let only = Only {
        from: Some(id(2).to_string()),
        root: None,
    };
    let mut lookup = Lookup::new(at(0), vec!["a.txt".to_owned()], only);
    let find = asked(lookup.advance(at(0), &village), &[TRACKER]);
    let unknown = Found {
        unlisted: vec![Holder::bare(id(1)), Holder::bare(id(2))],
        ..Found::default()
    };
    lookup.found(at(1), TRACKER, Witness::Tracker, &find, unknown);
    asked(lookup.advance(at(1), &village), &[id(2)]);
}

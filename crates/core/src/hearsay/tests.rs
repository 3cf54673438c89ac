use thorp_wire::Root;
use thorp_wire::frame::Update;

use super::*;

const ME: PeerId = PeerId::new([201; 32]);
const EVERY: Duration = Duration::from_mins(1);

fn id(n: u8) -> PeerId {
    PeerId::new([n; 32])
}

fn at(seconds: u64) -> Instant {
    Instant::after_start(Duration::from_secs(seconds))
}

fn entry(name: &str) -> Entry {
    Entry {
        name: name.parse().expect("a name"),
        length: 7,
        mtime: 0,
        root: Some(Root::new([1; 32])),
        partial: false,
        nanos: 0,
        executable: false,
        v1: None,
    }
}

fn variant(name: &str, holders: &[u8]) -> Variant {
    let holder = |n: &u8| Holder {
        id: id(*n),
        name: None,
        addresses: vec![([10, 0, 0, *n], 3334).into()],
        partial: false,
    };
    Variant {
        entry: entry(name),
        holders: holders.iter().map(holder).collect(),
        hashed: None,
    }
}

/// With these neighbours.
fn hearsay(neighbours: &[u8]) -> Hearsay {
    hearsay_as(Hearing::default(), neighbours)
}

fn hearsay_as(how: Hearing, neighbours: &[u8]) -> Hearsay {
    let mut hearsay = Hearsay::new(how, 1);
    for n in neighbours {
        hearsay.on_neighbour(at(0), id(*n));
    }
    hearsay
}

/// What is forgotten with its teller.
const FLEETING: Hearing = Hearing {
    every: EVERY,
    tables: true,
    holders: 3,
    lasts: Duration::from_mins(30),
    outlasts: false,
    few: 0,
    items: 4096,
    bits: 8,
    seconds: true,
    fresh: EVERY,
    meets: true,
};

fn tellers(hearsay: &Hearsay, now: Instant, typed: &str) -> Vec<PeerId> {
    hearsay.check();
    let said = hearsay.said(now, typed, &|_, _| true);
    said.into_iter().map(|(teller, _)| teller).collect()
}

/// Whether a question asks for what is called so.
fn asks_for(find: &Find, name: &str) -> bool {
    let Query::Beyond(known, ..) = &find.query else {
        panic!("{find:?}");
    };
    !known.contains(&name.parse().expect("a name"))
}

#[test]
fn each_neighbour_is_asked_soon_and_then_one_in_each_interval() {
    let mut hearsay = hearsay(&[1, 2]);
    assert_eq!(hearsay.due(at(2)), None);
    assert_eq!(hearsay.due(at(3)), Some(id(1)));
    assert_eq!(hearsay.due(at(6)), Some(id(2)));
    assert_eq!(hearsay.next_deadline(), Some(at(66)));
    hearsay.on_refused(id(1));
    assert_eq!(hearsay.due(at(66)), Some(id(2)), "the other one is older");
    hearsay.on_parted(id(2));
    assert_eq!(
        (hearsay.due(at(200)), hearsay.next_deadline()),
        (None, None)
    );
    hearsay.on_neighbour(at(300), id(3));
    assert_eq!(hearsay.due(at(303)), Some(id(3)));
}

#[test]
fn a_neighbour_that_was_not_asked_yet_does_not_wait_for_all_others() {
    let how = Hearing {
        fresh: Duration::from_secs(15),
        ..FLEETING
    };
    let first: Vec<u8> = (1..=8).collect();
    let mut hearsay = hearsay_as(how, &first);
    for (n, second) in (1..=8).zip((3..).step_by(3)) {
        assert_eq!(hearsay.due(at(second)), Some(id(n)));
    }
    assert_eq!(
        hearsay.next_deadline(),
        Some(at(84)),
        "a minute after the last"
    );
    hearsay.on_neighbour(at(30), id(10));
    hearsay.on_neighbour(at(31), id(9));
    assert_eq!(hearsay.next_deadline(), Some(at(45)));
    assert_eq!(hearsay.due(at(45)), Some(id(9)));
    assert_eq!(hearsay.due(at(60)), Some(id(10)));
    assert_eq!(hearsay.next_deadline(), Some(at(120)), "all were asked");
}

#[test]
fn with_an_interval_of_zero_no_neighbour_is_asked() {
    let never = Hearing {
        every: Duration::ZERO,
        ..Hearing::default()
    };
    let hearsay = hearsay_as(never, &[1]);
    assert_eq!((hearsay.is_on(), hearsay.next_deadline()), (false, None));
}

#[test]
fn what_was_said_is_found_by_path_and_by_base_name_while_its_teller_is_there() {
    let mut hearsay = hearsay_as(FLEETING, &[1, 2]);
    hearsay.learn(at(0), id(1), &[variant("d/a", &[7, 8])]);
    hearsay.learn(at(0), id(2), &[variant("d/a", &[9])]);
    assert_eq!(tellers(&hearsay, at(1), "d/a"), [id(1), id(1), id(2)]);
    assert_eq!(tellers(&hearsay, at(1), "a"), [id(1), id(1), id(2)]);
    assert_eq!(tellers(&hearsay, at(1), "d"), []);
    hearsay.on_parted(id(1));
    assert_eq!(tellers(&hearsay, at(1), "a"), [id(2)]);
    hearsay.learn(at(1), id(1), &[variant("d/b", &[7])]);
    assert_eq!(tellers(&hearsay, at(1), "b"), [], "it is no neighbour");
    assert_eq!(tellers(&hearsay, at(1800), "a"), [], "half an hour later");
}

#[test]
fn what_was_said_of_a_member_that_its_teller_has_lost_does_not_count() {
    let mut hearsay = hearsay(&[1]);
    hearsay.learn(at(0), id(1), &[variant("d/a", &[7, 8])]);
    let has_lost = |_, holder| holder != id(7);
    let said = hearsay.said(at(1), "a", &has_lost);
    let holders = said.iter().flat_map(|(_, variant)| &variant.holders);
    assert_eq!(holders.map(|at| at.id).collect::<Vec<_>>(), [id(8)]);
}

#[test]
fn a_name_is_asked_for_until_four_different_members_stand_for_it() {
    let mut hearsay = hearsay(&[1, 2]);
    let mut catalogue = Catalogue::default();
    let mut list = |peer, names: &[&str]| {
        let update = Update {
            since: None,
            added: names.iter().map(|name| entry(name)).collect(),
            ..Update::heartbeat(1)
        };
        catalogue.apply(peer, 1, update);
    };
    list(ME, &["own"]);
    list(id(1), &["d/one", "d/both"]);
    list(id(2), &["d/both"]);
    hearsay.learn(
        at(0),
        id(1),
        &[variant("d/told", &[7]), variant("d/same", &[7])],
    );
    hearsay.learn(
        at(0),
        id(2),
        &[variant("d/told", &[8]), variant("d/same", &[7])],
    );
    let find = hearsay.question(at(1), ME, id(1), &catalogue, &|_, _| true);
    for known in ["own", "d/both", "d/told"] {
        assert!(!asks_for(&find, known), "{known}");
    }
    for open in ["d/one", "d/same", "d/none"] {
        assert!(asks_for(&find, open), "{open}");
    }
    let Query::Beyond(known, ..) = &find.query else {
        panic!("{find:?}");
    };
    let holds = |name: &str, n| known.contains_holder(&name.parse().expect("a name"), id(n));
    assert!(
        holds("d/one", 1) && holds("d/same", 7),
        "they are told no more"
    );
    assert!(!holds("d/one", 7) && !holds("d/same", 1));
    let find = hearsay.question(at(1), ME, id(1), &catalogue, &|_, holder| holder != id(8));
    assert!(asks_for(&find, "d/told"), "8 is gone");
    hearsay.check();
}

#[test]
fn a_holder_that_was_told_of_is_asked_for_again_where_a_second_witness_is_missing() {
    let mut hearsay = hearsay(&[1, 2, 3]);
    hearsay.learn(
        at(0),
        id(1),
        &[variant("d/two", &[7, 8]), variant("d/one", &[7])],
    );
    let catalogue = Catalogue::default();
    let holds = |find: &Find, name: &str, n| {
        let Query::Beyond(known, ..) = &find.query else {
            panic!("{find:?}");
        };
        known.contains_holder(&name.parse().expect("a name"), id(n))
    };
    let to_another = hearsay.question(at(1), ME, id(2), &catalogue, &|_, _| true);
    assert!(
        !holds(&to_another, "d/two", 7),
        "1 says it of 8, and 2 may of 7"
    );
    assert!(!holds(&to_another, "d/two", 8));
    assert!(holds(&to_another, "d/one", 7), "that would be 7 twice");
    let to_it = hearsay.question(at(1), ME, id(1), &catalogue, &|_, _| true);
    assert!(
        holds(&to_it, "d/two", 7) && holds(&to_it, "d/two", 8),
        "it is one member"
    );
    let to_holder = hearsay.question(at(1), ME, id(7), &catalogue, &|_, _| true);
    assert!(!holds(&to_holder, "d/one", 8));
}

#[test]
fn of_more_names_than_a_question_has_room_for_each_neighbour_is_asked_in_parts() {
    let how = Hearing {
        items: 100,
        ..FLEETING
    };
    let mut hearsay = hearsay_as(how, &[1, 2]);
    let mut catalogue = Catalogue::default();
    let names: Vec<String> = (0..1000).map(|n| format!("{n:03}")).collect();
    let update = Update {
        since: None,
        added: names.iter().map(|name| entry(name)).collect(),
        ..Update::heartbeat(1)
    };
    catalogue.apply(ME, 1, update);
    for n in [1, 1, 2, 1] {
        let mut asked = Vec::new();
        let mut behind = None;
        loop {
            let find = hearsay.question(at(1), ME, id(n), &catalogue, &|_, _| true);
            let Query::Beyond(known, _) = find.query else {
                panic!("it asks otherwise");
            };
            assert_eq!(find.after, behind, "it goes on behind the last question");
            let is_in_part = |name: &&String| {
                let name = name.parse::<Name>().expect("a name");
                find.after.as_ref().is_none_or(|after| name > *after)
                    && find.until.as_ref().is_none_or(|until| name <= *until)
            };
            let part: Vec<_> = names.iter().filter(is_in_part).collect();
            assert!(part.len() <= 100);
            assert!(
                part.iter()
                    .all(|name| known.contains(&name.parse().expect("a name")))
            );
            asked.extend(part);
            behind.clone_from(&find.until);
            if behind.is_none() {
                break;
            }
        }
        assert_eq!(asked, names.iter().collect::<Vec<_>>(), "each once");
    }
}

#[test]
fn the_member_that_fewest_neighbours_name_is_met_one_in_each_interval() {
    let mut hearsay = hearsay(&[1]);
    hearsay.learn(at(0), id(1), &[variant("d/a", &[7, 8, 9])]);
    let named = |of: PeerId| match of.as_bytes()[0] {
        7 => Some(3),
        8 => Some(1),
        // It is a neighbour, or nobody names it any more.
        _ => None,
    };
    let mut met = |second| {
        hearsay
            .next_to_meet(at(second), &named)
            .map(|holder| holder.id)
    };
    assert_eq!(met(1), None, "neighbours may come by themselves");
    assert_eq!(met(60), None);
    assert_eq!(met(61), Some(id(8)));
    assert_eq!(met(62), None);
    assert_eq!(met(121), Some(id(8)));
    assert_eq!(hearsay.next_to_meet(at(181), &|_| None), None);
}

#[test]
fn what_a_neighbour_has_said_outlasts_it_while_the_holder_is_known_to_be_there() {
    let mut hearsay = hearsay(&[1, 2]);
    hearsay.learn(at(0), id(1), &[variant("d/a", &[7, 8])]);
    hearsay.on_parted(id(1));
    assert_eq!(tellers(&hearsay, at(1), "a"), [id(1), id(1)]);
    assert_eq!(
        hearsay.due(at(3)),
        Some(id(2)),
        "the other one is not asked"
    );
    let catalogue = Catalogue::default();
    let has_lost = |_, holder| holder != id(7);
    let find = hearsay.question(at(4), ME, id(2), &catalogue, &has_lost);
    assert!(asks_for(&find, "d/a"));
    assert_eq!(tellers(&hearsay, at(4), "a"), [id(1)]);
    hearsay.on_neighbour(at(5), id(1));
    assert!(
        !hearsay.need_not_be_asked(id(2)),
        "none has answered since it is here"
    );
    assert_eq!(tellers(&hearsay, at(5), "a"), [id(1)]);
    let find = hearsay.question(at(3600), ME, id(2), &catalogue, &|_, _| true);
    assert!(asks_for(&find, "d/a"));
    assert_eq!(tellers(&hearsay, at(3600), "a"), []);
}

#[test]
fn neighbours_need_not_be_asked_once_a_few_have_answered_in_advance_or_all() {
    let mut hearsay = hearsay(&[1, 2, 3, 4, 5, 6]);
    for n in 1..=4 {
        assert!(!hearsay.need_not_be_asked(id(6)), "{n}");
        hearsay.learn(at(0), id(n), &[]);
    }
    assert!((1..=6).all(|n| hearsay.need_not_be_asked(id(n))));
    assert!(!hearsay.need_not_be_asked(id(7)), "it is no neighbour");
    hearsay.on_refused(id(6));
    assert!(!hearsay.need_not_be_asked(id(6)) && hearsay.need_not_be_asked(id(5)));
    for n in 3..=6 {
        hearsay.on_parted(id(n));
    }
    assert!(hearsay.need_not_be_asked(id(1)), "all of two");
}

#[test]
fn of_neighbours_that_have_gone_the_claims_of_a_few_are_kept() {
    let many: Vec<u8> = (1..100).collect();
    let mut hearsay = hearsay(&many);
    for n in &many {
        hearsay.learn(at(0), id(*n), &[variant("d/a", &[200])]);
        hearsay.on_parted(id(*n));
    }
    let last = many[many.len() - MOST_GONE..].iter().map(|n| id(*n));
    assert_eq!(tellers(&hearsay, at(1), "a"), last.collect::<Vec<_>>());
}

#[test]
fn a_table_says_what_variants_do() {
    let (mut one, mut other) = (hearsay(&[1]), hearsay(&[1]));
    let variants = [variant("d/a", &[7, 8]), variant("d/b", &[8, 201])];
    one.learn(at(0), id(1), &variants);
    let holders = [7, 8, 201].map(|n| variant("x", &[n]).holders.remove(0));
    let file = |variant: &Variant, holders: &[u8]| thorp_wire::frame::ToldFile {
        entry: variant.entry.clone(),
        holders: holders.to_vec(),
    };
    let told = Told {
        holders: holders.to_vec(),
        files: vec![file(&variants[0], &[0, 1]), file(&variants[1], &[1, 2])],
    };
    other.learn_told(at(0), ME, id(1), &told);
    let said = |hearsay: &Hearsay, typed| hearsay.said(at(1), typed, &|_, _| true);
    assert_eq!(said(&one, "a"), said(&other, "a"));
    assert_eq!(
        (said(&one, "b").len(), said(&other, "b").len()),
        (2, 1),
        "{ME} is this peer"
    );
}

#[test]
fn two_pairs_that_have_no_member_in_common_are_found_whatever_is_said_first() {
    let pair = |teller, holder| (id(teller), id(holder));
    let are_enough =
        |pairs: &[(PeerId, PeerId)]| (0..pairs.len()).any(|at| is_second(&pairs[..at], pairs[at]));
    assert!(are_enough(&[pair(1, 7), pair(1, 8), pair(2, 7)]));
    assert!(are_enough(&[pair(1, 1), pair(2, 2)]));
    assert!(!are_enough(&[pair(1, 7), pair(2, 7), pair(3, 7)]));
    assert!(!are_enough(&[pair(1, 7), pair(1, 8), pair(1, 1)]));
    assert!(!are_enough(&[pair(1, 7), pair(7, 2), pair(7, 7)]));
}

#[test]
fn what_one_neighbour_says_is_bounded_and_takes_nothing_from_another_one() {
    let mut hearsay = hearsay(&[1, 2]);
    let many = (0..10_000).map(|n| variant(&format!("d/{n}"), &[7, 8]));
    hearsay.learn(at(0), id(1), &many.collect::<Vec<_>>());
    let kept = hearsay.claims.names();
    assert!((1000..5000).contains(&kept), "{kept}");
    hearsay.learn(at(0), id(2), &[variant("e/a", &[7])]);
    assert_eq!(tellers(&hearsay, at(0), "a"), [id(2)]);
}

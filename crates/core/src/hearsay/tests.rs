use thorp_wire::Root;
use thorp_wire::frame::Update;

use super::*;

const ME: PeerId = PeerId::new([200; 32]);
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
    let mut hearsay = Hearsay::new(EVERY, 1);
    for n in neighbours {
        hearsay.on_neighbour(at(0), id(*n));
    }
    hearsay
}

fn tellers(hearsay: &Hearsay, now: Instant, typed: &str) -> Vec<PeerId> {
    hearsay.check();
    let said = hearsay.said(now, typed, &|_, _| true);
    said.into_iter().map(|(teller, _)| teller).collect()
}

/// Whether a question asks for what is called so.
fn asks_for(find: &Find, name: &str) -> bool {
    let Query::Beyond(known) = &find.query else {
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
fn with_an_interval_of_zero_no_neighbour_is_asked() {
    let mut hearsay = Hearsay::new(Duration::ZERO, 1);
    hearsay.on_neighbour(at(0), id(1));
    assert_eq!((hearsay.is_on(), hearsay.next_deadline()), (false, None));
}

#[test]
fn what_was_said_is_found_by_path_and_by_base_name_while_its_teller_is_there() {
    let mut hearsay = hearsay(&[1, 2]);
    hearsay.learn(at(0), id(1), vec![variant("d/a", &[7, 8])]);
    hearsay.learn(at(0), id(2), vec![variant("d/a", &[9])]);
    assert_eq!(tellers(&hearsay, at(1), "d/a"), [id(1), id(1), id(2)]);
    assert_eq!(tellers(&hearsay, at(1), "a"), [id(1), id(1), id(2)]);
    assert_eq!(tellers(&hearsay, at(1), "d"), []);
    hearsay.on_parted(id(1));
    assert_eq!(tellers(&hearsay, at(1), "a"), [id(2)]);
    hearsay.learn(at(1), id(1), vec![variant("d/b", &[7])]);
    assert_eq!(tellers(&hearsay, at(1), "b"), [], "it is no neighbour");
    assert_eq!(tellers(&hearsay, at(1800), "a"), [], "half an hour later");
}

#[test]
fn what_was_said_of_a_member_that_its_teller_has_lost_does_not_count() {
    let mut hearsay = hearsay(&[1]);
    hearsay.learn(at(0), id(1), vec![variant("d/a", &[7, 8])]);
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
        vec![variant("d/told", &[7]), variant("d/same", &[7])],
    );
    hearsay.learn(
        at(0),
        id(2),
        vec![variant("d/told", &[8]), variant("d/same", &[7])],
    );
    let find = hearsay.question(at(1), ME, &catalogue, &|_, _| true);
    let find = find.expect("a question");
    for known in ["own", "d/both", "d/told"] {
        assert!(!asks_for(&find, known), "{known}");
    }
    for open in ["d/one", "d/same", "d/none"] {
        assert!(asks_for(&find, open), "{open}");
    }
    let Query::Beyond(known) = &find.query else {
        panic!("{find:?}");
    };
    let holds = |name: &str, n| known.contains_holder(&name.parse().expect("a name"), id(n));
    assert!(
        holds("d/one", 1) && holds("d/same", 7),
        "they are told no more"
    );
    assert!(!holds("d/one", 7) && !holds("d/same", 1));
    let find = hearsay.question(at(1), ME, &catalogue, &|_, holder| holder != id(8));
    assert!(asks_for(&find.expect("a question"), "d/told"), "8 is gone");
    hearsay.check();
}

#[test]
fn what_one_neighbour_says_is_bounded_and_takes_nothing_from_another_one() {
    let mut hearsay = hearsay(&[1, 2]);
    let many = (0..10_000).map(|n| variant(&format!("d/{n}"), &[7, 8]));
    hearsay.learn(at(0), id(1), many.collect());
    let kept = hearsay.claims.len();
    assert!((100..2000).contains(&kept), "{kept}");
    hearsay.learn(at(0), id(2), vec![variant("e/a", &[7])]);
    assert_eq!(tellers(&hearsay, at(0), "a"), [id(2)]);
}

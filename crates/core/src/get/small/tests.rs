//! From whom next: spread, bounded, patient but not for ever.

use proptest::collection::vec;
use proptest::prelude::*;
use thorp_wire::frame::Variant;
use thorp_wire::{Entry, Root};

use super::*;

fn id(n: u8) -> PeerId {
    PeerId::new([n; 32])
}

fn holder(n: u8) -> Holder {
    Holder {
        id: id(n),
        name: None,
        addresses: Vec::new(),
        partial: false,
    }
}

fn at(millis: u64) -> Instant {
    Instant::after_start(Duration::from_millis(millis))
}

fn content() -> Content {
    Content {
        length: 7,
        root: Root::new([7; 32]),
    }
}

fn wanted(holders: &[u8], widen: bool) -> WantedFile {
    WantedFile {
        content: content(),
        holders: holders.iter().copied().map(holder).collect(),
        widen,
    }
}

/// The tracker says that these have it.
fn found(holders: &[u8]) -> Found {
    let variant = Variant {
        entry: Entry {
            name: "a".parse().expect("a name"),
            length: 7,
            mtime: 0,
            root: Some(content().root),
            partial: false,
        },
        holders: holders.iter().copied().map(holder).collect(),
        hashed: None,
    };
    Found {
        variants: vec![variant],
        ..Found::default()
    }
}

#[test]
fn whoever_has_only_a_part_is_not_asked_for_the_whole() {
    let mut fetches = Fetches::default();
    let mut only_parts = wanted(&[1], true);
    only_parts.holders[0].partial = true;
    fetches.want(FetchId(1), only_parts);
    let widened = advance(&mut fetches, at(0));
    assert!(matches!(widened[..], [Action::Widen(FetchId(1), _)]));
    let mut answer = found(&[1, 2]);
    answer.variants[0].holders[0].partial = true;
    fetches.widened(FetchId(1), Some(answer));
    let expected = Action::Get(FetchId(1), holder(2), content());
    assert_eq!(advance(&mut fetches, at(1)), [expected]);
}

/// Everything to be done now, nobody linked, nobody heard.
fn advance(fetches: &mut Fetches, now: Instant) -> Vec<Action> {
    let actions = fetches.advance(now, &|_| false, &|_| None);
    fetches.check();
    let full = |holder| fetches.busy.get(holder) == Some(&AT_ONCE_FROM_ONE);
    assert!(
        fetches.under_way.len() + fetches.storing == AT_ONCE || fetches.crowding.keys().all(full),
        "somebody waits for a holder that has room"
    );
    actions
}

fn gets(actions: &[Action]) -> Vec<PeerId> {
    let get = |action: &Action| match action {
        Action::Get(_, holder, _) => holder.id,
        other => panic!("{other:?}"),
    };
    actions.iter().map(get).collect()
}

impl Fetches {
    /// Asserts the invariant in the head of [`Fetches`].
    fn check(&self) {
        let mut busy: BTreeMap<PeerId, usize> = BTreeMap::new();
        let all = self.crowding.values().chain([&self.waiting]).flatten();
        let queued: BTreeSet<FetchId> = all.copied().collect();
        let (mut under_way, mut storing) = (BTreeSet::new(), 0);
        for (id, fetch) in &self.wanted {
            match &fetch.state {
                State::Waiting => assert!(queued.contains(id), "{id:?} is forgotten"),
                State::Asking {
                    holder, look_at, ..
                } => {
                    *busy.entry(*holder).or_default() += 1;
                    under_way.insert((*look_at, *id));
                }
                State::Widening { until } => {
                    under_way.insert((*until, *id));
                }
                State::Storing { .. } => storing += 1,
            }
        }
        assert_eq!(self.storing, storing);
        assert_eq!(self.under_way, under_way);
        assert_eq!(self.busy, busy);
        assert!(self.under_way.len() + self.storing <= AT_ONCE);
        assert!(busy.values().all(|files| *files <= AT_ONCE_FROM_ONE));
    }
}

#[test]
fn many_files_are_spread_evenly_over_their_holders() {
    let mut fetches = Fetches::default();
    for n in 0..90 {
        fetches.want(FetchId(n), wanted(&[1, 2, 3], false));
    }
    let gets = gets(&advance(&mut fetches, at(0)));
    for n in 1..=3 {
        assert_eq!(gets.iter().filter(|peer| **peer == id(n)).count(), 30);
    }
}

#[test]
fn no_more_than_so_many_are_under_way_and_the_next_starts_when_one_is_done() {
    let mut fetches = Fetches::default();
    for n in 0..1000 {
        let of = u8::try_from(n % 10).expect("small");
        fetches.want(FetchId(n), wanted(&[of], false));
    }
    assert_eq!(advance(&mut fetches, at(0)).len(), AT_ONCE);
    assert_eq!(advance(&mut fetches, at(1)), []);
    assert!(fetches.drop(FetchId(0)));
    assert_eq!(advance(&mut fetches, at(2)).len(), 1);
}

#[test]
fn a_holder_with_enough_to_do_does_not_keep_others_idle() {
    let mut fetches = Fetches::default();
    for n in 0..500 {
        fetches.want(FetchId(n), wanted(&[1], false));
    }
    for n in 500..510 {
        fetches.want(FetchId(n), wanted(&[2], false));
    }
    let mut asked = Vec::new();
    for now in 0..6 {
        asked.extend(gets(&advance(&mut fetches, at(now))));
    }
    assert_eq!(
        asked.iter().filter(|peer| **peer == id(1)).count(),
        AT_ONCE_FROM_ONE
    );
    assert_eq!(asked.iter().filter(|peer| **peer == id(2)).count(), 10);
}

#[test]
fn whoever_is_done_first_gets_the_next_of_those_that_all_could_serve() {
    let mut fetches = Fetches::default();
    for n in 0..300 {
        fetches.want(FetchId(n), wanted(&[1, 2], false));
    }
    let mut open = VecDeque::from(advance(&mut fetches, at(0)));
    assert_eq!(open.len(), 2 * AT_ONCE_FROM_ONE);
    let mut served = [0, 0];
    // The second answers three times as fast as the first.
    for turn in 0.. {
        let whose = if turn % 4 == 0 { id(1) } else { id(2) };
        let of = |action: &Action| gets(std::slice::from_ref(action)) == [whose];
        let Some(at_it) = open.iter().position(of) else {
            if open.is_empty() {
                break;
            }
            continue;
        };
        if let Some(Action::Get(fetch, ..)) = open.remove(at_it) {
            served[usize::from(whose == id(2))] += 1;
            assert!(fetches.drop(fetch));
        }
        open.extend(advance(&mut fetches, at(turn)));
    }
    assert_eq!(served[0] + served[1], 300);
    assert!(served[1] > served[0] * 2, "{served:?}");
    assert!(fetches.wanted.is_empty());
}

#[test]
fn those_with_a_link_are_asked_before_those_that_must_be_dialled() {
    let mut fetches = Fetches::default();
    fetches.want(FetchId(1), wanted(&[1, 2], false));
    let actions = fetches.advance(at(0), &|peer| peer == id(2), &|_| None);
    assert_eq!(gets(&actions), [id(2)]);
}

#[test]
fn holders_are_tried_one_after_the_other_and_the_failure_that_says_most_is_told() {
    let mut fetches = Fetches::default();
    fetches.want(FetchId(1), wanted(&[1, 2, 3], false));
    for (n, failure) in [
        (1, NotSent::Busy),
        (2, NotSent::Unreachable("no route".into())),
        (3, NotSent::NotHere),
    ] {
        assert_eq!(gets(&advance(&mut fetches, at(0))), [id(n)]);
        fetches.failed(FetchId(1), id(n), failure);
    }
    let failure = NotSent::Unreachable("no route".into());
    assert_eq!(
        advance(&mut fetches, at(0)),
        [Action::Fail(FetchId(1), failure)]
    );
    assert_eq!(advance(&mut fetches, at(0)), []);
}

#[test]
fn a_late_refusal_does_not_disturb_the_holder_that_is_asked_now() {
    let mut fetches = Fetches::default();
    fetches.want(FetchId(1), wanted(&[1, 2], false));
    advance(&mut fetches, at(0));
    assert_eq!(fetches.deadline(), Some(at(10_000)));
    assert_eq!(gets(&advance(&mut fetches, at(10_000))), [id(2)]);
    fetches.failed(FetchId(1), id(1), NotSent::NotHere);
    assert_eq!(fetches.asked_of(FetchId(1)), Some(id(2)));
    assert_eq!(advance(&mut fetches, at(10_001)), []);
}

#[test]
fn a_holder_is_waited_for_while_it_sends_but_not_for_ever() {
    let mut fetches = Fetches::default();
    fetches.want(FetchId(1), wanted(&[1], false));
    advance(&mut fetches, at(0));
    let mut now = at(0);
    let end = loop {
        let until = fetches.deadline().expect("under way");
        let last = now;
        now = (now + Duration::from_secs(9)).min(until);
        let actions = fetches.advance(now, &|_| true, &|_| Some(last));
        if let [action] = &actions[..] {
            assert_eq!(*action, Action::Fail(FetchId(1), NotSent::Silent(id(1))));
            break now;
        }
    };
    assert_eq!(end, at(0) + SLOW);
}

#[test]
fn others_are_looked_for_once_when_no_holder_delivers() {
    let mut fetches = Fetches::default();
    fetches.want(FetchId(1), wanted(&[1], true));
    advance(&mut fetches, at(0));
    fetches.failed(FetchId(1), id(1), NotSent::NotHere);
    let actions = advance(&mut fetches, at(1));
    assert!(
        matches!(&actions[..], [Action::Widen(FetchId(1), _)]),
        "{actions:?}"
    );
    // Those who were tried are not tried again.
    fetches.widened(FetchId(1), Some(found(&[1, 2, 2])));
    assert_eq!(gets(&advance(&mut fetches, at(2))), [id(2)]);
    fetches.failed(FetchId(1), id(2), NotSent::NotHere);
    let failed = Action::Fail(FetchId(1), NotSent::NotHere);
    assert_eq!(advance(&mut fetches, at(3)), [failed]);
}

#[test]
fn a_tracker_that_does_not_say_who_else_has_it_ends_the_fetch() {
    let mut fetches = Fetches::default();
    fetches.want(FetchId(1), wanted(&[], true));
    assert_eq!(advance(&mut fetches, at(0)).len(), 1);
    let until = fetches.deadline().expect("it waits");
    let failed = Action::Fail(FetchId(1), NotSent::NotHere);
    assert_eq!(advance(&mut fetches, until), [failed]);
    fetches.widened(FetchId(1), Some(found(&[2])));
    assert_eq!(advance(&mut fetches, until), []);
}

#[test]
fn what_has_arrived_is_stored_once_and_nobody_else_is_asked_meanwhile() {
    let mut fetches = Fetches::default();
    fetches.want(FetchId(1), wanted(&[1, 2], true));
    advance(&mut fetches, at(0));
    assert!(fetches.arrived(FetchId(1), holder(1)));
    // The link it came on is gone, and the disk takes its time.
    fetches.failed(FetchId(1), id(1), NotSent::Unreachable("gone".into()));
    assert_eq!(advance(&mut fetches, at(100_000)), []);
    // The same from elsewhere comes too late.
    assert!(!fetches.arrived(FetchId(1), holder(2)));
    assert_eq!(fetches.stored(FetchId(1), true), Some(holder(1)));
    assert_eq!(fetches.stored(FetchId(1), true), None);
    assert!(fetches.wanted.is_empty());
    fetches.check();
}

#[test]
fn late_bytes_are_taken_and_if_they_are_wrong_the_others_are_asked_again() {
    let mut fetches = Fetches::default();
    fetches.want(FetchId(1), wanted(&[1, 2], false));
    assert_eq!(gets(&advance(&mut fetches, at(0))), [id(1)]);
    assert_eq!(gets(&advance(&mut fetches, at(10_000))), [id(2)]);
    assert!(fetches.arrived(FetchId(1), holder(1)));
    // What the second sends is not looked at, as there is something already.
    assert!(!fetches.arrived(FetchId(1), holder(2)));
    assert_eq!(fetches.stored(FetchId(1), false), Some(holder(1)));
    assert_eq!(gets(&advance(&mut fetches, at(10_001))), [id(2)]);
    fetches.failed(FetchId(1), id(2), NotSent::NotHere);
    let failed = Action::Fail(FetchId(1), NotSent::Mismatch(id(1)));
    assert_eq!(advance(&mut fetches, at(10_002)), [failed]);
}

#[test]
fn a_liar_is_asked_only_where_nobody_else_is_left() {
    let mut fetches = Fetches::default();
    fetches.want(FetchId(1), wanted(&[1], false));
    advance(&mut fetches, at(0));
    assert!(fetches.arrived(FetchId(1), holder(1)));
    assert_eq!(fetches.stored(FetchId(1), false), Some(holder(1)));
    fetches.lied(id(1));
    assert!(fetches.is_liar(id(1)));
    fetches.want(FetchId(2), wanted(&[1, 2], false));
    let actions = fetches.advance(at(1), &|peer| peer == id(1), &|_| None);
    assert_eq!(
        actions[0],
        Action::Fail(FetchId(1), NotSent::Mismatch(id(1)))
    );
    assert_eq!(gets(&actions[1..]), [id(2)]);
    fetches.failed(FetchId(2), id(2), NotSent::NotHere);
    assert_eq!(gets(&advance(&mut fetches, at(2))), [id(1)]);
}

#[derive(Clone, Debug)]
enum Op {
    Want(u64, Vec<u8>, bool),
    Drop(u64),
    Failed(u64, u8),
    Arrived(u64, u8),
    Stored(u64, bool),
    Widened(u64, Vec<u8>),
    Wait(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        3 => (0..300u64, vec(0..5u8, 0..4), any::<bool>())
            .prop_map(|(id, holders, widen)| Op::Want(id, holders, widen)),
        1 => (0..300u64).prop_map(Op::Drop),
        3 => (0..300u64, 0..5u8).prop_map(|(id, holder)| Op::Failed(id, holder)),
        2 => (0..300u64, 0..5u8).prop_map(|(id, holder)| Op::Arrived(id, holder)),
        2 => (0..300u64, any::<bool>()).prop_map(|(id, verified)| Op::Stored(id, verified)),
        1 => (0..300u64, vec(0..5u8, 0..4)).prop_map(|(id, holders)| Op::Widened(id, holders)),
        2 => (0..15_000u64).prop_map(Op::Wait),
    ];
    vec(op, 1..300)
}

proptest! {
    #![proptest_config(crate::testing::cases(64))]

    #[test]
    fn the_books_are_right_whatever_happens_and_every_fetch_ends(ops in ops()) {
        let mut fetches = Fetches::default();
        let (mut open, mut stored) = (BTreeSet::new(), BTreeSet::new());
        let mut now = 0;
        let settle = |fetches: &mut Fetches, open: &mut BTreeSet<FetchId>, now| {
            loop {
                let actions = advance(fetches, at(now));
                if actions.is_empty() {
                    break;
                }
                for action in actions {
                    if let Action::Fail(id, _) = action {
                        assert!(open.remove(&id), "it fails once");
                    }
                }
            }
            assert!(fetches.deadline().is_none_or(|until| until > at(now)));
        };
        for op in ops {
            match op {
                Op::Want(id, holders, widen) => {
                    fetches.want(FetchId(id), wanted(&holders, widen));
                    stored.remove(&FetchId(id));
                    open.insert(FetchId(id));
                }
                Op::Drop(id) => {
                    stored.remove(&FetchId(id));
                    prop_assert_eq!(fetches.drop(FetchId(id)), open.remove(&FetchId(id)));
                }
                Op::Failed(fetch, holder) => fetches.failed(FetchId(fetch), id(holder), NotSent::NotHere),
                Op::Arrived(fetch, from) => {
                    if fetches.arrived(FetchId(fetch), holder(from)) {
                        prop_assert!(open.contains(&FetchId(fetch)) && stored.insert(FetchId(fetch)));
                    }
                }
                Op::Stored(id, verified) => {
                    let from = fetches.stored(FetchId(id), verified);
                    prop_assert_eq!(from.is_some(), stored.remove(&FetchId(id)));
                    if from.is_some() && verified {
                        open.remove(&FetchId(id));
                    }
                }
                Op::Widened(id, holders) => fetches.widened(FetchId(id), Some(found(&holders))),
                Op::Wait(millis) => now += millis,
            }
            fetches.check();
            settle(&mut fetches, &mut open, now);
        }
        for id in stored {
            fetches.stored(id, true);
            open.remove(&id);
            settle(&mut fetches, &mut open, now);
        }
        // With nobody ever answering, all of them come to an end.
        while let Some(until) = fetches.deadline() {
            now = u64::try_from((until - at(0)).as_millis()).expect("small");
            settle(&mut fetches, &mut open, now);
        }
        prop_assert!(open.is_empty() && fetches.wanted.is_empty());
    }
}

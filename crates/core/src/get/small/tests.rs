//! From which holder next: spread, bounded, patient but not for ever.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use thorp_wire::frame::Variant;
use thorp_wire::{Entry, Root};

use super::asked::{AT_MOST, SLOW};
use super::fetch::BUSY_FOR;
use super::*;

fn id(n: u8) -> PeerId {
    PeerId::new([n; 32])
}

fn holder(n: u8) -> Holder {
    Holder::bare(id(n))
}

/// There is a link to it, over which no question was asked.
const LINKED: LinkTo = LinkTo::Linked(None);

/// There is a link to this one alone.
fn only(n: u8) -> impl Fn(PeerId) -> LinkTo {
    move |peer| {
        if peer == id(n) {
            LINKED
        } else {
            LinkTo::Unlinked
        }
    }
}

fn at(millis: u64) -> Instant {
    Instant::after_start(Duration::from_millis(millis))
}

/// One for which equal holders are asked in the order of their numbers, up to 5.
fn content() -> Content {
    Content {
        length: 7,
        root: Root::new([81; 32]),
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
            nanos: 0,
            executable: false,
            v1: None,
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
    let actions = fetches.advance(now, &|_| LinkTo::Unlinked, &|_| None);
    fetches.check();
    let full = |(holder, crowd): (&PeerId, &VecDeque<FetchId>)| {
        let first = crowd.iter().find_map(|first| fetches.wanted.get(first));
        first.is_none_or(|first| !has_room(&fetches.asked, now, *holder, first.content))
    };
    assert!(
        fetches.under_way.len() + fetches.storing == AT_ONCE || fetches.crowding.iter().all(full),
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
                    *busy.entry(holder.id).or_default() += 1;
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
        let asked = self.asked.iter();
        let asked = asked.filter(|(_, asked)| asked.is_asked());
        let asked: BTreeMap<_, _> = asked.map(|(id, asked)| (*id, asked.files())).collect();
        assert_eq!(asked, busy);
        assert!(self.under_way.len() + self.storing <= AT_ONCE);
        assert!(busy.values().all(|files| *files <= AT_MOST));
    }
}

#[test]
fn each_of_equal_holders_is_the_first_for_its_part_of_the_contents() {
    let mut first: BTreeMap<PeerId, usize> = BTreeMap::new();
    for n in 0..=u8::MAX {
        let mut file = wanted(&[1, 2, 3, 4], false);
        file.content.root = Root::new([n; 32]);
        let mut fetches = Fetches::default();
        fetches.want(FetchId(1), file);
        let asked = gets(&advance(&mut fetches, at(0)));
        *first.entry(asked[0]).or_default() += 1;
    }
    assert_eq!(first.len(), 4);
    assert!(
        first.values().all(|contents| *contents > 256 / 8),
        "{first:?}"
    );
}

#[test]
fn it_is_known_from_whom_files_are_awaited_and_for_how_long_nothing_has_come() {
    let mut fetches = Fetches::default();
    let both = || [FetchId(1), FetchId(2)].into_iter();
    assert_eq!(fetches.awaited(at(0), both()), None, "nothing is wanted");
    fetches.want(FetchId(1), wanted(&[1], false));
    fetches.want(FetchId(2), wanted(&[2], false));
    assert_eq!(
        fetches.awaited(at(0), both()),
        None,
        "no holder is asked yet"
    );
    advance(&mut fetches, at(0));
    let awaited = |from: &[u8], silent| Awaited {
        from: from.iter().copied().map(holder).collect(),
        silent: Duration::from_secs(silent),
    };
    assert_eq!(fetches.awaited(at(9000), both()), Some(awaited(&[1, 2], 9)));
    // Of one of them a byte has come.
    fetches.flowing(at(7000), id(2), 1);
    assert_eq!(fetches.awaited(at(9000), both()), Some(awaited(&[1, 2], 2)));
    let first = [FetchId(1)].into_iter();
    assert_eq!(fetches.awaited(at(9000), first), Some(awaited(&[1], 9)));
    // What is here is awaited from no holder.
    assert!(fetches.arrived(at(9000), FetchId(1), holder(1)));
    assert!(fetches.arrived(at(9000), FetchId(2), holder(2)));
    assert_eq!(fetches.awaited(at(9000), both()), None);
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
    assert_eq!(asked.iter().filter(|peer| **peer == id(1)).count(), AT_MOST);
    assert_eq!(asked.iter().filter(|peer| **peer == id(2)).count(), 10);
}

#[test]
fn whoever_is_done_first_gets_the_next_of_those_that_all_could_serve() {
    let mut fetches = Fetches::default();
    for n in 0..600 {
        fetches.want(FetchId(n), wanted(&[1, 2], false));
    }
    let mut open = VecDeque::from(advance(&mut fetches, at(0)));
    assert_eq!(open.len(), 2 * AT_MOST);
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
    assert_eq!(served[0] + served[1], 600);
    assert!(served[1] > served[0] * 2, "{served:?}");
    assert!(fetches.wanted.is_empty());
}

#[test]
fn those_with_a_link_are_asked_before_those_that_must_be_dialled() {
    let mut fetches = Fetches::default();
    fetches.want(FetchId(1), wanted(&[1, 2], false));
    let actions = fetches.advance(at(0), &only(2), &|_| None);
    assert_eq!(gets(&actions), [id(2)]);
}

#[test]
fn holders_are_tried_one_after_the_other_and_the_failure_that_says_most_is_told() {
    let mut fetches = Fetches::default();
    fetches.want(FetchId(1), wanted(&[1, 2, 3], false));
    for (n, failure) in [
        (1, NotSent::Unreadable),
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
    assert_eq!(fetches.deadline(), Some(at(1000)));
    assert_eq!(gets(&advance(&mut fetches, at(1000))), [id(2)]);
    fetches.failed(FetchId(1), id(1), NotSent::Unreadable);
    assert_eq!(fetches.asked_of(FetchId(1)), Some(id(2)));
    assert_eq!(advance(&mut fetches, at(1001)), []);
    fetches.failed(FetchId(1), id(2), NotSent::NotHere);
    let failed = Action::Fail(FetchId(1), NotSent::Unreadable);
    assert_eq!(advance(&mut fetches, at(1002)), [failed], "it has answered");
}

#[test]
fn one_that_sends_nothing_is_passed_over_for_others_and_asked_again_once_they_have_failed() {
    let mut fetches = Fetches::default();
    fetches.want(FetchId(1), wanted(&[1, 2], false));
    assert_eq!(gets(&advance(&mut fetches, at(0))), [id(1)]);
    assert_eq!(gets(&advance(&mut fetches, at(1000))), [id(2)]);
    fetches.failed(FetchId(1), id(2), NotSent::NotHere);
    assert_eq!(gets(&advance(&mut fetches, at(1001))), [id(1)]);
    assert_eq!(fetches.deadline(), Some(at(11_001)), "now it is waited for");
    let failed = Action::Fail(FetchId(1), NotSent::Silent(id(1)));
    assert_eq!(advance(&mut fetches, at(11_001)), [failed]);
    fetches.check();
}

#[test]
fn one_that_answers_questions_at_once_and_sends_nothing_is_passed_over_sooner() {
    for (rtt, after) in [(1, 250), (100, 400), (2000, 1000)] {
        let link_to = |_| LinkTo::Linked(Some(Duration::from_millis(rtt)));
        for widen in [false, true] {
            let mut fetches = Fetches::default();
            let known = if widen { &[1][..] } else { &[1, 2] };
            fetches.want(FetchId(1), wanted(known, widen));
            fetches.advance(at(0), &link_to, &|_| None);
            assert_eq!(fetches.deadline(), Some(at(after)));
            let next = fetches.advance(at(after), &link_to, &|_| None);
            if widen {
                assert!(matches!(next[..], [Action::Widen(..)]), "{next:?}");
            } else {
                assert_eq!(gets(&next), [id(2)]);
            }
        }
    }
}

#[test]
fn one_that_has_sent_nothing_is_asked_after_the_others_until_a_whole_file_has_come_from_it() {
    let mut fetches = Fetches::default();
    fetches.want(FetchId(1), wanted(&[1, 2], false));
    assert_eq!(gets(&advance(&mut fetches, at(0))), [id(1)]);
    assert_eq!(gets(&advance(&mut fetches, at(1000))), [id(2)]);
    fetches.want(FetchId(2), wanted(&[1, 2], false));
    assert_eq!(gets(&advance(&mut fetches, at(1001))), [id(2)]);
    // Or a byte now and then would be enough to hold up the next one, too.
    fetches.flowing(at(1002), id(1), 7);
    fetches.want(FetchId(3), wanted(&[1, 2], false));
    assert_eq!(gets(&advance(&mut fetches, at(1003))), [id(2)]);
    assert!(fetches.arrived(at(1004), FetchId(1), holder(1)));
    fetches.want(FetchId(4), wanted(&[1, 2], false));
    assert_eq!(gets(&advance(&mut fetches, at(1005))), [id(1)]);
    fetches.check();
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
        let actions = fetches.advance(now, &|_| LINKED, &|_| Some(last));
        if let [action] = &actions[..] {
            assert_eq!(*action, Action::Fail(FetchId(1), NotSent::Silent(id(1))));
            break now;
        }
    };
    assert_eq!(end, at(0) + SLOW);
}

/// A file of this length that one holder has.
fn long(length: u64) -> WantedFile {
    let content = Content {
        length,
        ..content()
    };
    WantedFile {
        content,
        ..wanted(&[1], false)
    }
}

#[test]
fn over_a_thin_link_few_are_asked_for_at_once_and_over_a_thick_one_many() {
    for (rate, least, most) in [(125_000, 1, 3), (100_000_000, 16, AT_MOST)] {
        let mut fetches = Fetches::default();
        for n in 0..200 {
            fetches.want(FetchId(n), long(250_000));
        }
        let (mut now, mut open) = (at(0), VecDeque::new());
        let mut largest = 0;
        for _ in 0..100 {
            open.extend(fetches.advance(now, &|_| LINKED, &|_| None));
            largest = largest.max(open.len());
            let Some(Action::Get(fetch, from, content)) = open.pop_front() else {
                panic!("it is asked for");
            };
            now = now + Duration::from_micros(content.length * 1_000_000 / rate);
            assert!(fetches.arrived(now, fetch, from));
            assert!(fetches.stored(fetch, Storage::Kept).is_some());
        }
        assert!((least..=most).contains(&largest), "{largest} at {rate}");
        assert!(
            (least..=most).contains(&open.len()),
            "{} at {rate}",
            open.len()
        );
    }
}

#[test]
fn whoever_delivers_any_file_has_not_failed_with_another() {
    let mut fetches = Fetches::default();
    fetches.want(FetchId(1), wanted(&[1], false));
    fetches.want(FetchId(2), long(250_000));
    assert_eq!(advance(&mut fetches, at(0)).len(), 2);
    // 250 bytes a second: the second file takes a quarter of an hour.
    for second in 1..1000 {
        let now = at(second * 1000);
        fetches.flowing(now, id(1), 250);
        assert_eq!(fetches.advance(now, &|_| LINKED, &|_| Some(now)), []);
    }
    // Then only signs of life come.
    let last = at(999_000);
    let silent = |fetches: &mut Fetches, now| fetches.advance(now, &|_| LINKED, &|_| Some(now));
    for seconds in 1..SLOW.as_secs() {
        let now = last + Duration::from_secs(seconds);
        assert_eq!(silent(&mut fetches, now), [], "{seconds}");
    }
    let ends = silent(&mut fetches, last + SLOW);
    let failed = |n| Action::Fail(FetchId(n), NotSent::Silent(id(1)));
    assert_eq!(ends, [failed(2), failed(1)]);
}

#[test]
fn one_that_trickles_is_left_for_another_holder_where_there_is_one() {
    let mut fetches = Fetches::default();
    fetches.want(FetchId(1), wanted(&[1, 2], false));
    advance(&mut fetches, at(0));
    let passed_over = (1..200).find(|second| {
        let now = at(second * 1000);
        fetches.flowing(now, id(1), if *second < 100 { 1100 } else { 1 });
        !fetches.advance(now, &|_| LINKED, &|_| Some(now)).is_empty()
    });
    assert_eq!(passed_over, Some(108), "a second, and one for each KiB");
    assert_eq!(fetches.asked_of(FetchId(1)), Some(id(2)));
}

#[test]
fn where_only_one_is_known_that_sends_nothing_others_are_looked_for_after_a_second() {
    let mut fetches = Fetches::default();
    fetches.want(FetchId(1), wanted(&[1], true));
    assert_eq!(gets(&advance(&mut fetches, at(0))), [id(1)]);
    assert_eq!(fetches.deadline(), Some(at(1000)));
    let looked = advance(&mut fetches, at(1000));
    assert!(matches!(looked[..], [Action::Widen(..)]), "{looked:?}");
    fetches.widened(FetchId(1), Some(found(&[1, 2])));
    assert_eq!(gets(&advance(&mut fetches, at(1010))), [id(2)]);
    fetches.check();
}

#[test]
fn of_one_that_trickles_alone_others_are_looked_for_and_it_goes_on_where_there_are_none() {
    for others in [&[1][..], &[1, 2]] {
        let mut fetches = Fetches::default();
        fetches.want(FetchId(1), wanted(&[1], true));
        advance(&mut fetches, at(0));
        let mut left = None;
        for second in 1..500 {
            let now = at(second * 1000);
            fetches.flowing(now, id(1), 100);
            match &fetches.advance(now, &|_| LINKED, &|_| Some(now))[..] {
                [] => {}
                [Action::Widen(..)] => fetches.widened(FetchId(1), Some(found(others))),
                [Action::Get(_, better, _)] => {
                    left = Some(better.id);
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(left, (others.len() > 1).then(|| id(2)));
        fetches.check();
    }
}

#[test]
fn a_holder_that_is_too_busy_is_asked_again_after_ever_longer_rests() {
    let mut fetches = Fetches::default();
    for n in 1..=3 {
        fetches.want(FetchId(n), wanted(&[1], false));
    }
    assert_eq!(advance(&mut fetches, at(0)).len(), 3);
    for n in 1..=3 {
        fetches.failed(FetchId(n), id(1), NotSent::Busy);
    }
    assert_eq!(advance(&mut fetches, at(0)), []);
    // One is enough to find out.
    assert_eq!(fetches.deadline(), Some(at(1000)));
    for (now, rest) in [(1000, 2000), (3000, 4000), (7000, 8000), (15_000, 8000)] {
        let asked = advance(&mut fetches, at(now));
        let [Action::Get(fetch, ..)] = asked[..] else {
            panic!("{asked:?}");
        };
        fetches.failed(fetch, id(1), NotSent::Busy);
        assert_eq!(advance(&mut fetches, at(now)), []);
        assert_eq!(fetches.deadline(), Some(at(now + rest)));
    }
    let asked = advance(&mut fetches, at(23_000));
    let [Action::Get(fetch, ..)] = asked[..] else {
        panic!("{asked:?}");
    };
    assert!(fetches.arrived(at(23_001), fetch, holder(1)));
    assert_eq!(advance(&mut fetches, at(23_001)).len(), 2, "all others");
}

#[test]
fn a_holder_that_is_too_busy_for_ever_is_not_waited_for_so_long() {
    let mut fetches = Fetches::default();
    fetches.want(FetchId(1), wanted(&[1], false));
    let mut now = at(0);
    loop {
        match &advance(&mut fetches, now)[..] {
            [Action::Get(fetch, ..)] => fetches.failed(*fetch, id(1), NotSent::Busy),
            [Action::Fail(_, why)] => {
                assert_eq!(*why, NotSent::Busy);
                break;
            }
            other => assert!(other.is_empty(), "{other:?}"),
        }
        now = fetches.deadline().unwrap_or(now);
    }
    let took = now - at(0);
    assert!(
        took >= BUSY_FOR && took < BUSY_FOR + Duration::from_secs(10),
        "{took:?}"
    );
    // Another holder is asked meanwhile.
    fetches.want(FetchId(2), wanted(&[1, 2], false));
    assert_eq!(gets(&advance(&mut fetches, now)), [id(1)]);
    fetches.failed(FetchId(2), id(1), NotSent::Busy);
    assert_eq!(gets(&advance(&mut fetches, now)), [id(2)]);
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
    assert!(fetches.arrived(at(0), FetchId(1), holder(1)));
    // The link it came on is gone, and the disk takes its time.
    fetches.failed(FetchId(1), id(1), NotSent::Unreachable("gone".into()));
    assert_eq!(advance(&mut fetches, at(100_000)), []);
    // The same from elsewhere comes too late.
    assert!(!fetches.arrived(at(0), FetchId(1), holder(2)));
    assert_eq!(fetches.stored(FetchId(1), Storage::Kept), Some(holder(1)));
    assert_eq!(fetches.stored(FetchId(1), Storage::Kept), None);
    assert!(fetches.wanted.is_empty());
    fetches.check();
}

#[test]
fn late_bytes_are_taken_and_if_they_are_wrong_the_others_are_asked_again() {
    let mut fetches = Fetches::default();
    fetches.want(FetchId(1), wanted(&[1, 2], false));
    assert_eq!(gets(&advance(&mut fetches, at(0))), [id(1)]);
    assert_eq!(gets(&advance(&mut fetches, at(10_000))), [id(2)]);
    assert!(fetches.arrived(at(0), FetchId(1), holder(1)));
    // What the second sends is not looked at, as there is something already.
    assert!(!fetches.arrived(at(0), FetchId(1), holder(2)));
    assert_eq!(
        fetches.stored(FetchId(1), Storage::Mismatch),
        Some(holder(1))
    );
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
    assert!(fetches.arrived(at(0), FetchId(1), holder(1)));
    assert_eq!(
        fetches.stored(FetchId(1), Storage::Mismatch),
        Some(holder(1))
    );
    fetches.lied(id(1));
    assert!(fetches.is_liar(id(1)));
    fetches.want(FetchId(2), wanted(&[1, 2], false));
    let actions = fetches.advance(at(1), &only(1), &|_| None);
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
    Busy(u64, u8),
    Flowing(u8),
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
        1 => (0..300u64, 0..5u8).prop_map(|(id, holder)| Op::Busy(id, holder)),
        1 => (0..5u8).prop_map(Op::Flowing),
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
                Op::Busy(fetch, holder) => fetches.failed(FetchId(fetch), id(holder), NotSent::Busy),
                Op::Flowing(holder) => fetches.flowing(at(now), id(holder), 100),
                Op::Arrived(fetch, from) => {
                    if fetches.arrived(at(now), FetchId(fetch), holder(from)) {
                        prop_assert!(open.contains(&FetchId(fetch)) && stored.insert(FetchId(fetch)));
                    }
                }
                Op::Stored(id, verified) => {
                    let storage = if verified { Storage::Kept } else { Storage::Mismatch };
                    let from = fetches.stored(FetchId(id), storage);
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
            fetches.stored(id, Storage::Kept);
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

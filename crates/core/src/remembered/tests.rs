use std::net::Ipv4Addr;

use super::*;

const EVERY: Duration = Duration::from_secs(15);
const DAY: Duration = Duration::from_hours(24);

fn id(n: u8) -> PeerId {
    PeerId::new([n; 32])
}

fn member(n: u8) -> Holder {
    Holder {
        id: id(n),
        name: None,
        addresses: vec![(Ipv4Addr::new(10, 0, 0, n), 3334).into()],
        partial: false,
    }
}

fn known(n: u8) -> Known {
    Known {
        member: member(n),
        away: Duration::ZERO,
        chosen: false,
    }
}

fn at(seconds: u64) -> Instant {
    Instant::after_start(Duration::from_secs(seconds))
}

fn remembering(known: Vec<Known>) -> Remembered {
    Remembered::new(at(0), known, 64, EVERY, 7)
}

fn ids(members: &[Holder]) -> Vec<PeerId> {
    members.iter().map(|member| member.id).collect()
}

/// Lets every attempt fail, and returns how long each one was waited for.
fn waits(remembered: &mut Remembered, start: Instant, attempts: usize) -> Vec<Duration> {
    let mut now = start;
    let attempt = |_| {
        let next = remembered.next_deadline().expect("is tried again");
        let waited = next - now;
        now = next;
        assert_eq!(ids(&remembered.dial(now, 32)), [id(1)]);
        remembered.failed(now, id(1));
        waited
    };
    (0..attempts).map(attempt).collect()
}

#[test]
fn at_the_start_all_are_dialled_at_once_those_met_last_first() {
    let mut remembered = remembering(vec![
        Known {
            away: DAY,
            ..known(1)
        },
        known(2),
    ]);
    assert_eq!(remembered.next_deadline(), Some(at(0)));
    assert_eq!(ids(&remembered.dial(at(0), 32)), [id(2), id(1)]);
    assert_eq!(
        remembered.next_deadline(),
        None,
        "until it is said what came of it"
    );
}

#[test]
fn only_so_many_are_dialled_at_once_and_the_rest_when_these_are_through() {
    let mut remembered = remembering((1..=20).map(known).collect());
    assert_eq!(remembered.dial(at(0), 32).len(), AT_ONCE);
    assert!(remembered.dial(at(0), 32).is_empty());
    assert_eq!(remembered.next_deadline(), None);
    remembered.met(at(1), member(1));
    remembered.failed(at(1), id(2));
    assert_eq!(remembered.dial(at(1), 32).len(), 2);
}

#[test]
fn nobody_is_dialled_without_a_place_for_it() {
    let mut remembered = remembering((1..=3).map(known).collect());
    assert_eq!(ids(&remembered.dial(at(0), 1)), [id(1)]);
    assert_eq!(remembered.next_deadline(), Some(at(15)));
    assert!(
        remembered.dial(at(15), 1).is_empty(),
        "the place is promised"
    );
    remembered.failed(at(16), id(1));
    assert_eq!(ids(&remembered.dial(at(30), 1)), [id(2)]);
}

#[test]
fn after_a_silent_loss_attempts_come_within_a_second_then_less_and_less_often() {
    let mut remembered = remembering(Vec::new());
    remembered.met(at(0), member(1));
    remembered.keep(at(5)).expect("is new");
    remembered.lost(at(100), id(1));
    let waits = waits(&mut remembered, at(100), 9);
    assert!(waits[0] <= Duration::from_secs(1), "{waits:?}");
    assert_eq!(
        waits[1..],
        [15, 30, 60, 120, 240, 480, 600, 600].map(Duration::from_secs)
    );
}

#[test]
fn whoever_is_lost_again_as_soon_as_it_is_back_is_not_run_after() {
    let mut remembered = remembering(Vec::new());
    remembered.met(at(0), member(1));
    remembered.keep(at(5)).expect("is new");
    remembered.lost(at(100), id(1));
    remembered.dial(at(101), 32);
    remembered.met(at(101), member(1));
    remembered.lost(at(102), id(1));
    assert_eq!(remembered.next_deadline(), Some(at(117)));
    remembered.dial(at(117), 32);
    remembered.met(at(117), member(1));
    remembered.lost(at(118), id(1));
    assert_eq!(remembered.next_deadline(), Some(at(148)));
    remembered.dial(at(148), 32);
    remembered.met(at(148), member(1));
    remembered.lost(at(163), id(1));
    assert!(remembered.next_deadline() <= Some(at(164)), "it had stayed");
}

#[test]
fn a_goodbye_is_not_answered_with_a_dial_and_the_leaver_is_still_known() {
    let mut remembered = remembering(Vec::new());
    remembered.met(at(0), member(1));
    remembered.keep(at(5)).expect("is new");
    remembered.parted(at(10), id(1));
    // The link closes afterwards.
    remembered.lost(at(10), id(1));
    assert_eq!(remembered.next_deadline(), None);
    remembered.hurry(at(20));
    assert_eq!(remembered.next_deadline(), None);
    let kept = remembered.stop(at(30));
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].away, Duration::from_secs(20));
}

#[test]
fn whoever_is_away_for_thirty_days_of_running_is_forgotten_however_many_runs_they_took() {
    let mut kept = vec![known(1)];
    for run in 1..=30 {
        let mut remembered = remembering(kept);
        let mut now = at(0);
        while let Some(next) = remembered
            .next_deadline()
            .filter(|next| *next < at(0) + DAY)
        {
            now = next;
            remembered.dial(now, 32);
            remembered.failed(now, id(1));
        }
        kept = remembered.stop(now.max(at(0) + DAY));
        assert_eq!(kept.len(), 1, "on day {run}");
    }
    let mut remembered = remembering(kept);
    remembered.dial(at(0), 32);
    remembered.failed(at(0), id(1));
    assert_eq!(
        remembered.next_deadline(),
        Some(at(5)),
        "only to write that"
    );
    assert_eq!(remembered.keep(at(5)), Some(Vec::new()));
}

#[test]
fn changes_are_gathered_and_nothing_is_written_when_nothing_has_changed() {
    let mut remembered = remembering(Vec::new());
    remembered.met(at(0), member(1));
    remembered.met(at(1), member(2));
    assert_eq!(remembered.next_deadline(), Some(at(5)));
    assert_eq!(remembered.keep(at(4)), None);
    assert_eq!(remembered.keep(at(5)).map(|known| known.len()), Some(2));
    remembered.met(at(6), member(1));
    remembered.lost(at(60), id(1));
    remembered.dial(at(61), 32);
    remembered.met(at(61), member(1));
    assert_eq!(remembered.keep(at(100)), None);
    let moved = Holder {
        addresses: member(9).addresses,
        ..member(1)
    };
    remembered.met(at(100), moved.clone());
    let kept = remembered.keep(at(105)).expect("has moved");
    assert_eq!(kept[0].member, moved);
}

#[test]
fn when_the_way_is_open_again_all_are_tried_soon() {
    let mut remembered = remembering(vec![known(1)]);
    waits(&mut remembered, at(0), 9);
    let now = at(3600);
    remembered.hurry(now);
    let waits = waits(&mut remembered, now, 2);
    assert!(waits[0] <= Duration::from_secs(1), "{waits:?}");
    assert_eq!(waits[1], EVERY);
}

#[test]
fn whoever_answers_that_it_listens_nowhere_holds_up_nobody() {
    let mut remembered = remembering((1..=20).map(known).collect());
    for holder in remembered.dial(at(0), 32) {
        let nowhere = Holder {
            addresses: Vec::new(),
            ..holder
        };
        remembered.met(at(1), nowhere);
    }
    remembered.check(|_| false);
    assert_eq!(remembered.dial(at(1), 32).len(), AT_ONCE);
    assert_eq!(remembered.stop(at(2)).len(), 20 - AT_ONCE);
}

#[test]
fn whoever_was_away_for_ages_is_dialled_once_and_forgotten() {
    let ages = Known {
        away: Duration::from_secs(u64::MAX),
        ..known(1)
    };
    let mut remembered = remembering(vec![ages]);
    assert_eq!(ids(&remembered.dial(at(1), 32)), [id(1)]);
    remembered.failed(at(2), id(1));
    assert_eq!(remembered.stop(at(3)), []);
}

#[test]
fn the_number_is_bounded_and_whoever_was_away_for_longest_goes() {
    let away = |n: u8| Known {
        away: DAY * n.into(),
        ..known(n)
    };
    let mut remembered = Remembered::new(at(0), (1..=9).map(away).collect(), 4, EVERY, 7);
    remembered.met(at(0), member(4));
    remembered.met(at(0), member(100));
    let kept: Vec<_> = remembered.stop(at(0)).into_iter().collect();
    let kept: Vec<_> = kept.iter().map(|known| known.member.id).collect();
    assert_eq!(kept, [id(1), id(2), id(4), id(100)]);
}

#[test]
fn whoever_was_fetched_from_is_known_as_such_after_a_restart_too() {
    let mut remembered = remembering(vec![]);
    remembered.met(at(0), member(1));
    remembered.met(at(0), member(2));
    remembered.chose(at(1), id(1));
    // Only a remembered member can become one that was fetched from.
    remembered.chose(at(1), id(3));
    remembered.met(at(2), member(1));
    let chosen = |remembered: &Remembered| [1, 2, 3].map(|n| remembered.has_chosen(id(n)));
    assert_eq!(chosen(&remembered), [true, false, false]);
    let again = remembering(remembered.stop(at(3)));
    assert_eq!(chosen(&again), [true, false, false]);
}

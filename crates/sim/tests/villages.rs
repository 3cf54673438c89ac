//! Small villages, played to the end with all laws on.

use std::time::Duration;

use thorp_sim::arm::Arm;
use thorp_sim::run::{Run, Summary, play};
use thorp_sim::scenario;
use thorp_sim::trace::{Poison, Region, Trace};
use thorp_sim::workload::Workload;

const SEED: u64 = 7;

fn hours(hours: u64) -> Duration {
    Duration::from_hours(hours)
}

/// Two regions of thirty machines.
fn small() -> Workload {
    Workload {
        regions: 2,
        machines: 30,
        names: 150,
        length: hours(4),
        ..Workload::reference()
    }
}

fn played(trace: &Trace, arm: &str) -> Run {
    let run = play(trace, Arm::named(arm).expect("an arm"), 0.0, SEED);
    assert_lawful(&run);
    run
}

fn assert_lawful(run: &Run) {
    let broken = &run.broken;
    assert!(broken.is_empty(), "seed {SEED} replays it: {broken:#?}");
}

#[test]
fn the_same_seed_is_the_same_run_and_another_one_another() {
    let workload = Workload {
        length: hours(1),
        ..small()
    };
    let once = played(&workload.trace(SEED), "thorp");
    let again = played(&workload.trace(SEED), "thorp");
    assert_eq!((once.digest, once.events), (again.digest, again.events));
    let other = played(&workload.trace(SEED + 1), "thorp");
    assert_ne!(once.digest, other.digest);
}

#[test]
fn neighbours_spare_the_tracker_and_nothing_that_is_there_is_missed() {
    let trace = small().trace(SEED);
    let alone = played(&trace, "tracker").summary(1..4);
    let near = played(&trace, "thorp").summary(1..4);
    assert_eq!(alone.answerable, near.answerable, "the same requests");
    assert!(alone.spared < 1e-9 && near.spared > 0.8, "{near:#?}");
    assert!(alone.missed < 0.01 && near.missed < 0.01, "{near:#?}");
    assert!(near.latency.0 < alone.latency.0, "{near:#?}, {alone:#?}");
}

#[test]
fn past_partners_that_are_asked_in_turn_cost_questions_and_know_less() {
    let trace = small().trace(SEED);
    let asked = played(&trace, "partners").summary(1..4);
    let listed = played(&trace, "before").summary(1..4);
    assert!(
        asked.spared > 0.1 && asked.spared < listed.spared,
        "{asked:#?}"
    );
    assert!(
        asked.questions > listed.questions,
        "{asked:#?}, {listed:#?}"
    );
    assert!(asked.missed < 0.01, "{asked:#?}");
}

#[test]
fn plain_bittorrent_tells_the_tracker_of_each_file_again_and_again() {
    let workload = Workload {
        churn: false,
        requests: 0.001,
        renewal: 0.0,
        ..small()
    };
    let summary = played(&workload.trace(SEED), "bittorrent").summary(1..4);
    // 300 names at 60 machines, each announced twice an hour.
    assert!((summary.to_tracker - 10.0).abs() < 0.5, "{summary:#?}");
    let summary = played(&workload.trace(SEED), "tracker").summary(1..4);
    // A sign of life every five seconds.
    assert!((summary.to_tracker - 720.0).abs() < 5.0, "{summary:#?}");
}

#[test]
fn a_machine_keeps_its_copies_for_as_long_online_as_it_is_told() {
    let keeping = |keep: Duration| {
        let workload = Workload { keep, ..small() };
        played(&workload.trace(SEED), "tracker").summary(3..4)
    };
    let (short, long) = (keeping(Duration::from_mins(10)), keeping(hours(24)));
    assert!(short.answerable < long.answerable, "{short:#?}, {long:#?}");
}

#[test]
fn where_packets_are_lost_all_is_found_that_is_there() {
    let trace = small().trace(SEED);
    let run = play(&trace, Arm::named("thorp").expect("an arm"), 0.02, SEED);
    assert_lawful(&run);
    let summary = run.summary(1..4);
    assert!(summary.missed < 0.01, "{summary:#?}");
}

#[test]
fn when_a_third_loses_its_power_the_rest_finds_what_is_left() {
    let mut trace = small().trace(SEED);
    let crashed = scenario::crash_of_many(&mut trace, hours(2), 0.3, SEED);
    assert!(crashed.len() > 10, "{}", crashed.len());
    let summary = played(&trace, "thorp").summary(2..4);
    assert!(summary.missed < 0.02, "{summary:#?}");
    let (by_tracker, by_neighbours) = summary.noticed;
    assert!(
        !by_tracker.is_zero() && by_neighbours > by_tracker,
        "{summary:#?}"
    );
}

#[test]
fn a_region_that_was_cut_off_finds_everything_again() {
    let mut trace = small().trace(SEED);
    let minute = Duration::from_mins(1);
    scenario::cut_off(&mut trace, Region(1), hours(2), minute);
    let run = played(&trace, "thorp");
    // What only the other region has cannot be had meanwhile, though it counts as answerable.
    let meanwhile = run.answered(hours(2), hours(2) + minute);
    assert!(meanwhile > 0.5, "seed {SEED}: {meanwhile}");
    let after = run.answered(hours(2) + 2 * minute, hours(4));
    assert!(after > 0.99, "seed {SEED}: {after}");
}

#[test]
fn while_the_tracker_is_gone_for_ten_minutes_neighbours_answer_most() {
    let mut trace = small().trace(SEED);
    let gone = Duration::from_mins(10);
    scenario::without_tracker(&mut trace, hours(2), gone);
    let run = played(&trace, "thorp");
    let meanwhile = run.answered(hours(2), hours(2) + gone);
    assert!(meanwhile > 0.9, "seed {SEED}: {meanwhile}");
    let after = run.answered(hours(2) + gone + Duration::from_mins(1), hours(4));
    assert!(after > 0.99, "seed {SEED}: {after}");
}

#[test]
fn without_a_tracker_for_an_hour_neighbours_go_on_answering() {
    let mut trace = small().trace(SEED);
    scenario::without_tracker(&mut trace, hours(2), hours(1));
    let run = played(&trace, "thorp");
    let meanwhile = run.summary(2..3);
    assert!(meanwhile.missed < 0.3, "{meanwhile:#?}");
    let afterwards = run.summary(3..4);
    assert!(afterwards.missed < 0.01, "{afterwards:#?}");
}

/// Two regions of thirty machines, some of which poison the fifty names of each that are asked
/// for most, from the first hour on.
fn poisoned(how: Poison, poisoners: usize) -> Summary {
    let workload = Workload {
        length: hours(3),
        ..small()
    };
    let mut trace = workload.trace(SEED);
    scenario::poison(&mut trace, hours(1), poisoners, 50, how);
    played(&trace, "thorp").summary(1..3)
}

#[test]
fn members_that_list_what_they_do_not_have_hide_no_honest_holder() {
    let summary = poisoned(Poison::Absent, 3);
    assert!(summary.in_vain > 0.1, "seed {SEED}: {summary:#?}");
    assert!(summary.missed < 0.01, "seed {SEED}: {summary:#?}");
}

#[test]
fn members_that_send_other_bytes_are_found_out_and_the_file_comes_from_others() {
    // That no such byte is kept is a law. Each liar is believed once by a peer that runs.
    let summary = poisoned(Poison::Corrupt, 3);
    assert!(
        summary.corrupt > 0.01 && summary.corrupt < 0.3,
        "seed {SEED}: {summary:#?}"
    );
    assert!(summary.missed < 0.01, "seed {SEED}: {summary:#?}");
}

#[test]
fn whoever_lists_another_file_by_a_name_makes_users_choose_and_hides_nothing() {
    for (poisoners, most) in [(1, 0.1), (3, 0.2)] {
        let summary = poisoned(Poison::Forged, poisoners);
        eprintln!(
            "{poisoners} {} {} {:?}",
            summary.forged, summary.ambiguous, summary.spared_by
        );
        assert!(summary.ambiguous > 0.01, "seed {SEED}: {summary:#?}");
        assert!(summary.forged < most, "seed {SEED}: {summary:#?}");
        let otherwise = summary.missed - summary.ambiguous;
        assert!(otherwise < 0.01, "seed {SEED}: {summary:#?}");
    }
}

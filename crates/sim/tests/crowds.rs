//! Many peers that want one large file at once.

use std::time::Duration;

use thorp_sim::crowd::{Crowd, Habits, Spreading};

const SEED: u64 = 1;

/// Links of 100 Mb/s each way, 20 ms apart.
fn played(fetchers: usize, mib: u64, habits: Habits) -> Spreading {
    end_of(&Crowd {
        fetchers,
        length: mib * 1024 * 1024,
        rate: 12_500_000,
        delay: Duration::from_millis(20),
        queue: Duration::from_millis(25),
        uneven: 1,
        unsent: 64 * 1024,
        over: Duration::ZERO,
        habits,
    })
}

/// 50 MiB over links of 20 Mb/s next to one another, whose connections get unlike shares: as
/// was measured between real processes.
fn uneven(fetchers: usize) -> Spreading {
    end_of(&Crowd {
        fetchers,
        length: 50 * 1024 * 1024,
        rate: 2_500_000,
        delay: Duration::from_millis(1),
        queue: Duration::from_millis(25),
        uneven: 8,
        unsent: 64 * 1024,
        over: Duration::ZERO,
        habits: Habits::Members,
    })
}

fn end_of(crowd: &Crowd) -> Spreading {
    let end = crowd.play(SEED);
    end.unwrap_or_else(|| panic!("seed {SEED}: {crowd:?} does not end"))
}

fn of_bound(end: &Spreading) -> f64 {
    end.last.div_duration_f64(end.fluid_bound)
}

#[test]
fn the_last_of_sixteen_is_done_little_later_than_any_way_allows() {
    let end = played(16, 100, Habits::Members);
    assert!(of_bound(&end) < 1.2, "seed {SEED}: {end:?}");
    assert!(
        end.copies < 1.2 && end.in_vain < 0.02,
        "seed {SEED}: {end:?}"
    );
}

#[test]
fn a_crowd_is_served_sooner_than_with_the_habits_of_ordinary_clients() {
    let members = played(48, 50, Habits::Members);
    let clients = played(48, 50, Habits::Clients);
    assert!(of_bound(&members) < 2.6, "seed {SEED}: {members:?}");
    assert!(
        members.last < clients.last,
        "seed {SEED}: {members:?}, {clients:?}"
    );
    assert!(
        members.half < clients.half,
        "seed {SEED}: {members:?}, {clients:?}"
    );
}

#[test]
fn a_crowd_is_done_soon_though_connections_get_unlike_shares() {
    for (fetchers, most) in [(8, 1.25), (12, 1.3), (24, 1.4)] {
        let end = uneven(fetchers);
        assert!(of_bound(&end) < most, "seed {SEED}, {fetchers}: {end:?}");
        assert!(end.copies < most, "seed {SEED}, {fetchers}: {end:?}");
    }
}

#[test]
fn the_same_seed_is_the_same_crowd() {
    let once = played(8, 10, Habits::Members);
    assert_eq!(once, played(8, 10, Habits::Members));
}

//! The figures of a small village, as a table that a review sees change. It is written anew
//! by `THORP_SIM_RENEW=1 cargo test -p thorp-sim --test golden`.

use std::path::Path;
use std::time::Duration;
use std::{env, fs};

use thorp_sim::arm::Arm;
use thorp_sim::report::side_by_side;
use thorp_sim::run::play;
use thorp_sim::workload::Workload;

const SEED: u64 = 11;
/// What differs in so small a village: other arms are about groups whose members cannot all be
/// neighbours of neighbours.
const PLAYED: [&str; 14] = [
    "bittorrent",
    "tracker",
    "partners",
    "listings",
    "before",
    "slow",
    "hearsay",
    "asking",
    "thorp",
    "variants",
    "fleeting",
    "drawn",
    "hasty",
    "crowded",
];

/// Two regions of twelve machines, for an hour and a half.
fn tiny() -> Workload {
    Workload {
        regions: 2,
        machines: 12,
        names: 100,
        length: Duration::from_mins(90),
        ..Workload::reference()
    }
}

#[test]
fn a_small_village_comes_to_the_figures_that_were_reviewed() {
    let trace = tiny().trace(SEED);
    let play_in = |name| {
        let arm = Arm::named(name).expect("an arm");
        let run = play(&trace, arm, 0.0, SEED);
        assert!(
            run.broken.is_empty(),
            "seed {SEED}, {}: {:?}",
            arm.name,
            run.broken
        );
        (arm, run.summary(0..2))
    };
    let runs: Vec<_> = PLAYED.into_iter().map(play_in).collect();
    let table = side_by_side(&runs);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden.md");
    if env::var_os("THORP_SIM_RENEW").is_some() {
        fs::write(&path, &table).expect("written");
    }
    let reviewed = fs::read_to_string(&path).expect("the table");
    assert_eq!(
        table, reviewed,
        "seed {SEED} comes to other figures than tests/golden.md. If that is what you changed, \
         THORP_SIM_RENEW=1 writes them, and the commit says why"
    );
}

//! The recorded trace that real nodes play again in a test of `node`.

use std::path::Path;
use std::time::Duration;
use std::{env, fs};

use thorp_sim::arm::Arm;
use thorp_sim::recorded;
use thorp_sim::run::play;
use thorp_sim::trace::{Incident, Trace};
use thorp_sim::workload::Workload;

const SEED: u64 = 30;
/// Before that no user asks for anything: peers find the tracker.
const QUIET: Duration = Duration::from_secs(5);

/// Thirty machines in one region, whose users ask for twenty files each within half a minute.
fn made() -> Trace {
    let workload = Workload {
        regions: 1,
        machines: 30,
        names: 120,
        requests: 2400.0,
        renewal: 0.0,
        churn: false,
        patterns: 0.0,
        length: Duration::from_secs(30),
        ..Workload::reference()
    };
    let mut trace = workload.trace(SEED);
    trace.length += QUIET;
    for (at, event) in &mut trace.events {
        if let Incident::Asks(..) = event {
            *at += QUIET;
        }
    }
    trace
}

#[test]
fn the_trace_in_the_tree_is_what_its_workload_and_seed_make() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/thirty.trace");
    let written = recorded::write(&made());
    if env::var_os("THORP_SIM_RENEW").is_some() {
        fs::write(&path, &written).expect("written");
    }
    let kept = fs::read_to_string(&path).expect("the trace");
    assert!(kept == written, "THORP_SIM_RENEW=1 writes it anew");
    let trace = recorded::read(&kept).expect("a trace");
    let arm = Arm::named("thorp").expect("an arm");
    let (run, again) = (play(&trace, arm, 0.0, SEED), play(&trace, arm, 0.0, SEED));
    assert!(run.broken.is_empty(), "seed {SEED}: {:?}", run.broken);
    assert_eq!(run.digest, again.digest);
    let summary = run.summary(0..1);
    assert!(
        summary.answerable > 500 && summary.missed < 0.01,
        "{summary:#?}"
    );
}

//! Clocks 40 days off, before and after, with the real program: once with all
//! of the system's ways to ask for the time.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::process::Command;

use support::village::{listening, sharing};
use support::{Node, Village, skip};

/// The same node on a machine whose clock is off by `by`, as `faketime` has it.
fn with_clock(node: Node, by: &str) -> Node {
    // Only what time it is: how long something takes is another clock's business.
    node.under(&[
        "env",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
        "faketime",
        "-f",
        by,
    ])
}

fn can_fake_time(test: &str) -> bool {
    let fakes = Command::new("faketime")
        .args(["-f", "+1d", "true"])
        .status()
        .is_ok_and(|status| status.success());
    if !fakes {
        skip(test, "faketime");
    }
    fakes
}

#[test]
fn a_machine_whose_clock_is_40_days_off_is_told_so() {
    if !can_fake_time("a_machine_whose_clock_is_40_days_off_is_told_so") {
        return;
    }
    let village = Village::new();
    let (_tracker, at) = village.tracker();
    for (number, (by, says)) in [("+40d", "40 days ahead of"), ("-40d", "40 days behind")]
        .into_iter()
        .enumerate()
    {
        let says = format!("this machine's clock is {says} the tracker's");
        // A newcomer.
        let newcomer = village.node(&format!("newcomer-{number}"));
        with_clock(newcomer.clone(), by)
            .run(&["get", "a.txt", "--tracker", &at])
            .exits(1)
            .says(&says);
        // A member.
        let member = village.node(&format!("member-{number}"));
        let running = member.start_sharing(&at, "127.0.0.1:0");
        drop(running);
        with_clock(member.clone(), by)
            .run(&["share", "--lines", "--listen", "127.0.0.1:0"])
            .exits(1)
            .says(&says);
        // It was the clock, and nothing else.
        member.start_sharing(&at, "127.0.0.1:0");
    }
}

#[test]
fn a_tracker_whose_clock_is_40_days_off_is_noticed_by_its_members() {
    if !can_fake_time("a_tracker_whose_clock_is_40_days_off_is_noticed_by_its_members") {
        return;
    }
    for (by, says) in [("+40d", "40 days behind"), ("-40d", "40 days ahead of")] {
        let village = Village::new();
        let (tracker, at) = village.tracker();
        let member = village.node("member");
        drop(member.start_sharing(&at, "127.0.0.1:0"));
        tracker.signal("TERM");
        tracker.finish(support::PATIENCE);
        let off = with_clock(village.node("tracker"), by);
        let tracker = off.start(&["tracker", "--open", "--lines", "--listen", &at]);
        listening(&tracker);
        let running = member.start(&["share", "--lines", "--listen", "127.0.0.1:0"]);
        sharing(&running);
        let says = format!("this machine's clock is {says} the tracker's");
        running.wait_for_line(&says, |line| line.contains(&says));
    }
}

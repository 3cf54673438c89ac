//! What is read from a tracker's certificate: a clock that is 40 days off, before
//! or after (once with all of the system's ways to ask for the time), and the
//! group's key. With the real program.

use std::process::Command;

use crate::support::village::{listening, sharing};
use crate::support::{Node, Running, Village, skip};

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
        tracker.finish(crate::support::PATIENCE);
        let off = with_clock(village.node("tracker"), by);
        let tracker = off.start(&["tracker", "--open", "--lines", "--listen", &at]);
        listening(&tracker);
        let says = format!("this machine's clock is {says} the tracker's");
        // Alone, and with a peer that runs.
        for args in [
            &["get", "a.txt"][..],
            &["get", "a.txt", "--tracker", &at],
            &["ls"],
            &["find", "*"],
            &["peers"],
        ] {
            member.run(args).exits(1).says(&says);
        }
        let running = member.start(&["share", "--lines", "--listen", "127.0.0.1:0"]);
        sharing(&running);
        running.wait_for_line(&says, |line| line.contains(&says));
        member.run(&["get", "a.txt"]).exits(1).says(&says);
        // What the neighbours know is not all there is.
        member.run(&["ls"]).exits(7).says(&says);
        // Killed, `faketime` would leave its shared memory behind.
        off.run(&["stop"]).exits(0);
        tracker.finish(crate::support::PATIENCE).exits(0);
    }
}

/// The key of the group that a node is in, or keeps.
fn key_of(node: &Node) -> String {
    let (_, events) = node.json(&["status"]);
    let status = events.iter().find_map(|event| event["ca"].as_str());
    status.expect("says it").to_owned()
}

#[test]
fn the_key_of_an_open_group_is_shown_at_first_contact_and_a_changed_one_with_both() {
    let village = Village::new();
    let (tracker, at) = village.tracker();
    let old = key_of(&village.node("tracker"));
    let shows = |running: &Running, key: &str| {
        running.wait_for_line(key, |line| line.contains(key));
    };
    shows(&tracker, &old);
    let member = village.node("member");
    let running = member.start_sharing(&at, "127.0.0.1:0");
    shows(&running, &old);
    assert_eq!(key_of(&member), old);
    drop(running);
    let visitor = village.node("visitor");
    let first = visitor.run(&["ls", "--tracker", &at]).exits(0).says(&old);
    let second = visitor.run(&["ls", "--tracker", &at]).exits(0);
    assert!(!second.stderr.contains(&old), "once: {first} {second}");

    tracker.signal("TERM");
    tracker.finish(crate::support::PATIENCE);
    let usurper = village.node("usurper");
    let usurping = usurper.start(&["tracker", "--open", "--lines", "--listen", &at]);
    listening(&usurping);
    let new = key_of(&usurper);
    assert_ne!(old, new);
    let says = format!("the group's CA has changed: it was {old}, and is now {new}");
    for args in [
        &["get", "a.txt"][..],
        &["get", "a.txt", "--tracker", &at],
        &["ls"],
    ] {
        member.run(args).exits(9).says(&says);
    }
    let running = member.start(&["share", "--lines", "--listen", "127.0.0.1:0"]);
    shows(&running, &says);
    member.run(&["get", "a.txt"]).exits(9).says(&says);
    // At another address it is no better.
    let elsewhere = at.replace("127.0.0.1", "localhost");
    drop(running);
    member
        .run(&["share", "--lines", "--tracker", &elsewhere])
        .exits(9)
        .says(&new);
}

//! Members whose listings the tracker does not have: for want of room, or because it was started
//! anew.

use crate::support::process::poll;
use crate::support::village::{listening, named};
use crate::support::{PATIENCE, Village};

const FILES: usize = 4000;

/// Long, so that so many take more than a MiB.
fn name(n: usize) -> String {
    format!("{n:04}-{}.txt", "a".repeat(200))
}

#[test]
fn files_of_a_member_that_the_tracker_has_no_room_for_are_found_and_what_is_nowhere_is_told() {
    let village = Village::new();
    let tracker = village.node("tracker");
    tracker.configure("tracker.listings_mib = 1\n");
    let (_tracker, at) = village.tracker();
    let (many, few, wants) = (
        village.node("many"),
        village.node("few"),
        village.node("wants"),
    );
    for n in 0..FILES {
        many.file(&name(n), n.to_string());
    }
    few.file("small.txt", "a few bytes");
    let sharing = many.start_sharing(&at, "127.0.0.2:0");
    let _few = few.start_sharing(&at, "127.0.0.3:0");
    sharing.wait_for_line("that it is not listed", |line| line.contains("has no room"));
    let _wants = wants.start_sharing(&at, "127.0.0.4:0");

    // A listed member's file, the unlisted one's, and one that no member has.
    wants.fetch("small.txt");
    wants.fetch(&name(17));
    assert_eq!(wants.bytes(&name(17)), b"17");
    wants.run(&["get", "nowhere.txt"]).exits(3);
    let (code, events) = wants.json(&["find", "0*.txt"]);
    assert_eq!((code, named(&events, "file").count()), (Some(0), 1000));
}

#[test]
fn a_tracker_that_was_started_anew_does_not_tell_for_certain_what_is_nowhere_until_all_are_back() {
    let village = Village::new();
    let hall = village.node("tracker");
    let any = "127.0.0.1:0".to_owned();
    let start = |listen: &str| hall.start(&["tracker", "--open", "--lines", "--listen", listen]);
    let tracker = start(&any);
    let at = listening(&tracker);
    hall.run(&["ls"]).exits(0);
    let oak = village.node("oak");
    oak.file("1.txt", "one");
    let sharing = oak.start_sharing(&at, "127.0.0.2:0");
    tracker.wait_for_line("who has joined", |line| {
        line.ends_with(" has joined the group")
    });
    let has_it = || {
        let answer = hall.run(&["ls"]);
        (answer.code == Some(0) && answer.stdout.contains("1.txt")).then_some(())
    };
    // It has joined before it has a link.
    poll("its file", PATIENCE, has_it);
    tracker.signal("TERM");
    tracker.finish(PATIENCE).exits(0);
    // It comes back at its own time.
    sharing.signal("STOP");
    let tracker = start(&at);
    assert_eq!(listening(&tracker), at);
    let answer = hall.run(&["ls"]);
    assert_eq!(answer.code, Some(7), "{answer}");
    assert!(!answer.stdout.contains("There are no files"), "{answer}");
    assert!(answer.stderr.contains("has just started"), "{answer}");
    let elm = village.node("elm");
    elm.run(&["get", "1.txt", "--tracker", &at]).exits(7);
    sharing.signal("CONT");
    poll("its file again", PATIENCE, has_it);
    elm.run(&["get", "nowhere.txt", "--tracker", &at]).exits(3);
}

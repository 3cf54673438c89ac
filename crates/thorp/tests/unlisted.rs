//! A member for whose listing the tracker has no room answers for itself.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use support::Village;
use support::village::named;

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

//! Holders that lie, send nothing, have left or come later.

use thorp_core::get::{Ending, LargeEvent, Missed, Request};
use thorp_core::lookup::Source;
use thorp_core::peer::Notice;

use super::{CLIENT, FOUR, ONE, SECOND, THREE, TWO};
use crate::support::{Manner, Village, id, request};

#[test]
fn a_holder_without_the_file_any_more_is_skipped_for_the_next() {
    let mut village = Village::new();
    let one = village.peer(ONE, &[CLIENT]);
    let two = village.peer(TWO, &[("a.txt", "a")]);
    let three = village.peer(THREE, &[("a.txt", "a")]);
    village.run(SECOND);
    village.host(two).manner = Manner::Without;
    assert_eq!(village.get(one, "a.txt"), (Source::Tracker, id(three)));
}

#[test]
fn a_liar_is_dropped_and_named_and_the_fetch_goes_on() {
    let mut village = Village::new();
    let one = village.peer(ONE, &[CLIENT]);
    let two = village.peer(TWO, &[("a.txt", "a"), ("b.txt", "b")]);
    let three = village.peer(THREE, &[("a.txt", "a"), ("b.txt", "b")]);
    village.run(SECOND);
    village.host(two).manner = Manner::Lying;
    assert_eq!(village.get(one, "a.txt").1, id(three));
    let named = village
        .host(one)
        .notices
        .iter()
        .any(|notice| matches!(notice, Notice::Liar(holder) if holder.id == id(two)));
    assert!(named);
    assert_eq!(village.neighbours(one), [id(three)]);
    let gets = village.received(two, "Get");
    assert_eq!(village.get(one, "b.txt").1, id(three));
    assert_eq!(
        village.received(two, "Get"),
        gets,
        "it is not asked again while others have it"
    );
}

#[test]
fn where_only_a_liar_has_it_the_failure_says_so() {
    let mut village = Village::new();
    let one = village.peer(ONE, &[CLIENT]);
    let two = village.peer(TWO, &[("a.txt", "a")]);
    village.run(SECOND);
    village.host(two).manner = Manner::Lying;
    let liar = village.holder(two);
    let got = village.get_all(one, request(&["a.txt"]));
    assert_eq!(*got.missed(), Missed::Mismatch(liar));
}

#[test]
fn a_holder_that_never_answers_is_passed_over() {
    let mut village = Village::new();
    let one = village.peer(ONE, &[CLIENT]);
    let two = village.peer(TWO, &[("a.txt", "a")]);
    let three = village.peer(THREE, &[("a.txt", "a")]);
    village.run(SECOND);
    village.host(two).manner = Manner::Mute;
    let before = village.now;
    assert_eq!(village.get(one, "a.txt").1, id(three));
    assert!(
        village.now - before < SECOND * 15,
        "{:?}",
        village.now - before
    );
}

#[test]
fn where_the_only_holder_never_answers_the_fetch_ends() {
    let mut village = Village::new();
    let one = village.peer(ONE, &[CLIENT]);
    let two = village.peer(TWO, &[("a.txt", "a")]);
    village.run(SECOND);
    village.host(two).manner = Manner::Mute;
    let holder = village.holder(two);
    let got = village.get_all(one, request(&["a.txt"]));
    assert_eq!(*got.missed(), Missed::Silent(holder));
}

#[test]
fn holders_that_came_up_later_are_found_by_asking_the_tracker_again() {
    let mut village = Village::new();
    let one = village.peer(ONE, &[CLIENT]);
    let two = village.peer(TWO, &[("a.txt", "a")]);
    village.run(SECOND);
    // The holder is known, and the file's place is still being looked at.
    village.host(one).slow_disk = true;
    let elsewhere = Request {
        elsewhere: true,
        ..request(&["a.txt"])
    };
    let get = village.want(one, elsewhere);
    village.run(SECOND);
    assert_eq!(village.host(one).looks.len(), 1);
    let three = village.peer(THREE, &[("elsewhere/b.txt", "a")]);
    village.run(SECOND);
    village.kill(two);
    village.host(one).slow_disk = false;
    village.disk_is_done(one);
    let end = village.end_of(one, get);
    assert!(matches!(end, Ending::Done { files: 1, .. }), "{end:?}");
    assert_eq!(village.received(three, "Get"), 1);
}

#[test]
fn who_has_a_file_in_pieces_is_told_from_listings_and_by_the_tracker_and_the_best_is_met() {
    let big = "x".repeat(300_000);
    let mut village = Village::new();
    let one = village.peer(ONE, &[]);
    let two = village.peer(TWO, &[("small", "s")]);
    let three = village.peer(THREE, &[("big", &big)]);
    village.run(SECOND);
    village.get(one, "small");
    village.run(2 * SECOND);
    let get = village.want(one, request(&["big"]));
    village.run(SECOND);
    let (fetch, _) = village.host(one).begun[0];
    village.large(one, fetch, LargeEvent::Begun { there: 0 });
    assert_eq!(village.named(one, get), [id(three)], "by the tracker");
    let four = village.peer(FOUR, &[("another", &big)]);
    village.run(SECOND);
    village.large(one, fetch, LargeEvent::WantsHolders);
    village.run(SECOND);
    let named = village.named(one, get);
    assert!(named.contains(&id(four)), "by the tracker, asked again");
    // A neighbour gets the file, too, and the peer need not ask for it.
    village.share(two, &[("copy", &big)]);
    village.run(SECOND);
    assert_eq!(village.named(one, get)[named.len()..], [id(two)]);
    assert_eq!(village.neighbours(one), [id(two)]);
    let sources = vec![id(three).into(), id(two).into()];
    village.large(one, fetch, LargeEvent::Complete { sources });
    village.run(SECOND);
    let mut both = [id(two), id(three)];
    both.sort();
    assert_eq!(village.neighbours(one), both);
}

#[test]
fn three_thousand_files_come_from_all_their_holders_without_ado() {
    let texts: Vec<(String, String)> = (0..3000)
        .map(|i| (format!("dir/{i:04}.txt"), format!("text {i}")))
        .collect();
    let files: Vec<(&str, &str)> = texts.iter().map(|(n, t)| (&**n, &**t)).collect();
    let mut village = Village::new();
    let one = village.peer(ONE, &[]);
    let holders = [village.peer(TWO, &files), village.peer(THREE, &files)];
    village.run(SECOND);
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    let got = village.get_all(one, request(&names));
    assert_eq!(got.fetched().len(), 3000);
    let served = holders.map(|holder| village.received(holder, "Get"));
    assert_eq!(served[0] + served[1], 3000, "each is asked for once");
    assert!(served.iter().all(|gets| *gets > 1000), "{served:?}");
    village.run(SECOND);
    assert_eq!(
        village
            .tracker()
            .catalogue()
            .listing(id(one))
            .expect("listed")
            .len(),
        3000
    );
}

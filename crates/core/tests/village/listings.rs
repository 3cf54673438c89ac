//! Listings: what updates cost, what is too long, what is removed.

use thorp_core::get::Missed;
use thorp_core::lookup::{Only, Source};
use thorp_core::matching::Pattern;
use thorp_core::peer::{Input, Notice, Wish};
use thorp_core::survey::Coverage;

use super::{CLIENT, FOUR, ONE, SECOND, THREE, TWO, story};
use crate::support::{
    NEIGHBOUR_INTERVAL, TRACKER, TRACKER_INTERVAL, Village, entry, id, name_of, request,
    request_from,
};

#[test]
fn ten_thousand_idle_files_cost_one_message_an_interval_and_as_many_more_one_delta() {
    let text = |range: std::ops::Range<u32>| -> Vec<_> {
        range
            .map(|i| entry(&format!("{}/{i}", i % 100), "same"))
            .collect()
    };
    let mut village = Village::new();
    let one = village.peer(ONE, &[]);
    village.give(
        one,
        Input::ShareChanged {
            added: text(0..10_000),
            removed: Vec::new(),
        },
    );
    village.run(SECOND * 2);
    assert_eq!(village.tracker().catalogue().entries(), 10_000);
    let before = village.received(TRACKER, "Update");
    village.run(TRACKER_INTERVAL * 10);
    assert_eq!(village.received(TRACKER, "Update") - before, 10);

    let position = |village: &Village| {
        village
            .tracker()
            .catalogue()
            .position(id(one))
            .expect("listed")
    };
    let (seq, frames) = (position(&village).seq, village.received(TRACKER, "Update"));
    village.give(
        one,
        Input::ShareChanged {
            added: text(10_000..20_000),
            removed: Vec::new(),
        },
    );
    village.run(SECOND);
    assert_eq!(village.tracker().catalogue().entries(), 20_000);
    assert_eq!(position(&village).seq, seq + 1);
    // Some 800 kB: neither the whole listing again nor one frame for each file.
    assert!(village.received(TRACKER, "Update") - frames <= 10);
}

#[test]
fn a_listing_over_the_bounds_is_said_to_both_sides_and_its_peer_is_asked_instead() {
    let mut village = Village::new();
    let with = |config: &mut thorp_core::peer::Config| config.hops = 0;
    let one = village.peer_with(ONE, &[CLIENT], with);
    let two = village.peer_with(TWO, &[("a.txt", "a"), ("b.txt", "b")], with);
    village.run(SECOND);
    village.get(one, "a.txt");
    let many = (0..100_001).map(|i| entry(&format!("many/{i}"), "same"));
    village.give(
        two,
        Input::ShareChanged {
            added: many.collect(),
            removed: Vec::new(),
        },
    );
    village.run(SECOND * 2);
    let said = |village: &mut Village, node, other| {
        let notices = &village.host(node).notices;
        notices
            .iter()
            .filter_map(|notice| match notice {
                Notice::Unlisted(holder) if holder.id == id(other) => Some("mine"),
                Notice::ListingTooLarge(holder) if holder.id == id(other) => Some("theirs"),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(said(&mut village, one, two), ["theirs"]);
    assert_eq!(said(&mut village, two, one), ["mine"]);
    assert_eq!(
        village.neighbours(one),
        [id(two)],
        "it is a neighbour all the same"
    );
    assert!(village.host(one).catalogue().listing(id(two)).is_none());
    let finds = village.counts().finds;
    assert_eq!(
        village.get(one, "b.txt"),
        (Source::Neighbour(id(two)), id(two))
    );
    assert_eq!(village.counts().finds, finds);
    let updates = village.received(one, "Update");
    village.run(NEIGHBOUR_INTERVAL * 4);
    assert!(
        village.received(one, "Update") - updates <= 4,
        "only signs of life"
    );
    assert_eq!(village.neighbours(one), [id(two)]);
}

#[test]
fn a_removed_file_is_gone_from_every_memory_within_a_second() {
    let mut village = Village::new();
    let [one, two, three] = story(&mut village, 1);
    let removed = vec![name_of("5.txt")];
    village.give(
        three,
        Input::ShareChanged {
            added: Vec::new(),
            removed,
        },
    );
    village.run(SECOND);
    for node in [one, two] {
        let listing = village
            .host(node)
            .catalogue()
            .listing(id(three))
            .expect("a neighbour");
        assert!(listing.entry(&name_of("5.txt")).is_none());
    }
    assert!(
        village
            .files_table()
            .contains(&("5.txt".into(), "192.168.198.138".into()))
    );
}

#[test]
fn a_file_of_a_member_for_whose_listing_the_tracker_has_no_room_is_found() {
    let mut village = Village::new();
    village.tracker_room = 4096;
    village.start_tracker();
    let one = village.peer(ONE, &[CLIENT]);
    let two = village.peer(TWO, &[("deep/a.txt", "a"), ("b.txt", "b")]);
    let many = (0..100).map(|i| entry(&format!("many/{i}"), "same"));
    village.give(
        two,
        Input::ShareChanged {
            added: many.collect(),
            removed: Vec::new(),
        },
    );
    village.run(SECOND * 2);
    assert!(village.tracker().catalogue().listing(id(two)).is_none());
    assert_eq!(village.neighbours(one), []);

    let before = village.now;
    assert_eq!(village.get(one, "a.txt"), (Source::Tracker, id(two)));
    assert_eq!(village.dials_of(one, two, before).len(), 1);
    let three = village.peer(THREE, &[]);
    village.run(SECOND);
    let got = village.get_all(three, request(&["*.txt"]));
    let fetched = got
        .fetched()
        .into_iter()
        .map(|file| file.item.listed.to_string());
    let mut fetched: Vec<String> = fetched.collect();
    fetched.sort();
    assert_eq!(fetched, ["b.txt", "deep/a.txt"].map(str::to_owned)[..]);

    // What no member has is told as that as long as all of them answer.
    let four = village.peer(FOUR, &[("b.txt", "another b")]);
    village.run(SECOND);
    // It is asked itself where it is named and the tracker knows only other holders.
    village.run(SECOND * 60);
    let from_two = request_from(&["b.txt"], "peer-2");
    let six = village.peer([192, 168, 198, 142], &[]);
    village.run(SECOND);
    let got = village.get_all(six, from_two);
    assert_eq!(got.fetched()[0].sources, [id(two)]);
    let got = village.get_all(six, request_from(&["c.txt"], "peer-2"));
    assert!(
        matches!(got.missed(), Missed::NobodyShares(_)),
        "{:?}",
        got.end
    );
    let got = village.get_all(four, request(&["c.txt"]));
    assert_eq!(*got.missed(), Missed::NobodyShares(Only::default()));
    village.cut_off(two, true);
    let five = village.peer([192, 168, 198, 141], &[]);
    village.run(SECOND);
    let got = village.get_all(five, request(&["many/7"]));
    assert_eq!(*got.missed(), Missed::NotAllAsked);
}

#[test]
fn a_tracker_that_was_restarted_tells_no_miss_for_certain_until_its_members_are_back() {
    let mut village = Village::new();
    let one = village.peer(ONE, &[CLIENT]);
    let two = village.peer(TWO, &[("b.txt", "b")]);
    let three = village.peer(THREE, &[]);
    village.run(SECOND);
    village.kill(TRACKER);
    village.kill(three);
    village.start_tracker();
    let now = village.now;
    let was_there = [one, two, three].map(id).into_iter().collect();
    village.tracker_mut().expect(now, was_there);
    let asker = village.peer(FOUR, &[]);
    village.run(SECOND / 2);
    let all = || Wish::Files(Pattern::new("**").expect("a pattern"));
    let found = village.survey(asker, all());
    assert_eq!(found.coverage, Coverage::TrackerInPart, "none is back");
    let got = village.get_all(asker, request(&["nowhere.txt"]));
    assert_eq!(*got.missed(), Missed::NotAllAsked);
    // Two are back, and the third is waited for as long as if it had fallen silent.
    village.run(TRACKER_INTERVAL * 2);
    let found = village.survey(asker, all());
    assert_eq!(
        (found.files.len(), found.coverage),
        (2, Coverage::TrackerInPart)
    );
    village.run(TRACKER_INTERVAL * 3);
    assert_eq!(village.survey(asker, all()).coverage, Coverage::Whole);
    let got = village.get_all(asker, request(&["nowhere.txt"]));
    assert_eq!(*got.missed(), Missed::NobodyShares(Only::default()));
}

#[test]
fn a_tracker_whose_network_was_gone_tells_no_miss_for_certain_until_its_members_are_back() {
    let mut village = Village::new();
    let asker = village.peer(ONE, &[]);
    let two = village.peer(TWO, &[("b.txt", "b")]);
    let left = village.peer(THREE, &[]);
    village.run(SECOND);
    village.stop(left);
    village.cut_off(TRACKER, true);
    village.run(TRACKER_INTERVAL * 6);
    assert_eq!(village.tracker().present().count(), 0);
    village.kill(two);
    village.cut_off(TRACKER, false);
    village.until(TRACKER_INTERVAL * 12, |village| {
        village.tracker().present().count() > 0
    });
    village.run(SECOND / 2);
    let got = village.get_all(asker, request(&["nowhere.txt"]));
    assert_eq!(*got.missed(), Missed::NotAllAsked, "two may be back soon");
    village.run(TRACKER_INTERVAL * 4);
    let got = village.get_all(asker, request(&["nowhere.txt"]));
    assert_eq!(*got.missed(), Missed::NobodyShares(Only::default()));
}

#[test]
fn while_a_member_looks_through_its_share_no_file_is_said_to_be_nobodys() {
    let mut village = Village::new();
    let one = village.peer(ONE, &[]);
    let asker = village.peer(TWO, &[]);
    village.run(SECOND);
    village.give(one, Input::LookBegun);
    let got = village.get_all(asker, request(&["late.txt"]));
    let nobody = Missed::NobodyShares(Only::default());
    assert_eq!(*got.missed(), nobody, "most looks are short");
    village.run(SECOND * 2);
    let got = village.get_all(asker, request(&["late.txt"]));
    assert_eq!(*got.missed(), Missed::NotAllAsked);
    let got = village.get_all(one, request(&["nowhere.txt"]));
    assert_eq!(*got.missed(), nobody, "it knows of itself");
    // It goes on to say so with its signs of life.
    village.run(TRACKER_INTERVAL * 5);
    let got = village.get_all(asker, request(&["late.txt"]));
    assert_eq!(*got.missed(), Missed::NotAllAsked);
    village.share(one, &[("late.txt", "late")]);
    village.give(one, Input::LookOver);
    village.run(SECOND);
    assert_eq!(village.get(asker, "late.txt").1, id(one));
    let got = village.get_all(asker, request(&["nowhere.txt"]));
    assert_eq!(*got.missed(), nobody);
    // One that goes in its first look is not waited for.
    village.give(one, Input::LookBegun);
    village.run(SECOND * 2);
    let got = village.get_all(asker, request(&["nowhere.txt"]));
    assert_eq!(*got.missed(), Missed::NotAllAsked);
    village.kill(one);
    village.run(SECOND);
    let got = village.get_all(asker, request(&["nowhere.txt"]));
    assert_eq!(*got.missed(), nobody);
}

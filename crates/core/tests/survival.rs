//! A village continues without its tracker, and after restarts, silence, sleep and moves. Whole
//! peers and a whole tracker, in virtual time.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use support::{NEIGHBOUR_INTERVAL, Node, TRACKER, TRACKER_INTERVAL, Village, id, request};
use thorp_core::get::Missed;
use thorp_core::lookup::{Source, TrackerState};
use thorp_wire::PeerId;

const ONE: [u8; 4] = [192, 168, 198, 138];
const TWO: [u8; 4] = [192, 168, 198, 139];
const THREE: [u8; 4] = [192, 168, 198, 137];
const ELSEWHERE: [u8; 4] = [10, 0, 0, 7];

const SECOND: Duration = Duration::from_secs(1);
const FILES: [[(&str, &str); 2]; 3] = [
    [("1.txt", "one"), ("first.txt", "first")],
    [("2.txt", "two"), ("second.txt", "second")],
    [("3.txt", "three"), ("third.txt", "third")],
];

/// Creates three peers that are all neighbours of one another, and their tracker.
fn three_neighbours(village: &mut Village) -> [Node; 3] {
    let one = village.peer(ONE, &FILES[0]);
    let two = village.peer(TWO, &FILES[1]);
    let three = village.peer(THREE, &FILES[2]);
    village.run(SECOND);
    village.get(one, "2.txt");
    village.get(two, "3.txt");
    village.get(three, "1.txt");
    village.run(SECOND * 10);
    for node in [one, two, three] {
        assert_eq!(village.neighbours(node).len(), 2);
    }
    [one, two, three]
}

fn have_each_other(village: &mut Village, nodes: [Node; 3]) -> bool {
    nodes
        .iter()
        .all(|node| village.neighbours(*node).len() == 2)
}

#[test]
fn with_the_tracker_dead_every_file_of_a_neighbour_is_found_and_fetched() {
    let mut village = Village::new();
    let [one, two, three] = three_neighbours(&mut village);
    village.kill(TRACKER);
    village.run(SECOND * 20);
    for (node, name, holder) in [
        (one, "second.txt", two),
        (two, "third.txt", three),
        (three, "first.txt", one),
    ] {
        assert_eq!(village.host(node).peer.tracker(), TrackerState::Down);
        assert_eq!(village.get(node, name), (Source::Memory, id(holder)));
    }
}

#[test]
fn all_three_restarted_with_the_tracker_dead_find_each_other_and_all_they_have() {
    for goodbye in [true, false] {
        let mut village = Village::new();
        let nodes @ [one, two, three] = three_neighbours(&mut village);
        village.kill(TRACKER);
        village.run(SECOND * 20);
        for node in nodes {
            if goodbye {
                village.stop(node);
            } else {
                village.kill(node);
            }
        }
        village.run(SECOND * 5);
        for (node, files) in nodes.iter().zip(&FILES) {
            village.start(*node, files);
            // Before the other peers have started.
            village.run(SECOND);
        }
        village.until(SECOND, |village| have_each_other(village, nodes));
        for (node, name, holder) in [
            (one, "second.txt", two),
            (two, "third.txt", three),
            (three, "first.txt", one),
        ] {
            let asked = village.now;
            let got = village.get_all(node, request(&[name]));
            let fetched = &got.fetched()[0];
            assert!(!fetched.answer.tracker_asked, "{fetched:?}");
            assert_eq!(fetched.sources, [id(holder)]);
            assert!(village.now - asked < SECOND, "it waits for no tracker");
        }

        village.start_tracker();
        village.run(TRACKER_INTERVAL + SECOND);
        assert_eq!(village.peers_table().len(), 3);
        assert_eq!(village.files_table().len(), 6);
    }
}

#[test]
fn whoever_asks_right_after_the_start_waits_for_the_neighbours_that_are_being_dialled() {
    let mut village = Village::new();
    let [one, two, three] = three_neighbours(&mut village);
    village.kill(TRACKER);
    village.run(SECOND * 20);
    village.stop(one);
    village.run(SECOND);
    village.start(one, &FILES[0]);
    let got = village.get_all(one, request(&["second.txt", "third.txt"]));
    let sources: BTreeMap<String, _> = got
        .fetched()
        .into_iter()
        .map(|file| (file.item.listed.to_string(), file.sources))
        .collect();
    let expected = [("second.txt", two), ("third.txt", three)];
    let expected = expected.map(|(name, holder)| (name.to_owned(), vec![id(holder)]));
    assert_eq!(sources, BTreeMap::from(expected));

    // No neighbour is waited for without end.
    village.stop(one);
    village.cut_off(two, true);
    village.cut_off(three, true);
    village.start(one, &FILES[0]);
    let start = village.now;
    let got = village.get_all(one, request(&["second.txt"]));
    let why = Missed::TrackerUnreachable { listing: false };
    assert_eq!(*got.missed(), why);
    assert!(
        village.now - start <= SECOND * 5,
        "{:?}",
        village.now - start
    );
}

#[test]
fn two_that_remember_each_other_dial_at_once_and_end_with_one_link() {
    let mut village = Village::new();
    let nodes @ [one, two, three] = three_neighbours(&mut village);
    village.kill(TRACKER);
    for node in nodes {
        village.kill(node);
    }
    village.run(SECOND);
    let start = village.now;
    village.start_together(&nodes);
    for (a, b) in [(one, two), (two, three), (three, one)] {
        assert_eq!(village.links_between(a, b), 2);
    }
    village.run(NEIGHBOUR_INTERVAL * 2);
    for (a, b) in [(one, two), (two, three), (three, one)] {
        assert_eq!(village.dials_of(a, b, start), [Duration::ZERO]);
        assert_eq!(village.dials_of(b, a, start), [Duration::ZERO]);
        assert_eq!(village.links_between(a, b), 1);
    }
    assert!(have_each_other(&mut village, nodes));
}

#[test]
fn neighbours_are_dialled_before_the_tracker() {
    let mut village = Village::new();
    let [one, two, three] = three_neighbours(&mut village);
    village.stop(one);
    village.run(SECOND);
    let start = village.now;
    village.start(one, &FILES[0]);
    assert_eq!(
        village.dialled_since(one, start),
        [Some(id(two)), Some(id(three)), None]
    );
}

#[test]
fn whoever_was_lost_in_silence_is_dialled_again_and_is_back_when_it_can_be() {
    let mut village = Village::new();
    let nodes @ [one, two, _] = three_neighbours(&mut village);
    village.cut_off(two, true);
    let cut = village.now;
    village.until(NEIGHBOUR_INTERVAL * 4, |village| {
        village.neighbours(one).len() == 1 && village.neighbours(two).is_empty()
    });
    assert!(village.now - cut >= NEIGHBOUR_INTERVAL * 2, "by silence");
    let lost = village.now;
    village.run(Duration::from_mins(30));
    let dials = village.dials_of(one, two, cut);
    let gaps: Vec<u64> = dials
        .windows(2)
        .map(|pair| pair[1].as_secs() - pair[0].as_secs())
        .collect();
    // Three seconds of each are the attempt itself.
    assert_eq!(gaps, [18, 33, 63, 123, 243, 483, 603]);
    village.cut_off(two, false);
    // Once the tracker is back, the peer tries its neighbours again.
    let back = village.until(TRACKER_INTERVAL + SECOND * 3, |village| {
        have_each_other(village, nodes)
    });
    assert!(village.now - lost > back);
}

#[test]
fn without_a_tracker_the_first_neighbour_that_is_back_brings_the_others() {
    let mut village = Village::new();
    let nodes @ [one, two, three] = three_neighbours(&mut village);
    village.kill(TRACKER);
    for node in nodes {
        village.cut_off(node, true);
    }
    village.run(Duration::from_hours(3));
    for node in nodes {
        assert!(village.neighbours(node).is_empty());
        village.cut_off(node, false);
    }
    village.until(Duration::from_mins(10), |village| {
        !village.neighbours(one).is_empty()
            || !village.neighbours(two).is_empty()
            || !village.neighbours(three).is_empty()
    });
    village.run(SECOND * 2);
    assert!(have_each_other(&mut village, nodes));
}

#[test]
fn whoever_says_goodbye_is_not_called_after_and_comes_back_when_it_starts() {
    let mut village = Village::new();
    let [one, two, three] = three_neighbours(&mut village);
    let start = village.now;
    village.stop(two);
    village.run(Duration::from_hours(1));
    assert_eq!(village.dials_of(one, two, start), []);
    assert_eq!(village.neighbours(one), [id(three)]);
    village.kill(TRACKER);
    village.start(two, &FILES[1]);
    village.run(SECOND);
    assert_eq!(village.neighbours(two), [id(one), id(three)]);
    assert_eq!(village.dials_of(one, two, start), []);
}

#[test]
fn what_is_remembered_is_who_was_a_neighbour_and_is_written_at_changes_and_at_the_end() {
    let mut village = Village::new();
    let one = village.peer(ONE, &FILES[0]);
    let two = village.peer(TWO, &FILES[1]);
    village.run(SECOND);
    village.get(one, "2.txt");
    assert_eq!(village.written_down(one), [], "changes are gathered");
    village.run(SECOND * 6);
    assert_eq!(village.written_down(one), [id(two)]);
    let three = village.peer(THREE, &FILES[2]);
    village.run(SECOND);
    village.get(one, "3.txt");
    village.stop(one);
    assert_eq!(village.written_down(one), [id(two), id(three)]);
}

#[test]
fn whoever_declines_to_be_a_neighbour_is_forgotten() {
    let mut village = Village::new();
    let one = village.peer_with(ONE, &FILES[0], |config| config.max_neighbours = 1);
    let two = village.peer(TWO, &FILES[1]);
    village.run(SECOND);
    village.get(one, "2.txt");
    village.stop(two);
    let three = village.peer(THREE, &FILES[2]);
    village.run(SECOND);
    village.get(one, "3.txt");
    assert_eq!(village.neighbours(one), [id(three)]);
    let start = village.now;
    village.start(two, &FILES[1]);
    village.run(Duration::from_hours(1));
    assert_eq!(village.neighbours(two), []);
    assert_eq!(village.written_down(two), []);
    assert_eq!(village.dials_of(two, one, start).len(), 1);
}

#[test]
fn a_peer_that_moves_is_found_at_its_new_address() {
    let mut village = Village::new();
    let nodes @ [one, two, three] = three_neighbours(&mut village);
    village.move_to(two, ELSEWHERE);
    // The other peers still consider their old links alive.
    village.until(SECOND * 2, |village| {
        let table = village.peers_table();
        table.iter().any(|(address, ..)| address == "10.0.0.7")
            && table.len() == 3
            && have_each_other(village, nodes)
    });
    village.run(SECOND * 10);
    for node in [one, three] {
        assert_eq!(village.links_between(node, two), 1);
    }
    let four = village.peer([192, 168, 198, 140], &[]);
    village.run(SECOND);
    assert_eq!(village.get(four, "second.txt"), (Source::Tracker, id(two)));
    assert_eq!(village.get(one, "second.txt").1, id(two));
}

#[test]
fn a_peer_that_moves_right_after_it_was_met_is_met_again() {
    // Whichever of the two dialled, the other one may mistake the new link for one that crosses
    // its own.
    for (caller, called) in [(0, 1), (1, 0)] {
        for mover in [0, 1] {
            let mut village = Village::new();
            let nodes = [village.peer(ONE, &FILES[0]), village.peer(TWO, &FILES[1])];
            village.run(SECOND);
            village.get(nodes[caller], FILES[called][0].0);
            village.move_to(nodes[mover], ELSEWHERE);
            village.run(NEIGHBOUR_INTERVAL + SECOND * 2);
            let [one, two] = nodes;
            assert_eq!(village.links_between(one, two), 1);
            assert_eq!(village.neighbours(one), [id(two)]);
            assert_eq!(village.neighbours(two), [id(one)]);
        }
    }
}

#[test]
fn other_addresses_of_a_peer_are_known_at_once_on_the_links_there_are() {
    let mut village = Village::new();
    let [one, two, _] = three_neighbours(&mut village);
    let links = village.links_of(two);
    village.claim(two, ELSEWHERE);
    village.run(SECOND);
    assert_eq!(village.links_of(two), links);
    let addresses = |peer: PeerId, holders: Vec<thorp_wire::frame::Holder>| {
        let holder = holders.into_iter().find(|holder| holder.id == peer);
        holder.expect("is there").addresses
    };
    let both = ["192.168.198.139:3334", "10.0.0.7:3334"].map(|a| a.parse().expect("an address"));
    let neighbours = village.host(one).peer.neighbours();
    let neighbours = neighbours.map(|row| row.member).collect();
    assert_eq!(addresses(id(two), neighbours), both);
    let tracker = village
        .tracker()
        .present()
        .listed()
        .map(thorp_core::presence::Presence::holder);
    assert_eq!(addresses(id(two), tracker.collect()), both);
}

#[test]
fn a_village_that_slept_wakes_up_as_it_was() {
    let mut village = Village::new();
    let nodes = three_neighbours(&mut village);
    let tables = (village.peers_table(), village.files_table());
    let links = village.links_of(TRACKER);
    village.sleep(Duration::from_hours(8));
    let awake = village.now;
    village.run(SECOND * 120);
    assert!(have_each_other(&mut village, nodes));
    assert_eq!((village.peers_table(), village.files_table()), tables);
    assert_eq!(village.links_of(TRACKER), links);
    for node in nodes {
        assert_eq!(village.dialled_since(node, awake), []);
    }
}

#[test]
fn whoever_slept_alone_is_back_within_an_interval_of_waking() {
    let mut village = Village::new();
    let nodes @ [_, two, _] = three_neighbours(&mut village);
    // Its clock stops meanwhile, and its connections are reset when it sends.
    village.cut_off(two, true);
    village.run(Duration::from_hours(1));
    village.cut_off(two, false);
    village.until(TRACKER_INTERVAL + SECOND * 3, |village| {
        have_each_other(village, nodes) && village.peers_table().len() == 3
    });
}

#[test]
fn a_tracker_that_comes_and_goes_is_not_run_after() {
    let mut village = Village::new();
    let one = village.peer(ONE, &FILES[0]);
    village.run(SECOND);
    let start = village.now;
    for _ in 0..10 {
        village.kill(TRACKER);
        village.start_tracker();
        // Until the broken link is noticed.
        village.run(Duration::from_millis(10));
        village.until(TRACKER_INTERVAL * 2, |village| {
            matches!(village.host(one).peer.tracker(), TrackerState::Up(_))
        });
    }
    assert!(village.now - start >= TRACKER_INTERVAL * 9);
}

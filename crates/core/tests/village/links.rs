//! Links: crossing, lost, or replaced; nodes that restart, leave, or cannot be reached.

use std::collections::BTreeSet;
use std::time::Duration;

use thorp_core::get::Ending;
use thorp_core::links::{self, LinkId};
use thorp_core::lookup::{Source, TrackerState};
use thorp_core::peer::{Notice, Wish};

use super::{CLIENT, ONE, SECOND, THREE, TWO, friends, story};
use crate::support::{TRACKER, TRACKER_INTERVAL, Village, id, name_of, request};

#[test]
fn two_peers_that_dial_each_other_at_once_keep_one_link_and_lose_no_question() {
    let mut village = Village::new();
    let one = village.peer(ONE, &[("1.txt", "one"), CLIENT]);
    let two = village.peer(TWO, &[("2.txt", "two"), CLIENT]);
    village.run(SECOND);
    let from_two = village.want(one, request(&["2.txt"]));
    let from_one = village.want(two, request(&["1.txt"]));
    for (node, get, holder) in [(one, from_two, two), (two, from_one, one)] {
        let got = village.outcome_of(node, get);
        let end = &got.end;
        assert!(matches!(end, Ending::Done { files: 1, .. }), "{end:?}");
        assert_eq!(got.fetched()[0].sources, [id(holder)]);
    }
    village.run(SECOND * 2);
    let rivals = village
        .host(one)
        .closed
        .iter()
        .filter(|reason| reason.contains("link"));
    assert!(rivals.count() > 0, "there were two links for a while");
    assert_eq!(village.links_between(one, two), 1);
    assert_eq!(village.neighbours(one), [id(two)]);
    assert_eq!(village.neighbours(two), [id(one)]);
    for (reader, writer) in [(one, two), (two, one)] {
        let shared = village.host(writer).shared();
        let catalogue = village.host(reader).catalogue();
        let copy = catalogue.listing(id(writer)).expect("it follows the file");
        assert!(copy.names().map(ToString::to_string).eq(shared));
    }
}

#[test]
fn a_link_that_is_lost_while_a_file_is_stored_makes_nobody_send_it_again() {
    let mut village = Village::new();
    let one = village.peer(ONE, &[CLIENT]);
    let two = village.peer(TWO, &[("2.txt", "two"), CLIENT]);
    let three = village.peer(THREE, &[("2.txt", "two"), CLIENT]);
    village.run(SECOND);
    village.host(one).slow_disk = true;
    let get = village.want(one, request(&["2.txt"]));
    assert_eq!(village.disk_is_done(one), 0, "its place is looked at");
    village.run(SECOND);
    village.break_links_of(one);
    // Longer than the peer waits for any holder.
    village.run(SECOND * 100);
    assert_eq!(village.disk_is_done(one), 1, "it is stored once");
    let end = village.end_of(one, get);
    assert!(matches!(end, Ending::Done { files: 1, .. }), "{end:?}");
    let sent = |node| village.frames.get(&(node, "Get")).copied().unwrap_or(0);
    assert_eq!(sent(two) + sent(three), 1);
}

#[test]
fn a_tracker_that_restarts_knows_everything_again_within_a_second_or_two() {
    let mut village = Village::new();
    let [one, ..] = story(&mut village, 1);
    let (peers, files) = (village.peers_table(), village.files_table());
    village.kill(TRACKER);
    village.run(SECOND * 20);
    assert_eq!(village.host(one).peer.tracker(), TrackerState::Down);
    assert_eq!(
        village.neighbours(one).len(),
        2,
        "neighbours go on without it"
    );
    village.start_tracker();
    village.run(TRACKER_INTERVAL + SECOND);
    assert_eq!(
        (village.peers_table(), village.files_table()),
        (peers, files)
    );
}

#[test]
fn a_peer_that_reboots_begins_anew_even_where_its_old_link_still_seems_to_live() {
    let mut village = Village::new();
    let one = village.peer(ONE, &[("1.txt", "one")]);
    let two = village.peer(TWO, &[("2.txt", "two"), ("old.txt", "old")]);
    village.run(SECOND);
    village.get(one, "2.txt");
    assert_eq!(village.neighbours(one), [id(two)]);
    village.reboot(two, &[("2.txt", "two"), ("new.txt", "new")]);
    village.run(SECOND);
    let (address, names, near) = village.peers_table().remove(1);
    assert_eq!(
        (&*address, &*names, &*near),
        ("192.168.198.139", "2.txt new.txt", "")
    );
    // Its neighbour learns of the file with the first new link between them.
    assert_eq!(village.get(two, "1.txt").1, id(one));
    let listing = village.host(one).catalogue().listing(id(two));
    let names: Vec<_> = listing.expect("neighbours again").names().collect();
    assert_eq!(names, ["1.txt", "2.txt", "new.txt"].map(name_of).each_ref());
}

#[test]
fn a_peer_that_goes_is_gone_for_tracker_and_neighbours_when_its_links_close() {
    let mut village = Village::new();
    let one = village.peer(ONE, &[("1.txt", "one")]);
    let two = village.peer(TWO, &[("2.txt", "two")]);
    village.run(SECOND);
    village.get(one, "2.txt");
    village.kill(two);
    village.run(SECOND);
    assert_eq!(village.peers_table().len(), 1);
    assert_eq!(village.neighbours(one), []);
}

#[test]
fn a_full_neighbour_table_lets_the_worst_go_for_a_newcomer() {
    let mut village = Village::new();
    let small = |config: &mut thorp_core::peer::Config| config.max_neighbours = 3;
    let one = village.peer_with(ONE, &[CLIENT], small);
    let others: Vec<usize> = (0..6)
        .map(|i| {
            let name = format!("{i}.txt");
            village.peer([10, 0, 0, i], &[(&name, &name)])
        })
        .collect();
    village.run(SECOND);
    for i in 0..4 {
        village.get(one, &format!("{i}.txt"));
    }
    assert_eq!(village.neighbours(one).len(), 3, "equally useful ones stay");
    assert!(!village.neighbours(one).contains(&id(others[3])));
    village.run(Duration::from_hours(1));
    village.get(one, "4.txt");
    let now = village.neighbours(one);
    assert_eq!(now.len(), 3);
    assert!(now.contains(&id(others[4])), "{now:?}");
    for other in others {
        let mutual = village.neighbours(other).contains(&id(one));
        assert_eq!(mutual, now.contains(&id(other)), "both ends agree");
    }
}

#[test]
fn a_peer_with_few_neighbours_makes_one_of_a_member_that_a_neighbour_names() {
    for meets in [false, true] {
        let mut village = Village::new();
        let hears = |config: &mut thorp_core::peer::Config| {
            config.hearing.every = Duration::from_mins(1);
            config.hearing.meets = meets;
        };
        let one = village.peer_with(ONE, &[("1.txt", "one")], hears);
        let files = [("2.txt", "two"), ("3.txt", "three")];
        let two = village.peer_with(TWO, &files, hears);
        let three = village.peer_with(THREE, &[("4.txt", "four")], hears);
        village.run(SECOND);
        village.get(one, "2.txt");
        village.get(three, "3.txt");
        let met = |village: &mut Village| {
            let of = |village: &mut Village, node| village.neighbours(node).len();
            (of(village, one), of(village, two), of(village, three))
        };
        assert_eq!(met(&mut village), (1, 2, 1));
        village.run(Duration::from_mins(5));
        let all = if meets { (2, 2, 2) } else { (1, 2, 1) };
        assert_eq!(met(&mut village), all);
    }
}

#[test]
fn a_visitor_asks_and_fetches_and_is_seen_by_nobody() {
    let mut village = Village::new();
    let one = village.peer(ONE, &[("1.txt", "one")]);
    village.run(SECOND);
    let visitor = village.peer_with(TWO, &[], |config| config.me.visitor = true);
    assert_eq!(village.get(visitor, "1.txt"), (Source::Tracker, id(one)));
    assert_eq!(village.peers_table().len(), 1);
    assert_eq!(village.neighbours(one), []);
    village.run(TRACKER_INTERVAL * 5);
    assert!(
        matches!(village.host(visitor).peer.tracker(), TrackerState::Up(_)),
        "it stays connected"
    );
    let findings = village.survey(one, Wish::Members);
    assert_eq!(findings.members.len(), 1);
}

#[test]
fn a_tracker_that_cannot_be_reached_is_said_once_and_tried_for_ever() {
    let mut village = Village::new();
    village.kill(TRACKER);
    let one = village.peer(ONE, &[CLIENT]);
    village.run(SECOND * 60);
    let lost = |notice: &&Notice| matches!(notice, Notice::TrackerLost(_));
    assert_eq!(village.host(one).notices.iter().filter(lost).count(), 1);
    village.start_tracker();
    village.run(TRACKER_INTERVAL + SECOND);
    assert_eq!(village.peers_table().len(), 1);
}

#[test]
fn a_link_that_will_end_is_replaced_and_nobody_notices() {
    let mut village = Village::new();
    let [one, two, three] = friends(&mut village);
    for peer in [one, two, three] {
        village.host(peer).notices.clear();
        village.host(peer).closed.clear();
    }
    let before: BTreeSet<u64> = [one, two, three]
        .iter()
        .flat_map(|peer| village.links_of(*peer))
        .collect();
    for (node, link) in [one, two, three]
        .iter()
        .flat_map(|node| before.iter().map(move |link| (*node, LinkId(*link))))
    {
        village.give(node, links::Input::Expiring { link });
    }
    let everybody_is_there = |village: &mut Village| {
        village.peers_table().len() == 3
            && [one, two, three].iter().all(|peer| {
                village.neighbours(*peer).len() == 2
                    && matches!(village.host(*peer).peer.tracker(), TrackerState::Up(_))
            })
    };
    for _ in 0..200 {
        village.run(Duration::from_millis(1));
        assert!(everybody_is_there(&mut village));
    }
    for peer in [one, two, three] {
        let links = village.links_of(peer);
        assert_eq!(links.len(), 3, "one to each");
        assert!(links.iter().all(|link| !before.contains(link)));
        assert_eq!(village.host(peer).notices, []);
    }
    village.share(one, &[("5.txt", "five")]);
    village.run(SECOND);
    village.get(three, "5.txt");
}

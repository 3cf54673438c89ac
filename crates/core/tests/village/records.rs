//! Removed members: how the record that removes them spreads, and its effects.

use std::time::Duration;

use thorp_wire::Frame;
use thorp_wire::frame::Record;

use super::{SECOND, friends};
use crate::support::{GENUINE, TRACKER, TRACKER_INTERVAL, Village, record};

fn was_removed(village: &mut Village, peer: usize) -> bool {
    village.host(peer).removed
}

#[test]
fn a_removed_member_is_out_of_every_link_at_once_and_calls_nobody_any_more() {
    let mut village = Village::new();
    let [one, two, three] = friends(&mut village);
    village.remove(TRACKER, 1, &[three]);
    village.run(SECOND);
    assert!(was_removed(&mut village, three));
    assert_eq!(village.links_of(three), []);
    for peer in [one, two] {
        assert!(!was_removed(&mut village, peer));
        assert_eq!(village.neighbours(peer).len(), 1);
    }
    assert_eq!(village.peers_table().len(), 2);
    village.run(TRACKER_INTERVAL * 20);
    assert_eq!(village.links_of(three), []);
    let told = [one, two, three].map(|peer| village.received(peer, "Record"));
    assert!(
        told.iter().all(|records| (1..=3).contains(records)),
        "{told:?}"
    );
    assert_eq!(village.links_between(one, two), 1, "the others go on");
}

#[test]
fn members_tell_one_another_while_the_tracker_is_down() {
    let mut village = Village::new();
    let [one, two, three] = friends(&mut village);
    village.kill(TRACKER);
    village.run(SECOND);
    village.remove(one, 4, &[three]);
    village.run(SECOND);
    assert!(was_removed(&mut village, three));
    assert_eq!(village.links_of(three), []);
    assert_eq!(village.received(two, "Record"), 1);
    // A node that comes later gets the record from any member it meets; so does the tracker.
    village.start_tracker();
    let four = village.peer([192, 168, 198, 142], &[]);
    village.run(TRACKER_INTERVAL + SECOND);
    // Two peers that come back at the same time both send it.
    assert!((1..=2).contains(&village.received(TRACKER, "Record")));
    assert_eq!(village.received(four, "Record"), 1);
    let before = [one, two, four, TRACKER].map(|node| village.received(node, "Record"));
    village.run(TRACKER_INTERVAL * 20);
    let after = [one, two, four, TRACKER].map(|node| village.received(node, "Record"));
    assert_eq!(before, after, "each node is told once");
}

#[test]
fn older_records_change_nothing_and_forged_ones_end_the_link() {
    let mut village = Village::new();
    let [one, two, three] = friends(&mut village);
    village.remove(TRACKER, 5, &[]);
    village.run(SECOND);
    let tell = |number, signature| {
        let record = record(number, &[one], signature);
        Frame::plain(Record { record })
    };
    for number in [1, 5] {
        village.say(two, one, &tell(number, GENUINE));
        village.say(two, TRACKER, &tell(number, GENUINE));
    }
    village.run(SECOND);
    assert!(!was_removed(&mut village, one));
    assert_eq!(village.links_between(one, two), 1);
    for victim in [one, TRACKER] {
        village.say(three, victim, &tell(6, [8; 64]));
    }
    village.run(Duration::from_millis(100));
    assert_eq!(village.links_between(one, three), 0);
    assert!(!was_removed(&mut village, one));
    assert!(
        village
            .host(one)
            .closed
            .iter()
            .any(|why| why.contains("not signed"))
    );
    village.run(SECOND * 2);
    assert_eq!(village.links_between(TRACKER, three), 1, "it may come back");
}

#[test]
fn a_record_that_lets_somebody_in_again_is_answered_with_what_the_members_know() {
    let mut village = Village::new();
    let [one, two, three] = friends(&mut village);
    village.remove(one, 2, &[three]);
    village.run(SECOND);
    assert!(was_removed(&mut village, three));
    // A tracker that does not know of the removal announces a newer record.
    let count = |village: &Village| {
        village
            .frames
            .get(&(TRACKER, "Record"))
            .copied()
            .unwrap_or(0)
    };
    let before = count(&village);
    for number in 5..9 {
        let ignorant = Frame::plain(Record {
            record: record(number, &[], GENUINE),
        });
        village.say(TRACKER, two, &ignorant);
    }
    village.run(SECOND);
    assert_eq!(count(&village), before + 1, "it is told once");
    village.start(three, &[]);
    village.run(SECOND);
    assert_eq!(village.links_between(two, three), 0, "it stays removed");
    // Once the tracker has learnt of it, all agree.
    village.remove(TRACKER, 10, &[one, three]);
    village.run(SECOND);
    assert!(was_removed(&mut village, one));
    assert_eq!(village.links_between(one, two), 0);
}

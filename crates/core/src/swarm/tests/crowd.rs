//! Many peers that fetch the same file at once, and how long that takes.

use std::time::Duration;

use super::world::{Manner, World};

/// In bytes a second; 100 Mb/s.
const LINK: u64 = 12_500_000;
const MIB: u64 = 1024 * 1024;

/// Lets `fetchers` peers fetch a file from one holder. Returns how long the last one took, in
/// transfers of the file; how many copies the holder sent; and how many bytes were sent in vain.
fn crowd(length: u64, fetchers: usize, delay: Duration) -> (f64, f64, u64) {
    let mut world = World::new(length, delay);
    let holder = world.add(LINK, true, Manner::Honest);
    for _ in 0..fetchers {
        let node = world.add(LINK, false, Manner::Honest);
        world.tell_holders(node);
    }
    world.run(Duration::from_mins(10), |world| {
        world.nodes[1..].iter().all(|node| node.complete.is_some())
    });
    let last = world.nodes[1..]
        .iter()
        .map(|node| node.complete.expect("it is complete"));
    let one = length as f64 / LINK as f64;
    let time = last.max().unwrap() as f64 / 1e6 / one;
    let copies = world.nodes[holder].sent as f64 / length as f64;
    let wasted = world.nodes.iter().map(|node| node.wasted).sum();
    println!(
        "{fetchers} fetch {} MiB, {delay:?} apart: {time:.3} x one transfer, {copies:.3} copies sent, {} KiB in vain",
        length / MIB,
        wasted / 1024
    );
    (time, copies, wasted)
}

#[test]
fn a_peer_that_fetches_alone_keeps_the_link_full() {
    let (time, copies, wasted) = crowd(200 * MIB, 1, Duration::from_millis(1));
    assert!(time < 1.02);
    assert!(copies < 1.001);
    assert_eq!(wasted, 0);
}

#[test]
fn eight_peers_that_fetch_at_once_need_at_most_1_3_times_as_long_as_one() {
    let (time, copies, wasted) = crowd(200 * MIB, 8, Duration::from_millis(1));
    assert!(time < 1.3);
    assert!(copies < 1.5);
    assert!(wasted < 8 * 2 * MIB);
}

#[test]
fn the_same_seeds_lead_to_the_same_end_to_the_last_byte() {
    let run = || crowd(10 * MIB, 4, Duration::from_millis(3));
    assert_eq!(run(), run());
}

#[test]
fn sixteen_peers_that_fetch_at_once_are_done_nearly_as_soon() {
    let (time, copies, _) = crowd(100 * MIB, 16, Duration::from_millis(5));
    assert!(time < 1.3);
    assert!(copies < 1.5);
}

#[test]
fn peers_that_fetch_a_short_file_at_once_find_one_another_in_time() {
    for (length, fetchers) in [(20 * MIB, 8), (10 * MIB, 4)] {
        let (time, copies, _) = crowd(length, fetchers, Duration::from_millis(1));
        assert!(time < 1.4);
        assert!(copies < 1.5);
    }
}

//! How many messages it takes to fetch a large file: each costs both ends a turn of their tasks.

use std::time::Duration;

use super::world::{File, Manner, World};

const MIB: u64 = 1024 * 1024;

/// Fetches 64 MiB of a file with pieces of 1 MiB, from one holder. Returns the number of requests,
/// and of all messages of both.
fn fetched_at(rate: u64) -> (usize, usize) {
    let file = File::sparse(1024 * MIB, |piece| piece % 16 == 0);
    let mut world = World::of(file, Duration::from_micros(100));
    world.add(rate, true, Manner::Honest);
    let fetcher = world.add(rate, false, Manner::Honest);
    world.tell_holders(fetcher);
    world.run(Duration::from_mins(10), |world| {
        world.nodes[fetcher].complete.is_some()
    });
    assert_eq!(world.progress(fetcher).received, 64 * MIB);
    let said = world.nodes.iter().map(|node| node.said).sum();
    (world.nodes[fetcher].asked, said)
}

#[test]
fn a_large_file_over_a_fast_link_takes_a_request_a_mib_and_hardly_another_message() {
    let (asked, said) = fetched_at(1_000_000_000);
    // The window is small at first, and so are requests.
    assert!((64..100).contains(&asked), "{asked} requests");
    assert!(said < asked + 50, "{said} messages");
}

#[test]
fn over_a_slower_link_it_is_asked_for_in_parts_of_256_kib() {
    let (asked, said) = fetched_at(12_500_000);
    assert!((256..300).contains(&asked), "{asked} requests");
    assert!(said < asked + 50, "{said} messages");
}

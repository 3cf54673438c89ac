//! Readers of a file while it arrives.

use std::ops::Range;
use std::time::Duration;

use super::world::{Manner, World};
use crate::swarm::{Input, ReaderId};

/// In bytes a second; 100 Mb/s.
const LINK: u64 = 12_500_000;
const DELAY: Duration = Duration::from_millis(10);
const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;
const READER: ReaderId = ReaderId(1);

/// A holder for each manner and rate, and a peer that fetches from them.
fn world(length: u64, holders: &[(u64, Manner)]) -> (World, usize) {
    let mut world = World::new(length, DELAY);
    for (rate, manner) in holders {
        world.add(*rate, true, *manner);
    }
    let fetcher = world.add(LINK, false, Manner::Honest);
    world.tell_holders(fetcher);
    (world, fetcher)
}

fn alone(length: u64) -> (World, usize) {
    world(length, &[(LINK, Manner::Honest)])
}

fn read(world: &mut World, node: usize, reader: ReaderId, range: Range<u64>) {
    world.input(node, Input::Read { reader, range });
}

/// Reads the first byte of a range. Returns how many seconds that took.
fn first_byte(world: &mut World, node: usize, range: Range<u64>) -> f64 {
    let since = world.now;
    let at = range.start;
    read(world, node, READER, range);
    world.run(Duration::from_mins(10), |world| {
        world.nodes[node].swarm.readable(at, at + 1) > 0
    });
    assert_eq!(world.nodes[node].swarm.readable(at, at + 1), 1);
    assert!(world.nodes[node].told.contains(&READER), "it was told");
    (world.now - since) as f64 / 1e6
}

/// Reads a range to its end, as fast as it comes. Returns how many seconds that took.
fn whole(world: &mut World, node: usize, range: Range<u64>) -> f64 {
    let since = world.now;
    let mut at = range.start;
    while at < range.end {
        first_byte(world, node, at..range.end);
        let come = world.nodes[node].swarm.readable(at, range.end);
        world.hold_against_disk(node, at..at + come);
        at += come;
    }
    world.input(node, Input::ReadOver { reader: READER });
    (world.now - since) as f64 / 1e6
}

#[test]
fn a_seek_to_the_end_of_a_large_file_is_answered_long_before_the_rest_has_come() {
    let length = 3 * GIB + 5;
    let (mut world, fetcher) = alone(length);
    read(&mut world, fetcher, READER, 0..length);
    world.run(Duration::from_secs(5), |_| false);
    let seconds = first_byte(&mut world, fetcher, length - MIB..length);
    println!("a seek: {seconds:.3} s");
    assert!(seconds < 0.25, "{seconds}");
    let seconds = whole(&mut world, fetcher, length - MIB..length);
    assert!(seconds < 0.5, "{seconds}");
    let there = world.progress(fetcher).verified;
    assert!(there < 100 * MIB, "{there}");
}

#[test]
fn the_first_bytes_of_a_piece_are_readable_before_the_piece_is_there() {
    let (mut world, fetcher) = world(6 * GIB, &[(LINK / 100, Manner::Honest)]);
    assert_eq!(world.file.layout.piece_length(), 8 * 1024 * 1024);
    let seconds = first_byte(&mut world, fetcher, 3 * GIB + 77..4 * GIB);
    assert!(seconds < 2.0, "{seconds}");
    assert_eq!(world.progress(fetcher).verified, 0);
    let seconds = whole(&mut world, fetcher, 3 * GIB + 77..3 * GIB + MIB);
    assert!(
        seconds < MIB as f64 / (LINK as f64 / 100.0) + 1.0,
        "{seconds}"
    );
}

#[test]
fn who_reads_a_file_from_its_start_gets_it_as_fast_as_the_link_gives_it() {
    for length in [100 * MIB, 100 * MIB + 16_385] {
        let (mut world, fetcher) = alone(length);
        let seconds = whole(&mut world, fetcher, 0..length);
        let one = length as f64 / LINK as f64;
        assert!(seconds < 1.05 * one + 0.2, "{seconds} of {one}");
        assert!(world.nodes[fetcher].complete.is_some());
        assert_eq!(world.nodes[fetcher].wasted, 0);
    }
}

#[test]
fn several_readers_at_several_places_all_go_on() {
    let (mut world, fetcher) = alone(GIB);
    let places = [0, 200 * MIB, 500 * MIB, GIB - 10];
    for (number, at) in (2..).zip(places) {
        read(&mut world, fetcher, ReaderId(number), at..GIB);
    }
    world.run(Duration::from_secs(1), |_| false);
    let swarm = &world.nodes[fetcher].swarm;
    for at in places {
        assert!(swarm.readable(at, at + MIB) > 9, "{at}");
    }
}

#[test]
fn a_reader_that_goes_back_and_forth_is_not_kept_waiting_by_what_it_took_back() {
    let (mut world, fetcher) = alone(GIB);
    for round in 0..20 {
        let at = [0, GIB / 2, 300 * MIB][round % 3] + round as u64 * MIB;
        let seconds = first_byte(&mut world, fetcher, at..GIB);
        assert!(seconds < 0.5, "round {round}: {seconds}");
        // It does not wait for what is on its way.
        world.run(Duration::from_millis(30), |_| false);
    }
}

#[test]
fn on_demand_nothing_is_fetched_but_what_is_read() {
    let (mut world, fetcher) = alone(GIB);
    world.input(fetcher, Input::OnDemand(true));
    world.run(Duration::from_secs(5), |_| false);
    assert_eq!(world.progress(fetcher).received, 0);
    whole(&mut world, fetcher, GIB / 2 + 5..GIB / 2 + 100_005);
    world.run(Duration::from_secs(5), |_| false);
    let received = world.progress(fetcher).received;
    assert!((100_000..150_000).contains(&received), "{received}");
    // What is left of the file comes once it is wanted.
    world.input(fetcher, Input::OnDemand(false));
    world.run(Duration::from_mins(10), |world| {
        world.nodes[fetcher].complete.is_some()
    });
    assert!(world.nodes[fetcher].complete.is_some());
    assert_eq!(world.progress(fetcher).received, GIB);
}

#[test]
fn what_a_reader_waits_for_is_asked_of_a_fast_source_too_where_a_slow_one_owes_it() {
    let holders = [(LINK / 1000, Manner::Honest), (LINK, Manner::Honest)];
    let (mut world, fetcher) = world(200 * MIB, &holders);
    let seconds = whole(&mut world, fetcher, 0..50 * MIB);
    assert!(
        seconds < 1.3 * 50.0 * MIB as f64 / LINK as f64 + 1.0,
        "{seconds}"
    );
}

#[test]
fn a_source_without_leaf_hashes_is_read_from_a_piece_at_a_time() {
    let (mut world, fetcher) = world(GIB, &[(LINK, Manner::WithoutLeaves)]);
    let seconds = first_byte(&mut world, fetcher, GIB / 2 + 5..GIB);
    let piece = f64::from(world.file.layout.piece_length()) / LINK as f64;
    assert!(seconds < 2.0 * piece + 0.2, "{seconds}");
    whole(&mut world, fetcher, GIB / 2 + 5..GIB / 2 + 10 * MIB);
}

#[test]
fn no_reader_is_told_of_a_wrong_byte_whoever_sends_some() {
    for manner in [
        Manner::WrongLeaves(3),
        Manner::Changed(3),
        Manner::Denies(5),
        Manner::Conspires,
        Manner::WrongHashes,
    ] {
        let holders = [(LINK, manner), (LINK / 4, Manner::Honest), (LINK, manner)];
        let (mut world, fetcher) = world(40 * MIB + 9, &holders);
        world.careful = true;
        for at in [30 * MIB, 5, 17 * MIB] {
            whole(&mut world, fetcher, at..at + 2 * MIB);
        }
        whole(&mut world, fetcher, 0..40 * MIB + 9);
    }
}

#[test]
fn pieces_that_a_reader_has_left_untouched_are_forgotten() {
    let (mut world, fetcher) = world(GIB, &[(LINK, Manner::Idle)]);
    world.careful = true;
    world.run(Duration::from_secs(1), |_| false);
    for round in 0..500 {
        let at = (round * 7919) % 1000 * MIB;
        read(&mut world, fetcher, READER, at..GIB);
        world.run(Duration::from_millis(1), |_| false);
    }
    let begun = world.nodes[fetcher].swarm.pieces.begun();
    assert!(begun < 20, "{begun}");
}

#[test]
fn a_file_that_is_there_can_be_read_at_once() {
    let (mut world, _) = alone(MIB);
    assert_eq!(world.nodes[0].swarm.readable(5, 10 * MIB), MIB - 5);
    read(&mut world, 0, READER, 5..MIB);
    assert!(world.nodes[0].told.contains(&READER));
    assert_eq!(world.nodes[0].swarm.readable(MIB, 2 * MIB), 0);
}

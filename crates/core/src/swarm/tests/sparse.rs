//! Files of which much is zeros: that is neither asked for nor sent.

use std::time::Duration;

use super::world::{File, Manner, World};
use crate::swarm::Input;

const LINK: u64 = 1_000_000;
const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// One that has the file, and one that wants it and knows of no holder yet.
fn pair(file: File) -> (World, usize) {
    let mut world = World::of(file, Duration::from_millis(1));
    world.careful = true;
    world.add(LINK, true, Manner::Honest);
    let fetcher = world.add(LINK, false, Manner::Honest);
    (world, fetcher)
}

/// Runs until all of it is there, and says after how many seconds.
fn fetched(world: &mut World, fetcher: usize) -> f64 {
    world.tell_holders(fetcher);
    world.run(Duration::from_mins(10), |world| {
        world.nodes[fetcher].complete.is_some()
    });
    let complete = world.nodes[fetcher].complete.expect("it is complete");
    assert_eq!(world.progress(fetcher).verified, world.file.content.length);
    complete as f64 / 1e6
}

#[test]
fn of_a_sparse_file_only_the_pieces_with_data_are_asked_for() {
    // Pieces of 8 MiB, of which two have data. It ends within a leaf.
    let file = File::sparse(6 * GIB + 5, |piece| piece == 17 || piece == 700);
    let piece = u64::from(file.layout.piece_length());
    let (mut world, fetcher) = pair(file);
    let seconds = fetched(&mut world, fetcher);
    assert_eq!(world.progress(fetcher).received, 2 * piece);
    assert_eq!(world.nodes[0].sent, 2 * piece);
    assert_eq!(world.nodes[fetcher].to_come, Some(2 * piece));
    // As long as these take, and not hours.
    assert!(
        seconds < 2.0 * piece as f64 / LINK as f64 + 2.0,
        "{seconds}"
    );
}

#[test]
fn a_file_of_zeros_comes_without_a_byte_and_whoever_proved_its_hashes_is_its_source() {
    // Pieces of 256 KiB, the last one of a leaf that is short; a file of one piece too.
    for length in [10 * MIB, 10 * MIB + 1, 10 * MIB + 16_385, 100_000] {
        let (mut world, fetcher) = pair(File::sparse(length, |_| false));
        assert!(fetched(&mut world, fetcher) < 1.0);
        assert_eq!(world.nodes[0].sent, 0, "{length}");
        assert_eq!(world.nodes[fetcher].to_come, Some(0));
        let source = (length > MIB).then_some(world.nodes[0].id);
        assert_eq!(world.nodes[fetcher].from, Vec::from_iter(source));
    }
}

#[test]
fn where_something_else_was_left_on_disk_zeros_are_fetched_like_other_bytes() {
    let file = File::sparse(10 * MIB, |piece| piece == 3);
    let piece = u64::from(file.layout.piece_length());
    let (mut world, fetcher) = pair(file);
    for number in [3, 5, 7] {
        let (mut leaves, piece) = (
            world.file.leaves_of(number),
            world.file.layout.piece(number).unwrap(),
        );
        if number == 5 {
            leaves[2] = [9; 32];
        }
        world.input(fetcher, Input::Rechecked { piece, leaves });
    }
    fetched(&mut world, fetcher);
    assert_eq!(world.progress(fetcher).received, piece);
    assert_eq!(world.nodes[fetcher].to_come, Some(piece));
}

#[test]
fn no_piece_counts_as_a_hole_before_all_that_is_on_disk_is_known() {
    let (mut world, fetcher) = pair(File::sparse(10 * MIB, |_| false));
    // A member that calls proves the hashes while the disk is still looked through.
    let caller = world.add(LINK, true, Manner::Honest);
    let holder = thorp_wire::frame::Holder {
        id: world.nodes[fetcher].id,
        name: None,
        addresses: Vec::new(),
        partial: true,
    };
    let fetch = world.add(LINK, false, Manner::Honest);
    assert_ne!(caller, fetch);
    world.input(fetch, Input::Holders(vec![holder]));
    world.run(Duration::from_millis(100), |_| false);
    assert_eq!(world.progress(fetcher).verified, 0);
    let piece = world.file.layout.piece(5).unwrap();
    let leaves = vec![[9; 32]; world.file.leaves_of(5).len()];
    world.input(fetcher, Input::Rechecked { piece, leaves });
    fetched(&mut world, fetcher);
    assert_eq!(world.progress(fetcher).received, 256 * 1024);
}

#[test]
fn sparse_files_spread_among_many_as_others_do() {
    let file = File::sparse(40 * MIB, |piece| piece % 10 == 0);
    let with_data = u64::from(file.layout.pieces().unwrap().div_ceil(10));
    let data = with_data * u64::from(file.layout.piece_length());
    let mut world = World::of(file, Duration::from_millis(1));
    world.add(LINK, true, Manner::Honest);
    for _ in 0..4 {
        let node = world.add(LINK, false, Manner::Honest);
        world.tell_holders(node);
    }
    world.run(Duration::from_mins(10), |world| {
        world.nodes[1..].iter().all(|node| node.complete.is_some())
    });
    for node in 1..5 {
        assert!(world.nodes[node].complete.is_some());
        assert_eq!(world.progress(node).verified, 40 * MIB);
    }
    assert!(world.nodes[0].sent < 2 * data, "{}", world.nodes[0].sent);
}

//! Whole peers and a whole tracker that exchange real frames in virtual time.

#[path = "../support/mod.rs"]
mod support;

mod finding;
mod holders;
mod links;
mod listings;
mod records;
mod spared;
mod story;

use std::time::Duration;

use support::{Village, id};
use thorp_core::lookup::Source;

const ONE: [u8; 4] = [192, 168, 198, 138];
const TWO: [u8; 4] = [192, 168, 198, 139];
const THREE: [u8; 4] = [192, 168, 198, 137];
const FOUR: [u8; 4] = [192, 168, 198, 140];

const SECOND: Duration = Duration::from_secs(1);
const CLIENT: (&str, &str) = ("client", "the same everywhere");

/// Plays the story up to its seventh step. Returns peers 1, 2 and 3.
fn story(village: &mut Village, hops: u8) -> [usize; 3] {
    let with = |config: &mut thorp_core::peer::Config| config.hops = hops;
    let one = village.peer_with(ONE, &[("1.txt", "one"), ("2.txt", "two"), CLIENT], with);
    village.run(SECOND);
    let two = village.peer_with(TWO, &[("3.txt", "three"), ("4.txt", "four"), CLIENT], with);
    village.run(SECOND);

    assert_eq!(village.get(one, "3.txt"), (Source::Tracker, id(two)));
    assert_eq!(
        village.peers_table(),
        rows3(&[
            (
                "192.168.198.138",
                "1.txt 2.txt 3.txt client",
                "192.168.198.139"
            ),
            ("192.168.198.139", "3.txt 4.txt client", "192.168.198.138"),
        ])
    );
    assert_eq!(
        village.files_table(),
        rows2(&[
            ("1.txt", "192.168.198.138"),
            ("2.txt", "192.168.198.138"),
            ("3.txt", "192.168.198.138 192.168.198.139"),
            ("4.txt", "192.168.198.139"),
            ("client", "192.168.198.138 192.168.198.139"),
        ])
    );
    assert_eq!(village.neighbours(one), [id(two)]);
    assert_eq!(village.neighbours(two), [id(one)]);

    let three = village.peer_with(THREE, &[("5.txt", "five"), ("6.txt", "six"), CLIENT], with);
    village.run(SECOND);
    assert_eq!(village.get(three, "2.txt"), (Source::Tracker, id(one)));
    assert_eq!(village.counts().finds, 2);
    assert_eq!(village.get(one, "5.txt"), (Source::Memory, id(three)));
    assert_eq!(village.counts().finds, 2, "a neighbour had it");
    let expected = match hops {
        0 => (Source::Tracker, id(three)),
        _ => (Source::Neighbour(id(one)), id(three)),
    };
    assert_eq!(village.get(two, "6.txt"), expected);
    assert_eq!(village.counts().finds, if hops == 0 { 3 } else { 2 });
    village.run(SECOND);
    [one, two, three]
}

fn rows3(rows: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    let row = |(a, b, c): &(&str, &str, &str)| ((*a).into(), (*b).into(), (*c).into());
    rows.iter().map(row).collect()
}

fn rows2(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter()
        .map(|(a, b)| ((*a).into(), (*b).into()))
        .collect()
}

/// Creates three peers that know one another, and the tracker.
fn friends(village: &mut Village) -> [usize; 3] {
    let peers = [ONE, TWO, THREE].map(|ip| village.peer(ip, &[]));
    village.share(peers[0], &[("1.txt", "one"), ("4.txt", "four")]);
    village.share(peers[1], &[("2.txt", "two")]);
    village.run(SECOND);
    village.get(peers[1], "1.txt");
    village.get(peers[2], "2.txt");
    village.get(peers[2], "4.txt");
    for peer in peers {
        assert_eq!(village.neighbours(peer).len(), 2);
    }
    peers
}

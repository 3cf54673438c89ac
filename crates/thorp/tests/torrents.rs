//! Torrents and magnet links of shared files, as a user asks for them.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::fs;

use support::process::poll;
use support::village::{listening, named, sharing};
use support::{Node, PATIENCE, Running, Village};
use thorp_wire::torrent::{Magnet, Torrent};

/// A tracker and a peer, each of which may serve ordinary clients.
struct Pair {
    oak: Node,
    /// Where the peer and the tracker are.
    peer_at: String,
    tracker_at: String,
    _running: [Running; 2],
    _village: Village,
}

impl Pair {
    fn new(tracker_serves: bool, peer_serves: bool, files: &[(&str, &[u8])]) -> Self {
        let village = Village::new();
        let mut typed = vec!["tracker", "--open", "--lines", "--listen", "127.0.0.1:0"];
        typed.extend(tracker_serves.then_some("--bittorrent"));
        let tracker = village.node("tracker").start(&typed);
        let tracker_at = listening(&tracker);
        let oak = village.node("oak");
        for (name, bytes) in files {
            oak.file(name, bytes);
        }
        let mut typed = vec!["share", "--lines", "--tracker", &tracker_at];
        typed.extend(["--listen", "127.0.0.1:0"]);
        typed.extend(peer_serves.then_some("--bittorrent"));
        let peer = oak.start(&typed);
        peer.wait_for_line("Connection Established!", |line| {
            line == "Connection Established!"
        });
        let peer_at = sharing(&peer);
        Self {
            oak,
            peer_at,
            tracker_at,
            _running: [peer, tracker],
            _village: village,
        }
    }

    /// The answer to a question for one torrent, once the group's record has come.
    fn made(&self, typed: &[&str]) -> serde_json::Value {
        poll("the torrent", PATIENCE, || {
            let (code, events) = self.oak.json(typed);
            let mut made = named(&events, "torrent").chain(named(&events, "saved"));
            made.next().cloned().filter(|_| code == Some(0))
        })
    }
}

fn magnet_of(made: &serde_json::Value) -> Magnet {
    let link = made["magnet"].as_str().expect("a link");
    link.parse().expect("a magnet link")
}

#[test]
fn without_bittorrent_there_is_no_torrent_and_it_is_said_whose_turn_it_is() {
    let off = Pair::new(false, false, &[("a", b"a")]);
    for typed in [&["magnet", "a"][..], &["torrent", "a", "-o", "-"]] {
        let end = off.oak.run(typed).exits(1);
        end.says("thorp tracker --bittorrent");
    }
    let half = Pair::new(true, false, &[("a", b"a")]);
    poll("the group's record", PATIENCE, || {
        let end = half.oak.run(&["magnet", "a"]).exits(1);
        end.stderr
            .contains("thorp share DIR --bittorrent")
            .then_some(())
    });
}

#[test]
fn a_magnet_link_names_the_file_its_torrent_the_tracker_and_the_peer() {
    let film = vec![7; 300_000];
    let pair = Pair::new(true, true, &[("films/a b.mkv", &film), ("empty", b"")]);
    let v1 = pair.made(&["magnet", "a b.mkv"]);
    let v2 = pair.made(&["magnet", "films/a b.mkv", "--v2"]);
    let public = pair.made(&["magnet", "films/a b.mkv", "--v2", "--public"]);
    let trackers = [
        format!("http://{}/announce", pair.tracker_at),
        format!("udp://{}/announce", pair.tracker_at),
    ];
    for made in [&v1, &v2, &public] {
        let magnet = magnet_of(made);
        assert_eq!(magnet.name.as_deref(), Some("a b.mkv"));
        assert_eq!(magnet.trackers, trackers);
        assert_eq!(magnet.peers, [pair.peer_at.parse().expect("an address")]);
        assert_eq!(
            magnet.v1.is_some(),
            made["info_hash"].as_str().map(str::len) == Some(40)
        );
        assert_ne!(magnet.v1.is_some(), magnet.v2.is_some());
    }
    assert!(magnet_of(&v1).v1.is_some());
    assert_ne!(magnet_of(&v2).v2, magnet_of(&public).v2);

    let end = pair.oak.run(&["magnet", "films/a b.mkv"]).exits(0);
    assert_eq!(end.stdout.trim_end(), v1["magnet"].as_str().unwrap());
    pair.oak.run(&["magnet", "empty"]).exits(1).says("empty");
    pair.oak
        .run(&["magnet", "other"])
        .exits(3)
        .says("thorp find");
    pair.oak
        .run(&["magnet", "a", "--public"])
        .exits(2)
        .says("--v2");
}

#[test]
fn a_name_that_several_files_have_is_not_guessed() {
    let pair = Pair::new(true, true, &[("b/a", b"1"), ("c/a", b"2")]);
    pair.made(&["magnet", "b/a"]);
    let end = pair.oak.run(&["magnet", "a"]).exits(5);
    end.says("b/a, c/a");
}

#[test]
fn a_torrent_is_written_once_and_says_what_the_magnet_link_says() {
    let bytes = vec![5; 600_000];
    let pair = Pair::new(true, true, &[("f", &bytes)]);
    let dir = pair.oak.state();
    for version in [&[][..], &["--v2"]] {
        let file = dir.join(format!("{}.torrent", version.len()));
        let file_typed = file.to_str().expect("UTF-8");
        let typed = [&["torrent", "f", "-o", file_typed], version].concat();
        let saved = pair.made(&typed);
        let magnet = pair.made(&[&["magnet", "f"], version].concat());
        assert_eq!(saved["magnet"], magnet["magnet"]);

        let torrent = fs::read(&file).expect("it is written");
        let torrent = Torrent::decode(&torrent).expect("a torrent");
        let info = torrent.info();
        let hashes = [
            info.v1().map(|v1| v1.info_hash.to_string()),
            info.v2().map(|v2| v2.to_string()),
        ];
        let hashes: Vec<String> = hashes.into_iter().flatten().collect();
        assert_eq!(hashes, [magnet["info_hash"].as_str().expect("a hash")]);
        assert!(info.is_private());
        assert_eq!(info.length(), bytes.len() as u64);
        assert_eq!(torrent.tiers(), [magnet_of(&magnet).trackers]);

        pair.oak.run(&typed).exits(4).says("exists already");
        let piped = pair
            .oak
            .thorp(&[&["torrent", "f", "-o", "-"], version].concat());
        let piped = { piped }.output().expect("it runs");
        assert_eq!(piped.stdout, fs::read(&file).expect("it is written"));
    }
}

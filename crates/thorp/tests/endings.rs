//! How nodes end, and what is said of one that does not answer, played by the real
//! program.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::time::{Duration, Instant};

use support::village::sharing;
use support::{Node, PATIENCE, Running, Village};

/// After this, a caller says which process does not answer.
const SILENCE: Duration = Duration::from_secs(2);

fn start(node: &Node) -> Running {
    let peer = node.start(&["share", "--lines", "--listen", "127.0.0.1:0"]);
    sharing(&peer);
    peer
}

#[test]
fn a_peer_is_started_again_as_soon_as_stop_has_answered() {
    let village = Village::new();
    let node = village.node("peer");
    node.file("1.txt", "one");
    let mut ended = Vec::new();
    let mut peer = start(&node);
    for _ in 0..10 {
        node.run(&["stop"]).exits(0);
        ended.push(peer);
        peer = start(&node);
    }
    node.run(&["stop"]).exits(0).says("has said goodbye");
    for peer in ended.into_iter().chain([peer]) {
        peer.finish(PATIENCE).exits(0);
    }
}

#[test]
fn a_suspended_peer_is_named_by_every_command_and_none_waits_for_it() {
    let village = Village::new();
    let node = village.node("peer");
    node.file("1.txt", "one");
    let peer = start(&node);
    let suspended = format!("process {}, is suspended", peer.id());
    peer.signal("STOP");
    for command in [
        &["status"][..],
        &["get", "1.txt"],
        &["ls"],
        &["stop"],
        &["invite"],
        &["members"],
        &["share", "--lines"],
        &["leave", "--purge", "--yes"],
    ] {
        let begun = Instant::now();
        node.run(command).exits(1).says(&suspended);
        let took = begun.elapsed();
        assert!(
            took >= SILENCE && took < 4 * SILENCE,
            "{command:?}: {took:?}"
        );
    }
    // One that goes on in time is not told of.
    let asking = node.start(&["status"]);
    peer.signal("CONT");
    asking.finish(PATIENCE).exits(0);
    node.run(&["stop"]).exits(0);
    peer.finish(PATIENCE).exits(0);
}

#[test]
fn a_get_whose_peer_dies_with_it_does_not_fetch_by_itself() {
    let village = Village::new();
    let (tracker, at) = village.tracker();
    let holder = village.node("holder");
    holder.file("1.bin", vec![7; 200_000_000]);
    let holding = holder.start_sharing(&at, "127.0.0.1:0");
    let node = village.node("peer");
    let peer = node.start_sharing(&at, "127.0.0.1:0");
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = node.thorp(&["--json", "get", "1.bin"]);
    command.current_dir(elsewhere.path());
    let fetch = Running::start("get", command);
    fetch.wait_for_line("it is fetched", |line| line.contains("\"progress\""));
    peer.signal("KILL");
    peer.finish(PATIENCE);
    let end = fetch.finish(PATIENCE).exits(7);
    assert!(end.stdout.contains("\"error\""), "{end}");
    assert_eq!(elsewhere.path().read_dir().unwrap().count(), 0);
    drop((holding, tracker));
}

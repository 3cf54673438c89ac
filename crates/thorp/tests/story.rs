//! The story of three peers and a tracker, from its first step to its last,
//! played by the real program on hosts of its own.
//!
//! Told twice: with `lookup.hops` 0, where a peer knows what its neighbours
//! have, and with 1, where it may also ask what their neighbours have.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::picture::assert_in_time;
use crate::support::process::poll;
use crate::support::village::{assert_ends_once, listening, sharing};
use crate::support::{Host, Net, Node, PATIENCE, Picture, Running, Village};

const TRACKER: &str = "192.168.198.138";
const PEER_1: &str = "192.168.198.138";
const PEER_2: &str = "192.168.198.139";
const PEER_3: &str = "192.168.198.137";

/// How long a node is silent. Short, so that the story is.
const INTERVAL: Duration = Duration::from_secs(1);
/// Within this, what a peer says is on every display.
const PROMPT: Duration = Duration::from_secs(1);

const JOINED: [&str; 2] = [
    "
| Peer | File List | Neighbours |
|---|---|---|
| 192.168.198.138 | 1.txt 2.txt client | |
| 192.168.198.139 | 3.txt 4.txt client | |",
    "
| File Name | Held by |
|---|---|
| 1.txt | 192.168.198.138 |
| 2.txt | 192.168.198.138 |
| 3.txt | 192.168.198.139 |
| 4.txt | 192.168.198.139 |
| client | 192.168.198.138 192.168.198.139 |",
];

const FIRST: [&str; 2] = [
    "
| Peer | File List | Neighbours |
|---|---|---|
| 192.168.198.138 | 1.txt 2.txt 3.txt client | 192.168.198.139 |
| 192.168.198.139 | 3.txt 4.txt client | 192.168.198.138 |",
    "
| File Name | Held by |
|---|---|
| 1.txt | 192.168.198.138 |
| 2.txt | 192.168.198.138 |
| 3.txt | 192.168.198.138 192.168.198.139 |
| 4.txt | 192.168.198.139 |
| client | 192.168.198.138 192.168.198.139 |",
];

const THEN: [&str; 2] = [
    "
| Peer | File List | Neighbours |
|---|---|---|
| 192.168.198.137 | 2.txt 5.txt 6.txt client | 192.168.198.138 192.168.198.139 |
| 192.168.198.138 | 1.txt 2.txt 3.txt 5.txt client | 192.168.198.137 192.168.198.139 |
| 192.168.198.139 | 3.txt 4.txt 6.txt client | 192.168.198.137 192.168.198.138 |",
    "
| File Name | Held by |
|---|---|
| 1.txt | 192.168.198.138 |
| 2.txt | 192.168.198.137 192.168.198.138 |
| 3.txt | 192.168.198.138 192.168.198.139 |
| 4.txt | 192.168.198.139 |
| 5.txt | 192.168.198.137 192.168.198.138 |
| 6.txt | 192.168.198.137 192.168.198.139 |
| client | 192.168.198.137 192.168.198.138 192.168.198.139 |",
];

const WITHOUT_PEER_1: [&str; 2] = [
    "
| Peer | File List | Neighbours |
|---|---|---|
| 192.168.198.137 | 2.txt 5.txt 6.txt client | 192.168.198.139 |
| 192.168.198.139 | 3.txt 4.txt 6.txt client | 192.168.198.137 |",
    "
| File Name | Held by |
|---|---|
| 2.txt | 192.168.198.137 |
| 3.txt | 192.168.198.139 |
| 4.txt | 192.168.198.139 |
| 5.txt | 192.168.198.137 |
| 6.txt | 192.168.198.137 192.168.198.139 |
| client | 192.168.198.137 192.168.198.139 |",
];

const PEER_3_ALONE: [&str; 2] = [
    "
| Peer | File List | Neighbours |
|---|---|---|
| 192.168.198.137 | 2.txt 5.txt 6.txt client | |",
    "
| File Name | Held by |
|---|---|
| 2.txt | 192.168.198.137 |
| 5.txt | 192.168.198.137 |
| 6.txt | 192.168.198.137 |
| client | 192.168.198.137 |",
];

#[test]
fn the_story_without_a_hop() {
    play("the_story_without_a_hop", 0);
}

#[test]
fn the_story_with_a_hop() {
    play("the_story_with_a_hop", 1);
}

#[allow(
    clippy::too_many_lines,
    reason = "a story is told from its first line to its last"
)]
fn play(test: &str, hops: u8) {
    let address = |text: &str| text.parse::<Ipv4Addr>().unwrap();
    let addresses = [address(PEER_1), address(PEER_2), address(PEER_3)];
    let Some(net) = Net::new(test, &addresses) else {
        return;
    };
    let village = Village::new();
    let node = |name, at| node(&village, name, net.host(address(at)), hops);
    let tracker_node = node("tracker", TRACKER);
    let (peer_1, peer_2, peer_3) = (
        node("peer-1", PEER_1),
        node("peer-2", PEER_2),
        node("peer-3", PEER_3),
    );
    for (peer, files) in [
        (&peer_1, ["1.txt", "2.txt"]),
        (&peer_2, ["3.txt", "4.txt"]),
        (&peer_3, ["5.txt", "6.txt"]),
    ] {
        for name in files {
            peer.file(name, format!("This is {name}.\n"));
        }
        peer.file("client", "Everybody has the same.\n");
    }

    // First. The tracker starts in an open group.
    let tracker = tracker_node.start(&["tracker", "--open", "--lines"]);
    assert_eq!(listening(&tracker), "192.168.198.138:3333");
    let finds = || tracker_node.tracker_status()["finds"].as_u64().unwrap();

    // Peer 1 joins by typing `localhost`, peer 2 by the tracker's address.
    let talk_1 = join(&peer_1, "localhost");
    let talk_2 = join(&peer_2, TRACKER);
    talk_2.wait_for_line("whom it connects to", |line| {
        line == "Connecting to 192.168.198.138 on port 3333"
    });
    // The tracker shows them, peer 1 by its reachable address.
    is_shown(JOINED, &tracker, Instant::now());

    // Peer 1 has no neighbours and asks for `3.txt`: the tracker answers.
    assert_eq!(neighbours(&peer_1), NOBODY);
    assert_eq!(finds(), 0);
    let fetched = peer_1.fetch("3.txt");
    let arrived = Instant::now();
    assert_came(&fetched, PEER_2, "tracker", None, true);
    assert_eq!(finds(), 1);
    assert_eq!(peer_1.bytes("3.txt"), peer_2.bytes("3.txt"));
    shows_neighbours(&talk_1, &[PEER_2], arrived);
    shows_neighbours(&talk_2, &[PEER_1], arrived);
    assert_eq!(neighbours(&peer_1), [PEER_2]);
    assert_eq!(neighbours(&peer_2), [PEER_1]);
    is_shown(FIRST, &tracker, arrived);

    // Then, 1. Peer 3 joins.
    let talk_3 = join(&peer_3, TRACKER);
    // 2, 3, 4. It asks for `2.txt`: it has no neighbours, so the tracker
    // answers, and peer 1 and it become neighbours.
    assert_eq!(neighbours(&peer_3), NOBODY);
    assert_came(&peer_3.fetch("2.txt"), PEER_1, "tracker", None, true);
    let arrived = Instant::now();
    assert_eq!(finds(), 2);
    assert_eq!(peer_3.bytes("2.txt"), peer_1.bytes("2.txt"));
    shows_neighbours(&talk_1, &[PEER_3, PEER_2], arrived);
    shows_neighbours(&talk_3, &[PEER_1], arrived);

    // 5. Peer 1 asks for `5.txt`: its neighbour peer 3 has it.
    knows_files_of(&peer_1, PEER_3, 4);
    assert_came(&peer_1.fetch("5.txt"), PEER_3, "memory", None, false);
    assert_eq!(finds(), 2);
    assert_eq!(peer_1.bytes("5.txt"), peer_3.bytes("5.txt"));

    // 6. Peer 2 asks for `6.txt`: none of its neighbours has it. Peer 1, its
    // neighbour, knows who does, and says so where it may be asked.
    knows_files_of(&peer_2, PEER_1, 5);
    let fetched = peer_2.fetch("6.txt");
    let arrived = Instant::now();
    if hops == 0 {
        assert_came(&fetched, PEER_3, "tracker", None, true);
    } else {
        assert_came(&fetched, PEER_3, "neighbour", Some(PEER_1), false);
    }
    let asked = if hops == 0 { 3 } else { 2 };
    assert_eq!(finds(), asked);
    assert_eq!(peer_2.bytes("6.txt"), peer_3.bytes("6.txt"));
    shows_neighbours(&talk_2, &[PEER_3, PEER_1], arrived);
    shows_neighbours(&talk_3, &[PEER_1, PEER_2], arrived);
    is_shown(THEN, &tracker, arrived);
    assert_eq!(neighbours(&peer_1), [PEER_3, PEER_2]);
    assert_eq!(neighbours(&peer_2), [PEER_3, PEER_1]);
    assert_eq!(neighbours(&peer_3), [PEER_1, PEER_2]);

    // Also: a name that is taken. Nothing is sent, nothing is overwritten.
    peer_1.run(&["get", "1.txt"]).exits(4).says(
        "File with same name exists in the same directory! \
         Please rename it if you want to request this file.",
    );
    assert_fails(&peer_1, "1.txt", 4, "exists");
    assert_eq!(peer_1.bytes("1.txt"), b"This is 1.txt.\n");
    assert_eq!(finds(), asked);
    // Also: a name that no peer shares. The tracker is asked last: for the name, and once
    // what resembles it.
    peer_3
        .run(&["get", "nothing.txt"])
        .exits(3)
        .says("No peer is sharing this file now. Try again later.");
    assert_eq!(finds(), asked + 2);
    assert_fails(&peer_3, "nothing.txt", 3, "not-found");
    assert_eq!(finds(), asked + 4);
    assert!(!peer_3.share().join("nothing.txt").exists());

    // 7. Peer 1 leaves, saying goodbye.
    let leaves = Instant::now();
    talk_1.signal("INT");
    talk_1.finish(PATIENCE).exits(0);
    shows_neighbours(&talk_2, &[PEER_3], leaves);
    shows_neighbours(&talk_3, &[PEER_2], leaves);
    is_shown(WITHOUT_PEER_1, &tracker, leaves);

    // Peer 2 is cut off. Nothing is said.
    let host_2 = net.host(address(PEER_2));
    let mark = talk_3.mark();
    let cut = Instant::now();
    host_2.link("down");
    Picture::of(PEER_3_ALONE[0], PEER_3_ALONE[1]).is_shown(&tracker, cut, 3 * INTERVAL);
    let line = talk_3.wait_for_line_after(mark, "no neighbours", |line| line == NO_NEIGHBOURS);
    assert_in_time("peer 3 to forget peer 2", line.at, cut, 3 * INTERVAL);
    // It was silence that told them.
    assert!(
        line.at - cut > INTERVAL,
        "forgotten after only {:?}",
        line.at - cut
    );
    assert_eq!(neighbours(&peer_3), NOBODY);

    // 8. Peer 2's link comes back, and so does it, by itself: a try is up to a
    // second late, lest all come at once.
    let back = Instant::now();
    host_2.link("up");
    let at = tracker.wait_until("peer 2 with its files", PATIENCE, |lines| {
        let (at, last) = Picture::all(lines).pop()?;
        let row = last.peers.iter().find(|row| row[0] == PEER_2)?;
        (row[1] == "3.txt 4.txt 6.txt client").then_some(at)
    });
    assert_in_time(
        "peer 2 to be back",
        at,
        back,
        INTERVAL + Duration::from_secs(1),
    );
    // Its files can be had again, and it can have those of others.
    assert_eq!(peer_2.fetch("5.txt")["from"]["address"], PEER_3);
    let arrived = Instant::now();
    assert_eq!(peer_2.bytes("5.txt"), peer_3.bytes("5.txt"));
    shows_neighbours(&talk_2, &[PEER_3], arrived);
    shows_neighbours(&talk_3, &[PEER_2], arrived);

    for peer in [talk_2, talk_3, tracker] {
        peer.signal("TERM");
        peer.finish(PATIENCE).exits(0);
    }
}

const NOBODY: [&str; 0] = [];
const NO_NEIGHBOURS: &str = "Neighbours: none";

fn node(village: &Village, name: &str, host: &Host, hops: u8) -> Node {
    let node = village.node(name).on(host);
    let ms = INTERVAL.as_millis();
    node.configure(&format!(
        "[interval]\ntracker_ms = {ms}\nneighbour_ms = {ms}\n\n[lookup]\nhops = {hops}\n"
    ));
    node
}

/// Starts sharing the directory that the peer stands in.
fn join(peer: &Node, tracker: &str) -> Running {
    let running = peer.start(&["share", "--tracker", tracker, "--lines"]);
    running.wait_for_line("whom it connects to", |line| {
        line.starts_with("Connecting to ") && line.ends_with(" on port 3333")
    });
    running.wait_for_line("Connection Established!", |line| {
        line == "Connection Established!"
    });
    sharing(&running);
    running
}

#[track_caller]
fn is_shown(tables: [&str; 2], tracker: &Running, since: Instant) {
    Picture::of(tables[0], tables[1]).is_shown(tracker, since, PROMPT);
}

/// Waits until a peer shows these neighbours, and asserts that it is prompt.
#[track_caller]
fn shows_neighbours(peer: &Running, neighbours: &[&str], since: Instant) {
    let expected = format!("Neighbours: {}", neighbours.join(" "));
    let at = peer.wait_until(&expected, PATIENCE, |lines| {
        let last = lines
            .iter()
            .rfind(|line| line.text.starts_with("Neighbours: "))?;
        (last.text == expected).then_some(last.at)
    });
    assert_in_time(&expected, at, since, PROMPT);
}

/// The addresses of a peer's neighbours, in the order in which it lists them.
#[track_caller]
fn neighbours(peer: &Node) -> Vec<String> {
    let address = |row: &Value| row["address"].as_str().unwrap().into();
    peer.neighbours().iter().map(address).collect()
}

/// Waits until a peer has the listing of its neighbour: that flows after the
/// file, when there is nothing better to do.
fn knows_files_of(peer: &Node, neighbour: &str, files: u64) {
    poll(&format!("{files} files of {neighbour}"), PATIENCE, || {
        let rows = peer.neighbours();
        rows.iter()
            .find(|row| row["address"] == neighbour && row["files"] == files)
            .map(|_| ())
    });
}

/// Asserts who sent a file, and who said where it was.
#[track_caller]
fn assert_came(fetched: &Value, from: &str, source: &str, via: Option<&str>, tracker_asked: bool) {
    let answer = &fetched["answer"];
    assert_eq!(fetched["from"]["address"], from, "{fetched:#}");
    assert_eq!(answer["source"], source, "{fetched:#}");
    assert_eq!(answer["via"]["address"].as_str(), via, "{fetched:#}");
    assert_eq!(answer["tracker_asked"], tracker_asked, "{fetched:#}");
}

#[track_caller]
fn assert_fails(peer: &Node, name: &str, code: i32, kind: &str) {
    let (ended, events) = peer.json(&["get", name]);
    assert_eq!(ended, Some(code), "{events:#?}");
    assert_ends_once(&events, "error");
    assert_eq!(events.last().unwrap()["kind"], kind, "{events:#?}");
}

//! A village goes on when its tracker is killed, when all nodes start again
//! without it, and when a machine gets another address. Played by the real
//! program, on hosts of its own.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::Value;

use crate::support::process::poll;
use crate::support::village::{listening, named, sharing};
use crate::support::{Net, Node, PATIENCE, Picture, Running, Village};

const TRACKER: Ipv4Addr = Ipv4Addr::new(192, 168, 198, 1);
const PEERS: [Ipv4Addr; 3] = [
    Ipv4Addr::new(192, 168, 198, 137),
    Ipv4Addr::new(192, 168, 198, 138),
    Ipv4Addr::new(192, 168, 198, 139),
];
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(192, 168, 198, 77);

/// A second between signs of life, so that silence is not long; and no hops, so
/// that the member that answers is a neighbour itself.
const SETTINGS: &str = "[interval]\ntracker_ms = 1000\nneighbour_ms = 1000\n\n[lookup]\nhops = 0\n";

/// A second, as in [`SETTINGS`].
const INTERVAL: Duration = Duration::from_secs(1);
/// So much later the peers dial, lest they all come at once.
const JITTER: Duration = Duration::from_secs(1);
/// For a machine that has other things to do.
const SLACK: Duration = Duration::from_secs(2);

/// A tracker and three peers that are all neighbours of one another.
struct Played {
    net: Net,
    tracker: (Node, Running),
    peers: [(Node, Running); 3],
    _village: Village,
}

fn play(test: &str) -> Option<Played> {
    let net = Net::new(test, &[&[TRACKER], &PEERS[..]].concat())?;
    let village = Village::new();
    let node = |name: &str, at| {
        let node = village.node(name).on(net.host(at));
        node.configure(SETTINGS);
        node
    };
    let tracker = node("tracker", TRACKER);
    let running = tracker.start(&["tracker", "--open", "--lines"]);
    listening(&running);
    let peers = [0, 1, 2].map(|n: usize| {
        let peer = node(&format!("peer-{n}"), PEERS[n]);
        for round in 0..4 {
            peer.file(&file(n, round), format!("{n}, {round}\n"));
        }
        let running = share(&peer);
        running.wait_for_line("Connection Established!", |line| {
            line == "Connection Established!"
        });
        (peer, running)
    });
    for (n, (peer, _)) in peers.iter().enumerate() {
        peer.fetch(&file((n + 1) % 3, 0));
    }
    let played = Played {
        net,
        tracker: (tracker, running),
        peers,
        _village: village,
    };
    played.all_are_neighbours();
    Some(played)
}

/// The file that a peer has for a round of fetches.
fn file(peer: usize, round: usize) -> String {
    format!("{peer}-{round}.txt")
}

fn share(peer: &Node) -> Running {
    let running = peer.start(&["share", "--lines", "--tracker", &TRACKER.to_string()]);
    sharing(&running);
    running
}

impl Played {
    /// Waits until every peer has both others as neighbours, and their listings.
    fn all_are_neighbours(&self) {
        for (n, (peer, _)) in self.peers.iter().enumerate() {
            let others = [0, 1, 2].iter().filter(|other| **other != n);
            let others: Vec<String> = others.map(|other| PEERS[*other].to_string()).collect();
            poll("both neighbours", PATIENCE, || {
                let rows = peer.neighbours();
                let listed = |row: &&Value| row["files"].as_u64() >= Some(4);
                let here = rows.iter().filter(listed).map(|row| row["address"].clone());
                here.eq(others.iter().map(|other| Value::from(&**other)))
                    .then_some(())
            });
        }
    }

    /// Every peer fetches what its neighbours have for this round.
    fn fetch_from_neighbours(&self, round: usize) {
        for (n, (peer, _)) in self.peers.iter().enumerate() {
            for other in [(n + 1) % 3, (n + 2) % 3] {
                let name = file(other, round);
                let fetched = peer.fetch(&name);
                assert_eq!(fetched["answer"]["tracker_asked"], false, "{fetched:#}");
                assert_eq!(peer.bytes(&name), self.peers[other].0.bytes(&name));
            }
        }
    }

    fn nobody_has_a_tracker(&self) {
        for (peer, _) in &self.peers {
            poll("the tracker to be gone", PATIENCE, || {
                let (_, events) = peer.json(&["status"]);
                let status = named(&events, "status").next().cloned();
                (status?["tracker_connected"] == false).then_some(())
            });
        }
    }

    /// Ends all peers with this signal, and then starts them again.
    fn restart_peers(self, signal: &str) -> Self {
        let ended = self.peers.map(|(peer, running)| {
            running.signal(signal);
            running.finish(PATIENCE);
            peer
        });
        let peers = ended.map(|peer| {
            let running = share(&peer);
            (peer, running)
        });
        Self { peers, ..self }
    }
}

#[test]
fn without_its_tracker_a_village_finds_and_fetches_and_even_starts_again() {
    let test = "without_its_tracker_a_village_finds_and_fetches_and_even_starts_again";
    let Some(played) = play(test) else {
        return;
    };
    played.tracker.1.signal("KILL");
    played.nobody_has_a_tracker();
    played.fetch_from_neighbours(1);

    let played = played.restart_peers("TERM");
    played.all_are_neighbours();
    played.nobody_has_a_tracker();
    played.fetch_from_neighbours(2);

    let played = played.restart_peers("KILL");
    played.all_are_neighbours();
    played.fetch_from_neighbours(3);

    // It comes back, and has the full picture again.
    let (node, _) = &played.tracker;
    let again = node.start(&["tracker", "--lines"]);
    listening(&again);
    again.wait_until("all that there is", INTERVAL + JITTER + SLACK, |lines| {
        let (_, picture) = Picture::all(lines).pop()?;
        let peers = PEERS.map(|peer| peer.to_string());
        let all_held = picture.files.iter().filter(|row| row[1] == peers.join(" "));
        let met = |row: &Vec<String>| row[2].split(' ').count() == 2;
        // Of the first round, each has fetched one of the two.
        (picture.files.len() == 12
            && all_held.count() == 9
            && picture.peers.len() == 3
            && picture.peers.iter().all(met))
        .then_some(())
    });
}

#[test]
fn a_machine_that_gets_another_address_is_reachable_again() {
    let Some(played) = play("a_machine_that_gets_another_address_is_reachable_again") else {
        return;
    };
    let old = PEERS[2].to_string();
    let new = ELSEWHERE.to_string();
    played.net.host(PEERS[2]).move_to(ELSEWHERE);
    played
        .tracker
        .1
        .wait_until("it at its new address", PATIENCE, |lines| {
            let (_, picture) = Picture::all(lines).pop()?;
            let row = picture.peers.iter().find(|row| row[0] == new)?;
            let is_complete = picture.peers.len() == 3 && row[1].split(' ').count() == 5;
            (is_complete && row[2].split(' ').count() == 2).then_some(())
        });
    for (n, (peer, _)) in played.peers[..2].iter().enumerate() {
        poll("the neighbour at its new address", PATIENCE, || {
            let rows = peer.neighbours();
            let here = rows.iter().filter(|row| row["address"] == *new);
            let there = rows.iter().filter(|row| row["address"] == *old);
            (here.count() == 1 && there.count() == 0 && rows.len() == 2).then_some(())
        });
        let fetched = peer.fetch(&file(2, 1 + n));
        assert_eq!(fetched["from"]["address"], *new, "{fetched:#}");
    }
    // And it reaches the others.
    let (moved, _) = &played.peers[2];
    moved.fetch(&file(0, 1));
    moved.fetch(&file(1, 1));
}

#[test]
fn a_village_that_was_suspended_is_all_there_again_by_itself() {
    let Some(played) = play("a_village_that_was_suspended_is_all_there_again_by_itself") else {
        return;
    };
    let (sleeper, running) = &played.peers[2];
    let sleeping = PEERS[2].to_string();
    running.signal("STOP");
    // Longer than three intervals: every node has given it up.
    for (peer, _) in &played.peers[..2] {
        poll("the sleeper to be given up", PATIENCE, || {
            let rows = peer.neighbours();
            (rows.iter().all(|row| row["address"] != *sleeping)).then_some(())
        });
    }
    let tracker = &played.tracker.1;
    tracker.wait_until("a table without it", PATIENCE, |lines| {
        let (_, picture) = Picture::all(lines).pop()?;
        (picture.peers.iter().all(|row| row[0] != sleeping)).then_some(())
    });
    running.signal("CONT");
    played.all_are_neighbours();
    tracker.wait_until("all of it again", PATIENCE, |lines| {
        let (_, picture) = Picture::all(lines).pop()?;
        let row = picture.peers.iter().find(|row| row[0] == sleeping)?;
        // Its four, and the one that it has fetched.
        (row[1].split(' ').count() == 5 && row[2].split(' ').count() == 2).then_some(())
    });
    let fetched = sleeper.fetch(&file(0, 3));
    assert_eq!(fetched["answer"]["tracker_asked"], false, "{fetched:#}");
}

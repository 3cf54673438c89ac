//! Torrents and magnet links of shared files, as a user asks for them.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use thorp_wire::announce::{Announce, AnnounceEvent, Announced, query};
use thorp_wire::torrent::{Magnet, Torrent};
use thorp_wire::{ClientId, InfoHash};

use crate::support::process::poll;
use crate::support::village::{listening, named, sharing};
use crate::support::{Node, PATIENCE, Running, Village};

/// A tracker and a peer, each of which may serve ordinary clients.
struct Pair {
    oak: Node,
    /// As the peer was started.
    typed: Vec<String>,
    /// Where the peer and the tracker are.
    peer_at: String,
    tracker_at: String,
    running: [Running; 2],
    village: Village,
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
        let typed: Vec<String> = typed.into_iter().map(str::to_owned).collect();
        peer.wait_for_line("Connection Established!", |line| {
            line == "Connection Established!"
        });
        let peer_at = sharing(&peer);
        Self {
            oak,
            typed,
            peer_at,
            tracker_at,
            running: [peer, tracker],
            village,
        }
    }

    /// Ends the peer and starts it again.
    fn restart(self) -> Self {
        let [peer, tracker] = self.running;
        self.oak.run(&["stop"]).exits(0);
        peer.finish(PATIENCE).exits(0);
        let typed: Vec<&str> = self.typed.iter().map(String::as_str).collect();
        let peer = self.oak.start(&typed);
        Self {
            peer_at: sharing(&peer),
            running: [peer, tracker],
            ..self
        }
    }

    /// The clients of which the tracker tells another one that has just begun.
    fn clients_of(&self, torrent: InfoHash) -> Vec<SocketAddr> {
        let announce = Announce {
            torrent,
            client: ClientId::of_thorp(*b"in the tests"),
            port: 9,
            uploaded: 0,
            downloaded: 0,
            left: 1000,
            event: AnnounceEvent::Started,
            wanted: None,
            key: 7,
        };
        let path = format!("/announce?{}", query::write_announce(&announce, None));
        let request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n");
        let mut stream = TcpStream::connect(&self.tracker_at).expect("connects");
        stream.write_all(request.as_bytes()).expect("is read");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("is answered");
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let told = Announced::decode(&answer[end.expect("a head") + 4..]);
        // It does not know the torrent, or tells who has it.
        told.map(|told| told.peers).unwrap_or_default()
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
}

#[test]
fn a_client_that_begins_as_soon_as_its_torrent_is_made_is_told_of_the_peer() {
    let pair = Pair::new(true, true, &[("first", b"first")]);
    pair.made(&["magnet", "first"]);
    let peer: SocketAddr = pair.peer_at.parse().expect("an address");
    // That of v1 is in an entry, that of v2 follows from one, and the public one of v1 is kept.
    for version in [&[][..], &["--v2"], &["--public"]] {
        for number in 0..3 {
            let name = format!("{}{number}", version.concat());
            pair.oak.file(&name, &name);
            let made = pair.made(&[&["magnet"], version, &["--", &name]].concat());
            let magnet = magnet_of(&made);
            let v2 = magnet.v2.map(|info_hash| info_hash.truncated());
            let torrent = magnet.v1.or(v2).expect("an info-hash");
            assert_eq!(pair.clients_of(torrent), [peer], "{name}");
        }
    }
}

#[test]
fn a_file_that_was_just_written_to_the_share_has_a_torrent_at_once() {
    let pair = Pair::new(true, true, &[("first", b"first")]);
    pair.made(&["magnet", "first"]);
    for number in 0..3 {
        let name = format!("new/{number}");
        pair.oak.file(&name, &name);
        pair.oak.run(&["magnet", &name]).exits(0);
    }
    // One that is not shared is not waited for without end.
    pair.oak.file(".hidden", "h");
    pair.oak.run(&["magnet", ".hidden"]).exits(3);
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

#[test]
fn a_folder_s_torrent_names_what_is_shared_in_it_and_is_kept_over_a_restart() {
    let movie = vec![9; 700_000];
    let files: [(&str, &[u8]); 6] = [
        ("films/old/a b.mkv", &movie),
        ("films/old/notes", b"notes"),
        ("films/old/empty", b""),
        ("films/old/.hidden", b"hidden"),
        ("films/old/draft/x", b"x"),
        ("films/old/draft/.thorpignore", b"*\n"),
    ];
    let mut pair = Pair::new(true, true, &files);
    let dir = pair.oak.state();
    let mut made = Vec::new();
    for (number, version) in [&[][..], &["--v2"], &["--public"], &["--v2", "--public"]]
        .into_iter()
        .enumerate()
    {
        let magnet = pair.made(&[&["magnet", "films/old"], version].concat());
        assert_eq!(
            (&magnet["name"], &magnet["files"]),
            (&"films/old".into(), &3.into())
        );
        let file = dir.join(format!("{number}.torrent"));
        let typed = ["torrent", "old", "-o", file.to_str().expect("UTF-8")];
        let saved = pair.made(&[&typed, version].concat());
        assert_eq!(saved["magnet"], magnet["magnet"]);
        assert_eq!(magnet_of(&magnet).name.as_deref(), Some("old"));

        let torrent = Torrent::decode(&fs::read(&file).expect("it is written"));
        let torrent = torrent.expect("a torrent");
        let info = torrent.info();
        let names: Vec<&str> = info.files().iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["old/a b.mkv", "old/empty", "old/notes"]);
        assert_eq!(info.is_private(), !version.contains(&"--public"));
        assert_eq!(info.v2().is_some(), version.contains(&"--v2"));
        assert_eq!(info.length(), 700_005);
        made.push(info.info_hashes().next().expect("it has one"));
    }
    // A file's public torrent of v1 follows from no entry either.
    let notes = pair.made(&["magnet", "notes", "--public"]);
    made.push(magnet_of(&notes).v1.expect("is of v1"));

    let tracked = |pair: &Pair| {
        let peer: SocketAddr = pair.peer_at.parse().expect("an address");
        poll("the tracker knows them", PATIENCE, || {
            let knows = |torrent: &InfoHash| pair.clients_of(*torrent).contains(&peer);
            made.iter().all(knows).then_some(())
        });
    };
    tracked(&pair);
    pair = pair.restart();
    tracked(&pair);

    // One file changes: the folder's are of the past, the other file's is not.
    pair.oak.file("films/old/empty", b"no more");
    poll("the tracker has heard", PATIENCE, || {
        let gone = made[..4]
            .iter()
            .all(|torrent| pair.clients_of(*torrent).is_empty());
        gone.then_some(())
    });
    assert!(!pair.clients_of(made[4]).is_empty());

    // With its goodbye the peer is in no swarm any more.
    pair.oak.run(&["stop"]).exits(0);
    poll("the tracker has heard", PATIENCE, || {
        pair.clients_of(made[4]).is_empty().then_some(())
    });
}

#[test]
fn of_a_folder_without_bytes_it_is_said_what_is_wrong_with_it() {
    let pair = Pair::new(
        true,
        true,
        &[
            ("d/empty", b""),
            ("e/f/x", b"x"),
            ("g/f/y", b"y"),
            ("h/.z", b"z"),
        ],
    );
    pair.made(&["magnet", "e/f"]);
    pair.oak.run(&["magnet", "d"]).exits(1).says("empty");
    pair.oak.run(&["magnet", "h"]).exits(3).says("left out");
    pair.oak.run(&["magnet", "no"]).exits(3).says("thorp find");
    let end = pair.oak.run(&["torrent", "f", "-o", "-"]).exits(5);
    end.says("e/f/, g/f/");
    let whole = pair.made(&["magnet", "."]);
    assert_eq!((&whole["name"], &whole["files"]), (&".".into(), &3.into()));
}

#[test]
fn a_folder_s_torrent_is_fetched_by_another_peer_which_serves_it_on() {
    let long: Vec<u8> = (0..=250).cycle().take(900_000).collect();
    let files: [(&str, &[u8]); 4] = [
        ("d/a", b"a"),
        ("d/b/long", &long),
        ("d/c", &long[..70_000]),
        ("d/none", b""),
    ];
    let pair = Pair::new(true, true, &files);
    for version in [&[][..], &["--v2"]] {
        let name = format!("elm{}", version.len());
        let (elm, torrent) = (pair.village.node(&name), format!("{name}.torrent"));
        let torrent = pair.oak.state().join(torrent);
        let typed = torrent.to_str().expect("UTF-8");
        let saved = pair.made(&[&["torrent", "d", "-o", typed], version].concat());
        let decoded = Torrent::decode(&fs::read(&torrent).expect("it is written"));
        let hash = decoded.expect("a torrent").info().info_hashes().next();
        let hash = hash.expect("it has one");
        let has_it = |at: SocketAddr| {
            poll("the tracker knows who has it", PATIENCE, || {
                pair.clients_of(hash).contains(&at).then_some(())
            });
        };
        // It is told before the user is.
        let oak_at: SocketAddr = pair.peer_at.parse().expect("an address");
        assert!(pair.clients_of(hash).contains(&oak_at));

        let mut flags = vec![
            "share",
            "--lines",
            "--bittorrent",
            "--tracker",
            &pair.tracker_at,
        ];
        flags.extend(["--listen", "127.0.0.1:0"]);
        let peer = elm.start(&flags);
        peer.wait_for_line("Connection Established!", |line| {
            line == "Connection Established!"
        });
        let at: SocketAddr = sharing(&peer).parse().expect("an address");
        poll("the fetch", PATIENCE, || {
            let (code, _) = elm.json(&["get", typed]);
            // It waits for the group's record, which says that clients are served.
            (code == Some(0)).then_some(())
        });
        for (name, bytes) in &files {
            assert_eq!(fs::read(elm.share().join(name)).expect("is there"), *bytes);
        }
        has_it(at);
        // It has the same torrent of its own.
        let same = elm.json(&[&["magnet", "d"], version].concat());
        let same = named(&same.1, "torrent").next().expect("is made").clone();
        assert_eq!(same["info_hash"], saved["info_hash"]);
    }
}

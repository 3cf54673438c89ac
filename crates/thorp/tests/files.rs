//! Files of every shape between real nodes on 127.0.0.x, or on a slow line, and
//! what goes wrong, each with a message on standard error and its exit code.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::picture::assert_in_time;
use crate::support::process::poll;
use crate::support::village::{assert_ends_once, assert_same_files, listening, named};
use crate::support::{Finished, Net, Node, PATIENCE, Picture, Running, Village, skip};

/// A tracker, a peer that has files, and one that wants them.
struct Pair {
    tracker: Running,
    /// Where the tracker is.
    at: String,
    has: Node,
    wants: Node,
    sharing: [Running; 2],
    village: Village,
}

impl Pair {
    /// `fill` puts the files into the first peer's share before it starts.
    fn new(fill: impl FnOnce(&Node)) -> Self {
        let village = Village::new();
        let (tracker, at) = village.tracker();
        let (has, wants) = (village.node("has"), village.node("wants"));
        fill(&has);
        let sharing = [
            has.start_sharing(&at, "127.0.0.2:0"),
            wants.start_sharing(&at, "127.0.0.3:0"),
        ];
        for (node, address) in [(&has, "127.0.0.2"), (&wants, "127.0.0.3")] {
            lists(&tracker, address, node);
        }
        Self {
            tracker,
            at,
            has,
            wants,
            sharing,
            village,
        }
    }

    /// Fetches a file and asserts that it has come whole.
    #[track_caller]
    fn fetch(&self, name: &str) {
        self.wants.fetch(name);
        assert!(
            self.wants.bytes(name) == self.has.bytes(name),
            "{name:?} has other bytes"
        );
    }
}

/// Waits until the tracker has a peer's listing.
fn lists(tracker: &Running, address: &str, node: &Node) {
    let empty = fs::read_dir(node.share()).unwrap().next().is_none();
    tracker.wait_until(&format!("the listing of {address}"), PATIENCE, |lines| {
        let (_, last) = Picture::all(lines).pop()?;
        let row = last.peers.into_iter().find(|row| row[0] == address)?;
        (empty || !row[1].is_empty()).then_some(())
    });
}

/// Waits until `node` can see two contents under one name.
fn two_contents(node: &Node, name: &str) {
    poll("two contents, both of them hashed", PATIENCE, || {
        let (_, events) = node.json(&["find", name]);
        let hashed = named(&events, "file").filter(|row| row["root"].is_string());
        (hashed.count() == 2).then_some(())
    });
}

/// Bytes that differ from one another, and from those of another seed.
fn noise(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2) | 1;
    let next = || {
        state = state.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[test]
fn files_around_every_leaf_and_frame_boundary_are_fetched() {
    let sizes = [0, 1, 16_383, 16_384, 16_385, 262_144];
    let pair = Pair::new(|has| {
        for size in sizes {
            has.file(&format!("{size}.bin"), noise(7, size));
        }
    });
    for size in sizes {
        pair.fetch(&format!("{size}.bin"));
    }
}

#[test]
fn names_of_every_kind() {
    let longest = format!("{}.txt", "x".repeat(251));
    let names = [
        "two words.txt",
        " ",
        "-rf",
        "--help",
        "caf\u{e9}.txt",
        "cafe\u{301}.txt",
        "日本語.txt",
        "quote\"'$(x)`.txt",
        "back\\slash.txt",
        "a/b/c/deep.txt",
        "a/b/deep.txt",
        "a..",
        &longest,
    ];
    let pair = Pair::new(|has| {
        for (seed, name) in names.iter().enumerate() {
            // Each is another file, so that one cannot stand for another.
            has.file(name, noise(u32::try_from(seed).unwrap(), 100 + seed));
        }
    });
    for name in names {
        pair.fetch(name);
    }
}

#[test]
fn a_base_name_is_enough_where_there_is_one() {
    let pair = Pair::new(|has| has.file("a/b/deep.txt", "deep"));
    let fetched = pair.wants.fetch("deep.txt");
    assert_eq!(fetched["name"], "a/b/deep.txt");
    assert_eq!(pair.wants.bytes("a/b/deep.txt"), b"deep");
}

#[test]
fn a_thousand_files_with_one_get() {
    let pair = Pair::new(|has| {
        for n in 0..1000 {
            has.file(&format!("dir/{}/{n}.bin", n % 7), noise(n, n as usize));
        }
        has.file("other.txt", "not asked for");
    });
    let end = pair
        .wants
        .run_for(2 * PATIENCE, &["--json", "get", "dir/**"])
        .exits(0);
    let events: Vec<_> = end
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_ends_once(&events, "done");
    assert_eq!(events.last().unwrap()["count"], 1000);
    assert_eq!(named(&events, "fetched").count(), 1000);
    assert_same_files(
        &pair.has.share().join("dir"),
        &pair.wants.share().join("dir"),
    );
    assert!(!pair.wants.share().join("other.txt").exists());
}

#[test]
fn control_characters_are_never_printed_raw() {
    let names = [
        "new\nline.txt",
        "red\u{1b}[31m.txt",
        "right\u{202e}txt.exe",
        "bell\u{7}",
    ];
    let pair = Pair::new(|has| {
        for name in names {
            has.file(name, name);
        }
    });
    let mut said = Vec::new();
    for args in [&["find", "*"][..], &["ls"], &["get", "--", "*"]] {
        let end = pair.wants.run(args).exits(0);
        said.extend([end.stdout, end.stderr]);
    }
    for name in names {
        assert_eq!(pair.wants.bytes(name), name.as_bytes());
    }
    let [has, wants] = &pair.sharing;
    said.extend([&pair.tracker, has, wants].map(Running::transcript));
    for text in said {
        for raw in ['\u{1b}', '\u{202e}', '\u{7}'] {
            assert!(!text.contains(raw), "{raw:?} in {text:?}");
        }
        assert!(
            !text.lines().any(|line| line.starts_with("line.txt")),
            "{text}"
        );
    }
}

#[test]
fn what_is_there_is_never_overwritten() {
    let pair = Pair::new(|has| has.file("a.txt", "theirs"));
    pair.wants.file("a.txt", "mine");
    let taken = "File with same name exists in the same directory! \
                 Please rename it if you want to request this file.";
    pair.wants.run(&["get", "a.txt"]).exits(4).says(taken);
    assert_eq!(pair.wants.bytes("a.txt"), b"mine");
    // Under another name, elsewhere, or by an order.
    pair.wants.run(&["get", "a.txt", "--as", "b.txt"]).exits(0);
    assert_eq!(pair.wants.bytes("b.txt"), b"theirs");
    fs::create_dir(pair.wants.share().join("out")).unwrap();
    pair.wants.run(&["get", "a.txt", "-o", "out"]).exits(0);
    assert_eq!(pair.wants.bytes("out/a.txt"), b"theirs");
    pair.wants.run(&["get", "a.txt", "-o", "out"]).exits(0);
    pair.wants.file("out/a.txt", "changed");
    pair.wants.run(&["get", "a.txt", "-o", "out"]).exits(4);
    assert_eq!(pair.wants.bytes("out/a.txt"), b"changed");
    pair.wants.run(&["get", "a.txt", "--overwrite"]).exits(0);
    assert_eq!(pair.wants.bytes("a.txt"), b"theirs");
}

#[test]
fn several_contents_under_one_name_are_a_choice() {
    let pair = Pair::new(|has| has.file("notes.txt", "one"));
    let third = pair.village.node("third");
    third.file("notes.txt", "another");
    let _third = third.start_sharing(&pair.at, "127.0.0.4:0");
    lists(&pair.tracker, "127.0.0.4", &third);
    two_contents(&pair.wants, "notes.txt");

    let (code, events) = pair.wants.json(&["get", "notes.txt"]);
    assert_eq!(code, Some(5), "{events:#?}");
    assert_ends_once(&events, "error");
    let choice = named(&events, "choice").next().unwrap();
    let variants = choice["variants"].as_array().unwrap();
    assert_eq!(variants.len(), 2, "{events:#?}");
    assert!(!pair.wants.share().join("notes.txt").exists());

    let one = variants.iter().find(|row| row["length"] == 3).unwrap();
    let prefix = &one["root"].as_str().unwrap()[..8];
    let args = ["get", "notes.txt", "--root", prefix];
    pair.wants.run(&args).exits(0);
    assert_eq!(pair.wants.bytes("notes.txt"), b"one");

    let from = ["--from", "127.0.0.4", "--as", "theirs.txt"];
    let args = [&["get", "notes.txt"], &from[..]].concat();
    pair.wants.run(&args).exits(0);
    assert_eq!(pair.wants.bytes("theirs.txt"), b"another");
}

#[test]
fn a_root_is_looked_for_beyond_the_neighbours() {
    let pair = Pair::new(|has| has.file("notes.txt", "one"));
    let third = pair.village.node("third");
    third.file("notes.txt", "another");
    let _third = third.start_sharing(&pair.at, "127.0.0.4:0");
    lists(&pair.tracker, "127.0.0.4", &third);
    two_contents(&pair.wants, "notes.txt");
    let (_, events) = pair.wants.json(&["get", "notes.txt"]);
    let choice = named(&events, "choice").next().unwrap();
    for row in choice["variants"].as_array().unwrap() {
        let prefix = &row["root"].as_str().unwrap()[..8];
        let name = format!("{prefix}.txt");
        let args = ["get", "notes.txt", "--root", prefix, "--as", &name];
        pair.wants.run(&args).exits(0);
        let length = pair.wants.bytes(&name).len() as u64;
        assert_eq!(row["length"], length);
    }
}

#[test]
fn a_visitor_needs_no_share() {
    let pair = Pair::new(|has| has.file("a.txt", "theirs"));
    let visitor = pair.village.node("visitor");
    visitor
        .run(&["get", "a.txt", "--tracker", &pair.at])
        .exits(0);
    assert_eq!(visitor.bytes("a.txt"), b"theirs");
    // By now it is a member, and knows where the tracker is.
    visitor.run(&["get", "a.txt", "--as", "b.txt"]).exits(0);
    assert_eq!(visitor.bytes("b.txt"), b"theirs");
    visitor
        .run(&["get", "none.txt"])
        .exits(3)
        .says("No peer is sharing this file now.");
}

#[test]
fn a_visitors_fetch_that_is_interrupted_is_taken_up_where_it_was() {
    const LENGTH: u64 = 64 * 1024 * 1024;
    let test = "a_visitors_fetch_that_is_interrupted_is_taken_up_where_it_was";
    let address = |last| Ipv4Addr::new(192, 168, 198, last);
    let Some(net) = Net::new(test, &[address(1), address(2)]) else {
        return;
    };
    // So slow that it is interrupted in its middle.
    net.limit(address(1), "160mbit");
    let village = Village::new();
    let has = village.node("has").on(net.host(address(1)));
    marked(&has, "film", LENGTH);
    let tracker = village.node("tracker").on(net.host(address(1)));
    let tracker = tracker.start(&["tracker", "--open", "--lines"]);
    let at = listening(&tracker);
    let _sharing = has.start_sharing(&at, "[::]:3334");
    hashed(&has);

    let visitor = village.node("visitor").on(net.host(address(2)));
    let get = ["--json", "get", "film", "--tracker", &at];
    let mut there = 0;
    for signal in ["INT", "KILL"] {
        let fetch = visitor.start(&get);
        there = fetch.wait_until("more of it to arrive", PATIENCE, |lines| {
            let last = lines.iter().filter_map(|line| verified(&line.text)).max()?;
            (last > there).then_some(last)
        });
        fetch.signal(signal);
        let end = fetch.finish(PATIENCE);
        if signal == "INT" {
            let why =
                "interrupted: what has arrived is kept, and the same command goes on from there";
            assert!(end.stdout.contains(why), "{end}");
            assert_eq!(end.code, Some(7), "{end}");
        } else {
            assert_eq!(end.code, None, "{end}");
        }
        assert!(there < LENGTH, "too late to interrupt it");
        let left = names_in(&visitor);
        assert!(
            left.len() == 1 && left[0].starts_with(".thorp-"),
            "{left:?}"
        );
    }

    let (code, events) = visitor.json(&get[1..]);
    assert_eq!(code, Some(0), "{events:#?}");
    let resumed = named(&events, "resumed").next().unwrap()["bytes"].as_u64();
    assert!(
        resumed >= Some(there),
        "{there} bytes were there: {events:#?}"
    );
    let fetched = named(&events, "fetched").next().unwrap();
    let received = fetched["received"].as_u64();
    assert!(
        received <= Some(LENGTH - there),
        "{there} bytes were there: {fetched:#}"
    );
    assert_eq!(names_in(&visitor), ["film"]);
    assert!(visitor.bytes("film") == has.bytes("film"));
}

#[test]
fn a_file_of_a_few_pieces_comes_from_all_three_who_have_it() {
    let test = "a_file_of_a_few_pieces_comes_from_all_three_who_have_it";
    let hosts = [1, 2, 3, 4].map(|last| Ipv4Addr::new(192, 168, 198, last));
    let Some(net) = Net::new(test, &hosts) else {
        return;
    };
    let village = Village::new();
    let tracker = village.node("tracker").on(net.host(hosts[0]));
    let tracker = tracker.start(&["tracker", "--open", "--lines"]);
    let at = listening(&tracker);
    let holders = [1, 2, 3].map(|number| {
        // So slow that there is time to dial all of them.
        net.limit(hosts[number], "20mbit");
        let node = village
            .node(&format!("has-{number}"))
            .on(net.host(hosts[number]));
        marked(&node, "film", 5 * 1024 * 1024 + 1);
        let running = node.start_sharing(&at, "[::]:3334");
        hashed(&node);
        (node, running)
    });
    let asker = village.node("wants").on(net.host(hosts[0]));
    // The tracker hears of a root a moment after it is there.
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let (_, events) = asker.json(&["find", "film", "--tracker", &at]);
        let is_known = named(&events, "file").any(|row| {
            let holders = row["holders"].as_array().map(Vec::len);
            row["root"].is_string() && holders == Some(3)
        });
        if is_known {
            break;
        }
        assert!(Instant::now() < deadline, "{events:#?}");
    }
    let (code, events) = asker.json(&["get", "film", "--tracker", &at]);
    assert_eq!(code, Some(0), "{events:#?}");
    let fetched = named(&events, "fetched").next().unwrap();
    let sources = fetched["sources"].as_array().unwrap();
    let from: BTreeSet<_> = sources.iter().map(|row| row["address"].as_str()).collect();
    let addresses = hosts[1..].iter().map(Ipv4Addr::to_string);
    let addresses: Vec<_> = addresses.collect();
    let all = addresses.iter().map(|address| Some(&**address)).collect();
    assert_eq!(from, all, "{fetched:#}");
    assert!(asker.bytes("film") == holders[0].0.bytes("film"));
}

/// What is in a node's share, hidden or not.
fn names_in(node: &Node) -> Vec<String> {
    let entries = fs::read_dir(node.share()).unwrap();
    let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    entries.map(name).collect()
}

fn hashed(node: &Node) {
    poll("everything to be hashed", PATIENCE, || {
        let (_, events) = node.json(&["status"]);
        (named(&events, "status").next()?["unhashed"] == 0).then_some(())
    });
}

/// A sparse file in which every block is another one.
fn marked(node: &Node, name: &str, length: u64) {
    let file = fs::File::create(node.share().join(name)).unwrap();
    file.set_len(length).unwrap();
    for offset in (0..length).step_by(16 * 1024) {
        file.write_all_at(&offset.to_be_bytes(), offset).unwrap();
    }
}

/// How many bytes a `progress` event says are verified.
fn verified(line: &str) -> Option<u64> {
    let event: serde_json::Value = serde_json::from_str(line).ok()?;
    (event["event"] == "progress").then(|| event["bytes"].as_u64())?
}

#[test]
fn each_signal_that_ends_a_peer_or_a_tracker_is_a_goodbye() {
    for signal in ["INT", "TERM", "HUP"] {
        let pair = Pair::new(|has| has.file("a.txt", "a"));
        let tracker = pair.tracker;
        let [has, wants] = pair.sharing;
        let leaves = Instant::now();
        has.signal(signal);
        has.finish(PATIENCE).exits(0);
        let gone = tracker.wait_until("the row to go", PATIENCE, |lines| {
            let (at, last) = Picture::all(lines).pop()?;
            let peers = last.peers.iter().map(|row| &*row[0]);
            (peers.eq(["127.0.0.3"]) && last.files.is_empty()).then_some(at)
        });
        assert_in_time("the row to go", gone, leaves, Duration::from_secs(1));

        tracker.signal(signal);
        tracker.finish(PATIENCE).exits(0);
        wants.wait_for_line("its goodbye", |line| line.contains("stopped by its user"));
    }
}

#[test]
fn stop_says_goodbye() {
    let pair = Pair::new(|has| has.file("a.txt", "a"));
    pair.has.run(&["stop"]).exits(0);
    let [has, _wants] = pair.sharing;
    has.finish(PATIENCE).exits(0);
    pair.wants.run(&["get", "a.txt"]).exits(3);
}

#[test]
fn a_share_that_is_no_directory() {
    let village = Village::new();
    let node = village.node("peer");
    node.file("file", "x");
    for (dir, why) in [("none", "no such directory"), ("file", "not a directory")] {
        let end = node.run(&["share", dir]).exits(2).says(why).says(dir);
        assert_eq!(end.stdout, "");
    }
}

#[test]
fn an_unreadable_file_is_told_and_left_out() {
    let test = "an_unreadable_file_is_told_and_left_out";
    let mut reader = Vec::new();
    let pair = Village::new();
    let has = pair.node("has");
    has.file("secret.txt", "secret");
    has.file("open.txt", "open");
    let secret = has.share().join("secret.txt");
    let mode = |mode| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0);
    if fs::read(&secret).is_ok() {
        // The superuser reads everything, unless it has no capabilities.
        reader = vec!["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
        let tried = Command::new(reader[0])
            .args(&reader[1..])
            .arg("cat")
            .arg(&secret)
            .output();
        if tried.is_ok_and(|end| end.status.success() || end.stdout == b"secret")
            || Command::new(reader[0]).arg("--version").output().is_err()
        {
            mode(0o600);
            return skip(test, "not to be root, or setpriv");
        }
    }
    let (_tracker, at) = pair.tracker();
    let has = has.under(&reader);
    let wants = pair.node("wants");
    let running = has.start_sharing(&at, "127.0.0.2:0");
    let _wants = wants.start_sharing(&at, "127.0.0.3:0");
    wants.fetch("open.txt");
    let warning = running.wait_for_line("a warning", |line| line.contains("secret.txt"));
    assert_eq!(
        warning.stream,
        crate::support::process::Stream::Stderr,
        "{warning:?}"
    );
    let end = wants.run(&["get", "secret.txt"]);
    assert_ne!(end.code, Some(0), "{end}");
    assert!(!wants.share().join("secret.txt").exists());
}

#[test]
fn a_port_that_is_taken() {
    let village = Village::new();
    let taken = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let held = TcpListener::bind(taken).unwrap();
    let address = &taken.to_string();
    for args in [
        ["tracker", "--listen", address],
        ["share", "--listen", address],
    ] {
        let end = village.node(args[0]).run(&args);
        assert!(matches!(end.code, Some(1 | 6)), "{end}");
        end.says(&taken.port().to_string());
    }
    drop(held);
}

#[test]
fn a_tracker_that_is_not_there() {
    let village = Village::new();
    // No node listens where one did a moment ago.
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    for host in ["127.0.0.1", "localhost", "[::1]"] {
        let node = village.node("visitor");
        let at = &format!("{host}:{free}");
        let end = node.run(&["get", "a.txt", "--tracker", at]).exits(6);
        assert_is_clear(&end, &free.to_string());
    }
}

#[test]
fn the_wrong_address_family() {
    let village = Village::new();
    let (_tracker, at) = village.tracker();
    let port = at.rsplit_once(':').unwrap().1;
    // The tracker is on IPv4 only.
    let end = village
        .node("visitor")
        .run(&["get", "a.txt", "--tracker", &format!("[::1]:{port}")]);
    assert_is_clear(&end.exits(6), "::1");
}

#[test]
fn what_is_no_address_is_refused_with_the_flag_named() {
    let village = Village::new();
    let node = village.node("peer");
    for bad in ["256.1.1.1", "http://oak", "oak:0", "a b"] {
        node.run(&["share", "--tracker", bad])
            .exits(2)
            .says("--tracker");
        node.run(&["get", "a.txt", "--tracker", bad])
            .exits(2)
            .says("--tracker");
    }
    node.run(&["share", "--listen", "oak"])
        .exits(2)
        .says("--listen");
    node.run(&["share", "--tracker"])
        .exits(2)
        .says("Please specify the tracker ip address.");
}

#[test]
fn who_is_no_member_is_told_what_to_do() {
    let village = Village::new();
    let end = village.node("visitor").run(&["get", "a.txt"]).exits(9);
    assert_is_clear(&end, "thorp");
}

#[test]
fn strangers_do_not_disturb() {
    let pair = Pair::new(|has| has.file("a.txt", "a"));
    let noise = noise(1, 4096);
    let strange: [&[u8]; 5] = [
        &noise,
        b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0",
        b"GET /announce HTTP/1.1\r\nHost: x\r\n\r\n",
        // A hello that ends before it begins.
        b"\x16\x03\x01\xff\xff",
        b"",
    ];
    let connect = || TcpStream::connect(&pair.at).unwrap();
    let mut open: Vec<_> = strange.iter().map(|_| connect()).collect();
    for (stream, bytes) in open.iter_mut().zip(strange) {
        _ = stream.write_all(bytes);
    }
    pair.fetch("a.txt");
    // What is no TLS is closed at once, without an answer.
    for stream in &mut open[..3] {
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let mut answer = Vec::new();
        if let Err(why) = stream.read_to_end(&mut answer) {
            assert_eq!(why.kind(), io::ErrorKind::ConnectionReset, "{why}");
        }
        assert!(answer.is_empty(), "{answer:?}");
    }
}

/// Asserts that an error is told once, in words, on standard error.
#[track_caller]
fn assert_is_clear(end: &Finished, about: &str) {
    assert!(end.stderr.contains(about), "nothing about {about}: {end}");
    assert!(
        !end.stderr.contains("panicked") && !end.stderr.contains("Error("),
        "{end}"
    );
    assert!(end.stdout.is_empty(), "{end}");
}

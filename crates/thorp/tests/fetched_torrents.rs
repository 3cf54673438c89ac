//! Torrents that others have made, fetched as a user asks for them.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde_json::{Value, json};
use thorp_wire::ClientId;
use thorp_wire::announce::{Announce, AnnounceEvent, query};
use thorp_wire::merkle::content_of;

use crate::support::process::{Line, poll};
use crate::support::seeder::{Made, Manner, Seeder};
use crate::support::village::{listening, named, sharing};
use crate::support::{Node, PATIENCE, Running, Village, skip};

mod magnets;
mod refused;

/// A group whose tracker brings clients of any torrent together.
struct Hall {
    village: Village,
    at: String,
    _tracker: Running,
}

impl Hall {
    fn new(flags: &[&str]) -> Self {
        let village = Village::new();
        let listens = ["tracker", "--open", "--lines", "--listen", "127.0.0.1:0"];
        let typed = [&listens[..], flags].concat();
        let tracker = village.node("hall").start(&typed);
        let at = listening(&tracker);
        Self {
            village,
            at,
            _tracker: tracker,
        }
    }

    fn serving() -> Self {
        Self::new(&["--bittorrent=any"])
    }

    fn url(&self) -> String {
        format!("http://{}/announce", self.at)
    }

    /// A machine that has joined, and on which no peer runs.
    fn visitor(&self, name: &str) -> Node {
        let node = self.village.node(name);
        node.run(&["ls", "--tracker", &self.at]).exits(0);
        node
    }

    fn peer(&self, name: &str, flags: &[&str]) -> (Node, Running) {
        let node = self.village.node(name);
        let shares = [
            "share",
            "--lines",
            "--tracker",
            &self.at,
            "--listen",
            "127.0.0.1:0",
        ];
        let peer = node.start(&[&shares[..], flags].concat());
        peer.wait_for_line("Connection Established!", |line| {
            line == "Connection Established!"
        });
        sharing(&peer);
        (node, peer)
    }
}

fn some(length: usize, seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// A folder with files that go over the ends of pieces, some of them not to be fetched unasked.
fn folder() -> (Made, Vec<u8>, Vec<u8>) {
    let (one, two) = (some(200_000, 1), some(90_001, 2));
    let made = Made::folder(
        "trip",
        &[
            ("a/one", &one, ""),
            (".hidden/config", &some(40_000, 3), ""),
            ("none", &[], ""),
            (".pad/9999", &[0; 9999], "p"),
            ("two", &two, "x"),
            ("sub/.thorpignore", b"*", ""),
        ],
        30_000,
    );
    (made, one, two)
}

/// What there is in a directory and beneath, but for what thorp keeps while it fetches.
fn files_in(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(dir).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn get(node: &Node, torrent: &Path, more: &[&str]) -> (Option<i32>, Vec<Value>) {
    node.json(&[&["get", torrent.to_str().unwrap()], more].concat())
}

fn error(events: &[Value]) -> &Value {
    named(events, "error").next().expect("an error")
}

/// Tries to fetch a torrent of the file `f` in vain. Returns what is told of it.
fn does_not_come(node: &Node, made: &Made, tracker: &str, code: i32) -> String {
    let torrent = made.write(node, tracker);
    let (ended, events) = get(node, &torrent, &[]);
    assert_eq!(ended, Some(code), "{events:#?}");
    assert!(!node.share().join("f").exists());
    error(&events)["message"].as_str().unwrap().to_owned()
}

#[test]
fn a_folders_torrent_comes_whole_but_for_what_is_hidden_and_is_there_the_next_time() {
    let hall = Hall::serving();
    let (made, one, two) = folder();
    let seeder = Seeder::announced(&made, Manner::Honest, &hall.at);
    let ann = hall.visitor("ann");
    let torrent = made.write(&ann, &hall.url());
    let (code, events) = get(&ann, &torrent, &[]);
    assert_eq!(code, Some(0), "{events:#?}");
    let there = ["trip/a/one", "trip/none", "trip/two"];
    assert_eq!(files_in(&ann.share()), there.map(PathBuf::from));
    assert!(ann.bytes("trip/a/one") == one && ann.bytes("trip/two") == two);
    let done = named(&events, "done").next().unwrap();
    assert_eq!((&done["count"], &done["left_out"]), (&3.into(), &2.into()));
    let fetched: Vec<_> = named(&events, "fetched").collect();
    assert_eq!(fetched.len(), 3);
    for row in &fetched {
        assert_eq!(row["answer"]["source"], "torrent");
    }
    let by = seeder.at.to_string();
    assert!(
        fetched
            .iter()
            .any(|row| row["clients"] == Value::from(vec![by.clone()]))
    );
    assert_eq!(named(&events, "note").count(), 2, "{events:#?}");

    // Only those pieces come again that what was left out has a part of.
    let sent = seeder.sent();
    let (code, events) = get(&ann, &torrent, &[]);
    assert_eq!(code, Some(0), "{events:#?}");
    let local = named(&events, "fetched").filter(|row| row["answer"]["source"] == "local");
    assert_eq!(local.count(), 2);
    assert!(
        seeder.sent() - sent <= 3 * 2 + 3,
        "{}",
        seeder.sent() - sent
    );

    // What was left out comes, if it is asked for.
    let (code, events) = get(&ann, &torrent, &["--hidden"]);
    assert_eq!(code, Some(0), "{events:#?}");
    assert_eq!(ann.bytes("trip/.hidden/config"), some(40_000, 3));
    assert!(!ann.share().join("trip/sub").exists());
}

#[test]
fn what_a_peer_fetches_by_a_torrent_is_a_file_of_the_group_like_any_other() {
    let hall = Hall::serving();
    let bytes = some(700_000, 4);
    let made = Made::file("film.mkv", &bytes, 65_536, false);
    let seeder = Seeder::announced(&made, Manner::Honest, &hall.at);
    let (oak, _peer) = hall.peer("oak", &["--bittorrent"]);
    let torrent = made.write(&oak, &hall.url());
    let end = oak.run(&["get", torrent.to_str().unwrap()]).exits(0);
    assert!(
        end.stdout.contains("from BitTorrent client 127.0.0.1:"),
        "{end}"
    );
    assert_eq!(oak.bytes("film.mkv"), bytes);
    let ann = hall.visitor("ann");
    poll("the name", PATIENCE, || {
        let (code, _) = ann.json(&["get", "film.mkv"]);
        (code == Some(0)).then_some(())
    });
    assert_eq!(ann.bytes("film.mkv"), bytes);

    // It serves the torrent from now on, as clients know it.
    drop(seeder);
    let elm = hall.visitor("elm");
    let torrent = made.write(&elm, &hall.url());
    let (code, events) = get(&elm, &torrent, &[]);
    assert_eq!(code, Some(0), "{events:#?}");
    assert_eq!(elm.bytes("film.mkv"), bytes);
}

#[test]
fn a_fetch_that_was_killed_goes_on_from_what_was_there() {
    let hall = Hall::serving();
    let bytes = some(2_000_000, 5);
    let made = Made::file("big", &bytes, 131_072, false);
    let ann = hall.visitor("ann");
    let torrent = made.write(&ann, &hall.url());
    let first = Seeder::announced(&made, Manner::Stops(70), &hall.at);
    let running = ann.start(&["get", torrent.to_str().unwrap()]);
    poll("half of it", PATIENCE, || {
        (first.sent() == 70).then_some(())
    });
    // It is written a moment later.
    poll("a partial file", PATIENCE, || {
        let part = files_in(&ann.share()).into_iter().find(|path| {
            let name = path.to_string_lossy();
            name.starts_with(".thorp-") && name.ends_with(".part")
        });
        let there = fs::metadata(ann.share().join(part?)).ok()?.blocks() * 512;
        (there >= 900_000).then_some(())
    });
    running.signal("KILL");
    drop(running);
    drop(first);
    let seeder = Seeder::announced(&made, Manner::Honest, &hall.at);
    let (code, events) = get(&ann, &torrent, &[]);
    assert_eq!(code, Some(0), "{events:#?}");
    assert_eq!(ann.bytes("big"), bytes);
    let fetched = named(&events, "fetched").next().unwrap();
    let root = content_of(&bytes).root.to_string();
    assert_eq!(fetched["root"], root, "of what was left and what came");
    let resumed = named(&events, "resumed").next().expect("it was resumed");
    let there = resumed["bytes"].as_u64().unwrap();
    assert!((500_000..=1_200_000).contains(&there), "{there}");
    let most = (2_000_000 - there).div_ceil(16_384) + 40;
    assert!(
        seeder.sent() <= most,
        "{} blocks for the rest",
        seeder.sent()
    );
    assert_eq!(files_in(&ann.share()), ["big"].map(PathBuf::from));

    // It is there: nobody is asked.
    drop(seeder);
    let (code, events) = get(&ann, &torrent, &[]);
    assert_eq!(code, Some(0), "{events:#?}");
    let fetched = named(&events, "fetched").next().unwrap();
    assert_eq!(fetched["answer"]["source"], "local");
}

#[test]
fn while_a_torrent_comes_its_user_is_told_how_far_it_is() {
    let hall = Hall::serving();
    let bytes = some(2_000_000, 5);
    let made = Made::file("big", &bytes, 131_072, false);
    let ann = hall.visitor("ann");
    let torrent = made.write(&ann, &hall.url());
    let seeder = Seeder::announced(&made, Manner::Waits(70), &hall.at);
    let fetch = ann.start(&["--json", "get", torrent.to_str().unwrap()]);
    let progress = |line: &Line| {
        let event: Value = serde_json::from_str(&line.text).ok()?;
        (event["event"] == "progress").then_some(event)
    };
    let told = fetch.wait_until("some of it to be told", PATIENCE, |lines| {
        let mut told = lines.iter().filter_map(progress);
        told.find(|event| event["bytes"].as_u64() > Some(0) && event["rate"].as_u64() > Some(0))
    });
    assert!(told["bytes"].as_u64() < Some(2_000_000), "{told}");
    assert_eq!(
        (&told["of_bytes"], &told["of_files"]),
        (&2_000_000.into(), &1.into())
    );
    assert_eq!(told["sources"], 1, "{told}");
    seeder.go_on();
    fetch.finish(PATIENCE).exits(0);
    assert_eq!(ann.bytes("big"), bytes);
}

#[test]
fn where_no_client_is_known_the_exit_code_says_whether_all_trackers_have_answered() {
    let hall = Hall::serving();
    let bytes = some(100_000, 6);
    let ann = hall.visitor("ann");
    let made = Made::file("f", &bytes, 16_384, false);
    let why = does_not_come(&ann, &made, &hall.url(), 3);
    assert!(why.contains("No BitTorrent client has"), "{why}");
    // A private torrent is asked about at its own tracker only, which is not there.
    let private = Made::file("f", &bytes, 16_384, true);
    let why = does_not_come(&ann, &private, "http://127.0.0.1:1/announce", 6);
    assert!(why.contains("Not every tracker of"), "{why}");
    // That the group's tracker knows no client says nothing of the torrent's own one.
    let why = does_not_come(&ann, &made, "http://127.0.0.1:1/announce", 6);
    assert!(why.contains("127.0.0.1:1"), "{why}");
}

#[test]
fn a_client_that_lies_and_one_that_leaves_are_told_apart_by_the_exit_code() {
    let hall = Hall::serving();
    let bytes = some(100_000, 6);
    let ann = hall.visitor("ann");
    let made = Made::file("f", &bytes, 16_384, false);
    let liar = Seeder::announced(&made, Manner::Lies, &hall.at);
    let why = does_not_come(&ann, &made, &hall.url(), 8);
    assert!(why.contains(&liar.at.to_string()), "{why}");
    drop(liar);
    let short = Made::file("f", &bytes, 20_000, false);
    let _stops = Seeder::announced(&short, Manner::Stops(3), &hall.at);
    let why = does_not_come(&ann, &short, &hall.url(), 7);
    assert!(why.contains("is kept"), "{why}");
}

#[test]
fn a_torrents_file_replaces_what_is_there_only_when_its_user_says_so() {
    let hall = Hall::serving();
    let bytes = some(100_000, 6);
    let ann = hall.visitor("ann");
    let made = Made::file("f", &bytes, 16_384, false);
    ann.file("f", b"mine");
    let torrent = made.write(&ann, &hall.url());
    let end = ann.run(&["get", torrent.to_str().unwrap()]).exits(4);
    assert!(!end.stderr.contains("--as"), "{end}");
    assert_eq!(ann.bytes("f"), b"mine");
    let _seeder = Seeder::announced(&made, Manner::Honest, &hall.at);
    let (code, events) = get(&ann, &torrent, &["--overwrite"]);
    assert_eq!(code, Some(0), "{events:#?}");
    assert_eq!(ann.bytes("f"), bytes);
}

#[test]
fn no_torrent_is_fetched_where_group_or_share_do_not_say_bittorrent() {
    let off = Hall::new(&[]);
    let ann = off.visitor("ann");
    let made = Made::file("f", b"some", 16_384, false);
    let torrent = made.write(&ann, &off.url());
    let typed = ["get", torrent.to_str().unwrap()];
    ann.run(&typed).exits(1).says("thorp tracker --bittorrent");
    let hall = Hall::serving();
    let (oak, _peer) = hall.peer("oak", &[]);
    let torrent = made.write(&oak, &hall.url());
    let typed = ["get", torrent.to_str().unwrap()];
    oak.run(&typed)
        .exits(1)
        .says("thorp share DIR --bittorrent");
}

#[test]
fn a_magnet_link_is_enough_and_a_client_that_lies_about_what_it_is_is_not_believed() {
    let hall = Hall::serving();
    // So many pieces that the info dictionary comes in several blocks.
    let bytes = some(3_000_000, 8);
    let made = Made::file("film.mkv", &bytes, 1024, false);
    assert!(made.raw.len() > 3 * 16 * 1024);
    let mut other = made.clone();
    *other.raw.last_mut().unwrap() = b'f';
    // Its blocks are true: a client that sends wrong ones is left with its whole machine, on which
    // the other one is too.
    let _liar = Seeder::announced_as(&other, made.info_hash(), Manner::Honest, &hall.at);
    let _seeder = Seeder::announced(&made, Manner::Honest, &hall.at);
    let ann = hall.visitor("ann");
    let tracker = hall.url().replace(':', "%3A").replace('/', "%2F");
    let link = format!(
        "magnet:?xt=urn:btih:{}&dn=a+film&tr={tracker}",
        made.info_hash()
    );
    let (code, events) = ann.json(&["get", &link]);
    assert_eq!(code, Some(0), "{events:#?}");
    assert_eq!(ann.bytes("film.mkv"), bytes);

    let nobodys = format!("magnet:?xt=urn:btih:{}&tr={tracker}", "5".repeat(40));
    let end = ann.run(&["get", &nobodys]).exits(3);
    end.says(&"5".repeat(40));
    let bad = "magnet:?xt=urn:btih:12345";
    ann.run(&["get", bad])
        .exits(2)
        .says("40 hexadecimal digits");
    // A link names no address of this machine in earnest.
    let sneaky = Seeder::start(&Made::file("f", &bytes, 65_536, false), Manner::Honest);
    let hidden = format!("magnet:?xt=urn:btih:{}&x.pe={}", "6".repeat(40), sneaky.at);
    ann.run(&["get", &hidden]).exits(3);
    assert_eq!(sneaky.called(), 0);
}

#[test]
fn a_torrent_comes_from_standard_input_too() {
    let hall = Hall::serving();
    let bytes = some(50_000, 7);
    let made = Made::file("f", &bytes, 16_384, false);
    let _seeder = Seeder::announced(&made, Manner::Honest, &hall.at);
    let ann = hall.visitor("ann");
    let torrent = made.write(&ann, &hall.url());
    let mut command = ann.thorp(&["get", "-"]);
    command.stdin(fs::File::open(torrent).unwrap());
    let end = command.output().unwrap();
    assert!(end.status.success(), "{end:?}");
    assert_eq!(ann.bytes("f"), bytes);
}

#[test]
fn of_a_torrent_that_comes_but_for_a_file_in_the_way_nothing_else_is_left() {
    let hall = Hall::serving();
    let (made, one, two) = folder();
    let _seeder = Seeder::announced(&made, Manner::Honest, &hall.at);
    let ann = hall.visitor("ann");
    ann.file("trip/two", b"mine");
    let torrent = made.write(&ann, &hall.url());
    let (code, events) = get(&ann, &torrent, &[]);
    assert_eq!(code, Some(4), "{events:#?}");
    assert!(ann.bytes("trip/a/one") == one && ann.bytes("trip/two") == b"mine");
    let there = ["trip/a/one", "trip/none", "trip/two"];
    assert_eq!(files_in(&ann.share()), there.map(PathBuf::from));
    let (code, events) = get(&ann, &torrent, &["--overwrite"]);
    assert_eq!(code, Some(0), "{events:#?}");
    assert_eq!(ann.bytes("trip/two"), two);
}

#[test]
fn what_an_earlier_fetch_has_left_goes_once_the_file_is_there_from_elsewhere() {
    let hall = Hall::serving();
    let bytes = some(400_000, 8);
    let made = Made::file("big", &bytes, 100_000, false);
    let _stops = Seeder::announced(&made, Manner::Stops(14), &hall.at);
    let ann = hall.visitor("ann");
    let torrent = made.write(&ann, &hall.url());
    let (code, events) = get(&ann, &torrent, &[]);
    assert_eq!(code, Some(7), "{events:#?}");
    assert_eq!(files_in(&ann.share()).len(), 1);
    ann.file("big", &bytes);
    let (code, events) = get(&ann, &torrent, &[]);
    assert_eq!(code, Some(0), "{events:#?}");
    assert_eq!(files_in(&ann.share()), ["big"].map(PathBuf::from));
}

#[test]
fn a_private_torrent_of_other_trackers_is_not_served_on_for_the_groups_tracker_to_know() {
    let (hall, others) = (Hall::new(&["--bittorrent"]), Hall::serving());
    let (oak, _peer) = hall.peer("oak", &["--bittorrent"]);
    let knows = |made: &Made| {
        let said = Announce {
            torrent: made.info_hash(),
            client: ClientId::new([b'a'; 20]),
            port: 9,
            uploaded: 0,
            downloaded: 0,
            left: 1,
            event: AnnounceEvent::Started,
            wanted: None,
            key: 1,
        };
        let path = query::write_announce(&said, None);
        let request = format!("GET /announce?{path} HTTP/1.1\r\nConnection: close\r\n\r\n");
        let mut stream = TcpStream::connect(&hall.at).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // The tracker may end the connection as it likes.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).contains("8:interval")
    };
    let fetched = |name: &str, seed: u8, private: bool| {
        let made = Made::file(name, &some(100_000, seed), 20_000, private);
        let _seeder = Seeder::announced(&made, Manner::Honest, &others.at);
        let torrent = made.write(&oak, &others.url());
        let (code, events) = get(&oak, &torrent, &[]);
        assert_eq!(code, Some(0), "{events:#?}");
        made
    };
    let private = fetched("private", 9, true);
    let public = fetched("public", 10, false);
    poll("the tracker knows the public one", PATIENCE, || {
        knows(&public).then_some(())
    });
    assert!(!knows(&private));
}

#[test]
fn an_interrupt_while_the_torrent_is_read_is_told_as_any_other() {
    let hall = Hall::serving();
    let ann = hall.visitor("ann");
    let mut command = ann.thorp(&["get", "-"]);
    let command = command.stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    // Held open to the end: or the torrent would end, too.
    let _torrent = child.stdin.take();
    let status = format!("/proc/{}/status", child.id());
    poll("it hears signals", PATIENCE, || {
        let status = fs::read_to_string(&status).ok()?;
        let caught = status
            .lines()
            .find_map(|line| line.strip_prefix("SigCgt:"))?;
        let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
        (caught & 0b10 != 0).then_some(())
    });
    let pid = child.id().to_string();
    Command::new("kill").args(["-INT", &pid]).status().unwrap();
    let end = child.wait_with_output().unwrap();
    assert_eq!(end.status.code(), Some(7), "{end:?}");
    assert!(String::from_utf8_lossy(&end.stderr).contains("interrupted"));
}

/// A file system with little room, mounted at a directory. Needs root.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(test: &str, at: &Path) -> Option<Self> {
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        if mount("small", at, "tmpfs", flags, c"size=5500k,mode=700").is_err() {
            skip(test, "root");
            return None;
        }
        Some(Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

#[test]
fn a_torrent_of_several_files_needs_room_for_its_longest_one_besides_and_no_more() {
    let test = "a_torrent_of_several_files_needs_room_for_its_longest_one_besides_and_no_more";
    let hall = Hall::serving();
    let ann = hall.visitor("ann");
    let Some(_disk) = SmallDisk::mount(test, &ann.share()) else {
        return;
    };
    let [a, b, c, d] = [11, 12, 13, 14].map(|seed| some(1_000_000, seed));
    let files = [("a", &a), ("b", &b), ("sub/c", &c), ("d", &d)];
    let listed = files.map(|(name, bytes)| (name, &bytes[..], ""));
    let made = Made::folder("even", &listed, 30_000);
    let seeder = Seeder::announced(&made, Manner::Honest, &hall.at);
    let torrent = made.write(&ann, &hall.url());
    let (code, events) = get(&ann, &torrent, &[]);
    assert_eq!(code, Some(0), "{events:#?}");
    for (name, bytes) in files {
        assert!(ann.bytes(&format!("even/{name}")) == *bytes, "{name}");
    }
    assert_eq!(files_in(&ann.share()).len(), 4, "and nothing else is left");
    drop(seeder);

    // Of this one the longest is too long: that is said before any of it comes.
    fs::remove_dir_all(ann.share().join("even")).unwrap();
    let long = some(3_000_000, 15);
    let made = Made::folder("odd", &[("long", &long, ""), ("a", &a, "")], 30_000);
    let seeder = Seeder::announced(&made, Manner::Honest, &hall.at);
    let torrent = made.write(&ann, &hall.url());
    let (code, events) = get(&ann, &torrent, &[]);
    assert_eq!(code, Some(1), "{events:#?}");
    let said = error(&events)["message"].as_str().unwrap();
    assert!(said.contains("full"), "{said}");
    assert_eq!(seeder.sent(), 0);
}

#[test]
fn the_page_fetches_a_torrent_and_a_magnet_link_as_the_program_does() {
    let hall = Hall::serving();
    let (made, one, two) = folder();
    let _seeder = Seeder::announced(&made, Manner::Honest, &hall.at);
    for (name, is_magnet) in [("ann", false), ("bob", true)] {
        let (node, _running) = hall.peer(name, &["--bittorrent"]);
        let link = node.run(&["page", "--print"]).exits(0).stdout;
        let (address, code) = link.trim().split_once('#').unwrap();
        let at = address.trim_start_matches("http://").trim_end_matches('/');
        let entered = asked(at, "POST /api/door", "", &json!({ "code": code }));
        let bearer = entered["bearer"].as_str().unwrap();
        let wanted = if is_magnet {
            let (hash, url) = (made.info_hash(), hall.url());
            json!({ "magnet": format!("magnet:?xt=urn:btih:{hash}&dn=trip&tr={url}") })
        } else {
            let torrent = fs::read(made.write(&node, &hall.url())).unwrap();
            json!({ "torrent": data_encoding::BASE64.encode(&torrent) })
        };
        let job = asked(at, "POST /api/jobs", bearer, &wanted);
        assert_eq!(job["title"], "trip", "{job}");
        poll("the job to end", PATIENCE, || {
            let jobs = asked(at, "GET /api/jobs", bearer, &Value::Null);
            let job = &jobs["jobs"][0];
            assert_ne!(job["state"], "failed", "{job}");
            (job["state"] == "done").then_some(())
        });
        assert!(node.bytes("trip/a/one") == one && node.bytes("trip/two") == two);
        assert!(!node.share().join("trip/.hidden").exists());
    }
}

/// Asks the page of a node.
fn asked(at: &str, what: &str, bearer: &str, body: &Value) -> Value {
    let body = body.to_string();
    let mut stream = TcpStream::connect(at).unwrap();
    let request = format!(
        "{what} HTTP/1.1\r\nHost: {at}\r\nAuthorization: Bearer {bearer}\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 20"), "{answer}");
    serde_json::from_str(body).unwrap()
}

//! A share of 200,000 files: listed at once, hashed in the background, not read
//! again, and small in memory.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::process::poll;
use crate::support::village::named;
use crate::support::{Node, Running, Village};

const FILES: u64 = 200_000;

/// At most, in bytes for each file, for the whole peer: its share, what it
/// publishes, and what it remembers.
const EACH: u64 = 600;

/// Listing takes at most so many times what a plain walk of the same tree takes.
const LISTED: u32 = 60;

/// At most so many files and folders are held open while others are hashed.
const OPEN: usize = 8;

/// Long, because it is given to a machine that has two slow cores and seven neighbours.
const PATIENCE: Duration = Duration::from_mins(5);

#[test]
fn two_hundred_thousand_files_are_listed_and_hashed_once_and_take_little_memory() {
    let village = Village::new();
    let (tracker, at) = village.tracker();
    let (empty, full) = (village.node("empty"), village.node("full"));
    let peer = empty.start_sharing(&at, "127.0.0.2:0");
    let baseline = memory(&peer);
    drop(peer);

    let begun = Instant::now();
    let _kept = in_memory(&full);
    fill(&full);
    eprintln!("{FILES} files made in {:?}", begun.elapsed());

    let begun = Instant::now();
    assert_eq!(walk(&full.share()), FILES);
    let walked = begun.elapsed();
    eprintln!("walked in {walked:?}");

    let begun = Instant::now();
    let peer = shares(&full, &at);
    until(&full, |status| status["files"] == FILES);
    let listed = begun.elapsed();
    eprintln!("listed after {listed:?}");
    assert!(listed <= LISTED * walked, "{listed:?} beside {walked:?}");
    let mut most = 0;
    until(&full, |status| {
        most = (0..10).fold(most, |most, _| most.max(open_in(&full, &peer).len()));
        status["unhashed"] == 0
    });
    eprintln!(
        "hashed after {:?}, {most} files open at most",
        begun.elapsed()
    );
    assert!((1..=OPEN).contains(&most), "{most} files open at once");
    assert_eq!(status(&full)["opened"], FILES, "each of them once");
    assert_eq!(
        open_in(&full, &peer),
        Vec::<String>::new(),
        "held while idle"
    );
    let each = settled(&peer, baseline);
    eprintln!("{each} bytes of memory a file after hashing");
    stop(&full, peer);

    let begun = Instant::now();
    let peer = shares(&full, &at);
    let again = until(&full, |status| {
        status["files"] == FILES && status["unhashed"] == 0
    });
    eprintln!("listed again after {:?}", begun.elapsed());
    assert_eq!(again["opened"], 0, "nothing is read again");
    let each = settled(&peer, baseline);
    eprintln!("{each} bytes of memory a file after a restart");
    stop(&full, peer);
    drop(tracker);
}

/// Lets a node's share be on a file system in memory, where there is one: this
/// is not about the disk. The directory goes when what is returned does.
fn in_memory(node: &Node) -> Option<TempDir> {
    let dir = TempDir::new_in("/dev/shm").ok()?;
    fs::remove_dir(node.share()).expect("it is empty");
    symlink(dir.path(), node.share()).expect("linked");
    Some(dir)
}

/// In folders in folders, a hundred files in each, all different.
fn fill(node: &Node) {
    for folder in 0..FILES / 100 {
        let path = node
            .share()
            .join(format!("{}/{}", folder / 50, folder % 50));
        fs::create_dir_all(&path).expect("a folder");
        for file in 0..100 {
            let text = format!("{folder}/{file}");
            fs::write(path.join(format!("file {file}.txt")), text).expect("written");
        }
    }
}

/// How many files a plain walk of the tree comes by, looking at each as one must.
fn walk(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("a folder");
    let count = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.expect("an entry");
        let meta = entry.metadata().expect("it is there");
        if meta.is_dir() {
            walk(&entry.path())
        } else {
            1
        }
    };
    entries.map(count).sum()
}

/// Starts a peer. It has much to list before it has time for its tracker's hello, so it
/// is waited for longer than others.
fn shares(node: &Node, tracker: &str) -> Running {
    let connected = "Connection Established!";
    let listen = "127.0.0.3:0";
    let peer = node.start(&["share", "--lines", "--tracker", tracker, "--listen", listen]);
    peer.wait_until(connected, PATIENCE, |lines| {
        lines.iter().find(|line| line.text == connected).cloned()
    });
    peer
}

fn status(node: &Node) -> Value {
    let (code, events) = node.json(&["status"]);
    assert_eq!(code, Some(0), "{events:#?}");
    named(&events, "status").next().expect("a status").clone()
}

#[track_caller]
fn until(node: &Node, mut there: impl FnMut(&Value) -> bool) -> Value {
    poll("the share's status", PATIENCE, || {
        Some(status(node)).filter(|status| there(status))
    })
}

fn stop(node: &Node, peer: Running) {
    assert_eq!(node.json(&["stop"]).0, Some(0));
    peer.finish(PATIENCE).exits(0);
}

/// Bytes of memory for each file, as soon as they are few enough: what was needed for
/// a moment goes back to the system a moment later.
fn settled(peer: &Running, baseline: u64) -> u64 {
    poll("memory to go back to the system", PATIENCE, || {
        let each = memory(peer).saturating_sub(baseline) / FILES;
        (each <= EACH).then_some(each)
    })
}

/// Bytes of memory that are its own.
fn memory(peer: &Running) -> u64 {
    let path = format!("/proc/{}/status", peer.id());
    let text = fs::read_to_string(path).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    let kilobytes: u64 = kilobytes.and_then(|n| n.parse().ok()).expect("a number");
    kilobytes * 1024
}

/// What it holds open in its share, but for the share itself.
fn open_in(node: &Node, peer: &Running) -> Vec<String> {
    let share = node.share().canonicalize().expect("it is there");
    let held = fs::read_dir(format!("/proc/{}/fd", peer.id())).expect("it runs");
    let held = held
        .flatten()
        .filter_map(|fd| fs::read_link(fd.path()).ok());
    held.filter(|path| path.starts_with(&share) && *path != share)
        .map(|path| path.display().to_string())
        .collect()
}

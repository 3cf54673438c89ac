//! How many system calls small files take, counted by strace and not timed: what costs a thousand
//! files a second is a call for each that could have been one for all of them.
//!
//! The work is done by this program once more, under strace, for few files and for many: the
//! difference is what the others took.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use tempfile::tempdir;
use thorp_disk::testing::DISK;
use thorp_files::share::{Options, Share, ShareEvent};
use thorp_files::store::{Replace, SmallFile, Store};
use thorp_wire::merkle::{Hashed, content_of};
use thorp_wire::{Attributes, Content, Name};
use tokio::sync::mpsc::Receiver;

/// Says which work is to be done, and for how many files.
const WORK: &str = "THORP_COUNTED_WORK";
const FILES: &str = "THORP_COUNTED_FILES";

const FEW: u32 = 200;
const MANY: u32 = 1200;
/// As many come together from a fast holder.
const TOGETHER: u32 = 25;

#[test]
fn a_file_is_stored_with_five_calls() {
    let Some(calls) = counted("a_file_is_stored_with_five_calls", "store") else {
        return;
    };
    // Opened without a name, written, given its time and its name, closed. Before Linux 6.10 a name
    // takes two calls; where all files have names from the start, it is three more.
    let most = if calls.of("linkat") > 0.5 { 6.2 } else { 8.5 };
    assert!(calls.of_all() <= most, "{calls:?}");
}

#[test]
fn a_file_is_stored_into_a_share_and_listed_with_six_calls() {
    let test = "a_file_is_stored_into_a_share_and_listed_with_six_calls";
    let Some(calls) = counted(test, "share") else {
        return;
    };
    // The same, and a look at its stamp. What the watcher reports of it is known, and not looked
    // at; how many reports it reads at a time, and whether one comes late, is a question of luck.
    let most = if calls.of("linkat") > 0.5 { 8.0 } else { 11.0 };
    let reports = calls.of("read") + calls.of("epoll_wait");
    assert!(calls.of_all() - reports <= most, "{calls:?}");
}

#[test]
fn a_file_is_read_for_another_peer_with_four_calls() {
    let test = "a_file_is_read_for_another_peer_with_four_calls";
    let Some(calls) = counted(test, "read") else {
        return;
    };
    // Opened, looked at, read, closed; of the share's own folder nothing is asked for each.
    assert!(calls.of_all() <= 4.5, "{calls:?}");
}

/// Calls a file, by their names.
#[derive(Debug)]
struct Calls(Vec<(String, f64)>);

impl Calls {
    fn of(&self, name: &str) -> f64 {
        let named = self.0.iter().find(|(call, _)| call == name);
        named.map_or(0.0, |(_, calls)| *calls)
    }

    fn of_all(&self) -> f64 {
        self.0.iter().map(|(_, calls)| calls).sum()
    }
}

fn counted(test: &str, work: &str) -> Option<Calls> {
    if Command::new("strace").arg("-V").output().is_err() {
        skip(test, "strace");
        return None;
    }
    let few = under_strace(work, FEW);
    let many = under_strace(work, MANY).into_iter().map(|(name, calls)| {
        let before = few.iter().find(|(other, _)| *other == name);
        let more = calls - before.map_or(0.0, |(_, calls)| *calls);
        (name, more / f64::from(MANY - FEW))
    });
    Some(Calls(many.collect()))
}

fn under_strace(work: &str, files: u32) -> Vec<(String, f64)> {
    let dir = tempdir().expect("a directory");
    let counts = dir.path().join("counts");
    let done = Command::new("strace")
        .args(["-f", "-c", "-e", "trace=%file,%desc", "-o"])
        .arg(&counts)
        .arg(env::current_exe().expect("this program"))
        .args(["--ignored", "--exact", "the_work_that_is_counted"])
        .env(WORK, work)
        .env(FILES, files.to_string())
        .output()
        .expect("strace runs");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stdout)
    );
    let counts = fs::read_to_string(counts).expect("strace has counted");
    let rows = counts.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let calls = words.get(3)?.parse().ok()?;
        words.last().map(|name| ((*name).to_owned(), calls))
    });
    // How often threads wait for one another is a question of luck. A program that is not optimised
    // asks whether a file is open before it closes it, and the test removes what it has made.
    let others = [
        "total", "poll", "ppoll", "mmap", "fcntl", "unlink", "unlinkat",
    ];
    rows.filter(|(name, _)| !others.contains(&&**name))
        .collect()
}

#[test]
#[ignore = "the others run it, under strace"]
fn the_work_that_is_counted() {
    let work = env::var(WORK).expect("is said by the test that counts");
    let files: u32 = env::var(FILES).expect("is said").parse().expect("a number");
    let dir = tempdir().expect("a directory");
    match &*work {
        "store" => store(dir.path(), files),
        "share" => share(dir.path(), files),
        "read" => read(dir.path(), files),
        other => panic!("{other}"),
    }
}

fn store(dir: &Path, files: u32) {
    let store = Store::open(DISK, dir).expect("a store");
    let files: Vec<u32> = (0..files).collect();
    for together in files.chunks(TOGETHER as usize) {
        let mut batch = store.batch();
        for number in together {
            let (name, bytes, content) = file(*number);
            batch
                .put(
                    DISK,
                    SmallFile {
                        name: &name,
                        content,
                        attributes: Some(Attributes::default()),
                        came: Hashed::of(&bytes),
                        replace: Replace::No,
                        set_aside: None,
                    },
                )
                .expect("is stored");
        }
    }
}

fn share(dir: &Path, files: u32) {
    let (share, mut events) = Share::open(DISK, dir, Options::default()).expect("a share");
    let mut next = || events.blocking_recv().expect("the share is open");
    while !matches!(next(), ShareEvent::Scanned { .. }) {}
    // Its folder is watched before the files come.
    put(&share, &[files]);
    while !lists(&next()) {}
    let numbers: Vec<u32> = (0..files).collect();
    numbers
        .chunks(TOGETHER as usize)
        .for_each(|together| put(&share, together));
    until_looked_at(dir, &mut events);
    assert_eq!(share.totals().files, u64::from(files) + 2);
    assert!(
        share
            .listed(&file(0).0)
            .is_some_and(|entry| entry.root.is_some())
    );
}

/// Waits until the keeper has looked at all that was put there: it looks at what was reported in
/// order, and tells of it then.
fn until_looked_at(dir: &Path, events: &mut Receiver<ShareEvent>) {
    fs::write(dir.join("last"), "last").expect("is written");
    let is_last = |event: &ShareEvent| match event {
        ShareEvent::Delta { added, .. } => added.iter().any(|entry| entry.name.as_str() == "last"),
        _ => false,
    };
    while !is_last(&events.blocking_recv().expect("the share is open")) {}
}

fn lists(event: &ShareEvent) -> bool {
    matches!(event, ShareEvent::Delta { added, .. } if !added.is_empty())
}

fn put(share: &Share, numbers: &[u32]) {
    let mut batch = share.batch();
    for number in numbers {
        let (name, bytes, content) = file(*number);
        batch
            .store(
                DISK,
                SmallFile {
                    name: &name,
                    content,
                    attributes: Some(Attributes::default()),
                    came: Hashed::of(&bytes),
                    replace: Replace::No,
                    set_aside: None,
                },
            )
            .expect("is stored");
    }
}

fn read(dir: &Path, files: u32) {
    // As many are there in both runs, so that what hashing takes is not counted.
    fs::create_dir(dir.join("folder")).expect("is made");
    for number in 0..MANY {
        let (name, bytes, _) = file(number);
        fs::write(dir.join(name.as_str()), bytes).expect("is written");
    }
    let (share, mut events) = Share::open(DISK, dir, Options::default()).expect("a share");
    let is_hashed = |share: &Share| {
        let totals = share.totals();
        totals.files == u64::from(MANY) && totals.unhashed == 0
    };
    while !is_hashed(&share) {
        events.blocking_recv().expect("the share is open");
    }
    let files: Vec<u32> = (0..files).collect();
    for together in files.chunks(TOGETHER as usize) {
        let mut reading = share.reading();
        for number in together {
            let (_, bytes, content) = file(*number);
            assert_eq!(reading.read(DISK, content).expect("is there"), bytes);
        }
    }
}

fn file(number: u32) -> (Name, Vec<u8>, Content) {
    let name = format!("folder/{number}").parse().expect("a name");
    let bytes = number.to_le_bytes().repeat(256);
    let content = content_of(&bytes);
    (name, bytes, content)
}

/// Says that a test was skipped; where nothing may be, fails instead.
fn skip(test: &str, needs: &str) {
    use std::io::Write;
    let all = env::var_os("THORP_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(!all, "THORP_REQUIRE_ALL=1, but {test} needs {needs}");
    let line = format!("skipped: {test}: needs {needs}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

//! Large files, when the disk that they come from or go to changes under them.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use thorp_node::api::{Command, ErrorKind, Event, Failure, Get, Obstacle};
use thorp_wire::session::{Message, Span};

use super::mallory::{Mallory, entry};
use super::support::{
    Answer, Village, Villager, answer, bytes, files_in, named, part_in, read, within,
};
use super::teller::{File, Holder, LONG, Manner, Teller, long};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn of_files_that_do_not_fit_together_one_comes_and_the_disk_is_not_full() {
    let village = Village::new().await;
    let files = [("f", bytes(1, LONG)), ("g", bytes(2, LONG))];
    let slices: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, bytes)| (*name, &**bytes))
        .collect();
    let _oak = village.peer("oak", &slices).await;
    let share = village.share_of("elm");
    // Each of them fits, and both do not.
    let Some(disk) = Disk::new("a_disk_that_runs_full", &share, "size=8m") else {
        return;
    };
    let elm = village.peer("elm", &[]).await;
    let answer = elm.get_name("*").await;
    let came = answer.fetched()[0];
    let whole = files.iter().find(|(name, _)| *name == came.name);
    assert!(whole.is_some_and(|(name, bytes)| read(&elm.dir, name) == *bytes));
    let missed = is_full_and_said(&answer, &share, LONG as u64);
    assert_eq!(missed, 1);
    let taken: u64 = fs::read_dir(&share)
        .expect("is there")
        .map(|entry| entry.and_then(|entry| entry.metadata()).expect("is there"))
        .map(|meta| meta.blocks() * 512)
        .sum();
    // All of one, and what had been asked for of the other.
    assert!(taken < 7 * MIB as u64, "the disk is not full: {taken}");
    disk.remount("size=32m");
    let again = elm.get_name("*").await.done();
    assert_eq!(again.fetched().len(), 2);
    for (name, bytes) in &files {
        assert!(read(&elm.dir, name) == *bytes, "{name}");
    }
    elm.stop().await;
}

#[tokio::test]
async fn of_two_hundred_small_files_those_come_that_fit_and_the_others_when_there_is_room() {
    let village = Village::new().await;
    let names: Vec<String> = (0..200).map(|n| format!("{n:03}")).collect();
    let files: Vec<_> = (0..200).map(|n| bytes(n, 100_000)).collect();
    let slices: Vec<(&str, &[u8])> = names
        .iter()
        .zip(&files)
        .map(|(name, bytes)| (name.as_str(), &**bytes))
        .collect();
    let _oak = village.peer("oak", &slices).await;
    let share = village.share_of("elm");
    let Some(disk) = Disk::new("two_hundred_small_files", &share, "size=8m") else {
        return;
    };
    let elm = village.peer("elm", &[]).await;
    let answer = elm.get_name("*").await;
    let here = answer.fetched().len();
    assert!(here > 70, "{here} of at most 83");
    let missed = is_full_and_said(&answer, &share, 200 * 100_000);
    assert_eq!(missed, 200 - here);
    disk.remount("size=32m");
    assert_eq!(elm.get_name("*").await.done().fetched().len(), 200);
    assert!(read(&elm.dir, "199") == files[199]);
    elm.stop().await;
}

/// Of each file that does not fit that is said; and the get ends with what is missing for all of
/// them, at most so many bytes, and where. Returns how many do not fit.
#[track_caller]
fn is_full_and_said(answer: &Answer, disk: &Path, most: u64) -> usize {
    let Failure::Several {
        failed,
        room: Some(room),
        ..
    } = answer.failed(ErrorKind::Other)
    else {
        panic!("{:?}", answer.end);
    };
    assert_eq!(room.file_system, disk);
    assert!(0 < room.needed && room.needed <= most, "{room:?}");
    assert!(room.free < room.needed, "{room:?}");
    let paths = answer.events.iter().filter_map(|event| match event {
        Event::Failed { failure, .. } => Some(failure),
        _ => None,
    });
    let mut said = 0;
    for failure in paths {
        let Failure::Unstorable {
            path,
            obstacle: Obstacle::Full,
            room: None,
        } = failure
        else {
            panic!("{failure:?}");
        };
        assert!(path.starts_with(disk), "{}", path.display());
        said += 1;
    }
    assert_eq!(said as u64, *failed);
    said
}

#[tokio::test]
async fn a_disk_that_runs_full_in_the_middle_keeps_what_had_come_until_there_is_room() {
    let village = Village::new().await;
    let file = long();
    let slow = Holder::of(&village, "mallory", &file, Manner::soon_slow(MIB / 2)).await;
    let share = village.share_of("elm");
    let Some(_disk) = Disk::new("a_disk_that_runs_full", &share, "size=8m") else {
        return;
    };
    let elm = village.peer("elm", &[]).await;
    let asked = elm.running.peer.command(Command::Get(named("f")));
    elm.has_received(MIB / 2).await;
    let other = share.join(".other");
    fs::write(&other, bytes(1, 8 * MIB)).expect_err("the disk is full");
    let ended = answer(asked).await;
    let failure = ended.failed(ErrorKind::Other);
    assert_eq!(*obstacle(failure), Obstacle::Full);
    fs::remove_file(&other).expect("is removed");
    part_in(&share);
    drop(slow);
    let _oak = village.peer("oak", &[("f", &file.bytes)]).await;
    comes_but_for_what_is_there(&elm, &file).await;
    elm.stop().await;
}

#[tokio::test]
async fn a_disk_that_is_too_full_is_said_to_be_before_anything_is_fetched() {
    let village = Village::new().await;
    let mut mallory = Mallory::join(&village, "mallory").await;
    let mut entry = entry("f", b"much of it");
    entry.length = 15 << 40;
    let _wire = mallory.list(&village, vec![entry]).await;
    let elm = village.peer("elm", &[("mine", b"mine")]).await;
    let answer = elm.get_name("f").await;
    let failure = answer.failed(ErrorKind::Other);
    assert_eq!(*obstacle(failure), Obstacle::Full);
    assert!(mallory.nobody_called());
    assert_eq!(files_in(&elm.dir).len(), 1, "nothing is left");
    // The peer lives on.
    let small = elm
        .ask(Command::Ls {
            peer: None,
            folder: None,
        })
        .await
        .done();
    assert_eq!(small.files().len(), 2);
}

#[tokio::test]
async fn a_share_that_is_moved_away_ends_the_fetch_which_is_taken_up_when_it_is_back() {
    let village = Village::new().await;
    let file = long();
    // The whole file would take it half a minute.
    let slow = Holder::of(&village, "mallory", &file, Manner::soon_slow(MIB / 8)).await;
    let elm = village.peer("elm", &[]).await;
    let asked = elm.running.peer.command(Command::Get(named("f")));
    elm.has_received(MIB / 2).await;
    let away = village.dir("away").join("share");
    fs::rename(&elm.dir, &away).expect("is moved");
    let ended = answer(asked).await;
    let failure = ended.failed(ErrorKind::Other);
    is_kept_in(failure, &part_in(&away));
    slow.sees("nobody to listen any more", |seen| seen.ended == seen.calls)
        .await;
    assert!(slow.seen().sent < LONG, "{:?}", slow.seen());
    let part = fs::metadata(part_in(&away)).expect("is there");
    assert!(
        part.blocks() * 512 < LONG as u64,
        "{} blocks",
        part.blocks()
    );
    drop(slow);
    elm.ask(Command::Status).await.done();
    fs::rename(&away, &elm.dir).expect("is moved back");
    let _oak = village.peer("oak", &[("f", &file.bytes)]).await;
    comes_but_for_what_is_there(&elm, &file).await;
}

/// The fetch ended because a directory was moved, and it is said where what has come of it is now.
#[track_caller]
fn is_kept_in(failure: &Failure, now: &Path) {
    let Obstacle::PartMoved { part, bytes } = obstacle(failure) else {
        panic!("{failure:?}");
    };
    assert_eq!(part, now);
    assert!(0 < *bytes && *bytes < LONG as u64, "{bytes}");
}

#[tokio::test]
async fn a_folder_that_is_moved_ends_the_fetch_into_it_and_no_byte_follows_it() {
    let village = Village::new().await;
    let file = long();
    let slow = Holder::of(&village, "mallory", &file, Manner::soon_slow(MIB / 8)).await;
    let elm = village.peer("elm", &[]).await;
    let get = Get {
        rename: Some("films/f".into()),
        ..named("f")
    };
    let asked = elm.running.peer.command(Command::Get(get));
    elm.has_received(MIB / 2).await;
    let (folder, away) = (elm.dir.join("films"), village.dir("away").join("films"));
    fs::rename(&folder, &away).expect("is moved");
    let ended = answer(asked).await;
    let failure = ended.failed(ErrorKind::Other);
    assert!(matches!(failure, Failure::Unstorable { path, .. } if *path == folder));
    is_kept_in(failure, &part_in(&away));
    slow.sees("nobody to listen any more", |seen| seen.ended == seen.calls)
        .await;
    assert!(slow.seen().sent < LONG, "{:?}", slow.seen());
    assert!(!away.join("f").exists());
    // The share is where it was, and the peer lives on.
    elm.ask(Command::Status).await.done();
}

#[tokio::test]
async fn a_share_that_may_not_be_written_any_more_ends_the_fetch_and_the_part_stays() {
    let village = Village::new().await;
    let file = long();
    let holder = Holder::of(&village, "mallory", &file, Manner::soon_slow(2 * MIB)).await;
    let elm = village.peer("elm", &[("mine", b"mine")]).await;
    let fir = village.peer("fir", &[]).await;
    let asked = elm.running.peer.command(Command::Get(named("f")));
    elm.has_received(MIB / 2).await;
    let Some(closed) = Closed::new(&elm.dir) else {
        let test = "a_share_that_may_not_be_written";
        return skip(test, "not to be root, or to be root who may set attributes");
    };
    assert!(holder.seen().sent < LONG, "in the middle");
    let ended = answer(asked).await;
    let failure = ended.failed(ErrorKind::Other);
    let denied = Failure::Unstorable {
        path: elm.dir.join("f"),
        obstacle: Obstacle::Denied,
        room: None,
    };
    assert_eq!(*failure, denied);
    assert!(!elm.dir.join("f").exists());
    // It goes on serving.
    assert_eq!(fir.get_name("mine").await.sources(), ["elm"].into());
    drop(closed);
    comes_but_for_what_is_there(&elm, &file).await;
}

/// The part that is in its share is taken up, and does not travel again.
async fn comes_but_for_what_is_there(elm: &Villager, file: &File) {
    let answer = elm.get_name("f").await;
    let received = answer.only_fetched().received;
    assert!(answer.resumed() > 0);
    assert!(received < file.bytes.len() as u64, "{received}");
    assert!(read(&elm.dir, "f") == *file.bytes);
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_served_gives_no_wrong_byte_and_is_listed_anew() {
    let village = Village::new().await;
    let file = long();
    let oak = village.peer("oak", &[("f", &file.bytes)]).await;
    let mallory = Mallory::join(&village, "mallory").await;
    let teller = Teller::dial(&mallory, &oak, file.content()).await;
    let mut teller = teller.expect("the file is there");
    teller.say(&Message::HaveNone).await;
    teller.say(&Message::Interested).await;
    let span = |piece| Span {
        piece,
        begin: 0,
        length: 16_384,
    };
    teller.say(&Message::Request(span(0))).await;
    let first = loop {
        if let (Message::Piece(of), bytes) = teller.next().await.expect("is open") {
            break (of, bytes);
        }
    };
    assert_eq!(first, (span(0), file.span(span(0))));
    let changed = bytes(8, LONG);
    overwrite(&oak.dir.join("f"), &changed);
    teller.say(&Message::Request(span(1))).await;
    while let Some((message, bytes)) = teller.next().await {
        match message {
            Message::Piece(of) => panic!("{of:?}: {} bytes of another file", bytes.len()),
            Message::Reject(of) => {
                assert_eq!(of, span(1));
                break;
            }
            _ => {}
        }
    }
    // The listing is right again, and no holder is blamed.
    let elm = village.peer("elm", &[]).await;
    finds(&elm, &File::new(changed.clone())).await;
    elm.get_name("f").await.only_fetched();
    assert!(read(&elm.dir, "f") == changed);
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_fetched_comes_right_and_its_holder_is_not_blamed() {
    let village = Village::new().await;
    let file = bytes(9, 64 * MIB);
    let other = bytes(10, MIB);
    let oak = village.peer("oak", &[("f", &file), ("g", &other)]).await;
    let _ash = village.peer("ash", &[("f", &file)]).await;
    let mut elm = village.peer("elm", &[]).await;
    let asked = elm.running.peer.command(Command::Get(named("f")));
    oak.has_sent(1).await;
    let changed = bytes(11, file.len());
    overwrite(&oak.dir.join("f"), &changed);
    let answer = answer(asked).await;
    assert!(answer.sources().contains("ash"), "{:?}", answer.sources());
    assert!(read(&elm.dir, "f") == file);
    let status = oak.ask(Command::Status).await.done();
    assert!(status.status().sent < file.len() as u64, "in the middle");
    // It is a holder like any other.
    assert_eq!(elm.get_name("g").await.sources(), ["oak"].into());
    assert!(read(&elm.dir, "g") == other);
    finds(&elm, &File::new(changed)).await;
    while let Ok(notice) = elm.notices.try_recv() {
        assert!(!format!("{notice:?}").contains("oak"), "{notice:?}");
    }
}

/// Writes to a file where it lies; it looks as long and as old as before.
fn overwrite(path: &Path, changed: &[u8]) {
    let opened = OpenOptions::new().write(true).open(path).expect("opens");
    let before = opened.metadata().expect("is there");
    assert_eq!(before.len(), changed.len() as u64);
    opened.write_all_at(changed, 0).expect("is written");
    let old = before.modified().expect("has a time");
    opened.set_modified(old).expect("sets");
}

/// Waits until this content is listed as `f`.
async fn finds(elm: &Villager, file: &File) {
    let root = file.content().root.to_string();
    within("the new content to be listed", async {
        loop {
            let pattern = "f".into();
            let found = elm.ask(Command::Find { pattern }).await.done();
            let mut roots = found.files().into_iter().map(|row| row.root.as_ref());
            if roots.any(|found| found == Some(&root)) {
                return;
            }
        }
    })
    .await;
}

/// A disk of its own, where this process may mount one.
struct Disk(PathBuf);

impl Disk {
    fn new(test: &str, at: &Path, size: &str) -> Option<Self> {
        let mounted = Process::new("mount")
            .args(["-t", "tmpfs", "-o", size, "thorp-test"])
            .arg(at)
            .output();
        if mounted.is_ok_and(|mount| mount.status.success()) {
            return Some(Self(at.to_owned()));
        }
        skip(test, "root, to mount a disk");
        None
    }

    fn remount(&self, size: &str) {
        let options = format!("remount,{size}");
        let mount = Process::new("mount")
            .args(["-o", &options])
            .arg(&self.0)
            .status();
        assert!(mount.expect("runs").success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the peer that shares it may not have ended yet.
        let _ = Process::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A directory into which nothing can be put, until this is dropped.
struct Closed(PathBuf);

impl Closed {
    /// Nothing, where this process has powers that no permission holds against.
    fn new(dir: &Path) -> Option<Self> {
        let closed = Self(dir.to_owned());
        closed.permit(0o555);
        if closed.takes_files() {
            // What root is not kept from by permissions, it is by this.
            closed.attribute("+i");
        }
        (!closed.takes_files()).then_some(closed)
    }

    fn takes_files(&self) -> bool {
        let probe = self.0.join(".probe");
        fs::write(&probe, b"").is_ok_and(|()| fs::remove_file(probe).is_ok())
    }

    fn permit(&self, mode: u32) {
        fs::set_permissions(&self.0, Permissions::from_mode(mode)).expect("is mine");
    }

    fn attribute(&self, change: &str) {
        // Whether it has worked shows when a file is made.
        let _ = Process::new("chattr").arg(change).arg(&self.0).output();
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        self.attribute("-i");
        self.permit(0o755);
    }
}

/// Says that a test cannot run here, past the test runner's capture, so that it
/// is seen when all is well.
pub fn skip(test: &str, needs: &str) {
    let all = std::env::var_os("THORP_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(!all, "THORP_REQUIRE_ALL=1, but {test} needs {needs}");
    let line = format!("skipped: {test}: needs {needs}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Why a file could not be put where it should be.
#[track_caller]
fn obstacle(failure: &Failure) -> &Obstacle {
    match failure {
        Failure::Unstorable { obstacle, .. } => obstacle,
        other => panic!("{other:?}"),
    }
}

//! What a full disk does to the state of a tracker and of a peer: what cannot be written down is
//! told as "not now", nothing is lost or half done, and what needs no disk goes on. Needs root, for
//! a small disk.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::support::process::poll;
use crate::support::village::{listening, named, sharing};
use crate::support::{Node, PATIENCE, Running, Village, skip};

const TRACKER: [&str; 4] = ["tracker", "--lines", "--listen", "127.0.0.1:0"];
/// What a machine takes until it has a key: its state's version, its lock and the key have a page
/// of memory each.
const KEY: u64 = 3 * 4096;
const SHARE: [&str; 4] = ["share", "--lines", "--listen", "127.0.0.1:0"];

/// A file system with little room, mounted at the home of a node.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Room for one node, empty but for its directories.
    fn of(test: &str, node: &Node, room: &str) -> Option<Self> {
        let home = node.state().parent().unwrap().to_owned();
        let options = CString::new(format!("size={room},mode=700")).unwrap();
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        if mount("small", &home, "tmpfs", flags, &*options).is_err() {
            skip(test, "root");
            return None;
        }
        for directory in [node.state(), node.share()] {
            fs::create_dir(directory).unwrap();
        }
        Some(Self(home))
    }

    fn fill(&self) {
        let mut filler = fs::File::create(self.0.join("filler")).unwrap();
        let full = loop {
            if let Err(error) = filler.write_all(&[7; 1024]) {
                break error;
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    }

    /// Leaves so much room.
    fn leave(&self, bytes: u64) {
        let filler = self.0.join("filler");
        let filler = fs::OpenOptions::new().write(true).open(filler).unwrap();
        let length = filler.metadata().unwrap().len();
        filler.set_len(length - bytes).unwrap();
    }

    fn empty(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

fn stop(node: &Node, running: Running) {
    node.run(&["stop"]).exits(0);
    running.finish(PATIENCE).exits(0);
}

/// Puts an invite of this tracker where `join` can read it.
fn hand_over(home: &Node, to: &Node) -> String {
    let file = to.state().with_file_name("invite");
    fs::write(&file, home.run(&["invite"]).exits(0).stdout).unwrap();
    file.to_str().unwrap().to_owned()
}

/// Every file of a directory, with its bytes.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

#[test]
fn a_tracker_whose_disk_is_full_says_not_now_and_lets_in_once_there_is_room() {
    let test = "a_tracker_whose_disk_is_full_says_not_now_and_lets_in_once_there_is_room";
    let village = Village::new();
    let (home, elm) = (village.node("home"), village.node("elm"));
    let Some(disk) = SmallDisk::of(test, &home, "256k") else {
        return;
    };
    let tracker = home.start(&TRACKER);
    listening(&tracker);
    let invite = hand_over(&home, &elm);
    disk.fill();
    let before = contents(&home.state());
    let mark = tracker.mark();
    elm.run(&["join", &invite])
        .exits(6)
        .says("the tracker cannot write to its disk now: try again later");
    tracker.wait_for_line_after(mark, "the reason", |line| {
        line.starts_with("Warning: ") && line.contains("No space left")
    });
    // It goes on for those that are members, and says what cannot be done.
    home.run(&["members"]).exits(0);
    home.run(&["invite"]).exits(1).says("the disk is full");
    assert_eq!(contents(&home.state()), before, "nothing is changed");

    disk.empty();
    elm.run(&["join", &invite, "--name", "elm"]).exits(0);
    home.run(&["members"]).exits(0);

    // A member that is to be removed stays one, and its certificate is renewed, which needs no
    // disk.
    disk.fill();
    home.run(&["remove", "elm", "--yes"])
        .exits(1)
        .says("the disk is full");
    let (_, events) = home.json(&["members"]);
    let removed = named(&events, "member").filter(|row| row["removed"] == true);
    assert_eq!(removed.count(), 0, "{events:#?}");
    elm.run(&["ls"]).exits(0);
    disk.empty();
    home.run(&["remove", "elm", "--yes"]).exits(0);
    elm.run(&["ls"]).exits(9);
    stop(&home, tracker);
    // All of it is read again.
    let tracker = home.start(&TRACKER);
    listening(&tracker);
    let (_, events) = home.json(&["members"]);
    assert_eq!(named(&events, "member").count(), 2, "{events:#?}");
    stop(&home, tracker);
}

#[test]
fn a_newcomer_to_an_open_group_whose_disk_is_full_is_told_not_now() {
    let test = "a_newcomer_to_an_open_group_whose_disk_is_full_is_told_not_now";
    let village = Village::new();
    let (home, elm) = (village.node("home"), village.node("elm"));
    let Some(disk) = SmallDisk::of(test, &home, "256k") else {
        return;
    };
    let tracker = home.start(&[&TRACKER[..], &["--open"]].concat());
    let at = listening(&tracker);
    disk.fill();
    elm.run(&["ls", "--tracker", &at])
        .exits(6)
        .says("the tracker cannot write to its disk now");
    disk.empty();
    elm.run(&["ls", "--tracker", &at]).exits(0);
}

#[test]
fn a_group_that_was_begun_on_a_full_disk_is_begun_again_once_there_is_room() {
    let test = "a_group_that_was_begun_on_a_full_disk_is_begun_again_once_there_is_room";
    let village = Village::new();
    for (name, args) in [("hall", TRACKER), ("oak", SHARE)] {
        let node = village.node(name);
        let Some(disk) = SmallDisk::of(test, &node, "8m") else {
            return;
        };
        disk.fill();
        node.run(&args).exits(1).says("the disk is full");
        disk.empty();
        let running = node.start(&args);
        if name == "hall" {
            listening(&running);
        } else {
            sharing(&running);
        }
        stop(&node, running);
    }
}

#[test]
fn a_machine_whose_own_disk_is_full_joins_by_the_same_invite_later() {
    let test = "a_machine_whose_own_disk_is_full_joins_by_the_same_invite_later";
    let village = Village::new();
    let (home, elm) = (village.node("home"), village.node("elm"));
    let Some(disk) = SmallDisk::of(test, &elm, "8m") else {
        return;
    };
    let tracker = home.start(&TRACKER);
    listening(&tracker);
    let invite = hand_over(&home, &elm);
    disk.fill();
    // At first there is no room for anything, then none behind its key.
    elm.run(&["join", &invite])
        .exits(1)
        .says("the disk is full");
    disk.leave(KEY);
    elm.run(&["join", &invite])
        .exits(1)
        .says("the disk is full");
    assert!(elm.state().join("key.p8").exists());
    disk.empty();
    elm.run(&["join", &invite]).exits(0);
    elm.run(&["ls"]).exits(0);
    stop(&home, tracker);
}

#[test]
fn what_is_read_by_way_of_a_state_without_room_is_refused_with_where_that_is_and_what_to_do() {
    let test = "what_is_read_by_way_of_a_state_without_room_is_refused_with_where_that_is";
    let village = Village::new();
    let (_tracker, at) = village.tracker();
    let (oak, elm) = (village.node("oak"), village.node("elm"));
    let Some(disk) = SmallDisk::of(test, &oak, "8m") else {
        return;
    };
    elm.file("large", vec![7; 9_000_000]);
    elm.file("small", vec![7; 200_000]);
    let _holder = elm.start_sharing(&at, "127.0.0.2:0");
    elm.all_hashed(2);
    let peer = oak.start_sharing(&at, "127.0.0.1:0");
    let refused = |name: &str| {
        let end = oak.run(&["get", name, "-o", "-"]).exits(1);
        assert!(end.stdout.is_empty(), "{end}");
        let state = oak.state().display().to_string();
        let end = end.says(&state).says("thorp get NAME -o DIR");
        assert!(!end.stderr.contains(&format!("{state}/")), "{end}");
        end
    };
    refused("large").says("This one takes 8.6 MiB");
    disk.fill();
    refused("small").says("This one takes 195.3 KiB, and the file system at");
    disk.empty();
    let end = oak.run(&["get", "small", "-o", "-"]).exits(0);
    assert!(!end.stdout.is_empty());
    stop(&oak, peer);
}

#[test]
fn a_peer_whose_state_has_no_room_goes_on_and_says_what_is_not_kept() {
    let test = "a_peer_whose_state_has_no_room_goes_on_and_says_what_is_not_kept";
    let village = Village::new();
    let (_tracker, at) = village.tracker();
    let (oak, elm) = (village.node("oak"), village.node("elm"));
    let Some(disk) = SmallDisk::of(test, &oak, "8m") else {
        return;
    };
    oak.file("a.txt", "of oak");
    let peer = oak.start_sharing(&at, "127.0.0.1:0");
    disk.fill();
    let mark = peer.mark();
    elm.file("b.txt", "of elm");
    // A member is removed, and a neighbour is to be remembered.
    let record = oak.state().join("group-record");
    let before = fs::read(&record).unwrap();
    let ash = village.node("ash");
    let at_ash = ["--tracker", &at, "--name", "ash"];
    let ash = ash.start(&[&SHARE[..], &at_ash].concat());
    sharing(&ash);
    let tracker = village.node("tracker");
    tracker.run(&["remove", "ash", "--yes"]).exits(0);
    ash.finish(PATIENCE).exits(9);
    peer.wait_for_line_after(mark, "that the record is not kept", |line| {
        line.starts_with("Warning: ") && line.contains("What the group has decided")
    });
    let other = elm.start_sharing(&at, "127.0.0.2:0");
    elm.fetch("a.txt");
    peer.wait_for_line_after(mark, "what is not kept", |line| {
        line.starts_with("Warning: ") && line.contains("Neighbours are not remembered")
    });
    oak.run(&["ls"])
        .exits(0)
        .stdout
        .contains("b.txt")
        .then_some(())
        .unwrap();
    oak.run(&["get", "b.txt"]).exits(1).says("the disk is full");
    disk.empty();
    poll("the file", PATIENCE, || {
        (oak.run(&["get", "b.txt"]).code == Some(0)).then_some(())
    });
    assert_eq!(fs::read(&record).unwrap(), before);
    stop(&oak, peer);
    assert_ne!(
        fs::read(&record).unwrap(),
        before,
        "now there is room for it"
    );
    let peer = oak.start_sharing(&at, "127.0.0.1:0");
    stop(&oak, peer);
    drop(other);
}

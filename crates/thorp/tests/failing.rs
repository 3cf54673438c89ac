//! Disks that give errors for a while: what members are told meanwhile, and afterwards. The
//! disk is a FUSE file system whose server is told what to answer.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use serde_json::Value;
use tempfile::TempDir;
use thorp_disk::testing::FailingDisk;

use crate::support::process::poll;
use crate::support::village::{listening, named};
use crate::support::{Node, PATIENCE, Running, Village, skip};

/// How often the disk is asked while a get that is told to come again comes again.
const SOME: usize = 12;

#[test]
fn a_small_file_that_its_disk_does_not_give_is_waited_for_and_comes() {
    let test = "a_small_file_that_its_disk_does_not_give_is_waited_for_and_comes";
    is_waited_for_and_comes(test, 1000);
}

#[test]
fn a_large_file_that_its_disk_does_not_give_is_waited_for_and_comes() {
    let test = "a_large_file_that_its_disk_does_not_give_is_waited_for_and_comes";
    is_waited_for_and_comes(test, 3_000_000);
}

fn is_waited_for_and_comes(test: &str, length: usize) {
    let Some(Scene {
        village: _village,
        _others,
        disk,
        holder,
        wants,
        bytes,
    }) = Scene::of(test, length)
    else {
        return;
    };
    poll("the file to be hashed", PATIENCE, || {
        is_hashed(&wants.json(&["find", "file"]).1).then_some(())
    });

    disk.answers_reads(Errno::IO);
    let get = wants.start(&["get", "file"]);
    holder.wait_for_line("a warning", |line| line.contains("cannot be read now"));
    disk.is_asked_more_often(SOME);
    // Nobody is told that it is gone.
    let (code, events) = wants.json(&["find", "file"]);
    assert_eq!(code, Some(0), "{events:#?}");
    assert!(is_hashed(&events), "{events:#?}");

    disk.is_well();
    let end = get.finish(PATIENCE).exits(0);
    assert!(!end.stderr.contains("No peer"), "{end}");
    assert_eq!(wants.bytes("file"), bytes);
}

#[test]
fn a_file_that_its_disk_does_not_give_when_it_is_hashed_is_not_told_as_nobodys() {
    let test = "a_file_that_its_disk_does_not_give_when_it_is_hashed_is_not_told_as_nobodys";
    let Some(scene) = Scene::with(test, 1000, |disk| disk.answers_reads(Errno::IO)) else {
        return;
    };
    let Scene {
        disk,
        holder,
        wants,
        bytes,
        ..
    } = &scene;
    holder.wait_for_line("a warning", |line| line.contains("cannot be read now"));
    let (code, events) = wants.json(&["find", "file"]);
    assert_eq!(code, Some(0), "{events:#?}");
    assert_eq!(named(&events, "file").count(), 1, "{events:#?}");
    let get = wants.start(&["get", "file"]);
    disk.is_asked_more_often(SOME);
    disk.is_well();
    let end = get.finish(PATIENCE).exits(0);
    assert!(!end.stderr.contains("No peer"), "{end}");
    assert_eq!(&wants.bytes("file"), bytes);
}

#[test]
fn what_of_its_state_a_disk_does_not_give_is_told_so_and_never_as_missing() {
    let test = "what_of_its_state_a_disk_does_not_give_is_told_so_and_never_as_missing";
    let village = Village::new();
    let (home, guest) = (village.node("home"), village.node("guest"));
    let invite = guest.state().with_file_name("invite");
    let invite = invite.to_str().unwrap();
    let listen = ["tracker", "--lines", "--listen", "127.0.0.1:0"];
    let tracker = home.start(&listen);
    listening(&tracker);
    fs::write(invite, home.run(&["invite"]).exits(0).stdout).unwrap();
    guest.run(&["join", invite]).exits(0);
    let share = guest.share();
    let share = ["share", "--lines", share.to_str().unwrap()];
    let asked = [&["get", "x"][..], &["ls"], &["join", invite], &share];
    is_told(test, &guest, &asked);
    home.run(&["stop"]).exits(0);
    is_told(test, &home, &[&listen]);
}

/// No command ends well, or says that this machine is no member, where a file of the state of its
/// node cannot be read or not even be opened; and none makes another one in its place.
fn is_told(test: &str, node: &Node, commands: &[&[&str]]) {
    let before = contents(&node.state());
    for file in before.keys() {
        let name = file.file_name().unwrap().to_str().unwrap();
        if ["seen.json", "token"].contains(&name) {
            // A tracker goes on without them.
            continue;
        }
        for opens in [true, false] {
            let bytes = fs::read(file).unwrap();
            let Some(ungiven) = Ungiven::of(test, file, &bytes, opens) else {
                return;
            };
            for command in commands {
                let end = node.run(command).exits(1).says(name);
                let why = ["Input/output error", "Function not implemented"];
                assert!(why.iter().any(|why| end.stderr.contains(why)), "{end}");
            }
            drop(ungiven);
            assert_eq!(contents(&node.state()), before, "{name}");
        }
    }
}

/// The files of a directory, but for what the owner writes into its lock, and for a membership,
/// which is renewed by each `join`.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let files = files.filter(|path| path.is_file());
    let read = |path: PathBuf| {
        let changes = path.ends_with("lock") || path.ends_with("membership.json");
        let bytes = if changes {
            Vec::new()
        } else {
            fs::read(&path).unwrap()
        };
        (path, bytes)
    };
    files.map(read).collect()
}

/// A file of a state directory that its disk does not give, until this is dropped.
struct Ungiven {
    file: PathBuf,
    _disk: FailingDisk,
    _at: TempDir,
}

impl Ungiven {
    /// It cannot be opened, or only not be read.
    fn of(test: &str, file: &Path, bytes: &[u8], opens: bool) -> Option<Self> {
        let at = tempfile::tempdir().unwrap();
        let Some(disk) = FailingDisk::mount(at.path(), bytes) else {
            skip(test, "root, and /dev/fuse");
            return None;
        };
        mount_bind(at.path().join("file"), file).unwrap();
        if opens {
            disk.answers_reads(Errno::IO);
        } else {
            disk.answers(Errno::IO);
        }
        Some(Self {
            file: file.to_owned(),
            _disk: disk,
            _at: at,
        })
    }
}

impl Drop for Ungiven {
    fn drop(&mut self) {
        let _ = unmount(&self.file, UnmountFlags::DETACH);
    }
}

/// A tracker, a peer that shares what is on such a disk, and one that wants it.
struct Scene {
    _others: [Running; 2],
    holder: Running,
    disk: FailingDisk,
    wants: Node,
    bytes: Vec<u8>,
    village: Village,
}

impl Scene {
    fn of(test: &str, length: usize) -> Option<Self> {
        Self::with(test, length, |_| ())
    }

    fn with(test: &str, length: usize, prepare: impl FnOnce(&FailingDisk)) -> Option<Self> {
        let village = Village::new();
        let (has, wants) = (village.node("has"), village.node("wants"));
        let bytes: Vec<u8> = (0..=250).cycle().take(length).collect();
        let Some(disk) = FailingDisk::mount(&has.share(), &bytes) else {
            skip(test, "root, and /dev/fuse");
            return None;
        };
        prepare(&disk);
        let (tracker, at) = village.tracker();
        let holder = has.start_sharing(&at, "127.0.0.2:0");
        let peer = wants.start_sharing(&at, "127.0.0.3:0");
        Some(Self {
            _others: [tracker, peer],
            holder,
            disk,
            wants,
            bytes,
            village,
        })
    }
}

fn is_hashed(events: &[Value]) -> bool {
    named(events, "file").any(|file| file["root"].is_string())
}

//! Disks that give errors for a while: what members are told meanwhile, and afterwards. The
//! disk is a FUSE file system whose server is told what to answer.

use rustix::io::Errno;
use serde_json::Value;
use thorp_disk::testing::FailingDisk;

use crate::support::process::poll;
use crate::support::village::named;
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

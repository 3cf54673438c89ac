//! A file arrives as it was: its time, whether it is a program, its holes.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::support::process::poll;
use crate::support::village::named;
use crate::support::{Node, PATIENCE, Running, Village, skip};

/// A program of that time; a mode with more in it than may travel.
fn program(node: &Node, name: &str, modified: SystemTime) {
    node.file(name, format!("#!/bin/sh\necho {name}\n"));
    let path = node.share().join(name);
    fs::set_permissions(&path, Permissions::from_mode(0o6755)).unwrap();
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(modified)
        .unwrap();
}

/// The time and the mode of a file in a share.
fn state(node: &Node, name: &str) -> ((i64, i64), u32) {
    let meta = fs::metadata(node.share().join(name)).unwrap();
    ((meta.mtime(), meta.mtime_nsec()), meta.mode() & 0o7777)
}

/// What a file gets here that is made with all bits, less those.
fn made(dir: &Path, mode: u32) -> u32 {
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = dir.join("made");
    let mut options = File::options();
    let file = options.write(true).create_new(true).mode(mode).open(&path);
    let mode = file.unwrap().metadata().unwrap().mode();
    fs::remove_file(path).unwrap();
    mode & 0o7777
}

#[test]
fn times_are_kept_to_the_nanosecond_and_programs_stay_programs_where_members_are_invited() {
    let village = Village::new();
    let (home, guest) = (village.node("home"), village.node("guest"));
    let nanos = Duration::from_nanos(123_456_789);
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) + nanos;
    // Beyond what 64 bits of nanoseconds can say, and before 1970.
    let late = SystemTime::UNIX_EPOCH + Duration::from_hours(2_892_720) + nanos;
    let early = SystemTime::UNIX_EPOCH - Duration::from_hours(24) + nanos;
    program(&home, "bin/run", now);
    program(&home, ".git/hooks/pre-commit", now);
    program(&home, "late.bin", late);
    program(&home, "early.bin", early);
    // A large one too, which comes another way.
    home.file("large", vec![7; 400_000]);
    let large = home.share().join("large");
    fs::set_permissions(&large, Permissions::from_mode(0o755)).unwrap();
    File::options()
        .write(true)
        .open(&large)
        .unwrap()
        .set_modified(late)
        .unwrap();

    let peer = home.start(&["share", "--hidden", "--lines", "--listen", "127.0.0.1:0"]);
    let invite = peer.wait_for_line("an invite", |line| line.starts_with("thorp1"));
    guest
        .start_reading(&invite.text, &["join", "-"])
        .finish(PATIENCE)
        .exits(0);
    let guest_dir = guest.share();
    for (name, mode) in [
        ("bin/run", 0o777),
        ("late.bin", 0o777),
        ("early.bin", 0o777),
        ("large", 0o777),
        (".git/hooks/pre-commit", 0o666),
    ] {
        guest.fetch(name);
        let (time, arrived) = state(&guest, name);
        assert_eq!(time, state(&home, name).0, "{name}");
        assert_eq!(arrived, made(&guest_dir, mode), "{name}: {arrived:o}");
    }

    // A change of the bit alone is told, and is no other file.
    let (_, before) = guest.json(&["find", "large"]);
    let before = named(&before, "file").next().unwrap().clone();
    assert_eq!(before["executable"], true);
    assert_eq!(before["mtime"], 10_413_792_000_i64);
    assert_eq!(before["mtime_ns"], 123_456_789);
    fs::set_permissions(&large, Permissions::from_mode(0o644)).unwrap();
    poll("the change of its mode", PATIENCE, || {
        let (_, now) = guest.json(&["find", "large"]);
        let now = named(&now, "file").next()?.clone();
        let told = now["executable"].is_null() && now["root"] == before["root"];
        told.then_some(())
    });

    // As its user wants it.
    let set = ["--set", "get.executable=false", "get", "bin/run", "--as"];
    guest.run(&[&set[..], &["plain"]].concat()).exits(0);
    assert_eq!(state(&guest, "plain").1, made(&guest_dir, 0o666));
}

#[test]
fn in_an_open_group_nothing_that_arrives_can_be_executed() {
    let village = Village::new();
    let (_tracker, at) = village.tracker();
    let (has, wants) = (village.node("has"), village.node("wants"));
    program(&has, "run", SystemTime::UNIX_EPOCH);
    let _has = has.start_sharing(&at, "127.0.0.2:0");
    let _wants = wants.start_sharing(&at, "127.0.0.3:0");
    poll("its listing", PATIENCE, || {
        let (_, events) = wants.json(&["find", "run"]);
        named(&events, "file")
            .next()
            .filter(|file| file["root"].is_string())
            .map(|file| assert_eq!(file["executable"], true))
    });
    wants.fetch("run");
    let (time, mode) = state(&wants, "run");
    assert_eq!(time, (0, 0));
    assert_eq!(mode, made(&wants.share(), 0o666));
}

const GIB: u64 = 1024 * 1024 * 1024;

/// A file of 6 GiB with 4 KiB of data somewhere in it, and one of zeros.
fn sparse(node: &Node) {
    for (name, data) in [("sparse.img", true), ("zeros.img", false)] {
        let file = File::create(node.share().join(name)).unwrap();
        file.set_len(6 * GIB + 5).unwrap();
        if data {
            file.write_all_at(&[7; 4096], 4 * GIB + 12_345).unwrap();
        }
    }
}

/// Whether all that is not a hole of a file is these bytes at that place.
fn is_as_written(path: &Path) -> bool {
    let file = File::open(path).unwrap();
    let mut there = [0; 4096];
    file.read_exact_at(&mut there, 4 * GIB + 12_345).unwrap();
    there == [7; 4096]
}

#[test]
fn holes_are_neither_read_nor_sent_and_stay_holes() {
    let village = Village::new();
    let (_tracker, at) = village.tracker();
    let (has, wants) = (village.node("has"), village.node("wants"));
    sparse(&has);
    let original = has.share().join("sparse.img");
    if fs::metadata(&original).unwrap().blocks() * 512 > GIB {
        return skip(
            "holes_are_neither_read_nor_sent_and_stay_holes",
            "a file system with holes",
        );
    }
    let peers = [(&has, "127.0.0.2:0"), (&wants, "127.0.0.3:0")]
        .map(|(node, listen)| node.start_sharing(&at, listen));
    poll("the roots of both", PATIENCE, || {
        let (_, events) = wants.json(&["find", "*.img"]);
        let hashed = named(&events, "file").filter(|file| file["root"].is_string());
        (hashed.count() == 2).then_some(())
    });
    for (name, most) in [("sparse.img", 8 * 1024 * 1024), ("zeros.img", 0)] {
        let fetched = wants.fetch(name);
        assert!(fetched["sources"][0]["name"].is_string(), "{fetched}");
        let arrived = fs::metadata(wants.share().join(name)).unwrap();
        assert_eq!(arrived.len(), 6 * GIB + 5);
        // A leaf of 16 KiB or two, and what the file system needs for it.
        assert!(arrived.blocks() * 512 < 256 * 1024, "{}", arrived.blocks());
        assert!(fetched["received"].as_u64().unwrap() <= most, "{fetched}");
    }
    // A copy of the own file keeps them too, and so does a comparison with it.
    let copy = ["get", "sparse.img", "-o", "copies"];
    fs::create_dir(has.share().join("copies")).unwrap();
    has.run(&copy).exits(0);
    has.run(&copy).exits(0);
    let copied = has.share().join("copies/sparse.img");
    assert!(fs::metadata(&copied).unwrap().blocks() * 512 < 256 * 1024);
    for path in [copied, wants.share().join("sparse.img")] {
        assert!(is_as_written(&path), "{}", path.display());
    }
    // Of 12 GiB, the peers have read what is data.
    for peer in &peers {
        let read = bytes_read(peer);
        assert!(read < 64 * 1024 * 1024, "{read} bytes");
    }
}

/// How many bytes a process has read so far, from files and whatever else.
fn bytes_read(process: &Running) -> u64 {
    let io = fs::read_to_string(format!("/proc/{}/io", process.id())).unwrap();
    let read = io.lines().find_map(|line| line.strip_prefix("rchar: "));
    read.unwrap().parse().unwrap()
}

#[test]
fn a_directory_whose_path_is_no_text_is_shared_told_of_and_fetched_into() {
    let village = Village::new();
    let (_tracker, at) = village.tracker();
    let there = "cd \"$(printf 'odd\\377')\" && exec \"$@\"";
    let elm = village.node("elm").under(&["sh", "-c", there, "sh"]);
    let dir = elm.share().join(OsStr::from_bytes(b"odd\xff"));
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("mine"), "mine").unwrap();
    let _elm = elm.start_sharing(&at, "127.0.0.1:0");
    let oak = village.node("oak");
    oak.file("theirs", "theirs");
    let _oak = oak.start_sharing(&at, "127.0.0.1:0");

    let (code, events) = elm.json(&["status"]);
    assert_eq!(code, Some(0), "{events:?}");
    let share = &named(&events, "status").next().unwrap()["share"];
    assert!(share["bytes"].as_str().unwrap().ends_with("6f6464ff"));
    assert!(share["text"].as_str().unwrap().ends_with("odd\u{fffd}"));
    oak.fetch("mine");
    elm.run(&["get", "theirs"]).exits(0);
    assert_eq!(fs::read(dir.join("theirs")).unwrap(), b"theirs");
    elm.run(&["clean", "--yes"]).exits(0);
}

#[test]
fn with_json_a_directory_whose_path_is_no_text_is_told_of_as_well() {
    let village = Village::new();
    let there = "cd \"$(printf 'odd\\377')\" && exec \"$@\"";
    let elm = village.node("elm").under(&["sh", "-c", there, "sh"]);
    fs::create_dir(elm.share().join(OsStr::from_bytes(b"odd\xff"))).unwrap();
    let (code, events) = elm.json(&["share", "--detach", "--listen", "127.0.0.1:0"]);
    assert_eq!(code, Some(0), "{events:?}");
    let directory = &named(&events, "sharing").next().unwrap()["directory"];
    assert!(directory["bytes"].as_str().unwrap().ends_with("6f6464ff"));
    elm.run(&["stop"]).exits(0);
}

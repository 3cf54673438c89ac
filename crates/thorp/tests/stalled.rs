//! Disks that never answer: what thorp does meanwhile. The disk is a FUSE file system
//! whose server says hello and then nothing.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;

use crate::support::process::poll;
use crate::support::{PATIENCE, Running, Village, skip};

/// How long a command may take to end once it is told to.
const AT_ONCE: Duration = Duration::from_secs(10);

#[test]
fn every_command_ends_when_it_is_told_to_though_its_disk_never_answers() {
    let test = "every_command_ends_when_it_is_told_to_though_its_disk_never_answers";
    let Some(disk) = StalledDisk::mount(test) else {
        return;
    };
    let village = Village::new();
    let (_tracker, at) = village.tracker();
    let home = village.node("home");
    home.file("x", "x");
    let (state, there) = (disk.at("state"), disk.at("there"));
    let (state, there) = (state.to_str().unwrap(), there.to_str().unwrap());
    let torrent = disk.at("x.torrent");
    let torrent = torrent.to_str().unwrap();
    let kept = home.state();
    let kept = kept.to_str().unwrap();
    for args in [
        &["--state", state, "status"][..],
        &["--state", state, "get", "x"],
        &["--state", state, "get", "x", "--tracker", &at],
        &["--state", state, "find", "*"],
        &["--state", state, "ls"],
        &["--state", state, "peers"],
        &["--state", state, "neighbours"],
        &["--state", state, "members"],
        &["--state", state, "invite"],
        &["--state", state, "remove", "oak"],
        &["--state", state, "status", "--left-out"],
        &["--state", state, "magnet", "x"],
        &["--state", state, "torrent", "x", "-o", "x.torrent"],
        &["--state", state, "page"],
        &["--state", state, "stop"],
        &["--state", state, "leave"],
        &["--state", state, "share", "--lines", "."],
        &["--state", state, "tracker", "--lines"],
        &["--state", state, "tracker", "--backup", "backup"],
        &["--state", kept, "tracker", "--restore", there],
        &["--state", kept, "join", there],
        &["--state", kept, "share", "--lines", "--tracker", &at, there],
        &["--state", kept, "get", "x", "--tracker", &at, "-o", there],
        &["--state", kept, "get", torrent, "--tracker", &at],
        &["--state", kept, "clean", there],
        &["demo"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_thorp"));
        command.args(args).current_dir(home.share());
        command.env_clear().env("HOME", kept);
        if args == ["demo"] {
            // It makes its directories there.
            command.env("TMPDIR", there);
        }
        let running = Running::start(&args.join(" "), command);
        StalledDisk::wait_for(&running);
        running.signal("INT");
        let end = running.finish(AT_ONCE);
        assert_ne!(end.code, Some(0), "{args:?}: {end}");
    }
}

#[test]
fn a_peer_answers_and_is_found_while_a_disk_that_it_writes_to_never_answers() {
    let test = "a_peer_answers_and_is_found_while_a_disk_that_it_writes_to_never_answers";
    let Some(disk) = StalledDisk::mount(test) else {
        return;
    };
    let village = Village::new();
    let (_tracker, at) = village.tracker();
    let (has, wants) = (village.node("has"), village.node("wants"));
    for node in [&has, &wants] {
        node.configure("[interval]\ntracker_ms = 200\nneighbour_ms = 200\n");
    }
    has.file("large", vec![7; 3_000_000]);
    has.file("small", "small");
    wants.file("own", "own");
    let _has = has.start_sharing(&at, "127.0.0.2:0");
    let peer = wants.start_sharing(&at, "127.0.0.3:0");
    let there = disk.at("there");
    // More than there are threads for small files.
    let stuck: Vec<_> = (0..20)
        .map(|_| wants.start(&["get", "small", "large", "-o", there.to_str().unwrap()]))
        .collect();
    StalledDisk::wait_for(&peer);
    let since = Instant::now();
    wants.run(&["status"]).exits(0);
    wants.fetch("small");
    has.fetch("own");
    assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
    for stuck in stuck {
        stuck.signal("INT");
        stuck.finish(AT_ONCE).exits(7);
    }
    drop(disk);
    wants.fetch("large");
}

/// A mounted file system that answers nothing. Needs root.
struct StalledDisk {
    dir: TempDir,
    /// Closing it is the end of the file system.
    _device: File,
}

impl StalledDisk {
    fn mount(test: &str) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let Ok(mut device) = File::options().read(true).write(true).open("/dev/fuse") else {
            skip(test, "root, and /dev/fuse");
            return None;
        };
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0",
            device.as_raw_fd()
        );
        let options = CString::new(options).expect("no zero in it");
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        if mount("stalled", dir.path(), "fuse", flags, &*options).is_err() {
            skip(test, "root, and /dev/fuse");
            return None;
        }
        say_hello(&mut device);
        Some(Self {
            dir,
            _device: device,
        })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Waits until a thread of this program waits for the disk. The question stays
    /// unread: the kernel lets nobody end who waits for an answer to one that was read.
    fn wait_for(running: &Running) {
        let tasks = format!("/proc/{}/task", running.id());
        poll(&format!("{} to wait", running.name()), PATIENCE, || {
            let threads = fs::read_dir(&tasks).ok()?.flatten();
            let mut waits = threads.filter_map(|thread| fs::read(thread.path().join("wchan")).ok());
            waits.find(|at| at.starts_with(b"request_wait_answer"))
        });
    }
}

impl Drop for StalledDisk {
    fn drop(&mut self) {
        // What waits for it is told that it is gone.
        let _ = unmount(self.dir.path(), UnmountFlags::DETACH | UnmountFlags::FORCE);
    }
}

/// Answers the kernel's first question, for the version of FUSE (`fuse_init_in`).
fn say_hello(device: &mut File) {
    let mut question = vec![0; 1 << 20];
    let length = device.read(&mut question).expect("the kernel's hello");
    assert!(length >= 48, "{length}");
    let mut answer = Vec::new();
    answer.extend(80_u32.to_ne_bytes());
    answer.extend(0_i32.to_ne_bytes());
    answer.extend(&question[8..16]);
    for word in [7_u32, 31, 0, 0, 0, 4096, 1] {
        answer.extend(word.to_ne_bytes());
    }
    answer.resize(80, 0);
    device.write_all(&answer).expect("is taken");
}

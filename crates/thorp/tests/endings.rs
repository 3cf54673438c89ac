//! How nodes end, and what is said of one that does not answer, played by the real
//! program.

use std::fs::File;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, openat};
use rustix::io::ioctl_fionread;
use tempfile::TempDir;

use crate::support::process::poll;
use crate::support::village::sharing;
use crate::support::{Node, PATIENCE, Running, Village};

/// After this, a caller says which process does not answer.
const SILENCE: Duration = Duration::from_secs(2);

fn start(node: &Node) -> Running {
    let peer = node.start(&["share", "--lines", "--listen", "127.0.0.1:0"]);
    sharing(&peer);
    peer
}

#[test]
fn a_peer_is_started_again_as_soon_as_stop_has_answered() {
    let village = Village::new();
    let node = village.node("peer");
    node.file("1.txt", "one");
    let mut ended = Vec::new();
    let mut peer = start(&node);
    for _ in 0..10 {
        node.run(&["stop"]).exits(0);
        ended.push(peer);
        peer = start(&node);
    }
    node.run(&["stop"]).exits(0).says("has said goodbye");
    for peer in ended.into_iter().chain([peer]) {
        peer.finish(PATIENCE).exits(0);
    }
}

#[test]
fn a_suspended_peer_is_named_by_every_command_and_none_waits_for_it() {
    let village = Village::new();
    let node = village.node("peer");
    node.file("1.txt", "one");
    let peer = start(&node);
    let suspended = format!("process {}, is suspended", peer.id());
    peer.signal("STOP");
    for command in [
        &["status"][..],
        &["get", "1.txt"],
        &["ls"],
        &["stop"],
        &["invite"],
        &["members"],
        &["share", "--lines"],
        &["leave", "--purge", "--yes"],
    ] {
        let begun = Instant::now();
        node.run(command).exits(1).says(&suspended);
        let took = begun.elapsed();
        assert!(
            took >= SILENCE && took < 4 * SILENCE,
            "{command:?}: {took:?}"
        );
    }
    // One that goes on in time is not told of.
    let asking = node.start(&["status"]);
    peer.signal("CONT");
    asking.finish(PATIENCE).exits(0);
    node.run(&["stop"]).exits(0);
    peer.finish(PATIENCE).exits(0);
}

#[test]
fn a_get_whose_peer_dies_with_it_does_not_fetch_by_itself() {
    let village = Village::new();
    let (tracker, at) = village.tracker();
    let holder = village.node("holder");
    holder.file("1.bin", vec![7; 200_000_000]);
    let holding = holder.start_sharing(&at, "127.0.0.1:0");
    let node = village.node("peer");
    let peer = node.start_sharing(&at, "127.0.0.1:0");
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = node.thorp(&["--json", "get", "1.bin"]);
    command.current_dir(elsewhere.path());
    let fetch = Running::start("get", command);
    fetch.wait_for_line("it is fetched", |line| line.contains("\"progress\""));
    peer.signal("KILL");
    peer.finish(PATIENCE);
    let end = fetch.finish(PATIENCE).exits(7);
    assert!(end.stdout.contains("\"error\""), "{end}");
    assert_eq!(elsewhere.path().read_dir().unwrap().count(), 0);
    drop((holding, tracker));
}

#[test]
fn a_hangup_that_was_ignored_stays_ignored() {
    let village = Village::new();
    let nohup = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"];
    let peer = village.node("peer").under(&nohup);
    let running = start(&peer);
    running.signal("HUP");
    // It is answered after the signal has come, so it has not ended it.
    peer.run(&["status"]).exits(0);
    peer.run(&["stop"]).exits(0);
    running.finish(PATIENCE).exits(0);

    // The test itself may have been started so that it ignores them.
    let heard = ["env", "--default-signal=HUP"];
    let other = village.node("other").under(&heard);
    let running = start(&other);
    running.signal("HUP");
    running.finish(PATIENCE).exits(0);
}

#[test]
fn a_full_disk_behind_standard_output_ends_no_node_and_every_answer() {
    let village = Village::new();
    let full = ["sh", "-c", "exec \"$@\" > /dev/full", "sh"];
    let node = village.node("peer");
    node.file("1.txt", "one");
    let deaf = node.clone().under(&full);
    let peer = deaf.start(&["share", "--lines", "--listen", "127.0.0.1:0"]);
    peer.wait_for_line("that its output is lost", |line| {
        line.contains("standard output cannot be written")
    });
    for command in [
        &["status"][..],
        &["ls"],
        &["find", "*"],
        &["members"],
        &["invite"],
        &["completions", "bash"],
        &["--help"],
        &["--version"],
        &["--json", "status"],
        &["tracker", "--backup", "-"],
    ] {
        let end = deaf.run(command).exits(1);
        assert!(end.stderr.contains("standard output"), "{command:?}: {end}");
    }
    node.run(&["status"]).exits(0);
    node.run(&["stop"]).exits(0);
    let end = peer.finish(PATIENCE).exits(0);
    assert_eq!(end.stderr.matches("standard output").count(), 1, "{end}");

    let node = village.node("tracker").under(&full);
    let tracker = node.start(&["tracker", "--open", "--listen", "127.0.0.1:0"]);
    tracker.wait_for_line("that its output is lost", |line| {
        line.contains("standard output cannot be written")
    });
    node.run(&["stop"]).exits(0);
    tracker.finish(PATIENCE).exits(0);
}

#[test]
fn without_a_standard_output_no_answer_ends_well_and_a_fetch_and_a_node_do() {
    let village = Village::new();
    let (tracker, at) = village.tracker();
    let closed = ["sh", "-c", "exec \"$@\" >&-", "sh"];
    let (holder, node) = (village.node("holder"), village.node("peer"));
    holder.file("1.txt", "one");
    let holding = holder.start_sharing(&at, "127.0.0.2:0");
    let deaf = node.clone().under(&closed);
    let peer = deaf.start(&[
        "share",
        "--lines",
        "--tracker",
        &at,
        "--listen",
        "127.0.0.1:0",
    ]);
    peer.wait_for_line("that its output is lost", |line| {
        line.contains("standard output cannot be written")
    });
    poll("the file to be listed", PATIENCE, || {
        node.run(&["ls"]).stdout.contains("1.txt").then_some(())
    });
    for command in [
        &["ls"][..],
        &["find", "*"],
        &["status"],
        &["status", "--left-out", "--json"],
        &["peers"],
        &["get", "1.txt", "-o", "-"],
        &["completions", "bash"],
        &["--help"],
        &["get", "--help"],
        &["--version"],
        &["--json", "status"],
    ] {
        let end = deaf.run(command).exits(1);
        assert!(end.stderr.contains("standard output"), "{command:?}: {end}");
    }
    // What is wrong with a command line is not said there.
    deaf.run(&["--no-such-flag"]).exits(2);
    deaf.run(&["get", "1.txt"]).exits(0);
    assert_eq!(node.bytes("1.txt"), b"one");
    // What is thrown away is written all the same, however it was opened.
    for away in ["exec \"$@\" >/dev/null", "exec \"$@\" 1<>/dev/null"] {
        let unheard = node.clone().under(&["sh", "-c", away, "sh"]);
        unheard.run(&["ls"]).exits(0);
    }
    deaf.run(&["stop"]).exits(0);
    peer.finish(PATIENCE).exits(0);
    drop((holding, tracker));
}

#[test]
fn a_limit_of_a_files_size_fails_the_fetch_and_not_the_peer() {
    let village = Village::new();
    let (tracker, at) = village.tracker();
    let holder = village.node("holder");
    holder.file("large.bin", vec![7; 8_000_000]);
    holder.file("small.bin", vec![7; 200_000]);
    let holding = holder.start_sharing(&at, "127.0.0.1:0");
    let node = village.node("peer");
    // In blocks of 512 bytes, or of 1024 in other shells.
    let limited = node
        .clone()
        .under(&["sh", "-c", "ulimit -f 2000; exec \"$@\"", "sh"]);
    let peer = limited.start_sharing(&at, "127.0.0.1:0");
    node.run(&["get", "large.bin"]).exits(1).says("too large");
    node.run(&["get", "small.bin"]).exits(0);
    assert_eq!(node.bytes("small.bin").len(), 200_000);
    node.run(&["stop"]).exits(0);
    peer.finish(PATIENCE).exits(0);
    // A visitor's, too.
    let tight = node.under(&["sh", "-c", "ulimit -f 100; exec \"$@\"", "sh"]);
    tight
        .run(&["get", "small.bin", "--as", "other.bin"])
        .exits(1);
    assert!(!tight.share().join("other.bin").exists());
    drop((holding, tracker));
}

#[test]
fn a_limit_of_threads_is_said_and_nothing_panics() {
    let mut command = std::process::Command::new("sh");
    // No limit holds for root.
    let as_another = "if [ $(id -u) = 0 ]; then \
                      exec prlimit --nproc=2 setpriv --reuid 54321 --clear-groups \"$@\"; \
                      else ulimit -u 1; exec \"$@\"; fi";
    let program = env!("CARGO_BIN_EXE_thorp");
    command.args([
        "-c", as_another, "sh", program, "--state", "/nowhere", "status",
    ]);
    let end = Running::start("status", command).finish(PATIENCE);
    if end.code == Some(127) {
        return crate::support::skip(
            "a_limit_of_threads_is_said_and_nothing_panics",
            "prlimit and setpriv",
        );
    }
    end.exits(1).says("raise the limit (ulimit -u");
}

#[test]
fn a_trackers_log_stays_small_while_a_file_is_edited_all_the_time() {
    let village = Village::new();
    let node = village.node("tracker");
    let tracker = node.start(&["tracker", "--open", "--listen", "127.0.0.1:0"]);
    let at = crate::support::village::listening(&tracker);
    let peer = village.node("peer");
    peer.file("1.txt", "one");
    let sharing = peer.start_sharing(&at, "127.0.0.1:0");
    let dated = |end: &'static str| {
        move |line: &str| line.starts_with("20") && line[..20].ends_with('Z') && line.ends_with(end)
    };
    tracker.wait_for_line("who came", dated(" came"));
    tracker.wait_for_line("how much it shares", dated(" shares 1 file, 3 B"));
    let entries = || node.tracker_status()["entries"].as_u64();
    for length in 0..20 {
        peer.file("1.txt", vec![7; length]);
        peer.file(&format!("{length}.new"), "new");
        poll("the tracker to know it", PATIENCE, || {
            (entries() == Some(length as u64 + 2)).then_some(())
        });
    }
    drop(sharing);
    tracker.wait_for_line("who went", dated(" went"));
    tracker.signal("TERM");
    let end = tracker.finish(PATIENCE).exits(0);
    assert_eq!(end.stdout.matches(" came\n").count(), 1, "{end}");
    assert!(end.stdout.matches(" shares ").count() <= 2, "{end}");
    assert!(!end.stdout.contains("File Name"), "{end}");
}

#[test]
fn a_tracker_whose_lines_are_not_read_ends_when_it_is_told_to() {
    for told in ["INT", "TERM", "stop"] {
        let village = Village::new();
        let pipe = Unread::new();
        let hall = village
            .node("tracker")
            .under(&["sh", "-c", INTO_PIPE, &pipe.path()]);
        let tracker = hall.start(&["tracker", "--open", "--lines", "--listen", "127.0.0.1:0"]);
        let door = tracker.wait_for_line("its address", |line| line.contains("--tracker "));
        let (_, address) = door.text.split_once("--tracker ").unwrap();
        let address = address.split_whitespace().next().unwrap();
        let oak = village.node("oak");
        for n in 0..600 {
            oak.file(&format!("{n}-{}", "x".repeat(200)), "x");
        }
        let _oak = oak.start_sharing(address, "127.0.0.1:0");
        pipe.wait_until_full();
        if told == "stop" {
            hall.run(&["stop"]).exits(0);
        } else {
            tracker.signal(told);
        }
        tracker.finish(PATIENCE).exits(0);
    }
}

#[test]
fn a_node_whose_first_lines_are_not_read_serves_all_the_same_and_ends_when_it_is_told_to() {
    let village = Village::new();
    let pipe = Unread::new();
    pipe.fill();
    let hall = village
        .node("tracker")
        .under(&["sh", "-c", INTO_PIPE, &pipe.path()]);
    let tracker = hall.start(&["tracker", "--open", "--lines", "--listen", "127.0.0.1:0"]);
    let door = tracker.wait_for_line("its address", |line| line.contains("--tracker "));
    let (_, address) = door.text.split_once("--tracker ").unwrap();
    let address = address.split_whitespace().next().unwrap();
    let oak = village.node("oak");
    oak.file("1.txt", "one");
    let mute = oak.under(&["sh", "-c", INTO_PIPE, &pipe.path()]);
    let flags = [
        "share",
        "--lines",
        "--tracker",
        address,
        "--listen",
        "127.0.0.2:0",
    ];
    let sharing = mute.start(&flags);
    poll("its file", PATIENCE, || {
        let listed = village.node("elm").run(&["ls", "--tracker", address]);
        listed.stdout.contains("1.txt").then_some(())
    });
    mute.run(&["stop"]).exits(0);
    sharing.finish(PATIENCE).exits(0);
    tracker.signal("TERM");
    tracker.finish(PATIENCE).exits(0);
}

#[test]
fn a_command_whose_answer_is_not_read_ends_at_a_signal() {
    let village = Village::new();
    let (_tracker, address) = village.tracker();
    let oak = village.node("oak");
    for n in 0..600 {
        oak.file(&format!("{n}-{}", "x".repeat(200)), "x");
    }
    let _oak = oak.start_sharing(&address, "127.0.0.1:0");
    for signal in ["INT", "TERM"] {
        let pipe = Unread::new();
        let reader = village.node(&format!("elm-{signal}"));
        let reader = reader.under(&["sh", "-c", INTO_PIPE, &pipe.path()]);
        let listing = reader.start(&["ls", "--tracker", &address]);
        pipe.wait_until_full();
        listing.signal(signal);
        listing.finish(PATIENCE).exits(7);
    }
}

/// For a shell: starts a program with a pipe as its standard output.
const INTO_PIPE: &str = r#"exec "$@" > "$0""#;

/// A pipe that is open and that no program reads.
struct Unread {
    dir: TempDir,
    pipe: File,
}

impl Unread {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let pipe = File::options().read(true).write(true).open(&path).unwrap();
        Self { dir, pipe }
    }

    fn path(&self) -> String {
        self.dir.path().join("pipe").display().to_string()
    }

    /// Leaves no room in it.
    fn fill(&self) {
        let path = self.dir.path().join("pipe");
        let flags = OFlags::WRONLY | OFlags::NONBLOCK;
        let writer = openat(CWD, &path, flags, Mode::empty()).unwrap();
        while rustix::io::write(&writer, &[b'.'; 4096]).is_ok() {}
    }

    /// Waits until a write to it blocks: no room is left for a page.
    fn wait_until_full(&self) {
        poll("a full pipe", PATIENCE, || {
            let waits = ioctl_fionread(&self.pipe).unwrap();
            (waits > 60_000).then_some(())
        });
    }
}

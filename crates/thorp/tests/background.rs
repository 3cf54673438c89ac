//! A node without its terminal: detached from it, or in the background of its shell.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use crate::support::process::poll;
use crate::support::{Node, PATIENCE, Running, Village, skip};

const DETACHED: [&str; 4] = ["share", "--detach", "--listen", "127.0.0.1:0"];

/// The process that has a node's state directory.
fn owner(node: &Node) -> u32 {
    let lock = fs::read_to_string(node.state().join("lock")).unwrap();
    lock.trim().parse().unwrap()
}

fn is_there(process: u32) -> bool {
    fs::exists(format!("/proc/{process}")).unwrap()
}

fn log(node: &Node) -> String {
    fs::read_to_string(node.state().join("log")).unwrap_or_default()
}

#[test]
fn a_detached_peer_is_ready_when_its_starter_ends_and_stays_until_it_is_stopped() {
    let village = Village::new();
    let node = village.node("peer");
    node.file("1.txt", "one");
    // Its streams are closed then: nothing of the peer holds on to them.
    let end = node.run(&DETACHED).exits(0).says("thorp stop");
    assert!(end.stdout.starts_with("Sharing "), "{end}");
    let invite = end.stderr.lines().find(|line| line.starts_with("thorp1"));
    let invite = invite.expect("an invite").to_owned();
    node.run(&["status"]).exits(0);

    let peer = owner(&node);
    let stat = fs::read_to_string(format!("/proc/{peer}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    assert_eq!(fields[3], peer.to_string(), "a session of its own: {stat}");
    assert_eq!(fields[4], "0", "no terminal: {stat}");

    let guest = village.node("guest");
    guest
        .start_reading(&invite, &["join", "-"])
        .finish(PATIENCE)
        .exits(0);
    guest.fetch("1.txt");

    node.run(&DETACHED)
        .exits(1)
        .says(&format!("in use by process {peer}"));
    node.run(&["stop"]).exits(0);
    poll("its end", PATIENCE, || (!is_there(peer)).then_some(()));
    let said = log(&node);
    assert!(said.contains("This peer was stopped."), "{said}");
    assert!(!said.contains("thorp1"), "{said}");
    for line in said.lines() {
        assert_eq!(line.find('T'), Some(10), "a date: {line}");
    }
    let mode = fs::metadata(node.state().join("log"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    node.run(&["leave", "--purge", "--yes"]).exits(0);
    assert!(!node.state().exists());
}

#[test]
fn a_detached_tracker_is_ready_when_its_starter_ends_and_keeps_a_log_until_it_is_stopped() {
    let village = Village::new();
    let node = village.node("tracker");
    let detached = ["tracker", "--detach", "--listen", "127.0.0.1:0"];
    let end = node.run(&detached).exits(0);
    let line = |starts: &str| {
        let mut lines = end.stdout.lines().chain(end.stderr.lines());
        lines
            .find(|line| line.starts_with(starts))
            .map(str::to_owned)
    };
    assert!(line("Listening on ").is_some(), "{end}");
    let stop = format!("thorp stop --state {}", node.state().display());
    assert!(end.stderr.contains(&stop), "{end}");

    let tracker = owner(&node);
    let stat = fs::read_to_string(format!("/proc/{tracker}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    assert_eq!(
        fields[3],
        tracker.to_string(),
        "a session of its own: {stat}"
    );

    let invite = node.run(&["invite"]).exits(0).stdout;
    let peer = village.node("peer");
    peer.file("1.txt", "one");
    peer.start_reading(&invite, &["join", "-"])
        .finish(PATIENCE)
        .exits(0);
    let _sharing = peer.start(&["share", "--lines", "--listen", "127.0.0.2:0"]);
    poll("the peer in its log", PATIENCE, || {
        log(&node).contains("came").then_some(())
    });
    node.run(&detached)
        .exits(1)
        .says(&format!("in use by process {tracker}"));
    // A backup is made and ends: there is nothing to go on.
    node.run(&["tracker", "--detach", "--backup", "-"]).exits(2);
    // The variable is for those that go on.
    let mut backup = node.thorp(&["tracker", "--backup", "-"]);
    let saved = backup.env("THORP_DETACH", "1").output().unwrap();
    assert!(saved.status.success(), "{saved:?}");
    node.run(&["stop"])
        .exits(0)
        .says("The tracker has said goodbye");
    poll("its end", PATIENCE, || (!is_there(tracker)).then_some(()));
    let said = log(&node);
    assert!(said.contains("This tracker was stopped."), "{said}");
    assert!(!said.contains("thorp1"), "{said}");
}

#[test]
fn a_detached_peer_that_cannot_start_says_why_and_its_starter_ends_as_it_does() {
    let village = Village::new();
    let home = village.node("home");
    home.run(&DETACHED).exits(0);
    let invite = home.run(&["invite"]).exits(0).stdout;
    let guest = village.node("guest");
    // What is asked for is asked beforehand, and read from where its user types it.
    let join = [&DETACHED[..], &["--join", "-"]].concat();
    guest
        .start_reading("no invite", &join)
        .finish(PATIENCE)
        .exits(2);
    guest
        .start_reading(&invite, &join)
        .finish(PATIENCE)
        .exits(0);
    let other = village.node("other");
    let end = other.start_reading(&invite, &join).finish(PATIENCE);
    end.exits(9).says("used already");
    for node in [guest, home] {
        node.run(&["stop"]).exits(0);
    }
}

/// A shell with job control on a terminal of its own.
struct Shell {
    typed: fs::File,
    running: Running,
    written: Receiver<Vec<u8>>,
    shown: String,
}

impl Shell {
    /// Nothing where that cannot be had: then `test` has been skipped.
    fn start(test: &str, node: &Node, script: &str) -> Option<Self> {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        if Command::new("setsid").arg("--version").output().is_err() {
            skip(test, "setsid");
            return None;
        }
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap();
        let terminal = name.into_string().unwrap();
        // Opened by the first of a session, it is that session's terminal.
        let script = format!("exec < {terminal} > {terminal} 2>&1; set -m; {script}");
        let wrapper = ["setsid", "--wait", "sh", "-c", &script, "sh"];
        let mut command = node
            .clone()
            .under(&wrapper)
            .thorp(&["share", "--listen", "127.0.0.1:0"]);
        command.env("TERM", "xterm");
        let running = Running::start("shell", command);
        let typed = fs::File::from(controller);
        let mut from = typed.try_clone().unwrap();
        let (writes, written) = mpsc::channel();
        thread::spawn(move || {
            let mut some = [0; 512];
            while let Ok(count @ 1..) = from.read(&mut some) {
                if writes.send(some[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Some(Self {
            typed,
            running,
            written,
            shown: String::new(),
        })
    }

    fn read_until(&mut self, expected: &str) {
        while !self.shown.contains(expected) {
            let some = self.written.recv_timeout(PATIENCE);
            let some = some.unwrap_or_else(|why| panic!("{expected:?}: {why}: {}", self.shown));
            self.shown.push_str(&String::from_utf8_lossy(&some));
        }
        let rest = self.shown.split_once(expected).unwrap().1.to_owned();
        self.shown = rest;
    }

    fn type_keys(&mut self, keys: &str) {
        self.typed.write_all(keys.as_bytes()).unwrap();
    }
}

#[test]
fn a_peer_in_the_background_of_a_shell_goes_on_and_asks_once_it_is_in_front() {
    let test = "a_peer_in_the_background_of_a_shell_goes_on_and_asks_once_it_is_in_front";
    let village = Village::new();
    let node = village.node("peer");
    node.file("1.txt", "one");
    let script = "\"$@\" & echo begun; read line; fg; echo stopped; bg; read line; fg; echo over";
    let Some(mut shell) = Shell::start(test, &node, script) else {
        return;
    };
    shell.read_until("Sharing ");
    node.run(&["status"]).exits(0);
    assert!(!shell.shown.contains("What you wish to do?"));
    shell.type_keys("\n");
    shell.read_until("2. Leave.");
    // Suspended from its menu, and sent to the background: it goes on there.
    shell.type_keys("\x1a");
    shell.read_until("stopped");
    node.run(&["status"]).exits(0);
    shell.type_keys("\n");
    shell.read_until("2. Leave.");
    shell.type_keys("2\r");
    shell.read_until("over");
    shell.running.finish(PATIENCE).exits(0);
    assert!(fs::exists(node.state()).unwrap());
}

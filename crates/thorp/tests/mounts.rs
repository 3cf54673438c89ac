//! A share with file systems that come and go, with links, and with a
//! `.thorpignore` that would hold up a reader: as another peer sees it.

use std::process::Command;

use crate::support::process::poll;
use crate::support::village::named;
use crate::support::{Node, PATIENCE, Running, Village, skip};

#[test]
fn what_is_mounted_in_a_share_is_fetched_until_it_goes() {
    let test = "what_is_mounted_in_a_share_is_fetched_until_it_goes";
    let own = Command::new("unshare").args(["--mount", "true"]).output();
    if !own.is_ok_and(|output| output.status.success()) {
        return skip(test, "root");
    }
    let village = Village::new();
    let (_tracker, at) = village.tracker();
    let has = village.node("has").under(&["unshare", "--mount"]);
    let wants = village.node("wants");
    has.configure("[share]\nlook_again_ms = 200\n");
    has.file("disk/beneath", "beneath");
    has.file("merged/beneath", "beneath");
    let peer = has.start_sharing(&at, "127.0.0.2:0");
    let _other = wants.start_sharing(&at, "127.0.0.3:0");
    until_listed(&wants, &["disk/beneath", "merged/beneath"]);

    within(
        &peer,
        "mount -t tmpfs none disk; mkdir disk/in disk/far disk/upper disk/work
        echo mounted >disk/in/file
        mount -t overlay none merged -o lowerdir=disk/far,upperdir=disk/upper,workdir=disk/work",
    );
    until_listed(&wants, &["disk/in/file"]);
    wants.fetch("disk/in/file");
    assert_eq!(wants.bytes("disk/in/file"), b"mounted\n");
    // Beneath the overlay, where nothing is reported.
    within(&peer, "echo far >disk/upper/new");
    until_listed(&wants, &["disk/in/file", "disk/upper/new", "merged/new"]);
    wants.fetch("merged/new");
    assert_eq!(wants.bytes("merged/new"), b"far\n");

    within(&peer, "umount merged; umount disk");
    until_listed(&wants, &["disk/beneath", "merged/beneath"]);
    wants.run(&["get", "disk/upper/new"]).exits(3);
    wants.fetch("merged/beneath");
}

#[test]
fn a_linked_file_is_fetched_by_either_name_and_a_pipe_for_rules_stops_nothing() {
    let village = Village::new();
    let (_tracker, at) = village.tracker();
    let (has, wants) = (village.node("has"), village.node("wants"));
    has.file("releases/5.iso", "five");
    has.file("closed/secret", "not to be shared, perhaps");
    let share = has.share();
    std::os::unix::fs::symlink("releases/5.iso", share.join("latest.iso")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", share.join("out")).unwrap();
    let pipe = share.join("closed/.thorpignore");
    assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());

    let peer = has.start_sharing(&at, "127.0.0.2:0");
    peer.wait_for_line("a warning", |line| {
        line.contains("closed/.thorpignore") && line.contains("Nothing in closed is shared")
    });
    let _other = wants.start_sharing(&at, "127.0.0.3:0");
    until_listed(&wants, &["latest.iso", "releases/5.iso"]);
    wants.fetch("latest.iso");
    assert_eq!(wants.bytes("latest.iso"), b"five");
    wants.run(&["get", "secret"]).exits(3);

    let (code, events) = has.json(&["status"]);
    assert_eq!(code, Some(0), "{events:#?}");
    let status = named(&events, "status").next().unwrap();
    let counted = ["files", "links", "skipped", "skipped_links"].map(|key| &status[key]);
    assert_eq!(counted, [2, 1, 2, 1], "{status}");
}

/// Runs a command in a peer's share, with the peer's mounts.
#[track_caller]
fn within(peer: &Running, lines: &str) {
    let process = peer.id().to_string();
    let output = Command::new("nsenter")
        .args(["--mount", "--wd", "--target", &process, "sh", "-ec", lines])
        .output()
        .expect("nsenter is there");
    let cried = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{lines}: {cried}");
}

/// Waits until others list these files and no more.
#[track_caller]
fn until_listed(node: &Node, wanted: &[&str]) {
    poll(&format!("{wanted:?}"), PATIENCE, || {
        let (code, events) = node.json(&["ls", "127.0.0.2"]);
        assert!(matches!(code, Some(0 | 3)), "{events:#?}");
        let names: Vec<_> = named(&events, "file")
            .map(|file| file["name"].as_str().unwrap().to_owned())
            .collect();
        (names == wanted).then_some(())
    });
}

//! What a user looks at: what is shared and what is not, what is left of fetches,
//! what a shell offers, what `-v` tells.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::process::poll;
use crate::support::village::assert_ends_once;
use crate::support::{Node, PATIENCE, Running, Village};

/// Starts a peer with a group of its own.
fn start(node: &Node) -> Running {
    let name = node.name().to_owned();
    let running = node.start(&[
        "share",
        "--lines",
        "--name",
        &name,
        "--listen",
        "127.0.0.1:0",
    ]);
    poll("it is up", PATIENCE, || {
        let (_, status) = node.json(&["status"]);
        let status = status.first()?;
        let is_up = status["tracker_connected"] == true && status["unhashed"] == 0;
        is_up.then_some(())
    });
    running
}

fn end(node: &Node, running: Running) {
    node.run(&["stop"]).exits(0);
    running.finish(PATIENCE).exits(0);
}

#[test]
fn what_is_not_shared_is_listed_with_why() {
    let village = Village::new();
    let oak = village.node("oak");
    oak.file("1.txt", "1");
    oak.file(".hidden", "2");
    oak.file("notes.tmp", "3");
    oak.file(".thorpignore", "*.tmp\n");
    std::os::unix::fs::symlink("/etc/passwd", oak.share().join("link")).unwrap();
    let missing = oak.run(&["status", "--left-out"]).exits(1);
    assert!(missing.stderr.contains("No peer is running"), "{missing}");
    let running = start(&oak);
    let listed = oak.run(&["status", "--left-out"]).exits(0).stdout;
    let why = |name: &str| {
        let mut lines = listed.lines();
        let line = lines.find_map(|line| line.strip_prefix(name));
        let line = line.unwrap_or_else(|| panic!("{name} in {listed}"));
        line.trim().to_owned()
    };
    assert!(why(".hidden ").contains("--hidden"));
    assert!(why("notes.tmp").contains(".thorpignore"));
    assert!(why("link").contains("leads out"));
    assert!(!listed.contains("1.txt"), "{listed}");
    let (_, rows) = oak.json(&["status", "--left-out"]);
    let link = rows.iter().find(|row| row["path"] == "link").unwrap();
    assert_eq!(
        (&link["event"], &link["why"]),
        (&"left-out".into(), &"link-out".into())
    );
    assert_ends_once(&rows, "done");
    assert_eq!(rows.last().unwrap()["count"], rows.len() - 1);
    oak.run(&["status"]).exits(0);
    end(&oak, running);
}

#[test]
fn what_fetches_have_left_is_counted_listed_and_removed_after_a_yes() {
    const PART: &str = ".thorp-0123456789abcdef-400000.part";
    const FETCHED: &str = ".thorp-fedcba9876543210-400000.part";
    let village = Village::new();
    let oak = village.node("oak");
    let part = format!("films/{PART}");
    oak.file(&part, vec![1; 400_000]);
    oak.file(FETCHED, vec![1; 400_000]);
    // As a fetch does that writes it.
    let fetched = fs::File::open(oak.share().join(FETCHED)).unwrap();
    rustix::fs::flock(&fetched, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let running = start(&oak);
    let (_, status) = oak.json(&["status"]);
    assert_eq!(status[0]["partial"]["files"], 1, "{status:?}");
    let told = oak.run(&["status"]).exits(0).stdout;
    assert!(told.contains("1 file of interrupted fetches"), "{told}");

    let asked = oak.run(&["clean"]).exits(2).says("--yes");
    assert!(asked.stdout.contains(&part), "{asked}");
    assert!(!asked.stdout.contains(FETCHED), "{asked}");
    assert!(oak.share().join(&part).exists());
    let (code, events) = oak.json(&["clean", "--yes"]);
    assert_eq!(code, Some(0), "{events:?}");
    assert_eq!(events[0]["event"], "leftover");
    assert_eq!(
        (&events[1]["event"], &events[1]["files"]),
        (&"cleaned".into(), &1.into())
    );
    assert!(!oak.share().join(&part).exists());
    assert!(oak.share().join(FETCHED).exists());
    drop(fetched);
    end(&oak, running);
    // Without a peer, where one is.
    let here = oak.run(&["clean", "--yes"]).exits(0);
    assert!(here.stdout.contains(FETCHED), "{here}");
    oak.run(&["clean"])
        .exits(0)
        .says("No fetch has left anything");
    oak.run(&["clean", "no-such"])
        .exits(2)
        .says("name a directory");
    let closed = oak.share().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    // Root looks into it all the same.
    if fs::read_dir(&closed).is_err() {
        oak.run(&["clean", "--yes"])
            .exits(7)
            .says("Not every folder");
    }
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
}

/// What a shell is offered for the last of these words.
fn offered(node: &Node, shell: &str, words: &[&str]) -> Vec<String> {
    let mut command = node.thorp(&[]);
    let program = command.get_program().to_owned();
    command = std::process::Command::new(program);
    command
        .args(["--", "thorp"])
        .args(words)
        .env("THORP_STATE", node.state())
        .env("THORP_COMPLETE", shell)
        .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
        .env("_CLAP_IFS", "\n");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let first = |line: &str| line.split(':').next().unwrap().to_owned();
    text.lines()
        .map(first)
        .filter(|word| !word.starts_with('-'))
        .collect()
}

#[test]
fn a_shell_is_offered_peers_and_files_from_memory_and_no_visitor_is_started() {
    let village = Village::new();
    let (oak, elm) = (village.node("oak"), village.node("elm"));
    for name in [
        "notes.txt",
        "slides/1.pdf",
        "slides/my file.pdf",
        "slides/deep/3.pdf",
    ] {
        oak.file(name, name);
    }
    assert!(offered(&elm, "zsh", &["get", ""]).is_empty());
    assert!(!elm.state().join("key.p8").exists(), "nothing was joined");
    let running = start(&oak);
    let invite = oak.run(&["invite"]).exits(0).stdout;
    elm.start_reading(&invite, &["join", "-", "--name", "elm"])
        .finish(PATIENCE)
        .exits(0);
    let peer = elm.start(&["share", "--lines", "--listen", "127.0.0.1:0"]);
    crate::support::village::sharing(&peer);
    poll("they are neighbours", PATIENCE, || {
        elm.run(&["get", "notes.txt"]);
        (!elm.neighbours().is_empty()).then_some(())
    });
    poll("its files are known", PATIENCE, || {
        let files = offered(&elm, "zsh", &["get", ""]);
        (files == ["notes.txt", "slides/"]).then_some(())
    });
    assert_eq!(
        offered(&elm, "zsh", &["get", "slides/"]),
        ["slides/1.pdf", "slides/deep/", "slides/my file.pdf"]
    );
    assert_eq!(
        offered(&elm, "bash", &["get", "slides/m"]),
        ["slides/my\\ file.pdf"]
    );
    assert_eq!(
        offered(&elm, "bash", &["get", "slides/my\\ f"]),
        ["slides/my\\ file.pdf"]
    );
    assert_eq!(offered(&elm, "zsh", &["ls", "o"]), ["oak"]);
    assert_eq!(offered(&elm, "zsh", &["get", "x", "--from", ""]), ["oak"]);
    for shell in ["bash", "zsh", "fish"] {
        let script = elm.run(&["completions", shell]).exits(0).stdout;
        assert!(script.contains("THORP_COMPLETE"), "{script}");
    }
    end(&elm, peer);
    end(&oak, running);
}

#[test]
fn with_v_it_is_told_who_is_dialled_and_asked_and_which_stage_answers() {
    let village = Village::new();
    let (oak, elm) = (village.node("oak"), village.node("elm"));
    oak.file("1.txt", "1");
    let running = start(&oak);
    let invite = oak.run(&["invite"]).exits(0).stdout;
    elm.start_reading(&invite, &["join", "-", "--name", "elm"])
        .finish(PATIENCE)
        .exits(0);
    let got = elm.run(&["get", "-v", "1.txt"]).exits(0);
    for told in [
        "no peer runs here",
        "is dialled who=the tracker",
        "asks for 1.txt whom=oak-tracker",
        "answers who=oak-tracker files=1",
        "a link is made who=oak ",
        "stage=Tracker",
        "from=\"oak\"",
    ] {
        assert!(got.stderr.contains(told), "{told} in {got}");
    }
    let quiet = elm.run(&["get", "1.txt", "--as", "2.txt"]).exits(0);
    assert!(!quiet.stderr.contains("INFO"), "{quiet}");
    end(&oak, running);
}

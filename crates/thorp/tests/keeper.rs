//! What is asked on the tracker's own machine, where no peer runs.

use std::process::Command;

use crate::support::process::{Finished, poll};
use crate::support::village::listening;
use crate::support::{PATIENCE, Running, Village};

#[test]
fn the_trackers_machine_answers_every_question_without_a_peer() {
    let home = tempfile::tempdir().unwrap();
    let thorp = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_thorp"));
        command.args(args).env_clear().env("HOME", home.path());
        Running::start(args[0], command)
    };
    let ask = |args: &[&str]| -> Finished { thorp(args).finish(PATIENCE) };
    ask(&["ls"]).exits(9).says("not a member of a group yet");
    let tracker = thorp(&["tracker", "--open", "--listen", "127.0.0.1:0"]);
    let at = listening(&tracker);
    ask(&["find", "*"]).exits(0);

    let village = Village::new();
    let (oak, elm) = (village.node("oak"), village.node("elm"));
    oak.file("slides/1.txt", "one");
    oak.file("2.txt", "two");
    elm.file("2.txt", "two");
    let name = |node: &crate::support::Node, name: &str| {
        let flags = [
            "--lines",
            "--tracker",
            &at,
            "--listen",
            "127.0.0.1:0",
            "--name",
            name,
        ];
        let peer = node.start(&[&["share"], &flags[..]].concat());
        crate::support::village::sharing(&peer);
        peer
    };
    let peers = [name(&oak, "oak"), name(&elm, "elm")];
    let rows = |args: &[&str]| {
        let end = ask(&[args, &["--json"]].concat()).exits(0);
        let rows = end
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        rows.collect::<Vec<serde_json::Value>>()
    };
    poll("all files, hashed", PATIENCE, || {
        let files = rows(&["ls"]);
        let is_hashed = |row: &&serde_json::Value| row["root"].is_string();
        let count = files.iter().filter(is_hashed).count();
        (count == 2 && files.len() == 3).then_some(())
    });

    let names = |args: &[&str]| -> Vec<String> {
        let rows = rows(args);
        let (done, rows) = rows.split_last().unwrap();
        assert_eq!(done["count"], rows.len(), "{rows:#?}");
        rows.iter()
            .map(|row| row["name"].as_str().unwrap().into())
            .collect()
    };
    assert_eq!(names(&["peers"]).len(), 2);
    assert_eq!(names(&["find", "2.*"]), ["2.txt"]);
    assert_eq!(
        rows(&["find", "2.*"])[0]["holders"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(names(&["ls"]), ["2.txt", "slides/1.txt"]);
    assert_eq!(names(&["ls", "elm"]), ["2.txt"]);
    assert_eq!(names(&["ls", "slides"]), ["slides/1.txt"]);
    ask(&["ls", "nothing"])
        .exits(3)
        .says("No peer and no folder called nothing");
    ask(&["find", "{"]).exits(2);
    let members = rows(&["members"]);
    let called = |name: &str| members.iter().any(|row| row["name"] == name);
    assert!(called("oak") && called("elm"), "{members:#?}");
    ask(&["status"]).exits(0);
    ask(&["stop"]).exits(0);
    tracker.finish(PATIENCE).exits(0);
    drop(peers);
}

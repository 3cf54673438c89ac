//! `thorp demo`, as a script reads it: every step, and where each answer came from.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

/// The demo, with `directory` to make its own ones in.
fn command(flags: &[&str], directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thorp"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("THORP_") {
            command.env_remove(name);
        }
    }
    command
        .arg("demo")
        .args(flags)
        .env("TMPDIR", directory)
        .stdin(Stdio::null());
    command
}

fn demo(flags: &[&str]) -> Output {
    let directory = tempfile::tempdir().expect("a directory");
    let output = command(flags, directory.path()).output().expect("it runs");
    assert_nothing_left(directory.path());
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn assert_nothing_left(directory: &Path) {
    let left = std::fs::read_dir(directory).expect("a directory");
    assert_eq!(left.count(), 0, "everything is removed");
}

fn steps(flags: &[&str]) -> Vec<Value> {
    let output = demo(flags);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut events: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let done = events.pop().expect("an end");
    assert_eq!(
        (&done["event"], &done["count"]),
        (&json!("done"), &json!(13))
    );
    assert!(events.iter().all(|step| step["event"] == "step"));
    assert_eq!(events.len(), 13);
    events
}

/// Name, source of the answer, whether the tracker was asked, for each file that came.
fn answers(steps: &[Value]) -> Vec<(&str, &str, bool)> {
    let fetched = steps.iter().map(|step| &step["fetched"]);
    let answer = |fetched: &'_ Value| {
        let answer = &fetched["answer"];
        answer["tracker_asked"].as_bool()
    };
    fetched
        .filter(|fetched| !fetched.is_null())
        .map(|fetched| {
            (
                fetched["name"].as_str().expect("a name"),
                fetched["answer"]["source"].as_str().expect("a source"),
                answer(fetched).expect("yes or no"),
            )
        })
        .collect()
}

#[test]
fn the_story_on_loopback() {
    let steps = steps(&["--json"]);
    assert_eq!(
        answers(&steps),
        [
            ("3.txt", "tracker", true),
            ("2.txt", "tracker", true),
            ("5.txt", "memory", false),
            ("6.txt", "neighbour", false),
        ]
    );
    let errors: Vec<_> = steps
        .iter()
        .filter_map(|step| step["error"]["kind"].as_str())
        .collect();
    assert_eq!(errors, ["exists", "not-found"]);

    let tables: Vec<_> = steps
        .iter()
        .filter(|step| !step["tables"].is_null())
        .collect();
    let full = &tables[2]["tables"];
    assert_eq!(full["files_total"], 7);
    let holders = |name: &str| {
        let files = full["files"].as_array().expect("a list");
        files.iter().find(|file| file["name"] == name).expect(name)["holders"].clone()
    };
    assert_eq!(holders("6.txt"), json!(["127.0.0.137", "127.0.0.139"]));
    assert_eq!(
        holders("client"),
        json!(["127.0.0.137", "127.0.0.138", "127.0.0.139"])
    );
    let alone = &tables[3]["tables"]["peers"];
    assert_eq!(alone.as_array().expect("a list").len(), 1);
    assert_eq!(alone[0]["address"], "127.0.0.137");
    assert_eq!(alone[0]["neighbours"], json!([]));
    let back = tables[4]["tables"]["peers"].as_array().expect("a list");
    assert_eq!(back[1]["address"], "127.0.0.139");
    assert_eq!(
        back[1]["files"],
        json!(["3.txt", "4.txt", "6.txt", "client"])
    );
}

#[test]
fn settings_count_in_the_village_too() {
    let steps = steps(&["--json", "--set", "lookup.hops=0"]);
    assert_eq!(answers(&steps)[3], ("6.txt", "tracker", true));
}

#[test]
fn people_read_paragraphs() {
    let text = String::from_utf8(demo(&[]).stdout).expect("UTF-8");
    for told in [
        " 1. The tracker starts.",
        "    > Waiting for a connection...",
        "    > Connection Established!",
        "    | 127.0.0.138 | 1.txt 2.txt 3.txt client | 127.0.0.139 |",
        "    > File with same name exists in the same directory!",
        "    > No peer is sharing this file now. Try again later.",
        "13. Peer 2 is awake again.",
    ] {
        assert!(text.contains(told), "{told:?} is not in:\n{text}");
    }
}

#[test]
fn an_interrupted_village_is_taken_down() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut child = command(&["--json"], directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    // Two peers are there.
    for _ in 0..3 {
        lines.next().expect("a step").expect("UTF-8");
    }
    let signal = format!("kill -INT {}", child.id());
    let sent = Command::new("sh").args(["-c", &signal]).status();
    assert!(sent.expect("sh runs").success());
    let last = lines
        .map(|line| line.expect("UTF-8"))
        .last()
        .expect("a line");
    assert!(
        last.starts_with(r#"{"event":"error","kind":"unfinished""#),
        "{last}"
    );
    assert_eq!(child.wait().expect("it ends").code(), Some(7));
    assert_nothing_left(directory.path());
}

//! The built program, as a person or a script starts it, without any node.

use std::io::Read;
use std::process::{Command, Output, Stdio};

fn thorp() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thorp"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("THORP_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

fn run(line: &[&str]) -> Output {
    thorp().args(line).output().expect("it runs")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("not killed")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

const VERBS: [&str; 20] = [
    "share",
    "tracker",
    "invite",
    "join",
    "members",
    "remove",
    "get",
    "find",
    "ls",
    "magnet",
    "torrent",
    "peers",
    "neighbours",
    "status",
    "page",
    "stop",
    "clean",
    "leave",
    "demo",
    "completions",
];

#[test]
fn help_names_every_verb_and_ends_with_examples() {
    let output = run(&["--help"]);
    assert_eq!(code(&output), 0);
    let help = text(&output.stdout);
    let (_, rest) = help.split_once("Commands:\n").expect("a list of verbs");
    let (listed, _) = rest.split_once("\n\n").expect("its end");
    let listed: Vec<_> = listed
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .collect();
    assert_eq!(listed, VERBS);
    let readme = include_str!("../../../README.md");
    for verb in VERBS {
        assert!(readme.contains(&format!("thorp {verb}")), "{verb}");
    }
    assert!(help.contains("Examples:") && help.contains("Exit codes: 0 done"));
    for verb in VERBS {
        let output = run(&[verb, "--help"]);
        assert_eq!(code(&output), 0, "{verb}");
        assert!(
            text(&output.stdout).starts_with(|c: char| c.is_uppercase()),
            "{verb}"
        );
    }
}

#[test]
fn usage_errors_are_told_on_stderr_with_code_2() {
    let lines: [&[&str]; 6] = [
        &[],
        &["dance"],
        &["get"],
        &["share", "--tracker", "http://oak"],
        &["get", "a", "b", "--as", "c"],
        &["status", "--set", "lookup.hops=9"],
    ];
    for line in lines {
        let output = run(line);
        assert_eq!(code(&output), 2, "{line:?}");
        assert!(
            output.stdout.is_empty() && !output.stderr.is_empty(),
            "{line:?}"
        );
    }
}

#[test]
fn tracker_without_an_address_and_without_a_terminal() {
    let output = run(&["share", "--tracker"]);
    assert_eq!(code(&output), 2);
    assert_eq!(
        text(&output.stderr),
        "Please specify the tracker ip address.\n"
    );
    let output = thorp()
        .arg("share")
        .env("THORP_TRACKER", "")
        .output()
        .expect("it runs");
    assert_eq!(code(&output), 2);
}

#[test]
fn a_directory_that_is_not_there() {
    let output = run(&["share", "no/such/directory"]);
    assert_eq!(code(&output), 2);
    let complaint = text(&output.stderr);
    assert!(complaint.starts_with("thorp: no/such/directory: there is no such directory"));
}

#[test]
fn sharing_everything_needs_a_yes() {
    let output = run(&["share", "/"]);
    assert_eq!(code(&output), 2);
    assert!(text(&output.stderr).contains("not shared without a yes"));
}

#[test]
fn an_invite_is_never_guessed() {
    let output = run(&["join"]);
    assert_eq!(code(&output), 2);
    let output = run(&["join", "-"]);
    assert_eq!(code(&output), 2);
    assert!(text(&output.stderr).contains("there is no invite in it"));
}

#[test]
fn variables_count_and_flags_win() {
    let status = |value: &str, line: &[&str]| {
        let mut command = thorp();
        command.env("THORP_LOOKUP_HOPS", value).args(line);
        code(&command.output().expect("it runs"))
    };
    assert_eq!(status("many", &["completions", "bash"]), 2);
    assert_eq!(status("1", &["completions", "bash"]), 0);
    let output = thorp()
        .args(["join", "--json"])
        .env("THORP_QUIET", "1")
        .output()
        .expect("it runs");
    assert!(text(&output.stdout).starts_with(r#"{"event":"error","kind":"usage""#));
    assert!(output.stderr.is_empty());
}

#[test]
fn completions_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        assert_eq!(code(&output), 0, "{shell}");
        // The script asks the program, so that it is never older than that.
        assert!(text(&output.stdout).contains("THORP_COMPLETE"), "{shell}");
        let mut asked = thorp();
        asked
            .args(["--", "thorp", ""])
            .env("THORP_COMPLETE", shell)
            .env("_CLAP_COMPLETE_INDEX", "1")
            .env("_CLAP_IFS", "\n");
        let output = asked.output().expect("it runs");
        assert_eq!(code(&output), 0, "{shell}");
        let offered = text(&output.stdout);
        for verb in VERBS {
            assert!(offered.contains(verb), "{shell}: {verb} in {offered}");
        }
    }
}

#[test]
fn a_reader_that_goes_is_no_error() {
    let mut child = thorp()
        .args(["completions", "zsh"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    drop(child.stdout.take());
    let mut complaint = String::new();
    let stderr = child.stderr.as_mut().expect("piped");
    stderr.read_to_string(&mut complaint).expect("UTF-8");
    assert!(child.wait().expect("it ends").success());
    assert_eq!(complaint, "");
}

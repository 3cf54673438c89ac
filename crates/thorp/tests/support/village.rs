//! Directories for nodes, the program's arguments, and its JSON.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use thorp_wire::PeerId;

use super::process::{Finished, Running, poll};
use super::{Host, PATIENCE};

/// Nodes' directories, removed at the end.
pub struct Village {
    dir: TempDir,
}

/// A node: its state, its share, and the host it is on.
#[derive(Clone)]
pub struct Node {
    name: String,
    home: PathBuf,
    host: Option<Host>,
    wrapper: Vec<String>,
}

impl Village {
    /// An empty one.
    pub fn new() -> Self {
        // Short, since a Unix socket's path has little room.
        let dir = tempfile::Builder::new()
            .prefix("thorp-")
            .tempdir()
            .expect("a directory");
        Self { dir }
    }

    /// A node with an empty share, on this host.
    pub fn node(&self, name: &str) -> Node {
        let home = self.dir.path().join(name);
        for part in ["state", "share"] {
            fs::create_dir_all(home.join(part)).expect("a directory");
        }
        Node {
            name: name.into(),
            home,
            host: None,
            wrapper: Vec::new(),
        }
    }

    /// Starts the tracker of an open group on 127.0.0.1, and says where it listens.
    pub fn tracker(&self) -> (Running, String) {
        let tracker = self.node("tracker").start(&[
            "tracker",
            "--open",
            "--lines",
            "--listen",
            "127.0.0.1:0",
        ]);
        let address = listening(&tracker);
        (tracker, address)
    }
}

impl Drop for Village {
    /// A peer that has left its terminal outlives the test that started it.
    fn drop(&mut self) {
        let nodes = fs::read_dir(self.dir.path())
            .into_iter()
            .flatten()
            .flatten();
        for node in nodes {
            let lock = fs::read_to_string(node.path().join("state/lock"));
            let Ok(process) = lock.unwrap_or_default().trim().parse::<u32>() else {
                continue;
            };
            let command = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&command).contains(&*self.dir.path().to_string_lossy()) {
                let kill = format!("kill -KILL {process}");
                _ = Command::new("sh").args(["-c", &kill]).status();
            }
        }
    }
}

impl Node {
    /// The same node, on another host.
    pub fn on(mut self, host: &Host) -> Self {
        self.host = Some(host.clone());
        self
    }

    /// The same node, its programs run by another one: `wrapper... thorp ...`.
    pub fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|&word| word.into()).collect();
        self
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it offers.
    pub fn share(&self) -> PathBuf {
        self.home.join("share")
    }

    /// What it keeps.
    pub fn state(&self) -> PathBuf {
        self.home.join("state")
    }

    /// Writes its configuration.
    pub fn configure(&self, toml: &str) {
        fs::write(self.state().join("config.toml"), toml).expect("the state directory is there");
    }

    /// Puts a file into its share.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.share().join(name);
        fs::create_dir_all(path.parent().expect("it is in the share")).expect("a directory");
        fs::write(&path, bytes).unwrap_or_else(|why| panic!("{name:?}: {why}"));
    }

    /// The bytes of a file in its share.
    #[track_caller]
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.share().join(name)).unwrap_or_else(|why| panic!("{name:?}: {why}"))
    }

    /// The program, in the share, with no environment but what it needs.
    pub fn thorp(&self, args: &[&str]) -> Command {
        let mut words: Vec<&str> = self.wrapper.iter().map(String::as_str).collect();
        // Another build of it, where one is named: a release build for large files.
        let program = std::env::var("THORP_PROGRAM");
        words.push(program.as_deref().unwrap_or(env!("CARGO_BIN_EXE_thorp")));
        let mut command = match &self.host {
            Some(host) => host.command(words[0]),
            None => Command::new(words[0]),
        };
        command.args(&words[1..]);
        command
            .arg("--state")
            .arg(self.state())
            .args(args)
            .current_dir(self.share());
        command.env_clear().env("HOME", &self.home);
        for kept in ["PATH", "RUST_BACKTRACE", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(kept) {
                command.env(kept, value);
            }
        }
        command
    }

    /// Starts the program.
    pub fn start(&self, args: &[&str]) -> Running {
        Running::start(&format!("{} {}", self.name, args[0]), self.thorp(args))
    }

    /// Starts the program, with this on its standard input.
    pub fn start_reading(&self, input: &str, args: &[&str]) -> Running {
        let name = format!("{} {}", self.name, args[0]);
        Running::start_reading(&name, self.thorp(args), input)
    }

    /// Starts sharing, and waits until it is a member and ready.
    pub fn start_sharing(&self, tracker: &str, listen: &str) -> Running {
        let peer = self.start(&["share", "--lines", "--tracker", tracker, "--listen", listen]);
        peer.wait_for_line("Connection Established!", |line| {
            line == "Connection Established!"
        });
        sharing(&peer);
        peer
    }

    /// Runs the program to its end.
    pub fn run(&self, args: &[&str]) -> Finished {
        self.run_for(PATIENCE, args)
    }

    /// Runs the program to its end, which may take a while.
    pub fn run_for(&self, limit: Duration, args: &[&str]) -> Finished {
        self.start(args).finish(limit)
    }

    /// Runs the program to its end with `--json`: its exit code and its events.
    pub fn json(&self, args: &[&str]) -> (Option<i32>, Vec<Value>) {
        let args = [&["--json"], args].concat();
        let end = self.run(&args);
        let parse = |line| {
            serde_json::from_str(line).unwrap_or_else(|why| panic!("{why} in {line:?}: {end}"))
        };
        let events = end.stdout.lines().map(parse).collect();
        (end.code, events)
    }

    /// Fetches one file, and returns its `fetched` event.
    #[track_caller]
    pub fn fetch(&self, name: &str) -> Value {
        let (code, events) = self.json(&["get", "--", name]);
        assert_eq!(code, Some(0), "{events:#?}");
        assert_ends_once(&events, "done");
        let fetched: Vec<_> = named(&events, "fetched").collect();
        assert_eq!(fetched.len(), 1, "{events:#?}");
        fetched[0].clone()
    }

    /// Waits until this peer has hashed all its files, so many.
    pub fn all_hashed(&self, files: usize) {
        poll("the files to be hashed", PATIENCE, || {
            let (_, events) = self.json(&["ls"]);
            let hashed = named(&events, "file").filter(|row| row["root"].is_string());
            (hashed.count() == files).then_some(())
        });
    }

    /// The id of the peer that runs on this state.
    #[track_caller]
    pub fn id(&self) -> PeerId {
        let (_, status) = self.json(&["status"]);
        let id = status[0]["id"].as_str();
        id.unwrap_or_else(|| panic!("{status:#?}"))
            .parse()
            .expect("an id")
    }

    /// How the tracker on this state is.
    #[track_caller]
    pub fn tracker_status(&self) -> Value {
        let (code, events) = self.json(&["status"]);
        assert_eq!(code, Some(0), "{events:#?}");
        named(&events, "tracker")
            .next()
            .unwrap_or_else(|| panic!("{events:#?}"))
            .clone()
    }

    /// Its neighbours.
    #[track_caller]
    pub fn neighbours(&self) -> Vec<Value> {
        let (code, events) = self.json(&["neighbours"]);
        assert_eq!(code, Some(0), "{events:#?}");
        named(&events, "peer").cloned().collect()
    }
}

/// Where a tracker says that it listens.
pub fn listening(tracker: &Running) -> String {
    const READY: &str = "Listening on ";
    let line = tracker.wait_for_line(READY, |line| line.starts_with(READY));
    tracker.wait_for_line("Waiting for a connection...", |line| {
        line == "Waiting for a connection..."
    });
    line.text[READY.len()..].into()
}

/// Where a peer says that it shares: `Sharing DIR on ADDR:PORT`.
pub fn sharing(peer: &Running) -> String {
    let line = peer.wait_for_line("Sharing DIR on ADDR:PORT", |line| {
        line.starts_with("Sharing ")
    });
    line.text
        .rsplit_once(" on ")
        .expect("where it listens")
        .1
        .into()
}

/// The events of one kind.
pub fn named<'a>(events: &'a [Value], name: &str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event["event"] == name)
}

/// Asserts that there is one `done` or `error` among them, this one, at the end.
#[track_caller]
pub fn assert_ends_once(events: &[Value], end: &str) {
    let ends = events
        .iter()
        .filter(|event| event["event"] == "done" || event["event"] == "error");
    assert_eq!(ends.count(), 1, "{events:#?}");
    assert_eq!(
        events.last().expect("there is one")["event"],
        end,
        "{events:#?}"
    );
}

/// Asserts that two directories hold the same files, as far as `one` goes.
#[track_caller]
pub fn assert_same_files(one: &Path, other: &Path) {
    for entry in fs::read_dir(one).expect("a directory") {
        let entry = entry.expect("an entry");
        let twin = other.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            assert_same_files(&entry.path(), &twin);
        } else {
            let there = fs::read(&twin).unwrap_or_else(|why| panic!("{}: {why}", twin.display()));
            let same = fs::read(entry.path()).expect("a file") == there;
            assert!(same, "{} is another file", twin.display());
        }
    }
}

//! What a user means by a name, and what no name fetches unasked, between real nodes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use thorp_node::net::dial::Expected;
use thorp_wire::frame::Bytes;
use thorp_wire::{Body, Frame};

use crate::support::hostile::{Link, encoded, entry, listing};
use crate::support::process::poll;
use crate::support::village::{assert_ends_once, named, sharing};
use crate::support::{Finished, Hostile, Node, PATIENCE, Running, Village};

/// A tracker, a peer that has files, and one that wants them.
struct Pair {
    wants: Node,
    tracker: Running,
    /// Where it listens.
    at: String,
    _peers: [Running; 2],
    village: Village,
}

impl Pair {
    fn new(files: &[(&str, &str)]) -> Self {
        let village = Village::new();
        let (tracker, at) = village.tracker();
        let (has, wants) = (village.node("has"), village.node("wants"));
        for (name, text) in files {
            has.file(name, text);
        }
        let hidden = [
            "share",
            "--hidden",
            "--tracker",
            &at,
            "--listen",
            "127.0.0.2:0",
        ];
        let share = has.share();
        let mut args = hidden.to_vec();
        args.extend(["--lines", share.to_str().unwrap()]);
        let sharing = has.start(&args);
        let waiting = wants.start_sharing(&at, "127.0.0.3:0");
        poll("all files, hashed", PATIENCE, || {
            let (_, events) = wants.json(&["find", "**"]);
            let hashed = named(&events, "file").filter(|row| row["root"].is_string());
            (hashed.count() == files.len()).then_some(())
        });
        Self {
            wants,
            tracker,
            _peers: [sharing, waiting],
            at,
            village,
        }
    }

    /// Runs the program in the root directory, not in the share.
    fn run_elsewhere(&self, args: &[&str]) -> Finished {
        let mut command = self.wants.thorp(args);
        command.current_dir("/");
        Running::start("wants get", command).finish(PATIENCE)
    }

    /// The files that have come into the share, in the order of their names.
    fn has_come(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.wants.share(), &self.wants.share(), &mut found);
        found.sort();
        found
    }
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(root, &path, found);
        } else {
            found.push(path.strip_prefix(root).unwrap().display().to_string());
        }
    }
}

#[test]
fn nothing_that_is_fetched_by_a_pattern_or_a_base_name_runs() {
    let pair = Pair::new(&[
        ("docs/.git/HEAD", "ref: refs/heads/main\n"),
        (
            "docs/.git/config",
            "[core]\n\trepositoryformatversion = 0\n\tfsmonitor = \"touch pwned;false\"\n",
        ),
        ("docs/.git/objects/x", "x"),
        ("docs/.git/refs/x", "x"),
        ("docs/readme.txt", "hello"),
        (".bash_profile", "touch pwned"),
        (".ssh/authorized_keys", "ssh-ed25519 AAAA mallory"),
        (
            ".config/autostart/x.desktop",
            "[Desktop Entry]\nExec=touch pwned",
        ),
        (
            "photos/desktop.ini",
            "[.ShellClassInfo]\nIconResource=\\\\evil\\x",
        ),
    ]);
    let (exit, events) = pair.wants.json(&["get", "docs/**"]);
    assert_eq!(exit, Some(0));
    let done = named(&events, "done").next().unwrap();
    assert_eq!(
        (done["count"].as_u64(), done["left_out"].as_u64()),
        (Some(1), Some(4))
    );
    assert_eq!(pair.has_come(), ["docs/readme.txt"]);
    // What the attack was for: a command in the config, run by the next `git status`.
    let docs = pair.wants.share().join("docs");
    if let Ok(status) = Command::new("git")
        .arg("status")
        .current_dir(&docs)
        .output()
    {
        assert!(!status.status.success() || !docs.join("pwned").exists());
    }
    assert!(!docs.join(".git").exists());

    let said = pair.wants.run(&["get", "*"]);
    said.exits(0).says("8 files are left out");
    let said = pair.wants.run(&["get", "*.ini"]);
    said.exits(5).says("Nothing of *.ini is fetched: 1 file,");
    assert_eq!(pair.has_come(), ["docs/readme.txt"]);
    let said = pair.wants.run(&["get", "authorized_keys"]);
    said.exits(5).says(".ssh/authorized_keys").says("--hidden");
    let (_, offered) = pair.wants.json(&["get", "authorized_keys"]);
    let choice = named(&offered, "choice").next().unwrap();
    assert_eq!(choice["variants"][0]["name"], ".ssh/authorized_keys");
    assert_ends_once(&offered, "error");
    assert_eq!(pair.has_come(), ["docs/readme.txt"]);

    pair.wants.run(&["get", ".bash_profile"]).exits(0);
    pair.wants.run(&["get", "desktop.ini", "--hidden"]).exits(0);
    let come = [".bash_profile", "docs/readme.txt", "photos/desktop.ini"];
    assert_eq!(pair.has_come(), come);
}

#[test]
fn whoever_shares_hidden_files_fetches_none_unasked_and_a_variable_asks_for_them() {
    let pair = Pair::new(&[("docs/.git/config", "[core]"), ("docs/readme.txt", "hello")]);
    let other = pair.village.node("other");
    let args = ["share", "--hidden", "--lines", "--tracker", &pair.at];
    let mut sharing = other.thorp(&[&args[..], &["--listen", "127.0.0.4:0"]].concat());
    sharing.env("THORP_HIDDEN", "1");
    let sharing = Running::start("other share", sharing);
    sharing.wait_for_line("Connection Established!", |line| {
        line == "Connection Established!"
    });
    let hidden = other.share().join("docs/.git/config");
    let get = |asked: &[(&str, &str)]| {
        let mut get = other.thorp(&["get", "docs/**"]);
        get.envs(asked.iter().copied()).env("THORP_HIDDEN", "1");
        Running::start("other get", get).finish(PATIENCE)
    };
    get(&[]).exits(0).says("1 file is left out");
    assert!(other.share().join("docs/readme.txt").exists() && !hidden.exists());
    get(&[("THORP_GET_HIDDEN", "1")]).exits(0);
    assert!(hidden.exists());
}

#[test]
fn a_name_is_taken_for_what_its_user_means() {
    let pair = Pair::new(&[
        ("dir01/a.txt", "a"),
        ("dir01/sub/b.txt", "b"),
        ("notes.txt", "n"),
        ("[draft.txt", "d"),
        ("sp[ir]al/c[1]*.txt", "c"),
    ]);
    let get = |names: &[&str]| {
        let args: Vec<&str> = ["get"].into_iter().chain(names.iter().copied()).collect();
        pair.wants.run(&args)
    };
    for folder in ["dir01", "dir01/"] {
        get(&[folder])
            .exits(2)
            .says("dir01 is a folder with 2 files")
            .says("thorp get 'dir01/**'");
    }
    get(&["dir01/**"]).exits(0);
    assert_eq!(pair.has_come(), ["dir01/a.txt", "dir01/sub/b.txt"]);
    get(&["NOTES.txt"])
        .exits(5)
        .says("notes.txt")
        .says("other small and large letters");
    get(&["./notes.txt"]).exits(0);
    fs::remove_file(pair.wants.share().join("notes.txt")).unwrap();
    get(&["/notes.txt"]).exits(0);
    get(&["[draft.txt"]).exits(0);
    // Of a name that is a pattern as well, a folder and the last part of a path may be meant.
    get(&["sp[ir]al"])
        .exits(2)
        .says("sp[ir]al is a folder with 1 file")
        .says(r"thorp get 'sp\[ir\]al/**'");
    get(&["sp[ir]al/"]).exits(2).says("is a folder");
    get(&[r"sp\[ir\]al/**"]).exits(0);
    assert!(pair.wants.share().join("sp[ir]al/c[1]*.txt").exists());
    fs::remove_dir_all(pair.wants.share().join("sp[ir]al")).unwrap();
    get(&["c[1]*.txt"]).exits(0);
    assert!(pair.wants.share().join("sp[ir]al/c[1]*.txt").exists());
    get(&["[other.txt"]).exits(2).says("this is no pattern");
    let none = get(&["*.md"]).exits(3);
    let said = none
        .stderr
        .matches("No peer is sharing this file now.")
        .count();
    assert_eq!(said, 1, "{}", none.stderr);
}

/// What a table with short names takes in columns, and some to spare.
const NARROW: usize = 120;

#[test]
fn long_names_of_one_member_do_not_pad_what_others_are_shown() {
    let pair = Pair::new(&[("1.txt", "one"), ("2.txt", "two")]);
    let long = format!("begin{}end", format!("/{}", "n".repeat(200)).repeat(18));
    let mallory = pair.village.node("mallory");
    mallory.file(&long, "long");
    let _mallory = mallory.start_sharing(&pair.at, "127.0.0.7:0");
    let is_there = |text: &str| text.contains("nnnn");
    let shown = poll("the long name", PATIENCE, || {
        let shown = pair.wants.run(&["ls"]).exits(0).stdout;
        is_there(&shown).then_some(shown)
    });
    let (long_rows, others): (Vec<_>, Vec<_>) = shown.lines().partition(|line| is_there(line));
    assert!(
        long_rows.iter().any(|row| row.contains(&long)),
        "whole for programs"
    );
    assert!(others.iter().all(|row| row.len() < NARROW), "{shown}");
    for typed in [&["find", "*"][..], &["peers"], &["neighbours"]] {
        let shown = pair.wants.run(typed).exits(0).stdout;
        let mut others = shown.lines().filter(|line| !is_there(line));
        assert!(others.all(|row| row.len() < NARROW), "{typed:?}: {shown}");
    }
    // The tracker's tables have no row for programs: it is shortened in the middle there.
    let row = pair
        .tracker
        .wait_for_line("its row", |line| line.contains("begin/nn"));
    assert!(
        row.text.contains('…') && row.text.chars().count() < 2 * NARROW,
        "{row:?}"
    );
    let missed = pair.wants.run(&["get", &long[..long.len() - 1]]);
    let widest = missed.stderr.lines().map(|line| line.chars().count()).max();
    assert!(widest < Some(4 * NARROW), "{missed}");
}

#[test]
fn it_is_said_where_a_file_went_and_once_why() {
    let pair = Pair::new(&[
        ("a.txt", "a"),
        ("b.txt", "b"),
        ("c.txt", "c"),
        ("d.txt", "d"),
        ("e.txt", "e"),
    ]);
    let share = fs::canonicalize(pair.wants.share()).unwrap();
    let share = share.strip_prefix("/").unwrap().display();
    let why = "A peer runs on this machine";
    let first = pair.run_elsewhere(&["get", "a.txt"]).exits(0);
    assert_eq!(first.stdout.lines().count(), 1, "{first}");
    let first = first.says(&format!("It is {share}/a.txt."));
    assert!(first.stderr.contains(why), "{first}");
    let second = pair.run_elsewhere(&["get", "b.txt", "c.txt"]).exits(0);
    let second = second.says(&format!("2 files are in {share}."));
    assert!(!second.stderr.contains(why), "{second}");
    let quiet = pair.run_elsewhere(&["get", "d.txt", "--quiet"]).exits(0);
    assert_eq!(quiet.stderr, "");
    let here = pair.wants.run(&["get", "e.txt"]).exits(0);
    assert_eq!(here.stderr, "", "it is simply here");
}

#[test]
fn a_file_of_the_own_share_is_copied_and_nothing_is_overwritten() {
    let pair = Pair::new(&[("theirs.txt", "theirs")]);
    let large = "0123456789abcdef".repeat(20_000);
    pair.wants.file("own.txt", "own");
    pair.wants.file("docs/large.bin", &large);
    poll("the own files, hashed", PATIENCE, || {
        let (_, events) = pair.wants.json(&["find", "**"]);
        let hashed = named(&events, "file").filter(|row| row["root"].is_string());
        (hashed.count() == 3).then_some(())
    });
    let nobody_else = pair.wants.run(&["get", "large.bin"]);
    nobody_else
        .exits(3)
        .says("this one shares docs/large.bin itself");
    let out = pair.village.node("out").share();
    fs::create_dir_all(&out).unwrap();
    let to = out.to_str().unwrap();
    for name in ["own.txt", "large.bin"] {
        pair.wants.run(&["get", name, "-o", to]).exits(0);
    }
    assert_eq!(fs::read_to_string(out.join("own.txt")).unwrap(), "own");
    assert_eq!(
        fs::read_to_string(out.join("docs/large.bin")).unwrap(),
        large
    );
    fs::write(out.join("own.txt"), "mine").unwrap();
    let taken = pair.wants.run(&["get", "own.txt", "-o", to]).exits(4);
    let taken = taken.says("--as NEWNAME").says("--overwrite");
    assert!(
        taken.stderr.contains("File with same name exists"),
        "{}",
        taken.stderr
    );
    assert_eq!(fs::read_to_string(out.join("own.txt")).unwrap(), "mine");
    pair.wants
        .run(&["get", "own.txt", "--as", "copy.txt"])
        .exits(0);
    assert_eq!(
        fs::read_to_string(pair.wants.share().join("copy.txt")).unwrap(),
        "own"
    );
}

#[test]
fn what_a_pattern_or_a_folder_means_of_the_own_share_is_copied_beside_what_others_have() {
    let pair = Pair::new(&[("docs/theirs.txt", "theirs"), ("docs/both.txt", "both")]);
    pair.wants.file("docs/own.txt", "own");
    pair.wants.file("docs/both.txt", "both");
    pair.wants.file("kept/a", "a");
    pair.wants.file("kept/b/c", "c");
    pair.wants.all_hashed(5);
    let out = |dir: &str| pair.village.node(dir).share();
    let get = |what: &str, dir: &str| {
        fs::create_dir_all(out(dir)).unwrap();
        pair.wants
            .run(&["get", what, "-o", out(dir).to_str().unwrap()])
    };
    let read = |dir: &str, name: &str| fs::read_to_string(out(dir).join(name)).unwrap();
    get("docs/*", "pattern")
        .exits(0)
        .says("0 through neighbours, 2 through the tracker, 1 copied from this peer's own share");
    for name in ["own", "theirs", "both"] {
        assert_eq!(read("pattern", &format!("docs/{name}.txt")), name);
    }
    get("kept/**", "only-own").exits(0);
    assert_eq!(read("only-own", "kept/a"), "a");
    assert_eq!(read("only-own", "kept/b/c"), "c");
    let folder = get("kept", "folder").exits(2);
    folder
        .says("kept is a folder with 2 files")
        .says("'kept/**'");
    let (_, events) = pair.wants.json(&["get", "kept/a", "--as", "copy"]);
    let copied = named(&events, "fetched").next().unwrap();
    assert_eq!(copied["answer"]["source"], "own", "{copied}");
    assert_eq!(
        copied["received"], 0,
        "nothing came over the network: {copied}"
    );
    assert!(copied["from"].is_null(), "{copied}");
    // Into the share nothing is copied that is there.
    pair.wants.run(&["get", "kept/**"]).exits(3);
}

#[test]
fn a_get_that_replaces_files_replaces_none_of_its_own() {
    let large = |letter: &str| letter.repeat(300_000);
    let (first, second) = (large("1"), large("2"));
    let pair = Pair::new(&[
        ("a/one/f", "1"),
        ("a/two/f", "2"),
        ("b/one/f", &first),
        ("b/two/f", &second),
    ]);
    let out = pair.village.node("out").share();
    for folder in ["a", "b"] {
        let one = out.join(folder).join("one");
        fs::create_dir_all(&one).unwrap();
        fs::write(one.join("f"), "from before").unwrap();
        symlink("one", out.join(folder).join("two")).unwrap();
        let pattern = format!("{folder}/**");
        let got = ["get", &pattern, "--overwrite", "-o", out.to_str().unwrap()];
        let (exit, events) = pair.wants.json(&got);
        assert_eq!(exit, Some(4), "{events:#?}");
        assert_eq!(named(&events, "fetched").count(), 1, "{events:#?}");
        let fetched = named(&events, "fetched").next().unwrap();
        let letter = match fetched["name"].as_str().unwrap() {
            name if name.contains("one") => '1',
            _ => '2',
        };
        let there = fs::read_to_string(one.join("f")).unwrap();
        assert!(there.chars().all(|there| there == letter), "{events:#?}");
    }
}

/// Any member may dial a peer and ask to be its neighbour.
#[test]
fn a_neighbour_that_came_uninvited_does_not_decide_what_a_base_name_means() {
    let village = Village::new();
    let (_tracker, at) = village.tracker();
    let (has, wants) = (village.node("has"), village.node("wants"));
    has.file("setup.sh", "honest");
    let _has = has.start_sharing(&at, "127.0.0.2:0");
    let wanting = wants.start_sharing(&at, "127.0.0.3:0");
    let wants_at = sharing(&wanting).parse().unwrap();
    let id = wants.id();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listed = ["sub/setup.sh", "sub/other.sh"];
    runtime.block_on(async {
        let mallory = Hostile::join(at.parse().unwrap(), "mallory").await;
        for (at, expected) in [
            (at.parse().unwrap(), Expected::Tracker),
            (wants_at, Expected::Peer(id)),
        ] {
            let link = mallory.link(at, expected, None).await.unwrap();
            tokio::spawn(serve(link, listed));
        }
    });
    poll("the neighbour and its listing", PATIENCE, || {
        let neighbours = wants.neighbours();
        let mallory = neighbours.iter().find(|row| row["name"] == "mallory")?;
        (mallory["files"] == listed.len()).then_some(())
    });
    // It had been taken, and never compared with what the tracker knows.
    let (code, events) = wants.json(&["get", "setup.sh"]);
    assert_eq!(code, Some(0), "{events:#?}");
    assert_eq!(wants.bytes("setup.sh"), b"honest");
    assert!(!wants.share().join("sub").exists());
    // What no other member has is taken by its last part, and always by its path.
    wants.fetch("other.sh");
    assert_eq!(wants.bytes("sub/other.sh"), b"evil");
    wants.fetch("sub/setup.sh");
    assert_eq!(wants.bytes("sub/setup.sh"), b"evil");
}

/// Lists these names, all with the same bytes, and sends them.
async fn serve(mut link: Link, names: [&'static str; 2]) {
    let file = |number| entry(names[number], b"evil");
    for frame in listing(2, 2, file) {
        link.say(&frame).await.unwrap();
    }
    while let Some(frame) = link.reads.next().await {
        if let (Body::Get(_), Some(request)) = (&frame.body, frame.request) {
            let bytes = Bytes {
                bytes: b"evil".to_vec(),
            };
            let answer = encoded(&Frame::with_request(request, bytes));
            link.say(&answer).await.unwrap();
        }
    }
}

//! Who is in a group and who no longer is, how one leaves it, and how it moves
//! to another machine: each verb with real nodes on 127.0.0.x.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::process::poll;
use crate::support::village::{assert_ends_once, listening, named, sharing};
use crate::support::{Node, PATIENCE, Running, Village};

/// Starts the tracker of a members-only group, and says where it listens.
fn tracker(node: &Node, listen: &str) -> (Running, String) {
    let tracker = node.start(&["tracker", "--lines", "--listen", listen]);
    let address = listening(&tracker);
    (tracker, address)
}

/// Makes `node` a member, by an invite from where the CA is.
fn join(node: &Node, keeper: &Node) {
    let invite = keeper.run(&["invite"]).exits(0).stdout;
    fs::write(node.share().join(".invite"), invite).unwrap();
    node.run(&["join", ".invite", "--name", node.name()])
        .exits(0);
}

/// Starts sharing as the member that this node is, and waits for the tracker.
fn share(node: &Node, listen: &str) -> Running {
    let peer = node.start(&["share", "--lines", "--listen", listen]);
    peer.wait_for_line("Connection Established!", |line| {
        line == "Connection Established!"
    });
    peer
}

fn members(keeper: &Node) -> Vec<Value> {
    let (code, events) = keeper.json(&["members"]);
    assert_eq!(code, Some(0), "{events:#?}");
    assert_ends_once(&events, "done");
    let rows: Vec<_> = named(&events, "member").cloned().collect();
    rows.iter().for_each(assert_documented);
    rows
}

/// Asserts that an event has just the fields that its sample in the
/// documentation has.
#[track_caller]
fn assert_documented(event: &Value) {
    let fields = |value: &Value| -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    let mut samples = include_str!("../../../docs/json.md")
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let sample = samples
        .find(|sample| sample["event"] == event["event"])
        .unwrap_or_else(|| panic!("{event} is not documented"));
    assert_eq!(fields(event), fields(&sample), "{event}");
}

fn member(keeper: &Node, name: &str) -> Value {
    let rows = members(keeper);
    let row = rows.iter().find(|row| row["name"] == name);
    row.unwrap_or_else(|| panic!("{name} is not in {rows:#?}"))
        .clone()
}

#[test]
fn an_invite_lets_in_as_many_as_it_says_and_for_as_long() {
    let village = Village::new();
    let hall = village.node("hall");
    let (_tracker, _) = tracker(&hall, "127.0.0.1:0");
    let join = |name: &str, invite: &str| {
        let joining = village
            .node(name)
            .start_reading(invite, &["join", "-", "--name", name]);
        joining.finish(PATIENCE)
    };

    let invite = hall.run(&["invite", "--uses", "2"]).exits(0).stdout;
    for name in ["oak", "elm"] {
        join(name, &invite).exits(0).says("is a member now");
        assert_eq!(member(&hall, name)["role"], "member");
    }
    join("fir", &invite)
        .exits(9)
        .says("this invite has been used already; ask for a new one (`thorp invite`)");
    assert_eq!(members(&hall).len(), 3);

    let brief = ["invite", "--uses", "1000", "--expires", "1s"];
    let invite = hall.run(&brief).exits(0).stdout;
    let mut guests = 0..;
    let refused = poll("the invite to expire", PATIENCE, || {
        let end = join(&format!("guest-{}", guests.next()?), &invite);
        (end.code != Some(0)).then_some(end)
    });
    refused
        .exits(9)
        .says("this invite has expired; ask for a new one (`thorp invite`)");
}

#[test]
fn an_invite_is_taken_from_a_file_from_standard_input_and_in_a_terminal() {
    let village = Village::new();
    let hall = village.node("hall");
    let (_tracker, _) = tracker(&hall, "127.0.0.1:0");
    let invite = hall.run(&["invite", "--uses", "5"]).exits(0).stdout;

    let (ash, elm) = (village.node("ash"), village.node("elm"));
    fs::write(ash.share().join(".invite"), &invite).unwrap();
    let share = |place| {
        let listen = ["--listen", "127.0.0.2:0"];
        [&["share", "--lines", "--join", place][..], &listen].concat()
    };
    let sharing = [
        (
            &ash,
            ash.start(&[&share(".invite")[..], &["--name", "ash"]].concat()),
        ),
        (
            &elm,
            elm.start_reading(&invite, &[&share("-")[..], &["--name", "elm"]].concat()),
        ),
    ];
    for (node, running) in &sharing {
        running.wait_for_line("Connection Established!", |line| {
            line == "Connection Established!"
        });
        assert_eq!(member(&hall, node.name())["present"], true);
    }

    // In a terminal one is asked until it is an invite.
    let fir = village.node("fir");
    let typed = format!("junk\n\n{}\n\n{invite}", &invite[..40]);
    let (code, shown) = in_terminal(&fir, &["join", "--name", "fir"], &typed);
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(shown.matches("Please paste the invite.").count(), 4);
    assert_eq!(shown.matches("thorp: this is not an invite").count(), 1);
    assert!(shown.contains("thorp: this invite is garbled"), "{shown}");
    assert_eq!(member(&hall, "fir")["present"], false);
    // The end of the input is an answer too.
    let (code, shown) = in_terminal(&village.node("oak"), &["join"], "junk\n\x04");
    assert_eq!(code, Some(2), "{shown}");
    assert!(shown.contains("there is no invite in it"), "{shown}");
    assert_eq!(members(&hall).len(), 4);
}

#[test]
fn members_are_listed_where_the_ca_is_and_elsewhere_one_is_told_where() {
    let village = Village::new();
    let (hall, oak, elm) = (
        village.node("hall"),
        village.node("oak"),
        village.node("elm"),
    );
    let (tracker, address) = tracker(&hall, "127.0.0.1:0");
    join(&oak, &hall);
    join(&elm, &hall);
    let sharing = share(&oak, "127.0.0.2:0");

    let oaks = member(&hall, "oak");
    assert_eq!(
        (&oaks["present"], &oaks["role"]),
        (&true.into(), &"member".into())
    );
    assert_eq!(member(&hall, "elm")["present"], false);
    assert_eq!(member(&hall, "elm")["last_seen"], Value::Null);
    assert!(member(&hall, "oak")["last_seen"].is_u64());
    let rows = members(&hall);
    assert_eq!(rows.len(), 3, "{rows:#?}");
    let own = rows.iter().find(|row| row["role"] == "tracker").unwrap();
    assert_eq!(own["present"], true);
    let table = hall.run(&["members"]).exits(0).stdout;
    assert!(
        table.starts_with("Member") && table.contains("away"),
        "{table}"
    );

    let told = elm.run(&["members"]).exits(1);
    assert!(told.stderr.contains(&address), "{told}");
    elm.run(&["remove", "oak", "--yes"]).exits(1).says(&address);
    elm.run(&["tracker", "--backup", "-"])
        .exits(1)
        .says(&address);
    let stranger = village.node("stranger");
    for line in [
        &["members"][..],
        &["remove", "oak"],
        &["invite"],
        &["leave"],
    ] {
        stranger.run(line).exits(9).says("not a member");
    }

    hall.run(&["stop"]).exits(0);
    tracker.finish(PATIENCE).exits(0);
    let away = member(&hall, "oak");
    assert_eq!(away["present"], Value::Null);
    let seen = away["last_seen"].as_u64().unwrap();
    assert!(seen >= away["since"].as_u64().unwrap(), "kept: {away}");

    // Without a peer, a machine says all the same of which group it is a member.
    oak.run(&["stop"]).exits(0);
    sharing.finish(PATIENCE).exits(0);
    let ca = oak.run(&["status"]).exits(1).says("No peer is running");
    assert!(ca.stderr.contains("a member of the group"), "{ca}");
    assert!(
        ca.stderr.contains("called oak") && ca.stderr.contains(&address),
        "{ca}"
    );
    let stranger = stranger.run(&["status"]).exits(1);
    assert!(
        !stranger.stderr.contains("a member of the group"),
        "{stranger}"
    );
}

#[test]
fn removing_asks_and_never_removes_what_would_end_the_group() {
    let village = Village::new();
    let (oak, elm) = (village.node("oak"), village.node("elm"));
    oak.file("1.txt", "one");
    let keeper = oak.start(&[
        "share",
        "--lines",
        "--listen",
        "127.0.0.1:0",
        "--name",
        "oak",
    ]);
    sharing(&keeper);
    join(&elm, &oak);

    oak.run(&["remove", "elm"]).exits(2).says("--yes");
    assert_eq!(member(&oak, "elm")["removed"], false);
    oak.run(&["remove", "ash", "--yes"])
        .exits(3)
        .says("thorp members");
    let id = member(&oak, "elm")["id"].as_str().unwrap().to_owned();
    oak.run(&["remove", &id[..7], "--yes"]).exits(3);
    oak.run(&["remove", "oak", "--yes"])
        .exits(1)
        .says("thorp stop");
    oak.run(&["remove", "oak-tracker", "--yes"])
        .exits(1)
        .says("thorp leave --purge");
    assert!(members(&oak).iter().all(|row| row["removed"] == false));

    let (code, events) = oak.json(&["remove", &id[..8], "--yes"]);
    assert_eq!(code, Some(0), "{events:#?}");
    assert_ends_once(&events, "done");
    let row = named(&events, "member").next().unwrap();
    assert_eq!(
        (&row["name"], &row["removed"]),
        (&"elm".into(), &true.into())
    );
    oak.run(&["remove", "elm"])
        .exits(0)
        .says("was removed before");
}

#[test]
fn a_person_is_asked_before_a_member_is_removed() {
    let village = Village::new();
    let (hall, elm) = (village.node("hall"), village.node("elm"));
    let (_tracker, _) = tracker(&hall, "127.0.0.1:0");
    join(&elm, &hall);
    for (answer, code, removed) in [("2\n", 1, false), ("\n", 1, false), ("1\n", 0, true)] {
        let (ended, shown) = in_terminal(&hall, &["remove", "elm"], answer);
        assert!(shown.contains("1. Remove it."), "{shown}");
        assert_eq!(ended, Some(code), "{shown}");
        assert_eq!(member(&hall, "elm")["removed"], removed, "{answer:?}");
    }
}

/// Runs the program in a terminal in which `answer` is typed: its exit code, and
/// what is on the terminal then.
fn in_terminal(node: &Node, args: &[&str], answer: &str) -> (Option<i32>, String) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap();
    let open = || {
        fs::File::options()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
    };
    let terminal = open().unwrap();
    let mut typed = fs::File::from(controller);
    typed.write_all(answer.as_bytes()).unwrap();
    let mut command = node.thorp(args);
    command
        .stdin(terminal.try_clone().unwrap())
        .stderr(terminal.try_clone().unwrap())
        .stdout(Stdio::null());
    let status = command.status().unwrap();
    // Something to read for certain, so that this does not wait.
    let mut end = &terminal;
    end.write_all(b"\x04").unwrap();
    let mut shown = Vec::new();
    while !shown.contains(&4) {
        let mut some = [0; 512];
        let count = typed.read(&mut some).unwrap();
        shown.extend_from_slice(&some[..count]);
    }
    (status.code(), String::from_utf8_lossy(&shown).into_owned())
}

#[test]
fn an_open_group_says_that_removing_keeps_nobody_out() {
    let village = Village::new();
    let (_tracker, address) = village.tracker();
    let (hall, elm) = (village.node("tracker"), village.node("elm"));
    elm.run(&["get", "x", "--tracker", &address]).exits(3);
    let rows = members(&hall);
    let id = rows.iter().find(|row| row["role"] == "member").unwrap()["id"].clone();
    hall.run(&["remove", id.as_str().unwrap(), "--yes"])
        .exits(0)
        .says("can join again with another key");
}

#[test]
fn whoever_is_removed_while_the_tracker_is_down_is_refused_when_it_is_up_again() {
    let village = Village::new();
    let (hall, elm) = (village.node("hall"), village.node("elm"));
    let (first, address) = tracker(&hall, "127.0.0.1:0");
    join(&elm, &hall);
    elm.run(&["get", "1.txt"]).exits(3);
    hall.run(&["stop"]).exits(0);
    first.finish(PATIENCE).exits(0);
    hall.run(&["remove", "elm", "--yes"])
        .exits(0)
        .says("once the tracker runs");

    let (_second, _) = tracker(&hall, &address);
    assert_eq!(member(&hall, "elm")["removed"], true);
    elm.run(&["get", "1.txt"])
        .exits(9)
        .says("removed from the group");
    let invite = hall.run(&["invite"]).exits(0).stdout;
    fs::write(elm.share().join(".invite"), invite).unwrap();
    elm.run(&["join", ".invite"])
        .exits(9)
        .says("removed from the group");
}

#[test]
fn a_removed_machine_is_told_so_whatever_it_asks_and_its_peer_ends_with_9() {
    const SAYS: &str = "this machine was removed from the group";
    let village = Village::new();
    let hall = village.node("hall");
    let (_tracker, _) = tracker(&hall, "127.0.0.1:0");
    let asked: [&[&str]; 4] = [&["get", "1.txt"], &["find", "*"], &["ls"], &["peers"]];
    for (at, line) in asked.into_iter().enumerate() {
        let visitor = village.node(&format!("elm{at}"));
        join(&visitor, &hall);
        hall.run(&["remove", visitor.name(), "--yes"]).exits(0);
        // It hears of it, and then it knows.
        for _ in 0..2 {
            visitor.run(line).exits(9).says(SAYS);
            let (code, events) = visitor.json(line);
            assert_eq!(code, Some(9), "{events:#?}");
            assert_ends_once(&events, "error");
        }
        visitor.run(&["share", "--lines"]).exits(9).says(SAYS);
        let told = visitor.run(&["status"]).exits(1).says(SAYS);
        assert!(!told.stderr.contains("is a member of"), "{told}");
    }

    let oak = village.node("oak");
    join(&oak, &hall);
    let running = share(&oak, "127.0.0.2:0");
    hall.run(&["remove", "oak", "--yes"]).exits(0);
    // Whether it reaches the peer that is about to end or comes after it.
    for line in asked {
        oak.run(line).exits(9).says(SAYS);
    }
    running.finish(PATIENCE).exits(9).says(SAYS);
}

#[test]
fn leaving_stops_the_peer_and_keeps_the_key() {
    let village = Village::new();
    let (hall, oak) = (village.node("hall"), village.node("oak"));
    let (_tracker, _) = tracker(&hall, "127.0.0.1:0");
    join(&oak, &hall);
    let id = member(&hall, "oak")["id"].clone();
    let running = share(&oak, "127.0.0.2:0");

    oak.run(&["leave"]).exits(0).says("has left its group");
    running.finish(PATIENCE).exits(0);
    assert_eq!(member(&hall, "oak")["present"], false);
    oak.run(&["get", "1.txt"]).exits(9);
    oak.run(&["leave"]).exits(9);

    join(&oak, &hall);
    assert_eq!(member(&hall, "oak")["id"], id);
    assert_eq!(members(&hall).len(), 2);
}

#[test]
fn purging_removes_what_thorp_has_made_and_nothing_else() {
    let village = Village::new();
    let (hall, oak) = (village.node("hall"), village.node("oak"));
    let elm = village.node("elm");
    let (_tracker, _) = tracker(&hall, "127.0.0.1:0");
    elm.file("1.txt", "one");
    oak.file("2.txt", "two");
    oak.configure("");
    join(&oak, &hall);
    join(&elm, &hall);
    let _elm = share(&elm, "127.0.0.3:0");
    let running = share(&oak, "127.0.0.2:0");
    poll("1.txt", PATIENCE, || {
        (oak.run(&["get", "1.txt"]).code == Some(0)).then_some(())
    });
    poll("a neighbour that is remembered", PATIENCE, || {
        oak.state().join("neighbours.json").exists().then_some(())
    });

    let told = oak.run(&["leave", "--purge"]).exits(0);
    assert!(told.stderr.contains("config.toml"), "{told}");
    running.finish(PATIENCE).exits(0);
    let left: Vec<_> = fs::read_dir(oak.state())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["config.toml"]);
    fs::remove_file(oak.state().join("config.toml")).unwrap();

    fs::write(oak.state().join("thesis.tex"), "mine").unwrap();
    oak.run(&["leave", "--purge"]).exits(0);
    assert!(oak.state().join("thesis.tex").exists());
}

#[test]
fn a_group_of_ones_own_is_ended_only_by_purging_it_with_a_yes() {
    let village = Village::new();
    let oak = village.node("oak");
    let running = oak.start(&["share", "--lines", "--listen", "127.0.0.1:0"]);
    sharing(&running);
    // What is advised is about this directory, and not about the usual one.
    let there = |words: &str| format!("{words} --state {}", oak.state().display());
    oak.run(&["leave"])
        .exits(1)
        .says(&there("thorp tracker --backup FILE"))
        .says(&there("thorp leave --purge"));
    oak.run(&["leave", "--purge"])
        .exits(2)
        .says("--yes")
        .says(&there("thorp tracker --backup FILE"));
    // It is still there.
    oak.run(&["status"]).exits(0);
    let (code, events) = oak.json(&["leave", "--purge", "--yes"]);
    assert_eq!(code, Some(0), "{events:#?}");
    assert_eq!(events[0]["event"], "left");
    assert_documented(&events[0]);
    running.finish(PATIENCE).exits(0);
    assert!(!oak.state().exists());
    oak.run(&["leave", "--purge"])
        .exits(0)
        .says("nothing to remove");

    // A tracker alone is no different.
    let hall = village.node("hall");
    let (tracker, _) = tracker(&hall, "127.0.0.1:0");
    hall.run(&["leave"]).exits(1).says("thorp tracker --backup");
    hall.run(&["leave", "--purge", "--yes"]).exits(0);
    tracker.finish(PATIENCE).exits(0);
    assert!(!hall.state().exists());
}

#[test]
fn a_member_of_anothers_group_leaves_that_one_and_keeps_its_own() {
    let village = Village::new();
    let (hall, oak) = (village.node("hall"), village.node("oak"));
    let (_tracker, _) = tracker(&hall, "127.0.0.1:0");
    let own = ["share", "--lines", "--listen", "127.0.0.2:0"];
    let first = oak.start(&own);
    sharing(&first);
    oak.run(&["stop"]).exits(0);
    first.finish(PATIENCE).exits(0);
    let before = members(&oak);
    join(&oak, &hall);
    let other = share(&oak, "127.0.0.2:0");
    assert_eq!(member(&hall, "oak")["present"], true);

    oak.run(&["leave"])
        .exits(0)
        .says("another group is still in");
    other.finish(PATIENCE).exits(0);
    assert_eq!(members(&oak), before);
    let again = oak.start(&own);
    sharing(&again);
    assert_eq!(members(&oak).len(), before.len());
}

#[test]
fn a_second_process_is_told_who_has_the_state() {
    let village = Village::new();
    let hall = village.node("hall");
    let (tracker, _) = tracker(&hall, "127.0.0.1:0");
    let pid = tracker.id();
    hall.run(&["tracker", "--listen", "127.0.0.1:0"])
        .exits(1)
        .says(&format!("in use by process {pid}"));
    fs::write(hall.share().join("not-a-backup"), "{}").unwrap();
    let backup = hall.share().join("group.backup");
    hall.run(&["tracker", "--backup", backup.to_str().unwrap()])
        .exits(0);
    hall.run(&["tracker", "--restore", "group.backup"])
        .exits(1)
        .says(&format!("in use by process {pid}"));
}

#[test]
fn a_group_moves_to_another_machine_and_its_members_follow_without_an_invite() {
    let village = Village::new();
    let (old, new) = (village.node("old"), village.node("new"));
    let (oak, elm) = (village.node("oak"), village.node("elm"));
    oak.file("1.txt", "one");
    // The group is made by sharing, and then kept by a tracker alone.
    let first = old.start(&["share", "--lines", "--listen", "127.0.0.1:0"]);
    sharing(&first);
    join(&oak, &old);
    join(&elm, &old);
    let unused = old.run(&["invite"]).exits(0).stdout;
    let before = members(&old);

    // Where the members would see it, it is not written.
    old.run(&["tracker", "--backup", "group.backup"])
        .exits(2)
        .says("is shared");
    assert!(!old.share().join("group.backup").exists());
    // While it runs, and when it does not, it is the same group.
    let backup = old.share().join("../group.backup");
    let (code, events) = old.json(&["tracker", "--backup", "../group.backup"]);
    assert_eq!(code, Some(0), "{events:#?}");
    assert_eq!(events[0]["event"], "saved");
    assert_documented(&events[0]);
    let mode = fs::metadata(&backup).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    old.run(&["tracker", "--backup", "../group.backup"])
        .exits(4)
        .says("group.backup is there already");
    old.run(&["stop"]).exits(0);
    first.finish(PATIENCE).exits(0);
    let again = old.run(&["tracker", "--backup", "-"]).exits(0).stdout;
    assert_eq!(again, fs::read_to_string(&backup).unwrap());
    old.run(&["leave", "--purge", "--yes"]).exits(0);
    assert!(!old.state().exists());

    let backup = backup.to_str().unwrap();
    let (code, events) = new.json(&["tracker", "--restore", backup]);
    assert_eq!(code, Some(0), "{events:#?}");
    assert_eq!(events[0]["event"], "restored");
    assert_documented(&events[0]);
    assert_eq!(events[0]["members"], before.len());
    let taken = new.run(&["tracker", "--restore", backup]).exits(4);
    let purge = format!("thorp leave --purge --state {}", new.state().display());
    taken.says("nothing is overwritten").says(&purge);
    let (_tracker, address) = tracker(&new, "127.0.0.9:0");
    assert_eq!(members(&new).len(), before.len());

    let _oak = oak.start_sharing(&address, "127.0.0.2:0");
    elm.run(&["get", "1.txt", "--tracker", &address]).exits(0);
    assert_eq!(elm.bytes("1.txt"), b"one");
    // From now on both know.
    elm.run(&["ls"]).exits(0);
    assert_eq!(member(&new, "oak")["present"], true);

    // The invite that no machine had used came along; it knows the old address only.
    assert!(unused.starts_with("thorp1"));
    let told = village.node("late");
    fs::write(told.share().join(".invite"), unused).unwrap();
    told.run(&["join", ".invite"]).exits(6);
}

#[test]
fn whoever_joined_after_the_backup_that_was_restored_is_removed_by_its_whole_id() {
    let village = Village::new();
    let (hall, elm) = (village.node("hall"), village.node("elm"));
    let (first, address) = tracker(&hall, "127.0.0.1:0");
    hall.run(&["tracker", "--backup", "group.backup"]).exits(0);
    join(&elm, &hall);
    hall.run(&["leave", "--purge", "--yes"]).exits(0);
    first.finish(PATIENCE).exits(0);
    hall.run(&["tracker", "--restore", "group.backup"]).exits(0);
    let (_tracker, _) = tracker(&hall, &address);
    // Its certificate is good, and the table does not have it.
    let peer = share(&elm, "127.0.0.2:0");
    assert!(members(&hall).iter().all(|row| row["name"] != "elm"));
    hall.run(&["remove", "elm", "--yes"]).exits(3);
    let (_, events) = hall.json(&["peers"]);
    let row = named(&events, "peer").next().unwrap();
    assert_eq!(row["name"], "elm");
    let id = row["id"].as_str().unwrap();
    hall.run(&["remove", id])
        .exits(2)
        .says("has no member with this id")
        .says("--yes");
    hall.run(&["remove", id, "--yes"])
        .exits(0)
        .says("is no longer a member.");
    peer.finish(PATIENCE)
        .exits(9)
        .says("this machine was removed from the group");
    hall.run(&["remove", id])
        .exits(0)
        .says("was removed before");
}

#[test]
fn whoever_leaves_beside_a_tracker_is_told_that_it_stays() {
    let village = Village::new();
    let (hall, home) = (village.node("hall"), village.node("home"));
    let (_tracker, _) = tracker(&hall, "127.0.0.1:0");
    let backup = hall.share().join("group.backup");
    hall.run(&["tracker", "--backup", "group.backup"]).exits(0);
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_thorp"));
        command.args(args).env_clear().env("HOME", home.share());
        Running::start(args[0], command).finish(PATIENCE)
    };
    run(&["tracker", "--restore", backup.to_str().unwrap()]).exits(0);
    let state = home.share().join(".local/state/thorp/tracker");
    let hint = format!("thorp leave --purge --state {}", state.display());
    run(&["leave"]).exits(9).says(&hint);
    run(&["leave", "--purge"]).exits(0).says(&hint);
    run(&["members"]).exits(0);
}

#[test]
fn what_is_no_backup_changes_nothing() {
    let village = Village::new();
    let (hall, other) = (village.node("hall"), village.node("other"));
    let (_tracker, _) = tracker(&hall, "127.0.0.1:0");
    let text = hall.run(&["tracker", "--backup", "-"]).exits(0).stdout;
    let middle = text.len() / 2;
    let newer = text.replacen("\"thorp-backup\": 1", "\"thorp-backup\": 1000", 1);
    for (bad, why) in [
        (&text[..middle], "damaged"),
        ("", "damaged"),
        ("thorp1abc", "damaged"),
        (&newer, "newer thorp"),
    ] {
        fs::write(other.share().join("bad"), bad).unwrap();
        other
            .run(&["tracker", "--restore", "bad"])
            .exits(1)
            .says(why);
        assert_eq!(fs::read_dir(other.state()).unwrap().count(), 0);
    }
    other.run(&["tracker", "--restore", "none"]).exits(1);
}

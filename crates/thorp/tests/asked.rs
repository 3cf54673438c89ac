//! What a person is asked in a terminal, and what becomes of the answers.

use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::support::process::poll;
use crate::support::village::listening;
use crate::support::{Node, PATIENCE, Running, Village};

/// A terminal, and what is typed in it.
struct Terminal {
    typed: fs::File,
    shown: fs::File,
    /// What was shown after the last question that was answered.
    unread: String,
}

impl Terminal {
    fn new(typed: &str) -> Self {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap();
        let mut options = fs::File::options();
        let shown = options.read(true).write(true);
        let shown = shown.open(name.to_str().unwrap()).unwrap();
        let mut controller = fs::File::from(controller);
        controller.write_all(typed.as_bytes()).unwrap();
        Self {
            typed: controller,
            shown,
            unread: String::new(),
        }
    }

    /// Runs the program in it: its exit code, and what is shown of its talk then.
    fn run(&mut self, node: &Node, args: &[&str]) -> (Option<i32>, String) {
        let mut command = node.thorp(args);
        command.stdout(Stdio::null());
        self.run_command(command)
    }

    /// Runs the program in it: its exit code, and all that is shown then.
    fn show(&mut self, mut command: Command) -> (Option<i32>, String) {
        command.stdout(self.shown.try_clone().unwrap());
        self.run_command(command)
    }

    fn run_command(&mut self, mut command: Command) -> (Option<i32>, String) {
        command
            .stdin(self.shown.try_clone().unwrap())
            .stderr(self.shown.try_clone().unwrap());
        let status = command.status().unwrap();
        // Something to read for certain, so that this does not wait.
        self.shown.write_all(b"\x04").unwrap();
        let mut shown = Vec::new();
        while !shown.contains(&4) {
            let mut some = [0; 512];
            let count = self.typed.read(&mut some).unwrap();
            shown.extend_from_slice(&some[..count]);
        }
        (
            status.code(),
            String::from_utf8_lossy(&shown).replace("\r\n", "\n"),
        )
    }

    /// Waits until this is shown, and types that. Returns what was shown until then.
    fn answer(&mut self, question: &str, answer: &str) -> String {
        let mut bytes = std::mem::take(&mut self.unread).into_bytes();
        loop {
            let text = String::from_utf8_lossy(&bytes);
            if let Some(at) = text.find(question) {
                let (shown, unread) = text.split_at(at + question.len());
                self.unread = unread.to_owned();
                self.typed.write_all(answer.as_bytes()).unwrap();
                return shown.to_owned();
            }
            let mut some = [0; 512];
            let count = self.typed.read(&mut some).unwrap();
            bytes.extend_from_slice(&some[..count]);
        }
    }

    /// What is left to be read by the process that has the terminal next.
    fn pending(&self) -> u64 {
        rustix::io::ioctl_fionread(&self.shown).unwrap()
    }
}

fn in_terminal(node: &Node, args: &[&str], typed: &str) -> (Option<i32>, String) {
    Terminal::new(typed).run(node, args)
}

/// Starts the tracker of a group that is by invitation.
fn tracker(node: &Node) -> Running {
    let tracker = node.start(&["tracker", "--lines", "--listen", "127.0.0.1:0"]);
    listening(&tracker);
    tracker
}

fn end(node: &Node, running: Running) {
    node.run(&["stop"]).exits(0);
    running.finish(PATIENCE).exits(0);
}

#[test]
fn an_invite_in_two_lines_is_read_after_junk_and_nothing_of_it_is_left_for_the_shell() {
    let village = Village::new();
    let (hall, elm) = (village.node("hall"), village.node("elm"));
    let running = tracker(&hall);
    let invite = hall.run(&["invite"]).exits(0).stdout;
    let (first, second) = invite.trim().split_at(40);
    let typed = format!("On the other machine:\n{first}\n  {second}\nAfter that\n");
    let mut terminal = Terminal::new(&typed);
    let (code, shown) = terminal.run(&elm, &["join"]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("beginning of an invite"), "{shown}");
    assert_eq!(terminal.pending(), 0, "{shown}");
    end(&hall, running);
}

#[test]
fn a_beginning_without_an_end_is_begun_again_after_an_empty_line() {
    let village = Village::new();
    let (code, shown) = in_terminal(&village.node("elm"), &["join"], "thorp1abc\n\n\x04");
    assert_eq!(code, Some(2), "{shown}");
    let asked = shown.matches("Please paste the invite.").count();
    assert_eq!(asked, 2, "{shown}");
    assert!(shown.contains("\nthorp: there is no invite"), "{shown}");
}

#[test]
fn a_group_by_invitation_is_opened_after_a_yes_and_closed_again() {
    let village = Village::new();
    let hall = village.node("hall");
    let running = tracker(&hall);
    end(&hall, running);
    let open = ["tracker", "--open", "--lines", "--listen", "127.0.0.1:0"];
    hall.run(&open)
        .exits(2)
        .says("This group was by invitation")
        .says("--yes");
    let (code, shown) = in_terminal(&hall, &open, "perhaps\n2\n");
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("Please type 1 or 2."), "{shown}");
    let (code, shown) = in_terminal(&hall, &open, "n\n");
    assert_eq!(code, Some(1), "n is an answer too: {shown}");

    let is_open = |args: &[&str]| {
        let running = hall.start(&[args, &["--lines", "--listen", "127.0.0.1:0"]].concat());
        listening(&running);
        let open = hall.tracker_status()["open"].as_bool().unwrap();
        end(&hall, running);
        open
    };
    assert!(!is_open(&["tracker"]), "nothing was changed");
    assert!(is_open(&["tracker", "--open", "--yes"]));
    assert!(is_open(&["tracker", "--open"]), "it was open already");
    assert!(!is_open(&["tracker", "--closed"]));
    assert!(!is_open(&["tracker"]));
}

#[test]
fn nothing_is_made_to_say_that_there_is_no_group() {
    let village = Village::new();
    let node = village.node("new");
    for verb in ["status", "stop"] {
        node.run(&[verb, "--state", "fresh"])
            .exits(1)
            .says("this machine is in no group");
    }
    node.run(&["ls", "--state", "fresh"])
        .exits(9)
        .says("not a member of a group yet");
    assert!(!node.share().join("fresh").exists());
}

#[test]
fn status_and_stop_find_a_tracker_alone_where_it_is_by_itself() {
    let village = Village::new();
    let home = village.node("home").share();
    let start = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_thorp"));
        command.args(args).env_clear().env("HOME", &home);
        Running::start(args[0], command)
    };
    let run = |args: &[&str]| start(args).finish(PATIENCE);
    let tracker = start(&["tracker", "--lines", "--listen", "127.0.0.1:0"]);
    listening(&tracker);
    let status = run(&["status"]).exits(0).stdout;
    assert!(status.starts_with("Tracker "), "{status}");
    run(&["stop"]).exits(0).says("The tracker has said goodbye");
    tracker.finish(PATIENCE).exits(0);
    run(&["status"])
        .exits(1)
        .says("Start the tracker: thorp tracker");
    assert!(!home.join(".local/state/thorp/peer").exists());
}

#[test]
fn a_state_that_cannot_be_read_is_not_taken_for_none() {
    let village = Village::new();
    let node = village.node("elm");
    node.file("file", "in the way");
    for args in [&["leave", "--purge"][..], &["ls"]] {
        let args = [args, &["--state", "file/state"]].concat();
        node.run(&args).exits(1).says("file/state").says("cannot ");
    }
}

#[test]
fn the_same_group_is_not_restored_beside_itself() {
    let village = Village::new();
    let hall = village.node("hall");
    let peer = hall.start(&["share", "--lines", "--listen", "127.0.0.1:0"]);
    peer.wait_for_line("Sharing", |line| line.starts_with("Sharing"));
    hall.run(&["tracker", "--backup", "../group.backup"])
        .exits(0);
    end(&hall, peer);
    let hint = format!("thorp leave --purge --state {}", hall.state().display());
    hall.run(&["tracker", "--restore", "../group.backup"])
        .exits(4)
        .says("keeps this group already")
        .says(&hint);
    let other = village.node("other");
    let backup = hall.share().join("../group.backup");
    let start = format!(
        "Start its tracker: thorp tracker --state {}",
        other.state().display()
    );
    other
        .run(&["tracker", "--restore", backup.to_str().unwrap()])
        .exits(0)
        .says(&start);
}

#[test]
fn a_member_that_joins_again_is_told_that_it_is_one() {
    let village = Village::new();
    let (hall, elm) = (village.node("hall"), village.node("elm"));
    let running = tracker(&hall);
    let invite = hall.run(&["invite"]).exits(0).stdout;
    fs::write(elm.share().join(".invite"), invite).unwrap();
    elm.run(&["join", ".invite"])
        .exits(0)
        .says("is a member now");
    elm.run(&["join", ".invite"])
        .exits(0)
        .says("was a member of that group already");
    end(&hall, running);
}

#[test]
fn a_machine_that_joins_another_group_is_told_which_one_it_has_left_and_how_it_comes_back() {
    let village = Village::new();
    let [hall, barn, elm] = ["hall", "barn", "elm"].map(|name| village.node(name));
    let trackers = [&hall, &barn].map(|keeper| {
        let running = tracker(keeper);
        let invite = keeper.run(&["invite"]).exits(0).stdout;
        fs::write(elm.share().join(keeper.name()), invite).unwrap();
        running
    });
    let left = "has left the group of the tracker at ";
    let first = elm.run(&["join", "hall"]).exits(0);
    assert!(!first.stderr.contains(left), "{}", first.stderr);
    elm.run(&["join", "barn"]).exits(0).says(left);
    let invite = barn.run(&["invite"]).exits(0).stdout;
    // One that keeps a group of its own.
    let fir = village.node("fir");
    let sharing = fir.start(&["share", "--lines", "--listen", "127.0.0.1:0"]);
    sharing.wait_for_line("Sharing", |line| line.starts_with("Sharing"));
    end(&fir, sharing);
    fs::write(fir.share().join(".invite"), invite).unwrap();
    let keeps = "The group that this machine keeps stays";
    fir.run(&["join", ".invite"])
        .exits(0)
        .says(keeps)
        .says("thorp leave");
    for (keeper, running) in [hall, barn].iter().zip(trackers) {
        end(keeper, running);
    }
}

#[test]
fn an_invite_to_an_open_group_is_not_needed() {
    let village = Village::new();
    let (_tracker, _) = village.tracker();
    let hall = village.node("tracker");
    hall.run(&["invite"]).exits(0).says("This group is open");
}

#[test]
fn whoever_leaves_after_being_removed_is_told_that_the_key_is_of_no_use() {
    let village = Village::new();
    let (hall, elm) = (village.node("hall"), village.node("elm"));
    let running = tracker(&hall);
    let invite = hall.run(&["invite"]).exits(0).stdout;
    fs::write(elm.share().join(".invite"), invite).unwrap();
    elm.run(&["join", ".invite", "--name", "elm"]).exits(0);
    hall.run(&["remove", "elm", "--yes"]).exits(0);
    elm.run(&["ls"]).exits(9);
    elm.run(&["leave"])
        .exits(0)
        .says("had removed it")
        .says("thorp leave --purge");
    end(&hall, running);
}

/// Waits until a peer and its tracker know so many files of it.
fn listed(node: &Node, files: u64) {
    poll("its files are listed", PATIENCE, || {
        let (_, status) = node.json(&["status"]);
        let status = status.first()?;
        let is_hashed = status["files"] == files && status["unhashed"] == 0;
        let (_, peers) = node.json(&["ls"]);
        let rows = peers.iter().filter(|row| row["event"] == "file").count() as u64;
        (is_hashed && status["tracker_connected"] == true && rows == files).then_some(())
    });
}

/// A terminal of 80 columns.
fn terminal_to_look_at() -> Terminal {
    let terminal = Terminal::new("");
    let size = rustix::termios::Winsize {
        ws_row: 24,
        ws_col: 80,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(&terminal.shown, size).unwrap();
    terminal
}

#[test]
fn a_list_that_a_user_looks_at_goes_through_the_pager_in_the_order_people_count() {
    let village = Village::new();
    let oak = village.node("oak");
    for name in ["h10.txt", "h2.txt", "slides/1.pdf", "slides/deep/2.pdf"] {
        oak.file(name, name.as_bytes());
    }
    let running = oak.start(&[
        "share",
        "--lines",
        "--name",
        "oak",
        "--listen",
        "127.0.0.1:0",
    ]);
    listed(&oak, 4);

    let looked_at = |args: &[&str], pager: &str| {
        let mut command = oak.thorp(args);
        command.env("PAGER", pager).env("TERM", "xterm");
        let (code, shown) = terminal_to_look_at().show(command);
        assert_eq!(code, Some(0), "{shown}");
        assert!(
            shown.lines().all(|line| line.chars().count() <= 80),
            "{shown}"
        );
        shown
    };
    let names = |shown: &str| -> Vec<String> {
        let rows = shown.lines().skip(1).filter(|line| line.contains(" B "));
        let name = |line: &str| line.split_whitespace().next().map(str::to_owned);
        rows.filter_map(name).collect()
    };
    let paged = looked_at(&["ls"], "sed s/^/:/");
    let counted = [":h2.txt", ":h10.txt", ":slides/1.pdf", ":slides/deep/2.pdf"];
    assert_eq!(names(&paged), counted, "{paged}");
    assert!(paged.contains(":4 files, 42 B"), "{paged}");
    let plain = looked_at(&["ls", "--no-pager"], "sed s/^/:/");
    assert!(!plain.contains(':') || !plain.contains(":h2"), "{plain}");
    let missing = looked_at(&["ls"], "no-such-pager-anywhere");
    assert_eq!(
        names(&missing),
        ["h2.txt", "h10.txt", "slides/1.pdf", "slides/deep/2.pdf"]
    );
    let largest = looked_at(&["find", "*", "--sort", "size"], "");
    assert_eq!(names(&largest)[0], "slides/deep/2.pdf", "{largest}");

    // A stream has no pager, and the order of bytes.
    let mut command = oak.thorp(&["ls"]);
    command.env("PAGER", "sed s/^/:/");
    let stream = command.output().unwrap();
    let stream = String::from_utf8(stream.stdout).unwrap();
    assert_eq!(names(&stream)[..2], ["h10.txt", "h2.txt"], "{stream}");

    let in_folder = oak.run(&["ls", "slides"]).exits(0).stdout;
    assert_eq!(names(&in_folder), ["slides/1.pdf", "slides/deep/2.pdf"]);
    assert_eq!(
        names(&oak.run(&["ls", "./slides/deep/"]).exits(0).stdout).len(),
        1
    );
    assert_eq!(
        names(&oak.run(&["ls", "oak", "slides"]).exits(0).stdout).len(),
        2
    );
    assert_eq!(names(&oak.run(&["ls", "oak"]).exits(0).stdout).len(), 4);
    oak.run(&["ls", "slide"])
        .exits(3)
        .says("No peer and no folder called slide is here.");
    oak.run(&["ls", "elm/"])
        .exits(3)
        .says("No folder elm is shared.");
    oak.run(&["ls", "elm", "slides"])
        .exits(3)
        .says("No peer called elm is here.");
    end(&oak, running);
}

#[test]
fn in_a_group_without_files_no_other_pattern_is_advised() {
    let village = Village::new();
    let oak = village.node("oak");
    let running = oak.start(&[
        "share",
        "--lines",
        "--name",
        "oak",
        "--listen",
        "127.0.0.1:0",
    ]);
    listed(&oak, 0);
    let found = oak
        .run(&["find", "*"])
        .exits(0)
        .says("no peer shares a file yet");
    assert!(!found.stderr.contains("letters"), "{}", found.stderr);
    oak.file("1.txt", b"1");
    listed(&oak, 1);
    oak.run(&["find", "*.pdf"])
        .exits(0)
        .says("Small and large letters differ");
    end(&oak, running);
}

#[test]
fn an_invite_is_not_taken_from_the_command_line_nor_repeated() {
    let village = Village::new();
    let elm = village.node("elm");
    let secret = format!("thorp1{}", "abcdefgh234567".repeat(8));
    for args in [
        &["join", &*secret][..],
        &["share", "--join", &secret],
        &["get", &secret],
    ] {
        let refused = elm.run(args).exits(2).says("thorp join");
        assert!(!refused.stderr.contains("abcdefgh"), "{}", refused.stderr);
    }
    let mut command = elm.thorp(&["share", "--lines"]);
    command.env("THORP_JOIN", &secret);
    let refused = command.output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        refused.status.code() == Some(2) && !said.contains("abcdefgh"),
        "{said}"
    );
}

const MENU: &str = "? for what else there is.\r\n> ";
const INTERRUPT: &str = "\u{3}";

#[test]
fn an_interrupt_leads_from_a_question_back_to_the_menu_which_makes_an_invite_and_asks_before_it_ends()
 {
    let village = Village::new();
    let oak = village.node("oak");
    let mut terminal = terminal_to_look_at();
    let mut command = oak.thorp(&["share", "--listen", "127.0.0.1:0"]);
    command
        .env("TERM", "xterm")
        .stdin(terminal.shown.try_clone().unwrap())
        .stdout(terminal.shown.try_clone().unwrap())
        .stderr(terminal.shown.try_clone().unwrap());
    let mut peer = command.spawn().unwrap();
    // What comes above the first question has it shown again.
    terminal.answer("Connection Established!", "");
    terminal.answer(MENU, "thorp invite\r");
    let made = terminal.answer(MENU, "1\r");
    let invite = made.find("thorp1").map(|at| &made[at..at + 40]);
    assert!(invite.is_some(), "{made}");
    terminal.answer("(with extension).\r\n> ", INTERRUPT);
    terminal.answer(MENU, INTERRUPT);
    terminal.answer("2. Cancel.\r\n> ", "2\r");
    terminal.answer(MENU, INTERRUPT);
    terminal.answer("2. Cancel.\r\n> ", INTERRUPT);
    let code = poll("it ends", PATIENCE, || peer.try_wait().unwrap());
    assert_eq!(code.code(), Some(0));
}

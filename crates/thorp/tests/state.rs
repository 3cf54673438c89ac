//! What is kept on disk survives everything: a kill at any moment, a second
//! process, an older program after a newer one. Played with the real program.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
use rustix::process::Uid;
use rustix::thread::set_thread_res_uid;

use crate::support::process::poll;
use crate::support::village::{listening, named, sharing};
use crate::support::{Node, PATIENCE, Running, Village, skip};

/// At how many moments a run is killed, from its beginning to its end.
const MOMENTS: u32 = 6;

/// Kills a run `moment` parts of [`MOMENTS`] into the time that a whole one takes.
/// When that is does not matter: it must turn out well whenever it is.
fn kill_at(moment: u32, whole: Duration, running: Running) {
    thread::sleep(whole * moment / MOMENTS);
    running.signal("KILL");
    running.finish(PATIENCE);
}

fn start_sharing(node: &Node) -> (Running, String) {
    let peer = node.start(&["share", "--lines", "--listen", "127.0.0.1:0"]);
    let at = sharing(&peer);
    (peer, at)
}

fn stop(node: &Node, running: Running) {
    node.run(&["stop"]).exits(0);
    running.finish(PATIENCE).exits(0);
}

fn invite(home: &Node) -> String {
    home.run(&["invite"]).exits(0).stdout
}

/// Puts an invite where `join` can read it.
fn hand_over(invite: &str, to: &Node) -> String {
    let file = to.state().with_file_name("invite");
    fs::write(&file, invite).unwrap();
    file.to_str().unwrap().to_owned()
}

/// Every file beneath a directory, with its bytes.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut contents = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            contents.extend(self::contents(&path));
        } else if entry.file_type().unwrap().is_file() {
            contents.insert(path.display().to_string(), fs::read(&path).unwrap());
        }
    }
    contents
}

#[test]
fn a_first_start_that_is_killed_is_begun_again() {
    let village = Village::new();
    let whole = {
        let node = village.node("whole");
        let begun = Instant::now();
        let (running, _) = start_sharing(&node);
        let whole = begun.elapsed();
        stop(&node, running);
        whole
    };
    for moment in 0..MOMENTS {
        let node = village.node(&format!("node-{moment}"));
        kill_at(
            moment,
            whole,
            node.start(&["share", "--lines", "--listen", "127.0.0.1:0"]),
        );
        let (running, _) = start_sharing(&node);
        invite(&node);
        stop(&node, running);
    }
}

#[test]
fn a_join_that_is_killed_on_either_side_is_begun_again_with_the_same_invite() {
    let village = Village::new();
    let home = village.node("home");
    let (mut running, at) = start_sharing(&home);
    // Invites name the port, so it has to be there again after a restart.
    let start_again = || {
        let peer = home.start(&["share", "--lines", "--listen", &at]);
        sharing(&peer);
        peer
    };
    let whole = {
        let guest = village.node("whole");
        let file = hand_over(&invite(&home), &guest);
        let begun = Instant::now();
        guest.run(&["join", &file]).exits(0);
        begun.elapsed()
    };
    for moment in 0..MOMENTS {
        // The guest is killed.
        let guest = village.node(&format!("guest-{moment}"));
        let file = hand_over(&invite(&home), &guest);
        kill_at(moment, whole, guest.start(&["join", &file]));
        guest.run(&["join", &file]).exits(0);
        // The tracker is killed, whatever it is writing just now.
        let guest = village.node(&format!("other-{moment}"));
        let file = hand_over(&invite(&home), &guest);
        let joining = guest.start(&["join", &file]);
        let inviting = home.start(&["invite"]);
        kill_at(moment, whole, running);
        joining.finish(PATIENCE);
        inviting.finish(PATIENCE);
        running = start_again();
        guest.run(&["join", &file]).exits(0);
        // No other machine gets in by it.
        let late = village.node(&format!("late-{moment}"));
        late.run(&["join", &file]).exits(9).says("used already");
    }
    stop(&home, running);
}

#[test]
fn a_removal_that_is_killed_on_either_side_is_made_up_for() {
    let village = Village::new();
    let home = village.node("home");
    let (mut running, at) = start_sharing(&home);
    let join = |name: &str| {
        let guest = village.node(name);
        let file = hand_over(&invite(&home), &guest);
        guest.run(&["join", &file, "--name", name]).exits(0);
        (guest, file)
    };
    let remove = |name: &str| home.start(&["remove", name, "--yes"]);
    let whole = {
        join("whole");
        let begun = Instant::now();
        remove("whole").finish(PATIENCE).exits(0);
        begun.elapsed()
    };
    for moment in 0..MOMENTS {
        let name = format!("guest-{moment}");
        let (guest, file) = join(&name);
        if moment % 2 == 0 {
            kill_at(moment, whole, remove(&name));
        } else {
            let removing = remove(&name);
            kill_at(moment, whole, running);
            removing.finish(PATIENCE);
            running = home.start(&["share", "--lines", "--listen", &at]);
            sharing(&running);
        }
        remove(&name).finish(PATIENCE).exits(0);
        guest
            .run(&["join", &file])
            .exits(9)
            .says("this machine was removed from the group");
        join(&format!("next-{moment}"));
    }
    stop(&home, running);
}

#[test]
fn a_restore_that_is_killed_is_begun_again_or_was_done() {
    let village = Village::new();
    let home = village.node("home");
    let (running, _) = start_sharing(&home);
    let guest = village.node("guest");
    let file = hand_over(&invite(&home), &guest);
    guest.run(&["join", &file]).exits(0);
    let backup = home.state().with_file_name("backup");
    let backup = backup.to_str().unwrap();
    home.run(&["tracker", "--backup", backup]).exits(0);
    stop(&home, running);
    let restore = ["tracker", "--restore", backup];
    let whole = {
        let begun = Instant::now();
        village.node("whole").run(&restore).exits(0);
        begun.elapsed()
    };
    for moment in 0..MOMENTS {
        let node = village.node(&format!("node-{moment}"));
        kill_at(moment, whole, node.start(&restore));
        let end = node.run(&restore);
        assert!(matches!(end.code, Some(0 | 4)), "{end}");
        let tracker = node.start(&["tracker", "--lines", "--listen", "127.0.0.1:0"]);
        let at = listening(&tracker);
        // A member of that group is one here.
        drop(guest.start_sharing(&at, "127.0.0.1:0"));
    }
}

#[test]
fn a_fetch_or_a_stop_that_is_killed_leaves_whole_files_only() {
    const FILES: usize = 40;
    let village = Village::new();
    let home = village.node("home");
    for number in 0..FILES {
        let byte = u8::try_from(number).unwrap();
        home.file(&format!("files/{number}"), vec![byte; 200_000]);
    }
    let (holder, _) = start_sharing(&home);
    let guest = village.node("guest");
    let file = hand_over(&invite(&home), &guest);
    guest.run(&["join", &file]).exits(0);
    let share = || guest.start(&["share", "--lines", "--listen", "127.0.0.1:0"]);
    let fetch = ["get", "files/*"];
    let whole = {
        let peer = share();
        sharing(&peer);
        let begun = Instant::now();
        guest.run(&fetch).exits(0);
        let whole = begun.elapsed();
        stop(&guest, peer);
        whole
    };
    let is_whole_or_hidden = || {
        for (path, bytes) in contents(&guest.share()) {
            let name = Path::new(&path).file_name().unwrap().to_str().unwrap();
            if name.starts_with(".thorp-") {
                continue;
            }
            let byte = name.parse::<u8>().unwrap();
            assert!(bytes == vec![byte; 200_000], "{path} is not whole");
        }
    };
    for moment in 0..MOMENTS {
        _ = fs::remove_dir_all(guest.share().join("files"));
        let peer = share();
        sharing(&peer);
        let get = guest.start(&fetch);
        if moment % 2 == 0 {
            kill_at(moment, whole, peer);
        } else {
            let stopping = guest.start(&["stop"]);
            kill_at(moment, whole / 4, peer);
            stopping.finish(PATIENCE);
        }
        get.finish(PATIENCE);
        is_whole_or_hidden();
        // It goes on where it was, and nothing is left over.
        let peer = share();
        sharing(&peer);
        guest.run(&fetch);
        stop(&guest, peer);
        is_whole_or_hidden();
        let names = contents(&guest.share());
        assert_eq!(names.len(), FILES, "{:?}", names.keys());
    }
    stop(&home, holder);
}

#[test]
fn a_share_that_is_killed_while_it_writes_hashes_down_is_hashed_to_the_end() {
    // So many that what was hashed is written down before all of it is.
    const FILES: usize = 4500;
    let village = Village::new();
    let node = village.node("node");
    let hashes = node.state().join("hashes");
    let written = || -> Vec<_> {
        let entries = fs::read_dir(&hashes).into_iter().flatten();
        // What goes while it is looked at has another name by then.
        let written = |entry: io::Result<fs::DirEntry>| {
            let entry = entry.ok()?;
            Some((entry.file_name(), entry.metadata().ok()?.modified().ok()?))
        };
        entries.filter_map(written).collect()
    };
    let status = || {
        let (_, events) = node.json(&["status"]);
        named(&events, "status").next().cloned()
    };
    let all_hashed = || {
        poll("all to be listed and hashed", PATIENCE, || {
            let status = status()?;
            (status["files"] == FILES && status["unhashed"] == 0).then_some(status)
        })
    };
    let undamaged = |running: &Running| {
        let told = running.transcript();
        assert!(!told.contains("Warning"), "{told}");
        for (name, _) in written() {
            let name = name.to_string_lossy();
            assert!(!name.ends_with("damaged"), "{name} was set aside");
        }
    };
    for number in 0..FILES {
        node.file(&format!("{}/{number}", number / 100), number.to_string());
    }
    for moment in 0..MOMENTS {
        // Whatever was written down before: all are to be hashed.
        for path in contents(&node.share()).keys() {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let mut before = written();
        let running = node.start(&["share", "--lines", "--listen", "127.0.0.1:0"]);
        // While the file is opened, or later, while what was hashed is put into it.
        if moment % 2 == 1 {
            sharing(&running);
            before = written();
        }
        poll("something to be written down", PATIENCE, || {
            (written() != before).then_some(())
        });
        running.signal("KILL");
        undamaged(&running);
        running.finish(PATIENCE);
    }
    let (running, _) = start_sharing(&node);
    all_hashed();
    undamaged(&running);
    stop(&node, running);
    let (running, _) = start_sharing(&node);
    assert_eq!(all_hashed()["opened"], 0, "all was written down");
    undamaged(&running);
    stop(&node, running);
}

#[test]
fn a_leave_that_is_killed_is_begun_again_or_was_done() {
    let village = Village::new();
    let home = village.node("home");
    let (running, _) = start_sharing(&home);
    for leave in [&["leave"][..], &["leave", "--purge"]] {
        let mut whole = Duration::ZERO;
        // The first one is not killed.
        for moment in 0..=MOMENTS {
            let guest = village.node("guest");
            let file = hand_over(&invite(&home), &guest);
            guest.run(&["join", &file]).exits(0);
            let (peer, _) = start_sharing(&guest);
            let begun = Instant::now();
            let leaving = guest.start(leave);
            if moment == 0 {
                leaving.finish(PATIENCE).exits(0);
                whole = begun.elapsed();
            } else {
                kill_at(moment - 1, whole, leaving);
                let end = guest.run(leave);
                assert!(matches!(end.code, Some(0 | 9)), "{end}");
            }
            peer.finish(PATIENCE).exits(0);
            guest.run(&["get", "a.txt"]).exits(9);
        }
    }
    stop(&home, running);
}

#[test]
fn newer_state_is_refused_unharmed() {
    let village = Village::new();
    let node = village.node("node");
    let (running, _) = start_sharing(&node);
    stop(&node, running);
    fs::write(node.state().join("thorp-state"), "99\n").unwrap();
    // The lock is for all processes, and says who has it.
    let kept = || {
        let mut kept = contents(&node.state());
        kept.retain(|path, _| !path.ends_with("/lock"));
        kept
    };
    let before = kept();
    for verb in [&["share"][..], &["get", "a"]] {
        let end = node.run(verb);
        assert_ne!(end.code, Some(0), "{verb:?}");
        end.says("written by a newer thorp")
            .says("nothing was changed");
        assert!(kept() == before, "{verb:?}");
    }
}

#[test]
fn a_tracker_and_a_peer_take_no_state_directory_of_the_other_kind() {
    let village = Village::new();
    let (home, alone) = (village.node("home"), village.node("alone"));
    let (running, _) = start_sharing(&home);
    stop(&home, running);
    let tracker = alone.start(&["tracker", "--lines", "--listen", "127.0.0.1:0"]);
    listening(&tracker);
    stop(&alone, tracker);
    for (node, verb, why) in [
        (&home, "tracker", "is the state directory of a peer"),
        (&alone, "share", "is the state directory of a tracker"),
    ] {
        let before = contents(&node.state());
        node.run(&[verb, "--lines"]).exits(1).says(why);
        assert_eq!(contents(&node.state()), before);
    }
    let tracker = alone.start(&["tracker", "--lines", "--listen", "127.0.0.1:0"]);
    listening(&tracker);
    stop(&alone, tracker);
}

/// Another user's number.
const OTHER: u32 = 4242;

#[test]
fn a_state_directory_of_another_user_is_refused_whatever_is_typed() {
    let village = Village::new();
    let node = village.node("node");
    let (running, _) = start_sharing(&node);
    stop(&node, running);
    if chown(node.state(), Some(OTHER), None).is_err() {
        return skip(
            "a_state_directory_of_another_user_is_refused_whatever_is_typed",
            "root",
        );
    }
    let before = contents(&node.state());
    for typed in [
        &["share"][..],
        &["tracker"],
        &["get", "a"],
        &["ls"],
        &["status"],
        &["stop"],
        &["members"],
        &["leave", "--purge", "--yes"],
    ] {
        let end = node.run(typed).exits(1);
        end.says("belongs to another user (its number is 4242)");
        assert!(contents(&node.state()) == before, "{typed:?}");
    }
}

#[test]
fn a_state_directory_may_lie_in_a_directory_of_another_user() {
    let village = Village::new();
    let node = village.node("node");
    let srv = node.state().with_file_name("srv");
    fs::create_dir(&srv).unwrap();
    // Nor is it taken for a peer's because of what lies there.
    fs::write(srv.join("thorp-state"), "1\n").unwrap();
    if chown(&srv, Some(OTHER), None).is_err() {
        return skip(
            "a_state_directory_may_lie_in_a_directory_of_another_user",
            "root",
        );
    }
    let at = |name: &str| srv.join(name).display().to_string();
    for name in ["x", "tracker"] {
        node.run(&["members", "--state", &at(name)])
            .exits(9)
            .says("is not a member of a group, and keeps none");
    }
    let state = at("tracker");
    let listen = ["--lines", "--listen", "127.0.0.1:0", "--state", &state];
    let tracker = node.start(&[&["tracker"], &listen[..]].concat());
    listening(&tracker);
    node.run(&["invite", "--state", &state]).exits(0);
    node.run(&["members", "--state", &state]).exits(0);
    node.run(&["stop", "--state", &state]).exits(0);
    tracker.finish(PATIENCE).exits(0);
    // Without a process that runs there, the directory itself is looked into.
    node.run(&["members", "--state", &state]).exits(0);
}

#[test]
fn a_socket_that_another_user_serves_is_told_nothing() {
    let test = "a_socket_that_another_user_serves_is_told_nothing";
    let village = Village::new();
    let node = village.node("node");
    let (running, _) = start_sharing(&node);
    stop(&node, running);
    let at = node.state().join("socket");
    let (listens, listening) = mpsc::channel();
    let (told, heard) = mpsc::channel();
    thread::spawn(move || {
        let socket = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        bind(&socket, &SocketAddrUnix::new(&at).unwrap()).unwrap();
        let other = Uid::from_raw(OTHER);
        // Of this thread alone.
        let is_root = set_thread_res_uid(other, other, other).is_ok();
        listen(&socket, 8).unwrap();
        listens.send(is_root).unwrap();
        let listener = UnixListener::from(socket);
        for stream in listener.incoming().take(2) {
            let mut said = Vec::new();
            stream.unwrap().read_to_end(&mut said).unwrap();
            told.send(said).unwrap();
        }
    });
    if !listening.recv().unwrap() {
        return skip(test, "root");
    }
    for typed in [&["status"][..], &["ls"]] {
        node.run(typed);
    }
    assert_eq!(heard.iter().collect::<Vec<_>>(), [b"", b""]);
}

#[test]
fn nothing_of_a_state_directory_is_written_through_a_link() {
    let village = Village::new();
    let node = village.node("node");
    let (running, _) = start_sharing(&node);
    stop(&node, running);
    node.file("a", "a");
    let elsewhere = node.share().with_file_name("elsewhere");
    fs::write(&elsewhere, "forty pages").unwrap();
    for kept in [
        "log",
        "hashes",
        "neighbours.json",
        "token",
        "seen.json",
        "lock",
    ] {
        let path = node.state().join(kept);
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        symlink(&elsewhere, &path).unwrap();
        let end = node.run(&["share", "--detach", "--listen", "127.0.0.1:0"]);
        if end.code == Some(0) {
            node.run(&["stop"]).exits(0);
        } else {
            end.says("is a link, no plain file, or another user's");
        }
        assert_eq!(fs::read(&elsewhere).unwrap(), b"forty pages", "{kept}");
        let _ = fs::remove_file(&path);
    }
}

#[test]
fn a_second_process_is_told_which_one_has_the_state_directory() {
    let village = Village::new();
    let node = village.node("node");
    let (running, _) = start_sharing(&node);
    let owner = format!("in use by process {}:", running.id());
    node.run(&["share"]).exits(1).says(&owner);
    node.run(&[
        "tracker",
        "--state",
        &node.state().join("tracker").display().to_string(),
    ])
    .exits(1)
    .says(&owner);
    // The first one does not notice.
    stop(&node, running);
    // And no user is told of a process that has gone.
    let (running, _) = start_sharing(&node);
    let owner = format!("in use by process {}:", running.id());
    running.signal("KILL");
    running.finish(PATIENCE);
    let (running, _) = start_sharing(&node);
    let end = node.run(&["share"]).exits(1);
    assert!(!end.stderr.contains(&owner), "{end}");
    stop(&node, running);
}

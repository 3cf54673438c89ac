//! The screens of `share` and `tracker` in a real terminal, played by tmux: keys as a user types
//! them, and what is seen then.

use crate::support::process::poll;
use crate::support::{Node, PATIENCE, Tmux, Village};

/// The sizes that are tried, in columns and lines.
const SIZES: [(u16, u16); 4] = [(60, 15), (80, 24), (132, 43), (200, 60)];

const SHARE: [&str; 3] = ["share", "--listen", "127.0.0.1:0"];
const TRACKER: [&str; 4] = ["tracker", "--open", "--listen", "127.0.0.1:0"];

/// Returns the numbers of the colours and attributes in what a terminal shows.
fn codes(painted: &str) -> Vec<u8> {
    let sequences = painted.split("\u{1b}[").skip(1);
    let sequences = sequences.filter_map(|text| text.split_once('m'));
    let numbers = sequences.flat_map(|(codes, _)| codes.split(';'));
    numbers.filter_map(|code| code.parse().ok()).collect()
}

fn lines_of(shown: &str) -> usize {
    shown.trim_end_matches('\n').lines().count()
}

/// A node with some files.
fn node(village: &Village, name: &str) -> Node {
    let node = village.node(name);
    for name in ["1.txt", "photos/a.jpg", "photos/b.jpg"] {
        node.file(name, format!("This is {name}."));
    }
    node
}

#[test]
fn the_menu_is_the_first_tab_and_a_key_leads_to_the_others_and_back() {
    let test = "the_menu_is_the_first_tab_and_a_key_leads_to_the_others_and_back";
    let village = Village::new();
    let node = node(&village, "peer");
    let Some(tmux) = Tmux::start(test, &node, &SHARE, (80, 24), "") else {
        return;
    };
    let menu = tmux.shows("2. Leave.");
    assert!(menu.contains("Tab shows files"), "{menu}");
    // What was typed is there again afterwards.
    tmux.press(&["get", "Space", "1.t"]);
    tmux.shows("> get 1.t");
    tmux.press(&["Tab"]);
    tmux.until("the files instead of the menu", |shown| {
        ["2 Files", "\nphotos/"].iter().all(|of| shown.contains(of)) && !shown.contains("2. Leave.")
    });
    tmux.press(&["Enter"]);
    tmux.shows("\na.jpg");
    tmux.press(&["/"]);
    tmux.press(&["b", "."]);
    tmux.until("one file", |shown| {
        ["/ b.▏", "\nb.jpg"].iter().all(|of| shown.contains(of)) && !shown.contains("a.jpg")
    });
    tmux.press(&["Escape"]);
    tmux.shows("\na.jpg");
    tmux.press(&["?"]);
    tmux.shows("out of the folder");
    tmux.press(&["Escape"]);
    tmux.until("the end of the help", |shown| {
        !shown.contains("out of the folder")
    });
    for (key, what) in [
        ("3", "Nothing is on its way"),
        ("4", "No neighbours yet"),
        ("5", "in the last hour"),
        ("6", "Messages"),
    ] {
        tmux.press(&[key]);
        tmux.shows(what);
    }
    tmux.press(&["Escape"]);
    let menu = tmux.shows("> get 1.t");
    assert!(menu.contains("What you wish to do?"), "{menu}");
    tmux.press(&["C-u"]);
    tmux.press(&["2", "Enter"]);
    tmux.shows("ended: 0");
}

#[test]
fn what_ends_a_peer_asks_and_the_terminal_is_as_it_was() {
    let test = "what_ends_a_peer_asks_and_the_terminal_is_as_it_was";
    let village = Village::new();
    let node = node(&village, "peer");
    let Some(tmux) = Tmux::start(test, &node, &SHARE, (80, 24), "") else {
        return;
    };
    tmux.shows("2. Leave.");
    tmux.press(&["Tab"]);
    tmux.shows("2 Files");
    tmux.press(&["q"]);
    tmux.shows("y ends");
    tmux.press(&["n"]);
    tmux.until("no question", |shown| !shown.contains("y ends"));
    tmux.press(&["C-c"]);
    tmux.shows("y ends");
    tmux.press(&["y"]);
    let after = tmux.shows("ended: 0");
    // The menu is where it was, and the terminal shows what is typed.
    assert!(after.contains("What you wish to do?"), "{after}");
    tmux.press(&["typed"]);
    tmux.shows("typed");
}

#[test]
fn a_file_is_fetched_by_a_key_and_comes_into_the_share() {
    let test = "a_file_is_fetched_by_a_key_and_comes_into_the_share";
    let village = Village::new();
    let (_tracker, at) = village.tracker();
    let holder = village.node("holder");
    holder.file("2.txt", "two");
    let _holding = holder.start_sharing(&at, "127.0.0.1:0");
    let node = village.node("peer");
    node.file("1.txt", "one");
    let args = [&SHARE[..], &["--tracker", &at]].concat();
    let Some(tmux) = Tmux::start(test, &node, &args, (80, 24), "") else {
        return;
    };
    tmux.shows("2. Leave.");
    tmux.press(&["Tab"]);
    tmux.shows("1.txt");
    // The holder is no neighbour yet, so all peers are asked.
    tmux.press(&["a"]);
    tmux.shows("2.txt");
    tmux.press(&["End"]);
    tmux.press(&["Enter"]);
    tmux.shows("2.txt  3 B  from ");
    assert_eq!(node.bytes("2.txt"), b"two");
    tmux.press(&["4"]);
    tmux.shows("127.0.0.1");
    // At the menu it is told as well.
    tmux.press(&["1"]);
    tmux.until("the menu, below what has come", |shown| {
        ["2.txt  3 B  from ", "2. Leave."]
            .iter()
            .all(|of| shown.contains(of))
    });
}

#[test]
fn the_tabs_of_a_tracker_follow_what_changes() {
    let test = "the_tabs_of_a_tracker_follow_what_changes";
    let village = Village::new();
    let node = village.node("tracker");
    let Some(tmux) = Tmux::start(test, &node, &TRACKER, (80, 24), "") else {
        return;
    };
    tmux.shows("Waiting for a connection...");
    let status = poll("where it listens", PATIENCE, || {
        let (_, events) = node.json(&["status"]);
        events.into_iter().find(|event| event["event"] == "tracker")
    });
    let listen = status["listen"].as_str().unwrap().to_owned();
    let peer = village.node("peer");
    peer.file("1.txt", "one");
    let sharing = peer.start_sharing(&listen, "127.0.0.1:0");
    tmux.until("the tables", |shown| {
        ["List of Peers", "│1.txt", "1 Tables"]
            .iter()
            .all(|of| shown.contains(of))
    });
    tmux.press(&["2"]);
    tmux.shows("Key ");
    tmux.press(&["3"]);
    tmux.shows("thorp tracker --bittorrent");
    tmux.press(&["4"]);
    tmux.shows("no lookups yet");
    tmux.press(&["5"]);
    tmux.shows("has joined");
    tmux.press(&["2"]);
    tmux.shows("Key ");
    sharing.signal("INT");
    sharing.finish(PATIENCE).exits(0);
    tmux.shows("Waiting for a connection...");
    tmux.press(&["q"]);
    tmux.shows("End the tracker of this group");
    tmux.press(&["y"]);
    tmux.shows("ended: 0");
}

#[test]
fn every_tab_fits_every_size_and_follows_a_new_one() {
    let test = "every_tab_fits_every_size_and_follows_a_new_one";
    let village = Village::new();
    let peer = node(&village, "peer");
    let Some(tmux) = Tmux::start(test, &peer, &SHARE, SIZES[0], "") else {
        return;
    };
    tmux.shows("2. Leave.");
    tmux.press(&["Tab"]);
    let seen = [
        ("2", "photos/"),
        ("3", "Nothing is on its way"),
        ("4", "No neighbours yet"),
        ("5", "in the last hour"),
        ("6", "Neighbours: none"),
    ];
    for size @ (width, height) in SIZES {
        tmux.resize(size);
        for (key, what) in &seen[..4] {
            tmux.press(&[key]);
            let shown = tmux.until(&format!("{what} at {width}x{height}"), |shown| {
                let last = shown.trim_end_matches('\n').lines().last();
                shown.contains(what)
                    && lines_of(shown) == usize::from(height)
                    && last.is_some_and(|last| last.starts_with("1 Menu"))
            });
            assert!(
                shown.lines().next().unwrap().starts_with("thorp share"),
                "{shown}"
            );
        }
    }
    // Smaller than anything that is promised: nothing breaks.
    tmux.resize((20, 4));
    tmux.shows("thorp share");
    tmux.resize((80, 24));
    tmux.shows("1 Menu");
}

#[test]
fn without_colour_the_same_is_seen() {
    let test = "without_colour_the_same_is_seen";
    let village = Village::new();
    for (env, is_coloured) in [("NO_COLOR=1", false), ("", true)] {
        let peer = node(&village, if is_coloured { "coloured" } else { "plain" });
        let Some(tmux) = Tmux::start(test, &peer, &SHARE, (80, 24), env) else {
            return;
        };
        tmux.shows("2. Leave.");
        tmux.press(&["Tab"]);
        tmux.shows("photos/");
        let painted = tmux.painted();
        let has = |is_it: fn(u8) -> bool| codes(&painted).into_iter().any(is_it);
        let is_colour = |code| matches!(code, 30..=38 | 40..=48 | 90..=107);
        assert_eq!(has(is_colour), is_coloured, "{painted}");
        // The chosen row is inverse, which needs none.
        assert!(has(|code| code == 7), "{painted}");
        tmux.press(&["q"]);
        tmux.shows("y ends");
        tmux.press(&["y"]);
        tmux.shows("ended: 0");
    }
}

#[test]
fn a_log_that_takes_the_menus_place_says_so_and_how_to_have_both() {
    let test = "a_log_that_takes_the_menus_place_says_so_and_how_to_have_both";
    let village = Village::new();
    let peer = node(&village, "peer");
    let Some(tmux) = Tmux::start(test, &peer, &SHARE, (80, 24), "RUST_LOG=thorp_node=warn") else {
        return;
    };
    let said = tmux.shows("RUST_LOG asks for a log on this terminal");
    assert!(said.contains("2> thorp.log"), "{said}");
    tmux.press(&["C-c"]);
    tmux.shows("ended: 0");
}

#[test]
fn a_terminal_that_cannot_draw_gets_the_menu() {
    let test = "a_terminal_that_cannot_draw_gets_the_menu";
    let village = Village::new();
    let peer = node(&village, "peer");
    let Some(tmux) = Tmux::start(test, &peer, &SHARE, (80, 24), "TERM=dumb") else {
        return;
    };
    let menu = tmux.shows("2. Leave.");
    assert!(!menu.contains("Tab shows"), "{menu}");
    tmux.press(&["1", "Enter"]);
    tmux.shows("Please type the file name (with extension).");
    tmux.press(&["1.txt", "Enter"]);
    tmux.shows("File with same name exists in the same directory!");
    tmux.press(&["3", "Enter"]);
    tmux.shows("nothing was changed");
    // Ctrl-C asks, as everywhere.
    tmux.press(&["C-c"]);
    tmux.shows("This ends sharing here");
    tmux.press(&["1", "Enter"]);
    tmux.shows("ended: 0");
}

#[test]
fn what_is_typed_during_a_fetch_leaves_nothing_of_its_bar_behind() {
    let test = "what_is_typed_during_a_fetch_leaves_nothing_of_its_bar_behind";
    let village = Village::new();
    let (_tracker, at) = village.tracker();
    let (holder, wants) = (village.node("holder"), village.node("wants"));
    holder.file("large.bin", vec![7; 3_000_000]);
    let holding = holder.start_sharing(&at, "127.0.0.2:0");
    holder.all_hashed(1);
    let _waiting = wants.start_sharing(&at, "127.0.0.3:0");
    holding.signal("STOP");
    let get = ["get", "large.bin"];
    let Some(terminal) = Tmux::start(test, &wants, &get, (80, 20), "") else {
        return;
    };
    terminal.shows("silent for");
    terminal.press(&["a", "b", "Tab", "c", "Tab", "d"]);
    holding.signal("CONT");
    let shown = terminal.shows("ended: 0");
    assert!(shown.contains("large.bin"), "{shown}");
    assert!(!shown.contains("silent for"), "{shown}");
}

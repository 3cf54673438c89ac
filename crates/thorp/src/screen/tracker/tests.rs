//! The story's tables as the screen draws them, and the keys.

use crossterm::event::KeyModifiers;

use super::*;
use crate::samples;
use crate::screen;
use crate::story::{self, Shown};
use thorp_node::api::{Lookups, SwarmTotals, TrackerStatus};
use thorp_node::launch::Tracks;
use thorp_node::snapshot::MemberRef;

/// A screen, and what its tracker shows.
struct Screened {
    screen: Screen,
    shown: Shown,
}

fn screen(shown: Shown) -> Screened {
    let door = Door {
        tracker: "192.168.198.138".into(),
        open: true,
        ca: "d".repeat(52),
        invite: None,
        at: String::new(),
    };
    let screen = Screen::new(door, false);
    Screened { screen, shown }
}

fn drawn(Screened { screen, shown }: &mut Screened, width: u16, height: u16) -> String {
    let asks = screen.asks(width, height);
    screen.take(asks.map(|ask| shown.page(&ask)));
    screen::drawn(width, height, |frame| screen.draw(frame))
}

#[test]
fn it_is_said_why_a_tracker_is_not_suspended_and_what_to_do() {
    let mut screened = screen(many(1));
    let key = KeyEvent::new(KeyCode::Char('z'), KeyModifiers::CONTROL);
    assert_eq!(screened.screen.key(key), Leave::No);
    let text = drawn(&mut screened, 140, 30);
    assert!(text.contains("q, then thorp tracker --detach"), "{text}");
}

fn press(Screened { screen, .. }: &mut Screened, code: KeyCode) -> Leave {
    screen.key(KeyEvent::new(code, KeyModifiers::NONE))
}

/// Returns the number of the first visible row among all rows.
fn top<R>(slice: &Slice<R>) -> usize {
    let start = usize::try_from(slice.scroll.start).expect("a number");
    start + slice.scroll.first
}

fn many(peers: usize) -> Shown {
    let addresses: Vec<_> = (0..peers).map(|n| format!("10.0.0.{n}")).collect();
    let rows: Vec<(&str, &[&str], &[&str])> = addresses
        .iter()
        .map(|a| (a.as_str(), &["x.txt"][..], &[][..]))
        .collect();
    Shown::of(&rows)
}

/// Returns the head once the tracker's status is this.
fn head_with(screened: &mut Screened, status: TrackerStatus) -> String {
    let asks = screened.screen.asks(100, 17);
    let mut pages = asks.map(|ask| screened.shown.page(&ask));
    pages[4].rows = vec![SnapshotRow::Tracker(status)];
    screened.screen.take(pages);
    screened.screen.title(100)
}

#[test]
fn the_head_counts_the_torrents_of_ordinary_clients_where_they_are_served() {
    let mut status = samples::tracker_status();
    status.bittorrent = Tracks::Any;
    status.swarms = SwarmTotals {
        torrents: 2,
        seeders: 1,
        leechers: 5,
        announces: 9,
    };
    let mut screened = screen(story::first());
    let counted = "2 torrents, 1 seeder, 5 leechers";
    let head = head_with(&mut screened, status.clone());
    assert!(head.contains(counted), "{head}");
    status.bittorrent = Tracks::Off;
    let head = head_with(&mut screened, status);
    assert!(!head.contains("torrent"), "{head}");
}

#[test]
fn the_head_says_what_share_of_lookups_the_tracker_was_spared() {
    let mut screened = screen(story::first());
    let hour = "spared 75% of lookups this hour";
    assert!(
        !drawn(&mut screened, 100, 17).contains("spared"),
        "none yet"
    );
    let mut status = samples::tracker_status();
    status.counts.spared.last_hour = Lookups {
        lookups: 4,
        spared: 3,
    };
    status.bittorrent = Tracks::Off;
    assert_eq!(
        head_with(&mut screened, status),
        format!("thorp tracker  open group  192.168.198.138  2 peers, 5 files  {hour}")
    );
    let head = "thorp tracker  open group  192.168.198.138  2 peers, 5 files";
    for (width, end) in [
        (90, "  spared 75% of lookups"),
        (75, "  spared 75%"),
        (65, ""),
    ] {
        assert_eq!(screened.screen.title(width), format!("{head}{end}"));
    }
}

#[test]
fn the_tables_of_the_story() {
    let text = drawn(&mut screen(story::first()), 76, 17);
    let expected = "\
thorp tracker  open group  192.168.198.138  2 peers, 5 files
On another machine: thorp share --tracker 192.168.198.138
┌ List of Peers ───────────────────────────────────────────────────────────┐
│Peer             File List                          Neighbours            │
│192.168.198.138  1.txt 2.txt 3.txt client           192.168.198.139       │
│192.168.198.139  3.txt 4.txt client                 192.168.198.138       │
└──────────────────────────────────────────────────────────────────────────┘
┌ List of Files ───────────────────────────────────────────────────────────┐
│File Name        Held by                                                  │
│1.txt            192.168.198.138                                          │
│2.txt            192.168.198.138                                          │
│3.txt            192.168.198.138 192.168.198.139                          │
│4.txt            192.168.198.139                                          │
│client           192.168.198.138 192.168.198.139                          │
│                                                                          │
└──────────────────────────────────────────────────────────────────────────┘
1 Tables  2 Peers  3 Swarms  4 Claim  5 Messages   ? help  q leave
";
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn an_empty_tracker_says_that_it_waits() {
    let text = drawn(&mut screen(Shown::default()), 100, 12);
    assert!(text.contains("Waiting for a connection..."), "{text}");
}

#[test]
fn a_column_is_as_wide_as_its_present_rows() {
    let head = |text: &str| {
        let line = text.lines().find(|line| line.contains("File Name"));
        line.map(|line| line.find("Held by").expect("the next column"))
    };
    let name = "a name that is much longer than the others";
    let narrow = Shown::of(&[("10.0.0.1", &["x.txt"], &[])]);
    let wide = Shown::of(&[("10.0.0.1", &["x.txt", name], &[])]);
    let mut screen = screen(narrow.clone());
    let before = head(&drawn(&mut screen, 100, 20));
    screen.shown = wide;
    let meanwhile = head(&drawn(&mut screen, 100, 20));
    assert!(meanwhile > before, "{meanwhile:?}");
    for shown in [narrow, Shown::default()] {
        screen.shown = shown;
        assert_eq!(head(&drawn(&mut screen, 100, 20)), before);
    }
}

#[test]
fn narrow_and_tiny_screens_are_drawn() {
    for (width, height) in [(40, 12), (20, 6), (5, 3), (1, 1)] {
        drawn(&mut screen(story::then()), width, height);
    }
    let text = drawn(&mut screen(story::then()), 50, 30);
    assert!(
        text.contains("│                 6.txt client    192.168.198.138│"),
        "{text}"
    );
    assert!(text.contains("│client           192.168.198.137"), "{text}");
}

#[test]
fn a_low_screen_shows_the_chosen_table_with_a_row_in_it() {
    let mut screen = screen(many(3));
    for (width, height) in [(80, 10), (10, 5), (80, 7), (80, 9)] {
        let text = drawn(&mut screen, width, height);
        assert!(text.contains("│1"), "{text}");
        assert!(!text.contains("-0 of") && !text.contains("└-"), "{text}");
        assert!(!text.contains("Held by"), "{text}");
    }
    press(&mut screen, KeyCode::Tab);
    let text = drawn(&mut screen, 80, 10);
    assert!(
        text.contains("│x.txt ") && !text.contains("Peer "),
        "{text}"
    );
    // If there is no room for a row, the number of rows is not shown.
    press(&mut screen, KeyCode::Tab);
    for height in 1..5 {
        let text = drawn(&mut screen, 80, height);
        assert!(!text.contains(" of 3"), "{text}");
    }
}

#[test]
fn a_row_of_several_lines_is_cut_to_the_room() {
    let names: Vec<_> = (0..30).map(|n| format!("a longer name {n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let shown = Shown::of(&[("10.0.0.1", &names, &[]), ("10.0.0.2", &names, &[])]);
    let text = drawn(&mut screen(shown), 80, 7);
    assert!(
        text.contains("│10.0.0.1 ") && text.contains(" more"),
        "{text}"
    );
}

#[test]
fn scrolling_stops_at_both_ends() {
    let mut screen = screen(many(40));
    let text = drawn(&mut screen, 80, 20);
    assert!(
        text.contains("│10.0.0.0 ") && text.contains(" of 40 "),
        "{text}"
    );
    press(&mut screen, KeyCode::Up);
    assert_eq!(top(&screen.screen.peers), 0);
    let page = screen.screen.peers.scroll.shown;
    press(&mut screen, KeyCode::PageDown);
    drawn(&mut screen, 80, 20);
    assert_eq!(top(&screen.screen.peers), page);
    press(&mut screen, KeyCode::End);
    let text = drawn(&mut screen, 80, 20);
    assert!(
        text.contains("│10.0.0.39 ") && text.contains("-40 of 40 "),
        "{text}"
    );
    press(&mut screen, KeyCode::Down);
    drawn(&mut screen, 80, 20);
    assert_eq!(
        top(&screen.screen.peers),
        40 - screen.screen.peers.scroll.shown
    );
    press(&mut screen, KeyCode::Home);
    drawn(&mut screen, 80, 20);
    assert_eq!(top(&screen.screen.peers), 0);
}

#[test]
fn a_table_of_ten_thousand_is_scrolled_to_either_end_and_back() {
    let addresses: Vec<_> = (0..10_000)
        .map(|n| format!("10.0.{}.{}", n / 100, n % 100))
        .collect();
    let rows: Vec<(&str, &[&str], &[&str])> = addresses
        .iter()
        .map(|address| (address.as_str(), &["x.txt"][..], &[][..]))
        .collect();
    let mut screen = screen(Shown::of(&rows));
    let text = drawn(&mut screen, 80, 20);
    let page = screen.screen.peers.scroll.shown;
    let shows = |text: &str, first: usize, of: usize| {
        let range = format!(" {first}-{} of {of} ", first + page - 1);
        assert!(text.contains(&range), "{range}\n{text}");
    };
    shows(&text, 1, 10_000);
    for _ in 0..30 {
        press(&mut screen, KeyCode::PageDown);
        drawn(&mut screen, 80, 20);
    }
    let text = drawn(&mut screen, 80, 20);
    shows(&text, 30 * page + 1, 10_000);
    let first = format!("│{} ", addresses[30 * page]);
    assert!(text.contains(&first), "{text}");
    // Peers that come or go above the visible rows do not move them.
    screen.shown.peers.remove(0);
    let text = drawn(&mut screen, 80, 20);
    assert!(text.contains(&first), "{text}");
    let held = screen.screen.peers.rows.len();
    assert!(held <= 60, "only what is around it, not {held}");
    press(&mut screen, KeyCode::End);
    let text = drawn(&mut screen, 80, 20);
    shows(&text, 10_000 - page, 9999);
    press(&mut screen, KeyCode::PageUp);
    let text = drawn(&mut screen, 80, 20);
    shows(&text, 10_000 - 2 * page, 9999);
    press(&mut screen, KeyCode::Home);
    let text = drawn(&mut screen, 80, 20);
    shows(&text, 1, 9999);
    assert!(text.contains("│10.0.0.1 "), "{text}");
}

#[test]
fn a_shrinking_table_pulls_the_window_along() {
    let mut screen = screen(many(40));
    press(&mut screen, KeyCode::End);
    drawn(&mut screen, 80, 20);
    screen.shown = many(3);
    let text = drawn(&mut screen, 80, 20);
    assert_eq!(top(&screen.screen.peers), 0);
    assert!(text.contains("│10.0.0.2 "), "{text}");
}

#[test]
fn tab_moves_the_other_table() {
    let mut screen = screen(many(40));
    press(&mut screen, KeyCode::Tab);
    press(&mut screen, KeyCode::Down);
    assert_eq!(
        (top(&screen.screen.peers), top(&screen.screen.files)),
        (0, 1)
    );
    press(&mut screen, KeyCode::BackTab);
    assert_eq!(screen.screen.focus, Focus::Peers);
}

#[test]
fn ways_to_leave() {
    let mut screen = screen(story::alone());
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(press(&mut screen, KeyCode::Char('c')), Leave::No);
    for leaving in [
        KeyEvent::from(KeyCode::Char('q')),
        KeyCode::Esc.into(),
        interrupt,
    ] {
        assert_eq!(screen.screen.key(leaving), Leave::No);
        let text = drawn(&mut screen, 80, 14);
        assert!(
            text.starts_with("End the tracker of this group (1 peer)? y ends it"),
            "{text}"
        );
        assert_eq!(press(&mut screen, KeyCode::Char('n')), Leave::No);
        assert!(!drawn(&mut screen, 80, 14).contains("End the tracker"));
        for yes in [KeyEvent::from(KeyCode::Char('y')), interrupt] {
            screen.screen.key(leaving);
            assert_eq!(screen.screen.key(yes), Leave::Yes);
        }
    }
}

#[test]
fn names_cannot_draw() {
    let text = drawn(
        &mut screen(Shown::of(&[("10.0.0.1", &["a\x1b[2Jb"], &[])])),
        80,
        14,
    );
    assert!(text.contains("a\\x1b[2Jb"), "{text}");
}

#[test]
fn if_all_files_are_kept_numbers_in_names_count_as_numbers() {
    let names = ["h10.txt", "h2.txt", "h1.txt"];
    let mut screen = screen(Shown::of(&[("10.0.0.1", &names, &[])]));
    let text = drawn(&mut screen, 80, 20);
    let at = |name: &str| text.rfind(name).expect(name);
    assert!(
        at("h1.txt") < at("h2.txt") && at("h2.txt") < at("h10.txt"),
        "{text}"
    );
    // Whichever row is at the top.
    press(&mut screen, KeyCode::Tab);
    for key in [KeyCode::Down, KeyCode::End, KeyCode::Up, KeyCode::Home] {
        press(&mut screen, key);
        assert_eq!(
            drawn(&mut screen, 80, 20).matches(".txt").count(),
            6,
            "{text}"
        );
        assert_eq!(screen.screen.files.rows[1].name, "h2.txt");
    }
}

#[test]
fn two_peers_of_one_machine_are_told_apart_by_their_names() {
    let mut shown = Shown::of(&[("10.0.0.1", &["1.txt"], &[])]);
    let at = |name: &str, port: u16| MemberRef {
        id: name.repeat(52),
        name: Some(name.into()),
        address: Some(([10, 0, 0, 1], port).into()),
        shares_address: true,
    };
    shown.files[0].holders = vec![at("oak", 3334), at("elm", 3335)];
    shown.files[0].holders_total = 2;
    let text = drawn(&mut screen(shown), 80, 20);
    assert!(text.contains("oak elm"), "{text}");
}

#[test]
fn a_row_that_is_too_high_for_the_rest_of_its_table_is_shown_in_part() {
    let names: Vec<String> = (0..40).map(|n| format!("file-number-{n}.txt")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let shown = Shown::of(&[("10.0.0.1", &["a"], &[]), ("10.0.0.2", &names, &[])]);
    let text = drawn(&mut screen(shown), 60, 15);
    let (peers, _) = text.split_once("List of Files").expect("both tables");
    assert!(peers.contains("10.0.0.2"), "{text}");
    assert!(peers.contains("more"), "{text}");
}

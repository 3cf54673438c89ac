//! The story's tables as the screen draws them, and the keys.

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::story;

fn screen(view: TrackerView) -> Screen {
    let door = Door {
        tracker: "192.168.198.138".into(),
        open: true,
        ca: "d".repeat(52),
        invite: None,
    };
    let mut screen = Screen::new(door, false);
    screen.view = Arc::new(view);
    screen
}

fn drawn(screen: &mut Screen, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a backend");
    terminal.draw(|frame| screen.draw(frame)).expect("drawn");
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for row in buffer.content().chunks(usize::from(width)) {
        let line: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn press(screen: &mut Screen, code: KeyCode) -> Leave {
    screen.key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn many(peers: usize) -> TrackerView {
    let addresses: Vec<_> = (0..peers).map(|n| format!("10.0.0.{n}")).collect();
    let rows: Vec<(&str, &[&str], &[&str])> = addresses
        .iter()
        .map(|a| (a.as_str(), &["x.txt"][..], &[][..]))
        .collect();
    story::view(&rows)
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
Tab other table   ↑ ↓ PgUp PgDn Home End scroll   q leave
";
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn nobody_yet() {
    let text = drawn(&mut screen(TrackerView::default()), 100, 12);
    assert!(text.contains("Waiting for a connection..."), "{text}");
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
    // With room for no row at all, nothing is said of rows.
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
    let view = story::view(&[("10.0.0.1", &names, &[]), ("10.0.0.2", &names, &[])]);
    let text = drawn(&mut screen(view), 80, 7);
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
    assert_eq!(screen.peers.first, 0);
    let page = screen.peers.shown;
    press(&mut screen, KeyCode::PageDown);
    drawn(&mut screen, 80, 20);
    assert_eq!(screen.peers.first, page);
    press(&mut screen, KeyCode::End);
    let text = drawn(&mut screen, 80, 20);
    assert!(
        text.contains("│10.0.0.39 ") && text.contains("-40 of 40 "),
        "{text}"
    );
    press(&mut screen, KeyCode::Down);
    drawn(&mut screen, 80, 20);
    assert_eq!(screen.peers.first, 40 - screen.peers.shown);
    press(&mut screen, KeyCode::Home);
    assert_eq!(screen.peers.first, 0);
}

#[test]
fn a_shrinking_table_pulls_the_window_along() {
    let mut screen = screen(many(40));
    press(&mut screen, KeyCode::End);
    drawn(&mut screen, 80, 20);
    screen.view = Arc::new(many(3));
    let text = drawn(&mut screen, 80, 20);
    assert_eq!(screen.peers.first, 0);
    assert!(text.contains("│10.0.0.2 "), "{text}");
}

#[test]
fn tab_moves_the_other_table() {
    let mut screen = screen(many(40));
    press(&mut screen, KeyCode::Tab);
    press(&mut screen, KeyCode::Down);
    assert_eq!((screen.peers.first, screen.files.first), (0, 1));
    press(&mut screen, KeyCode::BackTab);
    assert_eq!(screen.focus, Focus::Peers);
}

#[test]
fn ways_to_leave() {
    let mut screen = screen(story::alone());
    assert_eq!(press(&mut screen, KeyCode::Char('q')), Leave::Yes);
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(screen.key(interrupt), Leave::Yes);
    assert_eq!(press(&mut screen, KeyCode::Char('c')), Leave::No);
}

#[test]
fn names_cannot_draw() {
    let text = drawn(
        &mut screen(story::view(&[("10.0.0.1", &["a\x1b[2Jb"], &[])])),
        80,
        14,
    );
    assert!(text.contains("a\\x1b[2Jb"), "{text}");
}

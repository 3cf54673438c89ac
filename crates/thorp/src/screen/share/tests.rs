//! The tabs of `share` as they are drawn, and their keys.

use std::sync::{Arc, Mutex};

use crossterm::event::KeyModifiers;
use thorp_node::api::{Command, ErrorKind, FileRow, Member};
use thorp_node::snapshot::{Page, ShareRow, TransferRow, UploadRow};
use tokio::sync::mpsc;

use super::*;
use crate::screen;
use crate::story::{self, Shown};
use crate::{node, samples};

/// A peer: what it shows, what it was asked, and how it answers.
struct Peer {
    screen: Screen,
    viewer: Viewer,
    shows: mpsc::Sender<Shown>,
    asked: Arc<Mutex<Vec<Question>>>,
    request: Box<SendCommand>,
}

type Question = (Command, mpsc::Sender<Event>);

impl Peer {
    async fn new(shown: Shown) -> Self {
        let (to, from) = mpsc::channel(1);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let request = {
            let asked = Arc::clone(&asked);
            move |command| {
                let (sender, answers): (_, node::Answers) = mpsc::channel(8);
                asked.lock().expect("no panic").push((command, sender));
                answers
            }
        };
        let mut peer = Self {
            screen: Screen::new(Path::new("/home/oak/papers"), false, false),
            viewer: story::node(from),
            shows: to,
            asked,
            request: Box::new(request),
        };
        peer.shows(shown).await;
        peer
    }

    async fn shows(&mut self, shown: Shown) {
        let mut news = self.viewer.news();
        news.borrow_and_update();
        self.shows.send(shown).await.expect("it is there");
        news.changed().await.expect("it shows it");
        self.screen.on_change();
    }

    async fn drawn(&mut self, width: u16, height: u16) -> String {
        loop {
            assert!(self.screen.look(&self.viewer).await);
            if !self.screen.is_reading() {
                return screen::drawn(width, height, |frame| self.screen.draw(frame));
            }
        }
    }

    fn press(&mut self, code: KeyCode) -> AfterKey {
        self.screen.on_key(code.into(), &*self.request)
    }

    fn letters(&mut self, letters: &str) {
        for letter in letters.chars() {
            assert_eq!(self.press(KeyCode::Char(letter)), AfterKey::Stay);
        }
    }

    fn commands(&self) -> Vec<Command> {
        let asked = self.asked.lock().expect("no panic");
        asked.iter().map(|(command, _)| command.clone()).collect()
    }

    async fn answer(&mut self, at: usize, event: Event) -> Vec<String> {
        let sender = self.asked.lock().expect("no panic")[at].1.clone();
        sender.send(event).await.expect("it is awaited");
        let news = self.screen.news().await;
        self.screen.on_news(news, &*self.request)
    }
}

fn village() -> Shown {
    let files = [
        "1.txt",
        "photos/a.jpg",
        "photos/b.jpg",
        "photos/old/c.jpg",
        "10.txt",
    ];
    let mut node = samples::status();
    node.tracker_connected = true;
    (node.neighbours, node.offered.files, node.offered.unhashed) = (2, 4, 0);
    // The share is this peer's, and so are the files of the first one.
    node.id = format!("{:a<52}", "192.168.198.138");
    Shown {
        node: Some(node),
        share: Some(ShareRow::default()),
        ..Shown::of(&[
            ("192.168.198.138", &files[..2], &[]),
            ("192.168.198.139", &files[1..], &[]),
        ])
    }
}

#[tokio::test]
async fn files_are_walked_through_and_filtered_and_fetched() {
    let mut peer = Peer::new(village()).await;
    let text = peer.drawn(60, 15).await;
    let expected = "\
thorp share  /home/oak/papers  2 neighbours  tracker there
Files here and at neighbours             3, a asks all peers
photos/
1.txt                                     1.2 KiB       here
10.txt                                    1.2 KiB     1 peer
";
    assert!(text.starts_with(expected), "{text}");
    let bar = "1 Menu 2 Files 3 Transfers 4 Peers 5 Claim 6 Messages  ?\n";
    assert!(text.ends_with(bar), "{text}");

    peer.press(KeyCode::Enter);
    let text = peer.drawn(60, 15).await;
    assert!(text.contains("\nphotos/ "), "{text}");
    assert!(text.contains("\nold/\n"), "{text}");
    assert!(
        text.contains("\na.jpg ") && text.contains("here +1\n"),
        "{text}"
    );
    peer.press(KeyCode::Backspace);
    // The folder that was left is chosen.
    peer.letters("/");
    peer.letters("JPG b");
    let text = peer.drawn(60, 15).await;
    assert!(text.contains("/ JPG b▏"), "{text}");
    assert!(
        text.contains("\nphotos/b.jpg ") && !text.contains("a.jpg"),
        "{text}"
    );
    peer.press(KeyCode::Enter);
    assert_eq!(peer.commands(), []);
    peer.press(KeyCode::Enter);
    let [Command::Get(get)] = &peer.commands()[..] else {
        panic!("it is fetched");
    };
    assert_eq!(get.names, ["photos/b.jpg"]);
    assert_eq!(get.root, Some(samples::root()));
    let text = peer.drawn(60, 15).await;
    assert!(
        text.contains("photos/b.jpg ") && text.contains("looked for"),
        "{text}"
    );
}

#[tokio::test]
async fn a_folder_is_fetched_after_a_yes() {
    let mut peer = Peer::new(village()).await;
    peer.drawn(60, 15).await;
    peer.letters("g");
    let text = peer.drawn(80, 24).await;
    assert!(text.starts_with("y fetches all of photos/"), "{text}");
    peer.letters("n");
    assert_eq!(peer.commands(), []);
    peer.letters("gy");
    let [Command::Get(get)] = &peer.commands()[..] else {
        panic!("it is fetched");
    };
    assert_eq!(get.names, ["photos/"]);
}

#[tokio::test(start_paused = true)]
async fn the_choice_follows_a_file_that_others_come_before() {
    let mut peer = Peer::new(village()).await;
    peer.drawn(60, 15).await;
    peer.press(KeyCode::End);
    peer.shows(Shown {
        node: village().node,
        ..Shown::of(&[("10.0.0.1", &["0.txt", "1.txt", "10.txt"], &[])])
    })
    .await;
    tokio::time::advance(std::time::Duration::from_millis(1100)).await;
    let text = peer.drawn(60, 15).await;
    assert!(text.contains("0.txt"), "{text}");
    peer.press(KeyCode::Enter);
    let [Command::Get(get)] = &peer.commands()[..] else {
        panic!("it is fetched");
    };
    assert_eq!(get.names, ["10.txt"]);
}

#[tokio::test]
async fn the_files_of_all_peers_are_asked_for_once_and_shown_with_their_age() {
    let mut peer = Peer::new(village()).await;
    peer.drawn(80, 24).await;
    peer.letters("a");
    let text = peer.drawn(80, 24).await;
    assert!(
        text.contains("Files of all peers") && text.contains("Asking..."),
        "{text}"
    );
    let row = |name: &str| FileRow {
        name: name.into(),
        ..samples::file(name)
    };
    for name in ["far/1.txt", "far/2.txt", "near/3.txt", "near.txt"] {
        assert_eq!(peer.answer(0, Event::File(row(name))).await, [""; 0]);
    }
    peer.answer(0, Event::Done(thorp_node::api::Done::default()))
        .await;
    let text = peer.drawn(80, 24).await;
    assert!(text.contains("\nfar/\nnear/\nnear.txt "), "{text}");
    assert!(text.contains("3, asked 0 s ago"), "{text}");
    peer.press(KeyCode::Enter);
    let text = peer.drawn(80, 24).await;
    assert!(
        text.contains("\n1.txt ") && text.contains("\n2.txt "),
        "{text}"
    );
    // A folder that others come before.
    peer.press(KeyCode::Backspace);
    peer.drawn(80, 24).await;
    peer.press(KeyCode::End);
    peer.press(KeyCode::Up);
    peer.press(KeyCode::Enter);
    let text = peer.drawn(80, 24).await;
    assert!(text.contains("\n3.txt "), "{text}");
    // Back and forth, it is not asked for again so soon.
    peer.letters("aa");
    assert_eq!(peer.commands().len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_not_whole_is_told_as_such() {
    let mut peer = Peer::new(village()).await;
    peer.letters("a");
    peer.answer(0, Event::File(samples::file("1.txt"))).await;
    peer.answer(
        0,
        Event::Error(samples::failure(ErrorKind::Network, "no tracker")),
    )
    .await;
    let text = peer.drawn(100, 24).await;
    assert!(text.contains("perhaps not all: no tracker"), "{text}");
    assert!(text.contains("\n1.txt "), "{text}");
}

#[tokio::test]
async fn a_question_of_a_fetch_is_answered_on_the_screen() {
    let mut peer = Peer::new(village()).await;
    peer.drawn(60, 15).await;
    peer.press(KeyCode::Down);
    peer.press(KeyCode::Enter);
    peer.answer(0, Event::Error(samples::failure(ErrorKind::Exists, "why")))
        .await;
    assert_eq!(peer.screen.waiting().as_deref(), Some("1.txt"));
    let text = peer.drawn(60, 15).await;
    assert!(text.contains("2. Save the requested file"), "{text}");
    assert!(text.contains("\n> ▏\n"), "{text}");
    // Keys are the answer: 2 is no tab.
    peer.letters("2");
    peer.press(KeyCode::Enter);
    peer.letters("x.txt");
    let text = peer.drawn(60, 15).await;
    assert!(text.contains("\n> x.txt▏\n"), "{text}");
    peer.press(KeyCode::Enter);
    let Some(Command::Get(again)) = peer.commands().pop() else {
        panic!("it is fetched");
    };
    assert_eq!(again.rename.as_deref(), Some("x.txt"));
    peer.answer(1, Event::Error(samples::nobody())).await;
    assert_eq!(peer.screen.waiting(), None);
    peer.letters("6");
}

#[tokio::test]
async fn a_fetch_is_cancelled_after_a_yes_and_then_told_as_ended() {
    let mut peer = Peer::new(village()).await;
    peer.drawn(60, 15).await;
    peer.press(KeyCode::Down);
    peer.press(KeyCode::Enter);
    let progress = thorp_node::api::Progress {
        bytes: 512,
        of_bytes: 1024,
        of_files: 1,
        rate: 128,
        eta: Some(4),
        ..thorp_node::api::Progress::default()
    };
    peer.answer(0, Event::Progress(progress)).await;
    let text = peer.drawn(100, 24).await;
    assert!(text.contains("1.txt  512 B of 1.0 KiB"), "{text}");
    assert!(
        text.contains("████████░░░░░░░░   50 %     4 s left       128 B/s"),
        "{text}"
    );
    peer.letters("x");
    assert!(
        peer.drawn(100, 24)
            .await
            .starts_with("y cancels the fetch of 1.txt")
    );
    peer.letters("y");
    let text = peer.drawn(100, 24).await;
    assert!(text.contains("Ended\n1.txt  cancelled\n"), "{text}");
    assert!(text.contains("Nothing is on its way"), "{text}");
}

#[tokio::test]
async fn large_files_on_their_way_are_shown_whoever_asked_for_them() {
    let mut peer = Peer::new(village()).await;
    peer.screen.tab = Tab::Transfers;
    peer.drawn(60, 15).await;
    let film = TransferRow {
        name: Some("films/a\u{1b}[2J.mkv".into()),
        root: samples::root(),
        length: 4 << 30,
        verified: 1 << 30,
        received: 1 << 30,
        rate: 3 << 20,
        sources: 3,
        sent_by: Vec::new(),
        pieces: String::new(),
    };
    let page = |row| Page {
        rows: vec![row],
        ..Page::default()
    };
    let upload = |name: &str, to: &str| UploadRow {
        upload: 1,
        name: Some(name.into()),
        root: samples::root(),
        length: 4 << 30,
        member: Some(Member {
            id: "a".repeat(52),
            name: Some(to.into()),
            address: "10.0.0.1".into(),
            port: 3334,
        }),
        client: None,
        sent: 5 << 20,
        rate: 2 << 20,
    };
    let long = format!("films/{}.mkv", "long ".repeat(30));
    let uploads = Page {
        rows: [upload("films/b.mkv", "elm"), upload(&long, "birch")]
            .map(SnapshotRow::Upload)
            .into(),
        ..Page::default()
    };
    let transfers = page(SnapshotRow::Transfer(film));
    peer.screen.transfers.take(transfers, uploads);
    let text = screen::drawn(100, 24, |frame| peer.screen.draw(frame));
    assert!(
        text.contains("films/a\\x1b[2J.mkv  1.0 GiB of 4.0 GiB"),
        "{text}"
    );
    assert!(text.contains("25 %    3 sources     3.0 MiB/s"), "{text}");
    // Each file that goes out, to whom, how much and how fast.
    let small = screen::drawn(60, 15, |frame| peer.screen.draw(frame));
    let line = |begin: &str| {
        let mut lines = small.lines();
        let line = lines.find(|line| line.starts_with(begin));
        line.unwrap_or_else(|| panic!("{begin}: {small}"))
            .to_owned()
    };
    line("Going out");
    let elm = line("films/b.mkv ");
    assert!(elm.ends_with("to elm    5.0 MiB     2.0 MiB/s"), "{elm}");
    let long = line("films/lo");
    assert!(
        long.contains(".mkv ") && long.contains("to birch"),
        "{long}"
    );
}

#[tokio::test]
async fn a_message_is_seen_on_every_tab_until_it_was_read() {
    let mut peer = Peer::new(village()).await;
    let said = format!("The share was moved from /{}/slides.pdf", "long".repeat(40));
    peer.screen.tell(&said);
    for tab in ["2", "3", "4", "5"] {
        peer.letters(tab);
        let text = peer.drawn(60, 15).await;
        let mut last = text.lines().rev();
        assert!(last.next().is_some_and(|bar| bar.contains("(1)")), "{text}");
        let news = last.next().unwrap_or_default();
        assert!(news.starts_with("● The share was moved"), "{text}");
        assert!(news.ends_with("slides.pdf"), "{text}");
        // Where there is little room it is counted only.
        assert!(!peer.drawn(60, 11).await.contains('●'));
    }
    peer.letters("6");
    let read = peer.drawn(60, 15).await;
    assert!(
        read.contains("/slides.pdf") && !read.contains('●'),
        "{read}"
    );
    peer.letters("2");
    assert!(!peer.drawn(60, 15).await.contains('●'));
}

#[tokio::test]
async fn a_name_that_looks_like_a_pattern_is_fetched_as_it_is() {
    for (name, keys, asked) in [
        ("**", "g", "**"),
        ("song [live].mp3", "g", "song [live].mp3"),
        ("{a,b}", "g", "{a,b}"),
        ("album [2009]/1.mp3", "gy", "album [2009]/"),
    ] {
        let mut peer = Peer::new(Shown {
            node: village().node,
            ..Shown::of(&[("10.0.0.1", &[name], &[])])
        })
        .await;
        peer.drawn(80, 24).await;
        peer.letters(keys);
        let commands = peer.commands();
        let is_it = |get: &Get| get.exact && get.names == [asked];
        assert!(
            matches!(&commands[..], [Command::Get(get)] if is_it(get)),
            "{commands:?}"
        );
    }
}

#[tokio::test]
async fn ways_to_the_menu_and_out() {
    let mut peer = Peer::new(village()).await;
    peer.drawn(60, 15).await;
    assert_eq!(peer.press(KeyCode::Char('1')), AfterKey::ToMenu);
    assert_eq!(peer.press(KeyCode::Esc), AfterKey::ToMenu);
    peer.press(KeyCode::Enter);
    peer.drawn(60, 15).await;
    // Out of the folder first.
    assert_eq!(peer.press(KeyCode::Esc), AfterKey::Stay);
    assert_eq!(peer.press(KeyCode::Esc), AfterKey::ToMenu);
    peer.letters("4");
    assert_eq!(peer.press(KeyCode::Esc), AfterKey::ToMenu);
    let control = |letter| KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL);
    for leaving in [KeyCode::Char('q').into(), control('c')] {
        assert_eq!(peer.screen.on_key(leaving, &*peer.request), AfterKey::Stay);
        let text = peer.drawn(80, 24).await;
        assert!(text.starts_with("End sharing here? y ends it"), "{text}");
        assert_eq!(peer.press(KeyCode::Char('n')), AfterKey::Stay);
        for yes in [KeyCode::Char('y').into(), control('c')] {
            peer.screen.on_key(leaving, &*peer.request);
            assert_eq!(peer.screen.on_key(yes, &*peer.request), AfterKey::Leave);
        }
    }
    let suspend = peer.screen.on_key(control('z'), &*peer.request);
    assert_eq!(suspend, AfterKey::Suspend);
}

#[tokio::test]
async fn help_names_the_keys_of_the_tab_and_fits_a_small_screen() {
    let mut peer = Peer::new(village()).await;
    for (tab, key) in [
        ("2", "Backspace"),
        ("3", "cancel"),
        ("4", "choose a peer"),
        ("6", "latest"),
    ] {
        peer.letters(tab);
        peer.letters("?");
        let text = peer.drawn(60, 15).await;
        assert!(text.contains(key), "{text}");
        assert!(text.contains("end sharing (asks)"), "{tab}: {text}");
        // Any key closes it, and does nothing else.
        assert_eq!(peer.press(KeyCode::Esc), AfterKey::Stay);
        assert!(!peer.drawn(60, 15).await.contains("end sharing (asks)"));
    }
}

#[tokio::test]
async fn every_tab_is_drawn_at_any_size() {
    let mut peer = Peer::new(village()).await;
    peer.screen.tell("a message");
    for tab in ["2", "3", "4", "5", "6"] {
        peer.letters(tab);
        for (width, height) in [(200, 60), (80, 24), (60, 15), (20, 5), (3, 2), (1, 1)] {
            let text = peer.drawn(width, height).await;
            assert_eq!(text.lines().count(), usize::from(height));
        }
    }
}

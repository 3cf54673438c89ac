//! The logs of `tracker` and of `share`.

use crate::node::LocalTracker;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::samples;
use crate::story::{self, Shown};
use thorp_node::api::Warning;
use tokio::sync::mpsc;

fn peer() -> (LocalPeer, mpsc::Sender<Shown>, mpsc::Sender<Notice>) {
    let (shown_in, shown) = mpsc::channel(1);
    let (notice_in, notices) = mpsc::channel(8);
    let peer = LocalPeer {
        directory: "/home/oak".into(),
        listen: "192.168.198.138:3334".parse().ok(),
        viewer: story::node(shown),
        notices,
        request: Box::new(|_| mpsc::channel(1).1),
        invite: Box::new(|| Box::pin(async { Ok(String::new()) })),
        stop: Box::pin(async {}),
        door: None,
        at: String::new(),
        has_page: false,
        was_removed: Arc::new(|| false),
    };
    (peer, shown_in, notice_in)
}

fn tracker() -> (LocalTracker, mpsc::Sender<Shown>) {
    let (shown_in, shown) = mpsc::channel(1);
    let tracker = LocalTracker {
        listen: "192.168.198.138:3333".parse().expect("an address"),
        viewer: story::node(shown),
        notices: mpsc::channel(1).1,
        stop: Box::pin(async {}),
        door: Door {
            tracker: "192.168.198.138".into(),
            open: true,
            ca: "d".repeat(52),
            invite: None,
            at: String::new(),
        },
        has_page: false,
    };
    (tracker, shown_in)
}

/// Waits longer than a change may take to be shown.
async fn a_moment() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

fn streams() -> Streams<Vec<u8>, Vec<u8>> {
    Streams {
        out: Vec::new(),
        talk: Vec::new(),
        talk_width: None,
        is_lossy: false,
    }
}

/// The manner of `--lines`.
const TABLES: Manner = Manner {
    json: false,
    quiet: false,
    tables: true,
};

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}

#[tokio::test(start_paused = true)]
async fn a_peer_tells_its_story() {
    let (mut peer, view, notices) = peer();
    let mut news = peer.news();
    let mut streams = streams();
    let told = async {
        let address = "192.168.198.138".into();
        let connecting = Notice::Connecting {
            address,
            port: 3333,
        };
        notices.send(connecting).await.expect("followed");
        notices.send(Notice::Connected).await.expect("followed");
        let why = "the disk is full".into();
        let warning = Warning::NeighboursUnsaved { why };
        notices
            .send(Notice::Warning(warning))
            .await
            .expect("followed");
        a_moment().await;
        let shown = Shown::of_peer(&["192.168.198.138"], 0);
        view.send(shown).await.expect("followed");
        a_moment().await;
        view.send(Shown::of_peer(&[], 3)).await.expect("followed");
        a_moment().await;
        drop(view);
    };
    let _ = greet(&Welcome::of(&peer), &mut streams, Manner::default());
    let _ = tokio::join!(
        follow_peer(&mut news, &mut streams, Manner::default()),
        told
    );
    assert_eq!(
        text(streams.out),
        "Sharing /home/oak on 192.168.198.138:3334\nConnecting to 192.168.198.138 on port 3333\n\
         Connection Established!\n\
         Neighbours: 192.168.198.138\nNeighbours: none\n"
    );
    assert_eq!(
        text(streams.talk),
        "Warning: the disk is full. Neighbours are not remembered for the next start\n"
    );
}

#[tokio::test(start_paused = true)]
async fn many_changes_in_a_short_time_are_few_lines_and_the_last_is_told() {
    let (mut peer, view, _notices) = peer();
    let mut news = peer.news();
    let mut streams = streams();
    let manner = Manner {
        json: true,
        ..Manner::default()
    };
    let told = async {
        for files in 1..=40 {
            let neighbours = ["192.168.198.138", "192.168.198.139"];
            let some = usize::try_from(files % 3).expect("few");
            let shown = Shown::of_peer(&neighbours[..some], files);
            view.send(shown).await.expect("followed");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        a_moment().await;
        drop(view);
    };
    let _ = tokio::join!(follow_peer(&mut news, &mut streams, manner), told);
    let out = text(streams.out);
    let lines: Vec<_> = out
        .lines()
        .filter(|line| line.contains(r#""event":"neighbours""#))
        .collect();
    // The changes span 400 ms, and each line collects those of 100 ms.
    assert!(lines.len() <= 5, "{out}");
    let last = lines.last().expect("a line");
    assert!(last.contains(r#""files":40,"#), "{last}");
}

#[tokio::test(start_paused = true)]
async fn what_is_hashed_and_counted_is_no_news_of_the_neighbours() {
    let (mut peer, view, _notices) = peer();
    let mut news = peer.news();
    let mut streams = streams();
    let manner = Manner {
        json: true,
        ..Manner::default()
    };
    let told = async {
        for (neighbours, files) in [(&[][..], 1..20), (&["192.168.198.138"][..], 20..40)] {
            for files in files {
                let shown = Shown::of_peer(neighbours, files);
                view.send(shown).await.expect("followed");
                a_moment().await;
            }
        }
        drop(view);
    };
    let _ = tokio::join!(follow_peer(&mut news, &mut streams, manner), told);
    let out = text(streams.out);
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines.len(), 2, "{out}");
    assert!(lines[0].contains(r#""files":1,"#), "{out}");
    assert!(lines[1].contains(r#""files":20,"#), "{out}");
}

#[tokio::test(start_paused = true)]
async fn a_tracker_prints_both_tables_after_a_change() {
    let (mut tracker, view) = tracker();
    let mut news = tracker.news();
    let mut streams = streams();
    let told = async {
        for _ in 0..3 {
            // Only the first one is news.
            view.send(story::first()).await.expect("followed");
            a_moment().await;
        }
        drop(view);
    };
    greet_tracker((&tracker.door, tracker.listen), &mut streams, TABLES);
    let _ = tokio::join!(follow_tracker(&mut news, &mut streams, TABLES), told);
    let expected = format!(
        "Listening on 192.168.198.138:3333\n{}\n{}\n",
        words::WAITING,
        table::both(&story::first().tables())
    );
    assert_eq!(text(streams.out), expected);
    assert_eq!(text(streams.talk), format!("{}\n", door(&tracker.door)));
}

#[tokio::test(start_paused = true)]
async fn the_same_as_objects() {
    let (mut tracker, view) = tracker();
    let mut news = tracker.news();
    let mut streams = streams();
    let json = Manner {
        json: true,
        ..TABLES
    };
    let told = async {
        view.send(story::alone()).await.expect("followed");
        a_moment().await;
        drop(view);
    };
    greet_tracker((&tracker.door, tracker.listen), &mut streams, json);
    let _ = tokio::join!(follow_tracker(&mut news, &mut streams, json), told);
    let out = text(streams.out);
    let page = include_str!("../../../../docs/json.md");
    for line in out.lines() {
        let value: Value = serde_json::from_str(line).expect("JSON");
        let event = value["event"].as_str().expect("an event");
        assert!(page.contains(&format!("`{event}`")), "{event}");
    }
    assert!(out.contains(r#""event":"tables""#), "{out}");
    // As objects: the order of their fields follows from how JSON was compiled.
    let door: Value = serde_json::from_str(out.lines().next().expect("a door")).expect("JSON");
    let mut documented = page
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    assert!(documented.any(|line: Value| line == door), "{out}");
}

#[test]
fn two_neighbours_on_one_address_carry_their_ports() {
    let mut second = samples::peer();
    second.member.port = 3335;
    let mut third = samples::peer();
    third.member.address = "fd00::7".into();
    let view = Neighbourhood {
        neighbours: vec![samples::peer(), second, third],
        ..Neighbourhood::default()
    };
    assert_eq!(
        neighbours(&view),
        "Neighbours: 192.168.198.138:3334 192.168.198.138:3335 fd00::7"
    );
}

#[test]
fn a_closed_group_is_joined_by_invite() {
    let closed = Door {
        ca: "d".repeat(52),
        tracker: "10.0.0.7".into(),
        open: false,
        invite: Some("thorp1abc".into()),
        at: " --state /s".into(),
    };
    let told = door(&closed);
    assert!(
        told.contains("thorp join") && told.contains("\nthorp1abc\n"),
        "{told}"
    );
    assert!(told.ends_with("here: thorp invite --state /s"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn the_reader_is_gone() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (mut peer, _view, notices) = peer();
    let mut news = peer.news();
    notices.send(Notice::Connected).await.expect("room");
    let (out, talk) = (Gone, Vec::new());
    let mut streams = Streams {
        out,
        talk,
        talk_width: None,
        is_lossy: false,
    };
    let flow = follow_peer(&mut news, &mut streams, Manner::default()).await;
    assert_eq!(flow, Flow::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_tracker_tells_who_comes_and_goes_and_how_much_each_shares() {
    for (json, quiet) in [(false, false), (true, false), (false, true), (true, true)] {
        let (mut tracker, view) = tracker();
        let mut news = tracker.news();
        let mut streams = streams();
        let told = async {
            for shown in [story::first(), story::first(), story::alone()] {
                view.send(shown).await.expect("followed");
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
            drop(view);
        };
        let manner = Manner {
            json,
            quiet,
            tables: false,
        };
        greet_tracker((&tracker.door, tracker.listen), &mut streams, manner);
        let _ = tokio::join!(follow_tracker(&mut news, &mut streams, manner), told);
        let out = text(streams.out);
        let lines: Vec<_> = out.lines().skip(2).collect();
        if quiet {
            assert_eq!(lines, [""; 0], "{out}");
            continue;
        }
        let dated = |line: &&str| {
            assert!(
                line[..5].contains('2') && line[..21].ends_with(' '),
                "{line}"
            );
            line[21..].to_owned()
        };
        let event = |line: &&str| {
            let value: Value = serde_json::from_str(line).expect("JSON");
            assert!(value["time"].is_i64(), "{line}");
            let page = include_str!("../../../../docs/json.md");
            let event = value["event"].as_str().expect("an event");
            assert!(page.contains(&format!("`{event}`")), "{event}");
            format!("{} {event}", value["address"].as_str().expect("an address"))
        };
        let [one, two, three] = ["192.168.198.138", "192.168.198.139", "192.168.198.137"];
        if json {
            let told: Vec<_> = lines.iter().map(event).collect();
            let came = [one, two].map(|who| format!("{who} came"));
            assert_eq!(told[..2], came);
            assert_eq!(told.iter().filter(|line| line.ends_with("went")).count(), 2);
        } else {
            let told: Vec<_> = lines.iter().map(dated).collect();
            assert_eq!(
                told,
                [
                    format!("{one} came"),
                    format!("{two} came"),
                    format!("{one} shares 4 files, 1.2 MiB"),
                    format!("{two} shares 3 files, 1.2 MiB"),
                    format!("{three} came"),
                    format!("{one} went"),
                    format!("{two} went"),
                    format!("{three} shares 4 files, 1.2 MiB"),
                ]
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_behind_standard_output_is_said_once_and_the_node_goes_on() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (mut peer, view, notices) = peer();
    let mut news = peer.news();
    let mut streams = Streams {
        out: Full,
        talk: Vec::new(),
        talk_width: None,
        is_lossy: false,
    };
    let told = async {
        notices.send(Notice::Connected).await.expect("followed");
        a_moment().await;
        view.send(Shown::of_peer(&["192.168.198.138"], 0))
            .await
            .expect("followed");
        a_moment().await;
        drop(view);
    };
    let (flow, ()) = tokio::join!(
        follow_peer(&mut news, &mut streams, Manner::default()),
        told
    );
    assert_eq!(flow, Flow::Open);
    let talk = text(streams.talk);
    assert_eq!(talk.matches("standard output").count(), 1, "{talk}");
}

//! What a running node shows of itself, in its process and over its socket.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use thorp_node::api::{Command, Event, Failure, Status};
use thorp_node::local;
use thorp_node::snapshot::{
    Ask, At, Change, Gone, LeftOutRow, Part, RowKey, ShareRow, SnapshotRow, WhyLeftOut,
};
use tokio::sync::mpsc;

use super::support::{Village, within};

/// The only row of a page that has one.
async fn only(state: &Path, part: Part) -> (u64, SnapshotRow) {
    let (number, mut rows) = page(state, part).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    (number, rows.remove(0))
}

/// A page, asked for over the socket.
async fn page(state: &Path, part: Part) -> (u64, Vec<SnapshotRow>) {
    let command = Command::Snapshot(Ask::first(part, 100));
    let mut events = local::ask(state, &command).await.expect("a node");
    let page = match events.recv().await {
        Some(Event::Page(page)) => page,
        other => panic!("{other:?}"),
    };
    assert!(matches!(events.recv().await, Some(Event::Done(_))));
    (page.number, page.rows)
}

#[tokio::test]
async fn without_a_reader_a_running_node_makes_no_row() {
    let village = Village::new().await;
    let oak = village
        .peer_with("oak", &[], thorp_node::share::Options::default())
        .await;
    let tracker = village.tracker.tracker.viewer();
    let (mut news, mut own) = (tracker.news(), oak.running.peer.viewer().news());
    for n in 0..20 {
        super::support::write(&oak.dir, &format!("{n}"), b"some");
        // Each is told to the tracker by itself, as a rule.
        within("a change at the tracker", news.changed())
            .await
            .expect("it runs");
        within("a change at the peer", own.changed())
            .await
            .expect("it runs");
    }
    assert_eq!(tracker.rows_made(), 0);
    assert_eq!(oak.running.peer.viewer().rows_made(), 0);
    village.lists("oak", 20).await;
    assert_ne!(tracker.rows_made(), 0);
}

/// A watcher of a node, from now on.
async fn watcher(state: &Path) -> mpsc::Receiver<Event> {
    let (number, _) = page(state, Part::Warnings).await;
    let watch = Command::Watch { since: number };
    local::ask(state, &watch).await.expect("a node")
}

/// The changes that it is told, until one of them is what it waits for.
async fn until(
    told: &mut mpsc::Receiver<Event>,
    what: &str,
    is_it: impl Fn(&Change) -> bool,
) -> Vec<Change> {
    let news = async {
        let mut seen = Vec::new();
        loop {
            match told.recv().await {
                Some(Event::Changes { changes, .. }) => seen.extend(changes),
                other => panic!("{other:?}"),
            }
            if seen.iter().any(&is_it) {
                return seen;
            }
        }
    };
    within(what, news).await
}

fn is_node(change: &Change, is_it: impl Fn(&Status) -> bool) -> bool {
    matches!(change, Change::Now(row) if matches!(&**row, SnapshotRow::Node(node) if is_it(node)))
}

fn is_share(change: &Change, is_it: impl Fn(&ShareRow) -> bool) -> bool {
    matches!(change, Change::Now(row) if matches!(&**row, SnapshotRow::Share(share) if is_it(share)))
}

#[tokio::test]
async fn a_watcher_is_told_how_a_transfer_ended_and_what_has_been_counted() {
    let bytes = vec![7; 8 * 1024 * 1024];
    let village = Village::new().await;
    let oak = village.peer("oak", &[("f", &bytes)]).await;
    let elm = village.peer("elm", &[]).await;
    let length = bytes.len() as u64;
    let mut at_oak = watcher(&village.common("oak", &[]).state).await;
    let mut at_elm = watcher(&village.common("elm", &[]).state).await;
    elm.get_name("f").await.only_fetched();
    let is_over = |change: &Change| matches!(change, Change::Gone(Gone::Transfer { .. }));
    let seen = until(&mut at_elm, "the end of the transfer", is_over).await;
    let mut transfers = seen.iter().filter_map(|change| match change {
        Change::Now(row) => match &**row {
            SnapshotRow::Transfer(transfer) => Some(transfer),
            _ => None,
        },
        Change::Gone(_) => None,
    });
    let last = transfers.next_back().expect("a transfer");
    assert_eq!((last.verified, last.length), (length, length));
    let mut at_elm = watcher(&village.common("elm", &[]).state).await;
    until(&mut at_elm, "its node", |change| {
        is_node(change, |node| {
            node.offered.files == 1 && node.received >= length
        })
    })
    .await;
    let seen = until(&mut at_oak, "what was sent", |change| {
        is_node(change, |node| node.sent >= length)
    })
    .await;
    let is_transfer = |change: &Change| matches!(change, Change::Now(row) if matches!(**row, SnapshotRow::Transfer(_)));
    assert!(
        !seen.iter().any(is_transfer),
        "it fetches nothing: {seen:?}"
    );
    std::fs::remove_file(elm.dir.join("f")).expect("removed");
    let mut gone = until(&mut at_elm, "a share without files", |change| {
        is_share(change, |share| share.offered.files == 0)
    })
    .await;
    while !gone
        .iter()
        .any(|change| is_node(change, |node| node.offered.files == 0))
    {
        gone = until(&mut at_elm, "a node without files", |_| true).await;
    }
    oak.stop().await;
    until(&mut at_elm, "a node without neighbours", |change| {
        is_node(change, |node| node.neighbours == 0)
    })
    .await;
}

#[tokio::test]
async fn a_page_that_cannot_be_is_refused() {
    let village = Village::new().await;
    let _oak = village.peer("oak", &[("a", b"some"), ("b", b"some")]).await;
    let state = village.common("oak", &[]).state;
    let first = async |ask: Ask| {
        let events = local::ask(&state, &Command::Snapshot(ask)).await;
        let mut events = events.expect("a node");
        (events.recv().await, events.recv().await)
    };
    let file = RowKey::File {
        name: "a".into(),
        nth: 0,
    };
    let peer = RowKey::Peer {
        address: "10.0.0.1:3334".parse().expect("an address"),
        id: "oak".into(),
    };
    for (part, at) in [
        (Part::Files, At::After(peer.clone())),
        (Part::Peers, At::From(peer)),
        (Part::Peers, At::Before(file.clone())),
        (Part::Warnings, At::After(file)),
        (Part::FilesOf { id: "oak".into() }, At::Start),
    ] {
        let ask = Ask {
            at,
            ..Ask::first(part, 10)
        };
        let (answer, _) = first(ask.clone()).await;
        assert!(
            matches!(answer, Some(Event::Error(Failure::NotAPage))),
            "{ask:?}: {answer:?}"
        );
    }
    let (page, done) = first(Ask::first(Part::Files, 0)).await;
    assert!(matches!(page, Some(Event::Page(page)) if page.rows.len() == 1 && page.more));
    assert!(matches!(done, Some(Event::Done(done)) if done.count == 1));
}

#[tokio::test]
async fn the_socket_tells_what_changes_after_a_page() {
    let village = Village::new().await;
    let oak = village.peer("oak", &[("a", b"some")]).await;
    let hall = village.common("hall", &[]).state;
    let (number, row) = only(&hall, Part::Peers).await;
    let SnapshotRow::Peer(peer) = row else {
        panic!("{row:?}");
    };
    assert_eq!(peer.member.name.as_deref(), Some("oak"));
    assert_eq!((peer.files, &peer.names[..]), (1, &["a".to_owned()][..]));
    let watch = Command::Watch { since: number };
    let mut told = local::ask(&hall, &watch).await.expect("a tracker");
    let elm = village.peer("elm", &[]).await;
    let news = async {
        loop {
            match told.recv().await {
                Some(Event::Changes { changes, .. }) => {
                    for change in changes {
                        if let Change::Now(row) = change
                            && let SnapshotRow::Peer(peer) = *row
                            && peer.member.name.as_deref() == Some("elm")
                        {
                            return peer.member.id;
                        }
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    };
    let elm_id = within("news of elm", news).await;
    // Its own place says what it did.
    elm.get_name("a").await.only_fetched();
    let state = village.common("elm", &[]).state;
    let (_, node) = only(&state, Part::Node).await;
    let SnapshotRow::Node(status) = node else {
        panic!("{node:?}");
    };
    assert_eq!(status.id, elm_id);
    assert!(status.tracker_connected && status.lookups.tracker == 1);
    let (_, share) = only(&state, Part::Share).await;
    assert!(matches!(share, SnapshotRow::Share(share) if share.offered.files == 1));
    let (_, neighbour) = only(&state, Part::Peers).await;
    assert!(
        matches!(&neighbour, SnapshotRow::Peer(peer) if peer.member.name.as_deref() == Some("oak"))
    );
    elm.stop().await;
    let gone = async {
        loop {
            match told.recv().await {
                Some(Event::Changes { changes, .. }) => {
                    let gone = Change::Gone(Gone::Peer { id: elm_id.clone() });
                    if changes.contains(&gone) {
                        return;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    };
    within("elm to be gone", gone).await;
    // Numbers of another time or place.
    for since in [0, u64::MAX] {
        let watch = Command::Watch { since };
        let mut told = local::ask(&hall, &watch).await.expect("a tracker");
        let first = within("an answer", told.recv()).await;
        assert!(
            matches!(first, Some(Event::StartAgain { number: n }) if n > number),
            "{first:?}"
        );
    }
    drop(oak);
}

#[tokio::test]
async fn what_is_left_out_is_shown_page_by_page_with_why() {
    let village = Village::new().await;
    let oak = village.peer("oak", &[("a", b"some")]).await;
    let folder = &oak.dir;
    std::fs::create_dir(folder.join("sub")).expect("made");
    std::fs::write(folder.join(".hidden"), "1").expect("written");
    std::fs::write(folder.join("sub/.hidden"), "2").expect("written");
    std::fs::write(folder.join("x.o"), "3").expect("written");
    let latin1 = OsStr::from_bytes(b"caf\xe9");
    std::fs::write(folder.join(latin1), "4").expect("written");
    std::fs::write(folder.join(".thorpignore"), "*.o").expect("written");
    let state = village.common("oak", &[]).state;
    let expected = [
        (".hidden", WhyLeftOut::Hidden),
        (".thorpignore", WhyLeftOut::Hidden),
        ("caf\u{fffd}", WhyLeftOut::Unnameable),
        ("sub/.hidden", WhyLeftOut::Hidden),
        ("x.o", WhyLeftOut::Ignored),
    ];
    let all = async || {
        let ask = Ask::first(Part::LeftOut, 10);
        rows_left_out(&state, ask).await.0
    };
    let named = |rows: &[LeftOutRow]| {
        let row = |row: &LeftOutRow| (row.path.clone(), row.why);
        rows.iter().map(row).collect::<Vec<_>>()
    };
    let wanted = expected.map(|(path, why)| (path.to_owned(), why));
    within("all that is left out", async {
        while named(&all().await) != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    for limit in 1..6 {
        let mut ask = Ask::first(Part::LeftOut, limit);
        let mut forward = Vec::new();
        loop {
            let (rows, more, total) = rows_left_out(&state, ask.clone()).await;
            assert!(rows.len() <= limit && total == 5);
            forward.extend(rows);
            let Some(last) = forward.last().filter(|_| more) else {
                break;
            };
            ask.at = At::After(key(last));
        }
        assert_eq!(named(&forward), wanted, "{limit} at a time");
        ask.at = At::End;
        let mut backward: Vec<LeftOutRow> = Vec::new();
        loop {
            let (mut rows, more, _) = rows_left_out(&state, ask.clone()).await;
            rows.extend(backward);
            backward = rows;
            let Some(first) = backward.first().filter(|_| more) else {
                break;
            };
            ask.at = At::Before(key(first));
        }
        assert_eq!(named(&backward), wanted, "{limit} at a time, from the end");
    }
}

fn key(row: &LeftOutRow) -> RowKey {
    RowKey::Path {
        path: row.path.clone(),
        bytes: row.bytes.clone(),
    }
}

async fn rows_left_out(state: &Path, ask: Ask) -> (Vec<LeftOutRow>, bool, u64) {
    let events = local::ask(state, &Command::Snapshot(ask)).await;
    match events.expect("a node").recv().await {
        Some(Event::Page(page)) => {
            let row = |row| match row {
                SnapshotRow::LeftOut(row) => row,
                other => panic!("{other:?}"),
            };
            (
                page.rows.into_iter().map(row).collect(),
                page.more,
                page.total,
            )
        }
        other => panic!("{other:?}"),
    }
}

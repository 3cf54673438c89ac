//! What a running node shows of itself, in its process and over its socket.

use thorp_node::api::{Command, Event};
use thorp_node::local;
use thorp_node::snapshot::{Ask, Change, Part, SnapshotRow};

use super::support::{Village, within};

/// The only row of a page that has one.
async fn only(state: &std::path::Path, part: Part) -> (u64, SnapshotRow) {
    let (number, mut rows) = page(state, part).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    (number, rows.remove(0))
}

/// A page, asked for over the socket.
async fn page(state: &std::path::Path, part: Part) -> (u64, Vec<SnapshotRow>) {
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
                    let gone = Change::Gone { id: elm_id.clone() };
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

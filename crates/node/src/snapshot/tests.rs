//! A tracker's machine with made-up members, and its readers.

use std::net::IpAddr;
use std::time::Duration;

use thorp_core::links::{self, LinkId, Me, Party};
use thorp_core::time::Instant;
use thorp_core::tracker::{Config, Output, Tracker};
use thorp_wire::frame::{Frame, Hello, Update, VERSION};
use thorp_wire::{Entry, PeerId, Root};

use super::*;

const NOW: Instant = Instant::after_start(Duration::ZERO);

/// A tracker, and what it keeps for its readers.
struct Node {
    tracker: Tracker,
    keeper: Keeper,
    viewer: Viewer,
}

impl Node {
    /// Makes a tracker with this many members. Each has its own address and port, a file of its
    /// own, and one file that all have.
    fn with(members: u8) -> Self {
        let me = Me {
            id: PeerId::new([255; 32]),
            epoch: 1,
            port: Some(3333),
            claimed: Vec::new(),
            visitor: false,
            bittorrent: false,
            advertised: 0,
        };
        let interval = Duration::from_mins(1);
        let (keeper, viewer) = Keeper::new();
        let mut node = Self {
            tracker: Tracker::new(Config {
                me,
                interval,
                small_group: thorp_core::tracker::SMALL_GROUP,
                room: thorp_core::tracker::ROOM,
                longest_interval: interval,
                bittorrent: false,
            }),
            keeper,
            viewer,
        };
        for n in 0..members {
            node.joins(n, &format!("10.0.0.{n}"), 3334);
            node.lists(n, None, 1, &[&format!("own {n:03}"), "common"]);
        }
        node
    }

    fn joins(&mut self, n: u8, address: &str, port: u16) {
        let remote: IpAddr = address.parse().expect("an address");
        let link = LinkId(n.into());
        self.handle(links::Input::Connected {
            link,
            member: Party {
                id: id(n),
                name: None,
                tracker: false,
            },
            dialled: false,
            remote,
        });
        let hello = Hello {
            oldest: VERSION,
            newest: VERSION,
            port: Some(port),
            claimed: Vec::new(),
            epoch: 1,
            applied: None,
            neighbour: false,
            visitor: false,
            interval: 60_000,
            record: None,
            bittorrent: false,
            advertised: 0,
        };
        let frame = Frame::plain(hello);
        self.handle(links::Input::Frame { link, frame });
    }

    fn lists(&mut self, n: u8, since: Option<u64>, seq: u64, names: &[&str]) {
        let entry = |name: &&str| Entry {
            name: name.parse().expect("a name"),
            length: 1,
            mtime: 0,
            root: Some(Root::new([7; 32])),
            partial: false,
            nanos: 0,
            executable: false,
            v1: None,
        };
        let update = Update {
            since,
            added: names.iter().map(entry).collect(),
            neighbours: Some(vec![id(n.wrapping_add(1)), id(99)]),
            ..Update::heartbeat(seq)
        };
        let frame = Frame::plain(update);
        let link = LinkId(n.into());
        self.handle(links::Input::Frame { link, frame });
    }

    fn leaves(&mut self, n: u8) {
        let link = LinkId(n.into());
        let reason = "it goes".to_owned();
        self.handle(links::Input::Disconnected { link, reason });
    }

    fn handle(&mut self, input: links::Input) {
        self.tracker.handle(NOW, input);
        while let Some(output) = self.tracker.poll_output() {
            if let Output::Changed(row) = output {
                self.keeper.mark(row);
            }
        }
    }

    fn warns(&mut self, why: &str) {
        let why = why.to_owned();
        let warning = crate::api::Warning::NeighboursUnsaved { why };
        self.keeper.notice(&crate::api::Notice::Warning(warning));
    }

    fn number(&self) -> u64 {
        *self.viewer.news().borrow()
    }

    fn page(&self, part: Part, at: At, limit: usize) -> Page {
        let ask = Ask {
            part,
            at,
            limit,
            names: 3,
        };
        let known = Knowledge::of_tracker(&self.tracker);
        self.keeper.page(&ask, &known, &mut |_| PageRows::default())
    }

    fn since(&self, number: u64) -> Fresh {
        let known = Knowledge::of_tracker(&self.tracker);
        self.keeper
            .since(number, &known, &mut |_| PageRows::default())
    }
}

fn id(n: u8) -> PeerId {
    PeerId::new([n; 32])
}

/// Returns what each row is about: an address or a name.
fn about(rows: &[SnapshotRow]) -> Vec<String> {
    let about = |row: &SnapshotRow| match row {
        SnapshotRow::Peer(peer) => peer.member.address.clone(),
        SnapshotRow::File(file) => file.name.clone(),
        SnapshotRow::Listed(file) => file.name.clone(),
        other => panic!("{other:?}"),
    };
    rows.iter().map(about).collect()
}

#[test]
fn without_a_reader_no_row_is_made() {
    let mut node = Node::with(3);
    let before = node.number();
    for change in 1..=1000 {
        node.lists(0, Some(change), change + 1, &[&format!("new {change}")]);
    }
    assert_eq!(node.number(), before + 1000);
    assert_eq!(node.viewer.rows_made(), 0);
    // A thousand changes of one row are a single change for a reader that asks now.
    let Fresh::Changes { number, changes } = node.since(before) else {
        panic!("it is not far behind");
    };
    assert_eq!((number, changes.len()), (before + 1000, 1));
    assert_eq!(node.viewer.rows_made(), 1);
    let page = node.page(Part::Files, At::Start, 5);
    assert_eq!((page.rows.len(), page.number), (5, number));
    assert_eq!(node.viewer.rows_made(), 6);
}

#[test]
fn pages_put_together_are_everything_in_order_either_way() {
    let node = Node::with(23);
    let parts = [
        Part::Peers,
        Part::Files,
        Part::FilesOf {
            id: id(7).to_string(),
        },
    ];
    for part in parts {
        let whole = node.page(part.clone(), At::Start, usize::MAX);
        assert_eq!(whole.rows.len() as u64, whole.total);
        assert!(!whole.more && whole.total > 1);
        for limit in [1, 2, 5, 22, 23, 24] {
            let (mut forth, mut at) = (Vec::new(), At::Start);
            loop {
                let page = node.page(part.clone(), at, limit);
                forth.extend(page.rows);
                if !page.more {
                    break;
                }
                let last = forth.last().and_then(SnapshotRow::key);
                at = At::After(last.expect("a key"));
            }
            assert_eq!(forth, whole.rows, "{limit}");
            let (mut back, mut at) = (Vec::new(), At::End);
            loop {
                let page = node.page(part.clone(), at, limit);
                back.splice(0..0, page.rows);
                if !page.more {
                    break;
                }
                let first = back.first().and_then(SnapshotRow::key);
                at = At::Before(first.expect("a key"));
            }
            assert_eq!(back, whole.rows, "{limit}");
        }
        let third = whole.rows[1].key().expect("a key");
        let from = node.page(part.clone(), At::From(third), usize::MAX);
        assert_eq!(from.rows, whole.rows[1..]);
    }
}

#[test]
fn of_many_holders_the_first_ones_by_address_are_named() {
    let node = Node::with(30);
    for names in [0, 1, 3, 7, 29, 30, 31] {
        let ask = Ask {
            names,
            ..Ask::first(Part::Files, 1)
        };
        let known = Knowledge::of_tracker(&node.tracker);
        let page = node.keeper.page(&ask, &known, &mut |_| PageRows::default());
        let [SnapshotRow::File(common)] = &page.rows[..] else {
            panic!("{page:?}");
        };
        let named = common.holders.iter().map(|holder| holder.address);
        let first = (0..30).map(|n| format!("10.0.0.{n}:3334").parse().ok());
        assert!(named.eq(first.take(names)), "{names}");
        assert_eq!((common.holders_total, common.partial_total), (30, 0));
    }
}

#[test]
fn a_row_says_what_a_label_needs() {
    let mut node = Node::with(3);
    node.joins(9, "10.0.0.2", 4444);
    node.lists(9, None, 1, &["other"]);
    let rows = node.page(Part::Peers, At::Start, 10).rows;
    assert_eq!(
        about(&rows),
        ["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.2"]
    );
    let shared = rows.iter().map(|row| match row {
        SnapshotRow::Peer(peer) => (peer.member.port, peer.shares_address),
        other => panic!("{other:?}"),
    });
    let expected = [(3334, false), (3334, false), (3334, true), (4444, true)];
    assert_eq!(shared.collect::<Vec<_>>(), expected);
    let SnapshotRow::Peer(oak) = &rows[1] else {
        panic!("{rows:?}");
    };
    assert_eq!((oak.files, oak.listing), (2, Some(1)));
    assert_eq!(oak.names, ["common", "own 001"]);
    let neighbours = oak
        .neighbours
        .iter()
        .map(|named| (named.address, named.shares_address));
    let there = "10.0.0.2:3334".parse().ok();
    assert_eq!(
        neighbours.collect::<Vec<_>>(),
        [(there, true), (None, false)]
    );

    let link = LinkId(9);
    let twin = Entry {
        name: "common".parse().expect("a name"),
        length: 2,
        mtime: 0,
        root: None,
        partial: false,
        nanos: 0,
        executable: false,
        v1: None,
    };
    let update = Update {
        since: Some(1),
        added: vec![twin],
        ..Update::heartbeat(2)
    };
    let frame = Frame::plain(update);
    node.handle(links::Input::Frame { link, frame });
    let rows = node.page(Part::Files, At::Start, 3).rows;
    let said = rows.iter().map(|row| match row {
        SnapshotRow::File(file) => (&*file.name, file.nth, file.has_twin, file.holders_total),
        other => panic!("{other:?}"),
    });
    let expected = [
        ("common", 0, true, 3),
        ("common", 1, true, 1),
        ("other", 0, false, 1),
    ];
    assert_eq!(said.collect::<Vec<_>>(), expected);
}

#[test]
fn another_one_at_its_address_changes_a_row_too() {
    let mut node = Node::with(3);
    let told = |node: &Node, since: u64| {
        let Fresh::Changes { changes, .. } = node.since(since) else {
            panic!("it is not far behind");
        };
        let told = changes.iter().map(|change| match change {
            Change::Now(row) => match &**row {
                SnapshotRow::Peer(peer) => (peer.member.port, peer.shares_address),
                other => panic!("{other:?}"),
            },
            Change::Gone(_) => (0, false),
        });
        let mut told: Vec<_> = told.collect();
        told.sort_unstable();
        told
    };
    let before = node.number();
    node.joins(9, "10.0.0.2", 4444);
    assert_eq!(told(&node, before), [(3334, true), (4444, true)]);
    let before = node.number();
    node.leaves(9);
    assert_eq!(told(&node, before), [(0, false), (3334, false)]);
}

#[test]
fn a_reader_that_is_far_behind_is_told_to_start_again() {
    let mut node = Node::with(2);
    let number = node.number();
    assert_eq!(node.since(number + 1), Fresh::StartAgain { number });
    assert_eq!(node.since(1), Fresh::StartAgain { number });
    node.leaves(1);
    let Fresh::Changes { changes, .. } = node.since(number) else {
        panic!("it is one change behind");
    };
    let gone = Change::Gone(Gone::Peer {
        id: id(1).to_string(),
    });
    assert_eq!(changes, [gone]);
    // Rows of more than a mebibyte.
    let before = node.number();
    let text = "x".repeat(8 * 1024);
    for _ in 0..100 {
        node.warns(&text);
    }
    assert!(matches!(node.since(before), Fresh::Changes { .. }));
    let before = node.number();
    for _ in 0..100 {
        node.warns(&text.repeat(2));
    }
    let number = node.number();
    assert_eq!(node.since(before), Fresh::StartAgain { number });
    let warnings = node.page(Part::Warnings, At::Start, usize::MAX);
    assert_eq!(warnings.rows.len(), 100, "the last ones are kept");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_does_not_read_costs_no_rows_and_gets_each_row_once() {
    let mut node = Node::with(3);
    let since = node.number();
    let viewer = node.viewer.clone();
    let (events, mut told) = tokio::sync::mpsc::channel(1);
    let watching = tokio::spawn({
        let viewer = viewer.clone();
        async move { watch(&viewer, since, &events).await }
    });
    let mut seq = 1;
    for _ in 0..1000 {
        seq += 1;
        node.lists(0, Some(seq - 1), seq, &[&format!("new {seq}")]);
        // The node goes on whether or not a reader asks.
        while let Ok(Some(look)) =
            tokio::time::timeout(Duration::from_millis(1), node.keeper.look()).await
        {
            let known = Knowledge::of_tracker(&node.tracker);
            node.keeper.answer(look, &known, |_| PageRows::default());
        }
    }
    assert_eq!(viewer.rows_made(), 1, "one answer waits to be taken");
    let answers = async {
        loop {
            let look = node.keeper.look().await.expect("a reader");
            let known = Knowledge::of_tracker(&node.tracker);
            node.keeper.answer(look, &known, |_| PageRows::default());
        }
    };
    let reads = async {
        let (mut rows, mut number) = (Vec::new(), since);
        while rows.len() < 2 {
            match told.recv().await {
                Some(crate::api::Event::Changes { number: n, changes }) => {
                    number = n;
                    rows.extend(changes);
                }
                other => panic!("{other:?}"),
            }
        }
        (rows.len(), number)
    };
    let (rows, number) = tokio::select! {
        () = answers => panic!("it answers as long as it is asked"),
        read = reads => read,
    };
    assert_eq!((rows, number), (2, since + 1000));
    drop(told);
    watching.await.expect("it ends when its reader hangs up");
}

#[tokio::test(start_paused = true)]
async fn a_reading_goes_on_where_a_search_has_come_to_and_asks_a_busy_node_again() {
    let (mut keeper, viewer) = Keeper::new();
    let reached = |name: &str| RowKey::File {
        name: name.to_owned(),
        nth: usize::MAX,
    };
    let slice = |rows: usize, at: Option<&str>, busy| Page {
        rows: vec![SnapshotRow::Folder(FolderRow { name: "d".into() }); rows],
        number: 0,
        total: 0,
        more: busy || at.is_some(),
        reached: at.map(reached),
        busy,
    };
    let answers = [
        slice(0, None, true),
        slice(1, Some("b"), false),
        // Nothing is found there.
        slice(0, Some("m"), false),
        slice(0, None, true),
        slice(0, None, true),
        slice(2, None, false),
    ];
    let ask = Ask::first(Part::Found { words: "d".into() }, 10);
    let reading = async {
        let mut page = slice(0, None, true);
        viewer.read_on(&ask, &mut page, 10).await.expect("goes on");
        page
    };
    let answering = async {
        let mut asked = Vec::new();
        for answer in answers {
            match keeper.look().await {
                Some(ViewRequest::Pages(asks, reply)) => {
                    asked.extend(asks.into_iter().map(|ask| ask.at));
                    reply.send(vec![answer]).expect("is awaited");
                }
                other => panic!("{other:?}"),
            }
        }
        asked
    };
    let (page, asked) = tokio::join!(reading, answering);
    let after = |name| At::After(reached(name));
    let expected = [
        At::Start,
        At::Start,
        after("b"),
        after("m"),
        after("m"),
        after("m"),
    ];
    assert_eq!(asked, expected);
    let is_over = (page.more, page.busy, page.next(&ask));
    assert_eq!((page.rows.len(), is_over), (3, (false, false, None)));
}

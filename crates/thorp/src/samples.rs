//! A sample of each kind of value, for tests.

use std::path::PathBuf;

use thorp_node::api::{
    AnswerSource, Done, ErrorKind, Event, Failure, Fetched, FileRow, GroupMember, Hashing,
    HolderRow, MadeTorrent, Member, MemberRole, Note, Notice, PeerRow, Progress, Provenance,
    Status, TrackerStatus, Trouble, Warning,
};
use thorp_node::snapshot::{Change, Gone, Page, SnapshotRow, TrackedFile, TrackedPeer};

/// The page that describes the output of `--json`.
pub const JSON_PAGE: &str = include_str!("../../../docs/json.md");

pub fn oak() -> Member {
    Member {
        id: "a".repeat(52),
        name: Some("oak".into()),
        address: "192.168.198.138".into(),
        port: 3334,
    }
}

pub fn elm() -> Member {
    Member {
        id: "b".repeat(52),
        name: None,
        address: "192.168.198.139".into(),
        port: 3334,
    }
}

pub fn root() -> String {
    format!("3f2a9c01d2e4{}", "0".repeat(52))
}

pub fn file(name: &str) -> FileRow {
    FileRow {
        name: name.into(),
        length: 1229,
        mtime: 1_795_409_040,
        mtime_ns: 250_000_000,
        executable: false,
        root: Some(root()),
        holders: vec![HolderRow {
            member: oak(),
            partial: false,
        }],
    }
}

pub fn peer() -> PeerRow {
    PeerRow {
        member: oak(),
        files: 4,
        bytes: 1_258_291,
        neighbours: vec!["192.168.198.139".into()],
    }
}

pub fn group_member() -> GroupMember {
    GroupMember {
        id: "a".repeat(52),
        name: "oak".into(),
        role: MemberRole::Member,
        since: 1_795_409_040,
        removed: false,
        present: Some(true),
        last_seen: Some(1_795_409_040),
    }
}

pub fn status() -> Status {
    let Event::Status(status) = documented("status") else {
        panic!("it is the answer of a peer");
    };
    status
}

pub fn tracker_status() -> TrackerStatus {
    let Event::Tracker(status) = documented("tracker") else {
        panic!("it is the answer of a tracker");
    };
    status
}

/// Returns the event that `docs/json.md` gives as an example of its kind.
fn documented(kind: &str) -> Event {
    let begin = format!("{{\"event\":\"{kind}\",");
    let line = JSON_PAGE.lines().find(|line| line.starts_with(&begin));
    serde_json::from_str(line.expect("an example")).expect("all fields")
}

pub fn fetched(source: AnswerSource) -> Fetched {
    Fetched {
        name: "2.txt".into(),
        path: PathBuf::from("/home/oak/papers/2.txt"),
        length: 1229,
        root: root(),
        from: Some(oak()),
        sources: vec![oak()],
        clients: Vec::new(),
        received: 1229,
        answer: Provenance {
            source,
            via: None,
            tracker_asked: source == AnswerSource::Tracker,
        },
        ms: 1.8,
    }
}

/// Returns a failure of the given kind and text.
pub fn failure(kind: ErrorKind, message: &str) -> Failure {
    Failure::Library {
        kind,
        text: message.into(),
    }
}

pub fn nobody() -> Failure {
    Failure::NobodyShares {
        from: None,
        root: None,
    }
}

pub fn tracked_peer() -> TrackedPeer {
    let Event::Changes { changes, .. } = documented("changes") else {
        panic!("it tells changes");
    };
    let peer = changes.into_iter().find_map(|change| match change {
        Change::Now(row) => match *row {
            SnapshotRow::Peer(peer) => Some(peer),
            _ => None,
        },
        Change::Gone(_) => None,
    });
    peer.expect("a peer's row")
}

pub fn tracked_file() -> TrackedFile {
    let Event::Page(page) = documented("page") else {
        panic!("it is a page");
    };
    let file = page.rows.into_iter().find_map(|row| match row {
        SnapshotRow::File(file) => Some(file),
        _ => None,
    });
    file.expect("a file's row")
}

/// Returns a torrent, as `magnet` and `torrent` tell it.
pub fn made_torrent() -> MadeTorrent {
    MadeTorrent {
        name: "2.txt".into(),
        files: 1,
        length: 1200,
        info_hash: "55".repeat(20),
        magnet: format!(
            "magnet:?xt=urn:btih:{}&dn=2.txt&tr=udp%3A%2F%2F192.168.198.138%3A3333\
             &x.pe=192.168.198.138:3334",
            "55".repeat(20)
        ),
        torrent: Some("ZGU=".into()),
    }
}

/// Returns an event of each kind, in the order of `docs/json.md`.
pub fn events() -> Vec<Event> {
    let mut via = fetched(AnswerSource::Neighbour);
    via.from = Some(elm());
    via.sources = vec![elm()];
    via.answer.via = Some(oak());
    vec![
        Event::File(file("2.txt")),
        Event::Peer(peer()),
        Event::Status(status()),
        Event::Tracker(tracker_status()),
        Event::Choice {
            name: "2.txt".into(),
            variants: vec![file("2.txt")],
        },
        Event::Resumed {
            name: "1.iso".into(),
            bytes: 1_258_291,
            of_bytes: 734_003_200,
        },
        Event::Hashing(Hashing {
            name: "1.iso".into(),
            length: 734_003_200,
            hashed: 1_258_291,
            by: Some(oak()),
        }),
        Event::Progress(Progress {
            files: 1,
            of_files: 2,
            bytes: 1229,
            of_bytes: 4096,
            rate: 1024,
            eta: Some(2),
            sources: 3,
            busy: 1,
            silent: None,
            waiting_for: Vec::new(),
        }),
        Event::Fetched(via),
        Event::Failed {
            name: "3.txt".into(),
            failure: nobody(),
        },
        Event::Waiting {
            name: "3.txt".into(),
            failure: nobody(),
        },
        Event::Note(Note::TrackerInPart),
        Event::Invite {
            invite: "thorp1abc".into(),
        },
        Event::Torrent(made_torrent()),
        Event::Link {
            link: "http://127.0.0.1:4000/#code".into(),
            address: "http://127.0.0.1:4000/".into(),
        },
        Event::Member(group_member()),
        Event::Backup {
            backup: "{}".into(),
        },
        Event::Page(Page {
            number: 1_795_409_040_007,
            total: 2,
            rows: vec![SnapshotRow::File(tracked_file())],
            more: true,
            reached: None,
            busy: false,
        }),
        Event::Changes {
            number: 1_795_409_040_009,
            changes: vec![
                Change::Now(Box::new(SnapshotRow::Peer(tracked_peer()))),
                Change::Gone(Gone::Peer { id: "b".repeat(52) }),
            ],
        },
        Event::StartAgain {
            number: 1_795_409_040_009,
        },
        Event::Done(Done {
            count: 1,
            bytes: 1229,
            ms: 1.8,
            left_out: 0,
        }),
        Event::Error(nobody()),
    ]
}

/// Returns a notice of each kind, in the order of `docs/json.md`.
pub fn notices() -> Vec<Notice> {
    vec![
        Notice::Connecting {
            address: "192.168.198.138".into(),
            port: 3333,
        },
        Notice::Connected,
        Notice::Admitted(Member { port: 0, ..oak() }),
        Notice::TrackerLost(Trouble::Lost {
            why: "the connection was closed".into(),
        }),
        Notice::Note(Note::TakenOnTrust { ca: "d".repeat(52) }),
        Notice::Note(Note::WaitsToJoin),
        Notice::Warning(Warning::Liar { member: oak() }),
    ]
}

//! One value of each kind, for tests.

use std::path::PathBuf;

use thorp_node::api::{
    AnswerSource, Done, ErrorKind, Event, Failure, Fetched, FileRow, GroupMember, Hashing,
    HolderRow, Lookups, Member, MemberRole, Note, Notice, PeerRow, Progress, Provenance, Status,
    TrackerStatus, Trouble, Warning,
};
use thorp_node::snapshot::{Change, MemberRef, Page, SnapshotRow, TrackedFile, TrackedPeer};

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
    }
}

pub fn status() -> Status {
    Status {
        id: "a".repeat(52),
        name: Some("oak".into()),
        share: Some(PathBuf::from("/home/oak/papers")),
        listen: Some("[::]:3334".into()),
        tracker: Some("192.168.198.138:3333".into()),
        tracker_connected: true,
        ca: "d".repeat(52),
        files: 4,
        bytes: 1_258_291,
        unhashed: 1,
        skipped: 2,
        opened: 3,
        neighbours: 2,
        sent: 734_003_200,
        received: 4096,
        lookups: Lookups {
            neighbours: 7,
            tracker: 2,
            nobody: 1,
        },
        certificate_ends: 1_798_001_040,
        certificate_ends_soon: false,
        version: "0.1.0".into(),
    }
}

pub fn tracker_status() -> TrackerStatus {
    TrackerStatus {
        id: "c".repeat(52),
        listen: "[::]:3333".into(),
        ca: "d".repeat(52),
        open: true,
        peers: 3,
        entries: 13,
        finds: 3,
        version: "0.1.0".into(),
    }
}

pub fn fetched(source: AnswerSource) -> Fetched {
    Fetched {
        name: "2.txt".into(),
        path: PathBuf::from("/home/oak/papers/2.txt"),
        length: 1229,
        root: root(),
        from: Some(oak()),
        sources: vec![oak()],
        received: 1229,
        answer: Provenance {
            source,
            via: None,
            tracker_asked: source == AnswerSource::Tracker,
        },
        ms: 1.8,
    }
}

/// A failure of some kind, with some text.
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
    TrackedPeer {
        member: oak(),
        shares_address: false,
        files: 4,
        bytes: 1_258_291,
        listing: Some(3),
        names: Vec::new(),
        neighbours: Vec::new(),
        neighbours_total: 1,
    }
}

pub fn tracked_file() -> TrackedFile {
    TrackedFile {
        name: "2.txt".into(),
        nth: 0,
        has_twin: false,
        length: 1229,
        mtime: 1_795_409_040,
        root: Some(root()),
        holders: vec![member_ref()],
        holders_total: 1,
        partial_total: 0,
    }
}

fn member_ref() -> MemberRef {
    MemberRef {
        id: "b".repeat(52),
        address: "192.168.198.139:3334".parse().ok(),
        shares_address: false,
    }
}

/// An event of each kind, in the order of `docs/json.md`.
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
        }),
        Event::Fetched(via),
        Event::Failed {
            name: "3.txt".into(),
            failure: nobody(),
        },
        Event::Note(Note::TrackerInPart),
        Event::Invite {
            invite: "thorp1abc".into(),
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
        }),
        Event::Changes {
            number: 1_795_409_040_009,
            changes: vec![
                Change::Now(Box::new(SnapshotRow::Peer(tracked_peer()))),
                Change::Gone { id: "b".repeat(52) },
            ],
        },
        Event::StartAgain {
            number: 1_795_409_040_009,
        },
        Event::Done(Done {
            count: 1,
            bytes: 1229,
            ms: 1.8,
        }),
        Event::Error(nobody()),
    ]
}

/// Something of each kind that happens, in the order of `docs/json.md`.
pub fn notices() -> Vec<Notice> {
    vec![
        Notice::Connecting {
            address: "192.168.198.138".into(),
            port: 3333,
        },
        Notice::Connected,
        Notice::TrackerLost(Trouble::Lost {
            why: "the connection was closed".into(),
        }),
        Notice::Note(Note::TakenOnTrust { ca: "d".repeat(52) }),
        Notice::Warning(Warning::Liar { member: oak() }),
    ]
}

//! Values for tests, each as short as possible.

use std::net::SocketAddr;

use minicbor::bytes::ByteVec;
use thorp_wire::frame::{
    Find, Found, GroupRecord, Hello, Holder, Leave, MemberRow, Query, SignedRecord, ToldFile,
    Update, Variant,
};
use thorp_wire::{Content, Entry, Frame, Name, PeerId, Root};

use super::encoded;

pub fn address() -> SocketAddr {
    "192.0.2.1:3334".parse().expect("an address")
}

pub fn content(length: u64) -> Content {
    let root = Root::new([1; 32]);
    Content { length, root }
}

pub fn entry(length: u64) -> Entry {
    Entry {
        name: name("a"),
        length,
        mtime: 0,
        root: None,
        partial: false,
        nanos: 0,
        executable: false,
        v1: None,
    }
}

pub fn hello_of(oldest: u16, newest: u16) -> Hello {
    Hello {
        oldest,
        newest,
        port: None,
        claimed: Vec::new(),
        epoch: 5,
        applied: None,
        neighbour: false,
        visitor: false,
        interval: 5000,
        record: None,
        bittorrent: false,
        advertised: 0,
    }
}

pub fn hello_claiming(addresses: &[ByteVec]) -> Vec<u8> {
    let mut bytes = encoded(&Frame::plain(hello_of(1, 1)));
    let claimed = minicbor::to_vec(addresses).expect("encoded addresses");
    // After the type, the oldest and the newest version.
    bytes[0] += 1;
    bytes.splice(7..7, [vec![0x05], claimed].concat());
    bytes
}

pub fn added(added: Vec<Entry>) -> Update {
    Update {
        since: None,
        added,
        ..Update::heartbeat(5)
    }
}

pub fn removed(removed: Vec<Name>) -> Update {
    Update {
        since: Some(4),
        removed,
        ..Update::heartbeat(5)
    }
}

pub fn neighbours(count: usize) -> Update {
    Update {
        neighbours: Some(vec![PeerId::new([2; 32]); count]),
        ..Update::heartbeat(5)
    }
}

pub fn names(names: Vec<String>) -> Find {
    Find {
        query: Query::Names(names),
        hops: 1,
        hash_now: false,
        after: None,
        most: None,
        until: None,
    }
}

pub fn asked_behind(name: Name) -> Find {
    Find {
        after: Some(name),
        ..names(vec![])
    }
}

pub fn found(variants: Vec<Variant>) -> Found {
    Found {
        variants,
        ..Found::default()
    }
}

/// A file that so many holders have, which are the first one of the table.
pub fn told_file(holders: usize) -> ToldFile {
    ToldFile {
        entry: Entry {
            length: 1,
            root: Some(Root::new([7; 32])),
            partial: false,
            ..variant(0).entry
        },
        holders: vec![0; holders],
    }
}

pub fn members(members: Vec<MemberRow>) -> Found {
    Found {
        members,
        ..Found::default()
    }
}

pub fn unlisted(unlisted: Vec<Holder>) -> Found {
    Found {
        unlisted,
        ..Found::default()
    }
}

pub fn variant(holders: usize) -> Variant {
    Variant {
        entry: entry(1),
        holders: vec![holder(0); holders],
        hashed: None,
    }
}

pub fn holder(addresses: usize) -> Holder {
    Holder {
        id: PeerId::new([2; 32]),
        name: None,
        addresses: vec![address(); addresses],
        partial: false,
    }
}

pub fn member(addresses: usize, neighbours: usize) -> MemberRow {
    MemberRow {
        member: holder(addresses),
        files: 0,
        bytes: 0,
        neighbours: vec![PeerId::new([2; 32]); neighbours],
    }
}

pub fn signed(record: GroupRecord, signature: Option<[u8; 64]>) -> SignedRecord {
    SignedRecord::sign(record, |_| signature)
        .expect("is within bounds")
        .expect("is signed")
}

pub fn leave(reason: &str) -> Leave {
    Leave {
        reason: reason.into(),
    }
}

pub fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

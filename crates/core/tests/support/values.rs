//! Ids, names, contents and records, made from numbers and texts.

use std::collections::BTreeSet;

use thorp_wire::frame::{GroupRecord, SignedRecord};
use thorp_wire::{Content, Entry, Name, PeerId, merkle};

use super::Node;

pub fn id(node: Node) -> PeerId {
    let mut key = [0; 32];
    key[30..].copy_from_slice(&u16::try_from(node).expect("few nodes").to_be_bytes());
    PeerId::new(key)
}

/// The signature that this village accepts as genuine.
pub const GENUINE: [u8; 64] = [7; 64];

pub fn record(number: u64, removed: &[Node], signature: [u8; 64]) -> SignedRecord {
    let removed: BTreeSet<PeerId> = removed.iter().map(|node| id(*node)).collect();
    let record = GroupRecord {
        number,
        open: false,
        bittorrent: false,
        removed: removed.into_iter().collect(),
    };
    SignedRecord::sign(record, |_| Some(signature))
        .expect("is within bounds")
        .expect("is signed")
}

pub fn content(text: &str) -> Content {
    merkle::content_of(text.as_bytes())
}

pub fn name_of(text: &str) -> Name {
    text.parse().expect("a name")
}

pub fn entry(name: &str, text: &str) -> Entry {
    Entry {
        name: name_of(name),
        length: text.len() as u64,
        mtime: 0,
        root: Some(content(text).root),
        partial: false,
        nanos: 0,
        executable: false,
        v1: None,
    }
}

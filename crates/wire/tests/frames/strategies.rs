//! Generates arbitrary frames, for the tests of properties that hold for all.

use std::net::SocketAddr;

use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use thorp_wire::entry::SECOND;
use thorp_wire::frame::{
    Ack, Bytes, Find, Found, Get, GroupRecord, Hello, Holder, Join, Joined, Leave, MemberRow,
    NameFilter, Position, Query, Reason, Record, Refused, SignedRecord, Token, Told, ToldFile,
    Update, Variant,
};
use thorp_wire::{
    Body, Content, Entry, Frame, InfoHash, MemberName, Name, PeerId, RequestId, Root,
};

use super::values::{name, signed};

pub fn frame() -> impl Strategy<Value = Frame> {
    let request = option::of(any::<u32>().prop_map(RequestId));
    (request, any_body()).prop_map(|(request, body)| Frame { request, body })
}

pub fn any_body() -> impl Strategy<Value = Body> {
    prop_oneof![
        any_hello().prop_map(Body::from),
        any_join().prop_map(Body::from),
        any_joined().prop_map(Body::from),
        any_update().prop_map(Body::from),
        any_ack().prop_map(Body::from),
        any_find().prop_map(Body::from),
        any_found().prop_map(Body::from),
        any_content().prop_map(|content| Get { content }.into()),
        vec(any::<u8>(), 0..40).prop_map(|bytes| Bytes { bytes }.into()),
        (any_reason(), ".{0,12}").prop_map(|(reason, text)| Refused {
            reason,
            text: text.into()
        }
        .into()),
        ".{0,12}".prop_map(|reason| Leave {
            reason: reason.into()
        }
        .into()),
        any_record().prop_map(|record| Record { record }.into()),
    ]
}

pub fn any_hello() -> impl Strategy<Value = Hello> {
    let versions = (any::<u16>(), any::<u16>());
    let position = (any::<u64>(), any::<u64>()).prop_map(|(epoch, seq)| Position { epoch, seq });
    (
        versions,
        any::<Option<u16>>(),
        vec(any_address(), 0..=Hello::MAX_CLAIMED),
        any::<u64>(),
        option::of(position),
        any::<(bool, bool, bool)>(),
        any::<(u32, Option<u64>)>(),
    )
        .prop_map(
            |((a, b), port, claimed, epoch, applied, is, (interval, record))| {
                let (neighbour, visitor, bittorrent) = is;
                let advertised = claimed.len().min(2).try_into().expect("a few");
                Hello {
                    oldest: a.min(b),
                    newest: a.max(b),
                    port,
                    claimed,
                    epoch,
                    applied,
                    neighbour,
                    visitor,
                    interval,
                    record,
                    bittorrent,
                    advertised,
                }
            },
        )
}

pub fn any_join() -> impl Strategy<Value = Join> {
    (
        option::of(any::<[u8; 16]>().prop_map(Token)),
        vec(any::<u8>(), 0..40),
        option::of(any_member_name()),
    )
        .prop_map(|(token, request, name)| Join {
            token,
            request,
            name,
        })
}

pub fn any_joined() -> impl Strategy<Value = Joined> {
    (
        vec(any::<u8>(), 0..40),
        option::of(any_record()),
        any::<i64>(),
    )
        .prop_map(|(certificate, record, time)| Joined {
            certificate,
            record,
            time,
        })
}

pub fn any_record() -> impl Strategy<Value = SignedRecord> {
    (
        1..=u64::MAX,
        any::<(bool, bool)>(),
        btree_set(any_peer_id(), 0..3),
        any::<[u8; 32]>(),
    )
        .prop_map(|(number, (open, bittorrent), removed, signature)| {
            let record = GroupRecord {
                number,
                open,
                bittorrent,
                removed: removed.into_iter().collect(),
            };
            signed(record, [signature; 2].concat().try_into().ok())
        })
}

pub fn any_update() -> impl Strategy<Value = Update> {
    (
        (0..=u64::MAX - 1, any::<Option<u64>>()),
        any::<(bool, bool, bool)>(),
        vec(any_entry(), 0..3),
        vec(any_name(), 0..3),
        option::of(vec(any_peer_id(), 0..3)),
        any::<(Option<u64>, Option<u64>)>(),
        any::<(u32, u32)>(),
        (vec(any_peer_id(), 0..3), vec(any_peer_id(), 0..3)),
        option::of(vec(any::<[u8; 20]>().prop_map(InfoHash::new), 0..3)),
    )
        .prop_map(
            |(
                (seq, since),
                (first, last, looking),
                added,
                removed,
                neighbours,
                (entries, bytes),
                (lookups, spared),
                (met, parted),
                torrents,
            )| {
                let in_part = since.is_some() && neighbours.is_none();
                Update {
                    seq: seq + 1,
                    since: since.map(|since| since % (seq + 1)),
                    first,
                    last,
                    added,
                    removed,
                    neighbours,
                    entries,
                    bytes,
                    lookups,
                    spared,
                    met: if in_part { met } else { Vec::new() },
                    parted: if in_part { parted } else { Vec::new() },
                    torrents,
                    looking,
                }
            },
        )
}

pub fn any_ack() -> impl Strategy<Value = Ack> {
    any::<(Option<u64>, Option<u32>, bool, Option<u64>)>().prop_map(
        |(seq, interval, unlisted, record)| Ack {
            seq,
            interval,
            unlisted,
            record,
        },
    )
}

pub fn any_find() -> impl Strategy<Value = Find> {
    let query = prop_oneof![
        vec(".{0,12}", 0..4).prop_map(Query::Names),
        ".{0,12}".prop_map(Query::Pattern),
        any_content().prop_map(Query::Content),
        option::of(any_peer_id()).prop_map(Query::Members),
        (any_filter(), option::of(any::<u32>()))
            .prop_map(|(known, told)| Query::Beyond(known, told)),
    ];
    let most = option::of(any::<u32>());
    let part = (option::of(any_name()), option::of(any_name()));
    (query, 0u8..=1, any::<bool>(), part, most).prop_map(
        |(query, hops, hash_now, (after, until), most)| Find {
            query,
            hops,
            hash_now,
            after,
            most,
            until,
        },
    )
}

fn any_filter() -> impl Strategy<Value = NameFilter> {
    (any::<u64>(), 0..40_usize, vec(any_name(), 0..4)).prop_map(|(salt, room, names)| {
        let mut filter = NameFilter::new(salt, room);
        for name in &names {
            filter.insert(name);
        }
        filter
    })
}

pub fn any_found() -> impl Strategy<Value = Found> {
    let variant = (any_entry(), vec(any_holder(), 0..3), any::<Option<u64>>()).prop_map(
        |(entry, holders, hashed)| Variant {
            entry,
            holders,
            hashed,
        },
    );
    let counts = any::<(u64, u64)>();
    let member = (any_holder(), counts, vec(any_peer_id(), 0..3)).prop_map(
        |(member, (files, bytes), neighbours)| MemberRow {
            member,
            files,
            bytes,
            neighbours,
        },
    );
    let come_to = (option::of(any_name()), any::<Option<u32>>());
    (
        vec(variant, 0..3),
        any::<bool>(),
        vec(member, 0..3),
        come_to,
        (vec(any_holder(), 0..3), any::<bool>()),
        option::of(any_told()),
    )
        .prop_map(
            |(variants, more, members, (behind, answered), (unlisted, more_unlisted), told)| {
                Found {
                    variants,
                    more,
                    members,
                    behind,
                    answered,
                    unlisted,
                    more_unlisted,
                    told,
                }
            },
        )
}

fn any_told() -> impl Strategy<Value = Told> {
    let file = (any_entry(), any_content(), vec(0..3_u8, 0..3));
    (vec(any_holder(), 3..5), vec(file, 0..4)).prop_map(|(holders, files)| Told {
        holders,
        files: files
            .into_iter()
            .map(|(entry, content, holders)| ToldFile {
                entry: Entry {
                    length: content.length,
                    root: Some(content.root),
                    partial: false,
                    ..entry
                },
                holders,
            })
            .collect(),
    })
}

pub fn any_reason() -> impl Strategy<Value = Reason> {
    prop::sample::select(vec![
        Reason::Unknown,
        Reason::NotHere,
        Reason::TooLarge,
        Reason::Busy,
        Reason::NotInvited,
        Reason::Unreadable,
        Reason::NotServed,
        Reason::Changed,
    ])
}

pub fn any_holder() -> impl Strategy<Value = Holder> {
    (
        any_peer_id(),
        option::of(any_member_name()),
        vec(any_address(), 0..3),
        any::<bool>(),
    )
        .prop_map(|(id, name, addresses, partial)| Holder {
            id,
            name,
            addresses,
            partial,
        })
}

pub fn any_entry() -> impl Strategy<Value = Entry> {
    let hashed = (any_content(), any::<bool>())
        .prop_map(|(content, partial)| (content.length, Some(content.root), partial));
    let unhashed = any::<u64>().prop_map(|length| (length, None, false));
    let file = prop_oneof![hashed, unhashed];
    let moment = (any::<i64>(), 0..SECOND);
    let v1 = option::of(any::<[u8; 20]>().prop_map(InfoHash::new));
    let parts = (any_name(), file, moment, any::<bool>(), v1);
    parts.prop_map(
        |(name, (length, root, partial), (mtime, nanos), executable, v1)| Entry {
            name,
            length,
            mtime,
            root,
            partial,
            nanos,
            executable,
            v1,
        },
    )
}

pub fn any_content() -> impl Strategy<Value = Content> {
    let some = (1..=u64::MAX, any::<[u8; 32]>()).prop_map(|(length, mut root)| {
        root[0] |= 1;
        let root = Root::new(root);
        Content { length, root }
    });
    prop_oneof![1 => Just(Content::EMPTY), 9 => some]
}

pub fn any_name() -> impl Strategy<Value = Name> {
    vec(r"[^/\x00.][^/\x00]{0,8}", 1..4).prop_map(|parts| name(&parts.join("/")))
}

pub fn any_member_name() -> impl Strategy<Value = MemberName> {
    "[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?".prop_map(|text| text.parse().expect("a member name"))
}

pub fn any_peer_id() -> impl Strategy<Value = PeerId> {
    any::<[u8; 32]>().prop_map(PeerId::new)
}

/// An address in the form in which it is decoded: no IPv4-mapped IPv6 address, no scope id.
pub fn any_address() -> impl Strategy<Value = SocketAddr> {
    let v4 = any::<([u8; 4], u16)>().prop_map(SocketAddr::from);
    let v6 = any::<([u8; 16], u16)>().prop_map(|(mut ip, port)| {
        ip[0] |= 0x20;
        SocketAddr::from((ip, port))
    });
    prop_oneof![v4, v6]
}

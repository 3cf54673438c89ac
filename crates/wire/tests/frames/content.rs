//! The contents of frames: names, ids, addresses, file contents, versions.

use std::net::SocketAddr;

use minicbor::bytes::ByteVec;
use thorp_wire::frame::{Find, Get, Hello, Join, Query, Update, Variant};
use thorp_wire::{Body, Content, Entry, Frame, MemberName, Name, Root};

use super::values::{
    added, asked_behind, content, entry, found, hello_claiming, hello_of, name, names, neighbours,
    removed, variant,
};
use super::{encoded, malformed, refused_unless};

#[test]
fn names_that_could_leave_a_share_are_malformed() {
    for bad in [
        "..",
        "a/../b",
        "/etc/passwd",
        "a\0b",
        ".",
        "a//b",
        "./a",
        "a/",
    ] {
        assert!(bad.parse::<Name>().is_err());
        let stand_in = "_".repeat(bad.len());
        let entry = Entry {
            name: name(&stand_in),
            ..entry(1)
        };
        let variant = Variant {
            entry: entry.clone(),
            ..variant(0)
        };
        for (kind, honest) in [
            (3, added(vec![entry]).into()),
            (3, removed(vec![name(&stand_in)]).into()),
            (5, asked_behind(name(&stand_in)).into()),
            (6, found(vec![variant]).into()),
        ] {
            let honest: Body = honest;
            let mut bytes = encoded(&Frame::plain(honest));
            assert_eq!(bytes[2], kind);
            let at = bytes
                .windows(bad.len())
                .position(|window| window == stand_in.as_bytes())
                .expect("the stand-in");
            bytes[at..at + bad.len()].copy_from_slice(bad.as_bytes());
            assert!(malformed(&bytes).is_some(), "{bad:?} in type {kind}");
        }
    }
}

#[test]
fn member_names_outside_their_alphabet_are_malformed() {
    let honest = Join {
        token: None,
        request: vec![1],
        name: Some(MemberName::nearest("oak")),
    };
    let honest = encoded(&Frame::plain(honest));
    for bad in [b"Oak", b"o k", b"-ak", b"oa-", b"o\x1bk"] {
        let mut bytes = honest.clone();
        let at = bytes.len() - bad.len();
        bytes[at..].copy_from_slice(bad);
        assert!(malformed(&bytes).is_some(), "{}", bad.escape_ascii());
    }
}

#[test]
fn ids_roots_and_addresses_have_their_length() {
    for (kind, honest) in [
        (
            7,
            encoded(&Frame::plain(Get {
                content: content(1),
            })),
        ),
        (3, encoded(&Frame::plain(neighbours(1)))),
    ] {
        // Shortens a byte string of 32 to 31; the byte left over becomes a field.
        let at = honest
            .windows(2)
            .position(|window| window == [0x58, 0x20])
            .expect("32 bytes");
        let mut bytes = honest;
        bytes[at + 1] = 31;
        bytes.remove(at + 2);
        assert!(malformed(&bytes).is_some(), "type {kind}");
    }
    for length in [0, 5, 7, 17, 19] {
        let addresses = vec![ByteVec::from(vec![1; length])];
        let bytes = hello_claiming(&addresses);
        assert!(malformed(&bytes).is_some(), "{length} bytes");
    }
    for length in [6, 18] {
        let addresses = vec![ByteVec::from(vec![1; length])];
        assert!(Frame::decode(&hello_claiming(&addresses)).is_ok());
    }
}

#[test]
fn an_ipv4_address_has_one_form() {
    let mapped = "[::ffff:10.0.0.5]:3334".parse().expect("an address");
    let plain = "10.0.0.5:3334".parse().expect("an address");
    let claiming = |address: SocketAddr| Hello {
        claimed: vec![address],
        ..hello_of(1, 1)
    };
    let written = encoded(&Frame::plain(claiming(mapped)));
    assert_eq!(written, encoded(&Frame::plain(claiming(plain))));

    let long = [&[0; 10][..], &[0xff, 0xff, 10, 0, 0, 5], &[0x0d, 0x06]].concat();
    let read = Frame::decode(&hello_claiming(&[long.into()])).map(|frame| frame.body);
    let Ok(Body::Hello(hello)) = read else {
        panic!("no Hello");
    };
    assert_eq!(hello.claimed, [plain]);
}

#[test]
fn a_content_that_no_file_can_have_is_refused() {
    let no_bytes = Content {
        length: 0,
        root: Root::new([1; 32]),
    };
    let no_root = Content {
        length: 1,
        root: Root::EMPTY,
    };
    for (content, possible) in [
        (no_bytes, false),
        (no_root, false),
        (Content::EMPTY, true),
        (content(1), true),
    ] {
        let entry = Entry {
            length: content.length,
            root: Some(content.root),
            ..entry(1)
        };
        let variant = Variant {
            entry: entry.clone(),
            ..variant(0)
        };
        let query = Query::Content(content);
        refused_unless(possible, 7, Get { content });
        refused_unless(
            possible,
            5,
            Find {
                query,
                ..names(vec![])
            },
        );
        refused_unless(possible, 3, added(vec![entry]));
        refused_unless(possible, 6, found(vec![variant]));
    }
    // An entry that is not yet hashed may have any length.
    refused_unless(true, 3, added(vec![entry(0), entry(1)]));
}

#[test]
fn a_part_of_a_file_that_nobody_could_name_is_malformed() {
    for (root, possible) in [(None, false), (Some(content(1).root), true)] {
        let entry = Entry {
            root,
            partial: true,
            ..entry(1)
        };
        let variant = Variant {
            entry: entry.clone(),
            ..variant(0)
        };
        refused_unless(possible, 3, added(vec![entry]));
        refused_unless(possible, 6, found(vec![variant]));
    }
}

#[test]
fn an_update_leads_forward() {
    let update = |since, seq, added| Update {
        since,
        added,
        ..Update::heartbeat(seq)
    };
    let files = || vec![entry(1)];
    refused_unless(true, 3, update(Some(4), 5, files()));
    refused_unless(true, 3, update(None, 5, files()));
    refused_unless(true, 3, update(None, 0, vec![]));
    refused_unless(true, 3, update(Some(5), 5, vec![]));
    refused_unless(false, 3, update(Some(6), 5, vec![]));
    refused_unless(false, 3, update(Some(5), 5, files()));
    let gone = Update {
        removed: vec![name("a")],
        ..Update::heartbeat(5)
    };
    refused_unless(false, 3, gone);
}

#[test]
fn versions_are_a_range_and_the_newest_common_one_counts() {
    refused_unless(true, 0, hello_of(3, 3));
    refused_unless(false, 0, hello_of(3, 2));
    for (oldest, newest, common) in [(1, 1, Some(1)), (0, 9, Some(1)), (2, 9, None), (0, 0, None)] {
        assert_eq!(hello_of(oldest, newest).common_version(), common);
    }
}

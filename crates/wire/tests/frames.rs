//! What may be said, and what is refused.
//!
//! How the frames look in bytes is in `goldens.rs`.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use minicbor::Encode;
use minicbor::bytes::ByteVec;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use thorp_wire::frame::{
    Ack, Bytes, Find, Found, Get, GroupRecord, Hello, Holder, Join, Joined, Leave, MAX_FRAME,
    MAX_INLINE, MAX_JOIN_FRAME, MemberRow, PREFIX, Position, Query, Reason, Record, Refused,
    SignedRecord, Token, Update, Variant, announced_length,
};
use thorp_wire::{Body, Content, Entry, Frame, FrameError, MemberName, Name};
use thorp_wire::{PeerId, RequestId, Root};

proptest! {
    #[test]
    fn every_frame_reads_back(frame in frame()) {
        let bytes = encoded(&frame);
        prop_assert_eq!(Frame::decode(&bytes), Ok(frame));
    }

    #[test]
    fn no_frame_can_be_cut_or_lengthened(frame in frame(), behind in any::<u8>()) {
        let mut bytes = encoded(&frame);
        for end in 0..bytes.len() {
            prop_assert!(malformed(&bytes[..end]).is_some(), "cut at {}", end);
        }
        bytes.push(behind);
        prop_assert!(malformed(&bytes).is_some());
    }

    #[test]
    fn a_frame_with_a_changed_byte_never_panics_and_has_one_form(
        frame in frame(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = encoded(&frame);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = Frame::decode(&bytes) {
            prop_assert_eq!(Frame::decode(&encoded(&read)), Ok(read));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in vec(any::<u8>(), 0..200), kind in 0u8..12) {
        let _ = Frame::decode(&bytes);
        // The same with a start that gets past the envelope.
        bytes.splice(0..0, [0xa3, 0x00, kind, 0x02]);
        let _ = Frame::decode(&bytes);
    }
}

#[test]
fn frames_follow_one_another_in_one_buffer() {
    let mut out = Vec::new();
    let frames = [
        Frame::plain(Update::heartbeat(1)),
        Frame::with_request(RequestId(u32::MAX), leave("")),
    ];
    for frame in &frames {
        frame.encode(&mut out).expect("an encoded frame");
    }
    for frame in frames {
        let (prefix, rest) = out.split_first_chunk().expect("a prefix");
        let length = announced_length(*prefix, MAX_FRAME).expect("a short frame");
        assert_eq!(Frame::decode(&rest[..length]), Ok(frame));
        out.drain(..PREFIX + length);
    }
    assert_eq!(out, []);
}

#[test]
fn a_type_nobody_knows_is_reported_with_its_request_id() {
    let request = Some(RequestId(7));
    for (bytes, kind, request) in [
        (&[0xa1, 0x00, 0x17][..], 23, None),
        (&[0xa2, 0x00, 0x17, 0x01, 0x07], 23, request),
        (&[0xa3, 0x00, 0x17, 0x01, 0x07, 0x02, 0xf5], 23, request),
        (&[0xa2, 0x00, 0x17, 0x02, 0x07], 23, None),
        (&[0xa1, 0x00, 0x19, 0xff, 0xff], 65_535, None),
    ] {
        let unknown = FrameError::Unknown { kind, request };
        assert_eq!(Frame::decode(bytes), Err(unknown), "{bytes:02x?}");
    }
}

#[test]
fn an_unknown_type_does_not_excuse_a_malformed_frame() {
    assert!(
        malformed(&[0xa1, 0x00, 0x17, 0x00]).is_some(),
        "bytes behind it"
    );
    assert!(
        malformed(&[0xa2, 0x00, 0x17, 0x00, 0x17]).is_some(),
        "a key twice"
    );
    assert!(
        malformed(&[0xa1, 0x00, 0x1a, 0, 1, 0, 0]).is_some(),
        "type 65,536"
    );
}

#[test]
fn a_frame_without_a_type_or_with_a_request_id_that_is_none_is_refused() {
    assert!(malformed(&[]).is_some());
    assert!(malformed(&[0xa0]).is_some());
    assert!(malformed(&[0xa1, 0x01, 0x07]).is_some());
    assert!(malformed(&[0xa2, 0x00, 0x17, 0x01, 0xf5]).is_some(), "true");
    let over_32_bits = [0xa2, 0x00, 0x17, 0x01, 0x1b, 0, 0, 0, 1, 0, 0, 0, 0];
    assert!(malformed(&over_32_bits).is_some());
}

#[test]
fn a_kind_of_question_nobody_knows_leaves_the_link_open() {
    let future = [
        &[0xa5, 0x00, 0x05, 0x01, 0x07][..], // Find, request 7
        &[0x02, 0x82, 0x04, 0x81, 0xf5],     // query: kind 4, [true]
        &[0x03, 0x01, 0x04, 0xf4],
    ]
    .concat();
    let unknown = FrameError::Unknown {
        kind: 5,
        request: Some(RequestId(7)),
    };
    assert_eq!(Frame::decode(&future), Err(unknown));
}

#[test]
fn a_reason_nobody_knows_is_read_as_not_served() {
    let not_served = Frame::plain(Refused {
        reason: Reason::NotServed,
        text: String::new(),
    });
    for reason in [&[0x07][..], &[0x18, 0xff], &[0x1b, 1, 0, 0, 0, 0, 0, 0, 0]] {
        let bytes = [&[0xa2, 0x00, 0x09, 0x02], reason].concat();
        assert_eq!(Frame::decode(&bytes).as_ref(), Ok(&not_served));
    }
}

#[test]
fn more_than_one_hop_is_read_as_one() {
    for (asked, read) in [(0, 0), (1, 1), (2, 1), (255, 1)] {
        let find = Find {
            hops: asked,
            ..names(vec![])
        };
        let bytes = by_hand(5, &find);
        let Ok(Body::Find(find)) = Frame::decode(&bytes).map(|frame| frame.body) else {
            panic!("no Find");
        };
        assert_eq!(find.hops, read);
    }
}

#[test]
fn unknown_keys_inside_a_frame_s_values_are_skipped() {
    let entry = Entry {
        name: name("a"),
        length: 1,
        mtime: 0,
        root: None,
        partial: false,
    };
    let known = Update {
        added: vec![entry],
        since: None,
        ..Update::heartbeat(1)
    };
    let update = [
        &[0xa6, 0x00, 0x03, 0x02, 0x01, 0x04, 0xf5, 0x05, 0xf5][..],
        &[0x06, 0x81, 0xa4, 0x00, 0x61, b'a', 0x01, 0x01, 0x02, 0x00],
        &[0x09, 0x81, 0xa1, 0x00, 0xf5], // key 9 of the entry: [{0: true}]
        &[0x09, 0x00],
    ]
    .concat();
    assert_eq!(Frame::decode(&update), Ok(Frame::plain(known)));

    // A content with a third element.
    let content = Content {
        length: 1,
        root: Root::new([1; 32]),
    };
    let get = [
        &[0xa2, 0x00, 0x07, 0x02, 0x83, 0x01, 0x58, 0x20][..],
        &[1; 32],
        &[0xf5],
    ]
    .concat();
    assert_eq!(Frame::decode(&get), Ok(Frame::plain(Get { content })));
}

#[test]
fn fields_that_may_be_left_out_have_a_meaning_then() {
    let hello = [
        0xa5, 0x00, 0x00, 0x02, 0x01, 0x03, 0x01, 0x06, 0x05, 0x0a, 0x07,
    ];
    let expected = Hello {
        neighbour: false,
        visitor: false,
        interval: 7,
        ..hello_of(1, 1)
    };
    assert_eq!(Frame::decode(&hello), Ok(Frame::plain(expected)));
    let found = Frame::plain(Found::default());
    assert_eq!(Frame::decode(&[0xa1, 0x00, 0x06]), Ok(found));
    let heartbeat = [
        0xa5, 0x00, 0x03, 0x02, 0x09, 0x03, 0x09, 0x04, 0xf5, 0x05, 0xf5,
    ];
    let expected = Frame::plain(Update::heartbeat(9));
    assert_eq!(Frame::decode(&heartbeat), Ok(expected));
}

#[test]
fn fields_that_may_not_be_left_out_are_missed() {
    // A Hello without its oldest version, newest version, epoch, interval.
    let fields = [[0x02, 0x01], [0x03, 0x01], [0x06, 0x05], [0x0a, 0x07]];
    for missing in fields {
        let mut hello = vec![0xa4, 0x00, 0x00];
        hello.extend(fields.iter().filter(|field| **field != missing).flatten());
        assert!(malformed(&hello).is_some(), "{missing:02x?}");
    }
    // The rest with nothing but their type.
    for kind in [1, 2, 3, 5, 7, 8, 9, 10, 11] {
        assert!(malformed(&[0xa1, 0x00, kind]).is_some(), "type {kind}");
    }
}

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
        // A byte string of 32 is made one of 31 and the byte that is left a field.
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
fn every_list_has_its_bound_in_both_directions() {
    let names = |count| names(vec!["a".into(); count]);
    bounded(5, Find::MAX_NAMES, names);
    bounded(6, Found::MAX_VARIANTS, |count| {
        found(vec![variant(0); count])
    });
    bounded(6, Variant::MAX_HOLDERS, |count| found(vec![variant(count)]));
    bounded(6, Holder::MAX_ADDRESSES, |count| {
        let holders = vec![holder(count)];
        found(vec![Variant {
            holders,
            ..variant(0)
        }])
    });
    bounded(6, Found::MAX_MEMBERS, |count| {
        members(vec![member(0, 0); count])
    });
    bounded(6, Holder::MAX_ADDRESSES, |count| {
        members(vec![member(count, 0)])
    });
    bounded(6, MemberRow::MAX_NEIGHBOURS, |count| {
        members(vec![member(0, count)])
    });
    bounded(3, Update::MAX_NEIGHBOURS, neighbours);
    bounded(0, Hello::MAX_CLAIMED, |count| Hello {
        claimed: vec![address(); count],
        ..hello_of(1, 1)
    });
}

#[test]
fn every_text_has_its_bound_in_both_directions() {
    bounded(5, Find::MAX_TEXT, |length| names(vec!["x".repeat(length)]));
    bounded(5, Find::MAX_TEXT, |length| Find {
        query: Query::Pattern("x".repeat(length)),
        ..names(vec![])
    });
    bounded(9, Refused::MAX_TEXT, |length| Refused {
        reason: Reason::Busy,
        text: "x".repeat(length),
    });
    bounded(10, Leave::MAX_TEXT, |length| leave(&"x".repeat(length)));
    let inline = usize::try_from(MAX_INLINE).expect("a small number");
    bounded(8, inline, |length| Bytes {
        bytes: vec![7; length],
    });
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
    // Not hashed yet: any length will do.
    refused_unless(true, 3, added(vec![entry(0), entry(1)]));
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
fn a_record_names_each_removed_key_once_and_in_order_and_has_a_number() {
    let [a, b] = [1, 2].map(|byte| PeerId::new([byte; 32]));
    let record = |number, removed: &[PeerId]| GroupRecord {
        number,
        open: false,
        bittorrent: false,
        removed: removed.to_vec(),
    };
    let by_hand = |record: &GroupRecord| {
        let bytes = minicbor::to_vec(record).expect("an encoded record");
        [&[7; 64][..], &bytes].concat()
    };
    for good in [record(1, &[]), record(u64::MAX, &[a, b])] {
        let bytes = by_hand(&good);
        let read = SignedRecord::read(&bytes).expect("is good");
        assert_eq!(read.record(), &good);
        assert_eq!(read.as_bytes(), bytes);
        assert_eq!(read, signed(good, Some([7; 64])));
    }
    for bad in [record(0, &[]), record(1, &[b, a]), record(1, &[a, a])] {
        assert!(SignedRecord::read(&by_hand(&bad)).is_err(), "{bad:?}");
        assert!(SignedRecord::sign(bad, |_| Some([7; 64])).is_err());
    }
    assert!(record(1, &[a, b]).removes(&b));
    assert!(!record(1, &[a]).removes(&b));
}

#[test]
fn a_full_record_fits_in_every_frame_that_carries_one() {
    let full = |count: usize| GroupRecord {
        number: u64::MAX,
        open: true,
        bittorrent: true,
        removed: (0..count)
            .map(|n| {
                let mut id = [0xff; 32];
                id[..8].copy_from_slice(&(n as u64).to_be_bytes());
                PeerId::new(id)
            })
            .collect(),
    };
    let record = signed(full(GroupRecord::MAX_REMOVED), Some([7; 64]));
    let joined = Joined {
        certificate: vec![7; 4096],
        record: Some(record.clone()),
        time: i64::MIN,
    };
    for frame in [
        Frame::plain(Record { record }),
        Frame::with_request(RequestId(u32::MAX), joined),
    ] {
        assert_eq!(Frame::decode(&encoded(&frame)), Ok(frame));
    }
    let over = SignedRecord::sign(full(GroupRecord::MAX_REMOVED + 1), |_| Some([7; 64]));
    assert!(over.is_err());
}

#[test]
fn what_is_signed_is_what_the_signer_wrote_also_where_this_version_does_not_know_it() {
    // A record with a key 9 that means something to a later version.
    let newer = [0xa4, 0x00, 0x05, 0x01, 0xf5, 0x02, 0xf4, 0x09, 0x61, b'?'];
    let bytes = [&[7; 64][..], &newer].concat();
    let read = SignedRecord::read(&bytes).expect("is readable");
    assert!(read.record().open && read.record().number == 5);
    let (signature, message) = read.signature_and_message();
    assert_eq!(signature, [7; 64]);
    assert_eq!(message, [SignedRecord::CONTEXT, &newer].concat());
    for end in 0..bytes.len() {
        assert!(SignedRecord::read(&bytes[..end]).is_err(), "{end}");
    }
    assert!(SignedRecord::read(&[&bytes[..], &[0]].concat()).is_err());
    let frame = Frame::plain(Record { record: read });
    assert_eq!(Frame::decode(&encoded(&frame)), Ok(frame));
}

#[test]
fn versions_are_a_range_and_the_newest_common_one_counts() {
    refused_unless(true, 0, hello_of(3, 3));
    refused_unless(false, 0, hello_of(3, 2));
    for (oldest, newest, common) in [(1, 1, Some(1)), (0, 9, Some(1)), (2, 9, None), (0, 0, None)] {
        assert_eq!(hello_of(oldest, newest).common_version(), common);
    }
}

#[test]
fn a_frame_over_the_limit_is_not_written() {
    let full = |count| Update {
        since: None,
        ..removed(vec![name(&"x".repeat(255)); count])
    };
    let mut out = b"before".to_vec();
    let fits = Frame::plain(full(MAX_FRAME / 257 - 1));
    assert_eq!(fits.encode(&mut out), Ok(()));
    let before = out.clone();
    let too_long = Frame::plain(full(MAX_FRAME / 257 + 1)).encode(&mut out);
    assert!(
        matches!(too_long, Err(FrameError::TooLong { length, limit: MAX_FRAME }) if length > 1 << 20)
    );
    assert!(
        out == before,
        "what was there is still there, and nothing else"
    );

    let malformed = Frame::plain(hello_of(2, 1)).encode(&mut out);
    assert!(matches!(malformed, Err(FrameError::Malformed(_))));
    assert!(out == before);
}

#[test]
fn a_frame_of_exactly_the_limit_travels() {
    // Names and patterns are bounded; what fills a frame to the byte is a certificate.
    let joined = |length| Joined {
        certificate: vec![7; length],
        record: None,
        time: 0,
    };
    let overhead = 1 + 2 + 1 + 5 + 2;
    let exact = encoded(&Frame::plain(joined(MAX_FRAME - overhead)));
    assert_eq!(exact.len(), MAX_FRAME);
    assert!(Frame::decode(&exact).is_ok());

    let over = by_hand(2, &joined(MAX_FRAME - overhead + 1));
    let length = MAX_FRAME as u64 + 1;
    let too_long = FrameError::TooLong {
        length,
        limit: MAX_FRAME,
    };
    assert_eq!(Frame::decode(&over), Err(too_long.clone()));
    let over = Frame::plain(joined(MAX_FRAME - overhead + 1));
    assert_eq!(over.encode(&mut Vec::new()), Err(too_long));
}

#[test]
fn a_frame_over_the_limit_is_not_even_looked_at() {
    let mut future = vec![0xa2, 0x00, 0x17, 0x02, 0x5a];
    future.extend((1u32 << 20).to_be_bytes());
    future.resize(future.len() + MAX_FRAME, 0);
    let too_long = Frame::decode(&future);
    assert!(matches!(too_long, Err(FrameError::TooLong { .. })));
}

#[test]
fn who_is_no_member_yet_may_say_less() {
    let join = |length| Join {
        token: None,
        request: vec![7; length],
        name: None,
    };
    let overhead = 1 + 2 + 1 + 3;
    let exact = encoded(&Frame::plain(join(MAX_JOIN_FRAME - overhead)));
    assert_eq!(exact.len(), MAX_JOIN_FRAME);
    assert!(Frame::decode(&exact).is_ok());

    let over = join(MAX_JOIN_FRAME - overhead + 1);
    let too_long = Err(FrameError::TooLong {
        length: MAX_JOIN_FRAME as u64 + 1,
        limit: MAX_JOIN_FRAME,
    });
    assert_eq!(Frame::decode(&by_hand(1, &over)), too_long);
    assert_eq!(
        Frame::plain(over)
            .encode(&mut Vec::new())
            .map(|()| unreachable!()),
        too_long
    );
}

#[test]
fn an_announced_length_is_believed_up_to_the_limit() {
    for limit in [MAX_JOIN_FRAME, MAX_FRAME] {
        let exact = u32::try_from(limit).expect("a short frame");
        assert_eq!(announced_length(exact.to_be_bytes(), limit), Ok(limit));
        for over in [exact + 1, u32::MAX] {
            let too_long = FrameError::TooLong {
                length: over.into(),
                limit,
            };
            assert_eq!(announced_length(over.to_be_bytes(), limit), Err(too_long));
        }
    }
    assert_eq!(announced_length([0; PREFIX], MAX_FRAME), Ok(0));
}

/// `frames.md` is written by hand; here is what of it can be counted.
#[test]
fn the_page_says_what_the_code_does() {
    let page = include_str!("../frames.md");
    let types = "Hello Join Joined Update Ack Find Found Get Content Refused Leave Record";
    for (kind, name) in types.split(' ').enumerate() {
        assert!(page.contains(&format!("\n| {kind} | {name} | ")), "{name}");
        assert!(page.contains(&format!("\n### {kind} {name}\n")), "{name}");
    }
    let section = |title: &str| {
        let (_, behind) = page.split_once(title).expect("a section");
        let end = behind
            .find("\n#")
            .into_iter()
            .chain(behind.find("\n**"))
            .min();
        &behind[..end.unwrap_or(behind.len())]
    };
    for (title, bound) in [
        ("## The envelope", "1,048,576 (1 MiB)".to_owned()),
        ("## The envelope", "16,384 (16 KiB)".to_owned()),
        ("### 0 Hello", format!("At most {}.", Hello::MAX_CLAIMED)),
        (
            "### 3 Update",
            format!("At most {}.", Update::MAX_NEIGHBOURS),
        ),
        (
            "### 5 Find",
            format!(
                "At most {}, each at most {} bytes",
                Find::MAX_NAMES,
                Find::MAX_TEXT
            ),
        ),
        ("### 6 Found", format!("At most {}.", Found::MAX_VARIANTS)),
        ("### 6 Found", format!("At most {}.", Found::MAX_MEMBERS)),
        ("### 8 Content", "At most 262,144 (256 KiB)".to_owned()),
        (
            "### 9 Refused",
            format!("At most {} bytes", Refused::MAX_TEXT),
        ),
        ("### 10 Leave", format!("At most {} bytes", Leave::MAX_TEXT)),
        (
            "**signed record**",
            format!("At most {}.", GroupRecord::MAX_REMOVED),
        ),
        ("**variant**", format!("At most {}.", Variant::MAX_HOLDERS)),
        ("**holder**", format!("At most {}.", Holder::MAX_ADDRESSES)),
        (
            "**member row**",
            format!("At most {}.", MemberRow::MAX_NEIGHBOURS),
        ),
        ("**file name**", format!("text, 1 to {} bytes", Name::MAX)),
        ("**file name**", format!("over {} bytes", Name::MAX_PART)),
        (
            "**member name**",
            format!("1 to {} characters", MemberName::MAX),
        ),
    ] {
        assert!(section(title).contains(&bound), "{title}: {bound}");
    }
    assert_eq!(
        (MAX_FRAME, MAX_JOIN_FRAME, MAX_INLINE),
        (1_048_576, 16_384, 262_144)
    );
}

/// Bytes as they come from the other side, without the length.
fn encoded(frame: &Frame) -> Vec<u8> {
    let mut out = Vec::new();
    frame.encode(&mut out).expect("an encoded frame");
    out.split_off(PREFIX)
}

/// The same for what [`Frame::encode`] refuses to write.
fn by_hand(kind: u8, body: &impl Encode<()>) -> Vec<u8> {
    let mut bytes = minicbor::to_vec(body).expect("an encoded body");
    bytes[0] += 1;
    bytes.splice(1..1, [0x00, kind]);
    bytes
}

fn malformed(bytes: &[u8]) -> Option<String> {
    match Frame::decode(bytes) {
        Err(FrameError::Malformed(why)) => Some(why),
        _ => None,
    }
}

/// Both directions take `body`, or both refuse it.
#[track_caller]
fn refused_unless(possible: bool, kind: u8, body: impl Into<Body> + Encode<()>) {
    let read = Frame::decode(&by_hand(kind, &body));
    let written = Frame::plain(body).encode(&mut Vec::new());
    if possible {
        assert_eq!((read.map(drop), written), (Ok(()), Ok(())));
    } else {
        assert!(matches!(read, Err(FrameError::Malformed(_))));
        assert_eq!(read.map(drop), written);
    }
}

/// `body` of size `most` is accepted, and of one more refused.
#[track_caller]
fn bounded<B: Into<Body> + Encode<()>>(kind: u8, most: usize, body: impl Fn(usize) -> B) {
    refused_unless(true, kind, body(most));
    refused_unless(false, kind, body(most + 1));
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
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

fn address() -> SocketAddr {
    "192.0.2.1:3334".parse().expect("an address")
}

fn content(length: u64) -> Content {
    let root = Root::new([1; 32]);
    Content { length, root }
}

fn entry(length: u64) -> Entry {
    Entry {
        name: name("a"),
        length,
        mtime: 0,
        root: None,
        partial: false,
    }
}

fn hello_of(oldest: u16, newest: u16) -> Hello {
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
    }
}

fn hello_claiming(addresses: &[ByteVec]) -> Vec<u8> {
    let mut bytes = encoded(&Frame::plain(hello_of(1, 1)));
    let claimed = minicbor::to_vec(addresses).expect("encoded addresses");
    // Behind type, oldest and newest.
    bytes[0] += 1;
    bytes.splice(7..7, [vec![0x05], claimed].concat());
    bytes
}

fn added(added: Vec<Entry>) -> Update {
    Update {
        since: None,
        added,
        ..Update::heartbeat(5)
    }
}

fn removed(removed: Vec<Name>) -> Update {
    Update {
        since: Some(4),
        removed,
        ..Update::heartbeat(5)
    }
}

fn neighbours(count: usize) -> Update {
    Update {
        neighbours: Some(vec![PeerId::new([2; 32]); count]),
        ..Update::heartbeat(5)
    }
}

fn names(names: Vec<String>) -> Find {
    Find {
        query: Query::Names(names),
        hops: 1,
        hash_now: false,
        after: None,
    }
}

fn asked_behind(name: Name) -> Find {
    Find {
        after: Some(name),
        ..names(vec![])
    }
}

fn found(variants: Vec<Variant>) -> Found {
    Found {
        variants,
        ..Found::default()
    }
}

fn members(members: Vec<MemberRow>) -> Found {
    Found {
        members,
        ..Found::default()
    }
}

fn variant(holders: usize) -> Variant {
    Variant {
        entry: entry(1),
        holders: vec![holder(0); holders],
        hashed: None,
    }
}

fn holder(addresses: usize) -> Holder {
    Holder {
        id: PeerId::new([2; 32]),
        name: None,
        addresses: vec![address(); addresses],
        partial: false,
    }
}

fn member(addresses: usize, neighbours: usize) -> MemberRow {
    MemberRow {
        member: holder(addresses),
        files: 0,
        bytes: 0,
        neighbours: vec![PeerId::new([2; 32]); neighbours],
    }
}

fn signed(record: GroupRecord, signature: Option<[u8; 64]>) -> SignedRecord {
    SignedRecord::sign(record, |_| signature)
        .expect("is within bounds")
        .expect("is signed")
}

fn leave(reason: &str) -> Leave {
    Leave {
        reason: reason.into(),
    }
}

fn frame() -> impl Strategy<Value = Frame> {
    let request = option::of(any::<u32>().prop_map(RequestId));
    (request, any_body()).prop_map(|(request, body)| Frame { request, body })
}

#[test]
fn a_body_of_every_type_is_made_for_these_tests() {
    let mut runner = TestRunner::deterministic();
    let made = (0..500).map(|_| any_body().new_tree(&mut runner).expect("a body"));
    let made: BTreeSet<&str> = made.map(|body| body.current().name()).collect();
    let types = Body::TYPES.iter().map(|(_, name)| *name);
    assert_eq!(made, types.collect());
}

fn any_body() -> impl Strategy<Value = Body> {
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
        (any_reason(), ".{0,12}").prop_map(|(reason, text)| Refused { reason, text }.into()),
        ".{0,12}".prop_map(|reason| Leave { reason }.into()),
        any_record().prop_map(|record| Record { record }.into()),
    ]
}

fn any_hello() -> impl Strategy<Value = Hello> {
    let versions = (any::<u16>(), any::<u16>());
    let position = (any::<u64>(), any::<u64>()).prop_map(|(epoch, seq)| Position { epoch, seq });
    (
        versions,
        any::<Option<u16>>(),
        vec(any_address(), 0..=Hello::MAX_CLAIMED),
        any::<u64>(),
        option::of(position),
        any::<(bool, bool)>(),
        any::<(u32, Option<u64>)>(),
    )
        .prop_map(
            |((a, b), port, claimed, epoch, applied, (neighbour, visitor), (interval, record))| {
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
                }
            },
        )
}

fn any_join() -> impl Strategy<Value = Join> {
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

fn any_joined() -> impl Strategy<Value = Joined> {
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

fn any_record() -> impl Strategy<Value = SignedRecord> {
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

fn any_update() -> impl Strategy<Value = Update> {
    (
        (0..=u64::MAX - 1, any::<Option<u64>>()),
        any::<(bool, bool)>(),
        vec(any_entry(), 0..3),
        vec(any_name(), 0..3),
        option::of(vec(any_peer_id(), 0..3)),
        any::<u32>(),
    )
        .prop_map(
            |((seq, since), (first, last), added, removed, neighbours, load)| Update {
                seq: seq + 1,
                since: since.map(|since| since % (seq + 1)),
                first,
                last,
                added,
                removed,
                neighbours,
                load,
            },
        )
}

fn any_ack() -> impl Strategy<Value = Ack> {
    any::<(Option<u64>, Option<u32>, bool, Option<u64>)>().prop_map(
        |(seq, interval, unlisted, record)| Ack {
            seq,
            interval,
            unlisted,
            record,
        },
    )
}

fn any_find() -> impl Strategy<Value = Find> {
    let query = prop_oneof![
        vec(".{0,12}", 0..4).prop_map(Query::Names),
        ".{0,12}".prop_map(Query::Pattern),
        any_content().prop_map(Query::Content),
        option::of(any_peer_id()).prop_map(Query::Members),
    ];
    (query, 0u8..=1, any::<bool>(), option::of(any_name())).prop_map(
        |(query, hops, hash_now, after)| Find {
            query,
            hops,
            hash_now,
            after,
        },
    )
}

fn any_found() -> impl Strategy<Value = Found> {
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
    )
        .prop_map(|(variants, more, members, (behind, answered))| Found {
            variants,
            more,
            members,
            behind,
            answered,
        })
}

fn any_reason() -> impl Strategy<Value = Reason> {
    prop::sample::select(vec![
        Reason::Unknown,
        Reason::NotHere,
        Reason::TooLarge,
        Reason::Busy,
        Reason::NotInvited,
        Reason::Unreadable,
        Reason::NotServed,
    ])
}

fn any_holder() -> impl Strategy<Value = Holder> {
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

fn any_entry() -> impl Strategy<Value = Entry> {
    let hashed = (any_content(), any::<bool>())
        .prop_map(|(content, partial)| (content.length, Some(content.root), partial));
    let unhashed = any::<u64>().prop_map(|length| (length, None, false));
    let file = prop_oneof![hashed, unhashed];
    (any_name(), file, any::<i64>()).prop_map(|(name, (length, root, partial), mtime)| Entry {
        name,
        length,
        mtime,
        root,
        partial,
    })
}

fn any_content() -> impl Strategy<Value = Content> {
    let some = (1..=u64::MAX, any::<[u8; 32]>()).prop_map(|(length, mut root)| {
        root[0] |= 1;
        let root = Root::new(root);
        Content { length, root }
    });
    prop_oneof![1 => Just(Content::EMPTY), 9 => some]
}

fn any_name() -> impl Strategy<Value = Name> {
    vec(r"[^/\x00.][^/\x00]{0,8}", 1..4).prop_map(|parts| name(&parts.join("/")))
}

fn any_member_name() -> impl Strategy<Value = MemberName> {
    "[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?".prop_map(|text| text.parse().expect("a member name"))
}

fn any_peer_id() -> impl Strategy<Value = PeerId> {
    any::<[u8; 32]>().prop_map(PeerId::new)
}

/// In the form it is read in: no IPv4 address written as IPv6, no scope.
fn any_address() -> impl Strategy<Value = SocketAddr> {
    let v4 = any::<([u8; 4], u16)>().prop_map(SocketAddr::from);
    let v6 = any::<([u8; 16], u16)>().prop_map(|(mut ip, port)| {
        ip[0] |= 0x20;
        SocketAddr::from((ip, port))
    });
    prop_oneof![v4, v6]
}

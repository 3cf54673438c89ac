//! What this version does not know: types, keys, questions, reasons; and which fields may be
//! missing.

use minicbor::{Decode, Encode};
use thorp_wire::frame::{Find, Found, Get, Hello, Reason, Refused, Update};
use thorp_wire::{Body, Content, Entry, Frame, FrameError, Name, Remark, RequestId, Root};

use super::values::{hello_of, name, names};
use super::{by_hand, malformed};

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
        &[0x02, 0x82, 0x05, 0x81, 0xf5],     // query: kind 5, [true]
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
        text: Remark::default(),
    });
    for reason in [&[0x08][..], &[0x18, 0xff], &[0x1b, 1, 0, 0, 0, 0, 0, 0, 0]] {
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
        nanos: 0,
        executable: false,
        v1: None,
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

/// An entry as defined before nanoseconds and the executable bit were added.
#[derive(Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
struct EarlierEntry {
    #[n(0)]
    name: Name,
    #[n(1)]
    length: u64,
    #[n(2)]
    mtime: i64,
    #[n(3)]
    root: Option<Root>,
    #[n(4)]
    #[cbor(default, skip_if = "core::ops::Not::not")]
    partial: bool,
}

#[test]
fn earlier_versions_read_the_entries_of_later_ones_and_the_other_way_round() {
    let now = Entry {
        name: name("a"),
        length: 1,
        // A time, in the far future, that does not fit in 64 bits of nanoseconds.
        mtime: 32_503_680_000,
        root: None,
        partial: false,
        nanos: 999_999_999,
        executable: true,
        v1: None,
    };
    let earlier = EarlierEntry {
        name: name("a"),
        length: 1,
        mtime: 32_503_680_000,
        root: None,
        partial: false,
    };
    let bytes = minicbor::to_vec(&now).expect("encoded");
    assert_eq!(minicbor::decode::<EarlierEntry>(&bytes).ok(), Some(earlier));
    let earlier = EarlierEntry {
        name: name("a"),
        length: 1,
        mtime: -1,
        root: None,
        partial: false,
    };
    let bytes = minicbor::to_vec(&earlier).expect("encoded");
    let read = Entry {
        mtime: -1,
        nanos: 0,
        executable: false,
        ..now
    };
    assert_eq!(minicbor::decode(&bytes).ok(), Some(read.clone()));
    // An entry without the new fields is encoded as before.
    assert_eq!(minicbor::to_vec(&read).expect("encoded"), bytes);
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
    // The other types without any field.
    for kind in [1, 2, 3, 5, 7, 8, 9, 10, 11] {
        assert!(malformed(&[0xa1, 0x00, kind]).is_some(), "type {kind}");
    }
}

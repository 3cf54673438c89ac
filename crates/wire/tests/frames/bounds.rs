//! Bounds on lists, texts and frames, and that `frames.md` states them.

use thorp_wire::frame::{
    Bytes, Find, Found, GroupRecord, Hello, Holder, Join, Joined, Leave, MAX_FRAME, MAX_INLINE,
    MAX_JOIN_FRAME, MemberRow, NameFilter, PREFIX, Query, Reason, Refused, Told, ToldFile, Update,
    Variant, announced_length,
};
use thorp_wire::{Frame, FrameError, InfoHash, MemberName, Name, PeerId};

use super::values::{
    address, found, hello_of, holder, leave, member, members, name, names, neighbours, removed,
    told_file, unlisted, variant,
};
use super::{bounded, by_hand, encoded, refused_unless};

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
    bounded(6, Found::MAX_UNLISTED, |count| {
        unlisted(vec![holder(0); count])
    });
    bounded(6, Holder::MAX_ADDRESSES, |count| {
        unlisted(vec![holder(count)])
    });
    let told = |holders, files, each| Found {
        told: Some(Told {
            holders: vec![holder(0); holders],
            files: vec![told_file(each); files],
        }),
        ..Found::default()
    };
    bounded(6, Told::MAX_HOLDERS, |count| told(count, 0, 0));
    bounded(6, Told::MAX_FILES, |count| told(1, count, 1));
    bounded(6, Told::MAX_EACH, |count| told(1, 1, count));
    bounded(6, Holder::MAX_ADDRESSES, |count| Found {
        told: Some(Told {
            holders: vec![holder(count)],
            files: vec![],
        }),
        ..Found::default()
    });
    bounded(3, Update::MAX_NEIGHBOURS, neighbours);
    let changed = |met, parted| Update {
        since: Some(0),
        met: vec![PeerId::new([2; 32]); met],
        parted: vec![PeerId::new([2; 32]); parted],
        ..Update::heartbeat(1)
    };
    bounded(3, Update::MAX_NEIGHBOURS, |count| changed(count, 0));
    bounded(3, Update::MAX_NEIGHBOURS, |count| changed(0, count));
    bounded(3, Update::MAX_TORRENTS, |count| Update {
        since: Some(0),
        torrents: Some(vec![InfoHash::new([2; 20]); count]),
        ..Update::heartbeat(1)
    });
    let unnumbered = Update {
        torrents: Some(Vec::new()),
        ..Update::heartbeat(1)
    };
    refused_unless(false, 3, unnumbered);
    for since in [Some(0), None] {
        let neighbours = since.map(|_| Vec::new());
        let whole = Update {
            since,
            neighbours,
            ..changed(1, 0)
        };
        refused_unless(false, 3, whole);
    }
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
    bounded(5, NameFilter::MAX_BYTES, |length| Find {
        query: Query::Beyond(NameFilter::of_bits(7, vec![0; length]), None),
        ..names(vec![])
    });
    bounded(9, Refused::MAX_TEXT, |length| Refused {
        reason: Reason::Busy,
        text: "x".repeat(length).into(),
    });
    bounded(10, Leave::MAX_TEXT, |length| leave(&"x".repeat(length)));
    let inline = usize::try_from(MAX_INLINE).expect("a small number");
    bounded(8, inline, |length| Bytes {
        bytes: vec![7; length],
    });
}

#[test]
fn what_is_told_in_advance_is_of_whole_files_and_holders_in_its_table() {
    let told = |file| Found {
        told: Some(Told {
            holders: vec![holder(0)],
            files: vec![file],
        }),
        ..Found::default()
    };
    refused_unless(true, 6, told(told_file(1)));
    let elsewhere = ToldFile {
        holders: vec![0, 1],
        ..told_file(1)
    };
    refused_unless(false, 6, told(elsewhere));
    let mut other = told_file(1);
    other.entry.length = 0;
    refused_unless(false, 6, told(other));
}

#[test]
fn a_name_that_is_told_shares_no_more_than_the_one_before_has() {
    // One holder, and one file: "a", by holder 0, of one byte, from 1970, with a root.
    let file = |shared: &[u8]| {
        let mut bytes = vec![0xa2, 0x00, 0x06, 0x09, 0x82, 0x81, 0xa2, 0x00, 0x58, 0x20];
        bytes.extend([2; 32]);
        bytes.extend([0x02, 0x80, 0x81, 0x86]);
        bytes.extend(shared);
        bytes.extend([0x61, b'a', 0x41, 0x00, 0x01, 0x00, 0x58, 0x20]);
        bytes.extend([7; 32]);
        bytes
    };
    assert!(Frame::decode(&file(&[0x00])).is_ok());
    for shared in [
        &[0x01][..],
        &[0x19, 0x01, 0x00],
        &[0x1b, 255, 255, 255, 255, 255, 255, 255, 255],
    ] {
        let read = Frame::decode(&file(shared));
        assert!(matches!(read, Err(FrameError::Malformed(_))), "{shared:?}");
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
    // Names and patterns are bounded, so a certificate fills the frame to the last byte.
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

/// Compares `frames.md`, which is written by hand, with what can be counted in the code.
#[test]
fn the_page_says_what_the_code_does() {
    let page = include_str!("../../frames.md");
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
        (
            "### 6 Found",
            format!(
                "At most {}, and no more than the asker takes.",
                Found::MAX_VARIANTS
            ),
        ),
        ("### 6 Found", format!("At most {}.", Found::MAX_MEMBERS)),
        ("### 6 Found", format!("At most {}.", Found::MAX_UNLISTED)),
        (
            "**told files**",
            format!(
                "holders, at most {}, and an array of files, at most {}.",
                Told::MAX_HOLDERS,
                Told::MAX_FILES
            ),
        ),
        ("**told files**", format!("At most {}.", Told::MAX_EACH)),
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

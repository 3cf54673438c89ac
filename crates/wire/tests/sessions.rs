//! Which messages of a session are accepted, and which are refused.
//!
//! Their exact bytes are in `session_goldens.rs`.

use std::net::{IpAddr, SocketAddr};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use thorp_wire::Root;
use thorp_wire::layout::{LARGEST_PIECE, Layout, MOST_PIECES};
use thorp_wire::session::exchange::{ExchangeError, ExchangedPeer, PeerExchange};
use thorp_wire::session::extended::{ExtendedError, number_after};
use thorp_wire::session::handshake::{Extensions, HANDSHAKE};
use thorp_wire::session::message::{LONGEST_EXTENDED, LONGEST_REQUEST, PIECE_HEAD, PREFIX};
use thorp_wire::session::metadata::{
    METADATA_BLOCK, MetadataError, MetadataMessage, metadata_block_length,
};
use thorp_wire::session::{
    ExtendedHandshake, Handshake, HashRange, Head, Message, MessageError, MessageLimits, Span,
};

proptest! {
    #[test]
    fn every_message_about_metadata_reads_back(
        number in 0u32..512,
        kind in 0u8..3,
        more in 1u32..=16_384,
    ) {
        let total = number * METADATA_BLOCK + more;
        let message = match kind {
            0 => MetadataMessage::Request(number),
            1 => MetadataMessage::Block { number, total, bytes: vec![b'e'; more as usize] },
            _ => MetadataMessage::Reject(number),
        };
        let bytes = message.encode();
        prop_assert!(bytes.len() + 2 <= LONGEST_EXTENDED as usize);
        for end in (0..bytes.len()).step_by(7) {
            prop_assert!(MetadataMessage::decode(&bytes[..end]).is_err());
        }
        prop_assert_eq!(MetadataMessage::decode(&bytes), Ok(message));
    }

    #[test]
    fn every_exchange_of_clients_reads_back(
        v4 in vec((any::<[u8; 4]>(), any::<u16>(), any::<u8>()), 0..20),
        v6 in vec((any::<[u8; 16]>(), any::<u16>(), any::<u8>()), 0..20),
    ) {
        let v4 = v4.into_iter().map(|(ip, port, flags)| (IpAddr::from(ip), port, flags));
        let v6 = v6.into_iter().map(|(ip, port, flags)| (IpAddr::from(ip), port, flags));
        let v6 = v6.filter(|(ip, ..)| ip.to_canonical().is_ipv6());
        let added: Vec<_> = v4.chain(v6).map(|(ip, port, flags)| ExchangedPeer {
            address: SocketAddr::new(ip, port),
            flags,
        }).collect();
        let dropped = added.iter().map(|peer| peer.address).collect();
        let exchange = PeerExchange { added, dropped };
        let bytes = exchange.encode();
        for end in 0..bytes.len() {
            prop_assert!(PeerExchange::decode(&bytes[..end]).is_err());
        }
        prop_assert_eq!(PeerExchange::decode(&bytes), Ok(exchange));
    }

    #[test]
    fn every_message_reads_back_out_of_a_stream(messages in vec(message(), 0..8)) {
        let mut stream = Vec::new();
        for message in &messages {
            message.encode(&mut stream);
        }
        let mut rest = &stream[..];
        for message in messages {
            let head = Head::parse(rest, wide()).expect("no fault").expect("a head");
            rest = &rest[head.length()..];
            match head {
                Head::KeepAlive => prop_assert_eq!(message, Message::KeepAlive),
                Head::Piece(span) => prop_assert_eq!(message, Message::Piece(span)),
                Head::Message(length) => {
                    prop_assert_eq!(Message::decode(&rest[..length]), Ok(message));
                    rest = &rest[length..];
                }
                Head::Handshake => prop_assert!(false, "no handshake was sent"),
            }
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn a_head_that_is_cut_asks_for_more(message in message()) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        let whole = Head::parse(&bytes, wide());
        for end in 0..bytes.len().min(PIECE_HEAD) {
            let cut = Head::parse(&bytes[..end], wide());
            prop_assert!(cut == Ok(None) || cut == whole);
        }
        let head = whole.expect("no fault").expect("a head");
        prop_assert!(head.length() <= bytes.len());
    }

    #[test]
    fn a_message_with_a_changed_byte_never_panics_and_has_one_form(
        message in message(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let Ok(Some(head)) = Head::parse(&bytes, wide()) else { return Ok(()); };
        if let Head::Message(length) = head
            && let Some(body) = bytes[PREFIX..].get(..length)
            && let Ok(read) = Message::decode(body)
        {
            let mut again = Vec::new();
            read.encode(&mut again);
            prop_assert_eq!(&again[PREFIX..], body);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200), kind in 0u8..25) {
        let _ = Head::parse(&bytes, wide());
        let _ = Message::decode(&bytes);
        let _ = ExtendedHandshake::decode(&bytes);
        let _ = MetadataMessage::decode(&bytes);
        let _ = PeerExchange::decode(&bytes);
        let _ = Message::decode(&[&[kind], &bytes[..]].concat());
    }

    #[test]
    fn every_handshake_reads_back(
        (extended, fast, v2) in any::<(bool, bool, bool)>(),
        name in any::<[u8; 20]>(),
        peer in any::<[u8; 20]>(),
    ) {
        let handshake = Handshake { extensions: Extensions { extended, fast, v2 }, name, peer };
        prop_assert_eq!(Handshake::decode(&handshake.encode()), Ok(handshake));
    }

    #[test]
    fn every_extension_handshake_reads_back(
        requests in option::of(any::<u32>()),
        client in option::of(".{0,60}"),
        port in option::of(any::<u16>()),
        longest_request in option::of(any::<u32>()),
        length in option::of(0..=u64::MAX / 2),
        busy in any::<bool>(),
        metadata in option::of(any::<u8>()),
        exchange in option::of(any::<u8>()),
        metadata_length in option::of(any::<u32>()),
        your_ip in option::of(any::<IpAddr>()),
    ) {
        let your_ip = your_ip.map(|ip| ip.to_canonical());
        let said = ExtendedHandshake {
            requests, client, port, longest_request, length, busy,
            metadata, exchange, metadata_length, your_ip,
        };
        let bytes = said.encode();
        for end in 0..bytes.len() {
            let cut = ExtendedHandshake::decode(&bytes[..end]);
            prop_assert!(matches!(cut, Err(ExtendedError::Malformed(_))));
        }
        prop_assert_eq!(ExtendedHandshake::decode(&bytes), Ok(said));
    }
}

#[test]
fn the_handshake_for_the_next_file_is_no_message() {
    let next = Handshake {
        extensions: Extensions::ALL,
        name: [1; 20],
        peer: [2; 20],
    };
    let mut stream = Vec::new();
    Message::NotInterested.encode(&mut stream);
    let first = stream.len();
    stream.extend_from_slice(&next.encode());

    assert_eq!(
        Head::parse(&stream, narrow()),
        Ok(Some(Head::Message(first - PREFIX)))
    );
    let head = Head::parse(&stream[first..], narrow());
    assert_eq!(head, Ok(Some(Head::Handshake)));
    // The handshake is still there to be read.
    assert_eq!(Head::Handshake.length(), 0);
    let bytes = stream[first..][..HANDSHAKE]
        .try_into()
        .expect("a handshake");
    assert_eq!(Handshake::decode(bytes), Ok(next));
}

#[test]
fn no_message_is_as_long_as_a_handshake_would_make_it() {
    let largest = Layout::of(u64::from(LARGEST_PIECE) * u64::from(MOST_PIECES));
    let limits = MessageLimits::of(largest, u32::MAX).expect("as many pieces as can be");
    let bytes = [0x13, b'B', b'i', b'u', 5];
    assert!(matches!(
        Head::parse(&bytes, limits),
        Err(MessageError::TooLong { .. })
    ));
}

#[test]
fn a_file_of_too_many_pieces_has_no_sessions() {
    let longest = u64::from(LARGEST_PIECE) * u64::from(MOST_PIECES);
    assert!(MessageLimits::of(Layout::of(longest), LONGEST_REQUEST).is_some());
    assert!(MessageLimits::of(Layout::of(longest + 1), LONGEST_REQUEST).is_none());
    assert!(MessageLimits::of(Layout::of(u64::MAX), LONGEST_REQUEST).is_none());
}

#[test]
fn a_bitfield_is_as_long_as_the_file_has_pieces_or_as_other_messages_are() {
    // 2^20 pieces of 8 MiB: 131,072 bytes of bits, and the type.
    let limits = MessageLimits::of(Layout::of(8 << 40), LONGEST_REQUEST).expect("few pieces");
    assert_eq!(
        announced(131_073, 5, limits),
        Ok(Some(Head::Message(131_073)))
    );
    let limit = 131_073;
    let length = 131_074;
    assert_eq!(
        announced(length, 5, limits),
        Err(MessageError::TooLong { length, limit })
    );
    // For every file, 512 hashes, as many uncles as a tree can have, and an extended message are
    // within the limits.
    let hashes = 1 + 48 + 32 * (512 + 64);
    assert!(announced(hashes, 22, narrow()).is_ok());
    assert!(announced(LONGEST_EXTENDED, 20, narrow()).is_ok());
    assert!(announced(hashes + 1, 22, narrow()).is_err());
}

#[test]
fn a_block_is_as_long_as_the_longest_request() {
    for request in [16 * 1024, LONGEST_REQUEST] {
        let limits = MessageLimits::of(Layout::of(1), request).expect("one piece");
        let span = Span {
            piece: 0x0707_0707,
            begin: 0x0707_0707,
            length: request,
        };
        assert_eq!(
            announced(request + 9, 7, limits),
            Ok(Some(Head::Piece(span)))
        );
        let (length, limit) = (request + 1, request);
        assert_eq!(
            announced(request + 10, 7, limits),
            Err(MessageError::TooLong { length, limit })
        );
    }
}

#[test]
fn a_piece_without_bytes_is_malformed() {
    for length in 1..=9 {
        let refused = announced(length, 7, narrow());
        assert!(
            matches!(refused, Err(MessageError::Malformed(_))),
            "{length}"
        );
    }
    assert!(matches!(
        Message::decode(&[7, 0, 0, 0, 0]),
        Err(MessageError::Malformed(_))
    ));
}

#[test]
fn a_length_over_the_limit_is_refused_before_anything_else_has_come() {
    assert!(announced(u32::MAX, 4, narrow()).is_err());
    assert!(announced(u32::MAX, 7, narrow()).is_err());
}

#[test]
fn a_type_nobody_knows_can_be_passed_over() {
    for kind in [9, 10, 12, 18, 19, 24, 255] {
        assert_eq!(Message::decode(&[kind]), Err(MessageError::Unknown(kind)));
        assert_eq!(
            Message::decode(&[kind, 1, 2]),
            Err(MessageError::Unknown(kind))
        );
    }
}

#[test]
fn a_part_of_a_hash_and_more_hashes_than_may_be_are_refused() {
    let head = |behind: usize| [&[22], &[0; 48][..], &vec![0xaa; behind]].concat();
    assert!(Message::decode(&head(32 * (512 + 64))).is_ok());
    for behind in [1, 31, 33, 32 * (512 + 64) + 32] {
        let refused = Message::decode(&head(behind));
        assert!(
            matches!(refused, Err(MessageError::Malformed(_))),
            "{behind}"
        );
    }
}

#[test]
fn an_extended_message_is_at_most_of_17_kib() {
    let of = |length: u32| [&[20, 0], &vec![b'x'; length as usize - 2][..]].concat();
    assert!(Message::decode(&of(LONGEST_EXTENDED)).is_ok());
    assert!(matches!(
        Message::decode(&of(LONGEST_EXTENDED + 1)),
        Err(MessageError::TooLong { .. })
    ));
    assert!(matches!(
        Message::decode(&[20]),
        Err(MessageError::Malformed(_))
    ));
}

#[test]
fn impossible_values_in_an_extension_handshake_are_named() {
    for (text, key) in [
        ("d1:pi65536ee", "p"),
        ("d1:pi-1ee", "p"),
        ("d1:p4:3334e", "p"),
        ("d4:reqqi-1ee", "reqq"),
        ("d13:thorp_requesti4294967296ee", "thorp_request"),
        ("d12:thorp_lengthi-1ee", "thorp_length"),
        ("d12:thorp_lengthlee", "thorp_length"),
        ("d1:vi1ee", "v"),
        ("d13:metadata_sizei-1ee", "metadata_size"),
    ] {
        let refused = ExtendedHandshake::decode(text.as_bytes());
        assert_eq!(refused, Err(ExtendedError::Impossible(key)), "{text}");
    }
    for text in ["le", "i1e", "2:de"] {
        let refused = ExtendedHandshake::decode(text.as_bytes());
        assert_eq!(refused, Err(ExtendedError::NotADictionary), "{text}");
    }
}

#[test]
fn the_name_of_a_program_is_cut_to_its_longest_both_ways() {
    let long = ExtendedHandshake {
        client: Some("\u{e9}".repeat(200)),
        ..ExtendedHandshake::default()
    };
    let read = ExtendedHandshake::decode(&long.encode()).expect("a handshake");
    assert_eq!(read.client, Some("\u{e9}".repeat(127)));

    let bytes = [b"d1:v300:", &[0xff; 300][..], b"e"].concat();
    let read = ExtendedHandshake::decode(&bytes).expect("a handshake");
    assert_eq!(read.client, Some("\u{fffd}".repeat(85)));
}

#[test]
fn what_others_understand_is_read_and_nonsense_is_passed_over() {
    // An address of five bytes, messages with numbers that are none, and keys out of order.
    let text = b"d6:yourip5:aaaaa1:md6:ut_pexi256e11:ut_metadatai0eee";
    let read = ExtendedHandshake::decode(text);
    let taken_back = ExtendedHandshake {
        metadata: Some(0),
        ..ExtendedHandshake::default()
    };
    assert_eq!(read, Ok(taken_back));
    let read = ExtendedHandshake::decode(b"d1:mle6:yourip16:0123456789abcdefe");
    let ip = read.expect("a handshake").your_ip;
    assert_eq!(ip, Some(IpAddr::from(*b"0123456789abcdef")));
}

#[test]
fn a_later_handshake_changes_only_the_numbers_that_it_names() {
    let known = [None, Some(3)];
    for (said, now) in [(None, known), (Some(0), [None; 2]), (Some(5), [Some(5); 2])] {
        assert_eq!(known.map(|known| number_after(known, said)), now);
    }
}

#[test]
fn a_block_of_an_info_dictionary_has_the_length_of_its_number() {
    assert_eq!(
        metadata_block_length(METADATA_BLOCK, 0),
        Some(METADATA_BLOCK)
    );
    assert_eq!(metadata_block_length(METADATA_BLOCK + 1, 1), Some(1));
    assert_eq!(metadata_block_length(METADATA_BLOCK, 1), None);
    assert_eq!(metadata_block_length(u32::MAX, u32::MAX), None);
    let text =
        |total, bytes: &str| format!("d8:msg_typei1e5:piecei1e10:total_sizei{total}ee{bytes}");
    let read = |text: String| MetadataMessage::decode(text.as_bytes());
    assert!(read(text(16_388, "four")).is_ok());
    for (total, bytes) in [
        (16_388, "fou"),
        (16_388, "fours"),
        (16_384, "four"),
        (16_384, ""),
    ] {
        let refused = read(text(total, bytes));
        assert_eq!(refused, Err(MetadataError::Length(bytes.len())), "{total}");
    }
    for total in [0, -1, 8 * 1024 * 1024 + 1] {
        let refused = read(text(total, "four"));
        assert_eq!(refused, Err(MetadataError::Impossible("total_size")));
    }
}

#[test]
fn messages_about_metadata_say_what_is_to_be_done_with_them() {
    let read = |text: &str| MetadataMessage::decode(text.as_bytes());
    assert_eq!(
        read("d8:msg_typei3e5:piecei0ee"),
        Err(MetadataError::Unknown)
    );
    assert_eq!(
        read("d8:msg_typei0ee"),
        Err(MetadataError::Impossible("piece"))
    );
    assert_eq!(
        read("d5:piecei0ee"),
        Err(MetadataError::Impossible("msg_type"))
    );
    // No dictionary is read that has such a block, but there are longer ones that are asked for.
    let beyond = |kind: u8| format!("d8:msg_typei{kind}e5:piecei512e10:total_sizei1ee");
    assert_eq!(read(&beyond(0)), Ok(MetadataMessage::Request(512)));
    assert_eq!(read(&beyond(2)), Ok(MetadataMessage::Reject(512)));
    for text in [&beyond(1)[..], "d8:msg_typei0e5:piecei-1ee"] {
        assert_eq!(read(text), Err(MetadataError::Impossible("piece")));
    }
    assert_eq!(
        read("d8:msg_typei0e5:piecei0eex"),
        Err(MetadataError::Length(1))
    );
    assert!(matches!(read("x"), Err(MetadataError::Malformed(_))));
}

#[test]
fn no_more_clients_are_told_of_or_heard_of_than_bep_11_allows() {
    let address: SocketAddr = "192.0.2.1:1".parse().expect("an address");
    let peer = ExchangedPeer { address, flags: 0 };
    let many = PeerExchange {
        added: vec![peer; 60],
        dropped: vec![address; 60],
    };
    let read = PeerExchange::decode(&many.encode()).expect("a message");
    assert_eq!((read.added.len(), read.dropped.len()), (50, 50));
    let bytes = [b"d5:added600:".to_vec(), vec![1; 600], b"e".to_vec()].concat();
    let read = PeerExchange::decode(&bytes).expect("a message");
    assert_eq!(read.added.len(), 50);
    assert!(read.added.iter().all(|peer| peer.flags == 0));
    assert_eq!(
        PeerExchange::decode(b"le"),
        Err(ExchangeError::NotADictionary)
    );
}

/// Parses a message of this length and type of which only a head (of sevens) has arrived.
fn announced(length: u32, kind: u8, limits: MessageLimits) -> Result<Option<Head>, MessageError> {
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.push(kind);
    bytes.extend([7; 8]);
    Head::parse(&bytes, limits)
}

fn narrow() -> MessageLimits {
    MessageLimits::of(Layout::of(1), 16 * 1024).expect("one piece")
}

fn wide() -> MessageLimits {
    MessageLimits::of(Layout::of(5 << 20), LONGEST_REQUEST).expect("few pieces")
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        prop::sample::select(vec![
            Message::KeepAlive,
            Message::Choke,
            Message::Unchoke,
            Message::Interested,
            Message::NotInterested,
            Message::HaveAll,
            Message::HaveNone,
        ]),
        any::<u32>().prop_map(Message::Have),
        any::<u32>().prop_map(Message::Suggest),
        any::<u32>().prop_map(Message::AllowedFast),
        vec(any::<u8>(), 0..40).prop_map(Message::Bitfield),
        span().prop_map(Message::Request),
        span().prop_map(Message::Cancel),
        span().prop_map(Message::Reject),
        (span(), 1..=LONGEST_REQUEST)
            .prop_map(|(span, length)| Message::Piece(Span { length, ..span })),
        (any::<u8>(), vec(any::<u8>(), 0..40))
            .prop_map(|(number, payload)| Message::Extended { number, payload }),
        range().prop_map(Message::HashRequest),
        range().prop_map(Message::HashReject),
        (range(), vec(any::<[u8; 32]>(), 0..5))
            .prop_map(|(range, hashes)| Message::Hashes(range, hashes)),
    ]
}

fn span() -> impl Strategy<Value = Span> {
    any::<(u32, u32, u32)>().prop_map(|(piece, begin, length)| Span {
        piece,
        begin,
        length,
    })
}

fn range() -> impl Strategy<Value = HashRange> {
    any::<([u8; 32], u32, u32, u32, u32)>().prop_map(|(root, base, index, length, proofs)| {
        HashRange {
            root: Root::new(root),
            base,
            index,
            length,
            proofs,
        }
    })
}

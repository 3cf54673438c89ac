//! Everything that is said on a session, byte for byte, with a line for each field, written from
//! the BEPs and not from the code.
//!
//! `11x32` stands for 32 bytes of `11`.

mod support;

use data_encoding::HEXLOWER;
use support::parse;
use thorp_wire::layout::Layout;
use thorp_wire::session::handshake::{Extensions, Handshake, NotBitTorrent};
use thorp_wire::session::message::{LONGEST_REQUEST, PREFIX};
use thorp_wire::session::{
    ExchangedPeer, ExtendedHandshake, HashRange, Head, Message, MessageError, MessageLimits,
    MetadataMessage, PeerExchange, Span,
};
use thorp_wire::{ClientId, InfoHash, PeerId, Root};

#[test]
fn handshake_between_members_in_bytes() {
    let root = Root::new([0x11; 32]);
    let bytes = parse(
        "
        13                                      # 19
        426974546f7272656e742070726f746f636f6c  # BitTorrent protocol
        00x5 10 00 14                           # extended; v2 (10), fast (04)
        11x20                                   # the start of the root
        22x20                                   # the start of the key
        ",
    );
    let handshake = Handshake::of_member(&root, &PeerId::new([0x22; 32]));
    assert_eq!(
        HEXLOWER.encode(&handshake.encode()),
        HEXLOWER.encode(&bytes)
    );
    let whole = bytes.try_into().expect("68 bytes");
    assert_eq!(Handshake::decode(&whole), Ok(handshake));
}

#[test]
fn each_extension_has_its_bit() {
    for (bits, extended, fast, v2) in [
        ("00x8", false, false, false),
        ("00x5 10 00 00", true, false, false),
        ("00x7 04", false, true, false),
        ("00x7 10", false, false, true),
        // Other clients set bits that are unknown here: that of DHT, and all others.
        ("00x7 01", false, false, false),
        ("ffx5 ef ff eb", false, false, false),
        ("ffx8", true, true, true),
    ] {
        let bits = parse(bits);
        let mut bytes = [0; 68];
        bytes[..20].copy_from_slice(b"\x13BitTorrent protocol");
        bytes[20..28].copy_from_slice(&bits);
        let extensions = Extensions { extended, fast, v2 };
        let read = Handshake::decode(&bytes).expect("a handshake");
        assert_eq!(read.extensions, extensions, "{bits:02x?}");
    }
}

#[test]
fn a_handshake_of_another_protocol_is_refused() {
    let handshake = Handshake::of_member(&Root::new([1; 32]), &PeerId::new([2; 32]));
    for at in 0..20 {
        let mut bytes = handshake.encode();
        bytes[at] ^= 1;
        assert_eq!(Handshake::decode(&bytes), Err(NotBitTorrent), "{at}");
    }
}

#[test]
fn messages_without_fields_in_bytes() {
    golden(Message::KeepAlive, "00000000");
    golden(Message::Choke, "00000001 00");
    golden(Message::Unchoke, "00000001 01");
    golden(Message::Interested, "00000001 02");
    golden(Message::NotInterested, "00000001 03");
    golden(Message::HaveAll, "00000001 0e");
    golden(Message::HaveNone, "00000001 0f");
}

#[test]
fn messages_about_a_piece_in_bytes() {
    golden(Message::Have(0x0102_0304), "00000005 04 01020304");
    golden(Message::Suggest(0x0102_0304), "00000005 0d 01020304");
    golden(Message::AllowedFast(0x0102_0304), "00000005 11 01020304");
}

#[test]
fn messages_about_a_block_in_bytes() {
    let span = Span {
        piece: 7,
        begin: 0x0001_0000,
        length: 0x4000,
    };
    for (kind, message) in [
        ("06", Message::Request(span)),
        ("08", Message::Cancel(span)),
        ("10", Message::Reject(span)),
    ] {
        golden(
            message,
            &format!(
                "
                0000000d  # 13 bytes follow
                {kind}    # type
                00000007  # piece
                00010000  # begin
                00004000  # length
                "
            ),
        );
    }
}

#[test]
fn the_head_of_a_piece_in_bytes() {
    let span = Span {
        piece: 7,
        begin: 0x0001_0000,
        length: 0x4000,
    };
    let bytes = parse(
        "
        00004009  # 9 and 16,384 bytes follow
        07        # type
        00000007  # piece
        00010000  # begin
        ",
    );
    let mut out = Vec::new();
    Message::Piece(span).encode(&mut out);
    assert_eq!(HEXLOWER.encode(&out), HEXLOWER.encode(&bytes));
    for end in 0..bytes.len() {
        assert_eq!(Head::parse(&bytes[..end], limits()), Ok(None), "{end}");
    }
    let head = Head::parse(&bytes, limits());
    assert_eq!(head, Ok(Some(Head::Piece(span))));
    assert_eq!(Head::Piece(span).length(), bytes.len());
}

#[test]
fn bitfield_in_bytes() {
    golden(
        Message::Bitfield(vec![0b1010_0000, 0b0100_0000]),
        "
        00000003  # 3 bytes follow
        05        # type
        a0        # pieces 0 and 2
        40        # piece 9
        ",
    );
}

#[test]
fn an_extended_message_in_bytes() {
    golden(
        Message::Extended {
            number: 3,
            payload: b"de".to_vec(),
        },
        "
        00000004  # 4 bytes follow
        14        # type
        03        # number
        64 65     # d e
        ",
    );
}

#[test]
fn messages_about_hashes_in_bytes() {
    let range = HashRange {
        root: Root::new([0x11; 32]),
        base: 4,
        index: 512,
        length: 2,
        proofs: 10,
    };
    for (kind, message) in [
        ("15", Message::HashRequest(range)),
        ("17", Message::HashReject(range)),
    ] {
        golden(
            message,
            &format!(
                "
                00000031  # 49 bytes follow
                {kind}    # type
                11x32     # pieces root
                00000004  # base layer
                00000200  # index
                00000002  # length
                0000000a  # proof layers
                "
            ),
        );
    }
    golden(
        Message::Hashes(range, vec![[0xaa; 32], [0xbb; 32], [0xcc; 32]]),
        "
        00000091  # 145 bytes follow
        16        # type
        11x32     # pieces root
        00000004  # base layer
        00000200  # index
        00000002  # length
        0000000a  # proof layers
        aax32     # the hashes
        bbx32
        ccx32     # an uncle
        ",
    );
}

#[test]
fn the_extension_handshake_in_bytes() {
    let said = ExtendedHandshake {
        requests: Some(500),
        client: Some("thorp 0.1.0".into()),
        port: Some(3334),
        longest_request: Some(1_048_576),
        length: Some(5_242_881),
        ..ExtendedHandshake::default()
    };
    let text = "d1:mde1:pi3334e4:reqqi500e12:thorp_lengthi5242881e13:thorp_requesti1048576e\
                1:v11:thorp 0.1.0e";
    assert_eq!(String::from_utf8_lossy(&said.encode()), text);
    assert_eq!(ExtendedHandshake::decode(text.as_bytes()), Ok(said.clone()));

    let mut bytes = Vec::new();
    said.message().encode(&mut bytes);
    let mut expected = parse("0000005f 14 00");
    expected.extend_from_slice(text.as_bytes());
    assert_eq!(HEXLOWER.encode(&bytes), HEXLOWER.encode(&expected));
}

#[test]
fn the_extension_handshake_to_an_ordinary_client_in_bytes() {
    let said = ExtendedHandshake {
        requests: Some(250),
        client: Some("thorp 0.1.0".into()),
        metadata: Some(MetadataMessage::NUMBER),
        exchange: Some(PeerExchange::NUMBER),
        metadata_length: Some(154),
        your_ip: Some([192, 0, 2, 1].into()),
        ..ExtendedHandshake::default()
    };
    let bytes = b"d1:md11:ut_metadatai1e6:ut_pexi2ee13:metadata_sizei154e4:reqqi250e\
        1:v11:thorp 0.1.06:yourip4:\xc0\x00\x02\x01e";
    let written = said.encode();
    assert_eq!(
        written.escape_ascii().to_string(),
        bytes.escape_ascii().to_string()
    );
    assert_eq!(ExtendedHandshake::decode(bytes), Ok(said));
}

#[test]
fn the_handshake_of_an_ordinary_client_in_bytes() {
    let torrent = InfoHash::new([0x11; 20]);
    let handshake = Handshake::of_client(torrent, ClientId::of_thorp([b'x'; 12]));
    let bytes = parse(
        "
        13                                      # 19
        426974546f7272656e742070726f746f636f6c  # BitTorrent protocol
        00x5 10 00 14                           # extended; v2 (10), fast (04)
        11x20                                   # info-hash
        2d5448303130302d 78x12                  # -TH0100-, and random bytes
        ",
    );
    assert_eq!(
        HEXLOWER.encode(&handshake.encode()),
        HEXLOWER.encode(&bytes)
    );
}

#[test]
fn messages_about_metadata_in_bytes() {
    // The examples of BEP 9.
    for (message, bytes) in [
        (
            MetadataMessage::Request(0),
            &b"d8:msg_typei0e5:piecei0ee"[..],
        ),
        (MetadataMessage::Reject(0), b"d8:msg_typei2e5:piecei0ee"),
        (
            MetadataMessage::Block {
                number: 0,
                total: 8,
                bytes: b"xxxxxxxx".to_vec(),
            },
            b"d8:msg_typei1e5:piecei0e10:total_sizei8eexxxxxxxx",
        ),
    ] {
        assert_eq!(message.encode(), bytes);
        assert_eq!(MetadataMessage::decode(bytes), Ok(message));
    }
}

#[test]
fn an_exchange_of_clients_in_bytes() {
    let exchange = PeerExchange {
        added: vec![
            ExchangedPeer {
                address: "192.0.2.1:6881".parse().expect("an address"),
                flags: ExchangedPeer::SEEDER,
            },
            ExchangedPeer {
                address: "[2001:db8::1]:1".parse().expect("an address"),
                flags: 0,
            },
        ],
        dropped: vec!["192.0.2.2:1".parse().expect("an address")],
    };
    let bytes = b"d5:added6:\xc0\0\x02\x01\x1a\xe17:added.f1:\x026:added6\
        18:\x20\x01\r\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\0\x018:added6.f1:\0\
        7:dropped6:\xc0\0\x02\x02\0\x018:dropped60:e";
    let written = exchange.encode();
    assert_eq!(
        written.escape_ascii().to_string(),
        bytes.escape_ascii().to_string()
    );
    assert_eq!(PeerExchange::decode(bytes), Ok(exchange));
}

#[test]
fn a_member_without_a_place_for_a_session_says_so_in_bytes() {
    let said = ExtendedHandshake {
        busy: true,
        ..ExtendedHandshake::default()
    };
    let text = "d1:mde10:thorp_busyi1ee";
    assert_eq!(String::from_utf8_lossy(&said.encode()), text);
    assert_eq!(ExtendedHandshake::decode(text.as_bytes()), Ok(said));
    let not = ExtendedHandshake::decode(b"d10:thorp_busyi0ee");
    assert_eq!(not, Ok(ExtendedHandshake::default()));
}

#[test]
fn the_extension_handshakes_of_others_are_read() {
    // The example of BEP 10, its letter mu in UTF-8, and the handshake of a widely used client.
    let example = b"d1:md11:LT_metadatai1e7:\xc2\xb5T_PEXi2ee1:pi6881e1:v13:\xc2\xb5Torrent 1.2e";
    let read = ExtendedHandshake::decode(example).expect("a handshake");
    assert_eq!(read.client.as_deref(), Some("\u{b5}Torrent 1.2"));
    assert_eq!(read.port, Some(6881));
    assert_eq!(
        (read.requests, read.longest_request, read.length),
        (None, None, None)
    );

    let other = b"d12:complete_agoi-1e1:md11:lt_donthavei7e10:share_modei8e11:upload_onlyi3e\
        12:ut_holepunchi4e11:ut_metadatai2e6:ut_pexi1ee13:metadata_sizei154e4:reqqi2000e\
        11:upload_onlyi1e1:v18:libtorrent/2.1.1.06:yourip4:\x7f\x00\x00\x01e";
    let read = ExtendedHandshake::decode(other).expect("a handshake");
    assert_eq!((read.metadata, read.exchange), (Some(2), Some(1)));
    assert_eq!(read.metadata_length, Some(154));
    assert_eq!(read.your_ip, Some([127, 0, 0, 1].into()));
    assert_eq!(read.client.as_deref(), Some("libtorrent/2.1.1.0"));
    assert_eq!(read.requests, Some(2000));
}

fn limits() -> MessageLimits {
    MessageLimits::of(Layout::of(5 * 1024 * 1024), LONGEST_REQUEST).expect("a file of few pieces")
}

/// Checks that the message is encoded as these bytes and decoded from them, head first, and that
/// no byte can be removed or added.
#[track_caller]
fn golden(message: Message, commented_hex: &str) {
    let bytes = parse(commented_hex);
    let mut out = vec![0xee];
    message.encode(&mut out);
    assert_eq!(HEXLOWER.encode(&out[1..]), HEXLOWER.encode(&bytes));

    let (prefix, body) = bytes.split_at(PREFIX);
    let head = match body.len() {
        0 => Head::KeepAlive,
        length => Head::Message(length),
    };
    assert_eq!(Head::parse(&bytes, limits()), Ok(Some(head)));
    assert_eq!(head.length(), prefix.len());
    for end in 0..bytes.len().min(PREFIX + 1) {
        let needs_more = end < PREFIX + body.len().min(1);
        assert_eq!(
            Head::parse(&bytes[..end], limits())
                .expect("no fault")
                .is_none(),
            needs_more
        );
    }

    let open_ended = matches!(
        message,
        Message::KeepAlive | Message::Bitfield(_) | Message::Extended { .. } | Message::Hashes(..)
    );
    if !open_ended {
        for end in 1..body.len() {
            let refused = Message::decode(&body[..end]);
            assert!(matches!(refused, Err(MessageError::Malformed(_))), "{end}");
        }
        let longer = [body, &[0]].concat();
        let refused = Message::decode(&longer);
        assert!(matches!(refused, Err(MessageError::Malformed(_))));
    }
    assert_eq!(Message::decode(body), Ok(message));
}

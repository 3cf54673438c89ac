//! What clients and trackers say to one another: in bytes, written from the BEPs and not from the
//! code, and what is refused.

mod support;

use std::net::SocketAddr;

use data_encoding::HEXLOWER;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use support::parse;
use thorp_wire::announce::query::{
    LONGEST_QUERY, read_announce, read_scrape, write_announce, write_scrape,
};
use thorp_wire::announce::{
    Announce, AnnounceEvent, AnnounceReply, Announced, AnswerError, Compact, MOST_PEERS,
    MOST_SCRAPED, QueryError, Stride, SwarmCounts, TrackerUrl, TrackerUrlError, UdpAnswer,
    UdpAnswerError, UdpRequest, UdpRequestError, answer, compact, udp,
};
use thorp_wire::{ClientId, InfoHash};

fn usual() -> Announce {
    Announce {
        torrent: InfoHash::new([0x11; 20]),
        client: ClientId::new(*b"-TR3000-abcdefghijkl"),
        port: 51413,
        uploaded: 1,
        downloaded: 2,
        left: 3,
        event: AnnounceEvent::Started,
        wanted: Some(80),
        key: 0x5a5a_0102,
    }
}

#[test]
fn announces_of_real_clients_are_read() {
    let torrent = InfoHash::new(*b"\x12\x34\x56 x\x9a+\xbc\xde\xf1\x23Eg\x89\xab\xcd\xef\x12-~");
    // How the clients escape: in capitals, in small letters, a space as `+`, and letters that
    // need no escape.
    for query in [
        "info_hash=%124V%20x%9A%2B%BC%DE%F1%23Eg%89%AB%CD%EF%12-~&peer_id=-TR3000-abcdefghijkl\
         &port=51413&uploaded=1&downloaded=2&left=3&numwant=80&key=5a5a0102&compact=1\
         &supportcrypto=1&event=started",
        "peer_id=%2DTR3000%2Dabcdefghijkl&info_hash=%12%34%56+%78%9a%2b%bc%de%f1%23%45%67%89%ab\
         %cd%ef%12%2d%7e&ip=192.0.2.99&ipv6=%5B2001%3Adb8%3A%3A1%5D%3A6881&port=51413&uploaded=1\
         &downloaded=2&left=3&corrupt=0&key=5A5A0102&event=started&numwant=80&compact=1\
         &no_peer_id=1&supportcrypto=1&redundant=0&trackerid=a%00b",
    ] {
        let announce = Announce { torrent, ..usual() };
        assert_eq!(read_announce(query.as_bytes()), Ok(announce), "{query}");
    }
}

#[test]
fn what_a_client_leaves_out_is_not_known() {
    let text = "info_hash=%11%11%11%11%11%11%11%11%11%11%11%11%11%11%11%11%11%11%11%11\
                &peer_id=-TR3000-abcdefghijkl&port=51413";
    let least = Announce {
        uploaded: 0,
        downloaded: 0,
        left: Announce::NOT_KNOWN,
        event: AnnounceEvent::None,
        wanted: None,
        key: 0,
        ..usual()
    };
    for more in [
        "",
        "&",
        "&left=-1&numwant=-1&event=&key=any%20text",
        "&event=empty&key=",
        "&event=paused",
        "&unknown&=&a=b=c",
    ] {
        let query = format!("{text}{more}");
        assert_eq!(read_announce(query.as_bytes()), Ok(least), "{more}");
    }
    assert!(!least.is_of_seeder());
    let query = format!("{text}&left=0&numwant=99999999999");
    let whole = read_announce(query.as_bytes()).expect("an announce");
    assert!(
        whole.is_of_seeder() && whole.wants_seeders(),
        "it may have a magnet link alone"
    );
    for seeds in ["&uploaded=1", "&downloaded=1", "&event=completed"] {
        let seeds = read_announce(format!("{query}{seeds}").as_bytes()).expect("an announce");
        assert!(!seeds.wants_seeders(), "{seeds:?}");
    }
    assert_eq!(whole.wanted, Some(u32::MAX));
}

#[test]
fn a_query_that_is_no_announce_is_refused_with_the_reason() {
    let hash = "info_hash=aaaaaaaaaaaaaaaaaaaa";
    let peer = "peer_id=bbbbbbbbbbbbbbbbbbbb";
    for (query, why) in [
        (String::new(), QueryError::Missing("info_hash")),
        (format!("{peer}&port=1"), QueryError::Missing("info_hash")),
        (format!("{hash}&port=1"), QueryError::Missing("peer_id")),
        (format!("{hash}&{peer}"), QueryError::Missing("port")),
        (
            format!("{hash}a&{peer}&port=1"),
            QueryError::Impossible("info_hash"),
        ),
        ("info_hash=%1".into(), QueryError::Escape),
        ("info_hash=%g1".into(), QueryError::Escape),
        (
            format!("{hash}&{hash}&{peer}&port=1"),
            QueryError::Repeated("info_hash"),
        ),
        (
            format!("{hash}&peer_id=b&port=1"),
            QueryError::Impossible("peer_id"),
        ),
        (
            format!("{hash}&{peer}&port=0"),
            QueryError::Impossible("port"),
        ),
        (
            format!("{hash}&{peer}&port=65536"),
            QueryError::Impossible("port"),
        ),
        (
            format!("{hash}&{peer}&port=+1"),
            QueryError::Impossible("port"),
        ),
        (
            format!("{hash}&{peer}&port=1&left=x"),
            QueryError::Impossible("left"),
        ),
        (
            format!("{hash}&{peer}&port=1&left="),
            QueryError::Impossible("left"),
        ),
        (
            format!("{hash}&{peer}&port=1&uploaded=1e3"),
            QueryError::Impossible("uploaded"),
        ),
        (
            format!("{hash}&{peer}&port=1&numwant=--1"),
            QueryError::Impossible("numwant"),
        ),
        ("x".repeat(LONGEST_QUERY + 1), QueryError::TooLong),
    ] {
        assert_eq!(read_announce(query.as_bytes()), Err(why), "{query}");
    }
}

#[test]
fn a_scrape_names_its_torrents() {
    let all = |number: usize| -> Vec<_> {
        let number = u8::try_from(number).expect("few");
        (0..number).map(|byte| InfoHash::new([byte; 20])).collect()
    };
    let most = all(MOST_SCRAPED);
    assert_eq!(read_scrape(write_scrape(&most).as_bytes()), Ok(most));
    let more = write_scrape(&all(MOST_SCRAPED + 1));
    assert_eq!(
        read_scrape(more.as_bytes()),
        Err(QueryError::TooManyTorrents)
    );
    for everything in ["", "a=b"] {
        let refused = read_scrape(everything.as_bytes());
        assert_eq!(refused, Err(QueryError::Missing("info_hash")));
    }
}

#[test]
fn the_query_of_an_announce_in_bytes() {
    let announce = Announce {
        torrent: InfoHash::new(*b"\x124Vx\x9a\xbc\xde\xf1#Eg\x89\xab\xcd\xef\x12-~+ "),
        left: Announce::NOT_KNOWN,
        ..usual()
    };
    assert_eq!(
        write_announce(&announce, Some(b"a\0b")),
        "info_hash=%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%12-~%2B%20&peer_id=-TR3000-abcdefghijkl\
         &port=51413&uploaded=1&downloaded=2&left=9223372036854775807&compact=1&no_peer_id=1\
         &key=5A5A0102&event=started&numwant=80&trackerid=a%00b"
    );
}

#[test]
fn the_answer_to_an_announce_in_bytes() {
    let counts = SwarmCounts {
        seeders: 1,
        downloaded: 2,
        leechers: 3,
    };
    let reply = AnnounceReply {
        interval: 1800,
        min_interval: 60,
        counts,
        peers: &[192, 0, 2, 1, 0x1a, 0xe1],
        peers6: &[],
        external_ip: Some("::ffff:192.0.2.9".parse().expect("an address")),
    };
    let mut out = Vec::new();
    reply.encode(&mut out);
    let expected = b"d8:completei1e10:downloadedi2e11:external ip4:\xc0\0\x02\x0910:incompletei3e\
        8:intervali1800e12:min intervali60e5:peers6:\xc0\0\x02\x01\x1a\xe1e";
    assert_eq!(
        out.escape_ascii().to_string(),
        expected.escape_ascii().to_string()
    );

    let v6: SocketAddr = "[2001:db8::1]:6881".parse().expect("an address");
    let packed = Compact::of(v6);
    let reply = AnnounceReply {
        peers: &[],
        peers6: packed.as_bytes(),
        external_ip: Some(v6.ip()),
        ..reply
    };
    let mut out = Vec::new();
    reply.encode(&mut out);
    assert!(
        out.ends_with(b"5:peers0:6:peers618:\x20\x01\r\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe1e")
    );
    let read = Announced::decode(&out).expect("an answer");
    assert_eq!((read.peers, read.external_ip), (vec![v6], Some(v6.ip())));
    assert_eq!((read.seeders, read.leechers), (Some(1), Some(3)));
}

#[test]
fn answers_of_other_trackers_are_read() {
    // A list of peers, of which two have names or nonsense for addresses, and keys out of order.
    let bytes = b"d8:intervali900e5:peersld2:ip9:192.0.2.17:peer id20:aaaaaaaaaaaaaaaaaaaa\
        4:porti6881eed2:ip11:2001:db8::14:porti1eed2:ip11:example.org4:porti1eed2:ip1:x4:porti1eee\
        8:completei5e15:warning message5:later10:tracker id3:a\0be";
    let read = Announced::decode(bytes).expect("an answer");
    let peers: Vec<SocketAddr> = ["192.0.2.1:6881", "[2001:db8::1]:1"]
        .map(|address| address.parse().expect("an address"))
        .into();
    let expected = Announced {
        interval: Some(900),
        seeders: Some(5),
        peers,
        tracker_id: Some(b"a\0b".to_vec()),
        warning: Some("later".into()),
        ..Announced::default()
    };
    assert_eq!(read, expected);
}

#[test]
fn what_a_tracker_says_behind_its_answer_is_ignored() {
    let answer = b"d8:intervali900e5:peers6:\xc0\x00\x02\x01\x1a\xe1e";
    let expected = Announced::decode(answer).expect("an answer");
    assert_eq!(expected.peers.len(), 1);
    for behind in ["\n", "\r\n\r\n", "<!-- 3 ms -->"] {
        let read = Announced::decode(&[&answer[..], behind.as_bytes()].concat());
        assert_eq!(read.as_ref(), Ok(&expected), "{behind:?}");
    }
    let refused = Announced::decode(b"d14:failure reason11:not for youe\n");
    assert_eq!(refused, Err(AnswerError::Refused("not for you".into())));
    assert_eq!(answer::decode_scrape(b"d5:filesdee\n"), Ok(Vec::new()));
}

#[test]
fn what_is_no_answer_is_told_from_a_refusal() {
    let long = vec![b'x'; answer::LONGEST_ANSWER + 1];
    assert!(matches!(
        Announced::decode(&long),
        Err(AnswerError::TooLong(_))
    ));
    let page = Announced::decode(b"<html>");
    assert!(matches!(page, Err(AnswerError::Malformed(_))));
    assert_eq!(
        Announced::decode(b"le"),
        Err(AnswerError::NoAnswer("dictionary"))
    );
    assert_eq!(
        answer::decode_scrape(b"de"),
        Err(AnswerError::NoAnswer("files"))
    );
    let failure = answer::encode_failure("not for you");
    assert_eq!(failure, b"d14:failure reason11:not for youe");
    let refused = Err(AnswerError::Refused("not for you".into()));
    assert_eq!(Announced::decode(&failure), refused);
}

#[test]
fn more_peers_than_are_wanted_are_not_kept() {
    let peers = vec![1; compact::V4 * (MOST_PEERS + 5)];
    let mut out = Vec::new();
    let reply = AnnounceReply {
        peers: &peers,
        ..AnnounceReply::default()
    };
    reply.encode(&mut out);
    let read = Announced::decode(&out).expect("an answer");
    assert_eq!(read.peers.len(), MOST_PEERS);
}

#[test]
fn the_answer_to_a_scrape_in_bytes() {
    let counts = SwarmCounts {
        seeders: 1,
        downloaded: 2,
        leechers: 3,
    };
    let torrents = [
        (InfoHash::new([b'b'; 20]), counts),
        (InfoHash::new([b'a'; 20]), counts),
    ];
    let bytes = answer::encode_scrape(&torrents);
    let numbers = "d8:completei1e10:downloadedi2e10:incompletei3ee";
    let (a, b) = ("a".repeat(20), "b".repeat(20));
    let expected = format!("d5:filesd20:{a}{numbers}20:{b}{numbers}ee");
    assert_eq!(String::from_utf8_lossy(&bytes), expected);
    let [first, second] = torrents;
    assert_eq!(answer::decode_scrape(&bytes), Ok(vec![second, first]));
}

#[test]
fn a_mapped_address_is_an_ipv4_address() {
    let mapped: SocketAddr = "[::ffff:192.0.2.1]:6881".parse().expect("an address");
    let plain: SocketAddr = "192.0.2.1:6881".parse().expect("an address");
    assert_eq!(Compact::of(mapped), Compact::of(plain));
    assert_eq!(Compact::of(mapped).address(), plain);
    assert_eq!(Stride::of(mapped), Stride::V4);
    let packed = Compact::V6([
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 1, 0x1a, 0xe1,
    ]);
    assert_eq!(packed.address(), plain);
}

#[test]
fn a_connect_in_bytes() {
    request(
        UdpRequest::Connect {
            transaction: 0x0102_0304,
        },
        "
        0000041727101980  # protocol id
        00000000          # connect
        01020304          # transaction
        ",
    );
    let connected = UdpAnswer::Connected {
        transaction: 0x0102_0304,
        connection: 0x1122_3344_5566_7788,
    };
    reply(
        connected,
        Stride::V4,
        "
        00000000          # connect
        01020304          # transaction
        1122334455667788  # connection id
        ",
    );
}

#[test]
fn a_udp_announce_in_bytes() {
    let bytes = "
        1122334455667788                          # connection id
        00000001                                  # announce
        01020304                                  # transaction
        11x20                                     # info-hash
        2d5452333030302d6162636465666768696a6b6c  # peer id
        0000000000000002                          # downloaded
        0000000000000003                          # left
        0000000000000001                          # uploaded
        00000002                                  # started
        00000000                                  # address: as it comes
        5a5a0102                                  # key
        00000050                                  # wanted
        c8d5                                      # port
        ";
    let announce = |announce| UdpRequest::Announce {
        connection: 0x1122_3344_5566_7788,
        transaction: 0x0102_0304,
        announce,
    };
    request(announce(usual()), bytes);

    // Another address and a wanted number of -1 change nothing, and options are ignored (BEP 41).
    let mut other = parse(bytes);
    other[84..88].copy_from_slice(&[192, 0, 2, 99]);
    other[92..96].fill(0xff);
    other.extend_from_slice(b"\x02\x09/announce\x01\x00");
    let any = Announce {
        wanted: None,
        ..usual()
    };
    assert_eq!(UdpRequest::decode(&other), Ok(announce(any)));
}

#[test]
fn the_answer_to_a_udp_announce_in_bytes() {
    let announced = |peers: [&str; 2]| UdpAnswer::Announced {
        transaction: 0x0102_0304,
        interval: 1800,
        leechers: 5,
        seeders: 6,
        peers: peers.map(|peer| peer.parse().expect("an address")).into(),
    };
    let head = "
        00000001      # announce
        01020304      # transaction
        00000708      # interval
        00000005      # leechers
        00000006      # seeders
        ";
    reply(
        announced(["192.0.2.1:6881", "192.0.2.2:1"]),
        Stride::V4,
        &format!("{head} c0000201 1ae1 c0000202 0001"),
    );
    reply(
        announced(["[2001:db8::1]:6881", "[2001:db8::2]:1"]),
        Stride::V6,
        &format!("{head} 20010db8 00x11 01 1ae1 20010db8 00x11 02 0001"),
    );
    let written = udp::announced_head(0x0102_0304, 1800, 5, 6);
    assert_eq!(written[..], parse(head));
}

#[test]
fn a_udp_scrape_and_an_error_in_bytes() {
    request(
        UdpRequest::Scrape {
            connection: 0x1122_3344_5566_7788,
            transaction: 0x0102_0304,
            torrents: vec![InfoHash::new([0x11; 20]), InfoHash::new([0x22; 20])],
        },
        "1122334455667788 00000002 01020304 11x20 22x20",
    );
    let counts = SwarmCounts {
        seeders: 1,
        downloaded: 2,
        leechers: 3,
    };
    reply(
        UdpAnswer::Scraped {
            transaction: 0x0102_0304,
            counts: vec![counts, SwarmCounts::default()],
        },
        Stride::V4,
        "00000002 01020304 00000001 00000002 00000003 00x12",
    );
    reply(
        UdpAnswer::Error {
            transaction: 0x0102_0304,
            text: "no".into(),
        },
        Stride::V4,
        "00000003 01020304 6e 6f",
    );
}

#[test]
fn a_datagram_says_whether_it_may_be_answered() {
    // No client begins like this: nothing is answered.
    for foreign in [
        "",
        "00x15",
        "0000041727101981 00000000 01020304", // another protocol id
    ] {
        let refused = UdpRequest::decode(&parse(foreign));
        assert_eq!(refused, Err(UdpRequestError::Foreign), "{foreign}");
    }
    let head = "1122334455667788";
    for wrong in [
        "00000001 01020304",            // an announce of 16 bytes
        "00000001 01020304 11x81",      // one that lacks a byte
        "00000001 01020304 11x80 0000", // port 0
        "00000002 01020304",            // a scrape of nothing
        "00000002 01020304 11x19",      // half an info-hash
        "00000003 01020304",            // an error
        "ffffffff 01020304 11x99",
    ] {
        let refused = UdpRequest::decode(&parse(&format!("{head}{wrong}")));
        let Err(UdpRequestError::Wrong {
            connection,
            transaction,
            ..
        }) = refused
        else {
            panic!("{wrong}: {refused:?}");
        };
        assert_eq!(
            (connection, transaction),
            (0x1122_3344_5566_7788, 0x0102_0304)
        );
    }
    for none in [
        "",
        "00x7",
        "00000000 01020304 00x7",
        "00000001 01020304 00x11",
        "00000004 00x20",
    ] {
        let refused = UdpAnswer::decode(&parse(none), Stride::V4);
        assert_eq!(refused, Err(UdpAnswerError), "{none}");
    }
}

#[test]
fn more_torrents_than_a_datagram_has_room_for_are_not_read() {
    let bytes = [
        &parse("1122334455667788 00000002 01020304")[..],
        &[1; 20 * 80],
    ]
    .concat();
    let Ok(UdpRequest::Scrape { torrents, .. }) = UdpRequest::decode(&bytes) else {
        panic!("a scrape");
    };
    assert_eq!(torrents.len(), MOST_SCRAPED);
}

#[test]
fn urls_of_trackers_are_read_and_written() {
    for (url, shown, host, port, target) in [
        (
            "http://a.b/announce",
            "http://a.b:80/announce",
            "a.b",
            80,
            "/announce?q",
        ),
        ("HTTP://A.b:6969", "http://a.b:6969/", "a.b", 6969, "/?q"),
        (
            "http://a.b/x/announce?key=1#f",
            "http://a.b:80/x/announce?key=1",
            "a.b",
            80,
            "/x/announce?key=1&q",
        ),
        ("http://a?key=1", "http://a:80/?key=1", "a", 80, "/?key=1&q"),
        (
            "udp://192.0.2.1:3333",
            "udp://192.0.2.1:3333",
            "192.0.2.1",
            3333,
            "/?q",
        ),
        (
            "udp://a:1/announce",
            "udp://a:1/announce",
            "a",
            1,
            "/announce?q",
        ),
        (
            "http://[2001:db8::1]:1/announce",
            "http://[2001:db8::1]:1/announce",
            "2001:db8::1",
            1,
            "/announce?q",
        ),
    ] {
        let read: TrackerUrl = url.parse().expect(url);
        assert_eq!((read.host(), read.port()), (host, port), "{url}");
        assert_eq!(read.target("q"), target, "{url}");
        assert_eq!(read.to_string(), shown, "{url}");
        assert_eq!(shown.parse(), Ok(read), "{url}");
    }
}

#[test]
fn the_path_and_the_query_of_a_udp_trackers_url_are_options_behind_an_announce() {
    let options = |url: &str| url.parse::<TrackerUrl>().expect(url).options();
    assert_eq!(options("udp://a:1"), b"");
    assert_eq!(options("udp://a:1/announce?k=1"), b"\x02\x0d/announce?k=1");
    let long = "x".repeat(260);
    let runs = [b"\x02\xff/", &long.as_bytes()[..254], b"\x02\x06xxxxxx"].concat();
    assert_eq!(options(&format!("udp://a:1/{long}")), runs);
}

#[test]
fn what_is_no_url_of_a_tracker_is_named() {
    let malformed = TrackerUrlError::Malformed;
    for (url, why) in [
        (
            "https://a/announce",
            TrackerUrlError::Scheme("https".into()),
        ),
        ("wss://a/announce", TrackerUrlError::Scheme("wss".into())),
        ("udp://a/announce", TrackerUrlError::NoPort),
        ("http://a:0/announce", TrackerUrlError::NoPort),
        ("http://a:65536/", malformed.clone()),
        ("http://a:x/", malformed.clone()),
        ("http:///announce", malformed.clone()),
        ("http://me:secret@a/announce", malformed.clone()),
        ("http://a/\r\nHost: b", malformed.clone()),
        ("http://a b/", malformed.clone()),
        ("http://[::1/", malformed.clone()),
        ("http://[a]/", malformed.clone()),
        ("a/announce", malformed),
        (
            &format!("http://a/{}", "x".repeat(1024)),
            TrackerUrlError::TooLong,
        ),
    ] {
        assert_eq!(url.parse::<TrackerUrl>(), Err(why), "{url}");
    }
}

/// Checks that the request is encoded as these bytes and decoded from them.
#[track_caller]
fn request(request: UdpRequest, commented_hex: &str) {
    let bytes = parse(commented_hex);
    assert_eq!(HEXLOWER.encode(&request.encode()), HEXLOWER.encode(&bytes));
    assert_eq!(UdpRequest::decode(&bytes), Ok(request));
}

/// Checks that the answer is encoded as these bytes and decoded from them.
#[track_caller]
fn reply(answer: UdpAnswer, stride: Stride, commented_hex: &str) {
    let bytes = parse(commented_hex);
    assert_eq!(HEXLOWER.encode(&answer.encode()), HEXLOWER.encode(&bytes));
    assert_eq!(UdpAnswer::decode(&bytes, stride), Ok(answer));
}

fn announce() -> impl Strategy<Value = Announce> {
    let amount = || 0..=i64::MAX.unsigned_abs();
    let event = prop::sample::select(vec![
        AnnounceEvent::None,
        AnnounceEvent::Completed,
        AnnounceEvent::Started,
        AnnounceEvent::Stopped,
    ]);
    let wanted = option::of(0..=u32::MAX / 2);
    let ids = any::<([u8; 20], [u8; 20])>();
    (
        ids,
        1..=u16::MAX,
        amount(),
        amount(),
        amount(),
        event,
        wanted,
        any::<u32>(),
    )
        .prop_map(
            |((torrent, client), port, uploaded, downloaded, left, event, wanted, key)| Announce {
                torrent: InfoHash::new(torrent),
                client: ClientId::new(client),
                port,
                uploaded,
                downloaded,
                left,
                event,
                wanted,
                key,
            },
        )
}

fn udp_request() -> impl Strategy<Value = UdpRequest> {
    let torrents = vec(any::<[u8; 20]>().prop_map(InfoHash::new), 1..=MOST_SCRAPED);
    prop_oneof![
        any::<u32>().prop_map(|transaction| UdpRequest::Connect { transaction }),
        (any::<u64>(), any::<u32>(), announce()).prop_map(|(connection, transaction, announce)| {
            UdpRequest::Announce {
                connection,
                transaction,
                announce,
            }
        }),
        (any::<u64>(), any::<u32>(), torrents).prop_map(|(connection, transaction, torrents)| {
            UdpRequest::Scrape {
                connection,
                transaction,
                torrents,
            }
        }),
    ]
}

proptest! {
    #[test]
    fn every_announce_reads_back(announce in announce(), id in vec(any::<u8>(), 0..9)) {
        let query = write_announce(&announce, Some(&id));
        prop_assert!(query.bytes().all(|byte| byte.is_ascii_graphic()));
        prop_assert_eq!(read_announce(query.as_bytes()), Ok(announce));
        for end in 0..query.len() {
            let _ = read_announce(&query.as_bytes()[..end]);
        }
    }

    #[test]
    fn every_datagram_of_a_client_reads_back(request in udp_request()) {
        let bytes = request.encode();
        for end in 0..bytes.len() {
            // Only a scrape can be cut and be one still.
            let cut = UdpRequest::decode(&bytes[..end]);
            let is_scrape = matches!(request, UdpRequest::Scrape { .. });
            prop_assert!(cut.is_err() || is_scrape, "{}", end);
        }
        prop_assert_eq!(UdpRequest::decode(&bytes), Ok(request));
    }

    #[test]
    fn a_changed_datagram_is_refused_or_read(
        request in udp_request(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = request.encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = UdpRequest::decode(&bytes) {
            prop_assert_eq!(UdpRequest::decode(&read.encode()), Ok(read));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300), action in 0u8..5) {
        let _ = read_announce(&bytes);
        let _ = read_scrape(&bytes);
        let _ = Announced::decode(&bytes);
        let _ = answer::decode_scrape(&bytes);
        let _ = UdpRequest::decode(&bytes);
        for stride in [Stride::V4, Stride::V6] {
            let _ = UdpAnswer::decode(&[&[0, 0, 0, action], &bytes[..]].concat(), stride);
        }
        let _ = String::from_utf8_lossy(&bytes).parse::<TrackerUrl>();
    }

    #[test]
    fn every_url_reads_back(url in "(http|udp)://([a-z.]{1,9}|\\[::1\\])(:[1-9]{1,4})?[a-z/?=%#]{0,9}") {
        if let Ok(read) = url.parse::<TrackerUrl>() {
            prop_assert_eq!(read.to_string().parse(), Ok(read));
        }
    }
}

//! Bytes to begin with, so that a fuzzer need not find out what a frame is.

use std::collections::BTreeMap;

use thorp_wire::announce::{Announce, AnnounceEvent, AnnounceReply, SwarmCounts};
use thorp_wire::announce::{UdpAnswer, UdpRequest, answer, query};
use thorp_wire::frame::{
    Ack, Bytes, Find, Found, Get, GroupRecord, Hello, Holder, Join, Joined, Leave, MemberRow,
    NameFilter, PREFIX, Position, Query, Reason, Record, Refused, SignedRecord, Token, Told,
    ToldFile, Update, Variant,
};
use thorp_wire::session::{
    ExchangedPeer, ExtendedHandshake, Handshake, Message, MetadataMessage, PeerExchange, Span,
};
use thorp_wire::torrent::build::{self, FolderFile, Privacy};
use thorp_wire::{
    ClientId, Content, Entry, Frame, InfoHash, MemberName, PeerId, RequestId, Root, merkle,
};

/// The sequences that are made up for each machine.
const SEQUENCES: usize = 12;

/// Some for each target, which is named with them.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut seeds = Vec::new();
    let frames = frames().into_iter().chain(more_frames());
    let frames: Vec<Vec<u8>> = frames.map(|frame| encoded(&frame)).collect();
    seeds.extend(frames.iter().map(|frame| ("frame", frame.clone())));
    seeds.push(("record", record().as_bytes().to_vec()));
    let root = Root::new([7; 32]);
    seeds.push((
        "handshake",
        Handshake::of_member(&root, &id(1)).encode().into(),
    ));
    let extended = ExtendedHandshake {
        requests: Some(256),
        longest_request: Some(262_144),
        length: Some(1 << 40),
        ..ExtendedHandshake::default()
    };
    seeds.push(("extended", extended.encode()));
    let to_a_client = ExtendedHandshake {
        metadata: Some(1),
        exchange: Some(2),
        metadata_length: Some(154),
        your_ip: Some([192, 0, 2, 1].into()),
        ..ExtendedHandshake::default()
    };
    seeds.push(("extended", to_a_client.encode()));
    let block = MetadataMessage::Block {
        number: 0,
        total: 2,
        bytes: b"de".to_vec(),
    };
    seeds.push(("metadata", block.encode()));
    seeds.push(("metadata", MetadataMessage::Request(1).encode()));
    seeds.push(("exchange", exchange().encode()));
    seeds.push(("bencode", extended.encode()));
    seeds.push(("bencode", b"d1:ad1:bi-1eli0e2:xyee1:zle".to_vec()));
    for message in messages() {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        seeds.push(("message", bytes.split_off(4)));
    }
    seeds.extend(announces());
    seeds.extend(torrents());
    seeds.push(("kept", kept()));
    for (name, texts) in TEXTS {
        seeds.extend(texts.iter().map(|text| (*name, text.as_bytes().to_vec())));
    }
    for (pattern, name) in [("d/[a-c]*{x,y?}", "d/abcx"), ("**/.a", "b/.a"), ("{", "{")] {
        seeds.push((
            "pattern",
            [chunk(pattern.as_bytes()), chunk(name.as_bytes())].concat(),
        ));
    }
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..SEQUENCES {
        let mut any = |most: usize| -> Vec<u8> {
            (0..random.usize(1..most)).map(|_| random.u8(..)).collect()
        };
        seeds.extend(["hashes", "cached"].map(|target| (target, any(200))));
        seeds.push(("swarm", any(1500)));
        seeds.push(("torrent-swarm", any(3000)));
        seeds.push(("swarms", any(1500)));
        seeds.push(("announces", any(600)));
        seeds.push(("torrent-fetch", any(200)));
        seeds.push(("clients", any(600)));
        let mut sequence = vec![random.u8(..)];
        for _ in 0..random.usize(5..60) {
            let kind = match random.u8(..3) {
                0 => random.u8(..),
                _ => 4,
            };
            sequence.extend([kind, random.u8(..), random.u8(..)]);
            if kind == 4 {
                sequence.pop();
                sequence.extend(chunk(&frames[random.usize(..frames.len())]));
            }
        }
        seeds.push(("peer", sequence.clone()));
        seeds.push(("tracker", sequence.split_off(1)));
    }
    seeds
}

const TEXTS: &[(&str, &[&str])] = &[
    (
        "name",
        &["docs/a.txt", "\u{fc}/u\u{308}", "a\u{1b}[31m\u{202e}b"],
    ),
    (
        "address",
        &["192.168.1.5:3333", "[fe80::1]:1", "Tracker.local", ":80"],
    ),
    (
        "magnet",
        &[
            "magnet:?xt=urn:btih:1111111111111111111111111111111111111111&dn=a+b&x.pe=1.1.1.1:1",
            "magnet:?xt.1=urn:btih:CEIRCEIRCEIRCEIRCEIRCEIRCEIRCEIR&tr=udp%3A%2F%2Fa%3A1&x.pe=[::1]:1",
        ],
    ),
    (
        "tracker-url",
        &[
            "http://a.b:6969/x/announce?key=1#f",
            "udp://[2001:db8::1]:1",
        ],
    ),
    ("invite", &["thorp1abcdefghijklmnopqrstuvwxyz234567"]),
    ("backup", &["thorp-backup 1\n"]),
    (
        "config",
        &[
            "[interval]\ntracker_ms = 1000\nneighbour_ms = 1000\n\n[lookup]\nhops = 0\n",
            "share.hidden=true",
        ],
    ),
    ("certificate", &["0\u{3}\u{2}\u{1}\u{0}"]),
    (
        "command",
        &[
            r#"{"command":"get","names":["a","d/*"],"dir":"/tmp","wait":{"all":5},"folders":"all"}"#,
            r#"{"command":"find","pattern":"**"}"#,
            r#"{"command":"ls","peer":"oak","folder":"d"}"#,
            r#"{"command":"invite","uses":2,"seconds":60}"#,
            r#"{"command":"remove","id":"a"}"#,
            r#"{"command":"snapshot","part":"files","limit":10}"#,
            r#"{"command":"watch","since":1}"#,
        ],
    ),
    (
        "answer",
        &[
            r#"{"event":"file","name":"a","length":5,"mtime":0,"root":null,"holders":[]}"#,
            r#"{"event":"peer","id":"a","name":"oak","address":"::1","port":1,"files":1,"bytes":5,"neighbours":[]}"#,
            r#"{"event":"error","kind":"exists","code":"exists"}"#,
            r#"{"event":"failed","name":"a","failure":{"kind":"network","code":"later"}}"#,
            r#"{"event":"resumed","name":"a","bytes":1,"of_bytes":2}"#,
            r#"{"event":"note","note":"left-out","name":"a\nb"}"#,
            r#"{"event":"start-again","number":1}"#,
            r#"{"event":"rumour","itself":1}"#,
        ],
    ),
];

fn frames() -> Vec<Frame> {
    let request = RequestId(1);
    let entry = |name: &str, byte| Entry {
        name: name.parse().expect("a name"),
        length: 5,
        mtime: 0,
        root: Some(Root::new([byte; 32])),
        partial: false,
        nanos: 0,
        executable: false,
        v1: None,
    };
    let holder = |n| Holder {
        id: id(n),
        name: Some(MemberName::nearest("oak")),
        addresses: vec!["192.0.2.1:3334".parse().expect("an address")],
        partial: false,
    };
    let variant = |name: &str, byte| Variant {
        entry: entry(name, byte),
        holders: vec![holder(1), holder(2)],
        hashed: None,
    };
    let content = Content {
        length: 5,
        root: Root::new([1; 32]),
    };
    let hello = |epoch, neighbour| Hello {
        oldest: 1,
        newest: 1,
        port: Some(3334),
        claimed: Vec::new(),
        epoch,
        applied: Some(Position { epoch: 7, seq: 1 }),
        neighbour,
        visitor: false,
        interval: 5000,
        record: Some(1),
        bittorrent: false,
        advertised: 0,
    };
    let update = |seq, since, added: Vec<Entry>| Update {
        since,
        added,
        neighbours: Some(vec![id(2)]),
        ..Update::heartbeat(seq)
    };
    let find = |query| Find::new(query, 1);
    let found = Found {
        variants: vec![variant("a", 1), variant("d/a", 2)],
        more: true,
        members: vec![MemberRow {
            member: holder(4),
            files: 2,
            bytes: 10,
            neighbours: vec![id(1)],
        }],
        behind: Some("d/a".parse().expect("a name")),
        answered: Some(1),
        unlisted: vec![holder(5)],
        more_unlisted: false,
        told: Some(Told {
            holders: vec![holder(6)],
            files: vec![ToldFile {
                entry: entry("d/a", 2),
                holders: vec![0],
            }],
        }),
    };
    vec![
        Frame::plain(hello(1, true)),
        Frame::plain(hello(2, false)),
        Frame::plain(update(1, None, vec![entry("a", 1), entry("d/a", 2)])),
        Frame::plain(update(2, Some(1), vec![entry("b", 3)])),
        Frame::plain(Update::heartbeat(2)),
        Frame::plain(Ack {
            seq: Some(1),
            interval: Some(5000),
            unlisted: false,
            record: None,
        }),
        Frame::with_request(request, find(Query::Names(vec!["a".into(), "d/a".into()]))),
        Frame::with_request(request, find(Query::Pattern("**".into()))),
        Frame::with_request(request, find(Query::Content(content))),
        Frame::with_request(request, find(Query::Members(None))),
        Frame::with_request(
            request,
            find(Query::Beyond(NameFilter::new(7, 4), Some(500))),
        ),
        Frame::with_request(request, found),
        Frame::with_request(request, Get { content }),
    ]
}

/// Those that need nothing of the others.
fn more_frames() -> Vec<Frame> {
    let request = RequestId(1);
    vec![
        Frame::with_request(
            request,
            Bytes {
                bytes: b"hello".to_vec(),
            },
        ),
        Frame::with_request(
            request,
            Refused {
                reason: Reason::Busy,
                text: "later".into(),
            },
        ),
        Frame::plain(Leave {
            reason: "done".into(),
        }),
        Frame::plain(Record { record: record() }),
        Frame::with_request(
            request,
            Join {
                token: Some(Token([1; 16])),
                request: vec![1, 2, 3],
                name: Some(MemberName::nearest("oak")),
            },
        ),
        Frame::with_request(
            request,
            Joined {
                certificate: vec![1, 2, 3],
                record: Some(record()),
                time: 1,
            },
        ),
    ]
}

fn messages() -> Vec<Message> {
    let span = Span {
        piece: 1,
        begin: 16_384,
        length: 16_384,
    };
    vec![
        Message::KeepAlive,
        Message::Unchoke,
        Message::Have(1),
        Message::Bitfield(vec![0xf0]),
        Message::Request(span),
        Message::HaveAll,
        Message::Extended {
            number: 0,
            payload: b"d1:md0:i1eee".to_vec(),
        },
    ]
}

/// Of a file and of a folder, of v1 and of v2.
fn torrents() -> Vec<(&'static str, Vec<u8>)> {
    let content = merkle::content_of(b"hello");
    let file = |name: &str| FolderFile {
        name: name.parse().expect("a name"),
        content,
    };
    let files = [file("a"), file("b/c")];
    let pieces = [[7; 20]];
    let private = Privacy::Private;
    let infos = [
        build::v1_info("a", 5, &pieces, private),
        build::v2_info("a", content, private),
        build::v1_folder_info("d", &files, &pieces, private),
        build::v2_folder_info("d", &files, private),
    ];
    let tiers = [vec!["udp://a:1".parse().expect("a URL")]];
    let torrents = infos.map(|info| build::torrent(&info, &tiers, &BTreeMap::new()));
    torrents.map(|torrent| ("torrent", torrent)).into()
}

/// As it is on disk.
fn kept() -> Vec<u8> {
    let content = merkle::content_of(b"hello");
    let info = build::v1_info("a", 5, &[[7; 20]], Privacy::Private);
    let root = content.root.as_bytes();
    let parts: [&[u8]; 7] = [
        b"d5:filesll3:d/a1:532:",
        root,
        b"ee4:info",
        &info,
        b"6:layersd32:",
        root,
        b"0:e6:numberi1ee",
    ];
    parts.concat()
}

fn exchange() -> PeerExchange {
    let address = "192.0.2.1:6881".parse().expect("an address");
    PeerExchange {
        added: vec![ExchangedPeer { address, flags: 2 }],
        dropped: vec![address],
    }
}

/// What clients and trackers say, over HTTP and by datagrams.
fn announces() -> Vec<(&'static str, Vec<u8>)> {
    let torrent = InfoHash::new(*b"0123456789%&+= \x00\xff\x80ab");
    let announce = Announce {
        torrent,
        client: ClientId::of_thorp([b'x'; 12]),
        port: 6881,
        uploaded: 1,
        downloaded: 2,
        left: 3,
        event: AnnounceEvent::Started,
        wanted: Some(50),
        key: 7,
    };
    let counts = SwarmCounts {
        seeders: 1,
        downloaded: 2,
        leechers: 3,
    };
    let reply = AnnounceReply {
        interval: 1800,
        counts,
        peers: &[192, 0, 2, 1, 0x1a, 0xe1],
        peers6: &[1; 18],
        external_ip: Some([192, 0, 2, 2].into()),
        ..AnnounceReply::default()
    };
    let mut answered = Vec::new();
    reply.encode(&mut answered);
    let query = query::write_announce(&announce, None);
    let request = format!("GET /announce?{query} HTTP/1.1\r\nConnection: close\r\n\r\n");
    let head = format!(
        "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n",
        answered.len()
    );
    let listed = b"d8:intervali900e5:peersld2:ip9:192.0.2.14:porti6881eeee";
    let announced = UdpAnswer::Announced {
        transaction: 1,
        interval: 1800,
        leechers: 3,
        seeders: 1,
        peers: vec!["192.0.2.1:6881".parse().expect("an address")],
    };
    let (connection, transaction) = (1, 2);
    vec![
        ("announce", query.into()),
        ("request", request.into()),
        ("reply", [head.as_bytes(), &answered].concat()),
        ("announce", query::write_scrape(&[torrent, torrent]).into()),
        ("announced", answered),
        ("announced", listed.to_vec()),
        ("announced", answer::encode_scrape(&[(torrent, counts)])),
        ("announced", answer::encode_failure("later")),
        ("datagram", UdpRequest::Connect { transaction }.encode()),
        (
            "datagram",
            UdpRequest::Announce {
                connection,
                transaction,
                announce,
            }
            .encode(),
        ),
        (
            "datagram",
            UdpRequest::Scrape {
                connection,
                transaction,
                torrents: vec![torrent],
            }
            .encode(),
        ),
        ("datagram", announced.encode()),
    ]
}

fn record() -> SignedRecord {
    let record = GroupRecord {
        number: 2,
        open: false,
        bittorrent: false,
        removed: vec![id(4)],
    };
    SignedRecord::sign(record, |_| Some([0; 64]))
        .expect("is within bounds")
        .expect("is signed")
}

fn encoded(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes).expect("it fits");
    bytes.split_off(PREFIX)
}

/// As a source takes it.
fn chunk(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("is short");
    [&length.to_be_bytes(), bytes].concat()
}

fn id(n: u8) -> PeerId {
    PeerId::new([n; 32])
}

//! A tracker for ordinary BitTorrent clients: what they are told, over HTTP and UDP, and that
//! they get no byte where nobody has said `--bittorrent`.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use thorp_wire::announce::{
    Announce, AnnounceEvent, Announced, AnswerError, Stride, UdpAnswer, UdpRequest, answer, query,
};
use thorp_wire::merkle::content_of;
use thorp_wire::session::utp;
use thorp_wire::torrent::build::{Privacy, v2_info};
use thorp_wire::torrent::info_hash_v2;
use thorp_wire::{ClientId, Content, InfoHash, Root};

use crate::support::process::{memory, poll};
use crate::support::seeder::{Made, Manner, Seeder};
use crate::support::village::{listening, named, sharing};
use crate::support::{Node, PATIENCE, Running, Village, mutated, uninterrupted};

const SOME: InfoHash = InfoHash::new([0xf7; 20]);

fn tracker(node: &Node, flags: &[&str]) -> (Running, SocketAddr) {
    let args = [
        &["tracker", "--open", "--lines", "--listen", "127.0.0.1:0"],
        flags,
    ]
    .concat();
    let tracker = node.start(&args);
    let address = listening(&tracker).parse().unwrap();
    (tracker, address)
}

fn end(node: &Node, running: Running) {
    node.run(&["stop"]).exits(0);
    running.finish(PATIENCE).exits(0);
}

fn announce(torrent: InfoHash, port: u16) -> Announce {
    Announce {
        torrent,
        client: ClientId::of_thorp(*b"in the tests"),
        port,
        uploaded: 0,
        downloaded: 0,
        left: 1000,
        event: AnnounceEvent::Started,
        wanted: None,
        key: port.into(),
    }
}

/// Sends words to a port, and returns what comes until the other end closes.
fn said_over_tcp(to: SocketAddr, words: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(words).unwrap();
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        // It was closed before all was read.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    answer
}

fn over_http(to: SocketAddr, path: &str) -> Vec<u8> {
    let request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n");
    let answer = said_over_tcp(to, request.as_bytes());
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    answer[end.expect("a head") + 4..].to_vec()
}

fn announced(to: SocketAddr, said: &Announce) -> Result<Announced, AnswerError> {
    let path = format!("/announce?{}", query::write_announce(said, None));
    Announced::decode(&over_http(to, &path))
}

/// What a request is answered; nothing, if no node listens.
fn over_udp(to: SocketAddr, request: &UdpRequest) -> Option<UdpAnswer> {
    let answer = said_over_udp(to, &request.encode())?;
    Some(UdpAnswer::decode(&answer, Stride::V4).unwrap())
}

/// What a client is answered that tries uTP; nothing, if no node listens.
fn over_utp(to: SocketAddr) -> Option<Vec<u8>> {
    let mut syn = [0; utp::HEAD];
    (syn[0], syn[3]) = (0x41, 7);
    said_over_udp(to, &syn)
}

/// It is said again if it gets lost.
fn said_over_udp(to: SocketAddr, words: &[u8]) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(to).unwrap();
    socket.set_read_timeout(Some(PATIENCE / 10)).unwrap();
    let mut answer = [0; 2048];
    for _ in 0..10 {
        socket.send(words).unwrap();
        match uninterrupted(|| socket.recv(&mut answer)) {
            Ok(length) => return Some(answer[..length].to_vec()),
            // The system says that the port is closed.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return None,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("no answer to {words:?}");
}

fn announced_over_udp(to: SocketAddr, said: &Announce) -> UdpAnswer {
    let connect = UdpRequest::Connect { transaction: 1 };
    let Some(UdpAnswer::Connected { connection, .. }) = over_udp(to, &connect) else {
        panic!("no connection id");
    };
    let request = UdpRequest::Announce {
        connection,
        transaction: 2,
        announce: *said,
    };
    over_udp(to, &request).expect("an answer")
}

fn swarms(node: &Node) -> Value {
    node.tracker_status()["swarms"].clone()
}

#[test]
fn a_tracker_for_any_torrent_brings_clients_together_until_it_is_told_not_to() {
    let village = Village::new();
    let hall = village.node("hall");
    let (running, at) = tracker(&hall, &["--bittorrent=any"]);
    let told = announced(at, &announce(SOME, 1111)).unwrap();
    assert_eq!((told.leechers, told.peers), (Some(1), vec![]));
    let UdpAnswer::Announced { peers, .. } = announced_over_udp(at, &announce(SOME, 2222)) else {
        panic!();
    };
    assert_eq!(peers, ["127.0.0.1:1111".parse().unwrap()]);
    let told = announced(at, &announce(SOME, 1111)).unwrap();
    assert_eq!(told.peers, ["127.0.0.1:2222".parse().unwrap()]);
    let scrape = format!("/scrape?{}", query::write_scrape(&[SOME]));
    let counts = answer::decode_scrape(&over_http(at, &scrape)).unwrap();
    assert_eq!(counts[0].1.leechers, 2);
    let said = hall.tracker_status();
    assert_eq!(said["bittorrent"], "any");
    assert_eq!(said["swarms"]["torrents"], 1);
    assert_eq!(said["swarms"]["leechers"], 2);
    let status = hall.run(&["status"]).exits(0).stdout;
    let counted = "for any torrent: 1 torrent, 0 seeders, 2 leechers";
    assert!(status.contains(counted), "{status}");
    end(&hall, running);

    // It remembers what was decided.
    let (running, _) = tracker(&hall, &[]);
    assert_eq!(hall.tracker_status()["bittorrent"], "any");
    end(&hall, running);
    let (running, at) = tracker(&hall, &["--no-bittorrent"]);
    assert_eq!(hall.tracker_status()["bittorrent"], "off");
    gives_no_byte(at);
    end(&hall, running);
}

/// Asserts that ordinary clients get nothing there.
pub fn gives_no_byte(at: SocketAddr) {
    let handshake = [
        &b"\x13BitTorrent protocol"[..],
        &[0; 8],
        &[0xf7; 20],
        &[1; 20],
    ]
    .concat();
    let said = query::write_announce(&announce(SOME, 1111), None);
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\n\r\n").into_bytes();
    let scrape = query::write_scrape(&[SOME]);
    for words in [
        handshake,
        get(&format!("/announce?{said}")),
        get(&format!("/scrape?{scrape}")),
    ] {
        assert_eq!(said_over_tcp(at, &words), b"");
    }
    let connect = UdpRequest::Connect { transaction: 1 };
    assert_eq!(over_udp(at, &connect), None);
    assert_eq!(over_utp(at), None);
}

#[test]
fn without_bittorrent_neither_tracker_nor_peer_gives_a_client_a_byte() {
    let village = Village::new();
    let (_running, at) = tracker(&village.node("hall"), &[]);
    gives_no_byte(at);
    let oak = village.node("oak");
    let peer = oak.start_sharing(&at.to_string(), "127.0.0.1:0");
    let status = oak.json(&["status"]).1;
    let listen = named(&status, "status").next().unwrap()["listen"].clone();
    gives_no_byte(listen.as_str().unwrap().parse().unwrap());
    drop(peer);
}

#[test]
fn a_client_finds_those_members_of_a_files_swarm_that_serve_clients() {
    let village = Village::new();
    let (hall, oak, elm) = (
        village.node("hall"),
        village.node("oak"),
        village.node("elm"),
    );
    let (_tracker, at) = tracker(&hall, &["--bittorrent"]);
    oak.file("books/a.txt", "what is in it");
    elm.file("a.txt", "what is in it");
    let to = at.to_string();
    let share = [
        "share",
        "--lines",
        "--listen",
        "127.0.0.1:0",
        "--tracker",
        &to,
    ];
    let serving = oak.start(&[&share[..], &["--bittorrent"]].concat());
    let serves_at: SocketAddr = sharing(&serving).parse().unwrap();
    let silent = elm.start(&share);
    sharing(&silent);
    let root = poll("both to be listed", PATIENCE, || {
        let (_, files) = hall.json(&["find", "a.txt"]);
        let mut rows = named(&files, "file");
        let row = rows.find(|row| row["holders"].as_array().unwrap().len() == 1)?;
        (rows.next().is_some()).then(|| row["root"].as_str().map(str::to_owned))?
    });
    let digits: Vec<u8> = (0..32)
        .map(|n| u8::from_str_radix(&root[2 * n..2 * n + 2], 16).unwrap())
        .collect();
    let content = Content {
        length: 13,
        root: Root::new(digits.try_into().unwrap()),
    };
    // They try uTP before TCP, and are told at once that it is not spoken.
    for at in [serves_at, at] {
        let refusal = over_utp(at).unwrap();
        assert_eq!(
            (refusal.len(), refusal[0], refusal[3]),
            (utp::HEAD, 0x31, 7)
        );
    }
    for privacy in [Privacy::Private, Privacy::Public] {
        let torrent = info_hash_v2(&v2_info("a.txt", content, privacy)).truncated();
        let told = announced(at, &announce(torrent, 1111)).unwrap();
        assert_eq!((told.seeders, told.peers), (Some(1), vec![serves_at]));
    }
    let refused = announced(at, &announce(SOME, 1111));
    let reason = "this tracker serves only what its group shares";
    assert_eq!(refused, Err(AnswerError::Refused(reason.into())));
    // Two of v2, and the one of v1, whose hash comes when the file has been read for it.
    poll("the v1 torrent", PATIENCE, || {
        let counted = swarms(&hall);
        (counted["torrents"] == 3 && counted["seeders"] == 3).then_some(())
    });

    // Which they are, those with the most clients first.
    let mut socket = UnixStream::connect(hall.state().join("socket")).unwrap();
    let asked = b"{\"command\":\"snapshot\",\"part\":\"swarms\",\"limit\":2}\n";
    socket.write_all(asked).unwrap();
    let mut lines = BufReader::new(socket).lines();
    let page = lines.find(|line| line.as_ref().unwrap().contains("\"page\""));
    let page: Value = serde_json::from_str(&page.unwrap().unwrap()).unwrap();
    assert_eq!((&page["total"], &page["more"]), (&3.into(), &true.into()));
    let clients =
        |row: &Value| row["seeders"].as_u64().unwrap() + row["leechers"].as_u64().unwrap();
    let rows = page["rows"].as_array().unwrap();
    assert!(
        rows.len() == 2 && clients(&rows[0]) >= clients(&rows[1]),
        "{page}"
    );
    assert_eq!(rows[0]["info_hash"].as_str().unwrap().len(), 40);
    assert_eq!(rows[0]["name"], "a.txt");

    // It goes, and the client stays.
    end(&oak, serving);
    poll("the member to be gone", PATIENCE, || {
        (swarms(&hall)["seeders"] == 0).then_some(())
    });
    assert_eq!(swarms(&hall)["leechers"], 2);
    drop(silent);
}

#[test]
fn a_member_that_serves_no_clients_looks_for_none_while_it_fetches() {
    let village = Village::new();
    let nodes = ["hall", "oak", "elm", "fir"].map(|name| village.node(name));
    let [hall, oak, elm, fir] = &nodes;
    let (_tracker, at) = tracker(hall, &["--bittorrent"]);
    let to = at.to_string();
    let bytes: Vec<u8> = (0..=250).cycle().take(2_000_000).collect();
    oak.file("film", &bytes);
    let starts = |node: &Node, flags: &[&str]| {
        let share = ["share", "--lines", "--listen", "127.0.0.1:0"];
        let running = node.start(&[&share[..], &["--tracker", &to], flags].concat());
        sharing(&running);
        running
    };
    let holder = starts(oak, &["--bittorrent"]);
    let _silent = starts(elm, &[]);
    let _serving = starts(fir, &["--bittorrent"]);
    poll("the torrents of the file", PATIENCE, || {
        (swarms(hall)["torrents"] == 3).then_some(())
    });
    let torrent = v2_info("film", content_of(&bytes), Privacy::Private);
    let torrent = info_hash_v2(&torrent).truncated();
    let made = Made::file("film", &bytes, 65_536, false);
    let client = Seeder::announced_as(&made, torrent, Manner::Honest, &to);
    // A seeder of each, and the client.
    let nobody_else = |swarms: &Value| swarms["seeders"] == 4 && swarms["leechers"] == 0;
    assert!(nobody_else(&swarms(hall)), "{}", swarms(hall));

    // The holder takes its time: who looks for clients would have found this one.
    holder.signal("STOP");
    let get = |node: &Node| node.start(&["--json", "get", "film"]);
    let without = get(elm);
    without.wait_until("its fetch to wait for the holder", PATIENCE, |lines| {
        let mut events = lines.iter().map(|line| parsed(&line.text));
        events.find(|event| event["silent"].is_u64() && event["of_bytes"] == bytes.len())
    });
    assert_eq!(client.called(), 0);
    assert!(nobody_else(&swarms(hall)), "{}", swarms(hall));
    let with = get(fir);
    poll(
        "a member that serves clients to look for them",
        PATIENCE,
        || (client.called() > 0 && !nobody_else(&swarms(hall))).then_some(()),
    );
    holder.signal("CONT");
    for (node, fetch) in [(elm, without), (fir, with)] {
        fetch.finish(PATIENCE).exits(0);
        assert!(node.bytes("film") == bytes);
    }
}

/// A line of JSON; null, if it is none.
fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_default()
}

#[test]
fn a_member_that_wants_to_serve_clients_of_a_group_that_serves_none_is_told() {
    let village = Village::new();
    let (hall, oak) = (village.node("hall"), village.node("oak"));
    let (running, at) = tracker(&hall, &[]);
    let to = at.to_string();
    let args = [
        "share",
        "--lines",
        "--listen",
        "127.0.0.1:0",
        "--tracker",
        &to,
        "--bittorrent",
    ];
    let peer = oak.start(&args);
    peer.wait_for_line("what to do", |line| {
        line.contains("does not serve ordinary BitTorrent clients")
            && line.contains("thorp tracker --bittorrent")
    });
    end(&oak, peer);
    drop(running);
    // Who keeps the group decides both at once.
    let elm = village.node("elm");
    let peer = elm.start(&[
        "share",
        "--lines",
        "--listen",
        "127.0.0.1:0",
        "--bittorrent",
    ]);
    let at: SocketAddr = sharing(&peer).parse().unwrap();
    let refused = announced(at, &announce(SOME, 1111));
    assert!(
        matches!(refused, Err(AnswerError::Refused(_))),
        "{refused:?}"
    );
    end(&elm, peer);
}

/// Asserts that the tracker answers a client that does as it should, over HTTP and UDP.
fn answers(at: SocketAddr, torrent: InfoHash) {
    let told = announced(at, &announce(torrent, 1111)).unwrap();
    assert!(told.interval.is_some());
    let told = announced_over_udp(at, &announce(torrent, 2222));
    assert!(matches!(told, UdpAnswer::Announced { .. }), "{told:?}");
}

/// Sends datagrams, and takes no notice of what is answered.
fn flood(to: SocketAddr, datagrams: impl Iterator<Item = Vec<u8>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(to).unwrap();
    for datagram in datagrams {
        socket.send(&datagram).unwrap();
    }
}

#[test]
fn whatever_clients_say_to_a_tracker_it_goes_on_to_answer_others() {
    let village = Village::new();
    let hall = village.node("hall");
    let (running, at) = tracker(&hall, &["--bittorrent=any"]);
    let connect = UdpRequest::Connect { transaction: 1 };
    let Some(UdpAnswer::Connected { connection, .. }) = over_udp(at, &connect) else {
        panic!("no connection id");
    };
    let requests = [
        connect,
        UdpRequest::Announce {
            connection,
            transaction: 2,
            announce: announce(SOME, 3333),
        },
        UdpRequest::Scrape {
            connection,
            transaction: 3,
            torrents: vec![SOME; 74],
        },
    ];
    let requests = requests.map(|request| request.encode());
    for request in &requests {
        flood(at, (0..request.len()).map(|end| request[..end].to_vec()));
    }
    let mut random = fastrand::Rng::with_seed(12);
    let any = (0..20_000).map(|number| mutated(&mut random, &requests[number % requests.len()]));
    flood(at, any);
    answers(at, SOME);

    let query = query::write_announce(&announce(SOME, 4444), None);
    let head = format!("GET /announce?{query} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes();
    for end in 0..head.len() {
        let mut stream = TcpStream::connect(at).unwrap();
        // Its end comes instead of the rest.
        stream.write_all(&head[..end]).unwrap();
    }
    for _ in 0..500 {
        let mut stream = TcpStream::connect(at).unwrap();
        // What it has said may be enough to be closed for.
        let _ = stream.write_all(&mutated(&mut random, &head));
    }
    answers(at, SOME);
    end(&hall, running);
}

#[test]
fn two_thousand_idle_clients_and_slow_ones_keep_no_other_from_a_tracker() {
    let village = Village::new();
    let hall = village.node("hall");
    let (running, at) = tracker(&hall, &["--bittorrent=any"]);
    answers(at, SOME);
    let before = memory(&running).0;
    let begin = b"GET /announce?info_hash=";
    let mut idle: Vec<TcpStream> = (0..2000)
        .map(|number| {
            let mut stream = TcpStream::connect(at).unwrap();
            if number % 2 == 1 {
                // It may be closed by now.
                let _ = stream.write_all(begin);
            }
            stream
        })
        .collect();
    let (stop, stopped) = mpsc::channel::<()>();
    let mut slow = idle.split_off(1980);
    let slow = thread::spawn(move || {
        let tick = || stopped.recv_timeout(Duration::from_secs(1));
        while tick() == Err(RecvTimeoutError::Timeout) {
            for stream in &mut slow {
                let _ = stream.write_all(b"a");
            }
        }
    });
    let since = Instant::now();
    for _ in 0..3 {
        answers(at, SOME);
    }
    assert!(since.elapsed() < PATIENCE, "{:?}", since.elapsed());
    let (now, most) = memory(&running);
    for bytes in [now, most] {
        let grown = bytes.saturating_sub(before);
        assert!(grown < 32 * 1024 * 1024, "{grown} bytes for idle clients");
    }
    drop(stop);
    slow.join().unwrap();
    drop(idle);
    end(&hall, running);
}

#[test]
fn what_begins_encrypted_gets_no_byte_and_what_begins_by_utp_that_it_is_not_spoken() {
    let village = Village::new();
    let hall = village.node("hall");
    let (_running, at) = tracker(&hall, &["--bittorrent=any"]);
    let oak = village.node("oak");
    let to = at.to_string();
    let peer = oak.start(&[
        "share",
        "--lines",
        "--listen",
        "127.0.0.1:0",
        "--tracker",
        &to,
        "--bittorrent",
    ]);
    let peer_at: SocketAddr = sharing(&peer).parse().unwrap();
    // A public key of 96 bytes, and padding; what it begins with is random.
    let mut random = fastrand::Rng::with_seed(1);
    for first in [0_u8, 0x41, 0x7f, 0xff] {
        let key: Vec<u8> = (0..150).map(|_| random.u8(..)).collect();
        let encrypted = [&[first][..], &key].concat();
        for at in [at, peer_at] {
            assert_eq!(said_over_tcp(at, &encrypted), b"");
        }
    }
    // What wants to begin a uTP connection is refused, and no other datagram of one is answered.
    for at in [at, peer_at] {
        assert_eq!(over_utp(at).map(|reset| reset.len()), Some(utp::HEAD));
    }
    let data = [&[0x01, 0, 1, 2][..], &[0; 16], b"hello"].concat();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(at).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send(&data).unwrap();
    let connect = UdpRequest::Connect { transaction: 77 };
    socket.send(&connect.encode()).unwrap();
    let mut answer = [0; 2048];
    let length = uninterrupted(|| socket.recv(&mut answer)).unwrap();
    let answer = UdpAnswer::decode(&answer[..length], Stride::V4).unwrap();
    assert_eq!(answer.transaction(), 77);
}

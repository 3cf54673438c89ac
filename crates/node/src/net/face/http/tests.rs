use proptest::collection::vec;
use proptest::prelude::*;
use thorp_wire::announce::{Announce, AnnounceEvent, Announced, AnswerError, answer};
use thorp_wire::{ClientId, InfoHash};
use tokio::io::{DuplexStream, duplex};

use super::*;

const SOON: Patience = Patience {
    head: Duration::from_secs(10),
    idle: Duration::from_secs(30),
};

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn announced(port: u16) -> String {
    let announce = Announce {
        torrent: InfoHash::new([0xf1; 20]),
        client: ClientId::of_thorp([b'&'; 12]),
        port,
        uploaded: 0,
        downloaded: 0,
        left: 5,
        event: AnnounceEvent::Started,
        wanted: None,
        key: 9,
    };
    format!("/announce?{}", query::write_announce(&announce, None))
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: hall\r\nUser-Agent: a client\r\n\r\n").into_bytes()
}

/// Connects, as if from this address.
fn client(face: &Face, from: &str, patience: Patience) -> DuplexStream {
    let (ours, theirs) = duplex(64 * 1024);
    let (face, from) = (face.clone(), at(from));
    tokio::spawn(async move { serve(theirs, from, &face, patience).await });
    ours
}

/// Reads a response: its first line, and its body.
async fn response(stream: &mut DuplexStream) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    let head = String::from_utf8(head).expect("text");
    let mut lines = head.lines();
    let status = lines.next().expect("a line").to_owned();
    let length = lines.find_map(|line| line.strip_prefix("Content-Length: "));
    let length = length.expect("a length").parse().expect("a number");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.expect("a body");
    (status, body)
}

async fn asks(stream: &mut DuplexStream, request: &[u8]) -> (String, Vec<u8>) {
    stream.write_all(request).await.expect("sent");
    response(stream).await
}

async fn has_ended(stream: &mut DuplexStream) -> bool {
    stream.read_u8().await.is_err()
}

#[tokio::test]
async fn clients_find_one_another_on_connections_that_go_on() {
    let face = Face::for_tests(true);
    let mut one = client(&face, "10.0.0.1:4000", SOON);
    let mut two = client(&face, "[fd00::2]:4000", SOON);
    let (status, body) = asks(&mut one, &get(&announced(1111))).await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    let told = Announced::decode(&body).expect("an answer");
    assert_eq!((told.leechers, told.peers), (Some(1), vec![]));
    assert_eq!(told.external_ip, Some(at("10.0.0.1:1").ip()));
    assert_eq!((told.interval, told.min_interval), (Some(1200), Some(60)));
    let (_, body) = asks(&mut two, &get(&announced(2222))).await;
    let told = Announced::decode(&body).expect("an answer");
    assert_eq!(told.peers, [at("10.0.0.1:1111")], "of either family");
    let (_, body) = asks(&mut one, &get(&announced(1111))).await;
    let told = Announced::decode(&body).expect("an answer");
    assert_eq!(told.peers, [at("[fd00::2]:2222")]);
    let scrape = query::write_scrape(&[InfoHash::new([0xf1; 20]), InfoHash::new([3; 20])]);
    let (_, body) = asks(&mut one, &get(&format!("/scrape?{scrape}"))).await;
    let counts = answer::decode_scrape(&body).expect("an answer");
    assert_eq!(counts.len(), 2);
    assert_eq!(counts.iter().map(|(_, of)| of.leechers).max(), Some(2));
}

#[tokio::test]
async fn what_is_wrong_is_said_where_clients_look_for_it_and_the_connection_goes_on() {
    let face = Face::for_tests(false);
    let mut stream = client(&face, "10.0.0.1:4000", SOON);
    for (path, reason) in [
        (announced(1), NOT_TRACKED),
        (
            "/announce?info_hash=x".into(),
            "the query has no possible value under `info_hash`",
        ),
        ("/scrape".into(), "the query has no `info_hash`"),
        ("/announce".into(), "the query has no `info_hash`"),
    ] {
        let (status, body) = asks(&mut stream, &get(&path)).await;
        assert_eq!(status, "HTTP/1.1 200 OK");
        let refused = AnswerError::Refused(reason.into());
        assert_eq!(Announced::decode(&body), Err(refused), "{path}");
    }
    let (status, _) = asks(&mut stream, &get("/")).await;
    assert_eq!(status, "HTTP/1.1 404 Not Found");
    // Two requests in one packet are two requests.
    let both = [get("/one"), get("/two")].concat();
    asks(&mut stream, &both).await;
    response(&mut stream).await;
}

#[tokio::test]
async fn a_connection_ends_when_the_client_wants_that_or_says_something_else() {
    let face = Face::for_tests(true);
    for (request, status) in [
        ("GET /x HTTP/1.0\r\n\r\n", "HTTP/1.1 404 Not Found"),
        (
            "GET /x HTTP/1.1\r\nConnection: Close\r\n\r\n",
            "HTTP/1.1 404 Not Found",
        ),
        ("GETX / HTTP/1.1\r\n\r\n", "HTTP/1.1 405 Method Not Allowed"),
        (
            "GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 400 Bad Request",
        ),
        (
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 400 Bad Request",
        ),
        ("G\0\r\n\r\n", "HTTP/1.1 400 Bad Request"),
    ] {
        let mut stream = client(&face, "10.0.0.1:4000", SOON);
        assert_eq!(asks(&mut stream, request.as_bytes()).await.0, status);
        assert!(has_ended(&mut stream).await, "{request:?}");
    }
    let mut old = client(&face, "10.0.0.1:4000", SOON);
    let request = b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    asks(&mut old, request).await;
    asks(&mut old, request).await;
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused_before_it_has_ended() {
    let face = Face::for_tests(true);
    let mut stream = client(&face, "10.0.0.1:4000", SOON);
    let long = format!("GET /announce?{} ", "a".repeat(LONGEST_REQUEST_HEAD));
    let (status, _) = asks(&mut stream, long.as_bytes()).await;
    assert_eq!(status, "HTTP/1.1 431 Request Header Fields Too Large");
    assert!(has_ended(&mut stream).await);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_a_byte_a_second_is_not_waited_for() {
    let face = Face::for_tests(true);
    let mut slow = client(&face, "10.0.0.1:4000", SOON);
    let mut sent = 0;
    for byte in get(&announced(1)) {
        if slow.write_all(&[byte]).await.is_err() {
            break;
        }
        sent += 1;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!((9..13).contains(&sent), "{sent} seconds");
    let mut silent = client(&face, "10.0.0.1:4000", SOON);
    asks(&mut silent, &get("/x")).await;
    let begun = tokio::time::Instant::now();
    assert!(has_ended(&mut silent).await);
    assert_eq!(begun.elapsed().as_secs(), SOON.idle.as_secs());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_request_is_answered_or_refused(
        bytes in vec(any::<u8>(), 0..300),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        is_random: bool,
    ) {
        let face = Face::for_tests(true);
        let mut request = if is_random { bytes } else { get(&announced(7)) };
        if !request.is_empty() {
            for (at, byte) in changes {
                let at = at.index(request.len());
                request[at] = byte;
            }
            request.truncate(cut.index(request.len()) + 1);
        }
        let mut out = Vec::new();
        respond(&request, at("10.0.0.1:1"), &face, &mut out);
        prop_assert!(out.starts_with(b"HTTP/1.1 "));
        let mut out = Vec::new();
        prop_assert!(respond(&get(&announced(8)), at("10.0.0.2:1"), &face, &mut out));
        prop_assert!(out.starts_with(b"HTTP/1.1 200 OK\r\n"));
    }
}

use thorp_group::testing::Group;

use super::*;
use crate::net::dial::{Expected, dial};
use crate::net::testing::Listening;

fn local() -> Listen {
    Listen::Exactly("127.0.0.1:0".parse().expect("an address"))
}

#[tokio::test]
async fn what_is_not_thorp_is_closed_at_once() {
    let group = Group::new();
    let mut oak = group.node("oak").await;
    let mut handshake = b"\x13BitTorrent protocol".to_vec();
    handshake.resize(68, 0);
    let requests: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: oak\r\n\r\n",
        &handshake,
        &[0xde, 0xad, 0xbe, 0xef],
        &[0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0],
    ];
    for request in requests {
        let mut stream = TcpStream::connect(oak.address).await.expect("connects");
        stream.write_all(request).await.expect("writes");
        let mut answer = Vec::new();
        // Closed, or reset because more was sent than the node has read.
        let _ = stream.read_to_end(&mut answer).await;
        // What looked like TLS is answered with an alert.
        let alert = [0x15, 3, 3];
        assert!(
            answer.is_empty() || answer.starts_with(&alert),
            "{answer:?}"
        );
    }
    assert!(oak.incoming.try_recv().is_err());
}

#[tokio::test]
async fn two_services_share_a_port() {
    let group = Group::new();
    let (oak, ash, elm) = (
        group.member("oak"),
        group.member("ash"),
        group.member("elm"),
    );
    let listener = Listener::bind(local()).await.expect("binds");
    let address = listener.address();
    let (oak_sink, mut to_oak) = mpsc::channel(1);
    let (ash_sink, mut to_ash) = mpsc::channel(1);
    let service = |tls: &MemberTls, sink| Service {
        tls: tls.clone(),
        join: None,
        sink,
        clients: None,
        face: None,
    };
    let services = vec![service(&oak, oak_sink), service(&ash, ash_sink)];
    let _running = listener.serve(services);
    for (tls, sink) in [(&oak, &mut to_oak), (&ash, &mut to_ash)] {
        let expected = Expected::Peer(tls.member().id);
        dial(&[address], expected, &elm, None)
            .await
            .expect("reaches it");
        assert_eq!(
            sink.recv().await.expect("arrives").member.id,
            elm.member().id
        );
    }
}

#[tokio::test]
async fn a_slow_handshake_is_cut_off() {
    let group = Group::new();
    let listener = Listener::bind(local()).await.expect("binds");
    let address = listener.address();
    let (sink, _incoming) = mpsc::channel(1);
    let service = Service {
        tls: group.member("oak"),
        join: None,
        sink,
        clients: None,
        face: None,
    };
    let limits = Limits {
        handshake: Duration::from_millis(20),
        ..Limits::default()
    };
    let _running = listener.serve_within(vec![service], limits);
    for beginning in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(beginning).await.expect("writes");
        let ended = stream.read(&mut [0]).await;
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    }
}

#[tokio::test]
async fn a_taken_port_is_said_or_stepped_over() {
    let first = Listener::bind(Listen::PortOrNext(23_456))
        .await
        .expect("binds");
    let port = first.address().port();
    let error = Listener::bind(Listen::Port(port))
        .await
        .expect_err("is taken");
    let text = error.to_string();
    assert!(text.starts_with(&format!("port {port} is taken")), "{text}");
    let second = Listener::bind(Listen::PortOrNext(port))
        .await
        .expect("finds one");
    assert!(second.address().port() > port);
    let exactly = Listen::Exactly(([127, 0, 0, 1], port).into());
    let error = Listener::bind(exactly).await.expect_err("is taken");
    assert!(matches!(error, ListenError::Taken { .. }), "{error}");
    let elsewhere = Listen::Exactly(([192, 0, 2, 1], 0).into());
    let error = Listener::bind(elsewhere).await.expect_err("is not ours");
    assert!(error.to_string().contains("192.0.2.1"), "{error}");
}

#[tokio::test]
async fn listening_everywhere_is_reached_over_ipv4_too() {
    let group = Group::new();
    let listener = Listener::bind(Listen::PortOrNext(24_456))
        .await
        .expect("binds");
    let port = listener.address().port();
    let (sink, mut incoming) = mpsc::channel(1);
    let oak = group.member("oak");
    let service = Service {
        tls: oak.clone(),
        join: None,
        sink,
        clients: None,
        face: None,
    };
    let _running = listener.serve(vec![service]);
    let address = ([127, 0, 0, 1], port).into();
    let expected = Expected::Peer(oak.member().id);
    dial(&[address], expected, &group.member("elm"), None)
        .await
        .expect("reaches it");
    let remote = incoming.recv().await.expect("arrives").remote;
    assert!(remote.is_ipv4(), "{remote}");
}

#[tokio::test]
async fn silence_does_not_hold_the_door() {
    let group = Group::new();
    let (oak, elm) = (group.member("oak"), group.member("elm"));
    let listener = Listener::bind(local()).await.expect("binds");
    let address = listener.address();
    let (sink, mut incoming) = mpsc::channel(1);
    let service = Service {
        tls: oak.clone(),
        join: None,
        sink,
        clients: None,
        face: None,
    };
    let limits = Limits {
        handshakes: 4,
        ..Limits::default()
    };
    let _running = listener.serve_within(vec![service], limits);
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(address).await.expect("connects"));
    }
    let expected = Expected::Peer(oak.member().id);
    dial(&[address], expected, &elm, None)
        .await
        .expect("gets in");
    incoming.recv().await.expect("arrives");
    // The oldest were dropped long before their time limit.
    for stream in &mut silent[..16] {
        let ended = stream.read(&mut [0]).await;
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    }
}

#[tokio::test]
async fn strangers_leave_some_descriptors() {
    let group = Group::new();
    let listener = Listener::bind(local()).await.expect("binds");
    let address = listener.address();
    let (sink, _incoming) = mpsc::channel(1);
    let service = Service {
        tls: group.member("oak"),
        join: None,
        sink,
        clients: None,
        face: None,
    };
    let limits = Limits {
        // As if all descriptors were in use.
        descriptors: 3,
        ..Limits::default()
    };
    let _running = listener.serve_within(vec![service], limits);
    let mut stream = TcpStream::connect(address).await.expect("connects");
    let ended = stream.read(&mut [0]).await;
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
}

const ANNOUNCE: &[u8] =
    b"GET /announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbbbbbb&port=7 \
    HTTP/1.1\r\n\r\n";

/// Sends something, and returns what comes back until the connection ends or pauses.
async fn said_to(address: SocketAddr, words: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.write_all(words).await.expect("sent");
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).await.unwrap_or(0);
    answer.truncate(length);
    answer
}

async fn serving(face: Option<Face>, limits: Limits) -> (SocketAddr, Running) {
    let listener = Listener::bind(local()).await.expect("binds");
    let address = listener.address();
    let service = Service {
        tls: Group::new().member("hall"),
        join: None,
        sink: mpsc::channel(1).0,
        clients: None,
        face,
    };
    (address, listener.serve_within(vec![service], limits))
}

#[tokio::test]
async fn ordinary_clients_are_answered_where_there_is_a_face_and_get_no_byte_elsewhere() {
    let handshake = [&b"\x13BitTorrent protocol"[..], &[0; 48]].concat();
    let (address, _running) = serving(Some(Face::for_tests(true)), Limits::default()).await;
    let answer = said_to(address, ANNOUNCE).await;
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{answer:?}");
    // A tracker has no files.
    assert_eq!(said_to(address, &handshake).await, b"");
    let (address, _running) = serving(None, Limits::default()).await;
    let scrape = b"GET /scrape?info_hash=aaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\n\r\n";
    for words in [ANNOUNCE, scrape, &handshake] {
        assert_eq!(said_to(address, words).await, b"");
    }
}

#[tokio::test]
async fn idle_clients_make_place_for_one_that_asks() {
    let limits = Limits {
        handshakes: 4,
        clients: 8,
        ..Limits::default()
    };
    let (address, _running) = serving(Some(Face::for_tests(true)), limits).await;
    let mut idle = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(b"G").await.expect("sent");
        idle.push(stream);
        let answer = said_to(address, ANNOUNCE).await;
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{answer:?}");
    }
    for stream in &mut idle[..30] {
        let ended = stream.read(&mut [0]).await;
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    }
}

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

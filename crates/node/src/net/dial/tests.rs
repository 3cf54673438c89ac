use std::time::SystemTime;

use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use thorp_group::authority::VALIDITY;
use thorp_group::clock::Clock;
use thorp_group::identity::Identity;
use thorp_group::testing::Group;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsStream;

use thorp_disk::testing::DISK;

use super::*;
use crate::net::testing::{Listening, Node};
use thorp_wire::Frame;
use thorp_wire::frame::{Body, MAX_FRAME, PREFIX, announced_length};

/// Dials a trusted node, and returns why that node does not trust the caller.
async fn refused_by(node: &mut Node, tls: &MemberTls, address: SocketAddr) -> CertificateError {
    let expected = Expected::Peer(node.tls.member().id);
    let error = match dial(&[address], expected, tls, None).await {
        // In TLS 1.3 the client finishes its handshake before the server refuses it.
        Ok(mut connected) => {
            let read = connected.stream.read(&mut [0]).await;
            CertificateError::from_io(&read.expect_err("is refused"))
        }
        Err(DialError::Certificate { why, .. }) => Some(why),
        Err(other) => panic!("{other}"),
    };
    assert!(node.incoming.try_recv().is_err(), "nobody was let in");
    error.expect("is about a certificate")
}

async fn untrusted(address: SocketAddr, expected: Expected, tls: &MemberTls) -> String {
    match dial(&[address], expected, tls, None).await {
        Err(error @ DialError::Certificate { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn two_members_know_each_other_by_their_certificates() {
    let group = Group::new();
    let mut oak = group.node("oak").await;
    let elm = group.member("elm");
    let expected = Expected::Peer(oak.tls.member().id);
    let mut to_oak = dial(&[oak.address], expected, &elm, None)
        .await
        .expect("reaches oak");
    let mut from_elm = oak.incoming.recv().await.expect("is delivered");
    assert_eq!(to_oak.member, oak.tls.member());
    assert_eq!(from_elm.member, elm.member());
    assert_eq!(from_elm.member.name, "elm".parse().ok());
    assert!(!from_elm.member.tracker);
    assert!(from_elm.remote.ip().is_loopback());
    to_oak.stream.write_all(b"hello").await.expect("writes");
    to_oak.stream.flush().await.expect("flushes");
    let mut heard = [0; 5];
    from_elm.stream.read_exact(&mut heard).await.expect("reads");
    assert_eq!(&heard, b"hello");
}

#[tokio::test]
async fn a_tracker_answers_to_its_role_and_to_its_key_and_nobody_else_does() {
    let group = Group::new();
    let mut hall = group.tracker(Clock::system()).await;
    let oak = group.node("oak").await;
    let elm = group.member("elm");
    for expected in [Expected::Tracker, Expected::Peer(hall.tls.member().id)] {
        let connected = dial(&[hall.address], expected, &elm, None)
            .await
            .expect("reaches it");
        assert!(connected.member.tracker);
        hall.incoming.recv().await.expect("is delivered");
    }
    // Oak has another name than the expected one, so it closes before it shows a certificate.
    let answer = dial(&[oak.address], Expected::Tracker, &elm, None).await;
    assert!(
        matches!(answer, Err(DialError::HungUp { .. })),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_renewed_certificate_counts_for_later_connections_on_both_sides() {
    let group = Group::new();
    let clock = Clock::system();
    let start = SystemTime::now();
    let identity = Identity::generate().expect("a key");
    let first = group.admit(&identity, "oak");
    let oak = MemberTls::new(&identity, &first, clock.clone()).expect("fits");
    let mut hall = group.tracker(Clock::system()).await;
    let connect = || {
        dial(
            std::slice::from_ref(&hall.address),
            Expected::Tracker,
            &oak,
            None,
        )
    };
    drop(connect().await.expect("reaches it"));
    let before = hall.incoming.recv().await.expect("arrives").member.ends;

    let later = start + VALIDITY / 2;
    let certificate = group
        .authority
        .renew(identity.id(), later)
        .expect("is a member");
    let renewed = group.membership(certificate);
    oak.renew(&identity, &renewed).expect("fits");
    assert_eq!(Some(oak.member()), renewed.member());
    // Valid only in the future, by the tracker's clock, which decides.
    let connect = || {
        dial(
            std::slice::from_ref(&hall.address),
            Expected::Tracker,
            &oak,
            None,
        )
    };
    let mut early = connect().await.expect("is refused after it");
    assert!(early.stream.read(&mut [0]).await.is_err());
    let seconds = i64::try_from((VALIDITY / 2).as_secs()).expect("fits");
    hall.tls.clock().turn(seconds);
    clock.turn(seconds);
    drop(connect().await.expect("reaches it"));
    let after = hall.incoming.recv().await.expect("arrives").member.ends;
    let by = after.duration_since(before).expect("is later");
    assert!(
        by.abs_diff(VALIDITY / 2) < Duration::from_secs(10),
        "{by:?}"
    );
}

#[tokio::test]
async fn nothing_is_resumed() {
    let group = Group::new();
    let mut oak = group.node("oak").await;
    let elm = group.member("elm");
    let expected = Expected::Peer(oak.tls.member().id);
    for _ in 0..3 {
        let mut to_oak = dial(&[oak.address], expected, &elm, None)
            .await
            .expect("reaches oak");
        let mut from_elm = oak.incoming.recv().await.expect("is delivered");
        // A session ticket would come with the first bytes.
        from_elm.stream.write_all(b"x").await.expect("writes");
        from_elm.stream.flush().await.expect("flushes");
        to_oak.stream.read_exact(&mut [0]).await.expect("reads");
        for stream in [&to_oak.stream, &from_elm.stream] {
            let kind = stream.get_ref().1.handshake_kind();
            assert_eq!(kind, Some(rustls::HandshakeKind::Full));
        }
        let TlsStream::Client(client) = &to_oak.stream else {
            panic!("we have dialled");
        };
        assert_eq!(client.get_ref().1.tls13_tickets_received(), 0);
    }
}

#[tokio::test]
async fn whoever_would_resume_an_old_connection_has_to_show_its_certificate_again() {
    let group = Group::new();
    let mut oak = group.node("oak").await;
    let elm = group.member("elm");
    let mut config = (*elm.client()).clone();
    config.resumption = rustls::client::Resumption::in_memory_sessions(8);
    config.enable_early_data = true;
    let config = Arc::new(config);
    let name = certificate::id_name(oak.tls.member().id);
    for _ in 0..3 {
        let reached = reach(&[oak.address], &name, config.clone(), None).await;
        let (mut to_oak, _) = reached.expect("reaches oak");
        let mut from_elm = oak.incoming.recv().await.expect("is delivered");
        from_elm.stream.write_all(b"x").await.expect("writes");
        from_elm.stream.flush().await.expect("flushes");
        to_oak.read_exact(&mut [0]).await.expect("reads");
        let TlsStream::Client(client) = &to_oak else {
            panic!("we have dialled");
        };
        let connection = client.get_ref().1;
        assert_eq!(connection.tls13_tickets_received(), 0);
        assert_eq!(
            connection.handshake_kind(),
            Some(rustls::HandshakeKind::Full)
        );
        assert!(!connection.is_early_data_accepted());
    }
}

#[tokio::test]
async fn strangers_are_refused_with_a_reason() {
    let group = Group::new();
    let mut oak = group.node("oak").await;
    let address = oak.address;
    let (month, now) = (VALIDITY, SystemTime::now());
    let identity = Identity::generate().expect("a key");
    let at = |when| {
        let membership = group.admit_at(&identity, "elm", when);
        MemberTls::new(&identity, &membership, Clock::system()).expect("fits")
    };
    for (when, says) in [
        (now - month - month, "compare the two clocks"),
        (now + month, "compare the two clocks"),
    ] {
        let why = refused_by(&mut oak, &at(when), address).await.to_string();
        assert!(why.contains(says), "{why}");
    }

    // Signed by another CA, although the dialling side trusts oak's CA.
    let other = Group::new();
    let mut membership = other.admit(&identity, "elm");
    membership.ca = group.authority.ca();
    let tls = MemberTls::new(&identity, &membership, Clock::system()).expect("fits");
    let why = refused_by(&mut oak, &tls, address).await;
    assert_eq!(
        why,
        CertificateError::OursRefused("it belongs to another group")
    );

    // Signed by itself, under the CA's subject.
    let key = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let id = PeerId::new(key.public_key_raw().try_into().expect("32 bytes"));
    let mut params = CertificateParams::new(vec![certificate::id_name(id)]).expect("a name");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "thorp");
    let own = params.self_signed(&key).expect("is signed").der().clone();
    let config = client(&group, Some((own, key)), &[tls::ALPN_LINK]);
    let name = certificate::id_name(oak.tls.member().id);
    let why = refusal(address, &name, config).await;
    assert_eq!(
        why,
        Some(CertificateError::OursRefused("it belongs to another group"))
    );

    // No certificate.
    let config = client(&group, None, &[tls::ALPN_LINK]);
    let why = refusal(address, &name, config).await;
    assert_eq!(why, Some(CertificateError::OursRefused("none was shown")));
    assert!(oak.incoming.try_recv().is_err(), "nobody was let in");
}

#[tokio::test]
async fn strangers_get_nothing_by_any_door() {
    let group = Group::new();
    let (oak, hall) = (
        group.node("oak").await,
        group.tracker(Clock::system()).await,
    );
    let (now, month) = (SystemTime::now(), VALIDITY);
    let doors = [
        (oak, vec![tls::ALPN_LINK, tls::ALPN_SESSION]),
        (hall, vec![tls::ALPN_LINK]),
    ];
    for (mut node, protocols) in doors {
        let name = certificate::id_name(node.tls.member().id);
        for protocol in protocols {
            let shown = [
                None,
                Some(certificate_at(&Group::new(), now, true)),
                Some(certificate_at(&group, now - month - month, true)),
                Some(certificate_at(&group, now + month, true)),
                // The group's CA has signed it, for another key than its own.
                Some(certificate_at(&group, now, false)),
            ];
            for (number, shown) in shown.into_iter().enumerate() {
                let config = client(&group, shown, &[protocol]);
                let reached = reach(&[node.address], &name, config, None).await;
                if let Ok((mut stream, _)) = reached {
                    let heard =
                        timeout_at(Instant::now() + REACHED_WITHIN, stream.read(&mut [0])).await;
                    let heard = heard.unwrap_or_else(|_| panic!("{number} is not hung up on"));
                    assert!(!matches!(heard, Ok(1..)), "{number}: {heard:?}");
                }
                assert!(node.incoming.try_recv().is_err(), "{number} was let in");
            }
            // A member gets in, so the node does accept connections.
            let config = client(&group, Some(certificate_at(&group, now, true)), &[protocol]);
            let reached = reach(&[node.address], &name, config, None).await;
            let _held = reached.expect("is a member");
            node.incoming.recv().await.expect("is let in");
        }
    }
}

/// Makes a key and a certificate by this group's CA, with the name of that key or of another.
fn certificate_at(
    group: &Group,
    when: SystemTime,
    fits: bool,
) -> (CertificateDer<'static>, KeyPair) {
    let key = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let own = PeerId::new(key.public_key_raw().try_into().expect("32 bytes"));
    let id = if fits { own } else { PeerId::new([7; 32]) };
    let mut params = CertificateParams::new(vec![certificate::id_name(id)]).expect("a name");
    params.not_before = when.into();
    params.not_after = (when + VALIDITY).into();
    let signed = params.signed_by(&key, &group.issuer());
    (signed.expect("is signed").der().clone(), key)
}

/// Makes a client that trusts the group and presents the given certificate, if any.
fn client(
    group: &Group,
    presents: Option<(CertificateDer<'static>, KeyPair)>,
    protocols: &[&[u8]],
) -> Arc<ClientConfig> {
    let builder =
        ClientConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into());
    let builder = builder
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("is supported")
        .with_root_certificates(tls::roots(group.authority.ca()));
    let mut config = match presents {
        Some((certificate, key)) => {
            let key = PrivatePkcs8KeyDer::from(key.serialize_der());
            builder
                .with_client_auth_cert(vec![certificate], key.into())
                .expect("fits")
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
    Arc::new(config)
}

async fn refusal(
    address: SocketAddr,
    name: &str,
    config: Arc<ClientConfig>,
) -> Option<CertificateError> {
    match reach(&[address], name, config, None).await {
        Ok((mut stream, _)) => {
            CertificateError::from_io(&stream.read(&mut [0]).await.expect_err("is refused"))
        }
        Err(DialError::Certificate { why, .. }) => Some(why),
        Err(_) => None,
    }
}

#[tokio::test]
async fn whoever_asks_for_no_protocol_or_another_is_hung_up_on() {
    let group = Group::new();
    let oak = group.node("oak").await;
    // A peer admits no newcomers, and a tracker has no files.
    let hall = group.tracker(Clock::system()).await;
    let asked: [(&Node, &[&[u8]]); 4] = [
        (&oak, &[]),
        (&oak, &[b"h2"]),
        (&oak, &[tls::ALPN_JOIN]),
        (&hall, &[tls::ALPN_SESSION]),
    ];
    for (node, protocols) in asked {
        let name = certificate::id_name(node.tls.member().id);
        let config = client(&group, None, protocols);
        let answer = reach(&[node.address], &name, config, None).await;
        assert!(
            matches!(answer, Err(DialError::HungUp { .. })),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn an_untrusted_answer_is_explained() {
    let (group, other) = (Group::new(), Group::new());
    let clock = Clock::system();
    let elm = Identity::generate().expect("a key");
    let membership = group.admit(&elm, "elm");
    let elm = MemberTls::new(&elm, &membership, clock.clone()).expect("fits");

    // Another machine in oak's place: it answers to oak's name, with its own key.
    let oak = group.member("oak");
    let ash = group.member("ash");
    let port = fake(ash.server()).await;
    let text = untrusted(port, Expected::Peer(oak.member().id), &elm).await;
    assert!(text.contains("it is another machine"), "{text}");
    assert!(text.contains(&ash.member().id.to_string()), "{text}");

    let stranger = other.node("oak").await;
    let expected = Expected::Peer(stranger.tls.member().id);
    let text = untrusted(stranger.address, expected, &elm).await;
    assert!(text.contains("belongs to another group"), "{text}");

    let oak = group.node("oak").await;
    let expected = Expected::Peer(oak.tls.member().id);
    let day = 24 * 3600;
    clock.turn(40 * day);
    let text = untrusted(oak.address, expected, &elm).await;
    assert!(
        text.contains("expired 10 days ago") && text.contains("clock"),
        "{text}"
    );
    clock.turn(-40 * day);
    let text = untrusted(oak.address, expected, &elm).await;
    assert!(
        text.contains("only valid in 40 days") && text.contains("clock"),
        "{text}"
    );
}

/// Shows this certificate to every machine that dials, whatever name it expects.
async fn fake(config: Arc<rustls::ServerConfig>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("has one");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = tokio_rustls::TlsAcceptor::from(config.clone());
            let _ = acceptor.accept(stream).await;
        }
    });
    address
}

#[tokio::test]
async fn a_good_address_is_found_among_bad_ones() {
    let group = Group::new();
    let elm = group.member("elm");
    let mut oak = group.node("oak").await;
    let ash = group.node("ash").await;
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let closed_address = closed.local_addr().expect("has one");
    drop(closed);
    let addresses = [
        silent.local_addr().expect("has one"),
        closed_address,
        ash.address,
        oak.address,
    ];
    let expected = Expected::Peer(oak.tls.member().id);
    let connected = dial(&addresses, expected, &elm, None)
        .await
        .expect("reaches oak");
    assert_eq!(connected.address, oak.address);
    oak.incoming.recv().await.expect("is delivered");
}

#[tokio::test]
async fn nobody_there_is_said_with_every_address() {
    let group = Group::new();
    let elm = group.member("elm");
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = closed.local_addr().expect("has one");
    drop(closed);
    let error = dial(&[address, address], Expected::Tracker, &elm, None)
        .await
        .expect_err("nobody is there");
    let text = error.to_string();
    let both = format!("nobody answers at {address}, {address}: ");
    assert!(text.starts_with(&both), "{text}");
    let nowhere = dial(&[], Expected::Tracker, &elm, None).await;
    assert!(matches!(nowhere, Err(DialError::NoAddress)));
}

#[test]
fn too_many_open_files_are_not_told_as_nobody_there() {
    let address = "127.0.0.1:3333".parse().expect("an address");
    let mut failures = Failures {
        tried: vec![address],
        worst: None,
    };
    failures.on_failure(Failure::Os(rustix::io::Errno::MFILE.into()));
    let error = failures.into_error();
    assert!(matches!(error, DialError::TooManyOpen { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("127.0.0.1:3333: raise this machine's limit (ulimit -n)"),
        "{text}"
    );
}

#[tokio::test]
async fn a_source_address_is_kept() {
    let group = Group::new();
    let mut oak = group.node("oak").await;
    let elm = group.member("elm");
    let expected = Expected::Peer(oak.tls.member().id);
    let source: IpAddr = "127.0.0.7".parse().expect("an address");
    dial(&[oak.address], expected, &elm, Some(source))
        .await
        .expect("reaches oak");
    let incoming = oak.incoming.recv().await.expect("is delivered");
    assert_eq!(incoming.remote.ip(), source);
    // Of documentation: no machine has it.
    let gone: IpAddr = "192.0.2.7".parse().expect("an address");
    dial(&[oak.address], expected, &elm, Some(gone))
        .await
        .expect("from another one");
    let incoming = oak.incoming.recv().await.expect("is there");
    assert_eq!(incoming.remote.ip(), oak.address.ip());
}

#[tokio::test]
async fn whoever_speaks_something_else_is_told_from_whoever_is_silent() {
    let group = Group::new();
    let elm = group.member("elm");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("has one");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"220 oak ESMTP at your service\r\n").await;
            let _ = stream.read(&mut [0; 4096]).await;
        }
    });
    let error = dial(&[address], Expected::Tracker, &elm, None).await;
    let text = error.expect_err("is a mail server").to_string();
    assert!(text.contains("does not speak thorp"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn silence_is_given_up_on() {
    let group = Group::new();
    let elm = group.member("elm");
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = silent.local_addr().expect("has one");
    let before = Instant::now();
    let answer = dial(&[address], Expected::Tracker, &elm, None).await;
    assert!(
        matches!(&answer, Err(DialError::Mute { address: at }) if *at == address),
        "{answer:?}"
    );
    let took = before.elapsed();
    assert!(took >= HANDSHAKE_WITHIN, "{took:?}: its line may be full");
    assert!(took <= REACHED_WITHIN + HANDSHAKE_WITHIN, "{took:?}");
}

#[tokio::test]
async fn a_removed_member_gets_in_nowhere_and_is_told_so() {
    let group = Group::new();
    let mut oak = group.node("oak").await;
    let ash = group.member("ash");
    let expected = Expected::Peer(oak.tls.member().id);
    let call = async || dial(&[oak.address], expected, &ash, None).await;
    drop(call().await.expect("is a member"));
    oak.incoming.recv().await.expect("is let in");

    group
        .authority
        .remove(DISK, ash.member().id)
        .expect("removes");
    let record = group.authority.records().newest().expect("is made");
    oak.tls.records().adopt(record.clone()).expect("is signed");
    let mut stream = call().await.expect("is refused after it").stream;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("a goodbye");
    let mut told = Vec::new();
    let mut rest = &bytes[..];
    while let Some((&prefix, body)) = rest.split_first_chunk::<PREFIX>() {
        let length = announced_length(prefix, MAX_FRAME).expect("is short");
        told.push(Frame::decode(&body[..length]).expect("is a frame").body);
        rest = &body[length..];
    }
    let [Body::Record(proof), Body::Leave(leave)] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(proof.record, record);
    let reason = leave.reason.to_string();
    assert!(reason.contains("removed"), "{reason}");
    assert!(oak.incoming.try_recv().is_err(), "nobody was let in");
}

#[tokio::test]
async fn a_removed_member_is_not_spoken_to_where_it_is_dialled() {
    let group = Group::new();
    let ash = group.node("ash").await;
    let elm = group.member("elm");
    group
        .authority
        .remove(DISK, ash.tls.member().id)
        .expect("removes");
    let record = group.authority.records().newest().expect("is made");
    elm.records().adopt(record).expect("is signed");
    let expected = Expected::Peer(ash.tls.member().id);
    let answer = dial(&[ash.address], expected, &elm, None).await;
    let Err(DialError::Certificate { why, .. }) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(why, CertificateError::Removed);
}

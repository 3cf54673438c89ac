use std::iter;
use std::net::UdpSocket as StdSocket;

use proptest::collection::vec;
use proptest::prelude::*;
use thorp_core::swarms::MemberChange;
use thorp_wire::announce::{Announce, AnnounceEvent};
use thorp_wire::{ClientId, InfoHash};

use super::*;

fn tracker(is_any: bool) -> UdpTracker {
    UdpTracker::new(Face::for_tests(is_any), [7; 16])
}

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn announce(port: u16) -> Announce {
    Announce {
        torrent: InfoHash::new([1; 20]),
        client: ClientId::of_thorp([2; 12]),
        port,
        uploaded: 0,
        downloaded: 0,
        left: 5,
        event: AnnounceEvent::Started,
        wanted: None,
        key: 9,
    }
}

fn answered(tracker: &UdpTracker, from: SocketAddr, datagram: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    let question = Question {
        datagram,
        from,
        answer: &mut answer,
    };
    tracker.answer(iter::once(question));
    answer
}

fn ask(tracker: &UdpTracker, from: SocketAddr, request: &UdpRequest) -> Option<UdpAnswer> {
    let answer = answered(tracker, from, &request.encode());
    let stride = Stride::of(from);
    (!answer.is_empty()).then(|| UdpAnswer::decode(&answer, stride).expect("an answer"))
}

fn connect(tracker: &UdpTracker, from: SocketAddr) -> u64 {
    let connect = UdpRequest::Connect { transaction: 5 };
    match ask(tracker, from, &connect) {
        Some(UdpAnswer::Connected {
            transaction: 5,
            connection,
        }) => connection,
        other => panic!("{other:?}"),
    }
}

fn peers(answer: Option<UdpAnswer>) -> Vec<SocketAddr> {
    match answer {
        Some(UdpAnswer::Announced { peers, .. }) => peers,
        other => panic!("{other:?}"),
    }
}

fn announces(tracker: &UdpTracker, from: SocketAddr, announce: Announce) -> Option<UdpAnswer> {
    let connection = connect(tracker, from);
    let request = UdpRequest::Announce {
        connection,
        transaction: 6,
        announce,
    };
    ask(tracker, from, &request)
}

#[test]
fn clients_are_told_of_one_another_in_the_family_in_which_they_ask() {
    let tracker = tracker(true);
    let (one, mapped) = (at("10.0.0.1:5000"), at("[::ffff:10.0.0.2]:5000"));
    let six = at("[fd00::1]:5000");
    assert_eq!(peers(announces(&tracker, one, announce(1111))), []);
    let told = peers(announces(&tracker, mapped, announce(2222)));
    assert_eq!(told, [at("10.0.0.1:1111")]);
    assert_eq!(peers(announces(&tracker, six, announce(3333))), []);
    let told = peers(announces(&tracker, one, announce(1111)));
    assert_eq!(told, [at("10.0.0.2:2222")]);
    let connection = connect(&tracker, one);
    let scrape = UdpRequest::Scrape {
        connection,
        transaction: 7,
        torrents: vec![InfoHash::new([1; 20]), InfoHash::new([9; 20])],
    };
    let Some(UdpAnswer::Scraped { counts, .. }) = ask(&tracker, one, &scrape) else {
        panic!();
    };
    assert_eq!(counts[0].leechers, 3);
    assert_eq!(counts[1], thorp_wire::announce::SwarmCounts::default());
}

#[test]
fn a_client_on_this_machine_is_handed_out_under_the_machines_address() {
    let tracker = tracker(true);
    announces(&tracker, at("127.0.0.1:5000"), announce(1111));
    let told = peers(announces(&tracker, at("10.0.0.1:1"), announce(2)));
    assert_eq!(told, [at("10.0.0.7:1111")]);
}

#[test]
fn an_unproven_address_gets_nothing_that_is_longer_than_what_it_sent() {
    let tracker = tracker(true);
    let (victim, attacker) = (at("10.0.0.1:5000"), at("10.0.0.2:5000"));
    let connection = connect(&tracker, attacker);
    let forged = UdpRequest::Announce {
        connection,
        transaction: 1,
        announce: announce(1),
    };
    assert_eq!(ask(&tracker, victim, &forged), None);
    let scrape = UdpRequest::Scrape {
        connection,
        transaction: 1,
        torrents: vec![InfoHash::new([1; 20]); 74],
    };
    assert_eq!(ask(&tracker, victim, &scrape), None);
    let wrong = {
        let mut request = forged.encode();
        request[8..12].copy_from_slice(&77_u32.to_be_bytes());
        request
    };
    assert!(answered(&tracker, victim, &wrong).is_empty());
    let answer = answered(&tracker, attacker, &wrong);
    assert!(!answer.is_empty(), "a proven client is told what is wrong");
}

#[test]
fn an_answer_fits_in_a_packet_however_many_peers_are_wanted() {
    let tracker = tracker(true);
    for n in 0..=255 {
        for ip in [format!("10.0.{n}.1:1"), format!("[fd00:{n:x}::1]:1")] {
            announces(&tracker, at(&ip), announce(1));
        }
    }
    for (from, most) in [("10.9.9.9:1", MOST_V4), ("[fe00::9]:1", MOST_V6)] {
        let greedy = Announce {
            wanted: Some(u32::MAX >> 1),
            ..announce(1)
        };
        assert_eq!(peers(announces(&tracker, at(from), greedy)).len(), most);
        let none = Announce {
            wanted: Some(0),
            ..announce(1)
        };
        assert_eq!(peers(announces(&tracker, at(from), none)), []);
    }
    const { assert!(20 + 6 * MOST_V4 <= 1472 && 20 + 18 * MOST_V6 <= 1232) };
}

#[test]
fn what_the_group_does_not_share_is_refused_and_what_it_shares_is_found() {
    let tracker = tracker(false);
    let from = at("10.0.0.1:5000");
    let refused = announces(&tracker, from, announce(1));
    assert!(matches!(refused, Some(UdpAnswer::Error { text, .. }) if text == NOT_TRACKED));
    let face = tracker.face.clone();
    face.on_member(&MemberChange::Reached(0, vec![at("10.0.0.9:3334")]));
    let name = "a".parse().expect("a name");
    face.on_member(&MemberChange::Lists(0, InfoHash::new([1; 20]), true, name));
    let told = peers(announces(&tracker, from, announce(1)));
    assert_eq!(told, [at("10.0.0.9:3334")]);
    face.on_member(&MemberChange::Left(0));
    assert_eq!(peers(announces(&tracker, from, announce(1))), []);
}

#[test]
fn datagrams_that_come_together_are_answered_as_one_after_another() {
    let (together, apart) = (tracker(true), tracker(true));
    let clients: Vec<_> = (0..200_u8)
        .map(|n| at(&format!("10.0.{n}.1:5000")))
        .collect();
    let requests = |tracker: &UdpTracker| -> Vec<Vec<u8>> {
        let requests = (0..).zip(&clients).map(|(transaction, from)| {
            let connection = connect(tracker, *from);
            let mut announce = announce(1000);
            announce.torrent = InfoHash::new([(transaction % 50).try_into().expect("small"); 20]);
            announce.left = u64::from(transaction % 3);
            UdpRequest::Announce {
                connection,
                transaction,
                announce,
            }
            .encode()
        });
        requests.collect()
    };
    let mut answers = vec![Vec::new(); clients.len()];
    let asked = requests(&together);
    let questions = clients.iter().zip(&asked).zip(&mut answers);
    together.answer(questions.map(|((from, datagram), answer)| Question {
        datagram,
        from: *from,
        answer,
    }));
    for ((from, datagram), answer) in clients.iter().zip(&requests(&apart)).zip(&answers) {
        assert_eq!(*answer, answered(&apart, *from, datagram));
    }
    assert_eq!(together.face.totals(), apart.face.totals());
}

#[test]
fn threads_answer_many_datagrams_at_once_and_end_when_they_are_let_go_of() {
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        let bound = Bound::at(at(listen)).expect("a port");
        let to = bound.0[0].local_addr().expect("an address");
        let to = to.as_socket().expect("an IP address");
        let answering = bound.serve(&Face::for_tests(true)).expect("threads");
        let client = StdSocket::bind(SocketAddr::new(to.ip(), 0)).expect("a socket");
        client.connect(to).expect("connects");
        client
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a timeout");
        for transaction in 0..200 {
            let connect = UdpRequest::Connect { transaction };
            client.send(&connect.encode()).expect("sent");
        }
        let mut buffer = [0; 100];
        for transaction in 0..200 {
            let length = client.recv(&mut buffer).expect("an answer");
            let answer = UdpAnswer::decode(&buffer[..length], Stride::V4).expect("an answer");
            assert_eq!(answer.transaction(), transaction);
        }
        drop(answering);
        let again = Bound::at(to).expect("the port is free at once");
        drop(again);
    }
}

#[test]
fn a_client_that_tries_utp_at_this_port_is_refused() {
    let tracker = tracker(true);
    let syn = [[0x41, 0, 0, 7], [0; 4], [0; 4], [0; 4], [0, 9, 0, 0]].concat();
    let answer = answered(&tracker, at("10.0.0.1:6881"), &syn);
    assert_eq!(
        Some(&answer[..]),
        utp::refusal(&syn).as_ref().map(|reset| &reset[..])
    );
    assert!(!answer.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_datagram_leaves_the_tracker_answering(
        mut datagram in vec(any::<u8>(), 0..200),
        actions in any::<Option<(u32, bool, bool)>>(),
        cut in 0..200_usize,
    ) {
        let tracker = tracker(true);
        let from = at("10.0.0.1:5000");
        let connection = connect(&tracker, from);
        let mut is_proven = false;
        if let (Some((action, is_right, is_connect)), true) = (actions, datagram.len() >= 16) {
            datagram[8..12].copy_from_slice(&(action % 5).to_be_bytes());
            if is_connect {
                datagram[..8].copy_from_slice(&udp::PROTOCOL_ID.to_be_bytes());
            } else if is_right {
                datagram[..8].copy_from_slice(&connection.to_be_bytes());
                is_proven = true;
            }
        }
        datagram.truncate(datagram.len().saturating_sub(cut));
        let answer = answered(&tracker, from, &datagram);
        prop_assert!(is_proven || answer.len() <= datagram.len());
        let told = peers(announces(&tracker, at("10.0.0.2:5000"), announce(77)));
        prop_assert!(told.len() <= 1);
    }
}

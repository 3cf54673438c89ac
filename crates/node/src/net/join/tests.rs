use std::time::{Duration, SystemTime};

use thorp_group::authority::INVITE_VALIDITY;
use thorp_group::invite::Invite;
use thorp_group::testing::{Group, key_of};
use thorp_group::tls::MemberTls;
use thorp_wire::frame::{Reason, Token};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use thorp_disk::testing::DISK;

use super::*;
use crate::net::dial::{Expected, dial};
use crate::net::testing::{Listening, Node};

fn invite(group: &Group, node: &Node) -> Ticket {
    let now = SystemTime::now();
    let token = group
        .authority
        .invite(DISK, 1, INVITE_VALIDITY, now)
        .expect("a token");
    let line = Invite {
        trackers: node.at(),
        ca: group.authority.ca(),
        token,
    }
    .to_string();
    line.parse::<Invite>().expect("reads back").into()
}

fn key() -> Identity {
    Identity::generate().expect("a key")
}

#[tokio::test]
async fn an_invite_makes_a_key_a_member_that_can_link_up() {
    let group = Group::new();
    let mut hall = group.tracker(Clock::system()).await;
    let (clock, elm) = (Clock::system(), key());
    let ticket = invite(&group, &hall);
    let name: MemberName = "elm".parse().expect("a name");
    let membership = join(&ticket, &elm, Some(name.clone()), &clock)
        .await
        .expect("joins")
        .membership;
    assert_eq!(membership.ca, group.authority.ca());
    let member = membership.member().expect("is one");
    assert_eq!((member.id, member.name), (elm.id(), Some(name)));
    let tls = MemberTls::new(&elm, &membership, clock.clone()).expect("fits");
    dial(&[hall.address], Expected::Tracker, &tls, None)
        .await
        .expect("links up");
    assert_eq!(
        hall.incoming.recv().await.expect("arrives").member.id,
        elm.id()
    );

    // A lost answer: the same key asks again with the same invite.
    join(&ticket, &elm, None, &clock)
        .await
        .expect("joins again");
    // A member needs no invite to renew its certificate.
    let renewed = join(&(&membership).into(), &elm, None, &clock)
        .await
        .expect("renews")
        .membership;
    assert_eq!(
        renewed.member().expect("is one").name,
        membership.member().expect("is one").name
    );
    // Another key comes too late, and the error says so.
    let error = join(&ticket, &key(), None, &clock)
        .await
        .expect_err("is used up");
    assert!(matches!(
        error,
        NotJoined::Join(JoinError::Refused {
            reason: Reason::NotInvited,
            ..
        })
    ));
    assert!(error.to_string().contains("used already"), "{error}");
}

#[tokio::test]
async fn an_open_group_shows_its_ca_and_a_changed_one_is_noticed() {
    let group = Group::new();
    let hall = group.tracker(Clock::system()).await;
    let (clock, elm) = (Clock::system(), key());
    let ticket = Ticket::open(hall.at());
    let error = join(&ticket, &elm, None, &clock)
        .await
        .expect_err("is not open");
    assert!(error.to_string().contains("by invitation"), "{error}");
    group.authority.set_open(DISK, true).expect("opens");
    let admitted = join(&ticket, &elm, None, &clock).await.expect("joins");
    let record = admitted.record.expect("the group has one");
    assert!(record.record().open);
    let membership = admitted.membership;
    assert_eq!(membership.ca, group.authority.ca());

    let usurper = Group::new();
    usurper.authority.set_open(DISK, true).expect("opens");
    let castle = usurper.tracker(Clock::system()).await;
    let ticket = Ticket {
        trackers: castle.at(),
        ..Ticket::from(&membership)
    };
    let error = join(&ticket, &elm, None, &clock)
        .await
        .expect_err("is another CA");
    let NotJoined::Dial(DialError::Certificate { why, .. }) = error else {
        panic!("{error}");
    };
    let (pinned, shown) = (group.authority.ca(), usurper.authority.ca());
    assert_eq!(why, CertificateError::ChangedCa { pinned, shown });
    let text = why.to_string();
    assert!(text.contains(&pinned.to_string()) && text.contains(&shown.to_string()));
}

#[tokio::test]
async fn a_member_cannot_pose_as_the_tracker_to_a_newcomer() {
    let group = Group::new();
    group.authority.set_open(DISK, true).expect("opens");
    let mallory = key();
    let membership = group.admit(&mallory, "mallory");
    let clock = Clock::system();
    let ca = group.authority.ca_certificate();
    let config = tls::join_server(key_of(&mallory), membership.certificate, ca, &clock);
    let config = config.expect("fits");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("binds");
    let address = listener.local_addr().expect("has one");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = tokio_rustls::TlsAcceptor::from(config.clone());
            let _ = acceptor.accept(stream).await;
        }
    });
    for ca in [None, Some(group.authority.ca())] {
        let ticket = Ticket {
            ca,
            ..Ticket::open(vec![address.into()])
        };
        let error = join(&ticket, &key(), None, &clock)
            .await
            .expect_err("is no tracker");
        assert!(error.to_string().contains("another machine"), "{error}");
    }
}

/// Sets the clocks this many days ahead, and returns the newcomer's error.
async fn told_with_clocks(here: i64, there: i64) -> String {
    const DAY: i64 = 24 * 3600;
    let group = Group::new();
    let (clock, tracker) = (Clock::system(), Clock::system());
    let hall = group.tracker(tracker.clone()).await;
    let ticket = invite(&group, &hall);
    clock.turn(here * DAY);
    tracker.turn(there * DAY);
    let error = join(&ticket, &key(), None, &clock).await;
    error.expect_err("the clocks are apart").to_string()
}

#[tokio::test]
async fn clocks_far_apart_are_named_with_how_far_and_whose() {
    for (here, there, says) in [
        (
            40,
            0,
            "this machine's clock is 40 days ahead of the tracker's",
        ),
        (
            -40,
            0,
            "this machine's clock is 40 days behind the tracker's",
        ),
        (
            0,
            40,
            "this machine's clock is 40 days behind the tracker's",
        ),
        (
            0,
            -40,
            "this machine's clock is 40 days ahead of the tracker's",
        ),
    ] {
        let text = told_with_clocks(here, there).await;
        assert!(text.starts_with(says), "{here} {there}: {text}");
    }
}

#[tokio::test]
async fn a_clock_that_is_only_a_few_days_off_does_not_matter() {
    let group = Group::new();
    let hall = group.tracker(Clock::system()).await;
    let clock = Clock::system();
    clock.turn(3 * 24 * 3600);
    let ticket = invite(&group, &hall);
    join(&ticket, &key(), None, &clock).await.expect("joins");
}

#[tokio::test]
async fn nobody_but_the_tracker_is_asked_for_the_time() {
    // Another group's tracker, with another time, at the address of the group's tracker.
    let (group, other) = (Group::new(), Group::new());
    let tracker = Clock::system();
    let castle = other.tracker(tracker.clone()).await;
    tracker.turn(40 * 24 * 3600);
    let ticket = Ticket {
        ca: Some(group.authority.ca()),
        ..Ticket::open(castle.at())
    };
    let error = join(&ticket, &key(), None, &Clock::system()).await;
    let text = error.expect_err("is another group").to_string();
    assert!(!text.contains("this machine's clock"), "{text}");
}

#[tokio::test]
async fn every_bad_token_is_refused_with_its_reason() {
    let group = Group::new();
    let tracker = Clock::system();
    let hall = group.tracker(tracker.clone()).await;
    let clock = Clock::system();
    let why = async |ticket: &Ticket| {
        let error = join(ticket, &key(), None, &clock).await;
        error.expect_err("is refused").to_string()
    };
    let mut ticket = invite(&group, &hall);
    // Two days later, by both clocks.
    tracker.turn(2 * 24 * 3600);
    clock.turn(2 * 24 * 3600);
    let text = why(&ticket).await;
    assert!(
        text.contains("has expired") && text.contains("thorp invite"),
        "{text}"
    );
    tracker.turn(0);
    clock.turn(0);
    join(&ticket, &key(), None, &clock).await.expect("joins");
    let text = why(&ticket).await;
    assert!(
        text.contains("used already") && text.contains("thorp invite"),
        "{text}"
    );
    ticket.token = Some(Token([7; 16]));
    let text = why(&ticket).await;
    assert!(
        text.contains("not known") && text.contains("thorp invite"),
        "{text}"
    );
    ticket.token = None;
    let text = why(&ticket).await;
    assert!(text.contains("by invitation"), "{text}");
}

#[tokio::test]
async fn a_newcomer_may_not_send_much_or_nonsense() {
    let group = Group::new();
    let hall = group.tracker(Clock::system()).await;
    let clock = Clock::system();
    for bytes in [&[0, 0, 0x40, 1][..], &[0, 0, 0, 1, 0xff]] {
        let config = tls::join_client(Some(group.authority.ca()), &clock).expect("fits");
        let reached = dial::reach(&[hall.address], TRACKER_NAME, config, None).await;
        let (mut stream, _) = reached.expect("reaches it");
        stream.write_all(bytes).await.expect("writes");
        stream.flush().await.expect("flushes");
        // It happens at once, not at the end of the time limit.
        let answer = timeout(Duration::from_secs(2), stream.read(&mut [0])).await;
        let answer = answer.expect("is hung up on");
        assert!(!matches!(answer, Ok(1..)), "{answer:?}");
    }
}

#[tokio::test]
async fn a_newcomer_that_is_told_to_wait_says_so_once_and_comes_in() {
    let group = Group::new();
    group.authority.set_open(DISK, true).expect("opens");
    let clock = Clock::system();
    let (tls, service) = group.tracker_tls(clock.clone());
    service.crowd(203);
    let hall = Node::start(tls, Some(service)).await;
    let elm = key();
    let ticket = Ticket::open(hall.at());
    let refused = join(&ticket, &elm, None, &clock).await.expect_err("waits");
    assert!(matches!(refused, NotJoined::Join(why) if why.is_busy()));
    let mut told = 0;
    let joined = join_in_turn(&ticket, &elm, None, &clock, || told += 1).await;
    let member = joined.expect("comes in").membership.member();
    assert_eq!((member.expect("is one").id, told), (elm.id(), 1));
}

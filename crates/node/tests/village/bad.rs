//! Members that lie, flood, stall or talk nonsense: each is survived, dropped
//! for the right reason, and an honest member is served meanwhile.

use std::fmt::Write as _;

use thorp_core::links::HELLO_WITHIN;
use thorp_node::api::{Command, ErrorKind, Event, Failure, Get, Member, Miss, Note};
use thorp_node::net::dial::Expected;
use thorp_wire::frame::{
    Bytes, Find, Found, Hello, Holder, Leave, MAX_FRAME, Query, Reason, Refused, Update, Variant,
};
use thorp_wire::{Body, Content, Entry, Frame, RequestId, Root, merkle};

use super::mallory::{Mallory, Wire, encoded, entry, is_for_a_user, listing};
use super::support::{Village, Villager, bytes, files_in, hears, named, read, write};

/// A village with an honest peer that shares `honest`, one that shares nothing,
/// and a member without a program.
async fn scene() -> (Village, Villager, Villager, Mallory) {
    let village = Village::new().await;
    let oak = village.peer("oak", &[("honest", b"honest bytes")]).await;
    let elm = village.peer("elm", &[]).await;
    let mallory = Mallory::join(&village, "mallory").await;
    (village, oak, elm, mallory)
}

/// Whatever else is going on, this works.
async fn all_is_well(elm: &Villager) {
    let get = Get {
        overwrite: true,
        ..named("honest")
    };
    elm.get(get).await.only_fetched();
    assert_eq!(read(&elm.dir, "honest"), b"honest bytes");
}

fn find(query: Query) -> Find {
    Find::new(query, 1)
}

fn names(name: &str) -> Query {
    Query::Names(vec![name.to_owned()])
}

/// Asks something on a link, to see that it is up and what is known there.
async fn ask(wire: &mut Wire, request: u32, query: Query) -> Found {
    wire.answer(RequestId(request), find(query)).await;
    wire.until("an answer", |frame| match (&frame.body, frame.request) {
        (Body::Found(found), Some(RequestId(id))) if id == request => Some(found.clone()),
        _ => None,
    })
    .await
}

/// A frame in whose bytes one text is exchanged for another of its length.
fn forged(frame: &Frame, text: &str, other: &str) -> Vec<u8> {
    assert_eq!(text.len(), other.len());
    let mut bytes = encoded(frame);
    let at = bytes
        .windows(text.len())
        .position(|window| window == text.as_bytes())
        .expect("is in it");
    bytes[at..at + text.len()].copy_from_slice(other.as_bytes());
    bytes
}

#[tokio::test]
async fn a_listing_with_a_name_that_leads_elsewhere_closes_the_link_with_a_reason() {
    let (village, _oak, elm, mallory) = scene().await;
    let cases = [
        ("xx/passwd", "../passwd"),
        ("a/xx/b", "a/../b"),
        ("xetc/passwd", "/etc/passwd"),
        ("a/x/b", "a/./b"),
        ("axb", "a\0b"),
        ("a/x", "a//"),
        ("a/b", "a/\0"),
    ];
    for (plain, evil) in cases {
        let evil = forged(&listing(vec![entry(plain, b"evil")]), plain, evil);
        for to_tracker in [true, false] {
            let mut wire = if to_tracker {
                mallory.dial_tracker(&village).await
            } else {
                mallory.dial_peer(&elm).await
            };
            wire.greet(mallory.hello()).await;
            assert!(wire.try_send(&evil).await);
            let reason = wire.closed().await.expect("a reason");
            assert!(reason.contains("name"), "{reason}");
        }
    }
    village.forgets("mallory").await;
    all_is_well(&elm).await;
}

#[tokio::test]
async fn an_answer_with_a_name_that_leads_elsewhere_writes_nothing() {
    let (village, _oak, elm, mut mallory) = scene().await;
    let _listed = mallory.list(&village, vec![entry("bait", b"bait")]).await;
    let bait = elm.running.peer.command(Command::Get(named("bait")));
    let mut wire = mallory.called().await;
    // Now asked by its neighbour for a name, it answers with another.
    let (request, _) = wire.asked_for().await;
    wire.deliver(request, b"bait").await;
    super::support::answer(bait).await.only_fetched();
    elm.has_neighbour("mallory").await;
    let answer = elm.running.peer.command(Command::Get(named("wanted")));
    let request = wire
        .until("a Find", |frame| {
            is_for_a_user(frame).then_some(frame.request)
        })
        .await;
    let found = Found {
        variants: vec![Variant {
            entry: entry("xx/wanted", b"evil"),
            holders: Vec::new(),
            hashed: None,
        }],
        ..Found::default()
    };
    let frame = Frame::with_request(request.expect("a question"), found);
    assert!(wire.try_send(&forged(&frame, "xx/", "../")).await);
    let reason = wire.closed().await.expect("a reason");
    assert!(reason.contains("name"), "{reason}");
    super::support::answer(answer)
        .await
        .failed(ErrorKind::NotFound);
    all_is_well(&elm).await;
}

#[tokio::test]
async fn a_name_full_of_control_characters_is_only_ever_a_name() {
    let (village, _oak, elm, mut mallory) = scene().await;
    let evil = "\u{1b}]0;owned\u{7}\u{202e}\r\nroot: ok \u{9b}31m";
    let _listed = mallory.list(&village, vec![entry(evil, b"evil")]).await;
    let rows = elm
        .ask(Command::Find {
            pattern: "*".to_owned(),
        })
        .await
        .done();
    assert!(
        rows.files().iter().any(|row| row.name == evil),
        "the interface carries names as they are"
    );
    let json = serde_json::to_string(&rows.events).expect("is text");
    assert!(!json.contains('\u{1b}') && !json.contains('\n'), "{json}");
    // A peer that asks for it by its name gets it under that name, in the share.
    let get = elm.running.peer.command(Command::Get(named(evil)));
    let mut wire = mallory.called().await;
    let (request, _) = wire.asked_for().await;
    wire.deliver(request, b"evil").await;
    super::support::answer(get).await.only_fetched();
    assert_eq!(files_in(&elm.dir).into_keys().collect::<Vec<_>>(), [evil]);
    all_is_well(&elm).await;
}

#[tokio::test]
async fn a_liar_is_dropped_and_the_next_holder_serves() {
    let village = Village::new().await;
    let elm = village.peer("elm", &[]).await;
    let mut liar = Mallory::join(&village, "liar").await;
    let mut honest = Mallory::join(&village, "honest").await;
    let files = || vec![entry("a", b"the truth")];
    let (_one, _two) = (
        liar.list(&village, files()).await,
        honest.list(&village, files()).await,
    );
    let get = elm.running.peer.command(Command::Get(named("a")));
    let lying = async {
        let mut wire = liar.called().await;
        let (request, _) = wire.asked_for().await;
        wire.deliver(request, b"not truth").await;
        wire.closed().await;
    };
    let serving = async {
        let mut wire = honest.called().await;
        let (request, _) = wire.asked_for().await;
        wire.deliver(request, b"the truth").await;
        wire
    };
    // Whether the liar is asked at all depends on whose id comes first.
    let (mut lied, mut served) = (Box::pin(lying), Box::pin(serving));
    let _wire = tokio::select! {
        () = &mut lied => served.await,
        wire = &mut served => wire,
    };
    let answer = super::support::answer(get).await;
    assert_eq!(
        answer
            .only_fetched()
            .from
            .clone()
            .and_then(|from| from.name)
            .as_deref(),
        Some("honest")
    );
    assert_eq!(
        files_in(&elm.dir),
        [("a".to_owned(), b"the truth".to_vec())].into()
    );
}

#[tokio::test]
async fn where_only_a_liar_has_it_nothing_is_kept_and_nothing_is_moved() {
    let (village, _oak, mut elm, mut mallory) = scene().await;
    write(&elm.dir, "mine", b"mine");
    elm.settled(1).await;
    let files = vec![
        entry("a", b"the truth"),
        entry("mine", b"the truth"),
        entry("bits/b", b"more truth"),
    ];
    let _listed = mallory.list(&village, files).await;
    let lies: [&[u8]; 3] = [b"", b"the truth and more", b"the lie!!"];
    for lie in lies {
        let mut set_aside = named("mine");
        set_aside.set_aside = Some("was mine".to_owned());
        let mut overwrite = named("mine");
        overwrite.overwrite = true;
        for get in [named("a"), set_aside, overwrite, named("bits/b")] {
            let answer = elm.running.peer.command(Command::Get(get));
            let mut wire = mallory.called().await;
            let (request, _) = wire.asked_for().await;
            wire.deliver(request, lie).await;
            let answer = super::support::answer(answer).await;
            let failure = answer.failed(ErrorKind::Verification);
            assert!(
                matches!(failure, Failure::Missed { miss: Miss::Mismatch { by }, .. } if is_mallory(by)),
                "{failure:?}"
            );
            wire.closed().await;
            elm.hears("mallory").await;
            assert_eq!(
                files_in(&elm.dir),
                [("mine".to_owned(), b"mine".to_vec())].into()
            );
        }
    }
    assert!(!elm.dir.join("bits").exists());
    elm.sees("no liar among the neighbours", |view| {
        view.neighbours.is_empty()
    })
    .await;
    all_is_well(&elm).await;
}

#[tokio::test]
async fn answers_that_nobody_asked_for_are_dropped() {
    let (village, _oak, elm, mallory) = scene().await;
    let mut wire = mallory.befriend(&elm).await;
    let lies = vec![Variant {
        entry: entry("unasked", b"evil"),
        holders: vec![Holder {
            id: mallory.id(),
            name: None,
            addresses: vec![mallory.listen],
            partial: false,
        }],
        hashed: None,
    }];
    for request in [0, 1, 2, 77, u32::MAX] {
        wire.deliver(RequestId(request), b"evil").await;
        let found = Found {
            variants: lies.clone(),
            more: true,
            ..Found::default()
        };
        wire.answer(RequestId(request), found).await;
        let refused = Refused {
            reason: Reason::Busy,
            text: "\u{1b}[2J".into(),
        };
        wire.answer(RequestId(request), refused).await;
    }
    wire.send(Frame::plain(Bytes {
        bytes: b"evil".to_vec(),
    }))
    .await;
    // It is still up, for no peer was harmed, and nothing was learnt.
    assert!(
        ask(&mut wire, 1, names("unasked"))
            .await
            .variants
            .is_empty()
    );
    elm.get_name("unasked").await.failed(ErrorKind::NotFound);
    assert!(files_in(&elm.dir).is_empty());
    all_is_well(&elm).await;
    drop(village);
}

#[tokio::test]
async fn a_neighbour_that_names_another_as_a_holder_gets_nobody_to_believe_it() {
    let (village, oak, elm, mut mallory) = scene().await;
    let stranger = Mallory::join(&village, "stranger").await;
    elm.get_name("honest").await.only_fetched();
    let status = oak.ask(Command::Status).await.done();
    let oak_id = status.status().id.parse().expect("an id");
    let mut wire = mallory.befriend(&elm).await;
    elm.has_neighbour("mallory").await;
    let answer = elm.running.peer.command(Command::Get(named("wanted")));
    let request = wire
        .until("a Find", |frame| {
            is_for_a_user(frame).then_some(frame.request)
        })
        .await;
    // Oak would have it, at the liar's address.
    let holder = Holder {
        id: oak_id,
        name: "oak".parse().ok(),
        addresses: vec![mallory.listen],
        partial: false,
    };
    let found = Found {
        variants: vec![Variant {
            entry: entry("wanted", b"evil"),
            holders: vec![holder],
            hashed: None,
        }],
        ..Found::default()
    };
    wire.answer(request.expect("a question"), found).await;
    super::support::answer(answer)
        .await
        .failed(ErrorKind::NotFound);
    assert!(
        mallory.nobody_called(),
        "oak is asked where oak is known to be"
    );
    // No other member is known by that id: a peer that dials it reaches that key or nothing.
    let answer = elm.running.peer.command(Command::Get(named("wanted too")));
    let request = wire
        .until("a Find", |frame| {
            is_for_a_user(frame).then_some(frame.request)
        })
        .await;
    let holder = Holder {
        id: stranger.id(),
        name: "oak".parse().ok(),
        addresses: vec![mallory.listen],
        partial: false,
    };
    let found = Found {
        variants: vec![Variant {
            entry: entry("wanted too", b"evil"),
            holders: vec![holder],
            hashed: None,
        }],
        ..Found::default()
    };
    wire.answer(request.expect("a question"), found).await;
    // Neighbours are not waited for long: it may have come too late to be tried.
    assert!(super::support::answer(answer).await.end.is_err());
    assert!(mallory.nobody_called());
    all_is_well(&elm).await;
}

#[tokio::test]
async fn a_pattern_brings_nothing_that_it_does_not_match_and_no_rules() {
    let (mut village, _oak, elm, mallory) = scene().await;
    let mut wire = mallory.befriend(&elm).await;
    elm.has_neighbour("mallory").await;
    village.lose_tracker().await;
    elm.sees("no tracker", |view| !view.tracker_connected).await;
    let answer = elm.running.peer.command(Command::Get(named("dir/*")));
    let question = wire.until("a Find", |frame| {
        is_for_a_user(frame).then_some(frame.request)
    });
    let request = question.await.expect("a question");
    let variant = |name| Variant {
        entry: entry(name, b"bytes"),
        holders: vec![Holder::bare(mallory.id())],
        hashed: None,
    };
    let names = [
        ".bashrc",
        ".thorpignore",
        "dir/.thorp-0123456789abcdef.part",
        "dir/.thorpignore",
        "dir/a/b",
        "dir/good",
        "dir/thorp-state",
        "other",
    ];
    let mut variants: Vec<Variant> = names.into_iter().map(variant).collect();
    // Rules that no peer has hashed yet are rules all the same.
    for rules in variants
        .iter_mut()
        .filter(|variant| variant.entry.name.base() == ".thorpignore")
    {
        rules.entry.root = None;
    }
    let found = Found {
        variants,
        ..Found::default()
    };
    wire.answer(request, found).await;
    let (request, _) = wire.asked_for().await;
    wire.deliver(request, b"bytes").await;
    let answer = super::support::answer(answer).await;
    // Without the tracker it may not be all there is.
    let failure = answer.failed(ErrorKind::Unfinished);
    assert!(matches!(failure, Failure::InPart { .. }), "{failure:?}");
    let names: Vec<&str> = answer.fetched().iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["dir/good"]);
    for special in [".thorpignore", "thorp-state", ".part"] {
        let noted = |event: &Event| matches!(event, Event::Note(Note::LeftOut { name }) if name.contains(special));
        assert!(answer.events.iter().any(noted), "{answer:?}");
    }
    assert_eq!(
        files_in(&elm.dir).into_keys().collect::<Vec<_>>(),
        ["dir/good"]
    );
}

#[tokio::test]
async fn what_would_make_a_state_directory_of_a_share_is_not_fetched_by_its_base_name() {
    let (village, _oak, elm, mut mallory) = scene().await;
    let _listed = mallory
        .list(&village, vec![entry("thorp-state/5.txt", b"1\n")])
        .await;
    let answer = elm.get_name("5.txt").await;
    let failure = answer.failed(ErrorKind::Other);
    let name = "thorp-state/5.txt".to_owned();
    assert_eq!(*failure, Failure::Reserved { name });
    assert!(mallory.nobody_called());
    assert!(files_in(&elm.dir).is_empty());
    let elsewhere = Get {
        rename: Some("thorp-state".to_owned()),
        ..named("honest")
    };
    elm.get(elsewhere).await.failed(ErrorKind::Other);
    all_is_well(&elm).await;
}

#[tokio::test]
async fn whoever_asks_for_much_and_reads_nothing_is_cut_off() {
    let village = Village::new().await;
    let dir = village.share_of("oak");
    for number in 0..100 {
        write(&dir, &format!("{number:0>250}"), b"");
    }
    write(&dir, "honest", b"honest bytes");
    let oak = village.peer("oak", &[]).await;
    let elm = village.peer("elm", &[]).await;
    let mallory = Mallory::join(&village, "mallory").await;
    for to_tracker in [true, false] {
        let mut wire = if to_tracker {
            mallory.dial_tracker(&village).await
        } else {
            mallory.dial_peer(&oak).await
        };
        wire.greet(mallory.hello()).await;
        let mut flood = Vec::new();
        for request in 0..1000 {
            let find = find(Query::Pattern("*".to_owned()));
            Frame::with_request(RequestId(request), find)
                .encode(&mut flood)
                .expect("is a good frame");
        }
        // As long as the other side takes more of them.
        while wire.try_send(&flood).await {}
        all_is_well(&elm).await;
    }
}

#[tokio::test]
async fn bytes_that_are_no_frames_close_the_link() {
    let (village, _oak, elm, mallory) = scene().await;
    let mut garbage = (u32::try_from(MAX_FRAME).expect("fits"))
        .to_be_bytes()
        .to_vec();
    garbage.extend(bytes(1, MAX_FRAME));
    let mut endless = u32::MAX.to_be_bytes().to_vec();
    endless.extend(bytes(2, 4096));
    let nothing = vec![0; 4];
    let deep = {
        let mut bytes = vec![0, 0, 1, 0, 0xa1, 0x00];
        bytes.resize(4 + 256, 0x81);
        bytes
    };
    for evil in [garbage, endless, nothing, deep] {
        for greeted in [true, false] {
            for to_tracker in [true, false] {
                let mut wire = if to_tracker {
                    mallory.dial_tracker(&village).await
                } else {
                    mallory.dial_peer(&elm).await
                };
                if greeted {
                    wire.greet(mallory.hello()).await;
                }
                wire.try_send(&evil).await;
                wire.closed().await;
            }
        }
    }
    village.forgets("mallory").await;
    all_is_well(&elm).await;
}

#[tokio::test]
async fn a_frame_may_come_byte_by_byte_and_half_a_frame_blocks_nobody() {
    let (village, _oak, elm, mallory) = scene().await;
    let mut slow = mallory.dial_tracker(&village).await;
    let mut frames = encoded(&Frame::plain(mallory.hello()));
    frames.extend(encoded(&listing(vec![entry("drop by drop", b"slow")])));
    for byte in frames {
        assert!(slow.try_send(&[byte]).await);
    }
    village.lists("mallory", 1).await;
    let other = Mallory::join(&village, "other").await;
    for to_tracker in [true, false] {
        let mut half = if to_tracker {
            other.dial_tracker(&village).await
        } else {
            other.dial_peer(&elm).await
        };
        half.greet(other.hello()).await;
        let update = encoded(&listing(vec![entry("never comes", &bytes(1, 9))]));
        assert!(half.try_send(&update[..update.len() / 2]).await);
        all_is_well(&elm).await;
        // It is a sign of life, and no more than that.
        elm.get_name("never comes")
            .await
            .failed(ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn a_second_hello_no_hello_and_a_hello_of_another_version_close_the_link() {
    let (village, _oak, elm, mallory) = scene().await;
    for to_tracker in [true, false] {
        let dial = async || {
            if to_tracker {
                mallory.dial_tracker(&village).await
            } else {
                mallory.dial_peer(&elm).await
            }
        };
        let mut twice = dial().await;
        twice.greet(mallory.hello()).await;
        let other = Hello {
            epoch: mallory.hello().epoch.wrapping_add(1),
            ..mallory.hello()
        };
        twice.send(Frame::plain(other)).await;
        let reason = twice.closed().await.expect("a reason");
        assert!(reason.contains("a second hello"), "{reason}");
        let mut rude = dial().await;
        rude.send(listing(vec![entry("rude", b"rude")])).await;
        rude.closed().await;
        let mut rude = dial().await;
        rude.answer(RequestId(1), find(names("honest"))).await;
        rude.closed().await;
        let mut newer = dial().await;
        let hello = Hello {
            oldest: 9,
            newest: 9,
            ..mallory.hello()
        };
        newer.greet(hello).await;
        newer.closed().await;
    }
    village.forgets("mallory").await;
    all_is_well(&elm).await;
}

#[tokio::test]
async fn whoever_says_nothing_at_all_is_hung_up_on() {
    let (village, _oak, elm, mallory) = scene().await;
    let (mut at_tracker, mut at_peer) = (
        mallory.dial_tracker(&village).await,
        mallory.dial_peer(&elm).await,
    );
    let begun = std::time::Instant::now();
    all_is_well(&elm).await;
    tokio::join!(at_tracker.closed(), at_peer.closed());
    assert!(begun.elapsed() >= HELLO_WITHIN / 2, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_flood_of_updates_is_taken_in_its_stride() {
    let (village, _oak, elm, mallory) = scene().await;
    let mut wire = mallory.list(&village, Vec::new()).await;
    let mut flood = Vec::new();
    for seq in 2..5002_u64 {
        let update = Update {
            since: Some(seq - 1),
            added: vec![entry(&format!("{}", seq % 10), &seq.to_be_bytes())],
            ..Update::heartbeat(seq)
        };
        Frame::plain(update)
            .encode(&mut flood)
            .expect("is a good frame");
    }
    let flooding = async {
        assert!(wire.try_send(&flood).await);
        wire.until("the last ack", |frame| match &frame.body {
            Body::Ack(ack) => (ack.seq == Some(5001)).then_some(()),
            _ => None,
        })
        .await;
    };
    tokio::join!(flooding, all_is_well(&elm));
    village.lists("mallory", 10).await;
    // Updates that follow from nothing are asked for anew, as often as they come.
    let gap = Update {
        since: Some(9000),
        added: vec![entry("gap", b"gap")],
        ..Update::heartbeat(9001)
    };
    wire.send(Frame::plain(gap)).await;
    wire.until("a request for all of it", |frame| match &frame.body {
        Body::Ack(ack) => ack.seq.is_none().then_some(()),
        _ => None,
    })
    .await;
    // One begun within another is nonsense.
    let begun = Update {
        last: false,
        ..Update::heartbeat(9002)
    };
    wire.send(Frame::plain(begun.clone())).await;
    wire.send(Frame::plain(begun)).await;
    wire.closed().await;
    village.forgets("mallory").await;
    all_is_well(&elm).await;
}

#[tokio::test]
async fn a_flood_of_questions_is_refused_and_others_are_answered() {
    let (village, _oak, elm, mallory) = scene().await;
    for to_tracker in [true, false] {
        let mut wire = if to_tracker {
            mallory.dial_tracker(&village).await
        } else {
            mallory.dial_peer(&elm).await
        };
        wire.greet(mallory.hello()).await;
        let (mut found, mut busy) = (0, 0);
        let flooding = async {
            // As fast as answers are read: a member that does not read is cut off.
            for round in 0..10 {
                let mut flood = Vec::new();
                for question in 0..1000 {
                    let request = RequestId(round * 1000 + question);
                    Frame::with_request(request, find(names("honest")))
                        .encode(&mut flood)
                        .expect("is a good frame");
                }
                assert!(wire.try_send(&flood).await);
                let mut answers = 0;
                while answers < 1000 {
                    match wire.next().await.expect("the link stays up").body {
                        Body::Found(_) => found += 1,
                        Body::Refused(refused) => {
                            assert_eq!(refused.reason, Reason::Busy);
                            busy += 1;
                        }
                        _ => continue,
                    }
                    answers += 1;
                }
            }
        };
        tokio::join!(flooding, all_is_well(&elm));
        assert_eq!(found + busy, 10_000);
        assert!(found >= 1000, "{found} answered, {busy} refused");
        println!("of 10,000 questions {found} were answered and {busy} refused");
    }
}

#[tokio::test]
async fn ten_thousand_requests_for_a_file_are_not_served_to_death() {
    let (_village, oak, elm, mallory) = scene().await;
    let content = merkle::content_of(b"honest bytes");
    let mut wire = mallory.befriend(&oak).await;
    let mut flood = Vec::new();
    for request in 0..10_000 {
        let get = thorp_wire::frame::Get { content };
        Frame::with_request(RequestId(request), get)
            .encode(&mut flood)
            .expect("is a good frame");
    }
    // Nothing is read before all is sent. Either all of it is answered, or it is
    // cut off; in both cases the others do not notice.
    tokio::join!(wire.try_send(&flood), all_is_well(&elm));
    let (mut served, mut busy) = (0, 0);
    while served + busy < 10_000 {
        let Some(frame) = wire.next().await else {
            break;
        };
        match frame.body {
            Body::Content(bytes) => {
                assert_eq!(bytes.bytes, b"honest bytes");
                served += 1;
            }
            Body::Refused(refused) => {
                assert_eq!(refused.reason, Reason::Busy);
                busy += 1;
            }
            _ => {}
        }
    }
    println!("of 10,000 Gets {served} were served, {busy} refused");
    assert!(served > 0);
    let nobody = Content {
        length: 5,
        root: Root::new([9; 32]),
    };
    let mut wire = mallory.befriend(&oak).await;
    wire.answer(RequestId(1), thorp_wire::frame::Get { content: nobody })
        .await;
    let reason = wire.until("a refusal", |frame| match &frame.body {
        Body::Refused(refused) => Some(refused.reason),
        _ => None,
    });
    assert_eq!(reason.await, Reason::NotHere);
    all_is_well(&elm).await;
}

#[tokio::test]
async fn a_listing_over_the_bounds_is_said_to_be_on_both_sides() {
    let mut village = Village::new().await;
    let oak = village.peer("oak", &[("honest", b"honest bytes")]).await;
    let mut elm = village.peer("elm", &[]).await;
    let mallory = Mallory::join(&village, "mallory").await;
    let mut wire = mallory.befriend(&elm).await;
    let unlisted = send_many(&mut wire, 100_001).await;
    assert!(unlisted, "the neighbour is told");
    elm.hears("mallory").await;
    all_is_well(&elm).await;
    // A neighbour that is not listed is asked instead.
    let answer = elm
        .running
        .peer
        .command(Command::Get(named("hidden among many")));
    wire.until("a Find", |frame| is_for_a_user(frame).then_some(()))
        .await;
    drop(answer);
    let mut wire = mallory.dial_tracker(&village).await;
    wire.greet(mallory.hello()).await;
    assert!(send_many(&mut wire, 1_000_001).await, "the peer is told");
    hears(&mut village.notices, "mallory").await;
    village.lists("mallory", 0).await;
    oak.ask(Command::Peers).await.done();
}

/// Lists so many files, and says whether that was too much.
async fn send_many(wire: &mut Wire, files: usize) -> bool {
    const EACH: usize = 16_000;
    let mut sent = 0;
    while sent < files {
        let now = EACH.min(files - sent);
        let mut name = String::new();
        let entries = (sent..sent + now).map(|number| {
            name.clear();
            write!(name, "{number:07}").expect("writes");
            Entry {
                name: name.parse().expect("a name"),
                length: 0,
                mtime: 0,
                root: None,
                partial: false,
                nanos: 0,
                executable: false,
                v1: None,
            }
        });
        let update = Update {
            since: None,
            first: sent == 0,
            last: sent + now == files,
            added: entries.collect(),
            ..Update::heartbeat(1)
        };
        wire.send(Frame::plain(update)).await;
        sent += now;
    }
    wire.until("an ack", |frame| match &frame.body {
        Body::Ack(ack) => Some(ack.unlisted),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_holder_that_answers_nothing_is_passed_over() {
    let (village, oak, elm, mut mallory) = scene().await;
    write(&oak.dir, "b", b"patience");
    village.lists("oak", 2).await;
    let _listed = mallory
        .list(
            &village,
            vec![entry("a", b"silence"), entry("b", b"patience")],
        )
        .await;
    let mut wire = mallory.befriend(&elm).await;
    wire.send(listing(vec![entry("a", b"silence")])).await;
    elm.sees("what mallory lists", |view| {
        view.neighbours.iter().any(|row| row.files == 1)
    })
    .await;
    // Only the silent one has the first; the other one, oak has too.
    let (alone, shared) = tokio::join!(elm.get_name("a"), elm.get_name("b"));
    let failure = alone.failed(ErrorKind::Network);
    assert!(
        matches!(
            failure,
            Failure::Missed {
                miss: Miss::Silent { .. },
                ..
            }
        ),
        "{failure:?}"
    );
    let from = shared
        .only_fetched()
        .from
        .clone()
        .and_then(|from| from.name);
    assert_eq!(from.as_deref(), Some("oak"));
    assert!(mallory.nobody_called());
    all_is_well(&elm).await;
}

#[tokio::test]
async fn only_the_tracker_is_taken_for_the_tracker() {
    let (village, _oak, _elm, mallory) = scene().await;
    let other = Mallory::join(&village, "other").await;
    let expected = Expected::Tracker;
    let dialled = thorp_node::net::dial::dial(&[other.listen], expected, &mallory.tls, None).await;
    assert!(dialled.is_err());
}

fn is_mallory(member: &Member) -> bool {
    member.name.as_deref() == Some("mallory")
}

#[tokio::test]
async fn what_a_member_says_in_words_is_one_line_without_anything_hidden() {
    let (village, _oak, elm, mut mallory) = scene().await;
    let evil = "bye\nthorp: your disk is full\r\u{1b}[2J\u{202e}";
    let _listed = mallory.list(&village, vec![entry("bait", b"evil")]).await;
    let answer = elm.running.peer.command(Command::Get(named("bait")));
    let mut wire = mallory.called().await;
    wire.asked_for().await;
    let leave = Leave {
        reason: evil.into(),
    };
    wire.send(Frame::plain(leave)).await;
    let answer = super::support::answer(answer).await;
    let failure = format!(
        "{}",
        serde_json::to_value(answer.failed(ErrorKind::Network)).expect("JSON")
    );
    // A control character would be an escape in it.
    assert!(
        failure.contains("bye thorp: your disk is full"),
        "{failure}"
    );
    assert!(
        !failure.contains('\\') && !failure.contains('\u{202e}'),
        "{failure}"
    );
    all_is_well(&elm).await;
}

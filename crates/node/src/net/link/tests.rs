use std::time::{Duration, SystemTime};
use thorp_group::clock::Clock;
use thorp_group::testing::Group;
use thorp_wire::frame::{Bytes, Get, Leave, MAX_FRAME, PREFIX, Update, announced_length};
use thorp_wire::{Body, Content, RequestId, Root};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::io::{DuplexStream, duplex};
use tokio::time::{Instant, sleep};

use super::event::STUCK;
use super::inbox::MAX_WAITING_IN_ALL;
use super::queues::{FEW_UPDATES, IDLE, MAX_CONTENT, MAX_QUEUED_FRAMES};
use super::writer::BATCH;
use super::*;
use crate::net::dial::{Expected, dial};
use crate::net::testing::Listening;

impl Shared {
    /// Waits until the writer has taken everything that is queued.
    async fn drained(&self) {
        while {
            let queues = self.queues();
            [&queues.control, &queues.content, &queues.updates]
                .iter()
                .any(|queue| !queue.frames.is_empty())
        } {
            tokio::task::yield_now().await;
        }
    }
}

type Events = Arrivals;

fn long_term() -> Term {
    Term {
        clock: Clock::system(),
        ends: SystemTime::now() + Duration::from_hours(24),
    }
}

fn link(stream: DuplexStream) -> (LinkSender, Events) {
    let (inbox, arrivals) = inbox();
    (start(LinkId(1), stream, long_term(), inbox), arrivals)
}

fn get(id: u32) -> Frame {
    let content = Content {
        length: 7,
        root: Root::new([7; 32]),
    };
    Frame::with_request(RequestId(id), Get { content })
}

fn content(id: u32, length: usize) -> Frame {
    let bytes = vec![7; length];
    Frame::with_request(RequestId(id), Bytes { bytes })
}

/// Waits for space and queues the frame. Returns whether the link was still up.
async fn send_content(link: &LinkSender, frame: Frame) -> bool {
    match link.space(frame.size() as u64).await {
        Some(space) => link.contents(vec![(frame, space)]),
        None => false,
    }
}

fn update(seq: u64) -> Frame {
    Frame::plain(Update::heartbeat(seq))
}

fn leave() -> Frame {
    let reason = "supper".into();
    Frame::plain(Leave { reason })
}

async fn next(events: &mut Events) -> LinkEvent {
    let Arrival { link, event, .. } = events.recv().await.expect("one more event");
    assert_eq!(link, LinkId(1));
    event
}

/// Returns the next frame, skipping signs of life.
async fn frame(events: &mut Events) -> Frame {
    loop {
        match next(events).await {
            LinkEvent::Frame(frame) => return frame,
            LinkEvent::Heard { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn end(events: &mut Events) -> LinkEnd {
    loop {
        if let LinkEvent::Closed(why) = next(events).await {
            while let Some(Arrival { event, .. }) = events.recv().await {
                let overtakes = matches!(event, LinkEvent::Room | LinkEvent::Reads);
                assert!(overtakes, "nothing after it: {event:?}");
            }
            return why;
        }
    }
}

/// Returns everything that a link sends until it closes.
async fn sent(mut stream: DuplexStream) -> Vec<Frame> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("reads");
    let mut rest = &bytes[..];
    let mut frames = Vec::new();
    while let Some((&prefix, body)) = rest.split_first_chunk() {
        let length = announced_length(prefix, MAX_FRAME).expect("is short enough");
        frames.push(Frame::decode(&body[..length]).expect("is a frame"));
        rest = &body[length..];
    }
    frames
}

#[tokio::test]
async fn two_members_link_up_and_frames_flow_both_ways() {
    let group = Group::new();
    let mut oak = group.node("oak").await;
    let elm = group.member("elm");
    let expected = Expected::Peer(oak.tls.member().id);
    let dialled = dial(&[oak.address], expected, &elm, None)
        .await
        .expect("reaches oak");
    let accepted = oak.incoming.recv().await.expect("arrives");
    let start = |stream, ends| {
        let (inbox, arrivals) = inbox();
        let clock = Clock::system();
        (
            start(LinkId(1), stream, Term { clock, ends }, inbox),
            arrivals,
        )
    };
    let (to_oak, mut from_oak) = start(dialled.stream, dialled.member.ends);
    let (to_elm, mut from_elm) = start(accepted.stream, accepted.member.ends);
    for id in 0..100 {
        to_oak.send(get(id));
    }
    for id in 0..100 {
        assert_eq!(frame(&mut from_elm).await, get(id));
        assert!(send_content(&to_elm, content(id, 100_000)).await);
        assert_eq!(frame(&mut from_oak).await, content(id, 100_000));
    }
    to_oak.send(leave());
    to_oak.close();
    to_oak.finished().await;
    assert_eq!(frame(&mut from_elm).await, leave());
    assert_eq!(end(&mut from_elm).await, LinkEnd::There);
    assert_eq!(end(&mut from_oak).await, LinkEnd::Here);
    assert!(!send_content(&to_elm, content(0, 1)).await, "it is closed");
}

#[tokio::test]
async fn control_goes_before_content_and_content_before_updates() {
    // So narrow that the first frame occupies the writer.
    let (ours, theirs) = duplex(1024);
    let (link, mut events) = link(ours);
    link.send(content(0, 2 * BATCH));
    tokio::task::yield_now().await;
    link.send(update(1));
    link.send(content(1, 10));
    link.send(get(2));
    link.send(update(3));
    link.send(content(4, 10));
    link.send(leave());
    let reads = tokio::spawn(sent(theirs));
    link.shared.drained().await;
    link.close();
    let order = [
        content(0, 2 * BATCH),
        get(2),
        leave(),
        content(1, 10),
        content(4, 10),
        update(1),
        update(3),
    ];
    assert_eq!(reads.await.expect("reads"), order);
    assert_eq!(end(&mut events).await, LinkEnd::Here);
}

#[tokio::test]
async fn content_waits_for_room_and_control_does_not() {
    let (ours, theirs) = duplex(1024);
    let (link, _events) = link(ours);
    let quarter = MAX_CONTENT / 4;
    for id in 0..3 {
        assert!(send_content(&link, content(id, quarter)).await);
    }
    let fourth = send_content(&link, content(3, quarter));
    let waited = timeout(Duration::from_millis(20), fourth).await;
    assert!(waited.is_err(), "there was room");
    link.send(get(4));
    let reads = tokio::spawn(sent(theirs));
    assert!(send_content(&link, content(5, quarter)).await);
    link.shared.drained().await;
    link.close();
    let asked: Vec<_> = reads
        .await
        .expect("reads")
        .iter()
        .map(|f| f.request)
        .collect();
    let order = [0, 4, 1, 2, 5].map(|id| Some(RequestId(id)));
    assert_eq!(asked, order);
}

#[tokio::test]
async fn content_that_is_still_queued_can_be_taken_back_and_is_refused_then() {
    let (ours, theirs) = duplex(1024);
    let (link, _events) = link(ours);
    for id in 0..3 {
        assert!(send_content(&link, content(id, 2 * BATCH)).await);
        // The first frame occupies the writer.
        tokio::task::yield_now().await;
    }
    for id in [0, 2, 7] {
        link.take_back(RequestId(id));
    }
    let reads = tokio::spawn(sent(theirs));
    link.shared.drained().await;
    link.close();
    let read = reads.await.expect("reads");
    let refused = Refused {
        reason: Reason::Busy,
        text: Remark::default(),
    };
    let refused = Frame::with_request(RequestId(2), refused);
    assert_eq!(
        read,
        [content(0, 2 * BATCH), refused, content(1, 2 * BATCH)]
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_read_is_given_up_on() {
    let (ours, _theirs) = duplex(16);
    let (link, mut events) = link(ours);
    let before = Instant::now();
    link.send(content(0, 100));
    assert_eq!(end(&mut events).await, LinkEnd::Stuck);
    assert_eq!(before.elapsed(), STUCK);
    link.finished().await;
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_grows_too_long_closes_the_link() {
    let (ours, _theirs) = duplex(16);
    let (link, mut events) = link(ours);
    let mut queued = 0;
    while !link.is_closed() {
        link.send(get(queued));
        queued += 1;
        if queued % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    assert!((MAX_QUEUED_FRAMES..2 * MAX_QUEUED_FRAMES).contains(&(queued as usize)));
    assert_eq!(end(&mut events).await, LinkEnd::Overflow);
}

#[tokio::test(start_paused = true)]
async fn room_for_more_of_a_listing_is_reported_once_and_not_before_most_of_it_is_written() {
    let (ours, mut theirs) = duplex(1024);
    let (link, mut events) = link(ours);
    let part = |seq| {
        let removed = (0..1000).map(|n| format!("{n:0100}").parse().expect("a name"));
        Frame::plain(Update {
            since: Some(0),
            removed: removed.collect(),
            ..Update::heartbeat(seq)
        })
    };
    for seq in 1..=4 {
        link.send(part(seq));
    }
    let size = part(1).size();
    assert!(2 * size > FEW_UPDATES && size < FEW_UPDATES);
    link.await_room();
    let mut bytes = Vec::new();
    let waiting = |link: &LinkSender| link.shared.queues().updates.frames.len();
    while waiting(&link) > 2 {
        tokio::task::yield_now().await;
        assert!(events.try_recv().is_none(), "{} wait", waiting(&link));
        theirs.read_buf(&mut bytes).await.expect("reads");
    }
    tokio::spawn(async move { while theirs.read_buf(&mut bytes).await.is_ok_and(|n| n > 0) {} });
    assert!(matches!(next(&mut events).await, LinkEvent::Reads));
    assert!(matches!(next(&mut events).await, LinkEvent::Room));
    assert_eq!(waiting(&link), 1);
    // Where there is room, it is reported at once, and as often as it is awaited.
    for _ in 0..2 {
        link.await_room();
        assert!(matches!(next(&mut events).await, LinkEvent::Room));
    }
    assert!(timeout(STUCK / 2, next(&mut events)).await.is_err());
    link.close();
    assert_eq!(end(&mut events).await, LinkEnd::Here);
}

#[tokio::test(start_paused = true)]
async fn each_second_in_which_the_other_side_reads_of_a_long_update_is_a_sign_of_its_life() {
    let (ours, mut theirs) = duplex(1024);
    let (link, mut events) = link(ours);
    link.send(Frame::plain(Update::heartbeat(1)));
    let silence = timeout(STUCK / 2, next(&mut events)).await;
    assert!(silence.is_err(), "a heartbeat says nothing: {silence:?}");
    let removed = (0..1000).map(|n| format!("{n:0100}").parse().expect("a name"));
    let long = Frame::plain(Update {
        since: Some(0),
        removed: removed.collect(),
        ..Update::heartbeat(2)
    });
    link.send(long);
    // What fits into the connection is written at once.
    assert!(matches!(next(&mut events).await, LinkEvent::Reads));
    let silence = timeout(STUCK / 2, next(&mut events)).await;
    assert!(silence.is_err(), "nothing is read: {silence:?}");
    let mut bytes = [0; 512];
    for second in 0..20 {
        theirs.read_exact(&mut bytes).await.expect("reads");
        let sign = timeout(Duration::from_millis(100), next(&mut events)).await;
        assert!(matches!(sign, Ok(LinkEvent::Reads)), "{second}: {sign:?}");
        // More of it within the second is none.
        theirs.read_exact(&mut bytes).await.expect("reads");
        let again = timeout(Duration::from_millis(100), next(&mut events)).await;
        assert!(again.is_err(), "{second}: {again:?}");
        sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_to_somebody_who_does_not_read_is_short() {
    let (ours, _theirs) = duplex(16);
    let (link, mut events) = link(ours);
    let before = Instant::now();
    link.send(content(0, 100));
    tokio::task::yield_now().await;
    link.send(leave());
    link.close();
    link.finished().await;
    assert!(before.elapsed() <= 2 * GOODBYE);
    assert_eq!(end(&mut events).await, LinkEnd::Here);
}

#[tokio::test]
async fn nonsense_closes_the_link_with_a_reason_that_both_sides_see() {
    for (nonsense, says) in [
        (&[0x7f, 0xff, 0xff, 0xff][..], "over the limit"),
        (&[0, 0, 0, 1, 0xff], "malformed frame"),
    ] {
        let (ours, mut theirs) = duplex(1024);
        let (_link, mut events) = link(ours);
        theirs.write_all(nonsense).await.expect("writes");
        let why = end(&mut events).await;
        assert!(matches!(why, LinkEnd::Malformed(_)), "{why}");
        let words = sent(theirs).await;
        let [
            Frame {
                body: Body::Leave(leave),
                ..
            },
        ] = &words[..]
        else {
            panic!("{words:?}");
        };
        let reason = leave.reason.to_string();
        assert!(reason.contains(says), "{reason}");
    }
}

#[tokio::test]
async fn frames_arrive_whole_however_they_are_cut() {
    let mut bytes = Vec::new();
    for id in 0..20 {
        content(id, 1000 * id as usize)
            .encode(&mut bytes)
            .expect("encodes");
    }
    // A frame of a later version: a map with the type 999 and the request 5.
    bytes.extend_from_slice(&[0, 0, 0, 7, 0xa2, 0, 0x19, 0x03, 0xe7, 1, 5]);
    for step in [1, 3, 4096, bytes.len()] {
        let (ours, mut theirs) = duplex(64 * 1024);
        let (_link, mut events) = link(ours);
        let bytes = bytes.clone();
        tokio::spawn(async move {
            for part in bytes.chunks(step) {
                theirs.write_all(part).await.expect("writes");
            }
        });
        for id in 0..20 {
            assert_eq!(frame(&mut events).await, content(id, 1000 * id as usize));
        }
        let unknown = loop {
            match next(&mut events).await {
                LinkEvent::Heard { .. } => {}
                other => break other,
            }
        };
        let request = Some(RequestId(5));
        assert!(
            matches!(unknown, LinkEvent::Unknown { kind: 999, request: r } if r == request),
            "{unknown:?}"
        );
        assert_eq!(end(&mut events).await, LinkEnd::There);
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_of_no_file_are_a_sign_of_life_and_no_more() {
    let (ours, mut theirs) = duplex(64);
    let (_link, mut events) = link(ours);
    let reason = "x".repeat(300);
    let mut bytes = Vec::new();
    let frame = Frame::plain(Leave {
        reason: reason.into(),
    });
    frame.encode(&mut bytes).expect("encodes");
    theirs.write_all(&bytes[..100]).await.expect("writes");
    let LinkEvent::Heard { content } = next(&mut events).await else {
        panic!("it is heard");
    };
    assert_eq!(content, 0);
}

#[tokio::test(start_paused = true)]
async fn bytes_of_a_long_frame_are_a_sign_of_life_once_a_second() {
    let (ours, mut theirs) = duplex(64);
    let (_link, mut events) = link(ours);
    let mut bytes = Vec::new();
    content(1, 300).encode(&mut bytes).expect("encodes");
    let writes = tokio::spawn(async move {
        for part in bytes.chunks(10) {
            theirs.write_all(part).await.expect("writes");
            sleep(Duration::from_millis(100)).await;
        }
        theirs
    });
    let (mut heard, mut bytes) = (0, 0);
    while let LinkEvent::Heard { content } = next(&mut events).await {
        heard += 1;
        bytes += content;
    }
    // About 31 parts, ten per second.
    assert!((3..=4).contains(&heard), "{heard}");
    assert!(
        (190..=310).contains(&bytes),
        "{bytes} of a file, each told once"
    );
    writes.await.expect("writes");
}

#[tokio::test(start_paused = true)]
async fn a_link_works_on_after_it_has_been_idle() {
    let (ours, theirs) = duplex(1024);
    let (here, mut events) = link(ours);
    let (there, mut arrived) = link(theirs);
    for id in 0..3 {
        here.send(content(id, 200_000));
        assert_eq!(frame(&mut arrived).await, content(id, 200_000));
        there.send(get(id));
        assert_eq!(frame(&mut events).await, get(id));
        sleep(3 * IDLE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_ends_with_its_certificate() {
    let (ours, theirs) = duplex(64);
    let (inbox, mut received) = inbox();
    let clock = Clock::system();
    let term = Term {
        clock: clock.clone(),
        ends: clock.wall() + Duration::from_hours(1),
    };
    let link = start(LinkId(1), ours, term, inbox);
    // As after a night in which the machine slept.
    clock.turn(3600);
    assert_eq!(end(&mut received).await, LinkEnd::Expired);
    link.finished().await;
    drop(theirs);
}

/// Writes until the link takes no more. Returns how many times `bytes` was taken.
async fn until_nothing_more_is_taken(stream: &mut DuplexStream, bytes: &[u8]) -> usize {
    let mut taken = 0;
    // Time is paused, so it advances only when no task can run.
    while timeout(Duration::from_millis(1), stream.write_all(bytes))
        .await
        .is_ok()
    {
        taken += 1;
    }
    taken
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_bounded_in_bytes_and_a_flood_leaves_room_for_others() {
    let (inbox, mut arrivals) = inbox();
    let mut large = Vec::new();
    content(1, 250_000).encode(&mut large).expect("encodes");
    let open = |id| {
        let (ours, theirs) = duplex(1024);
        start(LinkId(id), ours, long_term(), inbox.clone());
        theirs
    };
    let mut flooder = open(1);
    let taken = until_nothing_more_is_taken(&mut flooder, &large).await;
    // One more may have been read and wait for room.
    let most = MAX_WAITING / large.len();
    assert!((most..most + 2).contains(&taken), "{taken} were taken");

    // The frame of another link is delivered all the same, as the next one.
    let mut honest = open(2);
    honest.write_all(&large).await.expect("is taken");
    tokio::task::yield_now().await;
    let mut from = Vec::new();
    while let Ok(Some(arrival)) = timeout(Duration::from_millis(1), arrivals.recv()).await {
        from.push(arrival.link.0);
    }
    let at = from.iter().position(|link| *link == 2).expect("arrives");
    assert!(at <= 17, "behind {at} others");
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_bounded_over_all_links_of_a_node() {
    let (inbox, mut arrivals) = inbox();
    // Small on the wire, large once it is decoded.
    let names = Update {
        removed: ["a", "b", "c", "d"]
            .iter()
            .cycle()
            .take(50_000)
            .map(|name| name.parse().expect("a name"))
            .collect(),
        since: None,
        ..Update::heartbeat(1)
    };
    let mut bytes = Vec::new();
    Frame::plain(names).encode(&mut bytes).expect("encodes");
    let each = Frame::memory(&bytes[PREFIX..]);
    let mut streams: Vec<_> = (0..100)
        .map(|id| {
            let (ours, theirs) = duplex(1024);
            start(LinkId(id), ours, long_term(), inbox.clone());
            theirs
        })
        .collect();
    for stream in &mut streams {
        until_nothing_more_is_taken(stream, &bytes).await;
    }
    let frames = |arrivals: &mut Arrivals| {
        let mut held = Vec::new();
        while let Some(arrival) = arrivals.try_recv() {
            if matches!(arrival.event, LinkEvent::Frame(_)) {
                held.push(arrival);
            }
        }
        held
    };
    let held = frames(&mut arrivals);
    assert!(!held.is_empty() && held.len() * each <= MAX_WAITING_IN_ALL);
    // An event takes up its room for as long as it lives.
    sleep(Duration::from_millis(1)).await;
    assert!(frames(&mut arrivals).is_empty());
    drop(held);
    sleep(Duration::from_millis(1)).await;
    assert!(!frames(&mut arrivals).is_empty());
}

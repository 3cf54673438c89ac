//! Files in pieces: from one, from many, after an interruption.

use std::collections::BTreeMap;
use std::sync::Mutex;

use thorp_node::api::{Command, ErrorKind, Event};
use thorp_node::snapshot::{Ask, Part, SnapshotRow};

use super::mallory::Mallory;
use super::support::{Village, Villager, answer, bytes, files_in, named, part_in, read, within};
use super::teller::{File, Holder, LONG, Manner, PIECE, Said, Teller, long};

const MIB: usize = 1024 * 1024;

/// Around every boundary: the longest small file and the first large one, a
/// piece, several, and many.
const LENGTHS: [usize; 8] = [
    PIECE,
    PIECE + 1,
    2 * PIECE - 1,
    2 * PIECE,
    2 * PIECE + 1,
    3 * PIECE - 16_384,
    LONG - 1,
    LONG,
];

fn files() -> Vec<(String, Vec<u8>)> {
    let file = |length: usize| (format!("{length}"), bytes(length as u64, length));
    LENGTHS.into_iter().map(file).collect()
}

fn slices(files: &[(String, Vec<u8>)]) -> Vec<(&str, &[u8])> {
    files
        .iter()
        .map(|(name, bytes)| (&**name, &**bytes))
        .collect()
}

#[tokio::test]
async fn files_of_every_length_around_the_boundaries_come_from_one_holder() {
    let village = Village::new().await;
    let files = files();
    let oak = village.peer("oak", &slices(&files)).await;
    let elm = village.peer("elm", &[]).await;
    for (name, bytes) in &files {
        let answer = elm.get_name(name).await;
        let fetched = answer.only_fetched();
        assert_eq!(fetched.received, bytes.len() as u64);
        assert_eq!(fetched.sources.len(), 1);
        assert_eq!(fetched.sources[0].name.as_deref(), Some("oak"));
        assert!(read(&elm.dir, name) == *bytes, "{name}");
    }
    assert!(files_in(&elm.dir) == files_in(&oak.dir), "and nothing else");
    village.lists("elm", files.len()).await;
    elm.has_neighbour("oak").await;
}

#[tokio::test]
async fn files_come_from_three_holders_to_a_visitor_and_to_a_peer() {
    let village = Village::new().await;
    let mut files = files();
    files.push(("longest".to_owned(), bytes(5, 32 * MIB)));
    let oak = village.peer("oak", &slices(&files)).await;
    let _ash = village.peer("ash", &slices(&files)).await;
    let _yew = village.peer("yew", &slices(&files)).await;
    let dir = village.dir("visit");
    let get = Command::Get(named("**"));
    let answer = village.visit("guest", &dir, get.clone()).await.done();
    assert_eq!(answer.fetched().len(), files.len());
    assert!(files_in(&dir) == files_in(&oak.dir), "and nothing else");
    let elm = village.peer("elm", &[]).await;
    let answer = elm.get_name("longest").await;
    assert_eq!(answer.only_fetched().sources.len(), 3, "all at once");
    let answer = elm.get_name("[0-9]*").await.done();
    assert_eq!(answer.fetched().len(), files.len() - 1);
    assert!(files_in(&elm.dir) == files_in(&oak.dir), "and nothing else");
}

#[tokio::test]
async fn what_was_there_when_all_holders_went_is_not_sent_again() {
    let village = Village::new().await;
    let file = long();
    let manner = Manner::honest_for(2 * MIB, |_, _| Said::Nothing);
    let dying = Holder::of(&village, "mallory", &file, manner).await;
    let elm = village.peer("elm", &[]).await;
    let asked = elm.running.peer.command(Command::Get(named("f")));
    let sent = sent_by(&dying, &elm).await;
    drop(dying);
    answer(asked).await.failed(ErrorKind::Unfinished);
    part_in(&elm.dir);
    let missing = (LONG - sent) as u64;
    let oak = village.peer("oak", &[("f", &file.bytes)]).await;
    let answer = elm.get_name("f").await;
    let fetched = answer.only_fetched();
    // What was verified does not travel twice: at most the pieces that were begun.
    assert!(answer.resumed() > 0 && fetched.received >= missing);
    assert!(
        fetched.received < missing + 8 * PIECE as u64,
        "{} of {missing}",
        fetched.received
    );
    assert!(read(&elm.dir, "f") == *file.bytes);
    assert!(files_in(&elm.dir) == files_in(&oak.dir), "no part is left");
}

#[tokio::test]
async fn a_holder_that_dies_in_the_middle_is_replaced_by_the_others() {
    let village = Village::new().await;
    let file = long();
    let manner = Manner::honest_for(MIB, |_, _| Said::Nothing);
    let dying = Holder::of(&village, "mallory", &file, manner).await;
    let manner = Manner::honest().after(&dying, |seen| seen.ended > 0);
    let oak = Holder::of(&village, "oak", &file, manner).await;
    let elm = village.peer("elm", &[]).await;
    let asked = elm.running.peer.command(Command::Get(named("f")));
    let sent = sent_by(&dying, &elm).await;
    assert!(sent > 0 && oak.seen().sent == 0, "{sent}");
    drop(dying);
    let answer = answer(asked).await;
    assert!(read(&elm.dir, "f") == *file.bytes);
    // What the dying one has sent is good.
    assert_eq!(answer.sources(), ["mallory", "oak"].into());
    assert!(oak.seen().sent < LONG, "{:?}", oak.seen());
}

/// Waits until a holder sends no more, and all it has sent is on the other's
/// disk. How much that is.
async fn sent_by(holder: &Holder, to: &Villager) -> usize {
    holder
        .sees("the first unserved request", |seen| seen.unserved > 0)
        .await;
    let sent = holder.seen().sent;
    to.has_received(sent).await;
    sent
}

#[tokio::test]
async fn a_holder_that_comes_in_the_middle_is_asked_too() {
    let village = Village::new().await;
    let file = long();
    // The whole file would take it more than a minute.
    let slow = Holder::of(&village, "mallory", &file, Manner::slow(64 * 1024)).await;
    let elm = village.peer("elm", &[]).await;
    let asked = elm.running.peer.command(Command::Get(named("f")));
    elm.has_received(16 * 1024).await;
    let _oak = village.peer("oak", &[("f", &file.bytes)]).await;
    let answer = answer(asked).await;
    assert_eq!(answer.sources(), ["mallory", "oak"].into());
    assert!(slow.seen().sent < LONG, "{:?}", slow.seen());
    assert!(read(&elm.dir, "f") == *file.bytes);
}

#[tokio::test]
async fn a_get_waits_for_a_holder_that_has_no_place_for_it_and_says_so() {
    let village = Village::new().await;
    let file = long();
    let busy = Holder::of(&village, "mallory", &file, Manner::busy_for(2)).await;
    let elm = village.peer("elm", &[]).await;
    let answer = elm.get_name("f").await;
    assert_eq!(answer.sources(), ["mallory"].into());
    assert!(busy.seen().calls >= 3, "{:?}", busy.seen());
    let waited = answer.events.iter().any(|event| match event {
        Event::Progress(progress) => progress.busy == 1 && progress.sources == 0,
        _ => false,
    });
    assert!(waited, "{:?}", answer.events);
    assert!(read(&elm.dir, "f") == *file.bytes);
}

#[tokio::test]
async fn seventeen_members_that_hold_every_place_do_not_keep_others_out() {
    let village = Village::new().await;
    let file = long();
    let oak = village.peer("oak", &[("f", &file.bytes)]).await;
    village.lists("oak", 1).await;
    let mut held = Vec::new();
    for n in 0..17 {
        let mallory = Mallory::join(&village, &format!("mallory-{n}")).await;
        for _ in 0..16 {
            // The last ones are turned away, or take others' places.
            held.extend(Teller::dial(&mallory, &oak, file.content()).await);
        }
    }
    assert!(held.len() >= 256, "{}", held.len());
    let elm = village.peer("elm", &[]).await;
    let answer = elm.get_name("f").await;
    assert_eq!(answer.sources(), ["oak"].into());
    assert!(read(&elm.dir, "f") == *file.bytes);
}

#[tokio::test]
async fn members_ask_each_other_for_more_at_once_than_ordinary_clients_allow() {
    let village = Village::new().await;
    let file = long();
    let oak = Holder::of(&village, "oak", &file, Manner::honest()).await;
    let elm = village.peer("elm", &[]).await;
    elm.get_name("f").await.only_fetched();
    let seen = oak.seen();
    assert!(seen.longest_request > 16 * 1024, "{seen:?}");
    assert!(seen.requests < LONG / (16 * 1024), "{seen:?}");
    assert!(read(&elm.dir, "f") == *file.bytes);
}

#[tokio::test]
async fn a_request_that_is_given_up_leaves_its_part_and_the_next_one_takes_it_up() {
    let village = Village::new().await;
    let file = long();
    let manner = Manner::honest_for(2 * MIB, |_, _| Said::Nothing);
    let half = Holder::of(&village, "mallory", &file, manner).await;
    let elm = village.peer("elm", &[]).await;
    let request = elm.running.peer.command(Command::Get(named("f")));
    sent_by(&half, &elm).await;
    drop(request);
    drop(half);
    let _oak = village.peer("oak", &[("f", &file.bytes)]).await;
    let answer = elm.get_name("f").await;
    let fetched = answer.only_fetched();
    assert!(fetched.received < LONG as u64, "{}", fetched.received);
    assert!(read(&elm.dir, "f") == *file.bytes);
}

#[tokio::test]
async fn a_hundred_files_of_one_member_come_over_a_few_connections() {
    let village = Village::new().await;
    let file = |number: u64| {
        let bytes = bytes(number + 1, PIECE + 50_000);
        (format!("dir/{number}"), File::new(bytes))
    };
    let files: Vec<_> = (0..100).map(file).collect();
    let holder = Holder::of_several(&village, "mallory", files.clone(), Manner::honest()).await;
    let elm = village.peer("elm", &[]).await;
    let answer = elm.get_name("dir/**").await.done();
    assert_eq!(answer.fetched().len(), files.len());
    for (name, file) in &files {
        assert!(read(&elm.dir, name) == *file.bytes, "{name}");
    }
    let seen = holder.seen();
    assert!(seen.calls <= 16, "{seen:?}");
}

#[tokio::test]
async fn two_that_fetch_the_same_file_help_each_other() {
    let village = Village::new().await;
    let file = long();
    let sent = Mutex::new(BTreeMap::new());
    // No byte to both. One that was sent may be lost, with a session that took too
    // long: so the member that it was for may ask for it again.
    let manner = Manner::of_blocks_by_member(move |file, span, _, member| {
        let mut sent = sent.lock().expect("remembers");
        if *sent.entry(span).or_insert(member) == member {
            Said::Bytes(file.span(span))
        } else {
            Said::Rejected
        }
    });
    let _seed = Holder::of(&village, "mallory", &file, manner).await;
    let elm = village.peer("elm", &[]).await;
    let fir = village.peer("fir", &[]).await;
    let (first, second) = tokio::join!(elm.get_name("f"), fir.get_name("f"));
    for (villager, answer) in [(&elm, first), (&fir, second)] {
        answer.only_fetched();
        assert!(read(&villager.dir, "f") == *file.bytes);
    }
}

#[tokio::test]
async fn a_file_on_its_way_is_shown_with_its_rate_and_its_sources() {
    let village = Village::new().await;
    let file = long();
    let slow = Holder::of(&village, "mallory", &file, Manner::slow(64 * 1024)).await;
    let elm = village.peer("elm", &[]).await;
    let viewer = elm.running.peer.viewer();
    let transfers = async || {
        let page = viewer.pages([Ask::first(Part::Transfers, 10)]).await;
        let [page] = page.expect("it runs");
        page.rows
    };
    assert_eq!(transfers().await, []);
    let asked = elm.running.peer.command(Command::Get(named("f")));
    elm.has_received(16 * 1024).await;
    assert!(
        transfers().await.len() == 1,
        "the first look begins the rate"
    );
    let moves = async {
        loop {
            let rows = transfers().await;
            let [SnapshotRow::Transfer(transfer)] = &rows[..] else {
                panic!("{rows:?}");
            };
            if transfer.rate > 0 {
                return transfer.clone();
            }
        }
    };
    let transfer = within("a rate", moves).await;
    assert_eq!(transfer.length, LONG as u64);
    assert!(transfer.received > 0 && transfer.verified < transfer.length);
    let sent_by = transfer.sent_by.iter();
    let sent_by: u64 = sent_by.map(|(_, bytes)| bytes).sum();
    assert!((1..LONG as u64).contains(&sent_by), "{transfer:?}");
    drop((asked, slow));
}

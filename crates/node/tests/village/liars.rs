//! Large files from members that lie, stall or say nothing.
//!
//! An honest holder stands beside each of them, and greets only once the other
//! one was asked: so the file cannot have come before it was.

use thorp_node::api::{Command, ErrorKind, Failure, Miss};

use super::mallory::{Mallory, entry};
use super::support::{Answer, Village, Villager, answer, bytes, files_in, named, read};
use super::teller::{File, Holder, LONG, Manner, PIECE, Said, Seen, long};

/// What becomes of a file that mallory has in this manner, and oak as well, who
/// is heard only after mallory has seen that.
struct Scene {
    mallory: Holder,
    elm: Villager,
    answer: Answer,
    _oak: Holder,
    _village: Village,
}

impl Scene {
    async fn of(manner: Manner, has_seen: fn(&Seen) -> bool) -> Self {
        let village = Village::new().await;
        // Of whole pieces: a last one of a byte would soon be there from any holder.
        let file = File::new(bytes(7, LONG - 1));
        let mallory = Holder::of(&village, "mallory", &file, manner).await;
        let honest = Manner::honest().after(&mallory, has_seen);
        let oak = Holder::of(&village, "oak", &file, honest).await;
        let elm = village.peer("elm", &[]).await;
        let answer = elm.get_name("f").await;
        assert!(has_seen(&mallory.seen()), "{:?}", mallory.seen());
        assert_eq!(answer.sources(), ["oak"].into());
        assert!(read(&elm.dir, "f") == *file.bytes);
        Self {
            mallory,
            elm,
            answer,
            _oak: oak,
            _village: village,
        }
    }
}

#[tokio::test]
async fn whoever_sends_wrong_blocks_is_named_and_the_file_is_right() {
    let mut scene = Scene::of(Manner::wrong_blocks(), |seen| seen.ended > 0).await;
    scene.elm.hears("mallory").await;
    assert!(scene.mallory.seen().sent > 0);
}

#[tokio::test]
async fn whoever_sends_wrong_hashes_is_named_and_the_true_ones_asked_of_others() {
    let mut scene = Scene::of(Manner::wrong_hashes(), |seen| seen.ended > 0).await;
    scene.elm.hears("mallory").await;
    let seen = scene.mallory.seen();
    assert!(seen.hash_requests > 0 && seen.requests == 0, "{seen:?}");
}

#[tokio::test]
async fn whoever_says_nothing_after_its_handshake_is_not_waited_for() {
    Scene::of(Manner::mute(), |seen| seen.messages > 0).await;
}

#[tokio::test]
async fn whoever_sends_no_block_is_not_waited_for() {
    let manner = Manner::of_blocks(|_, _, _| Said::Nothing);
    Scene::of(manner, |seen| seen.unserved > 0).await;
}

#[tokio::test]
async fn whoever_sends_ten_bytes_a_second_is_not_waited_for() {
    let scene = Scene::of(Manner::slow(10), |seen| seen.sent > 0).await;
    let received = scene.answer.only_fetched().received;
    assert!(received < (LONG + PIECE) as u64, "{received}");
}

#[tokio::test]
async fn whoever_speaks_of_another_length_in_its_greeting_is_asked_for_no_block() {
    let scene = Scene::of(Manner::of_another_length(), |seen| seen.ended > 0).await;
    let seen = scene.mallory.seen();
    let with_the_first_words = seen.hash_requests;
    assert!(
        seen.requests == 0 && seen.messages == with_the_first_words,
        "{seen:?}"
    );
}

#[tokio::test]
async fn where_only_a_liar_has_it_nothing_is_kept_under_its_name_and_the_failure_says_so() {
    let village = Village::new().await;
    let _liar = Holder::of(&village, "mallory", &long(), Manner::wrong_blocks()).await;
    let elm = village.peer("elm", &[]).await;
    let answer = elm.get_name("f").await;
    let failure = answer.failed(ErrorKind::Verification);
    assert_eq!(blamed(failure), Some("mallory"));
    assert!(!elm.dir.join("f").exists());
}

#[tokio::test]
async fn whoever_lists_a_byte_more_is_named_though_all_it_sends_is_true_but_that_byte() {
    let village = Village::new().await;
    let file = long();
    let lie = vec![("longer".to_owned(), file.a_byte_longer())];
    let liar = Holder::of_several(&village, "mallory", lie, Manner::honest()).await;
    let _oak = village.peer("oak", &[("f", &file.bytes)]).await;
    let mut elm = village.peer("elm", &[]).await;
    let answer = elm.get_name("longer").await;
    let failure = answer.failed(ErrorKind::Verification);
    assert_eq!(blamed(failure), Some("mallory"));
    assert!(liar.seen().sent > 0, "{:?}", liar.seen());
    elm.hears("mallory").await;
    assert!(!elm.dir.join("longer").exists());
    let answer = elm.get_name("f").await;
    assert_eq!(answer.sources(), ["oak"].into());
    assert!(read(&elm.dir, "f") == *file.bytes);
}

#[tokio::test]
async fn a_wrong_length_with_an_honest_root_brings_nothing_and_the_true_file_comes_all_the_same() {
    let village = Village::new().await;
    let file = long();
    let _oak = village.peer("oak", &[("f", &file.bytes)]).await;
    let mut mallory = Mallory::join(&village, "mallory").await;
    // A byte more or less, and those of which other nodes of the tree would be leaves.
    let lengths = [LONG + 1, LONG - 1, LONG * 2, LONG / 2, PIECE + 1, 64];
    let lies = lengths.into_iter().map(|length| {
        let mut lie = entry(&format!("{length}"), &file.bytes);
        lie.length = length as u64;
        lie
    });
    let _listed = mallory.list(&village, lies.collect()).await;
    let hangs_up = tokio::spawn(async move { while mallory.next_call().await.is_some() {} });
    let elm = village.peer("elm", &[]).await;
    let asked = lengths.map(|length| {
        let get = Command::Get(named(&format!("{length}")));
        elm.running.peer.command(get)
    });
    for asked in asked {
        let told = answer(asked).await;
        assert!(told.end.is_err() && told.fetched().is_empty(), "{told:?}");
    }
    hangs_up.abort();
    elm.get_name("f").await.only_fetched();
    assert!(read(&elm.dir, "f") == *file.bytes);
    assert_eq!(files_in(&elm.dir).len(), 1);
}

/// The member that a failure calls a liar.
fn blamed(failure: &Failure) -> Option<&str> {
    match failure {
        Failure::Missed {
            miss: Miss::Mismatch { by },
            ..
        } => by.name.as_deref(),
        other => panic!("{other:?}"),
    }
}

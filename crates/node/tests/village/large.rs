//! Files in pieces: from one, from many, after an interruption, from liars.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use thorp_node::api::{Command, ErrorKind, Event};
use thorp_node::local;
use thorp_wire::session::{Message, Span};

use super::mallory::{Mallory, entry};
use super::support::{Village, answer, bytes, files_in, named, read, within};
use super::teller::{File, Holder, Manner, Said, Teller, honestly};

const PIECE: usize = 256 * 1024;
const LONG: usize = 5 * 1024 * 1024 + 1;

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

fn long() -> File {
    File::new(bytes(7, LONG))
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
    let files = files();
    let oak = village.peer("oak", &slices(&files)).await;
    let _ash = village.peer("ash", &slices(&files)).await;
    let _yew = village.peer("yew", &slices(&files)).await;
    let dir = village.dir("visit");
    let get = Command::Get(named("**"));
    let answer = village.visit("guest", &dir, get.clone()).await.done();
    assert_eq!(answer.fetched().len(), files.len());
    assert!(files_in(&dir) == files_in(&oak.dir), "and nothing else");
    let elm = village.peer("elm", &[]).await;
    let answer = elm.ask(get).await.done();
    assert_eq!(answer.fetched().len(), files.len());
    assert!(files_in(&elm.dir) == files_in(&oak.dir), "and nothing else");
}

#[tokio::test]
async fn what_was_there_when_all_holders_went_is_not_sent_again() {
    let village = Village::new().await;
    let file = long();
    let sent = Arc::new(AtomicUsize::new(0));
    let (served, whole) = (Arc::clone(&sent), file.clone());
    let dying = Holder::of(&village, "mallory", &file, move || {
        let (sent, file) = (Arc::clone(&served), whole.clone());
        let mut honest = honestly(&file);
        Manner {
            // Two megabytes, then it dies.
            blocks: move |span: Span| {
                let before = sent.fetch_add(span.length as usize, Ordering::Relaxed);
                if before + span.length as usize > 2 * 1024 * 1024 {
                    sent.fetch_sub(span.length as usize, Ordering::Relaxed);
                    return Said::Goodbye;
                }
                (honest.blocks)(span)
            },
            hashes: |_, hashes| hashes,
        }
    })
    .await;
    let elm = village.peer("elm", &[]).await;
    let answer = elm.get_name("f").await;
    answer.failed(ErrorKind::Unfinished);
    let names: Vec<String> = files_in(&elm.dir).into_keys().collect();
    let [name] = names.as_slice() else {
        panic!("the partial file alone: {names:?}");
    };
    assert!(name.starts_with(".thorp-"), "the partial file: {name}");
    drop(dying);
    let oak = village.peer("oak", &[("f", &file.bytes)]).await;
    let answer = elm.get_name("f").await;
    let there = answer.events.iter().find_map(|event| match event {
        Event::Resumed { bytes, .. } => Some(*bytes),
        _ => None,
    });
    let there = there.expect("is told what there was");
    let fetched = answer.only_fetched();
    // What was verified does not travel twice: at most the pieces that were begun.
    let missing = (LONG - sent.load(Ordering::Relaxed)) as u64;
    assert!(there > 0 && fetched.received >= missing);
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
    let whole = file.clone();
    let _dying = Holder::of(&village, "mallory", &file, move || {
        let mut honest = honestly(&whole);
        let mut blocks = 0;
        Manner {
            blocks: move |span: Span| {
                blocks += 1;
                if blocks > 3 {
                    return Said::Goodbye;
                }
                (honest.blocks)(span)
            },
            hashes: |_, hashes| hashes,
        }
    })
    .await;
    let _oak = village.peer("oak", &[("f", &file.bytes)]).await;
    let elm = village.peer("elm", &[]).await;
    elm.get_name("f").await.only_fetched();
    assert!(read(&elm.dir, "f") == *file.bytes);
}

#[tokio::test]
async fn whoever_sends_wrong_blocks_is_named_and_the_file_is_right() {
    let village = Village::new().await;
    let file = long();
    let whole = file.clone();
    let _liar = Holder::of(&village, "mallory", &file, move || {
        let file = whole.clone();
        Manner {
            blocks: move |span: Span| {
                let mut bytes = file.span(span);
                bytes[0] ^= 1;
                Said::Bytes(bytes)
            },
            hashes: |_, hashes| hashes,
        }
    })
    .await;
    let _oak = village.peer("oak", &[("f", &file.bytes)]).await;
    let mut elm = village.peer("elm", &[]).await;
    let answer = elm.get_name("f").await;
    let fetched = answer.only_fetched();
    let sources: Vec<_> = fetched.sources.iter().map(|who| who.name.clone()).collect();
    assert_eq!(sources, [Some("oak".to_owned())]);
    assert!(read(&elm.dir, "f") == *file.bytes);
    elm.hears("mallory").await;
}

#[tokio::test]
async fn where_only_a_liar_has_it_nothing_is_kept_under_its_name_and_the_failure_says_so() {
    let village = Village::new().await;
    let file = long();
    let whole = file.clone();
    let _liar = Holder::of(&village, "mallory", &file, move || {
        let file = whole.clone();
        Manner {
            blocks: move |span: Span| {
                let mut bytes = file.span(span);
                bytes[0] ^= 1;
                Said::Bytes(bytes)
            },
            hashes: |_, hashes| hashes,
        }
    })
    .await;
    let elm = village.peer("elm", &[]).await;
    let answer = elm.get_name("f").await;
    answer.failed(ErrorKind::Verification);
    assert!(!elm.dir.join("f").exists());
}

#[tokio::test]
async fn wrong_hashes_are_found_out_and_the_true_ones_asked_of_others() {
    let village = Village::new().await;
    let file = long();
    let whole = file.clone();
    let _liar = Holder::of(&village, "mallory", &file, move || {
        let honest = honestly(&whole);
        Manner {
            blocks: honest.blocks,
            hashes: |_, mut hashes: Vec<[u8; 32]>| {
                hashes[0][0] ^= 1;
                hashes
            },
        }
    })
    .await;
    let _oak = village.peer("oak", &[("f", &file.bytes)]).await;
    let elm = village.peer("elm", &[]).await;
    elm.get_name("f").await.only_fetched();
    assert!(read(&elm.dir, "f") == *file.bytes);
}

#[tokio::test]
async fn whoever_says_nothing_after_its_handshake_is_not_waited_for() {
    let village = Village::new().await;
    let file = long();
    let _silent = Holder::of(&village, "mallory", &file, move || Manner {
        blocks: |_| Said::Nothing,
        hashes: |_, hashes| hashes,
    })
    .await;
    let _oak = village.peer("oak", &[("f", &file.bytes)]).await;
    let elm = village.peer("elm", &[]).await;
    let answer = elm.get_name("f").await;
    assert_eq!(answer.only_fetched().sources.len(), 1);
    assert!(read(&elm.dir, "f") == *file.bytes);
}

#[tokio::test]
async fn whoever_sends_ten_bytes_a_second_is_not_waited_for() {
    let village = Village::new().await;
    let file = long();
    let whole = file.clone();
    let _slow = Holder::of(&village, "mallory", &file, move || {
        let file = whole.clone();
        Manner {
            blocks: move |span: Span| Said::Dribble(file.span(span)),
            hashes: |_, hashes| hashes,
        }
    })
    .await;
    let _oak = village.peer("oak", &[("f", &file.bytes)]).await;
    let elm = village.peer("elm", &[]).await;
    let answer = elm.get_name("f").await;
    let from = answer.only_fetched().from.as_ref();
    assert_eq!(from.and_then(|from| from.name.as_deref()), Some("oak"));
    assert!(read(&elm.dir, "f") == *file.bytes);
}

#[tokio::test]
async fn a_member_that_is_removed_is_out_of_its_session_and_gets_no_other() {
    let village = Village::new().await;
    let file = long();
    let oak = village.peer("oak", &[("f", &file.bytes)]).await;
    let mallory = Mallory::join(&village, "mallory").await;
    let teller = Teller::dial(&mallory, &oak, file.content()).await;
    let mut teller = teller.expect("the file is there");
    let id = mallory.id().to_string();
    let tracker = village.common("hall", &[]).state;
    let removed = local::ask(&tracker, &Command::Remove { id }).await;
    answer(removed.expect("a tracker runs there")).await.done();
    while teller.next().await.is_some() {}
    let again = Teller::dial(&mallory, &oak, file.content()).await;
    assert!(again.is_none(), "a removed member was served");
}

#[tokio::test]
async fn a_disk_that_runs_full_ends_the_fetch_and_what_there_is_is_taken_up_when_there_is_room() {
    let village = Village::new().await;
    let files = [("f", bytes(1, LONG)), ("g", bytes(2, LONG))];
    let slices: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, bytes)| (*name, &**bytes))
        .collect();
    let _oak = village.peer("oak", &slices).await;
    let share = village.share_of("elm");
    // Each of them fits, and both do not.
    let Some(disk) = Disk::new(&share, "size=8m") else {
        return;
    };
    let elm = village.peer("elm", &[]).await;
    let answer = elm.get_name("*").await;
    assert!(answer.end.is_err(), "{:?}", answer.end);
    let full = answer.events.iter().any(|event| {
        matches!(event, Event::Failed { failure, .. } if failure.message.contains("disk is full"))
    });
    assert!(full, "{:?}", answer.events);
    disk.remount("size=32m");
    let again = elm.get_name("*").await.done();
    assert_eq!(again.fetched().len(), 2);
    let received: u64 = again.fetched().iter().map(|file| file.received).sum();
    assert!(received < 2 * LONG as u64, "{received}");
    for (name, bytes) in &files {
        assert!(read(&elm.dir, name) == *bytes, "{name}");
    }
    elm.stop().await;
}

/// A disk of its own, where this process may mount one.
struct Disk(PathBuf);

impl Disk {
    fn new(at: &Path, size: &str) -> Option<Self> {
        let mounted = Process::new("mount")
            .args(["-t", "tmpfs", "-o", size, "thorp-test"])
            .arg(at)
            .output();
        if mounted.is_ok_and(|mount| mount.status.success()) {
            return Some(Self(at.to_owned()));
        }
        let all = std::env::var_os("THORP_REQUIRE_ALL").is_some_and(|value| value == "1");
        assert!(!all, "THORP_REQUIRE_ALL=1, but no disk can be mounted");
        // Past the test runner's capture, so that it is seen when all is well.
        let line = "skipped: a_disk_that_runs_full: needs root, to mount a disk\n";
        let _ = std::io::stderr().write_all(line.as_bytes());
        None
    }

    fn remount(&self, size: &str) {
        let options = format!("remount,{size}");
        let mount = Process::new("mount")
            .args(["-o", &options])
            .arg(&self.0)
            .status();
        assert!(mount.expect("runs").success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: whoever shares it may not have ended yet.
        let _ = Process::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_served_gives_no_wrong_byte_and_is_listed_anew() {
    let village = Village::new().await;
    let file = long();
    let oak = village.peer("oak", &[("f", &file.bytes)]).await;
    let mallory = Mallory::join(&village, "mallory").await;
    let teller = Teller::dial(&mallory, &oak, file.content()).await;
    let mut teller = teller.expect("the file is there");
    teller.say(&Message::HaveNone).await;
    teller.say(&Message::Interested).await;
    let span = |piece| Span {
        piece,
        begin: 0,
        length: 16_384,
    };
    teller.say(&Message::Request(span(0))).await;
    let first = loop {
        if let (Message::Piece(of), bytes) = teller.next().await.expect("is open") {
            break (of, bytes);
        }
    };
    assert_eq!(first, (span(0), file.span(span(0))));
    // It is written to where it lies, and looks as long and as old as before.
    let path = oak.dir.join("f");
    let old = fs::metadata(&path).expect("is there").modified();
    let changed = bytes(8, LONG);
    fs::write(&path, &changed).expect("is written");
    let opened = fs::File::options().write(true).open(&path).expect("opens");
    opened.set_modified(old.expect("has a time")).expect("sets");
    teller.say(&Message::Request(span(1))).await;
    while let Some((message, bytes)) = teller.next().await {
        match message {
            Message::Piece(of) => panic!("{of:?}: {} bytes of another file", bytes.len()),
            Message::Reject(of) => {
                assert_eq!(of, span(1));
                break;
            }
            _ => {}
        }
    }
    // The listing is right again, and nobody is blamed.
    let elm = village.peer("elm", &[]).await;
    let root = File::new(changed.clone()).content().root.to_string();
    within("the new content to be listed", async {
        loop {
            let found = elm
                .ask(Command::Find {
                    pattern: "f".into(),
                })
                .await
                .done();
            if found
                .files()
                .iter()
                .any(|row| row.root.as_ref() == Some(&root))
            {
                return;
            }
        }
    })
    .await;
    elm.get_name("f").await.only_fetched();
    assert!(read(&elm.dir, "f") == changed);
}

#[tokio::test]
async fn a_disk_that_is_too_full_is_said_to_be_before_anything_is_fetched() {
    let village = Village::new().await;
    let mut mallory = Mallory::join(&village, "mallory").await;
    let mut entry = entry("f", b"much of it");
    entry.length = 15 << 40;
    let _wire = mallory.list(&village, vec![entry]).await;
    let elm = village.peer("elm", &[("mine", b"mine")]).await;
    let answer = elm.get_name("f").await;
    let failure = answer.failed(ErrorKind::Other);
    assert!(failure.message.contains("disk is full"), "{failure:?}");
    assert!(mallory.nobody_called());
    assert_eq!(files_in(&elm.dir).len(), 1, "nothing is left");
    // The peer lives on.
    let small = elm.ask(Command::Ls { peer: None }).await.done();
    assert_eq!(small.files().len(), 2);
}

#[tokio::test]
async fn a_request_that_is_given_up_leaves_its_part_and_the_next_one_takes_it_up() {
    let village = Village::new().await;
    let file = long();
    let sent = Arc::new(Mutex::new(0));
    let (halted, mut halting) = tokio::sync::watch::channel(false);
    let (whole, count) = (file.clone(), Arc::clone(&sent));
    let half = Holder::of(&village, "mallory", &file, move || {
        let (count, halted) = (Arc::clone(&count), halted.clone());
        let mut honest = honestly(&whole);
        Manner {
            // Two megabytes, and then nothing.
            blocks: move |span: Span| {
                let mut sent = count.lock().expect("counts");
                if *sent + span.length > 2 * 1024 * 1024 {
                    halted.send_replace(true);
                    return Said::Nothing;
                }
                *sent += span.length;
                (honest.blocks)(span)
            },
            hashes: |_, hashes| hashes,
        }
    })
    .await;
    let elm = village.peer("elm", &[]).await;
    let request = elm.running.peer.command(Command::Get(named("f")));
    let sent_half = halting.wait_for(|halted| *halted);
    within("half of it to be sent", sent_half)
        .await
        .expect("is sent");
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
    let holder = Holder::of_several(&village, "mallory", files.clone(), honestly).await;
    let elm = village.peer("elm", &[]).await;
    let answer = elm.get_name("dir/**").await.done();
    assert_eq!(answer.fetched().len(), files.len());
    for (name, file) in &files {
        assert!(read(&elm.dir, name) == *file.bytes, "{name}");
    }
    let calls = holder.calls.load(Ordering::Relaxed);
    assert!(calls <= 16, "{calls} connections");
}

#[tokio::test]
async fn two_that_fetch_the_same_file_help_each_other() {
    let village = Village::new().await;
    let file = long();
    let sent = Arc::new(Mutex::new(BTreeSet::new()));
    let (whole, once) = (file.clone(), Arc::clone(&sent));
    let _seed = Holder::of(&village, "mallory", &file, move || {
        let once = Arc::clone(&once);
        let mut honest = honestly(&whole);
        Manner {
            // No byte twice, whoever asks.
            blocks: move |span: Span| {
                if once.lock().expect("remembers").insert(span) {
                    (honest.blocks)(span)
                } else {
                    Said::Rejected
                }
            },
            hashes: |_, hashes| hashes,
        }
    })
    .await;
    let elm = village.peer("elm", &[]).await;
    let fir = village.peer("fir", &[]).await;
    let (first, second) = tokio::join!(elm.get_name("f"), fir.get_name("f"));
    for (villager, answer) in [(&elm, first), (&fir, second)] {
        answer.only_fetched();
        assert!(read(&villager.dir, "f") == *file.bytes);
    }
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

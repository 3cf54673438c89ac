//! Names that fill memory: a tracker's, and that of a peer whose user looks at all of them.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use thorp_node::net::dial::Expected;
use thorp_wire::frame::Update;
use thorp_wire::{Body, Entry, Frame};
use tokio::sync::watch;

use super::figures::{Figures, MIB, shown};
use super::scene::{Scene, play};
use crate::support::hostile::{Link, encoded, false_entry, listing};
use crate::support::process::{memory, poll};
use crate::support::village::{named, sharing};
use crate::support::{Hostile, Node};

/// What one member listed when it filled a tracker.
const NAMES: usize = 940_844;
/// 250 names of 4 KB are a frame.
const IN_A_FRAME: usize = 250;
/// What is arriving in parts may take 1 GiB; so a longer listing comes in steps.
const IN_A_STEP: usize = 100_000;
const LONG: Duration = Duration::from_mins(10);

/// A name as long as one may be.
fn long_name(number: usize) -> Entry {
    let part = format!("/{}", "x".repeat(255));
    let mut name = format!("{number:07}{}", part.repeat(15));
    name.push_str(&part[..4095 - name.len()]);
    false_entry(&name)
}

#[test]
#[ignore = "takes minutes and 6 GiB: for .ci/attacks"]
fn two_members_fill_a_tracker_with_long_names() {
    let test = "two_members_fill_a_tracker_with_long_names";
    let Some(scene) = Scene::new(test, 2) else {
        return;
    };
    let mut figures = Figures::of("two members with 940,844 names of 4 KB each");
    let (small, _) = memory(&scene.tracker);
    scene.before(&mut figures, 12);
    let filling = Arc::<Filling>::default();
    let (over, is_over) = watch::channel(());
    let at = scene.at;
    thread::scope(|threads| {
        for number in 0..2 {
            let (host, is_over) = (scene.attacker(number), is_over.clone());
            let filling = Arc::clone(&filling);
            threads.spawn(move || {
                host.run(|| {
                    play(is_over, async {
                        let member = Hostile::join(at, "mallory").await;
                        loop {
                            let link = member.link(at, Expected::Tracker, None).await;
                            if let Ok(link) = link {
                                fill(link, &filling).await;
                            }
                        }
                    })
                });
            });
        }
        let begun = Instant::now();
        poll("the tracker to be full", LONG, || {
            (filling.gave_way.load(Ordering::Relaxed) > 0).then_some(())
        });
        figures.usual(
            "until there is no more room, and one of them gives way",
            shown(begun.elapsed()),
        );
        let (full, _) = memory(&scene.tracker);
        assert!(full > 2048 * MIB, "it gave way at {} MiB", full / MIB);

        let elm = scene.village.node("elm").on(scene.fourth());
        for file in 0..30 {
            elm.file(&format!("of-elm/{file}"), format!("{file}"));
        }
        let begun = Instant::now();
        let _elm = elm.start_sharing(&at.to_string(), "[::]:3334");
        let visitor = &scene.visitor;
        let is_listed = |count| move || (found(visitor, "of-elm/*") == count).then_some(());
        poll("an honest newcomer's files", LONG, is_listed(30));
        figures.time(
            "until a newcomer's 30 files are listed",
            begun.elapsed(),
            Duration::from_secs(30),
        );
        let begun = Instant::now();
        for file in 30..90 {
            elm.file(&format!("of-elm/{file}"), format!("{file}"));
        }
        poll("what it adds", LONG, is_listed(90));
        figures.time(
            "until 60 that it adds are",
            begun.elapsed(),
            Duration::from_secs(30),
        );
        scene.meanwhile(&mut figures, "meanwhile", 20, Duration::from_secs(2));
        // For as long as it takes for a listing to be asked for again some times.
        let begun = Instant::now();
        let mut lost = 0;
        while begun.elapsed() < Duration::from_mins(1) {
            lost += usize::from(found(&scene.visitor, "of-elm/*") != 90);
        }
        figures.line(
            "looks within a minute at which its files were not there",
            lost,
            0,
            lost == 0,
        );
        let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
        figures.usual("names that were sent", count(&filling.sent));
        figures.usual("times that one of them gave way", count(&filling.gave_way));
        drop(over);
    });
    // 4 GiB of listings, 1 GiB of what arrives, and what goes with it.
    let (_, most) = memory(&scene.tracker);
    figures.mib("memory of the tracker, at most", most, 6144 * MIB);
    let begun = Instant::now();
    let (mut least, mut visits) = (u64::MAX, Vec::new());
    while begun.elapsed() < Duration::from_mins(1) && least > small + 64 * MIB {
        least = least.min(memory(&scene.tracker).0);
        visits.push(scene.visit().1);
    }
    let good = visits.iter().filter(|good| **good).count();
    figures.all(
        "visitors served while it forgets their names",
        good,
        visits.len(),
    );
    figures.mib(
        "memory of the tracker once they are gone",
        least,
        small + 256 * MIB,
    );
    figures.usual("after", shown(begun.elapsed()));
    figures.end();
}

/// How many files a visitor finds.
fn found(visitor: &Node, pattern: &str) -> usize {
    let (_, events) = visitor.json(&["find", pattern]);
    named(&events, "file").count()
}

/// What those that fill a tracker have come to.
#[derive(Default)]
struct Filling {
    /// Names.
    sent: AtomicUsize,
    /// How often a listing that was kept in part was kept no more.
    gave_way: AtomicUsize,
}

/// What a tracker has said of a listing last.
#[derive(Clone, Copy, Default)]
struct Told {
    /// How often it has asked for all of it.
    asked: u64,
    /// How far it has it.
    seq: Option<u64>,
    is_unlisted: bool,
}

/// Lists all the names step by step, says that they are few where they are not kept, and sends them
/// again when it is asked to.
async fn fill(link: Link, filling: &Filling) {
    let Link {
        mut reads,
        mut says,
    } = link;
    let (tells, mut told) = watch::channel(Told::default());
    let reading = async {
        while let Some(frame) = reads.next().await {
            if let Body::Ack(ack) = frame.body {
                tells.send_modify(|told| {
                    if told.seq.is_some() && ack.seq.is_none() {
                        filling.gave_way.fetch_add(1, Ordering::Relaxed);
                    }
                    told.asked += u64::from(ack.seq.is_none() && !ack.unlisted);
                    (told.seq, told.is_unlisted) = (ack.seq, ack.unlisted);
                });
            }
        }
    };
    let saying = async {
        loop {
            let asked = told.borrow_and_update().asked;
            let mut seq = 0;
            for first in (0..NAMES).step_by(IN_A_FRAME) {
                let is_first = first % IN_A_STEP == 0;
                let end = NAMES.min(first + IN_A_FRAME);
                let update = Update {
                    since: (seq > 0).then_some(seq),
                    first: is_first,
                    last: end == NAMES || end.is_multiple_of(IN_A_STEP),
                    added: (first..end).map(long_name).collect(),
                    ..Update::heartbeat(seq + 1)
                };
                let is_last = update.last;
                says.say(&encoded(&Frame::plain(update))).await?;
                filling.sent.fetch_add(end - first, Ordering::Relaxed);
                if !is_last {
                    continue;
                }
                seq += 1;
                // What is sent before the last step was taken has no room beside it.
                let is_over = |told: &Told| told.asked > asked || told.is_unlisted;
                let is_told = told.wait_for(|told| is_over(told) || told.seq >= Some(seq));
                if is_told.await.map_or(true, |told| is_over(&told)) {
                    break;
                }
            }
            while told.borrow().asked == asked {
                tokio::time::sleep(Duration::from_secs(2)).await;
                let alive = Update {
                    entries: Some(10),
                    bytes: Some(1000),
                    ..Update::heartbeat(seq)
                };
                says.say(&encoded(&Frame::plain(alive))).await?;
            }
        }
    };
    tokio::select! {
        ended = saying => { let _: std::io::Result<()> = ended; }
        () = reading => {}
    }
}

#[test]
#[ignore = "takes minutes: for .ci/attacks"]
fn a_list_of_200_000_long_names_is_looked_at() {
    const LISTED: usize = 200_000;
    let test = "a_list_of_200_000_long_names_is_looked_at";
    let Some(scene) = Scene::new(test, 1) else {
        return;
    };
    let mut figures = Figures::of("ls of 200,000 names of 4 KB");
    let elm = scene.village.node("elm").on(scene.fourth());
    elm.file("own", "own");
    let running = elm.start_sharing(&scene.at.to_string(), "[::]:3334");
    sharing(&running);
    let (small, _) = memory(&running);
    let (over, is_over) = watch::channel(());
    let at = scene.at;
    thread::scope(|threads| {
        let host = scene.attacker(0);
        threads.spawn(move || {
            host.run(|| {
                play(is_over, async {
                    let member = Hostile::join(at, "mallory").await;
                    let link = member.link(at, Expected::Tracker, None).await.unwrap();
                    let frames = listing(LISTED, IN_A_FRAME, long_name);
                    link.keep_saying(frames).await.unwrap();
                })
            });
        });
        poll("the names to be listed", LONG, || {
            let entries = scene.tracker_node.tracker_status()["entries"].as_u64();
            (entries >= Some(LISTED as u64)).then_some(())
        });
        for verb in [["ls", "--json"], ["find", "--json"]] {
            let mut command = elm.thorp(&verb);
            if verb[0] == "find" {
                command.arg("**");
            }
            let begun = Instant::now();
            let mut command = command.stdout(Stdio::piped()).spawn().unwrap();
            let rows = BufReader::new(command.stdout.take().unwrap()).lines();
            let rows = rows.map_while(Result::ok);
            let rows = rows
                .filter(|row| row.contains("\"event\":\"file\""))
                .count();
            assert!(command.wait().unwrap().success());
            // Theirs, oak's and its own.
            figures.all(&format!("names shown by {}", verb[0]), rows, LISTED + 2);
            figures.usual("it took", shown(begun.elapsed()));
        }
        drop(over);
    });
    let (_, most) = memory(&running);
    figures.mib("memory of the peer, at most", most, small + 128 * MIB);
    figures.end();
}

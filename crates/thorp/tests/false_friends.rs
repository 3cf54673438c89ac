//! Members that use what every member may do, as often as they can: come and go, ask for a listing
//! or a block and take it back, tell of records, list names that no disk takes. Others are served
//! meanwhile, and memory stays under a bound that each test states.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use thorp_node::net::dial::{self, Expected};
use thorp_wire::frame::{Ack, GroupRecord, Query, Record, SignedRecord, Update};
use thorp_wire::session::{Message, Span};
use thorp_wire::{Content, Entry, Frame, PeerId, RequestId, merkle};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::support::hostile::{Link, encoded, false_entry, find, hello};
use crate::support::process::{memory, poll};
use crate::support::village::{named, sharing};
use crate::support::{Hostile, PATIENCE, Running, Village};

const MIB: u64 = 1024 * 1024;
/// How long an attack is played.
const ATTACK: Duration = Duration::from_secs(4);

/// An open group's tracker, and a peer that shares a large file and some small ones.
struct Scene {
    village: Village,
    tracker: Running,
    oak: Running,
    at: SocketAddr,
    oak_at: SocketAddr,
    oak_id: PeerId,
    long: Vec<u8>,
}

impl Scene {
    fn new() -> Self {
        let village = Village::new();
        let (tracker, at) = village.tracker();
        let node = village.node("oak");
        let long: Vec<u8> = (0..2 * MIB / 8).flat_map(u64::to_be_bytes).collect();
        node.file("long", &long);
        for number in 0..300 {
            node.file(&format!("small/{number}"), format!("{number}"));
        }
        let oak = node.start_sharing(&at, "127.0.0.1:0");
        let oak_at = sharing(&oak).parse().unwrap();
        node.all_hashed(301);
        let scene = Self {
            village,
            tracker,
            oak,
            at: at.parse().unwrap(),
            oak_at,
            oak_id: node.id(),
            long,
        };
        scene.newcomer_is_served("first");
        scene
    }

    /// A machine that is no member yet joins, asks and fetches. Returns how long that took.
    fn newcomer_is_served(&self, name: &str) -> Duration {
        let newcomer = self.village.node(name);
        let begun = Instant::now();
        let tracker = self.at.to_string();
        newcomer
            .run(&["get", "long", "small/7", "--tracker", &tracker])
            .exits(0);
        assert!(newcomer.bytes("long") == self.long, "{name}");
        assert_eq!(newcomer.bytes("small/7"), b"7");
        begun.elapsed()
    }

    /// The doors at which a member may be a nuisance.
    fn doors(&self) -> [(SocketAddr, Expected); 2] {
        [
            (self.at, Expected::Tracker),
            (self.oak_at, Expected::Peer(self.oak_id)),
        ]
    }

    /// Plays an attack, while newcomers are served, and asserts that nobody took more memory than
    /// this.
    fn under<A>(&self, bound: u64, attack: impl Fn(Hostile, Arc<AtomicUsize>) -> A)
    where
        A: Future<Output = ()> + Send + 'static,
    {
        const MEMBERS: usize = 4;
        let before = [&self.tracker, &self.oak].map(|node| memory(node).0);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let done = Arc::<AtomicUsize>::default();
        let members = runtime.block_on(async {
            let mut members = Vec::new();
            for _ in 0..MEMBERS {
                members.push(Hostile::join(self.at, "mallory").await);
            }
            members
        });
        let mut attacks = JoinSet::new();
        for member in members {
            let attack = attack(member, Arc::clone(&done));
            let attack = async move { tokio::time::timeout(ATTACK, attack).await };
            attacks.spawn_on(attack, runtime.handle());
        }
        let ends = runtime.spawn(attacks.join_all());
        let (mut served, mut slowest) = (0, Duration::ZERO);
        while !ends.is_finished() {
            served += 1;
            slowest = slowest.max(self.newcomer_is_served(&format!("newcomer-{served}")));
        }
        runtime.block_on(ends).unwrap();
        let done = done.load(Ordering::Relaxed);
        eprintln!("{done} times; {served} newcomers served, the slowest in {slowest:?}");
        assert!(done > 10, "it was no attack");
        self.newcomer_is_served("last");
        for (node, before) in [&self.tracker, &self.oak].into_iter().zip(before) {
            let most = memory(node).1;
            assert!(most < before + bound, "{} MiB", (most - before) / MIB);
        }
    }
}

/// Files that nobody has.
fn entries(count: usize) -> Vec<Entry> {
    (0..count)
        .map(|n| false_entry(&format!("false/{n}")))
        .collect()
}

#[test]
fn members_that_come_list_and_go_without_end_keep_nobody_out() {
    let scene = Scene::new();
    let doors = scene.doors();
    let listing = encoded(&Frame::plain(Update {
        since: None,
        added: entries(1000),
        ..Update::heartbeat(1)
    }));
    scene.under(64 * MIB, |member, done| {
        let listing = listing.clone();
        async move {
            for (at, expected) in doors.into_iter().cycle() {
                let Ok(mut link) = member.link(at, expected, Some(1)).await else {
                    continue;
                };
                // It goes in the middle of things: without a goodbye.
                if link.say(&listing).await.is_ok() && link.reads.next().await.is_some() {
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    });
}

#[test]
fn members_that_lose_their_copies_of_a_listing_without_end_are_sent_it_once_a_second() {
    let scene = Scene::new();
    let (at, expected) = scene.doors()[1];
    let sent = Arc::<AtomicUsize>::default();
    let again = encoded(&Frame::plain(Ack {
        seq: None,
        interval: None,
        unlisted: false,
        record: None,
    }));
    let names: Vec<String> = (0..256).map(|n| format!("small/{n}")).collect();
    scene.under(64 * MIB, |member, done| {
        let (again, names, sent) = (again.clone(), names.clone(), Arc::clone(&sent));
        async move {
            let link = member.link(at, expected, Some(1)).await;
            let Link {
                mut reads,
                mut says,
            } = link.expect("is a member");
            let asking = async {
                for number in 0.. {
                    let mut question = find(Query::Names(names.clone()));
                    question.hash_now = true;
                    let question = Frame::with_request(RequestId(number), question);
                    for frame in [&again, &encoded(&question)] {
                        if says.say(frame).await.is_err() {
                            return;
                        }
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            let reading = async {
                while let Some(frame) = reads.next().await {
                    if let thorp_wire::Body::Update(update) = frame.body {
                        let is_whole = update.since.is_none() && update.last;
                        sent.fetch_add(usize::from(is_whole), Ordering::Relaxed);
                    }
                }
            };
            tokio::join!(asking, reading);
        }
    });
    let sent = sent.load(Ordering::Relaxed);
    assert!(sent <= 4 * 6, "the listing was sent {sent} times");
}

#[test]
fn members_that_tell_of_false_records_without_end_keep_nobody_out_and_remove_nobody() {
    let scene = Scene::new();
    let doors = scene.doors();
    // Old and new ones; those that would remove the most members are as long as a frame may be.
    let record = |number, removed: usize| {
        let key = |n: usize| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&n.to_be_bytes());
            PeerId::new(key)
        };
        let record = GroupRecord {
            number,
            open: true,
            bittorrent: true,
            removed: (1..=removed).map(key).collect(),
        };
        let record = SignedRecord::sign(record, |_| Some([7; 64]));
        let record = record.expect("is within bounds").expect("is signed");
        encoded(&Frame::plain(Record { record }))
    };
    let records = [record(1, 0), record(1, 30_000), record(1 << 40, 30_000)];
    scene.under(96 * MIB, |member, done| {
        let records = records.clone();
        async move {
            for (round, (at, expected)) in doors.into_iter().cycle().enumerate() {
                let connected = dial::dial(&[at], expected, &member.tls, None).await;
                let Ok(connected) = connected else { continue };
                let mut link = Link::new(connected.stream);
                // With a hello first, and without.
                if round % 4 < 2 {
                    _ = link.say(&encoded(&Frame::plain(hello(None)))).await;
                }
                for _ in 0..3 {
                    if link.say(&records[round % 3]).await.is_err() {
                        break;
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    });
    let (_, status) = scene.village.node("oak").json(&["status"]);
    assert!(
        status[0]["tracker"].is_object() || status[0]["tracker"].is_string(),
        "{status:#?}"
    );
}

#[test]
fn members_that_ask_for_blocks_and_take_it_back_without_end_slow_nobody_down() {
    let scene = Scene::new();
    let content = merkle::content_of(&scene.long);
    let at = (scene.oak_at, scene.oak_id);
    scene.under(64 * MIB, |member, done| async move {
        loop {
            _ = ask_and_cancel(&member, at, content, &done).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

/// Asks for every block and takes it back, until the other end has had enough.
async fn ask_and_cancel(
    member: &Hostile,
    at: (SocketAddr, PeerId),
    content: Content,
    done: &AtomicUsize,
) -> std::io::Result<()> {
    let stream = member.session(at, content).await?;
    let (mut reads, mut says) = tokio::io::split(stream);
    let spans = (0..8).flat_map(|piece| {
        (0..16).map(move |leaf| Span {
            piece,
            begin: leaf * 16 * 1024,
            length: 16 * 1024,
        })
    });
    let mut storm = Vec::new();
    for span in spans {
        Message::Request(span).encode(&mut storm);
        Message::Cancel(span).encode(&mut storm);
    }
    for message in [
        Message::NotInterested,
        Message::Interested,
        Message::KeepAlive,
    ] {
        message.encode(&mut storm);
    }
    let storming = async {
        loop {
            says.write_all(&storm).await?;
            says.flush().await?;
            done.fetch_add(1, Ordering::Relaxed);
        }
    };
    let reading = async {
        let mut buffer = vec![0; 256 * 1024];
        while !matches!(reads.read(&mut buffer).await, Ok(0) | Err(_)) {}
        Ok(())
    };
    tokio::select! {
        ended = storming => ended,
        ended = reading => ended,
    }
}

#[test]
fn names_that_no_disk_takes_are_told_and_everything_else_comes() {
    let scene = Scene::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let deep = |folder: &str, times: usize| format!("{}f", format!("{folder}/").repeat(times));
    // What is empty is made without asking for it.
    let names = [
        deep("d", 2047),
        deep(&"e".repeat(255), 15),
        deep("g", 1000),
        "x".to_owned(),
        "x/y".to_owned(),
        "x/y/z".to_owned(),
        "odd\u{202e}gnp".to_owned(),
        "-rf".to_owned(),
        "--help".to_owned(),
        "~".to_owned(),
        "$HOME".to_owned(),
        "*".to_owned(),
        "CON".to_owned(),
        " ".to_owned(),
        "tail ".to_owned(),
        "dot.".to_owned(),
    ];
    let listing: Vec<Entry> = names
        .iter()
        .filter_map(|name| {
            Some(Entry {
                name: name.parse().ok()?,
                length: 0,
                root: Some(Content::EMPTY.root),
                ..false_entry("a")
            })
        })
        .collect();
    let listed = listing.len();
    assert!(listed > 10, "{listed} names may be listed");
    let _mallory = runtime.block_on(async {
        let mallory = Hostile::join(scene.at, "mallory").await;
        let link = mallory.link(scene.at, Expected::Tracker, Some(1)).await;
        let mut link = link.unwrap();
        let update = Update {
            since: None,
            added: listing,
            ..Update::heartbeat(1)
        };
        link.say(&encoded(&Frame::plain(update))).await.unwrap();
        link
    });
    let visitor = scene.village.node("visitor");
    let tracker = scene.at.to_string();
    poll("the names to be listed", PATIENCE, || {
        let (_, events) = visitor.json(&["find", "*", "--tracker", &tracker]);
        (named(&events, "file").count() >= listed + 301).then_some(())
    });
    let end = visitor.run(&["get", "*", "--tracker", &tracker]);
    eprintln!("{end}");
    // A folder has the name of a file that came first.
    assert_eq!(end.code, Some(4), "{end}");
    assert!(visitor.bytes("long") == scene.long);
    assert_eq!(
        fs::read_dir(visitor.share().join("small")).unwrap().count(),
        300
    );
    // What came is listed and watched like everything else, and goes with it.
    let running = visitor.start_sharing(&tracker, "127.0.0.1:0");
    sharing(&running);
    visitor.run(&["find", "--helpful"]);
    let (code, _) = visitor.json(&["ls"]);
    assert_eq!(code, Some(0));
    visitor.run(&["stop"]).exits(0);
    running.finish(PATIENCE).exits(0);
    fs::remove_dir_all(visitor.share()).expect("it can be removed again");
}

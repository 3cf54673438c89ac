//! Floods against the real program in its own process: members are served
//! meanwhile, and memory stays under a bound that each test states.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use thorp_node::net::dial::Expected;
use thorp_wire::frame::{Get, Leave, PREFIX, Query, Update};
use thorp_wire::{Content, Entry, Frame, RequestId, Root};

use crate::support::hostile::{Link, find};
use crate::support::process::memory;
use crate::support::{Hostile, Node, PATIENCE, Running, Village, skip, uninterrupted};

const MIB: u64 = 1024 * 1024;

/// An open group's tracker, and a peer that shares one file.
struct Scene {
    village: Village,
    tracker: Running,
    oak: Running,
    at: SocketAddr,
    oak_at: SocketAddr,
}

impl Scene {
    fn new() -> Self {
        let village = Village::new();
        let (tracker, at) = village.tracker();
        let oak = village.node("oak");
        oak.file("honest", "honest bytes");
        let oak = oak.start_sharing(&at, "127.0.0.1:0");
        let oak_at = crate::support::village::sharing(&oak);
        let scene = Self {
            village,
            tracker,
            oak,
            at: at.parse().unwrap(),
            oak_at: oak_at.parse().unwrap(),
        };
        scene.newcomer_is_served("first");
        scene
    }

    /// A machine that is no member yet joins, asks and fetches.
    fn newcomer_is_served(&self, name: &str) {
        let newcomer: Node = self.village.node(name);
        newcomer
            .run(&["get", "honest", "--tracker", &self.at.to_string()])
            .exits(0);
        assert_eq!(newcomer.bytes("honest"), b"honest bytes");
    }
}

/// Asserts that a process never kept more than so much on top of what it had before.
#[track_caller]
fn assert_bounded(process: &Running, before: u64, bound: u64) {
    let (now, most) = memory(process);
    eprintln!(
        "{}: {} MiB before, {} MiB at most, {} MiB now",
        process.name(),
        before / MIB,
        most / MIB,
        now / MIB
    );
    assert!(most <= before + bound, "{}", process.name());
}

/// Waits until the other side has hung up.
fn hung_up(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    match uninterrupted(|| stream.read(&mut [0])) {
        Ok(0) => {}
        Err(why) if why.kind() == std::io::ErrorKind::ConnectionReset => {}
        other => panic!("it is still there: {other:?}"),
    }
}

#[test]
fn ten_thousand_that_say_nothing_are_cut_off_and_members_get_in() {
    const SILENT: u64 = 10_000;
    const BOUND: u64 = 48 * MIB;
    thorp_node::net::descriptors::raise();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    if limit.current.is_some_and(|limit| limit < SILENT + 500) {
        let test = "ten_thousand_that_say_nothing_are_cut_off_and_members_get_in";
        return skip(test, "more than 10,500 open files (ulimit -Hn)");
    }
    let scene = Scene::new();
    let (before, _) = memory(&scene.tracker);
    let mut silent = Vec::new();
    for number in 1..=SILENT {
        silent.push(TcpStream::connect(scene.at).unwrap());
        if number % 5000 == 0 {
            scene.newcomer_is_served(&format!("newcomer-{number}"));
        }
    }
    // All, those who are still within their time too.
    for stream in &mut silent {
        hung_up(stream);
    }
    scene.newcomer_is_served("last");
    assert_bounded(&scene.tracker, before, BOUND);
}

#[test]
fn a_hundred_that_send_a_byte_a_second_do_not_live_on_it() {
    const BOUND: u64 = 16 * MIB;
    let scene = Scene::new();
    let before = [&scene.tracker, &scene.oak].map(|node| memory(node).0);
    // A hello that is true as far as it goes.
    let hello: Vec<u8> = [22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3]
        .into_iter()
        .chain([7; 64])
        .collect();
    let mut slow: Vec<TcpStream> = [scene.at, scene.oak_at]
        .into_iter()
        .flat_map(|at| (0..50).map(move |_| TcpStream::connect(at).unwrap()))
        .collect();
    let over = AtomicBool::new(false);
    thread::scope(|threads| {
        let writers: Vec<_> = slow
            .iter()
            .map(|stream| stream.try_clone().unwrap())
            .collect();
        let (hello, over) = (&hello, &over);
        threads.spawn(move || {
            // The rhythm is the attack; nothing is waited for.
            for byte in hello {
                for mut stream in &writers {
                    _ = stream.write_all(&[*byte]);
                }
                if over.load(Ordering::Relaxed) {
                    return;
                }
                thread::sleep(Duration::from_secs(1));
            }
        });
        scene.newcomer_is_served("meanwhile");
        for stream in &mut slow {
            hung_up(stream);
        }
        over.store(true, Ordering::Relaxed);
    });
    scene.newcomer_is_served("last");
    for (node, before) in [&scene.tracker, &scene.oak].into_iter().zip(before) {
        assert_bounded(node, before, BOUND);
    }
}

/// What a member may shout, again and again.
fn shouts() -> [(&'static str, Vec<u8>); 5] {
    let encoded = |frames: Vec<Frame>| {
        let mut bytes = Vec::new();
        for frame in frames {
            frame.encode(&mut bytes).unwrap();
        }
        bytes
    };
    let ask = |query: Query| {
        let frame = |id| Frame::with_request(RequestId(id), find(query.clone()));
        encoded((0..100).map(frame).collect())
    };
    let names = (0..256).map(|n| format!("name {n}")).collect();
    let entry = |n: u32| Entry {
        name: format!("{n}").parse().unwrap(),
        length: 1,
        mtime: 0,
        root: Some(Root::new([7; 32])),
        partial: false,
        nanos: 0,
        executable: false,
        v1: None,
    };
    // Whole listings, one after another, as long as a frame may be.
    let listing = Update {
        since: None,
        added: (0..12_000).map(entry).collect(),
        ..Update::heartbeat(1)
    };
    let content = Content {
        length: 9,
        root: Root::new([9; 32]),
    };
    let get = |id| Frame::with_request(RequestId(id), Get { content });
    // A map with the type 999 and a request: of a later version.
    let unknown = [0, 0, 0, 7, 0xa2, 0, 0x19, 0x03, 0xe7, 1, 5];
    assert_eq!(unknown.len(), PREFIX + 7);
    [
        ("unknown frames", unknown.repeat(1000)),
        ("patterns", ask(Query::Pattern("*a*b*c*".to_owned()))),
        ("names", ask(Query::Names(names))),
        ("listings", encoded(vec![Frame::plain(listing)])),
        ("files", encoded((0..1000).map(get).collect())),
    ]
}

#[test]
fn a_member_that_sends_as_fast_as_it_can_is_one_among_many() {
    /// What waits may take 64 MiB; the rest is what goes with it.
    const BOUND: u64 = 96 * MIB;
    let scene = Scene::new();
    let before = [&scene.tracker, &scene.oak].map(|node| memory(node).0);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let oak_id = scene.village.node("oak").id();
    let shouting = runtime.spawn({
        let (tracker, oak) = (scene.at, scene.oak_at);
        async move {
            let loud = Loud::join(tracker).await;
            for (kind, bytes) in shouts() {
                let to_tracker = loud.shout(tracker, Expected::Tracker, &bytes);
                let to_oak = loud.shout(oak, Expected::Peer(oak_id), &bytes);
                let (one, other) = tokio::join!(to_tracker, to_oak);
                eprintln!("{kind}: {one:?} to the tracker, {other:?} to oak");
                assert!(one.bytes > 0 && other.bytes > 0, "{kind}");
            }
        }
    });
    let mut served = 0;
    while !shouting.is_finished() {
        served += 1;
        scene.newcomer_is_served(&format!("newcomer-{served}"));
    }
    runtime.block_on(shouting).unwrap();
    eprintln!("{served} newcomers were served meanwhile");
    scene.newcomer_is_served("last");
    for (node, before) in [&scene.tracker, &scene.oak].into_iter().zip(before) {
        assert_bounded(node, before, BOUND);
    }
}

#[test]
fn newcomers_that_come_behind_a_crowd_are_told_to_wait_and_come_in() {
    const TURNS: &str = "waits for its turn";
    let scene = Scene::new();
    let at = scene.at.to_string();
    let invite = scene
        .village
        .node("tracker")
        .run(&["invite"])
        .exits(0)
        .stdout;
    let crowd = tokio::runtime::Runtime::new().unwrap();
    for _ in 0..8 {
        let at = scene.at;
        crowd.spawn(async move {
            loop {
                _ = Hostile::join_now(at).await;
            }
        });
    }
    // Who has an invite, and who has none. One may slip in between two of the crowd.
    let kinds: [&[&str]; 2] = [&["join", "-"], &["ls", "--tracker", &at]];
    let mut waiting = Vec::new();
    for (kind, args) in kinds.into_iter().enumerate() {
        for number in 0.. {
            let newcomer = scene.village.node(&format!("newcomer-{kind}-{number}"));
            let running = newcomer.start_reading(&invite, args);
            if running.says_or_ends(TURNS) {
                waiting.push(running);
                break;
            }
            running.finish(PATIENCE).exits(0);
        }
    }
    drop(crowd);
    for running in waiting {
        running.finish(PATIENCE).exits(0);
    }
}

#[test]
fn what_a_member_says_makes_no_false_line_in_a_log() {
    let village = Village::new();
    let (_tracker, at) = village.tracker();
    let oak = village.node("oak");
    let running = oak.start(&[
        "share",
        "-vvv",
        "--lines",
        "--tracker",
        &at,
        "--listen",
        "127.0.0.1:0",
    ]);
    let oak_at: SocketAddr = crate::support::village::sharing(&running).parse().unwrap();
    let oak_id = oak.id();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let loud = Loud::join(at.parse().unwrap()).await;
        let mut goodbye = Vec::new();
        let leave = Leave {
            reason: "bye\nthorp: your disk is full\r\x1b[2J".into(),
        };
        Frame::plain(leave).encode(&mut goodbye).unwrap();
        loud.shout(oak_at, Expected::Peer(oak_id), &goodbye).await;
    });
    running.wait_for_line("the goodbye in the log", |line| {
        line.contains("it left: bye")
    });
    let transcript = running.transcript();
    assert!(
        !transcript.contains(|c: char| c.is_control() && c != '\n'),
        "{transcript:?}"
    );
    let false_lines = |line: &&str| {
        line.trim_start_matches(|c: char| !c.is_alphabetic())
            .starts_with("thorp: ")
    };
    assert_eq!(transcript.lines().find(false_lines), None, "{transcript}");
    oak.run(&["stop"]).exits(0);
    running.finish(PATIENCE).exits(0);
}

/// A member with a real certificate, and no manners.
struct Loud(Hostile);

impl Loud {
    async fn join(tracker: SocketAddr) -> Self {
        Self(Hostile::join(tracker, "loud").await)
    }

    /// Shouts for a second, and comes back whenever it is hung up on. What is
    /// answered is read and thrown away: a member that does not read is cut off sooner.
    async fn shout(&self, at: SocketAddr, expected: Expected, bytes: &[u8]) -> Shouted {
        let mut shouted = Shouted::default();
        let again_and_again = async {
            loop {
                // A door that is shut for the moment is tried again.
                if let Ok(link) = self.0.link(at, expected, Some(1)).await {
                    shouted.links += 1;
                    // It ends by being hung up on.
                    let _ = shout_on(link, bytes, &mut shouted.bytes).await;
                }
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), again_and_again).await;
        shouted
    }
}

/// What got out.
#[derive(Debug, Default)]
struct Shouted {
    links: usize,
    bytes: usize,
}

async fn shout_on(link: Link, bytes: &[u8], shouted: &mut usize) -> std::io::Result<()> {
    let Link { reads, mut says } = link;
    let writing = async {
        let mut at = 0;
        loop {
            let written = says.begin_to_say(&bytes[at..]).await?;
            *shouted += written;
            at = (at + written) % bytes.len();
        }
    };
    tokio::select! {
        ended = writing => ended,
        () = reads.until_closed() => Ok(()),
    }
}

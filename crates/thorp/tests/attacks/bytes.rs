//! Places for sessions that are held, and contents that are asked for and not read.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use thorp_node::net::dial::Expected;
use thorp_wire::frame::Get;
use thorp_wire::layout::Layout;
use thorp_wire::session::handshake::HANDSHAKE;
use thorp_wire::session::message::LONGEST_REQUEST;
use thorp_wire::session::{Handshake, Head, Message, MessageLimits, Span};
use thorp_wire::{Content, Frame, PeerId, RequestId, merkle};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::figures::{Figures, MIB, median, shown};
use super::scene::play;
use crate::support::hostile::encoded;
use crate::support::process::{memory, poll};
use crate::support::village::sharing;
use crate::support::{Hostile, Node, Running, Village};

/// A tracker, and `oak` with a file, on this host: each member is an account.
struct Ground {
    village: Village,
    _tracker: Running,
    oak: Running,
    at: SocketAddr,
    oak_at: SocketAddr,
    oak_id: PeerId,
    content: Content,
}

impl Ground {
    fn new(bytes: &[u8], others: &[Vec<u8>]) -> Self {
        let village = Village::new();
        let (tracker, at) = village.tracker();
        let node = village.node("oak");
        node.file("honest", bytes);
        for (number, bytes) in others.iter().enumerate() {
            node.file(&format!("other/{number}"), bytes);
        }
        let oak = node.start_sharing(&at, "127.0.0.1:0");
        let oak_at = sharing(&oak).parse().unwrap();
        node.all_hashed(1 + others.len());
        Self {
            village,
            _tracker: tracker,
            oak,
            at: at.parse().unwrap(),
            oak_at,
            oak_id: node.id(),
            content: merkle::content_of(bytes),
        }
    }

    async fn members(&self, count: usize) -> Vec<Hostile> {
        let mut members = Vec::new();
        for _ in 0..count {
            members.push(Hostile::join(self.at, "mallory").await);
        }
        members
    }

    /// A visitor fetches the file: how long that takes, and whether it is right.
    fn visit(&self, visitor: &Node, bytes: &[u8]) -> (Duration, bool) {
        let file = visitor.share().join("honest");
        _ = fs::remove_file(&file);
        let begun = Instant::now();
        let tracker = self.at.to_string();
        let get = ["get", "honest", "--tracker", &tracker];
        let end = visitor.run_for(Duration::from_mins(2), &get);
        let took = begun.elapsed();
        let is_right = fs::read(file).is_ok_and(|there| there == bytes);
        if !is_right {
            eprintln!("a visitor was not served: {end}");
        }
        (took, end.code == Some(0) && is_right)
    }
}

#[test]
#[ignore = "takes minutes: for .ci/attacks"]
fn seventeen_members_hold_all_places_for_sessions() {
    const MEMBERS: usize = 17;
    // A member has one session for each file, and sixteen in all.
    const FILES: u64 = 16;
    let mut figures =
        Figures::of("17 members with 16 sessions each that ask for 16 KiB every 15 s");
    let long = |number: u64| -> Vec<u8> {
        let numbers = number << 32..(number << 32) + 2 * MIB;
        numbers.flat_map(u64::to_be_bytes).collect()
    };
    let bytes = long(0);
    let others: Vec<_> = (1..FILES).map(long).collect();
    let ground = Ground::new(&bytes, &others);
    let others = others.iter().map(|bytes| merkle::content_of(bytes));
    let contents: Vec<Content> = others.chain([ground.content]).collect();
    let visitor = ground.village.node("visitor");
    let usual: Vec<_> = (0..5).map(|_| ground.visit(&visitor, &bytes).0).collect();
    figures.usual("a get of 16 MiB before", shown(median(&usual)));
    let (over, is_over) = watch::channel(());
    let held = Arc::<AtomicUsize>::default();
    let served = Arc::<AtomicUsize>::default();
    thread::scope(|threads| {
        let (ground, held, served) = (&ground, &held, &served);
        threads.spawn(move || {
            play(is_over, async move {
                let mut sessions = JoinSet::new();
                for member in ground.members(MEMBERS).await {
                    for content in contents.clone() {
                        let member = member.clone();
                        let (at, id) = (ground.oak_at, ground.oak_id);
                        let (held, served) = (Arc::clone(held), Arc::clone(served));
                        sessions.spawn(async move {
                            loop {
                                hold(&member, (at, id), content, (&held, &served)).await;
                                tokio::time::sleep(Duration::from_millis(200)).await;
                            }
                        });
                    }
                }
                sessions.join_all().await;
            })
        });
        poll("all places to be held", Duration::from_mins(1), || {
            (held.load(Ordering::Relaxed) >= 240).then_some(())
        });
        figures.usual("places held", held.load(Ordering::Relaxed));
        let mut visits = Vec::new();
        let begun = Instant::now();
        // For longer than the fifteen seconds.
        while visits.len() < 5 || begun.elapsed() < Duration::from_secs(40) {
            visits.push(ground.visit(&visitor, &bytes));
        }
        let good = visits.iter().filter(|(_, good)| *good).count();
        figures.all("honest gets that came to their end", good, visits.len());
        let times: Vec<_> = visits.iter().map(|(time, _)| *time).collect();
        figures.time("such a get, median", median(&times), Duration::from_secs(5));
        let slowest = times.iter().max().copied().unwrap();
        figures.time("the slowest", slowest, Duration::from_secs(20));
        figures.usual(
            "blocks that were served to the attackers",
            served.load(Ordering::Relaxed),
        );
        drop(over);
    });
    figures.end();
}

/// Holds a place, and asks for as little as keeps it.
pub async fn hold(
    member: &Hostile,
    at: (SocketAddr, PeerId),
    content: Content,
    (held, served): (&AtomicUsize, &AtomicUsize),
) -> Option<()> {
    let mut stream = member.session(at, content).await.ok()?;
    let mut greeting = [0; HANDSHAKE];
    stream.read_exact(&mut greeting).await.ok()?;
    // One that has no place names no file.
    Handshake::decode(&greeting)
        .ok()
        .filter(|said| said.name != [0; 20])?;
    let limits = MessageLimits::of(Layout::of(content.length), LONGEST_REQUEST)?;
    held.fetch_add(1, Ordering::Relaxed);
    let mut buffer = Vec::new();
    let mut next = tokio::time::interval(Duration::from_secs(15));
    let mut piece = 0;
    let ended = async {
        loop {
            tokio::select! {
                _ = next.tick() => {
                    piece = (piece + 1) % 60;
                    let span = Span { piece, begin: 0, length: 16 * 1024 };
                    let mut bytes = Vec::new();
                    Message::Request(span).encode(&mut bytes);
                    stream.write_all(&bytes).await.ok()?;
                    stream.flush().await.ok()?;
                }
                read = stream.read_buf(&mut buffer) => {
                    if matches!(read, Ok(0) | Err(_)) {
                        return None::<()>;
                    }
                    while let Some(head) = Head::parse(&buffer, limits).ok()? {
                        let length = match head {
                            Head::Handshake => return None,
                            Head::KeepAlive => 0,
                            Head::Piece(span) => {
                                served.fetch_add(1, Ordering::Relaxed);
                                span.length as usize
                            }
                            Head::Message(length) => length,
                        };
                        let whole = head.length() + length;
                        while buffer.len() < whole {
                            if matches!(stream.read_buf(&mut buffer).await, Ok(0) | Err(_)) {
                                return None;
                            }
                        }
                        buffer.drain(..whole);
                    }
                }
            }
        }
    }
    .await;
    held.fetch_sub(1, Ordering::Relaxed);
    ended
}

#[test]
#[ignore = "takes minutes: for .ci/attacks"]
fn a_hundred_members_ask_for_contents_and_read_none() {
    const MEMBERS: usize = 100;
    const UNREAD: u32 = 64;
    let mut figures = Figures::of("100 members with 64 unread Gets of 256 KiB each");
    let bytes = vec![7; 256 * 1024];
    let ground = Ground::new(&bytes, &[]);
    let visitor = ground.village.node("visitor");
    let usual: Vec<_> = (0..12).map(|_| ground.visit(&visitor, &bytes).0).collect();
    figures.usual("a get of it before", shown(median(&usual)));
    let (small, _) = memory(&ground.oak);
    let (over, is_over) = watch::channel(());
    let asked = Arc::<AtomicUsize>::default();
    let cut_off = Arc::<AtomicUsize>::default();
    thread::scope(|threads| {
        let (ground, asked, cut_off) = (&ground, &asked, &cut_off);
        threads.spawn(move || {
            play(is_over, async move {
                let mut links = JoinSet::new();
                for member in ground.members(MEMBERS).await {
                    let (at, id, content) = (ground.oak_at, ground.oak_id, ground.content);
                    let (asked, cut_off) = (Arc::clone(asked), Arc::clone(cut_off));
                    links.spawn(async move {
                        loop {
                            let peer = Expected::Peer(id);
                            let Ok(mut link) = member.link(at, peer, None).await else {
                                continue;
                            };
                            let get = |n| Frame::with_request(RequestId(n), Get { content });
                            let gets: Vec<u8> =
                                (0..UNREAD).flat_map(|n| encoded(&get(n))).collect();
                            if link.say(&gets).await.is_ok() {
                                asked.fetch_add(UNREAD as usize, Ordering::Relaxed);
                            }
                            // Nothing is read; it says that it is there until it is cut off.
                            let alive = thorp_wire::frame::Update::heartbeat(1);
                            let alive = encoded(&Frame::plain(alive));
                            while link.say(&alive).await.is_ok() {
                                tokio::time::sleep(Duration::from_secs(1)).await;
                            }
                            cut_off.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
                links.join_all().await;
            })
        });
        poll("all to have asked", Duration::from_mins(2), || {
            let all = MEMBERS * UNREAD as usize;
            (asked.load(Ordering::Relaxed) >= all).then_some(())
        });
        let mut visits = Vec::new();
        let begun = Instant::now();
        while visits.len() < 12 || begun.elapsed() < Duration::from_secs(40) {
            visits.push(ground.visit(&visitor, &bytes));
        }
        let good = visits.iter().filter(|(_, good)| *good).count();
        figures.all("honest gets that came to their end", good, visits.len());
        let times: Vec<_> = visits.iter().map(|(time, _)| *time).collect();
        figures.time("such a get, median", median(&times), Duration::from_secs(2));
        let slowest = times.iter().max().copied().unwrap();
        figures.time("the slowest", slowest, Duration::from_secs(10));
        let [asked, cut_off] = [asked, cut_off].map(|count| count.load(Ordering::Relaxed));
        figures.usual(
            "contents asked for, and links cut off",
            format!("{asked}, {cut_off}"),
        );
        drop(over);
    });
    let (_, most) = memory(&ground.oak);
    // 64 MiB that wait, and on each link one that is being written, as a frame and as
    // what TLS makes of it.
    figures.mib("memory of the peer, at most", most, small + 192 * MIB);
    figures.end();
}

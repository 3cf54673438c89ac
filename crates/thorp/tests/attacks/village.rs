//! A village under fire: two of fourteen members do what is known here to do harm, and
//! the others look for files and fetch them.

use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::thread;
use std::time::{Duration, Instant};

use thorp_node::net::dial::Expected;
use thorp_node::net::listener::Incoming;
use thorp_node::net::{MemberStream, Purpose};
use thorp_wire::frame::{Bytes, Found, Get, Holder, Query, Reason, Refused, Update, Variant};
use thorp_wire::layout::Layout;
use thorp_wire::session::handshake::HANDSHAKE;
use thorp_wire::session::message::LONGEST_REQUEST;
use thorp_wire::session::{ExtendedHandshake, Handshake, Head, Message, MessageLimits};
use thorp_wire::{Body, Content, Entry, Frame, PeerId, RequestId, merkle};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use super::bytes::hold;
use super::figures::{Figures, median, shown};
use super::scene::play;
use crate::support::hostile::{Link, encoded, entry, find, listing};
use crate::support::process::{memory, poll};
use crate::support::village::{named, sharing};
use crate::support::{Hostile, Node, PATIENCE, Running, Village};

const HONEST: usize = 12;
const FILES: usize = 72;
/// Members that have a file.
const HOLDERS: usize = 3;
/// Files that each member fetches in peace, and as many under fire.
const GETS: usize = 3;
/// Files that a hostile member lists and nobody wants.
const MANY: usize = 2000;
/// How often a hostile member says something on each of its links: sixty times a second.
const WITHOUT_END: Duration = Duration::from_micros(16_667);
/// Files that are so long that they come in pieces, over sessions; and how many of them each member
/// fetches in peace, and as many under fire.
const LARGE: usize = 6;
const LARGE_GETS: usize = 2;
/// What the start of a process takes more or less, at times: the two cores have fifteen others to
/// run.
const NOISE: Duration = Duration::from_millis(50);
/// What each of the peers may take, and the tracker.
const MEMORY: u64 = 256 * super::figures::MIB;

fn name(file: usize) -> String {
    format!("d{}/f{file}", file % 6)
}

/// Some are long enough to come in several frames' time.
fn text(file: usize) -> Vec<u8> {
    format!("the text of {file}\n")
        .repeat(1 + file % 3 * 4000)
        .into_bytes()
}

fn large_name(number: usize) -> String {
    format!("large/l{number}")
}

/// 1 MiB.
fn large_text(number: usize) -> Vec<u8> {
    let first = (number as u64) << 32;
    let numbers = first..first + 128 * 1024;
    numbers.flat_map(u64::to_be_bytes).collect()
}

fn large_contents() -> Vec<Content> {
    let texts = (0..LARGE).map(large_text);
    texts.map(|text| merkle::content_of(&text)).collect()
}

fn has(member: usize, file: usize) -> bool {
    (0..HOLDERS).any(|nth| (file + nth * 4) % HONEST == member)
}

struct Honest {
    node: Node,
    running: Running,
    at: SocketAddr,
    id: PeerId,
}

#[test]
#[ignore = "takes minutes: for .ci/attacks"]
fn a_village_goes_on_while_two_members_do_all_the_harm_they_can() {
    let mut figures = Figures::of("a village of 12 peers, 2 hostile members");
    let village = Village::new();
    let (tracker, at) = village.tracker();
    let honest: Vec<Honest> = (0..HONEST)
        .map(|member| {
            let node = village.node(&format!("honest-{member}"));
            for file in (0..FILES).filter(|file| has(member, *file)) {
                node.file(&name(file), text(file));
            }
            for number in (0..LARGE).filter(|number| has(member, *number)) {
                node.file(&large_name(number), large_text(number));
            }
            let listen = format!("127.0.0.{}:0", 2 + member);
            let running = node.start_sharing(&at, &listen);
            Honest {
                at: sharing(&running).parse().unwrap(),
                id: node.id(),
                node,
                running,
            }
        })
        .collect();
    poll("all to be listed and hashed", PATIENCE, || {
        let (_, events) = honest[0].node.json(&["find", "*/*"]);
        let hashed = named(&events, "file").filter(|row| row["root"].is_string());
        (hashed.count() == FILES + LARGE).then_some(())
    });
    let usual = live(&honest, 0);
    let (over, is_over) = watch::channel(());
    let at: SocketAddr = at.parse().unwrap();
    let seen = thread::scope(|threads| {
        let targets = honest.iter().map(|peer| (peer.at, Expected::Peer(peer.id)));
        let targets: Vec<_> = std::iter::once((at, Expected::Tracker))
            .chain(targets)
            .collect();
        for manner in [Manner::Mute, Manner::Lying] {
            let (is_over, targets) = (is_over.clone(), targets.clone());
            threads.spawn(move || play(is_over, attack(at, targets, manner)));
        }
        poll("the lies to be listed", PATIENCE, || {
            let (_, events) = honest[0].node.json(&["find", "evil-*/**"]);
            (named(&events, "file").count() >= FILES).then_some(())
        });
        let seen = live(&honest, GETS);
        drop(over);
        seen
    });
    figures.all(
        "files fetched in peace, whole and right",
        usual.right,
        usual.gets.len() + usual.large.len(),
    );
    let gets = seen.gets.len() + seen.large.len();
    figures.all("the same under fire", seen.right, gets);
    for (what, usual, seen) in [
        ("a get", &usual.gets, &seen.gets),
        ("a get of 1 MiB", &usual.large, &seen.large),
        ("a lookup", &usual.lookups, &seen.lookups),
    ] {
        let (usual, seen) = (median(usual), median(seen));
        figures.usual(&format!("{what} in peace, median"), shown(usual));
        let twice = (2 * usual).max(usual + NOISE);
        figures.time(&format!("{what} under fire, median"), seen, twice);
    }
    figures.all(
        "lookups under fire that found the file",
        seen.found,
        seen.lookups.len(),
    );
    let slowest = seen.gets.iter().chain(&seen.large).max().copied().unwrap();
    figures.time(
        "the slowest get under fire",
        slowest,
        Duration::from_secs(15),
    );
    figures.all(
        "lists of all files under fire that said they were whole, and were",
        seen.whole,
        seen.lists,
    );
    let most = honest.iter().map(|peer| memory(&peer.running).1).max();
    figures.mib("memory of a peer, at most", most.unwrap(), MEMORY);
    figures.mib("memory of the tracker, at most", memory(&tracker).1, MEMORY);
    figures.end();
}

#[derive(Default)]
struct Seen {
    gets: Vec<Duration>,
    large: Vec<Duration>,
    lookups: Vec<Duration>,
    /// Lookups that found it, whether they were told to be whole or not.
    found: usize,
    /// Gets that brought what was asked for.
    right: usize,
    /// Lists of all there is, and those that were whole.
    lists: usize,
    whole: usize,
}

/// Each looks for files that it does not have and fetches them; then some ask for all
/// there is.
fn live(honest: &[Honest], first: usize) -> Seen {
    let mut seen = Seen::default();
    for round in first..first + GETS {
        for (member, peer) in honest.iter().enumerate() {
            let mut lacking = (0..FILES).filter(|file| !has(member, *file));
            let file = lacking.nth((member * 7 + round * 5) % 48).unwrap();
            let name = name(file);
            if peer.node.share().join(&name).exists() {
                continue;
            }
            let begun = Instant::now();
            let (code, events) = peer.node.json(&["find", &name]);
            seen.lookups.push(begun.elapsed());
            let root = entry(&name, &text(file)).root.unwrap().to_string();
            let is_found = named(&events, "file").any(|row| row["root"] == *root);
            assert!(code != Some(0) || is_found, "{name}: {events:#?}");
            seen.found += usize::from(is_found);
            let (took, is_done) = fetch(&peer.node, &name, &text(file));
            seen.gets.push(took);
            seen.right += usize::from(is_done);
        }
    }
    for (member, peer) in honest.iter().enumerate() {
        let lacking = (0..LARGE).filter(|number| !has(member, *number));
        for number in lacking.skip(first / GETS * LARGE_GETS).take(LARGE_GETS) {
            let (took, is_done) = fetch(&peer.node, &large_name(number), &large_text(number));
            seen.large.push(took);
            seen.right += usize::from(is_done);
        }
    }
    for peer in honest.iter().step_by(4) {
        let (code, events) = peer.node.json(&["find", "d*/f*"]);
        let roots: std::collections::BTreeSet<_> = named(&events, "file")
            .filter_map(|row| Some((row["name"].as_str()?, row["root"].as_str()?)))
            .collect();
        let is_there = |file: &usize| {
            let name = name(*file);
            let root = entry(&name, &text(*file)).root.unwrap().to_string();
            roots.contains(&(&*name, &*root))
        };
        let found = (0..FILES).filter(is_there).count();
        seen.lists += 1;
        seen.whole += usize::from(code == Some(0) && found == FILES);
        assert!(
            code != Some(0) || found == FILES,
            "a part told as the whole"
        );
    }
    seen
}

/// Fetches a file. Returns how long that took, and whether the program says that all is well.
fn fetch(node: &Node, name: &str, text: &[u8]) -> (Duration, bool) {
    let begun = Instant::now();
    let end = node.run_for(Duration::from_mins(3), &["get", name]);
    let took = begun.elapsed();
    if took > Duration::from_secs(5) {
        eprintln!("{name} took {took:?}: {end}");
    }
    assert!(node.bytes(name) == text, "a wrong byte in {name}");
    (took, end.code == Some(0))
}

/// What a hostile member does when it is asked for a file.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Mute,
    /// Wrong bytes, or the right ones, a few a second.
    Lying,
}

async fn attack(tracker: SocketAddr, targets: Vec<(SocketAddr, Expected)>, manner: Manner) {
    let name = if manner == Manner::Mute {
        "mute"
    } else {
        "liar"
    };
    let member = Hostile::join(tracker, name).await;
    let mut ambush = member.listen().await;
    let mut tasks = tokio::task::JoinSet::new();
    for (at, expected) in targets {
        // A link that is kept up, with false listings and nuisances.
        let (attacker, port) = (member.clone(), ambush.port);
        tasks.spawn(async move {
            let mut round = 0;
            loop {
                if let Ok(link) = attacker.link(at, expected, Some(port)).await {
                    annoy(link, manner, &mut round).await;
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
        // One that drips: a frame that never comes to its end. Of two links of one
        // member one is ended, so it has a key of its own.
        let dripping = Hostile::join(tracker, "drip").await;
        tasks.spawn(async move {
            loop {
                if let Ok(mut link) = dripping.link(at, expected, None).await {
                    let listing = listing(FILES, FILES, lie);
                    for byte in listing.flatten() {
                        if link.say(&[byte]).await.is_err() {
                            break;
                        }
                        tokio::time::sleep(Duration::from_millis(500)).await;
                    }
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
        if let Expected::Peer(id) = expected {
            let unread = Hostile::join(tracker, "unread").await;
            tasks.spawn(read_nothing(unread, at, expected));
            for content in large_contents() {
                tasks.spawn(hold_places(member.clone(), (at, id), content));
            }
        }
    }
    while let Some(call) = ambush.calls.recv().await {
        let id = member.id();
        match call.purpose {
            Purpose::Session => {
                tasks.spawn(async move {
                    let _: Option<()> = lie_on_session(call.stream, id, manner).await;
                });
            }
            Purpose::Link => {
                tasks.spawn(answer_call(call, manner));
            }
        }
    }
}

/// Asks for contents and reads none of them.
async fn read_nothing(member: Hostile, at: SocketAddr, expected: Expected) {
    let content = merkle::content_of(&text(2));
    let get = |n| Frame::with_request(RequestId(n), Get { content });
    let gets: Vec<u8> = (0..64).flat_map(|n| encoded(&get(n))).collect();
    let alive = encoded(&Frame::plain(Update::heartbeat(1)));
    loop {
        if let Ok(mut link) = member.link(at, expected, None).await
            && link.say(&gets).await.is_ok()
        {
            while link.say(&alive).await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Holds a place for a session, and takes it again when it is lost.
async fn hold_places(member: Hostile, at: (SocketAddr, PeerId), content: Content) {
    let (held, served) = (AtomicUsize::new(0), AtomicUsize::new(0));
    loop {
        hold(&member, at, content, (&held, &served)).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A member wants a long file of it: it says that it has all of it, and sends nothing or
/// what is wrong.
async fn lie_on_session(mut stream: MemberStream, id: PeerId, manner: Manner) -> Option<()> {
    let mut said = [0; HANDSHAKE];
    stream.read_exact(&mut said).await.ok()?;
    let said = Handshake::decode(&said).ok()?;
    let is_meant = |content: &Content| Handshake::of_member(&content.root, &id).name == said.name;
    let content = large_contents().into_iter().find(is_meant)?;
    let extended = ExtendedHandshake {
        requests: Some(256),
        longest_request: Some(LONGEST_REQUEST),
        length: Some(content.length),
        ..ExtendedHandshake::default()
    };
    let mut bytes = Handshake::of_member(&content.root, &id).encode().to_vec();
    for message in [extended.message(), Message::HaveAll, Message::Unchoke] {
        message.encode(&mut bytes);
    }
    stream.write_all(&bytes).await.ok()?;
    stream.flush().await.ok()?;
    let limits = MessageLimits::of(Layout::of(content.length), LONGEST_REQUEST)?;
    let mut buffer = Vec::new();
    loop {
        while let Some(head) = Head::parse(&buffer, limits).ok()? {
            let length = match head {
                Head::Message(length) => length,
                Head::KeepAlive => 0,
                Head::Piece(_) | Head::Handshake => return None,
            };
            let whole = head.length() + length;
            while buffer.len() < whole {
                (stream.read_buf(&mut buffer).await.ok()? > 0).then_some(())?;
            }
            let message = Message::decode(&buffer[head.length()..whole]);
            buffer.drain(..whole);
            if let (Ok(Message::Request(span)), Manner::Lying) = (message, manner) {
                let mut wrong = Vec::new();
                Message::Piece(span).encode(&mut wrong);
                wrong.resize(wrong.len() + span.length as usize, 0);
                stream.write_all(&wrong).await.ok()?;
                stream.flush().await.ok()?;
            }
        }
        (stream.read_buf(&mut buffer).await.ok()? > 0).then_some(())?;
    }
}

/// Something else under a name of another folder.
fn lie(file: usize) -> Entry {
    entry(&format!("evil-{}/f{file}", file % 6), b"something else")
}

/// All there is, as if it had it; then lies, what does harm where it lies, and many.
fn false_listing(manner: Manner) -> Vec<Vec<u8>> {
    let mut files: Vec<Entry> = (0..FILES)
        .map(|file| entry(&name(file), &text(file)))
        .chain((0..LARGE).map(|number| entry(&large_name(number), &large_text(number))))
        .collect();
    if manner == Manner::Lying {
        files.extend((0..FILES).map(lie));
        files.extend(
            ["d0/.git/config", ".bash_profile", "d1/desktop.ini"].map(|name| entry(name, b"harm")),
        );
        // A question by one of these names is costly.
        let many = |file| entry(&format!("many/{file}/x{}", file % 8), b"same");
        files.extend((0..MANY).map(many));
    }
    listing(files.len(), 1000, |n| files[n].clone()).collect()
}

/// Lists what is false, and from then on says one thing after the other that it had better
/// not, sixty times a second; what is asked on this link is answered in its manner.
async fn annoy(link: Link, manner: Manner, round: &mut u32) {
    let Link {
        mut reads,
        mut says,
    } = link;
    let (to_say, mut waiting) = mpsc::channel::<Vec<u8>>(1024);
    let reading = async {
        while let Some(frame) = reads.next().await {
            answer(&frame, manner, &to_say);
        }
    };
    let saying = async {
        for frame in false_listing(manner) {
            says.say(&frame).await?;
        }
        let mut tick = tokio::time::interval(WITHOUT_END);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(bytes) = waiting.recv() => says.say(&bytes).await?,
                _ = tick.tick() => {
                    *round += 1;
                    let mut frames = nuisances(*round, manner == Manner::Lying);
                    let frame = frames.swap_remove(*round as usize % frames.len());
                    says.say(&encoded(&frame)).await?;
                }
            }
        }
    };
    tokio::select! {
        ended = saying => { let _: std::io::Result<()> = ended; }
        () = reading => {}
    }
}

/// A member has dialled it.
async fn answer_call(call: Incoming, manner: Manner) {
    let mut link = Link::new(call.stream);
    let hello = crate::support::hostile::hello(None);
    if link.say(&encoded(&Frame::plain(hello))).await.is_err() {
        return;
    }
    let mut round = 1;
    annoy(link, manner, &mut round).await;
}

/// What is said to a `Get`: nothing, wrong bytes, or the beginning of a frame, a byte at
/// a time. Behind that nothing else can be said on the link, so it is another one's turn.
fn answer(frame: &Frame, manner: Manner, to_say: &mpsc::Sender<Vec<u8>>) {
    let (Body::Get(get), Some(request)) = (&frame.body, frame.request) else {
        return;
    };
    if manner == Manner::Mute {
        return;
    }
    let length = usize::try_from(get.content.length).unwrap().min(200_000);
    let bytes = encoded(&Frame::with_request(
        request,
        Bytes {
            bytes: vec![0; length],
        },
    ));
    if request.0.is_multiple_of(2) {
        _ = to_say.try_send(bytes);
        return;
    }
    let to_say = to_say.clone();
    tokio::spawn(async move {
        for byte in bytes {
            if to_say.send(vec![byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
}

/// Frames that no honest member says, or not then.
fn nuisances(round: u32, at_any_price: bool) -> Vec<Frame> {
    let holder = Holder {
        id: PeerId::new([9; 32]),
        name: None,
        addresses: vec!["10.9.9.9:1".parse().unwrap()],
        partial: false,
    };
    let found = Found {
        variants: vec![Variant {
            entry: entry("d0/f0", b"a lie"),
            holders: vec![holder],
            hashed: None,
        }],
        ..Found::default()
    };
    let costly = "[x]".repeat(50) + "{a,b}".repeat(5).as_str();
    let mut all: Vec<Body> = vec![
        found.into(),
        Refused {
            reason: Reason::NotHere,
            text: "no".to_owned().into(),
        }
        .into(),
        Bytes {
            bytes: vec![0; 1000],
        }
        .into(),
    ];
    all.push(find(Query::Pattern(costly)).into());
    all.push(find(Query::Pattern("**".to_owned())).into());
    all.push(find(Query::Names(vec!["f0".to_owned(); 100])).into());
    all.push(find(Query::Names((0..8).map(|n| format!("x{n}")).collect())).into());
    if at_any_price {
        all.push(
            Update {
                since: Some(u64::from(round)),
                added: vec![entry("late", b"late")],
                ..Update::heartbeat(u64::from(round) + 1)
            }
            .into(),
        );
    } else {
        all.push(Update::heartbeat(1).into());
    }
    let frame = |(number, body)| Frame::with_request(RequestId(round * 1000 + number), body);
    (0..).zip(all).map(frame).collect()
}

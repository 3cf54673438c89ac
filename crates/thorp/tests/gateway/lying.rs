//! Holders that send something else than they list.

use std::sync::Arc;

use thorp_node::net::dial::Expected;
use thorp_node::net::{MemberStream, Purpose};
use thorp_wire::frame::{Bytes, Update};
use thorp_wire::layout::Layout;
use thorp_wire::merkle::{HashReply, LayerHasher, Tree};
use thorp_wire::session::handshake::HANDSHAKE;
use thorp_wire::session::message::LONGEST_REQUEST;
use thorp_wire::session::{ExtendedHandshake, Handshake, Head, Message, MessageLimits, Span};
use thorp_wire::{Body, Frame, PeerId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Runtime;

use super::scene::{Answer, KIB, MIB, Scene, bytes, status};
use crate::support::hostile::{Link, encoded, entry, hello};
use crate::support::process::poll;
use crate::support::{Hostile, PATIENCE};

#[test]
fn what_does_not_verify_is_a_bad_gateway_and_nothing_of_it_is_sent() {
    let scene = Scene::new(&[("honest.txt", b"honest")]);
    let _mallory = Mallory::lists(&scene, "acorn.txt", b"what it lists", 0);
    assert_bad_gateway(&scene.get("/get/acorn.txt", &[]));
    assert_eq!(scene.get("/get/honest.txt", &[]).body, b"honest");
    assert_eq!(status(&scene.reader)["files"], 0);
}

/// A long file, and how much of it mallory sends as it is.
const LENGTH: usize = 4 * MIB;
const TRUTH: usize = 2 * MIB;

#[test]
fn a_part_of_a_large_file_that_does_not_verify_is_a_bad_gateway_and_another_part_comes() {
    let film = bytes(LENGTH, 9);
    let scene = Scene::new(&[]);
    let _mallory = Mallory::lists(&scene, "film.mkv", &film, TRUTH);
    let part = |begin: usize, end: usize| {
        let range = format!("bytes={begin}-{}", end - 1);
        scene.get("/get/film.mkv", &[("Range", &range)])
    };
    let right = part(KIB, 100 * KIB);
    assert!(right.status == 206 && right.body == film[KIB..100 * KIB]);
    assert_bad_gateway(&part(3 * MIB, 3 * MIB + 9));
}

#[test]
fn a_large_file_of_which_the_rest_does_not_verify_breaks_off_and_comes_whole_from_another_holder() {
    let film = bytes(LENGTH, 10);
    let scene = Scene::new(&[]);
    let _mallory = Mallory::lists(&scene, "film.mkv", &film, TRUTH);
    // What its headers promise does not come, and what does is the film's.
    let broken = scene.get("/get/film.mkv", &[]);
    assert_eq!(broken.status, 200, "{}", broken.text());
    assert_eq!(broken.header("content-length"), LENGTH.to_string());
    assert!(!broken.is_whole);
    assert!(broken.body.len() <= TRUTH && film.starts_with(&broken.body));

    scene.holder.file("film.mkv", &film);
    poll("the honest holder", PATIENCE, || {
        let answer = scene.get("/get/film.mkv", &[]);
        (answer.status == 200 && answer.body == film).then_some(())
    });
}

#[track_caller]
fn assert_bad_gateway(answer: &Answer) {
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert_eq!(answer.json()["error"]["code"], "verification");
    let message = answer.json()["error"]["message"].to_string();
    assert!(message.contains("mallory"), "it says who: {message}");
    assert_eq!(answer.json().as_object().unwrap().len(), 1, "{message}");
}

/// A member that lists one file, and sends wrong bytes from some place on.
struct Mallory(#[expect(dead_code, reason = "what it does ends with it")] Runtime);

struct File {
    bytes: Vec<u8>,
    tree: Tree,
    /// So many bytes are sent as they are.
    truth: usize,
}

impl Mallory {
    /// Lists it, and waits until the reader can find it.
    fn lists(scene: &Scene, name: &str, bytes: &[u8], truth: usize) -> Self {
        let runtime = Runtime::new().unwrap();
        let tracker = scene.tracker.parse().unwrap();
        let file = Arc::new(File::new(bytes, truth));
        let entry = entry(name, bytes);
        runtime.block_on(async {
            let mallory = Hostile::join(tracker, "mallory").await;
            let ambush = mallory.listen().await;
            let link = mallory.link(tracker, Expected::Tracker, Some(ambush.port));
            let update = Update {
                since: None,
                added: vec![entry],
                ..Update::heartbeat(1)
            };
            let update = encoded(&Frame::plain(update));
            tokio::spawn(link.await.unwrap().keep_saying([update]));
            let me = mallory.id();
            tokio::spawn(async move {
                // All of it: it listens as long as it is there.
                let mut ambush = ambush;
                while let Some(call) = ambush.calls.recv().await {
                    let file = Arc::clone(&file);
                    if call.purpose == Purpose::Link {
                        tokio::spawn(async move { file.sent_on(Link::new(call.stream)).await });
                    } else {
                        let session = Session::new(call.stream, file);
                        tokio::spawn(session.served_by(me));
                    }
                }
            });
        });
        poll("the lie to be listed", PATIENCE, || {
            let (_, events) = scene.reader.json(&["find", name]);
            let mut rows = events.iter();
            rows.any(|event| event["event"] == "file").then_some(())
        });
        Self(runtime)
    }
}

impl File {
    fn new(bytes: &[u8], truth: usize) -> Self {
        let mut hasher = LayerHasher::new(bytes.len() as u64);
        assert!(hasher.update(bytes));
        let (content, layer) = hasher.finish().unwrap();
        Self {
            bytes: bytes.to_vec(),
            tree: Tree::of(content, layer).unwrap(),
            truth,
        }
    }

    fn sent(&self, begin: usize, length: usize) -> Vec<u8> {
        let mut sent = self.bytes[begin..begin + length].to_vec();
        let end = begin + length;
        if end > self.truth {
            sent[length - 1] ^= 1;
        }
        sent
    }

    /// Says hello, and answers whatever is asked for.
    async fn sent_on(&self, mut link: Link) -> std::io::Result<()> {
        link.say(&encoded(&Frame::plain(hello(None)))).await?;
        while let Some(frame) = link.reads.next().await {
            if let (Body::Get(_), Some(request)) = (frame.body, frame.request) {
                let bytes = self.sent(0, self.bytes.len());
                let answer = Frame::with_request(request, Bytes { bytes });
                link.say(&encoded(&answer)).await?;
            }
        }
        Ok(())
    }
}

/// A session with a member that has dialled.
struct Session {
    stream: MemberStream,
    file: Arc<File>,
    read: Vec<u8>,
}

impl Session {
    fn new(stream: MemberStream, file: Arc<File>) -> Self {
        let read = Vec::new();
        Self { stream, file, read }
    }

    /// Serves the file as a holder of all of it, until the other end has had enough.
    async fn served_by(mut self, me: PeerId) -> std::io::Result<()> {
        let content = self.file.tree.content();
        let layout = Layout::of(content.length);
        let limits = MessageLimits::of(layout, LONGEST_REQUEST).unwrap();
        self.next(HANDSHAKE).await?;
        let handshake = Handshake::of_member(&content.root, &me);
        self.stream.write_all(&handshake.encode()).await?;
        let extended = ExtendedHandshake {
            requests: Some(256),
            longest_request: Some(256 * 1024),
            length: Some(content.length),
            ..ExtendedHandshake::default()
        };
        for message in [extended.message(), Message::HaveAll, Message::Unchoke] {
            self.say(&message, &[]).await?;
        }
        loop {
            let Some(head) = Head::parse(&self.read, limits).unwrap() else {
                self.more().await?;
                continue;
            };
            let Head::Message(length) = head else {
                self.next(head.length()).await?;
                continue;
            };
            let message = self.next(head.length() + length).await?;
            match Message::decode(&message[head.length()..]).unwrap() {
                Message::Request(span) => self.send(layout, span).await?,
                Message::HashRequest(range) => {
                    // What it lists is true. It has not hashed the leaves.
                    let answer = match self.file.tree.answer(&range) {
                        Ok(HashReply::Hashes(hashes)) => Message::Hashes(range, hashes),
                        _ => Message::HashReject(range),
                    };
                    self.say(&answer, &[]).await?;
                }
                _ => {}
            }
        }
    }

    async fn send(&mut self, layout: Layout, span: Span) -> std::io::Result<()> {
        let block = layout.block(span.piece, span.begin, span.length).unwrap();
        let begin = usize::try_from(layout.offset_of(block)).unwrap();
        let sent = self.file.sent(begin, span.length as usize);
        self.say(&Message::Piece(span), &sent).await
    }

    async fn say(&mut self, message: &Message, body: &[u8]) -> std::io::Result<()> {
        let mut said = Vec::new();
        message.encode(&mut said);
        said.extend(body);
        self.stream.write_all(&said).await?;
        self.stream.flush().await
    }

    /// The next so many bytes.
    async fn next(&mut self, count: usize) -> std::io::Result<Vec<u8>> {
        while self.read.len() < count {
            self.more().await?;
        }
        let rest = self.read.split_off(count);
        Ok(std::mem::replace(&mut self.read, rest))
    }

    async fn more(&mut self) -> std::io::Result<()> {
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

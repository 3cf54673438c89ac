//! Ordinary BitTorrent clients, with the real program: libtorrent, and clients that are played by
//! hand.
//!
//! libtorrent is where `.ci/run` installs it, or where `THORP_TEST_LIBTORRENT` names a Python that
//! has it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use thorp_wire::layout::Layout;
use thorp_wire::merkle::content_of;
use thorp_wire::session::handshake::{Extensions, HANDSHAKE};
use thorp_wire::session::message::ORDINARY_REQUEST;
use thorp_wire::session::{
    ExtendedHandshake, Handshake, HashRange, Head, Message, MessageLimits, MetadataMessage, Span,
};
use thorp_wire::torrent::build::{Privacy, v2_info};
use thorp_wire::torrent::info_hash_v2;
use thorp_wire::{ClientId, InfoHash};

use crate::clients::gives_no_byte;
use crate::support::process::{memory, poll};
use crate::support::village::{listening, named, sharing};
use crate::support::{Net, Node, Running, Village, skip};

const LEAF: usize = 16 * 1024;
const MIB: usize = 1024 * 1024;
/// How long a client may take for some megabytes on a busy machine.
const LONG: Duration = Duration::from_mins(1);

/// A group that serves clients, and `oak`, which does, too.
struct Ground {
    village: Village,
    _tracker: Running,
    oak: Running,
    at: String,
}

impl Ground {
    fn new(files: &[(&str, &[u8])]) -> Self {
        Self::with(&["--bittorrent"], &["--bittorrent"], files)
    }

    fn with(tracker: &[&str], share: &[&str], files: &[(&str, &[u8])]) -> Self {
        let village = Village::new();
        let hall = village.node("tracker");
        let args = ["tracker", "--open", "--lines", "--listen", "127.0.0.1:0"];
        let serving = hall.start(&[&args, tracker].concat());
        let at = listening(&serving);
        let node = village.node("oak");
        for (name, bytes) in files {
            node.file(name, bytes);
        }
        let dir = node.share();
        let dir = dir.to_str().unwrap();
        let args = [
            "share",
            dir,
            "--tracker",
            &at,
            "--lines",
            "--listen",
            "127.0.0.1:0",
        ];
        let oak = node.start(&[&args, share].concat());
        let at = sharing(&oak);
        await_hashed(&node, files.len());
        Self {
            village,
            _tracker: serving,
            oak,
            at,
        }
    }
}

fn await_hashed(node: &Node, files: usize) {
    poll("the files to be hashed", LONG, || {
        let (_, events) = node.json(&["ls"]);
        let hashed = named(&events, "file").filter(|row| row["root"].is_string());
        (hashed.count() == files).then_some(())
    });
}

/// libtorrent's Python, if it is here; otherwise `test` is skipped.
fn libtorrent(test: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let named = std::env::var_os("THORP_TEST_LIBTORRENT").map(PathBuf::from);
    let installed = || {
        let tools = fs::read_dir(root.join("target/ci-tools")).ok()?;
        let pythons = tools.flatten().map(|tool| tool.path().join("bin/python"));
        pythons.into_iter().find(|python| {
            let has_it = Command::new(python)
                .args(["-c", "import libtorrent"])
                .output();
            has_it.is_ok_and(|ended| ended.status.success())
        })
    };
    let python = named.or_else(installed);
    if python.is_none() {
        skip(test, "libtorrent, as .ci/run installs it");
    }
    python
}

/// A command of the client.
fn client(python: &Path) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plain_sessions/client.py");
    let mut command = Command::new(python);
    command.args(["-W", "ignore"]).arg(script);
    command.env("LISTEN", "127.0.0.1:0");
    command
}

fn counting(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

#[test]
fn libtorrent_fetches_what_is_shared_by_its_torrent_and_by_a_magnet_link() {
    let test = "libtorrent_fetches_what_is_shared_by_its_torrent_and_by_a_magnet_link";
    let Some(python) = libtorrent(test) else {
        return;
    };
    let sizes = [1, LEAF + 1, 5 * MIB + 1];
    let files: Vec<_> = sizes
        .iter()
        .map(|size| (format!("in/{size}"), counting(*size)))
        .collect();
    let listed: Vec<_> = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), &bytes[..]))
        .collect();
    let ground = Ground::new(&listed);
    let oak = ground.village.node("oak");
    for (name, bytes) in &files {
        let torrent = oak.state().with_extension("torrent");
        let made = client(&python)
            .arg("make")
            .arg(oak.share().join(name))
            .arg(&torrent)
            .args([
                "v2",
                &Layout::of(bytes.len() as u64).piece_length().to_string(),
            ])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let hash = String::from_utf8(made.stdout).unwrap();
        let magnet = format!("magnet:?xt=urn:btmh:1220{}", hash.trim());
        for by in [torrent.to_str().unwrap(), &magnet] {
            let into = tempfile::tempdir().unwrap();
            let mut leech = client(&python);
            leech.args(["leech", by]).arg(into.path()).arg(&ground.at);
            let leech = Running::start("libtorrent", leech);
            let ended = leech.finish(LONG);
            let ended = ended.exits(0);
            drop(ended);
            let base = name.rsplit('/').next().unwrap();
            assert!(fs::read(into.path().join(base)).unwrap() == *bytes, "{by}");
        }
    }
}

#[test]
fn a_client_that_seeds_a_v2_torrent_of_a_file_of_the_group_is_a_source_for_members() {
    let test = "a_client_that_seeds_a_v2_torrent_of_a_file_of_the_group_is_a_source_for_members";
    is_a_source(test, "v2");
}

#[test]
fn a_client_that_seeds_a_v1_torrent_of_a_file_of_the_group_is_a_source_for_members() {
    let test = "a_client_that_seeds_a_v1_torrent_of_a_file_of_the_group_is_a_source_for_members";
    is_a_source(test, "v1");
}

/// A member asks by its name for a file that a slow member has, and a client by a torrent that it
/// has made itself.
fn is_a_source(test: &str, version: &str) {
    let Some(python) = libtorrent(test) else {
        return;
    };
    let hosts = [1, 2, 3, 4].map(|last| Ipv4Addr::new(192, 168, 198, last));
    let Some(net) = Net::new(test, &hosts) else {
        return;
    };
    let [hall, slow, seeds, wants] = hosts;
    // From the member alone it would take half a minute.
    net.limit(slow, "1500kbit");
    let village = Village::new();
    let tracker = village.node("tracker").on(net.host(hall));
    let serving = tracker.start(&["tracker", "--open", "--bittorrent", "--lines"]);
    listening(&serving);
    let at = format!("{hall}:3333");
    let bytes = counting(5 * MIB + 1);
    let start = |name: &str, host| {
        let node = village.node(name).on(net.host(host));
        if name == "ash" {
            node.file("film", &bytes);
        }
        let dir = node.share();
        let args = ["share", dir.to_str().unwrap(), "--tracker", &at, "--lines"];
        let running = node.start(&[&args[..], &["--bittorrent", "--listen", "[::]:3334"]].concat());
        sharing(&running);
        (node, running)
    };
    let (ash, _ash) = start("ash", slow);
    await_hashed(&ash, 1);
    let torrent = ash.state().with_extension("torrent");
    let piece_length = Layout::of(bytes.len() as u64).piece_length().to_string();
    let made = client(&python)
        .arg("make")
        .arg(ash.share().join("film"))
        .arg(&torrent)
        .args([version, &piece_length, &format!("http://{at}/announce")])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    // Two of v2, and the one of v1 once it is hashed for that.
    poll("all torrents of the file", LONG, || {
        (tracker.tracker_status()["swarms"]["torrents"] == 3).then_some(())
    });
    let mut seed = net.host(seeds).command(python.to_str().unwrap());
    seed.args(client(&python).get_args());
    seed.arg("seed").arg(&torrent).arg(ash.share());
    let seed = Running::start("libtorrent", seed);
    seed.wait_for_line("that the client listens", |line| {
        line.starts_with("listening")
    });
    let (oak, _oak) = start("oak", wants);
    let sent_before = net.sent(seeds);
    let fetched = oak.fetch("film");
    assert!(oak.bytes("film") == bytes, "{fetched:#}");
    let sent = net.sent(seeds) - sent_before;
    assert!(
        sent > 3 * MIB as u64,
        "the client has sent {sent} bytes: {fetched:#}"
    );
    let clients = fetched["clients"].as_array().unwrap();
    let seeds = format!("{seeds}:");
    assert!(
        clients.len() == 1 && clients[0].as_str().unwrap().starts_with(&seeds),
        "{fetched:#}"
    );
}

/// A client that is played by hand.
struct ByHand {
    stream: TcpStream,
    limits: MessageLimits,
    bytes: Vec<u8>,
}

impl ByHand {
    fn greets(at: &str, info_hash: InfoHash, length: usize, extensions: Extensions) -> Self {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let handshake = Handshake {
            extensions,
            ..Handshake::of_client(info_hash, ClientId::new(*b"-XX0001-abcdefghijkl"))
        };
        stream.write_all(&handshake.encode()).unwrap();
        let limits = MessageLimits::of(Layout::of(length as u64), ORDINARY_REQUEST).unwrap();
        Self {
            stream,
            limits,
            bytes: Vec::new(),
        }
    }

    fn is_answered(&mut self) -> Handshake {
        let mut answer = [0; HANDSHAKE];
        self.stream.read_exact(&mut answer).unwrap();
        Handshake::decode(&answer).unwrap()
    }

    fn says(&mut self, message: &Message) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.stream.write_all(&bytes).unwrap();
    }

    /// The next message, with the bytes of the file, if these come.
    fn hears(&mut self) -> (Message, Vec<u8>) {
        loop {
            let head = Head::parse(&self.bytes, self.limits).unwrap();
            let length = head.map(|head| match head {
                Head::Piece(span) => head.length() + span.length as usize,
                Head::Message(length) => head.length() + length,
                Head::KeepAlive | Head::Handshake => head.length(),
            });
            let (Some(head), Some(length)) = (head, length.filter(|all| self.bytes.len() >= *all))
            else {
                let mut more = [0; 4096];
                let read = self.stream.read(&mut more).unwrap();
                assert!(read > 0, "it is closed");
                self.bytes.extend(&more[..read]);
                continue;
            };
            let whole: Vec<u8> = self.bytes.drain(..length).collect();
            let rest = whole[head.length()..].to_vec();
            return match head {
                Head::Piece(span) => (Message::Piece(span), rest),
                _ => (Message::decode(&rest).unwrap(), Vec::new()),
            };
        }
    }

    fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        // Closed, or reset because more was sent than was read.
        match self.stream.read(&mut byte) {
            Ok(read) => read == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

fn v2_hash(name: &str, bytes: &[u8]) -> InfoHash {
    info_hash_v2(&v2_info(name, content_of(bytes), Privacy::Private)).truncated()
}

#[test]
fn a_client_without_any_extension_is_served() {
    let bytes = counting(600_000);
    let ground = Ground::new(&[("plain", &bytes)]);
    let hash = v2_hash("plain", &bytes);
    let mut plain = ByHand::greets(&ground.at, hash, bytes.len(), Extensions::default());
    assert_eq!(plain.is_answered().name, *hash.as_bytes());
    assert_eq!(plain.hears().0, Message::Bitfield(vec![0b1110_0000]));
    plain.says(&Message::Interested);
    assert_eq!(plain.hears().0, Message::Unchoke);
    let mut got = vec![0; bytes.len()];
    let piece_length = Layout::of(bytes.len() as u64).piece_length() as usize;
    // As many as fit at once, as clients do.
    let spans: Vec<Span> = (0..bytes.len())
        .step_by(LEAF)
        .map(|at| Span {
            piece: u32::try_from(at / piece_length).unwrap(),
            begin: u32::try_from(at % piece_length).unwrap(),
            length: u32::try_from(LEAF.min(bytes.len() - at)).unwrap(),
        })
        .collect();
    for span in &spans {
        plain.says(&Message::Request(*span));
    }
    for _ in &spans {
        let (Message::Piece(span), block) = plain.hears() else {
            panic!("a block was asked for");
        };
        let at = span.piece as usize * piece_length + span.begin as usize;
        got[at..at + block.len()].copy_from_slice(&block);
    }
    assert!(got == bytes);
}

#[test]
fn a_plain_handshake_gets_no_byte_where_the_group_or_the_member_serves_no_clients() {
    let bytes = counting(100_000);
    let hash = v2_hash("hidden", &bytes);
    let files = [("hidden", &bytes[..])];
    for (tracker, share) in [
        (&[][..], &["--bittorrent"][..]),
        (&["--bittorrent"][..], &[][..]),
    ] {
        let ground = Ground::with(tracker, share, &files);
        let mut client = ByHand::greets(&ground.at, hash, bytes.len(), Extensions::ALL);
        assert!(client.is_closed(), "{tracker:?} {share:?}");
        if share.is_empty() {
            // Nor is anything else answered that clients ask.
            gives_no_byte(ground.at.parse().unwrap());
        }
    }
    // Where both do, it is the info-hash that counts.
    let ground = Ground::new(&files);
    let other = v2_hash("other", &bytes);
    let mut client = ByHand::greets(&ground.at, other, bytes.len(), Extensions::ALL);
    assert!(client.is_closed());
    let mut client = ByHand::greets(&ground.at, hash, bytes.len(), Extensions::ALL);
    client.is_answered();
}

/// Whether a client that does as it should is served. `None` if it finds no place.
fn is_served(ground: &Ground, hash: InfoHash, bytes: &[u8]) -> Option<()> {
    let mut good = ByHand::greets(&ground.at, hash, bytes.len(), Extensions::default());
    let mut answer = [0; HANDSHAKE];
    good.stream.read_exact(&mut answer).ok()?;
    good.hears();
    good.says(&Message::Interested);
    assert_eq!(good.hears().0, Message::Unchoke);
    let span = Span {
        piece: 0,
        begin: 0,
        length: 16_384,
    };
    good.says(&Message::Request(span));
    assert_eq!(good.hears().1, bytes[..LEAF]);
    Some(())
}

#[test]
fn two_thousand_idle_clients_and_slow_ones_do_not_keep_another_from_being_served() {
    let bytes = counting(100_000);
    let ground = Ground::new(&[("wanted", &bytes)]);
    let hash = v2_hash("wanted", &bytes);
    let before = memory(&ground.oak).0;
    // Half of them say nothing at all, the others a handshake.
    let mut idle: Vec<TcpStream> = Vec::new();
    let handshake = Handshake::of_client(hash, ClientId::new(*b"-XX0001-abcdefghijkl")).encode();
    for number in 0..2000 {
        let mut stream = TcpStream::connect(&ground.at).unwrap();
        if number % 2 == 1 {
            // It may be closed by now.
            _ = stream.write_all(&handshake);
        }
        idle.push(stream);
    }
    // Some say a byte a second: of a handshake, and of a message behind one.
    let (stop, stopped) = mpsc::channel::<()>();
    let mut slow = idle.split_off(1980);
    let slow = thread::spawn(move || {
        for at in (0..HANDSHAKE).cycle() {
            if stopped.recv_timeout(Duration::from_secs(1)) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            for (number, stream) in slow.iter_mut().enumerate() {
                let byte = if number % 2 == 1 { 0 } else { handshake[at] };
                _ = stream.write_all(&[byte]);
            }
        }
    });
    let since = Instant::now();
    for _ in 0..3 {
        poll("a good client to be served", LONG, || {
            is_served(&ground, hash, &bytes)
        });
    }
    eprintln!("served after {:?}", since.elapsed());
    let (now, most) = memory(&ground.oak);
    for bytes in [now, most] {
        let grown = bytes.saturating_sub(before);
        assert!(grown < 64 * 1024 * 1024, "{grown} bytes for idle clients");
    }
    drop(stop);
    slow.join().unwrap();
    drop(idle);
}

#[test]
fn a_client_that_breaks_off_anywhere_keeps_no_other_from_being_served() {
    let bytes = counting(100_000);
    let ground = Ground::new(&[("wanted", &bytes)]);
    let hash = v2_hash("wanted", &bytes);
    let client = Handshake {
        extensions: Extensions::ALL,
        ..Handshake::of_client(hash, ClientId::new(*b"-XX0001-abcdefghijkl"))
    };
    let mut said = client.encode().to_vec();
    let extended = ExtendedHandshake {
        metadata: Some(3),
        exchange: Some(4),
        ..ExtendedHandshake::default()
    };
    let span = Span {
        piece: 0,
        begin: 0,
        length: 16_384,
    };
    let range = HashRange {
        root: content_of(&bytes).root,
        base: 0,
        index: 0,
        length: 4,
        proofs: 2,
    };
    for message in [
        extended.message(),
        Message::HaveNone,
        Message::Interested,
        Message::Extended {
            number: MetadataMessage::NUMBER,
            payload: MetadataMessage::Request(0).encode(),
        },
        Message::HashRequest(range),
        Message::Request(span),
        Message::Cancel(span),
    ] {
        message.encode(&mut said);
    }
    for end in 0..said.len() {
        let mut stream = TcpStream::connect(&ground.at).unwrap();
        // It may be closed by now.
        _ = stream.write_all(&said[..end]);
    }
    poll("a good client to be served", LONG, || {
        is_served(&ground, hash, &bytes)
    });
}

//! How many messages it takes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;
use thorp_disk::testing::DISK;
use thorp_group::authority::{Authority, Tracks};
use thorp_group::identity::{Identity, Membership};
use thorp_group::join::JoinService;
use thorp_group::state::StateDir;
use thorp_group::tls::MemberTls;
use thorp_node::address::NetAddress;
use thorp_node::clock::Clock;
use thorp_node::launch::Group;
use thorp_node::net::listener::{Incoming, Listen, Listener, Running, Service};
use thorp_node::share;
use thorp_wire::frame::{Ack, Hello, Update, VERSION};
use thorp_wire::merkle::content_of;
use thorp_wire::session::Handshake;
use thorp_wire::session::handshake::HANDSHAKE;
use thorp_wire::torrent::build::{Privacy, v2_info};
use thorp_wire::torrent::info_hash_v2;
use thorp_wire::{Body, ClientId, Frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{self, Handle};
use tokio::sync::mpsc;

use super::mallory::Wire;
use super::support::{Village, Villager, common, start, within, write};

const MANY: usize = 10_000;
/// While a share is read and listed, no peer is to be called late.
const LONG: Duration = Duration::from_mins(1);
const SHORT: Duration = Duration::from_millis(300);

/// A tracker by hand: it lets every machine in, and counts.
pub struct Hall {
    address: SocketAddr,
    incoming: mpsc::Receiver<Incoming>,
    dir: TempDir,
    _running: Running,
}

impl Hall {
    pub async fn open() -> Self {
        Self::of_a_group(Tracks::Off).await
    }

    /// The record that it gives to every machine says whether ordinary clients are served.
    async fn of_a_group(tracks: Tracks) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let state = StateDir::open(DISK, dir.path().join("hall")).expect("a state directory");
        let authority = Arc::new(Authority::load_or_create(DISK, Arc::new(state)).expect("a CA"));
        authority.set_open(DISK, true).expect("opens");
        authority.set_tracks(DISK, tracks).expect("decides");
        let (identity, clock) = (Identity::generate().expect("a key"), Clock::system());
        let name = "hall".parse().expect("a name");
        let certificate = authority.tracker_certificate(DISK, &identity, &name, SystemTime::now());
        let membership = Membership {
            certificate: certificate.expect("is signed"),
            ca: authority.ca(),
            trackers: Vec::new(),
        };
        let tls = MemberTls::new(&identity, &membership, clock.clone()).expect("fits");
        let join = JoinService::new(&identity, &membership, authority, clock).expect("fits");
        let any = Listen::Exactly("127.0.0.1:0".parse().expect("an address"));
        let listener = Listener::bind(any).await.expect("binds");
        let address = listener.address();
        let (sink, incoming) = mpsc::channel(8);
        let join = Some(join);
        Self {
            address,
            incoming,
            dir,
            _running: listener.serve(vec![Service {
                tls,
                join,
                sink,
                clients: None,
                face: None,
            }]),
        }
    }

    /// A peer with what is in the share already, and the link from it.
    pub async fn newcomer(&mut self, name: &str, interval: Duration) -> (Villager, Wire) {
        self.newcomer_with(name, interval, &[]).await
    }

    async fn newcomer_with(
        &mut self,
        name: &str,
        interval: Duration,
        settings: &[(&str, &str)],
    ) -> (Villager, Wire) {
        let share = self.dir.path().join("share");
        fs::create_dir_all(&share).expect("a directory");
        let group = Group::Open(NetAddress::Ip(self.address));
        let common = common(self.dir.path(), name, settings);
        let peer = start(common, &share, share::Options::default(), group).await;
        (peer, self.greeted(interval).await)
    }

    /// The next link, greeted with this interval.
    pub async fn greeted(&mut self, interval: Duration) -> Wire {
        let incoming = within("a link", self.incoming.recv()).await;
        let mut wire = Wire::new(incoming.expect("listens").stream);
        let hello = Hello {
            oldest: VERSION,
            newest: VERSION,
            port: None,
            claimed: Vec::new(),
            epoch: 1,
            applied: None,
            neighbour: false,
            visitor: false,
            interval: millis(interval),
            // It needs to be told of none.
            record: Some(u64::MAX),
            bittorrent: false,
            advertised: 0,
        };
        wire.greet(hello).await;
        wire
    }

    /// A peer that shares so many files, and what it says here.
    async fn peer(&mut self, files: usize) -> (Villager, Account) {
        self.peer_with(files, &[]).await
    }

    async fn peer_with(&mut self, files: usize, settings: &[(&str, &str)]) -> (Villager, Account) {
        fill(&self.dir.path().join("share"), "first", files);
        let (peer, wire) = self.newcomer_with("oak", LONG, settings).await;
        let mut account = Account {
            wire,
            listed: BTreeMap::new(),
            of_v1: BTreeSet::new(),
            seq: 0,
        };
        while account.hashed() < files {
            account.next().await;
        }
        (peer, account)
    }
}

/// What one peer has said.
struct Account {
    wire: Wire,
    /// Names, and whether their content is known.
    listed: BTreeMap<String, bool>,
    /// Names of files whose v1 torrents are known.
    of_v1: BTreeSet<String>,
    seq: u64,
}

impl Account {
    /// The next frame, which has to be an update, acknowledged.
    async fn next(&mut self) -> Update {
        let frame = self.wire.next().await.expect("the link stays up");
        let Body::Update(update) = frame.body else {
            panic!("{frame:?}");
        };
        if update.first && update.since.is_none() {
            self.listed.clear();
        }
        for entry in &update.added {
            self.listed
                .insert(entry.name.to_string(), entry.root.is_some());
            if entry.v1.is_some() {
                self.of_v1.insert(entry.name.to_string());
            }
        }
        for name in &update.removed {
            self.listed.remove(name.as_str());
        }
        self.seq = update.seq;
        if update.last {
            self.grant(None).await;
        }
        update
    }

    /// Acknowledges what was said, perhaps with another interval.
    async fn grant(&mut self, interval: Option<Duration>) {
        let ack = Ack {
            seq: Some(self.seq),
            interval: interval.map(millis),
            unlisted: false,
            record: None,
        };
        self.wire.send(Frame::plain(ack)).await;
    }

    fn hashed(&self) -> usize {
        self.listed.values().filter(|hashed| **hashed).count()
    }
}

fn millis(interval: Duration) -> u32 {
    u32::try_from(interval.as_millis()).expect("fits")
}

fn fill(dir: &Path, folder: &str, files: usize) {
    for number in 0..files {
        write(
            dir,
            &format!("{folder}/{number:05}"),
            number.to_string().as_bytes(),
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_peer_sends_its_tracker_one_message_an_interval_however_much_it_shares() {
    const INTERVALS: u32 = 5;
    let mut hall = Hall::open().await;
    let (_peer, mut account) = hall.peer(MANY).await;
    account.grant(Some(SHORT)).await;
    // The count begins with a sign of life.
    let mut seq = account.next().await.seq;
    let begun = Instant::now();
    for _ in 0..INTERVALS {
        let update = account.next().await;
        let quiet = Update::heartbeat(std::mem::replace(&mut seq, update.seq));
        assert_eq!(update, quiet, "a sign of life, and nothing else");
    }
    let took = begun.elapsed();
    println!("{INTERVALS} messages in {took:?}, at {SHORT:?} each, for {MANY} files");
    // The first may have been late to arrive, the last was not early.
    assert!(took > SHORT * (INTERVALS - 1), "{took:?}");
}

#[test]
fn a_peer_that_serves_clients_holds_no_file_open_and_has_no_task_for_one_while_idle() {
    let idle = |files| {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        runtime.expect("starts").block_on(idle_with(files))
    };
    let (few, many) = (idle(10), idle(MANY));
    println!("tasks with 10 files: {few}, with {MANY}: {many}");
    // Some of a node's own are there at some moments only.
    assert!(many < few + 5, "{few} and {many}");
}

/// How many tasks there are while a peer serves so many files to clients, and no client comes.
async fn idle_with(files: usize) -> usize {
    let mut hall = Hall::of_a_group(Tracks::Group).await;
    let (peer, mut account) = hall.peer_with(files, &[("share.bittorrent", "true")]).await;
    while account.of_v1.len() < files {
        account.next().await;
    }
    account.grant(Some(SHORT)).await;
    let mut seq = account.next().await.seq;
    let mut least = usize::MAX;
    for _ in 0..5 {
        let update = account.next().await;
        let quiet = Update::heartbeat(std::mem::replace(&mut seq, update.seq));
        assert_eq!(update, quiet, "a sign of life, and nothing else");
        assert_eq!(open_beneath(&peer.dir), Vec::<PathBuf>::new());
        least = least.min(Handle::current().metrics().num_alive_tasks());
    }
    answers_a_client(&peer, "00000", b"0").await;
    least
}

/// Asserts that an ordinary client is answered that means a file by its torrent.
async fn answers_a_client(peer: &Villager, base: &str, bytes: &[u8]) {
    let info = v2_info(base, content_of(bytes), Privacy::Private);
    let torrent = info_hash_v2(&info).truncated();
    let handshake = Handshake::of_client(torrent, ClientId::new([9; 20]));
    let stream = TcpStream::connect(peer.address()).await;
    let mut stream = stream.expect("connects");
    let said = stream.write_all(&handshake.encode()).await;
    said.expect("is read");
    let mut answer = [0; HANDSHAKE];
    let came = within("an answer", stream.read_exact(&mut answer)).await;
    came.expect("it serves clients");
    let answer = Handshake::decode(&answer).expect("a handshake");
    assert_eq!(answer.name, *torrent.as_bytes());
}

/// The files beneath a directory that this process holds open.
fn open_beneath(dir: &Path) -> Vec<PathBuf> {
    let dir = dir.canonicalize().expect("is there");
    let open = fs::read_dir("/proc/self/fd").expect("is there").flatten();
    let open = open.filter_map(|fd| fs::read_link(fd.path()).ok());
    open.filter(|path| path.starts_with(&dir) && *path != dir)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_files_that_are_moved_in_are_one_delta() {
    let mut hall = Hall::open().await;
    let (peer, mut account) = hall.peer(MANY).await;
    let outside = hall.dir.path().join("outside");
    fill(&outside, "more", MANY);
    let begun = Instant::now();
    fs::rename(outside.join("more"), peer.dir.join("more")).expect("moves");
    let (mut seqs, mut frames) = (BTreeSet::new(), 0);
    while account.listed.len() < 2 * MANY {
        let update = account.next().await;
        if update.since != Some(update.seq) {
            assert!(update.since.is_some(), "a delta");
            assert!(update.removed.is_empty());
            assert_eq!(
                update.first,
                frames == 0,
                "from its first frame to its last"
            );
            seqs.insert(update.seq);
            frames += 1;
        }
    }
    println!(
        "{MANY} more files: one delta of {frames} frames, after {:?}",
        begun.elapsed()
    );
    assert_eq!(seqs.len(), 1, "{seqs:?}");
    while account.hashed() < 2 * MANY {
        let update = account.next().await;
        assert!(update.removed.is_empty() && update.since.is_some());
        seqs.insert(update.seq);
    }
    println!(
        "their contents: {} more, after {:?}",
        seqs.len() - 1,
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_files_that_are_moved_in_appear_at_the_tracker() {
    let village = Village::new().await;
    fill(&village.share_of("oak"), "first", MANY);
    fill(&village.dir("outside"), "more", MANY);
    let oak = village.peer("oak", &[]).await;
    let begun = Instant::now();
    fs::rename(village.dir("outside").join("more"), oak.dir.join("more")).expect("moves");
    village.lists("oak", 2 * MANY).await;
    println!(
        "{MANY} more files are at the tracker after {:?}",
        begun.elapsed()
    );
    let last = format!("more/{:05}", MANY - 1);
    let elm = village.peer("elm", &[]).await;
    elm.get_name(&last).await.only_fetched();
    fs::remove_dir_all(oak.dir.join("first")).expect("removes");
    village.lists("oak", MANY).await;
}

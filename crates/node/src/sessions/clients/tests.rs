use std::net::SocketAddr;
use std::time::Duration;

use thorp_core::get::FetchId;
use thorp_core::swarm::Input;
use thorp_disk::testing::DISK;
use thorp_files::share::{Options, Share, ShareEvent};
use thorp_files::store::Store;
use thorp_group::clock::Clock;
use thorp_group::testing::Group;
use thorp_wire::frame::GroupRecord;
use thorp_wire::layout::Layout;
use thorp_wire::merkle::content_of;
use thorp_wire::session::ExtendedHandshake;
use thorp_wire::session::handshake::Extensions;
use thorp_wire::session::{
    ExchangedPeer, HashRange, Head, Message, MessageLimits, MetadataMessage, PeerExchange, Span,
};
use thorp_wire::torrent::build::{self, Privacy, v1_info, v2_info};
use thorp_wire::torrent::{Info, PieceHasher, PieceProofs, PieceSpace, info_hash_v1, info_hash_v2};
use thorp_wire::{ClientId, Content};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

mod asked;
mod kept;
mod silence;
mod together;
mod twins;

use super::*;
use crate::sessions::line::Broken;
use crate::sessions::{Fetching, Happening, Setup, TorrentBytes, Writing};

const LENGTH: usize = 300_000;
const LEAF: u32 = 16 * 1024;
const PATIENCE: Duration = Duration::from_secs(20);

/// A peer that serves clients, with one file and a folder.
struct Ground {
    transfers: Transfers,
    share: Share,
    events: mpsc::Receiver<ShareEvent>,
    group: Group,
    content: Content,
    bytes: Vec<u8>,
    at: SocketAddr,
    dir: tempfile::TempDir,
}

impl Ground {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let bytes: Vec<u8> = (0..=250).cycle().take(LENGTH).collect();
        std::fs::create_dir_all(dir.path().join("d/b")).expect("are made");
        for (name, bytes) in [
            ("f", &bytes),
            ("d/a", &bytes),
            ("d/b/c", &vec![7; 20_000]),
            ("d/none", &vec![]),
        ] {
            std::fs::write(dir.path().join(name), bytes).expect("is written");
        }
        let content = content_of(&bytes);
        let options = Options {
            bittorrent: true,
            cache: Some(dir.path().join(".hashes")),
            ..Options::default()
        };
        let (share, mut events) = Share::open(DISK, dir.path(), options).expect("a share");
        while share.torrent(info_hash("f", content)).is_none() {
            events.recv().await.expect("the share is open");
        }
        let group = Group::new();
        let tls = group.member("oak");
        let record = group.signed(GroupRecord {
            bittorrent: true,
            ..record(1)
        });
        tls.records().adopt(record).expect("is the group's");
        let transfers = Transfers::new(Setup {
            tls,
            clock: Clock::system(),
            source: None,
            port: Some(3334),
            share: Some(share.clone()),
            serves_clients: true,
            in_use: mpsc::channel(1).0,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let at = listener.local_addr().expect("has one");
        let to = transfers.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, remote)) = listener.accept().await {
                let mut bytes = [0; 68];
                if stream.read_exact(&mut bytes).await.is_ok()
                    && let Ok(handshake) = Handshake::decode(&bytes)
                {
                    to.on_client(Client {
                        stream,
                        handshake,
                        remote,
                    });
                }
            }
        });
        Self {
            transfers,
            share,
            events,
            group,
            content,
            bytes,
            at,
            dir,
        }
    }

    /// Waits until something is so in the share.
    async fn until(&mut self, is_so: impl Fn(&Share) -> bool) {
        while !is_so(&self.share) {
            let event = timeout(PATIENCE, self.events.recv()).await;
            event.expect("comes in time").expect("the share is open");
        }
    }

    async fn client(&self, extensions: Extensions) -> ByHand {
        self.client_of(info_hash("f", self.content), extensions)
            .await
    }

    async fn client_of(&self, torrent: InfoHash, extensions: Extensions) -> ByHand {
        let mut client = ByHand::new(self.at).await;
        let handshake = Handshake {
            extensions,
            ..Handshake::of_client(torrent, ClientId::new([9; 20]))
        };
        greeting::say(&mut client.outward, &handshake, None)
            .await
            .expect("is read");
        client
    }

    /// Whether no client and no file is left.
    fn is_at_rest(&self) -> bool {
        let table = self.transfers.table();
        table.client_seats.is_empty() && table.transfers.is_empty()
    }

    /// Whether a client that does as it should is served.
    async fn serves(&self) {
        let mut client = self.client(Extensions::default()).await;
        client.inward.handshake().await.expect("is answered");
        assert_eq!(
            client.hears().await,
            Ok(Message::Bitfield(vec![0b1100_0000]))
        );
        client.says(&Message::Interested).await;
        assert_eq!(client.hears().await, Ok(Message::Unchoke));
        let span = Span {
            piece: 1,
            begin: LEAF,
            length: 100,
        };
        client.says(&Message::Request(span)).await;
        let at = Layout::of(LENGTH as u64).piece_length() as usize + LEAF as usize;
        assert_eq!(client.block().await, self.bytes[at..at + 100]);
    }
}

fn record(number: u64) -> GroupRecord {
    GroupRecord {
        number,
        open: false,
        bittorrent: false,
        removed: Vec::new(),
    }
}

fn info_hash(name: &str, content: Content) -> InfoHash {
    info_hash_v2(&v2_info(name, content, Privacy::Private)).truncated()
}

/// A client that is played by hand.
struct ByHand {
    inward: Inward<OwnedReadHalf>,
    outward: Outward<OwnedWriteHalf>,
}

impl ByHand {
    async fn new(at: SocketAddr) -> Self {
        let stream = TcpStream::connect(at).await.expect("connects");
        let (read, write) = stream.into_split();
        Self {
            inward: Inward::new(read),
            outward: Outward::new(write),
        }
    }

    fn limits() -> MessageLimits {
        MessageLimits::of(Layout::of(LENGTH as u64), LEAF).expect("is short")
    }

    async fn says(&mut self, message: &Message) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        // The other end may have had enough.
        let _ = self.outward.send(&bytes).await;
    }

    async fn hears(&mut self) -> Result<Message, String> {
        let next = async {
            let head = self.inward.head(Self::limits()).await?;
            Ok::<_, Broken>(self.inward.message(head).await?.expect("is known"))
        };
        let heard = timeout(PATIENCE, next).await.expect("comes in time");
        heard.map_err(|why| why.to_string())
    }

    async fn block(&mut self) -> Vec<u8> {
        let head = self.inward.head(Self::limits()).await.expect("a head");
        let Head::Piece(span) = head else {
            panic!("no block: {head:?}");
        };
        self.inward.begin_block(head, span.length);
        let (mut block, mut filled) = (vec![0; span.length as usize], 0);
        while filled < block.len() {
            let some = self.inward.some_of_block(&mut block[filled..]).await;
            filled += some.expect("some");
        }
        block
    }

    /// Gets the info dictionary, and is unchoked by a peer that has all.
    async fn is_greeted_with(&mut self, info: &[u8]) {
        self.inward.handshake().await.expect("is answered");
        self.hears().await.expect("an extension handshake");
        assert_eq!(self.hears().await, Ok(Message::HaveAll));
        let ours = ExtendedHandshake {
            metadata: Some(5),
            ..ExtendedHandshake::default()
        };
        self.says(&ours.message()).await;
        let payload = MetadataMessage::Request(0).encode();
        let number = MetadataMessage::NUMBER;
        self.says(&Message::Extended { number, payload }).await;
        let Ok(Message::Extended { number: 5, payload }) = self.hears().await else {
            panic!("the info dictionary was asked for");
        };
        let Ok(MetadataMessage::Block { bytes, .. }) = MetadataMessage::decode(&payload) else {
            panic!("it is there");
        };
        assert_eq!(bytes, info);
        self.says(&Message::Interested).await;
        assert_eq!(self.hears().await, Ok(Message::Unchoke));
    }

    /// Asks for a block.
    async fn gets(&mut self, piece: u32, begin: u32, length: u32) -> Vec<u8> {
        let span = Span {
            piece,
            begin,
            length,
        };
        self.says(&Message::Request(span)).await;
        self.block().await
    }

    async fn is_closed(&mut self) -> bool {
        loop {
            match self.hears().await {
                Ok(_) => {}
                Err(_) => return true,
            }
        }
    }
}

#[tokio::test]
async fn a_client_gets_blocks_hashes_and_the_info_dictionary() {
    let ground = Ground::new().await;
    let mut client = ground.client(Extensions::ALL).await;
    let theirs = client.inward.handshake().await.expect("is answered");
    assert_eq!(theirs.name, *info_hash("f", ground.content).as_bytes());
    let Ok(Message::Extended { number: 0, payload }) = client.hears().await else {
        panic!("an extension handshake comes first");
    };
    let said = ExtendedHandshake::decode(&payload).expect("is well said");
    let info = v2_info("f", ground.content, Privacy::Private);
    assert_eq!(
        said.metadata_length.map(|length| length as usize),
        Some(info.len())
    );
    assert_eq!(client.hears().await, Ok(Message::HaveAll));
    let ours = ExtendedHandshake {
        metadata: Some(5),
        ..ExtendedHandshake::default()
    };
    client.says(&ours.message()).await;
    let request = MetadataMessage::Request(0).encode();
    let number = said.metadata.expect("is offered");
    client
        .says(&Message::Extended {
            number,
            payload: request,
        })
        .await;
    let Ok(Message::Extended { number: 5, payload }) = client.hears().await else {
        panic!("the info dictionary was asked for");
    };
    let Ok(MetadataMessage::Block { bytes, .. }) = MetadataMessage::decode(&payload) else {
        panic!("it is there");
    };
    assert_eq!(bytes, info);
    let range = HashRange {
        root: ground.content.root,
        base: Layout::of(LENGTH as u64).piece_height(),
        index: 0,
        length: 2,
        proofs: 0,
    };
    client.says(&Message::HashRequest(range)).await;
    let heard = client.hears().await;
    assert!(
        matches!(&heard, Ok(Message::Hashes(_, hashes)) if hashes.len() == 2),
        "{heard:?}"
    );
    ground.serves().await;
}

#[tokio::test]
async fn a_client_of_version_1_gets_its_info_dictionary_and_the_same_bytes() {
    let mut ground = Ground::new().await;
    let mut pieces = PieceHasher::new(Layout::of(LENGTH as u64).piece_length());
    pieces.update(&ground.bytes);
    let info = v1_info("f", LENGTH as u64, &pieces.finish(), Privacy::Private);
    let torrent = info_hash_v1(&info);
    ground.until(|share| share.torrent(torrent).is_some()).await;
    let extensions = Extensions {
        v2: false,
        ..Extensions::ALL
    };
    let mut client = ground.client_of(torrent, extensions).await;
    client.is_greeted_with(&info).await;
    let span = Span {
        piece: 0,
        begin: LEAF,
        length: LEAF,
    };
    client.says(&Message::Request(span)).await;
    let leaf = LEAF as usize;
    assert_eq!(client.block().await, ground.bytes[leaf..2 * leaf]);
}

#[tokio::test]
async fn a_file_is_fetched_from_a_client_that_has_its_torrent() {
    let (seeds, wants) = (Ground::new().await, Ground::new().await);
    let torrent = info_hash("f", seeds.content);
    let sources = wants.fetch(&seeds, torrent, seeds.at).await;
    assert_eq!(sources, [SourceId::Client(seeds.at)]);
}

fn public_hash(content: Content) -> InfoHash {
    info_hash_v2(&v2_info("f", content, Privacy::Public)).truncated()
}

impl Ground {
    /// Fetches the file of another peer, of which a client is known that is in this torrent.
    /// Returns who has sent it.
    async fn fetch(&self, seeds: &Self, torrent: InfoHash, known: SocketAddr) -> Vec<SourceId> {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(DISK, dir.path()).expect("opens");
        let name = "f".parse().expect("a name");
        let partial = store.partial(DISK, &name, seeds.content);
        let partial = Arc::new(partial.expect("there is room"));
        let (released, _released) = mpsc::unbounded_channel();
        let writing = Writing::new(FetchId(1), released);
        let fetching = self.transfers.fetch(&partial, writing);
        let mut fetching = fetching.expect("can be fetched");
        let transfer = Arc::clone(&fetching.transfer);
        transfer.is_in_torrents(Some(public_hash(seeds.content)), None);
        transfer.holders(Vec::new());
        transfer.clients(torrent, vec![known]);
        let gathered = async {
            loop {
                match fetching.happenings.recv().await.expect("goes on") {
                    Happening::Dial(source) => self.transfers.call(&transfer, source),
                    Happening::Complete(sources) => return sources,
                    Happening::ToCome(_) | Happening::Widen | Happening::WantsClients { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
        };
        let sources = timeout(PATIENCE, gathered).await.expect("comes in time");
        let mut bytes = vec![0; LENGTH];
        partial.read(DISK, &mut bytes, 0).expect("is there");
        assert_eq!(bytes, seeds.bytes);
        sources
    }

    /// The same for a torrent of this peer itself, of which nothing has come yet.
    fn fetch_own_torrent(&self) -> (Fetching, tempfile::TempDir) {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(DISK, dir.path()).expect("opens");
        let mut pieces = PieceHasher::new(Layout::of(LENGTH as u64).piece_length());
        pieces.update(&self.bytes);
        let raw = v1_info("f", LENGTH as u64, &pieces.finish(), Privacy::Public);
        let info = Info::decode(&raw).expect("a torrent");
        let space = PieceSpace::of(&info).expect("fits");
        let proofs = PieceProofs::of(&info, |_| None).expect("is of v1");
        let torrent = Arc::new(TorrentBytes::new(info, space, proofs));
        let name = "f".parse().expect("a name");
        let partial = store.partial(DISK, &name, torrent.content());
        let partial = Arc::new(partial.expect("there is room"));
        let files = std::collections::BTreeSet::from([0]);
        let fetching = self.transfers.fetch_torrent(&torrent, files, &partial);
        (fetching.expect("can be fetched"), dir)
    }

    /// A client that listens at this port and wants to be told of others by the number 7. Returns
    /// it, and by which number this peer wants to be told.
    async fn telling(&self, torrent: InfoHash, port: u16) -> (ByHand, Option<u8>) {
        let mut client = ByHand::new(self.at).await;
        let handshake = Handshake::of_client(torrent, ClientId::new([9; 20]));
        let ours = ExtendedHandshake {
            exchange: Some(7),
            port: Some(port),
            ..ExtendedHandshake::default()
        };
        greeting::say(&mut client.outward, &handshake, Some(&ours))
            .await
            .expect("is read");
        client.inward.handshake().await.expect("is answered");
        let Ok(Message::Extended { number: 0, payload }) = client.hears().await else {
            panic!("an extension handshake comes first");
        };
        let theirs = ExtendedHandshake::decode(&payload).expect("is well said");
        assert_eq!(client.hears().await, Ok(Message::HaveAll));
        (client, theirs.exchange)
    }
}

#[tokio::test]
async fn a_client_can_be_dialled_after_thousands_were_named_that_cannot_be_reached() {
    let ground = Ground::new().await;
    let (mut fetching, _dir) = ground.fetch_own_torrent();
    let transfer = Arc::clone(&fetching.transfer);
    let fetched = transfer.torrent().expect("it is of a torrent");
    let torrent = fetched.info.info_hashes().next().expect("it has one");
    let client = |ip: u8, port: u16| SocketAddr::from(([10, 0, 0, ip], port));
    tokio::time::pause();
    for ip in 0..5 {
        transfer.clients(torrent, (1..=500).map(|port| client(ip, port)).collect());
        // Each was dialled twice by then.
        for _ in 0..60 {
            while let Ok(happening) = fetching.happenings.try_recv() {
                if let Happening::Dial(source) = happening {
                    transfer.dial_failed(source.id(), "it is off".to_owned());
                }
            }
            tokio::time::advance(Duration::from_millis(250)).await;
            transfer.handle(Input::Tick);
        }
    }
    let late = client(9, 1);
    transfer.clients(torrent, vec![late]);
    let torrent_of = |client| transfer.torrent_of(client).map(|asked| asked.torrent);
    assert_eq!(torrent_of(late), Some(torrent));
    assert_eq!(torrent_of(client(0, 1)), None, "it gave way");
}

#[tokio::test]
async fn clients_of_a_public_torrent_are_told_of_one_another_and_those_of_a_private_one_are_not() {
    let ground = Ground::new().await;
    let (public, private) = (public_hash(ground.content), info_hash("f", ground.content));
    let (mut one, number) = ground.telling(public, 1111).await;
    assert_eq!(number, Some(PeerExchange::NUMBER));
    let (_other, number) = ground.telling(private, 2222).await;
    assert_eq!(number, None);
    let (mut third, _) = ground.telling(private, 3333).await;
    let (mut last, _) = ground.telling(public, 4444).await;
    for (client, of) in [(&mut one, 4444), (&mut last, 1111)] {
        let Ok(Message::Extended { number: 7, payload }) = client.hears().await else {
            panic!("is told of the other");
        };
        let told = PeerExchange::decode(&payload).expect("is well said");
        let address = SocketAddr::from(([127, 0, 0, 1], of));
        assert_eq!(told.added, [ExchangedPeer { address, flags: 0 }]);
        assert_eq!(told.dropped, []);
    }
    // It is answered, and nothing else was said before.
    third.says(&Message::Interested).await;
    assert_eq!(third.hears().await, Ok(Message::Unchoke));
}

#[tokio::test]
async fn a_client_that_another_client_tells_of_is_a_source() {
    let (seeds, wants) = (Ground::new().await, Ground::new().await);
    let torrent = public_hash(seeds.content);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let tells_at = listener.local_addr().expect("has one");
    let told_of = seeds.at;
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("is dialled");
        let (read, write) = stream.into_split();
        let (mut inward, mut outward) = (Inward::new(read), Outward::new(write));
        inward.handshake().await.expect("is greeted");
        let handshake = Handshake::of_client(torrent, ClientId::new([9; 20]));
        let ours = ExtendedHandshake::default();
        greeting::say(&mut outward, &handshake, Some(&ours))
            .await
            .expect("is read");
        let told = PeerExchange {
            added: vec![ExchangedPeer {
                address: told_of,
                flags: 0,
            }],
            dropped: Vec::new(),
        };
        let mut words = Vec::new();
        Message::Extended {
            number: PeerExchange::NUMBER,
            payload: told.encode(),
        }
        .encode(&mut words);
        outward.send(&words).await.expect("is read");
        outward.flush().await.expect("is read");
        std::future::pending::<()>().await;
    });
    let sources = wants.fetch(&seeds, torrent, tells_at).await;
    assert_eq!(sources, [SourceId::Client(seeds.at)]);
}

#[tokio::test]
async fn whatever_clients_say_another_one_is_served_and_nothing_of_them_stays() {
    let mut ground = Ground::new().await;
    let (files, in_share) = ground.folder().await;
    let info = build::v2_folder_info("d", &files, Privacy::Private);
    let kept = ground.keep(&info, &in_share).await;
    let torrents = [info_hash("f", ground.content), kept];
    for seed in 0..400 {
        let mut random = fastrand::Rng::with_seed(seed);
        let extensions = Extensions {
            extended: random.bool(),
            fast: random.bool(),
            v2: random.bool(),
        };
        let torrent = torrents[random.usize(..torrents.len())];
        let mut client = ground.client_of(torrent, extensions).await;
        let mut words = Vec::new();
        for _ in 0..random.usize(..30) {
            said(&mut random, ground.content).encode(&mut words);
        }
        // Some of it is not what it was, and some is cut.
        for _ in 0..random.usize(..3) {
            if !words.is_empty() {
                let at = random.usize(..words.len());
                words[at] = random.u8(..);
            }
        }
        words.truncate(random.usize(..=words.len()));
        let _ = client.outward.send(&words).await;
        if random.bool() {
            // It reads some of what it gets.
            let reads = async {
                client.inward.handshake().await?;
                client.is_closed().await;
                Ok::<_, Broken>(())
            };
            let _ = timeout(Duration::from_millis(2), reads).await;
        }
    }
    let all_are_gone = async {
        while !ground.is_at_rest() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, all_are_gone)
        .await
        .expect("nothing is left of them");
    ground.serves().await;
}

/// A message that a client may send, or should not.
fn said(random: &mut fastrand::Rng, content: Content) -> Message {
    let span = Span {
        piece: random.u32(..3),
        begin: random.u32(..20) * LEAF,
        length: [LEAF, 1, 0, 1 << 20][random.usize(..4)],
    };
    let range = HashRange {
        root: content.root,
        base: random.u32(..6),
        index: random.u32(..4),
        length: 1 << random.u32(..5),
        proofs: random.u32(..4),
    };
    let extended = |number, payload: Vec<u8>| Message::Extended { number, payload };
    match random.u8(..20) {
        0 => Message::KeepAlive,
        1 => Message::Choke,
        2 => Message::Unchoke,
        3 => Message::Interested,
        4 => Message::NotInterested,
        5 => Message::Have(random.u32(..3)),
        6 => Message::Bitfield(vec![random.u8(..)]),
        7 | 8 => Message::Request(span),
        9 => Message::Cancel(span),
        10 => Message::Suggest(random.u32(..)),
        11 => Message::HaveAll,
        12 => Message::HaveNone,
        13 => Message::Reject(span),
        14 => Message::AllowedFast(random.u32(..)),
        15 => Message::HashRequest(range),
        16 => Message::Hashes(range, vec![[random.u8(..); 32]; random.usize(..4)]),
        17 => extended(0, b"d1:md11:ut_metadatai3eee".to_vec()),
        18 => extended(1, MetadataMessage::Request(random.u32(..2)).encode()),
        _ => extended(random.u8(..), vec![random.u8(..); random.usize(..40)]),
    }
}

#[tokio::test]
async fn a_client_is_let_go_when_the_group_serves_clients_no_more() {
    let ground = Ground::new().await;
    let mut client = ground.client(Extensions::default()).await;
    client.inward.handshake().await.expect("is answered");
    let records = ground.transfers.0.tls.records();
    let record = ground.group.signed(record(2));
    records.adopt(record).expect("is the group's");
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn what_is_no_torrent_of_the_share_gets_no_byte() {
    let ground = Ground::new().await;
    for other in [
        info_hash("g", ground.content),
        InfoHash::new([7; 20]),
        // Among members this names the file.
        InfoHash::truncated(ground.content.root.as_bytes()),
    ] {
        let mut client = ByHand::new(ground.at).await;
        let handshake = Handshake::of_client(other, ClientId::new([9; 20]));
        greeting::say(&mut client.outward, &handshake, None)
            .await
            .expect("is read");
        let answer = client.inward.handshake().await;
        assert!(
            matches!(answer, Err(Broken::Closed | Broken::Io(_))),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn a_torrent_that_was_stopped_while_its_files_are_put_in_their_places_serves_nobody() {
    let ground = Ground::new().await;
    for stops in [true, false] {
        let (fetching, _dir) = ground.fetch_own_torrent();
        let transfer = Arc::clone(&fetching.transfer);
        if stops {
            transfer.stop("its files are put in their places");
        }
        fetching.on_torrent_arrived();
        assert_eq!(transfer.is_over(), stops, "dials under way ask this");
        let table = ground.transfers.table();
        assert!(!table.transfers.contains_key(&transfer.content()));
    }
}

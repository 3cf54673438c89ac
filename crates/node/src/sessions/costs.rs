//! What a block costs both ends: a change for the worse is found here, on any machine and at any
//! load. How many blocks a file takes is counted in `core`.

use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use thorp_core::bound::Account;
use thorp_core::get::FetchId;
use thorp_disk::testing::DISK;
use thorp_files::share::{Options, Share};
use thorp_files::store::Store;
use thorp_group::clock::Clock;
use thorp_group::testing::Group;
use thorp_wire::Content;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex, split};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::line::{Inward, Outward};
use super::session::{self, Opening};
use super::{Happening, Setup, Transfers, Writing};

const MIB: u64 = 1024 * 1024;
/// So long that its pieces are of 1 MiB; most of it is a hole.
const LENGTH: u64 = 1024 * MIB;
const DATA: u64 = 32;
const PATIENCE: Duration = Duration::from_mins(1);

/// Counts how often something is sent.
struct Counted {
    stream: DuplexStream,
    sent: Arc<AtomicU64>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, room)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.sent
            .fetch_add(u64::from(sent.is_ready()), Ordering::Relaxed);
        sent
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A share with one file, which is hashed.
async fn shared(dir: &std::path::Path) -> (Share, Content) {
    let path = dir.join("share");
    std::fs::create_dir(&path).expect("is made");
    let file = std::fs::File::create(path.join("f")).expect("is made");
    file.set_len(LENGTH).expect("is a hole");
    for (number, piece) in (0..DATA).enumerate() {
        let bytes: Vec<u8> = (1..=250).cycle().skip(number).take(1 << 20).collect();
        file.write_all_at(&bytes, piece * 7 * MIB)
            .expect("is written");
    }
    let (share, mut events) = Share::open(DISK, &path, Options::default()).expect("a share");
    let name = "f".parse().expect("a name");
    loop {
        events.recv().await.expect("the share is open");
        let root = share.listed(&name).and_then(|entry| entry.root);
        if let Some(root) = root {
            let length = LENGTH;
            return (share, Content { length, root });
        }
    }
}

fn transfers(group: &Group, name: &str, share: Option<Share>) -> Transfers {
    Transfers::new(Setup {
        tls: group.member(name),
        clock: Clock::system(),
        source: None,
        port: None,
        share,
        serves_clients: false,
        in_use: mpsc::channel(1).0,
    })
}

#[tokio::test]
async fn a_block_takes_one_read_one_write_and_one_word() {
    let dir = tempfile::tempdir().expect("a directory");
    let (share, content) = shared(dir.path()).await;
    let group = Group::new();
    let (holder, asker) = (
        transfers(&group, "oak", Some(share)),
        transfers(&group, "elm", None),
    );
    let store = Store::open(DISK, dir.path()).expect("opens");
    let name = "g".parse().expect("a name");
    let partial = Arc::new(store.partial(DISK, &name, content).expect("there is room"));
    let (released, _released) = mpsc::unbounded_channel();
    let fetching = asker.fetch(&partial, Writing::new(FetchId(1), released));
    let mut fetching = fetching.expect("can be fetched");
    let transfer = Arc::clone(&fetching.transfer);
    transfer.holders(Vec::new());

    let (there, here) = duplex(1 << 20);
    let at = (asker.me(), Account::Member(asker.me()));
    let attending = holder.clone();
    tokio::spawn(async move { attending.attend(at, there, std::future::pending()).await });
    let sent = Arc::new(AtomicU64::new(0));
    let (read, write) = split(Counted {
        stream: here,
        sent: Arc::clone(&sent),
    });
    let (mut inward, mut outward) = (Inward::new(read), Outward::new(write));
    let (session, answers) = (asker.next_session(), asker.answers());
    let ends = (&mut inward, &mut outward);
    let met = asker.exchange(ends, None, &transfer, false, (session, &answers));
    let offer = met.await.expect("a greeting");
    let others = [asker.next_session(), asker.next_session()];
    let said = others.map(|other| transfer.call(other).len());
    assert_eq!(said, [2, 0], "two are asked for the hashes");
    let serving = holder.table().transfers.values().next().cloned();
    let serving = serving.expect("it is served");
    let opening = Opening {
        session,
        source: holder.me().into(),
        account: Account::Member(holder.me()),
        dialled: true,
        offer,
        answers,
        client: None,
    };
    let moved = Arc::clone(&transfer);
    tokio::spawn(async move {
        let forever = std::future::pending();
        session::run(&mut inward, &mut outward, &moved, opening, forever).await
    });
    let complete = async {
        while !matches!(
            fetching.happenings.recv().await,
            Some(Happening::Complete(_))
        ) {}
    };
    timeout(PATIENCE, complete).await.expect("comes in time");

    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let (reads, writes) = (of(&serving.on_disk.reads), of(&transfer.on_disk.writes));
    let (blocks, sent) = (of(&transfer.on_disk.claimed), of(&sent));
    assert_eq!(
        transfer.progress().received,
        DATA * MIB,
        "the rest is a hole"
    );
    assert!(blocks >= DATA, "{blocks} blocks of at most 1 MiB");
    assert!(writes <= blocks, "{writes} writes for {blocks} blocks");
    assert!(reads <= blocks, "{reads} reads for {blocks} blocks");
    // Its greeting, its interest and the requests for hashes come before.
    assert!(sent <= blocks + 10, "{sent} words for {blocks} blocks");
}

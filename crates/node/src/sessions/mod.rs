//! Large files: sessions, and the transfers that they are about.
//!
//! ```text
//! transfer  one file: the lock around its swarm, outputs routed to sessions
//! session   one connection, for as long as it is about one file
//! line      one connection, whatever it is about: bytes into messages and back
//! reading   a file that is read while it is fetched
//! readers   who reads it, and how each is told to go on
//! buffers   for blocks that arrive
//! run       blocks that have arrived and are written together
//! outbox    what is still to be sent on one session
//! outgoing  blocks that are read to be sent, and where in memory
//! greeting  the words that a session begins with
//! calls     connections that this end makes, and those kept for the next file
//! callers   connections that other members make, and which file they mean
//! clients   connections that BitTorrent clients make, and which torrent they mean
//! kept      torrents that are kept, and where in the share their bytes are
//! metadata  what a client is asked of a torrent that only a magnet link names
//! talk      what is said with a client beside the messages of the swarm
//! torrent   what is known of a torrent that is being fetched
//! seats     places for connections that others make
//! files     where a file's bytes are
//! hashing   leaves that others ask for, and pieces of torrents, on threads for the disk
//! traffic   how many bytes have gone, and to which members some go now
//! ```
//!
//! Which piece to ask of which member is decided in [`thorp_core::swarm`], one
//! machine a file; here bytes are moved, between TLS and disk, past it.
//!
//! A [`Transfers`] holds a row for each file that is being fetched or served at
//! this moment, and nothing for any other: the first session opens a file, the
//! last one closes it.

mod buffers;
mod callers;
mod calls;
mod clients;
#[cfg(test)]
mod costs;
mod files;
mod greeting;
mod hashing;
mod kept;
mod line;
mod metadata;
mod outbox;
mod outgoing;
mod readers;
mod reading;
mod run;
mod seats;
mod session;
mod talk;
mod torrent;
mod traffic;
mod transfer;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thorp_core::get::FetchId;
use thorp_core::swarm::{
    Config, Have, SessionId, SourceId, Swarm, SwarmLimits, SwarmProgress, TorrentConfig, Unfit,
};
use thorp_core::time::Instant;
use thorp_disk::DiskThread;
use thorp_files::share::Share;
use thorp_files::store::Partial;
use thorp_group::clock::Clock;
use thorp_group::tls::MemberTls;
use thorp_wire::layout::Block;
use thorp_wire::session::handshake::name_of;
use thorp_wire::{ClientId, Content, InfoHash, PeerId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::net::announcing::{Announcer, UdpConnections};

use callers::TURNED_AWAY_AT_ONCE;
use calls::Idle;
use files::FileBytes;
use metadata::SoughtRow;
pub(crate) use metadata::{Metadata, Sought};
pub(crate) use reading::{READ, TransferReader};
use seats::Seats;
use session::Answers;
pub(crate) use torrent::{TorrentBytes, from_memory};
use traffic::Traffic;
use transfer::About;
pub(crate) use transfer::{Happening, Transfer};

/// Ranges of leaves that are hashed for others at once: each may cost reading a
/// whole piece, on threads that writing files needs too.
const HASHED_AT_ONCE: usize = 2;
/// How many sessions with members answer requests of up to 1 MiB, of which each may have two in
/// memory; the others answer shorter ones.
const LONG: usize = 32;
/// In how many parts at most a file is shown.
const PARTS: u32 = 100;
/// How long an upload is shown after its last byte.
const SHOWN_FOR: Duration = Duration::from_secs(10);
/// How long it is known of a fetch how it ended: a reader that looks twice a
/// second sees it.
const ENDS_KEPT: Duration = Duration::from_secs(2);
/// Of how many fetches.
const MOST_ENDS: usize = 64;

/// All transfers of a peer. Clones are the same.
#[derive(Clone)]
pub(crate) struct Transfers(Arc<Shared>);

struct Shared {
    tls: MemberTls,
    clock: Clock,
    /// Where to dial from.
    source: Option<IpAddr>,
    /// Where this peer listens.
    port: Option<u16>,
    /// What it calls itself among clients, anew at each start, and by what a tracker knows it
    /// again at another address.
    client_id: ClientId,
    client_key: u32,
    /// Conversations with trackers of clients.
    udp: UdpConnections,
    /// Whether its user wants clients to be served.
    serves_clients: bool,
    share: Option<Share>,
    table: Mutex<Table>,
    hashers: Arc<Semaphore>,
    /// Places for sessions that answer long requests.
    long: Arc<Semaphore>,
    /// Callers that are being told that there is no place.
    turning_away: Arc<Semaphore>,
    last_session: AtomicU64,
    traffic: Arc<Traffic>,
    /// Ends all connections once it says so.
    closing: watch::Sender<bool>,
}

/// What there is at this moment.
struct Table {
    transfers: BTreeMap<Content, Arc<Transfer>>,
    /// Files of the share that are being opened, by the name in a handshake. A row
    /// that is done with goes with the next one.
    opened: BTreeMap<[u8; 20], Arc<Semaphore>>,
    /// A block of each file of the share that the disk did not give, by the same name: a
    /// caller is told to come again until the disk gives it.
    not_given: BTreeMap<[u8; 20], Block>,
    /// Of connections that members have made, and that clients have.
    seats: Seats<PeerId>,
    client_seats: Seats<IpAddr>,
    idle: BTreeMap<PeerId, Vec<Idle>>,
    /// Torrents of which it is not known yet what they are.
    sought: BTreeMap<InfoHash, SoughtRow>,
    /// Of torrents that are being fetched. A row that is done with goes with the next one.
    torrent_turns: BTreeMap<Content, Arc<Semaphore>>,
    /// Fetches that have ended lately, and when; the latest last.
    ended: VecDeque<(std::time::Instant, Fetch)>,
}

/// How far a fetch is.
#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    pub content: Content,
    /// How it is called if it is a torrent's.
    pub torrent: Option<String>,
    pub progress: SwarmProgress,
    /// Which members have sent how many bytes of it, most first.
    pub sent_by: Vec<(PeerId, u64)>,
    /// How much of each part of it is here and verified, from 0 to 9.
    pub parts: Vec<u8>,
}

/// Bytes of a file that go out on a connection.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub session: SessionId,
    pub content: Content,
    /// How it is called if it is a torrent's.
    pub torrent: Option<String>,
    pub to: SourceId,
    pub sent: u64,
}

/// What a peer's sessions stand on.
pub(crate) struct Setup {
    pub tls: MemberTls,
    pub clock: Clock,
    pub source: Option<IpAddr>,
    pub port: Option<u16>,
    pub share: Option<Share>,
    /// Whether clients are served where the group serves them.
    pub serves_clients: bool,
    /// Told now and then of each member with which there is a session, or that bytes of a file go
    /// to.
    pub in_use: mpsc::Sender<PeerId>,
}

/// Held for as long as anything may be written to a file that is being fetched:
/// no other fetch of it begins meanwhile.
#[derive(Debug)]
pub(crate) struct Writing {
    fetch: FetchId,
    /// Told when it is dropped. As many as there are, so the channel needs no
    /// bound of its own.
    released: mpsc::UnboundedSender<FetchId>,
}

/// Held for as long as anything may be written to a torrent's partial file. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct TorrentTurn(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl TorrentTurn {
    /// Nothing is written to it any more, though it may be open still.
    pub fn end(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// A file that is being fetched. Given up when it is dropped.
pub(crate) struct Fetching {
    transfers: Transfers,
    pub transfer: Arc<Transfer>,
    pub happenings: mpsc::UnboundedReceiver<Happening>,
}

impl Transfers {
    pub fn new(setup: Setup) -> Self {
        Self(Arc::new(Shared {
            tls: setup.tls,
            clock: setup.clock,
            source: setup.source,
            port: setup.port,
            client_id: client_id(),
            client_key: client_key(),
            udp: UdpConnections::default(),
            serves_clients: setup.serves_clients,
            share: setup.share,
            table: Mutex::new(Table::new()),
            hashers: Arc::new(Semaphore::new(HASHED_AT_ONCE)),
            long: Arc::new(Semaphore::new(LONG)),
            turning_away: Arc::new(Semaphore::new(TURNED_AWAY_AT_ONCE)),
            last_session: AtomicU64::new(0),
            traffic: Arc::new(Traffic::new(setup.in_use)),
            closing: watch::channel(false).0,
        }))
    }

    /// How long a request is answered on a session with a member that begins now.
    fn answers(&self) -> Answers {
        match Arc::clone(&self.0.long).try_acquire_owned() {
            Ok(place) => Answers::long(place),
            Err(_) => Answers::default(),
        }
    }

    /// Begins to fetch a file into `partial`. Members that ask for it are served
    /// from what is there already, from now on.
    pub fn fetch(&self, partial: &Arc<Partial>, writing: Writing) -> Result<Fetching, Unfit> {
        let content = partial.content();
        let (sender, happenings) = mpsc::unbounded_channel();
        let bytes = FileBytes::Partial(Arc::clone(partial));
        partial.keep_until_closed(writing);
        let transfer = self.start(content, bytes, Have::Nothing, sender)?;
        // Where another copy of it is being served, that goes on beside this.
        self.table()
            .transfers
            .entry(content)
            .or_insert_with(|| Arc::clone(&transfer));
        Ok(Fetching {
            transfers: self.clone(),
            transfer,
            happenings,
        })
    }

    /// Begins to fetch these files of a torrent into `partial`. Clients that ask for it are served
    /// from what is there already, from now on.
    pub fn fetch_torrent(
        &self,
        torrent: &Arc<TorrentBytes>,
        files: BTreeSet<usize>,
        partial: &Arc<Partial>,
    ) -> Result<Fetching, Unfit> {
        let config = TorrentConfig {
            space: Arc::clone(&torrent.space),
            files,
            me: self.me(),
            seed: crate::system::random(),
            limits: SwarmLimits::default(),
        };
        let now = Instant::after_start(self.0.clock.elapsed());
        let swarm = Swarm::of_torrent(now, config)?;
        let (sender, happenings) = mpsc::unbounded_channel();
        let transfer = Transfer::start(
            About::Torrent(Arc::clone(torrent)),
            FileBytes::Partial(Arc::clone(partial)),
            (swarm, false),
            self.0.clock.clone(),
            Arc::clone(&self.0.traffic),
            Arc::clone(&self.0.hashers),
            sender,
        );
        self.table()
            .transfers
            .insert(transfer.content(), Arc::clone(&transfer));
        Ok(Fetching {
            transfers: self.clone(),
            transfer,
            happenings,
        })
    }

    /// Waits for the turn to fetch a torrent: two fetches of it would write to two files.
    pub async fn torrent_turn(&self, content: Content) -> TorrentTurn {
        let lock = alone(&mut self.table().torrent_turns, content);
        let turn = lock.acquire_owned().await.ok();
        TorrentTurn(Arc::new(Mutex::new(turn)))
    }

    /// Whether a torrent of others may be fetched here: the group serves clients, and so does this
    /// peer if it has a share.
    pub fn may_fetch_torrents(&self) -> bool {
        let share_serves = self.0.share.is_none() || self.0.serves_clients;
        share_serves && self.0.tls.records().serves_clients()
    }

    /// Whether both this peer and its group serve clients, and clients are asked for files.
    pub fn serves_clients(&self) -> bool {
        self.0.serves_clients && self.0.tls.records().serves_clients()
    }

    /// Where this peer listens, if it does.
    pub fn port(&self) -> Option<u16> {
        self.0.port
    }

    /// What trackers are told of this peer about a torrent.
    pub fn announcer(&self, torrent: InfoHash) -> Announcer {
        Announcer {
            torrent,
            client: self.0.client_id,
            key: self.0.client_key,
            port: self.0.port,
            source: self.0.source,
            udp: self.0.udp.clone(),
        }
    }

    /// Large files since the start: those of which bytes were sent, one for each session, and those
    /// that were fetched.
    pub fn files(&self) -> (u64, u64) {
        self.0.traffic.files()
    }

    /// A large file has been fetched.
    pub fn on_fetched(&self) {
        self.0.traffic.fetched();
    }

    /// Bytes of files that went over sessions since the start: sent, received.
    pub fn tally(&self) -> (u64, u64) {
        self.0.traffic.bytes()
    }

    /// The files that are being fetched at this moment, and how those were left
    /// whose fetch has ended in the last seconds.
    pub fn fetches(&self) -> Vec<Fetch> {
        let mut table = self.table();
        table.forget_ends();
        let transfers = table.transfers.values();
        let under_way = transfers.filter(|transfer| transfer.wants_something());
        let ended = table.ended.iter().rev();
        let ended = ended.map(|(_, fetch)| (fetch.content, fetch.clone()));
        let mut fetches: BTreeMap<Content, Fetch> = BTreeMap::new();
        // A fetch that goes on hides one that has ended.
        let under_way = under_way.map(|transfer| (transfer.content(), Fetch::of(transfer)));
        for (content, fetch) in under_way.chain(ended) {
            fetches.entry(content).or_insert(fetch);
        }
        fetches.into_values().collect()
    }

    /// The fetch of a file that is under way.
    pub fn fetch_of(&self, content: Content) -> Option<Arc<Transfer>> {
        let table = self.table();
        let transfer = table.transfers.get(&content)?;
        let is_file = transfer.kept().is_none() && transfer.torrent().is_none();
        (is_file && transfer.wants_something()).then(|| Arc::clone(transfer))
    }

    /// What goes out at this moment, and to which members and clients.
    pub fn uploads(&self) -> Vec<Upload> {
        let transfers: Vec<_> = self.table().transfers.values().cloned().collect();
        let of = |transfer: &Arc<Transfer>| {
            let (content, torrent) = (transfer.content(), transfer.torrent_name());
            let uploads = transfer.uploads(SHOWN_FOR).into_iter();
            let upload = move |(session, to, sent)| Upload {
                session,
                content,
                torrent: torrent.clone(),
                to,
                sent,
            };
            uploads.map(upload).collect::<Vec<_>>()
        };
        transfers.iter().flat_map(of).collect()
    }

    /// Ends all transfers and all connections.
    pub fn close(&self) {
        self.0.closing.send_replace(true);
        let mut table = self.table();
        table.idle.clear();
        let transfers = std::mem::take(&mut table.transfers);
        drop(table);
        for transfer in transfers.into_values() {
            transfer.stop("this peer stops");
        }
    }

    fn start(
        &self,
        content: Content,
        bytes: FileBytes,
        have: Have,
        happenings: mpsc::UnboundedSender<Happening>,
    ) -> Result<Arc<Transfer>, Unfit> {
        let clock = self.0.clock.clone();
        let complete = have != Have::Nothing;
        let config = Config {
            content,
            me: self.me(),
            seed: crate::system::random(),
            have,
            limits: SwarmLimits::default(),
        };
        let swarm = Swarm::new(Instant::after_start(clock.elapsed()), config)?;
        let swarm = (swarm, complete);
        let traffic = Arc::clone(&self.0.traffic);
        let hashers = Arc::clone(&self.0.hashers);
        let about = About::File(content);
        Ok(Transfer::start(
            about, bytes, swarm, clock, traffic, hashers, happenings,
        ))
    }

    /// A transfer of which a handshake gives the name and the length.
    fn under_way(&self, name: [u8; 20], length: Option<u64>) -> Option<Arc<Transfer>> {
        let table = self.table();
        let mut meant = table.transfers.iter().filter(|(content, transfer)| {
            (transfer.kept().is_none() && transfer.torrent().is_none())
                && name_of(&content.root) == name
                && length.is_none_or(|length| length == content.length)
                && !transfer.is_over()
        });
        meant.next().map(|(_, transfer)| Arc::clone(transfer))
    }

    /// A torrent that is on its way. Once it has arrived it is served from where it is kept, or not
    /// at all.
    fn torrent_under_way(&self, info_hash: InfoHash) -> Option<Arc<Transfer>> {
        let table = self.table();
        let mut meant = table.transfers.values().filter(|transfer| {
            let torrent = transfer.torrent();
            torrent.is_some_and(|torrent| torrent.has(info_hash)) && transfer.wants_something()
        });
        meant.next().map(Arc::clone)
    }

    /// A session of this transfer has ended, or has not come about: with the last one the file is
    /// closed, unless it is still being fetched.
    fn on_session_ended(&self, transfer: &Arc<Transfer>) {
        if transfer.wants_something() || !transfer.is_idle() {
            return;
        }
        let mut table = self.table();
        let content = transfer.content();
        if table
            .transfers
            .get(&content)
            .is_some_and(|there| Arc::ptr_eq(there, transfer))
            // A session may have begun in between.
            && transfer.is_idle()
        {
            table.transfers.remove(&content);
        }
    }

    fn remove(&self, transfer: &Arc<Transfer>) {
        let mut table = self.table();
        let content = transfer.content();
        let there = table.transfers.get(&content);
        if there.is_some_and(|there| Arc::ptr_eq(there, transfer)) {
            table.transfers.remove(&content);
        }
    }

    fn me(&self) -> PeerId {
        self.0.tls.member().id
    }

    fn next_session(&self) -> SessionId {
        SessionId(self.0.last_session.fetch_add(1, Ordering::Relaxed))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every locked step is short and leaves the table whole.
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What lets one at a time at something.
fn alone<K: Ord>(locks: &mut BTreeMap<K, Arc<Semaphore>>, at: K) -> Arc<Semaphore> {
    locks.retain(|_, lock| Arc::strong_count(lock) > 1);
    let lock = locks.entry(at);
    Arc::clone(lock.or_insert_with(|| Arc::new(Semaphore::new(1))))
}

/// What this peer calls itself among clients. It is not its key, which is for members.
fn client_id() -> ClientId {
    let mut random = [0; 12];
    random[..8].copy_from_slice(&crate::system::random().to_be_bytes());
    random[8..].copy_from_slice(&crate::system::random().to_be_bytes()[..4]);
    ClientId::of_thorp(random)
}

#[expect(clippy::cast_possible_truncation, reason = "half of it is random, too")]
fn client_key() -> u32 {
    crate::system::random() as u32
}

impl Table {
    fn new() -> Self {
        Self {
            transfers: BTreeMap::new(),
            opened: BTreeMap::new(),
            not_given: BTreeMap::new(),
            seats: Seats::of_members(),
            client_seats: Seats::of_clients(),
            idle: BTreeMap::new(),
            sought: BTreeMap::new(),
            torrent_turns: BTreeMap::new(),
            ended: VecDeque::new(),
        }
    }

    fn forget_ends(&mut self) {
        let is_old = |end: &(std::time::Instant, Fetch)| end.0.elapsed() > ENDS_KEPT;
        while self.ended.front().is_some_and(is_old) || self.ended.len() > MOST_ENDS {
            self.ended.pop_front();
        }
    }
}

impl Fetch {
    fn of(transfer: &Transfer) -> Self {
        let senders = transfer.senders().into_iter();
        let members = senders.filter_map(|(id, bytes)| Some((id.member()?, bytes)));
        Self {
            content: transfer.content(),
            torrent: transfer.torrent_name(),
            progress: transfer.progress(),
            sent_by: members.collect(),
            parts: transfer.parts(PARTS),
        }
    }
}

impl Fetching {
    /// All of it is there, under its name in the share or elsewhere: from now
    /// on it is served from the share, or not at all.
    pub fn on_arrived(self, disk: DiskThread) {
        self.on_end();
        let transfer = &self.transfer;
        let share = self.transfers.0.share.as_ref();
        // Without a session to serve, it is opened when a member asks for it.
        let open = |share| FileBytes::open(disk, share, transfer.content()).ok();
        match share.filter(|_| !transfer.is_idle()).and_then(open) {
            Some(opened) => {
                transfer.on_arrived(FileBytes::Shared(opened));
                self.transfers.on_session_ended(transfer);
            }
            // The rest is for its drop to do.
            None => transfer.stop("the transfer that has served it so far does so no more"),
        }
    }

    /// All files of a torrent are in their places. Sessions go on, from what they have read so far.
    pub fn on_torrent_arrived(self) {
        self.on_end();
        self.transfer.on_torrent_arrived();
        self.transfers.on_session_ended(&self.transfer);
    }

    /// It is not fetched any more: kept for a moment, so that readers see how it
    /// ended.
    fn on_end(&self) {
        let mut fetch = Fetch::of(&self.transfer);
        fetch.progress.sources = 0;
        let mut table = self.transfers.table();
        table.ended.push_back((std::time::Instant::now(), fetch));
        table.forget_ends();
    }
}

impl Writing {
    pub fn new(fetch: FetchId, released: mpsc::UnboundedSender<FetchId>) -> Self {
        Self { fetch, released }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        // If the peer is gone, it is not fetched again.
        let _ = self.released.send(self.fetch);
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        if self.transfer.wants_something() {
            self.on_end();
        }
        // One that has arrived may go on, for others.
        self.transfer.give_up("it is not wanted any more");
        if self.transfer.is_over() {
            self.transfers.remove(&self.transfer);
        }
    }
}

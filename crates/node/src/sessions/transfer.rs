//! One file on its way, in or out: the shell around its swarm.
//!
//! Owns the swarm's lock and what is done with its outputs: they are routed to
//! the sessions' outboxes while the lock is held, which takes no disk and no
//! network. Bytes go by it, between the sessions and the file.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use thorp_core::bound::Account;
use thorp_core::client_torrents::{ClientTorrent, ClientTorrents};
use thorp_core::exchange::ClientExchange;
use thorp_core::swarm::{
    Awaited, GreetedClient, Input, NamedSource, Offer, Output, SessionId, SourceId, Stuck, Swarm,
    SwarmProgress,
};
use thorp_core::time::Instant;
use thorp_disk::DiskThread;
use thorp_files::store::StoreError;
use thorp_group::clock::Clock;
use thorp_wire::frame::Holder;
use thorp_wire::layout::{Block, Layout, Piece};
use thorp_wire::merkle::Hash;
use thorp_wire::session::{Message, PeerExchange, Span};
use thorp_wire::{ClientId, Content, InfoHash};
use tokio::sync::{Notify, Semaphore, mpsc};

use super::files::FileBytes;
use super::kept::KeptBytes;
use super::outbox::Outbox;
use super::readers::Readers;
use super::run::Run;
use super::torrent::TorrentBytes;
use super::traffic::{LastTold, Traffic};

/// See the module.
pub(crate) struct Transfer {
    pub(super) itself: Weak<Self>,
    content: Content,
    layout: Layout,
    /// The torrent that is served, if it is one.
    kept: Option<Arc<KeptBytes>>,
    /// The torrent that is fetched, if it is one.
    torrent: Option<Arc<TorrentBytes>>,
    clock: Clock,
    bytes: RwLock<FileBytes>,
    state: Mutex<State>,
    /// Told when the next deadline is nearer than it was, and at the end.
    sooner: Arc<Notify>,
    traffic: Arc<Traffic>,
    /// Bytes of it that were sent.
    sent: AtomicU64,
    /// Places for hashing leaves that other members ask for.
    pub(super) hashers: Arc<Semaphore>,
    happenings: mpsc::UnboundedSender<Happening>,
    #[cfg(test)]
    pub(super) on_disk: OnDisk,
}

/// How many blocks came to be written, and how often something was written, or read for others:
/// each time is one for a thread for the disk.
#[cfg(test)]
#[derive(Default)]
pub(super) struct OnDisk {
    pub claimed: AtomicU64,
    pub reads: AtomicU64,
    pub writes: AtomicU64,
}

pub(super) struct State {
    pub(super) swarm: Swarm,
    pub(super) readers: Readers,
    sessions: BTreeMap<SessionId, Attached>,
    deadline: Option<Instant>,
    pub(super) stage: Stage,
    torrents: ClientTorrents,
    exchange: ClientExchange,
}

/// What a transfer moves.
pub(super) enum About {
    File(Content),
    Torrent(Arc<TorrentBytes>),
}

/// What it is for at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Something is still to be fetched.
    Fetching,
    /// All is there, for others.
    Serving,
    Over,
}

struct Attached {
    source: SourceId,
    outbox: Arc<Outbox>,
    /// When it was last told that bytes go there.
    told: LastTold,
    /// How many bytes went there.
    sent: u64,
    /// When the last ones did.
    sent_at: Option<std::time::Instant>,
}

/// What the fetch of the file has to see to.
#[derive(Debug)]
pub(crate) enum Happening {
    /// Connect to this source, for this file.
    Dial(NamedSource),
    /// More holders are wanted.
    Widen,
    /// There are too few sources, or none at all: clients are wanted of trackers, sooner than these
    /// are asked anyway.
    WantsClients { has_none: bool },
    /// Who sent what is not of this file.
    Blame(SourceId),
    /// So many bytes are to be written still.
    ToCome(u64),
    /// Everything is verified. These have sent it, who sent most first.
    Complete(Vec<SourceId>),
    /// It cannot be had now.
    Stuck(Stuck),
    /// The disk does not take it.
    Failed(StoreError),
}

impl Transfer {
    /// Starts its timer too, which ends with it. `happenings` come as they
    /// happen, no more of them than the swarm bounds.
    pub(super) fn start(
        about: About,
        bytes: FileBytes,
        (swarm, complete): (Swarm, bool),
        clock: Clock,
        traffic: Arc<Traffic>,
        hashers: Arc<Semaphore>,
        happenings: mpsc::UnboundedSender<Happening>,
    ) -> Arc<Self> {
        let sooner = Arc::new(Notify::new());
        let (content, torrent) = match about {
            About::File(content) => (content, None),
            About::Torrent(torrent) => (torrent.content(), Some(torrent)),
        };
        let (layout, kept) = match (&torrent, &bytes) {
            (Some(torrent), _) => (torrent.layout(), None),
            (None, FileBytes::Kept(kept)) => (kept.layout(), Some(Arc::clone(kept))),
            (None, FileBytes::Partial(_) | FileBytes::Shared(_)) => {
                (Layout::of(content.length), None)
            }
        };
        let transfer = Arc::new_cyclic(|itself| Self {
            itself: itself.clone(),
            content,
            layout,
            kept,
            torrent,
            clock,
            bytes: RwLock::new(bytes),
            state: Mutex::new(State {
                swarm,
                readers: Readers::default(),
                sessions: BTreeMap::new(),
                deadline: None,
                torrents: ClientTorrents::default(),
                exchange: ClientExchange::default(),
                stage: if complete {
                    Stage::Serving
                } else {
                    Stage::Fetching
                },
            }),
            sooner: Arc::clone(&sooner),
            traffic,
            sent: AtomicU64::new(0),
            hashers,
            happenings,
            #[cfg(test)]
            on_disk: OnDisk::default(),
        });
        tokio::spawn(keep_time(Arc::downgrade(&transfer), sooner));
        transfer
    }

    pub fn content(&self) -> Content {
        self.content
    }

    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The torrent that is served; `None` if it is a file.
    pub(super) fn kept(&self) -> Option<&Arc<KeptBytes>> {
        self.kept.as_ref()
    }

    /// The torrent that is fetched; `None` if it is a file.
    pub fn torrent(&self) -> Option<&Arc<TorrentBytes>> {
        self.torrent.as_ref()
    }

    /// Whether the hashes of its leaves are of use. A torrent's pieces are hashed when all of one
    /// is on disk.
    pub(super) fn goes_by_leaves(&self) -> bool {
        self.torrent.is_none()
    }

    /// All of a torrent is there. What it is served from stays open until no session needs it,
    /// unless it was [stopped](Self::stop) already.
    pub(super) fn on_torrent_arrived(&self) {
        let mut state = self.lock();
        if state.stage == Stage::Fetching {
            state.stage = Stage::Serving;
        }
    }

    /// All of it is there: from now on its bytes are read from there, for others.
    pub(super) fn on_arrived(&self, bytes: FileBytes) {
        *self.bytes.write().unwrap_or_else(PoisonError::into_inner) = bytes;
        self.lock().stage = Stage::Serving;
    }

    /// The hashes of its pieces, as far as they are known: all or none.
    pub fn layer(&self) -> Vec<Hash> {
        self.lock().swarm.layer().unwrap_or_default().to_vec()
    }

    /// How the torrent is called that is fetched, if it is one.
    pub fn torrent_name(&self) -> Option<String> {
        let torrent = self.torrent.as_ref()?;
        Some(torrent.info.name().to_string())
    }

    /// How much of each part of the file is verified, from 0 to 9.
    pub fn parts(&self, most: u32) -> Vec<u8> {
        self.lock().swarm.parts(most)
    }

    /// The connections on which bytes went out lately, and how many on each.
    pub fn uploads(&self, lately: std::time::Duration) -> Vec<(SessionId, SourceId, u64)> {
        let is_late = |there: &&Attached| there.sent_at.is_some_and(|at| at.elapsed() < lately);
        let state = self.lock();
        let sessions = state.sessions.iter();
        let uploads = sessions.filter(|(_, there)| is_late(there));
        uploads
            .map(|(id, there)| (*id, there.source, there.sent))
            .collect()
    }

    pub fn progress(&self) -> SwarmProgress {
        self.lock().swarm.progress()
    }

    /// Bytes that are still to be fetched.
    pub fn to_come(&self) -> u64 {
        self.lock().swarm.to_come()
    }

    /// Bytes of it that were sent to others.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Whether no source that is known has what is missing.
    pub fn is_stuck(&self) -> bool {
        self.lock().swarm.is_stuck()
    }

    /// The holders it waits for.
    pub fn awaited(&self) -> Awaited {
        self.lock().swarm.awaited(self.now())
    }

    /// The sources that sent what is on disk, verified or not, and how much, the most first.
    pub fn senders(&self) -> Vec<(SourceId, u64)> {
        self.lock().swarm.senders()
    }

    /// The sources that sent what was verified, and how much, the most first.
    pub fn sources(&self) -> Vec<(SourceId, u64)> {
        self.lock().swarm.sources()
    }

    /// Says with which members there are sessions.
    pub fn say_who_is_in_use(&self) {
        let state = self.lock();
        for session in state.sessions.values() {
            if let Some(member) = session.source.member() {
                self.traffic.on_use(member);
            }
        }
    }

    pub fn is_idle(&self) -> bool {
        self.lock().sessions.is_empty()
    }

    /// No fetch waits for it and no member is served: callers are turned away.
    pub fn is_over(&self) -> bool {
        self.lock().stage == Stage::Over
    }

    /// Whether anything is still to be fetched.
    pub fn wants_something(&self) -> bool {
        self.lock().stage == Stage::Fetching
    }

    /// A holder has answered.
    pub fn was_reached(&self) {
        self.handle(Input::Reached);
    }

    /// Ends everything, unless it has [`arrived`](Self::on_arrived).
    pub fn give_up(&self, reason: &str) {
        if self.wants_something() {
            self.stop(reason);
        }
    }

    /// These clients may have the file, as this torrent.
    pub fn clients(&self, torrent: InfoHash, clients: Vec<SocketAddr>) {
        let mut state = self.lock();
        let named = clients.clone();
        state.swarm.handle(self.now(), Input::Clients(clients));
        let State {
            swarm, torrents, ..
        } = &mut *state;
        torrents.named(torrent, &named, |client| {
            swarm.knows(SourceId::Client(client))
        });
        self.drain(&mut state);
    }

    /// Which torrent of the file is public, and which is of v1, if they are known.
    pub fn is_in_torrents(&self, public: Option<InfoHash>, v1: Option<InfoHash>) {
        self.lock().torrents.set(public, v1);
    }

    /// By which torrent a client is asked.
    pub(super) fn torrent_of(&self, client: SocketAddr) -> Option<ClientTorrent> {
        self.lock().torrents.of(client)
    }

    /// These may have the file.
    pub fn holders(&self, holders: Vec<Holder>) {
        self.handle(Input::Holders(holders));
    }

    pub fn dial_failed(&self, source: SourceId, reason: String) {
        self.handle(Input::DialFailed { source, reason });
    }

    /// A client that was dialled is this peer itself.
    pub(super) fn is_itself(&self, client: SocketAddr) {
        let source = SourceId::Client(client);
        self.handle(Input::Itself { source });
    }

    /// A client has said who it is, to which this peer has said `ours`. Whether its connection
    /// stays: it is [opened](Self::opened) or [closed](Self::closed) then.
    pub(super) fn greeted(
        &self,
        session: SessionId,
        client: GreetedClient,
        ours: ClientId,
    ) -> bool {
        let mut state = self.lock();
        let stays = state.swarm.greeted(self.now(), session, client, ours);
        self.drain(&mut state);
        stays
    }

    /// A holder has no place for one more at the moment.
    pub fn holder_busy(&self, source: SourceId) {
        self.handle(Input::HolderBusy { source });
    }

    /// An earlier fetch has left this piece.
    pub fn on_piece_rechecked(&self, piece: Piece, leaves: Vec<[u8; 32]>) {
        self.handle(Input::Rechecked { piece, leaves });
    }

    /// An earlier fetch of a torrent has left this piece, which is right.
    pub fn on_torrent_piece_left(&self, piece: Piece) {
        self.handle(Input::PieceLeft { piece });
    }

    /// Ends everything.
    pub fn stop(&self, reason: &str) {
        let mut state = self.lock();
        state.stage = Stage::Over;
        let reason = reason.to_owned();
        self.drive(&mut state, Input::Stop { reason });
        state.readers.wake_all();
    }

    /// What to say at once on a connection to a member that has all of the file. It is
    /// [opened](Self::opened) or [closed](Self::closed) then.
    pub(super) fn call(&self, session: SessionId) -> Vec<Message> {
        self.lock().swarm.call(self.now(), session)
    }

    /// A connection is about this file from now on. What is to be sent on it is
    /// put into `outbox`.
    pub(super) fn opened(
        &self,
        session: SessionId,
        source: SourceId,
        account: Account,
        dialled: bool,
        offer: Offer,
        outbox: Arc<Outbox>,
    ) {
        let mut state = self.lock();
        let attached = Attached {
            source,
            outbox,
            told: LastTold::default(),
            sent: 0,
            sent_at: None,
        };
        state.sessions.insert(session, attached);
        let opened = Input::Opened {
            session,
            source,
            account,
            dialled,
            offer,
        };
        self.drive(&mut state, opened);
    }

    /// It is not any more, and no write for it is under way.
    pub fn closed(&self, session: SessionId, reason: String) {
        let mut state = self.lock();
        state.sessions.remove(&session);
        state.exchange.closed(session);
        self.drive(&mut state, Input::Closed { session, reason });
    }

    /// A client has said how many requests it accepts.
    pub fn most_requests(&self, session: SessionId, most: u32) {
        self.handle(Input::MostRequests { session, most });
    }

    /// The client of a session may be told of others of this torrent.
    pub(super) fn exchanges(&self, session: SessionId, torrent: InfoHash, dialled: bool) {
        let now = self.now();
        let mut state = self.lock();
        if let Some(SourceId::Client(remote)) = state.sessions.get(&session).map(|of| of.source) {
            state
                .exchange
                .opened(now, session, torrent, remote, dialled);
            self.drain(&mut state);
        }
    }

    /// A client has said by which number it wants to be told of others, and where it listens.
    pub fn on_handshake(&self, session: SessionId, number: Option<u8>, port: Option<u16>) {
        let mut state = self.lock();
        state.exchange.on_handshake(session, number, port);
        self.drain(&mut state);
    }

    /// A client has told of others.
    pub fn exchanged(&self, session: SessionId, said: &PeerExchange) {
        let now = self.now();
        let heard = self.lock().exchange.heard(now, session, said);
        if let Some((torrent, clients)) = heard.filter(|_| self.wants_something()) {
            self.clients(torrent, clients);
        }
    }

    pub fn message(&self, session: SessionId, message: Message) {
        self.handle(Input::Message { session, message });
    }

    /// These bytes begin to arrive. Returns the block that they are if they are wanted from there;
    /// they are read then.
    pub fn on_piece(&self, session: SessionId, span: Span) -> Option<Block> {
        let mut state = self.lock();
        let block = state.swarm.on_piece(self.now(), session, span);
        self.drain(&mut state);
        block
    }

    pub fn flowing(&self, session: SessionId, bytes: u32) {
        self.handle(Input::Flowing { session, bytes });
    }

    /// Whether a block that is there is to be written.
    pub fn claim(&self, session: SessionId, block: Block) -> bool {
        let mut state = self.lock();
        let claimed = state.swarm.claim(self.now(), session, block);
        #[cfg(test)]
        self.on_disk
            .claimed
            .fetch_add(claimed.into(), Ordering::Relaxed);
        self.drain(&mut state);
        claimed
    }

    /// All of these bytes are here. Returns the block that they are if it is to be written.
    pub fn on_whole_piece(&self, session: SessionId, span: Span) -> Option<Block> {
        let now = self.now();
        let mut state = self.lock();
        let block = state.swarm.on_piece(now, session, span);
        let claimed = block.filter(|block| state.swarm.claim(now, session, *block));
        #[cfg(test)]
        self.on_disk
            .claimed
            .fetch_add(claimed.is_some().into(), Ordering::Relaxed);
        self.drain(&mut state);
        claimed
    }

    /// Ends a session whose member makes nothing of it. Whether there was one.
    pub fn make_room(&self) -> bool {
        let mut state = self.lock();
        let made = state.swarm.make_room(self.now());
        self.drain(&mut state);
        made
    }

    /// Writes blocks that were claimed, and follow one another.
    pub(super) fn write(&self, disk: DiskThread, session: SessionId, run: &Run) {
        #[cfg(test)]
        self.on_disk.writes.fetch_add(1, Ordering::Relaxed);
        let Some(first) = run.blocks().first() else {
            return;
        };
        let offset = self.layout().offset_of(*first);
        let written = self.bytes().write(disk, run.bytes(), offset);
        if let Err(error) = written {
            let reason = error.to_string();
            self.report(Happening::Failed(error));
            return self.stop(&reason);
        }
        self.traffic.received(run.bytes().len() as u64);
        let mut state = self.lock();
        for (block, leaves) in run.leaves() {
            self.drive(
                &mut state,
                Input::Written {
                    session,
                    block,
                    leaves,
                },
            );
        }
    }

    /// Reads bytes from the beginning of a block, to be sent.
    pub fn read(&self, disk: DiskThread, first: Block, bytes: &mut [u8]) -> io::Result<()> {
        #[cfg(test)]
        self.on_disk.reads.fetch_add(1, Ordering::Relaxed);
        let offset = self.layout().offset_of(first);
        self.bytes().read(disk, bytes, offset)
    }

    /// These blocks were sent.
    pub fn served(&self, session: SessionId, blocks: &[Block]) {
        let mut state = self.lock();
        for &block in blocks {
            if let Some(there) = state.sessions.get_mut(&session) {
                let bytes = block.length().into();
                self.traffic.sent(bytes, there.source, &mut there.told);
                there.sent = there.sent.saturating_add(bytes);
                there.sent_at = Some(std::time::Instant::now());
                self.sent.fetch_add(bytes, Ordering::Relaxed);
            }
            self.drive(&mut state, Input::Served { session, block });
        }
    }

    /// These blocks could not be sent.
    pub fn not_served(&self, session: SessionId, blocks: &[Block]) {
        let mut state = self.lock();
        for &block in blocks {
            self.drive(&mut state, Input::NotServed { session, block });
        }
    }

    pub(super) fn bytes(&self) -> FileBytes {
        let bytes = self.bytes.read().unwrap_or_else(PoisonError::into_inner);
        bytes.clone()
    }

    pub(super) fn handle(&self, input: Input) {
        self.drive(&mut self.lock(), input);
    }

    pub(super) fn drive(&self, state: &mut State, input: Input) {
        state.swarm.handle(self.now(), input);
        self.drain(state);
    }

    fn drain(&self, state: &mut State) {
        while let Some(output) = state.swarm.poll_output() {
            if let Some(answer) = self.route(state, output) {
                state.swarm.handle(self.now(), answer);
            }
        }
        let State {
            swarm, exchange, ..
        } = state;
        for telling in exchange.due(self.now(), |session| swarm.is_whole(session)) {
            if let Some(there) = state.sessions.get(&telling.session) {
                there.outbox.say(&Message::Extended {
                    number: telling.number,
                    payload: telling.said.encode(),
                });
            }
        }
        let deadlines = [state.swarm.next_deadline(), state.exchange.next_deadline()];
        let deadline = deadlines.into_iter().flatten().min();
        let sooner = deadline.is_some_and(|at| state.deadline.is_none_or(|known| at < known));
        state.deadline = deadline;
        if sooner {
            self.sooner.notify_one();
        }
    }

    /// Does what the swarm wants; what there is to be said to it at once comes back.
    fn route(&self, state: &mut State, output: Output) -> Option<Input> {
        let outbox = |session| state.sessions.get(&session).map(|there| &there.outbox);
        match output {
            Output::Send(session, message) => outbox(session)?.say(&message),
            Output::Upload(session, block) => outbox(session)?.upload(block),
            Output::Withdraw(session, block) => {
                if outbox(session)?.withdraw(block) {
                    return Some(Input::NotServed { session, block });
                }
            }
            Output::HashLeaves(session, range, pieces) => {
                self.hash_leaves((session, range), pieces, Arc::clone(outbox(session)?));
            }
            Output::HashPiece(piece) => self.hash_piece(piece),
            Output::Readable(reader) => state.readers.wake(reader),
            Output::Close(session, why) => outbox(session)?.close(why),
            Output::Dial(source) => self.report(Happening::Dial(source)),
            Output::ToCome(bytes) => self.report(Happening::ToCome(bytes)),
            Output::Complete { sources } => self.report(Happening::Complete(sources)),
            Output::Stuck(stuck) => self.report(Happening::Stuck(stuck)),
            Output::Blame(source) => self.report(Happening::Blame(source)),
            Output::Widen => self.report(Happening::Widen),
            Output::WantsClients { has_none } => {
                self.report(Happening::WantsClients { has_none });
            }
        }
        None
    }

    pub(super) fn report(&self, happening: Happening) {
        // A file that is only served has no fetch, and one that is gone need not know.
        let _ = self.happenings.send(happening);
    }

    fn now(&self) -> Instant {
        Instant::after_start(self.clock.elapsed())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A swarm that panicked is as good as its next answer.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.sooner.notify_one();
    }
}

/// Ticks when the swarm's time has come, as long as there is one.
async fn keep_time(transfer: Weak<Transfer>, sooner: Arc<Notify>) {
    loop {
        let left = match transfer.upgrade() {
            Some(transfer) => {
                let deadline = transfer.lock().deadline;
                deadline.map(|at| at - transfer.now())
            }
            None => return,
        };
        tokio::select! {
            () = sooner.notified() => {}
            () = crate::system::sleep(left) => {
                if let Some(transfer) = transfer.upgrade() {
                    transfer.handle(Input::Tick);
                }
            }
        }
    }
}

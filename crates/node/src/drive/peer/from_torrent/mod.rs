//! The files of a torrent, for a user who has it or a magnet link.
//!
//! ```text
//! asking    clients asked what it is, where there is only a magnet link
//! plan      which of its files are wanted, and what is in their places
//! there     files that are there already, read as its bytes
//! seeking   its trackers, asked for clients that have it
//! placing   its files put in their places, once all of it is there
//! ```
//!
//! Owns the order of these steps. All of a torrent arrives in one partial file, for its pieces go
//! over the ends of its files. When it is given up, and why, is decided in [`thorp_core::torrent`];
//! which bytes to ask of which client, in [`thorp_core::swarm`].

mod asking;
mod placing;
mod plan;
mod seeking;
mod there;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use thorp_core::swarm::SourceId;
use thorp_core::time;
use thorp_core::torrent::{TorrentEvent, TorrentFetch, TorrentMissed};
use thorp_disk::DiskThread;
use thorp_files::store::{Partial, Store};
use thorp_wire::merkle::Hash;
use thorp_wire::torrent::{Magnet, MagnetError, PieceProofs, PieceSpace, Torrent, TorrentError};
use thorp_wire::{InfoHash, Name, Root};
use tokio::time::{MissedTickBehavior, interval};

use super::Peer;
use super::delivery::Folder;
use super::pace::{Pace, TOLD_EVERY};
use super::room::Promise;
use super::telling::{self, milliseconds};
use super::torrents::group_serves_clients;
use crate::api::{Done, Event, Failure, GetTorrent, Miss, Note, Progress, TorrentSource};
use crate::drive::caller::{Events, tell};
use crate::sessions::{Fetching, Happening, TorrentBytes, TorrentTurn, Transfer, from_memory};

use placing::Arrived;
use plan::Plan;
use seeking::{Heard, Named, Seeking, Seeks, may_group_know};
use there::FilesThere;

/// Nothing is said of a silence that is shorter.
const SILENT_AFTER: Duration = Duration::from_secs(2);

/// Fetches what a user wants of a torrent, and tells what becomes of it.
pub(super) async fn run(peer: &Peer, get: GetTorrent, events: &Events) -> Result<Done, Failure> {
    let since = Instant::now();
    if !group_serves_clients(peer).await {
        return Err(Failure::GroupServesNoClients);
    }
    if !peer.transfers.may_fetch_torrents() {
        return Err(Failure::ShareServesNoClients);
    }
    let source = get.torrent.clone();
    let source = on_disk(move |_| Source::read(&source)).await??;
    let folder = match get.dir.clone() {
        Some(dir) => {
            let store = on_disk(move |disk| Store::open(disk, &dir)).await??;
            Folder::Directory(Arc::new(store))
        }
        None => peer.folder(),
    };
    let job = Job {
        peer,
        events,
        since,
        folder,
        get: &get,
        name: source.name(),
    };
    match source {
        Source::Torrent(described) => job.run(*described).await,
        Source::Magnet(magnet) => {
            let described = job.described_by(&magnet).await?;
            let name = described.torrent.info.name().to_string();
            Job { name, ..job }.run(described).await
        }
    }
}

/// What a user has of a torrent.
enum Source {
    Torrent(Box<Described>),
    Magnet(Magnet),
}

impl Source {
    fn read(source: &TorrentSource) -> Result<Self, Failure> {
        match source {
            TorrentSource::Torrent(encoded) => {
                Ok(Self::Torrent(Box::new(described(encoded.as_str())?)))
            }
            TorrentSource::Magnet(link) => match link.parse() {
                Ok(magnet) => Ok(Self::Magnet(magnet)),
                Err(why) => Err(Failure::NotATorrent {
                    why: MagnetError::to_string(&why),
                }),
            },
        }
    }

    /// How it is called, as far as that is known.
    fn name(&self) -> String {
        match self {
            Self::Torrent(described) => described.torrent.info.name().to_string(),
            Self::Magnet(magnet) => {
                let name = magnet.name.clone();
                let v1 = || magnet.v1.map(|v1| v1.to_string());
                let v2 = || magnet.v2.map(|v2| v2.to_string());
                name.or_else(v1).or_else(v2).unwrap_or_default()
            }
        }
    }
}

/// A torrent whose info dictionary is known.
struct Described {
    torrent: Arc<TorrentBytes>,
    tiers: Vec<Vec<String>>,
    /// Clients that are known already, in the order in which they are dialled: each with the
    /// torrent that it may have. They may be dialled.
    clients: Vec<(InfoHash, Vec<SocketAddr>)>,
    /// Its trackers, where they are asked already.
    seeking: Option<Seeking>,
    /// The hashes of the pieces of its files, as far as they are known.
    layers: BTreeMap<Root, Vec<Hash>>,
}

fn described(encoded: &str) -> Result<Described, Failure> {
    let refused = |why: String| Failure::NotATorrent { why };
    let bytes = BASE64.decode(encoded.as_bytes());
    let bytes = bytes.map_err(|error| refused(error.to_string()))?;
    let torrent = Torrent::decode(&bytes);
    let torrent = torrent.map_err(|why| refused(why.to_string()))?;
    let bytes = torrent_bytes(&torrent).map_err(|why| refused(why.to_string()))?;
    let roots = torrent.info().files().iter().filter_map(|file| file.root);
    let layers = roots.filter_map(|root| Some((root, torrent.layer(&root)?.to_vec())));
    Ok(Described {
        layers: layers.collect(),
        torrent: Arc::new(bytes),
        tiers: torrent.tiers().to_vec(),
        clients: Vec::new(),
        seeking: None,
    })
}

fn torrent_bytes(torrent: &Torrent) -> Result<TorrentBytes, TorrentError> {
    let info = torrent.info().clone();
    let space = PieceSpace::of(&info)?;
    let proofs = PieceProofs::of(&info, |root| torrent.layer(root))?;
    Ok(TorrentBytes::new(info, space, proofs))
}

/// A get of a torrent.
struct Job<'a> {
    peer: &'a Peer,
    events: &'a Events,
    since: Instant,
    folder: Folder,
    get: &'a GetTorrent,
    /// How the torrent is called.
    name: String,
}

impl Job<'_> {
    async fn run(&self, mut described: Described) -> Result<Done, Failure> {
        let seeking = described.seeking.take();
        let torrent = &described.torrent;
        let mut plan = Plan::of(&torrent.info, self.get.hidden)?;
        for name in &plan.reserved {
            let name = name.to_string();
            self.tell(Event::Note(Note::LeftOutOfTorrent { name }))
                .await;
        }
        if plan.hidden > 0 {
            let files = plan.hidden;
            let note = Note::HiddenLeftOutOfTorrent { files };
            self.tell(Event::Note(note)).await;
        }
        let turn = self.peer.transfers.torrent_turn(torrent.content()).await;
        plan = self.look(plan, torrent).await?;
        if plan.is_all_in_the_way() {
            return Err(Failure::Exists);
        }
        for name in &plan.in_the_way {
            self.failed(name.to_string(), Failure::Exists).await;
        }
        let fetched = if plan.is_all_there() {
            drop(seeking);
            self.discard_left(torrent).await?;
            None
        } else {
            Some(self.fetch((&described, seeking), &plan, &turn).await?)
        };
        let (fetched, arrived) = fetched.unzip();
        let is_whole = plan.is_whole();
        let placed = self.place(plan, arrived).await?;
        if is_whole && placed.in_the_way == 0 {
            self.keep(described).await?;
        }
        if let Some((fetching, partial)) = fetched {
            if placed.unplaced == 0 {
                // It is gone already if it was given the name of the only file.
                let discarded = on_disk(move |disk| partial.discard(disk)).await?;
                if let Err(error) = discarded {
                    tracing::warn!(%error, "a partial file cannot be removed");
                }
            }
            fetching.on_torrent_arrived();
        }
        turn.end();
        placed.done()
    }

    /// Fetches what is not there into a partial file. Its trackers may be asked already.
    async fn fetch(
        &self,
        (described, seeking): (&Described, Option<Seeking>),
        plan: &Plan,
        turn: &TorrentTurn,
    ) -> Result<((Fetching, Arc<Partial>), Arrived), Failure> {
        let torrent = &described.torrent;
        let (folder, target) = (self.folder.clone(), torrent.info.name().clone());
        let content = torrent.content();
        let partial = on_disk(move |disk| match &folder {
            Folder::Share(share) => share.partial(disk, &target, content),
            Folder::Directory(store) => store.partial(disk, &target, content),
        });
        let partial = Arc::new(partial.await??);
        partial.keep_until_closed(turn.clone());
        let files: BTreeSet<usize> = plan.files.keys().copied().collect();
        let fetching = self.peer.transfers.fetch_torrent(torrent, files, &partial);
        let mut fetching = fetching.map_err(|why| Failure::NotATorrent {
            why: why.to_string(),
        })?;
        let there = self
            .take_up(&fetching, &partial, (torrent, &plan.alike))
            .await?;
        if there > 0 {
            self.tell(Event::Resumed {
                name: self.name.clone(),
                bytes: there.min(plan.bytes()),
                of_bytes: plan.bytes(),
            })
            .await;
        }
        let gathered = self.gather(&mut fetching, &partial, (described, seeking), plan);
        let promise = tokio::select! {
            gathered = gathered => gathered?,
            error = self.folder.closed(&partial) => return Err(error.into()),
        };
        let sources = fetching.transfer.sources().into_iter();
        let clients = telling::clients(sources.filter_map(|(source, _)| source.client()));
        let received = fetching.transfer.progress().received;
        let room = (self.peer.promises.clone(), promise);
        let arrived = Arrived::of(&partial, plan, (clients, received), torrent, room).await?;
        if arrived.is_short {
            // What was copied is not to be served from there any more.
            fetching.transfer.stop("its files are put in their places");
        }
        Ok(((fetching, partial), arrived))
    }

    /// Has the share serve the torrent from now on, if that is where its files are.
    async fn keep(&self, described: Described) -> Result<(), Failure> {
        let Folder::Share(share) = &self.folder else {
            return Ok(());
        };
        // The group's tracker is told what is kept.
        let is_private = described.torrent.info.is_private();
        if is_private && !may_group_know(self.peer, &described.tiers) {
            return Ok(());
        }
        let share = share.clone();
        let kept = on_disk(move |disk| {
            let info = &described.torrent.info;
            let files = info.files().iter().filter(|file| !file.padding);
            let names: Vec<Name> = files.map(|file| file.name.clone()).collect();
            share.keep_torrent(disk, info.raw(), &names, &described.layers)
        });
        if let Err(error) = kept.await? {
            tracing::info!(%error, "a fetched torrent is not served on");
        }
        Ok(())
    }

    /// Removes what an earlier fetch has left that nothing is wanted of any more.
    async fn discard_left(&self, torrent: &TorrentBytes) -> Result<(), Failure> {
        let (folder, target) = (self.folder.clone(), torrent.info.name().clone());
        let content = torrent.content();
        let discarded = on_disk(move |disk| folder.store().discard_left(disk, &target, content));
        if let Err(error) = discarded.await? {
            tracing::warn!(%error, "a partial file cannot be removed");
        }
        Ok(())
    }

    /// Hashes what an earlier fetch has left, and pieces of files that are there already. Returns
    /// how many bytes are right.
    async fn take_up(
        &self,
        fetching: &Fetching,
        partial: &Arc<Partial>,
        (torrent, alike): (&Arc<TorrentBytes>, &BTreeSet<usize>),
    ) -> Result<u64, Failure> {
        let transfer = Arc::clone(&fetching.transfer);
        let (partial, torrent) = (Arc::clone(partial), Arc::clone(torrent));
        let (folder, alike) = (self.folder.clone(), alike.clone());
        let read = on_disk(move |disk| {
            let mut there = FilesThere::new(folder.store(), &torrent, disk);
            let copied = there.copy_to(&partial, &alike, || !transfer.is_over());
            copied.map_err(|error| partial.failed(error))?;
            let layout = torrent.layout();
            let read = partial.reread(disk, layout, |piece, bytes| {
                let read = from_memory(layout.begin_of(piece), bytes);
                let is_right = torrent.is_right_on_disk(piece, read);
                if is_right.unwrap_or(false) {
                    transfer.on_torrent_piece_left(piece);
                }
                !transfer.is_over()
            });
            let there = transfer.progress().verified;
            read.map(|()| there).map_err(|error| partial.failed(error))
        });
        Ok(read.await??)
    }

    /// Until all of it is verified. Returns the room that is promised for its files.
    async fn gather(
        &self,
        fetching: &mut Fetching,
        partial: &Arc<Partial>,
        (described, seeking): (&Described, Option<Seeking>),
        plan: &Plan,
    ) -> Result<Option<Arc<Promise>>, Failure> {
        let transfer = Arc::clone(&fetching.transfer);
        let info = &described.torrent.info;
        let seeks = Seeks {
            tiers: &described.tiers,
            info_hashes: info.info_hashes().collect(),
            is_private: info.is_private(),
        };
        let mut seeking = Seeking::go_on(self.peer, &seeks, seeking, &transfer);
        let mut fetch = TorrentFetch::new(self.now(), self.get.wait.into(), seeking.rows());
        for event in seeking.said() {
            fetch.handle(self.now(), event);
        }
        let mut known = Named::default();
        let first = described.torrent.info.info_hashes().next();
        let mut told = described.clients.clone();
        let mut shown = Shown::new(plan);
        let mut promise = None;
        let mut ticks = interval(TOLD_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // So that what is there already is found to be all there is.
        transfer.clients(first.unwrap_or(InfoHash::new([0; 20])), Vec::new());
        loop {
            for (torrent, clients) in told.drain(..) {
                if known.are_new_among(&clients) {
                    fetch.handle(self.now(), TorrentEvent::Clients);
                }
                transfer.clients(torrent, clients);
            }
            tokio::select! {
                heard = seeking.heard() => match heard {
                    Heard::Clients(torrent, clients) => told.push((torrent, clients)),
                    Heard::Trackers(event) => fetch.handle(self.now(), event),
                },
                happening = fetching.happenings.recv() => match happening {
                    Some(Happening::Dial(source)) => self.peer.transfers.call(&transfer, source),
                    // No member is a source of a torrent.
                    Some(Happening::Widen) => {}
                    Some(Happening::WantsClients { has_none }) => seeking.wants_more(has_none),
                    Some(Happening::Blame(source)) => {
                        fetch.handle(self.now(), TorrentEvent::Blamed(source));
                    }
                    Some(Happening::ToCome(bytes)) => {
                        drop(promise.take());
                        promise = Some(self.find_room(&transfer, partial, bytes, plan).await?);
                    }
                    Some(Happening::Complete(_)) => {
                        seeking.completed();
                        shown.see(&transfer.progress());
                        return Ok(promise);
                    }
                    Some(Happening::Stuck(stuck)) => {
                        fetch.handle(self.now(), TorrentEvent::Stuck(stuck));
                    }
                    Some(Happening::Failed(error)) => return Err(error.into()),
                    None => return Err(self.peer.ended()),
                },
                _ = ticks.tick() => {
                    let progress = transfer.progress();
                    if progress.sources > 0 {
                        fetch.handle(self.now(), TorrentEvent::Called);
                    }
                    let there = progress.verified.min(plan.bytes());
                    fetch.handle(self.now(), TorrentEvent::There(there));
                    if !transfer.is_stuck() {
                        fetch.handle(self.now(), TorrentEvent::GoesOn);
                    }
                    if shown.see(&progress) {
                        self.tell(Event::Progress(shown.progress.clone())).await;
                    }
                    if let Some(missed) = fetch.verdict(self.now()) {
                        return Err(self.missed(missed, plan.bytes()));
                    }
                }
            }
        }
    }

    /// Finds out whether there is room for what is to come, and for its files beside it.
    async fn find_room(
        &self,
        transfer: &Arc<Transfer>,
        partial: &Arc<Partial>,
        bytes: u64,
        plan: &Plan,
    ) -> Result<Arc<Promise>, Failure> {
        let (peer, transfer) = (self.peer.clone(), Arc::clone(transfer));
        let partial = Arc::clone(partial);
        let (all, least) = (plan.bytes_beside(), plan.least_beside());
        let found = on_disk(move |disk| {
            let gives_back = partial.can_give_back(disk);
            let beside = if gives_back { least } else { all };
            peer.find_room(disk, &partial, (bytes, beside), &transfer)
        });
        Ok(found.await??)
    }

    /// The failure; `of` are the bytes that are wanted.
    fn missed(&self, missed: TorrentMissed, of: u64) -> Failure {
        let miss = match missed {
            TorrentMissed::NoTracker(why) => Miss::NoTrackerOfIt { why },
            TorrentMissed::NoClient => Miss::NoClient,
            TorrentMissed::Unreachable(why) => Miss::NoClientReached { why },
            TorrentMissed::WrongFrom(source) => Miss::WrongFromClient {
                client: match source {
                    SourceId::Client(address) => address.to_string(),
                    SourceId::Member(id) => id.to_string(),
                },
            },
            TorrentMissed::Unfinished { reason, there } => Miss::Unfinished {
                why: reason,
                there,
                of,
            },
        };
        Failure::Missed {
            name: self.name.clone(),
            miss,
        }
    }

    async fn failed(&self, name: String, failure: Failure) {
        self.tell(Event::Failed { name, failure }).await;
    }

    async fn tell(&self, event: Event) {
        tell(self.events, event).await;
    }

    fn now(&self) -> time::Instant {
        time::Instant::after_start(self.since.elapsed())
    }

    fn milliseconds(&self) -> f64 {
        milliseconds(self.since)
    }
}

/// How far it is, as it is shown.
struct Shown {
    progress: Progress,
    pace: Pace,
    received: u64,
    /// When the last byte came.
    came: Instant,
}

impl Shown {
    fn new(plan: &Plan) -> Self {
        Self {
            progress: Progress {
                of_files: plan.files.len() as u64,
                of_bytes: plan.bytes(),
                ..Progress::default()
            },
            pace: Pace::default(),
            received: 0,
            came: Instant::now(),
        }
    }

    /// It is so far now; whether that is news.
    fn see(&mut self, swarm: &thorp_core::swarm::SwarmProgress) -> bool {
        let now = Instant::now();
        self.pace.see(now, swarm.received);
        if swarm.received != self.received {
            (self.received, self.came) = (swarm.received, now);
        }
        let before = self.progress.clone();
        let progress = &mut self.progress;
        // Padding in the middle of a piece is fetched, and is in no file.
        progress.bytes = swarm.verified.min(progress.of_bytes);
        progress.sources = swarm.sources;
        progress.busy = swarm.busy;
        progress.rate = self.pace.rate();
        let missing = progress.of_bytes - progress.bytes;
        progress.eta = missing.checked_div(progress.rate);
        let silence = self.came.elapsed();
        progress.silent = (silence >= SILENT_AFTER).then_some(silence.as_secs());
        before != *progress
    }
}

async fn on_disk<T: Send + 'static>(
    work: impl FnOnce(DiskThread) -> T + Send + 'static,
) -> Result<T, Failure> {
    // It ends with the peer, and does not panic.
    let done = thorp_disk::spawn(work).await;
    done.map_err(|_| Failure::PeerStopping)
}

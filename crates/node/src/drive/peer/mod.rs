//! A running peer.
//!
//! ```text
//! task          what only a peer does: events and outputs, each to its part
//! event         what happens to a peer besides links and time
//! dialling      reaching members and the tracker
//! own_addresses where this machine is, and when that changes
//! standing      group records and the own certificate, while the peer runs
//! sharing       what a visitor has not: a share, and members that call
//! shown         the rows of the snapshot that only a peer has
//! serve         small files for others
//! contents      how much of them may be in memory
//! hash_now      files that callers wait for, hashed before others
//! memory        the neighbours that were, on disk
//!
//! listings      what there is, for a user who asks
//! get           files by name, for a user who wants them
//! gets          the same, as the peer's task has them
//! delivery      where its files are put
//! large         one large file of it: its steps on the disk
//! room          how much of a disk is promised to such files
//! announced     clients that may have such a file, asked for as clients ask
//! missed        why a file is missed, in codes
//! reading       files that are read while they arrive
//! pace          how far, how fast, how long yet
//! silence       when nothing comes, and from whom it is awaited
//! telling       what every answer is told with
//! torrents      torrents of the share, for a user who gives them to others
//! from_torrent  the files of a torrent, for a user who has it
//! ```
//!
//! Everything that decides is in `thorp-core`. A [`Peer`] is a handle: cheap to
//! clone, usable from any task.

mod announced;
mod contents;
mod delivery;
mod dialling;
mod event;
mod from_torrent;
mod get;
mod gets;
mod hash_now;
mod large;
mod listings;
mod memory;
mod missed;
mod own_addresses;
mod pace;
mod reading;
mod room;
mod serve;
mod sharing;
mod shown;
mod silence;
mod standing;
mod task;
mod telling;
mod torrents;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use thorp_core::get::{FetchId, GetId, LargeEvent, Looked};
use thorp_core::peer::SurveyId;
use thorp_disk::DiskThread;
use thorp_files::share::{Share, ShareEvent};
use thorp_files::store::{Partial, Store, StoreError};
use thorp_group::address::NetAddress;
use thorp_group::clock::Clock;
use thorp_group::renewal::Renewal;
use thorp_group::tls::MemberTls;
use thorp_wire::frame::Holder;
use thorp_wire::{Entry, InfoHash, PeerId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::api::{Command, Done, Event, Failure, Notice, STOPPED_BY_USER, Trouble};
use crate::config::Config;
use crate::drive::caller::{Events, tell};
use crate::net::addresses::Reach;
use crate::net::listener::{Client, Inbound};
use crate::page::PageSlot;
use crate::sessions::{self, Transfer, Transfers};
use crate::snapshot::{self, Keeper, Viewer};

use delivery::Folder;
pub use memory::Memory;
use reading::Readings;
pub use reading::{NotRead, Reading, Unopened};
use room::{Promise, Promises};
use task::{Asked, Shown, Task};
use telling::milliseconds;

/// Requests that wait for the peer's task.
const REQUESTS: usize = 256;
/// Events that wait for the caller that asked.
const EVENTS: usize = 256;

/// What a peer is made of.
pub struct PeerSetup {
    /// Its certificate and its group's.
    pub tls: MemberTls,
    /// Where its tracker is; nowhere, if it has none.
    pub trackers: Vec<NetAddress>,
    /// Its settings.
    pub config: Config,
    /// Its clock.
    pub clock: Clock,
    /// What it does with files.
    pub role: Role,
    /// Whether a caller was told already that the tracker is being dialled.
    pub announced: bool,
    /// How its certificate is renewed.
    pub renewal: Renewal,
    /// A directory for files that are read while they arrive.
    pub reading: PathBuf,
    /// Where it is told what became of its page.
    pub page: PageSlot,
}

/// What a peer does with files.
pub enum Role {
    /// It shares a directory, and listens.
    Sharing {
        /// The directory.
        share: Share,
        /// What happens in it.
        changes: mpsc::Receiver<ShareEvent>,
        /// Where it listens, and where others reach it.
        reach: Reach,
        /// Members and clients that dialled it.
        inbound: Inbound,
        /// Its neighbours from earlier.
        memory: Memory,
    },
    /// It is here for the moment, and puts what it fetches into this directory.
    Visiting(Arc<Store>),
}

/// A running peer.
#[derive(Clone)]
pub struct Peer {
    requests: mpsc::Sender<Request>,
    /// What no caller waits for any more: as many as there were, so the
    /// channel needs no bound of its own.
    abandoned: mpsc::UnboundedSender<Abandoned>,
    viewer: Viewer,
    home: Folder,
    transfers: Transfers,
    readings: Arc<Readings>,
    promises: Promises,
    last_get: Arc<AtomicU64>,
    last_survey: Arc<AtomicU64>,
    itself: watch::Receiver<Option<Holder>>,
    trouble: watch::Receiver<Option<Trouble>>,
    torrents: watch::Receiver<Arc<Vec<InfoHash>>>,
    tls: MemberTls,
    trackers: Arc<[NetAddress]>,
    /// As the user has set it.
    executable: bool,
    page: PageSlot,
}

/// What the handle asks of the task.
enum Request {
    /// Files are wanted.
    Get(gets::Begun),
    /// Nothing comes for a get: from which holders is it awaited?
    Awaited(GetId),
    /// What is where files are to go.
    Looked(GetId, Vec<Looked>),
    /// What becomes of a large file.
    Large(FetchId, LargeEvent),
    /// All there is is wanted.
    Survey(listings::Survey),
    /// What was told of a survey is taken.
    Taken(SurveyId),
    /// Tell this sender as soon as the tracker knows the file with these hashes.
    Told(Entry, oneshot::Sender<()>),
    Stop(String),
}

/// What no caller waits for any more.
enum Abandoned {
    Get(GetId),
    Survey(SurveyId),
}

impl Peer {
    /// Starts a peer. It ends when it is stopped, or when the last handle is gone.
    /// A reader that does not read `notices` in time misses some.
    pub fn start(mut setup: PeerSetup, notices: mpsc::Sender<Notice>) -> (Self, JoinHandle<()>) {
        let (requests, requests_in) = mpsc::channel(REQUESTS);
        let (abandoned, abandoned_in) = mpsc::unbounded_channel();
        let (keeper, viewer) = Keeper::new();
        let home = match &setup.role {
            Role::Sharing { share, .. } => Folder::Share(share.clone()),
            Role::Visiting(store) => Folder::Directory(store.clone()),
        };
        let (itself, itself_in) = watch::channel(itself(&setup));
        let tls = setup.tls.clone();
        let executable = setup.config.executable;
        let most = setup.config.read_cache_mib.saturating_mul(1024 * 1024);
        let readings = Arc::new(Readings::new(setup.reading.clone(), most));
        let trackers = setup.trackers.clone().into();
        let (say_in_use, in_use) = mpsc::channel(EVENTS);
        let transfers = Transfers::new(for_sessions(&setup, say_in_use));
        if let Role::Sharing { inbound, .. } = &mut setup.role {
            let clients = std::mem::replace(&mut inbound.clients, mpsc::channel(1).1);
            tokio::spawn(attend_clients(transfers.clone(), clients));
        }
        let asked = Asked {
            requests: requests_in,
            abandoned: abandoned_in,
            in_use,
        };
        let (trouble, trouble_in) = watch::channel(None);
        let (torrents, torrents_in) = watch::channel(Arc::default());
        let shown = Shown {
            itself,
            keeper,
            trouble,
            torrents,
        };
        let page = setup.page.clone();
        let (task, engine) = Task::new(setup, transfers.clone(), asked, shown, notices);
        let task = tokio::spawn(super::run(task, engine));
        let peer = Self {
            requests,
            abandoned,
            viewer,
            home,
            transfers,
            readings,
            promises: Promises::default(),
            last_get: Arc::default(),
            last_survey: Arc::default(),
            itself: itself_in,
            trouble: trouble_in,
            torrents: torrents_in,
            tls,
            trackers,
            executable,
            page,
        };
        peer.sweep_what_was_read();
        (peer, task)
    }

    /// Promises room on the disk to a file of which `bytes` are to come, with so many `beside` it
    /// in others, or says that there is none. What was read and nobody reads any more gives way.
    fn find_room(
        &self,
        disk: DiskThread,
        partial: &Arc<Partial>,
        (bytes, beside): (u64, u64),
        transfer: &Arc<Transfer>,
    ) -> Result<Arc<Promise>, StoreError> {
        let find = || {
            let transfer = Arc::clone(transfer);
            let to_come = move || transfer.to_come();
            self.promises
                .promise(disk, partial, (bytes, beside), to_come)
        };
        let found = find();
        if !matches!(found, Err(StoreError::Full { .. })) {
            return found;
        }
        let Some(left) = self.promises.left_at(disk, partial.path()) else {
            return found;
        };
        let missing = partial.missing(disk, bytes).unwrap_or(bytes);
        let lacking = missing.saturating_add(beside).saturating_sub(left.free);
        if self.readings.give_way(disk, left.device, lacking) {
            return find();
        }
        found
    }

    /// This peer, as others see it; `None` for a visitor, which no other one sees.
    fn itself(&self) -> Option<Holder> {
        self.itself.borrow().clone()
    }

    /// Why there is no link to the tracker, where there was an attempt to make one.
    fn trouble(&self) -> Option<Trouble> {
        self.trouble.borrow().clone()
    }

    /// Whether a file that its holder may execute arrives as one. Any machine may come
    /// into an open group: what it offers is never made a program here. As long as there is
    /// no record, the group may be open.
    fn takes_executables(&self) -> bool {
        self.executable && self.tls.records().is_by_invitation()
    }

    /// What it shows of itself.
    pub fn viewer(&self) -> &Viewer {
        &self.viewer
    }

    /// Does what a user asks. The answer ends with [`Event::Done`] or
    /// [`Event::Error`]; dropping the receiver abandons it.
    pub fn command(&self, command: Command) -> mpsc::Receiver<Event> {
        let (events, receiver) = mpsc::channel(command.events_that_wait(EVENTS));
        let peer = self.clone();
        tokio::spawn(async move {
            let since = Instant::now();
            let end = tokio::select! {
                end = peer.answer(command, &events) => end,
                () = events.closed() => return,
            };
            let end = match end {
                Ok(done) => Event::Done(Done {
                    ms: milliseconds(since),
                    ..done
                }),
                Err(failure) => Event::Error(failure),
            };
            tell(&events, end).await;
        });
        receiver
    }

    /// Answers event by event, but for the last one.
    async fn answer(&self, command: Command, events: &Events) -> Result<Done, Failure> {
        match command {
            Command::Get(get) => get::run(self, get, events).await,
            Command::Read(wanted) => reading::send(self, wanted, events).await,
            Command::GetTorrent(get) => from_torrent::run(self, get, events).await,
            Command::Find { pattern } => listings::find(self, &pattern, events).await,
            Command::Ls { peer, folder } => listings::ls(self, peer, folder, events).await,
            Command::Peers => listings::peers(self, events).await,
            Command::Neighbours => listings::neighbours(self, events).await,
            Command::Status => listings::status(self, events).await,
            Command::Stop => {
                self.stop(STOPPED_BY_USER).await;
                Ok(Done::default())
            }
            Command::Page => self.page.link(events).await,
            Command::Torrent(of) => torrents::make(self, of, events).await,
            Command::Snapshot(ask) => listings::page(self, ask, events).await,
            Command::Watch { since } => Ok(snapshot::watch(&self.viewer, since, events).await),
            // The keeper of the group's CA is asked these.
            Command::Invite { .. }
            | Command::Members
            | Command::Remove { .. }
            | Command::Backup => Err(Failure::NotTheKeeper),
        }
    }

    /// Says goodbye on all links, and ends.
    pub async fn stop(&self, reason: &str) {
        // If the task is gone, so is what it had to say.
        let _ = self.requests.send(Request::Stop(reason.to_owned())).await;
    }

    /// Whether it was removed from its group. Then it ends by itself.
    pub fn was_removed(&self) -> bool {
        !self.tls.records().allows(&self.tls.member().id)
    }

    /// The directory it shares.
    pub fn share(&self) -> Option<&Share> {
        match &self.home {
            Folder::Share(share) => Some(share),
            Folder::Directory(_) => None,
        }
    }

    /// Whether it is a peer for one command.
    pub(crate) fn is_visitor(&self) -> bool {
        self.share().is_none()
    }

    /// Why it answers nothing any more.
    fn ended(&self) -> Failure {
        if self.was_removed() {
            Failure::Removed
        } else {
            Failure::PeerStopping
        }
    }

    fn next_survey(&self) -> SurveyId {
        SurveyId(self.last_survey.fetch_add(1, Ordering::Relaxed))
    }

    /// No caller waits for this any more.
    fn abandon(&self, abandoned: Abandoned) {
        // If the task is gone, nothing is done for it.
        let _ = self.abandoned.send(abandoned);
    }

    fn next_get(&self) -> GetId {
        GetId(self.last_get.fetch_add(1, Ordering::Relaxed))
    }

    /// Says something to the task. If that is gone, there is nobody to tell.
    async fn tell(&self, request: Request) {
        let _ = self.requests.send(request).await;
    }

    /// Where fetched files go, unless somewhere else is asked for.
    fn folder(&self) -> Folder {
        self.home.clone()
    }
}

fn itself(setup: &PeerSetup) -> Option<Holder> {
    let Role::Sharing { reach, .. } = &setup.role else {
        return None;
    };
    let member = setup.tls.member();
    Some(Holder {
        id: member.id,
        name: member.name,
        addresses: reach.addresses(),
        partial: false,
    })
}

/// Serves clients until the port is closed at which they arrive.
async fn attend_clients(transfers: Transfers, mut clients: mpsc::Receiver<Client>) {
    while let Some(client) = clients.recv().await {
        transfers.on_client(client);
    }
}

/// What its sessions stand on.
fn for_sessions(setup: &PeerSetup, in_use: mpsc::Sender<PeerId>) -> sessions::Setup {
    let (share, listen) = match &setup.role {
        Role::Sharing { share, reach, .. } => (Some(share.clone()), Some(reach.listen())),
        Role::Visiting(_) => (None, None),
    };
    sessions::Setup {
        tls: setup.tls.clone(),
        clock: setup.clock.clone(),
        source: source(listen),
        port: listen.map(|listen| listen.port()),
        serves_clients: setup.config.share_bittorrent,
        share,
        in_use,
    }
}

/// The address to dial from: a node that listens on one address uses that one.
fn source(listen: Option<SocketAddr>) -> Option<IpAddr> {
    listen
        .map(|listen| listen.ip())
        .filter(|ip| !ip.is_unspecified())
}

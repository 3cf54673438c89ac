//! A running peer.
//!
//! ```text
//! task          what only a peer does: events and outputs, each to its part
//! event         what happens to a peer besides links and time
//! dialling      reaching members and the tracker
//! surroundings  where this machine is, and when that changes
//! standing      group records and the own certificate, while the peer runs
//! sharing       what a visitor has not: a share, and members that call
//! shown         the rows of the snapshot that only a peer has
//! serve         small files for others
//! hash_now      files that callers wait for, hashed before others
//! memory        the neighbours that were, on disk
//! fetching      callers' lookups, surveys and files, until they are answered
//!
//! commands      what a person asks, answered event by event
//! get           the longest of these: look up, choose, fetch, store
//! hashing       looking up what is still being hashed
//! large         one large file: from many, in pieces, taken up where it was left
//! pace          how far, how fast, how long yet
//! telling       what every answer is told with
//! ```
//!
//! Everything that decides is in `thorp-core`. A [`Peer`] is a handle: cheap to
//! clone, usable from any task.

mod commands;
mod dialling;
mod event;
mod fetching;
mod get;
mod hash_now;
mod hashing;
mod large;
mod memory;
mod pace;
mod serve;
mod sharing;
mod shown;
mod standing;
mod surroundings;
mod task;
mod telling;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use thorp_core::fetch::{Failure, FetchId, Wanted};
use thorp_core::lookup::{Only, Outcome};
use thorp_core::survey::{Findings, Subject};
use thorp_files::share::{Arriving, Share, ShareEvent};
use thorp_files::store::{Destination, Partial, Replace, Store, StoreError, Stored};
use thorp_group::address::NetAddress;
use thorp_group::clock::Clock;
use thorp_group::renewal::Renewal;
use thorp_group::tls::MemberTls;
use thorp_wire::frame::{Holder, MemberRow, Variant};
use thorp_wire::merkle::Hash;
use thorp_wire::{Content, Name, PeerId, merkle};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::api::{Command, Event, Notice, Status, Trouble};
use crate::config::Config;
use crate::net::addresses;
use crate::net::listener::Incoming;
use crate::sessions::{self, Swarms};
use crate::snapshot::{Keeper, Viewer};

pub use memory::Memory;
use task::{Asked, Shown, Task};

/// Requests that wait for the peer's task.
const REQUESTS: usize = 256;
/// Events that wait for whoever asked.
const EVENTS: usize = 256;

/// What a peer is made of.
pub struct Setup {
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
    /// Whether somebody was told already that the tracker is being dialled.
    pub announced: bool,
    /// How its certificate is renewed.
    pub renewal: Renewal,
}

/// What a peer does with files.
pub enum Role {
    /// It shares a directory, and listens.
    Sharing {
        /// The directory.
        share: Share,
        /// What happens in it.
        changes: mpsc::Receiver<ShareEvent>,
        /// Where it listens.
        listen: SocketAddr,
        /// Members that dialled it.
        incoming: mpsc::Receiver<Incoming>,
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
    /// Fetches that nobody waits for any more: as many as there were, so the
    /// channel needs no bound of its own.
    abandoned: mpsc::UnboundedSender<FetchId>,
    viewer: Viewer,
    home: Place,
    swarms: Swarms,
    last_fetch: Arc<AtomicU64>,
    itself: watch::Receiver<Option<Holder>>,
    trouble: watch::Receiver<Option<Trouble>>,
    tls: MemberTls,
}

/// What the handle asks of the task.
enum Request {
    LookUp {
        names: Vec<String>,
        only: Only,
        reply: oneshot::Sender<Outcome>,
    },
    Survey {
        subject: Subject,
        only: Only,
        /// Whether to add what this peer has itself.
        own_too: bool,
        reply: oneshot::Sender<Findings>,
    },
    Fetch {
        fetch: FetchId,
        wanted: Wanted,
        delivery: Delivery,
        reply: oneshot::Sender<Result<(Holder, Stored), FetchError>>,
    },
    /// Who has a large file?
    Seek {
        fetch: FetchId,
        wanted: Wanted,
        /// Told whenever there are more. As many as are asked for, so the
        /// channel needs no bound of its own.
        holders: mpsc::UnboundedSender<Vec<Holder>>,
    },
    /// Those named so far are not enough.
    Widen(FetchId),
    /// It has come, from these.
    Gathered(FetchId, Vec<Holder>),
    /// It sent what is not of the file it lists.
    Lied(Holder),
    /// Pieces come from it.
    InUse(PeerId),
    Member(PeerId, oneshot::Sender<Option<Holder>>),
    Neighbours(oneshot::Sender<Vec<MemberRow>>),
    Status(oneshot::Sender<Status>),
    Stop(String),
}

/// Where one fetched file is to be put.
#[derive(Clone)]
struct Delivery {
    place: Place,
    name: Name,
    mtime: i64,
    replace: Replace,
    /// What is in the way gets this name first.
    set_aside: Option<String>,
}

/// A directory that files are put into.
#[derive(Clone)]
enum Place {
    Share(Share),
    Directory(Arc<Store>),
}

/// Why a file was not fetched.
#[derive(Debug)]
enum FetchError {
    /// Nobody delivered it.
    Failure(Failure),
    /// It came, and could not be put where it should be.
    Store(StoreError),
    /// The peer is stopping.
    Stopping,
}

impl Peer {
    /// Starts a peer. It ends when it is stopped, or when the last handle is gone.
    /// Whoever does not read `notices` in time misses some.
    pub fn start(setup: Setup, notices: mpsc::Sender<Notice>) -> (Self, JoinHandle<()>) {
        let (requests, requests_in) = mpsc::channel(REQUESTS);
        let (abandoned, abandoned_in) = mpsc::unbounded_channel();
        let (keeper, viewer) = Keeper::new();
        let home = match &setup.role {
            Role::Sharing { share, .. } => Place::Share(share.clone()),
            Role::Visiting(store) => Place::Directory(store.clone()),
        };
        let (itself, itself_in) = watch::channel(itself(&setup));
        let tls = setup.tls.clone();
        let (fed, fed_in) = mpsc::channel(EVENTS);
        let swarms = Swarms::new(for_sessions(&setup, fed));
        let asked = Asked {
            requests: requests_in,
            abandoned: abandoned_in,
            fed: fed_in,
        };
        let (trouble, trouble_in) = watch::channel(None);
        let shown = Shown {
            itself,
            keeper,
            trouble,
        };
        let (task, engine) = Task::new(setup, swarms.clone(), asked, shown, notices);
        let task = tokio::spawn(super::run(task, engine));
        let peer = Self {
            requests,
            abandoned,
            viewer,
            home,
            swarms,
            last_fetch: Arc::default(),
            itself: itself_in,
            trouble: trouble_in,
            tls,
        };
        (peer, task)
    }

    /// This peer, as others see it; `None` for a visitor, whom nobody sees.
    fn itself(&self) -> Option<Holder> {
        self.itself.borrow().clone()
    }

    /// Why there is no link to the tracker, where there was an attempt to make one.
    fn trouble(&self) -> Option<Trouble> {
        self.trouble.borrow().clone()
    }

    /// What it shows of itself.
    pub fn viewer(&self) -> &Viewer {
        &self.viewer
    }

    /// Does what a person asks. The answer ends with [`Event::Done`] or
    /// [`Event::Error`]; dropping the receiver abandons it.
    pub fn command(&self, command: Command) -> mpsc::Receiver<Event> {
        let room = match command {
            // It is told more when it has taken what was told before.
            Command::Watch { .. } => 1,
            _ => EVENTS,
        };
        let (events, receiver) = mpsc::channel(room);
        let peer = self.clone();
        tokio::spawn(async move {
            let abandoned = events.clone();
            tokio::select! {
                () = commands::run(&peer, command, events) => {}
                () = abandoned.closed() => {}
            }
        });
        receiver
    }

    /// Says goodbye to everybody and ends.
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
            Place::Share(share) => Some(share),
            Place::Directory(_) => None,
        }
    }

    async fn look_up(&self, names: Vec<String>, only: Only) -> Option<Outcome> {
        self.ask(|reply| Request::LookUp { names, only, reply })
            .await
    }

    async fn survey(&self, subject: Subject, only: Only, own_too: bool) -> Option<Findings> {
        let wanted = subject.clone();
        let ask = self.ask(|reply| Request::Survey {
            subject,
            only,
            own_too,
            reply,
        });
        let mut findings = ask.await?;
        if let Subject::Files(pattern) = wanted {
            // Others answer what they like; nobody gets what was not asked for.
            let meant = |file: &Variant| pattern.matches(&file.entry.name);
            findings.files.retain(meant);
        }
        Some(findings)
    }

    fn next_fetch(&self) -> FetchId {
        FetchId(self.last_fetch.fetch_add(1, Ordering::Relaxed))
    }

    /// Says something to the task. If that is gone, there is nobody to tell.
    async fn tell(&self, request: Request) {
        let _ = self.requests.send(request).await;
    }

    async fn fetch(
        &self,
        wanted: Wanted,
        delivery: Delivery,
    ) -> Result<(Holder, Stored), FetchError> {
        let fetch = self.next_fetch();
        let mut waiting = Waiting {
            abandoned: &self.abandoned,
            fetch: Some(fetch),
        };
        let ask = self.ask(|reply| Request::Fetch {
            fetch,
            wanted,
            delivery,
            reply,
        });
        let result = ask.await;
        waiting.fetch = None;
        result.unwrap_or(Err(FetchError::Stopping))
    }

    /// A member to whom there is a link.
    async fn known(&self, id: PeerId) -> Option<Holder> {
        self.ask(|reply| Request::Member(id, reply)).await?
    }

    async fn neighbours(&self) -> Option<Vec<MemberRow>> {
        self.ask(Request::Neighbours).await
    }

    async fn status(&self) -> Option<Status> {
        self.ask(Request::Status).await
    }

    /// Nothing, if the peer is stopping.
    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Where fetched files go, unless somewhere else is asked for.
    fn place(&self) -> Place {
        self.home.clone()
    }
}

/// Somebody waits for a file. Whoever stops waiting does not want it any more.
struct Waiting<'a> {
    abandoned: &'a mpsc::UnboundedSender<FetchId>,
    fetch: Option<FetchId>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(fetch) = self.fetch {
            // If the task is gone, nothing is fetched.
            let _ = self.abandoned.send(fetch);
        }
    }
}

impl Place {
    fn store(&self) -> &Store {
        match self {
            Self::Share(share) => share.as_store(),
            Self::Directory(store) => store,
        }
    }

    fn path_of(&self, name: &Name) -> PathBuf {
        self.store().path_of(name)
    }
}

impl Delivery {
    /// Verifies the bytes and puts them where they belong. Blocks on the disk.
    fn put(&self, content: Content, bytes: &[u8]) -> Result<Stored, StoreError> {
        let mtime = Some(self.mtime);
        if let Some(other) = &self.set_aside {
            // Nothing makes way for what is not what was asked for.
            if merkle::content_of(bytes) != content {
                return Err(StoreError::Mismatch {
                    path: self.place.path_of(&self.name),
                });
            }
            self.place.store().set_aside(&self.name, other)?;
        }
        match &self.place {
            Place::Share(share) => share.store(&self.name, content, mtime, bytes, self.replace),
            Place::Directory(store) => store.put(&self.name, content, mtime, bytes, self.replace),
        }
    }
}

impl Delivery {
    /// The file in which a large one arrives. Blocks on the disk.
    fn partial(&self, content: Content) -> Result<Partial, StoreError> {
        match &self.place {
            Place::Share(share) => share.partial(&self.name, content),
            Place::Directory(store) => store.partial(&self.name, content),
        }
    }

    /// Waits until nothing more may be written there.
    async fn closed(&self) -> StoreError {
        match &self.place {
            Place::Share(share) => share.moved().await,
            Place::Directory(_) => std::future::pending().await,
        }
    }

    /// Lists what there is of it, for as long as that is held, where it arrives
    /// in the share. Blocks on the disk.
    fn arriving(&self, content: Content) -> Option<Arriving> {
        match &self.place {
            Place::Share(share) => Some(share.arriving(&self.name, content, self.mtime)),
            Place::Directory(_) => None,
        }
    }

    /// Puts it where it belongs, now that it is verified. Blocks on the disk.
    fn finish(&self, partial: &Partial, layer: &[Hash]) -> Result<Stored, StoreError> {
        let (mtime, aside) = (Some(self.mtime), self.set_aside.as_deref());
        match &self.place {
            Place::Share(share) => {
                share.finish(&self.name, partial, layer, mtime, self.replace, aside)
            }
            Place::Directory(store) => store.finish(partial, mtime, self.replace, aside),
        }
    }

    /// Whether something is in the way that is to stay where it is.
    fn is_blocked(&self) -> bool {
        let there = self.place.store().check(&self.name);
        self.replace == Replace::No
            && self.set_aside.is_none()
            && matches!(there, Ok(Destination::Exists { .. }))
    }
}

fn itself(setup: &Setup) -> Option<Holder> {
    let Role::Sharing { listen, .. } = &setup.role else {
        return None;
    };
    let member = setup.tls.member();
    Some(Holder {
        id: member.id,
        name: member.name,
        addresses: addresses::own(*listen),
        partial: false,
    })
}

/// What its sessions stand on.
fn for_sessions(setup: &Setup, fed: mpsc::Sender<PeerId>) -> sessions::Setup {
    let (share, listen) = match &setup.role {
        Role::Sharing { share, listen, .. } => (Some(share.clone()), Some(*listen)),
        Role::Visiting(_) => (None, None),
    };
    sessions::Setup {
        tls: setup.tls.clone(),
        clock: setup.clock.clone(),
        source: source(listen),
        port: listen.map(|listen| listen.port()),
        share,
        fed,
    }
}

/// The address to dial from: a node that listens on one address uses that one.
fn source(listen: Option<SocketAddr>) -> Option<IpAddr> {
    listen
        .map(|listen| listen.ip())
        .filter(|ip| !ip.is_unspecified())
}

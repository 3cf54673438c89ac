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
//! callers       surveys and gets that callers wait for
//!
//! commands      what a person asks, answered event by event
//! get           the longest of these: files by name
//! delivery      where its files are put
//! large         one large file of it: its steps on the disk
//! missed        why a file is missed, in codes
//! pace          how far, how fast, how long yet
//! telling       what every answer is told with
//! ```
//!
//! Everything that decides is in `thorp-core`. A [`Peer`] is a handle: cheap to
//! clone, usable from any task.

mod callers;
mod commands;
mod delivery;
mod dialling;
mod event;
mod get;
mod hash_now;
mod large;
mod memory;
mod missed;
mod pace;
mod serve;
mod sharing;
mod shown;
mod standing;
mod surroundings;
mod task;
mod telling;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use thorp_core::get::{FetchId, GetId, LargeEvent, Looked};
use thorp_core::lookup::Only;
use thorp_core::survey::{Findings, Subject};
use thorp_files::share::{Share, ShareEvent};
use thorp_files::store::Store;
use thorp_group::address::NetAddress;
use thorp_group::clock::Clock;
use thorp_group::renewal::Renewal;
use thorp_group::tls::MemberTls;
use thorp_wire::PeerId;
use thorp_wire::frame::Holder;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::api::{Command, Event, Notice, Trouble};
use crate::config::Config;
use crate::net::addresses;
use crate::net::listener::Incoming;
use crate::sessions::{self, Swarms};
use crate::snapshot::{Keeper, Viewer};

use delivery::{Folder, Terms};
use get::ForGet;
pub use memory::Memory;
use task::{Asked, Shown, Task};

/// Requests that wait for the peer's task.
const REQUESTS: usize = 256;
/// Events that wait for whoever asked.
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
    /// Gets that no caller waits for any more: as many as there were, so the
    /// channel needs no bound of its own.
    abandoned: mpsc::UnboundedSender<GetId>,
    viewer: Viewer,
    home: Folder,
    swarms: Swarms,
    last_get: Arc<AtomicU64>,
    itself: watch::Receiver<Option<Holder>>,
    trouble: watch::Receiver<Option<Trouble>>,
    tls: MemberTls,
}

/// What the handle asks of the task.
enum Request {
    /// Files are wanted.
    Get {
        get: GetId,
        request: thorp_core::get::Request,
        terms: Terms,
        /// As many as there are files, so the channel needs no bound of its own.
        told: mpsc::UnboundedSender<ForGet>,
    },
    /// What is where files are to go.
    Looked(GetId, Vec<Looked>),
    /// What becomes of a large file.
    Large(FetchId, LargeEvent),
    Survey {
        subject: Subject,
        only: Only,
        /// Whether to add what this peer has itself.
        own_too: bool,
        reply: oneshot::Sender<Findings>,
    },
    Stop(String),
}

impl Peer {
    /// Starts a peer. It ends when it is stopped, or when the last handle is gone.
    /// Whoever does not read `notices` in time misses some.
    pub fn start(setup: PeerSetup, notices: mpsc::Sender<Notice>) -> (Self, JoinHandle<()>) {
        let (requests, requests_in) = mpsc::channel(REQUESTS);
        let (abandoned, abandoned_in) = mpsc::unbounded_channel();
        let (keeper, viewer) = Keeper::new();
        let home = match &setup.role {
            Role::Sharing { share, .. } => Folder::Share(share.clone()),
            Role::Visiting(store) => Folder::Directory(store.clone()),
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
            last_get: Arc::default(),
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
            Folder::Share(share) => Some(share),
            Folder::Directory(_) => None,
        }
    }

    async fn survey(&self, subject: Subject, only: Only, own_too: bool) -> Option<Findings> {
        self.ask(|reply| Request::Survey {
            subject,
            only,
            own_too,
            reply,
        })
        .await
    }

    fn next_get(&self) -> GetId {
        GetId(self.last_get.fetch_add(1, Ordering::Relaxed))
    }

    /// Says something to the task. If that is gone, there is nobody to tell.
    async fn tell(&self, request: Request) {
        let _ = self.requests.send(request).await;
    }

    /// Nothing, if the peer is stopping.
    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Where fetched files go, unless somewhere else is asked for.
    fn folder(&self) -> Folder {
        self.home.clone()
    }
}

/// A get that a caller waits for. Dropped before it is served, it is abandoned.
struct Waiting<'a> {
    abandoned: &'a mpsc::UnboundedSender<GetId>,
    get: Option<GetId>,
}

impl<'a> Waiting<'a> {
    fn new(peer: &'a Peer, get: GetId) -> Self {
        Self {
            abandoned: &peer.abandoned,
            get: Some(get),
        }
    }

    fn was_served(&mut self) {
        self.get = None;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(get) = self.get {
            // If the task is gone, nothing is fetched.
            let _ = self.abandoned.send(get);
        }
    }
}

fn itself(setup: &PeerSetup) -> Option<Holder> {
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
fn for_sessions(setup: &PeerSetup, fed: mpsc::Sender<PeerId>) -> sessions::Setup {
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

//! A village in one process: a tracker, and peers that can be frozen.
//!
//! Every peer runs on a thread with a runtime of its own, as if it were a machine. A frozen thread
//! keeps its connections open and sends nothing, which to the other end looks like a pulled cable.
//! Owns the directories, and removes them at the end.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::mpsc as blocking;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tempfile::TempDir;
use thorp_disk::LetGo;
use thorp_node::address::{ListenAddress, NetAddress};
use thorp_node::api::{Command, ErrorKind, Event, Fetched, Get, Notice};
use thorp_node::config::Setting;
use thorp_node::launch::{self, Common, Group, RunningPeer, RunningTracker};
use thorp_node::share;
use thorp_node::snapshot::Viewer;
use tokio::runtime::{self, Handle};
use tokio::sync::mpsc;

use super::Rows;
use crate::commands::context::on_disk;
use crate::exit::{Complaint, Result, failure};
use crate::node;
use crate::tables::{Neighbourhood, PeerLine, Tables};

/// The interval of signs of life in the demo, in milliseconds.
const INTERVAL: &str = "500";
/// How long any step may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// The result of a fetch.
pub type Got = std::result::Result<Fetched, Complaint>;

/// The tracker and its peers. Dropping it ends them and removes their files.
pub struct Village {
    /// How many files were fetched so far.
    pub files: u64,
    /// How many bytes they had.
    pub bytes: u64,
    peers: BTreeMap<&'static str, Villager>,
    tracker: RunningTracker,
    settings: Vec<Setting>,
    directory: LetGo<TempDir>,
}

/// A peer on a machine of its own.
pub struct Villager {
    running: RunningPeer,
    machine: Machine,
}

/// A thread that runs what is spawned on it, except while it is frozen.
struct Machine {
    handle: Handle,
    /// Dropping it ends the thread.
    freeze: Option<mpsc::UnboundedSender<blocking::Receiver<()>>>,
    /// Dropping it thaws.
    frozen: Option<blocking::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Village {
    /// Starts a tracker, without peers.
    pub async fn found(settings: &[Setting]) -> Result<Self> {
        let directory = on_disk(|_| tempfile::Builder::new().prefix("thorp-demo-").tempdir());
        let directory = directory
            .await?
            .map_err(|error| other(format!("a directory for the demo cannot be made: {error}")))?;
        let mut settings = settings.to_vec();
        for key in ["interval.tracker_ms", "interval.neighbour_ms"] {
            let setting = Setting::new(key, INTERVAL, "demo");
            settings.push(setting.map_err(|error| other(error.to_string()))?);
        }
        let common = common(directory.path(), "hall", super::PEER_1, &settings)?;
        // The scenes tell what happens, so the notices are not shown.
        let (notices, _) = mpsc::channel(1);
        let tracker = launch::tracker(common, launch::Decided::opened(), notices).await?;
        Ok(Self {
            files: 0,
            bytes: 0,
            peers: BTreeMap::new(),
            tracker,
            settings,
            directory: LetGo::new(directory),
        })
    }

    /// Ends all nodes, so that none of them writes to the directory when that is removed.
    pub async fn end(self) {
        drop(self.peers);
        // Whoever plays it need not wait for one that does not end.
        let _ = within("the end", self.tracker.stop("the demo is over")).await;
        let directory = self.directory.into_inner();
        let _ = on_disk(move |_| drop(directory)).await;
    }

    /// Returns the address where its tracker listens.
    pub fn place(&self) -> std::net::SocketAddr {
        self.tracker.listen
    }

    /// Starts a peer with these files, and waits until it has joined and hashed them. Returns its
    /// notices.
    pub async fn join(
        &mut self,
        address: &'static str,
        name: &str,
        files: &[&str],
    ) -> Result<Vec<Notice>> {
        let dir = self.directory.path().join(format!("{name}-files"));
        let names: Vec<_> = files.iter().map(|file| (*file).to_owned()).collect();
        let at = dir.clone();
        let wrote = on_disk(move |_| {
            std::fs::create_dir(&at)?;
            names.iter().try_for_each(|file| {
                let text = match &**file {
                    "client" => "Every peer has the same.\n".to_owned(),
                    file => format!("This is {file}.\n"),
                };
                std::fs::write(at.join(file), text)
            })
        });
        wrote
            .await?
            .map_err(|error| other(format!("{}: {error}", dir.display())))?;
        let common = common(self.directory.path(), name, address, &self.settings)?;
        let group = Group::Open(NetAddress::Ip(self.tracker.listen));
        let options = share::Options {
            quiet: Duration::from_millis(50),
            ..share::Options::default()
        };
        let machine = Machine::start()?;
        let (sender, mut notices) = mpsc::channel(64);
        let start = async move { launch::share(common, &dir, options, group, sender).await };
        let started = machine.handle.spawn(start).await;
        let running = started.map_err(|error| other(error.to_string()))??;
        let viewer = running.peer.viewer().clone();
        self.peers.insert(address, Villager { running, machine });
        let mut told = Vec::new();
        let connected = async {
            while let Some(notice) = notices.recv().await {
                told.push(notice.clone());
                if notice == Notice::Connected {
                    return Some(());
                }
            }
            None
        };
        let what = format!("{name} joining");
        within(&what, connected)
            .await?
            .ok_or_else(|| ended(&what))?;
        let count = files.len() as u64;
        until(&what, &viewer, Neighbourhood::of, |known| {
            known.files == count && known.unhashed == 0
        })
        .await?;
        Ok(told)
    }

    /// Returns one of its peers.
    pub fn peer(&mut self, address: &str) -> Result<&mut Villager> {
        self.peers.get_mut(address).ok_or_else(|| ended(address))
    }

    /// Lets a peer fetch a file, as its user would.
    pub async fn get(&mut self, address: &str, name: &str) -> Result<Got> {
        let running = &self.peer(address)?.running;
        let mut answer = running.peer.command(Command::Get(Get {
            names: vec![name.to_owned()],
            ..Get::default()
        }));
        let answered = async {
            let mut fetched = None;
            while let Some(event) = answer.recv().await {
                match event {
                    Event::Fetched(file) => fetched = Some(file),
                    Event::Done(_) => return fetched.map(Ok),
                    Event::Error(failure) => return Some(Err(failure.into())),
                    _ => {}
                }
            }
            None
        };
        let got = within(name, answered).await?.ok_or_else(|| ended(name))?;
        if let Ok(file) = &got {
            self.files += 1;
            self.bytes += file.length;
        }
        Ok(got)
    }

    /// Lets a peer leave with a goodbye.
    pub async fn leave(&mut self, address: &str) -> Result<()> {
        let peer = self.peers.remove(address).ok_or_else(|| ended(address))?;
        within("a goodbye", peer.running.stop("goes home")).await
    }

    /// Returns how often the tracker was asked for files.
    pub async fn finds(&self) -> Result<u64> {
        let status = self.tracker.tracker.status().await;
        Ok(status.ok_or_else(|| ended("the tracker"))?.counts.finds)
    }

    /// Waits until the List of Peers shows exactly these rows, and every file is hashed.
    pub async fn until_tables(&self, rows: Rows<'_>) -> Result<Tables> {
        let shows = |view: &Tables| {
            let same = |(row, (address, files, neighbours)): (&_, &(&str, &[&str], &[&str]))| {
                let row: &PeerLine = row;
                row.address == *address && row.files == *files && row.neighbours == *neighbours
            };
            view.peers.len() == rows.len()
                && view.peers.iter().zip(rows).all(same)
                && view.files.iter().all(|file| file.root_prefix.is_none())
                && has_all_files(view)
        };
        self.until_view("the tables", shows).await
    }

    /// Waits until neither the tables nor the other peers' neighbours include a peer.
    pub async fn until_gone(&mut self, address: &str, others: &[&str]) -> Result<()> {
        let what = format!("{address} being forgotten");
        self.until_view(&what, |view| {
            view.peers.iter().all(|row| row.address != address)
        })
        .await?;
        for other in others {
            let viewer = self.peer(other)?.running.peer.viewer();
            let gone = |known: &Neighbourhood| {
                let mut rows = known.neighbours.iter();
                rows.all(|row| row.member.address != address)
            };
            until(&what, viewer, Neighbourhood::of, gone).await?;
        }
        Ok(())
    }

    /// Waits until the tables show a peer with this many files.
    pub async fn until_back(&self, address: &str, files: u64) -> Result<Tables> {
        let back = |view: &Tables| {
            let mut rows = view.peers.iter();
            rows.any(|row| row.address == address && row.files_total == files)
                && has_all_files(view)
        };
        self.until_view("a peer coming back", back).await
    }

    /// Waits until a peer knows this many files of a neighbour.
    pub async fn until_knows(&mut self, address: &str, neighbour: &str, files: u64) -> Result<()> {
        let viewer = self.peer(address)?.running.peer.viewer();
        let knows = |known: &Neighbourhood| {
            let mut rows = known.neighbours.iter();
            rows.any(|row| row.member.address == neighbour && row.files == files)
        };
        let what = "neighbours telling what they have";
        until(what, viewer, Neighbourhood::of, knows).await?;
        Ok(())
    }

    async fn until_view(&self, what: &str, shows: impl Fn(&Tables) -> bool) -> Result<Tables> {
        until(what, self.tracker.tracker.viewer(), Tables::of, shows).await
    }
}

impl Villager {
    /// Stops the machine.
    pub fn freeze(&mut self) {
        let (thaw, thawed) = blocking::channel();
        if let Some(freeze) = &self.machine.freeze {
            // A machine that has ended does not run anyway.
            let _ = freeze.send(thawed);
        }
        self.machine.frozen = Some(thaw);
    }

    /// Lets the machine run again.
    pub fn thaw(&mut self) {
        self.machine.frozen = None;
    }
}

impl Machine {
    fn start() -> Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| other(error.to_string()))?;
        let handle = runtime.handle().clone();
        let (freeze, mut freezes) = mpsc::unbounded_channel::<blocking::Receiver<()>>();
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                while let Some(thawed) = freezes.recv().await {
                    // Blocks the thread on purpose, so that nothing else runs on it.
                    let _ = thawed.recv();
                }
            });
            runtime.shutdown_background();
        });
        Ok(Self {
            handle,
            freeze: Some(freeze),
            frozen: None,
            thread: Some(thread),
        })
    }
}

impl Drop for Machine {
    /// Ends the node before its directory is removed, so that it does not write there.
    fn drop(&mut self) {
        self.frozen = None;
        self.freeze = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has ended, too.
            let _ = thread.join();
        }
    }
}

fn common(directory: &Path, name: &str, address: &str, settings: &[Setting]) -> Result<Common> {
    let ip: IpAddr = address.parse().map_err(|_| ended(address))?;
    let name = name.parse().map_err(|_| ended(name))?;
    let listen = ListenAddress {
        ip: Some(ip),
        port: Some(0),
        zone: 0,
    };
    let state = directory.join(format!("{name}-state"));
    Ok(node::common(
        state,
        settings.to_vec(),
        Some(name),
        Some(listen),
        Vec::new(),
    ))
}

/// Whether every file has its final row. A file without a root counts once for each peer that
/// lists it, so there are fewer rows than counted until all files are hashed.
fn has_all_files(view: &Tables) -> bool {
    view.files.len() as u64 == view.files_total
}

async fn until<T>(
    what: &str,
    viewer: &Viewer,
    look: impl AsyncFn(&Viewer) -> Option<T>,
    shows: impl Fn(&T) -> bool,
) -> Result<T> {
    let mut news = viewer.news();
    let seen = async {
        loop {
            news.borrow_and_update();
            let now = look(viewer).await?;
            if shows(&now) {
                return Some(now);
            }
            news.changed().await.ok()?;
        }
    };
    within(what, seen).await?.ok_or_else(|| ended(what))
}

async fn within<T>(what: &str, work: impl Future<Output = T>) -> Result<T> {
    let done = tokio::time::timeout(PATIENCE, work).await;
    done.map_err(|_| {
        let why = format!("{what} took too long; this machine may be very busy: try again");
        failure(ErrorKind::Unfinished, why)
    })
}

fn ended(what: &str) -> Complaint {
    other(format!("the demo broke off: {what}"))
}

fn other(why: String) -> Complaint {
    failure(ErrorKind::Other, why)
}

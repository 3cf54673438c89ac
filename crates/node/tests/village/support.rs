//! A village to test with.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use thorp_node::address::NetAddress;
use thorp_node::api::{
    Command, Done, ErrorKind, Event, Failure, Fetched, FileRow, Get, Notice, PeerRow, Status,
};
use thorp_node::clock::Clock;
use thorp_node::config::Setting;
use thorp_node::launch::{self, Common, Group, RunningPeer, RunningTracker};
use thorp_node::share;
use thorp_node::snapshot::{Ask, Part, SnapshotRow, TrackedFile, TrackedPeer, Viewer};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Far beyond what anything here takes, even on a machine that is busy.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// Waits for something that has to happen.
pub async fn within<T>(what: &str, event: impl Future<Output = T>) -> T {
    let came = timeout(DEADLINE, event).await;
    came.unwrap_or_else(|_| panic!("waited for {what} in vain"))
}

/// An open group with its tracker.
pub struct Village {
    dir: TempDir,
    /// That of all nodes.
    pub clock: Clock,
    pub tracker: RunningTracker,
    pub notices: mpsc::Receiver<Notice>,
}

/// A peer of it.
pub struct Villager {
    pub running: RunningPeer,
    /// The directory it shares.
    pub dir: PathBuf,
    pub notices: mpsc::Receiver<Notice>,
}

impl Village {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With these settings of the tracker.
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (notices, received) = mpsc::channel(1024);
        let clock = Clock::system();
        let common = Common {
            clock: clock.clone(),
            ..common(dir.path(), "hall", settings)
        };
        let tracker = launch::tracker(common, launch::Decided::opened(), notices)
            .await
            .expect("a tracker");
        Self {
            dir,
            clock,
            tracker,
            notices: received,
        }
    }

    /// Stops the tracker; one that no peer knows takes its place here.
    pub async fn lose_tracker(&mut self) {
        let (notices, _) = mpsc::channel(1);
        let nobody = launch::tracker(
            self.common("nobody", &[]),
            launch::Decided::opened(),
            notices,
        )
        .await;
        let tracker = std::mem::replace(&mut self.tracker, nobody.expect("starts"));
        within("the tracker to stop", tracker.stop("the test says so")).await;
    }

    /// A directory for a test's own use.
    pub fn dir(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(&path).expect("a directory");
        path
    }

    pub fn address(&self) -> SocketAddr {
        self.tracker.listen
    }

    pub fn common(&self, name: &str, settings: &[(&str, &str)]) -> Common {
        Common {
            clock: self.clock.clone(),
            ..common(self.dir.path(), name, settings)
        }
    }

    /// Where a peer of this name keeps its files.
    pub fn share_of(&self, name: &str) -> PathBuf {
        self.dir(&format!("{name}-share"))
    }

    /// Starts a peer, and waits until the tracker lists all its files, hashed.
    pub async fn peer(&self, name: &str, files: &[(&str, &[u8])]) -> Villager {
        let dir = self.share_of(name);
        for (file, bytes) in files {
            write(&dir, file, bytes);
        }
        let villager = self.peer_with(name, &[], share::Options::default()).await;
        villager.settled(files_in(&dir).len()).await;
        self.lists(name, files_in(&dir).len()).await;
        let id = villager
            .ask(Command::Status)
            .await
            .done()
            .status()
            .id
            .clone();
        self.sees("their roots", |view| {
            let of_it = |file: &&TrackedFile| file.holders.iter().any(|has| has.id == id);
            let mut its = view.files.iter().filter(of_it);
            its.all(|file| file.root.is_some())
        })
        .await;
        villager
    }

    /// Starts a peer, and waits for nothing.
    pub async fn peer_with(
        &self,
        name: &str,
        settings: &[(&str, &str)],
        options: share::Options,
    ) -> Villager {
        let group = Group::Open(NetAddress::Ip(self.address()));
        start(
            self.common(name, settings),
            &self.share_of(name),
            options,
            group,
        )
        .await
    }

    /// Waits until the tracker lists so many files of a peer.
    pub async fn lists(&self, name: &str, files: usize) {
        let what = format!("the tracker to list {files} files of {name}");
        self.sees(&what, |view| {
            let row = view
                .peers
                .iter()
                .find(|peer| peer.member.name.as_deref() == Some(name));
            row.is_some_and(|row| row.files == files as u64)
        })
        .await;
    }

    /// Waits until the tracker does not list a peer.
    pub async fn forgets(&self, name: &str) {
        self.sees(&format!("the tracker to forget {name}"), |view| {
            view.peers
                .iter()
                .all(|peer| peer.member.name.as_deref() != Some(name))
        })
        .await;
    }

    pub async fn sees(&self, what: &str, is_so: impl Fn(&Tracked) -> bool) {
        view(self.tracker.tracker.viewer(), tracked, what, is_so).await;
    }

    /// A command where no peer runs on that state directory.
    pub async fn visit(&self, name: &str, dir: &Path, command: Command) -> Answer {
        let tracker = Some(NetAddress::Ip(self.address()));
        let asked = launch::ask(self.common(name, &[]), tracker, dir, command, |_| {});
        let events = within("a visitor to get in", asked).await;
        answer(events.expect("gets in")).await
    }
}

impl Villager {
    /// Waits until so many files are listed and all are hashed.
    pub async fn settled(&self, files: usize) {
        let what = format!("{} to hash {files} files", self.dir.display());
        self.sees(&what, |view| {
            view.files == files as u64 && view.unhashed == 0
        })
        .await;
    }

    pub async fn sees(&self, what: &str, is_so: impl Fn(&Around) -> bool) {
        view(self.running.peer.viewer(), around, what, is_so).await;
    }

    pub async fn has_neighbour(&self, name: &str) {
        self.sees(&format!("{name} to be a neighbour"), |view| {
            view.neighbours
                .iter()
                .any(|row| row.member.name.as_deref() == Some(name))
        })
        .await;
    }

    pub async fn ask(&self, command: Command) -> Answer {
        answer(self.running.peer.command(command)).await
    }

    pub async fn get(&self, get: Get) -> Answer {
        self.ask(Command::Get(get)).await
    }

    pub async fn get_name(&self, name: &str) -> Answer {
        self.get(named(name)).await
    }

    /// Waits until it has sent so many bytes of large files.
    pub async fn has_sent(&self, bytes: usize) {
        self.is_so("bytes to be sent", |status| status.sent >= bytes as u64)
            .await;
    }

    /// Waits until so many bytes of large files have reached its disk.
    pub async fn has_received(&self, bytes: usize) {
        let enough = |status: &Status| status.received >= bytes as u64;
        self.is_so("bytes to be received", enough).await;
    }

    async fn is_so(&self, what: &str, is_so: impl Fn(&Status) -> bool) {
        let asked = async { while !is_so(self.ask(Command::Status).await.done().status()) {} };
        within(what, asked).await;
    }

    pub fn address(&self) -> SocketAddr {
        self.running.listen.expect("it listens")
    }

    pub async fn stop(self) {
        within("a peer to stop", self.running.stop("the test is over")).await;
    }

    /// Waits for a notice that contains these words.
    pub async fn hears(&mut self, words: &str) {
        hears(&mut self.notices, words).await;
    }
}

pub async fn hears(notices: &mut mpsc::Receiver<Notice>, words: &str) {
    let heard = async {
        while let Some(notice) = notices.recv().await {
            if format!("{notice:?}").contains(words) {
                return;
            }
        }
        panic!("no notice of {words}");
    };
    within(&format!("a notice of {words}"), heard).await;
}

pub fn common(dir: &Path, name: &str, settings: &[(&str, &str)]) -> Common {
    let setting =
        |(key, value): &(&str, &str)| Setting::new(key, value, "the test").expect("a setting");
    Common {
        state: dir.join(format!("{name}-state")),
        settings: settings.iter().map(setting).collect(),
        name: Some(name.parse().expect("a name")),
        listen: Some("127.0.0.1:0".parse().expect("an address")),
        advertise: Vec::new(),
        clock: Clock::system(),
    }
}

pub async fn start(common: Common, dir: &Path, options: share::Options, group: Group) -> Villager {
    let (notices, received) = mpsc::channel(1024);
    let running = launch::share(common, dir, options, group, notices).await;
    Villager {
        running: running.expect("starts"),
        dir: dir.to_owned(),
        notices: received,
    }
}

/// What a tracker shows of those that it knows.
#[derive(Debug)]
pub struct Tracked {
    pub peers: Vec<TrackedPeer>,
    pub files: Vec<TrackedFile>,
}

/// What a peer shows of itself and its neighbours.
#[derive(Debug)]
pub struct Around {
    pub neighbours: Vec<TrackedPeer>,
    pub tracker_connected: bool,
    pub files: u64,
    pub unhashed: u64,
}

/// Nothing, if the tracker has ended.
pub async fn tracked(viewer: &Viewer) -> Option<Tracked> {
    let asks = [Part::Peers, Part::Files].map(all);
    let [peers, files] = viewer.pages(asks).await?;
    Some(Tracked {
        peers: peers.rows.into_iter().map(peer).collect(),
        files: files.rows.into_iter().map(file).collect(),
    })
}

/// Nothing, if the peer has ended.
async fn around(viewer: &Viewer) -> Option<Around> {
    let asks = [Part::Peers, Part::Node, Part::Share].map(all);
    let [neighbours, node, share] = viewer.pages(asks).await?;
    let [SnapshotRow::Node(status)] = &node.rows[..] else {
        panic!("no peer: {node:?}");
    };
    let [SnapshotRow::Share(share)] = &share.rows[..] else {
        panic!("no share: {share:?}");
    };
    Some(Around {
        neighbours: neighbours.rows.into_iter().map(peer).collect(),
        tracker_connected: status.tracker_connected,
        files: share.offered.files,
        unhashed: share.offered.unhashed,
    })
}

fn all(part: Part) -> Ask {
    Ask::first(part, usize::MAX)
}

fn peer(row: SnapshotRow) -> TrackedPeer {
    match row {
        SnapshotRow::Peer(peer) => peer,
        other => panic!("no peer: {other:?}"),
    }
}

fn file(row: SnapshotRow) -> TrackedFile {
    match row {
        SnapshotRow::File(file) => file,
        other => panic!("no file: {other:?}"),
    }
}

async fn view<T: std::fmt::Debug>(
    viewer: &Viewer,
    look: impl AsyncFn(&Viewer) -> Option<T>,
    what: &str,
    is_so: impl Fn(&T) -> bool,
) {
    let mut news = viewer.news();
    let mut last = None;
    let seen = timeout(DEADLINE, async {
        loop {
            news.borrow_and_update();
            let now = last.insert(look(viewer).await?);
            if is_so(now) {
                return Some(());
            }
            news.changed().await.ok()?;
        }
    });
    if seen.await != Ok(Some(())) {
        let text = format!("{last:?}");
        panic!(
            "waited for {what} in vain; at last: {}",
            text.chars().take(2000).collect::<String>()
        );
    }
}

/// All that came in answer to a command.
#[derive(Debug)]
pub struct Answer {
    pub events: Vec<Event>,
    pub end: Result<Done, Failure>,
}

pub async fn answer(mut events: mpsc::Receiver<Event>) -> Answer {
    let mut before = Vec::new();
    let collected = async {
        loop {
            match events.recv().await.expect("every answer has an end") {
                Event::Done(done) => return Ok(done),
                Event::Error(failure) => return Err(failure),
                event => before.push(event),
            }
        }
    };
    let end = within("the end of an answer", collected).await;
    Answer {
        events: before,
        end,
    }
}

impl Answer {
    #[track_caller]
    pub fn done(self) -> Self {
        assert!(self.end.is_ok(), "{:?} after {:?}", self.end, self.events);
        self
    }

    #[track_caller]
    pub fn failed(&self, kind: ErrorKind) -> &Failure {
        match &self.end {
            Err(failure) if failure.kind() == kind => failure,
            other => panic!("{other:?} after {:?}", self.events),
        }
    }

    pub fn fetched(&self) -> Vec<&Fetched> {
        let fetched = self.events.iter().filter_map(|event| match event {
            Event::Fetched(fetched) => Some(fetched),
            _ => None,
        });
        fetched.collect()
    }

    #[track_caller]
    pub fn only_fetched(&self) -> &Fetched {
        assert!(self.end.is_ok(), "{:?} after {:?}", self.end, self.events);
        let fetched = self.fetched();
        assert_eq!(fetched.len(), 1, "{fetched:?}");
        fetched[0]
    }

    /// The names of all who have sent some of the one file that was fetched.
    #[track_caller]
    pub fn sources(&self) -> BTreeSet<&str> {
        let sources = self.only_fetched().sources.iter();
        sources.filter_map(|who| who.name.as_deref()).collect()
    }

    /// How many bytes of the file were there from before, as it was told.
    pub fn resumed(&self) -> u64 {
        let resumed = self.events.iter().find_map(|event| match event {
            Event::Resumed { bytes, .. } => Some(*bytes),
            _ => None,
        });
        resumed.unwrap_or(0)
    }

    pub fn files(&self) -> Vec<&FileRow> {
        let files = self.events.iter().filter_map(|event| match event {
            Event::File(file) => Some(file),
            _ => None,
        });
        files.collect()
    }

    pub fn peers(&self) -> Vec<&PeerRow> {
        let peers = self.events.iter().filter_map(|event| match event {
            Event::Peer(peer) => Some(peer),
            _ => None,
        });
        peers.collect()
    }

    #[track_caller]
    pub fn choice(&self) -> &[FileRow] {
        let found = self.events.iter().find_map(|event| match event {
            Event::Choice { variants, .. } => Some(variants),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("no choice in {self:?}"))
    }

    #[track_caller]
    pub fn status(&self) -> &Status {
        match &self.events[..] {
            [Event::Status(status)] => status,
            other => panic!("{other:?}"),
        }
    }
}

pub fn named(name: &str) -> Get {
    Get {
        names: vec![name.to_owned()],
        ..Get::default()
    }
}

/// Bytes that look like no others.
pub fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend(next());
    }
    bytes.truncate(length);
    bytes
}

pub fn write(dir: &Path, name: &str, bytes: &[u8]) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().expect("is in a folder")).expect("a folder");
    fs::write(path, bytes).expect("writes");
}

pub fn read(dir: &Path, name: &str) -> Vec<u8> {
    fs::read(dir.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The only file of a directory, which is a part of one.
#[track_caller]
pub fn part_in(dir: &Path) -> PathBuf {
    let names: Vec<String> = files_in(dir).into_keys().collect();
    match names.as_slice() {
        [part] if part.starts_with(".thorp-") => dir.join(part),
        other => panic!("the part alone, and not {other:?}"),
    }
}

/// Every file beneath a directory, hidden and temporary ones too.
pub fn files_in(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("lists") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path
                .strip_prefix(dir)
                .expect("is beneath")
                .to_str()
                .expect("is text")
                .to_owned();
            files.insert(name, fs::read(&path).expect("reads"));
        }
    }
    files
}
